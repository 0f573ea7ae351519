package predict

import (
	"math"
	"testing"
)

// What is held out are customers who are fitted at no date, about a quarter of them
// at every date; and dates behind those asked for are not looked at.
func TestSplit(t *testing.T) {
	const rows = 600
	q, in, _ := world(t, .5, 1, rows)
	s, err := newSample(t.Context(), params, in, q.Schedule)
	if err != nil {
		t.Fatal(err)
	}
	if s.tested() != 2 || s.dates[2] != q.Schedule.Test {
		t.Fatalf("dates %v, tested at %d", s.dates, s.tested())
	}
	y, err := s.labels("churn")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(s.newest(nil)); n != 0 {
		t.Errorf("%d rows of none", n)
	}
	for dates := 1; dates <= 3; dates++ {
		sp := s.split(y, dates)
		fitted, known := map[int]bool{}, 0
		for _, label := range y[:s.from[dates]] {
			if !math.IsNaN(label) {
				known++
			}
		}
		held := make([]int, dates)
		for _, i := range sp.fit {
			fitted[int(i)%rows] = true
		}
		for _, i := range sp.hold {
			if fitted[int(i)%rows] {
				t.Fatalf("%d dates: the customer of row %d is fitted and held out", dates, i)
			}
			held[int(i)/rows]++
		}
		for _, i := range sp.all {
			if int(i) >= s.from[dates] || math.IsNaN(y[i]) {
				t.Fatalf("%d dates: row %d is of another date or has no label", dates, i)
			}
		}
		if len(sp.all) != known || len(sp.fit)+len(sp.hold) != known {
			t.Errorf("%d dates: %d rows, %d fitted and %d held out of %d with a label", dates, len(sp.all), len(sp.fit), len(sp.hold), known)
		}
		if newest := s.newest(sp.hold); len(newest) != held[dates-1] || int(newest[0]) < s.from[dates-1] {
			t.Errorf("%d dates: %d held-out rows of the newest, want %d", dates, len(newest), held[dates-1])
		}
		for k, n := range held {
			if share := float64(n) * float64(dates) / float64(known); share < .15 || share > .35 {
				t.Errorf("%d dates: %.2f of the customers are held out at date %d", dates, share, k)
			}
		}
	}
}
