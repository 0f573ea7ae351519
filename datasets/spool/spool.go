// Package spool keeps blocks of bytes in memory up to a budget, and beyond it in
// a temporary file that vanishes with the process, however that ends.
package spool

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
)

// A Budget is the memory that the blocks of several spools may take together.
type Budget struct {
	limit   int64
	used    atomic.Int64
	spilled atomic.Int64
}

// NewBudget allows so many bytes; none at all sends every block to disk.
func NewBudget(bytes int64) *Budget { return &Budget{limit: bytes} }

// Unlimited keeps every block in memory.
func Unlimited() *Budget { return NewBudget(1<<63 - 1) }

// Limit is the number of bytes allowed.
func (b *Budget) Limit() int64 { return b.limit }

// Used is the number of bytes of blocks in memory.
func (b *Budget) Used() int64 { return b.used.Load() }

// Spilled is the number of bytes written to temporary files so far.
func (b *Budget) Spilled() int64 { return b.spilled.Load() }

// reserve takes n bytes of the budget, if they are there.
func (b *Budget) reserve(n int64) bool {
	if b.used.Add(n) <= b.limit {
		return true
	}
	b.used.Add(-n)
	return false
}

// A Spool holds blocks. All methods but Close may be called at once.
type Spool struct {
	budget *Budget
	dir    string
	total  atomic.Int64

	mu   sync.Mutex
	file *os.File // nil until a block is spilled
	end  int64    // of the file
}

// New returns an empty spool whose temporary file, if it comes to one, lies in
// dir; an empty dir is the system's directory for such files.
func New(budget *Budget, dir string) *Spool { return &Spool{budget: budget, dir: dir} }

// A Block is a stretch of bytes in a spool. The zero Block is empty.
type Block struct {
	data []byte // nil when spilled
	at   int64  // in the file
	size int
}

// Len is the number of bytes of the block.
func (b *Block) Len() int { return b.size }

// Put copies data into the spool.
func (s *Spool) Put(data []byte) (Block, error) {
	n := len(data)
	s.total.Add(int64(n))
	if s.budget.reserve(int64(n)) {
		return Block{data: append(make([]byte, 0, n), data...), size: n}, nil
	}
	s.mu.Lock()
	err := s.create()
	f, at := s.file, s.end
	s.end += int64(n)
	s.mu.Unlock()
	if err != nil {
		return Block{}, err
	}
	if _, err := f.WriteAt(data, at); err != nil {
		return Block{}, s.explain("writing", err)
	}
	s.budget.spilled.Add(int64(n))
	return Block{at: at, size: n}, nil
}

// create opens the temporary file. It has no name, or for no longer than a moment where
// the system makes no files without: its space is freed when the process ends, be it by
// kill -9.
func (s *Spool) create() error {
	if s.file != nil {
		return nil
	}
	dir := s.dir
	if dir == "" {
		dir = os.TempDir()
	}
	f, ok := nameless(dir)
	if !ok {
		var err error
		if f, err = unnamed(dir); err != nil {
			return s.explain("creating", err)
		}
	}
	s.file = f
	return nil
}

// unnamed makes a file in dir and takes its name away.
func unnamed(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "shoal-spill-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (s *Spool) explain(doing string, err error) error {
	dir := s.dir
	if dir == "" {
		dir = os.TempDir()
	}
	return fmt.Errorf("%s a temporary file in %s for what exceeds the memory budget: %w; raise limits.memory, or set TMPDIR to a disk with more room", doing, dir, err)
}

// Get returns the bytes of a block. They are valid until the next use of buf,
// which is for blocks that must be read, and must not be changed.
func (s *Spool) Get(b Block, buf *[]byte) ([]byte, error) { return s.Range(b, 0, b.size, buf) }

// Range is Get for the bytes [from, to) of the block.
func (s *Spool) Range(b Block, from, to int, buf *[]byte) ([]byte, error) {
	if b.data != nil || b.size == 0 {
		return b.data[from:to:to], nil
	}
	n := to - from
	if cap(*buf) < n {
		*buf = make([]byte, n+n/4)
	}
	data := (*buf)[:n]
	if _, err := s.file.ReadAt(data, b.at+int64(from)); err != nil {
		return nil, s.explain("reading", err)
	}
	return data, nil
}

// Drop gives a block's memory back. The block must not be used afterwards.
func (s *Spool) Drop(b Block) {
	if b.data != nil {
		s.budget.used.Add(-int64(b.size))
	}
}

// Total is the number of bytes of all blocks that were put, wherever they lie.
func (s *Spool) Total() int64 { return s.total.Load() }

// Close frees the temporary file. Blocks in memory stay readable and counted.
func (s *Spool) Close() error {
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file = nil
	return f.Close()
}
