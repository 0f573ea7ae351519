package scan

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan/internal/column"
	"github.com/shoal-data/shoal/datasets/scan/internal/lexical"
	"github.com/shoal-data/shoal/datasets/scan/internal/sample"
)

// A Report says what became of every row:
// Rows = RowsAccepted + RowsRejected + RowsWithheld + RowsErased + RowsAfter + RowsOthers.
// RowsSkipped, the row groups, the pages and the first places depend on how rows
// are laid out in files; nothing else does.
type Report struct {
	Files        int
	Rows         int64
	RowsAccepted int64
	RowsRejected int64
	RowsWithheld int64 // for want of consent, by the row or by a consent table
	RowsErased   int64 // of customers whom an erasure list names
	RowsAfter    int64 // at or after Options.Before, those skipped included
	RowsSkipped  int64 // of these, those of row groups not read, by their statistics
	RowsOthers   int64 // of customers that Options.Customers does not select

	RowGroupsRead, RowGroupsSkipped int
	RowGroupsPeeked                 int // of those read, of which only the customers were: none is selected
	Pages, PagesWithoutChecksum     int // read; damage to those without goes unnoticed

	Rejects []Reject      // by source, reason and column
	Sample  []RejectedRow // by reason, source, and all else

	MinTime, MaxTime int64 // of accepted events, µs; both 0 when there is none
	IDType           datasets.IDType
	Currencies       []CurrencyCount // of accepted amounts as they came, most frequent first
	AmountsConverted int64           // by currency rates
	Identity         *IdentityReport // nil without identity tables
	Consent          *ConsentReport  // nil when everybody's events may be used
	Nulls            []NullCount     // mapped optional fields, by source and field
	Types            []TypeCount     // by source and type
}

// A Reject counts the rows of a source that were refused for one reason.
type Reject struct {
	Source string
	Reason string         // field and problem, as event_time_unparsable
	Field  datasets.Field // at fault
	Column string         // it is mapped to
	Count  int64
	First  Place
}

// A Place is a row group or, when Row is not negative, a row of it. Row counts
// from 0 over the whole file.
type Place struct {
	File     string
	RowGroup int
	Row      int64
}

// A CurrencyCount is how many accepted amounts are in a currency, and where the
// first is.
type CurrencyCount struct {
	Currency string
	Count    int64
	First    Place
}

// A NullCount is how many accepted rows of a source lack a mapped field. A
// currency that Source.Currency supplies is not lacking.
type NullCount struct {
	Source string
	Field  datasets.Field
	Column string
	Nulls  int64
	Rows   int64 // accepted rows of the source
}

// A TypeCount is how many accepted rows of a source have an event type.
type TypeCount struct {
	Source string
	Type   string
	Null   bool // the rows have no type, or it is not mapped
	Role   datasets.Role
	Count  int64
}

// A place is where a row is, by the plan's files.
type place struct {
	file, group int
	row         int64
}

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.file, q.file), cmp.Compare(p.group, q.group), cmp.Compare(p.row, q.row))
}

// A tally is one worker's part of the report.
type tally struct {
	after, accepted   int64
	withheld, erased  int64
	others            int64 // rows of customers that are not selected
	peeked            int   // row groups that hold no selected customer
	minTime, maxTime  int64
	pages, unverified int
	rejects           map[rejectKey]*rejected
	sample            [256]sample.Sample // by status
	limit             int
	sources           []*sourceTally
	types             []int64 // of the worker's present source, by code
	currencies        map[uint32]*seen
	lastCurrency      uint32
	lastSeen          *seen
}

type rejectKey struct {
	source int
	status status
}

type rejected struct {
	count int64
	first place
}

type seen struct {
	count int64
	first place
}

type sourceTally struct {
	nulls   [datasets.NumFields]int64
	untyped int64            // rows, where the event type is not mapped
	types   map[uint32]int64 // by code
}

