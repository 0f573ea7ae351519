package nightly

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"time"

	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/modelfiles"
	"github.com/shoal-data/shoal/jobs/predict"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/jobs/segments"
	"github.com/shoal-data/shoal/jobs/targets"
)

// How many days a model scores at most under models.retrain weekly and on_drift. In a
// tournament of churn models, predictions three months old were still good (Neslin et
// al., J. Marketing Research 43, 2006).
const (
	weekly  = 7
	onDrift = 90
)

// stored is the model that the run before this one scored a target with, when
// models.retrain lets it score tonight; nil when one is to be learnt. It answers the
// same question, of the same configuration and program.
func (r *run) stored(ctx context.Context, in *input, t targets.Target) (*predict.Stored, error) {
	f, err := r.lent(ctx, in, t.Name)
	if err != nil || f == nil {
		return nil, err
	}
	// An automatic horizon or role may have come out otherwise.
	asks := predict.SummaryOf(t)
	if f.Summary.Horizon != asks.Horizon || f.Summary.ActiveWithin != asks.ActiveWithin || f.Summary.Role != asks.Role {
		return nil, nil
	}
	return &predict.Stored{Learnt: f.Learnt, Model: f.Model, Summary: f.Summary, Scores: f.Scores}, nil
}

// lent is what the run before this one scored the target of that name with, when it is
// to score tonight, provided that the question comes out the same.
func (r *run) lent(ctx context.Context, in *input, target string) (*modelfiles.Target, error) {
	if r.Config.Models.Retrain == config.RetrainEveryRun {
		return nil, nil
	}
	dates := segments.Before(in.pointer, r.Date)
	if len(dates) == 0 {
		return nil, nil
	}
	unusable := func(err error) (*modelfiles.Target, error) {
		if publish.Transient(err) || ctx.Err() != nil {
			return nil, StorageFault(err)
		}
		r.warn(warning("target.stored_unusable", fmt.Sprintf("target %s: the model of the run of %s cannot be used (%v), so one is learnt", target, dates[0], err)))
		return nil, nil
	}
	m, ok, err := publish.ReadCurrent(ctx, r.FS, r.Config.Out, dates[0])
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unusable(err)
	}
	if err != nil || !ok || m.ConfigHash != in.configHash || m.ToolVersion != r.Version {
		return nil, nil
	}
	name := target + ".json"
	if !slices.ContainsFunc(m.Models, func(f publish.File) bool { return path.Base(f.Path) == name }) {
		return nil, nil // there was none
	}
	data, err := publish.ReadModel(ctx, r.FS, r.Config.Out, m, name)
	if err != nil {
		return unusable(err)
	}
	f, err := modelfiles.LoadTarget(data)
	if err != nil {
		return unusable(err)
	}
	learnt, err := time.Parse(time.DateOnly, f.Learnt)
	if err != nil {
		return unusable(err)
	}
	date, err := time.Parse(time.DateOnly, r.Date)
	if err != nil {
		return nil, Usage(err)
	}
	age := date.Sub(learnt)
	if r.Config.Models.Retrain == config.RetrainOnDrift {
		if f.Summary.Drifted || age >= onDrift*24*time.Hour {
			return nil, nil
		}
	} else if age >= weekly*24*time.Hour {
		return nil, nil
	}
	return f, nil
}
