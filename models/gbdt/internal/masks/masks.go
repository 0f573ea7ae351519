// Package masks scores many rows by many trees without going down any of them
// (QuickScorer: Lucchese et al., SIGIR 2015; several rows at a time as in Lucchese et al.,
// SIGIR 2016). A tree's leaves are bits, from left to right. Every node that sends a row
// to the right takes away the leaves on its left; of those that remain, the leftmost is
// the row's. Nodes are visited column by column in rising order of their thresholds, so
// that a block of rows stops at the first threshold that all of them keep to.
package masks

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
)

// MaxLeaves is how many leaves of a tree there are bits for.
const MaxLeaves = 32

// Rows is how many rows are scored at a time.
const Rows = 8

// A Tree is a binary tree of conditions v ≤ threshold; Left and Right are a node, or a
// leaf as its complement.
type Tree struct {
	Column      []int32
	Threshold   []float64
	MissingLeft []bool // where NaN goes
	Left, Right []int32
	Value       []float64 // of leaves
}

// A Forest is trees whose values are added up. It is nil where masks are of no use.
type Forest struct {
	trees   int
	stride  int       // values of a tree
	values  []float64 // by tree and leaf, from left to right
	columns []column
}

// A column's nodes, rising, with one at infinity behind them. It and node are laid out as
// the assembly reads them.
type column struct {
	at          int   // in a row, in bytes
	left, right *node // the first, by where missing values go
}

type node struct {
	threshold float64
	leaves    uint32 // on the left
	place     uint32 // of the tree's bits, in bytes
}

// New prepares trees; nil when the processor lacks the instructions, when a tree has too
// many leaves, or a threshold is not finite.
func New(trees []Tree) *Forest {
	if !available {
		return nil
	}
	f := &Forest{trees: len(trees), stride: 1}
	for i := range trees {
		if len(trees[i].Value) > MaxLeaves {
			return nil
		}
		f.stride = max(f.stride, len(trees[i].Value))
	}
	f.values = make([]float64, f.stride*len(trees))
	byColumn := map[int32]*[2][]node{}
	for k := range trees {
		if !f.plant(k, &trees[k], byColumn) {
			return nil
		}
	}
	for at, nodes := range byColumn {
		for i := range nodes {
			slices.SortStableFunc(nodes[i], func(a, b node) int { return cmp.Compare(a.threshold, b.threshold) })
			nodes[i] = append(nodes[i], node{threshold: math.Inf(1)})
		}
		f.columns = append(f.columns, column{8 * int(at), &nodes[0][0], &nodes[1][0]})
	}
	slices.SortFunc(f.columns, func(a, b column) int { return a.at - b.at })
	return f
}

// plant adds tree k; byColumn are nodes whose missing values go left, and right.
func (f *Forest) plant(k int, t *Tree, byColumn map[int32]*[2][]node) bool {
	values := f.values[k*f.stride:]
	next := 0 // leaf, from the left
	finite := true
	var visit func(at int32)
	visit = func(at int32) {
		if at < 0 {
			values[next] = t.Value[^at]
			next++
			return
		}
		first := next
		visit(t.Left[at])
		n := node{t.Threshold[at], uint32(1<<next - 1<<first), uint32(k * Rows * 4)}
		finite = finite && !math.IsNaN(n.threshold) && !math.IsInf(n.threshold, 0)
		nodes := byColumn[t.Column[at]]
		if nodes == nil {
			nodes = &[2][]node{}
			byColumn[t.Column[at]] = nodes
		}
		side := 1
		if t.MissingLeft[at] {
			side = 0
		}
		nodes[side] = append(nodes[side], n)
		visit(t.Right[at])
	}
	if len(t.Column) == 0 {
		visit(^0)
	} else {
		visit(0)
	}
	return finite
}

// lanes are where the rows' bits lie: comparing doubles and keeping the halves puts them
// in this order.
var lanes = [Rows]int{0, 1, 4, 5, 2, 3, 6, 7}

// Add adds every tree's value to the score of each row, tree by tree, and returns for how
// many rows it did: the whole blocks. Rows are d values long.
func (f *Forest) Add(dst, rows []float64, d int) int {
	if f == nil || len(dst) < Rows {
		return 0
	}
	left := make([]uint32, f.trees*Rows) // leaves, by tree and lane
	n := len(dst) / Rows * Rows
	for i := 0; i < n; i += Rows {
		for j := range left {
			left[j] = math.MaxUint32
		}
		if len(f.columns) > 0 {
			strike(&f.columns[0], len(f.columns), &rows[i*d : (i+Rows)*d][0], 8*d, &left[0])
		}
		f.sum((*[Rows]float64)(dst[i:]), left)
	}
	return n
}

// sum adds the value of each row's leftmost leaf.
func (f *Forest) sum(dst *[Rows]float64, left []uint32) {
	score := *dst
	for k := range f.trees {
		values := f.values[k*f.stride : (k+1)*f.stride]
		mine := (*[Rows]uint32)(left[k*Rows:])
		for r, lane := range lanes {
			score[r] += values[bits.TrailingZeros32(mine[lane])]
		}
	}
	*dst = score
}
