// Package scoring applies the model of a target to a table of customers: how likely
// the outcome is, where that ranks among all, what speaks for it, and what each
// feature does to the predictions on the whole.
package scoring

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/jobs/outputs"
)

// Scores are a model's answers for the customers of a table, by their row.
type Scores struct {
	Probability []float64 // NaN for who is not scored
	Percentile  []float64 // (0, 100): share of the scored customers whom the model thinks less likely
	Reasons     *Reasons  // nil when there is no model
	Effects     *Effects  // nil when there is no model, or nobody to score
	Scored      int       // customers
}

// None are the scores of n customers without a model.
func None(n int) *Scores {
	s := &Scores{Probability: make([]float64, n), Percentile: make([]float64, n)}
	for i := range n {
		s.Probability[i], s.Percentile[i] = math.NaN(), math.NaN()
	}
	return s
}

// Run scores the rows of a table that are eligible, block by block, and says why.
// sayings put columns into words.
func (m *Model) Run(ctx context.Context, t *features.Table, eligible func(row int) bool, sayings map[string]*features.Saying, workers int) (*Scores, error) {
	s := None(t.Rows())
	s.Reasons = newReasons(m, sayings, t.Rows())
	sample := newSample(m, t.Rows(), eligible)
	explainers := make([]*explainer, workers)
	for w := range explainers {
		explainers[w] = s.Reasons.explainer(m)
	}
	scores := slices.Clone(s.Probability) // NaN for who is not scored
	err := Scan(ctx, t, workers, eligible, [][]string{m.Columns, s.Reasons.companions}, func(worker int, b *Block) error {
		of, err := m.Scores(nil, b.X[0])
		if err != nil {
			return err
		}
		for k, i := range b.Rows {
			scores[i] = of[k]
		}
		if of, err = m.Calibrated(of, of); err != nil {
			return err
		}
		for k, i := range b.Rows {
			s.Probability[i] = of[k]
		}
		return explainers[worker].explain(b, sample)
	})
	if err != nil {
		return nil, err
	}
	for _, v := range scores {
		if !math.IsNaN(v) {
			s.Scored++
		}
	}
	percentiles(scores, s.Percentile)
	s.Effects = sample.summed(m, t.Schema)
	return s, nil
}

// percentiles writes, for every score that is not NaN, the share of the others
// below it in percent; equal scores share the middle of theirs.
func percentiles(p, out []float64) {
	var order []int
	for i, v := range p {
		if !math.IsNaN(v) {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case p[a] < p[b]:
			return -1
		case p[a] > p[b]:
			return 1
		}
		return a - b
	})
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && p[order[j]] == p[order[i]] {
			j++
		}
		share := 100 * (float64(i) + float64(j-i)/2) / float64(len(order))
		for ; i < j; i++ {
			out[order[i]] = share
		}
	}
}

// bands are the names of percentiles from the given one on.
var bands = []struct {
	from float64
	name string
}{{90, "very high"}, {75, "high"}, {25, "medium"}, {0, "low"}}

// Columns are what customer_scores says of a target, named for it, that asks for
// outcome: row i is customer i.
func (s *Scores) Columns(target, outcome string) []outputs.Column {
	columns := []outputs.Column{
		outputs.Float(target+"_probability", "probability", "Probability of "+outcome+"; null for who is not eligible.", func(i int) float64 { return s.Probability[i] }),
		outputs.Float(target+"_percentile", "percent", "Percent of the scored customers whom the model thinks less likely, ties counting half. It also ranks customers of equal probability, where the model tells them apart.", func(i int) float64 { return s.Percentile[i] }),
		outputs.Text(target+"_band", "Where the percentile lies: very high from 90, high from 75, medium from 25, low below.", func(i int) (string, bool) {
			for _, b := range bands {
				if s.Percentile[i] >= b.from { // NaN is not
					return b.name, true
				}
			}
			return "", false
		}),
	}
	for k := range ReasonsEach {
		rank := []string{"strongest", "second", "third"}[k]
		columns = append(columns,
			outputs.Text(fmt.Sprintf("%s_reason_%d", target, k+1), "The "+rank+" reason for the probability, with the customer's own value.", func(i int) (string, bool) {
				return s.Reasons.Text(i, k)
			}),
			outputs.Float(fmt.Sprintf("%s_reason_%d_effect", target, k+1), "log-odds", "What it adds to the model's log-odds: above 0 it makes the outcome likelier. The Shapley value of the column, together with those of the same measure over other windows.", func(i int) float64 {
				return s.Reasons.Effect(i, k)
			}))
	}
	return columns
}
