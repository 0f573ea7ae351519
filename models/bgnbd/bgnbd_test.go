package bgnbd

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

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/optimize"
)

// published is the fit to CDNOW that Fader, Hardie & Lee (2005) print.
var published = Model{R: .2425945, Alpha: 4.4136019, A: .7929199, B: 2.4258881}

// fullPrecision is the same optimum with further digits, by an independent
// maximisation on raw dates.
var fullPrecision = Model{R: .2425945, Alpha: 4.4136017, A: .7929220, B: 2.4259064}

func logLikelihood(t testing.TB, m Model, h Histories) float64 {
	t.Helper()
	s, err := group(h).sum(context.Background(), 1, m)
	if err != nil {
		t.Fatal(err)
	}
	return s.value
}

func one(x, tx, t float64) Histories {
	return Histories{X: []float64{x}, TX: []float64{tx}, T: []float64{t}}
}

// simulate draws n customers from the model itself, observed until 39 + a cohort
// offset; integer days, so that the calendar's ties occur.
func simulate(m Model, n int, seed uint64) Histories {
	rng := rand.New(rand.NewPCG(seed, 1))
	gamma := func(shape float64) float64 { // Marsaglia & Tsang 2000
		boost := 1.0
		if shape < 1 {
			boost = math.Pow(rng.Float64(), 1/shape)
			shape++
		}
		d := shape - 1.0/3
		for {
			z := rng.NormFloat64()
			v := 1 + z/math.Sqrt(9*d)
			if v > 0 {
				v = v * v * v
				if math.Log(rng.Float64()) < z*z/2+d-d*v+d*math.Log(v) {
					return d * v * boost
				}
			}
		}
	}
	var h Histories
	for range n {
		lambda := gamma(m.R) / m.Alpha
		g1, g2 := gamma(m.A), gamma(m.B)
		p := g1 / (g1 + g2)
		T := 27 + float64(rng.IntN(85))/7
		var x, tx, now float64
		for {
			now += rng.ExpFloat64() / lambda
			if now > T {
				break
			}
			if day := math.Ceil(now*7) / 7; day > tx && day <= T {
				x, tx = x+1, day
			}
			if rng.Float64() < p {
				break
			}
		}
		h.X, h.TX, h.T = append(h.X, x), append(h.TX, tx), append(h.T, T)
	}
	return h
}

func fit(t testing.TB, p Params, h Histories) *Model {
	t.Helper()
	m, warnings, err := Fit(context.Background(), p, h)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		t.Errorf("unexpected warning: %v", w)
	}
	return m
}

func TestLikelihoodAtGivenParameters(t *testing.T) {
	// Extreme counts, where Γ and powers overflow: log-likelihoods computed in
	// extended precision for r=.25, α=4, a=.8, b=2.5, the parameters of
	// pymc-marketing's tests/clv/models/test_modified_beta_geo.py.
	m := Model{R: .25, Alpha: 4, A: .8, B: 2.5}
	for _, c := range []struct{ x, tx, t, want, tol float64 }{
		{0, 0, 40, -.599474, 5e-7},
		{200, 38, 40, 100.795693, 5e-7},
	} {
		if got := logLikelihood(t, m, one(c.x, c.tx, c.t)); math.Abs(got-c.want) > c.tol {
			t.Errorf("ln L(%v, %v, %v) = %.7f, want %.6f", c.x, c.tx, c.t, got, c.want)
		}
	}
	// Eq. (3) multiplied out in ordinary arithmetic, where that does not overflow.
	for _, c := range [][3]float64{{1, .5, 1}, {2, 30.43, 38.86}, {26, 30.86, 31}, {7, 1, 39}} {
		x, tx, T := c[0], c[1], c[2]
		r, al, a, b := m.R, m.Alpha, m.A, m.B
		beta := func(p, q float64) float64 { return math.Gamma(p) * math.Gamma(q) / math.Gamma(p+q) }
		like := math.Gamma(r+x) * math.Pow(al, r) / math.Gamma(r) *
			(beta(a, b+x)/beta(a, b)*math.Pow(al+T, -r-x) + beta(a+1, b+x-1)/beta(a, b)*math.Pow(al+tx, -r-x))
		if got, want := logLikelihood(t, m, one(x, tx, T)), math.Log(like); math.Abs(got-want) > 1e-11*math.Abs(want) {
			t.Errorf("ln L(%v) = %.14g, want %.14g", c, got, want)
		}
	}
}