func newTally(p *Plan, opts Options) *tally {
	t := &tally{
		minTime: math.MaxInt64, maxTime: math.MinInt64, limit: opts.MaxRejectedSample,
		rejects: map[rejectKey]*rejected{}, currencies: map[uint32]*seen{},
	}
	for range p.sources {
		t.sources = append(t.sources, &sourceTally{types: map[uint32]int64{}})
	}
	return t
}

// tallyTypes books the types counted for the present source.
func (w *worker) tallyTypes() {
	for code, n := range w.types {
		if n > 0 {
			w.sources[w.source].types[uint32(code)] += n
		}
	}
	w.types = w.types[:0]
}

func (t *tally) seeCurrency(code uint32, at place) {
	if code != t.lastCurrency {
		s := t.currencies[code]
		if s == nil {
			s = &seen{first: at}
			t.currencies[code] = s
		}
		t.lastCurrency, t.lastSeen = code, s
	}
	t.lastSeen.count++
}

// reject counts and samples row i.
func (w *worker) reject(i int, s status, at place) {
	key := rejectKey{w.source, s}
	r := w.rejects[key]
	if r == nil {
		r = &rejected{first: at} // a worker meets rows in the plan's order
		w.rejects[key] = r
	}
	r.count++
	if w.limit == 0 {
		return
	}
	src := &w.plan.sources[w.source]
	w.shown = w.shown[:0]
	row := RejectedRow{Source: src.Name, Reason: w.reason(s), Column: src.Columns[s.field()]}
	row.Value = w.text(s.field(), i)
	row.CustomerID = w.text(datasets.CustomerID, i)
	if w.pseudonyms != nil {
		row.Value = "" // which may be an id, or a text with one in it
		if row.CustomerID != "" {
			row.CustomerID = w.pseudonyms.Text(row.CustomerID)
		}
	}
	row.EventType = w.text(datasets.EventType, i)
	if t := w.times[i]; t > column.BadTime {
		from := len(w.shown)
		w.shown = lexical.AppendTime(w.shown, t)
		row.EventTime = passing(w.shown[from:])
	} else {
		row.EventTime = w.text(datasets.EventTime, i)
	}
	w.sample[s].Add(row, w.limit)
}

// reason is the status's, made once.
func (w *worker) reason(s status) string {
	if w.reasons[s] == "" {
		w.reasons[s] = s.reason()
	}
	return w.reasons[s]
}

func (s status) reason() string { return s.field().String() + "_" + s.problem().String() }

// text is the value of a field of row i, "" when it is null or not mapped. It is valid
// until the next row is refused: few of them are kept.
func (w *worker) text(f datasets.Field, i int) string {
	c := w.field[f]
	if c == nil || c.Null(i) {
		return ""
	}
	v, j := c.Value(i)
	from := len(w.shown)
	w.shown = c.AppendText(w.shown, v, j)
	if b := w.shown[from:]; len(b) > lexical.MaxShown || !utf8.Valid(b) {
		return lexical.Shown(b)
	}
	return passing(w.shown[from:])
}

