package lexical

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shoal-data/shoal/datasets"
)

func TestTime(t *testing.T) {
	for _, tc := range []struct {
		in    string
		want  string // RFC 3339 of the µs, taken as UTC; a problem otherwise
		zoned bool
	}{
		{"2024-02-29", "2024-02-29T00:00:00Z", false},
		{"20240229", "2024-02-29T00:00:00Z", false},
		{"2024-02-29T23:59", "2024-02-29T23:59:00Z", false},
		{"2024-02-29 23:59:58", "2024-02-29T23:59:58Z", false},
		{"2024-02-29t23:59:58.1", "2024-02-29T23:59:58.1Z", false},
		{"2024-02-29T23:59:58.123456789", "2024-02-29T23:59:58.123456Z", false},
		{"1969-12-31T23:59:59.9999999", "1969-12-31T23:59:59.999999Z", false},
		{"2024-02-29T23:59:58Z", "2024-02-29T23:59:58Z", true},
		{"2024-02-29T23:59:58 UTC", "2024-02-29T23:59:58Z", true},
		{"2024-02-29T23:59:58+01", "2024-02-29T22:59:58Z", true},
		{"2024-02-29T23:59:58 -0130", "2024-03-01T01:29:58Z", true},
		{"2024-02-29 23:59:58.5+05:45", "2024-02-29T18:14:58.5Z", true},
		{"0001-01-01", "0001-01-01T00:00:00Z", false},
		{"9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z", true},
		{"0001-01-01T00:00:00+00:01", "out_of_range", true},
		{"9999-12-31T23:59:59-00:01", "out_of_range", true},
		{"", "empty", false},
		{"2023-02-29", "unparsable", false}, {"1900-02-29", "unparsable", false}, {"2024-04-31", "unparsable", false},
		{"20240230", "unparsable", false}, {"0000-01-01", "unparsable", false}, {"2024-13-01", "unparsable", false},
		{"2024-1-1", "unparsable", false}, {"2024-01-01T", "unparsable", false}, {"2024-01-01T10", "unparsable", false},
		{"2024-01-01T24:00", "unparsable", false}, {"2024-01-01T10:60", "unparsable", false}, {"2024-01-01T10:00:60", "unparsable", false},
		{"2024-01-01T10:00:00.", "unparsable", false}, {"2024-01-01T10:00:00.1234567890", "unparsable", false},
		{"2024-01-01T10:00:00+", "unparsable", false}, {"2024-01-01T10:00:00+5", "unparsable", false}, {"2024-01-01T10:00:00+05:", "unparsable", false},
		{"2024-01-01T10:00:00+16", "unparsable", false}, {"2024-01-01T10:00:00+05:60", "unparsable", false}, {"2024-01-01T10:00:00  Z", "unparsable", false},
		{"2024-01-01T10:00:00Z ", "unparsable", false}, {" 2024-01-01", "unparsable", false}, {"2024-01-01Z", "unparsable", false},
		{"now", "unparsable", false}, {"1700000000", "unparsable", false}, {"2024/01/01", "unparsable", false},
	} {
		us, zoned, p := Time([]byte(tc.in))
		got := p.String()
		if p == OK {
			got = string(AppendTime(nil, us))
		}
		if got != tc.want || (p == OK || p == OutOfRange) && zoned != tc.zoned {
			t.Errorf("Time(%q) = %s, zoned %v, want %s, %v", tc.in, got, zoned, tc.want, tc.zoned)
		}
	}
}

// AppendTime spells instants as the standard library does, before year 1 and after
// 9999 too.
func TestAppendTime(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 1))
	check := func(us int64) {
		want := "at " + time.UnixMicro(us).UTC().Format("2006-01-02T15:04:05.999999Z07:00")
		if got := string(AppendTime([]byte("at "), us)); got != want {
			t.Fatalf("%d is %s, want %s", us, got, want)
		}
	}
	for _, us := range []int64{0, -1, 1, 10, 100_000, 999_999, 1_000_000, -62_135_596_800_000_000, -62_135_596_800_000_001, 253_402_300_799_999_999, 253_402_300_800_000_000, -62_167_219_200_000_000, -62_167_219_200_000_001} {
		check(us)
	}
	for range 100_000 {
		step := []int64{1, 1_000, 1_000_000, 60_000_000}[r.IntN(4)]
		check((r.Int64N(320_000_000_000_000_000) - 64_000_000_000_000_000) / step * step)
	}
}

