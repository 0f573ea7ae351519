package features

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
)

// What a custom feature's aggregates mean: in words and SQL, and by the code
// that fills them.

// column declares the feature's column for a window, all but its name.
func (c *Custom) column(w window) Column {
	where, among := c.Where.sql(), c.Among.sql()
	events, all := c.Where.words(), c.Among.words()
	picked := func(cond string) string { return w.filter(cond) }
	// The unit of Column's values, and those values in words.
	unit := map[string]string{"amount": "currency", "quantity": "items", "rating": "rating"}[c.Column]
	switch c.Aggregate {
	case Count:
		return Column{"", "events", "[0, ∞)", "never", fmt.Sprintf("Number of %s %s.", events, w.words), "count(*)" + picked(where)}
	case Sum:
		return Column{"", unit, "(-∞, ∞)", "never", fmt.Sprintf("Sum of the %s of %s %s.", c.Column, events, w.words),
			fmt.Sprintf("coalesce(sum(%s)%s, 0)::DOUBLE", c.Column, picked(where))}
	case Mean:
		return Column{"", unit, "(-∞, ∞)", "no such value", fmt.Sprintf("Mean %s of %s %s.", c.Column, events, w.words),
			fmt.Sprintf("(sum(%[1]s)%[2]s)::DOUBLE / nullif(count(%[1]s)%[2]s, 0)", c.Column, picked(where))}
	case Min, Max:
		word := map[Aggregate]string{Min: "Lowest", Max: "Highest"}[c.Aggregate]
		return Column{"", unit, "(-∞, ∞)", "no such value", fmt.Sprintf("%s %s of %s %s.", word, c.Column, events, w.words),
			fmt.Sprintf("(%s(%s)%s)::DOUBLE", c.Aggregate, c.Column, picked(where))}
	case Distinct:
		return Column{"", nouns[c.Column], "[0, ∞)", "never", fmt.Sprintf("Distinct %s of %s %s.", nouns[c.Column], events, w.words),
			fmt.Sprintf("count(DISTINCT %s)%s", c.Column, picked(where))}
	case DaysSince:
		return Column{"", "days", "[0, ∞)", "no such event", fmt.Sprintf("Days from the last of %s to the as-of date.", events),
			"$today - max(day)" + picked(where)}
	case Share:
		both := and(among, where)
		if c.Column == "" {
			return Column{"", "share", "[0, 1]", "none of " + all, fmt.Sprintf("Share of %s %s that are %s.", all, w.words, events),
				fmt.Sprintf("count(*)%s / nullif(count(*)%s, 0)", picked(both), picked(among))}
		}
		return Column{"", "share", "(-∞, ∞)", "the sum is not positive",
			fmt.Sprintf("Share of the %s of %s %s that is of %s; outside 0 to 1 only where values are negative.", c.Column, all, w.words, events),
			fmt.Sprintf("CASE WHEN sum(%[1]s)%[3]s > 0 THEN coalesce(sum(%[1]s)%[2]s, 0)::DOUBLE / (sum(%[1]s)%[3]s)::DOUBLE END", c.Column, picked(both), picked(among))}
	case Entropy:
		known := picked(and(where, c.Column+" IS NOT NULL"))
		return Column{"", "bits", "[0, ∞)", "no such value", fmt.Sprintf("Shannon entropy of the %s of %s %s: 0 is one value only.", c.Column, events, w.words),
			fmt.Sprintf("CASE WHEN count(*)%[2]s > 0 THEN entropy(%[1]s)%[2]s END", c.Column, known)}
	case GapMean:
		return Column{"", "days", "[1, ∞)", "fewer than two days with such an event", fmt.Sprintf("Mean gap between consecutive days with %s %s.", events, w.words),
			fmt.Sprintf("(max(day)%[1]s - min(day)%[1]s) / nullif(count(DISTINCT day)%[1]s - 1, 0)", picked(where))}
	case Trend:
		both := window{days: 2 * w.days}.filter(where)
		if c.Column == "" {
			return Column{"", "index", "[-1, 1]", "no such event in both windows",
				fmt.Sprintf("Number of %s %s less that of the %d days before, divided by both together: 1 is all new, -1 all gone.", events, w.words, w.days),
				fmt.Sprintf("(2 * count(*)%s - count(*)%s) / nullif(count(*)%[2]s, 0)", picked(where), both)}
		}
		return Column{"", "index", "(-∞, ∞)", "the sum of both windows is not positive",
			fmt.Sprintf("Sum of the %s of %s %s less that of the %d days before, divided by both together: 1 is all new, -1 all gone.", c.Column, events, w.words, w.days),
			fmt.Sprintf("CASE WHEN sum(%[1]s)%[3]s > 0 THEN (2 * coalesce(sum(%[1]s)%[2]s, 0) - sum(%[1]s)%[3]s)::DOUBLE / (sum(%[1]s)%[3]s)::DOUBLE END", c.Column, picked(where), both)}
	}
	return Column{}
}

