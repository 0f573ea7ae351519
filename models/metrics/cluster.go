package metrics

import (
	"context"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/internal/numeric"
)

// grouped is rows sorted by cluster: cluster c holds rows start[c] to start[c+1]
// of order, each in ascending row number.
type grouped struct {
	x     models.Matrix
	order []int
	start []int
	dense []int // row → cluster, 0 to k-1, by ascending label
}

func (g *grouped) k() int         { return len(g.start) - 1 }
func (g *grouped) size(c int) int { return g.start[c+1] - g.start[c] }
func (g *grouped) members(c int) []int {
	return g.order[g.start[c]:g.start[c+1]]
}

// group sorts the rows of x by label. Labels are any integers. ok is false
// unless there are 2 to n-1 different ones, for which alone the indices exist.
func group(x models.Matrix, labels []int) (g *grouped, ok bool, err error) {
	if err := x.CheckFinite("metrics"); err != nil {
		return nil, false, err
	}
	n := x.Rows()
	sameLength("rows and labels", n, len(labels))
	distinct := slices.Clone(labels)
	slices.Sort(distinct)
	distinct = slices.Compact(distinct)
	k := len(distinct)
	if k < 2 || k > n-1 {
		return nil, false, nil
	}
	index := make(map[int]int, k)
	for c, l := range distinct {
		index[l] = c
	}
	g = &grouped{x: x, order: make([]int, n), start: make([]int, k+1), dense: make([]int, n)}
	for i, l := range labels {
		g.dense[i] = index[l]
		g.start[g.dense[i]+1]++
	}
	for c := range k {
		g.start[c+1] += g.start[c]
	}
	next := slices.Clone(g.start)
	for i, c := range g.dense {
		g.order[next[c]] = i
		next[c]++
	}
	return g, true, nil
}

// means are the k×d cluster means.
func (g *grouped) means() models.Matrix {
	m := models.NewMatrix(g.x.Names, g.k())
	for c := range g.k() {
		for j := range g.x.Cols() {
			var s numeric.Exact
			for _, i := range g.members(c) {
				s.Add(g.x.Row(i)[j])
			}
			m.Row(c)[j] = s.Value() / float64(g.size(c))
		}
	}
	return m
}

func squaredDistance(x, y []float64) float64 {
	y = y[:len(x)]
	var s float64
	for j, v := range x {
		t := v - y[j]
		s += float64(t * t)
	}
	return s
}

// SilhouetteParams bounds the work of Silhouette.
type SilhouetteParams struct {
	// Sample is how many rows to measure, ≥ 2. With more rows than that, this
	// many are drawn without replacement and measured among themselves.
	Sample  int
	Seed    uint64 // of the sample; every value is valid
	Workers int    // goroutines, ≥ 1; the result does not depend on it
}

// DefaultSilhouetteParams measures at most 5,000 rows.
func DefaultSilhouetteParams() SilhouetteParams {
	return SilhouetteParams{Sample: 5000, Seed: 1, Workers: 1}
}

// Validate reports every fault at once.
func (p SilhouetteParams) Validate() error {
	var errs faults
	errs.atLeast("Sample", p.Sample, 2)
	errs.atLeast("Workers", p.Workers, 1)
	return errs.join()
}

// Silhouette is the mean over rows of (b-a)/max(a,b), in [-1,1]: a is a row's
// mean Euclidean distance to the others of its cluster, b the least mean
// distance to the rows of another (Rousseeuw, J. Comput. Appl. Math. 20, 1987).
// A row alone in its cluster counts 0. It exists for 2 to n-1 clusters. On a
// sample the result is an estimate and depends on the order of the rows; which
// rows are drawn depends on their number and the seed only. Cost: O(m² d) for
// the m rows measured.
func Silhouette(ctx context.Context, p SilhouetteParams, x models.Matrix, labels []int) (value float64, ok bool, err error) {
	rows, err := Silhouettes(ctx, p, x, labels)
	if err != nil || rows == nil {
		return math.NaN(), false, err
	}
	var s numeric.Exact
	for _, r := range rows {
		s.Add(r.Value)
	}
	return s.Value() / float64(len(rows)), true, nil
}

// A RowSilhouette is the silhouette of one measured row.
type RowSilhouette struct {
	Row, Label int
	Value      float64 // in [-1,1]
}

