package publish

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/shoal-data/shoal/datasets/storage"
)

// Errors that callers tell apart.
var (
	// ErrPublished: a run of this id is published, and a published run is never
	// written again.
	ErrPublished = errors.New("publish: run is already published")
	// ErrBusy: another run is being published for the same date.
	ErrBusy = errors.New("publish: another run holds the date")
	// ErrLeaseLost: this run stood still for so long that another took its date.
	ErrLeaseLost = errors.New("publish: another run took over the date")
	// ErrDamaged: what was published is not as it was written.
	ErrDamaged = errors.New("publish: damaged")
)

// Transient reports whether err may be gone when the run is repeated: the
// output could not be written or read, or another run was in the way. Faults of
// the data and of the caller are not transient.
func Transient(err error) bool {
	var out *outputError
	return errors.As(err, &out) && !out.permanent() || errors.Is(err, ErrBusy) || errors.Is(err, ErrLeaseLost)
}

// Unfit reports whether err means that nothing can be published there until
// somebody changes the place or the configuration.
func Unfit(err error) bool {
	var out *outputError
	return errors.As(err, &out) && out.permanent()
}

// An outputError is a failure of the place that runs are published to.
type outputError struct {
	doing string // e.g. "writing"
	path  string
	err   error
}

func (e *outputError) Unwrap() error { return e.err }

// permanent reports whether a repeat would meet the same fault.
func (e *outputError) permanent() bool { return e.inTheWay() || e.notPermitted() || e.badName() }

func (e *outputError) inTheWay() bool {
	return errors.Is(e.err, syscall.ENOTDIR) || errors.Is(e.err, syscall.EISDIR) || e.doing == "making" && errors.Is(e.err, fs.ErrExist)
}

func (e *outputError) notPermitted() bool {
	return errors.Is(e.err, fs.ErrPermission) || errors.Is(e.err, syscall.EROFS)
}

func (e *outputError) badName() bool {
	return errors.Is(e.err, syscall.ENAMETOOLONG) || errors.Is(e.err, syscall.ELOOP) || errors.Is(e.err, storage.ErrPlace)
}

func (e *outputError) Error() string {
	what, advice := e.doing, "run again; if it stays, look at the disk or store"
	switch {
	case errors.Is(e.err, syscall.ENOSPC), errors.Is(e.err, syscall.EDQUOT):
		what, advice = "no space left "+e.doing, "free space or point out elsewhere, then run again"
	case e.inTheWay():
		advice = "a file stands where a directory must be, or the reverse: move it away or point out elsewhere"
	case e.badName():
		advice = "point out elsewhere"
	case e.notPermitted():
		what, advice = "not permitted "+e.doing, "let the user of this process write to out, then run again"
	}
	return fmt.Sprintf("publish: %s %s: %v; %s", what, e.path, e.err, advice)
}

// OutputError is err as Transient and Unfit know it: it happened while the
// output at path was read, written or removed.
func OutputError(doing, path string, err error) error { return output(doing, path, err) }

// output wraps what went wrong at path, once. That the run was told to stop is
// no fault of the output.
func output(doing, path string, err error) error {
	var wrapped *outputError
	if err == nil || errors.As(err, &wrapped) {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("publish: %s %s: %w", doing, path, err)
	}
	return &outputError{doing, path, err}
}
