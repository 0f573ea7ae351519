// Package rates converts amounts into one currency by what a currency was worth on the
// day of the event: by the latest rate of that day or an earlier one.
//
// A rate is an exact decimal, held to 18 places after the point, halves away from zero,
// and a product is rounded to 1e-4 the same way.
package rates

import (
	"cmp"
	"context"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan/internal/column"
	"github.com/shoal-data/shoal/datasets/scan/internal/fault"
	"github.com/shoal-data/shoal/datasets/scan/internal/files"
	"github.com/shoal-data/shoal/datasets/scan/internal/lexical"
	"github.com/shoal-data/shoal/datasets/scan/internal/lookup"
	"github.com/shoal-data/shoal/datasets/storage"
)

// A Spec is where rates are and what they mean.
type Spec struct {
	To       string         // the currency that amounts are converted into
	Zone     *time.Location // whose midnight begins a day
	Paths    []string       // globs; none when all rates are listed
	Date     string         // columns
	Currency string
	Rate     string
	Listed   []Rate
	// Inverse says that a rate counts units of the currency for one of To, rather
	// than units of To for one of the currency.
	Inverse bool
	MaxAge  int // days that a rate is good for after its own
}

// A Rate is what a currency was worth from a day on, as written.
type Rate struct{ Date, Currency, Rate string }

// Table is the rates of a Spec whose files were found to hold its columns.
type Table struct {
	Spec
	Files *lookup.Table // nil when all rates are listed
}

// The columns of the table, in the order they are read.
const (
	dateColumn = iota
	currencyColumn
	rateColumn
)

// Open finds the files of the rates.
func Open(ctx context.Context, fsys storage.FS, spec Spec) (*Table, error) {
	t := &Table{Spec: spec}
	if len(spec.Paths) == 0 {
		return t, nil
	}
	var err error
	t.Files, err = lookup.Open(ctx, fsys, "currency_rates", spec.Paths, []lookup.Column{
		{Name: spec.Date, Means: "date", Unfit: func(c *column.Type) string { return c.WhyUnfit(datasets.EventTime) }},
		{Name: spec.Currency, Means: "currency", Unfit: func(c *column.Type) string { return c.WhyUnfit(datasets.Currency) }},
		{Name: spec.Rate, Means: "rate", Unfit: func(c *column.Type) string { return c.WhyUnfit(datasets.Amount) }},
	})
	return t, err
}

// List is the table's files.
func (t *Table) List() []files.File {
	if t.Files == nil {
		return nil
	}
	return t.Files.Files
}

// Rates are the rates of all currencies, read by all workers at once.
type Rates struct {
	table  *Table
	series map[string][]quote // by currency, ascending
}

// A quote is a rate, num/den units of the target for one of the currency, and the
// instants it is good for.
type quote struct {
	day         int64 // days since 1970
	from, until int64 // µs
	num, den    uint64
	text        string
}