func TestDerivativesAgainstFiniteDifferences(t *testing.T) {
	h := simulate(published, 400, 3)
	h.X, h.TX, h.T = append(h.X, 150, 40), append(h.TX, 30, 2), append(h.T, 39, 39)
	g := group(h)
	p := DefaultParams()
	p.Penalty = .3 // large enough for its derivative to show
	f := g.objective(context.Background(), p)
	grad, hess := make([]float64, 4), mat.NewSymDense(4, nil)
	other := mat.NewSymDense(4, nil)
	for _, phi := range [][]float64{{-1.4, -2, -.2, .9}, {.7, .3, 1.5, -.8}, {-3, 1, 2, 3}, {2, -3, -2, -2}} {
		f(phi, grad, hess)
		for i := range phi {
			const d = 1e-5
			up, down := slices.Clone(phi), slices.Clone(phi)
			up[i] += d
			down[i] -= d
			gUp, gDown := make([]float64, 4), make([]float64, 4)
			fUp, fDown := f(up, gUp, other), f(down, gDown, other)
			if want := (fUp - fDown) / (2 * d); math.Abs(grad[i]-want) > 1e-6*(1+math.Abs(want)) {
				t.Errorf("at %v: ∂f/∂φ%d = %.9g, finite difference %.9g", phi, i, grad[i], want)
			}
			for j := range phi {
				if want := (gUp[j] - gDown[j]) / (2 * d); math.Abs(hess.At(i, j)-want) > 1e-6*(1+math.Abs(want)) {
					t.Errorf("at %v: ∂²f/∂φ%d∂φ%d = %.9g, finite difference %.9g", phi, i, j, hess.At(i, j), want)
				}
			}
		}
	}
}

func TestPublishedForecasts(t *testing.T) {
	// E[X(t)] from Fader, Hardie & Lee's spreadsheet note, four digits. It prints
	// 1.8576 at t = 78, where its ₂F₁ stops after 151 terms; with all of them
	// scipy 1.17's hyp2f1 gives 1.857956.
	for _, c := range []struct{ t, want float64 }{
		{.1429, .0078}, {1, .0532}, {3, .1506}, {31.8571, 1.0405}, {32, 1.0437}, {78, 1.857956},
	} {
		if got, err := published.ExpectedNew(c.t); err != nil || math.Abs(got-c.want) > 5.1e-5 {
			t.Errorf("E[X(%v)] = %.6f, %v; want %v", c.t, got, err, c.want)
		}
	}
	// P(X(39)=0) is printed as .5737864 for r, α rounded to three decimals.
	rounded := Model{R: .243, Alpha: 4.414, A: .793, B: 2.426}
	f, err := rounded.Predict(nil, one(0, 0, 0), 39)
	if err != nil || math.Abs(1-f[0].Buys-.5737864) > 6e-8 {
		t.Errorf("P(X(39)=0) = %.9f, %v; want .5737864", 1-f[0].Buys, err)
	}
	// Expected purchases and P(alive) at the full-precision fit over 39 weeks,
	// from eq. (10) evaluated with numpy and scipy; the first is printed as 1.226
	// in Fader, Hardie & Lee (2005) §4.
	h := Histories{X: []float64{2, 26, 0}, TX: []float64{30.43, 30.86, 0}, T: []float64{38.86, 31, 39}}
	f, err = fullPrecision.Predict(nil, h, 39)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []Forecast{{Expected: 1.225907, Alive: .726609}, {Expected: 20.750276, Alive: .968919}, {Expected: .194216, Alive: 1}} {
		if math.Abs(f[i].Expected-want.Expected) > 6e-7 || math.Abs(f[i].Alive-want.Alive) > 6e-7 {
			t.Errorf("customer %d: %+v, want expected %v, alive %v", i, f[i], want.Expected, want.Alive)
		}
	}
}

