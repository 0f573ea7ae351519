package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"time"

	"github.com/shoal-data/shoal/datasets/storage"
)

// pointerLease is how long a process that died while it swapped the pointer
// keeps others waiting. A swap takes milliseconds.
const pointerLease = time.Minute

// Commit closes the tables, puts them in place and swaps the pointer. It fills
// in what m says of the run's identity, tables, times and environment. On error
// nothing of the run is left, except when the error says that it is published.
func (s *Staging) Commit(ctx context.Context, m *Manifest) (err error) {
	if s.done {
		return fmt.Errorf("publish: run %s is at its end already", s.runID)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Abort())
		}
	}()
	names := slices.Sorted(maps.Keys(s.tables))
	m.Tables = make([]Table, 0, len(names))
	for _, name := range names {
		if err := s.tables[name].Close(); err != nil {
			return err
		}
		m.Tables = append(m.Tables, s.tables[name].table)
	}
	m.Models = s.models
	if len(s.models) > 0 {
		names = append(names, modelFiles)
	}
	m.Audiences = s.audiences
	if len(s.audiences) > 0 {
		names = append(names, AudienceFiles)
	}
	if m.Report = s.report; m.Report != nil {
		names = append(names, reportFiles)
	}
	if s.objects != nil {
		err = s.commitObjects(ctx, m)
	} else {
		err = s.commitFiles(ctx, m, names)
	}
	if err != nil {
		return err
	}
	// The run is published. What cannot be cleared away now, the next run of the
	// date finds through the lease; it is no failure of this one.
	_ = s.Abort()
	return nil
}

// commitFiles puts the staged directories in place and swaps the pointer.
func (s *Staging) commitFiles(ctx context.Context, m *Manifest, names []string) error {
	entry, err := s.stageManifest(ctx, m)
	if err != nil {
		return err
	}
	names = append(names, manifests) // last: it says that the tables are there
	for _, name := range names {
		if err := s.syncDir(ctx, s.dir+"/"+name); err != nil {
			return err
		}
	}
	if err := s.lease.renew(ctx); err != nil {
		return err
	}
	for _, name := range names {
		if err := s.place(ctx, name); err != nil {
			return err
		}
	}
	return s.swap(ctx, entry)
}

