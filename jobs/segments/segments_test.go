package segments

import (
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/segments/passes"
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
	c := config.DefaultSegmentation("behaviour")
	c.KMin, c.KMax, c.Restarts = 2, 8, 5
	return Params{Segmentation: c, Column: "segment_id", Date: "2025-03-31", Workers: 2}
}

// divide divides customers who were all active lately.
func divide(t *testing.T, p Params, x models.Matrix, prior *Prior) (*Segmentation, []models.Warning) {
	t.Helper()
	s, warnings, err := Divide(t.Context(), p, Input{X: passes.Held{Matrix: x}, Idle: make([]float64, x.Rows()), Prior: prior})
	if err != nil {
		t.Fatal(err)
	}
	return s, warnings
}

func TestDivide(t *testing.T) {
	x := customers(900)
	s, warnings := divide(t, params(), x, nil)
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
		if g.ID != i+1 || math.Abs(g.Share-float64(g.Size)/900) > 1e-12 || i > 0 && g.Size > s.Segments[i-1].Size || g.Since != "2025-03-31" || g.Now != g.Name {
			t.Errorf("segment %+v at %d", g, i)
		}
	}
	if total != 900 {
		t.Errorf("segments hold %d customers", total)
	}
	for k, want := range map[int]string{0: "buy often", 1: "use coupons", 2: "buy rarely"} {
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
	again, _ := divide(t, p, x, nil)
	if !reflect.DeepEqual(again.Labels, s.Labels) || !reflect.DeepEqual(again.Segments[0].Name, s.Segments[0].Name) {
		t.Error("another number of workers made other segments")
	}
}

func TestFixedK(t *testing.T) {
	p := params()
	p.K = config.AutoInt{N: 5}
	s, _ := divide(t, p, customers(600), nil)
	if len(s.Segments) != 5 || s.Curve != nil {
		t.Fatalf("%d segments, curve %v", len(s.Segments), s.Curve)
	}
	seen := map[string]bool{}
	for _, g := range s.Segments {
		if g.Name == "" || seen[g.Name] {
			t.Errorf("the name %q is empty or given twice", g.Name)
		}
		seen[g.Name] = true
	}
}

// Customers who cannot be divided are no reason to lose the night: there are no
// segments, and it is said why.
func TestUndivided(t *testing.T) {
	names := []string{"purchase_days_per_30d", "session_events_mean"}
	same := models.NewMatrix(names, 50)
	missing, infinite := models.NewMatrix(names, 50), customers(50)
	for i := range missing.Data {
		missing.Data[i] = math.NaN()
	}
	infinite.Data[41] = math.Inf(1)
	few := params()
	few.K = config.AutoInt{N: 5}
	for _, c := range []struct {
		name, want string
		p          Params
		x          models.Matrix
	}{
		{"equal customers", "none of the 2 columns varies", params(), same},
		{"all missing", "all 50 values are missing", params(), missing},
		{"infinite", "row 10, column 1 (coupons_per_order) is +Inf", params(), infinite},
		{"nobody", "none of the 0 customers was active", params(), customers(0)},
		{"one customer", "none of the 4 columns varies", params(), customers(1)},
		{"fewer rows than k", "exceeds the 4 rows", few, customers(4)},
	} {
		s, warnings := divide(t, c.p, c.x, nil)
		if len(s.Segments) != 0 || !strings.Contains(s.None, c.want) || len(warnings) == 0 || !strings.Contains(warnings[len(warnings)-1].Message, c.want) {
			t.Errorf("%s: %d segments, %q, %v", c.name, len(s.Segments), s.None, warnings)
		}
		for i, l := range s.Labels {
			if l != -1 || !math.IsNaN(s.Distances[i]) {
				t.Errorf("%s: row %d is in segment %d at %v", c.name, i, l, s.Distances[i])
			}
		}
		// Not even these nights lose what went before.
		x := customers(300)
		first, _ := divide(t, params(), x, nil)
		if c.x.Cols() == 2 || c.x.Rows() == 0 { // other features, or nobody to be in them: the segments cannot be kept
			continue
		}
		kept, warnings := divide(t, c.p, c.x, after(t, first, make([]int32, c.x.Rows())))
		if c.name == "infinite" { // nor can this customer be placed among them
			continue
		}
		if len(kept.Segments) != 3 || kept.Refit != "" || kept.Segments[0].Name != first.Segments[0].Name {
			t.Errorf("%s: the segments of the night before became %+v, %v", c.name, kept.Segments, warnings)
		}
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
		if chosen {
			p.Features = x.Names
		}
		_, warnings := divide(t, p, x, nil)
		if (len(warnings) > 0) != chosen {
			t.Errorf("chosen %v: %v", chosen, warnings)
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
	for _, n := range append(Defaults(true), Browsing()...) {
		if !known[n] {
			t.Errorf("no feature %q", n)
		}
	}
}

// Behaviour counts once, however many features measure it.
func TestColumnsAlike(t *testing.T) {
	x := customers(900)
	plain, _ := divide(t, params(), x, nil)
	wide := models.NewMatrix(append(append([]string{}, x.Names...), "purchase_days_365d"), x.Rows())
	for i := range x.Rows() {
		copy(wide.Row(i), x.Row(i))
		wide.Row(i)[4] = 12 * x.Row(i)[0]
	}
	p := params()
	p.Features = wide.Names
	s, warnings := divide(t, p, wide, nil)
	if !reflect.DeepEqual(s.Labels, plain.Labels) || !reflect.DeepEqual(s.Features, plain.Features) {
		t.Errorf("a copy of a column made other segments, of %v", s.Features)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0].Message, "purchase_days_365d was left out: it goes with purchase_days_per_30d") {
		t.Errorf("%v", warnings)
	}
}
