package grow

import (
	"context"
	"math/bits"
	"slices"
	"sync"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/gbdt/internal/bin"
	"github.com/shoal-data/shoal/models/gbdt/internal/kernel"
	"github.com/shoal-data/shoal/models/internal/numeric"
)

// A Table is the training rows as bins, twice: by column, to divide rows by one
// column, and by row within blocks of columns, to add up histograms.
type Table struct {
	width   int // columns of the matrix
	columns []column
	blocks  []block
	bins    int // of all columns
}

// A column is one that varies.
type column struct {
	source   int // its place in the matrix
	mapper   *bin.Mapper
	values   int // bins for values
	missing  bool
	category bool
	monotone int
	bins     []byte // n
}

// entries is how many of a histogram's are the column's: one a bin, one for missing values even
// where there are none, and as many more as make whole fours, which splits are judged by. All of
// them are cleared before they are used, for another column may have had them.
func (c *column) entries() int { return (c.values + 1 + 3) &^ 3 }

// A block is adjacent columns, [from, to), whose bins lie together by row.
type block struct {
	from, to int
	stride   int
	bins     []byte // rows×stride
}

// Columns is how many columns vary.
func (t *Table) Columns() int { return len(t.columns) }

// Varies says which columns of the matrix do.
func (t *Table) Varies() []bool {
	varies := make([]bool, t.width)
	for _, c := range t.columns {
		varies[c.source] = true
	}
	return varies
}

// blockColumns is the most columns in a block: their histograms take about half of
// a second-level cache.
const blockColumns = 128

// gathered is how many columns are read from a matrix at once: a row's values of them lie side by
// side, and to fetch one from memory is to fetch the others.
const gathered = 4

