package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Whatever a file, the flags and the environment say, the configuration is
// refused with located faults, or it is valid, can be acted upon, and its
// effective form reads back as the same.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil || len(files) < 5 {
		f.Fatalf("%d seeds, %v", len(files), err)
	}
	examples, err := filepath.Glob("../examples/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, examples...) {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, "")
		f.Add(data, "${X:-elsewhere}\nauto\n25%\nx")
	}
	// given is --out, --workers, --memory and what every variable holds, a line each:
	// one argument, so that the file itself is changed as often as all of them.
	f.Fuzz(func(t *testing.T, data []byte, given string) {
		lines := append(strings.SplitN(given, "\n", 4), "", "", "")
		flags, env := Overrides{Out: lines[0], Workers: lines[1], Memory: lines[2]}, lines[3]
		environment := func(string) (string, bool) { return env, env != "" }
		c, err := parse("fuzz.yaml", data, environment, flags)
		if err != nil {
			checkFaults(t, data, err)
			if _, again := parse("fuzz.yaml", data, environment, flags); again == nil || again.Error() != err.Error() {
				t.Errorf("read twice, two errors:\n%v\n%v", err, again)
			}
			return
		}
		if err := c.Validate(); err != nil {
			t.Fatalf("accepted and not valid: %v", err)
		}
		if flags.Out != "" && c.Out != flags.Out {
			t.Errorf("out is %q and the flag said %q", c.Out, flags.Out)
		}
		in, err := c.ScanInput()
		if err != nil || len(in.Sources) != len(c.Sources) || len(in.Identity) != len(c.Identity) {
			t.Fatalf("%d sources of %d: %v", len(in.Sources), len(c.Sources), err)
		}
		if p := c.FeatureParams(); len(p.Windows) != len(c.Features.Windows) {
			t.Errorf("windows %v of %v", p.Windows, c.Features.Windows)
		}
		text, err := c.Effective()
		if err != nil {
			t.Fatal(err)
		}
		// The effective form has nothing left to replace.
		back, err := Parse("fuzz.yaml", text, unset)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if diff := cmp.Diff(c, back); diff != "" {
			t.Fatal(diff)
		}
		if c.Hash() != back.Hash() {
			t.Errorf("hash %s, read back %s", c.Hash(), back.Hash())
		}
	})
}

// checkFaults holds an error to its promises: it is an *Error, and every fault has a
// message and a place in the file, unless a flag or the file as a whole is at fault.
func checkFaults(t *testing.T, data []byte, err error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || len(e.Faults) == 0 {
		t.Fatalf("%v (%T) is no *Error with faults", err, err)
	}
	// YAML also ends lines at a lone CR, NEL, LS and PS; a fault at the end stands on a line past the last.
	lines := 2 + bytes.Count(data, []byte("\n")) + bytes.Count(data, []byte("\r")) +
		bytes.Count(data, []byte("\u0085")) + bytes.Count(data, []byte("\u2028")) + bytes.Count(data, []byte("\u2029"))
	for _, f := range e.Faults {
		switch {
		case f.Message == "":
			t.Errorf("a fault without a message: %+v", f)
		case f.File != "" && f.File != "fuzz.yaml":
			t.Errorf("a fault of another file: %+v", f)
		case f.Line == 0 && f.File != "" && f.Path != "":
			t.Errorf("a fault without a line: %+v", f)
		case f.Line < 0 || f.Line > lines || f.Line > 0 && f.Column < 1:
			t.Errorf("a fault at %d:%d of %d lines: %+v", f.Line, f.Column, lines, f)
		}
	}
}
