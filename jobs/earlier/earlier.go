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
	"slices"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/tables"
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
		if err := r.has(table, columns); err != nil {
			yield(nil, fault(ctx, r.Manifest.Date, err))
			return
		}
		for i, file := range r.Manifest.Paths(r.out, table) {
			more, err := r.file(ctx, file, r.Manifest.Table(table).Files[i].Bytes, columns, yield)
			if err != nil {
				yield(nil, fault(ctx, r.Manifest.Date, fmt.Errorf("%s: %w", file, err)))
				return
			}
			if !more {
				return
			}
		}
	}
}

// Has says whether the run published a table: runs of older versions lack some.
func (r *Run) Has(table string, columns ...string) bool { return r.has(table, columns) == nil }

func (r *Run) has(table string, columns []string) error {
	t := r.Manifest.Table(table)
	if t == nil {
		return fmt.Errorf("it has no table %s: it was published by another version (%s)", table, r.Manifest.ToolVersion)
	}
	for _, c := range columns {
		if !slices.ContainsFunc(t.Columns, func(have tables.Column) bool { return have.Name == c }) {
			return fmt.Errorf("its table %s has no column %s", table, c)
		}
	}
	return nil
}

func (r *Run) file(ctx context.Context, file string, size int64, columns []string, yield func(arrow.Record, error) bool) (more bool, err error) {
	in, err := r.fsys.Open(ctx, file)
	if err != nil {
		return false, err
	}
	defer in.Close()
	if in.Size() != size {
		return false, fmt.Errorf("has %d bytes, was written with %d", in.Size(), size)
	}
	f, err := tables.Open(in, size)
	if err != nil {
		return false, err
	}
	for rec, err := range f.Records(ctx, columns...) {
		if err != nil {
			return false, err
		}
		if !yield(rec, nil) {
			return false, nil
		}
	}
	return true, nil
}
