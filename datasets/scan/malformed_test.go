package scan_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
	"github.com/zeebo/xxh3"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/datasets/scan/internal/compact"
	"github.com/shoal-data/shoal/datasets/scan/internal/ordered"
)

// A model is a Parquet file taken apart, so that one thing can be made wrong and all
// else be right.
type model struct {
	meta   format.FileMetaData
	groups [][][]pageModel // by row group and column
}

type pageModel struct {
	head format.PageHeader
	body []byte // as stored
}

func thriftBytes(v any) []byte {
	b, err := thrift.Marshal(new(thrift.CompactProtocol), v)
	if err != nil {
		panic(err)
	}
	return b
}

func parseMeta(t testing.TB, foot []byte) (m format.FileMetaData) {
	t.Helper()
	if err := thrift.Unmarshal(new(thrift.CompactProtocol), foot, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// parseModel takes a sound file apart.
func parseModel(t testing.TB, data []byte) *model {
	t.Helper()
	_, foot := split(data)
	m := &model{meta: parseMeta(t, foot)}
	for g := range m.meta.RowGroups {
		var columns [][]pageModel
		for c := range m.meta.RowGroups[g].Columns {
			md := &m.meta.RowGroups[g].Columns[c].MetaData
			at := md.DataPageOffset
			if d := md.DictionaryPageOffset; d > 0 && d < at {
				at = d
			}
			var pages []pageModel
			for end := at + md.TotalCompressedSize; at < end; {
				cur := compact.NewCursor(data[at:end])
				cur.Fields(0, func(int, byte) bool { return false })
				var p pageModel
				if err := thrift.Unmarshal(new(thrift.CompactProtocol), data[at:at+int64(cur.At())], &p.head); err != nil || cur.Err() != nil {
					t.Fatal(err, cur.Err())
				}
				at += int64(cur.At())
				p.body = data[at : at+int64(p.head.CompressedPageSize)]
				at += int64(len(p.body))
				pages = append(pages, p)
			}
			columns = append(columns, pages)
		}
		m.groups = append(m.groups, columns)
	}
	return m
}

// build puts the file together; where chunks lie follows from what they hold.
func (m *model) build() []byte {
	return m.buildWith(nil)
}

// buildWith is build with a change to the finished footer.
func (m *model) buildWith(change func(*format.FileMetaData)) []byte {
	var body []byte
	for g := range m.groups {
		for c := range m.groups[g] {
			cc := &m.meta.RowGroups[g].Columns[c]
			cc.OffsetIndexOffset, cc.OffsetIndexLength, cc.ColumnIndexOffset, cc.ColumnIndexLength = 0, 0, 0, 0
			md := &cc.MetaData
			md.BloomFilterOffset, md.BloomFilterLength, md.DictionaryPageOffset, md.DataPageOffset = 0, 0, 0, 0
			start := int64(4 + len(body))
			for i := range m.groups[g][c] {
				p := &m.groups[g][c][i]
				if p.head.Type == format.DictionaryPage && i == 0 {
					md.DictionaryPageOffset = int64(4 + len(body))
				} else if md.DataPageOffset == 0 {
					md.DataPageOffset = int64(4 + len(body))
				}
				body = append(append(body, thriftBytes(&p.head)...), p.body...)
			}
			if md.DataPageOffset == 0 {
				md.DataPageOffset = int64(4 + len(body))
			}
			md.TotalCompressedSize = int64(4+len(body)) - start
		}
	}
	if change != nil {
		change(&m.meta)
	}
	return join(body, thriftBytes(&m.meta))
}

// plainDictionary is the old name of a dictionary's encoding, in either of its pages.
const plainDictionary format.Encoding = 2

// An outcome is what reading a malformed file must end in.
type outcome int

const (
	refused  outcome = iota // an error that names the file and, of a chunk, row group and column
	same                    // the same events: what was changed does not matter
	harmless                // either
	hidden                  // nothing in the file reveals it; other events may be read
)

// A malformed file.
type malformed struct {
	name   string
	data   []byte
	want   outcome
	group  int    // at fault; -1 where the whole file is
	column string // at fault
}

// corrupter makes malformed files of one sound file.
type corrupter struct {
	t    *testing.T
	data []byte
	rng  *rand.Rand
	out  []malformed
}

func (k *corrupter) add(want outcome, data []byte, name string, args ...any) {
	k.out = append(k.out, malformed{fmt.Sprintf(name, args...), data, want, -1, ""})
}

// file damages the file as disks, transfers and copying do.
func (k *corrupter) file() {
	d := k.data
	n := len(d)
	_, foot := split(d)
	at := n - 8 - len(foot)
	for _, size := range []int{0, 3, 4, 8, 11, n / 4, n / 2, at, at + len(foot)/2, n - 8, n - 4, n - 1} {
		k.add(refused, d[:size], "cut to %d bytes", size)
	}
	k.add(refused, d[1:], "first byte lost")
	k.add(refused, append([]byte{0}, d...), "a byte before")
	k.add(refused, append(slices.Clone(d), 0), "a byte after")
	k.add(refused, append(slices.Clone(d), "\r\n"...), "a line end after")
	k.add(same, append(slices.Clone(d), d...), "the file twice")
	k.add(refused, append(slices.Clone(d[n/2:]), d[:n/2]...), "halves exchanged")
	lines := bytes.ReplaceAll(d, []byte("\n"), []byte("\r\n"))
	k.add(map[bool]outcome{true: refused, false: same}[len(lines) > n], lines, "line ends of another system")
	k.add(refused, []byte(strings.ToValidUTF8(string(d), string(utf8.RuneError))), "read and written as text")
	k.add(refused, bytes.ReplaceAll(d, []byte{0}, nil), "zero bytes lost")
	seven := slices.Clone(d)
	for i := range seven {
		seven[i] &= 0x7F
	}
	k.add(hidden, seven, "the eighth bit of every byte lost")
	k.add(refused, make([]byte, n), "nothing but zeros")
	sized := func(size uint32) []byte {
		return binary.LittleEndian.AppendUint32(slices.Clone(d[:n-8]), size)
	}
	for _, size := range []uint32{0, 1, uint32(len(foot) - 1), uint32(len(foot) + 1), uint32(n), math.MaxInt32, math.MaxUint32} {
		k.add(refused, append(sized(size), "PAR1"...), "a footer of %d bytes", size)
	}
	k.add(refused, append(slices.Clone(d[:n-4]), "PARE"...), "encrypted by its end")
	k.add(refused, append(slices.Clone(d[:n-4]), "par1"...), "another end")
	k.add(same, append([]byte("JUNK"), d[4:]...), "another beginning")
	for i := range 30 {
		b := slices.Clone(d)
		at := at + k.rng.IntN(len(foot))
		b[at] ^= 1 << k.rng.IntN(8)
		k.add(hidden, b, "bit of footer byte %d flipped (%d)", at, i)
	}
	for i := range 10 {
		b := slices.Clone(d)
		from := k.rng.IntN(n)
		for bytes.Equal(b, d) {
			from = k.rng.IntN(n)
			clear(b[from:min(n, from+64)])
		}
		k.add(hidden, b, "64 bytes from %d zeroed (%d)", from, i)
	}
}

// leaves are the places in the schema of the columns of a file, which are not in groups.
func leaves(m *format.FileMetaData) map[string]int {
	at := map[string]int{}
	for i := range m.Schema {
		if m.Schema[i].Type.Valid {
			at[m.Schema[i].Name] = i
		}
	}
	return at
}

// footer makes the footer say what is not so.
func (k *corrupter) footer(column string) {
	group := 0
	change := func(want outcome, name string, f func(m *format.FileMetaData, c *format.ColumnMetaData, e *format.SchemaElement)) {
		m := parseModel(k.t, k.data)
		data := m.buildWith(func(meta *format.FileMetaData) {
			c := slices.IndexFunc(meta.RowGroups[group].Columns, func(c format.ColumnChunk) bool { return c.MetaData.PathInSchema[0] == column })
			f(meta, &meta.RowGroups[group].Columns[c].MetaData, &meta.Schema[leaves(meta)[column]])
		})
		k.add(want, data, "%s: %s", column, name)
	}
	type meta = format.FileMetaData
	type chunk = format.ColumnMetaData
	type element = format.SchemaElement
	located := func(name string, f func(m *meta, c *chunk, e *element)) {
		change(refused, name, f)
		k.out[len(k.out)-1].group, k.out[len(k.out)-1].column = group, column
	}
	for _, by := range []int64{1, -1} {
		change(refused, fmt.Sprint("rows of the file, ", by), func(m *meta, _ *chunk, _ *element) { m.NumRows += by })
		change(refused, fmt.Sprint("rows of a row group, ", by), func(m *meta, _ *chunk, _ *element) { m.RowGroups[group].NumRows += by })
		located(fmt.Sprint("values, ", by), func(_ *meta, c *chunk, _ *element) { c.NumValues += by })
		change(refused, fmt.Sprint("rows and values of everything, ", by), func(m *meta, _ *chunk, _ *element) {
			m.NumRows += by
			m.RowGroups[group].NumRows += by
			for i := range m.RowGroups[group].Columns {
				m.RowGroups[group].Columns[i].MetaData.NumValues += by
			}
		})
	}
	for _, v := range []int64{-1, math.MinInt64, math.MaxInt64, 1 << 50} {
		change(refused, fmt.Sprint("rows of the file: ", v), func(m *meta, _ *chunk, _ *element) { m.NumRows = v })
		change(refused, fmt.Sprint("rows everywhere: ", v), func(m *meta, _ *chunk, _ *element) { m.NumRows = v; m.RowGroups[group].NumRows = v })
		located(fmt.Sprint("values: ", v), func(_ *meta, c *chunk, _ *element) { c.NumValues = v })
		located(fmt.Sprint("size: ", v), func(_ *meta, c *chunk, _ *element) { c.TotalCompressedSize = v })
		located(fmt.Sprint("both offsets: ", v), func(_ *meta, c *chunk, _ *element) { c.DataPageOffset, c.DictionaryPageOffset = v, v })
	}
	located("size 0", func(_ *meta, c *chunk, _ *element) { c.TotalCompressedSize = 0 })
	located("size less 1", func(_ *meta, c *chunk, _ *element) { c.TotalCompressedSize-- })
	change(harmless, "size more 1", func(_ *meta, c *chunk, _ *element) { c.TotalCompressedSize++ })
	located("both offsets, 1", func(_ *meta, c *chunk, _ *element) { c.DataPageOffset++; c.DictionaryPageOffset = 0 })
	located("offset of the header of the file", func(_ *meta, c *chunk, _ *element) { c.DataPageOffset, c.DictionaryPageOffset = 0, 0 })
	change(refused, "offset of the middle", func(_ *meta, c *chunk, _ *element) {
		c.DataPageOffset, c.DictionaryPageOffset = c.DataPageOffset+c.TotalCompressedSize/2, 0
	})
	var coded bool
	change(harmless, "no dictionary offset", func(_ *meta, c *chunk, _ *element) { coded = c.DictionaryPageOffset > 0; c.DictionaryPageOffset = 0 })
	if last := &k.out[len(k.out)-1]; coded {
		last.want, last.group, last.column = refused, group, column
	} else {
		last.want = same
	}
	for codec := range format.CompressionCodec(9) {
		change(harmless, fmt.Sprint("codec ", codec), func(_ *meta, c *chunk, _ *element) { c.Codec = codec })
	}
	located("codec 99", func(_ *meta, c *chunk, _ *element) { c.Codec = 99 })
	for typ := range format.Type(8) {
		var present format.Type
		change(refused, fmt.Sprint("type of the chunk ", typ), func(_ *meta, c *chunk, _ *element) { present = c.Type; c.Type = typ })
		if present == typ {
			k.out = k.out[:len(k.out)-1]
			continue
		}
		change(refused, fmt.Sprint("type of the column ", typ), func(_ *meta, _ *chunk, e *element) { e.Type = thrift.New(typ) })
		// Eight bytes are an integer or a float, and only an annotation can object.
		annotated := true
		change(refused, fmt.Sprint("type everywhere ", typ), func(m *meta, _ *chunk, e *element) {
			annotated = e.LogicalType.Value != nil || e.ConvertedType.Valid
			e.Type = thrift.New(typ)
			for g := range m.RowGroups {
				for c := range m.RowGroups[g].Columns {
					if md := &m.RowGroups[g].Columns[c].MetaData; md.PathInSchema[0] == column {
						md.Type = typ
					}
				}
			}
		})
		if !annotated {
			k.out[len(k.out)-1].want = hidden
		}
	}
	for _, typ := range []format.Type{-1, 8, 99} {
		change(refused, fmt.Sprint("type of the column ", int(typ)), func(_ *meta, _ *chunk, e *element) { e.Type = thrift.New(typ) })
	}
	change(refused, "no type", func(_ *meta, _ *chunk, e *element) { e.Type = thrift.Null[format.Type]{} })
	change(refused, "children of a column", func(_ *meta, _ *chunk, e *element) {
		e.Type, e.NumChildren = thrift.Null[format.Type]{}, thrift.New[int32](2)
	})
	var optional bool
	change(harmless, "never null", func(_ *meta, _ *chunk, e *element) {
		optional = e.RepetitionType.V == format.Optional
		e.RepetitionType = thrift.New(format.Required)
	})
	if !optional {
		k.out = k.out[:len(k.out)-1]
		located("may be null", func(_ *meta, _ *chunk, e *element) { e.RepetitionType = thrift.New(format.Optional) })
	}
	change(refused, "a list", func(_ *meta, _ *chunk, e *element) { e.RepetitionType = thrift.New(format.Repeated) })
	change(refused, "repetition 7", func(_ *meta, _ *chunk, e *element) { e.RepetitionType = thrift.New(format.FieldRepetitionType(7)) })
	change(refused, "another name in the schema", func(_ *meta, _ *chunk, e *element) { e.Name = "zzz" })
	located("another name in the row group", func(_ *meta, c *chunk, _ *element) { c.PathInSchema = []string{"zzz"} })
	located("no name in the row group", func(_ *meta, c *chunk, _ *element) { c.PathInSchema = nil })
}

// whole makes the footer say of the file as a whole what is not so.
func (k *corrupter) whole() {
	type meta = format.FileMetaData
	change := func(want outcome, name string, f func(m *meta)) {
		k.add(want, parseModel(k.t, k.data).buildWith(f), "%s", name)
	}
	for _, by := range []int32{1, -1, math.MaxInt32} {
		change(refused, fmt.Sprint("children of the root, ", by), func(m *meta) { m.Schema[0].NumChildren.V += by })
	}
	change(refused, "no schema", func(m *meta) { m.Schema = nil })
	change(refused, "a column less in the schema", func(m *meta) { m.Schema = m.Schema[:len(m.Schema)-1] })
	change(refused, "a column more in the schema", func(m *meta) { m.Schema = append(m.Schema, m.Schema[1]) })
	change(refused, "a column less in a row group", func(m *meta) { m.RowGroups[0].Columns = m.RowGroups[0].Columns[1:] })
	change(refused, "columns of a row group exchanged", func(m *meta) {
		c := m.RowGroups[0].Columns
		c[0], c[1] = c[1], c[0]
	})
	change(refused, "a chunk in another file", func(m *meta) { m.RowGroups[0].Columns[0].FilePath = "part-2" })
	change(refused, "encrypted", func(m *meta) { m.EncryptionAlgorithm.Value = &format.AesGcmV1{} })
	change(refused, "a row group less", func(m *meta) { m.RowGroups = m.RowGroups[:len(m.RowGroups)-1] })
	change(refused, "a row group twice", func(m *meta) { m.RowGroups = append(m.RowGroups, m.RowGroups[0]) })
	change(refused, "a row group twice, and its rows", func(m *meta) {
		m.RowGroups = append(m.RowGroups, m.RowGroups[0])
		m.NumRows += m.RowGroups[0].NumRows
	})
	change(hidden, "a row group less, and its rows", func(m *meta) {
		last := len(m.RowGroups) - 1
		m.NumRows -= m.RowGroups[last].NumRows
		m.RowGroups = m.RowGroups[:last]
	})
	change(same, "row groups in another order", func(m *meta) { slices.Reverse(m.RowGroups) })
	change(same, "no keys, no orders, another version", func(m *meta) {
		m.KeyValueMetadata, m.ColumnOrders, m.Version = nil, nil, 77
	})
	var padded bool
	change(same, "another writer", func(m *meta) {
		padded = strings.HasPrefix(m.CreatedBy, "fastparquet")
		m.CreatedBy = "nobody"
	})
	if padded {
		k.out[len(k.out)-1].want = refused
	}
	change(same, "statistics of another column", func(m *meta) {
		m.RowGroups[0].Columns[0].MetaData.Statistics = format.Statistics{NullCount: 9999, MinValue: []byte("zz"), MaxValue: []byte("a"), DistinctCount: -4}
	})
}

// annotations makes the two annotations of a column disagree, or both wrong.
func (k *corrupter) annotations() {
	m := parseModel(k.t, k.data)
	ts := &m.meta.Schema[leaves(&m.meta)["ts"]]
	if logical, ok := ts.LogicalType.Value.(*format.TimestampType); ok {
		_, milli := logical.Unit.Value.(*format.MilliSeconds)
		other := *logical
		other.Unit.Value = &format.MilliSeconds{}
		if milli {
			other.Unit.Value = &format.MicroSeconds{}
		}
		ts.LogicalType.Value = &other
		want := refused
		if !ts.ConvertedType.Valid {
			want = hidden
		}
		k.add(want, m.build(), "ts: the unit of the new annotation")
		ts.ConvertedType.Valid = false
		k.add(hidden, m.build(), "ts: the unit, without the old annotation")
	}
	m = parseModel(k.t, k.data)
	amt := &m.meta.Schema[leaves(&m.meta)["amt"]]
	if logical, ok := amt.LogicalType.Value.(*format.DecimalType); ok {
		other := *logical
		other.Scale++
		amt.LogicalType.Value = &other
		k.add(refused, m.build(), "amt: the scale of the new annotation")
		amt.Scale.V++
		k.add(hidden, m.build(), "amt: the scale of both annotations")
	}
}

// pages makes the pages of a column wrong, and leaves them without checksum.
func (k *corrupter) pages(column string) {
	sound := parseModel(k.t, k.data)
	group := len(sound.groups) - 1
	c := slices.IndexFunc(sound.meta.RowGroups[group].Columns, func(c format.ColumnChunk) bool { return c.MetaData.PathInSchema[0] == column })
	codec := sound.meta.RowGroups[group].Columns[c].MetaData.Codec
	optional := sound.meta.Schema[leaves(&sound.meta)[column]].RepetitionType.V == format.Optional
	physical := sound.meta.RowGroups[group].Columns[c].MetaData.Type
	pages := sound.groups[group][c]
	change := func(want outcome, name string, f func(pages *[]pageModel)) {
		m := parseModel(k.t, k.data)
		for i := range m.groups[group][c] {
			m.groups[group][c][i].head.CRC = 0
		}
		f(&m.groups[group][c])
		k.add(want, m.build(), "%s: %s", column, name)
		k.out[len(k.out)-1].group, k.out[len(k.out)-1].column = group, column
	}
	first := slices.IndexFunc(pages, func(p pageModel) bool { return p.head.Type != format.DictionaryPage })
	for _, i := range slices.Compact([]int{0, first, len(pages) - 1}) {
		page := &pages[i]
		kind := page.head.Type
		header := func(want outcome, name string, f func(h *format.PageHeader)) {
			change(want, fmt.Sprintf("page %d, %s", i, name), func(p *[]pageModel) { f(&(*p)[i].head) })
		}
		for _, by := range []int32{1, -1} {
			header(map[bool]outcome{true: harmless, false: refused}[codec == format.Brotli && by < 0], fmt.Sprint("compressed size, ", by), func(h *format.PageHeader) { h.CompressedPageSize += by })
			header(refused, fmt.Sprint("size, ", by), func(h *format.PageHeader) { h.UncompressedPageSize += by })
		}
		for _, v := range []int32{-1, math.MinInt32, 1 << 27, math.MaxInt32} {
			header(refused, fmt.Sprint("compressed size ", v), func(h *format.PageHeader) { h.CompressedPageSize = v })
			header(refused, fmt.Sprint("size ", v), func(h *format.PageHeader) { h.UncompressedPageSize = v })
		}
		for _, typ := range []format.PageType{format.DataPage, format.DictionaryPage, format.DataPageV2, format.IndexPage, 9, -1} {
			if typ != kind {
				header(refused, fmt.Sprint("type ", int(typ)), func(h *format.PageHeader) { h.Type = typ })
			}
		}
		header(refused, "another checksum", func(h *format.PageHeader) { h.CRC = 0x5EA1 })
		change(refused, fmt.Sprintf("page %d missing", i), func(p *[]pageModel) { *p = slices.Delete(*p, i, i+1) })
		change(refused, fmt.Sprintf("page %d twice", i), func(p *[]pageModel) { *p = slices.Insert(*p, i, (*p)[i]) })
		if i+2 < len(pages) && kind != format.DictionaryPage {
			change(hidden, fmt.Sprintf("page %d after the next", i), func(p *[]pageModel) { (*p)[i], (*p)[i+1] = (*p)[i+1], (*p)[i] })
		}
		k.values(header, page)
		body := func(want outcome, name string, f func(b []byte) []byte) {
			change(want, fmt.Sprintf("page %d, %s", i, name), func(p *[]pageModel) {
				pg := &(*p)[i]
				before := len(pg.body)
				pg.body = f(slices.Clone(pg.body))
				// Only the header of an uncompressed page can follow.
				pg.head.CompressedPageSize = int32(len(pg.body))
				if codec == format.Uncompressed {
					pg.head.UncompressedPageSize += int32(len(pg.body) - before)
				}
			})
		}
		packed := codec != format.Uncompressed && len(page.body) > 8 && (kind != format.DataPageV2 || page.head.DataPageHeaderV2.V.IsCompressed.V)
		want := map[bool]outcome{true: refused, false: hidden}
		body(want[packed || optional && kind == format.DataPage], "zeros", func(b []byte) []byte { clear(b); return b })
		body(refused, "empty", func(b []byte) []byte { return nil })
		if len(page.body) > 0 {
			// The last byte of runs and deltas may be padding, and that of brotli an empty block.
			cut := harmless
			if e := page.head.DataPageHeader.V.Encoding; packed && codec != format.Brotli || codec == format.Uncompressed && kind == format.DataPage && e == format.Plain {
				cut = refused
			}
			body(cut, "the last byte less", func(b []byte) []byte { return b[:len(b)-1] })
			body(refused, "a byte more", func(b []byte) []byte { return append(b, 0) })
			for range 4 {
				body(hidden, "a bit flipped", func(b []byte) []byte { b[k.rng.IntN(len(b))] ^= 1 << k.rng.IntN(8); return b })
			}
			body(hidden, "noise", func(b []byte) []byte {
				for i := range b {
					b[i] = byte(k.rng.Uint32())
				}
				return b
			})
		}
		if codec != format.Uncompressed || kind == format.DictionaryPage {
			continue
		}
		k.levels(body, page, optional)
		k.indexes(body, page, optional, physical)
	}
}

// values makes a page header state other values than the page has.
func (k *corrupter) values(header func(outcome, string, func(*format.PageHeader)), page *pageModel) {
	counts := []int32{0, -1, math.MinInt32, 1 << 20, math.MaxInt32}
	encodings := []format.Encoding{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 77, -1}
	isDictionary := func(e format.Encoding) bool { return e == plainDictionary || e == format.RLEDictionary }
	switch page.head.Type {
	case format.DictionaryPage:
		n := page.head.DictionaryPageHeader.V.NumValues
		for _, v := range append(counts, n-1, n+1) {
			header(map[bool]outcome{true: same, false: refused}[v == n], fmt.Sprint("values ", v), func(h *format.PageHeader) { h.DictionaryPageHeader.V.NumValues = v })
		}
		for _, e := range encodings {
			if e != format.Plain && e != plainDictionary {
				header(refused, fmt.Sprint("encoding ", int(e)), func(h *format.PageHeader) { h.DictionaryPageHeader.V.Encoding = e })
			}
		}
		header(refused, "no header of its kind", func(h *format.PageHeader) { h.DictionaryPageHeader = thrift.Null[format.DictionaryPageHeader]{} })
	case format.DataPage:
		v1 := page.head.DataPageHeader.V
		for _, v := range append(counts, v1.NumValues-1, v1.NumValues+1) {
			header(refused, fmt.Sprint("values ", v), func(h *format.PageHeader) { h.DataPageHeader.V.NumValues = v })
		}
		for _, e := range encodings {
			if e != v1.Encoding && !(isDictionary(e) && isDictionary(v1.Encoding)) {
				header(refused, fmt.Sprint("encoding ", int(e)), func(h *format.PageHeader) { h.DataPageHeader.V.Encoding = e })
			}
		}
		header(refused, "no header of its kind", func(h *format.PageHeader) { h.DataPageHeader = thrift.Null[format.DataPageHeader]{} })
		header(harmless, "old levels", func(h *format.PageHeader) { h.DataPageHeader.V.DefinitionLevelEncoding = format.BitPacked })
	case format.DataPageV2:
		v2 := page.head.DataPageHeaderV2.V
		for _, v := range append(counts, v2.NumValues-1, v2.NumValues+1) {
			header(refused, fmt.Sprint("values ", v), func(h *format.PageHeader) { h.DataPageHeaderV2.V.NumValues = v })
			header(refused, fmt.Sprint("rows ", v), func(h *format.PageHeader) { h.DataPageHeaderV2.V.NumRows = v })
			header(refused, fmt.Sprint("rows and values ", v), func(h *format.PageHeader) {
				h.DataPageHeaderV2.V.NumRows, h.DataPageHeaderV2.V.NumValues = v, v
			})
		}
		for _, v := range []int32{-1, v2.NumNulls - 1, v2.NumNulls + 1, v2.NumValues + 1, math.MaxInt32} {
			header(harmless, fmt.Sprint("nulls ", v), func(h *format.PageHeader) { h.DataPageHeaderV2.V.NumNulls = v })
		}
		for _, v := range []int32{-1, v2.DefinitionLevelsByteLength - 1, v2.DefinitionLevelsByteLength + 1, math.MaxInt32} {
			header(refused, fmt.Sprint("bytes of levels ", v), func(h *format.PageHeader) { h.DataPageHeaderV2.V.DefinitionLevelsByteLength = v })
			header(refused, fmt.Sprint("bytes of repetitions ", v), func(h *format.PageHeader) {
				h.DataPageHeaderV2.V.RepetitionLevelsByteLength += max(1, v-v2.DefinitionLevelsByteLength)
			})
		}
		for _, e := range encodings {
			if e != v2.Encoding && !(isDictionary(e) && isDictionary(v2.Encoding)) {
				header(refused, fmt.Sprint("encoding ", int(e)), func(h *format.PageHeader) { h.DataPageHeaderV2.V.Encoding = e })
			}
		}
		header(refused, "no header of its kind", func(h *format.PageHeader) { h.DataPageHeaderV2 = thrift.Null[format.DataPageHeaderV2]{} })
		header(harmless, "compressed or not", func(h *format.PageHeader) {
			h.DataPageHeaderV2.V.IsCompressed = thrift.New(!h.DataPageHeaderV2.V.IsCompressed.V)
		})
	}
}

// levels makes the definition levels of an uncompressed page wrong.
func (k *corrupter) levels(body func(outcome, string, func([]byte) []byte), page *pageModel, optional bool) {
	if !optional {
		return
	}
	if page.head.Type == format.DataPage {
		n := binary.LittleEndian.Uint32(page.body)
		for _, v := range []uint32{0, n - 1, n + 1, uint32(len(page.body)), math.MaxUint32} {
			body(refused, fmt.Sprint("levels of bytes: ", v), func(b []byte) []byte { binary.LittleEndian.PutUint32(b, v); return b })
		}
		body(refused, "no run of levels", func(b []byte) []byte { b[4] = 0; return b })
		if page.body[4]&1 == 0 {
			body(refused, "a level of 2", func(b []byte) []byte {
				b[4+len(binary.AppendUvarint(nil, uint64(page.head.DataPageHeader.V.NumValues)<<1))] = 2
				return b
			})
		}
		return
	}
	if page.head.DataPageHeaderV2.V.DefinitionLevelsByteLength > 0 {
		body(refused, "no run of levels", func(b []byte) []byte { b[0] = 0; return b })
	}
}

// indexes replaces what follows the levels of an uncompressed page by dictionary indexes that
// cannot be, or by values that reach beyond the page.
func (k *corrupter) indexes(body func(outcome, string, func([]byte) []byte), page *pageModel, optional bool, physical format.Type) {
	at, n, encoding := 0, int32(0), format.Encoding(0)
	if page.head.Type == format.DataPage {
		n, encoding = page.head.DataPageHeader.V.NumValues, page.head.DataPageHeader.V.Encoding
		if optional {
			at = 4 + int(binary.LittleEndian.Uint32(page.body))
		}
	} else {
		v2 := page.head.DataPageHeaderV2.V
		n, encoding, at = v2.NumValues, v2.Encoding, int(v2.DefinitionLevelsByteLength)
		if v2.NumNulls == v2.NumValues {
			return
		}
	}
	if at >= len(page.body) {
		return // no value but nulls
	}
	replace := func(name string, values ...byte) {
		body(refused, name, func(b []byte) []byte { return append(b[:at], values...) })
	}
	run := binary.AppendUvarint(nil, uint64(n)<<1)
	switch {
	case encoding == plainDictionary || encoding == format.RLEDictionary:
		replace("index of 2³²-1", append(append([]byte{32}, run...), 255, 255, 255, 255)...)
		replace("index of a million", append(append([]byte{24}, run...), 0x40, 0x42, 0x0F)...)
		replace("indexes of 33 bits", append(append([]byte{33}, run...), 0, 0, 0, 0, 0)...)
		replace("indexes of 255 bits", 255, 3, 0)
		replace("a run of no index", 1, 0, 0)
		replace("a run without its index", append([]byte{8}, run...)...)
		replace("a run too long by far", append(append([]byte{1}, binary.AppendUvarint(nil, 1<<30)...), 0)...)
		replace("a run of 2⁶³", append(append([]byte{1}, binary.AppendUvarint(nil, 1<<63)...), 0)...)
		replace("an endless length of a run", append([]byte{1}, bytes.Repeat([]byte{0xFF}, 12)...)...)
	case encoding == format.Plain && physical == format.ByteArray:
		for _, v := range []uint32{1 << 20, math.MaxInt32, math.MaxUint32} {
			body(refused, fmt.Sprint("text of bytes: ", v), func(b []byte) []byte { binary.LittleEndian.PutUint32(b[at:], v); return b })
		}
	case encoding == format.DeltaBinaryPacked || encoding == format.DeltaByteArray || encoding == format.DeltaLengthByteArray:
		replace("deltas of no block", 0, 1, byte(n), 0)
		replace("delta blocks of no part", 128, 1, 0, byte(n), 0)
		replace("delta blocks in 3 parts", 128, 1, 3, byte(n), 0)
		replace("a delta block of 2³⁵", 128, 128, 128, 128, 128, 1, 4, byte(n), 0)
		replace("2³⁵ deltas", 128, 1, 4, 128, 128, 128, 128, 128, 1, 0)
		replace("deltas of 65 bits", 128, 1, 4, byte(n), 0, 0, 65, 65, 65, 65)
		replace("deltas without values", 128, 1, 4, byte(n))
	}
}

// soundFiles are small files of every writer, by name.
func soundFiles(t *testing.T) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	seeds, err := filepath.Glob(filepath.Join("testdata", "fuzz", "FuzzRead", "writer_*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, seed := range seeds {
		data, _ := readSeed(t, seed)
		files[strings.TrimPrefix(filepath.Base(seed), "writer_")] = data
	}
	for _, name := range []string{"default", "writer_v2", "writer_v2_no_dictionary", "millis", "legacy_lists", "codec_lz4", "codec_gzip"} {
		data, err := os.ReadFile(filepath.Join("testdata", "spark", name+".parquet"))
		if err != nil {
			t.Fatal(err)
		}
		files["spark_"+name] = data
	}
	for version := 1; version <= 2; version++ {
		var b bytes.Buffer
		w := parquet.NewGenericWriter[goWide](&b, parquet.DataPageVersion(version), parquet.PageBufferSize(300), parquet.MaxRowsPerRowGroup(30), parquet.Compression(&parquet.Zstd))
		for i, e := range goEvents(50) {
			if _, err := w.Write([]goWide{{ID: fmt.Sprint(e.ID), Time: e.Time, Type: e.Type, Amount: e.Amount, Prod: e.Prod, OK: i%7 != 0}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		files[fmt.Sprint("go_v", version)] = b.Bytes()
	}
	return files
}

// goWide has the columns that malformed files are made of.
type goWide struct {
	ID     string   `parquet:"cid,dict"`
	Time   int64    `parquet:"ts,timestamp(microsecond)"`
	Type   *string  `parquet:"typ,optional,dict"`
	Amount *float64 `parquet:"amt,optional"`
	Prod   string   `parquet:"prod,delta"`
	OK     bool     `parquet:"ok"`
}

// wideSource maps all columns of the sound files that a file has.
func wideSource(data []byte, t testing.TB) scan.Source {
	_, foot := split(data)
	meta := parseMeta(t, foot)
	s := scan.Source{Name: "s", Paths: []string{"*"}, Columns: map[datasets.Field]string{}, Roles: map[string]datasets.Role{"order": datasets.Purchase}, TimeUnit: scan.UnitMilli}
	at := leaves(&meta)
	for f, name := range map[datasets.Field]string{
		datasets.CustomerID: "cid", datasets.EventTime: "ts", datasets.EventType: "typ", datasets.Amount: "amt", datasets.Quantity: "qty", datasets.Rating: "rat",
		datasets.Currency: "cur", datasets.ProductID: "prod", datasets.Category: "cat", datasets.Channel: "cha", datasets.CampaignID: "cam",
		datasets.SessionID: "ses", datasets.EventID: "evt", datasets.Consent: "ok",
	} {
		if _, has := at[name]; has {
			s.Columns[f] = name
		}
	}
	return s
}

// Thousands of files, each with one thing wrong in one place, of every writer, end in an
// error that says where, or in the events that the sound file has. No page has a checksum
// once it is changed, so what is wrong is decoded. None makes the reader panic or
// take memory out of proportion.
func TestMalformedFiles(t *testing.T) {
	sound := soundFiles(t)
	columns := []string{"cid", "ts", "amt", "prod", "ok"} // three of them a file, in turns
	distinct := map[uint64]bool{}
	type count struct{ refused, same, changed int }
	counts := map[outcome]*count{refused: {}, same: {}, harmless: {}, hidden: {}}
	most, mostName := uint64(0), ""
	for i, name := range slices.Sorted(maps.Keys(sound)) {
		data := sound[name]
		src := wideSource(data, t)
		read := func(data []byte) ([][]string, error) {
			p, err := scan.NewPlan(ctx, memFS{data: data}, []scan.Source{src})
			if err != nil {
				return nil, err
			}
			if p.Rows > 1<<20 {
				return nil, nil // a repeated value takes no room; the time it takes is the rows'
			}
			opts := scan.DefaultOptions()
			opts.Workers = 1
			rows, _, err := eventRows(t, p, opts)
			return rows, err
		}
		want, err := read(data)
		if err != nil || len(want) < 10 {
			t.Fatalf("%s: the sound file: %d events, %v", name, len(want), err)
		}
		if got, err := read(parseModel(t, data).build()); err != nil || !cmp.Equal(got, want) {
			t.Fatalf("%s: taken apart and put together again: %v\n%s", name, err, firstDifferences(got, want))
		}
		k := &corrupter{t: t, data: data, rng: rand.New(rand.NewPCG(uint64(len(data)), 1))}
		k.file()
		k.annotations()
		k.whole()
		for j := range 3 {
			c := columns[(i+2*j)%len(columns)]
			k.footer(c)
			k.pages(c)
		}
		for _, bad := range k.out {
			if bytes.Equal(bad.data, data) {
				t.Errorf("%s: %s: nothing is wrong", name, bad.name)
			}
			distinct[xxh3.Hash(bad.data)] = true
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got, err := read(bad.data)
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > most {
				most, mostName = n, name+": "+bad.name
			}
			n := counts[bad.want]
			var e *scan.Error
			var bug *ordered.PanicError
			switch {
			case errors.As(err, &bug):
				t.Errorf("%s: %s: a panic: %v", name, bad.name, err)
			case err == nil && cmp.Equal(got, want):
				n.same++
				if bad.want == refused {
					t.Errorf("%s: %s: read as if sound", name, bad.name)
				}
			case err == nil:
				n.changed++
				if bad.want != hidden {
					t.Errorf("%s: %s: other events are read:\n%s", name, bad.name, firstDifferences(got, want))
				}
			case !errors.As(err, &e) || e.File != "mem.parquet" || e.Kind != scan.BadData && e.Kind != scan.Config:
				t.Errorf("%s: %s: %v does not locate a fault of the file", name, bad.name, err)
			case bad.want == same:
				t.Errorf("%s: %s: refused: %v", name, bad.name, err)
			case bad.group >= 0 && bad.want == refused && (e.RowGroup != bad.group || e.Column != bad.column):
				t.Errorf("%s: %s: in row group %d, column %q, by the error %v", name, bad.name, bad.group, bad.column, err)
			default:
				n.refused++
			}
		}
	}
	if most > memoryBound/4 {
		t.Errorf("%d bytes allocated for %s", most, mostName)
	}
	if len(distinct) < 2000 || counts[refused].refused < 1500 {
		t.Errorf("only %d malformed files, of which %d had to be refused", len(distinct), counts[refused].refused)
	}
	for o, what := range []string{"must be refused", "must read the same", "are refused or the same", "cannot be told"} {
		c := counts[outcome(o)]
		t.Logf("%d %s: %d refused, %d the same, %d other events", c.refused+c.same+c.changed, what, c.refused, c.same, c.changed)
	}
	t.Logf("%d distinct malformed files of %d sound ones; at most %d bytes allocated (%s)", len(distinct), len(sound), most, mostName)
}
