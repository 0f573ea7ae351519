package numeric

import "math"

// A Grid splits values into parts that are multiples of fixed powers of two,
// chosen so that sums of parts need no rounding: float64 additions are then
// exact, and a sum is the same in any order and may be kept up to date by
// adding what arrives and subtracting what leaves.
//
// high is the multiple of the coarse step nearest to the value; its relative
// error against the largest sum is about that of an ordinary float64 sum. low
// is the rest, to a step finer again by as much.
type Grid struct{ high, low float64 }

// NewGrid is for up to n values, at once or added and taken away again, whose
// magnitudes sum to at most total.
func NewGrid(total float64, n int) Grid {
	// Sums stay within 2^53 steps: 2^52 for the total, twice that as some are
	// added and others subtracted.
	_, e := math.Frexp(total)
	_, more := math.Frexp(float64(n))
	// Adding and subtracting 1.5·2^52 steps rounds to a step: no digit below
	// one fits beside it.
	return Grid{high: math.Ldexp(1.5, e), low: math.Ldexp(1.5, e+more-52)}
}

// Magic rounds to the coarse step: the high part of v is (v + Magic) - Magic.
func (g Grid) Magic() float64 { return g.high }

// Part is the two parts of v.
func (g Grid) Part(v float64) (high, low float64) {
	high = (v + g.high) - g.high
	return high, ((v - high) + g.low) - g.low
}
