// Package earlier reads what earlier runs published: their tables, their summaries and
// the configuration they had.
package earlier

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/publish"
)

// ErrUnusable is wrapped by errors that say that a run is damaged, incomplete or of
// another program: reading it again would find the same.
var ErrUnusable = errors.New("cannot be compared with")

// A Run is one that was published.
type Run struct {
	Manifest *publish.Manifest
	Config   *config.Config

	fsys storage.FS
	out  string
}

// Open reads the manifest of the run that the pointer names for a date.
func Open(ctx context.Context, fsys storage.FS, out, date string) (*Run, error) {
	r := &Run{fsys: fsys, out: out}
	m, ok, err := publish.ReadCurrent(ctx, fsys, out, date)
	if err == nil && !ok {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, fault(ctx, date, err)
	}
	r.Manifest = m
	if r.Config, err = config.Parse("the manifest of "+date, m.Config, os.LookupEnv); err != nil {
		return nil, fault(ctx, date, err)
	}
	return r, nil
}

// fault says whose fault an error is: the run's, or that of the moment.
func fault(ctx context.Context, date string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var system *fs.PathError
	missing := errors.Is(err, fs.ErrNotExist)
	if !missing && (publish.Transient(err) || errors.As(err, &system)) {
		return err
	}
	return fmt.Errorf("the run of %s %w: %w", date, ErrUnusable, err)
}

// Records visits some columns of one of the run's tables, in order. An error that does
// not wrap ErrUnusable may be gone when it is tried again.
func (r *Run) Records(ctx context.Context, table string, columns ...string) iter.Seq2[arrow.Record, error] {
	return func(yield func(arrow.Record, error) bool) {
		for rec, err := range r.Manifest.Records(ctx, r.fsys, r.out, table, columns...) {
			if err != nil {
				err = fault(ctx, r.Manifest.Date, err)
			}
			if !yield(rec, err) {
				return
			}
		}
	}
}

// Has says whether the run published a table: runs of older versions lack some.
func (r *Run) Has(table string, columns ...string) bool {
	return r.Manifest.Lacks(table, columns...) == nil
}
