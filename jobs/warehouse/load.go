package warehouse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/jobs/publish"
)

// Connection says how to reach what Load loads into. It holds no secrets: those
// of PostgreSQL are in the environment, those of DuckDB none or in its.
type Connection struct {
	Database string // DuckDB's: a file, or what else its program takes
	Command  string // DuckDB's program
	// URL, when it is set, is PostgreSQL's connection string, which may hold a
	// password and is never shown; without it PGHOST, PGDATABASE, PGUSER, PGPASSWORD,
	// PGPASSFILE, PGSERVICE and the others of libpq are heeded.
	URL string
}

// A Loaded is what Load did.
type Loaded struct {
	Target  string           `json:"target"`
	Date    string           `json:"date"`
	RunID   string           `json:"run_id"`
	Tables  map[string]int64 `json:"tables"` // rows by table
	Rows    int64            `json:"rows"`
	Seconds float64          `json:"seconds"`
}

// Errors that callers tell apart; others are faults of the data.
var (
	errTransient = errors.New("may pass")
	errUsage     = errors.New("must be put right")
)

// Transient reports whether an error of Load may be gone when it is repeated.
func Transient(err error) bool { return errors.Is(err, errTransient) || publish.Transient(err) }

// Usage reports whether an error of Write or Load stays until somebody changes what was
// asked for, or what is there.
func Usage(err error) bool { return errors.Is(err, errUsage) || publish.Unfit(err) }

// A marked error is one whose text says nothing of its mark.
type marked struct{ error, mark error }

func (m *marked) Unwrap() []error { return []error{m.error, m.mark} }

func mark(err, as error) error { return &marked{err, as} }

// Error is the error's own text.
func (m *marked) Error() string { return m.error.Error() }

// Load loads a run, whose files are first compared with the manifest, byte for
// byte: nothing that was damaged gets into a warehouse. On error the warehouse
// is as it was, but for columns added.
func Load(ctx context.Context, fsys storage.FS, out string, m *publish.Manifest, opts Options, c Connection) (*Loaded, error) {
	start := time.Now()
	in, at := fsys, out
	if opts.Target == "duckdb" && opts.Location == out && strings.Contains(out, "://") {
		dir, err := os.MkdirTemp("", "shoal-load-")
		if err != nil {
			return nil, mark(err, errTransient)
		}
		defer os.RemoveAll(dir)
		in, at, opts.Location = storage.Local(), filepath.ToSlash(dir), filepath.ToSlash(dir)
	}
	s, err := plan(m, opts)
	if err != nil {
		return nil, err
	}
	done := &Loaded{Target: opts.Target, Date: m.Date, RunID: m.RunID, Tables: map[string]int64{}}
	for _, t := range s.tables {
		if at != out {
			if err := fetch(ctx, fsys, out, at, t.Table); err != nil {
				return nil, err
			}
		}
		problems, err := publish.VerifyTable(ctx, in, at, *t.Table, true)
		if err != nil {
			return nil, err
		}
		if len(problems) > 0 {
			return nil, fmt.Errorf("%w: %s; nothing was loaded: publish %s again, or restore the file", publish.ErrDamaged, problems[0], m.Date)
		}
		done.Tables[t.Name] = t.Rows
		done.Rows += t.Rows
	}
	switch opts.Target {
	case "duckdb":
		err = s.loadDuckDB(ctx, c)
	case "postgres":
		err = s.loadPostgres(ctx, fsys, out, c)
	default:
		err = mark(fmt.Errorf("shoal load loads into %s; for %s run what shoal load-sql prints", strings.Join(Loadable, " and "), opts.Target), errUsage)
	}
	if err != nil {
		return nil, err
	}
	done.Seconds = time.Since(start).Seconds()
	return done, nil
}

// fetch copies a table's files out of a bucket, which DuckDB could read only with an
// extension and credentials of its own. What is not there VerifyTable will miss.
func fetch(ctx context.Context, fsys storage.FS, out, dir string, t *publish.Table) error {
	for _, f := range t.Files {
		if !fs.ValidPath(f.Path) {
			continue // which VerifyTable refuses
		}
		if err := fetchFile(ctx, fsys, publish.Join(out, f.Path), filepath.Join(dir, filepath.FromSlash(f.Path))); err != nil {
			return err
		}
	}
	return nil
}

func fetchFile(ctx context.Context, fsys storage.FS, from, to string) error {
	r, err := fsys.Open(ctx, from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return publish.OutputError("reading", from, err)
	}
	defer r.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return mark(fmt.Errorf("fetching %s: %w", from, err), errTransient)
	}
	w, err := os.Create(to)
	if err != nil {
		return mark(fmt.Errorf("fetching %s: %w", from, err), errTransient)
	}
	_, err = io.Copy(w, io.NewSectionReader(r, 0, r.Size()))
	if err := errors.Join(err, w.Close()); err != nil {
		return mark(fmt.Errorf("fetching %s into %s: %w", from, filepath.Dir(to), err), errTransient)
	}
	return nil
}

