package pages

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/shoal-data/shoal/datasets/scan/internal/encoding"
	"github.com/shoal-data/shoal/datasets/scan/internal/footer"
)

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := thrift.Marshal(new(thrift.CompactProtocol), v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// page is a page of the given header and body; the sizes are the body's unless set.
func page(t *testing.T, h format.PageHeader, body []byte) []byte {
	if h.CompressedPageSize == 0 {
		h.CompressedPageSize = int32(len(body))
	}
	if h.UncompressedPageSize == 0 {
		h.UncompressedPageSize = int32(len(body))
	}
	return append(marshal(t, &h), body...)
}

func v1(n int, enc format.Encoding) format.PageHeader {
	return format.PageHeader{Type: format.DataPage, DataPageHeader: thrift.New(format.DataPageHeader{NumValues: int32(n), Encoding: enc, DefinitionLevelEncoding: format.RLE, RepetitionLevelEncoding: format.RLE})}
}

func dictHeader(n int) format.PageHeader {
	return format.PageHeader{Type: format.DictionaryPage, DictionaryPageHeader: thrift.New(format.DictionaryPageHeader{NumValues: int32(n), Encoding: format.Plain})}
}

// readAll reads a chunk of the given bytes to its end.
func readAll(data []byte, c footer.Chunk) (rows int, err error) {
	c.Length = int64(len(data))
	var r Reader
	r.Reset(bytes.NewReader(data), c)
	for {
		n, err := r.Available()
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return rows, err
		}
		if _, err := r.Next(min(n, 1000)); err != nil {
			return rows, err
		}
		rows += min(n, 1000)
	}
}

func ints(v ...int64) (b []byte) {
	for _, x := range v {
		b = binary.LittleEndian.AppendUint64(b, uint64(x))
	}
	return b
}

