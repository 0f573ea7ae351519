package outputs

import (
	"math"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/shoal-data/shoal/datasets/tables"
)

func TestColumnsAndNulls(t *testing.T) {
	values := []float64{1.5, math.NaN(), 0.00005, 1e13, -2}
	table := FromColumns("t", []Column{
		Float("f", "days", "a float", func(i int) float64 { return values[i] }),
		Money("m", "an amount", func(i int) float64 { return values[i] }),
		Small("s", "a small number", func(i int) (int, bool) { return i, i != 1 }),
		Integer("n", "rows", "a number", func(i int) (int, bool) { return i * 1000, i != 2 }),
		Text("x", "a text", func(i int) (string, bool) { return "v", i != 3 }),
		Boolean("b", "yes or no", func(i int) bool { return i%2 == 0 }),
	}, len(values))
	var got []arrow.Record
	if err := table.Records(func(r arrow.Record) error { got = append(got, r); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].NumRows() != 5 {
		t.Fatalf("%d records", len(got))
	}
	r := got[0]
	f, m := r.Column(0).(*array.Float64), r.Column(1).(*array.Decimal128)
	if f.Value(0) != 1.5 || !f.IsNull(1) || f.Value(4) != -2 {
		t.Errorf("floats %v", f)
	}
	// Halves away from zero to 1e-4; what does not fit or is not a number is null.
	if m.Value(0).LowBits() != 15000 || !m.IsNull(1) || m.Value(2).LowBits() != 1 || !m.IsNull(3) || int64(m.Value(4).LowBits()) != -20000 {
		t.Errorf("amounts %v", m)
	}
	if c := r.Column(2).(*array.Int32); !c.IsNull(1) || c.Value(4) != 4 {
		t.Errorf("small numbers %v", c)
	}
	if c := r.Column(3).(*array.Int64); !c.IsNull(2) || c.Value(4) != 4000 {
		t.Errorf("numbers %v", c)
	}
	if c := r.Column(4).(*array.String); !c.IsNull(3) || c.Value(0) != "v" {
		t.Errorf("texts %v", c)
	}
	if c := r.Column(5).(*array.Boolean); !c.Value(0) || c.Value(1) {
		t.Errorf("booleans %v", c)
	}
	columns, err := tables.Columns(table.Schema)
	if err != nil {
		t.Fatal(err)
	}
	if columns[0].Unit != "days" || columns[0].Meaning != "a float" || columns[1].Type != "decimal(18,4)" || columns[1].Unit != "currency" {
		t.Errorf("%+v", columns)
	}
}

func TestTablesWithoutRows(t *testing.T) {
	table := FromColumns("t", []Column{Boolean("b", "yes or no", nil)}, 0)
	if err := table.Records(func(arrow.Record) error { t.Error("a record"); return nil }); err != nil {
		t.Fatal(err)
	}
}
