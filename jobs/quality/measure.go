// Package quality measures what came in, beside what came before: how much, of what
// kinds, how fresh, and how often a column has no value. What it measures depends on
// the events alone, not on how they were delivered; what does depend on that, the
// refused and repeated rows, is judged but not published as a table.
package quality

import (
	"context"
	"slices"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
)

// The present is the week that the run's date ends; it is held against the weeks before.
const (
	weeks    = 8
	lastYear = 364 // the same weekday
	slots    = weeks + 1
)

// mostTypes is how many event types are told apart. Where there are more, their names
// carry something else, such as a number, and only roles are counted.
const mostTypes = 2000

// fields are those that may have no value.
var fields = [...]datasets.Field{datasets.Amount, datasets.Quantity, datasets.Rating, datasets.EventType,
	datasets.ProductID, datasets.Category, datasets.Channel, datasets.CampaignID, datasets.SessionID}

// nulls are rows and those of them without a value.
type nulls struct{ rows, nulls int64 }

func (n *nulls) add(o nulls) { n.rows += o.rows; n.nulls += o.nulls }

func (n nulls) share() float64 { return float64(n.nulls) / float64(n.rows) }

// kinds count the events of kinds, by week: this one and the eight before it, and the
// same of last year.
type kinds struct {
	now, then [][slots]int64
	sent      []int64 // events of those weeks that are messages which the firm has sent
}

func newKinds(n int) kinds {
	return kinds{make([][slots]int64, n), make([][slots]int64, n), make([]int64, n)}
}

// note counts an event of a kind and a role, in a week of now or of then.
func (k *kinds) note(year [][slots]int64, kind, week int, role datasets.Role) {
	year[kind][week]++
	if role == datasets.MessageSent {
		k.sent[kind]++
	}
}

// own says whether a kind is of messages that the firm sends: how many there are is its
// decision, and changes from day to day with every campaign.
func (k *kinds) own(i int) bool {
	n := int64(0)
	for w := range slots {
		n += k.now[i][w] + k.then[i][w]
	}
	return 2*k.sent[i] > n
}

func (k *kinds) add(o *kinds) {
	for i := range k.now {
		k.sent[i] += o.sent[i]
		for w := range slots {
			k.now[i][w] += o.now[i][w]
			k.then[i][w] += o.then[i][w]
		}
	}
}

// counts are what one worker has counted; those of all add up.
type counts struct {
	daily []int64 // events by day, from the first of history to today
	roles kinds
	types kinds
	// By role and field: over all of history, in the week and those before it, and on
	// the date.
	all   [datasets.NumRoles][len(fields)]nulls
	weeks [datasets.NumRoles][len(fields)][slots]nulls
	today [datasets.NumRoles][len(fields)]nulls
}

// A Profile is the input of a run in numbers.
type Profile struct {
	today, first int32
	roleNames    []string
	typeNames    []string // by rank; rank 0 is no type
	mapped       [len(fields)]bool
	counts
}

// Measure counts the events before asOf. first is the local day on which history
// begins; the few events before it count as of it. also, which may be nil, is shown every
// customer's events before asOf in the same pass, a worker's one after the other.
func Measure(ctx context.Context, store *timeline.Store, asOf timeline.AsOf, first int32, workers int, also func(worker int, e *timeline.Events)) (*Profile, error) {
	p := &Profile{today: asOf.Today, first: min(first, asOf.Today)}
	for r := range datasets.NumRoles {
		p.roleNames = append(p.roleNames, datasets.Role(r).String())
	}
	if names := store.Values(datasets.EventType); len(names) <= mostTypes {
		p.typeNames = names
	}
	parts := make([]*counts, workers)
	mapped := make([][len(fields)]bool, workers)
	err := store.Replay(ctx, workers, func(worker, _ int, t *timeline.Timeline) error {
		if parts[worker] == nil {
			parts[worker] = p.newCounts()
		}
		if h, ok := t.Before(asOf); ok {
			p.count(parts[worker], &mapped[worker], &h.Events)
			if also != nil {
				also(worker, &h.Events)
			}
		}
		return nil
	}, nil)
	if err != nil {
		return nil, err
	}
	p.counts = *p.newCounts()
	for w, c := range parts {
		if c != nil {
			p.counts.merge(c)
		}
		for f, is := range mapped[w] {
			p.mapped[f] = p.mapped[f] || is
		}
	}
	return p, nil
}

