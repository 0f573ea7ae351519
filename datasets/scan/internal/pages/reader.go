// Package pages streams column chunks: bytes in, typed values out, a few
// thousand rows at a time. Pages are decoded here and not by parquet-go, because
// nothing may be allocated, and no row believed, on the word of a damaged file
// alone. Every size is checked against the file and a cap before memory is taken
// for it, runs are streamed and never expanded, checksums are verified, and a
// page must hold exactly the values that its header states.
package pages

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/parquet-go/parquet-go/format"

	"github.com/shoal-data/shoal/datasets/scan/internal/codec"
	"github.com/shoal-data/shoal/datasets/scan/internal/compact"
	"github.com/shoal-data/shoal/datasets/scan/internal/encoding"
	"github.com/shoal-data/shoal/datasets/scan/internal/fault"
	"github.com/shoal-data/shoal/datasets/scan/internal/footer"
)

const (
	maxHeader = 16 << 20 // bytes of a page header, statistics included
	keepSize  = 16 << 20 // buffers larger than this are not kept for the next chunk
	maxDelta  = 1 << 24  // values of a delta-encoded page, which is decoded whole
)

// ErrChecksum means that a page is not what its writer wrote.
var ErrChecksum = errors.New("page checksum does not match")

// errLevels means that a page has definition levels left over.
var errLevels = errors.New("it holds more definition levels than its header states values")

// A Run is the values of some consecutive rows, all of one page. Row i is null
// when Valid is not nil and Valid[i] is false; its value is then unspecified, its
// Index 0.
// With Dict set, row i is value Index[i] of the dictionary; otherwise it is
// value i of Values.
type Run struct {
	Rows  int
	Valid []bool
	Dict  *Dictionary
	Index []uint32
	encoding.Values
}

// A Dictionary is the dictionary page of a chunk. Generation differs between any
// two dictionaries that one Reader has read.
type Dictionary struct {
	encoding.Values
	Len        int
	Generation int
}

// A Reader streams a column chunk. It reuses its memory from chunk to chunk.
// The zero Reader is ready for Reset.
type Reader struct {
	chunk footer.Chunk
	win   window
	codec codec.Decompressor

	Pages      int // data and dictionary pages read since the Reader was made
	Unverified int // of those, pages without a checksum

	left    int64 // rows of the chunk not yet in a page
	page    int   // pages of this chunk begun
	hasDict bool
	dict    Dictionary

	// The current page.
	rows      int // not yet handed out
	levels    encoding.Hybrid
	nulls     int // seen so far
	wantNulls int // -1 where the header does not say
	encoding  int32
	body      []byte // decompressed values; own memory or the window's
	at        int
	index     encoding.Hybrid
	decoded   []int64 // delta-encoded integers
	ends      []uint32
	pos       int // value of decoded or ends

	plainBuf, splitBuf, dictBuf []byte
	level                       []uint32
	run                         Run
	valid                       []bool
	scratch                     encoding.Values
	indexBuf                    []uint32
}

// Reset starts a chunk.
func (r *Reader) Reset(src io.ReaderAt, c footer.Chunk) {
	if c.Type.Physical != r.chunk.Type.Physical {
		// Values of one form only: which it is says what they are.
		r.dict.Values, r.scratch = encoding.Values{}, encoding.Values{}
	}
	r.chunk = c
	r.win.reset(src, c.Offset, c.Offset+c.Length)
	r.left, r.page, r.rows, r.hasDict = c.Rows, 0, 0, false
	for _, b := range []*[]byte{&r.plainBuf, &r.splitBuf, &r.dictBuf, &r.win.buf} {
		if cap(*b) > keepSize {
			*b = nil
		}
	}
	r.dict.Data = nil
}

// Dictionary is the dictionary of the chunk; empty when it has none.
func (r *Reader) Dictionary() *encoding.Values { return &r.dict.Values }

// Available is the number of rows that Next can return at once: at least one,
// unless the chunk is exhausted, which is io.EOF.
func (r *Reader) Available() (int, error) {
	for r.rows == 0 {
		if r.left == 0 {
			return 0, io.EOF
		}
		if err := r.nextPage(); err != nil {
			return 0, r.locate(err)
		}
	}
	return r.rows, nil
}

// locate names the page that an error is about.
func (r *Reader) locate(err error) error {
	return fmt.Errorf("page %d: %w", r.page, err)
}

