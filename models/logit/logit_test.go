package logit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/internal/pyoracle"
	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/logit"
	"github.com/shoal-data/shoal/models/modeltest"
)

// simulate draws n standard normal rows of d columns and labels from a logistic
// model of base rate about a third.
func simulate(n, d int, seed uint64) (models.Matrix, []float64) {
	rng := rand.New(rand.NewPCG(seed, 7))
	names := make([]string, d)
	beta := make([]float64, d)
	for j := range d {
		names[j] = fmt.Sprintf("c%d", j)
		beta[j] = rng.NormFloat64() / math.Sqrt(float64(d))
	}
	x := models.NewMatrix(names, n)
	y := make([]float64, n)
	for i := range n {
		eta := -.8
		for j := range d {
			v := rng.NormFloat64()
			x.Row(i)[j] = v
			eta += beta[j] * v
		}
		if rng.Float64() < 1/(1+math.Exp(-eta)) {
			y[i] = 1
		}
	}
	return x, y
}

func fit(t testing.TB, p logit.Params, x models.Matrix, y, w []float64) *logit.Model {
	t.Helper()
	m, warnings, err := logit.FitWeighted(context.Background(), p, x, y, w)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		t.Errorf("unexpected warning: %v", w)
	}
	return m
}

func near(t *testing.T, what string, got, want, tol float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tol*math.Abs(want)) {
		t.Errorf("%s is %.12g, want %.12g", what, got, want)
	}
}

func TestConformance(t *testing.T) {
	x, y := simulate(5000, 6, 1)
	for _, l1 := range []float64{0, 20} {
		t.Run(fmt.Sprintf("L1=%v", l1), func(t *testing.T) {
			modeltest.CheckPredictor(t, modeltest.Predictor{
				Package: "logit", X: x, Y: y, Weighted: true,
				Fit: func(ctx context.Context, x models.Matrix, y, w []float64, workers int) (modeltest.Predicting, []models.Warning, error) {
					p := logit.DefaultParams()
					p.Workers, p.L1 = workers, l1
					return logit.FitWeighted(ctx, p, x, y, w)
				},
				Load: func(data []byte) (modeltest.Predicting, error) {
					m := new(logit.Model)
					return m, json.Unmarshal(data, m)
				},
			})
		})
	}
}

// With an elastic net the weights meet the conditions of the optimum, which the
// convex objective has but one of: a weight's gradient is −L1 by its sign, and no
// steeper than L1 where it is 0. And scikit-learn's saga comes to the same.
func TestElasticNet(t *testing.T) {
	x, y := simulate(400, 12, 3)
	for i := range x.Rows() { // a column twice, on other scales
		row := x.Row(i)
		row[11] = 50*row[0] + 3
	}
	for _, c := range []struct{ l1, l2 float64 }{{1, 0}, {8, 2}, {3, 5}, {60, 1}, {1e4, 0}} {
		p := logit.DefaultParams()
		p.L1, p.L2, p.Tol = c.l1, c.l2, 1e-14
		m := fit(t, p, x, y, nil)
		prob, err := m.Predict(nil, x)
		if err != nil {
			t.Fatal(err)
		}
		grad, intercept := make([]float64, x.Cols()), 0.0
		for i, q := range prob {
			intercept += q - y[i]
			for j, v := range x.Row(i) {
				grad[j] += (q - y[i]) * v
			}
		}
		if math.Abs(intercept) > 1e-4 {
			t.Errorf("L1 %v, L2 %v: the gradient of the intercept is %v", c.l1, c.l2, intercept)
		}
		zeros := 0
		for j, w := range m.Weights {
			g := grad[j] + c.l2*w
			switch {
			case w == 0:
				zeros++
				if math.Abs(g) > c.l1*(1+1e-6) {
					t.Errorf("L1 %v, L2 %v: weight %d is 0 where the gradient is %v", c.l1, c.l2, j, g)
				}
			case math.Abs(g+math.Copysign(c.l1, w)) > 1e-4*(1+c.l1):
				t.Errorf("L1 %v, L2 %v: weight %d is %v where the gradient is %v", c.l1, c.l2, j, w, g)
			}
		}
		if c.l1 == 1e4 && zeros != len(m.Weights) || c.l1 == 60 && zeros == 0 {
			t.Errorf("L1 %v: %d weights of 0", c.l1, zeros)
		}
		if c.l1 > 8 {
			continue
		}
		rows := make([][]float64, x.Rows())
		for i := range rows {
			rows[i] = x.Row(i)[:11]
		}
		x11 := models.Matrix{Names: x.Names[:11]}
		for _, r := range rows {
			x11.Data = append(x11.Data, r...)
		}
		var got struct {
			Weights   []float64
			Intercept float64
		}
		pyoracle.Run(t, `
import json, sys, warnings
warnings.simplefilter("ignore")
from sklearn.linear_model import LogisticRegression
a = json.load(sys.stdin)
l = a["L1"] + a["L2"]
m = LogisticRegression(penalty="elasticnet", solver="saga", C=1 / l, l1_ratio=a["L1"] / l, tol=1e-10, max_iter=100000).fit(a["X"], a["Y"])
print(json.dumps({"Weights": m.coef_[0].tolist(), "Intercept": float(m.intercept_[0])}))
`, map[string]any{"X": rows, "Y": y, "L1": c.l1, "L2": c.l2}, &got)
		m = fit(t, p, x11, y, nil)
		for j, w := range got.Weights {
			if math.Abs(w-m.Weights[j]) > 1e-5*(1+math.Abs(w)) {
				t.Errorf("L1 %v, L2 %v: weight %d is %v, scikit-learn's %v", c.l1, c.l2, j, m.Weights[j], w)
			}
		}
	}
}

