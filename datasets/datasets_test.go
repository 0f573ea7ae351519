package datasets

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func TestMoneyFromFloat(t *testing.T) {
	for _, c := range []struct {
		in   float64
		want Money
		ok   bool
	}{
		{0, 0, true}, {15.3, 153000, true}, {-0.00005, -1, true}, {0.00005, 1, true}, {0.00004, 0, true},
		{1e12, MaxMoney, true}, {-1e12, -MaxMoney, true}, {1.0001e12, NullMoney, false},
		{math.NaN(), NullMoney, false}, {math.Inf(1), NullMoney, false}, {math.Inf(-1), NullMoney, false}, {1e308, NullMoney, false},
	} {
		if got, ok := MoneyFromFloat(c.in); got != c.want || ok != c.ok {
			t.Errorf("MoneyFromFloat(%v) = %v, %v; want %v, %v", c.in, int64(got), ok, int64(c.want), c.ok)
		}
	}
}

// Floats round as math.Round does: half-way, beside it, and anywhere.
func TestMoneyRounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		half := (float64(rapid.IntRange(-100_000, 100_000).Draw(t, "units")) + 0.5) / MoneyScale
		for _, v := range []float64{half, math.Nextafter(half, 1e9), math.Nextafter(half, -1e9), rapid.Float64().Draw(t, "any"), rapid.Float64Range(-1e12, 1e12).Draw(t, "amount")} {
			want, wantOK := math.Round(v*MoneyScale), math.Abs(math.Round(v*MoneyScale)) <= float64(MaxMoney)
			if got, ok := MoneyFromFloat(v); ok != wantOK || ok && float64(got) != want {
				t.Fatalf("%v is %d, %v; want %v, %v", v, int64(got), ok, want, wantOK)
			}
		}
	})
}

func TestMoneyFromDecimal(t *testing.T) {
	for _, c := range []struct {
		unscaled int64
		scale    int
		want     Money
		ok       bool
	}{
		{1234, 2, 123400, true}, {-1234, 4, -1234, true}, {12345, 5, 1235, true}, {-12345, 5, -1235, true}, {12344, 5, 1234, true},
		{5, 0, 50000, true}, {math.MaxInt64, 0, NullMoney, false}, {math.MaxInt64, 18, 92234, true}, {math.MinInt64, 18, -92234, true},
		{7, 40, 0, true}, {5, 5, 1, true}, {-5, 5, -1, true}, {1, 22, 0, true}, {math.MaxInt64, 22, 9, true},
		{9_200_000_000_000_000_000, 23, 1, true}, {-9_200_000_000_000_000_000, 23, -1, true}, {math.MinInt64, 23, -1, true},
		{5_000_000_000_000_000_000, 23, 1, true}, {4_999_999_999_999_999_999, 23, 0, true},
		{-5_000_000_000_000_000_000, 23, -1, true}, {-4_999_999_999_999_999_999, 23, 0, true},
		{math.MaxInt64, 24, 0, true}, {math.MinInt64, 24, 0, true}, {math.MaxInt64, 76, 0, true},
	} {
		if got, ok := MoneyFromDecimal(c.unscaled, c.scale); got != c.want || ok != c.ok {
			t.Errorf("MoneyFromDecimal(%d, %d) = %v, %v; want %v, %v", c.unscaled, c.scale, int64(got), ok, int64(c.want), c.ok)
		}
	}
}

func TestMoneyFromInt(t *testing.T) {
	if m, ok := MoneyFromInt(-3); m != -30000 || !ok {
		t.Errorf("%v, %v", m, ok)
	}
	if _, ok := MoneyFromInt(math.MaxInt64); ok {
		t.Error("an overflow was accepted")
	}
}

func TestIntIDKeepsOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a, b := rapid.Int64().Draw(rt, "a"), rapid.Int64().Draw(rt, "b")
		x, y := string(AppendIntID(nil, a)), string(AppendIntID(nil, b))
		if IntID(x) != a || (x < y) != (a < b) {
			rt.Fatalf("%d, %d: %x, %x", a, b, x, y)
		}
	})
}

