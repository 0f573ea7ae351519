// Package blocks holds the rows that k-means fits, in memory or read anew in
// every pass, and hands them out in blocks whose borders do not depend on how
// the rows arrive or on who works on them.
package blocks

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"sync"
	"sync/atomic"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/internal/numeric/rows32"
)

// A Source gives the rows of a fit batch by batch, for data larger than memory:
// the same rows in the same order each time it is asked.
type Source interface {
	Names() []string
	Rows() int
	// Batches yields every row once. A batch is not used after the next is
	// asked for. A fit asks for about as many passes as it takes iterations.
	Batches(ctx context.Context) iter.Seq2[models.Matrix, error]
}

// Size is how many rows are handled as one piece. Blocks start at multiples
// of it, however the rows arrive, and what is kept a block is added up in their
// order: so nothing depends on batches or workers.
const Size = 4096

// What is refused: weighted squared distances, summed over any number of
// columns and rows, stay within float64.
const (
	MaxMagnitude = 1e140
	MaxWeight    = 1e15
)

// Rows are N×D values with weights W > 0, or nil for all 1. They are held as
// float64, as float32, or not at all but read from a source.
type Rows struct {
	Names  []string
	N, D   int
	X64    []float64
	X32    []float32
	Source Source
	Left   []float64 // the weights of all rows, if those of weight 0 have been left out
	W      []float64

	// Set by Prepare.
	Origin   []float64 // near the mean of each column; sums are of differences to it
	Extent   []float64 // no value of the column lies farther from its origin
	Variance float64   // mean over columns
	Weight   float64   // ΣW
	Frame    Frame     // in which distances are computed
	Y        []float32 // the rows in the frame; nil for a source
	Rounded  bool      // Y is not exact
	Reach    float64   // no two rows are farther apart, in the frame
}

// A Frame is the change of units from x to (x-Shift)·Scale.
type Frame struct {
	Shift []float64
	Scale float64 // a power of two
}

// Put writes x in the frame's units.
func (f *Frame) Put(y []float32, x []float64) {
	shift := f.Shift[:len(x)]
	y = y[:len(x)]
	for j, v := range x {
		y[j] = float32((v - shift[j]) * f.Scale)
	}
}

// A Block is rows Lo to Lo+N.
type Block struct {
	Lo, N, D int
	X64      []float64
	X32      []float32
	Y        []float32 // nil for a source
	W        []float64 // nil for all 1
}

// Row is row i of the block, in buf unless it is held as float64.
func (b *Block) Row(i int, buf []float64) []float64 {
	if b.X64 != nil {
		return b.X64[i*b.D : (i+1)*b.D : (i+1)*b.D]
	}
	for j, v := range b.X32[i*b.D : (i+1)*b.D] {
		buf[j] = float64(v)
	}
	return buf
}

// Weight is what row i of the block weighs.
func (b *Block) Weight(i int) float64 {
	if b.W == nil {
		return 1
	}
	return b.W[i]
}

// Blocks is how many there are.
func (r *Rows) Blocks() int { return (r.N + Size - 1) / Size }

// Each runs f on every block, on up to that many goroutines, of which it is told
// the number. It returns the first error of the source, or of ctx.
func (r *Rows) Each(ctx context.Context, workers int, f func(worker int, b *Block)) error {
	workers = max(1, min(workers, r.Blocks()))
	if r.Source != nil {
		return r.stream(ctx, workers, f)
	}
	var next atomic.Int64
	work := func(worker int) {
		for ctx.Err() == nil {
			lo := (int(next.Add(1)) - 1) * Size
			if lo >= r.N {
				return
			}
			hi := min(lo+Size, r.N)
			b := Block{Lo: lo, N: hi - lo, D: r.D}
			if r.X64 != nil {
				b.X64 = r.X64[lo*r.D : hi*r.D]
			} else {
				b.X32 = r.X32[lo*r.D : hi*r.D]
			}
			if r.Y != nil {
				b.Y = r.Y[lo*r.D : hi*r.D]
			}
			if r.W != nil {
				b.W = r.W[lo:hi]
			}
			f(worker, &b)
		}
	}
	var wg sync.WaitGroup
	for worker := range workers - 1 {
		wg.Go(func() { work(worker + 1) })
	}
	work(0)
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("kmeans: %w", err)
	}
	return nil
}

