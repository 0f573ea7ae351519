package parquetfile

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"testing"

	"github.com/parquet-go/parquet-go/encoding/rle"
	"pgregory.net/rapid"
)

// runs draws values below limit in runs of many lengths.
func runs(t *rapid.T, limit int) []uint16 {
	var values []uint16
	for range rapid.IntRange(1, 12).Draw(t, "runs") {
		n := rapid.SampledFrom([]int{1, 3, 7, 8, 9, 31, 32, 33, 40, 100, 1000}).Draw(t, "length")
		v := uint16(rapid.IntRange(0, limit-1).Draw(t, "value"))
		alike := rapid.Bool().Draw(t, "alike")
		for i := range n {
			if alike {
				values = append(values, v)
			} else {
				values = append(values, uint16((int(v)+7*i)%limit))
			}
		}
	}
	return values
}

func TestIndexesDecode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(1, 16).Draw(t, "width")
		want := runs(t, 1<<width)
		decoder := rle.DictionaryEncoding{}
		got, err := decoder.DecodeInt32(nil, appendIndexes([]byte{byte(width)}, want, width))
		if err != nil {
			t.Fatal(err)
		}
		if len(got) < len(want) || len(got) >= len(want)+8 { // the last group is filled up
			t.Fatalf("%d indexes of %d", len(got), len(want))
		}
		for i, v := range want {
			if got[i] != int32(v) {
				t.Fatalf("index %d is %d, want %d", i, got[i], v)
			}
		}
	})
}

func TestLevelsDecode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := runs(t, 2)
		bitmap := make([]byte, (len(want)+7)/8)
		for i, v := range want {
			bitmap[i/8] |= byte(v) << (i % 8)
		}
		encoded := appendLevels(nil, bitmap, len(want))
		decoder := rle.Encoding{BitWidth: 1}
		got, err := decoder.DecodeLevels(nil, encoded)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) < len(want) || len(got) >= len(want)+8 {
			t.Fatalf("%d levels of %d", len(got), len(want))
		}
		for i, v := range want {
			if uint16(got[i]) != v {
				t.Fatalf("level %d is %d, want %d", i, got[i], v)
			}
		}
	})
}

// Pages without nulls, and of nulls alone, are the common ones.
func TestLevelsOfOneRunAreOneRun(t *testing.T) {
	for _, rows := range []int{32, 33, 40, 4095, 32768} {
		bitmap := make([]byte, (rows+7)/8)
		if got, want := appendLevels(nil, bitmap, rows), append(binary.AppendUvarint(nil, uint64(rows)*2), 0); !bytes.Equal(got, want) {
			t.Errorf("%d nulls are %x, want %x", rows, got, want)
		}
		for i := range rows {
			bitmap[i/8] |= 1 << (i % 8)
		}
		if got, want := appendLevels(nil, bitmap, rows), append(binary.AppendUvarint(nil, uint64(rows)*2), 1); !bytes.Equal(got, want) {
			t.Errorf("%d values are %x, want %x", rows, got, want)
		}
	}
}

func TestWidth(t *testing.T) {
	for n, want := range map[int]int{0: 1, 1: 1, 2: 1, 3: 2, 4: 2, 5: 3, 256: 8, 257: 9, maxDictionary: 16} {
		if got := widthOf(n); got != want {
			t.Errorf("%d values take %d bits, want %d", n, got, want)
		}
	}
}

func TestDictionary(t *testing.T) {
	var d words
	for round := range 2 { // the second one uses the first one's memory
		d.reset()
		values := make([]uint64, 100_000)
		for i := range values {
			values[i] = bits.Reverse64(uint64(i / 2 * (round + 1)))
		}
		indexes, n := d.appendIndexes(nil, values)
		if n != len(values) {
			t.Errorf("full after %d values of %d", n, len(values))
		}
		for i, index := range indexes {
			if int(index) != i/2 || d.values[index] != values[i] {
				t.Fatalf("value %d has index %d", i, index)
			}
		}
		more := make([]uint64, 2*maxDictionary)
		for i := range more {
			more[i] = uint64(i)<<40 | 1<<20
		}
		indexes, n = d.appendIndexes(nil, more)
		if len(d.values) != maxDictionary || n != maxDictionary-50_000 || len(indexes) != n {
			t.Errorf("full after %d values, with %d", n, len(d.values))
		}
		if indexes, n = d.appendIndexes(nil, slices.Repeat(values[:10], 3)); n != 30 || indexes[29] != 4 {
			t.Errorf("a full dictionary finds %d of 30 values: %d", n, indexes)
		}
	}
}
