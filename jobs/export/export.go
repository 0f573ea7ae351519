// Package export writes feature tables for other tools: Arrow IPC, Parquet or CSV.
package export

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"

	"github.com/shoal-data/shoal/datasets/tables"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/jobs/nightly"
)

// Formats are the file formats there are.
var Formats = []string{"parquet", "arrow", "csv"}

// Options of Features.
type Options struct {
	nightly.Options
	Families []string // only these; none are the configuration's
	Dates    []string // YYYY-MM-DD: the days whose ends customers are described at
	To       string   // directory that ds=DATE directories are made in
	Format   string   // one of Formats
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
		if there, err := o.FS.Glob(ctx, o.dir(d)+"/**"); err != nil {
			faults = append(faults, err)
		} else if len(there) > 0 {
			fault("%s exists already: remove it or choose another --out", o.dir(d))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return &nightly.Summary{Status: nightly.StatusFailed, ExitCode: nightly.ExitUsage, Error: err.Error(), Out: o.To, Version: o.Version}, nightly.Usage(err)
	}
	rows := map[string]int64{}
	s, err := nightly.Describe(ctx, o.Options, o.Dates, o.Families, func(ts []*features.Table) error {
		for i, t := range ts {
			if err := o.write(ctx, t); err != nil {
				return fmt.Errorf("the features of %s: %w", o.Dates[i], err)
			}
			rows["ds="+o.Dates[i]] = int64(t.Rows())
			t.Close()
			if o.Progress != nil {
				o.Progress("write", int64(i+1), int64(len(ts)))
			}
		}
		return nil
	})
	s.Out = o.To
	if err == nil {
		s.Status, s.Tables = nightly.StatusExported, rows
	}
	return s, err
}

func (o *Options) dir(date string) string { return path.Join(o.To, "ds="+date) }

// write makes one date's directory under another name and renames it when it is whole.
func (o *Options) write(ctx context.Context, t *features.Table) (err error) {
	date := t.AsOf.String()
	staging := path.Join(o.To, fmt.Sprintf(".ds=%s-%d", date, o.Now().UnixNano()))
	made, err := o.FS.MakeDir(ctx, staging)
	defer func() {
		if err == nil {
			return
		}
		clean := context.WithoutCancel(ctx)
		err = errors.Join(err, o.FS.RemoveAll(clean, staging))
		if made != "" && made != staging {
			err = errors.Join(err, o.FS.RemoveEmpty(clean, o.To, made))
		}
	}()
	if err != nil {
		return err
	}
	f, err := o.FS.Create(ctx, path.Join(staging, "features."+o.Format))
	if err != nil {
		return err
	}
	if err := o.encode(ctx, f, t); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := o.FS.Rename(ctx, staging, o.dir(date)); err != nil {
		return err
	}
	return o.FS.SyncDir(ctx, o.To)
}

// A sink takes the records of a file.
type sink interface {
	Write(arrow.Record) error
	Close() error
}

func (o *Options) encode(ctx context.Context, w io.Writer, t *features.Table) error {
	var s sink
	var err error
	switch o.Format {
	case "parquet":
		opts := tables.DefaultOptions("features")
		opts.Workers = o.Config.Limits.Workers.Count()
		s, err = tables.NewWriter(w, t.Schema, opts)
	case "arrow":
		s, err = ipc.NewFileWriter(&position{w: w}, ipc.WithSchema(t.Schema))
	case "csv":
		s, err = newText(w, t.Schema)
	}
	if err != nil {
		return err
	}
	for rec, err := range t.Records() {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = s.Write(rec)
		}
		if err != nil {
			return err
		}
	}
	return s.Close()
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
				t.line[j] = c.ValueStr(i)
			}
		}
		if err := t.w.Write(t.line); err != nil {
			return err
		}
	}
	return nil
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
