package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/shoal-data/shoal/datasets/storage"
)

const (
	// readAhead is what a small read fetches: footers, page headers and columns of
	// small files lie close together, and a request takes as long as half a megabyte.
	readAhead = 512 << 10
	// windows is how many of the last such fetches an open file keeps.
	windows = 4
)

// Open fetches small files whole; of others it learns the size, and reads ranges.
func (f *FS) Open(ctx context.Context, path string) (storage.File, error) {
	for {
		o, err := f.head(ctx, "open", path)
		if err != nil {
			return nil, err
		}
		r := &file{f: f, path: path, object: o}
		r.ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
		if o.Size == 0 || o.Size > readAhead {
			return r, nil
		}
		w := &window{data: make([]byte, o.Size)}
		if _, err := f.fetch(ctx, path, o, w.data, 0); err == nil {
			r.windows = []*window{w}
			return r, nil
		} else if r.cancel(); !errors.Is(err, storage.ErrChanged) || ctx.Err() != nil {
			return nil, failed("read", path, err)
		} // else it was replaced or removed in between
	}
}

// A file is one version of an object: when another takes its place, reads fail.
type file struct {
	f      *FS
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	path   string
	object Object

	mu      sync.Mutex
	windows []*window // the latest last
}

// A window is a range that was read.
type window struct {
	off  int64
	data []byte
}

func (r *file) Size() int64 { return r.object.Size }

func (r *file) Close() error {
	r.cancel()
	return nil
}

func (r *file) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, failed("read", r.path, fmt.Errorf("from byte %d", off))
	}
	var end error
	if left := r.object.Size - off; int64(len(p)) > left {
		p, end = p[:max(0, left)], io.EOF
	}
	if len(p) == 0 {
		return 0, end
	}
	if w := r.known(off, len(p)); w != nil {
		return copy(p, w.data[off-w.off:]), end
	}
	if len(p) >= readAhead {
		n, err := r.f.fetch(r.ctx, r.path, r.object, p, off)
		if err != nil {
			return n, failed("read", r.path, err)
		}
		return n, end
	}
	// The end of a file is read backwards: its footer lies before what says how long it is.
	from := max(0, min(off, r.object.Size-readAhead))
	w := &window{from, make([]byte, min(readAhead, r.object.Size-from))}
	if _, err := r.f.fetch(r.ctx, r.path, r.object, w.data, from); err != nil {
		return 0, failed("read", r.path, err)
	}
	r.mu.Lock()
	if r.windows = append(r.windows, w); len(r.windows) > windows {
		r.windows = r.windows[1:]
	}
	r.mu.Unlock()
	return copy(p, w.data[off-w.off:]), end
}

// known is a window that holds n bytes from off on.
func (r *file) known(off int64, n int) *window {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.windows {
		if off >= w.off && off+int64(n) <= w.off+int64(len(w.data)) {
			return w
		}
	}
	return nil
}

// fetch fills p from byte off of an object on. What a broken answer brought is kept,
// and the rest asked for again.
func (f *FS) fetch(ctx context.Context, path string, o Object, p []byte, off int64) (n int, err error) {
	stuck := 0 // attempts in a row that brought nothing
	pause := f.opts.Pause
	for n < len(p) {
		got := 0
		err := f.watch(ctx, func(ctx context.Context, alive func()) (err error) {
			got, err = f.fetchOnce(ctx, o, p[n:], off+int64(n), alive)
			return err
		})
		n += got
		if err == nil {
			continue
		}
		if stuck++; got > 0 {
			stuck, pause = 0, f.opts.Pause
		}
		if is(err, Changed) || is(err, Missing) {
			return n, &Fault{Momentary, fmt.Errorf("%w since it was opened, and the rest of it is gone; run again", storage.ErrChanged)}
		}
		if !is(err, Momentary) || stuck >= f.opts.Attempts || ctx.Err() != nil {
			return n, cancelled(ctx, err)
		}
		if err := rest(ctx, pause); err != nil {
			return n, err
		}
		pause = min(2*pause, f.opts.MaxPause)
	}
	return n, nil
}

func (f *FS) fetchOnce(ctx context.Context, o Object, p []byte, off int64, alive func()) (n int, err error) {
	body, version, err := f.bucket.Read(ctx, o.Key, o.Version, off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	defer body.Close()
	if version != o.Version {
		return 0, &Fault{Changed, errors.New("another version is there")}
	}
	for n < len(p) && err == nil {
		var k int
		if k, err = body.Read(p[n:]); k > 0 {
			alive()
		}
		n += k
	}
	switch {
	case n == len(p):
		return n, nil
	case errors.Is(err, io.EOF):
		err = fmt.Errorf("the answer ended after %d of %d bytes", n, len(p))
	}
	return n, &Fault{Momentary, Plain(err)}
}

// ReadVersion reads a small file whole; see [storage.Objects].
func (f *FS) ReadVersion(ctx context.Context, path string, limit int64) ([]byte, string, error) {
	for {
		o, err := f.head(ctx, "read", path)
		if err != nil {
			return nil, "", err
		}
		if o.Size > limit {
			return nil, "", fmt.Errorf("storage: %s: %d bytes is more than the %d expected of such a file", path, o.Size, limit)
		}
		data := make([]byte, o.Size)
		_, err = f.fetch(ctx, path, o, data, 0)
		if err == nil {
			// A gateway to a file system may tell the size of one version and the name of
			// the next, and give the content of either. Who is told the same
			// afterwards has read what lay between.
			again, err := f.head(ctx, "read", path)
			if err != nil {
				return nil, "", err
			}
			if again.Size == o.Size && again.Version == o.Version {
				return data, o.Version, nil
			}
			continue
		}
		if !errors.Is(err, storage.ErrChanged) || ctx.Err() != nil {
			return nil, "", failed("read", path, err)
		}
	}
}
