package tables_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/bitutil"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/shoal-data/shoal/datasets/tables"
)

// allTypes is a schema with every type, in an order that is not alphabetical.
func allTypes() *arrow.Schema {
	meta := func(kv ...string) arrow.Metadata {
		return arrow.MetadataFrom(map[string]string{kv[0]: kv[1], kv[2]: kv[3]})
	}
	return arrow.NewSchema([]arrow.Field{
		{Name: "customer_id", Type: arrow.BinaryTypes.String, Metadata: meta("unit", "", "meaning", "the customer")},
		{Name: "as_of", Type: arrow.PrimitiveTypes.Date32},
		{Name: "recency", Type: arrow.PrimitiveTypes.Float64, Metadata: meta("unit", "days", "meaning", "since the last purchase")},
		{Name: "last_event", Type: tables.Timestamp},
		{Name: "value", Type: tables.Money, Metadata: meta("unit", "EUR", "meaning", "what is expected")},
		{Name: "events", Type: arrow.PrimitiveTypes.Int64},
		{Name: "segment", Type: arrow.PrimitiveTypes.Int32},
		{Name: "active", Type: arrow.FixedWidthTypes.Boolean},
		{Name: "id", Type: &arrow.FixedSizeBinaryType{ByteWidth: 16}, Metadata: arrow.NewMetadata([]string{tables.MetaLogical}, []string{tables.LogicalUUID})},
		{Name: "digest", Type: &arrow.FixedSizeBinaryType{ByteWidth: 5}},
		{Name: "label", Type: arrow.BinaryTypes.String},
		{Name: "nothing", Type: arrow.PrimitiveTypes.Float64},
	}, nil)
}

// makeRows fills the schema of allTypes. One value in seven is null.
func makeRows(seed uint64, rows int) arrow.Record {
	rng := rand.New(rand.NewPCG(seed, 0))
	b := array.NewRecordBuilder(memory.DefaultAllocator, allTypes())
	for i := range rows {
		for c, f := range b.Fields() {
			if rng.IntN(7) == 0 || c == 11 {
				f.AppendNull()
				continue
			}
			switch f := f.(type) {
			case *array.StringBuilder:
				if c == 0 {
					f.Append(fmt.Sprintf("customer-%06d", i))
				} else {
					f.Append([]string{"", "loyal", "läpsed", "新しい"}[rng.IntN(4)])
				}
			case *array.Date32Builder:
				f.Append(arrow.Date32(rng.IntN(40000) - 10000))
			case *array.Float64Builder:
				f.Append([]float64{rng.NormFloat64(), math.Inf(1), math.NaN(), -math.MaxFloat64, 0, 1e-310}[rng.IntN(6)])
			case *array.TimestampBuilder:
				f.Append(arrow.Timestamp(rng.Int64N(4e15) - 2e15))
			case *array.Decimal128Builder:
				f.Append(decimal128.FromI64([]int64{0, 1, -1, 999_999_999_999_999_999, -999_999_999_999_999_999, rng.Int64N(1e9)}[rng.IntN(6)]))
			case *array.Int64Builder:
				f.Append([]int64{math.MinInt64, math.MaxInt64, int64(rng.IntN(50))}[rng.IntN(3)])
			case *array.Int32Builder:
				f.Append(int32(rng.IntN(5)))
			case *array.BooleanBuilder:
				f.Append(rng.IntN(2) == 0)
			case *array.FixedSizeBinaryBuilder:
				v := make([]byte, f.Type().(*arrow.FixedSizeBinaryType).ByteWidth)
				for j := range v {
					v[j] = byte(rng.Uint32())
				}
				f.Append(v)
			}
		}
	}
	return b.NewRecord()
}

func options(change func(*tables.Options)) tables.Options {
	o := tables.DefaultOptions("all_types")
	o.Workers = 2
	if change != nil {
		change(&o)
	}
	return o
}

