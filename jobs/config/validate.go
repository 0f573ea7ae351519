package config

import (
	"cmp"
	"fmt"
	"math"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones must not depend on what the host has installed
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/jobs/config/internal/describe"
	"github.com/shoal-data/shoal/jobs/config/measures"
	"github.com/shoal-data/shoal/jobs/config/units"
)

// Validate reports every fault of the configuration as an *Error, or nil.
// Whether segmentations[].features name columns that exist is left to whoever
// selects them, since it depends on families and windows.
func (c *Config) Validate() error {
	if fs := c.faults(); len(fs) > 0 {
		return &Error{Faults: fs}
	}
	return nil
}

// Location is the zone whose midnight begins a day.
func (c *Config) Location() (*time.Location, error) { return zone(c.TimeZone) }

// ScheduleLocation is the zone of the clock that the schedule is about.
func (c *Config) ScheduleLocation() (*time.Location, error) {
	if c.Schedule.TimeZone == "" {
		return c.Location()
	}
	return zone(c.Schedule.TimeZone)
}

// SourceLocation is the zone of the times of source i that carry none.
func (c *Config) SourceLocation(i int) (*time.Location, error) {
	if c.Sources[i].TimeZone == "" {
		return c.Location()
	}
	return zone(c.Sources[i].TimeZone)
}

func zone(name string) (*time.Location, error) {
	// LoadLocation reads "" as UTC and Local as the machine's zone: the first
	// hides a mistake, the second would make results depend on the machine.
	if name == "" || name == "Local" {
		return nil, fmt.Errorf("is not an IANA time zone such as Europe/Berlin")
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("is not an IANA time zone such as Europe/Berlin")
	}
	return loc, nil
}

type checker struct {
	faults []Fault
}

func (k *checker) add(path, value, format string, args ...any) {
	k.faults = append(k.faults, Fault{Path: path, Value: value, Message: fmt.Sprintf(format, args...)})
}

var (
	identifier   = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)
	currencyCode = regexp.MustCompile(`^\S{1,16}$`)
)

func (c *Config) faults() []Fault {
	k := &checker{}
	k.tags(reflect.ValueOf(*c), "")

	k.zone("time_zone", c.TimeZone)
	if c.Schedule.TimeZone != "" {
		k.zone("schedule.time_zone", c.Schedule.TimeZone)
	}
	if n := len(strings.Fields(c.Schedule.Cron)); n != 5 && !strings.HasPrefix(c.Schedule.Cron, "@") {
		k.add("schedule.cron", strconv.Quote(c.Schedule.Cron), "has %d fields; it must have five (minute, hour, day of month, month, day of week), such as 30 4 * * *", n)
	}
	k.currency("currency", c.Currency)
	if len(c.Sources) == 0 {
		k.add("sources", "", "missing; list at least one source with its path and columns (shoal init writes them)")
	}
	if c.Out == "" {
		k.add("out", "", "missing; name the directory or bucket prefix that runs are published under")
	}
	if c.Limits.Memory.Percent == 0 && c.Limits.Memory.Bytes < 16*units.MiB {
		k.add("limits.memory", c.Limits.Memory.String(), "must be >= 16MiB")
	}
	if m := c.Limits.Memory; m.Percent < 0 || m.Percent > 100 || math.IsNaN(m.Percent) {
		k.add("limits.memory", m.String(), "must be above 0%% and <= 100%%")
	}

	for i := range c.Sources {
		c.source(k, i)
	}
	c.identity(k)
	c.rates(k)
	c.privacy(k)
	k.unique("sources", len(c.Sources), func(i int) string { return c.Sources[i].Name })
	if c.Dedupe == DedupeEventID {
		for i, s := range c.Sources {
			if s.Columns[datasets.EventID] == "" {
				k.add(fmt.Sprintf("sources[%d].columns.event_id", i), "", "missing; dedupe is event_id, so name the column that identifies the event, or set dedupe to auto")
			}
		}
	}

	c.features(k)

	for i, s := range c.Segmentations {
		at := fmt.Sprintf("segmentations[%d]", i)
		k.name(at+".name", s.Name)
		if s.KMax < s.KMin {
			k.add(at+".k_max", strconv.Itoa(s.KMax), "must be >= k_min (%d)", s.KMin)
		}
		need := s.KMin
		if !s.K.Auto {
			need = s.K.N
		}
		if need >= 2 && float64(need)*s.MinShare > 1 {
			k.add(at+".min_share", describe.Number(s.MinShare), "must be <= 1/%d, or %d segments cannot all have it", need, need)
		}
		k.list(at+".features", s.Features, "feature")
	}
	k.unique("segmentations", len(c.Segmentations), func(i int) string { return c.Segmentations[i].Name })

	c.rules(k)
	c.audiences(k)
	c.gates(k)
	c.monitoring(k)
	for i := range c.Targets {
		c.target(k, i)
	}
	k.unique("targets", len(c.Targets), func(i int) string { return c.Targets[i].Name })
	return k.faults
}

