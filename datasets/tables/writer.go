package tables

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/parquet-go/parquet-go/format"

	"github.com/shoal-data/shoal/datasets/tables/internal/parquetfile"
)

// Keys of the file's key-value metadata.
const (
	keyTable   = "shoal.table"
	keyVersion = "shoal.schema_version"
	keyColumns = "shoal.columns" // []Column as JSON
)

// layoutVersion goes into created_by. It changes when the same rows would give
// other bytes, so that a difference between two files explains itself.
const layoutVersion = "2.0.0"

const (
	// pageRows bounds a page in rows: 256 KiB of doubles. BigQuery asks for
	// pages below 1 MiB when there are many columns.
	pageRows = 32 << 10
	// pageBytes bounds a page of text or binary, where rows differ in size.
	pageBytes = 512 << 10
	// sampleRows decide which columns get a dictionary.
	sampleRows = 8 << 10
	// pieceRows is how many values are converted at a time.
	pieceRows = 2 << 10
	// maxText is the longest string a column takes, in bytes: BigQuery's limit
	// for a row is 100 MB, Redshift's for a VARCHAR 64 kB.
	maxText = 16 << 20
)

// Options say how a file is laid out.
type Options struct {
	Table         string // the table's name, kept in the file
	SchemaVersion int    // ≥ 1, kept in the file; rises when the meaning of a column changes
	RowGroupBytes int64  // values in a row group before encoding, in bytes; the last one of a file is smaller
	Workers       int    // goroutines that encode columns; no effect on the bytes
}

// DefaultOptions are 128 MiB of values a row group, which compress to 16–64 MiB,
// and a worker for each CPU.
func DefaultOptions(table string) Options {
	return Options{Table: table, SchemaVersion: 1, RowGroupBytes: 128 << 20, Workers: runtime.GOMAXPROCS(0)}
}

// Validate reports every fault.
func (o Options) Validate() error {
	var faults []error
	if err := CheckName(o.Table); err != nil {
		faults = append(faults, fmt.Errorf("tables: Table %w", err))
	}
	atLeast := func(field string, value, bound int64) {
		if value < bound {
			faults = append(faults, fmt.Errorf("tables: %s (%d) must be >= %d", field, value, bound))
		}
	}
	atLeast("SchemaVersion", int64(o.SchemaVersion), 1)
	atLeast("RowGroupBytes", o.RowGroupBytes, 1)
	atLeast("Workers", int64(o.Workers), 1)
	return errors.Join(faults...)
}

// A Writer writes one Parquet file. It holds the pages it is filling, and the
// row group's finished pages compressed. After an error the file is spoilt and
// every further call returns that error. A Writer is for one goroutine.
type Writer struct {
	opts   Options
	schema *arrow.Schema
	cols   []column
	err    error

	out     *counter
	file    *parquetfile.File // nil until the sample is complete
	columns []columnWriter
	workers []worker

	sample  []arrow.Record // the first rows, copied
	sampled int64          // rows in sample, not yet encoded

	rows       int64 // encoded
	group      int64 // bytes of values in the row group being filled
	fixedWidth int64 // bytes of a row, text aside
	text       []int // columns of kindString
}