// Days agrees with the standard library on every day of the calendar.
func TestDays(t *testing.T) {
	day := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	for n := day.Unix() / 86400; n <= MaxTime/usDay; n++ {
		y, m, d := day.Date()
		if got, ok := Days(y, int(m), d); !ok || got != n {
			t.Fatalf("Days(%d, %d, %d) = %d, %v, want %d", y, m, d, got, ok, n)
		}
		day = day.Add(24 * time.Hour)
	}
	for _, bad := range [][3]int{{2023, 2, 29}, {2024, 2, 30}, {2024, 0, 1}, {2024, 1, 0}, {2024, 1, 32}, {0, 1, 1}, {10000, 1, 1}, {2024, 6, 31}} {
		if n, ok := Days(bad[0], bad[1], bad[2]); ok {
			t.Errorf("Days(%v) = %d", bad, n)
		}
	}
}

var timeForm = regexp.MustCompile(`^(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?( ?(?:Z|z|UTC|([+-])(\d\d)(?::?(\d\d))?))?)?$`)

// timeByForm reads a time by a regular expression and the standard library.
func timeByForm(s string) (us int64, zoned, ok bool) {
	if regexp.MustCompile(`^\d{8}$`).MatchString(s) {
		s = s[:4] + "-" + s[4:6] + "-" + s[6:]
	}
	m := timeForm.FindStringSubmatch(s)
	if m == nil {
		return 0, false, false
	}
	n := func(i int) int { v, _ := strconv.Atoi(m[i]); return v }
	d := time.Date(n(1), time.Month(n(2)), n(3), n(4), n(5), n(6), 0, time.UTC)
	if n(1) < 1 || n(2) < 1 || n(2) > 12 || d.Day() != n(3) || d.Month() != time.Month(n(2)) || n(4) > 23 || n(5) > 59 || n(6) > 59 || n(10) > 15 || n(11) > 59 {
		return 0, false, false
	}
	frac, _ := strconv.Atoi((m[7] + "000000")[:6])
	us = d.UnixMicro() + int64(frac)
	offset := int64(n(10)*3600+n(11)*60) * 1_000_000
	if m[9] == "-" {
		offset = -offset
	}
	us -= offset
	return us, m[8] != "", us >= MinTime && us <= MaxTime
}

func FuzzTime(f *testing.F) {
	for _, s := range []string{"2024-02-29", "20240229", "2024-02-29T23:59:58.123+05:45", "2024-02-29 23:59 UTC", "9999-12-31T23:59:59-01", "", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		us, zoned, p := Time([]byte(s))
		want, wantZoned, ok := timeByForm(s)
		if (p == OK) != ok || ok && (us != want || zoned != wantZoned) {
			t.Errorf("Time(%q) = %d, %v, %v, want %d, %v, %v", s, us, zoned, p, want, wantZoned, ok)
		}
	})
}

// moneyOf rounds a number to 1e-4, halves away from zero, by rational arithmetic.
func moneyOf(r *big.Rat) (datasets.Money, bool) {
	x := new(big.Rat).Mul(new(big.Rat).Abs(r), big.NewRat(datasets.MoneyScale, 1))
	x.Add(x, big.NewRat(1, 2))
	q := new(big.Int).Quo(x.Num(), x.Denom())
	if !q.IsInt64() || q.Int64() > int64(datasets.MaxMoney) {
		return datasets.NullMoney, false
	}
	return datasets.Money(q.Int64() * int64(r.Sign()|1)), true
}

