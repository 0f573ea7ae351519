package words

import (
	"math"
	"testing"
)

func TestNames(t *testing.T) {
	features := []string{"purchase_days_per_30d", "spend_365d", "days_since_last_event", "refund_lifetime", "days_since_last_ticket"}
	segments := []Subject{
		{ID: 1, Centre: []float64{2, 1, -1, 0, 0}, Mean: []float64{4, 812.5, 3, 0, 1}},
		{ID: 2, Centre: []float64{2, 1, 0.5, 0, 0}, Mean: []float64{4, 12.25, 3, 0, 1}},
		{ID: 3, Centre: []float64{0, 0.1, 0, 0, 0}, Mean: []float64{1, 1, math.NaN(), 0, 1}},
		{ID: 4, Centre: []float64{0, 0.1, 0, 0, 0}, Mean: []float64{1, 1, 1, 0, 1}},
		{ID: 5, Centre: []float64{-1, 0, 0, 3, 2}, Mean: []float64{1, 1, 1, 50, 1}},
	}
	got := Name(segments, features, nil)
	for i, want := range []string{"buy often, high spend", "buy often, high spend, not seen lately", "average customers", "average customers (4)", "return much, high days since last ticket"} {
		if got[i].Name != want {
			t.Errorf("segment %d is named %q, want %q", i+1, got[i].Name, want)
		}
	}
	for i, want := range map[int]string{0: "buys every 8 days, spend 365d 812, last seen 3 days ago", 4: "refund lifetime 50.0, days since last ticket 1.00, buys every 30 days"} {
		if got[i].Description != want {
			t.Errorf("segment %d: description %q, want %q", i+1, got[i].Description, want)
		}
	}
	// Names that were given are not given again, and stay with who has them.
	segments[0].Skip = true
	got = Name(segments, features, map[string]bool{"first come": true, "average customers": true})
	if got[0].Name != "" || got[2].Name != "average customers (3)" {
		t.Errorf("%+v", got)
	}
}

func TestSayings(t *testing.T) {
	for _, c := range []struct {
		feature string
		mean    float64
		want    string
	}{
		{"purchase_days_per_30d", 2.5, "buys every 12 days"},
		{"purchase_days_per_30d", 0, "buys never"},
		{"purchase_days_per_30d", 0.01, "buys less than every second year"},
		{"sessions_per_30d", 29, "visits almost daily"},
		{"sessions_per_30d", 19.9, "visits every 2 days"},
		{"days_since_last_event", 1.2, "last seen 1 day ago"},
		{"message_open_rate", .4512, "opens 45% of messages"},
		{"message_click_rate", .004, "clicks less than 1% of messages"},
		{"average_order_value", 480.4, "orders of 480"},
		{"shoe_spend_30d", 12.34, "shoe spend 30d 12.3"},
		{"return_share", math.NaN(), "return share unknown"},
	} {
		if got := say(c.feature, c.mean); got != c.want {
			t.Errorf("%s %v: %q, want %q", c.feature, c.mean, got, c.want)
		}
	}
}
