package metrics

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/shoal-data/shoal/internal/pyoracle"
	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/modeltest"
)

// Vector V: ten rows with ties within and across classes. Its expected figures
// were computed with scikit-learn 1.2.1, scipy 1.10 (KS) and R's EMP package
// (empChurn.R; profits).
var (
	vectorY = []float64{0, 0, 1, 1, 0, 1, 0, 1, 1, 0}
	vectorS = []float64{.1, .4, .35, .8, .4, .4, .2, .9, .35, .1}
)

// figure checks a (value, ok) pair against a number printed to 12 digits.
func figure(t *testing.T, what string, want float64) func(got float64, ok bool) {
	return func(got float64, ok bool) {
		t.Helper()
		if !ok || math.Abs(got-want) > 1e-12 {
			t.Errorf("%s = %.13f (%v), want %.13f", what, got, ok, want)
		}
	}
}

func newBinary(t testing.TB, y, s []float64) *Binary {
	t.Helper()
	b, err := NewBinary(y, s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVectorV(t *testing.T) {
	b := newBinary(t, vectorY, vectorS)
	figure(t, "AUC", .8)(b.AUC())
	figure(t, "average precision", .805714285714286)(b.AveragePrecision())
	figure(t, "log-loss", .479995487801)(b.LogLoss())
	figure(t, "Brier", .1635)(b.Brier())
	figure(t, "partial AUC at .3", .691176470588235)(b.PartialAUC(.3))
	figure(t, "partial AUC at 1 is AUC", .8)(b.PartialAUC(1))
	figure(t, "KS", .6)(b.KS())
	figure(t, "KS p", .357142857143)(b.KSPValue())
	// By hand: the top row is positive, prevalence ½; the mean score is .4.
	figure(t, "top-decile lift", 2)(b.TopDecileLift())
	figure(t, "calibration in the large", -.1)(b.CalibrationInTheLarge())
	// The three at .4 hold one positive: the top 30 % are .9, .8 and ⅓ of it.
	figure(t, "lift at .3", (2+1./3)/5/.3)(b.Lift(.3))

	for _, c := range []struct {
		p                 ProfitParams
		mp, mpf, emp, frc float64
	}{
		{DefaultProfitParams(), 25.8, .7, 25.800044807272, .699941168854},
		{ProfitParams{Alpha: 6, Beta: 14, Value: 100, Incentive: 30, Contact: 5}, 3.2, .2, 3.390991017736, .276070919984},
	} {
		got, ok, err := b.MaximumProfit(c.p)
		if err != nil {
			t.Fatal(err)
		}
		figure(t, "maximum profit", c.mp)(got.Max, ok)
		figure(t, "its fraction", c.mpf)(got.MaxFraction, ok)
		figure(t, "expected maximum profit", c.emp)(got.Expected, ok)
		figure(t, "its fraction", c.frc)(got.ExpectedFraction, ok)
	}
}

func TestBinaryEdges(t *testing.T) {
	tied := newBinary(t, []float64{0, 1, 0, 0, 1, 0, 0, 0}, slices.Repeat([]float64{.3}, 8))
	figure(t, "AUC, all tied", .5)(tied.AUC())
	figure(t, "AP, all tied", .25)(tied.AveragePrecision())
	figure(t, "lift, all tied", 1)(tied.TopDecileLift())
	figure(t, "KS, all tied", 0)(tied.KS())
	figure(t, "KS p, all tied", 1)(tied.KSPValue())
	figure(t, "partial AUC, all tied", .5)(tied.PartialAUC(.2))

	perfect := newBinary(t, []float64{1, 0, 1, 0}, []float64{.9, .1, .8, .2})
	figure(t, "AUC, perfect", 1)(perfect.AUC())
	figure(t, "AP, perfect", 1)(perfect.AveragePrecision())
	figure(t, "partial AUC, perfect", 1)(perfect.PartialAUC(.1))
	// With 2 and 2 rows, 2 of the 6 orders separate them fully.
	figure(t, "KS p, perfect", 1./3)(perfect.KSPValue())

	for _, y := range []float64{0, 1} {
		one := newBinary(t, []float64{y, y, y}, []float64{.2, .5, .9})
		for name, f := range map[string]func() (float64, bool){
			"AUC": one.AUC, "AP": one.AveragePrecision, "KS": one.KS, "KS p": one.KSPValue, "lift": one.TopDecileLift,
			"partial AUC": func() (float64, bool) { return one.PartialAUC(.5) },
		} {
			if v, ok := f(); ok || !math.IsNaN(v) {
				t.Errorf("%s of one class (%v) is %v, %v; want NaN, false", name, y, v, ok)
			}
		}
		if p, ok, err := one.MaximumProfit(DefaultProfitParams()); ok || err != nil || !math.IsNaN(p.Expected) {
			t.Errorf("profit of one class: %v, %v, %v", p, ok, err)
		}
		if one.Gains(10) != nil {
			t.Error("gains of one class are not nil")
		}
		// The probabilities themselves can still be judged.
		figure(t, "Brier of one class", ((y-.2)*(y-.2)+(y-.5)*(y-.5)+(y-.9)*(y-.9))/3)(one.Brier())
	}

	margins := newBinary(t, []float64{0, 1}, []float64{-3, 4})
	figure(t, "AUC of margins", 1)(margins.AUC())
	for name, f := range map[string]func() (float64, bool){
		"log-loss": margins.LogLoss, "Brier": margins.Brier, "calibration": margins.CalibrationInTheLarge,
		"ECE": func() (float64, bool) { return margins.ExpectedCalibrationError(10, EqualCount) },
	} {
		if v, ok := f(); ok || !math.IsNaN(v) {
			t.Errorf("%s of scores that are not probabilities is %v, %v; want NaN, false", name, v, ok)
		}
	}
	sure := newBinary(t, []float64{1, 0}, []float64{0, 0})
	figure(t, "log-loss of a wrong certainty", 52*math.Ln2/2)(sure.LogLoss())

	for _, c := range []struct {
		y, s []float64
		want string
	}{
		{nil, nil, "empty input"},
		{[]float64{0, 1}, []float64{.1, math.NaN()}, "score of row 1 is NaN"},
		{[]float64{0, .5}, []float64{.1, .2}, "outcome of row 1 is 0.5"},
		{[]float64{math.NaN()}, []float64{.1}, "outcome of row 0 is NaN"},
	} {
		if _, err := NewBinary(c.y, c.s); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("NewBinary(%v, %v): %v, want %q", c.y, c.s, err, c.want)
		}
	}
}

// tiedScores is n rows whose scores take about levels values, better than chance.
func tiedScores(n, levels int, seed uint64) (y, s []float64) {
	r := rand.New(rand.NewPCG(seed, 0))
	y, s = make([]float64, n), make([]float64, n)
	for i := range n {
		s[i] = math.Floor(r.Float64()*float64(levels)) / float64(levels)
		if r.Float64() < .1+.6*s[i] {
			y[i] = 1
		}
	}
	return y, s
}

func TestBinaryAgainstPython(t *testing.T) {
	y, s := tiedScores(700, 40, 5)
	var want struct{ AUC, AP, LogLoss, Brier, PAUC, KS, KSP, KSPBig, Lift, ECE float64 }
	// Two samples that hardly differ, of more than 10⁶ pairs: Kolmogorov's limit.
	r := rand.New(rand.NewPCG(8, 8))
	weak, weakY := make([]float64, 4000), make([]float64, 4000)
	for i := range weak {
		weak[i] = r.NormFloat64()
		if i < 1500 {
			weak[i] += .07
			weakY[i] = 1
		}
	}
	pyoracle.Run(t, `
import json, sys, numpy as np
from sklearn.metrics import *
from scipy.stats import ks_2samp
d = json.load(sys.stdin); y, s = np.array(d["y"]), np.array(d["s"])
bins = np.minimum((s*10).astype(int), 9)
rng = np.random.default_rng(0)
json.dump(dict(AUC=roc_auc_score(y, s), AP=average_precision_score(y, s), LogLoss=log_loss(y, s),
  Brier=brier_score_loss(y, s), PAUC=roc_auc_score(y, s, max_fpr=.07),
  KS=ks_2samp(s[y==1], s[y==0]).statistic, KSP=ks_2samp(s[y==1], s[y==0], method="exact").pvalue,
  KSPBig=ks_2samp(d["weak"][:1500], d["weak"][1500:], method="asymp").pvalue,
  # ties averaged by brute force: the mean over random orders of the tied rows
  Lift=float(np.mean([y[np.lexsort((rng.random(len(y)), -s))][:70].mean()/y.mean() for _ in range(4000)])),
  ECE=float(sum(abs(s[bins==b].sum()-y[bins==b].sum()) for b in range(10))/len(y))), sys.stdout)
`, map[string][]float64{"y": y, "s": s, "weak": weak}, &want)
	b := newBinary(t, y, s)
	figure(t, "AUC", want.AUC)(b.AUC())
	figure(t, "AP", want.AP)(b.AveragePrecision())
	figure(t, "log-loss", want.LogLoss)(b.LogLoss())
	figure(t, "Brier", want.Brier)(b.Brier())
	figure(t, "partial AUC", want.PAUC)(b.PartialAUC(.07))
	figure(t, "KS", want.KS)(b.KS())
	figure(t, "KS p", want.KSP)(b.KSPValue())
	figure(t, "ECE", want.ECE)(b.ExpectedCalibrationError(10, EqualWidth))
	if got, _ := b.TopDecileLift(); math.Abs(got-want.Lift) > .015 {
		t.Errorf("top-decile lift %v, by random tie orders %v", got, want.Lift)
	}
	if got, ok := newBinary(t, weakY, weak).KSPValue(); !ok || want.KSPBig < .001 || want.KSPBig > .3 || math.Abs(got-want.KSPBig) > .05*want.KSPBig {
		t.Errorf("asymptotic KS p = %v, want about %v (scipy corrects for the sample size)", got, want.KSPBig)
	}
}

// AUC by its definition, pair by pair; order of rows, monotone maps and
// repeated rows change nothing; flipping the classes mirrors it.
func TestBinaryProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 40).Draw(t, "n")
		y, s := make([]float64, n), make([]float64, n)
		for i := range n {
			y[i] = float64(rapid.IntRange(0, 1).Draw(t, "y"))
			s[i] = float64(rapid.IntRange(0, 8).Draw(t, "s")) / 8
		}
		b, err := NewBinary(y, s)
		if err != nil {
			t.Fatal(err)
		}
		var wins, pairs float64
		for i := range n {
			for j := range n {
				if y[i] == 1 && y[j] == 0 {
					pairs++
					if s[i] > s[j] {
						wins++
					} else if s[i] == s[j] {
						wins += .5
					}
				}
			}
		}
		auc, ok := b.AUC()
		if ok != (pairs > 0) || ok && math.Abs(auc-wins/pairs) > 1e-15 {
			t.Fatalf("AUC %v %v, pair by pair %v of %v", auc, ok, wins, pairs)
		}

		perm := rapid.Permutation(seq(n)).Draw(t, "perm")
		py, ps := make([]float64, n), make([]float64, n)
		times := make([]int32, n)
		var ry, rs []float64
		for i, from := range perm {
			py[i], ps[i] = y[from], s[from]
			times[i] = int32(rapid.IntRange(0, 3).Draw(t, "times"))
			for range times[i] {
				ry, rs = append(ry, y[i]), append(rs, s[i])
			}
		}
		same := func(what string, a, b *Binary) {
			for name, f := range binaryFigures {
				va, oka := f(a)
				vb, okb := f(b)
				if oka != okb || oka && va != vb {
					t.Fatalf("%s: %s is %v (%v) and %v (%v)", what, name, va, oka, vb, okb)
				}
			}
			if !slices.Equal(a.Reliability(5, EqualCount), b.Reliability(5, EqualCount)) || !slices.Equal(a.Gains(7), b.Gains(7)) {
				t.Fatalf("%s: other tables", what)
			}
		}
		shuffled, _ := NewBinary(py, ps)
		same("shuffled rows", b, shuffled)
		if len(ry) > 0 {
			repeated, _ := NewBinary(ry, rs)
			same("Resample and repeated rows", b.Resample(times), repeated)
		}
	})
}

