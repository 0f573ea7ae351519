package matching_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/models/matching"
)

// best is the most that any pairing weighs, by trying all of them.
func best(rows, columns int, w []float64, row int, taken []bool, left int) float64 {
	if row == rows || left == 0 {
		if left > 0 {
			return math.Inf(-1)
		}
		return 0
	}
	most := math.Inf(-1)
	if rows-row > left {
		most = best(rows, columns, w, row+1, taken, left)
	}
	for j := range columns {
		if !taken[j] {
			taken[j] = true
			most = max(most, w[row*columns+j]+best(rows, columns, w, row+1, taken, left-1))
			taken[j] = false
		}
	}
	return most
}

func TestMaximiseAgainstEveryPairing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for trial := range 3000 {
		rows, columns := r.IntN(6), r.IntN(6)
		w := make([]float64, rows*columns)
		for i := range w {
			w[i] = float64(r.IntN(9) - 3) // few values: many ties
			if trial%2 == 0 {
				w[i] = r.NormFloat64()
			}
		}
		got, err := matching.Maximise(rows, columns, w)
		if err != nil {
			t.Fatal(err)
		}
		sum, pairs, taken := 0.0, 0, map[int]bool{}
		for i, j := range got {
			if j < 0 {
				continue
			}
			if taken[j] {
				t.Fatalf("%d×%d: column %d has two rows: %v", rows, columns, j, got)
			}
			taken[j] = true
			sum += w[i*columns+j]
			pairs++
		}
		if len(got) != rows || pairs != min(rows, columns) {
			t.Fatalf("%d×%d: %d pairs of %d rows", rows, columns, pairs, len(got))
		}
		if want := best(rows, columns, w, 0, make([]bool, columns), pairs); math.Abs(sum-want) > 1e-9 {
			t.Fatalf("%d×%d %v: pairs %v weigh %v, the best %v", rows, columns, w, got, sum, want)
		}
	}
}

func TestMaximiseRefuses(t *testing.T) {
	if _, err := matching.Maximise(2, 2, []float64{1, 2, 3}); err == nil {
		t.Error("a ragged table was taken")
	}
	if _, err := matching.Maximise(2, 2, []float64{1, 2, math.NaN(), 3}); err == nil || !strings.Contains(err.Error(), "row 1 and column 0") {
		t.Errorf("NaN: %v", err)
	}
}

func ExampleMaximise() {
	// Taking the 9 first leaves only 1 for the other row.
	pairs, _ := matching.Maximise(2, 2, []float64{9, 8, 8, 1})
	fmt.Println(pairs)
	// Output: [1 0]
}
