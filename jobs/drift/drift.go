// Package drift compares the distributions of features and scores with those that
// models were trained on and with those of earlier runs.
//
// What is compared are counts over bins (metrics.Bins). They add up over the batches
// of a table, so that no table is held; they are published as drift_bins, from which
// the figures of drift can be computed again, and the next run reads them instead of
// the features of this one.
package drift

import (
	"context"
	"math"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/jobs/gates"
	"github.com/shoal-data/shoal/models/metrics"
)

// What a distribution is compared with.
const (
	Training = "training"  // features at the training snapshots; scores of the test snapshot
	Previous = "previous"  // the run before
	LastYear = "last_year" // the run of the same week last year
	// Alone is a distribution that there is nothing to compare with: its counts are kept
	// for the next run.
	Alone = "alone"
)

// The kinds of column.
const (
	Feature = "feature"
	Score   = "score"
)

// bins is about how many bins a column has, besides those of frequent values and NULL.
const bins = 10

// A Histogram is a column's counts.
type Histogram struct {
	Bins   metrics.Bins
	Counts []int64
}

// A Stored is a histogram of an earlier run. Method made a score.
type Stored struct {
	Kind, Method string
	Histogram
}

// A Column is a feature or score, with the bins that it is counted over and what it is
// compared with.
type Column struct {
	Name, Kind string
	Method     string // of a score: the model
	// Calendar says that a feature moves with the time of year.
	Calendar bool
	// Sent says that a feature is of messages that the firm sends, and Activity that it is
	// of events of any kind and not of money, so that a wave of messages moves it.
	Sent, Activity bool
	Alone          bool // there is nothing that it was trained on
	Bins           metrics.Bins
	Trained        []int64    // counts of the training data; nil when Alone
	Usual          float64    // of a feature: PSI of the test snapshot against training; NaN when unknown
	Counts         []int64    // tonight's over Bins
	near           [2][]int64 // of a score: the same had every value been a step less, or more
	// Earlier are the stored histograms by reference, and tonight's counts over theirs.
	Earlier map[string]*Earlier
}

// Earlier is an earlier run's histogram, and tonight's counts over its bins.
type Earlier struct {
	Stored
	Now  []int64
	near [2][]int64
}

// A Past is an earlier run's histograms by column.
type Past map[string]Stored

// A Snapshot is a table that features are compared with, in turn.
type Snapshot struct{ Train, Test []*features.Table }

// calendar are the families whose features move with the time of year.
var calendar = []string{"timing", "occasions"}

