package value

import (
	"context"
	"errors"
	"math"

	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/jobs/scoring"
	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/gbdt"
)

// A ratio is what trees learn: what a window brought, divided by what was expected
// of it. With labels y/μ and weights μ^(2−p) the Tweedie deviance of power p is that
// of y itself, the logarithm of μ added to every score.
type ratio struct {
	power    float64
	expected []float64 // of Past's buyers
	actual   []float64
	rows     []int // of Past's table
}

// treeRows is how many buyers trees learn from at most, evenly spread over the
// table: beyond, they take longer and say the same.
const treeRows = 20_000

// least keeps the quotient finite for customers of whom nothing is expected.
const least = 1e-6

func (r *ratio) params(in Input) gbdt.Params {
	p := gbdt.DefaultParams()
	p.Loss, p.TweediePower = gbdt.Tweedie, r.power
	// Few and cautious: the model underneath already says most of it.
	p.Trees, p.LearningRate, p.Leaves, p.MinLeafRows = 120, .05, 8, 20
	p.Seed, p.Workers = in.Seed, in.Workers
	return p
}

// teaches says whether anything was bought that could be learnt from.
func (r *ratio) teaches() bool { return total(r.actual) > 0 }

// fit learns the ratio of a table's buyers; nil when there is nothing to learn from.
func (r *ratio) fit(ctx context.Context, in Input, t *features.Table) (*gbdt.Model, error) {
	if !r.teaches() {
		return nil, nil
	}
	// In units of the mean, so that what counts as few rows in a leaf is no matter
	// of currency.
	scale := total(r.actual) / float64(len(r.rows))
	stride := (len(r.rows) + treeRows - 1) / treeRows
	chosen := map[int]bool{}
	var y, w []float64
	for k := 0; k < len(r.rows); k += stride {
		chosen[r.rows[k]] = true
		mean := max(r.expected[k], least*scale)
		y = append(y, max(r.actual[k], 0)/mean) // more may be sent back than was bought
		w = append(w, math.Pow(mean/scale, 2-r.power))
	}
	data, err := t.Matrix(in.Features, func(row int) bool { return chosen[row] })
	if err != nil {
		return nil, err
	}
	x := models.Matrix{Names: in.Features, Data: data}
	m, _, err := gbdt.FitSample(ctx, r.params(in), gbdt.Sample{X: x, Y: y, W: w}, gbdt.Sample{})
	if errors.Is(err, gbdt.ErrOneClass) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return m.Used(), nil
}

// multiples are the model's answers for some rows of a table, in order.
func multiples(ctx context.Context, m *gbdt.Model, t *features.Table, rows []int, workers int) ([]float64, error) {
	place := make([]int, t.Rows()) // among rows, from 1; 0 is not among them
	for k, i := range rows {
		place[i] = k + 1
	}
	out := make([]float64, len(rows))
	err := scoring.Scan(ctx, t, workers, func(i int) bool { return place[i] > 0 }, [][]string{m.Names}, func(_ int, b *scoring.Block) error {
		_, err := m.Predict(out[place[b.Rows[0]]-1:][:len(b.Rows)], b.X[0])
		return err
	})
	return out, err
}
