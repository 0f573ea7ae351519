package nightly

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/rs/zerolog"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/synth"
	"github.com/shoal-data/shoal/internal/pyoracle"
	"github.com/shoal-data/shoal/jobs/config"
)

// night runs a job quietly.
func night(t *testing.T, c *config.Config, date string, edit func(*Options)) (*Summary, error) {
	t.Helper()
	o := Options{Config: c, Date: date, FS: storage.Local(), Version: "test", Log: zerolog.Nop(), Now: time.Now}
	if edit != nil {
		edit(&o)
	}
	return Run(t.Context(), o)
}

// row is an event as a test writes it.
type row struct {
	Customer *string `parquet:"customer_id,optional"`
	Time     int64   `parquet:"event_time,timestamp(microsecond)"`
	Type     string  `parquet:"event_type"`
	Amount   float64 `parquet:"amount"`
	Currency string  `parquet:"currency"`
	Product  string  `parquet:"product_id"`
	Session  string  `parquet:"session_id"`
}

// shop is a small history with everything a run needs: buyers who come back,
// browsers who do not, some rows without a customer.
func shop(seed uint64, customers int) []row {
	r := rand.New(rand.NewPCG(seed, 7))
	var rows []row
	start := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for c := range customers {
		id := fmt.Sprintf("c%04d", c)
		rate := math.Exp(r.NormFloat64()) / 25
		at := start.Add(time.Duration(r.IntN(120*24)) * time.Hour)
		dies := start.Add(time.Duration(r.ExpFloat64()*300*24) * time.Hour)
		for at.Before(start.AddDate(1, 0, 0)) && (at.Before(dies) || len(rows) == 0) {
			session := fmt.Sprintf("%s-%d", id, at.Unix())
			e := row{Customer: &id, Time: at.UnixMicro(), Type: "page_view", Currency: "EUR", Product: fmt.Sprint("p", r.IntN(30)), Session: session}
			rows = append(rows, e)
			if r.IntN(3) > 0 {
				e.Time += 600_000_000
				e.Type, e.Amount = "order", math.Round(2000*math.Exp(r.NormFloat64()/2))/100
				rows = append(rows, e)
			}
			if r.IntN(40) == 0 {
				e.Customer = nil
				rows = append(rows, e)
			}
			at = at.Add(time.Duration(r.ExpFloat64()/rate*24*3600) * time.Second)
		}
	}
	return rows
}

func write(t *testing.T, path string, rows []row) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := parquet.WriteFile(path, rows, parquet.MaxRowsPerRowGroup(700)); err != nil {
		t.Fatal(err)
	}
}

