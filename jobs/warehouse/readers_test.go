package warehouse_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/shoal-data/shoal/internal/pyoracle"
)

var comment = regexp.MustCompile(`(?m)^--.*\n`)

// Runs of three versions of a table, each with more columns than the last and in
// another order, are read as one table by whatever reads Parquet: the same values,
// the declared types, null where an older run has no such column. Spark also parses the
// statements for Databricks, but for COPY INTO, which only Databricks has.
func TestReadersOfThreeVersions(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	var files []string
	for i, date := range []string{"2025-03-31", "2025-04-01", "2025-04-02"} {
		m := published(t, out, date, string(rune('a'+i)), []int{1, 2, 4}[i], 60)
		files = append(files, m.Paths(out, "scores")...)
	}
	java := pyoracle.Java(t)
	golden, err := os.ReadFile(filepath.Join("testdata", "databricks.sql"))
	if err != nil {
		t.Fatal(err)
	}
	var ofSpark []string
	for _, statement := range statements(comment.ReplaceAllString(string(golden), "")) {
		if !strings.HasPrefix(statement, "COPY INTO ") {
			ofSpark = append(ofSpark, statement)
		}
	}
	var got struct {
		Faults []string
		Types  map[string]map[string]string
		Parsed int
	}
	pyoracle.Run(t, `
import datetime, decimal, glob, json, math, os, sys, uuid
q = json.load(sys.stdin)
files, pattern = q["files"], os.path.dirname(os.path.dirname(os.path.dirname(q["files"][0])))
utc = datetime.timezone.utc
def plain(v):
    if isinstance(v, uuid.UUID): return v.bytes
    if isinstance(v, (bytearray, memoryview)): return bytes(v)
    if isinstance(v, datetime.datetime): return v.replace(tzinfo=utc) if v.tzinfo is None else v.astimezone(utc)
    return v
def rows(dicts):
    return sorted(([(k, plain(v)) for k, v in sorted(d.items())] for d in dicts), key=lambda r: (dict(r)["customer_id"], str(dict(r)["as_of"]), str(dict(r)["added"]), dict(r)["digest"] or b""))
tables, types = {}, {}
import pyarrow as pa, pyarrow.parquet as pq
parts = [pq.read_table(f, partitioning=None) for f in files]
a = pa.concat_tables(parts, promote_options="default")
tables["pyarrow"], types["pyarrow"] = rows(a.to_pylist()), {f.name: str(f.type) for f in a.schema}
import duckdb
c = duckdb.connect()
c.execute("SET TimeZone = 'UTC'")
d = c.execute("SELECT * FROM read_parquet(?, union_by_name = true, hive_partitioning = false)", [files])
names = [x[0] for x in d.description]
types["duckdb"] = {x[0]: str(x[1]) for x in d.description}
tables["duckdb"] = rows(dict(zip(names, r)) for r in d.fetchall())
import polars
p = polars.concat([polars.read_parquet(f, hive_partitioning=False) for f in files], how="diagonal")
types["polars"] = {k: str(v) for k, v in p.schema.items()}
tables["polars"] = rows(p.to_dicts())
from chdb import session
s = session.Session(q["dir"] + "/chdb")
how = "SETTINGS schema_inference_mode = 'union', session_timezone = 'UTC', use_hive_partitioning = 0"
source = f"file('{pattern}/*/*/*.parquet', 'Parquet')"
describe = s.query(f"DESCRIBE {source} {how}", "JSONEachRow").bytes().decode()
types["clickhouse"] = {r["name"]: r["type"] for r in map(json.loads, describe.splitlines())}
import io
t = pq.read_table(io.BytesIO(s.query(f"SELECT * FROM {source} {how}, output_format_parquet_string_as_string = 1", "Parquet").bytes()))
tables["clickhouse"] = rows(t.to_pylist())
s.close()
faults, parsed = [], 0
if q["java"]:
    from pyspark.sql import SparkSession
    os.environ["TZ"] = "UTC"
    import time; time.tzset()
    spark = (SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").config("spark.driver.memory", "700m").config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1").config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.session.timeZone", "UTC").config("spark.sql.warehouse.dir", q["dir"] + "/spark").config("spark.log.level", "ERROR").getOrCreate())
    df = spark.read.option("mergeSchema", "true").parquet(*files)
    types["spark"] = {f.name: f.dataType.simpleString() for f in df.schema.fields}
    tables["spark"] = rows(r.asDict() for r in df.collect())
    parser = spark._jsparkSession.sessionState().sqlParser()
    for statement in q["databricks"]:
        try:
            parser.parsePlan(statement)
            parsed += 1
        except Exception as e:
            faults.append(f"Spark does not understand {statement[:60]}: {str(e)[:300]}")
    spark.stop()
want = tables["pyarrow"]
for reader, have in tables.items():
    if len(have) != len(want): faults.append(f"{reader}: {len(have)} rows, want {len(want)}")
    for w, h in zip(want, have):
        for (k, x), (l, y) in zip(w, h):
            if k != l or x != y and not (isinstance(x, float) and isinstance(y, float) and math.isnan(x) and math.isnan(y)):
                faults.append(f"{reader}: {k} {x!r}, {l} {y!r}")
print(json.dumps({"Faults": faults, "Types": types, "Parsed": parsed}))
`, map[string]any{"files": files, "dir": t.TempDir(), "java": java, "databricks": ofSpark}, &got)
	if java && (got.Parsed != len(ofSpark) || got.Parsed < 10) {
		t.Errorf("Spark parsed %d of %d statements", got.Parsed, len(ofSpark))
	}
	for _, f := range got.Faults[:min(len(got.Faults), 10)] {
		t.Error(f)
	}
	columns := []string{"customer_id", "as_of", "score", "visits", "segment_id", "active", "next_purchase", "value", "select", "added", "digest"}
	want := map[string][]string{
		"pyarrow":    {"string", "timestamp[us, tz=UTC]", "double", "int64", "int32", "bool", "date32[day]", "decimal128(18, 4)", "string", "double", "fixed_size_binary[4]"},
		"duckdb":     {"VARCHAR", "TIMESTAMP WITH TIME ZONE", "DOUBLE", "BIGINT", "INTEGER", "BOOLEAN", "DATE", "DECIMAL(18,4)", "VARCHAR", "DOUBLE", "BLOB"},
		"polars":     {"String", "Datetime(time_unit='us', time_zone='UTC')", "Float64", "Int64", "Int32", "Boolean", "Date", "Decimal(precision=18, scale=4)", "String", "Float64", "Binary"},
		"clickhouse": {"Nullable(String)", "Nullable(DateTime64(6, 'UTC'))", "Nullable(Float64)", "Nullable(Int64)", "Nullable(Int32)", "Nullable(Bool)", "Nullable(Date32)", "Nullable(Decimal(18, 4))", "Nullable(String)", "Nullable(Float64)", "Nullable(FixedString(4))"},
		"spark":      {"string", "timestamp", "double", "bigint", "int", "boolean", "date", "decimal(18,4)", "string", "double", "binary"},
	}
	for reader, types := range got.Types {
		declared := map[string]string{}
		for i, c := range columns {
			declared[c] = want[reader][i]
		}
		if diff := cmp.Diff(declared, types); diff != "" {
			t.Errorf("%s -want +got:\n%s", reader, diff)
		}
	}
}
