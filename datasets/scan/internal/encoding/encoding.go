// Package encoding decodes the encodings of Parquet's values and levels: PLAIN,
// the RLE / bit-packed hybrid, the deltas and BYTE_STREAM_SPLIT. Nothing is
// believed on the word of the bytes alone: every decoder is told how many values
// there must be, and takes memory for no more.
// Source: https://github.com/apache/parquet-format/blob/master/Encodings.md
package encoding

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/parquet-go/parquet-go/format"

	"github.com/shoal-data/shoal/datasets/scan/internal/fault"
)

// MaxPage bounds the bytes of a page, decompressed and decoded; writers aim at 1 MiB.
const MaxPage = 256 << 20

// Faults of a page.
var (
	ErrFewer  = errors.New("it holds fewer values than its header states")
	ErrMore   = errors.New("it holds more than its header states")
	ErrTooBig = fault.Unsupported("it is larger than %d MiB, the most that is supported; rewrite the file with smaller pages or row groups", MaxPage>>20)
)

// A Type is the physical type of a column.
type Type struct {
	Physical format.Type
	Width    int // bytes, of FIXED_LEN_BYTE_ARRAY
}

// FixedWidth is the width of a PLAIN value in bytes; 0 where it varies.
func (t Type) FixedWidth() int {
	switch t.Physical {
	case format.Int32, format.Float:
		return 4
	case format.Int64, format.Double:
		return 8
	case format.Int96:
		return 12
	case format.FixedLenByteArray:
		return t.Width
	}
	return 0
}

// Values are decoded values of one of three forms. Which one follows from the
// physical type: Ints for BOOLEAN, INT32 and INT64; Floats for FLOAT and DOUBLE;
// bytes for BYTE_ARRAY, FIXED_LEN_BYTE_ARRAY and INT96, value i being
// Data[Lo[i]:Hi[i]].
type Values struct {
	Ints   []int64
	Floats []float64
	Data   []byte
	Lo, Hi []uint32
}

// Bytes is value i in the bytes form. It is valid as long as Data is.
func (v *Values) Bytes(i int) []byte { return v.Data[v.Lo[i]:v.Hi[i]] }

// Spread moves the first count values to the rows that are valid, the last one
// first. Null rows get the zero value.
func Spread[T any](v []T, valid []bool, count int) {
	var zero T
	for i := len(valid) - 1; i >= 0; i-- {
		// Which rows are valid cannot be foreseen: a jump that depended on it would be
		// mispredicted every few rows. For a null row v[count], where count ≤ i, is read
		// and not used.
		one := 0
		if valid[i] {
			one = 1
		}
		count -= one
		x := v[count]
		if one == 0 {
			x = zero
		}
		v[i] = x
	}
}

// Grow returns v with length n; the values it held stay.
func Grow[T any](v []T, n int) []T {
	if cap(v) < n {
		w := make([]T, n, max(n, 2048))
		copy(w, v)
		return w
	}
	return v[:n]
}

// Plain decodes n PLAIN values of b from *at on, and moves *at past them. *at counts
// bits for BOOLEAN, and bytes for all other types.
func (v *Values) Plain(typ Type, b []byte, at *int, n int) error {
	if w := typ.FixedWidth(); w > 0 && (len(b)-*at)/w < n {
		return ErrFewer
	}
	switch typ.Physical {
	case format.Boolean:
		if n > len(b)*8-*at {
			return ErrFewer
		}
		v.Ints = Grow(v.Ints, n)
		for i := range v.Ints {
			v.Ints[i] = int64(b[*at>>3] >> (*at & 7) & 1)
			*at++
		}
	case format.Int32:
		v.Ints = Grow(v.Ints, n)
		s := b[*at:]
		for i := range v.Ints {
			v.Ints[i] = int64(int32(binary.LittleEndian.Uint32(s[4*i:])))
		}
		*at += 4 * n
	case format.Int64:
		v.Ints = Grow(v.Ints, n)
		s := b[*at:]
		for i := range v.Ints {
			v.Ints[i] = int64(binary.LittleEndian.Uint64(s[8*i:]))
		}
		*at += 8 * n
	case format.Float:
		v.Floats = Grow(v.Floats, n)
		s := b[*at:]
		for i := range v.Floats {
			v.Floats[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(s[4*i:])))
		}
		*at += 4 * n
	case format.Double:
		v.Floats = Grow(v.Floats, n)
		s := b[*at:]
		for i := range v.Floats {
			v.Floats[i] = math.Float64frombits(binary.LittleEndian.Uint64(s[8*i:]))
		}
		*at += 8 * n
	case format.ByteArray:
		v.Lo, v.Hi, v.Data = Grow(v.Lo, n), Grow(v.Hi, n), b
		p := *at
		for i := range n {
			if len(b)-p < 4 {
				return ErrFewer
			}
			size := binary.LittleEndian.Uint32(b[p:])
			p += 4
			if uint64(size) > uint64(len(b)-p) {
				return ErrFewer
			}
			v.Lo[i] = uint32(p)
			p += int(size)
			v.Hi[i] = uint32(p)
		}
		*at = p
	default:
		w := typ.FixedWidth()
		v.Lo, v.Hi, v.Data = Grow(v.Lo, n), Grow(v.Hi, n), b
		for i := range n {
			v.Lo[i] = uint32(*at + i*w)
			v.Hi[i] = uint32(*at + i*w + w)
		}
		*at += n * w
	}
	return nil
}

// ByteStreamSplit decodes BYTE_STREAM_SPLIT: the k-th bytes of all values lie together.
func ByteStreamSplit(dst, b []byte, width int) []byte {
	if cap(dst) < len(b) {
		dst = make([]byte, len(b))
	}
	dst = dst[:len(b)]
	n := len(b) / width
	for k := range width {
		stream := b[k*n : (k+1)*n]
		for i, v := range stream {
			dst[i*width+k] = v
		}
	}
	return dst
}
