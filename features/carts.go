package features

import (
	"fmt"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
)

// carts: what the customer put aside, and whether it was bought.
//
// A cart is the cart_add events of one session or, for those without a session
// id, a run of them without a gap longer than Params.SessionGap. It is bought
// by a purchase at or after its first addition and at most Params.CartHours
// after its last; it is abandoned when that time has passed without one. Until
// then it is open, and counts as neither. A checkout is judged alike.
func carts(p Params) Family {
	gap, patience := p.SessionGap.Microseconds(), int64(p.CartHours)*3_600_000_000
	const cart, order = "role = 'cart_add' AND nth = 1", "role = 'purchase' AND nth_of_order = 1"
	f := Family{
		Name: "carts", Meaning: "What the customer put into carts and whether it was bought, how fast, and what was looked at in vain.",
		Reads: []datasets.Field{datasets.Amount, datasets.ProductID, datasets.SessionID},
		From: fmt.Sprintf(`(SELECT *,
  CASE WHEN next_purchase <= cart_end + %[2]d THEN 'bought' WHEN cart_end + %[2]d < $instant THEN 'abandoned' ELSE 'open' END AS fate
 FROM (SELECT * EXCLUDE (next_purchase),
   row_number() OVER (PARTITION BY customer_id, role, session_id, run) AS nth,
   row_number() OVER (PARTITION BY customer_id, role, event_time) AS nth_of_order,
   CASE WHEN role = 'cart_add' THEN min(next_purchase) OVER (PARTITION BY customer_id, role, session_id, run) ELSE next_purchase END AS next_purchase,
   min(epoch_us(event_time)) OVER (PARTITION BY customer_id, role, session_id, run) AS cart_begin,
   CASE WHEN role = 'cart_add' THEN max(epoch_us(event_time)) OVER (PARTITION BY customer_id, role, session_id, run) ELSE epoch_us(event_time) END AS cart_end,
   max(day) OVER (PARTITION BY customer_id, role, session_id, run) AS cart_day,
   sum(amount) OVER (PARTITION BY customer_id, role, session_id, run) AS cart_amount,
   min(coalesce(last_view, -4000000000000000000)) OVER (PARTITION BY customer_id, role, session_id, run) AS view_before
  FROM (SELECT *, sum(opens) OVER (PARTITION BY customer_id, role, session_id ORDER BY event_time, opens DESC ROWS UNBOUNDED PRECEDING) AS run
   FROM (SELECT *, epoch_us(event_time) AS us,
     CASE WHEN session_id IS NULL AND coalesce(epoch_us(event_time) - epoch_us(lag(event_time) OVER (PARTITION BY customer_id, role, session_id ORDER BY event_time)) > %[1]d, true) THEN 1 ELSE 0 END AS opens,
     min(epoch_us(event_time)) FILTER (WHERE role = 'purchase') OVER (PARTITION BY customer_id ORDER BY event_time RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS next_purchase,
     max(epoch_us(event_time)) FILTER (WHERE role = 'view') OVER (PARTITION BY customer_id ORDER BY event_time RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS last_view,
     bool_or(role = 'cart_add') OVER (PARTITION BY customer_id, product_id) AS carted,
     bool_or(role = 'purchase') OVER (PARTITION BY customer_id, product_id) AS bought
    FROM history))))`, gap, patience),
		Columns: []Column{
			{"carts_90d", "carts", "[0, ∞)", "never", "Carts whose last addition was in the last 90 days.", "count(*) FILTER (WHERE " + cart + " AND cart_day > $today - 90)"},
			{"carts_lifetime", "carts", "[0, ∞)", "never", "Carts ever: additions of one session, or without a long gap.", "count(*) FILTER (WHERE " + cart + ")"},
			{"cart_value_90d", "currency", "(-∞, ∞)", "never", "Sum of the amounts of the carts of the last 90 days.", "coalesce(sum(cart_amount) FILTER (WHERE " + cart + " AND cart_day > $today - 90), 0)::DOUBLE"},
			{"cart_value_mean", "currency", "(-∞, ∞)", "no cart", "Mean value of a cart.", "coalesce(sum(cart_amount) FILTER (WHERE " + cart + "), 0)::DOUBLE / nullif(count(*) FILTER (WHERE " + cart + "), 0)"},
			{"cart_additions_mean", "events", "[1, ∞)", "no cart", "Mean number of additions to a cart.", "count(*) FILTER (WHERE role = 'cart_add') / nullif(count(*) FILTER (WHERE " + cart + "), 0)"},
			{"carts_abandoned_90d", "carts", "[0, ∞)", "never", "Carts of the last 90 days that were abandoned.", "count(*) FILTER (WHERE " + cart + " AND fate = 'abandoned' AND cart_day > $today - 90)"},
			{"carts_abandoned_lifetime", "carts", "[0, ∞)", "never", "Carts abandoned ever.", "count(*) FILTER (WHERE " + cart + " AND fate = 'abandoned')"},
			{"cart_abandoned_value_90d", "currency", "(-∞, ∞)", "never", "Value of the abandoned carts of the last 90 days.", "coalesce(sum(cart_amount) FILTER (WHERE " + cart + " AND fate = 'abandoned' AND cart_day > $today - 90), 0)::DOUBLE"},
			{"cart_abandoned_value_lifetime", "currency", "(-∞, ∞)", "never", "Value of the carts abandoned ever.", "coalesce(sum(cart_amount) FILTER (WHERE " + cart + " AND fate = 'abandoned'), 0)::DOUBLE"},
			{"cart_abandonment_share", "share", "[0, 1]", "no cart bought or abandoned", "Abandoned carts divided by bought and abandoned ones.", "count(*) FILTER (WHERE " + cart + " AND fate = 'abandoned') / nullif(count(*) FILTER (WHERE " + cart + " AND fate <> 'open'), 0)"},
			{"checkout_abandonment_share", "share", "[0, 1]", "no checkout bought or abandoned", "Checkouts without a purchase in time, divided by all that are decided.", "count(*) FILTER (WHERE role = 'checkout' AND fate = 'abandoned') / nullif(count(*) FILTER (WHERE role = 'checkout' AND fate <> 'open'), 0)"},
			{"cart_to_purchase_minutes_mean", "minutes", "[0, ∞)", "no cart bought", "Mean time from a bought cart's first addition to the first purchase after it.", "avg(next_purchase - cart_begin) FILTER (WHERE " + cart + " AND fate = 'bought') / 6e7"},
			{"view_to_purchase_minutes_mean", "minutes", "[0, ∞)", "no purchase soon after a view", fmt.Sprintf("Mean time from the last view to the order, over orders with a view in the %d hours before.", p.CartHours),
				fmt.Sprintf("avg(us - last_view) FILTER (WHERE %s AND us - last_view <= %d) / 6e7", order, patience)},
			{"products_viewed_not_bought", "products", "[0, ∞)", "never", "Distinct products viewed and never bought.", "count(DISTINCT product_id) FILTER (WHERE role = 'view' AND NOT bought)"},
			{"products_carted_not_bought", "products", "[0, ∞)", "never", "Distinct products put into a cart and never bought.", "count(DISTINCT product_id) FILTER (WHERE role = 'cart_add' AND NOT bought)"},
			{"view_to_cart_share", "share", "[0, 1]", "no product viewed", "Share of the viewed products that were ever put into a cart.", "count(DISTINCT product_id) FILTER (WHERE role = 'view' AND carted) / nullif(count(DISTINCT product_id) FILTER (WHERE role = 'view'), 0)"},
			{"cart_to_purchase_share", "share", "[0, 1]", "no product put into a cart", "Share of the products put into a cart that were ever bought.", "count(DISTINCT product_id) FILTER (WHERE role = 'cart_add' AND bought) / nullif(count(DISTINCT product_id) FILTER (WHERE role = 'cart_add'), 0)"},
			{"view_to_purchase_share", "share", "[0, 1]", "no product viewed", "Share of the viewed products that were ever bought.", "count(DISTINCT product_id) FILTER (WHERE role = 'view' AND bought) / nullif(count(DISTINCT product_id) FILTER (WHERE role = 'view'), 0)"},
			{"cart_abandoned_value_share", "share", "(-∞, ∞)", "the carts bought or abandoned have no positive value", "Value of the abandoned carts divided by that of the bought and abandoned ones.",
				"CASE WHEN sum(cart_amount) FILTER (WHERE " + cart + " AND fate <> 'open') > 0 THEN coalesce(sum(cart_amount) FILTER (WHERE " + cart + " AND fate = 'abandoned'), 0)::DOUBLE / (sum(cart_amount) FILTER (WHERE " + cart + " AND fate <> 'open'))::DOUBLE END"},
			{"view_to_cart_minutes_mean", "minutes", "[0, ∞)", "no cart soon after a view", fmt.Sprintf("Mean time from the last view to the cart's first addition, over carts with a view in the %d hours before.", p.CartHours),
				fmt.Sprintf("avg(cart_begin - view_before) FILTER (WHERE %s AND cart_begin - view_before <= %d) / 6e7", cart, patience)},
		},
	}
	type basket struct {
		first, last int64
		day         int32
		value       datasets.Money
	}
	f.New = func(Values) Fill {
		var baskets []basket
		var products marks
		var given placesOf // baskets, by session
		return func(h *timeline.History, out []float64) {
			nulls(out)
			adds, purchases := h.Positions(datasets.CartAdd), h.Positions(datasets.Purchase)
			baskets = baskets[:0]
			given.reset()
			open, openCode := -1, uint32(0)
			var current int // the latest cart by session, that of openCode; open is the one by gap
			for _, i := range adds {
				t := h.Time[i]
				var b int
				if c := code(h.Session, i); c == 0 {
					if open < 0 || t-baskets[open].last > gap {
						open = len(baskets)
						baskets = append(baskets, basket{first: t})
					}
					b = open
				} else {
					if c != openCode {
						at := given.of(c, len(baskets))
						if at == len(baskets) {
							baskets = append(baskets, basket{first: t})
						}
						current, openCode = at, c
					}
					b = current
				}
				baskets[b].last = t
				baskets[b].day = h.Day[i]
				if amount := at(h.Amount, i); amount != datasets.NullMoney {
					baskets[b].value += amount
				}
			}
			// Baskets are in the order of their first additions, so the first
			// purchase at or after one only moves forward.
			var recent, abandoned, abandonedRecent, bought int
			var value, valueRecent, kept, lost, lostRecent datasets.Money
			var wait float64 // µs: int64 overflows after 36 waits of 8,000 years
			next := 0
			for _, b := range baskets {
				isRecent := h.AsOf.Today-b.day < recentDays
				value += b.value
				if isRecent {
					recent++
					valueRecent += b.value
				}
				for next < len(purchases) && h.Time[purchases[next]] < b.first {
					next++
				}
				switch {
				case next < len(purchases) && h.Time[purchases[next]] <= b.last+patience:
					bought++
					kept += b.value
					wait += float64(h.Time[purchases[next]] - b.first)
				case b.last+patience < h.AsOf.Instant:
					abandoned++
					lost += b.value
					if isRecent {
						abandonedRecent++
						lostRecent += b.value
					}
				}
			}
			n := len(baskets)
			out[0], out[1] = float64(recent), float64(n)
			out[2], out[3] = valueRecent.Float(), share(value.Float(), float64(n))
			out[4] = share(len(adds), n)
			out[5], out[6] = float64(abandonedRecent), float64(abandoned)
			out[7], out[8] = lostRecent.Float(), lost.Float()
			out[9] = share(abandoned, abandoned+bought)

			var checkedOut, gaveUp int
			next = 0
			for _, i := range h.Positions(datasets.Checkout) {
				t := h.Time[i]
				for next < len(purchases) && h.Time[purchases[next]] < t {
					next++
				}
				switch {
				case next < len(purchases) && h.Time[purchases[next]] <= t+patience:
					checkedOut++
				case t+patience < h.AsOf.Instant:
					gaveUp++
				}
			}
			out[10] = share(gaveUp, gaveUp+checkedOut)
			out[11] = share(wait/6e7, float64(bought))

			out[18] = share(lost.Float(), (lost + kept).Float())

			views := h.Positions(datasets.View)
			var soon int
			wait, next = 0, 0
			for _, b := range baskets {
				for next < len(views) && h.Time[views[next]] <= b.first {
					next++
				}
				if next > 0 && b.first-h.Time[views[next-1]] <= patience {
					soon++
					wait += float64(b.first - h.Time[views[next-1]])
				}
			}
			out[19] = share(wait/6e7, float64(soon))

			var orders int
			wait, next = 0, 0
			for j, i := range purchases {
				t := h.Time[i]
				if j > 0 && t == h.Time[purchases[j-1]] {
					continue // another line of the same order
				}
				for next < len(views) && h.Time[views[next]] <= t {
					next++
				}
				if next > 0 && t-h.Time[views[next-1]] <= patience {
					orders++
					wait += float64(t - h.Time[views[next-1]])
				}
			}
			out[12] = share(wait/6e7, float64(orders))

			const viewed, carted, paid = 1, 2, 4
			products.reset()
			for _, pass := range [...]struct {
				at   []int32
				mark uint8
			}{{views, viewed}, {adds, carted}, {purchases, paid}} {
				for _, i := range pass.at {
					if c := code(h.Product, i); c != 0 {
						products.set(c, pass.mark)
					}
				}
			}
			viewedOnes, cartedOnes := products.count(viewed), products.count(carted)
			out[13] = float64(viewedOnes - products.count(viewed|paid))
			out[14] = float64(cartedOnes - products.count(carted|paid))
			out[15] = share(products.count(viewed|carted), viewedOnes)
			out[16] = share(products.count(carted|paid), cartedOnes)
			out[17] = share(products.count(viewed|paid), viewedOnes)
		}
	}
	return f
}

// marks are bits set on dictionary codes. They are reset in time proportional
// to what was marked, however large the dictionary.
type marks struct {
	bits  []uint8  // by code
	codes []uint32 // with a bit set
}

func (m *marks) reset() {
	for _, c := range m.codes {
		m.bits[c] = 0
	}
	m.codes = m.codes[:0]
}

func (m *marks) set(code uint32, bit uint8) {
	for int(code) >= len(m.bits) {
		m.bits = append(m.bits, 0)
	}
	if m.bits[code] == 0 {
		m.codes = append(m.codes, code)
	}
	m.bits[code] |= bit
}

// has reports whether a code has a bit.
func (m *marks) has(code uint32) bool { return int(code) < len(m.bits) && m.bits[code] != 0 }

// count is the number of codes with all of the bits.
func (m *marks) count(bits uint8) int {
	n := 0
	for _, c := range m.codes {
		if m.bits[c]&bits == bits {
			n++
		}
	}
	return n
}
