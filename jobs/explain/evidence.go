package explain

import (
	"context"
	"math"
	"time"

	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/timeline"
)

// Evidence is where a column's number comes from, event by event.
type Evidence struct {
	// Basis is how the events were found: BasisConditions or BasisInfluence, or ""
	// when the history is too long for either.
	Basis  string    `json:"basis"`
	Events []Counted `json:"events"` // oldest first
	Note   string    `json:"note"`
}

// How the events behind a number are found.
const (
	// The events that the conditions of the column's SQL select. The number was
	// computed again from them alone, and came out the same.
	BasisConditions = "conditions"
	// The events without any one of which the number would be another.
	BasisInfluence = "influence"
)

// A Counted event counts towards a column.
type Counted struct {
	N int `json:"n"` // Event.N
	// Without is the column's value had the event not happened; null as the column
	// would be. It is not computed, and Same is false, for long histories.
	Without *float64 `json:"without"`
	Same    bool     `json:"same_without"`      // the value stays without this one event: others stand in for it
	Unknown bool     `json:"unknown,omitempty"` // Without was not computed
}

// mostReplayed bounds the events that are replayed to see what a number would be
// without some: a second's work and some 100 MB.
const mostReplayed = 1_000_000

// A witness tells which events a number comes from, by asking what it would be
// with only some of them.
type witness struct {
	families []features.Family
	asOf     timeline.AsOf
	zone     *time.Location
	history  *history
	values   []float64 // by column, over all families

	selected []*[]int // by column: the events that alone make its number, when conditions say which
}

// replay computes every column of histories that have some of the events.
func (w *witness) replay(ctx context.Context, parts [][]int) ([][]float64, error) {
	store, err := w.history.replay(parts)
	if err != nil {
		return nil, err
	}
	rows, err := compute(ctx, store, w.families, w.asOf)
	if err != nil {
		return nil, err
	}
	out := make([][]float64, len(parts))
	for i := range parts {
		out[i] = rows[name(i)] // nil for no event at all
	}
	return out, nil
}

// same compares numbers; nulls are equal.
func same(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

// selectAll finds, for every column or for the only one asked for, the events
// that its conditions select, and keeps them where the number can be had from
// them alone.
func (w *witness) selectAll(ctx context.Context, only [2]int) error {
	w.selected = make([]*[]int, len(w.values))
	var columns []int
	var parts [][]int
	at, size := -1, 0
	for i, f := range w.families {
		for j, c := range f.Columns {
			at++
			if only[0] >= 0 && only != [2]int{i, j} {
				continue
			}
			cs, ok := conditions(c.SQL)
			if !ok || !rowsAreEvents(f.From) {
				continue
			}
			part := []int{}
			for k := range w.history.events {
				e := &w.history.events[k]
				for _, c := range cs {
					if c(e, w.asOf.Today-e.day) {
						part = append(part, k)
						break
					}
				}
			}
			switch n := len(part); {
			case n == len(w.history.events):
				w.selected[at] = &part
			case n == 0:
				if v := w.values[at]; v == 0 || math.IsNaN(v) {
					w.selected[at] = &part
				}
			case size+n <= mostReplayed:
				size += n
				columns, parts = append(columns, at), append(parts, part)
			}
		}
	}
	rows, err := w.replay(ctx, parts)
	if err != nil {
		return err
	}
	for i, at := range columns {
		if same(rows[i][at], w.values[at]) {
			w.selected[at] = &parts[i]
		}
	}
	return nil
}

// evidence tells where the number of a column comes from.
func (w *witness) evidence(ctx context.Context, at int) (*Evidence, error) {
	e := &Evidence{Basis: BasisInfluence, Events: []Counted{}}
	candidates := w.history.all()
	if s := w.selected[at]; s != nil {
		e.Basis, candidates = BasisConditions, *s
		e.Note = "These are the events that the conditions of the column's SQL select; computed from them alone, the number is the same."
		if len(candidates) == 0 {
			e.Note = "No event meets the conditions of the column's SQL."
			return e, nil
		}
	}
	all := w.history.all()
	if len(candidates) > mostReplayed/len(all) {
		if e.Basis == BasisConditions {
			for _, i := range candidates {
				e.Events = append(e.Events, Counted{N: i + 1, Unknown: true})
			}
			e.Note += " There are too many to say what it would be without each."
			return e, nil
		}
		e.Basis = ""
		e.Note = "The number depends on the order of events or on what happened around them, and there are too many to try it without each: run the SQL."
		return e, nil
	}
	parts := [][]int{all}
	for _, i := range candidates {
		parts = append(parts, without(all, i))
	}
	rows, err := w.replay(ctx, parts)
	if err != nil {
		return nil, err
	}
	if !same(rows[0][at], w.values[at]) {
		e.Basis = ""
		e.Note = "The number could not be had from the events listed again: run the SQL."
		return e, nil
	}
	for k, i := range candidates {
		c := Counted{N: i + 1}
		if row := rows[k+1]; row != nil {
			if v := row[at]; same(v, w.values[at]) {
				c.Same = true
			} else if !math.IsNaN(v) {
				c.Without = &v
			}
		}
		if c.Same {
			if e.Basis == BasisInfluence {
				continue
			}
			c.Without = &w.values[at]
			if math.IsNaN(w.values[at]) {
				c.Without = nil
			}
		}
		e.Events = append(e.Events, c)
	}
	if e.Basis == BasisInfluence {
		e.Note = "These are the events without any one of which the number would be another."
		if len(e.Events) == 0 {
			e.Note = "No single event decides the number: without any one of them it is the same."
		}
	}
	return e, nil
}
