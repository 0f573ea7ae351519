package scan

import (
	"bytes"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan/internal/lexical"
	"github.com/shoal-data/shoal/datasets/scan/internal/pages"
)

// segment is how many rows are converted at a time: the columns of one stay in
// the processor's cache.
const segment = 2048

// A column reads one field of one file after another, for one worker.
type column struct {
	field datasets.Field
	typ   colType
	unit  Unit
	zone  *lexical.Zone

	constant bool
	reader   pages.Reader
	run      *pages.Run // of the segment in hand
	constRun pages.Run
	constDic pages.Dictionary

	// What the values of the current dictionary mean, found once a dictionary.
	// Codes are found when an accepted row first needs them, so that the
	// dictionaries of the job hold what accepted rows hold and nothing else.
	generation int
	dictTimes  []int64
	dictMoney  []datasets.Money
	dictState  []lexical.Problem
	dictCodes  []uint32
	dictYes    []bool

	// For EventType: the role of every type met, by code.
	roles  map[string]datasets.Role
	roleOf []datasets.Role

	lastCode uint32 // of lastText or lastInt; 0 is none
	lastText []byte
	lastInt  int64
	scratch  []byte
}

// open points the column at a row group's chunk.
func (c *column) open(src *Source, col *fileCol) {
	c.typ, c.unit = col.typ, src.TimeUnit
	c.constant = col.path == nil
	c.generation, c.lastCode = -1, 0
	if !c.constant {
		return
	}
	d := &c.constDic
	d.Data = append(d.Data[:0], col.constant...)
	d.Lo, d.Hi, d.Len = []uint32{0}, []uint32{uint32(len(d.Data))}, 1
	c.constRun = pages.Run{Dict: d, Index: make([]uint32, segment)}
	if col.null {
		c.constRun.Valid = make([]bool, segment)
	}
}

// available is the number of rows, at most n, that next can return at once.
func (c *column) available(n int) (int, error) {
	if c.constant {
		return min(n, segment), nil
	}
	a, err := c.reader.Available()
	return min(n, a), err
}

// next advances to the next n rows.
func (c *column) next(n int) (err error) {
	if c.constant {
		c.run = &c.constRun
		c.run.Rows = n
		return nil
	}
	if c.run, err = c.reader.Next(n); err != nil {
		return err
	}
	return nil
}

// null says whether row i is null.
func (c *column) null(i int) bool { return c.run.Valid != nil && !c.run.Valid[i] }

// at is where the value of row i, which is not null, lies.
func (c *column) at(i int) (*pages.Values, int) {
	if d := c.run.Dict; d != nil {
		return &d.Values, int(c.run.Index[i])
	}
	return &c.run.Values, i
}

// fresh says whether the dictionary of the run differs from the one that the
// dict… slices describe, and forgets those if it does.
func (c *column) fresh() bool {
	d := c.run.Dict
	if d.Generation == c.generation {
		return false
	}
	c.generation = d.Generation
	c.dictTimes, c.dictMoney, c.dictState, c.dictYes = c.dictTimes[:0], c.dictMoney[:0], c.dictState[:0], c.dictYes[:0]
	c.dictCodes = resized(c.dictCodes, d.Len)
	clear(c.dictCodes)
	return true
}

func resized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// isText says whether values are text in the bytes form.
func (c *column) isText() bool { return c.typ.kind == KindString || c.typ.kind == KindBytes }

// integer is an integer value. ok is false for an unsigned one beyond int64.
func (c *column) integer(v int64) (int64, bool) {
	if c.typ.unsigned {
		if c.typ.bits == 32 {
			return int64(uint32(v)), true
		}
		return v, v >= 0
	}
	return v, true
}

// Times that are none.
const (
	nullTime       int64 = math.MinInt64
	unparsableTime int64 = math.MinInt64 + 1
	rangeTime      int64 = math.MinInt64 + 2
	lastBadTime          = rangeTime
)

func badTime(p lexical.Problem) int64 {
	switch p {
	case lexical.Null, lexical.Empty:
		return nullTime
	case lexical.OutOfRange:
		return rangeTime
	}
	return unparsableTime
}

func timeProblem(t int64) lexical.Problem {
	switch t {
	case nullTime:
		return lexical.Null
	case rangeTime:
		return lexical.OutOfRange
	}
	return lexical.Unparsable
}

func checked(us int64) int64 {
	if !lexical.InRange(us) {
		return rangeTime
	}
	return us
}

// local is the instant of a clock reading.
func (c *column) local(us int64) int64 {
	if !lexical.InRange(us) {
		return rangeTime
	}
	return checked(c.zone.Instant(us))
}

