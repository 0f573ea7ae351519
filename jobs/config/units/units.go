// Package units holds the values that shoal.yaml writes with a unit or a word:
// days, durations, sizes, shares of memory, and numbers that may be auto. Each
// marshals back to a text that it reads.
package units

import (
	"fmt"
	"math"
	"math/bits"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
)

const (
	day = 24 * time.Hour

	// KiB and its kin are sizes in bytes.
	KiB = 1 << 10
	MiB = 1 << 20
	GiB = 1 << 30
	TiB = 1 << 40
)

// A Scalar is a value written as one text, such as 90d. Pointers to the types
// of this package also read it, as encoding.TextUnmarshaler.
type Scalar interface {
	MarshalText() ([]byte, error)
	// Want is what the text may be, for messages.
	Want() string
	// Number is the magnitude that bounds compare; ok is false for words such
	// as auto.
	Number() (magnitude float64, ok bool)
	// Bare reports whether canonical JSON writes a number, not a text.
	Bare() bool
	// Pattern matches the text in JSON Schema. least is the least bare integer
	// accepted beside it, NaN if none is.
	Pattern() (text string, least float64)
}

// Days is a whole number of days, written 90d, 12w or 1y (365 days), or as a
// bare number. Its canonical text is in days.
type Days int

func parseDays(s string) (Days, error) {
	num, unit := splitUnit(s)
	n, err := strconv.ParseInt(num, 10, 32)
	per := map[string]int64{"": 1, "d": 1, "w": 7, "y": 365}[unit]
	if err != nil || per == 0 || n < 0 || n*per > math.MaxInt32 {
		return 0, fmt.Errorf("%q is not a number of days", s)
	}
	return Days(n * per), nil
}

// UnmarshalText reads 90d, 12w, 1y or 90.
func (d *Days) UnmarshalText(b []byte) (err error) { *d, err = parseDays(string(b)); return }

// MarshalText writes 90d.
func (d Days) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%dd", int(d)), nil }

func (d Days) String() string             { return fmt.Sprintf("%dd", int(d)) }
func (d Days) Want() string               { return "a number of days such as 90d, 12w or 1y" }
func (d Days) Number() (float64, bool)    { return float64(d), true }
func (d Days) Bare() bool                 { return false }
func (d Days) Pattern() (string, float64) { return `^[0-9]+[dwy]?$`, 0 }

// Date is a calendar date, written 2024-01-31; empty is none.
type Date string

// UnmarshalText reads 2024-01-31.
func (d *Date) UnmarshalText(b []byte) error {
	if _, err := time.Parse(time.DateOnly, string(b)); err != nil {
		return fmt.Errorf("%q is not a date", b)
	}
	*d = Date(b)
	return nil
}

// MarshalText writes 2024-01-31.
func (d Date) MarshalText() ([]byte, error) { return []byte(d), nil }

func (d Date) Want() string               { return "a date such as 2024-01-31" }
func (d Date) Number() (float64, bool)    { return 0, false }
func (d Date) Bare() bool                 { return false }
func (d Date) Pattern() (string, float64) { return `^[0-9]{4}-[0-9]{2}-[0-9]{2}$`, math.NaN() }

// Decimal is a number kept as it is written, such as 0.9137; empty is none.
type Decimal string

// UnmarshalText reads 0.9137 and 9.1e-1.
func (d *Decimal) UnmarshalText(b []byte) error {
	if _, err := strconv.ParseFloat(string(b), 64); err != nil || !decimalText.Match(b) {
		return fmt.Errorf("%q is not a number", b)
	}
	*d = Decimal(b)
	return nil
}

var decimalText = regexp.MustCompile(`^[+-]?[0-9]*\.?[0-9]+([eE][+-]?[0-9]{1,3})?$`)

// MarshalText writes the number as it was read.
func (d Decimal) MarshalText() ([]byte, error) { return []byte(d), nil }

func (d Decimal) Want() string { return "a number such as 0.9137" }
func (d Decimal) Number() (float64, bool) {
	f, err := strconv.ParseFloat(string(d), 64)
	return f, err == nil
}
func (d Decimal) Bare() bool                 { return false }
func (d Decimal) Pattern() (string, float64) { return decimalText.String(), math.NaN() }

