package storage_test

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/storage/storagetest"
)

func TestLocal(t *testing.T) {
	storagetest.Run(t, storage.Local(), filepath.ToSlash(t.TempDir()))
}

func TestLocalRelative(t *testing.T) {
	t.Chdir(t.TempDir())
	storagetest.Run(t, storage.Local(), "lake")
}

func TestMem(t *testing.T) {
	m := storagetest.NewMem()
	storagetest.Run(t, m, "/tree")
}

func TestFaultyWithoutFault(t *testing.T) {
	storagetest.Run(t, storagetest.NewFaulty(storagetest.NewMem(), storagetest.Plan{}), "/tree")
}

func paths(infos []storage.Info) []string {
	var out []string
	for _, i := range infos {
		out = append(out, i.Path)
	}
	return out
}

// A file under two names would count its rows twice, and a link to a directory
// above itself would never end.
func TestGlobFollowsLinksOnce(t *testing.T) {
	t.Chdir(t.TempDir())
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll("lake/ds=2026-01-01", 0o777))
	must(os.MkdirAll("elsewhere/ds=2026-01-02", 0o777))
	must(os.WriteFile("lake/ds=2026-01-01/a.parquet", nil, 0o666))
	must(os.WriteFile("elsewhere/ds=2026-01-02/b.parquet", nil, 0o666))
	must(os.Symlink("ds=2026-01-01", "lake/ds=0-latest"))
	must(os.Symlink("../elsewhere/ds=2026-01-02", "lake/ds=2026-01-02"))
	must(os.Symlink("..", "lake/ds=2026-01-01/loop"))
	must(os.Symlink("../elsewhere/ds=2026-01-02/b.parquet", "lake/c.parquet"))

	for pattern, want := range map[string][]string{
		"lake/*/*.parquet":     {"lake/ds=2026-01-01/a.parquet", "lake/ds=2026-01-02/b.parquet"},
		"lake/ds=0*/*.parquet": {"lake/ds=0-latest/a.parquet"}, // the only path the pattern gives
		"lake/**/*.parquet":    {"lake/c.parquet", "lake/ds=2026-01-01/a.parquet"},
		"lake/**":              {"lake/c.parquet", "lake/ds=2026-01-01/a.parquet"},
	} {
		infos, err := storage.Local().Glob(t.Context(), pattern)
		if got := paths(infos); err != nil || !slices.Equal(got, want) {
			t.Errorf("Glob(%s) = %q, %v, want %q", pattern, got, err, want)
		}
	}

	must(os.Symlink("gone.parquet", "lake/ds=2026-01-01/dangling.parquet"))
	_, err := storage.Local().Glob(t.Context(), "lake/*/*.parquet")
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "dangling.parquet") {
		t.Errorf("a link to nothing is data gone missing; error is %v", err)
	}
}

func TestLocalPermission(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may do everything; TestFaulty injects EACCES instead")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	if _, err := storage.Local().Create(t.Context(), dir+"/x"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Create in a read-only directory: %v", err)
	}
}

func TestFaulty(t *testing.T) {
	save := func(fsys storage.FS) error {
		if err := storage.WriteFile(t.Context(), fsys, "a/tmp", []byte("0123456789")); err != nil {
			return err
		}
		return fsys.Rename(t.Context(), "a/tmp", "a/x")
	}
	clean := storagetest.NewFaulty(storagetest.NewMem(), storagetest.Plan{})
	if err := save(clean); err != nil {
		t.Fatal(err)
	}
	want := []string{"create a/tmp", "write a/tmp", "sync a/tmp", "close a/tmp", "rename a/tmp → a/x"}
	if got := clean.Trace(); !slices.Equal(got, want) {
		t.Fatalf("trace is %q, want %q", got, want)
	}
	for at := 1; at <= len(want); at++ {
		for _, err := range []error{syscall.EIO, syscall.EACCES} {
			mem := storagetest.NewMem()
			got := save(storagetest.NewFaulty(mem, storagetest.Plan{At: at, Err: err}))
			if !errors.Is(got, err) {
				t.Errorf("operation %d: error is %v, want %v", at, got, err)
			}
			// WriteFile takes back what it could not finish; a failed rename is the caller's.
			if tree := mem.Tree(); at < 5 && slices.Contains(tree, "a/tmp") {
				t.Errorf("operation %d: %q was left", at, tree)
			}
		}
	}
	mem := storagetest.NewMem()
	if err := save(storagetest.NewFaulty(mem, storagetest.Plan{At: 5, Err: syscall.EIO, After: true})); !errors.Is(err, syscall.EIO) {
		t.Errorf("error is %v", err)
	}
	if !slices.Contains(mem.Tree(), "a/x") {
		t.Error("with After the operation takes effect")
	}
	mem = storagetest.NewMem()
	killed := storagetest.NewFaulty(mem, storagetest.Plan{At: 2, Err: syscall.EIO, Kill: true})
	if err := save(killed); err == nil || !slices.Contains(mem.Tree(), "a/tmp") {
		t.Errorf("a killed process cleans nothing up: %v, %q", err, mem.Tree())
	}
	for space := range int64(10) {
		mem := storagetest.NewMem()
		if err := save(storagetest.NewFaulty(mem, storagetest.Plan{Full: true, Space: space})); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%d bytes free: error is %v", space, err)
		}
	}
	if err := save(storagetest.NewFaulty(storagetest.NewMem(), storagetest.Plan{Full: true, Space: 10})); err != nil {
		t.Errorf("10 bytes free for 10 bytes: %v", err)
	}
}

// What fsync and SyncDir promise, each on its own.
func TestMemCrash(t *testing.T) {
	ctx, rng := t.Context(), rand.New(rand.NewPCG(1, 2))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	m := storagetest.NewMem()
	must(storage.WriteFile(ctx, m, "d/named", []byte("kept")))
	w, err := m.Create(ctx, "d/unsynced")
	must(err)
	_, err = w.Write([]byte("lost"))
	must(err)
	must(m.SyncDir(ctx, ""))
	must(m.SyncDir(ctx, "d"))
	must(storage.WriteFile(ctx, m, "d/unnamed", []byte("lost")))

	if got, want := m.Crash(0, rng).Tree(), []string{"d/", "d/named", "d/unsynced"}; !slices.Equal(got, want) {
		t.Errorf("after a crash: %q, want %q", got, want)
	}
	for name, want := range map[string]string{"d/named": "kept", "d/unsynced": ""} {
		if got, err := storage.ReadFile(ctx, m.Crash(0, rng), name, 10); err != nil || string(got) != want {
			t.Errorf("%s holds %q, %v, want %q", name, got, err, want)
		}
	}
	if got := m.Crash(1, rng).Tree(); !slices.Equal(got, m.Tree()) {
		t.Errorf("with everything kept: %q, want %q", got, m.Tree())
	}
}

// A path that exists as written is that file, whatever its characters mean in a glob.
func TestLocalGlobTakesALiteralPath(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a[1].parquet", "a1.parquet", "b{x,y}.parquet"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a[1].parquet", "b{x,y}.parquet"} {
		got, err := storage.Local().Glob(t.Context(), filepath.Join(dir, name))
		if err != nil || len(got) != 1 || filepath.Base(got[0].Path) != name {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if got, err := storage.Local().Glob(t.Context(), filepath.Join(dir, "a[12].parquet")); err != nil || len(got) != 1 || filepath.Base(got[0].Path) != "a1.parquet" {
		t.Errorf("%v, %v", got, err)
	}
}
