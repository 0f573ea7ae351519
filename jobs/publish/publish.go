// Package publish puts a run in place so that a reader sees the run before or
// this one, whole, and never a mixture:
//
//	<out>/<table>/ds=YYYY-MM-DD/run=<id>/part-NNNNN.parquet
//	<out>/manifests/ds=YYYY-MM-DD/run=<id>/manifest.json, _SUCCESS
//	<out>/current.json
//
// Files are written and synced in a hidden staging directory and renamed into
// place. Nothing names them until current.json, the pointer, is replaced: that
// is the moment of publication. What a crash leaves before it, the next run of
// the date removes; what an error leaves, the run itself does.
package publish

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/tables"
)

// Options say what is published, and where.
type Options struct {
	Out      string // directory, made when missing
	Date     string // YYYY-MM-DD
	RunID    string // unique among the runs of a date
	FileSize int64  // a table's file ends with the row group that reaches this size, in bytes
	Workers  int    // goroutines that encode a table; no effect on the bytes
	// Lease is how long a run that no longer stirs keeps others off its date.
	// A living run renews its lease four times as often.
	Lease time.Duration
	// Now is the clock, for leases and for the manifest's Started and Finished.
	Now func() time.Time
}

// DefaultOptions are files of 192 MiB, a worker for each CPU, a lease of two
// minutes and the system's clock.
func DefaultOptions(out, date, runID string) Options {
	return Options{
		Out: out, Date: date, RunID: runID, FileSize: 192 << 20,
		Workers: runtime.GOMAXPROCS(0), Lease: 2 * time.Minute, Now: time.Now,
	}
}

var runRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// Validate reports every fault.
func (o Options) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf("publish: "+format, args...)) }
	if o.Out == "" {
		fault("Out is empty: name the directory to publish under")
	}
	if _, err := time.Parse(time.DateOnly, o.Date); err != nil {
		fault("Date (%q) must be a date, YYYY-MM-DD", o.Date)
	}
	if !runRE.MatchString(o.RunID) {
		fault("RunID (%q) must be 1 to 128 letters, digits, '.', '_' and '-', beginning with a letter or digit", o.RunID)
	}
	if o.FileSize < 1 {
		fault("FileSize (%d) must be >= 1", o.FileSize)
	}
	if o.Workers < 1 {
		fault("Workers (%d) must be >= 1", o.Workers)
	}
	if o.Lease < time.Second {
		fault("Lease (%s) must be >= 1s", o.Lease)
	}
	if o.Now == nil {
		fault("Now is nil: give a clock, such as time.Now")
	}
	return errors.Join(faults...)
}

// A Staging is a run being written. Its tables may be written at the same time,
// each by one goroutine.
type Staging struct {
	ctx     context.Context // Begin's
	fsys    storage.FS
	opts    Options
	dir     string // staging directory
	started time.Time
	lease   *lease
	stop    func() // ends the lease's renewal

	mu     sync.Mutex
	tables map[string]*TableWriter

	made   [][2]string // directories made for this run: the deepest, the topmost
	placed []string    // directories renamed into place

	published bool // the pointer names this run
	inDoubt   bool // the pointer could not be read after it was swapped
	done      bool
}

const manifests = "manifests"

func manifestDir(date, run string) string { return runDir(manifests, date, run) }

func runDir(table, date, run string) string { return table + "/ds=" + date + "/run=" + run }

// join adds a relative path to out, which may be a URL.
func join(out, rel string) string {
	if strings.HasSuffix(out, "/") {
		return out + rel
	}
	return out + "/" + rel
}

// parent is the directory a name is in.
func parent(name string) string {
	switch i := strings.LastIndexByte(name, '/'); i {
	case -1:
		return "."
	case 0:
		return "/"
	default:
		return name[:i]
	}
}

// cleanOut gives a directory one spelling; a URL keeps its own, but for closing
// slashes.
func cleanOut(out string) string {
	if strings.Contains(out, "://") {
		return strings.TrimRight(out, "/")
	}
	return path.Clean(out)
}

// Begin takes the date for this run, removes what crashed runs of the date left
// behind and makes the staging directory; so it fails at once when out cannot
// be written. Its error wraps ErrPublished or ErrBusy when it means that. ctx
// governs the run until Commit.
//
// After Begin, call Abort in any case; after Commit it does nothing.
func Begin(ctx context.Context, fsys storage.FS, opts Options) (_ *Staging, err error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts.Out = cleanOut(opts.Out)
	s := &Staging{ctx: ctx, fsys: fsys, opts: opts, started: opts.Now().UTC(), stop: func() {}, tables: map[string]*TableWriter{}}
	if err := s.makeDir(ctx, opts.Out); err != nil {
		return nil, errors.Join(err, s.removeMade(context.WithoutCancel(ctx)))
	}
	s.lease = &lease{fsys: fsys, out: opts.Out, name: "ds=" + opts.Date, ttl: opts.Lease, now: opts.Now}
	// The time keeps a run apart from one of its own id that stood still.
	staging := fmt.Sprintf(".staging-%s-%s.%d", opts.Date, opts.RunID, s.started.UnixMilli())
	s.dir = join(opts.Out, staging)
	crashed, err := s.lease.acquire(ctx, opts.RunID, staging)
	if err != nil {
		return nil, errors.Join(err, s.removeMade(context.WithoutCancel(ctx)))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Abort())
		}
	}()
	if err := s.recover(ctx, crashed); err != nil {
		return nil, err
	}
	mark := join(opts.Out, manifestDir(opts.Date, opts.RunID)) + "/_SUCCESS"
	if _, err := fsys.Stat(ctx, mark); err == nil {
		return nil, fmt.Errorf("%w: %s of %s in %s; use another run id", ErrPublished, opts.RunID, opts.Date, opts.Out)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, output("reading", mark, err)
	}
	if _, err := fsys.MakeDir(ctx, s.dir); err != nil {
		return nil, output("making", s.dir, err)
	}
	s.stop = s.lease.keep(ctx)
	return s, nil
}

