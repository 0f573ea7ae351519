package column

import (
	"fmt"
	"strings"
)

// Kind says what a Parquet column holds, whatever its physical encoding.
type Kind uint8

// The kinds of column.
const (
	KindOther     Kind = iota // nothing an event can be read from: lists, maps, intervals, geometry …
	KindBool                  // BOOLEAN
	KindInt32                 // integers, signed or not, that fit 32 bits signed
	KindInt64                 // all other integers
	KindFloat                 // FLOAT, DOUBLE
	KindDecimal               // DECIMAL over INT32, INT64, FIXED or BYTE_ARRAY
	KindString                // UTF-8 text, enums, JSON, and partition keys in the path
	KindBytes                 // BYTE_ARRAY without annotation
	KindFixed                 // FIXED_LEN_BYTE_ARRAY, UUID
	KindTimestamp             // TIMESTAMP in ms, µs or ns, and INT96
	KindDate                  // DATE
	KindTime                  // time of day
)

var kindNames = [...]string{
	"other", "bool", "int32", "int64", "float", "decimal", "string", "bytes", "fixed", "timestamp", "date", "time",
}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// Unit is the unit of an integer time.
type Unit uint8

// The units. UnitAuto decides by size, value by value: 19000000 to 21009999 is
// yyyymmdd; below 1e11 away from zero is seconds (to the year 5138), below 1e14
// milliseconds (from 1973), below 1e17 microseconds, and nanoseconds beyond.
const (
	UnitAuto Unit = iota
	UnitSecond
	UnitMilli
	UnitMicro
	UnitNano
	UnitYYYYMMDD // in the time zone of the source
	NumUnits     // how many units there are
)

var unitNames = [NumUnits]string{"auto", "s", "ms", "us", "ns", "yyyymmdd"}

func (u Unit) String() string {
	if u < NumUnits {
		return unitNames[u]
	}
	return fmt.Sprintf("unit(%d)", uint8(u))
}

// ParseUnit reads a unit's name.
func ParseUnit(s string) (Unit, error) {
	for u, name := range unitNames {
		if s == name {
			return Unit(u), nil
		}
	}
	return 0, fmt.Errorf("unknown time unit %q (units are %s)", s, strings.Join(unitNames[:], ", "))
}
