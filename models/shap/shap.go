// Package shap divides a prediction among the columns: each gets its Shapley
// value, so that the shares and a base sum to the score (Lundberg et al., Nature
// Machine Intelligence 2, 2020). For trees these are the path-dependent values,
// where a column that is not known sends a row both ways, by the training
// rows' weight on each side.
//
// For one leaf of value v, let z be the share of the weight that passes a column's
// conditions on the way, and o be 1 or 0 as the row passes them or not. Summing
// over the order in which columns become known, column i gets
//
//	v (oᵢ − zᵢ) ∫₀¹ Πⱼ≠ᵢ (zⱼ(1−t) + oⱼt) dt,
//
// because ∫ tᵏ(1−t)ᵐ dt is the weight of a subset. With d columns on the way the
// integrand has degree d−1, so Gauss and Legendre's rule with d/2 points is exact. The
// products of all leaves are shared along the tree, as the sums are on the way
// back: a tree costs its size times d/2, and every term is positive, so
// that nothing cancels.
package shap

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/integrate/quad"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/gbdt"
	"github.com/shoal-data/shoal/models/logit"
	"github.com/shoal-data/shoal/models/shap/internal/conditions"
)

// An Additive explanation: Base and a row of Contributions sum to the row's score.
type Additive interface {
	Base() float64
	// Contributions is an n×d matrix, one row a row of x.
	Contributions(x models.Matrix) (models.Matrix, error)
}

var (
	_ Additive = (*Trees)(nil)
	_ Additive = (*logit.Model)(nil)
)

// Trees explains a model of boosted trees. It is read-only: its methods may be
// called from any number of goroutines.
type Trees struct {
	model *gbdt.Model
	base  float64
	trees []tree
	// The most edges and points that any tree needs.
	edges, values int
}

// A tree is an ensemble's tree made ready. Edges are numbered 2i for the left
// and 2i+1 for the right child of inner node i.
type tree struct {
	*gbdt.Tree
	points int
	above  []int32 // by inner node: the edge that leads to it, -1 for the root
	// same is the nearest edge above, by inner node, that also left a node of
	// its column, -1 where there is none.
	same       []int32
	conditions []condition // by inner node; nil when a node asks for categories
	columns    []int32     // that the tree looks at, rising
	place      []int32     // by inner node: where its column is in columns
	// By edge, then by case, then by point; see cases. factor is what a leaf's
	// product is multiplied by along the edge; share is what the column gets of the sum
	// of the products beyond it, less what it got for the same edge above.
	factor, share []float64
}

// A condition is met by values up to the threshold, and perhaps by missing ones.
type condition struct {
	threshold float64
	column    int32
	missing   bool
}

// The cases of an edge: whether the row passes the conditions of its column so
// far, and passed those before.
const (
	passes   = iota // it passes all
	fails           // it fails at this edge
	failed          // it failed before
	allCases        // how many there are
)

// ForTrees makes m's trees ready.
func ForTrees(m *gbdt.Model) *Trees {
	e := &Trees{model: m, base: m.Base}
	for k := range m.Trees {
		t := prepare(&m.Trees[k])
		e.base += t.mean()
		e.trees = append(e.trees, t)
		e.edges = max(e.edges, 2*len(t.Column))
		e.values = max(e.values, 2*len(t.Column)*t.points)
	}
	return e
}

// mean is the average value of the training rows.
func (t *tree) mean() float64 {
	if len(t.Value) == 1 {
		return t.Value[0]
	}
	var sum, weight float64
	for l, v := range t.Value {
		sum += v * t.LeafCover[l]
		weight += t.LeafCover[l]
	}
	return sum / weight
}

func (t *tree) cover(child int32) float64 {
	if child < 0 {
		return t.LeafCover[^child]
	}
	return t.Cover[child]
}

