package scoring

import (
	"math"
	"slices"

	"github.com/shoal-data/shoal/models/metrics"
)

// A Distribution is the probabilities that a run gave its customers, counted over tenths.
type Distribution struct {
	Edges  []float64 `json:"edges"` // of metrics.Bins
	Counts []int64   `json:"counts"`
}

// Distribute counts probabilities, leaving NaN out; nil when there are none.
func Distribute(probability []float64) *Distribution {
	known := known(probability)
	if len(known) == 0 {
		return nil
	}
	bins := metrics.NewBins(known, 10)
	d := &Distribution{bins.Edges, make([]int64, bins.Len())}
	bins.Count(d.Counts, known)
	return d
}

// Shift is how far probabilities have moved from the distribution. ok is false when
// there are none.
func (d *Distribution) Shift(probability []float64) (s metrics.Shift, ok bool) {
	bins := metrics.Bins{Edges: d.Edges}
	now := make([]int64, bins.Len())
	bins.Count(now, known(probability))
	return metrics.NewShift(d.Counts, now)
}

func known(values []float64) []float64 {
	return slices.DeleteFunc(slices.Clone(values), math.IsNaN)
}
