// Package footer reads the footer of a Parquet file: its columns, its row groups
// and where the chunks of data lie. The thrift structures are decoded by
// parquet-go; what they say is held against the file's size and against itself
// before anything is believed or allocated.
package footer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
	"github.com/zeebo/xxh3"

	"github.com/shoal-data/shoal/datasets/scan/internal/compact"
	"github.com/shoal-data/shoal/datasets/scan/internal/encoding"
	"github.com/shoal-data/shoal/datasets/scan/internal/fault"
)

const (
	maxFooter      = 128 << 20 // bytes; 10,000 columns in 100 row groups take about as many
	maxSchemaDepth = 64
	// maxRowsPerByte bounds the rows that a file may claim for its size. A row
	// group of constants holds 1e5 rows a byte; far beyond lies only damage.
	maxRowsPerByte = 1 << 20
)

// A Leaf is a column of a file.
type Leaf struct {
	Path     []string
	Element  *format.SchemaElement
	MaxDef   int
	Repeated bool // it, or a group it is in, repeats
}

// Name is the path, dotted.
func (l *Leaf) Name() string { return strings.Join(l.Path, ".") }

// A Footer is the checked metadata of a file.
type Footer struct {
	Rows      int64
	Leaves    []Leaf
	RowGroups []RowGroup
	Hash      string // of the footer's bytes, hexadecimal

	padded bool // see Chunk
}

// Find is the position of the column of the given name, -1 when there is none. A
// name with dots may be a path or a name.
func (f *Footer) Find(name string) int {
	return slices.IndexFunc(f.Leaves, func(l Leaf) bool { return l.Name() == name })
}

// IsGroup says whether the name is that of a group of columns.
func (f *Footer) IsGroup(name string) bool {
	return slices.ContainsFunc(f.Leaves, func(l Leaf) bool { return strings.HasPrefix(l.Name(), name+".") })
}

// A RowGroup is a block of rows: Columns[i] belongs to the footer's Leaves[i].
type RowGroup struct {
	Columns thrift.Slice[ColumnChunk] `thrift:"1,required"`
	Rows    int64                     `thrift:"3,required"`
}

// A ColumnChunk is one column of a row group. It and the types below are the
// structures of parquet.thrift, less what is not used here: a lake's footers are
// many times smaller so, a key without a value, which the format allows, is no
// fault, and an absent null count is not 0.
// Source: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
type ColumnChunk struct {
	FilePath                string                      `thrift:"1,optional"`
	MetaData                ColumnMetaData              `thrift:"3,optional"`
	CryptoMetadata          format.ColumnCryptoMetaData `thrift:"8,optional"`
	EncryptedColumnMetadata []byte                      `thrift:"9,optional"`
}

// ColumnMetaData says where a chunk is and what it holds.
type ColumnMetaData struct {
	Type                 format.Type                   `thrift:"1,required"`
	Encodings            thrift.Slice[format.Encoding] `thrift:"2,optional"`
	PathInSchema         thrift.Slice[string]          `thrift:"3,required"`
	Codec                format.CompressionCodec       `thrift:"4,required"`
	NumValues            int64                         `thrift:"5,required"`
	TotalCompressedSize  int64                         `thrift:"7,required"`
	DataPageOffset       int64                         `thrift:"9,required"`
	DictionaryPageOffset int64                         `thrift:"11,optional"`
	Statistics           Statistics                    `thrift:"12,optional"`
}

// Statistics bound the values of a chunk, PLAIN without length.
type Statistics struct {
	NullCount thrift.Null[int64] `thrift:"3,optional"`
	MaxValue  []byte             `thrift:"5"`
	MinValue  []byte             `thrift:"6"`
}

type fileMetaData struct {
	Schema              thrift.Slice[format.SchemaElement] `thrift:"2,required"`
	NumRows             int64                              `thrift:"3,required"`
	RowGroups           thrift.Slice[RowGroup]             `thrift:"4,required"`
	CreatedBy           string                             `thrift:"6,optional"`
	EncryptionAlgorithm format.EncryptionAlgorithm         `thrift:"8,optional"`
}

