package scan

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go/format"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan/internal/lexical"
	"github.com/shoal-data/shoal/datasets/scan/internal/pages"
	"github.com/shoal-data/shoal/datasets/storage"
)

// footerReaders is how many footers are fetched at once: they are small and
// mostly waited for.
const footerReaders = 16

// A File is one input file, as far as its footer tells.
type File struct {
	Source    string
	Path      string
	Size      int64 // bytes
	ModTime   time.Time
	Rows      int64
	RowGroups int
	Footer    string // hash of the footer's bytes: any change of the data changes it
}

// A Plan is a resolved input: its files, whose footers were read and found to
// fit the mapping. It is immutable.
type Plan struct {
	Files     []File // by source, then path
	Rows      int64
	Bytes     int64
	RowGroups int
	IDType    datasets.IDType // of customer ids in all sources
	Warnings  []string        // what the user may not expect, in a fixed order

	fsys    storage.FS
	sources []Source
	fields  [][]datasets.Field // mapped fields of each source, in order
	files   []planFile         // Files[i] is about files[i]
}

type planFile struct {
	source int
	cols   []fileCol // one for each mapped field of the source
	groups []rowGroup
	leaves []string // column names, for messages; dropped when the plan is made
}

// A fileCol says where a file keeps a field.
type fileCol struct {
	typ      colType
	path     []string // of the column; nil when the field is constant in the file
	constant string   // value of the constant
	null     bool     // the constant is null
	missing  bool     // and that because the file has neither column nor key
}

type rowGroup struct {
	rows, first int64         // number of rows, and of the rows of the file before them
	chunks      []pages.Chunk // parallel to cols; zero for constants
	times       timeRange
}

// A timeRange is the range of a row group's raw times by its statistics.
type timeRange struct {
	known    bool // and no time is null
	min, max int64
}

// NewPlan resolves the globs, reads all footers and checks that every source can
// be read as its mapping says.
func NewPlan(ctx context.Context, fsys storage.FS, sources []Source) (*Plan, error) {
	p := &Plan{fsys: fsys, sources: slices.Clone(sources)}
	if len(sources) == 0 {
		return nil, configError("", "there is no source")
	}
	names := map[string]bool{}
	for i := range p.sources {
		s := &p.sources[i]
		if err := s.validate(); err != nil {
			return nil, err
		}
		if names[s.Name] {
			return nil, configError(s.Name, "two sources have this name")
		}
		names[s.Name] = true
		p.fields = append(p.fields, sortedFields(s.Columns))
		if err := p.list(ctx, i); err != nil {
			return nil, err
		}
	}
	err := ordered(ctx, len(p.files), footerReaders, func(ctx context.Context, _, i int) error { return p.open(ctx, i) }, nil)
	if err != nil {
		var bug *panicError
		if errors.As(err, &bug) {
			return nil, &Error{Kind: BadData, RowGroup: -1, Row: -1, Err: err}
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
	if err := p.checkIDs(); err != nil {
		return nil, err
	}
	for i := range p.files {
		p.files[i].leaves = nil
	}
	return p, nil
}

// list resolves the globs of a source.
func (p *Plan) list(ctx context.Context, source int) error {
	s := &p.sources[source]
	seen := map[string]bool{}
	var infos []storage.Info
	for _, glob := range s.Paths {
		found, err := p.fsys.Glob(ctx, glob)
		if err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("scan: %s: %w", glob, err)
			}
			if errors.Is(err, path.ErrBadPattern) {
				return configError(s.Name, "path %q: %w", glob, err)
			}
			return &Error{Kind: Transient, Source: s.Name, RowGroup: -1, Row: -1, Err: fmt.Errorf("cannot list %q: %w", glob, err)}
		}
		if len(found) == 0 {
			p.Warnings = append(p.Warnings, fmt.Sprintf("source %s: no file matches %q", s.Name, glob))
		}
		for _, info := range found {
			if !seen[info.Path] {
				seen[info.Path] = true
				infos = append(infos, info)
			}
		}
	}
	if len(infos) == 0 {
		return &Error{Kind: NoInput, Source: s.Name, RowGroup: -1, Row: -1, Err: fmt.Errorf("no file matches %q", s.Paths)}
	}
	slices.SortFunc(infos, func(a, b storage.Info) int { return strings.Compare(a.Path, b.Path) })
	for _, info := range infos {
		p.Files = append(p.Files, File{Source: s.Name, Path: info.Path, Size: info.Size, ModTime: info.ModTime})
		p.files = append(p.files, planFile{source: source})
	}
	return nil
}

