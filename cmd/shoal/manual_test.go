package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/tables"
	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/jobs/publish"
)

// words splits a command line the way a shell does, single quotes included.
func words(line string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`'([^']*)'|(\S+)`).FindAllStringSubmatch(line, -1) {
		out = append(out, m[1]+m[2])
	}
	return out
}

// examplesOf collects the verbs' examples, generate first and run before what
// reads its output.
func examplesOf(c *cobra.Command) map[string]string {
	m := map[string]string{}
	for _, sub := range c.Commands() {
		if sub.HasSubCommands() {
			for k, v := range examplesOf(sub) {
				m[sub.Name()+" "+k] = v
			}
			continue
		}
		m[sub.Name()] = strings.TrimSpace(sub.Example)
	}
	return m
}

// Every verb's help has an example, and the example works.
func TestExamplesInHelpWork(t *testing.T) {
	examples := examplesOf(command(&bytes.Buffer{}, &bytes.Buffer{}))
	var names []string
	for name := range examples {
		names = append(names, name)
	}
	rank := func(name string) int {
		return slices.Index([]string{"generate", "init", "check", "run", "grade"}, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		ra, rb := rank(a), rank(b)
		if ra < 0 {
			ra = 99
		}
		if rb < 0 {
			rb = 99
		}
		if ra != rb {
			return ra - rb
		}
		return strings.Compare(a, b)
	})
	duckdbOnPath(t) // for load
	outputsDoc, err := filepath.Abs(filepath.Join("..", "..", "docs", "outputs.md"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for _, name := range names {
		line, ok := strings.CutPrefix(examples[name], "shoal ")
		if !ok || strings.Contains(line, "\n") {
			t.Errorf("%s: the example must be one line that begins with shoal: %q", name, examples[name])
			continue
		}
		line, _, _ = strings.Cut(line, " > ")
		args := words(line)
		if name == "generate" { // as in the example, but small
			args = append(args, "--customers", "900")
		}
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), args, &stdout, &stderr); code != 0 {
			t.Fatalf("shoal %s: exit %d\n%s%s", strings.Join(args, " "), code, &stdout, &stderr)
		}
		if stdout.Len() == 0 {
			t.Errorf("shoal %s prints nothing", strings.Join(args, " "))
		}
		switch name {
		case "grade":
			for _, want := range []string{"adjusted Rand index ", "AUC 0.", "of the true hazard 0."} {
				if !strings.Contains(stdout.String(), want) {
					t.Errorf("grade does not say %q:\n%s", want, &stdout)
				}
			}
		case "init":
			if err := os.WriteFile("shoal.yaml", stdout.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	// With a configuration the SQL stands on its own.
	var script bytes.Buffer
	if code := run(t.Context(), words("features --config sample/shoal.yaml --family money --sql --date 2025-03-31"), &script, &script); code != 0 ||
		!strings.HasPrefix(script.String(), "CREATE OR REPLACE TABLE events AS") || !strings.Contains(script.String(), "AS net_spend_lifetime") {
		t.Errorf("features --sql --config: exit %d\n%.500s", code, &script)
	}
	// A plan of the run that the example made: there is nothing to do.
	var plan bytes.Buffer
	if code := run(t.Context(), append(words(strings.TrimPrefix(examples["run"], "shoal ")), "--plan"), &plan, &plan); code != 0 || !strings.HasPrefix(plan.String(), "Nothing to do: run ") {
		t.Errorf("run --plan: exit %d\n%s", code, &plan)
	}
	outputsAreCurrent(t, outputsDoc)
	// What init wrote runs unedited.
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"run", "--date", "2025-03-31"}, &stdout, &stderr); code != 0 {
		t.Errorf("what init wrote: exit %d\n%s%s", code, &stdout, &stderr)
	}
}

// outputsAreCurrent compares docs/outputs.md with what the example's run has
// published: every table and column is described, in the page too.
func outputsAreCurrent(t *testing.T, outputsDoc string) {
	t.Helper()
	current, _, err := publish.ReadCurrent(t.Context(), storage.Local(), filepath.Join("sample", "out"), "2025-03-31")
	if err != nil {
		t.Fatal(err)
	}
	if faults := undescribed(current.Tables); len(faults) > 0 {
		t.Errorf("not described:\n%s", strings.Join(faults, "\n"))
	}
	for _, r := range outputs.RowIs {
		if current.Table(r.Table) == nil {
			t.Errorf("jobs/outputs says what a row of %s is, which no run publishes", r.Table)
		}
	}
	var page, stderr bytes.Buffer
	if code := run(t.Context(), words("outputs --out sample/out --markdown"), &page, &stderr); code != 0 {
		t.Fatalf("exit %d: %s", code, &stderr)
	}
	want, err := os.ReadFile(outputsDoc)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), page.String()); diff != "" {
		t.Errorf("docs/outputs.md is not current; run make docs (-docs +program):\n%.2000s", diff)
	}
}

