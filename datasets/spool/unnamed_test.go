package spool

import (
	"os"
	"testing"
)

// A file without a name holds what is written to it, by whichever way it is made.
func TestFilesWithoutNames(t *testing.T) {
	dir := t.TempDir()
	makers := map[string]func() (*os.File, bool){
		"never named": func() (*os.File, bool) { return nameless(dir) },
		"name taken away": func() (*os.File, bool) {
			f, err := unnamed(dir)
			return f, err == nil
		},
	}
	for name, open := range makers {
		f, ok := open()
		if !ok && name == "never named" {
			continue // not on every file system
		}
		if !ok {
			t.Fatal(name)
		}
		defer f.Close()
		if _, err := f.WriteAt([]byte("shoal"), 1<<33); err != nil {
			t.Fatal(name, err)
		}
		got := make([]byte, 5)
		if _, err := f.ReadAt(got, 1<<33); err != nil || string(got) != "shoal" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: %v in the directory, %v", name, left, err)
		}
	}
}
