// Package clustercount finds how many clusters k-means should make of data, and
// whether the data hold any: clusters must come out again of resamples, and be
// more than any division of one cloud would be.
package clustercount

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/kmeans"
	"github.com/shoal-data/shoal/models/metrics"
)

// Params says how a number of clusters is chosen. Start from DefaultParams.
type Params struct {
	KMin, KMax int // candidates, 2 ≤ KMin ≤ KMax
	Bootstraps int // resamples a candidate, ≥ 2
	Nulls      int // simulated clouds that a candidate is compared with, of each kind, ≥ 5
	// Stable is the least mean Jaccard similarity of every cluster with its like in
	// a resample, in (0,1]; HighlyStable is that of clusters without gaps that are
	// only a little tighter than those of a cloud.
	Stable, HighlyStable float64
	// Gap is the least dip, times the root of the number of rows, of the rows of any
	// two clusters along the line of their centres, ≥ 0: below it there is no gap.
	Gap float64
	// Strength is the least prediction strength of clusters with gaps, in (0,1], and
	// FairStrength that of clusters without.
	Strength, FairStrength float64
	MinShare               float64       // least share of the rows in every cluster, in [0,0.5]
	Sample                 int           // rows used at most, ≥ 100; drawn without replacement
	Fit                    kmeans.Params // of every fit; its K is not used
}

// DefaultParams asks for a mean bootstrap Jaccard of .75 in every cluster, .85
// without gaps: the limits of stable and highly stable clusters of Hennig,
// "Cluster-wise assessment of cluster stability", Computational Statistics & Data
// Analysis 52 (2007); and for a prediction strength of .8, that of Tibshirani and
// Walther, of .5 without gaps. A dip of .6/√n is beyond the .99 quantile of one
// even cloud.
func DefaultParams() Params {
	fit := kmeans.DefaultParams()
	fit.Restarts = 6
	fit.MaxIter = 100
	return Params{
		KMin: 2, KMax: 10, Bootstraps: 12, Nulls: 12, Stable: .75, HighlyStable: .85, Gap: .6, Strength: .8, FairStrength: .5,
		MinShare: .02, Sample: 2000, Fit: fit,
	}
}

// Validate reports every fault at once.
func (p Params) Validate() error {
	var faults []string
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	share := func(v float64) bool { return v > 0 && v <= 1 }
	check(p.KMin >= 2, "KMin (%d) must be >= 2", p.KMin)
	check(p.KMax >= p.KMin, "KMax (%d) must be >= KMin (%d)", p.KMax, p.KMin)
	check(p.Bootstraps >= 2, "Bootstraps (%d) must be >= 2", p.Bootstraps)
	check(p.Nulls >= 5, "Nulls (%d) must be >= 5", p.Nulls)
	check(share(p.Stable), "Stable (%v) must be in (0,1]", p.Stable)
	check(share(p.HighlyStable), "HighlyStable (%v) must be in (0,1]", p.HighlyStable)
	check(p.Gap >= 0, "Gap (%v) must be >= 0", p.Gap)
	check(share(p.Strength), "Strength (%v) must be in (0,1]", p.Strength)
	check(share(p.FairStrength), "FairStrength (%v) must be in (0,1]", p.FairStrength)
	check(p.MinShare >= 0 && p.MinShare <= 0.5, "MinShare (%v) must be in [0,0.5]", p.MinShare)
	check(p.Sample >= 100, "Sample (%d) must be >= 100", p.Sample)
	if faults != nil {
		return fmt.Errorf("clustercount: %s", strings.Join(faults, "; "))
	}
	return nil
}

// Support is how data support a number of clusters.
type Support string

// Kinds of support, after the natural, reproducible and constructive segments of
// Dolnicar and Leisch (Marketing Letters 21, 2010).
const (
	Separated Support = "separated" // stable clusters with gaps between them
	Stable    Support = "stable"    // no gaps, but the same division comes out again, and of no mere cloud
	None      Support = "none"      // neither
)