// encode writes rec in pieces: size gives the rows of the next one.
func encode(t testing.TB, rec arrow.Record, o tables.Options, size func() int64) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := tables.NewWriter(&out, rec.Schema(), o)
	if err != nil {
		t.Fatal(err)
	}
	for from := int64(0); from < rec.NumRows(); {
		to := min(from+size(), rec.NumRows())
		if err := w.Write(rec.NewSlice(from, to)); err != nil {
			t.Fatal(err)
		}
		from = to
	}
	if w.Rows() != rec.NumRows() {
		t.Fatalf("Rows = %d of %d", w.Rows(), rec.NumRows())
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if w.Size() != int64(out.Len()) {
		t.Fatalf("Size = %d of %d bytes", w.Size(), out.Len())
	}
	return out.Bytes()
}

func whole() int64 { return math.MaxInt32 }

func decode(t testing.TB, data []byte) (*tables.File, []arrow.Record) {
	t.Helper()
	f, err := tables.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	recs, err := tables.Read(t.Context(), bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return f, recs
}

// joined is the records as one.
func joined(t testing.TB, schema *arrow.Schema, recs []arrow.Record) arrow.Record {
	t.Helper()
	cols := make([]arrow.Array, schema.NumFields())
	rows := int64(0)
	for c := range cols {
		parts := []arrow.Array{}
		for _, r := range recs {
			parts = append(parts, r.Column(c))
		}
		var err error
		if cols[c], err = array.Concatenate(parts, memory.DefaultAllocator); err != nil {
			t.Fatal(err)
		}
		rows = int64(cols[c].Len())
	}
	return array.NewRecord(schema, cols, rows)
}

func TestRoundTrip(t *testing.T) {
	for _, rows := range []int{1, 2, 1023, 1024, 1025, 8192, 8193, 40_000} {
		rec := makeRows(uint64(rows), rows)
		f, recs := decode(t, encode(t, rec, options(func(o *tables.Options) { o.RowGroupBytes = 1 << 20 }), whole))
		if f.Table() != "all_types" || f.SchemaVersion() != 1 || f.NumRows() != int64(rows) {
			t.Errorf("rows=%d: table %q, version %d, %d rows", rows, f.Table(), f.SchemaVersion(), f.NumRows())
		}
		if want, err := tables.Columns(rec.Schema()); err != nil || !slices.Equal(f.Columns(), want) {
			t.Errorf("rows=%d: columns are %v, want %v", rows, f.Columns(), want)
		}
		got := joined(t, f.Schema(), recs)
		for c := range int(rec.NumCols()) {
			if !array.ApproxEqual(got.Column(c), rec.Column(c), array.WithNaNsEqual(true), array.WithAbsTolerance(0)) {
				t.Errorf("rows=%d: column %s differs", rows, rec.ColumnName(c))
			}
		}
	}
}

// The least of 0 and -0 depends on the CPU's instructions, and with it the
// statistics: a table holds no -0.
func TestNegativeZeroIsZero(t *testing.T) {
	b := array.NewFloat64Builder(memory.DefaultAllocator)
	b.AppendValues([]float64{math.Copysign(0, -1), 0, 1}, nil)
	schema := arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Float64}}, nil)
	_, recs := decode(t, encode(t, array.NewRecord(schema, []arrow.Array{b.NewArray()}, 3), options(nil), whole))
	for i, v := range recs[0].Column(0).(*array.Float64).Float64Values() {
		if math.Signbit(v) {
			t.Errorf("row %d is %v", i+1, v)
		}
	}
}

func TestBytesDependOnRowsAlone(t *testing.T) {
	rec := makeRows(1, 50_000)
	for _, groupBytes := range []int64{1, 100_000, 1 << 20, 128 << 20} {
		rec := rec
		if groupBytes == 1 {
			rec = rec.NewSlice(0, 300) // a row group a row
		}
		o := options(func(o *tables.Options) { o.RowGroupBytes = groupBytes; o.Workers = 1 })
		want := encode(t, rec, o, whole)
		rng := rand.New(rand.NewPCG(uint64(groupBytes), 0))
		for round := range 4 {
			o.Workers = 1 + round
			top := []int64{7, 1000, 9000, 50_000}[round]
			if got := encode(t, rec, o, func() int64 { return 1 + rng.Int64N(top) }); !bytes.Equal(got, want) {
				t.Errorf("row groups of %d bytes, records of up to %d rows, %d workers: other bytes", groupBytes, top, o.Workers)
			}
		}
		if other := encode(t, makeRows(2, int(rec.NumRows())), o, whole); bytes.Equal(other, want) {
			t.Error("other rows gave the same bytes")
		}
	}
}

