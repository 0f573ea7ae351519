package scan

import (
	"bytes"
	"cmp"
	"context"
	"math"
	"math/big"
	"runtime"
	"slices"
	"strings"

	"github.com/shoal-data/shoal/datasets/scan/internal/pages"
	"github.com/shoal-data/shoal/datasets/storage"
)

// Kind says what a Parquet column holds, whatever its physical encoding.
type Kind uint8

// The kinds of column.
const (
	KindOther     Kind = iota // nothing an event can be read from: lists, maps, intervals, geometry …
	KindBool                  // BOOLEAN
	KindInt32                 // integers, signed or not, that fit 32 bits signed
	KindInt64                 // all other integers
	KindFloat                 // FLOAT, DOUBLE
	KindDecimal               // DECIMAL over INT32, INT64, FIXED or BYTE_ARRAY
	KindString                // UTF-8 text, enums, JSON, and partition keys in the path
	KindBytes                 // BYTE_ARRAY without annotation
	KindFixed                 // FIXED_LEN_BYTE_ARRAY, UUID
	KindTimestamp             // TIMESTAMP in ms, µs or ns, and INT96
	KindDate                  // DATE
	KindTime                  // time of day
)

var kindNames = [...]string{
	"other", "bool", "int32", "int64", "float", "decimal", "string", "bytes", "fixed", "timestamp", "date", "time",
}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// A Profile is what Inspect found in files never seen before.
type Profile struct {
	Files       int             // files the globs matched
	Rows        int64           // rows in them
	SampledRows int64           // rows that the figures of Columns are drawn from
	Columns     []ColumnProfile // in the order of the first file that has the column, partition keys last
}

// A ColumnProfile describes one column over all files. Rows, Nulls, Distinct,
// Min, Max and Top are over the sampled rows.
type ColumnProfile struct {
	Path      string // column name, dotted for a column within groups; the key of a partition
	Kind      Kind   // of the first file that has the column
	Type      string // the Parquet type spelt out; several, joined by " | ", when files differ
	Partition bool   // a key=value directory of the path, not a column of the files
	Files     int    // files that have the column
	Rows      int64  // of a partition key: all rows
	Nulls     int64
	Distinct  int          // distinct values; 65,536 means at least as many
	Min, Max  string       // in the order of the type; "" when every value is null
	Top       []ValueCount // most frequent first, ties by value
}

// A ValueCount is a value, as text, and how many sampled rows hold it.
type ValueCount struct {
	Value string
	Count int64
}

// InspectOptions bounds what Inspect reads.
type InspectOptions struct {
	MaxRows int64 // rows sampled, over row groups spread through the files; ≥ 1
}

// DefaultInspectOptions samples 2,000,000 rows.
func DefaultInspectOptions() InspectOptions { return InspectOptions{MaxRows: 2_000_000} }

// Inspect profiles the columns of the files that the globs match. It reads at
// most opts.MaxRows rows, the first ones of up to inspectGroups row groups spread
// evenly over all files. The result does not depend on the number of processors.
func Inspect(ctx context.Context, fsys storage.FS, globs []string, opts InspectOptions) (Profile, error) {
	if opts.MaxRows < 1 {
		return Profile{}, configError("", "InspectOptions.MaxRows (%d) must be >= 1", opts.MaxRows)
	}
	p := &Plan{fsys: fsys, sources: []Source{{Paths: globs}}}
	if err := p.list(ctx, 0); err != nil {
		return Profile{}, err
	}
	files := make([]inspected, len(p.Files))
	err := ordered(ctx, len(files), footerReaders, func(ctx context.Context, _, i int) error {
		footer, err := p.footer(ctx, i)
		if err != nil {
			return err
		}
		f := &files[i]
		for g := range footer.RowGroups {
			f.rows = append(f.rows, footer.RowGroups[g].Rows)
		}
		for l := range footer.Leaves {
			f.columns = append(f.columns, inspectedColumn{footer.Leaves[l].Name(), describe(&footer.Leaves[l]), footer.Leaves[l].Repeated})
		}
		return nil
	}, nil)
	if err != nil {
		return Profile{}, err
	}
	out := Profile{Files: len(files)}
	parts := pickGroups(files, opts.MaxRows)
	for _, part := range parts {
		out.SampledRows += part.take
	}
	// The chunks of the picked row groups only: a lake has too many to hold.
	for i := range parts {
		part := &parts[i]
		if i > 0 && parts[i-1].file == part.file {
			part.footer = parts[i-1].footer
			continue
		}
		if part.footer, err = p.footer(ctx, part.file); err != nil {
			return Profile{}, err
		}
	}
	at := map[string]int{}
	rows := make([]int64, len(files))
	for i := range files {
		for _, n := range files[i].rows {
			rows[i] += n
		}
		out.Rows += rows[i]
		for _, c := range files[i].columns {
			k, known := at[c.name]
			if !known {
				k = len(out.Columns)
				at[c.name] = k
				out.Columns = append(out.Columns, ColumnProfile{Path: c.name, Kind: c.typ.kind, Type: c.typ.name})
			}
			col := &out.Columns[k]
			col.Files++
			if !slices.Contains(strings.Split(col.Type, " | "), c.typ.name) {
				col.Type += " | " + c.typ.name
			}
		}
	}
	err = ordered(ctx, len(out.Columns), runtime.GOMAXPROCS(0), func(ctx context.Context, _, i int) error {
		return p.profile(ctx, &out.Columns[i], parts, files)
	}, nil)
	if err != nil {
		return Profile{}, err
	}
	out.Columns = append(out.Columns, profilePartitions(p.Files, rows)...)
	return out, nil
}