func seq(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

var binaryFigures = map[string]func(*Binary) (float64, bool){
	"AUC":         (*Binary).AUC,
	"AP":          (*Binary).AveragePrecision,
	"KS":          (*Binary).KS,
	"KS p":        (*Binary).KSPValue,
	"lift":        (*Binary).TopDecileLift,
	"log-loss":    (*Binary).LogLoss,
	"Brier":       (*Binary).Brier,
	"calibration": (*Binary).CalibrationInTheLarge,
	"prevalence":  (*Binary).Prevalence,
	"partial AUC": func(b *Binary) (float64, bool) { return b.PartialAUC(.25) },
	"captured":    func(b *Binary) (float64, bool) { return b.Captured(.37) },
	"ECE, width":  func(b *Binary) (float64, bool) { return b.ExpectedCalibrationError(4, EqualWidth) },
	"profit": func(b *Binary) (float64, bool) {
		p, ok, err := b.MaximumProfit(DefaultProfitParams())
		return p.Expected, ok && err == nil
	},
}

func TestGainsAndReliability(t *testing.T) {
	y, s := tiedScores(2000, 23, 9)
	b := newBinary(t, y, s)
	gains := b.Gains(10)
	var rows, pos float64
	for i, g := range gains {
		rows += g.Rows
		pos += g.Positives
		if math.Abs(g.Captured-pos/float64(b.Positives())) > 1e-12 || math.Abs(g.Lift-g.Captured/g.Share) > 1e-12 {
			t.Errorf("decile %d: %+v after %v positives", i, g, pos)
		}
	}
	if math.Abs(rows-2000) > 1e-9 || math.Abs(pos-float64(b.Positives())) > 1e-9 || gains[9].Lift != 1 || gains[0].Lift < 1.3 {
		t.Errorf("%v rows, %v positives, lifts %v to %v", rows, pos, gains[0].Lift, gains[9].Lift)
	}
	for _, by := range []Binning{EqualCount, EqualWidth} {
		n, p := 0, 0
		last := -1.
		for _, r := range b.Reliability(10, by) {
			n, p = n+r.Rows, p+r.Positives
			if !(last < r.Low && r.Low <= r.Mean && r.Mean <= r.High && r.RateLow < r.Rate && r.Rate < r.RateHigh) {
				t.Errorf("bin out of order: %+v after %v", r, last)
			}
			last = r.High
		}
		if n != 2000 || p != b.Positives() {
			t.Errorf("binning %d: bins hold %d rows and %d positives", by, n, p)
		}
	}
	// Without ties, equal counts are equal, whatever the distribution.
	cubes, zeros := make([]float64, 95), make([]float64, 95)
	for i := range cubes {
		cubes[i] = math.Pow(float64(i)/95, 3)
	}
	for i, r := range newBinary(t, zeros, cubes).Reliability(10, EqualCount) {
		if r.Rows < 9 || r.Rows > 10 {
			t.Errorf("bin %d of 10 has %d of 95 rows", i, r.Rows)
		}
	}
}

// Wilson against statsmodels' proportion_confint(method="wilson") as printed for
// 8 of 10 in Wikipedia's and NIST's worked form: by the formula, .490162, .943318.
func TestWilson(t *testing.T) {
	lo, hi := Wilson(8, 10)
	if math.Abs(lo-.4901625) > 1e-7 || math.Abs(hi-.9433178) > 1e-7 {
		t.Errorf("Wilson(8, 10) = %.7f, %.7f", lo, hi)
	}
	lo, hi = Wilson(0, 10)
	if lo != 0 || math.Abs(hi-z95*z95/(10+z95*z95)) > 1e-12 {
		t.Errorf("Wilson(0, 10) = %v, %v; want 0, z²/(n+z²)", lo, hi)
	}
	if lo, hi := Wilson(10, 10); hi != 1 || math.Abs(lo-10/(10+z95*z95)) > 1e-12 {
		t.Errorf("Wilson(10, 10) = %v, %v; want n/(n+z²), 1", lo, hi)
	}
}

func TestRegressionAgainstPython(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	n := 500
	actual, predicted := make([]float64, n), make([]float64, n)
	for i := range n {
		predicted[i] = math.Round(r.ExpFloat64()*10) / 4
		actual[i] = math.Max(0, math.Round(predicted[i]+3*r.NormFloat64()))
	}
	var want struct{ MAE, RMSE, Spearman, Captured float64 }
	pyoracle.Run(t, `
import json, sys, numpy as np, scipy.stats
d = json.load(sys.stdin); y, p = np.array(d["y"]), np.array(d["p"])
rng = np.random.default_rng(0)
json.dump(dict(MAE=np.abs(y-p).mean(), RMSE=np.sqrt(((y-p)**2).mean()), Spearman=scipy.stats.spearmanr(y, p).statistic,
  Captured=float(np.mean([y[np.lexsort((rng.random(len(y)), -p))][:50].sum()/y.sum() for _ in range(4000)]))), sys.stdout)
`, map[string][]float64{"y": actual, "p": predicted}, &want)
	m, err := NewRegression(actual, predicted)
	if err != nil {
		t.Fatal(err)
	}
	figure(t, "MAE", want.MAE)(m.MAE())
	figure(t, "RMSE", want.RMSE)(m.RMSE())
	figure(t, "Spearman", want.Spearman)(m.Spearman())
	if got, ok := m.Captured(.1); !ok || math.Abs(got-want.Captured) > .002 {
		t.Errorf("captured by the top decile %v, by random tie orders %v", got, want.Captured)
	}
	rows, sumP, sumA := 0, 0., 0.
	last := math.Inf(-1)
	for _, b := range m.Calibration(10) {
		rows += b.Rows
		sumP += b.Predicted * float64(b.Rows)
		sumA += b.Actual * float64(b.Rows)
		if !(last < b.Low && b.Low <= b.Predicted && b.Predicted <= b.High) {
			t.Errorf("bin out of order: %+v after %v", b, last)
		}
		last = b.High
	}
	ratio, _ := m.TotalRatio()
	if rows != n || math.Abs(sumP/sumA-ratio) > 1e-12 {
		t.Errorf("deciles hold %d rows, predicted over actual %v; want %d, %v", rows, sumP/sumA, n, ratio)
	}
}

var regressionFigures = map[string]func(*Regression) (float64, bool){
	"MAE":      (*Regression).MAE,
	"RMSE":     (*Regression).RMSE,
	"ratio":    (*Regression).TotalRatio,
	"Spearman": (*Regression).Spearman,
	"captured": func(r *Regression) (float64, bool) { return r.Captured(.23) },
}

func TestRegressionProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "n")
		a, p := make([]float64, n), make([]float64, n)
		for i := range n {
			a[i] = float64(rapid.IntRange(0, 9).Draw(t, "a")) / 10
			p[i] = float64(rapid.IntRange(0, 9).Draw(t, "p")) / 10
		}
		m, err := NewRegression(a, p)
		if err != nil {
			t.Fatal(err)
		}
		pa, pp := make([]float64, n), make([]float64, n)
		times := make([]int32, n)
		var ra, rp []float64
		for i, from := range rapid.Permutation(seq(n)).Draw(t, "perm") {
			pa[i], pp[i] = a[from], p[from]
			times[i] = int32(rapid.IntRange(0, 3).Draw(t, "times"))
			for range times[i] {
				ra, rp = append(ra, a[i]), append(rp, p[i])
			}
		}
		shuffled, _ := NewRegression(pa, pp)
		for name, f := range regressionFigures {
			va, oka := f(m)
			vb, okb := f(shuffled)
			if oka != okb || oka && va != vb {
				t.Fatalf("%s is %v (%v), of shuffled rows %v (%v)", name, va, oka, vb, okb)
			}
			if len(ra) == 0 {
				continue
			}
			repeated, _ := NewRegression(ra, rp)
			va, oka = f(m.Resample(times))
			vb, okb = f(repeated)
			if oka != okb || oka && math.Abs(va-vb) > 1e-12 {
				t.Fatalf("%s is %v (%v) resampled, %v (%v) of repeated rows", name, va, oka, vb, okb)
			}
		}
		if !slices.Equal(m.Calibration(4), shuffled.Calibration(4)) {
			t.Fatal("calibration depends on the order of rows")
		}
	})
}

