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

// A Label is a target's answer for one customer and snapshot: the only thing
// that may look past the as-of date.
type Label struct {
	Name string // column name in the batch
	Unit string
	// Value sees the history and, through the timeline, the outcome. NaN means
	// that the customer is not eligible.
	Value func(t *timeline.Timeline, h *timeline.History) float64
}

// A Snapshot asks for the feature table as of one moment.
type Snapshot struct {
	AsOf timeline.AsOf
	// Keep selects customers by the hash of their id; nil keeps all.
	Keep   func(hash uint64) bool
	Labels []Label
}

// A Batch is one bucket's customers at one snapshot: the customer id, then the
// features, then the labels, as Schema declares them; rows are in the order of
// the ids. Undefined values are null. The consumer may keep it.
type Batch struct {
	Snapshot int
	Bucket   int
	Record   arrow.Record
}

// CustomerColumn is the name of a feature table's first column.
const CustomerColumn = "customer_id"

// Schema is the feature table's: each field carries its unit, range and meaning.
func Schema(families []Family, labels []Label, id datasets.IDType) *arrow.Schema {
	fields := []arrow.Field{CustomerField(id)}
	for _, f := range families {
		for _, c := range f.Columns {
			fields = append(fields, arrow.Field{
				Name: c.Name, Type: arrow.PrimitiveTypes.Float64, Nullable: true,
				Metadata: arrow.NewMetadata([]string{"unit", "range", "null", "meaning", "family"}, []string{c.Unit, c.Range, c.Null, c.Meaning, f.Name}),
			})
		}
	}
	for _, l := range labels {
		fields = append(fields, arrow.Field{Name: l.Name, Type: arrow.PrimitiveTypes.Float64, Nullable: true,
			Metadata: arrow.NewMetadata([]string{"unit"}, []string{l.Unit})})
	}
	return arrow.NewSchema(fields, nil)
}

// CustomerField is the Arrow field of a customer id, in the source's own type.
func CustomerField(id datasets.IDType) arrow.Field {
	f := arrow.Field{Name: CustomerColumn, Nullable: true}
	keys, values := []string{"meaning"}, []string{"The customer, as the source identifies it."}
	switch id.Kind {
	case datasets.IDInt32:
		f.Type = arrow.PrimitiveTypes.Int32
	case datasets.IDInt64:
		f.Type = arrow.PrimitiveTypes.Int64
	case datasets.IDFixed:
		f.Type = &arrow.FixedSizeBinaryType{ByteWidth: id.Width}
		if id.UUID {
			keys, values = append(keys, "uuid"), append(values, "true")
		}
	default:
		f.Type = arrow.BinaryTypes.String
	}
	f.Metadata = arrow.NewMetadata(keys, values)
	return f
}

// Build replays every timeline once and delivers the feature table of each
// snapshot bucket by bucket. deliver is called concurrently, never twice at
// once for one worker; the batches do not depend on the number of workers. A
// customer appears in a snapshot when it has an event before it.
func Build(ctx context.Context, store *timeline.Store, families []Family, snapshots []Snapshot, workers int, deliver func(worker int, b Batch) error, done func(bucket int)) error {
	type pending struct {
		ids  array.Builder
		rows []float64 // row-major
	}
	schemas := make([]*arrow.Schema, len(snapshots))
	for i, s := range snapshots {
		schemas[i] = Schema(families, s.Labels, store.IDType())
	}
	type state struct {
		bucket int
		fills  []Fill
		tables []pending
	}
	states := make([]*state, workers)
	for w := range states {
		st := &state{bucket: -1, tables: make([]pending, len(snapshots))}
		for _, f := range families {
			st.fills = append(st.fills, f.New(store.Values))
		}
		for i := range st.tables {
			st.tables[i].ids = array.NewBuilder(memory.DefaultAllocator, schemas[i].Field(0).Type)
		}
		states[w] = st
	}
	flush := func(w int) error {
		st := states[w]
		for i := range st.tables {
			t := &st.tables[i]
			if t.ids.Len() == 0 {
				continue
			}
			rec := record(schemas[i], t.ids.NewArray(), t.rows)
			t.rows = t.rows[:0]
			if err := deliver(w, Batch{Snapshot: i, Bucket: st.bucket, Record: rec}); err != nil {
				return err
			}
		}
		return nil
	}
	visit := func(w, bucket int, t *timeline.Timeline) error {
		st := states[w]
		if bucket != st.bucket {
			if err := flush(w); err != nil {
				return err
			}
			st.bucket = bucket
		}
		for i, s := range snapshots {
			if s.Keep != nil && !s.Keep(t.Hash) {
				continue
			}
			h, ok := t.Before(s.AsOf)
			if !ok {
				continue
			}
			p := &st.tables[i]
			if err := appendID(p.ids, store.IDType(), t.ID); err != nil {
				return err
			}
			width := schemas[i].NumFields() - 1
			at := len(p.rows)
			for range width {
				p.rows = append(p.rows, math.NaN())
			}
			row := p.rows[at:]
			for j, fill := range st.fills {
				n := len(families[j].Columns)
				fill(&h, row[:n:n])
				row = row[n:]
			}
			for j, l := range s.Labels {
				row[j] = l.Value(t, &h)
			}
		}
		return nil
	}
	if err := store.Replay(ctx, workers, visit, done); err != nil {
		return err
	}
	for w := range states {
		if err := flush(w); err != nil {
			return err
		}
	}
	return nil
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
	for j := range width {
		values := make([]float64, n)
		valid := make([]byte, (n+7)/8)
		nulls := 0
		for i := range values {
			v := rows[i*width+j]
			if math.IsNaN(v) {
				nulls++
				continue
			}
			values[i] = v
			valid[i/8] |= 1 << (i % 8)
		}
		data := array.NewData(arrow.PrimitiveTypes.Float64, n, []*memory.Buffer{
			memory.NewBufferBytes(valid), memory.NewBufferBytes(arrow.Float64Traits.CastToBytes(values)),
		}, nil, nulls, 0)
		columns[j+1] = array.NewFloat64Data(data)
	}
	return array.NewRecord(schema, columns, int64(n))
}

