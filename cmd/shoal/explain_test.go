package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// printed compares what was printed with a file of testdata.
func printed(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got); -update accepts:\n%s", filepath.Base(file), diff)
	}
}

// explainJob writes a small job into the working directory, so that what is
// printed of it names no place of this machine.
func explainJob(t *testing.T) {
	t.Helper()
	at := func(month time.Month, day, hour int) int64 {
		return time.Date(2024, month, day, hour, 0, 0, 0, time.UTC).UnixMicro()
	}
	ann, other := "ann", "customer-7"
	rows := []event{
		{&ann, at(1, 5, 10), "view", 0, "EUR"},
		{&ann, at(2, 10, 11), "order", 20, "EUR"},
		{&ann, at(3, 2, 9), "order", 30.5, "EUR"},
		{&ann, at(3, 2, 9), "order", 0.25, "EUR"},
		{&ann, at(3, 20, 12), "a\nnew line", 0, "EUR"},
		{&ann, at(3, 25, 12), "order", 7, "EUR"},
		{&ann, at(4, 2, 12), "order", 99, "EUR"},
		{&other, at(3, 25, 12), "order", 7, "EUR"},
	}
	writeParquet(t, "in/a.parquet", rows)
	if err := os.WriteFile("shoal.yaml", []byte(strings.ReplaceAll(goodConfig, "DIR/", "")), 0o644); err != nil {
		t.Fatal(err)
	}
}

// What a person sees of a customer, of a column, and with few events listed.
func TestExplainGoldens(t *testing.T) {
	testdata, err := filepath.Abs(filepath.Join("testdata", "explain"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	explainJob(t)
	for file, args := range map[string]string{
		"customer.txt":  "",
		"abridged.txt":  "--events 3",
		"one.txt":       "--events 1 --column active_days_lifetime",
		"column.txt":    "--column spend_30d",
		"influence.txt": "--column largest_order --events 0",
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), words("explain --customer ann --date 2024-03-31 "+args), &stdout, &stderr); code != 0 {
			t.Fatalf("%s: exit %d: %s", args, code, &stderr)
		}
		// A column added to some family is no business of this test.
		before, _, _ := strings.Cut(stdout.String(), "\nfrequency — ")
		printed(t, filepath.Join(testdata, file), before)
	}
	writeParquet(t, "identity.parquet", []struct {
		Alias    string `parquet:"alias"`
		Customer string `parquet:"customer"`
	}{{"old-1", "ann"}, {"customer-7", "customer-7"}})
	text, err := os.ReadFile("shoal.yaml")
	if err == nil {
		err = os.WriteFile("merged.yaml", append(text, "identity: [{path: identity.parquet}]\n"...), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	var alias, errs bytes.Buffer
	if code := run(t.Context(), words("explain --config merged.yaml --customer old-1 --date 2024-03-31 --events 0 --column spend_30d"), &alias, &errs); code != 0 {
		t.Fatalf("exit %d: %s", code, &errs)
	}
	printed(t, filepath.Join(testdata, "alias.txt"), alias.String())
	var script bytes.Buffer
	if code := run(t.Context(), words("explain --customer ann --date 2024-03-31 --column spend_30d --sql"), &script, &script); code != 0 ||
		!strings.Contains(script.String(), "CREATE OR REPLACE TABLE events AS") || !strings.Contains(script.String(), "in/a.parquet") || !strings.HasSuffix(script.String(), "GROUP BY customer_id;\n") {
		t.Errorf("--sql: exit %d\n%s", code, &script)
	}
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), words("explain --customer ann --date 2024-03-31 --json --events 1"), &stdout, &stderr); code != 0 {
		t.Fatalf("--json: exit %d: %s", code, &stderr)
	}
	var r struct {
		Customer string
		Events   []struct{ Role, Amount string }
		Families []struct {
			Columns []struct {
				Column string
				Value  *float64
			}
		}
	}
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil || r.Customer != "ann" || len(r.Events) != 6 || len(r.Families) < 10 || r.Families[0].Columns[0].Column != "days_since_first_event" {
		t.Errorf("--json (%v): %.400s", err, &stdout)
	}
	for args, want := range map[string]struct {
		code int
		says string
	}{
		"--customer ann": {2, "--date"},
		"--customer ann --date 2024-03-31 --events some":    {2, "--events"},
		"--customer ann --date 2024-03-31 --events -1":      {2, "--events"},
		"--customer ann --date 2024-03-31 --json --sql":     {2, "json"},
		"--customer ann --date 2024-03-31 --config no.yaml": {2, "no.yaml"},
		"--customer Ann --date 2024-03-31":                  {65, "did you mean ann?"},
		"--customer ann --date 2023-03-31":                  {65, "8 rows after the date were not looked at"},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), words("explain "+args), &stdout, &stderr); code != want.code || !strings.Contains(stderr.String(), want.says) || stdout.Len() > 0 {
			t.Errorf("%s: exit %d, %s%s; want %d and %q", args, code, &stdout, &stderr, want.code, want.says)
		}
	}
}
