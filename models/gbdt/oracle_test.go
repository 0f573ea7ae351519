package gbdt_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/shoal-data/shoal/internal/pyoracle"
	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/gbdt"
	"github.com/shoal-data/shoal/models/metrics"
)

// probes are rows like x's, some values missing and some exactly at thresholds,
// or next to them.
func probes(m *gbdt.Model, n int) models.Matrix {
	x, _ := simulate(n, 99)
	r := rand.New(rand.NewPCG(4, 9))
	at := make([][]float64, len(m.Names))
	for _, t := range m.Trees {
		for i, c := range t.Column {
			if (t.Categories == nil || t.Categories[i] == nil) && t.Threshold[i] < math.MaxFloat64 {
				at[c] = append(at[c], t.Threshold[i])
			}
		}
	}
	for i := range n {
		row := x.Row(i)
		for j := range row {
			switch r.IntN(5) {
			case 0:
				row[j] = math.NaN()
			case 1:
				if len(at[j]) > 0 {
					row[j] = at[j][r.IntN(len(at[j]))]
				}
			case 2:
				if len(at[j]) > 0 {
					row[j] = math.Nextafter(at[j][r.IntN(len(at[j]))], math.Inf(1))
				}
			}
			if j == 4 && row[j] == row[j] {
				row[j] = float64(r.IntN(100))
			}
		}
	}
	return x
}

// nullable is a matrix for JSON, which has no NaN.
func nullable(x models.Matrix) [][]*float64 {
	rows := make([][]*float64, x.Rows())
	for i := range rows {
		rows[i] = make([]*float64, x.Cols())
		for j := range rows[i] {
			if v := &x.Data[i*x.Cols()+j]; *v == *v {
				rows[i][j] = v
			}
		}
	}
	return rows
}

// Python's lightgbm loads what we export and predicts the same.
func TestLightGBMLoadsExport(t *testing.T) {
	x, y := simulate(4000, 20)
	for _, loss := range []gbdt.Loss{gbdt.Logistic, gbdt.Squared, gbdt.Tweedie} {
		p := small()
		p.Loss, p.Trees = loss, 30
		labels := slices.Clone(y)
		if loss != gbdt.Logistic {
			for i := range labels {
				labels[i] *= x.Row(i)[0] + 7
			}
		}
		m := fit(t, p, x, labels)
		var model bytes.Buffer
		if err := m.WriteLightGBM(&model); err != nil {
			t.Fatal(err)
		}
		probe := probes(m, 10000)
		var got struct{ Raw, P []float64 }
		pyoracle.Run(t, `
import json, sys
import lightgbm, numpy
a = json.load(sys.stdin)
b = lightgbm.Booster(model_str=a["model"])
x = numpy.array(a["x"], dtype=float)
print(json.dumps({"Raw": b.predict(x, raw_score=True).tolist(), "P": b.predict(x).tolist()}))
`, map[string]any{"model": model.String(), "x": nullable(probe)}, &got)
		raw, err := m.Scores(nil, probe)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range predict(t, m, probe) {
			if got.Raw[i] != raw[i] {
				t.Fatalf("%s: row %d scores %v in lightgbm, %v here: %v", loss, i, got.Raw[i], raw[i], probe.Row(i))
			}
			if math.Abs(got.P[i]-want) > 1e-12*(1+want) {
				t.Fatalf("%s: row %d is predicted %v by lightgbm, %v here", loss, i, got.P[i], want)
			}
		}
	}
}

