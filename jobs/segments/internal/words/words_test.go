package words

import (
	"math"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/models/surrogate"
)

func TestNames(t *testing.T) {
	columns := []string{"purchase_days_per_30d", "spend_365d", "days_since_last_event", "refund_lifetime", "days_since_last_ticket"}
	segments := []Subject{
		{ID: 1, Centre: []float64{2, 1, -1, 0, 0}, Typical: []float64{4, 812.5, 3, 0, 1}},
		{ID: 2, Centre: []float64{2, 1, 0.5, 0, 0}, Typical: []float64{4, 12.25, 3, 0, 1}},
		{ID: 3, Centre: []float64{0, 0.1, 0, 0, 0}, Typical: []float64{1, 1, math.NaN(), 0, 1}},
		{ID: 4, Centre: []float64{0, 0.1, 0, 0, 0}, Typical: []float64{1, 1, 1, 0, 1}},
		{ID: 5, Centre: []float64{-1, 0, 0, 3, 2}, Typical: []float64{1, 1, 1, 50, 1}},
	}
	got := Name(segments, columns, nil)
	for i, want := range []string{"buy often, high spend", "buy often, high spend, not seen lately", "average customers", "average customers (4)", "return much, long since the last support ticket"} {
		if got[i].Name != want {
			t.Errorf("segment %d is named %q, want %q", i+1, got[i].Name, want)
		}
	}
	for i, want := range map[int]string{0: "buys every 8 days, spend in the last 365 days: 812, last seen 3 days ago", 4: "refunds: 50, days since the last support ticket: 1 day, buys every 30 days"} {
		if got[i].Description != want {
			t.Errorf("segment %d: description %q, want %q", i+1, got[i].Description, want)
		}
	}
	// Names that were given are not given again, and stay with who has them.
	segments[0].Skip = true
	got = Name(segments, columns, map[string]bool{"first come": true, "average customers": true})
	if got[0].Name != "" || got[2].Name != "average customers (3)" {
		t.Errorf("%+v", got)
	}
}

// Names that say the same in another order are the same name.
func TestNamesInAnotherOrder(t *testing.T) {
	columns := []string{"purchase_days_per_30d", "spend_365d", "days_since_last_event"}
	segments := []Subject{
		{ID: 1, Centre: []float64{2, 1.5, -1}, Typical: []float64{4, 812.5, 3}},
		{ID: 2, Centre: []float64{1.5, 2, 1}, Typical: []float64{3, 912.5, 30}},
	}
	for _, c := range []struct {
		taken map[string]bool
		want  [2]string
	}{
		{nil, [2]string{"buy often, high spend", "high spend, buy often, not seen lately"}},
		{map[string]bool{"high spend, buy often": true}, [2]string{"buy often, high spend, active now", "high spend, buy often, not seen lately"}},
	} {
		for i, got := range Name(segments, columns, c.taken) {
			if got.Name != c.want[i] {
				t.Errorf("with %v taken, segment %d is named %q, want %q", c.taken, i+1, got.Name, c.want[i])
			}
		}
	}
}

func TestSayings(t *testing.T) {
	for _, c := range []struct {
		feature string
		value   float64
		want    string
	}{
		{"purchase_days_per_30d", 2.5, "buys every 12 days"},
		{"purchase_days_per_30d", 0, "never buys"},
		{"purchase_days_per_30d", 0.01, "buys less than every second year"},
		{"sessions_per_30d", 29, "visits almost daily"},
		{"sessions_per_30d", 19.9, "visits every 2 days"},
		{"days_since_last_event", 1.2, "last seen 1 day ago"},
		{"message_open_rate", .4512, "opens 45% of messages"},
		{"message_click_rate", .004, "clicks less than 1% of messages"},
		{"average_order_value", 480.4, "spends 480 an order"},
		{"average_order_value", 5.3, "spends 5.30 an order"},
		{"average_order_value", 99.999, "spends 100 an order"},
		{"unit_price_mean", 12, "pays 12 a product"},
		{"largest_order", 2.5, "largest order: 2.50"},
		{"items_per_order", 1, "1 item an order"},
		{"coupons_per_order", .25, "a coupon in 25% of orders"},
		{"coupons_per_order", 0, "no coupons"},
		{"shoe_spend_30d", 12.34, "shoe spend in the last 30 days: 12.3"},
		{"days_since_christmas_purchase", 90, "days since the last purchase for Christmas: 90 days"},
		{"purchase_quarter_4_share", .4, "share of purchases from October to December: 40%"},
		{"cart_to_purchase_minutes_mean", 180, "minutes from cart to order: 3 hours"},
	} {
		if got := say(c.feature, c.value); got != c.want {
			t.Errorf("%s %v: %q, want %q", c.feature, c.value, got, c.want)
		}
	}
}

// Every column of the catalogue has words of its own, whole ones, and high is not
// low: no segment is named by a column's name.
func TestEveryColumnHasWords(t *testing.T) {
	stems := map[string]bool{}
	for _, f := range features.All(features.DefaultParams()) {
		for _, c := range f.Columns {
			p, known := phraseOf(c.Name)
			if !known {
				t.Errorf("%s (%s) has no words", c.Name, c.Meaning)
			}
			for _, text := range []string{p.topic, p.high, p.low, p.noun, say(c.Name, 1.5)} {
				if text == "" || strings.ContainsAny(text, "$_{}") || strings.TrimSpace(text) != text {
					t.Errorf("%s: %q", c.Name, text)
				}
			}
			if p.high == p.low {
				t.Errorf("%s: both high and low are %q", c.Name, p.high)
			}
			if shares := c.Unit == "share"; shares != (p.kind == share) && c.Unit != "flag" && !strings.Contains(c.Name, "click_rate") {
				t.Errorf("%s is a %s and said as %s", c.Name, c.Unit, say(c.Name, .5))
			}
			if (c.Unit == "currency") != (p.kind == money) {
				t.Errorf("%s is in %s and said as %s", c.Name, c.Unit, say(c.Name, .5))
			}
			stems[window.ReplaceAllString(c.Name, "")] = true
		}
	}
	// Nor are there words that nothing has.
	for stem := range exact {
		if !stems[stem] {
			t.Errorf("words for %s, which no column is", stem)
		}
	}
}

func TestRules(t *testing.T) {
	type condition = surrogate.Condition
	r := surrogate.Rule{
		{{Column: "purchase_days_per_30d", Above: true, At: .5}, {Column: "return_share", At: .125, Missing: true}, {Column: "purchase_days_per_30d", At: 2}},
		{{Column: "spend_90d", Above: true, At: 1200}},
	}
	missing := func(c string) bool { return c == "return_share" }
	if got, want := Rule(r, missing), "days with a purchase in 30 days over 0.5 and up to 2, share of spend returned up to 12.5% or unknown; or spend in the last 90 days over 1200"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := SQL(r), "(purchase_days_per_30d > 0.5 AND (return_share <= 0.125 OR return_share IS NULL) AND purchase_days_per_30d <= 2) OR (spend_90d > 1200)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for _, c := range []struct {
		rule        surrogate.Rule
		words, text string
	}{
		{surrogate.Rule{{}}, "everybody", "true"},
		{surrogate.Rule{{condition{Column: "items_per_order", At: 1e-7}}}, "items an order up to 1e-07", "items_per_order <= 0.0000001"},
	} {
		if Rule(c.rule, missing) != c.words || SQL(c.rule) != c.text {
			t.Errorf("%q, %q", Rule(c.rule, missing), SQL(c.rule))
		}
	}
}
