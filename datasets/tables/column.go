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

	"github.com/shoal-data/shoal/datasets/tables/internal/parquetfile"
)

// columnWriter fills the pages of one column. Where a page ends depends on the
// values alone.
type columnWriter struct {
	column
	index int
	out   *parquetfile.Chunk
	rows  int   // in the page being filled
	bytes int64 // of text and binary in it
}

// worker is what one goroutine that encodes columns needs for itself.
type worker struct {
	encoder *parquetfile.Encoder
	words   []uint64 // of pieceRows values
}

// append adds values [from, to) of arr. When it fails it also returns the
// position in arr of the value at fault.
func (c *columnWriter) append(arr arrow.Array, from, to int, by *worker) (int, error) {
	bitmap := validity(arr)
	for from < to {
		// Binary values are of one width; text counts its bytes as it goes.
		rows := pageRows
		if c.kind == kindUUID || c.kind == kindBinary {
			rows = max(1, min(rows, pageBytes/int(c.width)))
		}
		n, err := c.values(arr, bitmap, from, min(to-from, pieceRows, rows-c.rows), by.words)
		if err != nil {
			return from + n, err
		}
		c.out.Rows(bitmap, arr.Data().Offset()+from, n)
		from += n
		if c.rows += n; c.rows == rows || c.bytes >= pageBytes {
			if err := c.endPage(by); err != nil {
				return from, err
			}
		}
	}
	return from, nil
}

func (c *columnWriter) endPage(by *worker) error {
	c.rows, c.bytes = 0, 0
	return c.out.EndPage(by.encoder)
}

// values adds those of n values of arr, from position from on, that are not
// null, and returns how many positions it dealt with: fewer than n where a page
// ends, or those before the one at fault.
func (c *columnWriter) values(arr arrow.Array, bitmap []byte, from, n int, words []uint64) (int, error) {
	words = words[:n]
	switch arr := arr.(type) {
	case *array.Float64:
		for i, x := range arr.Float64Values()[from : from+n] {
			words[i] = math.Float64bits(x)
			if words[i] == 1<<63 {
				words[i] = 0 // readers disagree on which of 0 and -0 is the lesser
			}
		}
		words = present(words, bitmap, arr.Offset()+from)
		if lo, hi := floatBounds(words); lo <= hi {
			c.out.Bounds(parquet.DoubleValue(lo), parquet.DoubleValue(hi))
		}
	case *array.Int64:
		fill(words, arr.Int64Values()[from:])
		words = c.integers(present(words, bitmap, arr.Offset()+from))
	case *array.Int32:
		fill(words, arr.Int32Values()[from:])
		words = c.integers(present(words, bitmap, arr.Offset()+from))
	case *array.Date32:
		fill(words, arr.Date32Values()[from:])
		words = c.integers(present(words, bitmap, arr.Offset()+from))
	case *array.Timestamp:
		fill(words, arr.TimestampValues()[from:])
		words = c.integers(present(words, bitmap, arr.Offset()+from))
	case *array.Boolean:
		for i := range words {
			words[i] = 0
			if arr.Value(from + i) {
				words[i] = 1
			}
		}
		words = c.integers(present(words, bitmap, arr.Offset()+from))
	case *array.Decimal128:
		for i := range words {
			words[i] = 0
			if arr.IsNull(from + i) {
				continue
			}
			v, err := moneyUnits(arr.Value(from + i))
			if err != nil {
				return i, err
			}
			words[i] = uint64(v)
		}
		words = c.integers(present(words, bitmap, arr.Offset()+from))
	case *array.FixedSizeBinary:
		for i := range n {
			if arr.IsValid(from + i) {
				c.out.Bytes(arr.Value(from + i))
			}
		}
		return n, nil
	case *array.String:
		return c.texts(arr, from, n)
	default:
		panic(fmt.Sprintf("tables: column %s has no encoding for %s", c.Name, arr.DataType()))
	}
	c.out.Words(words)
	return n, nil
}

func (c *columnWriter) texts(arr *array.String, from, n int) (int, error) {
	text, offsets := arr.ValueBytes(), arr.ValueOffset // text begins with the first value's
	for i := range n {
		if arr.IsNull(from + i) {
			continue
		}
		s := text[offsets(from+i)-offsets(0) : offsets(from+i+1)-offsets(0)]
		if err := checkText(s); err != nil {
			return i, err
		}
		c.out.Bytes(s)
		if c.bytes += int64(len(s)); c.bytes >= pageBytes {
			return i + 1, nil
		}
	}
	return n, nil
}

// integers tells the chunk the bounds of whole numbers, dates, times, units of
// money or booleans, and returns them.
func (c *columnWriter) integers(words []uint64) []uint64 {
	if len(words) == 0 {
		return words
	}
	lo, hi := int64(words[0]), int64(words[0])
	for _, w := range words {
		lo, hi = min(lo, int64(w)), max(hi, int64(w))
	}
	value := parquet.Int64Value
	switch c.kind {
	case kindInt32, kindDate:
		value = func(v int64) parquet.Value { return parquet.Int32Value(int32(v)) }
	case kindBool:
		value = func(v int64) parquet.Value { return parquet.BooleanValue(v != 0) }
	}
	c.out.Bounds(value(lo), value(hi))
	return words
}

func fill[T ~int32 | ~int64](words []uint64, values []T) {
	for i := range words {
		words[i] = uint64(values[i])
	}
}

// floatBounds leaves NaN out: where nothing is left, lo is greater than hi.
func floatBounds(words []uint64) (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, w := range words {
		x := math.Float64frombits(w)
		if x < lo {
			lo = x
		}
		if x > hi {
			hi = x
		}
	}
	return lo, hi
}

// present moves the words whose bits, from bit offset on, are set to the front
// and returns them.
func present(words []uint64, bitmap []byte, offset int) []uint64 {
	if bitmap == nil {
		return words
	}
	switch bitutil.CountSetBits(bitmap, offset, len(words)) {
	case 0:
		return words[:0]
	case len(words):
		return words
	}
	n := 0
	for i, w := range words {
		words[n] = w
		n += int(bitmap[(offset+i)>>3]>>((offset+i)&7)) & 1
	}
	return words[:n]
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