func TestMtcars(t *testing.T) {
	wt := []float64{2.620, 2.875, 2.320, 3.215, 3.440, 3.460, 3.570, 3.190, 3.150, 3.440, 3.440, 4.070, 3.730, 3.780, 5.250, 5.424,
		5.345, 2.200, 1.615, 1.835, 2.465, 3.520, 3.435, 3.840, 3.845, 1.935, 2.140, 1.513, 3.170, 2.770, 3.570, 2.780}
	am := []float64{1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1}
	p := logit.DefaultParams()
	p.L2 = 0
	m := fit(t, p, models.Matrix{Names: []string{"wt"}, Data: wt}, am, nil)
	near(t, "intercept", m.Intercept, 12.040369729, 1e-9)
	near(t, "wt", m.Weights[0], -4.023969962, 1e-9)
	near(t, "deviance", 2*m.Objective, 19.17608481, 1e-9)
}

// TestInfert: R's glm(case ~ spontaneous + induced, binomial, infert) prints
// −1.707860071, 1.197205035, .418129395 and deviance 279.6119788. The 248 women
// of Trichopoulos et al. (1976) are given as the table of (case, spontaneous,
// induced) in R's datasets, with its counts as weights.
func TestInfert(t *testing.T) {
	x := models.Matrix{Names: []string{"spontaneous", "induced"}}
	var y, w []float64
	for _, c := range [][4]float64{ // case, spontaneous, induced, women
		{0, 0, 0, 60}, {0, 0, 1, 33}, {0, 0, 2, 20}, {0, 1, 0, 25}, {0, 1, 1, 11}, {0, 1, 2, 4}, {0, 2, 0, 11}, {0, 2, 1, 1},
		{1, 0, 0, 7}, {1, 0, 1, 12}, {1, 0, 2, 9}, {1, 1, 0, 22}, {1, 1, 1, 5}, {1, 1, 2, 4}, {1, 2, 0, 18}, {1, 2, 1, 6},
	} {
		y, w = append(y, c[0]), append(w, c[3])
		x.Data = append(x.Data, c[1], c[2])
	}
	p := logit.DefaultParams()
	p.L2 = 0
	m := fit(t, p, x, y, w)
	near(t, "rows", m.Rows, 248, 0)
	near(t, "intercept", m.Intercept, -1.707860071, 1e-9)
	near(t, "spontaneous", m.Weights[0], 1.197205035, 1e-9)
	near(t, "induced", m.Weights[1], .418129395, 2e-9)
	near(t, "deviance", 2*m.Objective, 279.6119788, 1e-9)
}

// TestBreastCancer: scikit-learn's LogisticRegression(C=1) on its z-scored
// breast-cancer data (Wolberg et al. 1995), solved to a tight tolerance.
func TestBreastCancer(t *testing.T) {
	var data struct {
		X []float64
		Y []float64
		D int
	}
	pyoracle.Run(t, `
import json
from sklearn.datasets import load_breast_cancer
x, y = load_breast_cancer(return_X_y=True)
x = (x - x.mean(0)) / x.std(0)
print(json.dumps({"X": x.ravel().tolist(), "Y": y.tolist(), "D": x.shape[1]}))
`, nil, &data)
	names := make([]string, data.D)
	for j := range names {
		names[j] = fmt.Sprint("c", j)
	}
	x := models.Matrix{Names: names, Data: data.X}
	m := fit(t, logit.DefaultParams(), x, data.Y, nil)
	near(t, "intercept", m.Intercept, .2145027174, 1e-8)
	for j, want := range []float64{-.3630925319, -.3876754424, -.3510621187} {
		near(t, names[j], m.Weights[j], want, 1e-8)
	}
	probs, err := m.Predict(nil, x)
	if err != nil {
		t.Fatal(err)
	}
	var loss, brier float64
	for i, p := range probs {
		y := data.Y[i]
		loss -= (y*math.Log(p) + (1-y)*math.Log1p(-p)) / float64(len(probs))
		brier += (p - y) * (p - y) / float64(len(probs))
	}
	near(t, "log-loss", loss, .0533918575, 1e-8)
	near(t, "Brier score", brier, .0127996738, 1e-7)
}

