package calibrate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/internal/pyoracle"
)

// vectorV is a ten-row example with ties; the expected figures below were
// computed with scikit-learn 1.2.1 (IsotonicRegression, _SigmoidCalibration).
func vectorV() (scores, labels []float64) {
	return []float64{.1, .4, .35, .8, .4, .4, .2, .9, .35, .1}, []float64{0, 0, 1, 1, 0, 1, 0, 1, 1, 0}
}

func fit(t testing.TB, p Params, scores, labels []float64) *Model {
	t.Helper()
	m, warnings, err := Fit(context.Background(), p, scores, labels)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		t.Errorf("unexpected warning: %v", w)
	}
	return m
}

func with(m Method) Params {
	p := DefaultParams()
	p.Method = m
	return p
}

func simulate(n int, seed uint64) (scores, labels []float64) {
	rng := rand.New(rand.NewPCG(seed, 3))
	for range n {
		s := math.Round(50*rng.NormFloat64()) / 50 // with ties
		p := 1 / (1 + math.Exp(1-2*s))
		y := 0.0
		if rng.Float64() < p {
			y = 1
		}
		scores, labels = append(scores, s), append(labels, y)
	}
	return scores, labels
}

func TestVectorV(t *testing.T) {
	scores, labels := vectorV()
	m := fit(t, with(Isotonic), scores, labels)
	for _, c := range []struct{ score, want float64 }{
		{.1, 0}, {.2, 0}, {.35, .6}, {.4, .6}, {.8, 1}, {.9, 1},
		{-5, 0}, {7, 1}, {.275, .3}, {.6, .8}, // beyond the ends; half-way between corners
	} {
		if got := m.Raw(c.score); math.Abs(got-c.want) > 1e-15 {
			t.Errorf("isotonic at %v is %v, want %v", c.score, got, c.want)
		}
	}
	// Five of each class: Platt's smoothed labels are 6/7 and 1/7.
	got, err := m.Predict(nil, []float64{.1, .4, .9})
	if err != nil || math.Abs(got[0]-1.0/7) > 1e-15 || got[1] != .6 || math.Abs(got[2]-6.0/7) > 1e-15 {
		t.Errorf("Predict(.1, .4, .9) = %v, %v; want 1/7, .6, 6/7", got, err)
	}

	m = fit(t, with(Platt), scores, labels)
	// scikit-learn 1.2.1 gives A −4.598579820528, B 1.760706609278, where its search
	// stops at a gradient of 6e−6 (1.9 stops at −4.5984946): near is right, and
	// the loss must be lower and its gradient nil.
	loss := func(a, b float64) (f, ga, gb float64) {
		for i, s := range scores {
			target := (1 + 5*labels[i]) / 7 // 1/7 or 6/7
			q := 1 / (1 + math.Exp(a*s+b))
			f -= target*math.Log(q) + (1-target)*math.Log(1-q)
			ga, gb = ga+(target-q)*s, gb+target-q
		}
		return f, ga, gb
	}
	const a, b = -4.598579820528, 1.760706609278
	if math.Abs(m.A-a) > 1e-4 || math.Abs(m.B-b) > 5e-5 {
		t.Errorf("Platt A %.12f, B %.12f; want about %v, %v", m.A, m.B, a, b)
	}
	ours, ga, gb := loss(m.A, m.B)
	if theirs, _, _ := loss(a, b); ours > theirs || math.Abs(ga) > 1e-10 || math.Abs(gb) > 1e-10 {
		t.Errorf("Platt's loss is %.12f with gradient %v, %v; scikit-learn's %.12f", ours, ga, gb, theirs)
	}
}