// Silhouettes are the silhouettes of the measured rows, by ascending row; nil
// where Silhouette is not defined.
func Silhouettes(ctx context.Context, p SilhouetteParams, x models.Matrix, labels []int) ([]RowSilhouette, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if err := x.CheckFinite("metrics"); err != nil {
		return nil, err
	}
	n, d := x.Rows(), x.Cols()
	sameLength("rows and labels", n, len(labels))
	row := make([]int, 0, min(n, p.Sample))
	if n <= p.Sample {
		for i := range n {
			row = append(row, i)
		}
	} else {
		src := rand.NewPCG(p.Seed, 0)
		for i := range n {
			// Each row with probability still needed over still left (Vitter,
			// CACM 27, 1984, algorithm S).
			if below(src, n-i) < p.Sample-len(row) {
				row = append(row, i)
			}
		}
	}
	// The measured rows, laid out cluster by cluster.
	sub, subLabels := models.NewMatrix(x.Names, len(row)), make([]int, len(row))
	for s, i := range row {
		copy(sub.Row(s), x.Row(i))
		subLabels[s] = labels[i]
	}
	g, ok, err := group(sub, subLabels)
	if err != nil || !ok {
		return nil, err
	}
	packed := make([]float64, 0, len(sub.Data))
	for _, s := range g.order {
		packed = append(packed, sub.Row(s)...)
	}
	out := make([]RowSilhouette, len(row))
	const chunk = 64
	var next atomic.Int64
	work := func() {
		for ctx.Err() == nil {
			lo := (int(next.Add(1)) - 1) * chunk
			if lo >= len(row) {
				return
			}
			for s := lo; s < min(lo+chunk, len(row)); s++ {
				out[s] = RowSilhouette{row[s], subLabels[s], g.silhouette(packed, d, s)}
			}
		}
	}
	var wg sync.WaitGroup
	for range p.Workers - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("metrics: silhouette: %w", err)
	}
	return out, nil
}

func (g *grouped) silhouette(packed []float64, d, s int) float64 {
	own := g.dense[s]
	if g.size(own) == 1 {
		return 0
	}
	x := g.x.Row(s)
	var a float64
	b := math.Inf(1)
	for c := range g.k() {
		sum := sumDistances(x, packed[g.start[c]*d:g.start[c+1]*d])
		if c == own {
			a = sum / float64(g.size(c)-1) // the row's distance to itself is 0
		} else {
			b = min(b, sum/float64(g.size(c)))
		}
	}
	return ratio(a, b)
}

// ratio is (b-a)/max(a,b), and 0 when both are.
func ratio(a, b float64) float64 {
	if m := max(a, b); m > 0 {
		return (b - a) / m
	}
	return 0
}

// sumDistances adds the Euclidean distances from x to the rows of ys, four at
// a time so that their chains of additions overlap.
func sumDistances(x, ys []float64) float64 {
	d := len(x)
	var sum float64
	for len(ys) >= 4*d {
		y0, y1, y2, y3 := ys[:d], ys[d:2*d], ys[2*d:3*d], ys[3*d:4*d]
		y0, y1, y2, y3 = y0[:len(x)], y1[:len(x)], y2[:len(x)], y3[:len(x)]
		var s0, s1, s2, s3 float64
		for j, v := range x {
			t0, t1, t2, t3 := v-y0[j], v-y1[j], v-y2[j], v-y3[j]
			s0 += float64(t0 * t0)
			s1 += float64(t1 * t1)
			s2 += float64(t2 * t2)
			s3 += float64(t3 * t3)
		}
		sum += (math.Sqrt(s0) + math.Sqrt(s1)) + (math.Sqrt(s2) + math.Sqrt(s3))
		ys = ys[4*d:]
	}
	for ; len(ys) > 0; ys = ys[d:] {
		sum += math.Sqrt(squaredDistance(x, ys[:d]))
	}
	return sum
}

// SimplifiedSilhouette is the silhouette with distances to cluster centres in
// place of mean distances to their rows (Hruschka, de Castro and Campello,
// ICDM 2004): linear in n, so it is affordable on every row, and higher than
// the exact one. labels are row numbers of centres, k×d, k ≥ 2.
func SimplifiedSilhouette(x models.Matrix, labels []int, centres models.Matrix) (value float64, ok bool, err error) {
	if err := x.CheckFinite("metrics"); err != nil {
		return math.NaN(), false, err
	}
	if err := centres.CheckFinite("metrics: centres"); err != nil {
		return math.NaN(), false, err
	}
	sameLength("rows and labels", x.Rows(), len(labels))
	sameLength("columns of rows and centres", x.Cols(), centres.Cols())
	k := centres.Rows()
	if k < 2 {
		v, ok := undefined()
		return v, ok, nil
	}
	var s numeric.Exact
	for i, l := range labels {
		if l < 0 || l >= k {
			return math.NaN(), false, fmt.Errorf("metrics: row %d has label %d; want one of the %d centres", i, l, k)
		}
		a, b := math.Sqrt(squaredDistance(x.Row(i), centres.Row(l))), math.Inf(1)
		for c := range k {
			if c != l {
				b = min(b, squaredDistance(x.Row(i), centres.Row(c)))
			}
		}
		s.Add(ratio(a, math.Sqrt(b)))
	}
	return s.Value() / float64(len(labels)), true, nil
}

