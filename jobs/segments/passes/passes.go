// Package passes reads the rows that customers are divided by: again and again, from
// memory where they fit it, and else batch by batch from where they are kept.
package passes

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/shoal-data/shoal/datasets/spool"
	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/kmeans"
)

// Rows gives every row, in the same order each time it is asked.
type Rows = kmeans.Source

// A Table is rows that can be read column by column, too.
type Table interface {
	Rows
	// Column appends every value of a column to dst. Several may be read at once.
	Column(dst []float64, j int) ([]float64, error)
}

// Held is a table in memory.
type Held struct{ Matrix models.Matrix }

func (h Held) Names() []string { return h.Matrix.Names }
func (h Held) Rows() int       { return h.Matrix.Rows() }
func (h Held) Batches(context.Context) iter.Seq2[models.Matrix, error] {
	return func(yield func(models.Matrix, error) bool) { yield(h.Matrix, nil) }
}
func (h Held) Column(dst []float64, j int) ([]float64, error) {
	return append(dst, h.Matrix.Column(nil, j)...), nil
}

// Whole is the matrix of rows that are in memory.
func Whole(r Rows) (m models.Matrix, ok bool) {
	h, ok := r.(Held)
	return h.Matrix, ok
}

// Unreadable is the error of rows that could not be read or kept: the fault of a disk,
// and not of what the rows say.
type Unreadable struct{ Err error }

func (u *Unreadable) Error() string { return u.Err.Error() }
func (u *Unreadable) Unwrap() error { return u.Err }

func unreadable(err error) error {
	var u *Unreadable
	if err == nil || errors.As(err, &u) {
		return err
	}
	return &Unreadable{err}
}

// Column is a column of the table.
func Column(t Table, j int) ([]float64, error) {
	values, err := t.Column(nil, j)
	return values, unreadable(err)
}

