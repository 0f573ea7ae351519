package column

import (
	"encoding/binary"
	"math"

	"github.com/parquet-go/parquet-go/format"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan/internal/footer"
	"github.com/shoal-data/shoal/datasets/scan/internal/lexical"
)

// A TimeRange is the range of a row group's raw times by its statistics.
type TimeRange struct {
	known    bool // and no time is null
	min, max int64
}

// Statistics is the range of an integer column by its footer.
func Statistics(m *footer.ColumnMetaData, required bool) TimeRange {
	s := &m.Statistics
	if s.NullCount.V != 0 || !s.NullCount.Valid && !required {
		return TimeRange{}
	}
	switch {
	case m.Type == format.Int64 && len(s.MinValue) == 8 && len(s.MaxValue) == 8:
		return TimeRange{true, int64(binary.LittleEndian.Uint64(s.MinValue)), int64(binary.LittleEndian.Uint64(s.MaxValue))}
	case m.Type == format.Int32 && len(s.MinValue) == 4 && len(s.MaxValue) == 4:
		return TimeRange{true, int64(int32(binary.LittleEndian.Uint32(s.MinValue))), int64(int32(binary.LittleEndian.Uint32(s.MaxValue)))}
	}
	return TimeRange{}
}

// AtOrAfter says whether all events of a row group are at or after before: certain,
// by statistics and without looking at rows.
func (r *TimeRange) AtOrAfter(t *Type, unit Unit, before int64) bool {
	if before == math.MaxInt64 {
		return false
	}
	lo, hi, slack, ok := r.Bounds(t, unit)
	return ok && lexical.InRange(hi+slack) && lo-slack >= before
}

// Bounds are the earliest and the latest time of a row group in µs, each within
// slack of the true instant: times that carry no offset are taken as UTC here.
func (r *TimeRange) Bounds(t *Type, unit Unit) (lo, hi, slack int64, ok bool) {
	if !r.known || t.Unsigned || r.min > r.max {
		return 0, 0, 0, false
	}
	scale := int64(1)
	switch {
	case t.Kind == KindTimestamp && !t.INT96:
		unit = t.Unit
		if !t.UTC {
			// No zone is further than a day from UTC.
			slack = 86_400_000_000
		}
	case t.Kind == KindDate:
		unit, slack, scale = UnitMicro, 86_400_000_000, 86_400_000_000
	case t.Kind == KindInt32 || t.Kind == KindInt64:
	default:
		return 0, 0, 0, false
	}
	div := int64(1)
	switch unit {
	case UnitSecond:
		scale = 1_000_000
	case UnitMilli:
		scale = 1000
	case UnitMicro:
	case UnitNano:
		div = 1000
	default:
		return 0, 0, 0, false
	}
	lo, okLo := floorMulDiv(r.min, scale, div)
	hi, okHi := floorMulDiv(r.max, scale, div)
	return lo, hi, slack, okLo && okHi && lexical.InRange(lo-slack) && lexical.InRange(hi)
}

// An IDRange bounds the customer ids of a row group, in dictionary form, by its
// statistics.
type IDRange struct {
	known    bool
	min, max string
}

// maxBound is the longest bound worth keeping for every row group of a lake.
const maxBound = 64

// IDStatistics are the bounds of a customer column by its footer. Null ids are
// nobody's and do not matter.
func IDStatistics(m *footer.ColumnMetaData, t *Type) IDRange {
	lo, hi := m.Statistics.MinValue, m.Statistics.MaxValue
	integer := func(b []byte) string {
		if m.Type == format.Int32 {
			return string(datasets.AppendIntID(nil, int64(int32(binary.LittleEndian.Uint32(b)))))
		}
		return string(datasets.AppendIntID(nil, int64(binary.LittleEndian.Uint64(b))))
	}
	width := 4
	if m.Type == format.Int64 {
		width = 8
	}
	var r IDRange
	switch {
	case (t.Kind == KindInt32 || t.Kind == KindInt64) && !t.Unsigned && len(lo) == width && len(hi) == width:
		r = IDRange{true, integer(lo), integer(hi)}
	case (t.Kind == KindString || t.Kind == KindBytes) && len(hi) > 0 && len(hi) <= maxBound:
		// The start of a text is a lower bound of it as well.
		r = IDRange{true, string(lo[:min(len(lo), maxBound)]), string(hi)}
	case t.Kind == KindFixed && len(lo) == t.Width && len(hi) == t.Width && t.Width <= maxBound:
		r = IDRange{true, string(lo), string(hi)}
	}
	r.known = r.known && r.min <= r.max
	return r
}

// Outside says whether no id of the row group lies in [lo, hi], bounds in
// dictionary form, of which an empty hi is none.
func (r *IDRange) Outside(lo, hi string) bool {
	return r.known && (r.max < lo || hi != "" && r.min > hi)
}