// Arrow does not say what lies behind a null, so it must not count.
func TestBytesIgnoreWhatLiesBehindNulls(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "s", Type: arrow.BinaryTypes.String}, {Name: "x", Type: arrow.PrimitiveTypes.Float64}}, nil)
	file := func(behind string, x float64) []byte {
		const rows = 20_000
		offsets, text := make([]int32, 1, rows+1), []byte{}
		floats, valid := make([]float64, rows), make([]byte, bitutil.BytesForBits(rows))
		for i := range rows {
			floats[i] = float64(i)
			if i%3 == 0 {
				text, floats[i] = append(text, behind...), x
			} else {
				text = append(text, "text"...)
				bitutil.SetBit(valid, i)
			}
			offsets = append(offsets, int32(len(text)))
		}
		bitmap := memory.NewBufferBytes(valid)
		s := array.NewStringData(array.NewData(arrow.BinaryTypes.String, rows, []*memory.Buffer{bitmap, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(offsets)), memory.NewBufferBytes(text)}, nil, rows/3+1, 0))
		f := array.NewFloat64Data(array.NewData(arrow.PrimitiveTypes.Float64, rows, []*memory.Buffer{bitmap, memory.NewBufferBytes(arrow.Float64Traits.CastToBytes(floats))}, nil, rows/3+1, 0))
		return encode(t, array.NewRecord(schema, []arrow.Array{s, f}, rows), options(func(o *tables.Options) { o.RowGroupBytes = 50_000 }), whole)
	}
	if !bytes.Equal(file("", 0), file("\xff garbage", math.Pi)) {
		t.Error("the bytes depend on what lies behind nulls")
	}
}

