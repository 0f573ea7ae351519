package clustercount

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/shoal-data/shoal/internal/pyoracle"
)

const dipScript = `
import json, sys
import numpy as np
from diptest import dipstat
json.dump([float(dipstat(np.array(x))) for x in json.load(sys.stdin)], sys.stdout)
`

// The dip equals that of the diptest package, on samples with one mode and with
// several, with ties and without.
func TestDipEqualsDiptest(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var samples [][]float64
	for i := range 600 {
		n := 4 + r.IntN(300)
		x := make([]float64, n)
		for j := range x {
			switch i % 6 {
			case 0:
				x[j] = r.NormFloat64()
			case 1:
				x[j] = r.NormFloat64() + 3*float64(r.IntN(3))
			case 2:
				x[j] = float64(r.IntN(7))
			case 3:
				x[j] = r.ExpFloat64() * float64(r.IntN(2))
			case 4:
				x[j] = r.Float64()
			default:
				x[j] = math.Exp(2 * r.NormFloat64())
			}
		}
		samples = append(samples, x)
	}
	var want []float64
	pyoracle.Run(t, dipScript, samples, &want)
	for i, x := range samples {
		if got := dip(x); math.Abs(got-want[i]) > 1e-12 && x[0] != x[len(x)-1] {
			t.Errorf("sample %d of %d: dip %v, want %v", i, len(x), got, want[i])
		}
	}
}

func TestDipOfKnownShapes(t *testing.T) {
	even := make([]float64, 100)
	for i := range even {
		even[i] = float64(i)
	}
	if got := dip(even); got != 0.005 {
		t.Errorf("evenly spread: %v, want 1/2n", got)
	}
	two := make([]float64, 100)
	for i := range two {
		two[i] = float64(i % 2)
	}
	if got := dip(two); math.Abs(got-0.25) > 1e-12 {
		t.Errorf("two points: %v, want 1/4, the most there is", got)
	}
	if got := dip(make([]float64, 50)); got != 0.01 {
		t.Errorf("one point: %v, want 1/2n", got)
	}
}
