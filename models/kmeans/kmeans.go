// Package kmeans partitions rows into K clusters around their means: greedy
// k-means++ seeding, Lloyd's iterations from several starts, and a canonical
// numbering of the result. Columns should share a scale (see package transform).
package kmeans

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"

	"github.com/shoal-data/shoal/models"
)

// Params says how to cluster. Start from DefaultParams.
type Params struct {
	K        int     `json:"k"`        // clusters, ≥ 2
	Restarts int     `json:"restarts"` // seedings tried, ≥ 1; the lowest inertia wins
	MaxIter  int     `json:"max_iter"` // Lloyd iterations a run, ≥ 1
	Tol      float64 `json:"tol"`      // ≥ 0: stop once Σ‖centre shift‖² ≤ Tol · mean column variance. At 0 a run ends when no label changes.
	Seed     uint64  `json:"seed"`     // every value is a valid seed

	// With more rows than SeedSample (≥ K), the restarts run on a random
	// sample of this many rows and only the winner runs on all of them.
	SeedSample int `json:"seed_sample"`

	// Goroutines to use, ≥ 1. The result does not depend on it.
	Workers int `json:"-"`
}

// DefaultParams is 8 clusters, the best of 10 seedings, run until labels
// hardly change.
func DefaultParams() Params {
	return Params{K: 8, Restarts: 10, MaxIter: 300, Tol: 1e-6, Seed: 1, SeedSample: 16384, Workers: runtime.GOMAXPROCS(0)}
}

// Validate reports every fault at once.
func (p Params) Validate() error {
	var errs []error
	atLeast := func(field string, v, bound int) {
		if v < bound {
			errs = append(errs, fmt.Errorf("kmeans: %s (%d) must be >= %d", field, v, bound))
		}
	}
	atLeast("K", p.K, 2)
	atLeast("Restarts", p.Restarts, 1)
	atLeast("MaxIter", p.MaxIter, 1)
	if !(p.Tol >= 0) || math.IsInf(p.Tol, 0) {
		errs = append(errs, fmt.Errorf("kmeans: Tol (%v) must be >= 0 and finite", p.Tol))
	}
	atLeast("SeedSample", p.SeedSample, max(p.K, 2))
	atLeast("Workers", p.Workers, 1)
	return errors.Join(errs...)
}

// Options are what some fits bring besides the rows.
type Options struct {
	// Weights are n sample weights, each in [0,1e15], or nil when every row
	// weighs 1. A row of weight 0 is labelled but has no influence.
	Weights []float64
	// Start are K×d centres to run from, such as last night's, with the
	// columns of x; then nothing is seeded and Restarts is not used. Its zero
	// value means a cold start.
	Start models.Matrix
}

// Result is what a fit says about the rows it saw.
type Result struct {
	Labels     []int   // n, in [0,K): each the nearest centre of the Model, the lowest of equals
	Inertia    float64 // Σ weight · squared distance to the labelled centre
	Iterations int     // of the winning run on all rows
	Converged  bool    // false when that run was stopped by MaxIter
	// RestartInertia is what each restart reached, on the sample when one was
	// taken; empty after a warm start. Values far apart mean an unstable K.
	RestartInertia []float64
}

// A Model is K centres. It is immutable and safe for concurrent use. Clusters
// are numbered by descending weight of the fitted rows, then by centre, column
// by column, ascending.
type Model struct {
	names   []string
	centres []float64 // K×d, row-major
	weights []float64 // K, total weight of each cluster's fitted rows
}

// tinyRows is the size below which a cluster is warned of: a mean over fewer
// rows describes those customers, not a segment.
const tinyRows = 5

// Bounds that keep weighted squared distances, summed over any number of
// columns and rows, within float64.
const (
	maxMagnitude = 1e140
	maxWeight    = 1e15
)

// Fit clusters the rows of x, n×d, from several seedings. See FitWith.
func Fit(ctx context.Context, p Params, x models.Matrix) (*Model, Result, []models.Warning, error) {
	return FitWith(ctx, p, x, Options{})
}

