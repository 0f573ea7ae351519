package inspect_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/shoal-data/shoal/datasets/scan/internal/column"
	"github.com/shoal-data/shoal/datasets/scan/internal/inspect"
	"github.com/shoal-data/shoal/datasets/storage"
)

// write writes rows, perGroup to a row group.
func write[T any](t *testing.T, path string, perGroup int64, rows []T) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := parquet.WriteFile(path, rows, parquet.MaxRowsPerRowGroup(perGroup), parquet.PageBufferSize(4096), parquet.Compression(&parquet.Snappy)); err != nil {
		t.Fatal(err)
	}
}

type profileRow struct {
	ID    int64     `parquet:"id"`
	When  time.Time `parquet:"when,timestamp(millisecond)"`
	Day   int32     `parquet:"day,date"`
	Type  *string   `parquet:"type,optional,dict"`
	Price int64     `parquet:"price,decimal(2:9)"`
	Ratio float64   `parquet:"ratio"`
	Ok    bool      `parquet:"ok"`
	User  struct {
		Name string `parquet:"name"`
	} `parquet:"user"`
	Tags []int32  `parquet:"tags,list"`
	Key  [16]byte `parquet:"key,uuid"`
	Raw  []byte   `parquet:"raw"`
}

func profileRows(n int) []profileRow {
	rows := make([]profileRow, n)
	for i := range rows {
		r := &rows[i]
		r.ID = int64(i%100) - 50
		r.When = time.Date(2024, 1, 1, 0, i, 0, 0, time.UTC)
		r.Day = 19_000 + int32(i%3)
		if i%4 != 0 {
			v := []string{"view", "order", "view"}[i%3]
			r.Type = &v
		}
		r.Price = int64(i%7) * 250
		r.Ratio = float64(i) / 8
		r.Ok = i%2 == 0
		r.User.Name = fmt.Sprint("n", i%10)
		r.Tags = []int32{1, 2}
		r.Key[15] = byte(i % 5)
		r.Raw = []byte{'x', byte('a' + i%2)}
	}
	return rows
}

func TestInspect(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "ds=2024-01-01", "a.parquet"), 100, profileRows(600))
	write(t, filepath.Join(dir, "ds=2024-01-02", "b.parquet"), 100, profileRows(600))
	p, err := inspect.Files(t.Context(), storage.Local(), []string{filepath.Join(dir, "**", "*.parquet")}, inspect.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	if p.Files != 2 || p.Rows != 1200 || p.SampledRows != 1200 {
		t.Errorf("%d files, %d rows, %d sampled", p.Files, p.Rows, p.SampledRows)
	}
	got := map[string]inspect.ColumnProfile{}
	for _, c := range p.Columns {
		got[c.Path] = c
		if c.Files != 2 {
			t.Errorf("%s is in %d files", c.Path, c.Files)
		}
	}
	for _, want := range []inspect.ColumnProfile{
		{Path: "id", Kind: column.KindInt64, Type: "INT64 INT(64,true)", Distinct: 100, Min: "-50", Max: "49"},
		{Path: "when", Kind: column.KindTimestamp, Type: "INT64 TIMESTAMP(isAdjustedToUTC=true,unit=MILLIS)", Distinct: 600, Min: "2024-01-01T00:00:00Z", Max: "2024-01-01T09:59:00Z"},
		{Path: "day", Kind: column.KindDate, Type: "INT32 DATE", Distinct: 3, Min: "2022-01-08", Max: "2022-01-10"},
		{Path: "type", Kind: column.KindString, Type: "BYTE_ARRAY STRING", Nulls: 300, Distinct: 2, Min: "order", Max: "view"},
		{Path: "price", Kind: column.KindDecimal, Type: "INT64 DECIMAL(9,2)", Distinct: 7, Min: "0.00", Max: "15.00"},
		{Path: "ratio", Kind: column.KindFloat, Type: "DOUBLE", Distinct: 600, Min: "0.0", Max: "74.875"},
		{Path: "ok", Kind: column.KindBool, Type: "BOOLEAN", Distinct: 2, Min: "false", Max: "true"},
		{Path: "user.name", Kind: column.KindString, Type: "BYTE_ARRAY STRING", Distinct: 10, Min: "n0", Max: "n9"},
		{Path: "key", Kind: column.KindFixed, Type: "FIXED_LEN_BYTE_ARRAY UUID", Distinct: 5, Min: "00000000-0000-0000-0000-000000000000", Max: "00000000-0000-0000-0000-000000000004"},
		{Path: "raw", Kind: column.KindBytes, Type: "BYTE_ARRAY", Distinct: 2, Min: "xa", Max: "xb"},
		{Path: "ds", Kind: column.KindString, Type: "partition key", Partition: true, Distinct: 2, Min: "2024-01-01", Max: "2024-01-02"},
	} {
		want.Files, want.Rows = 2, 1200
		c := got[want.Path]
		c.Top = nil
		if diff := cmp.Diff(want, c); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want.Path, diff)
		}
	}
	tags := got["tags.list.element"]
	if tags.Kind != column.KindOther || tags.Rows != 0 {
		t.Errorf("a list: %+v", tags)
	}
	if diff := cmp.Diff([]inspect.ValueCount{{"view", 600}, {"order", 300}}, got["type"].Top); diff != "" {
		t.Errorf("most frequent types (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]inspect.ValueCount{{"2024-01-01", 600}, {"2024-01-02", 600}}, got["ds"].Top); diff != "" {
		t.Errorf("most frequent days (-want +got):\n%s", diff)
	}
}

