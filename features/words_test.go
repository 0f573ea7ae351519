package features

import (
	"math"
	"strings"
	"testing"
)

func TestSayings(t *testing.T) {
	all := Sayings(All(DefaultParams()))
	nan := math.NaN()
	for _, c := range []struct {
		column           string
		value, companion float64
		want             string
	}{
		{DaysSinceLastPurchase, 41, 12.3, "last purchase 41 days ago, usually every 12 days"},
		{DaysSinceLastPurchase, 1, nan, "last purchase 1 day ago"},
		{DaysSinceLastPurchase, nan, nan, "no purchase so far"},
		{"purchase_overdue_ratio", 3.4167, 12, "the last purchase is 3.42 times the usual gap ago, of 12 days"},
		{"days_since_last_message_open", 0, nan, "last message open 0 days ago"},
		{"view_count_30d", 3, nan, "view events in the last 30 days: 3"},
		{"spend_90d", 1234.5, nan, "spent 1234 in the last 90 days"},
		{"spend_90d", 12.5, nan, "spent 12.50 in the last 90 days"},
		{"return_share", .0312, nan, "sent back 3.1% of what was spent"},
		{"subscribed", 0, nan, "subscribed: no"},
		{"products_lifetime", 4, nan, "distinct products purchased ever: 4"},
		{"category_entropy", nan, nan, "shannon entropy of the categories of purchase lines: none (no purchase with a category)"},
		{"cart_to_purchase_minutes_mean", 90.4, nan, "mean time from a bought cart's first addition to the first purchase after it: 90 minutes"},
	} {
		s := all[c.column]
		if s == nil {
			t.Errorf("no saying for %s", c.column)
			continue
		}
		if got := s.Say(c.value, c.companion); got != c.want {
			t.Errorf("%s of %v: %q, want %q", c.column, c.value, got, c.want)
		}
	}
	// A companion that is not computed is left out.
	alone, err := Only(DefaultParams(), []string{"recency"})
	if err != nil {
		t.Fatal(err)
	}
	if s := Sayings(alone)[DaysSinceLastPurchase]; s.Companion != "" || s.Say(41, 12) != "last purchase 41 days ago" {
		t.Errorf("without the family cadence: %q", s.Say(41, 12))
	}
}

// Whatever the column and the value, the words are whole.
func TestSayingsAreWhole(t *testing.T) {
	for _, f := range All(DefaultParams()) {
		known := map[string]bool{}
		for _, c := range f.Columns {
			known[c.Name] = true
		}
		for name := range f.Words {
			if !known[name] {
				t.Errorf("family %s has words for %s, which is no column of it", f.Name, name)
			}
		}
	}
	for name, s := range Sayings(All(DefaultParams())) {
		for _, v := range []float64{math.NaN(), 0, 1, 2.5, -3, 12345.678} {
			for _, other := range []float64{math.NaN(), 7} {
				if text := s.Say(v, other); strings.ContainsAny(text, "{}[]|") || strings.TrimSpace(text) != text || text == "" {
					t.Errorf("%s of %v: %q", name, v, text)
				}
			}
		}
	}
}
