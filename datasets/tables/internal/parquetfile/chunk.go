package parquetfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	"github.com/apache/arrow/go/v17/arrow/bitutil"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// A Column says how the values of one column are stored.
type Column struct {
	Name       string
	Type       parquet.Type
	Dictionary bool // a dictionary, for as long as it is small; of numbers and text only
}

// A Chunk encodes a column's values of one row group after another. The caller
// ends pages; until then Rows and the values of those rows that are not null,
// in either order, belong to one page.
type Chunk struct {
	Column
	path []string
	kind parquet.Kind

	// The page being filled.
	rows    int
	nulls   int
	valid   []byte   // bitmap of its rows; bits past the last one are 0
	indexes []uint16 // of values in the dictionary, while there is one
	plain   []byte   // values, while there is none
	count   int      // values in plain
	lo, hi  bound

	// The row group's finished pages.
	encoded [][]byte // header and compressed values
	dict    bool     // new values go to the dictionary
	kept    int      // dictionary entries that finished pages refer to
	words   words
	texts   texts
	meta    format.ColumnMetaData
	min     bound
	max     bound
	index   parquet.ColumnIndexer
	levels  []int64 // of each page, how many rows are null and how many are not
	offsets []format.PageLocation
	total   int64 // rows
}

// A bound is the least or greatest value of a page or a chunk. Its bytes are
// its own, to be used again.
type bound struct {
	parquet.Value
	bytes []byte
}

func (b *bound) set(v parquet.Value) {
	switch v.Kind() {
	case parquet.ByteArray:
		b.bytes = append(b.bytes[:0], v.ByteArray()...)
		v = parquet.ByteArrayValue(b.bytes)
	case parquet.FixedLenByteArray:
		b.bytes = append(b.bytes[:0], v.ByteArray()...)
		v = parquet.FixedLenByteArrayValue(b.bytes)
	}
	b.Value = v
}

func newChunk(c Column) Chunk {
	chunk := Chunk{Column: c, path: []string{c.Name}, kind: c.Type.Kind()}
	chunk.reset()
	return chunk
}

// reset begins another row group.
func (c *Chunk) reset() {
	c.encoded, c.kept, c.total = nil, 0, 0
	c.min.Value, c.max.Value = parquet.Value{}, parquet.Value{}
	c.levels, c.offsets = nil, nil // the file keeps them
	c.index = c.Type.NewColumnIndexer(parquet.DefaultColumnIndexSizeLimit)
	c.meta = format.ColumnMetaData{Type: format.Type(c.kind), PathInSchema: c.path, Codec: format.Zstd}
	if c.dict = c.Dictionary; c.dict && c.kind == parquet.ByteArray {
		c.texts.reset()
	} else if c.dict {
		c.words.reset()
	}
}

// Rows adds rows to the page: those of the bitmap from bit offset on, or rows
// none of which is null when there is no bitmap.
func (c *Chunk) Rows(bitmap []byte, offset, n int) {
	if need := int(bitutil.BytesForBits(int64(c.rows + n))); need > len(c.valid) {
		c.valid = slices.Grow(c.valid, need-len(c.valid))
		added := c.valid[len(c.valid):need]
		clear(added) // of an earlier page
		c.valid = c.valid[:need]
	}
	if bitmap == nil {
		bitutil.SetBitsTo(c.valid, int64(c.rows), int64(n), true)
	} else {
		bitutil.CopyBitmap(bitmap, offset, n, c.valid, c.rows)
		c.nulls += n - bitutil.CountSetBits(bitmap, offset, n)
	}
	c.rows += n
}

// Words adds values of BOOLEAN, INT32, INT64 or DOUBLE columns, by their bits.
// The caller tells their bounds.
func (c *Chunk) Words(values []uint64) {
	if c.dict {
		var n int
		if c.indexes, n = c.words.appendIndexes(c.indexes, values); n == len(values) {
			return
		}
		c.endDictionary()
		values = values[n:]
	}
	c.plainWords(values)
}

func (c *Chunk) plainWords(values []uint64) {
	at := len(c.plain)
	switch c.kind {
	case parquet.Boolean:
		for _, v := range values {
			if c.count%8 == 0 {
				c.plain = append(c.plain, 0)
			}
			c.plain[c.count/8] |= byte(v) << (c.count % 8)
			c.count++
		}
		return
	case parquet.Int32:
		c.plain = slices.Grow(c.plain, 4*len(values))[:at+4*len(values)]
		for i, dst := 0, c.plain[at:]; i < len(values); i++ {
			binary.LittleEndian.PutUint32(dst[4*i:], uint32(values[i]))
		}
	default:
		c.plain = slices.Grow(c.plain, 8*len(values))[:at+8*len(values)]
		for i, dst := 0, c.plain[at:]; i < len(values); i++ {
			binary.LittleEndian.PutUint64(dst[8*i:], values[i])
		}
	}
	c.count += len(values)
}

