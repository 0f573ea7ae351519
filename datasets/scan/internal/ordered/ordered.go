// Package ordered runs tasks on several workers such that their outcome, the
// error included, is the same for any number of workers.
package ordered

import (
	"context"
	"fmt"
	"sync"
)

// Run runs task 0 … n-1 on the given number of workers, handing them out in
// order. After a failure no more are handed out, but those before the failed one
// finish: the error returned is that of the first task that fails, whatever the
// number of workers. A panic of a task is an error. Each worker calls done at its end.
func Run(ctx context.Context, n, workers int, task func(ctx context.Context, worker, i int) error, done func(worker int) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		mu    sync.Mutex
		next  int
		first = n // index of the first failed task
		fault error
		wg    sync.WaitGroup
	)
	running := make([]int, workers)
	cancels := make([]context.CancelFunc, workers)
	fail := func(i int, err error) {
		mu.Lock()
		defer mu.Unlock()
		if i < first || fault == nil {
			first, fault = i, err
		}
		for w, c := range cancels {
			if c != nil && running[w] > first {
				c()
			}
		}
	}
	for w := range max(1, min(workers, n)) {
		wg.Go(func() {
			for {
				mu.Lock()
				i := next
				if fault != nil || i >= n {
					mu.Unlock()
					break
				}
				next++
				tctx, tcancel := context.WithCancel(ctx)
				running[w], cancels[w] = i, tcancel
				mu.Unlock()
				err := Guard(func() error { return task(tctx, w, i) })
				mu.Lock()
				cancels[w] = nil
				mu.Unlock()
				tcancel()
				if err != nil {
					fail(i, err)
				}
			}
			mu.Lock()
			ok := fault == nil
			mu.Unlock()
			if ok && done != nil {
				if err := Guard(func() error { return done(w) }); err != nil {
					fail(n, err)
				}
			}
		})
	}
	wg.Wait()
	return fault
}

// A PanicError is a panic turned into an error. Decoders meet bytes that nobody
// foresaw; the run must say which file they are in, not die.
type PanicError struct{ Value any }

func (p *PanicError) Error() string { return fmt.Sprintf("decoding failed unexpectedly (%v)", p.Value) }

// Guard calls f and turns a panic of it into a *PanicError.
func Guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{p}
		}
	}()
	return f()
}
