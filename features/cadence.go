package features

import (
	"math"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
)

// cadence: the rhythm of purchases and of activity. A gap is the number of
// days between consecutive purchase days.
func cadence(Params) Family {
	f := Family{
		Name: "cadence", Meaning: "The rhythm of purchases: the gaps between purchase days, and how overdue the next one is.",
		Reads: []datasets.Field{},
		Words: map[string]string{
			"purchase_gap_mean":      "buys every {}|bought on one day at most",
			"purchase_gap_sd":        "the time between purchases varies by {}|bought on two days at most",
			"purchase_gap_cv":        "the time between purchases varies by {} times its mean|bought on two days at most",
			"purchase_gap_min":       "bought again after {} at the shortest|bought on one day at most",
			"purchase_gap_max":       "bought again after {} at the longest|bought on one day at most",
			"purchase_gap_last":      "last time, bought again after {}|bought on one day at most",
			"purchase_overdue_ratio": "the last purchase is {} times the usual gap ago[, of {purchase_gap_mean}]|bought on one day at most",
			"active_day_gap_mean":    "comes every {}|seen on one day only",
		},
		From: `(SELECT *, CASE WHEN role = 'purchase' AND day > previous_day THEN day - previous_day END AS gap
 FROM (SELECT *, lag(day) OVER (PARTITION BY customer_id, role ORDER BY event_time) AS previous_day FROM history))`,
		Columns: []Column{
			{"purchase_gap_mean", "days", "[1, ∞)", "fewer than two purchase days", "Mean gap between consecutive purchase days.", "avg(gap)"},
			{"purchase_gap_sd", "days", "[0, ∞)", "fewer than three purchase days", "Sample standard deviation of the gaps.", "stddev_samp(gap)"},
			{"purchase_gap_cv", "ratio", "[0, ∞)", "fewer than three purchase days", "Standard deviation of the gaps divided by their mean: 0 is clockwork, 1 is random.", "stddev_samp(gap) / avg(gap)"},
			{"purchase_gap_min", "days", "[1, ∞)", "fewer than two purchase days", "Shortest gap.", "min(gap)"},
			{"purchase_gap_max", "days", "[1, ∞)", "fewer than two purchase days", "Longest gap.", "max(gap)"},
			{"purchase_gap_last", "days", "[1, ∞)", "fewer than two purchase days", "The most recent gap.", "arg_max(gap, day) FILTER (WHERE gap IS NOT NULL)"},
			{"purchase_overdue_ratio", "ratio", "[0, ∞)", "fewer than two purchase days", "Days since the last purchase divided by the customer's own mean gap; above 1 is late.", "($today - max(day) FILTER (WHERE role = 'purchase')) / avg(gap)"},
			{"active_day_gap_mean", "days", "[1, ∞)", "fewer than two active days", "Mean gap between consecutive days with an event of any kind.", "(max(day) - min(day)) / nullif(count(DISTINCT day) - 1, 0)"},
		},
	}
	f.New = func(Values) Fill {
		return func(h *timeline.History, out []float64) {
			nulls(out)
			var gaps gapMoments
			shortest := int32(math.MaxInt32)
			var last int32
			purchases := h.Positions(datasets.Purchase)
			for j := 1; j < len(purchases); j++ {
				if gap := h.Day[purchases[j]] - h.Day[purchases[j-1]]; gap > 0 {
					gaps.add(gap)
					shortest, last = min(shortest, gap), gap
				}
			}
			if gaps.n > 0 {
				out[0], out[1], out[2] = gaps.mean(), gaps.sd(), gaps.sd()/gaps.mean()
				out[3], out[4], out[5] = float64(shortest), float64(gaps.longest), float64(last)
				out[6] = float64(h.AsOf.Today-h.Day[purchases[len(purchases)-1]]) / gaps.mean()
			}
			var days int32
			for i := 1; i < h.Len(); i++ {
				if h.Day[i] != h.Day[i-1] {
					days++
				}
			}
			out[7] = share(h.Day[h.Len()-1]-h.Day[0], days)
		}
	}
	return f
}
