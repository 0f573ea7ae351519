// Package onboard gets a team started on data nobody has described yet. Init
// profiles Parquet files it has never seen, recognises what their columns and
// event types mean and writes a commented configuration that runs unedited.
// Check says, without running, what the input of a configuration can and
// cannot support.
//
// Both are deterministic: the same files give the same bytes.
package onboard

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/onboard/internal/history"
	"github.com/shoal-data/shoal/jobs/onboard/internal/prose"
	"github.com/shoal-data/shoal/jobs/onboard/internal/recognise"
	"github.com/shoal-data/shoal/jobs/quality"
	"github.com/shoal-data/shoal/jobs/targets"
)

// Options of Init.
type Options struct {
	FS      storage.FS
	Globs   []string                  // files, globs or directories; files that share a schema become one source
	Out     string                    // where the written configuration publishes to; not touched
	Columns map[datasets.Field]string // fields whose column is known: goes before recognition
	Workers int                       // ≥ 1; never changes the result
	Inspect scan.InspectOptions
}

// DefaultOptions reads local files with a worker a processor. Globs has no default.
func DefaultOptions() Options {
	return Options{
		FS: storage.Local(), Out: "shoal-runs", Workers: runtime.GOMAXPROCS(0),
		Columns: map[datasets.Field]string{}, Inspect: scan.DefaultInspectOptions(),
	}
}

// Validate reports every fault of the options.
func (o Options) Validate() error {
	var faults []error
	if o.FS == nil {
		faults = append(faults, errors.New("onboard: FS must not be nil"))
	}
	if len(o.Globs) == 0 {
		faults = append(faults, errors.New("onboard: Globs must name at least one file, glob or directory"))
	}
	if o.Out == "" {
		faults = append(faults, errors.New("onboard: Out must name where runs are published"))
	}
	if o.Workers < 1 {
		faults = append(faults, fmt.Errorf("onboard: Workers (%d) must be >= 1", o.Workers))
	}
	if o.Inspect.MaxRows < 1 {
		faults = append(faults, fmt.Errorf("onboard: Inspect.MaxRows (%d) must be >= 1", o.Inspect.MaxRows))
	}
	return errors.Join(faults...)
}

// A Note is something Init wants a person to know.
type Note struct {
	Kind    NoteKind
	Source  string // name of the source; "" for the whole configuration
	Message string
}

// NoteKind says what a person should do about a note.
type NoteKind string

// The kinds of note.
const (
	Found   NoteKind = "found"   // nothing
	Confirm NoteKind = "confirm" // look whether the guess is right
	Skipped NoteKind = "skipped" // files that were left out, and why
)

func (n Note) String() string {
	if n.Source == "" {
		return fmt.Sprintf("%s: %s", n.Kind, n.Message)
	}
	return fmt.Sprintf("%s: source %s: %s", n.Kind, n.Source, n.Message)
}

// NeedsPersonError says what only a person can know, for each group of files:
// nothing could be written.
type NeedsPersonError = recognise.NeedsPersonError

// ErrNoFiles is wrapped by the error of a glob that matches nothing.
var ErrNoFiles = recognise.ErrNoFiles

// Init writes a configuration for files never seen before. The text parses
// with config.Parse. Notes say what was found, what should be confirmed, and
// what was left out.
//
// When no file holds events, or something is missing that only a person can
// know, the error is a *NeedsPersonError that says exactly what; errors of
// reading come from datasets/scan.
func Init(ctx context.Context, o Options) (yaml []byte, notes []Note, err error) {
	if err := o.Validate(); err != nil {
		return nil, nil, err
	}
	groups, err := recognise.Groups(ctx, recognise.Files{FS: o.FS, Globs: o.Globs, Columns: o.Columns, Inspect: o.Inspect})
	if err != nil {
		return nil, nil, err
	}
	var usable []*recognise.Group
	var problems []string
	for _, g := range groups {
		if len(g.Found.Problems) == 0 {
			usable = append(usable, g)
			continue
		}
		for _, p := range g.Found.Problems {
			problems = append(problems, fmt.Sprintf("%s: %s", strings.Join(g.Paths, ", "), p))
		}
	}
	if len(usable) == 0 {
		return nil, nil, &NeedsPersonError{Problems: problems}
	}
	for _, p := range problems {
		notes = append(notes, Note{Skipped, "", p})
	}
	recognise.Name(usable)

	d := &draft{out: o.Out, groups: usable}
	if err := d.read(ctx, o); err != nil {
		return nil, notes, err
	}
	if err := d.decide(); err != nil {
		return nil, notes, err
	}
	yaml = d.render()
	notes = append(notes, d.notes...)
	if _, err := config.Parse("the configuration written by init", yaml, func(string) (string, bool) { return "", false }); err != nil {
		return nil, notes, fmt.Errorf("onboard: the columns found make no valid configuration: %w\n%s", err, yaml)
	}
	return yaml, notes, nil
}