// NewTable bins the rows of x, w being their weights or nil. A value that is NaN is missing.
func NewTable(ctx context.Context, p Settings, x models.Matrix, w []float64) (*Table, error) {
	n, d := x.Rows(), x.Cols()
	mappers := make([]*bin.Mapper, d)
	sample := sampleRows(p, n)
	size := n
	if sample != nil {
		size = len(sample)
	}
	rooms := sync.Pool{New: func() any { return new([gathered + 1][]float64) }}
	err := numeric.Chunks(ctx, p.Workers, d, gathered, func(_, from, to int) {
		room := rooms.Get().(*[gathered + 1][]float64)
		defer rooms.Put(room)
		columns, weights := room[:to-from], &room[gathered]
		for c := range columns {
			if columns[c] == nil {
				columns[c] = make([]float64, size)
			}
		}
		for k := range size {
			i := k
			if sample != nil {
				i = int(sample[k])
			}
			for c, v := range x.Data[i*d+from : i*d+to] {
				columns[c][k] = v
			}
		}
		for c, values := range columns {
			j := from + c
			if w != nil {
				if *weights == nil {
					*weights = make([]float64, size)
				}
				for k := range *weights { // binning overwrites them
					i := k
					if sample != nil {
						i = int(sample[k])
					}
					(*weights)[k] = w[i]
				}
			}
			if slices.Contains(p.Categorical, x.Names[j]) {
				mappers[j] = bin.Categorical(values, *weights, p.MaxBins)
			} else {
				mappers[j] = bin.Numeric(values, *weights, p.MaxBins)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	if sample != nil {
		// A value that is missing in some row outside of the sample still needs its bin.
		seen := make([][]bool, (n+rowChunk-1)/rowChunk)
		err = numeric.Chunks(ctx, p.Workers, n, rowChunk, func(c, lo, hi int) {
			seen[c] = make([]bool, d)
			for i := lo; i < hi; i++ {
				for j, v := range x.Row(i) {
					if v != v {
						seen[c][j] = true
					}
				}
			}
		})
		if err != nil {
			return nil, err
		}
		for j, m := range mappers {
			for _, s := range seen {
				m.Missing = m.Missing || s[j] || m.Categories != nil
			}
		}
	}
	t := &Table{width: d}
	for j, m := range mappers {
		if !m.Constant() {
			t.columns = append(t.columns, column{
				source: j, mapper: m, values: m.Values(), missing: m.Missing, category: m.Categories != nil,
				monotone: p.Monotone[x.Names[j]], bins: make([]byte, n),
			})
		}
	}
	t.divide(p, n)
	err = numeric.Chunks(ctx, p.Workers, n, rowChunk, func(_, lo, hi int) {
		for _, b := range t.blocks {
			for k := b.from; k < b.to; k++ {
				col := &t.columns[k]
				col.mapper.Bins(col.bins[lo:hi], x.Data[lo*d+col.source:], d)
				to := b.bins[lo*b.stride+k-b.from:]
				for i, v := range col.bins[lo:hi] {
					to[i*b.stride] = v
				}
			}
		}
	})
	return t, err
}

// divide makes blocks for n rows: as many as there are workers to share them,
// unless they would get thin.
func (t *Table) divide(p Settings, n int) {
	for _, col := range t.columns {
		t.bins += col.values
	}
	c := len(t.columns)
	count := max(1, min(p.Workers, c/16), (c+blockColumns-1)/blockColumns)
	for b := range count {
		from, to := b*c/count, (b+1)*c/count
		stride := (to - from + 7) &^ 7
		t.blocks = append(t.blocks, block{from: from, to: to, stride: stride, bins: make([]byte, n*stride)})
	}
}

// NewTableOf is NewTable of n rows, with the bins of the first cut of them, whose columns are asked for one after
// another, so that they never lie beside one another as numbers. fill writes
// column j to values, NaN where it is missing; it is never called twice at once.
func NewTableOf(ctx context.Context, p Settings, names []string, n, cut int, fill func(values []float64, j int) error) (*Table, error) {
	made := make([]*column, len(names))
	sample := sampleRows(p, cut)
	if sample == nil && cut < n {
		sample = make([]uint32, cut)
		for i := range sample {
			sample[i] = uint32(i)
		}
	}
	rooms := sync.Pool{New: func() any { return new([2][]float64{make([]float64, n), make([]float64, n)}) }}
	var asking sync.Mutex
	var failed error
	err := numeric.Chunks(ctx, p.Workers, len(names), 1, func(j, _, _ int) {
		room := rooms.Get().(*[2][]float64)
		defer rooms.Put(room)
		values, scratch := room[0], room[1]
		asking.Lock()
		stop := failed != nil
		if !stop {
			failed = fill(values, j)
			stop = failed != nil
		}
		asking.Unlock()
		if stop {
			return
		}
		if sample == nil {
			copy(scratch, values)
		} else {
			scratch = scratch[:len(sample)]
			for k, i := range sample {
				scratch[k] = values[i]
			}
		}
		category := slices.Contains(p.Categorical, names[j])
		var m *bin.Mapper
		if category {
			m = bin.Categorical(scratch, nil, p.MaxBins)
		} else {
			m = bin.Numeric(scratch, nil, p.MaxBins)
		}
		if sample != nil {
			m.Missing = m.Missing || category || slices.ContainsFunc(values, func(v float64) bool { return v != v })
		}
		if m.Constant() {
			return
		}
		c := &column{source: j, mapper: m, values: m.Values(), missing: m.Missing, category: category, monotone: p.Monotone[names[j]], bins: make([]byte, n)}
		m.Bins(c.bins, values, 1)
		made[j] = c
	})
	if failed != nil {
		return nil, failed
	}
	if err != nil {
		return nil, err
	}
	t := &Table{width: len(names)}
	for _, c := range made {
		if c != nil {
			t.columns = append(t.columns, *c)
		}
	}
	return t, t.interleave(ctx, p, n)
}

// interleave lays the columns' bins out by row.
func (t *Table) interleave(ctx context.Context, p Settings, n int) error {
	t.divide(p, n)
	return numeric.Chunks(ctx, p.Workers, n, rowChunk, func(_, lo, hi int) {
		for _, b := range t.blocks {
			for k := b.from; k < b.to; k++ {
				to := b.bins[lo*b.stride+k-b.from:]
				for i, v := range t.columns[k].bins[lo:hi] {
					to[i*b.stride] = v
				}
			}
		}
	})
}

// Select is the table of some of the matrix's columns, given by their places,
// which become the places 0, 1 and so on. Bins by column are shared.
func (t *Table) Select(ctx context.Context, p Settings, n int, places []int) (*Table, error) {
	s := &Table{width: len(places)}
	for to, from := range places {
		for _, c := range t.columns {
			if c.source == from {
				c.source = to
				s.columns = append(s.columns, c)
			}
		}
	}
	return s, s.interleave(ctx, p, n)
}

// Ranking counts rows of either label by the bins of the column at a place in the
// matrix, the last count being of missing values. ok is false for a column that
// does not vary.
func (t *Table) Ranking(source int, rows []uint32, y []float64) (no, yes []int, ok bool) {
	for k := range t.columns {
		c := &t.columns[k]
		if c.source != source {
			continue
		}
		var count [2][256]int
		for _, i := range rows {
			count[int(y[i])][c.bins[i]]++
		}
		n := c.mapper.MissingBin() + 1
		return count[0][:n], count[1][:n], true
	}
	return nil, nil, false
}

// A Router sends rows of a table down a tree that was grown on it.
type Router struct {
	tree  *Tree
	bins  [][]byte     // of each inner node's column
	right [][256]uint8 // 1 for the bins that go right
}

// NewRouter makes the tree ready; ok is false when it looks at a column that
// does not vary in the table.
func (t *Table) NewRouter(tree *Tree) (r *Router, ok bool) {
	r = &Router{tree: tree, bins: make([][]byte, len(tree.Column)), right: make([][256]uint8, len(tree.Column))}
	place := make(map[int32]*column, len(t.columns))
	for k := range t.columns {
		place[int32(t.columns[k].source)] = &t.columns[k]
	}
	for i, source := range tree.Column {
		c := place[source]
		if c == nil {
			return nil, false
		}
		r.bins[i] = c.bins
		right := &r.right[i]
		missing := c.mapper.MissingBin()
		for b := range missing {
			left := false
			if c.category {
				_, left = slices.BinarySearch(tree.Categories[i], c.mapper.Categories[b])
			} else {
				left = b <= int(c.mapper.Bin(tree.Threshold[i]))
			}
			if !left {
				right[b] = 1
			}
		}
		if !tree.MissingLeft[i] || c.category {
			right[missing] = 1
		}
	}
	return r, true
}

// Leaves calls visit with each leaf's rows, where there are some. It changes
// the order of rows; spare is as long.
func (r *Router) Leaves(rows, spare []uint32, visit func(leaf int, rows []uint32)) {
	if len(r.tree.Column) == 0 {
		visit(0, rows)
		return
	}
	r.descend(0, rows, spare, visit)
}

func (r *Router) descend(at int32, rows, spare []uint32, visit func(leaf int, rows []uint32)) {
	switch {
	case len(rows) == 0:
	case at < 0:
		visit(int(^at), rows)
	default:
		kept := kernel.Partition(rows, spare, r.bins[at], &r.right[at])
		copy(rows[kept:], spare[:len(rows)-kept])
		r.descend(r.tree.Left[at], rows[:kept], spare[:kept], visit)
		r.descend(r.tree.Right[at], rows[kept:], spare[kept:], visit)
	}
}

// rowChunk is how many rows are binned together: few enough for their values to
// stay in the cache while one column after the other is read from them.
const rowChunk = 256

// sampleRows is which rows the bins are cut from: one from each of BinRows
// equal stretches, or nil for all.
func sampleRows(p Settings, n int) []uint32 {
	if n <= p.BinRows {
		return nil
	}
	rows := make([]uint32, p.BinRows)
	for k := range rows {
		lo, hi := k*n/p.BinRows, (k+1)*n/p.BinRows
		rows[k] = uint32(lo + int(Draw(p.Seed, -1, uint64(k), uint64(hi-lo))))
	}
	return rows
}

// Draw is a number in [0, below) that depends on seed, tree and item alone.
func Draw(seed uint64, tree int, item, below uint64) uint64 {
	hi, _ := bits.Mul64(hash(hash(hash(seed)+uint64(tree))+item), below)
	return hi
}

// hash is the finaliser of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014).
func hash(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
