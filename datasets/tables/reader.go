package tables

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/parquet-go/parquet-go"
)

// A File is a table's file open for reading. It reads what Writer writes, and
// no other Parquet file.
type File struct {
	table   string
	version int
	cols    []column
	file    *parquet.File
}

// Open reads the footer of a file of size bytes.
func Open(r io.ReaderAt, size int64) (f *File, err error) {
	defer recoverPanic(&err) // parquet-go panics on some malformed files
	pf, err := parquet.OpenFile(r, size, parquet.SkipBloomFilters(true), parquet.SkipPageIndex(true))
	if err != nil {
		return nil, fmt.Errorf("tables: %w", err)
	}
	f = &File{file: pf}
	lookup := func(key string) string {
		v, ok := pf.Lookup(key)
		if !ok && err == nil {
			err = fmt.Errorf("tables: the file has no metadata %s: it was not written by shoal", key)
		}
		return v
	}
	table, version, described := lookup(keyTable), lookup(keyVersion), lookup(keyColumns)
	if err != nil {
		return nil, err
	}
	f.table = table
	if f.version, err = strconv.Atoi(version); err != nil {
		return nil, fmt.Errorf("tables: metadata %s: %w", keyVersion, err)
	}
	var cols []Column
	if err := json.Unmarshal([]byte(described), &cols); err != nil {
		return nil, fmt.Errorf("tables: metadata %s: %w", keyColumns, err)
	}
	for _, c := range cols {
		col, err := parseColumn(c)
		if err != nil {
			return nil, err
		}
		f.cols = append(f.cols, col)
	}
	if err := f.checkSchema(); err != nil {
		return nil, err
	}
	return f, nil
}

// checkSchema compares what the metadata says of the columns with what the
// file has.
func (f *File) checkSchema() error {
	fields := f.file.Schema().Fields()
	if len(fields) != len(f.cols) {
		return fmt.Errorf("tables: %s: the file has %d columns, its metadata %d", f.table, len(fields), len(f.cols))
	}
	for i, c := range f.cols {
		got := fields[i]
		if got.Name() != c.Name || !got.Leaf() || !got.Optional() || !parquet.EqualTypes(got.Type(), c.parquetType()) {
			return fmt.Errorf("tables: %s: column %d of the file is %s %s, of its metadata %s %s", f.table, i+1, got.Name(), got.String(), c.Name, c.Type)
		}
	}
	return nil
}

func parseColumn(c Column) (column, error) {
	col := column{Column: c}
	for k, name := range map[kind]string{
		kindFloat64: "float64", kindInt64: "int64", kindInt32: "int32", kindBool: "bool", kindString: "string",
		kindDate: "date", kindTimestamp: "timestamp", kindMoney: "decimal(18,4)", kindUUID: "uuid",
	} {
		if c.Type == name {
			col.kind, col.width = k, 16 // which only the UUID, a binary type in Arrow, looks at
			return columnOf(col.field())
		}
	}
	if n, ok := strings.CutPrefix(c.Type, "binary("); ok {
		width, err := strconv.ParseInt(strings.TrimSuffix(n, ")"), 10, 32)
		if err == nil && width > 0 {
			col.kind, col.width = kindBinary, width
			return columnOf(col.field())
		}
	}
	return column{}, fmt.Errorf("tables: column %s has unknown type %q", c.Name, c.Type)
}

// Table is the name of the table, SchemaVersion its version, NumRows the rows
// of this file.
func (f *File) Table() string      { return f.table }
func (f *File) SchemaVersion() int { return f.version }
func (f *File) NumRows() int64     { return f.file.NumRows() }

// Columns describes the columns in order.
func (f *File) Columns() []Column {
	out := make([]Column, len(f.cols))
	for i, c := range f.cols {
		out[i] = c.Column
	}
	return out
}

// Schema is the Arrow schema, units and meanings included.
func (f *File) Schema() *arrow.Schema { return schemaOf(f.cols) }

func schemaOf(cols []column) *arrow.Schema {
	fields := make([]arrow.Field, len(cols))
	for i, c := range cols {
		fields[i] = c.field()
	}
	return arrow.NewSchema(fields, nil)
}

