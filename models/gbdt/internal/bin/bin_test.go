package bin

import (
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
)

// shapes are columns such as customers have, and some that are unkind.
func shapes(r *rand.Rand, n int) map[string][]float64 {
	draw := func(f func() float64) []float64 {
		v := make([]float64, n)
		for i := range v {
			v[i] = f()
		}
		return v
	}
	return map[string][]float64{
		"normal":     draw(r.NormFloat64),
		"money":      draw(func() float64 { return math.Round(100*math.Exp(2*r.NormFloat64()+3)) / 100 }),
		"counts":     draw(func() float64 { return math.Floor(math.Exp(3*r.Float64())) * float64(r.IntN(2)) }),
		"flags":      draw(func() float64 { return float64(r.IntN(2)) }),
		"both signs": draw(func() float64 { return math.Exp(20*r.NormFloat64()) * float64(r.IntN(3)-1) }),
		"extremes":   draw(func() float64 { return (r.Float64() - .5) * math.MaxFloat64 * 2 }),
		"subnormal":  draw(func() float64 { return float64(r.IntN(1000)) * math.SmallestNonzeroFloat64 }),
		"neighbours": draw(func() float64 { return 1 + float64(r.IntN(300))*0x1p-52 }),
		"large":      draw(func() float64 { return 1e15 + float64(r.IntN(3000)) }),
		"constant":   draw(func() float64 { return 7 }),
		"missing":    draw(math.NaN),
		"some": draw(func() float64 {
			if r.IntN(5) == 0 {
				return math.NaN()
			}
			return r.ExpFloat64()
		}),
	}
}

func TestNumeric(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for name, values := range shapes(r, 5000) {
		for _, most := range []int{2, 16, 255} {
			m := Numeric(slices.Clone(values), nil, most)
			if m.Values() > most || m.Values() < 1 {
				t.Fatalf("%s: %d bins of at most %d", name, m.Values(), most)
			}
			for i := 1; i < len(m.Uppers); i++ {
				if !(m.Uppers[i-1] < m.Uppers[i]) {
					t.Fatalf("%s: uppers %v do not rise", name, m.Uppers)
				}
			}
			// The definition, by binary search, for values seen and not seen.
			probe := append(slices.Clone(values), m.Uppers...)
			for _, u := range m.Uppers {
				probe = append(probe, math.Nextafter(u, math.Inf(1)), math.Nextafter(u, math.Inf(-1)))
			}
			probe = append(probe, -math.MaxFloat64, math.MaxFloat64, 0, math.Copysign(0, -1))
			all := make([]byte, len(probe))
			m.Bins(all, probe, 1)
			count := make([]int, 257)
			for i, v := range probe {
				want := sort.SearchFloat64s(m.Uppers, v)
				if math.IsNaN(v) {
					want = m.MissingBin()
				}
				if got := m.Bin(v); int(got) != want || got != all[i] {
					t.Fatalf("%s: %v is in bins %d and %d, want %d of %v", name, v, got, all[i], want, m.Uppers)
				}
				if i < len(values) {
					count[want]++
				}
			}
			distinct := map[float64]bool{}
			missing := false
			for _, v := range values {
				if missing = missing || math.IsNaN(v); !math.IsNaN(v) {
					distinct[v] = true
				}
			}
			if (name == "constant" || name == "missing") != m.Constant() {
				t.Errorf("%s: constant %v", name, m.Constant())
			}
			if m.Missing != missing {
				t.Errorf("%s: missing %v", name, m.Missing)
			}
			if len(distinct) <= most && len(distinct) > 0 && m.Values() != len(distinct) {
				t.Errorf("%s: %d bins for %d distinct values", name, m.Values(), len(distinct))
			}
			for b, c := range count[:m.Values()] {
				if c == 0 && len(distinct) > 0 {
					t.Errorf("%s: bin %d of %d is empty", name, b, m.Values())
				}
				if name == "normal" && (c < 5000/most*8/10 || c > 5000/most*13/10) {
					t.Errorf("bin %d of %d holds %d of 5000 normal values", b, most, c)
				}
			}
			shuffled := slices.Clone(values)
			r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			if again := Numeric(shuffled, nil, most); !slices.Equal(again.Uppers, m.Uppers) {
				t.Errorf("%s: shuffled, the bins differ", name)
			}
		}
	}
}

// A value that weighs a bin's share or more has a bin to itself.
func TestHeavyValues(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	var values []float64
	for range 6000 {
		values = append(values, 0)
	}
	for range 1000 {
		values = append(values, 2.5)
	}
	for range 3000 {
		values = append(values, 5*r.Float64()-1)
	}
	m := Numeric(slices.Clone(values), nil, 20)
	for _, heavy := range []float64{0, 2.5} {
		for _, v := range values {
			if v != heavy && m.Bin(v) == m.Bin(heavy) {
				t.Fatalf("%v shares the bin of %v: %v", v, heavy, m.Uppers)
			}
		}
	}
	if m.Values() < 18 {
		t.Errorf("%d bins of 20", m.Values())
	}
}

