package scoring

import (
	"fmt"
	"math"
	"testing"
)

func TestPercentiles(t *testing.T) {
	nan := math.NaN()
	p := []float64{.5, nan, .1, .5, .9}
	out := []float64{nan, nan, nan, nan, nan}
	percentiles(p, out)
	if want := []float64{50, nan, 12.5, 50, 87.5}; fmt.Sprint(out) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", out, want)
	}
	percentiles(nil, nil)
}
