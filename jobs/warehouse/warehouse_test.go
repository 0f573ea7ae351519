package warehouse_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/tables"
	"github.com/shoal-data/shoal/internal/pgserver"
	"github.com/shoal-data/shoal/internal/pyoracle"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/jobs/warehouse"
)

var update = flag.Bool("update", false, "rewrite golden files")

// hostile are texts that would end a literal, a row or a statement, were they not
// quoted.
var hostile = []string{
	"it's", `"quoted"`, "`back`", `back\slash`, `\N`, `\.`, "tab\there", "line\nfeed", "carriage\rreturn", "", " ", "'; DROP TABLE scores; --",
	"$$", "$shoal$", "/* comment */", "a;b", "Ærø 漢字 🦀", "=cmd()", "NULL", "null", "\u2028", "\x01\x7f", "{\"a\": [1, 2]}", ".quit", "\\", "E'\\x'",
}

// schema has every type that a table can have. A version has more columns than
// the one before, and in another order; 4 is 3 without the UUID, which Spark refuses to
// read and no published table has.
func schema(version int) *arrow.Schema {
	fields := []arrow.Field{
		{Name: "customer_id", Type: arrow.BinaryTypes.String},
		{Name: "as_of", Type: tables.Timestamp},
		{Name: "score", Type: arrow.PrimitiveTypes.Float64},
		{Name: "visits", Type: arrow.PrimitiveTypes.Int64},
		{Name: "segment_id", Type: arrow.PrimitiveTypes.Int32},
		{Name: "active", Type: arrow.FixedWidthTypes.Boolean},
		{Name: "next_purchase", Type: arrow.PrimitiveTypes.Date32},
		{Name: "value", Type: tables.Money},
		{Name: "select", Type: arrow.BinaryTypes.String}, // a name that must be quoted
	}
	if version > 1 {
		fields = slices.Insert(fields, 3, arrow.Field{Name: "added", Type: arrow.PrimitiveTypes.Float64})
	}
	if version == 3 {
		fields = append(fields, arrow.Field{Name: "token", Type: &arrow.FixedSizeBinaryType{ByteWidth: 16}, Metadata: arrow.NewMetadata([]string{tables.MetaLogical}, []string{tables.LogicalUUID})})
	}
	if version > 2 {
		fields = append(fields, arrow.Field{Name: "digest", Type: &arrow.FixedSizeBinaryType{ByteWidth: 4}})
	}
	return arrow.NewSchema(fields, nil)
}

// rows are n rows, whose first values are the extremes of their types.
func rows(version, n int) arrow.Record {
	floats := []float64{math.MaxFloat64, math.SmallestNonzeroFloat64, -1, 0.1, 1e22, 1.0 / 3, math.Inf(1), math.Inf(-1)}
	ints := []int64{math.MaxInt64, math.MinInt64, 0, -1}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema(version))
	for j, f := range schema(version).Fields() {
		for i := range n {
			switch b := b.Field(j).(type) {
			case *array.StringBuilder:
				if f.Name == "customer_id" {
					b.Append(fmt.Sprintf("c%04d", i))
				} else if i%29 == 28 {
					b.AppendNull()
				} else {
					b.Append(hostile[i%len(hostile)])
				}
			case *array.Float64Builder:
				if i%9 == 8 {
					b.AppendNull()
				} else if i < len(floats) {
					b.Append(floats[i])
				} else {
					b.Append(float64(version) + float64(i)/7)
				}
			case *array.Int64Builder:
				b.Append(ints[i%len(ints)])
			case *array.Int32Builder:
				b.Append(int32(ints[i%len(ints)] >> 32))
			case *array.BooleanBuilder:
				b.Append(i%2 == 0)
			case *array.Date32Builder:
				if i%5 == 4 {
					b.AppendNull()
				} else {
					b.Append(arrow.Date32(20_000 + i))
				}
			case *array.TimestampBuilder:
				b.Append(arrow.Timestamp(1_743_465_600_000_000 + int64(i)*1_000_001))
			case *array.Decimal128Builder:
				b.Append(decimal128.FromI64([]int64{1e18 - 1, 1 - 1e18, 0, -1, 12_345}[i%5]))
			case *array.FixedSizeBinaryBuilder:
				b.Append(bytes.Repeat([]byte{byte(i), 0x0a}, 8)[:f.Type.(*arrow.FixedSizeBinaryType).ByteWidth])
			}
		}
	}
	return b.NewRecord()
}

