package numeric

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// bigSum is the oracle: a big.Float wide enough (2,200 bits) to hold any sum of
// float64s without rounding, rounded once.
func bigSum(x []float64) float64 {
	s := new(big.Float).SetPrec(2200)
	for _, v := range x {
		s.Add(s, new(big.Float).SetFloat64(v))
	}
	f, _ := s.Float64()
	return f
}

func finite() *rapid.Generator[float64] {
	return rapid.OneOf(
		rapid.Float64Range(-10, 10),
		rapid.Custom(func(t *rapid.T) float64 {
			v := math.Float64frombits(rapid.Uint64().Draw(t, "bits"))
			if math.IsInf(v, 0) || math.IsNaN(v) {
				return 5e-324
			}
			return v
		}),
	)
}

func TestSumEqualsBigFloatInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.SliceOfN(finite(), 0, 60).Draw(t, "x")
		want := bigSum(x)
		if got := Sum(x); got != want {
			t.Fatalf("Sum = %v (%x), want %v (%x)", got, got, want, want)
		}
		cut := rapid.IntRange(0, len(x)).Draw(t, "cut")
		var a, b Exact
		for i := len(x) - 1; i >= 0; i-- {
			if i < cut {
				a.Add(x[i])
			} else {
				b.Add(x[i])
			}
		}
		a.Merge(&b)
		if got := a.Value(); got != want {
			t.Fatalf("reversed and merged at %d: %v, want %v", cut, got, want)
		}
	})
}

func TestExactCases(t *testing.T) {
	inf := math.Inf(1)
	for _, c := range []struct {
		name string
		x    []float64
		want float64
	}{
		{"empty", nil, 0},
		{"cancels to a small term", []float64{1e308, 1, -1e308}, 1},
		{"subnormal", []float64{5e-324, 5e-324}, 1e-323},
		{"overflow on the way only", []float64{math.MaxFloat64, math.MaxFloat64, -math.MaxFloat64}, math.MaxFloat64},
		{"overflow", []float64{math.MaxFloat64, math.MaxFloat64}, inf},
		{"negative overflow", []float64{-math.MaxFloat64, -math.MaxFloat64}, -inf},
		{"rounds once, to even", []float64{1, 0x1p-53, 0x1p-106}, 1 + 0x1p-52},
		{"infinite term", []float64{1, inf, -5}, inf},
	} {
		if got := Sum(c.x); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if got := Sum([]float64{inf, -inf}); !math.IsNaN(got) {
		t.Errorf("Inf − Inf = %v, want NaN", got)
	}
	if got := Mean(nil); !math.IsNaN(got) {
		t.Errorf("Mean(nil) = %v, want NaN", got)
	}
}

// Carries are deferred; forcing them after every few additions must not change the sum.
func TestExactCarriesAnywhere(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var s, often Exact
	for i := range 5000 {
		v := r.NormFloat64() * math.Pow(2, float64(r.IntN(200)-100))
		s.Add(v)
		often.Add(v)
		if i%3 == 0 {
			often.carry()
		}
		if i%7 == 0 {
			often.pending = exactPending // the next Add must propagate
		}
	}
	if s.Value() != often.Value() {
		t.Errorf("%v with deferred carries, %v with frequent ones", s.Value(), often.Value())
	}
}

func TestCompensated(t *testing.T) {
	// Neumaier's own failing case for Kahan's method.
	var s Compensated
	for _, v := range []float64{1, 1e100, 1, -1e100} {
		s.Add(v)
	}
	if s.Value() != 2 {
		t.Errorf("1 + 1e100 + 1 − 1e100 = %v, want 2", s.Value())
	}
	var a, b Compensated
	x := make([]float64, 100_000)
	for i := range x {
		x[i] = 0.1 * float64(i%13)
		if i < 40_000 {
			a.Add(x[i])
		} else {
			b.Add(x[i])
		}
	}
	a.Merge(b)
	if want := Sum(x); math.Abs(a.Value()-want) > 2e-16*want {
		t.Errorf("merged %v, exact %v", a.Value(), want)
	}
	var inf Compensated
	inf.Add(math.Inf(1))
	inf.Add(1)
	if inf.Value() != math.Inf(1) {
		t.Errorf("Inf + 1 = %v", inf.Value())
	}
}

func BenchmarkSum(b *testing.B) {
	x := make([]float64, 100_000)
	r := rand.New(rand.NewPCG(3, 4))
	for i := range x {
		x[i] = r.ExpFloat64()
	}
	b.Run("kind=exact/n=1e5", func(b *testing.B) {
		for b.Loop() {
			Sum(x)
		}
		b.ReportMetric(float64(b.N)*float64(len(x))/b.Elapsed().Seconds(), "rows/s")
	})
	b.Run("kind=compensated/n=1e5", func(b *testing.B) {
		for b.Loop() {
			var s Compensated
			for _, v := range x {
				s.Add(v)
			}
			s.Value()
		}
		b.ReportMetric(float64(b.N)*float64(len(x))/b.Elapsed().Seconds(), "rows/s")
	})
}
