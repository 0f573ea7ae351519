// Package recognise tells what the columns and event types of files never seen
// before mean, by name, type and content.
package recognise

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/jobs/onboard/internal/prose"
)

// A Choice is the column found for a field.
type Choice struct {
	Column *scan.ColumnProfile
	Why    string   // what speaks for it
	Others []string // further columns that would do nearly as well

	score float64
}

// NullShare is the share of sampled rows in which the column is null.
func (c *Choice) NullShare() float64 { return contentOf(c.Column).nullShare }

// Named reports whether one of the words is in the column's name.
func (c *Choice) Named(any ...string) bool {
	return slices.ContainsFunc(words(c.Column.Path), func(w string) bool { return slices.Contains(any, w) })
}

// Recognition is what the columns of a group of files were taken for.
type Recognition struct {
	Fields    [datasets.NumFields]*Choice // nil where no column was found
	TimeUnit  string                      // of integer times; "" when the column says its unit
	Types     []TypeRole                  // the most frequent event types
	MoreTypes int                         // distinct event types beyond those
	Problems  []string                    // why no source can be made of the files; only a person knows
	Empty     []string                    // columns that a field's name fits, null in every row
	Unused    []*scan.ColumnProfile       // further columns of the files, taken for nothing
	Notes     []string                    // what a person should confirm
	Zoned     bool                        // times are instants by themselves, whatever the source's zone

	refused [datasets.NumFields]string // why a column of the right name was not taken
}

// The share of nulls, constancy and uniqueness of a column's sample.
type content struct {
	rows, values float64 // sampled rows, those not null
	distinct     float64
	top          float64 // rows of the most frequent value
	constant     bool
	unique       bool // no value occurs twice, as far as the sample shows
	nullShare    float64
}

func contentOf(c *scan.ColumnProfile) content {
	k := content{rows: float64(c.Rows), values: float64(c.Rows - c.Nulls), distinct: float64(c.Distinct)}
	if len(c.Top) > 0 {
		k.top = float64(c.Top[0].Count)
	}
	k.constant = c.Distinct == 1
	k.unique = k.values >= 20 && k.top <= 1
	if k.rows > 0 {
		k.nullShare = 1 - k.values/k.rows
	}
	return k
}

// nameScore rates how well a column's name fits a field: 0 when it does not,
// up to 10 for the field's own name.
func nameScore(f datasets.Field, path string) float64 {
	ws := words(path)
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		// event.user.id: the last group qualifies a bare leaf.
		leaf := words(path[i+1:])
		if s := wordScore(f, leaf); s > 0 {
			return s - 0.05
		}
	}
	return wordScore(f, ws)
}

func wordScore(f datasets.Field, ws []string) float64 {
	best := 0.0
	for rank, name := range columnNames[f] {
		p := strings.Fields(name)
		n := len(ws) - len(p)
		if n < 0 || !slices.Equal(ws[n:], p) {
			continue
		}
		before := ws[:n]
		// A prefix that only says where the column came from costs little.
		cost := 0.0
		for _, w := range before {
			switch {
			case slices.Contains(unlike[f], w):
				cost += 6
			case slices.Contains([]string{"src", "raw", "orig", "the", "dim", "fact", "fk", "pk", "event", "e"}, w):
				cost += 1.5
			default:
				cost += 2.5
			}
		}
		best = max(best, 10-4*float64(rank)/float64(len(columnNames[f]))-cost)
	}
	if f == datasets.Quantity && (has(ws, "number of") || has(ws, "num")) {
		best = max(best, 5)
	}
	return max(best, 0)
}

