package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"
)

// Every codec fills a buffer of the right size, time after time, and refuses one
// that is a byte larger or smaller.
func TestDecode(t *testing.T) {
	plain := bytes.Repeat([]byte("three blind mice, "), 500)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var gz, br bytes.Buffer
	gw := gzip.NewWriter(&gz)
	_, err := gw.Write(plain)
	must(err)
	must(gw.Close())
	bw := brotli.NewWriter(&br)
	_, err = bw.Write(plain)
	must(err)
	must(bw.Close())
	zw, err := zstd.NewWriter(nil)
	must(err)
	block := make([]byte, lz4.CompressBlockBound(len(plain)))
	n, err := lz4.CompressBlock(plain, block, nil)
	must(err)
	block = block[:n]
	hadoop := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(len(plain))), uint32(n))
	hadoop = append(hadoop, block...)
	var d Decompressor
	for _, tc := range []struct {
		name  string
		codec format.CompressionCodec
		src   []byte
	}{
		{"snappy", format.Snappy, snappy.Encode(nil, plain)},
		{"zstd", format.Zstd, zw.EncodeAll(plain, nil)},
		{"gzip", format.Gzip, gz.Bytes()},
		{"brotli", format.Brotli, br.Bytes()},
		{"lz4 raw", format.Lz4Raw, block},
		{"lz4 as Hadoop frames it", format.Lz4, hadoop},
		{"lz4 without frames", format.Lz4, block},
	} {
		for range 2 {
			dst := make([]byte, len(plain))
			if err := d.Decode(tc.codec, dst, tc.src); err != nil || !bytes.Equal(dst, plain) {
				t.Errorf("%s: %v", tc.name, err)
			}
			for _, size := range []int{len(plain) - 1, len(plain) + 1} {
				if err := d.Decode(tc.codec, make([]byte, size), tc.src); err == nil {
					t.Errorf("%s: %d bytes fit a page of %d", tc.name, len(plain), size)
				}
			}
			if err := d.Decode(tc.codec, dst, tc.src[:len(tc.src)/2]); err == nil {
				t.Errorf("%s: half a page is not noticed", tc.name)
			}
		}
		if most := MaxRatio(tc.codec); most > 0 && len(plain) > most*len(tc.src) {
			t.Errorf("%s: %d bytes became %d, beyond the most of %d", tc.name, len(plain), len(tc.src), most)
		}
	}
	if err := d.Decode(format.Snappy, make([]byte, 1), snappy.Encode(nil, plain)); !errors.Is(err, ErrSize) {
		t.Errorf("another size: %v", err)
	}
	if err := d.Decode(format.LZO, make([]byte, 1), nil); err == nil {
		t.Error("an unknown codec is accepted")
	}
}