// FitWith clusters the rows of x, n×d, finite, n ≥ K, with weights or from
// given centres. It fails when x holds fewer than K distinct rows; no cluster
// of the result is empty. Labels always agree with the final centres, also
// when MaxIter stopped the run. The result is the same to the byte for any
// number of workers. Cost: O(n K d) an iteration at most; rows whose nearest
// centre provably cannot have changed are skipped.
func FitWith(ctx context.Context, p Params, x models.Matrix, o Options) (*Model, Result, []models.Warning, error) {
	fail := func(err error) (*Model, Result, []models.Warning, error) { return nil, Result{}, nil, err }
	if err := p.Validate(); err != nil {
		return fail(err)
	}
	if err := checkRows(x); err != nil {
		return fail(err)
	}
	all, err := newRows(x, o.Weights)
	if err != nil {
		return fail(err)
	}
	if all.n < p.K {
		return fail(fmt.Errorf("kmeans: K (%d) exceeds the %d rows of positive weight", p.K, all.n))
	}

	var res Result
	var r *run
	switch {
	case len(o.Start.Data) > 0:
		if !slices.Equal(o.Start.Names, x.Names) || o.Start.Rows() != p.K {
			return fail(fmt.Errorf("kmeans: start has %d centres over %v, want K (%d) over %v", o.Start.Rows(), o.Start.Names, p.K, x.Names))
		}
		if err := checkRows(o.Start); err != nil {
			return fail(fmt.Errorf("start centres: %w", err))
		}
		r = newRun(all, p, o.Start.Data, p.Workers)
	default:
		best, inertia, err := bestStart(ctx, p, all)
		if err != nil {
			return fail(err)
		}
		res.RestartInertia = inertia
		r = newRun(all, p, best.centres, p.Workers)
		if best.n == all.n { // the restarts saw every row: the winner is the fit
			r.iterations, r.converged, r.changed = best.iterations, best.converged, best.changed
		}
	}
	if r.iterations == 0 {
		if err := r.iterate(ctx); err != nil {
			return fail(err)
		}
	}
	res.Iterations, res.Converged = r.iterations, r.converged
	sizes, err := r.finish(ctx)
	if err != nil {
		return fail(err)
	}
	res.Inertia = r.inertia()

	m := &Model{names: slices.Clone(x.Names), centres: r.centres, weights: sizes}
	res.Labels = r.labels
	if all.n != x.Rows() { // rows of weight 0 were left out
		res.Labels = make([]int, x.Rows())
		if err := m.Predict(res.Labels, nil, x); err != nil {
			return fail(err)
		}
	}
	return m, res, r.warnings(), nil
}

// checkRows is CheckFinite, and refuses what would overflow when squared.
func checkRows(x models.Matrix) error {
	if err := x.CheckFinite("kmeans"); err != nil {
		return err
	}
	for i, v := range x.Data {
		if math.Abs(v) > maxMagnitude {
			d := x.Cols()
			return fmt.Errorf("kmeans: row %d, column %d (%s) is %v; squared distances overflow beyond ±%g, standardise the column", i/d, i%d, x.Names[i%d], v, maxMagnitude)
		}
	}
	return nil
}

// newRows views x as rows to fit, dropping those of weight 0 so that they
// influence not even the order of summation.
func newRows(x models.Matrix, weights []float64) (rows, error) {
	all := rows{n: x.Rows(), d: x.Cols(), x: x.Data}
	if weights == nil {
		return all, nil
	}
	if len(weights) != all.n {
		return rows{}, fmt.Errorf("kmeans: %d weights for %d rows", len(weights), all.n)
	}
	positive := 0
	for i, w := range weights {
		if !(w >= 0 && w <= maxWeight) {
			return rows{}, fmt.Errorf("kmeans: weight of row %d is %v; weights must be in [0,%g]", i, w, maxWeight)
		}
		if w > 0 {
			positive++
		}
	}
	all.w = weights
	if positive == all.n {
		return all, nil
	}
	some := rows{n: positive, d: all.d, x: make([]float64, 0, positive*all.d), w: make([]float64, 0, positive)}
	for i, w := range weights {
		if w > 0 {
			some.x = append(some.x, all.row(i)...)
			some.w = append(some.w, w)
		}
	}
	return some, nil
}

