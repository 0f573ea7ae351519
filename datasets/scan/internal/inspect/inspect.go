// Package inspect profiles the columns of Parquet files never seen before: their
// types, and the nulls, bounds and most frequent values of a sample of rows.
package inspect

import (
	"bytes"
	"cmp"
	"context"
	"math"
	"math/big"
	"runtime"
	"slices"
	"strings"

	"github.com/shoal-data/shoal/datasets/scan/internal/column"
	"github.com/shoal-data/shoal/datasets/scan/internal/encoding"
	"github.com/shoal-data/shoal/datasets/scan/internal/fault"
	"github.com/shoal-data/shoal/datasets/scan/internal/files"
	"github.com/shoal-data/shoal/datasets/scan/internal/footer"
	"github.com/shoal-data/shoal/datasets/scan/internal/lexical"
	"github.com/shoal-data/shoal/datasets/scan/internal/ordered"
	"github.com/shoal-data/shoal/datasets/storage"
)

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
	Path      string      // column name, dotted for a column within groups; the key of a partition
	Kind      column.Kind // of the first file that has the column
	Type      string      // the Parquet type spelt out; several, joined by " | ", when files differ
	Partition bool        // a key=value directory of the path, not a column of the files
	Files     int         // files that have the column
	Rows      int64       // of a partition key: all rows
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

// Options bounds what Inspect reads.
type Options struct {
	MaxRows int64 // rows sampled, over row groups spread through the files; ≥ 1
}

// DefaultOptions samples 2,000,000 rows.
func DefaultOptions() Options { return Options{MaxRows: 2_000_000} }

// Files profiles the columns of the files that the globs match. It reads at most
// opts.MaxRows rows, the first ones of up to 128 row groups spread evenly over all
// files. The result does not depend on the number of processors.
func Files(ctx context.Context, fsys storage.FS, globs []string, opts Options) (Profile, error) {
	if opts.MaxRows < 1 {
		return Profile{}, fault.InSource(fault.Config, "", "InspectOptions.MaxRows (%d) must be >= 1", opts.MaxRows)
	}
	list, _, err := files.List(ctx, fsys, "", globs)
	if err != nil {
		return Profile{}, err
	}
	contents := make([]content, len(list))
	err = ordered.Run(ctx, len(list), files.AtOnce, func(ctx context.Context, _, i int) error {
		foot, err := list[i].ReadFooter(ctx, fsys)
		if err != nil {
			return err
		}
		c := &contents[i]
		for g := range foot.RowGroups {
			c.rows = append(c.rows, foot.RowGroups[g].Rows)
		}
		for l := range foot.Leaves {
			leaf := &foot.Leaves[l]
			c.columns = append(c.columns, columnType{leaf.Name(), column.Describe(leaf), leaf.Repeated})
		}
		return nil
	}, nil)
	if err != nil {
		return Profile{}, err
	}
	out := Profile{Files: len(list)}
	in := input{fsys: fsys, files: list, contents: contents, parts: pickParts(contents, opts.MaxRows)}
	for i := range in.parts {
		out.SampledRows += in.parts[i].take
	}
	// The chunks of the picked row groups only: a lake has too many to hold.
	for i := range in.parts {
		part := &in.parts[i]
		if i > 0 && in.parts[i-1].file == part.file {
			part.footer = in.parts[i-1].footer
			continue
		}
		if part.footer, err = list[part.file].ReadFooter(ctx, fsys); err != nil {
			return Profile{}, err
		}
	}
	at := map[string]int{}
	rows := make([]int64, len(list))
	for i := range contents {
		for _, n := range contents[i].rows {
			rows[i] += n
		}
		out.Rows += rows[i]
		for _, c := range contents[i].columns {
			k, known := at[c.name]
			if !known {
				k = len(out.Columns)
				at[c.name] = k
				out.Columns = append(out.Columns, ColumnProfile{Path: c.name, Kind: c.typ.Kind, Type: c.typ.Name})
			}
			col := &out.Columns[k]
			col.Files++
			if !slices.Contains(strings.Split(col.Type, " | "), c.typ.Name) {
				col.Type += " | " + c.typ.Name
			}
		}
	}
	err = ordered.Run(ctx, len(out.Columns), runtime.GOMAXPROCS(0), func(ctx context.Context, _, i int) error {
		return in.profile(ctx, &out.Columns[i])
	}, nil)
	if err != nil {
		return Profile{}, err
	}
	out.Columns = append(out.Columns, profilePartitions(list, rows)...)
	return out, nil
}

const (
	maxGroups   = 128     // row groups read
	maxDistinct = 1 << 16 // values counted one by one
	topValues   = 20
)

// content is what a file holds, by its footer.
type content struct {
	rows    []int64 // by row group
	columns []columnType
}

type columnType struct {
	name     string
	typ      column.Type
	repeated bool
}

// input is what is profiled.
type input struct {
	fsys     storage.FS
	files    []files.File
	contents []content // by file
	parts    []part    // by file
}