// TestExpectedAgainstEquation10 compares the positive series, and the
// quadrature that replaces it for extreme arguments, with the paper's formula
// and gonum's ₂F₁ where that neither cancels nor overflows.
func TestExpectedAgainstEquation10(t *testing.T) {
	for _, c := range []struct{ s, a, b, z float64 }{
		{2.2425945, .792922, 4.4259064, .9}, {26.24, .79, 28.4, 1.1}, {.24, .79, 2.4, .9}, {.24, 3, 2.4, 5},
		{1.5, .3, .2, .01}, {10, 2, 5, .5}, {3, .05, 50, 2}, {.01, 1.7, .3, 9},
	} {
		w := c.z / (1 + c.z)
		f := mathext.Hypergeo(c.s, c.b, c.a+c.b-1, w)
		want := (c.a + c.b - 1) / (c.a - 1) * (1 - math.Pow(1-w, c.s)*f)
		if got := expected(c.s, c.a, c.b, c.z); math.Abs(got-want) > 1e-10*want {
			t.Errorf("expected(%v) = %.14g, eq. (10) gives %.14g", c, got, want)
		}
		if got := expectedIntegral(c.s, c.a, c.b, c.z); math.Abs(got-want) > 1e-10*want {
			t.Errorf("expectedIntegral(%v) = %.14g, eq. (10) gives %.14g", c, got, want)
		}
	}
}

func TestExpectedLimits(t *testing.T) {
	// The series and the quadrature share nothing, and agree where eq. (10) fails:
	// a = 1, (1−w)^s below the smallest float, b near 0, thousands of purchases.
	for _, c := range []struct{ s, a, b, z float64 }{
		{2, 1, 3, .9}, {2, 1 + 1e-12, 3, .9}, {3000, .8, 3000, 1}, {1000, 5, 2, 3}, {.3, .001, .01, 40}, {50, 400, 3, 2}, {.25, .8, 2.5, 300},
	} {
		got, want := expected(c.s, c.a, c.b, c.z), expectedIntegral(c.s, c.a, c.b, c.z)
		if !(math.Abs(got-want) <= 1e-9*want) || got <= 0 {
			t.Errorf("expected(%v) = %.14g by the series, %.14g by quadrature", c, got, want)
		}
	}
	// No dropout (a → 0): the NBD's mean sz. Certain dropout (a → ∞): one more
	// purchase at most, so P(N ≥ 1).
	if got := expected(2.5, 1e-12, 3, 2); math.Abs(got-5) > 1e-9 {
		t.Errorf("without dropout: %v, want 5", got)
	}
	if got, want := expected(2.5, 1e13, 3, 2), 1-math.Pow(3, -2.5); math.Abs(got-want) > 1e-9 {
		t.Errorf("with certain dropout: %v, want %v", got, want)
	}
	// Horizons so long that the series would take 10⁷ terms: still increasing and finite.
	last := 0.0
	for _, z := range []float64{1, 1e2, 1e3, 1e4, 1e6, 1e9} {
		got := expected(.25, .8, 2.5, z)
		if !(got > last) || math.IsInf(got, 0) {
			t.Errorf("expected over z = %g is %v after %v", z, got, last)
		}
		last = got
	}
	// The switch between the two is not a step: both sides of it grow by the
	// same ratio as z does by a thousandth.
	for z := 395.0; z < 405; z++ {
		lo, hi := expected(.25, .8, 2.5, z), expected(.25, .8, 2.5, z*1.001)
		if g := (hi/lo - 1) / .001; !(g > .1 && g < .4) {
			t.Errorf("elasticity %v at z = %v", g, z)
		}
	}
}