// Duration is a length of time in whole seconds, written 45s, 30m, 12h, 2d or
// 1w.
type Duration time.Duration

var durationUnits = []struct {
	name string
	per  time.Duration
}{{"w", 7 * day}, {"d", day}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}}

// UnmarshalText reads 30m and the like.
func (d *Duration) UnmarshalText(b []byte) error {
	num, unit := splitUnit(string(b))
	n, err := strconv.ParseInt(num, 10, 64)
	for _, u := range durationUnits {
		if err == nil && n >= 0 && unit == u.name && n <= int64(math.MaxInt64/u.per) {
			*d = Duration(time.Duration(n) * u.per)
			return nil
		}
	}
	return fmt.Errorf("%q is not a duration", b)
}

// MarshalText writes the duration in the largest of d, h, m, s that divides it.
func (d Duration) MarshalText() ([]byte, error) {
	for _, u := range durationUnits[1:] {
		if time.Duration(d)%u.per == 0 && (d != 0 || u.name == "s") {
			return fmt.Appendf(nil, "%d%s", time.Duration(d)/u.per, u.name), nil
		}
	}
	return nil, fmt.Errorf("units: duration %v is not in whole seconds", time.Duration(d))
}

// Std is the duration as the standard library has it.
func (d Duration) Std() time.Duration { return time.Duration(d) }

func (d Duration) String() string             { b, _ := d.MarshalText(); return string(b) }
func (d Duration) Want() string               { return "a duration such as 30m, 12h or 1d" }
func (d Duration) Number() (float64, bool)    { return float64(d), true }
func (d Duration) Bare() bool                 { return false }
func (d Duration) Pattern() (string, float64) { return `^[0-9]+[smhdw]$`, math.NaN() }

// Size is a number of bytes, written 512MiB, 1.5GiB or 200MB.
type Size int64

var sizeUnits = []struct {
	name string
	per  int64
}{
	{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1},
}

// UnmarshalText reads 512MiB and the like; the unit is required.
func (s *Size) UnmarshalText(b []byte) error {
	num, unit := splitUnit(string(b))
	for _, u := range sizeUnits {
		if unit != u.name || num == "" {
			continue
		}
		if n, err := strconv.ParseInt(num, 10, 64); err == nil {
			hi, lo := bits.Mul64(uint64(n), uint64(u.per))
			if n >= 0 && hi == 0 && lo <= math.MaxInt64 {
				*s = Size(lo)
				return nil
			}
		} else if f, err := strconv.ParseFloat(num, 64); err == nil {
			if v := f * float64(u.per); v >= 0 && v < 1<<62 && v == math.Trunc(v) {
				*s = Size(v)
				return nil
			}
		}
	}
	return fmt.Errorf("%q is not a size", b)
}

// MarshalText writes the size in the largest unit that divides it, binary
// units before decimal ones.
func (s Size) MarshalText() ([]byte, error) {
	for _, u := range sizeUnits {
		if int64(s)%u.per == 0 && (s != 0 || u.per == 1) {
			return fmt.Appendf(nil, "%d%s", int64(s)/u.per, u.name), nil
		}
	}
	return nil, fmt.Errorf("units: size %d", int64(s)) // unreachable: B divides
}

func (s Size) String() string             { b, _ := s.MarshalText(); return string(b) }
func (s Size) Want() string               { return "a size such as 512MiB or 1GB" }
func (s Size) Number() (float64, bool)    { return float64(s), true }
func (s Size) Bare() bool                 { return false }
func (s Size) Pattern() (string, float64) { return `^[0-9.]+([KMGT]i?)?B$`, math.NaN() }

// Memory is a budget: Bytes when positive, else Percent (0 to 100] of the
// memory the process may use. Exactly one of them is set.
type Memory struct {
	Bytes   Size
	Percent float64
}

