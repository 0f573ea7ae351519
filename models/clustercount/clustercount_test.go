package clustercount

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/models"
)

// circle is n rows around k centres on a circle of the given radius, in two
// columns of unit noise.
func circle(n, k int, radius float64, seed uint64) models.Matrix {
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
			p := DefaultParams()
			p.Fit.Seed = seed
			got, err := Choose(t.Context(), p, circle(1200, k, 12, seed))
			if err != nil {
				t.Fatal(err)
			}
			if got.K != k || got.Support != Separated {
				t.Errorf("%d clusters, seed %d: chose %d, %s\n%+v", k, seed, got.K, got.Support, got.Curve)
			}
			if len(got.Curve) != p.KMax-p.KMin+1 {
				t.Errorf("a curve of %d candidates, want %d", len(got.Curve), p.KMax-p.KMin+1)
			}
		}
	}
}

// mixture is n rows of k clusters of unequal sizes with unit noise in d columns,
// no two centres nearer than apart.
func mixture(seed uint64, n, k, d int, apart float64) (x models.Matrix, truth []int) {
	r := rand.New(rand.NewPCG(seed, 5))
	names := make([]string, d)
	for j := range names {
		names[j] = fmt.Sprint("f", j)
	}
	var centres [][]float64
	for len(centres) < k {
		c := make([]float64, d)
		for j := range c {
			c[j] = r.NormFloat64() * apart
		}
		far := true
		for _, o := range centres {
			s := 0.0
			for j := range c {
				s += (c[j] - o[j]) * (c[j] - o[j])
			}
			far = far && math.Sqrt(s) >= apart
		}
		if far {
			centres = append(centres, c)
		}
	}
	x = models.NewMatrix(names, n)
	for i := range n {
		kind := min(r.IntN(k+1), k-1) // the last is twice as large
		truth = append(truth, kind)
		for j := range d {
			x.Row(i)[j] = centres[kind][j] + r.NormFloat64()
		}
	}
	return x, truth
}

// The planted number is chosen in at least 18 of 20 data sets of clusters whose
// overlap lets the best assignment reach an adjusted Rand index of about .95.
func TestChoosePlanted(t *testing.T) {
	if testing.Short() {
		t.Skip("twenty choices")
	}
	right := 0
	for seed := range uint64(20) {
		k, d := 2+int(seed%6), 2+int(seed*7%9)
		x, _ := mixture(seed, 1500, k, d, 4.8)
		p := DefaultParams()
		p.Fit.Seed = seed
		got, err := Choose(t.Context(), p, x)
		if err != nil {
			t.Fatal(err)
		}
		if got.K == k {
			right++
		} else {
			t.Logf("seed %d: %d clusters in %d columns, chose %d, %s", seed, k, d, got.K, got.Support)
		}
	}
	if right < 18 {
		t.Errorf("the planted number was chosen in %d of 20", right)
	}
}

// None are found in at least 18 of 20 data sets without clusters, of every kind.
func TestChooseNone(t *testing.T) {
	if testing.Short() {
		t.Skip("a hundred choices")
	}
	kinds := map[string]struct {
		n, d int
		row  func(r *rand.Rand, row []float64)
	}{
		"Gaussian": {300, 10, func(r *rand.Rand, row []float64) {
			for j := range row {
				row[j] = r.NormFloat64()
			}
		}},
		"correlated Gaussian": {2000, 8, func(r *rand.Rand, row []float64) {
			f := r.NormFloat64()
			for j := range row {
				row[j] = r.NormFloat64() + f*float64(j)/3
			}
		}},
		"uniform": {1500, 2, func(r *rand.Rand, row []float64) {
			for j := range row {
				row[j] = r.Float64()
			}
		}},
		"correlated lognormal": {1000, 5, func(r *rand.Rand, row []float64) {
			f := r.NormFloat64()
			for j := range row {
				row[j] = math.Exp((f + r.NormFloat64()) / 2)
			}
		}},
		"counts and rates of one kind of customer": {2000, 5, func(r *rand.Rand, row []float64) {
			rate := math.Exp(r.NormFloat64() * .7)
			for at := r.ExpFloat64(); at < 4*rate; at += r.ExpFloat64() {
				row[0]++
				row[1] += math.Exp(r.NormFloat64())
			}
			row[1] /= max(row[0], 1)
			row[2] = math.Log1p(r.ExpFloat64() / rate)
			for range 5 {
				if r.Float64() < .3 {
					row[3] += .2
				}
			}
			row[0] = math.Log1p(row[0])
			row[4] = math.Floor(r.ExpFloat64() * 3)
		}},
	}
	for name, kind := range kinds {
		none := 0
		for seed := range uint64(20) {
			r := rand.New(rand.NewPCG(seed, 8))
			x, _ := mixture(seed, kind.n, 1, kind.d, 0)
			for i := range kind.n {
				clear(x.Row(i))
				kind.row(r, x.Row(i))
			}
			p := DefaultParams()
			p.Fit.Seed = seed
			got, err := Choose(t.Context(), p, standardised(x))
			if err != nil {
				t.Fatal(err)
			}
			if got.K == 0 && got.Support == None {
				none++
			} else {
				t.Logf("%s, seed %d: chose %d, %s", name, seed, got.K, got.Support)
			}
		}
		if none < 18 {
			t.Errorf("%s: none were found in %d of 20", name, none)
		}
	}
}

