package gbdt

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/gbdt/internal/grow"
	"github.com/shoal-data/shoal/models/internal/numeric"
)

// A Dataset is rows cut into bins, for any number of fits: with other labels, on
// other rows. It takes two bytes a value of the columns that vary, and making it
// never more than two columns of numbers a worker. It is read-only.
type Dataset struct {
	names       []string
	rows        int
	categorical []string
	table       *grow.Table
}

// NewDataset cuts columns of so many rows into bins: MaxBins, BinRows, Seed,
// Categorical, Monotone and Workers of p are heeded. column writes the values of
// column j, NaN where one is missing; it is never called twice at once.
func NewDataset(ctx context.Context, p Params, names []string, rows int, column func(values []float64, j int) error) (*Dataset, error) {
	return NewDatasetCut(ctx, p, names, rows, rows, column)
}

// NewDatasetCut is NewDataset whose bins are those of the first cut rows: nothing that
// is learnt from them depends on the others, which may be scored, or learnt from later.
func NewDatasetCut(ctx context.Context, p Params, names []string, rows, cut int, column func(values []float64, j int) error) (*Dataset, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if len(names) == 0 || rows == 0 {
		return nil, fmt.Errorf("gbdt: empty input: %d rows × %d columns", rows, len(names))
	}
	if cut < 1 || cut > rows {
		return nil, fmt.Errorf("gbdt: bins of the first %d rows of %d", cut, rows)
	}
	if rows > math.MaxInt32 {
		return nil, fmt.Errorf("gbdt: %d rows are more than %d", rows, math.MaxInt32)
	}
	for _, name := range p.Categorical {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("gbdt: categorical column %q is not among the %d columns", name, len(names))
		}
	}
	fill := func(values []float64, j int) error {
		if err := column(values, j); err != nil {
			return err
		}
		category := slices.Contains(p.Categorical, names[j])
		for i, v := range values {
			switch {
			case v != v:
			case v-v != 0:
				return fmt.Errorf("gbdt: row %d, column %d (%s) is %v; values must be finite, or NaN where missing", i, j, names[j], v)
			case category && !(v >= 0 && v <= maxCategory && v == math.Trunc(v)):
				return fmt.Errorf("gbdt: row %d, column %d (%s) is %v; categories are whole numbers from 0 to %d", i, j, names[j], v, maxCategory)
			}
		}
		return nil
	}
	table, err := grow.NewTableOf(ctx, p.settings(), names, rows, cut, fill)
	if err != nil {
		return nil, fmt.Errorf("gbdt: dataset: %w", err)
	}
	return &Dataset{names: slices.Clone(names), rows: rows, categorical: slices.Clone(p.Categorical), table: table}, nil
}

// Rows is how many there are.
func (d *Dataset) Rows() int { return d.rows }

// Varies says which columns do.
func (d *Dataset) Varies() []bool { return d.table.Varies() }

// Select is the dataset of some of the columns, in that order: fits on it take
// less time. Workers of p is heeded; it shares memory with d.
func (d *Dataset) Select(ctx context.Context, p Params, names []string) (*Dataset, error) {
	s := &Dataset{names: slices.Clone(names), rows: d.rows}
	var places []int
	for _, name := range names {
		j := slices.Index(d.names, name)
		if j < 0 {
			return nil, fmt.Errorf("gbdt: no column %s among the dataset's %d", name, len(d.names))
		}
		places = append(places, j)
		if slices.Contains(d.categorical, name) {
			s.categorical = append(s.categorical, name)
		}
	}
	if len(names) == 0 {
		return nil, errors.New("gbdt: empty input: no columns to select")
	}
	var err error
	if s.table, err = d.table.Select(ctx, p.settings(), d.rows, places); err != nil {
		return nil, fmt.Errorf("gbdt: dataset: %w", err)
	}
	return s, nil
}

// errOtherDataset is what scoring a model on rows it does not know returns.
var errOtherDataset = errors.New("gbdt: the model was fitted on another dataset")

