package features

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
)

// A Custom is a feature that a configuration defines: an Aggregate over the
// events that Where picks, or the ratio of two other features.
type Custom struct {
	Name      string
	Meaning   string // one line; "" writes one
	Aggregate Aggregate
	Column    string // what is aggregated: the name of an event field, or day
	Where     Filter
	Among     Filter // of Share: the events that the share is of
	Windows   []int  // days, ascending, Lifetime last; nil is Params.Windows and Lifetime
	Ratio     Ratio  // instead of an Aggregate
}

// Lifetime is the window that holds every event.
const Lifetime = 0

// A Ratio divides one column by another. Each side names a column, or a
// feature that has a column for each of its windows.
type Ratio struct{ Of, To string }

// A Filter picks events: each condition that it has must hold. No condition
// holds where the field is null.
type Filter struct {
	Roles  []datasets.Role
	Values map[datasets.Field][]string // one of FilterFields → values as the data spell them
}

// FilterFields are the fields, beside the role, that a Filter may ask for.
func FilterFields() []datasets.Field {
	return []datasets.Field{datasets.EventType, datasets.Channel, datasets.Category, datasets.ProductID, datasets.CampaignID}
}

// An Aggregate makes one number of the events that are picked.
type Aggregate string

// The aggregates. A day is a local calendar day; a value is one that is not null.
const (
	Count     Aggregate = "count"      // events
	Sum       Aggregate = "sum"        // of values; 0 without any
	Mean      Aggregate = "mean"       // of values
	Min       Aggregate = "min"        // of values
	Max       Aggregate = "max"        // of values
	Distinct  Aggregate = "distinct"   // values
	DaysSince Aggregate = "days_since" // the last event, to the as-of date
	Share     Aggregate = "share"      // of the events, or of the sum of a column, that Among picks: the part that Where picks too
	Entropy   Aggregate = "entropy"    // of values, in bits
	GapMean   Aggregate = "gap_mean"   // days between consecutive days with an event, on average
	// Trend compares a window with the one of the same length before it, by events or by the sum of a
	// column: (later − earlier) ÷ (later + earlier).
	Trend Aggregate = "trend"
)

const (
	valueColumns = "amount quantity rating"
	codeColumns  = "event_type product_id category channel campaign_id"
	dayColumn    = "day"
)

// aggregates says which columns each aggregate is made over.
var aggregates = []struct {
	name     Aggregate
	columns  []string
	optional bool // the column may be left out
}{
	{Count, nil, false},
	{Sum, strings.Fields(valueColumns), false},
	{Mean, strings.Fields(valueColumns), false},
	{Min, strings.Fields(valueColumns), false},
	{Max, strings.Fields(valueColumns), false},
	{Distinct, strings.Fields(codeColumns + " session_id event_time day"), false},
	{DaysSince, nil, false},
	{Share, []string{"amount", "quantity"}, true},
	{Entropy, strings.Fields(codeColumns), false},
	{GapMean, nil, false},
	{Trend, []string{"amount", "quantity"}, true},
}

// Aggregates lists the names of the aggregates.
func Aggregates() []string {
	var names []string
	for _, a := range aggregates {
		names = append(names, string(a.name))
	}
	return names
}

// AggregateColumns lists what a Custom's Column may be.
func AggregateColumns() []string {
	return strings.Fields(valueColumns + " " + codeColumns + " session_id event_time " + dayColumn)
}

var (
	customName   = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)
	windowSuffix = regexp.MustCompile(`_([0-9]+d|lifetime)$`)
	// Published tables have these columns of their own.
	reserved = []string{CustomerColumn, "as_of", "run_id"}
)

// deepestRatio bounds how deep ratios of ratios nest: SQL writes each out.
const deepestRatio = 4

// smallestDivisor is the least magnitude that a ratio divides by. Means that
// ought to be 0 may be a rounding away from it.
const smallestDivisor = 1e-9

// custom: the features that the configuration defines.
func custom(p Params, catalogue []Family) Family {
	plan := newPlan(p, catalogue)
	f := Family{Name: "custom", Meaning: "What the configuration defines.", From: plan.from()}
	for _, n := range plan.nodes {
		for _, c := range n.columns {
			f.Columns = append(f.Columns, c.Column)
		}
	}
	f.New = plan.fill
	return f
}

