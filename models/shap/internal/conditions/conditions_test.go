package conditions

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// The assembly and plain Go set the same bits and leave the others, for values on the
// threshold, beside it, infinite and missing.
func TestMeet(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	special := []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, math.Copysign(0, -1), 1, math.Nextafter(1, 2), math.Nextafter(1, 0), math.SmallestNonzeroFloat64, -math.MaxFloat64}
	for round := range 2000 {
		n := Lanes * r.IntN(40)
		column := make([]float64, n)
		for i := range column {
			column[i] = special[r.IntN(len(special))]
			if r.IntN(3) == 0 {
				column[i] = r.NormFloat64()
			}
		}
		threshold, missing, bit := special[1+r.IntN(len(special)-1)], round%2 == 0, uint64(1)<<r.IntN(64)
		got := make([]uint64, n+1)
		for i := range got {
			got[i] = r.Uint64()
		}
		plain, want := slices.Clone(got), slices.Clone(got)
		Meet(got, column, threshold, missing, bit)
		meetGo(plain[:n], column, threshold, missing, bit)
		for i, v := range column {
			if v <= threshold || missing && math.IsNaN(v) {
				want[i] |= bit
			}
		}
		if !slices.Equal(got, want) || !slices.Equal(plain, want) {
			t.Fatalf("round %d: threshold %v, missing %v, bit %x", round, threshold, missing, bit)
		}
	}
}
