package shap_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/internal/pyoracle"
	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/gbdt"
	"github.com/shoal-data/shoal/models/shap"
)

// sample has columns of several kinds and labels that need many of them at once.
func sample(n, d int, seed uint64) (models.Matrix, []float64) {
	r := rand.New(rand.NewPCG(seed, 5))
	names := make([]string, d)
	for j := range names {
		names[j] = fmt.Sprint("c", j)
	}
	x := models.NewMatrix(names, n)
	y := make([]float64, n)
	for i := range n {
		row := x.Row(i)
		for j := range row {
			row[j] = r.NormFloat64()
			if j%3 == 1 {
				row[j] = float64(r.IntN(6))
			}
		}
		for j, v := range row {
			y[i] += v * math.Sin(float64(j)+row[(j+1)%d])
		}
		for j := range row {
			if r.IntN(8) == 0 {
				row[j] = math.NaN()
			}
		}
	}
	return x, y
}

func fit(t testing.TB, p gbdt.Params, x models.Matrix, y []float64) *gbdt.Model {
	t.Helper()
	m, _, err := gbdt.Fit(context.Background(), p, x, y)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func explain(t testing.TB, e shap.Additive, x models.Matrix) models.Matrix {
	t.Helper()
	c, err := e.Contributions(x)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// single grows one tree that fits as closely as it can.
func single(leaves int) gbdt.Params {
	p := gbdt.DefaultParams()
	p.Loss, p.Trees, p.LearningRate, p.Leaves, p.MinLeafRows, p.L2 = gbdt.Squared, 1, 1, leaves, 1, 0
	return p
}

// The values that shap's own tests expect of a tree that learnt AND. Splitting
// a leaf's sum by the expectations along the path alone, as in Saabas's method, gives
// [0 −20] [−40 20] [0 −20] [40 20] instead.
func TestAnd(t *testing.T) {
	x := models.Matrix{Names: []string{"a", "b"}, Data: []float64{0, 0, 0, 1, 1, 0, 1, 1}}
	e := shap.ForTrees(fit(t, single(4), x, []float64{0, 0, 0, 80}))
	if math.Abs(e.Base()-20) > 1e-6 {
		t.Errorf("base %v, want 20", e.Base())
	}
	got := explain(t, e, x)
	for k, want := range []float64{-10, -10, -30, 10, 10, -30, 30, 30} {
		if math.Abs(got.Data[k]-want) > 1e-6 {
			t.Errorf("contributions %v", got.Data)
			break
		}
	}
}

// One missing value among five rows, and a label for it: 4/5, and −1/5 for the others.
func TestMissing(t *testing.T) {
	x := models.Matrix{Names: []string{"a"}, Data: []float64{math.NaN(), 1, 1, 1, 1}}
	got := explain(t, shap.ForTrees(fit(t, single(2), x, []float64{1, 0, 0, 0, 0})), x)
	for i, want := range []float64{.8, -.2, -.2, -.2, -.2} {
		if math.Abs(got.Data[i]-want) > 1e-8 {
			t.Fatalf("contributions %v", got.Data)
		}
	}
}

// expected is a tree's value of a row of which only the columns in known are known.
func expected(t *gbdt.Tree, node int32, row []float64, known int) float64 {
	if node < 0 {
		return t.Value[^node]
	}
	left, right := t.Left[node], t.Right[node]
	if known>>t.Column[node]&1 == 1 {
		if t.GoesLeft(int(node), row[t.Column[node]]) {
			return expected(t, left, row, known)
		}
		return expected(t, right, row, known)
	}
	cover := func(c int32) float64 {
		if c < 0 {
			return t.LeafCover[^c]
		}
		return t.Cover[c]
	}
	return (cover(left)*expected(t, left, row, known) + cover(right)*expected(t, right, row, known)) / t.Cover[node]
}

// Shapley's definition, over all subsets of the columns, on trees that come
// back to the same columns.
func TestAllSubsets(t *testing.T) {
	factorial := func(n int) float64 { return math.Gamma(float64(n) + 1) }
	for d := 1; d <= 7; d++ {
		x, y := sample(400, d, uint64(d))
		p := single(40)
		p.Trees, p.LearningRate = 3, .5
		if d > 2 {
			p.Categorical = []string{"c1"}
			p.CategoryRows = 2
		}
		for i := range 400 {
			if d > 1 && math.IsNaN(x.Row(i)[1]) {
				x.Row(i)[1] = 0
			}
		}
		m := fit(t, p, x, y)
		x.Data = x.Data[:25*d]
		got := explain(t, shap.ForTrees(m), x)
		for i := range 25 {
			for j := range d {
				var want float64
				for known := range 1 << d {
					if known>>j&1 == 1 {
						continue
					}
					size := 0
					for k := range d {
						size += known >> k & 1
					}
					weight := factorial(size) * factorial(d-size-1) / factorial(d)
					for k := range m.Trees {
						tree := &m.Trees[k]
						want += weight * (expected(tree, 0, x.Row(i), known|1<<j) - expected(tree, 0, x.Row(i), known))
					}
				}
				if math.Abs(got.Row(i)[j]-want) > 1e-10 {
					t.Fatalf("%d columns, row %d, column %d: %v, want %v", d, i, j, got.Row(i)[j], want)
				}
			}
		}
	}
}

// Base and contributions sum to the score, also in deep trees of many columns.
func TestAdditivity(t *testing.T) {
	x, y := sample(3000, 30, 3)
	for _, p := range []gbdt.Params{gbdt.DefaultParams(), single(300)} {
		labels := slices.Clone(y)
		if p.Loss == gbdt.Logistic {
			for i, v := range y {
				labels[i] = 0
				if v > 0 {
					labels[i] = 1
				}
			}
		}
		m := fit(t, p, x, labels)
		e := shap.ForTrees(m)
		c := explain(t, e, x)
		scores, err := m.Scores(nil, x)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range scores {
			sum := e.Base()
			for _, v := range c.Row(i) {
				sum += v
			}
			if math.Abs(sum-s) > 1e-9 {
				t.Fatalf("row %d: contributions sum to %v, the score is %v", i, sum, s)
			}
		}
	}
}

// LightGBM's own TreeSHAP, on our model as it loads it.
func TestAgainstLightGBM(t *testing.T) {
	x, y := sample(2000, 12, 4)
	for i := range y {
		if v := &x.Row(i)[1]; math.IsNaN(*v) {
			*v = 3
		}
	}
	p := gbdt.DefaultParams()
	p.Loss, p.Trees, p.Categorical = gbdt.Squared, 30, []string{"c1"}
	m := fit(t, p, x, y)
	var model bytes.Buffer
	if err := m.WriteLightGBM(&model); err != nil {
		t.Fatal(err)
	}
	x.Data = x.Data[:300*12]
	rows := make([][]*float64, 300)
	for i := range rows {
		rows[i] = make([]*float64, 12)
		for j := range rows[i] {
			if v := &x.Row(i)[j]; !math.IsNaN(*v) {
				rows[i][j] = v
			}
		}
	}
	var want [][]float64
	pyoracle.Run(t, `
import json, sys
import lightgbm, numpy
a = json.load(sys.stdin)
b = lightgbm.Booster(model_str=a["model"])
print(json.dumps(b.predict(numpy.array(a["x"], dtype=float), pred_contrib=True, num_threads=1).tolist()))
`, map[string]any{"model": model.String(), "x": rows}, &want)
	e := shap.ForTrees(m)
	got := explain(t, e, x)
	for i := range want {
		for j, v := range got.Row(i) {
			if math.Abs(v-want[i][j]) > 1e-9 {
				t.Fatalf("row %d, column %d: %v, LightGBM %v", i, j, v, want[i][j])
			}
		}
		if math.Abs(e.Base()-want[i][12]) > 1e-9 {
			t.Fatalf("base %v, LightGBM %v", e.Base(), want[i][12])
		}
	}
}

// What a session remembers changes nothing: not when rows come again, not when
// they are more than it keeps, not in trees of more conditions than it can tell apart.
func TestSession(t *testing.T) {
	x, y := sample(9000, 6, 3)
	for _, leaves := range []int{3, 11, 12, 15, 90} {
		p := gbdt.DefaultParams()
		p.Loss, p.Trees, p.Leaves, p.MinLeafRows = gbdt.Squared, 6, leaves, 2
		e := shap.ForTrees(fit(t, p, x, y))
		session := e.NewSession()
		for range 2 {
			got, err := session.Contributions(x)
			if err != nil {
				t.Fatal(err)
			}
			for i := range x.Rows() {
				if i%50 != 0 && i < 8900 {
					continue
				}
				alone := explain(t, e, models.Matrix{Names: x.Names, Data: x.Row(i)})
				if !slices.Equal(alone.Data, got.Row(i)) {
					t.Fatalf("%d leaves, row %d: %v in a session, %v alone", leaves, i, got.Row(i), alone.Data)
				}
			}
		}
	}
}

func TestRefusesOtherColumns(t *testing.T) {
	x, y := sample(100, 3, 4)
	e := shap.ForTrees(fit(t, single(5), x, y))
	if _, err := e.Contributions(models.Matrix{Names: x.Names[:2], Data: x.Data[:2]}); err == nil || !strings.Contains(err.Error(), "2 columns") {
		t.Errorf("two of three columns: %v", err)
	}
	// A model without a split: nothing but the base.
	m := fit(t, single(5), models.Matrix{Names: []string{"flat"}, Data: []float64{1, 1}}, []float64{2, 4})
	e = shap.ForTrees(m)
	if got := explain(t, e, models.Matrix{Names: []string{"flat"}, Data: []float64{5}}); got.Data[0] != 0 || e.Base() != 3 {
		t.Errorf("base %v, contributions %v", e.Base(), got.Data)
	}
}

func TestTop(t *testing.T) {
	row := []float64{.1, -3, 0, 3, .5}
	if got := shap.Top(row, 3); !slices.Equal(got, []int{1, 3, 4}) {
		t.Errorf("top three of %v: %v", row, got)
	}
	if got := shap.Top(row, 9); !slices.Equal(got, []int{1, 3, 4, 0}) {
		t.Errorf("top nine of %v: %v", row, got)
	}
}

func BenchmarkContributions(b *testing.B) {
	const n = 20_000
	x, y := sample(n, 50, 3)
	for _, leaves := range []int{7, 15, 31} {
		p := gbdt.DefaultParams()
		p.Loss, p.Leaves, p.ColumnFraction = gbdt.Squared, leaves, .5
		e := shap.ForTrees(fit(b, p, x, y))
		b.Run(fmt.Sprintf("leaves=%d", leaves), func(b *testing.B) {
			for b.Loop() {
				explain(b, e, x)
			}
			b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
