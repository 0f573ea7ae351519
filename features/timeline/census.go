package timeline

import (
	"maps"
	"slices"

	"github.com/shoal-data/shoal/datasets"
)

// Census is what a whole pass over the timelines says of them.
type Census struct {
	Customers  int64
	Events     int64 // after removing duplicates
	Duplicates int64
	Roles      [datasets.NumRoles]int64 // events by role
	First      int64                    // µs: the earliest event
	Last       int64                    // µs: the latest event
	Busiest    int64                    // events of the customer with the most

	// Start is the local day on which history begins for planning: that of the
	// earliest event, unless a thousandth of the customers (one at least, of
	// twenty or more) began over a year before everybody else. Dates like
	// 1970-01-01 are faults of the data, and would stretch history by decades.
	Start int32
	Early int64 // customers who began before Start

	// Digest identifies the events themselves: it does not depend on their
	// order, on the files they came from, or on removed duplicates.
	Digest uint64
}

// A counter is one worker's part of the census.
type counter struct {
	Census
	firsts map[int32]int64 // customers by the day of their first event
}

// count adds a customer whose events are the given ones, in order.
func (c *counter) count(times []int64, roles []datasets.Role, firstDay int32, duplicates int, digest uint64) {
	first, last := times[0], times[len(times)-1]
	if c.Customers == 0 {
		c.First, c.Last = first, last
	}
	c.Customers++
	c.Events += int64(len(times))
	c.Duplicates += int64(duplicates)
	c.Busiest = max(c.Busiest, int64(len(times)))
	c.First, c.Last = min(c.First, first), max(c.Last, last)
	c.firsts[firstDay]++
	for _, r := range roles {
		c.Roles[r]++
	}
	c.Digest += digest
}

// sum is the census of all workers.
func sum(parts []counter) Census {
	var total Census
	firsts := map[int32]int64{}
	for i := range parts {
		c := &parts[i]
		if c.Customers == 0 {
			continue
		}
		if total.Customers == 0 {
			total.First, total.Last = c.First, c.Last
		}
		total.Customers += c.Customers
		total.Events += c.Events
		total.Duplicates += c.Duplicates
		total.Busiest = max(total.Busiest, c.Busiest)
		total.First, total.Last = min(total.First, c.First), max(total.Last, c.Last)
		for r, n := range c.Roles {
			total.Roles[r] += n
		}
		total.Digest += c.Digest
		for d, n := range c.firsts {
			firsts[d] += n
		}
	}
	total.Start, total.Early = start(firsts, total.Customers)
	return total
}

// start finds Census.Start and Census.Early from the customers by first day.
func start(firsts map[int32]int64, customers int64) (day int32, early int64) {
	days := slices.Sorted(maps.Keys(firsts))
	if len(days) == 0 {
		return 0, 0
	}
	skip := customers / 1000
	if customers >= 20 {
		skip = max(skip, 1)
	}
	seen := int64(0)
	for i, d := range days {
		if seen > skip {
			break
		}
		if i > 0 && d-days[i-1] > 366 {
			day, early = d, seen
		}
		seen += firsts[d]
	}
	if early == 0 {
		return days[0], 0
	}
	return day, early
}