// A draft is a configuration in the making, with the evidence for its choices.
type draft struct {
	out    string
	groups []*recognise.Group
	notes  []Note

	input  *history.Input // what the files hold, read with the mapping found
	census timeline.Census

	role      string // of the churn target
	churn     targets.Horizon
	activity  targets.Gaps  // between days with any event
	buyers    bool          // whether there are purchases
	span      int           // days from first to last event, both included
	date      timeline.AsOf // the newest day that seems whole
	snapshots int           // training snapshots that the history holds; 0 when it is too short for models
	rejected  float64
}

// read reads the events with the mapping found.
func (d *draft) read(ctx context.Context, o Options) error {
	sources := make([]scan.Source, len(d.groups))
	for i, g := range d.groups {
		sources[i] = g.Source()
	}
	in, err := history.Load(ctx, o.FS, scan.Input{Sources: sources}, history.Options{Zone: time.UTC, Workers: o.Workers, Before: history.Everything, Lean: true})
	if err != nil {
		return err
	}
	d.input = in
	if in.Log == nil {
		return fmt.Errorf("onboard: %w: %s", errNoEvents, in.WhyEmpty())
	}
	census, store, err := in.Census(ctx, timeline.DedupeNone, o.Workers)
	if err != nil {
		return err
	}
	d.census = census
	// An id that many events share does not identify them: as an event id it
	// would drop real events.
	mapped := slices.DeleteFunc(slices.Clone(d.groups), func(g *recognise.Group) bool { return g.Found.Fields[datasets.EventID] == nil })
	if len(mapped) > 0 {
		byID, _, err := in.Census(ctx, timeline.DedupeEventID, o.Workers)
		if err != nil {
			return err
		}
		if share := float64(byID.Duplicates) / float64(census.Events); share > 0.2 {
			for _, g := range mapped {
				g.Found.Notes = append(g.Found.Notes, fmt.Sprintf("%s was not taken for event_id: %s of the events repeat one", g.Found.Fields[datasets.EventID].Column.Path, prose.Percent(share)))
				g.Found.Fields[datasets.EventID] = nil
			}
		}
	}
	d.buyers = census.Roles[datasets.Purchase] > 0
	end := history.LastDay(census.Last, in.Zone)
	d.span = int(end.Today-history.LastDay(census.First, in.Zone).Today) + 1
	gaps, err := targets.CollectGaps(ctx, store, end, o.Workers, []targets.Behaviour{{Role: datasets.Purchase}, {Any: true}})
	if err != nil {
		return err
	}
	purchase, activity := gaps[0], gaps[1]
	d.activity = activity
	from := purchase
	d.role = datasets.Purchase.String()
	// Without purchases that repeat there is nothing to learn a window from:
	// fall back to activity of any kind.
	if purchase.Thin() && !activity.Thin() || !d.buyers {
		from, d.role = activity, config.RoleAny
	}
	if d.churn, err = targets.SuggestHorizon(from, d.span); err != nil {
		return err
	}
	d.date, err = wholeDay(ctx, store, end, history.LastDay(census.First, in.Zone).Today, o.Workers, in.Zone)
	return err
}

