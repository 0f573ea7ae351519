package targets

import (
	"math"
	"testing"
)

func TestSuggest(t *testing.T) {
	gaps := func(customers int64, closed, open map[int]int64) Gaps {
		return Gaps{Closed: closed, Open: open, Customers: customers}
	}
	for name, tc := range map[string]struct {
		g        Gaps
		span     int
		days     int
		quantile float64 // NaN when the curve does not fall so far
		closed   float64
		comeBack float64
		thin     bool
	}{
		// Closed gaps of 1 … 100 days, one each: the 80th percentile is 80.
		// Silent for 90 days: 10 of 100; none of them at 180, but the longest
		// gap is 100, so nothing can be said of it.
		"all closed": {gaps(10, each(1, 100), nil), 1000, 90, 80, 80, math.NaN(), false},
		// The same with 100 customers silent for 30 days: at 30 days the curve
		// stands at 170/200 = .85; from there on it falls as 70 gaps do:
		// S(t) = .85·(100−t)/70 for t ≥ 30, which is ≤ .2 first at t = 84.
		"half open": {gaps(110, each(1, 100), map[int]int64{30: 100}), 1000, 90, 84, 80, math.NaN(), false},
		// 40 gaps of 10 days, 60 customers silent for 200: S = .6 for good, and
		// 14 is nearer to 10 in proportion than 7 is.
		"hardly back": {gaps(100, map[int]int64{10: 40}, map[int]int64{200: 60}), 1000, 14, math.NaN(), 10, 0, false},
		// 79 of 100 gaps close at 20 days, just short of the share, and 15 at 50.
		"two steps": {gaps(100, map[int]int64{20: 79, 50: 15}, map[int]int64{70: 6}), 1000, 60, 50, 20, math.NaN(), false},
		// At most a third of the span, on the grid; below the grid the third itself.
		"short":      {gaps(10, each(1, 100), nil), 100, 30, 80, 80, 1 - 40.0/70, false},
		"very short": {gaps(10, each(1, 100), nil), 10, 3, 80, 80, 1 - 94.0/97, false},
		"thin":       {gaps(10, map[int]int64{5: 29}, nil), 1000, 30, math.NaN(), math.NaN(), math.NaN(), true},
		// 99 gaps of 10,000 customers say as little.
		"thin share": {gaps(10_000, map[int]int64{5: 99}, map[int]int64{9: 10_000}), 1000, 30, math.NaN(), math.NaN(), math.NaN(), true},
	} {
		h, err := SuggestHorizon(tc.g, tc.span)
		if err != nil {
			t.Fatal(err)
		}
		if h.Days != tc.days || !same(h.Quantile, tc.quantile) || !same(h.ClosedQuantile, tc.closed) || h.Thin != tc.thin {
			t.Errorf("%s: %+v; want %d days, quantile %v, of closed gaps %v, thin %v", name, h, tc.days, tc.quantile, tc.closed, tc.thin)
		}
		if !same(h.ComeBack, tc.comeBack) {
			t.Errorf("%s: %v come back, want %v", name, h.ComeBack, tc.comeBack)
		}
	}
}

func same(a, b float64) bool { return math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) < 1e-12 }

// each is one gap of every length.
func each(from, to int) map[int]int64 {
	m := map[int]int64{}
	for d := from; d <= to; d++ {
		m[d] = 1
	}
	return m
}

func TestCount(t *testing.T) {
	g := newGaps()
	days := []int32{3, 3, 5, 5, 5, 12}
	count(&g, len(days), func(i int) int32 { return days[i] }, 20)
	count(&g, 1, func(int) int32 { return 20 }, 20)
	count(&g, 0, nil, 20)
	if g.Closed[2] != 1 || g.Closed[7] != 1 || len(g.Closed) != 2 || g.Open[8] != 1 || g.Open[0] != 1 || g.Customers != 2 || g.ClosedTotal() != 2 {
		t.Errorf("%+v", g)
	}
}

func TestRoundHorizon(t *testing.T) {
	for _, tc := range []struct {
		days    float64
		longest int
		want    int
	}{{1, 999, 7}, {7, 999, 7}, {9.89, 999, 7}, {9.9, 999, 14}, {42, 999, 30}, {43, 999, 60}, {1000, 999, 365}, {1000, 100, 90}, {30, 5, 5}} {
		if got := roundHorizon(tc.days, tc.longest); got != tc.want {
			t.Errorf("%v of at most %d: %d, want %d", tc.days, tc.longest, got, tc.want)
		}
	}
}
