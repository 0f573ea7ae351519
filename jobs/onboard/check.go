package onboard

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/onboard/internal/history"
	"github.com/shoal-data/shoal/jobs/onboard/internal/prose"
	"github.com/shoal-data/shoal/jobs/targets"
)

// CheckOptions of Check.
type CheckOptions struct {
	FS       storage.FS
	Workers  int                     // ≥ 1; never changes the report
	Date     *time.Time              // calendar date to judge as of; nil is that of the last event
	Progress func(done, total int64) // of rows; may be nil
}

// DefaultCheckOptions reads local files with a worker a processor.
func DefaultCheckOptions() CheckOptions {
	return CheckOptions{FS: storage.Local(), Workers: runtime.GOMAXPROCS(0)}
}

// A Report says what an input can and cannot support. It marshals to JSON as
// it stands, and String is the readable form.
type Report struct {
	Date      string         `json:"date"`  // as of which history is judged, YYYY-MM-DD
	First     string         `json:"first"` // day of the first event, YYYY-MM-DD; "" without events
	Last      string         `json:"last"`  // day of the last event
	Days      int            `json:"days"`  // from first to last, both included
	Silent    int            `json:"silent_days"`
	Sources   []SourceReport `json:"sources"`
	Rows      int64          `json:"rows"`
	Accepted  int64          `json:"accepted"`
	Rejected  int64          `json:"rejected"`
	Withheld  int64          `json:"withheld"` // consent not given, or to be forgotten
	After     int64          `json:"after"`    // later than Date
	Customers int64          `json:"customers"`
	Events    int64          `json:"events"` // without the duplicates that dedupe drops

	Duplicates      int64 `json:"duplicates"`       // dropped under the configuration's dedupe
	ExactDuplicates int64 `json:"exact_duplicates"` // rows that agree in every mapped field
	SameEventID     int64 `json:"same_event_id"`    // rows that repeat a customer's event id

	OneEvent   int64            `json:"customers_with_one_event"`
	OneDay     int64            `json:"customers_active_one_day"`
	Busiest    int64            `json:"busiest_customer_events"`
	Rejects    []RejectReport   `json:"rejects"`
	Currencies []CurrencyReport `json:"currencies"`
	Converted  int64            `json:"amounts_converted"`  // by currency_rates
	Identity   *IdentityReport  `json:"identity,omitempty"` // absent without identity tables
	Roles      []RoleReport     `json:"roles"`              // every role, also those without events
	Unmapped   []TypeReport     `json:"unmapped_types"`     // event types without a role, most frequent first
	Targets    []TargetReport   `json:"targets"`
	Findings   []Finding        `json:"findings"` // errors first
}

// SourceReport is one source's part.
type SourceReport struct {
	Name    string         `json:"name"`
	Files   int            `json:"files"`
	Bytes   int64          `json:"bytes"`
	Rows    int64          `json:"rows"`
	Columns []ColumnReport `json:"columns"`
}

// ColumnReport is one mapped column.
type ColumnReport struct {
	Field    string `json:"field"`
	Column   string `json:"column"`
	Nulls    int64  `json:"nulls"` // among accepted rows; for customer_id and event_time, rows refused for it
	Rejected int64  `json:"rejected"`
}

// RejectReport counts rows refused for one reason.
type RejectReport struct {
	Source string `json:"source"`
	Reason string `json:"reason"`
	Column string `json:"column"`
	Count  int64  `json:"count"`
	First  string `json:"first"` // where the first such row is
}

// IdentityReport is what the identity tables did.
type IdentityReport struct {
	Rows        int64 `json:"rows"`             // of the tables
	Ignored     int64 `json:"rows_ignored"`     // of these, without alias, customer or kind
	Aliases     int64 `json:"aliases"`          // distinct, of kinds that sources use
	AliasesMet  int64 `json:"aliases_met"`      // of these, the ids of events
	Merged      int64 `json:"customers_merged"` // customers whose events had several ids
	RowsRekeyed int64 `json:"rows_rekeyed"`     // events whose id stood for another
}