// UnmarshalText reads 512MiB or 25%.
func (m *Memory) UnmarshalText(b []byte) error {
	if num, ok := strings.CutSuffix(string(b), "%"); ok {
		p, err := strconv.ParseFloat(num, 64)
		if err != nil || !(p > 0 && p <= 100) {
			return fmt.Errorf("%q is not a share above 0%% and up to 100%%", b)
		}
		*m = Memory{Percent: p}
		return nil
	}
	var s Size
	if err := s.UnmarshalText(b); err != nil {
		return err
	}
	*m = Memory{Bytes: s}
	return nil
}

// MarshalText writes 512MiB or 25%.
func (m Memory) MarshalText() ([]byte, error) {
	if m.Bytes > 0 || m.Percent == 0 {
		return m.Bytes.MarshalText()
	}
	return append(strconv.AppendFloat(nil, m.Percent, 'f', -1, 64), '%'), nil
}

// Of is the budget in bytes on a machine (or in a container) with total bytes.
func (m Memory) Of(total int64) int64 {
	if m.Bytes > 0 {
		return int64(m.Bytes)
	}
	return int64(float64(total) * m.Percent / 100)
}

func (m Memory) String() string             { b, _ := m.MarshalText(); return string(b) }
func (m Memory) Want() string               { return "a size such as 512MiB or a share such as 25%" }
func (m Memory) Number() (float64, bool)    { return float64(m.Bytes), m.Percent == 0 }
func (m Memory) Bare() bool                 { return false }
func (m Memory) Pattern() (string, float64) { return `^[0-9.]+(([KMGT]i?)?B|%)$`, math.NaN() }

// AutoInt is a whole number or auto. N means nothing when Auto is set.
type AutoInt struct {
	Auto bool
	N    int
}

// UnmarshalText reads auto or a whole number.
func (a *AutoInt) UnmarshalText(b []byte) error {
	if string(b) == "auto" {
		*a = AutoInt{Auto: true}
		return nil
	}
	n, err := strconv.ParseInt(string(b), 10, 32)
	if err != nil {
		return fmt.Errorf("%q is neither auto nor a whole number", b)
	}
	*a = AutoInt{N: int(n)}
	return nil
}

// MarshalText writes auto or the number.
func (a AutoInt) MarshalText() ([]byte, error) {
	if a.Auto {
		return []byte("auto"), nil
	}
	return strconv.AppendInt(nil, int64(a.N), 10), nil
}

// Count is the number of workers: one a processor when auto.
func (a AutoInt) Count() int {
	if a.Auto {
		return runtime.GOMAXPROCS(0)
	}
	return a.N
}

func (a AutoInt) String() string             { b, _ := a.MarshalText(); return string(b) }
func (a AutoInt) Want() string               { return "auto or a whole number" }
func (a AutoInt) Number() (float64, bool)    { return float64(a.N), !a.Auto }
func (a AutoInt) Bare() bool                 { return !a.Auto }
func (a AutoInt) Pattern() (string, float64) { return `^auto$`, math.Inf(-1) }

// Bound is a number or off. Number means nothing when Off is set.
type Bound struct {
	Off   bool
	Value float64
}

// UnmarshalText reads off or a number.
func (x *Bound) UnmarshalText(b []byte) error {
	if string(b) == "off" {
		*x = Bound{Off: true}
		return nil
	}
	v, err := strconv.ParseFloat(string(b), 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Errorf("%q is neither off nor a number", b)
	}
	*x = Bound{Value: v}
	return nil
}

// MarshalText writes off or the number.
func (x Bound) MarshalText() ([]byte, error) {
	if x.Off {
		return []byte("off"), nil
	}
	return strconv.AppendFloat(nil, x.Value, 'g', -1, 64), nil
}

func (x Bound) String() string             { b, _ := x.MarshalText(); return string(b) }
func (x Bound) Want() string               { return "off or a number" }
func (x Bound) Number() (float64, bool)    { return x.Value, !x.Off }
func (x Bound) Bare() bool                 { return !x.Off }
func (x Bound) Pattern() (string, float64) { return `^(off|[0-9.eE+-]+)$`, math.Inf(-1) }

// AutoDays is a number of days or auto. Days means nothing when Auto is set.
type AutoDays struct {
	Auto bool
	Days Days
}