// Pages that do not hold what their headers state are refused, without much memory.
func TestHostilePages(t *testing.T) {
	i64 := footer.Chunk{Rows: 4, Type: encoding.Type{Physical: format.Int64}}
	opt := footer.Chunk{Rows: 4, Type: encoding.Type{Physical: format.Int64}, MaxDef: 1}
	str := footer.Chunk{Rows: 4, Type: encoding.Type{Physical: format.ByteArray}}
	with := func(c footer.Chunk, change func(*footer.Chunk)) footer.Chunk { change(&c); return c }
	huge := binary.AppendUvarint(nil, 1<<62)
	four := ints(1, 2, 3, 4)
	crc := v1(4, format.Plain)
	crc.CRC = 12345
	bomb := v1(4, format.Plain)
	bomb.UncompressedPageSize = 200 << 20
	tooBig := v1(4, format.Plain)
	tooBig.UncompressedPageSize = math.MaxInt32
	long := v1(4, format.Plain)
	long.CompressedPageSize = 1 << 30
	negative := v1(4, format.Plain)
	negative.UncompressedPageSize = -5
	v2 := format.PageHeader{Type: format.DataPageV2, DataPageHeaderV2: thrift.New(format.DataPageHeaderV2{NumValues: 4, NumRows: 4, NumNulls: 0, Encoding: format.Plain, DefinitionLevelsByteLength: 100})}
	nulls := format.PageHeader{Type: format.DataPageV2, DataPageHeaderV2: thrift.New(format.DataPageHeaderV2{NumValues: 4, NumRows: 4, NumNulls: 3, Encoding: format.Plain, DefinitionLevelsByteLength: 2, IsCompressed: thrift.New(false)})}
	dict := page(t, dictHeader(2), ints(7, 8))
	deltaOf := func(block, minis, total uint64, rest ...byte) []byte {
		b := binary.AppendUvarint(binary.AppendUvarint(binary.AppendUvarint(nil, block), minis), total)
		return append(append(b, 0), rest...)
	}
	for _, tc := range []struct {
		name  string
		chunk footer.Chunk
		data  []byte
		want  string // "" is no error
	}{
		{"sound", i64, page(t, v1(4, format.Plain), four), ""},
		{"sound, two pages", i64, append(page(t, v1(3, format.Plain), four[:24]), page(t, v1(1, format.Plain), four[24:])...), ""},
		{"sound dictionary", i64, append(slices.Clone(dict), page(t, v1(4, format.RLEDictionary), []byte{1, 3, 0b1010})...), ""},
		{"no values, as parquet-go ends it", opt, append(page(t, dictHeader(0), nil), page(t, v1(4, format.RLEDictionary), []byte{2, 0, 0, 0, 8, 0, 0, 0})...), ""},
		{"missing rows", i64, page(t, v1(3, format.Plain), four[:24]), "the column chunk ends and 1 rows are missing"},
		{"too many rows", i64, page(t, v1(5, format.Plain), append(four, four[:8]...)), "states 5 values and the row group has 4 rows left"},
		{"short body", i64, page(t, v1(4, format.Plain), four[:31]), "fewer values"},
		{"long body", i64, page(t, v1(4, format.Plain), append(four, 0)), "more than its header"},
		{"checksum", i64, page(t, crc, four), ErrChecksum.Error()},
		{"beyond the chunk", i64, page(t, long, four), "states 1073741824 bytes and the column chunk has 32 left"},
		{"too big", with(i64, func(c *footer.Chunk) { c.Codec = format.Zstd }), page(t, tooBig, four), "larger than 256 MiB"},
		{"negative size", i64, page(t, negative, four), "negative size -5"},
		{"snappy bomb", with(i64, func(c *footer.Chunk) { c.Codec = format.Snappy }), page(t, bomb, four), "which 32 bytes of SNAPPY cannot hold"},
		{"other size", with(i64, func(c *footer.Chunk) { c.Codec = format.Snappy }), page(t, v1(4, format.Plain), snappy.Encode(nil, four)), "does not decompress to the size"},
		{"no dictionary", i64, page(t, v1(4, format.RLEDictionary), []byte{1, 3, 0b1010}), "refers to a dictionary that is not there"},
		{"two dictionaries", i64, append(slices.Clone(dict), dict...), "second dictionary"},
		{"index beyond the dictionary", i64, append(slices.Clone(dict), page(t, v1(4, format.RLEDictionary), []byte{2, 3, 0b11100100, 0})...), "refers to value 3 of a dictionary of 2"},
		{"wide indexes", i64, append(slices.Clone(dict), page(t, v1(4, format.RLEDictionary), []byte{33, 3, 0})...), "indexes of 33 bits"},
		{"empty run", i64, append(slices.Clone(dict), page(t, v1(4, format.RLEDictionary), []byte{1, 0, 0})...), "a run of 0 values"},
		{"endless run", i64, append(slices.Clone(dict), page(t, v1(4, format.RLEDictionary), append([]byte{1}, huge...))...), "a run of"},
		{"values left over", i64, append(slices.Clone(dict), page(t, v1(4, format.RLEDictionary), []byte{1, 16, 1})...), "more than its header"},
		{"dictionary count", i64, append(page(t, dictHeader(1<<30), ints(7, 8)), page(t, v1(4, format.RLEDictionary), []byte{1, 3, 0})...), "fewer values"},
		{"level beyond", opt, page(t, v1(4, format.Plain), append([]byte{2, 0, 0, 0, 8, 3}, four...)), "more than its 1 bits"},
		{"levels beyond the page", opt, page(t, v1(4, format.Plain), append([]byte{255, 0, 0, 0, 8, 1}, four...)), "fewer values"},
		{"old levels", opt, page(t, func() format.PageHeader {
			h := v1(4, format.Plain)
			h.DataPageHeader.V.DefinitionLevelEncoding = format.BitPacked
			return h
		}(), four), "level encoding 4 is not supported"},
		{"v2 levels beyond the page", opt, page(t, v2, four), "fewer values"},
		{"v2 null count", opt, page(t, nulls, append([]byte{8, 1}, four...)), "holds 0 nulls where its header states 3"},
		{"string beyond the page", str, page(t, v1(4, format.Plain), []byte{255, 255, 255, 255, 'x'}), "fewer values"},
		{"delta count", i64, page(t, v1(4, format.DeltaBinaryPacked), deltaOf(128, 4, 1<<40)), "holds 1099511627776 delta-encoded values where its header states 4"},
		{"delta blocks", i64, page(t, v1(4, format.DeltaBinaryPacked), deltaOf(1<<40, 4, 4)), "delta blocks of 1099511627776 values"},
		{"delta without blocks", i64, page(t, v1(4, format.DeltaBinaryPacked), deltaOf(128, 0, 4)), "in 0 parts"},
		{"delta width", i64, page(t, v1(4, format.DeltaBinaryPacked), deltaOf(128, 4, 4, 0, 65, 0, 0, 0)), "deltas of 65 bits"},
		{"delta cut", i64, page(t, v1(4, format.DeltaBinaryPacked), deltaOf(128, 4, 4, 0, 64, 0, 0, 0)), "fewer values"},
		{"delta lengths", str, page(t, v1(4, format.DeltaLengthByteArray), deltaOf(128, 4, 4, 20, 0, 0, 0, 0)), "fewer values"},
		{"unknown encoding", i64, page(t, v1(4, 77), four), "encoding Encoding(?) of INT64 is not supported"},
		{"unknown page", i64, page(t, format.PageHeader{Type: 9}, four), "unknown type 9"},
		{"header of another type", i64, page(t, format.PageHeader{Type: format.DataPageV2, DataPageHeader: v1(4, 0).DataPageHeader}, four), "unknown type 3"},
		{"codec", with(i64, func(c *footer.Chunk) { c.Codec = format.LZO }), page(t, v1(4, format.Plain), four), "compression LZO is not supported"},
		{"garbage", i64, bytes.Repeat([]byte{0xFF}, 300), "header cannot be read"},
	} {
		var err error
		var rows int
		n := allocated(func() { rows, err = readAll(tc.data, tc.chunk) })
		switch {
		case tc.want == "" && (err != nil || rows != 4):
			t.Errorf("%s: %d rows, %v", tc.name, rows, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: error %v, want one that says %q", tc.name, err, tc.want)
		}
		if n > 4<<20 {
			t.Errorf("%s: %d bytes allocated for %d", tc.name, n, len(tc.data))
		}
	}
}

// A zstd frame larger than its header states is not unpacked.
func TestZstdBomb(t *testing.T) {
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := enc.EncodeAll(make([]byte, 64<<20), nil)
	h := v1(4, format.Plain)
	h.UncompressedPageSize = 32
	data := page(t, h, b)
	n := allocated(func() {
		_, err = readAll(data, footer.Chunk{Rows: 4, Type: encoding.Type{Physical: format.Int64}, Codec: format.Zstd})
	})
	if err == nil || n > 24<<20 {
		t.Errorf("%d bytes allocated, error %v", n, err)
	}
}

// However a chunk is asked for, it gives the same values.
func TestNextInAnySteps(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	// Runs of both kinds, levels and indexes alike.
	var levels, index []byte
	var want []int64 // -1 is null
	for len(want) < 5000 {
		if rng.IntN(2) == 0 {
			n, valid, v := 1+rng.IntN(40), rng.IntN(3) > 0, byte(rng.IntN(4))
			l := byte(0)
			if valid {
				l = 1
				index = append(binary.AppendUvarint(index, uint64(n)<<1), v)
			}
			levels = append(binary.AppendUvarint(levels, uint64(n)<<1), l)
			for range n {
				if valid {
					want = append(want, 10+int64(v))
				} else {
					want = append(want, -1)
				}
			}
			continue
		}
		bits := byte(rng.IntN(256))
		levels = append(levels, 3, bits)
		for k := range 8 {
			if bits>>k&1 == 0 {
				want = append(want, -1)
				continue
			}
			v := byte(rng.IntN(4))
			index = append(binary.AppendUvarint(index, 2), v)
			want = append(want, 10+int64(v))
		}
	}
	body := binary.LittleEndian.AppendUint32(nil, uint32(len(levels)))
	body = append(append(append(body, levels...), 2), index...)
	data := append(page(t, dictHeader(4), ints(10, 11, 12, 13)), page(t, v1(len(want), format.RLEDictionary), body)...)
	for step := 1; step < 3000; step = step*2 + 1 {
		var r Reader
		r.Reset(bytes.NewReader(data), footer.Chunk{Length: int64(len(data)), Rows: int64(len(want)), Type: encoding.Type{Physical: format.Int64}, MaxDef: 1})
		var got []int64
		for {
			n, err := r.Available()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			run, err := r.Next(min(n, 1+rng.IntN(step)))
			if err != nil {
				t.Fatal(err)
			}
			for i := range run.Rows {
				if run.Valid != nil && !run.Valid[i] {
					got = append(got, -1)
				} else {
					got = append(got, run.Dict.Ints[run.Index[i]])
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("in steps of at most %d the values differ", step)
		}
	}
}

// Any bytes at all are read or refused: neither panic nor endless memory.
func FuzzReader(f *testing.F) {
	f.Add([]byte{0x15, 0x00}, uint8(2), uint8(0), uint8(1))
	body := ints(1, 2, 3, 4)
	h := v1(4, format.Plain)
	h.CompressedPageSize, h.UncompressedPageSize = 32, 32
	b, err := thrift.Marshal(new(thrift.CompactProtocol), &h)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(b, body...), uint8(2), uint8(0), uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, physical, codec, maxDef uint8) {
		readAll(data, footer.Chunk{Rows: 100, Type: encoding.Type{Physical: format.Type(physical % 8), Width: 5}, Codec: format.CompressionCodec(codec % 8), MaxDef: int(maxDef % 3)})
	})
}
