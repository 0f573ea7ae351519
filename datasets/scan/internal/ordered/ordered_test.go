package ordered

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
)

// Every task runs once and every worker ends once.
func TestRunAll(t *testing.T) {
	for _, workers := range []int{1, 3, 8} {
		var ran [100]atomic.Int32
		var ended [8]atomic.Int32
		err := Run(t.Context(), len(ran), workers, func(_ context.Context, w, i int) error {
			if w >= workers {
				t.Errorf("worker %d of %d", w, workers)
			}
			ran[i].Add(1)
			return nil
		}, func(w int) error { ended[w].Add(1); return nil })
		if err != nil {
			t.Fatal(err)
		}
		for i := range ran {
			if n := ran[i].Load(); n != 1 {
				t.Errorf("%d workers: task %d ran %d times", workers, i, n)
			}
		}
		for w := range workers {
			if n := ended[w].Load(); n != 1 {
				t.Errorf("worker %d of %d ended %d times", w, workers, n)
			}
		}
	}
}

// The error is the first task's, also when a later one fails earlier; a panic is
// an error like any other, and later tasks are cancelled.
func TestFirstErrorWins(t *testing.T) {
	for _, panics := range []bool{false, true} {
		later := make(chan struct{})
		err := Run(t.Context(), 1000, 2, func(ctx context.Context, _, i int) error {
			switch i {
			case 6:
				<-later // task 7 fails first
				if panics {
					panic("task 6")
				}
				return errors.New("task 6")
			case 7:
				close(later)
				return errors.New("task 7")
			}
			if i > 7 {
				t.Errorf("task %d was handed out after a failure", i)
			}
			return nil
		}, nil)
		want := "task 6"
		if panics {
			want = fmt.Sprint(&PanicError{"task 6"})
		}
		if err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
		var bug *PanicError
		if errors.As(err, &bug) != panics {
			t.Errorf("%v is a panic: %t", err, !panics)
		}
	}
}

// A failure cancels what runs of the tasks after it.
func TestFailureCancelsLaterTasks(t *testing.T) {
	started := make(chan struct{})
	err := Run(t.Context(), 2, 2, func(ctx context.Context, _, i int) error {
		if i == 0 {
			<-started
			return errors.New("task 0")
		}
		close(started)
		<-ctx.Done()
		return ctx.Err()
	}, nil)
	if err == nil || err.Error() != "task 0" {
		t.Errorf("error %v", err)
	}
}
