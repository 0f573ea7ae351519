// Package gammagamma is the gamma-gamma model of spend per purchase: Fader &
// Hardie, "The Gamma-Gamma Model of Monetary Value" (2013 note), after Fader,
// Hardie & Lee, Journal of Marketing Research 42(4), 2005.
//
// A customer's purchases are worth Gamma(p, rate ν) each, and across customers
// ν ~ Gamma(q, rate v); a purchase's mean value p/ν is taken to be independent of
// how often the customer buys. A customer is two numbers: x purchases and
// their mean value m. Money is in any one unit; v comes out in that unit.
package gammagamma

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/mathext"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/internal/numeric"
)

// ErrTooFewCustomers is wrapped by the error of Fit when too few customers have
// a usable value.
var ErrTooFewCustomers = errors.New("too few customers with a positive mean value")

// Params are the settings of a fit. Start from DefaultParams.
type Params struct {
	// MinCustomers is the smallest total weight of customers with x > 0 and m > 0, > 0.
	MinCustomers float64
	// Penalty ≥ 0 is subtracted, times the sum of squares of ln p, ln(q−1) and
	// ln(v/mean m), from the log-likelihood. It is a constant, not a share of the
	// data: its one purpose is to keep the optimum finite when customers, or
	// their purchases, do not differ at all.
	Penalty float64
	// MaxIter is the largest number of Newton steps from one start, ≥ 1.
	MaxIter int
	// Tol ends the search once a Newton step is predicted to raise the
	// log-likelihood by less than Tol·(1+|log-likelihood|), in (0, 1e-6].
	Tol float64
	// MaxCorrelation is the absolute correlation of x and m, in (0,1], above which
	// a warning says that the model's independence assumption fails.
	MaxCorrelation float64
	// Workers is the largest number of goroutines, ≥ 1. Results do not depend on it.
	Workers int
}

// DefaultParams fits one customer base of any size.
func DefaultParams() Params {
	return Params{MinCustomers: 30, Penalty: 1e-6, MaxIter: 100, Tol: 1e-13, MaxCorrelation: .3, Workers: 1}
}

// Validate reports every field out of bounds.
func (p Params) Validate() error {
	var faults []error
	bad := func(field string, value any, bound string) {
		faults = append(faults, fmt.Errorf("gammagamma: %s (%v) must be %s", field, value, bound))
	}
	if !(p.MinCustomers > 0) || math.IsInf(p.MinCustomers, 0) {
		bad("MinCustomers", p.MinCustomers, "> 0 and finite")
	}
	if !(p.Penalty >= 0) || math.IsInf(p.Penalty, 0) {
		bad("Penalty", p.Penalty, ">= 0 and finite")
	}
	if p.MaxIter < 1 {
		bad("MaxIter", p.MaxIter, ">= 1")
	}
	if !(p.Tol > 0 && p.Tol <= 1e-6) {
		bad("Tol", p.Tol, "in (0, 1e-6]")
	}
	if !(p.MaxCorrelation > 0 && p.MaxCorrelation <= 1) {
		bad("MaxCorrelation", p.MaxCorrelation, "in (0, 1]")
	}
	if p.Workers < 1 {
		bad("Workers", p.Workers, ">= 1")
	}
	return errors.Join(faults...)
}

// Spends are n customers, one per index.
type Spends struct {
	// X is the number of purchases that M averages: whole, ≥ 0.
	X []float64
	// M is their mean value. It is not looked at where X is 0; customers with
	// X > 0 and M ≤ 0 are left out of a fit and forecast as if X were 0.
	M []float64
	// W is the number of customers that a row stands for, ≥ 0; nil means one each.
	W []float64
}

// Len is the number of rows.
func (s Spends) Len() int { return len(s.X) }

func (s Spends) check() error {
	n := len(s.X)
	if n == 0 {
		return errors.New("gammagamma: empty input: no customers")
	}
	if len(s.M) != n || s.W != nil && len(s.W) != n {
		return fmt.Errorf("gammagamma: X, M, W have %d, %d, %d rows; they must agree (W may be nil)", n, len(s.M), len(s.W))
	}
	for i, x := range s.X {
		if !(x >= 0) || math.IsInf(x, 0) || x != math.Trunc(x) {
			return fmt.Errorf("gammagamma: row %d: X (%v) must be a whole number >= 0: purchases", i, x)
		}
		if m := s.M[i]; x > 0 && (math.IsNaN(m) || math.IsInf(m, 0)) {
			return fmt.Errorf("gammagamma: row %d: M is %v; the mean value of %v purchases must be finite", i, m, x)
		}
		if s.W != nil {
			if w := s.W[i]; !(w >= 0) || math.IsInf(w, 0) {
				return fmt.Errorf("gammagamma: row %d: W (%v) must be >= 0 and finite", i, w)
			}
		}
	}
	return nil
}

