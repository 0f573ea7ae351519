// Package grow grows one tree of boosted trees: it bins the rows, adds up
// histograms of their gradients and divides them where that gains most.
package grow

import (
	"context"
	"math"
	"slices"

	"github.com/shoal-data/shoal/models/gbdt/internal/kernel"
)

// A Leaf is rows Lo to Hi of the tree's row list. It may yet be split.
type Leaf struct {
	Lo, Hi int
	depth  int
	parent int // inner node, -1 for the root
	right  bool

	sums      kernel.Sums // coarse
	weight    float64
	low, high float64 // bounds of its value, from monotone columns
	hist      *histogram
	best      split
	// weights are the exact weights by bin of those columns where the estimate by
	// Hessians was found wrong.
	weights map[int][]float64
}

// Clamp brings a value within the leaf's bounds.
func (l *Leaf) Clamp(v float64) float64 { return max(l.low, min(v, l.high)) }

// A Tree is what gbdt.Tree documents.
type Tree struct {
	Column      []int32
	Threshold   []float64
	Categories  [][]int32
	MissingLeft []bool
	Left        []int32
	Right       []int32
	Gain        []float64
	Cover       []float64
	Value       []float64
	LeafCover   []float64
}

// Settings are those of gbdt.Params that concern single trees.
type Settings struct {
	Leaves, MaxDepth, MinLeafRows   int
	MinLeafHessian, MinGain, L1, L2 float64
	MaxBins, BinRows                int
	Seed                            uint64
	Categorical                     []string
	CategoryRows, CategoryL2        float64
	MaxCategories                   int
	Monotone                        map[string]int
	Workers                         int
}

// A Grower grows trees on one table.
type Grower struct {
	p     Settings
	table *Table
	// weights are fixed point, for sums in any order; nil when all are 1.
	weights     []int64
	weightScale float64

	coarse []int32 // the gradients of the tree at hand
	scale  kernel.Scale
	spare  []uint32
	pool   []*histogram
}

// New returns a grower for the table's n rows, of those weights or, for nil, 1.
func New(p Settings, t *Table, n int, weights []float64) *Grower {
	b := &Grower{p: p, table: t, weightScale: 1, spare: make([]uint32, n)}
	if weights != nil {
		_, e := math.Frexp(slices.Max(weights))
		b.weightScale = math.Ldexp(1, 30-e)
		b.weights = make([]int64, n)
		for i, w := range weights {
			b.weights[i] = int64(math.RoundToEven(w * b.weightScale))
		}
	}
	return b
}

// Output is a leaf's best value by its sums: where −g − (h+l2)v falls within ±l1.
func Output(g, h, l1, l2 float64) float64 {
	g = shrink(g, l1)
	if g == 0 || h+l2 <= 0 {
		return 0
	}
	return -g / (h + l2)
}

// shrink moves g towards 0 by l1.
func shrink(g, l1 float64) float64 {
	switch {
	case g > l1:
		return g - l1
	case g < -l1:
		return g + l1
	}
	return 0
}

// A histogram has each column's sums. A leaf of more than kernel.MaxRows rows
// needs wide ones.
type histogram struct {
	packed []kernel.Packed
	wide   []kernel.Wide
	isWide bool
}

func (b *Grower) newHistogram() *histogram {
	if n := len(b.pool); n > 0 {
		h := b.pool[n-1]
		b.pool = b.pool[:n-1]
		return h
	}
	return &histogram{packed: make([]kernel.Packed, len(b.table.columns))}
}

func (b *Grower) release(l *Leaf) {
	if l.hist != nil {
		b.pool = append(b.pool, l.hist)
		l.hist = nil
	}
}

// A growth is one tree in the making.
type growth struct {
	*Grower
	ctx    context.Context
	rows   []uint32
	drawn  []draw // by block: columns that may be split on; nil for all
	tree   Tree
	leaves []*Leaf
	width  int  // how many columns those are
	some   bool // categories are among the tree's splits
	crew   *crew
}

// A draw is the columns of a block that a tree may be split on.
type draw struct {
	columns []int  // of the table
	list    []byte // their places in the block; nil where so many are drawn that all are added up as quickly
}

