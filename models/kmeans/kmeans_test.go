package kmeans

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/shoal-data/shoal/internal/pyoracle"
	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/kmeans/internal/blocks"
	"github.com/shoal-data/shoal/models/metrics"
	"github.com/shoal-data/shoal/models/modeltest"
	"github.com/shoal-data/shoal/models/transform"
)

type conforming struct{ *Model }

func (c conforming) Bytes() ([]byte, error) {
	var b bytes.Buffer
	err := c.Save(&b)
	return b.Bytes(), err
}

func TestConformance(t *testing.T) {
	for _, seedSample := range []int{500, 1 << 20} { // restarts on a sample, and on all rows
		t.Run(fmt.Sprintf("seed_sample=%d", seedSample), func(t *testing.T) {
			modeltest.CheckClusterer(t, modeltest.Clusterer{
				Package: "kmeans", K: 5,
				Fit: func(ctx context.Context, x models.Matrix, w []float64, workers int) (modeltest.Clustering, []int, error) {
					p := DefaultParams()
					p.K, p.Workers, p.SeedSample = 5, workers, seedSample
					m, r, _, err := FitWith(ctx, p, x, Options{Weights: w})
					if err != nil {
						return nil, nil, err
					}
					return conforming{m}, r.Labels, nil
				},
				Load: func(b []byte) (modeltest.Clustering, error) {
					m, err := Load(bytes.NewReader(b))
					if err != nil {
						return nil, err
					}
					return conforming{m}, nil
				},
			})
		})
	}
}

// Computed with scikit-learn 1.2.1, best of 200 starts, on the copies of Fisher's
// iris, UCI wine and UCI breast cancer that it bundles (R's kmeans gives
// 78.85144143 for the first too). z: standardised, dividing by n. sizes ascend.
func TestReferencePartitions(t *testing.T) {
	var data map[string]struct {
		X [][]float64
		Y []int
	}
	pyoracle.Run(t, `
import json, sys
from sklearn.datasets import load_iris, load_wine, load_breast_cancer
json.dump({n: dict(X=d.data.tolist(), Y=d.target.tolist()) for n, d in
    dict(iris=load_iris(), wine=load_wine(), cancer=load_breast_cancer()).items()}, sys.stdout)
`, nil, &data)
	for _, c := range []struct {
		data                                            string
		z                                               bool
		k                                               int
		sizes                                           []int
		inertia, silhouette, calinski, davies, adjusted float64
	}{
		{"iris", false, 3, []int{38, 50, 62}, 78.851441, .552819, 561.6278, .661972, .730238},
		{"iris", false, 2, nil, 152.347952, .681046, 513.9245, .404293, .539922},
		{"iris", true, 3, nil, 139.820496, .459948, 241.9044, .833595, .620135},
		{"wine", true, 3, []int{51, 62, 65}, 1277.928489, .284859, 70.9400, 1.389188, .897495},
		{"cancer", true, 2, nil, 11595.461474, .344974, 267.6964, 1.312320, .670721},
	} {
		t.Run(fmt.Sprintf("%s/z=%v/k=%d", c.data, c.z, c.k), func(t *testing.T) {
			d := data[c.data]
			names := make([]string, len(d.X[0]))
			for j := range names {
				names[j] = fmt.Sprintf("x%d", j)
			}
			x := models.NewMatrix(names, len(d.X))
			for i, row := range d.X {
				copy(x.Row(i), row)
			}
			if c.z {
				p := transform.DefaultParams()
				p.LowQuantile, p.HighQuantile, p.SkewLimit = 0, 1, 1e6
				m, _, err := transform.Fit(t.Context(), p, x)
				if err != nil {
					t.Fatal(err)
				}
				if x, err = m.Apply(models.Matrix{}, x); err != nil {
					t.Fatal(err)
				}
			}
			p := DefaultParams()
			p.K, p.Restarts, p.Tol = c.k, 200, 0
			m, r, warnings, err := Fit(t.Context(), p, x)
			if err != nil {
				t.Fatal(err)
			}
			if !r.Converged || len(warnings) > 0 {
				t.Errorf("converged %v, warnings %v", r.Converged, warnings)
			}
			if c.sizes != nil {
				got := m.Weights()
				slices.Reverse(got)
				for i, w := range c.sizes {
					if got[i] != float64(w) {
						t.Errorf("sizes %v, want %v", got, c.sizes)
						break
					}
				}
			}
			printed := func(what string, got, want float64, digits int) {
				t.Helper()
				if math.Abs(got-want) > .5000001*math.Pow(10, -float64(digits)) {
					t.Errorf("%s = %.8f, want %.*f", what, got, digits, want)
				}
			}
			printed("inertia", r.Inertia, c.inertia, 6)
			sil, ok1, err1 := metrics.Silhouette(t.Context(), metrics.DefaultSilhouetteParams(), x, r.Labels)
			ch, ok2, err2 := metrics.CalinskiHarabasz(x, r.Labels)
			db, ok3, err3 := metrics.DaviesBouldin(x, r.Labels)
			ari, ok4 := metrics.ARI(r.Labels, d.Y)
			if !ok1 || !ok2 || !ok3 || !ok4 || err1 != nil || err2 != nil || err3 != nil {
				t.Fatal(ok1, ok2, ok3, ok4, err1, err2, err3)
			}
			printed("silhouette", sil, c.silhouette, 6)
			printed("Calinski-Harabasz", ch, c.calinski, 4)
			printed("Davies-Bouldin", db, c.davies, 6)
			printed("adjusted Rand", ari, c.adjusted, 6)
		})
	}
}

