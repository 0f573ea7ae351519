package metrics

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func counted(b Bins, values []float64) []int64 {
	c := make([]int64, b.Len())
	b.Count(c, values)
	return c
}

func TestBins(t *testing.T) {
	nan := math.NaN()
	under := func(x float64) float64 { return math.Nextafter(x, math.Inf(-1)) }
	for _, c := range []struct {
		name   string
		sample []float64
		bins   int
		edges  []float64
	}{
		{"nothing", nil, 4, nil},
		{"only NaN", []float64{nan, nan}, 4, nil},
		{"one value", []float64{5, 5, 5}, 4, []float64{under(5), 5}},
		{"even", []float64{4, 1, 3, 2, nan}, 2, []float64{under(1), 2, 4}},
		// Six of ten are 0: they have a bin to themselves, and the rest go on.
		{"ties", []float64{0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, 5, []float64{under(0), 0, 2, 4}},
		// 7 is frequent, -1 is not: they are told apart.
		{"ties after", []float64{-1, 7, 7, 7, 7, 7, 7, 7, 8, 9}, 5, []float64{under(-1), -1, 7, 9}},
	} {
		b := NewBins(c.sample, c.bins)
		if !slices.Equal(b.Edges, c.edges) {
			t.Errorf("%s: %v, want %v", c.name, b.Edges, c.edges)
		}
		got := counted(b, c.sample)
		if len(b.Edges) > 0 && (got[0] != 0 || got[len(b.Edges)] != 0) {
			t.Errorf("%s: the bins beyond the sample hold %v", c.name, got)
		}
	}
	b := Bins{Edges: []float64{1, 2}}
	if got := counted(b, []float64{0, 1, 1.5, 2, 3, nan, math.Inf(1), math.Inf(-1)}); !slices.Equal(got, []int64{3, 2, 2, 1}) {
		t.Errorf("%v", got)
	}
}

// A value that moves is seen wherever it goes, even when the sample knew one value only.
func TestShiftOfTies(t *testing.T) {
	all := func(v float64) []float64 { return slices.Repeat([]float64{v}, 1000) }
	b := NewBins(all(5), 10)
	for _, v := range []float64{4, 6, math.NaN()} {
		s, ok := NewShift(counted(b, all(5)), counted(b, all(v)))
		if !ok || s.PSI < 10 || s.KS != 1 {
			t.Errorf("from 5 to %v: %+v", v, s)
		}
	}
	s, ok := NewShift(counted(b, all(5)), counted(b, all(5)))
	if !ok || s != (Shift{}) {
		t.Errorf("not moved: %+v", s)
	}
	if _, ok := NewShift(counted(b, nil), counted(b, all(5))); ok {
		t.Error("nothing was compared")
	}
}

// By hand: shares 50.5/101 and 50.5/101 against 25.5/101 and 75.5/101.
func TestShiftByHand(t *testing.T) {
	s, _ := NewShift([]int64{50, 50, 0}, []int64{25, 75, 0})
	want := (25.5-50.5)/101*math.Log(25.5/50.5) + (75.5-50.5)/101*math.Log(75.5/50.5)
	if math.Abs(s.PSI-want) > 1e-15 || s.KS != .25 {
		t.Errorf("%+v, want PSI %v", s, want)
	}
	// χ²(1) exceeds 15.1367 with probability 1e-4: its root is the normal quantile 3.89059.
	if math.Abs(s.Chance-.02*3.890591886413*3.890591886413) > 1e-9 {
		t.Errorf("chance %v", s.Chance)
	}
}

// What is drawn alike stays below Chance, nearly always, at any size; its mean is
// that of the limit, (bins - 1)(1/n + 1/m).
func TestShiftByChance(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	draw := func(n int) []float64 {
		x := make([]float64, n)
		for i := range x {
			if x[i] = r.NormFloat64(); r.IntN(4) == 0 {
				x[i] = math.NaN()
			}
		}
		return x
	}
	for _, n := range []int{60, 400, 5000} {
		over, sum, limit := 0, 0., 0.
		const rounds = 400
		for range rounds {
			reference := draw(2 * n)
			b := NewBins(reference, 10)
			s, _ := NewShift(counted(b, reference), counted(b, draw(n)))
			if s.PSI > s.Chance {
				over++
			}
			sum += s.PSI
			limit += 10 * (1/float64(n) + 1/float64(2*n)) // ten bins and NaN
		}
		if over > 3 {
			t.Errorf("n = %d: %d of %d exceed chance", n, over, rounds)
		}
		if ratio := sum / limit; ratio < .85 || ratio > 1.35 { // edges that the reference knows, and values beyond them, add a little
			t.Errorf("n = %d: mean PSI is %.2f times its limit", n, ratio)
		}
	}
}

// Counts of parts add up to those of the whole.
func TestBinsMerge(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	x := make([]float64, 999)
	for i := range x {
		x[i] = math.Floor(r.ExpFloat64() * 3)
	}
	b := NewBins(x[:300], 10)
	parts := make([]int64, b.Len())
	for i := 0; i < len(x); i += 100 {
		b.Count(parts, x[i:min(i+100, len(x))])
	}
	if whole := counted(b, x); !slices.Equal(whole, parts) {
		t.Errorf("%v, in parts %v", whole, parts)
	}
}

// A value is in the bin that comparing it with every edge says.
func TestBinsBySearch(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	special := []float64{0, math.Copysign(0, -1), 1, -1, math.Inf(1), math.Inf(-1), math.NaN(), math.MaxFloat64, -math.MaxFloat64, 5e-324, -5e-324}
	draw := func() float64 {
		if r.IntN(3) == 0 {
			return special[r.IntN(len(special))]
		}
		return math.Floor(r.NormFloat64()*8) / 4
	}
	for edges := range 40 {
		var b Bins
		for len(b.Edges) < edges {
			if v := draw(); v == v && (len(b.Edges) == 0 || !slices.Contains(b.Edges, v)) {
				b.Edges = append(b.Edges, v)
			} else if r.IntN(20) == 0 {
				b.Edges = append(b.Edges, r.NormFloat64()*100)
			}
		}
		slices.Sort(b.Edges)
		for range 50 {
			v := draw()
			want := len(b.Edges) + 1
			if v == v {
				for want = 0; want < len(b.Edges) && b.Edges[want] < v; {
					want++
				}
			}
			if got := slices.Index(counted(b, []float64{v}), 1); got != want {
				t.Fatalf("%v among %v: bin %d, want %d", v, b.Edges, got, want)
			}
		}
	}
}

func BenchmarkBins(b *testing.B) {
	r := rand.New(rand.NewPCG(7, 7))
	x := make([]float64, 100_000)
	for i := range x {
		x[i] = r.NormFloat64()
	}
	bins := NewBins(x, 10)
	counts := make([]int64, bins.Len())
	for b.Loop() {
		bins.Count(counts, x)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(x)), "ns/value")
}
