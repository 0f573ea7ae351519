package bgnbd

import (
	"context"
	"math"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/mathext"

	"github.com/shoal-data/shoal/models/internal/numeric"
	"github.com/shoal-data/shoal/models/repeat"
)

// chances is how often a customer of x repeat purchases could have dropped out
// by the last of them, and survived.
func (m *Model) chances(x float64) float64 {
	if m.Modified {
		return x + 1
	}
	return x
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
//	A₃ + δA₄ = e^u + δe^v,  u = −n ln(α+T) + ln S,
//	v = ln a − ln(b+c−1) − n ln(α+t_x)
//
// is summed in log space. n = r+kx; c = x, or x+1 in the modified model, are the
// chances to drop out, δ = 1 where c > 0; and S is what the stages of the gap that
// is under way add, 1 when there is but one (see stages). With q = e^u/(e^u+e^v) =
// P(alive), the gradient of its log is q∇u + (1−q)∇v and its Hessian
// q∇²u + (1−q)∇²v + q(1−q)(∇v−∇u)(∇v−∇u)ᵀ.
func sum(ctx context.Context, workers int, g *repeat.Grouped, m Model) (sums, error) {
	r, al, a, b := m.R, m.Alpha, m.A, m.B
	k := float64(m.Stages)
	var total sums

	lnA := math.Log(a)
	logOdds := make([]float64, len(g.Counts)) // ln a − ln(b+c−1)
	psiR, psiAB, psiB := mathext.Digamma(r), mathext.Digamma(a+b), mathext.Digamma(b)
	triR, triAB, triB := numeric.Trigamma(r), numeric.Trigamma(a+b), numeric.Trigamma(b)
	for i, of := range g.Counts {
		c := m.chances(of.X)
		if c == 0 {
			continue // nothing depends on a and b, and n = r
		}
		logOdds[i] = lnA - math.Log(b+c-1)
		total.value += of.W * (numeric.LogGammaRatio(r, k*of.X) + numeric.LogGammaRatio(b, c) - numeric.LogGammaRatio(a+b, c))
		dAB := psiAB - mathext.Digamma(a+b+c)
		total.grad[0] += of.W * (mathext.Digamma(r+k*of.X) - psiR)
		total.grad[2] += of.W * dAB
		total.grad[3] += of.W * (dAB + mathext.Digamma(b+c) - psiB)
		tAB := triAB - numeric.Trigamma(a+b+c)
		total.hess[0] += of.W * (numeric.Trigamma(r+k*of.X) - triR)
		total.hess[7] += of.W * tAB
		total.hess[8] += of.W * tAB
		total.hess[9] += of.W * (tAB + numeric.Trigamma(b+c) - triB)
	}
	// r ln α, once a customer.
	total.value += g.Customers * r * math.Log(al)
	total.grad[0] += g.Customers * math.Log(al)
	total.grad[1] += g.Customers * r / al
	total.hess[1] += g.Customers / al
	total.hess[4] -= g.Customers * r / (al * al)

	parts := make([]sums, (len(g.Rows)+chunkRows-1)/chunkRows)
	err := numeric.Chunks(ctx, workers, len(g.Rows), chunkRows, func(chunk, lo, hi int) {
		var s sums
		lastT, lnT := math.NaN(), 0.0
		var st stages
		for i := lo; i < hi; i++ {
			h := &g.Rows[i]
			if h.T != lastT {
				lastT, lnT = h.T, math.Log(al+h.T)
			}
			n, iT := r+k*h.X, 1/(al+h.T)
			if m.Stages > 1 {
				st = stagesAt(m.Stages, n, (h.T-h.TX)*iT, iT)
			}
			c := m.chances(h.X)
			if c == 0 {
				s.value += h.W * (st.ln - r*lnT)
				s.grad[0] += h.W * (st.r - lnT)
				s.grad[1] += h.W * (st.al - r*iT)
				s.hess[0] += h.W * st.rr
				s.hess[1] += h.W * (st.ral - iT)
				s.hess[4] += h.W * (st.alal + r*iT*iT)
				continue
			}
			lnTX, iTX := math.Log(al+h.TX), 1/(al+h.TX)
			iB := 1 / (b + c - 1)
			d := logOdds[h.Count] + n*(lnT-lnTX) - st.ln // v − u
			e := math.Exp(-math.Abs(d))
			q := 1 / (1 + e) // the larger share
			over := max(d, 0) + math.Log1p(e)
			p := e * q
			if d > 0 {
				p, q = q, p
			}
			ur, ual := st.r-lnT, st.al-n*iT
			s.value += h.W * (over + st.ln - n*lnT)
			s.grad[0] += h.W * (q*ur - p*lnTX)
			s.grad[1] += h.W * (q*ual - p*n*iTX)
			s.grad[2] += h.W * p / a
			s.grad[3] -= h.W * p * iB

			wpq := h.W * p * q
			dr, dal, da, db := -lnTX-ur, -n*iTX-ual, 1/a, -iB
			s.hess[0] += wpq*dr*dr + h.W*q*st.rr
			s.hess[1] += wpq*dr*dal + h.W*(q*(st.ral-iT)-p*iTX)
			s.hess[2] += wpq * dr * da
			s.hess[3] += wpq * dr * db
			s.hess[4] += wpq*dal*dal + h.W*(q*(st.alal+n*iT*iT)+p*n*iTX*iTX)
			s.hess[5] += wpq * dal * da
			s.hess[6] += wpq * dal * db
			s.hess[7] += wpq*da*da - h.W*p*da*da
			s.hess[8] += wpq * da * db
			s.hess[9] += wpq*db*db + h.W*p*iB*iB
		}
		parts[chunk] = s
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

// stages is ln S and its derivatives by (r, α).
type stages struct{ ln, r, al, rr, ral, alal float64 }

// stagesAt is for S = Σ_{j<k} (n)_j/j! yʲ, y = (T−t_x)/(α+T) = (T−t_x)·iT: the
// gap under way is in its stage j, and an active customer in each with the weight
// of its term.
func stagesAt(k int, n, y, iT float64) stages {
	var s, r, al, rr, ral, alal float64 // Σ of the terms, of their derivatives
	term, dr, drr := 1.0, 0.0, 0.0      // ∂ ln term/∂r and its own derivative
	for j := range k {
		f := float64(j)
		s += term
		r += term * dr
		al -= term * f * iT
		rr += term * (dr*dr + drr)
		ral -= term * dr * f * iT
		alal += term * f * (f + 1) * iT * iT
		at := 1 / (n + f)
		term *= (n + f) / (f + 1) * y
		dr += at
		drr -= at * at
	}
	r, al = r/s, al/s
	return stages{math.Log(s), r, al, rr/s - r*r, ral/s - r*al, alal/s - al*al}
}

// objective is minus the penalised log-likelihood by φ = (ln r, ln(α/scale),
// ln a, ln b).
func (p Params) objective(ctx context.Context) repeat.Objective {
	return func(g *repeat.Grouped) numeric.Objective {
		return func(phi, grad []float64, hess *mat.SymDense) float64 {
			for _, v := range phi {
				if math.Abs(v) > 50 {
					return math.Inf(1) // e^50: nothing but overflow lies beyond
				}
			}
			th := [4]float64{math.Exp(phi[0]), math.Exp(phi[1]) * g.Scale, math.Exp(phi[2]), math.Exp(phi[3])}
			s, err := sum(ctx, p.Workers, g, Model{R: th[0], Alpha: th[1], A: th[2], B: th[3], Modified: p.Modified, Stages: p.Stages})
			if err != nil {
				return math.NaN() // Newton sees ctx too
			}
			return repeat.ByLogarithms(s.value, s.grad[:], s.hess[:], th[:], phi, p.Penalty, grad, hess)
		}
	}
}
