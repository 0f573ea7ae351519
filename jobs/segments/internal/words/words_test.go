package words

import (
	"math"
	"strings"
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
	for i, want := range []string{"buy often, high spend", "buy often, high spend, inactive", "average customers", "average customers (4)", "return much, high days since last ticket"} {
		if got[i].Name != want {
			t.Errorf("segment %d is named %q, want %q", i+1, got[i].Name, want)
		}
	}
	if !strings.Contains(got[0].Description, "buy often (purchase_days_per_30d 4.00 on average, +2.0 sd)") {
		t.Errorf("description %q", got[0].Description)
	}

	// Names that were given are not given again, and stay with who has them.
	segments[0].Skip = true
	got = Name(segments, features, map[string]bool{"first come": true, "average customers": true})
	if got[0].Name != "" || got[2].Name != "average customers (3)" {
		t.Errorf("%+v", got)
	}
}
