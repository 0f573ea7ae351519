package kmeans

import (
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/models"
)

// clouds is n rows around k centres on a circle of the given radius, in two
// columns of unit noise.
func clouds(n, k int, radius float64, seed uint64) models.Matrix {
	r := rand.New(rand.NewPCG(seed, 1))
	x := models.NewMatrix([]string{"a", "b"}, n)
	for i := range n {
		angle := 2 * math.Pi * float64(i%k) / float64(k)
		x.Data[2*i] = radius*math.Cos(angle) + r.NormFloat64()
		x.Data[2*i+1] = radius*math.Sin(angle) + r.NormFloat64()
	}
	return x
}

func TestChooseFindsSeparatedClusters(t *testing.T) {
	for k := 2; k <= 7; k++ {
		for seed := range uint64(3) {
			p := DefaultChooseParams()
			p.Fit.Seed = seed
			got, curve, warnings, err := Choose(t.Context(), p, clouds(1200, k, 12, seed))
			if err != nil {
				t.Fatal(err)
			}
			if got != k || len(warnings) > 0 {
				t.Errorf("%d clusters, seed %d: chose %d, %v\n%+v", k, seed, got, warnings, curve)
			}
			if len(curve) != p.KMax-p.KMin+1 {
				t.Errorf("a curve of %d candidates, want %d", len(curve), p.KMax-p.KMin+1)
			}
		}
	}
}

// Separated clusters predict one another; more clusters than there are do not.
func TestPredictionStrength(t *testing.T) {
	p := DefaultChooseParams()
	p.KMin, p.KMax = 3, 5
	_, curve, _, err := Choose(t.Context(), p, clouds(1200, 4, 12, 2))
	if err != nil {
		t.Fatal(err)
	}
	if curve[0].Strength < 0 || curve[1].Strength < .99 || curve[2].Strength > .8 {
		t.Errorf("4 clusters: strength %v of 4, %v of 5", curve[1].Strength, curve[2].Strength)
	}
	// By its definition, pair by pair.
	r := rand.New(rand.NewPCG(3, 3))
	for range 50 {
		a, b := make([]int, 40), make([]int, 40)
		for i := range a {
			a[i], b[i] = r.IntN(4), r.IntN(4)
		}
		want := 1.0
		for c := range 4 {
			pairs, kept := 0, 0
			for i := range a {
				for j := range a {
					if i != j && a[i] == c && a[j] == c {
						pairs++
						if b[i] == b[j] {
							kept++
						}
					}
				}
			}
			if pairs > 0 {
				want = min(want, float64(kept)/float64(pairs))
			}
		}
		if got := pairsKept(a, b, 4); got != want {
			t.Fatalf("pairs kept %v, want %v of %v, %v", got, want, a, b)
		}
	}
	// Halves with too few distinct rows have none.
	few := clouds(40, 1, 0, 1)
	for i := 3; i < 40; i++ {
		few.Data[2*i], few.Data[2*i+1] = few.Data[0], few.Data[1]
	}
	if v, err := strength(t.Context(), p, few, 3); err != nil || !math.IsNaN(v) {
		t.Errorf("halves of 3 distinct rows: strength %v, %v; want NaN", v, err)
	}
}

// Where no number of clusters is stable the choice says so.
func TestChooseWarnsWithoutStructure(t *testing.T) {
	p := DefaultChooseParams()
	p.KMin = 5 // two or three parts of a ball can be stable by accident of its sample
	got, curve, warnings, err := Choose(t.Context(), p, clouds(1500, 1, 0, 9))
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 1 || warnings[0].Code != "kmeans.no_stable_k" || !strings.Contains(warnings[0].Message, "convenient division") {
		t.Errorf("chose %d with %v\n%+v", got, warnings, curve)
	}
}

func TestChooseRespectsTheSmallestShare(t *testing.T) {
	x := clouds(1000, 3, 14, 4)
	for i := range 12 { // a distant clump of 1.2% of the rows
		x.Data[2*i], x.Data[2*i+1] = 60+float64(i%3)/10, 60
	}
	p := DefaultChooseParams()
	if got, _, _, err := Choose(t.Context(), p, x); err != nil || got != 3 {
		t.Errorf("chose %d, %v; want 3: a fourth cluster is below the smallest share", got, err)
	}
	p.MinShare = 0.005
	if got, _, _, err := Choose(t.Context(), p, x); err != nil || got != 4 {
		t.Errorf("chose %d, %v; want 4 once so small a cluster is allowed", got, err)
	}
}

func TestChooseIgnoresWorkers(t *testing.T) {
	x := clouds(3000, 4, 5, 2) // more than the sample
	p := DefaultChooseParams()
	p.Fit.Workers = 1
	k1, curve1, _, err1 := Choose(t.Context(), p, x)
	p.Fit.Workers = 3
	k3, curve3, _, err3 := Choose(t.Context(), p, x)
	if err1 != nil || err3 != nil || k1 != k3 || !reflect.DeepEqual(curve1, curve3) {
		t.Errorf("1 worker: %d %v; 3 workers: %d %v (%v, %v)", k1, curve1, k3, curve3, err1, err3)
	}
}

func TestChooseRefuses(t *testing.T) {
	p := DefaultChooseParams()
	p.KMin, p.KMax, p.Stable = 1, 0, 2
	_, _, _, err := Choose(t.Context(), p, clouds(100, 2, 9, 1))
	for _, want := range []string{"KMin (1) must be >= 2", "KMax (0)", "Stable (2)"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if _, _, _, err := Choose(t.Context(), DefaultChooseParams(), clouds(2, 1, 0, 1)); err == nil || !strings.Contains(err.Error(), "too few") {
		t.Errorf("two rows: %v", err)
	}
	same := models.Matrix{Names: []string{"a"}, Data: make([]float64, 50)}
	if _, _, _, err := Choose(t.Context(), DefaultChooseParams(), same); err == nil {
		t.Error("equal rows were divided")
	}
}
