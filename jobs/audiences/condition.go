package audiences

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/shoal-data/shoal/datasets/tables"
	"github.com/shoal-data/shoal/jobs/config/conditions"
)

// A test readies a condition for the rows of a record.
type test func(rec arrow.Record) func(i int) bool

func newTest(text string, find func(key, name string) (int, error), schema *arrow.Schema) (test, error) {
	c, err := conditions.ParseRow(text)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", text, err)
	}
	at, err := find("where", c.Column)
	if err != nil {
		return nil, err
	}
	switch c.Kind {
	case conditions.Known:
		return func(rec arrow.Record) func(int) bool { return rec.Column(at).IsValid }, nil
	case conditions.Unknown:
		return func(rec arrow.Record) func(int) bool { return rec.Column(at).IsNull }, nil
	}
	if t := schema.Field(at).Type; t.ID() == arrow.STRING {
		if !slices.Contains([]string{conditions.Equal, conditions.Unequal, conditions.In}, c.Kind) {
			return nil, fmt.Errorf("%q: %s is a text, which only =, != and in compare", text, c.Column)
		}
		return func(rec arrow.Record) func(int) bool {
			col := rec.Column(at).(*array.String)
			return func(i int) bool {
				return col.IsValid(i) && slices.Contains(c.Values, col.Value(i)) != (c.Kind == conditions.Unequal)
			}
		}, nil
	}
	return numbers(c, text, at, schema.Field(at).Type)
}

// numbers compares columns that have an order. Money is compared in its currency,
// dates by the day.
func numbers(c conditions.RowCondition, text string, at int, t arrow.DataType) (test, error) {
	parse := func(s string) (float64, error) {
		v, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return 0, fmt.Errorf("%q: %s is a number, and %q is none", text, c.Column, s)
		}
		return v, nil
	}
	switch t.ID() {
	case arrow.DATE32:
		parse = func(s string) (float64, error) {
			d, err := time.Parse(time.DateOnly, s)
			if err != nil {
				return 0, fmt.Errorf("%q: %s is a date, and %q is none: write it as 2025-03-31", text, c.Column, s)
			}
			return float64(d.Unix() / 86400), nil
		}
	case arrow.BOOL:
		parse = func(s string) (float64, error) {
			switch s {
			case "true":
				return 1, nil
			case "false":
				return 0, nil
			}
			return 0, fmt.Errorf("%q: %s is true or false, and not %q", text, c.Column, s)
		}
	case arrow.INT32, arrow.INT64, arrow.FLOAT64, arrow.DECIMAL128:
	default:
		return nil, fmt.Errorf("%q: %s is %v, which can only be known or unknown", text, c.Column, t)
	}
	var values []float64
	for _, s := range c.Values {
		v, err := parse(s)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	v := values[0]
	met := map[string]func(x float64) bool{
		conditions.AtLeast: func(x float64) bool { return x >= v },
		conditions.Above:   func(x float64) bool { return x > v },
		conditions.AtMost:  func(x float64) bool { return x <= v },
		conditions.Below:   func(x float64) bool { return x < v },
		conditions.Equal:   func(x float64) bool { return x == v },
		conditions.Unequal: func(x float64) bool { return x != v },
		conditions.In:      func(x float64) bool { return slices.Contains(values, x) },
	}[c.Kind]
	return func(rec arrow.Record) func(int) bool {
		col := rec.Column(at)
		return func(i int) bool { return col.IsValid(i) && met(number(col, i)) }
	}, nil
}

// number is a value that is known.
func number(col arrow.Array, i int) float64 {
	switch a := col.(type) {
	case *array.Int32:
		return float64(a.Value(i))
	case *array.Int64:
		return float64(a.Value(i))
	case *array.Date32:
		return float64(a.Value(i))
	case *array.Decimal128:
		return float64(int64(a.Value(i).LowBits())) / 1e4 // the nearest to what is meant, as a parsed number is
	case *array.Boolean:
		if a.Value(i) {
			return 1
		}
		return 0
	}
	return col.(*array.Float64).Value(i)
}

// valueText is a value that is no text, for a file.
func valueText(col arrow.Array, i int) string {
	switch a := col.(type) {
	case *array.Float64:
		return strconv.FormatFloat(a.Value(i), 'g', -1, 64)
	case *array.Date32:
		return time.Unix(int64(a.Value(i))*86400, 0).UTC().Format(time.DateOnly)
	case *array.Timestamp:
		return time.UnixMicro(int64(a.Value(i))).UTC().Format(time.RFC3339Nano)
	case *array.Decimal128:
		return a.Value(i).ToString(tables.Money.Scale)
	}
	return col.ValueStr(i)
}