// The writer keeps nothing of a record: the caller may reuse its memory.
func TestRecordMemoryMayBeReused(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Float64}}, nil)
	values := make([]float64, 100)
	rec := array.NewRecord(schema, []arrow.Array{array.NewFloat64Data(array.NewData(arrow.PrimitiveTypes.Float64, 100,
		[]*memory.Buffer{nil, memory.NewBufferBytes(arrow.Float64Traits.CastToBytes(values))}, nil, 0, 0))}, 100)
	var out bytes.Buffer
	w, err := tables.NewWriter(&out, schema, options(nil))
	if err != nil {
		t.Fatal(err)
	}
	for round := range 200 { // across the end of the sample
		for i := range values {
			values[i] = float64(100*round + i)
		}
		if err := w.Write(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, recs := decode(t, out.Bytes())
	for i, v := range joined(t, f.Schema(), recs).Column(0).(*array.Float64).Float64Values() {
		if v != float64(i) {
			t.Fatalf("row %d holds %v", i+1, v)
		}
	}
}

func TestLayout(t *testing.T) {
	const rows = 400_000
	rec := featureLike(rows, 6)
	text := array.NewStringBuilder(memory.DefaultAllocator)
	for i := range rows {
		text.Append(strings.Repeat(fmt.Sprintf("%07d", i), 1+i%9))
	}
	schema := arrow.NewSchema(append(rec.Schema().Fields(), arrow.Field{Name: "a_text", Type: arrow.BinaryTypes.String}), nil)
	rec = array.NewRecord(schema, append(slices.Clone(rec.Columns()), text.NewArray()), rows)
	const groupBytes = 8 << 20
	data := encode(t, rec, options(func(o *tables.Options) { o.RowGroupBytes = groupBytes }), whole)
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	meta := f.Metadata()
	if got := meta.CreatedBy; !strings.HasPrefix(got, "shoal version 2.0.0 ") {
		t.Errorf("created_by is %q", got)
	}
	for i, e := range meta.Schema[1:] {
		if e.Name != schema.Field(i).Name {
			t.Errorf("column %d is %s, declared %s", i+1, e.Name, schema.Field(i).Name)
		}
		if !e.RepetitionType.Valid || e.RepetitionType.V != format.Optional {
			t.Errorf("column %s is not optional", e.Name)
		}
	}
	encodings := map[string]bool{}
	for g, group := range meta.RowGroups {
		if last := g == len(meta.RowGroups)-1; !last && group.TotalByteSize < groupBytes/2 {
			t.Errorf("row group %d has %d bytes", g+1, group.TotalByteSize)
		}
		for c, chunk := range group.Columns {
			m := chunk.MetaData
			name := schema.Field(c).Name
			encodings[fmt.Sprint(name, " ", m.DictionaryPageOffset > 0)] = true
			if m.Codec != format.Zstd {
				t.Errorf("column %s is compressed with %s", name, m.Codec)
			}
			if len(m.Statistics.MinValue) == 0 || len(m.Statistics.MaxValue) == 0 {
				t.Errorf("row group %d, column %s has no statistics", g+1, name)
			}
			nulls := int64(0)
			pages := f.RowGroups()[g].ColumnChunks()[c].Pages()
			for {
				page, err := pages.ReadPage()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if page.Size() >= 1<<20 {
					t.Errorf("row group %d, column %s has a page of %d bytes", g+1, name, page.Size())
				}
				nulls += page.NumNulls()
				parquet.Release(page)
			}
			pages.Close()
			if nulls != m.Statistics.NullCount {
				t.Errorf("row group %d, column %s: %d nulls, statistics say %d", g+1, name, nulls, m.Statistics.NullCount)
			}
		}
	}
	if n := len(meta.RowGroups); n < 4 {
		t.Errorf("%d row groups", n)
	}
	// Counts repeat, fractions of days and identifiers do not.
	for want := range map[string]int{"f000 true": 0, "f001 false": 0, "a_text false": 0} {
		if !encodings[want] {
			t.Errorf("want column and dictionary %q, have %v", want, encodings)
		}
	}
}

func TestEmptyTable(t *testing.T) {
	f, recs := decode(t, encode(t, makeRows(1, 0), options(nil), whole))
	if f.NumRows() != 0 || len(recs) != 0 || !slices.Equal(f.Columns(), must(tables.Columns(allTypes()))) {
		t.Errorf("%d rows, %d records, columns %v", f.NumRows(), len(recs), f.Columns())
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestReadPicksColumns(t *testing.T) {
	rec := makeRows(3, 100)
	f, _ := decode(t, encode(t, rec, options(nil), whole))
	for got, err := range f.Records(t.Context(), "segment", "customer_id") {
		if err != nil {
			t.Fatal(err)
		}
		if got.NumCols() != 2 || !array.Equal(got.Column(0), rec.Column(6)) || !array.Equal(got.Column(1), rec.Column(0)) {
			t.Errorf("read %v", got.Schema())
		}
	}
	for _, err := range f.Records(t.Context(), "segment", "none", "nil") {
		if err == nil || !strings.Contains(err.Error(), `"none"`) || !strings.Contains(err.Error(), `"nil"`) {
			t.Errorf("error %v does not name both missing columns", err)
		}
	}
}

func TestFillStopsWhereARowGroupEnds(t *testing.T) {
	rec := featureLike(30_000, 3) // 24 bytes a row
	w := must(tables.NewWriter(io.Discard, rec.Schema(), options(func(o *tables.Options) { o.RowGroupBytes = 24 * 10_000 })))
	var ends []int64
	size := int64(0)
	for from := int64(0); from < rec.NumRows(); {
		n, err := w.Fill(rec, from)
		if err != nil {
			t.Fatal(err)
		}
		if from += n; w.Size() > size {
			ends, size = append(ends, from), w.Size()
		}
	}
	if want := []int64{10_000, 20_000, 30_000}; !slices.Equal(ends, want) {
		t.Errorf("Size grew at rows %v, want %v", ends, want)
	}
}

func TestSchemaFaults(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "Upper", Type: arrow.PrimitiveTypes.Float64},
		{Name: strings.Repeat("x", 64), Type: arrow.PrimitiveTypes.Float64},
		{Name: "1st", Type: arrow.PrimitiveTypes.Float64},
		{Name: "same", Type: arrow.PrimitiveTypes.Float64},
		{Name: "same", Type: arrow.PrimitiveTypes.Float64},
		{Name: "u", Type: arrow.PrimitiveTypes.Uint64},
		{Name: "ns", Type: arrow.FixedWidthTypes.Timestamp_ns},
		{Name: "local", Type: &arrow.TimestampType{Unit: arrow.Microsecond}},
		{Name: "wide", Type: &arrow.Decimal128Type{Precision: 38, Scale: 9}},
		{Name: "ok", Type: arrow.PrimitiveTypes.Float64},
		{Name: "id", Type: arrow.BinaryTypes.String, Metadata: arrow.NewMetadata([]string{tables.MetaLogical}, []string{tables.LogicalUUID})},
		{Name: "ws", Type: &arrow.FixedSizeBinaryType{ByteWidth: 0}},
	}, nil)
	_, err := tables.Columns(schema)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`column 1: name "Upper"`, "column 2: name", "column 3: name", `column 5: name "same" is that of column 4`,
		"u has type uint64", "ns has type timestamp[ns", "local has type timestamp[us]", "wide has type decimal(38, 9)", `id has metadata logical="uuid"`, "ws has type fixed_size_binary[0]",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not contain %q:\n%v", want, err)
		}
	}
	if got := strings.Count(err.Error(), "\n") + 1; got != 10 {
		t.Errorf("%d faults, want 10:\n%v", got, err)
	}
	if _, err := tables.Columns(arrow.NewSchema(nil, nil)); err == nil {
		t.Error("a schema without columns was taken")
	}
}

