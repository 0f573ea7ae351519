package fault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
)

// Each failure of a file has its kind and its advice, however deep it is wrapped.
func TestInFile(t *testing.T) {
	for _, tc := range []struct {
		err  error
		kind Kind
		want string
	}{
		{fs.ErrNotExist, Transient, "run again"},
		{&StorageError{fs.ErrPermission}, Config, "grant this process read access"},
		{&StorageError{errors.New("reset")}, Transient, "cannot read: page 3: reset"},
		{ErrEncrypted, Config, "write the source without encryption"},
		{ErrNotParquet, BadData, "narrow the path"},
		{Unsupported("LZO is not supported; rewrite the file"), BadData, "page 3: LZO is not supported; rewrite the file, or fetch it again"},
		{errors.New("odd bytes"), BadData, "the file is damaged"},
	} {
		err := InFile("web", "a.parquet", 2, "amount", fmt.Errorf("page 3: %w", tc.err))
		var e *Error
		if !errors.As(err, &e) || e.Kind != tc.kind || !errors.Is(err, tc.err) {
			t.Errorf("%v: %v", tc.err, err)
		}
		if s := err.Error(); !strings.HasPrefix(s, "scan: a.parquet: row group 2, column amount: ") || !strings.Contains(s, tc.want) {
			t.Errorf("%q does not say %q", s, tc.want)
		}
	}
	var e *Error
	if err := InFile("web", "a.parquet", -1, "", context.Canceled); errors.As(err, &e) || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestErrorLocates(t *testing.T) {
	e := InSource(NoInput, "web", "no file matches %q", "*.x")
	if got, want := e.Error(), `scan: source web: no file matches "*.x"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	e.File, e.Row, e.Value = "b", 7, "x"
	if got, want := e.Error(), `scan: b: row 7: value "x": no file matches "*.x"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

type shortFile struct {
	n   int
	err error
}

func (f shortFile) ReadAt([]byte, int64) (int, error) { return f.n, f.err }

// A file that ends is damaged; one that cannot be read is not to blame.
func TestReadAt(t *testing.T) {
	var storage *StorageError
	if err := ReadAt(shortFile{n: 4, err: errors.New("late")}, make([]byte, 4), 0); err != nil {
		t.Errorf("a full read: %v", err)
	}
	if err := ReadAt(shortFile{n: 3}, make([]byte, 4), 10); err == nil || errors.As(err, &storage) || !strings.Contains(err.Error(), "ends at byte 13, where 1 more") {
		t.Errorf("a short file: %v", err)
	}
	if err := ReadAt(shortFile{err: errors.New("reset")}, make([]byte, 4), 0); !errors.As(err, &storage) {
		t.Errorf("a failing storage: %v", err)
	}
}
