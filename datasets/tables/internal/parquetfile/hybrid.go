package parquetfile

import (
	"encoding/binary"
	"math/bits"
)

// The RLE/bit-packing hybrid of Parquet divides values into runs: a header, a
// varint, is twice the length of a run of one value, which follows in whole
// bytes, or twice the number of groups of eight packed values, plus one.

// repeatRows is the least number of equal values that become a run of their
// own: shorter ones cost more in headers than packing them does.
const repeatRows = 32

// widthOf is the bits an index below n takes. No reader is asked to understand
// values of no bits, so it is 1 at least.
func widthOf(n int) int {
	return max(1, bits.Len(uint(max(n, 1)-1)))
}

// appendIndexes encodes indexes of width bits, 1 to 16.
func appendIndexes(dst []byte, indexes []uint16, width int) []byte {
	packed := 0 // indexes from here to i await packing, a multiple of eight
	i := 0
	for len(indexes)-i >= 8 {
		n := 1
		for v := indexes[i]; i+n < len(indexes) && indexes[i+n] == v; {
			n++
		}
		if n < repeatRows {
			i += max(n&^7, 8)
			continue
		}
		dst = appendPacked(dst, indexes[packed:i], width)
		dst = binary.AppendUvarint(dst, uint64(n)<<1)
		dst = append(dst, byte(indexes[i]))
		if width > 8 {
			dst = append(dst, byte(indexes[i]>>8))
		}
		i += n
		packed = i
	}
	return appendPacked(dst, indexes[packed:], width)
}

// appendPacked appends one run of packed values, the last group filled with zeros.
func appendPacked(dst []byte, indexes []uint16, width int) []byte {
	if len(indexes) == 0 {
		return dst
	}
	groups := (len(indexes) + 7) / 8
	dst = binary.AppendUvarint(dst, uint64(groups)<<1|1)
	at := len(dst)
	dst = append(dst, make([]byte, groups*width+16)...) // 16 are written at a time
	half, w := uint(4*width), uint(width)
	for len(indexes) > 0 {
		var last [8]uint16
		group := &last
		if len(indexes) >= 8 {
			group, indexes = (*[8]uint16)(indexes), indexes[8:]
		} else {
			copy(last[:], indexes)
			indexes = nil
		}
		low := uint64(group[0]) | uint64(group[1])<<w | uint64(group[2])<<(2*w) | uint64(group[3])<<(3*w)
		high := uint64(group[4]) | uint64(group[5])<<w | uint64(group[6])<<(2*w) | uint64(group[7])<<(3*w)
		binary.LittleEndian.PutUint64(dst[at:], low|high<<half)
		binary.LittleEndian.PutUint64(dst[at+8:], high>>(64-half))
		at += width
	}
	return dst[:at]
}

// appendLevels encodes the bitmap of the values that are not null, whose bits
// past rows are 0: packed definition levels are that bitmap.
func appendLevels(dst, bitmap []byte, rows int) []byte {
	packed, i := 0, 0
	pack := func(end int) {
		if end > packed {
			dst = binary.AppendUvarint(dst, uint64(end-packed)<<1|1)
			dst = append(dst, bitmap[packed:end]...)
		}
	}
	for whole := rows / 8; i < whole; {
		n := 1
		for v := bitmap[i]; i+n < whole && bitmap[i+n] == v; {
			n++
		}
		level := bitmap[i] & 1
		if n < repeatRows/8 || bitmap[i] != -level {
			i += n
			continue
		}
		pack(i)
		i += n
		packed = i
		length := 8 * n
		if rest := rows % 8; i == whole && rest > 0 && bitmap[i] == -level&(1<<rest-1) {
			length += rest // the run reaches the end
			packed++
		}
		dst = append(binary.AppendUvarint(dst, uint64(length)<<1), level)
	}
	pack(len(bitmap))
	return dst
}
