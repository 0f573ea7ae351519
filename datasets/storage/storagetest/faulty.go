package storagetest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"

	"github.com/shoal-data/shoal/datasets/storage"
)

// A Plan says what goes wrong. The zero Plan is: nothing.
type Plan struct {
	At    int   // the operation that fails, counted from 1; 0 is none
	Also  int   // how many after it fail in the same way
	Err   error // what they report, e.g. syscall.EIO
	After bool  // the operation takes effect and still reports Err: the caller cannot know
	Kill  bool  // every later operation fails too, as if the process had died there
	Die   bool  // this process is killed there, for good
	Full  bool  // no more than Space bytes can be written: then ENOSPC, after a short write
	Space int64 // bytes
}

// Faulty is an FS that counts the operations on it, those on its open files
// included, and fails one of them. It is safe for concurrent use.
type Faulty struct {
	inner storage.FS
	plan  Plan

	mu    sync.Mutex
	trace []string
	left  int64 // bytes that can still be written, when plan.Full
}

// NewFaulty wraps inner.
func NewFaulty(inner storage.FS, plan Plan) *Faulty {
	return &Faulty{inner: inner, plan: plan, left: plan.Space}
}

// Trace lists the operations so far, such as "rename a → b"; operation i is
// element i-1.
func (f *Faulty) Trace() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.trace...)
}

// do counts an operation and runs it, unless the plan says otherwise.
func (f *Faulty) do(what string, run func() error) error {
	f.mu.Lock()
	f.trace = append(f.trace, what)
	n, p := len(f.trace), f.plan
	f.mu.Unlock()
	hit := p.At > 0 && n >= p.At && n <= p.At+p.Also
	if p.At > 0 && p.Kill && n > p.At || hit && !p.After {
		return f.fault(n, what)
	}
	if err := run(); err != nil && !(hit && p.Die) {
		return err
	}
	if hit {
		return f.fault(n, what)
	}
	return nil
}

func (f *Faulty) fault(n int, what string) error {
	if f.plan.Die {
		if p, err := os.FindProcess(os.Getpid()); err == nil {
			p.Kill()
		}
		select {} // a signal needs a moment
	}
	return fmt.Errorf("%s (operation %d): %w", what, n, f.plan.Err)
}

// Glob is counted and passed on, as are the methods below.
func (f *Faulty) Glob(ctx context.Context, pattern string) (infos []storage.Info, err error) {
	err = f.do("glob "+pattern, func() error { infos, err = f.inner.Glob(ctx, pattern); return err })
	return infos, err
}

func (f *Faulty) Stat(ctx context.Context, path string) (info storage.Info, err error) {
	err = f.do("stat "+path, func() error { info, err = f.inner.Stat(ctx, path); return err })
	return info, err
}

func (f *Faulty) Open(ctx context.Context, path string) (storage.File, error) {
	var file storage.File
	err := f.do("open "+path, func() (err error) { file, err = f.inner.Open(ctx, path); return err })
	if err != nil {
		if file != nil {
			file.Close()
		}
		return nil, err
	}
	return faultyFile{file, f, path}, nil
}

type faultyFile struct {
	storage.File
	f    *Faulty
	path string
}

func (r faultyFile) ReadAt(p []byte, off int64) (n int, err error) {
	var inner error // io.EOF beside n > 0 is a result, not a failure of the operation
	err = r.f.do("read "+r.path, func() error { n, inner = r.File.ReadAt(p, off); return nil })
	if err != nil {
		return 0, err
	}
	return n, inner
}

func (f *Faulty) Create(ctx context.Context, path string) (storage.Writer, error) {
	var w storage.Writer
	err := f.do("create "+path, func() (err error) { w, err = f.inner.Create(ctx, path); return err })
	if err != nil {
		if w != nil {
			w.Close()
		}
		return nil, err
	}
	return &faultyWriter{w, f, path}, nil
}

type faultyWriter struct {
	inner storage.Writer
	f     *Faulty
	path  string
}

func (w *faultyWriter) Write(p []byte) (n int, err error) {
	err = w.f.do("write "+w.path, func() error {
		short := false
		if w.f.plan.Full {
			w.f.mu.Lock()
			if short = int64(len(p)) > w.f.left; short {
				p = p[:w.f.left]
			}
			w.f.left -= int64(len(p))
			w.f.mu.Unlock()
		}
		var err error
		if n, err = w.inner.Write(p); err == nil && short {
			err = fmt.Errorf("write %s: %w", w.path, syscall.ENOSPC)
		}
		return err
	})
	return n, err
}

func (w *faultyWriter) Sync() error { return w.f.do("sync "+w.path, w.inner.Sync) }

// Close closes the file whatever it reports: a test leaks no descriptors.
func (w *faultyWriter) Close() error {
	closed := false
	err := w.f.do("close "+w.path, func() error { closed = true; return w.inner.Close() })
	if !closed {
		w.inner.Close()
	}
	return err
}

func (f *Faulty) Rename(ctx context.Context, from, to string) error {
	return f.do("rename "+from+" → "+to, func() error { return f.inner.Rename(ctx, from, to) })
}

func (f *Faulty) SyncDir(ctx context.Context, dir string) error {
	return f.do("syncdir "+dir, func() error { return f.inner.SyncDir(ctx, dir) })
}

func (f *Faulty) MakeDir(ctx context.Context, dir string) (made string, err error) {
	err = f.do("makedir "+dir, func() error { made, err = f.inner.MakeDir(ctx, dir); return err })
	return made, err
}

func (f *Faulty) RemoveAll(ctx context.Context, path string) error {
	return f.do("removeall "+path, func() error { return f.inner.RemoveAll(ctx, path) })
}

func (f *Faulty) RemoveEmpty(ctx context.Context, dir, top string) error {
	return f.do("removeempty "+dir, func() error { return f.inner.RemoveEmpty(ctx, dir, top) })
}

// Objects is the object store beneath, with its operations counted too; see
// [storage.InObjects].
func (f *Faulty) Objects(path string) (storage.Objects, bool) {
	o, ok := storage.InObjects(f.inner, path)
	if !ok {
		return nil, false
	}
	return faultyObjects{f, o}, true
}

type faultyObjects struct {
	*Faulty
	inner storage.Objects
}

func (f faultyObjects) ReadVersion(ctx context.Context, path string, limit int64) (data []byte, version string, err error) {
	err = f.do("readversion "+path, func() error { data, version, err = f.inner.ReadVersion(ctx, path, limit); return err })
	return data, version, err
}

func (f faultyObjects) WriteVersion(ctx context.Context, path string, data []byte, version string) error {
	return f.do("writeversion "+path, func() error { return f.inner.WriteVersion(ctx, path, data, version) })
}
