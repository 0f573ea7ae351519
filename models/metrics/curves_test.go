package metrics

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/shoal-data/shoal/internal/pyoracle"
)

// Worked out by hand from the ranked rows of vector V: .9 and .8 positive, one of
// three at .4, both at .35, none of those below.
func TestCurvesOfVectorV(t *testing.T) {
	b := newBinary(t, vectorY, vectorS)
	near := func(what string, got []Point, want []float64) {
		t.Helper()
		if len(got) != len(want) {
			t.Fatalf("%s: %d points, want %d", what, len(got), len(want))
		}
		for i, p := range got {
			if math.Abs(p.X-float64(i)/float64(len(want)-1)) > 1e-15 || math.Abs(p.Y-want[i]) > 1e-15 {
				t.Errorf("%s, point %d: %v, want %v", what, i, p, want[i])
			}
		}
	}
	near("ROC", b.ROC(5), []float64{.4, .5, 1, 1, 1, 1})
	near("precision", b.PrecisionRecall(5), []float64{1, 1, 1, 3. / 5, 4. / 6, 5. / 7})
	for _, h := range []struct{ k, positives, expected float64 }{{0, 0, 0}, {1.5, 1.5, 1.3}, {3, 2 + 1./3, 2.1}, {10, 5, 4}, {99, 5, 4}} {
		if pos, exp := b.Head(h.k); math.Abs(pos-h.positives) > 1e-12 || math.Abs(exp-h.expected) > 1e-12 {
			t.Errorf("the top %v: %v positives, %v expected; want %v and %v", h.k, pos, exp, h.positives, h.expected)
		}
	}
	want := []ScoreBin{{0, .2, 2, 0}, {.2, .4, 3, 2}, {.4, .6, 3, 1}, {.6, .8, 0, 0}, {.8, 1, 2, 2}}
	if got := b.Distribution(5); !reflect.DeepEqual(got, want) {
		t.Errorf("distribution %v, want %v", got, want)
	}
	// The highest row negative: precision begins at 0.
	near("precision", newBinary(t, []float64{0, 1}, []float64{.9, .1}).PrecisionRecall(2), []float64{0, .25 / .75, .5})
}

func TestCurveEdges(t *testing.T) {
	one := newBinary(t, []float64{1, 1}, []float64{.5, 1})
	if one.ROC(10) != nil || one.PrecisionRecall(10) != nil {
		t.Error("a curve of one class")
	}
	if d := one.Distribution(2); d[1].Rows != 2 || d[0].Rows != 0 {
		t.Errorf("distribution %v: 1 is of the last interval", d)
	}
	margins := newBinary(t, []float64{0, 1}, []float64{-3, 3})
	if margins.Distribution(5) != nil {
		t.Error("margins are not probabilities")
	}
	if got := margins.ROC(2); got[0].Y != 1 || got[2].Y != 1 {
		t.Errorf("a perfect model's ROC %v", got)
	}
	tied := newBinary(t, []float64{0, 1, 0, 1}, []float64{.5, .5, .5, .5})
	for i, p := range tied.ROC(4) {
		if p.Y != float64(i)/4 {
			t.Errorf("all scores tied: ROC %v, want the diagonal", p)
		}
	}
	for _, p := range tied.PrecisionRecall(4) {
		if p.Y != .5 {
			t.Errorf("all scores tied: precision %v, want the prevalence", p)
		}
	}
}

// scikit-learn's curves at every threshold, read off at the same rates. Where scores
// tie it has no point between; on the ROC curve a straight line is drawn there.
func TestCurvesAgainstPython(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for _, digits := range []float64{1e12, 20} { // without ties, and with many
		y, s := make([]float64, 500), make([]float64, 500)
		for i := range y {
			s[i] = math.Round(r.Float64()*digits) / digits
			if r.Float64() < s[i] {
				y[i] = 1
			}
		}
		var got struct{ ROC, Precision []float64 }
		pyoracle.Run(t, `
import json, sys
import numpy as np
from sklearn.metrics import roc_curve, precision_recall_curve
a = json.load(sys.stdin)
fpr, tpr, _ = roc_curve(a["y"], a["s"], drop_intermediate=False)
roc = []
for x in np.arange(51) / 50:
    i = np.searchsorted(fpr, x + 1e-12, side="right") - 1
    j = min(i + 1, len(fpr) - 1)
    roc.append(tpr[i] if fpr[j] == fpr[i] else tpr[i] + (tpr[j] - tpr[i]) * (x - fpr[i]) / (fpr[j] - fpr[i]))
precision, recall, _ = precision_recall_curve(a["y"], a["s"])
yes = sum(a["y"])
best = [max(precision[:-1][np.abs(recall[:-1] * yes - k) < 1e-6], default=-1) for k in range(1, int(yes) + 1)]
json.dump({"ROC": roc, "Precision": best}, sys.stdout)
`, map[string]any{"y": y, "s": s}, &got)
		b := newBinary(t, y, s)
		for i, p := range b.ROC(50) {
			if math.Abs(p.Y-got.ROC[i]) > 1e-9 {
				t.Errorf("ROC at %v: %v, scikit-learn %v", p.X, p.Y, got.ROC[i])
			}
		}
		compared := 0
		for i, p := range b.PrecisionRecall(b.Positives())[1:] {
			if got.Precision[i] >= 0 { // a threshold of theirs
				compared++
				if math.Abs(p.Y-got.Precision[i]) > 1e-12 {
					t.Errorf("precision at recall %v: %v, scikit-learn %v", p.X, p.Y, got.Precision[i])
				}
			}
		}
		if compared < 15 {
			t.Errorf("%d points of precision compared", compared)
		}
	}
}