// makeDir makes a directory that Abort takes back, durably.
func (s *Staging) makeDir(ctx context.Context, dir string) error {
	made, err := s.fsys.MakeDir(ctx, dir)
	if err != nil {
		return output("making", dir, err)
	}
	if made == "" {
		return nil
	}
	s.made = append(s.made, [2]string{dir, made})
	for ; len(dir) >= len(made); dir = parent(dir) {
		if err := s.syncDir(ctx, parent(dir)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Staging) removeMade(ctx context.Context) error {
	var faults []error
	for i := len(s.made) - 1; i >= 0; i-- {
		dir, top := s.made[i][0], s.made[i][1]
		faults = append(faults, output("removing", dir, s.fsys.RemoveEmpty(ctx, dir, top)))
	}
	return errors.Join(faults...)
}

// recover removes what runs of the date left that were not published: those
// whose leases had expired, and any other without _SUCCESS.
func (s *Staging) recover(ctx context.Context, crashed []leaseNote) error {
	out, date := s.opts.Out, s.opts.Date
	pointer, err := ReadPointer(ctx, s.fsys, out)
	if err != nil {
		return err
	}
	current := pointer.Dates[date].Run
	// A run that crashed between _SUCCESS and the pointer was never visible.
	for _, n := range crashed {
		if n.Run != "" && n.Run != current {
			if err := s.remove(ctx, join(out, manifestDir(date, n.Run))); err != nil {
				return err
			}
		}
		if n.Staging != "" {
			if err := s.remove(ctx, join(out, n.Staging)); err != nil {
				return err
			}
		}
	}
	marks, err := s.fsys.Glob(ctx, storage.QuoteMeta(join(out, manifests+"/ds="+date))+"/run=*/_SUCCESS")
	if err != nil {
		return output("reading", out, err)
	}
	published := map[string]bool{current: true}
	for _, m := range marks {
		published[runOf(m.Path)] = true
	}
	files, err := s.fsys.Glob(ctx, storage.QuoteMeta(out)+"/*/ds="+date+"/run=*/*")
	if err != nil {
		return output("reading", out, err)
	}
	removed := map[string]bool{}
	for _, f := range files {
		dir := parent(f.Path)
		if published[runOf(f.Path)] || removed[dir] {
			continue
		}
		removed[dir] = true
		if err := s.remove(ctx, dir); err != nil {
			return err
		}
	}
	if len(crashed) == 0 {
		return nil
	}
	// Such a run may have died while it swapped the pointer.
	turns, err := s.turn().list(ctx)
	if err != nil {
		return err
	}
	for _, n := range append(turns, crashed...) { // the date's last: they say what is left to do
		if n.Expires.After(s.opts.Now()) {
			continue
		}
		if err := s.remove(ctx, n.file); err != nil {
			return err
		}
	}
	return nil
}

// turn is the lease on the pointer.
func (s *Staging) turn() *lease {
	return &lease{fsys: s.fsys, out: s.opts.Out, name: "current", ttl: pointerLease, now: s.opts.Now}
}

// runOf is the run id of a file <…>/run=<id>/<name>.
func runOf(file string) string {
	return strings.TrimPrefix(path.Base(parent(file)), "run=")
}

func (s *Staging) remove(ctx context.Context, p string) error {
	return output("removing", p, s.fsys.RemoveAll(ctx, p))
}

// Table begins a table. Closing it is left to Commit, unless the caller wants
// its memory back earlier.
func (s *Staging) Table(name string, schema *arrow.Schema) (*TableWriter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		return nil, fmt.Errorf("publish: table %s begun after the end of run %s", name, s.opts.RunID)
	}
	if _, ok := s.tables[name]; ok || name == manifests {
		return nil, fmt.Errorf("publish: table name %q is taken", name)
	}
	opts := tables.DefaultOptions(name)
	opts.Workers = s.opts.Workers
	opts.RowGroupBytes = min(opts.RowGroupBytes, s.opts.FileSize) // no row group needs to outgrow its file
	cols, err := tables.Columns(schema)
	if err = errors.Join(opts.Validate(), err); err != nil {
		return nil, fmt.Errorf("publish: table %s: %w", name, err)
	}
	t := &TableWriter{
		s: s, schema: schema, opts: opts, dir: s.dir + "/" + name,
		table: Table{Name: name, SchemaVersion: opts.SchemaVersion, SchemaHash: tables.HashColumns(cols), Columns: cols, Files: []File{}},
	}
	if _, err := s.fsys.MakeDir(s.ctx, t.dir); err != nil {
		return nil, output("making", t.dir, err)
	}
	s.tables[name] = t
	return t, nil
}
