package nightly

import (
	"fmt"
	"runtime/debug"
	"syscall"

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
	r.space = spool.NewBudget(int64(spoolShare * float64(max(budget-fixedMemory, 0))))
	r.spool = spool.New(r.space, "")
	before := debug.SetMemoryLimit(budget)
	return func() {
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
