// Package outlook says what a night would do, from the configuration and the
// footers of the files: what would be read and skipped and why, at which dates
// customers would be described, what would be computed and published, and how
// much memory it would take. It reads no row and writes nothing.
package outlook

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/nightly"
	"github.com/shoal-data/shoal/jobs/targets"
	"github.com/shoal-data/shoal/jobs/value"
)

// A Report is the plan of a night.
type Report struct {
	Status   string `json:"status"` // StatusRun or StatusNoop
	Date     string `json:"date"`
	AsOf     string `json:"as_of"` // the instant, RFC 3339 UTC
	TimeZone string `json:"time_zone"`
	Version  string `json:"version"`
	// RunID is that of the published run when there is nothing to do. Otherwise it
	// is not known: it is a digest of the events.
	RunID string `json:"run_id,omitempty"`
	Out   string `json:"out"`

	Sources  []Source `json:"sources"`
	Lookups  []Lookup `json:"lookups"` // tables of identities and rates beside the sources
	Input    Input    `json:"input"`
	Last     *LastRun `json:"last_run,omitempty"` // what estimates are made from
	Memory   Memory   `json:"memory"`
	Buckets  int      `json:"buckets"` // that customers are divided into
	Workers  int      `json:"workers"`
	Dates    Dates    `json:"dates"`
	Families []Family `json:"families"`
	Columns  int      `json:"columns"` // of features
	Tables   []Table  `json:"tables"`
	Warnings []string `json:"warnings"`
}

// How a night would go.
const (
	StatusRun  = "run"
	StatusNoop = "noop"
)

// A Source is what would be read of a source.
type Source struct {
	scan.SourceOutline
	BytesToRead int64     `json:"bytes_to_read"` // compressed, of the mapped columns
	Mapped      []Mapping `json:"mapped"`
}

// A Mapping is a field of events and where it comes from.
type Mapping struct {
	Field string `json:"field"`
	scan.ColumnOutline
}

// A Lookup is a file of a table that events are looked up in.
type Lookup struct {
	Table string `json:"table"` // as the configuration has it: identity[0], currency_rates
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
}

// Input is the sources together.
type Input struct {
	Files            int    `json:"files"`
	Bytes            int64  `json:"bytes"`
	BytesToRead      int64  `json:"bytes_to_read"`
	RowGroups        int    `json:"row_groups"`
	RowGroupsSkipped int    `json:"row_groups_skipped"`
	SkippedBecause   string `json:"skipped_because,omitempty"`
	Rows             int64  `json:"rows"`
	RowsSkipped      int64  `json:"rows_skipped"`
	// The local days of the earliest and the latest event to read, by the files'
	// statistics; "" when they have none.
	First string `json:"first_day,omitempty"`
	Last  string `json:"last_day,omitempty"`
	// Events are at most the rows that are read. How many of them are used, and of
	// how many customers, is known from a run before or not at all (0).
	MostEvents      int64 `json:"most_events"`
	LikelyEvents    int64 `json:"likely_events"`
	LikelyCustomers int64 `json:"likely_customers"`

	first int32 // local day; only when First is not ""
}

// LastRun is the published run of the latest date.
type LastRun struct {
	Date            string  `json:"date"`
	RunID           string  `json:"run_id"`
	RowsRead        int64   `json:"rows_read"` // without those of skipped row groups
	Events          int64   `json:"events"`
	Customers       int64   `json:"customers"`
	Seconds         float64 `json:"seconds"`
	PeakMemoryBytes int64   `json:"peak_memory_bytes"`
	SpilledBytes    int64   `json:"spilled_bytes"`

	held    *nightly.Held
	targets map[string]int // horizon by target
}

// Dates are the moments at which customers are described.
type Dates struct {
	Score   string   `json:"score"`
	Targets []Target `json:"targets"`
	// Holdout is the date from which forecasts of value are tested; "" when that
	// depends on what is in the data.
	Holdout     string `json:"value_holdout,omitempty"`
	HoldoutFrom string `json:"value_train,omitempty"` // the window before it begins here
	HoldoutNote string `json:"value_holdout_note,omitempty"`
}

