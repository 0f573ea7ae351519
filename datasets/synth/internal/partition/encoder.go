package partition

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"
	"slices"

	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/shoal-data/shoal/datasets/synth/internal/behaviour"
)

// Rows of a row group, and of a page of it.
const (
	GroupRows = 1 << 16
	pageRows  = 1 << 14
)

// An Encoder turns rows into row groups. It belongs to one goroutine.
type Encoder struct {
	layout Layout
	codec  compress.Codec
	id     format.CompressionCodec

	order, spare []uint64
	page         []behaviour.Row
	columns      [numColumns]columnBuffer
	codes        [pageRows]uint64
	indexes      []int32
	levels       [pageRows]uint8
	raw, packed  []byte
	levelBytes   []byte
	indexBytes   []byte
	header       bytes.Buffer
	text         []byte
	scratch      []byte
	out          []byte
}

// columnBuffer is one column chunk in the making.
type columnBuffer struct {
	pages        []byte // headers and compressed bodies
	uncompressed int64
	nulls        int64
	dict         dictionary
}

// NewEncoder encodes rows of layout l, compressing pages with codec.
func NewEncoder(l Layout, codec compress.Codec) *Encoder {
	return &Encoder{layout: l, codec: codec, id: codec.CompressionCodec(), page: make([]behaviour.Row, 0, pageRows)}
}

// A dictionary numbers the codes of one column in the order they appear.
// It hashes, with a table that is cleared in proportion to the row group.
type dictionary struct {
	keys     []uint64
	slots    []int32 // 1 + index, 0 is empty
	mask     uint64
	data     []byte // entries, PLAIN encoded
	n        int32
	min, max []byte
}

func (d *dictionary) reset(rows int) {
	size := 1 << bits.Len(uint(2*rows))
	if size > len(d.slots) {
		d.keys, d.slots = make([]uint64, size), make([]int32, size)
	}
	clear(d.slots[:size])
	d.mask = uint64(size - 1)
	d.data, d.n = d.data[:0], 0
	d.min, d.max = d.min[:0], d.max[:0]
}

// index is the number of code, and whether it is new.
func (d *dictionary) index(code uint64) (int32, bool) {
	h := code * 0x9e3779b97f4a7c15 // Fibonacci hashing: 2⁶⁴ over the golden ratio
	for i := (h ^ h>>32) & d.mask; ; i = (i + 1) & d.mask {
		s := d.slots[i]
		if s == 0 {
			d.n++
			d.keys[i], d.slots[i] = code, d.n
			return d.n - 1, true
		}
		if d.keys[i] == code {
			return s - 1, false
		}
	}
}

func (d *dictionary) add(text []byte, bounds bool) {
	d.data = binary.LittleEndian.AppendUint32(d.data, uint32(len(text)))
	d.data = append(d.data, text...)
	if !bounds {
		return
	}
	if d.n == 1 || bytes.Compare(text, d.min) < 0 {
		d.min = append(d.min[:0], text...)
	}
	if d.n == 1 || bytes.Compare(text, d.max) > 0 {
		d.max = append(d.max[:0], text...)
	}
}

// sort puts the order of rows by time, stable, into e.order: a radix sort on
// time above the row's number.
func (e *Encoder) sort(rows *waiting) {
	const numberBits = 16 // GroupRows
	first, last := rows.at(0).Time, rows.at(0).Time
	for i := range rows.n {
		first, last = min(first, rows.at(i).Time), max(last, rows.at(i).Time)
	}
	e.order, e.spare = slices.Grow(e.order[:0], rows.n)[:rows.n], slices.Grow(e.spare[:0], rows.n)[:rows.n]
	for i := range e.order {
		e.order[i] = uint64(rows.at(i).Time-first)<<numberBits | uint64(i)
	}
	const digit = 10
	var counts [1 << digit]uint32
	for shift := numberBits; shift < numberBits+bits.Len64(uint64(last-first)); shift += digit {
		clear(counts[:])
		for _, k := range e.order {
			counts[k>>shift&(1<<digit-1)]++
		}
		sum := uint32(0)
		for i, c := range counts {
			counts[i] = sum
			sum += c
		}
		for _, k := range e.order {
			d := k >> shift & (1<<digit - 1)
			e.spare[counts[d]] = k
			counts[d]++
		}
		e.order, e.spare = e.spare, e.order
	}
	for i := range e.order {
		e.order[i] &= 1<<numberBits - 1
	}
}

