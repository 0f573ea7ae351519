package gammagamma

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
	"gonum.org/v1/gonum/optimize"
	"gonum.org/v1/gonum/stat/distuv"
)

// published is the fit to CDNOW that Fader & Hardie (2013) print.
var published = Model{P: 6.25, Q: 3.74, V: 15.44}

// simulate draws n customers from the model; a quarter have no purchases.
func simulate(m Model, n int, seed uint64) Spends {
	rng := rand.New(rand.NewPCG(seed, 1))
	nu := distuv.Gamma{Alpha: m.Q, Beta: m.V, Src: rng}
	var s Spends
	for range n {
		x := float64(rng.IntN(4) * (1 + rng.IntN(3)))
		value := 0.0
		if x > 0 {
			// The mean of x draws of Gamma(p, ν) is Gamma(px, νx), rounded to cents.
			value = math.Ceil(100*distuv.Gamma{Alpha: m.P * x, Beta: nu.Rand() * x, Src: rng}.Rand()) / 100
		}
		s.X = append(s.X, x)
		s.M = append(s.M, value)
	}
	return s
}

func fit(t testing.TB, p Params, s Spends) *Model {
	t.Helper()
	m, warnings, err := Fit(context.Background(), p, s)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		t.Errorf("unexpected warning: %v", w)
	}
	return m
}

func TestLikelihoodIsTheMarginalDensity(t *testing.T) {
	// Equation (1a) is ∫ Gamma(m; px, νx) Gamma(ν; q, v) dν: integrate it over ln ν.
	for _, c := range []struct{ p, q, v, x, m float64 }{
		{6.25, 3.74, 15.44, 1, 35}, {6.25, 3.74, 15.44, 7, 12.5}, {.7, 1.2, 4, 3, 90}, {40, 12, 200, 2, 700},
	} {
		var density float64
		const step = 1e-3
		for y := -30.0; y < 15; y += step {
			nu := math.Exp(y)
			density += step * nu * distuv.Gamma{Alpha: c.q, Beta: c.v}.Prob(nu) * distuv.Gamma{Alpha: c.p * c.x, Beta: nu * c.x}.Prob(c.m)
		}
		g, _ := group(Spends{X: []float64{c.x}, M: []float64{c.m}})
		s, err := g.sum(context.Background(), 1, c.p, c.q, c.v)
		if err != nil || math.Abs(s.value-math.Log(density)) > 1e-9*math.Abs(s.value) {
			t.Errorf("%v: ln L = %.12g, %v; the integral gives %.12g", c, s.value, err, math.Log(density))
		}
	}
}

