package objects

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"

	"github.com/shoal-data/shoal/datasets/storage"
)

// inMemory is how much of a file being written is kept in memory; more of it goes to
// a temporary file, for a request that fails is made again from the beginning.
const inMemory = 1 << 20

// Create begins a file, which appears when it is synced, unless there is one.
func (f *FS) Create(ctx context.Context, path string) (storage.Writer, error) {
	key, err := f.key("create", path)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil && key == "" {
		err = &Fault{Refused, errors.New("a bucket is no file")}
	}
	if err != nil {
		return nil, failed("create", path, err)
	}
	return &writer{f: f, ctx: ctx, path: path, key: key}, nil
}

type writer struct {
	f         *FS
	ctx       context.Context // Create's
	path, key string
	small     bytes.Buffer
	large     *os.File // without a name; nil while small holds everything
	size      int64
	over      bool // synced or closed
}

func (w *writer) Write(p []byte) (n int, err error) {
	if w.over {
		return 0, failed("write", w.path, fs.ErrClosed)
	}
	if err := w.ctx.Err(); err != nil {
		return 0, failed("write", w.path, err)
	}
	if w.large == nil && w.small.Len()+len(p) > inMemory {
		if w.large, err = spool(w.f.opts.Spool); err == nil {
			_, err = w.large.Write(w.small.Bytes())
			w.small = bytes.Buffer{}
		}
		if err != nil {
			return 0, fmt.Errorf("storage: write %s: the temporary file: %w", w.path, err)
		}
	}
	if w.large == nil {
		n, _ = w.small.Write(p)
	} else if n, err = w.large.Write(p); err != nil {
		err = fmt.Errorf("storage: write %s: the temporary file: %w", w.path, err)
	}
	w.size += int64(n)
	return n, err
}

// spool makes a temporary file that has no name, and so is gone with the process.
func spool(dir string) (*os.File, error) {
	t, err := os.CreateTemp(dir, "shoal-upload-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(t.Name()); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// Sync uploads the file.
func (w *writer) Sync() error {
	if w.over {
		return nil
	}
	w.over = true
	var body io.ReadSeeker = bytes.NewReader(w.small.Bytes())
	if w.large != nil {
		body = w.large
	}
	err := w.f.put(w.ctx, w.key, body, w.size, "", true)
	if is(err, Changed) {
		err = &exists{err}
	}
	if err != nil {
		return failed("write", w.path, err)
	}
	return nil
}

// exists says that there is a file where there was to be none.
type exists struct{ err error }

func (e *exists) Error() string   { return fs.ErrExist.Error() }
func (e *exists) Unwrap() []error { return []error{fs.ErrExist, e.err} }

func (w *writer) Close() error {
	w.over = true
	w.small = bytes.Buffer{}
	if w.large == nil {
		return nil
	}
	t := w.large
	w.large = nil
	return t.Close()
}

// WriteVersion replaces a version of a small file; see [storage.Objects].
func (f *FS) WriteVersion(ctx context.Context, path string, data []byte, version string) error {
	key, err := f.key("write", path)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = f.put(ctx, key, bytes.NewReader(data), int64(len(data)), version, false)
	}
	if err != nil {
		return failed("write", path, err)
	}
	return nil
}

// put writes an object if the version there is the one given. Every request to write
// carries a mark of this call's own, so that when the answer is lost, or says that
// the condition does not hold because an earlier attempt arrived after all, the
// object itself tells whether it is in place. With create there was to be no object,
// and who finds one that is not his own need not know more.
func (f *FS) put(ctx context.Context, key string, body io.ReadSeeker, size int64, version string, create bool) error {
	var random [16]byte
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	mark := hex.EncodeToString(random[:])
	pause, unsure := f.opts.Pause, false
	for attempt := 1; ; attempt++ {
		if _, err := body.Seek(0, io.SeekStart); err != nil {
			return err
		}
		err := f.watch(ctx, func(ctx context.Context, alive func()) error {
			return f.bucket.Put(ctx, key, &moving{body, alive}, size, version, mark)
		})
		if err == nil {
			return nil
		}
		switch {
		case is(err, Momentary) || ctx.Err() != nil:
			unsure = true
		case !is(err, Changed) && !is(err, Missing):
			return err // refused, whatever is there
		}
		// Being told to stop is no reason not to know.
		ask, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*f.opts.Stall)
		var o Object
		asked := f.again(ask, func(ctx context.Context, _ func()) (err error) { o, err = f.bucket.Head(ctx, key); return err })
		cancel()
		switch {
		case asked == nil && o.Mark == mark:
			return nil
		case asked == nil && o.Version != version, is(asked, Missing) && version != "":
			if unsure && !create {
				return fmt.Errorf("the answer was lost, and by now another version is there: %w", storage.ErrUnknown)
			}
			return &Fault{Changed, errors.New("another version is there")}
		case ctx.Err() != nil:
			return ctx.Err()
		case asked != nil && !is(asked, Missing):
			return fmt.Errorf("%w, and %w: %w", err, storage.ErrUnknown, asked)
		case attempt >= f.opts.Attempts:
			return err
		}
		if err := rest(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, f.opts.MaxPause)
	}
}

// moving is a body that says when some of it was sent.
type moving struct {
	io.ReadSeeker
	alive func()
}

func (m *moving) Read(p []byte) (int, error) {
	m.alive()
	return m.ReadSeeker.Read(p)
}