// published publishes a run of two tables, one of them empty.
func published(t *testing.T, out, date, id string, version, n int) *publish.Manifest {
	t.Helper()
	ctx := t.Context()
	o := publish.DefaultOptions(out, date, id)
	o.FileSize, o.Workers = 50_000, 1 // several files, beyond the 8,192 rows that each has at least
	o.Now = func() time.Time { return time.Date(2025, 4, 1, 4, 0, 0, 0, time.UTC) }
	s, err := publish.Begin(ctx, storage.Local(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Abort()
	for name, rec := range map[string]arrow.Record{"scores": rows(version, n), "nothing": rows(1, 0)} {
		w, err := s.Table(name, rec.Schema())
		if err != nil {
			t.Fatal(err)
		}
		for from := int64(0); from < rec.NumRows(); from += 20 {
			if err := w.Write(rec.NewSlice(from, min(from+20, rec.NumRows()))); err != nil {
				t.Fatal(err)
			}
		}
	}
	m := &publish.Manifest{ToolVersion: "0.1.0", Config: json.RawMessage(`{}`)}
	if err := s.Commit(ctx, m); err != nil {
		t.Fatal(err)
	}
	return m
}

// A place where a run lies whose name means something to shells, to SQL and to
// patterns.
const hostileDir = `it's "a" [place] *? $(x) ; DROP TABLE scores; -- {a,b}`

// Every dialect's statements, as they were reviewed against its documentation.
func TestGolden(t *testing.T) {
	m := &publish.Manifest{ToolVersion: "0.1.0", Date: "2025-03-31", RunID: "0123456789abcdef"}
	for _, name := range []string{"nothing", "scores"} {
		cols, err := tables.Columns(schema(3))
		if err != nil {
			t.Fatal(err)
		}
		table := publish.Table{Name: name, Columns: cols, Rows: 0}
		dir := name + "/ds=2025-03-31/run=0123456789abcdef/"
		table.Files = []publish.File{{Path: dir + "part-00000.parquet"}}
		if name == "scores" {
			table.Rows = 300
			table.Files = []publish.File{{Path: dir + "part-00000.parquet", Rows: 200}, {Path: dir + "part-00001.parquet", Rows: 100}}
		}
		m.Tables = append(m.Tables, table)
	}
	for target, o := range map[string]warehouse.Options{
		"bigquery":   {Schema: "my-project.crm", Location: "gs://lake/shoal"},
		"snowflake":  {Schema: "analytics.crm", Location: "@analytics.crm.lake/shoal"},
		"redshift":   {Schema: "crm", Location: "s3://lake/shoal", IAMRole: "arn:aws:iam::123456789012:role/loader"},
		"databricks": {Schema: "main.crm", Location: "abfss://lake@account.dfs.core.windows.net/shoal"},
		"clickhouse": {Schema: "crm", Location: "https://lake.s3.eu-central-1.amazonaws.com/shoal"},
		"duckdb":     {Schema: "crm", Prefix: "shoal_", Location: "s3://lake/shoal"},
		"postgres":   {Schema: "crm", Tables: []string{"nothing"}},
	} {
		t.Run(target, func(t *testing.T) {
			o.Target = target
			var got bytes.Buffer
			fsys, out := storage.Local(), ""
			if target == "postgres" { // prints rows, of which this table has none
				out = t.TempDir()
				real := published(t, out, m.Date, m.RunID, 1, 1)
				real.Tables[0].Columns = real.Table("nothing").Columns
				m := *m
				m.Tables = real.Tables
				if err := warehouse.Write(t.Context(), &got, fsys, out, &m, o); err != nil {
					t.Fatal(err)
				}
			} else if err := warehouse.Write(t.Context(), &got, fsys, out, m, o); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", target+".sql")
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("-want +got (-update rewrites):\n%s", diff)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	good := func() *publish.Manifest {
		cols, _ := tables.Columns(schema(1))
		return &publish.Manifest{Date: "2025-03-31", RunID: "r", Tables: []publish.Table{{Name: "scores", Columns: cols, Files: []publish.File{{Path: "scores/part.parquet", Rows: 1}}}}}
	}
	for _, c := range []struct {
		name   string
		o      warehouse.Options
		change func(m *publish.Manifest)
		want   string
	}{
		{"target", warehouse.Options{Target: "oracle"}, nil, `target "oracle": known are bigquery`},
		{"bigquery elsewhere", warehouse.Options{Target: "bigquery", Location: "/data"}, nil, "bigquery reads gs:// of a bucket: say with --location"},
		{"snowflake elsewhere", warehouse.Options{Target: "snowflake", Location: "s3://b"}, nil, "@db.schema.stage"},
		{"redshift elsewhere", warehouse.Options{Target: "redshift", Location: "gs://b"}, nil, "s3:// of a bucket"},
		{"a pattern", warehouse.Options{Target: "bigquery", Location: "gs://b/*"}, nil, "means a pattern"},
		{"clickhouse pattern", warehouse.Options{Target: "clickhouse", Location: "s3://b/{a,b}"}, nil, "means a pattern"},
		{"line feed", warehouse.Options{Target: "duckdb", Location: "s3://b\n"}, nil, "control characters"},
		{"duckdb backslash", warehouse.Options{Target: "duckdb", Location: `/a\b/[c]`}, nil, "has no spelling for both"},
		{"no such table", warehouse.Options{Target: "duckdb", Tables: []string{"score"}}, nil, `no table "score": it has scores`},
		{"prefix", warehouse.Options{Target: "duckdb", Prefix: "x; DROP TABLE y; --"}, nil, "must be 1 to 63 of a-z"},
		{"long", warehouse.Options{Target: "duckdb", Prefix: strings.Repeat("x", 60)}, nil, "must be 1 to 63 of a-z"},
		{"schema", warehouse.Options{Target: "duckdb", Schema: "a..b"}, nil, "empty part"},
		{"table", warehouse.Options{Target: "duckdb"}, func(m *publish.Manifest) { m.Tables[0].Name = `s"; DROP TABLE x; --` }, "must be 1 to 63 of a-z"},
		{"column", warehouse.Options{Target: "duckdb"}, func(m *publish.Manifest) { m.Tables[0].Columns[0].Name = `c" DOUBLE); --` }, "must be 1 to 63 of a-z"},
		{"ds", warehouse.Options{Target: "duckdb"}, func(m *publish.Manifest) { m.Tables[0].Columns[0].Name = "ds" }, "has a column ds"},
		{"type", warehouse.Options{Target: "duckdb"}, func(m *publish.Manifest) { m.Tables[0].Columns[0].Type = "int64); --" }, "does not know"},
		{"file outside", warehouse.Options{Target: "duckdb"}, func(m *publish.Manifest) { m.Tables[0].Files[0].Path = "../secret.parquet" }, "is no file that a run writes"},
		{"file line", warehouse.Options{Target: "duckdb"}, func(m *publish.Manifest) { m.Tables[0].Files[0].Path = "a\n.shell rm" }, "is no file that a run writes"},
	} {
		m := good()
		if c.change != nil {
			c.change(m)
		}
		var b bytes.Buffer
		if err := warehouse.Write(t.Context(), &b, storage.Local(), t.TempDir(), m, c.o); err == nil || !strings.Contains(err.Error(), c.want) || b.Len() > 0 {
			t.Errorf("%s: %v, want %q\n%s", c.name, err, c.want, &b)
		}
	}
}

// Names that are quoted and not refused end no statement: what stands outside of
// quotes is the same whatever the names are.
func TestQuoting(t *testing.T) {
	cols, _ := tables.Columns(schema(1))
	m := &publish.Manifest{Date: "2025-03-31", RunID: "r", Tables: []publish.Table{{Name: "scores", Columns: cols, Rows: 1, Files: []publish.File{{Path: "scores/part.parquet", Rows: 1}}}}}
	begin := map[string]string{"bigquery": "gs://", "snowflake": "@", "redshift": "s3://", "databricks": "s3://", "clickhouse": "s3://", "duckdb": ""}
	for target, scheme := range begin {
		script := func(name string) string {
			var b bytes.Buffer
			o := warehouse.Options{Target: target, Schema: name, Location: scheme + strings.ReplaceAll(name, "*", ""), IAMRole: name}
			if err := warehouse.Write(t.Context(), &b, storage.Local(), "", m, o); err != nil {
				t.Fatal(err)
			}
			return b.String()
		}
		// BigQuery, ClickHouse, Databricks, Snowflake and Redshift read a backslash in a
		// text; in a name BigQuery and ClickHouse do.
		backslash := func(quote byte) bool {
			return quote == '\'' && target != "duckdb" || quote == '`' && target != "databricks"
		}
		want := outside(script("plain"), backslash)
		for _, name := range []string{`x'y`, `x"y`, "x`y", `x\`, `x\'y`, `x\"`, "x\\`y", `'; DROP TABLE scores; --`, `"; DROP TABLE scores; --`, "`; DROP TABLE scores; --", "/*", "--"} {
			if got := outside(script(name), backslash); got != want {
				t.Errorf("%s: %q gets out of its quotes:\n%s", target, name, cmp.Diff(want, got))
			}
		}
	}
}

// outside is a script without what is quoted in it, and without comments and
// Redshift's procedure, which no name is in.
func outside(script string, backslash func(quote byte) bool) string {
	var b strings.Builder
	if from, to := strings.Index(script, "$shoal$"), strings.LastIndex(script, "$shoal$"); from >= 0 {
		script = script[:from] + script[to:]
	}
	for i := 0; i < len(script); i++ {
		c := script[i]
		switch {
		case strings.HasPrefix(script[i:], "--"):
			i += strings.IndexByte(script[i:], '\n')
		case c == '\'' || c == '"' || c == '`':
			for i++; i < len(script); i++ {
				if script[i] == '\\' && backslash(c) {
					i++
				} else if script[i] == c {
					if i+1 < len(script) && script[i+1] == c {
						i++ // doubled
						continue
					}
					break
				}
			}
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// A loader loads into one kind of warehouse and reads it back.
type loader struct {
	load func(t *testing.T, out string, m *publish.Manifest) error
	// read gives the rows of a date as CSV with a header, null as \N, ordered by customer_id.
	read func(t *testing.T, date string) string
}

// sameRows compares what a warehouse holds with the run's files as pyarrow reads
// them: values and nothing but.
func sameRows(t *testing.T, out string, m *publish.Manifest, got string) {
	t.Helper()
	var faults []string
	pyoracle.Run(t, `
import csv, io, json, sys, math, datetime, decimal
import pyarrow as pa, pyarrow.parquet as pq
q = json.load(sys.stdin)
want = pa.concat_tables([pq.read_table(f, partitioning=None) for f in q["files"]]).sort_by("customer_id")
rows = list(csv.reader(io.StringIO(q["got"], newline=""), lineterminator="\n"))
head, rows = rows[0], rows[1:]
faults = []
if len(rows) != want.num_rows: faults.append(f"{len(rows)} rows, want {want.num_rows}")
def parse(kind, s):
    if pa.types.is_floating(kind): return float(s)
    if pa.types.is_integer(kind): return int(s)
    if pa.types.is_boolean(kind): return {"t": True, "f": False, "true": True, "false": False, "1": True, "0": False}[s]
    if pa.types.is_date(kind): return datetime.date.fromisoformat(s)
    if pa.types.is_timestamp(kind):
        s = s.replace(" ", "T")
        t = datetime.datetime.fromisoformat(s)
        return t if t.tzinfo else t.replace(tzinfo=datetime.timezone.utc)
    if pa.types.is_decimal(kind): return decimal.Decimal(s)
    if pa.types.is_fixed_size_binary(kind) or str(kind) == "extension<arrow.uuid>": return bytes.fromhex(s.replace("-", "").replace("\\x", ""))
    return s
for name in want.column_names:
    if name not in head:
        faults.append(f"no column {name}")
        continue
    kind = want.schema.field(name).type
    for i, (w, row) in enumerate(zip(want.column(name).to_pylist(), rows)):
        s = row[head.index(name)]
        if hasattr(w, "bytes"): w = w.bytes
        g = None if s == "\x02NULL" else parse(kind, s)
        if g != w and not (isinstance(w, float) and math.isnan(w) and math.isnan(g)):
            faults.append(f"row {i} {name}: {g!r}, want {w!r}")
for i, row in enumerate(rows):
    if row[head.index("ds")] != q["date"]: faults.append(f"row {i}: ds {row[head.index('ds')]}")
print(json.dumps(faults))
`, map[string]any{"files": m.Paths(out, "scores"), "got": got, "date": m.Date}, &faults)
	for _, f := range faults[:min(len(faults), 10)] {
		t.Error(f)
	}
}

// exercise loads runs as they come over time: the same twice, another in its
// place, another date, and versions with more columns.
func exercise(t *testing.T, dir string, l loader) {
	out := filepath.Join(dir, "out")
	check := func(m *publish.Manifest) {
		t.Helper()
		sameRows(t, out, m, l.read(t, m.Date))
	}
	load := func(m *publish.Manifest) {
		t.Helper()
		if err := l.load(t, out, m); err != nil {
			t.Fatal(err)
		}
	}
	first := published(t, out, "2025-03-31", "a", 1, 8_300)
	if n := len(first.Table("scores").Files); n < 2 {
		t.Fatalf("scores has %d file, and there should be several", n)
	}
	load(first)
	check(first)
	once := l.read(t, first.Date)
	load(first)
	if again := l.read(t, first.Date); again != once {
		t.Errorf("loaded twice:\n%s", cmp.Diff(once, again))
	}
	check(first)

	second := published(t, out, "2025-03-31", "b", 1, 90) // fewer rows
	load(second)
	check(second)

	wider := published(t, out, "2025-04-01", "c", 2, 60)
	load(wider)
	check(wider)
	check(second)

	widest := published(t, out, "2025-04-02", "d", 3, 60)
	load(widest)
	check(widest)
	load(first) // an old run of an older version, after all
	check(first)
	check(wider)

	// Rows that are missing are noticed before the old ones are gone.
	lacking := *widest
	lacking.Tables = slices.Clone(widest.Tables)
	lacking.Table("scores").Rows++
	if err := l.load(t, out, &lacking); err == nil || !strings.Contains(err.Error(), "scores: the rows loaded are not the 61 of run d") {
		t.Errorf("a row too few: %v", err)
	}
	check(widest)
}

func duckdbCommand(t *testing.T) string {
	t.Helper()
	beside := filepath.Join(filepath.Dir(pyoracle.Python(t)), "duckdb")
	if _, err := os.Stat(beside); err == nil {
		return beside
	}
	p, err := exec.LookPath("duckdb")
	if err != nil {
		if os.Getenv("SHOAL_REQUIRE_ORACLES") == "1" {
			t.Fatal(err)
		}
		t.Skip("no DuckDB program: run `make tools`")
	}
	return p
}

func TestDuckDB(t *testing.T) {
	command := duckdbCommand(t)
	dir := filepath.Join(t.TempDir(), hostileDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	database := filepath.Join(t.TempDir(), "w'arehouse; --.duckdb") // a ? or * in its path is beyond DuckDB itself
	read := func(t *testing.T, date string) string {
		query := func(columns string) ([]byte, error) {
			return exec.Command(command, "-batch", "-bail", "-init", os.DevNull, "-csv", "-nullvalue", "\x02NULL", database,
				"SET TimeZone = 'UTC'; SELECT "+columns+" FROM scores WHERE ds = DATE '"+date+"' ORDER BY customer_id").Output()
		}
		out, err := query("* REPLACE (hex(digest) AS digest)")
		if err != nil { // before a run has a digest
			out, err = query("*")
		}
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	load := func(t *testing.T, out string, m *publish.Manifest) error {
		done, err := warehouse.Load(t.Context(), storage.Local(), out, m, warehouse.Options{Target: "duckdb", Location: out}, warehouse.Connection{Database: database, Command: command})
		if err == nil && (done.Rows != m.Table("scores").Rows || done.Tables["nothing"] != 0) {
			t.Errorf("says that it loaded %+v", done)
		}
		return err
	}
	exercise(t, dir, loader{load, read})

	var types map[string]string
	pyoracle.Run(t, `
import duckdb, json, sys
c = duckdb.connect(json.load(sys.stdin), read_only=True)
print(json.dumps({r[0]: r[1] for r in c.execute("DESCRIBE scores").fetchall()}))`, database, &types)
	want := map[string]string{
		"ds": "DATE", "customer_id": "VARCHAR", "as_of": "TIMESTAMP WITH TIME ZONE", "score": "DOUBLE", "visits": "BIGINT", "segment_id": "INTEGER", "active": "BOOLEAN",
		"next_purchase": "DATE", "value": "DECIMAL(18,4)", "select": "VARCHAR", "added": "DOUBLE", "token": "UUID", "digest": "BLOB",
	}
	if diff := cmp.Diff(want, types); diff != "" {
		t.Errorf("types:\n%s", diff)
	}

	fault := func(c warehouse.Connection) error {
		m, _, err := publish.ReadCurrent(t.Context(), storage.Local(), filepath.Join(dir, "out"), "2025-04-01")
		if err != nil {
			t.Fatal(err)
		}
		_, err = warehouse.Load(t.Context(), storage.Local(), filepath.Join(dir, "out"), m, warehouse.Options{Target: "duckdb", Location: filepath.Join(dir, "out")}, c)
		return err
	}
	if err := fault(warehouse.Connection{Database: database, Command: "no-such-program"}); !warehouse.Usage(err) || !strings.Contains(err.Error(), "--duckdb-command") {
		t.Error(err)
	}
	if err := fault(warehouse.Connection{Command: command}); !warehouse.Usage(err) || !strings.Contains(err.Error(), "--database") {
		t.Error(err)
	}
	if err := fault(warehouse.Connection{Database: filepath.Join(dir, "no", "such", "place.duckdb"), Command: command}); !warehouse.Usage(err) {
		t.Error(err)
	}
	text := filepath.Join(dir, "text.duckdb")
	if err := os.WriteFile(text, bytes.Repeat([]byte("no database "), 1000), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := fault(warehouse.Connection{Database: text, Command: command}); !warehouse.Usage(err) {
		t.Error(err)
	}
}

// What was damaged since it was published is not loaded.
func TestDamaged(t *testing.T) {
	out := t.TempDir()
	m := published(t, out, "2025-03-31", "a", 1, 8_300)
	file := m.Paths(out, "scores")[1]
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 4
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, target := range warehouse.Loadable {
		// Neither program nor server is asked for.
		_, err := warehouse.Load(t.Context(), storage.Local(), out, m, warehouse.Options{Target: target, Location: out}, warehouse.Connection{Database: "x", Command: "no-such-program", URL: "postgres://nowhere.invalid/x"})
		if !errors.Is(err, publish.ErrDamaged) || warehouse.Transient(err) || warehouse.Usage(err) || !strings.Contains(err.Error(), "part-00001.parquet") {
			t.Errorf("%s: %v", target, err)
		}
	}
	if _, err := warehouse.Load(t.Context(), storage.Local(), out, m, warehouse.Options{Target: "bigquery", Location: "gs://b", Tables: []string{"nothing"}}, warehouse.Connection{}); !warehouse.Usage(err) || !strings.Contains(err.Error(), "load-sql") {
		t.Error(err)
	}
}

func TestPostgres(t *testing.T) {
	server := pgserver.Start(t)
	server.Set(t)
	dir := filepath.Join(t.TempDir(), hostileDir)
	psql := func(script string) string {
		t.Helper()
		out, err := server.Psql(t, script)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	const schemaName = `o'dd "schema" \`
	psql(`CREATE SCHEMA "o'dd ""schema"" \"`)
	o := warehouse.Options{Target: "postgres", Schema: schemaName}
	load := func(t *testing.T, out string, m *publish.Manifest) error {
		_, err := warehouse.Load(t.Context(), storage.Local(), out, m, o, warehouse.Connection{})
		return err
	}
	read := func(in string) func(t *testing.T, date string) string {
		return func(t *testing.T, date string) string {
			return psql("SET TimeZone = 'UTC'; COPY (SELECT * FROM " + in + ".scores WHERE ds = '" + date + "' ORDER BY customer_id) TO STDOUT (FORMAT csv, HEADER, NULL E'\\x02NULL')")
		}
	}
	exercise(t, dir, loader{load, read(`"o'dd ""schema"" \"`)})

	// The printed script, rows and all, does the same.
	psql("CREATE SCHEMA printed")
	exercise(t, filepath.Join(dir, "printed"), loader{func(t *testing.T, out string, m *publish.Manifest) error {
		var script bytes.Buffer
		if err := warehouse.Write(t.Context(), &script, storage.Local(), out, m, warehouse.Options{Target: "postgres", Schema: "printed"}); err != nil {
			t.Fatal(err)
		}
		_, err := server.Psql(t, script.String())
		return err
	}, read("printed")})

	types := psql("SELECT column_name || ' ' || data_type || coalesce(' ' || CASE WHEN data_type = 'numeric' THEN numeric_precision || ',' || numeric_scale END, '') FROM information_schema.columns WHERE table_schema = 'printed' AND table_name = 'scores' ORDER BY ordinal_position")
	want := "ds date\ncustomer_id text\nas_of timestamp with time zone\nscore double precision\nvisits bigint\nsegment_id integer\nactive boolean\nnext_purchase date\nvalue numeric 18,4\nselect text\nadded double precision\ntoken uuid\ndigest bytea\n"
	if diff := cmp.Diff(want, types); diff != "" {
		t.Errorf("types:\n%s", diff)
	}

	// Loads of one date at the same time leave one of them, whole.
	psql("CREATE SCHEMA busy")
	out := filepath.Join(dir, "out")
	m, _, err := publish.ReadCurrent(t.Context(), storage.Local(), out, "2025-04-01")
	if err != nil {
		t.Fatal(err)
	}
	busy := warehouse.Options{Target: "postgres", Schema: "busy"}
	if _, err := warehouse.Load(t.Context(), storage.Local(), out, m, busy, warehouse.Connection{}); err != nil {
		t.Fatal(err)
	}
	errs := make(chan error)
	for range 4 {
		go func() {
			_, err := warehouse.Load(context.Background(), storage.Local(), out, m, busy, warehouse.Connection{})
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := psql("SELECT count(*) FROM busy.scores"); got != "60\n" {
		t.Errorf("after loads at the same time there are %s rows", got)
	}

	// What PostgreSQL refuses is told with its table, and leaves all as it was.
	psql("ALTER TABLE busy.scores ADD CHECK (visits = 0) NOT VALID")
	_, err = warehouse.Load(t.Context(), storage.Local(), out, m, busy, warehouse.Connection{})
	if err == nil || warehouse.Transient(err) || warehouse.Usage(err) || !strings.Contains(err.Error(), `INSERT INTO "busy"."scores"`) || !strings.Contains(err.Error(), "violates check constraint") {
		t.Error(err)
	}
	if got := psql("SELECT count(*) FROM busy.scores"); got != "60\n" {
		t.Errorf("after a refused load there are %s rows", got)
	}
	if _, err := warehouse.Load(t.Context(), storage.Local(), out, m, warehouse.Options{Target: "postgres", Schema: "missing"}, warehouse.Connection{}); !warehouse.Usage(err) {
		t.Errorf("a schema that is missing: %v", err)
	}

	redshiftProcedure(t, server)
	secrets(t, out, m)
}

// redshiftProcedure runs in PostgreSQL what Redshift's script has of PostgreSQL:
// the procedure that adds columns.
func redshiftProcedure(t *testing.T, server *pgserver.Server) {
	cols, _ := tables.Columns(schema(1))
	m := &publish.Manifest{Date: "2025-03-31", RunID: "r", Tables: []publish.Table{{Name: "scores", Columns: cols}}}
	var b bytes.Buffer
	if err := warehouse.Write(t.Context(), &b, storage.Local(), "", m, warehouse.Options{Target: "redshift", Schema: "red'shift", Location: "s3://b"}); err != nil {
		t.Fatal(err)
	}
	script, _, found := strings.Cut(b.String(), "\nBEGIN;\n")
	if !found {
		t.Fatalf("no transaction:\n%s", &b)
	}
	script = strings.ReplaceAll(script, "\nSORTKEY (\"ds\")", "")
	script = strings.ReplaceAll(script, "VARCHAR(65535)", "VARCHAR")
	before := `CREATE SCHEMA "red'shift"; CREATE VIEW svv_columns AS SELECT table_schema, table_name, column_name FROM information_schema.columns;
CREATE TABLE "red'shift".scores (ds date, customer_id varchar, visits bigint);`
	got, err := server.Psql(t, before+script+script+`SELECT string_agg(column_name, ' ' ORDER BY ordinal_position) FROM information_schema.columns WHERE table_schema = 'red''shift';`)
	if want := "ds customer_id visits as_of score segment_id active next_purchase value select\n"; err != nil || got != want {
		t.Errorf("%v, columns %q, want %q", err, got, want)
	}
}

// No error shows a password, wherever it came from.
func secrets(t *testing.T, out string, m *publish.Manifest) {
	const secret = "hunter2-Geheim"
	t.Setenv("PGPASSWORD", secret)
	for _, url := range []string{
		"postgres://shoal:" + secret + "@127.0.0.1:1/x?connect_timeout=1", "postgres://shoal:" + secret + "@[bad/x", "host=/nowhere password='" + secret,
		"postgres://shoal:" + secret + "%zz@h/x", secret, "password=" + secret + " port=x", "postgres:///nowhere?password=" + secret, "host=/nowhere password=" + secret,
	} {
		_, err := warehouse.Load(t.Context(), storage.Local(), out, m, warehouse.Options{Target: "postgres"}, warehouse.Connection{URL: url})
		if err == nil {
			t.Errorf("%q is connected to", url)
		} else if strings.Contains(err.Error(), secret) || strings.Contains(fmt.Sprintf("%+v", err), secret) {
			t.Errorf("the password shows: %v", err)
		}
	}
}

func TestClickHouse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), `it's "a" [place] $(x) ; DROP TABLE scores; -- \ `)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// One session for all: each takes seconds to start.
	cmd := exec.Command(pyoracle.Python(t), "-c", `
import json, sys
from chdb import session
s = session.Session(sys.argv[1])
s.query("SET session_timezone = 'UTC'")
for line in sys.stdin:
    q, fault, csv = json.loads(line), "", ""
    try:
        for statement in q["statements"]:
            s.query(statement)
        if q["after"]:
            csv = s.query(q["after"], "CSVWithNames").bytes().decode()
    except Exception as e:
        fault = str(e)
    print(json.dumps({"Fault": fault, "CSV": csv}), flush=True)
s.close()`, filepath.Join(filepath.Dir(dir), "chdb"))
	cmd.Stderr = os.Stderr
	in, err1 := cmd.StdinPipe()
	from, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}()
	answers := json.NewDecoder(from)
	session := func(script, after string) (string, error) {
		var got struct{ Fault, CSV string }
		if err := errors.Join(json.NewEncoder(in).Encode(map[string]any{"statements": statements(script), "after": after}), answers.Decode(&got)); err != nil {
			t.Fatal(err)
		}
		if got.Fault != "" {
			return "", errors.New(got.Fault)
		}
		return got.CSV, nil
	}
	load := func(t *testing.T, out string, m *publish.Manifest) error {
		var script bytes.Buffer
		if err := warehouse.Write(t.Context(), &script, storage.Local(), out, m, warehouse.Options{Target: "clickhouse", Schema: "default", Location: out}); err != nil {
			t.Fatal(err)
		}
		_, err := session(script.String(), "")
		return err
	}
	read := func(t *testing.T, date string) string {
		query := func(columns string) (string, error) {
			return session("", "SELECT "+columns+" FROM default.scores WHERE ds = '"+date+"' ORDER BY customer_id SETTINGS format_csv_null_representation = '\x02NULL', date_time_output_format = 'iso'")
		}
		got, err := query("* REPLACE (hex(token) AS token, hex(digest) AS digest)")
		if err != nil { // before a run has them
			got, err = query("*")
		}
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	exercise(t, dir, loader{load, read})
}

// statements divides a script without rows as its clients do.
func statements(script string) []string {
	all := []string{}
	for s := range strings.SplitSeq(script, ";\n") {
		if s = strings.TrimSpace(s); s != "" {
			all = append(all, s)
		}
	}
	return all
}