// UnmarshalText reads auto or what Days reads.
func (a *AutoDays) UnmarshalText(b []byte) error {
	if string(b) == "auto" {
		*a = AutoDays{Auto: true}
		return nil
	}
	d, err := parseDays(string(b))
	if err != nil {
		return fmt.Errorf("%w, nor auto", err)
	}
	*a = AutoDays{Days: d}
	return nil
}

// MarshalText writes auto or the days.
func (a AutoDays) MarshalText() ([]byte, error) {
	if a.Auto {
		return []byte("auto"), nil
	}
	return a.Days.MarshalText()
}

func (a AutoDays) String() string             { b, _ := a.MarshalText(); return string(b) }
func (a AutoDays) Want() string               { return "auto or a number of days such as 90d, 12w or 1y" }
func (a AutoDays) Number() (float64, bool)    { return float64(a.Days), !a.Auto }
func (a AutoDays) Bare() bool                 { return false }
func (a AutoDays) Pattern() (string, float64) { return `^(auto|[0-9]+[dwy]?)$`, 0 }

// WithinMode says how a Within is meant.
type WithinMode uint8

// The ways to bound how long ago a customer was active.
const (
	WithinDays WithinMode = iota // Days before the as-of date
	WithinEver                   // at any time before it
	WithinAuto                   // by the kind of target
)

// Within is auto, ever or a number of days. Days means nothing unless Mode is
// WithinDays.
type Within struct {
	Mode WithinMode
	Days Days
}

// UnmarshalText reads auto, ever or what Days reads.
func (w *Within) UnmarshalText(b []byte) error {
	switch string(b) {
	case "auto":
		*w = Within{Mode: WithinAuto}
		return nil
	case "ever":
		*w = Within{Mode: WithinEver}
		return nil
	}
	d, err := parseDays(string(b))
	if err != nil {
		return fmt.Errorf("%w, nor auto or ever", err)
	}
	*w = Within{Days: d}
	return nil
}

// MarshalText writes auto, ever or the days.
func (w Within) MarshalText() ([]byte, error) {
	switch w.Mode {
	case WithinAuto:
		return []byte("auto"), nil
	case WithinEver:
		return []byte("ever"), nil
	}
	return w.Days.MarshalText()
}

func (w Within) String() string             { b, _ := w.MarshalText(); return string(b) }
func (w Within) Want() string               { return "auto, ever or a number of days such as 90d, 12w or 1y" }
func (w Within) Number() (float64, bool)    { return float64(w.Days), w.Mode == WithinDays }
func (w Within) Bare() bool                 { return false }
func (w Within) Pattern() (string, float64) { return `^(auto|ever|[0-9]+[dwy]?)$`, 0 }

// splitUnit parts a text after its leading digits and dots.
func splitUnit(s string) (num, unit string) {
	i := 0
	for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '.') {
		i++
	}
	return s[:i], s[i:]
}

// Window is a look-back window: a number of days, or lifetime, which is 0.
type Window int

// UnmarshalText reads lifetime or what Days reads, but not 0.
func (w *Window) UnmarshalText(b []byte) error {
	if string(b) == "lifetime" {
		*w = 0
		return nil
	}
	d, err := parseDays(string(b))
	if err == nil && d == 0 {
		err = fmt.Errorf("%q is not a window", b)
	}
	*w = Window(d)
	return err
}

// MarshalText writes 90d or lifetime.
func (w Window) MarshalText() ([]byte, error) {
	if w == 0 {
		return []byte("lifetime"), nil
	}
	return Days(w).MarshalText()
}

func (w Window) String() string             { b, _ := w.MarshalText(); return string(b) }
func (w Window) Want() string               { return "a number of days such as 90d, 12w or 1y, or lifetime" }
func (w Window) Number() (float64, bool)    { return float64(w), w != 0 }
func (w Window) Bare() bool                 { return false }
func (w Window) Noun() string               { return "days or `lifetime`" }
func (w Window) Pattern() (string, float64) { return `^([0-9]+[dwy]?|lifetime)$`, 1 }

// NoNumber is a Pattern's least where no bare integer is accepted.
var NoNumber = math.NaN()

// OneOrMany is a list of texts that a file may write as a single text.
type OneOrMany []string
