package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A newcomer follows the README from a clone to a report on Parquet of one's
// own: every command of its sh blocks is run as it is printed, in a copy of this
// tree, and so few lead to the report. Only the sample is smaller.
func TestReadmeCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if err := exec.CommandContext(t.Context(), "git", "-C", root, "rev-parse").Run(); err != nil {
		t.Skip("this tree is no checkout, and cannot be cloned")
	}
	var commands []string
	toReport := 0
	for _, block := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```").FindAllStringSubmatch(string(readme), -1) {
		for line := range strings.Lines(block[1]) {
			commands = append(commands, strings.TrimSpace(line))
			if strings.HasPrefix(line, "bin/shoal report ") {
				toReport = len(commands)
			}
		}
	}
	if len(commands) < 8 || toReport == 0 || toReport > 10 {
		t.Fatalf("%d commands, the report is made by number %d: want 10 or fewer\n%s", len(commands), toReport, strings.Join(commands, "\n"))
	}

	// The newcomer's files: nothing like the sample's configuration goes with them.
	home := t.TempDir()
	generated := filepath.Join(home, "generated")
	events := filepath.Join(home, "events")
	var quiet strings.Builder
	if code := run(t.Context(), []string{"generate", "--out", generated, "--customers", "1500", "--integer-ids", "--decimal-amounts", "--seed", "7"}, &quiet, &quiet); code != 0 {
		t.Fatalf("exit %d: %s", code, quiet.String())
	}
	if err := os.Mkdir(events, 0o755); err != nil {
		t.Fatal(err)
	}
	parts, err := filepath.Glob(filepath.Join(generated, "events", "*", "*.parquet"))
	if err != nil || len(parts) == 0 {
		t.Fatalf("%d files, %v", len(parts), err)
	}
	for _, p := range parts {
		if err := os.Rename(p, filepath.Join(events, filepath.Base(filepath.Dir(p))+".parquet")); err != nil {
			t.Fatal(err)
		}
	}

	// The clone is of this tree as it lies here.
	script := `set -euo pipefail
git() { mkdir shoal && (cd "$ROOT" && command git ls-files -z --cached --others --exclude-standard | xargs -0 ls -d 2>/dev/null | tar cf - -T -) | tar xf - -C shoal; }
make() { command make "$@" CUSTOMERS=1500; }
PS4='$ '; set -x
` + strings.Join(commands, "\n") + "\n"
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Dir = home
	cmd.Env = append(os.Environ(), "ROOT="+root, "HOME="+home, "GOCACHE="+goEnv(t, "GOCACHE"), "GOMODCACHE="+goEnv(t, "GOMODCACHE"), "GOFLAGS=-buildvcs=false", "MAKEFLAGS=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"What came in", "Segments", "Published run ", "Graded against the planted truth"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("nothing says %q:\n%s", want, out)
		}
	}
	page, err := os.ReadFile(filepath.Join(home, "shoal", "report.html"))
	if err != nil || !strings.Contains(string(page), "<html") {
		t.Errorf("no report: %v, %d bytes", err, len(page))
	}
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
