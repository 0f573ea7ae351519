package gbdt

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/gbdt/internal/kernel"
	"github.com/shoal-data/shoal/models/gbdt/internal/masks"
)

// A Model is a fitted ensemble. It is read-only: its methods may be called from
// any number of goroutines. Its JSON form restores it exactly.
type Model struct {
	Loss         Loss     `json:"loss"`
	TweediePower float64  `json:"tweedie_power,omitempty"` // Tweedie only
	Names        []string `json:"names"`                   // the columns, in order
	Categorical  []string `json:"categorical,omitempty"`   // those that are categories
	Base         float64  `json:"base"`                    // the score before any tree
	Trees        []Tree   `json:"trees"`
	Rows         float64  `json:"rows"` // total weight
	// Validation is the mean loss on the validation sample after each tree that
	// was grown, those dropped included; nil without such a sample.
	Validation []float64 `json:"validation,omitempty"`

	flat   []flatTree
	masked *masks.Forest // nil where going down the trees is as quick
}

// A Tree has n inner nodes, the first the root, and n+1 leaves; or no inner
// node and one leaf.
type Tree struct {
	Column []int32 `json:"column"` // that each inner node looks at
	// Threshold: values up to it go left.
	Threshold []float64 `json:"threshold"`
	// Categories: at an inner node with some, these go left, rising, and
	// everything else right. Nil for a tree without such nodes.
	Categories  [][]int32 `json:"categories,omitempty"`
	MissingLeft []bool    `json:"missing_left"`
	// Left and Right are an inner node, or ^leaf.
	Left  []int32   `json:"left"`
	Right []int32   `json:"right"`
	Gain  []float64 `json:"gain"`
	Cover []float64 `json:"cover"` // weight of the training rows at an inner node

	Value     []float64 `json:"value"` // of each leaf, LearningRate included
	LeafCover []float64 `json:"leaf_cover"`
}

// UnmarshalJSON refuses a model whose parts do not fit together.
func (m *Model) UnmarshalJSON(data []byte) error {
	type plain Model
	var p plain
	if err := json.Unmarshal(data, &p); err != nil {
		return fmt.Errorf("gbdt: %w", err)
	}
	got := Model(p)
	if err := got.check(); err != nil {
		return fmt.Errorf("gbdt: %w: not a saved model", err)
	}
	got.flatten()
	*m = got
	return nil
}

func (m *Model) check() error {
	if m.Loss != Logistic && m.Loss != Squared && m.Loss != Tweedie {
		return fmt.Errorf("loss %q", m.Loss)
	}
	if len(m.Names) == 0 {
		return fmt.Errorf("no columns")
	}
	for _, name := range m.Categorical {
		if !slices.Contains(m.Names, name) {
			return fmt.Errorf("categorical column %q is not among the columns", name)
		}
	}
	for k := range m.Trees {
		if err := m.Trees[k].check(len(m.Names)); err != nil {
			return fmt.Errorf("tree %d: %w", k, err)
		}
	}
	return nil
}

// check also makes sure that the nodes form a tree: every node and leaf but the
// root is the child of exactly one inner node, which stands before it.
func (t *Tree) check(columns int) error {
	n := len(t.Column)
	if len(t.Threshold) != n || len(t.MissingLeft) != n || len(t.Left) != n || len(t.Right) != n ||
		len(t.Gain) != n || len(t.Cover) != n || t.Categories != nil && len(t.Categories) != n ||
		len(t.Value) != n+1 || len(t.LeafCover) != n+1 {
		return fmt.Errorf("parts of unequal length")
	}
	seen := make([]bool, 2*n+1) // leaves, then inner nodes
	for i := range n {
		if !(t.Cover[i] > 0) {
			return fmt.Errorf("node %d covers a weight of %v", i, t.Cover[i])
		}
		if c := t.Column[i]; c < 0 || int(c) >= columns {
			return fmt.Errorf("node %d looks at column %d of %d", i, c, columns)
		}
		if t.Categories != nil {
			for k, c := range t.Categories[i] {
				if c < 0 || c > maxCategory || k > 0 && c <= t.Categories[i][k-1] {
					return fmt.Errorf("node %d: categories %v do not rise from 0 to %d", i, t.Categories[i], maxCategory)
				}
			}
		}
		for _, c := range [2]int32{t.Left[i], t.Right[i]} {
			at := n + 1 + int(c)
			if c < 0 {
				at = int(^c)
			}
			if c >= 0 && (int(c) <= i || int(c) >= n) || c < 0 && int(^c) > n || seen[at] {
				return fmt.Errorf("node %d has the child %d", i, c)
			}
			seen[at] = true
		}
	}
	return nil
}