func prepare(source *gbdt.Tree) tree {
	n := len(source.Column)
	t := tree{Tree: source, above: make([]int32, n), same: make([]int32, n), place: make([]int32, n)}
	if n == 0 {
		return t
	}
	t.columns = slices.Compact(slices.Sorted(slices.Values(source.Column)))
	for i, c := range source.Column {
		at, _ := slices.BinarySearch(t.columns, c)
		t.place[i] = int32(at)
	}
	if source.Categories == nil {
		t.conditions = make([]condition, n)
		for i, c := range source.Column {
			t.conditions[i] = condition{source.Threshold[i], c, source.MissingLeft[i]}
		}
	}
	share := make([]float64, 2*n) // z of the edge's column so far
	columns := make([]int, n)     // different ones above and at each inner node
	t.above[0] = -1
	most := 0
	for i := range n { // parents come before children
		t.same[i] = -1
		columns[i] = 1
		if up := t.above[i]; up >= 0 {
			columns[i] = columns[up/2] + 1
		}
		for e := t.above[i]; e >= 0; e = t.above[e/2] {
			if t.Column[e/2] == t.Column[i] {
				t.same[i] = e
				columns[i]--
				break
			}
		}
		most = max(most, columns[i])
		for side, child := range [2]int32{t.Left[i], t.Right[i]} {
			e := 2*i + side
			share[e] = t.cover(child) / t.Cover[i]
			if s := t.same[i]; s >= 0 {
				share[e] *= share[s]
			}
			if child >= 0 {
				t.above[child] = int32(e)
			}
		}
	}
	t.points = (most + 1) / 2
	at, weight := make([]float64, t.points), make([]float64, t.points)
	quad.Legendre{}.FixedLocations(at, weight, 0, 1)
	t.factor = make([]float64, 2*n*allCases*t.points)
	t.share = make([]float64, len(t.factor))
	for e := range 2 * n {
		z, before := share[e], 1.0
		s := t.same[e/2]
		if s >= 0 {
			before = share[s]
		}
		for c := range allCases {
			var o, oBefore float64
			if c == passes {
				o = 1
			}
			if c != failed {
				oBefore = 1
			}
			for k, x := range at {
				i := (e*allCases+c)*t.points + k
				f := z*(1-x) + o*x
				t.factor[i], t.share[i] = f, (o-z)/f*weight[k]
				if s >= 0 {
					g := before*(1-x) + oBefore*x
					t.factor[i] /= g
					t.share[i] -= (oBefore - before) / g * weight[k]
				}
			}
		}
	}
	return t
}

// Base is the average score of the training rows.
func (e *Trees) Base() float64 { return e.base }

// Contributions is an n×d matrix of shares of each row's score; the columns of x
// must be the model's.
func (e *Trees) Contributions(x models.Matrix) (models.Matrix, error) {
	return e.NewSession().Contributions(x)
}

// A Session explains many rows, for one goroutine. A tree's shares depend only on
// which of its conditions a row meets, and few of the combinations occur: what
// was worked out for one row is looked up for the next that is alike, which is
// an order of magnitude faster. The shares are the same, bit for bit.
type Session struct {
	*Trees
	product, sum []float64
	which        []uint8
	known        []known          // by tree
	loose        []float64        // shares that are not kept
	columns      []float64        // of the rows that are explained together, one after another
	met          [together]uint64 // by row: a bit for each of a tree's conditions
}

// A known is what has been worked out for a tree.
type known struct {
	few    []int32          // by the conditions met, a bit each, when they are few: place in shares, from 1
	many   map[uint64]int32 // likewise, when they are many
	count  int32
	shares []float64
}

// fewConditions is how many conditions have a table of their combinations.
const fewConditions = 10

// remembered is how many combinations of a tree are kept, the first ones met: with
// 100 trees of 15 leaves they take at most 25 MB.
const remembered = 2048

// together is how many rows a tree explains before the next tree does: what is
// remembered of it stays in the cache, and so do the rows.
const together = 128

// NewSession begins one.
func (e *Trees) NewSession() *Session {
	return &Session{Trees: e, product: make([]float64, e.values), sum: make([]float64, e.values), which: make([]uint8, e.edges), known: make([]known, len(e.trees)), loose: make([]float64, len(e.model.Names)), columns: make([]float64, together*len(e.model.Names))}
}

// Contributions is Trees.Contributions.
func (s *Session) Contributions(x models.Matrix) (models.Matrix, error) {
	if err := s.model.Accepts(x); err != nil {
		return models.Matrix{}, err
	}
	c := models.NewMatrix(s.model.Names, x.Rows())
	for from := 0; from < x.Rows(); from += together {
		n := min(together, x.Rows()-from)
		s.turn(x, from, n)
		for k := range s.trees {
			t := &s.trees[k]
			t.meet(s.met[:n], s.columns, x, from)
			for i, met := range s.met[:n] {
				dst := c.Row(from + i)
				for j, v := range s.shares(k, met, x.Row(from+i)) {
					dst[t.columns[j]] += v
				}
			}
		}
	}
	return c, nil
}

