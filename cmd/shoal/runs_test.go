package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/jobs/runs"
)

// shoal runs the program and returns its exit code and what it wrote.
func shoal(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestRunsVerifyGC(t *testing.T) {
	dir := t.TempDir()
	good(t, dir)
	config := filepath.Join(dir, "shoal.yaml")
	if err := os.WriteFile(config, []byte(strings.ReplaceAll(goodConfig, "DIR", dir)), 0o644); err != nil {
		t.Fatal(err)
	}
	out := dir + "/out/deep"
	if code, stdout, stderr := shoal(t, "runs", "--out", out); code != 0 || stdout != "No runs under "+out+"\n" {
		t.Errorf("before the first run: exit %d, %s%s", code, stdout, stderr)
	}
	for _, verb := range [][]string{{"verify"}, {"verify", "latest"}, {"report"}, {"outputs"}, {"load-sql", "--target", "duckdb"}} {
		if code, _, stderr := shoal(t, append(verb, "--out", out)...); code != 99 || !strings.Contains(stderr, "no run is published under "+out) {
			t.Errorf("%s before the first run: exit %d, %s", verb, code, stderr)
		}
	}
	if code, stdout, _ := shoal(t, "gc", "--out", out); code != 0 || !strings.HasPrefix(stdout, "0 files") {
		t.Errorf("gc before the first run: exit %d, %s", code, stdout)
	}
	if _, err := os.Stat(dir + "/out"); err == nil {
		t.Error("looking made a directory")
	}
	for _, force := range []string{"--force=false", "--force"} {
		if code, _, stderr := shoal(t, "run", "--config", config, "--date", "2024-06-30", force); code != 0 {
			t.Fatalf("exit %d: %s", code, stderr)
		}
	}
	code, stdout, _ := shoal(t, "runs", "--config", config, "--json")
	var l runs.Listing
	if err := json.Unmarshal([]byte(stdout), &l); err != nil || code != 0 || len(l.Runs) != 2 || l.Runs[0].State != runs.Replaced || l.Runs[1].State != runs.Current {
		t.Fatalf("exit %d, %v: %s", code, err, stdout)
	}
	first, second := l.Runs[0].ID, l.Runs[1].ID
	if second != first+"-2" {
		t.Errorf("runs %s, %s", first, second)
	}
	if code, stdout, _ := shoal(t, "runs", "--config", config); code != 0 || !strings.Contains(stdout, second+"  current") {
		t.Errorf("exit %d: %s", code, stdout)
	}
	for _, which := range []string{first, second, "2024-06-30", "latest"} {
		if code, stdout, stderr := shoal(t, "verify", which, "--read-data", "--config", config); code != 0 || !strings.Contains(stdout, "every byte as it was written") {
			t.Errorf("verify %s: exit %d, %s%s", which, code, stdout, stderr)
		}
	}
	if code, _, stderr := shoal(t, "verify", "nothing", "--config", config); code != 2 || !strings.Contains(stderr, "shoal runs lists") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if code, _, stderr := shoal(t, "gc", "--keep", "soon", "--config", config); code != 2 || !strings.Contains(stderr, "7d, 12h or 0") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if code, stdout, _ := shoal(t, "gc", "--config", config); code != 0 || !strings.HasPrefix(stdout, "0 files") {
		t.Errorf("a run that was just replaced: exit %d, %s", code, stdout)
	}
	if code, stdout, _ := shoal(t, "gc", "--keep", "0", "--dry-run", "--config", config); code != 0 || !strings.Contains(stdout, "would be removed") {
		t.Errorf("exit %d: %s", code, stdout)
	}
	if code, stdout, stderr := shoal(t, "gc", "--keep", "0", "--config", config); code != 0 || !strings.Contains(stdout, "run="+first+": replaced") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	if code, stdout, _ := shoal(t, "runs", "--config", config); code != 0 || strings.Contains(stdout, "replaced") || !strings.Contains(stdout, second) {
		t.Errorf("after gc: exit %d: %s", code, stdout)
	}

	part := filepath.Join(out, "features", "ds=2024-06-30", "run="+second, "part-00000.parquet")
	alter(t, part, func(b []byte) []byte { b[len(b)/3] ^= 1; return b })
	if code, _, _ := shoal(t, "verify", "--config", config); code != 0 {
		t.Errorf("sizes are right: exit %d", code)
	}
	code, stdout, stderr := shoal(t, "verify", "--read-data", "--json", "--config", config)
	if code != 65 || !strings.Contains(stdout, "features/ds=2024-06-30/run="+second+"/part-00000.parquet") || !strings.Contains(stderr, "1 of 1 runs") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	// The pointer is what everything hangs on.
	alter(t, filepath.Join(out, "current.json"), func(b []byte) []byte { return b[:len(b)/2] })
	for _, args := range [][]string{{"runs"}, {"verify"}, {"gc"}, {"run", "--date", "2024-06-30"}} {
		if code, _, stderr := shoal(t, append(args, "--config", config)...); code != 65 || !strings.Contains(stderr, "current.json") {
			t.Errorf("%v with half a pointer: exit %d: %s", args, code, stderr)
		}
	}
}

// Two runs of one date do not both compute.
func TestSecondRunOfADateIsRefusedAtOnce(t *testing.T) {
	dir := t.TempDir()
	good(t, dir)
	config := filepath.Join(dir, "shoal.yaml")
	if err := os.WriteFile(config, []byte(strings.ReplaceAll(goodConfig, "DIR", dir)), 0o644); err != nil {
		t.Fatal(err)
	}
	codes := make(chan int)
	var errs [2]bytes.Buffer
	for i := range 2 {
		go func() {
			var out bytes.Buffer
			codes <- run(t.Context(), []string{"run", "--config", config, "--date", "2024-06-30"}, &out, &errs[i])
		}()
	}
	a, b := <-codes, <-codes
	if a+b != 75 && a+b != 0 { // 0: the one was over before the other looked
		t.Errorf("exits %d and %d:\n%s\n%s", a, b, &errs[0], &errs[1])
	}
	if computed := strings.Count(errs[0].String()+errs[1].String(), `"step":"read"`); computed != 1 {
		t.Errorf("%d of two runs read the events", computed)
	}
}

// A run that lost what says that it is published is damage, by whatever name it is asked for,
// and never a night without runs.
func TestVerifyLostMarks(t *testing.T) {
	dir := t.TempDir()
	good(t, dir)
	config := filepath.Join(dir, "shoal.yaml")
	if err := os.WriteFile(config, []byte(strings.ReplaceAll(goodConfig, "DIR", dir)), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := shoal(t, "run", "--config", config, "--date", "2024-06-30"); code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	out := dir + "/out/deep"
	marks, err := filepath.Glob(out + "/manifests/*/*/_SUCCESS")
	if err != nil || len(marks) != 1 {
		t.Fatal(marks, err)
	}
	for _, lost := range []string{marks[0], out + "/current.json", out + "/manifests"} {
		if err := os.Rename(lost, dir+"/away"); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{}, {"latest"}, {"2024-06-30"}} {
			code, stdout, stderr := shoal(t, append(append([]string{"verify"}, args...), "--out", out)...)
			if code != 65 || !strings.Contains(stdout+stderr, filepath.Base(lost)) {
				t.Errorf("without %s, verify %v: exit %d, %s%s", lost, args, code, stdout, stderr)
			}
		}
		if err := os.Rename(dir+"/away", lost); err != nil {
			t.Fatal(err)
		}
	}
	if code, _, stderr := shoal(t, "verify", "--out", out); code != 0 {
		t.Errorf("as it was: exit %d, %s", code, stderr)
	}
}
