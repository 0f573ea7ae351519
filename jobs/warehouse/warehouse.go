// Package warehouse says in SQL how a published run gets into a warehouse, and
// for DuckDB and PostgreSQL does it.
//
// Every table of a run has a table of its name in the warehouse, with a column
// ds, the run's date, before its own. Loading a run replaces the rows of its
// date, and so may be repeated. Files are taken from the manifest's list, never
// from a pattern: two runs of a date would be matched by one. New columns are
// added, none is ever dropped or retyped. The rows are counted before they are
// seen.
package warehouse

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"unicode"

	"github.com/shoal-data/shoal/datasets/tables"
	"github.com/shoal-data/shoal/jobs/publish"
)

// Options say where a run is loaded, and from where.
type Options struct {
	Target   string   // one of Targets
	Schema   string   // what tables are in, such as db.schema or project.dataset; "" is the session's own
	Prefix   string   // before every table's name
	Location string   // where the warehouse finds what lies under out
	IAMRole  string   // Redshift's right to read it: default, or an ARN
	Tables   []string // of the run; empty is all
}

// dateColumn is the column by which a run's rows are replaced.
const dateColumn = "ds"

// Targets are the warehouses that statements can be written for, and Loadable
// those that Load loads.
var (
	Targets  = []string{"bigquery", "snowflake", "redshift", "databricks", "clickhouse", "duckdb", "postgres"}
	Loadable = []string{"duckdb", "postgres"}
)

// A dialect is how one warehouse is spoken to.
type dialect struct {
	// reads are the beginnings of locations that it can read, and hint says what
	// they mean. Without any it reads no files.
	reads []string
	hint  string
	// globs are characters that mean patterns in its file names and have no
	// spelling of their own there.
	globs string
	// refuses says what is wrong with a location otherwise; nil when nothing can be.
	refuses func(location string) error

	ident func(string) string // quotes a name
	text  func(string) string // quotes a text
	types map[string]string   // by the type of a column; "binary" is of any width

	howTo string // how the statements are run
	write func(*script)
}

var dialects = map[string]dialect{
	"bigquery":   bigquery,
	"snowflake":  snowflake,
	"redshift":   redshift,
	"databricks": databricks,
	"clickhouse": clickhouse,
	"duckdb":     duckdb,
	"postgres":   postgres,
}

// A step is a statement.
type step struct {
	why string // a comment, for readers of the script
	sql string // without the semicolon
	of  *table // whose rows follow, for COPY … FROM STDIN
}

// A script is the steps that load a run.
type script struct {
	dialect
	opts   Options
	m      *publish.Manifest
	tables []*table
	steps  []step
}

// A table is one that is loaded.
type table struct {
	*publish.Table
	target  string // quoted and qualified
	staging string // likewise
}

// plan checks what is asked for and writes the steps.
func plan(m *publish.Manifest, opts Options) (*script, error) {
	d, ok := dialects[opts.Target]
	if !ok {
		return nil, mark(fmt.Errorf("target %q: known are %s", opts.Target, strings.Join(Targets, ", ")), errUsage)
	}
	s := &script{dialect: d, opts: opts, m: m}
	if err := errors.Join(s.checkLocation(), s.choose()); err != nil {
		return nil, mark(err, errUsage)
	}
	d.write(s)
	return s, nil
}

func (s *script) checkLocation() error {
	at := s.opts.Location
	if len(s.reads) == 0 {
		return nil
	}
	if !slices.ContainsFunc(s.reads, func(p string) bool { return strings.HasPrefix(at, p) }) {
		return fmt.Errorf("%s reads %s: say with --location where it finds what lies under the output, not %q", s.opts.Target, s.hint, at)
	}
	if strings.ContainsFunc(at, unicode.IsControl) {
		return fmt.Errorf("location %q holds control characters", at)
	}
	if i := strings.IndexAny(at, s.globs); i >= 0 {
		return fmt.Errorf("location %q holds %q, which means a pattern to %s and cannot be written otherwise: copy the files elsewhere", at, at[i], s.opts.Target)
	}
	if s.refuses != nil {
		return s.refuses(at)
	}
	return nil
}

