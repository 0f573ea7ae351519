package scan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan/internal/bind"
	"github.com/shoal-data/shoal/datasets/scan/internal/column"
	"github.com/shoal-data/shoal/datasets/scan/internal/consent"
	"github.com/shoal-data/shoal/datasets/scan/internal/eventsql"
	"github.com/shoal-data/shoal/datasets/scan/internal/fault"
	"github.com/shoal-data/shoal/datasets/scan/internal/files"
	"github.com/shoal-data/shoal/datasets/scan/internal/footer"
	"github.com/shoal-data/shoal/datasets/scan/internal/identity"
	"github.com/shoal-data/shoal/datasets/scan/internal/ordered"
	"github.com/shoal-data/shoal/datasets/scan/internal/rates"
	"github.com/shoal-data/shoal/datasets/storage"
)

// A Plan is a resolved input: its files, whose footers were read and found to
// fit the mapping. It is immutable.
type Plan struct {
	Files     []File // by source, then path
	Rows      int64
	Bytes     int64
	RowGroups int
	IDType    datasets.IDType // of customer ids in all sources
	Lookups   []File          // of the tables beside the sources; not among Files
	Warnings  []string        // what the user may not expect, in a fixed order

	fsys     storage.FS
	sources  []Source
	identity *identity.Tables // nil when there are none
	rates    *rates.Table     // nil when amounts stay as they are
	consent  *consent.Tables  // nil when everybody's events may be used
	contacts []contacts
	key      PseudonymKey       // nil when customers keep their ids
	fields   [][]datasets.Field // mapped fields of each source, in order
	files    []planFile         // Files[i] is about files[i]
}

type planFile struct {
	source int
	cols   []column.Binding // one for each mapped field of the source
	groups []rowGroup
	leaves []string // column names, for messages; dropped when the plan is made
}

type rowGroup struct {
	rows, first int64          // number of rows, and of the rows of the file before them
	chunks      []footer.Chunk // parallel to cols; zero for constants
	times       column.TimeRange
	customers   column.IDRange
}

// NewPlan resolves the globs, reads all footers and checks that every source can
// be read as its mapping says.
func NewPlan(ctx context.Context, fsys storage.FS, sources []Source) (*Plan, error) {
	return Input{Sources: sources}.Plan(ctx, fsys)
}

// Plan is NewPlan for sources and the tables beside them.
func (in Input) Plan(ctx context.Context, fsys storage.FS) (*Plan, error) {
	p := &Plan{fsys: fsys, sources: slices.Clone(in.Sources), key: in.Pseudonyms}
	if len(in.Sources) == 0 {
		return nil, fault.InSource(Config, "", "there is no source")
	}
	names := map[string]bool{}
	for i := range p.sources {
		s := &p.sources[i]
		if err := s.validate(); err != nil {
			return nil, err
		}
		if names[s.Name] {
			return nil, fault.InSource(Config, s.Name, "two sources have this name")
		}
		names[s.Name] = true
		p.fields = append(p.fields, sortedFields(s.Columns))
		list, warnings, err := files.List(ctx, fsys, s.Name, s.Paths)
		if err != nil {
			return nil, err
		}
		p.Warnings = append(p.Warnings, warnings...)
		p.Files = append(p.Files, list...)
		for range list {
			p.files = append(p.files, planFile{source: i})
		}
	}
	err := ordered.Run(ctx, len(p.files), files.AtOnce, func(ctx context.Context, _, i int) error { return p.open(ctx, i) }, nil)
	if err != nil {
		var bug *ordered.PanicError
		if errors.As(err, &bug) {
			return nil, fault.InSource(BadData, "", "%w", err)
		}
		return nil, err
	}
	for i := range p.files {
		f := &p.Files[i]
		p.Rows += f.Rows
		p.Bytes += f.Size
		p.RowGroups += f.RowGroups
	}
	if err := p.checkColumns(); err != nil {
		return nil, err
	}
	if err := p.openLookups(ctx, in); err != nil {
		return nil, err
	}
	if err := p.checkIDs(); err != nil {
		return nil, err
	}
	for i := range p.files {
		p.files[i].leaves = nil
	}
	return p, nil
}

