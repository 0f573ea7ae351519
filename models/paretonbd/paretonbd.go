// Package paretonbd is the Pareto/NBD model of repeat buying without a contract
// (Schmittlein, Morrison & Colombo, "Counting Your Customers", Management Science
// 33(1), 1987).
//
// While active, a customer buys at rate λ (Poisson); an active customer drops out
// for good at rate μ, whether or not anything was bought. Across customers
// λ ~ Gamma(r, rate α) and μ ~ Gamma(s, rate β), independently.
//
// Everything that other treatments write with ₂F₁ (Fader & Hardie, "A Note on
// Deriving the Pareto/NBD Model", 2005) is here an integral of positive terms in
// log space: nothing cancels or overflows, and derivatives are integrals too.
package paretonbd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/mathext"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/internal/numeric"
	"github.com/shoal-data/shoal/models/repeat"
)

// A Model is a fitted Pareto/NBD. It is read-only: its methods may be called from
// any number of goroutines. Its JSON form restores it exactly.
type Model struct {
	R     float64 `json:"r"`     // shape of the buying rates' gamma, > 0
	Alpha float64 `json:"alpha"` // its rate, in the unit of time, > 0; mean rate is R/Alpha
	S     float64 `json:"s"`     // shape of the dropout rates' gamma, > 0
	Beta  float64 `json:"beta"`  // its rate, in the unit of time, > 0; mean rate is S/Beta

	LogLikelihood float64 `json:"log_likelihood"` // natural log, summed over customers, without the penalty
	Customers     float64 `json:"customers"`      // total weight fitted
	Repeaters     float64 `json:"repeaters"`      // total weight with x > 0
	Iterations    int     `json:"iterations"`     // Newton steps over the whole data
}

// UnmarshalJSON refuses parameters that no fit produces.
func (m *Model) UnmarshalJSON(data []byte) error {
	type plain Model
	var p plain
	if err := json.Unmarshal(data, &p); err != nil {
		return fmt.Errorf("paretonbd: %w", err)
	}
	for _, v := range [...]struct {
		name string
		v    float64
	}{{"r", p.R}, {"alpha", p.Alpha}, {"s", p.S}, {"beta", p.Beta}} {
		if !(v.v > 0) {
			return fmt.Errorf("paretonbd: %s (%v) must be > 0: not a saved model", v.name, v.v)
		}
	}
	*m = Model(p)
	return nil
}

// Fit finds the parameters of highest penalised likelihood. It is deterministic:
// neither the order of the rows nor the number of workers changes a bit. The
// penalty is on ln r, ln(α/max T), ln s and ln(β/max T).
// Warnings: paretonbd.not_converged, paretonbd.weakly_identified.
func Fit(ctx context.Context, p repeat.Params, h repeat.Histories) (*Model, []models.Warning, error) {
	if err := p.Validate("paretonbd"); err != nil {
		return nil, nil, err
	}
	if err := h.Check("paretonbd"); err != nil {
		return nil, nil, err
	}
	return FitGrouped(ctx, p, repeat.Group(h))
}

// FitGrouped is Fit for histories that are grouped already, as when several
// models are fitted to the same ones.
func FitGrouped(ctx context.Context, p repeat.Params, g *repeat.Grouped) (*Model, []models.Warning, error) {
	if err := p.Validate("paretonbd"); err != nil {
		return nil, nil, err
	}
	if err := g.CheckRepeaters("paretonbd", p); err != nil {
		return nil, nil, err
	}
	var starts [][]float64
	for _, r := range [...]float64{.3, 1, 4} {
		for _, dropout := range [...][2]float64{{.5, .3}, {1, 1}, {3, 2}} {
			starts = append(starts, []float64{math.Log(r), math.Log(r / g.Rate()), math.Log(dropout[0]), math.Log(dropout[1])})
		}
	}
	phi, res, err := repeat.Maximise(ctx, p, g, objective(ctx, p), starts)
	if err != nil {
		return nil, nil, fmt.Errorf("paretonbd: fit stopped: %w", err)
	}
	m := &Model{
		Customers: g.Customers, Repeaters: g.Repeaters, Iterations: res.Iterations,
		R: math.Exp(phi[0]), Alpha: math.Exp(phi[1]) * g.Scale, S: math.Exp(phi[2]), Beta: math.Exp(phi[3]) * g.Scale,
	}
	s, err := sum(ctx, p.Workers, g, *m)
	if err != nil {
		return nil, nil, fmt.Errorf("paretonbd: fit stopped: %w", err)
	}
	m.LogLikelihood = s.value
	return m, repeat.Warnings("paretonbd", "Pareto/NBD", res, m.LogLikelihood, []string{"r", "α/max T", "s", "β/max T"}, phi), nil
}