func TestIsotonicIsTheProjection(t *testing.T) {
	// The max–min formula (Barlow et al. 1972, thm 1.4) is another road to the
	// same function: at the i-th distinct score,
	// max over a ≤ i of min over b ≥ i of the mean label of scores a..b.
	scores, labels := simulate(300, 5)
	m := fit(t, with(Isotonic), scores, labels)
	points := pool(scores, labels)
	for i, p := range points {
		best := math.Inf(-1)
		for a := 0; a <= i; a++ {
			low := math.Inf(1)
			var positives, rows float64
			for b := a; b < len(points); b++ {
				positives += points[b].positives
				rows += points[b].rows
				if b >= i {
					low = min(low, positives/rows)
				}
			}
			best = max(best, low)
		}
		if got := m.Raw(p.score); math.Abs(got-best) > 1e-12 {
			t.Errorf("at %v isotonic gives %v, max–min %v", p.score, got, best)
		}
	}
}

func TestAgainstScikitLearn(t *testing.T) {
	in := map[string][]float64{}
	in["s"], in["y"] = simulate(2000, 8)
	var want struct {
		Isotonic []float64
		A, B     float64
	}
	pyoracle.Run(t, `
import sys, json, numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.calibration import _SigmoidCalibration
d = json.load(sys.stdin); s, y = np.array(d["s"]), np.array(d["y"])
at = np.linspace(-4, 4, 201)
iso = IsotonicRegression(out_of_bounds="clip").fit(s, y).predict(at)
sig = _SigmoidCalibration().fit(s, y)
print(json.dumps({"Isotonic": iso.tolist(), "A": float(sig.a_), "B": float(sig.b_)}))
`, in, &want)
	m := fit(t, with(Isotonic), in["s"], in["y"])
	for i, w := range want.Isotonic {
		if got := m.Raw(-4 + float64(i)*.04); math.Abs(got-w) > 1e-9 {
			t.Errorf("isotonic at %v is %v, scikit-learn's %v", -4+float64(i)*.04, got, w)
		}
	}
	m = fit(t, with(Platt), in["s"], in["y"])
	if math.Abs(m.A-want.A) > 1e-4 || math.Abs(m.B-want.B) > 1e-4 {
		t.Errorf("Platt A %v, B %v; scikit-learn's %v, %v", m.A, m.B, want.A, want.B)
	}
}

// Labels drawn from a beta curve give the curve back, whose ends Platt's sigmoid
// cannot both meet; the gradient of the loss is nil there; and what is calibrated
// already stays as it is.
func TestBeta(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for _, c := range []struct{ a, b, c float64 }{{1, 1, 0}, {.5, 2, -.3}, {2, .4, 1}, {1.5, 0, .2}} {
		const n = 60_000
		scores, labels := make([]float64, n), make([]float64, n)
		curve := func(s float64) float64 {
			p := 1 / (1 + math.Exp(-s))
			return 1 / (1 + math.Exp(-(c.a*math.Log(p) - c.b*math.Log(1-p) + c.c)))
		}
		for i := range scores {
			scores[i] = 2 * rng.NormFloat64()
			if rng.Float64() < curve(scores[i]) {
				labels[i] = 1
			}
		}
		m := fit(t, with(Beta), scores, labels)
		var ga, gb, gc, furthest float64
		pos := 0.
		for _, y := range labels {
			pos += y
		}
		for i, s := range scores {
			target := 1 / (n - pos + 2)
			if labels[i] == 1 {
				target = (pos + 1) / (pos + 2)
			}
			p := 1 / (1 + math.Exp(-s))
			r := m.Raw(s) - target
			ga, gb, gc = ga+r*math.Log(p), gb-r*math.Log(1-p), gc+r
			furthest = max(furthest, math.Abs(m.Raw(s)-curve(s)))
		}
		if furthest > .03 || m.A < 0 || m.B < 0 {
			t.Errorf("%+v: fitted A %.3f, B %.3f, C %.3f; the curves lie up to %.4f apart", c, m.A, m.B, m.C, furthest)
		}
		// On the border the loss may still fall outwards, where it must not go.
		if m.A > 0 && math.Abs(ga) > 1e-6 || m.B > 0 && math.Abs(gb) > 1e-6 || m.B == 0 && gb < -1e-6 || math.Abs(gc) > 1e-6 {
			t.Errorf("%+v: A %v, B %v: the loss's gradient is %g, %g, %g", c, m.A, m.B, ga, gb, gc)
		}
	}
}

