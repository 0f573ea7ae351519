package explain

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/shoal-data/shoal/datasets"
)

// A condition says whether an event, of an age in days, is one that an aggregate
// of a column takes in.
type condition func(e *event, age int32) bool

// conditions reads a column's SQL as far as it is plain: each aggregate over
// fields of events, under a FILTER made of comparisons of roles, days and
// texts. It returns one condition an aggregate; ok is false for SQL that says more
// than that, as what a window function found.
func conditions(sql string) (cs []condition, ok bool) {
	for rest := sql; ; {
		m := aggregate.FindStringSubmatchIndex(rest)
		if m == nil {
			return cs, len(cs) > 0
		}
		argument, after, closed := parenthesised(rest[m[1]-1:])
		if !closed {
			return nil, false
		}
		c, known := taking(argument)
		if !known {
			return nil, false
		}
		rest = after
		if filter := strings.TrimLeft(after, " \n"); strings.HasPrefix(filter, filterWord) {
			where, after, closed := parenthesised(filter[len(filterWord)-1:])
			if !closed {
				return nil, false
			}
			rest = after
			atoms := []condition{c}
			for _, atom := range conjuncts(strings.TrimPrefix(where, "WHERE ")) {
				a, known := comparison(atom)
				if !known {
					return nil, false
				}
				atoms = append(atoms, a)
			}
			c = func(e *event, age int32) bool {
				for _, a := range atoms {
					if !a(e, age) {
						return false
					}
				}
				return true
			}
		}
		cs = append(cs, c)
	}
}

const filterWord = "FILTER ("

// rowsAreEvents says whether a family's relation has a row for each event, so
// that conditions on its rows are conditions on events.
func rowsAreEvents(from string) bool {
	for _, not := range []string{"GROUP BY", "JOIN", "history WHERE", "UNION"} {
		if strings.Contains(from, not) {
			return false
		}
	}
	return true
}

var aggregate = regexp.MustCompile(`\b(?:count|sum|min|max|avg|entropy|stddev_samp|arg_min|arg_max)\(`)

// parenthesised cuts the text within the parenthesis that s begins with from
// what follows. Quoted texts may hold parentheses.
func parenthesised(s string) (within, after string, closed bool) {
	depth, quoted := 0, false
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\'':
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth == 0 {
				return s[1:i], s[i+1:], true
			}
		}
	}
	return "", "", false
}

// conjuncts cuts a condition at the ANDs that are in no parenthesis.
func conjuncts(s string) []string {
	var parts []string
	depth, quoted, from := 0, false, 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\'':
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			depth--
		case depth == 0 && strings.HasPrefix(s[i:], " AND "):
			parts = append(parts, s[from:i])
			from = i + len(" AND ")
		}
	}
	return append(parts, s[from:])
}

// texts are the fields of an event that SQL names and compares as text.
var texts = map[string]func(e *event) string{
	"role":        func(e *event) string { return e.role.String() },
	"event_type":  func(e *event) string { return e.typ },
	"product_id":  func(e *event) string { return e.product },
	"category":    func(e *event) string { return e.category },
	"channel":     func(e *event) string { return e.channel },
	"campaign_id": func(e *event) string { return e.campaign },
}

var amounts = map[string]func(e *event) datasets.Money{
	"amount":   func(e *event) datasets.Money { return e.amount },
	"quantity": func(e *event) datasets.Money { return e.quantity },
	"rating":   func(e *event) datasets.Money { return e.rating },
}

// present is the condition that a field of an event is not null.
func present(field string) (condition, bool) {
	if text := texts[field]; text != nil {
		return func(e *event, _ int32) bool { return text(e) != "" }, true
	}
	if amount := amounts[field]; amount != nil {
		return func(e *event, _ int32) bool { return amount(e) != datasets.NullMoney }, true
	}
	switch field {
	case "session_id":
		return func(e *event, _ int32) bool { return e.session != 0 }, true
	case "*", "day", "event_time":
		return func(*event, int32) bool { return true }, true
	}
	return nil, false
}

// taking is the condition that an aggregate's argument is not null: of null it
// takes no notice.
func taking(argument string) (condition, bool) {
	argument = strings.TrimPrefix(argument, "DISTINCT ")
	if within, after, closed := parenthesised(strings.TrimPrefix(argument, "abs")); closed && after == "" {
		argument = within
	}
	return present(argument)
}

var (
	recent   = regexp.MustCompile(`^day (>|<=) \$today - (\d+)$`)
	equals   = regexp.MustCompile(`^(lower\()?(\w+)\)? (=|<>) '((?:[^']|'')*)'$`)
	among    = regexp.MustCompile(`^(\w+) IN \(('(?:[^']|'')*'(?:, '(?:[^']|'')*')*)\)$`)
	quoted   = regexp.MustCompile(`'((?:[^']|'')*)'`)
	nonnull  = regexp.MustCompile(`^(\w+) IS NOT NULL$`)
	unquoted = strings.NewReplacer("''", "'")
)

// comparison is a condition that stands alone. A null makes every comparison false.
func comparison(atom string) (condition, bool) {
	if m := recent.FindStringSubmatch(atom); m != nil {
		n, err := strconv.ParseInt(m[2], 10, 32)
		if err != nil {
			return nil, false
		}
		within := m[1] == ">"
		return func(_ *event, age int32) bool { return (int64(age) < n) == within }, true
	}
	if m := equals.FindStringSubmatch(atom); m != nil {
		text := texts[m[2]]
		if text == nil {
			return nil, false
		}
		want, same, lower := unquoted.Replace(m[4]), m[3] == "=", m[1] != ""
		return func(e *event, _ int32) bool {
			got := text(e)
			if lower {
				got = strings.ToLower(got)
			}
			return got != "" && (got == want) == same
		}, true
	}
	if m := among.FindStringSubmatch(atom); m != nil {
		text := texts[m[1]]
		if text == nil {
			return nil, false
		}
		set := map[string]bool{}
		for _, q := range quoted.FindAllStringSubmatch(m[2], -1) {
			set[unquoted.Replace(q[1])] = true
		}
		return func(e *event, _ int32) bool { return set[text(e)] }, true
	}
	if m := nonnull.FindStringSubmatch(atom); m != nil {
		return present(m[1])
	}
	return nil, false
}