// group appends rows, 1 to GroupRows of them, to dst as a row group that
// starts at offset in the file, and returns its metadata.
func (e *Encoder) group(dst []byte, offset int64, rows *waiting) ([]byte, format.RowGroup, error) {
	e.sort(rows)
	for c := range e.columns {
		b := &e.columns[c]
		b.pages, b.uncompressed, b.nulls = b.pages[:0], 0, 0
		if e.layout.hasDictionary(c) {
			entries := rows.n
			switch c {
			case colCustomer, colSession:
			default:
				entries = min(entries, 1024) // more than the other columns have: products are the most, 320
			}
			b.dict.reset(entries)
		}
	}
	for at := 0; at < rows.n; at += pageRows {
		e.page = e.page[:0]
		for _, i := range e.order[at:min(at+pageRows, rows.n)] {
			e.page = append(e.page, *rows.at(int(i)))
		}
		for c := range e.columns {
			if err := e.addPage(c); err != nil {
				return dst, format.RowGroup{}, err
			}
		}
	}
	meta := format.RowGroup{
		NumRows:        int64(rows.n),
		FileOffset:     offset + int64(len(dst)),
		SortingColumns: []format.SortingColumn{{ColumnIdx: colTime}},
	}
	first, last := rows.at(int(e.order[0])).Time, rows.at(int(e.order[rows.n-1])).Time
	for c := range e.columns {
		b := &e.columns[c]
		start := offset + int64(len(dst))
		m := format.ColumnMetaData{
			Type:         e.layout.physical(c),
			Encoding:     []format.Encoding{format.Plain, format.RLE},
			PathInSchema: []string{columnNames[c]},
			Codec:        e.id,
			NumValues:    int64(rows.n),
			Statistics:   format.Statistics{NullCount: b.nulls},
		}
		if e.layout.hasDictionary(c) {
			m.Encoding = append(m.Encoding, format.RLEDictionary)
			m.DictionaryPageOffset = start
			header := format.PageHeader{
				Type: format.DictionaryPage,
				DictionaryPageHeader: thrift.New(format.DictionaryPageHeader{
					NumValues: b.dict.n, Encoding: format.Plain,
				}),
			}
			var size int64
			var err error
			if dst, size, err = e.appendPage(dst, &header, b.dict.data); err != nil {
				return dst, meta, err
			}
			b.uncompressed += size
			if len(b.dict.min) > 0 {
				m.Statistics.MinValue, m.Statistics.MaxValue = bytes.Clone(b.dict.min), bytes.Clone(b.dict.max)
			}
		}
		if c == colTime {
			m.Statistics.MinValue = binary.LittleEndian.AppendUint64(nil, uint64(first))
			m.Statistics.MaxValue = binary.LittleEndian.AppendUint64(nil, uint64(last))
		}
		m.DataPageOffset = offset + int64(len(dst))
		dst = append(dst, b.pages...)
		m.TotalUncompressedSize = b.uncompressed
		m.TotalCompressedSize = offset + int64(len(dst)) - start
		meta.TotalByteSize += m.TotalUncompressedSize
		meta.TotalCompressedSize += m.TotalCompressedSize
		meta.Columns = append(meta.Columns, format.ColumnChunk{MetaData: m})
	}
	return dst, meta, nil
}

// codesOf fills e.codes with what distinguishes the values of dictionary column
// c on the page; 0 is null.
func (e *Encoder) codesOf(c int) {
	codes := e.codes[:len(e.page)]
	switch c {
	case colCustomer:
		for i := range codes {
			codes[i] = uint64(e.page[i].Customer)
		}
	case colType:
		for i := range codes {
			codes[i] = uint64(e.page[i].Kind)
		}
	case colCurrency:
		for i := range codes {
			codes[i] = 1
			if e.page[i].Amount == behaviour.NullAmount {
				codes[i] = 0
			}
		}
	case colProduct:
		for i := range codes {
			codes[i] = uint64(e.page[i].Product)
		}
	case colCategory:
		for i := range codes {
			codes[i] = uint64(behaviour.CategoryCode(e.page[i].Product))
		}
	case colChannel:
		for i := range codes {
			codes[i] = uint64(e.page[i].Channel)
		}
	case colCampaign:
		for i := range codes {
			codes[i] = uint64(e.page[i].Campaign)
		}
	case colSession:
		for i := range codes {
			codes[i] = e.page[i].Session
		}
	}
}

// textOf is the text of a code of dictionary column c, valid until the next call.
func (e *Encoder) textOf(c int, code uint64) []byte {
	dst := e.text[:0]
	switch c {
	case colCustomer:
		dst = AppendID(dst, uint32(code))
	case colType:
		dst = append(dst, behaviour.TypeName(uint8(code))...)
	case colCurrency:
		dst = append(dst, e.layout.Currency...)
	case colProduct:
		dst = behaviour.AppendProduct(dst, uint16(code))
	case colCategory:
		dst = append(dst, behaviour.CategoryName(uint8(code))...)
	case colChannel:
		dst = append(dst, behaviour.ChannelName(uint8(code))...)
	case colCampaign:
		dst = behaviour.AppendCampaign(dst, e.layout.Start, uint16(code))
	case colSession:
		dst = appendHex(dst, code)
	}
	e.text = dst
	return dst
}

