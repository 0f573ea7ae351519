// Package parquetfile encodes flat tables of nullable columns as Parquet files
// of version-1 data pages, compressed with zstd, with checksums, statistics and
// a page index. Headers and the footer are the types of parquet-go's format
// package; values go from the caller's arrays into pages without becoming
// values of their own, because wide tables have thousands of millions of them.
package parquetfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

const magic = "PAR1"

// A File is a file being written.
type File struct {
	out       io.Writer
	offset    int64
	encoder   *Encoder
	chunks    []Chunk
	meta      format.FileMetaData
	columns   [][]format.ColumnIndex // of each row group
	locations [][]format.OffsetIndex
}

// Create starts a file whose columns are in this order. Nothing is written
// before the first row group ends.
func Create(out io.Writer, table, createdBy string, keyValues []format.KeyValue, columns []Column) (*File, error) {
	encoder, err := NewEncoder()
	if err != nil {
		return nil, err
	}
	f := &File{out: out, encoder: encoder, chunks: make([]Chunk, len(columns))}
	// Version 2 of the file format is that of its logical types.
	f.meta = format.FileMetaData{Version: 2, CreatedBy: createdBy, KeyValueMetadata: keyValues}
	f.meta.Schema = append(f.meta.Schema, format.SchemaElement{Name: table, NumChildren: thrift.New(int32(len(columns)))})
	for i, c := range columns {
		f.chunks[i] = newChunk(c)
		f.meta.Schema = append(f.meta.Schema, schemaElement(c))
		f.meta.ColumnOrders = append(f.meta.ColumnOrders, *c.Type.ColumnOrder())
	}
	return f, nil
}

func schemaElement(c Column) format.SchemaElement {
	e := format.SchemaElement{
		Name:           c.Name,
		Type:           thrift.New(*c.Type.PhysicalType()),
		RepetitionType: thrift.New(format.Optional),
	}
	if n := c.Type.Length(); n > 0 {
		e.TypeLength.Set(int32(n))
	}
	if converted := c.Type.ConvertedType(); converted != nil {
		e.ConvertedType.Set(*converted)
	}
	if logical := c.Type.LogicalType(); logical != nil {
		e.LogicalType = *logical
		if decimal, ok := logical.Value.(*format.DecimalType); ok {
			e.Scale.Set(decimal.Scale)
			e.Precision.Set(decimal.Precision)
		}
	}
	return e
}

// Chunks are the columns' chunks of the row group being filled. They are the
// same from one row group to the next.
func (f *File) Chunks() []Chunk { return f.chunks }

func (f *File) write(p []byte) error {
	n, err := f.out.Write(p)
	f.offset += int64(n)
	return err
}

func (f *File) encode(v any) (length int32, err error) {
	var b bytes.Buffer
	if err := thrift.NewEncoder(new(thrift.CompactProtocol).NewWriter(&b)).Encode(v); err != nil {
		return 0, err
	}
	return int32(b.Len()), f.write(b.Bytes())
}

func (f *File) begin() error {
	if f.offset > 0 {
		return nil
	}
	return f.write([]byte(magic))
}

// EndRowGroup writes the row group of the pages that have ended, which are of
// as many rows in every column.
func (f *File) EndRowGroup() error {
	rows := f.chunks[0].total
	if rows == 0 {
		return nil
	}
	if len(f.meta.RowGroups) == parquet.MaxRowGroups {
		return fmt.Errorf("more than the %d row groups of a Parquet file: make them larger", parquet.MaxRowGroups)
	}
	if err := f.begin(); err != nil {
		return err
	}
	group := format.RowGroup{
		Columns:    make([]format.ColumnChunk, len(f.chunks)),
		NumRows:    rows,
		FileOffset: f.offset,
		Ordinal:    int16(len(f.meta.RowGroups)),
	}
	columns := make([]format.ColumnIndex, len(f.chunks))
	locations := make([]format.OffsetIndex, len(f.chunks))
	for i := range f.chunks {
		c := &f.chunks[i]
		pages, dictionary, err := c.finish(f.encoder)
		if err != nil {
			return err
		}
		if dictionary > 0 {
			c.meta.DictionaryPageOffset = f.offset
		}
		c.meta.DataPageOffset = f.offset + dictionary
		for _, p := range pages {
			if err := f.write(p); err != nil {
				return err
			}
		}
		for j := range c.offsets {
			c.offsets[j].Offset += c.meta.DataPageOffset
		}
		columns[i] = c.index.ColumnIndex()
		columns[i].DefinitionLevelHistogram = c.levels
		locations[i].PageLocations = c.offsets
		group.Columns[i].MetaData = c.meta
		group.TotalByteSize += c.meta.TotalUncompressedSize
		group.TotalCompressedSize += c.meta.TotalCompressedSize
		c.reset()
	}
	f.meta.RowGroups = append(f.meta.RowGroups, group)
	f.meta.NumRows += rows
	f.columns, f.locations = append(f.columns, columns), append(f.locations, locations)
	return nil
}

// Close writes the row group being filled, the page index and the footer.
func (f *File) Close() error {
	if err := f.EndRowGroup(); err != nil {
		return err
	}
	if err := f.begin(); err != nil {
		return err
	}
	for g := range f.meta.RowGroups {
		for i := range f.columns[g] {
			chunk := &f.meta.RowGroups[g].Columns[i]
			chunk.ColumnIndexOffset = f.offset
			var err error
			if chunk.ColumnIndexLength, err = f.encode(&f.columns[g][i]); err != nil {
				return err
			}
		}
	}
	for g := range f.meta.RowGroups {
		for i := range f.locations[g] {
			chunk := &f.meta.RowGroups[g].Columns[i]
			chunk.OffsetIndexOffset = f.offset
			var err error
			if chunk.OffsetIndexLength, err = f.encode(&f.locations[g][i]); err != nil {
				return err
			}
		}
	}
	length, err := f.encode(&f.meta)
	if err != nil {
		return err
	}
	return f.write(append(binary.LittleEndian.AppendUint32(nil, uint32(length)), magic...))
}
