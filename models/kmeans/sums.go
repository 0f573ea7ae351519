package kmeans

import (
	"github.com/shoal-data/shoal/models/internal/numeric"
	"github.com/shoal-data/shoal/models/kmeans/internal/blocks"
)

// A tally is, for each cluster, how many rows it has, what they weigh, and the
// weighted sum of their differences to the origin. All of it is exact: tallies
// of parts, in any order, add up to the tally of the whole.
type tally struct {
	count      []int
	mass, rest []float64 // k, high and low; nil unless weighted
	high, low  []float64 // k×d; low is nil unless weighted
}

func newTally(k, d int, weighted bool) tally {
	t := tally{count: make([]int, k), high: make([]float64, k*d)}
	if weighted {
		t.mass, t.rest, t.low = make([]float64, k), make([]float64, k), make([]float64, k*d)
	}
	return t
}

// merge adds o and clears it.
func (t *tally) merge(o *tally) {
	for c, n := range o.count {
		t.count[c] += n
	}
	add := func(to, from []float64) {
		for i, v := range from {
			to[i] += v
		}
		clear(from)
	}
	clear(o.count)
	add(t.mass, o.mass)
	add(t.rest, o.rest)
	add(t.high, o.high)
	add(t.low, o.low)
}

// weight is what cluster c weighs.
func (t *tally) weight(c int) float64 {
	if t.mass == nil {
		return float64(t.count[c])
	}
	return t.mass[c] + t.rest[c]
}

// An adder puts rows into tallies.
type adder struct {
	origin, magic []float64 // by column; magic is the grid's high
	grids         []numeric.Grid
	mass          numeric.Grid
}

func newAdder(r *blocks.Rows) adder {
	a := adder{origin: r.Origin, grids: make([]numeric.Grid, r.D), magic: make([]float64, r.D), mass: numeric.NewGrid(r.Weight, r.N)}
	for j, e := range r.Extent {
		a.grids[j] = numeric.NewGrid(r.Weight*e, r.N)
		a.magic[j] = a.grids[j].Magic()
	}
	return a
}

// add adds row x, of weight w, to cluster c, after taking it from cluster from
// if that is not negative.
func (a *adder) add(t *tally, from, c int, x []float64, w float64) {
	d := len(x)
	to := t.high[c*d : (c+1)*d]
	t.count[c]++
	if from >= 0 {
		t.count[from]--
	}
	if t.low != nil {
		a.weighted(t, from, c, x, w)
		return
	}
	origin, magic := a.origin[:d], a.magic[:d]
	if from < 0 {
		for j, v := range x {
			m := magic[j]
			to[j] += (v - origin[j] + m) - m
		}
		return
	}
	off := t.high[from*d : (from+1)*d]
	for j, v := range x {
		m := magic[j]
		v = (v - origin[j] + m) - m
		to[j] += v
		off[j] -= v
	}
}

func (a *adder) weighted(t *tally, from, c int, x []float64, w float64) {
	d := len(x)
	high, low := a.mass.Part(w)
	t.mass[c] += high
	t.rest[c] += low
	if from >= 0 {
		t.mass[from] -= high
		t.rest[from] -= low
	}
	for j, v := range x {
		high, low := a.grids[j].Part(float64(w * (v - a.origin[j])))
		t.high[c*d+j] += high
		t.low[c*d+j] += low
		if from >= 0 {
			t.high[from*d+j] -= high
			t.low[from*d+j] -= low
		}
	}
}

// means are the k×d weighted means; that of an empty cluster is its present
// centre.
func (a *adder) means(t *tally, centres []float64) []float64 {
	d := len(a.origin)
	means := make([]float64, len(centres))
	for i := range means {
		c, j := i/d, i%d
		if t.count[c] == 0 {
			means[i] = centres[i]
			continue
		}
		s := t.high[i]
		if t.low != nil {
			s += t.low[i]
		}
		means[i] = a.origin[j] + s/t.weight(c)
	}
	return means
}
