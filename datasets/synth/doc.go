// Package synth makes synthetic event history with a known truth: customers of
// seven behavioural segments visit, buy, return, answer messages and churn at
// rates that are written down beside the events, so that whatever a job learns
// can be compared with what was planted.
//
// # The model
//
// Time is counted in whole UTC days. A customer of segment g is acquired on
// some day a and is alive on the days [a, c). On each day alive
//
//   - the number of orders is Poisson(λ·s_g(day)) and
//   - the number of visits without an order is Poisson(β·v_g(day)),
//
// and the customer survives the midnight that ends the day with probability
// e^−μ, so that the lifetime is exponential, counted in days. λ, β and μ are
// the customer's own: the segment's mean times a gamma variate of mean one. The
// seasons s_g and v_g (month × weekday, see Season) have mean one over a year
// and over a week. This is the Pareto/NBD process of Schmittlein, Morrison and
// Colombo (1987, Management Science 33:1–24) with a known season and known
// individual parameters, so the probability that a customer buys nothing in a
// horizon is a finite sum: see ChurnProbability.
//
// Messages are sent at the segment's rate from acquisition to the end of the
// history, to churned customers too; only the living open them, on the day they
// are sent. Returns, reviews and tickets follow an order by some days and may
// arrive after the customer has churned. A subscription renews every thirty
// days and is cancelled on the first renewal date after churn.
//
// # The files
//
// Generate writes <dir>/events/ds=YYYY-MM-DD/part-0.parquet, one file a day, and
// <dir>/truth/truth.parquet. Every column of the events is nullable:
//
//	customer_id  string, or int64 with Params.IntegerIDs; null on anonymous visits
//	event_time   timestamp, µs, UTC
//	event_type   string, see EventTypes
//	amount       double with two decimals, or decimal(18,4) with Params.DecimalAmounts;
//	             an order line's price × quantity less discount, a return's negative
//	             refund, a subscription's fee
//	currency     string, ISO 4217, wherever amount is set
//	quantity     int32, order and return lines
//	product_id   string, fixes the category
//	category     string
//	channel      string: web, app, store; of messages email, push, sms, mail, ad, social
//	campaign_id  string: messages and their answers, coupons
//	session_id   string: one visit; an order's returns and reviews carry its session
//	event_id     string, unique but for duplicates
//	rating       int32, 1 to 5, reviews
//
// An order of n lines is n order_completed rows of one event_time and session_id.
// Row groups hold at most 65,536 rows, each ordered by event_time; pages carry
// checksums.
//
// # Randomness
//
// Each (customer, 28-day window) has its own random stream, keyed by the seed.
// The same Params therefore give the same bytes for any number of workers, more
// Customers leave the histories of the earlier ones as they were, and memory does
// not grow with their number.
package synth
