package scoring

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/baseline"
	"github.com/shoal-data/shoal/models/calibrate"
	"github.com/shoal-data/shoal/models/gbdt"
	"github.com/shoal-data/shoal/models/logit"
	"github.com/shoal-data/shoal/models/transform"
)

// A Model is one model of a target, from raw features to a calibrated probability.
// Its JSON form restores it exactly.
type Model struct {
	Name    string   `json:"model"`
	Columns []string `json:"columns"` // that it reads, in order

	// One of these; a logistic model and neighbours have their preparation.
	Recency  *baseline.Model  `json:"recency,omitempty"`
	Logistic *logit.Model     `json:"logistic,omitempty"`
	Prepared *transform.Model `json:"prepared,omitempty"`
	Trees    *gbdt.Model      `json:"trees,omitempty"`

	Bayes      *baseline.Bayes      `json:"naive_bayes,omitempty"`
	Neighbours *baseline.Neighbours `json:"nearest_neighbours,omitempty"`
	Forest     *baseline.Forest     `json:"random_forest,omitempty"`

	// Calibration turns the model's log-odds into the probability; nil leaves them.
	Calibration *calibrate.Model `json:"calibration,omitempty"`
}

// UnmarshalJSON refuses a model whose parts do not fit together.
func (f *Model) UnmarshalJSON(data []byte) error {
	type plain Model
	var p plain
	if err := json.Unmarshal(data, &p); err != nil {
		return fmt.Errorf("scoring: %w", err)
	}
	parts := 0
	for _, there := range []bool{p.Recency != nil, p.Logistic != nil, p.Trees != nil, p.Bayes != nil, p.Neighbours != nil, p.Forest != nil} {
		if there {
			parts++
		}
	}
	switch {
	case parts != 1 || (p.Logistic != nil || p.Neighbours != nil) != (p.Prepared != nil) || len(p.Columns) == 0:
		return fmt.Errorf("scoring: %d models and %d columns: not a saved model", parts, len(p.Columns))
	case p.Trees != nil && !slices.Equal(p.Trees.Names, p.Columns):
		return errors.New("scoring: the trees' columns are not the model's: not a saved model")
	}
	*f = Model(p)
	return nil
}

// leastProbability keeps the log-odds of a model that is certain finite.
const leastProbability = 1e-12

// Scores are the log-odds before calibration, for rows of Columns.
func (f *Model) Scores(dst []float64, x models.Matrix) ([]float64, error) {
	if f.Trees != nil {
		return f.Trees.Scores(dst, x)
	}
	if f.Prepared != nil {
		var err error
		if x, err = f.Prepared.Apply(models.Matrix{}, x); err != nil {
			return nil, err
		}
	}
	var m interface {
		Predict(dst []float64, x models.Matrix) ([]float64, error)
	}
	switch {
	case f.Logistic != nil:
		return f.Logistic.Scores(dst, x)
	case f.Bayes != nil:
		m = f.Bayes
	case f.Neighbours != nil:
		m = f.Neighbours
	case f.Forest != nil:
		m = f.Forest
	default:
		m = f.Recency
	}
	dst, err := m.Predict(dst, x)
	if err != nil {
		return nil, err
	}
	for i, p := range dst {
		dst[i] = math.Log(max(p, leastProbability)) - math.Log1p(-min(p, 1-leastProbability))
	}
	return dst, nil
}

// Calibrated are the probabilities of scores.
func (f *Model) Calibrated(dst, scores []float64) ([]float64, error) {
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
