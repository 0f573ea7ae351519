package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
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
			for _, have := range []int{0, len(plain) / 2, len(plain), 2 * len(plain)} {
				if got, err := d.Decode(tc.codec, make([]byte, have), len(plain), tc.src); err != nil || !bytes.Equal(got, plain) {
					t.Errorf("%s into %d bytes: %v", tc.name, have, err)
				}
			}
			for _, size := range []int{len(plain) - 1, len(plain) + 1} {
				if _, err := d.Decode(tc.codec, nil, size, tc.src); err == nil {
					t.Errorf("%s: %d bytes fit a page of %d", tc.name, len(plain), size)
				}
			}
			if _, err := d.Decode(tc.codec, nil, len(plain), tc.src[:len(tc.src)/2]); err == nil {
				t.Errorf("%s: half a page is not noticed", tc.name)
			}
		}
		// A header that states what cannot be is refused before the memory is taken.
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := d.Decode(tc.codec, nil, 200<<20, tc.src)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; err == nil || n > 2<<20 {
			t.Errorf("%s: %d bytes taken for a page that states 200 MiB: %v", tc.name, n, err)
		}
	}
	if _, err := d.Decode(format.Snappy, nil, 1, snappy.Encode(nil, plain)); !errors.Is(err, ErrSize) {
		t.Errorf("another size: %v", err)
	}
	if _, err := d.Decode(format.LZO, nil, 1, nil); err == nil {
		t.Error("an unknown codec is accepted")
	}
}

// The bound on zstd's size is never below it, for frames of every kind and their concatenation.
func TestZstdBound(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 300_000)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	var all []byte
	total := 0
	for _, plain := range [][]byte{nil, {1}, make([]byte, 1<<20), noise, bytes.Repeat(noise[:1000], 2000)} {
		for _, options := range [][]zstd.EOption{{}, {zstd.WithEncoderCRC(false)}, {zstd.WithSingleSegment(true)}, {zstd.WithEncoderLevel(zstd.SpeedBestCompression)}} {
			w, err := zstd.NewWriter(nil, options...)
			if err != nil {
				t.Fatal(err)
			}
			b := w.EncodeAll(plain, nil)
			if most := mostZstd(b); most < len(plain) || most > len(plain)+maxZstdBlock {
				t.Errorf("%d bytes: a bound of %d", len(plain), most)
			}
			all, total = append(all, b...), total+len(plain)
		}
	}
	if most := mostZstd(all); most < total {
		t.Errorf("%d bytes of many frames: a bound of %d", total, most)
	}
	var d Decompressor
	if out, err := d.Decode(format.Zstd, nil, total, all); err != nil || len(out) != total {
		t.Errorf("%d bytes, %v", len(out), err)
	}
}
