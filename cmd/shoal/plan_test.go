package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A plan is printed for people and for tools, of a first run and of one that is
// published; and it fails as a run fails.
func TestPlanGoldens(t *testing.T) {
	testdata, err := filepath.Abs(filepath.Join("testdata", "plan"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	writeParquet(t, "in/a.parquet", events(4000))
	text := strings.ReplaceAll(goodConfig, "DIR/", "") + "limits: {workers: 2, memory: 1GiB}\n"
	if err := os.WriteFile("shoal.yaml", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	shoal := func(args string) (stdout, stderr string, code int) {
		var out, log bytes.Buffer
		code = run(t.Context(), words(args), &out, &log)
		return out.String(), log.String(), code
	}
	out, log, code := shoal("run --date 2024-05-31 --plan")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, log)
	}
	printed(t, filepath.Join(testdata, "first.txt"), settled(t, out))
	if _, err := os.Stat("out"); err == nil {
		t.Error("a plan publishes")
	}
	writeParquet(t, "identity.parquet", []alias{{"customer-1", "customer-2"}})
	writeParquet(t, "rates.parquet", []rate{{19700, "USD", "0.9"}})
	text += strings.ReplaceAll(identityConfig+ratesConfig, "DIR/", "")
	if err := os.WriteFile("joined.yaml", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	joined, log, code := shoal("run --date 2024-05-31 --plan --config joined.yaml --memory 32MiB")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, log)
	}
	for _, line := range []string{"  and of identity[0] the file identity.parquet: ", "  and of currency_rates the file rates.parquet: ", " of the events would be spilled to a temporary file in "} {
		if strings.Count(joined, line) != 1 {
			t.Errorf("the plan does not say %q:\n%s", line, joined)
		}
	}
	if _, log, code := shoal("run --date 2024-05-31"); code != 0 {
		t.Fatalf("exit %d: %s", code, log)
	}
	out, _, code = shoal("run --date 2024-05-31 --plan")
	if code != 0 || !strings.HasPrefix(out, "Nothing to do: run ") {
		t.Errorf("exit %d, %s", code, out)
	}
	out, _, code = shoal("run --date 2024-05-31 --plan --force")
	if code != 0 || strings.Contains(out, "Nothing to do") || !strings.Contains(out, "going by the run of 2024-05-31") {
		t.Errorf("exit %d, %s", code, out)
	}
	out, _, code = shoal("run --date 2024-05-31 --plan=json")
	var r struct {
		Status, RunID string `json:",omitempty"`
		Input         struct{ Rows int64 }
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 || r.Status != "noop" || r.Input.Rows != 4000 || strings.Count(out, "\n") != 1 {
		t.Errorf("exit %d (%v), %s", code, err, out)
	}
	for args, want := range map[string]struct {
		code int
		says string
	}{
		"--plan":                        {2, "--date is required"},
		"--date 2024-05-31 --plan=yaml": {2, "must be text or json"},
		"--date 2024-05-31 --plan --summary-file s":     {2, "--plan=json"},
		"--date 2024-05-31 --plan --config nowhere.yml": {2, "nowhere.yml"},
		"--date 31.5.2024 --plan":                       {2, "YYYY-MM-DD"},
	} {
		if out, log, code := shoal("run " + args); code != want.code || !strings.Contains(log, want.says) || out != "" {
			t.Errorf("%s: exit %d, %s%s; want %d and %q", args, code, out, log, want.code, want.says)
		}
	}
}

// settled leaves out what grows with the catalogue of features, the writer of the
// input and the tables of a run.
func settled(t *testing.T, page string) string {
	t.Helper()
	var kept []string
	for line := range strings.Lines(page) {
		if strings.Contains(line, " features in ") || strings.Contains(line, "ds=2024-05-31") {
			continue
		}
		kept = append(kept, line)
	}
	if len(kept) == len(strings.Split(page, "\n"))-1 {
		t.Error("the plan says nothing of features and tables")
	}
	return strings.Join(kept, "")
}