// Bytes adds a value of a BYTE_ARRAY or FIXED_LEN_BYTE_ARRAY column.
func (c *Chunk) Bytes(v []byte) {
	if c.kind == parquet.FixedLenByteArray {
		b := parquet.FixedLenByteArrayValue(v)
		c.Bounds(b, b)
		c.plain = append(c.plain, v...)
		c.count++
		return
	}
	b := parquet.ByteArrayValue(v)
	c.Bounds(b, b)
	c.meta.SizeStatistics.UnencodedByteArrayDataBytes += int64(len(v))
	if c.dict {
		if i, ok := c.texts.index(v); ok {
			c.indexes = append(c.indexes, i)
			return
		}
		c.endDictionary()
	}
	c.plainText(v)
}

func (c *Chunk) plainText(v []byte) {
	c.plain = binary.LittleEndian.AppendUint32(c.plain, uint32(len(v)))
	c.plain = append(c.plain, v...)
	c.count++
}

// Bounds widens the page's bounds to hold lo and hi, which are not NaN.
func (c *Chunk) Bounds(lo, hi parquet.Value) {
	if c.lo.IsNull() || c.Type.Compare(lo, c.lo.Value) < 0 {
		c.lo.set(lo)
	}
	if c.hi.IsNull() || c.Type.Compare(hi, c.hi.Value) > 0 {
		c.hi.set(hi)
	}
}

// endDictionary makes the page being filled, and those after it, plain.
func (c *Chunk) endDictionary() {
	c.dict = false
	for _, i := range c.indexes {
		if c.kind == parquet.ByteArray {
			c.plainText([]byte(c.texts.values[i]))
		} else {
			c.plainWords(c.words.values[i : i+1])
		}
	}
	c.indexes = c.indexes[:0]
}

// An Encoder encodes pages, one at a time, of any chunk.
type Encoder struct {
	zstd   *zstd.Encoder
	page   []byte
	small  []byte
	header bytes.Buffer
}

// NewEncoder returns an Encoder.
func NewEncoder() (*Encoder, error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithZeroFrames(true), zstd.WithEncoderCRC(false)) // pages have a checksum
	if err != nil {
		return nil, err
	}
	return &Encoder{zstd: z}, nil
}

// EndPage encodes the rows since the last page ended, if there are any.
func (c *Chunk) EndPage(e *Encoder) error {
	if c.rows == 0 {
		return nil
	}
	values := c.rows - c.nulls
	if got := len(c.indexes) + c.count; got != values {
		panic(fmt.Sprintf("parquetfile: column %s has %d values for %d rows with %d nulls", c.Name, got, c.rows, c.nulls))
	}
	e.page = append(e.page[:0], 0, 0, 0, 0)
	e.page = appendLevels(e.page, c.valid, c.rows)
	binary.LittleEndian.PutUint32(e.page, uint32(len(e.page)-4))
	encoding := format.Plain
	if len(c.indexes) > 0 {
		encoding = format.RLEDictionary
		c.kept = max(len(c.words.values), len(c.texts.values))
		width := widthOf(c.kept)
		e.page = appendIndexes(append(e.page, byte(width)), c.indexes, width)
	} else {
		e.page = append(e.page, c.plain...)
	}

	stats := format.Statistics{NullCount: int64(c.nulls)}
	if !c.lo.IsNull() {
		lo, hi := c.lo.AppendBytes([]byte{}), c.hi.AppendBytes([]byte{})
		stats.Min, stats.Max, stats.MinValue, stats.MaxValue = lo, hi, lo, hi
		if c.min.IsNull() || c.Type.Compare(c.lo.Value, c.min.Value) < 0 {
			c.min.set(c.lo.Value)
		}
		if c.max.IsNull() || c.Type.Compare(c.hi.Value, c.max.Value) > 0 {
			c.max.set(c.hi.Value)
		}
	}
	offset := c.meta.TotalCompressedSize
	err := c.endPage(e, format.PageHeader{
		Type: format.DataPage,
		DataPageHeader: thrift.New(format.DataPageHeader{
			NumValues:               int32(c.rows),
			Encoding:                encoding,
			DefinitionLevelEncoding: format.RLE,
			RepetitionLevelEncoding: format.RLE,
			Statistics:              stats,
		}),
	}, encoding)
	if err != nil {
		return err
	}
	if c.lo.IsNull() && values > 0 {
		c.lo.set(parquet.DoubleValue(math.NaN())) // readers take no bound from NaN
		c.hi.set(parquet.DoubleValue(math.NaN()))
	}
	lo, hi := c.lo.Value, c.hi.Value
	if values == 0 && c.Type.Kind() == parquet.FixedLenByteArray {
		// parquet-go divides the bounds of all pages by their width: those of a
		// page without values must be there too, though nobody reads them.
		lo = parquet.FixedLenByteArrayValue(make([]byte, c.Type.Length()))
		hi = lo
	}
	c.index.IndexPage(int64(c.rows), int64(c.nulls), lo, hi)
	c.offsets = append(c.offsets, format.PageLocation{
		Offset:             offset, // the file adds where the first page is
		CompressedPageSize: int32(c.meta.TotalCompressedSize - offset),
		FirstRowIndex:      c.total,
	})
	c.levels = append(c.levels, int64(c.nulls), int64(values))
	c.meta.NumValues += int64(c.rows)
	c.meta.Statistics.NullCount += int64(c.nulls)
	c.total += int64(c.rows)

	c.rows, c.nulls, c.count = 0, 0, 0
	c.valid, c.indexes, c.plain = c.valid[:0], c.indexes[:0], c.plain[:0]
	c.lo.Value, c.hi.Value = parquet.Value{}, parquet.Value{}
	return nil
}