// loadDuckDB runs the script in DuckDB's own program, to which it is piped:
// DuckDB is no Go library (docs/decisions/0018-loading.md).
func (s *script) loadDuckDB(ctx context.Context, c Connection) error {
	if c.Database == "" {
		return mark(errors.New("name the DuckDB database with --database"), errUsage)
	}
	program, err := exec.LookPath(c.Command)
	if err != nil {
		return mark(fmt.Errorf("DuckDB's program is needed: %w; install the DuckDB CLI, or say where it is with --duckdb-command", err), errUsage)
	}
	database := c.Database
	if strings.HasPrefix(database, "-") {
		database = "./" + database
	}
	var script, stderr bytes.Buffer
	for _, step := range s.steps {
		fmt.Fprintf(&script, "%s;\n", step.sql)
	}
	cmd := exec.CommandContext(ctx, program, "-batch", "-bail", "-init", os.DevNull, database)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &script, io.Discard, &stderr
	cmd.WaitDelay = 10 * time.Second
	err = cmd.Run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	said := strings.TrimSpace(stderr.String())
	if err == nil && said == "" {
		return nil
	}
	if said == "" {
		said = err.Error()
	}
	fault := fmt.Errorf("DuckDB, loading %s: %s", c.Database, strings.Join(strings.Fields(said), " "))
	switch {
	case strings.Contains(said, "Could not set lock"), strings.Contains(said, "No space left"):
		return mark(fault, errTransient)
	case strings.Contains(said, "unable to open database"), strings.Contains(said, "Cannot open file"), strings.Contains(said, "Catalog Error"), strings.Contains(said, "not a valid DuckDB database"):
		return mark(fault, errUsage)
	}
	return fault
}

// loadPostgres runs the steps, and streams rows where they belong.
func (s *script) loadPostgres(ctx context.Context, fsys storage.FS, out string, c Connection) error {
	conn, err := pgconn.Connect(ctx, c.URL)
	if err != nil {
		return s.postgresFault(ctx, "", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, step := range s.steps {
		if step.of == nil {
			if err := conn.Exec(ctx, step.sql).Close(); err != nil {
				return s.postgresFault(ctx, step.sql, err)
			}
			continue
		}
		if err := s.stream(ctx, conn, step, fsys, out); err != nil {
			return err
		}
	}
	return nil
}

func (s *script) stream(ctx context.Context, conn *pgconn.PgConn, step step, fsys storage.FS, out string) error {
	r, w := io.Pipe()
	wrote := make(chan error, 1)
	go func() {
		err := writeRows(ctx, w, fsys, out, step.of.Table)
		w.CloseWithError(err)
		wrote <- err
	}()
	_, err := conn.CopyFrom(ctx, r, step.sql)
	r.CloseWithError(io.ErrClosedPipe)
	if e := <-wrote; e != nil && !errors.Is(e, io.ErrClosedPipe) {
		return e // PostgreSQL only heard that no more would come
	}
	if err != nil {
		return s.postgresFault(ctx, step.sql, err)
	}
	return nil
}

// postgresFault says what went wrong in which statement, and whose fault it is.
func (s *script) postgresFault(ctx context.Context, sql string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	at := ""
	if first, _, _ := strings.Cut(sql, "\n"); first != "" {
		at = fmt.Sprintf(" (%.120s)", first)
	}
	var parse *pgconn.ParseConfigError
	if errors.As(err, &parse) {
		// Its text quotes the connection string, of which a part may be a secret.
		return mark(errors.New("PostgreSQL: the connection string or the PG variables cannot be read: they must be a URL, postgres://…, or key=value words"), errUsage)
	}
	fault := fmt.Errorf("PostgreSQL%s: %w", at, err)
	var told *pgconn.PgError
	if !errors.As(err, &told) {
		return mark(fault, errTransient) // no answer, or none to be had
	}
	if told.Detail != "" {
		fault = fmt.Errorf("%w; %s", fault, told.Detail)
	}
	switch class := told.Code[:2]; class {
	case "08", "40", "53", "55", "57", "58": // connection, conflict, resources, locks, an operator, the system
		return mark(fault, errTransient)
	case "28", "3D", "3F": // who, which database, which schema
		return mark(fault, errUsage)
	}
	if told.Code == "42501" { // no privilege
		return mark(fault, errUsage)
	}
	return fault
}
