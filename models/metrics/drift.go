package metrics

import (
	"math"
	"math/bits"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// Bins divide the numbers by edges that rise: bin 0 holds what is at most Edges[0],
// bin i what is above Edges[i-1] and at most Edges[i], the last one what is above
// every edge. NaN, which stands for what is not known, has a bin of its own behind
// them. Without edges, every number is in one bin.
type Bins struct{ Edges []float64 }

// NewBins divides a sample into about so many bins of equal count. A value as
// frequent as a bin should be has a bin to itself, whatever its neighbours; below the
// least and above the greatest value of the sample are bins that are empty in it. The
// sample is left as it is.
func NewBins(sample []float64, bins int) Bins {
	x := make([]float64, 0, len(sample))
	for _, v := range sample {
		if !math.IsNaN(v) {
			x = append(x, v)
		}
	}
	if len(x) == 0 {
		return Bins{}
	}
	slices.Sort(x)
	b := Bins{Edges: []float64{math.Nextafter(x[0], math.Inf(-1))}}
	most := (len(x) + bins - 1) / bins
	open := 0 // values since the last edge
	for i := 0; i < len(x); {
		j := i
		for j < len(x) && x[j] == x[i] {
			j++
		}
		if j-i >= most && open > 0 {
			b.Edges = append(b.Edges, x[i-1])
			open = 0
		}
		if open += j - i; open >= most || j == len(x) {
			b.Edges = append(b.Edges, x[i])
			open = 0
		}
		i = j
	}
	return b
}

// Len is the number of bins, that of NaN included.
func (b Bins) Len() int { return len(b.Edges) + 2 }

// Count adds values to the counts of the bins. Counts of parts add up to those of
// the whole.
func (b Bins) Count(counts []int64, values []float64) {
	// A search whose every step is arithmetic: where a value goes cannot be foretold, and
	// a processor that guesses wrong loses more than the step takes.
	half := 1
	for 2*half-1 < len(b.Edges) {
		half *= 2
	}
	keys := make([]uint64, 2*half-1)
	for i := range keys {
		keys[i] = math.MaxUint64 // above every number
		if i < len(b.Edges) {
			keys[i] = ordered(b.Edges[i])
		}
	}
	for _, v := range values {
		if v != v {
			counts[len(b.Edges)+1]++
			continue
		}
		k, below := ordered(v), 0
		for step := half; step > 0; step /= 2 {
			_, less := bits.Sub64(keys[below+step-1], k, 0)
			below += step * int(less)
		}
		counts[below]++
	}
}

// ordered is a whole number for each number, in the same order.
func ordered(v float64) uint64 {
	b := math.Float64bits(v + 0) // −0 + 0 is +0
	return b ^ (uint64(int64(b)>>63) | 1<<63)
}

// A Shift is how far counts have moved from those expected.
type Shift struct {
	// PSI is the population stability index, Σ (a − e)·ln(a/e) over the bins, where e
	// and a are the shares of expected and actual values (Siddiqi, Credit Risk
	// Scorecards, 2006). Half a value is added to every bin, so that one that is empty
	// on one side counts for something finite; bins empty on both are left out.
	PSI float64
	// KS is the greatest difference between the two distribution functions at an edge;
	// NaN counts as less than every number.
	KS float64
	// Chance is what PSI would exceed once in ten thousand times if both were drawn
	// alike: (1/n + 1/m)·χ² of one degree of freedom less than bins (Yurdakul and
	// Naranjo, J. Risk Model Validation 14, 2020).
	Chance float64
}

// chance is how rarely PSI exceeds Shift.Chance when nothing has moved.
const chance = 1e-4

// NewShift compares counts over the same bins. ok is false when either side is empty.
func NewShift(expected, actual []int64) (s Shift, ok bool) {
	sameLength("counts", len(expected), len(actual))
	var n, m int64
	bins := 0
	for i := range expected {
		n += expected[i]
		m += actual[i]
		if expected[i]+actual[i] > 0 {
			bins++
		}
	}
	if n == 0 || m == 0 {
		return Shift{}, false
	}
	half := .5 * float64(bins)
	for i := range expected {
		if expected[i]+actual[i] > 0 {
			e, a := (float64(expected[i])+.5)/(float64(n)+half), (float64(actual[i])+.5)/(float64(m)+half)
			s.PSI += (a - e) * math.Log(a/e)
		}
	}
	last := len(expected) - 1
	e, a := expected[last], actual[last]
	for i := range last + 1 {
		s.KS = max(s.KS, math.Abs(float64(e)/float64(n)-float64(a)/float64(m)))
		e, a = e+expected[i], a+actual[i]
	}
	if bins > 1 {
		s.Chance = (1/float64(n) + 1/float64(m)) * distuv.ChiSquared{K: float64(bins - 1)}.Quantile(1-chance)
	}
	return s, true
}
