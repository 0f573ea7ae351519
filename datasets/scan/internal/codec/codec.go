// Package codec decompresses pages to exactly the size that their headers state,
// and takes no memory for that size before the compressed bytes have shown that
// they can fill it: neither they nor the header are believed.
package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"

	"github.com/shoal-data/shoal/datasets/scan/internal/fault"
)

// A Decompressor never allocates for what compressed bytes claim about
// themselves, which the codecs of parquet-go do. It keeps codec state and is for
// one goroutine; the zero Decompressor is ready.
type Decompressor struct {
	zstd   *zstd.Decoder
	gzip   *gzip.Reader
	brotli *brotli.Reader
	src    bytes.Reader
}

// ErrSize means that a page and its header disagree.
var ErrSize = errors.New("it does not decompress to the size its header states")

// mostBytes bounds what src can decompress to; -1 is no bound. Snappy: a copy of 64
// bytes takes 3; LZ4: a length byte adds 255.
func mostBytes(codec format.CompressionCodec, src []byte) int {
	switch codec {
	case format.Snappy:
		return 32 * len(src)
	case format.Lz4, format.Lz4Raw:
		return 256 * len(src)
	case format.Zstd:
		return mostZstd(src)
	}
	return -1
}

// maxZstdBlock is the most bytes that a block of a zstd frame can stand for.
const maxZstdBlock = 128 << 10

// mostZstd walks the blocks of the frames of src, without decompressing any.
// Source: https://github.com/facebook/zstd/blob/dev/doc/zstd_compression_format.md
func mostZstd(src []byte) (most int) {
	for len(src) > 0 {
		var h zstd.Header
		if h.Decode(src) != nil || h.Skippable {
			return -1 // the decoder says what is wrong, or steps over
		}
		src = src[min(h.HeaderSize, len(src)):]
		for last := false; !last && len(src) >= 3; {
			head := int(src[0]) | int(src[1])<<8 | int(src[2])<<16
			size, stands := head>>3, head>>3
			last = head&1 == 1
			switch head >> 1 & 3 {
			case 1: // one byte, repeated
				size = 1
			case 2: // compressed
				stands = maxZstdBlock
			}
			most += min(stands, maxZstdBlock)
			src = src[min(3+size, len(src)):]
		}
		if h.HasCheckSum {
			src = src[min(4, len(src)):]
		}
	}
	return most
}

// Decode decompresses src, which must come to size bytes, into the memory of buf or,
// when that does not suffice, into new memory.
func (d *Decompressor) Decode(codec format.CompressionCodec, buf []byte, size int, src []byte) ([]byte, error) {
	if most := mostBytes(codec, src); most >= 0 && most < size {
		return nil, fmt.Errorf("its header states %d bytes, which %d bytes of %v cannot hold", size, len(src), codec)
	}
	switch codec {
	case format.Gzip:
		d.src.Reset(src)
		if d.gzip == nil {
			var err error
			if d.gzip, err = gzip.NewReader(&d.src); err != nil {
				d.gzip = nil
				return nil, err
			}
		} else if err := d.gzip.Reset(&d.src); err != nil {
			return nil, err
		}
		return readExactly(d.gzip, buf, size)
	case format.Brotli:
		d.src.Reset(src)
		if d.brotli == nil {
			d.brotli = brotli.NewReader(&d.src)
		} else if err := d.brotli.Reset(&d.src); err != nil {
			return nil, err
		}
		return readExactly(d.brotli, buf, size)
	case format.Snappy, format.Zstd, format.Lz4Raw, format.Lz4:
	default:
		return nil, fault.Unsupported("compression %v is not supported; rewrite the file with zstd or snappy", codec)
	}
	if cap(buf) < size {
		buf = make([]byte, size)
	}
	dst := buf[:size]
	switch codec {
	case format.Snappy:
		n, err := snappy.DecodedLen(src)
		if err != nil {
			return nil, err
		}
		if n != size {
			return nil, ErrSize
		}
		_, err = snappy.Decode(dst, src)
		return dst, err
	case format.Zstd:
		if d.zstd == nil {
			var err error
			if d.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderLowmem(true)); err != nil {
				return nil, err
			}
		}
		out, err := d.zstd.DecodeAll(src, dst[:0:size])
		if err != nil {
			return nil, err
		}
		if len(out) != size {
			return nil, ErrSize
		}
		return dst, nil
	case format.Lz4Raw:
		return dst, lz4Block(dst, src)
	}
	return dst, lz4Hadoop(dst, src)
}

// firstRead is how many bytes are decompressed before more memory is taken for them.
const firstRead = 1 << 20

// readExactly reads size bytes from r, which must end there. Memory grows with what
// has been read.
func readExactly(r io.Reader, buf []byte, size int) ([]byte, error) {
	buf = buf[:0]
	for len(buf) < size {
		have := len(buf)
		more := min(size-have, max(have, firstRead, cap(buf)-have))
		buf = slices.Grow(buf, more)[:have+more]
		if _, err := io.ReadFull(r, buf[have:]); err != nil {
			if err == io.ErrUnexpectedEOF || err == io.EOF {
				return nil, ErrSize
			}
			return nil, err
		}
	}
	var more [1]byte
	for {
		switch n, err := r.Read(more[:]); {
		case n > 0:
			return nil, ErrSize
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return nil, err
		}
	}
}

func lz4Block(dst, src []byte) error {
	n, err := lz4.UncompressBlock(src, dst)
	if err != nil {
		return err
	}
	if n != len(dst) {
		return ErrSize
	}
	return nil
}

// lz4Hadoop reads the deprecated LZ4 codec: Hadoop's frames of two big-endian
// lengths (decompressed, compressed) and a block, or what some writers put
// instead, a bare block.
// Source: https://github.com/apache/parquet-format/blob/master/Compression.md#lz4
func lz4Hadoop(dst, src []byte) error {
	if hadoopFrames(dst, src) == nil {
		return nil
	}
	return lz4Block(dst, src)
}

func hadoopFrames(dst, src []byte) error {
	for len(src) > 0 {
		if len(src) < 8 {
			return ErrSize
		}
		size, packed := binary.BigEndian.Uint32(src), binary.BigEndian.Uint32(src[4:])
		src = src[8:]
		if uint64(size) > uint64(len(dst)) || uint64(packed) > uint64(len(src)) {
			return ErrSize
		}
		if err := lz4Block(dst[:size], src[:packed]); err != nil {
			return err
		}
		dst, src = dst[size:], src[packed:]
	}
	if len(dst) > 0 {
		return ErrSize
	}
	return nil
}
