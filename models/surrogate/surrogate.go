// Package surrogate says in a few comparisons what another method's labels
// amount to: a decision tree so shallow that people can read it, act on it and
// check it, with thresholds that are round numbers.
package surrogate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/shoal-data/shoal/models"
)

// Params says how a tree is grown. Start from DefaultParams.
type Params struct {
	Depth      int // comparisons to a leaf at most, 1 to 8
	Thresholds int // tried in a column at most, 1 to 200
	MinRows    int // in a leaf, ≥ 1
	// Sample is the number of rows used at most, ≥ 2; drawn without replacement.
	Sample int
	Seed   uint64 // of the draw; every value is valid
}

// DefaultParams is a tree of three comparisons, grown on at most 50,000 rows.
func DefaultParams() Params {
	return Params{Depth: 3, Thresholds: 64, MinRows: 5, Sample: 50_000, Seed: 1}
}

// Validate reports every fault at once.
func (p Params) Validate() error {
	var errs []error
	within := func(name string, v, low, high int) {
		if v < low || v > high {
			errs = append(errs, fmt.Errorf("surrogate: %s (%d) must be %d to %d", name, v, low, high))
		}
	}
	within("Depth", p.Depth, 1, 8)
	within("Thresholds", p.Thresholds, 1, 200)
	within("MinRows", p.MinRows, 1, math.MaxInt)
	within("Sample", p.Sample, 2, math.MaxInt)
	return errors.Join(errs...)
}

// A Condition compares a column with a threshold.
type Condition struct {
	Column string  `json:"column"`
	Above  bool    `json:"above"` // value > At, else value ≤ At
	At     float64 `json:"at"`
	// Missing says that rows without a value meet the condition, too.
	Missing bool `json:"missing,omitempty"`
}

// Holds says whether a value, NaN for none, meets the condition.
func (c Condition) Holds(v float64) bool {
	if math.IsNaN(v) {
		return c.Missing
	}
	return (v > c.At) == c.Above
}

// A Rule is alternatives, each of conditions that must hold together. A rule
// without alternatives holds for nobody.
type Rule [][]Condition

// Holds says whether a row, by column, meets the rule.
func (r Rule) Holds(value func(column string) float64) bool {
	for _, all := range r {
		if !slices.ContainsFunc(all, func(c Condition) bool { return !c.Holds(value(c.Column)) }) {
			return true
		}
	}
	return false
}

// Columns are those that the rule compares, each once.
func (r Rule) Columns() []string {
	var names []string
	for _, all := range r {
		for _, c := range all {
			if !slices.Contains(names, c.Column) {
				names = append(names, c.Column)
			}
		}
	}
	return names
}

// A Tree assigns labels by comparisons. It is immutable.
type Tree struct{ rules []Rule }

// Rules are those of the labels, by label: every row meets exactly one of them. That
// of a label that no leaf has is empty.
func (t *Tree) Rules() []Rule { return t.rules }

// Fit grows the tree that best parts labels, each in [0,k), by Gini's index; rows
// of a label below 0 are left out. x is n×d raw values, NaN where there is none.
// The result is the same on every machine.
func Fit(ctx context.Context, p Params, x models.Matrix, labels []int, k int) (*Tree, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	n, d := x.Rows(), x.Cols()
	if d == 0 || len(x.Data) == 0 || len(x.Data)%d != 0 {
		return nil, fmt.Errorf("surrogate: empty or ragged input: %d values in %d columns", len(x.Data), d)
	}
	if len(labels) != n {
		panic(fmt.Sprintf("surrogate: %d labels for %d rows", len(labels), n))
	}
	for i, l := range labels {
		if l >= k {
			return nil, fmt.Errorf("surrogate: label %d of row %d is not below %d", l, i, k)
		}
	}
	for i, v := range x.Data {
		if math.IsInf(v, 0) {
			return nil, fmt.Errorf("surrogate: row %d, column %d (%s) is %v; values must be finite, or NaN for missing", i/d, i%d, x.Names[i%d], v)
		}
	}
	g := &grower{Params: p, x: x, labels: labels, k: k}
	rows := Draw(p, labels)
	if len(rows) == 0 {
		return nil, errors.New("surrogate: no row has a label")
	}
	if err := g.bin(ctx, rows); err != nil {
		return nil, err
	}
	places := make([]int, len(rows))
	for i := range places {
		places[i] = i
	}
	t := &Tree{rules: make([]Rule, k)}
	g.grow(places, p.Depth).collect(t.rules, nil)
	return t, nil
}

