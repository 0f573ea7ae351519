package kernel

import (
	"math/rand/v2"
	"testing"
)

// histogramOf is a column's sums with that share of empty bins, and all of them together. Beyond
// the missing values' bin there is nothing.
func histogramOf(r *rand.Rand, values int, missing bool, empty float64, most int) (p Packed, w Wide, all Sums) {
	for b := range values + 1 {
		if b == values && !missing || r.Float64() < empty {
			continue
		}
		s := Sums{G: int64(r.IntN(2*most+1) - most), H: int64(r.IntN(most) + 1)}
		p[b], w[b] = Pack(s), s
		all.G += s.G
		all.H += s.H
	}
	return p, w, all
}

// defined is Best as its comment says it, threshold by threshold.
func defined(w *Wide, values int, leaf Sums, l2, least float64) (score float64, bin int, missingLeft bool) {
	bin = -1
	for b := range values {
		for _, with := range []bool{false, true} {
			var left Sums
			for _, s := range w[:b+1] {
				left.G += s.G
				left.H += s.H
			}
			if with {
				if left.H == 0 || w[values].H == 0 {
					continue // the threshold after all values, with missing ones on the right, is the same
				}
				left.G += w[values].G
				left.H += w[values].H
			}
			gl, hl, gr, hr := float64(left.G), float64(left.H), float64(leaf.G-left.G), float64(leaf.H-left.H)
			if hl < least || hr < least {
				continue
			}
			if v := gl*gl/(hl+l2) + gr*gr/(hr+l2); v > score {
				score, bin, missingLeft = v, b, with
			}
		}
	}
	return score, bin, missingLeft
}

// Every path finds the threshold of the definition, and the same bits of its score: with empty
// bins, ties, missing values and sums at either end of what an entry holds.
func TestSearch(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 2))
	found := 0
	for range 20_000 {
		values := []int{1, 2, 3, 4, 5, 7, 8, 9, 31, 63, 200, 253, 254, 255}[r.IntN(14)]
		most := []int{1, 2, 30, 1 << 22}[r.IntN(4)] // small ones tie
		p, w, leaf := histogramOf(r, values, r.IntN(2) == 0, []float64{0, .3, .95}[r.IntN(3)], most)
		l2, least := []float64{0, 1, float64(most)}[r.IntN(3)], []float64{.5, float64(most), max(.5, float64(leaf.H/3))}[r.IntN(3)]
		score, bin, missingLeft := defined(&w, values, leaf, l2, least)
		if bin >= 0 {
			found++
		}
		s := NewSearch(leaf, l2, least)
		inGo := *s
		for name, best := range map[string]func() (float64, int, bool){
			"Best":     func() (float64, int, bool) { return s.Best(&p, values) },
			"again":    func() (float64, int, bool) { return s.Best(&p, values) }, // nothing is left of the column before
			"BestWide": func() (float64, int, bool) { return s.BestWide(&w, values) },
			"scanGo": func() (float64, int, bool) {
				inGo.clear(Unpack(p[values]))
				inGo.scanGo(&p, values)
				return inGo.result()
			},
		} {
			if gotScore, gotBin, gotLeft := best(); gotScore != score || gotBin != bin || gotLeft != missingLeft {
				t.Fatalf("%s of %d values, l2 %v, least %v of %+v: %v at %d (%v), want %v at %d (%v)", name, values, l2, least, leaf, gotScore, gotBin, gotLeft, score, bin, missingLeft)
			}
		}
	}
	if found < 10_000 {
		t.Errorf("only %d columns had a threshold", found)
	}
}

// The largest sums that an entry holds, on one side of a threshold.
func TestSearchHoldsMaxRows(t *testing.T) {
	for _, g := range []int64{maxG * MaxRows, -maxG * MaxRows} {
		var p Packed
		p[0], p[1] = Pack(Sums{G: g, H: maxH*MaxRows - 1}), Pack(Sums{H: 1})
		leaf := Sums{G: g, H: maxH * MaxRows}
		score, bin, _ := NewSearch(leaf, 1, .5).Best(&p, 2)
		if want := float64(g) * float64(g) / (maxH * MaxRows); score != want || bin != 0 {
			t.Errorf("gradients of %d: %v at bin %d, want %v at 0", g, score, bin, want)
		}
	}
}

func TestSubtract(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 2))
	for _, n := range []int{1, 3, 4, 5, 255, 256} {
		p, _, _ := histogramOf(r, n-1, true, .2, 1<<20)
		o, _, _ := histogramOf(r, n-1, true, .2, 1<<20)
		got := p
		got.Subtract(&o, n)
		for b := range p {
			if got[b] != p[b]-o[b] {
				t.Fatalf("%d sums: entry %d is %d, want %d", n, b, got[b], p[b]-o[b])
			}
		}
	}
}
