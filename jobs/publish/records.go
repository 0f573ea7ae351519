package publish

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/tables"
)

// Lacks says what the run did not publish of some columns of a table: runs of other
// versions lack some. It is nil where all are there.
func (m *Manifest) Lacks(table string, columns ...string) error {
	t := m.Table(table)
	if t == nil {
		return fmt.Errorf("it has no table %s: it was published by another version (%s)", table, m.ToolVersion)
	}
	for _, c := range columns {
		if !slices.ContainsFunc(t.Columns, func(have tables.Column) bool { return have.Name == c }) {
			return fmt.Errorf("its table %s has no column %s: it was published by another version (%s)", table, c, m.ToolVersion)
		}
	}
	return nil
}

// Records visits some columns of one of the run's tables, in order. An error names the
// file, or says what the run lacks; it is the last.
func (m *Manifest) Records(ctx context.Context, fsys storage.FS, out, table string, columns ...string) iter.Seq2[arrow.Record, error] {
	return func(yield func(arrow.Record, error) bool) {
		if err := m.Lacks(table, columns...); err != nil {
			yield(nil, err)
			return
		}
		for i, path := range m.Paths(out, table) {
			more, err := records(ctx, fsys, path, m.Table(table).Files[i].Bytes, columns, yield)
			if err != nil {
				yield(nil, fmt.Errorf("%s: %w", path, err))
				return
			}
			if !more {
				return
			}
		}
	}
}

func records(ctx context.Context, fsys storage.FS, path string, size int64, columns []string, yield func(arrow.Record, error) bool) (more bool, err error) {
	in, err := fsys.Open(ctx, path)
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