// A sample is exactly as large as asked for and spread over the files.
func TestInspectSample(t *testing.T) {
	dir := t.TempDir()
	for f := range 10 {
		write(t, filepath.Join(dir, fmt.Sprintf("%d.parquet", f)), 7, profileRows(700))
	}
	glob := []string{filepath.Join(dir, "*.parquet")}
	for _, most := range []int64{1, 999, 5000, 7000, 1 << 40} {
		p, err := inspect.Files(t.Context(), storage.Local(), glob, inspect.Options{MaxRows: most})
		if err != nil {
			t.Fatal(err)
		}
		// 1000 row groups of 7: 128 of them are read.
		want := min(most, 128*7)
		if p.SampledRows != want || p.Rows != 7000 {
			t.Errorf("at most %d: %d of %d rows sampled, want %d", most, p.SampledRows, p.Rows, want)
		}
		for _, c := range p.Columns {
			if c.Path == "ratio" && most > 1 && (c.Max < "7" || c.Rows != want) {
				t.Errorf("at most %d: the sample ends at %s", most, c.Max)
			}
		}
		again, err := inspect.Files(t.Context(), storage.Local(), glob, inspect.Options{MaxRows: most})
		if err != nil || !cmp.Equal(p, again) {
			t.Errorf("a second look differs: %v", err)
		}
	}
}

// Columns whose type differs between files list the types.
func TestInspectDrift(t *testing.T) {
	dir := t.TempDir()
	type a struct {
		V int32 `parquet:"v"`
	}
	type b struct {
		V string `parquet:"v"`
		W string `parquet:"w"`
	}
	write(t, filepath.Join(dir, "a.parquet"), 10, []a{{5}, {7}})
	write(t, filepath.Join(dir, "b.parquet"), 10, []b{{"7", "x"}})
	glob := []string{filepath.Join(dir, "*")}
	p, err := inspect.Files(t.Context(), storage.Local(), glob, inspect.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(p.Columns, func(c inspect.ColumnProfile) bool { return c.Path == "v" })
	v := p.Columns[i]
	if v.Kind != column.KindInt32 || v.Type != "INT32 INT(32,true) | BYTE_ARRAY STRING" || v.Files != 2 || v.Rows != 3 || v.Distinct != 2 {
		t.Errorf("%+v", v)
	}
	if w := p.Columns[1]; w.Path != "w" || w.Files != 1 || w.Rows != 1 {
		t.Errorf("%+v", w)
	}
}