func (c *Config) source(k *checker, i int) {
	s := &c.Sources[i]
	at := fmt.Sprintf("sources[%d]", i)
	k.name(at+".name", s.Name)
	if len(s.Path) == 0 {
		k.add(at+".path", "", "missing; name the file or glob that holds the events")
	}
	k.paths(at+".path", s.Path, "events", c.Out)

	for f, col := range s.Columns {
		if int(f) >= datasets.NumFields {
			k.add(at+".columns", f.String(), "is no event field; %s", oneOf(f.String(), fieldNames()))
		} else if col == "" {
			k.add(at+".columns."+f.String(), "", "is empty; name the column, or delete the key")
		}
	}
	for _, required := range []struct {
		f       datasets.Field
		meaning string
	}{
		{datasets.CustomerID, "identifies the customer"},
		{datasets.EventTime, "says when the event happened"},
	} {
		if _, ok := s.Columns[required.f]; !ok {
			k.add(at+".columns."+required.f.String(), "", "missing; name the column that %s", required.meaning)
		}
	}

	_, hasType := s.Columns[datasets.EventType]
	if s.Role != "" {
		if _, err := datasets.ParseRole(s.Role); err != nil {
			k.add(at+".role", strconv.Quote(s.Role), "is no role; %s", oneOf(s.Role, roleNames()))
		}
		if hasType {
			k.add(at+".role", s.Role, "excludes columns.event_type: either every row plays one role, or its event type says which")
		}
		if len(s.Roles) > 0 {
			k.add(at+".role", s.Role, "excludes roles: either every row plays one role, or its event type says which")
		}
	} else if !hasType {
		k.add(at+".role", "", "missing; without columns.event_type, name the role that every row plays, such as purchase or view")
	}
	if len(s.Roles) > 0 && !hasType && s.Role == "" {
		k.add(at+".roles", "", "needs columns.event_type, the column whose values it maps")
	}

	roles := make([]datasets.Role, 0, len(s.Roles))
	for r := range s.Roles {
		roles = append(roles, r)
	}
	slices.Sort(roles)
	owner := map[string]datasets.Role{}
	for _, r := range roles {
		if r == datasets.Other || int(r) >= datasets.NumRoles {
			k.add(at+".roles", r.String(), "is no role; %s", oneOf(r.String(), roleNames()))
			continue
		}
		rat := at + ".roles." + r.String()
		if len(s.Roles[r]) == 0 {
			k.add(rat, "", "is empty; list the event types that play the role, or delete the key")
		}
		for j, t := range s.Roles[r] {
			first, twice := owner[t]
			switch {
			case t == "":
				k.add(fmt.Sprintf("%s[%d]", rat, j), "", "is empty; name an event type")
			case twice && first == r:
				k.add(fmt.Sprintf("%s[%d]", rat, j), strconv.Quote(t), "is listed twice; keep one")
			case twice:
				k.add(fmt.Sprintf("%s[%d]", rat, j), strconv.Quote(t), "already plays the role %s; an event type plays one role", first)
			}
			if !twice {
				owner[t] = r
			}
		}
	}

	if s.TimeZone != "" {
		k.zone(at+".time_zone", s.TimeZone)
	}
	k.currency(at+".currency", s.Currency)
	if s.Currency != "" && c.Currency != "" && c.Currency != s.Currency && !c.ConvertsCurrencies() {
		k.add(at+".currency", s.Currency, "differs from currency (%s); amounts of one job must be in one currency, or be converted by currency_rates", c.Currency)
	}
	k.idKind(at+".id_kind", s.IDKind)
	if s.IDKind != scan.CustomerKind && !c.identifies(s.IDKind) {
		k.add(at+".id_kind", strconv.Quote(s.IDKind), "is listed by no identity table: add one with this kind, or with columns.kind")
	}
}