func TestAutoChoosesBySize(t *testing.T) {
	scores, labels := simulate(20_000, 1)
	for rows, want := range map[int]Method{999: Platt, 1000: Beta, 19_999: Beta, 20_000: Isotonic} {
		if m := fit(t, DefaultParams(), scores[:rows], labels[:rows]); m.Method != want {
			t.Errorf("%d rows use %s", rows, m.Method)
		}
	}
}

func TestContract(t *testing.T) {
	scores, labels := simulate(3000, 2)
	at := append([]float64{-1e300, 1e300, -40, 40}, scores...)
	for i := range 2000 {
		at = append(at, -4+float64(i)*.004)
	}
	slices.Sort(at)
	for _, method := range []Method{Isotonic, Platt, Beta} {
		m := fit(t, with(method), scores, labels)
		saved, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		all, err := m.Predict(nil, at)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.IsSorted(all) {
			t.Errorf("%s does not rise with the score", method)
		}
		if lo, hi := all[0], all[len(all)-1]; !(lo > 0 && hi < 1 && lo < .05 && hi > .95) {
			t.Errorf("%s predicts from %v to %v, want within (0, 1) and reaching for both", method, lo, hi)
		}
		var loaded Model
		if err := json.Unmarshal(saved, &loaded); err != nil {
			t.Fatal(err)
		}
		for i, s := range at {
			if got, err := loaded.Predict(nil, []float64{s}); err != nil || got[0] != all[i] {
				t.Fatalf("%s, loaded and alone, at %v: %v, %v; in the batch %v", method, s, got, err, all[i])
			}
		}
		in := slices.Clone(at)
		if got, err := m.Predict(in, in); err != nil || !slices.Equal(got, all) {
			t.Errorf("%s in place differs, %v", method, err)
		}
		// In the large, what is predicted is what happened.
		var predicted, happened float64
		fitted, _ := m.Predict(nil, scores)
		for i, q := range fitted {
			predicted, happened = predicted+q, happened+labels[i]
		}
		if math.Abs(predicted-happened) > 2 {
			t.Errorf("%s predicts %v positives of %v", method, predicted, happened)
		}
		// Refitted, and with the rows shuffled.
		s, y := slices.Clone(scores), slices.Clone(labels)
		rand.New(rand.NewPCG(1, 1)).Shuffle(len(s), func(i, j int) { s[i], s[j], y[i], y[j] = s[j], s[i], y[j], y[i] })
		for _, again := range []*Model{fit(t, with(method), scores, labels), fit(t, with(method), s, y)} {
			if b, _ := json.Marshal(again); !bytes.Equal(b, saved) {
				t.Errorf("%s refitted gives other bytes", method)
			}
		}
	}
}