// nextPage starts the next page, of whatever kind.
func (r *Reader) nextPage() error {
	h, err := r.header()
	if err != nil {
		return err
	}
	if int64(h.compressed) > r.win.remaining() {
		return fmt.Errorf("it states %d bytes and the column chunk has %d left", h.compressed, r.win.remaining())
	}
	if h.compressed > encoding.MaxPage || h.uncompressed > encoding.MaxPage {
		// The bytes of an uncompressed page are there; those of another may be.
		return encoding.ErrTooBig
	}
	b, err := r.win.peek(int(h.compressed))
	if err != nil {
		return err
	}
	b = b[:h.compressed]
	r.win.lo += len(b)
	r.page++
	if h.typ == indexPage {
		return nil
	}
	if !h.body {
		return fmt.Errorf("its header is of unknown type %d", h.typ)
	}
	r.Pages++
	// Writers without checksums leave the field out or zero.
	if !h.hasCRC || h.crc == 0 {
		r.Unverified++
	} else if crc32.ChecksumIEEE(b) != h.crc {
		return ErrChecksum
	}
	switch h.typ {
	case dictionaryPage:
		return r.dictionary(h, b)
	case dataPage:
		return r.dataPageV1(h, b)
	}
	return r.dataPageV2(h, b)
}

// header reads the header of the next page.
func (r *Reader) header() (pageHeader, error) {
	for size := 256; ; size *= 8 {
		b, err := r.win.peek(min(size, maxHeader))
		if err != nil {
			return pageHeader{}, err
		}
		if len(b) == 0 {
			return pageHeader{}, fmt.Errorf("the column chunk ends and %d rows are missing", r.left)
		}
		h, n, err := parseHeader(b)
		if err == nil {
			r.win.lo += n
			return h, nil
		}
		if errors.Is(err, compact.ErrShort) && len(b) >= size && size < maxHeader {
			continue
		}
		return h, fmt.Errorf("its header cannot be read: %w", err)
	}
}

// decompress decompresses a page into *buf, or returns it as it is.
func (r *Reader) decompress(b []byte, size int, compressed bool, buf *[]byte) ([]byte, error) {
	if r.chunk.Codec == format.Uncompressed || !compressed {
		if len(b) != size {
			return nil, codec.ErrSize
		}
		return b, nil
	}
	if size == 0 {
		return nil, nil
	}
	out, err := r.codec.Decode(r.chunk.Codec, *buf, size, b)
	if err != nil {
		return nil, fmt.Errorf("cannot decompress %v: %w", r.chunk.Codec, err)
	}
	*buf = out
	return out, nil
}

func (r *Reader) dictionary(h pageHeader, b []byte) error {
	if r.hasDict {
		return errors.New("it is a second dictionary")
	}
	if h.encoding != plain && h.encoding != plainDictionary {
		return fault.Unsupported("its dictionary encoding %d is not supported; rewrite the file with another writer", h.encoding)
	}
	body, err := r.decompress(b, int(h.uncompressed), true, &r.dictBuf)
	if err != nil {
		return err
	}
	// The window moves on; the dictionary stays.
	if len(body) > 0 && &body[0] == &b[0] {
		r.dictBuf = append(r.dictBuf[:0], body...)
		body = r.dictBuf
	}
	n := int(h.values)
	if n > len(body) && n > 0 {
		return encoding.ErrFewer // a dictionary value takes a byte at least, but for booleans, which have none
	}
	d := &r.dict
	at := 0
	if err := d.Values.Plain(r.chunk.Type, body, &at, n); err != nil {
		return err
	}
	if at != len(body) {
		return encoding.ErrMore
	}
	d.Len = n
	d.Generation++
	r.hasDict = true
	return nil
}

func (r *Reader) dataPageV1(h pageHeader, b []byte) error {
	body, err := r.decompress(b, int(h.uncompressed), true, &r.plainBuf)
	if err != nil {
		return err
	}
	if r.chunk.MaxDef > 0 {
		if h.levelEncoding != rle {
			return fault.Unsupported("its level encoding %d is not supported; rewrite the file with a writer of this decade", h.levelEncoding)
		}
		if len(body) < 4 || uint64(binary.LittleEndian.Uint32(body)) > uint64(len(body)-4) {
			return encoding.ErrFewer
		}
		end := 4 + int(binary.LittleEndian.Uint32(body))
		r.levels.Reset(body[4:end], encoding.LevelWidth(r.chunk.MaxDef))
		body = body[end:]
	}
	return r.startValues(h, body, -1)
}

