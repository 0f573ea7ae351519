package scan_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/datasets/scan/internal/ordered"
	"github.com/shoal-data/shoal/datasets/storage"
)

// The files that Apache keeps for its readers, sound ones of many writers (Impala, Hive,
// Spark, arrow-rs …) and malformed ones that made readers crash, are read or refused with a
// location. They are not copied here: SHOAL_PARQUET_TESTING names a checkout of
// github.com/apache/parquet-testing.
func TestApacheFiles(t *testing.T) {
	root := os.Getenv("SHOAL_PARQUET_TESTING")
	if root == "" {
		t.Skip("set SHOAL_PARQUET_TESTING to a checkout of github.com/apache/parquet-testing")
	}
	// What is wrong with two is in lists, which no field is mapped to; indexes of 0 bits, as in
	// the third, are those of a dictionary of one value.
	readable := []string{"ARROW-RS-GH-6229-LEVELS.parquet", "ARROW-GH-45185.parquet", "ARROW-GH-43605.parquet"}
	// Kept among the sound ones, and refused with reason: pages that are not what they were, a
	// footer that states 0 rows for 6, and a chunk that is shorter than its dictionary.
	refused := []string{
		"datapage_v1-corrupt-checksum.parquet", "rle-dict-uncompressed-corrupt-checksum.parquet",
		"repeated_no_annotation.parquet", "nation.dict-malformed.parquet",
	}
	for _, dir := range []string{"bad_data", "data", "data/geospatial", "shredded_variant"} {
		files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(dir), "*.parquet*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(files), err)
		}
		for _, path := range files {
			name := filepath.Base(path)
			if filepath.Ext(name) == ".json" {
				continue
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			p, err := scan.Inspect(ctx, storage.Local(), []string{path}, scan.DefaultInspectOptions())
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > memoryBound+200*uint64(info.Size()) {
				t.Errorf("%s: %d bytes allocated for %d", name, n, info.Size())
			}
			var e *scan.Error
			var bug *ordered.PanicError
			switch {
			case errors.As(err, &bug):
				t.Errorf("%s: a panic: %v", name, err)
			case err != nil && (!errors.As(err, &e) || e.File != path):
				t.Errorf("%s: %v does not locate the fault", name, err)
			case dir == "bad_data" && err == nil && !slices.Contains(readable, name):
				t.Errorf("%s: read as if sound: %+v", name, p)
			case dir != "bad_data" && err != nil && !slices.Contains(refused, name) && filepath.Ext(name) != ".encrypted":
				t.Errorf("%s: %v", name, err)
			}
			t.Logf("%s/%s: %v", dir, name, err)
		}
	}
}

// Files of Impala and of Hive's writer, with INT96 times, dictionaries and without, and pages
// of a few values, hold the events that DuckDB finds in them.
func TestImpalaFiles(t *testing.T) {
	root := os.Getenv("SHOAL_PARQUET_TESTING")
	if root == "" {
		t.Skip("set SHOAL_PARQUET_TESTING to a checkout of github.com/apache/parquet-testing")
	}
	for _, name := range []string{"alltypes_plain", "alltypes_plain.snappy", "alltypes_dictionary", "alltypes_tiny_pages", "alltypes_tiny_pages_plain"} {
		c := oracleCase{
			Name: name, Glob: filepath.Join(root, "data", name+".parquet"), Roles: map[string]string{"0": "view", "1": "purchase"},
			Columns: map[string]string{
				"customer_id": "id", "event_time": "timestamp_col", "event_type": "string_col", "amount": "double_col", "quantity": "float_col",
				"rating": "tinyint_col", "product_id": "bigint_col", "category": "date_string_col", "session_id": "smallint_col", "channel": "bool_col",
			},
		}
		p := mustPlan(t, c.source(t))
		got, _, err := eventRows(t, p, scan.DefaultOptions())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var want map[string][][]string
		runScript(t, "oracle.py", []map[string]string{{"name": name, "sql": p.EventSQL(), "columns": oracleColumns(p.IDType)}}, &want, "query")
		if diff := firstDifferences(got, want[name]); diff != "" || len(got) == 0 {
			t.Errorf("%s: %d events:\n%s", name, len(got), diff)
		}
		t.Logf("%s: %d events", name, len(got))
	}
}
