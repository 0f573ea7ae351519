// Package conditions reads what a rule of a segmentation asks of a customer.
package conditions

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/shoal-data/shoal/jobs/config/units"
)

// Kinds of condition.
const (
	AtLeast = ">="
	Above   = ">"
	AtMost  = "<="
	Below   = "<"
	Equal   = "="
	Unequal = "!="
	Top     = "in top"
	Known   = "is known"
	Unknown = "is unknown"
)

// A Condition asks something of one feature:
//
//	days_since_last_purchase <= 60
//	net_spend_lifetime in top 5%
//	favourite_category_share is known
//
// A comparison with an unknown value is not met, whichever way it goes.
type Condition struct {
	Feature string
	Kind    string
	Value   float64 // what is compared with, or the share of customers at the top, in (0,1)
}

var form = regexp.MustCompile(`^\s*([a-z][a-z0-9_]*)\s*(?:(>=|<=|!=|>|<|=)\s*(\S+)|in\s+top\s+([0-9.]+)\s*%|is\s+(known|unknown))\s*$`)

// Parse reads a condition.
func Parse(text string) (Condition, error) {
	m := form.FindStringSubmatch(text)
	if m == nil {
		return Condition{}, fmt.Errorf("is no condition")
	}
	read := Condition{Feature: m[1]}
	number := func(s string) (v float64, err error) {
		if v, err = strconv.ParseFloat(s, 64); err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return 0, fmt.Errorf("%q is no number", s)
		}
		return v, nil
	}
	var err error
	switch {
	case m[2] != "":
		read.Kind = m[2]
		read.Value, err = number(m[3])
	case m[4] != "":
		read.Kind = Top
		read.Value, err = number(m[4])
		if err == nil && !(read.Value > 0 && read.Value < 100) {
			err = fmt.Errorf("the top must be above 0%% and below 100%%")
		}
		read.Value /= 100
	default:
		read.Kind = "is " + m[5]
	}
	if err != nil {
		return Condition{}, err
	}
	return read, nil
}

// String is the condition as it is written.
func (c Condition) String() string {
	switch c.Kind {
	case Top:
		return fmt.Sprintf("%s in top %s%%", c.Feature, strconv.FormatFloat(100*c.Value, 'g', 15, 64))
	case Known, Unknown:
		return c.Feature + " " + c.Kind
	}
	return strings.Join([]string{c.Feature, c.Kind, strconv.FormatFloat(c.Value, 'g', -1, 64)}, " ")
}

// Text is a condition as shoal.yaml has it.
type Text string

// UnmarshalText refuses what is no condition, and keeps it as it is written by
// convention.
func (t *Text) UnmarshalText(text []byte) error {
	c, err := Parse(string(text))
	*t = Text(c.String())
	return err
}

// MarshalText writes what UnmarshalText reads.
func (t Text) MarshalText() ([]byte, error) { return []byte(t), nil }

// Want is what the text may be.
func (t Text) Want() string {
	return "a condition such as days_since_last_purchase <= 60, net_spend_lifetime in top 5% or rating_mean is known"
}

// Number is false: no bounds apply.
func (t Text) Number() (float64, bool) { return 0, false }

// Bare is false: conditions are texts.
func (t Text) Bare() bool { return false }

// Noun is what messages call it.
func (t Text) Noun() string { return "conditions" }

// Pattern matches the text in JSON Schema.
func (t Text) Pattern() (string, float64) {
	return `^\s*[a-z][a-z0-9_]*\s*((>=|<=|!=|>|<|=)\s*\S+|in\s+top\s+[0-9.]+\s*%|is\s+(known|unknown))\s*$`, units.NoNumber
}

// Test is a condition ready to be asked of customers.
type Test func(v float64) bool

// Over readies the condition for customers with these values of the feature, NaN
// where unknown: of them, the top is taken. Customers who tie with the last of the
// top are in it only when all of them fit: the top never is more than asked for.
func (c Condition) Over(values []float64, sorted func([]float64) []float64) Test {
	v := c.Value
	switch c.Kind {
	case AtLeast:
		return func(x float64) bool { return x >= v }
	case Above:
		return func(x float64) bool { return x > v }
	case AtMost:
		return func(x float64) bool { return x <= v }
	case Below:
		return func(x float64) bool { return x < v }
	case Equal:
		return func(x float64) bool { return x == v }
	case Unequal:
		return func(x float64) bool { return x < v || x > v }
	case Known:
		return func(x float64) bool { return !math.IsNaN(x) }
	case Unknown:
		return math.IsNaN
	}
	positive := sorted(values)
	n := int(v * float64(len(positive)))
	if n == 0 {
		return func(float64) bool { return false }
	}
	// The first value that is not among the n highest bounds the top from below.
	bound := 0.0
	if n < len(positive) {
		bound = positive[len(positive)-n-1]
	}
	return func(x float64) bool { return x > bound && x > 0 }
}
