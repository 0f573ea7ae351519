package paretonbd

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/mathext"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/modeltest"
	"github.com/shoal-data/shoal/models/repeat"
)

// fullPrecision is the fit to CDNOW by an independent maximisation on raw dates;
// r, α, s, β = .5533, 10.578, .6061, 11.669 are Fader & Hardie's.
var fullPrecision = Model{R: .5532770, Alpha: 10.5776832, S: .6062399, Beta: 11.6687319}

func one(x, tx, t float64) repeat.Histories {
	return repeat.Histories{X: []float64{x}, TX: []float64{tx}, T: []float64{t}}
}

func suite(m Model) modeltest.Repeat {
	return modeltest.Repeat{
		Package: "paretonbd", Truth: &m, PerPurchase: 1,
		Live: func(rng *rand.Rand, until float64) (times []float64) {
			lambda := modeltest.Gamma(rng, m.R) / m.Alpha
			dies := rng.ExpFloat64() / (modeltest.Gamma(rng, m.S) / m.Beta)
			for now := rng.ExpFloat64() / lambda; now <= min(until, dies); now += rng.ExpFloat64() / lambda {
				times = append(times, now)
			}
			return times
		},
		Fit: func(ctx context.Context, p repeat.Params, h repeat.Histories) (repeat.Model, []models.Warning, error) {
			return Fit(ctx, p, h)
		},
		LogLikelihood: func(m repeat.Model) float64 { return m.(*Model).LogLikelihood },
		Load: func(data []byte) (repeat.Model, error) {
			m := new(Model)
			return m, json.Unmarshal(data, m)
		},
	}
}

func TestConformance(t *testing.T) {
	for _, m := range []Model{{R: 1.2, Alpha: 8, S: 1.5, Beta: 30}, {R: .6, Alpha: 10, S: .9, Beta: 12}} {
		t.Run(fmt.Sprint(m.R), func(t *testing.T) { modeltest.CheckRepeat(t, suite(m)) })
	}
}

// The integral of the likelihood is, for α ≥ β, a difference of two
// ₂F₁(n+σ−1, σ; n+σ; (α−β)/(α+t)) / ((n+σ−1) (α+t)^(n+σ−1)) (Fader & Hardie 2005,
// eq. 17), and with α and β exchanged likewise. gonum's ₂F₁ serves where the
// difference does not cancel.
func TestIntegralAgainstHypergeometric(t *testing.T) {
	for _, c := range [][6]float64{
		{10, 12, 3.5, 1.6, 2, 30}, {12, 10, 3.5, 1.6, 2, 30}, {10, 10, .5, 1.6, 0, 39}, {1, 20, 8, 1.2, 3, 50}, {20, 1, 8, 1.2, 0, 50}, {.1, 3, .4, 1.5, 0, 40}, {3, .1, .4, 1.5, 0, 40},
	} {
		al, be, n, sigma, lo, hi := c[0], c[1], c[2], c[3], c[4], c[5]
		at := func(t float64) float64 {
			top, second, diff := al, sigma, al-be
			if al < be {
				top, second, diff = be, n, be-al
			}
			e := n + sigma - 1
			return mathext.Hypergeo(e, second, e+1, diff/(top+t)) / e * math.Pow(top+t, -e)
		}
		want := math.Log(at(lo) - at(hi))
		if got := integral(al, be, n, sigma, lo, hi); math.Abs(got-want) > 1e-11 {
			t.Errorf("%v: ln J = %.14g, by ₂F₁ %.14g", c, got, want)
		}
	}
}

// Over random arguments, extreme ones too, the chosen rule agrees with one of many
// short panels, and so do the derivatives.
func TestIntegralAgainstManyPanels(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 6))
	saved := rules
	defer func() { rules = saved }()
	many := rule(math.Inf(1), math.Inf(1), 400)
	for range 3000 {
		wide := func(lo, hi float64) float64 { return math.Exp(lo + (hi-lo)*rng.Float64()) }
		al, be, sigma := wide(-4, 8), wide(-4, 8), 1+wide(-4, 3)
		n := wide(-4, 2) + math.Trunc(wide(-2, 7))
		lo := 0.0
		if rng.IntN(3) > 0 {
			lo = wide(-3, 5)
		}
		hi := lo + wide(-8, 6)
		got, dGot, hGot := derivatives(al, be, n, sigma, lo, hi)
		for i := range rules {
			rules[i] = many
		}
		want, dWant, hWant := derivatives(al, be, n, sigma, lo, hi)
		rules = saved
		if math.Abs(got-want) > 1e-11 || got != integral(al, be, n, sigma, lo, hi) {
			t.Errorf("α %v β %v n %v σ %v over [%v, %v]: ln J = %.14g, with 400 nodes a panel %.14g", al, be, n, sigma, lo, hi, got, want)
		}
		for i := range dGot {
			if math.Abs(dGot[i]-dWant[i]) > 1e-10*(1+math.Abs(dWant[i])) {
				t.Errorf("α %v β %v n %v σ %v over [%v, %v]: derivative %d is %.14g, with 400 nodes a panel %.14g", al, be, n, sigma, lo, hi, i, dGot[i], dWant[i])
			}
		}
		for i := range hGot {
			if math.Abs(hGot[i]-hWant[i]) > 1e-9*(1+math.Abs(hWant[i])) {
				t.Errorf("α %v β %v n %v σ %v over [%v, %v]: second derivative %d is %.14g, with 400 nodes a panel %.14g", al, be, n, sigma, lo, hi, i, hGot[i], hWant[i])
			}
		}
	}
}