// Skipping rows by their bounds must not change one bit against computing all.
func TestBoundsChangeNothing(t *testing.T) {
	for _, k := range []int{2, 3, 7, 20} {
		for _, scale := range []float64{1e-9, 1, 1e9} {
			x := modeltest.Blobs(4000, 6, uint64(k))
			for i := range x.Data {
				x.Data[i] *= scale
				if i%5 == 0 { // many ties and repeated rows
					x.Data[i] = math.Round(x.Data[i]/scale) * scale
				}
			}
			p := DefaultParams()
			p.K, p.Tol = k, 0
			start, _ := plusPlus(prepared(t, x), k, newRandom(1, 1))
			fast, plain := newRun(prepared(t, x), p, start, 1), newRun(prepared(t, x), p, start, 1)
			plain.Reach = math.Inf(1) // no gap exceeds an infinite limit
			if err := fast.iterate(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := plain.iterate(t.Context()); err != nil {
				t.Fatal(err)
			}
			if fast.iterations != plain.iterations || !slices.Equal(fast.centres, plain.centres) || !slices.Equal(fast.labels, plain.labels) {
				t.Errorf("k=%d scale=%g: %d iterations with bounds, %d without, or other labels or centres", k, scale, fast.iterations, plain.iterations)
			}
			skipped := 0
			for i, l := range fast.labels {
				if fast.gap[i] > fast.limit[l] {
					skipped++
				}
			}
			if skipped < 1000 {
				t.Errorf("k=%d scale=%g: only %d of 4000 rows skipped at the end; the bounds do nothing", k, scale, skipped)
			}
		}
	}
}

// After any move of the centres, the labels are those that nearestOf gives every
// row, ties included, whatever was skipped.
func TestAssignFollowsAnyMove(t *testing.T) {
	for _, k := range []int{2, 9, 70} {
		for _, step := range []float64{.25, .1, 1e-3, 0} { // rows at multiples of .25 make ties, of .1 near ones
			for _, offset := range []float64{0, 1000} {
				r := rand.New(rand.NewPCG(uint64(k), uint64(1000*step)))
				x := models.NewMatrix([]string{"a", "b", "c"}, 5000)
				value := func() float64 {
					if step >= .1 {
						return offset + float64(r.IntN(16))*step
					}
					return offset + 4*r.Float64()
				}
				for i := range x.Data {
					x.Data[i] = value()
				}
				start := make([]float64, 3*k)
				for i := range start {
					start[i] = value()
				}
				p := DefaultParams()
				p.K = k
				run := newRun(prepared(t, x), p, start, 1)
				for turn := range 40 {
					if _, err := run.assign(t.Context()); err != nil {
						t.Fatal(err)
					}
					for i, l := range run.labels {
						if want, _, _ := nearestOf(x.Row(i), run.centres); int(l) != want {
							t.Fatalf("k=%d step=%v offset=%v, turn %d: row %d has label %d, want %d", k, step, offset, turn, i, l, want)
						}
					}
					to := slices.Clone(run.centres)
					for c := range k {
						if r.IntN(3) > 0 {
							continue
						}
						for j := range 3 {
							move := step * float64(r.IntN(3)-1)
							if step == 0 { // all at once, in one direction, ever less
								move = .1 / float64(turn+1)
							}
							to[3*c+j] += move
						}
					}
					run.move(to)
				}
			}
		}
	}
}

// prepared are the rows of x ready for a run.
func prepared(t testing.TB, x models.Matrix) *blocks.Rows {
	t.Helper()
	r := &blocks.Rows{Names: x.Names, N: x.Rows(), D: x.Cols(), X64: x.Data}
	if err := r.Prepare(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	return r
}

// nearestOf against its definition, whatever k mod 4, ties included.
func TestNearestOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, k := rapid.IntRange(1, 7).Draw(t, "d"), rapid.IntRange(2, 13).Draw(t, "k")
		grid := rapid.IntRange(-2, 2)
		x, c := make([]float64, d), make([]float64, k*d)
		for j := range x {
			x[j] = float64(grid.Draw(t, "x"))
		}
		for j := range c {
			c[j] = float64(grid.Draw(t, "c"))
		}
		best, d1, d2 := nearestOf(x, c)
		all := make([]float64, k)
		for i := range all {
			all[i] = distance2(x, c[i*d:(i+1)*d])
		}
		if want := slices.Index(all, slices.Min(all)); best != want {
			t.Fatalf("nearest %d, want %d of %v", best, want, all)
		}
		slices.Sort(all)
		if d1 != all[0] || d2 != all[1] {
			t.Fatalf("distances %v, %v; want %v, %v", d1, d2, all[0], all[1])
		}
	})
}

