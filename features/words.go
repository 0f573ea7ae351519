package features

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Saying puts a customer's own value of a column into words, such as "last
// purchase 41 days ago, usually every 12 days".
//
// It comes from the family's Words: {} is the value, [ … {column} … ] is said when
// that other column has a value, and what follows | is said when this one has
// none. A column without words of its own is said by its meaning: "distinct
// products purchased ever: 4".
type Saying struct {
	known, unknown string
	unit           string
	// Companion is the other column that is mentioned; "" for none.
	Companion     string
	aside         string // what is said of it
	companionUnit string
}

// Sayings are the sayings of all columns of the families, by name.
func Sayings(fs []Family) map[string]*Saying {
	units := map[string]string{}
	for _, f := range fs {
		for _, c := range f.Columns {
			units[c.Name] = c.Unit
		}
	}
	all := make(map[string]*Saying, len(units))
	for _, f := range fs {
		for _, c := range f.Columns {
			all[c.Name] = saying(c, f.Words[c.Name], units)
		}
	}
	return all
}

// saying reads the words of a column. A companion that is not computed is not
// mentioned.
func saying(c Column, words string, units map[string]string) *Saying {
	s := &Saying{unit: c.Unit}
	if words == "" {
		head := c.Meaning
		for _, end := range []string{": ", "; ", ". "} {
			head, _, _ = strings.Cut(head, end)
		}
		head = strings.TrimSuffix(head, ".")
		if first, n := utf8.DecodeRuneInString(head); n > 0 {
			head = string(unicode.ToLower(first)) + head[n:]
		}
		s.known, s.unknown = head+": {}", head+": none ("+c.Null+")"
		return s
	}
	s.known, s.unknown, _ = strings.Cut(words, "|")
	if s.unknown == "" {
		s.unknown = c.Null
	}
	if before, rest, ok := strings.Cut(s.known, "["); ok {
		inside, after, _ := strings.Cut(rest, "]")
		s.known = before + after
		begin, end := strings.Index(inside, "{"), strings.Index(inside, "}")
		name := inside[begin+1 : end]
		if unit, computed := units[name]; computed {
			s.known = before + "[]" + after
			s.Companion, s.companionUnit = name, unit
			s.aside = inside[:begin] + "{}" + inside[end+1:]
		}
	}
	return s
}

// Say says the value, NaN for none, and the companion's.
func (s *Saying) Say(value, companion float64) string {
	if math.IsNaN(value) {
		return s.unknown
	}
	text := strings.ReplaceAll(s.known, "{}", spoken(value, s.unit))
	aside := ""
	if s.Companion != "" && !math.IsNaN(companion) {
		aside = strings.ReplaceAll(s.aside, "{}", spoken(companion, s.companionUnit))
	}
	return strings.Replace(text, "[]", aside, 1)
}

// spoken is a value with as many digits as people say, and its unit where the
// words around it do not tell.
func spoken(v float64, unit string) string {
	digits := func(n int) string {
		text := strconv.FormatFloat(v, 'f', n, 64)
		if n > 0 {
			text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
		}
		if text == "-0" {
			return "0"
		}
		return text
	}
	switch unit {
	case "share":
		v *= 100
		if math.Abs(v) < 10 {
			return digits(1) + "%"
		}
		return digits(0) + "%"
	case "flag":
		if v == 0 {
			return "no"
		}
		return "yes"
	case "currency":
		if math.Abs(v) >= 1000 || v == math.Trunc(v) {
			return digits(0)
		}
		return strconv.FormatFloat(v, 'f', 2, 64)
	case "days", "weeks", "months", "hours", "minutes":
		text := digits(1)
		if math.Abs(v) >= 10 {
			text = digits(0)
		}
		if text == "1" {
			unit = strings.TrimSuffix(unit, "s")
		}
		return fmt.Sprintf("%s %s", text, unit)
	}
	if math.Abs(v) >= 100 {
		return digits(0)
	}
	return digits(2)
}
