package features

import (
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/spool"
	"github.com/shoal-data/shoal/features/internal/packed"
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
	// Future, unless nil, hears of every column that comes out otherwise when a
	// customer has another future, which no feature can know; it is tried on one
	// customer in futureOneIn. It may be called from several goroutines at once.
	Future func(column string)
}

// futureOneIn is how many customers there are to each one who is given another future.
const futureOneIn = 256

// A Batch is at most batchRows of one bucket's customers at one snapshot: the
// customer id, then the features, then the labels, as Schema declares them;
// rows are in the order of the ids, and so are the batches of a bucket.
// Undefined values are null. It is the consumer's until it returns: its memory is
// used again.
type Batch struct {
	Snapshot int
	Bucket   int
	Record   arrow.Record
	columns  *columns
}

// batchRows bounds what a worker holds of a snapshot before it delivers it.
const batchRows = 1024

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

// A Table is one snapshot's feature table, packed: its batches lie in a spool,
// in bucket order, and their columns are read one by one.
type Table struct {
	AsOf   timeline.AsOf
	Schema *arrow.Schema
	spool  *spool.Spool
	parts  [timeline.NumBuckets][]part
}

// A part is a packed batch.
type part struct {
	rows  int
	block spool.Block
	ends  []uint32 // where the columns end in the block
}

// NewTable returns an empty table for a snapshot, in memory.
func NewTable(families []Family, s Snapshot, id datasets.IDType) *Table {
	return &Table{AsOf: s.AsOf, Schema: Schema(families, s.Labels, id)}
}

// Within makes a table that is still empty keep its batches in a spool.
func (t *Table) Within(s *spool.Spool) *Table {
	t.spool = s
	return t
}

// Put stores a batch; different buckets may be put at once.
func (t *Table) Put(b Batch) error {
	var p packed.Floats
	var data []byte
	var values []float64
	ends := make([]uint32, b.Record.NumCols())
	for j, c := range b.Record.Columns() {
		if f, ok := c.(*array.Float64); ok && j > 0 {
			values = appendFloats(values[:0], f)
			data = p.Append(data, values)
		} else {
			var err error
			if data, err = appendIDs(data, c); err != nil {
				return err
			}
		}
		ends[j] = uint32(len(data))
	}
	if t.spool == nil {
		t.spool = spool.New(spool.Unlimited(), "")
	}
	block, err := t.spool.Put(data)
	if err != nil {
		return fmt.Errorf("features: the feature table of %s: %w", t.AsOf, err)
	}
	t.parts[b.Bucket] = append(t.parts[b.Bucket], part{int(b.Record.NumRows()), block, ends})
	return nil
}

// appendFloats appends the values of an Arrow column, NaN for null.
func appendFloats(dst []float64, c *array.Float64) []float64 {
	at := len(dst)
	dst = append(dst, c.Float64Values()...)
	if c.NullN() > 0 {
		for i := range c.Len() {
			if c.IsNull(i) {
				dst[at+i] = math.NaN()
			}
		}
	}
	return dst
}

// appendIDs packs a column of customer ids.
func appendIDs(dst []byte, c arrow.Array) ([]byte, error) {
	switch c := c.(type) {
	case *array.Int64:
		return packed.Append(dst, c.Int64Values(), nil), nil
	case *array.Int32:
		return packed.Append(dst, c.Int32Values(), nil), nil
	case *array.FixedSizeBinary:
		for i := range c.Len() {
			dst = append(dst, c.Value(i)...)
		}
		return dst, nil
	case *array.String:
		sizes := make([]uint32, c.Len())
		for i := range sizes {
			sizes[i] = uint32(len(c.Value(i)))
		}
		dst = packed.Append(dst, sizes, nil)
		for i := range sizes {
			dst = append(dst, c.Value(i)...)
		}
		return dst, nil
	}
	return nil, fmt.Errorf("features: customer ids cannot be of type %v", c.DataType())
}

