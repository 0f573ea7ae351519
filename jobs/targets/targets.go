// Package targets says what is predicted: who is eligible, what the outcome
// window of a customer says, and at which past dates the question could
// already be answered.
package targets

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/timeline"
)

// Kind says which way an outcome counts.
type Kind uint8

// The kinds of target.
const (
	Churn      Kind = iota // 1 when no event of the role falls in the outcome window
	Propensity             // 1 when one does
)

func (k Kind) String() string {
	if k == Churn {
		return "churn"
	}
	return "propensity"
}

// An Ending says what churn is.
type Ending uint8

// The endings.
const (
	Silence Ending = iota // no event that counts in the outcome window
	Cancel                // a cancel event in it
	Either                // one of the two
)

func (e Ending) String() string { return [...]string{"silence", "cancel", "either"}[e] }

// A Target is one question about every eligible customer, with everything
// "auto" resolved.
type Target struct {
	Name string
	Kind Kind
	// Any counts events of every role; otherwise only those of Role do.
	Any  bool
	Role datasets.Role
	// Where are further conditions on these events, in words Condition; "" for none.
	Where     *features.Matcher
	Condition string
	Ends      Ending // for churn
	// The outcome window is [as-of + Gap, as-of + Gap + Horizon), in days.
	Gap, Horizon int
	// ActiveWithin days before the as-of date hold an event of an eligible
	// customer: of the role for churn, of any kind for propensity. 0 is ever.
	ActiveWithin int
}

// RoleName is the role whose events decide, for people.
func (t Target) RoleName() string {
	if t.Any {
		return "any"
	}
	return t.Role.String()
}

// counts says whether an event is one of those that the target is about.
func (t Target) counts(e *timeline.Events, i int) bool {
	return (t.Any || e.Role[i] == t.Role) && (t.Where == nil || t.Where.Picks(e, i))
}

// happened says whether one of them is among the events.
func (t Target) happened(e *timeline.Events) bool {
	for i := range e.Role {
		if t.counts(e, i) {
			return true
		}
	}
	return false
}

// Event is what the target counts, in words: "purchase event with category shoes".
func (t Target) Event() string {
	switch {
	case t.Condition != "":
		return t.Condition
	case t.Any:
		return "event"
	}
	return t.Role.String() + " event"
}

// Outcome is what the target asks for, in words.
func (t Target) Outcome() string {
	within := fmt.Sprintf("within %d days", t.Horizon)
	if t.Gap > 0 {
		within = fmt.Sprintf("in days %d to %d", t.Gap+1, t.Gap+t.Horizon)
	}
	switch {
	case t.Kind == Propensity:
		return fmt.Sprintf("a %s %s", t.Event(), within)
	case t.Ends == Cancel:
		return "a cancel event " + within
	case t.Ends == Either:
		return fmt.Sprintf("a cancel event, or no %s, %s", t.Event(), within)
	}
	return fmt.Sprintf("no %s %s", t.Event(), within)
}

// Recency is the feature column that the naive baseline ranks by: days since
// the last event that counts, whatever its further conditions; of any event for
// an explicit cancel.
func (t Target) Recency() string {
	if t.Any || t.Kind == Churn && t.Ends == Cancel {
		return features.DaysSinceLastEvent
	}
	return fmt.Sprintf("days_since_last_%s", t.Role)
}

// Standing is a customer's relation to a target at an as-of date.
type Standing uint8

// The standings. Only eligible customers are trained on and scored.
const (
	Eligible Standing = iota
	Lapsed            // had such events, but none within ActiveWithin
	Never             // never had an event that would make it eligible
)