// FitRows is FitSample on rows of a dataset, given by rising numbers. y has a
// label for each of the dataset's rows, of which only those of train and valid
// are looked at. The bins are those of the whole dataset.
func FitRows(ctx context.Context, p Params, d *Dataset, y []float64, train, valid []uint32) (*Model, []models.Warning, error) {
	if err := p.Validate(); err != nil {
		return nil, nil, err
	}
	if !slices.Equal(p.Categorical, d.categorical) {
		return nil, nil, fmt.Errorf("gbdt: categorical columns %v are not the dataset's, %v", p.Categorical, d.categorical)
	}
	if len(y) != d.rows {
		return nil, nil, fmt.Errorf("gbdt: %d labels for %d rows", len(y), d.rows)
	}
	if len(train) == 0 {
		return nil, nil, errors.New("gbdt: empty input: no rows to learn from")
	}
	labels := make([]float64, d.rows) // those that are not looked at are 0
	for _, part := range []struct {
		what string
		rows []uint32
	}{{"", train}, {"validation: ", valid}} {
		last := -1
		for _, i := range part.rows {
			if int(i) >= d.rows || int(i) <= last {
				return nil, nil, fmt.Errorf("gbdt: %srow %d after row %d of %d: rows must rise", part.what, i, last, d.rows)
			}
			last = int(i)
			v := y[i]
			switch {
			case p.Loss == Logistic && v != 0 && v != 1:
				return nil, nil, fmt.Errorf("gbdt: %srow %d: label %v must be 0 or 1", part.what, i, v)
			case v-v != 0:
				return nil, nil, fmt.Errorf("gbdt: %srow %d: label %v must be finite", part.what, i, v)
			case p.Loss == Tweedie && v < 0:
				return nil, nil, fmt.Errorf("gbdt: %srow %d: label %v must be >= 0", part.what, i, v)
			}
			labels[i] = v
		}
	}
	b, err := newBooster(p, d.table, d.names, Sample{Y: labels}, train)
	if err != nil {
		return nil, nil, err
	}
	var validate func() (float64, error)
	if len(valid) > 0 {
		const size = 1 << 12
		order, loss := make([]uint32, len(valid)), make([]float64, (len(valid)+size-1)/size)
		validate = func() (float64, error) {
			copy(order, valid)
			if err := b.send(ctx, &b.model.Trees[len(b.model.Trees)-1], order); err != nil {
				return 0, err
			}
			err := numeric.Chunks(ctx, p.Workers, len(valid), size, func(c, lo, hi int) {
				loss[c] = 0
				for _, i := range valid[lo:hi] {
					loss[c] += p.loss(b.score[i], labels[i])
				}
			})
			return numeric.Sum(loss) / float64(len(valid)), err
		}
	}
	return b.fit(ctx, validate)
}

// Scores are the scores of rows by a model that was fitted on the dataset, as
// Model.Scores of their values.
func (d *Dataset) Scores(ctx context.Context, m *Model, rows []uint32, workers int) ([]float64, error) {
	if !slices.Equal(m.Names, d.names) {
		return nil, errOtherDataset
	}
	score := make([]float64, d.rows)
	for _, i := range rows {
		if int(i) >= d.rows {
			return nil, fmt.Errorf("gbdt: row %d of %d", i, d.rows)
		}
		score[i] = m.Base
	}
	order, spare := make([]uint32, len(rows)), make([]uint32, len(rows))
	for k := range m.Trees {
		copy(order, rows)
		if err := route(ctx, workers, d.table, &m.Trees[k], order, spare, score); err != nil {
			return nil, fmt.Errorf("gbdt: scores: %w", err)
		}
	}
	out := make([]float64, len(rows))
	for k, i := range rows {
		out[k] = score[i]
	}
	return out, nil
}

// AUC is, for each column, how well it ranks the labels of rows by itself: the
// area under the ROC curve of its bins, whichever way round is the better, with
// missing values above or below all others; NaN for a column that does not vary,
// and for all when the rows' labels are alike.
func (d *Dataset) AUC(ctx context.Context, y []float64, rows []uint32, workers int) ([]float64, error) {
	out := make([]float64, len(d.names))
	err := numeric.Chunks(ctx, workers, len(d.names), 1, func(j, _, _ int) {
		out[j] = math.NaN()
		no, yes, ok := d.table.Ranking(j, rows, y)
		if !ok {
			return
		}
		last := len(no) - 1 // missing values
		for _, missingFirst := range []bool{false, true} {
			var wins, below, negatives, positives float64
			count := func(b int) {
				wins += float64(yes[b]) * (below + float64(no[b])/2)
				below += float64(no[b])
				positives += float64(yes[b])
				negatives += float64(no[b])
			}
			if missingFirst {
				count(last)
			}
			for b := range last {
				count(b)
			}
			if !missingFirst {
				count(last)
			}
			if positives > 0 && negatives > 0 {
				auc := wins / (positives * negatives)
				if auc = max(auc, 1-auc); !(out[j] >= auc) {
					out[j] = auc
				}
			}
		}
	})
	return out, err
}