// times converts the run, row by row, into dst.
func (c *column) times(dst []int64) {
	run := c.run
	if run.Dict != nil {
		if c.fresh() || len(c.dictTimes) != run.Dict.Len {
			c.dictTimes = resized(c.dictTimes, run.Dict.Len)
			for i := range c.dictTimes {
				c.dictTimes[i] = c.time(&run.Dict.Values, i)
			}
		}
		for i := range dst {
			if c.null(i) {
				dst[i] = nullTime
			} else {
				dst[i] = c.dictTimes[run.Index[i]]
			}
		}
		return
	}
	if c.typ.kind == KindTimestamp && c.typ.utc && c.typ.unit == UnitMicro {
		for i, v := range run.Ints {
			dst[i] = checked(v)
		}
	} else {
		for i := range dst {
			if !c.null(i) {
				dst[i] = c.time(&run.Values, i)
			}
		}
	}
	if run.Valid != nil {
		for i, valid := range run.Valid {
			if !valid {
				dst[i] = nullTime
			}
		}
	}
}

func (c *column) time(v *pages.Values, i int) int64 {
	switch c.typ.kind {
	case KindTimestamp:
		if c.typ.int96 {
			return int96Time(v.Bytes(i))
		}
		us := epoch(v.Ints[i], c.typ.unit)
		if us != rangeTime && !c.typ.utc {
			return c.local(us)
		}
		return us
	case KindDate:
		us, ok := scaled(v.Ints[i], 86_400_000_000, 1)
		if !ok {
			return rangeTime
		}
		return c.local(us)
	case KindInt32, KindInt64:
		n, ok := c.integer(v.Ints[i])
		if !ok {
			return rangeTime
		}
		return c.numeric(n)
	}
	b := v.Bytes(i)
	if c.unit != UnitAuto && c.unit != UnitYYYYMMDD {
		if n, ok := lexical.Int(b); ok {
			return c.numeric(n)
		}
	}
	us, zoned, p := lexical.Time(b)
	switch {
	case p != lexical.OK:
		return badTime(p)
	case zoned:
		return us
	}
	return c.local(us)
}

// numeric is the instant that an integer stands for.
func (c *column) numeric(n int64) int64 {
	unit := c.unit
	if unit == UnitAuto {
		switch {
		case n >= 19000000 && n <= 21009999:
			unit = UnitYYYYMMDD
		case n > -1e11 && n < 1e11:
			unit = UnitSecond
		case n > -1e14 && n < 1e14:
			unit = UnitMilli
		case n > -1e17 && n < 1e17:
			unit = UnitMicro
		default:
			unit = UnitNano
		}
	}
	if unit == UnitYYYYMMDD {
		us, p := lexical.YYYYMMDD(n)
		if p != lexical.OK {
			return badTime(p)
		}
		return c.local(us)
	}
	return epoch(n, unit)
}

// epoch is n units since 1970 UTC, rounded down to µs.
func epoch(n int64, unit Unit) int64 {
	mul, div := int64(1), int64(1)
	switch unit {
	case UnitSecond:
		mul = 1_000_000
	case UnitMilli:
		mul = 1000
	case UnitNano:
		div = 1000
	}
	us, ok := scaled(n, mul, div)
	if !ok {
		return rangeTime
	}
	return checked(us)
}

// int96Time reads nanoseconds of the day and a Julian day number.
// Source: https://github.com/apache/parquet-format/pull/49 (2440588 is 1970-01-01).
func int96Time(b []byte) int64 {
	var nanos, day uint64
	for i := 7; i >= 0; i-- {
		nanos = nanos<<8 | uint64(b[i])
	}
	for i := 11; i >= 8; i-- {
		day = day<<8 | uint64(b[i])
	}
	us, _ := scaled(int64(nanos), 1, 1000)
	days := (int64(int32(day)) - 2440588) * 86_400_000_000
	return checked(days + us)
}

// Amounts that are none, beside datasets.NullMoney.
const (
	unparsableMoney datasets.Money = math.MinInt64 + 1
	rangeMoney      datasets.Money = math.MinInt64 + 2
	infiniteMoney   datasets.Money = math.MinInt64 + 3
	lastBadMoney                   = infiniteMoney
)

func moneyProblem(m datasets.Money) lexical.Problem {
	switch m {
	case rangeMoney:
		return lexical.OutOfRange
	case infiniteMoney:
		return lexical.NotFinite
	}
	return lexical.Unparsable
}

