package publish

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Withdraw makes the pointer name no run of the date that is held, if it names this one:
// readers do not see it any more. Its files stay; they are the caller's to remove. On
// error the pointer says what it said or names no run of the date.
func (h *Hold) Withdraw(ctx context.Context, run string) (err error) {
	if h.objects != nil {
		return h.replacePointer(ctx, func(p *Pointer) error {
			if p.Dates[h.opts.Date].Run != run {
				return errInPlace
			}
			if err := h.lease.renew(ctx); err != nil {
				return err
			}
			delete(p.Dates, h.opts.Date)
			return nil
		})
	}
	turn := h.turn()
	if err := turn.await(ctx, run); err != nil {
		return err
	}
	defer func() { _ = turn.release(context.WithoutCancel(ctx)) }() // else it expires
	if err := h.lease.renew(ctx); err != nil {
		return err
	}
	p, err := ReadPointer(ctx, h.fsys, h.opts.Out)
	if err != nil {
		return err
	}
	if p.Dates[h.opts.Date].Run != run {
		return nil
	}
	delete(p.Dates, h.opts.Date)
	p.PointerVersion, p.Latest = pointerVersion, lastDate(p)
	data, err := Encode(p)
	if err != nil {
		return fmt.Errorf("publish: pointer: %w", err)
	}
	if err := h.makeDir(ctx, h.dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.remove(context.WithoutCancel(ctx), h.dir)) }()
	next, file := h.dir+"/current.json", Join(h.opts.Out, "current.json")
	if err := h.writeFile(ctx, next, data); err != nil {
		return err
	}
	if err := turn.held(ctx); err != nil { // after too long a pause what was read may not be the last
		return err
	}
	if err := h.fsys.Rename(ctx, next, file); err != nil {
		return output("replacing", file, err)
	}
	return h.syncDir(ctx, h.opts.Out)
}

// lastDate is the last of a pointer's dates; empty without any.
func lastDate(p Pointer) string {
	if len(p.Dates) == 0 {
		return ""
	}
	return slices.Max(slices.Collect(maps.Keys(p.Dates)))
}