// A plan is the custom features with the names in them found.
type plan struct {
	params    Params
	catalogue []Family
	places    map[string]place // of catalogue columns
	nodes     []*node          // a custom feature each
	borrowed  []int            // catalogue families that ratios read, ascending
	ratios    []*customColumn  // in an order in which what they read comes first
	faults    []Fault
}

// A place is where a value is: a column of a catalogue family, or of the custom
// feature at a position when family is −1.
type place struct{ family, custom, column int }

type node struct {
	Custom
	path    string
	at      int // position of the first column in the family
	columns []*customColumn
	depth   int  // of ratios of ratios
	broken  bool // by a feature that it reads
	state   uint8
}

const (
	unresolved uint8 = iota
	resolving
	resolved
	faulty
)

type customColumn struct {
	Column
	window window
	of, to place // of a ratio
	at     int   // position in the family
}

func newPlan(p Params, catalogue []Family) *plan {
	b := &plan{params: p, catalogue: catalogue, places: map[string]place{}}
	for i, f := range catalogue {
		for j, c := range f.Columns {
			b.places[c.Name] = place{family: i, column: j}
		}
	}
	for i, c := range p.Custom {
		b.nodes = append(b.nodes, &node{Custom: c, path: fmt.Sprintf("custom[%d]", i)})
	}
	for i := range b.nodes {
		b.resolve(i)
	}
	owner := map[string]string{}
	named := map[string]string{}
	at := 0
	for _, n := range b.nodes {
		if first, twice := named[n.Name]; twice && n.Name != "" {
			b.fault(n, ".name", n.Name, "is already the name of %s; names are distinct", first)
			continue
		}
		named[n.Name] = n.path
		if _, taken := b.places[n.Name]; taken || slices.Contains(reserved, n.Name) {
			b.fault(n, ".name", n.Name, "is a column of the catalogue; choose another name")
			continue
		}
		n.at = at
		at += len(n.columns)
		for k, c := range n.columns {
			c.at = n.at + k
			if _, taken := b.places[c.Name]; taken {
				b.fault(n, ".name", n.Name, "makes the column %s, which is in the catalogue; choose another name", c.Name)
				break
			}
			if first, taken := owner[c.Name]; taken {
				b.fault(n, ".name", n.Name, "makes the column %s, as %s does; choose another name", c.Name, first)
				break
			}
			owner[c.Name] = n.path
		}
	}
	slices.Sort(b.borrowed)
	b.borrowed = slices.Compact(b.borrowed)
	return b
}

func (b *plan) fault(n *node, key, value, format string, args ...any) {
	b.faults = append(b.faults, Fault{Path: n.path + key, Value: value, Message: fmt.Sprintf(format, args...)})
}

// resolve makes the columns of a custom feature, after those that it reads.
func (b *plan) resolve(i int) {
	n := b.nodes[i]
	if n.state != unresolved {
		return
	}
	n.state = resolving
	before := len(b.faults)
	if !customName.MatchString(n.Name) {
		b.fault(n, ".name", strconv.Quote(n.Name), "must match %s", customName)
	}
	if strings.ContainsFunc(n.Meaning, func(r rune) bool { return r < ' ' }) {
		b.fault(n, ".meaning", strconv.Quote(n.Meaning), "must be one line")
	}
	for k, w := range n.Windows {
		at := fmt.Sprintf(".windows[%d]", k)
		switch {
		case w == Lifetime && k < len(n.Windows)-1:
			b.fault(n, at, "lifetime", "must be the last window: windows ascend")
		case w < 0 || w > longestWindow:
			b.fault(n, at, strconv.Itoa(w), "must be 1 to %d days", longestWindow)
		case w != Lifetime && k > 0 && w <= n.Windows[k-1]:
			b.fault(n, at, strconv.Itoa(w), "must be above the window before it (%d)", n.Windows[k-1])
		}
	}
	if n.Windows != nil && len(n.Windows) == 0 {
		b.fault(n, ".windows", "", "is empty; list windows, or delete the key to take the job's")
	}
	switch isRatio := n.Ratio != (Ratio{}); {
	case isRatio && n.Aggregate != "":
		b.fault(n, ".ratio", "", "excludes aggregate: a feature is one or the other")
	case isRatio:
		b.ratio(n)
	case n.Aggregate == "":
		b.fault(n, ".aggregate", "", "missing; name an aggregate (%s), or give ratio", strings.Join(Aggregates(), ", "))
	default:
		b.aggregate(n)
	}
	n.state = resolved
	if len(b.faults) > before || n.broken {
		n.state, n.columns = faulty, nil
	}
}

