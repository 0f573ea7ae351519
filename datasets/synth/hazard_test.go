package synth

import (
	"fmt"
	"math"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/shoal-data/shoal/datasets/synth/internal/behaviour"
)

// enumerated is P(no order in the horizon | no order since the last) by
// listing every last day alive, from the definition.
func enumerated(c Customer, last, asOf time.Time, gap, horizon int) float64 {
	x, a := int(epochDay(last)), int(epochDay(asOf))
	end := a + gap + horizon
	season := func(d int) float64 { return c.PurchaseRate * Season(c.SegmentIndex, fromEpochDay(int32(d))) }
	quiet := func(lastAlive int, alsoHorizon bool) float64 {
		sum := 0.0
		for d := x + 1; d <= lastAlive; d++ {
			if d < a || alsoHorizon && d >= a+gap {
				sum += season(d)
			}
		}
		return math.Exp(-sum)
	}
	joint, given := 0.0, 0.0
	for k := x; k < end; k++ { // k is the last day alive; end−1 stands for all later ones
		p := math.Exp(-c.ChurnHazard * float64(k-x))
		if k < end-1 {
			p *= 1 - math.Exp(-c.ChurnHazard)
		}
		joint += p * quiet(k, true)
		given += p * quiet(k, false)
	}
	return joint / given
}

func TestChurnProbabilityByEnumeration(t *testing.T) {
	day := func(s string) time.Time {
		d, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for g := range behaviour.Segments {
		for _, c := range []Customer{
			{SegmentIndex: g, PurchaseRate: .05, ChurnHazard: .004},
			{SegmentIndex: g, PurchaseRate: .3, ChurnHazard: .1},
			{SegmentIndex: g, PurchaseRate: .001, ChurnHazard: 1e-5},
		} {
			for _, s := range []struct {
				last, asOf   string
				gap, horizon int
			}{{"2024-10-03", "2024-12-01", 0, 60}, {"2024-11-30", "2024-12-01", 0, 30}, {"2024-06-01", "2024-12-01", 14, 90}, {"2024-10-30", "2024-12-01", 7, 1}} {
				got, err := ChurnProbability(c, day(s.last).Add(13*time.Hour), day(s.asOf).Add(time.Hour), s.gap, s.horizon)
				if err != nil {
					t.Fatal(err)
				}
				if want := enumerated(c, day(s.last), day(s.asOf), s.gap, s.horizon); math.Abs(got-want) > 1e-12 {
					t.Errorf("%+v %+v: %v, by enumeration %v", c, s, got, want)
				}
			}
		}
	}
	// Without churn it is the Poisson probability; browsers have no season in the year or week.
	c := Customer{SegmentIndex: 4, PurchaseRate: .02}
	got, err := ChurnProbability(c, day("2024-01-05"), day("2024-03-01"), 10, 30)
	if want := math.Exp(-.02 * 30); err != nil || math.Abs(got-want) > 1e-12 {
		t.Errorf("without hazard %v, %v; want e^−0.6 = %v", got, err, want)
	}
	if got, err := ChurnProbabilityActive(c, day("2024-01-05"), day("2024-03-01"), true, 0, 30); got != 1 || err != nil {
		t.Errorf("with a cancelled subscription %v, %v; want 1", got, err)
	}
}

func TestChurnProbabilityRefuses(t *testing.T) {
	d := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)
	good := Customer{ID: "C7", PurchaseRate: .1, ChurnHazard: .01}
	for _, c := range []struct {
		want         string
		c            Customer
		last         time.Time
		gap, horizon int
	}{
		{"SegmentIndex (7) must be 0 to 6", Customer{SegmentIndex: 7}, d.AddDate(0, 0, -1), 0, 1},
		{"must be >= 0", Customer{ChurnHazard: math.NaN()}, d.AddDate(0, 0, -1), 0, 1},
		{"horizon (0) >= 1", good, d.AddDate(0, 0, -1), 0, 0},
		{"gap (-1) must be >= 0", good, d.AddDate(0, 0, -1), -1, 1},
		{"customer C7: last event (2024-05-01) must be on a day before asOf (2024-05-01)", good, d.Add(time.Hour), 0, 1},
	} {
		if _, err := ChurnProbability(c.c, c.last, d.Add(3*time.Hour), c.gap, c.horizon); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one with %q", err, c.want)
		}
	}
}

