package bgnbd

import (
	"cmp"
	"context"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/mathext"

	"github.com/shoal-data/shoal/models/internal/numeric"
)

// history is one distinct (x, t_x, T) and how many customers share it.
type history struct {
	x, tx, t, w float64
	count       int32 // index of x in grouped.counts
}

// count is one distinct x > 0 and the weight of the customers who have it.
type count struct{ x, w float64 }

// grouped is the distinct histories in one order, whatever order they came in.
type grouped struct {
	rows                 []history
	counts               []count
	customers, repeaters float64
	purchases, exposure  float64 // Σwx and ΣwT
	scale                float64 // max T, the unit in which α is searched for
}

func group(h Histories) *grouped {
	rows := make([]history, 0, h.Len())
	for i, x := range h.X {
		w := 1.0
		if h.W != nil {
			w = h.W[i]
		}
		if w > 0 {
			rows = append(rows, history{x: x, tx: h.TX[i], t: h.T[i], w: w})
		}
	}
	g := newGrouped(rows)
	return g
}

func newGrouped(rows []history) *grouped {
	// T first, so that a run shares ln(α+T); weights last, so that their sums
	// do not depend on the input's order.
	slices.SortFunc(rows, func(p, q history) int {
		if p.t != q.t {
			return cmp.Compare(p.t, q.t)
		}
		if p.tx != q.tx {
			return cmp.Compare(p.tx, q.tx)
		}
		if p.x != q.x {
			return cmp.Compare(p.x, q.x)
		}
		return cmp.Compare(p.w, q.w)
	})
	g := &grouped{}
	for _, r := range rows {
		if n := len(g.rows); n > 0 {
			if l := &g.rows[n-1]; l.x == r.x && l.tx == r.tx && l.t == r.t {
				l.w += r.w
				continue
			}
		}
		g.rows = append(g.rows, r)
	}
	weights := make(map[float64]float64)
	for _, r := range g.rows {
		g.customers += r.w
		g.purchases += r.w * r.x
		g.exposure += r.w * r.t
		if r.x > 0 {
			g.repeaters += r.w
			weights[r.x] += r.w
		}
		g.scale = max(g.scale, r.t)
	}
	for x, w := range weights {
		g.counts = append(g.counts, count{x, w})
	}
	slices.SortFunc(g.counts, func(p, q count) int { return cmp.Compare(p.x, q.x) })
	index := make(map[float64]int32, len(g.counts))
	for i, c := range g.counts {
		index[c.x] = int32(i)
	}
	for i := range g.rows {
		g.rows[i].count = index[g.rows[i].x] // 0, unused, where x is 0
	}
	return g
}

// sample is about n of the histories with their weights, evenly spaced in the
// sorted order, which stratifies by T and t_x.
func (g *grouped) sample(n int) *grouped {
	if len(g.rows) <= n {
		return g
	}
	rows := make([]history, n)
	for i := range rows {
		rows[i] = g.rows[i*len(g.rows)/n]
	}
	s := newGrouped(rows)
	s.scale = g.scale
	return s
}

// sums are the log-likelihood with its derivatives by (r, α, a, b).
type sums struct {
	value float64
	grad  [4]float64
	hess  [10]float64 // upper triangle: rr rα ra rb αα αa αb aa ab bb
}

const chunkRows = 8192