// stream is Each over a source: one goroutine reads and cuts blocks, copying
// since a batch is only lent; the others work on them.
func (r *Rows) stream(ctx context.Context, workers int, f func(worker int, b *Block)) error {
	full, empty := make(chan *Block), make(chan *Block, workers+1)
	for range workers + 1 {
		empty <- &Block{D: r.D, X64: make([]float64, 0, Size*r.D)}
	}
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			for b := range full {
				f(worker, b)
				b.X64 = b.X64[:0]
				empty <- b
			}
		})
	}
	read := func() error {
		defer wg.Wait()
		defer close(full)
		b := <-empty
		row, kept, announced := 0, 0, r.Source.Rows()
		send := func() {
			b.Lo, b.N = kept-len(b.X64)/r.D, len(b.X64)/r.D
			if r.W != nil {
				b.W = r.W[b.Lo:kept]
			}
			full <- b
			b = <-empty
		}
		for m, err := range r.Source.Batches(ctx) {
			if err != nil {
				return fmt.Errorf("kmeans: after row %d: %w", row, err)
			}
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("kmeans: %w", err)
			}
			if err := sameColumns(m, r.Names); err != nil {
				return fmt.Errorf("kmeans: batch at row %d: %w", row, err)
			}
			for i := range m.Rows() {
				if row == announced {
					return fmt.Errorf("kmeans: the source yields more than its %d rows", row)
				}
				row++
				if r.Left != nil && r.Left[row-1] == 0 {
					continue
				}
				b.X64 = append(b.X64, m.Row(i)...)
				if kept++; kept%Size == 0 {
					send()
				}
			}
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("kmeans: %w", err)
		}
		if row != announced {
			return fmt.Errorf("kmeans: the source yields %d of its %d rows", row, announced)
		}
		if len(b.X64) > 0 {
			send()
		}
		return nil
	}
	return read()
}

func sameColumns(m models.Matrix, names []string) error {
	if len(m.Names) != len(names) || len(m.Data)%max(1, len(names)) != 0 {
		return fmt.Errorf("%d values of columns %v, want rows of %v", len(m.Data), m.Names, names)
	}
	for j, n := range m.Names {
		if n != names[j] {
			return fmt.Errorf("column %d is %q, want %q", j, n, names[j])
		}
	}
	return nil
}

// Weigh gives the rows their weights and leaves out those of weight 0, so that
// they influence nothing.
func (r Rows) Weigh(weights []float64) (*Rows, error) {
	if weights == nil {
		return &r, nil
	}
	if len(weights) != r.N {
		return nil, fmt.Errorf("kmeans: %d weights for %d rows", len(weights), r.N)
	}
	positive := 0
	for i, w := range weights {
		if !(w >= 0 && w <= MaxWeight) {
			return nil, fmt.Errorf("kmeans: weight of row %d is %v; weights must be in [0,%g]", i, w, MaxWeight)
		}
		if w > 0 {
			positive++
		}
	}
	r.W = weights
	if positive == r.N {
		return &r, nil
	}
	some := r
	some.N, some.Left, some.W = positive, weights, make([]float64, 0, positive)
	some.X64, some.X32 = nil, nil
	for i, w := range weights {
		if w == 0 {
			continue
		}
		some.W = append(some.W, w)
		if r.X64 != nil {
			some.X64 = append(some.X64, r.X64[i*r.D:(i+1)*r.D]...)
		} else if r.X32 != nil {
			some.X32 = append(some.X32, r.X32[i*r.D:(i+1)*r.D]...)
		}
	}
	return &some, nil
}