// open reads the footer of file i and finds its columns.
func (p *Plan) open(ctx context.Context, i int) error {
	file, f := &p.Files[i], &p.files[i]
	fail := func(rowGroup int, column string, err error) error {
		return fileError(file.Source, file.Path, rowGroup, column, err)
	}
	footer, err := p.footer(ctx, i)
	if err != nil {
		return err
	}
	file.Rows, file.RowGroups, file.Footer = footer.Rows, len(footer.RowGroups), footer.Hash
	src := &p.sources[f.source]
	for l := range footer.Leaves {
		f.leaves = append(f.leaves, footer.Leaves[l].Name())
	}
	keys := partitions(file.Path)
	leaf := make([]int, len(p.fields[f.source]))
	for k, field := range p.fields[f.source] {
		name := src.Columns[field]
		leaf[k] = findLeaf(footer.Leaves, name)
		var col fileCol
		switch at := slices.IndexFunc(keys, func(p partitionKey) bool { return p.key == name }); {
		case leaf[k] >= 0:
			l := &footer.Leaves[leaf[k]]
			col.typ = describe(l)
			if l.Repeated {
				return p.misfit(i, name, "it is %s: an event has one %v; unnest it", col.typ.name, field)
			}
			if why := col.typ.accepts(field); why != "" {
				return p.misfit(i, name, "it is %s: %s", col.typ.name, why)
			}
			col.path = l.Path
			if col.typ.null {
				col = fileCol{typ: partitionType, null: true}
				leaf[k] = -1
			}
		case at >= 0:
			col = fileCol{typ: partitionType, constant: keys[at].value, null: keys[at].null}
		case isGroup(footer.Leaves, name):
			return p.misfit(i, name, "it is a group; name a column in it, as %s.x", name)
		default:
			col = fileCol{typ: partitionType, null: true, missing: true}
		}
		f.cols = append(f.cols, col)
	}
	first := int64(0)
	for g := range footer.RowGroups {
		rg := rowGroup{rows: footer.RowGroups[g].Rows, first: first, chunks: make([]pages.Chunk, len(leaf))}
		first += rg.rows
		for k, l := range leaf {
			if l < 0 {
				continue
			}
			if rg.chunks[k], err = footer.Chunk(g, l, file.Size); err != nil {
				return fail(g, footer.Leaves[l].Name(), err)
			}
			if p.fields[f.source][k] == datasets.EventTime {
				rg.times = statistics(&footer.RowGroups[g].Columns[l].MetaData, footer.Leaves[l].MaxDef == 0)
			}
		}
		f.groups = append(f.groups, rg)
	}
	return nil
}

// footer reads the footer of file i.
func (p *Plan) footer(ctx context.Context, i int) (*pages.Footer, error) {
	file := &p.Files[i]
	r, err := p.fsys.Open(ctx, file.Path)
	if err != nil {
		return nil, fileError(file.Source, file.Path, -1, "", asIO(err))
	}
	defer r.Close()
	file.Size = r.Size()
	var footer *pages.Footer
	if err := guard(func() (err error) { footer, err = pages.ReadFooter(r, file.Size); return err }); err != nil {
		return nil, fileError(file.Source, file.Path, -1, "", err)
	}
	return footer, nil
}

// asIO marks an error of the storage as such.
func asIO(err error) error { return &pages.IOError{Err: err} }

// statistics is the range of an integer column by its footer.
func statistics(m *pages.ColumnMetaData, required bool) timeRange {
	s := &m.Statistics
	if s.NullCount.V != 0 || !s.NullCount.Valid && !required {
		return timeRange{}
	}
	switch {
	case m.Type == format.Int64 && len(s.MinValue) == 8 && len(s.MaxValue) == 8:
		return timeRange{true, int64(binary.LittleEndian.Uint64(s.MinValue)), int64(binary.LittleEndian.Uint64(s.MaxValue))}
	case m.Type == format.Int32 && len(s.MinValue) == 4 && len(s.MaxValue) == 4:
		return timeRange{true, int64(int32(binary.LittleEndian.Uint32(s.MinValue))), int64(int32(binary.LittleEndian.Uint32(s.MaxValue)))}
	}
	return timeRange{}
}

