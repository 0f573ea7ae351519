package rates

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan/internal/fault"
)

// A Reader converts the amounts of batches and counts, for one goroutine.
type Reader struct {
	Converted int64 // amounts

	to      uint32 // code of the target
	byCode  map[uint32]*reading
	code    uint32 // of last; 0 is none
	last    *reading
	missing map[uint32]*Missing
	beyond  map[uint32]*Missing // converted amounts that are too large
}

// A reading is a currency's rates and the one that was last used.
type reading struct {
	quotes []quote
	at     int
}

// A Place is where a row is, by file and row.
type Place struct {
	File, Group int
	Row         int64
}

func (p Place) compare(q Place) int {
	return cmp.Or(cmp.Compare(p.File, q.File), cmp.Compare(p.Row, q.Row))
}

// Missing is amounts of a currency that could not be converted.
type Missing struct {
	Count int64
	First Place
	time  int64 // of the first
}

// NewReader returns a reader of batches whose currencies are interned in dict.
func (r *Rates) NewReader(dict *datasets.Dict) *Reader {
	d := &Reader{to: dict.CodeString(r.table.To), byCode: map[uint32]*reading{}, missing: map[uint32]*Missing{}, beyond: map[uint32]*Missing{}}
	for currency, quotes := range r.series {
		d.byCode[dict.CodeString(currency)] = &reading{quotes: quotes}
	}
	return d
}

// Convert is the amount of a row, in a currency and at an instant, in the target
// currency. What has no rate is noted, and stays as it is.
func (d *Reader) Convert(m datasets.Money, code uint32, at int64, row Place) datasets.Money {
	if code == d.to {
		return m
	}
	if code != d.code {
		d.code, d.last = code, d.byCode[code]
	}
	q := d.last.find(at)
	if q == nil {
		note(d.missing, code, row, at)
		return m
	}
	converted, ok := q.convert(m)
	if !ok {
		note(d.beyond, code, row, at)
		return m
	}
	d.Converted++
	return converted
}

// Target is the code of the currency that amounts are converted into.
func (d *Reader) Target() uint32 { return d.to }

func note(m map[uint32]*Missing, code uint32, row Place, at int64) {
	if m[code] == nil {
		m[code] = &Missing{First: row, time: at}
	}
	m[code].Count++
}

// find is the rate that is good at an instant, nil when none is.
func (c *reading) find(at int64) *quote {
	if c == nil { // a currency without rates
		return nil
	}
	if c.at < len(c.quotes) && at >= c.quotes[c.at].from && at < c.quotes[c.at].until {
		return &c.quotes[c.at]
	}
	i := sort.Search(len(c.quotes), func(i int) bool { return c.quotes[i].from > at }) - 1
	if i < 0 || at >= c.quotes[i].until {
		return nil
	}
	c.at = i
	return &c.quotes[i]
}

// Err is the error of the amounts that the readers, of which some may be nil, could not
// convert; nil when there is none. paths are those of the files.
func (r *Rates) Err(readers []*Reader, dict *datasets.Dict, path func(file int) string) error {
	for _, what := range []struct {
		of  func(*Reader) map[uint32]*Missing
		say func(list string, first *Missing, currency string) error
	}{
		{func(d *Reader) map[uint32]*Missing { return d.missing }, func(list string, first *Missing, currency string) error {
			return fmt.Errorf("amounts cannot be converted into %s for want of a rate: %s; %s: add rates to currency_rates, or, if an older one will do, raise max_age",
				r.table.To, list, r.why(currency, first.time))
		}},
		{func(d *Reader) map[uint32]*Missing { return d.beyond }, func(list string, _ *Missing, _ string) error {
			return fmt.Errorf("amounts converted into %s are beyond ±1e12: %s; correct the rate or the amount", r.table.To, list)
		}},
	} {
		total := map[string]*Missing{}
		for _, d := range readers {
			if d == nil {
				continue
			}
			for code, m := range what.of(d) {
				name := dict.Value(code)
				have := total[name]
				switch {
				case have == nil:
					c := *m
					total[name] = &c
				case m.First.compare(have.First) < 0:
					have.First, have.time = m.First, m.time
					fallthrough
				default:
					have.Count += m.Count
				}
			}
		}
		if len(total) == 0 {
			continue
		}
		var names []string
		for n := range total {
			names = append(names, n)
		}
		slices.SortFunc(names, func(a, b string) int {
			return cmp.Or(cmp.Compare(total[b].Count, total[a].Count), strings.Compare(a, b))
		})
		var list []string
		first := names[0]
		for _, n := range names {
			m := total[n]
			list = append(list, fmt.Sprintf("%s in %d rows (first on %s in %s, row %d)", n, m.Count, r.day(m.time), path(m.First.File), m.First.Row))
			if m.First.compare(total[first].First) < 0 {
				first = n
			}
		}
		m := total[first]
		return &fault.Error{Kind: fault.BadData, File: path(m.First.File), RowGroup: m.First.Group, Row: m.First.Row, Err: what.say(strings.Join(list, ", "), m, first)}
	}
	return nil
}

func (r *Rates) day(us int64) string {
	return time.UnixMicro(us).In(r.table.Zone).Format(time.DateOnly)
}

// why says why a currency has no rate at an instant.
func (r *Rates) why(currency string, at int64) string {
	quotes := r.series[currency]
	i := sort.Search(len(quotes), func(i int) bool { return quotes[i].from > at }) - 1
	switch {
	case len(quotes) == 0:
		var have []string
		for c := range r.series {
			have = append(have, c)
		}
		slices.Sort(have)
		if len(have) == 0 {
			return "there are no rates at all"
		}
		return fmt.Sprintf("there is none of %s at all (there are %s)", currency, strings.Join(have[:min(len(have), 20)], ", "))
	case i < 0:
		return fmt.Sprintf("the first of %s is of %s", currency, dayString(quotes[0].day))
	}
	return fmt.Sprintf("the latest of %s is of %s, more than max_age (%dd) before", currency, dayString(quotes[i].day), r.table.MaxAge)
}