// draws divides what is drawn among the blocks.
func (t *Table) draws(drawn []bool) []draw {
	if drawn == nil {
		return nil
	}
	all := make([]draw, len(t.blocks))
	for k, blk := range t.blocks {
		var places []byte
		for c := blk.from; c < blk.to; c++ {
			if drawn[c] {
				all[k].columns = append(all[k].columns, c)
				places = append(places, byte(c-blk.from))
			}
		}
		if 4*len(places) <= 3*(blk.to-blk.from) {
			all[k].list = places
		}
	}
	return all
}

// splittable calls f for the columns of block k that may be split on, and where in a histogram
// their sums are.
func (g *growth) splittable(k int, f func(c, at int)) {
	blk := &g.table.blocks[k]
	switch {
	case g.drawn == nil:
		for c := blk.from; c < blk.to; c++ {
			f(c, c)
		}
	case g.drawn[k].list == nil:
		for _, c := range g.drawn[k].columns {
			f(c, c)
		}
	default:
		for i, c := range g.drawn[k].columns {
			f(c, blk.from+i)
		}
	}
}

// smallTask is how many updates of histograms are worth waking another goroutine; judging a
// split at one bin takes as long as judged of them.
const (
	smallTask = 1 << 14
	judged    = 3
)

// Grow divides rows, over and over, where it gains most; of equal gains, the
// older leaf, the earlier column, the lower value. coarse are the gradients of all
// rows at that scale; drawn, unless nil, the columns that may be split on. Rows
// are put in the order of the leaves, whose values are still 0.
func (b *Grower) Grow(ctx context.Context, rows []uint32, coarse []int32, scale kernel.Scale, drawn []bool) (Tree, []*Leaf, error) {
	b.coarse, b.scale = coarse, scale
	g := &growth{Grower: b, ctx: ctx, rows: rows, drawn: b.table.draws(drawn), crew: newCrew(b.p.Workers)}
	defer g.crew.end()
	for k := range b.table.blocks {
		g.splittable(k, func(_, _ int) { g.width++ })
	}
	root := &Leaf{Hi: len(rows), parent: -1, low: math.Inf(-1), high: math.Inf(1)}
	root.weight = g.weigh(rows)
	g.leaves = append(g.leaves, root)
	if len(rows) > 0 {
		g.examine(root, nil, nil)
	}
	for len(g.leaves) < b.p.Leaves {
		if err := ctx.Err(); err != nil {
			return Tree{}, nil, err
		}
		var l *Leaf
		for _, c := range g.leaves {
			if c.best.gain > 0 && (l == nil || c.best.gain > l.best.gain) {
				l = c
			}
		}
		if l == nil {
			break
		}
		g.split(l)
	}
	for _, l := range g.leaves {
		g.release(l)
		g.tree.LeafCover = append(g.tree.LeafCover, l.weight)
	}
	g.tree.Value = make([]float64, len(g.leaves))
	if !g.some {
		g.tree.Categories = nil
	}
	return g.tree, g.leaves, nil
}

// weigh is the rows' total weight.
func (b *Grower) weigh(rows []uint32) float64 {
	if b.weights == nil {
		return float64(len(rows))
	}
	var sum int64
	for _, r := range rows {
		sum += b.weights[r]
	}
	return float64(sum) / b.weightScale
}

