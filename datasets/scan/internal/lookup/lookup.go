// Package lookup reads the tables that stand beside the events, such as who is whose
// alias and what a currency was worth: a few named columns, each value as text.
package lookup

import (
	"context"
	"errors"
	"fmt"

	"github.com/shoal-data/shoal/datasets/scan/internal/bind"
	"github.com/shoal-data/shoal/datasets/scan/internal/column"
	"github.com/shoal-data/shoal/datasets/scan/internal/fault"
	"github.com/shoal-data/shoal/datasets/scan/internal/files"
	"github.com/shoal-data/shoal/datasets/scan/internal/footer"
	"github.com/shoal-data/shoal/datasets/scan/internal/lexical"
	"github.com/shoal-data/shoal/datasets/scan/internal/ordered"
	"github.com/shoal-data/shoal/datasets/storage"
)

// A Column is a column to read.
type Column struct {
	Name  string // a column, a dotted path, or the key of key=value directories
	Means string // what it is mapped to, for messages
	Unfit func(*column.Type) string
}

// A Table is a set of files whose footers were read and found to hold its columns.
type Table struct {
	Name     string // for messages
	Columns  []Column
	Files    []files.File // by path
	Warnings []string

	files []file
}

type file struct {
	cols   []column.Binding // parallel to Columns
	groups []group
}

type group struct {
	rows, first int64 // number of rows, and of the rows of the file before them
	chunks      []footer.Chunk
}

// Open resolves the globs and reads the footers.
func Open(ctx context.Context, fsys storage.FS, name string, globs []string, columns []Column) (*Table, error) {
	t := &Table{Name: name, Columns: columns}
	var err error
	if t.Files, t.Warnings, err = files.List(ctx, fsys, name, globs); err != nil {
		return nil, err
	}
	t.files = make([]file, len(t.Files))
	err = ordered.Run(ctx, len(t.Files), files.AtOnce, func(ctx context.Context, _, i int) error { return t.open(ctx, fsys, i) }, nil)
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Table) open(ctx context.Context, fsys storage.FS, i int) error {
	info, f := &t.Files[i], &t.files[i]
	foot, err := info.ReadFooter(ctx, fsys)
	if err != nil {
		return err
	}
	info.Rows, info.RowGroups, info.Footer = foot.Rows, len(foot.RowGroups), foot.Hash
	keys := files.PartitionKeys(info.Path)
	var leaves []int
	for _, c := range t.Columns {
		b, leaf, why := bind.Column(foot, keys, c.Name, "a row has one "+c.Means, c.Unfit)
		switch {
		case why != "":
			err = errors.New(why)
		case b.Missing:
			var names []string
			for l := range foot.Leaves {
				names = append(names, foot.Leaves[l].Name())
			}
			err = bind.Missing(names, info.Path, c.Name, c.Means)
		}
		if err != nil {
			return &fault.Error{Kind: fault.Config, Source: t.Name, File: info.Path, RowGroup: -1, Column: c.Name, Row: -1, Err: err}
		}
		f.cols = append(f.cols, b)
		leaves = append(leaves, leaf)
	}
	first := int64(0)
	for g := range foot.RowGroups {
		rg := group{rows: foot.RowGroups[g].Rows, first: first, chunks: make([]footer.Chunk, len(leaves))}
		first += rg.rows
		for k, l := range leaves {
			if l < 0 {
				continue
			}
			if rg.chunks[k], err = foot.Chunk(g, l, info.Size); err != nil {
				return fault.InFile(t.Name, info.Path, g, t.Columns[k].Name, err)
			}
		}
		f.groups = append(f.groups, rg)
	}
	return nil
}

// Bindings says where file i keeps the columns.
func (t *Table) Bindings(i int) []column.Binding { return t.files[i].cols }