// originRows is how many rows, evenly spaced, place the origin.
const originRows = 1024

// Prepare checks every value, and sets the frame in which distances and sums
// are computed.
func (r *Rows) Prepare(ctx context.Context, workers int) error {
	if err := r.place(ctx); err != nil {
		return err
	}
	type part struct {
		bad            int // index of the first value that cannot be used, or -1
		value          float64
		weight, square float64
		sum            []float64
	}
	parts := make([]part, r.Blocks())
	extents := make([][]float64, max(1, workers))
	squares := make([][]float64, max(1, workers))
	buffers := make([][]float64, max(1, workers))
	err := r.Each(ctx, workers, func(worker int, b *Block) {
		if extents[worker] == nil {
			extents[worker], squares[worker], buffers[worker] = make([]float64, r.D), make([]float64, r.D), make([]float64, r.D)
		}
		p := &parts[b.Lo/Size]
		*p = part{bad: -1, sum: make([]float64, r.D)}
		sum, extent, square, origin := p.sum, extents[worker][:r.D], squares[worker][:r.D], r.Origin[:r.D]
		clear(square)
		quick := b.X32 != nil && b.W == nil
		if quick {
			rows32.Moments(b.X32, origin, sum, square, extent)
			p.weight = float64(b.N)
			for _, s := range sum {
				if math.IsNaN(s) || math.IsInf(s, 0) { // a value cannot be used: which?
					quick = false
					clear(sum)
					clear(extent) // which an infinite value has made infinite; nothing is fitted now
					clear(square)
					p.weight = 0
				}
			}
		}
		for i := 0; i < b.N && !quick; i++ {
			row, w := b.Row(i, buffers[worker]), b.Weight(i)
			for j, v := range row {
				t := v - origin[j]
				if !(math.Abs(t) <= extent[j]) { // seldom
					if !(math.Abs(v) <= MaxMagnitude) {
						if p.bad < 0 {
							p.bad, p.value = (b.Lo+i)*r.D+j, v
						}
						continue
					}
					extent[j] = math.Abs(t)
				}
				sum[j] += float64(w * t)
				square[j] += float64(w * float64(t*t))
			}
			p.weight += w
		}
		for _, s := range square {
			p.square += s
		}
	})
	if err != nil {
		return err
	}
	var square float64
	sum := make([]float64, r.D)
	for _, p := range parts {
		if p.bad >= 0 {
			return r.Refuse(p.bad, p.value)
		}
		r.Weight += p.weight
		square += p.square
		for j, v := range p.sum {
			sum[j] += v
		}
	}
	r.Extent = make([]float64, r.D)
	var far float64
	for _, e := range extents {
		for j, v := range e {
			r.Extent[j] = max(r.Extent[j], v)
			far = max(far, v)
		}
	}
	var offset, origin float64
	for j, s := range sum {
		offset += s / r.Weight * (s / r.Weight)
		origin += r.Origin[j] * r.Origin[j]
	}
	spread := max(0, square/r.Weight-offset)
	r.Variance = spread / float64(r.D)

	// Values that are float32 already, and not far from 0 for their spread, are
	// used as they are. Else they are moved and scaled, to spend float32's
	// digits on differences and to stay clear of its range.
	if r.X32 != nil && origin <= 16*spread && far > 0x1p-30 && far < 0x1p30 {
		r.Y, r.Frame = r.X32, Frame{make([]float64, r.D), 1}
		r.Reach = 2 * math.Sqrt(float64(r.D)) * far
		return nil
	}
	_, exponent := math.Frexp(far)
	r.Frame, r.Rounded = Frame{r.Origin, math.Ldexp(1, -exponent)}, true
	r.Reach = 2 * math.Sqrt(float64(r.D)) * far * r.Frame.Scale
	if r.Source != nil {
		return nil
	}
	r.Y = make([]float32, r.N*r.D)
	return r.Each(ctx, workers, func(worker int, b *Block) {
		for i := range b.N {
			r.Frame.Put(b.Y[i*r.D:(i+1)*r.D], b.Row(i, buffers[worker]))
		}
	})
}

