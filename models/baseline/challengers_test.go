package baseline

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/shoal-data/shoal/internal/pyoracle"
	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/modeltest"
)

// several is n rows of four columns, the last noise, and labels that depend on
// the others, not linearly; a tenth of the second column is missing when asked for.
func several(n int, seed uint64, missing bool) (models.Matrix, []float64) {
	r := rand.New(rand.NewPCG(seed, 9))
	x, y := models.NewMatrix([]string{"a", "b", "c", "noise"}, n), make([]float64, n)
	for i := range n {
		row := x.Row(i)
		for j := range row {
			row[j] = math.Round(50*r.NormFloat64()) / 50
		}
		eta := 1.5*row[0] - row[1]*row[2]
		if missing && r.IntN(10) == 0 {
			row[1], eta = math.NaN(), 2
		}
		if r.Float64() < 1/(1+math.Exp(-eta)) {
			y[i] = 1
		}
	}
	return x, y
}

func TestChallengersConform(t *testing.T) {
	load := func(m modeltest.Predicting) func([]byte) (modeltest.Predicting, error) {
		return func(data []byte) (modeltest.Predicting, error) { return m, json.Unmarshal(data, m) }
	}
	t.Run("naive Bayes", func(t *testing.T) {
		x, y := several(1500, 1, true)
		modeltest.CheckPredictor(t, modeltest.Predictor{
			Package: "baseline", X: x, Y: y, Missing: x.Names, Load: load(new(Bayes)),
			Fit: func(ctx context.Context, x models.Matrix, y, _ []float64, workers int) (modeltest.Predicting, []models.Warning, error) {
				p := DefaultBayesParams()
				p.Workers = workers
				return FitBayes(ctx, p, x, y)
			},
		})
	})
	t.Run("neighbours", func(t *testing.T) {
		x, y := several(1500, 2, false)
		modeltest.CheckPredictor(t, modeltest.Predictor{
			Package: "baseline", X: x, Y: y, Load: load(new(Neighbours)),
			Fit: func(ctx context.Context, x models.Matrix, y, _ []float64, _ int) (modeltest.Predicting, []models.Warning, error) {
				return FitNeighbours(ctx, DefaultNeighboursParams(), x, y)
			},
		})
	})
	t.Run("forest", func(t *testing.T) {
		x, y := several(1500, 3, true)
		modeltest.CheckPredictor(t, modeltest.Predictor{
			Package: "baseline", X: x, Y: y, Missing: x.Names, Load: load(new(Forest)),
			Fit: func(ctx context.Context, x models.Matrix, y, _ []float64, workers int) (modeltest.Predicting, []models.Warning, error) {
				p := DefaultForestParams()
				p.Trees, p.ColumnFraction, p.Workers = 12, .75, workers
				return FitForest(ctx, p, x, y)
			},
		})
	})
}