// A Candidate is what was found for one number of clusters, in a sample.
type Candidate struct {
	K          int
	Rows       int // of the sample
	Inertia    float64
	Silhouette float64
	Simplified float64 // silhouette to centres
	Calinski   float64 // Calinski-Harabasz
	Davies     float64 // Davies-Bouldin
	Jaccard    float64 // mean bootstrap Jaccard of the least stable cluster, in [0,1]
	// Strength is the prediction strength: two halves of the sample are clustered,
	// and this share of the pairs that one half puts together is also put
	// together by the centres of the other, in the worst cluster, on average
	// (Tibshirani and Walther, J. Comput. Graph. Stat. 14, 2005). From .8 on
	// clusters are well separated.
	Strength float64
	MinShare float64 // share of the sample in the smallest cluster
	Gap      float64 // least √n·dip of two clusters along the line of their centres
	// Gaussian and Marginal compare with clouds that no cluster was put in: of
	// the same covariances, and of the same distributions of columns besides. They
	// are NaN where the candidate had failed before.
	Gaussian, Marginal Excess
	Support            Support
	Why                string // in one sentence
}

// Excess is how much tighter clusters are than those of a simulated cloud.
type Excess struct {
	Tighter float64 // logarithm of the mean inertia of the cloud's clusters over the data's
	Score   float64 // the same in standard deviations over clouds
	Gap     float64 // greatest least gap in any of the clouds
}

var untested = Excess{math.NaN(), math.NaN(), math.NaN()}

// A Choice is how many clusters there should be.
type Choice struct {
	K       int // 0 when the data support none
	Support Support
	Curve   []Candidate
}

// Choose measures every candidate number of clusters on a sample of x. It picks
// the largest whose clusters have gaps between them, unless a larger one that is
// stable is much more unlike a cloud; or else the largest that is
// highly stable and unlike a cloud, or else none. The result depends on the seed
// of the fits, not on workers.
func Choose(ctx context.Context, p Params, x models.Matrix) (Choice, error) {
	if err := p.Validate(); err != nil {
		return Choice{}, err
	}
	if err := x.CheckFinite("clustercount"); err != nil {
		return Choice{}, err
	}
	sample := drawRows(x, p.Sample, p.Fit.Seed)
	n := sample.Rows()
	if n <= p.KMin {
		return Choice{}, fmt.Errorf("clustercount: %d rows are too few to choose a number of clusters from %d up", n, p.KMin)
	}
	c := Choice{Support: None}
	var clouds *clouds // only when they are asked for
	for k := p.KMin; k <= min(p.KMax, n-1); k++ {
		candidate, err := assess(ctx, p, sample, k)
		if err != nil {
			if len(c.Curve) > 0 && ctx.Err() == nil { // fewer distinct rows than clusters: larger k fail too
				break
			}
			return Choice{}, err
		}
		if candidate.Jaccard >= p.Stable && candidate.MinShare >= p.MinShare { // else it has failed
			if clouds == nil {
				clouds = simulate(p, sample)
			}
			if err := clouds.compare(ctx, p, &candidate); err != nil {
				return Choice{}, err
			}
			candidate.Support, candidate.Why = p.verdict(candidate, clouds.continuous)
		} else {
			candidate.Why = p.failed(candidate)
		}
		c.Curve = append(c.Curve, candidate)
	}
	for _, found := range c.Curve {
		if found.Support == Separated || found.Support == Stable && c.Support != Separated {
			c.K, c.Support = found.K, found.Support
		}
	}
	// Gaps tell the largest differences. A finer division without them is taken where it
	// is more than the parts of those: its lead on a mere cloud's grows, and customers
	// lie better in it. Cutting what gaps surround would make their silhouettes worse.
	for i, coarse := 0, c.at(c.K); i < len(c.Curve) && c.Support != None; i++ {
		f := c.Curve[i]
		if coarse.Support == Separated && f.Support == Stable && f.K > c.K && f.Silhouette > coarse.Silhouette && f.Marginal.Tighter >= coarse.Marginal.Tighter+looseTight {
			c.K, c.Support = f.K, Stable
		}
	}
	for i := range c.Curve {
		switch f := &c.Curve[i]; {
		case f.K == c.K:
			f.Why = "chosen: " + f.Why
		case f.Support == None:
		case f.K < c.K:
			f.Why += fmt.Sprintf(", but the division into %d tells more", c.K)
		default:
			f.Why += fmt.Sprintf(", but the division into %d has gaps between its clusters", c.K)
		}
	}
	return c, nil
}