// split carries out l's best split, or finds that it leaves too few rows on a side,
// looks at its column exactly, and chooses again.
func (g *growth) split(l *Leaf) {
	s, t := l.best, g.table
	col := &t.columns[s.column]
	right := s.goesRight(col)
	rows := g.rows[l.Lo:l.Hi]
	kept := g.partition(rows, col.bins, &right)
	a := &Leaf{Lo: l.Lo, Hi: l.Lo + kept, depth: l.depth + 1, sums: s.left, low: l.low, high: l.high}
	z := &Leaf{Lo: l.Lo + kept, Hi: l.Hi, depth: l.depth + 1, low: l.low, high: l.high,
		sums: kernel.Sums{G: l.sums.G - s.left.G, H: l.sums.H - s.left.H}}
	a.weight = g.weigh(rows[:kept])
	z.weight = l.weight - a.weight
	if least := float64(g.p.MinLeafRows); a.weight < least || z.weight < least {
		g.weighBins(l, s.column)
		g.find(l)
		return
	}
	node := len(g.tree.Column)
	t.record(&g.tree, s, l)
	g.some = g.some || col.category
	g.link(l, int32(node))
	a.parent, z.parent, z.right = node, node, true
	if col.monotone != 0 {
		middle := (s.leftValue + s.rightValue) / 2
		if col.monotone > 0 {
			a.high, z.low = middle, middle
		} else {
			a.low, z.high = middle, middle
		}
	}
	// The left child takes its parent's place among the leaves.
	k := slices.Index(g.leaves, l)
	g.leaves[k] = a
	g.leaves = append(g.leaves, z)
	g.link(a, int32(^k))
	g.link(z, int32(^(len(g.leaves) - 1)))

	least := 2 * float64(g.p.MinLeafRows)
	if len(g.leaves) == g.p.Leaves || a.depth >= g.p.MaxDepth || a.weight < least && z.weight < least {
		g.release(l)
		return
	}
	small, large := a, z
	if z.Hi-z.Lo < a.Hi-a.Lo {
		small, large = z, a
	}
	g.examine(small, large, l.hist)
	l.hist = nil
	for _, c := range []*Leaf{a, z} {
		if c.best.gain <= 0 {
			g.release(c)
		}
	}
}

// link makes child the node's or leaf's number where l hangs.
func (g *growth) link(l *Leaf, child int32) {
	switch {
	case l.parent < 0:
	case l.right:
		g.tree.Right[l.parent] = child
	default:
		g.tree.Left[l.parent] = child
	}
}

// record appends a split to the tree.
func (t *Table) record(tree *Tree, s split, l *Leaf) {
	col := &t.columns[s.column]
	threshold := math.MaxFloat64 // all values from all missing ones
	var categories []int32
	switch {
	case col.category:
		threshold = 0
		for b, c := range col.mapper.Categories {
			if s.set[b/64]>>(b%64)&1 == 1 {
				categories = append(categories, c)
			}
		}
		slices.Sort(categories)
	case s.bin < len(col.mapper.Uppers):
		threshold = col.mapper.Uppers[s.bin]
	}
	tree.Column = append(tree.Column, int32(col.source))
	tree.Threshold = append(tree.Threshold, threshold)
	tree.Categories = append(tree.Categories, categories)
	tree.MissingLeft = append(tree.MissingLeft, s.missingLeft)
	tree.Left = append(tree.Left, 0)
	tree.Right = append(tree.Right, 0)
	tree.Gain = append(tree.Gain, s.gain)
	tree.Cover = append(tree.Cover, l.weight)
}

// parallelRows is how many rows are worth dividing in two places at once.
const parallelRows = 1 << 12

// partition moves the rows that go right behind those that go left and returns
// how many go left. Both keep their order.
func (g *growth) partition(rows []uint32, bins []byte, right *[256]uint8) int {
	spare := g.spare[:len(rows)]
	parts := 1
	if len(rows) >= parallelRows {
		parts = g.p.Workers
	}
	kept := make([]int, parts)
	at := func(part int) int { return part * len(rows) / parts }
	g.crew.run(parts, func(part int) {
		lo, hi := at(part), at(part+1)
		kept[part] = kernel.Partition(rows[lo:hi], spare[lo:hi], bins, right)
	})
	l := 0
	for part, k := range kept {
		if lo := at(part); lo != l {
			copy(rows[l:], rows[lo:lo+k])
		}
		l += k
	}
	r := l
	for part, k := range kept {
		lo, hi := at(part), at(part+1)
		r += copy(rows[r:], spare[lo:hi-k])
	}
	return l
}

