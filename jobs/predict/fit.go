package predict

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/baseline"
	"github.com/shoal-data/shoal/models/calibrate"
	"github.com/shoal-data/shoal/models/gbdt"
	"github.com/shoal-data/shoal/models/logit"
	"github.com/shoal-data/shoal/models/transform"
)

// logisticRows is how many rows the logistic model learns from at most: its few
// hundred weights gain nothing from more, and each pass costs their square.
const logisticRows = 30_000

// treeParams are small trees, each on some of the columns: hundreds of columns say
// much the same of a customer.
func treeParams(p Params) gbdt.Params {
	g := gbdt.DefaultParams()
	g.Trees, g.Leaves, g.LearningRate, g.Patience, g.MinLeafRows = 400, 8, .1, 20, 40
	g.ColumnFraction, g.L2, g.Seed, g.Workers = .3, 10, p.Seed, p.Workers
	return g
}

// A Fitted is one model of a target, from raw features to a calibrated probability.
// Its JSON form restores it exactly.
type Fitted struct {
	Name    string   `json:"model"`
	Columns []string `json:"columns"` // that it reads, in order

	// One of these; a logistic model has its preparation.
	Recency  *baseline.Model  `json:"recency,omitempty"`
	Logistic *logit.Model     `json:"logistic,omitempty"`
	Prepared *transform.Model `json:"prepared,omitempty"`
	Trees    *gbdt.Model      `json:"trees,omitempty"`

	// Calibration turns the model's log-odds into the probability; nil leaves them.
	Calibration *calibrate.Model `json:"calibration,omitempty"`
}

// UnmarshalJSON refuses a model whose parts do not fit together.
func (f *Fitted) UnmarshalJSON(data []byte) error {
	type plain Fitted
	var p plain
	if err := json.Unmarshal(data, &p); err != nil {
		return fmt.Errorf("predict: %w", err)
	}
	parts := 0
	for _, there := range []bool{p.Recency != nil, p.Logistic != nil, p.Trees != nil} {
		if there {
			parts++
		}
	}
	switch {
	case parts != 1 || (p.Logistic != nil) != (p.Prepared != nil) || len(p.Columns) == 0:
		return fmt.Errorf("predict: %d models and %d columns: not a saved model", parts, len(p.Columns))
	case p.Trees != nil && !slices.Equal(p.Trees.Names, p.Columns):
		return errors.New("predict: the trees' columns are not the model's: not a saved model")
	}
	*f = Fitted(p)
	return nil
}

// Scores are the log-odds before calibration, for rows of Columns.
func (f *Fitted) Scores(dst []float64, x models.Matrix) ([]float64, error) {
	switch {
	case f.Trees != nil:
		return f.Trees.Scores(dst, x)
	case f.Logistic != nil:
		z, err := f.Prepared.Apply(models.Matrix{}, x)
		if err != nil {
			return nil, err
		}
		return f.Logistic.Scores(dst, z)
	default:
		var err error
		if dst, err = f.Recency.Predict(dst, x); err != nil {
			return nil, err
		}
	}
	for i, p := range dst {
		dst[i] = math.Log(max(p, 1e-300)) - math.Log1p(-min(p, 1-0x1p-53))
	}
	return dst, nil
}

// Calibrated are the probabilities of scores.
func (f *Fitted) Calibrated(dst, scores []float64) ([]float64, error) {
	if f.Calibration != nil {
		return f.Calibration.Predict(dst, scores)
	}
	if dst == nil {
		dst = make([]float64, len(scores))
	}
	for i, s := range scores {
		dst[i] = 1 / (1 + math.Exp(-s))
	}
	return dst, nil
}

// A candidate is a way to learn a target.
type candidate struct {
	name string
	// fit learns from some rows of the sample; hold, nil on the final fit, says when
	// to stop. It also returns the log-odds of the rows of hold.
	fit func(ctx context.Context, rows, hold []uint32) (*Fitted, []float64, error)
}