// Names are the columns, in the order Predict requires.
func (m *Model) Names() []string { return slices.Clone(m.names) }

// K is the number of clusters.
func (m *Model) K() int { return len(m.weights) }

// Centres are a copy of the K×d cluster means, in the units of the fitted rows.
func (m *Model) Centres() models.Matrix {
	return models.Matrix{Names: slices.Clone(m.names), Data: slices.Clone(m.centres)}
}

// Weights are the K total weights of the fitted rows (their numbers, if unweighted).
func (m *Model) Weights() []float64 { return slices.Clone(m.weights) }

// Predict labels the rows of x, n×d with the columns of Names() in that order:
// labels[i] is the nearest centre, the lowest of equals, and dist[i] the
// Euclidean distance to it. Either may be nil; otherwise its length must be n.
// Every row is labelled on its own.
func (m *Model) Predict(labels []int, dist []float64, x models.Matrix) error {
	if !slices.Equal(x.Names, m.names) {
		return fmt.Errorf("kmeans: predict on columns %v, want %v", x.Names, m.names)
	}
	if err := checkRows(x); err != nil {
		return err
	}
	n := x.Rows()
	if labels != nil && len(labels) != n || dist != nil && len(dist) != n {
		panic(fmt.Sprintf("kmeans: %d labels and %d distances for %d rows", len(labels), len(dist), n))
	}
	for i := range n {
		c, d1, _ := nearest(x.Row(i), m.centres)
		if labels != nil {
			labels[i] = c
		}
		if dist != nil {
			dist[i] = math.Sqrt(d1)
		}
	}
	return nil
}

const version = 1

type saved struct {
	Version int         `json:"version"`
	Names   []string    `json:"names"`
	Centres [][]float64 `json:"centres"`
	Weights []float64   `json:"weights"`
}

// Save writes the model as JSON. Floats are written in their shortest form
// that reads back exactly, so Load restores the model bit for bit.
func (m *Model) Save(w io.Writer) error {
	s := saved{Version: version, Names: m.names, Weights: m.weights}
	for c := range slices.Chunk(m.centres, len(m.names)) {
		s.Centres = append(s.Centres, c)
	}
	if err := json.NewEncoder(w).Encode(s); err != nil {
		return fmt.Errorf("kmeans: save: %w", err)
	}
	return nil
}

// Load reads what Save wrote and refuses anything else.
func Load(r io.Reader) (*Model, error) {
	var s saved
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return nil, fmt.Errorf("kmeans: load: %w", err)
	}
	if s.Version != version {
		return nil, fmt.Errorf("kmeans: load: version %d; this program reads version %d", s.Version, version)
	}
	if len(s.Centres) < 2 || len(s.Weights) != len(s.Centres) {
		return nil, fmt.Errorf("kmeans: load: %d centres and %d weights; want as many of each, at least 2", len(s.Centres), len(s.Weights))
	}
	m := &Model{names: s.Names, weights: s.Weights}
	for i, c := range s.Centres {
		if len(c) != len(s.Names) {
			return nil, fmt.Errorf("kmeans: load: centre %d has %d values for %d columns", i, len(c), len(s.Names))
		}
		m.centres = append(m.centres, c...)
	}
	if err := checkRows(m.Centres()); err != nil {
		return nil, fmt.Errorf("kmeans: load: centres: %w", err)
	}
	return m, nil
}

// canonical orders clusters by descending weight, then by centre ascending.
func canonical(centres []float64, d int, weights []float64) []int {
	order := make([]int, len(weights))
	for c := range order {
		order[c] = c
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(weights[b], weights[a]),
			slices.Compare(centres[a*d:(a+1)*d], centres[b*d:(b+1)*d]))
	})
	return order
}
