// Package runs looks at what has been published: which runs there are, whether
// they are as they were written, and what nobody needs any more.
package runs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/jobs/publish"
)

// The states of a run.
const (
	Current    = "current"    // what readers of its date see
	Replaced   = "replaced"   // another run of its date came after it
	Unnamed    = "unnamed"    // whole, but the pointer has no run of its date
	Unfinished = "unfinished" // it has no _SUCCESS: its writer is at work, or died
)

// A Run is one run of a date, published or not.
type Run struct {
	Date     string    `json:"date"`
	ID       string    `json:"run_id"`
	State    string    `json:"state"`
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
	Version  string    `json:"version,omitempty"`
	Tables   int       `json:"tables"`
	Rows     int64     `json:"rows"`
	Files    int       `json:"files"`
	Bytes    int64     `json:"bytes"`
	Manifest string    `json:"manifest,omitempty"`   // path relative to out
	Until    string    `json:"keep_until,omitempty"` // the last day that privacy.retention lets it be kept
	Fault    string    `json:"fault,omitempty"`      // why its manifest cannot be read
}

// A Listing is everything that lies under one out.
type Listing struct {
	Out     string           `json:"out"`
	Latest  string           `json:"latest,omitempty"` // the last date that the pointer names
	Runs    []Run            `json:"runs"`             // by date and by when they finished
	Holders []publish.Holder `json:"at_work"`          // who holds a date
}

// List lists the runs under out. A run whose manifest cannot be read is listed
// with its fault.
func List(ctx context.Context, fsys storage.FS, out string, now time.Time) (*Listing, error) {
	out = publish.Clean(out)
	pointer, err := publish.ReadPointer(ctx, fsys, out)
	if err != nil {
		return nil, err
	}
	l := &Listing{Out: out, Latest: pointer.Latest, Runs: []Run{}, Holders: []publish.Holder{}}
	files, err := glob(ctx, fsys, out, "*/ds=*/run=*/**", "*/ds=*/run=*/_SUCCESS")
	if err != nil {
		return nil, err
	}
	whole, found := map[place]bool{}, map[place]bool{}
	for _, f := range files {
		at, ok := locate(out, f.Path)
		if !ok {
			continue
		}
		found[place{at.date, at.run, ""}] = true
		if at.table == manifests && path.Base(f.Path) == "_SUCCESS" {
			whole[place{at.date, at.run, ""}] = true
		}
	}
	for p := range found {
		r := Run{Date: p.date, ID: p.run}
		c, named := pointer.Dates[p.date]
		switch {
		case named && c.Run == p.run:
			r.State = Current
		case !whole[p]:
			r.State = Unfinished
		case named:
			r.State = Replaced
		default:
			r.State = Unnamed
		}
		if !whole[p] && r.State == Current { // it was whole when the pointer came to name it
			r.Fault = "the pointer names it, and it has no _SUCCESS"
		}
		if whole[p] {
			m, err := publish.ReadManifest(ctx, fsys, out, p.date, p.run)
			switch {
			case err == nil:
				r.fill(m)
			case errors.Is(err, publish.ErrDamaged) || errors.Is(err, fs.ErrNotExist):
				r.Fault = err.Error()
			default:
				return nil, err
			}
		}
		l.Runs = append(l.Runs, r)
	}
	for date, c := range pointer.Dates {
		if !found[place{date, c.Run, ""}] {
			l.Runs = append(l.Runs, Run{Date: date, ID: c.Run, State: Current, Fault: "the pointer names it, and nothing of it is there"})
		}
	}
	slices.SortFunc(l.Runs, func(a, b Run) int {
		return cmp.Or(cmp.Compare(a.Date, b.Date), a.Finished.Compare(b.Finished), cmp.Compare(a.ID, b.ID))
	})
	holders, err := publish.Holders(ctx, fsys, out, now)
	if err != nil {
		return nil, err
	}
	for _, h := range holders {
		if h.Date != "" && !h.Void {
			l.Holders = append(l.Holders, h)
		}
	}
	return l, nil
}

func (r *Run) fill(m *publish.Manifest) {
	r.Started, r.Finished, r.Version, r.Tables, r.Manifest = m.Started, m.Finished, m.ToolVersion, len(m.Tables), m.Path()
	if m.DataUse != nil {
		r.Until = m.DataUse.KeepUntil
	}
	for _, t := range m.Tables {
		r.Rows += t.Rows
		for _, f := range t.Files {
			r.Files++
			r.Bytes += f.Bytes
		}
	}
}

// Lost says that runs lie here whole, that no pointer names any, and that nobody is at work
// who might be about to: the pointer is gone.
func (l *Listing) Lost() bool {
	return len(l.Holders) == 0 && !slices.ContainsFunc(l.Runs, func(r Run) bool { return r.State == Current }) &&
		slices.ContainsFunc(l.Runs, func(r Run) bool { return r.State == Unnamed })
}

// Find returns the run that a user means: by its id or the beginning of it, by a
// date (its current run), or by the word latest.
func (l *Listing) Find(name string) (Run, error) {
	var found []Run
	for _, r := range l.Runs {
		switch {
		case name == r.ID, name == r.Date && r.State == Current, name == "latest" && r.Date == l.Latest && r.State == Current:
			found = append(found, r)
		}
	}
	if len(found) == 0 && len(name) >= 4 {
		for _, r := range l.Runs {
			if strings.HasPrefix(r.ID, name) {
				found = append(found, r)
			}
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return Run{}, fmt.Errorf("no run %q under %s: shoal runs lists those there are; a run is named by its id, the beginning of it, its date, or latest: %w", name, l.Out, fs.ErrNotExist)
	}
	var names []string
	for _, r := range found {
		names = append(names, r.ID+" of "+r.Date)
	}
	return Run{}, fmt.Errorf("%q may be %s: write more of the id", name, strings.Join(names, ", or "))
}

const manifests = "manifests"

// A place is where a file of a run lies.
type place struct{ date, run, table string }

// locate reads <out>/<table>/ds=<date>/run=<id>/….
func locate(out, file string) (place, bool) {
	parts := strings.Split(strings.TrimPrefix(file, out+"/"), "/")
	if len(parts) < 4 {
		return place{}, false
	}
	date, isDate := strings.CutPrefix(parts[1], "ds=")
	run, isRun := strings.CutPrefix(parts[2], "run=")
	return place{date, run, parts[0]}, isDate && isRun
}

// glob lists the files below out that match any of the patterns.
func glob(ctx context.Context, fsys storage.FS, out string, patterns ...string) ([]storage.Info, error) {
	var all []storage.Info
	for _, p := range patterns {
		infos, err := fsys.Glob(ctx, publish.Join(storage.QuoteMeta(out), p))
		if err != nil {
			return nil, publish.OutputError("reading", out, err)
		}
		all = append(all, infos...)
	}
	return all, nil
}