type grower struct {
	Params
	x      models.Matrix
	labels []int
	k      int

	of    []int       // label by place in the sample
	edges [][]float64 // thresholds by column, ascending
	bins  [][]uint8   // by column and place: number of thresholds below the value; missing for none
}

// missing is the bin of rows without a value; thresholds are fewer.
const missing = math.MaxUint8

// Draw is which rows Fit grows a tree on: given these rows alone, with their labels, it
// comes to the same.
func Draw(p Params, labels []int) []int {
	var rows []int
	for i, l := range labels {
		if l >= 0 {
			rows = append(rows, i)
		}
	}
	if len(rows) <= p.Sample {
		return rows
	}
	r := rand.New(rand.NewPCG(p.Seed, 0x7ee))
	kept, need := rows[:0], p.Sample
	for i, row := range rows { // selection sampling, Knuth vol. 2, algorithm S
		if r.Float64()*float64(len(rows)-i) < float64(need) {
			kept = append(kept, row)
			if need--; need == 0 {
				break
			}
		}
	}
	return kept
}

func (g *grower) bin(ctx context.Context, rows []int) error {
	for _, row := range rows {
		g.of = append(g.of, g.labels[row])
	}
	d := g.x.Cols()
	values := make([]float64, len(rows))
	for j := range d {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		known := make([]float64, 0, len(rows))
		for i, row := range rows {
			values[i] = g.x.Data[row*d+j]
			if !math.IsNaN(values[i]) {
				known = append(known, values[i])
			}
		}
		slices.Sort(known)
		edges := round(known, g.Thresholds)
		bins := make([]uint8, len(rows))
		for i, v := range values {
			bins[i] = missing
			if !math.IsNaN(v) {
				at, _ := slices.BinarySearch(edges, v) // the first threshold that is no less
				bins[i] = uint8(at)
			}
		}
		g.edges, g.bins = append(g.edges, edges), append(g.bins, bins)
	}
	return nil
}

// round are at most n thresholds near the quantiles of sorted values, with two
// significant digits, or as many as it takes to tell the values apart.
func round(sorted []float64, n int) []float64 {
	if len(sorted) == 0 {
		return nil
	}
	distinct := 1
	for i := 1; i < len(sorted) && distinct <= n; i++ {
		if sorted[i] != sorted[i-1] {
			distinct++
		}
	}
	var edges []float64
	for digits := 2; digits <= 17; digits++ {
		edges = edges[:0]
		for q := range n {
			v := sorted[(2*q+1)*len(sorted)/(2*n)]
			text := strconv.FormatFloat(v, 'e', digits-1, 64)
			if r, err := strconv.ParseFloat(text, 64); err == nil && r >= sorted[0] && r < sorted[len(sorted)-1] {
				edges = append(edges, r+0)
			}
		}
		slices.Sort(edges)
		edges = slices.Compact(edges)
		if len(edges) >= min(distinct-1, 8) {
			break
		}
	}
	// A value that most rows have is told apart from the others though every
	// quantile may be the same.
	if sorted[0] < sorted[len(sorted)-1] && !slices.Contains(edges, sorted[0]) && sorted[0] == 0 {
		edges = slices.Insert(edges, 0, 0)
	}
	return edges
}

// A node is a leaf, or two.
type node struct {
	label     int
	low, high *node // nil in a leaf
	column    string
	at        float64
	withHigh  bool // rows without a value go to high
}

