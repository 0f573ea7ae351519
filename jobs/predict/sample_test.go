package predict

import (
	"math"
	"testing"

	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/targets"
)

// What is held out tells nothing of what is fitted: another outcome window, or
// other customers.
func TestSplit(t *testing.T) {
	label := targets.LabelColumn("churn")
	at := func(dates ...string) (as []timeline.AsOf) {
		for _, d := range dates {
			as = append(as, asOf(t, d))
		}
		return as
	}
	for _, c := range []struct {
		name    string
		dates   []timeline.AsOf
		rows    int
		byDate  bool
		holdAll bool // at every date
	}{
		{"windows apart", at("2024-03-01", "2024-04-01", "2024-05-01"), 600, true, false},
		{"windows that overlap", at("2024-04-10", "2024-04-20", "2024-05-01"), 600, false, false},
		{"one date", at("2024-05-01"), 600, false, false},
		{"few at the newest", at("2024-04-10", "2024-04-20", "2024-05-01"), 90, false, true},
	} {
		_, in, past := world(t, .5, 1, c.rows)
		any := past[asOf(t, "2024-05-01").Today]
		for _, a := range c.dates {
			columns := map[string][]float64{}
			var names []string
			for _, f := range any.Schema.Fields()[1:] {
				v, _ := any.Values(f.Name)
				columns[f.Name] = v
				names = append(names, f.Name)
			}
			past[a.Today] = table(t, a, names, columns)
		}
		s, err := newSample(t.Context(), params, in, c.dates)
		if err != nil {
			t.Fatal(err)
		}
		y := make([]float64, s.rows())
		if err := s.column(y, label); err != nil {
			t.Fatal(err)
		}
		sp := s.split(y, 30, 15)
		newest := s.from[len(s.from)-2]
		fitted, held, dates := map[int]bool{}, map[int]bool{}, map[bool]bool{}
		for _, i := range sp.fit {
			fitted[int(i)%c.rows] = true
			if c.byDate && int(i) >= newest {
				t.Fatalf("%s: row %d of the newest date is fitted", c.name, i)
			}
		}
		for _, i := range sp.hold {
			held[int(i)%c.rows] = true
			dates[int(i) >= newest] = true
			if !c.byDate && fitted[int(i)%c.rows] {
				t.Fatalf("%s: the customer of row %d is fitted and held out", c.name, i)
			}
			if math.IsNaN(y[i]) {
				t.Fatalf("%s: row %d has no label", c.name, i)
			}
		}
		if dates[false] != c.holdAll || !enough(y, sp.fit, 15) || !enough(y, sp.hold, 15) {
			t.Errorf("%s: %d rows fitted, %d held out, of older dates: %v", c.name, len(sp.fit), len(sp.hold), dates[false])
		}
		if share := float64(len(held)) / float64(len(held)+len(fitted)); !c.byDate && (share < .15 || share > .35) {
			t.Errorf("%s: %.2f of the customers are held out", c.name, share)
		}
	}
}