// Read reads and checks the footer of a file of the given size.
func Read(r io.ReaderAt, size int64) (*Footer, error) {
	if size < 12 {
		return nil, fmt.Errorf("%w: it has only %d bytes", fault.ErrNotParquet, size)
	}
	tail := make([]byte, min(size, 64<<10))
	if err := fault.ReadAt(r, tail, size-int64(len(tail))); err != nil {
		return nil, err
	}
	end := tail[len(tail)-8:]
	switch magic := string(end[4:]); magic {
	case "PAR1":
	case "PARE":
		return nil, fault.ErrEncrypted
	default:
		var head [4]byte
		if err := fault.ReadAt(r, head[:], 0); err == nil && string(head[:]) == "PAR1" {
			return nil, errors.New("it begins as a Parquet file and does not end as one: it was cut short, or is still being written")
		}
		return nil, fmt.Errorf("%w: it ends in %q", fault.ErrNotParquet, magic)
	}
	length := int64(binary.LittleEndian.Uint32(end))
	if length > size-12 || length > maxFooter {
		return nil, fmt.Errorf("its footer states %d bytes, in a file of %d", length, size)
	}
	var b []byte
	if length+8 <= int64(len(tail)) {
		b = tail[int64(len(tail))-8-length : len(tail)-8]
	} else {
		b = make([]byte, length)
		if err := fault.ReadAt(r, b, size-8-length); err != nil {
			return nil, err
		}
	}
	if err := compact.CheckStruct(b); err != nil {
		return nil, fmt.Errorf("its footer cannot be read: %w", err)
	}
	var meta fileMetaData
	if err := thrift.NewDecoder((&thrift.CompactProtocol{}).NewReaderFromBytes(b)).Decode(&meta); err != nil {
		return nil, fmt.Errorf("its footer cannot be read: %w", err)
	}
	if meta.EncryptionAlgorithm.Value != nil {
		return nil, fault.ErrEncrypted
	}
	f := &Footer{Rows: meta.NumRows, RowGroups: meta.RowGroups, Hash: fmt.Sprintf("%016x", xxh3.Hash(b))}
	f.padded = strings.HasPrefix(meta.CreatedBy, "fastparquet")
	if err := f.addLeaves(meta.Schema); err != nil {
		return nil, fmt.Errorf("its schema is damaged: %w", err)
	}
	return f, f.checkRowGroups(size)
}

// addLeaves lists the leaves of the tree that the elements spell out depth first.
func (f *Footer) addLeaves(elements []format.SchemaElement) error {
	if len(elements) == 0 {
		return errors.New("it is empty")
	}
	next := 1
	var group func(children int32, path []string, def int, repeated bool) error
	group = func(children int32, path []string, def int, repeated bool) error {
		if len(path) > maxSchemaDepth {
			return errors.New("it is nested too deep")
		}
		for range children {
			if next >= len(elements) {
				return errors.New("it ends too early")
			}
			e := &elements[next]
			next++
			def, repeated := def, repeated
			if e.RepetitionType.Valid {
				switch e.RepetitionType.V {
				case format.Required:
				case format.Optional:
					def++
				case format.Repeated:
					def, repeated = def+1, true
				default:
					return fmt.Errorf("column %q has repetition %d", e.Name, e.RepetitionType.V)
				}
			}
			path := append(slices.Clip(path), e.Name)
			if !e.Type.Valid {
				if !e.NumChildren.Valid || e.NumChildren.V < 0 {
					return fmt.Errorf("column %q has no type", e.Name)
				}
				if err := group(e.NumChildren.V, path, def, repeated); err != nil {
					return err
				}
				continue
			}
			if err := checkAnnotations(e); err != nil {
				return err
			}
			f.Leaves = append(f.Leaves, Leaf{Path: path, Element: e, MaxDef: def, Repeated: repeated})
		}
		return nil
	}
	if err := group(elements[0].NumChildren.V, nil, 0, false); err != nil {
		return err
	}
	if next != len(elements) {
		return fmt.Errorf("it lists %d columns and groups, and uses %d", len(elements), next)
	}
	return nil
}