// nouns are what distinct values of a column are.
var nouns = map[string]string{
	"event_type": "event types", "product_id": "products", "category": "categories", "channel": "channels", "campaign_id": "campaigns",
	"session_id": "sessions", "event_time": "instants", dayColumn: "days",
}

// sql is the filter's condition; "" for none.
func (f Filter) sql() string {
	cond := ""
	var roles []string
	for _, r := range f.Roles {
		roles = append(roles, r.String())
	}
	if len(roles) > 0 {
		cond = oneOfSQL("role", roles)
	}
	for _, field := range FilterFields() {
		if values := f.Values[field]; len(values) > 0 {
			cond = and(cond, oneOfSQL(field.String(), values))
		}
	}
	return cond
}

func and(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + " AND " + b
}

func oneOfSQL(column string, values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		// A $ is kept from standing for the as-of date.
		quoted[i] = "'" + strings.NewReplacer("'", "''", "$", "' || chr(36) || '").Replace(v) + "'"
	}
	if len(quoted) == 1 {
		return column + " = " + quoted[0]
	}
	return column + " IN (" + strings.Join(quoted, ", ") + ")"
}

// words describe the events: "purchase events with category shoes or boots".
func (f Filter) words() string {
	some := func(values []string) string {
		if len(values) > 4 {
			return strings.Join(values[:3], ", ") + fmt.Sprintf(" or %d others", len(values)-3)
		}
		return strings.Join(values, " or ")
	}
	words := "events"
	var roles []string
	for _, r := range f.Roles {
		roles = append(roles, r.String())
	}
	if len(roles) > 0 {
		words = some(roles) + " events"
	}
	with := " with "
	for _, field := range FilterFields() {
		if values := f.Values[field]; len(values) > 0 {
			words += with + field.String() + " " + strings.Join(strings.Fields(some(values)), " ")
			with = " and "
		}
	}
	return words
}

// A matcher picks the events of a filter by their ranks.
type matcher struct {
	any    bool // role
	roles  [datasets.NumRoles]bool
	only   datasets.Role // the single role asked for, when there is one
	single bool
	fields []rankSet
}

type rankSet struct {
	field datasets.Field
	ranks []uint32 // ascending
}

func newMatcher(f Filter, values Values) matcher {
	m := matcher{any: len(f.Roles) == 0, single: len(f.Roles) == 1}
	for _, r := range f.Roles {
		m.roles[r], m.only = true, r
	}
	for _, field := range FilterFields() {
		if len(f.Values[field]) == 0 {
			continue
		}
		set := rankSet{field: field}
		for _, v := range f.Values[field] {
			if rank, ok := rankOf(values(field), v); ok {
				set.ranks = append(set.ranks, rank)
			}
		}
		slices.Sort(set.ranks)
		m.fields = append(m.fields, set)
	}
	return m
}

// A Matcher picks the events of a Filter. It is read-only.
type Matcher struct{ of matcher }

// NewMatcher looks the filter's values up among those of a history.
func NewMatcher(f Filter, values Values) *Matcher { return &Matcher{newMatcher(f, values)} }

// Picks says whether the i-th event meets the filter's conditions.
func (m *Matcher) Picks(e *timeline.Events, i int) bool { return m.of.picks(e, int32(i)) }

// Words says what the filter picks, such as "events of role purchase in the category shoes".
func (f Filter) Words() string { return f.words() }

