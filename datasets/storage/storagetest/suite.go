// Package storagetest holds what every implementation of storage.FS must do,
// an FS that fails on command and one that can lose power.
package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/shoal-data/shoal/datasets/storage"
)

// Run holds fsys to the contract of storage.FS, and of storage.Objects if it is an
// object store. root is an existing directory of its own, empty, that the suite may
// fill.
func Run(t *testing.T, fsys storage.FS, root string) {
	tests := map[string]func(*testing.T, storage.FS, string){
		"ReadWrite":         testReadWrite,
		"CreateIsExclusive": testCreateIsExclusive,
		"CreateRace":        testCreateRace,
		"Missing":           testMissing,
		"DirectoryIsNoFile": testDirectoryIsNoFile,
		"RemoveAll":         testRemoveAll,
		"Glob":              testGlob,
		"GlobQuoteMeta":     testGlobQuoteMeta,
		"GlobNothing":       testGlobNothing,
		"Cancelled":         testCancelled,
		"ConcurrentReadAt":  testConcurrentReadAt,
		"ReadFileWriteFile": testReadFileWriteFile,
		"EmptyFile":         testEmptyFile,
		"LargeFile":         testLargeFile,
	}
	if _, ok := storage.InObjects(fsys, root); ok {
		tests["AppearsWhole"] = testAppearsWhole
		tests["Version"] = testVersion
		tests["VersionRace"] = testVersionRace
		tests["NoRename"] = testNoRename
		tests["ReplacedWhileRead"] = testReplacedWhileRead
	} else {
		tests["RenameFile"] = testRenameFile
		tests["RenameDirectory"] = testRenameDirectory
		tests["MakeDir"] = testMakeDir
		tests["RemoveEmpty"] = testRemoveEmpty
		tests["OpenSurvivesRename"] = testOpenSurvivesRename
		tests["MissingDirectory"] = testMissingDirectory
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := root + "/" + strings.ToLower(name)
			if _, err := fsys.MakeDir(t.Context(), dir); err != nil {
				t.Fatal(err)
			}
			test(t, fsys, dir)
		})
	}
}

func write(t *testing.T, fsys storage.FS, path, content string) {
	t.Helper()
	if err := storage.WriteFile(t.Context(), fsys, path, []byte(content)); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, fsys storage.FS, path string) string {
	t.Helper()
	data, err := storage.ReadFile(t.Context(), fsys, path, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error is %v, want one that wraps %v", err, want)
	}
}

func testReadWrite(t *testing.T, fsys storage.FS, dir string) {
	path := dir + "/a/b=1/x.parquet"
	w, err := fsys.Create(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"hello ", "", "world"} {
		if n, err := w.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatalf("Write(%q) = %d, %v", s, n, err)
		}
	}
	if err := w.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := fsys.SyncDir(t.Context(), dir+"/a/b=1"); err != nil {
		t.Fatal(err)
	}
	info, err := fsys.Stat(t.Context(), path)
	if err != nil || info.Path != path || info.Size != 11 || info.ModTime.IsZero() {
		t.Errorf("Stat = %+v, %v", info, err)
	}
	f, err := fsys.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Size() != 11 {
		t.Errorf("Size = %d, want 11", f.Size())
	}
	buf := make([]byte, 5)
	if n, err := f.ReadAt(buf, 6); n != 5 || err != nil && err != io.EOF || string(buf) != "world" {
		t.Errorf("ReadAt(6) = %d %q, %v", n, buf, err)
	}
	if n, err := f.ReadAt(buf, 9); n != 2 || err != io.EOF {
		t.Errorf("ReadAt past the end = %d, %v, want 2, EOF", n, err)
	}
}

func testCreateIsExclusive(t *testing.T, fsys storage.FS, dir string) {
	write(t, fsys, dir+"/x", "first")
	w, err := fsys.Create(t.Context(), dir+"/x")
	if err == nil {
		_, err = w.Write([]byte("second"))
		err = errors.Join(err, w.Sync(), w.Close())
	}
	wantErr(t, err, fs.ErrExist)
	if got := read(t, fsys, dir+"/x"); got != "first" {
		t.Errorf("content is %q after a refused Create", got)
	}
}

