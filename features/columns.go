package features

import (
	"math"
	"math/bits"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// columns turn rows into the columns of a batch. Rows are gathered by eight and
// turned while they are in the cache; a cache line of each column is written whole.
type columns struct {
	width  int
	rows   int
	block  []float64 // eight rows, row-major
	values []float64 // stride for each column
	valid  []byte    // a bitmap of batchRows for each column
	nulls  []int     // by column
}

// stride keeps columns apart by more than batchRows values, whose size in bytes is
// a power of two: their cache lines would all share one set.
const stride = batchRows + 8

func newColumns(width int) *columns {
	return &columns{
		width: width, block: make([]float64, 8*width),
		values: make([]float64, stride*width), valid: make([]byte, batchRows/8*width), nulls: make([]int, width),
	}
}

// next adds a row, of at most batchRows, and returns its place, which holds what
// an earlier row left.
func (c *columns) next() []float64 {
	if c.rows > 0 && c.rows%8 == 0 {
		c.turn(8)
	}
	row := c.block[c.rows%8*c.width:][:c.width:c.width]
	c.rows++
	return row
}

// infinity has, but for the sign, the greatest bits of all numbers: beyond it is NaN.
const infinity uint64 = 0x7FF << 52

// turn moves the newest rows, which begin at a multiple of eight, to the columns;
// NaN becomes null.
func (c *columns) turn(rows int) {
	first := c.rows - rows
	for j := range c.width {
		column := c.values[j*stride+first:][:rows]
		marks := byte(0)
		for k := range column {
			// Which values are null cannot be foreseen, so no jump depends on it.
			bits, present := math.Float64bits(c.block[k*c.width+j]), uint64(0)
			if bits<<1 <= infinity<<1 {
				present = 1
			}
			marks |= byte(present) << k
			column[k] = math.Float64frombits(bits & -present)
		}
		c.valid[j*(batchRows/8)+first/8] = marks
		c.nulls[j] += rows - bits.OnesCount8(marks)
	}
}

// record is the rows as Arrow has them, in the memory of c, which takes new rows
// only when the record is no longer needed.
func (c *columns) record(schema *arrow.Schema, ids arrow.Array) arrow.Record {
	if c.rows > 0 {
		c.turn((c.rows-1)%8 + 1)
	}
	arrays := make([]arrow.Array, c.width+1)
	arrays[0] = ids
	for j := range c.width {
		arrays[j+1] = column(c.values[j*stride:][:c.rows:c.rows], c.valid[j*(batchRows/8):][:(c.rows+7)/8], c.nulls[j])
	}
	n := c.rows
	c.rows = 0
	clear(c.nulls)
	return array.NewRecord(schema, arrays, int64(n))
}

// column is an Arrow column over values, which it takes.
func column(values []float64, valid []byte, nulls int) arrow.Array {
	var bitmap *memory.Buffer
	if nulls > 0 {
		bitmap = memory.NewBufferBytes(valid)
	}
	data := array.NewData(arrow.PrimitiveTypes.Float64, len(values), []*memory.Buffer{bitmap, memory.NewBufferBytes(arrow.Float64Traits.CastToBytes(values))}, nil, nulls, 0)
	return array.NewFloat64Data(data)
}

// floats is an Arrow column over values, which it takes; NaN becomes null.
func floats(values []float64) arrow.Array {
	valid := make([]byte, (len(values)+7)/8)
	nulls := 0
	for i, v := range values {
		if math.IsNaN(v) {
			values[i] = 0
			nulls++
		} else {
			valid[i/8] |= 1 << (i % 8)
		}
	}
	return column(values, valid, nulls)
}
