package nightly

import (
	"math"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/spool"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/jobs/segments/passes"
	"github.com/shoal-data/shoal/models"
)

// What segments are made of is held where it fits limits.memory and read in passes where
// it does not, the same rows in the same order.
func TestBehaviour(t *testing.T) {
	fields := []arrow.Field{features.CustomerField(datasets.IDType{Kind: datasets.IDInt64})}
	for _, name := range []string{"a", "b", "c"} {
		fields = append(fields, arrow.Field{Name: name, Type: arrow.PrimitiveTypes.Float64, Nullable: true})
	}
	table := (&features.Table{Schema: arrow.NewSchema(fields, nil)}).Within(spool.New(spool.NewBudget(0), t.TempDir()))
	const rows = 1000
	for bucket, span := range [][2]int{{0, 400}, {400, 401}, {401, rows}} {
		ids := array.NewInt64Builder(memory.DefaultAllocator)
		var values [3][]float64
		var arrays []arrow.Array
		for i := span[0]; i < span[1]; i++ {
			ids.Append(int64(i))
			for j := range values {
				values[j] = append(values[j], float64(i*(j+1)))
			}
		}
		arrays = append(arrays, ids.NewArray())
		for j := range values {
			b := array.NewFloat64Builder(memory.DefaultAllocator)
			for i, v := range values[j] {
				if (span[0]+i)%10 == j {
					b.AppendNull()
				} else {
					b.Append(v)
				}
			}
			arrays = append(arrays, b.NewArray())
		}
		must(t, table.Put(features.Batch{Bucket: bucket * 5, Record: array.NewRecord(table.Schema, arrays, int64(span[1]-span[0]))}))
	}
	names := []string{"c", "a"}
	needs := float64(rows*len(names)*8) * matrices / matrixShare
	var held, read models.Matrix
	for _, c := range []struct {
		memory int64
		held   bool
	}{{math.MaxInt64, true}, {int64(needs), true}, {int64(needs) - 1, false}} {
		x, err := (&run{memory: c.memory}).behaviour(table, names)
		must(t, err)
		if _, ok := passes.Whole(x); ok != c.held || x.Rows() != rows || !slices.Equal(x.Names(), names) {
			t.Errorf("with %d bytes: held %v, %d rows of %v", c.memory, ok, x.Rows(), x.Names())
		}
		m := models.Matrix{Names: names}
		must(t, passes.Each(t.Context(), x, func(i int, row []float64) {
			if i != m.Rows() {
				t.Fatalf("row %d comes after %d rows", i, m.Rows())
			}
			m.Data = append(m.Data, row...)
		}))
		for j := range names {
			column, err := x.Column([]float64{-1}, j)
			must(t, err)
			if !equal(column[1:], m.Column(nil, j)) || column[0] != -1 {
				t.Errorf("with %d bytes: column %s is not that of the rows", c.memory, names[j])
			}
		}
		if c.held {
			held = m
		} else {
			read = m
		}
	}
	if !equal(held.Data, read.Data) || len(read.Data) != 2*rows || held.Row(403)[0] != 3*403 || !math.IsNaN(held.Row(402)[0]) {
		t.Error("rows that are read are not those that are held")
	}
}

// equal says whether values are the same bits.
func equal(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) })
}
