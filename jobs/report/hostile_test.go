package report_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/tables"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/jobs/report"
)

// hostile is what somebody may have put into a text: markup, script, an end of the
// page's own script, quotes, a template's braces, SQL.
const hostile = `"'><img src=x onerror="window.hit=1"><script>window.hit=1</script></style></script><!-- {{.}} '; DROP TABLE x --`

// altered is the sample's run with tables rewritten: text changes a text of a column, and
// a table of which keep is false is gone.
func altered(t testing.TB, keep func(table string) bool, text func(table, column, value string) string) *report.Run {
	r := rewritten(t, keep, func(table string, rec arrow.Record) arrow.Record {
		columns := make([]arrow.Array, rec.NumCols())
		for j := range columns {
			columns[j] = rec.Column(j)
			s, ok := columns[j].(*array.String)
			if !ok {
				continue
			}
			b := array.NewStringBuilder(memory.DefaultAllocator)
			for i := range s.Len() {
				if s.IsNull(i) {
					b.AppendNull()
				} else {
					b.Append(text(table, rec.ColumnName(j), s.Value(i)))
				}
			}
			columns[j] = b.NewArray()
		}
		return array.NewRecord(rec.Schema(), columns, rec.NumRows())
	})
	for i := range r.Manifest.Warnings {
		r.Manifest.Warnings[i].Message = text("warnings", "message", r.Manifest.Warnings[i].Message)
	}
	return r
}

// rewritten is the sample's run with the records of its tables changed; a table of which keep is
// false is gone. A record that becomes nil is left out.
func rewritten(t testing.TB, keep func(table string) bool, change func(table string, rec arrow.Record) arrow.Record) *report.Run {
	t.Helper()
	made, err := sample()
	if err != nil {
		t.Fatal(err)
	}
	// The manifest lies where the page's run is.
	dir := strings.Replace(filepath.Dir(made.page), string(filepath.Separator)+"report"+string(filepath.Separator), string(filepath.Separator)+"manifests"+string(filepath.Separator), 1)
	data, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m publish.Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	at := map[string]string{}
	var kept []publish.Table
	for _, table := range m.Tables {
		if !keep(table.Name) {
			continue
		}
		kept = append(kept, table)
		for i, f := range table.Files {
			at[f.Path] = filepath.Join(to, fmt.Sprintf("%s-%d.parquet", table.Name, i))
			rewrite(t, filepath.Join(made.out, f.Path), at[f.Path], func(rec arrow.Record) arrow.Record { return change(table.Name, rec) })
		}
	}
	m.Tables = kept
	for _, f := range m.Models {
		at[f.Path] = filepath.Join(made.out, f.Path)
	}
	return &report.Run{Manifest: &m, FS: storage.Local(), Path: func(f publish.File) string { return at[f.Path] }}
}

