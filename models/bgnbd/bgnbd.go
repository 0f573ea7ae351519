// Package bgnbd is the beta-geometric/NBD model of repeat buying without a
// contract: Fader, Hardie & Lee, "Counting Your Customers the Easy Way",
// Marketing Science 24(2), 2005. Equation numbers below are theirs.
//
// While active, a customer buys at rate λ (Poisson); after each repeat purchase
// the customer drops out for good with probability p. Across customers
// λ ~ Gamma(r, rate α) and p ~ Beta(a, b), independently.
//
// A customer is three numbers counted from the first purchase: x repeat
// purchases, the time t_x of the last of them, and the time T now. Times are in
// any one unit; α comes out in that unit and r, a, b do not depend on it.
//
// P(alive) is no score to rank customers by: it is 1 for everyone who never
// came back. Rank by Forecast.Expected or Forecast.Buys.
package bgnbd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/shoal-data/shoal/models"
)

// ErrTooFewRepeaters is wrapped by the error of Fit when too few customers came
// back for the dropout process to be estimated.
var ErrTooFewRepeaters = errors.New("too few repeat customers")

// Params are the settings of a fit. Start from DefaultParams.
type Params struct {
	// MinRepeaters is the smallest total weight of customers with x > 0, > 0.
	MinRepeaters float64
	// Penalty ≥ 0 is subtracted, times the sum of squares of ln r, ln(α/max T),
	// ln a and ln b, from the log-likelihood. It is a constant, not a share of the
	// data: its one purpose is to keep the optimum finite when a parameter is not
	// identified (no heterogeneity, or no dropout, sends some to infinity).
	Penalty float64
	// MaxIter is the largest number of Newton steps from one start, ≥ 1.
	MaxIter int
	// Tol ends the search once a Newton step is predicted to raise the
	// log-likelihood by less than Tol·(1+|log-likelihood|), in (0, 1e-6].
	Tol float64
	// StartSample is the number of distinct histories, ≥ 1000, on which the
	// starting points compete; the whole data then refine the winner.
	StartSample int
	// Workers is the largest number of goroutines, ≥ 1. Results do not depend on it.
	Workers int
}

// DefaultParams fits one customer base of any size.
func DefaultParams() Params {
	return Params{
		MinRepeaters: 30,
		Penalty:      1e-6,
		MaxIter:      100,
		Tol:          1e-13,
		StartSample:  5000,
		Workers:      1,
	}
}

// Validate reports every field out of bounds.
func (p Params) Validate() error {
	var faults []error
	bad := func(field string, value any, bound string) {
		faults = append(faults, fmt.Errorf("bgnbd: %s (%v) must be %s", field, value, bound))
	}
	if !(p.MinRepeaters > 0) || math.IsInf(p.MinRepeaters, 0) {
		bad("MinRepeaters", p.MinRepeaters, "> 0 and finite")
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
	if p.StartSample < 1000 {
		bad("StartSample", p.StartSample, ">= 1000")
	}
	if p.Workers < 1 {
		bad("Workers", p.Workers, ">= 1")
	}
	return errors.Join(faults...)
}

// Histories are n customers, one per index.
type Histories struct {
	// X is the number of repeat purchases in (0, T]: whole, ≥ 0. Several
	// purchases at one time count once, and the first ever is not a repeat.
	X []float64
	// TX is the time of the last repeat purchase since the first purchase, in
	// (0, T]; 0 where X is 0.
	TX []float64
	// T is the time since the first purchase, ≥ 0.
	T []float64
	// W is the number of customers that a row stands for, ≥ 0; nil means one each.
	W []float64
}

// Len is the number of rows.
func (h Histories) Len() int { return len(h.X) }

// check refuses what cannot be a history, naming the first such row.
func (h Histories) check() error {
	n := len(h.X)
	if n == 0 {
		return errors.New("bgnbd: empty input: no customer histories")
	}
	if len(h.TX) != n || len(h.T) != n || h.W != nil && len(h.W) != n {
		return fmt.Errorf("bgnbd: X, TX, T, W have %d, %d, %d, %d rows; they must agree (W may be nil)", n, len(h.TX), len(h.T), len(h.W))
	}
	for i, x := range h.X {
		tx, t := h.TX[i], h.T[i]
		for _, v := range [...]struct {
			name string
			v    float64
		}{{"X", x}, {"TX", tx}, {"T", t}} {
			if math.IsNaN(v.v) || math.IsInf(v.v, 0) {
				return fmt.Errorf("bgnbd: row %d: %s is %v; values must be finite", i, v.name, v.v)
			}
		}
		switch {
		case x < 0 || x != math.Trunc(x):
			return fmt.Errorf("bgnbd: row %d: X (%v) must be a whole number >= 0: repeat purchases after the first", i, x)
		case t < 0:
			return fmt.Errorf("bgnbd: row %d: T (%v) must be >= 0: time since the first purchase", i, t)
		case tx > t:
			return fmt.Errorf("bgnbd: row %d: TX (%v) must be <= T (%v): drop purchases after the as-of date", i, tx, t)
		case x == 0 && tx != 0:
			return fmt.Errorf("bgnbd: row %d: TX (%v) must be 0 when X is 0: it is the time of the last repeat purchase", i, tx)
		case x > 0 && tx <= 0:
			return fmt.Errorf("bgnbd: row %d: TX (%v) must be > 0 when X is %v: merge purchases at the time of the first into it", i, tx, x)
		}
		if h.W != nil {
			if w := h.W[i]; !(w >= 0) || math.IsInf(w, 0) {
				return fmt.Errorf("bgnbd: row %d: W (%v) must be >= 0 and finite", i, w)
			}
		}
	}
	return nil
}

// A Model is a fitted BG/NBD. It is read-only: its methods may be called from
// any number of goroutines. Its JSON form restores it exactly.
type Model struct {
	R     float64 `json:"r"`     // shape of the buying rates' gamma, > 0
	Alpha float64 `json:"alpha"` // its rate, in the unit of time, > 0; mean rate is R/Alpha
	A     float64 `json:"a"`     // dropout: Beta(A, B), > 0
	B     float64 `json:"b"`     // > 0; mean dropout probability is A/(A+B)

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
		return fmt.Errorf("bgnbd: %w", err)
	}
	for _, v := range [...]struct {
		name string
		v    float64
	}{{"r", p.R}, {"alpha", p.Alpha}, {"a", p.A}, {"b", p.B}} {
		if !(v.v > 0) {
			return fmt.Errorf("bgnbd: %s (%v) must be > 0: not a saved model", v.name, v.v)
		}
	}
	*m = Model(p)
	return nil
}

