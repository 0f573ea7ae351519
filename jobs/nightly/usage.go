package nightly

import (
	"fmt"
	"runtime/debug"
	"runtime/metrics"
	"syscall"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/shoal-data/shoal/datasets/spool"
)

// Of limits.memory, what fixedMemory leaves is divided: spoolShare of it is for
// events and feature tables, which go to a temporary file beyond it; the rest is
// for dictionaries, models, the pages being read and written, and what the
// collector has not collected.
const (
	fixedMemory = 32 << 20
	spoolShare  = 0.3
)

// SpoolBytes is the part of limits.memory, in bytes, that events and feature tables
// may lie in.
func SpoolBytes(budget int64) int64 {
	return int64(spoolShare * float64(max(budget-fixedMemory, 0)))
}

// free gives temporary files back, also of a run that fails where nobody else does: a
// schedule lives on.
func (r *run) free() {
	r.spool.Close()
	if r.log != nil {
		r.log.Close()
	}
}

// held is the summary's account of what the run holds.
func (r *run) held() *Held {
	if r.summary.Held == nil {
		r.summary.Held = &Held{}
	}
	return r.summary.Held
}

// watchOthers samples what is in use beside the spool, until stop is called.
func (r *run) watchOthers() (stop func()) {
	const every = 50 * time.Millisecond
	done, finished := make(chan struct{}), make(chan struct{})
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	go func() {
		defer close(finished)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			spooled := r.space.Used()
			if metrics.Read(live); live[0].Value.Kind() == metrics.KindUint64 {
				// Live is as of the last collection, the spool as of now: a moment's
				// difference in either direction.
				r.others.Store(max(r.others.Load(), int64(live[0].Value.Uint64())-spooled))
			}
		}
	}()
	return func() {
		close(done)
		<-finished
	}
}

// limitMemory makes the run keep to limits.memory, and returns what undoes it
// and tells whether it did.
func (r *run) limitMemory() (done func()) {
	total, err := memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)()
	if err != nil {
		r.warn(warning("memory.unknown", fmt.Sprintf("the machine's memory is unknown (%v), so limits.memory is not applied", err)))
		return func() {}
	}
	budget := r.Config.Limits.Memory.Of(int64(total))
	r.memory = budget
	r.space = spool.NewBudget(SpoolBytes(budget))
	r.spool = spool.New(r.space, "")
	before := debug.SetMemoryLimit(budget)
	stop := r.watchOthers()
	return func() {
		stop()
		debug.SetMemoryLimit(before)
		if peak := peakMemory(); peak > budget {
			r.warn(warning("memory.over_budget", fmt.Sprintf("the run needed %d MiB, more than limits.memory (%d MiB): give it more, or fewer windows, snapshots or sample_rows", peak>>20, budget>>20)))
		}
	}
}

// peakMemory is the largest resident set of the process so far, in bytes.
func peakMemory() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return int64(u.Maxrss) * maxrssUnit
}

// cpuSeconds is the processor time, user and system, used so far.
func cpuSeconds() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}