// addPage encodes column c of the rows on e.page: definition levels, 0 for null
// and 1 for a value, then the values that are there.
func (e *Encoder) addPage(c int) error {
	b := &e.columns[c]
	n := len(e.page)
	levels := e.levels[:n]
	values := e.raw[:0]
	encoding := format.Plain
	there := 0
	keep := func(i int, is bool) bool {
		levels[i] = 0
		if is {
			levels[i] = 1
			there++
		}
		return is
	}
	switch {
	case e.layout.hasDictionary(c):
		encoding = format.RLEDictionary
		e.codesOf(c)
		if cap(e.indexes) < n {
			e.indexes = make([]int32, pageRows)
		}
		indexes := e.indexes[:n]
		bounds := c != colSession
		for i, code := range e.codes[:n] {
			if code == 0 {
				levels[i] = 0
				continue
			}
			levels[i] = 1
			x, isNew := b.dict.index(code)
			if isNew {
				b.dict.add(e.textOf(c, code), bounds)
			}
			indexes[there] = x
			there++
		}
		var err error
		if e.indexBytes, err = new(rle.DictionaryEncoding).EncodeInt32(e.indexBytes[:0], indexes[:there]); err != nil {
			return err
		}
		values = append(values, e.indexBytes...)
	case c == colCustomer:
		for i := range e.page {
			if id := e.page[i].Customer; keep(i, id != 0) {
				values = binary.LittleEndian.AppendUint64(values, uint64(id))
			}
		}
	case c == colTime:
		for i := range e.page {
			keep(i, true)
			values = binary.LittleEndian.AppendUint64(values, uint64(e.page[i].Time))
		}
	case c == colAmount && e.layout.DecimalAmounts:
		for i := range e.page {
			if a := e.page[i].Amount; keep(i, a != behaviour.NullAmount) {
				values = binary.LittleEndian.AppendUint64(values, uint64(int64(a)*100))
			}
		}
	case c == colAmount:
		for i := range e.page {
			if a := e.page[i].Amount; keep(i, a != behaviour.NullAmount) {
				values = binary.LittleEndian.AppendUint64(values, math.Float64bits(float64(a)/100))
			}
		}
	case c == colQuantity:
		for i := range e.page {
			if q := e.page[i].Quantity; keep(i, q != 0) {
				values = binary.LittleEndian.AppendUint32(values, uint32(q))
			}
		}
	case c == colRating:
		for i := range e.page {
			if r := e.page[i].Rating; keep(i, r != 0) {
				values = binary.LittleEndian.AppendUint32(values, uint32(r))
			}
		}
	case c == colEvent:
		for i := range e.page {
			keep(i, true)
			values = binary.LittleEndian.AppendUint32(values, 16)
			values = appendHex(values, e.page[i].Event)
		}
	}
	e.raw = values
	b.nulls += int64(n - there)

	var err error
	if e.levelBytes, err = (&rle.Encoding{BitWidth: 1}).EncodeLevels(e.levelBytes[:0], levels); err != nil {
		return err
	}
	// A version-1 data page: length of the levels, levels, values, all compressed.
	body := binary.LittleEndian.AppendUint32(e.packed[:0], uint32(len(e.levelBytes)))
	body = append(body, e.levelBytes...)
	body = append(body, values...)
	e.packed = body
	header := format.PageHeader{
		Type: format.DataPage,
		DataPageHeader: thrift.New(format.DataPageHeader{
			NumValues: int32(n), Encoding: encoding,
			DefinitionLevelEncoding: format.RLE, RepetitionLevelEncoding: format.RLE,
			Statistics: format.Statistics{NullCount: int64(n - there)},
		}),
	}
	var size int64
	b.pages, size, err = e.appendPage(b.pages, &header, body)
	b.uncompressed += size
	return err
}

// appendPage appends a page's header and its compressed body to dst; size is
// what they take uncompressed.
func (e *Encoder) appendPage(dst []byte, header *format.PageHeader, body []byte) (_ []byte, size int64, err error) {
	compressed, err := e.codec.Encode(e.scratch, body)
	if err != nil {
		return dst, 0, fmt.Errorf("compress: %w", err)
	}
	e.scratch = compressed
	header.UncompressedPageSize = int32(len(body))
	header.CompressedPageSize = int32(len(compressed))
	header.CRC = int32(crc32.ChecksumIEEE(compressed))
	e.header.Reset()
	if err := thrift.NewEncoder(new(thrift.CompactProtocol).NewWriter(&e.header)).Encode(header); err != nil {
		return dst, 0, err
	}
	dst = append(dst, e.header.Bytes()...)
	return append(dst, compressed...), int64(e.header.Len() + len(body)), nil
}

const hexDigits = "0123456789abcdef"

var hexPairs = func() (pairs [256][2]byte) {
	for i := range pairs {
		pairs[i] = [2]byte{hexDigits[i>>4], hexDigits[i&15]}
	}
	return pairs
}()

// appendHex writes v as 16 hexadecimal digits.
func appendHex(dst []byte, v uint64) []byte {
	var b [16]byte
	for i := range 8 {
		p := hexPairs[byte(v>>(56-8*i))]
		b[2*i], b[2*i+1] = p[0], p[1]
	}
	return append(dst, b[:]...)
}
