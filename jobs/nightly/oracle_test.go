package nightly

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/synth"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/featuretest"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/internal/pyoracle"
	"github.com/shoal-data/shoal/jobs/config"
)

// exampleJobs are the jobs of jobs/examples and the dates that their history is looked
// at: early, in the middle, and at the end.
var exampleJobs = []struct {
	name  string
	dates []string
}{
	{"cdnow_master", []string{"1997-03-31", "1997-09-30", "1998-06-30"}},
	{"cdnow_sample", []string{"1997-03-31", "1997-09-30", "1998-06-30"}},
	{"complete_journey", []string{"2017-03-12", "2017-11-05", "2017-12-31"}}, // with clock changes in New York
	{"megaline", []string{"2018-03-31", "2018-09-30", "2018-12-31"}},
	{"online_retail", []string{"2011-02-28", "2011-08-31", "2011-12-09"}},
	{"retentioneering", []string{"2024-02-29", "2024-05-01", "2024-06-29"}},
	{"sparkify", []string{"2018-11-10", "2018-11-20", "2018-11-30"}},
	{"yoochoose", []string{"2014-05-31", "2014-08-15", "2014-09-30"}},
}

// dataVariable finds ${DATA} for the example jobs.
func dataVariable(dir string) func(string) (string, bool) {
	return func(name string) (string, bool) { return dir, name == "DATA" }
}

func exampleConfig(t *testing.T, name, data string) *config.Config {
	t.Helper()
	path := filepath.Join("..", "examples", name+".yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse(path, text, dataVariable(data))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func generated(t *testing.T, p synth.Params) (dir string, c *config.Config) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "sample")
	if _, err := synth.Generate(t.Context(), p, dir, nil); err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("generated", []byte(synth.Config(dir, filepath.Join(dir, "out"))), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return dir, c
}

// compare holds every feature column against its SQL over the same Parquet
// files, read by DuckDB through a query that shares nothing with the reader.
func compare(t *testing.T, c *config.Config, dates []string) {
	t.Helper()
	python := pyoracle.Python(t)
	r, err := prepare(Options{Config: c, Date: dates[len(dates)-1], FS: storage.Local(), Log: zerolog.Nop(), Now: time.Now, Force: true})
	if err != nil {
		t.Fatal(err)
	}
	c.Out = t.TempDir()
	in, err := r.find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h, err := r.read(t.Context(), in, r.asOf.Instant)
	if err != nil {
		t.Fatal(err)
	}
	families, err := features.Select(c.FeatureParams(), c.Features.Families)
	if err != nil {
		t.Fatal(err)
	}
	var asOfs []timeline.AsOf
	for _, d := range dates {
		a, err := timeline.ParseAsOf(d, r.zone)
		if err != nil {
			t.Fatal(err)
		}
		asOfs = append(asOfs, a)
	}
	tables := featuretest.Tables(t, h.store, families, asOfs, 2)
	for _, table := range tables {
		if table.Rows() == 0 {
			t.Fatalf("nobody as of %s", table.AsOf)
		}
	}
	events := []string{in.plan.EventSQL()}
	if c.Sources[0].Columns[datasets.EventID] != "" { // the first in canonical order stays, where null goes before all else
		events = append(events, `CREATE OR REPLACE TABLE events AS SELECT * FROM events
QUALIFY event_id IS NULL OR row_number() OVER (PARTITION BY customer_id, event_id ORDER BY event_time, event_type NULLS FIRST) = 1`)
	}
	featuretest.Report(t, featuretest.Compare(t, python, events, tables, families, r.zone))
}

func TestFeaturesEqualTheirSQLOnRealHistory(t *testing.T) {
	data := pyoracle.Data(t)
	for _, e := range exampleJobs {
		t.Run(e.name, func(t *testing.T) { compare(t, exampleConfig(t, e.name, data), e.dates) })
		// And by the days of another part of the world, with clock changes between the dates.
		t.Run(e.name+"_elsewhere", func(t *testing.T) {
			c := exampleConfig(t, e.name, data)
			if c.TimeZone == "America/New_York" {
				c.TimeZone = "Europe/Berlin"
			} else {
				c.TimeZone = "America/New_York"
			}
			compare(t, c, e.dates)
		})
	}
}

func TestFeaturesEqualTheirSQLOnGeneratedHistory(t *testing.T) {
	p := synth.DefaultParams()
	p.Customers, p.Seed = 1500, 5
	p.Start, p.End = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, variant := range []struct {
		name     string
		integers bool
		zone     string
	}{{"strings", false, "UTC"}, {"integers_decimals_new_york", true, "America/New_York"}} {
		t.Run(variant.name, func(t *testing.T) {
			params := p
			params.IntegerIDs, params.DecimalAmounts = variant.integers, variant.integers
			_, c := generated(t, params)
			c.TimeZone = variant.zone
			compare(t, c, []string{"2024-03-10", "2024-07-01", "2024-12-31"})
		})
	}
}

// Every example maps columns that hold something and roles that its data have.
func TestExamplesFitTheirData(t *testing.T) {
	data := pyoracle.Data(t)
	for _, e := range exampleJobs {
		c := exampleConfig(t, e.name, data)
		c.Out = t.TempDir()
		r, err := prepare(Options{Config: c, Date: e.dates[len(e.dates)-1], FS: storage.Local(), Log: zerolog.Nop(), Now: time.Now, Force: true})
		if err != nil {
			t.Fatal(err)
		}
		in, err := r.find(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		h, err := r.read(t.Context(), in, r.asOf.Instant)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range h.report.Nulls {
			if n.Nulls == n.Rows {
				t.Errorf("%s maps %v onto %s, which is null in every row", e.name, n.Field, n.Column)
			}
		}
		for role := range c.Sources[0].Roles {
			if h.census.Roles[role] == 0 {
				t.Errorf("%s maps event types onto %s, of which there are none", e.name, role)
			}
		}
	}
}

// Every example is in the tests above.
func TestExamplesAreComplete(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "examples", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, e := range exampleJobs {
		known[e.name] = true
	}
	for _, f := range files {
		if name := strings.TrimSuffix(filepath.Base(f), ".yaml"); !known[name] {
			t.Errorf("%s is in no test", f)
		}
	}
	if len(files) != len(exampleJobs) {
		t.Errorf("%d examples, %d in the tests", len(files), len(exampleJobs))
	}
}
