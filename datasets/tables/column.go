package tables

import (
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/bitutil"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/parquet-go/parquet-go"
)

// columnWriter fills the pages of one column. Where a page ends depends on the
// values alone.
type columnWriter struct {
	column
	index int
	out   *parquet.ColumnWriter
	rows  int   // in the page being filled
	bytes int64 // of text and binary in it
}

// append adds values [from, to) of arr. When it fails it also returns the
// position in arr of the value at fault.
func (c *columnWriter) append(arr arrow.Array, from, to int, scratch []parquet.Value) (int, error) {
	convert := c.converter(arr)
	for from < to {
		// Binary values are of one width; text counts its bytes as it converts.
		rows := pageRows
		if c.kind == kindUUID || c.kind == kindBinary {
			rows = max(1, min(rows, pageBytes/int(c.width)))
		}
		n, err := convert(scratch[:min(to-from, len(scratch), rows-c.rows)], from)
		if err != nil {
			return from + n, err
		}
		if _, err := c.out.WriteRowValues(scratch[:n]); err != nil {
			return from, err
		}
		from += n
		if c.rows += n; c.rows == rows || c.bytes >= pageBytes {
			if err := c.endPage(); err != nil {
				return from, err
			}
		}
	}
	return from, nil
}

func (c *columnWriter) endPage() error {
	c.rows, c.bytes = 0, 0
	return c.out.Flush()
}

// A converter turns values of an array, from position from on, into Parquet
// values, and returns how many of dst it set. It sets fewer where a page ends.
// When it fails it returns the number of values before the one at fault.
type converter func(dst []parquet.Value, from int) (int, error)

func (c *columnWriter) converter(arr arrow.Array) converter {
	// fixed is the converter of types whose values are all of one width. Column
	// buffers look at a value's definition level only: 0 is null, 1 is not.
	fixed := func(value func(i int) parquet.Value) converter {
		return func(dst []parquet.Value, from int) (int, error) {
			for i := range dst {
				dst[i] = parquet.Value{}
				if arr.IsValid(from + i) {
					dst[i] = value(from+i).Level(0, 1, 0)
				}
			}
			return len(dst), nil
		}
	}
	switch arr := arr.(type) {
	case *array.Float64:
		v, bitmap := arr.Float64Values(), validity(arr)
		return func(dst []parquet.Value, from int) (int, error) {
			for i, x := range v[from : from+len(dst)] {
				if bitmap != nil && !bitutil.BitIsSet(bitmap, arr.Offset()+from+i) {
					dst[i] = parquet.Value{}
					continue
				}
				if x == 0 {
					x = 0 // which of 0 and -0 is the lesser depends on the CPU's instructions
				}
				dst[i] = parquet.DoubleValue(x).Level(0, 1, 0)
			}
			return len(dst), nil
		}
	case *array.Int64:
		v := arr.Int64Values()
		return fixed(func(i int) parquet.Value { return parquet.Int64Value(v[i]) })
	case *array.Int32:
		v := arr.Int32Values()
		return fixed(func(i int) parquet.Value { return parquet.Int32Value(v[i]) })
	case *array.Date32:
		v := arr.Date32Values()
		return fixed(func(i int) parquet.Value { return parquet.Int32Value(int32(v[i])) })
	case *array.Timestamp:
		v := arr.TimestampValues()
		return fixed(func(i int) parquet.Value { return parquet.Int64Value(int64(v[i])) })
	case *array.Boolean:
		return fixed(func(i int) parquet.Value { return parquet.BooleanValue(arr.Value(i)) })
	case *array.FixedSizeBinary:
		return fixed(func(i int) parquet.Value { return parquet.FixedLenByteArrayValue(arr.Value(i)) })
	case *array.Decimal128:
		return func(dst []parquet.Value, from int) (int, error) {
			for i := range dst {
				dst[i] = parquet.Value{}
				if arr.IsNull(from + i) {
					continue
				}
				v, err := moneyUnits(arr.Value(from + i))
				if err != nil {
					return i, err
				}
				dst[i] = parquet.Int64Value(v).Level(0, 1, 0)
			}
			return len(dst), nil
		}
	case *array.String:
		text, offsets := arr.ValueBytes(), arr.ValueOffset // text begins with the first value's
		return func(dst []parquet.Value, from int) (int, error) {
			for i := range dst {
				dst[i] = parquet.Value{}
				if arr.IsNull(from + i) {
					continue
				}
				s := text[offsets(from+i)-offsets(0) : offsets(from+i+1)-offsets(0)]
				if err := checkText(s); err != nil {
					return i, err
				}
				dst[i] = parquet.ByteArrayValue(s).Level(0, 1, 0)
				if c.bytes += int64(len(s)); c.bytes >= pageBytes {
					return i + 1, nil
				}
			}
			return len(dst), nil
		}
	default:
		panic(fmt.Sprintf("tables: column %s has no converter for %s", c.Name, arr.DataType()))
	}
}

func checkText(s []byte) error {
	if len(s) > maxText {
		return fmt.Errorf("%d bytes of text, more than the %d a table holds", len(s), maxText)
	}
	if !utf8.Valid(s) {
		return fmt.Errorf("%.40q is not valid UTF-8", s)
	}
	return nil
}

// maxUnits is the largest DECIMAL(18,4), in units of 1e-4.
const maxUnits = 1e18 - 1

func moneyUnits(d decimal128.Num) (int64, error) {
	v := int64(d.LowBits())
	if v>>63 != d.HighBits() || v > maxUnits || v < -maxUnits {
		return 0, fmt.Errorf("%s does not fit DECIMAL(18,4)", d.ToString(Money.Scale))
	}
	return v, nil
}

// validity is the array's bitmap of values that are not null, or nil when none is.
func validity(arr arrow.Array) []byte {
	if arr.NullN() == 0 {
		return nil
	}
	return arr.NullBitmapBytes()
}

// worthDictionary reports whether the values repeat so much in the sample that
// a dictionary makes the column smaller: at most one in four is new.
func worthDictionary(sample []arrow.Record, col int) bool {
	values := 0
	for _, rec := range sample {
		values += rec.Column(col).Len() - rec.Column(col).NullN()
	}
	limit := values / 4
	words, texts := make(map[uint64]struct{}, limit+1), map[string]struct{}{}
	for _, rec := range sample {
		for i := range int(rec.NumRows()) {
			if rec.Column(col).IsNull(i) {
				continue
			}
			switch arr := rec.Column(col).(type) {
			case *array.Float64:
				words[math.Float64bits(arr.Value(i))] = struct{}{}
			case *array.Int64:
				words[uint64(arr.Value(i))] = struct{}{}
			case *array.Int32:
				words[uint64(arr.Value(i))] = struct{}{}
			case *array.Date32:
				words[uint64(arr.Value(i))] = struct{}{}
			case *array.Timestamp:
				words[uint64(arr.Value(i))] = struct{}{}
			case *array.Decimal128:
				words[arr.Value(i).LowBits()] = struct{}{}
			case *array.String:
				texts[arr.Value(i)] = struct{}{}
			default: // a boolean is smaller than an index; identifiers do not repeat
				return false
			}
			if len(words)+len(texts) > limit {
				return false
			}
		}
	}
	return values > 0
}