func TestRegressionEdges(t *testing.T) {
	flat, err := NewRegression([]float64{1, 2, 3}, []float64{5, 5, 5})
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := flat.Spearman(); ok || !math.IsNaN(v) {
		t.Errorf("Spearman of a constant is %v, %v; want NaN, false", v, ok)
	}
	figure(t, "captured when all tie", .1)(flat.Captured(.1))
	if got := flat.Calibration(10); len(got) != 1 || got[0] != (CalibrationBin{5, 5, 3, 5, 2}) {
		t.Errorf("calibration of one prediction: %+v", got)
	}
	zero, _ := NewRegression([]float64{0, 0}, []float64{1, 2})
	for _, name := range []string{"ratio", "captured", "Spearman"} {
		if v, ok := regressionFigures[name](zero); ok || !math.IsNaN(v) {
			t.Errorf("%s of zeros is %v, %v; want NaN, false", name, v, ok)
		}
	}
	refund, _ := NewRegression([]float64{5, -1}, []float64{1, 2})
	if _, ok := refund.Captured(.5); ok {
		t.Error("a share of a total with negative parts is defined")
	}
	up, _ := NewRegression([]float64{1, 2, 30}, []float64{.1, .2, .3})
	figure(t, "Spearman of an increasing relation", 1)(up.Spearman())
	if _, err := NewRegression([]float64{1}, []float64{math.Inf(1)}); err == nil || !strings.Contains(err.Error(), "row 0") {
		t.Errorf("infinite prediction: %v", err)
	}
	if _, err := NewRegression(nil, nil); err == nil {
		t.Error("no rows are measured")
	}
}

