// Package pyoracle lets tests ask a Python library what the right answer is.
package pyoracle

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Python is the interpreter that oracle tests run: $SHOAL_PYTHON, or else
// .tools/venv/bin/python in the package's directory or the nearest one above
// it. Without one the test is skipped, or fails when SHOAL_REQUIRE_ORACLES=1,
// so that continuous integration cannot lose its oracles unnoticed.
func Python(t testing.TB) string {
	t.Helper()
	if p := os.Getenv("SHOAL_PYTHON"); p != "" {
		return p
	}
	if p, ok := above(t, filepath.Join(".tools", "venv", "bin", "python")); ok {
		return p
	}
	missing(t, "no Python oracle: run `make tools`, or set SHOAL_PYTHON to an interpreter with the packages of requirements.txt")
	return ""
}

// Data is the directory of real event histories: $DATA, or else ../shared/data
// beside the nearest directory above. Without it the test is skipped.
func Data(t testing.TB) string {
	t.Helper()
	if d := os.Getenv("DATA"); d != "" {
		return d
	}
	if d, ok := above(t, filepath.Join("shared", "data", "README.md")); ok {
		return filepath.Dir(d)
	}
	t.Skip("no real event histories: set DATA to the directory that holds them")
	return ""
}

// Java says whether PySpark can run. Where there is none a test leaves Spark out, or
// fails when SHOAL_REQUIRE_SPARK=1: it is a package of the system, which a test
// cannot bring along.
func Java(t testing.TB) bool {
	t.Helper()
	if _, err := exec.LookPath("java"); err == nil || os.Getenv("JAVA_HOME") != "" {
		return true
	}
	const why = "Spark is left out: there is no Java; install openjdk-17-jre-headless or a later one"
	if os.Getenv("SHOAL_REQUIRE_SPARK") == "1" {
		t.Fatal(why)
	}
	t.Log(why)
	return false
}

func above(t testing.TB, name string) (string, bool) {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		p := filepath.Join(dir, name)
		if _, err := os.Stat(p); err == nil {
			return p, true
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", false
		}
		dir = up
	}
}

func missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("SHOAL_REQUIRE_ORACLES") == "1" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// Run runs a script, gives it in as JSON on standard input (nil gives none),
// and decodes the JSON it prints into out.
func Run(t testing.TB, script string, in, out any) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), Python(t), "-c", script)
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdin = bytes.NewReader(b)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if err != nil {
		t.Fatalf("oracle script: %v\n%s", err, stderr.Bytes())
	}
	if err := json.Unmarshal(stdout, out); err != nil {
		t.Fatalf("oracle script printed no JSON for %T: %v\n%.200s", out, err, stdout)
	}
}