func (b *plan) aggregate(n *node) {
	known := slices.Index(Aggregates(), string(n.Aggregate))
	if known < 0 {
		b.faults = append(b.faults, Fault{n.path + ".aggregate", strconv.Quote(string(n.Aggregate)), "is no aggregate", Aggregates()})
		return
	}
	switch a := aggregates[known]; {
	case n.Column == "" && a.columns != nil && !a.optional:
		b.fault(n, ".column", "", "missing; %s is made over one of %s", n.Aggregate, strings.Join(a.columns, ", "))
	case n.Column != "" && a.columns == nil:
		b.fault(n, ".column", n.Column, "has no meaning for %s, which is made of events; delete the key", n.Aggregate)
	case n.Column != "" && !slices.Contains(a.columns, n.Column):
		b.faults = append(b.faults, Fault{n.path + ".column", strconv.Quote(n.Column), fmt.Sprintf("is no column for %s", n.Aggregate), a.columns})
	}
	b.filter(n, ".where", n.Where)
	b.filter(n, ".among", n.Among)
	if !n.Among.empty() && n.Aggregate != Share {
		b.fault(n, ".among", "", "belongs to share: the events that the share is of")
	}
	if n.Aggregate == Share && n.Where.empty() {
		b.fault(n, ".where", "", "missing; without a condition the share is always 1")
	}
	windows := b.params.windows()
	if n.Windows != nil {
		windows = windowsOf(n.Windows)
	}
	switch n.Aggregate {
	case DaysSince:
		if n.Windows != nil {
			b.fault(n, ".windows", "", "has no meaning for days_since, which looks back without limit; delete the key")
		}
		windows = []window{{words: "ever"}}
	case Trend:
		if n.Windows == nil {
			windows = windows[:len(windows)-1]
		} else if slices.Contains(n.Windows, Lifetime) {
			b.fault(n, ".windows", "lifetime", "has no meaning for trend, which compares a window with the one before it; list days")
		}
		if len(windows) == 0 {
			b.fault(n, ".windows", "", "missing; trend compares a window with the one before it")
		}
	}
	for _, w := range windows {
		c := &customColumn{Column: n.column(w), window: w}
		c.Name = n.Name
		if w.suffix != "" {
			c.Name += "_" + w.suffix
		}
		if n.Meaning != "" {
			c.Meaning = n.Meaning
			if w.suffix != "" {
				c.Meaning = fmt.Sprintf("%s (%s).", strings.TrimSuffix(n.Meaning, "."), w.words)
			}
		}
		n.columns = append(n.columns, c)
	}
}

func (b *plan) filter(n *node, key string, f Filter) {
	seen := map[datasets.Role]bool{}
	for i, r := range f.Roles {
		at := fmt.Sprintf("%s.role[%d]", key, i)
		if r == datasets.Other || int(r) >= datasets.NumRoles {
			b.fault(n, at, r.String(), "is no role that event types are mapped to")
		} else if seen[r] {
			b.fault(n, at, r.String(), "is listed twice; keep one")
		}
		seen[r] = true
	}
	for _, field := range slices.Sorted(maps.Keys(f.Values)) {
		values := f.Values[field]
		if !slices.Contains(FilterFields(), field) {
			b.fault(n, key, field.String(), "is no field that a filter asks for")
		}
		seen := map[string]bool{}
		for i, v := range values {
			at := fmt.Sprintf("%s.%s[%d]", key, field, i)
			if v == "" {
				b.fault(n, at, "", "is empty; name a value as the data spell it")
			} else if seen[v] {
				b.fault(n, at, strconv.Quote(v), "is listed twice; keep one")
			}
			seen[v] = true
		}
	}
}

func (f Filter) empty() bool {
	if len(f.Roles) > 0 {
		return false
	}
	for _, values := range f.Values {
		if len(values) > 0 {
			return false
		}
	}
	return true
}

// An operand is what one side of a ratio names: a column, or a column for each
// of the windows of a feature.
type operand struct {
	exact    bool
	place    place
	bySuffix map[string]place
}

