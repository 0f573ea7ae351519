// Package files finds the input files of a source, reads their footers and shares
// open files between tasks.
package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shoal-data/shoal/datasets/scan/internal/fault"
	"github.com/shoal-data/shoal/datasets/scan/internal/footer"
	"github.com/shoal-data/shoal/datasets/scan/internal/ordered"
	"github.com/shoal-data/shoal/datasets/storage"
)

// AtOnce is how many footers to read at once: they are small and mostly waited for.
const AtOnce = 16

// A File is one input file, as far as its footer tells.
type File struct {
	Source    string
	Path      string
	Size      int64 // bytes
	ModTime   time.Time
	Rows      int64
	RowGroups int
	Footer    string // hash of the footer's bytes: any change of the data changes it
}

// List resolves the globs of a source into its files by path, each once. Globs
// that match nothing are told of in warnings; if none matches it is an error.
func List(ctx context.Context, fsys storage.FS, source string, globs []string) (list []File, warnings []string, err error) {
	seen := map[string]bool{}
	for _, glob := range globs {
		found, err := fsys.Glob(ctx, glob)
		if err != nil {
			if ctx.Err() != nil {
				return nil, nil, fmt.Errorf("scan: %s: %w", glob, err)
			}
			if errors.Is(err, path.ErrBadPattern) {
				return nil, nil, fault.InSource(fault.Config, source, "path %q: %w", glob, err)
			}
			kind := fault.Transient
			if errors.Is(err, fs.ErrPermission) || errors.Is(err, storage.ErrPlace) { // a retry finds the same
				kind = fault.Config
			}
			return nil, nil, fault.InSource(kind, source, "cannot list %q: %w", glob, err)
		}
		if len(found) == 0 {
			warnings = append(warnings, fmt.Sprintf("source %s: no file matches %q", source, glob))
		}
		for _, info := range found {
			if !seen[info.Path] {
				seen[info.Path] = true
				list = append(list, File{Source: source, Path: info.Path, Size: info.Size, ModTime: info.ModTime})
			}
		}
	}
	if len(list) == 0 {
		return nil, nil, fault.InSource(fault.NoInput, source, "no file matches %q", globs)
	}
	slices.SortFunc(list, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return list, warnings, nil
}

// ReadFooter reads the file's footer, and sets the file's size to what it has now.
func (f *File) ReadFooter(ctx context.Context, fsys storage.FS) (*footer.Footer, error) {
	r, err := fsys.Open(ctx, f.Path)
	if err != nil {
		return nil, fault.InFile(f.Source, f.Path, -1, "", &fault.StorageError{Err: err})
	}
	defer r.Close()
	f.Size = r.Size()
	var foot *footer.Footer
	if err := ordered.Guard(func() (err error) { foot, err = footer.Read(r, f.Size); return err }); err != nil {
		return nil, fault.InFile(f.Source, f.Path, -1, "", err)
	}
	return foot, nil
}

// A Shared is an input file that several tasks read: opened by the first and closed
// by the last. The zero Shared is one that no task needs.
type Shared struct {
	mu   sync.Mutex
	f    storage.File
	left int // tasks that still need it
}

// Expect announces a task, before any of the file's tasks run.
func (s *Shared) Expect() { s.left++ }

// Open is the file, for a task that calls Release at its end. A file whose size is no
// longer what it was is refused.
func (s *Shared) Open(ctx context.Context, fsys storage.FS, file *File) (storage.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f != nil {
		return s.f, nil
	}
	f, err := fsys.Open(ctx, file.Path)
	if err != nil {
		return nil, &fault.StorageError{Err: err}
	}
	if f.Size() != file.Size {
		f.Close()
		return nil, &fault.StorageError{Err: fmt.Errorf("it has %d bytes and had %d when it was listed: it is being written; run again", f.Size(), file.Size)}
	}
	s.f = f
	return f, nil
}

// Release ends a task that opened the file.
func (s *Shared) Release() {
	s.mu.Lock()
	s.left--
	last := s.left == 0
	s.mu.Unlock()
	if last {
		s.Close()
	}
}

// Close closes the file if a task left it open.
func (s *Shared) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f != nil {
		s.f.Close() // it was only read
		s.f = nil
	}
}

// A PartitionKey is a key=value directory of a path.
type PartitionKey struct {
	Key, Value string
	Null       bool
}

// PartitionKeys lists the key=value directories of a path. Keys and values are
// URL-decoded; __HIVE_DEFAULT_PARTITION__ is null.
func PartitionKeys(file string) []PartitionKey {
	var keys []PartitionKey
	for dir := range strings.SplitSeq(path.Dir(file), "/") {
		key, value, found := strings.Cut(dir, "=")
		if !found || key == "" {
			continue
		}
		if k, err := url.PathUnescape(key); err == nil {
			key = k
		}
		if v, err := url.PathUnescape(value); err == nil {
			value = v
		}
		keys = append(keys, PartitionKey{key, value, value == "__HIVE_DEFAULT_PARTITION__"})
	}
	return keys
}