// examine fills the histogram of small, and that of large, its sibling, from
// their parent's, and finds their best splits. The parent's is used up. For the
// root, large and parent are nil.
func (g *growth) examine(small, large *Leaf, parent *histogram) {
	small.hist = g.newHistogram()
	rows := g.rows[small.Lo:small.Hi]
	small.hist.isWide = len(rows) > kernel.MaxRows
	wide := small.hist.isWide
	if large != nil {
		large.hist = parent
	}
	if wide && small.hist.wide == nil {
		small.hist.wide = make([]kernel.Wide, len(g.table.columns))
	}
	root := large == nil
	fill := func(k int) {
		blk := &g.table.blocks[k]
		h := small.hist.packed[blk.from:blk.to]
		if wide {
			g.splittable(k, func(_, at int) { clear(small.hist.wide[at][:]) })
		}
		for lo := 0; lo < len(rows); lo += kernel.MaxRows {
			g.splittable(k, func(c, at int) { clear(small.hist.packed[at][:g.table.columns[c].entries()]) })
			some := rows[lo:min(lo+kernel.MaxRows, len(rows))]
			if g.drawn != nil && g.drawn[k].list != nil {
				kernel.HistogramDrawn(h, g.drawn[k].list, blk.bins, blk.stride, some, g.coarse)
			} else {
				kernel.Histogram(h, blk.bins, blk.stride, some, g.coarse)
			}
			if wide {
				g.splittable(k, func(_, at int) { small.hist.wide[at].Add(&small.hist.packed[at]) })
			}
		}
		if !root {
			narrow := large.Hi-large.Lo <= kernel.MaxRows
			g.splittable(k, func(c, at int) { parent.subtract(small.hist, at, g.table.columns[c].entries(), narrow) })
		}
	}
	update := (small.Hi - small.Lo) * g.width
	if root {
		g.each(update, fill)
		// Every row is in some bin of any column that was added up.
		last, where := 0, 0
		for k := range g.table.blocks {
			g.splittable(k, func(c, at int) { last, where = c, at })
		}
		for b := range g.table.columns[last].entries() {
			s := small.hist.at(where, b)
			small.sums.G += s.G
			small.sums.H += s.H
		}
		g.find(small)
		return
	}
	narrow := large.Hi-large.Lo <= kernel.MaxRows
	found := make([][2]split, len(g.table.blocks))
	update += 2 * judged * g.table.bins * g.width / len(g.table.columns) // of either child
	g.each(update, func(k int) {
		fill(k)
		// find reads isWide, which is still the parent's for the large leaf.
		found[k] = [2]split{g.findIn(small, k, wide), g.findIn(large, k, parent.isWide && !narrow)}
	})
	parent.isWide = parent.isWide && !narrow
	for _, f := range found {
		small.best = small.best.better(f[0])
		large.best = large.best.better(f[1])
	}
}

// each runs f for every block, side by side when there is enough to do.
func (g *growth) each(updates int, f func(k int)) {
	if updates < smallTask || g.p.Workers == 1 {
		for k := range g.table.blocks {
			f(k)
		}
		return
	}
	g.crew.run(len(g.table.blocks), f)
}

// find looks for l's best split in all columns.
func (g *growth) find(l *Leaf) {
	found := make([]split, len(g.table.blocks))
	g.each(smallTask, func(k int) { found[k] = g.findIn(l, k, l.hist.isWide) })
	l.best = split{}
	for _, f := range found {
		l.best = l.best.better(f)
	}
}

// at is an entry's sums; column, here and below, is where the histogram has it.
func (h *histogram) at(column, bin int) kernel.Sums {
	if h.isWide {
		return h.wide[column][bin]
	}
	return kernel.Unpack(h.packed[column][bin])
}

// column writes a column's sums.
func (h *histogram) column(c int, sums []kernel.Sums, wide bool) []kernel.Sums {
	if wide {
		copy(sums, h.wide[c][:])
		return sums
	}
	for b := range sums {
		sums[b] = kernel.Unpack(h.packed[c][b])
	}
	return sums
}

// subtract takes the first so many sums of other from one column of h; narrow says that
// what is left is that of at most kernel.MaxRows rows, and goes into packed.
func (h *histogram) subtract(other *histogram, column, sums int, narrow bool) {
	p := &h.packed[column]
	if !h.isWide {
		p.Subtract(&other.packed[column], sums)
		return
	}
	w := &h.wide[column]
	if other.isWide {
		w.Subtract(&other.wide[column])
	} else {
		w.SubtractPacked(&other.packed[column])
	}
	if narrow {
		for b, s := range w {
			p[b] = kernel.Pack(s)
		}
	}
}
