package rows32

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// The assembly gives the bits of plain Go on float32 and on float64, for any number of
// columns and rows; NaN and infinities show in the sums.
func TestTwins(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	bits := func(what string, d, n int, got, want []float64) {
		t.Helper()
		same := func(a, b float64) bool {
			return math.Float64bits(a) == math.Float64bits(b) || math.IsNaN(a) && math.IsNaN(b)
		}
		if !slices.EqualFunc(got, want, same) {
			t.Errorf("%s, d=%d, %d rows: %v, want %v", what, d, n, got, want)
		}
	}
	for d := 1; d <= 19; d++ {
		for _, n := range []int{0, 1, 2, 7, 500} {
			for _, odd := range []float64{0, math.NaN(), math.Inf(1), math.Inf(-1)} {
				const k = 5
				x, wide := make([]float32, n*d), make([]float64, n*d)
				for i := range x {
					x[i] = float32(10 * r.NormFloat64())
				}
				if odd != 0 && n > 1 {
					x[n/2*d+d/2] = float32(odd)
				}
				for i, v := range x {
					wide[i] = float64(v)
				}
				some := func(m int) []float64 {
					v := make([]float64, m)
					for i := range v {
						v[i] = r.NormFloat64()
					}
					return v
				}
				origin, centres, magic, labels := some(d), some(k*d), make([]float64, d), make([]uint16, n)
				for j := range magic {
					magic[j] = math.Ldexp(1.5, 20+j)
				}
				for i := range labels {
					labels[i] = uint16(r.IntN(k))
				}
				sum, square, extent := some(d), some(d), make([]float64, d)
				sum2, square2, extent2 := slices.Clone(sum), slices.Clone(square), slices.Clone(extent)
				Moments(x, origin, sum, square, extent)
				PlainMoments(wide, origin, sum2, square2, extent2, 0)
				bits("sums", d, n, sum, sum2)
				bits("squares", d, n, square, square2)
				bits("extents", d, n, extent, extent2)
				if odd != 0 && n > 1 && !math.IsNaN(sum[d/2]) && !math.IsInf(sum[d/2], 0) {
					t.Errorf("d=%d, %d rows: %v does not show in the sum %v", d, n, odd, sum[d/2])
				}
				total := make([]float64, k*d)
				total2 := slices.Clone(total)
				Add(total, x, labels, origin, magic)
				PlainAdd(total2, wide, labels, origin, magic, 0)
				bits("totals", d, n, total, total2)
				var moved []int32
				var from []uint16
				for i := range labels {
					if r.IntN(3) == 0 {
						moved, from = append(moved, int32(i)), append(from, labels[i])
						labels[i] = (labels[i] + 1 + uint16(r.IntN(k-1))) % k
					}
				}
				Move(total, x, moved, from, labels, origin, magic)
				PlainMove(total2, wide, moved, from, labels, origin, magic, 0)
				bits("moved", d, n, total, total2)
				if odd == 0 {
					clear(total2)
					PlainAdd(total2, wide, labels, origin, magic, 0)
					bits("moved or added anew", d, n, total, total2)
				}
				out, out2 := make([]float64, n), make([]float64, n)
				Distances(out, x, labels, centres, d)
				PlainDistances(out2, wide, labels, centres, d, 0)
				bits("distances", d, n, out, out2)
				for i, v := range out {
					want := 0.0
					for j := range d {
						want += math.Pow(wide[i*d+j]-centres[int(labels[i])*d+j], 2)
					}
					if math.Abs(v-want) > 1e-9*want {
						t.Errorf("d=%d, row %d of %d: %v, want %v", d, i, n, v, want)
					}
				}
			}
		}
	}
}

// What would read or write outside is refused.
func TestRefused(t *testing.T) {
	x, five := make([]float32, 10), make([]float64, 5)
	for what, f := range map[string]func(){
		"ragged":         func() { Moments(x, make([]float64, 3), make([]float64, 3), make([]float64, 3), make([]float64, 3)) },
		"a short sum":    func() { Moments(x, five, five[:4], five, five) },
		"a label":        func() { Add(five, x, []uint16{0, 1}, five, five) },
		"a label moved":  func() { Move(five, x, []int32{1}, []uint16{1}, []uint16{0, 0}, five, five) },
		"a row moved":    func() { Move(five, x, []int32{2}, []uint16{0}, []uint16{0, 0}, five, five) },
		"too few labels": func() { Distances(five, x, []uint16{0}, five, 5) },
		"a short out":    func() { Distances(five[:1], x, []uint16{0, 0}, five, 5) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s was not refused", what)
				}
			}()
			f()
		}()
	}
}