// Stopped at any iteration: labels agree, no cluster is empty.
func TestStoppedEarly(t *testing.T) {
	x := modeltest.Blobs(2000, 6, 3)
	for maxIter := 1; maxIter <= 3; maxIter++ {
		p := DefaultParams()
		p.K, p.MaxIter, p.Tol, p.Restarts = 6, maxIter, 0, 1
		m, r, warnings, err := Fit(t.Context(), p, x)
		if err != nil {
			t.Fatal(err)
		}
		if r.Converged || len(warnings) == 0 || warnings[0].Code != "kmeans.not_converged" {
			t.Errorf("MaxIter %d: converged %v, warnings %v", maxIter, r.Converged, warnings)
		}
		labels, dist := make([]int, x.Rows()), make([]float64, x.Rows())
		if err := m.Predict(labels, dist, x); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(labels, r.Labels) {
			t.Errorf("MaxIter %d: labels disagree with the centres", maxIter)
		}
		var inertia float64
		for _, v := range dist {
			inertia += v * v
		}
		if math.Abs(inertia-r.Inertia) > 1e-9*inertia {
			t.Errorf("MaxIter %d: inertia %v, by distances %v", maxIter, r.Inertia, inertia)
		}
	}
}

// At strict convergence the centres are the means of the labels.
func TestCentresAreMeans(t *testing.T) {
	x := modeltest.Blobs(3000, 5, 8)
	p := DefaultParams()
	p.K, p.Tol = 5, 0
	m, r, _, err := Fit(t.Context(), p, x)
	if err != nil {
		t.Fatal(err)
	}
	d := x.Cols()
	sum, n := make([]float64, 5*d), make([]float64, 5)
	for i, l := range r.Labels {
		n[l]++
		for j, v := range x.Row(i) {
			sum[l*d+j] += v
		}
	}
	for i, c := range m.centres {
		if math.Abs(sum[i]/n[i/d]-c) > 1e-12 {
			t.Errorf("cluster %d column %d: centre %v, mean %v", i/d, i%d, c, sum[i]/n[i/d])
		}
	}
	if !slices.Equal(n, m.Weights()) {
		t.Errorf("weights %v, counted %v", m.Weights(), n)
	}
}

