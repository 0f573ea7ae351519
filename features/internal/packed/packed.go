// Package packed holds columns of numbers in as few bits as they need.
package packed

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"slices"
)

// Each value is kept less the smallest, divided by what divides them all, in as
// many bits as the largest needs. A column of n values is
//
//	width   byte      bits a value, 0 … 56 or 64
//	least   varint    the smallest value (zigzag)
//	step    uvarint   the common divisor
//	values  ⌈n·width/8⌉ bytes, little endian, and 7 more so that a value can be
//	        loaded as eight bytes
//
// A column with nulls has width | nullable; its values are one more, 0 is null.
const (
	widest   = 56  // beyond it values are kept whole
	whole    = 64  // bits of a value that is
	nullable = 128 // flag on the width
	padding  = 7
)

// Integer are the types that columns hold.
type Integer interface {
	~int64 | ~uint64 | ~int32 | ~uint32 | ~uint8
}

// Append packs a column onto dst. steps are divisors that the values may share,
// coarsest first.
func Append[T Integer](dst []byte, values []T, steps []uint64) []byte {
	if len(values) == 0 {
		return dst
	}
	least, most := int64(values[0]), int64(values[0])
	for _, v := range values {
		least, most = min(least, int64(v)), max(most, int64(v))
	}
	step := uint64(1)
	for _, s := range steps {
		if divides(s, values, least) {
			step = s
			break
		}
	}
	width := bits.Len64(uint64(most-least) / step)
	if width > widest {
		return appendWhole(dst, values)
	}
	dst = binary.AppendUvarint(binary.AppendVarint(append(dst, byte(width)), least), step)
	w := bitWriter{dst: dst, width: uint(width)}
	var some [block]uint64
	by := reciprocalOf(step)
	for len(values) > 0 {
		now := values[:min(len(values), block)]
		if step == 1 {
			for i, v := range now {
				some[i] = uint64(int64(v) - least)
			}
		} else {
			for i, v := range now {
				some[i] = by.quotient(uint64(int64(v) - least))
			}
		}
		w.put(some[:len(now)])
		values = values[len(now):]
	}
	return w.close()
}

// block is how many values are brought into their form before they are written.
const block = 128

func divides[T Integer](step uint64, values []T, least int64) bool {
	by := reciprocalOf(step)
	for _, v := range values {
		if x := uint64(int64(v) - least); by.quotient(x)*step != x {
			return false
		}
	}
	return true
}

// A reciprocal, ⌈2⁶⁴ ÷ step⌉, divides by multiplying. That of 1 is not to be used.
type reciprocal uint64

func reciprocalOf(step uint64) reciprocal { return reciprocal(math.MaxUint64/step + 1) }

// quotient is x ÷ step if step divides x, and otherwise a number whose product with
// step is not x. With e = step·⌈2⁶⁴÷step⌉ − 2⁶⁴ < step, the product of q·step and the
// reciprocal is q·2⁶⁴ + q·e, and q·e < q·step < 2⁶⁴.
func (r reciprocal) quotient(x uint64) uint64 {
	hi, _ := bits.Mul64(x, uint64(r))
	return hi
}

// Null marks an absent value of a column of AppendNullable.
const Null = math.MinInt64

// AppendNullable packs a column that may hold Null.
func AppendNullable[T ~int64](dst []byte, values []T, steps []uint64) []byte {
	if !slices.Contains(values, Null) {
		return Append(dst, values, steps)
	}
	least, most := T(math.MaxInt64), T(math.MinInt64)
	for _, v := range values {
		if v != Null {
			least, most = min(least, v), max(most, v)
		}
	}
	if least > most { // nothing but nulls
		return binary.AppendUvarint(binary.AppendVarint(append(dst, nullable), 0), 1)
	}
	step := uint64(1)
	for _, s := range steps {
		if nullableDivides(s, values, least) {
			step = s
			break
		}
	}
	width := bits.Len64(uint64(most-least)/step + 1)
	if width > widest {
		return appendWhole(dst, values)
	}
	dst = binary.AppendUvarint(binary.AppendVarint(append(dst, byte(width)|nullable), int64(least)), step)
	w := bitWriter{dst: dst, width: uint(width)}
	var some [block]uint64
	by := reciprocalOf(step)
	for len(values) > 0 {
		now := values[:min(len(values), block)]
		for i, v := range now {
			x := uint64(v - least)
			if step != 1 {
				x = by.quotient(x)
			}
			if x++; v == Null {
				x = 0
			}
			some[i] = x
		}
		w.put(some[:len(now)])
		values = values[len(now):]
	}
	return w.close()
}

