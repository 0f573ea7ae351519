package outputs

import (
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/bitutil"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/shoal-data/shoal/datasets/tables"
)

// Suppress is the table without numbers about fewer than n customers. A count of customers
// between 0 and n is null; where that is the first count of a row, which says how many the
// row is about, so are all its other numbers and its description. A table of a row a customer
// is what it is.
func (t Table) Suppress(n int) Table {
	fields := t.Schema.Fields()
	var counts []int
	for j, f := range fields {
		if strings.HasSuffix(f.Name, "customer_id") {
			return t
		}
		if counted(f) {
			counts = append(counts, j)
		}
	}
	if n < 2 || len(counts) == 0 {
		return t
	}
	return Table{t.Name, t.Schema, func(yield func(arrow.Record) error) error {
		return t.Records(func(rec arrow.Record) error { return yield(suppress(rec, counts, float64(n))) })
	}}
}

func suppress(rec arrow.Record, counts []int, n float64) arrow.Record {
	small := func(j, i int) bool {
		if rec.Column(j).IsNull(i) {
			return false
		}
		v := 0.0
		switch c := rec.Column(j).(type) {
		case *array.Int64:
			v = float64(c.Value(i))
		case *array.Int32:
			v = float64(c.Value(i))
		case *array.Float64:
			v = c.Value(i)
		}
		return v > 0 && v < n
	}
	columns := make([]arrow.Array, rec.NumCols())
	for j := range columns {
		columns[j] = rec.Column(j)
		f := rec.Schema().Field(j)
		own := counted(f)
		if !own && !number(f) {
			continue
		}
		var hidden []int
		for i := range int(rec.NumRows()) {
			if small(counts[0], i) || own && small(j, i) {
				hidden = append(hidden, i)
			}
		}
		columns[j] = hide(rec.Column(j), hidden)
	}
	return array.NewRecord(rec.Schema(), columns, rec.NumRows())
}

// counted says whether a column counts customers.
func counted(f arrow.Field) bool {
	switch f.Type.ID() {
	case arrow.INT64, arrow.INT32, arrow.FLOAT64:
		unit, _ := f.Metadata.GetValue(tables.MetaUnit)
		return unit == "customers"
	}
	return false
}

// number says whether a column says something of the customers that a row is about.
func number(f arrow.Field) bool {
	switch f.Type.ID() {
	case arrow.INT64, arrow.FLOAT64, arrow.DECIMAL128:
		return true
	}
	return f.Name == "description"
}

// hide is a column whose values in some rows are null.
func hide(col arrow.Array, rows []int) arrow.Array {
	if len(rows) == 0 {
		return col
	}
	bitmap := make([]byte, bitutil.BytesForBits(int64(col.Len()+col.Data().Offset())))
	nulls := 0
	for i := range col.Len() {
		bitutil.SetBitTo(bitmap, i+col.Data().Offset(), !col.IsNull(i))
	}
	for _, i := range rows {
		bitutil.ClearBit(bitmap, i+col.Data().Offset())
	}
	for i := range col.Len() {
		if !bitutil.BitIsSet(bitmap, i+col.Data().Offset()) {
			nulls++
		}
	}
	buffers := append([]*memory.Buffer{memory.NewBufferBytes(bitmap)}, col.Data().Buffers()[1:]...)
	return array.MakeFromData(array.NewData(col.DataType(), col.Len(), buffers, nil, nulls, col.Data().Offset()))
}