// negligible is a shortfall of log-likelihood that is not worth a warning: it
// moves no forecast, and the steps left to take are lost in rounding.
const negligible = 1e-5

// Fit finds the parameters of highest penalised likelihood. It is deterministic:
// neither the order of the rows nor the number of workers changes a bit.
// Warnings: bgnbd.not_converged, bgnbd.weakly_identified.
func Fit(ctx context.Context, p Params, h Histories) (*Model, []models.Warning, error) {
	if err := p.Validate(); err != nil {
		return nil, nil, err
	}
	if err := h.check(); err != nil {
		return nil, nil, err
	}
	g := group(h)
	if g.repeaters < p.MinRepeaters {
		return nil, nil, fmt.Errorf("bgnbd: %w: %v of %v customers bought again, at least %v must have; use longer history or a larger sample",
			ErrTooFewRepeaters, g.repeaters, g.customers, p.MinRepeaters)
	}
	phi, res, err := g.maximise(ctx, p)
	if err != nil {
		return nil, nil, fmt.Errorf("bgnbd: fit stopped: %w", err)
	}
	m := &Model{
		Customers: g.customers, Repeaters: g.repeaters, Iterations: res.Iterations,
		R: math.Exp(phi[0]), Alpha: math.Exp(phi[1]) * g.scale, A: math.Exp(phi[2]), B: math.Exp(phi[3]),
	}
	var s sums
	if s, err = g.sum(ctx, p.Workers, *m); err != nil {
		return nil, nil, fmt.Errorf("bgnbd: fit stopped: %w", err)
	}
	m.LogLikelihood = s.value

	var warnings []models.Warning
	if !res.Converged && res.Decrement > negligible {
		warnings = append(warnings, models.Warning{Code: "bgnbd.not_converged", Message: fmt.Sprintf(
			"BG/NBD fit stopped after %d steps, %.3g short of its predicted log-likelihood of %.6f; its forecasts may be off",
			res.Iterations, res.Decrement, m.LogLikelihood)})
	}
	// e^±7 spans a thousandfold either side of 1: beyond it the beta or gamma is
	// a point mass or all but improper, and the likelihood is flat.
	var odd []string
	for i, name := range [...]string{"r", "α/max T", "a", "b"} {
		if math.Abs(phi[i]) > 7 {
			odd = append(odd, fmt.Sprintf("%s = %.3g", name, math.Exp(phi[i])))
		}
	}
	if odd != nil {
		warnings = append(warnings, models.Warning{Code: "bgnbd.weakly_identified", Message: fmt.Sprintf(
			"the data hardly determine %s of the BG/NBD: customers look alike in that respect, or too few drop out; forecasts far ahead are uncertain",
			strings.Join(odd, ", "))})
	}
	return m, warnings, nil
}