type counter struct {
	w *bufio.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// NewWriter starts a file of this schema on w. Field nullability is ignored:
// every column of a table is nullable.
func NewWriter(w io.Writer, schema *arrow.Schema, opts Options) (*Writer, error) {
	cols, err := columnsOf(schema)
	if err = errors.Join(opts.Validate(), err); err != nil {
		return nil, err
	}
	tw := &Writer{opts: opts, schema: schema, cols: cols, out: &counter{w: bufio.NewWriterSize(w, 256<<10)}}
	for i, c := range cols {
		tw.fixedWidth += c.width
		if c.kind == kindString {
			tw.text = append(tw.text, i)
		}
	}
	return tw, nil
}

// Rows is how many rows have been taken.
func (w *Writer) Rows() int64 { return w.rows + w.sampled }

// Size is the bytes of the file so far: it grows by whole row groups.
func (w *Writer) Size() int64 { return w.out.n }

// Write takes a record, whose columns must have the schema's names and types
// in its order. Nothing of the record is kept.
func (w *Writer) Write(rec arrow.Record) error {
	for from := int64(0); from < rec.NumRows(); {
		n, err := w.Fill(rec, from)
		if err != nil {
			return err
		}
		from += n
	}
	return w.err
}

// Fill takes rows of rec beginning with row from, and stops early where a row
// group is complete: there a caller can look at Size and begin another file.
// It returns how many rows it took, at least 1.
func (w *Writer) Fill(rec arrow.Record, from int64) (int64, error) {
	if w.err == nil {
		w.err = w.checkRecord(rec, from)
	}
	if w.err != nil {
		return 0, w.err
	}
	if w.file != nil {
		return w.take(rec, from)
	}
	n := min(rec.NumRows()-from, sampleRows-w.sampled)
	copied, err := copyRows(rec, from, from+n)
	if err != nil {
		w.err = fmt.Errorf("tables: %s: %w", w.opts.Table, err)
		return 0, w.err
	}
	w.sample = append(w.sample, copied)
	if w.sampled += n; w.sampled == sampleRows {
		w.err = w.start()
	}
	return n, w.err
}

func (w *Writer) checkRecord(rec arrow.Record, from int64) error {
	if from < 0 || from >= rec.NumRows() {
		panic(fmt.Sprintf("tables: row %d of a record of %d", from, rec.NumRows()))
	}
	if int(rec.NumCols()) != len(w.cols) {
		return fmt.Errorf("tables: %s: record has %d columns, the schema %d", w.opts.Table, rec.NumCols(), len(w.cols))
	}
	for i := range w.cols {
		got, want := rec.Schema().Field(i), w.schema.Field(i)
		if got.Name != want.Name || !arrow.TypeEqual(got.Type, want.Type) {
			return fmt.Errorf("tables: %s: column %d of the record is %s %s, of the schema %s %s", w.opts.Table, i+1, got.Name, got.Type, want.Name, want.Type)
		}
	}
	return nil
}

// copyRows copies rows [from, to), because the caller may reuse rec's memory.
func copyRows(rec arrow.Record, from, to int64) (arrow.Record, error) {
	cols := make([]arrow.Array, rec.NumCols())
	for i := range cols {
		slice := array.NewSlice(rec.Column(i), from, to)
		var err error
		cols[i], err = array.Concatenate([]arrow.Array{slice}, memory.DefaultAllocator)
		slice.Release()
		if err != nil {
			return nil, err
		}
	}
	return array.NewRecord(rec.Schema(), cols, to-from), nil
}

// start chooses the encodings by the sample, opens the file and writes the
// sample to it.
func (w *Writer) start() error {
	stored := make([]parquetfile.Column, len(w.cols))
	for i, c := range w.cols {
		stored[i] = parquetfile.Column{Name: c.Name, Type: c.parquetType(), Dictionary: worthDictionary(w.sample, i)}
	}
	described := make([]Column, len(w.cols))
	for i, c := range w.cols {
		described[i] = c.Column
	}
	columns, err := json.Marshal(described)
	if err != nil {
		return fmt.Errorf("tables: %s: %w", w.opts.Table, err)
	}
	w.file, err = parquetfile.Create(w.out, w.opts.Table, "shoal version "+layoutVersion+" (build parquetfile)",
		[]format.KeyValue{ // in the order of their keys
			{Key: keyColumns, Value: string(columns)},
			{Key: keyVersion, Value: strconv.Itoa(w.opts.SchemaVersion)},
			{Key: keyTable, Value: w.opts.Table},
		}, stored)
	if err != nil {
		return fmt.Errorf("tables: %s: %w", w.opts.Table, err)
	}
	w.columns = make([]columnWriter, len(w.cols))
	for i := range w.columns {
		w.columns[i] = columnWriter{column: w.cols[i], index: i, out: &w.file.Chunks()[i]}
	}
	w.workers = make([]worker, min(w.opts.Workers, len(w.cols)))
	for i := range w.workers {
		encoder, err := parquetfile.NewEncoder()
		if err != nil {
			return fmt.Errorf("tables: %s: %w", w.opts.Table, err)
		}
		w.workers[i] = worker{encoder: encoder, words: make([]uint64, pieceRows)}
	}
	for _, rec := range w.sample {
		for from := int64(0); from < rec.NumRows(); {
			n, err := w.take(rec, from)
			if err != nil {
				return err
			}
			from += n
		}
	}
	w.sample, w.sampled = nil, 0
	return nil
}

// take encodes rows of rec from one on, up to the end of the row group.
func (w *Writer) take(rec arrow.Record, from int64) (int64, error) {
	to, full := w.groupEnd(rec, from)
	w.err = w.eachColumn(func(c *columnWriter, by *worker) error {
		bad, err := c.append(rec.Column(c.index), int(from), int(to), by)
		if err != nil {
			return fmt.Errorf("tables: %s: row %d, column %s: %w", w.opts.Table, w.rows+int64(bad)-from+1, c.Name, err)
		}
		if full {
			return c.endPage(by)
		}
		return nil
	})
	if w.err != nil {
		return 0, w.err
	}
	w.rows += to - from
	if full {
		w.group = 0
		if err := w.file.EndRowGroup(); err != nil {
			w.err = fmt.Errorf("tables: %s: %w", w.opts.Table, err)
			return 0, w.err
		}
	}
	return to - from, nil
}

// groupEnd returns how far into rec the row group being filled reaches, and
// whether it is full there. It counts the bytes of values row by row, so the
// answer does not depend on where records begin.
func (w *Writer) groupEnd(rec arrow.Record, from int64) (to int64, full bool) {
	if len(w.text) == 0 {
		n := min((w.opts.RowGroupBytes-w.group+w.fixedWidth-1)/w.fixedWidth, rec.NumRows()-from)
		w.group += n * w.fixedWidth
		return from + n, w.group >= w.opts.RowGroupBytes
	}
	texts := make([]*array.String, len(w.text))
	for i, c := range w.text {
		texts[i] = rec.Column(c).(*array.String)
	}
	for to = from; to < rec.NumRows() && w.group < w.opts.RowGroupBytes; to++ {
		w.group += w.fixedWidth
		for _, t := range texts {
			if t.IsValid(int(to)) { // a null may have bytes behind it that are not its own
				w.group += int64(t.ValueLen(int(to)))
			}
		}
	}
	return to, w.group >= w.opts.RowGroupBytes
}

// eachColumn calls f for every column, on as many goroutines as there are
// workers, and returns the error of the first column that has one.
func (w *Writer) eachColumn(f func(c *columnWriter, by *worker) error) error {
	errs := make([]error, len(w.columns))
	var next atomic.Int64
	work := func(by *worker) {
		for i := next.Add(1) - 1; i < int64(len(w.columns)); i = next.Add(1) - 1 {
			errs[i] = f(&w.columns[i], by)
		}
	}
	var wg sync.WaitGroup
	for i := range w.workers[1:] {
		wg.Go(func() { work(&w.workers[i+1]) })
	}
	work(&w.workers[0])
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Close writes what is left and the footer. It does not close the underlying
// writer. A file without rows is a valid file that says its schema.
func (w *Writer) Close() error {
	if w.err == nil && w.file == nil {
		w.err = w.start()
	}
	if w.err != nil {
		return w.err
	}
	err := w.eachColumn(func(c *columnWriter, by *worker) error { return c.endPage(by) })
	if err == nil {
		err = w.file.Close()
	}
	if err == nil {
		err = w.out.w.Flush()
	}
	if err != nil {
		w.err = fmt.Errorf("tables: %s: %w", w.opts.Table, err)
		return w.err
	}
	w.err = fmt.Errorf("tables: %s: the file is closed", w.opts.Table)
	return nil
}
