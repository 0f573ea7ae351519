package features

import (
	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
)

// feedback: how often the customer asks for help, and how they rate. A rating
// is that of any event that has one.
func feedback(Params) Family {
	const lastRating = "(min(rating) FILTER (WHERE event_time = last_rated))::DOUBLE"
	f := Family{
		Name: "feedback", Meaning: "How often the customer asks for help, and how they rate.",
		Reads: []datasets.Field{datasets.Rating},
		From:  "(SELECT *, max(event_time) FILTER (WHERE rating IS NOT NULL) OVER (PARTITION BY customer_id) AS last_rated FROM history)",
		Columns: []Column{
			{"tickets_per_30d", "tickets", "[0, ∞)", "never", "Support tickets per 30 days of tenure, the as-of date included.", "30 * count(*) FILTER (WHERE role = 'ticket') / ($today - min(day) + 1)"},
			{"ticket_gap_mean", "days", "[1, ∞)", "fewer than two days with a ticket", "Mean gap between consecutive days with a ticket.",
				"(max(day) FILTER (WHERE role = 'ticket') - min(day) FILTER (WHERE role = 'ticket')) / nullif(count(DISTINCT day) FILTER (WHERE role = 'ticket') - 1, 0)"},
			{"ratings_lifetime", "ratings", "[0, ∞)", "never", "Ratings given ever.", "count(rating)"},
			{"rating_mean", "rating", "(-∞, ∞)", "no rating", "Mean rating.", "sum(rating)::DOUBLE / nullif(count(rating), 0)"},
			{"rating_min", "rating", "(-∞, ∞)", "no rating", "Lowest rating.", "min(rating)::DOUBLE"},
			{"rating_last", "rating", "(-∞, ∞)", "no rating", "The last rating; the lowest of those given at once.", lastRating},
			{"rating_trend", "rating", "(-∞, ∞)", "no rating", "The last rating less the mean: below 0 is falling.", lastRating + " - sum(rating)::DOUBLE / nullif(count(rating), 0)"},
			{"days_since_last_rating", "days", "[0, ∞)", "no rating", "Days from the last rating to the as-of date.", "$today - max(day) FILTER (WHERE rating IS NOT NULL)"},
		},
	}
	f.New = func(Values) Fill {
		return func(h *timeline.History, out []float64) {
			nulls(out)
			tickets := h.Positions(datasets.Ticket)
			out[0] = 30 * float64(len(tickets)) / float64(h.AsOf.Today-h.Day[0]+1)
			gaps := 0
			for j := 1; j < len(tickets); j++ {
				if h.Day[tickets[j]] != h.Day[tickets[j-1]] {
					gaps++
				}
			}
			if gaps > 0 {
				out[1] = float64(h.Day[tickets[len(tickets)-1]]-h.Day[tickets[0]]) / float64(gaps)
			}
			var sum, last datasets.Money
			lowest := datasets.MaxMoney
			var n, latest int
			for i, r := range h.Rating {
				if r == datasets.NullMoney {
					continue
				}
				lowest = min(lowest, r)
				if n == 0 || h.Time[i] != h.Time[latest] {
					last = r
				}
				last = min(last, r)
				n++
				sum += r
				latest = i
			}
			out[2] = float64(n)
			if n > 0 {
				mean := sum.Float() / float64(n)
				out[3], out[4], out[5], out[6] = mean, lowest.Float(), last.Float(), last.Float()-mean
				out[7] = float64(h.AsOf.Today - h.Day[latest])
			}
		}
	}
	return f
}