func TestForecastExtremes(t *testing.T) {
	// lifetimes' regression test: 1000 purchases and then silence overflow a naive
	// P(alive); it must be exactly 0 and nothing NaN.
	m := Model{R: .25, Alpha: 4, A: .8, B: 2.5}
	for _, c := range []struct{ x, tx, t float64 }{{1000, 10, 100}, {0, 0, 1e-9}, {0, 0, 0}, {1, 1e-9, 1e9}, {100000, 99, 100}} {
		f, err := m.Predict(nil, one(c.x, c.tx, c.t), 52)
		if err != nil {
			t.Fatal(err)
		}
		v := f[0]
		if math.IsNaN(v.Expected+v.Buys+v.Alive) || v.Expected < 0 || v.Buys < 0 || v.Buys > 1 || v.Alive < 0 || v.Alive > 1 {
			t.Errorf("%v: %+v", c, v)
		}
		if c.x == 1000 && v.Alive != 0 {
			t.Errorf("P(alive | %v) = %v, want 0", c, v.Alive)
		}
	}
	// A horizon of nothing sells nothing; buying at least once is at most the expectation.
	f, err := m.Predict(nil, one(3, 20, 30), 0)
	if err != nil || f[0].Expected != 0 || f[0].Buys != 0 {
		t.Errorf("horizon 0: %+v, %v", f, err)
	}
	f, _ = m.Predict(nil, one(3, 20, 30), 10)
	if !(f[0].Buys > 0 && f[0].Buys < f[0].Expected && f[0].Buys < f[0].Alive) {
		t.Errorf("%+v: want 0 < Buys < min(Expected, Alive)", f[0])
	}
}

func TestForecastsMatchSimulation(t *testing.T) {
	// Forecast three weeks ahead of a simulated base and count what its own
	// process does: the bound is four standard errors.
	const n = 40000
	truth := Model{R: .5, Alpha: 6, A: 1, B: 2}
	rng := rand.New(rand.NewPCG(11, 2))
	var expectedSum, actual, variance, buys, bought float64
	for range n {
		z := rng.NormFloat64()
		lambda := z * z / 2 / truth.Alpha // Gamma(½, rate α)
		u1, u2 := rng.ExpFloat64(), rng.ExpFloat64()+rng.ExpFloat64()
		p := u1 / (u1 + u2) // Beta(1, 2)
		const T, horizon = 20.0, 3.0
		var x, tx, now, after float64
		for {
			now += rng.ExpFloat64() / lambda
			if now > T+horizon {
				break
			}
			if now > T {
				after++
			} else {
				x, tx = x+1, now
			}
			if rng.Float64() < p {
				break
			}
		}
		f := truth.forecast(x, tx, T, horizon)
		expectedSum += f.Expected
		actual += after
		variance += (after - f.Expected) * (after - f.Expected)
		buys += f.Buys
		if after > 0 {
			bought++
		}
	}
	if d := math.Abs(actual - expectedSum); d > 4*math.Sqrt(variance) {
		t.Errorf("forecast %.1f purchases, %v happened, standard error %.1f", expectedSum, actual, math.Sqrt(variance))
	}
	if d := math.Abs(bought - buys); d > 4*math.Sqrt(buys) {
		t.Errorf("forecast %.1f buyers, %v bought", buys, bought)
	}
}

func TestFitRecoversSimulation(t *testing.T) {
	truth := Model{R: 1.2, Alpha: 8, A: 1.5, B: 4}
	h := simulate(truth, 30000, 5)
	m := fit(t, DefaultParams(), h)
	// Days merge purchases and delay them by half a day, so the truth is not the
	// optimum to the last digit; it must still be close, and never beat the fit.
	if ll := logLikelihood(t, truth, h); ll > m.LogLikelihood {
		t.Errorf("the truth has log-likelihood %v, above the fit's %v", ll, m.LogLikelihood)
	}
	if got, want := m.R/m.Alpha, truth.R/truth.Alpha; math.Abs(got-want) > .05*want {
		t.Errorf("mean rate %v, want %v", got, want)
	}
	if got, want := m.A/(m.A+m.B), truth.A/(truth.A+truth.B); math.Abs(got-want) > .1*want {
		t.Errorf("mean dropout probability %v, want %v", got, want)
	}
}