// choose finds the tables that are loaded. What a manifest says is not trusted
// more than any other input: names that no warehouse would take are refused, and
// those that pass are quoted all the same.
func (s *script) choose() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for _, name := range s.opts.Tables {
		if s.m.Table(name) == nil {
			var have []string
			for _, t := range s.m.Tables {
				have = append(have, t.Name)
			}
			fault("run %s has no table %q: it has %s", s.m.RunID, name, strings.Join(have, ", "))
		}
	}
	for i := range s.m.Tables {
		t := &s.m.Tables[i]
		if len(s.opts.Tables) > 0 && !slices.Contains(s.opts.Tables, t.Name) {
			continue
		}
		if err := tables.CheckName(s.opts.Prefix + t.Name + stagingSuffix); err != nil {
			fault("table %q: %w", s.opts.Prefix+t.Name, err)
		}
		for _, c := range t.Columns {
			if err := tables.CheckName(c.Name); err != nil {
				fault("table %s: column %w", t.Name, err)
			}
			if c.Name == dateColumn {
				fault("table %s has a column %s, by which rows are told apart by date in a warehouse", t.Name, dateColumn)
			}
			if s.typeOf(c) == "" {
				fault("table %s: column %s has type %q, which this program does not know: it was published by another version (%s)", t.Name, c.Name, c.Type, s.m.ToolVersion)
			}
		}
		for _, f := range t.Files {
			if !fs.ValidPath(f.Path) || strings.ContainsFunc(f.Path, unicode.IsControl) || strings.ContainsAny(f.Path, s.globs) {
				fault("table %s: %q is no file that a run writes", t.Name, f.Path)
			}
		}
		s.tables = append(s.tables, &table{t, s.qualified(s.opts.Prefix + t.Name), s.qualified(s.opts.Prefix + t.Name + stagingSuffix)})
	}
	for _, part := range s.schema() {
		if part == "" || strings.ContainsFunc(part, unicode.IsControl) {
			fault("schema %q has an empty part or control characters", s.opts.Schema)
		}
	}
	if len(faults) == 0 && len(s.tables) == 0 {
		fault("run %s has no tables", s.m.RunID)
	}
	return errors.Join(faults...)
}

const stagingSuffix = "__load"

func (s *script) schema() []string {
	if s.opts.Schema == "" {
		return nil
	}
	return strings.Split(s.opts.Schema, ".")
}

// qualified is a quoted name in its schema.
func (s *script) qualified(name string) string {
	parts := append(s.schema(), name)
	for i := range parts {
		parts[i] = s.ident(parts[i])
	}
	return strings.Join(parts, ".")
}

// add adds a step.
func (s *script) add(why, format string, args ...any) {
	s.steps = append(s.steps, step{why: why, sql: fmt.Sprintf(format, args...)})
}

// typeOf is the warehouse's type of a column; "" when there is none.
func (s *script) typeOf(c tables.Column) string {
	if strings.HasPrefix(c.Type, "binary(") {
		return s.types["binary"]
	}
	return s.types[c.Type]
}

// defined are the columns with their types, ds before them when dated.
func (s *script) defined(t *table, dated bool) string {
	var lines []string
	if dated {
		lines = append(lines, "  "+s.ident(dateColumn)+" "+s.types["date"])
	}
	for _, c := range t.Columns {
		lines = append(lines, "  "+s.ident(c.Name)+" "+s.typeOf(c))
	}
	return "(\n" + strings.Join(lines, ",\n") + "\n)"
}

// names are the quoted columns, each after a prefix.
func (s *script) names(t *table, prefix string) string {
	var names []string
	for _, c := range t.Columns {
		names = append(names, prefix+s.ident(c.Name))
	}
	return strings.Join(names, ", ")
}

// added are clauses that add every column that is not there yet, joined.
func (s *script) added(t *table) string {
	var lines []string
	for _, c := range t.Columns {
		lines = append(lines, "  ADD COLUMN IF NOT EXISTS "+s.ident(c.Name)+" "+s.typeOf(c))
	}
	return strings.Join(lines, ",\n")
}

// date is the run's date as a literal.
func (s *script) date() string { return "DATE " + s.text(s.m.Date) }

// ofDate is the condition of the rows that are replaced.
func (s *script) ofDate() string { return s.ident(dateColumn) + " = " + s.date() }

// file is where the warehouse finds a file.
func (s *script) file(f publish.File) string { return publish.Join(s.opts.Location, f.Path) }

// incomplete is what a check says when rows are missing.
func (s *script) incomplete(t *table) string {
	return fmt.Sprintf("%s: the rows loaded are not the %d of run %s", t.Name, t.Rows, s.m.RunID)
}

// filled are the files that have rows.
func (t *table) filled() []publish.File {
	return slices.DeleteFunc(slices.Clone(t.Files), func(f publish.File) bool { return f.Rows == 0 })
}

// split divides a file's place into its directory and its name there.
func (s *script) split(f publish.File) (dir, name string) {
	at := s.file(f)
	i := strings.LastIndexByte(at, '/')
	return at[:i], at[i+1:]
}

// doubled quotes by doubling, as the standard has it.
func doubled(quote string) func(string) string {
	return func(s string) string { return quote + strings.ReplaceAll(s, quote, quote+quote) + quote }
}

// escaped quotes by a backslash before quotes and backslashes.
func escaped(quote string) func(string) string {
	return func(s string) string {
		return quote + strings.NewReplacer(`\`, `\\`, quote, `\`+quote, "\n", `\n`, "\r", `\r`, "\x00", "").Replace(s) + quote
	}
}

// oneLine makes a text fit for a comment.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
}
