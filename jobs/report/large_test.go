package report_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/shoal-data/shoal/datasets/synth"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/report"
)

// drawn waits until every chart is drawn, also those out of view.
const drawn = `new Promise(done => { const look = () => document.querySelector(".chart.later") ? setTimeout(look, 20) : done(0); look() })`

// repeated is the first row of a record n times, with columns of it set.
func repeated(t testing.TB, rec arrow.Record, n int, set map[string]func(k int) string) arrow.Record {
	t.Helper()
	columns := make([]arrow.Array, rec.NumCols())
	for j := range columns {
		b := array.NewBuilder(memory.DefaultAllocator, rec.Schema().Field(j).Type)
		text, known := "", !rec.Column(j).IsNull(0)
		if known {
			text = rec.Column(j).ValueStr(0)
		}
		of, changed := set[rec.ColumnName(j)]
		for k := range n {
			switch {
			case changed:
				if err := b.AppendValueFromString(of(k)); err != nil {
					t.Fatal(err)
				}
			case known:
				if err := b.AppendValueFromString(text); err != nil {
					t.Fatal(err)
				}
			default:
				b.AppendNull()
			}
		}
		columns[j] = b.NewArray()
	}
	return array.NewRecord(rec.Schema(), columns, int64(n))
}

// A page of 60 segments by 60 features, of 800 nights, is below 5 MB, is shown within two
// seconds, and nothing overlaps.
func TestManySegmentsByFeatures(t *testing.T) {
	const segments, features, nights = 60, 60, 800
	id := func(k int) string { return fmt.Sprint(k%segments + 1) }
	other := func(k int) string { return fmt.Sprint(k/segments + 1) }
	called := func(number func(int) string) func(int) string {
		return func(k int) string { return "buy often, not seen lately, expensive products (" + number(k) + ")" }
	}
	wavy := func(k int) string { return fmt.Sprint(float64(k*7919%997)/250 - 2) }
	seen := map[string]bool{}
	r := rewritten(t, everything, func(table string, rec arrow.Record) arrow.Record {
		var n int
		set := map[string]func(int) string{"segmentation": func(int) string { return "behaviour" }}
		switch table {
		case "segments", "segment_history":
			n, set["segment_id"], set["segment_name"] = segments, id, called(id)
			set["customers"] = func(k int) string { return fmt.Sprint(1000 + k*7919%997) }
		case "segment_profiles":
			n, set["segment_id"], set["standing"] = segments*features, id, wavy
			set["feature"] = func(k int) string { return "feature_of_some_length_" + other(k) }
		case "segment_distances":
			n, set["segment_id"], set["other_segment_id"], set["distance"] = segments*segments, id, other, func(k int) string { return fmt.Sprint(1 + k*7919%997) }
		case "segment_migrations":
			n, set["from_segment_id"], set["from_segment_name"], set["to_segment_id"], set["to_segment_name"] = segments*segments, id, called(id), other, called(other)
			set["customers"] = func(k int) string { return fmt.Sprint(1 + k*7919%997) }
		case "trends":
			n, set["segment_id"], set["segment_name"] = segments*nights, id, called(id)
			set["subject"], set["measure"], set["value"] = func(int) string { return "behaviour" }, func(int) string { return "customer_share" }, func(k int) string { return fmt.Sprint(float64(k*7919%997) / 30000) }
			set["date"] = func(k int) string {
				return time.Date(2023, 1, 21, 0, 0, 0, 0, time.UTC).AddDate(0, 0, k/segments).Format(time.DateOnly)
			}
		case "customer_map":
			n, set["segment_id"], set["x"], set["y"] = 2000, id, wavy, func(k int) string { return wavy(k * 31) }
		case "cohorts": // 20 years
			const months = 240
			var of [][2]int
			for cohort := range months {
				for since := range months - cohort {
					of = append(of, [2]int{cohort, since})
				}
			}
			n = len(of)
			set["cohort"] = func(k int) string {
				return time.Date(2005, 1+time.Month(of[k][0]), 1, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
			}
			set["months_since"] = func(k int) string { return fmt.Sprint(of[k][1]) }
			set["cohort_customers"], set["customers"], set["complete"] = func(int) string { return "1000" }, func(k int) string { return fmt.Sprint(k * 7919 % 997) }, func(int) string { return "true" }
		default:
			return rec
		}
		if seen[table] || rec.NumRows() == 0 {
			return nil
		}
		seen[table] = true
		return repeated(t, rec, n, set)
	})
	if len(seen) != 8 {
		t.Fatalf("made large: %v", seen)
	}
	page, err := report.Render(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if len(page) > 4_500_000 { // and no table of it is cut short
		t.Errorf("the page has %d bytes", len(page))
	}
	file := filepath.Join(t.TempDir(), "report.html")
	if dir := os.Getenv("SHOAL_SCREENSHOTS"); dir != "" {
		file = filepath.Join(dir, "large.html")
	}
	if err := os.WriteFile(file, page, 0o644); err != nil {
		t.Fatal(err)
	}
	b := open(t, file, 1280, 900)
	var shown struct{ Loaded, Painted, Marks float64 }
	b.ask(t, `new Promise(done => requestAnimationFrame(() => setTimeout(() => done({Loaded: performance.getEntriesByType("navigation")[0].loadEventEnd, Painted: performance.now(), Marks: document.querySelectorAll(".chart svg title").length}), 0)))`, &shown)
	t.Logf("%d bytes, %.0f marks, loaded after %.0f ms", len(page), shown.Marks, shown.Loaded)
	var later int
	b.ask(t, `Array.from(document.querySelectorAll(".chart")).filter(c => Math.abs(c.getBoundingClientRect().height - c.firstElementChild.getBoundingClientRect().height) > 2).length`, &later)
	if later > 0 {
		t.Errorf("%d charts take other room before they are drawn than they do then", later)
	}
	b.ask(t, drawn, nil)
	if shown.Marks < 5000 {
		t.Errorf("%.0f marks: the page is not the large one", shown.Marks)
	}
	overlaps(t, b)
	b.quiet(t)
}

// One customer, one without targets, and models that fail: each page says what there is.
func TestPagesOfLittle(t *testing.T) {
	chromium(t)
	bad := regexp.MustCompile(`NaN|%!|[+]Inf`)
	for name, c := range map[string]struct {
		customers int
		set       func(*config.Config)
		says      []string
	}{
		"one customer":  {1, func(*config.Config) {}, []string{"events of 1 customer.", "There are no segments in this run", "no model could be fitted and tested; the warnings say why"}},
		"failed models": {60, func(*config.Config) {}, []string{"No model of this target was tested", "There is no earlier run to compare with."}},
		"no target":     {300, func(c *config.Config) { c.Targets = nil }, []string{"no target is configured", "Only this run has it yet"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "sample")
			p := synth.DefaultParams()
			p.Customers = c.customers
			if _, err := synth.Generate(t.Context(), p, dir, nil); err != nil {
				t.Fatal(err)
			}
			made, err := config.Parse("generated", []byte(synth.Config(dir, filepath.Join(dir, "out"))), os.LookupEnv)
			if err != nil {
				t.Fatal(err)
			}
			made.Models.Baselines = false
			made.Sources[0].RequireDate = false // one customer has no event on most days
			c.set(made)
			page, err := night(t.Context(), made, "2025-03-31")
			if err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			if dir := os.Getenv("SHOAL_SCREENSHOTS"); dir != "" {
				if err := os.WriteFile(filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".html"), data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			text, _, _ := strings.Cut(string(data), "<script>")
			for _, want := range c.says {
				if !strings.Contains(text, want) {
					t.Errorf("the page does not say %q", want)
				}
			}
			if at := bad.FindStringIndex(text); at != nil {
				t.Errorf("on the page: …%s…", text[max(0, at[0]-200):at[1]+20])
			}
			b := open(t, page, 1280, 900)
			overlaps(t, b)
			b.quiet(t)
		})
	}
}