// open reads the footer of file i and finds its columns.
func (p *Plan) open(ctx context.Context, i int) error {
	file, f := &p.Files[i], &p.files[i]
	fail := func(rowGroup int, column string, err error) error {
		return fault.InFile(file.Source, file.Path, rowGroup, column, err)
	}
	foot, err := file.ReadFooter(ctx, p.fsys)
	if err != nil {
		return err
	}
	file.Rows, file.RowGroups, file.Footer = foot.Rows, len(foot.RowGroups), foot.Hash
	src := &p.sources[f.source]
	for l := range foot.Leaves {
		f.leaves = append(f.leaves, foot.Leaves[l].Name())
	}
	keys := files.PartitionKeys(file.Path)
	leaf := make([]int, len(p.fields[f.source]))
	for k, field := range p.fields[f.source] {
		name := src.Columns[field]
		col, l, why := bind.Column(foot, keys, name, fmt.Sprintf("an event has one %v", field), func(t *column.Type) string { return t.WhyUnfit(field) })
		if why != "" {
			return p.mappingError(i, name, "%s", why)
		}
		leaf[k] = l
		f.cols = append(f.cols, col)
	}
	var starts []start
	first := int64(0)
	for g := range foot.RowGroups {
		rg := rowGroup{rows: foot.RowGroups[g].Rows, first: first, chunks: make([]footer.Chunk, len(leaf))}
		first += rg.rows
		for k, l := range leaf {
			if l < 0 {
				continue
			}
			if rg.chunks[k], err = foot.Chunk(g, l, file.Size); err != nil {
				return fail(g, foot.Leaves[l].Name(), err)
			}
			if rg.rows > 0 {
				starts = append(starts, start{rg.chunks[k].Offset, g, l})
			}
			meta := &foot.RowGroups[g].Columns[l].MetaData
			switch p.fields[f.source][k] {
			case datasets.EventTime:
				rg.times = column.Statistics(meta, foot.Leaves[l].MaxDef == 0)
			case datasets.CustomerID:
				rg.customers = column.IDStatistics(meta, &f.cols[k].Type)
			}
		}
		f.groups = append(f.groups, rg)
	}
	if a, b, twice := twiceClaimed(starts); twice {
		return fail(b.group, foot.Leaves[b.leaf].Name(), fmt.Errorf("its footer states byte %d as its beginning, and as that of row group %d, column %s",
			b.at, a.group, foot.Leaves[a.leaf].Name()))
	}
	return nil
}

// A start is where the bytes of a column in a row group begin.
type start struct {
	at          int64
	group, leaf int
}

// twiceClaimed finds two columns, or one of two row groups, that begin at the same byte:
// rows would be read twice, or one column for another. A column that is mapped to two
// fields is one.
func twiceClaimed(starts []start) (a, b start, found bool) {
	slices.SortFunc(starts, func(a, b start) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.group, b.group), cmp.Compare(a.leaf, b.leaf))
	})
	starts = slices.Compact(starts)
	for i := 1; i < len(starts); i++ {
		if starts[i].at == starts[i-1].at {
			return starts[i-1], starts[i], true
		}
	}
	return a, b, false
}

// mappingError is a Config error about a column of file i.
func (p *Plan) mappingError(i int, column, format string, args ...any) error {
	f := &p.Files[i]
	return &Error{Kind: Config, Source: f.Source, File: f.Path, RowGroup: -1, Column: column, Row: -1, Err: fmt.Errorf(format, args...)}
}

// checkColumns refuses a mapping that names columns which no file has, or a
// required one that some file lacks, and notes the optional ones that some lack.
func (p *Plan) checkColumns() error {
	for s := range p.sources {
		src := &p.sources[s]
		total := 0
		for i := range p.files {
			if p.files[i].source == s {
				total++
			}
		}
		for k, field := range p.fields[s] {
			name := src.Columns[field]
			lacking, first := 0, -1
			for i := range p.files {
				if p.files[i].source == s && p.files[i].cols[k].Missing {
					if lacking++; first < 0 {
						first = i
					}
				}
			}
			required := field == datasets.CustomerID || field == datasets.EventTime
			switch {
			case lacking == 0:
			case lacking == total || required:
				return p.mappingError(first, name, "%w", bind.Missing(p.files[first].leaves, p.Files[first].Path, name, field.String()))
			default:
				p.Warnings = append(p.Warnings, fmt.Sprintf("source %s: column %q (%v) is missing in %d of %d files, first %s: null there",
					src.Name, name, field, lacking, total, p.Files[first].Path))
			}
		}
	}
	return nil
}

