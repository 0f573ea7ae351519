package pages

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// The encodings of values and levels.
// Source: https://github.com/apache/parquet-format/blob/master/Encodings.md

var (
	errFewer = errors.New("it holds fewer values than its header states")
	errMore  = errors.New("it holds more than its header states")
)

// A hybrid streams the RLE / bit-packed hybrid of levels and dictionary
// indexes: nothing is expanded beyond what is asked for, so a run may claim any
// length.
type hybrid struct {
	b      []byte
	at     int
	width  uint
	left   int    // values left in the run
	packed bool   // the run is bit-packed
	value  uint32 // of a repeated run
	start  int    // byte at which a packed run starts
	pos    int    // values of the packed run consumed
}

func (h *hybrid) reset(b []byte, width uint) { *h = hybrid{b: b, width: width} }

// run starts the next run.
func (h *hybrid) run() error {
	head, n := binary.Uvarint(h.b[h.at:])
	if n <= 0 {
		return errFewer
	}
	h.at += n
	count := head >> 1
	if count == 0 || count > 1<<31 {
		return fmt.Errorf("it holds a run of %d values", count)
	}
	if h.packed = head&1 == 1; h.packed {
		// The last run may be cut short of whole groups of eight; it then holds
		// as many values as its bytes do.
		size := min(count*uint64(h.width), uint64(len(h.b)-h.at))
		h.left = int(count * 8)
		if h.width > 0 {
			h.left = int(min(count*8, size*8/uint64(h.width)))
		}
		h.start, h.pos = h.at, 0
		h.at += int(size)
		if h.left == 0 {
			return errFewer
		}
		return nil
	}
	size := int(h.width+7) / 8
	if len(h.b)-h.at < size {
		return errFewer
	}
	h.value = 0
	for i := range size {
		h.value |= uint32(h.b[h.at+i]) << (8 * i)
	}
	if h.width < 32 && h.value>>h.width != 0 {
		return fmt.Errorf("it repeats the value %d, which needs more than its %d bits", h.value, h.width)
	}
	h.at += size
	h.left = int(count)
	return nil
}

// repeats consumes the next n values if they are known, without looking at
// each, to be all v.
func (h *hybrid) repeats(n int, v uint32) (bool, error) {
	if h.left == 0 {
		if err := h.run(); err != nil {
			return false, err
		}
	}
	if h.packed || h.value != v || h.left < n {
		return false, nil
	}
	h.left -= n
	return true, nil
}

// read decodes the next len(dst) values.
func (h *hybrid) read(dst []uint32) error {
	for len(dst) > 0 {
		if h.left == 0 {
			if err := h.run(); err != nil {
				return err
			}
		}
		n := min(h.left, len(dst))
		if h.packed {
			unpack(dst[:n], h.b[h.start:], uint(h.pos)*h.width, h.width)
			h.pos += n
		} else {
			for i := range n {
				dst[i] = h.value
			}
		}
		h.left -= n
		dst = dst[n:]
	}
	return nil
}

// finished says whether all that is left is the padding of the last run: the
// format pads to 8 values, DuckDB to 256.
func (h *hybrid) finished() bool {
	if h.width == 0 && h.left == 0 && h.at == len(h.b)-1 && h.b[h.at] == 0 {
		return true // parquet-go ends a page without values with a run of none
	}
	return h.at == len(h.b) && (h.left == 0 || h.packed && h.left < 256)
}

// unpack reads len(dst) values of width ≤ 32 bits from the given bit on.
func unpack(dst []uint32, b []byte, bit, width uint) {
	mask := uint64(1)<<width - 1
	i := 0
	for ; i < len(dst); i++ {
		at := bit >> 3
		if at+8 > uint(len(b)) {
			break
		}
		dst[i] = uint32(binary.LittleEndian.Uint64(b[at:]) >> (bit & 7) & mask)
		bit += width
	}
	for ; i < len(dst); i++ {
		var tail [8]byte
		if at := bit >> 3; at < uint(len(b)) {
			copy(tail[:], b[at:])
		}
		dst[i] = uint32(binary.LittleEndian.Uint64(tail[:]) >> (bit & 7) & mask)
		bit += width
	}
}

// maxDeltaBlock bounds the block size of delta encoding. Writers use 128; a
// block of one width byte could otherwise stand for any number of values.
const maxDeltaBlock = 1 << 16

