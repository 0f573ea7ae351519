package grow

import (
	"runtime"
	"sync/atomic"
)

// A crew shares work out among goroutines that wait for it awake: a tree asks for help
// hundreds of times in a few milliseconds, and to wake a sleeping processor takes as long as
// the task. They yield while they wait, and fall asleep when nothing comes for a while.
type crew struct {
	helpers []helper
	round   atomic.Uint32 // rises with every task
	parts   int           // of the task; none ends the crew
	f       func(part int)
	next    atomic.Int32 // part to be taken
	busy    atomic.Int32 // helpers not yet done with the round
}

type helper struct {
	asleep atomic.Bool
	wake   chan struct{}
}

// patience is how many times a helper yields before it falls asleep: some half a millisecond,
// longer than the pauses between a tree's parallel steps, of which waking it each time would be a
// good part.
const patience = 4000

// newCrew starts one of so many members, the caller among them; end ends it.
func newCrew(members int) *crew {
	c := &crew{helpers: make([]helper, members-1)}
	for i := range c.helpers {
		c.helpers[i].wake = make(chan struct{}, 1)
		go c.help(&c.helpers[i])
	}
	return c
}

func (c *crew) end() {
	c.parts = 0
	c.call()
}

// run calls f for 0 to parts-1 and returns when all calls have.
func (c *crew) run(parts int, f func(part int)) {
	if len(c.helpers) == 0 || parts < 2 {
		for i := range parts {
			f(i)
		}
		return
	}
	c.parts, c.f = parts, f
	c.next.Store(0)
	c.busy.Store(int32(len(c.helpers)))
	c.call()
	c.work()
	for c.busy.Load() > 0 {
		runtime.Gosched()
	}
}

// call tells the helpers of a round.
func (c *crew) call() {
	c.round.Add(1)
	for i := range c.helpers {
		if h := &c.helpers[i]; h.asleep.CompareAndSwap(true, false) {
			h.wake <- struct{}{}
		}
	}
}

// work takes part after part.
func (c *crew) work() {
	for {
		i := int(c.next.Add(1)) - 1
		if i >= c.parts {
			return
		}
		c.f(i)
	}
}

func (c *crew) help(h *helper) {
	for seen := uint32(0); ; {
		for tries := 0; c.round.Load() == seen; tries++ {
			if tries < patience {
				runtime.Gosched()
				continue
			}
			h.asleep.Store(true)
			if c.round.Load() != seen && h.asleep.CompareAndSwap(true, false) {
				break // it came just then, and nobody will wake this one
			}
			<-h.wake
		}
		seen++
		if c.parts == 0 {
			return
		}
		c.work()
		c.busy.Add(-1)
	}
}