// at is the candidate of a number; the zero one where there is none.
func (c Choice) at(k int) Candidate {
	for _, f := range c.Curve {
		if f.K == k {
			return f
		}
	}
	return Candidate{}
}

// What makes clusters more than the division of a cloud: so many standard
// deviations tighter than those of a cloud of the same covariances, and of the
// same columns, and so much tighter, as a share. Clusters without gaps that are
// not highly stable must be less like a cloud.
const (
	gaussianScore = 3
	marginalScore = 4
	marginalTight = 0.02
	looseTight    = 0.05
)

// failed says why a candidate is not even compared with clouds.
func (p Params) failed(c Candidate) string {
	if c.MinShare < p.MinShare {
		return fmt.Sprintf("the smallest cluster has %.1f%% of the rows, less than %.1f%%", 100*c.MinShare, 100*p.MinShare)
	}
	return fmt.Sprintf("the least stable cluster does not come out again of resamples (Jaccard %.2f, below %.2f)", c.Jaccard, p.Stable)
}

// verdict judges a candidate that is stable, and says why. Gaps between few values
// of a column are none, so only where all columns are continuous do gaps speak for
// themselves.
func (p Params) verdict(c Candidate, continuous bool) (Support, string) {
	unlikeColumns := c.Marginal.Score >= marginalScore && c.Marginal.Tighter >= marginalTight
	switch {
	case !(c.Gaussian.Score >= gaussianScore):
		return None, fmt.Sprintf("no tighter than a division of one cloud (%.1f standard deviations, below %d)", c.Gaussian.Score, gaussianScore)
	case c.Gap >= p.Gap && c.Gap > c.Gaussian.Gap && c.Strength >= p.Strength && (unlikeColumns || continuous):
		return Separated, "stable, with gaps between any two clusters"
	case !unlikeColumns:
		return None, fmt.Sprintf("no tighter than a division of one cloud with the same columns (by %.1f%%)", 100*c.Marginal.Tighter)
	case !(c.Strength >= p.FairStrength):
		return None, fmt.Sprintf("halves of the rows do not predict each other's clusters (strength %.2f, below %.2f)", c.Strength, p.FairStrength)
	case c.Jaccard >= p.HighlyStable || c.Marginal.Tighter >= looseTight:
		return Stable, "stable and tighter than a division of one cloud, without gaps"
	}
	return None, fmt.Sprintf("without gaps, and neither highly stable (Jaccard %.2f, below %.2f) nor much tighter than a division of one cloud (by %.1f%%)", c.Jaccard, p.HighlyStable, 100*c.Marginal.Tighter)
}

// assess clusters the sample and compares it with clusterings of resamples.
func assess(ctx context.Context, p Params, x models.Matrix, k int) (Candidate, error) {
	fit := p.Fit
	fit.K = k
	model, whole, _, err := kmeans.Fit(ctx, fit, x)
	if err != nil {
		return Candidate{}, err
	}
	n := x.Rows()
	c := Candidate{K: k, Rows: n, Inertia: whole.Inertia, MinShare: 1, Gaussian: untested, Marginal: untested, Support: None}
	c.Gap = gap(x, whole.Labels, model.Centres())
	for _, w := range model.Weights() {
		c.MinShare = min(c.MinShare, w/float64(n))
	}
	sp := metrics.DefaultSilhouetteParams()
	sp.Workers = fit.Workers
	s, ok, err := metrics.Silhouette(ctx, sp, x, whole.Labels)
	if err != nil {
		return Candidate{}, err
	}
	c.Silhouette = defined(s, ok)
	if s, ok, err = metrics.SimplifiedSilhouette(x, whole.Labels, model.Centres()); err != nil {
		return Candidate{}, err
	}
	c.Simplified = defined(s, ok)
	if s, ok, err = metrics.CalinskiHarabasz(x, whole.Labels); err != nil {
		return Candidate{}, err
	}
	c.Calinski = defined(s, ok)
	if s, ok, err = metrics.DaviesBouldin(x, whole.Labels); err != nil {
		return Candidate{}, err
	}
	c.Davies = defined(s, ok)

	jaccards, err := resample(ctx, p, x, whole.Labels, k)
	if err != nil {
		return Candidate{}, err
	}
	c.Jaccard = slices.Min(jaccards)
	c.Strength, err = strength(ctx, p, x, k)
	return c, err
}

