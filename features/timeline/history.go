package timeline

import (
	"slices"

	"github.com/shoal-data/shoal/datasets"
)

// Events are one customer's events in canonical order, in columns of equal
// length. Optional columns are nil when no source maps them.
type Events struct {
	Time     []int64 // µs since 1970-01-01 UTC
	Day      []int32 // local calendar day, days since 1970-01-01
	Clock    []int32 // what a local clock on the wall shows: seconds since midnight, [0, 86400)
	Role     []datasets.Role
	Amount   []datasets.Money // NullMoney when absent
	Quantity []datasets.Money
	Rating   []datasets.Money
	Type     []uint32 // ranks (Store.Values), 0 is null
	Product  []uint32
	Category []uint32
	Channel  []uint32
	Campaign []uint32
	Session  []uint32 // the customer's sessions, numbered from 1 in order of appearance, 0 is null
}

// Len is the number of events.
func (e *Events) Len() int { return len(e.Time) }

// slice cuts every column to [lo, hi) with no capacity beyond it, so that
// nothing behind the cut can be reached through the result.
func (e *Events) slice(lo, hi int) Events {
	return Events{
		Time: cut(e.Time, lo, hi), Day: cut(e.Day, lo, hi), Clock: cut(e.Clock, lo, hi), Role: cut(e.Role, lo, hi),
		Amount: cut(e.Amount, lo, hi), Quantity: cut(e.Quantity, lo, hi), Rating: cut(e.Rating, lo, hi),
		Type: cut(e.Type, lo, hi), Product: cut(e.Product, lo, hi), Category: cut(e.Category, lo, hi),
		Channel: cut(e.Channel, lo, hi), Campaign: cut(e.Campaign, lo, hi), Session: cut(e.Session, lo, hi),
	}
}

func cut[T any](s []T, lo, hi int) []T {
	if s == nil {
		return nil
	}
	return s[lo:hi:hi]
}

// A Timeline is everything known of one customer. It shows no events itself:
// a feature asks for a History, a target for an Outcome.
type Timeline struct {
	ID     string // dictionary form, see datasets.IDType
	Hash   uint64 // of ID
	events Events
	roles  *roleIndex
}

// A History is what was known of a customer as of an instant: the events
// strictly before it.
type History struct {
	Events
	AsOf  AsOf
	roles *roleIndex
}

// An Outcome is what a customer did in [AsOf+gap, AsOf+gap+horizon).
type Outcome struct {
	Events
}

// Before is the history as of a moment; ok is false when there is none yet.
func (t *Timeline) Before(a AsOf) (h History, ok bool) {
	n, _ := slices.BinarySearch(t.events.Time, a.Instant)
	if n == 0 {
		return History{}, false
	}
	return History{Events: t.events.slice(0, n), AsOf: a, roles: t.roles}, true
}

// Between is the outcome of the events in [from, to).
func (t *Timeline) Between(from, to AsOf) Outcome {
	lo, _ := slices.BinarySearch(t.events.Time, from.Instant)
	hi, _ := slices.BinarySearch(t.events.Time, to.Instant)
	return Outcome{Events: t.events.slice(lo, max(lo, hi))}
}

// Positions lists, in order, where the events of a role stand in the history.
func (h *History) Positions(r datasets.Role) []int32 {
	all := h.roles.at(r)
	n := len(all)
	if end := int32(h.Len()); n > 0 && all[n-1] >= end {
		lo := 0 // of those before lo all are in the history, of those from n on none
		for lo < n {
			if mid := int(uint(lo+n) >> 1); all[mid] < end {
				lo = mid + 1
			} else {
				n = mid
			}
		}
	}
	return all[:n:n]
}

// Has reports whether the outcome holds an event of the role.
func (o *Outcome) Has(r datasets.Role) bool { return slices.Contains(o.Role, r) }

// roleIndex holds the positions of a timeline's events by role.
type roleIndex struct {
	positions []int32
	start     [datasets.NumRoles + 1]int32
}

func (x *roleIndex) build(roles []datasets.Role) {
	x.start = [datasets.NumRoles + 1]int32{}
	for _, r := range roles {
		x.start[r+1]++
	}
	for r := range datasets.NumRoles {
		x.start[r+1] += x.start[r]
	}
	next := x.start
	x.positions = slices.Grow(x.positions[:0], len(roles))[:len(roles)]
	for i, r := range roles {
		x.positions[next[r]] = int32(i)
		next[r]++
	}
}

func (x *roleIndex) at(r datasets.Role) []int32 { return x.positions[x.start[r]:x.start[r+1]] }

// DaysWith counts the local days with an event of the role.
func (o *Outcome) DaysWith(r datasets.Role) int {
	n, last := 0, int32(-1<<31)
	for i, role := range o.Role {
		if role == r && o.Day[i] != last {
			n++
			last = o.Day[i]
		}
	}
	return n
}

// WithFuture is the customer with another future: one purchase, a day later, that
// nobody made. What is computed of the history as of a must not change.
func (t *Timeline) WithFuture(a AsOf) *Timeline {
	n, _ := slices.BinarySearch(t.events.Time, a.Instant)
	e, amount := t.events.slice(0, n), datasets.Money(1_234_567_0000)
	e.Time, e.Day = append(e.Time, a.Instant+86_400_000_000), append(e.Day, a.Today+1)
	e.Clock, e.Role = append(e.Clock, 43_200), append(e.Role, datasets.Purchase)
	e.Amount, e.Quantity, e.Rating = more(e.Amount, amount), more(e.Quantity, amount), more(e.Rating, amount)
	e.Type, e.Product, e.Category = more(e.Type, 1), more(e.Product, 1), more(e.Category, 1)
	e.Channel, e.Campaign, e.Session = more(e.Channel, 1), more(e.Campaign, 1), more(e.Session, 1)
	made := &Timeline{ID: t.ID, Hash: t.Hash, events: e, roles: &roleIndex{}}
	made.roles.build(e.Role)
	return made
}

// more is the column and v, in memory of its own; nil for one that is not mapped.
func more[T any](column []T, v T) []T {
	if column == nil {
		return nil
	}
	return append(column, v)
}