// readIDs unpacks n customer ids.
func readIDs(src []byte, n int, t arrow.DataType) (arrow.Array, error) {
	b := array.NewBuilder(memory.DefaultAllocator, t)
	b.Reserve(n)
	switch b := b.(type) {
	case *array.Int64Builder:
		v, _, err := packed.Read[int64](nil, src, n)
		if err != nil {
			return nil, err
		}
		b.AppendValues(v, nil)
	case *array.Int32Builder:
		v, _, err := packed.Read[int32](nil, src, n)
		if err != nil {
			return nil, err
		}
		b.AppendValues(v, nil)
	case *array.FixedSizeBinaryBuilder:
		width := t.(*arrow.FixedSizeBinaryType).ByteWidth
		if len(src) != n*width {
			return nil, packed.ErrDamaged
		}
		for i := range n {
			b.Append(src[i*width:][:width])
		}
	case *array.StringBuilder:
		sizes, text, err := packed.Read[uint32](nil, src, n)
		if err != nil {
			return nil, err
		}
		for _, size := range sizes {
			if uint64(size) > uint64(len(text)) {
				return nil, packed.ErrDamaged
			}
			b.Append(string(text[:size]))
			text = text[size:]
		}
	}
	return b.NewArray(), nil
}

// Rows is the number of customers in the table.
func (t *Table) Rows() int {
	n := 0
	for _, parts := range t.parts {
		for i := range parts {
			n += parts[i].rows
		}
	}
	return n
}

// Close gives back what the table holds of its spool's budget.
func (t *Table) Close() {
	for k, parts := range t.parts {
		for i := range parts {
			t.spool.Drop(parts[i].block)
		}
		t.parts[k] = nil
	}
}

// Column is the position of a named column, or an error that says which table
// lacks it.
func (t *Table) Column(name string) (int, error) {
	if at := t.Schema.FieldIndices(name); len(at) == 1 {
		return at[0], nil
	}
	return 0, fmt.Errorf("features: the feature table of %s has no column %q", t.AsOf, name)
}

func (t *Table) columns(names []string) ([]int, error) {
	at := make([]int, len(names))
	for i, n := range names {
		var err error
		if at[i], err = t.Column(n); err != nil {
			return nil, err
		}
	}
	return at, nil
}

// A Part is one batch of a table.
type Part struct {
	table *Table
	*part
	reader *partReader
}

// A partReader is memory for reading parts one after another.
type partReader struct {
	floats packed.Floats
	data   []byte
	values []float64
}

// Parts visits the table's batches in order. A Part is valid during its turn.
func (t *Table) Parts() iter.Seq[Part] {
	return func(yield func(Part) bool) {
		r := &partReader{}
		for k := range t.parts {
			for i := range t.parts[k] {
				if !yield(Part{t, &t.parts[k][i], r}) {
					return
				}
			}
		}
	}
}

// Rows is the number of customers of the part.
func (p Part) Rows() int { return p.rows }

// stretch is the packed columns from first to last.
func (p Part) stretch(first, last int) ([]byte, error) {
	from := uint32(0)
	if first > 0 {
		from = p.ends[first-1]
	}
	data, err := p.table.spool.Range(p.block, int(from), int(p.ends[last]), &p.reader.data)
	if err != nil {
		return nil, fmt.Errorf("features: the feature table of %s: %w", p.table.AsOf, err)
	}
	return data, nil
}

// values appends a numeric column to dst.
func (p Part) values(dst []float64, column int) ([]float64, error) {
	data, err := p.stretch(column, column)
	if err != nil {
		return nil, err
	}
	return p.floats(dst, data, column)
}

// floats appends a numeric column, packed as data, to dst.
func (p Part) floats(dst []float64, data []byte, column int) ([]float64, error) {
	dst, err := p.reader.floats.Read(dst, data, p.rows)
	if err != nil {
		return nil, fmt.Errorf("features: the feature table of %s, column %s: %w", p.table.AsOf, p.table.Schema.Field(column).Name, err)
	}
	return dst, nil
}