// Load reads the rates.
func (t *Table) Load(ctx context.Context, fsys storage.FS) (*Rates, error) {
	r := &Rates{table: t, series: map[string][]quote{}}
	for i, l := range t.Listed {
		q, why := t.quote([]byte(l.Date), []byte(l.Rate))
		if why != "" {
			return nil, fault.InSource(fault.Config, "", "currency_rates.list[%d]: %s", i, why)
		}
		if !r.add(l.Currency, q) {
			return nil, fault.InSource(fault.Config, "", "currency_rates.list[%d]: %s has another rate on %s; keep one", i, l.Currency, l.Date)
		}
	}
	if t.Files != nil {
		// Rows come in order from one worker, so the row at fault is the same every night.
		err := t.Files.Read(ctx, fsys, 1, func(_ int, row *lookup.Row) error {
			date, currency, rate := row.Texts[dateColumn], row.Texts[currencyColumn], row.Texts[rateColumn]
			if len(date) == 0 || len(currency) == 0 || len(rate) == 0 || string(rate) == "nan" {
				return nil // no rate on that day, as on holidays
			}
			q, why := t.quote(date, rate)
			if why != "" {
				col := rateColumn
				if strings.HasPrefix(why, "the date") {
					col = dateColumn
				}
				return t.Files.Fault(row, col, "%s", why)
			}
			if !r.add(string(currency), q) {
				return t.Files.Fault(row, rateColumn, "%s has another rate on %s; keep one", currency, dayString(q.day))
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for _, s := range r.series {
		slices.SortFunc(s, func(a, b quote) int { return cmp.Compare(a.day, b.day) })
		for i := range s {
			s[i].from, s[i].until = StartOfDay(s[i].day, t.Zone), StartOfDay(s[i].day+int64(t.MaxAge)+1, t.Zone)
			if i > 0 {
				s[i-1].until = min(s[i-1].until, s[i].from)
			}
		}
	}
	return r, nil
}

// quote reads a day and a rate; why says, unless it is "", what is wrong with them.
func (t *Table) quote(date, rate []byte) (q quote, why string) {
	us, _, p := lexical.Time(date)
	if p != lexical.OK {
		return q, "the date must be a date, yyyy-mm-dd or yyyymmdd"
	}
	if q.day = us / usDay; us%usDay < 0 {
		q.day--
	}
	q.text = string(rate)
	if q.num, q.den, why = parse(q.text); why == "" && t.Inverse {
		q.num, q.den = q.den, q.num
	}
	return q, why
}

const usDay = 86_400_000_000

// add keeps a rate; false when the currency has another one on that day.
func (r *Rates) add(currency string, q quote) bool {
	s := r.series[currency]
	at, found := slices.BinarySearchFunc(s, q.day, func(a quote, day int64) int { return cmp.Compare(a.day, day) })
	if found {
		return s[at].num == q.num && s[at].den == q.den
	}
	r.series[currency] = slices.Insert(s, at, q)
	return true
}

// StartOfDay is the first instant, in µs, of a calendar day in a zone. Where a change of
// the clock removes midnight the day starts when the clock goes on; where midnight comes
// twice it starts at the first.
func StartOfDay(day int64, zone *time.Location) int64 {
	y, m, d := time.Unix(day*86400, 0).UTC().Date()
	t := time.Date(y, m, d, 0, 0, 0, 0, zone)
	shows := func(t time.Time) bool { ty, tm, td := t.Date(); return ty == y && tm == m && td == d }
	if !shows(t) { // midnight does not exist, and Go took it for the day before
		if _, end := t.ZoneBounds(); !end.IsZero() {
			t = end
		}
		return t.UnixMicro()
	}
	if start, _ := t.ZoneBounds(); !start.IsZero() {
		_, after := t.Zone()
		_, before := start.Add(-1).Zone()
		if first := t.Add(time.Duration(after-before) * time.Second); first.Before(start) && shows(first) {
			t = first
		}
	}
	return t.UnixMicro()
}

// parse reads a decimal as num/den, den a power of ten of at most 10^18; why says what is
// wrong with it, "" when nothing is.
func parse(s string) (num, den uint64, why string) {
	const wrong = "a rate must be a number above 0, such as 0.9137"
	mantissa, exponent := s, 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		var err error
		if exponent, err = strconv.Atoi(s[i+1:]); err != nil || len(s)-i > 5 {
			return 0, 0, wrong
		}
		mantissa = s[:i]
	}
	mantissa = strings.TrimPrefix(mantissa, "+")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := whole + fraction
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, 0, wrong
	}
	scale := len(fraction) - exponent // the value is digits · 10^-scale
	roundUp := false
	if drop := scale - maxScale; drop > 0 {
		if drop > len(digits) {
			digits = strings.Repeat("0", drop-len(digits)) + digits
		}
		cut := len(digits) - drop
		roundUp = digits[cut] >= '5'
		digits, scale = digits[:cut], maxScale
	}
	if scale < 0 {
		digits += strings.Repeat("0", -scale)
		scale = 0
	}
	digits = strings.TrimLeft(digits, "0")
	if roundUp {
		digits = increment(digits)
	}
	for scale > 0 && strings.HasSuffix(digits, "0") {
		digits, scale = digits[:len(digits)-1], scale-1
	}
	if digits == "" {
		return 0, 0, wrong
	}
	if len(digits) > maxDigits {
		return 0, 0, fmt.Sprintf("a rate may have %d digits, and this one has %d; round it", maxDigits, len(digits))
	}
	for _, c := range digits {
		num = num*10 + uint64(c-'0')
	}
	den = 1
	for range scale {
		den *= 10
	}
	return num, den, ""
}

const (
	maxScale  = 18 // digits after the point
	maxDigits = 18 // in all, without zeros at either end
)

// increment adds 1 to a whole number.
func increment(digits string) string {
	b := []byte(digits)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i]++; b[i] <= '9' {
			return string(b)
		}
		b[i] = '0'
	}
	return "1" + string(b)
}

// convert is m·num/den, rounded to a unit of m, halves away from zero; false when that is
// beyond datasets.MaxMoney.
func (q *quote) convert(m datasets.Money) (datasets.Money, bool) {
	abs := uint64(m)
	if m < 0 {
		abs = -abs
	}
	hi, lo := bits.Mul64(abs, q.num)
	if hi >= q.den {
		return 0, false
	}
	quo, rem := bits.Div64(hi, lo, q.den)
	if rem >= q.den-rem {
		quo++
	}
	if quo > uint64(datasets.MaxMoney) {
		return 0, false
	}
	if m < 0 {
		return -datasets.Money(quo), true
	}
	return datasets.Money(quo), true
}

func dayString(day int64) string { return time.Unix(day*86400, 0).UTC().Format(time.DateOnly) }
