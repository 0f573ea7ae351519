package encoding

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// encodeDelta writes DELTA_BINARY_PACKED with widths of 64 bits, one miniblock a block.
func encodeDelta(v []int64) []byte {
	b := binary.AppendUvarint(binary.AppendUvarint(binary.AppendUvarint(nil, 128), 1), uint64(len(v)))
	b = binary.AppendVarint(b, v[0])
	for i := 1; i < len(v); i += 128 {
		b = append(binary.AppendVarint(b, 0), 64)
		for k := i; k < i+128; k++ {
			d := int64(0)
			if k < len(v) {
				d = v[k] - v[k-1]
			}
			b = binary.LittleEndian.AppendUint64(b, uint64(d))
		}
	}
	return b
}

// Delta encoding wraps around, at every width.
func TestDeltaWidths(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for n := range 300 {
		v := make([]int64, n+1)
		for i := range v {
			v[i] = int64(rng.Uint64()) >> rng.IntN(64)
		}
		got, rest, err := DeltaBinaryPacked(nil, encodeDelta(v), len(v), false)
		if err != nil || len(rest) > 0 || !slices.Equal(got, v) {
			t.Fatalf("%d values: %v, %d bytes left, got %v, want %v", n+1, err, len(rest), got, v)
		}
	}
	for width := uint(1); width <= 64; width++ {
		var b []byte
		var want []uint64
		var acc [1024]byte
		for i := range uint(64) {
			x := rng.Uint64()
			if width < 64 {
				x &= 1<<width - 1
			}
			want = append(want, x)
			for k := range width {
				acc[(i*width+k)/8] |= byte(x>>k&1) << ((i*width + k) % 8)
			}
		}
		b = acc[:width*8]
		for i := range uint(64) {
			if got := bitsAt(b, i*width, width); got != want[i] {
				t.Fatalf("width %d, value %d: %x, want %x", width, i, got, want[i])
			}
			if width <= 32 {
				var one [1]uint32
				unpackBits(one[:], b, i*width, width)
				if uint64(one[0]) != want[i] {
					t.Fatalf("unpackBits: width %d, value %d: %x, want %x", width, i, one[0], want[i])
				}
			}
		}
	}
}

// A page of a few bytes that claims millions of deltas gets no memory for them.
func TestDeltaBomb(t *testing.T) {
	const n = 1 << 24
	b := binary.AppendUvarint(binary.AppendUvarint(binary.AppendUvarint(nil, 128), 4), n)
	b = append(b, make([]byte, 1000)...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := DeltaBinaryPacked(nil, b, n, false)
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, ErrFewer) || taken > 1<<20 {
		t.Errorf("%d bytes taken, error %v", taken, err)
	}
}

// A front-coded page that would expand a thousandfold is stopped at the cap.
func TestFrontCodingBomb(t *testing.T) {
	const n = 5000
	prefixes, suffixes := make([]int64, n), make([]int64, n)
	suffixes[0] = 1 << 20
	for i := 1; i < n; i++ {
		prefixes[i] = 1 << 20
	}
	body := append(encodeDelta(prefixes), encodeDelta(suffixes)...)
	body = append(body, make([]byte, 1<<20)...)
	_, _, _, err := DeltaByteArray(nil, nil, nil, body, n)
	if !errors.Is(err, ErrTooBig) {
		t.Errorf("error %v, want %v", err, ErrTooBig)
	}
}

// Single bits read as bools are those that Read gives, and are counted, wherever runs
// and reads begin and end; a stream cut short is an error of both.
func TestBits(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	for range 300 {
		var b []byte
		total := 0
		for range 1 + r.IntN(6) {
			if r.IntN(2) == 0 {
				n := 1 + r.IntN(40)
				b = append(binary.AppendUvarint(b, uint64(n)<<1), byte(r.IntN(2)))
				total += n
			} else {
				n := 1 + r.IntN(9)
				b = binary.AppendUvarint(b, uint64(n)<<1|1)
				for range n {
					b = append(b, byte(r.Uint32()))
				}
				total += 8 * n
			}
		}
		var plain, fast Hybrid
		plain.Reset(b, 1)
		fast.Reset(b, 1)
		for left := total; left > 0; {
			n := min(left, 1+r.IntN(70))
			left -= n
			want, got, set := make([]uint32, n), make([]bool, n), 0
			if err := plain.Read(want); err != nil {
				t.Fatal(err)
			}
			count, err := fast.Bits(got)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range want {
				set += int(v)
				if got[i] != (v == 1) {
					t.Fatalf("bit %d of %v is %v", i, want, got[i])
				}
			}
			if count != set {
				t.Fatalf("%d bits of %d were counted", count, set)
			}
		}
		if _, err := fast.Bits(make([]bool, 1)); !errors.Is(err, ErrFewer) {
			t.Fatalf("a bit beyond the end: %v", err)
		}
	}
}

// Values move to the rows that are valid, in their order.
func TestSpread(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 2))
	for range 500 {
		valid := make([]bool, 1+r.IntN(30))
		v, want, count := make([]uint32, len(valid)), make([]uint32, len(valid)), 0
		for i := range valid {
			v[i] = 999
			if valid[i] = r.IntN(3) > 0; valid[i] {
				want[i] = uint32(i + 1)
				v[count] = want[i]
				count++
			}
		}
		if Spread(v, valid, count); !slices.Equal(v, want) {
			t.Fatalf("valid %v: %v, want %v", valid, v, want)
		}
	}
}
