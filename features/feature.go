// Package features declares what Shoal computes of a customer and computes it.
//
// A Family is a declaration: its columns with unit, range, null policy, meaning
// and the SQL that defines them, and a function that fills them for a history
// in one pass. Schemas, the catalogue and the conformance tests all derive from
// the declaration; the SQL is executed against DuckDB by the tests.
package features

import (
	"fmt"
	"strings"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
)

// A Column is one feature: one float64 a customer, NaN where it is undefined.
type Column struct {
	Name    string // snake_case, at most 63 characters
	Unit    string // "days", "events", "currency", "share", …
	Range   string // interval, e.g. "[0, 1]"
	Null    string // when the value is null; "never" otherwise
	Meaning string // one line
	// SQL is a DuckDB aggregate over the family's From, grouped by customer_id.
	// In both, $today stands for the as-of date and $instant for the as-of
	// instant in µs since 1970-01-01 UTC.
	SQL string
}

// A Family is a group of columns that one pass over a history fills.
type Family struct {
	Name    string
	Meaning string
	// Reads lists the optional fields of events that the columns are made of; nil
	// is all of them. The others need not be read from the files.
	Reads []datasets.Field
	// From is the relation that the columns' SQL aggregates: "history", or a
	// query over it with at least one row for every customer of history.
	From    string
	Columns []Column
	// Totals are those of the columns that are totals of all events before the as-of
	// instant, by name: they can be had without putting history in order.
	Totals map[string]timeline.Total
	// Words put a column's value into words, by column; see Saying. Columns whose
	// meaning reads well with the value behind it need none.
	Words map[string]string
	// New returns a function that writes the family's columns for one history.
	// Each goroutine has its own, so it may keep scratch memory.
	New func(Values) Fill
}

// Values lists the values of a dictionary column by rank (rank 0 is null), as
// timeline.Store.Values does: a family that asks for a channel by name looks up
// which ranks of the histories mean it.
type Values func(datasets.Field) []string

// Fill writes one value a column into out, in declared order.
type Fill func(h *timeline.History, out []float64)

// Params shape the catalogue.
type Params struct {
	Windows    []int         // trailing windows in days, ascending; lifetime is always added
	SessionGap time.Duration // a visit without a session id ends after this long without an event
	CartHours  int           // a cart without a purchase is abandoned this many hours after its last addition
	Occasions  []Occasion
	Custom     []Custom
}

// DefaultParams has windows of 7, 30, 90 and 365 days, a session gap of 30
// minutes, carts that are abandoned after 24 hours, and DefaultOccasions.
func DefaultParams() Params {
	return Params{Windows: []int{7, 30, 90, 365}, SessionGap: 30 * time.Minute, CartHours: 24, Occasions: DefaultOccasions()}
}

// A Fault is one thing wrong with what Params say of occasions and custom
// features.
type Fault struct {
	Path    string // such as custom[0].where.role[1] or occasions[2].before
	Value   string // the value refused; "" when there is none
	Message string
	Known   []string // the names that Value may be, when it is none of them
}

const longestWindow = 36_500

// Validate reports every fault of the parameters.
func (p Params) Validate() error {
	var faults []string
	for i, w := range p.Windows {
		if w < 1 || w > longestWindow {
			faults = append(faults, fmt.Sprintf("Windows[%d] (%d) must be 1 to %d days", i, w, longestWindow))
		}
		if i > 0 && w <= p.Windows[i-1] {
			faults = append(faults, fmt.Sprintf("Windows[%d] (%d) must be above Windows[%d] (%d)", i, w, i-1, p.Windows[i-1]))
		}
	}
	if p.SessionGap < time.Second {
		faults = append(faults, fmt.Sprintf("SessionGap (%v) must be at least 1s", p.SessionGap))
	}
	if p.CartHours < 1 || p.CartHours > 8760 {
		faults = append(faults, fmt.Sprintf("CartHours (%d) must be 1 to 8760 hours", p.CartHours))
	}
	if faults == nil { // the rest is made of these
		for _, f := range p.Faults() {
			text := f.Path
			if f.Value != "" {
				text += " (" + f.Value + ")"
			}
			text += " " + f.Message
			if f.Known != nil {
				text += ": known are " + strings.Join(f.Known, ", ")
			}
			faults = append(faults, text)
		}
	}
	if faults != nil {
		return fmt.Errorf("features: %s", strings.Join(faults, "; "))
	}
	return nil
}

