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
	"maps"
	"path"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/config"
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

// A NeedsPersonError says what only a person can know, for each group of
// files: nothing could be written.
type NeedsPersonError struct{ Problems []string }

func (e *NeedsPersonError) Error() string {
	return "onboard: " + strings.Join(e.Problems, "\nonboard: ")
}

// A group is files of one schema: a source in the making.
type group struct {
	name    string
	paths   []string
	profile scan.Profile
	found   *recognition
	notes   []Note
}

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
	groups, err := groupFiles(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	var usable []*group
	var problems []string
	for _, g := range groups {
		g.found = recognise(&g.profile, o.Columns)
		if len(g.found.problems) == 0 {
			usable = append(usable, g)
			continue
		}
		for _, p := range g.found.problems {
			problems = append(problems, fmt.Sprintf("%s: %s", strings.Join(g.paths, ", "), p))
		}
	}
	if len(usable) == 0 {
		return nil, nil, &NeedsPersonError{Problems: problems}
	}
	for _, p := range problems {
		notes = append(notes, Note{Skipped, "", p})
	}
	nameGroups(usable)

	d := &draft{out: o.Out, groups: usable}
	if err := d.read(ctx, o); err != nil {
		return nil, notes, err
	}
	if err := d.decide(); err != nil {
		return nil, notes, err
	}
	yaml = d.render()
	for _, g := range usable {
		notes = append(notes, g.notes...)
	}
	notes = append(notes, d.notes...)
	if _, err := config.Parse("the configuration written by init", yaml, func(string) (string, bool) { return "", false }); err != nil {
		return nil, notes, fmt.Errorf("onboard: the columns found make no valid configuration: %w\n%s", err, yaml)
	}
	return yaml, notes, nil
}

// groupFiles resolves the globs and gathers those whose files share a schema.
func groupFiles(ctx context.Context, o Options) ([]*group, error) {
	var paths []string
	for _, g := range o.Globs {
		p, err := resolve(ctx, o.FS, g)
		if err != nil {
			return nil, err
		}
		paths = append(paths, p)
	}
	if len(paths) == 1 {
		profile, err := scan.Inspect(ctx, o.FS, paths, o.Inspect)
		if err != nil {
			return nil, err
		}
		g := &group{paths: paths, profile: profile}
		if err := uniform(ctx, o, g); err != nil {
			return nil, err
		}
		return []*group{g}, nil
	}
	// A shell may have expanded one glob into hundreds of files: look at a few
	// rows of each to tell schemas apart, then profile each group as a whole.
	var groups []*group
	bySchema := map[string]*group{}
	for _, p := range paths {
		few := o.Inspect
		few.MaxRows = 1
		profile, err := scan.Inspect(ctx, o.FS, []string{p}, few)
		if err != nil {
			return nil, err
		}
		key := schemaKey(&profile)
		g := bySchema[key]
		if g == nil {
			g = &group{}
			bySchema[key] = g
			groups = append(groups, g)
		}
		if !slices.Contains(g.paths, p) {
			g.paths = append(g.paths, p)
		}
	}
	for _, g := range groups {
		var err error
		if g.profile, err = scan.Inspect(ctx, o.FS, g.paths, o.Inspect); err != nil {
			return nil, err
		}
		if err := uniform(ctx, o, g); err != nil {
			return nil, err
		}
	}
	return groups, nil
}

// resolve turns a directory into the glob of the Parquet files below it.
func resolve(ctx context.Context, fsys storage.FS, pattern string) (string, error) {
	for _, p := range []string{pattern, strings.TrimSuffix(pattern, "/") + "/**/*.parquet"} {
		infos, err := fsys.Glob(ctx, p)
		if err != nil {
			return "", fmt.Errorf("onboard: %s: %w", p, err)
		}
		if len(infos) > 0 {
			return p, nil
		}
	}
	return "", fmt.Errorf("onboard: no file matches %s, nor is it a directory with .parquet files: %w", pattern, ErrNoFiles)
}

// ErrNoFiles is wrapped by the error of a glob that matches nothing.
var ErrNoFiles = errors.New("no input files")

func schemaKey(p *scan.Profile) string {
	var cols []string
	for _, c := range p.Columns {
		cols = append(cols, fmt.Sprintf("%q %v", c.Path, c.Kind))
	}
	slices.Sort(cols)
	return strings.Join(cols, "\n")
}