// A Model is a fitted gamma-gamma. It is read-only: its methods may be called
// from any number of goroutines. Its JSON form restores it exactly.
type Model struct {
	P float64 `json:"p"` // shape of a customer's purchase values, > 0
	Q float64 `json:"q"` // shape of the customers' rates, > 1 so that the mean exists
	V float64 `json:"v"` // their rate, in money, > 0

	LogLikelihood float64 `json:"log_likelihood"` // natural log, summed over customers, without the penalty
	Customers     float64 `json:"customers"`      // total weight fitted
	Iterations    int     `json:"iterations"`     // Newton steps
}

// UnmarshalJSON refuses parameters that no fit produces.
func (m *Model) UnmarshalJSON(data []byte) error {
	type plain Model
	var p plain
	if err := json.Unmarshal(data, &p); err != nil {
		return fmt.Errorf("gammagamma: %w", err)
	}
	if !(p.P > 0) || !(p.Q > 1) || !(p.V > 0) {
		return fmt.Errorf("gammagamma: p (%v) and v (%v) must be > 0 and q (%v) > 1: not a saved model", p.P, p.V, p.Q)
	}
	*m = Model(p)
	return nil
}

// Mean is the mean value of a purchase over all customers, pv/(q−1).
func (m *Model) Mean() float64 { return m.P * m.V / (m.Q - 1) }

// Predict is each customer's expected value of a future purchase (eq. 5),
// p(v+xm)/(px+q−1): the customer's own mean, shrunk towards everyone's, and
// Mean where x is 0 or m ≤ 0. dst is allocated when nil; otherwise it must have
// s.Len() elements. Weights are ignored.
func (m *Model) Predict(dst []float64, s Spends) ([]float64, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	if dst == nil {
		dst = make([]float64, s.Len())
	}
	if len(dst) != s.Len() {
		panic(fmt.Sprintf("gammagamma: dst has %d elements for %d customers", len(dst), s.Len()))
	}
	for i, x := range s.X {
		if x == 0 || s.M[i] <= 0 {
			dst[i] = m.Mean()
			continue
		}
		dst[i] = m.P * (m.V + x*s.M[i]) / (m.P*x + m.Q - 1)
	}
	return dst, nil
}

// negligible is a shortfall of log-likelihood that is not worth a warning: it
// moves no forecast, and the steps left to take are lost in rounding.
const negligible = 1e-5