// candidates are the ways in rising order of what they can express.
func (a *Answer) candidates(p Params, q Question, in Input, s *sample, y []float64) []candidate {
	labels := func(rows []uint32) []float64 {
		v := make([]float64, len(rows))
		for k, i := range rows {
			v[k] = y[i]
		}
		return v
	}
	// held scores rows of the sample by their values.
	held := func(f *Fitted, hold []uint32) ([]float64, error) {
		if hold == nil {
			return nil, nil
		}
		x, err := s.matrix(f.Columns, hold)
		if err != nil {
			return nil, err
		}
		return f.Scores(nil, x)
	}
	recency := func(ctx context.Context, rows, hold []uint32) (*Fitted, []float64, error) {
		f := &Fitted{Name: Recency, Columns: []string{q.Recency()}}
		x, err := s.matrix(f.Columns, rows)
		if err != nil {
			return nil, nil, err
		}
		if f.Recency, _, err = baseline.Fit(ctx, baseline.DefaultParams(q.Recency()), x, labels(rows)); err != nil {
			return nil, nil, err
		}
		scores, err := held(f, hold)
		return f, scores, err
	}
	logistic := func(ctx context.Context, rows, hold []uint32) (*Fitted, []float64, error) {
		f := &Fitted{Name: Logistic, Columns: in.Linear}
		rows = thin(rows, logisticRows)
		x, err := s.matrix(in.Linear, rows)
		if err != nil {
			return nil, nil, err
		}
		tp := transform.DefaultParams()
		tp.Workers = p.Workers
		if f.Prepared, _, err = transform.Fit(ctx, tp, x); err != nil {
			return nil, nil, err
		}
		z, err := f.Prepared.Replace(x)
		if err != nil {
			return nil, nil, err
		}
		lp := logit.DefaultParams()
		lp.L2, lp.Workers = p.L2, p.Workers
		var warnings []models.Warning
		if f.Logistic, warnings, err = logit.Fit(ctx, lp, z, labels(rows)); err != nil {
			return nil, nil, err
		}
		if hold == nil {
			a.Warnings = append(a.Warnings, warnings...)
		}
		scores, err := held(f, thin(hold, logisticRows))
		return f, scores, err
	}
	rounds := 50 // when nothing could be held out
	trees := func(ctx context.Context, rows, hold []uint32) (*Fitted, []float64, error) {
		tp := treeParams(p)
		if hold == nil {
			tp.Trees = rounds
		}
		m, warnings, err := gbdt.FitRows(ctx, tp, s.data, y, rows, hold)
		if err != nil {
			return nil, nil, err
		}
		rounds = max(1, len(m.Trees))
		if hold == nil {
			a.Warnings = append(a.Warnings, slices.DeleteFunc(warnings, func(w models.Warning) bool {
				// Histories lack most kinds of behaviour.
				return strings.HasSuffix(w.Code, ".constant_columns")
			})...)
			m = m.Used()
			return &Fitted{Name: Trees, Columns: m.Names, Trees: m}, nil, nil
		}
		scores, err := s.data.Scores(ctx, m, hold, p.Workers)
		return nil, scores, err
	}
	return []candidate{{Recency, recency}, {Logistic, logistic}, {Trees, trees}}
}

// learn fits a candidate twice: on the rows of the split that are not held out, whose
// model shows on the others when to stop and how far its scores are to be
// trusted; and on all of them, for use.
func (c candidate) learn(ctx context.Context, sp split, y []float64) (*Fitted, error) {
	_, scores, err := c.fit(ctx, sp.fit, sp.hold)
	if errors.Is(err, gbdt.ErrOneClass) || errors.Is(err, logit.ErrOneClass) || errors.Is(err, baseline.ErrOneClass) {
		scores, err = nil, nil // too few rows to hold any out
	}
	if err != nil {
		return nil, err
	}
	f, _, err := c.fit(ctx, sp.all, nil)
	if err != nil || scores == nil {
		return f, err
	}
	hold := sp.hold
	if len(scores) < len(hold) {
		hold = thin(hold, logisticRows)
	}
	labels := make([]float64, len(hold))
	for k, i := range hold {
		labels[k] = y[i]
	}
	f.Calibration, _, err = calibrate.Fit(ctx, calibrate.DefaultParams(), scores, labels)
	if errors.Is(err, calibrate.ErrOneClass) {
		err = nil
	}
	return f, err
}
