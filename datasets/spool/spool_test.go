package spool_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/shoal-data/shoal/datasets/spool"
)

// Blocks read back whole and in part, whether they fit the budget or not, and
// nothing has a name on disk.
func TestBlocksReadBack(t *testing.T) {
	for _, budget := range []int64{0, 5_000, 1 << 30} {
		dir := t.TempDir()
		b := spool.NewBudget(budget)
		s := spool.New(b, dir)
		var mu sync.Mutex
		blocks := map[int]spool.Block{}
		content := func(i int) []byte {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			data := make([]byte, r.IntN(900))
			for j := range data {
				data[j] = byte(r.Uint32())
			}
			return data
		}
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for i := w; i < 200; i += 4 {
					data := content(i)
					block, err := s.Put(data)
					if err != nil {
						t.Error(err)
						return
					}
					clear(data) // Put must have copied
					mu.Lock()
					blocks[i] = block
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		names, err := os.ReadDir(dir)
		if err != nil || len(names) > 0 {
			t.Fatalf("budget %d: files in the directory: %v %v", budget, names, err)
		}
		if spilled := b.Spilled() > 0; spilled != (budget < 1<<30) {
			t.Errorf("budget %d: %d bytes spilled", budget, b.Spilled())
		}
		if b.Used() > budget {
			t.Errorf("budget %d: %d bytes in memory", budget, b.Used())
		}
		var buf []byte
		for i, block := range blocks {
			want := content(i)
			got, err := s.Get(block, &buf)
			if err != nil || !bytes.Equal(got, want) || block.Len() != len(want) {
				t.Fatalf("budget %d, block %d: %d bytes, want %d: %v", budget, i, len(got), len(want), err)
			}
			if len(want) > 2 {
				got, err = s.Range(block, 1, len(want)-1, &buf)
				if err != nil || !bytes.Equal(got, want[1:len(want)-1]) {
					t.Fatalf("budget %d, block %d: a range differs: %v", budget, i, err)
				}
			}
			s.Drop(block)
		}
		if b.Used() != 0 {
			t.Errorf("budget %d: %d bytes still in memory after every block was dropped", budget, b.Used())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A directory that cannot be written says which, and what to do.
func TestNowhereToSpill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	s := spool.New(spool.NewBudget(0), dir)
	_, err := s.Put([]byte("x"))
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "TMPDIR") {
		t.Errorf("got %v", err)
	}
}