// Against scikit-learn: neighbours exactly, and naive Bayes over the same bins.
func TestChallengersAgainstScikitLearn(t *testing.T) {
	x, y := several(1200, 4, false)
	at, truth := several(4000, 5, false)
	np := DefaultNeighboursParams()
	np.Rows = x.Rows()
	knn, _, err := FitNeighbours(t.Context(), np, x, y)
	if err != nil {
		t.Fatal(err)
	}
	bayes, _, err := FitBayes(t.Context(), DefaultBayesParams(), x, y)
	if err != nil {
		t.Fatal(err)
	}
	fp := DefaultForestParams()
	fp.Trees, fp.ColumnFraction = 60, .75
	forest, _, err := FitForest(t.Context(), fp, x, y)
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Near   []float64 `json:"near"`
		Tied   []bool    `json:"tied"`
		Bayes  []float64 `json:"bayes"`
		Forest float64   `json:"forest"`
	}
	pyoracle.Run(t, `
import sys, json, numpy as np
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import log_loss
d = json.load(sys.stdin)
x, y, at, truth = (np.array(d[k]) for k in ("x", "y", "at", "truth"))
x, at = x.reshape(-1, 4), at.reshape(-1, 4)
near = KNeighborsClassifier(50, algorithm="brute").fit(x, y).predict_proba(at)[:, 1]
dist = np.sort(np.sqrt(((at[:, None, :] - x[None, :, :]) ** 2).sum(2)), axis=1)
base = y.mean(); bayes = np.full(len(at), np.log(base / (1 - base)))
for j in range(4):
    edges = [np.sort(x[:, j])[k * len(x) // 10] for k in range(1, 10)]
    edges = np.unique(edges)
    own, theirs = np.searchsorted(edges, x[:, j], side="left"), np.searchsorted(edges, at[:, j], side="left")
    for b in range(len(edges) + 1):
        rate = (y[own == b].sum() + base) / ((own == b).sum() + 1)
        bayes[theirs == b] += np.log(rate / (1 - rate)) - np.log(base / (1 - base))
forest = RandomForestClassifier(200, min_samples_leaf=10, random_state=1, max_features=3).fit(x, y)
print(json.dumps({"near": near.tolist(), "tied": (dist[:, 49] > dist[:, 50] - 1e-12).tolist(), "bayes": (1 / (1 + np.exp(-bayes))).tolist(), "forest": log_loss(truth, forest.predict_proba(at)[:, 1])}))
`, map[string]any{"x": x.Data, "y": y, "at": at.Data, "truth": truth}, &want)
	base := 0.0
	for _, v := range y {
		base += v / float64(len(y))
	}
	got, err := knn.Predict(nil, at)
	if err != nil {
		t.Fatal(err)
	}
	ties := 0
	for i, p := range got {
		if want.Tied[i] {
			ties++
			continue
		}
		if w := (50*want.Near[i] + base) / 51; math.Abs(p-w) > 1e-12 {
			t.Fatalf("neighbours, row %d: %v, scikit-learn's %v", i, p, w)
		}
	}
	if ties > 400 {
		t.Errorf("%d of 4000 rows have tied neighbours", ties)
	}
	if got, err = bayes.Predict(nil, at); err != nil {
		t.Fatal(err)
	}
	for i, p := range got {
		if math.Abs(p-want.Bayes[i]) > 1e-12 {
			t.Fatalf("naive Bayes, row %d: %v, want %v", i, p, want.Bayes[i])
		}
	}
	if got, err = forest.Predict(nil, at); err != nil {
		t.Fatal(err)
	}
	loss := 0.0
	for i, p := range got {
		if truth[i] == 0 {
			p = 1 - p
		}
		loss -= math.Log(max(p, 1e-15)) / float64(len(got))
	}
	if loss > want.Forest*1.05 {
		t.Errorf("the forest's log-loss is %.4f, scikit-learn's %.4f", loss, want.Forest)
	}
}

// A forest of one tree on all rows and columns has the leaves' mean labels.
func TestForestIsMeans(t *testing.T) {
	x, y := several(400, 6, true)
	p := DefaultForestParams()
	p.Trees, p.RowFraction, p.ColumnFraction, p.Leaves = 1, 1, 1, 6
	m, _, err := FitForest(t.Context(), p, x, y)
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.Predict(nil, x)
	if err != nil {
		t.Fatal(err)
	}
	sum, rows := map[float64]float64{}, map[float64]float64{}
	for i, v := range got {
		sum[v] += y[i]
		rows[v]++
	}
	for v, n := range rows {
		if mean := sum[v] / n; math.Abs(mean-v) > 1e-6 {
			t.Errorf("a leaf of %v rows predicts %v, its labels' mean is %v", n, v, mean)
		}
	}
	if len(rows) != 6 {
		t.Errorf("%d leaves", len(rows))
	}
	if used := m.Used(); len(used.Names()) > 4 || !slices.Contains(used.Names(), "a") {
		t.Errorf("uses %v", used.Names())
	}
}
