package features

import (
	"fmt"
	"math"
	"strings"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
)

// slopeMonths is how many 30-day stretches a slope is fitted to.
const slopeMonths = 6

// trend: whether behaviour grows or fades, how unbroken it is, and how bursty.
//
// A slope is the least-squares slope of the totals of the last six stretches of
// 30 days over the stretch's number, x = 0 … 5 with the newest last:
// Σ (x − 2.5)·y / 17.5. Burstiness is (σ − μ) / (σ + μ) of the gaps in days, B of
// Goh and Barabási, Burstiness and memory in complex systems, EPL 81 (2008)
// 48002, eq. 1, with the sample standard deviation: −1 is a clock, 0 is random,
// towards 1 is in bursts.
func trend(Params) Family {
	names := make([]string, len(visiting))
	var isVisit [datasets.NumRoles]bool
	for i, r := range visiting {
		names[i] = "'" + r.String() + "'"
		isVisit[r] = true
	}
	const bought, newDay, newPurchaseDay = "role = 'purchase'", engagedSQL + " AND (previous_day IS NULL OR day > previous_day)", "role = 'purchase' AND (previous_role_day IS NULL OR day > previous_role_day)"
	visits := fmt.Sprintf("role IN (%s)", strings.Join(names, ", "))
	ratio := func(scale, aggregate, cond string, short, long int) string {
		in := func(n int) string {
			if cond == "" {
				return fmt.Sprintf("%s FILTER (WHERE day > $today - %d)", aggregate, n)
			}
			return fmt.Sprintf("%s FILTER (WHERE %s AND day > $today - %d)", aggregate, cond, n)
		}
		whole := in(long)
		return fmt.Sprintf("CASE WHEN %s > 0 THEN %s * coalesce(%s, 0)::DOUBLE / (%s)::DOUBLE END", whole, scale, in(short), whole)
	}
	slope := func(value, cond string) string {
		return fmt.Sprintf("CASE WHEN min(day) <= $today - 179 THEN coalesce(sum((2.5 - month) * %s) FILTER (WHERE %s AND month < %d), 0)::DOUBLE / 17.5 END", value, cond, slopeMonths)
	}
	f := Family{
		Name: "trend", Meaning: "Whether behaviour grows or fades: short windows against long ones, slopes over six months, unbroken streaks, burstiness.",
		Reads: []datasets.Field{datasets.Amount},
		From: `(SELECT *,
  max(day) OVER (PARTITION BY customer_id, engaged, day_island) - min(day) OVER (PARTITION BY customer_id, engaged, day_island) + 1 AS day_streak,
  max(week) OVER (PARTITION BY customer_id, engaged, week_island) - min(week) OVER (PARTITION BY customer_id, engaged, week_island) + 1 AS week_streak,
  max(month) OVER (PARTITION BY customer_id, role, month_island) - min(month) OVER (PARTITION BY customer_id, role, month_island) + 1 AS month_streak
 FROM (SELECT *,
   day - CAST(dense_rank() OVER (PARTITION BY customer_id, engaged ORDER BY day) AS INTEGER) AS day_island,
   week - dense_rank() OVER (PARTITION BY customer_id, engaged ORDER BY week) AS week_island,
   month - dense_rank() OVER (PARTITION BY customer_id, role ORDER BY month) AS month_island,
   CASE WHEN engaged AND day > previous_day THEN day - previous_day END AS engaged_gap,
   CASE WHEN role = 'purchase' AND day > previous_role_day THEN day - previous_role_day END AS purchase_gap
  FROM (SELECT *, ($today - day) // 7 AS week, ($today - day) // 30 AS month,
    lag(day) OVER (PARTITION BY customer_id, engaged ORDER BY event_time) AS previous_day,
    lag(day) OVER (PARTITION BY customer_id, role ORDER BY event_time) AS previous_role_day
   FROM (SELECT *, ` + engagedSQL + ` AS engaged FROM history))))`,
		Columns: []Column{
			{"event_trend_30d_90d", "ratio", "[0, 3]", "no event in the last 90 days", "Events a day in the last 30 days divided by events a day in the last 90: above 1 grows, below 1 fades.", ratio("3", "count(*)", "", 30, 90)},
			{"engaged_day_trend_30d_90d", "ratio", "[0, 3]", "no engaged day in the last 90", "Days with an event other than a message sent, in the last 30 days against the last 90, a day.", ratio("3", "count(DISTINCT day)", engagedSQL, 30, 90)},
			{"visit_day_trend_30d_90d", "ratio", "[0, 3]", "no visit in the last 90 days", "Days with a visit (as family sessions has it) in the last 30 days against the last 90, a day.", ratio("3", "count(DISTINCT day)", visits, 30, 90)},
			{"purchase_day_trend_30d_90d", "ratio", "[0, 3]", "no purchase in the last 90 days", "Purchase days in the last 30 days against the last 90, a day.", ratio("3", "count(DISTINCT day)", bought, 30, 90)},
			{"spend_trend_30d_90d", "ratio", "(-∞, ∞)", "spend of the last 90 days is not positive", "Spend in the last 30 days against the last 90, a day.", ratio("3", "sum(amount)", bought, 30, 90)},
			{"event_trend_90d_365d", "ratio", "[0, 4.06]", "no event in the last 365 days", "Events in the last 90 days against the last 365, a day.", ratio("365 / 90", "count(*)", "", 90, 365)},
			{"purchase_day_trend_90d_365d", "ratio", "[0, 4.06]", "no purchase in the last 365 days", "Purchase days in the last 90 days against the last 365, a day.", ratio("365 / 90", "count(DISTINCT day)", bought, 90, 365)},
			{"spend_trend_90d_365d", "ratio", "(-∞, ∞)", "spend of the last 365 days is not positive", "Spend in the last 90 days against the last 365, a day.", ratio("365 / 90", "sum(amount)", bought, 90, 365)},
			{"engaged_day_slope_180d", "days per 30 days", "[-7.72, 7.72]", "tenure below 180 days", "Slope of engaged days over the last six stretches of 30 days.", slope("1", newDay)},
			{"purchase_day_slope_180d", "days per 30 days", "[-7.72, 7.72]", "tenure below 180 days", "Slope of purchase days over the last six stretches of 30 days.", slope("1", newPurchaseDay)},
			{"spend_slope_180d", "currency per 30 days", "(-∞, ∞)", "tenure below 180 days", "Slope of spend over the last six stretches of 30 days.", slope("amount", bought)},
			{"engaged_streak_days", "days", "[0, ∞)", "never", "Consecutive engaged days that end on the as-of date; 0 when it is not one.", "coalesce(max(day_streak) FILTER (WHERE engaged AND day = $today), 0)"},
			{"engaged_streak_days_longest", "days", "[0, ∞)", "never", "Most consecutive engaged days ever.", "coalesce(max(day_streak) FILTER (WHERE engaged), 0)"},
			{"engaged_streak_weeks", "weeks", "[0, ∞)", "never", "Consecutive weeks with an engaged day, counted back from the as-of date in stretches of 7 days.", "coalesce(max(week_streak) FILTER (WHERE engaged AND week = 0), 0)"},
			{"engaged_streak_weeks_longest", "weeks", "[0, ∞)", "never", "Most consecutive weeks with an engaged day ever.", "coalesce(max(week_streak) FILTER (WHERE engaged), 0)"},
			{"purchase_streak_months", "months", "[0, ∞)", "never", "Consecutive stretches of 30 days with a purchase, counted back from the as-of date.", "coalesce(max(month_streak) FILTER (WHERE role = 'purchase' AND month = 0), 0)"},
			{"purchase_gap_burstiness", "index", "[-1, 1)", "fewer than three purchase days", "Burstiness of the gaps between purchase days: −1 is a clock, 0 random, towards 1 bursts.", "(stddev_samp(purchase_gap) - avg(purchase_gap)) / (stddev_samp(purchase_gap) + avg(purchase_gap))"},
			{"engaged_day_gap_burstiness", "index", "[-1, 1)", "fewer than three engaged days", "Burstiness of the gaps between engaged days.", "(stddev_samp(engaged_gap) - avg(engaged_gap)) / (stddev_samp(engaged_gap) + avg(engaged_gap))"},
		},
	}
	// weight of an age in days in a slope; the sum over stretches of (x − 2.5)² is 17.5.
	weight := func(age int32) float64 { return 2.5 - float64(age/30) }
	f.New = func(Values) Fill {
		return func(h *timeline.History, out []float64) {
			nulls(out)
			today, n := h.AsOf.Today, h.Len()
			event90, event365 := since(h, 90), since(h, 365)
			events30, events90, events365 := n-since(h, 30), n-event90, n-event365

			var engaged30, engaged90 int
			var engagedSlope float64
			var gaps gapMoments
			var days, weeks streak
			last := int32(math.MinInt32)
			for i, day := range h.Day {
				if day == last || !engaged(h.Role[i]) {
					continue
				}
				age := today - day
				if last != math.MinInt32 {
					gaps.add(day - last)
				}
				last = day
				days.add(age)
				weeks.add(age / 7)
				if age < 30*slopeMonths {
					engagedSlope += weight(age)
					if age < 90 {
						engaged90++
						if age < 30 {
							engaged30++
						}
					}
				}
			}
			var visits30, visits90 int
			last = math.MinInt32
			for i := event90; i < n; i++ {
				if day := h.Day[i]; day != last && isVisit[h.Role[i]] {
					last = day
					visits90++
					if today-day < 30 {
						visits30++
					}
				}
			}
			var bought30, bought90, bought365 int
			var spend30, spend90, spend365 datasets.Money
			var spent [slopeMonths]datasets.Money
			var purchaseSlope float64
			var purchaseGaps gapMoments
			var months streak
			last = math.MinInt32
			for j, i := range h.Positions(datasets.Purchase) {
				day := h.Day[i]
				age := today - day
				newDay := day != last
				if newDay {
					if j > 0 {
						purchaseGaps.add(day - last)
					}
					last = day
					months.add(age / 30)
				}
				if age >= 365 {
					continue
				}
				amount := at(h.Amount, i)
				if amount == datasets.NullMoney {
					amount = 0
				}
				spend365 += amount
				if newDay {
					bought365++
				}
				if age < 30*slopeMonths {
					spent[age/30] += amount
					if newDay {
						purchaseSlope += weight(age)
					}
				}
				if age < 90 {
					spend90 += amount
					if newDay {
						bought90++
					}
				}
				if age < 30 {
					spend30 += amount
					if newDay {
						bought30++
					}
				}
			}
			out[0] = 3 * share(events30, events90)
			out[1] = 3 * share(engaged30, engaged90)
			out[2] = 3 * share(visits30, visits90)
			out[3] = 3 * share(bought30, bought90)
			out[4] = 3 * share(spend30.Float(), spend90.Float())
			out[5] = 365.0 / 90 * share(events90, events365)
			out[6] = 365.0 / 90 * share(bought90, bought365)
			out[7] = 365.0 / 90 * share(spend90.Float(), spend365.Float())
			if today-h.Day[0] >= 30*slopeMonths-1 {
				// Twice the weights are integers, and whole units and the rest stay
				// within int64: the sum is exact where large amounts cancel out.
				var whole, rest int64
				for m, s := range spent {
					whole += int64(5-2*m) * int64(s/datasets.MoneyScale)
					rest += int64(5-2*m) * int64(s%datasets.MoneyScale)
				}
				spendSlope := (float64(whole)*datasets.MoneyScale + float64(rest)) / datasets.MoneyScale
				out[8], out[9], out[10] = engagedSlope/17.5, purchaseSlope/17.5, spendSlope/35
			}
			out[11], out[12] = days.current(), float64(days.longest)
			out[13], out[14] = weeks.current(), float64(weeks.longest)
			out[15] = months.current()
			out[16], out[17] = purchaseGaps.burstiness(), gaps.burstiness()
		}
	}
	return f
}

