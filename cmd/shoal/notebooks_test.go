package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/internal/pyoracle"
)

// notebooks is the directory of the analysts' notebooks.
func notebooks(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", "notebooks"))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Notebooks are committed as they were written: without outputs and counts.
func TestNotebooksAreStripped(t *testing.T) {
	python := pyoracle.Python(t)
	script := filepath.Join(notebooks(t), "execute.py")
	if out, err := exec.CommandContext(t.Context(), python, script, "--check").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	// One that was saved after it ran is found.
	dir := t.TempDir()
	source, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	ran := `{"cells": [{"cell_type": "code", "id": "a", "execution_count": 1, "metadata": {}, "outputs": [], "source": "1"}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}`
	for name, text := range map[string][]byte{"execute.py": source, "ran.ipynb": []byte(ran)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), python, filepath.Join(dir, "execute.py"), "--check").CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("outputs are left in ran.ipynb")) {
		t.Errorf("a notebook with a count passes: %v\n%s", err, out)
	}
}

// Every notebook runs from top to bottom on what `make run` makes, and every
// chart has data and titles.
func TestNotebooksRun(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	python := pyoracle.Python(t)
	program := filepath.Join(t.TempDir(), "shoal") // the notebooks ask the program for its SQL
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	dir := notebooks(t)
	script := filepath.Join(dir, "execute.py")
	t.Chdir(t.TempDir())
	for _, line := range []string{"generate --out sample --customers 5000", "run --config sample/shoal.yaml --date 2025-03-31"} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), words(line), &stdout, &stderr); code != 0 {
			t.Fatalf("shoal %s: exit %d\n%s%s", line, code, &stdout, &stderr)
		}
	}
	execute := func(names ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), python, append([]string{script}, names...)...)
		cmd.Env = append(os.Environ(), "SHOAL="+program, "SHOAL_OUT="+filepath.Join("sample", "out"), "PYTHONDONTWRITEBYTECODE=1")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := execute()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.ipynb"))
	if err != nil || len(files) < 6 {
		t.Fatalf("%d notebooks, %v", len(files), err)
	}
	for _, f := range files {
		if !strings.Contains(out, filepath.Base(f)+": ") {
			t.Errorf("%s was not run:\n%s", filepath.Base(f), out)
		}
	}
	// Outputs that are not what the manifest says are noticed.
	tamper(t, filepath.Join("sample", "out"))
	if out, err := execute("outputs"); err == nil || !strings.Contains(out, "these files are not what the run wrote") {
		t.Errorf("a changed file is not noticed: %v\n%s", err, out)
	}
}

// tamper flips a bit of a published file.
func tamper(t *testing.T, out string) {
	t.Helper()
	manifests, err := filepath.Glob(filepath.Join(out, "manifests", "*", "*", "manifest.json"))
	if err != nil || len(manifests) != 1 {
		t.Fatalf("%v %v", manifests, err)
	}
	var m struct {
		Tables []struct {
			Files []struct{ Path string }
		}
	}
	b, err := os.ReadFile(manifests[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	part := filepath.Join(out, m.Tables[0].Files[0].Path)
	b, err = os.ReadFile(part)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(part, b, 0o644); err != nil {
		t.Fatal(err)
	}
}
