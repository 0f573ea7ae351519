package baseline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/gbdt"
)

// ForestParams are the settings of FitForest. Start from DefaultForestParams.
type ForestParams struct {
	Trees          int     // ≥ 1
	Leaves         int     // of a tree at most, ≥ 2
	MinLeafRows    int     // ≥ 1
	RowFraction    float64 // of the rows, drawn for each tree, in (0, 1]
	ColumnFraction float64 // of the columns, drawn for each tree, in (0, 1]
	Seed           uint64
	Workers        int // ≥ 1; results do not depend on it
}

// DefaultForestParams are thirty trees on a third of the columns.
func DefaultForestParams() ForestParams {
	return ForestParams{Trees: 30, Leaves: 64, MinLeafRows: 10, RowFraction: .632, ColumnFraction: 1. / 3, Seed: 1, Workers: 1}
}

// Validate reports every field out of bounds.
func (p ForestParams) Validate() error {
	err := p.tree(0).Validate()
	if p.Trees < 1 {
		err = errors.Join(fmt.Errorf("baseline: Trees (%v) must be >= 1", p.Trees), err)
	}
	if err != nil {
		return fmt.Errorf("baseline: %w", err)
	}
	return nil
}

// tree is one tree of mean labels by leaf.
func (p ForestParams) tree(k int) gbdt.Params {
	g := gbdt.DefaultParams()
	g.Loss, g.Trees, g.LearningRate, g.L2, g.MinLeafHessian = gbdt.Squared, 1, 1, 0, 0
	g.Leaves, g.MinLeafRows, g.RowFraction, g.ColumnFraction, g.Workers = p.Leaves, p.MinLeafRows, p.RowFraction, p.ColumnFraction, p.Workers
	g.Seed = p.Seed + uint64(k)*0x9e3779b97f4a7c15
	return g
}

// A Forest is the mean of deep trees, each grown on a sample of the rows and of the
// columns (Breiman, Machine Learning 45, 2001; Ho, IEEE PAMI 20(8), 1998). It is
// read-only, and its JSON form restores it exactly.
type Forest struct{ trees *gbdt.Model }

// MarshalJSON writes the trees.
func (m *Forest) MarshalJSON() ([]byte, error) { return json.Marshal(m.trees) }

// UnmarshalJSON refuses a model whose parts do not fit together.
func (m *Forest) UnmarshalJSON(data []byte) error {
	t := new(gbdt.Model)
	if err := json.Unmarshal(data, t); err != nil {
		return fmt.Errorf("baseline: %w", err)
	}
	if t.Loss != gbdt.Squared {
		return fmt.Errorf("baseline: trees of the loss %s: not a saved forest", t.Loss)
	}
	m.trees = t
	return nil
}

// FitForest learns from n rows of x, NaN where a value is missing, and labels that
// are 0 or 1.
func FitForest(ctx context.Context, p ForestParams, x models.Matrix, y []float64) (*Forest, []models.Warning, error) {
	if err := p.Validate(); err != nil {
		return nil, nil, err
	}
	if err := checkValues(x, true); err != nil {
		return nil, nil, err
	}
	if _, err := checkLabels(x, y); err != nil {
		return nil, nil, err
	}
	d, err := gbdt.NewDataset(ctx, p.tree(0), x.Names, x.Rows(), func(values []float64, j int) error {
		x.Column(values, j)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("baseline: fit stopped: %w", err)
	}
	rows := make([]uint32, x.Rows())
	for i := range rows {
		rows[i] = uint32(i)
	}
	return FitForestRows(ctx, p, d, y, rows)
}

// FitForestRows is FitForest on rows of a dataset, given by rising numbers. y has a
// label for each of the dataset's rows, of which only those of rows are looked at.
func FitForestRows(ctx context.Context, p ForestParams, d *gbdt.Dataset, y []float64, rows []uint32) (*Forest, []models.Warning, error) {
	if err := p.Validate(); err != nil {
		return nil, nil, err
	}
	positives := 0
	for _, i := range rows {
		if y[i] != 0 && y[i] != 1 {
			return nil, nil, fmt.Errorf("baseline: row %d: label %v must be 0 or 1", i, y[i])
		}
		positives += int(y[i])
	}
	if positives == 0 || positives == len(rows) {
		return nil, nil, fmt.Errorf("baseline: %w: %d positive labels in %d rows", ErrOneClass, positives, len(rows))
	}
	all := make([]*gbdt.Model, p.Trees)
	for k := range all {
		var err error
		if all[k], _, err = gbdt.FitRows(ctx, p.tree(k), d, y, rows, nil); err != nil {
			return nil, nil, fmt.Errorf("baseline: %w", err)
		}
	}
	return &Forest{gbdt.Average(all)}, nil, nil
}

// Names are the columns, in order.
func (m *Forest) Names() []string { return slices.Clone(m.trees.Names) }

// Used is the forest on the columns that it looks at.
func (m *Forest) Used() *Forest { return &Forest{m.trees.Used()} }

// Predict is P(y = 1) for each row of x, whose columns must be the model's. dst is
// allocated when nil; otherwise it must have x.Rows() elements.
func (m *Forest) Predict(dst []float64, x models.Matrix) ([]float64, error) {
	if err := accepts(m.trees.Names, x, true); err != nil {
		return nil, err
	}
	dst, err := m.trees.Scores(room(dst, x), x)
	for i, v := range dst {
		dst[i] = min(max(v, 0), 1) // leaves' means are rounded
	}
	return dst, err
}