// uniform refuses a glob over files of which some lack the customer or the
// time: a source needs both in every file, and which files were meant only a
// person knows.
func uniform(ctx context.Context, o Options, g *group) error {
	r := recognise(&g.profile, o.Columns)
	for _, f := range []datasets.Field{datasets.CustomerID, datasets.EventTime} {
		c := r.fields[f]
		if c == nil || c.column.Files == g.profile.Files {
			continue
		}
		var without []string
		for _, p := range g.paths {
			infos, err := o.FS.Glob(ctx, p)
			if err != nil {
				return fmt.Errorf("onboard: %s: %w", p, err)
			}
			for _, info := range infos {
				profile, err := scan.Inspect(ctx, o.FS, []string{info.Path}, scan.InspectOptions{MaxRows: 1})
				if err != nil {
					return err
				}
				if !slices.ContainsFunc(profile.Columns, func(x scan.ColumnProfile) bool { return x.Path == c.column.Path }) {
					without = append(without, info.Path)
				}
				if len(without) == 5 {
					break
				}
			}
		}
		return &NeedsPersonError{Problems: []string{fmt.Sprintf(
			"%s: %d of %d files lack %s, which holds the %s of the others (first: %s); narrow the glob to the files that hold events, or name the files one by one",
			strings.Join(g.paths, ", "), g.profile.Files-c.column.Files, g.profile.Files, c.column.Path, f, strings.Join(without, ", "))}}
	}
	return nil
}

var notIdentifier = regexp.MustCompile(`[^a-z0-9]+`)

// nameGroups names sources after their files when there are several.
func nameGroups(groups []*group) {
	taken := map[string]bool{}
	for i, g := range groups {
		name := config.DefaultSource(i).Name
		if len(groups) > 1 {
			base := path.Base(g.paths[0])
			if strings.Contains(base, "*") {
				base = path.Base(path.Dir(strings.TrimRight(g.paths[0][:strings.IndexByte(g.paths[0], '*')], "/") + "/x"))
			}
			base = strings.Trim(notIdentifier.ReplaceAllString(strings.ToLower(strings.TrimSuffix(base, ".parquet")), "_"), "_")
			if len(base) > 0 && len(base) <= 40 && base[0] >= 'a' && base[0] <= 'z' && !taken[base] {
				name = base
			}
		}
		taken[name] = true
		g.name = name
	}
}

// A draft is a configuration in the making, with the evidence for its choices.
type draft struct {
	out    string
	groups []*group
	notes  []Note

	input  *input // what the files hold, read with the mapping found
	census timeline.Census

	role      string // of the churn target
	churn     horizon
	activity  gapCounts // between days with any event
	buyers    bool      // whether there are purchases
	span      int       // days from first to last event, both included
	snapshots int       // training snapshots that the history holds; 0 when it is too short for models
	rejected  float64
}

// source is a group the way the reader takes it, with the fields that decide
// whether a row can be used. The currency is left out: a mixture of currencies
// is to be told, not to stop at.
func (g *group) source() scan.Source {
	s := scan.Source{Name: g.name, Paths: g.paths, Columns: map[datasets.Field]string{}}
	for _, f := range []datasets.Field{
		datasets.CustomerID, datasets.EventTime, datasets.EventType, datasets.Amount, datasets.Quantity,
		datasets.Rating, datasets.EventID, datasets.Consent,
	} {
		if c := g.found.fields[f]; c != nil {
			s.Columns[f] = c.column.Path
		}
	}
	if g.found.fields[datasets.EventType] == nil {
		s.Role = g.role()
	} else {
		s.Roles = map[string]datasets.Role{}
		for _, t := range g.found.types {
			if t.Role != datasets.Other {
				s.Roles[t.Type] = t.Role
			}
		}
	}
	s.TimeUnit, _ = scan.ParseUnit(g.unit())
	return s
}

// role is what every row of a group without event types is taken for.
func (g *group) role() datasets.Role {
	if g.found.fields[datasets.Amount] != nil {
		return datasets.Purchase
	}
	return datasets.View
}

func (g *group) unit() string {
	if g.found.timeUnit == "" {
		return "auto"
	}
	return g.found.timeUnit
}

