// Package explain answers why a customer has these numbers: the events, the
// features computed of them as a run computes them, and for a column its SQL and
// the events that it comes from. It reads one customer's rows, not everybody's.
package explain

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/nightly"
)

// Options of one explanation.
type Options struct {
	Config   *config.Config
	Customer string // as the source spells the id, or an alias in the identity tables
	Date     string // YYYY-MM-DD: the day whose end the customer is described at
	Column   string // explain this column alone, event by event; "" lists all
	FS       storage.FS
	Workers  int
	Progress func(done, total int64) // may be nil
}

// A Report is everything that is known of one customer at the end of a date.
type Report struct {
	Customer string `json:"customer"`
	// Alias is what the customer was asked for as, when that is another id, and
	// its kind; both are "" otherwise.
	Alias     string `json:"alias,omitempty"`
	AliasKind string `json:"alias_kind,omitempty"`

	Date     string `json:"date"`
	AsOf     string `json:"as_of"` // the instant, RFC 3339 UTC
	TimeZone string `json:"time_zone"`
	Currency string `json:"currency,omitempty"`

	Read       Reading         `json:"read"`
	Refused    []RefusedReport `json:"refused,omitempty"`
	Duplicates int64           `json:"duplicates_removed"`
	Events     []Event         `json:"events"` // oldest first
	Families   []Family        `json:"families"`
	Evidence   *Evidence       `json:"evidence,omitempty"` // of the only column
	// SQL computes the columns above in DuckDB's dialect, from the table that
	// EventsSQL makes of the job's own files.
	EventsSQL string `json:"events_sql"`
	SQL       string `json:"sql"`
}

// Reading says how much was read to find the customer's rows.
type Reading struct {
	Files            int   `json:"files"`
	RowGroups        int   `json:"row_groups"`
	RowGroupsSkipped int   `json:"row_groups_skipped"`       // by their statistics: too late, or of other customers
	RowGroupsPeeked  int   `json:"row_groups_customer_only"` // read no further than the ids: of other customers
	Rows             int64 `json:"rows"`
	Later            int64 `json:"rows_later"` // of this customer, after the date, in the row groups that were read
	Withheld         int64 `json:"rows_without_consent"`
}

// A RefusedReport counts rows of the customer that could not be used.
type RefusedReport struct {
	Source string `json:"source"`
	Reason string `json:"reason"`
	Column string `json:"column"`
	Count  int64  `json:"count"`
	First  string `json:"first"` // where the first of them is
}

// An Event is one of the customer's events; N counts from 1. What is absent is "".
type Event struct {
	N        int    `json:"n"`
	Time     string `json:"time"`       // RFC 3339 UTC
	Local    string `json:"local_time"` // on the job's wall clock
	Day      string `json:"day"`        // local, as features count days
	Role     string `json:"role"`
	Type     string `json:"event_type,omitempty"`
	Amount   string `json:"amount,omitempty"`
	Quantity string `json:"quantity,omitempty"`
	Rating   string `json:"rating,omitempty"`
	Product  string `json:"product_id,omitempty"`
	Category string `json:"category,omitempty"`
	Channel  string `json:"channel,omitempty"`
	Campaign string `json:"campaign_id,omitempty"`
	Session  int    `json:"session,omitempty"` // numbered by first appearance
}

// A Family is a group of columns and what they are for this customer.
type Family struct {
	Name    string  `json:"family"`
	Meaning string  `json:"meaning"`
	Columns []Value `json:"columns"`
}

// A Value is a column's number for this customer.
type Value struct {
	Name    string   `json:"column"`
	Value   *float64 `json:"value"`
	Null    string   `json:"null_because,omitempty"` // the column's null policy, when it is null
	Unit    string   `json:"unit"`
	Meaning string   `json:"meaning"`
	SQL     string   `json:"sql"` // of the column, over its family's relation
	// Counted is how many events the column's conditions select, when they alone
	// make the number; null where the number depends on more than conditions.
	Counted *int `json:"events_counted"`
}

// Explain reads a customer's events and computes the features as a run does.
func Explain(ctx context.Context, o Options) (*Report, error) {
	if o.Workers < 1 {
		return nil, fmt.Errorf("explain: Workers (%d) must be >= 1", o.Workers)
	}
	x, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := x.read(ctx); err != nil {
		return nil, err
	}
	return x.report(ctx)
}