// endPage compresses e.page and keeps it behind its header.
func (c *Chunk) endPage(e *Encoder, header format.PageHeader, encoding format.Encoding) error {
	e.small = e.zstd.EncodeAll(e.page, e.small[:0])
	header.UncompressedPageSize = int32(len(e.page))
	header.CompressedPageSize = int32(len(e.small))
	header.CRC = int32(crc32.ChecksumIEEE(e.small))
	e.header.Reset()
	if err := thrift.NewEncoder(new(thrift.CompactProtocol).NewWriter(&e.header)).Encode(&header); err != nil {
		return err
	}
	c.encoded = append(c.encoded, slices.Concat(e.header.Bytes(), e.small))
	c.meta.TotalUncompressedSize += int64(e.header.Len() + len(e.page))
	c.meta.TotalCompressedSize += int64(e.header.Len() + len(e.small))
	stat := slices.IndexFunc(c.meta.EncodingStats, func(s format.PageEncodingStats) bool {
		return s.PageType == header.Type && s.Encoding == encoding
	})
	if stat < 0 {
		stat = len(c.meta.EncodingStats)
		c.meta.EncodingStats = append(c.meta.EncodingStats, format.PageEncodingStats{PageType: header.Type, Encoding: encoding})
	}
	c.meta.EncodingStats[stat].Count++
	return nil
}

// finish encodes the dictionary and completes the chunk's metadata, but for
// its place in the file. It returns the pages in the order of the file, and
// the length of the dictionary's.
func (c *Chunk) finish(e *Encoder) (pages [][]byte, dictionary int64, err error) {
	data := c.encoded
	if c.kept > 0 {
		e.page = e.page[:0]
		switch c.kind {
		case parquet.ByteArray:
			for _, v := range c.texts.values[:c.kept] {
				e.page = append(binary.LittleEndian.AppendUint32(e.page, uint32(len(v))), v...)
			}
		case parquet.Int32:
			for _, v := range c.words.values[:c.kept] {
				e.page = binary.LittleEndian.AppendUint32(e.page, uint32(v))
			}
		default:
			for _, v := range c.words.values[:c.kept] {
				e.page = binary.LittleEndian.AppendUint64(e.page, v)
			}
		}
		err = c.endPage(e, format.PageHeader{
			Type:                 format.DictionaryPage,
			DictionaryPageHeader: thrift.New(format.DictionaryPageHeader{NumValues: int32(c.kept), Encoding: format.Plain}),
		}, format.Plain)
		if err != nil {
			return nil, 0, err
		}
		last := len(c.encoded) - 1
		dictionary = int64(len(c.encoded[last]))
		data = append([][]byte{c.encoded[last]}, c.encoded[:last]...)
	}
	slices.SortFunc(c.meta.EncodingStats, func(a, b format.PageEncodingStats) int {
		return 16*int(a.PageType-b.PageType) + int(a.Encoding-b.Encoding)
	})
	// Levels are RLE always; PLAIN is the dictionary's encoding too.
	c.meta.Encoding = []format.Encoding{format.RLE}
	for _, s := range c.meta.EncodingStats {
		if !slices.Contains(c.meta.Encoding, s.Encoding) {
			c.meta.Encoding = append(c.meta.Encoding, s.Encoding)
		}
	}
	slices.Sort(c.meta.Encoding)
	if !c.min.IsNull() {
		c.meta.Statistics.MinValue = c.min.AppendBytes([]byte{})
		c.meta.Statistics.MaxValue = c.max.AppendBytes([]byte{})
	}
	histogram := []int64{c.meta.Statistics.NullCount, c.meta.NumValues - c.meta.Statistics.NullCount}
	c.meta.SizeStatistics.DefinitionLevelHistogram = histogram
	return data, dictionary, nil
}
