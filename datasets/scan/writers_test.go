package scan_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/shoal-data/shoal/datasets/scan"
)

// A writersOutput is what testdata/writers.py wrote: files that all hold the same events.
type writersOutput struct {
	Events, Days [][]string // with full times, and with times rounded down to days
	Cases        []struct {
		oracleCase
		Day bool
	}
}

// check reads every case and compares it with the events.
func (out *writersOutput) check(t *testing.T, dir string) {
	t.Helper()
	hashIDs(out.Events)
	hashIDs(out.Days)
	if len(out.Events) == 0 || slices.EqualFunc(out.Events, out.Days, slices.Equal) {
		t.Fatalf("%d events, or none within a day", len(out.Events))
	}
	for _, c := range out.Cases {
		want := out.Events
		if c.Day {
			want = out.Days
		}
		if !filepath.IsAbs(c.Glob) {
			c.Glob = filepath.Join(dir, c.Glob)
		}
		t.Run(c.Name, func(t *testing.T) {
			opts := scan.DefaultOptions()
			opts.Workers = 2
			got, rep, err := eventRows(t, mustPlan(t, c.source(t)), opts)
			if err != nil {
				t.Fatal(err)
			}
			if diff := firstDifferences(got, want); diff != "" {
				t.Errorf("the reader delivers %d events, %d were written; rejects %+v\n%s", len(got), len(want), rep.Rejects, diff)
			}
		})
	}
}

// The same events are read from the files of DuckDB, pyarrow, Polars, pandas and
// fastparquet, in every form that these write.
func TestWritersAgree(t *testing.T) {
	dir := t.TempDir()
	var out writersOutput
	runScript(t, "writers.py", nil, &out, "write", dir)
	if len(out.Cases) < 150 {
		t.Errorf("only %d cases", len(out.Cases))
	}
	out.check(t, dir)
}

// And from those of Apache Spark, which testdata/writers.py wrote once: INT96 and other
// timestamps, lists in the present form and the two legacy ones, both versions of its writer.
func TestSparkFiles(t *testing.T) {
	dir := filepath.Join("testdata", "spark")
	data, err := os.ReadFile(filepath.Join(dir, "cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	var out writersOutput
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*.parquet")); len(files) != len(out.Cases) {
		t.Errorf("%d files and %d cases", len(files), len(out.Cases))
	}
	out.check(t, dir)
}
