package query

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// The value of a rank is where order would put it, whatever the order before.
func TestPartition(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		n, distinct := 1+r.IntN(60), 1+r.IntN(40)
		vs := make([]float64, n)
		for i := range vs {
			vs[i] = float64(r.IntN(distinct))
		}
		switch r.IntN(4) {
		case 0:
			slices.Sort(vs)
		case 1:
			slices.Sort(vs)
			slices.Reverse(vs)
		}
		sorted := slices.Sorted(slices.Values(vs))
		k := r.IntN(n)
		before := slices.Clone(vs)
		partition(vs, k)
		if vs[k] != sorted[k] || k > 0 && slices.Max(vs[:k]) > vs[k] || k+1 < n && slices.Min(vs[k:]) < vs[k] {
			t.Fatalf("rank %d of %v: %v", k, before, vs)
		}
		if slices.Sort(vs); !slices.Equal(vs, sorted) {
			t.Fatalf("%v became %v", before, vs)
		}
	}
}