// A squared distance below this part of the squared norms is what rounding a
// mean leaves between it and the equal rows it is the mean of.
const negligible = 0x1p-100

func sumOfSquares(x models.Matrix) float64 {
	var s numeric.Exact
	for _, v := range x.Data {
		s.Add(v * v)
	}
	return s.Value()
}

// CalinskiHarabasz is the variance between clusters over that within, each per
// degree of freedom: (B/(k-1)) / (W/(n-k)), ≥ 0, higher is better (Calinski and
// Harabasz, Commun. Stat. 3, 1974, eq. 3). It is 1 when no cluster has any
// spread, and exists for 2 to n-1 clusters.
func CalinskiHarabasz(x models.Matrix, labels []int) (value float64, ok bool, err error) {
	g, ok, err := group(x, labels)
	if err != nil || !ok {
		return math.NaN(), false, err
	}
	n, k := x.Rows(), g.k()
	means := g.means()
	grand := make([]float64, x.Cols())
	for j := range grand {
		grand[j] = numeric.Mean(x.Column(nil, j))
	}
	var between, within numeric.Exact
	for c := range k {
		between.Add(float64(g.size(c)) * squaredDistance(means.Row(c), grand))
		for _, i := range g.members(c) {
			within.Add(squaredDistance(x.Row(i), means.Row(c)))
		}
	}
	w := within.Value()
	if w <= negligible*sumOfSquares(x) {
		return 1, true, nil
	}
	return between.Value() / w * float64(n-k) / float64(k-1), true, nil
}

// DaviesBouldin is the mean over clusters of the worst (sᵢ+sⱼ)/dᵢⱼ, with s the
// mean distance of a cluster's rows to their mean and d the distance between
// two means: ≥ 0, lower is better (Davies and Bouldin, IEEE PAMI 1, 1979,
// with p = 2, q = 1). Two clusters with the same mean do not count against each
// other. It exists for 2 to n-1 clusters.
func DaviesBouldin(x models.Matrix, labels []int) (value float64, ok bool, err error) {
	g, ok, err := group(x, labels)
	if err != nil || !ok {
		return math.NaN(), false, err
	}
	means := g.means()
	spread := make([]float64, g.k())
	for c := range spread {
		var s numeric.Exact
		for _, i := range g.members(c) {
			s.Add(math.Sqrt(squaredDistance(x.Row(i), means.Row(c))))
		}
		spread[c] = s.Value() / float64(g.size(c))
	}
	least := negligible * sumOfSquares(means)
	var sum numeric.Exact
	for c := range spread {
		worst := 0.
		for o := range spread {
			if apart := squaredDistance(means.Row(c), means.Row(o)); apart > least {
				worst = max(worst, (spread[c]+spread[o])/math.Sqrt(apart))
			}
		}
		sum.Add(worst)
	}
	return sum.Value() / float64(g.k()), true, nil
}

// ARI is the Rand index of two labellings of the same rows, adjusted for
// chance: 1 when they are the same partition, 0 on average for unrelated ones
// (Hubert and Arabie, J. Classif. 2, 1985, eq. 5). Labels are any integers. Two
// partitions that are both one cluster, or both all singletons, agree: 1. It
// exists for at least one row.
func ARI(a, b []int) (value float64, ok bool) {
	sameLength("labellings", len(a), len(b))
	if len(a) == 0 {
		return undefined()
	}
	joint := map[[2]int]int64{}
	inA, inB := map[int]int64{}, map[int]int64{}
	for i := range a {
		joint[[2]int{a[i], b[i]}]++
		inA[a[i]]++
		inB[b[i]]++
	}
	// Counts of pairs are integers: below 2^63 up to 3·10⁹ rows, and exact.
	pairs := func(n int64) int64 { return n * (n - 1) / 2 }
	var both, sa, sb int64
	for _, n := range joint {
		both += pairs(n)
	}
	for _, n := range inA {
		sa += pairs(n)
	}
	for _, n := range inB {
		sb += pairs(n)
	}
	if both == sa && both == sb {
		return 1, true
	}
	expected := float64(sa) * (float64(sb) / float64(pairs(int64(len(a)))))
	return (float64(both) - expected) / (float64(sa)/2 + float64(sb)/2 - expected), true
}

// below is uniform on [0,n), with a bias under n·2⁻⁶⁴. PCG's outputs for a seed
// are fixed by its definition; rand.Rand's derived methods promise no such thing.
func below(src *rand.PCG, n int) int {
	hi, _ := bits.Mul64(src.Uint64(), uint64(n))
	return int(hi)
}
