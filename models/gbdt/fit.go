package gbdt

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/gbdt/internal/grow"
	"github.com/shoal-data/shoal/models/gbdt/internal/kernel"
	"github.com/shoal-data/shoal/models/internal/numeric"
)

// Fit learns from n rows of x, NaN where a value is missing, and their labels.
// Warnings: gbdt.constant_columns, gbdt.no_splits.
func Fit(ctx context.Context, p Params, x models.Matrix, y []float64) (*Model, []models.Warning, error) {
	return FitSample(ctx, p, Sample{X: x, Y: y}, Sample{})
}

// FitSample is Fit with weights, and with a validation sample that tells when to
// stop: the model keeps the trees up to the least loss on it. Without rows it is
// not used. Further warning: gbdt.not_stopped.
func FitSample(ctx context.Context, p Params, train, valid Sample) (*Model, []models.Warning, error) {
	if err := p.Validate(); err != nil {
		return nil, nil, err
	}
	if err := train.check(p, ""); err != nil {
		return nil, nil, err
	}
	names := train.X.Names
	for name := range p.Monotone {
		if !slices.Contains(names, name) {
			return nil, nil, fmt.Errorf("gbdt: monotone column %q is not among the %d columns", name, len(names))
		}
	}
	validated := valid.X.Rows() > 0
	if validated {
		if err := valid.check(p, "validation: "); err != nil {
			return nil, nil, err
		}
		if !slices.Equal(valid.X.Names, names) {
			return nil, nil, fmt.Errorf("gbdt: the validation sample's columns are not the training sample's")
		}
	}
	if n := train.X.Rows(); n > math.MaxInt32 {
		return nil, nil, fmt.Errorf("gbdt: %d rows are more than %d", n, math.MaxInt32)
	}
	train = train.positive()
	table, err := grow.NewTable(ctx, p.settings(), train.X, train.W)
	if err != nil {
		return nil, nil, fmt.Errorf("gbdt: fit stopped: %w", err)
	}
	b, err := newBooster(p, table, names, train, nil)
	if err != nil {
		return nil, nil, err
	}
	var validate func() (float64, error)
	if validated {
		score := make([]float64, len(valid.Y))
		for i := range score {
			score[i] = b.model.Base
		}
		validate = func() (float64, error) { return b.validate(ctx, valid, score) }
	}
	return b.fit(ctx, validate)
}

// fit grows trees until there are enough, or until validate, which returns the loss
// after one more and may be nil, has not improved for long enough.
func (b *booster) fit(ctx context.Context, validate func() (float64, error)) (*Model, []models.Warning, error) {
	p, m := b.p, b.model
	names, validated := m.Names, validate != nil
	var warnings []models.Warning
	warn := func(code, format string, args ...any) {
		warnings = append(warnings, models.Warning{Code: "gbdt." + code, Message: fmt.Sprintf(format, args...)})
	}
	if used := b.table.Columns(); used < len(names) {
		var flat []string
		for j, varies := range b.table.Varies() {
			if !varies {
				flat = append(flat, names[j])
			}
		}
		warn("constant_columns", "%d of %d columns never vary and were not used: %s", len(flat), len(names), strings.Join(flat, ", "))
	}
	best := 0
	splits := 0
	for k := 0; k < p.Trees && b.table.Columns() > 0; k++ {
		if err := b.tree(ctx, k); err != nil {
			return nil, nil, fmt.Errorf("gbdt: fit stopped at tree %d: %w", k, err)
		}
		last := len(m.Trees) - 1
		n := len(m.Trees[last].Column)
		splits += n
		// The same rows and columns would leave every further tree alike.
		if n == 0 && p.RowFraction == 1 && p.ColumnFraction == 1 {
			m.Trees = m.Trees[:last]
			break
		}
		if validated {
			loss, err := validate()
			if err != nil {
				return nil, nil, fmt.Errorf("gbdt: fit stopped at tree %d: %w", k, err)
			}
			m.Validation = append(m.Validation, loss)
			if loss < m.Validation[best] {
				best = k
			}
			if k-best >= p.Patience {
				break
			}
		}
	}
	if validated && len(m.Trees) > 0 {
		if best == p.Trees-1 && p.Trees > 1 {
			warn("not_stopped", "the loss on the validation sample, %.6g, still fell with the last of %d trees; raise Trees or LearningRate", m.Validation[best], p.Trees)
		}
		m.Trees = m.Trees[:best+1]
	}
	if splits == 0 {
		warn("no_splits", "no split of %v rows gained anything, so every prediction is the same; there are too few rows for MinLeafRows %d, or the columns say nothing of the labels", m.Rows, p.MinLeafRows)
	}
	m.flatten()
	return m, warnings, nil
}

