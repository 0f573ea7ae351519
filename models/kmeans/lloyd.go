package kmeans

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/internal/numeric"
	"github.com/shoal-data/shoal/models/internal/numeric/nearest"
	"github.com/shoal-data/shoal/models/internal/numeric/rows32"
	"github.com/shoal-data/shoal/models/kmeans/internal/blocks"
)

// nearestOf is the centre nearest to x, the lowest index of equals, with the
// squared Euclidean distances to it and to the runner-up. centres is k×d, k ≥ 2.
//
// Distances are sums of squared differences in column order, one rounding an
// operation: the explicit conversions forbid fusing into FMA, so every build
// gives the same bits, and an equal pair of distances is equal for all.
func nearestOf(x, centres []float64) (best int, d1, d2 float64) {
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

// distance2 is the squared Euclidean distance, to the same bits as in nearestOf.
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
// A row's nearest centre cannot have changed while the gap between its nearest
// and second nearest distances exceeds how far its centre has since moved plus
// how far any other has (a simplification of Hamerly, SDM 2010, to one bound).
// gap[i] holds that gap plus moved[label] as of when it was computed, so that a
// row that is skipped needs no write. The other rows are found by package
// nearest in float32; what it leaves in doubt is settled by nearestOf in
// float64. So the labels are always those that nearestOf gives every row.
type run struct {
	*blocks.Rows
	k, workers, maxIter int
	shiftLimit          float64 // stop when Σ‖shift‖² is at most this

	centres []float64 // k×d
	labels  []uint16  // n
	gap     []float32 // n
	moved   []float64 // k: Σ over iterations of own shift + largest other shift
	limit   []float32 // k: skip a row while its gap exceeds this
	stored  []float32 // k: moved, as it is added to gaps

	packed  nearest.Centres
	adder   adder
	total   tally // of the labels
	started bool  // every row has a label
	hands   []*hand

	iterations int
	converged  bool
	unsettled  int // rows whose label changed in the last iteration
}

// A hand is what one worker needs to itself.
type hand struct {
	batch   nearest.Batch
	found   []int32 // rows of the block to be looked at
	change  tally
	changed int
	buf     []float64
	y       []float32 // rows of a source, in the frame
	upto    []int32   // 0, 1, 2, …
	moved   []int32   // rows of the block whose label changed
	from    []uint16  // their labels before
	far     []float64 // squared distances of a block; nil until they are asked for
}

// mostClusters is the largest K: labels are held in 16 bits.
const mostClusters = 1 << 16

func newRun(data *blocks.Rows, p Params, start []float64, workers int) *run {
	r := &run{
		Rows: data, k: p.K, workers: workers, maxIter: p.MaxIter,
		shiftLimit: p.Tol * data.Variance,
		centres:    slices.Clone(start),
		labels:     make([]uint16, data.N),
		gap:        make([]float32, data.N),
		moved:      make([]float64, p.K), limit: make([]float32, p.K), stored: make([]float32, p.K),
		adder: newAdder(data),
		total: newTally(p.K, data.D, data.W != nil),
	}
	for range max(1, min(workers, data.Blocks())) {
		h := &hand{
			found:  make([]int32, blocks.Size+nearest.Slack),
			change: newTally(p.K, data.D, data.W != nil),
			buf:    make([]float64, data.D),
			upto:   make([]int32, blocks.Size),
		}
		for i := range h.upto {
			h.upto[i] = int32(i)
		}
		r.hands = append(r.hands, h)
	}
	r.bound()
	return r
}

// assign moves every row to its nearest centre. It returns how many rows moved.
func (r *run) assign(ctx context.Context) (int, error) {
	framed := make([]float64, len(r.centres))
	for i, v := range r.centres {
		framed[i] = (v - r.Frame.Shift[i%r.D]) * r.Frame.Scale
	}
	r.packed.Set(framed, r.k, r.D, r.Rounded)
	err := r.Each(ctx, r.workers, func(worker int, b *blocks.Block) { r.assignBlock(r.hands[worker], b) })
	changed := 0
	for _, h := range r.hands {
		r.total.merge(&h.change)
		changed += h.changed
		h.changed = 0
	}
	if err != nil {
		return 0, err
	}
	r.started = true
	return changed, nil
}

func (r *run) assignBlock(h *hand, b *blocks.Block) {
	labels, gaps := r.labels[b.Lo:b.Lo+b.N], r.gap[b.Lo:b.Lo+b.N]
	found := h.upto[:b.N]
	if r.started {
		found = h.found[:nearest.Filter(h.found, gaps, labels, r.limit)]
	}
	// Float32 rows are added and moved a block at a time.
	together := b.X32 != nil && b.W == nil
	h.moved, h.from = h.moved[:0], h.from[:0]
	for len(found) > 0 {
		some := found[:min(nearest.Rows, len(found))]
		found = found[len(some):]
		y, at, ahead := b.Y, some, found[:min(nearest.Rows, len(found))]
		if y == nil {
			y, at, ahead = r.frameRows(h, b, some), h.upto[:len(some)], nil
		}
		h.batch.Find(&r.packed, y, at, ahead)
		for t, i := range some {
			label := uint16(h.batch.Which[t])
			gap := h.batch.Gap[t]
			if h.batch.Doubt(t) {
				label, gap = r.settle(b.Row(int(i), h.buf))
			}
			gaps[i] = gap + r.stored[label]
			if was := labels[i]; was != label || !r.started {
				labels[i] = label
				if together {
					if r.started {
						h.moved, h.from = append(h.moved, i), append(h.from, was)
					}
					continue
				}
				from := int(was)
				if !r.started {
					from = -1
				}
				r.adder.add(&h.change, from, int(label), b.Row(int(i), h.buf), b.Weight(int(i)))
				h.changed++
			}
		}
	}
	switch {
	case together && !r.started:
		rows32.Add(h.change.high, b.X32, labels, r.adder.origin, r.adder.magic)
		for _, l := range labels {
			h.change.count[l]++
		}
		h.changed += b.N
	case together:
		rows32.Move(h.change.high, b.X32, h.moved, h.from, labels, r.adder.origin, r.adder.magic)
		for t, i := range h.moved {
			h.change.count[labels[i]]++
			h.change.count[h.from[t]]--
		}
		h.changed += len(h.moved)
	}
}

// frameRows are the given rows of the block in the frame, one after another.
func (r *run) frameRows(h *hand, b *blocks.Block, some []int32) []float32 {
	if h.y == nil {
		h.y = make([]float32, nearest.Rows*r.D)
	}
	for t, i := range some {
		r.Frame.Put(h.y[t*r.D:(t+1)*r.D], b.Row(int(i), h.buf))
	}
	return h.y
}

// settle finds the nearest centre in float64, with a lower bound on the gap in
// the frame's units.
func (r *run) settle(x []float64) (label uint16, gap float32) {
	c, d1, d2 := nearestOf(x, r.centres)
	a, b := math.Sqrt(d1), math.Sqrt(d2)
	exact := (b - a - 0x1p-44*float64(r.D+8)*(b+a)) * r.Frame.Scale
	return uint16(c), float32(exact - 0x1p-23*math.Abs(exact))
}

// iterate runs Lloyd's algorithm (IEEE Trans. Inf. Theory 28, 1982) until no
// label changes, the centres hardly move, or maxIter.
func (r *run) iterate(ctx context.Context) error {
	for r.iterations < r.maxIter {
		moved, err := r.assign(ctx)
		if err != nil {
			return err
		}
		means := r.adder.means(&r.total, r.centres)
		empty := slices.Contains(r.total.count, 0)
		if moved == 0 && !empty {
			r.converged = true // the centres are the means of these very labels
			return nil
		}
		r.iterations++
		r.unsettled = moved
		if empty {
			if err := r.refill(ctx, means); err != nil {
				return err
			}
		}
		if r.move(means) <= r.shiftLimit && !empty {
			r.converged = true
			return nil
		}
	}
	return nil
}

// move moves the centres, widens the bounds by how far, and returns Σ‖shift‖².
func (r *run) move(to []float64) float64 {
	var total, largest, second float64
	argmax := 0
	far := make([]float64, r.k)
	for c := range r.k {
		s := distance2(to[c*r.D:(c+1)*r.D], r.centres[c*r.D:(c+1)*r.D])
		total += s
		far[c] = math.Sqrt(s) * r.Frame.Scale
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
	}
	r.bound()
	return total
}

// bound sets the limits that follow from moved.
func (r *run) bound() {
	for c, m := range r.moved {
		r.stored[c] = float32(m)
		// Gaps and stored are float32: their sum is off by 2⁻²³ of itself and of
		// stored at most. Distances that nearestOf computes are off by (d+4)·2⁻⁵³,
		// relatively, and moved has been rounded once an iteration. Margins above
		// all that make skipping agree with computing, always.
		r.limit[c] = float32(m*(1+0x1p-20) + 0x1p-40*float64(r.D+8)*(r.Reach+m))
	}
}

// measure is Σ w‖x-c‖² over all rows and their centres, the same for any order
// of the rows.
func (r *run) measure(ctx context.Context) (float64, error) {
	longest := r.Reach / r.Frame.Scale
	g := numeric.NewGrid(r.Weight*longest*longest, r.N)
	high, low := make([]float64, len(r.hands)), make([]float64, len(r.hands))
	err := r.Each(ctx, r.workers, func(worker int, b *blocks.Block) {
		h := r.hands[worker]
		if h.far == nil {
			h.far = make([]float64, blocks.Size)
		}
		far, labels := h.far[:b.N], r.labels[b.Lo:b.Lo+b.N]
		if b.X64 != nil {
			rows32.PlainDistances(far, b.X64, labels, r.centres, r.D, 0)
		} else {
			rows32.Distances(far, b.X32, labels, r.centres, r.D)
		}
		var sh, sl float64
		for i, d2 := range far {
			ph, pl := g.Part(b.Weight(i) * d2)
			sh += ph
			sl += pl
		}
		high[worker] += sh
		low[worker] += sl
	})
	var sh, sl float64
	for i := range high {
		sh += high[i]
		sl += low[i]
	}
	return sh + sl, err
}

// refill puts the centre, in centres, of each empty cluster on the row that is
// then farthest from its own, the first of equals. When every row sits on its
// centre there are fewer distinct rows than clusters.
func (r *run) refill(ctx context.Context, centres []float64) error {
	var placed []float64
	for c, n := range r.total.count {
		if n > 0 {
			continue
		}
		type farthest struct {
			d2  float64
			row int
			x   []float64
		}
		far := make([]farthest, len(r.hands))
		for i := range far {
			far[i].x = make([]float64, r.D)
		}
		err := r.Each(ctx, r.workers, func(worker int, b *blocks.Block) {
			f := &far[worker]
			for i := range b.N {
				l := int(r.labels[b.Lo+i])
				x := b.Row(i, r.hands[worker].buf)
				d2 := distance2(x, r.centres[l*r.D:(l+1)*r.D])
				for p := 0; p < len(placed); p += r.D {
					d2 = min(d2, distance2(x, placed[p:p+r.D]))
				}
				if d2 > f.d2 || d2 == f.d2 && b.Lo+i < f.row {
					f.d2, f.row = d2, b.Lo+i
					copy(f.x, x)
				}
			}
		})
		if err != nil {
			return err
		}
		best := far[0]
		for _, f := range far[1:] {
			if f.d2 > best.d2 || f.d2 == best.d2 && f.row < best.row {
				best = f
			}
		}
		if best.d2 == 0 {
			return fmt.Errorf("kmeans: K (%d) exceeds the number of distinct rows; lower K", r.k)
		}
		copy(centres[c*r.D:], best.x)
		placed = append(placed, best.x...)
	}
	return nil
}

// finish makes the labels agree with the centres and numbers the clusters
// canonically. It returns the clusters' weights, all positive.
func (r *run) finish(ctx context.Context) (weights []float64, err error) {
	r.reorder(canonical(r.centres, r.D, make([]float64, r.k)))
	// A row halfway between two centres belongs to the lower number, so
	// renumbering can change weights and these the numbers; a few rounds settle
	// it. If ever they do not, the labels still agree with the centres.
	for round := 0; ; round++ {
		if _, err := r.assign(ctx); err != nil {
			return nil, err
		}
		if slices.Contains(r.total.count, 0) {
			// Only a run stopped early gets here. Every row's distance can only
			// shrink and one becomes 0, so this ends.
			centres := slices.Clone(r.centres)
			if err := r.refill(ctx, centres); err != nil {
				return nil, err
			}
			r.move(centres)
			round = 0
			continue
		}
		weights = make([]float64, r.k)
		for c := range weights {
			weights[c] = r.total.weight(c)
		}
		order := canonical(r.centres, r.D, weights)
		if slices.IsSorted(order) || round == 8 {
			return weights, nil
		}
		r.reorder(order)
	}
}

// reorder renumbers the clusters: number c goes to what was order[c].
func (r *run) reorder(order []int) {
	if slices.IsSorted(order) {
		return
	}
	number := make([]uint16, r.k)
	for to, from := range order {
		number[from] = uint16(to)
	}
	permute(r.centres, order)
	permute(r.moved, order)
	permute(r.total.count, order)
	permute(r.total.mass, order)
	permute(r.total.rest, order)
	permute(r.total.high, order)
	permute(r.total.low, order)
	r.bound()
	for i, l := range r.labels {
		r.labels[i] = number[l]
	}
}

// permute reorders the pieces of x, as many as order is long.
func permute[T any](x []T, order []int) {
	size := len(x) / len(order)
	old := slices.Clone(x)
	for to, from := range order {
		copy(x[to*size:(to+1)*size], old[from*size:(from+1)*size])
	}
}

func (r *run) warnings() []models.Warning {
	var ws []models.Warning
	if !r.converged && r.iterations > 0 {
		ws = append(ws, models.Warning{
			Code:    "kmeans.not_converged",
			Message: fmt.Sprintf("stopped after %d iterations with %d of %d rows still changing cluster; raise MaxIter or Tol", r.iterations, r.unsettled, r.N),
		})
	}
	for c, n := range r.total.count {
		if n < tinyRows {
			ws = append(ws, models.Warning{
				Code:    "kmeans.few_members",
				Message: fmt.Sprintf("cluster %d of %d has %d of %d rows; lower K", c, r.k, n, r.N),
			})
		}
	}
	return ws
}
