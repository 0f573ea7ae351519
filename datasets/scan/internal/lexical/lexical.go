// Package lexical turns the many ways in which files spell a time or a number
// into canonical values, exactly and without allocating, and values into the
// text that DuckDB's CAST(x AS VARCHAR) gives.
package lexical

import (
	"math/big"
	"math/bits"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/shoal-data/shoal/datasets"
)

// A Problem says why a value cannot be used.
type Problem uint8

// The problems, in no order of weight.
const (
	OK           Problem = iota
	Null                 // there is none
	Empty                // there is text, of length 0
	Unparsable           // the text spells no value of the type
	OutOfRange           // the value is beyond the bounds
	NotFinite            // the value is NaN or infinite
	BadUTF8              // the text is not valid UTF-8
	UnknownAlias         // the identity tables do not list the id
	NumProblems
)

var problemNames = [NumProblems]string{"ok", "null", "empty", "unparsable", "out_of_range", "not_finite", "invalid_utf8", "unknown_alias"}

func (p Problem) String() string {
	if p < NumProblems {
		return problemNames[p]
	}
	return "unknown"
}

// The instants an event may have: 0001-01-01T00:00:00Z to
// 9999-12-31T23:59:59.999999Z, in µs since 1970 UTC.
const (
	MinTime int64 = -62_135_596_800_000_000
	MaxTime int64 = 253_402_300_799_999_999

	usSecond = 1_000_000
	usDay    = 86_400 * usSecond
)

// InRange reports whether µs is an instant an event may have.
func InRange(us int64) bool { return us >= MinTime && us <= MaxTime }

// Days is the day number (1970-01-01 is 0) of a proleptic Gregorian date,
// false when there is no such date in the years 1 to 9999.
// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil.
func Days(y, m, d int) (int64, bool) {
	if y < 1 || y > 9999 || m < 1 || m > 12 || d < 1 || d > 31 {
		return 0, false
	}
	if d > 28 {
		last := 31
		switch m {
		case 4, 6, 9, 11:
			last = 30
		case 2:
			last = 28
			if y%4 == 0 && (y%100 != 0 || y%400 == 0) {
				last = 29
			}
		}
		if d > last {
			return 0, false
		}
	}
	if m <= 2 {
		y--
		m += 12
	}
	era := y / 400
	yoe := y - era*400
	doy := (153*(m-3)+2)/5 + d - 1
	return int64(era)*146097 + int64(yoe*365+yoe/4-yoe/100+doy) - 719468, true
}

// YYYYMMDD is the midnight, in µs, of a date written as a number.
func YYYYMMDD(v int64) (int64, Problem) {
	if v < 1_01_01 || v > 9999_12_31 {
		return 0, Unparsable
	}
	d, ok := Days(int(v/10000), int(v/100%100), int(v%100))
	if !ok {
		return 0, Unparsable
	}
	return d * usDay, OK
}

func digits(b []byte, n int) (int, bool) {
	if len(b) < n {
		return 0, false
	}
	v := 0
	for _, c := range b[:n] {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int(c-'0')
	}
	return v, true
}

