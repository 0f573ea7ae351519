// Package report turns what a run published into one HTML page. Every number on it
// is the result of a query over the published tables, shown beside it as SQL; what
// no table has, the page does not say. The same tables make the same bytes.
package report

import (
	"context"
	"encoding/json"
	"fmt"
	"html/template"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"golang.org/x/sync/errgroup"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/tables"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/jobs/report/query"
)

// Name is the page's file in a run.
const Name = "report.html"

// A Run is published, or about to be.
type Run struct {
	Manifest *publish.Manifest
	FS       storage.FS
	// Path is where a file of the manifest lies.
	Path func(publish.File) string
	// Before is the run that this one continues; nil for the first one.
	Before *Run
}

// Published is a run that lies under out.
func Published(fsys storage.FS, out string, m *publish.Manifest) *Run {
	return &Run{Manifest: m, FS: fsys, Path: func(f publish.File) string { return publish.Join(publish.Clean(out), f.Path) }}
}

// before is the prefix of the tables of the run before.
const before = "before."

// pick finds whose table is meant.
func (r *Run) pick(table string) (*Run, string) {
	if name, ok := strings.CutPrefix(table, before); ok {
		return r.Before, name
	}
	return r, table
}

// manifestTables are read from the manifest, as the page's preamble does.
var manifestTables = map[string][]string{
	"counters":  {"counter", "value"},
	"warnings":  {"code", "message"},
	"published": {"table", "rows", "columns", "files", "bytes"},
}

// Columns implements query.Tables.
func (r *Run) Columns(table string) ([]string, bool) {
	of, name := r.pick(table)
	if of == nil {
		return nil, false
	}
	if c, ok := manifestTables[name]; ok {
		return c, true
	}
	t := of.Manifest.Table(name)
	if t == nil {
		return nil, false
	}
	var names []string
	for _, c := range t.Columns {
		names = append(names, c.Name)
	}
	return names, true
}

// column finds a published column.
func (r *Run) column(table, name string) (tables.Column, bool) {
	if t := r.Manifest.Table(table); t != nil {
		if i := slices.IndexFunc(t.Columns, func(c tables.Column) bool { return c.Name == name }); i >= 0 {
			return t.Columns[i], true
		}
	}
	return tables.Column{}, false
}

// Scan implements query.Tables.
func (r *Run) Scan(ctx context.Context, table string, columns []string, piece func(int, []arrow.Array) error) error {
	of, name := r.pick(table)
	if _, ok := manifestTables[name]; ok {
		return of.scanManifest(name, columns, piece)
	}
	for _, f := range of.Manifest.Table(name).Files {
		if err := of.scanFile(ctx, f, columns, piece); err != nil {
			return err
		}
	}
	return nil
}