// An explainer is one explanation on its way.
type explainer struct {
	Options
	zone     *time.Location
	asOf     timeline.AsOf
	dedupe   timeline.Dedupe
	families []features.Family
	column   [2]int // family and position of Options.Column
	plan     *scan.Plan
	id       string        // dictionary form
	alias    string        // kind of Options.Customer, when that is an alias of id
	holders  []scan.Holder // whose alias Options.Customer is if it is no customer's own id

	rows   *scan.Report
	store  *timeline.Store
	census timeline.Census
}

// open settles what is asked before a row is read.
func open(ctx context.Context, o Options) (*explainer, error) {
	x := &explainer{Options: o, column: [2]int{-1, -1}}
	var err error
	if x.zone, err = o.Config.Location(); err != nil {
		return nil, nightly.Usage(fmt.Errorf("time_zone %q: %w", o.Config.TimeZone, err))
	}
	if x.asOf, err = timeline.ParseAsOf(o.Date, x.zone); err != nil {
		return nil, nightly.Usage(err)
	}
	if x.families, err = features.Select(o.Config.FeatureParams(), o.Config.Features.Families); err != nil {
		return nil, nightly.Usage(err)
	}
	if err := x.findColumn(); err != nil {
		return nil, nightly.Usage(err)
	}
	if x.dedupe, err = nightly.DedupeMode(o.Config); err != nil {
		return nil, err
	}
	source, err := o.Config.ScanInput()
	if err != nil {
		return nil, nightly.Usage(err)
	}
	if x.plan, err = source.Plan(ctx, o.FS); err != nil {
		return nil, nightly.Classify(err)
	}
	return x, x.identify(ctx)
}

// identify finds out whose id was asked for. What the identity tables list among
// customers' own ids is settled; what else may be one, they know as an alias
// only if no row has it.
func (x *explainer) identify(ctx context.Context) error {
	holders, err := x.plan.Holders(ctx, x.Customer, x.Workers)
	if err != nil {
		return nightly.Classify(err)
	}
	own, fault := x.plan.IDType.Parse(x.Customer)
	switch {
	case fault == nil && len(holders) > 0 && holders[0].Kind == scan.CustomerKind:
		if x.id = holders[0].Customer; x.id != own {
			x.alias = scan.CustomerKind
		}
	case fault == nil:
		x.id, x.holders = own, holders
	case len(holders) > 0:
		return x.follow(holders)
	default:
		return nightly.Usage(fmt.Errorf("customer %q: %w", x.Customer, fault))
	}
	return nil
}

// follow takes the one customer whose alias was asked for.
func (x *explainer) follow(holders []scan.Holder) error {
	var names []string
	for _, h := range holders {
		names = append(names, fmt.Sprintf("the %s of %s", h.Kind, x.plan.IDType.Format(h.Customer)))
	}
	if slices.ContainsFunc(holders, func(h scan.Holder) bool { return h.Customer != holders[0].Customer }) {
		return nightly.Usage(fmt.Errorf("customer %q is %s in the identity tables: ask for one of them", x.Customer, strings.Join(names, " and ")))
	}
	x.id, x.alias, x.holders = holders[0].Customer, holders[0].Kind, nil
	return nil
}

// findColumn looks up the column that is asked for.
func (x *explainer) findColumn() error {
	if x.Column == "" {
		return nil
	}
	var names []string
	for i, f := range x.families {
		for j, c := range f.Columns {
			if c.Name == x.Column {
				x.column = [2]int{i, j}
				return nil
			}
			names = append(names, c.Name)
		}
	}
	hint := ""
	if near := nearest(names, x.Column, 3); len(near) > 0 {
		hint = fmt.Sprintf("; did you mean %s?", strings.Join(near, ", "))
	}
	return fmt.Errorf("no feature column is named %q%s (shoal features lists them)", x.Column, hint)
}