// A table or column that nobody has described is named.
func TestUndescribed(t *testing.T) {
	got := undescribed([]publish.Table{
		{Name: "segments", Columns: []tables.Column{{Name: "segment_id", Meaning: "An id."}, {Name: "colour", Meaning: " "}}},
		{Name: "moods", Columns: []tables.Column{{Name: "mood", Meaning: "A mood."}}},
	})
	want := []string{
		"column segments.colour has no meaning: say where it is declared what it holds",
		"table moods: say in jobs/outputs what a row is (RowIs)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The verbs that the package comment shows exist.
func TestManualNamesRealVerbs(t *testing.T) {
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^\tshoal (\S+)`).FindAllStringSubmatch(string(source), -1)
	if len(lines) < 5 {
		t.Fatalf("the manual shows %d commands", len(lines))
	}
	root := command(&bytes.Buffer{}, &bytes.Buffer{})
	for _, m := range lines {
		if c, _, err := root.Find([]string{m[1]}); err != nil || c == root {
			t.Errorf("the manual shows shoal %s, which is no verb", m[1])
		}
	}
}

// The generated pages under docs/ are what the program would write.
func TestGeneratedDocsAreCurrent(t *testing.T) {
	for page, args := range map[string][]string{
		"features.md":      {"features", "--markdown"},
		"configuration.md": {"config", "reference"},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), args, &stdout, &stderr); code != 0 {
			t.Fatalf("%v: exit %d: %s", args, code, &stderr)
		}
		want, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), stdout.String()); diff != "" {
			t.Errorf("docs/%s is not current; run make docs (-docs +program):\n%.2000s", page, diff)
		}
	}
}

// The features and occasions that the README defines are listed as they would
// be computed, and the family that it leaves out is not.
func TestOwnFeaturesOfTheReadme(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, own, _ := strings.Cut(string(readme), "```yaml\nfeatures:\n")
	own, _, found := strings.Cut(own, "```")
	if !found {
		t.Fatal("the README has no configuration of features")
	}
	path := filepath.Join(t.TempDir(), "shoal.yaml")
	text := `
sources:
  - path: events.parquet
    columns: {customer_id: u, event_time: t, event_type: n, amount: a, category: k, channel: c}
    roles: {purchase: [o], message_open: [m]}
out: out
features:
` + own
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"features", "--config", path}, &stdout, &stderr); code != 0 {
		t.Fatalf("exit %d: %s", code, &stderr)
	}
	for _, name := range []string{"shoe_spend_30d", "shoe_to_spend_lifetime", "push_share_60d", "payday_spend_share", "days_since_easter_purchase", "sales_spend_last_season"} {
		if !strings.Contains(stdout.String(), "\n  "+name+" ") {
			t.Errorf("%s is not listed", name)
		}
	}
	for _, gone := range []string{"\nmessages ", "christmas_spend_share"} {
		if strings.Contains(stdout.String(), gone) {
			t.Errorf("%q is listed", gone)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"run"}, "--date is required"},
		{[]string{"rnu"}, `unknown command "rnu"`},
		{[]string{"run", "--dat", "x"}, "unknown flag: --dat"},
		{[]string{"generate", "--customers", "-1", "--out", "nowhere"}, "Customers"},
		{[]string{"features", "--family", "moeny"}, "families are recency"},
		{[]string{"run", "--date", "2024-01-01", "--log", "loud"}, "auto, human or json"},
		{[]string{"run", "--date", "2024-01-01", "--workers", "many"}, "shoal.yaml"},
	} {
		var stdout, stderr bytes.Buffer
		t.Chdir(t.TempDir())
		if code := run(t.Context(), c.args, &stdout, &stderr); code != 2 {
			t.Errorf("%v: exit %d, want 2", c.args, code)
		}
		var line struct{ Message string }
		if err := json.Unmarshal(stderr.Bytes(), &line); err != nil {
			t.Errorf("%v: stderr is not a line of JSON: %v\n%s", c.args, err, &stderr)
		}
		if !strings.Contains(line.Message, c.want) {
			t.Errorf("%v: %q does not say %q", c.args, line.Message, c.want)
		}
	}
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"run", "--help"}, &stdout, &stderr); code != 0 || !strings.Contains(stdout.String(), "Examples:") {
		t.Errorf("--help: exit %d, %s", code, &stdout)
	}
}