func testCreateRace(t *testing.T, fsys storage.FS, dir string) {
	for round := range 20 {
		var winners atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				w, err := fsys.Create(t.Context(), fmt.Sprintf("%s/%d/lease", dir, round))
				if err == nil {
					err = errors.Join(w.Sync(), w.Close())
				}
				if err == nil {
					winners.Add(1)
				} else if !errors.Is(err, fs.ErrExist) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if winners.Load() != 1 {
			t.Fatalf("round %d: %d of 8 created the same file", round, winners.Load())
		}
	}
}

func testMissing(t *testing.T, fsys storage.FS, dir string) {
	_, err := fsys.Stat(t.Context(), dir+"/none")
	wantErr(t, err, fs.ErrNotExist)
	_, err = fsys.Open(t.Context(), dir+"/none")
	wantErr(t, err, fs.ErrNotExist)
	if err == nil || !strings.Contains(err.Error(), dir+"/none") {
		t.Errorf("%v does not name the file", err)
	}
}

func testMissingDirectory(t *testing.T, fsys storage.FS, dir string) {
	wantErr(t, fsys.Rename(t.Context(), dir+"/none", dir+"/other"), fs.ErrNotExist)
	wantErr(t, fsys.SyncDir(t.Context(), dir+"/none"), fs.ErrNotExist)
}

func testDirectoryIsNoFile(t *testing.T, fsys storage.FS, dir string) {
	if _, err := fsys.Stat(t.Context(), dir); err == nil {
		t.Error("Stat of a directory gave no error")
	}
	if f, err := fsys.Open(t.Context(), dir); err == nil {
		f.Close()
		t.Error("Open of a directory gave no error")
	}
}

func testRenameFile(t *testing.T, fsys storage.FS, dir string) {
	write(t, fsys, dir+"/new", "new")
	write(t, fsys, dir+"/sub/current", "old")
	if err := fsys.Rename(t.Context(), dir+"/new", dir+"/sub/current"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, fsys, dir+"/sub/current"); got != "new" {
		t.Errorf("content is %q, want the renamed file's", got)
	}
	_, err := fsys.Stat(t.Context(), dir+"/new")
	wantErr(t, err, fs.ErrNotExist)
}

func testRenameDirectory(t *testing.T, fsys storage.FS, dir string) {
	write(t, fsys, dir+"/stage/t/part", "1")
	write(t, fsys, dir+"/full/part", "2")
	if _, err := fsys.MakeDir(t.Context(), dir+"/to"); err != nil {
		t.Fatal(err)
	}
	if err := fsys.Rename(t.Context(), dir+"/stage/t", dir+"/to/run=1"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, fsys, dir+"/to/run=1/part"); got != "1" {
		t.Errorf("content is %q", got)
	}
	if err := fsys.Rename(t.Context(), dir+"/to/run=1", dir+"/full"); err == nil {
		t.Error("a directory was renamed over one with files in it")
	}
	if got := read(t, fsys, dir+"/full/part"); got != "2" {
		t.Errorf("content is %q after a refused Rename", got)
	}
}

func testMakeDir(t *testing.T, fsys storage.FS, dir string) {
	for _, c := range []struct{ dir, made string }{
		{dir + "/a/b/c", dir + "/a"},
		{dir + "/a/b/c", ""},
		{dir + "/a/b/d/e", dir + "/a/b/d"},
		{dir + "/a/b/d/", ""},
	} {
		if made, err := fsys.MakeDir(t.Context(), c.dir); made != c.made || err != nil {
			t.Errorf("MakeDir(%s) = %q, %v, want %q", c.dir, made, err, c.made)
		}
	}
	write(t, fsys, dir+"/file", "")
	if made, err := fsys.MakeDir(t.Context(), dir+"/file/x"); err == nil || made != "" {
		t.Errorf("MakeDir below a file = %q, %v", made, err)
	}
}

func testRemoveAll(t *testing.T, fsys storage.FS, dir string) {
	write(t, fsys, dir+"/x/y/z", "")
	write(t, fsys, dir+"/xy", "")
	for range 2 { // the second time there is nothing to remove, and no error
		if err := fsys.RemoveAll(t.Context(), dir+"/x"); err != nil {
			t.Fatal(err)
		}
	}
	_, err := fsys.Stat(t.Context(), dir+"/x/y/z")
	wantErr(t, err, fs.ErrNotExist)
	if _, err := fsys.Stat(t.Context(), dir+"/xy"); err != nil {
		t.Errorf("a file that shares a prefix went too: %v", err)
	}
}