func TestOptionsFaults(t *testing.T) {
	err := tables.Options{Table: "no-dash"}.Validate()
	for _, want := range []string{`Table name "no-dash"`, "SchemaVersion (0) must be >= 1", "RowGroupBytes (0) must be >= 1", "Workers (0) must be >= 1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error does not contain %q:\n%v", want, err)
		}
	}
	if err := tables.DefaultOptions("scores").Validate(); err != nil {
		t.Error(err)
	}
}

func TestValueFaults(t *testing.T) {
	const good = 9000 // more than the sample, so that the fault is in the stream
	for name, c := range map[string]struct {
		typ    arrow.DataType
		append func(array.Builder, bool)
		want   string
	}{
		"decimal": {tables.Money, func(b array.Builder, bad bool) {
			v := decimal128.FromI64(1)
			if bad {
				v = decimal128.FromI64(1_000_000_000_000_000_000)
			}
			b.(*array.Decimal128Builder).Append(v)
		}, "100000000000000.0000 does not fit DECIMAL(18,4)"},
		"wide decimal": {tables.Money, func(b array.Builder, bad bool) {
			v := decimal128.FromI64(1)
			if bad {
				v = decimal128.New(1, 0)
			}
			b.(*array.Decimal128Builder).Append(v)
		}, "does not fit DECIMAL(18,4)"},
		"utf8": {arrow.BinaryTypes.String, func(b array.Builder, bad bool) {
			v := "good"
			if bad {
				v = "b\xffd"
			}
			b.(*array.StringBuilder).Append(v)
		}, "is not valid UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			schema := arrow.NewSchema([]arrow.Field{{Name: "x", Type: c.typ}}, nil)
			w := must(tables.NewWriter(io.Discard, schema, options(nil)))
			b := array.NewBuilder(memory.DefaultAllocator, c.typ)
			for range good {
				c.append(b, false)
			}
			rec := array.NewRecord(schema, []arrow.Array{b.NewArray()}, good)
			if err := w.Write(rec); err != nil {
				t.Fatal(err)
			}
			for i := range 20 {
				c.append(b, i == 16)
			}
			err := w.Write(array.NewRecord(schema, []arrow.Array{b.NewArray()}, 20))
			for _, want := range []string{"all_types: row 9017, column x: ", c.want} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error does not contain %q: %v", want, err)
				}
			}
			if again := w.Write(rec); again != err {
				t.Errorf("after a fault Write returns %v", again)
			}
			if again := w.Close(); again != err {
				t.Errorf("after a fault Close returns %v", again)
			}
		})
	}
}

