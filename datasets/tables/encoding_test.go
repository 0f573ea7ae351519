package tables_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
	"pgregory.net/rapid"

	"github.com/shoal-data/shoal/datasets/tables"
)

// Which rows are null, and which number the value of another row stands for.
// Encodings differ in what they do with each.
var nullPatterns = map[string]func(rng *rand.Rand, i int) bool{
	"none":        func(*rand.Rand, int) bool { return false },
	"all":         func(*rand.Rand, int) bool { return true },
	"alternating": func(_ *rand.Rand, i int) bool { return i%2 == 0 },
	"runs":        func(_ *rand.Rand, i int) bool { return i/1001%2 == 1 },
	"short runs":  func(_ *rand.Rand, i int) bool { return i/37%3 == 1 },
	"some":        func(rng *rand.Rand, _ int) bool { return rng.IntN(7) == 0 },
	"most":        func(rng *rand.Rand, _ int) bool { return rng.IntN(50) > 0 },
	"late":        func(_ *rand.Rand, i int) bool { return i < 33_000 },
}

var valuePatterns = map[string]func(rng *rand.Rand, i int) int64{
	"constant":   func(*rand.Rand, int) int64 { return 0 },
	"two":        func(rng *rand.Rand, _ int) int64 { return rng.Int64N(2) },
	"few":        func(rng *rand.Rand, _ int) int64 { return rng.Int64N(100) - 50 },
	"thousands":  func(rng *rand.Rand, _ int) int64 { return rng.Int64N(1500) },
	"runs":       func(_ *rand.Rand, i int) int64 { return int64(i / 45 % 300) },
	"ascending":  func(_ *rand.Rand, i int) int64 { return int64(i) },
	"descending": func(_ *rand.Rand, i int) int64 { return -int64(i) },
	"distinct":   func(rng *rand.Rand, _ int) int64 { return rng.Int64N(1<<40) - 1<<39 },
	// The sample is for a dictionary, and later values are too many for one.
	"overflow": func(rng *rand.Rand, i int) int64 {
		if i < 20_000 || i > 160_000 {
			return rng.Int64N(40)
		}
		return int64(i)
	},
}

// patternColumn makes a column of a type of allTypes.
func patternColumn(seed uint64, t arrow.DataType, rows int, null func(*rand.Rand, int) bool, value func(*rand.Rand, int) int64) arrow.Array {
	rng := rand.New(rand.NewPCG(seed, 9))
	b := array.NewBuilder(memory.DefaultAllocator, t)
	defer b.Release()
	b.Reserve(rows)
	for i := range rows {
		k := value(rng, i)
		if null(rng, i) {
			b.AppendNull()
			continue
		}
		switch b := b.(type) {
		case *array.Float64Builder:
			switch x := float64(k) / 100; k {
			case 1:
				b.Append(math.Inf(-1))
			case 2:
				b.Append(math.MaxFloat64)
			default:
				b.Append(x)
			}
		case *array.Int64Builder:
			b.Append(k * 1_000_003)
		case *array.Int32Builder:
			b.Append(int32(k))
		case *array.BooleanBuilder:
			b.Append(k&1 == 1)
		case *array.StringBuilder:
			if k == 0 {
				b.Append("")
			} else {
				b.Append(fmt.Sprintf("text of a value, %d", k))
			}
		case *array.Date32Builder:
			b.Append(arrow.Date32(k % 20_000))
		case *array.TimestampBuilder:
			b.Append(arrow.Timestamp(1e15 + k))
		case *array.Decimal128Builder:
			b.Append(decimal128.FromI64(k * 25))
		case *array.FixedSizeBinaryBuilder:
			v := make([]byte, b.Type().(*arrow.FixedSizeBinaryType).ByteWidth)
			for j := range v {
				v[j] = byte(k >> (8 * (j % 8)))
			}
			b.Append(v)
		default:
			panic(t.String())
		}
	}
	return b.NewArray()
}

