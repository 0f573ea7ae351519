package kmeans

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/metrics"
)

// ChooseParams says how a number of clusters is chosen. Start from
// DefaultChooseParams.
type ChooseParams struct {
	KMin, KMax int     // candidates, 2 ≤ KMin ≤ KMax
	Bootstraps int     // resamples a candidate, ≥ 2
	Stable     float64 // least mean Jaccard similarity of every cluster, in (0,1]
	// Clear is the least silhouette, as a share of the best candidate's, in
	// [0,1]: halving clear clusters can be stable too, but blurs them.
	Clear    float64
	MinShare float64 // least share of the rows in every cluster, in [0,0.5]
	Sample   int     // rows used at most, ≥ 100; drawn without replacement
	Fit      Params  // of every fit; its K is not used
}

// DefaultChooseParams asks for a mean bootstrap Jaccard of .75 in every cluster,
// the limit for a stable cluster of Hennig, "Cluster-wise assessment of cluster
// stability", Computational Statistics & Data Analysis 52 (2007).
func DefaultChooseParams() ChooseParams {
	fit := DefaultParams()
	fit.Restarts = 4
	fit.MaxIter = 100
	return ChooseParams{KMin: 2, KMax: 10, Bootstraps: 12, Stable: 0.75, Clear: 0.5, MinShare: 0.02, Sample: 2000, Fit: fit}
}

// Validate reports every fault at once.
func (p ChooseParams) Validate() error {
	var faults []string
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	check(p.KMin >= 2, "KMin (%d) must be >= 2", p.KMin)
	check(p.KMax >= p.KMin, "KMax (%d) must be >= KMin (%d)", p.KMax, p.KMin)
	check(p.Bootstraps >= 2, "Bootstraps (%d) must be >= 2", p.Bootstraps)
	check(p.Stable > 0 && p.Stable <= 1, "Stable (%v) must be in (0,1]", p.Stable)
	check(p.Clear >= 0 && p.Clear <= 1, "Clear (%v) must be in [0,1]", p.Clear)
	check(p.MinShare >= 0 && p.MinShare <= 0.5, "MinShare (%v) must be in [0,0.5]", p.MinShare)
	check(p.Sample >= 100, "Sample (%d) must be >= 100", p.Sample)
	if faults != nil {
		return fmt.Errorf("kmeans: %s", strings.Join(faults, "; "))
	}
	return nil
}

// A Candidate is what was found for one number of clusters.
type Candidate struct {
	K          int
	Rows       int     // of the sample
	Inertia    float64 // of the sample
	Silhouette float64 // mean over the sample
	Jaccard    float64 // mean bootstrap Jaccard of the least stable cluster, in [0,1]
	// Strength is the prediction strength: two halves of the sample are clustered,
	// and this share of the pairs that one half puts together is also put
	// together by the centres of the other, in the worst cluster, on average
	// (Tibshirani and Walther, J. Comput. Graph. Stat. 14, 2005). From .8 on
	// clusters are well separated.
	Strength float64
	MinShare float64 // share of the sample in the smallest cluster
	Passes   bool    // stable, clear, and no cluster too small
}

// Choose measures every candidate number of clusters on a sample of x and
// picks the largest that passes. When none does, it picks the one of the
// highest silhouette among those whose clusters are large enough, or else of
// all, and warns. The result depends on the seed of the fits, not on workers.
func Choose(ctx context.Context, p ChooseParams, x models.Matrix) (k int, curve []Candidate, warnings []models.Warning, err error) {
	if err := p.Validate(); err != nil {
		return 0, nil, nil, err
	}
	sample := drawRows(x, p.Sample, p.Fit.Seed)
	n := sample.Rows()
	if n <= p.KMin {
		return 0, nil, nil, fmt.Errorf("kmeans: %d rows are too few to choose a number of clusters from %d up", n, p.KMin)
	}
	for k := p.KMin; k <= min(p.KMax, n-1); k++ {
		c, err := assess(ctx, p, sample, k)
		if err != nil {
			if len(curve) > 0 { // fewer distinct rows than clusters: larger k fail too
				break
			}
			return 0, nil, nil, err
		}
		curve = append(curve, c)
	}
	best, clearest := -1, 0.0
	for _, c := range curve {
		clearest = max(clearest, c.Silhouette)
	}
	for i := range curve {
		c := &curve[i]
		c.Passes = c.Jaccard >= p.Stable && c.MinShare >= p.MinShare && c.Silhouette >= p.Clear*clearest
		if c.Passes {
			best = i
		}
	}
	if best < 0 {
		roomy := func(c Candidate) bool { return c.MinShare >= p.MinShare }
		for i, c := range curve {
			if best < 0 || roomy(c) && !roomy(curve[best]) || roomy(c) == roomy(curve[best]) && c.Silhouette > curve[best].Silhouette {
				best = i
			}
		}
		warnings = append(warnings, models.Warning{Code: "kmeans.no_stable_k", Message: fmt.Sprintf(
			"no number of clusters from %d to %d is stable (mean bootstrap Jaccard of every cluster >= %.2f with at least %.1f%% of the rows in each); %d has the best silhouette, %.3f: treat these segments as a convenient division, not as structure in the data",
			p.KMin, curve[len(curve)-1].K, p.Stable, 100*p.MinShare, curve[best].K, curve[best].Silhouette)})
	}
	return curve[best].K, curve, warnings, nil
}