// sums are the log-likelihood with its derivatives by (r, α, s, β).
type sums struct {
	value float64
	grad  [4]float64
	hess  [10]float64 // upper triangle: rr rα rs rβ αα αs αβ ss sβ ββ
}

const chunkRows = 4096

// sum is Σ w ln L with
//
//	L = Γ(r+x)/Γ(r) α^r β^s (e^u + e^v),
//	u = −n ln(α+T) − s ln(β+T),  e^v = s ∫_{t_x}^T (α+τ)^−n (β+τ)^−(s+1) dτ,
//
// n = r+x: still active at T, or dropped out at some τ since t_x. With
// q = e^u/(e^u+e^v) = P(alive), the gradient of ln(e^u+e^v) is q∇u + (1−q)∇v and
// its Hessian q∇²u + (1−q)∇²v + q(1−q)(∇v−∇u)(∇v−∇u)ᵀ.
func sum(ctx context.Context, workers int, g *repeat.Grouped, m Model) (sums, error) {
	r, al, s, be := m.R, m.Alpha, m.S, m.Beta
	var total sums
	psiR, triR := mathext.Digamma(r), numeric.Trigamma(r)
	for _, c := range g.Counts {
		if c.X == 0 {
			continue
		}
		total.value += c.W * numeric.LogGammaRatio(r, c.X)
		total.grad[0] += c.W * (mathext.Digamma(r+c.X) - psiR)
		total.hess[0] += c.W * (numeric.Trigamma(r+c.X) - triR)
	}
	// r ln α + s ln β, once a customer.
	total.value += g.Customers * (r*math.Log(al) + s*math.Log(be))
	total.grad[0] += g.Customers * math.Log(al)
	total.grad[1] += g.Customers * r / al
	total.grad[2] += g.Customers * math.Log(be)
	total.grad[3] += g.Customers * s / be
	total.hess[1] += g.Customers / al
	total.hess[4] -= g.Customers * r / (al * al)
	total.hess[8] += g.Customers / be
	total.hess[9] -= g.Customers * s / (be * be)

	parts := make([]sums, (len(g.Rows)+chunkRows-1)/chunkRows)
	err := numeric.Chunks(ctx, workers, len(g.Rows), chunkRows, func(chunk, lo, hi int) {
		var t sums
		lastT, lnA, lnB := math.NaN(), 0.0, 0.0
		for i := lo; i < hi; i++ {
			h := &g.Rows[i]
			if h.T != lastT {
				lastT, lnA, lnB = h.T, math.Log(al+h.T), math.Log(be+h.T)
			}
			n, iA, iB := r+h.X, 1/(al+h.T), 1/(be+h.T)
			u := -n*lnA - s*lnB
			du := [4]float64{-lnA, -n * iA, -lnB, -s * iB}
			d2u := [10]float64{1: -iA, 4: n * iA * iA, 8: -iB, 9: s * iB * iB}
			if h.TX == h.T {
				t.value += h.W * u
				for j, v := range du {
					t.grad[j] += h.W * v
				}
				for j, v := range d2u {
					t.hess[j] += h.W * v
				}
				continue
			}
			lnJ, dv, d2v := derivatives(al, be, n, s+1, h.TX, h.T)
			v := math.Log(s) + lnJ
			dv[2] += 1 / s
			d2v[7] -= 1 / (s * s)
			d := v - u
			e := math.Exp(-math.Abs(d))
			q := 1 / (1 + e) // the larger share
			over := max(d, 0) + math.Log1p(e)
			p := e * q
			if d > 0 {
				p, q = q, p
			}
			t.value += h.W * (u + over)
			wpq := h.W * p * q
			k := 0
			for a := range 4 {
				t.grad[a] += h.W * (q*du[a] + p*dv[a])
				for b := a; b < 4; b++ {
					t.hess[k] += h.W*(q*d2u[k]+p*d2v[k]) + wpq*(dv[a]-du[a])*(dv[b]-du[b])
					k++
				}
			}
		}
		parts[chunk] = t
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
// ln s, ln(β/scale)).
func objective(ctx context.Context, p repeat.Params) repeat.Objective {
	return func(g *repeat.Grouped) numeric.Objective {
		return func(phi, grad []float64, hess *mat.SymDense) float64 {
			for _, v := range phi {
				if math.Abs(v) > 25 {
					return math.Inf(1) // e^25: beyond, the gammas are points and integrals slow
				}
			}
			th := [4]float64{math.Exp(phi[0]), math.Exp(phi[1]) * g.Scale, math.Exp(phi[2]), math.Exp(phi[3]) * g.Scale}
			s, err := sum(ctx, p.Workers, g, Model{R: th[0], Alpha: th[1], S: th[2], Beta: th[3]})
			if err != nil {
				return math.NaN() // Newton sees ctx too
			}
			return repeat.ByLogarithms(s.value, s.grad[:], s.hess[:], th[:], phi, p.Penalty, grad, hess)
		}
	}
}

// Predict forecasts each history over horizon ≥ 0, in the unit of time of the
// fit. dst is allocated when nil; otherwise it must have h.Len() elements.
// Weights are ignored.
func (m *Model) Predict(dst []repeat.Forecast, h repeat.Histories, horizon float64) ([]repeat.Forecast, error) {
	if err := repeat.CheckForecast("paretonbd", h, horizon); err != nil {
		return nil, err
	}
	dst = repeat.Into("paretonbd", dst, h.Len())
	// What an active customer does depends on x and T, which many share.
	type outlook struct{ expected, buys float64 }
	seen := map[[2]float64]outlook{}
	for i, x := range h.X {
		o, ok := seen[[2]float64{x, h.T[i]}]
		if !ok {
			o = outlook{m.expected(x, h.T[i], horizon), m.buys(x, h.T[i], horizon)}
			seen[[2]float64{x, h.T[i]}] = o
		}
		alive := m.alive(x, h.TX[i], h.T[i])
		dst[i] = repeat.Forecast{Expected: alive * o.expected, Buys: alive * o.buys, Alive: alive}
	}
	return dst, nil
}

// alive is P(active at T | x, t_x, T): 1/(1+e^(v−u)) in sum's terms.
func (m *Model) alive(x, tx, t float64) float64 {
	if tx == t {
		return 1
	}
	n := m.R + x
	d := math.Log(m.S) + integral(m.Alpha, m.Beta, n, m.S+1, tx, t) + n*math.Log(m.Alpha+t) + m.S*math.Log(m.Beta+t)
	if d > 0 {
		e := math.Exp(-d)
		return e / (1 + e)
	}
	return 1 / (1 + math.Exp(d))
}

// expected is the number of purchases of a customer active at T, whose rates are
// Gamma(r+x, α+T) and Gamma(s, β+T).
func (m *Model) expected(x, t, horizon float64) float64 {
	l := math.Log1p(horizon / (m.Beta + t))
	years := l // ∫₀^l e^−(s−1)v dv
	if a := m.S - 1; a != 0 {
		years = -math.Expm1(-a*l) / a
	}
	return (m.R + x) * (m.Beta + t) / (m.Alpha + t) * years
}

// buys is the probability that a customer active at T buys within the horizon,
// which may be infinite: the density of the next purchase at τ while still active,
// n α′ⁿ β′ˢ (α′+τ)^−(n+1) (β′+τ)^−s, integrated.
func (m *Model) buys(x, t, horizon float64) float64 {
	if horizon == 0 {
		return 0
	}
	n, al, be := m.R+x, m.Alpha+t, m.Beta+t
	return min(1, math.Exp(math.Log(n)+n*math.Log(al)+m.S*math.Log(be)+integral(al, be, n+1, m.S, 0, horizon)))
}

// Next is how long after T each customer who buys again at all has done so with
// probability share, in (0,1). dst as in Predict.
func (m *Model) Next(dst []float64, h repeat.Histories, share float64) ([]float64, error) {
	if err := repeat.CheckNext("paretonbd", h, share); err != nil {
		return nil, err
	}
	dst = repeat.Into("paretonbd", dst, h.Len())
	seen := map[[2]float64]float64{}
	for i, x := range h.X {
		wait, ok := seen[[2]float64{x, h.T[i]}]
		if !ok {
			t := h.T[i]
			ever := m.buys(x, t, math.Inf(1))
			wait = (m.Alpha + t) * numeric.Rising(func(z float64) float64 { return m.buys(x, t, z*(m.Alpha+t)) / ever }, share)
			seen[[2]float64{x, t}] = wait
		}
		dst[i] = wait
	}
	return dst, nil
}

// ExpectedNew is E[X(t)]: the repeat purchases that a new customer makes within
// t ≥ 0 of the first purchase.
func (m *Model) ExpectedNew(t float64) (float64, error) {
	if !(t >= 0) || math.IsInf(t, 0) {
		return 0, errors.New("paretonbd: time must be >= 0 and finite")
	}
	return m.expected(0, 0, t), nil
}
