package outlook_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/synth"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/nightly"
	"github.com/shoal-data/shoal/jobs/outlook"
)

// sample is a generated history of a year and its job, with fixed horizons.
func sample(t *testing.T) (dir string, c *config.Config) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "sample")
	p := synth.DefaultParams()
	p.Customers, p.Start, p.End = 250, time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	if _, err := synth.Generate(t.Context(), p, dir, nil); err != nil {
		t.Fatal(err)
	}
	text := synth.Config(dir, filepath.Join(dir, "out")) + `
limits: {workers: 2, memory: 1GiB}
models: {retrain: weekly}
targets:
  - {name: churn, kind: churn, horizon: 45d}
  - {name: soon, kind: propensity, horizon: 30d, gap: 7d}
`
	c, err := config.Parse("generated", []byte(text), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return dir, c
}

func options(c *config.Config, date string) nightly.Options {
	return nightly.Options{Config: c, Date: date, FS: storage.Local(), Version: "test", Log: zerolog.Nop(), Now: time.Now}
}

func plan(t *testing.T, c *config.Config, date string) *outlook.Report {
	t.Helper()
	r, err := outlook.Of(t.Context(), options(c, date))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// listing names every file under dir.
func listing(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		files = append(files, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// What the plan says is what the run then does.
func TestPlanIsWhatTheRunDoes(t *testing.T) {
	dir, c := sample(t)
	const date = "2024-11-30"
	before := listing(t, dir)
	r := plan(t, c, date)
	if after := listing(t, dir); !slices.Equal(before, after) {
		t.Error("planning wrote files")
	}
	if r.Status != outlook.StatusRun || r.RunID != "" || r.Last != nil || r.Input.LikelyEvents != 0 || r.Memory.TableBytes != 0 {
		t.Errorf("before any run: %+v", r)
	}
	s, err := nightly.Run(t.Context(), options(c, date))
	if err != nil {
		t.Fatal(err)
	}
	in := r.Input
	if in.Files != s.Input.Files || in.Rows != s.Input.RowsRead || in.RowsSkipped != s.Input.RowsSkipped || in.RowsSkipped == 0 || s.Input.Events > in.MostEvents || s.Input.Events*10 < in.MostEvents*8 {
		t.Errorf("input %+v, the run had %+v", in, s.Input)
	}
	if in.First != s.Input.First[:10] || in.Last != s.Input.Last[:10] {
		t.Errorf("events from %s to %s, the run had %s to %s", in.First, in.Last, s.Input.First, s.Input.Last)
	}
	var names []string
	for _, table := range r.Tables {
		names = append(names, table.Name)
	}
	slices.Sort(names)
	if published := slices.Sorted(maps.Keys(s.Tables)); !slices.Equal(names, published) {
		t.Errorf("nightly.Tables lists %v, the run published %v", names, published)
	}
	columns := 0
	for _, f := range r.Families {
		columns += f.Columns
	}
	if m, _, err := nightly.Published(t.Context(), storage.Local(), c.Out, date); err != nil || columns != r.Columns {
		t.Errorf("%d columns in families, %d said (%v)", columns, r.Columns, err)
	} else if got := len(m.Table("features").Columns); got != r.Columns+3 { // and customer, as_of, run
		t.Errorf("%d columns of features, published are %d", r.Columns, got)
	}
	if got := []string{r.Dates.Targets[0].Test, r.Dates.Targets[1].Test}; got[0] != s.Targets[0].TestDate || got[1] != s.Targets[1].TestDate {
		t.Errorf("tested at %v, the run tested at %s and %s", got, s.Targets[0].TestDate, s.Targets[1].TestDate)
	}
	if got := fmt.Sprint(r.Dates.Targets[1].Train); got != "[2024-07-05 2024-08-11 2024-09-17]" {
		t.Errorf("learnt at %s", got) // 2024-11-30 less 37 days is the test, and three times 37 more
	}
	var holdout int
	if s.Value != nil {
		holdout = s.Value.HoldoutDays
	}
	score, _ := time.Parse(time.DateOnly, date)
	if want := score.AddDate(0, 0, -holdout).Format(time.DateOnly); holdout == 0 || r.Dates.Holdout != want {
		t.Errorf("holdout from %s, the run's was %d days", r.Dates.Holdout, holdout)
	}

	// The same run again is none, and another learns from it.
	if r := plan(t, c, date); r.Status != outlook.StatusNoop || r.RunID != s.RunID || !strings.Contains(r.Tables[0].Path, "run="+s.RunID+"/") {
		t.Errorf("after the run: %s of %s, %s", r.Status, r.RunID, r.Tables[0].Path)
	}
	for day, learnt := range map[string]string{"2024-12-05": date, "2024-12-07": ""} {
		if g := plan(t, c, day).Dates.Targets[1]; g.Learnt != learnt || learnt == "" && len(g.Train) != 3 || learnt != "" && (g.Test != "" || len(g.Train) > 0) {
			t.Errorf("%s: a model of %q is to score, and yet: %+v", day, learnt, g)
		}
	}
	next := plan(t, c, "2024-12-31")
	l := next.Last
	if l == nil || l.RunID != s.RunID || next.Status != outlook.StatusRun {
		t.Fatalf("after the run: %+v", next)
	}
	c.Limits.Memory.Bytes = 32 << 20 // all of which is for other things
	little := plan(t, c, "2024-12-31").Memory
	actual, err := nightly.Run(t.Context(), options(c, "2024-12-31"))
	if err != nil {
		t.Fatal(err)
	}
	near := func(what string, got, want int64) {
		if got*10 < want*9 || got*10 > want*11 {
			t.Errorf("%s: %d were likely, %d came", what, got, want)
		}
	}
	near("events", next.Input.LikelyEvents, actual.Input.Events)
	near("customers", next.Input.LikelyCustomers, actual.Input.Customers)
	if actual.Held == nil || s.Held == nil || s.Held.OtherBytes < 1<<20 {
		t.Fatalf("the runs held %+v and %+v", s.Held, actual.Held)
	}
	near("bytes in order", next.Memory.OrderedBytes, actual.Held.OrderedBytes)
	near("bytes of tables", next.Memory.TableBytes, actual.Held.TableBytes)
	near("bytes spilled", little.SpillBytes, actual.SpilledBytes)
	if m := next.Memory; l.PeakMemoryBytes == 0 || l.Seconds == 0 || m.LikelyPeakBytes < l.PeakMemoryBytes || m.BudgetBytes != 1<<30 || m.SpoolBytes < 1<<28 || !m.Fits || m.SpillBytes != 0 || s.SpilledBytes != 0 {
		t.Errorf("memory %+v, the run before had %+v", m, l)
	}
	// The peak of a process of tests is that of all tests so far, so only that the
	// rest of what the run needs does not fit is sure.
	if little.Fits || little.BudgetBytes != 32<<20 || little.LikelyPeakBytes < s.Held.OtherBytes {
		t.Errorf("memory %+v fits in 32 MiB", little)
	}
}

// No page of data is read: with every page of every file damaged the plan is the same.
func TestPlanReadsFootersOnly(t *testing.T) {
	dir, c := sample(t)
	c.Sources[0].RequireDate = false
	spelt := func() string {
		b, err := json.Marshal(plan(t, c, "2024-11-30"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	want := spelt()
	files, err := filepath.Glob(filepath.Join(dir, "events", "*", "*.parquet"))
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		footer := len(b) - 8 - int(uint32(b[len(b)-8])|uint32(b[len(b)-7])<<8|uint32(b[len(b)-6])<<16|uint32(b[len(b)-5])<<24)
		clear(b[4:footer])
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := spelt(); got != want {
		t.Errorf("%s\nwith damaged pages\n%s", want, got)
	}
	if _, err := nightly.Run(t.Context(), options(c, "2024-11-30")); err == nil {
		t.Error("a run reads the damaged pages, so they were not damaged")
	}
}

// What cannot be known says so; what is wrong fails as the run does.
func TestUnknowns(t *testing.T) {
	_, c := sample(t)
	c.Targets = []config.Target{config.DefaultTarget("churn", config.KindChurn)}
	r := plan(t, c, "2024-11-30")
	if g := r.Dates.Targets[0]; g.Horizon != 0 || g.Test != "" || len(g.Train) != 0 || !strings.Contains(g.Note, "chosen from the data") {
		t.Errorf("an automatic horizon: %+v", g)
	}
	_, c = sample(t)
	// Times by their local day alone, as text: the footers do not tell when history begins.
	c.Sources[0].Columns[1] = "event_type"
	r = plan(t, c, "2024-11-30")
	if r.Input.First != "" || r.Dates.Holdout != "" || r.Dates.HoldoutNote == "" || !reflect.DeepEqual(r.Dates.Targets[0].Train, []string{"2024-09-01"}) || r.Dates.Targets[0].Test != "2024-10-16" {
		t.Errorf("without statistics: %+v %+v", r.Input, r.Dates)
	}
	_, c = sample(t)
	c.Targets[0].Horizon.Days = 300
	if g := plan(t, c, "2024-11-30").Dates.Targets[0]; !strings.Contains(g.Note, "history begins 2024-01-01, too late for a horizon of 300 days") || g.Test != "" {
		t.Errorf("a horizon too long: %+v", g)
	}
	c.Sources[0].RequireDate = false
	if r := plan(t, c, "2023-11-30"); r.Input.MostEvents != 0 || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "exit code 99") {
		t.Errorf("a date before history: %+v %v", r.Input, r.Warnings)
	}

	for name, tc := range map[string]struct {
		edit func(c *config.Config) string
		code int
	}{
		"no file": {func(c *config.Config) string {
			c.Sources[0].Path = config.OneOrMany{"nowhere/*.parquet"}
			return "2024-11-30"
		}, 99},
		"no partition":      {func(*config.Config) string { return "2025-11-30" }, 99},
		"a column mistyped": {func(c *config.Config) string { c.Sources[0].Columns[0] = "custmer_id"; return "2024-11-30" }, 65},
		"a date mistyped":   {func(*config.Config) string { return "30.11.2024" }, 2},
		"no such family":    {func(c *config.Config) string { c.Features.Families = []string{"moeny"}; return "2024-11-30" }, 2},
	} {
		_, c := sample(t)
		date := tc.edit(c)
		_, err := outlook.Of(t.Context(), options(c, date))
		_, runErr := nightly.Run(t.Context(), options(c, date))
		if nightly.ExitCode(err) != tc.code || nightly.ExitCode(runErr) != tc.code {
			t.Errorf("%s: exit %d (%v), the run's %d (%v), want %d", name, nightly.ExitCode(err), err, nightly.ExitCode(runErr), runErr, tc.code)
		}
	}
}
