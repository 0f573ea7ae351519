// Package nearest finds, for many rows at once, which of k centres is nearest
// in Euclidean distance and how far the runner-up is behind it. It computes in
// float32 and bounds what rounding can have done: an answer is either certain
// or marked as in doubt, for the caller to settle in float64. So every path
// (AVX-512, AVX2, plain Go) gives the same answers once doubts are settled.
//
// Of ‖x-c‖² = ‖x‖² + 2(½‖c‖² - x·c) only the bracket, the score, depends on
// the centre. Rows are transposed 32 at a time, so that a register holds one
// column of many rows: a score is then one chain of multiply-adds, and folding
// it into the least and second least so far needs no shuffle.
package nearest

import "math"

// Rows is how many rows a Batch holds.
const Rows = 4 * tile

const (
	tile  = 32 // rows transposed together
	panel = 8  // centres scored together
)

// Centres are k centres as float32, packed for scoring. Its zero value is
// empty; Set fills it.
type Centres struct {
	k, d int
	c    []float32 // panels of 8 centres, the 8 values of a column side by side
	half []float32 // ½‖c‖²; +Inf fills the last panel
	err  [5]float32
}

// Set packs centres, k×d. rounded says that rows, too, were rounded to float32
// and not only centres.
//
// Rounding. With u = 2⁻²⁴, C the greatest norm of a centre, and a sum of d
// products off by at most d·u times the sum of their magnitudes (with or
// without fused multiply-add), a score is within (d+5)·u·(‖x‖C + C²) of the
// true one, of which 2u are for rounded rows and 2u for rounded centres. The
// constants below are larger by a margin that covers the rounding of the bound
// itself. The last term is for a float64 evaluation of ‖x-c‖² to which the
// answer is held: it may be off by (d+2)·2⁻⁵³ of (‖x‖+C)².
func (c *Centres) Set(centres []float64, k, d int, rounded bool) {
	panels := (k + panel - 1) / panel
	if c.k != k || c.d != d {
		*c = Centres{k: k, d: d, c: make([]float32, panels*d*panel), half: make([]float32, panels*panel)}
		for i := range c.half {
			c.half[i] = float32(math.Inf(1))
		}
	}
	var largest float64
	for i := range k {
		var norm float64
		to := c.c[i/panel*d*panel+i%panel:]
		for j := range d {
			v := float32(centres[i*d+j])
			to[j*panel] = v
			norm += float64(float64(v) * float64(v))
		}
		c.half[i] = float32(norm / 2)
		largest = max(largest, norm)
	}
	const u = 1.0 / (1 << 24)
	terms := float64(d + 10)
	if rounded {
		terms += 4
	}
	C := math.Sqrt(largest) * (1 + 1e-6)
	e := terms * u * 1.01
	c.err = [5]float32{
		float32(2 * e * C),          // · ‖x‖
		float32(2*e*C*C) + 0x1p-100, // constant; products may also underflow
		float32(terms * 0x1p-50),    // · ‖x‖²
		float32(terms * u * 1.01),   // · ‖x‖², the error of ‖x‖² itself
		8 * u,                       // · the sum of two distances, their rounding
	}
}

// K is the number of centres.
func (c *Centres) K() int { return c.k }

// A Batch finds the nearest centres of up to Rows rows. The zero value is
// ready; a Batch is not for concurrent use.
type Batch struct {
	// Which is the nearest centre of each row, unless it is in doubt.
	Which [Rows]int32
	// Gap is a lower bound on how much farther the second nearest centre is than
	// the nearest, unless that is in doubt.
	Gap [Rows]float32

	doubt         [Rows / 8]uint8
	rows, ahead   [Rows]int32
	norm          [Rows]float32
	least, second [Rows]float32
	t             []float32
}

// Doubt says that rounding may have hidden which centre is nearest to row i.
func (b *Batch) Doubt(i int) bool { return b.doubt[i>>3]>>(i&7)&1 == 1 }

// Find finds the nearest centres of the given rows of y, n×d, at most Rows. It
// has the rows ahead, which are those of the next call or none, fetched into
// the cache meanwhile.
func (b *Batch) Find(c *Centres, y []float32, rows, ahead []int32) {
	n, d := len(rows), c.d
	if n == 0 {
		return
	}
	tiles := (n + tile - 1) / tile
	fill(&b.rows, rows, rows[n-1])
	fill(&b.ahead, ahead, rows[n-1])
	// The assembly trusts its indexes; every row must lie within y.
	for _, r := range b.rows {
		_ = y[int(r)*d : int(r)*d+d]
	}
	if len(b.t) < Rows*d {
		b.t = make([]float32, Rows*d)
	}
	for t := range tiles {
		active.pack(b.t[t*tile*d:], y, b.rows[t*tile:(t+1)*tile], b.ahead[t*tile:(t+1)*tile], d)
	}
	active.norms(b.norm[:], b.t, d, tiles)
	inf := float32(math.Inf(1))
	for i := range tiles * tile {
		b.least[i], b.second[i] = inf, inf
	}
	for p := range len(c.half) / panel {
		active.score(b.t, c.c[p*d*panel:(p+1)*d*panel], c.half[p*panel:(p+1)*panel], p*panel, &b.least, &b.second, &b.Which, d, tiles)
	}
	active.bounds(b, &c.err, tiles)
}

func fill(to *[Rows]int32, from []int32, rest int32) {
	for i := copy(to[:], from); i < Rows; i++ {
		to[i] = rest
	}
}

// Filter writes to out the indexes of the gaps that do not exceed the limit of
// their label, in ascending order, and returns how many. out must have room
// for Slack more than there are gaps.
func Filter(out []int32, gap []float32, label []uint16, limit []float32) int {
	_, _ = out[len(gap)+Slack-1], label[:len(gap)]
	return active.filter(out, gap, label, limit)
}

// Slack is by how much Filter's output must be longer than its input.
const Slack = 16

// A path is one way to compute everything here.
type path struct {
	name string
	// pack transposes rows of y into t: column j of the tile's rows starts at t[32j].
	pack func(t, y []float32, rows, ahead []int32, d int)
	// norms sets norm to ‖x‖² of every row.
	norms func(norm, t []float32, d, tiles int)
	// score folds the scores of one panel, whose first centre has that number,
	// into the least, the second least and which had the least.
	score func(t, c, half []float32, first int, least, second *[Rows]float32, which *[Rows]int32, d, tiles int)
	// bounds sets the gaps and doubts that follow from the scores.
	bounds func(b *Batch, err *[5]float32, tiles int)
	filter func(out []int32, gap []float32, label []uint16, limit []float32) int
}

var (
	paths  = append(assembled(), plain)
	active = paths[0]
)

// Paths names the ways this processor can compute, the one in use first unless
// Use chose another.
func Paths() []string {
	var names []string
	for _, p := range paths {
		names = append(names, p.name)
	}
	return names
}

// Use makes every later call take the named path, until restore is called. It
// is for tests and benchmarks, and must not run beside other calls.
func Use(name string) (restore func()) {
	before := active
	for _, p := range paths {
		if p.name == name {
			active = p
			return func() { active = before }
		}
	}
	panic("nearest: no path " + name)
}
