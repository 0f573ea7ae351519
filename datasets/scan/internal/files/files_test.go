package files

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/datasets/scan/internal/fault"
	"github.com/shoal-data/shoal/datasets/storage"
)

// Files come by path, each once, whatever the globs.
func TestList(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"b", "a", "c"} {
		if err := os.WriteFile(at(name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	list, warnings, err := List(t.Context(), storage.Local(), "web", []string{at("b"), at("z*"), at("[ab]")})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || list[0].Path != at("a") || list[1].Path != at("b") || list[1].Source != "web" || list[1].Size != 1 || list[1].ModTime.IsZero() {
		t.Errorf("%+v", list)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], `source web: no file matches`) {
		t.Errorf("warnings %q", warnings)
	}
	for glob, kind := range map[string]fault.Kind{at("z*"): fault.NoInput, at("["): fault.Config} {
		var e *fault.Error
		if _, _, err := List(t.Context(), storage.Local(), "web", []string{glob}); !errors.As(err, &e) || e.Kind != kind || e.Source != "web" {
			t.Errorf("%s: %v", glob, err)
		}
	}
}

// counted counts the files that are open.
type counted struct {
	storage.FS
	opened, open *int
}

type countedFile struct {
	storage.File
	open *int
}

func (c counted) Open(ctx context.Context, path string) (storage.File, error) {
	f, err := c.FS.Open(ctx, path)
	if err == nil {
		*c.opened++
		*c.open++
	}
	return countedFile{f, c.open}, err
}

func (c countedFile) Close() error {
	*c.open--
	return c.File.Close()
}

// A file is opened once, stays open between its tasks, and is closed after the last.
func TestShared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(path, []byte("abc"), 0o644); err != nil {
		t.Fatal(err)
	}
	var opened, open int
	fsys := counted{storage.Local(), &opened, &open}
	var s Shared
	const tasks = 3
	for range tasks {
		s.Expect()
	}
	for i := range tasks {
		if _, err := s.Open(t.Context(), fsys, &File{Path: path, Size: 3}); err != nil {
			t.Fatal(err)
		}
		if open != 1 || opened != 1 {
			t.Errorf("task %d: %d files open of %d opened", i, open, opened)
		}
		s.Release()
	}
	if open != 0 {
		t.Errorf("%d files are left open", open)
	}
	var grown Shared
	var e *fault.StorageError
	if _, err := grown.Open(t.Context(), fsys, &File{Path: path, Size: 2}); !errors.As(err, &e) || open != 0 {
		t.Errorf("a file that grew: %v, %d open", err, open)
	}
}

func TestPartitionKeys(t *testing.T) {
	got := PartitionKeys("lake=eu/raw/ds=2024-01-01/na%20me=a%2Fb/=x/bad=%zz/region=__HIVE_DEFAULT_PARTITION__/empty=/k=v.parquet")
	want := []PartitionKey{{"lake", "eu", false}, {"ds", "2024-01-01", false}, {"na me", "a/b", false}, {"bad", "%zz", false}, {"region", "__HIVE_DEFAULT_PARTITION__", true}, {"empty", "", false}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}
