package runs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/jobs/publish"
)

// CollectOptions say what Collect may remove.
type CollectOptions struct {
	FS  storage.FS
	Out string
	// Keep is how long a run stays after another replaced it: readers that began
	// with it may still be reading.
	Keep   time.Duration
	DryRun bool
	Now    func() time.Time
}

// Garbage is what Collect removes, or would: one directory or file.
type Garbage struct {
	Path  string `json:"path"` // relative to out
	Why   string `json:"why"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
}

// A Collection says what Collect did.
type Collection struct {
	Out     string    `json:"out"`
	DryRun  bool      `json:"dry_run"`
	Removed []Garbage `json:"removed"`
	Busy    []string  `json:"busy"` // dates that are held: nothing of theirs was touched
}

// Collect removes what nobody will read, or may read: what dead writers left, runs that
// were replaced at least Keep ago, and runs whose retention is over, which the pointer
// names no more before their files go. What else the pointer names stays, and so does
// everything of a date that a living writer holds: each date is held while it is cleaned.
func Collect(ctx context.Context, o CollectOptions) (*Collection, error) {
	o.Out = publish.Clean(o.Out)
	c := &Collection{Out: o.Out, DryRun: o.DryRun, Removed: []Garbage{}, Busy: []string{}}
	found, err := o.garbage(ctx)
	if err != nil {
		return nil, err
	}
	for _, date := range slices.Sorted(maps.Keys(found)) {
		g := found[date]
		switch {
		case g.busy:
			c.Busy = append(c.Busy, date)
			continue
		case !o.DryRun:
			if err := o.clean(ctx, date, g.all); err != nil {
				if errors.Is(err, publish.ErrBusy) {
					c.Busy = append(c.Busy, date)
					continue
				}
				return c, err
			}
		}
		c.Removed = append(c.Removed, g.all...)
	}
	return c, nil
}

// ofDate is what can go of one date.
type ofDate struct {
	busy bool
	all  []Garbage
}

// garbage lists what can go, by date; what is of no date has the date "".
func (o *CollectOptions) garbage(ctx context.Context) (map[string]*ofDate, error) {
	l, err := List(ctx, o.FS, o.Out, o.Now())
	if err != nil {
		return nil, err
	}
	holders, err := publish.Holders(ctx, o.FS, o.Out, o.Now())
	if err != nil {
		return nil, err
	}
	files, err := glob(ctx, o.FS, o.Out, "*/ds=*/run=*/**", "*/ds=*/run=*/_*", ".staging-*/**", ".lease-*.json", ".probe-*")
	if err != nil {
		return nil, err
	}
	dates := map[string]*ofDate{}
	at := func(date string) *ofDate {
		if dates[date] == nil {
			dates[date] = &ofDate{}
		}
		return dates[date]
	}
	void, crashed := map[string]bool{}, map[place]bool{}
	for _, h := range holders {
		if h.Void {
			void[h.File] = true
			crashed[place{h.Date, h.Run, ""}] = true
			continue
		}
		if h.Date != "" {
			at(h.Date).busy = true
		}
	}
	why := map[place]string{}
	for i, r := range l.Runs {
		if w := o.unwanted(l.Runs, i, crashed); w != "" {
			why[place{r.Date, r.ID, ""}] = w
		}
	}
	index := map[string]int{} // garbage path → its position among its date's
	add := func(date, dir, why string, f storage.Info) {
		d := at(date)
		i, ok := index[dir]
		if !ok {
			i = len(d.all)
			index[dir] = i
			d.all = append(d.all, Garbage{Path: dir, Why: why})
		}
		d.all[i].Files++
		d.all[i].Bytes += f.Size
	}
	counted := map[string]bool{} // patterns overlap
	for _, f := range files {
		rel := strings.TrimPrefix(f.Path, o.Out+"/")
		if counted[rel] {
			continue
		}
		counted[rel] = true
		switch p, ok := locate(o.Out, f.Path); {
		case ok && isDate(p.date):
			if w := why[place{p.date, p.run, ""}]; w != "" {
				add(p.date, p.table+"/ds="+p.date+"/run="+p.run, w, f)
			}
		case strings.HasPrefix(rel, ".staging-"):
			dir, _, _ := strings.Cut(rel, "/")
			date := strings.TrimPrefix(dir, ".staging-")
			if len(date) > len(time.DateOnly) && isDate(date[:len(time.DateOnly)]) {
				add(date[:len(time.DateOnly)], dir, "staged by a run that is gone", f)
			}
		case void[f.Path]:
			of, _, _ := strings.Cut(strings.TrimPrefix(rel, ".lease-"), ".")
			date, _ := strings.CutPrefix(of, "ds=")
			if date == of {
				date = "" // the pointer's
			}
			add(date, rel, "lease of a run that is gone", f)
		case strings.HasPrefix(rel, ".probe-") && o.Now().Sub(f.ModTime) > time.Hour:
			add("", rel, "probe of a run that is gone", f)
		}
	}
	for _, d := range dates {
		if d.busy {
			d.all = nil
		}
	}
	maps.DeleteFunc(dates, func(_ string, d *ofDate) bool { return !d.busy && len(d.all) == 0 })
	return dates, nil
}

func isDate(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}

// unwanted says why run i may go, or nothing.
func (o *CollectOptions) unwanted(all []Run, i int, crashed map[place]bool) string {
	r := all[i]
	if r.Until != "" && o.Now().UTC().Format(time.DateOnly) > r.Until {
		return "was to be kept until " + r.Until
	}
	switch r.State {
	case Unfinished:
		return "never published"
	case Replaced:
		if crashed[place{r.Date, r.ID, ""}] {
			return "never published: its writer died before the pointer named it"
		}
		// It was in use until the next run of its date was published.
		var replaced time.Time
		for _, n := range all {
			if n.Date == r.Date && n.Finished.After(r.Finished) && (replaced.IsZero() || n.Finished.Before(replaced)) {
				replaced = n.Finished
			}
		}
		if replaced.IsZero() { // its own time is not known, or the pointer was set back by hand
			for _, n := range all {
				if n.Date == r.Date && n.State == Current {
					replaced = n.Finished
				}
			}
		}
		if !replaced.IsZero() && o.Now().Sub(replaced) >= o.Keep {
			return fmt.Sprintf("replaced %s", replaced.UTC().Format(time.DateOnly))
		}
	case Unnamed:
		if crashed[place{r.Date, r.ID, ""}] {
			return "never published: its writer died before the pointer named it"
		}
	}
	return ""
}

// clean removes what of a date can go, while it holds the date.
func (o *CollectOptions) clean(ctx context.Context, date string, garbage []Garbage) (err error) {
	if date == "" {
		for _, g := range garbage {
			if err := o.remove(ctx, g.Path); err != nil {
				return err
			}
		}
		return nil
	}
	opts := publish.DefaultOptions(o.Out, date, "")
	opts.Now = o.Now
	h, err := publish.Take(ctx, o.FS, opts) // which removes what was never published
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Release()) }()
	// Others may have published, or put the pointer back, since it was looked at.
	l, err := List(h.Context(), o.FS, o.Out, o.Now())
	if err != nil {
		return err
	}
	gone := map[string]bool{}
	for i, r := range l.Runs {
		if r.Date != date || r.State == Unfinished || o.unwanted(l.Runs, i, nil) == "" {
			continue
		}
		if r.State == Current {
			if err := h.Withdraw(h.Context(), r.ID); err != nil {
				return err
			}
		}
		gone[r.ID] = true
	}
	// A run's manifest goes first: from then on the run is not published, and
	// whoever comes next removes the rest if this process dies.
	for _, first := range []bool{true, false} {
		for _, g := range garbage {
			p, ok := locate(o.Out, g.Path+"/")
			if ok && gone[p.run] && first == (p.table == manifests) {
				if err := o.remove(h.Context(), g.Path); err != nil {
					return err
				}
			}
		}
	}
	tables := map[string]bool{}
	for _, g := range garbage {
		if p, ok := locate(o.Out, g.Path+"/"); ok {
			tables[p.table] = true
		}
	}
	for t := range tables {
		dir := publish.Join(o.Out, t+"/ds="+date)
		if err := o.FS.RemoveEmpty(ctx, dir, dir); err != nil {
			return publish.OutputError("removing", dir, err)
		}
	}
	return nil
}

func (o *CollectOptions) remove(ctx context.Context, rel string) error {
	file := publish.Join(o.Out, rel)
	return publish.OutputError("removing", file, o.FS.RemoveAll(ctx, file))
}