// identifies says whether an identity table may list aliases of a kind.
func (c *Config) identifies(kind string) bool {
	return slices.ContainsFunc(c.Identity, func(t IdentityTable) bool { return t.Columns.Kind != "" || t.Kind == kind })
}

func (c *Config) identity(k *checker) {
	for i := range c.Identity {
		t := &c.Identity[i]
		at := fmt.Sprintf("identity[%d]", i)
		k.paths(at+".path", t.Path, "aliases", c.Out)
		if len(t.Path) == 0 {
			k.add(at+".path", "", "missing; name the file or glob that holds the aliases")
		}
		k.column(at+".columns.alias", t.Columns.Alias)
		k.column(at+".columns.customer", t.Columns.Customer)
		k.idKind(at+".kind", t.Kind)
		if t.Columns.Kind != "" && t.Kind != scan.CustomerKind {
			k.add(at+".kind", strconv.Quote(t.Kind), "excludes columns.kind: either all aliases are of one kind, or a column says which")
		}
	}
}

func (c *Config) rates(k *checker) {
	r := &c.CurrencyRates
	k.paths("currency_rates.path", r.Path, "rates", c.Out)
	k.column("currency_rates.columns.date", r.Columns.Date)
	k.column("currency_rates.columns.currency", r.Columns.Currency)
	k.column("currency_rates.columns.rate", r.Columns.Rate)
	for i, l := range r.List {
		at := fmt.Sprintf("currency_rates.list[%d]", i)
		if l.Date == "" {
			k.add(at+".date", "", "missing; give the day from which the rate is good")
		}
		if l.Currency == "" {
			k.add(at+".currency", "", "missing; name the currency, such as USD")
		}
		k.currency(at+".currency", l.Currency)
		if f, ok := l.Rate.Number(); !ok {
			k.add(at+".rate", "", "missing; give the rate")
		} else if f <= 0 {
			k.add(at+".rate", string(l.Rate), "must be > 0")
		}
	}
	if c.ConvertsCurrencies() && c.Currency == "" {
		k.add("currency", "", "missing; currency_rates converts into it, so name it, such as EUR")
	}
}

// paths checks globs, of which none matches what runs publish.
func (k *checker) paths(at string, globs []string, what, out string) {
	for j, p := range globs {
		pat := at
		if len(globs) > 1 {
			pat = fmt.Sprintf("%s[%d]", at, j)
		}
		switch {
		case p == "":
			k.add(pat, "", "is empty; name the file or glob that holds the %s", what)
		case !doublestar.ValidatePattern(p):
			k.add(pat, strconv.Quote(p), "is not a glob: a bracket or brace is not closed")
		case out != "" && publishedMatch(p, out):
			k.add(pat, strconv.Quote(p), "also matches what runs publish under out (%s); narrow it, or move out elsewhere", out)
		}
	}
}

func (k *checker) column(at, name string) {
	if name == "" {
		k.add(at, "", "is empty; name the column")
	}
}

func (k *checker) idKind(at, kind string) {
	if kind == "" {
		k.add(at, "", "is empty; name the kind of id, or delete the key")
	}
}

// publishedMatch reports whether a glob finds files that a run publishes.
func publishedMatch(glob, out string) bool {
	clean := func(p string) string {
		if strings.Contains(p, "://") {
			return p
		}
		return path.Clean(p)
	}
	file := strings.TrimSuffix(clean(out), "/") + "/customer_scores/ds=2024-01-31/run=0123456789abcdef/part-00000.parquet"
	if ok, err := doublestar.Match(clean(glob), file); ok && err == nil {
		return true
	}
	// Whatever lies under out as runs do is taken for a run's, and removed when no
	// run has published it.
	below, under := strings.CutPrefix(clean(glob), strings.TrimSuffix(clean(out), "/")+"/")
	parts := strings.Split(below, "/")
	return under && len(parts) > 3 && strings.HasPrefix(parts[1], "ds=") && strings.HasPrefix(parts[2], "run=")
}

