package features

import (
	"math"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
)

// price: what the customer pays a piece, with what help from coupons, and
// whether they try what is new to them. A unit price is the amount of a
// purchase line divided by its quantity, where both are known and the quantity
// is positive.
func price(Params) Family {
	const bought, priced = "role = 'purchase'", "unit_price IS NOT NULL"
	const couponDays = "count(DISTINCT day) FILTER (WHERE role = 'purchase' AND coupon_day)"
	const days = "nullif(count(DISTINCT day) FILTER (WHERE role = 'purchase'), 0)"
	f := Family{
		Name: "price", Meaning: "What the customer pays a piece and a line, coupons, and the taste for products new to them.",
		Reads: []datasets.Field{datasets.Amount, datasets.Quantity, datasets.ProductID},
		From: `(SELECT *,
  CASE WHEN product_id IS NOT NULL AND unit_price IS NOT NULL
   THEN max(unit_price) OVER (PARTITION BY customer_id, product_id ORDER BY event_time RANGE BETWEEN UNBOUNDED PRECEDING AND INTERVAL 1 MICROSECOND PRECEDING) END AS paid_before
 FROM (SELECT *,
  CASE WHEN role = 'purchase' AND quantity > 0 THEN amount::DOUBLE / quantity::DOUBLE END AS unit_price,
  bool_or(role = 'coupon') OVER (PARTITION BY customer_id, day) AS coupon_day,
  min(event_time) FILTER (WHERE role = 'purchase') OVER (PARTITION BY customer_id, product_id) AS first_bought
 FROM history))`,
		Columns: []Column{
			{"unit_price_mean", "currency", "(-∞, ∞)", "no unit price", "Mean unit price of purchase lines.", "avg(unit_price)"},
			{"unit_price_sd", "currency", "[0, ∞)", "fewer than two unit prices", "Sample standard deviation of the unit prices.", "stddev_samp(unit_price)"},
			{"unit_price_max", "currency", "(-∞, ∞)", "no unit price", "Highest unit price.", "max(unit_price)"},
			{"unit_price_mean_90d", "currency", "(-∞, ∞)", "no unit price in the last 90 days", "Mean unit price of the purchase lines of the last 90 days.", "avg(unit_price) FILTER (WHERE day > $today - 90)"},
			{"line_amount_mean", "currency", "(-∞, ∞)", "no purchase with an amount", "Mean amount of a purchase line: the customer's price tier where quantities are not known.", "sum(amount) FILTER (WHERE " + bought + ")::DOUBLE / nullif(count(amount) FILTER (WHERE " + bought + "), 0)"},
			{"line_amount_max", "currency", "(-∞, ∞)", "no purchase with an amount", "Highest amount of a purchase line.", "(max(amount) FILTER (WHERE " + bought + "))::DOUBLE"},
			{"coupons_per_purchase_day", "coupons", "[0, ∞)", "no purchase", "Coupons redeemed per purchase day.", "count(*) FILTER (WHERE role = 'coupon') / " + days},
			{"coupon_day_share", "share", "[0, 1]", "no purchase", "Share of purchase days with a coupon on the same day.", couponDays + " / " + days},
			{"novelty_share_90d", "share", "[0, 1]", "no purchase with a product in the last 90 days", "Share of the purchase lines of the last 90 days whose product was never bought before that order.",
				"count(product_id) FILTER (WHERE role = 'purchase' AND day > $today - 90 AND event_time = first_bought) / nullif(count(product_id) FILTER (WHERE role = 'purchase' AND day > $today - 90), 0)"},
			{"coupon_day_spend_share", "share", "(-∞, ∞)", "spend is not positive", "Share of lifetime spend on days with a coupon, the rest being at full price; outside 0 to 1 only where amounts are negative.",
				"CASE WHEN sum(amount) FILTER (WHERE " + bought + ") > 0 THEN coalesce(sum(amount) FILTER (WHERE " + bought + " AND coupon_day), 0)::DOUBLE / (sum(amount) FILTER (WHERE " + bought + "))::DOUBLE END"},
			{"discount_share", "share", "[0, ∞)", "no purchase with a positive amount", "Purchase lines of a negative amount, which is how discounts are written, divided by those of a positive one.",
				"coalesce(-sum(amount) FILTER (WHERE " + bought + " AND amount < 0), 0)::DOUBLE / (sum(amount) FILTER (WHERE " + bought + " AND amount > 0))::DOUBLE"},
			{"below_own_price_share", "share", "[0, 1]", "no product bought again that once had a price", "Of the purchase lines of a product bought before at a price above 0, the share at a unit price more than 1 % below the highest that the customer paid for it: buying at a discount, where sources do not say.",
				"count(*) FILTER (WHERE paid_before > 0 AND unit_price < 0.99e0 * paid_before) / nullif(count(*) FILTER (WHERE paid_before > 0), 0)"},
		},
	}
	f.New = func(Values) Fill {
		var known firsts
		var priced marks        // products with a unit price
		var dearestOf []float64 // by product, where priced
		return func(h *timeline.History, out []float64) {
			nulls(out)
			purchases := h.Positions(datasets.Purchase)
			if len(purchases) == 0 {
				return
			}
			var units, recentUnits welford
			dearest, highest := math.Inf(-1), datasets.NullMoney
			var sum datasets.Money
			lines, days, withCoupon, recentLines, novel := 0, 0, 0, 0, 0
			coupons := h.Positions(datasets.Coupon)
			next := 0
			known.reset()
			priced.reset()
			var onCoupon, off, full datasets.Money
			repeats, cheaper, learnt := 0, 0, 0 // learnt: purchases whose prices are in dearestOf
			couponDay := false
			for j, i := range purchases {
				day := h.Day[i]
				for h.Time[purchases[learnt]] < h.Time[i] {
					if c, unit := code(h.Product, purchases[learnt]), unitPrice(h, purchases[learnt]); c != 0 && !math.IsNaN(unit) {
						for int(c) >= len(dearestOf) {
							dearestOf = append(dearestOf, unit)
						}
						if !priced.has(c) {
							dearestOf[c] = unit
						}
						dearestOf[c] = max(dearestOf[c], unit)
						priced.set(c, 1)
					}
					learnt++
				}
				if c, unit := code(h.Product, i), unitPrice(h, i); c != 0 && !math.IsNaN(unit) && priced.has(c) && dearestOf[c] > 0 {
					repeats++
					if unit < 0.99*dearestOf[c] {
						cheaper++
					}
				}
				recent := h.AsOf.Today-day < recentDays
				if j == 0 || day != h.Day[purchases[j-1]] {
					days++
					for next < len(coupons) && h.Day[coupons[next]] < day {
						next++
					}
					couponDay = next < len(coupons) && h.Day[coupons[next]] == day
					if couponDay {
						withCoupon++
					}
				}
				if amount, quantity := at(h.Amount, i), at(h.Quantity, i); amount != datasets.NullMoney {
					lines++
					sum += amount
					if couponDay {
						onCoupon += amount
					}
					off -= min(amount, 0)
					full += max(amount, 0)
					highest = max(highest, amount)
					if quantity > 0 { // null is negative
						unit := amount.Float() / quantity.Float()
						units.add(unit)
						dearest = max(dearest, unit)
						if recent {
							recentUnits.add(unit)
						}
					}
				}
				if c := code(h.Product, i); c != 0 {
					first := known.first(c, h.Time[i])
					if recent {
						recentLines++
						if first == h.Time[i] {
							novel++
						}
					}
				}
			}
			out[0], out[1] = units.mean(), units.sd()
			if units.n > 0 {
				out[2] = dearest
			}
			out[3] = recentUnits.mean()
			out[4], out[5] = share(sum.Float(), float64(lines)), highest.Float()
			out[6] = share(len(coupons), days)
			out[7] = share(withCoupon, days)
			out[8] = share(novel, recentLines)
			out[9] = share(onCoupon.Float(), sum.Float())
			out[10] = share(off.Float(), full.Float())
			out[11] = share(cheaper, repeats)
		}
	}
	return f
}