// Integer weights say the same as that many copies of the row.
func TestWeightsAreRepeats(t *testing.T) {
	x := modeltest.Blobs(600, 4, 5)
	w := make([]float64, x.Rows())
	repeated := models.Matrix{Names: x.Names}
	for i := range w {
		w[i] = float64(1 + i%3)
		for range 1 + i%3 {
			repeated.Data = append(repeated.Data, x.Row(i)...)
		}
	}
	p := DefaultParams()
	p.K, p.Tol = 4, 0
	a, ra, _, err := FitWith(t.Context(), p, x, Options{Weights: w})
	if err != nil {
		t.Fatal(err)
	}
	b, rb, _, err := Fit(t.Context(), p, repeated)
	if err != nil {
		t.Fatal(err)
	}
	for i := range a.centres {
		if math.Abs(a.centres[i]-b.centres[i]) > 1e-12 {
			t.Errorf("centre value %d: %v weighted, %v repeated", i, a.centres[i], b.centres[i])
		}
	}
	if math.Abs(ra.Inertia-rb.Inertia) > 1e-9*ra.Inertia || !slices.Equal(a.Weights(), b.Weights()) {
		t.Errorf("inertia %v and %v, weights %v and %v", ra.Inertia, rb.Inertia, a.Weights(), b.Weights())
	}
}

// A start with centres that attract nobody is repaired, also when it is stopped
// at once, and a start at the answer stays there.
func TestWarmStart(t *testing.T) {
	x := modeltest.Blobs(2000, 4, 6)
	p := DefaultParams()
	p.K, p.Tol = 4, 0
	cold, rc, _, err := Fit(t.Context(), p, x)
	if err != nil {
		t.Fatal(err)
	}
	warm, rw, _, err := FitWith(t.Context(), p, x, Options{Start: cold.Centres()})
	if err != nil {
		t.Fatal(err)
	}
	if rw.Iterations != 1 || !slices.Equal(rw.Labels, rc.Labels) || len(rw.RestartInertia) != 0 {
		t.Errorf("from the answer: %d iterations, %d restarts; want 1 and none, and the same labels", rw.Iterations, len(rw.RestartInertia))
	}
	for i, v := range warm.centres {
		if math.Abs(v-cold.centres[i]) > 1e-12 {
			t.Errorf("warm centre %v, cold %v", v, cold.centres[i])
		}
	}
	far := models.NewMatrix(x.Names, 4)
	for i := range far.Data {
		far.Data[i] = 1e6 // all four centres the same: three are empty
	}
	for _, maxIter := range []int{1, 300} {
		p.MaxIter = maxIter
		m, r, _, err := FitWith(t.Context(), p, x, Options{Start: far})
		if err != nil {
			t.Fatal(err)
		}
		if slices.Min(m.Weights()) < 1 {
			t.Errorf("MaxIter %d: weights %v, an empty cluster", maxIter, m.Weights())
		}
		if maxIter > 1 && r.Inertia > 2*rc.Inertia {
			t.Errorf("from far centres inertia %v, cold %v", r.Inertia, rc.Inertia)
		}
	}
	two := models.NewMatrix(x.Names, 50)
	two.Data[0] = 1
	if _, _, _, err := FitWith(t.Context(), p, two, Options{Start: far}); err == nil || !strings.Contains(err.Error(), "distinct rows") {
		t.Errorf("two distinct rows for four clusters: %v", err)
	}
	far.Names = []string{"a", "b", "other"}
	if _, _, _, err := FitWith(t.Context(), p, x, Options{Start: far}); err == nil || !strings.Contains(err.Error(), "other") {
		t.Errorf("start over other columns: %v", err)
	}
}

