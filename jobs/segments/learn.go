package segments

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/shoal-data/shoal/jobs/segments/passes"
	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/clustercount"
	"github.com/shoal-data/shoal/models/kmeans"
	"github.com/shoal-data/shoal/models/transform"
)

// coldGain is how much lower the inertia of a cold start must be for it to
// replace the segments of the run before: ids that stay are worth a little fit.
const coldGain = 0.01

// learn prepares the active, chooses a number of segments and fits them, from
// the segments of the run before where that is no worse.
func (d *division) learn(ctx context.Context, x passes.Table) error {
	prepared, z, err := d.prepare(ctx, x)
	if err != nil {
		return err
	}
	fit := kmeans.DefaultParams()
	fit.K, fit.Restarts, fit.Seed, fit.Workers = d.K.N, d.Restarts, d.Seed, d.Workers
	if d.K.Auto {
		if fit.K, err = d.choose(ctx, z); err != nil {
			return err
		}
		if fit.K == 0 {
			if fitted := d.fitted(); len(d.active)*2 < fitted {
				return fmt.Errorf("the %d active customers, fewer than half of the %d that the stored segments were fitted to, support no segments of their own", len(d.active), fitted)
			}
			d.None = fmt.Sprintf("the data support no segments: no division into %d to %d comes out again of resamples and is more than that of one cloud of customers (%s)", d.KMin, d.KMax, d.allTheSame())
			d.forget()
			return nil
		}
		if prepared, fit.K, err = d.weigh(ctx, prepared, z, fit); err != nil {
			return err
		}
		// What is fitted is, to the bit, what the stored preparation will make of rows.
		if z, err = d.ready(ctx, prepared, x); err != nil {
			return err
		}
	}
	cold, result, warnings, err := cluster(ctx, fit, z, kmeans.Options{})
	if err != nil {
		return err
	}
	model := cold
	start, err := d.warmStart(ctx, z)
	if err != nil {
		return err
	}
	if start.Rows() == fit.K {
		warm, again, more, err := cluster(ctx, fit, z, kmeans.Options{Start: start})
		if err != nil {
			return err
		}
		if again.Inertia <= (1+coldGain)*result.Inertia {
			model, warnings = warm, more
		}
	}
	d.warnings = append(d.warnings, warnings...)
	return d.use(ctx, prepared, model, z)
}

// fitted is how many customers the stored centres are the means of, 0 without any. On a
// night of a few customers nothing can be found, which says nothing of the many.
func (d *division) fitted() int {
	if d.model == nil {
		return 0
	}
	customers := 0.0
	for _, w := range d.model.Weights() {
		customers += w
	}
	return int(customers)
}

const (
	measured    = .02 // of a prediction strength is chance: other halves differ by as much
	leastWithin = .2  // least standard deviation within segments, of one of everybody
)

// weigh lets a column count by how alike the customers of one segment are in it. A
// z-score counts every column the same: one that tells nobody apart as much as one in
// which segments lie far from each other, and the farther they lie the more they
// themselves widen it. So the columns are divided by their pooled standard deviation
// within the k segments found, and the customers divided anew. Halves must predict
// each other's segments at least as well as before, or the columns stay as they were:
// what is no segment becomes none by this.
func (d *division) weigh(ctx context.Context, prepared *transform.Model, z passes.Rows, fit kmeans.Params) (*transform.Model, int, error) {
	var labels []int
	if d.model != nil && d.model.K() == fit.K {
		labels = d.was // columns count tonight as they do for the segments there are
	}
	for {
		if labels == nil {
			_, result, _, err := cluster(ctx, fit, z, kmeans.Options{})
			if err != nil {
				return nil, 0, err
			}
			labels = result.Labels
		}
		weights, weighed, err := reweigh(ctx, z, labels, fit.K)
		if err != nil {
			return nil, 0, err
		}
		k := 0
		curve, support, before := d.Curve, d.Support, d.candidate(fit.K)
		if weights != nil {
			if k, err = d.choose(ctx, weighed); err != nil {
				return nil, 0, err
			}
		}
		same := d.candidate(fit.K)
		if k == 0 || same == nil || same.Support == clustercount.None || !(same.Strength >= before.Strength-measured) {
			d.Curve, d.Support = curve, support
			return prepared, fit.K, nil
		}
		if prepared, err = prepared.Weighted(weights); err != nil {
			return nil, 0, err
		}
		if k <= fit.K {
			d.settle(k, fit.K)
			return prepared, fit.K, nil
		}
		// More segments were hidden by columns that tell nothing: now columns count by these.
		z, fit.K, labels = weighed, k, nil
	}
}