// stageManifest fills in the manifest and writes it, and _SUCCESS after it.
func (s *Staging) stageManifest(ctx context.Context, m *Manifest) (Current, error) {
	m.ManifestVersion = ManifestVersion
	m.Date, m.RunID = s.opts.Date, s.runID
	m.Started, m.Finished = s.started, s.opts.Now().UTC()
	m.ContentDigest = contentDigest(m)
	m.Environment = Environment{Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	// An absent list is an empty one: readers need not tell null from [].
	if m.Inputs == nil {
		m.Inputs = []Input{}
	}
	if m.Models == nil {
		m.Models = []File{}
	}
	if m.Counters == nil {
		m.Counters = map[string]int64{}
	}
	if m.Warnings == nil {
		m.Warnings = []Warning{}
	}
	data, err := Encode(m)
	if err != nil {
		return Current{}, fmt.Errorf("publish: manifest: %w", err)
	}
	mark, err := Encode(Success{Date: m.Date, Run: m.RunID, SHA256: sum(data)})
	if err != nil {
		return Current{}, fmt.Errorf("publish: _SUCCESS: %w", err)
	}
	dir := s.begin(manifests)
	if err := s.writeFile(ctx, dir+"/manifest.json", data); err != nil {
		return Current{}, err
	}
	if err := s.writeFile(ctx, dir+"/_SUCCESS", mark); err != nil {
		return Current{}, err
	}
	return Current{Run: m.RunID, Manifest: manifestDir(m.Date, m.RunID) + "/manifest.json", SHA256: sum(data)}, nil
}

// Encode is how manifests, _SUCCESS and the pointer are written, byte for byte.
func Encode(v any) ([]byte, error) {
	data, err := json.MarshalIndent(v, "", "  ")
	return append(data, '\n'), err
}

func (h *Hold) writeFile(ctx context.Context, file string, data []byte) error {
	return output("writing", file, storage.WriteFile(ctx, h.fsys, file, data))
}

// place renames a staged directory to where it stays, durably.
func (s *Staging) place(ctx context.Context, name string) error {
	to := Join(s.opts.Out, runDir(name, s.opts.Date, s.runID))
	if err := s.makeDir(ctx, parent(to)); err != nil {
		return err
	}
	s.placed = append(s.placed, to) // before the rename, whose error may not tell its outcome
	if err := s.fsys.Rename(ctx, s.dir+"/"+name, to); err != nil {
		return output("renaming into place", to, err)
	}
	return s.syncDir(ctx, parent(to))
}

// swap publishes: it makes the pointer name this run. Runs of other dates swap
// the same pointer, so they take turns.
func (s *Staging) swap(ctx context.Context, entry Current) error {
	turn := s.turn()
	if err := turn.await(ctx, s.runID); err != nil {
		return err
	}
	defer func() { _ = turn.release(context.WithoutCancel(ctx)) }() // else it expires
	if err := s.lease.renew(ctx); err != nil {
		return err
	}
	p, err := ReadPointer(ctx, s.fsys, s.opts.Out)
	if err != nil {
		return err
	}
	p.PointerVersion = pointerVersion
	p.Dates[s.opts.Date] = entry
	p.Latest = lastDate(p)
	data, err := Encode(p)
	if err != nil {
		return fmt.Errorf("publish: pointer: %w", err)
	}
	next, file := s.dir+"/current.json", Join(s.opts.Out, "current.json")
	if err := s.writeFile(ctx, next, data); err != nil {
		return err
	}
	// After too long a pause the pointer that was read may not be the last.
	if err := turn.held(ctx); err != nil {
		return err
	}
	err = s.fsys.Rename(ctx, next, file)
	if err == nil {
		err = s.fsys.SyncDir(ctx, s.opts.Out)
	}
	if err == nil {
		s.published = true
		return nil
	}
	// A lost answer is not a refusal. The pointer knows, and while it cannot be
	// asked nothing that it may name is touched.
	ctx = context.WithoutCancel(ctx)
	p, readErr := ReadPointer(ctx, s.fsys, s.opts.Out)
	switch {
	case readErr != nil:
		s.inDoubt = true
		return fmt.Errorf("publish: it is unknown whether run %s is published, and its files are kept: %w", s.runID, errors.Join(output("replacing", file, err), readErr))
	case p.Dates[s.opts.Date] != entry:
		return output("replacing", file, err)
	}
	s.published = true
	if s.fsys.SyncDir(ctx, s.opts.Out) == nil {
		return nil
	}
	return fmt.Errorf("publish: run %s is published, but may not outlast a power failure: %w", s.runID, output("syncing", s.opts.Out, err))
}

// await acquires the lease, however often others come first, as long as none
// holds it for longer than it may.
func (l *lease) await(ctx context.Context, run string) error {
	const pause = 20 * time.Millisecond
	for waited := time.Duration(0); ; waited += pause {
		expired, err := l.acquire(ctx, run, "")
		if err == nil {
			for _, n := range expired {
				err = errors.Join(err, output("removing", n.file, l.fsys.RemoveAll(ctx, n.file)))
			}
			if err != nil {
				return errors.Join(err, l.release(context.WithoutCancel(ctx)))
			}
			return nil
		}
		if !errors.Is(err, ErrBusy) || waited > 2*l.ttl {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("publish: waiting to replace current.json: %w", ctx.Err())
		case <-time.After(pause):
		}
	}
}

// Abort takes the run back: everything it wrote and every directory it made,
// out included. After Commit, or a second time, it does nothing. What it cannot
// remove keeps its lease, by which the next run of the date finds it.
func (s *Staging) Abort() error {
	if s.done {
		return nil
	}
	s.done = true
	s.stop()
	ctx := context.WithoutCancel(s.ctx)
	for _, t := range s.tables {
		t.drop()
	}
	if s.inDoubt {
		return nil
	}
	var faults []error
	// Whoever took the date over has removed what was placed, and may have put a
	// run of the same id there.
	if !s.published && len(s.placed) > 0 {
		mine, err := s.holds(ctx)
		faults = append(faults, err)
		for _, dir := range slices.Backward(s.placed) { // the manifest first
			if mine {
				faults = append(faults, s.remove(ctx, dir))
			}
		}
	}
	if s.objects == nil {
		faults = append(faults, s.remove(ctx, s.dir))
	}
	if errors.Join(faults...) == nil {
		faults = append(faults, s.lease.release(ctx))
	}
	if !s.published {
		faults = append(faults, s.removeMade(ctx))
	}
	return errors.Join(faults...)
}