// read brings in the customer's rows alone.
func (x *explainer) read(ctx context.Context) error {
	dicts := datasets.NewDicts()
	log := timeline.NewLog(dicts, x.Workers)
	opts := scan.DefaultOptions()
	opts.Workers, opts.Before, opts.Currency = x.Workers, x.asOf.Instant, x.Config.Currency
	opts.MaxRejectedSample = 0
	opts.Progress, opts.Customers = x.Progress, scan.OneCustomer(x.id)
	var err error
	if x.rows, err = x.plan.Read(ctx, dicts, opts, log.Append); err != nil {
		return nightly.Classify(err)
	}
	if x.rows.RowsAccepted == 0 {
		if len(x.holders) > 0 && x.seen() == 0 {
			if err := x.follow(x.holders); err != nil {
				return err
			}
			return x.read(ctx)
		}
		return x.unknown(ctx)
	}
	x.store = log.Freeze(timeline.Options{Zone: x.zone, Dedupe: x.dedupe, IDType: x.plan.IDType})
	x.census, err = x.store.Census(ctx, x.Workers)
	return err
}

// seen counts the customer's rows that were read and are no events.
func (x *explainer) seen() int64 {
	r := x.rows
	return r.RowsRejected + r.RowsWithheld + r.RowsErased + r.RowsAfter - r.RowsSkipped
}

// unknown says why there is nothing to explain, and what may have been meant.
func (x *explainer) unknown(ctx context.Context) error {
	r := x.rows
	if n := x.seen(); n > 0 {
		var why []string
		if later := r.RowsAfter - r.RowsSkipped; later > 0 {
			why = append(why, fmt.Sprintf("%d are later", later))
		}
		if r.RowsWithheld > 0 {
			why = append(why, fmt.Sprintf("%d are without consent", r.RowsWithheld))
		}
		if r.RowsErased > 0 {
			why = append(why, fmt.Sprintf("%d are left out, because an erasure list names the customer", r.RowsErased))
		}
		for _, j := range r.Rejects {
			why = append(why, fmt.Sprintf("%d are refused for %s in column %s of source %s, first at %s, row %d", j.Count, j.Reason, j.Column, j.Source, j.First.File, j.First.Row))
		}
		return nightly.BadData(fmt.Errorf("customer %s has no event that can be used before the end of %s; of the customer's %d rows that were read %s", x.named(), x.asOf, n, strings.Join(why, ", ")))
	}
	hint := fmt.Sprintf("ids are of type %v and must be typed as the source spells them, upper and lower case apart", x.plan.IDType)
	near, err := x.nearestIDs(ctx)
	if err != nil {
		return err
	}
	if len(near) > 0 {
		hint = fmt.Sprintf("did you mean %s? %s", strings.Join(near, ", "), hint)
	} else if r.RowsSkipped > 0 {
		hint += fmt.Sprintf("; %d rows after the date were not looked at", r.RowsSkipped)
	}
	return nightly.BadData(fmt.Errorf("no row before the end of %s is of customer %s: %s", x.asOf, x.named(), hint))
}

// named is the customer for messages.
func (x *explainer) named() string {
	if x.alias == "" {
		return strconv.Quote(x.Customer)
	}
	return fmt.Sprintf("%q, whose alias %q was asked for", x.plan.IDType.Format(x.id), x.Customer)
}

// nearestIDs looks at every id once for those that are like the one asked for.
// Only the customers' column is read, for no id is selected.
func (x *explainer) nearestIDs(ctx context.Context) ([]string, error) {
	if x.plan.IDType.Kind == datasets.IDFixed {
		return nil, nil // digits of hashes are near to nothing
	}
	var mu sync.Mutex
	var found neighbours
	opts := scan.DefaultOptions()
	opts.Workers, opts.Before, opts.Progress = x.Workers, x.asOf.Instant, x.Progress
	opts.Customers = &scan.CustomerFilter{Match: func(id []byte) bool {
		shown := x.plan.IDType.Format(string(id))
		if d, close := distance(shown, x.Customer); close && !x.rows.Consent.Bars(string(id)) {
			mu.Lock()
			found.add(shown, d)
			mu.Unlock()
		}
		return false
	}}
	_, err := x.plan.Read(ctx, datasets.NewDicts(), opts, func(int, *datasets.Batch) error { return nil })
	if err != nil {
		return nil, nightly.Classify(err)
	}
	return found.best(3), nil
}

