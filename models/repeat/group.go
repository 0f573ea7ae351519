package repeat

import (
	"cmp"
	"slices"
)

// A History is one distinct (x, t_x, T) and how many customers share it.
type History struct {
	X, TX, T, W float64
	Count       int32 // index of X in Grouped.Counts
}

// A Count is one distinct x and the weight of the customers who have it.
type Count struct{ X, W float64 }

// Grouped is the distinct histories in one order, whatever order they came in.
type Grouped struct {
	Rows                 []History
	Counts               []Count // rising in X
	Customers, Repeaters float64 // total weight, and that with x > 0
	Purchases, Exposure  float64 // Σwx and ΣwT
	Scale                float64 // max T, the unit in which parameters are searched for
}

// Group groups histories that Check has passed.
func Group(h Histories) *Grouped {
	rows := make([]History, 0, h.Len())
	for i, x := range h.X {
		w := 1.0
		if h.W != nil {
			w = h.W[i]
		}
		if w > 0 {
			rows = append(rows, History{X: x, TX: h.TX[i], T: h.T[i], W: w})
		}
	}
	return newGrouped(rows)
}

func newGrouped(rows []History) *Grouped {
	// T first, so that a run of rows shares its logarithms; weights last, so that
	// their sums do not depend on the input's order.
	slices.SortFunc(rows, func(p, q History) int {
		if p.T != q.T {
			return cmp.Compare(p.T, q.T)
		}
		if p.TX != q.TX {
			return cmp.Compare(p.TX, q.TX)
		}
		if p.X != q.X {
			return cmp.Compare(p.X, q.X)
		}
		return cmp.Compare(p.W, q.W)
	})
	g := &Grouped{Rows: rows[:0]} // never ahead of what is read
	for _, r := range rows {
		if n := len(g.Rows); n > 0 {
			if l := &g.Rows[n-1]; l.X == r.X && l.TX == r.TX && l.T == r.T {
				l.W += r.W
				continue
			}
		}
		g.Rows = append(g.Rows, r)
	}
	weights := make(map[float64]float64)
	for _, r := range g.Rows {
		g.Customers += r.W
		g.Purchases += r.W * r.X
		g.Exposure += r.W * r.T
		if r.X > 0 {
			g.Repeaters += r.W
		}
		weights[r.X] += r.W
		g.Scale = max(g.Scale, r.T)
	}
	for x, w := range weights {
		g.Counts = append(g.Counts, Count{x, w})
	}
	slices.SortFunc(g.Counts, func(p, q Count) int { return cmp.Compare(p.X, q.X) })
	index := make(map[float64]int32, len(g.Counts))
	for i, c := range g.Counts {
		index[c.X] = int32(i)
	}
	for i := range g.Rows {
		g.Rows[i].Count = index[g.Rows[i].X]
	}
	return g
}

// Sample is about n of the histories with their weights, evenly spaced in the
// sorted order, which stratifies by T and t_x.
func (g *Grouped) Sample(n int) *Grouped {
	if len(g.Rows) <= n {
		return g
	}
	rows := make([]History, n)
	for i := range rows {
		rows[i] = g.Rows[i*len(g.Rows)/n]
	}
	s := newGrouped(rows)
	s.Scale = g.Scale
	return s
}

// Rate is purchases per unit of time times Scale: while alive customers buy at
// least as fast.
func (g *Grouped) Rate() float64 { return g.Purchases / g.Exposure * g.Scale }