// Each shows f every row. A row is not to be kept.
func Each(ctx context.Context, r Rows, f func(i int, row []float64)) error {
	at := 0
	for m, err := range r.Batches(ctx) {
		if err != nil {
			return unreadable(err)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		for i := range m.Rows() {
			f(at+i, m.Row(i))
		}
		at += m.Rows()
	}
	return nil
}

// Gather copies some rows, whose numbers ascend.
func Gather(ctx context.Context, r Rows, at []int) (models.Matrix, error) {
	if m, ok := Whole(r); ok && len(at) == m.Rows() {
		return m, nil
	}
	some := models.NewMatrix(r.Names(), len(at))
	next := 0
	err := Each(ctx, r, func(i int, row []float64) {
		if next < len(at) && at[next] == i {
			copy(some.Row(next), row)
			next++
		}
	})
	return some, err
}

// Some is the table of some of the rows, whose numbers ascend. Of one in memory it is a
// copy in memory.
func Some(t Table, at []int) Table {
	if len(at) == t.Rows() {
		return t
	}
	if m, ok := Whole(t); ok {
		some := models.NewMatrix(m.Names, len(at))
		for i, row := range at {
			copy(some.Row(i), m.Row(row))
		}
		return Held{some}
	}
	return part{t, at}
}

type part struct {
	of Table
	at []int
}

func (p part) Names() []string { return p.of.Names() }
func (p part) Rows() int       { return len(p.at) }
func (p part) Batches(ctx context.Context) iter.Seq2[models.Matrix, error] {
	return func(yield func(models.Matrix, error) bool) {
		some := models.Matrix{Names: p.Names()}
		row, next := 0, 0
		for m, err := range p.of.Batches(ctx) {
			if err != nil {
				yield(models.Matrix{}, unreadable(err))
				return
			}
			some.Data = some.Data[:0]
			for ; next < len(p.at) && p.at[next] < row+m.Rows(); next++ {
				some.Data = append(some.Data, m.Row(p.at[next]-row)...)
			}
			row += m.Rows()
			if len(some.Data) > 0 && !yield(some, nil) {
				return
			}
		}
	}
}
func (p part) Column(dst []float64, j int) ([]float64, error) {
	start := len(dst)
	dst, err := p.of.Column(dst, j)
	if err != nil {
		return nil, err
	}
	for i, row := range p.at {
		dst[start+i] = dst[start+row]
	}
	return dst[:start+len(p.at)], nil
}

// Weighed is the rows with each column multiplied by a weight. Of those in memory it is
// a copy in memory.
func Weighed(r Rows, weights []float64) Rows {
	w := weighed{r, weights}
	m, ok := Whole(r)
	if !ok {
		return w
	}
	return Held{w.copy(models.Matrix{Names: m.Names}, m)}
}

type weighed struct {
	of      Rows
	weights []float64
}

func (w weighed) Names() []string { return w.of.Names() }
func (w weighed) Rows() int       { return w.of.Rows() }

func (w weighed) copy(to, m models.Matrix) models.Matrix {
	if cap(to.Data) < len(m.Data) {
		to.Data = make([]float64, len(m.Data))
	}
	to.Data = to.Data[:len(m.Data)]
	for i := range m.Rows() {
		row := to.Row(i)
		for j, v := range m.Row(i) {
			row[j] = v * w.weights[j]
		}
	}
	return to
}

func (w weighed) Batches(ctx context.Context) iter.Seq2[models.Matrix, error] {
	return func(yield func(models.Matrix, error) bool) {
		to := models.Matrix{Names: w.Names()}
		for m, err := range w.of.Batches(ctx) {
			if err != nil {
				yield(models.Matrix{}, unreadable(err))
				return
			}
			to = w.copy(to, m)
			if !yield(to, nil) {
				return
			}
		}
	}
}

// Kept are rows in a spool: in memory while its budget has room, else in its file.
type Kept struct {
	names  []string
	rows   int
	spool  *spool.Spool
	blocks []spool.Block
}

// blockRows is how many rows are kept as one block.
const blockRows = 4096

// Keep puts what change makes of every row of r into a spool: another number of columns,
// of those names, but as many rows. What it returns is not used after it is called again.
func Keep(ctx context.Context, in *spool.Spool, r Rows, names []string, change func(models.Matrix) (models.Matrix, error)) (*Kept, error) {
	k := &Kept{names: names, spool: in}
	var bytes []byte
	put := func() error {
		if len(bytes) == 0 {
			return nil
		}
		b, err := in.Put(bytes)
		k.blocks, bytes = append(k.blocks, b), bytes[:0]
		return unreadable(err)
	}
	fail := func(err error) (*Kept, error) {
		k.Drop()
		return nil, err
	}
	for m, err := range r.Batches(ctx) {
		if ctx.Err() != nil {
			return fail(context.Cause(ctx))
		}
		if err != nil {
			return fail(unreadable(err))
		}
		changed, err := change(m)
		if err != nil {
			return fail(fmt.Errorf("after row %d: %w", k.rows, err))
		}
		for i := range changed.Rows() {
			for _, v := range changed.Row(i) {
				bytes = binary.LittleEndian.AppendUint64(bytes, math.Float64bits(v))
			}
			if k.rows++; k.rows%blockRows == 0 {
				if err := put(); err != nil {
					return fail(err)
				}
			}
		}
	}
	if err := put(); err != nil {
		return fail(err)
	}
	return k, nil
}

func (k *Kept) Names() []string { return k.names }
func (k *Kept) Rows() int       { return k.rows }
func (k *Kept) Batches(context.Context) iter.Seq2[models.Matrix, error] {
	return func(yield func(models.Matrix, error) bool) {
		m := models.Matrix{Names: k.names, Data: make([]float64, blockRows*len(k.names))}
		var buf []byte
		for _, b := range k.blocks {
			bytes, err := k.spool.Get(b, &buf)
			if err != nil {
				yield(models.Matrix{}, unreadable(err))
				return
			}
			m.Data = m.Data[:len(bytes)/8]
			for i := range m.Data {
				m.Data[i] = math.Float64frombits(binary.LittleEndian.Uint64(bytes[8*i:]))
			}
			if !yield(m, nil) {
				return
			}
		}
	}
}

// Drop gives the memory back. The rows must not be read afterwards.
func (k *Kept) Drop() {
	for _, b := range k.blocks {
		k.spool.Drop(b)
	}
	k.blocks = nil
}
