package targets

import (
	"context"
	"fmt"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/models/survival"
)

// horizons are the lengths a horizon is rounded up to, in days: round numbers
// that do not change from night to night.
var horizons = []int{1, 3, 7, 14, 30, 60, 90, 120, 180, 270, 365}

// returnShare is the share of gaps after which a customer who has not come
// back is called lapsed: the 80th percentile, as churn definitions without a
// contract commonly have it.
const returnShare = 0.8

// A Suggestion is a horizon derived from how long customers take to come back.
type Suggestion struct {
	Days int
	// Reason says in one sentence what the horizon rests on.
	Reason string
	// Gaps between days with such an event, and how many of them are still open
	// on the as-of date (censored).
	Gaps, Open int64
	// Quantile is the Kaplan-Meier estimate of the time by which 80% of the
	// customers come back, in days; Reached is false when so many never do.
	Quantile float64
	Reached  bool
}

// SuggestHorizon estimates how long a customer takes to come back, from the
// gaps between days with an event of the role (of any role when any is set).
// A gap that is still open on the as-of date counts as censored: leaving it
// out would make the horizon too short. The suggestion never exceeds a third of
// the history, which a training and a test snapshot need.
func SuggestHorizon(ctx context.Context, store *timeline.Store, asOf timeline.AsOf, first int32, role datasets.Role, any bool, workers int) (Suggestion, error) {
	type tally struct{ closed, open map[int32]float64 }
	tallies := make([]tally, workers)
	for w := range tallies {
		tallies[w] = tally{map[int32]float64{}, map[int32]float64{}}
	}
	err := store.Replay(ctx, workers, func(w, _ int, t *timeline.Timeline) error {
		h, ok := t.Before(asOf)
		if !ok {
			return nil
		}
		last, seen := int32(0), false
		step := func(day int32) {
			if seen && day != last {
				tallies[w].closed[day-last]++
			}
			last, seen = day, true
		}
		if any {
			for _, day := range h.Day {
				step(day)
			}
		} else {
			for _, i := range h.Positions(role) {
				step(h.Day[i])
			}
		}
		if seen {
			tallies[w].open[asOf.Today-last]++
		}
		return nil
	}, nil)
	if err != nil {
		return Suggestion{}, err
	}
	var s Suggestion
	var durations, weights []float64
	var observed []bool
	for _, t := range tallies {
		for gap, n := range t.closed {
			durations, observed, weights = append(durations, float64(gap)), append(observed, true), append(weights, n)
			s.Gaps += int64(n)
		}
		for gap, n := range t.open {
			durations, observed, weights = append(durations, float64(gap)), append(observed, false), append(weights, n)
			s.Gaps += int64(n)
			s.Open += int64(n)
		}
	}
	longest := max(1, int(asOf.Today-first+1)/3)
	what := "days with a " + role.String()
	if any {
		what = "active days"
	}
	if s.Gaps > s.Open {
		curve, err := survival.KaplanMeier(durations, observed, weights)
		if err != nil {
			return Suggestion{}, fmt.Errorf("targets: %w", err)
		}
		s.Quantile, s.Reached = curve.Quantile(returnShare)
	}
	switch {
	case s.Reached:
		s.Days = roundUp(s.Quantile)
		s.Reason = fmt.Sprintf("80%% of customers come back within %.0f days (Kaplan-Meier over %d gaps between %s, %d of them still open)", s.Quantile, s.Gaps, what, s.Open)
	default:
		s.Days = 90
		s.Reason = fmt.Sprintf("fewer than 80%% of customers ever come back (%d gaps between %s, %d of them still open), so a quarter is assumed", s.Gaps, what, s.Open)
	}
	if s.Days > longest {
		s.Days = roundDown(longest)
		s.Reason += fmt.Sprintf("; shortened to %d days because a horizon needs three times its length of history, and there are %d days", s.Days, asOf.Today-first+1)
	}
	return s, nil
}

func roundUp(days float64) int {
	for _, h := range horizons {
		if float64(h) >= days {
			return h
		}
	}
	return horizons[len(horizons)-1]
}

func roundDown(days int) int {
	best := horizons[0]
	for _, h := range horizons {
		if h <= days {
			best = h
		}
	}
	return best
}
