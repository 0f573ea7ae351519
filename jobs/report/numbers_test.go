package report_test

import (
	"context"
	_ "embed"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/synth"
	"github.com/shoal-data/shoal/internal/pyoracle"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/nightly"
	"github.com/shoal-data/shoal/jobs/report"
	"github.com/shoal-data/shoal/jobs/report/query"
)

//go:embed numbers_test.py
var numbersScript string

// night runs a job for some dates and returns where the last one's page lies.
func night(ctx context.Context, c *config.Config, dates ...string) (page string, err error) {
	for _, date := range dates {
		s, err := nightly.Run(ctx, nightly.Options{Config: c, Date: date, FS: storage.Local(), Version: "test", Log: zerolog.Nop(), Now: time.Now})
		if err != nil {
			return "", err
		}
		page = filepath.Join(c.Out, "report", "ds="+date, "run="+s.RunID, "report.html")
	}
	return page, nil
}

// sampleDir is where the sample lies, once a test has asked for it.
var sampleDir string

// sample is a run of a small generated history that continues another, whose scores have come
// due; made once for all tests.
var sample = sync.OnceValues(func() (made struct{ dir, out, page string }, err error) {
	if made.dir, err = os.MkdirTemp("", "shoal-report-"); err != nil {
		return made, err
	}
	sampleDir = made.dir
	p := synth.DefaultParams()
	p.Customers = 1500
	history := filepath.Join(made.dir, "sample")
	if _, err = synth.Generate(context.Background(), p, history, nil); err != nil {
		return made, err
	}
	made.out = filepath.Join(history, "out")
	c, err := config.Parse("generated", []byte(synth.Config(history, made.out)), os.LookupEnv)
	if err != nil {
		return made, err
	}
	c.Gates.Action = config.GatesWarn // three months lie between the nights, over which customers do drift
	made.page, err = night(context.Background(), c, "2024-12-26", "2025-03-31")
	return made, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if sampleDir != "" {
		os.RemoveAll(sampleDir)
	}
	os.Exit(code)
}

// compareNumbers runs the page's SQL on the run's files.
func compareNumbers(t *testing.T, page, out string, queries, cells int) {
	t.Helper()
	var got struct {
		Faults     []string
		FaultCount int `json:"fault_count"`
		Cells      int
		Queries    int
		Readings   int
		Marks      int
	}
	in := map[string]any{"page": page, "out": out, "constants": constants, "leads": 4}
	if cells > 1000 { // a page of everything
		in["leads"] = 8
	}
	pyoracle.Run(t, numbersScript, in, &got)
	for _, f := range got.Faults {
		t.Error(f)
	}
	if got.FaultCount > len(got.Faults) {
		t.Errorf("and %d more", got.FaultCount-len(got.Faults))
	}
	t.Logf("%d queries, %d cells, %d readings, %d marks", got.Queries, got.Cells, got.Readings, got.Marks)
	if got.Queries < queries || got.Cells < cells {
		t.Errorf("%d queries and %d cells were compared; there should be %d and %d at least", got.Queries, got.Cells, queries, cells)
	}
}

// constants are numbers of a figure's own words, by how its id begins: windows and chance.
var constants = map[string][]string{"expected": {"30", "90", "365"}, "honesty-": {"0.5"}}

func TestEveryNumberIsAQueryOverTheTables(t *testing.T) {
	pyoracle.Python(t)
	made, err := sample()
	if err != nil {
		t.Fatal(err)
	}
	compareNumbers(t, made.page, made.out, 50, 2000)
}

// A page that would be too large has fewer rows, by the SQL that it shows.
func TestPageThatWouldBeTooLarge(t *testing.T) {
	made, err := sample()
	if err != nil {
		t.Fatal(err)
	}
	same := func(_, _, value string) string { return value }
	whole, err := report.Render(t.Context(), altered(t, everything, same))
	if err != nil {
		t.Fatal(err)
	}
	bound := len(whole) * 3 / 4
	page, err := report.RenderWithin(t.Context(), altered(t, everything, same), bound)
	if err != nil {
		t.Fatal(err)
	}
	if len(page) > bound || strings.Count(string(page), "<svg") != strings.Count(string(whole), "<svg") {
		t.Errorf("%d bytes where at most %d are allowed and the whole page has %d; %d charts of %d", len(page), bound, len(whole), strings.Count(string(page), "<svg"), strings.Count(string(whole), "<svg"))
	}
	pyoracle.Python(t)
	file := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(file, page, 0o644); err != nil {
		t.Fatal(err)
	}
	compareNumbers(t, file, made.out, 40, 500)
}

// A table cut short says how to get the rest, after a second cut too.
func TestShortTableSaysHowToGetTheRest(t *testing.T) {
	for _, c := range []struct{ sql, shown, rest string }{
		{"SELECT 1", "SELECT 1\nLIMIT 2", "its SQL without the last line gives them all."},
		{"SELECT 1\nLIMIT 60", "SELECT 1\nLIMIT 2", "its SQL with LIMIT 60 gives the others."},
	} {
		f := &report.Figure{About: "What it is. ", SQL: c.sql, Rows: make([][]query.Value, 9)}
		f.Shorten(5)
		f.Shorten(2)
		if want := "What it is. So that the page stays small, the table has its first 2 rows; " + c.rest; f.About != want || f.SQL != c.shown || len(f.Rows) != 2 {
			t.Errorf("%d rows by %q: %s", len(f.Rows), f.SQL, f.About)
		}
	}
}

// What watches over runs has rows in the sample, so that its numbers are compared too, and
// a picture where it is one.
func TestWhatWatchesRunsIsShown(t *testing.T) {
	made, err := sample()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(made.page)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "<main")
	for id, rows := range map[string]int{"changed": 2, "moved": 3, "gates-input": 3, "gates-drift": 1, "gates-backtest": 1, "events-by-day": 63, "measures": 10, "drift-training": 15, "drift-bins-training": 4, "drift-previous": 15, "drift-bins-previous": 4, "backtest-churn": 1, "backtest-purchase": 1, "backtest-value": 2} {
		_, figure, there := strings.Cut(rest, `<article class="fig`)
		for there && !strings.HasPrefix(figure[strings.Index(figure, `id="`):], `id="`+id+`"`) {
			_, figure, there = strings.Cut(figure, `<article class="fig`)
		}
		figure, _, _ = strings.Cut(figure, "</article>")
		if !there {
			t.Errorf("there is no figure %s", id)
			continue
		}
		if n := strings.Count(figure, "<tr>") - 1; n < rows {
			t.Errorf("%s has %d rows; there should be %d at least", id, n, rows)
		}
		for _, part := range []string{`<p class="reading">`, `<details class="sql">`} {
			if !strings.Contains(figure, part) {
				t.Errorf("%s lacks %s", id, part)
			}
		}
		if id != "measures" && !strings.Contains(figure, "<svg") {
			t.Errorf("%s has no chart", id)
		}
	}
}