// turn puts n rows' values by column.
func (s *Session) turn(x models.Matrix, from, n int) {
	d := len(x.Names)
	rows := x.Data[from*d : (from+n)*d]
	for j := range d {
		column := s.columns[j*together:][:n]
		for i := range column {
			column[i] = rows[i*d+j]
		}
	}
}

// meet finds which conditions each of some rows meets, a bit for each; trees of more
// than 64 have too many. columns are the rows' values, by column.
func (t *tree) meet(met []uint64, columns []float64, x models.Matrix, from int) {
	clear(met)
	if len(t.Column) > 64 {
		return
	}
	whole := (len(met) + conditions.Lanes - 1) / conditions.Lanes * conditions.Lanes // others' bits are not looked at
	for i, c := range t.conditions {
		conditions.Meet(met[:whole], columns[int(c.column)*together:][:whole], c.threshold, c.missing, 1<<i)
	}
	if t.conditions != nil {
		return
	}
	for r := range met {
		row := x.Row(from + r)
		for i, column := range t.Column {
			if t.GoesLeft(i, row[column]) {
				met[r] |= 1 << i
			}
		}
	}
}

// shares are what the k-th tree's columns get of a row's value, by the conditions that
// it meets. They are valid until the next call.
func (s *Session) shares(k int, met uint64, row []float64) []float64 {
	t, room := &s.trees[k], &s.known[k]
	n, d := len(t.Column), len(t.columns)
	if n == 0 {
		return nil
	}
	var at int32
	switch {
	case n <= fewConditions:
		if room.few == nil {
			room.few = make([]int32, 1<<n)
		}
		at = room.few[met]
	case n <= 64:
		at = room.many[met]
	}
	if at > 0 {
		return room.shares[int(at-1)*d:][:d]
	}
	shares := s.loose[:d]
	if n <= 64 && room.count < remembered {
		room.count++
		if room.few != nil {
			room.few[met] = room.count
		} else {
			if room.many == nil {
				room.many = map[uint64]int32{}
			}
			room.many[met] = room.count
		}
		room.shares = append(room.shares, shares...)
		shares = room.shares[len(room.shares)-d:]
	}
	clear(shares)
	t.explain(shares, row, s.product, s.sum, s.which)
	return shares
}

// explain adds the shares of row's value that the tree's columns get to dst.
// product, sum and which are room for the edges' products, sums and cases.
func (t *tree) explain(dst, row, product, sum []float64, which []uint8) {
	q := t.points
	for i, column := range t.Column {
		taken := 1
		if t.GoesLeft(i, row[column]) {
			taken = 0
		}
		lost := false
		if s := t.same[i]; s >= 0 {
			lost = which[s] != passes
		}
		for side, child := range [2]int32{t.Left[i], t.Right[i]} {
			e := 2*i + side
			c := passes
			switch {
			case lost:
				c = failed
			case side != taken:
				c = fails
			}
			which[e] = uint8(c)
			factor := t.factor[(e*allCases+c)*q:][:q]
			to := product[e*q:][:q]
			if up := t.above[i]; up >= 0 {
				from := product[int(up)*q:][:q]
				for k, f := range factor {
					to[k] = from[k] * f
				}
			} else {
				copy(to, factor)
			}
			if child < 0 {
				v := t.Value[^child]
				leaf := sum[e*q:][:q]
				for k, p := range to {
					leaf[k] = p * v
				}
			}
		}
	}
	for i := len(t.Column) - 1; i >= 0; i-- {
		left, right := sum[2*i*q:][:q], sum[(2*i+1)*q:][:q]
		a := t.share[(2*i*allCases+int(which[2*i]))*q:][:q]
		b := t.share[((2*i+1)*allCases+int(which[2*i+1]))*q:][:q]
		var total float64
		for k := range left {
			total += left[k]*a[k] + right[k]*b[k]
		}
		dst[t.place[i]] += total
		if up := t.above[i]; up >= 0 {
			to := sum[int(up)*q:][:q]
			for k := range to {
				to[k] = left[k] + right[k]
			}
		}
	}
}

// Top is the k columns that contribute most to a row either way, or fewer when
// the rest contribute nothing: the largest first, and of equal ones the first.
func Top(row []float64, k int) []int {
	top := make([]int, 0, min(k, len(row)))
	for j, v := range row {
		if v == 0 {
			continue
		}
		at := len(top)
		for at > 0 && math.Abs(v) > math.Abs(row[top[at-1]]) {
			at--
		}
		if len(top) == cap(top) {
			if at == len(top) {
				continue
			}
			top = top[:len(top)-1]
		}
		top = slices.Insert(top, at, j)
	}
	return top
}
