package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// Fault is one thing wrong with a configuration.
type Fault struct {
	File         string // as given to Parse; "" when the Config was made in Go
	Line, Column int    // 1-based; 0 when unknown
	Path         string // key path, such as sources[0].columns.customer_id; "" for the whole file
	Value        string // the value refused; "" when there is none
	Message      string // what is wrong and what to do
}

// String is file:line:column: path (value) message.
func (f Fault) String() string {
	var b strings.Builder
	if f.File != "" {
		b.WriteString(f.File)
		if f.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
		}
		b.WriteString(": ")
	}
	switch {
	case f.Path == "":
	case f.Value != "":
		fmt.Fprintf(&b, "%s (%s) ", f.Path, f.Value)
	default:
		b.WriteString(f.Path + ": ")
	}
	b.WriteString(f.Message)
	return b.String()
}

// Error is every fault of a configuration, in file order.
type Error struct{ Faults []Fault }

func (e *Error) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = "config: " + f.String()
	}
	return strings.Join(lines, "\n")
}

// oneOf describes the accepted names and, when one is near, suggests it.
func oneOf(got string, known []string) string {
	if near, ok := nearest(got, known); ok {
		return fmt.Sprintf("did you mean %q? (known: %s)", near, strings.Join(known, ", "))
	}
	return "known: " + strings.Join(known, ", ")
}

// nearest finds the known name with the smallest edit distance, if that is at
// most a third of the longer name (or 2).
func nearest(got string, known []string) (string, bool) {
	best, at := 1<<30, ""
	for _, k := range known {
		d := levenshtein.ComputeDistance(strings.ToLower(got), k)
		if d < best {
			best, at = d, k
		}
	}
	return at, best <= max(2, max(len(got), len(at))/3)
}

// sortFaults orders faults by position in the file; those without one last,
// in the order found.
func sortFaults(fs []Fault) {
	key := func(f Fault) int {
		if f.Line == 0 {
			return 1 << 30
		}
		return f.Line
	}
	slices.SortStableFunc(fs, func(a, b Fault) int {
		if c := key(a) - key(b); c != 0 {
			return c
		}
		return a.Column - b.Column
	})
}