// job configures a run over a directory of event files.
func job(t *testing.T, dir, extra string) *config.Config {
	t.Helper()
	text := fmt.Sprintf(`
sources:
  - path: %s/*.parquet
    columns: {customer_id: customer_id, event_time: event_time, event_type: event_type, amount: amount, currency: currency, product_id: product_id, session_id: session_id}
    roles: {purchase: [order], view: [page_view]}
out: %s
targets:
  - {name: churn, kind: churn, horizon: 45d}
  - {name: purchase, kind: propensity, horizon: 45d}
%s`, dir, filepath.Join(t.TempDir(), "out"), extra)
	c, err := config.Parse("test", []byte(text), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	c.Gates.Action = config.GatesOff // a shop that nobody new comes to
	return c
}

// published hashes every published Parquet file by its path under out.
func published(t *testing.T, out string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(out, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".parquet") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(b)
		rel, err := filepath.Rel(out, path)
		files[rel] = hex.EncodeToString(sum[:])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

const shopDate = "2024-11-30"

// The same events make the same bytes: rows in another order, in other files,
// twice over with duplicates removed, by another number of workers, and with
// events after the date.
func TestSameEventsSameBytes(t *testing.T) {
	base := shop(1, 400)
	var want map[string]string
	var wantID string
	shuffled := func(seed uint64) []row {
		s := append([]row(nil), base...)
		rand.New(rand.NewPCG(seed, 1)).Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
		return s
	}
	late := func() []row {
		s := append([]row(nil), base...)
		after := time.Date(2024, 12, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
		for i := range 500 {
			e := base[i*7%len(base)]
			if e.Customer == nil {
				continue
			}
			e.Time, e.Type, e.Amount, e.Product = after+int64(i)*3_600_000_000, "order", 99999, fmt.Sprint("new", i)
			s = append(s, e)
		}
		return s
	}
	for _, c := range []struct {
		name   string
		rows   []row
		files  int
		limits string
	}{
		{"as written", base, 1, "workers: 1"},
		{"two workers", base, 1, "workers: 2"},
		{"permuted rows", shuffled(1), 1, "workers: 2"},
		{"permuted and split files", shuffled(2), 7, "workers: 2"},
		{"doubled, then deduplicated", append(shuffled(3), base...), 3, "workers: 1"},
		{"events planted after the date", late(), 2, "workers: 2"},
		{"spilled to a temporary file", shuffled(4), 3, "workers: 2, memory: 16MiB"},
	} {
		dir := t.TempDir()
		for i := range c.files {
			write(t, filepath.Join(dir, fmt.Sprintf("%d.parquet", (i*5+3)%11)), c.rows[i*len(c.rows)/c.files:(i+1)*len(c.rows)/c.files])
		}
		cfg := job(t, dir, "dedupe: exact\nlimits: {"+c.limits+"}\n")
		cfg.Segmentations[0].K = config.AutoInt{N: 3} // so that there are some
		s, err := night(t, cfg, shopDate, nil)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		got := published(t, cfg.Out)
		if spilled := s.SpilledBytes > 0; spilled != strings.Contains(c.limits, "memory") {
			t.Errorf("%s: %d bytes spilled", c.name, s.SpilledBytes)
		}
		if want == nil {
			want, wantID = got, s.RunID
			if len(want) != len(Tables()) || s.Targets[0].Skipped != "" || s.Value.Skipped != "" || len(s.Segments) < 2 {
				t.Fatalf("the run does not exercise every step: %d files, %+v", len(want), s)
			}
		}
		if s.RunID != wantID {
			t.Errorf("%s: run %s, want %s", c.name, s.RunID, wantID)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: other bytes: %v, want %v", c.name, got, want)
		}
	}

	// The test can fail: one amount changed by a cent makes another run.
	dir := t.TempDir()
	altered := append([]row(nil), base...)
	for i := range altered {
		if altered[i].Type == "order" {
			altered[i].Amount += 0.01
			break
		}
	}
	write(t, filepath.Join(dir, "a.parquet"), altered)
	s, err := night(t, job(t, dir, "dedupe: exact\n"), shopDate, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.RunID == wantID {
		t.Error("a changed amount made the same run")
	}
}

func TestRepeatIsNoop(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.parquet"), shop(2, 150))
	cfg := job(t, dir, "")
	first, err := night(t, cfg, shopDate, nil)
	if err != nil {
		t.Fatal(err)
	}
	before := published(t, cfg.Out)
	again, err := night(t, cfg, shopDate, nil)
	if err != nil || again.Status != StatusNoop || again.RunID != first.RunID {
		t.Fatalf("%+v, %v", again, err)
	}
	// The same rows in other files are found out after reading.
	rows := shop(2, 150)
	os.Remove(filepath.Join(dir, "a.parquet"))
	write(t, filepath.Join(dir, "b.parquet"), rows[:100])
	write(t, filepath.Join(dir, "c.parquet"), rows[100:])
	moved, err := night(t, cfg, shopDate, nil)
	if err != nil || moved.Status != StatusNoop || moved.RunID != first.RunID {
		t.Fatalf("%+v, %v", moved, err)
	}
	if got := published(t, cfg.Out); !reflect.DeepEqual(got, before) {
		t.Errorf("a repeat changed what is published: %v, want %v", got, before)
	}
	forced, err := night(t, cfg, shopDate, func(o *Options) { o.Force = true })
	if err != nil || forced.Status != StatusPublished || forced.RunID != first.RunID+"-2" {
		t.Fatalf("%+v, %v", forced, err)
	}
	version, err := night(t, cfg, shopDate, func(o *Options) { o.Version = "newer" })
	if err != nil || version.Status != StatusPublished || version.RunID == first.RunID {
		t.Fatalf("%+v, %v", version, err)
	}
}

// A run can be repeated from the record of an earlier one.
func TestManifestFeedsBack(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.parquet"), shop(3, 150))
	cfg := job(t, dir, "features: {windows: [14d, 60d]}\n")
	first, err := night(t, cfg, shopDate, nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := config.Load(first.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	s, err := night(t, again, shopDate, nil)
	if err != nil || s.Status != StatusNoop || s.RunID != first.RunID {
		t.Fatalf("%+v, %v", s, err)
	}
}

// An interrupted run says so with the code of a terminated process, and leaves nothing.
func TestInterrupted(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.parquet"), shop(3, 300))
	for _, step := range []string{"read", "features", "segments", "predictions", "value", "publish"} {
		cfg := job(t, dir, "")
		ctx, cancel := context.WithCancel(t.Context())
		s, err := Run(ctx, Options{Config: cfg, Date: shopDate, FS: storage.Local(), Version: "test", Log: zerolog.Nop(), Now: time.Now,
			Progress: func(at string, _, _ int64) {
				if at == step {
					cancel()
				}
			}})
		cancel()
		if !errors.Is(err, context.Canceled) || s.ExitCode != ExitTerminated {
			t.Errorf("interrupted in %s: exit %d, %v", step, s.ExitCode, err)
		}
		if left, err := os.ReadDir(filepath.Dir(cfg.Out)); err != nil || len(left) > 0 {
			t.Errorf("interrupted in %s: %v is left, %v", step, left, err)
		}
	}
}

// CDNOW, calibrated to the end of September 1997 and forecast to the end of June
// 1998: from raw dates the likelihood of the literature is reached (Pareto/NBD
// −9594.9761789, Gamma-Gamma −4055.917695: computed to full precision with scipy
// from the same data; published −9594.976 and −4055.9177 by CLVTools,
// tests/testthat), and the published forecasts are as close to what happened as the
// same model's computed with numpy: AUC .77874, mean absolute error .754523.
func TestCDNOW(t *testing.T) {
	c := exampleConfig(t, "cdnow_sample", pyoracle.Data(t))
	c.Out, c.Models.ValueHorizon = t.TempDir(), 273
	s, err := night(t, c, "1997-09-30", nil)
	if err != nil {
		t.Fatal(err)
	}
	v := s.Value
	if v == nil || v.LogLikelihood == nil || v.SpendLogLik == nil || v.Model != "paretonbd" {
		t.Fatalf("no Pareto/NBD: %+v", v)
	}
	if *v.LogLikelihood < -9594.9761789-1e-6 || *v.LogLikelihood > -9594.97 {
		t.Errorf("Pareto/NBD log-likelihood %.7f", *v.LogLikelihood)
	}
	if *v.SpendLogLik < -4055.917695-1e-6 || *v.SpendLogLik > -4055.91 {
		t.Errorf("Gamma-Gamma log-likelihood %.7f", *v.SpendLogLik)
	}
	if v.Customers != 2357 || s.Input.Customers != 2357 {
		t.Errorf("%d buyers, %d customers, want 2357", v.Customers, s.Input.Customers)
	}
	var got struct{ AUC, MAE float64 }
	pyoracle.Run(t, `
import json, sys
import duckdb
from sklearn.metrics import roc_auc_score
job = json.load(sys.stdin)
df = duckdb.sql(f"""SELECT expected_purchases AS e, count(DISTINCT event_time::DATE) AS n FROM read_parquet('{job["out"]}/customer_scores/*/*/*.parquet') s
    LEFT JOIN read_parquet('{job["data"]}/cdnow_sample.parquet') p ON p.customer_id = s.customer_id AND p.event_time::DATE > DATE '1997-09-30'
    GROUP BY s.customer_id, e ORDER BY s.customer_id""").df()
print(json.dumps({"AUC": roc_auc_score(df["n"] > 0, df["e"]), "MAE": (df["n"] - df["e"]).abs().mean()}))
`, map[string]any{"out": c.Out, "data": pyoracle.Data(t)}, &got)
	if math.Abs(got.AUC-.77874) > 1e-5 || math.Abs(got.MAE-.754523) > 1e-5 {
		t.Errorf("holdout AUC %v, mean absolute error %v; want .77874 and .754523", got.AUC, got.MAE)
	}
}

// Every example job finishes on its real history, and says what it read.
func TestExamplesRun(t *testing.T) {
	data := pyoracle.Data(t)
	for _, e := range exampleJobs {
		t.Run(e.name, func(t *testing.T) {
			c := exampleConfig(t, e.name, data)
			c.Out = t.TempDir()
			s, err := night(t, c, e.dates[len(e.dates)-1], nil)
			if err != nil {
				t.Fatal(err)
			}
			if s.Status != StatusPublished || s.Tables["customer_scores"] != s.Input.Customers || s.Tables["features"] != s.Input.Customers {
				t.Errorf("%+v", s)
			}
			if e.name == "online_retail" && (s.Input.RowsRead != 541_909 || s.Input.RowsRejected != 135_080) {
				t.Errorf("%d rows read and %d rejected, want 541909 and 135080", s.Input.RowsRead, s.Input.RowsRejected)
			}
		})
	}
}

// The outputs open in DuckDB, pyarrow, Polars, ClickHouse and, where there is Java,
// Spark, with the declared types and equal values.
func TestOutputsOpenElsewhere(t *testing.T) {
	p := synth.DefaultParams()
	p.Customers, p.IntegerIDs = 1200, true
	_, c := generated(t, p)
	s, err := night(t, c, "2025-03-31", nil)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Faults []string
		Values map[string]int
	}
	pyoracle.Run(t, outputsScript, map[string]any{"out": c.Out, "tables": s.Tables, "dir": t.TempDir(), "spark": pyoracle.Java(t)}, &got)
	if len(got.Faults) > 0 {
		t.Errorf("%s", strings.Join(got.Faults, "\n"))
	}
	for reader, n := range got.Values {
		if n < 300_000 {
			t.Errorf("%s: %d values compared", reader, n)
		}
	}
	t.Logf("%d tables; values compared: %v", len(s.Tables), got.Values)
}

const outputsScript = `
import collections, datetime, decimal, glob, io, json, math, os, sys, time
os.environ["TZ"] = "UTC"
time.tzset()
import duckdb, polars, pyarrow as pa, pyarrow.parquet as pq
from chdb import session
job = json.load(sys.stdin)
faults, values = [], collections.Counter()
house = session.Session(job["dir"] + "/chdb")
spark = None
if job["spark"]:
    from pyspark.sql import SparkSession
    spark = (SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").config("spark.driver.memory", "700m").config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1").config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.session.timeZone", "UTC").config("spark.sql.warehouse.dir", job["dir"] + "/spark").config("spark.log.level", "ERROR").getOrCreate())
def plain(v):
    return v.replace(tzinfo=datetime.timezone.utc) if isinstance(v, datetime.datetime) and v.tzinfo is None else v
def same(x, y):
    return x == y or isinstance(x, float) and isinstance(y, float) and math.isnan(x) and math.isnan(y)
want = {
    "customer_scores": {"customer_id": pa.int64(), "as_of": pa.timestamp("us", tz="UTC"), "run_id": pa.string(), "segment_id": pa.int32(),
        "segment_name": pa.string(), "segment_distance": pa.float64(), "segment_before": pa.int32(), "lifecycle_stage": pa.string(), "engagement_score": pa.int32(), "rfm_recency": pa.int32(), "rfm_frequency": pa.int32(),
        "rfm_monetary": pa.int32(), "rfm_segment": pa.string(), "churn_probability": pa.float64(), "churn_percentile": pa.float64(),
        "purchase_probability": pa.float64(), "purchase_percentile": pa.float64(), "expected_purchases": pa.float64(),
        "expected_value": pa.decimal128(18, 4), "p_alive": pa.float64()},
    "features": {"customer_id": pa.int64(), "spend_lifetime": pa.float64(), "as_of": pa.timestamp("us", tz="UTC")},
    "changes": {"customer_id": pa.int64(), "change": pa.string(), "moved": pa.string(), "segment_id": pa.int32(), "segment_id_before": pa.int32(),
        "churn_probability_before": pa.float64(), "expected_value_before": pa.decimal128(18, 4)},
    "segments": {"segment_id": pa.int32(), "revenue": pa.decimal128(18, 4), "customers": pa.int64()},
    "segment_profiles": {"segment_id": pa.int32(), "feature": pa.string(), "median": pa.float64(), "customers": pa.int64()},
    "segment_migrations": {"from_segment_id": pa.int32(), "to_segment_id": pa.int32(), "customers": pa.int64()},
    "segment_history": {"segment_id": pa.int32(), "status": pa.string(), "matched_share": pa.float64()},
    "segment_distances": {"segment_id": pa.int32(), "distance": pa.float64()},
    "segment_counts": {"segments": pa.int32(), "chosen": pa.bool_(), "why": pa.string()},
    "customer_map": {"segment_id": pa.int32(), "x": pa.float64(), "x_features": pa.string()},
    "trends": {"date": pa.string(), "subject": pa.string(), "measure": pa.string(), "value": pa.float64()},
    "segment_models": {"segmentation": pa.string(), "model": pa.string()},
    "calibration": {"target": pa.string(), "rate": pa.float64(), "customers": pa.int64()},
    "model_curves": {"curve": pa.string(), "point": pa.int64(), "y": pa.float64(), "champion": pa.bool_()},
    "feature_effects": {"feature": pa.string(), "tenth": pa.int64(), "mean_effect": pa.float64()},
    "label_audit": {"target": pa.string()},
    "model_metrics": {"metric": pa.string(), "value": pa.float64(), "champion": pa.bool_()},
    "rejected_rows": {"reason": pa.string()},
    "score_backtest": {"target": pa.string(), "auc": pa.float64(), "value_actual": pa.decimal128(18, 4)},
    "data_quality": {"metric": pa.string(), "value": pa.float64(), "status": pa.string()},
    "drift": {"name": pa.string(), "psi": pa.float64(), "ks": pa.float64()},
    "cohorts": {"cohort": pa.date32(), "months_since": pa.int32(), "customers": pa.int64(), "complete": pa.bool_()},
    "drift_bins": {"name": pa.string(), "of_null": pa.bool_(), "actual_count": pa.int64()},
}
con = duckdb.connect()
con.execute("SET TimeZone = 'UTC'")
duck = {"int64": "BIGINT", "int32": "INTEGER", "string": "VARCHAR", "double": "DOUBLE", "bool": "BOOLEAN",
        "date32[day]": "DATE", "timestamp[us, tz=UTC]": "TIMESTAMP WITH TIME ZONE", "decimal128(18, 4)": "DECIMAL(18,4)"}
click = {"int64": "Int64", "int32": "Int32", "string": "String", "double": "Float64", "bool": "Bool",
         "date32[day]": "Date32", "timestamp[us, tz=UTC]": "DateTime64(6, 'UTC')", "decimal128(18, 4)": "Decimal(18, 4)"}
sparks = {"int64": "bigint", "int32": "int", "string": "string", "double": "double", "bool": "boolean",
          "date32[day]": "date", "timestamp[us, tz=UTC]": "timestamp", "decimal128(18, 4)": "decimal(18,4)"}
for table, rows in job["tables"].items():
    files = glob.glob(job["out"] + "/" + table + "/*/*/*.parquet")
    a = pa.concat_tables(pq.ParquetFile(f).read() for f in files)
    d = con.execute("SELECT * FROM read_parquet(?, hive_partitioning = false)", [files])
    types = {x[0]: str(x[1]) for x in d.description}
    dt = d.to_arrow_table() if hasattr(d, "to_arrow_table") else d.arrow()
    p = polars.read_parquet(files, hive_partitioning=False)
    if not (a.num_rows == dt.num_rows == p.height == rows):
        faults.append(f"{table}: {a.num_rows} rows in pyarrow, {dt.num_rows} in DuckDB, {p.height} in Polars, {rows} published")
    for name, typ in ({"run_id": pa.string()} | want.get(table, {})).items():
        if name not in a.column_names:
            faults.append(f"{table}.{name}: missing")
            continue
        if a.schema.field(name).type != typ:
            faults.append(f"{table}.{name}: {a.schema.field(name).type} in pyarrow, want {typ}")
        if types[name] != duck[str(typ)]:
            faults.append(f"{table}.{name}: {types[name]} in DuckDB, want {duck[str(typ)]}")
    for name in a.column_names:
        if not a.schema.field(name).nullable:
            faults.append(f"{table}.{name}: required")
        x = a.column(name).to_pylist()
        y = dt.column(name).to_pylist()
        z = p.get_column(name).to_list()
        if [str(v) for v in x] != [str(v) for v in z] and x != z:
            faults.append(f"{table}.{name}: pyarrow and Polars differ")
        if x != y and [str(v) for v in x] != [str(v) for v in y]:
            faults.append(f"{table}.{name}: pyarrow and DuckDB differ")
        values["duckdb"] += len(y)
        values["polars"] += len(z)
    others, mine = {}, a.to_pydict()
    how = "SETTINGS use_hive_partitioning = 0"
    source = f"file('{job['out']}/{table}/*/*/*.parquet', 'Parquet')"
    kinds = {r["name"]: r["type"] for r in map(json.loads, house.query(f"DESCRIBE {source} {how}", "JSONEachRow").bytes().decode().splitlines())}
    t = pq.read_table(io.BytesIO(house.query(f"SELECT * FROM {source} {how}, output_format_parquet_string_as_string = 1", "Parquet").bytes())) if rows else None
    others["clickhouse"] = kinds, {k: f"Nullable({v})" for k, v in click.items()}, t.to_pydict() if rows else {n: [] for n in mine}
    if spark:
        df = spark.read.parquet(*files)
        got = df.collect()
        others["spark"] = {f.name: f.dataType.simpleString() for f in df.schema.fields}, sparks, {n: [r[i] for r in got] for i, n in enumerate(df.columns)}
    for reader, (types, spelled, columns) in others.items():
        for field in a.schema:
            if types[field.name] != spelled[str(field.type)]:
                faults.append(f"{table}.{field.name}: {types[field.name]} in {reader}, want {spelled[str(field.type)]}")
            x, y = mine[field.name], columns[field.name]
            if len(x) != len(y) or any(not same(v, plain(w)) for v, w in zip(x, y)):
                faults.append(f"{table}.{field.name}: pyarrow and {reader} differ: {[(v, w) for v, w in zip(x, y) if not same(v, plain(w))][:2]}")
            values[reader] += len(y)
house.close()
if spark:
    spark.stop()
json.dump({"Faults": faults, "Values": values}, sys.stdout)
`
