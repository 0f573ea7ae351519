package value

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/bgnbd"
	"github.com/shoal-data/shoal/models/paretonbd"
	"github.com/shoal-data/shoal/models/repeat"
)

// Kinds of models of repeat buying; the first is kept unless another proves better.
const (
	ParetoNBD = "paretonbd"
	BGNBD     = "bgnbd"
	MBGNBD    = "mbgnbd"
	MBGCNBD2  = "mbgcnbd2" // gaps of two stages
	MBGCNBD3  = "mbgcnbd3"
)

// Kinds lists them in the order in which they are tried.
func Kinds() []string { return []string{ParetoNBD, BGNBD, MBGNBD, MBGCNBD2, MBGCNBD3} }

// A Buying is a fitted model of repeat buying, in weeks. Its JSON form restores it
// exactly.
type Buying struct {
	Kind  string       `json:"kind"`
	Model repeat.Model `json:"model"`
}

// UnmarshalJSON refuses a kind that is not known and parameters that no fit produces.
func (b *Buying) UnmarshalJSON(data []byte) error {
	var raw struct {
		Kind  string          `json:"kind"`
		Model json.RawMessage `json:"model"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return fmt.Errorf("value: %w", err)
	}
	var err error
	switch raw.Kind {
	case ParetoNBD:
		m := new(paretonbd.Model)
		err, b.Model = json.Unmarshal(raw.Model, m), m
	case BGNBD, MBGNBD, MBGCNBD2, MBGCNBD3:
		m := new(bgnbd.Model)
		err, b.Model = json.Unmarshal(raw.Model, m), m
	default:
		return fmt.Errorf("value: model of kind %q is not known", raw.Kind)
	}
	if err != nil {
		return fmt.Errorf("value: model of kind %s: %w", raw.Kind, err)
	}
	b.Kind = raw.Kind
	return nil
}

// fitBuying fits one kind.
func fitBuying(ctx context.Context, kind string, g *repeat.Grouped, workers int) (*Buying, []models.Warning, error) {
	if kind == ParetoNBD {
		p := repeat.DefaultParams()
		p.Workers = workers
		m, warnings, err := paretonbd.FitGrouped(ctx, p, g)
		return &Buying{kind, m}, warnings, err
	}
	p := bgnbd.DefaultParams()
	p.Workers = workers
	p.Modified = kind != BGNBD
	p.Stages = map[string]int{BGNBD: 1, MBGNBD: 1, MBGCNBD2: 2, MBGCNBD3: 3}[kind]
	m, warnings, err := bgnbd.FitGrouped(ctx, p, g)
	return &Buying{kind, m}, warnings, err
}

type parameter struct {
	name  string
	value float64
}

// parameters are what the metrics say of a fit.
func (b *Buying) parameters() []parameter {
	switch m := b.Model.(type) {
	case *paretonbd.Model:
		return []parameter{{"log_likelihood", m.LogLikelihood}, {"r", m.R}, {"alpha_weeks", m.Alpha}, {"s", m.S}, {"beta_weeks", m.Beta}}
	case *bgnbd.Model:
		return []parameter{{"log_likelihood", m.LogLikelihood}, {"r", m.R}, {"alpha_weeks", m.Alpha}, {"a", m.A}, {"b", m.B}}
	}
	panic("value: unknown kind " + b.Kind)
}
