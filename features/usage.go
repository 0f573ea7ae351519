package features

import (
	"fmt"
	"math"
	"strings"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
)

// usage: how much of their days the customer gives, at what rhythm they come
// back, what a day of visiting holds, and which features of the product they use.
//
// A visit day is a local day with an event of a role that family sessions
// counts as visiting. A feature is the event type of a feature_use event. An
// engaged day has any event but message_sent.
func usage(Params) Family {
	names := make([]string, len(visiting))
	var isVisit [datasets.NumRoles]bool
	for i, r := range visiting {
		names[i] = "'" + r.String() + "'"
		isVisit[r] = true
	}
	const visitDays = "nullif(count(DISTINCT day) FILTER (WHERE visit), 0)"
	f := Family{
		Name: "usage", Meaning: "How many of their days the customer gives, at what rhythm they come back, what a day of visiting holds, and which features they use.",
		Reads: []datasets.Field{datasets.EventType, datasets.ProductID, datasets.Category},
		From: fmt.Sprintf(`(SELECT *,
  CASE WHEN day > previous_day THEN day - previous_day END AS active_gap,
  CASE WHEN visit AND day > previous_visit_day THEN day - previous_visit_day END AS visit_gap
 FROM (SELECT *, ($today - day) // 7 AS week,
   count(*) OVER (PARTITION BY customer_id, role, event_type) AS type_events,
   lag(day) OVER (PARTITION BY customer_id ORDER BY event_time) AS previous_day,
   lag(day) OVER (PARTITION BY customer_id, visit ORDER BY event_time) AS previous_visit_day
  FROM (SELECT *, role IN (%s) AS visit FROM history)))`, strings.Join(names, ", ")),
		Words: map[string]string{
			"stickiness_30d":       "active on {} of the last 30 days",
			"active_overdue_ratio": "last seen {} times the usual gap ago[, of {active_day_gap_mean}]|seen on one day only",
			"visit_overdue_ratio":  "the last visit is {} times the usual gap ago[, of {visit_day_gap_mean}]|visited on one day at most",
			"visit_day_gap_mean":   "visits every {}|visited on one day at most",
		},
		Columns: []Column{
			{"stickiness_30d", "share", "[0, 1]", "never", "Engaged days of the last 30, divided by 30 or the days of tenure if fewer: one customer's daily over monthly active.", "count(DISTINCT day) FILTER (WHERE " + engagedSQL + " AND day > $today - 30) / least(30, $today - min(day) + 1)"},
			{"engaged_week_share_84d", "share", "[0, 1]", "never", "Of the last twelve stretches of 7 days, or those of tenure if fewer, the share with an engaged day.", "count(DISTINCT week) FILTER (WHERE " + engagedSQL + " AND week < 12) / least(12, max(week) + 1)"},
			{"active_day_gap_sd", "days", "[0, ∞)", "fewer than three active days", "Sample standard deviation of the gaps between days with an event of any kind.", "stddev_samp(active_gap)"},
			{"active_day_gap_max", "days", "[1, ∞)", "fewer than two active days", "Longest gap between days with an event of any kind.", "max(active_gap)"},
			{"active_overdue_ratio", "ratio", "[0, ∞)", "fewer than two active days", "Days since the last event divided by the customer's own mean gap between active days; above 1 is late.", "($today - max(day)) / avg(active_gap)"},
			{"visit_day_gap_mean", "days", "[1, ∞)", "fewer than two visit days", "Mean gap between consecutive visit days.", "avg(visit_gap)"},
			{"visit_day_gap_sd", "days", "[0, ∞)", "fewer than three visit days", "Sample standard deviation of the gaps between visit days.", "stddev_samp(visit_gap)"},
			{"visit_day_gap_max", "days", "[1, ∞)", "fewer than two visit days", "Longest gap between visit days.", "max(visit_gap)"},
			{"visit_overdue_ratio", "ratio", "[0, ∞)", "fewer than two visit days", "Days since the last visit day divided by the customer's own mean gap between them.", "($today - max(day) FILTER (WHERE visit)) / avg(visit_gap)"},
			{"views_per_visit_day", "events", "[0, ∞)", "no visit", "Views per visit day.", "count(*) FILTER (WHERE role = 'view') / " + visitDays},
			{"searches_per_visit_day", "events", "[0, ∞)", "no visit", "Searches per visit day.", "count(*) FILTER (WHERE role = 'search') / " + visitDays},
			{"visit_day_cart_share", "share", "[0, 1]", "no visit", "Share of visit days with something put into a cart.", "count(DISTINCT day) FILTER (WHERE role = 'cart_add') / " + visitDays},
			{"visit_day_purchase_share", "share", "[0, 1]", "no visit", "Share of visit days with a purchase.", "count(DISTINCT day) FILTER (WHERE role = 'purchase') / " + visitDays},
			{"products_viewed_30d", "products", "[0, ∞)", "never", "Distinct products viewed in the last 30 days.", "count(DISTINCT product_id) FILTER (WHERE role = 'view' AND day > $today - 30)"},
			{"categories_viewed_lifetime", "categories", "[0, ∞)", "never", "Distinct categories viewed ever.", "count(DISTINCT category) FILTER (WHERE role = 'view')"},
			{"feature_use_days_30d", "days", "[0, 30]", "never", "Days of the last 30 on which a feature was used.", "count(DISTINCT day) FILTER (WHERE role = 'feature_use' AND day > $today - 30)"},
			{"feature_uses_per_day_90d", "events", "[1, ∞)", "no feature used in the last 90 days", "Uses of features per day with one, in the last 90 days: the usage rate.", "count(*) FILTER (WHERE role = 'feature_use' AND day > $today - 90) / nullif(count(DISTINCT day) FILTER (WHERE role = 'feature_use' AND day > $today - 90), 0)"},
			{"features_used_30d", "features", "[0, ∞)", "never", "Distinct features used in the last 30 days.", "count(DISTINCT event_type) FILTER (WHERE role = 'feature_use' AND day > $today - 30)"},
			{"features_used_lifetime", "features", "[0, ∞)", "never", "Distinct features used ever.", "count(DISTINCT event_type) FILTER (WHERE role = 'feature_use')"},
			{"favourite_feature_share", "share", "(0, 1]", "no feature used", "Share of the uses of features that are of the one used most.", "max(type_events) FILTER (WHERE role = 'feature_use' AND event_type IS NOT NULL) / nullif(count(event_type) FILTER (WHERE role = 'feature_use'), 0)"},
		},
	}
	f.New = func(Values) Fill {
		var seen tally
		return func(h *timeline.History, out []float64) {
			nulls(out)
			today := h.AsOf.Today
			var active, visits gapMoments
			var engaged30, engagedWeeks int32
			lastEngaged, lastVisit, lastWeek := int32(math.MinInt32), int32(math.MinInt32), int32(-1)
			visitDays := 0
			for i, day := range h.Day {
				if i > 0 && day != h.Day[i-1] {
					active.add(day - h.Day[i-1])
				}
				r := h.Role[i]
				if day != lastEngaged && engaged(r) {
					lastEngaged = day
					if today-day < 30 {
						engaged30++
					}
					if week := (today - day) / 7; week < 12 && week != lastWeek {
						lastWeek = week
						engagedWeeks++
					}
				}
				if day != lastVisit && isVisit[r] {
					if visitDays > 0 {
						visits.add(day - lastVisit)
					}
					lastVisit = day
					visitDays++
				}
			}
			tenure := today - h.Day[0]
			out[0] = share(engaged30, min(30, tenure+1))
			out[1] = share(engagedWeeks, min(12, tenure/7+1))
			if active.n > 0 {
				out[2], out[3] = active.sd(), float64(active.longest)
				out[4] = float64(today-h.Day[h.Len()-1]) / active.mean()
			}
			if visits.n > 0 {
				out[5], out[6], out[7] = visits.mean(), visits.sd(), float64(visits.longest)
				out[8] = float64(today-lastVisit) / visits.mean()
			}
			views, uses := h.Positions(datasets.View), h.Positions(datasets.FeatureUse)
			out[9] = share(len(views), visitDays)
			out[10] = share(len(h.Positions(datasets.Search)), visitDays)
			out[11] = share(daysOf(h, h.Positions(datasets.CartAdd)), visitDays)
			out[12] = share(daysOf(h, h.Positions(datasets.Purchase)), visitDays)
			seen.reset()
			for _, i := range views {
				if c := code(h.Product, i); c != 0 && today-h.Day[i] < 30 {
					seen.add(c)
				}
			}
			out[13] = float64(len(seen.values))
			seen.reset()
			for _, i := range views {
				if c := code(h.Category, i); c != 0 {
					seen.add(c)
				}
			}
			out[14] = float64(len(seen.values))
			month, quarter := len(uses), len(uses) // places of the first uses of the last 30 and 90 days
			for month > 0 && today-h.Day[uses[month-1]] < 30 {
				month--
			}
			for quarter > 0 && today-h.Day[uses[quarter-1]] < recentDays {
				quarter--
			}
			out[15] = float64(daysOf(h, uses[month:]))
			out[16] = share(len(uses)-quarter, daysOf(h, uses[quarter:]))
			seen.reset()
			for _, i := range uses[month:] {
				if c := code(h.Type, i); c != 0 {
					seen.add(c)
				}
			}
			out[17] = float64(len(seen.values))
			for _, i := range uses[:month] {
				if c := code(h.Type, i); c != 0 {
					seen.add(c)
				}
			}
			out[18] = float64(len(seen.values))
			out[19] = share(int(seen.most()), seen.total)
		}
	}
	return f
}

// daysOf counts the local days of events, given by their positions in order.
func daysOf(h *timeline.History, positions []int32) int {
	n := 0
	for j, i := range positions {
		if j == 0 || h.Day[i] != h.Day[positions[j-1]] {
			n++
		}
	}
	return n
}