// openLookups finds the files of the tables beside the sources.
func (p *Plan) openLookups(ctx context.Context, in Input) (err error) {
	if len(in.Identity) > 0 {
		if p.identity, err = identity.Open(ctx, p.fsys, in.Identity); err != nil {
			return err
		}
		p.Lookups = append(p.Lookups, p.identity.List()...)
		for _, t := range p.identity.Files {
			p.Warnings = append(p.Warnings, t.Warnings...)
		}
	}
	if in.Rates != nil {
		if p.rates, err = rates.Open(ctx, p.fsys, *in.Rates); err != nil {
			return err
		}
		p.Lookups = append(p.Lookups, p.rates.List()...)
		if t := p.rates.Files; t != nil {
			p.Warnings = append(p.Warnings, t.Warnings...)
		}
	}
	if c := in.Consent; c != nil {
		if p.consent, err = consent.Open(ctx, p.fsys, *c); err != nil {
			return err
		}
		p.Lookups = append(p.Lookups, p.consent.List()...)
		p.Warnings = append(p.Warnings, p.consent.Warnings()...)
	}
	if err := p.openContacts(ctx, in.Contacts); err != nil {
		return err
	}
	if err := p.checkContacts(); err != nil {
		return err
	}
	for i := range p.sources {
		if s := &p.sources[i]; s.aliased() && p.identity == nil {
			return fault.InSource(Config, s.Name, "its ids are of kind %q, and no identity table says whose they are", s.IDKind)
		}
	}
	return nil
}

// checkIDs finds the one type that all customer ids have.
func (p *Plan) checkIDs() error {
	first := -1
	for i := range p.files {
		f := &p.files[i]
		k := slices.Index(p.fields[f.source], datasets.CustomerID)
		col := &f.cols[k]
		if col.Path == nil && col.Null || p.sources[f.source].aliased() {
			continue
		}
		t := col.Type.IDType()
		unified, ok := column.UnifyIDs(p.IDType, t)
		if !ok {
			return p.mappingError(i, p.sources[f.source].Columns[datasets.CustomerID],
				"customer ids are %v here and %v in %s; make the types agree, or list the ids of one source in an identity table and name their kind in its id_kind",
				t, p.IDType, p.Files[first].Path)
		}
		if first < 0 {
			first = i
		}
		p.IDType = unified
	}
	if p.identity != nil {
		var err error
		p.IDType, err = p.identity.IDType(p.IDType)
		return err
	}
	if p.IDType.Kind == datasets.IDUnknown {
		p.IDType = datasets.IDType{Kind: datasets.IDString} // every id is null; the type is moot
	}
	return nil
}

// EventSQL is the statement in DuckDB's dialect that builds, from the plan's
// files and by the package's rules, the table
//
//	events(customer_id, event_time TIMESTAMP, role VARCHAR, event_type VARCHAR,
//	       amount, quantity, rating DECIMAL(18,4),
//	       currency, product_id, category, channel, campaign_id, session_id, event_id VARCHAR)
//
// with times in UTC, customers as the identity tables resolve them and amounts as the
// rates convert them. It shares nothing with the reader but the plan, and so can be held
// against it. It knows neither erasures, consent tables nor pseudonyms, and says so in
// comments before it where there are any. Four more things differ: DuckDB refuses whole files where the reader refuses rows
// with text that is not UTF-8 or timestamps beyond its range, it reads no DECIMAL of more
// than 38 digits, it does not know Options.Before, and where a clock is set back across
// midnight it takes the rates of the day that the clock shows, not of the one that has begun.
func (p *Plan) EventSQL() string {
	// Files that differ in nothing but their rows are read together.
	var alike []eventsql.Files
	byShape := map[string]int{}
	for i := range p.files {
		f := &p.files[i]
		shape := fmt.Sprintf("%d %+v", f.source, f.cols)
		at, known := byShape[shape]
		if !known {
			at = len(alike)
			byShape[shape] = at
			src := &p.sources[f.source]
			shaped := eventsql.Files{By: src.conventions(), Role: src.Role, Currency: src.Currency}
			if src.aliased() {
				shaped.IDKind = src.IDKind
			}
			for k, field := range p.fields[f.source] {
				shaped.Columns[field] = &f.cols[k]
			}
			alike = append(alike, shaped)
		}
		alike[at].Paths = append(alike[at].Paths, p.Files[i].Path)
	}
	return p.beyondSQL() + eventsql.CreateTable(p.IDType, alike, eventsql.Lookups{Identity: p.identity, Rates: p.rates})
}

// beyondSQL says in comments what EventSQL does not do and Read does.
func (p *Plan) beyondSQL() string {
	said := ""
	if p.consent != nil {
		said += "-- Runs leave out whom privacy.erased and privacy.consents name, under every id that identity\n" +
			"-- knows; this table has them. Delete their rows to get the numbers of a run.\n"
	}
	if p.key != nil {
		said += "-- Runs have pseudonyms: customer_id is then lower(hex(HMAC-SHA-256(key, id))) of the id here, under\n" +
			"-- the key in privacy.pseudonym_key_env.\n"
	}
	return said
}