// UnseenBy lists the values that a filter asks for and no event has.
func (f Filter) UnseenBy(values Values) (unseen []string) {
	for _, field := range FilterFields() {
		for _, v := range f.Values[field] {
			if _, ok := rankOf(values(field), v); !ok {
				unseen = append(unseen, fmt.Sprintf("the %s %q", field, v))
			}
		}
	}
	return unseen
}

// rankOf finds a value among a column's values by rank: from rank 1 on they are
// sorted.
func rankOf(values []string, v string) (uint32, bool) {
	i, ok := slices.BinarySearch(values[min(1, len(values)):], v)
	return uint32(i) + 1, ok
}

func (m *matcher) match(h *timeline.History, i int32) bool { return m.picks(&h.Events, i) }

func (m *matcher) picks(e *timeline.Events, i int32) bool {
	if !m.any && !m.roles[e.Role[i]] {
		return false
	}
	for k := range m.fields {
		if _, ok := slices.BinarySearch(m.fields[k].ranks, code(codesOf(e, m.fields[k].field), i)); !ok {
			return false
		}
	}
	return true
}

func codesOf(e *timeline.Events, f datasets.Field) []uint32 {
	switch f {
	case datasets.EventType:
		return e.Type
	case datasets.ProductID:
		return e.Product
	case datasets.Category:
		return e.Category
	case datasets.Channel:
		return e.Channel
	case datasets.CampaignID:
		return e.Campaign
	case datasets.SessionID:
		return e.Session
	}
	return nil
}

func moneyOf(h *timeline.History, f datasets.Field) []datasets.Money {
	switch f {
	case datasets.Amount:
		return h.Amount
	case datasets.Quantity:
		return h.Quantity
	case datasets.Rating:
		return h.Rating
	}
	return nil
}

// walk calls visit for the positions of the events that the matcher's role
// condition may pick, the newest first, until visit returns false.
func (m *matcher) walk(h *timeline.History, visit func(i int32) bool) {
	if m.single {
		for _, i := range slices.Backward(h.Positions(m.only)) {
			if !visit(i) {
				return
			}
		}
		return
	}
	for i := int32(h.Len()) - 1; i >= 0 && visit(i); i-- {
	}
}

// What a custom feature aggregates.
type columnKind uint8

const (
	ofEvents columnKind = iota
	ofValues
	ofCodes
	ofSessions // codes without a rank, of which there are millions
	ofInstants
	ofDays
)

func kindOf(column string) (columnKind, datasets.Field) {
	field, _ := datasets.ParseField(column)
	switch {
	case column == "":
		return ofEvents, field
	case column == dayColumn:
		return ofDays, field
	case field == datasets.EventTime:
		return ofInstants, field
	case field == datasets.SessionID:
		return ofSessions, field
	case slices.Contains(strings.Fields(valueColumns), column):
		return ofValues, field
	}
	return ofCodes, field
}

// A gatherer fills the columns of one aggregate. It walks from the newest event
// back: a window holds every shorter one, so what has been gathered when the
// walk leaves a window is that window's.
type gatherer struct {
	at           int // position of the first column in the family
	aggregate    Aggregate
	windows      []window
	where, among matcher
	kind         columnKind
	field        datasets.Field
	seen         gathered
	codes        tally
	sessions     map[uint32]struct{}
	trends       []twoWindows // by window
}

// gathered is what the walk has seen so far.
type gathered struct {
	events, all     int // those that where picks, and those that among picks
	values          int
	sum, sumAll     datasets.Money
	least, greatest datasets.Money
	newest, oldest  int32 // days
	days, instants  int
	lastTime        int64
}

func newGatherer(n *node, values Values) *gatherer {
	g := &gatherer{at: n.at, aggregate: n.Aggregate, where: newMatcher(n.Where, values), among: newMatcher(n.Among, values), sessions: map[uint32]struct{}{}}
	for _, c := range n.columns {
		g.windows = append(g.windows, c.window)
	}
	g.kind, g.field = kindOf(n.Column)
	if n.Aggregate == Trend {
		g.trends = make([]twoWindows, len(g.windows))
	}
	return g
}