// Records yields one record for each row group, with the named columns in the
// order named, or with all when none is named. Records are the caller's.
func (f *File) Records(ctx context.Context, names ...string) iter.Seq2[arrow.Record, error] {
	return func(yield func(arrow.Record, error) bool) {
		picked, err := f.pick(names)
		if err != nil {
			yield(nil, err)
			return
		}
		for g, group := range f.file.RowGroups() {
			rec, err := f.record(ctx, group, picked)
			if err != nil {
				yield(nil, fmt.Errorf("tables: %s: row group %d: %w", f.table, g+1, err))
				return
			}
			if !yield(rec, nil) {
				return
			}
		}
	}
}

// pick returns the positions of the named columns.
func (f *File) pick(names []string) ([]int, error) {
	var picked []int
	var faults []error
	for _, name := range names {
		i := slices.IndexFunc(f.cols, func(c column) bool { return c.Name == name })
		if i < 0 {
			faults = append(faults, fmt.Errorf("tables: %s has no column %q", f.table, name))
		}
		picked = append(picked, i)
	}
	if len(names) == 0 {
		for i := range f.cols {
			picked = append(picked, i)
		}
	}
	return picked, errors.Join(faults...)
}

func (f *File) record(ctx context.Context, group parquet.RowGroup, picked []int) (rec arrow.Record, err error) {
	defer recoverPanic(&err)
	cols := make([]column, len(picked))
	arrays := make([]arrow.Array, len(picked))
	for j, i := range picked {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		cols[j] = f.cols[i]
		if arrays[j], err = readColumn(cols[j], group.ColumnChunks()[i]); err != nil {
			return nil, fmt.Errorf("column %s: %w", cols[j].Name, err)
		}
		if n := int64(arrays[j].Len()); n != group.NumRows() {
			return nil, fmt.Errorf("column %s has %d values in %d rows", cols[j].Name, n, group.NumRows())
		}
	}
	return array.NewRecord(schemaOf(cols), arrays, group.NumRows()), nil
}

func readColumn(c column, chunk parquet.ColumnChunk) (arrow.Array, error) {
	b := array.NewBuilder(memory.DefaultAllocator, c.field().Type)
	defer b.Release()
	add := appender(b)
	pages := chunk.Pages()
	defer pages.Close()
	buf := make([]parquet.Value, pieceRows)
	for {
		page, err := pages.ReadPage()
		if err == io.EOF {
			return b.NewArray(), nil
		}
		if err != nil {
			return nil, err
		}
		values := page.Values()
		for err == nil {
			var n int
			n, err = values.ReadValues(buf)
			for _, v := range buf[:n] {
				if v.IsNull() {
					b.AppendNull()
				} else {
					add(v)
				}
			}
		}
		parquet.Release(page)
		if err != io.EOF {
			return nil, err
		}
	}
}

// appender adds one value that is not null to b.
func appender(b array.Builder) func(parquet.Value) {
	switch b := b.(type) {
	case *array.Float64Builder:
		return func(v parquet.Value) { b.Append(v.Double()) }
	case *array.Int64Builder:
		return func(v parquet.Value) { b.Append(v.Int64()) }
	case *array.Int32Builder:
		return func(v parquet.Value) { b.Append(v.Int32()) }
	case *array.Date32Builder:
		return func(v parquet.Value) { b.Append(arrow.Date32(v.Int32())) }
	case *array.TimestampBuilder:
		return func(v parquet.Value) { b.Append(arrow.Timestamp(v.Int64())) }
	case *array.BooleanBuilder:
		return func(v parquet.Value) { b.Append(v.Boolean()) }
	case *array.Decimal128Builder:
		return func(v parquet.Value) { b.Append(decimal128.FromI64(v.Int64())) }
	case *array.StringBuilder:
		return func(v parquet.Value) { b.Append(string(v.ByteArray())) }
	case *array.FixedSizeBinaryBuilder:
		return func(v parquet.Value) { b.Append(v.ByteArray()) }
	default:
		panic(fmt.Sprintf("no table column has builder %T", b))
	}
}

// Read reads a file whole, one record for each row group.
func Read(ctx context.Context, r io.ReaderAt, size int64) ([]arrow.Record, error) {
	f, err := Open(r, size)
	if err != nil {
		return nil, err
	}
	var recs []arrow.Record
	for rec, err := range f.Records(ctx) {
		if err != nil {
			return nil, err
		}
		recs = append(recs, rec)
	}
	return recs, nil
}

func recoverPanic(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("tables: malformed file: %v", p)
	}
}