func (c *Config) features(k *checker) {
	sources := measures.Sources{Known: len(c.Sources) > 0, Maps: c.Maps, Plays: c.MapsRole}
	for _, f := range measures.Faults(&c.Features, c.Occasions, sources) {
		message := f.Message
		switch {
		case len(f.Known) > 40: // too many to list
			message += suggestion(strings.Trim(f.Value, `"`), f.Known)
		case f.Known != nil:
			message += "; " + oneOf(strings.Trim(f.Value, `"`), f.Known)
		}
		k.add(f.Path, f.Value, "%s", message)
	}
}

func (c *Config) target(k *checker, i int) {
	t := &c.Targets[i]
	at := fmt.Sprintf("targets[%d]", i)
	k.name(at+".name", t.Name)
	if t.Role != RoleAuto && t.Role != RoleAny {
		role, err := datasets.ParseRole(t.Role)
		switch {
		case err != nil || role == datasets.Other:
			k.add(at+".role", strconv.Quote(t.Role), "is no role; %s", oneOf(t.Role, append([]string{RoleAuto, RoleAny}, roleNames()...)))
		case len(c.Sources) > 0 && !c.MapsRole(role):
			k.add(at+".role", t.Role, "is played by no event type of any source; map one under sources[].roles")
		}
	}
	if len(t.Where.Role) > 0 {
		k.add(at+".where.role", "", "is given by targets[%d].role; move it there", i)
	}
	sources := measures.Sources{Known: len(c.Sources) > 0, Maps: c.Maps, Plays: c.MapsRole}
	for _, f := range t.Where.Faults(at+".where", sources) {
		if !strings.HasPrefix(f.Path, at+".where.role") {
			k.add(f.Path, f.Value, "%s", f.Message)
		}
	}
	if t.Ends != EndsSilence {
		switch {
		case t.Kind == KindPropensity:
			k.add(at+".ends", t.Ends, "is for churn; a propensity to cancel is kind: propensity, role: cancel")
		case len(c.Sources) > 0 && !c.MapsRole(datasets.Cancel):
			k.add(at+".ends", t.Ends, "needs cancel events, which no event type of any source plays; map one under sources[].roles")
		}
	}
}

// tags checks min, max, enum and required wherever the struct declares them, and
// that all text is UTF-8.
func (k *checker) tags(v reflect.Value, path string) {
	for _, f := range describe.Fields(v.Type()) {
		at := f.Key
		if path != "" {
			at = path + "." + f.Key
		}
		fv := v.Field(f.Index)
		k.texts(at, fv)
		if names := f.Tag.Get("enum"); names != "" {
			known := strings.Split(names, "|")
			switch s := fv.String(); {
			case f.Tag.Get("optional") == "true": // whoever knows when it is needed checks it
			case s == "" && f.Tag.Get("required") == "true":
				k.add(at, "", "missing; it is one of %s", strings.Join(known, ", "))
			case !slices.Contains(known, s):
				k.add(at, strconv.Quote(s), "must be one of %s%s", strings.Join(known, ", "), suggestion(s, known))
			}
			continue
		}
		switch _, isScalar := fv.Interface().(units.Scalar); {
		case isScalar || f.Tag.Get("min") != "" && fv.Kind() != reflect.Slice:
			k.bounds(at, fv, f.Tag)
		case fv.Kind() == reflect.Struct:
			k.tags(fv, at)
		case fv.Kind() == reflect.Slice:
			for i := range fv.Len() {
				el := fmt.Sprintf("%s[%d]", at, i)
				if fv.Index(i).Kind() == reflect.Struct {
					k.tags(fv.Index(i), el)
				} else if f.Tag.Get("min") != "" {
					k.bounds(el, fv.Index(i), f.Tag)
				}
			}
		}
	}
}

// texts refuses text that is not UTF-8, wherever v holds some: the manifest, which is
// JSON, would record another text than the run used. A file's own text is UTF-8; a
// flag's and a variable's is any bytes.
func (k *checker) texts(at string, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if !utf8.ValidString(v.String()) {
			k.add(at, strconv.Quote(v.String()), "is not UTF-8 text; rename what it names, or correct the variable it comes from")
		}
		if what := credential(v.String()); what != "" { // which is not shown
			k.add(at, "", "holds %s, which would stand in manifests and logs; take it out: credentials come from the environment of each store's own tools", what)
		}
	case reflect.Slice:
		for i := range v.Len() {
			k.texts(fmt.Sprintf("%s[%d]", at, i), v.Index(i))
		}
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return cmp.Compare(a.Uint(), b.Uint()) })
		for _, key := range keys {
			k.texts(fmt.Sprintf("%s.%v", at, key), v.MapIndex(key))
		}
	}
}

