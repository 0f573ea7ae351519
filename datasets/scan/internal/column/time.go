package column

import (
	"math"

	"github.com/shoal-data/shoal/datasets/scan/internal/encoding"
	"github.com/shoal-data/shoal/datasets/scan/internal/lexical"
)

// Times that are none. BadTime is the greatest of them, and all above are times.
const (
	nullTime       int64 = math.MinInt64
	unparsableTime int64 = math.MinInt64 + 1
	rangeTime      int64 = math.MinInt64 + 2
	BadTime              = rangeTime
)

// timeOf is the value that stands for a problem.
func timeOf(p lexical.Problem) int64 {
	switch p {
	case lexical.Null, lexical.Empty:
		return nullTime
	case lexical.OutOfRange:
		return rangeTime
	}
	return unparsableTime
}

// TimeProblem says why a time, which is at most BadTime, is none.
func TimeProblem(t int64) lexical.Problem {
	switch t {
	case nullTime:
		return lexical.Null
	case rangeTime:
		return lexical.OutOfRange
	}
	return lexical.Unparsable
}

// checked is the instant, unless it is out of range.
func checked(us int64) int64 {
	if !lexical.InRange(us) {
		return rangeTime
	}
	return us
}

// instant is the instant of a clock reading.
func (c *Reader) instant(us int64) int64 {
	if !lexical.InRange(us) {
		return rangeTime
	}
	return checked(c.zone.Instant(us))
}

// Times converts the run, row by row, into dst.
func (c *Reader) Times(dst []int64) {
	run := c.Run
	if run.Dict != nil {
		if c.dictionaryChanged() || len(c.dictTimes) != run.Dict.Len {
			c.dictTimes = resized(c.dictTimes, run.Dict.Len)
			for i := range c.dictTimes {
				c.dictTimes[i] = c.time(&run.Dict.Values, i)
			}
		}
		for i := range dst {
			if c.Null(i) {
				dst[i] = nullTime
			} else {
				dst[i] = c.dictTimes[run.Index[i]]
			}
		}
		return
	}
	if c.Type.Kind == KindTimestamp && c.Type.UTC && c.Type.Unit == UnitMicro {
		for i, v := range run.Ints {
			dst[i] = checked(v)
		}
	} else {
		for i := range dst {
			if !c.Null(i) {
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

func (c *Reader) time(v *encoding.Values, i int) int64 {
	switch c.Type.Kind {
	case KindTimestamp:
		if c.Type.INT96 {
			return INT96Time(v.Bytes(i))
		}
		us := fromEpoch(v.Ints[i], c.Type.Unit)
		if us != rangeTime && !c.Type.UTC {
			return c.instant(us)
		}
		return us
	case KindDate:
		us, ok := floorMulDiv(v.Ints[i], 86_400_000_000, 1)
		if !ok {
			return rangeTime
		}
		return c.instant(us)
	case KindInt32, KindInt64:
		n, ok := c.Integer(v.Ints[i])
		if !ok {
			return rangeTime
		}
		return c.numericTime(n)
	}
	b := v.Bytes(i)
	if c.unit != UnitAuto && c.unit != UnitYYYYMMDD {
		if n, ok := lexical.Int(b); ok {
			return c.numericTime(n)
		}
	}
	us, zoned, p := lexical.Time(b)
	switch {
	case p != lexical.OK:
		return timeOf(p)
	case zoned:
		return us
	}
	return c.instant(us)
}

// numericTime is the instant that an integer stands for.
func (c *Reader) numericTime(n int64) int64 {
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
			return timeOf(p)
		}
		return c.instant(us)
	}
	return fromEpoch(n, unit)
}

// fromEpoch is n units since 1970 UTC, rounded down to µs.
func fromEpoch(n int64, unit Unit) int64 {
	mul, div := int64(1), int64(1)
	switch unit {
	case UnitSecond:
		mul = 1_000_000
	case UnitMilli:
		mul = 1000
	case UnitNano:
		div = 1000
	}
	us, ok := floorMulDiv(n, mul, div)
	if !ok {
		return rangeTime
	}
	return checked(us)
}

// INT96Time is the instant, in µs or at most BadTime, of an INT96: nanoseconds of
// the day and a Julian day number.
// Source: https://github.com/apache/parquet-format/pull/49 (2440588 is 1970-01-01).
func INT96Time(b []byte) int64 {
	var nanos, day uint64
	for i := 7; i >= 0; i-- {
		nanos = nanos<<8 | uint64(b[i])
	}
	for i := 11; i >= 8; i-- {
		day = day<<8 | uint64(b[i])
	}
	us, _ := floorMulDiv(int64(nanos), 1, 1000)
	days := (int64(int32(day)) - 2440588) * 86_400_000_000
	return checked(days + us)
}

// floorMulDiv is v·mul/div, rounded down; false when that is out of all range.
func floorMulDiv(v, mul, div int64) (int64, bool) {
	if mul > 1 && (v > math.MaxInt64/mul || v < math.MinInt64/mul) {
		return 0, false
	}
	v *= mul
	if div > 1 {
		q := v / div
		if v%div < 0 {
			q--
		}
		v = q
	}
	return v, true
}