// TestNoOtherOptimumIsHigher sends gonum's BFGS from scattered starts over the
// same likelihood.
func TestNoOtherOptimumIsHigher(t *testing.T) {
	h := simulate(published, 1500, 8)
	p := DefaultParams()
	m := fit(t, p, h)
	g := group(h)
	f := g.objective(context.Background(), p)
	scratch := mat.NewSymDense(4, nil)
	grad := make([]float64, 4)
	best := math.Inf(1)
	rng := rand.New(rand.NewPCG(4, 4))
	for range 12 {
		start := []float64{rng.NormFloat64(), rng.NormFloat64() - 1, rng.NormFloat64(), rng.NormFloat64()}
		res, err := optimize.Minimize(optimize.Problem{
			Func: func(x []float64) float64 { return f(x, grad, scratch) },
			Grad: func(dst, x []float64) { f(x, dst, scratch) },
		}, start, &optimize.Settings{MajorIterations: 300}, &optimize.BFGS{})
		if res == nil {
			t.Fatal(err)
		}
		best = min(best, res.F)
	}
	phi := []float64{math.Log(m.R), math.Log(m.Alpha / g.scale), math.Log(m.A), math.Log(m.B)}
	got := f(phi, grad, scratch)
	if math.Abs(got-best) > 1e-7 {
		t.Errorf("objective %.9f, BFGS from twelve starts finds %.9f", got, best)
	}
}

func TestSameBytes(t *testing.T) {
	h := simulate(published, 40000, 21) // more than four chunks, more than a sample
	want, err := json.Marshal(fit(t, DefaultParams(), h))
	if err != nil {
		t.Fatal(err)
	}
	for _, workers := range []int{1, 2, 5} {
		p := DefaultParams()
		p.Workers = workers
		if got, _ := json.Marshal(fit(t, p, h)); !bytes.Equal(got, want) {
			t.Errorf("workers=%d: %s, want %s", workers, got, want)
		}
	}
	// Shuffled rows with unequal weights.
	rng := rand.New(rand.NewPCG(1, 1))
	h.W = make([]float64, h.Len())
	for i := range h.W {
		h.W[i] = .1 + rng.Float64()
	}
	want, _ = json.Marshal(fit(t, DefaultParams(), h))
	rng.Shuffle(h.Len(), func(i, j int) {
		for _, c := range [][]float64{h.X, h.TX, h.T, h.W} {
			c[i], c[j] = c[j], c[i]
		}
	})
	if got, _ := json.Marshal(fit(t, DefaultParams(), h)); !bytes.Equal(got, want) {
		t.Errorf("shuffled rows: %s, want %s", got, want)
	}
}

func TestWeightsAreRepeats(t *testing.T) {
	h := simulate(published, 1000, 13)
	rng := rand.New(rand.NewPCG(2, 2))
	var repeated Histories
	h.W = make([]float64, h.Len())
	for i := range h.W {
		w := rng.IntN(4) // zero removes the row
		h.W[i] = float64(w)
		for range w {
			repeated.X = append(repeated.X, h.X[i])
			repeated.TX = append(repeated.TX, h.TX[i])
			repeated.T = append(repeated.T, h.T[i])
		}
	}
	got, _ := json.Marshal(fit(t, DefaultParams(), h))
	want, _ := json.Marshal(fit(t, DefaultParams(), repeated))
	if !bytes.Equal(got, want) {
		t.Errorf("weighted %s, repeated %s", got, want)
	}
}