func (g *gatherer) fill(h *timeline.History, out []float64) {
	if g.aggregate == Trend {
		g.fillTrends(h, out)
		return
	}
	g.seen = gathered{}
	g.codes.reset()
	clear(g.sessions)
	first := &g.where
	if g.aggregate == Share {
		first = &g.among
	}
	k := 0
	first.walk(h, func(i int32) bool {
		for age := h.AsOf.Today - h.Day[i]; !g.windows[k].holds(age); {
			out[k] = g.result(h)
			if k++; k == len(g.windows) {
				return false
			}
		}
		g.add(h, i)
		return true
	})
	for ; k < len(g.windows); k++ {
		out[k] = g.result(h)
	}
}

func (g *gatherer) add(h *timeline.History, i int32) {
	s := &g.seen
	value := datasets.NullMoney
	if g.kind == ofValues {
		value = at(moneyOf(h, g.field), i)
	}
	if g.aggregate == Share {
		if !g.among.match(h, i) {
			return
		}
		s.all++
		if value != datasets.NullMoney {
			s.sumAll += value
		}
	}
	if !g.where.match(h, i) {
		return
	}
	day, instant := h.Day[i], h.Time[i]
	if s.events == 0 {
		s.newest = day
	}
	if s.events == 0 || day != s.oldest {
		s.days++
	}
	if s.events == 0 || instant != s.lastTime {
		s.instants++
	}
	s.events++
	s.oldest, s.lastTime = day, instant
	switch g.kind {
	case ofValues:
		if value == datasets.NullMoney {
			return
		}
		if s.values == 0 {
			s.least, s.greatest = value, value
		}
		s.values++
		s.sum += value
		s.least, s.greatest = min(s.least, value), max(s.greatest, value)
	case ofCodes:
		if c := code(codesOf(&h.Events, g.field), i); c != 0 {
			g.codes.add(c)
		}
	case ofSessions:
		if c := code(h.Session, i); c != 0 {
			g.sessions[c] = struct{}{}
		}
	}
}

// result is the aggregate of what has been gathered.
func (g *gatherer) result(h *timeline.History) float64 {
	s := &g.seen
	switch g.aggregate {
	case Count:
		return float64(s.events)
	case Sum:
		return s.sum.Float()
	case Mean:
		return share(s.sum.Float(), float64(s.values))
	case Min:
		if s.values > 0 {
			return s.least.Float()
		}
	case Max:
		if s.values > 0 {
			return s.greatest.Float()
		}
	case Distinct:
		switch g.kind {
		case ofDays:
			return float64(s.days)
		case ofInstants:
			return float64(s.instants)
		case ofSessions:
			return float64(len(g.sessions))
		}
		return float64(len(g.codes.values))
	case DaysSince:
		if s.events > 0 {
			return float64(h.AsOf.Today - s.newest)
		}
	case Share:
		if g.kind == ofEvents {
			return share(s.events, s.all)
		}
		return share(s.sum.Float(), s.sumAll.Float())
	case Entropy:
		if g.codes.total > 0 {
			return g.codes.entropy()
		}
	case GapMean:
		return share(s.newest-s.oldest, int32(s.days-1))
	}
	return math.NaN()
}

// twoWindows are what a window and the one before it hold: events or a sum.
type twoWindows struct{ later, both int64 }

func (g *gatherer) fillTrends(h *timeline.History, out []float64) {
	clear(g.trends)
	longest := g.windows[len(g.windows)-1].days
	g.where.walk(h, func(i int32) bool {
		age := h.AsOf.Today - h.Day[i]
		if age >= 2*longest {
			return false
		}
		if !g.where.match(h, i) {
			return true
		}
		amount := int64(1)
		if g.kind == ofValues {
			v := at(moneyOf(h, g.field), i)
			if v == datasets.NullMoney {
				return true
			}
			amount = int64(v)
		}
		for k := len(g.windows) - 1; k >= 0 && age < 2*g.windows[k].days; k-- {
			g.trends[k].both += amount
			if age < g.windows[k].days {
				g.trends[k].later += amount
			}
		}
		return true
	})
	for k, t := range g.trends {
		out[k] = share(2*t.later-t.both, t.both)
	}
}
