package storagetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/shoal-data/shoal/datasets/storage"
)

// Mem is an FS in memory that knows what a power failure would leave of it:
// file content written since Sync, and names made since SyncDir, may be lost.
// It is safe for concurrent use.
type Mem struct {
	Now func() time.Time // gives files their times

	mu   sync.Mutex
	root *node
}

type node struct {
	mtime time.Time

	names   map[string]*node // of a directory, else nil
	durable map[string]*node // names at the last SyncDir

	data   []byte
	synced []byte // data at the last Sync
}

// NewMem returns an empty tree. Relative and absolute paths meet at its root.
func NewMem() *Mem { return &Mem{Now: time.Now, root: newDir()} }

func newDir() *node { return &node{names: map[string]*node{}} }

// Crash returns the tree as a power failure now would leave it: each file and
// each directory keeps what was not synced with probability keep, on its own.
func (m *Mem) Crash(keep float64, rng *rand.Rand) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &Mem{Now: m.Now, root: m.root.crash(keep, rng)}
}

func (n *node) crash(keep float64, rng *rand.Rand) *node {
	kept := rng.Float64() < keep
	if n.names == nil {
		c := &node{mtime: n.mtime, data: n.synced}
		if kept {
			c.data = n.data
		}
		c.data = slices.Clone(c.data)
		c.synced = c.data
		return c
	}
	from := n.durable
	if kept {
		from = n.names
	}
	c := newDir()
	for _, name := range slices.Sorted(maps.Keys(from)) { // sorted: the generator's draws repeat
		c.names[name] = from[name].crash(keep, rng)
	}
	c.durable = maps.Clone(c.names)
	return c
}

// Tree lists every file and directory (with a closing slash), hidden ones
// included, sorted.
func (m *Mem) Tree() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	m.root.walk("", func(p string, n *node) {
		if n.names != nil {
			p += "/"
		}
		out = append(out, p)
	})
	slices.Sort(out)
	return out
}

func (n *node) walk(p string, visit func(string, *node)) {
	for name, c := range n.names {
		at := path.Join(p, name)
		visit(at, c)
		c.walk(at, visit)
	}
}

func split(p string) []string {
	p = strings.Trim(path.Clean(p), "/")
	if p == "." || p == "" {
		return nil
	}
	return strings.Split(p, "/")
}

func (m *Mem) lookup(op, p string) (*node, error) {
	n := m.root
	for _, name := range split(p) {
		if n.names == nil {
			return nil, fault(op, p, syscall.ENOTDIR)
		}
		c, ok := n.names[name]
		if !ok {
			return nil, fault(op, p, fs.ErrNotExist)
		}
		n = c
	}
	return n, nil
}

func fault(op, p string, err error) error {
	return fmt.Errorf("storagetest: %w", &fs.PathError{Op: op, Path: p, Err: err})
}

func (m *Mem) file(op, p string) (*node, error) {
	n, err := m.lookup(op, p)
	if err == nil && n.names != nil {
		err = fault(op, p, syscall.EISDIR)
	}
	return n, err
}

// Glob lists matching files; see [storage.FS], as for the methods below.
func (m *Mem) Glob(ctx context.Context, pattern string) ([]storage.Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	infos, root := []storage.Info{}, ""
	if strings.HasPrefix(pattern, "/") {
		root = "/"
	}
	if _, err := storage.Match(pattern, root+"x"); err != nil {
		return nil, err
	}
	m.root.walk(root, func(p string, n *node) {
		if ok, _ := storage.Match(pattern, p); ok && n.names == nil {
			infos = append(infos, storage.Info{Path: p, Size: int64(len(n.data)), ModTime: n.mtime})
		}
	})
	slices.SortFunc(infos, func(a, b storage.Info) int { return strings.Compare(a.Path, b.Path) })
	return infos, ctx.Err()
}