func (r *Reader) dataPageV2(h pageHeader, b []byte) error {
	levels := int64(h.defBytes) + int64(h.repBytes)
	if levels > int64(len(b)) || levels > int64(h.uncompressed) {
		return encoding.ErrFewer
	}
	if h.rows != h.values || h.nulls > h.values || h.nulls > 0 && r.chunk.MaxDef == 0 {
		return fmt.Errorf("its header states %d rows, %d values and %d nulls", h.rows, h.values, h.nulls)
	}
	if r.chunk.MaxDef > 0 {
		r.levels.Reset(b[h.repBytes:levels], encoding.LevelWidth(r.chunk.MaxDef))
	}
	// The memory of levels is the window's, which no call moves before the page ends.
	body, err := r.decompress(b[levels:], int(h.uncompressed)-int(levels), h.isCompressed, &r.plainBuf)
	if err != nil {
		return err
	}
	return r.startValues(h, body, int(h.nulls))
}

// startValues readies the values of a data page.
func (r *Reader) startValues(h pageHeader, body []byte, nulls int) error {
	n := int(h.values)
	if int64(n) > r.left {
		return fmt.Errorf("its header states %d values and the row group has %d rows left", n, r.left)
	}
	r.wantNulls, r.nulls = nulls, 0
	r.encoding, r.body, r.at, r.pos = h.encoding, body, 0, 0
	switch h.encoding {
	case plain:
		if r.chunk.Split && !r.chunk.Plain {
			return r.unlisted()
		}
	case plainDictionary, rleDictionary:
		if !r.hasDict {
			return errors.New("it refers to a dictionary that is not there")
		}
		r.encoding = rleDictionary
		r.index.Reset(nil, 0)
		if len(body) > 0 {
			if body[0] > 32 {
				return fmt.Errorf("it has dictionary indexes of %d bits", body[0])
			}
			r.index.Reset(body[1:], uint(body[0]))
		}
	case rle:
		if r.chunk.Type.Physical != format.Boolean {
			return r.unsupported()
		}
		if len(body) > 0 {
			if len(body) < 4 || int64(binary.LittleEndian.Uint32(body)) != int64(len(body)-4) {
				return encoding.ErrFewer
			}
			body = body[4:]
		}
		r.index.Reset(body, 1)
	case deltaBinaryPacked, deltaLengthByteArray, deltaByteArray:
		if err := r.startDelta(n); err != nil {
			return err
		}
	case byteStreamSplit:
		if r.chunk.Plain && !r.chunk.Split {
			return r.unlisted()
		}
		width := r.chunk.Type.FixedWidth()
		if width == 0 || r.chunk.Type.Physical == format.Int96 {
			return r.unsupported()
		}
		if len(body)%width != 0 {
			return encoding.ErrFewer
		}
		r.splitBuf = encoding.ByteStreamSplit(r.splitBuf, body, width)
		r.body, r.encoding = r.splitBuf, plain
	default:
		return r.unsupported()
	}
	r.left -= int64(n)
	r.rows = n
	if r.left == 0 {
		return r.chunkEnd()
	}
	return nil
}

// chunkEnd looks at what follows the page that completes the rows: no further values.
// Bytes that are no pages are passed over; some writers count their padding in.
func (r *Reader) chunkEnd() error {
	for at := r.win.end - r.win.remaining(); at < r.win.end; {
		// The window stays where it is: the page in hand may lie in it.
		b := make([]byte, min(r.win.end-at, 64<<10))
		if err := fault.ReadAt(r.win.src, b, at); err != nil {
			return err
		}
		h, n, err := parseHeader(b)
		if err != nil || !h.body && h.typ != indexPage {
			return nil
		}
		if h.values > 0 && h.typ != dictionaryPage {
			return fmt.Errorf("a page of %d values follows it, and the row group has no rows left", h.values)
		}
		at += int64(n) + int64(h.compressed)
	}
	return nil
}

// unlisted is the fault of a page whose encoding its footer does not list. It is one
// for the two encodings that take the same bytes for values that differ; of others,
// not all writers keep the list.
func (r *Reader) unlisted() error {
	return fmt.Errorf("its encoding %v is not among those that the footer states", format.Encoding(r.encoding))
}

func (r *Reader) unsupported() error {
	return fault.Unsupported("its encoding %v of %v is not supported; rewrite the file with PLAIN or dictionary encoding", format.Encoding(r.encoding), r.chunk.Type.Physical)
}