func TestDerivativesAgainstFiniteDifferences(t *testing.T) {
	s := simulate(published, 300, 3)
	s.X, s.M = append(s.X, 2000, 1), append(s.M, 17, 4e5)
	g, _ := group(s)
	p := DefaultParams()
	p.Penalty = .3 // large enough for its derivative to show
	f := g.objective(context.Background(), p)
	grad, hess, other := make([]float64, 3), mat.NewSymDense(3, nil), mat.NewSymDense(3, nil)
	for _, phi := range [][]float64{{1.8, 1, -.8}, {-1, -2, 1}, {3, 2.5, -2}} {
		f(phi, grad, hess)
		for i := range phi {
			const d = 1e-5
			up, down := slices.Clone(phi), slices.Clone(phi)
			up[i] += d
			down[i] -= d
			gUp, gDown := make([]float64, 3), make([]float64, 3)
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

func TestFitRecoversSimulation(t *testing.T) {
	s := simulate(published, 20000, 5)
	p := DefaultParams()
	m := fit(t, p, s)
	for _, c := range []struct {
		name           string
		got, want, tol float64
	}{
		// Each tolerance is about four standard errors at this size.
		{"p", m.P, published.P, .03}, {"q", m.Q, published.Q, .06}, {"mean", m.Mean(), published.Mean(), .04},
	} {
		if math.Abs(c.got-c.want) > c.tol*c.want {
			t.Errorf("%s = %v, want %v", c.name, c.got, c.want)
		}
	}
	// gonum's BFGS over the same likelihood finds nothing higher.
	g, _ := group(s)
	f := g.objective(context.Background(), p)
	grad, scratch := make([]float64, 3), mat.NewSymDense(3, nil)
	res, err := optimize.Minimize(optimize.Problem{
		Func: func(x []float64) float64 { return f(x, grad, scratch) },
		Grad: func(dst, x []float64) { f(x, dst, scratch) },
	}, []float64{.5, .2, .3}, &optimize.Settings{MajorIterations: 300}, &optimize.BFGS{})
	if res == nil {
		t.Fatal(err)
	}
	phi := []float64{math.Log(m.P), math.Log(m.Q - 1), math.Log(m.V / g.mean)}
	if got := f(phi, grad, scratch); math.Abs(got-res.F) > 1e-6 {
		t.Errorf("objective %.9f, BFGS finds %.9f", got, res.F)
	}
}

func TestSameBytes(t *testing.T) {
	s := simulate(published, 50000, 7)
	rng := rand.New(rand.NewPCG(1, 1))
	for range s.X {
		s.W = append(s.W, .1+rng.Float64())
	}
	s.M[slices.IndexFunc(s.X, func(x float64) bool { return x > 0 })] = -1
	p := DefaultParams()
	run := func() []byte {
		m, warnings, err := Fit(context.Background(), p, s)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal([]any{m, warnings})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	want := run()
	if !bytes.Contains(want, []byte("gammagamma.non_positive_value")) {
		t.Errorf("a mean value of −1 passed without a warning: %s", want)
	}
	for _, workers := range []int{2, 5} {
		p.Workers = workers
		if got := run(); !bytes.Equal(got, want) {
			t.Errorf("workers=%d: %s, want %s", workers, got, want)
		}
	}
	rng.Shuffle(s.Len(), func(i, j int) {
		for _, c := range [][]float64{s.X, s.M, s.W} {
			c[i], c[j] = c[j], c[i]
		}
	})
	if got := run(); !bytes.Equal(got, want) {
		t.Errorf("shuffled rows: %s, want %s", got, want)
	}
}

func TestWeightsAreRepeats(t *testing.T) {
	s := simulate(published, 1000, 13)
	rng := rand.New(rand.NewPCG(2, 2))
	var repeated Spends
	for i := range s.X {
		w := rng.IntN(4) // zero removes the row
		s.W = append(s.W, float64(w))
		for range w {
			repeated.X = append(repeated.X, s.X[i])
			repeated.M = append(repeated.M, s.M[i])
		}
	}
	got, _ := json.Marshal(fit(t, DefaultParams(), s))
	want, _ := json.Marshal(fit(t, DefaultParams(), repeated))
	if !bytes.Equal(got, want) {
		t.Errorf("weighted %s, repeated %s", got, want)
	}
}

func TestCurrencyDoesNotMatter(t *testing.T) {
	s := simulate(published, 3000, 17)
	dollars := fit(t, DefaultParams(), s)
	cents := Spends{X: s.X}
	repeaters := 0.0
	for i, m := range s.M {
		cents.M = append(cents.M, 100*m)
		if s.X[i] > 0 {
			repeaters++
		}
	}
	m := fit(t, DefaultParams(), cents)
	for _, v := range []struct {
		name      string
		got, want float64
	}{
		{"p", m.P, dollars.P}, {"q", m.Q, dollars.Q}, {"v", m.V, 100 * dollars.V},
		{"log-likelihood", m.LogLikelihood, dollars.LogLikelihood - repeaters*math.Log(100)},
	} {
		if math.Abs(v.got-v.want) > 1e-6*math.Abs(v.want) {
			t.Errorf("in cents %s is %v, want %v", v.name, v.got, v.want)
		}
	}
}

func TestPredict(t *testing.T) {
	s := Spends{X: []float64{0, 1, 10, 1e6, 3, 0}, M: []float64{0, 50, 50, 50, -4, math.NaN()}}
	got, err := published.Predict(nil, s)
	if err != nil {
		t.Fatal(err)
	}
	mean := published.P * published.V / (published.Q - 1)
	if got[0] != mean || got[4] != mean || got[5] != mean {
		t.Errorf("customers without a usable value are worth %v, %v, %v; want the mean %v", got[0], got[4], got[5], mean)
	}
	// More purchases pull the expectation from everyone's mean towards one's own.
	if !(mean < got[1] && got[1] < got[2] && got[2] < got[3] && math.Abs(got[3]-50) < 1e-4) {
		t.Errorf("1, 10, 10⁶ purchases of 50 are worth %v, want rising from %v to 50", got[1:4], mean)
	}
	for i := range s.X {
		row, err := published.Predict(nil, Spends{X: s.X[i : i+1], M: s.M[i : i+1]})
		if err != nil || row[0] != got[i] {
			t.Errorf("row %d alone is worth %v, %v; in the batch %v", i, row, err, got[i])
		}
	}
}

func TestSaveLoad(t *testing.T) {
	m := fit(t, DefaultParams(), simulate(published, 500, 1))
	saved, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var loaded Model
	if err := json.Unmarshal(saved, &loaded); err != nil || loaded != *m {
		t.Errorf("loaded %+v, %v; saved %+v", loaded, err, *m)
	}
	for _, text := range []string{`{"p":1,"q":1,"v":1}`, `{"p":0,"q":2,"v":1}`, `{"p":1,"q":2}`, `[`} {
		if err := json.Unmarshal([]byte(text), new(Model)); err == nil {
			t.Errorf("loaded %s", text)
		}
	}
}

func TestWarnings(t *testing.T) {
	has := func(s Spends, code string) {
		t.Helper()
		m, warnings, err := Fit(context.Background(), DefaultParams(), s)
		if err != nil {
			t.Fatal(err)
		}
		if math.IsNaN(m.Mean()) || m.Mean() <= 0 {
			t.Errorf("mean %v", m.Mean())
		}
		for _, w := range warnings {
			if w.Code == code {
				return
			}
		}
		t.Errorf("fit %+v warns %v, want %s", m, warnings, code)
	}
	var same, dear Spends
	rng := rand.New(rand.NewPCG(1, 9))
	for i := range 200 {
		same.X, same.M = append(same.X, float64(1+i%5)), append(same.M, 10)
		dear.X, dear.M = append(dear.X, float64(1+i%5)), append(dear.M, float64(1+i%5)*(5+rng.Float64()))
	}
	has(same, "gammagamma.weakly_identified") // every purchase costs the same
	has(dear, "gammagamma.correlated")
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		want string
		s    Spends
	}{
		{"empty input", Spends{}},
		{"2, 1, 0 rows", Spends{X: []float64{1, 2}, M: []float64{3}}},
		{"row 1: X (-2)", Spends{X: []float64{1, -2}, M: []float64{3, 3}}},
		{"row 0: X (1.5)", Spends{X: []float64{1.5}, M: []float64{3}}},
		{"row 0: X (NaN)", Spends{X: []float64{math.NaN()}, M: []float64{3}}},
		{"row 1: M is NaN", Spends{X: []float64{1, 2}, M: []float64{3, math.NaN()}}},
		{"row 0: M is +Inf", Spends{X: []float64{1}, M: []float64{math.Inf(1)}}},
		{"row 0: W (-1)", Spends{X: []float64{1}, M: []float64{1}, W: []float64{-1}}},
	} {
		_, _, err := Fit(context.Background(), DefaultParams(), c.s)
		if err == nil || !strings.HasPrefix(err.Error(), "gammagamma: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Fit: %v, want it to say %q", err, c.want)
		}
		if _, err := published.Predict(nil, c.s); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Predict: %v, want it to say %q", err, c.want)
		}
	}
	_, _, err := Fit(context.Background(), DefaultParams(), Spends{X: []float64{1, 0, 2}, M: []float64{3, 0, -1}})
	if !errors.Is(err, ErrTooFewCustomers) || !strings.Contains(err.Error(), "value: 1, at least 30") {
		t.Errorf("three customers: %v", err)
	}
	err = Params{Penalty: math.NaN()}.Validate()
	for _, want := range []string{"MinCustomers (0)", "Penalty (NaN)", "MaxIter (0)", "Tol (0)", "MaxCorrelation (0)", "Workers (0)"} {
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

func BenchmarkFit(b *testing.B) {
	for _, n := range []int{1e5, 1e6} {
		s := simulate(published, n, 1)
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("n=%d/workers=%d", n, workers), func(b *testing.B) {
				p := DefaultParams()
				p.Workers = workers
				for b.Loop() {
					m := fit(b, p, s)
					b.ReportMetric(m.LogLikelihood/m.Customers, "loglik/customer")
				}
				b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "customers/s")
			})
		}
	}
}

func ExampleModel_Predict() {
	m := Model{P: 6.25, Q: 3.74, V: 15.44}
	values, err := m.Predict(nil, Spends{X: []float64{0, 2}, M: []float64{0, 22.35}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.2f %.2f\n", values[0], values[1])
	// Output: 35.22 24.66
}