func TestWrongRecord(t *testing.T) {
	rec := makeRows(1, 10)
	for _, other := range []arrow.Record{featureLike(10, 3), featureLike(10, 12)} {
		w := must(tables.NewWriter(io.Discard, rec.Schema(), options(nil)))
		if err := w.Write(other); err == nil {
			t.Errorf("a record of %v was taken", other.Schema())
		}
	}
}

type brokenWriter struct{ left int }

var errBroken = errors.New("broken")

func (b *brokenWriter) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, errBroken
	}
	return len(p), nil
}

func TestWriterFails(t *testing.T) {
	rec := featureLike(20_000, 10)
	size := len(encode(t, rec, options(func(o *tables.Options) { o.RowGroupBytes = 100_000 }), whole))
	for left := 0; left < size; left += size / 50 {
		w := must(tables.NewWriter(&brokenWriter{left}, rec.Schema(), options(func(o *tables.Options) { o.RowGroupBytes = 100_000 })))
		err := w.Write(rec)
		if err == nil {
			err = w.Close()
		}
		if !errors.Is(err, errBroken) {
			t.Fatalf("after %d of %d bytes the error is %v", left, size, err)
		}
	}
}

// Page checksums are what makes a flipped bit an error instead of a number.
func TestCorruptionIsNoticed(t *testing.T) {
	rec := makeRows(5, 3000)
	data := encode(t, rec, options(nil), whole)
	rng := rand.New(rand.NewPCG(5, 5))
	caught, harmless := 0, 0
	for range 400 {
		bad := slices.Clone(data)
		at, bit := rng.IntN(len(bad)), rng.IntN(8)
		bad[at] ^= 1 << bit
		recs, err := tables.Read(t.Context(), bytes.NewReader(bad), int64(len(bad)))
		if err != nil {
			caught++
			continue
		}
		harmless++ // in statistics and the page index, which are not read
		for c := range int(rec.NumCols()) {
			if !array.ApproxEqual(joined(t, rec.Schema(), recs).Column(c), rec.Column(c), array.WithNaNsEqual(true), array.WithAbsTolerance(0)) {
				t.Errorf("byte %d bit %d: column %s silently differs", at, bit, rec.ColumnName(c))
			}
		}
	}
	if caught < 300 {
		t.Errorf("%d of 400 bit flips caught, %d harmless", caught, harmless)
	}
	for cut := 0; cut < len(data); cut += 1 + len(data)/200 {
		if _, err := tables.Read(t.Context(), bytes.NewReader(data[:cut]), int64(cut)); err == nil {
			t.Errorf("a file cut to %d of %d bytes was read", cut, len(data))
		}
	}
}

func TestMemoryStaysWithinARowGroup(t *testing.T) {
	rec := featureLike(20_000, 20)
	const groupBytes = 4 << 20
	w := must(tables.NewWriter(io.Discard, rec.Schema(), options(func(o *tables.Options) { o.RowGroupBytes = groupBytes })))
	heap := func() int64 {
		runtime.GC()
		runtime.GC() // pools let go after two
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for range 20 { // 64 MB of values
		if err := w.Write(rec); err != nil {
			t.Fatal(err)
		}
	}
	if grown := heap() - before; grown > 5*groupBytes {
		t.Errorf("holds %d bytes for row groups of %d", grown, groupBytes)
	}
	runtime.KeepAlive(w)
}
