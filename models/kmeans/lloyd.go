package kmeans

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/internal/numeric"
)

// rows are n×d values, row-major, with weights w > 0 or nil for all 1.
type rows struct {
	n, d int
	x, w []float64
}

func (r rows) row(i int) []float64 { return r.x[i*r.d : (i+1)*r.d : (i+1)*r.d] }

func (r rows) weight(i int) float64 {
	if r.w == nil {
		return 1
	}
	return r.w[i]
}

// nearest is the centre nearest to x, the lowest index of equals, with the
// squared Euclidean distances to it and to the runner-up. centres is k×d, k ≥ 2.
//
// Distances are sums of squared differences in column order, one rounding an
// operation: the explicit conversions forbid fusing into FMA, so every build
// gives the same bits, and an equal pair of distances is equal for all.
func nearest(x, centres []float64) (best int, d1, d2 float64) {
	d1, d2 = math.Inf(1), math.Inf(1)
	d := len(x)
	k := len(centres) / d
	c := 0
	// Four centres at a time: four independent chains of additions hide each
	// other's latency, and x is loaded once for all.
	for ; c+4 <= k; c += 4 {
		b := centres[c*d : (c+4)*d]
		c0, c1, c2, c3 := b[:d], b[d:2*d], b[2*d:3*d], b[3*d:4*d]
		c0, c1, c2, c3 = c0[:len(x)], c1[:len(x)], c2[:len(x)], c3[:len(x)]
		var s0, s1, s2, s3 float64
		for j, v := range x {
			t0, t1, t2, t3 := v-c0[j], v-c1[j], v-c2[j], v-c3[j]
			s0 += float64(t0 * t0)
			s1 += float64(t1 * t1)
			s2 += float64(t2 * t2)
			s3 += float64(t3 * t3)
		}
		best, d1, d2 = closer(best, d1, d2, c, s0)
		best, d1, d2 = closer(best, d1, d2, c+1, s1)
		best, d1, d2 = closer(best, d1, d2, c+2, s2)
		best, d1, d2 = closer(best, d1, d2, c+3, s3)
	}
	for ; c < k; c++ {
		best, d1, d2 = closer(best, d1, d2, c, distance2(x, centres[c*d:(c+1)*d]))
	}
	return best, d1, d2
}

func closer(best int, d1, d2 float64, c int, s float64) (int, float64, float64) {
	if s < d1 {
		return c, s, d1
	}
	return best, d1, min(d2, s)
}

// distance2 is the squared Euclidean distance, to the same bits as in nearest.
func distance2(x, y []float64) float64 {
	y = y[:len(x)]
	var s float64
	for j, v := range x {
		t := v - y[j]
		s += float64(t * t)
	}
	return s
}

// A run is Lloyd's algorithm on one set of rows from one start.
//
// Rows are handled in chunks whose bounds depend on k alone; each chunk keeps
// its own sums, and these are added in chunk order. That makes the result
// independent of how many workers share the chunks.
//
// A row's nearest centre cannot have changed while the gap between its nearest
// and second nearest distances exceeds how far its centre has since moved plus
// how far any other has (a simplification of Hamerly, SDM 2010, to one bound).
// gap[i] holds that gap plus moved[label] as of when it was computed, so that a
// row that is skipped needs no write.
type run struct {
	rows
	k, workers, maxIter int
	shiftLimit          float64 // stop when Σ‖shift‖² is at most this

	centres []float64 // k×d
	labels  []int     // n
	gap     []float64 // n
	moved   []float64 // k: Σ over iterations of own shift + largest other shift
	skip    []float64 // k: skip a row while its gap exceeds this
	reach   float64   // no distance between a row and a centre exceeds this

	chunk   int       // rows a chunk
	sums    []float64 // chunks×k×d weighted sums of the rows
	mass    []float64 // chunks×k weights
	changed []int     // chunks: rows whose label changed in the last assignment
	sqdist  []float64 // n squared distances to the labelled centre, once measured

	iterations int
	converged  bool
}

func newRun(data rows, p Params, start []float64, workers int) *run {
	// At least 4k rows a chunk keep the sums below a quarter of the data's size.
	chunk := max(256, 4*p.K)
	chunks := (data.n + chunk - 1) / chunk
	r := &run{
		rows: data, k: p.K, workers: workers, maxIter: p.MaxIter,
		shiftLimit: p.Tol * meanVariance(data),
		centres:    slices.Clone(start),
		labels:     make([]int, data.n),
		gap:        make([]float64, data.n),
		moved:      make([]float64, p.K), skip: make([]float64, p.K),
		chunk: chunk,
		sums:  make([]float64, chunks*p.K*data.d), mass: make([]float64, chunks*p.K),
		changed: make([]int, chunks),
	}
	top := 0.
	for _, v := range data.x {
		top = max(top, math.Abs(v))
	}
	for _, v := range start {
		top = max(top, math.Abs(v))
	}
	r.reach = 2 * top * math.Sqrt(float64(data.d))
	for i := range r.labels {
		r.labels[i] = -1 // so that the first assignment changes every row
		r.gap[i] = math.Inf(-1)
	}
	return r
}