// find looks an operand up. ok is false after a fault, of the ratio or of what
// it names.
func (b *plan) find(n *node, key, ref string) (o operand, ok bool) {
	if ref == "" {
		b.fault(n, key, "", "missing; name a column of the catalogue, or a custom feature")
		return o, false
	}
	if at, found := b.places[ref]; found {
		return operand{exact: true, place: at}, true
	}
	stem, suffix := ref, ""
	if m := windowSuffix.FindStringIndex(ref); m != nil {
		stem, suffix = ref[:m[0]], ref[m[0]+1:]
	}
	for j, other := range b.nodes {
		if other.Name != ref && (suffix == "" || other.Name != stem) {
			continue
		}
		if other.state == resolving {
			b.fault(n, key, ref, "closes a circle: %s is made of it", ref)
			return o, false
		}
		b.resolve(j)
		if other.state == faulty {
			return o, false // a feature with a fault has its own message
		}
		n.depth = max(n.depth, other.depth+1)
		o.bySuffix = map[string]place{}
		for k, c := range other.columns {
			at := place{family: -1, custom: j, column: k}
			if c.Name == ref {
				return operand{exact: true, place: at}, true
			}
			o.bySuffix[c.window.suffix] = at
		}
		if other.Name == ref {
			return o, true
		}
	}
	o.bySuffix = map[string]place{}
	for name, at := range b.places {
		if m := windowSuffix.FindStringIndex(name); m != nil && name[:m[0]] == ref {
			o.bySuffix[name[m[0]+1:]] = at
		}
	}
	if len(o.bySuffix) > 0 {
		return o, true
	}
	f := Fault{Path: n.path + key, Value: strconv.Quote(ref), Message: "is neither a column of the catalogue nor a custom feature"}
	for _, other := range b.nodes {
		f.Known = append(f.Known, other.Name)
	}
	for name := range b.places {
		f.Known = append(f.Known, name)
	}
	slices.Sort(f.Known)
	b.faults = append(b.faults, f)
	return o, false
}

func (o operand) in(w window) (place, bool) {
	if o.exact {
		return o.place, true
	}
	at, ok := o.bySuffix[w.suffix]
	return at, ok
}

func (b *plan) ratio(n *node) {
	for _, unused := range []struct {
		key   string
		given bool
	}{{".column", n.Column != ""}, {".where", !n.Where.empty()}, {".among", !n.Among.empty()}} {
		if unused.given {
			b.fault(n, unused.key, "", "has no meaning for a ratio; delete the key")
		}
	}
	of, okOf := b.find(n, ".ratio.of", n.Ratio.Of)
	to, okTo := b.find(n, ".ratio.to", n.Ratio.To)
	if !okOf || !okTo {
		n.broken = true
		return
	}
	if n.depth > deepestRatio {
		b.fault(n, ".ratio", "", "is a ratio of ratios more than %d deep; divide what they are made of", deepestRatio)
		return
	}
	windows := []window{{}}
	if of.exact && to.exact {
		if n.Windows != nil {
			b.fault(n, ".windows", "", "has no meaning for a ratio of two columns; name features by their names without a window, or delete the key")
		}
	} else if windows = b.params.windows(); n.Windows != nil {
		windows = windowsOf(n.Windows)
	}
	for i, w := range windows {
		p, okP := of.in(w)
		q, okQ := to.in(w)
		if !okP || !okQ {
			if n.Windows != nil {
				b.fault(n, fmt.Sprintf(".windows[%d]", i), w.suffix, "is a window that %s does not have", missing(n.Ratio, okP))
			}
			continue
		}
		c := &customColumn{window: w, of: p, to: q}
		x, y := b.column(p), b.column(q)
		c.Name, c.Unit, c.Range = n.Name, x.Unit+" per "+y.Unit, "(-∞, ∞)"
		if w.suffix != "" {
			c.Name += "_" + w.suffix
		}
		if x.Unit == y.Unit {
			c.Unit = "ratio"
		}
		if !negative(x.Range) && !negative(y.Range) {
			c.Range = "[0, ∞)"
		}
		c.Null = x.Name + " or " + y.Name + " is null, or " + y.Name + " is 0"
		c.Meaning = fmt.Sprintf("%s divided by %s.", x.Name, y.Name)
		if n.Meaning != "" {
			c.Meaning = n.Meaning
			if w.suffix != "" {
				c.Meaning = fmt.Sprintf("%s (%s).", strings.TrimSuffix(n.Meaning, "."), w.words)
			}
		}
		divisor := b.sql(q)
		c.SQL = fmt.Sprintf("CASE WHEN abs(%[2]s) >= %[3]g THEN %[1]s / %[2]s END", b.sql(p), divisor, smallestDivisor)
		n.columns = append(n.columns, c)
		b.ratios = append(b.ratios, c)
		for _, at := range []place{p, q} {
			if at.family >= 0 {
				b.borrowed = append(b.borrowed, at.family)
			}
		}
	}
	if len(n.columns) == 0 && n.Windows == nil {
		b.fault(n, ".ratio", "", "finds no window that %s and %s both have; list windows of their own, or name columns", n.Ratio.Of, n.Ratio.To)
	}
}