// A Table is one snapshot's feature table in memory, as a list of batches in
// bucket order.
type Table struct {
	AsOf   timeline.AsOf
	Schema *arrow.Schema
	byKey  [timeline.NumBuckets]arrow.Record
}

// NewTable returns an empty table for a snapshot.
func NewTable(families []Family, s Snapshot, id datasets.IDType) *Table {
	return &Table{AsOf: s.AsOf, Schema: Schema(families, s.Labels, id)}
}

// Put stores a bucket's batch; different buckets may be put at once.
func (t *Table) Put(b Batch) { t.byKey[b.Bucket] = b.Record }

// Records lists the non-empty batches in bucket order.
func (t *Table) Records() []arrow.Record {
	var rs []arrow.Record
	for _, r := range t.byKey {
		if r != nil {
			rs = append(rs, r)
		}
	}
	return rs
}

// Rows is the number of customers in the table.
func (t *Table) Rows() int {
	n := 0
	for _, r := range t.byKey {
		if r != nil {
			n += int(r.NumRows())
		}
	}
	return n
}

// Column is the position of a named column, or an error that says which table
// lacks it.
func (t *Table) Column(name string) (int, error) {
	if at := t.Schema.FieldIndices(name); len(at) == 1 {
		return at[0], nil
	}
	return 0, fmt.Errorf("features: the feature table of %s has no column %q", t.AsOf, name)
}

// Values copies a numeric column, NaN for null, in row order.
func (t *Table) Values(name string) ([]float64, error) {
	j, err := t.Column(name)
	if err != nil {
		return nil, err
	}
	values := make([]float64, 0, t.Rows())
	for _, r := range t.Records() {
		c := r.Column(j).(*array.Float64)
		for i, v := range c.Float64Values() {
			if c.IsNull(i) {
				v = math.NaN()
			}
			values = append(values, v)
		}
	}
	return values, nil
}

// Only is a table of a single one of t's batches.
func (t *Table) Only(r arrow.Record) *Table {
	one := &Table{AsOf: t.AsOf, Schema: t.Schema}
	one.byKey[0] = r
	return one
}

// Matrix copies columns into rows, row-major, NaN for null, keeping the rows
// for which keep, when it is not nil, is true.
func (t *Table) Matrix(names []string, keep func(row int) bool) ([]float64, error) {
	at := make([]int, len(names))
	for j, n := range names {
		c, err := t.Column(n)
		if err != nil {
			return nil, err
		}
		at[j] = c
	}
	d := len(names)
	data := make([]float64, 0, t.Rows()*d)
	var kept []int32
	row := 0
	for _, rec := range t.Records() {
		n := int(rec.NumRows())
		kept = kept[:0]
		for i := range n {
			if keep == nil || keep(row+i) {
				kept = append(kept, int32(i))
			}
		}
		start := len(data)
		data = data[:start+len(kept)*d]
		for j, c := range at {
			col := rec.Column(c).(*array.Float64)
			values := col.Float64Values()
			for k, i := range kept {
				v := values[i]
				if col.NullN() > 0 && col.IsNull(int(i)) {
					v = math.NaN()
				}
				data[start+k*d+j] = v
			}
		}
		row += n
	}
	return data, nil
}
