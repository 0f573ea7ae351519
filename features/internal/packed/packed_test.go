package packed_test

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/shoal-data/shoal/features/internal/packed"
)

var steps = []uint64{1_000_000, 1_000}

func roundTrip[T packed.Integer](t *rapid.T, values []T) {
	t.Helper()
	tail := []byte("tail")
	data := append(packed.Append(nil, values, steps), tail...)
	got, rest, err := packed.Read([]T{7}, data, len(values))
	if err != nil || !slices.Equal(got[1:], values) || string(rest) != "tail" {
		t.Fatalf("%v came back as %v, rest %q: %v", values, got, rest, err)
	}
}

// Columns of any width and step read back.
func TestIntegers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		least := rapid.Int64().Draw(t, "least")
		span := rapid.Int64Range(0, 1<<rapid.IntRange(0, 62).Draw(t, "bits")).Draw(t, "span")
		step := rapid.SampledFrom([]int64{1, 1_000, 1_000_000}).Draw(t, "step")
		n := rapid.IntRange(1, 200).Draw(t, "n")
		wide := make([]int64, n)
		words := make([]uint64, n)
		small := make([]uint8, n)
		codes := make([]uint32, n)
		nulls := make([]int64, n)
		for i := range wide {
			v := rapid.Int64Range(0, span).Draw(t, "v")
			wide[i] = least + v/step*step
			words[i] = uint64(v) * 0x9e3779b97f4a7c15
			small[i], codes[i] = uint8(v), uint32(v)
			nulls[i] = packed.Null
			if rapid.Bool().Draw(t, "valid") {
				nulls[i] = max(least/2+v/2, packed.Null+1)
			}
		}
		roundTrip(t, wide)
		roundTrip(t, words)
		roundTrip(t, small)
		roundTrip(t, codes)
		data := append(packed.AppendNullable(nil, nulls, steps), 1, 2, 3)
		got, rest, err := packed.Read([]int64(nil), data, n)
		if err != nil || !slices.Equal(got, nulls) || len(rest) != 3 {
			t.Fatalf("%v came back as %v: %v", nulls, got, err)
		}
	})
}

// Floats read back as the same bits, NaN as NaN.
func TestFloats(t *testing.T) {
	special := []float64{0, math.Copysign(0, -1), 1, -1, math.NaN(), math.Inf(1), math.Inf(-1), 1 << 53, -(1 << 53), 1<<53 - 1, 0.0001, -0.0001, 12.34, 1.0 / 3, 5e-324, math.MaxFloat64, 1e15 + 0.5}
	var p packed.Floats
	rapid.Check(t, func(t *rapid.T) {
		kinds := rapid.SliceOfN(rapid.OneOf(
			rapid.SampledFrom(special), rapid.Float64(),
			rapid.Map(rapid.Int64Range(-1e12, 1e12), func(m int64) float64 { return float64(m) / 10_000 }),
			rapid.Map(rapid.IntRange(-5, 1000), func(n int) float64 { return float64(n) }),
		), 1, 60)
		values := kinds.Draw(t, "values")
		if rapid.Bool().Draw(t, "integers only") {
			for i, v := range values {
				values[i] = math.Trunc(v)
			}
		}
		got, err := p.Read(nil, p.Append(nil, values), len(values))
		if err != nil || len(got) != len(values) {
			t.Fatal(err)
		}
		for i, v := range values {
			if math.Float64bits(got[i]) != math.Float64bits(v) && !(math.IsNaN(got[i]) && math.IsNaN(v)) {
				t.Fatalf("%x came back as %x", v, got[i])
			}
		}
	})
}

// Small integers take the bits they need: the sizes that memory is planned by.
func TestSizes(t *testing.T) {
	var p packed.Floats
	for _, c := range []struct {
		values []float64
		most   int
	}{
		{slices.Repeat([]float64{0}, 1000), 4},
		{slices.Repeat([]float64{math.NaN()}, 1000), 4},
		{slices.Repeat([]float64{3, 4}, 500), 4 + 125 + 7},
		{slices.Repeat([]float64{10.25, 10.5, math.NaN()}, 333), 6 + 999*12/8 + 8},
		{slices.Repeat([]float64{1.0 / 3}, 1000), 8001},
	} {
		if data := p.Append(nil, c.values); len(data) > c.most {
			t.Errorf("%d values beginning %v take %d bytes, more than %d", len(c.values), c.values[:2], len(data), c.most)
		}
	}
}

// Reading anything at all ends in values or ErrDamaged.
func FuzzRead(f *testing.F) {
	f.Add(packed.Append(nil, []int64{1, 5, 900}, nil), uint16(3))
	f.Add(packed.Append(nil, []int64{1_000_000, 5_000_000, 900_000_000}, steps), uint16(3))
	f.Add(packed.AppendNullable(nil, []int64{1, packed.Null, 7}, nil), uint16(3))
	f.Add(packed.Append(nil, []uint64{1 << 63, 5, 9}, nil), uint16(3))
	f.Add(binary.AppendVarint([]byte{57}, -1), uint16(60000))
	f.Fuzz(func(t *testing.T, data []byte, n uint16) {
		check := func(got int, rest []byte, err error) {
			if err == nil && got != int(n) || len(rest) > len(data) {
				t.Fatalf("%d values of %d, %d bytes left of %d", got, n, len(rest), len(data))
			}
		}
		a, rest, err := packed.Read([]int64(nil), data, int(n))
		check(len(a), rest, err)
		b, rest, err := packed.Read([]uint8(nil), data, int(n))
		check(len(b), rest, err)
		var p packed.Floats
		if v, err := p.Read(nil, data, int(n)); err == nil && len(v) != int(n) {
			t.Fatalf("%d floats of %d", len(v), n)
		}
	})
}
