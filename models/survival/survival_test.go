package survival

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func near(got, want, tol float64) bool { return math.Abs(got-want) <= tol }

func fields(t *testing.T, s string) []float64 {
	t.Helper()
	var out []float64
	for _, f := range strings.Fields(s) {
		v, err := strconv.ParseFloat(f, 64)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

func fit(t *testing.T, observed, censored string) *Curve {
	t.Helper()
	ev, ce := fields(t, observed), fields(t, censored)
	seen := make([]bool, len(ev)+len(ce))
	for i := range ev {
		seen[i] = true
	}
	c, err := KaplanMeier(append(ev, ce...), seen, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Survival in days of 228 patients with advanced lung cancer: Loprinzi et al.
// (1994), J. Clin. Oncol. 12:601–607, the lung data of R's survival package.
const (
	lungDeaths = `5 11 11 11 12 13 13 15 26 30 31 53 53 54 59 60 60 61 62 65 65 71 79 81 81 88 88 92 93 95 95 105 107 107 110 116
		118 122 131 132 132 135 142 144 145 145 147 153 156 156 163 163 163 166 166 167 170 175 176 177 179 179 180 181 181 182
		183 186 189 194 197 199 201 201 202 207 208 210 212 218 222 223 226 229 230 239 239 245 246 267 268 269 270 283 284 285
		285 286 288 291 293 301 303 305 306 310 310 320 329 337 340 345 348 350 351 353 353 361 363 363 364 371 371 387 390 394
		426 428 429 433 442 444 450 455 457 460 473 477 519 520 524 524 533 550 558 567 574 583 613 624 641 643 654 655 687 689
		705 707 728 731 735 765 791 814 883`
	lungCensored = `92 105 173 174 175 177 185 188 191 192 196 197 202 203 211 221 222 224 225 225 235 237 240 243 252 259 266 269
		272 276 279 284 292 292 296 300 301 303 315 332 356 364 376 382 384 404 413 444 458 511 511 529 543 551 559 588 740 806
		821 840 965 1010 1022`
)

// R 4.2.2, survival 3.5-3: survfit(Surv(time, status) ~ 1, lung), whose
// intervals are on the log scale. Standard errors: Greenwood's formula in exact
// rational arithmetic (Python fractions) over the same data.
func TestLung(t *testing.T) {
	c := fit(t, lungDeaths, lungCensored)
	if c.Total != 228 || c.Events != 165 || c.MaxTime != 1022 {
		t.Fatalf("%v of %v, longest %v; want 165 of 228, 1022", c.Events, c.Total, c.MaxTime)
	}
	for _, tc := range []struct{ t, s, se float64 }{
		{100, .86396896765, .02271023043416184},
		{200, .68027286222, .031134571657969467},
		{300, .53060811776, .03464015475952814},
		{500, .29326919371, .03507781849861864},
		{1000, .05034556807, .02284804891608381},
	} {
		if got := c.Survival(tc.t); !near(got, tc.s, 1e-11) {
			t.Errorf("S(%v) = %.13f, want %v", tc.t, got, tc.s)
		}
		if got := c.StdErr(tc.t); !near(got, tc.se, 1e-12) {
			t.Errorf("se(%v) = %.15f, want %v", tc.t, got, tc.se)
		}
	}
	if m, ok := c.Median(); !ok || m != 310 {
		t.Errorf("median %v, %v; want 310", m, ok)
	}
	if lo, hi := c.QuantileInterval(.5, .95); lo != 285 || hi != 363 {
		t.Errorf("median interval %v to %v; want 285 to 363", lo, hi)
	}
}

// Weeks of remission on 6-mercaptopurine: Freireich et al. (1963), Blood
// 21:699–716, with the estimate and Greenwood errors as tabulated, to three
// and four decimals, in Cox & Oakes (1984), Analysis of Survival Data, ch. 4.
func TestRemission(t *testing.T) {
	c := fit(t, "6 6 6 7 10 13 16 22 23", "6 9 10 11 17 19 20 25 32 32 34 35")
	want := []struct{ t, n, s, se float64 }{
		{6, 21, .857, .0764}, {7, 17, .807, .0869}, {10, 15, .753, .0963}, {13, 12, .690, .1068},
		{16, 11, .627, .1141}, {22, 7, .538, .1282}, {23, 6, .448, .1346},
	}
	if len(c.Steps) != len(want) {
		t.Fatalf("%d steps, want %d", len(c.Steps), len(want))
	}
	for i, w := range want {
		p := c.Steps[i]
		if p.Time != w.t || p.AtRisk != w.n || !near(p.Survival, w.s, 5e-4) || !near(c.StdErr(w.t), w.se, 5e-5) {
			t.Errorf("step %+v, se %v; want %+v", p, c.StdErr(w.t), w)
		}
	}
	if m, ok := c.Median(); !ok || m != 23 {
		t.Errorf("median %v, %v; want 23", m, ok)
	}
	// The upper limit never falls to one half.
	if lo, hi := c.QuantileInterval(.5, .95); lo != 16 || !math.IsInf(hi, 1) {
		t.Errorf("median interval %v to %v; want 16 to +Inf", lo, hi)
	}
}

// CamDavidsonPilon/lifelines, lifelines/tests/test_estimation.py: weights that
// are no counts.
func TestWeighted(t *testing.T) {
	c, err := KaplanMeier([]float64{.6, .4, .8, .9}, []bool{false, true, true, false}, []float64{1.5, 2, .8, .9})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ t, s float64 }{{0, 1}, {.4, .6153846153846154}, {.6, .6153846153846154}, {.8, .32579185520362}, {.9, .32579185520362}} {
		if got := c.Survival(tc.t); !near(got, tc.s, 1e-14) {
			t.Errorf("S(%v) = %.16f, want %v", tc.t, got, tc.s)
		}
	}
}

func TestEdges(t *testing.T) {
	// Events come before censorings of the same time: all four are at risk at 2.
	tied, _ := KaplanMeier([]float64{2, 2, 2, 3}, []bool{true, false, false, false}, nil)
	if got := tied.Survival(2); got != .75 {
		t.Errorf("tied: S(2) = %v, want 3/4", got)
	}
	if tied.Survival(1.999) != 1 {
		t.Error("S falls before the event")
	}
	// Nothing observed: no quantile.
	open, _ := KaplanMeier([]float64{1, 2, 3}, []bool{false, false, false}, nil)
	if _, ok := open.Quantile(.01); ok || open.Survival(9) != 1 || open.Events != 0 || open.Total != 3 {
		t.Errorf("all censored: %+v", open)
	}
	if lo, hi := open.QuantileInterval(.5, .9); !math.IsInf(lo, 1) || !math.IsInf(hi, 1) {
		t.Errorf("all censored: interval %v, %v", lo, hi)
	}
	// Everything observed: quantiles are those of the sample, 0 is a duration.
	all, _ := KaplanMeier([]float64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, slices.Repeat([]bool{true}, 10), nil)
	for _, tc := range []struct{ p, want float64 }{{.1, 0}, {.11, 1}, {.5, 4}, {.7, 6}, {.8, 7}, {.99, 9}} {
		if got, ok := all.Quantile(tc.p); !ok || got != tc.want {
			t.Errorf("quantile %v = %v, %v; want %v", tc.p, got, ok, tc.want)
		}
	}
	if all.Survival(9) != 0 || all.StdErr(9) != 0 {
		t.Errorf("at the end: S %v, se %v; want 0, 0", all.Survival(9), all.StdErr(9))
	}
	if lo, hi := all.Interval(-1, .95); lo != 1 || hi != 1 {
		t.Errorf("before the start: %v, %v", lo, hi)
	}
}

func TestRefusals(t *testing.T) {
	for _, tc := range []struct {
		d, w []float64
		want string
	}{
		{[]float64{1, math.NaN()}, nil, "durations[1] (NaN) must be finite and >= 0"},
		{[]float64{1, -1}, nil, "durations[1] (-1)"},
		{[]float64{math.Inf(1), 1}, nil, "durations[0] (+Inf)"},
		{[]float64{1, 1}, []float64{1, -1}, "weights[1] (-1)"},
		{[]float64{1, 1}, []float64{math.NaN(), 1}, "weights[0] (NaN)"},
	} {
		_, err := KaplanMeier(tc.d, []bool{true, true}, tc.w)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v %v: error %v, want %q", tc.d, tc.w, err, tc.want)
		}
	}
	for _, w := range [][]float64{nil, {}} {
		if _, err := KaplanMeier(nil, nil, w); !errors.Is(err, ErrEmpty) {
			t.Errorf("empty: %v", err)
		}
	}
	if _, err := KaplanMeier([]float64{1}, []bool{true}, []float64{0}); !errors.Is(err, ErrEmpty) {
		t.Errorf("no weight: %v", err)
	}
	for name, f := range map[string]func(){
		"lengths":  func() { _, _ = KaplanMeier([]float64{1}, nil, nil) },
		"quantile": func() { (&Curve{}).Quantile(1) },
		"level":    func() { (&Curve{}).QuantileInterval(.5, 0) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

// Relations that hold for any data: weights count repeats, weight zero is
// absence, order does not matter, time rescales, and the curve round-trips
// through JSON exactly.
func TestRelations(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(rt, "n")
		var d, w, dRep []float64
		var seen, seenRep []bool
		for range n {
			x := float64(rapid.IntRange(0, 9).Draw(rt, "t"))
			o := rapid.Bool().Draw(rt, "seen")
			k := rapid.IntRange(0, 3).Draw(rt, "w")
			d, seen, w = append(d, x), append(seen, o), append(w, float64(k))
			for range k {
				dRep, seenRep = append(dRep, x), append(seenRep, o)
			}
		}
		weighted, err := KaplanMeier(d, seen, w)
		repeated, err2 := KaplanMeier(dRep, seenRep, nil)
		if errors.Is(err, ErrEmpty) && errors.Is(err2, ErrEmpty) {
			return
		}
		if err != nil || err2 != nil {
			rt.Fatal(err, err2)
		}
		if diff := cmp.Diff(repeated, weighted); diff != "" {
			rt.Fatalf("weights are not repeats: %s", diff)
		}

		// Fractional weights, whose sums depend on order if anything does.
		for i := range w {
			w[i] = (w[i] + .1) / 3
		}
		a, _ := KaplanMeier(d, seen, w)
		rng := rand.New(rand.NewPCG(uint64(n), 1))
		rng.Shuffle(n, func(i, j int) {
			d[i], d[j] = d[j], d[i]
			seen[i], seen[j] = seen[j], seen[i]
			w[i], w[j] = w[j], w[i]
		})
		b, _ := KaplanMeier(d, seen, w)
		if diff := cmp.Diff(a, b); diff != "" {
			rt.Fatalf("order matters: %s", diff)
		}
		scaled := make([]float64, n)
		for i := range d {
			scaled[i] = d[i] * 4
		}
		s, _ := KaplanMeier(scaled, seen, w)
		last := 1.0
		for i, p := range a.Steps {
			if s.Steps[i].Time != 4*p.Time || s.Steps[i].Survival != p.Survival {
				rt.Fatal("time does not rescale")
			}
			if !(p.Survival < last && p.Survival >= 0 && p.Events <= p.AtRisk) {
				rt.Fatalf("step %d: %+v after %v", i, p, last)
			}
			last = p.Survival
		}

		text, err := json.Marshal(a)
		if err != nil {
			rt.Fatal(err)
		}
		back := new(Curve)
		if err := json.Unmarshal(text, back); err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(a, back); diff != "" {
			rt.Fatalf("JSON: %s", diff)
		}
	})
}

// The bias the estimator is there to remove: exponential gaps of mean 50 seen
// through windows of 20 to 200 days. Closed gaps alone put the 80th percentile
// below the true −50·ln 0.2 = 80.5; the estimator does not.
func TestCensoringIsNotBias(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	const n = 20_000
	d, seen := make([]float64, n), make([]bool, n)
	var closed []float64
	for i := range d {
		gap, window := 50*rng.ExpFloat64(), 20+180*rng.Float64()
		d[i], seen[i] = min(gap, window), gap <= window
		if seen[i] {
			closed = append(closed, gap)
		}
	}
	c, err := KaplanMeier(d, seen, nil)
	if err != nil {
		t.Fatal(err)
	}
	truth := -50 * math.Log(.2)
	q, ok := c.Quantile(.8)
	lo, hi := c.QuantileInterval(.8, .999)
	if !ok || truth < lo || truth > hi || hi-lo > 8 {
		t.Errorf("80%% quantile %v (%v to %v), truth %v", q, lo, hi, truth)
	}
	slices.Sort(closed)
	if naive := closed[len(closed)*8/10]; naive > lo {
		t.Errorf("closed gaps alone give %v: the case does not show the bias", naive)
	}
}

func BenchmarkKaplanMeier(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	const n = 100_000
	d, seen := make([]float64, n), make([]bool, n)
	for i := range d {
		d[i], seen[i] = math.Floor(100*rng.ExpFloat64()), rng.IntN(3) > 0
	}
	b.Run("n=1e5", func(b *testing.B) {
		for b.Loop() {
			if _, err := KaplanMeier(d, seen, nil); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
}