// positive leaves out rows of weight 0.
func (s Sample) positive() Sample {
	if !slices.Contains(s.W, 0) {
		return s
	}
	kept := Sample{X: models.Matrix{Names: s.X.Names}}
	for i, w := range s.W {
		if w > 0 {
			kept.X.Data = append(kept.X.Data, s.X.Row(i)...)
			kept.Y = append(kept.Y, s.Y[i])
			kept.W = append(kept.W, w)
		}
	}
	return kept
}

// A booster holds what outlives a tree.
type booster struct {
	p      Params
	sample Sample
	table  *grow.Table
	grower *grow.Grower
	model  *Model

	score  []float64
	fine   []int64
	coarse []int32
	scale  kernel.Scale
	weight float64 // the largest

	rows  []uint32 // that are learnt from; nil is all
	all   []uint32 // these, in the order of the leaves
	out   []uint32 // rows that were not drawn for this tree
	spare []uint32
}

// newBooster learns from those rows of the sample, nil being all, that lie in table.
func newBooster(p Params, table *grow.Table, names []string, s Sample, rows []uint32) (*booster, error) {
	n := len(s.Y)
	b := &booster{p: p, sample: s, table: table, rows: rows, weight: 1}
	learnt := n
	if rows != nil {
		learnt = len(rows)
	}
	var total, sum numeric.Exact
	for k := range learnt {
		i, w := b.row(k), 1.0
		y := s.Y[i]
		if s.W != nil {
			w = s.W[i]
		}
		total.Add(w)
		sum.Add(float64(w * y))
	}
	if s.W != nil {
		b.weight = slices.Max(s.W)
	}
	mean := sum.Value() / total.Value()
	m := &Model{
		Loss: p.Loss, Names: slices.Clone(names), Categorical: slices.Clone(p.Categorical), Rows: total.Value(),
	}
	switch p.Loss {
	case Logistic:
		if mean == 0 || mean == 1 {
			return nil, fmt.Errorf("gbdt: %w: every label with weight is %v in %v rows", ErrOneClass, mean, m.Rows)
		}
		m.Base = math.Log(mean / (1 - mean))
	case Squared:
		m.Base = mean
	case Tweedie:
		if mean == 0 {
			return nil, fmt.Errorf("gbdt: %w: every label with weight is 0 in %v rows", ErrOneClass, m.Rows)
		}
		m.TweediePower = p.TweediePower
		m.Base = math.Log(mean)
	}
	b.model = m
	b.score, b.fine, b.coarse = make([]float64, n), make([]int64, n), make([]int32, n)
	for i := range b.score {
		b.score[i] = m.Base
	}
	b.all = make([]uint32, learnt)
	b.grower = grow.New(p.settings(), b.table, n, s.W)
	return b, nil
}

// row is the k-th row that is learnt from.
func (b *booster) row(k int) int {
	if b.rows == nil {
		return k
	}
	return int(b.rows[k])
}