// amounts converts the run into dst and reports whether any is bad.
func (c *column) amounts(dst []datasets.Money) (bad bool) {
	run := c.run
	if run.Dict != nil && (c.fresh() || len(c.dictMoney) != run.Dict.Len) {
		c.dictMoney = resized(c.dictMoney, run.Dict.Len)
		for i := range c.dictMoney {
			c.dictMoney[i] = c.amount(&run.Dict.Values, i)
		}
	}
	for i := range dst {
		var m datasets.Money
		switch {
		case run.Valid != nil && !run.Valid[i]:
			m = datasets.NullMoney
		case run.Dict != nil:
			m = c.dictMoney[run.Index[i]]
		default:
			m = c.amount(&run.Values, i)
		}
		bad = bad || m != datasets.NullMoney && m <= lastBadMoney
		dst[i] = m
	}
	return bad
}

func (c *column) amount(v *pages.Values, i int) datasets.Money {
	var m datasets.Money
	ok := true
	switch c.typ.kind {
	case KindFloat:
		f := v.Floats[i]
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return infiniteMoney
		}
		m, ok = datasets.MoneyFromFloat(f)
	case KindInt32, KindInt64:
		var n int64
		if n, ok = c.integer(v.Ints[i]); ok {
			m, ok = datasets.MoneyFromInt(n)
		}
	case KindDecimal:
		switch {
		case v.Ints == nil:
			m, ok = lexical.MoneyFromBytes(v.Bytes(i), c.typ.scale)
		case c.typ.scale <= 18:
			m, ok = datasets.MoneyFromDecimal(v.Ints[i], c.typ.scale)
		default:
			b := datasets.AppendIntID(c.scratch[:0], v.Ints[i])
			b[0] ^= 0x80 // back to two's complement
			m, ok = lexical.MoneyFromBytes(b, c.typ.scale)
		}
	default:
		var p lexical.Problem
		switch m, p = lexical.Money(v.Bytes(i)); p {
		case lexical.OK:
		case lexical.Empty:
			return datasets.NullMoney
		case lexical.OutOfRange:
			return rangeMoney
		default:
			return unparsableMoney
		}
	}
	if !ok {
		return rangeMoney
	}
	return m
}

// given converts the run of a consent column: false where it is withheld.
func (c *column) given(i int) bool {
	if c.null(i) {
		return false
	}
	v, j := c.at(i)
	if c.run.Dict != nil {
		if c.fresh() || len(c.dictYes) != c.run.Dict.Len {
			c.dictYes = resized(c.dictYes, c.run.Dict.Len)
			for k := range c.dictYes {
				c.dictYes[k] = c.yes(v, k)
			}
		}
		return c.dictYes[j]
	}
	return c.yes(v, j)
}

func (c *column) yes(v *pages.Values, i int) bool {
	if !c.isText() {
		return v.Ints[i] != 0
	}
	b := v.Bytes(i)
	if len(b) > 4 {
		return false
	}
	switch string(bytes.ToLower(b)) {
	case "true", "t", "yes", "y", "1":
		return true
	}
	return false
}

// state says what is wrong with the value of row i as an id or a text.
func (c *column) state(i int) lexical.Problem {
	if c.null(i) {
		return lexical.Null
	}
	v, j := c.at(i)
	if c.run.Dict == nil {
		return c.problem(v, j)
	}
	if c.fresh() || len(c.dictState) != c.run.Dict.Len {
		c.dictState = resized(c.dictState, c.run.Dict.Len)
		for k := range c.dictState {
			c.dictState[k] = c.problem(v, k)
		}
	}
	return c.dictState[j]
}

func (c *column) problem(v *pages.Values, i int) lexical.Problem {
	switch {
	case c.isText():
		b := v.Bytes(i)
		if len(b) == 0 {
			return lexical.Empty
		}
		if !utf8.Valid(b) {
			return lexical.BadUTF8
		}
	case c.field == datasets.CustomerID && (c.typ.kind == KindInt64 || c.typ.kind == KindDecimal):
		if _, ok := c.id(v, i); !ok {
			return lexical.OutOfRange
		}
	}
	return lexical.OK
}

// flawless says whether no value of the column, but null, can be wrong as an id
// or a text.
func (c *column) flawless() bool {
	if c.isText() {
		return false
	}
	return c.field != datasets.CustomerID || c.typ.kind != KindDecimal && !c.typ.unsigned
}

// id is an integer id.
func (c *column) id(v *pages.Values, i int) (int64, bool) {
	if v.Ints == nil {
		return lexical.IntFromBytes(v.Bytes(i))
	}
	return c.integer(v.Ints[i])
}

