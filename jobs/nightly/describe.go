package nightly

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/timeline"
)

// A Sink takes the feature table of a date.
type Sink interface {
	Write(arrow.Record) error
	Close() error
}

// Chosen are the features that are asked for.
type Chosen struct {
	Families []string // by name; none takes the configuration's
	Columns  []string // of these families; none takes all
}

// Describe computes the feature tables of several dates in one pass over the
// history, as a run of each date would, and writes each to a sink. open is called when the date's first
// rows are there; several sinks are open at once, each taking about
// sinkMemory, where limits.memory has room for that. Nothing is learnt or
// published.
func Describe(ctx context.Context, o Options, dates []string, only Chosen, sinkMemory int64, open func(date string, schema *arrow.Schema) (Sink, error)) (*Summary, error) {
	o.Date = dates[0]
	r, err := prepare(o)
	if err != nil {
		return r.finish(err)
	}
	return r.finish(r.describe(ctx, dates, only, sinkMemory, open))
}

func (r *run) describe(ctx context.Context, dates []string, only Chosen, sinkMemory int64, open func(date string, schema *arrow.Schema) (Sink, error)) error {
	defer r.limitMemory()()
	defer r.free()
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
	if len(only.Families) > 0 {
		if families, err = features.Only(r.Config.FeatureParams(), only.Families); err != nil {
			return Usage(err)
		}
	}
	if len(only.Columns) > 0 {
		if families, err = features.Pick(families, only.Columns); err != nil {
			return Usage(err)
		}
	}
	in := &input{}
	if err := r.plan(ctx, in, families); err != nil {
		return err
	}
	h, stream, err := r.pass(ctx, in, families, snapshots)
	if err != nil {
		return err
	}
	r.summary.Tables = map[string]int64{}
	rows := func(date string, n int64) { r.summary.Tables["ds="+date] += n }
	// The writers may take a quarter of the memory; beyond that, one at a time.
	if int64(len(dates))*sinkMemory > r.memory/4 {
		tables := make([]*features.Table, len(snapshots))
		for i, s := range snapshots {
			tables[i] = features.NewTable(families, s, h.report.IDType).Within(r.spool)
		}
		err := stream(func(b features.Batch) error { return tables[b.Snapshot].Put(b) })
		if err != nil {
			return err
		}
		return r.step("write", func() error {
			for i, t := range tables {
				sink, err := open(dates[i], t.Schema)
				if err != nil {
					return err
				}
				rows(dates[i], 0)
				for rec, err := range t.Records() {
					if err = cmp.Or(err, ctx.Err()); err == nil {
						rows(dates[i], rec.NumRows())
						err = sink.Write(rec)
					}
					if err != nil {
						return fmt.Errorf("the features of %s: %w", dates[i], errors.Join(err, sink.Close()))
					}
				}
				t.Close()
				if err := sink.Close(); err != nil {
					return fmt.Errorf("the features of %s: %w", dates[i], err)
				}
				r.progress("write", int64(i+1), int64(len(tables)))
			}
			return nil
		})
	}
	sinks := make([]Sink, len(snapshots))
	for i, s := range snapshots {
		if sinks[i], err = open(dates[i], features.Schema(families, s.Labels, h.report.IDType)); err != nil {
			break
		}
		rows(dates[i], 0)
	}
	if err == nil {
		err = stream(func(b features.Batch) error {
			rows(dates[b.Snapshot], b.Record.NumRows())
			if err := sinks[b.Snapshot].Write(b.Record); err != nil {
				return fmt.Errorf("the features of %s: %w", dates[b.Snapshot], err)
			}
			return nil
		})
	}
	for i, s := range sinks {
		if s == nil {
			continue
		}
		if e := s.Close(); e != nil && err == nil {
			err = fmt.Errorf("the features of %s: %w", dates[i], e)
		}
	}
	return err
}

// pass reads the history and returns how the feature tables of all snapshots come of it.
// What is asked for decides how: totals at one date are added up as the rows come, where
// every row counts; all else takes timelines.
func (r *run) pass(ctx context.Context, in *input, families []features.Family, snapshots []features.Snapshot) (*history, func(write func(features.Batch) error) error, error) {
	dedupe, err := DedupeMode(r.Config)
	if err != nil {
		return nil, nil, err
	}
	asked, ok := features.TotalsOf(families)
	if !ok || len(snapshots) > 1 || dedupe != timeline.DedupeNone {
		h, err := r.scan(ctx, in, r.asOf.Instant)
		return h, func(write func(features.Batch) error) error {
			return r.stream(h, func(done func(int)) (timeline.Census, error) {
				census, err := features.Stream(ctx, h.store, families, snapshots, r.workers, write, done)
				return census, errors.Join(err, h.store.Close())
			})
		}, err
	}
	dicts := datasets.NewDicts()
	totals := timeline.NewTotals(dicts, snapshots[0].AsOf, r.zone, asked, r.workers)
	h, err := r.decode(ctx, in, r.asOf.Instant, dicts, totals.Append)
	return h, func(write func(features.Batch) error) error {
		return r.stream(h, func(done func(int)) (timeline.Census, error) {
			return features.StreamTotals(ctx, totals, families, snapshots[0], h.report.IDType, r.workers, write, done)
		})
	}, err
}

// stream computes the features, in one visit of every customer.
func (r *run) stream(h *history, visit func(done func(bucket int)) (timeline.Census, error)) error {
	err := r.step("features", func() (err error) {
		finished := int64(0)
		h.census, err = visit(func(int) {
			finished++
			r.progress("features", finished, timeline.NumBuckets)
		})
		return err
	})
	if err != nil {
		return err
	}
	return r.survey(h)
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
	held := r.held()
	held.TableBytes = r.spool.Total()
	return tables, errors.Join(err, h.store.Close())
}
