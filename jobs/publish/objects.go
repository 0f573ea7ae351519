package publish

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shoal-data/shoal/datasets/storage"
)

// In an object store the tables' files are where they stay when Commit begins, each
// created on the condition that there was none. What is left is to write the
// manifest and _SUCCESS in the same way, and to replace the pointer.
func (s *Staging) commitObjects(ctx context.Context, m *Manifest) error {
	if err := s.lease.renew(ctx); err != nil {
		return err
	}
	entry, err := s.stageManifest(ctx, m)
	if err != nil {
		return err
	}
	file := Join(s.opts.Out, "current.json")
	err = s.replacePointer(ctx, func(p *Pointer) error {
		if p.Dates[s.opts.Date] == entry {
			return errInPlace // a request whose answer was lost
		}
		// Whoever takes the date over replaces the pointer before removing anything of
		// this run: so when the date was this run's after the pointer was read, and the
		// pointer is still the same when it is replaced, the run is whole.
		if err := s.lease.renew(ctx); err != nil {
			return err
		}
		p.Dates[s.opts.Date] = entry
		return nil
	})
	if err == nil {
		s.published = true
		return nil
	}
	// Being told to stop, or losing an answer, is not a refusal. The pointer knows, and
	// while it cannot be asked nothing that it may name is touched.
	p, readErr := ReadPointer(context.WithoutCancel(ctx), s.fsys, s.opts.Out)
	switch {
	case readErr != nil:
		s.inDoubt = true
		return fmt.Errorf("publish: it is unknown whether run %s is published, and its files are kept: %w", s.runID, errors.Join(output("replacing", file, err), readErr))
	case p.Dates[s.opts.Date] == entry:
		s.published = true
		return nil
	case errors.Is(err, errReplacing):
		// It is not in place now; a request still under way could put it there. It cannot
		// once the pointer is another.
		if err := s.fence(context.WithoutCancel(ctx)); err != nil {
			s.inDoubt = true
			return fmt.Errorf("publish: it is unknown whether run %s will be published, and its files are kept: %w", s.runID, err)
		}
		if p, readErr := ReadPointer(context.WithoutCancel(ctx), s.fsys, s.opts.Out); readErr != nil || p.Dates[s.opts.Date] == entry {
			s.published = readErr == nil
			s.inDoubt = readErr != nil
			return readErr
		}
	}
	return err
}

// errReplacing: the request to replace the pointer was made, and its outcome is not
// known.
var errReplacing = errors.New("publish: replacing the pointer")

// pointerTries is how often the pointer is read again because runs of other dates
// replaced it in between.
const pointerTries = 200

// errInPlace: the pointer says already what it is to say.
var errInPlace = errors.New("publish: the pointer is in place")

// replacePointer changes the pointer of an object store and replaces it, if it is
// still the one that was changed; else, and when that cannot be told, all over again.
func (h *Hold) replacePointer(ctx context.Context, change func(*Pointer) error) (err error) {
	unsure := false
	defer func() {
		if err != nil && unsure && !errors.Is(err, errReplacing) {
			err = fmt.Errorf("%w: %w", errReplacing, err)
		}
	}()
	file := Join(h.opts.Out, "current.json")
	for try := 1; ; try++ {
		p, version, err := readPointer(ctx, h.objects, h.opts.Out)
		if err != nil {
			return err
		}
		if err := change(&p); err != nil {
			if errors.Is(err, errInPlace) {
				return nil
			}
			return err
		}
		p.PointerVersion = pointerVersion
		p.Writes++
		p.Latest = lastDate(p)
		data, err := Encode(p)
		if err != nil {
			return fmt.Errorf("publish: pointer: %w", err)
		}
		err = h.objects.WriteVersion(ctx, file, data, version)
		if err == nil {
			return nil
		}
		again := errors.Is(err, storage.ErrChanged) || errors.Is(err, storage.ErrUnknown)
		unsure = unsure || !errors.Is(err, storage.ErrChanged)
		if !again || try >= pointerTries {
			return output("replacing", file, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("publish: waiting to replace current.json: %w", ctx.Err())
		case <-time.After(time.Duration(min(try, 20)) * time.Millisecond):
		}
	}
}

// fence replaces the pointer by one that says the same, so that whoever read it
// before and lost the date since cannot replace it any more.
func (h *Hold) fence(ctx context.Context) error {
	return h.replacePointer(ctx, func(*Pointer) error { return nil })
}

// holds reports whether the date is still this run's to clean. In an object store it
// takes the lease anew to know: removing takes its time there, and no condition can
// be put on it.
func (s *Staging) holds(ctx context.Context) (bool, error) {
	if s.objects == nil {
		return !errors.Is(s.lease.held(ctx), ErrLeaseLost), nil
	}
	err := s.lease.renew(ctx)
	if errors.Is(err, ErrLeaseLost) {
		return false, nil
	}
	return err == nil, err
}