// Time reads yyyymmdd, or ISO 8601: yyyy-mm-dd, alone or with T or a space and
// hh:mm[:ss[.f]], f being 1 to 9 digits of which those below µs are dropped,
// and then, perhaps after a space, Z, UTC, ±hh, ±hhmm or ±hh:mm up to 15:59.
// With an offset, zoned is true and µs is the instant; without, µs is what a
// clock showed, counted as if in UTC.
func Time(b []byte) (us int64, zoned bool, p Problem) {
	if len(b) == 0 {
		return 0, false, Empty
	}
	if len(b) == 8 {
		if v, ok := digits(b, 8); ok {
			us, p := YYYYMMDD(int64(v))
			return us, false, p
		}
	}
	y, ok1 := digits(b, 4)
	if !ok1 || len(b) < 10 || b[4] != '-' || b[7] != '-' {
		return 0, false, Unparsable
	}
	m, ok2 := digits(b[5:], 2)
	d, ok3 := digits(b[8:], 2)
	day, ok := Days(y, m, d)
	if !ok2 || !ok3 || !ok {
		return 0, false, Unparsable
	}
	us = day * usDay
	if b = b[10:]; len(b) == 0 {
		return us, false, OK
	}
	if len(b) < 6 || b[0] != 'T' && b[0] != 't' && b[0] != ' ' || b[3] != ':' {
		return 0, false, Unparsable
	}
	hour, ok1 := digits(b[1:], 2)
	minute, ok2 := digits(b[4:], 2)
	if !ok1 || !ok2 || hour > 23 || minute > 59 {
		return 0, false, Unparsable
	}
	us += int64(hour*3600+minute*60) * usSecond
	b = b[6:]
	if len(b) >= 3 && b[0] == ':' {
		second, ok := digits(b[1:], 2)
		if !ok || second > 59 {
			return 0, false, Unparsable
		}
		us += int64(second) * usSecond
		b = b[3:]
		if len(b) > 0 && b[0] == '.' {
			n, unit := 1, int64(usSecond)
			for ; n < len(b) && b[n] >= '0' && b[n] <= '9'; n++ {
				unit /= 10
				us += int64(b[n]-'0') * unit
			}
			if n == 1 || n > 10 {
				return 0, false, Unparsable
			}
			b = b[n:]
		}
	}
	if len(b) == 0 {
		return us, false, OK
	}
	if b[0] == ' ' {
		b = b[1:]
	}
	switch string(b) {
	case "Z", "z", "UTC":
		return us, true, OK
	}
	if len(b) < 3 || b[0] != '+' && b[0] != '-' {
		return 0, false, Unparsable
	}
	oh, ok1 := digits(b[1:], 2)
	om, rest := 0, b[3:]
	if len(rest) > 0 && rest[0] == ':' {
		rest = rest[1:]
		ok1 = ok1 && len(rest) > 0
	}
	if len(rest) > 0 {
		om, ok2 = digits(rest, 2)
		ok1 = ok1 && ok2 && len(rest) == 2
	}
	if !ok1 || oh > 15 || om > 59 {
		return 0, false, Unparsable
	}
	offset := int64(oh*3600+om*60) * usSecond
	if b[0] == '-' {
		offset = -offset
	}
	if us -= offset; !InRange(us) {
		return 0, true, OutOfRange
	}
	return us, true, OK
}

// AppendTime appends an instant as RFC 3339, UTC, with as many digits of a
// second as it has.
func AppendTime(dst []byte, us int64) []byte {
	at := time.UnixMicro(us).UTC()
	year, month, day := at.Date()
	if year < 0 || year > 9999 {
		return at.AppendFormat(dst, "2006-01-02T15:04:05.999999Z07:00")
	}
	hour, minute, second := at.Clock()
	dst = appendTwo(appendTwo(dst, year/100), year%100)
	dst = appendTwo(append(dst, '-'), int(month))
	dst = appendTwo(append(dst, '-'), day)
	dst = appendTwo(append(dst, 'T'), hour)
	dst = appendTwo(append(dst, ':'), minute)
	dst = appendTwo(append(dst, ':'), second)
	if fraction := at.Nanosecond() / 1000; fraction > 0 {
		dst = append(dst, '.')
		for unit := 100_000; fraction > 0; unit /= 10 {
			dst = append(dst, byte('0'+fraction/unit))
			fraction %= unit
		}
	}
	return append(dst, 'Z')
}

func appendTwo(dst []byte, n int) []byte { return append(dst, byte('0'+n/10), byte('0'+n%10)) }

// Int reads an optional sign and up to 18 digits.
func Int(b []byte) (int64, bool) {
	neg := len(b) > 0 && b[0] == '-'
	if neg || len(b) > 0 && b[0] == '+' {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	v := int64(0)
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int64(c-'0')
	}
	if neg {
		v = -v
	}
	return v, true
}

// Money reads a decimal number, [+-]d[.d] with at least one digit, exactly, and
// rounds it to 1e-4, halves away from zero. A number with an exponent is read as a
// float64 first.
func Money(b []byte) (datasets.Money, Problem) {
	if len(b) == 0 {
		return datasets.NullMoney, Empty
	}
	all := b
	neg := b[0] == '-'
	if neg || b[0] == '+' {
		b = b[1:]
	}
	var units int64 // 1e-4
	seen, frac, large := 0, -1, false
	for i, c := range b {
		switch {
		case c >= '0' && c <= '9':
			seen++
			switch {
			case frac < 0:
				if units = units*10 + int64(c-'0'); units > int64(datasets.MaxMoney) {
					large, units = true, 0
				}
			case frac < 4:
				units = units*10 + int64(c-'0')
				frac++
			case frac == 4:
				if c >= '5' {
					units++
				}
				frac++
			}
		case c == '.' && frac < 0:
			frac = 0
			if units > int64(datasets.MaxMoney)/datasets.MoneyScale {
				large, units = true, 0
			}
		case (c == 'e' || c == 'E') && seen > 0:
			return exponent(all, b[i+1:])
		default:
			return datasets.NullMoney, Unparsable
		}
	}
	if seen == 0 {
		return datasets.NullMoney, Unparsable
	}
	if frac < 0 {
		if units > int64(datasets.MaxMoney)/datasets.MoneyScale {
			large, units = true, 0
		}
		frac = 0
	}
	for ; frac < 4; frac++ {
		units *= 10
	}
	if large || units > int64(datasets.MaxMoney) {
		return datasets.NullMoney, OutOfRange
	}
	if neg {
		units = -units
	}
	return datasets.Money(units), OK
}

