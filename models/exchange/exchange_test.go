package exchange_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/internal/pyoracle"
	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/baseline"
	"github.com/shoal-data/shoal/models/calibrate"
	"github.com/shoal-data/shoal/models/exchange"
	"github.com/shoal-data/shoal/models/gbdt"
	"github.com/shoal-data/shoal/models/logit"
	"github.com/shoal-data/shoal/models/transform"
)

var names = []string{"recency", "spend", "balance", "share", "flat"}

// rows have a skewed column, one of both signs, missing values and a constant.
func rows(n int, seed uint64) (models.Matrix, []float64) {
	r := rand.New(rand.NewPCG(seed, 7))
	x, y := models.NewMatrix(names, n), make([]float64, n)
	for i := range n {
		row := x.Row(i)
		row[0], row[1], row[3], row[4] = float64(r.IntN(400)), math.Exp(3*r.NormFloat64()), r.Float64(), 1
		row[2] = math.Exp(3*r.NormFloat64()) - 2
		for j := range 3 {
			if r.IntN(12) == 0 {
				row[j] = math.NaN()
			}
		}
		eta := 1 - row[0]/100
		if row[0] != row[0] {
			eta = -3
		}
		if r.Float64() < 1/(1+math.Exp(-eta-2*row[3])) {
			y[i] = 1
		}
	}
	return x, y
}

// onnxruntime gives the probabilities that the models themselves give, to 1e-12, on
// 10,000 rows with missing values, values at corners and thresholds and far outside
// what was seen; onnx's checker finds no fault.
func TestONNX(t *testing.T) {
	x, y := rows(6000, 1)
	prepared, _, err := transform.Fit(t.Context(), transform.DefaultParams(), x)
	if err != nil {
		t.Fatal(err)
	}
	shapes := map[transform.Shape]bool{}
	for _, c := range prepared.Columns() {
		shapes[c.Shape] = true
	}
	if len(shapes) != 3 {
		t.Fatalf("shapes %v: want all three", shapes)
	}
	z, err := prepared.Apply(models.Matrix{}, x)
	if err != nil {
		t.Fatal(err)
	}
	logistic, _, err := logit.Fit(t.Context(), logit.DefaultParams(), z, y)
	if err != nil {
		t.Fatal(err)
	}
	recency, _, err := baseline.Fit(t.Context(), baseline.DefaultParams("recency"), x, y)
	if err != nil {
		t.Fatal(err)
	}
	tp := gbdt.DefaultParams()
	tp.Trees = 20
	trees, _, err := gbdt.Fit(t.Context(), tp, x, y)
	if err != nil {
		t.Fatal(err)
	}
	probe, _ := rows(10000, 2)
	r := rand.New(rand.NewPCG(3, 3))
	for i := range probe.Rows() {
		row := probe.Row(i)
		switch i % 5 {
		case 0:
			row[0] = recency.Values[r.IntN(len(recency.Values))]
		case 1:
			tree := trees.Trees[r.IntN(len(trees.Trees))]
			k := r.IntN(len(tree.Column))
			row[tree.Column[k]] = tree.Threshold[k]
		case 2:
			row[r.IntN(5)] *= 1e6
		}
	}
	for _, c := range []struct {
		exchange.Classifier
		name string
	}{
		{exchange.Classifier{Columns: names, Trees: trees}, "trees"},
		{exchange.Classifier{Columns: names, Logistic: logistic, Prepared: prepared}, "logistic"},
		{exchange.Classifier{Columns: names, Recency: recency}, "recency"},
	} {
		scores := func(x models.Matrix) []float64 {
			switch {
			case c.Trees != nil:
				s, err := trees.Scores(nil, x)
				if err != nil {
					t.Fatal(err)
				}
				return s
			case c.Logistic != nil:
				z, err := prepared.Apply(models.Matrix{}, x)
				if err != nil {
					t.Fatal(err)
				}
				s, err := logistic.Scores(nil, z)
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			p, err := recency.Predict(nil, x)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range p {
				p[i] = math.Log(v) - math.Log1p(-v)
			}
			return p
		}
		fitted, want := scores(x), scores(probe)
		for _, method := range []calibrate.Method{"", calibrate.Isotonic, calibrate.Platt, calibrate.Beta} {
			name := fmt.Sprintf("%s, calibration %q", c.name, method)
			probability := make([]float64, len(want))
			if method != "" {
				cp := calibrate.DefaultParams()
				cp.Method = method
				if c.Calibration, _, err = calibrate.Fit(t.Context(), cp, fitted, y); err != nil {
					t.Fatal(err)
				}
				if probability, err = c.Calibration.Predict(nil, want); err != nil {
					t.Fatal(err)
				}
			} else {
				for i, s := range want {
					probability[i] = 1 / (1 + math.Exp(-s))
				}
			}
			var model bytes.Buffer
			if err := c.WriteONNX(&model); err != nil {
				t.Fatal(err)
			}
			var got struct{ Score, Probability []float64 }
			pyoracle.Run(t, `
import base64, json, sys
import numpy, onnx, onnxruntime
a = json.load(sys.stdin)
m = base64.b64decode(a["model"])
onnx.checker.check_model(onnx.load_from_string(m), full_check=True)
s = onnxruntime.InferenceSession(m, providers=["CPUExecutionProvider"])
score, p = s.run(["score", "probability"], {"x": numpy.array(a["x"], dtype=float)})
print(json.dumps({"Score": score.ravel().tolist(), "Probability": p.ravel().tolist()}))
`, map[string]any{"model": model.Bytes(), "x": nullable(probe)}, &got)
			if len(got.Probability) != len(want) {
				t.Fatalf("%s: %d probabilities of %d rows", name, len(got.Probability), len(want))
			}
			for i := range want {
				if math.Abs(got.Score[i]-want[i]) > 1e-11*(1+math.Abs(want[i])) || math.Abs(got.Probability[i]-probability[i]) > 1e-12 {
					t.Errorf("%s: row %d: score %v, probability %v in onnxruntime; %v, %v here: %v", name, i, got.Score[i], got.Probability[i], want[i], probability[i], probe.Row(i))
					break
				}
			}
		}
	}
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

func TestRefusals(t *testing.T) {
	x, y := rows(500, 1)
	recency, _, err := baseline.Fit(t.Context(), baseline.DefaultParams("recency"), x, y)
	if err != nil {
		t.Fatal(err)
	}
	trees, _, err := gbdt.Fit(t.Context(), gbdt.DefaultParams(), x, y)
	if err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]exchange.Classifier{
		"without a model": {Columns: names},
		"column recency":  {Columns: names[1:], Recency: recency},
		"trees' columns":  {Columns: names[1:], Trees: trees},
	} {
		if err := c.WriteONNX(new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want it to say %q", err, want)
		}
	}
}
