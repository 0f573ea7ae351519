package onboard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/features/timeline"
)

// input is the events of some sources, read once.
type input struct {
	zone        *time.Location // of day boundaries
	plan        *scan.Plan
	report      *scan.Report
	currencyErr error // that amounts are in several currencies, which stops a run but not a report
	dicts       *datasets.Dicts
	log         *timeline.Log // nil when no row could be used
}

type loadOptions struct {
	zone           *time.Location
	workers        int
	before         int64 // µs: events from then on are left out
	rejectedSample int
	currency       string
	// lean keeps only what activity is made of: customer, time, role, event id.
	lean     bool
	progress func(done, total int64)
}

func load(ctx context.Context, fsys storage.FS, sources []scan.Source, o loadOptions) (*input, error) {
	plan, err := scan.NewPlan(ctx, fsys, sources)
	if err != nil {
		return nil, err
	}
	in := &input{zone: o.zone, plan: plan, dicts: datasets.NewDicts()}
	log := timeline.NewLog(in.dicts, o.workers)
	emit := log.Append
	if o.lean {
		emit = func(worker int, b *datasets.Batch) error {
			return log.Append(worker, &datasets.Batch{Customer: b.Customer, Time: b.Time, Role: b.Role, EventID: b.EventID})
		}
	}
	in.report, err = plan.Read(ctx, in.dicts, scan.Options{
		Workers: o.workers, Before: o.before, MaxRejectedSample: o.rejectedSample, Currency: o.currency, Progress: o.progress,
	}, emit)
	var fault *scan.Error
	if err != nil {
		if in.report == nil || !errors.As(err, &fault) {
			return nil, err
		}
		in.currencyErr = err
	}
	if in.report.RowsAccepted > 0 {
		in.log = log
	}
	return in, nil
}

// census freezes the events with a way to tell duplicates and counts them.
func (in *input) census(ctx context.Context, d timeline.Dedupe, workers int) (timeline.Census, *timeline.Store, error) {
	store := in.log.Freeze(timeline.Options{Zone: in.zone, Dedupe: d, IDType: in.report.IDType})
	c, err := store.Census(ctx, workers)
	return c, store, err
}

// rejectedShare is the share of rows that were refused, as limits.rejected_share
// counts it: among those that are not left out for other reasons.
func (in *input) rejectedShare() float64 {
	considered := in.report.RowsAccepted + in.report.RowsRejected
	if considered == 0 {
		return 0
	}
	return float64(in.report.RowsRejected) / float64(considered)
}

// reasons lists why rows were refused, the most frequent reasons first.
func (in *input) reasons() string {
	rejects := slices.Clone(in.report.Rejects)
	slices.SortStableFunc(rejects, func(a, b scan.Reject) int { return cmp.Compare(b.Count, a.Count) })
	var list []string
	for _, r := range rejects[:min(3, len(rejects))] {
		list = append(list, fmt.Sprintf("%s %s", r.Reason, thousands(r.Count)))
	}
	if len(rejects) > 3 {
		list = append(list, "…")
	}
	return strings.Join(list, ", ")
}

// whyEmpty says what became of the rows when none could be used.
func (in *input) whyEmpty() string {
	r := in.report
	switch {
	case r.Rows == 0:
		return "the files hold no rows"
	case r.RowsRejected > 0:
		return fmt.Sprintf("%s of %s rows were refused (%s)", thousands(r.RowsRejected), thousands(r.Rows), in.reasons())
	case r.RowsWithheld > 0:
		return fmt.Sprintf("consent is withheld in %s of %s rows", thousands(r.RowsWithheld), thousands(r.Rows))
	}
	return fmt.Sprintf("all %s rows lie after the date", thousands(r.RowsAfter))
}

// everything is the Before that leaves no event out.
const everything = int64(math.MaxInt64)