// A part is the first rows of a row group.
type part struct {
	file, group int
	take        int64
	footer      *footer.Footer
}

// pickParts spreads a sample of at most most rows.
func pickParts(contents []content, most int64) []part {
	var all []part
	for i := range contents {
		for g, n := range contents[i].rows {
			if n > 0 {
				all = append(all, part{file: i, group: g, take: n})
			}
		}
	}
	if n := len(all); n > maxGroups {
		for i := range maxGroups {
			all[i] = all[i*n/maxGroups]
		}
		all = all[:maxGroups]
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
func (in *input) profile(ctx context.Context, col *ColumnProfile) error {
	pr := profiler{counts: map[string]int64{}}
	var c column.Reader
	var f storage.File
	defer func() {
		if f != nil {
			f.Close()
		}
	}()
	open := -1
	for _, part := range in.parts {
		columns := in.contents[part.file].columns
		k := slices.IndexFunc(columns, func(c columnType) bool { return c.name == col.Path })
		if k < 0 || columns[k].repeated {
			continue
		}
		file := &in.files[part.file]
		fail := func(err error) error { return fault.InFile("", file.Path, part.group, col.Path, err) }
		if open != part.file {
			if f != nil {
				f.Close()
				f = nil
			}
			var err error
			if f, err = in.fsys.Open(ctx, file.Path); err != nil {
				return fail(&fault.StorageError{Err: err})
			}
			open = part.file
		}
		err := ordered.Guard(func() error {
			chunk, err := part.footer.Chunk(part.group, k, file.Size)
			if err != nil {
				return err
			}
			c.Open(&column.Binding{Type: columns[k].typ, Path: []string{col.Path}}, f, chunk)
			for left := part.take; left > 0; {
				if err := ctx.Err(); err != nil {
					return err
				}
				n, err := c.Available(int(min(left, column.SegmentRows)))
				if err != nil {
					return err
				}
				if err := c.Next(n); err != nil {
					return err
				}
				pr.add(&c)
				left -= int64(n)
			}
			pr.countDictionary(&c)
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

func (p *profiler) add(c *column.Reader) {
	run := c.Run
	p.rows += int64(run.Rows)
	if run.Dict != nil {
		if p.generation != run.Dict.Generation {
			p.uses = make([]int64, run.Dict.Len)
			p.generation = run.Dict.Generation
		}
	}
	for i := range run.Rows {
		switch {
		case c.Null(i):
			p.nulls++
		case run.Dict != nil:
			p.uses[run.Index[i]]++
		default:
			p.count(c, &run.Values, i, 1)
		}
	}
}

// countDictionary counts what the dictionary of a chunk was used for. It must come before the
// next chunk.
func (p *profiler) countDictionary(c *column.Reader) {
	for i, n := range p.uses {
		if n > 0 {
			p.count(c, c.Dictionary(), i, n)
		}
	}
	p.uses, p.generation = nil, 0
}

func (p *profiler) count(c *column.Reader, v *encoding.Values, i int, n int64) {
	p.low.offer(c, v, i, -1)
	p.high.offer(c, v, i, 1)
	p.text = c.AppendText(p.text[:0], v, i)
	if len(p.text) > lexical.MaxShown {
		p.text = p.text[:lexical.MaxShown]
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
func (b *bound) offer(c *column.Reader, v *encoding.Values, i int, sign int) {
	next := bound{set: true}
	order := 0
	switch {
	case c.Type.Kind == column.KindDecimal:
		next.num, _ = new(big.Rat).SetString(string(c.AppendText(nil, v, i)))
		if b.set {
			order = next.num.Cmp(b.number())
		}
	case c.Type.INT96:
		next.i = column.INT96Time(v.Bytes(i))
		order = cmp.Compare(next.i, b.i)
	case v.Ints != nil && c.Type.Unsigned && c.Type.Bits == 64:
		next.i = v.Ints[i]
		order = cmp.Compare(uint64(next.i), uint64(b.i))
	case v.Ints != nil:
		next.i, _ = c.Integer(v.Ints[i])
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
	next.text = lexical.Shown(c.AppendText(nil, v, i))
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
		col.Top = append(col.Top, ValueCount{lexical.Shown([]byte(v)), n})
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
func profilePartitions(list []files.File, rows []int64) []ColumnProfile {
	var out []ColumnProfile
	counts := map[string]map[string]int64{}
	for i := range list {
		for _, k := range files.PartitionKeys(list[i].Path) {
			at := slices.IndexFunc(out, func(c ColumnProfile) bool { return c.Path == k.Key })
			if at < 0 {
				at = len(out)
				out = append(out, ColumnProfile{Path: k.Key, Kind: column.KindString, Type: column.PartitionKey.Name, Partition: true})
				counts[k.Key] = map[string]int64{}
			}
			c := &out[at]
			c.Files++
			c.Rows += rows[i]
			if k.Null {
				c.Nulls += rows[i]
				continue
			}
			counts[k.Key][k.Value] += rows[i]
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
