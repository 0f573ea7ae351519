package features

import (
	"math"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
)

// rates: behaviour per opportunity, so that a customer of a month compares
// with one of years.
func rates(Params) Family {
	const orders = "nullif(count(DISTINCT event_time) FILTER (WHERE role = 'purchase'), 0)"
	const sent = "nullif(count(*) FILTER (WHERE role = 'message_sent'), 0)"
	f := Family{
		Name: "rates", Meaning: "Behaviour per opportunity, over the customer's lifetime: per 30 days of tenure, per order, per message.",
		Reads: []datasets.Field{datasets.Quantity},
		From:  "history",
		Columns: []Column{
			{"events_per_30d", "events", "(0, ∞)", "never", "Events of any kind per 30 days of tenure, the as-of date included.", "30 * count(*) / ($today - min(day) + 1)"},
			{"purchase_days_per_30d", "days", "[0, 30]", "never", "Days with a purchase per 30 days of tenure.", "30 * count(DISTINCT day) FILTER (WHERE role = 'purchase') / ($today - min(day) + 1)"},
			{"items_per_order", "items", "(-∞, ∞)", "no purchase", "Purchased quantity per order; 0 where the source has none.", "coalesce(sum(quantity) FILTER (WHERE role = 'purchase'), 0)::DOUBLE / " + orders},
			{"coupons_per_order", "coupons", "[0, ∞)", "no purchase", "Coupons redeemed per order.", "count(*) FILTER (WHERE role = 'coupon') / " + orders},
			{"tickets_per_order", "tickets", "[0, ∞)", "no purchase", "Support tickets per order.", "count(*) FILTER (WHERE role = 'ticket') / " + orders},
			{"reviews_per_order", "reviews", "[0, ∞)", "no purchase", "Reviews per order.", "count(*) FILTER (WHERE role = 'review') / " + orders},
			{"message_open_rate", "share", "[0, ∞)", "no message sent", "Messages opened per message sent, over all channels; above 1 when a message is opened more than once.", "count(*) FILTER (WHERE role = 'message_open') / " + sent},
			{"message_click_rate", "share", "[0, ∞)", "no message sent", "Clicks per message sent, over all channels.", "count(*) FILTER (WHERE role = 'message_click') / " + sent},
		},
	}
	f.New = func(Values) Fill {
		return func(h *timeline.History, out []float64) {
			tenure := float64(h.AsOf.Today - h.Day[0] + 1)
			count := func(r datasets.Role) float64 { return float64(len(h.Positions(r))) }
			var orders, days float64
			var items datasets.Money
			purchases := h.Positions(datasets.Purchase)
			for j, i := range purchases {
				if j == 0 || h.Time[i] != h.Time[purchases[j-1]] {
					orders++
				}
				if j == 0 || h.Day[i] != h.Day[purchases[j-1]] {
					days++
				}
				if q := at(h.Quantity, i); q != datasets.NullMoney {
					items += q
				}
			}
			out[0] = 30 * float64(h.Len()) / tenure
			out[1] = 30 * days / tenure
			for j, v := range [...]float64{items.Float(), count(datasets.Coupon), count(datasets.Ticket), count(datasets.Review)} {
				out[2+j] = math.NaN()
				if orders > 0 {
					out[2+j] = v / orders
				}
			}
			sent := count(datasets.MessageSent)
			for j, r := range [...]datasets.Role{datasets.MessageOpen, datasets.MessageClick} {
				out[6+j] = math.NaN()
				if sent > 0 {
					out[6+j] = count(r) / sent
				}
			}
		}
	}
	return f
}