// TestOptimum checks the definition itself: at the fit, finite differences of
// the documented objective vanish in every direction, and nearby it is larger.
func TestOptimum(t *testing.T) {
	x, y := simulate(700, 4, 3)
	w := make([]float64, len(y))
	for i := range w {
		w[i] = .25 * float64(i%7)
	}
	for i := range y { // columns of very different scale and far from 0
		x.Row(i)[1] = 1e4 + 50*x.Row(i)[1]
		x.Row(i)[2] *= 1e-5
	}
	p := logit.DefaultParams()
	p.L2 = .7
	m := fit(t, p, x, y, w)
	objective := func(b0 float64, b []float64) (f float64) {
		for i := range y {
			eta := b0
			for j, v := range x.Row(i) {
				eta += b[j] * v
			}
			f += w[i] * (math.Log1p(math.Exp(eta)) - y[i]*eta)
		}
		for _, v := range b {
			f += p.L2 / 2 * v * v
		}
		return f
	}
	best := objective(m.Intercept, m.Weights)
	near(t, "Objective", m.Objective, best, 1e-12)
	// A step of a ten-thousandth of a standard error and its opposite raise f
	// alike, unless the gradient is not 0.
	for j := range 5 {
		at := func(d float64) float64 {
			b := append([]float64(nil), m.Weights...)
			b0 := m.Intercept
			if j < 4 {
				// Turn about the column's mean, lest the intercept dominate.
				scale := []float64{1, 50, 1e-5, 1}[j]
				b[j] += d / scale
				b0 -= d / scale * m.Means[j]
			} else {
				b0 += d
			}
			return objective(b0, b) - best
		}
		up, down := at(.01), at(-.01)
		if up <= 0 || down <= 0 {
			t.Errorf("coordinate %d: the objective changes by %v and %v about the optimum", j, up, down)
		}
		if g, curve := (up-down)/.02, (up+down)/1e-4; math.Abs(g) > 1e-4*curve {
			t.Errorf("coordinate %d: gradient %v, curvature %v", j, g, curve)
		}
	}
}

func TestContributionsAddUp(t *testing.T) {
	x, y := simulate(500, 5, 9)
	m := fit(t, logit.DefaultParams(), x, y, nil)
	c, err := m.Contributions(x)
	if err != nil {
		t.Fatal(err)
	}
	probs, err := m.Predict(nil, x)
	if err != nil {
		t.Fatal(err)
	}
	columns := make([]float64, x.Cols())
	for i, p := range probs {
		eta := m.Base()
		for j, v := range c.Row(i) {
			eta += v
			columns[j] += v
		}
		if want := math.Log(p / (1 - p)); math.Abs(eta-want) > 1e-12*(1+math.Abs(want)) {
			t.Fatalf("row %d: base and contributions sum to %v, the log-odds are %v", i, eta, want)
		}
	}
	for j, v := range columns {
		if math.Abs(v) > 1e-10 {
			t.Errorf("contributions of column %d average %v over the training rows, want 0", j, v)
		}
	}
	if _, err := m.Contributions(models.Matrix{}); err == nil {
		t.Error("contributions of no rows")
	}
}

func TestConstantColumns(t *testing.T) {
	x, y := simulate(300, 2, 5)
	with := models.Matrix{Names: []string{"c0", "flat", "c1"}}
	for i := range y {
		with.Data = append(with.Data, x.Row(i)[0], .1, x.Row(i)[1])
	}
	m, warnings, err := logit.Fit(context.Background(), logit.DefaultParams(), with, y)
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 1 || warnings[0].Code != "logit.constant_columns" || !strings.Contains(warnings[0].Message, "flat") {
		t.Errorf("warnings %v, want logit.constant_columns about flat", warnings)
	}
	plain := fit(t, logit.DefaultParams(), x, y, nil)
	if m.Weights[1] != 0 || m.Weights[0] != plain.Weights[0] || m.Weights[2] != plain.Weights[1] || m.Intercept != plain.Intercept {
		t.Errorf("with a constant column %+v, without %+v", m, plain)
	}
	// Nothing but constants: the base rate.
	var ones float64
	for i := range y {
		ones += y[i]
		with.Row(i)[0], with.Row(i)[2] = 3, -1
	}
	m, _, err = logit.Fit(context.Background(), logit.DefaultParams(), with, y)
	if err != nil {
		t.Fatal(err)
	}
	p, err := m.Predict(nil, with)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "probability from constants", p[0], ones/float64(len(y)), 1e-12)
}

