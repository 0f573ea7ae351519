// Package repeat holds what the models of repeat buying without a contract
// share: a customer as three numbers, the grouping of equal customers, the
// settings and the search of a fit. The models are in bgnbd and paretonbd.
package repeat

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"gonum.org/v1/gonum/mat"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/internal/numeric"
)

// ErrTooFewRepeaters is wrapped by the error of a fit when too few customers came
// back for the dropout process to be estimated.
var ErrTooFewRepeaters = errors.New("too few repeat customers")

// Histories are n customers, one per index, counted from the first purchase.
// Times are in any one unit.
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

// Check refuses what cannot be a history, naming the first such row. pkg
// prefixes the message.
func (h Histories) Check(pkg string) error {
	n := len(h.X)
	if n == 0 {
		return fmt.Errorf("%s: empty input: no customer histories", pkg)
	}
	if len(h.TX) != n || len(h.T) != n || h.W != nil && len(h.W) != n {
		return fmt.Errorf("%s: X, TX, T, W have %d, %d, %d, %d rows; they must agree (W may be nil)", pkg, n, len(h.TX), len(h.T), len(h.W))
	}
	for i, x := range h.X {
		tx, t := h.TX[i], h.T[i]
		for _, v := range [...]struct {
			name string
			v    float64
		}{{"X", x}, {"TX", tx}, {"T", t}} {
			if math.IsNaN(v.v) || math.IsInf(v.v, 0) {
				return fmt.Errorf("%s: row %d: %s is %v; values must be finite", pkg, i, v.name, v.v)
			}
		}
		switch {
		case x < 0 || x != math.Trunc(x):
			return fmt.Errorf("%s: row %d: X (%v) must be a whole number >= 0: repeat purchases after the first", pkg, i, x)
		case t < 0:
			return fmt.Errorf("%s: row %d: T (%v) must be >= 0: time since the first purchase", pkg, i, t)
		case tx > t:
			return fmt.Errorf("%s: row %d: TX (%v) must be <= T (%v): drop purchases after the as-of date", pkg, i, tx, t)
		case x == 0 && tx != 0:
			return fmt.Errorf("%s: row %d: TX (%v) must be 0 when X is 0: it is the time of the last repeat purchase", pkg, i, tx)
		case x > 0 && tx <= 0:
			return fmt.Errorf("%s: row %d: TX (%v) must be > 0 when X is %v: merge purchases at the time of the first into it", pkg, i, tx, x)
		}
		if h.W != nil {
			if w := h.W[i]; !(w >= 0) || math.IsInf(w, 0) {
				return fmt.Errorf("%s: row %d: W (%v) must be >= 0 and finite", pkg, i, w)
			}
		}
	}
	return nil
}

// A Forecast says what a customer will do in (T, T+horizon].
type Forecast struct {
	Expected float64 // expected number of purchases, ≥ 0
	Buys     float64 // probability of at least one purchase, in [0,1]
	Alive    float64 // probability of still being active at T, in [0,1]
}

// A Model forecasts histories. Its methods may be called from any number of
// goroutines, and ignore weights.
type Model interface {
	// Predict forecasts each history over horizon ≥ 0. dst is allocated when nil;
	// otherwise it must have h.Len() elements.
	Predict(dst []Forecast, h Histories, horizon float64) ([]Forecast, error)
	// Next is how long after T each customer who buys again at all has done so
	// with probability share, in (0,1). dst as in Predict.
	Next(dst []float64, h Histories, share float64) ([]float64, error)
	// ExpectedNew is the number of repeat purchases that a new customer makes
	// within t ≥ 0 of the first.
	ExpectedNew(t float64) (float64, error)
}

// Params are the settings of a fit that every model has. Start from DefaultParams.
type Params struct {
	// MinRepeaters is the smallest total weight of customers with x > 0, > 0.
	MinRepeaters float64
	// Penalty ≥ 0 is subtracted, times the sum of squares of the parameters'
	// logarithms (of those in the unit of time after division by max T), from the
	// log-likelihood. It is a constant, not a share of the data: its one purpose is
	// to keep the optimum finite when a parameter is not identified (no
	// heterogeneity, or no dropout, sends some to infinity).
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
	return Params{MinRepeaters: 30, Penalty: 1e-6, MaxIter: 100, Tol: 1e-13, StartSample: 5000, Workers: 1}
}

