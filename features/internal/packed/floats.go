package packed

import (
	"encoding/binary"
	"math"
	"slices"
)

// How a column of floats is kept.
const (
	integers byte = iota // as integers
	fixed                // as integers in units of 1/scale: money, and what is made of it by adding
	plain                // as they are
)

const (
	scale = 10_000
	exact = 1 << 53 // integers below it are floats
)

// Floats packs columns of float64 in which NaN is null, reusing its memory.
type Floats struct{ ints []int64 }

// Append packs a column onto dst. Every value reads back as the same bits, NaN
// as some NaN.
func (p *Floats) Append(dst []byte, values []float64) []byte {
	p.ints = slices.Grow(p.ints[:0], len(values))[:len(values)]
	if toIntegers(p.ints, values) {
		return AppendNullable(append(dst, integers), p.ints, nil)
	}
	if toFixed(p.ints, values) {
		return AppendNullable(append(dst, fixed), p.ints, nil)
	}
	dst = append(dst, plain)
	for _, v := range values {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
	}
	return dst
}

func toIntegers(dst []int64, values []float64) bool {
	for i, v := range values {
		if v != v {
			dst[i] = Null
			continue
		}
		n := int64(v)
		if float64(n) != v || n >= exact || n <= -exact || n == 0 && math.Signbit(v) {
			return false
		}
		dst[i] = n
	}
	return true
}

func toFixed(dst []int64, values []float64) bool {
	for i, v := range values {
		if v != v {
			dst[i] = Null
			continue
		}
		n := int64(math.Round(v * scale))
		if n >= exact || n <= -exact || float64(n)/scale != v || n == 0 && math.Signbit(v) {
			return false
		}
		dst[i] = n
	}
	return true
}

// Read appends the n values of the column at the head of src to dst.
func (p *Floats) Read(dst []float64, src []byte, n int) ([]float64, error) {
	if len(src) == 0 {
		return dst, ErrDamaged
	}
	kind := src[0]
	src = src[1:]
	if kind == plain {
		if len(src) < 8*n {
			return dst, ErrDamaged
		}
		for i := range n {
			dst = append(dst, math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:])))
		}
		return dst, nil
	}
	var err error
	if p.ints, _, err = Read(p.ints[:0], src, n); err != nil {
		return dst, err
	}
	divisor := 1.0
	switch kind {
	case integers:
	case fixed:
		divisor = scale
	default:
		return dst, ErrDamaged
	}
	for _, v := range p.ints {
		if v == Null {
			dst = append(dst, math.NaN())
		} else {
			dst = append(dst, float64(v)/divisor)
		}
	}
	return dst, nil
}
