// Package words names and describes segments the way an analyst would: by what
// sets them apart, in plain words.
package words

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// A trait is one way in which a segment differs from the average customer.
type trait struct {
	phrase
	z       float64
	feature int
}

// said is the trait in a name.
func (t trait) said() string {
	if t.z < 0 {
		return t.low
	}
	return t.high
}

// traits lists what sets a centre apart, the strongest difference first.
func traits(centre []float64, features []string) []trait {
	var ts []trait
	for j, f := range features {
		p, _ := phraseOf(f)
		ts = append(ts, trait{p, centre[j], j})
	}
	slices.SortStableFunc(ts, func(a, b trait) int {
		switch d := math.Abs(b.z) - math.Abs(a.z); {
		case d > 0:
			return 1
		case d < 0:
			return -1
		}
		return a.feature - b.feature
	})
	return ts
}

// notable is the least difference, in standard deviations, worth a word.
const notable = 0.25

// mostSaid is the number of traits that a description tells.
const mostSaid = 5

// A Subject is a segment to be named.
type Subject struct {
	ID      int
	Skip    bool      // it has a name already
	Centre  []float64 // in standard deviations, by feature
	Typical []float64 // what a typical customer of it has, in original units
}

// A Naming is what a segment would be called.
type Naming struct{ Name, Description string }

// Name gives every segment that is not to be skipped a name of two or more traits, unlike
// the others' and those used already whatever the order of traits, and a description in original units.
func Name(segments []Subject, features []string, taken map[string]bool) []Naming {
	used := map[string]bool{}
	for n := range taken {
		used[key(n)] = true
	}
	out := make([]Naming, len(segments))
	for i, s := range segments {
		if s.Skip {
			continue
		}
		all := traits(s.Centre, features)
		var topics []trait // the strongest of each
		for _, t := range all {
			if !slices.ContainsFunc(topics, func(o trait) bool { return o.topic == t.topic || o.said() == t.said() }) {
				topics = append(topics, t)
			}
		}
		g := &out[i]
		for n := 2; ; n++ {
			g.Name = label(topics, n)
			if !used[key(g.Name)] {
				break
			}
			if n >= len(topics) {
				g.Name = fmt.Sprintf("%s (%d)", g.Name, s.ID)
				break
			}
		}
		used[key(g.Name)] = true
		var parts []string
		for _, t := range all {
			if len(parts) < mostSaid && (math.Abs(t.z) >= notable || len(parts) < 2) && t.kind != coded && !math.IsNaN(s.Typical[t.feature]) {
				parts = append(parts, say(features[t.feature], s.Typical[t.feature]))
			}
		}
		g.Description = strings.Join(parts, ", ")
	}
	return out
}

const between = ", " // two traits of a name

// key is the same for names that say the same in another order: nobody could tell the
// segments apart.
func key(name string) string {
	parts := strings.Split(name, between)
	slices.Sort(parts)
	return strings.Join(parts, between)
}

// label joins the first n traits that are worth a word.
func label(ts []trait, n int) string {
	var parts []string
	for _, t := range ts[:min(n, len(ts))] {
		if math.Abs(t.z) >= notable {
			parts = append(parts, t.said())
		}
	}
	if len(parts) == 0 {
		return "average customers"
	}
	return strings.Join(parts, between)
}

// sayings put a value into a sentence about a typical customer of the segment;
// other features are said by what is measured.
var sayings = map[string]func(v float64) string{
	"days_since_last_event":     func(v float64) string { return "last seen " + count(v, "day") + " ago" },
	"days_since_last_purchase":  func(v float64) string { return "last bought " + count(v, "day") + " ago" },
	"days_since_first_event":    func(v float64) string { return "first seen " + count(v, "day") + " ago" },
	"days_since_first_purchase": func(v float64) string { return "first bought " + count(v, "day") + " ago" },
	"purchase_days_per_30d":     func(v float64) string { return every("buys", v) },
	"purchase_gap_mean":         func(v float64) string { return "buys every " + count(v, "day") },
	"sessions_per_30d":          func(v float64) string { return every("visits", v) },
	"average_order_value":       func(v float64) string { return "spends " + price(v) + " an order" },
	"items_per_order":           func(v float64) string { return counted(v, "item") + " an order" },
	"favourite_category_share":  func(v float64) string { return percent(v) + " of purchases in one category" },
	"favourite_product_share":   func(v float64) string { return percent(v) + " of purchases in one product" },
	"return_share":              returns,
	"unit_price_mean":           func(v float64) string { return "pays " + price(v) + " a product" },
	"cart_abandonment_share":    func(v float64) string { return "abandons " + percent(v) + " of carts" },
	"tickets_per_order":         func(v float64) string { return "a support ticket in " + percent(v) + " of orders" },
	"coupons_per_order":         coupons,
	"session_events_mean":       func(v float64) string { return counted(v, "event") + " a visit" },
	"session_minutes_mean":      func(v float64) string { return minutes.value(v) + " a visit" },
	"session_conversion_share":  func(v float64) string { return percent(v) + " of visits end in an order" },
	"message_open_rate":         func(v float64) string { return "opens " + percent(v) + " of messages" },
	"message_click_rate":        func(v float64) string { return "clicks " + percent(v) + " of messages" },
	"activity_evening_share":    func(v float64) string { return percent(v) + " of activity in the evening" },
	"activity_weekend_share":    func(v float64) string { return percent(v) + " of activity at weekends" },
	"spend_lifetime":            func(v float64) string { return "has spent " + price(v) },
	"net_spend_lifetime":        func(v float64) string { return "has spent " + price(v) + " less returns" },
	"orders_lifetime":           func(v float64) string { return counted(v, "order") + " so far" },
	"purchase_days_lifetime":    func(v float64) string { return "has bought on " + count(v, "day") },
	"subscription_days":         func(v float64) string { return "subscribed for " + count(v, "day") },
	"subscribed":                func(v float64) string { return percent(v) + " are subscribed" },
	"subscription_cancelled":    func(v float64) string { return percent(v) + " have cancelled" },
}

// say states what a typical customer has of a feature, in plain words and its
// own unit.
func say(feature string, v float64) string {
	p, _ := phraseOf(feature)
	if f, ok := sayings[feature]; ok {
		return f(v)
	}
	return p.noun + ": " + p.kind.value(v)
}

func returns(v float64) string {
	if v < .01 {
		return "hardly returns anything"
	}
	return "returns " + percent(v) + " of what was spent"
}

func coupons(v float64) string {
	switch {
	case v == 0:
		return "no coupons"
	case v < .01:
		return "hardly any coupons"
	case v < 1:
		return "a coupon in " + percent(v) + " of orders"
	}
	return counted(v, "coupon") + " an order"
}

func counted(v float64, unit string) string {
	if text := amount(v); text == "1" {
		return "1 " + unit
	} else {
		return text + " " + unit + "s"
	}
}

// every says how often something happens that does so a month.
func every(verb string, a30d float64) string {
	switch {
	case a30d <= 0:
		return "never " + verb
	case a30d < 30./730:
		return verb + " less than every second year"
	case a30d >= 20:
		return verb + " almost daily"
	}
	return verb + " every " + count(30/a30d, "day")
}
