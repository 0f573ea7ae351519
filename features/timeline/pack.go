package timeline

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"

	"github.com/shoal-data/shoal/datasets"
)

// Columns of events lie packed: each value less the smallest, divided by what
// divides them all, in as many bits as the largest needs. A column of n values is
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

// integer are the types that columns hold.
type integer interface {
	~int64 | ~uint64 | ~int32 | ~uint32 | ~uint8
}

// The steps that instants and amounts often share, coarsest first.
var (
	timeSteps  = []uint64{1_000_000, 1_000}
	moneySteps = []uint64{datasets.MoneyScale, datasets.MoneyScale / 100}
)

// pack appends a column.
func pack[T integer](dst []byte, values []T, steps []uint64) []byte {
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
		dst = binary.AppendUvarint(binary.AppendVarint(append(dst, whole), 0), 1)
		for _, v := range values {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(v))
		}
		return dst
	}
	dst = binary.AppendUvarint(binary.AppendVarint(append(dst, byte(width)), least), step)
	w := bitWriter{dst: dst, width: uint(width)}
	if step == 1 {
		for _, v := range values {
			w.put(uint64(int64(v) - least))
		}
	} else {
		for _, v := range values {
			w.put(uint64(int64(v)-least) / step)
		}
	}
	return w.close()
}

func divides[T integer](step uint64, values []T, least int64) bool {
	for _, v := range values {
		if uint64(int64(v)-least)%step != 0 {
			return false
		}
	}
	return true
}

// packMoney appends a column that may hold nulls.
func packMoney(dst []byte, values []datasets.Money) []byte {
	if !slices.Contains(values, datasets.NullMoney) {
		return pack(dst, values, moneySteps)
	}
	least, most := datasets.Money(1<<63-1), datasets.Money(-1<<63)
	for _, v := range values {
		if v != datasets.NullMoney {
			least, most = min(least, v), max(most, v)
		}
	}
	if least > most { // nothing but nulls
		return binary.AppendUvarint(binary.AppendVarint(append(dst, nullable), 0), 1)
	}
	step := uint64(1)
	for _, s := range moneySteps {
		all := true
		for _, v := range values {
			if v != datasets.NullMoney && uint64(v-least)%s != 0 {
				all = false
				break
			}
		}
		if all {
			step = s
			break
		}
	}
	width := bits.Len64(uint64(most-least)/step + 1)
	if width > widest { // wider than any amount that a reader accepts
		dst = binary.AppendUvarint(binary.AppendVarint(append(dst, whole), 0), 1)
		for _, v := range values {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(v))
		}
		return dst
	}
	dst = binary.AppendUvarint(binary.AppendVarint(append(dst, byte(width)|nullable), int64(least)), step)
	w := bitWriter{dst: dst, width: uint(width)}
	for _, v := range values {
		if v == datasets.NullMoney {
			w.put(0)
		} else {
			w.put(uint64(v-least)/step + 1)
		}
	}
	return w.close()
}

// A bitWriter appends values of up to 64 bits.
type bitWriter struct {
	dst   []byte
	width uint
	word  uint64
	used  uint // bits of word, under 64
}

func (w *bitWriter) put(v uint64) {
	w.word |= v << w.used
	if w.used += w.width; w.used >= 64 {
		w.dst = binary.LittleEndian.AppendUint64(w.dst, w.word)
		w.used -= 64
		w.word = v >> (w.width - w.used)
	}
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

var errPacked = errors.New("timeline: a packed block is damaged")

// unpack appends the n values of the column at the head of src to dst and
// returns what follows it.
func unpack[T integer](dst []T, src []byte, n int) ([]T, []byte, error) {
	if n == 0 {
		return dst, src, nil
	}
	if len(src) < 3 {
		return dst, nil, errPacked
	}
	width, nulls := uint(src[0]&^nullable), src[0]&nullable != 0
	least, used := binary.Varint(src[1:])
	if used <= 0 {
		return dst, nil, errPacked
	}
	src = src[1+used:]
	step, used := binary.Uvarint(src)
	if used <= 0 {
		return dst, nil, errPacked
	}
	src = src[used:]
	at := len(dst)
	dst = slices.Grow(dst, n)[:at+n]
	out := dst[at:]
	switch {
	case width == 0:
		v := T(least)
		if nulls {
			null := datasets.NullMoney
			v = T(null)
		}
		for i := range out {
			out[i] = v
		}
		return dst, src, nil
	case width == whole:
		if len(src) < 8*n {
			return dst[:at], nil, errPacked
		}
		for i := range out {
			out[i] = T(binary.LittleEndian.Uint64(src[8*i:]))
		}
		return dst, src[8*n:], nil
	case width > widest:
		return dst[:at], nil, errPacked
	}
	size := (uint(n)*width+7)/8 + padding
	if uint(len(src)) < size {
		return dst[:at], nil, errPacked
	}
	mask := uint64(1)<<width - 1
	bit := uint(0)
	switch {
	case nulls:
		null := datasets.NullMoney
		for i := range out {
			v := binary.LittleEndian.Uint64(src[bit>>3:]) >> (bit & 7) & mask
			if v == 0 {
				out[i] = T(null)
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
