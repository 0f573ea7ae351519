package nearest

import "math"

// plain is the path that runs anywhere.
var plain = path{
	name:   "go",
	pack:   packPlain,
	norms:  normsPlain,
	score:  scorePlain,
	bounds: boundsPlain,
	filter: func(out []int32, gap []float32, label []uint16, limit []float32) int {
		return filterFrom(out, 0, 0, gap, label, limit)
	},
}

func packPlain(t, y []float32, rows, _ []int32, d int) {
	for r, i := range rows {
		for j, v := range y[int(i)*d : int(i)*d+d] {
			t[j*tile+r] = v
		}
	}
}

func normsPlain(norm, t []float32, d, tiles int) {
	for k := range tiles {
		var sum [tile]float32
		for j := range d {
			x := (*[tile]float32)(t[(k*d+j)*tile:])
			for r, v := range x {
				sum[r] += v * v
			}
		}
		copy(norm[k*tile:], sum[:])
	}
}

func scorePlain(t, c, half []float32, first int, least, second *[Rows]float32, which *[Rows]int32, d, tiles int) {
	for k := range tiles {
		for i := range panel {
			if math.IsInf(float64(half[i]), 1) {
				continue // fills the last panel
			}
			var s [tile]float32
			for r := range s {
				s[r] = half[i]
			}
			for j := range d {
				x := (*[tile]float32)(t[(k*d+j)*tile:])
				v := c[j*panel+i]
				for r := range s {
					s[r] -= x[r] * v
				}
			}
			for r, v := range s {
				r += k * tile
				if v < least[r] {
					least[r], second[r], which[r] = v, least[r], int32(first+i)
				} else {
					second[r] = min(second[r], v)
				}
			}
		}
	}
}

func boundsPlain(b *Batch, err *[5]float32, tiles int) {
	root := func(v float32) float32 { return float32(math.Sqrt(float64(max(v, 0)))) }
	clear(b.doubt[:])
	for i := range tiles * tile {
		n, m1, m2 := b.norm[i], b.least[i], b.second[i]
		e := err[0]*root(n) + err[1] + err[2]*n
		if !(m2-m1 > e) {
			b.doubt[i>>3] |= 1 << (i & 7)
		}
		e += err[3] * n
		lo, hi := root(n+2*m2-e), root(max(n+2*m1, 0)+e)
		b.Gap[i] = lo - hi - err[4]*(lo+hi)
	}
}

// filterFrom filters from index i on, with n already found.
func filterFrom(out []int32, n, i int, gap []float32, label []uint16, limit []float32) int {
	for ; i < len(gap); i++ {
		out[n] = int32(i)
		if !(gap[i] > limit[label[i]]) {
			n++
		}
	}
	return n
}
