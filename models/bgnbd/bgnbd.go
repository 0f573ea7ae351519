// Package bgnbd is the beta-geometric/NBD model of repeat buying without a
// contract (Fader, Hardie & Lee, "Counting Your Customers the Easy Way",
// Marketing Science 24(2), 2005; equation numbers below are theirs), with two
// variants that may be combined.
//
// While active, a customer buys at rate λ (Poisson); after each repeat purchase
// the customer drops out for good with probability p. Across customers
// λ ~ Gamma(r, rate α) and p ~ Beta(a, b), independently.
//
// The modified model, MBG/NBD, lets a customer drop out after the first purchase
// too (Batislam, Denizel & Filiztekin, Int. J. of Research in Marketing 24, 2007).
// With k stages a gap between purchases is the sum of k exponential ones, so gaps
// are more regular than chance, (M)BG/CNBD-k (Reutterer, Platzer & Schröder, Int.
// J. of Research in Marketing 38, 2021); λ is then the rate of stages.
//
// P(alive) of the unmodified model is no score to rank customers by: it is 1 for
// everyone who never came back. Rank by Forecast.Expected or Forecast.Buys.
package bgnbd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/repeat"
)

// maxStages is the most regular process offered: gaps of coefficient of
// variation 1/√8 are close to a subscription.
const maxStages = 8

// Params are the settings of a fit. Start from DefaultParams.
type Params struct {
	repeat.Params
	// Modified lets customers drop out after their first purchase: MBG/NBD.
	Modified bool
	// Stages is k, 1 to 8: gaps have a coefficient of variation of 1/√k.
	Stages int
}

// DefaultParams fits a BG/NBD to one customer base of any size.
func DefaultParams() Params { return Params{Params: repeat.DefaultParams(), Stages: 1} }

// Validate reports every field out of bounds.
func (p Params) Validate() error {
	err := p.Params.Validate("bgnbd")
	if p.Stages < 1 || p.Stages > maxStages {
		err = errors.Join(err, fmt.Errorf("bgnbd: Stages (%d) must be 1 to %d", p.Stages, maxStages))
	}
	return err
}

// A Model is a fitted BG/NBD or a variant. It is read-only: its methods may be
// called from any number of goroutines. Its JSON form restores it exactly.
type Model struct {
	R     float64 `json:"r"`     // shape of the rates' gamma, > 0
	Alpha float64 `json:"alpha"` // its rate, in the unit of time, > 0; mean rate is R/Alpha
	A     float64 `json:"a"`     // dropout: Beta(A, B), > 0
	B     float64 `json:"b"`     // > 0; mean dropout probability is A/(A+B)

	Modified bool `json:"modified"` // dropout is possible after the first purchase
	Stages   int  `json:"stages"`   // of a gap; R/Alpha is the rate of stages

	// LogLikelihood is the natural log, summed over customers, without the
	// penalty. With several stages it lacks Σ[(k−1) Σ ln gap − x ln Γ(k)], which
	// takes every gap to know, so it compares with models of as many stages only.
	LogLikelihood float64 `json:"log_likelihood"`
	Customers     float64 `json:"customers"`  // total weight fitted
	Repeaters     float64 `json:"repeaters"`  // total weight with x > 0
	Iterations    int     `json:"iterations"` // Newton steps over the whole data
}

// Name is BG/NBD, MBG/NBD, BG/CNBD-k or MBG/CNBD-k.
func (m *Model) Name() string { return name(m.Modified, m.Stages) }

func name(modified bool, stages int) string {
	n := "BG/NBD"
	if stages > 1 {
		n = fmt.Sprintf("BG/CNBD-%d", stages)
	}
	if modified {
		n = "M" + n
	}
	return n
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
	if p.Stages < 1 || p.Stages > maxStages {
		return fmt.Errorf("bgnbd: stages (%d) must be 1 to %d: not a saved model", p.Stages, maxStages)
	}
	*m = Model(p)
	return nil
}

// Fit finds the parameters of highest penalised likelihood. It is deterministic:
// neither the order of the rows nor the number of workers changes a bit. The
// penalty is on ln r, ln(α/max T), ln a and ln b.
// Warnings: bgnbd.not_converged, bgnbd.weakly_identified.
func Fit(ctx context.Context, p Params, h repeat.Histories) (*Model, []models.Warning, error) {
	if err := p.Validate(); err != nil {
		return nil, nil, err
	}
	if err := h.Check("bgnbd"); err != nil {
		return nil, nil, err
	}
	return FitGrouped(ctx, p, repeat.Group(h))
}

// FitGrouped is Fit for histories that are grouped already, as when several
// models are fitted to the same ones.
func FitGrouped(ctx context.Context, p Params, g *repeat.Grouped) (*Model, []models.Warning, error) {
	if err := p.Validate(); err != nil {
		return nil, nil, err
	}
	if err := g.CheckRepeaters("bgnbd", p.Params); err != nil {
		return nil, nil, err
	}
	var starts [][]float64
	rate := g.Rate() * float64(p.Stages)
	for _, r := range [...]float64{.3, 1, 4} {
		for _, ab := range [...][2]float64{{.5, 2}, {1, 10}, {3, 3}} {
			starts = append(starts, []float64{math.Log(r), math.Log(r / rate), math.Log(ab[0]), math.Log(ab[1])})
		}
	}
	phi, res, err := repeat.Maximise(ctx, p.Params, g, p.objective(ctx), starts)
	if err != nil {
		return nil, nil, fmt.Errorf("bgnbd: fit stopped: %w", err)
	}
	m := &Model{
		Customers: g.Customers, Repeaters: g.Repeaters, Iterations: res.Iterations, Modified: p.Modified, Stages: p.Stages,
		R: math.Exp(phi[0]), Alpha: math.Exp(phi[1]) * g.Scale, A: math.Exp(phi[2]), B: math.Exp(phi[3]),
	}
	s, err := sum(ctx, p.Workers, g, *m)
	if err != nil {
		return nil, nil, fmt.Errorf("bgnbd: fit stopped: %w", err)
	}
	m.LogLikelihood = s.value
	return m, repeat.Warnings("bgnbd", m.Name(), res, m.LogLikelihood, []string{"r", "α/max T", "a", "b"}, phi), nil
}