// place sets the origin to the mean of a few rows, rounded to a sixteenth or so
// of their spread: differences to it then keep the digits of data that have few.
func (r *Rows) place(ctx context.Context) error {
	some := min(r.N, originRows)
	seen := make([]float64, 0, some*r.D)
	buf := make([]float64, r.D)
	if r.Source == nil {
		all := Block{D: r.D, X64: r.X64, X32: r.X32}
		for s := range some {
			seen = append(seen, all.Row(s*r.N/some, buf)...)
		}
	} else {
		next := 0
		err := r.Each(ctx, 1, func(_ int, b *Block) {
			for ; next < some && next*r.N/some < b.Lo+b.N; next++ {
				seen = append(seen, b.Row(next*r.N/some-b.Lo, buf)...)
			}
		})
		if err != nil {
			return err
		}
	}
	for i, v := range seen {
		if !(math.Abs(v) <= MaxMagnitude) {
			seen[i] = 0 // Prepare finds and refuses it
		}
	}
	r.Origin = make([]float64, r.D)
	for i, v := range seen {
		r.Origin[i%r.D] += v / float64(some)
	}
	spread := make([]float64, r.D)
	for i, v := range seen {
		spread[i%r.D] = max(spread[i%r.D], math.Abs(v-r.Origin[i%r.D]))
	}
	for j, v := range r.Origin {
		if spread[j] == 0 {
			continue
		}
		_, e := math.Frexp(spread[j])
		step := math.Ldexp(1, e-4)
		r.Origin[j] = math.RoundToEven(v/step) * step
	}
	return nil
}

// Refuse says what is wrong with value i of the rows, whose number counts rows
// of weight 0 too.
func (r *Rows) Refuse(i int, v float64) error {
	row, j := i/r.D, i%r.D
	for k, w := range r.Left {
		if k > row {
			break
		}
		if w == 0 {
			row++
		}
	}
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Errorf("kmeans: row %d, column %d (%s) is %v; values must be finite", row, j, r.Names[j], v)
	}
	return fmt.Errorf("kmeans: row %d, column %d (%s) is %v; squared distances overflow beyond ±%g, standardise the column", row, j, r.Names[j], v, MaxMagnitude)
}

// Sample draws m of the rows without replacement, keeping their order (Vitter,
// CACM 27, 1984, algorithm S: select with probability still needed over still
// left).
func (r *Rows) Sample(ctx context.Context, m int, below func(n int) int) (*Rows, error) {
	s := &Rows{Names: r.Names, N: m, D: r.D, X64: make([]float64, 0, m*r.D)}
	buf := make([]float64, r.D)
	err := r.Each(ctx, 1, func(_ int, b *Block) {
		for i := range b.N {
			if below(r.N-b.Lo-i) >= m-len(s.X64)/r.D {
				continue
			}
			s.X64 = append(s.X64, b.Row(i, buf)...)
			if r.W != nil {
				s.W = append(s.W, b.W[i])
			}
		}
	})
	return s, err
}

// Distinct are the first m rows that differ.
func (r *Rows) Distinct(ctx context.Context, m int) (*Rows, error) {
	s := &Rows{Names: r.Names, D: r.D}
	seen := map[string]bool{}
	buf, key := make([]float64, r.D), make([]byte, 0, 8*r.D)
	err := r.Each(ctx, 1, func(_ int, b *Block) {
		for i := 0; i < b.N && s.N < m; i++ {
			x := b.Row(i, buf)
			key = key[:0]
			for _, v := range x {
				key = binary.LittleEndian.AppendUint64(key, math.Float64bits(v+0)) // -0 is 0
			}
			if !seen[string(key)] {
				seen[string(key)] = true
				s.X64 = append(s.X64, x...)
				s.N++
			}
		}
	})
	return s, err
}
