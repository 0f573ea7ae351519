package features

import (
	"context"
	"fmt"
	"math"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
)

// Build replays every timeline once and delivers the feature table of each
// snapshot bucket by bucket. deliver is called concurrently, never twice at
// once for one worker, and all batches of a bucket by one worker; the batches
// do not depend on the number of workers. A customer appears in a snapshot when
// it has an event before it. done, which may be nil, hears of each finished
// bucket.
func Build(ctx context.Context, store *timeline.Store, families []Family, snapshots []Snapshot, workers int, deliver func(worker int, b Batch) error, done func(bucket int)) error {
	var builders []*builder
	builders = newBuilders(store.IDType(), store.Values, families, snapshots, workers, func(w int, b Batch) error {
		defer builders[w].reuse(b)
		return deliver(w, b)
	})
	visit := func(w, bucket int, t *timeline.Timeline) error { return builders[w].visit(bucket, t) }
	if err := store.Replay(ctx, workers, visit, done); err != nil {
		return err
	}
	for _, b := range builders {
		if err := b.flushAll(); err != nil {
			return err
		}
	}
	return nil
}

// Stream is Build for the last time: it drains the store, and write is called
// for one batch at a time, in the order of the buckets. done, which may be nil,
// hears of each finished bucket.
func Stream(ctx context.Context, store *timeline.Store, families []Family, snapshots []Snapshot, workers int, write func(b Batch) error, done func(bucket int)) (timeline.Census, error) {
	builders, turn := heldBuilders(store.IDType(), store.Values, families, snapshots, workers, write, done)
	visit := func(w, bucket int, t *timeline.Timeline) error { return builders[w].visit(bucket, t) }
	return store.Drain(ctx, workers, visit, turn)
}

// heldBuilders are builders whose batches wait for turn, which writes those of a bucket.
func heldBuilders(id datasets.IDType, values Values, families []Family, snapshots []Snapshot, workers int, write func(b Batch) error, done func(bucket int)) (builders []*builder, turn func(worker, bucket int) error) {
	held := make([][]Batch, workers)
	builders = newBuilders(id, values, families, snapshots, workers, func(w int, b Batch) error {
		held[w] = append(held[w], b)
		return nil
	})
	return builders, func(w, bucket int) error {
		if err := builders[w].flushAll(); err != nil {
			return err
		}
		for _, b := range held[w] {
			if err := write(b); err != nil {
				return err
			}
			builders[w].reuse(b)
		}
		clear(held[w])
		held[w] = held[w][:0]
		if done != nil {
			done(bucket)
		}
		return nil
	}
}

// newBuilders makes a builder for each worker.
func newBuilders(id datasets.IDType, values Values, families []Family, snapshots []Snapshot, workers int, deliver func(worker int, b Batch) error) []*builder {
	schemas := make([]*arrow.Schema, len(snapshots))
	for i, s := range snapshots {
		schemas[i] = Schema(families, s.Labels, id)
	}
	builders := make([]*builder, workers)
	for w := range builders {
		b := &builder{bucket: -1, families: families, snapshots: snapshots, schemas: schemas, id: id, tables: make([]pending, len(snapshots)),
			deliver: func(batch Batch) error { return deliver(w, batch) }}
		for _, f := range families {
			if values == nil {
				break // nobody gives it histories
			}
			b.fills = append(b.fills, f.New(values))
		}
		for i := range b.tables {
			b.tables[i].ids = array.NewBuilder(memory.DefaultAllocator, schemas[i].Field(0).Type)
		}
		builders[w] = b
	}
	return builders
}

// A builder is one worker's part of Build.
type builder struct {
	bucket    int
	families  []Family
	fills     []Fill
	snapshots []Snapshot
	schemas   []*arrow.Schema
	id        datasets.IDType
	tables    []pending // by snapshot
	deliver   func(Batch) error
}

// pending are rows that have not been delivered.
type pending struct {
	ids  array.Builder
	rows *columns   // nil before the first row
	free []*columns // of batches that have been consumed
}

