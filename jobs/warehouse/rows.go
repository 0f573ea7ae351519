package warehouse

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/tables"
	"github.com/shoal-data/shoal/jobs/publish"
)

// writeRows writes the rows of a table as COPY … FROM STDIN takes them: a line a
// row, a tab between values, \N for null.
func writeRows(ctx context.Context, w io.Writer, fsys storage.FS, out string, t *publish.Table) error {
	buf := bufio.NewWriterSize(w, 1<<20)
	for _, f := range t.Files {
		if err := writeFile(ctx, buf, fsys, publish.Join(out, f.Path), t, f.Rows); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	return buf.Flush()
}

func writeFile(ctx context.Context, w *bufio.Writer, fsys storage.FS, path string, t *publish.Table, rows int64) error {
	r, err := fsys.Open(ctx, path)
	if err != nil {
		return publish.OutputError("reading", path, err)
	}
	defer r.Close()
	f, err := tables.Open(r, r.Size())
	if err != nil {
		return err
	}
	if f.Table() != t.Name || !slices.Equal(f.Columns(), t.Columns) || f.NumRows() != rows {
		return fmt.Errorf("is not the file that the manifest lists (table %s, %d columns, %d rows): shoal verify says what was changed", f.Table(), len(f.Columns()), f.NumRows())
	}
	from := int64(0)
	for rec, err := range f.Records(ctx) {
		if err != nil {
			return err
		}
		if err := writeRecord(w, rec, from); err != nil {
			return err
		}
		from += rec.NumRows()
	}
	return nil
}

func writeRecord(w *bufio.Writer, rec arrow.Record, from int64) error {
	columns := make([]func([]byte, int) ([]byte, error), rec.NumCols())
	for j := range columns {
		columns[j] = textOf(rec.Schema().Field(j), rec.Column(j))
	}
	var line []byte
	for i := range int(rec.NumRows()) {
		line = line[:0]
		for j, column := range columns {
			if j > 0 {
				line = append(line, '\t')
			}
			if rec.Column(j).IsNull(i) {
				line = append(line, '\\', 'N')
				continue
			}
			var err error
			if line, err = column(line, i); err != nil {
				return fmt.Errorf("row %d, column %s: %w", from+int64(i)+1, rec.ColumnName(j), err)
			}
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return nil
}

// textOf writes values of a column as PostgreSQL reads them back exactly.
func textOf(f arrow.Field, arr arrow.Array) func(line []byte, i int) ([]byte, error) {
	switch arr := arr.(type) {
	case *array.Float64:
		return func(line []byte, i int) ([]byte, error) {
			return strconv.AppendFloat(line, arr.Value(i), 'g', -1, 64), nil
		}
	case *array.Int64:
		return func(line []byte, i int) ([]byte, error) { return strconv.AppendInt(line, arr.Value(i), 10), nil }
	case *array.Int32:
		return func(line []byte, i int) ([]byte, error) { return strconv.AppendInt(line, int64(arr.Value(i)), 10), nil }
	case *array.Boolean:
		return func(line []byte, i int) ([]byte, error) { return strconv.AppendBool(line, arr.Value(i)), nil }
	case *array.String:
		return func(line []byte, i int) ([]byte, error) { return appendText(line, arr.Value(i)) }
	case *array.Date32:
		return func(line []byte, i int) ([]byte, error) {
			return appendTime(line, time.Unix(int64(arr.Value(i))*86400, 0), time.DateOnly)
		}
	case *array.Timestamp:
		return func(line []byte, i int) ([]byte, error) {
			return appendTime(line, time.UnixMicro(int64(arr.Value(i))), "2006-01-02 15:04:05.999999Z07:00")
		}
	case *array.Decimal128:
		return func(line []byte, i int) ([]byte, error) {
			return append(line, arr.Value(i).ToString(tables.Money.Scale)...), nil
		}
	case *array.FixedSizeBinary:
		logical, _ := f.Metadata.GetValue(tables.MetaLogical)
		return func(line []byte, i int) ([]byte, error) {
			if logical == tables.LogicalUUID { // PostgreSQL needs no hyphens
				return hex.AppendEncode(line, arr.Value(i)), nil
			}
			return hex.AppendEncode(append(line, `\\x`...), arr.Value(i)), nil
		}
	}
	return func(line []byte, _ int) ([]byte, error) {
		return line, fmt.Errorf("no text of %s", arr.DataType())
	}
}

// appendTime refuses years that other programs write differently.
func appendTime(line []byte, t time.Time, layout string) ([]byte, error) {
	t = t.UTC()
	if y := t.Year(); y < 1 || y > 9999 {
		return line, fmt.Errorf("the year %d cannot be loaded", y)
	}
	return t.AppendFormat(line, layout), nil
}

var copyEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`)

func appendText(line []byte, s string) ([]byte, error) {
	if strings.IndexByte(s, 0) >= 0 {
		return line, fmt.Errorf("%.40q holds a zero byte, which PostgreSQL stores in no text", s)
	}
	return append(line, copyEscapes.Replace(s)...), nil
}
