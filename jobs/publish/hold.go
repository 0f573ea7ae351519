package publish

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shoal-data/shoal/datasets/storage"
)

// A Hold is the right to publish a date. It is taken before a run is computed,
// so that of two runs of a date only one is.
type Hold struct {
	fsys    storage.FS
	objects storage.Objects // fsys, when out is in an object store
	opts    Options
	dir     string // staging directory
	started time.Time
	lease   *lease
	made    [][2]string // directories made for this run: the deepest, the topmost

	ctx    context.Context // ends when the lease is lost
	cancel context.CancelCauseFunc
	renew  sync.WaitGroup
	ended  bool
}

// Take takes the date and removes what crashed runs of it left behind; so it
// fails at once when out cannot be written. Its error wraps ErrBusy when another
// run holds the date. Call Release in any case.
func Take(ctx context.Context, fsys storage.FS, opts Options) (_ *Hold, err error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts.Out = Clean(opts.Out)
	h := &Hold{fsys: fsys, opts: opts, started: opts.Now().UTC()}
	h.objects, _ = storage.InObjects(fsys, opts.Out)
	h.ctx, h.cancel = context.WithCancelCause(ctx)
	if err := h.makeDir(ctx, opts.Out); err != nil {
		return nil, errors.Join(err, h.removeMade(context.WithoutCancel(ctx)))
	}
	h.lease = &lease{fsys: fsys, out: opts.Out, of: "ds=" + opts.Date, ttl: opts.Lease, now: opts.Now}
	// The number keeps a hold apart from an earlier one that stood still.
	staging := fmt.Sprintf(".staging-%s-%016x", opts.Date, rand.Uint64())
	h.dir = Join(opts.Out, staging)
	if h.objects != nil {
		staging = ""
	}
	crashed, err := h.lease.acquire(ctx, opts.RunID, staging)
	if err != nil {
		return nil, errors.Join(err, h.removeMade(context.WithoutCancel(ctx)))
	}
	if err := h.recover(ctx, crashed); err != nil {
		return nil, errors.Join(err, h.Release())
	}
	h.keep()
	return h, nil
}

// Context ends with the context given to Take, and when the date is lost to
// another run: then context.Cause says so and there is no use in going on.
func (h *Hold) Context() context.Context { return h.ctx }

// Lost is an error that wraps ErrLeaseLost once the date is another run's.
func (h *Hold) Lost() error {
	if cause := context.Cause(h.ctx); errors.Is(cause, ErrLeaseLost) {
		return cause
	}
	return nil
}

// keep renews the lease in the background. When that fails the next renewal
// says so.
func (h *Hold) keep() {
	h.renew.Go(func() {
		ctx := context.WithoutCancel(h.ctx)
		tick := time.NewTicker(h.opts.Lease / 4)
		defer tick.Stop()
		for {
			select {
			case <-h.ctx.Done():
				return
			case <-tick.C:
				if err := h.lease.renew(ctx); errors.Is(err, ErrLeaseLost) {
					h.cancel(err)
					return
				}
			}
		}
	})
}

// Release gives the date up when no run was begun, or none was committed; a
// second time, and after Commit or Abort, it does nothing.
func (h *Hold) Release() error {
	if h.ended {
		return nil
	}
	h.stop()
	ctx := context.WithoutCancel(h.ctx)
	return errors.Join(h.lease.release(ctx), h.removeMade(ctx))
}

// stop ends the renewal of the lease.
func (h *Hold) stop() {
	h.ended = true
	h.cancel(context.Canceled)
	h.renew.Wait()
}

// makeDir makes a directory that an end without publication takes back, durably.
func (h *Hold) makeDir(ctx context.Context, dir string) error {
	made, err := h.fsys.MakeDir(ctx, dir)
	if err != nil {
		return output("making", dir, err)
	}
	if made == "" {
		return nil
	}
	h.made = append(h.made, [2]string{dir, made})
	for ; len(dir) >= len(made); dir = parent(dir) {
		if err := h.syncDir(ctx, parent(dir)); err != nil {
			return err
		}
	}
	return nil
}