func TestMoney(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want datasets.Money
		p    Problem
	}{
		{"19.99", 199900, OK}, {"-19.99", -199900, OK}, {"+7", 70000, OK}, {".5", 5000, OK}, {"5.", 50000, OK}, {"-0", 0, OK}, {"007", 70000, OK},
		{"0.00005", 1, OK}, {"-0.00005", -1, OK}, {"0.0000499999999999999999999", 0, OK}, {"2.00015", 20002, OK},
		{"1e3", 10_000_000, OK}, {"1.5E-3", 15, OK}, {"1000000000000", datasets.MaxMoney, OK}, {"999999999999.99995", datasets.MaxMoney, OK},
		{strings.Repeat("0", 50) + "1", 10000, OK}, {"1000000000000.00004", datasets.MaxMoney, OK},
		{"1000000000000.00005", 0, OutOfRange}, {"1000000000000.0001", 0, OutOfRange}, {"1000000000001", 0, OutOfRange},
		{"1" + strings.Repeat("0", 100), 0, OutOfRange}, {"1" + strings.Repeat("0", 100) + ".5", 0, OutOfRange}, {"1e13", 0, OutOfRange}, {"1e999", 0, OutOfRange},
		{"", 0, Empty}, {".", 0, Unparsable}, {"-", 0, Unparsable}, {"1.2.3", 0, Unparsable}, {"1,5", 0, Unparsable}, {" 1", 0, Unparsable}, {"1 ", 0, Unparsable},
		{"nan", 0, Unparsable}, {"inf", 0, Unparsable}, {"0x1", 0, Unparsable}, {"1e", 0, Unparsable}, {"1e+", 0, Unparsable}, {"1e1000", 0, Unparsable}, {"1e1.5", 0, Unparsable},
		{"e5", 0, Unparsable}, {".e5", 0, Unparsable}, {"1_000", 0, Unparsable}, {"--1", 0, Unparsable}, {"€5", 0, Unparsable},
	} {
		got, p := Money([]byte(tc.in))
		if p != tc.p || p == OK && got != tc.want || p != OK && got != datasets.NullMoney {
			t.Errorf("Money(%q) = %d, %v, want %d, %v", tc.in, got, p, tc.want, tc.p)
		}
	}
}

var moneyForm = regexp.MustCompile(`^[+-]?(\d+(\.\d*)?|\.\d+)$`)

func FuzzMoney(f *testing.F) {
	for _, s := range []string{"19.99", "-0.00005", "1e3", "1000000000000.00004", ".", "007.5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, p := Money([]byte(s))
		if !moneyForm.MatchString(s) {
			if p == OK && !strings.ContainsAny(s, "eE") {
				t.Errorf("Money(%q) = %d", s, got)
			}
			return
		}
		r, _ := new(big.Rat).SetString(s)
		want, ok := moneyOf(r)
		if (p == OK) != ok || got != want {
			t.Errorf("Money(%q) = %d, %v, want %d, %v", s, got, p, want, ok)
		}
	})
}

// Decimals of any width and scale are converted and spelt as rational arithmetic does.
func TestDecimalBytes(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	for range 20000 {
		width, scale := 1+rng.IntN(20), rng.IntN(40)
		b := make([]byte, width)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		// Mostly small values, extended by their sign.
		small := rng.IntN(width)
		for i := range small {
			b[i] = byte(int8(b[small]) >> 7)
		}
		v := new(big.Int).SetBytes(b)
		if b[0]&0x80 != 0 {
			v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*width)))
		}
		r := new(big.Rat).SetFrac(v, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
		want, wantOK := moneyOf(r)
		if v.BitLen() > 127 { // beyond 38 digits, the most that a DECIMAL has
			want, wantOK = datasets.NullMoney, false
		}
		if got, ok := MoneyFromBytes(b, scale); ok != wantOK || got != want {
			t.Fatalf("MoneyFromBytes(%x, %d) = %d, %v, want %d, %v", b, scale, got, ok, want, wantOK)
		}
		if got := string(AppendDecimalBytes(nil, b, scale)); got != r.FloatString(scale) && !(v.Sign() < 0 && got == r.FloatString(scale)) {
			t.Fatalf("AppendDecimalBytes(%x, %d) = %s, want %s", b, scale, got, r.FloatString(scale))
		}
		n, ok := IntFromBytes(b)
		if ok != v.IsInt64() || ok && n != v.Int64() {
			t.Fatalf("IntFromBytes(%x) = %d, %v, want %v", b, n, ok, v)
		}
		if v.IsInt64() {
			if got := string(AppendDecimal(nil, v.Int64(), scale)); got != r.FloatString(scale) {
				t.Fatalf("AppendDecimal(%v, %d) = %s, want %s", v, scale, got, r.FloatString(scale))
			}
		}
	}
}