// CurrencyReport counts accepted amounts in a currency.
type CurrencyReport struct {
	Currency string `json:"currency"`
	Count    int64  `json:"count"`
}

// RoleReport counts a role's events.
type RoleReport struct {
	Role   string `json:"role"`
	Events int64  `json:"events"`
	// Features and Targets stay empty (null, or 0 for counts) for want of
	// events: columns computed from this role alone.
	Features []string `json:"empty_features"`
	Targets  []string `json:"empty_targets"`
}

// TypeReport counts the rows of an event type.
type TypeReport struct {
	Source string `json:"source"`
	Type   string `json:"type"`
	Count  int64  `json:"count"`
}

// TargetReport says whether a target can be modelled.
type TargetReport struct {
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	Role      string `json:"role"`      // after auto is resolved
	Horizon   int    `json:"horizon"`   // days, after auto is resolved
	Gap       int    `json:"gap"`       // days
	Days      int    `json:"days"`      // of history
	Snapshots int    `json:"snapshots"` // training snapshots that the history holds, at most those configured; 0 if too short
	// Eligible customers of all training snapshots, before sampling, and how
	// many of them churned, or did what is predicted.
	TrainingRows      int64 `json:"training_rows"`
	TrainingPositives int64 `json:"training_positives"`
	// The same at the last snapshot whose outcome is known, which tests.
	Snapshot  string `json:"snapshot"` // its date, YYYY-MM-DD
	Eligible  int64  `json:"eligible"`
	Positives int64  `json:"positives"`
	Able      bool   `json:"able"` // whether a model can be trained
}

// A Finding is something about the input that a person should know.
type Finding struct {
	Severity Severity `json:"severity"`
	Code     string   `json:"code"`   // stable, as input.rejected_share
	Source   string   `json:"source"` // "" when it is about the whole input
	Column   string   `json:"column"` // "" when it is about no single one
	Message  string   `json:"message"`
}

// Severity says what a finding means to a run.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"   // a run stops
	SeverityWarning Severity = "warning" // a run finishes, with less than hoped
)

// Able reports whether a run can finish: no finding is an error.
func (r *Report) Able() bool {
	return !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity == SeverityError })
}

func (r *Report) find(s Severity, code, source, column, format string, args ...any) {
	r.Findings = append(r.Findings, Finding{s, code, source, column, fmt.Sprintf(format, args...)})
}

// Check reads the input of a valid configuration once and reports what it can
// support, without computing features or publishing anything. Faults of the
// data are findings; an error means that the input could not be read at all
// (a *scan.Error or the context's).
func Check(ctx context.Context, cfg *config.Config, o CheckOptions) (Report, error) {
	if o.FS == nil || o.Workers < 1 {
		return Report{}, fmt.Errorf("onboard: FS must not be nil and Workers (%d) must be >= 1", o.Workers)
	}
	zone, err := cfg.Location()
	if err != nil {
		return Report{}, fmt.Errorf("onboard: time_zone (%q) %w", cfg.TimeZone, err)
	}
	source, err := cfg.ScanInput()
	if err != nil {
		return Report{}, err
	}
	before := history.Everything
	if o.Date != nil {
		before = timeline.NewAsOf(*o.Date, zone).Instant
	}
	in, err := history.Load(ctx, o.FS, source, history.Options{Zone: zone, Workers: o.Workers, Before: before, Currency: cfg.Currency, Progress: o.Progress})
	if err != nil {
		return Report{}, err
	}
	k := &check{cfg: cfg, opts: o, in: in, r: newReport()}
	k.input()
	if in.Log == nil {
		k.r.find(SeverityError, "input.empty", "", "", "no row can be used: %s", in.WhyEmpty())
	} else if err := k.events(ctx); err != nil {
		return Report{}, err
	}
	slices.SortStableFunc(k.r.Findings, func(a, b Finding) int { return strings.Compare(string(a.Severity), string(b.Severity)) })
	return *k.r, nil
}

