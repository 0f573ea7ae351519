package report

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/shoal-data/shoal/jobs/report/query"
)

// A Column of a figure's table.
type Column struct {
	Name   string // in the query's result
	Label  string // for people, with the unit
	Format func(query.Value) string
}

// Kinds of columns.
func text(name, label string) Column    { return Column{name, label, asText} }
func whole(name, label string) Column   { return Column{name, label, asCount} }
func share(name, label string) Column   { return Column{name, label, asShare} }
func number(name, label string) Column  { return Column{name, label, asNumber} }
func decimal(name, label string) Column { return Column{name, label, asDecimal} }

const none = "–" // written where there is no value

func asText(v query.Value) string {
	if v.IsNull() {
		return none
	}
	if v.Kind == query.Number {
		return asNumber(v)
	}
	if v.Kind == query.Bool {
		if v.True() {
			return "yes"
		}
		return "no"
	}
	return v.String()
}

func asCount(v query.Value) string {
	if v.IsNull() {
		return none
	}
	return count(v.F)
}

func asShare(v query.Value) string {
	if v.IsNull() {
		return none
	}
	return percent(v.F)
}

func asNumber(v query.Value) string {
	if v.IsNull() {
		return none
	}
	return figures(v.F)
}

func asDecimal(v query.Value) string {
	if v.IsNull() {
		return none
	}
	return minus(strconv.FormatFloat(v.F, 'f', 3, 64))
}

func minus(s string) string {
	if strings.Trim(s, "-0.,%") == "" {
		s = strings.TrimPrefix(s, "-")
	}
	return strings.Replace(s, "-", "−", 1)
}

// count is a whole number with its thousands apart.
func count(f float64) string { return minus(thousands(strconv.FormatFloat(f, 'f', 0, 64))) }

func thousands(s string) string {
	whole, rest, point := strings.Cut(s, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if point {
		whole += "." + rest
	}
	return sign + whole
}

// percent is a share in hundredths; small ones keep a digit that tells.
func percent(f float64) string {
	switch p := 100 * f; {
	case p > 0 && p < .001:
		return "below 0.001%"
	case math.Abs(p-math.Round(p)) < 1e-9:
		return minus(thousands(strconv.FormatFloat(p, 'f', 0, 64)) + "%")
	case p < 0 && p > -.001:
		return "above −0.001%"
	case p != 0 && math.Abs(p) < .1:
		return minus(strconv.FormatFloat(p, 'g', 1, 64) + "%")
	case math.Abs(p) >= 99.95:
		return minus(thousands(strconv.FormatFloat(p, 'f', 0, 64)) + "%")
	default:
		return minus(strconv.FormatFloat(p, 'f', 1, 64) + "%")
	}
}

// figures writes a number with three or four figures that matter.
func figures(f float64) string {
	a := math.Abs(f)
	switch {
	case f == math.Trunc(f) && a < 1e15:
		return count(f)
	case a >= 1000:
		return count(f)
	case a >= 100:
		return minus(strings.TrimSuffix(strconv.FormatFloat(f, 'f', 1, 64), ".0"))
	case a >= 0.0095:
		return minus(strconv.FormatFloat(f, 'g', 3, 64))
	case a < 1e-6:
		if f < 0 {
			return "above −0.000001"
		}
		return "below 0.000001"
	default:
		return minus(strconv.FormatFloat(f, 'f', 1-int(math.Floor(math.Log10(a))), 64))
	}
}

// axis forms of the same, short.
func axisCount(f float64) string {
	switch a := math.Abs(f); {
	case a >= 1e9:
		return minus(thousands(strconv.FormatFloat(math.Round(f/1e6)/1e3, 'f', -1, 64))) + "bn"
	case a >= 1e6:
		return minus(strconv.FormatFloat(f/1e6, 'g', 4, 64)) + "m"
	case a >= 1e4:
		return minus(strconv.FormatFloat(f/1e3, 'g', 4, 64)) + "k"
	}
	return minus(thousands(strconv.FormatFloat(math.Round(f*1e9)/1e9, 'f', -1, 64)))
}

func axisShare(f float64) string {
	return minus(thousands(strconv.FormatFloat(math.Round(f*1e6)/1e4, 'f', -1, 64))) + "%"
}

func axisNumber(f float64) string { return axisCount(f) }

// plural adds an s.
func plural(n int, one string) string {
	if n == 1 {
		return one
	}
	return one + "s"
}

// single is a unit of one: of 1 there is no plural.
func single(unit string) string {
	if s, ok := strings.CutSuffix(unit, "ies"); ok {
		return s + "y"
	}
	return strings.TrimSuffix(unit, "s")
}

// sentence begins with a capital letter.
func sentence(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return strings.ToUpper(s[:n]) + s[n:]
}

// words is a name from the configuration or a table, for people.
func words(s string) string { return strings.ReplaceAll(s, "_", " ") }