func missing(r Ratio, hasOf bool) string {
	if hasOf {
		return r.To
	}
	return r.Of
}

// negative reports whether a range reaches below 0.
func negative(interval string) bool { return strings.HasPrefix(interval[1:], "-") }

func (b *plan) column(at place) Column {
	if at.family < 0 {
		return b.nodes[at.custom].columns[at.column].Column
	}
	return b.catalogue[at.family].Columns[at.column]
}

// sql is an operand's value in the custom family's query.
func (b *plan) sql(at place) string {
	if at.family < 0 {
		return "(" + b.column(at).SQL + ")"
	}
	return "any_value(catalogue_" + b.column(at).Name + ")"
}

// from joins the catalogue columns that ratios read to every event of the
// customer.
func (b *plan) from() string {
	if len(b.borrowed) == 0 {
		return "history"
	}
	wanted := map[place]bool{}
	for _, r := range b.ratios {
		wanted[r.of], wanted[r.to] = true, true
	}
	var picks, joins strings.Builder
	for _, i := range b.borrowed {
		f := b.catalogue[i]
		fmt.Fprintf(&joins, "\n LEFT JOIN (SELECT customer_id")
		for j, c := range f.Columns {
			if wanted[place{family: i, column: j}] {
				fmt.Fprintf(&picks, ", of_%s.catalogue_%s", f.Name, c.Name)
				fmt.Fprintf(&joins, ",\n  %s AS catalogue_%s", c.SQL, c.Name)
			}
		}
		fmt.Fprintf(&joins, "\n  FROM %s\n  GROUP BY customer_id) AS of_%[2]s ON of_%[2]s.customer_id = history.customer_id", f.From, f.Name)
	}
	return "(SELECT history.*" + picks.String() + "\n FROM history" + joins.String() + ")"
}

// fill makes the function that fills the family.
func (b *plan) fill(values Values) Fill {
	var gathers []*gatherer
	for _, n := range b.nodes {
		if n.Aggregate != "" {
			gathers = append(gathers, newGatherer(n, values))
		}
	}
	fills, rows := make([]Fill, len(b.borrowed)), make([][]float64, len(b.catalogue))
	for k, i := range b.borrowed {
		fills[k] = b.catalogue[i].New(values)
		rows[i] = make([]float64, len(b.catalogue[i].Columns))
	}
	return func(h *timeline.History, out []float64) {
		for _, g := range gathers {
			g.fill(h, out[g.at:][:len(g.windows)])
		}
		for k, i := range b.borrowed {
			fills[k](h, rows[i])
		}
		value := func(at place) float64 {
			if at.family < 0 {
				return out[b.nodes[at.custom].at+at.column]
			}
			return rows[at.family][at.column]
		}
		for _, r := range b.ratios {
			out[r.at] = math.NaN()
			if to := value(r.to); math.Abs(to) >= smallestDivisor {
				out[r.at] = value(r.of) / to
			}
		}
	}
}

// Unseen lists the values that the filters of custom features name and the
// histories lack, each once: a misspelt one would pass for zeros otherwise.
func Unseen(custom []Custom, values Values) []string {
	var unseen []string
	for _, c := range custom {
		for _, f := range []Filter{c.Where, c.Among} {
			for _, field := range FilterFields() {
				for _, v := range f.Values[field] {
					said := fmt.Sprintf("the feature %s asks for the %s %q, which no event has; write it as the data spell it", c.Name, field, v)
					if _, ok := rankOf(values(field), v); !ok && !slices.Contains(unseen, said) {
						unseen = append(unseen, said)
					}
				}
			}
		}
	}
	return unseen
}