// Rows that a sample is likely to miss must still count as distinct.
func TestFewDistinctRowsInSample(t *testing.T) {
	x := models.NewMatrix([]string{"v"}, 5000)
	x.Data[1234], x.Data[4321] = 1, 2
	p := DefaultParams()
	p.K, p.SeedSample = 3, 10
	m, r, warnings, err := Fit(t.Context(), p, x)
	if err != nil {
		t.Fatal(err)
	}
	if r.Inertia != 0 || !slices.Equal(m.centres, []float64{0, 1, 2}) || len(warnings) != 2 {
		t.Errorf("inertia %v, centres %v, warnings %v; want 0, [0 1 2] and two of few members", r.Inertia, m.centres, warnings)
	}
	p.K = 4
	if _, _, _, err := Fit(t.Context(), p, x); err == nil || !strings.Contains(err.Error(), "K (4) exceeds the 3 distinct rows") {
		t.Errorf("4 clusters of 3 distinct rows: %v", err)
	}
}

// The numbering is canonical: equal weights are ordered by centre, and a row
// halfway between two centres goes to the lower number.
func TestCanonicalNumbers(t *testing.T) {
	x := models.Matrix{Names: []string{"v"}, Data: []float64{9, 9, 5, 5, 1, 1, 13, 13, 13}}
	for seed := range uint64(8) {
		p := DefaultParams()
		p.K, p.Seed = 4, seed
		m, r, _, err := Fit(t.Context(), p, x)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(m.centres, []float64{13, 1, 5, 9}) || !slices.Equal(r.Labels, []int{3, 3, 2, 2, 1, 1, 0, 0, 0}) {
			t.Errorf("seed %d: centres %v, labels %v", seed, m.centres, r.Labels)
		}
		var label [1]int
		if err := m.Predict(label[:], nil, models.Matrix{Names: x.Names, Data: []float64{7}}); err != nil || label[0] != 2 {
			t.Errorf("7, halfway between centres 2 and 3, got %d (%v)", label[0], err)
		}
	}
}

func TestSampleRows(t *testing.T) {
	all := blocks.Rows{Names: []string{"v"}, N: 1000, D: 1, X64: make([]float64, 1000)}
	for i := range all.X64 {
		all.X64[i] = float64(i)
	}
	hits := make([]int, 1000)
	for seed := range uint64(400) {
		s, err := all.Sample(t.Context(), 100, newRandom(seed, 0).below)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.X64) != 100 || !slices.IsSorted(s.X64) || len(slices.Compact(slices.Clone(s.X64))) != 100 {
			t.Fatalf("seed %d: sample %v", seed, s.X64)
		}
		for _, v := range s.X64 {
			hits[int(v)]++
		}
	}
	// 400 draws at probability .1: 40 ± 6·6 for every row, first and last included.
	for i, h := range hits {
		if h < 4 || h > 76 {
			t.Errorf("row %d drawn %d times of 400, want about 40", i, h)
		}
	}
}