// unitPrice is the amount of a purchase line divided by its quantity; null
// unless both are known and the quantity is positive.
func unitPrice(h *timeline.History, i int32) float64 {
	amount, quantity := at(h.Amount, i), at(h.Quantity, i)
	if amount == datasets.NullMoney || quantity <= 0 { // null is negative
		return math.NaN()
	}
	return amount.Float() / quantity.Float()
}

// welford accumulates mean and variance without cancellation (Welford, Note on
// a method for calculating corrected sums of squares and products,
// Technometrics 4 (1962) 419).
type welford struct {
	n       int
	m, sqrs float64
}

func (w *welford) add(v float64) {
	w.n++
	d := v - w.m
	w.m += d / float64(w.n)
	w.sqrs += d * (v - w.m)
}

// mean is null for no value.
func (w *welford) mean() float64 {
	if w.n == 0 {
		return math.NaN()
	}
	return w.m
}

// sd is the sample standard deviation; null for fewer than two values.
func (w *welford) sd() float64 {
	if w.n < 2 {
		return math.NaN()
	}
	return math.Sqrt(w.sqrs / float64(w.n-1))
}

// firsts remember the first instant of each dictionary code. They are reset in
// time proportional to what they held.
type firsts struct {
	time  []int64 // by code; holds where known
	known marks
}

func (f *firsts) reset() { f.known.reset() }

// first is when the code was first asked for; instants ascend.
func (f *firsts) first(code uint32, now int64) int64 {
	seen := len(f.known.codes)
	f.known.set(code, 1)
	for int(code) >= len(f.time) {
		f.time = append(f.time, now)
	}
	if len(f.known.codes) > seen {
		f.time[code] = now
	}
	return f.time[code]
}
