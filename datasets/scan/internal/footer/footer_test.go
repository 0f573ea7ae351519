package footer

import (
	"bytes"
	"encoding/binary"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/shoal-data/shoal/datasets/scan/internal/compact"
)

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// file wraps a footer's bytes into a file.
func file(footer []byte) []byte {
	b := append([]byte("PAR1"), footer...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(footer)))
	return append(b, "PAR1"...)
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := thrift.Marshal(new(thrift.CompactProtocol), v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Footers that claim what they do not hold are refused without the memory being
// taken that they ask for.
func TestHostileFooters(t *testing.T) {
	big := binary.AppendUvarint(nil, math.MaxInt32)
	list := func(typ byte) []byte { return append([]byte{0x15, 0x02, 0x19, 0xF0 | typ}, big...) }
	deep := append([]byte{0x15, 0x02}, bytes.Repeat([]byte{0x1C}, 100_000)...)
	structs := append([]byte{0x15, 0x02, 0x19, 0x0C | 0xF0}, binary.AppendUvarint(nil, 1_000_000)...)
	structs = append(structs, make([]byte, 1_000_001)...) // and the end of the footer
	for name, footer := range map[string][]byte{
		"nothing": nil, "a huge list of structs": list(compact.Struct), "a huge list of strings": list(compact.Binary),
		"nested without end": deep, "a million empty structs": structs,
		"a huge string":   append([]byte{0x18}, big...),
		"a huge map":      append([]byte{0x1B}, append(big, 0x88)...),
		"a long varint":   bytes.Repeat([]byte{0x15, 0xFF}, 100),
		"an unknown type": {0x1E},
	} {
		data := file(footer)
		var err error
		n := allocated(func() { _, err = Read(bytes.NewReader(data), int64(len(data))) })
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if n > 8<<20 {
			t.Errorf("%s: %d bytes allocated for a file of %d", name, n, len(data))
		}
	}
}

// A sound footer passes, and each contradiction in one is told.
func TestFooterChecks(t *testing.T) {
	sound := func() *format.FileMetaData {
		return &format.FileMetaData{
			Version: 2, NumRows: 3,
			Schema: []format.SchemaElement{
				{Name: "root", NumChildren: thrift.New[int32](1)},
				{Name: "a", Type: thrift.New(format.Int64), RepetitionType: thrift.New(format.Required)},
			},
			RowGroups: []format.RowGroup{{NumRows: 3, Columns: []format.ColumnChunk{{MetaData: format.ColumnMetaData{
				Type: format.Int64, PathInSchema: []string{"a"}, NumValues: 3, DataPageOffset: 4, TotalCompressedSize: 20, Encoding: []format.Encoding{},
			}}}}},
		}
	}
	for _, tc := range []struct {
		name   string
		change func(*format.FileMetaData)
		want   string
	}{
		{"sound", func(*format.FileMetaData) {}, ""},
		{"rows", func(m *format.FileMetaData) { m.NumRows = 4 }, "its row groups have 3 rows, and its footer states 4"},
		{"many rows", func(m *format.FileMetaData) { m.NumRows = 1 << 60; m.RowGroups[0].NumRows = 1 << 60 }, "states 1152921504606846976 rows"},
		{"negative rows", func(m *format.FileMetaData) { m.RowGroups[0].NumRows = -1 }, "do not add up"},
		{"columns", func(m *format.FileMetaData) {
			m.RowGroups[0].Columns = append(m.RowGroups[0].Columns, m.RowGroups[0].Columns[0])
		}, "has 2 columns, and its schema 1"},
		{"children", func(m *format.FileMetaData) { m.Schema[0].NumChildren.V = 2 }, "ends too early"},
		{"left over", func(m *format.FileMetaData) { m.Schema = append(m.Schema, m.Schema[1]) }, "lists 3 columns and groups, and uses 2"},
		{"type", func(m *format.FileMetaData) { m.RowGroups[0].Columns[0].MetaData.Type = format.Double }, "its schema states INT64 and its row group DOUBLE"},
		{"path", func(m *format.FileMetaData) { m.Schema[1].Name = "b" }, `its row group names the column "a"`},
		{"values", func(m *format.FileMetaData) { m.RowGroups[0].Columns[0].MetaData.NumValues = 2 }, "2 values for 3 rows"},
		{"offset", func(m *format.FileMetaData) { m.RowGroups[0].Columns[0].MetaData.DataPageOffset = 1 << 40 }, "states 20 bytes at"},
		{"length", func(m *format.FileMetaData) { m.RowGroups[0].Columns[0].MetaData.TotalCompressedSize = 1 << 62 }, "states 4611686018427387904 bytes"},
		{"other file", func(m *format.FileMetaData) { m.RowGroups[0].Columns[0].FilePath = "b.parquet" }, `lie in another file, "b.parquet"`},
		{"scale", func(m *format.FileMetaData) {
			m.Schema[1].ConvertedType = thrift.New(format.SchemaElement{}.ConvertedType.V + 5) // DECIMAL
			m.Schema[1].Scale, m.Schema[1].Precision = thrift.New[int32](2), thrift.New[int32](9)
			m.Schema[1].LogicalType.Value = &format.DecimalType{Scale: 3, Precision: 9}
		}, `column "a" is annotated as DECIMAL(9,3)`},
		{"encrypted", func(m *format.FileMetaData) { m.EncryptionAlgorithm.Value = &format.AesGcmV1{} }, "encrypted"},
	} {
		m := sound()
		tc.change(m)
		data := file(marshal(t, m))
		f, err := Read(bytes.NewReader(data), int64(len(data)))
		if err == nil {
			_, err = f.Chunk(0, 0, int64(len(data)))
		}
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", tc.name, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: error %v, want one that says %q", tc.name, err, tc.want)
		}
	}
}

// A footer of any bytes is read or refused.
func FuzzFooter(f *testing.F) {
	f.Add([]byte{0x15, 0x02, 0x19, 0x1C})
	f.Fuzz(func(t *testing.T, footer []byte) {
		data := file(footer)
		Read(bytes.NewReader(data), int64(len(data)))
	})
}