// A Target is a question and the dates that it is learnt at.
type Target struct {
	Name    string   `json:"name"`
	Kind    string   `json:"kind"`
	Role    string   `json:"role"`
	Gap     int      `json:"gap_days"`
	Horizon int      `json:"horizon_days,omitempty"` // 0 when it is chosen from the data
	Train   []string `json:"train"`
	Test    string   `json:"test,omitempty"`
	// Learnt is the date of the run whose model scores, when none is to be learnt.
	Learnt string `json:"learnt,omitempty"`
	Note   string `json:"note,omitempty"`
}

// A Family of features that would be computed.
type Family struct {
	Name    string `json:"family"`
	Columns int    `json:"columns"`
}

// A Table that would be published, and where.
type Table struct {
	Name string `json:"table"`
	Path string `json:"path"` // <id> stands for the run's
}

// Of plans a night.
func Of(ctx context.Context, o nightly.Options) (*Report, error) {
	p, err := nightly.Look(ctx, o)
	if err != nil {
		return nil, err
	}
	families, err := features.Select(o.Config.FeatureParams(), o.Config.Features.Families)
	if err != nil {
		return nil, nightly.Usage(err)
	}
	r := &Report{
		Status: StatusRun, Date: o.Date, AsOf: time.UnixMicro(p.AsOf.Instant).UTC().Format(time.RFC3339Nano), TimeZone: p.Zone.String(), Version: o.Version, Out: o.Config.Out,
		Buckets: timeline.NumBuckets, Workers: o.Config.Limits.Workers.Count(), Warnings: append([]string{}, p.Input.Warnings...),
	}
	if p.Noop != nil {
		r.Status, r.RunID = StatusNoop, p.Noop.RunID
	}
	if s := p.Last; s != nil {
		r.Last = &LastRun{
			Date: s.Date, RunID: s.RunID, RowsRead: s.Input.RowsRead - s.Input.RowsSkipped, Events: s.Input.Events, Customers: s.Input.Customers,
			Seconds: s.Seconds, PeakMemoryBytes: s.PeakMemoryBytes, SpilledBytes: s.SpilledBytes, held: s.Held, targets: map[string]int{},
		}
		for _, t := range s.Targets {
			r.Last.targets[t.Name] = t.Horizon
		}
	}
	r.input(p)
	r.dates(o.Config, p)
	for _, f := range families {
		r.Families = append(r.Families, Family{f.Name, len(f.Columns)})
		r.Columns += len(f.Columns)
	}
	for _, name := range nightly.Tables() {
		r.Tables = append(r.Tables, Table{name, fmt.Sprintf("%s/%s/ds=%s/run=%s/", o.Config.Out, name, o.Date, cmp.Or(r.RunID, "<id>"))})
	}
	r.memory(o.Config)
	return r, nil
}

// input adds the sources up.
func (r *Report) input(p *nightly.Prospect) {
	in := &r.Input
	known, first, last := true, int64(0), int64(0)
	begun := false
	for _, o := range p.Input.Outline(p.AsOf.Instant) {
		s := Source{SourceOutline: o}
		for _, c := range o.Columns {
			s.BytesToRead += c.Bytes
			s.Mapped = append(s.Mapped, Mapping{c.Field.String(), c})
		}
		s.Columns = nil // they are in Mapped
		in.Files += o.Files
		in.Bytes += o.Bytes
		in.BytesToRead += s.BytesToRead
		in.RowGroups += o.RowGroups
		in.RowGroupsSkipped += o.RowGroupsSkipped
		in.Rows += o.Rows
		in.RowsSkipped += o.RowsSkipped
		if o.Rows > o.RowsSkipped {
			known = known && o.TimesKnown
			if !begun {
				first, last, begun = o.MinTime, o.MaxTime, true
			}
			first, last = min(first, o.MinTime), max(last, o.MaxTime)
		}
		r.Sources = append(r.Sources, s)
	}
	r.Lookups = []Lookup{}
	for _, f := range p.Input.Lookups {
		r.Lookups = append(r.Lookups, Lookup{f.Source, f.Path, f.Size})
	}
	if in.RowGroupsSkipped > 0 {
		in.SkippedBecause = fmt.Sprintf("by their statistics or path they hold nothing before the end of %s", r.Date)
	}
	in.MostEvents = in.Rows - in.RowsSkipped
	if known && begun {
		in.first = timeline.LocalDay(first, p.Zone)
		in.First, in.Last = dayString(in.first), dayString(min(timeline.LocalDay(last, p.Zone), p.AsOf.Today))
	}
	if l := r.Last; l != nil && l.RowsRead > 0 {
		share := float64(in.MostEvents) / float64(l.RowsRead)
		in.LikelyEvents = min(int64(share*float64(l.Events)), in.MostEvents)
		in.LikelyCustomers = min(int64(share*float64(l.Customers)), in.LikelyEvents)
	}
	if in.MostEvents == 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("no row can lie before the end of %s: the run would end with exit code %d", r.Date, nightly.ExitNoInput))
	}
}

