package timeline

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/internal/localtime"
)

// A Total is a number that a customer's events add up to in any order: how many
// there are, or the sum of a field of theirs that is not null.
type Total struct {
	Every    bool           // events of every role
	Role     datasets.Role  // or of this one
	Of       datasets.Field // Amount or Quantity; CustomerID, the zero Field, counts events
	Absolute bool           // whatever the sign of the values
}

// Totals adds up what each customer did before a moment. It keeps numbers and no
// events: nothing is put in order, so repeated rows are not found, and whoever
// reads the sums cannot see what came later. It is told of rows as a Log is.
type Totals struct {
	dicts   *datasets.Dicts
	asOf    AsOf
	zone    *time.Location
	places  []int                    // of the totals, among the numbers of a customer
	plan    [datasets.NumRoles][]add // by role: what an event adds
	width   int                      // numbers a customer
	workers []*adder
}

// An add is a total and its place.
type add struct {
	Total
	place int
}

// The numbers of a customer: its events, its earliest instant, and the totals.
const (
	eventsAt = iota
	firstAt
	totalsAt
)

// An adder is what one worker has seen.
type adder struct {
	sums        []int64 // width for each code, see datasets.Dict
	touched     int64   // of what was read only so that it is at hand
	roles       [datasets.NumRoles]int64
	first, last int64
}

// NewTotals returns totals of nobody yet, whose Append may be called by workers
// 0 … workers-1 at once.
func NewTotals(dicts *datasets.Dicts, asOf AsOf, zone *time.Location, totals []Total, workers int) *Totals {
	t := &Totals{dicts: dicts, asOf: asOf, zone: zone, width: totalsAt, workers: make([]*adder, workers)}
	for i := range t.workers {
		t.workers[i] = &adder{first: math.MaxInt64, last: math.MinInt64}
	}
	for _, total := range totals {
		if total.Every && total.Of == datasets.CustomerID {
			t.places = append(t.places, eventsAt) // which are counted anyway
			continue
		}
		for r := range t.plan {
			if total.Every || total.Role == datasets.Role(r) {
				t.plan[r] = append(t.plan[r], add{total, t.width})
			}
		}
		t.places = append(t.places, t.width)
		t.width++
	}
	return t
}

// Append adds the rows of a batch that lie before the moment.
func (t *Totals) Append(worker int, b *datasets.Batch) error {
	if worker < 0 || worker >= len(t.workers) {
		return fmt.Errorf("timeline: worker %d of %d", worker, len(t.workers))
	}
	a := t.workers[worker]
	if b.Len() == 0 {
		return nil
	}
	if need := t.width * (int(slices.Max(b.Customer)) + 1); need > len(a.sums) {
		from := len(a.sums) / t.width
		a.sums = slices.Grow(a.sums, need-len(a.sums))
		a.sums = a.sums[:cap(a.sums)/t.width*t.width]
		clear(a.sums[from*t.width:])
		for c := from; c < len(a.sums)/t.width; c++ {
			a.sums[c*t.width+firstAt] = math.MaxInt64
		}
	}
	for from := 0; from < b.Len(); from += ahead {
		to := min(from+ahead, b.Len())
		// The customers' numbers are anywhere in memory. Asked for together, the waits
		// overlap; what an event adds depends on its role, which nothing can foresee.
		for _, c := range b.Customer[from:to] {
			a.touched += a.sums[int(c)*t.width]
		}
		for i := from; i < to; i++ {
			at := b.Time[i]
			if at >= t.asOf.Instant {
				continue
			}
			role := b.Role[i]
			a.roles[role]++
			a.first, a.last = min(a.first, at), max(a.last, at)
			sums := a.sums[int(b.Customer[i])*t.width:][:t.width]
			sums[eventsAt]++
			sums[firstAt] = min(sums[firstAt], at)
			for k := range t.plan[role] {
				add := &t.plan[role][k]
				sums[add.place] += add.value(b, i)
			}
		}
	}
	return nil
}

// ahead is how many rows' numbers are asked for together: they stay in the nearest cache.
const ahead = 256

// value is what row i adds to the total.
func (t *Total) value(b *datasets.Batch, i int) int64 {
	var column []datasets.Money
	switch t.Of {
	case datasets.CustomerID:
		return 1
	case datasets.Amount:
		column = b.Amount
	case datasets.Quantity:
		column = b.Quantity
	}
	if column == nil || column[i] == datasets.NullMoney {
		return 0
	}
	if t.Absolute {
		return int64(max(column[i], -column[i]))
	}
	return int64(column[i])
}

// A Sum is the totals of a customer.
type Sum struct {
	ID     string // dictionary form, see datasets.IDType
	Hash   uint64 // of ID
	Totals []int64
}

// Each visits every customer with an event before the moment, each bucket in one
// goroutine with its customers in the order of their ids, as Store.Replay does, and
// calls turn as Store.Drain does. visit must not keep the sum. The dictionaries must
// not grow any more. The census is without its digest and knows of no duplicates.
func (t *Totals) Each(ctx context.Context, workers int, visit func(worker, bucket int, s *Sum) error, turn func(worker, bucket int) error) (Census, error) {
	dict := t.dicts.Customer
	counters := make([]counter, workers)
	clocks := make([]*localtime.Clock, workers)
	err := buckets(ctx, workers, func(w, bucket int) error {
		if clocks[w] == nil {
			clocks[w] = localtime.NewClock(t.zone)
			counters[w].firsts = map[int32]int64{}
		}
		codes := make([]uint32, dict.ShardLen(bucket))
		for i := range codes {
			codes[i] = datasets.ShardCode(bucket, i)
		}
		slices.SortFunc(codes, func(a, b uint32) int { return strings.Compare(dict.Value(a), dict.Value(b)) })
		row, totals := make([]int64, t.width), make([]int64, len(t.places))
		for _, c := range codes {
			if !t.sum(row, c) {
				continue // known from rows that are later or were refused
			}
			n := &counters[w]
			n.Customers++
			n.Events += row[eventsAt]
			n.Busiest = max(n.Busiest, row[eventsAt])
			n.firsts[clocks[w].Day(row[firstAt])]++
			for k, at := range t.places {
				totals[k] = row[at]
			}
			if err := visit(w, bucket, &Sum{ID: dict.Value(c), Hash: dict.Hash(c), Totals: totals}); err != nil {
				return err
			}
		}
		return nil
	}, turn)
	if err != nil {
		return Census{}, err
	}
	census := sum(counters)
	if census.Customers > 0 {
		census.First, census.Last = math.MaxInt64, math.MinInt64
	}
	for _, a := range t.workers {
		for r, n := range a.roles {
			census.Roles[r] += n
		}
		if a.first <= a.last {
			census.First, census.Last = min(census.First, a.first), max(census.Last, a.last)
		}
	}
	return census, nil
}

// sum puts what all workers saw of a customer into row. ok is false for one without an
// event.
func (t *Totals) sum(row []int64, code uint32) (ok bool) {
	clear(row)
	row[firstAt] = math.MaxInt64
	for _, a := range t.workers {
		at := int(code) * t.width
		if at >= len(a.sums) {
			continue
		}
		for k, v := range a.sums[at:][:t.width] {
			if k == firstAt {
				row[k] = min(row[k], v)
			} else {
				row[k] += v
			}
		}
	}
	return row[eventsAt] > 0
}
