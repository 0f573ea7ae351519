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
	"github.com/shoal-data/shoal/models/kmeans/internal/blocks"
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
	if p.K > mostClusters {
		errs = append(errs, fmt.Errorf("kmeans: K (%d) must be <= %d", p.K, mostClusters))
	}
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

// A Source gives the rows of a fit batch by batch, for data larger than memory:
// the same rows in the same order each time it is asked.
type Source = blocks.Source

// Fit clusters the rows of x, n×d, from several seedings. See FitWith.
func Fit(ctx context.Context, p Params, x models.Matrix) (*Model, Result, []models.Warning, error) {
	return FitWith(ctx, p, x, Options{})
}

// FitWith clusters the rows of x, n×d, finite, n ≥ K, with weights or from
// given centres. It fails when x holds fewer than K distinct rows; no cluster
// of the result is empty. Labels always agree with the final centres, also
// when MaxIter stopped the run. The result is the same to the byte for any
// number of workers and on any processor. Cost: O(n K d) an iteration at most;
// rows whose nearest centre provably cannot have changed are skipped. Beside x
// it holds n×d float32 and 6 bytes a row.
func FitWith(ctx context.Context, p Params, x models.Matrix, o Options) (*Model, Result, []models.Warning, error) {
	if err := checkShape(len(x.Data), x.Names); err != nil {
		return nil, Result{}, nil, err
	}
	return fit(ctx, p, blocks.Rows{Names: x.Names, N: x.Rows(), D: x.Cols(), X64: x.Data}, o)
}

// Fit32 is FitWith for rows held as float32: the same result as for the same
// values in a Matrix. Standardised columns are used in place, without a copy.
func Fit32(ctx context.Context, p Params, x models.Matrix32, o Options) (*Model, Result, []models.Warning, error) {
	if err := checkShape(len(x.Data), x.Names); err != nil {
		return nil, Result{}, nil, err
	}
	return fit(ctx, p, blocks.Rows{Names: x.Names, N: len(x.Data) / len(x.Names), D: len(x.Names), X32: x.Data}, o)
}

// FitSource is FitWith for rows that are read anew in every pass: the same
// result as for the same rows in a Matrix, however they come in batches. It
// holds 14 bytes a row, labels included, and SeedSample rows.
func FitSource(ctx context.Context, p Params, src Source, o Options) (*Model, Result, []models.Warning, error) {
	names := src.Names()
	if err := checkShape(src.Rows()*len(names), names); err != nil {
		return nil, Result{}, nil, err
	}
	return fit(ctx, p, blocks.Rows{Names: names, N: src.Rows(), D: len(names), Source: src}, o)
}

func fit(ctx context.Context, p Params, given blocks.Rows, o Options) (*Model, Result, []models.Warning, error) {
	fail := func(err error) (*Model, Result, []models.Warning, error) { return nil, Result{}, nil, err }
	if err := p.Validate(); err != nil {
		return fail(err)
	}
	all, err := given.Weigh(o.Weights)
	if err != nil {
		return fail(err)
	}
	if all.N < p.K {
		return fail(fmt.Errorf("kmeans: K (%d) exceeds the %d rows of positive weight", p.K, all.N))
	}
	if err := all.Prepare(ctx, p.Workers); err != nil {
		return fail(err)
	}

	var res Result
	var r *run
	switch {
	case len(o.Start.Data) > 0:
		if !slices.Equal(o.Start.Names, all.Names) || o.Start.Rows() != p.K {
			return fail(fmt.Errorf("kmeans: start has %d centres over %v, want K (%d) over %v", o.Start.Rows(), o.Start.Names, p.K, all.Names))
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
		if best.N == all.N { // the restarts saw every row: the winner is the fit
			r.iterations, r.converged, r.unsettled = best.iterations, best.converged, best.unsettled
		}
	}
	if r.iterations == 0 {
		if err := r.iterate(ctx); err != nil {
			return fail(err)
		}
	}
	res.Iterations, res.Converged = r.iterations, r.converged
	weights, err := r.finish(ctx)
	if err != nil {
		return fail(err)
	}
	if res.Inertia, err = r.measure(ctx); err != nil {
		return fail(err)
	}
	m := &Model{names: slices.Clone(all.Names), centres: r.centres, weights: weights}
	if res.Labels, err = label(ctx, given, r, o.Weights); err != nil {
		return fail(err)
	}
	return m, res, r.warnings(), nil
}

// label is the labels of all rows: those of the fit, and those that were left
// out of it.
func label(ctx context.Context, r blocks.Rows, fit *run, weights []float64) ([]int, error) {
	labels := make([]int, r.N)
	if fit.N == r.N {
		for i, l := range fit.labels {
			labels[i] = int(l)
		}
		return labels, nil
	}
	next := 0
	for i, w := range weights {
		if w > 0 {
			labels[i] = int(fit.labels[next])
			next++
		}
	}
	buf := make([]float64, r.D)
	bad, value := -1, 0.0
	err := r.Each(ctx, 1, func(_ int, b *blocks.Block) {
		for i := range b.N {
			if weights[b.Lo+i] > 0 || bad >= 0 {
				continue
			}
			x := b.Row(i, buf)
			for j, v := range x {
				if !(math.Abs(v) <= blocks.MaxMagnitude) {
					bad, value = (b.Lo+i)*r.D+j, v
					return
				}
			}
			labels[b.Lo+i], _, _ = nearestOf(x, fit.centres)
		}
	})
	if err == nil && bad >= 0 {
		err = r.Refuse(bad, value)
	}
	return labels, err
}

// checkShape refuses an empty matrix and a ragged one.
func checkShape(values int, names []string) error {
	d := len(names)
	if d == 0 || values == 0 {
		return fmt.Errorf("kmeans: empty input: %d rows × %d columns", values/max(1, d), d)
	}
	if values%d != 0 {
		return fmt.Errorf("kmeans: %d values do not fill rows of %d columns", values, d)
	}
	return nil
}

// checkRows is CheckFinite, and refuses what would overflow when squared.
func checkRows(x models.Matrix) error {
	if err := x.CheckFinite("kmeans"); err != nil {
		return err
	}
	for i, v := range x.Data {
		if math.Abs(v) > blocks.MaxMagnitude {
			r := blocks.Rows{Names: x.Names, D: x.Cols()}
			return r.Refuse(i, v)
		}
	}
	return nil
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