// allTheSame says what a fixed number would do where customers are one cloud: the largest
// whose every segment comes out again of resamples cuts it the same way tomorrow.
func (d *division) allTheSame() string {
	p := clustercount.DefaultParams()
	for _, c := range slices.Backward(d.Curve) {
		if c.Jaccard >= p.Stable && c.Strength >= p.FairStrength {
			return fmt.Sprintf("k: %d divides them all the same, and steadily: Jaccard %.2f", c.K, c.Jaccard)
		}
	}
	return "a number as k divides them all the same"
}

// settle takes a number for which a smaller one was chosen: gaps that are wider now are
// no reason to join what was told apart without them.
func (d *division) settle(chosen, k int) {
	if chosen == k {
		return
	}
	c, f := d.candidate(chosen), d.candidate(k)
	c.Why = strings.TrimPrefix(c.Why, "chosen: ") + fmt.Sprintf(", but the division into %d tells more", k)
	f.Why = "chosen: " + strings.Split(f.Why, ", but the division into ")[0]
	d.Support = f.Support
}

// reweigh divides the columns by their standard deviations within the segments of the
// labels. The weights are nil where a segment is nobody's.
func reweigh(ctx context.Context, z passes.Rows, labels []int, k int) (weights []float64, weighed passes.Rows, err error) {
	m, err := means(ctx, z, labels, k)
	if err != nil || m.Rows() < k {
		return nil, z, err
	}
	if weights, err = within(ctx, z, labels, k); err != nil {
		return nil, nil, err
	}
	return weights, passes.Weighed(z, weights), nil
}

// candidate is what was found for a number of segments; nil for one not tried.
func (d *division) candidate(k int) *clustercount.Candidate {
	for i := range d.Curve {
		if d.Curve[i].K == k {
			return &d.Curve[i]
		}
	}
	return nil
}

// means are those of the rows of each label that some row has.
func means(ctx context.Context, z passes.Rows, labels []int, k int) (models.Matrix, error) {
	sums, counts := models.NewMatrix(z.Names(), k), make([]float64, k)
	err := passes.Each(ctx, z, func(i int, row []float64) {
		counts[labels[i]]++
		to := sums.Row(labels[i])
		for j, v := range row {
			to[j] += v
		}
	})
	m := models.Matrix{Names: z.Names()}
	for l, n := range counts {
		if n == 0 {
			continue
		}
		for _, v := range sums.Row(l) {
			m.Data = append(m.Data, v/n)
		}
	}
	return m, err
}

// within are the weights of columns: the inverse of their standard deviations within
// the segments, such that their squares add up to the number of columns.
func within(ctx context.Context, z passes.Rows, labels []int, k int) ([]float64, error) {
	w := len(z.Names())
	sums, squares, counts := make([]float64, k*w), make([]float64, w), make([]float64, k)
	err := passes.Each(ctx, z, func(i int, row []float64) {
		l := labels[i]
		counts[l]++
		for j, v := range row {
			sums[l*w+j] += v
			squares[j] += float64(v * v)
		}
	})
	weights, total := make([]float64, w), 0.0
	for j := range weights {
		between := 0.0
		for l, n := range counts {
			if n > 0 {
				between += float64(sums[l*w+j] / n * sums[l*w+j])
			}
		}
		rest := max(squares[j]-between, float64(leastWithin*leastWithin)*squares[j]) // columns have mean 0
		weights[j] = math.Sqrt(float64(z.Rows()) / rest)
		total += float64(weights[j] * weights[j])
	}
	for j := range weights {
		weights[j] *= math.Sqrt(float64(w) / total)
	}
	return weights, err
}

// alike is the correlation from which two prepared columns tell the same story.
const alike = 0.9

