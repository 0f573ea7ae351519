// Package outputs lays out published tables: columns that know their unit,
// meaning and how to append a row, and the numbers about models.
package outputs

import (
	"math"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/tables"
)

// A Column of a published table is a field and a function that appends row i.
type Column struct {
	Field  arrow.Field
	Append func(b array.Builder, i int)
}

// NewField is a nullable field with its unit and meaning.
func NewField(name string, t arrow.DataType, unit, meaning string) arrow.Field {
	keys, values := []string{tables.MetaMeaning}, []string{meaning}
	if unit != "" {
		keys, values = append(keys, tables.MetaUnit), append(values, unit)
	}
	return arrow.Field{Name: name, Type: t, Nullable: true, Metadata: arrow.NewMetadata(keys, values)}
}

// Float is a column of float64; NaN is null.
func Float(name, unit, meaning string, v func(i int) float64) Column {
	return Column{NewField(name, arrow.PrimitiveTypes.Float64, unit, meaning), func(b array.Builder, i int) {
		if x := v(i); math.IsNaN(x) {
			b.AppendNull()
		} else {
			b.(*array.Float64Builder).Append(x)
		}
	}}
}

// Integer is a column of int64.
func Integer(name, unit, meaning string, v func(i int) (int, bool)) Column {
	return Column{NewField(name, arrow.PrimitiveTypes.Int64, unit, meaning), func(b array.Builder, i int) {
		if x, ok := v(i); ok {
			b.(*array.Int64Builder).Append(int64(x))
		} else {
			b.AppendNull()
		}
	}}
}

// Small is a column of int32.
func Small(name, meaning string, v func(i int) (int, bool)) Column {
	return Column{NewField(name, arrow.PrimitiveTypes.Int32, "", meaning), func(b array.Builder, i int) {
		if x, ok := v(i); ok {
			b.(*array.Int32Builder).Append(int32(x))
		} else {
			b.AppendNull()
		}
	}}
}

// Text is a column of strings.
func Text(name, meaning string, v func(i int) (string, bool)) Column {
	return Column{NewField(name, arrow.BinaryTypes.String, "", meaning), func(b array.Builder, i int) {
		if x, ok := v(i); ok {
			b.(*array.StringBuilder).Append(x)
		} else {
			b.AppendNull()
		}
	}}
}

// Date is a column of calendar days since 1970-01-01.
func Date(name, meaning string, v func(i int) (int32, bool)) Column {
	return Column{NewField(name, arrow.FixedWidthTypes.Date32, "", meaning), func(b array.Builder, i int) {
		if x, ok := v(i); ok {
			b.(*array.Date32Builder).Append(arrow.Date32(x))
		} else {
			b.AppendNull()
		}
	}}
}

// Boolean is a column of yes or no.
func Boolean(name, meaning string, v func(i int) bool) Column {
	return Column{NewField(name, arrow.FixedWidthTypes.Boolean, "", meaning), func(b array.Builder, i int) {
		b.(*array.BooleanBuilder).Append(v(i))
	}}
}

// Money rounds to 1e-4 of the currency; what does not fit is null.
func Money(name, meaning string, v func(i int) float64) Column {
	return Column{NewField(name, tables.Money, "currency", meaning), func(b array.Builder, i int) {
		if m, ok := datasets.MoneyFromFloat(v(i)); ok {
			b.(*array.Decimal128Builder).Append(decimal128.FromI64(int64(m)))
		} else {
			b.AppendNull()
		}
	}}
}

// SchemaOf is the schema of the columns.
func SchemaOf(columns []Column) *arrow.Schema {
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		fields[i] = c.Field
	}
	return arrow.NewSchema(fields, nil)
}

// Rows builds a record of rows [from, to).
func Rows(schema *arrow.Schema, columns []Column, from, to int) arrow.Record {
	arrays := make([]arrow.Array, len(columns))
	for j, c := range columns {
		b := array.NewBuilder(memory.DefaultAllocator, c.Field.Type)
		b.Reserve(to - from)
		for i := from; i < to; i++ {
			c.Append(b, i)
		}
		arrays[j] = b.NewArray()
	}
	return array.NewRecord(schema, arrays, int64(to-from))
}

// A Table is a published table: its schema, and its records as they are needed.
type Table struct {
	Name    string
	Schema  *arrow.Schema
	Records func(yield func(arrow.Record) error) error
}

// FromColumns is a table of n rows.
func FromColumns(name string, columns []Column, n int) Table {
	schema := SchemaOf(columns)
	return Table{name, schema, func(yield func(arrow.Record) error) error {
		const chunk = 64 << 10
		for from := 0; from < n; from += chunk {
			if err := yield(Rows(schema, columns, from, min(from+chunk, n))); err != nil {
				return err
			}
		}
		return nil
	}}
}
