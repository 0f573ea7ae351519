package modeltest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/repeat"
)

// A Repeat adapts a model of repeat buying to CheckRepeat.
type Repeat struct {
	Package string // the prefix of its error messages
	// Live is one customer drawn from the truth: the times of repeat purchases up
	// to until, rising.
	Live  func(rng *rand.Rand, until float64) []float64
	Truth repeat.Model
	Fit   func(ctx context.Context, p repeat.Params, h repeat.Histories) (repeat.Model, []models.Warning, error)
	// LogLikelihood is a fitted model's; PerPurchase is how much it rises for each
	// purchase when the unit of time is multiplied by e.
	LogLikelihood func(m repeat.Model) float64
	PerPurchase   float64
	Load          func(data []byte) (repeat.Model, error) // the inverse of json.Marshal
}

// Gamma draws from Gamma(shape, rate 1) (Marsaglia & Tsang, ACM TOMS 26, 2000).
func Gamma(rng *rand.Rand, shape float64) float64 {
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

// History is n customers seen for 27 to 39 weeks, in weeks, dated to the day as a
// calendar dates them.
func (m Repeat) History(n int, seed uint64) repeat.Histories {
	rng := rand.New(rand.NewPCG(seed, 1))
	var h repeat.Histories
	for range n {
		T := 27 + float64(rng.IntN(85))/7
		var x, tx float64
		for _, at := range m.Live(rng, T) {
			if day := math.Ceil(at*7) / 7; day > tx && day <= T {
				x, tx = x+1, day
			}
		}
		h.X, h.TX, h.T = append(h.X, x), append(h.TX, tx), append(h.T, T)
	}
	return h
}

// CheckRepeat runs the suite: forecasts agree with what simulated customers go on
// to do; refitting, any number of workers and any order of rows give the same
// bytes; weights are repeats; the unit of time does not matter; saving and loading
// is exact; a batch equals its rows one by one; extreme histories are forecast
// without overflow; what cannot be a history is refused with a message that
// locates it; a cancelled context stops the fit.
func CheckRepeat(t *testing.T, m Repeat) {
	fit := func(t *testing.T, workers int, h repeat.Histories) (repeat.Model, []byte) {
		t.Helper()
		p := repeat.DefaultParams()
		p.Workers = workers
		model, warnings, err := m.Fit(t.Context(), p, h)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range warnings {
			t.Errorf("unexpected warning: %v", w)
		}
		saved, err := json.Marshal(model)
		if err != nil {
			t.Fatal(err)
		}
		return model, saved
	}
	one := func(x, tx, T float64) repeat.Histories {
		return repeat.Histories{X: []float64{x}, TX: []float64{tx}, T: []float64{T}}
	}

	t.Run("forecasts match simulation", func(t *testing.T) {
		// Bounds are four standard errors.
		const n, T, horizon, share = 40000, 20.0, 6.0, .3
		rng := rand.New(rand.NewPCG(11, 2))
		var h repeat.Histories
		var bought, wait []float64
		for range n {
			var x, tx, after float64
			next := math.Inf(1)
			for _, at := range m.Live(rng, 40*T) {
				switch {
				case at <= T:
					x, tx = x+1, at
				case at <= T+horizon:
					after++
				}
				if at > T {
					next = min(next, at-T)
				}
			}
			h.X, h.TX, h.T = append(h.X, x), append(h.TX, tx), append(h.T, T)
			bought, wait = append(bought, after), append(wait, next)
		}
		f, err := m.Truth.Predict(nil, h, horizon)
		if err != nil {
			t.Fatal(err)
		}
		next, err := m.Truth.Next(nil, h, share)
		if err != nil {
			t.Fatal(err)
		}
		var total, expected, squares, buyers, buys, again, soon float64
		for i, v := range f {
			total, expected = total+bought[i], expected+v.Expected
			squares += (bought[i] - v.Expected) * (bought[i] - v.Expected)
			buys += v.Buys
			if bought[i] > 0 {
				buyers++
			}
			if !math.IsInf(wait[i], 1) && next[i] < 10*T { // beyond, simulation ends too early to tell
				again++
				if wait[i] <= next[i] {
					soon++
				}
			}
		}
		if d := math.Abs(total - expected); d > 4*math.Sqrt(squares) {
			t.Errorf("forecast %.1f purchases, %v happened, standard error %.1f", expected, total, math.Sqrt(squares))
		}
		if d := math.Abs(buyers - buys); d > 4*math.Sqrt(buys) {
			t.Errorf("forecast %.1f buyers, %v bought", buys, buyers)
		}
		if d := math.Abs(soon - share*again); d > 4*math.Sqrt(share*(1-share)*again)+.003*again {
			t.Errorf("%v of %v who bought again had done so by the time when %v should have", soon, again, share)
		}
		first, err := m.Truth.ExpectedNew(T)
		if err != nil {
			t.Fatal(err)
		}
		var repeats, spread float64
		for _, x := range h.X {
			repeats += x / n
			spread += (x - first) * (x - first) / n
		}
		if math.Abs(repeats-first) > 4*math.Sqrt(spread/n) {
			t.Errorf("a new customer is expected to buy %v times in %v, and did %v times", first, T, repeats)
		}
	})

	t.Run("the fit finds the truth", func(t *testing.T) {
		h := m.History(20000, 5)
		fitted, _ := fit(t, 2, h)
		a, errA := fitted.Predict(nil, h, 13)
		b, errB := m.Truth.Predict(nil, h, 13)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		var got, want, apart float64
		for i := range a {
			got, want = got+a[i].Expected, want+b[i].Expected
			apart += math.Abs(a[i].Expected - b[i].Expected)
		}
		// Days merge purchases and delay them by half a day.
		if math.Abs(got-want) > .05*want || apart > .1*want {
			t.Errorf("forecasts sum to %v, the truth's to %v; they are %v apart", got, want, apart)
		}
	})

	t.Run("same bytes", func(t *testing.T) {
		h := m.History(20000, 21) // more than two chunks, more than a sample
		_, want := fit(t, 1, h)
		for _, workers := range []int{1, 2, 5} {
			if _, got := fit(t, workers, h); !bytes.Equal(got, want) {
				t.Errorf("workers=%d: %s, want %s", workers, got, want)
			}
		}
		rng := rand.New(rand.NewPCG(1, 1))
		h.W = make([]float64, h.Len())
		for i := range h.W {
			h.W[i] = .1 + rng.Float64()
		}
		_, want = fit(t, 1, h)
		rng.Shuffle(h.Len(), func(i, j int) {
			for _, c := range [][]float64{h.X, h.TX, h.T, h.W} {
				c[i], c[j] = c[j], c[i]
			}
		})
		if _, got := fit(t, 1, h); !bytes.Equal(got, want) {
			t.Errorf("shuffled rows: %s, want %s", got, want)
		}
	})

	t.Run("weights are repeats", func(t *testing.T) {
		h := m.History(1000, 13)
		rng := rand.New(rand.NewPCG(2, 2))
		var repeated repeat.Histories
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
		_, got := fit(t, 1, h)
		if _, want := fit(t, 1, repeated); !bytes.Equal(got, want) {
			t.Errorf("weighted %s, repeated %s", got, want)
		}
	})

	t.Run("the unit of time does not matter", func(t *testing.T) {
		const c = 7
		h := m.History(3000, 17)
		weeks, _ := fit(t, 1, h)
		days := repeat.Histories{X: h.X}
		var purchases float64
		for i := range h.X {
			days.TX, days.T = append(days.TX, h.TX[i]*c), append(days.T, h.T[i]*c)
			purchases += h.X[i]
		}
		inDays, _ := fit(t, 1, days)
		want := m.LogLikelihood(weeks) - m.PerPurchase*purchases*math.Log(c)
		if got := m.LogLikelihood(inDays); math.Abs(got-want) > 1e-6*math.Abs(want) {
			t.Errorf("log-likelihood in days is %v, want %v", got, want)
		}
		a, errA := weeks.Predict(nil, h, 10)
		b, errB := inDays.Predict(nil, days, 10*c)
		p, errP := weeks.Next(nil, h, .5)
		q, errQ := inDays.Next(nil, days, .5)
		if err := errors.Join(errA, errB, errP, errQ); err != nil {
			t.Fatal(err)
		}
		for i := range a {
			if math.Abs(a[i].Expected-b[i].Expected) > 1e-5*a[i].Expected || math.Abs(p[i]*c-q[i]) > 1e-4*q[i] {
				t.Fatalf("row %d: %v purchases and %v to the next in weeks, %v and %v in days", i, a[i].Expected, p[i], b[i].Expected, q[i])
			}
		}
	})

	t.Run("save, load and batch are exact", func(t *testing.T) {
		h := m.History(2000, 23)
		fitted, saved := fit(t, 1, h)
		loaded, err := m.Load(saved)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := json.Marshal(loaded); err != nil || !bytes.Equal(again, saved) {
			t.Errorf("loaded and saved again: %v\n%s\n%s", err, again, saved)
		}
		all, errA := fitted.Predict(nil, h, 26)
		next, errB := fitted.Next(nil, h, .5)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		for i := range all {
			alone := one(h.X[i], h.TX[i], h.T[i])
			row, errA := loaded.Predict(nil, alone, 26)
			wait, errB := loaded.Next(nil, alone, .5)
			if errA != nil || errB != nil || row[0] != all[i] || wait[0] != next[i] {
				t.Fatalf("row %d alone: %+v, %v; in the batch %+v, %v", i, row, wait, all[i], next[i])
			}
		}
		for _, junk := range []string{"", "{}", "null", "[]", string(saved[:len(saved)/2]), strings.Replace(string(saved), `"r":`, `"r":-`, 1)} {
			if _, err := m.Load([]byte(junk)); err == nil {
				t.Errorf("loaded %q", junk)
			}
		}
	})

	t.Run("extremes", func(t *testing.T) {
		for _, c := range [][3]float64{{1000, 10, 100}, {0, 0, 1e-9}, {0, 0, 0}, {1, 1e-9, 1e9}, {100000, 99, 100}, {5, 40, 40}, {0, 0, 1e6}, {3, 1e6, 1e6}} {
			last := -1.0
			for _, horizon := range []float64{0, 1e-9, 1, 52, 1e5} {
				f, err := m.Truth.Predict(nil, one(c[0], c[1], c[2]), horizon)
				if err != nil {
					t.Fatal(err)
				}
				v := f[0]
				if math.IsNaN(v.Expected+v.Buys+v.Alive) || math.IsInf(v.Expected, 0) || v.Expected < last*(1-1e-9) || v.Buys < 0 || v.Buys > v.Alive || v.Alive > 1 || v.Buys > v.Expected*(1+1e-9)+1e-15 {
					t.Errorf("%v over %v: %+v, after %v for a shorter horizon", c, horizon, v, last)
				}
				if horizon == 0 && (v.Expected != 0 || v.Buys != 0) {
					t.Errorf("%v buys over a horizon of 0: %+v", c, v)
				}
				last = v.Expected
			}
			early, errA := m.Truth.Next(nil, one(c[0], c[1], c[2]), .1)
			late, errB := m.Truth.Next(nil, one(c[0], c[1], c[2]), .9)
			if errA != nil || errB != nil || !(early[0] > 0 && early[0] < late[0]) {
				t.Errorf("%v: the next purchase after %v to %v, %v %v", c, early, late, errA, errB)
			}
		}
	})

	t.Run("refusals", func(t *testing.T) {
		good := func() repeat.Histories {
			return repeat.Histories{X: []float64{0, 2, 1}, TX: []float64{0, 5, 3}, T: []float64{9, 8, 7}, W: []float64{1, 1, 1}}
		}
		for _, c := range []struct {
			want string
			edit func(h *repeat.Histories)
		}{
			{"row 1: X (-1)", func(h *repeat.Histories) { h.X[1] = -1 }},
			{"row 2: X (1.5)", func(h *repeat.Histories) { h.X[2] = 1.5 }},
			{"row 1: TX (8.5) must be <= T (8)", func(h *repeat.Histories) { h.TX[1] = 8.5 }},
			{"row 0: TX (3) must be 0 when X is 0", func(h *repeat.Histories) { h.TX[0] = 3 }},
			{"row 2: TX (0) must be > 0 when X is 1", func(h *repeat.Histories) { h.TX[2] = 0 }},
			{"row 0: T (-1)", func(h *repeat.Histories) { h.T[0] = -1 }},
			{"row 2: X is NaN", func(h *repeat.Histories) { h.X[2] = math.NaN() }},
			{"row 1: TX is NaN", func(h *repeat.Histories) { h.TX[1] = math.NaN() }},
			{"row 2: T is +Inf", func(h *repeat.Histories) { h.T[2] = math.Inf(1) }},
			{"row 1: W (-2)", func(h *repeat.Histories) { h.W[1] = -2 }},
			{"empty input", func(h *repeat.Histories) { *h = repeat.Histories{} }},
			{"3, 2, 3, 3 rows", func(h *repeat.Histories) { h.TX = h.TX[:2] }},
			{"too few repeat customers: 2 of 3", func(h *repeat.Histories) {}},
		} {
			h := good()
			c.edit(&h)
			_, _, err := m.Fit(t.Context(), repeat.DefaultParams(), h)
			if err == nil || !strings.HasPrefix(err.Error(), m.Package+": ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Fit: %v, want it to say %q", err, c.want)
			}
			if strings.Contains(c.want, "too few") {
				if !errors.Is(err, repeat.ErrTooFewRepeaters) {
					t.Errorf("%v is not ErrTooFewRepeaters", err)
				}
				continue
			}
			if _, err := m.Truth.Predict(nil, h, 1); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Predict: %v, want it to say %q", err, c.want)
			}
			if _, err := m.Truth.Next(nil, h, .5); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Next: %v, want it to say %q", err, c.want)
			}
		}
		for _, bad := range []float64{-1, math.NaN(), math.Inf(1)} {
			if _, err := m.Truth.Predict(nil, good(), bad); err == nil {
				t.Errorf("Predict accepted the horizon %v", bad)
			}
			if _, err := m.Truth.ExpectedNew(bad); err == nil {
				t.Errorf("ExpectedNew accepted %v", bad)
			}
			if _, err := m.Truth.Next(nil, good(), bad); err == nil {
				t.Errorf("Next accepted the share %v", bad)
			}
		}
		_, _, err := m.Fit(t.Context(), repeat.Params{MinRepeaters: math.NaN(), Penalty: -1}, good())
		for _, want := range []string{"MinRepeaters (NaN)", "Penalty (-1) must be >= 0", "MaxIter (0) must be >= 1", "Tol (0)", "StartSample (0)", "Workers (0)"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Fit does not mention %q: %v", want, err)
			}
		}
	})

	t.Run("a cancelled context stops the fit", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := m.Fit(ctx, repeat.DefaultParams(), m.History(500, 1)); !errors.Is(err, context.Canceled) {
			t.Errorf("Fit returned %v", err)
		}
	})
}