func TestTimeUnitDoesNotMatter(t *testing.T) {
	h := simulate(published, 3000, 17)
	weeks := fit(t, DefaultParams(), h)
	const c = 7
	days := Histories{X: h.X}
	for i := range h.X {
		days.TX = append(days.TX, h.TX[i]*c)
		days.T = append(days.T, h.T[i]*c)
	}
	m := fit(t, DefaultParams(), days)
	for _, v := range []struct {
		name      string
		got, want float64
	}{
		{"r", m.R, weeks.R}, {"α", m.Alpha, c * weeks.Alpha}, {"a", m.A, weeks.A}, {"b", m.B, weeks.B},
		// Each purchase's density is per unit of time.
		{"log-likelihood", m.LogLikelihood, weeks.LogLikelihood - sumOf(h.X)*math.Log(c)},
	} {
		if math.Abs(v.got-v.want) > 1e-6*math.Abs(v.want) {
			t.Errorf("in days %s is %v, want %v", v.name, v.got, v.want)
		}
	}
	in, err := weeks.Predict(nil, h, 10)
	if err != nil {
		t.Fatal(err)
	}
	out, err := m.Predict(nil, days, 10*c)
	if err != nil {
		t.Fatal(err)
	}
	for i := range in {
		if math.Abs(in[i].Expected-out[i].Expected) > 1e-6*in[i].Expected {
			t.Fatalf("row %d: %v purchases in weeks, %v in days", i, in[i].Expected, out[i].Expected)
		}
	}
}

func sumOf(x []float64) (s float64) {
	for _, v := range x {
		s += v
	}
	return s
}

func TestSaveLoadAndBatch(t *testing.T) {
	h := simulate(published, 2000, 23)
	m := fit(t, DefaultParams(), h)
	saved, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var loaded Model
	if err := json.Unmarshal(saved, &loaded); err != nil {
		t.Fatal(err)
	}
	if loaded != *m {
		t.Errorf("loaded %+v, saved %+v", loaded, *m)
	}
	all, err := m.Predict(nil, h, 26)
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		row, err := loaded.Predict(nil, one(h.X[i], h.TX[i], h.T[i]), 26)
		if err != nil || row[0] != all[i] {
			t.Fatalf("row %d alone: %+v, %v; in the batch %+v", i, row, err, all[i])
		}
	}
	for _, text := range []string{`{"r":0,"alpha":1,"a":1,"b":1}`, `{"r":1,"alpha":1,"a":1}`, `{`, `{"r":1,"alpha":-2,"a":1,"b":1}`} {
		if err := json.Unmarshal([]byte(text), new(Model)); err == nil {
			t.Errorf("loaded %s", text)
		}
	}
}

func TestRefusals(t *testing.T) {
	good := func() Histories {
		return Histories{X: []float64{0, 2, 1}, TX: []float64{0, 5, 3}, T: []float64{9, 8, 7}, W: []float64{1, 1, 1}}
	}
	for _, c := range []struct {
		want string
		edit func(h *Histories)
	}{
		{"row 1: X (-1)", func(h *Histories) { h.X[1] = -1 }},
		{"row 2: X (1.5)", func(h *Histories) { h.X[2] = 1.5 }},
		{"row 1: TX (8.5) must be <= T (8)", func(h *Histories) { h.TX[1] = 8.5 }},
		{"row 0: TX (3) must be 0 when X is 0", func(h *Histories) { h.TX[0] = 3 }},
		{"row 2: TX (0) must be > 0 when X is 1", func(h *Histories) { h.TX[2] = 0 }},
		{"row 0: T (-1)", func(h *Histories) { h.T[0] = -1 }},
		{"row 2: X is NaN", func(h *Histories) { h.X[2] = math.NaN() }},
		{"row 1: TX is NaN", func(h *Histories) { h.TX[1] = math.NaN() }},
		{"row 2: T is +Inf", func(h *Histories) { h.T[2] = math.Inf(1) }},
		{"row 1: W (-2)", func(h *Histories) { h.W[1] = -2 }},
		{"empty input", func(h *Histories) { *h = Histories{} }},
		{"3, 2, 3, 3 rows", func(h *Histories) { h.TX = h.TX[:2] }},
		{"too few repeat customers: 2 of 3", func(h *Histories) {}},
	} {
		h := good()
		c.edit(&h)
		_, _, err := Fit(context.Background(), DefaultParams(), h)
		if err == nil || !strings.HasPrefix(err.Error(), "bgnbd: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Fit: %v, want it to say %q", err, c.want)
		}
		if strings.Contains(c.want, "too few") {
			if !errors.Is(err, ErrTooFewRepeaters) {
				t.Errorf("%v is not ErrTooFewRepeaters", err)
			}
			continue
		}
		if _, err := published.Predict(nil, h, 1); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Predict: %v, want it to say %q", err, c.want)
		}
	}
	for _, horizon := range []float64{-1, math.NaN(), math.Inf(1)} {
		if _, err := published.Predict(nil, good(), horizon); err == nil {
			t.Errorf("Predict accepted the horizon %v", horizon)
		}
		if _, err := published.ExpectedNew(horizon); err == nil {
			t.Errorf("ExpectedNew accepted %v", horizon)
		}
	}
	err := Params{MinRepeaters: math.NaN(), Penalty: -1}.Validate()
	for _, want := range []string{"MinRepeaters (NaN)", "Penalty (-1) must be >= 0", "MaxIter (0) must be >= 1", "Tol (0)", "StartSample (0)", "Workers (0)"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate does not mention %q: %v", want, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := Fit(ctx, DefaultParams(), simulate(published, 500, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled fit: %v", err)
	}
}

