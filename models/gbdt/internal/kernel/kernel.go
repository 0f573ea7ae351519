// Package kernel holds the loops in which boosted trees spend their time:
// gradients, histograms and the division of rows. Every function gives the same
// bytes on every processor: sums are of integers, and floating-point steps are
// spelt out one by one, so that no compiler fuses them. On amd64 four loops have
// assembly; the tag purego leaves the Go twins alone.
package kernel

import (
	"encoding/binary"
	"runtime"
)

const (
	// Entries is the length of one column's histogram: 256 bins and 8 spare
	// entries. With 256, equal bins of all columns would fall into the same sets
	// of the cache, and histograms would take six times as long.
	Entries = 264

	// MaxRows is how many gradients a Packed histogram can add up: the largest
	// ones, 2^14 and 2^15, then reach 2^30 and 2^31.
	MaxRows = 1 << 16

	maxG, maxH = 1 << 14, 1 << 15
)

// A Packed histogram holds one column's sums: in each entry the gradients' in
// the upper 32 bits, signed, and the Hessians' in the lower, unsigned. One
// 64-bit addition moves both.
type Packed [Entries]int64

// Sums are the sums of quantised gradients and Hessians.
type Sums struct{ G, H int64 }

// A Wide histogram holds the sums of any number of rows.
type Wide [Entries]Sums

// Unpack divides an entry, or a sum of entries, of a Packed histogram.
func Unpack(v int64) Sums { return Sums{G: v >> 32, H: v & 0xffffffff} }

// Pack is the inverse of Unpack.
func Pack(s Sums) int64 { return s.G<<32 + s.H }

// Histogram adds the rows' gradients to hist: for each row r of rows and each
// column c, grad[r] to hist[c][bins[r*stride+c]]. There are len(hist) columns,
// at most stride, and at most MaxRows rows may be added to a histogram that was 0.
func Histogram(hist []Packed, bins []byte, stride int, rows []uint32, grad []int32) {
	if len(rows) == 0 || len(hist) == 0 {
		return
	}
	histogram(hist, bins, stride, rows, grad)
}

// HistogramDrawn is Histogram of those columns alone whose numbers, below 256, are drawn: hist[k] is
// of column drawn[k]. One update takes a little longer than those of Histogram.
func HistogramDrawn(hist []Packed, drawn, bins []byte, stride int, rows []uint32, grad []int32) {
	if len(rows) == 0 || len(drawn) == 0 {
		return
	}
	histogramDrawn(hist[:len(drawn)], drawn, bins, stride, rows, grad)
}

func histogramDrawnGo(hist []Packed, drawn, bins []byte, stride int, rows []uint32, grad []int32) {
	var touched byte
	last, hist := int(drawn[len(drawn)-1]), hist[:len(drawn)]
	for len(rows) > 0 {
		some := rows[:min(ahead, len(rows))]
		rows = rows[len(some):]
		for _, r := range some {
			at := int(r) * stride
			touched += bins[at+int(drawn[0])] + bins[at+last] + byte(grad[r])
		}
		for _, r := range some {
			q := grad[r]
			v := int64(q>>16)<<32 + int64(uint16(q))
			row := bins[int(r)*stride:][:last+1]
			for k, c := range drawn {
				hist[k][row[c]] += v
			}
		}
	}
	runtime.KeepAlive(touched) // as below
}

// ahead is how many rows the Go twin touches before it adds them, so that their
// cache misses overlap.
const ahead = 64

func histogramGo(hist []Packed, bins []byte, stride int, rows []uint32, grad []int32) {
	var touched byte
	for len(rows) > 0 {
		some := rows[:min(ahead, len(rows))]
		rows = rows[len(some):]
		for _, r := range some {
			at := int(r) * stride
			touched += bins[at] + bins[at+len(hist)-1] + byte(grad[r])
		}
		for _, r := range some {
			q := grad[r]
			v := int64(q>>16)<<32 + int64(uint16(q))
			row, h := bins[int(r)*stride:][:stride], hist
			for len(h) >= 8 {
				b := binary.LittleEndian.Uint64(row)
				e := (*[8]Packed)(h)
				e[0][uint8(b)] += v
				e[1][uint8(b>>8)] += v
				e[2][uint8(b>>16)] += v
				e[3][uint8(b>>24)] += v
				e[4][uint8(b>>32)] += v
				e[5][uint8(b>>40)] += v
				e[6][uint8(b>>48)] += v
				e[7][uint8(b>>56)] += v
				row, h = row[8:], h[8:]
			}
			for c := range h {
				h[c][row[c]] += v
			}
		}
	}
	// Without a use the compiler would drop the loads that fetch rows early.
	runtime.KeepAlive(touched)
}

// Partition moves those rows whose bin in column goes right, by right[bin] = 1
// and not 0, to spare, which must be as long as rows, and the others to the front of
// rows; both keep their order. It returns how many stay.
func Partition(rows, spare []uint32, column []byte, right *[256]uint8) int {
	var l, r int
	spare = spare[:len(rows)]
	for _, row := range rows {
		rows[l], spare[r] = row, row
		d := int(right[column[row]])
		r += d
		l += 1 - d
	}
	return l
}

// LeafSums adds up the fine gradients of rows.
func LeafSums(rows []uint32, fine []int64) Sums {
	var s Sums
	for _, r := range rows {
		v := fine[r]
		s.G += v >> 32
		s.H += v & 0xffffffff
	}
	return s
}

// Subtract takes the first n sums of another histogram away.
func (p *Packed) Subtract(o *Packed, n int) {
	for b := 0; b < n; b += 4 { // Entries is a multiple of 4
		x, y := (*[4]int64)(p[b:]), (*[4]int64)(o[b:])
		x[0] -= y[0]
		x[1] -= y[1]
		x[2] -= y[2]
		x[3] -= y[3]
	}
}

// Add adds a Packed histogram.
func (w *Wide) Add(p *Packed) {
	for b, v := range p {
		w[b].G += v >> 32
		w[b].H += v & 0xffffffff
	}
}

// Subtract takes another histogram away.
func (w *Wide) Subtract(o *Wide) {
	for b := range w {
		w[b].G -= o[b].G
		w[b].H -= o[b].H
	}
}

// SubtractPacked takes a Packed histogram away.
func (w *Wide) SubtractPacked(p *Packed) {
	for b, v := range p {
		w[b].G -= v >> 32
		w[b].H -= v & 0xffffffff
	}
}