// exponent reads a number whose exponent is written in exp.
func exponent(all, exp []byte) (datasets.Money, Problem) {
	if len(exp) > 0 && (exp[0] == '-' || exp[0] == '+') {
		exp = exp[1:]
	}
	if len(exp) == 0 || len(exp) > 3 {
		return datasets.NullMoney, Unparsable
	}
	for _, c := range exp {
		if c < '0' || c > '9' {
			return datasets.NullMoney, Unparsable
		}
	}
	f, err := strconv.ParseFloat(string(all), 64)
	if err != nil {
		return datasets.NullMoney, OutOfRange // the form was checked above
	}
	m, ok := datasets.MoneyFromFloat(f)
	if !ok {
		return datasets.NullMoney, OutOfRange
	}
	return m, OK
}

var pow10 = [20]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19}

// magnitude is the absolute value of a big-endian two's complement number, false
// when it needs more than 127 bits.
func magnitude(b []byte) (hi, lo uint64, neg, ok bool) {
	if len(b) == 0 {
		return 0, 0, false, true
	}
	neg = b[0]&0x80 != 0
	sign := byte(0)
	if neg {
		sign = 0xFF
	}
	for len(b) > 16 {
		if b[0] != sign {
			return 0, 0, neg, false
		}
		b = b[1:]
	}
	if neg {
		hi, lo = ^uint64(0), ^uint64(0)
	}
	for _, c := range b {
		hi = hi<<8 | lo>>56
		lo = lo<<8 | uint64(c)
	}
	if neg != (hi>>63 == 1) {
		return 0, 0, neg, false
	}
	if neg {
		lo = ^lo + 1
		hi = ^hi
		if lo == 0 {
			hi++
		}
	}
	return hi, lo, neg, true
}

// MoneyFromBytes converts a DECIMAL of the given scale stored as big-endian
// two's complement, halves away from zero. A DECIMAL has at most 38 digits; what
// needs more than 127 bits is refused.
func MoneyFromBytes(b []byte, scale int) (datasets.Money, bool) {
	hi, lo, neg, ok := magnitude(b)
	if !ok {
		return datasets.NullMoney, false
	}
	// The digit after the last one kept decides: drop the rest, add half, drop it.
	drop := scale - 5
	for ; drop > 0; drop -= 19 {
		d := pow10[min(drop, 19)]
		var r uint64
		hi, r = hi/d, hi%d
		lo, _ = bits.Div64(r, lo, d)
	}
	if hi != 0 || lo > 1<<62 {
		return datasets.NullMoney, false
	}
	switch {
	case scale >= 5:
		lo = (lo + 5) / 10
	default:
		for i := scale; i < 4; i++ {
			if lo > uint64(datasets.MaxMoney) {
				return datasets.NullMoney, false
			}
			lo *= 10
		}
	}
	if lo > uint64(datasets.MaxMoney) {
		return datasets.NullMoney, false
	}
	if neg {
		return -datasets.Money(lo), true
	}
	return datasets.Money(lo), true
}

// IntFromBytes is the 64-bit integer that a big-endian two's complement number holds.
func IntFromBytes(b []byte) (int64, bool) {
	hi, lo, neg, ok := magnitude(b)
	if !ok || hi != 0 || lo > 1<<63-1 && !(neg && lo == 1<<63) {
		return 0, false
	}
	if neg {
		return -int64(lo), true
	}
	return int64(lo), true
}

// AppendDecimal appends unscaled·10^-scale with scale digits after the point.
func AppendDecimal(dst []byte, unscaled int64, scale int) []byte {
	return point(dst, strconv.AppendInt(nil, unscaled, 10), scale)
}

// AppendDecimalBytes is AppendDecimal for a big-endian two's complement number.
func AppendDecimalBytes(dst, b []byte, scale int) []byte {
	v := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return point(dst, v.Append(nil, 10), scale)
}

