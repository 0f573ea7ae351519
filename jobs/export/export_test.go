package export_test

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/rs/zerolog"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/storage/storagetest"
	"github.com/shoal-data/shoal/datasets/synth"
	"github.com/shoal-data/shoal/internal/pyoracle"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/export"
	"github.com/shoal-data/shoal/jobs/nightly"
)

//go:embed compare_test.py
var compare string

func generated(t *testing.T, ids bool) *config.Config {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "sample")
	p := synth.DefaultParams()
	p.Customers, p.IntegerIDs = 800, ids
	if _, err := synth.Generate(t.Context(), p, dir, nil); err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("generated", []byte(synth.Config(dir, filepath.Join(dir, "out"))), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func options(c *config.Config, to, format string, dates ...string) export.Options {
	return export.Options{
		Options: nightly.Options{Config: c, FS: storage.Local(), Version: "test", Log: zerolog.Nop(), Now: time.Now},
		Dates:   dates, To: to, Format: format,
	}
}

func only(family string, o export.Options) export.Options {
	o.Families = []string{family}
	return o
}

// Every format holds what a run of each date publishes, read by pyarrow and
// DuckDB, for text and for integer ids; Arrow carries units and meanings.
func TestFormatsHoldWhatRunsPublish(t *testing.T) {
	for _, ids := range []bool{false, true} {
		c := generated(t, ids)
		c.Targets, c.Segmentations = nil, nil
		dates := []string{"2025-03-31", "2024-12-31"}
		to := t.TempDir()
		for _, format := range export.Formats {
			s, err := export.Features(t.Context(), options(c, filepath.Join(to, format), format, dates...))
			if err != nil {
				t.Fatal(err)
			}
			if s.Status != nightly.StatusExported || s.Tables["ds=2025-03-31"] < 500 || s.Tables["ds=2024-12-31"] < 300 {
				t.Errorf("summary %+v", s)
			}
		}
		for _, d := range dates {
			o := options(c, "", "").Options
			o.Date = d
			if _, err := nightly.Run(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		var faults []string
		pyoracle.Run(t, compare, map[string]any{"exports": to, "published": c.Out, "dates": dates, "formats": export.Formats}, &faults)
		if len(faults) > 0 {
			t.Error(strings.Join(faults, "\n"))
		}
	}
}

// Only the columns that the chosen families need are read: a file whose other
// columns are missing will do.
func TestOnlyNeededColumnsAreRead(t *testing.T) {
	c := generated(t, false)
	c.Sources[0].Columns[datasets.Rating] = "nowhere"
	to := t.TempDir()
	if _, err := export.Features(t.Context(), only("money", options(c, to, "csv", "2025-03-31"))); err != nil {
		t.Error(err)
	}
}

func TestFaultsAreNamedTogether(t *testing.T) {
	c := generated(t, false)
	to := t.TempDir()
	if err := os.MkdirAll(filepath.Join(to, "ds=2025-03-31"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to, "ds=2025-03-31", "features.csv"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := export.Features(t.Context(), options(c, to, "xlsx", "2025-03-31", "31.3.2025", "2025-02-28", "2025-02-28"))
	if nightly.ExitCode(err) != nightly.ExitUsage {
		t.Errorf("exit code %d", nightly.ExitCode(err))
	}
	for _, want := range []string{`"xlsx": formats are parquet, arrow, csv`, "ds=2025-03-31 exists already", `"31.3.2025" is not`, "2025-02-28 is given twice"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

// A fault at any operation that writes leaves the date whole or not there at
// all, and no other file.
func TestFaultsLeaveNothingBehind(t *testing.T) {
	c := generated(t, false)
	const date = "2025-03-31"
	attempt := func(plan storagetest.Plan) (to string, trace []string, err error) {
		to = filepath.Join(t.TempDir(), "deep", "er")
		o := only("recency", options(c, to, "parquet", date))
		faulty := storagetest.NewFaulty(storage.Local(), plan)
		o.FS = faulty
		_, err = export.Features(t.Context(), o)
		return to, faulty.Trace(), err
	}
	_, trace, err := attempt(storagetest.Plan{})
	if err != nil {
		t.Fatal(err)
	}
	// The number of reads before may vary with the workers, so faults are
	// placed from the end.
	writes := 0
	for i := len(trace) - 1; !strings.Contains(trace[i], "events"); i-- {
		writes++
	}
	if writes < 5 {
		t.Fatalf("%d operations write: %v", writes, trace[len(trace)-10:])
	}
	for _, after := range []bool{false, true} {
		for n := range writes {
			to, made, err := attempt(storagetest.Plan{At: len(trace) - n, Err: syscall.EIO, After: after})
			whole := filepath.Join(to, "ds="+date, "features.parquet")
			if _, there := os.Stat(whole); there == nil != (err == nil) && !strings.HasPrefix(made[len(trace)-n-1], "syncdir") && !(after && strings.HasPrefix(made[len(trace)-n-1], "rename")) {
				t.Errorf("operation %d from the end (%s): error %v, and %s: %v", n, made[len(trace)-n-1], err, whole, there)
			}
			for _, pattern := range []string{"*", ".*"} {
				names, _ := filepath.Glob(filepath.Join(to, pattern))
				for _, name := range names {
					if name != filepath.Dir(whole) {
						t.Errorf("operation %d from the end: left %s", n, name)
					}
				}
			}
		}
	}
}

// Whatever an export leaves that dies at any operation, the next one of its date
// removes, empty directories too.
func TestKilledExportIsCleared(t *testing.T) {
	c := generated(t, false)
	const date = "2025-03-31"
	attempt := func(to string, plan storagetest.Plan) ([]string, error) {
		o := only("recency", options(c, to, "csv", date))
		faulty := storagetest.NewFaulty(storage.Local(), plan)
		o.FS = faulty
		_, err := export.Features(t.Context(), o)
		return faulty.Trace(), err
	}
	trace, err := attempt(t.TempDir(), storagetest.Plan{})
	if err != nil {
		t.Fatal(err)
	}
	first := slices.IndexFunc(trace, func(op string) bool { return strings.HasPrefix(op, "makedir") })
	dirs := 0
	for at := first + 1; at <= len(trace); at++ {
		if strings.HasPrefix(trace[at-1], "write ") && at > first+8 && at < len(trace)-8 {
			continue // one is like another
		}
		to := t.TempDir()
		if _, err := attempt(to, storagetest.Plan{At: at, Err: syscall.EIO, Kill: true}); err == nil && at < len(trace) {
			t.Fatalf("operation %d of %d: nobody died", at, len(trace))
		}
		left, err := filepath.Glob(filepath.Join(to, ".ds=*"))
		if err != nil {
			t.Fatal(err)
		}
		dirs += len(left)
		_, _ = attempt(to, storagetest.Plan{}) // refused when the first was whole
		names, err := os.ReadDir(to)
		if err != nil || len(names) != 1 || names[0].Name() != "ds="+date {
			t.Errorf("killed at %s: %v, %v", trace[at-1], names, err)
		}
	}
	if dirs == 0 {
		t.Error("no death left anything: nothing was tested")
	}
}

// A spreadsheet finds no formula in CSV, whatever customers are called; Parquet has their ids.
func TestCSVHasNoFormulas(t *testing.T) {
	type row struct {
		Customer string `parquet:"customer"`
		Time     int64  `parquet:"at,timestamp(microsecond)"`
	}
	dir := t.TempDir()
	var rows []row
	evil := []string{"=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1"}
	for _, id := range append(evil, "a=b", "'=1", "12") {
		rows = append(rows, row{id, time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC).UnixMicro()})
	}
	if err := parquet.WriteFile(dir+"/a.parquet", rows); err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("evil", []byte("sources: [{path: "+dir+"/a.parquet, columns: {customer_id: customer, event_time: at}, role: view}]\nout: "+dir+"/out\n"), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := export.Features(t.Context(), only("recency", options(c, dir+"/csv", "csv", "2024-05-31"))); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(dir + "/csv/ds=2024-05-31/features.csv")
	if err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil || len(lines) != len(rows)+1 {
		t.Fatal(len(lines), err)
	}
	seen := map[string]bool{}
	for _, line := range lines[1:] {
		id := line[0]
		seen[id] = true
		if strings.ContainsAny(id[:1], "=+-@\t\r\n") {
			t.Errorf("a cell begins with %q", id)
		}
	}
	for _, id := range evil {
		if !seen["'"+strings.ReplaceAll(id, "\r\n", "\n")] {
			t.Errorf("%q is not there: %v", id, seen)
		}
	}
	if !seen["a=b"] || !seen["'=1"] || !seen["12"] {
		t.Errorf("harmless ids were changed: %v", seen)
	}
}

// Totals at one date are added up as rows come; beside another date, timelines are
// replayed for them. The files are the same bytes, and the summaries agree; what is
// not needed is not read.
func TestTotalsNeedNoOrder(t *testing.T) {
	for _, ids := range []bool{false, true} {
		c := generated(t, ids)
		c.Dedupe, c.Targets = config.DedupeNone, nil
		columns := []string{"event_count_lifetime", "purchase_count_lifetime", "spend_lifetime", "refund_lifetime"}
		export := func(dates ...string) ([]byte, *nightly.Summary) {
			to := t.TempDir()
			o := options(c, to, "parquet", dates...)
			o.Columns = columns
			s, err := export.Features(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			file, err := os.ReadFile(filepath.Join(to, "ds=2025-02-28", "features.parquet"))
			if err != nil {
				t.Fatal(err)
			}
			return file, s
		}
		ordered, in := export("2025-02-28", "2025-01-31")
		plain, out := export("2025-02-28")
		if !bytes.Equal(plain, ordered) {
			t.Errorf("%d bytes, and %d of timelines", len(plain), len(ordered))
		}
		if !reflect.DeepEqual(in.Input, out.Input) || out.Tables["ds=2025-02-28"] < 500 {
			t.Errorf("%+v, and of timelines %+v", out.Input, in.Input)
		}
		c.Sources[0].Columns[datasets.Quantity] = "nowhere"
		if again, _ := export("2025-02-28"); !bytes.Equal(again, plain) {
			t.Error("without a column that is not needed other bytes come out")
		}
	}
}

func TestColumnsThatAreNot(t *testing.T) {
	o := options(generated(t, false), t.TempDir(), "csv", "2025-03-31")
	o.Columns = []string{"spend_lifetime", "spent"}
	_, err := export.Features(t.Context(), o)
	if err == nil || nightly.ExitCode(err) != nightly.ExitUsage || !strings.Contains(err.Error(), `"spent"`) {
		t.Errorf("exit code %d: %v", nightly.ExitCode(err), err)
	}
}