// What is written is read, in whatever way the rows came, and the statistics
// and the page index say what the pages hold.
func TestPagesHoldWhatIsWritten(t *testing.T) {
	schema := allTypes()
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.OneOf(rapid.IntRange(1, 300), rapid.IntRange(8_190, 9_000), rapid.IntRange(32_760, 34_000)).Draw(t, "rows")
		fields, columns := []arrow.Field{}, []arrow.Array{}
		for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, schema.NumFields()-1), 1, 4, rapid.ID).Draw(t, "columns") {
			nulls := rapid.SampledFrom(slices.Sorted(maps.Keys(nullPatterns))).Draw(t, "nulls")
			values := rapid.SampledFrom(slices.Sorted(maps.Keys(valuePatterns))).Draw(t, "values")
			fields = append(fields, schema.Field(i))
			columns = append(columns, patternColumn(rapid.Uint64().Draw(t, "seed"), schema.Field(i).Type, rows, nullPatterns[nulls], valuePatterns[values]))
		}
		rec := array.NewRecord(arrow.NewSchema(fields, nil), columns, int64(rows))
		o := options(func(o *tables.Options) {
			o.Workers = 1
			o.RowGroupBytes = rapid.SampledFrom([]int64{128 << 20, 200_000, 20_000}).Draw(t, "row group")
		})
		data := writeAll(t, rec, o, int64(rows))
		o.Workers = 3
		if other := writeAll(t, rec, o, rapid.Int64Range(1+int64(rows)/20, int64(rows)).Draw(t, "batch")); !bytes.Equal(data, other) {
			t.Fatal("the bytes depend on records or workers")
		}
		recs, err := tables.Read(t.Context(), bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		for c := range columns {
			parts := make([]arrow.Array, len(recs))
			for i, r := range recs {
				parts[i] = r.Column(c)
			}
			got, err := array.Concatenate(parts, memory.DefaultAllocator)
			if err != nil {
				t.Fatal(err)
			}
			if !array.Equal(got, columns[c]) {
				t.Fatalf("column %s differs", fields[c].Name)
			}
		}
		if err := checkStatistics(data); err != nil {
			t.Fatal(err)
		}
	})
}