// Faults lists what is wrong with the occasions and the custom features. The
// other parameters are valid.
func (p Params) Faults() []Fault {
	var faults []Fault
	named := map[string]int{}
	var sound []Occasion
	var place []int // of the sound ones
	for i, o := range p.Occasions {
		path := fmt.Sprintf("occasions[%d]", i)
		before := len(faults)
		faults = append(faults, o.faults(path)...)
		if first, twice := named[o.Name]; twice && o.Name != "" {
			faults = append(faults, Fault{Path: path + ".name", Value: o.Name, Message: fmt.Sprintf("is already the name of occasions[%d]; names are distinct", first)})
		} else {
			named[o.Name] = i
		}
		if len(faults) == before {
			sound, place = append(sound, o), append(place, i)
		}
	}
	p.Occasions = sound
	catalogue := p.catalogue()
	owner := map[string]string{}
	for _, f := range catalogue {
		for _, c := range f.Columns {
			if f.Name != "occasions" {
				owner[c.Name] = f.Name
			}
		}
	}
	for k, c := range occasions(p).Columns {
		at := fmt.Sprintf("occasions[%d]", place[k/perOccasion])
		if other, taken := owner[c.Name]; taken {
			faults = append(faults, Fault{at + ".name", p.Occasions[k/perOccasion].Name, fmt.Sprintf("makes the column %s, which is in %s; choose another name", c.Name, other), nil})
		}
		owner[c.Name] = at
	}
	return append(faults, newPlan(p, catalogue).faults...)
}

// A window is a trailing stretch of local days that ends with the as-of date.
type window struct {
	days   int32 // 0 is lifetime
	suffix string
	words  string
}

// lifetimeSuffix ends the names of columns about every event.
const lifetimeSuffix = "lifetime"

func (p Params) windows() []window {
	return append(windowsOf(p.Windows), window{0, lifetimeSuffix, "ever"})
}

// windowsOf makes windows of days, 0 being Lifetime.
func windowsOf(days []int) []window {
	ws := make([]window, 0, len(days)+1)
	for _, d := range days {
		w := window{int32(d), fmt.Sprintf("%dd", d), fmt.Sprintf("in the last %d days", d)}
		if d == Lifetime {
			w = window{0, lifetimeSuffix, "ever"}
		}
		ws = append(ws, w)
	}
	return ws
}

// holds reports whether an event of the given age in days is in the window.
func (w window) holds(age int32) bool { return w.days == 0 || age < w.days }

// filter is the SQL condition for the window joined to another condition.
func (w window) filter(cond string) string {
	switch {
	case w.days == 0 && cond == "":
		return ""
	case w.days == 0:
		return " FILTER (WHERE " + cond + ")"
	case cond == "":
		return fmt.Sprintf(" FILTER (WHERE day > $today - %d)", w.days)
	}
	return fmt.Sprintf(" FILTER (WHERE %s AND day > $today - %d)", cond, w.days)
}

// An engaged customer does something: what is merely sent to them is no sign of
// it. A day of engagement is a day with any event but message_sent.
const engagedSQL = "role <> 'message_sent'"

func engaged(r datasets.Role) bool { return r != datasets.MessageSent }

// Names of the columns that the rest of the job relies on. Their families are
// always computed.
const (
	DaysSinceFirstEvent    = "days_since_first_event"
	DaysSinceLastEvent     = "days_since_last_event"
	DaysSinceFirstPurchase = "days_since_first_purchase"
	DaysSinceLastPurchase  = "days_since_last_purchase"
	PurchaseDaysLifetime   = "purchase_days_lifetime"
	SpendLifetime          = "spend_lifetime"
	NetSpendLifetime       = "net_spend_lifetime"
	RefundLifetime         = "refund_lifetime"
	RepeatDaySpendMean     = "repeat_day_spend_mean"
)