// The text of a float reads back as the float, has a point or an exponent, and is
// no longer than the shortest that does.
func TestAppendFloat(t *testing.T) {
	for f, want := range map[float64]string{
		0: "0.0", 123: "123.0", -1.5: "-1.5", 1e15: "1000000000000000.0", 1e16: "1e+16", 1e-4: "0.0001", 1e-5: "1e-05", 1.5e300: "1.5e+300",
		math.Inf(1): "inf", math.Inf(-1): "-inf", math.MaxFloat64: "1.7976931348623157e+308", 5e-324: "5e-324",
	} {
		if got := string(AppendFloat(nil, f, 64)); got != want {
			t.Errorf("AppendFloat(%g) = %s, want %s", f, got, want)
		}
	}
	if got := string(AppendFloat(nil, math.NaN(), 64)); got != "nan" {
		t.Errorf("NaN: %s", got)
	}
	rng := rand.New(rand.NewPCG(2, 2))
	for range 10000 {
		f := math.Float64frombits(rng.Uint64())
		if math.IsNaN(f) || math.IsInf(f, 0) {
			continue
		}
		s := string(AppendFloat(nil, f, 64))
		if back, err := strconv.ParseFloat(s, 64); err != nil || back != f || !strings.ContainsAny(s, ".e") {
			t.Fatalf("%g is spelt %s, which reads as %g", f, s, back)
		}
	}
}

// instants are all instants, to the minute, at which a clock shows the reading.
func instants(loc *time.Location, local time.Time) (at []int64) {
	for off := -16 * 60; off <= 16*60; off++ {
		u := local.Add(time.Duration(off) * time.Minute)
		y, m, d := u.In(loc).Date()
		if time.Date(y, m, d, u.In(loc).Hour(), u.In(loc).Minute(), 0, 0, time.UTC).Equal(local) {
			at = append(at, u.UnixMicro())
		}
	}
	return at
}

// A reading that came once is that instant, one that came twice the later; one that
// never came lies as far after the change as it claims.
func TestZone(t *testing.T) {
	for _, name := range []string{"America/New_York", "Europe/London", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kolkata", "Pacific/Apia", "Africa/Cairo"} {
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		once, twice, never := 0, 0, 0
		z := NewZone(loc)
		change := time.Date(2008, 1, 1, 0, 0, 0, 0, time.UTC)
		for range 12 {
			_, end := change.In(loc).ZoneBounds()
			if end.IsZero() {
				break
			}
			change = end
			_, before := end.Add(-time.Second).In(loc).Zone()
			for m := -27 * 60; m <= 27*60; m += 15 {
				local := end.Add(time.Duration(before)*time.Second + time.Duration(m)*time.Minute).UTC()
				got := z.Instant(local.UnixMicro())
				at := instants(loc, local)
				var want int64
				switch len(at) {
				case 1:
					once++
					want = at[0]
				case 0:
					never++
					want = local.UnixMicro() - int64(before)*1_000_000
				default:
					twice++
					want = at[len(at)-1]
				}
				if got != want {
					t.Fatalf("%s: %v is %v, want %v", name, local, time.UnixMicro(got).UTC(), time.UnixMicro(want).UTC())
				}
				// What the zone remembers must not matter.
				if fresh := NewZone(loc).Instant(local.UnixMicro()); fresh != got {
					t.Fatalf("%s: %v is %v by a fresh zone and %v by one in use", name, local, fresh, got)
				}
			}
		}
		if name != "Asia/Kolkata" && (once == 0 || twice == 0 || never == 0) {
			t.Errorf("%s: %d readings once, %d twice, %d never", name, once, twice, never)
		}
	}
	kolkata, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := NewZone(kolkata).Instant(0), -int64(5.5*3600e6); got != want {
		t.Errorf("midnight in Kolkata is %d, want %d", got, want)
	}
}

func TestInt(t *testing.T) {
	for s, want := range map[string]string{"5": "5", "-5": "-5", "+5": "5", "007": "7", "999999999999999999": "999999999999999999", "": "", "-": "", "1234567890123456789": "", "1.0": "", "1 ": ""} {
		got := ""
		if v, ok := Int([]byte(s)); ok {
			got = fmt.Sprint(v)
		}
		if got != want {
			t.Errorf("Int(%q) = %q, want %q", s, got, want)
		}
	}
}