// Scores is the score of each row of x: log-odds, a mean or its logarithm, by
// Loss. dst is allocated when nil; otherwise it must have x.Rows() elements.
func (m *Model) Scores(dst []float64, x models.Matrix) ([]float64, error) {
	if err := m.Accepts(x); err != nil {
		return nil, err
	}
	if dst == nil {
		dst = make([]float64, x.Rows())
	}
	if len(dst) != x.Rows() {
		panic(fmt.Sprintf("gbdt: dst has %d elements for %d rows", len(dst), x.Rows()))
	}
	m.scores(dst, x)
	return dst, nil
}

// Predict is P(y = 1) for each row of x, or the mean of y, by Loss. The columns
// must be the model's. dst is allocated when nil; otherwise it must have x.Rows()
// elements.
func (m *Model) Predict(dst []float64, x models.Matrix) ([]float64, error) {
	dst, err := m.Scores(dst, x)
	if err != nil {
		return nil, err
	}
	switch m.Loss {
	case Logistic:
		for i, s := range dst {
			dst[i] = kernel.Sigmoid(s)
		}
	case Tweedie:
		for i, s := range dst {
			dst[i] = kernel.Exp(s)
		}
	}
	return dst, nil
}

// Importance is, for each column, what its splits gained in all trees.
func (m *Model) Importance() []float64 {
	total := make([]float64, len(m.Names))
	for _, t := range m.Trees {
		for i, c := range t.Column {
			total[c] += t.Gain[i]
		}
	}
	return total
}

// Average is the model whose scores are the mean of those of models of one loss on
// the same columns.
func Average(all []*Model) *Model {
	a := *all[0]
	a.Base, a.Trees, a.Validation = 0, nil, nil
	n := float64(len(all))
	for _, m := range all {
		a.Base += m.Base / n
		for _, t := range m.Trees {
			t.Value = slices.Clone(t.Value)
			for l := range t.Value {
				t.Value[l] /= n
			}
			a.Trees = append(a.Trees, t)
		}
	}
	a.flatten()
	return &a
}

// Used is the model on the columns that its trees look at, the first one when
// they look at none: it predicts the same from fewer columns.
func (m *Model) Used() *Model {
	place := make([]int32, len(m.Names))
	for _, t := range m.Trees {
		for _, c := range t.Column {
			place[c] = 1
		}
	}
	if !slices.Contains(place, 1) {
		place[0] = 1
	}
	u := *m
	u.Names, u.Categorical = nil, nil
	for j, used := range place {
		if used == 1 {
			place[j] = int32(len(u.Names))
			u.Names = append(u.Names, m.Names[j])
			if slices.Contains(m.Categorical, m.Names[j]) {
				u.Categorical = append(u.Categorical, m.Names[j])
			}
		}
	}
	u.Trees = slices.Clone(m.Trees)
	for k := range u.Trees {
		t := &u.Trees[k]
		t.Column = slices.Clone(t.Column)
		for i, c := range t.Column {
			t.Column[i] = place[c]
		}
	}
	u.flatten()
	return &u
}

// Accepts says why the model cannot be applied to x, nil when it can.
func (m *Model) Accepts(x models.Matrix) error {
	if err := checkValues(x, nil); err != nil {
		return err
	}
	if x.Cols() != len(m.Names) {
		return fmt.Errorf("gbdt: %d columns, the model was fitted on %d", x.Cols(), len(m.Names))
	}
	for j, name := range x.Names {
		if name != m.Names[j] {
			return fmt.Errorf("gbdt: column %d is %s, the model was fitted on %s; give the columns in the order of Names", j, name, m.Names[j])
		}
	}
	return checkValues(x, m.Categorical)
}

// GoesLeft says which way inner node i sends the value v of its column.
func (t *Tree) GoesLeft(i int, v float64) bool {
	switch {
	case v != v:
		return t.MissingLeft[i]
	case t.Categories != nil && t.Categories[i] != nil:
		_, ok := slices.BinarySearch(t.Categories[i], int32(v))
		return ok
	}
	return v <= t.Threshold[i]
}

// A flatTree is a tree laid out for speed: siblings adjacent, leaves their own
// children, so that rows beside one another may take as many steps as the slowest.
type flatTree struct {
	nodes []flatNode
	value []float64 // by node; only leaves' are used
	sets  [][]uint64
}

type flatNode struct {
	threshold float64
	column    uint32
	// next is the left child, and its lowest bit is 1 when missing values go right:
	// children stand at even places and the next one.
	next uint32
}

// setFlag marks a node of categories; its threshold is then the set's number.
const setFlag = 1 << 31