// sum is the log-likelihood of eq. (6), taken apart as ln[A₁A₂(A₃+δA₄)]: what
// depends on x alone is computed once a distinct x, and
//
//	A₃ + δA₄ = e^u + δe^v,  u = −(r+x) ln(α+T),
//	v = ln a − ln(b+x−1) − (r+x) ln(α+t_x)
//
// is summed in log space. With q = e^u/(e^u+e^v) = P(alive), the gradient of its
// log is q∇u + (1−q)∇v and its Hessian q∇²u + (1−q)∇²v + q(1−q)(∇v−∇u)(∇v−∇u)ᵀ.
func (g *grouped) sum(ctx context.Context, workers int, m Model) (sums, error) {
	r, al, a, b := m.R, m.Alpha, m.A, m.B
	var total sums

	lnA := math.Log(a)
	logOdds := make([]float64, len(g.counts)) // ln a − ln(b+x−1)
	psiR, psiAB, psiB := mathext.Digamma(r), mathext.Digamma(a+b), mathext.Digamma(b)
	triR, triAB, triB := numeric.Trigamma(r), numeric.Trigamma(a+b), numeric.Trigamma(b)
	for i, c := range g.counts {
		logOdds[i] = lnA - math.Log(b+c.x-1)
		total.value += c.w * (numeric.LogGammaRatio(r, c.x) + numeric.LogGammaRatio(b, c.x) - numeric.LogGammaRatio(a+b, c.x))
		dAB := psiAB - mathext.Digamma(a+b+c.x)
		total.grad[0] += c.w * (mathext.Digamma(r+c.x) - psiR)
		total.grad[2] += c.w * dAB
		total.grad[3] += c.w * (dAB + mathext.Digamma(b+c.x) - psiB)
		tAB := triAB - numeric.Trigamma(a+b+c.x)
		total.hess[0] += c.w * (numeric.Trigamma(r+c.x) - triR)
		total.hess[7] += c.w * tAB
		total.hess[8] += c.w * tAB
		total.hess[9] += c.w * (tAB + numeric.Trigamma(b+c.x) - triB)
	}
	// r ln α, once a customer.
	total.value += g.customers * r * math.Log(al)
	total.grad[0] += g.customers * math.Log(al)
	total.grad[1] += g.customers * r / al
	total.hess[1] += g.customers / al
	total.hess[4] -= g.customers * r / (al * al)

	parts := make([]sums, (len(g.rows)+chunkRows-1)/chunkRows)
	err := numeric.Chunks(ctx, workers, len(g.rows), chunkRows, func(c, lo, hi int) {
		var s sums
		lastT, lnT := math.NaN(), 0.0
		for i := lo; i < hi; i++ {
			h := &g.rows[i]
			if h.t != lastT {
				lastT, lnT = h.t, math.Log(al+h.t)
			}
			k, iT := r+h.x, 1/(al+h.t)
			if h.x == 0 {
				s.value -= h.w * r * lnT
				s.grad[0] -= h.w * lnT
				s.grad[1] -= h.w * r * iT
				s.hess[1] -= h.w * iT
				s.hess[4] += h.w * r * iT * iT
				continue
			}
			lnTX, iTX := math.Log(al+h.tx), 1/(al+h.tx)
			iB := 1 / (b + h.x - 1)
			d := logOdds[h.count] + k*(lnT-lnTX) // v − u
			e := math.Exp(-math.Abs(d))
			q := 1 / (1 + e) // the larger share
			over := max(d, 0) + math.Log1p(e)
			p := e * q
			if d > 0 {
				p, q = q, p
			}
			s.value += h.w * (over - k*lnT)
			s.grad[0] -= h.w * (q*lnT + p*lnTX)
			s.grad[1] -= h.w * k * (q*iT + p*iTX)
			s.grad[2] += h.w * p / a
			s.grad[3] -= h.w * p * iB

			wpq := h.w * p * q
			dr, da, db := lnT-lnTX, 1/a, -iB
			dal := k * (iT - iTX)
			s.hess[0] += wpq * dr * dr
			s.hess[1] += wpq*dr*dal - h.w*(q*iT+p*iTX)
			s.hess[2] += wpq * dr * da
			s.hess[3] += wpq * dr * db
			s.hess[4] += wpq*dal*dal + h.w*k*(q*iT*iT+p*iTX*iTX)
			s.hess[5] += wpq * dal * da
			s.hess[6] += wpq * dal * db
			s.hess[7] += wpq*da*da - h.w*p*da*da
			s.hess[8] += wpq * da * db
			s.hess[9] += wpq*db*db + h.w*p*iB*iB
		}
		parts[c] = s
	})
	if err != nil {
		return sums{}, err
	}
	for i := range parts {
		total.value += parts[i].value
		for j, v := range parts[i].grad {
			total.grad[j] += v
		}
		for j, v := range parts[i].hess {
			total.hess[j] += v
		}
	}
	return total, nil
}

// objective is minus the penalised log-likelihood by φ = (ln r, ln(α/scale),
// ln a, ln b).
func (g *grouped) objective(ctx context.Context, p Params) numeric.Objective {
	return func(phi, grad []float64, hess *mat.SymDense) float64 {
		for _, v := range phi {
			if math.Abs(v) > 50 {
				return math.Inf(1) // e^50: nothing but overflow lies beyond
			}
		}
		th := [4]float64{math.Exp(phi[0]), math.Exp(phi[1]) * g.scale, math.Exp(phi[2]), math.Exp(phi[3])}
		s, err := g.sum(ctx, p.Workers, Model{R: th[0], Alpha: th[1], A: th[2], B: th[3]})
		if err != nil {
			return math.NaN() // Newton sees ctx too
		}
		f := -s.value
		k := 0
		for i := range 4 {
			for j := i; j < 4; j++ {
				v := -s.hess[k] * th[i] * th[j]
				if i == j {
					v += -s.grad[i]*th[i] + 2*p.Penalty
				}
				hess.SetSym(i, j, v)
				k++
			}
			grad[i] = -s.grad[i]*th[i] + 2*p.Penalty*phi[i]
			f += p.Penalty * phi[i] * phi[i]
		}
		return f
	}
}

// maximise lets several starts compete on a sample and refines the best on all.
func (g *grouped) maximise(ctx context.Context, p Params) ([]float64, numeric.NewtonResult, error) {
	np := numeric.NewtonParams{MaxIter: p.MaxIter, Tol: p.Tol, MaxStep: 2}
	small := g.sample(p.StartSample)
	f := small.objective(ctx, p)
	// While alive customers buy at least as fast as on average over all time.
	rate := g.purchases / g.exposure * g.scale
	best, low := []float64(nil), math.Inf(1)
	for _, r := range [...]float64{.3, 1, 4} {
		for _, ab := range [...][2]float64{{.5, 2}, {1, 10}, {3, 3}} {
			phi := []float64{math.Log(r), math.Log(r / rate), math.Log(ab[0]), math.Log(ab[1])}
			res, err := numeric.Newton(ctx, f, phi, np)
			if err != nil {
				return nil, res, err
			}
			if res.Value < low {
				best, low = phi, res.Value
			}
		}
	}
	if best == nil {
		// Every start overflowed; the result says so through Converged.
		best = []float64{0, -math.Log(rate), 0, 0}
	}
	res, err := numeric.Newton(ctx, g.objective(ctx, p), best, np)
	return best, res, err
}
