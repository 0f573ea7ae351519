package rates

import (
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shoal-data/shoal/datasets"
)

// rounded is x·10^digits as a whole number, halves away from zero.
func rounded(x *big.Rat, digits int) *big.Int {
	ten := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil)
	n := new(big.Int).Mul(x.Num(), ten)
	n.Mul(n, big.NewInt(2))
	n.Add(n, new(big.Int).Mul(big.NewInt(int64(x.Sign())), x.Denom()))
	return n.Quo(n, new(big.Int).Mul(x.Denom(), big.NewInt(2)))
}

// A rate is what math/big reads, to 18 places.
func TestParseIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`[0-9]{0,6}(\.[0-9]{1,24})?([eE][+-]?[0-9]{1,2})?`).Draw(t, "s")
		want, ok := new(big.Rat).SetString(s)
		num, den, why := parse(s)
		if !ok || want.Sign() <= 0 {
			if why == "" {
				t.Fatalf("%q is read as %d/%d", s, num, den)
			}
			return
		}
		units := rounded(want, 18)
		digits := len(strings.TrimRight(units.String(), "0"))
		if units.Sign() == 0 || digits > 18 || len(units.String()) > 18+18 {
			if why == "" {
				t.Fatalf("%q, of %d digits, is read as %d/%d", s, digits, num, den)
			}
			return
		}
		got := new(big.Rat).SetFrac(new(big.Int).SetUint64(num), new(big.Int).SetUint64(den))
		if why != "" || got.Cmp(new(big.Rat).SetFrac(units, new(big.Int).SetUint64(1_000_000_000_000_000_000))) != 0 {
			t.Fatalf("%q is read as %d/%d, %s; want %s·10^-18", s, num, den, why, units)
		}
	})
	for s, want := range map[string]string{
		"0.0000000000000000005": "1/1000000000000000000", "1e-19": "", "0.00000000000000000049": "", "1.50": "15/10", "1e3": "1000/1", "+2": "2/1",
		"": "", ".": "", "-1": "", "0": "", "1.2.3": "", "nan": "", "inf": "", "0x10": "", "1e": "", "1e99999": "", "1234567890123456789": "",
	} {
		got := ""
		if num, den, why := parse(s); why == "" {
			got = fmt.Sprintf("%d/%d", num, den)
		}
		if got != want {
			t.Errorf("%q is read as %q, want %q", s, got, want)
		}
	}
}

func TestConvertIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := datasets.Money(rapid.Int64Range(-int64(datasets.MaxMoney), int64(datasets.MaxMoney)).Draw(t, "amount"))
		q := quote{num: rapid.Uint64Range(1, 1e18).Draw(t, "num"), den: rapid.Uint64Range(1, 1e18).Draw(t, "den")}
		if rapid.Bool().Draw(t, "tie") {
			q.num, q.den = q.num|1, 2
			m = datasets.Money(rapid.Int64Range(-1e6, 1e6).Draw(t, "small"))
		}
		exact := new(big.Rat).Mul(new(big.Rat).SetInt64(int64(m)), new(big.Rat).SetFrac(new(big.Int).SetUint64(q.num), new(big.Int).SetUint64(q.den)))
		want := rounded(exact, 0)
		got, ok := q.convert(m)
		if fits := want.CmpAbs(big.NewInt(int64(datasets.MaxMoney))) <= 0; ok != fits || ok && want.Cmp(big.NewInt(int64(got))) != 0 {
			t.Fatalf("%d · %d/%d is %d, %v; want %s", m, q.num, q.den, got, ok, want)
		}
	})
	half := quote{num: 1, den: 2}
	for m, want := range map[datasets.Money]datasets.Money{1: 1, -1: -1, 3: 2, -3: -2, 2: 1, 0: 0} {
		if got, ok := half.convert(m); !ok || got != want {
			t.Errorf("half of %d is %d, %v; want %d", m, got, ok, want)
		}
	}
}

// A day starts at the first instant at which a calendar on the wall shows it.
func TestStartOfDay(t *testing.T) {
	for _, c := range []struct{ zone, day, want string }{
		{"UTC", "2024-02-29", "2024-02-29T00:00:00Z"},
		{"Europe/Berlin", "2024-03-31", "2024-03-30T23:00:00Z"},
		{"Europe/Berlin", "2024-04-01", "2024-03-31T22:00:00Z"},
		{"America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z"}, // no midnight: 23:59:59 was followed by 01:00
		{"America/Havana", "2024-11-03", "2024-11-03T04:00:00Z"},    // midnight came twice
		{"Asia/Amman", "2021-10-29", "2021-10-28T21:00:00Z"},        // and here, east of Greenwich
		{"America/St_Johns", "2010-11-07", "2010-11-07T02:30:00Z"},  // at 00:01 the clock went back to 23:01
		{"Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00Z"},      // the 30th did not exist
		{"Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z"},
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		day, err := time.Parse(time.DateOnly, c.day)
		if err != nil {
			t.Fatal(err)
		}
		if got := time.UnixMicro(StartOfDay(day.Unix()/86400, zone)).UTC().Format(time.RFC3339); got != c.want {
			t.Errorf("%s in %s starts at %s, want %s", c.day, c.zone, got, c.want)
		}
	}
}