func (m *Model) flatten() {
	m.flat = make([]flatTree, len(m.Trees))
	plain := make([]masks.Tree, len(m.Trees))
	for k := range m.Trees {
		t := &m.Trees[k]
		m.flat[k] = t.flatten()
		plain[k] = masks.Tree{Column: t.Column, Threshold: t.Threshold, MissingLeft: t.MissingLeft, Left: t.Left, Right: t.Right, Value: t.Value}
	}
	m.masked = nil
	if !slices.ContainsFunc(m.flat, func(f flatTree) bool { return len(f.sets) > 0 }) {
		m.masked = masks.New(plain)
	}
}

func (t *Tree) flatten() flatTree {
	var f flatTree
	// Place 1 is unused, so that siblings begin at even places.
	f.nodes, f.value = make([]flatNode, 2*len(t.Column)+2), make([]float64, 2*len(t.Column)+2)
	type item struct {
		child, place int32
	}
	root := int32(0)
	if len(t.Column) == 0 {
		root = ^0
	}
	free := int32(2)
	for queue := []item{{root, 0}}; len(queue) > 0; queue = queue[1:] {
		q := queue[0]
		if q.child < 0 {
			f.nodes[q.place] = flatNode{threshold: math.Inf(1), next: uint32(q.place &^ 1)}
			if q.place&1 == 1 {
				// A right-hand leaf goes right to itself: nothing is <= −∞, and
				// missing values go right.
				f.nodes[q.place] = flatNode{threshold: math.Inf(-1), next: uint32(q.place)}
			}
			f.value[q.place] = t.Value[^q.child]
			continue
		}
		i := q.child
		node := flatNode{threshold: t.Threshold[i], column: uint32(t.Column[i]), next: uint32(free)}
		if !t.MissingLeft[i] {
			node.next |= 1
		}
		if t.Categories != nil && t.Categories[i] != nil {
			set := make([]uint64, int(t.Categories[i][len(t.Categories[i])-1])/64+1)
			for _, c := range t.Categories[i] {
				set[c/64] |= 1 << (c % 64)
			}
			node.threshold = float64(len(f.sets))
			node.column |= setFlag
			f.sets = append(f.sets, set)
		}
		f.nodes[q.place] = node
		queue = append(queue, item{t.Left[i], free}, item{t.Right[i], free + 1})
		free += 2
	}
	return f
}

// leaf is the place of the leaf that a row comes to.
func (f *flatTree) leaf(row []float64) uint32 {
	for at := uint32(0); ; {
		to := f.step(at, row)
		if to == at {
			return at
		}
		at = to
	}
}

func (f *flatTree) step(at uint32, row []float64) uint32 {
	n := &f.nodes[at]
	if n.column&setFlag != 0 {
		v := row[n.column&^setFlag]
		if v != v {
			return n.next&^1 + n.next&1
		}
		set, c := f.sets[int(n.threshold)], int(v)
		if c>>6 < len(set) && set[c>>6]>>(c&63)&1 == 1 {
			return n.next &^ 1
		}
		return n.next | 1
	}
	return descend(n, row[n.column])
}

// descend compares without branches, which nothing could foretell.
func descend(n *flatNode, v float64) uint32 {
	var beyond, missing uint32
	if v > n.threshold {
		beyond = 1
	}
	if v != v {
		missing = 1
	}
	return n.next&^1 | beyond | missing&n.next
}

// rowsAtOnce is how many rows go down a tree side by side: each waits for its
// own comparison, so several together cost little more than one.
const rowsAtOnce = 8

// blockRows is how many rows pass all trees before the next ones, so that rows
// and then trees stay in the cache.
const blockRows = 256

func (m *Model) scores(dst []float64, x models.Matrix) {
	d := x.Cols()
	for i := range dst {
		dst[i] = m.Base
	}
	for lo := m.masked.Add(dst, x.Data, d); lo < len(dst); lo += blockRows {
		hi := min(lo+blockRows, len(dst))
		for k := range m.flat {
			m.flat[k].add(dst[lo:hi], x.Data[lo*d:hi*d], d)
		}
	}
}

// add adds the tree's value of each row to dst.
func (f *flatTree) add(dst, rows []float64, d int) {
	i := 0
	nodes := f.nodes
	for ; i+rowsAtOnce <= len(dst); i += rowsAtOnce {
		var at [rowsAtOnce]uint32
		eight := rows[i*d : (i+rowsAtOnce)*d]
		for moved := uint32(1); moved != 0; { // until all have come to their leaves
			moved = 0
			for r := range at {
				n := &nodes[at[r]]
				var to uint32
				if n.column&setFlag == 0 {
					to = descend(n, eight[r*d+int(n.column)])
				} else {
					to = f.step(at[r], eight[r*d:(r+1)*d])
				}
				moved |= to ^ at[r]
				at[r] = to
			}
		}
		for r, leaf := range at {
			dst[i+r] += f.value[leaf]
		}
	}
	for ; i < len(dst); i++ {
		dst[i] += f.value[f.leaf(rows[i*d:(i+1)*d])]
	}
}
