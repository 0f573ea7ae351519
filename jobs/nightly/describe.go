package nightly

import (
	"context"
	"errors"
	"sync"

	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/timeline"
)

// Describe computes the feature tables of several dates in one pass over the
// history, as a run of each date would, and hands them to use. only names the
// families; none takes the configuration's. Nothing is learnt or published.
func Describe(ctx context.Context, o Options, dates, only []string, use func([]*features.Table) error) (*Summary, error) {
	o.Date = dates[0]
	r, err := prepare(o)
	if err != nil {
		return r.finish(err)
	}
	return r.finish(r.describe(ctx, dates, only, use))
}

func (r *run) describe(ctx context.Context, dates, only []string, use func([]*features.Table) error) error {
	defer r.limitMemory()()
	defer r.spool.Close()
	var snapshots []features.Snapshot
	for _, d := range dates {
		a, err := timeline.ParseAsOf(d, r.zone)
		if err != nil {
			return Usage(err)
		}
		snapshots = append(snapshots, features.Snapshot{AsOf: a})
		if a.Instant > r.asOf.Instant {
			r.asOf = a
		}
	}
	families, err := r.families()
	if err != nil {
		return err
	}
	if len(only) > 0 {
		if families, err = features.Only(r.Config.FeatureParams(), only); err != nil {
			return Usage(err)
		}
	}
	in := &input{}
	if err := r.plan(ctx, in, families); err != nil {
		return err
	}
	h, err := r.read(ctx, in, r.asOf.Instant)
	if err != nil {
		return err
	}
	tables, err := r.build(ctx, h, families, snapshots)
	if err != nil {
		return err
	}
	return r.step("write", func() error { return use(tables) })
}

// build replays every timeline once for all snapshots and gives the events up.
func (r *run) build(ctx context.Context, h *history, families []features.Family, snapshots []features.Snapshot) ([]*features.Table, error) {
	tables := make([]*features.Table, len(snapshots))
	for i, s := range snapshots {
		tables[i] = features.NewTable(families, s, h.store.IDType()).Within(r.spool)
	}
	err := r.step("features", func() error {
		var mu sync.Mutex
		finished := int64(0)
		return features.Build(ctx, h.store, families, snapshots, r.workers, func(_ int, b features.Batch) error {
			return tables[b.Snapshot].Put(b)
		}, func(int) {
			mu.Lock()
			finished++
			n := finished
			mu.Unlock()
			r.progress("features", n, timeline.NumBuckets)
		})
	})
	return tables, errors.Join(err, h.store.Close())
}