func (p Params) settings() grow.Settings {
	return grow.Settings{
		Leaves: p.Leaves, MaxDepth: p.MaxDepth, MinLeafRows: p.MinLeafRows, MinLeafHessian: p.MinLeafHessian,
		MinGain: p.MinGain, L1: p.L1, L2: p.L2, MaxBins: p.MaxBins, BinRows: p.BinRows, Seed: p.Seed,
		Categorical: p.Categorical, CategoryRows: p.CategoryRows, CategoryL2: p.CategoryL2, MaxCategories: p.MaxCategories,
		Monotone: p.Monotone, Workers: p.Workers,
	}
}

// tree grows one more tree and adds it to the scores of all rows.
func (b *booster) tree(ctx context.Context, k int) error {
	if err := b.gradients(ctx); err != nil {
		return err
	}
	in, out := b.all[:0], b.out[:0]
	if b.p.RowFraction == 1 {
		in = b.all
		for j := range in {
			in[j] = uint32(b.row(j))
		}
	} else {
		below := uint64(b.p.RowFraction * (1 << 32))
		for j := range b.all {
			i := b.row(j)
			if grow.Draw(b.p.Seed, k, uint64(i), 1<<32) < below {
				in = append(in, uint32(i))
			} else {
				out = append(out, uint32(i))
			}
		}
		b.out = out
	}
	grown, leaves, err := b.grower.Grow(ctx, in, b.coarse, b.scale, b.columns(k))
	if err != nil {
		return err
	}
	t := Tree(grown)
	// The leaves' values come from the fine gradients, and rows are moved to their
	// leaf's score, a stretch of one leaf at a time.
	type stretch struct{ leaf, lo, hi int }
	var stretches []stretch
	for l, leaf := range leaves {
		for lo := leaf.Lo; lo < leaf.Hi; lo += 1 << 15 {
			stretches = append(stretches, stretch{l, lo, min(lo+1<<15, leaf.Hi)})
		}
	}
	sums := make([]kernel.Sums, len(stretches))
	err = numeric.Chunks(ctx, b.p.Workers, len(stretches), 1, func(c, _, _ int) {
		sums[c] = kernel.LeafSums(in[stretches[c].lo:stretches[c].hi], b.fine)
	})
	if err != nil {
		return err
	}
	total := make([]kernel.Sums, len(leaves))
	for c, s := range stretches {
		total[s.leaf].G += sums[c].G
		total[s.leaf].H += sums[c].H
	}
	for l, leaf := range leaves {
		g, h := b.scale.Fine(total[l])
		t.Value[l] = b.p.LearningRate * leaf.Clamp(grow.Output(g, h, b.p.L1, b.p.L2))
	}
	err = numeric.Chunks(ctx, b.p.Workers, len(stretches), 1, func(c, _, _ int) {
		s := stretches[c]
		v := t.Value[s.leaf]
		for _, i := range in[s.lo:s.hi] {
			b.score[i] += v
		}
	})
	if err != nil {
		return err
	}
	if err := b.send(ctx, &t, out); err != nil {
		return err
	}
	b.model.Trees = append(b.model.Trees, t)
	return nil
}

// send adds the tree's values to the scores of rows that it was not grown on,
// whose order it changes.
func (b *booster) send(ctx context.Context, t *Tree, rows []uint32) error {
	if len(rows) == 0 {
		return nil
	}
	if len(b.spare) < len(rows) {
		b.spare = make([]uint32, len(rows))
	}
	return route(ctx, b.p.Workers, b.table, t, rows, b.spare, b.score)
}

// route adds the value of each row's leaf to its score.
func route(ctx context.Context, workers int, table *grow.Table, t *Tree, rows, spare []uint32, score []float64) error {
	r, ok := table.NewRouter((*grow.Tree)(t))
	if !ok {
		return errOtherDataset
	}
	return numeric.Chunks(ctx, workers, len(rows), 1<<13, func(_, lo, hi int) {
		r.Leaves(rows[lo:hi], spare[lo:hi], func(leaf int, rows []uint32) {
			for _, i := range rows {
				score[i] += t.Value[leaf]
			}
		})
	})
}