// Features counts the columns of the families of tonight's table and of the training
// snapshots. past are histograms of earlier runs by reference.
func Features(ctx context.Context, families []features.Family, tonight *features.Table, s Snapshot, past map[string]Past, workers int) ([]*Column, error) {
	var names []string
	moves, sent, activity := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, f := range families {
		for _, c := range f.Columns {
			names = append(names, c.Name)
			moves[c.Name] = slices.Contains(calendar, f.Name)
			sent[c.Name] = strings.Contains(c.SQL, "'"+datasets.MessageSent.String()+"'")
			activity[c.Name] = f.Reads != nil && !slices.Contains(f.Reads, datasets.Amount)
		}
	}
	columns := make([]*Column, len(names))
	g, alive := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	for k, name := range names {
		g.Go(func() error {
			if alive.Err() != nil {
				return context.Cause(alive)
			}
			c, err := feature(name, tonight, s)
			columns[k] = c
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for _, c := range columns {
		c.Calendar, c.Sent, c.Activity = moves[c.Name], sent[c.Name], activity[c.Name]
		c.meet(past)
	}
	return columns, count(ctx, columns, tonight, workers)
}

// feature divides a feature by its values in the training snapshots.
func feature(name string, tonight *features.Table, s Snapshot) (*Column, error) {
	c := &Column{Name: name, Kind: Feature, Usual: math.NaN()}
	values, err := read(name, s.Train)
	if err != nil {
		return nil, err
	}
	if len(values) == 0 {
		// Nothing was trained: tonight's own values say how it is divided.
		c.Alone = true
		if values, err = read(name, []*features.Table{tonight}); err != nil {
			return nil, err
		}
	}
	c.Bins = metrics.NewBins(thin(values), bins)
	c.Counts = make([]int64, c.Bins.Len())
	if c.Alone {
		return c, nil
	}
	c.Trained = make([]int64, c.Bins.Len())
	c.Bins.Count(c.Trained, values)
	if values, err = read(name, s.Test); err != nil {
		return nil, err
	}
	tested := make([]int64, c.Bins.Len())
	c.Bins.Count(tested, values)
	if shift, ok := metrics.NewShift(c.Trained, tested); ok {
		c.Usual = shift.PSI
	}
	return c, nil
}

func read(name string, tables []*features.Table) ([]float64, error) {
	var all []float64
	for _, t := range tables {
		v, err := t.Values(name)
		if err != nil {
			return nil, err
		}
		all = append(all, v...)
	}
	return all, nil
}

// edgeRows is how many values the edges of bins are taken from at most.
const edgeRows = 50_000

// thin takes values at even distances.
func thin(values []float64) []float64 {
	step := (len(values) + edgeRows - 1) / edgeRows
	if step <= 1 {
		return values
	}
	var some []float64
	for i := 0; i < len(values); i += step {
		some = append(some, values[i])
	}
	return some
}

// meet remembers what the column was in earlier runs.
func (c *Column) meet(past map[string]Past) {
	c.Earlier = map[string]*Earlier{}
	for reference, p := range past {
		if s, ok := p[c.Name]; ok && s.Kind == c.Kind {
			n := s.Bins.Len()
			c.Earlier[reference] = &Earlier{s, make([]int64, n), [2][]int64{make([]int64, n), make([]int64, n)}}
		}
	}
}

func (c *Column) count(values []float64) {
	c.Bins.Count(c.Counts, values)
	for _, e := range c.Earlier {
		e.Bins.Count(e.Now, values)
	}
	if c.Kind != Score {
		return
	}
	nudge(c.Bins, c.near, values)
	for _, e := range c.Earlier {
		nudge(e.Bins, e.near, values)
	}
}

// nudge counts values as they would be had each been a step less, and more.
func nudge(b metrics.Bins, near [2][]int64, values []float64) {
	least := 0.0
	if n := len(b.Edges); n > 1 {
		least = leastStep * math.Abs(b.Edges[n-2]) // about nine tenths of all values are less
	}
	less, more := make([]float64, len(values)), make([]float64, len(values))
	for i, v := range values {
		less[i], more[i] = v/step-least, v*step+least
	}
	b.Count(near[0], less)
	b.Count(near[1], more)
}

// A calibrated score has few distinct values, which every night's fit puts elsewhere by
// a little; that is no drift. So scores must also have moved by more than this factor,
// and by more than a tenth of a high score: twice next to nothing is next to nothing.
const (
	step      = 1.25
	leastStep = .1
)

// moved is the share of customers whose score must have moved by more than a step for
// the counts expected to become those of now: how far the distribution functions are
// apart even when every value may give way by a step (Lévy's distance is of that kind).
func moved(expected []int64, near [2][]int64) float64 {
	share := func(counts []int64) []float64 { // of values in the bins up to each
		n := 0.0
		for _, c := range counts[:len(counts)-1] {
			n += float64(c)
		}
		f, sum := make([]float64, len(counts)-1), 0.0
		for i := range f {
			sum += float64(counts[i])
			f[i] = sum / max(n, 1)
		}
		return f
	}
	most := 0.0
	was, less, more := share(expected), share(near[0]), share(near[1])
	for i := range was {
		most = max(most, was[i]-less[i], more[i]-was[i])
	}
	return most
}

// count counts every column of tonight's table. Each worker walks the whole table for
// columns of its own.
func count(ctx context.Context, columns []*Column, t *features.Table, workers int) error {
	g, ctx := errgroup.WithContext(ctx)
	for w := range workers {
		g.Go(func() error {
			var values []float64
			for part := range t.Parts() {
				for k := w; k < len(columns); k += workers {
					if ctx.Err() != nil {
						return context.Cause(ctx)
					}
					var err error
					if values, err = part.Values(values[:0], columns[k].Name); err != nil {
						return err
					}
					columns[k].count(values)
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// NewScore counts a score: tonight's, and that of the test snapshot by the same model,
// which may be empty. Customers without a score are not counted: there are others at
// every date.
func NewScore(name, method string, tonight, tested []float64, past map[string]Past) *Column {
	c := &Column{Name: name, Kind: Score, Method: method, Usual: math.NaN()}
	tonight = slices.DeleteFunc(slices.Clone(tonight), math.IsNaN)
	known := tested
	if len(known) == 0 {
		c.Alone, known = true, tonight
	}
	c.Bins = metrics.NewBins(thin(known), bins)
	c.Counts = make([]int64, c.Bins.Len())
	if !c.Alone {
		c.Trained = make([]int64, c.Bins.Len())
		c.Bins.Count(c.Trained, tested)
	}
	c.near = [2][]int64{make([]int64, c.Bins.Len()), make([]int64, c.Bins.Len())}
	c.meet(past)
	c.count(tonight)
	return c
}

// A Row is a row of drift.
type Row struct {
	*Column
	Reference        string
	Shift            metrics.Shift
	Moved            float64 // of a score: see moved; NaN for features
	Expected, Actual int64   // values on either side
	Status           gates.Status
	Gate             string
	Bound            float64
	expected, actual []int64
	edges            metrics.Bins
}