// assess clusters the sample and compares it with clusterings of resamples.
func assess(ctx context.Context, p ChooseParams, x models.Matrix, k int) (Candidate, error) {
	fit := p.Fit
	fit.K = k
	model, whole, _, err := Fit(ctx, fit, x)
	if err != nil {
		return Candidate{}, err
	}
	n := x.Rows()
	c := Candidate{K: k, Rows: n, Inertia: whole.Inertia, MinShare: 1}
	for _, w := range model.Weights() {
		c.MinShare = min(c.MinShare, w/float64(n))
	}
	sp := metrics.DefaultSilhouetteParams()
	sp.Workers = fit.Workers
	s, ok, err := metrics.Silhouette(ctx, sp, x, whole.Labels)
	if err != nil {
		return Candidate{}, err
	}
	c.Silhouette = math.NaN()
	if ok {
		c.Silhouette = s
	}

	sums := make([]float64, k)
	fit.Restarts = 2
	for b := range p.Bootstraps {
		r := rand.New(rand.NewPCG(fit.Seed, uint64(k)<<32|uint64(b)))
		weights := make([]float64, n)
		for range n {
			weights[r.IntN(n)]++
		}
		fit.Seed++
		_, again, _, err := FitWith(ctx, fit, x, Options{Weights: weights})
		if err != nil {
			return Candidate{}, err
		}
		for i, j := range bestJaccard(whole.Labels, again.Labels, weights, k) {
			sums[i] += j
		}
	}
	c.Jaccard = 1
	for _, s := range sums {
		c.Jaccard = min(c.Jaccard, s/float64(p.Bootstraps))
	}
	c.Strength, err = strength(ctx, p, x, k)
	return c, err
}

// splits is over how many divisions into halves prediction strength is averaged.
const splits = 5

// strength is the prediction strength of k clusters; NaN when a half cannot be
// divided into that many.
func strength(ctx context.Context, p ChooseParams, x models.Matrix, k int) (float64, error) {
	fit := p.Fit
	fit.K, fit.Restarts = k, 2
	n, d := x.Rows(), x.Cols()
	if n/2 < k {
		return math.NaN(), nil
	}
	var sum float64
	for s := range splits {
		r := rand.New(rand.NewPCG(p.Fit.Seed, uint64(k)<<32|1<<31|uint64(s)))
		var halves [2]models.Matrix
		for h := range halves {
			halves[h] = models.Matrix{Names: x.Names, Data: make([]float64, 0, len(x.Data)/2+d)}
		}
		need := n / 2
		for i := range n { // selection sampling, Knuth vol. 2, algorithm S
			h := 1
			if r.Float64()*float64(n-i) < float64(need) {
				h, need = 0, need-1
			}
			halves[h].Data = append(halves[h].Data, x.Row(i)...)
		}
		fit.Seed++
		model, _, _, err := Fit(ctx, fit, halves[0])
		if err == nil {
			var own Result
			if _, own, _, err = Fit(ctx, fit, halves[1]); err == nil {
				other := make([]int, halves[1].Rows())
				if err := model.Predict(other, nil, halves[1]); err != nil {
					return 0, err
				}
				sum += pairsKept(own.Labels, other, k)
				continue
			}
		}
		if ctx.Err() != nil {
			return 0, err
		}
		return math.NaN(), nil // a half has fewer distinct rows than clusters
	}
	return sum / splits, nil
}

// pairsKept is, in the worst cluster of a with two rows or more, the share of its
// pairs that b puts together, too.
func pairsKept(a, b []int, k int) float64 {
	both := make([]int, k*k)
	for i := range a {
		both[a[i]*k+b[i]]++
	}
	worst := 1.0
	for i := range k {
		var n, kept int
		for _, m := range both[i*k : (i+1)*k] {
			n += m
			kept += m * (m - 1)
		}
		if n > 1 {
			worst = min(worst, float64(kept)/float64(n*(n-1)))
		}
	}
	return worst
}

// bestJaccard is, for each cluster of a, the highest Jaccard similarity with a
// cluster of b over the rows that were drawn.
func bestJaccard(a, b []int, drawn []float64, k int) []float64 {
	both := make([]float64, k*k)
	inA, inB := make([]float64, k), make([]float64, k)
	for i, w := range drawn {
		if w > 0 {
			both[a[i]*k+b[i]]++
			inA[a[i]]++
			inB[b[i]]++
		}
	}
	best := make([]float64, k)
	for i := range k {
		for j := range k {
			if union := inA[i] + inB[j] - both[i*k+j]; union > 0 {
				best[i] = max(best[i], both[i*k+j]/union)
			}
		}
	}
	return best
}

// drawRows draws m rows without replacement and keeps their order.
func drawRows(x models.Matrix, m int, seed uint64) models.Matrix {
	n, d := x.Rows(), x.Cols()
	if n <= m {
		return x
	}
	r := rand.New(rand.NewPCG(seed, 0x5eed))
	out := models.NewMatrix(x.Names, m)
	need := m
	for i := range n { // selection sampling, Knuth vol. 2, algorithm S
		if r.Float64()*float64(n-i) < float64(need) {
			copy(out.Data[(m-need)*d:], x.Row(i))
			if need--; need == 0 {
				break
			}
		}
	}
	return out
}