// meanVariance is the mean over columns of the weighted variance (÷ Σw).
func meanVariance(data rows) float64 {
	mean := make([]float64, data.d)
	total := 0.
	for i := range data.n {
		w := data.weight(i)
		total += w
		for j, v := range data.row(i) {
			mean[j] += float64(w * v)
		}
	}
	for j := range mean {
		mean[j] /= total
	}
	var s numeric.Compensated
	for i := range data.n {
		s.Add(data.weight(i) * distance2(data.row(i), mean))
	}
	return s.Value() / total / float64(data.d)
}

// each runs f on every chunk [lo,hi) of rows.
func (r *run) each(ctx context.Context, f func(chunk, lo, hi int)) error {
	chunks := len(r.changed)
	workers := min(r.workers, chunks)
	var next atomic.Int64
	work := func() {
		for {
			c := int(next.Add(1)) - 1
			if c >= chunks || ctx.Err() != nil {
				return
			}
			f(c, c*r.chunk, min((c+1)*r.chunk, r.n))
		}
	}
	var wg sync.WaitGroup
	for range workers - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("kmeans: %w", err)
	}
	return nil
}

// assign moves every row to its nearest centre and refreshes the sums of the
// chunks in which a row moved. It returns how many rows did.
func (r *run) assign(ctx context.Context) (moved int, err error) {
	err = r.each(ctx, func(chunk, lo, hi int) {
		changed := 0
		for i := lo; i < hi; i++ {
			l := r.labels[i]
			if l >= 0 && r.gap[i] > r.skip[l] {
				continue
			}
			c, d1, d2 := nearest(r.row(i), r.centres)
			r.gap[i] = math.Sqrt(d2) - math.Sqrt(d1) + r.moved[c]
			if c != l {
				r.labels[i] = c
				changed++
			}
		}
		r.changed[chunk] = changed
		if changed > 0 {
			r.sum(chunk, lo, hi)
		}
	})
	for _, c := range r.changed {
		moved += c
	}
	return moved, err
}

func (r *run) sum(chunk, lo, hi int) {
	sums := r.sums[chunk*r.k*r.d : (chunk+1)*r.k*r.d]
	mass := r.mass[chunk*r.k : (chunk+1)*r.k]
	clear(sums)
	clear(mass)
	for i := lo; i < hi; i++ {
		c, x := r.labels[i], r.row(i)
		s := sums[c*r.d : (c+1)*r.d]
		s = s[:len(x)]
		if r.w == nil {
			mass[c]++
			for j, v := range x {
				s[j] += v
			}
			continue
		}
		w := r.w[i]
		mass[c] += w
		for j, v := range x {
			s[j] += float64(w * v)
		}
	}
}

// means adds the chunks' sums in order and returns the k×d means and k weights;
// the mean of an empty cluster is its present centre.
func (r *run) means() (means, mass []float64) {
	means, mass = make([]float64, r.k*r.d), make([]float64, r.k)
	for chunk := range r.changed {
		for i, v := range r.sums[chunk*r.k*r.d : (chunk+1)*r.k*r.d] {
			means[i] += v
		}
		for c, v := range r.mass[chunk*r.k : (chunk+1)*r.k] {
			mass[c] += v
		}
	}
	for c, m := range mass {
		for j := c * r.d; j < (c+1)*r.d; j++ {
			if m > 0 {
				means[j] /= m
			} else {
				means[j] = r.centres[j]
			}
		}
	}
	return means, mass
}

// iterate runs Lloyd's algorithm (IEEE Trans. Inf. Theory 28, 1982) until no
// label changes, the centres hardly move, or maxIter.
func (r *run) iterate(ctx context.Context) error {
	for r.iterations < r.maxIter {
		moved, err := r.assign(ctx)
		if err != nil {
			return err
		}
		means, mass := r.means()
		empty := slices.Contains(mass, 0)
		if moved == 0 && !empty {
			r.converged = true // the centres are the means of these very labels
			return nil
		}
		r.iterations++
		if empty {
			if err := r.measure(ctx); err != nil {
				return err
			}
			if err := r.refill(means, mass); err != nil {
				return err
			}
		}
		if r.shift(means) <= r.shiftLimit && !empty {
			r.converged = true
			return nil
		}
	}
	return nil
}

