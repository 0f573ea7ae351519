// Package pages reads Parquet footers and column chunks: bytes in, typed values
// out, a few thousand rows at a time. Footers are decoded and typed by
// parquet-go's format package; pages are decoded here, because nothing may be
// allocated, and no row believed, on the word of a damaged file alone. Every
// size is checked against the file and a cap before memory is taken for it,
// runs are streamed and never expanded, checksums are verified, and a page must
// hold exactly the values that its header states.
package pages

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/parquet-go/parquet-go/format"
)

const (
	maxPage   = 256 << 20 // bytes of a page, decompressed; writers aim at 1 MiB
	maxHeader = 16 << 20  // bytes of a page header, statistics included
	readSize  = 1 << 20   // bytes fetched at a time: a fair request to an object store, and 14 columns are 14 MiB a worker
	keepSize  = 16 << 20  // buffers larger than this are not kept for the next chunk
	maxDelta  = 1 << 24   // values of a delta-encoded page, which is decoded whole
)

// Faults of a file that callers tell apart.
var (
	ErrChecksum = errors.New("page checksum does not match")
	ErrNotFile  = errors.New("it is not a Parquet file")
	ErrCrypt    = errors.New("it is encrypted")
	errTooBig   = fmt.Errorf("it is larger than %d MiB", maxPage>>20)
)

// An IOError is a failure to read, as opposed to a fault of what was read.
type IOError struct{ Err error }

func (e *IOError) Error() string { return e.Err.Error() }

// Unwrap returns the storage's error.
func (e *IOError) Unwrap() error { return e.Err }

// readAt fills b. A file that ends within b has changed or was cut.
func readAt(r io.ReaderAt, b []byte, at int64) error {
	n, err := r.ReadAt(b, at)
	switch {
	case n == len(b):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return fmt.Errorf("it ends at byte %d, where %d more were expected", at+int64(n), len(b)-n)
	}
	return &IOError{err}
}

// Values are decoded values of one of three forms. Which one follows from the
// physical type: Ints for BOOLEAN, INT32 and INT64; Floats for FLOAT and DOUBLE;
// bytes for BYTE_ARRAY, FIXED_LEN_BYTE_ARRAY and INT96, value i being
// Data[Lo[i]:Hi[i]].
type Values struct {
	Ints   []int64
	Floats []float64
	Data   []byte
	Lo, Hi []uint32
}

// Bytes is value i in the bytes form. It is valid until the next call of Next.
func (v *Values) Bytes(i int) []byte { return v.Data[v.Lo[i]:v.Hi[i]] }

// A Run is the values of some consecutive rows, all of one page. Row i is null
// when Valid is not nil and Valid[i] is false; its value is then unspecified.
// With Dict set, row i is value Index[i] of the dictionary; otherwise it is
// value i of Values.
type Run struct {
	Rows  int
	Valid []bool
	Dict  *Dictionary
	Index []uint32
	Values
}

// A Dictionary is the dictionary page of a chunk. Generation differs between any
// two dictionaries that one Reader has read.
type Dictionary struct {
	Values
	Len        int
	Generation int
}

// A Chunk locates a column chunk of a column without repetition.
type Chunk struct {
	Offset, Length int64
	Rows           int64
	Codec          format.CompressionCodec
	Physical       format.Type
	Width          int // bytes, of FIXED_LEN_BYTE_ARRAY
	MaxDef         int // definition level of a value that is not null
}

// A Reader streams a column chunk. It reuses its memory from chunk to chunk.
// The zero Reader is ready for Reset.
type Reader struct {
	chunk Chunk
	win   window
	codec decompressor

	Pages      int // data and dictionary pages read since the Reader was made
	Unverified int // of those, pages without a checksum

	left    int64 // rows of the chunk not yet in a page
	page    int   // pages of this chunk begun
	hasDict bool
	dict    Dictionary

	// The current page.
	rows      int // not yet handed out
	levels    hybrid
	nulls     int // seen so far
	wantNulls int // -1 where the header does not say
	encoding  int32
	body      []byte // decompressed values; own memory or the window's
	at        int
	index     hybrid
	boolRun   bool
	decoded   []int64 // delta-encoded integers
	ends      []uint32
	pos       int // value of decoded or ends

	plainBuf, splitBuf, dictBuf []byte
	level                       []uint32
	run                         Run
	valid                       []bool
	scratch                     Values
	indexBuf                    []uint32
}