// delta decodes DELTA_BINARY_PACKED: exactly n values, wrapped to 32 bits when
// narrow. It returns the bytes after them.
func delta(dst []int64, b []byte, n int, narrow bool) (values []int64, rest []byte, err error) {
	c := cursor{b: b}
	block, minis, total, value := c.uvarint(), c.uvarint(), c.uvarint(), c.zigzag()
	switch {
	case c.err != nil:
		return nil, nil, errFewer
	case total != uint64(n):
		return nil, nil, fmt.Errorf("it holds %d delta-encoded values where its header states %d", total, n)
	case block == 0 || block > maxDeltaBlock || minis == 0 || block%minis != 0 || (block/minis)%8 != 0:
		return nil, nil, fmt.Errorf("it has delta blocks of %d values in %d parts", block, minis)
	}
	if cap(dst) < n {
		dst = make([]int64, n)
	}
	dst = dst[:n]
	per := int(block / minis)
	for i := 0; i < n; {
		if i == 0 {
			dst[0] = wrap(value, narrow)
			i++
			continue
		}
		least := c.zigzag()
		widths := c.at
		c.discard(minis)
		if c.err != nil {
			return nil, nil, errFewer
		}
		for m := 0; m < int(minis) && i < n; m++ {
			width := uint(b[widths+m])
			if width > 64 {
				return nil, nil, fmt.Errorf("it has deltas of %d bits", width)
			}
			size := per / 8 * int(width)
			have := b[c.at:min(c.at+size, len(b))]
			count := min(per, n-i)
			if uint(count)*width > uint(len(have))*8 {
				return nil, nil, errFewer
			}
			c.at += len(have)
			bit := uint(0)
			for range count {
				value += least + int64(bitsAt(have, bit, width))
				dst[i] = wrap(value, narrow)
				bit += width
				i++
			}
		}
	}
	return dst, b[c.at:], nil
}

func wrap(v int64, narrow bool) int64 {
	if narrow {
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

// deltaLengths decodes DELTA_LENGTH_BYTE_ARRAY into the ends of n values, which
// lie one after the other in data.
func deltaLengths(ends []uint32, scratch []int64, b []byte, n int) ([]uint32, []int64, []byte, error) {
	lengths, data, err := delta(scratch, b, n, true)
	if err != nil {
		return ends, scratch, nil, err
	}
	ends = ends[:0]
	at := int64(0)
	for _, l := range lengths {
		if at += l; l < 0 || at > int64(len(data)) {
			return ends, lengths, nil, errFewer
		}
		ends = append(ends, uint32(at))
	}
	if at != int64(len(data)) {
		return ends, lengths, nil, errMore
	}
	return ends, lengths, data, nil
}

// deltaStrings decodes DELTA_BYTE_ARRAY: each value shares a prefix with the
// one before. out holds the n values, one after the other.
func deltaStrings(out []byte, ends []uint32, scratch []int64, b []byte, n int) ([]byte, []uint32, []int64, error) {
	prefixes, rest, err := delta(scratch, b, n, true)
	if err != nil {
		return out, ends, scratch, err
	}
	suffixEnds, _, suffixes, err := deltaLengths(nil, nil, rest, n)
	if err != nil {
		return out, ends, prefixes, err
	}
	out, ends = out[:0], ends[:0]
	last, from := 0, uint32(0)
	for i, p := range prefixes {
		if p < 0 || int(p) > len(out)-last {
			return out, ends, prefixes, fmt.Errorf("its value %d shares %d bytes with one of %d", i, p, len(out)-last)
		}
		if len(out)+int(p)+int(suffixEnds[i]-from) > maxPage {
			return out, ends, prefixes, errTooBig
		}
		start := len(out)
		out = append(out, out[last:last+int(p)]...)
		out = append(out, suffixes[from:suffixEnds[i]]...)
		ends = append(ends, uint32(len(out)))
		last, from = start, suffixEnds[i]
	}
	return out, ends, prefixes, nil
}

// unsplit decodes BYTE_STREAM_SPLIT: the k-th bytes of all values lie together.
func unsplit(dst, b []byte, width int) []byte {
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

// levelWidth is the number of bits of a level up to most.
func levelWidth(most int) uint { return uint(bits.Len(uint(most))) }
