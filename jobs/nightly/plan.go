package nightly

import (
	"context"
	"time"

	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/backtest"
	"github.com/shoal-data/shoal/jobs/changes"
	"github.com/shoal-data/shoal/jobs/cohorts"
	"github.com/shoal-data/shoal/jobs/drift"
	"github.com/shoal-data/shoal/jobs/predict"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/jobs/quality"
	"github.com/shoal-data/shoal/jobs/segments"
	"github.com/shoal-data/shoal/jobs/trends"
)

// A Prospect is what a run knows before it reads a row.
type Prospect struct {
	Input *scan.Plan
	AsOf  timeline.AsOf
	Zone  *time.Location
	// Noop is the summary of the published run that this one would repeat; nil
	// when there is something to do.
	Noop *Summary
	// Last is the summary of the published run of the latest date, this one
	// included; nil when there is none.
	Last *Summary
	// Lent is what an earlier run said of a target, by its name, whose model
	// models.retrain has score tonight, provided that what is left to the data comes out
	// as it did then.
	Lent map[string]predict.Summary
}

// Look does what a run does before it reads a row: it finds the files, reads
// their footers, and fails as the run would. It writes nothing.
func Look(ctx context.Context, o Options) (*Prospect, error) {
	r, err := prepare(o)
	if err != nil {
		return nil, err
	}
	in, err := r.find(ctx)
	if err != nil {
		return nil, err
	}
	p := &Prospect{Input: in.plan, AsOf: r.asOf, Zone: r.zone}
	if r.summary.Status == StatusNoop {
		p.Noop = r.summary
	}
	p.Lent = map[string]predict.Summary{}
	for _, t := range o.Config.Targets {
		m, err := r.lent(ctx, in, t.Name)
		if err != nil {
			return nil, err
		}
		if m != nil {
			m.Summary.Learnt = m.Learnt // the run that learnt it leaves it out
			p.Lent[t.Name] = m.Summary
		}
	}
	pointer, err := publish.ReadPointer(ctx, o.FS, o.Config.Out)
	if err != nil {
		return nil, StorageFault(err)
	}
	if len(pointer.Dates) == 0 {
		return p, nil
	}
	// A run that is damaged or from another version cannot be learnt from, and is
	// no reason to plan nothing.
	if _, s, err := Published(ctx, o.FS, o.Config.Out, pointer.Latest); err == nil {
		p.Last = s
	}
	return p, ctx.Err()
}

// Tables lists the tables that a run publishes, in order.
func Tables() []string {
	return []string{"customer_scores", "features", changes.TableName, segments.SegmentsTable, segments.ProfilesTable, segments.DistancesTable, segments.CountsTable, segments.MigrationsTable, segments.HistoryTable, segments.MapTable, segments.ModelsTable, "model_metrics", "calibration", "model_curves", "feature_effects", "label_audit", "rejected_rows", trends.Table, backtest.Table, quality.Table, drift.Table, drift.BinsTable, cohorts.Table}
}
