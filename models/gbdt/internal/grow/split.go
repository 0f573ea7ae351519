package grow

import (
	"cmp"
	"math"
	"slices"

	"github.com/shoal-data/shoal/models/gbdt/internal/kernel"
)

// A split of a leaf by one column. The zero split gains nothing.
type split struct {
	gain        float64
	column      int       // of the table
	bin         int       // numeric: bins up to it go left
	set         [4]uint64 // categories: these bins go left
	missingLeft bool
	left        kernel.Sums // coarse

	leftValue, rightValue float64 // only when columns are monotone
}

// better is the split that gains more, s when both gain the same.
func (s split) better(o split) split {
	if o.gain > s.gain {
		return o
	}
	return s
}

// goesRight is 1 for the bins that go right.
func (s split) goesRight(col *column) (right [256]uint8) {
	for b := range right {
		left := b <= s.bin && b < col.values
		if col.category {
			left = s.set[b/64]>>(b%64)&1 == 1
		}
		if b == col.values {
			left = s.missingLeft
		}
		if !left {
			right[b] = 1
		}
	}
	return right
}

// A judge says what splits of one leaf gain.
type judge struct {
	*Leaf
	p         *Settings
	l2        float64
	perG      float64 // real gradients of a coarse unit
	perH      float64
	perWeight float64 // estimated weight of a coarse Hessian's unit
	own       float64 // the leaf's score when it is not split
	monotone  bool
}

func (g *growth) judge(l *Leaf, category bool) judge {
	j := judge{Leaf: l, p: &g.p, l2: g.p.L2, monotone: len(g.p.Monotone) > 0}
	j.perG, _ = g.scale.Coarse(kernel.Sums{G: 1})
	_, j.perH = g.scale.Coarse(kernel.Sums{H: 1})
	j.perWeight = l.weight / float64(l.sums.H)
	if category {
		j.l2 += g.p.CategoryL2
	}
	// The leaf as it is has no categories: only L2.
	gr, h := float64(l.sums.G)*j.perG, float64(l.sums.H)*j.perH
	if j.monotone {
		j.own = j.atValue(gr, h, l.Clamp(Output(gr, h, g.p.L1, g.p.L2)), g.p.L2)
	} else {
		j.own = square(shrink(gr, g.p.L1)) / (h + g.p.L2)
	}
	return j
}

func square(v float64) float64 { return v * v }

// atValue is minus twice what a leaf of value v adds to the loss.
func (j *judge) atValue(g, h, v, l2 float64) float64 {
	return -(2*(float64(g*v)+float64(j.p.L1*math.Abs(v))) + float64((h+l2)*v*v))
}

// gain of sending left, whose weight is w, exactly or estimated, to the left; 0
// when that is not allowed.
func (j *judge) gain(left kernel.Sums, w float64, exact bool, monotone int) (gain, leftValue, rightValue float64) {
	least := float64(j.p.MinLeafRows)
	if !exact {
		least -= .5 // an estimate may be short; growth.split sees to exact weights
	}
	if w < least || j.weight-w < least {
		return 0, 0, 0
	}
	gl, hl := float64(left.G)*j.perG, float64(left.H)*j.perH
	gr, hr := float64(j.sums.G-left.G)*j.perG, float64(j.sums.H-left.H)*j.perH
	if hl < j.p.MinLeafHessian || hr < j.p.MinLeafHessian {
		return 0, 0, 0
	}
	if !j.monotone {
		if j.p.L1 > 0 {
			gl, gr = shrink(gl, j.p.L1), shrink(gr, j.p.L1)
		}
		gain = gl*gl/(hl+j.l2) + gr*gr/(hr+j.l2)
	} else {
		leftValue = j.Clamp(Output(gl, hl, j.p.L1, j.l2))
		rightValue = j.Clamp(Output(gr, hr, j.p.L1, j.l2))
		if monotone > 0 && leftValue > rightValue || monotone < 0 && leftValue < rightValue {
			return 0, 0, 0
		}
		gain = j.atValue(gl, hl, leftValue, j.l2) + j.atValue(gr, hr, rightValue, j.l2)
	}
	gain -= j.own
	// What is within rounding of nothing is nothing.
	if !(gain > j.p.MinGain) || gain <= 1e-12*j.own {
		return 0, 0, 0
	}
	return gain, leftValue, rightValue
}

// findIn is l's best split in the columns of block k.
func (g *growth) findIn(l *Leaf, k int, wide bool) (best split) {
	if l.weight < 2*float64(g.p.MinLeafRows) || l.depth >= g.p.MaxDepth {
		return split{}
	}
	numeric, categorical := g.judge(l, false), g.judge(l, true)
	plain := !numeric.monotone && g.p.L1 == 0
	var search *kernel.Search
	if plain {
		search = numeric.search()
	}
	var sums [256]kernel.Sums
	g.splittable(k, func(c, at int) {
		col := &g.table.columns[c]
		var s split
		switch {
		case col.category:
			s = categorical.categories(col, l.hist.column(at, sums[:col.entries()], wide), l.weights[c])
		case plain && l.weights[c] == nil:
			s = numeric.plainThreshold(col, l.hist, at, wide, search, best.gain)
		default:
			s = numeric.thresholds(col, l.hist.column(at, sums[:col.entries()], wide), l.weights[c])
		}
		s.column = c
		best = best.better(s)
	})
	return best
}

