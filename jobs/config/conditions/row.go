package conditions

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/shoal-data/shoal/jobs/config/units"
)

// In is the kind of a condition that names several values.
const In = "in"

// A RowCondition asks something of one column of a row:
//
//	churn_band in very high, high
//	expected_value >= 50
//	segment_name = loyal, early buyers
//	next_purchase_date is known
//
// What a value is, a number, a date or a text, is for the column to say. A comparison
// with an unknown value is not met, whichever way it goes.
type RowCondition struct {
	Column string
	Kind   string
	Values []string // one, but of In
}

var rowForm = regexp.MustCompile(`^\s*([a-z_][a-z0-9_]*)\s*(?:(>=|<=|!=|>|<|=)\s*([^\s<>=](?:.*\S)?)|\s(in)\s+(.*\S)|\sis\s+(known|unknown))\s*$`)

// ParseRow reads a condition.
func ParseRow(text string) (RowCondition, error) {
	m := rowForm.FindStringSubmatch(text)
	switch {
	case m == nil:
		return RowCondition{}, fmt.Errorf("is no condition")
	case m[2] != "":
		return RowCondition{m[1], m[2], []string{m[3]}}, nil
	case m[4] == "":
		return RowCondition{m[1], "is " + m[6], nil}, nil
	}
	c := RowCondition{Column: m[1], Kind: In}
	for v := range strings.SplitSeq(m[5], ",") {
		if v = strings.TrimSpace(v); v == "" {
			return RowCondition{}, fmt.Errorf("names a value that is empty")
		}
		c.Values = append(c.Values, v)
	}
	return c, nil
}

// String is the condition as it is written.
func (c RowCondition) String() string {
	return strings.TrimSuffix(c.Column+" "+c.Kind+" "+strings.Join(c.Values, ", "), " ")
}

// RowText is a RowCondition as shoal.yaml has it.
type RowText string

// UnmarshalText refuses what is no condition, and keeps it as it is written by
// convention.
func (t *RowText) UnmarshalText(text []byte) error {
	c, err := ParseRow(string(text))
	*t = RowText(c.String())
	return err
}

// MarshalText writes what UnmarshalText reads.
func (t RowText) MarshalText() ([]byte, error) { return []byte(t), nil }

// Want is what the text may be.
func (t RowText) Want() string {
	return "a condition such as churn_band in very high, high, or expected_value >= 50"
}

// Number is false: no bounds apply.
func (t RowText) Number() (float64, bool) { return 0, false }

// Bare is false: conditions are texts.
func (t RowText) Bare() bool { return false }

// Noun is what messages call it.
func (t RowText) Noun() string { return "conditions" }

// Pattern matches the text in JSON Schema.
func (t RowText) Pattern() (string, float64) {
	return `^\s*[a-z_][a-z0-9_]*\s*((>=|<=|!=|>|<|=)\s*[^\s<>=].*|\sin\s+.*\S|\sis\s+(known|unknown))\s*$`, units.NoNumber
}
