package grow

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// Every part of every task is done once before the next task begins, whether helpers are
// awake or asleep, and the crew's end leaves no goroutine behind.
func TestCrew(t *testing.T) {
	before := runtime.NumGoroutine()
	for members := 1; members <= 4; members++ {
		c := newCrew(members)
		for round := range 2000 {
			if round%500 == 499 {
				time.Sleep(20 * time.Millisecond) // they fall asleep
			}
			parts := round % 7
			var done [7]atomic.Int32
			c.run(parts, func(part int) { done[part].Add(1) })
			for part := range done {
				want := int32(0)
				if part < parts {
					want = 1
				}
				if got := done[part].Load(); got != want {
					t.Fatalf("%d members, round %d: part %d of %d was done %d times", members, round, part, parts, got)
				}
			}
		}
		c.end()
	}
	for tries := 0; runtime.NumGoroutine() > before; tries++ {
		if tries > 1000 {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		time.Sleep(time.Millisecond)
	}
}