func (p *Profile) newCounts() *counts {
	return &counts{daily: make([]int64, p.today-p.first+1), roles: newKinds(len(p.roleNames)), types: newKinds(len(p.typeNames))}
}

func (c *counts) merge(o *counts) {
	for d, n := range o.daily {
		c.daily[d] += n
	}
	c.roles.add(&o.roles)
	c.types.add(&o.types)
	for r := range c.all {
		for f := range fields {
			c.all[r][f].add(o.all[r][f])
			c.today[r][f].add(o.today[r][f])
			for w := range slots {
				c.weeks[r][f][w].add(o.weeks[r][f][w])
			}
		}
	}
}

// count adds one customer's events.
func (p *Profile) count(c *counts, mapped *[len(fields)]bool, e *timeline.Events) {
	for i, day := range e.Day {
		c.daily[max(day, p.first)-p.first]++
		if w := (p.today - day) / 7; w < slots {
			c.roles.note(c.roles.now, int(e.Role[i]), int(w), e.Role[i])
			if e.Type != nil && p.typeNames != nil {
				c.types.note(c.types.now, int(e.Type[i]), int(w), e.Role[i])
			}
		} else if w := (p.today - lastYear - day) / 7; w < slots && p.today-lastYear >= day {
			c.roles.note(c.roles.then, int(e.Role[i]), int(w), e.Role[i])
			if e.Type != nil && p.typeNames != nil {
				c.types.note(c.types.then, int(e.Type[i]), int(w), e.Role[i])
			}
		}
	}
	for f, of := range [len(fields)]func(i int) bool{
		money(e.Amount), money(e.Quantity), money(e.Rating), code(e.Type), code(e.Product), code(e.Category), code(e.Channel), code(e.Campaign), code(e.Session),
	} {
		if of == nil {
			continue
		}
		mapped[f] = true
		for i, day := range e.Day {
			n := nulls{rows: 1}
			if of(i) {
				n.nulls = 1
			}
			r := e.Role[i]
			c.all[r][f].add(n)
			if w := (p.today - day) / 7; w < slots {
				c.weeks[r][f][w].add(n)
				if day == p.today {
					c.today[r][f].add(n)
				}
			}
		}
	}
}

// money and code say which events have no value; they are nil for a column that is
// not mapped, or that nothing reads.
func money(values []datasets.Money) func(int) bool {
	if values == nil {
		return nil
	}
	return func(i int) bool { return values[i] == datasets.NullMoney }
}

func code(ranks []uint32) func(int) bool {
	if ranks == nil {
		return nil
	}
	return func(i int) bool { return ranks[i] == 0 }
}

// on is the events of a day; ok is false before history begins.
func (p *Profile) on(day int32) (n float64, ok bool) {
	if day < p.first || day > p.today {
		return 0, false
	}
	return float64(p.daily[day-p.first]), true
}

// in is the events of the week that a day ends; ok is false when history does not
// reach back to its beginning.
func (p *Profile) in(last int32) (n float64, ok bool) {
	if last-6 < p.first || last > p.today {
		return 0, false
	}
	for _, of := range p.daily[last-6-p.first:][:7] {
		n += float64(of)
	}
	return n, true
}

// newest is the day of the newest event, and pause the longest time between two days
// with events in the year before it.
func (p *Profile) newest() (day, pause int32) {
	last := int32(-1)
	for i := range slices.Backward(p.daily) {
		if p.daily[i] == 0 {
			continue
		}
		if last < 0 {
			day = p.first + int32(i)
		} else {
			pause = max(pause, last-int32(i))
		}
		if last = int32(i); day-(p.first+last) > 365 {
			break
		}
	}
	return day, pause
}
