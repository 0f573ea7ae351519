package features

import (
	"fmt"
	"math"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
)

// timing: when the customer acts and buys, by the local clock and calendar.
//
// A concentration is Σ p² over the hours or weekdays (Simpson, Measurement of
// diversity, Nature 163 (1949) 688): 1 when all fall on one, 1/24 or 1/7 when
// spread evenly.
func timing(Params) Family {
	f := Family{
		Name: "timing", Meaning: "When the customer acts and buys: time of day, weekday and season, by the local clock and calendar.",
		Reads: []datasets.Field{datasets.Amount},
		From: `(SELECT *,
  count(*) OVER (PARTITION BY customer_id, engaged, hour) AS hour_engaged_events,
  count(*) OVER (PARTITION BY customer_id, engaged, weekday) AS weekday_engaged_events,
  count(*) OVER (PARTITION BY customer_id, role, hour) AS hour_role_events,
  count(*) OVER (PARTITION BY customer_id, role, weekday) AS weekday_role_events,
  count(*) OVER (PARTITION BY customer_id, role, month) AS month_role_events
 FROM (SELECT *, clock // 3600 AS hour, isodow(day) AS weekday, month(day) AS month, ` + engagedSQL + ` AS engaged FROM history))`,
	}
	const perSubject = 9
	const bought = " FILTER (WHERE role = 'purchase')"
	for _, s := range []struct{ name, words, cond, where, null, counts string }{
		{"activity", "events other than messages sent", "engaged AND ", " FILTER (WHERE engaged)", "no event other than messages sent", "engaged_events"},
		{"purchase", "purchases", "role = 'purchase' AND ", " FILTER (WHERE role = 'purchase')", "no purchase", "role_events"},
	} {
		part := func(cond string) string {
			return fmt.Sprintf("count(*) FILTER (WHERE %s%s) / nullif(count(*)%s, 0)", s.cond, cond, s.where)
		}
		mode := func(what string) string {
			// The most frequent, the smallest among equals: 100 exceeds any hour or weekday.
			return fmt.Sprintf("arg_max(%[1]s, 100 * %[1]s_%[2]s - %[1]s)%[3]s", what, s.counts, s.where)
		}
		concentration := func(what string) string {
			// Σ n² over the hours is the sum over the events of n of their hour.
			return fmt.Sprintf("(sum(%[1]s_%[2]s)%[3]s)::DOUBLE / nullif((count(*)%[3]s) * (count(*)%[3]s), 0)", what, s.counts, s.where)
		}
		f.Columns = append(f.Columns,
			Column{s.name + "_weekend_share", "share", "[0, 1]", s.null, "Share of " + s.words + " on a Saturday or Sunday.", part("weekday >= 6")},
			Column{s.name + "_night_share", "share", "[0, 1]", s.null, "Share of " + s.words + " from midnight to 06:00.", part("hour < 6")},
			Column{s.name + "_morning_share", "share", "[0, 1]", s.null, "Share of " + s.words + " from 06:00 to noon.", part("hour BETWEEN 6 AND 11")},
			Column{s.name + "_afternoon_share", "share", "[0, 1]", s.null, "Share of " + s.words + " from noon to 18:00.", part("hour BETWEEN 12 AND 17")},
			Column{s.name + "_evening_share", "share", "[0, 1]", s.null, "Share of " + s.words + " from 18:00 to midnight.", part("hour >= 18")},
			Column{s.name + "_hour_mode", "hour", "[0, 23]", s.null, "Hour of the day with the most " + s.words + "; the earliest of equals.", mode("hour")},
			Column{s.name + "_weekday_mode", "weekday", "[1, 7]", s.null, "Weekday with the most " + s.words + ", 1 is Monday; the earliest of equals.", mode("weekday")},
			Column{s.name + "_hour_concentration", "index", "[0.041, 1]", s.null, "Concentration of " + s.words + " over the hours of the day: 1 is one hour only, 1/24 evenly spread.", concentration("hour")},
			Column{s.name + "_weekday_concentration", "index", "[0.142, 1]", s.null, "Concentration of " + s.words + " over the weekdays: 1 is one weekday only, 1/7 evenly spread.", concentration("weekday")},
		)
	}
	f.Columns = append(f.Columns,
		Column{"purchase_month_mode", "month", "[1, 12]", "no purchase", "Calendar month with the most purchases; the earliest of equals.", "arg_max(month, 100 * month_role_events - month) FILTER (WHERE role = 'purchase')"},
		Column{"november_december_spend_share", "share", "(-∞, ∞)", "spend is not positive", "Share of lifetime spend in November and December; outside 0 to 1 only where amounts are negative.",
			"CASE WHEN sum(amount) FILTER (WHERE role = 'purchase') > 0 THEN coalesce(sum(amount) FILTER (WHERE role = 'purchase' AND month >= 11), 0)::DOUBLE / (sum(amount) FILTER (WHERE role = 'purchase'))::DOUBLE END"},
		Column{"spend_year_ago_30d", "currency", "(-∞, ∞)", "never", "Spend in the 30 days that ended 365 days before the as-of date.",
			"coalesce(sum(amount) FILTER (WHERE role = 'purchase' AND $today - day BETWEEN 365 AND 394), 0)::DOUBLE"},
		Column{"spend_year_ago_next_30d", "currency", "(-∞, ∞)", "never", "Spend in the 30 days that followed, a year ago: what the season to come was worth.",
			"coalesce(sum(amount) FILTER (WHERE role = 'purchase' AND $today - day BETWEEN 335 AND 364), 0)::DOUBLE"},
		Column{"purchase_month_concentration", "index", "[0.083, 1]", "no purchase", "Concentration of purchases over the calendar months: 1 is one month only, 1/12 evenly spread.",
			"(sum(month_role_events)" + bought + ")::DOUBLE / nullif((count(*)" + bought + ") * (count(*)" + bought + "), 0)"},
	)
	for q, months := range [...]string{"January to March", "April to June", "July to September", "October to December"} {
		f.Columns = append(f.Columns, Column{fmt.Sprintf("purchase_quarter_%d_share", q+1), "share", "[0, 1]", "no purchase", "Share of purchases from " + months + ", of any year.",
			fmt.Sprintf("count(*) FILTER (WHERE role = 'purchase' AND month BETWEEN %d AND %d) / nullif(count(*)%s, 0)", 3*q+1, 3*q+3, bought)})
	}
	f.Columns = append(f.Columns,
		Column{"purchase_days_year_ago_30d", "days", "[0, 30]", "never", "Purchase days in the 30 days that ended 365 days before the as-of date.", "count(DISTINCT day) FILTER (WHERE role = 'purchase' AND $today - day BETWEEN 365 AND 394)"},
		Column{"purchase_days_year_ago_next_30d", "days", "[0, 30]", "never", "Purchase days in the 30 days that followed, a year ago.", "count(DISTINCT day) FILTER (WHERE role = 'purchase' AND $today - day BETWEEN 335 AND 364)"},
	)
	f.New = func(Values) Fill {
		var calendar monthClock
		return func(h *timeline.History, out []float64) {
			nulls(out)
			var hours, boughtHours [24]int32
			var weekdays, boughtWeekdays [7]int32
			var months [12]int32
			var spend, festive, yearAgo, yearAgoNext datasets.Money
			var daysAgo, daysAgoNext, bought int32
			for i, clock := range h.Clock {
				if !engaged(h.Role[i]) {
					continue
				}
				hours[clock/3600]++
				weekdays[weekday(h.Day[i])]++
			}
			last := int32(math.MinInt32)
			for _, i := range h.Positions(datasets.Purchase) {
				day := h.Day[i]
				month := calendar.at(day) % 12
				age, newDay := h.AsOf.Today-day, day != last
				last = day
				bought++
				lastYear, lastYearNext := age >= 365 && age < 395, age >= 335 && age < 365
				if newDay && lastYear {
					daysAgo++
				}
				if newDay && lastYearNext {
					daysAgoNext++
				}
				boughtHours[h.Clock[i]/3600]++
				boughtWeekdays[weekday(day)]++
				months[month]++
				amount := at(h.Amount, i)
				if amount == datasets.NullMoney {
					continue
				}
				spend += amount
				if month >= 10 {
					festive += amount
				}
				if lastYear {
					yearAgo += amount
				}
				if lastYearNext {
					yearAgoNext += amount
				}
			}
			rhythm(out[:perSubject], &hours, &weekdays)
			rhythm(out[perSubject:], &boughtHours, &boughtWeekdays)
			rest := out[2*perSubject:]
			if m, n := mode(months[:]); n > 0 {
				rest[0] = float64(m + 1)
			}
			rest[1] = share(festive.Float(), spend.Float())
			rest[2], rest[3] = yearAgo.Float(), yearAgoNext.Float()
			rest[4] = concentration(months[:], bought)
			for q := range 4 {
				rest[5+q] = share(months[3*q]+months[3*q+1]+months[3*q+2], bought)
			}
			rest[9], rest[10] = float64(daysAgo), float64(daysAgoNext)
		}
	}
	return f
}

// rhythm writes the columns of one subject; null when nothing was counted.
func rhythm(out []float64, hours *[24]int32, weekdays *[7]int32) {
	var parts [4]int32
	for hour, n := range hours {
		parts[hour/6] += n
	}
	total := parts[0] + parts[1] + parts[2] + parts[3]
	if total == 0 {
		return
	}
	out[0] = share(weekdays[5]+weekdays[6], total)
	for i, n := range parts {
		out[1+i] = share(n, total)
	}
	hour, _ := mode(hours[:])
	day, _ := mode(weekdays[:])
	out[5], out[6] = float64(hour), float64(day+1)
	out[7], out[8] = concentration(hours[:], total), concentration(weekdays[:], total)
}

// mode is the first place of the largest count, and that count.
func mode(counts []int32) (place int, most int32) {
	for i, n := range counts {
		if n > most {
			place, most = i, n
		}
	}
	return place, most
}

// concentration is Σ (n/total)²; null for no total.
func concentration(counts []int32, total int32) float64 {
	var squares int64
	for _, n := range counts {
		squares += int64(n) * int64(n)
	}
	return float64(squares) / (float64(total) * float64(total))
}