// startDelta decodes a whole page: how many of its rows have a value must be
// known first, so its levels are counted ahead.
func (r *Reader) startDelta(rows int) (err error) {
	if rows > maxDelta {
		return fault.Unsupported("it holds %d delta-encoded values, and more than %d are not supported; rewrite the file with smaller pages", rows, maxDelta)
	}
	n := rows
	if r.chunk.MaxDef > 0 {
		ahead := r.levels
		if n, err = r.countValid(&ahead, rows); err != nil {
			return err
		}
	}
	bytesType := r.chunk.Type.Physical == format.ByteArray || r.chunk.Type.Physical == format.FixedLenByteArray
	switch {
	case n == 0 && len(r.body) == 0:
		r.decoded, r.ends = r.decoded[:0], r.ends[:0]
		return nil
	case r.encoding == deltaBinaryPacked && (r.chunk.Type.Physical == format.Int32 || r.chunk.Type.Physical == format.Int64):
		var rest []byte
		if r.decoded, rest, err = encoding.DeltaBinaryPacked(r.decoded, r.body, n, r.chunk.Type.Physical == format.Int32); err == nil && len(rest) > 0 {
			err = encoding.ErrMore
		}
		return err
	case r.encoding == deltaLengthByteArray && r.chunk.Type.Physical == format.ByteArray:
		r.ends, r.decoded, r.body, err = encoding.DeltaLengthByteArray(r.ends, r.decoded, r.body, n)
		return err
	case r.encoding == deltaByteArray && bytesType:
		if r.splitBuf, r.ends, r.decoded, err = encoding.DeltaByteArray(r.splitBuf, r.ends, r.decoded, r.body, n); err != nil {
			return err
		}
		r.body = r.splitBuf
		if w := r.chunk.Type.FixedWidth(); w > 0 && len(r.body) != n*w {
			return encoding.ErrFewer
		}
		return nil
	}
	return r.unsupported()
}

// countValid is how many of the next rows have a value, by their levels h.
func (r *Reader) countValid(h *encoding.Hybrid, rows int) (int, error) {
	n := 0
	var block [512]uint32
	for rows > 0 {
		b := block[:min(rows, len(block))]
		if err := h.Read(b); err != nil {
			return 0, err
		}
		for _, l := range b {
			if l == uint32(r.chunk.MaxDef) {
				n++
			}
		}
		rows -= len(b)
	}
	return n, nil
}

// Next returns the next n rows, at most as many as Available said. The Run and
// all it holds are valid until the next call of any method.
func (r *Reader) Next(n int) (*Run, error) {
	run, err := r.next(n)
	if err != nil {
		return nil, r.locate(err)
	}
	return run, nil
}

func (r *Reader) next(n int) (*Run, error) {
	run := &r.run
	run.Rows, run.Valid, run.Dict = n, nil, nil
	count, err := r.nextLevels(n)
	if err != nil {
		return nil, err
	}
	if r.encoding == rleDictionary {
		run.Dict = &r.dict
		r.indexBuf = encoding.Grow(r.indexBuf, n)
		if err := r.index.Read(r.indexBuf[:count]); err != nil {
			return nil, err
		}
		top := uint32(0)
		for _, i := range r.indexBuf[:count] {
			top = max(top, i)
		}
		if count > 0 && int64(top) >= int64(r.dict.Len) {
			return nil, fmt.Errorf("it refers to value %d of a dictionary of %d", top, r.dict.Len)
		}
		if run.Valid != nil {
			encoding.Spread(r.indexBuf, run.Valid, count)
		}
		run.Index = r.indexBuf[:n]
	} else if err := r.nextValues(n, count); err != nil {
		return nil, err
	}
	if r.rows -= n; r.rows == 0 {
		return run, r.pageEnd()
	}
	return run, nil
}

