package segments

import (
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/models"
)

// customers is three kinds of behaviour: frequent buyers, coupon users, and
// browsers without an order.
func customers(n int) models.Matrix {
	names := []string{"purchase_days_per_30d", "coupons_per_order", "session_events_mean", "message_open_rate"}
	x := models.NewMatrix(names, n)
	r := rand.New(rand.NewPCG(3, 3))
	noise := func(v float64) float64 { return v * math.Exp(r.NormFloat64()/6) }
	for i := range n {
		row := x.Row(i)
		switch i % 3 {
		case 0:
			row[0], row[1], row[2], row[3] = noise(6), noise(.1), noise(12), noise(.3)
		case 1:
			row[0], row[1], row[2], row[3] = noise(1.5), noise(.9), noise(11), noise(.7)
		default:
			row[0], row[1], row[2], row[3] = 0, math.NaN(), noise(4), noise(.1)
		}
	}
	return x
}

func params() Params {
	return Params{KMin: 2, KMax: 8, MinShare: 0.02, Restarts: 5, Seed: 1, Workers: 2}
}

func TestFit(t *testing.T) {
	x := customers(900)
	s, warnings, err := Fit(t.Context(), params(), x)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Segments) != 3 || len(warnings) > 0 {
		t.Fatalf("%d segments, %v", len(s.Segments), warnings)
	}
	kind := map[int]int{}
	for i, l := range s.Labels {
		if k, seen := kind[i%3]; seen && k != l {
			t.Fatalf("row %d of kind %d is in segment %d, others in %d", i, i%3, l, k)
		}
		kind[i%3] = l
		if s.Distances[i] < 0 || s.Distances[i] > 10 {
			t.Fatalf("row %d is %v from its centre", i, s.Distances[i])
		}
	}
	total := 0
	for i, g := range s.Segments {
		total += g.Size
		if g.ID != i+1 || math.Abs(g.Share-float64(g.Size)/900) > 1e-12 || i > 0 && g.Size > s.Segments[i-1].Size {
			t.Errorf("segment %+v at %d", g, i)
		}
	}
	if total != 900 {
		t.Errorf("segments hold %d customers", total)
	}
	for k, want := range map[int]string{0: "buy often", 1: "use coupons", 2: "short visits"} {
		if g := s.Segments[kind[k]]; !strings.Contains(g.Name, want) {
			t.Errorf("kind %d is named %q (%s), which does not say %q", k, g.Name, g.Description, want)
		}
	}
	// Means are in original units, of those who have a value.
	for j, name := range s.Features {
		var sum, n float64
		c := map[string]int{"purchase_days_per_30d": 0, "coupons_per_order": 1, "session_events_mean": 2, "message_open_rate": 3}[name]
		for i := range x.Rows() {
			if v := x.Row(i)[c]; s.Labels[i] == 0 && !math.IsNaN(v) {
				sum += v
				n++
			}
		}
		if got := s.Segments[0].Mean[j]; math.Abs(got-sum/n) > 1e-9 && n > 0 {
			t.Errorf("mean of %s is %v, want %v", name, got, sum/n)
		}
	}

	p := params()
	p.Workers = 1
	again, _, err := Fit(t.Context(), p, x)
	if err != nil || !reflect.DeepEqual(again.Labels, s.Labels) || !reflect.DeepEqual(again.Segments[0].Name, s.Segments[0].Name) {
		t.Errorf("another number of workers made other segments: %v", err)
	}
}

func TestFixedK(t *testing.T) {
	p := params()
	p.K = 5
	s, _, err := Fit(t.Context(), p, customers(600))
	if err != nil || len(s.Segments) != 5 || s.Curve != nil {
		t.Fatalf("%d segments, curve %v, %v", len(s.Segments), s.Curve, err)
	}
	seen := map[string]bool{}
	for _, g := range s.Segments {
		if g.Name == "" || seen[g.Name] {
			t.Errorf("the name %q is empty or given twice", g.Name)
		}
		seen[g.Name] = true
	}
}

func TestFitRefuses(t *testing.T) {
	same := models.NewMatrix([]string{"purchase_days_per_30d", "session_events_mean"}, 50)
	if _, _, err := Fit(t.Context(), params(), same); err == nil || !strings.Contains(err.Error(), "none of the 2 columns varies") {
		t.Errorf("equal customers: %v", err)
	}
	if _, _, err := Fit(t.Context(), params(), customers(1)); err == nil {
		t.Error("one customer was divided")
	}
}

// What is left out is said when a person chose it, and kept quiet otherwise.
func TestWarningsOfChosenFeatures(t *testing.T) {
	x := customers(300)
	x.Names = append(x.Names[:3:3], "refund_365d")
	for i := range x.Rows() {
		x.Row(i)[3] = 0
	}
	for _, chosen := range []bool{false, true} {
		p := params()
		p.Chosen = chosen
		_, warnings, err := Fit(t.Context(), p, x)
		if err != nil || (len(warnings) > 0) != chosen {
			t.Errorf("chosen %v: %v, %v", chosen, warnings, err)
		}
	}
}

func TestDefaultsExist(t *testing.T) {
	known := map[string]bool{}
	for _, f := range features.All(features.DefaultParams()) {
		for _, c := range f.Columns {
			known[c.Name] = true
		}
	}
	for _, n := range Defaults() {
		if !known[n] {
			t.Errorf("no feature %q", n)
		}
	}
}

func TestNames(t *testing.T) {
	features := []string{"purchase_days_per_30d", "spend_365d", "days_since_last_event", "refund_lifetime", "days_since_last_ticket"}
	segments := []Segment{
		{ID: 1, Centre: []float64{2, 1, -1, 0, 0}, Mean: []float64{4, 812.5, 3, 0, 1}},
		{ID: 2, Centre: []float64{2, 1, 0.5, 0, 0}, Mean: []float64{4, 12.25, 3, 0, 1}},
		{ID: 3, Centre: []float64{0, 0.1, 0, 0, 0}, Mean: []float64{1, 1, math.NaN(), 0, 1}},
		{ID: 4, Centre: []float64{0, 0.1, 0, 0, 0}, Mean: []float64{1, 1, 1, 0, 1}},
		{ID: 5, Centre: []float64{-1, 0, 0, 3, 2}, Mean: []float64{1, 1, 1, 50, 1}},
	}
	name(segments, features)
	for i, want := range []string{"buy often, high spend", "buy often, high spend, inactive", "average customers", "average customers (4)", "return much, high days since last ticket"} {
		if segments[i].Name != want {
			t.Errorf("segment %d is named %q, want %q", i+1, segments[i].Name, want)
		}
	}
	if !strings.Contains(segments[0].Description, "buy often (purchase_days_per_30d 4.00 on average, +2.0 sd)") {
		t.Errorf("description %q", segments[0].Description)
	}
}