const (
	inspectGroups = 128
	maxDistinct   = 1 << 16 // values counted one by one
	topValues     = 20
)

type inspected struct {
	rows    []int64 // by row group
	columns []inspectedColumn
}

type inspectedColumn struct {
	name     string
	typ      colType
	repeated bool
}

// A part is the first rows of a row group.
type part struct {
	file, group int
	take        int64
	footer      *pages.Footer
}

// pickGroups spreads a sample of at most most rows.
func pickGroups(files []inspected, most int64) []part {
	var all []part
	for i := range files {
		for g, n := range files[i].rows {
			if n > 0 {
				all = append(all, part{file: i, group: g, take: n})
			}
		}
	}
	if n := len(all); n > inspectGroups {
		for i := range inspectGroups {
			all[i] = all[i*n/inspectGroups]
		}
		all = all[:inspectGroups]
	}
	total := int64(0)
	for _, p := range all {
		total += p.take
	}
	if total <= most {
		return all
	}
	// Shares by cumulative rows, so that they add up to the limit exactly.
	share := func(rows int64) int64 { return int64(float64(rows) / float64(total) * float64(most)) }
	seen := int64(0)
	kept := all[:0]
	for _, p := range all {
		take := min(p.take, share(seen+p.take)-share(seen))
		seen += p.take
		if p.take = take; take > 0 {
			kept = append(kept, p)
		}
	}
	return kept
}

// profile reads one column of the parts.
func (p *Plan) profile(ctx context.Context, col *ColumnProfile, parts []part, files []inspected) error {
	pr := profiler{counts: map[string]int64{}}
	var c column
	var f storage.File
	defer func() {
		if f != nil {
			f.Close()
		}
	}()
	open := -1
	for _, part := range parts {
		k := slices.IndexFunc(files[part.file].columns, func(c inspectedColumn) bool { return c.name == col.Path })
		if k < 0 || files[part.file].columns[k].repeated {
			continue
		}
		file := &p.Files[part.file]
		fail := func(err error) error { return fileError("", file.Path, part.group, col.Path, err) }
		if open != part.file {
			if f != nil {
				f.Close()
				f = nil
			}
			var err error
			if f, err = p.fsys.Open(ctx, file.Path); err != nil {
				return fail(asIO(err))
			}
			open = part.file
		}
		err := guard(func() error {
			chunk, err := part.footer.Chunk(part.group, k, file.Size)
			if err != nil {
				return err
			}
			c.open(&Source{}, &fileCol{typ: files[part.file].columns[k].typ, path: []string{col.Path}})
			c.reader.Reset(f, chunk)
			for left := part.take; left > 0; {
				if err := ctx.Err(); err != nil {
					return err
				}
				n, err := c.available(int(min(left, segment)))
				if err != nil {
					return err
				}
				if err := c.next(n); err != nil {
					return err
				}
				pr.add(&c)
				left -= int64(n)
			}
			pr.fold(&c)
			return nil
		})
		if err != nil {
			return fail(err)
		}
	}
	pr.finish(col)
	return nil
}

// A profiler counts the values of a column.
type profiler struct {
	rows, nulls int64
	counts      map[string]int64
	full        bool // more values than are counted one by one
	low, high   bound

	generation int // of the dictionary that uses is about; 0 is none
	uses       []int64
	text       []byte
}

// A bound is the least or greatest value.
type bound struct {
	set  bool
	num  *big.Rat
	i    int64
	f    float64
	b    []byte
	text string
}