func TestRefusals(t *testing.T) {
	err := Params{K: 1, Tol: -1}.Validate()
	for _, want := range []string{"kmeans: K (1) must be >= 2", "Restarts (0) must be >= 1", "MaxIter (0) must be >= 1", "Tol (-1)", "SeedSample (0) must be >= 2", "Workers (0) must be >= 1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate: %v, want %q", err, want)
		}
	}
	x := modeltest.Blobs(100, 2, 1)
	x.Data[5] = 1e200
	if _, _, _, err := Fit(t.Context(), DefaultParams(), x); err == nil || !strings.Contains(err.Error(), "row 1, column 2 (c) is 1e+200") {
		t.Errorf("a value whose square overflows: %v", err)
	}
	for _, s := range []string{
		`{"version":2}`,
		`{"version":1,"names":["a"],"centres":[[1]],"weights":[1]}`,
		`{"version":1,"names":["a"],"centres":[[1],[2,3]],"weights":[1,1]}`,
		`{"version":1,"names":["a"],"centres":[[1],[1e300]],"weights":[1,1]}`,
	} {
		if _, err := Load(strings.NewReader(s)); err == nil {
			t.Errorf("Load(%s) succeeded", s)
		}
	}
}

// mixture is n rows of d columns from k normal clusters that overlap slightly.
func mixture(n, d, k int) models.Matrix {
	r := rand.New(rand.NewPCG(42, 0))
	names := make([]string, d)
	for j := range names {
		names[j] = fmt.Sprintf("x%d", j)
	}
	centres := make([]float64, k*d)
	for i := range centres {
		centres[i] = .8 * r.NormFloat64()
	}
	x := models.NewMatrix(names, n)
	for i := range n {
		c := r.IntN(k)
		for j := range d {
			x.Data[i*d+j] = centres[c*d+j] + r.NormFloat64()
		}
	}
	return x
}

// counts is n rows of d correlated log-normal Poisson-like counts after log1p:
// no clusters to find, so Lloyd takes many iterations.
func counts(n, d int) models.Matrix {
	r := rand.New(rand.NewPCG(43, 0))
	x := mixture(1, d, 1)
	x.Data = make([]float64, n*d)
	for i := range n {
		common := r.NormFloat64()
		for j := range d {
			x.Data[i*d+j] = math.Log1p(math.Floor(math.Exp(common + .7*r.NormFloat64())))
		}
	}
	return x
}

func BenchmarkFit(b *testing.B) {
	for name, x := range map[string]models.Matrix{"mix": mixture(100_000, 16, 8), "counts": counts(100_000, 16)} {
		b.Run("data="+name+"/n=1e5/d=16/k=8", func(b *testing.B) {
			p := DefaultParams()
			var r Result
			var err error
			for b.Loop() {
				if _, r, _, err = Fit(b.Context(), p, x); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(x.Rows())/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(r.Inertia, "inertia")
			b.ReportMetric(float64(r.Iterations), "iterations")
		})
	}
}

func BenchmarkLloyd(b *testing.B) {
	for name, x := range map[string]models.Matrix{"mix": mixture(100_000, 16, 8), "counts": counts(100_000, 16)} {
		for _, bounds := range []bool{true, false} {
			b.Run(fmt.Sprintf("data=%s/n=1e5/d=16/k=8/iterations=20/bounds=%v", name, bounds), func(b *testing.B) {
				p := DefaultParams()
				p.Tol, p.MaxIter = 0, 20
				data := prepared(b, x)
				start := x.Data[:8*16]
				rowIters := 0
				for b.Loop() {
					r := newRun(data, p, start, 1)
					if !bounds {
						r.Reach = math.Inf(1)
					}
					if err := r.iterate(b.Context()); err != nil {
						b.Fatal(err)
					}
					rowIters += r.iterations * x.Rows()
				}
				b.ReportMetric(float64(rowIters)/b.Elapsed().Seconds(), "rows/s") // row-iterations
			})
		}
	}
}

func BenchmarkPredict(b *testing.B) {
	x := mixture(100_000, 16, 8)
	p := DefaultParams()
	p.Restarts = 1
	m, _, _, err := Fit(b.Context(), p, x)
	if err != nil {
		b.Fatal(err)
	}
	labels, dist := make([]int, x.Rows()), make([]float64, x.Rows())
	b.Run("n=1e5/d=16/k=8", func(b *testing.B) {
		for b.Loop() {
			if err := m.Predict(labels, dist, x); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)*float64(x.Rows())/b.Elapsed().Seconds(), "rows/s")
	})
}
