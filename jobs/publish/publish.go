// Package publish puts a run in place so that a reader sees the run before or
// this one, whole, and never a mixture:
//
//	<out>/<table>/ds=YYYY-MM-DD/run=<id>/part-NNNNN.parquet
//	<out>/models/ds=YYYY-MM-DD/run=<id>/<name>
//	<out>/report/ds=YYYY-MM-DD/run=<id>/report.html
//	<out>/manifests/ds=YYYY-MM-DD/run=<id>/manifest.json, _SUCCESS
//	<out>/current.json
//
// On a disk files are written and synced in a hidden staging directory and renamed
// into place; in an object store, where each appears whole, they are written where
// they stay. Nothing names them until current.json, the pointer, is replaced, in an
// object store on the condition that it is the one that was read: that is the moment
// of publication. What a crash leaves before it, the next run of the date removes;
// what an error leaves, the run itself does.
package publish

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"runtime"
	"slices"
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
	RunID    string // unique among the runs of a date; for Begin, not for Take
	FileSize int64  // a table's file ends with the row group that reaches this size, in bytes
	Workers  int    // goroutines that encode a table; no effect on the bytes
	// Lease is how long a run that no longer stirs keeps others off its date,
	// unless they can see that its process is gone. A living run renews its lease
	// four times as often.
	Lease time.Duration
	// Now is the clock, for leases and for the manifest's Started and Finished.
	Now func() time.Time
}

// DefaultOptions are files of 192 MiB, a worker for each CPU, a lease of one
// minute and the system's clock.
func DefaultOptions(out, date, runID string) Options {
	return Options{
		Out: out, Date: date, RunID: runID, FileSize: 192 << 20,
		Workers: runtime.GOMAXPROCS(0), Lease: time.Minute, Now: time.Now,
	}
}

var runRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

func validRun(id string) error {
	if runRE.MatchString(id) {
		return nil
	}
	return fmt.Errorf("publish: RunID (%q) must be 1 to 128 letters, digits, '.', '_' and '-', beginning with a letter or digit", id)
}

// Validate reports every fault, but for the run id's.
func (o Options) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf("publish: "+format, args...)) }
	if o.Out == "" {
		fault("Out is empty: name the directory to publish under")
	}
	if _, err := time.Parse(time.DateOnly, o.Date); err != nil {
		fault("Date (%q) must be a date, YYYY-MM-DD", o.Date)
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
	*Hold
	ctx   context.Context // Begin's
	runID string

	mu        sync.Mutex
	tables    map[string]*TableWriter
	models    []File
	audiences []File
	report    *File

	placed []string // directories renamed into place, or in an object store written to

	published bool // the pointer names this run
	inDoubt   bool // the pointer could not be read after it was swapped
	done      bool
}

const manifests = "manifests"

// modelFiles is the directory of what was fitted, beside the tables'.
const modelFiles = "models"

// AudienceFiles is the directory of audience files, beside the tables'.
const AudienceFiles = "audiences"

// reportFiles is the directory of the page that shows the run.
const reportFiles = "report"

func manifestDir(date, run string) string { return runDir(manifests, date, run) }

func runDir(table, date, run string) string { return table + "/ds=" + date + "/run=" + run }

// Join adds a relative path to out, which may be a URL.
func Join(out, rel string) string {
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

// Clean gives a directory one spelling; a URL keeps its own, but for closing
// slashes.
func Clean(out string) string {
	if strings.Contains(out, "://") {
		return strings.TrimRight(out, "/")
	}
	return path.Clean(out)
}

// Begin takes the date and begins a run of it at once; see Take and Hold.Begin.
// After it, call Abort in any case; after Commit it does nothing.
func Begin(ctx context.Context, fsys storage.FS, opts Options) (*Staging, error) {
	if err := errors.Join(validRun(opts.RunID), opts.Validate()); err != nil {
		return nil, err
	}
	h, err := Take(ctx, fsys, opts)
	if err != nil {
		return nil, err
	}
	s, err := h.Begin(ctx, opts.RunID)
	if err != nil {
		return nil, errors.Join(err, h.Release())
	}
	return s, nil
}

// Begin makes the staging directory of a run. Its error wraps ErrPublished when
// a run of this id is published: then the date is still held, and another id may
// be tried. ctx governs the run until Commit. Abort and Commit give the date up.
func (h *Hold) Begin(ctx context.Context, runID string) (_ *Staging, err error) {
	if err := validRun(runID); err != nil {
		return nil, err
	}
	if h.ended {
		return nil, fmt.Errorf("publish: run %s begun after date %s was given up", runID, h.opts.Date)
	}
	mark := Join(h.opts.Out, manifestDir(h.opts.Date, runID)) + "/_SUCCESS"
	if _, err := h.fsys.Stat(ctx, mark); err == nil {
		return nil, fmt.Errorf("%w: %s of %s in %s; use another run id", ErrPublished, runID, h.opts.Date, h.opts.Out)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, output("reading", mark, err)
	}
	// From here on a crash leaves files of this id: the lease must name it first.
	if err := h.lease.name(ctx, runID); err != nil {
		return nil, err
	}
	s := &Staging{Hold: h, ctx: ctx, runID: runID, tables: map[string]*TableWriter{}}
	if h.objects != nil {
		return s, nil
	}
	if _, err := h.fsys.MakeDir(ctx, h.dir); err != nil {
		return nil, errors.Join(output("making", h.dir, err), s.Abort())
	}
	return s, nil
}

// Table begins a table. Closing it is left to Commit, unless the caller wants
// its memory back earlier.
func (s *Staging) Table(name string, schema *arrow.Schema) (*TableWriter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		return nil, fmt.Errorf("publish: table %s begun after the end of run %s", name, s.runID)
	}
	if _, ok := s.tables[name]; ok || name == manifests || name == modelFiles || name == AudienceFiles || name == reportFiles {
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
		s: s, schema: schema, opts: opts, dir: s.begin(name),
		table: Table{Name: name, SchemaVersion: opts.SchemaVersion, SchemaHash: tables.HashColumns(cols), Columns: cols, Files: []File{}},
	}
	if _, err := s.fsys.MakeDir(s.ctx, t.dir); err != nil {
		return nil, output("making", t.dir, err)
	}
	s.tables[name] = t
	return t, nil
}

// at is the directory that the files of a table, of the models or of the manifest are
// written to.
func (s *Staging) at(name string) string {
	if s.objects == nil {
		return s.dir + "/" + name
	}
	return Join(s.opts.Out, runDir(name, s.opts.Date, s.runID))
}

// begin is at, before the first file is written there.
func (s *Staging) begin(name string) string {
	dir := s.at(name)
	if s.objects != nil && !slices.Contains(s.placed, dir) {
		s.placed = append(s.placed, dir)
	}
	return dir
}
