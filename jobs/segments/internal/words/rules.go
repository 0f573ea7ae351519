package words

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/shoal-data/shoal/models/surrogate"
)

// Rule says a rule in plain words. missing says of which columns some customers
// have no value: only of these is it said where such customers belong.
func Rule(r surrogate.Rule, missing func(column string) bool) string {
	var alternatives []string
	for _, all := range r {
		var parts []string
		for i, c := range all {
			// Two comparisons of a column are a range, said where the first of them stands.
			at := func(above bool) int {
				return slices.IndexFunc(all, func(o surrogate.Condition) bool { return o.Column == c.Column && o.Above == above })
			}
			low, high := at(true), at(false)
			if low >= 0 && high >= 0 && i != min(low, high) {
				continue
			}
			p, _ := phraseOf(c.Column)
			text := ""
			switch {
			case low >= 0 && high >= 0:
				text = fmt.Sprintf("%s over %s and up to %s", p.noun, p.kind.threshold(all[low].At), p.kind.threshold(all[high].At))
			case c.Above:
				text = p.noun + " over " + p.kind.threshold(c.At)
			default:
				text = p.noun + " up to " + p.kind.threshold(c.At)
			}
			if c.Missing && missing(c.Column) {
				text += " or unknown"
			}
			parts = append(parts, text)
		}
		if parts == nil {
			parts = []string{"everybody"}
		}
		alternatives = append(alternatives, strings.Join(parts, ", "))
	}
	return strings.Join(alternatives, "; or ")
}

// SQL is a rule as a condition on the table of features.
func SQL(r surrogate.Rule) string {
	var alternatives []string
	for _, all := range r {
		parts := []string{}
		for _, c := range all {
			operator := "<="
			if c.Above {
				operator = ">"
			}
			text := fmt.Sprintf("%s %s %s", c.Column, operator, strconv.FormatFloat(c.At, 'f', -1, 64))
			if c.Missing {
				text = fmt.Sprintf("(%s OR %s IS NULL)", text, c.Column)
			}
			parts = append(parts, text)
		}
		if len(parts) == 0 {
			parts = append(parts, "true")
		}
		alternatives = append(alternatives, strings.Join(parts, " AND "))
	}
	if len(alternatives) == 1 {
		return alternatives[0]
	}
	for i, a := range alternatives {
		alternatives[i] = "(" + a + ")"
	}
	return strings.Join(alternatives, " OR ")
}
