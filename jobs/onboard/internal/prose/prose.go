// Package prose writes figures and texts from the data for people.
package prose

import (
	"fmt"
	"strconv"
	"strings"
)

// Comment makes a text from the data safe to stand in a comment.
func Comment(s string) string {
	q := strconv.Quote(s)
	return strings.ReplaceAll(strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`), `\\`, `\`)
}

// Percent is a share in per cent.
func Percent(share float64) string {
	switch p := 100 * share; {
	case p == 0:
		return "0%"
	case p > 0 && p < 0.1:
		return "less than 0.1%"
	case p < 10:
		return fmt.Sprintf("%.1f%%", p)
	default:
		return fmt.Sprintf("%.0f%%", p)
	}
}

// Plural is a number of things.
func Plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return Thousands(int64(n)) + " " + what + "s"
}

// Thousands is an integer with its thousands parted by commas.
func Thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}