// shift moves the centres, widens the bounds by how far, and returns Σ‖shift‖².
func (r *run) shift(to []float64) float64 {
	var total, largest, second float64
	argmax := 0
	far := make([]float64, r.k)
	for c := range r.k {
		s := distance2(to[c*r.d:(c+1)*r.d], r.centres[c*r.d:(c+1)*r.d])
		total += s
		far[c] = math.Sqrt(s)
		if far[c] > largest {
			largest, second, argmax = far[c], largest, c
		} else {
			second = max(second, far[c])
		}
	}
	copy(r.centres, to)
	for c := range r.k {
		other := largest
		if c == argmax {
			other = second
		}
		r.moved[c] += far[c] + other
		// Computed distances are within (d+4)/2 units of 2⁻⁵² of true ones,
		// relatively, and moved has been rounded once an iteration. A margin
		// far above all that makes skipping agree with computing, always.
		r.skip[c] = r.moved[c] + 0x1p-44*float64(r.d+8)*(r.reach+r.moved[c])
	}
	return total
}

// measure sets sqdist to each row's squared distance from its labelled centre.
func (r *run) measure(ctx context.Context) error {
	if r.sqdist == nil {
		r.sqdist = make([]float64, r.n)
	}
	return r.each(ctx, func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			c := r.labels[i]
			r.sqdist[i] = distance2(r.row(i), r.centres[c*r.d:(c+1)*r.d])
		}
	})
}

// refill puts each empty cluster's centre on the row then farthest from its
// own, the first of equals. When every row sits on its centre there are fewer
// distinct rows than clusters.
func (r *run) refill(centres, mass []float64) error {
	for c, m := range mass {
		if m > 0 {
			continue
		}
		far := 0
		for i, s := range r.sqdist {
			if s > r.sqdist[far] {
				far = i
			}
		}
		if r.sqdist[far] == 0 {
			return fmt.Errorf("kmeans: K (%d) exceeds the number of distinct rows; lower K", r.k)
		}
		at := r.row(far)
		copy(centres[c*r.d:], at)
		for i := range r.sqdist {
			r.sqdist[i] = min(r.sqdist[i], distance2(r.row(i), at))
		}
	}
	return nil
}

// reassign labels every row by the present centres, without bounds, and
// measures the distances.
func (r *run) reassign(ctx context.Context) (mass []float64, err error) {
	if r.sqdist == nil {
		r.sqdist = make([]float64, r.n)
	}
	err = r.each(ctx, func(chunk, lo, hi int) {
		m := r.mass[chunk*r.k : (chunk+1)*r.k]
		clear(m)
		for i := lo; i < hi; i++ {
			c, d1, _ := nearest(r.row(i), r.centres)
			r.labels[i], r.sqdist[i] = c, d1
			m[c] += r.weight(i)
		}
	})
	mass = make([]float64, r.k)
	for i, v := range r.mass {
		mass[i%r.k] += v
	}
	return mass, err
}

// finish numbers the clusters canonically and makes the labels agree with the
// centres. It returns the clusters' weights, all positive.
func (r *run) finish(ctx context.Context) (mass []float64, err error) {
	r.reorder(canonical(r.centres, r.d, make([]float64, r.k)))
	// A row halfway between two centres belongs to the lower number, so
	// renumbering can change weights and these the numbers; a few rounds settle
	// it. If ever they do not, the labels still agree with the centres.
	for round := 0; ; round++ {
		if mass, err = r.reassign(ctx); err != nil {
			return nil, err
		}
		if slices.Contains(mass, 0) {
			// Only a run stopped early gets here. Every row's distance can only
			// shrink and one becomes 0, so this ends.
			if err := r.refill(r.centres, mass); err != nil {
				return nil, err
			}
			round = 0
			continue
		}
		order := canonical(r.centres, r.d, mass)
		if slices.IsSorted(order) || round == 8 {
			return mass, nil
		}
		r.reorder(order)
	}
}

func (r *run) reorder(order []int) {
	old := slices.Clone(r.centres)
	for to, from := range order {
		copy(r.centres[to*r.d:(to+1)*r.d], old[from*r.d:])
	}
}

// inertia is Σ w‖x−c‖² over the distances last measured.
func (r *run) inertia() float64 {
	var s numeric.Compensated
	for i, v := range r.sqdist {
		s.Add(r.weight(i) * v)
	}
	return s.Value()
}

func (r *run) warnings() []models.Warning {
	var ws []models.Warning
	if !r.converged && r.iterations > 0 {
		changed := 0
		for _, c := range r.changed {
			changed += c
		}
		ws = append(ws, models.Warning{
			Code:    "kmeans.not_converged",
			Message: fmt.Sprintf("stopped after %d iterations with %d of %d rows still changing cluster; raise MaxIter or Tol", r.iterations, changed, r.n),
		})
	}
	count := make([]int, r.k)
	for _, l := range r.labels {
		count[l]++
	}
	for c, n := range count {
		if n < tinyRows {
			ws = append(ws, models.Warning{
				Code:    "kmeans.few_members",
				Message: fmt.Sprintf("cluster %d of %d has %d of %d rows; lower K", c, r.k, n, r.n),
			})
		}
	}
	return ws
}