// passing is b as a string, for as long as b stays as it is.
func passing(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func (t *tally) merge(o *tally) {
	t.after += o.after
	t.withheld += o.withheld
	t.erased += o.erased
	t.accepted += o.accepted
	t.others += o.others
	t.peeked += o.peeked
	t.pages += o.pages
	t.unverified += o.unverified
	t.minTime, t.maxTime = min(t.minTime, o.minTime), max(t.maxTime, o.maxTime)
	for key, r := range o.rejects {
		if have := t.rejects[key]; have == nil {
			t.rejects[key] = r
		} else {
			have.count += r.count
			if r.first.compare(have.first) < 0 {
				have.first = r.first
			}
		}
	}
	for i := range o.sample {
		t.sample[i].Merge(&o.sample[i], t.limit)
	}
	for i, s := range o.sources {
		t.sources[i].untyped += s.untyped
		for f, n := range s.nulls {
			t.sources[i].nulls[f] += n
		}
		for code, n := range s.types {
			t.sources[i].types[code] += n
		}
	}
	for code, s := range o.currencies {
		if have := t.currencies[code]; have == nil {
			t.currencies[code] = s
		} else {
			have.count += s.count
			if s.first.compare(have.first) < 0 {
				have.first = s.first
			}
		}
	}
}

// report spells out the tally.
func (t *tally) report(r *Report, p *Plan, dicts *datasets.Dicts) {
	where := func(at place) Place { return Place{p.Files[at.file].Path, at.group, at.row} }
	r.RowsAccepted, r.RowsWithheld, r.RowsErased, r.RowsAfter = t.accepted, t.withheld, t.erased, t.after
	r.RowsOthers, r.RowGroupsPeeked = t.others, t.peeked
	r.Pages += t.pages
	r.PagesWithoutChecksum += t.unverified
	if t.accepted > 0 {
		r.MinTime, r.MaxTime = t.minTime, t.maxTime
	}
	for key, j := range t.rejects {
		src := &p.sources[key.source]
		f := key.status.field()
		r.Rejects = append(r.Rejects, Reject{src.Name, key.status.reason(), f, src.Columns[f], j.count, where(j.first)})
		r.RowsRejected += j.count
	}
	slices.SortFunc(r.Rejects, func(a, b Reject) int {
		return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.Reason, b.Reason))
	})
	for i := range t.sample {
		r.Sample = append(r.Sample, t.sample[i].Rows()...)
	}
	slices.SortFunc(r.Sample, func(a, b RejectedRow) int { return a.Compare(&b) })
	for code, s := range t.currencies {
		r.Currencies = append(r.Currencies, CurrencyCount{dicts.Currency.Value(code), s.count, where(s.first)})
	}
	slices.SortFunc(r.Currencies, func(a, b CurrencyCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Currency, b.Currency))
	})
	for i, s := range t.sources {
		src := &p.sources[i]
		rows, from := s.untyped, len(r.Types)
		if s.untyped > 0 {
			r.Types = append(r.Types, TypeCount{src.Name, "", true, src.Role, s.untyped})
		}
		for code, n := range s.types {
			typ := dicts.Type.Value(code)
			role := datasets.Other
			if code != 0 {
				role = src.Roles[typ]
			}
			r.Types = append(r.Types, TypeCount{src.Name, typ, code == 0, role, n})
			rows += n
		}
		slices.SortFunc(r.Types[from:], func(a, b TypeCount) int {
			if a.Null != b.Null {
				return cmp.Compare(b2i(b.Null), b2i(a.Null))
			}
			return strings.Compare(a.Type, b.Type)
		})
		for _, f := range p.fields[i] {
			if f != datasets.CustomerID && f != datasets.EventTime && f != datasets.Consent {
				r.Nulls = append(r.Nulls, NullCount{src.Name, f, src.Columns[f], s.nulls[f], rows})
			}
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// checkCurrencies refuses amounts that cannot be added up.
func (r *Report) checkCurrencies(want string) error {
	bad := -1
	for i, c := range r.Currencies {
		if want != "" && c.Currency != want || want == "" && i > 0 {
			bad = i
			break
		}
	}
	if bad < 0 {
		return nil
	}
	var list []string
	for _, c := range r.Currencies {
		list = append(list, fmt.Sprintf("%s in %d rows (first in %s, row group %d)", c.Currency, c.Count, c.First.File, c.First.RowGroup))
	}
	at := r.Currencies[bad].First
	what := "amounts are in several currencies"
	if want != "" {
		what = fmt.Sprintf("amounts are in other currencies than %s", want)
	}
	return &Error{
		Kind: BadData, File: at.File, RowGroup: at.RowGroup, Row: -1,
		Err: fmt.Errorf("%s: %s; convert them to one before the run, or give each its own run", what, strings.Join(list, ", ")),
	}
}