func (b *builder) visit(bucket int, t *timeline.Timeline) error {
	if err := b.enter(bucket); err != nil {
		return err
	}
	for i, s := range b.snapshots {
		if s.Keep != nil && !s.Keep(t.Hash) {
			continue
		}
		h, ok := t.Before(s.AsOf)
		if !ok {
			continue
		}
		row, err := b.add(i, t.ID)
		if err != nil {
			return err
		}
		computed := row[:len(row)-len(s.Labels)]
		b.fill(&h, computed)
		if s.Future != nil && t.Hash%futureOneIn == 0 {
			b.tryFuture(s, t, computed)
		}
		row = row[len(computed):]
		for j, l := range s.Labels {
			row[j] = l.Value(t, &h)
		}
		if err := b.flushFull(i); err != nil {
			return err
		}
	}
	return nil
}

// enter begins a bucket, unless it has begun.
func (b *builder) enter(bucket int) error {
	if bucket == b.bucket {
		return nil
	}
	err := b.flushAll()
	b.bucket = bucket
	return err
}

// add makes room for a customer's row of a snapshot.
func (b *builder) add(snapshot int, id string) (row []float64, err error) {
	p := &b.tables[snapshot]
	if err := appendID(p.ids, b.id, id); err != nil {
		return nil, err
	}
	return p.row(b.schemas[snapshot].NumFields() - 1), nil
}

// flushFull delivers the rows of a snapshot once there are enough for a batch.
func (b *builder) flushFull(snapshot int) error {
	if b.tables[snapshot].ids.Len() < batchRows {
		return nil
	}
	return b.flush(snapshot)
}

// fill computes every family's columns.
func (b *builder) fill(h *timeline.History, row []float64) {
	for j, fill := range b.fills {
		n := len(b.families[j].Columns)
		fill(h, row[:n:n])
		row = row[n:]
	}
}

// tryFuture computes the customer again with another future.
func (b *builder) tryFuture(s Snapshot, t *timeline.Timeline, computed []float64) {
	h, ok := t.WithFuture(s.AsOf).Before(s.AsOf)
	if !ok {
		return
	}
	again := make([]float64, len(computed))
	nulls(again)
	b.fill(&h, again)
	for _, f := range b.families {
		for _, c := range f.Columns {
			if math.Float64bits(again[0]) != math.Float64bits(computed[0]) && !(math.IsNaN(again[0]) && math.IsNaN(computed[0])) {
				s.Future(c.Name)
			}
			again, computed = again[1:], computed[1:]
		}
	}
}

// row makes room for one more row of NaN.
func (p *pending) row(width int) []float64 {
	if p.rows == nil {
		if n := len(p.free); n > 0 {
			p.rows, p.free = p.free[n-1], p.free[:n-1]
		} else {
			p.rows = newColumns(width)
		}
	}
	row := p.rows.next()
	nulls(row)
	return row
}

// reuse takes back the memory of a batch that has been consumed.
func (b *builder) reuse(batch Batch) {
	p := &b.tables[batch.Snapshot]
	p.free = append(p.free, batch.columns)
}

func (b *builder) flushAll() error {
	for i := range b.tables {
		if err := b.flush(i); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) flush(snapshot int) error {
	p := &b.tables[snapshot]
	if p.ids.Len() == 0 {
		return nil
	}
	batch := Batch{Snapshot: snapshot, Bucket: b.bucket, Record: p.rows.record(b.schemas[snapshot], p.ids.NewArray()), columns: p.rows}
	p.rows = nil
	return b.deliver(batch)
}

func appendID(b array.Builder, t datasets.IDType, id string) error {
	switch b := b.(type) {
	case *array.StringBuilder:
		b.Append(id)
	case *array.Int64Builder:
		b.Append(datasets.IntID(id))
	case *array.Int32Builder:
		b.Append(int32(datasets.IntID(id)))
	case *array.FixedSizeBinaryBuilder:
		b.Append([]byte(id))
	default:
		return fmt.Errorf("features: customer ids of type %v have no column type", t)
	}
	return nil
}