// Standing says whether the customer is eligible. It sees only history.
func (t Target) Standing(h *timeline.History) Standing {
	last := int32(-1)
	switch {
	case t.Kind == Propensity || t.Any && t.Where == nil && t.Ends != Cancel:
		last = int32(h.Len() - 1)
	case t.Ends == Cancel:
		for _, r := range []datasets.Role{datasets.Subscribe, datasets.Renew} {
			if p := h.Positions(r); len(p) > 0 {
				last = max(last, p[len(p)-1])
			}
		}
	case t.Any:
		for i := h.Len() - 1; i >= 0 && last < 0; i-- {
			if t.counts(&h.Events, i) {
				last = int32(i)
			}
		}
	default:
		for _, i := range slices.Backward(h.Positions(t.Role)) {
			if t.counts(&h.Events, int(i)) {
				last = i
				break
			}
		}
	}
	if last < 0 {
		return Never
	}
	if t.Kind == Churn && t.Ends != Silence {
		// At one instant, the cancel prevails.
		if p := h.Positions(datasets.Cancel); len(p) > 0 && h.Time[p[len(p)-1]] >= lastWord(h) {
			return Lapsed
		}
	}
	if t.ActiveWithin > 0 && h.AsOf.Today-h.Day[last] >= int32(t.ActiveWithin) {
		return Lapsed
	}
	return Eligible
}

// lastWord is when the customer last subscribed or renewed; long ago when never.
func lastWord(h *timeline.History) int64 {
	at := int64(math.MinInt64)
	for _, r := range []datasets.Role{datasets.Subscribe, datasets.Renew} {
		if p := h.Positions(r); len(p) > 0 {
			at = max(at, h.Time[p[len(p)-1]])
		}
	}
	return at
}

// Label is the target's column in a snapshot: 1 or 0 for eligible customers,
// NaN for the others. The caller makes sure that the outcome window is complete.
func (t Target) Label(zone *time.Location) features.Label {
	return features.Label{
		Name: LabelColumn(t.Name), Unit: "0 or 1",
		Value: func(tl *timeline.Timeline, h *timeline.History) float64 {
			if t.Standing(h) != Eligible {
				return math.NaN()
			}
			from := h.AsOf.Add(t.Gap, zone)
			out := tl.Between(from, from.Add(t.Horizon, zone))
			if t.outcome(&out) {
				return 1
			}
			return 0
		},
	}
}

// outcome says whether what the target asks for came about.
func (t Target) outcome(out *timeline.Outcome) bool {
	switch {
	case t.Kind == Propensity:
		return t.happened(&out.Events)
	case t.Ends == Cancel:
		return out.Has(datasets.Cancel)
	case t.Ends == Either && out.Has(datasets.Cancel):
		return true
	}
	return !t.happened(&out.Events)
}

// LabelColumn is the name of a target's label column. The dot keeps it apart
// from every feature.
func LabelColumn(target string) string { return "label." + target }

// Schedule is the past as-of dates a target is trained and tested on.
type Schedule struct {
	Test  timeline.AsOf   // the last date whose outcome window is complete
	Train []timeline.AsOf // earlier dates, oldest first, whose windows end by Test
}

// Schedule places the snapshots of a target for a run at asOf over history
// that begins on the day first. Training windows end before the test snapshot
// begins, as they would have on that day. Snapshots lie one outcome window
// apart, closer (at least a week) when history is short, and none has less
// than minHistory days before it.
func (t Target) Schedule(asOf timeline.AsOf, first int32, n int, zone *time.Location) (Schedule, error) {
	span := t.Gap + t.Horizon
	minHistory := min(t.Horizon, 90)
	earliest := first + int32(minHistory)
	test := asOf.Add(-span, zone)
	newest := test.Add(-span, zone)
	if newest.Today < earliest {
		return Schedule{}, fmt.Errorf("target %s: history begins %s, too late for a horizon of %d days: a training snapshot, a test snapshot and %d days before the first need history since %s",
			t.Name, dayString(first), t.Horizon, minHistory, dayString(newest.Today-int32(minHistory)))
	}
	stride := span
	if n > 1 {
		if room := int(newest.Today-earliest) / (n - 1); room < stride {
			stride = max(room, min(7, span))
		}
	}
	s := Schedule{Test: test}
	for i := range n {
		a := newest.Add(-i*stride, zone)
		if a.Today < earliest {
			break
		}
		s.Train = append(s.Train, a)
	}
	slices.Reverse(s.Train)
	return s, nil
}

func dayString(day int32) string {
	return time.Unix(int64(day)*86400, 0).UTC().Format(time.DateOnly)
}