// resample divides resamples of x into k clusters, and is the mean Jaccard similarity
// of each of the labelled clusters with the one most like it.
func resample(ctx context.Context, p Params, x models.Matrix, labels []int, k int) ([]float64, error) {
	fit := p.Fit
	fit.K, fit.Restarts = k, refits
	n := x.Rows()
	means := make([]float64, k)
	for b := range p.Bootstraps {
		r := rand.New(rand.NewPCG(fit.Seed, uint64(k)<<32|uint64(b)))
		weights := make([]float64, n)
		for range n {
			weights[r.IntN(n)]++
		}
		fit.Seed++
		_, again, _, err := kmeans.FitWith(ctx, fit, x, kmeans.Options{Weights: weights})
		if err != nil {
			return nil, err
		}
		for i, j := range bestJaccard(labels, again.Labels, weights, k) {
			means[i] += j / float64(p.Bootstraps)
		}
	}
	return means, nil
}

// Stability is, for each cluster of a model, the mean Jaccard similarity with the one
// most like it when resamples of a sample of x are divided anew into as many: from
// .75 on a cluster is stable, below .6 it is not to be trusted, below .5 it dissolves
// (Hennig 2007). It is NaN for a cluster of which the sample has no row, and for all
// when the sample has too few distinct rows.
func Stability(ctx context.Context, p Params, x models.Matrix, m *kmeans.Model) ([]float64, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if err := x.CheckFinite("clustercount"); err != nil {
		return nil, err
	}
	sample := drawRows(x, p.Sample, p.Fit.Seed)
	labels, rows := make([]int, sample.Rows()), make([]int, m.K())
	if err := m.Predict(labels, nil, sample); err != nil {
		return nil, err
	}
	for _, l := range labels {
		rows[l]++
	}
	stability, err := resample(ctx, p, sample, labels, m.K())
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		stability = make([]float64, m.K())
		clear(rows)
	}
	for c, n := range rows {
		if n == 0 {
			stability[c] = math.NaN()
		}
	}
	return stability, nil
}

func defined(v float64, ok bool) float64 {
	if !ok {
		return math.NaN()
	}
	return v
}

// refits is how many starts a resample's fit has: clusters that k-means merely missed
// would look unstable.
const refits = 3

// splits is over how many divisions into halves prediction strength is averaged.
const splits = 5

// strength is the prediction strength of k clusters; NaN when a half cannot be
// divided into that many.
func strength(ctx context.Context, p Params, x models.Matrix, k int) (float64, error) {
	fit := p.Fit
	fit.K, fit.Restarts = k, refits
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
		model, _, _, err := kmeans.Fit(ctx, fit, halves[0])
		if err == nil {
			var own kmeans.Result
			if _, own, _, err = kmeans.Fit(ctx, fit, halves[1]); err == nil {
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
	if x.Rows() <= m {
		return x
	}
	out := models.NewMatrix(x.Names, m)
	for i, row := range Draw(x.Rows(), m, seed) {
		copy(out.Row(i), x.Row(row))
	}
	return out
}

// Draw is which m of n rows Choose and Stability go by, when m is the Sample and seed the
// Seed of their Params: given these rows alone, they come to the same.
func Draw(n, m int, seed uint64) []int {
	m = min(n, m)
	rows := make([]int, 0, m)
	r := rand.New(rand.NewPCG(seed, 0x5eed))
	for i := 0; len(rows) < m; i++ { // selection sampling, Knuth vol. 2, algorithm S
		if r.Float64()*float64(n-i) < float64(m-len(rows)) {
			rows = append(rows, i)
		}
	}
	return rows
}
