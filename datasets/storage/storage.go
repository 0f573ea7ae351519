// Package storage is the one place that touches files: where sources are read
// from and runs are written to. FS is small enough that a test can count, fail
// or kill at every operation.
package storage

import (
	"context"
	"errors"
	"io"
	"time"
)

// Errors beside those of io/fs.
var (
	// ErrChanged: the file is no longer the version that was asked for.
	ErrChanged = errors.New("it was changed by another process")
	// ErrUnknown: a change was asked for, and whether it was made cannot be told.
	ErrUnknown = errors.New("what became of it cannot be told")
	// ErrPlace: the place itself is not there or cannot be reached as configured,
	// such as a bucket that does not exist. A repeat finds the same.
	ErrPlace = errors.New("this place cannot be used")
)

// Info describes one file.
type Info struct {
	Path    string // as List was asked for it: joins with Open without change
	Size    int64  // bytes
	ModTime time.Time
}

// A File is an open file, read at any offset from any goroutine.
type File interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// A Writer receives one new file. The file is durable only after Sync. On an
// object store it appears with Sync, whole, and Close without Sync leaves nothing.
type Writer interface {
	io.Writer
	Sync() error
	Close() error
}

// FS is a tree of files. Paths use forward slashes. Errors wrap fs.ErrNotExist,
// fs.ErrExist and fs.ErrPermission where they mean that.
type FS interface {
	// Glob lists the files matching pattern (** matches any depth), sorted by
	// path. Names that begin with "." or "_" are matched only by a pattern
	// element that begins with the same character. No match is no error.
	Glob(ctx context.Context, pattern string) ([]Info, error)
	Stat(ctx context.Context, path string) (Info, error)
	Open(ctx context.Context, path string) (File, error)
	// Create makes a new file, and the directories above it. When the file exists
	// Create fails, or on an object store the Writer's Sync.
	Create(ctx context.Context, path string) (Writer, error)
	// Rename moves a file or directory; it replaces a file, never a non-empty directory.
	// Object stores cannot: see Objects.
	Rename(ctx context.Context, from, to string) error
	// SyncDir makes the names in a directory durable.
	SyncDir(ctx context.Context, dir string) error
	// MakeDir makes a directory and those above it, and returns the topmost one
	// that had to be made ("" when it existed), so that a failed run can take it back.
	MakeDir(ctx context.Context, dir string) (made string, err error)
	// RemoveAll removes a file or a whole directory; a missing one is no error.
	RemoveAll(ctx context.Context, path string) error
	// RemoveEmpty removes dir when nothing is in it, and then each directory
	// above it that this leaves empty, up to and including top. A directory
	// that is missing or in use is no error.
	RemoveEmpty(ctx context.Context, dir, top string) error
}

// Objects is the FS of an object store. It has no directories (MakeDir, SyncDir and
// RemoveEmpty do nothing) and renames nothing. Instead each file appears whole when
// it is synced, and a small one is replaced only when it is the version that was
// read, which is how writers who do not know of each other keep from losing what
// the other wrote.
type Objects interface {
	FS
	// ReadVersion reads a small file whole, as ReadFile does, and says which version
	// of it that was.
	ReadVersion(ctx context.Context, path string, limit int64) (data []byte, version string, err error)
	// WriteVersion replaces that version of a file; "" stands for no file there. Its
	// error wraps ErrChanged when another version was there. After any other error,
	// such as ErrUnknown, nobody knows whether data is in place, or was.
	WriteVersion(ctx context.Context, path string, data []byte, version string) error
}

// InObjects returns the object store that fsys keeps path in, if it is one.
func InObjects(fsys FS, path string) (Objects, bool) {
	if f, ok := fsys.(interface {
		Objects(path string) (Objects, bool)
	}); ok {
		return f.Objects(path)
	}
	return nil, false
}