func writeAll(t rapid.TB, rec arrow.Record, o tables.Options, batch int64) []byte {
	var out bytes.Buffer
	w, err := tables.NewWriter(&out, rec.Schema(), o)
	if err != nil {
		t.Fatal(err)
	}
	for from := int64(0); from < rec.NumRows(); from += batch {
		if err := w.Write(rec.NewSlice(from, min(from+batch, rec.NumRows()))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// checkStatistics compares what the footer and the page index say with the
// values of the pages.
func checkStatistics(data []byte) error {
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return err
	}
	at := int64(len("PAR1"))
	for g, group := range f.RowGroups() {
		meta := f.Metadata().RowGroups[g]
		if meta.FileOffset != at || int(meta.Ordinal) != g || meta.NumRows != group.NumRows() {
			return fmt.Errorf("row group %d begins at %d, not %d, with ordinal %d and %d rows", g, meta.FileOffset, at, meta.Ordinal, meta.NumRows)
		}
		uncompressed := int64(0)
		for c, chunk := range group.ColumnChunks() {
			m := meta.Columns[c].MetaData
			begin := m.DataPageOffset
			if m.DictionaryPageOffset > 0 {
				begin = m.DictionaryPageOffset
			}
			if begin != at {
				return fmt.Errorf("row group %d column %d begins at %d, not %d", g, c, begin, at)
			}
			at += m.TotalCompressedSize
			uncompressed += m.TotalUncompressedSize
			if err := checkChunk(chunk, m); err != nil {
				return fmt.Errorf("row group %d column %d: %w", g, c, err)
			}
		}
		if uncompressed != meta.TotalByteSize {
			return fmt.Errorf("row group %d has %d bytes, said to be %d", g, uncompressed, meta.TotalByteSize)
		}
	}
	return nil
}

func checkChunk(chunk parquet.ColumnChunk, m format.ColumnMetaData) error {
	typ := chunk.Type()
	columns, err := chunk.ColumnIndex()
	if err != nil {
		return err
	}
	offsets, err := chunk.OffsetIndex()
	if err != nil {
		return err
	}
	pages := chunk.Pages()
	defer pages.Close()
	begin := m.DataPageOffset
	if m.DictionaryPageOffset > 0 {
		begin = m.DictionaryPageOffset
	}
	next := m.DataPageOffset
	for p := range offsets.NumPages() {
		if offsets.Offset(p) != next {
			return fmt.Errorf("page %d begins at %d, not %d", p, offsets.Offset(p), next)
		}
		next += offsets.CompressedPageSize(p)
	}
	if next != begin+m.TotalCompressedSize {
		return fmt.Errorf("pages end at %d, the chunk at %d", next, begin+m.TotalCompressedSize)
	}
	var least, greatest parquet.Value
	rows, nulls, text := int64(0), int64(0), int64(0)
	for p := 0; ; p++ {
		page, err := pages.ReadPage()
		if err == io.EOF {
			if p != columns.NumPages() || p != offsets.NumPages() {
				return fmt.Errorf("%d pages, %d and %d indexed", p, columns.NumPages(), offsets.NumPages())
			}
			break
		}
		if err != nil {
			return err
		}
		values := make([]parquet.Value, page.NumValues())
		if _, err := page.Values().ReadValues(values); err != nil && err != io.EOF {
			return err
		}
		var lo, hi parquet.Value
		pageNulls := int64(0)
		for _, v := range values {
			if v.IsNull() {
				pageNulls++
				continue
			}
			if typ.Kind() == parquet.ByteArray {
				text += int64(len(v.ByteArray()))
			}
			if lo.IsNull() || typ.Compare(v, lo) < 0 {
				lo = v.Clone()
			}
			if hi.IsNull() || typ.Compare(v, hi) > 0 {
				hi = v.Clone()
			}
		}
		if offsets.FirstRowIndex(p) != rows || columns.NullCount(p) != pageNulls || columns.NullPage(p) != lo.IsNull() {
			return fmt.Errorf("page %d: first row %d, %d nulls, all %t; want %d, %d, %t", p, offsets.FirstRowIndex(p), columns.NullCount(p), columns.NullPage(p), rows, pageNulls, lo.IsNull())
		}
		rows, nulls = rows+int64(len(values)), nulls+pageNulls
		if !lo.IsNull() {
			// Long text is shortened in the index, so that its bounds are wider.
			gotLo, gotHi := columns.MinValue(p), columns.MaxValue(p)
			exact := typ.Kind() != parquet.ByteArray && typ.Kind() != parquet.FixedLenByteArray
			if typ.Compare(gotLo, lo) > 0 || typ.Compare(gotHi, hi) < 0 || exact && (!parquet.Equal(gotLo, lo) || !parquet.Equal(gotHi, hi)) {
				return fmt.Errorf("page %d has bounds %v and %v, its values %v and %v", p, gotLo, gotHi, lo, hi)
			}
			if least.IsNull() || typ.Compare(lo, least) < 0 {
				least = lo
			}
			if greatest.IsNull() || typ.Compare(hi, greatest) > 0 {
				greatest = hi
			}
		}
		parquet.Release(page)
	}
	s := m.Statistics
	if m.NumValues != rows || s.NullCount != nulls || m.SizeStatistics.UnencodedByteArrayDataBytes != text {
		return fmt.Errorf("%d values, %d nulls, %d bytes of text; said to be %d, %d, %d", rows, nulls, text, m.NumValues, s.NullCount, m.SizeStatistics.UnencodedByteArrayDataBytes)
	}
	if (s.MinValue == nil) != least.IsNull() || !bytes.Equal(s.MinValue, least.Bytes()) || !bytes.Equal(s.MaxValue, greatest.Bytes()) {
		return fmt.Errorf("bounds are %x and %x, of the values %v and %v", s.MinValue, s.MaxValue, least, greatest)
	}
	return nil
}

// A page of nulls alone, before, between or after pages of identifiers, moves
// no other page's bounds in the page index.
func TestPagesOfNullIdentifiers(t *testing.T) {
	const pageRows = 32 << 10 // a page of 16-byte identifiers
	for name, nullPage := range map[string]func(page int) bool{
		"first":       func(p int) bool { return p == 0 },
		"second":      func(p int) bool { return p == 1 },
		"last":        func(p int) bool { return p == 2 },
		"all but one": func(p int) bool { return p != 1 },
		"all":         func(int) bool { return true },
	} {
		for _, typ := range []arrow.DataType{&arrow.FixedSizeBinaryType{ByteWidth: 16}, &arrow.FixedSizeBinaryType{ByteWidth: 5}} {
			null := func(_ *rand.Rand, i int) bool { return nullPage(i / pageRows) }
			values := patternColumn(1, typ, 3*pageRows, null, valuePatterns["distinct"])
			rec := array.NewRecord(arrow.NewSchema([]arrow.Field{{Name: "id", Type: typ, Nullable: true}}, nil), []arrow.Array{values}, 3*pageRows)
			data := encode(t, rec, options(nil), whole)
			if err := checkStatistics(data); err != nil {
				t.Errorf("%s of %s: %v", name, typ, err)
			}
			f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
			if err != nil {
				t.Fatal(err)
			}
			index, err := f.RowGroups()[0].ColumnChunks()[0].ColumnIndex()
			if err != nil {
				t.Fatal(err)
			}
			if n := index.NumPages(); n != 3 {
				t.Fatalf("%s of %s: %d pages, so none is of nulls alone", name, typ, n)
			}
			for p := range 3 {
				if index.NullPage(p) != nullPage(p) {
					t.Errorf("%s of %s: page %d is said to be null: %t", name, typ, p, index.NullPage(p))
				}
			}
		}
	}
}

// A dictionary that grows too large ends: pages after that hold plain values,
// and the next row group begins with a dictionary again.
func TestDictionaryOverflow(t *testing.T) {
	const rows = 200_000
	for _, typ := range []arrow.DataType{arrow.PrimitiveTypes.Float64, arrow.PrimitiveTypes.Int32, tables.Money, arrow.BinaryTypes.String} {
		values := patternColumn(1, typ, rows, nullPatterns["some"], valuePatterns["overflow"])
		rec := array.NewRecord(arrow.NewSchema([]arrow.Field{{Name: "x", Type: typ}}, nil), []arrow.Array{values}, rows)
		width := map[bool]int64{true: 8, false: 4}[typ.ID() == arrow.FLOAT64 || typ.ID() == arrow.DECIMAL128]
		data := encode(t, rec, options(func(o *tables.Options) {
			if typ.ID() != arrow.STRING {
				o.RowGroupBytes = 165_000 * width
			}
		}), whole)
		f, recs := decode(t, data)
		if !array.Equal(joined(t, f.Schema(), recs).Column(0), values) {
			t.Errorf("%s: other values", typ)
		}
		if err := checkStatistics(data); err != nil {
			t.Errorf("%s: %v", typ, err)
		}
		file, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		groups := file.Metadata().RowGroups
		kinds := map[string]int32{}
		for _, s := range groups[0].Columns[0].MetaData.EncodingStats {
			kinds[s.PageType.String()+" "+s.Encoding.String()] = s.Count
		}
		if kinds["DICTIONARY_PAGE PLAIN"] != 1 || kinds["DATA_PAGE RLE_DICTIONARY"] == 0 || kinds["DATA_PAGE PLAIN"] == 0 {
			t.Errorf("%s: the first row group has pages %v", typ, kinds)
		}
		if typ.ID() == arrow.STRING {
			continue
		}
		if stats := groups[1].Columns[0].MetaData.EncodingStats; len(groups) != 2 || len(stats) != 2 || stats[0].Encoding != format.RLEDictionary {
			t.Errorf("%s: the last of %d row groups has pages %v", typ, len(groups), stats)
		}
	}
}