func (m *Mem) Stat(ctx context.Context, p string) (storage.Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.file("stat", p)
	if err = errors.Join(ctx.Err(), err); err != nil {
		return storage.Info{}, err
	}
	return storage.Info{Path: p, Size: int64(len(n.data)), ModTime: n.mtime}, nil
}

type memFile struct{ *strings.Reader }

func (memFile) Close() error { return nil }

func (m *Mem) Open(ctx context.Context, p string) (storage.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.file("open", p)
	if err = errors.Join(ctx.Err(), err); err != nil {
		return nil, err
	}
	return memFile{strings.NewReader(string(n.data))}, nil
}

func (m *Mem) Create(ctx context.Context, p string) (storage.Writer, error) {
	if _, err := m.MakeDir(ctx, path.Dir(p)); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, err := m.lookup("create", path.Dir(p))
	if err != nil {
		return nil, err
	}
	if _, ok := dir.names[path.Base(p)]; ok {
		return nil, fault("create", p, fs.ErrExist)
	}
	n := &node{mtime: m.Now()}
	dir.names[path.Base(p)] = n
	return &memWriter{m: m, n: n}, nil
}

type memWriter struct {
	m      *Mem
	n      *node
	closed bool
}

func (w *memWriter) Write(p []byte) (int, error) {
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	if w.closed {
		return 0, io.ErrClosedPipe
	}
	// A fresh array each time: readers and crash copies keep the old one.
	w.n.data = append(w.n.data[:len(w.n.data):len(w.n.data)], p...)
	return len(p), nil
}

func (w *memWriter) Sync() error {
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	w.n.synced = w.n.data
	return nil
}

func (w *memWriter) Close() error {
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	w.closed = true
	return nil
}

func (m *Mem) Rename(ctx context.Context, from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	n, err := m.lookup("rename", from)
	if err != nil {
		return err
	}
	dir, err := m.lookup("rename", path.Dir(to))
	if err != nil {
		return err
	}
	if old, ok := dir.names[path.Base(to)]; ok {
		switch {
		case old.names == nil && n.names != nil:
			return fault("rename", to, syscall.ENOTDIR)
		case old.names != nil && (n.names == nil || len(old.names) > 0):
			return fault("rename", to, fs.ErrExist)
		}
	}
	src, err := m.lookup("rename", path.Dir(from))
	if err != nil {
		return err
	}
	delete(src.names, path.Base(from))
	dir.names[path.Base(to)] = n
	return nil
}

func (m *Mem) SyncDir(ctx context.Context, p string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.lookup("syncdir", p)
	if err = errors.Join(ctx.Err(), err); err != nil {
		return err
	}
	n.durable = maps.Clone(n.names)
	return nil
}

func (m *Mem) MakeDir(ctx context.Context, p string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return "", err
	}
	n, made, at := m.root, "", ""
	if strings.HasPrefix(p, "/") {
		at = "/"
	}
	for _, name := range split(p) {
		at = path.Join(at, name)
		c, ok := n.names[name]
		if !ok {
			c = newDir()
			n.names[name] = c
			if made == "" {
				made = at
			}
		}
		if c.names == nil {
			return "", fault("mkdir", p, fs.ErrExist)
		}
		n = c
	}
	return made, nil
}

func (m *Mem) RemoveAll(ctx context.Context, p string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if dir, err := m.lookup("remove", path.Dir(p)); err == nil {
		delete(dir.names, path.Base(p))
	}
	return nil
}

func (m *Mem) RemoveEmpty(ctx context.Context, dir, top string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	d, t := path.Clean(dir), path.Clean(top)
	for d == t || strings.HasPrefix(d, strings.TrimSuffix(t, "/")+"/") {
		if n, err := m.lookup("remove", d); err == nil {
			if len(n.names) > 0 {
				return nil
			}
			if parent, err := m.lookup("remove", path.Dir(d)); err == nil {
				delete(parent.names, path.Base(d))
			}
		}
		if d == t {
			break
		}
		d = path.Dir(d)
	}
	return nil
}