// Validate reports every field out of bounds. pkg prefixes the messages.
func (p Params) Validate(pkg string) error {
	var faults []error
	bad := func(field string, value any, bound string) {
		faults = append(faults, fmt.Errorf("%s: %s (%v) must be %s", pkg, field, value, bound))
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

// CheckForecast refuses what Model.Predict refuses.
func CheckForecast(pkg string, h Histories, horizon float64) error {
	if !(horizon >= 0) || math.IsInf(horizon, 0) {
		return fmt.Errorf("%s: horizon (%v) must be >= 0 and finite", pkg, horizon)
	}
	return h.Check(pkg)
}

// CheckNext refuses what Model.Next refuses.
func CheckNext(pkg string, h Histories, share float64) error {
	if !(share > 0 && share < 1) {
		return fmt.Errorf("%s: share (%v) must be above 0 and below 1", pkg, share)
	}
	return h.Check(pkg)
}

// Into is dst, allocated when nil; another length than n panics.
func Into[T any](pkg string, dst []T, n int) []T {
	if dst == nil {
		return make([]T, n)
	}
	if len(dst) != n {
		panic(fmt.Sprintf("%s: dst has %d elements for %d histories", pkg, len(dst), n))
	}
	return dst
}

// An Objective makes minus the penalised log-likelihood of some histories, by
// the logarithms of the parameters.
type Objective func(g *Grouped) numeric.Objective

// Maximise lets the starting points compete on a sample of g and refines the
// best on all. It returns the point reached.
func Maximise(ctx context.Context, p Params, g *Grouped, of Objective, starts [][]float64) ([]float64, numeric.NewtonResult, error) {
	np := numeric.NewtonParams{MaxIter: p.MaxIter, Tol: p.Tol, MaxStep: 2}
	f := of(g.Sample(p.StartSample))
	best, low := starts[0], math.Inf(1) // should every start overflow, Converged says so
	for _, phi := range starts {
		res, err := numeric.Newton(ctx, f, phi, np)
		if err != nil {
			return nil, res, err
		}
		if res.Value < low {
			best, low = phi, res.Value
		}
	}
	res, err := numeric.Newton(ctx, of(g), best, np)
	return best, res, err
}

// negligible is a shortfall of log-likelihood that is not worth a warning: it
// moves no forecast, and the steps left to take are lost in rounding.
const negligible = 1e-5

// Warnings of a search that ended at phi: <pkg>.not_converged and
// <pkg>.weakly_identified. Names are those of the coordinates.
func Warnings(pkg, model string, res numeric.NewtonResult, logLikelihood float64, names []string, phi []float64) []models.Warning {
	var warnings []models.Warning
	if !res.Converged && res.Decrement > negligible {
		warnings = append(warnings, models.Warning{Code: pkg + ".not_converged", Message: fmt.Sprintf(
			"%s fit stopped after %d steps, %.3g short of its predicted log-likelihood of %.6f; its forecasts may be off",
			model, res.Iterations, res.Decrement, logLikelihood)})
	}
	// e^±7 spans a thousandfold either side of 1: beyond it the mixing distribution
	// is a point mass or all but improper, and the likelihood is flat.
	var odd []string
	for i, name := range names {
		if math.Abs(phi[i]) > 7 {
			odd = append(odd, fmt.Sprintf("%s = %.3g", name, math.Exp(phi[i])))
		}
	}
	if odd != nil {
		warnings = append(warnings, models.Warning{Code: pkg + ".weakly_identified", Message: fmt.Sprintf(
			"the data hardly determine %s of the %s: customers look alike in that respect, or too few drop out; forecasts far ahead are uncertain",
			strings.Join(odd, ", "), model)})
	}
	return warnings
}

// CheckRepeaters refuses too small a base.
func (g *Grouped) CheckRepeaters(pkg string, p Params) error {
	if g.Repeaters < p.MinRepeaters {
		return fmt.Errorf("%s: %w: %v of %v customers bought again, at least %v must have; use longer history or a larger sample",
			pkg, ErrTooFewRepeaters, g.Repeaters, g.Customers, p.MinRepeaters)
	}
	return nil
}

// ByLogarithms turns a log-likelihood with its gradient and Hessian (upper
// triangle by rows) by parameters theta, each the exponential of its phi but for a
// constant factor, into minus the penalised one by phi; it fills grad and hess.
func ByLogarithms(value float64, dTheta, d2Theta, theta, phi []float64, penalty float64, grad []float64, hess *mat.SymDense) float64 {
	f := -value
	k := 0
	for i := range theta {
		for j := i; j < len(theta); j++ {
			v := -d2Theta[k] * theta[i] * theta[j] // dθ/dφ = d²θ/dφ² = θ
			if i == j {
				v += -dTheta[i]*theta[i] + 2*penalty
			}
			hess.SetSym(i, j, v)
			k++
		}
		grad[i] = -dTheta[i]*theta[i] + 2*penalty*phi[i]
		f += penalty * phi[i] * phi[i]
	}
	return f
}