func newReport() *Report {
	// Empty lists marshal as [], not null.
	return &Report{
		Sources: []SourceReport{}, Rejects: []RejectReport{}, Currencies: []CurrencyReport{}, Roles: []RoleReport{},
		Unmapped: []TypeReport{}, Targets: []TargetReport{}, Findings: []Finding{},
	}
}

type check struct {
	cfg  *config.Config
	opts CheckOptions
	in   *history.Input
	r    *Report
}

// input fills what reading alone tells.
func (k *check) input() {
	r, rep := k.r, k.in.Report
	r.Rows, r.Accepted, r.Rejected, r.Withheld, r.After = rep.Rows, rep.RowsAccepted, rep.RowsRejected, rep.RowsWithheld+rep.RowsErased, rep.RowsAfter
	for i := range k.cfg.Sources {
		r.Sources = append(r.Sources, k.source(i))
	}
	for _, j := range rep.Rejects {
		first := fmt.Sprintf("%s, row group %d, row %d", j.First.File, j.First.RowGroup, j.First.Row)
		r.Rejects = append(r.Rejects, RejectReport{j.Source, j.Reason, j.Column, j.Count, first})
	}
	for _, c := range rep.Currencies {
		r.Currencies = append(r.Currencies, CurrencyReport{c.Currency, c.Count})
	}
	r.Converted = rep.AmountsConverted
	if d := rep.Identity; d != nil {
		r.Identity = &IdentityReport{d.Rows, d.Ignored, d.Aliases, d.AliasesMet, d.Merged, d.RowsRekeyed}
		for _, doubt := range d.Doubts() {
			r.find(SeverityWarning, "identity."+doubt.Code, "", "", "%s", doubt.Message)
		}
	}
	if k.in.CurrencyErr != nil {
		r.find(SeverityError, "input.currencies", "", "", "%v", k.in.CurrencyErr)
	}
	if share, limit := k.in.RejectedShare(), k.cfg.Limits.RejectedShare; share > limit {
		r.find(SeverityError, "input.rejected_share", "", "", "%s of the rows are refused (%s), more than limits.rejected_share (%v) allows: correct the mapping or the data, or raise the limit",
			prose.Percent(share), k.in.Reasons(), limit)
	}
	for _, w := range k.in.Plan.Warnings {
		r.find(SeverityWarning, "input.files", "", "", "%s", w)
	}
	if rep.PagesWithoutChecksum > 0 {
		r.find(SeverityWarning, "input.no_checksums", "", "", "%s of %s pages carry no checksum: damage to them can go unnoticed; have the writer turn page checksums on",
			prose.Thousands(int64(rep.PagesWithoutChecksum)), prose.Thousands(int64(rep.Pages)))
	}
	k.types()
}

func (k *check) source(i int) SourceReport {
	src, rep := &k.cfg.Sources[i], k.in.Report
	s := SourceReport{Name: src.Name, Columns: []ColumnReport{}}
	for _, f := range k.in.Plan.Files {
		if f.Source == src.Name {
			s.Files++
			s.Bytes += f.Size
			s.Rows += f.Rows
		}
	}
	for _, f := range datasets.Fields() {
		name, mapped := src.Columns[f]
		if !mapped {
			continue
		}
		c := ColumnReport{Field: f.String(), Column: name}
		for _, j := range rep.Rejects {
			if j.Source == src.Name && j.Field == f {
				c.Rejected += j.Count
				if strings.HasSuffix(j.Reason, "_null") {
					c.Nulls += j.Count
				}
			}
		}
		for _, n := range rep.Nulls {
			if n.Source == src.Name && n.Field == f {
				c.Nulls += n.Nulls
				switch {
				case n.Rows == 0:
				case n.Nulls == n.Rows:
					k.r.find(SeverityWarning, "column.all_null", src.Name, name, "%s is null in every row: leave %s out of the mapping, or map another column", name, f)
				case n.Nulls*2 > n.Rows && f == datasets.EventType:
					k.r.find(SeverityWarning, "column.mostly_null", src.Name, name, "%s is null in %s of the rows, which then only count as activity", name, prose.Percent(float64(n.Nulls)/float64(n.Rows)))
				}
			}
		}
		if c.Rejected > 0 && s.Rows > 0 && float64(c.Rejected)/float64(s.Rows) >= 0.01 {
			k.r.find(SeverityWarning, "column.rejected", src.Name, name, "%s of the source's rows (%s) are refused for their %s", prose.Percent(float64(c.Rejected)/float64(s.Rows)), prose.Thousands(c.Rejected), f)
		}
		s.Columns = append(s.Columns, c)
	}
	return s
}