// read reads the events with the mapping found.
func (d *draft) read(ctx context.Context, o Options) error {
	sources := make([]scan.Source, len(d.groups))
	for i, g := range d.groups {
		sources[i] = g.source()
	}
	in, err := load(ctx, o.FS, sources, loadOptions{zone: time.UTC, workers: o.Workers, before: everything, lean: true})
	if err != nil {
		return err
	}
	d.input = in
	if in.log == nil {
		return fmt.Errorf("onboard: %w: %s", errNoEvents, in.whyEmpty())
	}
	census, store, err := in.census(ctx, timeline.DedupeNone, o.Workers)
	if err != nil {
		return err
	}
	d.census = census
	// An id that many events share does not identify them: as an event id it
	// would drop real events.
	mapped := slices.DeleteFunc(slices.Clone(d.groups), func(g *group) bool { return g.found.fields[datasets.EventID] == nil })
	if len(mapped) > 0 {
		byID, _, err := in.census(ctx, timeline.DedupeEventID, o.Workers)
		if err != nil {
			return err
		}
		if share := float64(byID.Duplicates) / float64(census.Events); share > 0.2 {
			for _, g := range mapped {
				g.found.notes = append(g.found.notes, fmt.Sprintf("%s was not taken for event_id: %s of the events repeat one", g.found.fields[datasets.EventID].column.Path, percent(share)))
				g.found.fields[datasets.EventID] = nil
			}
		}
	}
	d.buyers = census.Roles[datasets.Purchase] > 0
	end := lastDay(census.Last, in.zone)
	d.span = int(end.Today-lastDay(census.First, in.zone).Today) + 1
	gaps, err := collectGaps(ctx, store, end, o.Workers, []behaviour{{Role: datasets.Purchase}, {Any: true}})
	if err != nil {
		return err
	}
	purchase, activity := gaps[0], gaps[1]
	d.activity = activity
	from := purchase
	d.role = datasets.Purchase.String()
	// Without purchases that repeat there is nothing to learn a window from:
	// fall back to activity of any kind.
	if purchase.thin() && !activity.thin() || !d.buyers {
		from, d.role = activity, config.RoleAny
	}
	d.churn, err = suggestHorizon(from, d.span)
	return err
}

// decide settles what the file says beyond its sources.
func (d *draft) decide() error {
	first, last := lastDay(d.census.First, d.input.zone), lastDay(d.census.Last, d.input.zone)
	churn := targets.Target{Name: "churn", Kind: targets.Churn, Horizon: d.churn.Days}
	if schedule, err := churn.Schedule(last, first.Today, config.Default().Models.Snapshots, d.input.zone); err != nil {
		d.notes = append(d.notes, Note{Confirm, "", fmt.Sprintf("%v; runs segment customers, and models wait for more history", err)})
	} else {
		d.snapshots = len(schedule.Train)
	}
	if r := d.input.rejectedShare(); r > 0.9*config.Default().Limits.RejectedShare {
		d.rejected = min(1, float64(int(20*r)+2)/20)
		d.notes = append(d.notes, Note{Confirm, "", fmt.Sprintf("%.0f%% of the rows cannot be used (%s); limits.rejected_share was raised to let a run pass", 100*r, d.input.reasons())})
	}
	if d.activity.thin() {
		d.notes = append(d.notes, Note{Confirm, "", fmt.Sprintf("%s customers come back on another day only %s times: is the customer id that of a person rather than of a visit?", thousands(d.activity.Customers), thousands(d.activity.closed()))})
	}
	if d.churn.Thin {
		d.notes = append(d.notes, Note{Confirm, "", fmt.Sprintf("only %d gaps between active days of a customer were seen, too few to derive a churn window; %d days is a convention", d.churn.Closed, d.churn.Days)})
	}
	for _, g := range d.groups {
		if len(g.found.empty) > 0 {
			g.notes = append(g.notes, Note{Found, g.name, fmt.Sprintf("not mapped, being null in every row: %s", strings.Join(g.found.empty, ", "))})
		}
		for _, n := range g.found.notes {
			g.notes = append(g.notes, Note{Confirm, g.name, n})
		}
		if g.found.fields[datasets.EventType] == nil {
			g.notes = append(g.notes, Note{Confirm, g.name, fmt.Sprintf("no column holds event types, so every row is taken for a %s", g.role())})
		} else if !slices.ContainsFunc(g.found.types, func(t typeRole) bool { return t.Role != datasets.Other }) {
			g.notes = append(g.notes, Note{Confirm, g.name, fmt.Sprintf("none of the event types in %s is known; list them under roles, or they count as mere activity", g.found.fields[datasets.EventType].column.Path)})
		}
		for _, t := range g.found.types {
			if t.Note != "" {
				g.notes = append(g.notes, Note{Confirm, g.name, fmt.Sprintf("event type %q → %s: %s", t.Type, t.Role, t.Note)})
			}
		}
	}
	c := d.census
	d.notes = append(d.notes, Note{Found, "", fmt.Sprintf("%s customers, %s events, %s to %s; try shoal run --date %s",
		thousands(c.Customers), thousands(c.Events), first, last, last)})
	return nil
}

// rolesOf gathers a group's event types by role, in the order of roles, each
// by falling count.
func (g *group) rolesOf() map[datasets.Role][]typeRole {
	m := map[datasets.Role][]typeRole{}
	for _, t := range g.found.types {
		m[t.Role] = append(m[t.Role], t)
	}
	return m
}

func sortedRoles[V any](m map[datasets.Role]V) []datasets.Role { return slices.Sorted(maps.Keys(m)) }