func TestDerivativesAgainstFiniteDifferences(t *testing.T) {
	h := suite(fullPrecision).History(300, 3)
	h.X, h.TX, h.T = append(h.X, 150, 40, 9, 4), append(h.TX, 30, 2, 39, 38.999), append(h.T, 39, 39, 39, 39)
	p := repeat.DefaultParams()
	p.Penalty = .3 // large enough for its derivative to show
	f := objective(context.Background(), p)(repeat.Group(h))
	grad, hess, other := make([]float64, 4), mat.NewSymDense(4, nil), mat.NewSymDense(4, nil)
	for _, phi := range [][]float64{{-1.4, -2, -.2, .9}, {.7, .3, 1.5, -.8}, {-3, 1, 2, 3}, {2, -3, -2, -2}, {-.6, -1.3, -.5, -1.3}} {
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
	// Expected purchases over 39 weeks and P(alive) at the full-precision fit, from
	// the ₂F₁ form evaluated with numpy and scipy.
	h := repeat.Histories{X: []float64{2, 26, 0}, TX: []float64{30.43, 30.86, 0}, T: []float64{38.86, 31, 39}}
	f, err := fullPrecision.Predict(nil, h, 39)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []repeat.Forecast{{Expected: 1.455099, Alive: .869116}, {Expected: 20.115718, Alive: .997918}, {Expected: .106504, Alive: .294276}} {
		if math.Abs(f[i].Expected-want.Expected) > 6e-7 || math.Abs(f[i].Alive-want.Alive) > 6e-7 {
			t.Errorf("customer %d: %+v, want expected %v, alive %v", i, f[i], want.Expected, want.Alive)
		}
	}
	// lifetimes' tests/test_estimation.py prints 25.46 and .9979 over 52 weeks (of
	// Fader & Hardie 2005) and reference values for 132 and 133 weeks, between which
	// a naive form underflows.
	f, err = fullPrecision.Predict(nil, one(26, 30.86, 31), 52)
	if err != nil || math.Abs(f[0].Expected-25.46) > .0051 || math.Abs(f[0].Alive-.9979) > 5.1e-5 {
		t.Errorf("over 52 weeks %+v, %v; want 25.46 and .9979", f, err)
	}
	rounded := Model{R: .55, Alpha: 10.58, S: .61, Beta: 11.67}
	for tx, want := range map[float64]float64{132: 6.2060517889632418, 133: 6.2528722475748113} {
		f, err := rounded.Predict(nil, one(tx, 200, 200), 10)
		if err != nil || math.Abs(f[0].Expected-want) > 1e-12*want {
			t.Errorf("%v purchases: %.16g, %v; want %.16g", tx, f[0].Expected, err, want)
		}
	}
	if got, err := fullPrecision.ExpectedNew(52); err != nil || math.Abs(got-1.473434) > 6e-7 {
		t.Errorf("E[X(52)] = %.6f, %v; want 1.473434", got, err)
	}
}

// At s = 1 the formula of expected purchases is 0/0, and near it it cancels.
func TestExpectedNearOne(t *testing.T) {
	m := Model{R: .5, Alpha: 10, S: 1, Beta: 12}
	f, err := m.Predict(nil, one(2, 10, 20), 39)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []float64{1e-12, -1e-12, 1e-9} {
		near := m
		near.S += d
		g, err := near.Predict(nil, one(2, 10, 20), 39)
		if err != nil || math.Abs(g[0].Expected-f[0].Expected) > 10*math.Abs(d)+1e-13 {
			t.Errorf("s = 1%+g forecasts %v, s = 1 %v (%v)", d, g[0].Expected, f[0].Expected, err)
		}
	}
	if want := f[0].Alive * 2.5 * 32 / 30 * math.Log1p(39./32); math.Abs(f[0].Expected-want) > 1e-12 {
		t.Errorf("at s = 1 %v, want %v", f[0].Expected, want)
	}
}

// BenchmarkFit's customers are dated to the day, as a calendar dates them, or to
// the instant, so that no two histories are identical.
func BenchmarkFit(b *testing.B) {
	for _, n := range []int{1e5, 1e6} {
		for _, dated := range []string{"day", "instant"} {
			h := suite(fullPrecision).History(n, 1)
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
					p := repeat.DefaultParams()
					p.Workers = workers
					for b.Loop() {
						m, _, err := Fit(context.Background(), p, h)
						if err != nil {
							b.Fatal(err)
						}
						b.ReportMetric(m.LogLikelihood/float64(n), "loglik/customer")
					}
					b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "customers/s")
				})
			}
		}
	}
}

func BenchmarkPredict(b *testing.B) {
	h := suite(fullPrecision).History(1e5, 1)
	dst := make([]repeat.Forecast, h.Len())
	for b.Loop() {
		if _, err := fullPrecision.Predict(dst, h, 13); err != nil {
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
	m, _, err := Fit(context.Background(), repeat.DefaultParams(), h)
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
	// Output: buys within ten weeks with probability 0.40
}