func (r *Run) scanFile(ctx context.Context, f publish.File, columns []string, piece func(int, []arrow.Array) error) error {
	file, err := r.FS.Open(ctx, r.Path(f))
	if err != nil {
		return err
	}
	defer file.Close()
	t, err := tables.Open(file, file.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	if len(columns) == 0 { // only counted
		return piece(int(t.NumRows()), nil)
	}
	for rec, err := range t.Records(ctx, columns...) {
		if err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
		err = piece(int(rec.NumRows()), rec.Columns())
		rec.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Run) scanManifest(name string, columns []string, piece func(int, []arrow.Array) error) error {
	m := r.Manifest
	var rows [][]any
	switch name {
	case "counters":
		for k, v := range m.Counters {
			rows = append(rows, []any{k, v})
		}
		slices.SortFunc(rows, func(a, b []any) int { return strings.Compare(a[0].(string), b[0].(string)) })
	case "warnings":
		for _, w := range m.Warnings {
			rows = append(rows, []any{w.Code, w.Message})
		}
	case "published":
		for _, t := range m.Tables {
			bytes := int64(0)
			for _, f := range t.Files {
				bytes += f.Bytes
			}
			rows = append(rows, []any{t.Name, t.Rows, int64(len(t.Columns)), int64(len(t.Files)), bytes})
		}
	}
	var arrays []arrow.Array
	for _, c := range columns {
		k := slices.Index(manifestTables[name], c)
		text, number := array.NewStringBuilder(memory.DefaultAllocator), array.NewInt64Builder(memory.DefaultAllocator)
		for _, row := range rows {
			switch v := row[k].(type) {
			case string:
				text.Append(v)
			case int64:
				number.Append(v)
			}
		}
		if text.Len() > 0 {
			arrays = append(arrays, text.NewArray())
		} else {
			arrays = append(arrays, number.NewArray())
		}
	}
	return piece(len(rows), arrays)
}

// views is the SQL that the page's queries stand on, to be run in the directory
// where runs are published.
func (r *Run) views() string {
	var b strings.Builder
	of := func(r *Run, prefix string) {
		m := r.Manifest
		at := query.Literal(m.Path())
		fmt.Fprintf(&b, "CREATE VIEW %scounters AS SELECT e.key AS counter, e.value AS \"value\" FROM (\n  SELECT unnest(map_entries(counters)) AS e FROM read_json(%s, columns = {counters: 'MAP(VARCHAR, BIGINT)'}));\n", prefix, at)
		fmt.Fprintf(&b, "CREATE VIEW %swarnings AS SELECT w.code, w.message FROM (\n  SELECT unnest(warnings) AS w FROM read_json(%s, columns = {warnings: 'STRUCT(code VARCHAR, message VARCHAR)[]'}));\n", prefix, at)
		fmt.Fprintf(&b, "CREATE VIEW %spublished AS SELECT t.name AS \"table\", t.rows AS \"rows\", len(t.columns) AS columns, len(t.files) AS files, list_sum([f.bytes FOR f IN t.files]) AS bytes FROM (\n  SELECT unnest(tables) AS t FROM read_json(%s, columns = {tables: 'STRUCT(name VARCHAR, rows BIGINT, columns JSON[], files STRUCT(bytes BIGINT)[])[]'}));\n", prefix, at)
		for _, t := range m.Tables {
			fmt.Fprintf(&b, "CREATE VIEW %s%s AS FROM read_parquet(%s, hive_partitioning = false);\n", prefix, t.Name, query.Literal(t.Name+"/ds="+m.Date+"/run="+m.RunID+"/*.parquet"))
		}
	}
	of(r, "")
	if r.Before != nil {
		b.WriteString("CREATE SCHEMA before;\n")
		of(r.Before, before)
	}
	return b.String()
}

// settings are what the page needs of the effective configuration.
type settings struct {
	Currency      string `json:"currency"`
	Segmentations []struct {
		Name string `json:"name"`
	} `json:"segmentations"`
	Privacy struct {
		SmallestSegment int `json:"smallest_segment"` // of whom numbers are told
	} `json:"privacy"`
	Targets []struct {
		Name string `json:"name"`
		Kind string `json:"kind"`
	} `json:"targets"`
}

// foundCurrency is the one that all amounts were in, as the run's summary says; empty where it
// says none.
func foundCurrency(m *publish.Manifest) string {
	var summary struct {
		Input struct {
			Currency string `json:"currency"`
		} `json:"input"`
	}
	if json.Unmarshal(m.Summary, &summary) != nil {
		return "" // of another program's run; the page says currency units
	}
	return summary.Input.Currency
}

// builder makes the page of a run.
type builder struct {
	ctx      context.Context
	run      *Run
	settings settings
	currency string // of amounts, in words
	err      error
}

// Render makes the page.
func Render(ctx context.Context, r *Run) ([]byte, error) {
	p, err := build(ctx, r)
	if err != nil {
		return nil, err
	}
	return p.fit(mostBytes)
}

// mostBytes is how large a page may become.
const mostBytes = 4_900_000

func build(ctx context.Context, r *Run) (*page, error) {
	b := &builder{ctx: ctx, run: r, currency: "currency units"}
	if len(r.Manifest.Config) > 0 {
		if err := json.Unmarshal(r.Manifest.Config, &b.settings); err != nil {
			return nil, fmt.Errorf("report: the manifest's configuration: %w", err)
		}
	}
	if b.settings.Currency != "" {
		b.currency = b.settings.Currency
	} else if found := foundCurrency(r.Manifest); found != "" {
		b.currency = found
	}
	made, err := b.together((*builder).segments, (*builder).predictions, (*builder).value, (*builder).behaviour)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	segments, predictions, value, behaviour := made[0], made[1], made[2], made[3]
	p := &page{
		Manifest: r.Manifest,
		Views:    r.views(),
		Sections: []*Section{b.tonight(segments, predictions, value), segments, predictions, value, behaviour, b.data(), b.glossary()},
	}
	if r.Before != nil {
		p.Before = r.Before.Manifest
	}
	if b.err != nil {
		return nil, fmt.Errorf("report: %w", b.err)
	}
	return p, nil
}

// together makes sections that do not look at each other, at once: nearly all their time
// goes into reading tables.
func (b *builder) together(parts ...func(*builder) *Section) ([]*Section, error) {
	made := make([]*Section, len(parts))
	g, ctx := errgroup.WithContext(b.ctx)
	for i, part := range parts {
		g.Go(func() (err error) {
			defer func() {
				if p := recover(); p != nil { // nobody else could: this is a goroutine of its own
					err = fmt.Errorf("a fault of the program: %v\n%s", p, debug.Stack())
				}
			}()
			own := *b
			own.ctx = ctx
			made[i] = part(&own)
			return own.err
		})
	}
	return made, g.Wait()
}

// A Section of the page.
type Section struct {
	ID, Title string
	Lead      []string // what is worth knowing, in sentences
	Blocks    []Block

	headed bool // a heading has come
}

func (s *Section) add(bs ...Block) {
	for _, b := range bs {
		s.headed = s.headed || b.Heading != ""
		if b.Figure != nil {
			b.Figure.Deep = s.headed
		}
		s.Blocks = append(s.Blocks, b)
	}
}

// A Block is one thing in a section.
type Block struct {
	Heading string // of what follows
	ID      string // of the heading
	Note    string // under it
	Figure  *Figure
	Cards   []Card
	Text    string // as it is, in a box of its own
	Name    string // of the text
}

// A Card says who a segment is.
type Card struct {
	Class                     string // its colour
	Number                    string
	Name, Description, Advice string
	Facts                     [][2]string
}

// A Figure is a table, mostly with a chart of it.
type Figure struct {
	ID, Title string
	About     string // how to read it
	Reading   string // what it shows, computed
	SQL       string
	Columns   []Column
	Rows      [][]query.Value
	Chart     template.HTML
	Missing   string // why there is nothing to show
	Wide      bool
	Open      bool // the numbers are shown without being asked for
	Filter    bool
	Budget    bool // with a calculator of what contacts bring

	unshortened struct{ SQL, About string } // of a figure whose rows were left out
	Deep        bool                        // its heading is below one of its section's
}

// query runs a query for a figure; ok is false when there is nothing to show, and the
// figure says why.
func (b *builder) query(f *Figure, q *query.Query, columns ...Column) (*query.Result, bool) {
	if b.err != nil {
		return nil, false
	}
	if why := q.Missing(b.run); why != "" {
		f.Missing = "Nothing to show: " + why + "."
		return nil, false
	}
	if q.AboutCustomers() {
		q.AtLeast(b.settings.Privacy.SmallestSegment)
	}
	r, err := q.Run(b.ctx, b.run)
	if err != nil {
		b.err = err
		return nil, false
	}
	b.fill(f, r, columns)
	return r, len(f.Rows) > 0
}

func (b *builder) fill(f *Figure, r *query.Result, columns []Column) {
	f.SQL = r.SQL
	for _, name := range r.Columns {
		c := Column{Name: name, Label: strings.ReplaceAll(name, "_", " "), Format: asText}
		if i := slices.IndexFunc(columns, func(c Column) bool { return c.Name == name }); i >= 0 {
			c = columns[i]
		}
		f.Columns = append(f.Columns, c)
	}
	f.Rows = r.Rows
	if len(r.Rows) == 0 && f.Missing == "" {
		f.Missing = "Nothing to show: the query finds no rows."
	}
}

// read runs a query that no figure shows by itself.
func (b *builder) read(q *query.Query) *query.Result {
	empty := &query.Result{}
	if b.err != nil || q.Missing(b.run) != "" {
		return empty
	}
	r, err := q.Run(b.ctx, b.run)
	if err != nil {
		b.err = err
		return empty
	}
	return r
}
