package metrics

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"golang.org/x/sync/errgroup"
)

// BootstrapParams says how to resample.
type BootstrapParams struct {
	Replicates int     // ≥ 20
	Level      float64 // of the interval, in (0,1), e.g. .95
	Seed       uint64  // every value is valid
	Workers    int     // goroutines, ≥ 1; the result does not depend on it
}

// DefaultBootstrapParams is a 95 % interval from 500 replicates.
func DefaultBootstrapParams() BootstrapParams {
	return BootstrapParams{Replicates: 500, Level: .95, Seed: 1, Workers: 1}
}

// Validate reports every fault at once.
func (p BootstrapParams) Validate() error {
	var errs faults
	errs.atLeast("Replicates", p.Replicates, 20)
	if !(p.Level > 0 && p.Level < 1) {
		errs.add("Level (%v) must be in (0,1)", p.Level)
	}
	errs.atLeast("Workers", p.Workers, 1)
	return errs.join()
}

// An Interval is where a figure lies with the level's confidence.
type Interval struct {
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	Replicates int     `json:"replicates"` // those in which the figure was defined
}

// Bootstrap is the percentile interval of a figure over resampled customers
// (Efron and Tibshirani, An Introduction to the Bootstrap, §13.3). customer[i]
// identifies the customer of row i; whole customers are drawn with replacement,
// since the rows of one (its snapshots) are no independent evidence. With
// customer nil, each of the n rows is a customer of its own.
//
// stat gets how many times each row was drawn, a slice that it must not keep,
// and says whether the figure is defined then; it is called from several
// goroutines at once. To compare two models, let stat return the difference of
// their figures on the same times. ok is false when fewer than half of the
// replicates are defined.
//
// Replicate r draws from its own stream of the seed, and customers are
// numbered by ascending id: the result depends on the rows' order only when
// customer is nil.
func Bootstrap(ctx context.Context, p BootstrapParams, n int, customer []int, stat func(times []int32) (float64, bool)) (iv Interval, ok bool, err error) {
	if err := p.Validate(); err != nil {
		return Interval{}, false, err
	}
	if n < 1 {
		return Interval{}, false, fmt.Errorf("metrics: empty input: no rows to resample")
	}
	customers, index := n, []int(nil)
	if customer != nil {
		sameLength("rows and customers", n, len(customer))
		ids := slices.Clone(customer)
		slices.Sort(ids)
		ids = slices.Compact(ids)
		customers, index = len(ids), make([]int, n)
		for i, id := range customer {
			index[i], _ = slices.BinarySearch(ids, id)
		}
	}
	value := make([]float64, p.Replicates)
	g, gctx := errgroup.WithContext(ctx)
	for w := range p.Workers {
		g.Go(func() error {
			drawn := make([]int32, customers)
			times := drawn
			if index != nil {
				times = make([]int32, n)
			}
			for r := w; r < p.Replicates; r += p.Workers {
				if err := gctx.Err(); err != nil {
					return fmt.Errorf("metrics: bootstrap: %w", err)
				}
				clear(drawn)
				src := rand.NewPCG(p.Seed, uint64(r))
				for range customers {
					drawn[below(src, customers)]++
				}
				for i, c := range index {
					times[i] = drawn[c]
				}
				v, ok := stat(times)
				if !ok {
					v = math.NaN()
				}
				value[r] = v
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return Interval{}, false, err
	}
	value = slices.DeleteFunc(value, math.IsNaN)
	slices.Sort(value)
	if 2*len(value) < p.Replicates {
		return Interval{Low: math.NaN(), High: math.NaN(), Replicates: len(value)}, false, nil
	}
	tail := (1 - p.Level) / 2
	return Interval{quantile(value, tail), quantile(value, 1-tail), len(value)}, true, nil
}

// quantile interpolates linearly between order statistics of sorted x
// (Hyndman and Fan's type 7).
func quantile(x []float64, q float64) float64 {
	h := q * float64(len(x)-1)
	i := int(h)
	if i+1 >= len(x) {
		return x[len(x)-1]
	}
	return x[i] + (h-float64(i))*(x[i+1]-x[i])
}