// Reset starts a chunk.
func (r *Reader) Reset(src io.ReaderAt, c Chunk) {
	if c.Physical != r.chunk.Physical {
		// Values of one form only: which it is says what they are.
		r.dict.Values, r.scratch = Values{}, Values{}
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
func (r *Reader) Dictionary() *Values { return &r.dict.Values }

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

func (r *Reader) locate(err error) error {
	return fmt.Errorf("page %d: %w", r.page, err)
}

func (r *Reader) nextPage() error {
	h, err := r.header()
	if err != nil {
		return err
	}
	if int64(h.compressed) > r.win.remaining() {
		return fmt.Errorf("it states %d bytes and the column chunk has %d left", h.compressed, r.win.remaining())
	}
	if h.compressed > maxPage || h.uncompressed > maxPage {
		return errTooBig
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

func (r *Reader) header() (header, error) {
	for size := 256; ; size *= 8 {
		b, err := r.win.peek(min(size, maxHeader))
		if err != nil {
			return header{}, err
		}
		if len(b) == 0 {
			return header{}, fmt.Errorf("the column chunk ends and %d rows are missing", r.left)
		}
		h, n, err := parseHeader(b)
		if err == nil {
			r.win.lo += n
			return h, nil
		}
		if errors.Is(err, errShort) && len(b) >= size && size < maxHeader {
			continue
		}
		return h, fmt.Errorf("its header cannot be read: %w", err)
	}
}

// plainBytes decompresses a page into *buf, or returns it as it is.
func (r *Reader) plainBytes(b []byte, size int, compressed bool, buf *[]byte) ([]byte, error) {
	if r.chunk.Codec == format.Uncompressed || !compressed {
		if len(b) != size {
			return nil, errSize
		}
		return b, nil
	}
	if size == 0 {
		return nil, nil
	}
	if most := ratio(r.chunk.Codec); most > 0 && size/most > len(b) {
		return nil, fmt.Errorf("it states %d bytes, which %d bytes of %v cannot hold", size, len(b), r.chunk.Codec)
	}
	if cap(*buf) < size {
		*buf = make([]byte, size)
	}
	*buf = (*buf)[:size]
	if err := r.codec.decode(r.chunk.Codec, *buf, b); err != nil {
		return nil, fmt.Errorf("cannot decompress %v: %w", r.chunk.Codec, err)
	}
	return *buf, nil
}

func (r *Reader) dictionary(h header, b []byte) error {
	if r.hasDict {
		return errors.New("it is a second dictionary")
	}
	if h.encoding != plain && h.encoding != plainDictionary {
		return fmt.Errorf("dictionary encoding %d is not supported", h.encoding)
	}
	body, err := r.plainBytes(b, int(h.uncompressed), true, &r.dictBuf)
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
		return errFewer // a dictionary value takes a byte at least, but for booleans, which have none
	}
	d := &r.dict
	at := 0
	if err := r.plain(&d.Values, body, &at, n); err != nil {
		return err
	}
	if at != len(body) {
		return errMore
	}
	d.Len = n
	d.Generation++
	r.hasDict = true
	return nil
}

func (r *Reader) dataPageV1(h header, b []byte) error {
	body, err := r.plainBytes(b, int(h.uncompressed), true, &r.plainBuf)
	if err != nil {
		return err
	}
	if r.chunk.MaxDef > 0 {
		if h.levelEncoding != rle {
			return fmt.Errorf("level encoding %d is not supported", h.levelEncoding)
		}
		if len(body) < 4 || uint64(binary.LittleEndian.Uint32(body)) > uint64(len(body)-4) {
			return errFewer
		}
		end := 4 + int(binary.LittleEndian.Uint32(body))
		r.levels.reset(body[4:end], levelWidth(r.chunk.MaxDef))
		body = body[end:]
	}
	return r.start(h, body, -1)
}

func (r *Reader) dataPageV2(h header, b []byte) error {
	levels := int64(h.defBytes) + int64(h.repBytes)
	if levels > int64(len(b)) || levels > int64(h.uncompressed) {
		return errFewer
	}
	if h.rows != h.values || h.nulls > h.values {
		return fmt.Errorf("its header states %d rows, %d values and %d nulls", h.rows, h.values, h.nulls)
	}
	if r.chunk.MaxDef > 0 {
		r.levels.reset(b[h.repBytes:levels], levelWidth(r.chunk.MaxDef))
	}
	// The memory of levels is the window's, which no call moves before the page ends.
	body, err := r.plainBytes(b[levels:], int(h.uncompressed)-int(levels), h.isCompressed, &r.plainBuf)
	if err != nil {
		return err
	}
	return r.start(h, body, int(h.nulls))
}

// start readies the values of a data page.
func (r *Reader) start(h header, body []byte, nulls int) error {
	n := int(h.values)
	if int64(n) > r.left {
		return fmt.Errorf("its header states %d values and the row group has %d rows left", n, r.left)
	}
	r.wantNulls, r.nulls = nulls, 0
	r.encoding, r.body, r.at, r.pos, r.boolRun = h.encoding, body, 0, 0, false
	switch h.encoding {
	case plain:
	case plainDictionary, rleDictionary:
		if !r.hasDict {
			return errors.New("it refers to a dictionary that is not there")
		}
		r.encoding = rleDictionary
		r.index.reset(nil, 0)
		if len(body) > 0 {
			if body[0] > 32 {
				return fmt.Errorf("it has dictionary indexes of %d bits", body[0])
			}
			r.index.reset(body[1:], uint(body[0]))
		}
	case rle:
		if r.chunk.Physical != format.Boolean {
			return r.unsupported()
		}
		if len(body) > 0 {
			if len(body) < 4 || int64(binary.LittleEndian.Uint32(body)) != int64(len(body)-4) {
				return errFewer
			}
			body = body[4:]
		}
		r.index.reset(body, 1)
	case deltaBinaryPacked, deltaLengthByteArray, deltaByteArray:
		if err := r.startDelta(n); err != nil {
			return err
		}
	case byteStreamSplit:
		width := r.fixedWidth()
		if width == 0 || r.chunk.Physical == format.Int96 {
			return r.unsupported()
		}
		if len(body)%width != 0 {
			return errFewer
		}
		r.splitBuf = unsplit(r.splitBuf, body, width)
		r.body, r.encoding = r.splitBuf, plain
	default:
		return r.unsupported()
	}
	r.left -= int64(n)
	r.rows = n
	return nil
}

func (r *Reader) unsupported() error {
	return fmt.Errorf("encoding %v of %v is not supported", format.Encoding(r.encoding), r.chunk.Physical)
}

// startDelta decodes a whole page: how many of its rows have a value must be
// known first, so its levels are counted ahead.
func (r *Reader) startDelta(rows int) (err error) {
	if rows > maxDelta {
		return fmt.Errorf("it holds %d delta-encoded values, more than %d", rows, maxDelta)
	}
	n := rows
	if r.chunk.MaxDef > 0 {
		ahead := r.levels
		if n, err = r.countValid(&ahead, rows); err != nil {
			return err
		}
	}
	bytesType := r.chunk.Physical == format.ByteArray || r.chunk.Physical == format.FixedLenByteArray
	switch {
	case n == 0 && len(r.body) == 0:
		r.decoded, r.ends = r.decoded[:0], r.ends[:0]
		return nil
	case r.encoding == deltaBinaryPacked && (r.chunk.Physical == format.Int32 || r.chunk.Physical == format.Int64):
		var rest []byte
		if r.decoded, rest, err = delta(r.decoded, r.body, n, r.chunk.Physical == format.Int32); err == nil && len(rest) > 0 {
			err = errMore
		}
		return err
	case r.encoding == deltaLengthByteArray && r.chunk.Physical == format.ByteArray:
		r.ends, r.decoded, r.body, err = deltaLengths(r.ends, r.decoded, r.body, n)
		return err
	case r.encoding == deltaByteArray && bytesType:
		if r.splitBuf, r.ends, r.decoded, err = deltaStrings(r.splitBuf, r.ends, r.decoded, r.body, n); err != nil {
			return err
		}
		r.body = r.splitBuf
		if w := r.fixedWidth(); w > 0 && len(r.body) != n*w {
			return errFewer
		}
		return nil
	}
	return r.unsupported()
}

func (r *Reader) countValid(h *hybrid, rows int) (int, error) {
	n := 0
	var block [512]uint32
	for rows > 0 {
		b := block[:min(rows, len(block))]
		if err := h.read(b); err != nil {
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
		r.indexBuf = grow(r.indexBuf, n)
		if err := r.index.read(r.indexBuf[:count]); err != nil {
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
			spread(r.indexBuf, run.Valid, count)
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
	if all, err := r.levels.repeats(n, most); all || err != nil {
		return n, err
	}
	r.level = grow(r.level, n)
	if err := r.levels.read(r.level); err != nil {
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
	r.valid = grow(r.valid, n)
	for i, l := range r.level {
		r.valid[i] = l == most
	}
	r.run.Valid = r.valid
	return count, nil
}

func (r *Reader) nextValues(n, count int) error {
	v := &r.scratch
	r.run.Values = Values{}
	switch {
	case r.encoding == rle:
		r.level = grow(r.level, count)
		if err := r.index.read(r.level); err != nil {
			return err
		}
		v.Ints = grow(v.Ints, n)
		for i, l := range r.level {
			v.Ints[i] = int64(l)
		}
	case r.encoding == deltaBinaryPacked:
		if r.pos+count > len(r.decoded) {
			return errFewer
		}
		v.Ints = grow(v.Ints, n)
		copy(v.Ints, r.decoded[r.pos:r.pos+count])
		r.pos += count
	case r.encoding == deltaLengthByteArray || r.encoding == deltaByteArray:
		if r.pos+count > len(r.ends) {
			return errFewer
		}
		v.Lo, v.Hi, v.Data = grow(v.Lo, n), grow(v.Hi, n), r.body
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
		if err := r.plain(v, r.body, &r.at, count); err != nil {
			return err
		}
	}
	valid := r.run.Valid
	switch r.chunk.Physical {
	case format.Boolean, format.Int32, format.Int64:
		v.Ints = grow(v.Ints, n)
		if valid != nil {
			spread(v.Ints, valid, count)
		}
		r.run.Ints = v.Ints[:n]
	case format.Float, format.Double:
		v.Floats = grow(v.Floats, n)
		if valid != nil {
			spread(v.Floats, valid, count)
		}
		r.run.Floats = v.Floats[:n]
	default:
		v.Lo, v.Hi = grow(v.Lo, n), grow(v.Hi, n)
		if valid != nil {
			spread(v.Lo, valid, count)
			spread(v.Hi, valid, count)
		}
		r.run.Data, r.run.Lo, r.run.Hi = v.Data, v.Lo[:n], v.Hi[:n]
	}
	return nil
}

// spread moves the first count values to the rows that are valid, the last one
// first. Null rows get the zero value.
func spread[T any](v []T, valid []bool, count int) {
	var zero T
	for i := len(valid) - 1; i >= 0; i-- {
		if valid[i] {
			count--
			v[i] = v[count]
		} else {
			v[i] = zero
		}
	}
}

// grow returns v with length n; the values it held stay.
func grow[T any](v []T, n int) []T {
	if cap(v) < n {
		w := make([]T, n, max(n, 2048))
		copy(w, v)
		return w
	}
	return v[:n]
}

// plain decodes n PLAIN values of b from *at on.
func (r *Reader) plain(v *Values, b []byte, at *int, n int) error {
	if w := r.fixedWidth(); w > 0 && (len(b)-*at)/w < n {
		return errFewer
	}
	switch r.chunk.Physical {
	case format.Boolean:
		// *at counts bits here, and bytes when the page ends.
		if n > len(b)*8-*at {
			return errFewer
		}
		v.Ints = grow(v.Ints, n)
		for i := range v.Ints {
			v.Ints[i] = int64(b[*at>>3] >> (*at & 7) & 1)
			*at++
		}
	case format.Int32:
		v.Ints = grow(v.Ints, n)
		s := b[*at:]
		for i := range v.Ints {
			v.Ints[i] = int64(int32(binary.LittleEndian.Uint32(s[4*i:])))
		}
		*at += 4 * n
	case format.Int64:
		v.Ints = grow(v.Ints, n)
		s := b[*at:]
		for i := range v.Ints {
			v.Ints[i] = int64(binary.LittleEndian.Uint64(s[8*i:]))
		}
		*at += 8 * n
	case format.Float:
		v.Floats = grow(v.Floats, n)
		s := b[*at:]
		for i := range v.Floats {
			v.Floats[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(s[4*i:])))
		}
		*at += 4 * n
	case format.Double:
		v.Floats = grow(v.Floats, n)
		s := b[*at:]
		for i := range v.Floats {
			v.Floats[i] = math.Float64frombits(binary.LittleEndian.Uint64(s[8*i:]))
		}
		*at += 8 * n
	case format.ByteArray:
		v.Lo, v.Hi, v.Data = grow(v.Lo, n), grow(v.Hi, n), b
		p := *at
		for i := range n {
			if len(b)-p < 4 {
				return errFewer
			}
			size := binary.LittleEndian.Uint32(b[p:])
			p += 4
			if uint64(size) > uint64(len(b)-p) {
				return errFewer
			}
			v.Lo[i] = uint32(p)
			p += int(size)
			v.Hi[i] = uint32(p)
		}
		*at = p
	default:
		w := r.fixedWidth()
		v.Lo, v.Hi, v.Data = grow(v.Lo, n), grow(v.Hi, n), b
		for i := range n {
			v.Lo[i] = uint32(*at + i*w)
			v.Hi[i] = uint32(*at + i*w + w)
		}
		*at += n * w
	}
	return nil
}

// fixedWidth is the width of a PLAIN value in bytes; 0 where it varies.
func (r *Reader) fixedWidth() int {
	switch r.chunk.Physical {
	case format.Int32, format.Float:
		return 4
	case format.Int64, format.Double:
		return 8
	case format.Int96:
		return 12
	case format.FixedLenByteArray:
		return r.chunk.Width
	}
	return 0
}

// pageEnd holds a page to its word: a flipped bit in a header, which no
// checksum covers, shows as values left over or missing.
func (r *Reader) pageEnd() error {
	if r.wantNulls >= 0 && r.chunk.MaxDef > 0 && r.nulls != r.wantNulls {
		return fmt.Errorf("it holds %d nulls where its header states %d", r.nulls, r.wantNulls)
	}
	done := true
	switch r.encoding {
	case plain:
		if r.chunk.Physical == format.Boolean {
			done = (r.at+7)/8 == len(r.body)
		} else {
			done = r.at == len(r.body)
		}
	case rleDictionary, rle:
		done = r.index.finished()
	case deltaBinaryPacked:
		done = r.pos == len(r.decoded)
	default:
		done = r.pos == len(r.ends)
	}
	if !done {
		return errMore
	}
	return nil
}

// A window is a buffered view of a range of a file.
type window struct {
	src      io.ReaderAt
	pos, end int64 // of the file: next byte to fetch, end of the range
	buf      []byte
	lo       int // of buf: next byte to hand out
}

func (w *window) reset(src io.ReaderAt, from, to int64) {
	w.src, w.pos, w.end, w.buf, w.lo = src, from, to, w.buf[:0], 0
}

// remaining is the number of bytes not yet handed out.
func (w *window) remaining() int64 { return w.end - w.pos + int64(len(w.buf)-w.lo) }

// peek returns the next n bytes or more, or all that remain.
func (w *window) peek(n int) ([]byte, error) {
	if have := w.buf[w.lo:]; len(have) >= n || w.pos == w.end {
		return have, nil
	}
	have := len(w.buf) - w.lo
	size := int(min(int64(max(n, readSize)), w.remaining()))
	if cap(w.buf) < size {
		b := make([]byte, have, size)
		copy(b, w.buf[w.lo:])
		w.buf = b
	} else {
		copy(w.buf[:have], w.buf[w.lo:])
	}
	w.lo = 0
	w.buf = w.buf[:size]
	if err := readAt(w.src, w.buf[have:], w.pos); err != nil {
		w.buf = w.buf[:have]
		return nil, err
	}
	w.pos += int64(size - have)
	return w.buf, nil
}