// LightGBM, told to grow the same trees, grows the same trees: small tables, each
// value its own bin, where rounding of gradients cannot decide. L1 is small: with
// more of it, LightGBM overlooks splits, as it gives up a column below a leaf where
// the column had none.
func TestSameTreesAsLightGBM(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 28))
	type table struct {
		X [][]*float64
		Y []float64
	}
	var tables []table
	var ours [][]float64
	for range 30 {
		const n = 250
		x := models.NewMatrix([]string{"a", "b", "c"}, n)
		y := make([]float64, n)
		for i := range n {
			row := x.Row(i)
			row[0], row[1], row[2] = r.NormFloat64(), float64(r.IntN(8)), r.ExpFloat64()
			y[i] = 2*row[0] + math.Sin(3*row[2]) + float64(b2i(row[1] > 4)) + .5*r.NormFloat64()
			if r.IntN(6) == 0 {
				row[2] = math.NaN()
			}
		}
		p := gbdt.DefaultParams()
		p.Loss, p.Trees, p.Leaves, p.MinLeafRows, p.L2, p.L1 = gbdt.Squared, 4, 6, 10, 2, .1
		tables = append(tables, table{nullable(x), y})
		ours = append(ours, predict(t, fit(t, p, x, y), x))
	}
	var theirs [][]float64
	pyoracle.Run(t, `
import json, sys
import lightgbm, numpy
out = []
for t in json.load(sys.stdin):
    x, y = numpy.array(t["X"], dtype=float), numpy.array(t["Y"])
    p = dict(objective="regression", num_leaves=6, learning_rate=.1, min_data_in_leaf=10, lambda_l2=2, lambda_l1=.1,
             min_data_in_bin=1, max_bin=255, verbose=-1, num_threads=1, min_sum_hessian_in_leaf=1e-3)
    out.append(lightgbm.train(p, lightgbm.Dataset(x, y), 4).predict(x).tolist())
print(json.dumps(out))
`, tables, &theirs)
	for k := range ours {
		for i := range ours[k] {
			if math.Abs(ours[k][i]-theirs[k][i]) > 1e-5 {
				t.Errorf("table %d, row %d: %v, LightGBM %v", k, i, ours[k][i], theirs[k][i])
				break
			}
		}
	}
}

// At equal settings LightGBM, on rows that neither has seen, is no better or
// worse than chance allows.
func TestAsGoodAsLightGBM(t *testing.T) {
	x, y := simulate(20000, 31)
	vx, vy := simulate(20000, 32)
	spend := func(x models.Matrix, y []float64) []float64 {
		r := rand.New(rand.NewPCG(uint64(len(y)), 3))
		amounts := slices.Clone(y)
		for i := range amounts {
			amounts[i] *= (1 + x.Row(i)[0]) * math.Exp(.5*r.NormFloat64())
		}
		return amounts
	}
	for _, c := range []struct {
		loss      gbdt.Loss
		objective string
		change    func(*gbdt.Params)
		options   map[string]any
	}{
		{gbdt.Logistic, "binary", func(*gbdt.Params) {}, nil},
		{gbdt.Logistic, "binary", func(p *gbdt.Params) { p.Categorical = []string{"channel"} }, map[string]any{"categorical_feature": []int{4}}},
		{gbdt.Logistic, "binary", func(p *gbdt.Params) { p.Monotone = map[string]int{"recency": -1} }, map[string]any{"monotone_constraints": []int{0, 0, -1, 0, 0, 0}}},
		{gbdt.Logistic, "binary", func(p *gbdt.Params) { p.RowFraction, p.ColumnFraction = .7, .67 }, map[string]any{"bagging_fraction": .7, "bagging_freq": 1, "feature_fraction": .67}},
		{gbdt.Squared, "regression", func(*gbdt.Params) {}, nil},
		{gbdt.Tweedie, "tweedie", func(*gbdt.Params) {}, nil},
	} {
		name := fmt.Sprint(c.objective, c.options)
		labels, held := y, vy
		if c.loss != gbdt.Logistic {
			labels, held = spend(x, y), spend(vx, vy)
		}
		options := map[string]any{"objective": c.objective, "lambda_l2": 1, "verbose": -1, "num_threads": 1, "min_data_in_bin": 1}
		for k, v := range c.options {
			options[k] = v
		}
		var theirs []float64
		pyoracle.Run(t, `
import json, sys
import lightgbm, numpy
a = json.load(sys.stdin)
cats = a["options"].pop("categorical_feature", [])
d = lightgbm.Dataset(numpy.array(a["x"], dtype=float), numpy.array(a["y"]), categorical_feature=cats)
print(json.dumps(lightgbm.train(a["options"], d, 60).predict(numpy.array(a["v"], dtype=float)).tolist()))
`, map[string]any{"x": nullable(x), "y": labels, "v": nullable(vx), "options": options}, &theirs)
		p := gbdt.DefaultParams()
		p.Loss, p.Trees, p.Workers = c.loss, 60, 2
		c.change(&p)
		ours := predict(t, fit(t, p, x, labels), vx)
		if c.loss != gbdt.Logistic {
			a, b := loss(c.loss, held, ours), loss(c.loss, held, theirs)
			t.Logf("%s: loss %.6f, LightGBM %.6f", name, a, b)
			if a > 1.01*b {
				t.Errorf("%s: loss %v, LightGBM's %v", name, a, b)
			}
			continue
		}
		a, b := judged(t, held, ours), judged(t, held, theirs)
		aucA, _ := a.AUC()
		aucB, _ := b.AUC()
		lossA, _ := a.LogLoss()
		lossB, _ := b.LogLoss()
		t.Logf("%s: AUC %.6f, LightGBM %.6f; log-loss %.6f, LightGBM %.6f", name, aucA, aucB, lossA, lossB)
		if aucA < aucB-.001 || lossA > 1.003*lossB {
			t.Errorf("%s: AUC %v, LightGBM's %v; log-loss %v, LightGBM's %v", name, aucA, aucB, lossA, lossB)
		}
	}
}