// Values appends the named column to dst, NaN for null.
func (p Part) Values(dst []float64, name string) ([]float64, error) {
	c, err := p.table.Column(name)
	if err != nil {
		return nil, err
	}
	return p.values(dst, c)
}

// IDs are the customer ids.
func (p Part) IDs() (arrow.Array, error) {
	data, err := p.stretch(0, 0)
	if err != nil {
		return nil, err
	}
	return p.ids(data)
}

func (p Part) ids(data []byte) (arrow.Array, error) {
	ids, err := readIDs(data, p.rows, p.table.Schema.Field(0).Type)
	if err != nil {
		return nil, fmt.Errorf("features: the feature table of %s, customer ids: %w", p.table.AsOf, err)
	}
	return ids, nil
}

// Record is the part's first columns as Arrow has them, undefined values null.
func (p Part) Record(columns int) (arrow.Record, error) {
	arrays := make([]arrow.Array, columns)
	whole, err := p.stretch(0, columns-1)
	if err != nil {
		return nil, err
	}
	if arrays[0], err = p.ids(whole[:p.ends[0]]); err != nil {
		return nil, err
	}
	for j := 1; j < columns; j++ {
		values, err := p.floats(make([]float64, 0, p.rows), whole[p.ends[j-1]:p.ends[j]], j)
		if err != nil {
			return nil, err
		}
		arrays[j] = floats(values)
	}
	return array.NewRecord(arrow.NewSchema(p.table.Schema.Fields()[:columns], nil), arrays, int64(p.rows)), nil
}

// Matrix appends the named columns to dst, row-major, NaN for null, keeping the
// rows of the part for which keep, when it is not nil, is true.
func (p Part) Matrix(dst []float64, names []string, keep func(row int) bool) ([]float64, error) {
	at, err := p.table.columns(names)
	if err != nil {
		return nil, err
	}
	var kept []int32
	for i := range p.rows {
		if keep == nil || keep(i) {
			kept = append(kept, int32(i))
		}
	}
	start, d := len(dst), len(names)
	dst = slices.Grow(dst, len(kept)*d)[:start+len(kept)*d]
	for j, c := range at {
		if p.reader.values, err = p.values(p.reader.values[:0], c); err != nil {
			return nil, err
		}
		for k, i := range kept {
			dst[start+k*d+j] = p.reader.values[i]
		}
	}
	return dst, nil
}

// Records visits the table's batches in order, whole.
func (t *Table) Records() iter.Seq2[arrow.Record, error] {
	return func(yield func(arrow.Record, error) bool) {
		for p := range t.Parts() {
			rec, err := p.Record(t.Schema.NumFields())
			if !yield(rec, err) || err != nil {
				return
			}
		}
	}
}

// Values copies a numeric column, NaN for null, in row order.
func (t *Table) Values(name string) ([]float64, error) {
	c, err := t.Column(name)
	if err != nil {
		return nil, err
	}
	values := make([]float64, 0, t.Rows())
	for p := range t.Parts() {
		if values, err = p.values(values, c); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// Matrix copies columns into rows, row-major, NaN for null, keeping the rows
// for which keep, when it is not nil, is true.
func (t *Table) Matrix(names []string, keep func(row int) bool) ([]float64, error) {
	if _, err := t.columns(names); err != nil {
		return nil, err
	}
	var data []float64
	if keep == nil {
		data = make([]float64, 0, t.Rows()*len(names))
	}
	row := 0
	var err error
	for p := range t.Parts() {
		var of func(int) bool
		if keep != nil {
			of = func(i int) bool { return keep(row + i) }
		}
		if data, err = p.Matrix(data, names, of); err != nil {
			return nil, err
		}
		row += p.rows
	}
	return data, nil
}