// nextLevels finds which of the next n rows are null and how many are not.
func (r *Reader) nextLevels(n int) (count int, err error) {
	if r.chunk.MaxDef == 0 {
		return n, nil
	}
	most := uint32(r.chunk.MaxDef)
	if all, err := r.levels.Repeats(n, most); all || err != nil {
		return n, err
	}
	if most == 1 {
		r.valid = encoding.Grow(r.valid, n)
		if count, err = r.levels.Bits(r.valid); err != nil || count == n {
			return count, err
		}
		r.nulls += n - count
		r.run.Valid = r.valid
		return count, nil
	}
	r.level = encoding.Grow(r.level, n)
	if err := r.levels.Read(r.level); err != nil {
		return 0, err
	}
	top := uint32(0)
	for _, l := range r.level {
		top = max(top, l)
		if l == most {
			count++
		}
	}
	if top > most {
		return 0, fmt.Errorf("it has a definition level of %d where %d is the most", top, most)
	}
	if count == n {
		return n, nil
	}
	r.nulls += n - count
	r.valid = encoding.Grow(r.valid, n)
	for i, l := range r.level {
		r.valid[i] = l == most
	}
	r.run.Valid = r.valid
	return count, nil
}

// nextValues decodes the next n rows, of which count have a value.
func (r *Reader) nextValues(n, count int) error {
	v := &r.scratch
	r.run.Values = encoding.Values{}
	switch {
	case r.encoding == rle:
		r.level = encoding.Grow(r.level, count)
		if err := r.index.Read(r.level); err != nil {
			return err
		}
		v.Ints = encoding.Grow(v.Ints, n)
		for i, l := range r.level {
			v.Ints[i] = int64(l)
		}
	case r.encoding == deltaBinaryPacked:
		if r.pos+count > len(r.decoded) {
			return encoding.ErrFewer
		}
		v.Ints = encoding.Grow(v.Ints, n)
		copy(v.Ints, r.decoded[r.pos:r.pos+count])
		r.pos += count
	case r.encoding == deltaLengthByteArray || r.encoding == deltaByteArray:
		if r.pos+count > len(r.ends) {
			return encoding.ErrFewer
		}
		v.Lo, v.Hi, v.Data = encoding.Grow(v.Lo, n), encoding.Grow(v.Hi, n), r.body
		lo := uint32(0)
		if r.pos > 0 {
			lo = r.ends[r.pos-1]
		}
		for i, hi := range r.ends[r.pos : r.pos+count] {
			v.Lo[i], v.Hi[i] = lo, hi
			lo = hi
		}
		r.pos += count
	default:
		if err := v.Plain(r.chunk.Type, r.body, &r.at, count); err != nil {
			return err
		}
	}
	valid := r.run.Valid
	switch r.chunk.Type.Physical {
	case format.Boolean, format.Int32, format.Int64:
		v.Ints = encoding.Grow(v.Ints, n)
		if valid != nil {
			encoding.Spread(v.Ints, valid, count)
		}
		r.run.Ints = v.Ints[:n]
	case format.Float, format.Double:
		v.Floats = encoding.Grow(v.Floats, n)
		if valid != nil {
			encoding.Spread(v.Floats, valid, count)
		}
		r.run.Floats = v.Floats[:n]
	default:
		v.Lo, v.Hi = encoding.Grow(v.Lo, n), encoding.Grow(v.Hi, n)
		if valid != nil {
			encoding.Spread(v.Lo, valid, count)
			encoding.Spread(v.Hi, valid, count)
		}
		r.run.Data, r.run.Lo, r.run.Hi = v.Data, v.Lo[:n], v.Hi[:n]
	}
	return nil
}

// pageEnd holds a page to its word: a flipped bit in a header, which no
// checksum covers, shows as values left over or missing.
func (r *Reader) pageEnd() error {
	if r.wantNulls >= 0 && r.chunk.MaxDef > 0 && r.nulls != r.wantNulls {
		return fmt.Errorf("it holds %d nulls where its header states %d", r.nulls, r.wantNulls)
	}
	if r.chunk.MaxDef > 0 {
		if rest, done := r.levels.Finished(); !done || len(rest) > 0 {
			return errLevels
		}
	}
	var rest []byte // bytes not read
	done := true
	switch r.encoding {
	case plain:
		if r.chunk.Type.Physical == format.Boolean {
			rest = r.body[(r.at+7)/8:]
		} else {
			rest = r.body[r.at:]
		}
	case rleDictionary, rle:
		rest, done = r.index.Finished()
	case deltaBinaryPacked:
		done = r.pos == len(r.decoded)
	default:
		done = r.pos == len(r.ends)
	}
	if r.chunk.Padded && bytes.Equal(rest, padding[:]) {
		rest = nil
	}
	if !done || len(rest) > 0 {
		return encoding.ErrMore
	}
	return nil
}

// padding is what fastparquet ends every data page with.
var padding [8]byte
