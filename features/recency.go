package features

import (
	"fmt"
	"math"
	"strings"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
)

// recency: how long ago each kind of behaviour began and was last seen.
func recency(Params) Family {
	roles := datasets.Roles()
	f := Family{
		Name: "recency", Meaning: "How long ago each kind of behaviour was first and last seen; tenure.",
		Reads: []datasets.Field{},
		From:  "history",
		Columns: []Column{
			{DaysSinceFirstEvent, "days", "[0, ∞)", "never", "Tenure: days from the customer's first event of any kind to the as-of date.", "$today - min(day)"},
			{DaysSinceLastEvent, "days", "[0, ∞)", "never", "Days from the customer's last event of any kind to the as-of date; 0 is on the date itself.", "$today - max(day)"},
			{DaysSinceFirstPurchase, "days", "[0, ∞)", "no purchase", "Days from the first purchase to the as-of date.", "$today - min(day) FILTER (WHERE role = 'purchase')"},
		},
	}
	for _, r := range roles {
		f.Columns = append(f.Columns, Column{
			fmt.Sprintf("days_since_last_%s", r), "days", "[0, ∞)", "no such event",
			fmt.Sprintf("Days from the last %s event to the as-of date.", r),
			fmt.Sprintf("$today - max(day) FILTER (WHERE role = '%s')", r),
		})
	}
	f.Words = map[string]string{
		DaysSinceFirstEvent:    "customer for {}",
		DaysSinceLastEvent:     "last seen {} ago[, usually every {active_day_gap_mean}]",
		DaysSinceFirstPurchase: "first purchase {} ago|no purchase so far",
		DaysSinceLastPurchase:  "last purchase {} ago[, usually every {purchase_gap_mean}]|no purchase so far",
	}
	for _, r := range roles {
		if name := fmt.Sprintf("days_since_last_%s", r); f.Words[name] == "" {
			spaced := strings.ReplaceAll(r.String(), "_", " ")
			f.Words[name] = fmt.Sprintf("last %s {} ago|no %s so far", spaced, spaced)
		}
	}
	f.New = func(Values) Fill {
		return func(h *timeline.History, out []float64) {
			age := func(i int32) float64 { return float64(h.AsOf.Today - h.Day[i]) }
			out[0] = age(0)
			out[1] = age(int32(h.Len() - 1))
			out[2] = math.NaN()
			if p := h.Positions(datasets.Purchase); len(p) > 0 {
				out[2] = age(p[0])
			}
			for i, r := range roles {
				out[3+i] = math.NaN()
				if p := h.Positions(r); len(p) > 0 {
					out[3+i] = age(p[len(p)-1])
				}
			}
		}
	}
	return f
}