// wholeDay is the newest day whose events seem to have arrived in full, of the last two
// weeks: data are often taken in the middle of a day, and a run of that day would stop at a
// gate.
func wholeDay(ctx context.Context, store *timeline.Store, last timeline.AsOf, first int32, workers int, zone *time.Location) (timeline.AsOf, error) {
	bound := config.Default().Gates.VolumeFall.Fail.Value
	for back := range 14 {
		day := last.Add(-back, zone)
		p, err := quality.Measure(ctx, store, day, first, workers, nil)
		if err != nil || !p.Fallen(bound) {
			return day, err
		}
	}
	return last, nil
}

// decide settles what the file says beyond its sources.
func (d *draft) decide() error {
	first, last := history.LastDay(d.census.First, d.input.Zone), history.LastDay(d.census.Last, d.input.Zone)
	churn := targets.Target{Name: "churn", Kind: targets.Churn, Horizon: d.churn.Days}
	if schedule, err := churn.Schedule(last, first.Today, config.Default().Models.Snapshots, d.input.Zone); err != nil {
		d.notes = append(d.notes, Note{Confirm, "", fmt.Sprintf("%v; runs segment customers, and models wait for more history", err)})
	} else {
		d.snapshots = len(schedule.Train)
	}
	if r := d.input.RejectedShare(); r > 0.9*config.Default().Limits.RejectedShare {
		d.rejected = min(1, float64(int(20*r)+2)/20)
		d.notes = append(d.notes, Note{Confirm, "", fmt.Sprintf("%.0f%% of the rows cannot be used (%s); limits.rejected_share was raised to let a run pass", 100*r, d.input.Reasons())})
	}
	if d.activity.Thin() {
		d.notes = append(d.notes, Note{Confirm, "", fmt.Sprintf("%s customers come back on another day only %s times: is the customer id that of a person rather than of a visit?", prose.Thousands(d.activity.Customers), prose.Thousands(d.activity.ClosedTotal()))})
	}
	if d.churn.Thin {
		d.notes = append(d.notes, Note{Confirm, "", fmt.Sprintf("only %d gaps between active days of a customer were seen, too few to derive a churn window; %d days is a convention", d.churn.Closed, d.churn.Days)})
	}
	for _, g := range d.groups {
		if len(g.Found.Empty) > 0 {
			d.notes = append(d.notes, Note{Found, g.Name, fmt.Sprintf("not mapped, being null in every row: %s", strings.Join(g.Found.Empty, ", "))})
		}
		for _, n := range g.Found.Notes {
			d.notes = append(d.notes, Note{Confirm, g.Name, n})
		}
		if g.Found.Fields[datasets.EventType] == nil {
			message := fmt.Sprintf("no column is known to hold event types, so every row is taken for a %s", g.Role())
			if may := g.Found.EventTypes(); len(may) > 0 {
				message += fmt.Sprintf("; if %s says what happened, shoal init --column event_type=… with its name makes use of it", strings.Join(may, " or "))
			}
			d.notes = append(d.notes, Note{Confirm, g.Name, message})
		} else if !slices.ContainsFunc(g.Found.Types, func(t recognise.TypeRole) bool { return t.Role != datasets.Other }) {
			d.notes = append(d.notes, Note{Confirm, g.Name, fmt.Sprintf("none of the event types in %s is known; list them under roles, or they count as mere activity", g.Found.Fields[datasets.EventType].Column.Path)})
		}
		for _, t := range g.Found.Types {
			if t.Note != "" {
				d.notes = append(d.notes, Note{Confirm, g.Name, fmt.Sprintf("event type %q → %s: %s", t.Type, t.Role, t.Note)})
			}
		}
	}
	c := d.census
	d.notes = append(d.notes, Note{Found, "", fmt.Sprintf("%s customers, %s events, %s to %s; try shoal run --date %s",
		prose.Thousands(c.Customers), prose.Thousands(c.Events), first, last, d.date)})
	if d.date.Today < last.Today {
		d.notes = append(d.notes, Note{Found, "", fmt.Sprintf("after %s there are far fewer events than before, so %s seems not to have arrived in full", d.date, last)})
	}
	return nil
}

var errNoEvents = errors.New("no row could be used")
