package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/jobs/publish/internal/process"
)

// A lease is the right to publish one date, or to swap the pointer, for a
// while. It is a file <out>/.lease-<name>.<epoch>.json, created exclusively;
// the highest epoch holds the lease. Renewing it and taking an expired one over
// both create the next epoch, so of those who try, one succeeds. No file is
// ever rewritten: a holder whose file is gone has lost the lease for good.
type lease struct {
	fsys storage.FS
	out  string
	of   string // what it is a lease on
	ttl  time.Duration
	now  func() time.Time

	mu   sync.Mutex
	note leaseNote
	data []byte // of the lease file, to know it again
	old  []int  // epochs of this lease whose files could not be removed
	lost bool
}

// leaseNote is what a lease file says.
type leaseNote struct {
	Run     string    `json:"run"`
	Staging string    `json:"staging,omitempty"` // directory below out, removed with the lease
	Epoch   int       `json:"epoch"`
	Expires time.Time `json:"expires"`
	Host    string    `json:"host"` // said to people, not relied on
	process.ID

	file string
}

// void reports whether nobody holds the lease any more: it has expired, or its
// holder's process is seen to be gone.
func (n leaseNote) void(now time.Time) bool { return !n.Expires.After(now) || n.Gone() }

const maxNote = 1 << 16 // bytes

// tornLease is how long a lease file without a note counts.
const tornLease = 5 * time.Second

func (l *lease) path(epoch int) string {
	return Join(l.out, fmt.Sprintf(".lease-%s.%d.json", l.of, epoch))
}

// list reads the files of this lease, by epoch.
func (l *lease) list(ctx context.Context) ([]leaseNote, error) {
	infos, err := l.fsys.Glob(ctx, storage.QuoteMeta(Join(l.out, ".lease-"+l.of))+".*.json")
	if err != nil {
		return nil, output("reading leases in", l.out, err)
	}
	var notes []leaseNote
	for _, info := range infos {
		dots := strings.Split(info.Path, ".")
		epoch, err := strconv.Atoi(dots[len(dots)-2])
		if err != nil {
			continue // not one of ours
		}
		var n leaseNote
		data, err := storage.ReadFile(ctx, l.fsys, info.Path, maxNote)
		if errors.Is(err, fs.ErrNotExist) {
			continue // released since it was listed
		}
		if err != nil {
			return nil, output("reading", info.Path, err)
		}
		if json.Unmarshal(data, &n) != nil {
			// Being written, or cut short by a crash: its holder has staged nothing of
			// this epoch, and writes the note in one go if he lives.
			n = leaseNote{Expires: info.ModTime.Add(tornLease)}
		}
		n.Epoch, n.file = epoch, info.Path
		notes = append(notes, n)
	}
	slices.SortFunc(notes, func(a, b leaseNote) int { return a.Epoch - b.Epoch })
	return notes, nil
}

// A Holder is who holds a date.
type Holder struct {
	Date    string    `json:"date"`
	Run     string    `json:"run,omitempty"` // once its id is known
	Host    string    `json:"host"`
	PID     int       `json:"pid"`
	Expires time.Time `json:"expires"`
	Void    bool      `json:"void"` // expired, or its process is gone
	File    string    `json:"-"`    // the lease
	Staging string    `json:"-"`    // directory below out
}

// Holders lists the leases on dates, and those on the pointer, whose Date is
// empty.
func Holders(ctx context.Context, fsys storage.FS, out string, now time.Time) ([]Holder, error) {
	out = Clean(out)
	infos, err := fsys.Glob(ctx, storage.QuoteMeta(Join(out, ".lease-"))+"*.json")
	if err != nil {
		return nil, output("reading leases in", out, err)
	}
	var all []Holder
	seen := map[string]bool{}
	for _, info := range infos {
		of, _, _ := strings.Cut(strings.TrimPrefix(path.Base(info.Path), ".lease-"), ".")
		if seen[of] {
			continue
		}
		seen[of] = true
		notes, err := (&lease{fsys: fsys, out: out, of: of}).list(ctx)
		if err != nil {
			return nil, err
		}
		for _, n := range notes {
			date, _ := strings.CutPrefix(of, "ds=")
			if of == pointerTurn {
				date = ""
			}
			all = append(all, Holder{date, n.Run, n.Host, n.PID, n.Expires, n.void(now), n.file, n.Staging})
		}
	}
	return all, nil
}

