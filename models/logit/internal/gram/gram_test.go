package gram

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The sum is that of the definition, and every way to it gives the same bits.
func TestAdd(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 14))
	for _, k := range []int{1, 2, 3, 4, 5, 8, 11, 12, 13, 16, 17, 24, 25, 61} {
		for _, rows := range []int{0, 1, 2, 3, 4, 5, 7, 32, 33} {
			stride := Stride(k)
			z, h := make([]float64, rows*stride), make([]float64, Len(k))
			for i := range rows {
				for a := range k {
					z[i*stride+a] = r.NormFloat64() * math.Exp(3*r.NormFloat64())
				}
			}
			for a := range h {
				h[a] = r.NormFloat64()
			}
			plain, before := append([]float64(nil), h...), append([]float64(nil), h...)
			Add(h, z, k, rows)
			addPlain(plain, z, k, rows)
			for a := range k {
				for b := a; b < k; b++ {
					want, scale := before[a*stride+b], math.Abs(before[a*stride+b])
					for i := range rows {
						v := z[i*stride+a] * z[i*stride+b]
						want += v
						scale += math.Abs(v)
					}
					got := h[a*stride+b]
					if got != plain[a*stride+b] {
						t.Fatalf("k %d, %d rows: element (%d, %d) is %v, in plain Go %v", k, rows, a, b, got, plain[a*stride+b])
					}
					if math.Abs(got-want) > 1e-14*scale {
						t.Fatalf("k %d, %d rows: element (%d, %d) is %v, want %v", k, rows, a, b, got, want)
					}
				}
			}
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	const k, rows = 101, 32
	z, h := make([]float64, rows*Stride(k)), make([]float64, Len(k))
	for _, way := range []struct {
		name string
		add  func(h, z []float64, k, rows int)
	}{{"any", Add}, {"plain", addPlain}} {
		b.Run(way.name, func(b *testing.B) {
			for b.Loop() {
				way.add(h, z, k, rows)
			}
			b.ReportMetric(float64(b.N)*rows*k*(k+1)/b.Elapsed().Seconds()/1e9, "Gflop/s")
		})
	}
}
