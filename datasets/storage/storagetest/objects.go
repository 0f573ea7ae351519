package storagetest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/shoal-data/shoal/datasets/storage"
)

func objectsAt(t *testing.T, fsys storage.FS, dir string) storage.Objects {
	t.Helper()
	o, ok := storage.InObjects(fsys, dir)
	if !ok {
		t.Fatalf("%s is in no object store", dir)
	}
	return o
}

// testLargeFile writes and reads more than any buffer holds, in pieces of every size.
func testLargeFile(t *testing.T, fsys storage.FS, dir string) {
	data := make([]byte, 5<<20+17)
	for i := range data {
		data[i] = byte(i ^ i>>8 ^ i>>16)
	}
	w, err := fsys.Create(t.Context(), dir+"/x")
	if err != nil {
		t.Fatal(err)
	}
	for from, n := 0, 1; from < len(data); n = n*3 + 1 {
		to := min(from+n, len(data))
		if _, err := w.Write(data[from:to]); err != nil {
			t.Fatal(err)
		}
		from = to
	}
	if err := errors.Join(w.Sync(), w.Close()); err != nil {
		t.Fatal(err)
	}
	f, err := fsys.Open(t.Context(), dir+"/x")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Size() != int64(len(data)) {
		t.Fatalf("%d bytes, want %d", f.Size(), len(data))
	}
	for _, r := range [][2]int{{0, 10}, {len(data) - 8, 8}, {len(data) - 700_000, 100}, {1 << 20, 2 << 20}, {3, 600_000}, {0, len(data)}, {4 << 20, 1}} {
		p := make([]byte, r[1])
		if n, err := f.ReadAt(p, int64(r[0])); n != len(p) || !bytes.Equal(p, data[r[0]:r[0]+r[1]]) {
			t.Errorf("%d bytes from %d: read %d, %v, or other bytes", r[1], r[0], n, err)
		}
	}
}

// A file that was never synced is nowhere, not even in part.
func testAppearsWhole(t *testing.T, fsys storage.FS, dir string) {
	w, err := fsys.Create(t.Context(), dir+"/x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 3<<20)); err != nil {
		t.Fatal(err)
	}
	_, err = fsys.Stat(t.Context(), dir+"/x")
	wantErr(t, err, fs.ErrNotExist)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = fsys.Stat(t.Context(), dir+"/x")
	wantErr(t, err, fs.ErrNotExist)
}

func testVersion(t *testing.T, fsys storage.FS, dir string) {
	o, ctx, path := objectsAt(t, fsys, dir), t.Context(), dir+"/current"
	_, _, err := o.ReadVersion(ctx, path, 100)
	wantErr(t, err, fs.ErrNotExist)
	if err := o.WriteVersion(ctx, path, []byte("one"), ""); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, o.WriteVersion(ctx, path, []byte("two"), ""))
	data, first, err := o.ReadVersion(ctx, path, 100)
	if err != nil || string(data) != "one" || first == "" {
		t.Fatalf("read %q of version %q, %v", data, first, err)
	}
	if _, _, err := o.ReadVersion(ctx, path, 2); err == nil {
		t.Error("a file of 3 bytes was read with a limit of 2")
	}
	if err := o.WriteVersion(ctx, path, []byte("two"), first); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, o.WriteVersion(ctx, path, []byte("three"), first))
	if got := read(t, fsys, path); got != "two" {
		t.Errorf("content is %q", got)
	}
	_, second, err := o.ReadVersion(ctx, path, 100)
	if err != nil || second == first {
		t.Errorf("version %q after %q, %v", second, first, err)
	}
	if err := fsys.RemoveAll(ctx, path); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, o.WriteVersion(ctx, path, []byte("three"), second))
}

// wantRefused wants a write to have failed because of what is there, as far as its
// answers told.
func wantRefused(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, storage.ErrChanged) && !errors.Is(err, storage.ErrUnknown) {
		t.Errorf("error is %v", err)
	}
}

// Eight append to one file, five times each: every word is there once, also when
// somebody could not be told what became of his.
func testVersionRace(t *testing.T, fsys storage.FS, dir string) {
	o, path := objectsAt(t, fsys, dir), dir+"/words"
	if err := o.WriteVersion(t.Context(), path, nil, ""); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for who := range 8 {
		wg.Go(func() {
			for step := 0; step < 5; {
				word := fmt.Sprintf("%d.%d ", who, step)
				data, version, err := o.ReadVersion(t.Context(), path, 1000)
				if err != nil {
					t.Error(err)
					return
				}
				if strings.Contains(string(data), word) {
					step++ // the answer was lost
					continue
				}
				if o.WriteVersion(t.Context(), path, append(data, word...), version) == nil {
					step++
				}
			}
		})
	}
	wg.Wait()
	words := strings.Fields(read(t, fsys, path))
	slices.Sort(words)
	if n := len(words); n != 40 || len(slices.Compact(words)) != 40 {
		t.Errorf("%d words, want 40: %q", n, words)
	}
}

func testNoRename(t *testing.T, fsys storage.FS, dir string) {
	write(t, fsys, dir+"/x", "x")
	wantErr(t, fsys.Rename(t.Context(), dir+"/x", dir+"/y"), errors.ErrUnsupported)
	if made, err := fsys.MakeDir(t.Context(), dir+"/a/b"); made != "" || err != nil {
		t.Errorf("MakeDir = %q, %v", made, err)
	}
	if err := errors.Join(fsys.SyncDir(t.Context(), dir+"/a/b"), fsys.RemoveEmpty(t.Context(), dir, dir)); err != nil {
		t.Error(err)
	}
	if got := read(t, fsys, dir+"/x"); got != "x" {
		t.Errorf("content is %q", got)
	}
}

// A reader never gets some bytes of one version and some of the next.
func testReplacedWhileRead(t *testing.T, fsys storage.FS, dir string) {
	write(t, fsys, dir+"/x", string(bytes.Repeat([]byte("a"), 3<<20)))
	f, err := fsys.Open(t.Context(), dir+"/x")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	if _, err := f.ReadAt(buf, 0); err != nil {
		t.Fatal(err)
	}
	if err := fsys.RemoveAll(t.Context(), dir+"/x"); err != nil {
		t.Fatal(err)
	}
	write(t, fsys, dir+"/x", string(bytes.Repeat([]byte("b"), 3<<20)))
	if n, err := f.ReadAt(buf, 1<<20); !errors.Is(err, storage.ErrChanged) {
		t.Errorf("ReadAt = %d %.3q, %v", n, buf, err)
	}
}