func TestUnidentifiedDropoutWarns(t *testing.T) {
	// Nobody ever stops: the last purchase is always today, so a/(a+b) → 0.
	var h Histories
	for i := range 300 {
		x := float64(1 + i%12)
		h.X, h.TX, h.T = append(h.X, x), append(h.TX, 30), append(h.T, 30)
	}
	m, warnings, err := Fit(context.Background(), DefaultParams(), h)
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) == 0 || warnings[0].Code != "bgnbd.weakly_identified" {
		t.Errorf("fit %+v warns %v, want bgnbd.weakly_identified", m, warnings)
	}
	f, err := m.Predict(nil, one(5, 30, 30), 6)
	if err != nil || math.Abs(f[0].Expected-1) > .2 || f[0].Alive < .99 {
		t.Errorf("5 purchases in 30 weeks forecast %+v over 6, %v", f, err)
	}
}

// BenchmarkFit's customers are dated to the day, as a calendar dates them, or
// to the instant, so that no two histories are identical.
func BenchmarkFit(b *testing.B) {
	for _, n := range []int{1e5, 1e6} {
		for _, dated := range []string{"day", "instant"} {
			h := simulate(published, n, 1)
			if dated == "instant" {
				rng := rand.New(rand.NewPCG(1, 3))
				for i := range h.T {
					shift := 1 + rng.Float64()/10
					h.T[i] *= shift
					h.TX[i] *= shift
				}
			}
			for _, workers := range []int{1, 2} {
				b.Run(fmt.Sprintf("n=%d/dated=%s/workers=%d", n, dated, workers), func(b *testing.B) {
					p := DefaultParams()
					p.Workers = workers
					for b.Loop() {
						m := fit(b, p, h)
						b.ReportMetric(m.LogLikelihood/float64(n), "loglik/customer")
					}
					b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "customers/s")
				})
			}
		}
	}
}

func BenchmarkPredict(b *testing.B) {
	h := simulate(published, 1e5, 1)
	dst := make([]Forecast, h.Len())
	for b.Loop() {
		if _, err := published.Predict(dst, h, 13); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(h.Len())*float64(b.N)/b.Elapsed().Seconds(), "customers/s")
}

func ExampleFit() {
	// In weeks: 40 customers came back twice, the last time in week 20 of 30; 60 never did.
	h := Histories{
		X:  []float64{2, 0},
		TX: []float64{20, 0},
		T:  []float64{30, 30},
		W:  []float64{40, 60},
	}
	m, _, err := Fit(context.Background(), DefaultParams(), h)
	if err != nil {
		fmt.Println(err)
		return
	}
	f, err := m.Predict(nil, Histories{X: []float64{2}, TX: []float64{20}, T: []float64{30}}, 10)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("buys within ten weeks with probability %.2f\n", f[0].Buys)
	// Output: buys within ten weeks with probability 0.32
}