// codes appends the codes of the rows of sel in d; every row of sel is flawless
// or null, whose code is null.
func (c *column) codes(out []uint32, d *datasets.Dict, sel []int32, null uint32) []uint32 {
	run := c.run
	if run.Dict == nil {
		for _, i := range sel {
			if run.Valid != nil && !run.Valid[i] {
				out = append(out, null)
			} else {
				out = append(out, c.code(d, &run.Values, int(i), null))
			}
		}
		return out
	}
	c.fresh()
	for _, i := range sel {
		if run.Valid != nil && !run.Valid[i] {
			out = append(out, null)
			continue
		}
		at := &c.dictCodes[run.Index[i]]
		if *at == 0 {
			*at = c.code(d, &run.Dict.Values, int(run.Index[i]), null)
		}
		out = append(out, *at)
	}
	return out
}

// code interns a value. Sorted and clustered columns repeat it, so the last one
// is remembered.
func (c *column) code(d *datasets.Dict, v *pages.Values, i int, null uint32) uint32 {
	last := c.lastCode
	switch {
	case c.isText() || c.typ.kind == KindFixed && c.field == datasets.CustomerID:
		b := v.Bytes(i)
		if len(b) == 0 && c.field == datasets.Currency {
			return null
		}
		if c.lastCode == 0 || !bytes.Equal(b, c.lastText) {
			c.lastCode = d.Code(b)
			c.lastText = append(c.lastText[:0], b...)
		}
	case v.Ints != nil:
		n := v.Ints[i]
		if c.lastCode == 0 || n != c.lastInt {
			c.lastCode = d.Code(c.form(v, i))
			c.lastInt = n
		}
	default:
		c.lastCode = d.Code(c.form(v, i))
	}
	if c.field == datasets.EventType && c.lastCode != last {
		for len(c.roleOf) <= int(c.lastCode) {
			c.roleOf = append(c.roleOf, datasets.Other)
		}
		if role, ok := c.roles[string(c.text(nil, v, i))]; ok {
			c.roleOf[c.lastCode] = role
		}
	}
	return c.lastCode
}

// form is the dictionary form of an id or the text of any other value.
func (c *column) form(v *pages.Values, i int) []byte {
	if c.field == datasets.CustomerID {
		n, _ := c.id(v, i)
		c.scratch = datasets.AppendIntID(c.scratch[:0], n)
	} else {
		c.scratch = c.text(c.scratch[:0], v, i)
	}
	return c.scratch
}

// text appends a value as DuckDB's CAST(x AS VARCHAR) spells it; times that are
// numbers stay numbers.
func (c *column) text(dst []byte, v *pages.Values, i int) []byte {
	switch c.typ.kind {
	case KindBool:
		return strconv.AppendBool(dst, v.Ints[i] != 0)
	case KindInt32, KindInt64:
		n, ok := c.integer(v.Ints[i])
		if !ok {
			return strconv.AppendUint(dst, uint64(n), 10)
		}
		return strconv.AppendInt(dst, n, 10)
	case KindFloat:
		return lexical.AppendFloat(dst, v.Floats[i], c.typ.bits)
	case KindDecimal:
		if v.Ints != nil {
			return lexical.AppendDecimal(dst, v.Ints[i], c.typ.scale)
		}
		return lexical.AppendDecimalBytes(dst, v.Bytes(i), c.typ.scale)
	case KindFixed:
		if c.typ.uuid {
			return lexical.AppendUUID(dst, v.Bytes(i))
		}
		for _, b := range v.Bytes(i) {
			dst = append(dst, hexDigits[b>>4], hexDigits[b&15])
		}
		return dst
	case KindDate:
		if us, ok := scaled(v.Ints[i], 86_400_000_000, 1); ok && lexical.InRange(us) {
			return lexical.AppendTime(dst, us)[:len(dst)+len("2006-01-02")]
		}
		return strconv.AppendInt(dst, v.Ints[i], 10)
	case KindTimestamp:
		if c.typ.int96 {
			if us := int96Time(v.Bytes(i)); us > lastBadTime {
				return lexical.AppendTime(dst, us)
			}
			return dst
		}
		us := epoch(v.Ints[i], c.typ.unit)
		if us <= lastBadTime {
			return strconv.AppendInt(dst, v.Ints[i], 10)
		}
		dst = lexical.AppendTime(dst, us)
		if !c.typ.utc {
			dst = dst[:len(dst)-1] // no Z
		}
		return dst
	case KindTime, KindOther:
		if v.Ints != nil {
			return strconv.AppendInt(dst, v.Ints[i], 10)
		}
	}
	return append(dst, v.Bytes(i)...)
}

const hexDigits = "0123456789abcdef"