// fits rates how well a column's type and content can hold a field; −∞ when
// they cannot. The reason, if any, says so to a person.
func fits(f datasets.Field, c *scan.ColumnProfile, k content) (score float64, why string) {
	no := math.Inf(-1)
	if k.values == 0 {
		return no, "is null in every row"
	}
	numeric := c.Kind == scan.KindInt32 || c.Kind == scan.KindInt64 || c.Kind == scan.KindFloat || c.Kind == scan.KindDecimal
	integer := c.Kind == scan.KindInt32 || c.Kind == scan.KindInt64
	text := c.Kind == scan.KindString || c.Kind == scan.KindBytes
	switch f {
	case datasets.CustomerID:
		if !integer && !text && c.Kind != scan.KindFixed {
			return no, fmt.Sprintf("is %s, and a customer id must be a text, an integer or fixed-length bytes: cast it where the file is written", c.Type)
		}
		score = -4 * k.nullShare
		if k.constant && k.values > 1 {
			score -= 5
			why = "holds one value only"
		}
		if k.unique {
			score -= 5
			why = "never repeats"
		}
		return score, why
	case datasets.EventTime:
		unit, ok := timeUnit(c)
		switch {
		case !ok:
			return no, fmt.Sprintf("is %s and does not read as a time", c.Type)
		case c.Partition:
			return -5, ""
		case c.Kind == scan.KindTimestamp:
			return 1 - 4*k.nullShare, ""
		case c.Kind == scan.KindDate, unit == "yyyymmdd":
			return -1 - 4*k.nullShare, ""
		}
		return -4 * k.nullShare, ""
	case datasets.EventType:
		if !text && !integer {
			return no, ""
		}
		if k.distinct > 500 || k.values >= 50 && k.distinct > k.values/2 {
			return no, fmt.Sprintf("has too many values (%d) for a type of event", c.Distinct)
		}
		known, rows := 0.0, 0.0
		for _, v := range c.Top {
			rows += float64(v.Count)
			if _, ok := roleOf(v.Value); ok {
				known += float64(v.Count)
			}
		}
		score = -2 * k.nullShare
		if rows > 0 {
			score += 4*known/rows - 2
		}
		if integer {
			score -= 2
		}
		return score, ""
	case datasets.Amount:
		if !numeric && !(text && numericText(c)) {
			return no, ""
		}
		if text {
			score--
		}
		if k.constant {
			score--
		}
		return score - k.nullShare, "" // events that are no purchases have none
	case datasets.Currency:
		if !text || k.distinct > 200 {
			return no, ""
		}
		for _, v := range c.Top {
			if !currencyText.MatchString(v.Value) {
				return no, ""
			}
		}
		return 0, ""
	case datasets.Quantity, datasets.Rating:
		if !numeric && !(text && numericText(c)) {
			return no, ""
		}
		if f == datasets.Rating {
			if hi, err := strconv.ParseFloat(c.Max, 64); err != nil || hi > 100 {
				return no, ""
			}
		}
		return -k.nullShare / 2, ""
	case datasets.ProductID, datasets.SessionID:
		if !text && !integer && c.Kind != scan.KindFixed || k.constant && k.values > 1 {
			return no, ""
		}
		return -k.nullShare, ""
	case datasets.Category, datasets.Channel, datasets.CampaignID:
		if !text && !integer || k.distinct > 5000 || f == datasets.Channel && k.distinct > 100 {
			return no, ""
		}
		return -k.nullShare / 2, ""
	case datasets.EventID:
		if !text && !integer && c.Kind != scan.KindFixed {
			return no, ""
		}
		// An id of the event repeats only where the row does.
		most := 10.0
		if ws := words(c.Path); !has(ws, "event") && !has(ws, "message") && !has(ws, "uuid") {
			most = 2 // id alone may identify anything
		}
		if k.values < 20 || k.top > most || k.distinct < min(k.values*0.9, 9000) {
			return no, "repeats too often to identify events"
		}
		return -4 * k.nullShare, ""
	case datasets.Consent:
		if c.Kind != scan.KindBool {
			return no, ""
		}
		return 0, ""
	}
	return no, ""
}

var (
	currencyText = regexp.MustCompile(`^[A-Za-z]{3}$`)
	isoTime      = regexp.MustCompile(`^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?( ?(Z|UTC|[+-]\d\d(:?\d\d)?))?)?$`)
)

func numericText(c *scan.ColumnProfile) bool {
	for _, v := range c.Top {
		if _, err := strconv.ParseFloat(v.Value, 64); err != nil {
			return false
		}
	}
	return len(c.Top) > 0
}

