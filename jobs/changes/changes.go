// Package changes says whose published row differs from the run before by more
// than a threshold, so that whoever keeps another system up to date sends no more
// than that.
package changes

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/tables"
	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/jobs/segments/roll"
)

// TableName is the table's.
const TableName = "changes"

// A Kind says when a column has moved.
type Kind int

// Kinds of column. What is known now and was not, or the reverse, has moved in all
// but Shown.
const (
	Exact       Kind = iota // it is another
	Probability             // by more than Limits.Probability
	Value                   // money: by more than Limits.Value of what it was
	Shown                   // never: it is there to be read
)

// Limits are how far something must have moved.
type Limits struct {
	Probability float64
	Value       float64 // share of the value before
}

// A Watched column is one of customer_scores.
type Watched struct {
	outputs.Column
	Kind Kind
}

// Before is the run that tonight's is compared with.
type Before struct {
	Date, RunID string
	// Has says whether its customer_scores has a column of that type.
	Has func(name string, t arrow.DataType) bool
	// Read gives columns of it, in the order of its rows.
	Read func(ctx context.Context, columns ...string) (iter.Seq2[arrow.Record, error], error)
}

// Input is what is compared.
type Input struct {
	Limits    Limits
	Watched   []Watched
	Stamp     []outputs.Column
	Customers int                                  // tonight
	Type      arrow.DataType                       // of their ids
	IDs       func() iter.Seq2[arrow.Array, error] // in the order of tonight's rows
	Before    *Before                              // nil when there is none: everybody is added
	Now       *roll.Roll                           // tonight's customers; of no use without Before
	// Bars says of the dictionary form of an id that nothing may be said of its
	// customer, not even that there was one.
	Bars func(id string) bool
}

// What became of a customer.
const (
	Added   = "added"
	Removed = "removed"
	Changed = "changed"
)

// batch is how many rows are laid out at once.
const batch = 16 << 10

// Table lays out the changes: first of customers who were there before, in the
// order of that run's rows, then of new ones in tonight's order.
func Table(ctx context.Context, in Input) outputs.Table {
	t := &teller{in: in, ctx: ctx}
	t.schema = t.layout()
	return outputs.Table{Name: TableName, Schema: t.schema, Records: t.records}
}

type teller struct {
	in     Input
	ctx    context.Context
	schema *arrow.Schema
}

// layout is the schema: who, which runs, what became of them, which columns moved,
// and each column now and before.
func (t *teller) layout() *arrow.Schema {
	fields := []arrow.Field{outputs.NewField("customer_id", t.in.Type, "", "The customer.")}
	for _, c := range t.in.Stamp {
		fields = append(fields, c.Field)
	}
	text := arrow.BinaryTypes.String
	fields = append(fields,
		outputs.NewField("before_date", text, "", "As-of date of the run before, YYYY-MM-DD; null when there was none."),
		outputs.NewField("before_run_id", text, "", "That run."),
		outputs.NewField("change", text, "", "added: not there before; removed: no longer there; changed: a watched column moved by more than the threshold (publish.changes)."),
		outputs.NewField("moved", text, "", "Of who changed, the columns that moved so far, with commas between."))
	for _, w := range t.in.Watched {
		unit, _ := w.Field.Metadata.GetValue(tables.MetaUnit)
		fields = append(fields,
			outputs.NewField(w.Field.Name, w.Field.Type, unit, "As customer_scores has it in this run; null for who was removed."),
			outputs.NewField(w.Field.Name+"_before", w.Field.Type, unit, "As it was in the run before; null for who was added, and when that run had no such column."))
	}
	return arrow.NewSchema(fields, nil)
}

func (t *teller) records(yield func(arrow.Record) error) error {
	known := make([]bool, t.in.Customers) // by tonight's row: who was there before
	if t.in.Before != nil {
		if err := t.compare(known, yield); err != nil {
			return fmt.Errorf("changes: the run before, %s of %s: %w", t.in.Before.RunID, t.in.Before.Date, err)
		}
	}
	return t.newcomers(known, yield)
}

// compare tells of customers who were there before.
func (t *teller) compare(known []bool, yield func(arrow.Record) error) error {
	names := []string{"customer_id"}
	place := make([]int, len(t.in.Watched)) // in what is read; -1 where the run before lacks the column
	for j, w := range t.in.Watched {
		if place[j] = -1; t.in.Before.Has(w.Field.Name, w.Field.Type) {
			place[j] = len(names)
			names = append(names, w.Field.Name)
		}
	}
	rows, err := t.in.Before.Read(t.ctx, names...)
	if err != nil {
		return err
	}
	for rec, err := range rows {
		if err != nil {
			return err
		}
		for from := int64(0); from < rec.NumRows(); from += batch {
			part := rec.NewSlice(from, min(from+batch, rec.NumRows()))
			before := make([]arrow.Array, len(place))
			for j, p := range place {
				if p >= 0 {
					before[j] = part.Column(p)
				}
			}
			if err := t.part(part.Column(0), before, known, yield); err != nil {
				return err
			}
		}
	}
	return nil
}

// part compares a few customers: ids are theirs, before their columns, nil where
// there is none.
func (t *teller) part(ids arrow.Array, before []arrow.Array, known []bool, yield func(arrow.Record) error) error {
	rows := make([]int, ids.Len()) // tonight's, -1 for who is no longer there
	for i := range rows {
		h, err := roll.Hash(ids, i)
		if err != nil {
			return err
		}
		row, ok := t.in.Now.Find(h)
		if !ok {
			row = -1
		} else {
			known[row] = true
		}
		rows[i] = row
	}
	now := t.columns(rows)
	var keep []int
	var what, moved []string
	for i, row := range rows {
		if row < 0 {
			if t.in.Bars == nil || !t.in.Bars(form(ids, i)) {
				keep, what, moved = append(keep, i), append(what, Removed), append(moved, "")
			}
			continue
		}
		var names []string
		for j, w := range t.in.Watched {
			if before[j] != nil && t.in.Limits.moved(w.Kind, now[j], before[j], i) {
				names = append(names, w.Field.Name)
			}
		}
		if len(names) > 0 {
			keep, what, moved = append(keep, i), append(what, Changed), append(moved, strings.Join(names, ","))
		}
	}
	return t.emit(ids, now, before, keep, what, moved, yield)
}