// checkAnnotations refuses a column whose old and new annotations disagree: the footer
// has no checksum, and a flipped bit in a scale or a unit would change every value.
func checkAnnotations(e *format.SchemaElement) error {
	if e.Type.V < format.Boolean || e.Type.V > format.FixedLenByteArray {
		return fmt.Errorf("column %q has physical type %d", e.Name, e.Type.V)
	}
	if e.Type.V == format.FixedLenByteArray && (e.TypeLength.V <= 0 || e.TypeLength.V > 1<<20) {
		return fmt.Errorf("column %q has values of %d bytes", e.Name, e.TypeLength.V)
	}
	if !fits(e) {
		annotation := fmt.Sprint(e.LogicalType.Value)
		if e.LogicalType.Value == nil {
			annotation = fmt.Sprint(e.ConvertedType.V)
		}
		return fmt.Errorf("column %q is %v, which cannot be annotated as %s", e.Name, e.Type.V, annotation)
	}
	if !e.ConvertedType.Valid {
		return nil
	}
	var agree bool
	switch t := e.LogicalType.Value.(type) {
	default:
		agree = true
	case *format.DecimalType:
		agree = e.ConvertedType.V == deprecated.Decimal &&
			(!e.Scale.Valid || e.Scale.V == t.Scale) && (!e.Precision.Valid || e.Precision.V == t.Precision)
	case *format.TimestampType:
		switch t.Unit.Value.(type) {
		case *format.MilliSeconds:
			agree = e.ConvertedType.V == deprecated.TimestampMillis
		case *format.MicroSeconds:
			agree = e.ConvertedType.V == deprecated.TimestampMicros
		}
	case *format.DateType:
		agree = e.ConvertedType.V == deprecated.Date
	case *format.StringType:
		agree = e.ConvertedType.V == deprecated.UTF8
	case *format.IntType:
		at := map[int8]deprecated.ConvertedType{8: 0, 16: 1, 32: 2, 64: 3}
		step, known := at[t.BitWidth]
		base := deprecated.Uint8
		if t.IsSigned {
			base = deprecated.Int8
		}
		agree = known && e.ConvertedType.V == base+step
	}
	if !agree {
		return fmt.Errorf("column %q is annotated as %v and as %v", e.Name, e.LogicalType.Value, e.ConvertedType.V)
	}
	return nil
}

// fits says whether the physical type of a column can hold what its annotation says: a
// flipped bit in the type would have every value read as another one.
func fits(e *format.SchemaElement) bool {
	is := func(types ...format.Type) bool { return slices.Contains(types, e.Type.V) }
	switch t := e.LogicalType.Value.(type) {
	case *format.TimestampType:
		return is(format.Int64)
	case *format.TimeType:
		return is(format.Int32, format.Int64)
	case *format.DateType:
		return is(format.Int32)
	case *format.IntType:
		return is(format.Int32) && t.BitWidth <= 32 || is(format.Int64) && t.BitWidth == 64
	case *format.DecimalType:
		return is(format.ByteArray, format.FixedLenByteArray) || is(format.Int32) && t.Precision <= 9 || is(format.Int64) && t.Precision <= 18
	case *format.StringType, *format.EnumType, *format.JsonType, *format.BsonType:
		return is(format.ByteArray)
	case nil:
	default:
		return true
	}
	if !e.ConvertedType.Valid {
		return true
	}
	switch e.ConvertedType.V {
	case deprecated.TimestampMillis, deprecated.TimestampMicros, deprecated.TimeMicros, deprecated.Uint64, deprecated.Int64:
		return is(format.Int64)
	case deprecated.Date, deprecated.TimeMillis, deprecated.Uint8, deprecated.Uint16, deprecated.Uint32, deprecated.Int8, deprecated.Int16, deprecated.Int32:
		return is(format.Int32)
	case deprecated.Decimal:
		return is(format.ByteArray, format.FixedLenByteArray) || is(format.Int32) && e.Precision.V <= 9 || is(format.Int64) && e.Precision.V <= 18
	case deprecated.UTF8, deprecated.Enum, deprecated.Json, deprecated.Bson:
		return is(format.ByteArray)
	}
	return true
}