// A streak follows runs of consecutive numbers that come in descending order,
// with repeats: the ages of events in days, weeks or months.
type streak struct {
	some                  bool
	last, length, longest int32
}

func (s *streak) add(age int32) {
	switch {
	case s.some && age == s.last:
		return
	case s.some && age == s.last-1:
		s.length++
	default:
		s.length = 1
	}
	s.some, s.last = true, age
	s.longest = max(s.longest, s.length)
}

// current is the length of the run that ends at age 0.
func (s *streak) current() float64 {
	if !s.some || s.last != 0 {
		return 0
	}
	return float64(s.length)
}

// gapMoments sums gaps of whole days, exactly: n·Σ gap² stays within int64
// over all the years there are, since n gaps add up to those years' days.
type gapMoments struct{ n, sum, squares, longest int64 }

func (g *gapMoments) add(days int32) {
	gap := int64(days)
	g.n++
	g.sum += gap
	g.squares += gap * gap
	g.longest = max(g.longest, gap)
}

// mean is null for no gap.
func (g *gapMoments) mean() float64 { return share(g.sum, g.n) }

// sd is the sample standard deviation; null for fewer than two gaps.
func (g *gapMoments) sd() float64 {
	return math.Sqrt(share(g.n*g.squares-g.sum*g.sum, g.n*(g.n-1)))
}

// burstiness is (σ − μ) / (σ + μ); null for fewer than two gaps.
func (g *gapMoments) burstiness() float64 {
	mean, sd := g.mean(), g.sd()
	return (sd - mean) / (sd + mean)
}
