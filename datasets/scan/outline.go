package scan

import (
	"slices"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan/internal/column"
	"github.com/shoal-data/shoal/datasets/scan/internal/footer"
)

// Outline says, source by source, what Read would read of a history that ends
// before an instant. It looks at no row.
func (p *Plan) Outline(before int64) []SourceOutline {
	out := make([]SourceOutline, len(p.sources))
	for s := range p.sources {
		out[s].Source = p.sources[s].Name
		for _, f := range p.fields[s] {
			out[s].Columns = append(out[s].Columns, ColumnOutline{Field: f, Name: p.sources[s].Columns[f]})
		}
	}
	for i := range p.files {
		f := &p.files[i]
		o := &out[f.source]
		o.Files++
		o.Bytes += p.Files[i].Size
		for k := range f.cols {
			if f.cols[k].Path != nil {
				o.Columns[k].FilesHaving++
			} else if !f.cols[k].Missing {
				o.Columns[k].FilesByPath++
			}
		}
		for g := range f.groups {
			rg := &f.groups[g]
			if rg.rows == 0 {
				o.RowGroups++
				continue
			}
			if p.groupAfter(i, g, before) {
				o.Skip(rg.rows)
				continue
			}
			for k := range rg.chunks {
				o.Columns[k].Bytes += rg.chunks[k].Length
			}
			first, last, known := p.groupTimes(i, g)
			o.Read(rg.rows, first, last, known)
		}
	}
	return out
}

// groupTimes are the earliest and the latest time of a row group, to the day,
// when they are known without reading it.
func (p *Plan) groupTimes(file, group int) (first, last int64, known bool) {
	f := &p.files[file]
	src := &p.sources[f.source]
	col := &f.cols[slices.Index(p.fields[f.source], datasets.EventTime)]
	if col.Path != nil {
		first, last, _, known = f.groups[group].times.Bounds(&col.Type, src.TimeUnit)
		return first, last, known
	}
	t := src.constantTime(col)
	return t, t, t > column.BadTime
}

// constantTime is the time of all rows of a file whose path says it.
func (s *Source) constantTime(col *column.Binding) int64 {
	c := column.NewReader(datasets.EventTime, s.conventions())
	c.Open(col, nil, footer.Chunk{})
	if err := c.Next(1); err != nil {
		return column.BadTime
	}
	var t [1]int64
	c.Times(t[:])
	return t[0]
}