func testRemoveEmpty(t *testing.T, fsys storage.FS, dir string) {
	ctx := t.Context()
	made := func(sub string) string {
		t.Helper()
		m, err := fsys.MakeDir(ctx, dir+sub)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	made("/a/b/c")
	write(t, fsys, dir+"/a/keep", "")
	for range 2 {
		if err := fsys.RemoveEmpty(ctx, dir+"/a/b/c", dir+"/a"); err != nil {
			t.Fatal(err)
		}
	}
	if m := made("/a/b"); m != dir+"/a/b" {
		t.Errorf("an empty directory was left: made %q", m)
	}
	if got := read(t, fsys, dir+"/a/keep"); got != "" {
		t.Error("a directory in use was removed")
	}
	made("/p/q/r")
	if err := fsys.RemoveEmpty(ctx, dir+"/p/q/r", dir+"/p/q"); err != nil {
		t.Fatal(err)
	}
	if m := made("/p/q"); m != dir+"/p/q" {
		t.Errorf("removal did not stop at top: made %q", m)
	}
}

func testGlob(t *testing.T, fsys storage.FS, dir string) {
	files := []string{
		"ds=2026-01-01/a.parquet", "ds=2026-01-01/b.parquet", "ds=2026-01-02/a.parquet", "ds=2026-01-02/a.csv",
		"ds=2026-01-01/_SUCCESS", "ds=2026-01-01/.a.parquet.crc", "ds=2026-01-01/_tmp/c.parquet",
		".staging-7/ds=2026-01-03/a.parquet", "_delta_log/a.parquet", "top.parquet", "deep/er/still/x.parquet",
	}
	for _, f := range files {
		write(t, fsys, dir+"/"+f, f)
	}
	for pattern, want := range map[string][]string{
		"ds=*/*.parquet":             {"ds=2026-01-01/a.parquet", "ds=2026-01-01/b.parquet", "ds=2026-01-02/a.parquet"},
		"*/*.parquet":                {"ds=2026-01-01/a.parquet", "ds=2026-01-01/b.parquet", "ds=2026-01-02/a.parquet"},
		"ds=2026-01-0{1,2}/a.*":      {"ds=2026-01-01/a.parquet", "ds=2026-01-02/a.csv", "ds=2026-01-02/a.parquet"},
		"{top,deep/er/still/x}.par*": {"deep/er/still/x.parquet", "top.parquet"},
		"**/x.parquet":               {"deep/er/still/x.parquet"},
		"**/top.parquet":             {"top.parquet"},
		"**/a.parquet":               {"ds=2026-01-01/a.parquet", "ds=2026-01-02/a.parquet"},
		"deep/**":                    {"deep/er/still/x.parquet"},
		"**":                         {"deep/er/still/x.parquet", "ds=2026-01-01/a.parquet", "ds=2026-01-01/b.parquet", "ds=2026-01-02/a.csv", "ds=2026-01-02/a.parquet", "top.parquet"},
		"ds=2026-01-01/[ab].parquet": {"ds=2026-01-01/a.parquet", "ds=2026-01-01/b.parquet"},
		"ds=*/_*":                    {"ds=2026-01-01/_SUCCESS"},
		"*/_SUCCESS":                 {"ds=2026-01-01/_SUCCESS"},
		"ds=2026-01-01/.*":           {"ds=2026-01-01/.a.parquet.crc"},
		".staging-*/**/*.parquet":    {".staging-7/ds=2026-01-03/a.parquet"},
		"_delta_log/*":               {"_delta_log/a.parquet"},
		"ds=*/_tmp/*":                {"ds=2026-01-01/_tmp/c.parquet"},
		"top.parquet":                {"top.parquet"},
		"?op.parquet":                {"top.parquet"},
		"*":                          {"top.parquet"},
		"ds=2026-01-01":              {}, // a directory is no file
		"top.parquet/*":              {}, // and a file no directory
		"nowhere/*.parquet":          {},
	} {
		infos, err := fsys.Glob(t.Context(), storage.QuoteMeta(dir)+"/"+pattern)
		if err != nil {
			t.Errorf("Glob(%s): %v", pattern, err)
			continue
		}
		got := []string{}
		for _, i := range infos {
			name := strings.TrimPrefix(i.Path, dir+"/")
			got = append(got, name)
			if i.Size != int64(len(name)) {
				t.Errorf("Glob(%s): %s has %d bytes, want %d", pattern, name, i.Size, len(name))
			}
			if _, err := fsys.Stat(t.Context(), i.Path); err != nil {
				t.Errorf("Glob(%s): a path that does not join with Stat: %v", pattern, err)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("Glob(%s) = %q, want %q", pattern, got, want)
		}
		for _, f := range files {
			if ok, err := storage.Match(pattern, f); err != nil || ok != slices.Contains(want, f) {
				t.Errorf("Match(%s, %s) = %t, %v, but Glob wants %t", pattern, f, ok, err, !ok)
			}
		}
	}
	if _, err := fsys.Glob(t.Context(), dir+"/[a"); err == nil {
		t.Error("a broken pattern gave no error")
	}
}

func testGlobQuoteMeta(t *testing.T, fsys storage.FS, dir string) {
	odd := dir + `/[a]{b,c}*?\d`
	write(t, fsys, odd+"/x", "")
	infos, err := fsys.Glob(t.Context(), storage.QuoteMeta(odd)+"/*")
	if err != nil || len(infos) != 1 || infos[0].Path != odd+"/x" {
		t.Errorf("Glob of a quoted path = %v, %v", infos, err)
	}
}

func testGlobNothing(t *testing.T, fsys storage.FS, dir string) {
	if infos, err := fsys.Glob(t.Context(), dir+"/none/**/*.parquet"); len(infos) != 0 || err != nil {
		t.Errorf("Glob of a missing directory = %v, %v, want none", infos, err)
	}
}

func testCancelled(t *testing.T, fsys storage.FS, dir string) {
	write(t, fsys, dir+"/x", "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, globErr := fsys.Glob(ctx, dir+"/**")
	_, statErr := fsys.Stat(ctx, dir+"/x")
	_, openErr := fsys.Open(ctx, dir+"/x")
	_, createErr := fsys.Create(ctx, dir+"/y")
	_, makeErr := fsys.MakeDir(ctx, dir+"/z")
	for _, err := range []error{
		globErr, statErr, openErr, createErr, makeErr, fsys.Rename(ctx, dir+"/x", dir+"/y"), fsys.SyncDir(ctx, dir),
		fsys.RemoveAll(ctx, dir+"/x"), fsys.RemoveEmpty(ctx, dir, dir),
	} {
		wantErr(t, err, context.Canceled)
	}
	if got := read(t, fsys, dir+"/x"); got != "" {
		t.Error("a cancelled operation took effect")
	}
}

func testConcurrentReadAt(t *testing.T, fsys storage.FS, dir string) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	write(t, fsys, dir+"/x", string(content))
	f, err := fsys.Open(t.Context(), dir+"/x")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			buf := make([]byte, 16)
			for i := g; i < 4096; i += 8 {
				if n, err := f.ReadAt(buf, int64(16*i)); n != 16 || !bytes.Equal(buf, content[:16]) {
					t.Errorf("ReadAt(%d) = %d %q, %v", 16*i, n, buf, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func testReadFileWriteFile(t *testing.T, fsys storage.FS, dir string) {
	write(t, fsys, dir+"/x", "0123456789")
	if got := read(t, fsys, dir+"/x"); got != "0123456789" {
		t.Errorf("content is %q", got)
	}
	if _, err := storage.ReadFile(t.Context(), fsys, dir+"/x", 9); err == nil || !strings.Contains(err.Error(), "10 bytes") {
		t.Errorf("ReadFile above its limit: %v", err)
	}
	wantErr(t, storage.WriteFile(t.Context(), fsys, dir+"/x", nil), fs.ErrExist)
	if got := read(t, fsys, dir+"/x"); got != "0123456789" {
		t.Errorf("content is %q after a refused WriteFile", got)
	}
}

func testEmptyFile(t *testing.T, fsys storage.FS, dir string) {
	write(t, fsys, dir+"/x", "")
	if got := read(t, fsys, dir+"/x"); got != "" {
		t.Errorf("content is %q", got)
	}
}

func testOpenSurvivesRename(t *testing.T, fsys storage.FS, dir string) {
	write(t, fsys, dir+"/current", "old")
	f, err := fsys.Open(t.Context(), dir+"/current")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write(t, fsys, dir+"/next", "new")
	if err := fsys.Rename(t.Context(), dir+"/next", dir+"/current"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 3)
	if _, err := f.ReadAt(buf, 0); err != nil && err != io.EOF || string(buf) != "old" {
		t.Errorf("a reader sees %q, %v while the file is replaced, want the old one whole", buf, err)
	}
}
