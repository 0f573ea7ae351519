package report

import (
	"math"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/jobs/report/query"
)

func TestNumbersForPeople(t *testing.T) {
	for _, c := range []struct {
		as   func(query.Value) string
		v    float64
		want string
	}{
		{asNumber, 1234567.8, "1,234,568"}, {asNumber, -1234, "−1,234"}, {asNumber, 145.96, "146"}, {asNumber, 145.94, "145.9"}, {asNumber, 3.14159, "3.14"},
		{asNumber, .009312, "0.0093"}, {asNumber, .0000123, "0.000012"}, {asNumber, -.0000123, "−0.000012"}, {asNumber, 3e-9, "below 0.000001"}, {asNumber, -3e-9, "above −0.000001"}, {asNumber, 0, "0"},
		{asShare, .12345, "12.3%"}, {asShare, .2, "20%"}, {asShare, .0004, "0.04%"}, {asShare, .00001, "0.001%"}, {asShare, .000001, "below 0.001%"}, {asShare, -.000001, "above −0.001%"}, {asShare, .9999, "100%"},
		{asDecimal, -.0001, "0.000"}, {asCount, 1e9, "1,000,000,000"},
	} {
		if got := c.as(query.Num(c.v)); got != c.want {
			t.Errorf("%g is written %q, not %q", c.v, got, c.want)
		}
	}
	// However small or large, no number has an exponent.
	for e := -12; e <= 12; e++ {
		for _, v := range []float64{1.7, -1.7} {
			v *= math.Pow(10, float64(e))
			for _, s := range []string{asNumber(query.Num(v)), asShare(query.Num(v)), asDecimal(query.Num(v)), axisCount(v), axisShare(v)} {
				if strings.Contains(s, "e") && !strings.HasPrefix(s, "below ") && !strings.HasPrefix(s, "above ") {
					t.Errorf("%g is written %q", v, s)
				}
			}
		}
	}
	for unit, want := range map[string]string{"days": "day", "categories": "category", "EUR": "EUR", "": ""} {
		if got := single(unit); got != want {
			t.Errorf("one of %q is %q", unit, got)
		}
	}
}
