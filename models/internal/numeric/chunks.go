package numeric

import (
	"context"
	"sync"
	"sync/atomic"
)

// Chunks calls fn(c, lo, hi) once for each chunk c of [0, n), chunk c being
// [c·size, min((c+1)·size, n)), on up to workers goroutines. Chunk borders
// depend on n and size alone: a caller that keeps one partial result a chunk
// and folds them in chunk order gets the same bytes for any worker count.
// fn must not touch another chunk's result. Chunks stops early, with
// ctx.Err(), when ctx ends; some chunks have then not been visited.
func Chunks(ctx context.Context, workers, n, size int, fn func(c, lo, hi int)) error {
	count := (n + size - 1) / size
	if workers = min(workers, count); workers <= 1 {
		for c := range count {
			if err := ctx.Err(); err != nil {
				return err
			}
			fn(c, c*size, min((c+1)*size, n))
		}
		return ctx.Err()
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	work := func() {
		for ctx.Err() == nil {
			c := int(next.Add(1)) - 1
			if c >= count {
				return
			}
			fn(c, c*size, min((c+1)*size, n))
		}
	}
	for range workers - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
	return ctx.Err()
}