func suggestion(got string, known []string) string {
	if near, ok := nearest(got, known); ok {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

func (k *checker) bounds(at string, v reflect.Value, tag reflect.StructTag) {
	value, text, ok := magnitude(v)
	if !ok {
		return
	}
	if b := tag.Get("min"); b != "" && !(value >= describe.Bound(v.Type(), b)) {
		k.add(at, text, "must be >= %s", b)
	}
	if b := tag.Get("max"); b != "" && !(value <= describe.Bound(v.Type(), b)) && !math.IsNaN(value) {
		k.add(at, text, "must be <= %s", b)
	}
}

// magnitude is the value that bounds compare and how it is written; ok is
// false for auto and the like.
func magnitude(v reflect.Value) (value float64, text string, ok bool) {
	if s, isScalar := v.Interface().(units.Scalar); isScalar {
		b, err := s.MarshalText()
		if err != nil {
			return 0, "", false // not in whole seconds: reported on its own
		}
		value, ok = s.Number()
		return value, string(b), ok
	}
	switch v.Kind() {
	case reflect.Int:
		return float64(v.Int()), strconv.FormatInt(v.Int(), 10), true
	case reflect.Float64:
		return v.Float(), describe.Number(v.Float()), true
	}
	panic(fmt.Sprintf("config: no bounds for %v", v.Type()))
}

func (k *checker) zone(at, name string) {
	if _, err := zone(name); err != nil {
		k.add(at, strconv.Quote(name), "%v", err)
	}
}

func (k *checker) currency(at, code string) {
	if code != "" && !currencyCode.MatchString(code) {
		k.add(at, strconv.Quote(code), "must be a code of 1 to 16 characters without spaces, such as EUR")
	}
}

func (k *checker) name(at, name string) {
	switch {
	case name == "":
		k.add(at, "", "missing; give it a name of lower-case letters, digits and underscores")
	case !identifier.MatchString(name):
		k.add(at, strconv.Quote(name), "must match %s", identifier)
	}
}

func (k *checker) unique(list string, n int, name func(int) string) {
	first := map[string]int{}
	for i := range n {
		s := name(i)
		if j, ok := first[s]; ok && s != "" {
			k.add(fmt.Sprintf("%s[%d].name", list, i), s, "is already the name of %s[%d]; names are distinct", list, j)
			continue
		}
		first[s] = i
	}
}

func (k *checker) list(at string, names []string, what string) {
	seen := map[string]bool{}
	for i, n := range names {
		switch el := fmt.Sprintf("%s[%d]", at, i); {
		case n == "":
			k.add(el, "", "is empty; name a %s", what)
		case seen[n]:
			k.add(el, strconv.Quote(n), "is listed twice; keep one")
		}
		seen[n] = true
	}
}

// taken are the beginnings and ends of the other columns of customer_scores.
var taken = regexp.MustCompile(`^(customer_id|as_of|run_id|p_alive|engagement_score|(rfm|expected|segment)_.*|.*_(probability|percentile|segment_id|segment_name|segment_distance|segment_before))$`)

func (c *Config) rules(k *checker) {
	for i, r := range c.Rules {
		at := fmt.Sprintf("rules[%d]", i)
		k.name(at+".name", r.Name)
		if taken.MatchString(r.Name) {
			k.add(at+".name", r.Name, "is the name of another column of customer_scores; choose another")
		}
		if len(r.Cells) == 0 {
			k.add(at+".cells", "", "missing; list at least one cell")
		}
		k.name(at+".otherwise", r.Otherwise)
		for j, cell := range r.Cells {
			k.name(fmt.Sprintf("%s.cells[%d].name", at, j), cell.Name)
			if len(cell.When) == 0 {
				k.add(fmt.Sprintf("%s.cells[%d].when", at, j), "", "missing; a cell without conditions would hold everybody")
			}
		}
	}
	k.unique("rules", len(c.Rules), func(i int) string { return c.Rules[i].Name })
	k.unique("engagement", len(c.Engagement), func(i int) string { return c.Engagement[i].Name })
}
