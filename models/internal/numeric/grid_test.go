package numeric

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// Parts add up without rounding: any order, any grouping, with values added and
// taken away, gives the same bits, and they are those of the true sum to within
// the finer step.
func TestGridIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 200).Draw(t, "n")
		scale := math.Ldexp(1, rapid.IntRange(-900, 900).Draw(t, "scale"))
		x := make([]float64, n)
		var total float64
		for i := range x {
			x[i] = scale * rapid.Float64Range(-1, 1).Draw(t, "x")
			total += math.Abs(x[i])
		}
		g := NewGrid(total, n)
		sum := func(order []int, detours bool) (high, low float64) {
			for _, i := range order {
				h, l := g.Part(x[i])
				if detours { // a value comes, goes and comes again
					high, low = high+h, low+l
					high, low = high-h, low-l
				}
				high, low = high+h, low+l
			}
			return high, low
		}
		r := rand.New(rand.NewPCG(uint64(n), 5))
		high, low := sum(r.Perm(n), false)
		h2, l2 := sum(r.Perm(n), true)
		if high != h2 || low != l2 {
			t.Fatalf("two orders: %v+%v, %v+%v", high, low, h2, l2)
		}
		exact := new(big.Float).SetPrec(4000)
		for _, v := range x {
			exact.Add(exact, new(big.Float).SetFloat64(v))
		}
		exact.Sub(exact, new(big.Float).SetFloat64(high))
		rest, _ := exact.Float64()
		if math.Abs(rest) > float64(n)*0x1p-52*total {
			t.Fatalf("the high part is off by %v of a total of %v", rest, total)
		}
		rest, _ = exact.Sub(exact, new(big.Float).SetFloat64(low)).Float64()
		if math.Abs(rest) > float64(n)*0x1p-90*total+5e-324*float64(n) {
			t.Fatalf("both parts are off by %v of a total of %v", rest, total)
		}
	})
}