// timeUnit tells what unit a column's values are times in: "" for those whose
// type or text says so itself.
func timeUnit(c *scan.ColumnProfile) (unit string, ok bool) {
	switch c.Kind {
	case scan.KindTimestamp, scan.KindDate:
		return "", true
	case scan.KindString, scan.KindBytes:
		days := 0
		for _, v := range c.Top {
			if _, err := time.Parse("20060102", v.Value); err == nil {
				days++
			} else if !isoTime.MatchString(v.Value) {
				return "", false
			}
		}
		return "", len(c.Top) > 0
	case scan.KindInt32, scan.KindInt64:
		lo, err1 := strconv.ParseInt(c.Min, 10, 64)
		hi, err2 := strconv.ParseInt(c.Max, 10, 64)
		if err1 != nil || err2 != nil {
			return "", false
		}
		if lo >= 1900_01_01 && hi <= 2100_12_31 {
			for _, v := range c.Top {
				if _, err := time.Parse("20060102", v.Value); err != nil {
					return "", false
				}
			}
			return "yyyymmdd", len(c.Top) > 0
		}
		// Between 1980 and 2100, the units do not overlap.
		const from, to = 315_532_800, 4_102_444_800
		for _, u := range []struct {
			name string
			per  int64
		}{{"s", 1}, {"ms", 1e3}, {"us", 1e6}, {"ns", 1e9}} {
			if lo >= from*u.per && hi/u.per < to {
				return u.name, true
			}
		}
	}
	return "", false
}

// ByName is the Why of a column that its name alone gave away.
const ByName = "by its name"

// zoned reports whether a column's times are instants by themselves.
func zoned(c *scan.ColumnProfile, unit string) bool {
	switch c.Kind {
	case scan.KindTimestamp:
		return !strings.Contains(c.Type, "false")
	case scan.KindInt32, scan.KindInt64:
		return unit != "yyyymmdd"
	case scan.KindString, scan.KindBytes:
		for _, v := range c.Top {
			if m := isoTime.FindStringSubmatch(v.Value); m == nil || m[4] == "" {
				return false
			}
		}
		return true
	}
	return false
}

// minName is the least nameScore at which a column is taken for a field.
const minName = 3.5

// Columns takes columns for fields by name, type and content. chosen forces
// fields onto columns.
func Columns(p *scan.Profile, chosen map[datasets.Field]string) *Recognition {
	r := &Recognition{}
	for f := range datasets.NumFields {
		r.pick(datasets.Field(f), p, chosen)
	}
	r.fallbacks(p)
	r.settle(p)
	return r
}

func (r *Recognition) pick(f datasets.Field, p *scan.Profile, chosen map[datasets.Field]string) {
	if want, ok := chosen[f]; ok {
		for i := range p.Columns {
			if c := &p.Columns[i]; c.Path == want {
				r.Fields[f] = &Choice{Column: c, Why: "as asked for"}
				return
			}
		}
		r.Problems = append(r.Problems, fmt.Sprintf("no column %q for %s; the columns are %s", want, f, columnList(p)))
		return
	}
	var found []Choice
	for i := range p.Columns {
		c := &p.Columns[i]
		name := nameScore(f, c.Path)
		if name < minName {
			continue
		}
		k := contentOf(c)
		fit, why := fits(f, c, k)
		if math.IsInf(fit, -1) {
			switch {
			case k.values == 0 && !slices.Contains(r.Empty, c.Path) && name >= 5:
				r.Empty = append(r.Empty, c.Path)
			case k.values > 0 && why != "" && name >= 7:
				r.refused[f] = fmt.Sprintf("column %s was not taken for %s: it %s", prose.Comment(c.Path), f, why)
			}
			continue
		}
		ch := Choice{Column: c, score: name + fit, Why: ByName}
		if why != "" {
			ch.Why += ", though it " + why
		}
		found = append(found, ch)
	}
	slices.SortStableFunc(found, func(a, b Choice) int { return cmp.Compare(b.score, a.score) })
	if len(found) == 0 || found[0].score < 0 {
		return
	}
	best := found[0]
	for _, o := range found[1:] {
		if o.score > best.score-1.5 {
			best.Others = append(best.Others, o.Column.Path)
		}
	}
	r.Fields[f] = &best
}