func TestReversedScores(t *testing.T) {
	scores, labels := simulate(1500, 4)
	for i := range scores {
		scores[i] = -scores[i]
	}
	for _, p := range []Params{with(Isotonic), with(Platt), with(Beta)} {
		m, warnings, err := Fit(context.Background(), p, scores, labels)
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.Predict(nil, []float64{-3, 0, 3})
		if err != nil || got[0] > got[1] || got[1] > got[2] {
			t.Errorf("%s turns the order round: %v, %v", p.Method, got, err)
		}
		if p.Method != Isotonic && (len(warnings) != 1 || warnings[0].Code != "calibrate.uninformative" || m.A != 0) {
			t.Errorf("%s of reversed scores: %+v warns %v", p.Method, m, warnings)
		}
	}
	// All scores tied: the base rate, whichever the method.
	for _, method := range []Method{Isotonic, Platt, Beta} {
		m, warnings, err := Fit(context.Background(), with(method), []float64{2, 2, 2, 2, 2, 2}, []float64{1, 0, 0, 1, 0, 0})
		if err != nil || len(warnings) != 1 || warnings[0].Code != "calibrate.uninformative" {
			t.Fatalf("%s of tied scores: %v, %v", method, warnings, err)
		}
		// Platt's targets pull the rate of 1/3 towards ½: (2·¾ + 4·⅙)/6 = 13/36.
		want := map[Method]float64{Isotonic: 1.0 / 3, Platt: 13.0 / 36, Beta: 13.0 / 36}[method]
		if got := m.Raw(7); math.Abs(got-want) > 1e-12 {
			t.Errorf("%s of tied scores predicts %v, want %v", method, got, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		want           string
		scores, labels []float64
	}{
		{"empty input", nil, nil},
		{"row 1: score is NaN", []float64{1, math.NaN()}, []float64{0, 1}},
		{"row 0: score is -Inf", []float64{math.Inf(-1), 2}, []float64{0, 1}},
		{"row 1: label 0.5", []float64{1, 2}, []float64{0, .5}},
		{"row 0: label NaN", []float64{1, 2}, []float64{math.NaN(), 1}},
		{"1 labels for 2 scores", []float64{1, 2}, []float64{0}},
		{"one class only: every label is 1 in 2 rows", []float64{1, 2}, []float64{1, 1}},
	} {
		_, _, err := Fit(context.Background(), DefaultParams(), c.scores, c.labels)
		if err == nil || !strings.HasPrefix(err.Error(), "calibrate: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Fit(%v, %v): %v, want it to say %q", c.scores, c.labels, err, c.want)
		}
		if strings.Contains(c.want, "one class") && !errors.Is(err, ErrOneClass) {
			t.Errorf("%v is not ErrOneClass", err)
		}
	}
	scores, labels := vectorV()
	m := fit(t, with(Platt), scores, labels)
	if _, err := m.Predict(nil, []float64{0, math.NaN()}); err == nil || !strings.Contains(err.Error(), "row 1: score is NaN") {
		t.Errorf("Predict(0, NaN): %v", err)
	}
	if _, err := m.Predict(nil, nil); err == nil {
		t.Error("Predict accepted no scores")
	}
	err := Params{Method: "best"}.Validate()
	for _, want := range []string{`Method ("best") must be auto, isotonic, platt or beta`, "BetaMinRows (0) must be >= 2", "IsotonicMinRows (0) must be >= 2", "MaxIter (0) must be >= 1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate does not mention %q: %v", want, err)
		}
	}
	for _, text := range []string{`{}`, `{"method":"platt","a":1,"low":0.1,"high":0.9}`, `{"method":"isotonic","low":0.1,"high":0.9}`,
		`{"method":"isotonic","scores":[2,1],"rates":[0,1],"low":0.1,"high":0.9}`, `{"method":"platt","a":-1,"low":0,"high":0.9}`,
		`{"method":"beta","a":-1,"b":1,"low":0.1,"high":0.9}`, `{"method":"beta","a":1,"b":-1,"low":0.1,"high":0.9}`, `{"low":0.1,"high":0.9}`} {
		if err := json.Unmarshal([]byte(text), new(Model)); err == nil {
			t.Errorf("loaded %s", text)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, method := range []Method{Isotonic, Platt, Beta} {
		if _, _, err := Fit(ctx, with(method), scores, labels); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled %s: %v", method, err)
		}
	}
}

func BenchmarkFit(b *testing.B) {
	scores, labels := simulate(1e5, 1)
	for _, method := range []Method{Isotonic, Platt, Beta} {
		b.Run(fmt.Sprintf("n=%d/method=%s", len(scores), method), func(b *testing.B) {
			for b.Loop() {
				fit(b, with(method), scores, labels)
			}
			b.ReportMetric(float64(len(scores))*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func ExampleFit() {
	scores := []float64{-2, -1, 0, 1, 2}
	labels := []float64{0, 0, 1, 0, 1}
	m, _, err := Fit(context.Background(), DefaultParams(), scores, labels)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := m.Predict(nil, []float64{-2, 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s: %.2f %.2f\n", m.Method, p[0], p[1])
	// Output: platt: 0.21 0.65
}
