package tables_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"github.com/shoal-data/shoal/datasets/tables"
	"github.com/shoal-data/shoal/internal/pyoracle"
)

// reads prints what each reader sees of the files given on standard input, by name.
const reads = `
import json, sys
import duckdb, polars, pyarrow.parquet
out = {}
for name, path in json.load(sys.stdin).items():
    con = duckdb.connect()
    con.sql("set timezone = 'UTC'")
    duck = con.sql(f"describe select * from '{path}'").fetchall()
    table = pyarrow.parquet.read_table(path, page_checksum_verification=True)
    frame = polars.read_parquet(path)
    agg = con.sql(f"""select count(*), count(customer_id), sum(value)::varchar, sum(segment)::varchar, min(last_event)::varchar,
        min(as_of)::varchar, sum(case when active then 1 else 0 end)::varchar, min(id)::varchar, max(events)::varchar,
        count(recency) filter (isnan(recency)) from '{path}'""").fetchall()[0]
    meta = pyarrow.parquet.ParquetFile(path)
    out[name] = {
        "duckdb": [[r[0], r[1]] for r in duck],
        "pyarrow": [[f.name, str(f.type)] for f in table.schema],
        "polars": [[n, str(t)] for n, t in frame.schema.items()],
        "rows": [agg[0], table.num_rows, frame.height],
        "nullable": all(f.nullable for f in table.schema),
        "physical": [[meta.schema.column(i).name, meta.schema.column(i).physical_type] for i in range(len(meta.schema))],
        "agg": [str(a) for a in agg],
        "unit": json.loads(meta.metadata.metadata[b"shoal.columns"])[2].get("unit"),
        "table": meta.metadata.metadata[b"shoal.table"].decode(),
        "nulls": [table.column(i).null_count for i in range(table.num_columns)],
    }
json.dump(out, sys.stdout)
`

func TestReadersAgree(t *testing.T) {
	const rows = 20_000
	rec := makeRows(11, rows)
	files := map[string][]byte{
		"full":  encode(t, rec, options(func(o *tables.Options) { o.RowGroupBytes = 300_000 }), whole),
		"empty": encode(t, makeRows(11, 0), options(nil), whole),
	}
	paths := map[string]string{}
	for name, data := range files {
		path := filepath.Join(t.TempDir(), name+".parquet")
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		paths[name] = path
	}
	var got map[string]struct {
		DuckDB, PyArrow, Polars, Physical [][2]string
		Rows                              []int
		Nullable                          bool
		Agg                               []string
		Unit, Table                       string
		Nulls                             []int
	}
	pyoracle.Run(t, reads, paths, &got)
	want := []struct{ name, duckdb, pyarrow, polars, physical string }{
		{"customer_id", "VARCHAR", "string", "String", "BYTE_ARRAY"},
		{"as_of", "DATE", "date32[day]", "Date", "INT32"},
		{"recency", "DOUBLE", "double", "Float64", "DOUBLE"},
		{"last_event", "TIMESTAMP WITH TIME ZONE", "timestamp[us, tz=UTC]", "Datetime(time_unit='us', time_zone='UTC')", "INT64"},
		{"value", "DECIMAL(18,4)", "decimal128(18, 4)", "Decimal(precision=18, scale=4)", "INT64"},
		{"events", "BIGINT", "int64", "Int64", "INT64"},
		{"segment", "INTEGER", "int32", "Int32", "INT32"},
		{"active", "BOOLEAN", "bool", "Boolean", "BOOLEAN"},
		{"id", "UUID", "extension<arrow.uuid>", "Binary", "FIXED_LEN_BYTE_ARRAY"},
		{"digest", "BLOB", "fixed_size_binary[5]", "Binary", "FIXED_LEN_BYTE_ARRAY"},
		{"label", "VARCHAR", "string", "String", "BYTE_ARRAY"},
		{"nothing", "DOUBLE", "double", "Float64", "DOUBLE"},
	}
	for name, g := range got {
		for i, w := range want {
			for reader, c := range map[string]struct {
				cols [][2]string
				typ  string
			}{"duckdb": {g.DuckDB, w.duckdb}, "pyarrow": {g.PyArrow, w.pyarrow}, "polars": {g.Polars, w.polars}, "file": {g.Physical, w.physical}} {
				if len(c.cols) != len(want) {
					t.Fatalf("%s: %s sees %d columns, want %d", name, reader, len(c.cols), len(want))
				}
				if c.cols[i] != [2]string{w.name, c.typ} {
					t.Errorf("%s: column %d is %v for %s, want %s %s", name, i+1, c.cols[i], reader, w.name, c.typ)
				}
			}
		}
		if !g.Nullable || g.Unit != "days" || g.Table != "all_types" {
			t.Errorf("%s: nullable %t, unit %q, table %q", name, g.Nullable, g.Unit, g.Table)
		}
	}
	if g := got["empty"].Rows; !slices.Equal(g, []int{0, 0, 0}) {
		t.Errorf("the empty table has %v rows", g)
	}
	full := got["full"]
	if !slices.Equal(full.Rows, []int{rows, rows, rows}) {
		t.Errorf("rows are %v", full.Rows)
	}
	for i, n := range full.Nulls {
		if n != rec.Column(i).NullN() {
			t.Errorf("column %s: pyarrow sees %d nulls of %d", rec.ColumnName(i), n, rec.Column(i).NullN())
		}
	}
	if want := aggregate(rec); !slices.Equal(full.Agg, want) {
		t.Errorf("DuckDB computes\n%q, want\n%q", full.Agg, want)
	}
}

// aggregate is what the query in reads answers, from the Arrow record.
func aggregate(rec arrow.Record) []string {
	var value decimal128.Num
	var segment, active, customers, nans int64
	firstEvent, firstDay, lastCount := arrow.Timestamp(math.MaxInt64), arrow.Date32(math.MaxInt32), int64(math.MinInt64)
	id := "~"
	for i := range int(rec.NumRows()) {
		if rec.Column(0).IsValid(i) {
			customers++
		}
		if c := rec.Column(1).(*array.Date32); c.IsValid(i) {
			firstDay = min(firstDay, c.Value(i))
		}
		if c := rec.Column(2).(*array.Float64); c.IsValid(i) && math.IsNaN(c.Value(i)) {
			nans++
		}
		if c := rec.Column(3).(*array.Timestamp); c.IsValid(i) {
			firstEvent = min(firstEvent, c.Value(i))
		}
		if c := rec.Column(4).(*array.Decimal128); c.IsValid(i) {
			value = value.Add(c.Value(i))
		}
		if c := rec.Column(5).(*array.Int64); c.IsValid(i) {
			lastCount = max(lastCount, c.Value(i))
		}
		if c := rec.Column(6).(*array.Int32); c.IsValid(i) {
			segment += int64(c.Value(i))
		}
		if c := rec.Column(7).(*array.Boolean); c.IsValid(i) && c.Value(i) {
			active++
		}
		if c := rec.Column(8).(*array.FixedSizeBinary); c.IsValid(i) {
			v := c.Value(i)
			id = min(id, fmt.Sprintf("%x-%x-%x-%x-%x", v[:4], v[4:6], v[6:8], v[8:10], v[10:]))
		}
	}
	return []string{
		fmt.Sprint(rec.NumRows()), fmt.Sprint(customers), value.ToString(4), fmt.Sprint(segment),
		firstEvent.ToTime(arrow.Microsecond).Format("2006-01-02 15:04:05.999999+00"), firstDay.ToTime().Format("2006-01-02"),
		fmt.Sprint(active), id, fmt.Sprint(lastCount), fmt.Sprint(nans),
	}
}
