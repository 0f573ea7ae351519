// Package words names segments the way an analyst would: by what sets them apart,
// in plain words.
package words

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
)

// words are how an analyst says that a feature is high or low. Features are
// found by stem, the name without its window; several stems may share a topic,
// of which a name uses only the strongest.
var words = []struct {
	stem, topic, high, low string
}{
	{"days_since_last_purchase", "recency", "lapsed buyers", "recent buyers"},
	{"days_since_last_event", "activity", "not seen lately", "active now"},
	{"purchase_days", "frequency", "buy often", "buy rarely"},
	{"spend", "spend", "high spend", "low spend"},
	{"items_per_order", "items", "many items an order", "few items an order"},
	{"items", "items", "many items", "few items"},
	{"products", "range", "wide range", "narrow range"},
	{"refund", "returns", "return much", "return little"},
	{"return_share", "returns", "return much", "return little"},
	{"average_order_value", "order value", "large orders", "small orders"},
	{"purchase_gap_mean", "cadence", "long gaps", "short gaps"},
	{"favourite_category_share", "focus", "one category", "many categories"},
	{"coupons_per_order", "coupons", "use coupons", "no coupons"},
	{"coupon_count", "coupons", "use coupons", "no coupons"},
	{"review_count", "reviews", "write reviews", "no reviews"},
	{"ticket_count", "support", "many tickets", "no tickets"},
	{"sessions", "visits", "visit often", "visit rarely"},
	{"session_events_mean", "depth", "long visits", "short visits"},
	{"session_conversion_share", "conversion", "visits end in orders", "browse without buying"},
	{"view_count", "browsing", "browse much", "browse little"},
	{"search_count", "search", "search much", "search little"},
	{"cart_add_count", "carts", "fill carts", "leave carts empty"},
	{"feature_use_count", "usage", "heavy users", "light users"},
	{"message_open_rate", "messages", "open messages", "ignore messages"},
	{"message_click_rate", "clicks", "click messages", "do not click"},
	{"message_open_count", "messages", "open messages", "ignore messages"},
	{"message_click_count", "clicks", "click messages", "do not click"},
	{"social_engage_count", "social", "active in social media", "absent from social media"},
}

// A trait is one way in which a segment differs from the average customer.
type trait struct {
	topic, phrase string
	z             float64
	feature       int
}

var window = regexp.MustCompile(`^_(per_)?([0-9]+d|lifetime)$`)

// windowed reports whether a feature is the stem over a window or a time.
func windowed(feature, stem string) bool {
	rest, ok := strings.CutPrefix(feature, stem)
	return ok && window.MatchString(rest)
}

// traits lists what sets a centre apart, the strongest difference first.
func traits(centre []float64, features []string) []trait {
	var ts []trait
	for j, f := range features {
		t := trait{topic: f, z: centre[j], feature: j}
		plain := strings.ReplaceAll(f, "_", " ")
		t.phrase = "high " + plain
		if t.z < 0 {
			t.phrase = "low " + plain
		}
		for _, w := range words {
			if f == w.stem || windowed(f, w.stem) {
				t.topic = w.topic
				t.phrase = w.high
				if t.z < 0 {
					t.phrase = w.low
				}
				break
			}
		}
		ts = append(ts, t)
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
	var distinct []trait
	for _, t := range ts {
		if !slices.ContainsFunc(distinct, func(o trait) bool { return o.topic == t.topic }) {
			distinct = append(distinct, t)
		}
	}
	return distinct
}

// notable is the least difference, in standard deviations, worth a word.
const notable = 0.25

// A Subject is a segment to be named.
type Subject struct {
	ID     int
	Skip   bool      // it has a name already
	Centre []float64 // in standard deviations, by feature
	Mean   []float64 // in original units
}

// A Naming is what a segment would be called.
type Naming struct{ Name, Description string }

// Name gives every segment that is not to be skipped a name of two or more traits, unlike
// the others' and those used already, and a description in original units.
func Name(segments []Subject, features []string, taken map[string]bool) []Naming {
	used := map[string]bool{}
	for n := range taken {
		used[n] = true
	}
	out := make([]Naming, len(segments))
	for i, s := range segments {
		if s.Skip {
			continue
		}
		all := traits(s.Centre, features)
		g := &out[i]
		for n := 2; ; n++ {
			g.Name = label(all, n)
			if !used[g.Name] {
				break
			}
			if n >= len(all) {
				g.Name = fmt.Sprintf("%s (%d)", g.Name, s.ID)
				break
			}
		}
		used[g.Name] = true
		var parts []string
		for _, t := range all {
			if len(parts) < 5 && (math.Abs(t.z) >= notable || len(parts) < 2) {
				parts = append(parts, say(features[t.feature], s.Mean[t.feature]))
			}
		}
		g.Description = strings.Join(parts, ", ")
	}
	return out
}

// label joins the first n traits that are worth a word.
func label(ts []trait, n int) string {
	var parts []string
	for _, t := range ts[:min(n, len(ts))] {
		if math.Abs(t.z) >= notable {
			parts = append(parts, t.phrase)
		}
	}
	if len(parts) == 0 {
		return "average customers"
	}
	return strings.Join(parts, ", ")
}

// sayings put a mean into a sentence about a typical customer of the segment.
var sayings = map[string]func(v float64) string{
	"days_since_last_event":    func(v float64) string { return "last seen " + count(v, "day") + " ago" },
	"days_since_last_purchase": func(v float64) string { return "last bought " + count(v, "day") + " ago" },
	"purchase_days_per_30d":    func(v float64) string { return every("buys", v) },
	"sessions_per_30d":         func(v float64) string { return every("visits", v) },
	"average_order_value":      func(v float64) string { return "orders of " + amount(v) },
	"items_per_order":          func(v float64) string { return amount(v) + " items an order" },
	"favourite_category_share": func(v float64) string { return percent(v) + " of purchases in one category" },
	"return_share":             func(v float64) string { return "returns " + percent(v) + " of spend" },
	"coupons_per_order":        func(v float64) string { return amount(v) + " coupons an order" },
	"session_events_mean":      func(v float64) string { return amount(v) + " events a visit" },
	"session_conversion_share": func(v float64) string { return percent(v) + " of visits end in an order" },
	"message_open_rate":        func(v float64) string { return "opens " + percent(v) + " of messages" },
	"message_click_rate":       func(v float64) string { return "clicks " + percent(v) + " of messages" },
	"activity_evening_share":   func(v float64) string { return percent(v) + " of activity in the evening" },
	"activity_weekend_share":   func(v float64) string { return percent(v) + " of activity at weekends" },
}

// say states a segment's mean of a feature in plain words and its own unit.
func say(feature string, mean float64) string {
	plain := strings.ReplaceAll(feature, "_", " ")
	if math.IsNaN(mean) {
		return plain + " unknown"
	}
	if f, ok := sayings[feature]; ok {
		return f(mean)
	}
	return plain + " " + amount(mean)
}

// every says how often something happens that does so a month.
func every(verb string, a30d float64) string {
	switch {
	case a30d <= 0:
		return verb + " never"
	case a30d < 30./730:
		return verb + " less than every second year"
	case a30d >= 20:
		return verb + " almost daily"
	}
	return verb + " every " + count(30/a30d, "day")
}

func count(v float64, unit string) string {
	n := math.Round(v)
	if n == 1 {
		return "1 " + unit
	}
	return fmt.Sprintf("%.0f %ss", n, unit)
}

func percent(v float64) string {
	if v > 0 && v < 0.01 {
		return "less than 1%"
	}
	return fmt.Sprintf("%.0f%%", 100*v)
}

func amount(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "unknown"
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