// Fit finds the parameters of highest penalised likelihood over the customers
// with x > 0 and m > 0. It is deterministic: neither the order of the rows nor
// the number of workers changes a bit. Warnings: gammagamma.non_positive_value,
// gammagamma.correlated, gammagamma.not_converged, gammagamma.weakly_identified.
func Fit(ctx context.Context, p Params, s Spends) (*Model, []models.Warning, error) {
	if err := p.Validate(); err != nil {
		return nil, nil, err
	}
	if err := s.check(); err != nil {
		return nil, nil, err
	}
	var warnings []models.Warning
	warn := func(code, format string, args ...any) {
		warnings = append(warnings, models.Warning{Code: "gammagamma." + code, Message: fmt.Sprintf(format, args...)})
	}
	g, excluded := group(s)
	if g.customers < p.MinCustomers {
		return nil, nil, fmt.Errorf("gammagamma: %w: %v, at least %v needed; use longer history or a larger sample", ErrTooFewCustomers, g.customers, p.MinCustomers)
	}
	if excluded > 0 {
		warn("non_positive_value", "%v of %v customers with purchases have a mean value of zero or less and were left out of the spend model", excluded, excluded+g.customers)
	}
	if c := g.correlation(); math.Abs(c) > p.MaxCorrelation {
		warn("correlated", "purchase count and mean value correlate at %.2f, beyond ±%v: the spend model takes them as independent, so it misjudges frequent buyers", c, p.MaxCorrelation)
	}

	best, low := []float64(nil), numeric.NewtonResult{Value: math.Inf(1)}
	f := g.objective(ctx, p)
	// Starts with mean pv/(q−1) = mean m: purchases alike or not, customers alike or not.
	for _, pq := range [...][2]float64{{2, 3}, {8, 3}, {1, 1.5}, {10, 20}} {
		phi := []float64{math.Log(pq[0]), math.Log(pq[1] - 1), math.Log((pq[1] - 1) / pq[0])}
		res, err := numeric.Newton(ctx, f, phi, numeric.NewtonParams{MaxIter: p.MaxIter, Tol: p.Tol, MaxStep: 2})
		if err != nil {
			return nil, nil, fmt.Errorf("gammagamma: fit stopped: %w", err)
		}
		if best == nil || res.Value < low.Value {
			best, low = phi, res
		}
	}
	m := &Model{Customers: g.customers, Iterations: low.Iterations}
	m.P, m.Q, m.V = g.params(best)
	total, err := g.sum(ctx, p.Workers, m.P, m.Q, m.V)
	if err != nil {
		return nil, nil, fmt.Errorf("gammagamma: fit stopped: %w", err)
	}
	m.LogLikelihood = total.value

	if !low.Converged && low.Decrement > negligible {
		warn("not_converged", "gamma-gamma fit stopped after %d steps, %.3g short of its predicted log-likelihood of %.6f; its values may be off", low.Iterations, low.Decrement, m.LogLikelihood)
	}
	var odd []string
	for i, name := range [...]string{"p", "q−1", "v/mean"} {
		// e^±7: beyond a thousandfold the distribution is a point mass or has no mean.
		if math.Abs(best[i]) > 7 {
			odd = append(odd, fmt.Sprintf("%s = %.3g", name, math.Exp(best[i])))
		}
	}
	if odd != nil {
		warn("weakly_identified", "the data hardly determine %s of the gamma-gamma: values barely differ, or have so heavy a tail that a mean hardly exists", strings.Join(odd, ", "))
	}
	return m, warnings, nil
}

// spend is one distinct (x, m) and how many customers share it.
type spend struct {
	x, m, w float64
	count   int32 // index of x in grouped.counts
}

type count struct{ x, w float64 }

// grouped is the distinct spends in one order, whatever order they came in.
type grouped struct {
	rows      []spend
	counts    []count
	customers float64
	logM      float64 // Σ w ln m
	mean      float64 // Σ wm / Σ w, the unit in which v is searched for
}

// group also returns the weight of the customers whose mean value is not positive.
func group(s Spends) (g *grouped, excluded float64) {
	rows := make([]spend, 0, s.Len())
	var out []float64
	for i, x := range s.X {
		w := 1.0
		if s.W != nil {
			w = s.W[i]
		}
		switch {
		case x == 0 || w == 0:
		case s.M[i] <= 0:
			out = append(out, w)
		default:
			rows = append(rows, spend{x: x, m: s.M[i], w: w})
		}
	}
	// Weights last, so that their sums do not depend on the input's order.
	slices.SortFunc(rows, func(p, q spend) int {
		if p.x != q.x {
			return cmp.Compare(p.x, q.x)
		}
		if p.m != q.m {
			return cmp.Compare(p.m, q.m)
		}
		return cmp.Compare(p.w, q.w)
	})
	g = &grouped{}
	for _, r := range rows {
		if n := len(g.rows); n > 0 {
			if l := &g.rows[n-1]; l.x == r.x && l.m == r.m {
				l.w += r.w
				continue
			}
		}
		g.rows = append(g.rows, r)
	}
	for i := range g.rows {
		r := &g.rows[i]
		if n := len(g.counts); n == 0 || g.counts[n-1].x != r.x {
			g.counts = append(g.counts, count{x: r.x})
		}
		r.count = int32(len(g.counts) - 1)
		g.counts[r.count].w += r.w
		g.customers += r.w
		g.logM += r.w * math.Log(r.m)
		g.mean += r.w * r.m
	}
	g.mean /= g.customers
	return g, numeric.Sum(out)
}

// correlation is Pearson's, of x and m over the customers; 0 when either is constant.
func (g *grouped) correlation() float64 {
	var meanX, xx, mm, xm float64
	for _, c := range g.counts {
		meanX += c.w * c.x / g.customers
	}
	for _, r := range g.rows {
		dx, dm := r.x-meanX, r.m-g.mean
		xx += r.w * dx * dx
		mm += r.w * dm * dm
		xm += r.w * dx * dm
	}
	if xx == 0 || mm == 0 {
		return 0
	}
	return xm / math.Sqrt(xx) / math.Sqrt(mm)
}