// prepare brings the features onto one scale. Of columns that tell the same story
// only the first, in the order given, is kept: behaviour counts once however many
// features measure it.
func (d *division) prepare(ctx context.Context, x passes.Table) (*transform.Model, passes.Rows, error) {
	tp := transform.DefaultParams()
	tp.Workers = d.columnsAtOnce()
	tp.FitScale = true
	tp.SkewLimit = 0.5   // counts and money are skewed; distances should not be ruled by their tails
	tp.SparseShare = 0.5 // nor by what few customers do
	fit := func(names []string) (*transform.Model, []models.Warning, error) {
		return transform.FitColumns(ctx, tp, names, x.Rows(), func(j int) ([]float64, error) {
			return passes.Column(x, slices.Index(d.names, names[j]))
		})
	}
	prepared, warnings, err := fit(d.names)
	if err != nil {
		return nil, nil, err
	}
	z, err := d.ready(ctx, prepared, x)
	if err != nil {
		return nil, nil, err
	}
	keep, dropped, err := distinct(ctx, z)
	if err != nil {
		return nil, nil, err
	}
	if len(dropped) > 0 {
		if prepared, _, err = fit(keep); err != nil {
			return nil, nil, err
		}
		if z, err = d.ready(ctx, prepared, x); err != nil {
			return nil, nil, err
		}
	}
	if len(d.Params.Features) > 0 { // a person named the features: say which are of no use
		d.warnings = append(append(d.warnings, warnings...), dropped...)
	}
	return prepared, z, nil
}

// distinct lists the columns that no earlier one stands for.
func distinct(ctx context.Context, z passes.Rows) (keep []string, dropped []models.Warning, err error) {
	names := z.Names()
	w := len(names)
	products := make([]float64, w*w) // summed over rows, of columns j and k <= j; columns have mean 0
	err = passes.Each(ctx, z, func(_ int, row []float64) {
		for j, a := range row {
			sums := products[j*w : j*w+j+1]
			for k, b := range row[:j+1] {
				sums[k] += float64(a * b)
			}
		}
	})
	if err != nil {
		return nil, nil, err
	}
	var kept []int
	for j := range w {
		like := slices.IndexFunc(kept, func(k int) bool {
			return math.Abs(products[j*w+k]) >= alike*math.Sqrt(products[j*w+j]*products[k*w+k])
		})
		if like < 0 {
			kept = append(kept, j)
			keep = append(keep, names[j])
			continue
		}
		dropped = append(dropped, models.Warning{Code: "segments.columns_alike", Message: fmt.Sprintf(
			"column %s was left out: it goes with %s (correlation %.2f or more)", names[j], names[kept[like]], alike)})
	}
	return keep, dropped, nil
}

// choose is the number of segments that the data support, 0 for none. That of
// the run before stays while it is not clearly worse, so that it does not change
// with the weather.
func (d *division) choose(ctx context.Context, z passes.Rows) (int, error) {
	cp := clustercount.DefaultParams()
	cp.KMin, cp.KMax, cp.MinShare = d.KMin, d.KMax, d.MinShare
	cp.Fit.Seed, cp.Fit.Workers = d.Seed, d.Workers
	sample, err := passes.Gather(ctx, z, clustercount.Draw(z.Rows(), cp.Sample, cp.Fit.Seed))
	if err != nil {
		return 0, err
	}
	c, err := clustercount.Choose(ctx, cp, sample)
	if err != nil {
		return 0, err
	}
	d.Curve, d.Support = c.Curve, c.Support
	if d.model == nil || c.K == d.model.K() {
		return c.K, nil
	}
	keep := func(was *clustercount.Candidate) (int, error) {
		for i := range d.Curve {
			if f := &d.Curve[i]; f.K == c.K {
				f.Why = strings.Replace(f.Why, "chosen: ", "would be chosen, but the number of the run before can stay: ", 1)
			}
		}
		was.Why = "kept from the run before: " + was.Why
		return was.K, nil
	}
	for i := range d.Curve {
		was := &d.Curve[i]
		// Segments with gaps between them replace those without at once; else those of
		// the run before stay until they are not to be trusted any more.
		if was.K == d.model.K() && was.Support == clustercount.None && c.Support != clustercount.Separated &&
			was.Jaccard >= stayStable && was.MinShare >= d.MinShare/2 {
			return keep(was)
		}
		if was.K == d.model.K() && was.Support == c.Support && was.Support == clustercount.Stable {
			return keep(was)
		}
	}
	return c.K, nil
}

// stayStable is the bootstrap Jaccard below which clusters are not to be trusted
// (Hennig 2007).
const stayStable = 0.6

// warmStart are the means, in tonight's prepared space, of the customers that
// the stored centres are nearest to.
func (d *division) warmStart(ctx context.Context, z passes.Rows) (models.Matrix, error) {
	if d.model == nil {
		return models.Matrix{}, nil
	}
	return means(ctx, z, d.was, d.model.K())
}