// acquire takes the lease and returns the void ones that it replaces, for
// the caller to clear up after and then remove.
func (l *lease) acquire(ctx context.Context, run, staging string) (void []leaseNote, err error) {
	before, err := l.list(ctx)
	if err != nil {
		return nil, err
	}
	epoch := 1
	for _, n := range before {
		if !n.void(l.now()) {
			return nil, l.busy(n)
		}
		epoch = n.Epoch + 1
	}
	l.note = leaseNote{Run: run, Staging: staging, Epoch: epoch, ID: process.This()}
	l.note.Host, _ = os.Hostname()
	if err := l.write(ctx, epoch); err != nil {
		return nil, err
	}
	// Someone may have taken and released the lease since it was listed, and a
	// third have begun again from epoch 1: whoever sees the other steps back.
	after, err := l.list(ctx)
	for _, n := range after {
		known := slices.ContainsFunc(before, func(b leaseNote) bool { return b.Epoch == n.Epoch })
		if n.Epoch != epoch && !known {
			err = l.busy(n)
		}
	}
	if err == nil {
		err = output("syncing", l.out, l.fsys.SyncDir(ctx, l.out))
	}
	if err != nil {
		return nil, errors.Join(err, l.release(context.WithoutCancel(ctx)))
	}
	return before, nil
}

func (l *lease) busy(n leaseNote) error {
	if n.PID == 0 {
		return fmt.Errorf("%w: %s is being written by another process; try again in %s", ErrBusy, n.file, tornLease)
	}
	who := fmt.Sprintf("process %d on %s", n.PID, n.Host)
	if n.Run != "" {
		who += fmt.Sprintf(", run %s,", n.Run)
	}
	return fmt.Errorf("%w: %s is held by %s until %s, and longer while it lives; wait for it to end", ErrBusy, n.file, who, n.Expires.UTC().Format(time.RFC3339))
}

// write creates the lease file of an epoch.
func (l *lease) write(ctx context.Context, epoch int) error {
	note := l.note
	note.Epoch, note.Expires = epoch, l.now().Add(l.ttl).UTC().Round(0)
	data, err := json.Marshal(note)
	if err != nil {
		return fmt.Errorf("publish: lease: %w", err)
	}
	err = storage.WriteFile(ctx, l.fsys, l.path(epoch), data)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %s was just created by another process; wait for it to end", ErrBusy, l.path(epoch))
	}
	if _, ok := storage.InObjects(l.fsys, l.out); ok && err != nil { // it may be there in spite of the error
		got, readErr := storage.ReadFile(context.WithoutCancel(ctx), l.fsys, l.path(epoch), maxNote)
		if readErr == nil && bytes.Equal(got, data) {
			err = nil
		}
	}
	if err != nil {
		return output("writing", l.path(epoch), err)
	}
	l.note, l.data = note, data
	return nil
}

// check returns ErrLeaseLost when the lease file is gone or another's: epochs
// begin again from 1 when nobody holds the lease.
func (l *lease) check(ctx context.Context, epoch int, data []byte) error {
	if !l.lost {
		got, err := storage.ReadFile(ctx, l.fsys, l.path(epoch), maxNote)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return output("reading", l.path(epoch), err)
		}
		l.lost = err != nil || !bytes.Equal(got, data)
	}
	if l.lost {
		return fmt.Errorf("%w %s from run %s, which stood still for more than %s; nothing of this run is visible", ErrLeaseLost, l.of, l.note.Run, l.ttl)
	}
	return nil
}

// renew prolongs the lease, and returns ErrLeaseLost when another took it. Any
// other error leaves it as it was.
func (l *lease) renew(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next(ctx)
}

// name makes the lease say which run it is held for.
func (l *lease) name(ctx context.Context, run string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note.Run = run
	return l.next(ctx)
}

// next replaces the lease file by that of the next epoch.
func (l *lease) next(ctx context.Context) error {
	note, data := l.note, l.data
	if err := l.check(ctx, note.Epoch, data); err != nil {
		return err
	}
	if err := l.write(ctx, note.Epoch+1); err != nil {
		l.lost = errors.Is(err, ErrBusy)
		return errors.Join(l.check(ctx, note.Epoch, data), err)
	}
	// Only he holds the new epoch who held the old one when he created it.
	if err := l.check(ctx, note.Epoch, data); err != nil {
		err = errors.Join(err, l.fsys.RemoveAll(context.WithoutCancel(ctx), l.path(l.note.Epoch)))
		l.note, l.data = note, data
		return err
	}
	// One of the two names must outlast a power failure, or nobody would know what
	// this run staged.
	if l.fsys.SyncDir(ctx, l.out) != nil || l.fsys.RemoveAll(ctx, l.path(note.Epoch)) != nil {
		l.old = append(l.old, note.Epoch) // it does no harm while the new one is there
	}
	return nil
}

// held returns ErrLeaseLost when the lease is another's.
func (l *lease) held(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.check(ctx, l.note.Epoch, l.data)
}

// release gives the lease up; one that is lost is another's already.
func (l *lease) release(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.check(ctx, l.note.Epoch, l.data); err != nil {
		if errors.Is(err, ErrLeaseLost) {
			return nil
		}
		return err
	}
	l.lost = true
	var faults []error
	for _, epoch := range append(l.old, l.note.Epoch) { // the one that is held last
		faults = append(faults, output("removing", l.path(epoch), l.fsys.RemoveAll(ctx, l.path(epoch))))
	}
	return errors.Join(faults...)
}
