// Package codec decompresses pages into buffers of exactly the size that their
// headers state, whatever the compressed bytes claim about themselves.
package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"
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

// MaxRatio is the most bytes that a compressed byte can stand for; 0 is unbounded.
// Snappy: a copy of 64 bytes takes 3; LZ4: a length byte adds 255; DEFLATE: RFC
// 1951's shortest code for 258 bytes is 2 bits.
func MaxRatio(codec format.CompressionCodec) int {
	switch codec {
	case format.Snappy:
		return 32
	case format.Lz4, format.Lz4Raw:
		return 256
	case format.Gzip:
		return 1040
	}
	return 0
}

// Decode decompresses src into dst, which it must fill exactly.
func (d *Decompressor) Decode(codec format.CompressionCodec, dst, src []byte) error {
	switch codec {
	case format.Snappy:
		n, err := snappy.DecodedLen(src)
		if err != nil {
			return err
		}
		if n != len(dst) {
			return ErrSize
		}
		_, err = snappy.Decode(dst, src)
		return err
	case format.Zstd:
		if d.zstd == nil {
			var err error
			if d.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderLowmem(true)); err != nil {
				return err
			}
		}
		out, err := d.zstd.DecodeAll(src, dst[:0:len(dst)])
		if err != nil {
			return err
		}
		if len(out) != len(dst) {
			return ErrSize
		}
		return nil
	case format.Gzip:
		d.src.Reset(src)
		if d.gzip == nil {
			var err error
			if d.gzip, err = gzip.NewReader(&d.src); err != nil {
				d.gzip = nil
				return err
			}
		} else if err := d.gzip.Reset(&d.src); err != nil {
			return err
		}
		return readExactly(d.gzip, dst)
	case format.Brotli:
		d.src.Reset(src)
		if d.brotli == nil {
			d.brotli = brotli.NewReader(&d.src)
		} else if err := d.brotli.Reset(&d.src); err != nil {
			return err
		}
		return readExactly(d.brotli, dst)
	case format.Lz4Raw:
		return lz4Block(dst, src)
	case format.Lz4:
		return lz4Hadoop(dst, src)
	}
	return fmt.Errorf("compression %v is not supported; rewrite the file with zstd or snappy", codec)
}

// readExactly fills dst from r, which must end there.
func readExactly(r io.Reader, dst []byte) error {
	if _, err := io.ReadFull(r, dst); err != nil {
		if err == io.ErrUnexpectedEOF || err == io.EOF {
			return ErrSize
		}
		return err
	}
	var more [1]byte
	for {
		switch n, err := r.Read(more[:]); {
		case n > 0:
			return ErrSize
		case err == io.EOF:
			return nil
		case err != nil:
			return err
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