func TestSeparable(t *testing.T) {
	x := models.NewMatrix([]string{"leak", "noise"}, 100)
	y := make([]float64, 100)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range y {
		y[i] = float64(i % 2)
		x.Row(i)[0], x.Row(i)[1] = y[i], rng.NormFloat64()
	}
	// The penalty makes it an ordinary problem.
	m := fit(t, logit.DefaultParams(), x, y, nil)
	if w := m.Weights[0]; !(w > 1 && w < 20) {
		t.Errorf("penalised weight of a separating column is %v", w)
	}
	p := logit.DefaultParams()
	p.L2 = 0
	m, warnings, err := logit.Fit(context.Background(), p, x, y)
	if err != nil {
		t.Fatal(err)
	}
	codes := fmt.Sprint(warnings)
	if !strings.Contains(codes, "logit.separated") {
		t.Errorf("unpenalised fit %+v warns %v, want logit.separated", m, warnings)
	}
	probs, err := m.Predict(nil, x)
	if err != nil {
		t.Fatal(err)
	}
	for i, q := range probs {
		if math.IsNaN(q) || math.Abs(q-y[i]) > 1e-3 {
			t.Fatalf("row %d, label %v, is predicted %v", i, y[i], q)
		}
	}
}

func TestCollinearWithoutPenalty(t *testing.T) {
	x, y := simulate(400, 1, 4)
	double := models.Matrix{Names: []string{"c0", "twice"}}
	for i := range y {
		double.Data = append(double.Data, x.Data[i], 2*x.Data[i])
	}
	p := logit.DefaultParams()
	p.L2 = 0
	one, two := fit(t, p, x, y, nil), fit(t, p, double, y, nil)
	near(t, "combined weight", two.Weights[0]+2*two.Weights[1], one.Weights[0], 1e-6)
}

func TestMaxIterWarns(t *testing.T) {
	x, y := simulate(400, 3, 4)
	p := logit.DefaultParams()
	p.MaxIter = 1
	_, warnings, err := logit.Fit(context.Background(), p, x, y)
	if err != nil || len(warnings) != 1 || warnings[0].Code != "logit.not_converged" {
		t.Errorf("one step: %v, %v; want logit.not_converged", warnings, err)
	}
}

func TestErrors(t *testing.T) {
	x, _ := simulate(10, 2, 1)
	if _, _, err := logit.Fit(context.Background(), logit.DefaultParams(), x, make([]float64, 10)); !errors.Is(err, logit.ErrOneClass) {
		t.Errorf("labels all 0: %v, want ErrOneClass", err)
	}
	err := logit.Params{L2: -1, Tol: math.NaN()}.Validate()
	for _, want := range []string{"logit: L2 (-1) must be >= 0", "MaxIter (0) must be >= 1", "Tol (NaN)", "Workers (0) must be >= 1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate does not mention %q: %v", want, err)
		}
	}
}

func BenchmarkFit(b *testing.B) {
	for _, size := range []struct{ n, d int }{{1e5, 10}, {1e5, 60}} {
		x, y := simulate(size.n, size.d, 1)
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("n=%d/d=%d/workers=%d", size.n, size.d, workers), func(b *testing.B) {
				p := logit.DefaultParams()
				p.Workers = workers
				for b.Loop() {
					m := fit(b, p, x, y, nil)
					b.ReportMetric(m.Objective/m.Rows, "logloss")
					b.ReportMetric(float64(m.Iterations), "steps")
				}
				b.ReportMetric(float64(size.n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
}

func ExampleFit() {
	x := models.Matrix{Names: []string{"days_since_visit"}, Data: []float64{-1, -1, -1, 0, 0, 1, 1, 1}}
	churned := []float64{0, 0, 1, 0, 1, 1, 1, 0}
	m, _, err := logit.Fit(context.Background(), logit.DefaultParams(), x, churned)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := m.Predict(nil, models.Matrix{Names: x.Names, Data: []float64{-1, 0, 1}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.3f\n", p)
	// Output: [0.401 0.500 0.599]
}