// types reports event types without a role, and mapped ones that never occur.
func (k *check) types() {
	seen := map[[2]string]bool{}
	unmapped := int64(0)
	for _, t := range k.in.Report.Types {
		seen[[2]string{t.Source, t.Type}] = true
		if t.Role == datasets.Other && !t.Null {
			k.r.Unmapped = append(k.r.Unmapped, TypeReport{t.Source, t.Type, t.Count})
			unmapped += t.Count
		}
	}
	slices.SortStableFunc(k.r.Unmapped, func(a, b TypeReport) int { return int(min(max(b.Count-a.Count, -1), 1)) })
	if k.in.Report.RowsAccepted > 0 && float64(unmapped) > 0.2*float64(k.in.Report.RowsAccepted) {
		k.r.find(SeverityWarning, "types.unmapped", "", "", "%s of the rows have an event type without a role (most frequent: %s); list it under roles if it means something",
			prose.Percent(float64(unmapped)/float64(k.in.Report.RowsAccepted)), k.r.Unmapped[0].Type)
	}
	for i := range k.cfg.Sources {
		s := &k.cfg.Sources[i]
		for _, role := range slices.Sorted(maps.Keys(s.Roles)) {
			for _, typ := range s.Roles[role] {
				if !seen[[2]string{s.Name, typ}] {
					k.r.find(SeverityWarning, "types.absent", s.Name, s.Columns[datasets.EventType], "no usable row has the event type %q, which is listed under %s: check its spelling", typ, role)
				}
			}
		}
	}
}

// dedupe is the configuration's way to tell duplicates.
func (k *check) dedupe() timeline.Dedupe {
	switch k.cfg.Dedupe {
	case config.DedupeExact:
		return timeline.DedupeExact
	case config.DedupeEventID:
		return timeline.DedupeEventID
	case config.DedupeAuto:
		if k.hasEventID() {
			return timeline.DedupeEventID
		}
	}
	return timeline.DedupeNone
}

func (k *check) hasEventID() bool {
	return slices.ContainsFunc(k.cfg.Sources, func(s config.Source) bool { return s.Columns[datasets.EventID] != "" })
}

// A survey is what one pass over the timelines gathers.
type survey struct {
	days        map[int32]int64 // local day → events
	atMidnight  int64           // events at 00:00 UTC exactly
	oneEvent    int64
	oneDay      int64 // customers whose events fall on one day
	busiest     int64
	noAmount    int64 // purchases without one
	negative    int64 // purchases with one below 0
	afterCancel int64 // customers who go on after their last cancel without coming back to a subscription
	cancelled   int64 // customers with a cancel
}

func (k *check) events(ctx context.Context) error {
	r := k.r
	census, store, err := k.in.Census(ctx, k.dedupe(), k.opts.Workers)
	if err != nil {
		return err
	}
	exact, _, err := k.in.Census(ctx, timeline.DedupeExact, k.opts.Workers)
	if err != nil {
		return err
	}
	r.Customers, r.Events, r.Duplicates, r.ExactDuplicates = census.Customers, census.Events, census.Duplicates, exact.Duplicates
	if k.hasEventID() {
		byID, _, err := k.in.Census(ctx, timeline.DedupeEventID, k.opts.Workers)
		if err != nil {
			return err
		}
		r.SameEventID = byID.Duplicates
	}
	first, last := history.LastDay(census.First, k.in.Zone), history.LastDay(census.Last, k.in.Zone)
	r.First, r.Last, r.Days = first.String(), last.String(), int(last.Today-first.Today)+1
	end := last
	if k.opts.Date != nil {
		end = timeline.NewAsOf(*k.opts.Date, k.in.Zone)
	}
	r.Date = end.String()

	s, err := k.survey(ctx, store, end)
	if err != nil {
		return err
	}
	r.OneEvent, r.OneDay, r.Busiest = s.oneEvent, s.oneDay, s.busiest
	r.Silent = r.Days - len(s.days)
	k.judge(s, &census)
	k.roles(&census)
	return k.targets(ctx, store, &census, first, end)
}