// fallbacks finds by content what no name gave away.
func (r *Recognition) fallbacks(p *scan.Profile) {
	if r.Fields[datasets.EventTime] == nil {
		var times []*scan.ColumnProfile
		for i := range p.Columns {
			c := &p.Columns[i]
			unlikely := slices.ContainsFunc(words(c.Path), func(w string) bool { return slices.Contains(unlike[datasets.EventTime], w) })
			if _, ok := timeUnit(c); ok && c.Rows > c.Nulls && !unlikely {
				times = append(times, c)
			}
		}
		if len(times) == 1 {
			r.Fields[datasets.EventTime] = &Choice{Column: times[0], Why: "the only column that reads as a time"}
		}
	}
	if r.Fields[datasets.EventType] == nil {
		best, at := 0.7, (*scan.ColumnProfile)(nil)
		for i := range p.Columns {
			c := &p.Columns[i]
			k := contentOf(c)
			if c.Kind != scan.KindString || k.distinct > 200 || k.values == 0 || r.taken(c.Path) {
				continue
			}
			var known, rows float64
			for _, v := range c.Top {
				rows += float64(v.Count)
				if role, ok := roleOf(v.Value); ok && role != datasets.View {
					known += float64(v.Count)
				}
			}
			if share := known / rows; share > best {
				best, at = share, c
			}
		}
		if at != nil {
			r.Fields[datasets.EventType] = &Choice{Column: at, Why: "by its values, which name kinds of event"}
		}
	}
	if r.Fields[datasets.CustomerID] == nil {
		if s := r.Fields[datasets.SessionID]; s != nil && has(words(s.Column.Path), "session") {
			r.Fields[datasets.CustomerID] = &Choice{Column: s.Column, Why: "no column looks like a customer id, and a session stands for one: nobody comes back in such data"}
			r.Notes = append(r.Notes, fmt.Sprintf("no column looks like a customer id, so each session (%s) counts as a customer; churn and value mean nothing then. Name the customer's column under columns.customer_id", s.Column.Path))
		}
	}
}

// personalName is in the names of columns about who somebody is.
var personalName = regexp.MustCompile(`(?i)e.?mail|phone|mobile|(^|first|last|sur|full|fore|given|family|user|customer|nick|contact|buyer|recipient|owner).?name$|login|street|address|zip|post.?code|birth|dob|gender|device.?id|latitude|longitude|passw|token|secret|card|iban|ssn|(^|[_.\s-])ip($|[_.\s-])`)

// Personal says whether a column may tell who somebody is.
func Personal(c *scan.ColumnProfile) bool {
	return personalName.MatchString(c.Path) || slices.ContainsFunc(c.Top, func(v scan.ValueCount) bool { return strings.Contains(v.Value, "@") })
}

// EventTypes are unused columns whose values repeat as kinds of event do, those first
// that name kinds which are known.
func (r *Recognition) EventTypes() []string {
	known := map[string]float64{}
	var may []string
	for _, c := range r.Unused {
		k := contentOf(c)
		if c.Kind != scan.KindString && c.Kind != scan.KindBytes || k.distinct < 2 || k.distinct > 200 || k.values < 5*k.distinct || k.nullShare > .5 || numericText(c) || Personal(c) {
			continue
		}
		may = append(may, c.Path)
		for _, v := range c.Top {
			if _, ok := roleOf(v.Value); ok {
				known[c.Path] += float64(v.Count) / k.values
			}
		}
	}
	slices.SortStableFunc(may, func(a, b string) int { return cmp.Compare(known[b], known[a]) })
	return may[:min(3, len(may))]
}

func (r *Recognition) taken(path string) bool {
	return slices.ContainsFunc(r.Fields[:], func(c *Choice) bool { return c != nil && c.Column.Path == path })
}

