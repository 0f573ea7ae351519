package bgnbd

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/optimize"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/modeltest"
	"github.com/shoal-data/shoal/models/repeat"
)

// published is the fit to CDNOW that Fader, Hardie & Lee (2005) print.
var published = Model{R: .2425945, Alpha: 4.4136019, A: .7929199, B: 2.4258881, Stages: 1}

// fullPrecision is the same optimum with further digits, by an independent
// maximisation on raw dates.
var fullPrecision = Model{R: .2425945, Alpha: 4.4136017, A: .7929220, B: 2.4259064, Stages: 1}

func logLikelihood(t testing.TB, m Model, h repeat.Histories) float64 {
	t.Helper()
	s, err := sum(context.Background(), 1, repeat.Group(h), m)
	if err != nil {
		t.Fatal(err)
	}
	return s.value
}

func one(x, tx, t float64) repeat.Histories {
	return repeat.Histories{X: []float64{x}, TX: []float64{tx}, T: []float64{t}}
}

func fit(t testing.TB, p Params, h repeat.Histories) *Model {
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
	m := Model{R: .25, Alpha: 4, A: .8, B: 2.5, Stages: 1}
	for _, c := range []struct{ x, tx, t, want, tol float64 }{
		{0, 0, 40, -.599474, 5e-7},
		{200, 38, 40, 100.795693, 5e-7},
	} {
		if got := logLikelihood(t, m, one(c.x, c.tx, c.t)); math.Abs(got-c.want) > c.tol {
			t.Errorf("ln L(%v, %v, %v) = %.7f, want %.6f", c.x, c.tx, c.t, got, c.want)
		}
	}
	modified := m
	modified.Modified = true
	for _, c := range []struct{ x, tx, t, want, tol float64 }{
		{0, 0, 40, -.41792826, 5e-9}, // both printed there
		{200, 38, 40, 100.7869, 5e-5},
	} {
		if got := logLikelihood(t, modified, one(c.x, c.tx, c.t)); math.Abs(got-c.want) > c.tol {
			t.Errorf("MBG/NBD: ln L(%v, %v, %v) = %.8f, want %.8f", c.x, c.tx, c.t, got, c.want)
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

// variants are the models that Params can ask for.
func variants(edit func(p *Params)) (all []Params) {
	for _, modified := range []bool{false, true} {
		for _, stages := range []int{1, 2, 5} {
			p := DefaultParams()
			p.Modified, p.Stages = modified, stages
			edit(&p)
			all = append(all, p)
		}
	}
	return all
}

func TestDerivativesAgainstFiniteDifferences(t *testing.T) {
	h := simulate(published, 400, 3)
	h.X, h.TX, h.T = append(h.X, 150, 40, 9), append(h.TX, 30, 2, 39), append(h.T, 39, 39, 39)
	g := repeat.Group(h)
	for _, p := range variants(func(p *Params) { p.Penalty = .3 }) { // large enough for its derivative to show
		f := p.objective(context.Background())(g)
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
					t.Errorf("%s at %v: ∂f/∂φ%d = %.9g, finite difference %.9g", name(p.Modified, p.Stages), phi, i, grad[i], want)
				}
				for j := range phi {
					if want := (gUp[j] - gDown[j]) / (2 * d); math.Abs(hess.At(i, j)-want) > 1e-6*(1+math.Abs(want)) {
						t.Errorf("%s at %v: ∂²f/∂φ%d∂φ%d = %.9g, finite difference %.9g", name(p.Modified, p.Stages), phi, i, j, hess.At(i, j), want)
					}
				}
			}
		}
	}
}

// live is one customer of the process itself: repeat purchases until dropout.
func live(m Model, rng *rand.Rand, until float64) (times []float64) {
	lambda := modeltest.Gamma(rng, m.R) / m.Alpha
	g1, g2 := modeltest.Gamma(rng, m.A), modeltest.Gamma(rng, m.B)
	p := g1 / (g1 + g2)
	if m.Modified && rng.Float64() < p {
		return nil
	}
	for now := 0.0; ; {
		for range m.Stages {
			now += rng.ExpFloat64() / lambda
		}
		if now > until {
			return times
		}
		times = append(times, now)
		if rng.Float64() < p {
			return times
		}
	}
}

func suite(m Model) modeltest.Repeat {
	return modeltest.Repeat{
		Package: "bgnbd", Truth: &m, PerPurchase: float64(m.Stages),
		Live: func(rng *rand.Rand, until float64) []float64 { return live(m, rng, until) },
		Fit: func(ctx context.Context, p repeat.Params, h repeat.Histories) (repeat.Model, []models.Warning, error) {
			return Fit(ctx, Params{Params: p, Modified: m.Modified, Stages: m.Stages}, h)
		},
		LogLikelihood: func(m repeat.Model) float64 { return m.(*Model).LogLikelihood },
		Load: func(data []byte) (repeat.Model, error) {
			m := new(Model)
			return m, json.Unmarshal(data, m)
		},
	}
}