func (h *Hold) removeMade(ctx context.Context) error {
	var faults []error
	for i := len(h.made) - 1; i >= 0; i-- {
		dir, top := h.made[i][0], h.made[i][1]
		faults = append(faults, output("removing", dir, h.fsys.RemoveEmpty(ctx, dir, top)))
	}
	return errors.Join(faults...)
}

func (h *Hold) syncDir(ctx context.Context, dir string) error {
	return output("syncing", dir, h.fsys.SyncDir(ctx, dir))
}

func (h *Hold) remove(ctx context.Context, p string) error {
	return output("removing", p, h.fsys.RemoveAll(ctx, p))
}

// recover removes what runs of the date left that were not published: those
// whose leases are void, and any other without _SUCCESS.
func (h *Hold) recover(ctx context.Context, crashed []leaseNote) error {
	out, date := h.opts.Out, h.opts.Date
	if h.objects != nil && slices.ContainsFunc(crashed, func(n leaseNote) bool { return n.Run != "" && !n.Gone() }) {
		// It may only be slow, and about to publish.
		if err := h.fence(ctx); err != nil {
			return err
		}
	}
	pointer, err := ReadPointer(ctx, h.fsys, out)
	if err != nil {
		return err
	}
	current := pointer.Dates[date].Run
	// A run that crashed between _SUCCESS and the pointer was never visible.
	for _, n := range crashed {
		if n.Run != "" && n.Run != current {
			if err := h.remove(ctx, Join(out, manifestDir(date, n.Run))); err != nil {
				return err
			}
		}
		if n.Staging != "" {
			if err := h.remove(ctx, Join(out, n.Staging)); err != nil {
				return err
			}
		}
	}
	marks, err := h.fsys.Glob(ctx, storage.QuoteMeta(Join(out, manifests+"/ds="+date))+"/run=*/_SUCCESS")
	if err != nil {
		return output("reading", out, err)
	}
	published := map[string]bool{current: true}
	for _, m := range marks {
		published[runOf(m.Path)] = true
	}
	files, err := h.fsys.Glob(ctx, storage.QuoteMeta(out)+"/*/ds="+date+"/run=*/**")
	if err != nil {
		return output("reading", out, err)
	}
	// While the date is held, whoever staged anything for it has lost it.
	staged, err := h.fsys.Glob(ctx, storage.QuoteMeta(Join(out, ".staging-"+date))+"-*/**")
	if err != nil {
		return output("reading", out, err)
	}
	removed := map[string]bool{}
	for _, f := range append(files, staged...) {
		rest := strings.TrimPrefix(f.Path, out+"/")
		dir, run := f.Path, ""
		if head, tail, ok := strings.Cut(rest, "/run="); ok {
			run, _, _ = strings.Cut(tail, "/")
			dir = Join(out, head+"/run="+run)
		} else if strings.HasPrefix(rest, ".staging-") {
			head, _, _ := strings.Cut(rest, "/")
			dir = Join(out, head)
		}
		if run != "" && published[run] || removed[dir] {
			continue
		}
		removed[dir] = true
		if err := h.remove(ctx, dir); err != nil {
			return err
		}
	}
	if len(crashed) == 0 {
		return nil
	}
	// Such a run may have died while it swapped the pointer.
	turns, err := h.turn().list(ctx)
	if err != nil {
		return err
	}
	for _, n := range append(turns, crashed...) { // the date's last: they say what is left to do
		if !n.void(h.opts.Now()) {
			continue
		}
		if err := h.remove(ctx, n.file); err != nil {
			return err
		}
	}
	return nil
}

// pointerTurn is what the lease on the pointer is called.
const pointerTurn = "current"

// turn is the lease on the pointer.
func (h *Hold) turn() *lease {
	return &lease{fsys: h.fsys, out: h.opts.Out, of: pointerTurn, ttl: pointerLease, now: h.opts.Now}
}

// runOf is the run id of a file <…>/run=<id>/<name>.
func runOf(file string) string {
	return strings.TrimPrefix(path.Base(parent(file)), "run=")
}
