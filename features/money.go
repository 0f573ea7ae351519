package features

import (
	"math"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
)

// money: what the customer spent, in how many orders, and took back.
//
// An order is the customer's purchase events at one instant: sources write one
// row an order line, all with the time of the order.
func money(p Params) Family {
	ws := p.windows()
	const perWindow = 5
	const bought = "role = 'purchase'"
	f := Family{
		Name: "money", Meaning: "What the customer spent, in how many orders and items, and took back.",
		Reads: []datasets.Field{datasets.Amount, datasets.Quantity},
		From: `(SELECT *,
  sum(amount) FILTER (WHERE role = 'purchase') OVER (PARTITION BY customer_id, event_time) AS order_amount,
  min(day) FILTER (WHERE role = 'purchase') OVER (PARTITION BY customer_id) AS first_purchase_day
 FROM history)`,
	}
	for _, w := range ws {
		f.Columns = append(f.Columns,
			Column{"spend_" + w.suffix, "currency", "(-∞, ∞)", "never", "Sum of purchase amounts " + w.words + "; returns are not taken off.", "coalesce(sum(amount)" + w.filter(bought) + ", 0)::DOUBLE"},
			Column{"refund_" + w.suffix, "currency", "[0, ∞)", "never", "Sum of returned amounts " + w.words + ", as a positive number whatever sign the source writes.", "coalesce(sum(abs(amount))" + w.filter("role = 'return'") + ", 0)::DOUBLE"},
			Column{"orders_" + w.suffix, "orders", "[0, ∞)", "never", "Orders " + w.words + ": purchase events at one instant are one order.", "count(DISTINCT event_time)" + w.filter(bought)},
			Column{"purchase_days_" + w.suffix, "days", "[0, ∞)", "never", "Days with a purchase " + w.words + ".", "count(DISTINCT day)" + w.filter(bought)},
			Column{"items_" + w.suffix, "items", "(-∞, ∞)", "never", "Sum of purchased quantities " + w.words + "; 0 where the source has none.", "coalesce(sum(quantity)" + w.filter(bought) + ", 0)::DOUBLE"},
		)
	}
	f.Columns = append(f.Columns,
		Column{"average_order_value", "currency", "(-∞, ∞)", "no purchase", "Lifetime spend divided by lifetime orders.",
			"coalesce(sum(amount) FILTER (WHERE role = 'purchase'), 0)::DOUBLE / nullif(count(DISTINCT event_time) FILTER (WHERE role = 'purchase'), 0)"},
		Column{"largest_order", "currency", "(-∞, ∞)", "no purchase with an amount", "Amount of the largest order ever.",
			"(max(order_amount) FILTER (WHERE role = 'purchase'))::DOUBLE"},
		Column{"return_share", "share", "[0, ∞)", "spend is not positive", "Lifetime refunds divided by lifetime spend.",
			"CASE WHEN sum(amount) FILTER (WHERE role = 'purchase') > 0 THEN coalesce(sum(abs(amount)) FILTER (WHERE role = 'return'), 0)::DOUBLE / (sum(amount) FILTER (WHERE role = 'purchase'))::DOUBLE END"},
		Column{"first_day_spend", "currency", "(-∞, ∞)", "no purchase", "Spend on the day of the first purchase.",
			"CASE WHEN count(*) FILTER (WHERE role = 'purchase') > 0 THEN coalesce(sum(amount) FILTER (WHERE role = 'purchase' AND day = first_purchase_day), 0)::DOUBLE END"},
		Column{RepeatDaySpendMean, "currency", "(-∞, ∞)", "fewer than two purchase days", "Mean spend of a purchase day after the first one: the monetary value of a Gamma-Gamma model.",
			"coalesce(sum(amount) FILTER (WHERE role = 'purchase' AND day > first_purchase_day), 0)::DOUBLE / nullif(greatest(count(DISTINCT day) FILTER (WHERE role = 'purchase') - 1, 0), 0)"},
	)
	for _, w := range ws {
		f.Columns = append(f.Columns, Column{"net_spend_" + w.suffix, "currency", "(-∞, ∞)", "never", "Purchases less refunds " + w.words + ".",
			"(coalesce(sum(amount)" + w.filter(bought) + ", 0) - coalesce(sum(abs(amount))" + w.filter("role = 'return'") + ", 0))::DOUBLE"})
	}
	f.Columns = append(f.Columns, Column{"largest_order_share", "share", "(0, ∞)", "spend is not positive", "Amount of the largest order divided by lifetime spend: 1 is all at once; above 1 only where amounts are negative.",
		"CASE WHEN sum(amount) FILTER (WHERE role = 'purchase') > 0 THEN (max(order_amount) FILTER (WHERE role = 'purchase'))::DOUBLE / (sum(amount) FILTER (WHERE role = 'purchase'))::DOUBLE END"})
	f.Totals = map[string]timeline.Total{
		"spend_" + lifetimeSuffix:  {Role: datasets.Purchase, Of: datasets.Amount},
		"refund_" + lifetimeSuffix: {Role: datasets.Return, Of: datasets.Amount, Absolute: true},
		"items_" + lifetimeSuffix:  {Role: datasets.Purchase, Of: datasets.Quantity},
	}
	f.Words = map[string]string{
		"average_order_value": "spends {} an order|no purchase so far",
		"return_share":        "sent back {} of what was spent|spent nothing so far",
		RepeatDaySpendMean:    "spends {} on a repeat day|bought on one day at most",
	}
	for _, w := range ws {
		f.Words["spend_"+w.suffix] = "spent {} " + w.words
		f.Words["net_spend_"+w.suffix] = "spent {} " + w.words + ", returns taken off"
		f.Words["refund_"+w.suffix] = "returned {} " + w.words
		f.Words["orders_"+w.suffix] = "orders " + w.words + ": {}"
		f.Words["purchase_days_"+w.suffix] = "bought on {} " + w.words
		f.Words["items_"+w.suffix] = "items bought " + w.words + ": {}"
	}
	f.New = func(Values) Fill {
		spend, refund, items := make([]datasets.Money, len(ws)), make([]datasets.Money, len(ws)), make([]datasets.Money, len(ws))
		return func(h *timeline.History, out []float64) {
			clear(out)
			clear(spend)
			clear(refund)
			clear(items)
			var order, largest, firstDay datasets.Money
			largest = datasets.NullMoney
			orderKnown := false
			closeOrder := func() {
				if orderKnown {
					largest = max(largest, order)
				}
				order, orderKnown = 0, false
			}
			purchases := h.Positions(datasets.Purchase)
			for j, i := range purchases {
				age := h.AsOf.Today - h.Day[i]
				newOrder, newDay := true, true
				if j > 0 {
					newOrder = h.Time[i] != h.Time[purchases[j-1]]
					newDay = h.Day[i] != h.Day[purchases[j-1]]
				}
				if newOrder {
					closeOrder()
				}
				amount, quantity := at(h.Amount, i), at(h.Quantity, i)
				if amount != datasets.NullMoney {
					order += amount
					orderKnown = true
					if h.Day[i] == h.Day[purchases[0]] {
						firstDay += amount
					}
				}
				for k := len(ws) - 1; k >= 0 && ws[k].holds(age); k-- {
					if amount != datasets.NullMoney {
						spend[k] += amount
					}
					if quantity != datasets.NullMoney {
						items[k] += quantity
					}
					if newOrder {
						out[perWindow*k+2]++
					}
					if newDay {
						out[perWindow*k+3]++
					}
				}
			}
			closeOrder()
			for _, i := range h.Positions(datasets.Return) {
				age := h.AsOf.Today - h.Day[i]
				amount := at(h.Amount, i)
				if amount == datasets.NullMoney {
					continue
				}
				for k := len(ws) - 1; k >= 0 && ws[k].holds(age); k-- {
					refund[k] += max(amount, -amount)
				}
			}
			for k := range ws {
				out[perWindow*k] = spend[k].Float()
				out[perWindow*k+1] = refund[k].Float()
				out[perWindow*k+4] = items[k].Float()
			}
			life := perWindow * (len(ws) - 1)
			orders, days := out[life+2], out[life+3]
			rest, net := out[perWindow*len(ws):][:5], out[perWindow*len(ws)+5:][:len(ws)]
			for k := range ws {
				net[k] = (spend[k] - refund[k]).Float()
			}
			nulls(rest)
			out[len(out)-1] = math.NaN()
			if len(purchases) == 0 {
				return
			}
			total := spend[len(ws)-1]
			rest[0] = total.Float() / orders
			rest[1] = largest.Float()
			if total > 0 {
				rest[2] = refund[len(ws)-1].Float() / total.Float()
				out[len(out)-1] = largest.Float() / total.Float()
			}
			rest[3] = firstDay.Float()
			rest[4] = share((total - firstDay).Float(), days-1)
		}
	}
	return f
}

// at is the value of an optional money column; null when no source has it.
func at(column []datasets.Money, i int32) datasets.Money {
	if column == nil {
		return datasets.NullMoney
	}
	return column[i]
}

// code is the value of an optional dictionary column; 0 is null.
func code(column []uint32, i int32) uint32 {
	if column == nil {
		return 0
	}
	return column[i]
}
