package column

import (
	"encoding/binary"
	"math"

	"github.com/parquet-go/parquet-go/format"

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
	if !r.known || before == math.MaxInt64 || t.Unsigned || r.min > r.max {
		return false
	}
	scale, slack := int64(1), int64(0)
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
		return false
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
		return false
	}
	lo, okLo := floorMulDiv(r.min, scale, div)
	hi, okHi := floorMulDiv(r.max, scale, div)
	return okLo && okHi && lexical.InRange(hi+slack) && lexical.InRange(lo-slack) && lo-slack >= before
}