// report lays out what was read and computes the features.
func (x *explainer) report(ctx context.Context) (*Report, error) {
	r := &Report{
		Customer: x.plan.IDType.Format(x.id), Date: x.asOf.String(), AsOf: instant(x.asOf.Instant), TimeZone: x.zone.String(), Duplicates: x.census.Duplicates,
		Read: Reading{
			Files: x.rows.Files, RowGroups: x.rows.RowGroupsRead + x.rows.RowGroupsSkipped, RowGroupsSkipped: x.rows.RowGroupsSkipped, RowGroupsPeeked: x.rows.RowGroupsPeeked,
			Rows: x.rows.Rows, Later: x.rows.RowsAfter - x.rows.RowsSkipped, Withheld: x.rows.RowsWithheld,
		},
		EventsSQL: x.eventsSQL(), SQL: x.customerSQL(),
	}
	if x.alias != "" {
		r.Alias, r.AliasKind = x.Customer, x.alias
	}
	if len(x.rows.Currencies) > 0 {
		r.Currency = x.rows.Currencies[0].Currency
	}
	for _, j := range x.rows.Rejects {
		r.Refused = append(r.Refused, RefusedReport{j.Source, j.Reason, j.Column, j.Count, fmt.Sprintf("%s, row %d", j.First.File, j.First.Row)})
	}
	var h *history
	err := x.store.Replay(ctx, 1, func(_, _ int, t *timeline.Timeline) error {
		if past, ok := t.Before(x.asOf); ok {
			h = keep(&past, x.store.Values, x.zone)
		}
		return nil
	}, nil)
	if err != nil {
		return nil, err
	}
	if h == nil {
		return nil, errors.New("explain: the store lost the customer's history")
	}
	r.Events = h.shown()
	rows, err := compute(ctx, x.store, x.families, x.asOf)
	if err != nil {
		return nil, err
	}
	values := rows[x.id]
	if values == nil {
		return nil, errors.New("explain: no row was computed for the customer")
	}
	w := &witness{families: x.families, asOf: x.asOf, zone: x.zone, history: h, values: values}
	if err := w.selectAll(ctx, x.column); err != nil {
		return nil, err
	}
	at := 0
	for i, f := range x.families {
		family := Family{Name: f.Name, Meaning: f.Meaning}
		for j, c := range f.Columns {
			v := values[at]
			selected := w.selected[at]
			at++
			if x.Column != "" && x.column != [2]int{i, j} {
				continue
			}
			value := Value{Name: c.Name, Unit: c.Unit, Meaning: c.Meaning, SQL: x.spell(c.SQL)}
			if math.IsNaN(v) {
				value.Null = c.Null
			} else {
				value.Value = &v
			}
			if selected != nil {
				n := len(*selected)
				value.Counted = &n
			}
			family.Columns = append(family.Columns, value)
			if x.Column != "" {
				if r.Evidence, err = w.evidence(ctx, at-1); err != nil {
					return nil, err
				}
			}
		}
		if len(family.Columns) > 0 {
			r.Families = append(r.Families, family)
		}
	}
	return r, nil
}

func instant(micros int64) string { return time.UnixMicro(micros).UTC().Format(time.RFC3339Nano) }

// compute is the feature table of a store as rows by customer, NaN for null.
func compute(ctx context.Context, s *timeline.Store, families []features.Family, asOf timeline.AsOf) (map[string][]float64, error) {
	rows := map[string][]float64{}
	err := features.Build(ctx, s, families, []features.Snapshot{{AsOf: asOf}}, 1, func(_ int, b features.Batch) error {
		defer b.Record.Release()
		n := int(b.Record.NumRows())
		for i := range n {
			row := make([]float64, b.Record.NumCols()-1)
			for j := range row {
				c := b.Record.Column(j + 1).(*array.Float64)
				if row[j] = c.Value(i); c.IsNull(i) {
					row[j] = math.NaN()
				}
			}
			id, err := idAt(b.Record.Column(0), i)
			if err != nil {
				return err
			}
			rows[id] = row
		}
		return nil
	}, nil)
	return rows, err
}

// nearest are the names closest to what was asked for, the closest first.
func nearest(names []string, want string, most int) []string {
	var found neighbours
	for _, n := range names {
		if d, close := distance(n, want); close {
			found.add(n, d)
		}
	}
	if len(found.ids) == 0 {
		for _, n := range names {
			if strings.Contains(n, want) {
				found.add(n, len(n)-len(want))
			}
		}
	}
	return slices.Clone(found.best(most))
}