func (p *profiler) add(c *column) {
	run := c.run
	p.rows += int64(run.Rows)
	if run.Dict != nil {
		if c.fresh() || p.generation != run.Dict.Generation || len(p.uses) != run.Dict.Len {
			p.uses = make([]int64, run.Dict.Len)
			p.generation = run.Dict.Generation
		}
	}
	for i := range run.Rows {
		switch {
		case c.null(i):
			p.nulls++
		case run.Dict != nil:
			p.uses[run.Index[i]]++
		default:
			p.count(c, &run.Values, i, 1)
		}
	}
}

// fold counts what the dictionary of a chunk was used for. It must come before the
// next chunk.
func (p *profiler) fold(c *column) {
	for i, n := range p.uses {
		if n > 0 {
			p.count(c, c.reader.Dictionary(), i, n)
		}
	}
	p.uses, p.generation = nil, 0
}

func (p *profiler) count(c *column, v *pages.Values, i int, n int64) {
	p.low.offer(c, v, i, -1)
	p.high.offer(c, v, i, 1)
	p.text = c.text(p.text[:0], v, i)
	if len(p.text) > maxSampleText {
		p.text = p.text[:maxSampleText]
	}
	switch _, known := p.counts[string(p.text)]; {
	case known:
		p.counts[string(p.text)] += n
	case len(p.counts) < maxDistinct:
		p.counts[string(p.text)] = n
	default:
		p.full = true
	}
}

// offer takes the value when it is beyond the bound in the direction of sign.
func (b *bound) offer(c *column, v *pages.Values, i int, sign int) {
	next := bound{set: true}
	order := 0
	switch {
	case c.typ.kind == KindDecimal:
		next.num, _ = new(big.Rat).SetString(string(c.text(nil, v, i)))
		if b.set {
			order = next.num.Cmp(b.number())
		}
	case c.typ.int96:
		next.i = int96Time(v.Bytes(i))
		order = cmp.Compare(next.i, b.i)
	case v.Ints != nil && c.typ.unsigned && c.typ.bits == 64:
		next.i = v.Ints[i]
		order = cmp.Compare(uint64(next.i), uint64(b.i))
	case v.Ints != nil:
		next.i, _ = c.integer(v.Ints[i])
		order = cmp.Compare(next.i, b.i)
	case v.Floats != nil:
		if next.f = v.Floats[i]; math.IsNaN(next.f) {
			return // NaN has no place in the order
		}
		order = cmp.Compare(next.f, b.f)
	default:
		next.b = v.Bytes(i)
		order = bytes.Compare(next.b, b.b)
	}
	if b.set && order*sign <= 0 {
		return
	}
	next.b = bytes.Clone(next.b)
	next.text = sampleText(c.text(nil, v, i))
	*b = next
}

func (b *bound) number() *big.Rat {
	if b.num == nil {
		return new(big.Rat)
	}
	return b.num
}

func (p *profiler) finish(col *ColumnProfile) {
	col.Rows, col.Nulls, col.Distinct = p.rows, p.nulls, len(p.counts)
	col.Min, col.Max = p.low.text, p.high.text
	for v, n := range p.counts {
		col.Top = append(col.Top, ValueCount{sampleText([]byte(v)), n})
	}
	col.Top = topOf(col.Top)
}

func topOf(all []ValueCount) []ValueCount {
	slices.SortFunc(all, func(a, b ValueCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Value, b.Value))
	})
	return slices.Clone(all[:min(len(all), topValues)])
}

// profilePartitions profiles the keys of the paths, over all rows.
func profilePartitions(files []File, rows []int64) []ColumnProfile {
	var out []ColumnProfile
	counts := map[string]map[string]int64{}
	for i := range files {
		for _, k := range partitions(files[i].Path) {
			at := slices.IndexFunc(out, func(c ColumnProfile) bool { return c.Path == k.key })
			if at < 0 {
				at = len(out)
				out = append(out, ColumnProfile{Path: k.key, Kind: KindString, Type: partitionType.name, Partition: true})
				counts[k.key] = map[string]int64{}
			}
			c := &out[at]
			c.Files++
			c.Rows += rows[i]
			if k.null {
				c.Nulls += rows[i]
				continue
			}
			counts[k.key][k.value] += rows[i]
		}
	}
	for i := range out {
		c := &out[i]
		for v, n := range counts[c.Path] {
			c.Top = append(c.Top, ValueCount{v, n})
			if c.Distinct++; c.Distinct == 1 {
				c.Min, c.Max = v, v
			}
			c.Min, c.Max = min(c.Min, v), max(c.Max, v)
		}
		c.Top = topOf(c.Top)
	}
	return out
}
