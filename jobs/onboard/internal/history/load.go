// Package history reads the events of sources never run before, once, and
// tells from the gaps between a customer's days how long a silence means that
// the customer is gone.
package history

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
	"github.com/shoal-data/shoal/jobs/onboard/internal/prose"
)

// Input is the events of some sources, read once.
type Input struct {
	Zone        *time.Location // of day boundaries
	Plan        *scan.Plan
	Report      *scan.Report
	CurrencyErr error // that amounts are in several currencies or lack a rate, which stops a run but not a report
	Dicts       *datasets.Dicts
	Log         *timeline.Log // nil when no row could be used
}

// Options of Load.
type Options struct {
	Zone           *time.Location
	Workers        int
	Before         int64 // µs: events from then on are left out
	RejectedSample int
	Currency       string
	// Lean keeps only what activity is made of: customer, time, role, event id.
	Lean     bool
	Progress func(done, total int64)
}

// Load reads the input. A mixture of currencies, or the want of a rate to convert
// one, is kept as a finding.
func Load(ctx context.Context, fsys storage.FS, source scan.Input, o Options) (*Input, error) {
	plan, err := source.Plan(ctx, fsys)
	if err != nil {
		return nil, err
	}
	in := &Input{Zone: o.Zone, Plan: plan, Dicts: datasets.NewDicts()}
	log := timeline.NewLog(in.Dicts, o.Workers)
	emit := log.Append
	if o.Lean {
		emit = func(worker int, b *datasets.Batch) error {
			return log.Append(worker, &datasets.Batch{Customer: b.Customer, Time: b.Time, Role: b.Role, EventID: b.EventID})
		}
	}
	in.Report, err = plan.Read(ctx, in.Dicts, scan.Options{
		Workers: o.Workers, Before: o.Before, MaxRejectedSample: o.RejectedSample, Currency: o.Currency, Progress: o.Progress,
	}, emit)
	var fault *scan.Error
	if err != nil {
		if in.Report == nil || !errors.As(err, &fault) {
			return nil, err
		}
		in.CurrencyErr = err
	}
	if in.Report.RowsAccepted > 0 {
		in.Log = log
	}
	return in, nil
}

// Census freezes the events with a way to tell duplicates and counts them.
func (in *Input) Census(ctx context.Context, d timeline.Dedupe, workers int) (timeline.Census, *timeline.Store, error) {
	store := in.Log.Freeze(timeline.Options{Zone: in.Zone, Dedupe: d, IDType: in.Report.IDType})
	c, err := store.Census(ctx, workers)
	return c, store, err
}

// RejectedShare is the share of rows that were refused, as limits.rejected_share
// counts it: among those that are not left out for other reasons.
func (in *Input) RejectedShare() float64 {
	considered := in.Report.RowsAccepted + in.Report.RowsRejected
	if considered == 0 {
		return 0
	}
	return float64(in.Report.RowsRejected) / float64(considered)
}

// Reasons lists why rows were refused, the most frequent reasons first.
func (in *Input) Reasons() string {
	rejects := slices.Clone(in.Report.Rejects)
	slices.SortStableFunc(rejects, func(a, b scan.Reject) int { return cmp.Compare(b.Count, a.Count) })
	var list []string
	for _, r := range rejects[:min(3, len(rejects))] {
		list = append(list, fmt.Sprintf("%s %s", r.Reason, prose.Thousands(r.Count)))
	}
	if len(rejects) > 3 {
		list = append(list, "…")
	}
	return strings.Join(list, ", ")
}

// WhyEmpty says what became of the rows when none could be used.
func (in *Input) WhyEmpty() string {
	r := in.Report
	switch {
	case r.Rows == 0:
		return "the files hold no rows"
	case r.RowsRejected > 0:
		return fmt.Sprintf("%s of %s rows were refused (%s)", prose.Thousands(r.RowsRejected), prose.Thousands(r.Rows), in.Reasons())
	case r.RowsWithheld > 0:
		return fmt.Sprintf("consent is withheld in %s of %s rows", prose.Thousands(r.RowsWithheld), prose.Thousands(r.Rows))
	}
	return fmt.Sprintf("all %s rows lie after the date", prose.Thousands(r.RowsAfter))
}

// Everything is the Before that leaves no event out.
const Everything = int64(math.MaxInt64)

// LastDay is the as-of of the local day on which an instant falls.
func LastDay(micros int64, zone *time.Location) timeline.AsOf {
	return timeline.NewAsOf(time.UnixMicro(micros).In(zone), zone)
}
