package features

import (
	"math"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
)

// loyalty: how constant the customer is, whether they speak for the shop, and
// where a subscription stands.
//
// A customer is subscribed when a subscribe or renew came strictly after the
// last cancel: at one instant, the cancel prevails. Months are of the calendar.
func loyalty(Params) Family {
	const begun = "role IN ('subscribe', 'renew') AND (last_cancel IS NULL OR event_time > last_cancel)"
	f := Family{
		Name: "loyalty", Meaning: "How constant the customer is, whether they recommend, and where a subscription stands.",
		Reads: []datasets.Field{},
		From: `(SELECT *,
  max(event_time) FILTER (WHERE role = 'cancel') OVER (PARTITION BY customer_id) AS last_cancel,
  min(event_time) FILTER (WHERE role = 'cancel') OVER (PARTITION BY customer_id) AS first_cancel,
  date_trunc('month', day) AS month
 FROM history)`,
		Words: map[string]string{
			"subscribed":                "subscribed: {}",
			"repeat_purchase_day_share": "{} of purchase days were repeats|no purchase so far",
		},
		Columns: []Column{
			{"engaged_months_lifetime", "months", "[0, ∞)", "never", "Calendar months with an event other than a message sent.", "count(DISTINCT month) FILTER (WHERE " + engagedSQL + ")"},
			{"engaged_month_share", "share", "[0, 1]", "never", "Share of the calendar months of tenure, the as-of date's included, with an event other than a message sent.", "count(DISTINCT month) FILTER (WHERE " + engagedSQL + ") / (date_diff('month', min(day), $today) + 1)"},
			{"purchase_months_lifetime", "months", "[0, ∞)", "never", "Calendar months with a purchase.", "count(DISTINCT month) FILTER (WHERE role = 'purchase')"},
			{"purchase_month_share", "share", "(0, 1]", "no purchase", "Share of the calendar months from the first purchase to the as-of date that have a purchase.",
				"count(DISTINCT month) FILTER (WHERE role = 'purchase') / (date_diff('month', min(day) FILTER (WHERE role = 'purchase'), $today) + 1)"},
			{"repeat_purchase_day_share", "share", "[0, 1)", "no purchase", "Share of purchase days that were not the first: the repeat ratio.", "1 - 1 / nullif(count(DISTINCT day) FILTER (WHERE role = 'purchase'), 0)"},
			{"advocacy_share", "share", "[0, 1]", "never", "Share of events that are referrals, reviews or social engagement.", "count(*) FILTER (WHERE role IN ('referral', 'review', 'social_engage')) / count(*)"},
			{"subscribed", "flag", "[0, 1]", "never", "1 when the last word was subscribe or renew, 0 when it was cancel or there was none.", "CAST(count(*) FILTER (WHERE " + begun + ") > 0 AS INTEGER)"},
			{"subscription_days", "days", "[0, ∞)", "not subscribed", "Days from the first subscribe or renew after the last cancel to the as-of date.", "$today - min(day) FILTER (WHERE " + begun + ")"},
			{"subscription_renewals", "events", "[0, ∞)", "not subscribed", "Renewals of the running subscription.", "CASE WHEN count(*) FILTER (WHERE " + begun + ") > 0 THEN count(*) FILTER (WHERE " + begun + " AND role = 'renew') END"},
			{"resubscriptions_lifetime", "events", "[0, ∞)", "never", "Times the customer subscribed after having cancelled.", "count(*) FILTER (WHERE role = 'subscribe' AND event_time > first_cancel)"},
			{"subscription_cancelled", "flag", "[0, 1]", "never", "1 when the last word was cancel, 0 when it was subscribe or renew or there was none.",
				"CAST(count(*) FILTER (WHERE role = 'cancel') > 0 AND count(*) FILTER (WHERE " + begun + ") = 0 AS INTEGER)"},
			{"advocacy_events_90d", "events", "[0, ∞)", "never", "Referrals, reviews and social engagement in the last 90 days.", "count(*) FILTER (WHERE role IN ('referral', 'review', 'social_engage') AND day > $today - 90)"},
		},
	}
	f.New = func(Values) Fill {
		var calendar monthClock
		return func(h *timeline.History, out []float64) {
			nulls(out)
			now := calendar.at(h.AsOf.Today)
			first := calendar.at(h.Day[0])
			months, last, lastDay := 0, first-1, h.Day[0]-1
			for i, day := range h.Day {
				if day == lastDay || !engaged(h.Role[i]) {
					continue
				}
				lastDay = day
				if m := calendar.at(day); m != last {
					months++
					last = m
				}
			}
			out[0], out[1] = float64(months), float64(months)/float64(now-first+1)
			if purchases := h.Positions(datasets.Purchase); len(purchases) > 0 {
				months, last := 0, int32(math.MinInt32)
				first := calendar.at(h.Day[purchases[0]])
				for _, i := range purchases {
					if m := calendar.at(h.Day[i]); m != last {
						months++
						last = m
					}
				}
				out[2], out[3] = float64(months), float64(months)/float64(now-first+1)
				out[4] = 1 - 1/float64(daysOf(h, purchases))
			} else {
				out[2] = 0
			}
			advocacy := len(h.Positions(datasets.Referral)) + len(h.Positions(datasets.Review)) + len(h.Positions(datasets.SocialEngage))
			out[5] = share(advocacy, h.Len())

			cancels, subscribes := h.Positions(datasets.Cancel), h.Positions(datasets.Subscribe)
			again := 0
			if len(cancels) > 0 {
				for _, i := range subscribes {
					if h.Time[i] > h.Time[cancels[0]] {
						again++
					}
				}
			}
			begun, renewals := int32(h.Len()), 0 // the position that began the running subscription
			for _, r := range [...]datasets.Role{datasets.Subscribe, datasets.Renew} {
				for _, i := range h.Positions(r) {
					if len(cancels) > 0 && h.Time[i] <= h.Time[cancels[len(cancels)-1]] {
						continue
					}
					begun = min(begun, i)
					if r == datasets.Renew {
						renewals++
					}
				}
			}
			out[6], out[10] = 0, 0
			if len(cancels) > 0 && int(begun) == h.Len() {
				out[10] = 1
			}
			advocated := 0
			for _, r := range h.Role[since(h, recentDays):] {
				if r == datasets.Referral || r == datasets.Review || r == datasets.SocialEngage {
					advocated++
				}
			}
			out[11] = float64(advocated)
			if int(begun) < h.Len() {
				out[6] = 1
				out[7] = float64(h.AsOf.Today - h.Day[begun])
				out[8] = float64(renewals)
			}
			out[9] = float64(again)
		}
	}
	return f
}