// checkRowGroups holds the row groups against the schema and the size of the file.
func (f *Footer) checkRowGroups(size int64) error {
	if f.Rows < 0 || f.Rows/maxRowsPerByte > size {
		return fmt.Errorf("its footer states %d rows, in %d bytes", f.Rows, size)
	}
	rows := int64(0)
	for g := range f.RowGroups {
		rg := &f.RowGroups[g]
		if rg.Rows < 0 || rg.Rows > f.Rows-rows {
			return fmt.Errorf("its row groups do not add up to its %d rows", f.Rows)
		}
		rows += rg.Rows
		if len(rg.Columns) != len(f.Leaves) {
			return fmt.Errorf("its row group %d has %d columns, and its schema %d", g, len(rg.Columns), len(f.Leaves))
		}
	}
	if rows != f.Rows {
		return fmt.Errorf("its row groups have %d rows, and its footer states %d", rows, f.Rows)
	}
	return nil
}

// A Chunk locates a column chunk of a column without repetition.
type Chunk struct {
	Offset, Length int64
	Rows           int64
	Codec          format.CompressionCodec
	Type           encoding.Type
	MaxDef         int  // definition level of a value that is not null
	Padded         bool // data pages may end in 8 zero bytes, as those of fastparquet do
	Split, Plain   bool // the footer lists BYTE_STREAM_SPLIT, and PLAIN, among the encodings
}

// Chunk locates the chunk of leaf i in row group g, in a file of the given size.
func (f *Footer) Chunk(g, i int, size int64) (Chunk, error) {
	rg, leaf := &f.RowGroups[g], &f.Leaves[i]
	cc := &rg.Columns[i]
	meta := &cc.MetaData
	switch {
	case cc.CryptoMetadata.Value != nil || cc.EncryptedColumnMetadata != nil:
		return Chunk{}, fault.ErrEncrypted
	case cc.FilePath != "":
		return Chunk{}, fmt.Errorf("its data lie in another file, %q", cc.FilePath)
	case meta.Type != leaf.Element.Type.V:
		return Chunk{}, fmt.Errorf("its schema states %v and its row group %v", leaf.Element.Type.V, meta.Type)
	case !slices.Equal(meta.PathInSchema, leaf.Path):
		return Chunk{}, fmt.Errorf("its row group names the column %q", strings.Join(meta.PathInSchema, "."))
	case meta.NumValues != rg.Rows:
		return Chunk{}, fmt.Errorf("its footer states %d values for %d rows", meta.NumValues, rg.Rows)
	case meta.Codec < format.Uncompressed || meta.Codec > format.Lz4Raw:
		return Chunk{}, fmt.Errorf("its footer states the compression %d, which there is not", meta.Codec)
	}
	c := Chunk{
		Offset: meta.DataPageOffset, Length: meta.TotalCompressedSize, Rows: rg.Rows, Codec: meta.Codec,
		Type: encoding.Type{Physical: meta.Type, Width: int(leaf.Element.TypeLength.V)}, MaxDef: leaf.MaxDef,
		Padded: f.padded, Split: slices.Contains(meta.Encodings, format.ByteStreamSplit), Plain: slices.Contains(meta.Encodings, format.Plain),
	}
	if d := meta.DictionaryPageOffset; d > 0 && d < c.Offset {
		c.Offset = d
	}
	if rg.Rows > 0 && (c.Offset < 4 || c.Length <= 0 || c.Length > size-8 || c.Offset > size-8-c.Length) {
		return Chunk{}, fmt.Errorf("its footer states %d bytes at %d, in a file of %d", c.Length, c.Offset, size)
	}
	return c, nil
}
