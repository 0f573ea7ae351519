package tables_test

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/apache/arrow/go/v17/arrow/ipc"

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

// compares reads each Parquet file with every reader and says in which columns
// it is not the Arrow file of the same rows, or has other statistics.
const compares = `
import json, sys, uuid
import duckdb, polars, pyarrow as pa, pyarrow.compute as pc, pyarrow.parquet as pq
faults = []
for name, (path, arrow) in json.load(sys.stdin).items():
    with pa.ipc.open_file(arrow) as f:
        want = f.read_all()
    plain = lambda c: c.cast(c.type.storage_type) if isinstance(c.type, pa.BaseExtensionType) else c
    got = pq.read_table(path, page_checksum_verification=True)
    frame = polars.read_parquet(path).to_arrow()
    con = duckdb.connect()
    con.sql("set timezone = 'UTC'")
    meta = pq.ParquetFile(path)
    for i, field in enumerate(want.schema):
        w, n = want.column(i), field.name
        if not plain(got.column(n)).combine_chunks().equals(w.combine_chunks()):
            faults.append(f"{name}: pyarrow reads other values of {n}")
        if not frame.column(n).cast(w.type).combine_chunks().equals(w.combine_chunks()):
            faults.append(f"{name}: polars reads other values of {n}")
        d = con.sql(f"select {n} from '{path}'").fetchall()
        v = w.to_pylist()
        if n == "id":
            v = [None if x is None else uuid.UUID(bytes=x) for x in v]
        if [x[0] for x in d] != v:
            faults.append(f"{name}: DuckDB reads other values of {n}")
        # Filters skip row groups and pages by their statistics.
        if n not in ("id", "digest") and w.null_count < len(w):
            most = pc.min_max(w)["max"].as_py()
            if con.execute(f"select count(*) from '{path}' where {n} >= ?", [most]).fetchall()[0][0] != pc.sum(pc.equal(w, pa.scalar(most, w.type))).as_py():
                faults.append(f"{name}: DuckDB does not find the greatest {n}")
        from_row = 0
        for g in range(meta.num_row_groups):
            chunk = meta.metadata.row_group(g).column(i)
            part = w.slice(from_row, chunk.num_values)
            from_row += chunk.num_values
            s = chunk.statistics
            if s.null_count != part.null_count:
                faults.append(f"{name}: row group {g} has {part.null_count} nulls of {n}, said to be {s.null_count}")
            if s.has_min_max != (part.null_count < len(part)):
                faults.append(f"{name}: row group {g} has bounds of {n}: {s.has_min_max}")
            elif s.has_min_max and n not in ("id", "digest"):
                b = pc.min_max(part)
                if (b["min"].as_py(), b["max"].as_py()) != (s.min, s.max):
                    faults.append(f"{name}: row group {g} has {n} from {b['min']} to {b['max']}, said to be {s.min} to {s.max}")
json.dump(faults, sys.stdout)
`

func TestReadersReadWhatIsWritten(t *testing.T) {
	const rows = 36_000
	schema := allTypes()
	inputs := map[string][2]string{}
	dir := t.TempDir()
	add := func(name string, rec arrow.Record, o tables.Options) {
		paths := [2]string{filepath.Join(dir, name+".parquet"), filepath.Join(dir, name+".arrow")}
		inputs[name] = paths
		if err := os.WriteFile(paths[0], encode(t, rec, o, whole), 0o666); err != nil {
			t.Fatal(err)
		}
		out, err := os.Create(paths[1])
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		w, err := ipc.NewFileWriter(out, ipc.WithSchema(rec.Schema()))
		if err = errors.Join(err, w.Write(rec), w.Close()); err != nil {
			t.Fatal(err)
		}
	}
	values := slices.Sorted(maps.Keys(valuePatterns))
	for i, nulls := range slices.Sorted(maps.Keys(nullPatterns)) {
		// Each column has other values than its neighbour, and than itself in the next file.
		columns := make([]arrow.Array, schema.NumFields())
		for c, f := range schema.Fields() {
			columns[c] = patternColumn(uint64(i), f.Type, rows, nullPatterns[nulls], valuePatterns[values[(i+c)%len(values)]])
		}
		add("nulls "+nulls, array.NewRecord(schema, columns, rows), options(func(o *tables.Options) {
			o.RowGroupBytes = []int64{128 << 20, 2 << 20}[i%2]
		}))
	}
	const many = 200_000
	fields, columns := []arrow.Field{}, []arrow.Array{}
	for _, c := range []int{0, 2, 4, 6} {
		fields = append(fields, schema.Field(c))
		columns = append(columns, patternColumn(7, schema.Field(c).Type, many, nullPatterns["some"], valuePatterns["overflow"]))
	}
	add("overflow", array.NewRecord(arrow.NewSchema(fields, nil), columns, many), options(nil))

	var faults []string
	pyoracle.Run(t, compares, inputs, &faults)
	for _, f := range faults {
		t.Error(f)
	}
}