// settle resolves what fields decide together, and says what is missing.
func (r *Recognition) settle(p *scan.Profile) {
	// One column serves one field, save that a session may be the customer.
	for f := range datasets.NumFields {
		for g := range f {
			a, b := r.Fields[g], r.Fields[f]
			if a == nil || b == nil || a.Column.Path != b.Column.Path || datasets.Field(g) == datasets.CustomerID && datasets.Field(f) == datasets.SessionID {
				continue
			}
			if b.score > a.score && g != int(datasets.CustomerID) && g != int(datasets.EventTime) {
				r.Fields[g] = nil
			} else {
				r.Fields[f] = nil
			}
		}
	}
	for i := range p.Columns {
		if c := &p.Columns[i]; !c.Partition && !r.taken(c.Path) && !slices.Contains(r.Empty, c.Path) {
			r.Unused = append(r.Unused, c)
		}
	}
	if p.Rows == 0 {
		r.Problems = append(r.Problems, "the files hold no rows, and content is needed to tell columns apart")
		return
	}
	customer, when := r.Fields[datasets.CustomerID], r.Fields[datasets.EventTime]
	switch {
	case customer != nil:
	case r.refused[datasets.CustomerID] != "":
		r.Problems = append(r.Problems, r.refused[datasets.CustomerID])
	default:
		r.Problems = append(r.Problems, "no column looks like a customer id ("+columnNamesHint(datasets.CustomerID)+"); "+idCandidates(p))
	}
	if when == nil {
		problem := "no column says when an event happened (" + columnNamesHint(datasets.EventTime) + ")"
		if customer != nil && contentOf(customer.Column).unique {
			problem += fmt.Sprintf("; every row has its own %s, so this looks like a table of customers, not of events", customer.Column.Path)
		}
		r.Problems = append(r.Problems, problem+"; the columns are "+columnList(p))
	}
	if customer != nil && when != nil && contentOf(customer.Column).unique && r.Fields[datasets.EventType] == nil && r.Fields[datasets.Amount] == nil {
		r.Problems = append(r.Problems, fmt.Sprintf("every row has its own %s and no column holds an event type or amount: this is a table of customers, not of events", customer.Column.Path))
	}
	if when == nil && r.refused[datasets.EventTime] != "" {
		r.Problems[len(r.Problems)-1] += "; " + r.refused[datasets.EventTime]
	}
	if when != nil {
		r.TimeUnit, _ = timeUnit(when.Column)
		r.Zoned = zoned(when.Column, r.TimeUnit)
	}
	for f := range datasets.NumFields {
		if why := r.refused[f]; why != "" && r.Fields[f] == nil {
			r.Notes = append(r.Notes, why)
		}
	}

	if t := r.Fields[datasets.EventType]; t != nil {
		types := make([]valueCount, len(t.Column.Top))
		for i, v := range t.Column.Top {
			types[i] = valueCount{v.Value, v.Count}
		}
		r.Types = assignRoles(types)
		r.MoreTypes = t.Column.Distinct - len(types)
	}
	if a := r.Fields[datasets.Amount]; a != nil {
		ws := words(a.Column.Path)
		each := has(ws, "unit price") || has(ws, "unitprice") || has(ws, "item price")
		if each || has(ws, "price") && !has(ws, "total") && r.Fields[datasets.Quantity] != nil {
			note := fmt.Sprintf("amount is read from %s, which looks like a price per piece: spend is then understated wherever quantity is not 1; write line totals instead if you can", a.Column.Path)
			r.Notes = append(r.Notes, note)
		}
	}
	if c := r.Fields[datasets.Currency]; c != nil && c.Column.Distinct > 1 {
		var seen []string
		for _, v := range c.Column.Top {
			seen = append(seen, fmt.Sprintf("%s %d", v.Value, v.Count))
		}
		r.Notes = append(r.Notes, fmt.Sprintf("%s holds %d currencies (%s): amounts of one job must be in one currency, so a run stops; convert them, or keep one currency's rows a source", c.Column.Path, c.Column.Distinct, strings.Join(seen, ", ")))
	}
	for f := range datasets.NumFields {
		if c := r.Fields[f]; c != nil && len(c.Others) > 0 {
			r.Notes = append(r.Notes, fmt.Sprintf("%s is read from %s; %s would fit nearly as well", datasets.Field(f), c.Column.Path, strings.Join(c.Others, ", ")))
		}
	}
}

func columnNamesHint(f datasets.Field) string {
	var hint []string
	for _, n := range columnNames[f][:4] {
		hint = append(hint, strings.ReplaceAll(n, " ", "_"))
	}
	return "names such as " + strings.Join(hint, ", ")
}

// idCandidates lists columns whose values repeat the way a customer's do.
func idCandidates(p *scan.Profile) string {
	var list []string
	for i := range p.Columns {
		c := &p.Columns[i]
		k := contentOf(c)
		if fit, _ := fits(datasets.CustomerID, c, k); fit > -1 && k.distinct >= 20 && k.distinct < k.values && !k.constant {
			list = append(list, fmt.Sprintf("%s (%s)", prose.Comment(c.Path), c.Type))
		}
	}
	if len(list) == 0 {
		return "and none holds values that repeat the way customers do; the columns are " + columnList(p)
	}
	return "by their content these could be one: " + strings.Join(list, ", ") + "; name the right one"
}

func columnList(p *scan.Profile) string {
	var list []string
	for _, c := range p.Columns {
		list = append(list, prose.Comment(c.Path))
		if len(list) == 40 && len(p.Columns) > 40 {
			list = append(list, fmt.Sprintf("and %d more", len(p.Columns)-40))
			break
		}
	}
	return strings.Join(list, ", ")
}
