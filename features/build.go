package features

import (
	"context"
	"fmt"
	"math"
	"math/bits"

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
	builders := newBuilders(store, families, snapshots, workers, deliver)
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
	held := make([][]Batch, workers)
	builders := newBuilders(store, families, snapshots, workers, func(w int, b Batch) error {
		held[w] = append(held[w], b)
		return nil
	})
	visit := func(w, bucket int, t *timeline.Timeline) error { return builders[w].visit(bucket, t) }
	return store.Drain(ctx, workers, visit, func(w, bucket int) error {
		if err := builders[w].flushAll(); err != nil {
			return err
		}
		for _, b := range held[w] {
			if err := write(b); err != nil {
				return err
			}
		}
		clear(held[w])
		held[w] = held[w][:0]
		if done != nil {
			done(bucket)
		}
		return nil
	})
}

// newBuilders makes a builder for each worker.
func newBuilders(store *timeline.Store, families []Family, snapshots []Snapshot, workers int, deliver func(worker int, b Batch) error) []*builder {
	schemas := make([]*arrow.Schema, len(snapshots))
	for i, s := range snapshots {
		schemas[i] = Schema(families, s.Labels, store.IDType())
	}
	builders := make([]*builder, workers)
	for w := range builders {
		b := &builder{bucket: -1, families: families, snapshots: snapshots, schemas: schemas, id: store.IDType(), tables: make([]pending, len(snapshots)),
			deliver: func(batch Batch) error { return deliver(w, batch) }}
		for _, f := range families {
			b.fills = append(b.fills, f.New(store.Values))
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
	ids    array.Builder
	values []float64 // row-major
}

func (b *builder) visit(bucket int, t *timeline.Timeline) error {
	if bucket != b.bucket {
		if err := b.flushAll(); err != nil {
			return err
		}
		b.bucket = bucket
	}
	for i, s := range b.snapshots {
		if s.Keep != nil && !s.Keep(t.Hash) {
			continue
		}
		h, ok := t.Before(s.AsOf)
		if !ok {
			continue
		}
		p := &b.tables[i]
		if err := appendID(p.ids, b.id, t.ID); err != nil {
			return err
		}
		row := p.row(b.schemas[i].NumFields() - 1)
		computed := row[:len(row)-len(s.Labels)]
		b.fill(&h, computed)
		if s.Future != nil && t.Hash%futureOneIn == 0 {
			b.tryFuture(s, t, computed)
		}
		row = row[len(computed):]
		for j, l := range s.Labels {
			row[j] = l.Value(t, &h)
		}
		if p.ids.Len() == batchRows {
			if err := b.flush(i); err != nil {
				return err
			}
		}
	}
	return nil
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
	at := len(p.values)
	if at+width > cap(p.values) {
		grown := make([]float64, at, min(2*(at+width), batchRows*width))
		copy(grown, p.values)
		p.values = grown
	}
	p.values = p.values[:at+width]
	row := p.values[at:]
	nulls(row)
	return row
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
	rec := record(b.schemas[snapshot], p.ids.NewArray(), p.values)
	p.values = p.values[:0]
	return b.deliver(Batch{Snapshot: snapshot, Bucket: b.bucket, Record: rec})
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

// record turns row-major values into columns; NaN becomes null.
func record(schema *arrow.Schema, ids arrow.Array, rows []float64) arrow.Record {
	n, width := ids.Len(), schema.NumFields()-1
	columns := make([]arrow.Array, width+1)
	columns[0] = ids
	// Eight rows at a time, so that a cache line of values is written whole, and
	// a byte of the columns' bitmaps.
	values := make([]float64, n*width)
	step := (n + 7) / 8
	valid := make([]byte, step*width)
	nulls := make([]int, width)
	for i := 0; i < n; i += 8 {
		some := min(8, n-i)
		block := rows[i*width:][:some*width]
		for j := range width {
			column := values[j*n+i:][:some]
			marks := byte(0)
			for k := range column {
				if v := block[k*width+j]; v == v {
					column[k] = v
					marks |= 1 << k
				}
			}
			valid[j*step+i/8] = marks
			nulls[j] += some - bits.OnesCount8(marks)
		}
	}
	for j := range width {
		columns[j+1] = column(values[j*n:][:n:n], valid[j*step:][:step:step], nulls[j])
	}
	return array.NewRecord(schema, columns, int64(n))
}

// column is an Arrow column over values, which it takes.
func column(values []float64, valid []byte, nulls int) arrow.Array {
	var bitmap *memory.Buffer
	if nulls > 0 {
		bitmap = memory.NewBufferBytes(valid)
	}
	data := array.NewData(arrow.PrimitiveTypes.Float64, len(values), []*memory.Buffer{bitmap, memory.NewBufferBytes(arrow.Float64Traits.CastToBytes(values))}, nil, nulls, 0)
	return array.NewFloat64Data(data)
}

// floats is an Arrow column over values, which it takes; NaN becomes null.
func floats(values []float64) arrow.Array {
	valid := make([]byte, (len(values)+7)/8)
	nulls := 0
	for i, v := range values {
		if math.IsNaN(v) {
			values[i] = 0
			nulls++
		} else {
			valid[i/8] |= 1 << (i % 8)
		}
	}
	return column(values, valid, nulls)
}
