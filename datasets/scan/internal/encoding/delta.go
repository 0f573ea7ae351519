package encoding

import (
	"encoding/binary"
	"fmt"

	"github.com/shoal-data/shoal/datasets/scan/internal/compact"
)

// maxDeltaBlock bounds the block size of delta encoding. Writers use 128; a
// block of one width byte could otherwise stand for any number of values.
const maxDeltaBlock = 1 << 16

// DeltaBinaryPacked decodes DELTA_BINARY_PACKED into dst if it has room: exactly n
// values, wrapped to 32 bits for INT32. It also returns the bytes after them.
func DeltaBinaryPacked(dst []int64, b []byte, n int, is32 bool) (values []int64, rest []byte, err error) {
	c := compact.NewCursor(b)
	block, minis, total, value := c.Uvarint(), c.Uvarint(), c.Uvarint(), c.Zigzag()
	switch {
	case c.Err() != nil:
		return nil, nil, ErrFewer
	case total != uint64(n):
		return nil, nil, fmt.Errorf("it holds %d delta-encoded values where its header states %d", total, n)
	case block == 0 || block > maxDeltaBlock || minis == 0 || block%minis != 0 || (block/minis)%8 != 0:
		return nil, nil, fmt.Errorf("it has delta blocks of %d values in %d parts", block, minis)
	}
	// Every block takes its least delta and its widths, so few bytes cannot claim many values.
	if blocks := (uint64(n) + block - 2) / block; n > 0 && blocks*(1+minis) > uint64(len(b)-c.At()) {
		return nil, nil, ErrFewer
	}
	if cap(dst) < n {
		dst = make([]int64, n)
	}
	dst = dst[:n]
	per := int(block / minis)
	for i := 0; i < n; {
		if i == 0 {
			dst[0] = narrowed(value, is32)
			i++
			continue
		}
		least := c.Zigzag()
		widths := c.At()
		c.Discard(minis)
		if c.Err() != nil {
			return nil, nil, ErrFewer
		}
		for m := 0; m < int(minis) && i < n; m++ {
			width := uint(b[widths+m])
			if width > 64 {
				return nil, nil, fmt.Errorf("it has deltas of %d bits", width)
			}
			size := per / 8 * int(width)
			have := b[c.At():min(c.At()+size, len(b))]
			count := min(per, n-i)
			if uint(count)*width > uint(len(have))*8 {
				return nil, nil, ErrFewer
			}
			c.Discard(uint64(len(have)))
			bit := uint(0)
			for range count {
				value += least + int64(bitsAt(have, bit, width))
				dst[i] = narrowed(value, is32)
				bit += width
				i++
			}
		}
	}
	return dst, b[c.At():], nil
}

// narrowed wraps a value around where it is one of 32 bits.
func narrowed(v int64, is32 bool) int64 {
	if is32 {
		return int64(int32(v))
	}
	return v
}

// bitsAt is the width ≤ 64 bits from the given bit on.
func bitsAt(b []byte, bit, width uint) uint64 {
	if width == 0 {
		return 0
	}
	at, shift := bit>>3, bit&7
	var lo, hi uint64
	if at+9 <= uint(len(b)) {
		lo, hi = binary.LittleEndian.Uint64(b[at:]), uint64(b[at+8])
	} else {
		var tail [9]byte
		copy(tail[:], b[at:])
		lo, hi = binary.LittleEndian.Uint64(tail[:]), uint64(tail[8])
	}
	v := lo>>shift | hi<<(64-shift)
	if width < 64 {
		v &= 1<<width - 1
	}
	return v
}

// DeltaLengthByteArray decodes DELTA_LENGTH_BYTE_ARRAY: the ends of n values, the
// lengths that scratch became, and the data in which the values lie one after the
// other. ends and scratch are used again.
func DeltaLengthByteArray(ends []uint32, scratch []int64, b []byte, n int) ([]uint32, []int64, []byte, error) {
	lengths, data, err := DeltaBinaryPacked(scratch, b, n, true)
	if err != nil {
		return ends, scratch, nil, err
	}
	ends = ends[:0]
	at := int64(0)
	for _, l := range lengths {
		if at += l; l < 0 || at > int64(len(data)) {
			return ends, lengths, nil, ErrFewer
		}
		ends = append(ends, uint32(at))
	}
	if at != int64(len(data)) {
		return ends, lengths, nil, ErrMore
	}
	return ends, lengths, data, nil
}

// DeltaByteArray decodes DELTA_BYTE_ARRAY, in which each value shares a prefix with
// the one before: n values, one after the other, their ends, and what scratch
// became. out, ends and scratch are used again.
func DeltaByteArray(out []byte, ends []uint32, scratch []int64, b []byte, n int) ([]byte, []uint32, []int64, error) {
	prefixes, rest, err := DeltaBinaryPacked(scratch, b, n, true)
	if err != nil {
		return out, ends, scratch, err
	}
	suffixEnds, _, suffixes, err := DeltaLengthByteArray(nil, nil, rest, n)
	if err != nil {
		return out, ends, prefixes, err
	}
	out, ends = out[:0], ends[:0]
	last, from := 0, uint32(0)
	for i, p := range prefixes {
		if p < 0 || int(p) > len(out)-last {
			return out, ends, prefixes, fmt.Errorf("its value %d shares %d bytes with one of %d", i, p, len(out)-last)
		}
		if len(out)+int(p)+int(suffixEnds[i]-from) > MaxPage {
			return out, ends, prefixes, ErrTooBig
		}
		start := len(out)
		out = append(out, out[last:last+int(p)]...)
		out = append(out, suffixes[from:suffixEnds[i]]...)
		ends = append(ends, uint32(len(out)))
		last, from = start, suffixEnds[i]
	}
	return out, ends, prefixes, nil
}