// A Row is a row of a table. Its texts are valid until visit returns.
type Row struct {
	Texts [][]byte // by column, as DuckDB's CAST(x AS VARCHAR) spells them; nil is null
	File  int
	Group int
	Row   int64 // of the file
}

// Fault is an error about a value of a row, located.
func (t *Table) Fault(r *Row, col int, format string, args ...any) error {
	e := &fault.Error{
		Kind: fault.BadData, Source: t.Name, File: t.Files[r.File].Path, RowGroup: r.Group, Column: t.Columns[col].Name, Row: r.Row,
		Err: fmt.Errorf(format, args...),
	}
	if r.Texts[col] != nil {
		e.Value = lexical.Shown(r.Texts[col])
	}
	return e
}

// Read visits every row, on several workers at once. The error is that of the first
// row that has one, for any number of workers.
func (t *Table) Read(ctx context.Context, fsys storage.FS, workers int, visit func(worker int, r *Row) error) error {
	type task struct{ file, group int }
	var tasks []task
	shared := make([]files.Shared, len(t.files))
	for i := range t.files {
		for g := range t.files[i].groups {
			shared[i].Expect()
			tasks = append(tasks, task{i, g})
		}
	}
	defer func() {
		for i := range shared {
			shared[i].Close()
		}
	}()
	readers := make([]*reader, workers)
	return ordered.Run(ctx, len(tasks), workers, func(ctx context.Context, w, i int) error {
		if readers[w] == nil {
			readers[w] = newReader(t)
		}
		at := tasks[i]
		err := ordered.Guard(func() error {
			return readers[w].read(ctx, fsys, &shared[at.file], at.file, at.group, func(r *Row) error { return visit(w, r) })
		})
		var bug *ordered.PanicError
		if errors.As(err, &bug) {
			return fault.InFile(t.Name, t.Files[at.file].Path, at.group, readers[w].column, err)
		}
		return err
	}, nil)
}

// A reader reads row groups, for one goroutine.
type reader struct {
	t      *Table
	cols   []*column.Reader
	texts  [][]byte
	column string // being decoded, for messages
}

func newReader(t *Table) *reader {
	r := &reader{t: t, texts: make([][]byte, len(t.Columns))}
	for range t.Columns {
		r.cols = append(r.cols, new(column.Reader))
	}
	return r
}

func (r *reader) read(ctx context.Context, fsys storage.FS, h *files.Shared, file, group int, visit func(*Row) error) error {
	info, f := &r.t.Files[file], &r.t.files[file]
	fail := func(err error) error { return fault.InFile(r.t.Name, info.Path, group, r.column, err) }
	r.column = ""
	src, err := h.Open(ctx, fsys, info)
	if err != nil {
		return fail(err)
	}
	defer h.Release()
	rg := &f.groups[group]
	for k, c := range r.cols {
		c.Open(&f.cols[k], src, rg.chunks[k])
	}
	row := Row{Texts: make([][]byte, len(r.cols)), File: file, Group: group}
	for done := int64(0); done < rg.rows; {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("scan: %s: %w", info.Path, err)
		}
		n := int(min(rg.rows-done, column.SegmentRows))
		for k, c := range r.cols {
			r.column = r.t.Columns[k].Name
			if n, err = c.Available(n); err != nil {
				return fail(err)
			}
		}
		for k, c := range r.cols {
			r.column = r.t.Columns[k].Name
			if err := c.Next(n); err != nil {
				return fail(err)
			}
		}
		for i := range n {
			for k, c := range r.cols {
				if row.Texts[k] = nil; c.Null(i) {
					continue
				}
				v, j := c.Value(i)
				r.texts[k] = c.AppendText(r.texts[k][:0], v, j)
				if row.Texts[k] = r.texts[k]; row.Texts[k] == nil {
					row.Texts[k] = []byte{}
				}
			}
			row.Row = rg.first + done + int64(i)
			if err := visit(&row); err != nil {
				return err
			}
		}
		done += int64(n)
	}
	return nil
}