// newcomers tells of customers who were not there before.
func (t *teller) newcomers(known []bool, yield func(arrow.Record) error) error {
	row := 0
	for ids, err := range t.in.IDs() {
		if err != nil {
			return err
		}
		for from := 0; from < ids.Len(); from += batch {
			to := min(from+batch, ids.Len())
			var keep []int
			for i := from; i < to; i++ {
				if !known[row+i] {
					keep = append(keep, i-from)
				}
			}
			if len(keep) == 0 {
				continue
			}
			rows := make([]int, to-from)
			for i := range rows {
				rows[i] = row + from + i
			}
			what := slices.Repeat([]string{Added}, len(keep))
			err := t.emit(array.NewSlice(ids, int64(from), int64(to)), t.columns(rows), make([]arrow.Array, len(t.in.Watched)), keep, what, make([]string, len(keep)), yield)
			if err != nil {
				return err
			}
		}
		row += ids.Len()
	}
	return nil
}

// columns are the watched columns of tonight's rows, null at -1.
func (t *teller) columns(rows []int) []arrow.Array {
	all := make([]arrow.Array, len(t.in.Watched))
	for j, w := range t.in.Watched {
		b := array.NewBuilder(memory.DefaultAllocator, w.Field.Type)
		b.Reserve(len(rows))
		for _, row := range rows {
			if row < 0 {
				b.AppendNull()
			} else {
				w.Append(b, row)
			}
		}
		all[j] = b.NewArray()
	}
	return all
}

// emit yields those of the rows that are kept.
func (t *teller) emit(ids arrow.Array, now, before []arrow.Array, keep []int, what, moved []string, yield func(arrow.Record) error) error {
	n := len(keep)
	if n == 0 {
		return nil
	}
	column := func(f arrow.Field, v func(k int) string) arrow.Array {
		return outputs.Rows(arrow.NewSchema([]arrow.Field{f}, nil), []outputs.Column{outputs.Text(f.Name, "", func(k int) (string, bool) { s := v(k); return s, s != "" })}, 0, n).Column(0)
	}
	var date, run string
	if t.in.Before != nil {
		date, run = t.in.Before.Date, t.in.Before.RunID
	}
	taken, err := pick(ids, keep)
	if err != nil {
		return err
	}
	arrays := append([]arrow.Array{taken}, outputs.Rows(outputs.SchemaOf(t.in.Stamp), t.in.Stamp, 0, n).Columns()...)
	for _, v := range []func(int) string{
		func(int) string { return date }, func(int) string { return run },
		func(k int) string { return what[k] }, func(k int) string { return moved[k] },
	} {
		arrays = append(arrays, column(t.schema.Field(len(arrays)), v))
	}
	for j, w := range t.in.Watched {
		for _, a := range []arrow.Array{now[j], before[j]} {
			if a == nil {
				b := array.NewBuilder(memory.DefaultAllocator, w.Field.Type)
				b.AppendNulls(n)
				arrays = append(arrays, b.NewArray())
				continue
			}
			if taken, err = pick(a, keep); err != nil {
				return err
			}
			arrays = append(arrays, taken)
		}
	}
	return yield(array.NewRecord(t.schema, arrays, int64(n)))
}

// pick is the values of some rows.
func pick(a arrow.Array, rows []int) (arrow.Array, error) {
	if len(rows) == a.Len() {
		return a, nil
	}
	var parts []arrow.Array
	for i := 0; i < len(rows); {
		end := i + 1
		for end < len(rows) && rows[end] == rows[end-1]+1 {
			end++
		}
		parts = append(parts, array.NewSlice(a, int64(rows[i]), int64(rows[end-1]+1)))
		i = end
	}
	return array.Concatenate(parts, memory.DefaultAllocator)
}

// moved says whether a column of customer i has moved far enough.
func (l Limits) moved(k Kind, now, before arrow.Array, i int) bool {
	if k == Shown {
		return false
	}
	if now.IsNull(i) || before.IsNull(i) {
		return now.IsNull(i) != before.IsNull(i)
	}
	switch k {
	case Probability:
		a, b := now.(*array.Float64).Value(i), before.(*array.Float64).Value(i)
		return math.Abs(a-b) > l.Probability
	case Value:
		// Units of 1e-4 are exact in an int64, and so is their difference.
		a, b := int64(now.(*array.Decimal128).Value(i).LowBits()), int64(before.(*array.Decimal128).Value(i).LowBits())
		return math.Abs(float64(a-b)) > l.Value*math.Abs(float64(b))
	}
	return !array.SliceEqual(now, int64(i), int64(i+1), before, int64(i), int64(i+1))
}

// form is the dictionary form of an id.
func form(ids arrow.Array, i int) string {
	switch a := ids.(type) {
	case *array.String:
		return a.Value(i)
	case *array.Int64:
		return string(datasets.AppendIntID(nil, int64(a.Value(i))))
	case *array.Int32:
		return string(datasets.AppendIntID(nil, int64(a.Value(i))))
	case *array.FixedSizeBinary:
		return string(a.Value(i))
	}
	return ""
}