// outcome is a customer's forecast and whether the horizon stayed empty.
type outcome struct {
	p    float64
	none bool
}

// TestChurnProbabilityIsCalibrated replays the sample at two dates: within each
// tenth of the forecasts, the empty horizons are within three standard
// deviations of the sum of the probabilities.
func TestChurnProbabilityIsCalibrated(t *testing.T) {
	_, truth, events := history(t)
	const gap, horizon = 0, 60
	var orders, active []outcome
	for _, asOf := range []time.Time{
		time.Date(2024, 10, 15, 0, 0, 0, 0, time.UTC), time.Date(2025, 4, 20, 0, 0, 0, 0, time.UTC),
	} {
		end := asOf.AddDate(0, 0, gap+horizon)
		last, seen := map[string]time.Time{}, map[string]time.Time{}
		later, cancelled := map[string]bool{}, map[string]bool{}
		for _, e := range events {
			if e.who == "" {
				continue
			}
			if !e.day.Before(asOf) {
				if e.Type == "order_completed" && !e.day.Before(asOf.AddDate(0, 0, gap)) && e.day.Before(end) {
					later[e.who] = true
				}
				continue
			}
			if e.Type == "order_completed" && e.day.After(last[e.who]) {
				last[e.who] = e.day
			}
			if isLife(e) && e.day.After(seen[e.who]) {
				seen[e.who] = e.day
			}
			if e.Type == "subscription_cancelled" {
				cancelled[e.who] = true
			}
		}
		for _, c := range truth {
			if last[c.ID].IsZero() {
				continue
			}
			p, err := ChurnProbability(c, last[c.ID], asOf, gap, horizon)
			if err != nil {
				t.Fatal(err)
			}
			orders = append(orders, outcome{p, !later[c.ID]})
			if p, err = ChurnProbabilityActive(c, seen[c.ID], asOf, cancelled[c.ID], gap, horizon); err != nil {
				t.Fatal(err)
			}
			active = append(active, outcome{p, !later[c.ID]})
		}
	}
	calibrated(t, "orders", orders)
	calibrated(t, "active", active)
	a, b := auc(orders), auc(active)
	t.Logf("%d customers: AUC of the true hazard %.4f from orders, %.4f from all activity", len(orders), a, b)
	if !(a > .7 && b > a) {
		t.Errorf("AUC from orders %.4f, from all activity %.4f: seeing more must help", a, b)
	}
}

func calibrated(t *testing.T, what string, all []outcome) {
	t.Helper()
	sort.Slice(all, func(i, j int) bool { return all[i].p < all[j].p })
	for d := range 10 {
		bin := all[d*len(all)/10 : (d+1)*len(all)/10]
		got, want, variance := 0.0, 0.0, 0.0
		for _, o := range bin {
			want += o.p
			variance += o.p * (1 - o.p)
			if o.none {
				got++
			}
		}
		// One count more allows for the tenth that is certain, where the variance vanishes.
		within(t, fmt.Sprintf("%s: empty horizons in decile %d (p ≈ %.2f)", what, d+1, want/float64(len(bin))), got, want, math.Sqrt(variance)+1./3)
	}
}

// auc is the Mann–Whitney statistic of all, sorted by p.
func auc(all []outcome) float64 {
	rank, positives := 0.0, 0.0
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].p == all[i].p {
			j++
		}
		for _, o := range all[i:j] {
			if o.none {
				rank += float64(i+j+1) / 2
				positives++
			}
		}
		i = j
	}
	return (rank - positives*(positives+1)/2) / (positives * (float64(len(all)) - positives))
}