// params turns φ = (ln p, ln(q−1), ln(v/mean)) into (p, q, v).
func (g *grouped) params(phi []float64) (p, q, v float64) {
	return math.Exp(phi[0]), 1 + math.Exp(phi[1]), g.mean * math.Exp(phi[2])
}

// sums are the log-likelihood with its derivatives by (p, q, v).
type sums struct {
	value float64
	grad  [3]float64
	hess  [6]float64 // upper triangle: pp pq pv qq qv vv
}

const chunkRows = 8192

// sum is the log-likelihood (eq. 1a), Σ w ln f(m | p, q, v; x), arranged so that
// nothing overflows:
//
//	ln Γ(px+q)/Γ(px) − ln Γ(q) − px ln(1+v/xm) − q ln(1+xm/v) − ln m.
//
// The gamma functions depend on x alone and are taken once a distinct x.
func (g *grouped) sum(ctx context.Context, workers int, p, q, v float64) (sums, error) {
	var total sums
	lnGammaQ, _ := math.Lgamma(q)
	psiQ, triQ := mathext.Digamma(q), numeric.Trigamma(q)
	total.value = -g.logM
	for _, c := range g.counts {
		px := p * c.x
		psi, tri := mathext.Digamma(px+q), numeric.Trigamma(px+q)
		total.value += c.w * (numeric.LogGammaRatio(px, q) - lnGammaQ)
		total.grad[0] += c.w * c.x * (psi - mathext.Digamma(px))
		total.grad[1] += c.w * (psi - psiQ)
		total.hess[0] += c.w * c.x * c.x * (tri - numeric.Trigamma(px))
		total.hess[1] += c.w * c.x * tri
		total.hess[3] += c.w * (tri - triQ)
	}
	parts := make([]sums, (len(g.rows)+chunkRows-1)/chunkRows)
	err := numeric.Chunks(ctx, workers, len(g.rows), chunkRows, func(c, lo, hi int) {
		var s sums
		for i := lo; i < hi; i++ {
			r := &g.rows[i]
			xm, px := r.x*r.m, p*r.x
			below, above := math.Log1p(v/xm), math.Log1p(xm/v)
			iD := 1 / (v + xm)
			s.value -= r.w * (px*below + q*above)
			s.grad[0] -= r.w * r.x * below
			s.grad[1] -= r.w * above
			s.grad[2] += r.w * iD * (q*xm/v - px)
			s.hess[2] -= r.w * r.x * iD
			s.hess[4] += r.w * xm / v * iD
			s.hess[5] += r.w * iD * iD * (px - q*xm/v*(2+xm/v))
		}
		parts[c] = s
	})
	if err != nil {
		return sums{}, err
	}
	for i := range parts {
		total.value += parts[i].value
		for j, d := range parts[i].grad {
			total.grad[j] += d
		}
		for j, d := range parts[i].hess {
			total.hess[j] += d
		}
	}
	return total, nil
}

// objective is minus the penalised log-likelihood by φ.
func (g *grouped) objective(ctx context.Context, pr Params) numeric.Objective {
	return func(phi, grad []float64, hess *mat.SymDense) float64 {
		for _, v := range phi {
			if math.Abs(v) > 50 {
				return math.Inf(1) // e^50: nothing but overflow lies beyond
			}
		}
		p, q, v := g.params(phi)
		s, err := g.sum(ctx, pr.Workers, p, q, v)
		if err != nil {
			return math.NaN() // Newton sees ctx too
		}
		// dθ/dφ = d²θ/dφ² for an exponential.
		d := [3]float64{p, q - 1, v}
		f := -s.value
		k := 0
		for i := range 3 {
			for j := i; j < 3; j++ {
				h := -s.hess[k] * d[i] * d[j]
				if i == j {
					h += -s.grad[i]*d[i] + 2*pr.Penalty
				}
				hess.SetSym(i, j, h)
				k++
			}
			grad[i] = -s.grad[i]*d[i] + 2*pr.Penalty*phi[i]
			f += pr.Penalty * phi[i] * phi[i]
		}
		return f
	}
}