// dates places the snapshots.
func (r *Report) dates(c *config.Config, p *nightly.Prospect) {
	r.Dates.Score = p.AsOf.String()
	r.Dates.Targets = []Target{}
	for _, t := range c.Targets {
		r.Dates.Targets = append(r.Dates.Targets, r.target(c, p, t))
	}
	d := &r.Dates
	switch {
	case r.Input.First == "":
		d.HoldoutNote = "depends on when history begins, which the files' statistics do not tell"
	default:
		days := value.HoldoutDays(int(c.Models.ValueHorizon), int(p.AsOf.Today-r.Input.first+1))
		if days == 0 {
			d.HoldoutNote = fmt.Sprintf("none: of the %d days of history a third is less than %d days", p.AsOf.Today-r.Input.first+1, value.MinHoldout)
			break
		}
		d.Holdout, d.HoldoutFrom = p.AsOf.Add(-days, p.Zone).String(), p.AsOf.Add(-2*days, p.Zone).String()
		if !c.MapsRole(datasets.Purchase) {
			d.Holdout, d.HoldoutFrom, d.HoldoutNote = "", "", "none: no source maps purchases"
		}
	}
}

// target says when a target is learnt, as far as that does not hang on the data.
func (r *Report) target(c *config.Config, p *nightly.Prospect, t config.Target) Target {
	out := Target{Name: t.Name, Kind: t.Kind, Role: t.Role, Gap: int(t.Gap), Train: []string{}}
	if t.Role == config.RoleAuto {
		out.Role = datasets.Purchase.String()
		if t.Kind == config.KindChurn {
			out.Role = "purchase, or any when there are no purchases"
			if !c.MapsRole(datasets.Purchase) {
				out.Role = config.RoleAny
			}
		}
	}
	out.Learnt = p.Lent[t.Name].Learnt
	if t.Horizon.Auto && out.Learnt != "" {
		out.Note = fmt.Sprintf("if the horizon chosen from the data is %d days again; otherwise a model is learnt", p.Lent[t.Name].Horizon)
		return out
	}
	if t.Horizon.Auto {
		out.Note = "the horizon is chosen from the data, and the dates with it"
		if r.Last != nil && r.Last.targets[t.Name] > 0 {
			out.Note += fmt.Sprintf("; the run of %s chose %d days", r.Last.Date, r.Last.targets[t.Name])
		}
		return out
	}
	out.Horizon = int(t.Horizon.Days)
	if out.Learnt != "" {
		return out
	}
	q := targets.Target{Name: t.Name, Gap: out.Gap, Horizon: out.Horizon}
	if r.Input.First == "" {
		span := q.Gap + q.Horizon
		test := p.AsOf.Add(-span, p.Zone)
		out.Test, out.Train = test.String(), []string{test.Add(-span, p.Zone).String()}
		out.Note = "earlier training dates, and whether history reaches back so far, depend on when it begins, which the files' statistics do not tell"
		return out
	}
	s, err := q.Schedule(p.AsOf, r.Input.first, c.Models.Snapshots, p.Zone)
	if err != nil {
		out.Note = err.Error()
		return out
	}
	out.Test = s.Test.String()
	for _, a := range s.Train {
		out.Train = append(out.Train, a.String())
	}
	return out
}

func dayString(day int32) string {
	return time.Unix(int64(day)*86400, 0).UTC().Format(time.DateOnly)
}
