// Package export writes feature tables for other tools: Arrow IPC, Parquet or CSV.
package export

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/tables"
	"github.com/shoal-data/shoal/jobs/nightly"
	"github.com/shoal-data/shoal/jobs/publish"
)

// Formats are the file formats there are.
var Formats = []string{"parquet", "arrow", "csv"}

// Options of Features.
type Options struct {
	nightly.Options
	nightly.Chosen
	Dates  []string // YYYY-MM-DD: the days whose ends customers are described at
	To     string   // directory that ds=DATE directories are made in
	Format string   // one of Formats
}

// Features computes the features of every customer at each date and writes
// To/ds=DATE/features.FORMAT. A date appears whole or not at all; one that is
// there already is refused.
func Features(ctx context.Context, o Options) (*nightly.Summary, error) {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if !slices.Contains(Formats, o.Format) {
		fault("--format %q: formats are %s", o.Format, strings.Join(Formats, ", "))
	}
	if o.To == "" {
		fault("--out is required: the directory to write to")
	}
	if len(o.Dates) == 0 {
		fault("--date is required: the day to describe customers at the end of, YYYY-MM-DD; it may be given several times")
	}
	for i, d := range o.Dates {
		if _, err := time.Parse(time.DateOnly, d); err != nil {
			fault("--date %q is not YYYY-MM-DD", d)
			continue
		}
		if slices.Contains(o.Dates[:i], d) {
			fault("--date %s is given twice", d)
			continue
		}
		if err := o.sweep(ctx, d); err != nil {
			faults = append(faults, err)
		} else if there, err := o.FS.Glob(ctx, storage.QuoteMeta(o.dir(d))+"/**"); err != nil {
			faults = append(faults, err)
		} else if len(there) > 0 {
			fault("%s exists already: remove it or choose another --out", o.dir(d))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return &nightly.Summary{Status: nightly.StatusFailed, ExitCode: nightly.ExitUsage, Error: err.Error(), Out: o.To, Version: o.Version}, nightly.Usage(err)
	}
	var all []*staged
	s, err := nightly.Describe(ctx, o.Options, o.Dates, o.Chosen, sinkMemory, func(date string, schema *arrow.Schema) (nightly.Sink, error) {
		d := &staged{o: &o, date: date}
		all = append(all, d)
		return d, d.begin(ctx, schema)
	})
	for _, d := range all {
		if err == nil {
			err = d.commit(ctx)
		}
	}
	for _, d := range slices.Backward(all) { // the first made the directory of all
		err = errors.Join(err, d.abort(ctx))
	}
	s.Out = o.To
	if err = marked(o.To, err); err != nil {
		s.Status, s.ExitCode, s.Error, s.Tables = nightly.StatusFailed, nightly.ExitCode(err), err.Error(), nil
		return s, err
	}
	s.Status = nightly.StatusExported
	return s, nil
}

// marked gives what nobody has marked the exit code of a place that cannot be written to:
// 75, or 2 where it takes somebody to change it.
func marked(to string, err error) error {
	var known *nightly.Error
	switch {
	case err == nil, errors.As(err, &known), errors.Is(err, context.Canceled):
		return err
	case publish.Unfit(publish.OutputError("writing", to, err)):
		return nightly.Usage(err)
	}
	return nightly.Transient(err)
}

func (o *Options) dir(date string) string { return publish.Join(publish.Clean(o.To), "ds="+date) }

// sinkMemory is what a date's file takes while it is written: the values of a
// row group.
var sinkMemory = tables.DefaultOptions("features").RowGroupBytes

// A staged date is a directory under another name, which is renamed when it is whole.
// Beside it lies a note of the same name, made before it and removed after it: so
// whatever a killed process leaves can be found, an empty directory too. In an object
// store the file appears whole, where it stays.
type staged struct {
	o                *Options
	date             string
	dir, made, note  string // made is the topmost directory that had to be made
	file             io.WriteCloser
	sync             func() error
	sink             nightly.Sink
	objects          bool
	whole, committed bool
}

// noteName ends the names of notes.
const noteName = ".unfinished"

// sweep removes what exports of the date left that were killed while they wrote.
// One that is still writing loses its directory too and fails: only one of the two
// could have put it in place.
func (o *Options) sweep(ctx context.Context, date string) error {
	notes, err := o.FS.Glob(ctx, publish.Join(storage.QuoteMeta(publish.Clean(o.To)), ".ds="+date+"-*"+noteName))
	if err != nil {
		return err
	}
	for _, f := range notes {
		for _, left := range []string{strings.TrimSuffix(f.Path, noteName), f.Path} {
			if err := o.FS.RemoveAll(ctx, left); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *staged) begin(ctx context.Context, schema *arrow.Schema) error {
	o := d.o
	if err := o.sweep(ctx, d.date); err != nil {
		return err
	}
	_, d.objects = storage.InObjects(o.FS, o.To)
	d.dir = o.dir(d.date)
	if !d.objects {
		d.dir = publish.Join(publish.Clean(o.To), fmt.Sprintf(".ds=%s-%d", d.date, o.Now().UnixNano()))
		var err error
		if d.made, err = o.FS.MakeDir(ctx, publish.Clean(o.To)); err != nil {
			return err
		}
		d.note = d.dir + noteName
		if err := storage.WriteFile(ctx, o.FS, d.note, nil); err != nil {
			return err
		}
		if err := o.FS.SyncDir(ctx, publish.Clean(o.To)); err != nil {
			return err
		}
	}
	f, err := o.FS.Create(ctx, d.path())
	if err != nil {
		return err
	}
	d.file, d.sync = f, f.Sync
	var sink nightly.Sink
	switch o.Format {
	case "parquet":
		opts := tables.DefaultOptions("features")
		opts.Workers = o.Config.Limits.Workers.Count()
		sink, err = tables.NewWriter(f, schema, opts)
	case "arrow":
		sink, err = ipc.NewFileWriter(&position{w: f}, ipc.WithSchema(schema))
	case "csv":
		sink, err = newText(f, schema)
	}
	if err == nil {
		d.sink = sink
	}
	return err
}

func (d *staged) path() string { return publish.Join(d.dir, "features."+d.o.Format) }

func (d *staged) Write(rec arrow.Record) error { return d.sink.Write(rec) }

// Close makes the file whole and durable.
func (d *staged) Close() error {
	if d.file == nil {
		return nil
	}
	var err error
	if d.sink != nil {
		err = d.sink.Close()
	}
	if err == nil {
		err = d.sync()
		d.whole = err == nil
	}
	f := d.file
	d.file = nil
	return errors.Join(err, f.Close())
}

func (d *staged) commit(ctx context.Context) error {
	if d.objects {
		d.committed = true
		return nil
	}
	if err := d.o.FS.Rename(ctx, d.dir, d.o.dir(d.date)); err != nil {
		return fmt.Errorf("the features of %s: %w", d.date, err)
	}
	d.committed = true
	return d.o.FS.SyncDir(ctx, publish.Clean(d.o.To))
}

// abort removes what has not been committed, and the note of what has.
func (d *staged) abort(ctx context.Context) error {
	clean := context.WithoutCancel(ctx)
	if d.committed {
		if d.note != "" && d.o.FS.RemoveAll(clean, d.note) != nil {
			_ = d.o.FS.RemoveAll(clean, d.note) // or the next export of the date does: it is no fault of this one
		}
		return nil
	}
	if d.objects {
		if d.file != nil {
			return d.file.Close() // which leaves nothing
		}
		if d.whole { // else what is there is another's
			return d.o.FS.RemoveAll(clean, d.path())
		}
		return nil
	}
	err := d.Close()
	for _, left := range []string{d.dir, d.note} {
		if left != "" {
			err = errors.Join(err, d.o.FS.RemoveAll(clean, left))
		}
	}
	if d.made != "" {
		err = errors.Join(err, d.o.FS.RemoveEmpty(clean, publish.Clean(d.o.To), d.made))
	}
	return err
}

// position is a writer that can tell where it is, which is all that the Arrow
// file writer seeks for.
type position struct {
	w  io.Writer
	at int64
}

func (p *position) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	p.at += int64(n)
	return n, err
}

func (p *position) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekCurrent {
		return 0, fmt.Errorf("a stream cannot be positioned (offset %d from %d)", offset, whence)
	}
	return p.at, nil
}

// text writes CSV: a header, then a line a customer; null is empty.
type text struct {
	w    *csv.Writer
	line []string
}

func newText(w io.Writer, schema *arrow.Schema) (*text, error) {
	t := &text{w: csv.NewWriter(w), line: make([]string, schema.NumFields())}
	for i, f := range schema.Fields() {
		t.line[i] = f.Name
	}
	return t, t.w.Write(t.line)
}

func (t *text) Write(rec arrow.Record) error {
	for i := range int(rec.NumRows()) {
		for j, c := range rec.Columns() {
			t.line[j] = ""
			if c.IsNull(i) {
				continue
			}
			if f, ok := c.(*array.Float64); ok {
				t.line[j] = number(f.Value(i))
			} else {
				t.line[j] = harmless(c, c.ValueStr(i))
			}
		}
		if err := t.w.Write(t.line); err != nil {
			return err
		}
	}
	return nil
}

// harmless puts an apostrophe before a text that a spreadsheet would take for a formula, as
// OWASP advises: an id such as =cmd|… is nobody's program. Parquet and Arrow have it as it is.
func harmless(c arrow.Array, s string) string {
	if _, text := c.(*array.String); text && s != "" && strings.ContainsRune("=+-@\t\r\n", rune(s[0])) {
		return "'" + s
	}
	return s
}

// number is the shortest text that reads back as v, without an exponent where
// people would not expect one.
func number(v float64) string {
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

func (t *text) Close() error {
	t.w.Flush()
	return t.w.Error()
}