// after says whether all events of a row group are at or after before: certain,
// by statistics and without looking at rows.
func (r *timeRange) after(t *colType, unit Unit, before int64) bool {
	if !r.known || before == math.MaxInt64 || t.unsigned || r.min > r.max {
		return false
	}
	scale, slack := int64(1), int64(0)
	switch {
	case t.kind == KindTimestamp && !t.int96:
		unit = t.unit
		if !t.utc {
			// No zone is further than a day from UTC.
			slack = 86_400_000_000
		}
	case t.kind == KindDate:
		unit, slack, scale = UnitMicro, 86_400_000_000, 86_400_000_000
	case t.kind == KindInt32 || t.kind == KindInt64:
	default:
		return false
	}
	div := int64(1)
	switch unit {
	case UnitSecond:
		scale = 1_000_000
	case UnitMilli:
		scale = 1000
	case UnitMicro:
	case UnitNano:
		div = 1000
	default:
		return false
	}
	lo, okLo := scaled(r.min, scale, div)
	hi, okHi := scaled(r.max, scale, div)
	return okLo && okHi && lexical.InRange(hi+slack) && lexical.InRange(lo-slack) && lo-slack >= before
}

// scaled is v·mul/div, rounded down; false when that is out of all range.
func scaled(v, mul, div int64) (int64, bool) {
	if mul > 1 && (v > math.MaxInt64/mul || v < math.MinInt64/mul) {
		return 0, false
	}
	v *= mul
	if div > 1 {
		q := v / div
		if v%div < 0 {
			q--
		}
		v = q
	}
	return v, true
}

// misfit is a Config error about a column of file i.
func (p *Plan) misfit(i int, column, formatText string, args ...any) error {
	f := &p.Files[i]
	return &Error{Kind: Config, Source: f.Source, File: f.Path, RowGroup: -1, Column: column, Row: -1, Err: fmt.Errorf(formatText, args...)}
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
				if p.files[i].source == s && p.files[i].cols[k].missing {
					if lacking++; first < 0 {
						first = i
					}
				}
			}
			required := field == datasets.CustomerID || field == datasets.EventTime
			switch {
			case lacking == 0:
			case lacking == total || required:
				return p.missing(first, name, field)
			default:
				p.Warnings = append(p.Warnings, fmt.Sprintf("source %s: column %q (%v) is missing in %d of %d files, first %s: null there",
					src.Name, name, field, lacking, total, p.Files[first].Path))
			}
		}
	}
	return nil
}

func (p *Plan) missing(i int, name string, field datasets.Field) error {
	names := slices.Clone(p.files[i].leaves)
	for _, k := range partitions(p.Files[i].Path) {
		names = append(names, k.key)
	}
	hint := ""
	if n := nearest(names, name); n != "" {
		hint = fmt.Sprintf("; did you mean %q?", n)
	}
	sort.Strings(names)
	more := ""
	if len(names) > 60 {
		more = fmt.Sprintf(" and %d more", len(names)-60)
		names = names[:60]
	}
	return p.misfit(i, name, "the file has no such column or partition key, which is mapped to %v%s (it has %s%s)",
		field, hint, strings.Join(names, ", "), more)
}

// checkIDs finds the one type that all customer ids have.
func (p *Plan) checkIDs() error {
	first := -1
	for i := range p.files {
		f := &p.files[i]
		k := slices.Index(p.fields[f.source], datasets.CustomerID)
		col := &f.cols[k]
		if col.path == nil && col.null {
			continue
		}
		t := col.typ.idType()
		unified, ok := unifyID(p.IDType, t)
		if !ok {
			return p.misfit(i, p.sources[f.source].Columns[datasets.CustomerID],
				"customer ids are %v here and %v in %s; make the types agree, or join the sources through an identity table of one type",
				t, p.IDType, p.Files[first].Path)
		}
		if first < 0 {
			first = i
		}
		p.IDType = unified
	}
	if p.IDType.Kind == datasets.IDUnknown {
		p.IDType = datasets.IDType{Kind: datasets.IDString} // every id is null; the type is moot
	}
	return nil
}