// columns says which columns are drawn for tree k; nil for all.
func (b *booster) columns(k int) []bool {
	n := b.table.Columns()
	take := max(1, int(math.Round(b.p.ColumnFraction*float64(n))))
	if take == n {
		return nil
	}
	drawn := make([]bool, n)
	for left, i := take, 0; i < n; i++ {
		// Of the n-i columns to come, left are to be drawn.
		if grow.Draw(b.p.Seed, k, 1<<40+uint64(i), uint64(n-i)) < uint64(left) {
			drawn[i] = true
			left--
		}
	}
	return drawn
}

// gradients fills fine and coarse at the scores so far.
func (b *booster) gradients(ctx context.Context) error {
	const size = 1 << 12
	n := len(b.score)
	each := func(f func(c, lo, hi int)) error { return numeric.Chunks(ctx, b.p.Workers, n, size, f) }
	weight := func(i int) float64 {
		if b.sample.W == nil {
			return 1
		}
		return b.sample.W[i]
	}
	weights := func(lo, hi int) []float64 {
		if b.sample.W == nil {
			return nil
		}
		return b.sample.W[lo:hi]
	}
	y := b.sample.Y
	if b.p.Loss == Logistic {
		b.scale = kernel.NewScale(b.weight, b.weight/4)
		return each(func(_, lo, hi int) {
			kernel.Logistic(b.fine[lo:hi], b.coarse[lo:hi], b.score[lo:hi], y[lo:hi], weights(lo, hi), b.scale)
		})
	}
	// The other losses have no bound of their own: look for the largest first.
	chunks := (n + size - 1) / size
	largestG, largestH := make([]float64, chunks), make([]float64, chunks)
	of := func(i int) (g, h float64) {
		w := weight(i)
		if b.p.Loss == Squared {
			return float64(w * (b.score[i] - y[i])), w
		}
		g, h = kernel.Tweedie(b.score[i], y[i], b.p.TweediePower)
		return float64(w * g), float64(w * h)
	}
	err := each(func(c, lo, hi int) {
		for i := lo; i < hi; i++ {
			g, h := of(i)
			largestG[c], largestH[c] = max(largestG[c], math.Abs(g)), max(largestH[c], h)
		}
	})
	if err != nil {
		return err
	}
	b.scale = kernel.NewScale(slices.Max(largestG), slices.Max(largestH))
	return each(func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			g, h := of(i)
			kernel.Quantise(&b.fine[i], &b.coarse[i], g, h, b.scale)
		}
	})
}

// validate adds the last tree to score and returns the mean loss.
func (b *booster) validate(ctx context.Context, s Sample, score []float64) (float64, error) {
	const size = 1 << 12
	f := b.model.Trees[len(b.model.Trees)-1].flatten()
	d := s.X.Cols()
	chunks := (len(score) + size - 1) / size
	loss, weight := make([]float64, chunks), make([]float64, chunks)
	err := numeric.Chunks(ctx, b.p.Workers, len(score), size, func(c, lo, hi int) {
		f.add(score[lo:hi], s.X.Data[lo*d:hi*d], d)
		for i := lo; i < hi; i++ {
			w := 1.0
			if s.W != nil {
				w = s.W[i]
			}
			weight[c] += w
			loss[c] += w * b.p.loss(score[i], s.Y[i])
		}
	})
	if err != nil {
		return 0, err
	}
	return numeric.Sum(loss) / numeric.Sum(weight), nil
}

// loss of a label at a score: minus the log-likelihood of the Bernoulli
// distribution, half the squared error, or half the Tweedie deviance less what
// depends on y alone.
func (p Params) loss(score, y float64) float64 {
	switch p.Loss {
	case Logistic:
		return numeric.Softplus(score) - y*score
	case Squared:
		return (score - y) * (score - y) / 2
	}
	a, b := (1-p.TweediePower)*score, (2-p.TweediePower)*score
	return kernel.Exp(b)/(2-p.TweediePower) - y*kernel.Exp(a)/(1-p.TweediePower)
}