func rewrite(t testing.TB, from, to string, change func(rec arrow.Record) arrow.Record) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	f, err := tables.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w, err := tables.NewWriter(&out, f.Schema(), tables.DefaultOptions("rewritten"))
	if err != nil {
		t.Fatal(err)
	}
	for rec, err := range f.Records(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if rec = change(rec); rec == nil {
			continue
		}
		if err := w.Write(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func everything(string) bool { return true }

// hostileManifest makes what a run's manifest says hostile, and the cards of its models: what
// columns mean, which may quote categories from the configuration, their units, the
// configuration, the currency, the codes of warnings. It returns where it did.
func hostileManifest(t testing.TB, r *report.Run) []string {
	t.Helper()
	m := r.Manifest
	from := []string{"manifest.meaning", "manifest.unit", "manifest.config", "manifest.currency", "manifest.code", "manifest.run", "manifest.version", "manifest.card"}
	say := func(what string) string { return hostile + "<i>manifest." + what + "</i>" }
	m.Tables = slices.Clone(m.Tables)
	for i := range m.Tables {
		m.Tables[i].Columns = slices.Clone(m.Tables[i].Columns)
		for j := range m.Tables[i].Columns {
			c := &m.Tables[i].Columns[j]
			c.Meaning, c.Unit = c.Meaning+say("meaning"), c.Unit+say("unit")
		}
	}
	change := func(into *json.RawMessage, to func(map[string]any)) {
		var all map[string]any
		err := json.Unmarshal(*into, &all)
		if err == nil {
			to(all)
			*into, err = json.Marshal(all)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	change(&m.Config, func(c map[string]any) { c["hostile"], c["currency"] = []string{say("config")}, "" })
	change(&m.Summary, func(s map[string]any) { s["input"].(map[string]any)["currency"] = say("currency") })
	for i := range m.Warnings {
		m.Warnings[i].Code += say("code")
	}
	m.RunID, m.ToolVersion = m.RunID+say("run"), m.ToolVersion+say("version")
	card := filepath.Join(t.TempDir(), "card.md")
	if err := os.WriteFile(card, []byte("# Card\n"+say("card")), 0o644); err != nil {
		t.Fatal(err)
	}
	path := r.Path
	r.Path = func(f publish.File) string {
		if strings.HasSuffix(f.Path, ".card.md") {
			return card
		}
		return path(f)
	}
	return from
}

// Texts of the data stay text, in every text column of every table.
func TestHostileTextsStayText(t *testing.T) {
	// Words that queries ask for; they come from the program, and are made hostile in the
	// second round, where the figures that ask for them are empty.
	words := map[string]bool{"target": true, "split": true, "metric": true, "curve": true, "measure": true, "subject": true, "segmentation": true, "customer_id": true, "reference": true, "status": true, "date": true}
	for name, touch := range map[string]func(column string) bool{
		"all but what queries ask for": func(c string) bool { return !words[c] },
		"all":                          func(c string) bool { return c != "customer_id" },
	} {
		t.Run(name, func(t *testing.T) {
			r := altered(t, everything, func(table, column, value string) string {
				if touch(column) {
					return value + hostile + "<i>" + table + "." + column + "</i>"
				}
				return value
			})
			told := hostileManifest(t, r)
			last := *r
			r.Before = &last
			page, err := report.Render(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if !utf8.Valid(page) {
				t.Error("the page is not UTF-8")
			}
			s := string(page)
			if n := strings.Count(s, "<script"); n != 1 {
				t.Errorf("the page has %d scripts", n)
			}
			for _, bad := range []string{"<img", "<i>", `onerror="`, "<!--", "</style></script>"} {
				if strings.Contains(s, bad) {
					i := strings.Index(s, bad)
					t.Errorf("%q stands in the page: …%s…", bad, s[max(0, i-150):i+20])
				}
			}
			// What is shown, by where it comes from.
			shown := map[string]bool{}
			for _, m := range regexp.MustCompile(`&lt;i&gt;([^&]*)&lt;/i&gt;`).FindAllStringSubmatch(s, -1) {
				shown[strings.ReplaceAll(m[1], " ", "_")] = true
			}
			for _, from := range told {
				if !shown[from] {
					t.Errorf("what is hostile in %s is not on the page", from)
				}
			}
			if name != "all" {
				for _, from := range []string{"segments.segment_name", "segments.description", "segments.rule", "segment_profiles.feature", "segment_history.segment_name", "segment_migrations.to_segment_name", "segment_distances.differ_most_in", "segment_counts.why",
					"customer_map.x_features", "customer_scores.rfm_segment", "customer_scores.occasion_shopper", "trends.segment_name", "rejected_rows.source", "rejected_rows.reason", "rejected_rows.event_type", "warnings.message", "model_metrics.model", "feature_effects.feature", "drift.name", "data_quality.gate", "score_backtest.model", "changes.change"} {
					if !shown[from] {
						t.Errorf("what is hostile in %s is not on the page", from)
					}
				}
			}
			if len(shown) < 15 {
				t.Errorf("texts from %d places are shown only: %v", len(shown), shown)
			}
		})
	}
}

// A page makes sense without what a run may lack, and says so.
func TestPagesOfRunsThatLackTables(t *testing.T) {
	same := func(_, _, value string) string { return value }
	for name, c := range map[string]struct {
		without string
		says    []string
	}{
		"an old run":         {"segment_counts segment_distances customer_map trends changes model_curves feature_effects calibration label_audit data_quality drift drift_bins score_backtest", []string{"the run has no table data_quality", "the run has no table drift", "the run has no table score_backtest", "There are no predictions in this run"}},
		"no backtest":        {"score_backtest drift_bins", []string{"the run has no table score_backtest", "the run has no table drift_bins"}},
		"no segments":        {"segments segment_profiles segment_history segment_migrations segment_counts segment_distances customer_map", []string{"There are no segments in this run"}},
		"no models":          {"model_metrics calibration model_curves feature_effects", []string{"no model could be fitted and tested", "No forecast was tested"}},
		"nothing but scores": {"features segments segment_profiles segment_history segment_migrations segment_counts segment_distances customer_map trends changes model_metrics calibration model_curves feature_effects label_audit rejected_rows", []string{"There are no segments", "There are no predictions"}},
	} {
		t.Run(name, func(t *testing.T) {
			gone := strings.Fields(c.without)
			page, err := report.Render(t.Context(), altered(t, func(table string) bool {
				for _, g := range gone {
					if g == table {
						return false
					}
				}
				return true
			}, same))
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range append(c.says, "There is no earlier run to compare with.") {
				if !strings.Contains(string(page), want) {
					t.Errorf("the page does not say %q", want)
				}
			}
			page = page[:bytes.LastIndex(page, []byte("<script>"))]
			for _, bad := range []string{"NaN", "%!", "+Inf"} {
				if strings.Contains(string(page), bad) {
					i := strings.Index(string(page), bad)
					t.Errorf("%s on the page: …%s…", bad, page[max(0, i-200):i+50])
				}
			}
		})
	}
}

// The same tables make the same bytes.
func TestSameTablesSamePage(t *testing.T) {
	same := func(_, _, value string) string { return value }
	a, err := report.Render(t.Context(), altered(t, everything, same))
	if err != nil {
		t.Fatal(err)
	}
	b, err := report.Render(t.Context(), altered(t, everything, same))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Error("two pages of the same tables differ")
	}
}