// A weight is a number of repeats, for cutting too.
func TestWeights(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	var values, weights, repeated []float64
	for range 3000 {
		v, w := r.NormFloat64(), 1+r.IntN(4)
		values, weights = append(values, v), append(weights, float64(w))
		for range w {
			repeated = append(repeated, v)
		}
	}
	for _, most := range []int{30, 255} {
		a := Numeric(slices.Clone(values), slices.Clone(weights), most)
		b := Numeric(slices.Clone(repeated), nil, most)
		if !slices.Equal(a.Uppers, b.Uppers) {
			t.Errorf("%d bins by weight and by repeats differ", most)
		}
	}
}

func TestBetween(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 1))
	for range 20000 {
		a := r.NormFloat64() * math.Exp(50*r.NormFloat64())
		b := a + math.Abs(a)*math.Exp(-40*r.Float64())
		if a >= b {
			continue
		}
		m := between(a, b)
		if !(a <= m && m < b) {
			t.Fatalf("between(%v, %v) = %v", a, b, m)
		}
		if b-a > 1e-5*math.Abs(a) && math.Abs(a) < 1e30 && math.Abs(a) > 1e-30 && (float64(float32(m)) != m || m == a) {
			t.Fatalf("between(%v, %v) = %v is no float32 of its own", a, b, m)
		}
	}
	for _, c := range [][3]float64{{1, 2, 1.5}, {0, math.SmallestNonzeroFloat64, 0}, {-math.MaxFloat64, math.MaxFloat64, 0}} {
		if got := between(c[0], c[1]); got != c[2] {
			t.Errorf("between(%v, %v) = %v, want %v", c[0], c[1], got, c[2])
		}
	}
}

func TestCategorical(t *testing.T) {
	values := []float64{3, 3, 3, 9, 9, 1, 1, 70000, math.NaN()}
	m := Categorical(slices.Clone(values), nil, 3)
	if !slices.Equal(m.Categories, []int32{3, 1, 9}) || !m.Missing {
		t.Fatalf("%+v: want 3, then 1 and 9 which are equally frequent", m.Categories)
	}
	got := make([]byte, len(values))
	m.Bins(got, values, 1)
	if want := []byte{0, 0, 0, 2, 2, 1, 1, 3, 3}; !slices.Equal(got, want) {
		t.Errorf("bins %v, want %v", got, want)
	}
	if m = Categorical([]float64{4, 4}, nil, 3); !m.Constant() || m.Missing {
		t.Errorf("one category: %+v", m)
	}
}

func TestRadix(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 1))
	for name, values := range shapes(r, 3000) {
		if name == "missing" || name == "some" {
			continue
		}
		want := slices.Clone(values)
		slices.Sort(want)
		radix(values)
		for i := range want {
			if values[i] != want[i] {
				t.Fatalf("%s: element %d is %v, want %v", name, i, values[i], want[i])
			}
		}
	}
}

func BenchmarkBins(b *testing.B) {
	const n = 1 << 16
	r := rand.New(rand.NewPCG(7, 1))
	for _, name := range []string{"normal", "money", "counts", "both signs"} {
		values := shapes(r, n)[name]
		m := Numeric(slices.Clone(values), nil, 255)
		dst := make([]byte, n)
		b.Run("shape="+name, func(b *testing.B) {
			for b.Loop() {
				m.Bins(dst, values, 1)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/value")
		})
	}
}

// Counting values of which few are distinct gives what sorting them does.
func TestFew(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 1))
	counted := 0
	for name, values := range shapes(r, 5000) {
		for _, n := range []int{0, 1, MaxBins, MaxBins + 1, 5000} {
			var missing bool
			distinct, mass := tally(slices.Clone(values[:n]), slices.Repeat([]float64{1}, n), &missing)
			if len(distinct) <= MaxBins {
				counted++
			}
			gotDistinct, gotMass := tally(slices.Clone(values[:n]), nil, &missing)
			if !slices.Equal(gotDistinct, distinct) || !slices.Equal(gotMass, mass) {
				t.Errorf("%s, %d values: %d distinct ones, want %d", name, n, len(gotDistinct), len(distinct))
			}
			kept := slices.DeleteFunc(slices.Clone(values[:n]), math.IsNaN)
			if _, _, ok := few(kept); ok != (len(distinct) <= MaxBins) {
				t.Errorf("%s, %d values: few is %v of %d distinct ones", name, n, ok, len(distinct))
			}
		}
	}
	if counted == 0 {
		t.Error("no values were counted")
	}
}
