package query

import (
	"cmp"
	"math"
	"strconv"
	"time"
)

// Kind of a value.
type Kind uint8

// A value is null, a number, text, a boolean or a calendar day.
const (
	Null Kind = iota
	Number
	Text
	Bool
	Date
)

// A Value of a column or of a result.
type Value struct {
	Kind Kind
	F    float64 // a number, 0 or 1, days since 1970-01-01
	S    string
}

// Num is a number; what is not one is null.
func Num(f float64) Value {
	if math.IsNaN(f) {
		return Value{}
	}
	return Value{Kind: Number, F: f}
}

// Str is text.
func Str(s string) Value { return Value{Kind: Text, S: s} }

func boolean(b bool) Value {
	if b {
		return Value{Kind: Bool, F: 1}
	}
	return Value{Kind: Bool}
}

// IsNull says that there is no value.
func (v Value) IsNull() bool { return v.Kind == Null }

// Float is the number, NaN of anything else.
func (v Value) Float() float64 {
	if v.Kind == Number || v.Kind == Bool {
		return v.F
	}
	return math.NaN()
}

// True says that a condition holds; null is not true.
func (v Value) True() bool { return v.Kind == Bool && v.F == 1 }

// String is the value exactly: a number with every digit it takes.
func (v Value) String() string {
	switch v.Kind {
	case Number:
		return strconv.FormatFloat(v.F, 'g', -1, 64)
	case Text:
		return v.S
	case Bool:
		return strconv.FormatBool(v.F == 1)
	case Date:
		return time.Unix(int64(v.F)*86400, 0).UTC().Format(time.DateOnly)
	}
	return ""
}

// compare orders values of a kind; nulls come last, as in DuckDB.
func compare(a, b Value) int {
	switch {
	case a.Kind == Null || b.Kind == Null:
		return cmp.Compare(b2i(a.Kind == Null), b2i(b.Kind == Null))
	case a.Kind == Text && b.Kind == Text:
		return cmp.Compare(a.S, b.S)
	}
	return cmp.Compare(a.F, b.F)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