func standardised(x models.Matrix) models.Matrix {
	n := float64(x.Rows())
	for j := range x.Cols() {
		var s, ss float64
		for i := range x.Rows() {
			v := x.Row(i)[j]
			s, ss = s+v, ss+v*v
		}
		mean := s / n
		sd := math.Sqrt(ss/n - mean*mean)
		for i := range x.Rows() {
			x.Row(i)[j] = (x.Row(i)[j] - mean) / sd
		}
	}
	return x
}

// Separated clusters predict one another; more clusters than there are do not.
func TestPredictionStrength(t *testing.T) {
	p := DefaultParams()
	p.KMin, p.KMax = 3, 5
	c, err := Choose(t.Context(), p, circle(1200, 4, 12, 2))
	if err != nil {
		t.Fatal(err)
	}
	curve := c.Curve
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
	few := circle(40, 1, 0, 1)
	for i := 3; i < 40; i++ {
		few.Data[2*i], few.Data[2*i+1] = few.Data[0], few.Data[1]
	}
	if v, err := strength(t.Context(), p, few, 3); err != nil || !math.IsNaN(v) {
		t.Errorf("halves of 3 distinct rows: strength %v, %v; want NaN", v, err)
	}
}

func TestChooseRespectsTheSmallestShare(t *testing.T) {
	for clump, want := range map[int]int{12: 3, 60: 4} {
		x := circle(1000, 3, 14, 4)
		for i := range clump { // a distant one
			x.Data[2*i], x.Data[2*i+1] = 60+float64(i)/50, 60+float64(i*7%60)/50
		}
		if got, err := Choose(t.Context(), DefaultParams(), x); err != nil || got.K != want {
			t.Errorf("chose %d, %v; want %d with a cluster of %d rows", got.K, err, want, clump)
		}
	}
}

func TestChooseIgnoresWorkers(t *testing.T) {
	x := circle(3000, 4, 5, 2) // more than the sample
	p := DefaultParams()
	p.Fit.Workers = 1
	one, err1 := Choose(t.Context(), p, x)
	p.Fit.Workers = 3
	three, err3 := Choose(t.Context(), p, x)
	if err1 != nil || err3 != nil || fmt.Sprint(one) != fmt.Sprint(three) {
		t.Errorf("1 worker: %+v; 3 workers: %+v (%v, %v)", one, three, err1, err3)
	}
}

func TestChooseRefuses(t *testing.T) {
	p := DefaultParams()
	p.KMin, p.KMax, p.Stable = 1, 0, 2
	_, err := Choose(t.Context(), p, circle(100, 2, 9, 1))
	for _, want := range []string{"KMin (1) must be >= 2", "KMax (0)", "Stable (2)"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if _, err := Choose(t.Context(), DefaultParams(), circle(2, 1, 0, 1)); err == nil || !strings.Contains(err.Error(), "too few") {
		t.Errorf("two rows: %v", err)
	}
	same := models.Matrix{Names: []string{"a"}, Data: make([]float64, 50)}
	if _, err := Choose(t.Context(), DefaultParams(), same); err == nil {
		t.Error("equal rows were divided")
	}
	broken := circle(100, 2, 9, 1)
	broken.Data[7] = math.NaN()
	if _, err := Choose(t.Context(), DefaultParams(), broken); err == nil || !strings.Contains(err.Error(), "row 3, column 1 (b) is NaN") {
		t.Errorf("NaN: %v", err)
	}
}