func TestNamesReadBack(t *testing.T) {
	for _, r := range append(Roles(), Other) {
		if got, err := ParseRole(r.String()); err != nil || got != r {
			t.Errorf("%v: %v, %v", r, got, err)
		}
	}
	for _, f := range Fields() {
		if got, err := ParseField(f.String()); err != nil || got != f {
			t.Errorf("%v: %v, %v", f, got, err)
		}
	}
	if _, err := ParseRole("buy"); err == nil {
		t.Error("an unknown role was accepted")
	}
}

// Codes are unique, stable and shared between goroutines; ranks do not depend
// on arrival.
func TestDict(t *testing.T) {
	var values []string
	for i := range 5000 {
		values = append(values, fmt.Sprintf("v%d", i*7919%5003))
	}
	values = append(values, "", "\x00", "ü")
	d := NewDict()
	codes := make([][]uint32, 4)
	var wg sync.WaitGroup
	for w := range codes {
		codes[w] = make([]uint32, len(values))
		wg.Go(func() {
			for i := range values {
				j := (i + w*1000) % len(values)
				codes[w][j] = d.CodeString(values[j])
			}
		})
	}
	wg.Wait()
	if d.Len() != len(values) {
		t.Fatalf("%d values, want %d", d.Len(), len(values))
	}
	seen := map[uint32]bool{}
	for i, v := range values {
		c := codes[0][i]
		for w := range codes {
			if codes[w][i] != c {
				t.Fatalf("%q has codes %d and %d", v, c, codes[w][i])
			}
		}
		if c == 0 || seen[c] || d.Value(c) != v {
			t.Fatalf("%q: code %d of %q", v, c, d.Value(c))
		}
		if ShardCode(Shard(c), Local(c)) != c || Local(c) >= d.ShardLen(Shard(c)) {
			t.Fatalf("code %d is not at %d of shard %d", c, Local(c), Shard(c))
		}
		seen[c] = true
	}
	ranks, sorted := d.Ranks()
	want := slices.Sorted(slices.Values(values))
	if !slices.Equal(sorted[1:], want) {
		t.Fatal("ranks are not in the order of the values")
	}
	for i, v := range values {
		if sorted[ranks[codes[0][i]]] != v {
			t.Fatalf("rank %d of %q is %q", ranks[codes[0][i]], v, sorted[ranks[codes[0][i]]])
		}
	}
}

func BenchmarkDict(b *testing.B) {
	values := make([][]byte, 1<<16)
	for i := range values {
		values[i] = fmt.Appendf(nil, "customer-%08d", i*31)
	}
	d := NewDict()
	for b.Loop() {
		for _, v := range values {
			d.Code(v)
		}
	}
	b.ReportMetric(float64(len(values))*float64(b.N)/b.Elapsed().Seconds(), "values/s")
}

// An id is typed the way it is shown, and nothing else is taken for one.
func TestParseID(t *testing.T) {
	uuid := IDType{Kind: IDFixed, Width: 16, UUID: true}
	for _, c := range []struct {
		id    IDType
		typed string
		want  string // "" is an error
	}{
		{IDType{Kind: IDString}, " 7", " 7"},
		{IDType{Kind: IDString}, "", ""},
		{IDType{Kind: IDInt64}, "-9223372036854775808", "\x00\x00\x00\x00\x00\x00\x00\x00"},
		{IDType{Kind: IDInt64}, "9223372036854775808", ""},
		{IDType{Kind: IDInt32}, "1", "\x80\x00\x00\x00\x00\x00\x00\x01"},
		{IDType{Kind: IDInt32}, "2147483648", ""},
		{IDType{Kind: IDInt32}, "seven", ""},
		{IDType{Kind: IDFixed, Width: 2}, "00ff", "\x00\xff"},
		{IDType{Kind: IDFixed, Width: 2}, "00f", ""},
		{IDType{Kind: IDFixed, Width: 2}, "00ffff", ""},
		{uuid, "41424344-4546-4748-494a-4b4c4d4e4f50", "ABCDEFGHIJKLMNOP"},
		{uuid, "41424344454647484 94a4b4c4d4e4f50", ""},
	} {
		got, err := c.id.Parse(c.typed)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%v %q: %q, %v; want %q", c.id, c.typed, got, err, c.want)
		}
		if err == nil && c.id.Format(got) != c.typed {
			t.Errorf("%v %q is shown as %q", c.id, c.typed, c.id.Format(got))
		}
	}
}