func TestBootstrap(t *testing.T) {
	y, s := tiedScores(1500, 50, 3)
	b := newBinary(t, y, s)
	auc := func(times []int32) (float64, bool) { return b.Resample(times).AUC() }
	p := DefaultBootstrapParams()
	want, ok, err := Bootstrap(t.Context(), p, len(y), nil, auc)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	for _, workers := range []int{2, 3, 8} {
		p.Workers = workers
		if got, _, _ := Bootstrap(t.Context(), p, len(y), nil, auc); got != want {
			t.Errorf("%d workers: %v, one: %v", workers, got, want)
		}
	}
	// Hanley and McNeil's standard error (Radiology 143, 1982, eq. 1 with their
	// exponential approximation of Q₁ and Q₂) is a coarse but independent check.
	a, _ := b.AUC()
	n1, n0 := float64(b.Positives()), float64(b.Rows()-b.Positives())
	q1, q2 := a/(2-a), 2*a*a/(1+a)
	se := math.Sqrt((a*(1-a) + (n1-1)*(q1-a*a) + (n0-1)*(q2-a*a)) / (n1 * n0))
	if width := (want.High - want.Low) / (2 * z95 * se); want.Low > a || want.High < a || width < .85 || width > 1.15 {
		t.Errorf("AUC %v in %v; half width %v of Hanley and McNeil's", a, want, width)
	}

	// Four copies of each row under one customer carry no more evidence.
	b4 := newBinary(t, slices.Repeat(y, 4), slices.Repeat(s, 4))
	customer := make([]int, 4*len(y))
	for i := range customer {
		customer[i] = 7 * (i % len(y))
	}
	got, _, err := Bootstrap(t.Context(), p, len(customer), customer, func(times []int32) (float64, bool) { return b4.Resample(times).AUC() })
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(got.Low-want.Low) > 1e-12 || math.Abs(got.High-want.High) > 1e-12 {
		t.Errorf("copies under one customer: %v, single rows: %v", got, want)
	}

	// A figure that a replicate often lacks has no interval.
	rare := newBinary(t, append(make([]float64, 9), 1), vectorS)
	iv, ok, err := Bootstrap(t.Context(), p, 10, nil, func(times []int32) (float64, bool) { return rare.Resample(times).AUC() })
	// The one positive is drawn in 1-.9¹⁰ = 65 % of replicates.
	if err != nil || !ok || iv.Replicates < 280 || iv.Replicates > 370 {
		t.Errorf("%+v, %v, %v; want about 325 replicates", iv, ok, err)
	}
	if iv, ok, err := Bootstrap(t.Context(), p, 10, nil, func([]int32) (float64, bool) { return undefined() }); ok || err != nil || !math.IsNaN(iv.Low) {
		t.Errorf("a figure that is never defined: %v, %v, %v", iv, ok, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Bootstrap(ctx, p, 10, nil, auc); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, _, err := Bootstrap(t.Context(), p, 0, nil, auc); err == nil {
		t.Error("no rows were resampled")
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		err  error
		want []string
	}{
		{BootstrapParams{}.Validate(), []string{"metrics: Replicates (0) must be >= 20", "Level (0)", "Workers (0)"}},
		{SilhouetteParams{}.Validate(), []string{"metrics: Sample (0) must be >= 2", "Workers (0)"}},
		{ProfitParams{Incentive: -1, Contact: -1}.Validate(), []string{"Alpha (0)", "Beta (0)", "Value (0)", "Incentive (-1)", "Contact (-1)"}},
	} {
		for _, w := range c.want {
			if c.err == nil || !strings.Contains(c.err.Error(), w) {
				t.Errorf("%v, want %q", c.err, w)
			}
		}
	}
	for _, err := range []error{DefaultBootstrapParams().Validate(), DefaultSilhouetteParams().Validate(), DefaultProfitParams().Validate()} {
		if err != nil {
			t.Error(err)
		}
	}
}

func points(rows ...[2]float64) models.Matrix {
	x := models.Matrix{Names: []string{"a", "b"}}
	for _, r := range rows {
		x.Data = append(x.Data, r[:]...)
	}
	return x
}

func labelled(counts ...int) (labels []int) {
	for c, n := range counts {
		labels = append(labels, slices.Repeat([]int{c}, n)...)
	}
	return labels
}

func checkIndices(t *testing.T, what string, x models.Matrix, labels []int, silhouette, calinski, davies, tol float64) {
	t.Helper()
	near := func(index string, want float64, got float64, ok bool, err error) {
		t.Helper()
		if err != nil || !ok || !(math.Abs(got-want) <= tol) {
			t.Errorf("%s: %s = %.10f (%v, %v), want %.10f", what, index, got, ok, err, want)
		}
	}
	v, ok, err := Silhouette(t.Context(), DefaultSilhouetteParams(), x, labels)
	near("silhouette", silhouette, v, ok, err)
	v, ok, err = CalinskiHarabasz(x, labels)
	near("Calinski-Harabasz", calinski, v, ok, err)
	v, ok, err = DaviesBouldin(x, labels)
	near("Davies-Bouldin", davies, v, ok, err)
}

// The general and the degenerate cases of
// scikit-learn/sklearn/metrics/cluster/tests/test_unsupervised.py (its expected
// values: CH 45·36/(5·3) = 108, DB .4714045208 = √2/3); silhouettes are
// scikit-learn 1.2.1's.
func TestClusterToy(t *testing.T) {
	var toy [][2]float64
	for _, pair := range [][][2]float64{{{0, 0}, {1, 1}}, {{3, 3}, {4, 4}}, {{0, 4}, {1, 3}}, {{3, 1}, {4, 0}}} {
		for range 5 {
			toy = append(toy, pair...)
		}
	}
	x := points(toy...)
	checkIndices(t, "toy", x, labelled(10, 10, 10, 10), .7381086, 108, math.Sqrt2/3, 5e-8)

	for _, v := range []float64{1, .1} { // of .1, means are off by rounding
		same := points(slices.Repeat([][2]float64{{v, v}}, 13)...)
		checkIndices(t, "identical rows", same, labelled(6, 7), 0, 1, 0, 0)
	}
	crossed := points(slices.Repeat([][2]float64{{-1, -1}, {1, 1}}, 10)...)
	if ch, ok, err := CalinskiHarabasz(crossed, labelled(10, 10)); ch != 0 || !ok || err != nil {
		t.Errorf("CH of equal means = %v, %v, %v; want 0", ch, ok, err)
	}
	if db, ok, err := DaviesBouldin(crossed, labelled(10, 10)); db != 0 || !ok || err != nil {
		t.Errorf("DB of equal means = %v, %v, %v; want 0", db, ok, err)
	}

	// By hand: two rows 1 apart, and one alone 10 from the nearer of them.
	line := points([2]float64{0, 0}, [2]float64{1, 0}, [2]float64{11, 0})
	rows, err := Silhouettes(t.Context(), DefaultSilhouetteParams(), line, []int{5, 5, -3})
	if err != nil || !slices.Equal(rows, []RowSilhouette{{0, 5, 10. / 11}, {1, 5, 9. / 10}, {2, -3, 0}}) {
		t.Errorf("silhouettes on a line: %v, %v", rows, err)
	}
	simple, ok, err := SimplifiedSilhouette(line, []int{0, 0, 1}, points([2]float64{.5, 0}, [2]float64{11, 0}))
	if want := (10.5/11 + 9.5/10 + 1) / 3; !ok || err != nil || math.Abs(simple-want) > 1e-15 {
		t.Errorf("simplified silhouette on a line %v, want %v", simple, want)
	}

	for _, labels := range [][]int{{0, 0, 0}, {0, 1, 2}} { // 1 and n clusters
		_, ok1, err1 := Silhouette(t.Context(), DefaultSilhouetteParams(), line, labels)
		_, ok2, err2 := CalinskiHarabasz(line, labels)
		v, ok3, err3 := DaviesBouldin(line, labels)
		if ok1 || ok2 || ok3 || !math.IsNaN(v) || err1 != nil || err2 != nil || err3 != nil {
			t.Errorf("labels %v: defined %v %v %v, errors %v %v %v", labels, ok1, ok2, ok3, err1, err2, err3)
		}
	}
	line.Data[3] = math.NaN()
	if _, _, err := DaviesBouldin(line, []int{0, 0, 1}); err == nil || !strings.Contains(err.Error(), "row 1, column 1 (b)") {
		t.Errorf("NaN: %v", err)
	}
	if _, _, err := SimplifiedSilhouette(x, labelled(10, 10, 10, 10), points([2]float64{0, 0}, [2]float64{1, 1})); err == nil || !strings.Contains(err.Error(), "row 20 has label 2") {
		t.Errorf("label beyond the centres: %v", err)
	}
}

func TestClusterAgainstPython(t *testing.T) {
	x := modeltest.Blobs(431, 5, 4)
	r := rand.New(rand.NewPCG(6, 6))
	labels := make([]int, x.Rows())
	for i := range labels {
		labels[i] = 10 * min(r.IntN(5), r.IntN(5)) // with gaps, and sizes that are no multiple of 4
		x.Row(i)[0] += float64(labels[i]) / 10
	}
	data := make([][]float64, x.Rows())
	for i := range data {
		data[i] = x.Row(i)
	}
	var want struct{ Silhouette, CH, DB float64 }
	pyoracle.Run(t, `
import json, sys
from sklearn.metrics import *
d = json.load(sys.stdin)
json.dump(dict(Silhouette=silhouette_score(d["x"], d["l"]), CH=calinski_harabasz_score(d["x"], d["l"]),
  DB=davies_bouldin_score(d["x"], d["l"])), sys.stdout)
`, map[string]any{"x": data, "l": labels}, &want)
	checkIndices(t, "blobs", x, labels, want.Silhouette, want.CH, want.DB, 1e-10)
}

// Any number of workers gives the same bits; a sample is drawn by the seed, and
// estimates the whole.
func TestSilhouetteSample(t *testing.T) {
	x := modeltest.Blobs(3000, 4, 2)
	labels := make([]int, x.Rows())
	for i := range labels {
		if x.Row(i)[0] > 3 {
			labels[i] = 1
		}
	}
	p := DefaultSilhouetteParams()
	whole, _, err := Silhouette(t.Context(), p, x, labels)
	if err != nil {
		t.Fatal(err)
	}
	p.Sample = 800
	part, _, _ := Silhouette(t.Context(), p, x, labels)
	if part == whole || math.Abs(part-whole) > .03 {
		t.Errorf("sampled %v, whole %v", part, whole)
	}
	for _, workers := range []int{2, 7} {
		p.Workers = workers
		if got, _, _ := Silhouette(t.Context(), p, x, labels); got != part {
			t.Errorf("%d workers: %v, one: %v", workers, got, part)
		}
	}
	p.Seed = 2
	if got, _, _ := Silhouette(t.Context(), p, x, labels); got == part {
		t.Error("another seed drew the same rows")
	}
	rows, err := Silhouettes(t.Context(), p, x, labels)
	if err != nil || len(rows) != 800 || !slices.IsSortedFunc(rows, func(a, b RowSilhouette) int { return a.Row - b.Row }) {
		t.Errorf("%d rows measured, %v", len(rows), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Silhouette(ctx, p, x, labels); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestARI(t *testing.T) {
	// scikit-learn/sklearn/metrics/cluster/tests/test_supervised.py
	figure(t, "ARI", 8./33)(ARI([]int{0, 0, 0, 1, 1, 1}, []int{0, 1, 0, 1, 2, 2}))
	figure(t, "ARI renamed", 1)(ARI([]int{0, 0, 1, 2}, []int{7, 7, -1, 3}))
	figure(t, "ARI of one cluster and singletons", 0)(ARI([]int{0, 0, 0}, []int{0, 1, 2}))
	figure(t, "ARI of one row", 1)(ARI([]int{4}, []int{9}))
	if v, ok := ARI(nil, nil); ok || !math.IsNaN(v) {
		t.Errorf("ARI of no rows is %v, %v; want NaN, false", v, ok)
	}
}

func BenchmarkSilhouette(b *testing.B) {
	const n, d, k = 5000, 16, 8
	r := rand.New(rand.NewPCG(1, 1))
	names := make([]string, d)
	for j := range names {
		names[j] = fmt.Sprint("x", j)
	}
	x := models.NewMatrix(names, n)
	labels := make([]int, n)
	for i := range n {
		labels[i] = r.IntN(k)
		for j := range d {
			x.Row(i)[j] = float64(labels[i]) + r.NormFloat64()
		}
	}
	b.Run(fmt.Sprintf("kind=exact/n=%d/d=%d/k=%d", n, d, k), func(b *testing.B) {
		for b.Loop() {
			if _, _, err := Silhouette(b.Context(), DefaultSilhouetteParams(), x, labels); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "rows/s")
	})
	g, _, _ := group(x, labels)
	centres := g.means()
	b.Run(fmt.Sprintf("kind=simplified/n=%d/d=%d/k=%d", n, d, k), func(b *testing.B) {
		for b.Loop() {
			if _, _, err := SimplifiedSilhouette(x, labels, centres); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "rows/s")
	})
}

func BenchmarkAUC(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		y, s := tiedScores(n, 1<<30, 1)
		b.Run(fmt.Sprintf("op=sort_and_auc/n=%.0e", float64(n)), func(b *testing.B) {
			for b.Loop() {
				m, err := NewBinary(y, s)
				if err != nil {
					b.Fatal(err)
				}
				m.AUC()
			}
			b.ReportMetric(float64(b.N)*float64(n)/b.Elapsed().Seconds(), "rows/s")
		})
	}
	y, s := tiedScores(100_000, 1<<30, 1)
	m := newBinary(b, y, s)
	b.Run("op=bootstrap/n=1e5/replicates=100", func(b *testing.B) {
		p := DefaultBootstrapParams()
		p.Replicates = 100
		for b.Loop() {
			if _, _, err := Bootstrap(b.Context(), p, len(y), nil, func(times []int32) (float64, bool) { return m.Resample(times).AUC() }); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)*100*1e5/b.Elapsed().Seconds(), "rows/s")
	})
}