func nullableDivides[T ~int64](step uint64, values []T, least T) bool {
	by := reciprocalOf(step)
	for _, v := range values {
		x := uint64(v - least)
		if v == Null {
			x = 0
		}
		if by.quotient(x)*step != x {
			return false
		}
	}
	return true
}

func appendWhole[T Integer](dst []byte, values []T) []byte {
	dst = binary.AppendUvarint(binary.AppendVarint(append(dst, whole), 0), 1)
	for _, v := range values {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(v))
	}
	return dst
}

// A bitWriter appends values of up to 64 bits.
type bitWriter struct {
	dst   []byte
	width uint
	word  uint64
	used  uint // bits of word, under 64
}

func (w *bitWriter) put(values []uint64) {
	width, word, used := w.width, w.word, w.used
	// A word for each value is room enough, and the loop need not ask for more.
	w.dst = slices.Grow(w.dst, 8*len(values))
	at := len(w.dst)
	out := w.dst[:at+8*len(values)]
	for _, v := range values {
		word |= v << used
		if used += width; used >= 64 {
			binary.LittleEndian.PutUint64(out[at:], word)
			at += 8
			used -= 64
			word = v >> (width - used)
		}
	}
	w.dst, w.word, w.used = out[:at], word, used
}

func (w *bitWriter) close() []byte {
	if w.width == 0 {
		return w.dst
	}
	for w.used > 0 {
		w.dst = append(w.dst, byte(w.word))
		w.word >>= 8
		w.used -= min(w.used, 8)
	}
	return append(w.dst, make([]byte, padding)...)
}

// ErrDamaged says that bytes are no packed column.
var ErrDamaged = errors.New("a packed column is damaged")

// Read appends the n values of the column at the head of src to dst and
// returns what follows it.
func Read[T Integer](dst []T, src []byte, n int) ([]T, []byte, error) {
	if n == 0 {
		return dst, src, nil
	}
	if len(src) < 3 {
		return dst, nil, ErrDamaged
	}
	width, nulls := uint(src[0]&^nullable), src[0]&nullable != 0
	least, used := binary.Varint(src[1:])
	if used <= 0 {
		return dst, nil, ErrDamaged
	}
	src = src[1+used:]
	step, used := binary.Uvarint(src)
	if used <= 0 {
		return dst, nil, ErrDamaged
	}
	src = src[used:]
	at := len(dst)
	dst = slices.Grow(dst, n)[:at+n]
	out := dst[at:]
	switch {
	case width == 0:
		v := T(least)
		if nulls {
			v = null[T]()
		}
		for i := range out {
			out[i] = v
		}
		return dst, src, nil
	case width == whole:
		if len(src) < 8*n {
			return dst[:at], nil, ErrDamaged
		}
		for i := range out {
			out[i] = T(binary.LittleEndian.Uint64(src[8*i:]))
		}
		return dst, src[8*n:], nil
	case width > widest:
		return dst[:at], nil, ErrDamaged
	}
	size := (uint(n)*width+7)/8 + padding
	if uint(len(src)) < size {
		return dst[:at], nil, ErrDamaged
	}
	mask := uint64(1)<<width - 1
	bit := uint(0)
	switch {
	case nulls:
		none := null[T]()
		for i := range out {
			v := binary.LittleEndian.Uint64(src[bit>>3:]) >> (bit & 7) & mask
			if v == 0 {
				out[i] = none
			} else {
				out[i] = T(least + int64((v-1)*step))
			}
			bit += width
		}
	case step == 1:
		for i := range out {
			out[i] = T(least + int64(binary.LittleEndian.Uint64(src[bit>>3:])>>(bit&7)&mask))
			bit += width
		}
	default:
		for i := range out {
			out[i] = T(least + int64(binary.LittleEndian.Uint64(src[bit>>3:])>>(bit&7)&mask*step))
			bit += width
		}
	}
	return dst, src[size:], nil
}

func null[T Integer]() T {
	v := int64(Null)
	return T(v)
}