func (k *check) survey(ctx context.Context, store *timeline.Store, end timeline.AsOf) (survey, error) {
	parts := make([]survey, k.opts.Workers)
	for i := range parts {
		parts[i].days = map[int32]int64{}
	}
	err := store.Replay(ctx, k.opts.Workers, func(w, _ int, t *timeline.Timeline) error {
		h, ok := t.Before(end)
		if !ok {
			return nil
		}
		p := &parts[w]
		for i := 0; i < h.Len(); {
			j := i + 1
			for j < h.Len() && h.Day[j] == h.Day[i] {
				j++
			}
			p.days[h.Day[i]] += int64(j - i)
			i = j
		}
		for _, at := range h.Time {
			if at%(24*time.Hour).Microseconds() == 0 {
				p.atMidnight++
			}
		}
		if h.Len() == 1 {
			p.oneEvent++
		}
		if h.Day[0] == h.Day[h.Len()-1] {
			p.oneDay++
		}
		p.busiest = max(p.busiest, int64(h.Len()))
		for _, i := range h.Positions(datasets.Purchase) {
			switch {
			case h.Amount == nil || h.Amount[i] == datasets.NullMoney:
				p.noAmount++
			case h.Amount[i] < 0:
				p.negative++
			}
		}
		if c := h.Positions(datasets.Cancel); len(c) > 0 {
			p.cancelled++
			after := c[len(c)-1]
			back := false
			for _, role := range []datasets.Role{datasets.Subscribe, datasets.Renew} {
				if at := h.Positions(role); len(at) > 0 && at[len(at)-1] > after {
					back = true
				}
			}
			if !back && h.Day[h.Len()-1] > h.Day[after] {
				p.afterCancel++
			}
		}
		return nil
	}, nil)
	total := survey{days: map[int32]int64{}}
	for _, p := range parts {
		for d, n := range p.days {
			total.days[d] += n
		}
		total.atMidnight += p.atMidnight
		total.oneEvent += p.oneEvent
		total.oneDay += p.oneDay
		total.busiest = max(total.busiest, p.busiest)
		total.noAmount += p.noAmount
		total.negative += p.negative
		total.afterCancel += p.afterCancel
		total.cancelled += p.cancelled
	}
	return total, err
}