func point(dst, digits []byte, scale int) []byte {
	if digits[0] == '-' {
		dst = append(dst, '-')
		digits = digits[1:]
	}
	if scale <= 0 {
		return append(dst, digits...)
	}
	for len(digits) <= scale {
		digits = append([]byte{'0'}, digits...)
	}
	at := len(digits) - scale
	dst = append(dst, digits[:at]...)
	dst = append(dst, '.')
	return append(dst, digits[at:]...)
}

// AppendFloat appends the shortest text that reads back as f, of 32 or 64 bits,
// with a point or an exponent, as DuckDB does: 123.0, 1e+16, 1e-05.
func AppendFloat(dst []byte, f float64, size int) []byte {
	switch {
	case f != f:
		return append(dst, "nan"...)
	case f > 0 && f/2 == f:
		return append(dst, "inf"...)
	case f < 0 && f/2 == f:
		return append(dst, "-inf"...)
	}
	at := len(dst)
	dst = strconv.AppendFloat(dst, f, 'e', -1, size)
	e := len(dst) - 1
	for dst[e] != 'e' {
		e--
	}
	exp, _ := strconv.Atoi(string(dst[e+1:]))
	if f != 0 && (exp < -4 || exp >= 16) {
		return dst
	}
	dst = strconv.AppendFloat(dst[:at], f, 'f', -1, size)
	for _, c := range dst[at:] {
		if c == '.' {
			return dst
		}
	}
	return append(dst, ".0"...)
}

const hexDigits = "0123456789abcdef"

// AppendUUID appends 16 bytes in the form 8-4-4-4-12.
func AppendUUID(dst, b []byte) []byte {
	for i, c := range b {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
	}
	return dst
}

// MaxShown is the most bytes of a value that Shown shows.
const MaxShown = 256

// Shown makes a value fit to be shown: short, and UTF-8.
func Shown(b []byte) string {
	cut := len(b) > MaxShown
	if cut {
		at := MaxShown
		for at > MaxShown-utf8.UTFMax && !utf8.RuneStart(b[at]) {
			at--
		}
		b = b[:at]
	}
	s := strings.ToValidUTF8(string(b), "\uFFFD")
	if cut {
		s += "…"
	}
	return s
}

// A Zone turns the time a clock showed into an instant. It remembers the last
// stretch without a change of offset, and is for one goroutine.
type Zone struct {
	loc    *time.Location
	lo, hi int64 // clock times, µs, that all have the offset
	offset int64
}

// NewZone returns a Zone for loc.
func NewZone(loc *time.Location) *Zone { return &Zone{loc: loc} }

// Instant converts µs shown by a clock, counted as if in UTC. Where the clocks
// were turned back and a reading came twice, the later instant is taken; where
// they were put forward and a reading never came, the offset before the change
// counts, so it falls as long after the change as it claims to. ICU, and so
// DuckDB's timezone function, does the same.
func (z *Zone) Instant(local int64) int64 {
	if local >= z.lo && local < z.hi {
		return local - z.offset
	}
	before, _, _ := z.at(local - usDay)
	after, start, end := z.at(local + usDay)
	if before == after {
		// No change within a day on either side. Nothing is doubtful from a day
		// after the stretch begins to a day before it ends.
		z.offset, z.lo, z.hi = after, start+usDay, end-usDay
		return local - after
	}
	// A reading is true when the clock did show it at the instant it stands for.
	first, second := local-before, local-after
	beforeTrue, afterTrue := z.offsetAt(first) == before, z.offsetAt(second) == after
	switch {
	case beforeTrue && !afterTrue:
		return first
	case afterTrue && !beforeTrue:
		return second
	}
	return max(first, second)
}

func (z *Zone) offsetAt(us int64) int64 {
	_, sec := time.UnixMicro(us).In(z.loc).Zone()
	return int64(sec) * usSecond
}

// at is the offset at the instant that a clock in UTC shows as us, and the
// stretch of clock times with that offset.
func (z *Zone) at(us int64) (offset, start, end int64) {
	t := time.UnixMicro(us).In(z.loc)
	_, sec := t.Zone()
	offset = int64(sec) * usSecond
	start, end = MinTime, MaxTime
	s, e := t.ZoneBounds()
	if !s.IsZero() {
		start = s.UnixMicro() + offset
	}
	if !e.IsZero() {
		end = e.UnixMicro() + offset
	}
	return offset, start, end
}