func simulate(m Model, n int, seed uint64) repeat.Histories { return suite(m).History(n, seed) }

func TestConformance(t *testing.T) {
	for _, m := range []Model{
		{R: 1.2, Alpha: 8, A: 1.5, B: 4, Stages: 1},
		{R: 1.2, Alpha: 8, A: 1.5, B: 4, Modified: true, Stages: 1},
		{R: 1.5, Alpha: 5, A: 1.5, B: 5, Stages: 3},
		{R: 1.5, Alpha: 5, A: 1.5, B: 5, Modified: true, Stages: 2},
	} {
		t.Run(strings.ReplaceAll(m.Name(), "/", "_"), func(t *testing.T) { modeltest.CheckRepeat(t, suite(m)) })
	}
}

// With several stages, the likelihood less Σ[(k−1) Σ ln gap − x ln Γ(k)] is the
// density of the gaps themselves, integrated numerically over λ and p.
func TestStagesAgainstQuadrature(t *testing.T) {
	for _, m := range []Model{
		{R: .8, Alpha: 3, A: .9, B: 2.2, Stages: 2}, {R: 1.4, Alpha: 5, A: 1.5, B: 3, Modified: true, Stages: 3},
		{R: .8, Alpha: 3, A: .9, B: 2.2, Modified: true, Stages: 1},
	} {
		for _, c := range [][3]float64{{0, 0, 6}, {1, 2, 6}, {4, 9, 9.5}, {3, 2, 20}} {
			x, tx, T := c[0], c[1], c[2]
			k := float64(m.Stages)
			const step = .01
			var mean, meanAlive float64
			for y := -40.0; y < 10; y += step { // y = ln λ
				lambda := math.Exp(y)
				weight := distuv.Gamma{Alpha: m.R, Beta: m.Alpha}.Prob(lambda) * lambda * step
				survives := 0.0 // the gap under way has not ended
				term := math.Exp(-lambda * (T - tx))
				for j := range m.Stages {
					survives += term
					term *= lambda * (T - tx) / float64(j+1)
				}
				gaps := math.Pow(lambda, k*x) * math.Exp(-lambda*tx)
				// E[(1−p)^c] and E[p(1−p)^(c−1)] for p ~ Beta(a, b).
				beta := func(p, q float64) float64 { return math.Gamma(p) * math.Gamma(q) / math.Gamma(p+q) }
				chances := m.chances(x)
				alive := gaps * survives * beta(m.A, m.B+chances) / beta(m.A, m.B)
				mean += alive * weight
				meanAlive += alive * weight
				if chances > 0 {
					mean += gaps * beta(m.A+1, m.B+chances-1) / beta(m.A, m.B) * weight
				}
			}
			if got, want := logLikelihood(t, m, one(x, tx, T)), math.Log(mean); math.Abs(got-want) > 1e-9 {
				t.Errorf("%s: ln L(%v) = %v, by quadrature %v", m.Name(), c, got, want)
			}
			if got, want := m.alive(x, tx, T), meanAlive/mean; math.Abs(got-want) > 1e-9 {
				t.Errorf("%s: P(alive | %v) = %v, by quadrature %v", m.Name(), c, got, want)
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
	rounded := Model{R: .243, Alpha: 4.414, A: .793, B: 2.426, Stages: 1}
	f, err := rounded.Predict(nil, one(0, 0, 0), 39)
	if err != nil || math.Abs(1-f[0].Buys-.5737864) > 6e-8 {
		t.Errorf("P(X(39)=0) = %.9f, %v; want .5737864", 1-f[0].Buys, err)
	}
	// Expected purchases and P(alive) at the full-precision fit over 39 weeks,
	// from eq. (10) evaluated with numpy and scipy; the first is printed as 1.226
	// in Fader, Hardie & Lee (2005) §4.
	h := repeat.Histories{X: []float64{2, 26, 0}, TX: []float64{30.43, 30.86, 0}, T: []float64{38.86, 31, 39}}
	f, err = fullPrecision.Predict(nil, h, 39)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []repeat.Forecast{{Expected: 1.225907, Alive: .726609}, {Expected: 20.750276, Alive: .968919}, {Expected: .194216, Alive: 1}} {
		if math.Abs(f[i].Expected-want.Expected) > 6e-7 || math.Abs(f[i].Alive-want.Alive) > 6e-7 {
			t.Errorf("customer %d: %+v, want expected %v, alive %v", i, f[i], want.Expected, want.Alive)
		}
	}
	// The same of the MBG/NBD at its own full-precision fit.
	modified := Model{R: .5248431, Alpha: 6.1830848, A: .8913595, B: 1.6140029, Modified: true, Stages: 1}
	if f, err = modified.Predict(nil, h, 39); err != nil {
		t.Fatal(err)
	}
	for i, want := range []repeat.Forecast{{Expected: 1.262669, Alive: .706126}, {Expected: 19.447979, Alive: .965553}, {Expected: .153381, Alive: .389328}} {
		if math.Abs(f[i].Expected-want.Expected) > 6e-7 || math.Abs(f[i].Alive-want.Alive) > 6e-7 {
			t.Errorf("MBG/NBD, customer %d: %+v, want expected %v, alive %v", i, f[i], want.Expected, want.Alive)
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
		if got := expected(c.s, c.a, c.b, c.z, 0, 1); math.Abs(got-want) > 1e-10*want {
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
		got, want := expected(c.s, c.a, c.b, c.z, 0, 1), expectedIntegral(c.s, c.a, c.b, c.z)
		if !(math.Abs(got-want) <= 1e-9*want) || got <= 0 {
			t.Errorf("expected(%v) = %.14g by the series, %.14g by quadrature", c, got, want)
		}
	}
	// No dropout (a → 0): the NBD's mean sz. Certain dropout (a → ∞): one more
	// purchase at most, so P(N ≥ 1).
	if got := expected(2.5, 1e-12, 3, 2, 0, 1); math.Abs(got-5) > 1e-9 {
		t.Errorf("without dropout: %v, want 5", got)
	}
	if got, want := expected(2.5, 1e13, 3, 2, 0, 1), 1-math.Pow(3, -2.5); math.Abs(got-want) > 1e-9 {
		t.Errorf("with certain dropout: %v, want %v", got, want)
	}
	// Horizons so long that the series would take 10⁷ terms: still increasing and finite.
	last := 0.0
	for _, z := range []float64{1, 1e2, 1e3, 1e4, 1e6, 1e9} {
		got := expected(.25, .8, 2.5, z, 0, 1)
		if !(got > last) || math.IsInf(got, 0) {
			t.Errorf("expected over z = %g is %v after %v", z, got, last)
		}
		last = got
	}
	// The switch between the two is not a step: both sides of it grow by the
	// same ratio as z does by a thousandth.
	for z := 395.0; z < 405; z++ {
		lo, hi := expected(.25, .8, 2.5, z, 0, 1), expected(.25, .8, 2.5, z*1.001, 0, 1)
		if g := (hi/lo - 1) / .001; !(g > .1 && g < .4) {
			t.Errorf("elasticity %v at z = %v", g, z)
		}
	}
}

func TestForecastExtremes(t *testing.T) {
	// lifetimes' regression test: 1000 purchases and then silence overflow a naive
	// P(alive); it must be exactly 0 and nothing NaN.
	m := Model{R: .25, Alpha: 4, A: .8, B: 2.5, Stages: 1}
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

// TestNoOtherOptimumIsHigher sends gonum's BFGS from scattered starts over the
// same likelihood.
func TestNoOtherOptimumIsHigher(t *testing.T) {
	h := simulate(published, 1500, 8)
	p := DefaultParams()
	m := fit(t, p, h)
	g := repeat.Group(h)
	f := p.objective(context.Background())(g)
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
	phi := []float64{math.Log(m.R), math.Log(m.Alpha / g.Scale), math.Log(m.A), math.Log(m.B)}
	got := f(phi, grad, scratch)
	if math.Abs(got-best) > 1e-7 {
		t.Errorf("objective %.9f, BFGS from twelve starts finds %.9f", got, best)
	}
}

func TestUnidentifiedDropoutWarns(t *testing.T) {
	// Nobody ever stops: the last purchase is always today, so a/(a+b) → 0.
	var h repeat.Histories
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
	dst := make([]repeat.Forecast, h.Len())
	for b.Loop() {
		if _, err := published.Predict(dst, h, 13); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(h.Len())*float64(b.N)/b.Elapsed().Seconds(), "customers/s")
}

func ExampleFit() {
	// In weeks: 40 customers came back twice, the last time in week 20 of 30; 60 never did.
	h := repeat.Histories{
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
	f, err := m.Predict(nil, repeat.Histories{X: []float64{2}, TX: []float64{20}, T: []float64{30}}, 10)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("buys within ten weeks with probability %.2f\n", f[0].Buys)
	// Output: buys within ten weeks with probability 0.32
}