// judge turns the survey into findings.
func (k *check) judge(s survey, census *timeline.Census) {
	r := k.r
	warn := func(code, format string, args ...any) { r.find(SeverityWarning, code, "", "", format, args...) }
	events, customers := float64(census.Events), float64(census.Customers)
	purchases := census.Roles[datasets.Purchase]
	if year := r.First[:4]; year < "1990" {
		warn("time.old", "the first event is of %s: zero or default times read as 1970 and before; check the time column and time_unit", r.First)
	}
	if share := float64(s.atMidnight) / events; share > 0.95 {
		warn("time.whole_days", "%s of the events are at midnight UTC: the times are dates, so features of hours and sessions say little", prose.Percent(share))
	}
	// At fewer than 20 events a day a silent day may be chance.
	if r.Silent > 0 && events > 20*float64(r.Days) {
		warn("time.silent_days", "no event falls on %s of the %d days (%s): partitions may be missing", prose.Plural(r.Silent, "day"), r.Days, silentRanges(s.days))
	}
	if share := float64(s.oneDay) / customers; share > 0.95 {
		warn("customers.one_day", "%s of the customers are active on one day only: is the customer id that of a person rather than of a visit?", prose.Percent(share))
	}
	if share := float64(s.busiest) / events; share > 0.2 && census.Customers > 20 {
		warn("customers.busiest", "one customer has %s of all events: a shared or placeholder id should be null", prose.Percent(share))
	}
	// Identity tables and lists of people put ids into the dictionary that are nobody's here.
	if k.in.Report.IDType.Kind == datasets.IDString && len(k.in.Plan.Lookups) == 0 {
		if n := history.Alike(k.in.Dicts.Customer); n > 0 {
			warn("customers.alike", "%s customer ids are another's but for capitals and spaces: if they are the same people, write their ids alike, or join them in an identity table", prose.Thousands(n))
		}
	}
	if dropped := float64(census.Duplicates) / float64(census.Duplicates+census.Events); dropped > 0.2 {
		warn("duplicates.many", "dedupe drops %s of the events: does the event id identify events?", prose.Percent(dropped))
	}
	if r.ExactDuplicates > 0 && census.Duplicates < r.ExactDuplicates {
		warn("duplicates.kept", "%s rows repeat another in every mapped field and are kept; if they are not events of their own, set dedupe to exact", prose.Thousands(r.ExactDuplicates-census.Duplicates))
	}
	if purchases > 0 && s.noAmount == purchases {
		warn("amount.none", "no purchase has an amount: spend and value cannot be told; map columns.amount if there is one")
	} else if share := float64(s.noAmount) / float64(purchases); share > 0.05 {
		warn("amount.missing", "%s of the purchases have no amount: spend and value are understated", prose.Percent(share))
	}
	if s.negative > 0 {
		warn("amount.negative", "%s purchases have a negative amount; if they are returns, give them an event type listed under roles.return", prose.Thousands(s.negative))
	}
	if s.afterCancel > 0 && float64(s.afterCancel) > 0.2*float64(s.cancelled) {
		warn("cancel.activity", "%s of %s customers go on being active on days after their last cancellation: do not trust it as a label", prose.Thousands(s.afterCancel), prose.Thousands(s.cancelled))
	}
}

// silentRanges names the first days without events.
func silentRanges(days map[int32]int64) string {
	var have []int32
	for d := range days {
		have = append(have, d)
	}
	slices.Sort(have)
	name := func(d int32) string { return time.Unix(int64(d)*86400, 0).UTC().Format(time.DateOnly) }
	var out []string
	for i := 1; i < len(have); i++ {
		if have[i] == have[i-1]+1 {
			continue
		}
		if len(out) == 4 {
			out = append(out, "…")
			break
		}
		from, to := name(have[i-1]+1), name(have[i]-1)
		if from == to {
			out = append(out, from)
		} else {
			out = append(out, from+" to "+to)
		}
	}
	return strings.Join(out, ", ")
}

var roleInSQL = regexp.MustCompile(`role = '([a-z_]+)'`)

// roles lists every role with the features and targets that it alone feeds.
func (k *check) roles(census *timeline.Census) {
	empty := map[string][]string{}
	families, err := features.Select(k.cfg.FeatureParams(), k.cfg.Features.Families)
	if err != nil {
		k.r.find(SeverityError, "features", "", "", "%v", err)
	}
	for _, f := range families {
		for _, c := range f.Columns {
			// A column whose definition reads one role only has nothing to
			// read without it.
			roles := map[string]bool{}
			for _, m := range roleInSQL.FindAllStringSubmatch(c.SQL, -1) {
				roles[m[1]] = true
			}
			if len(roles) == 1 {
				for role := range roles {
					empty[role] = append(empty[role], c.Name)
				}
			}
		}
	}
	for _, role := range datasets.Roles() {
		rr := RoleReport{Role: role.String(), Events: census.Roles[role], Features: []string{}, Targets: []string{}}
		if rr.Events == 0 {
			rr.Features = append(rr.Features, empty[role.String()]...)
			for _, t := range k.cfg.Targets {
				if t.Role == role.String() {
					rr.Targets = append(rr.Targets, t.Name)
				}
			}
		}
		k.r.Roles = append(k.r.Roles, rr)
	}
}

