package surrogate

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/models"
)

// table is rows whose label follows from two columns, one of them often missing,
// with columns of noise beside them.
func table(n int, seed uint64) (x models.Matrix, labels []int) {
	r := rand.New(rand.NewPCG(seed, 1))
	x = models.NewMatrix([]string{"noise", "orders", "rate"}, n)
	labels = make([]int, n)
	for i := range n {
		row := x.Row(i)
		row[0], row[1], row[2] = r.NormFloat64(), math.Floor(r.ExpFloat64()*4), r.Float64()
		switch {
		case row[1] == 0:
			row[2] = math.NaN()
		case row[2] > .4 && row[1] > 3:
			labels[i] = 2
		default:
			labels[i] = 1
		}
	}
	return x, labels
}

func at(x models.Matrix, i int) func(string) float64 {
	return func(column string) float64 {
		for j, name := range x.Names {
			if name == column {
				return x.Row(i)[j]
			}
		}
		panic(column)
	}
}

func TestRulesAreFound(t *testing.T) {
	x, labels := table(2000, 1)
	tree, err := Fit(t.Context(), DefaultParams(), x, labels, 3)
	if err != nil {
		t.Fatal(err)
	}
	right := 0
	for i, l := range labels {
		holding := 0
		for m, rule := range tree.Rules() {
			if rule.Holds(at(x, i)) {
				holding++
				if m == l {
					right++
				}
			}
		}
		if holding != 1 {
			t.Fatalf("row %d meets %d rules: %v", i, holding, tree.Rules())
		}
	}
	if right < 1980 { // the threshold .4 is known to two digits near quantiles
		t.Errorf("%d of 2000 right: %v", right, tree.Rules())
	}
	for m, rule := range tree.Rules() {
		for _, all := range rule {
			for _, c := range all {
				if c.Column == "noise" {
					t.Errorf("label %d by noise: %v", m, rule)
				}
				if c.Column == "orders" && c.At != 0 && c.At != 3 {
					t.Errorf("label %d: %+v is not where the labels change", m, c)
				}
			}
		}
	}
}

// Every row meets exactly one rule, of random trees with missing values, of one
// column as well as of many.
func TestRulesPartition(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 2))
		n, k := 3+r.IntN(300), 1+r.IntN(7)
		names := []string{"a", "b", "c", "d"}[:1+r.IntN(4)]
		x, labels := models.NewMatrix(names, n), make([]int, n)
		for i := range x.Data {
			x.Data[i] = math.Round(r.NormFloat64()*20) / 10
			if r.IntN(6) == 0 {
				x.Data[i] = math.NaN()
			}
		}
		for i := range labels {
			labels[i] = r.IntN(k+1) - 1
			if v := x.Row(i)[0]; v > .5 && k > 1 {
				labels[i] = 1
			}
		}
		labels[0] = 0
		p := DefaultParams()
		p.MinRows, p.Depth = 1, 1+r.IntN(8)
		tree, err := Fit(t.Context(), p, x, labels, k)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			holding := 0
			for _, rule := range tree.Rules() {
				if rule.Holds(at(x, i)) {
					holding++
				}
				for _, all := range rule {
					if len(all) > p.Depth {
						t.Errorf("seed %d: %d conditions, depth %d", seed, len(all), p.Depth)
					}
				}
			}
			if holding != 1 {
				t.Fatalf("seed %d: row %v meets %d rules: %v", seed, x.Row(i), holding, tree.Rules())
			}
		}
	}
}

// Thresholds are numbers that people say.
func TestThresholdsAreRound(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	values := make([]float64, 5000)
	for i := range values {
		values[i] = float64(i) + r.Float64()
	}
	for _, e := range round(values, 64) {
		if m := math.Mod(e, math.Pow(10, math.Floor(math.Log10(math.Max(e, 1)))-1)); e >= 10 && m != 0 {
			t.Errorf("threshold %v has more than two digits", e)
		}
	}
	// Values that agree in two digits are told apart all the same.
	if e := round([]float64{1000.1, 1000.2, 1000.2, 1000.3}, 64); len(e) != 2 {
		t.Errorf("%v", e)
	}
	if e := round([]float64{0, 0, 0, 0, 0, 0, 0, 0, 0, 7}, 4); !reflect.DeepEqual(e, []float64{0}) {
		t.Errorf("%v", e)
	}
	if e := round([]float64{5, 5}, 4); len(e) != 0 {
		t.Errorf("%v", e)
	}
}

// The result depends neither on the order of the rows nor on rows left out.
func TestOrder(t *testing.T) {
	x, labels := table(500, 4)
	want, err := Fit(t.Context(), DefaultParams(), x, labels, 3)
	if err != nil {
		t.Fatal(err)
	}
	turned, back := models.NewMatrix(x.Names, 501), make([]int, 501)
	for i := range 500 {
		copy(turned.Row(i), x.Row(499-i))
		back[i] = labels[499-i]
	}
	back[500] = -1
	got, err := Fit(t.Context(), DefaultParams(), turned, back, 3)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	p := DefaultParams()
	p.Sample = 300
	small, err := Fit(t.Context(), p, x, labels, 3)
	if err != nil || len(small.Rules()) != 3 || len(small.Rules()[2]) == 0 {
		t.Errorf("of a sample: %v, %v", small, err)
	}
}

func TestRefused(t *testing.T) {
	x, labels := table(50, 5)
	for _, c := range []struct {
		want   string
		change func(p *Params, x *models.Matrix, labels *[]int)
	}{
		{"Depth (0) must be 1 to 8", func(p *Params, _ *models.Matrix, _ *[]int) { p.Depth = 0 }},
		{"Thresholds (999)", func(p *Params, _ *models.Matrix, _ *[]int) { p.Thresholds = 999 }},
		{"row 7, column 1 (orders) is -Inf", func(_ *Params, x *models.Matrix, _ *[]int) { x.Row(7)[1] = math.Inf(-1) }},
		{"label 3 of row 4", func(_ *Params, _ *models.Matrix, l *[]int) { (*l)[4] = 3 }},
		{"no row has a label", func(_ *Params, _ *models.Matrix, l *[]int) {
			for i := range *l {
				(*l)[i] = -1
			}
		}},
		{"empty", func(_ *Params, x *models.Matrix, l *[]int) { *x, *l = models.Matrix{}, nil }},
	} {
		p, bad, l := DefaultParams(), models.Matrix{Names: x.Names, Data: append([]float64{}, x.Data...)}, append([]int{}, labels...)
		c.change(&p, &bad, &l)
		if _, err := Fit(t.Context(), p, bad, l, 3); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Fit(ctx, DefaultParams(), x, labels, 3); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
