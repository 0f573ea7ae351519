package kmeans

import (
	"context"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/shoal-data/shoal/models/kmeans/internal/blocks"
)

// random draws from PCG-DXSM, whose outputs for a seed are fixed by its
// definition; rand.Rand's derived methods promise no such thing.
type random struct{ src *rand.PCG }

// Streams of one seed: the sample, then one a restart.
const (
	streamSample  = 0
	streamRestart = 1
)

func newRandom(seed, stream uint64) random { return random{rand.NewPCG(seed, stream)} }

// unit is uniform on [0,1), a multiple of 2⁻⁵³.
func (r random) unit() float64 { return float64(r.src.Uint64()>>11) * 0x1p-53 }

// below is uniform on [0,n), with a bias under n·2⁻⁶⁴.
func (r random) below(n int) int {
	hi, _ := bits.Mul64(r.src.Uint64(), uint64(n))
	return int(hi)
}

// bestStart runs the restarts and returns the one of lowest inertia, the first
// of equals, with the inertia of each. They run on a sample of SeedSample rows
// when there are more, or on distinct rows when the sample has fewer than K.
func bestStart(ctx context.Context, p Params, all *blocks.Rows) (*run, []float64, error) {
	on := all
	if all.N > p.SeedSample || all.X64 == nil {
		sample, err := all.Sample(ctx, min(all.N, p.SeedSample), newRandom(p.Seed, streamSample).below)
		if err != nil {
			return nil, nil, err
		}
		if err := sample.Prepare(ctx, p.Workers); err != nil {
			return nil, nil, err
		}
		on = sample
	}
	runs, inertia, err := restarts(ctx, p, on)
	if err != nil {
		return nil, nil, err
	}
	if runs == nil {
		if on, err = all.Distinct(ctx, p.SeedSample); err != nil {
			return nil, nil, err
		}
		if on.N < p.K {
			return nil, nil, fmt.Errorf("kmeans: K (%d) exceeds the %d distinct rows; lower K", p.K, on.N)
		}
		if err := on.Prepare(ctx, p.Workers); err != nil {
			return nil, nil, err
		}
		if runs, inertia, err = restarts(ctx, p, on); err != nil {
			return nil, nil, err
		}
		if runs == nil { // rows differ, but by less than their squares can show
			return nil, nil, fmt.Errorf("kmeans: K (%d) exceeds the number of rows at a distance from one another; lower K", p.K)
		}
	}
	best := 0
	for i, v := range inertia {
		if v < inertia[best] {
			best = i
		}
	}
	return runs[best], inertia, nil
}

// restarts runs every restart to its end. It returns nil runs when there are
// fewer than K distinct rows.
func restarts(ctx context.Context, p Params, on *blocks.Rows) ([]*run, []float64, error) {
	runs, inertia := make([]*run, p.Restarts), make([]float64, p.Restarts)
	few := make([]bool, p.Restarts)
	// One worker a restart; what is left over works inside each.
	inner := max(1, p.Workers/p.Restarts)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(min(p.Workers, p.Restarts))
	for i := range p.Restarts {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("kmeans: %w", err)
			}
			start, distinct := plusPlus(on, p.K, newRandom(p.Seed, streamRestart+uint64(i)))
			if distinct < p.K {
				few[i] = true
				return nil
			}
			r := newRun(on, p, start, inner)
			if err := r.iterate(ctx); err != nil {
				return err
			}
			var err error
			if inertia[i], err = r.measure(ctx); err != nil {
				return err
			}
			// Keep the centres, let go of what is as large as the rows.
			r.labels, r.gap, r.hands = nil, nil, nil
			runs[i] = r
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	if slices.Contains(few, true) {
		return nil, nil, nil
	}
	return runs, inertia, nil
}

// plusPlus chooses k rows as centres by greedy k-means++ (Arthur and
// Vassilvitskii, SODA 2007, §2.2 and its closing remark on trying several
// candidates): each next centre is, of 2+⌊ln k⌋ rows drawn with probability
// proportional to weight times squared distance to the nearest centre so far,
// the one that leaves the least total. distinct < k says that only so many
// distinct rows exist; then centres is incomplete.
func plusPlus(on *blocks.Rows, k int, rnd random) (centres []float64, distinct int) {
	row := func(i int) []float64 { return on.X64[i*on.D : (i+1)*on.D : (i+1)*on.D] }
	weight := func(i int) float64 {
		if on.W == nil {
			return 1
		}
		return on.W[i]
	}
	candidates := 2 + int(math.Log(float64(k)))
	potential := make([]float64, on.N) // weight · squared distance to the nearest centre
	for i := range potential {
		potential[i] = weight(i)
	}
	first := draw(potential, sumOf(potential), rnd)
	centres = slices.Clone(row(first))
	for i := range potential {
		potential[i] = weight(i) * distance2(row(i), centres)
	}
	best, trial := make([]float64, on.N), make([]float64, on.N)
	for distinct = 1; distinct < k; distinct++ {
		total := sumOf(potential)
		if total == 0 {
			return centres, distinct
		}
		bestTotal, bestRow := math.Inf(1), 0
		for range candidates {
			drawn := draw(potential, total, rnd)
			var sum float64
			at := row(drawn)
			for i := range trial {
				trial[i] = min(potential[i], weight(i)*distance2(row(i), at))
				sum += trial[i]
			}
			if sum < bestTotal {
				bestTotal, bestRow = sum, drawn
				best, trial = trial, best
			}
		}
		centres = append(centres, row(bestRow)...)
		potential, best = best, potential
	}
	return centres, distinct
}

func sumOf(x []float64) float64 {
	var s float64
	for _, v := range x {
		s += v
	}
	return s
}

// draw picks an index with probability x[i]/total. Only indices with x[i] > 0
// can be picked.
func draw(x []float64, total float64, rnd random) int {
	u := rnd.unit() * total
	last := 0
	var s float64
	for i, v := range x {
		if v == 0 {
			continue
		}
		s += v
		last = i
		if u < s {
			return i
		}
	}
	return last // rounding left u at the very end
}