// targets says of each target whether history and outcomes suffice, resolving
// it the way a run does.
func (k *check) targets(ctx context.Context, store *timeline.Store, census *timeline.Census, first, end timeline.AsOf) error {
	resolver := targets.Resolver{Store: store, Census: census, First: first.Today, AsOf: end, Workers: k.opts.Workers}
	for _, c := range k.cfg.Targets {
		t, _, err := resolver.Resolve(ctx, c)
		if err != nil {
			return fmt.Errorf("onboard: %w", err)
		}
		r, err := k.target(ctx, store, census, t, first, end)
		if err != nil {
			return err
		}
		k.r.Targets = append(k.r.Targets, r)
	}
	return nil
}

func (k *check) target(ctx context.Context, store *timeline.Store, census *timeline.Census, t targets.Target, first, end timeline.AsOf) (TargetReport, error) {
	zone := k.in.Zone
	tr := TargetReport{
		Name: t.Name, Kind: t.Kind.String(), Role: t.RoleName(), Gap: t.Gap, Horizon: t.Horizon, Days: int(end.Today-first.Today) + 1,
	}
	warn := func(code, format string, args ...any) {
		k.r.find(SeverityWarning, code, "", "", "target "+t.Name+": "+format, args...)
	}
	at := end.Add(-(t.Gap + t.Horizon), zone)
	schedule, err := t.Schedule(end, first.Today, k.cfg.Models.Snapshots, zone)
	if err != nil {
		k.r.find(SeverityWarning, "target.history", "", "", "%v", err)
	} else {
		at, tr.Snapshots = schedule.Test, len(schedule.Train)
		if tr.Snapshots < k.cfg.Models.Snapshots {
			warn("target.snapshots", "%d days of history hold %d of the %d training snapshots", tr.Days, tr.Snapshots, k.cfg.Models.Snapshots)
		}
	}
	tr.Snapshot = at.String()
	label := t.Label(zone)
	dates := append(slices.Clone(schedule.Train), at)
	type tally struct{ trained, positive, eligible, did int64 }
	parts := make([]tally, k.opts.Workers)
	err = store.Replay(ctx, k.opts.Workers, func(w, _ int, tl *timeline.Timeline) error {
		p := &parts[w]
		for i, date := range dates {
			h, ok := tl.Before(date)
			if !ok {
				continue
			}
			rows, positives := &p.trained, &p.positive
			if i == len(dates)-1 {
				rows, positives = &p.eligible, &p.did
			}
			switch v := label.Value(tl, &h); v {
			case 1:
				*positives++
				*rows++
			case 0:
				*rows++
			}
		}
		return nil
	}, nil)
	if err != nil {
		return tr, err
	}
	for _, p := range parts {
		tr.TrainingRows += p.trained
		tr.TrainingPositives += p.positive
		tr.Eligible += p.eligible
		tr.Positives += p.did
	}
	least, negatives := int64(k.cfg.Models.MinPositives), tr.TrainingRows-tr.TrainingPositives
	tr.Able = tr.Snapshots > 0 && tr.TrainingPositives >= least && negatives >= least
	switch {
	case !t.Any && census.Roles[t.Role] == 0:
		warn("target.no_events", "no event plays the role %s", t.Role)
	case tr.Snapshots > 0 && !tr.Able:
		warn("target.outcomes", "%s training customers over %s have the outcome and %s have not; models.min_positives asks for %d of each",
			prose.Thousands(tr.TrainingPositives), prose.Plural(tr.Snapshots, "snapshot"), prose.Thousands(negatives), least)
	case tr.Able && (tr.Positives == 0 || tr.Positives == tr.Eligible):
		warn("target.test", "all %s customers eligible on %s have the same outcome: the model cannot be tested", prose.Thousands(tr.Eligible), tr.Snapshot)
	}
	return tr, nil
}

// ExitError is the error of a report whose findings stop a run, nil for
// others.
func (r *Report) ExitError() error {
	var stops []error
	for _, f := range r.Findings {
		if f.Severity == SeverityError {
			stops = append(stops, fmt.Errorf("onboard: %s", f.Message))
		}
	}
	return errors.Join(stops...)
}
