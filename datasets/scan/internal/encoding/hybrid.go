package encoding

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// A Hybrid streams the RLE / bit-packed Hybrid of levels and dictionary
// indexes: nothing is expanded beyond what is asked for, so a run may claim any
// length.
type Hybrid struct {
	b      []byte
	at     int
	width  uint
	left   int    // values left in the run
	packed bool   // the run is bit-packed
	value  uint32 // of a repeated run
	start  int    // byte at which a packed run starts
	pos    int    // values of the packed run consumed
}

// Reset starts a stream of values of width ≤ 32 bits.
func (h *Hybrid) Reset(b []byte, width uint) { *h = Hybrid{b: b, width: width} }

// nextRun starts the next run.
func (h *Hybrid) nextRun() error {
	head, n := binary.Uvarint(h.b[h.at:])
	if n <= 0 {
		return ErrFewer
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
			return ErrFewer
		}
		return nil
	}
	size := int(h.width+7) / 8
	if len(h.b)-h.at < size {
		return ErrFewer
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

// Repeats consumes the next n values if they are known, without looking at
// each, to be all v.
func (h *Hybrid) Repeats(n int, v uint32) (bool, error) {
	if h.left == 0 {
		if err := h.nextRun(); err != nil {
			return false, err
		}
	}
	if h.packed || h.value != v || h.left < n {
		return false, nil
	}
	h.left -= n
	return true, nil
}

// Read decodes the next len(dst) values.
func (h *Hybrid) Read(dst []uint32) error {
	for len(dst) > 0 {
		if h.left == 0 {
			if err := h.nextRun(); err != nil {
				return err
			}
		}
		n := min(h.left, len(dst))
		if h.packed {
			unpackBits(dst[:n], h.b[h.start:], uint(h.pos)*h.width, h.width)
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

// Bits decodes the next len(dst) values of a stream of single bits, and counts those
// that are set.
func (h *Hybrid) Bits(dst []bool) (set int, err error) {
	for len(dst) > 0 {
		if h.left == 0 {
			if err := h.nextRun(); err != nil {
				return 0, err
			}
		}
		n := min(h.left, len(dst))
		if h.packed {
			set += unpackBools(dst[:n], h.b[h.start:], h.pos)
			h.pos += n
		} else {
			one := h.value != 0
			for i := range n {
				dst[i] = one
			}
			if one {
				set += n
			}
		}
		h.left -= n
		dst = dst[n:]
	}
	return set, nil
}

// boolsOf are the bits of every byte, the lowest first.
var boolsOf = func() (t [256][8]bool) {
	for b := range t {
		for i := range t[b] {
			t[b][i] = b>>i&1 == 1
		}
	}
	return t
}()

// unpackBools reads len(dst) bits from the given one on, and counts those that are set.
func unpackBools(dst []bool, b []byte, bit int) (set int) {
	i := 0
	for ; i < len(dst) && (bit+i)&7 != 0; i++ {
		dst[i] = b[(bit+i)>>3]>>((bit+i)&7)&1 == 1
		set += int(b[(bit+i)>>3] >> ((bit + i) & 7) & 1)
	}
	for ; i+8 <= len(dst); i += 8 {
		v := b[(bit+i)>>3]
		*(*[8]bool)(dst[i:]) = boolsOf[v]
		set += bits.OnesCount8(v)
	}
	for ; i < len(dst); i++ {
		dst[i] = b[(bit+i)>>3]>>((bit+i)&7)&1 == 1
		set += int(b[(bit+i)>>3] >> ((bit + i) & 7) & 1)
	}
	return set
}

// Finished is the bytes after the last run; ok says whether all that is left of that
// run is its padding: the format pads to 8 values, DuckDB to 256.
func (h *Hybrid) Finished() (rest []byte, ok bool) {
	if h.width == 0 && h.left == 0 && h.at == len(h.b)-1 && h.b[h.at] == 0 {
		return nil, true // parquet-go ends a page without values with a run of none
	}
	return h.b[h.at:], h.left == 0 || h.packed && h.left < 256
}

// unpackBits reads len(dst) values of width ≤ 32 bits from the given bit on.
func unpackBits(dst []uint32, b []byte, bit, width uint) {
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

// LevelWidth is the number of bits of a level up to most.
func LevelWidth(most int) uint { return uint(bits.Len(uint(most))) }