func judged(t *testing.T, y, p []float64) *metrics.Binary {
	t.Helper()
	b, err := metrics.NewBinary(y, p)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// loss is the mean squared error, or the mean Tweedie deviance of power 1.5 less
// what depends on y alone.
func loss(of gbdt.Loss, y, p []float64) (sum float64) {
	for i := range y {
		if of == gbdt.Squared {
			sum += (y[i] - p[i]) * (y[i] - p[i])
		} else {
			sum += 2*y[i]/math.Sqrt(p[i]) + 2*math.Sqrt(p[i])
		}
	}
	return sum / float64(len(y))
}

// onnxruntime runs what we export and predicts the same; onnx's checker finds
// nothing wrong with it.
func TestONNX(t *testing.T) {
	x, y := simulate(4000, 20)
	flat := models.NewMatrix(x.Names, 40)
	for _, c := range []struct {
		name   string
		loss   gbdt.Loss
		x      models.Matrix
		change func(*gbdt.Params)
	}{
		{"logistic", gbdt.Logistic, x, func(*gbdt.Params) {}},
		{"numeric", gbdt.Logistic, x, func(p *gbdt.Params) { p.Categorical = nil }},
		{"squared", gbdt.Squared, x, func(*gbdt.Params) {}},
		{"tweedie", gbdt.Tweedie, x, func(*gbdt.Params) {}},
		{"no split", gbdt.Squared, flat, func(*gbdt.Params) {}},
	} {
		p := small()
		p.Loss, p.Trees = c.loss, 30
		c.change(&p)
		m, _, err := gbdt.Fit(t.Context(), p, c.x, y[:c.x.Rows()])
		if err != nil {
			t.Fatal(err)
		}
		var model bytes.Buffer
		if err := m.WriteONNX(&model); err != nil {
			t.Fatal(err)
		}
		probe := probes(m, 10000)
		var got struct {
			Score, Prediction []float64
			Columns           []string
		}
		pyoracle.Run(t, `
import base64, json, sys
import numpy, onnx, onnxruntime
a = json.load(sys.stdin)
m = base64.b64decode(a["model"])
onnx.checker.check_model(onnx.load_from_string(m), full_check=True)
s = onnxruntime.InferenceSession(m, providers=["CPUExecutionProvider"])
score, p = s.run(["score", "prediction"], {"x": numpy.array(a["x"], dtype=float)})
print(json.dumps({"Score": score.ravel().tolist(), "Prediction": p.ravel().tolist(),
    "Columns": json.loads(s.get_modelmeta().custom_metadata_map["columns"])}))
`, map[string]any{"model": model.Bytes(), "x": nullable(probe)}, &got)
		if !slices.Equal(got.Columns, x.Names) {
			t.Errorf("%s: columns %v", c.name, got.Columns)
		}
		score, err := m.Scores(nil, probe)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range predict(t, m, probe) {
			if math.Abs(got.Score[i]-score[i]) > 1e-12*(1+math.Abs(score[i])) || math.Abs(got.Prediction[i]-want) > 1e-12*(1+want) {
				t.Fatalf("%s: row %d scores %v and %v in onnxruntime, %v and %v here: %v", c.name, i, got.Score[i], got.Prediction[i], score[i], want, probe.Row(i))
			}
		}
	}
}