// thresholds is the best split of a numeric column; weights, when known, are the
// bins' exact ones.
func (j *judge) thresholds(col *column, sums []kernel.Sums, weights []float64) (best split) {
	var missing kernel.Sums
	var missingWeight float64
	last := col.values - 2 // the last bin to go left
	if col.missing && sums[col.values].H > 0 {
		missing = sums[col.values]
		missingWeight = j.weigh(missing, weights, col.values)
		last++ // all values left, missing ones right
	}
	var left kernel.Sums
	var exact float64
	for b := 0; b <= last; b++ {
		s := sums[b]
		if s.H == 0 {
			continue // no row: the same split as before
		}
		left.G += s.G
		left.H += s.H
		w := float64(left.H) * j.perWeight
		if weights != nil {
			exact += weights[b]
			w = exact
		}
		if gain, lv, rv := j.gain(left, w, weights != nil, col.monotone); gain > best.gain {
			best = split{gain: gain, bin: b, left: left, leftValue: lv, rightValue: rv}
		}
		if missing.H > 0 && b < col.values-1 {
			with := kernel.Sums{G: left.G + missing.G, H: left.H + missing.H}
			if gain, lv, rv := j.gain(with, w+missingWeight, weights != nil, col.monotone); gain > best.gain {
				best = split{gain: gain, bin: b, left: with, missingLeft: true, leftValue: lv, rightValue: rv}
			}
		}
	}
	if best.gain > 0 && missing.H == 0 {
		// Nothing tells where missing values belong: with the heavier side.
		best.missingLeft = 2*best.left.H >= j.sums.H
	}
	return best
}

// search looks for thresholds where weights are estimated and nothing bounds or shrinks
// the leaves' values.
func (j *judge) search() *kernel.Search {
	least := max((float64(j.p.MinLeafRows)-.5)/j.perWeight, j.p.MinLeafHessian/j.perH)
	return kernel.NewSearch(j.sums, j.l2/j.perH, least)
}

// plainThreshold is thresholds by a search: the same without the cases, if it gains more than beat.
func (j *judge) plainThreshold(col *column, h *histogram, at int, wide bool, search *kernel.Search, beat float64) split {
	var score float64
	var bin int
	var missingLeft bool
	if wide {
		score, bin, missingLeft = search.BestWide(&h.wide[at], col.values)
	} else {
		score, bin, missingLeft = search.Best(&h.packed[at], col.values)
	}
	gain := float64(score*(j.perG*j.perG/j.perH)) - j.own
	if bin < 0 || !(gain > max(j.p.MinGain, beat)) || gain <= 1e-12*j.own {
		return split{}
	}
	best := split{gain: gain, bin: bin, missingLeft: missingLeft}
	var missing kernel.Sums
	if wide {
		for _, s := range h.wide[at][:bin+1] {
			best.left.G += s.G
			best.left.H += s.H
		}
		missing = h.wide[at][col.values]
	} else {
		var sum int64
		for _, v := range h.packed[at][:bin+1] {
			sum += v
		}
		best.left, missing = kernel.Unpack(sum), kernel.Unpack(h.packed[at][col.values])
	}
	switch {
	case missingLeft:
		best.left.G += missing.G
		best.left.H += missing.H
	case missing.H == 0:
		// Nothing tells where missing values belong: with the heavier side.
		best.missingLeft = 2*best.left.H >= j.sums.H
	}
	return best
}

func (j *judge) weigh(s kernel.Sums, weights []float64, b int) float64 {
	if weights != nil {
		return weights[b]
	}
	return float64(s.H) * j.perWeight
}

// categories is the best split of a categorical column: some of its categories,
// lowest or highest in mean gradient, go left (Fisher, JASA 53, 1958).
func (j *judge) categories(col *column, sums []kernel.Sums, weights []float64) (best split) {
	type ranked struct {
		bin    int
		rank   float64
		weight float64
	}
	var order []ranked
	perRow := float64(j.sums.H) / j.weight // a row's coarse Hessian, on average
	for b, s := range sums[:col.values] {
		if w := j.weigh(s, weights, b); s.H > 0 && w+.5 >= j.p.CategoryRows {
			order = append(order, ranked{b, float64(s.G) / (float64(s.H) + j.p.CategoryRows*perRow), w})
		}
	}
	slices.SortFunc(order, func(a, b ranked) int { return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.bin, b.bin)) })
	for _, fromTop := range []bool{false, true} {
		var left kernel.Sums
		var weight float64
		var set [4]uint64
		for k := range min(len(order), j.p.MaxCategories) {
			r := order[k]
			if fromTop {
				r = order[len(order)-1-k]
			}
			left.G += sums[r.bin].G
			left.H += sums[r.bin].H
			weight += r.weight
			set[r.bin/64] |= 1 << (r.bin % 64)
			if gain, lv, rv := j.gain(left, weight, weights != nil, 0); gain > best.gain {
				best = split{gain: gain, set: set, left: left, leftValue: lv, rightValue: rv}
			}
		}
	}
	return best
}

// weighBins adds up the weights of l's rows by their bin in column c.
func (g *growth) weighBins(l *Leaf, c int) {
	var sums [256]int64
	bins := g.table.columns[c].bins
	for _, r := range g.rows[l.Lo:l.Hi] {
		if g.Grower.weights == nil {
			sums[bins[r]]++
		} else {
			sums[bins[r]] += g.Grower.weights[r]
		}
	}
	if l.weights == nil {
		l.weights = map[int][]float64{}
	}
	exact := make([]float64, 256)
	for b, s := range sums {
		exact[b] = float64(s) / g.weightScale
	}
	l.weights[c] = exact
}
