// Package storage is the one place that touches files: where sources are read
// from and runs are written to. FS is small enough that a test can count, fail
// or kill at every operation.
package storage

import (
	"context"
	"io"
	"time"
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

// A Writer receives one new file. The file is durable only after Sync, and in
// its place only after the FS's Rename.
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
	// Create makes a new file, and the directories above it; it fails when the file exists.
	Create(ctx context.Context, path string) (Writer, error)
	// Rename moves a file or directory; it replaces a file, never a non-empty directory.
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