// grow grows the tree of the sample's places.
func (g *grower) grow(places []int, depth int) *node {
	counts := make([]int, g.k)
	for _, i := range places {
		counts[g.of[i]]++
	}
	leaf := &node{}
	for l, c := range counts {
		if c > counts[leaf.label] {
			leaf.label = l
		}
	}
	if depth == 0 || counts[leaf.label] == len(places) {
		return leaf
	}
	best := g.split(places, counts)
	if best.column < 0 {
		return leaf
	}
	var low, high []int
	for _, i := range places {
		if best.high(g.bins[best.column][i]) {
			high = append(high, i)
		} else {
			low = append(low, i)
		}
	}
	n := &node{column: g.x.Names[best.column], at: g.edges[best.column][best.edge], withHigh: best.withHigh,
		low: g.grow(low, depth-1), high: g.grow(high, depth-1)}
	if n.low.low == nil && n.high.low == nil && n.low.label == n.high.label {
		return leaf // the comparison changes nothing
	}
	return n
}

// A cut parts the rows of a node.
type cut struct {
	column, edge int
	withHigh     bool
	purity       float64
}

func (c cut) high(bin uint8) bool {
	if bin == missing {
		return c.withHigh
	}
	return int(bin) > c.edge
}

// split is the cut after which the labels of either side are most of a kind: Σ n_l² / n
// of both sides, which is largest where Gini's index is least. Equals go to the
// first column and the lowest threshold.
func (g *grower) split(places []int, counts []int) cut {
	best := cut{column: -1, purity: purity(counts, len(places)) * (1 + 1e-9)}
	for j, edges := range g.edges {
		if len(edges) == 0 {
			continue
		}
		by := make([]int, (missing+1)*g.k)
		for _, i := range places {
			by[int(g.bins[j][i])*g.k+g.of[i]]++
		}
		none := by[missing*g.k:]
		low, high := make([]int, g.k), make([]int, g.k)
		for _, withHigh := range []bool{false, true} {
			clear(low)
			if !withHigh {
				copy(low, none)
			}
			for e := range edges {
				rows := 0
				for l := range g.k {
					low[l] += by[e*g.k+l]
					high[l] = counts[l] - low[l]
					rows += low[l]
				}
				if rows < g.MinRows || len(places)-rows < g.MinRows {
					continue
				}
				if v := purity(low, rows) + purity(high, len(places)-rows); v > best.purity {
					best = cut{j, e, withHigh, v}
				}
			}
		}
	}
	return best
}

func purity(counts []int, rows int) float64 {
	s := 0.0
	for _, c := range counts {
		s += float64(c) * float64(c)
	}
	return s / float64(rows)
}

// collect adds what leads to the leaves to the rules of their labels.
func (n *node) collect(rules []Rule, way []Condition) {
	if n.low == nil {
		rules[n.label] = append(rules[n.label], simplify(way))
		return
	}
	n.low.collect(rules, append(slices.Clone(way), Condition{n.column, false, n.at, !n.withHigh}))
	n.high.collect(rules, append(slices.Clone(way), Condition{n.column, true, n.at, n.withHigh}))
}

// simplify joins the conditions on a column that point the same way: the narrower
// one says it all.
func simplify(way []Condition) []Condition {
	var out []Condition
	for _, c := range way {
		i := slices.IndexFunc(out, func(o Condition) bool { return o.Column == c.Column && o.Above == c.Above })
		if i < 0 {
			out = append(out, c)
			continue
		}
		// The later one may be wider: it then parts those without a value from the others.
		if c.Above {
			out[i].At = max(out[i].At, c.At)
		} else {
			out[i].At = min(out[i].At, c.At)
		}
		out[i].Missing = out[i].Missing && c.Missing
	}
	// No value: only if every condition on the column lets it pass.
	for i := range out {
		for _, o := range out {
			out[i].Missing = out[i].Missing && (o.Column != out[i].Column || o.Missing)
		}
	}
	return out
}
