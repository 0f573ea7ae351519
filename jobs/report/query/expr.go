package query

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An Expr is a column of a query or a part of one: what it is in SQL, and how it is
// computed here. The tests run the one in DuckDB and compare with the other.
type Expr struct {
	sql     string
	columns []string // that it reads
	// bind prepares the expression for rows whose columns are where at says.
	bind func(at func(string) int) func(row []Value) Value
	// total, where not nil, makes what adds up the expression over a group.
	total func() total
}

// A total takes the values of a group's rows and gives the sum of them.
type total interface {
	add(v Value)
	value() Value
}

// Quote is a name in SQL.
func Quote(name string) string {
	if plain(name) {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

func plain(name string) bool {
	for i, r := range name {
		if r != '_' && (r < 'a' || r > 'z') && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	// Names of published columns that DuckDB has other uses for.
	return name != "" && !slices.Contains([]string{"column", "value", "from", "to", "order", "group", "rows", "table"}, name)
}

// Literal is text in SQL.
func Literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// Col is a column.
func Col(name string) Expr {
	return Expr{sql: Quote(name), columns: []string{name}, bind: func(at func(string) int) func([]Value) Value {
		i := at(name)
		return func(row []Value) Value { return row[i] }
	}}
}

func constant(sql string, v Value) Expr {
	return Expr{sql: sql, bind: func(func(string) int) func([]Value) Value { return func([]Value) Value { return v } }}
}

// N is a number and S a text.
func N(f float64) Expr {
	sql := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(sql, ".") {
		return constant(sql, Num(f))
	}
	return constant(sql+"::DOUBLE", Num(f)) // otherwise a decimal
}
func S(s string) Expr { return constant(Literal(s), Str(s)) }

// Day is a calendar day.
func Day(t time.Time) Expr {
	return constant("DATE "+Literal(t.Format(time.DateOnly)), Value{Kind: Date, F: float64(t.Unix() / 86400)})
}

// combine makes an expression of others.
func combine(sql string, f func(vs []Value) Value, parts ...Expr) Expr {
	e := Expr{sql: sql}
	for _, p := range parts {
		e.columns = append(e.columns, p.columns...)
	}
	e.bind = func(at func(string) int) func([]Value) Value {
		var of []func([]Value) Value
		for _, p := range parts {
			of = append(of, p.bind(at))
		}
		vs := make([]Value, len(of))
		return func(row []Value) Value {
			for i, g := range of {
				vs[i] = g(row)
			}
			return f(vs)
		}
	}
	return e
}

func arithmetic(op string, f func(a, b float64) float64) func(a, b Expr) Expr {
	return func(a, b Expr) Expr {
		return combine("("+a.sql+" "+op+" "+b.sql+")", func(v []Value) Value {
			if v[0].IsNull() || v[1].IsNull() {
				return Value{}
			}
			return Num(f(v[0].F, v[1].F))
		}, a, b)
	}
}

// Arithmetic; the quotient by 0 is null.
var (
	Mul = arithmetic("*", func(a, b float64) float64 { return a * b })
	Add = arithmetic("+", func(a, b float64) float64 { return a + b })
	Sub = arithmetic("-", func(a, b float64) float64 { return a - b })
	Div = arithmetic("/", func(a, b float64) float64 {
		if b == 0 {
			return math.NaN()
		}
		return a / b
	})
)

// Floor rounds down.
func Floor(a Expr) Expr {
	return combine("floor("+a.sql+")", func(v []Value) Value {
		if v[0].IsNull() {
			return Value{}
		}
		return Num(math.Floor(v[0].F))
	}, a)
}

// Bin is the number of the equal part of [low, high) that a value lies in, of n; what
// lies outside is in the first or the last.
func Bin(a Expr, low, high float64, n int) Expr {
	width := (high - low) / float64(n)
	return combine(fmt.Sprintf("greatest(0, least(%d, floor((%s - %s) / %s)))", n-1, a.sql, N(low).sql, N(width).sql), func(v []Value) Value {
		if v[0].IsNull() {
			return Value{}
		}
		return Num(max(0, min(float64(n-1), math.Floor((v[0].F-low)/width))))
	}, a)
}

// Steps is the number of bounds that a value has reached.
func Steps(a Expr, bounds ...float64) Expr {
	var sql strings.Builder
	sql.WriteString("CASE WHEN " + a.sql + " IS NULL THEN NULL")
	for i, b := range bounds {
		fmt.Fprintf(&sql, " WHEN %s < %s THEN %d", a.sql, N(b).sql, i)
	}
	fmt.Fprintf(&sql, " ELSE %d END", len(bounds))
	return combine(sql.String(), func(v []Value) Value {
		if v[0].IsNull() {
			return Value{}
		}
		for i, b := range bounds {
			if v[0].F < b {
				return Num(float64(i))
			}
		}
		return Num(float64(len(bounds)))
	}, a)
}

// Coalesce takes the first that is not null.
func Coalesce(a, b Expr) Expr {
	return combine("coalesce("+a.sql+", "+b.sql+")", func(v []Value) Value {
		if v[0].IsNull() {
			return v[1]
		}
		return v[0]
	}, a, b)
}

func comparison(op string, holds func(c int) bool) func(a, b Expr) Expr {
	return func(a, b Expr) Expr {
		return combine(a.sql+" "+op+" "+b.sql, func(v []Value) Value {
			if v[0].IsNull() || v[1].IsNull() {
				return Value{}
			}
			return boolean(holds(compare(v[0], v[1])))
		}, a, b)
	}
}

// Comparisons; with null they are not true.
var (
	Eq = comparison("=", func(c int) bool { return c == 0 })
	Ne = comparison("<>", func(c int) bool { return c != 0 })
	Gt = comparison(">", func(c int) bool { return c > 0 })
	Ge = comparison(">=", func(c int) bool { return c >= 0 })
	Le = comparison("<=", func(c int) bool { return c <= 0 })
	Lt = comparison("<", func(c int) bool { return c < 0 })
)

// Is, NotNull, IsNull, True, In and Like are conditions on a column.
func Is(column, value string) Expr { return Eq(Col(column), S(value)) }

// NotNull holds where there is a value.
func NotNull(a Expr) Expr {
	return combine(a.sql+" IS NOT NULL", func(v []Value) Value { return boolean(!v[0].IsNull()) }, a)
}

// IsNull holds where there is none.
func IsNull(a Expr) Expr {
	return combine(a.sql+" IS NULL", func(v []Value) Value { return boolean(v[0].IsNull()) }, a)
}

// True is a boolean column.
func True(column string) Expr { return Col(column) }

// In holds for some texts.
func In(a Expr, texts ...string) Expr {
	var quoted []string
	for _, s := range texts {
		quoted = append(quoted, Literal(s))
	}
	return combine(a.sql+" IN ("+strings.Join(quoted, ", ")+")", func(v []Value) Value {
		if v[0].IsNull() {
			return Value{}
		}
		return boolean(slices.Contains(texts, v[0].S))
	}, a)
}

// HasPrefix holds for texts that begin so.
func HasPrefix(a Expr, prefix string) Expr {
	return combine("starts_with("+a.sql+", "+Literal(prefix)+")", func(v []Value) Value {
		if v[0].IsNull() {
			return Value{}
		}
		return boolean(strings.HasPrefix(v[0].S, prefix))
	}, a)
}

// All holds where all of them do.
func All(conditions ...Expr) Expr {
	var sql []string
	for _, c := range conditions {
		sql = append(sql, "("+c.sql+")")
	}
	return combine(strings.Join(sql, " AND "), func(v []Value) Value {
		for _, x := range v {
			if !x.True() {
				return boolean(false)
			}
		}
		return boolean(true)
	}, conditions...)
}

// If is a where a condition holds, null elsewhere.
func If(condition, a Expr) Expr {
	return combine("CASE WHEN "+condition.sql+" THEN "+a.sql+" END", func(v []Value) Value {
		if v[0].True() {
			return v[1]
		}
		return Value{}
	}, condition, a)
}

func totalOf(sql string, a Expr, t func() total) Expr {
	a.sql, a.total = sql, t
	return a
}

// Count counts rows.
func Count() Expr { return totalOf("count(*)", N(1), func() total { return &counter{} }) }

// CountOf counts the rows where there is a value, CountIf those where a condition holds.
func CountOf(a Expr) Expr {
	return totalOf("count("+a.sql+")", a, func() total { return &counter{} })
}
func CountIf(c Expr) Expr {
	return totalOf("count(*) FILTER ("+c.sql+")", If(c, N(1)), func() total { return &counter{} })
}

type counter struct{ n float64 }

func (c *counter) add(v Value) {
	if !v.IsNull() {
		c.n++
	}
}
func (c *counter) value() Value { return Num(c.n) }

// Sum, Mean, Least and Most are over the values there are; of none they are null.
func Sum(a Expr) Expr  { return totalOf("sum("+a.sql+")", a, func() total { return &mean{sum: true} }) }
func Mean(a Expr) Expr { return totalOf("avg("+a.sql+")", a, func() total { return &mean{} }) }

type mean struct {
	n, s, lost float64 // what rounding lost (Neumaier)
	sum        bool
}

func (m *mean) add(v Value) {
	if v.IsNull() {
		return
	}
	m.n++
	t := m.s + v.F
	if math.Abs(m.s) >= math.Abs(v.F) {
		m.lost += (m.s - t) + v.F
	} else {
		m.lost += (v.F - t) + m.s
	}
	m.s = t
}

func (m *mean) value() Value {
	switch {
	case m.n == 0:
		return Value{}
	case m.sum:
		return Num(m.s + m.lost)
	}
	return Num((m.s + m.lost) / m.n)
}

// Least is the smallest value, Most the largest.
func Least(a Expr) Expr {
	return totalOf("min("+a.sql+")", a, func() total { return &extreme{sign: 1} })
}
func Most(a Expr) Expr {
	return totalOf("max("+a.sql+")", a, func() total { return &extreme{sign: -1} })
}

type extreme struct {
	v    Value
	sign int
}

func (e *extreme) add(v Value) {
	if !v.IsNull() && (e.v.IsNull() || e.sign*compare(v, e.v) < 0) {
		e.v = v
	}
}
func (e *extreme) value() Value { return e.v }

// Quantile interpolates between the sorted values.
func Quantile(a Expr, q float64) Expr {
	of := a.sql
	return totalOf(fmt.Sprintf("quantile_cont(%s, %s)", of, strconv.FormatFloat(q, 'f', -1, 64)), a, func() total { return &quantile{q: q, of: of, sample: &sample{}} })
}

// A quantile is of a sample that a group has once, however many of its quantiles are asked.
type quantile struct {
	q  float64
	of string // the expression
	*sample
}

type sample struct{ vs []float64 }

func (s *sample) add(v Value) {
	if !v.IsNull() {
		s.vs = append(s.vs, v.F)
	}
}

func (q *quantile) value() Value {
	if len(q.vs) == 0 {
		return Value{}
	}
	h := q.q * float64(len(q.vs)-1)
	i := int(h)
	partition(q.vs, i)
	if i+1 == len(q.vs) {
		return Num(q.vs[i])
	}
	return Num(q.vs[i] + float64((h-float64(i))*(slices.Min(q.vs[i+1:])-q.vs[i])))
}

// partition puts the value of rank k at place k, no greater ones before it and no
// less ones behind it (Hoare's Find): a median of a million values needs no order.
func partition(vs []float64, k int) {
	for low, high := 0, len(vs)-1; low < high; {
		// The middle of three keeps values that are in order already from being the worst case.
		pivot := max(min(vs[low], vs[high]), min(max(vs[low], vs[high]), vs[low+(high-low)/2]))
		i, j := low, high
		for i <= j {
			for vs[i] < pivot {
				i++
			}
			for pivot < vs[j] {
				j--
			}
			if i <= j {
				vs[i], vs[j] = vs[j], vs[i]
				i++
				j--
			}
		}
		switch {
		case k <= j:
			high = j
		case k >= i:
			low = i
		default:
			return
		}
	}
}

// Trailing is the whole number that a text ends with.
func Trailing(a Expr) Expr {
	return combine("try_cast(regexp_extract("+a.sql+", '[0-9]+$') AS INTEGER)", func(v []Value) Value {
		s := v[0].S
		n, err := strconv.Atoi(s[len(strings.TrimRight(s, "0123456789")):])
		if v[0].IsNull() || err != nil {
			return Value{}
		}
		return Num(float64(n))
	}, a)
}

// Or holds where either does.
func (e Expr) Or(o Expr) Expr {
	return combine("("+e.sql+" OR "+o.sql+")", func(v []Value) Value { return boolean(v[0].True() || v[1].True()) }, e, o)
}

// Lists holds for lists of names, with commas between, that have a name.
func Lists(a Expr, name string) Expr {
	return combine("list_contains(string_split("+a.sql+", ','), "+Literal(name)+")", func(v []Value) Value {
		if v[0].IsNull() {
			return Value{}
		}
		return boolean(slices.Contains(strings.Split(v[0].S, ","), name))
	}, a)
}

// HasSuffix holds for texts that end so.
func HasSuffix(a Expr, suffix string) Expr {
	return combine("ends_with("+a.sql+", "+Literal(suffix)+")", func(v []Value) Value {
		if v[0].IsNull() {
			return Value{}
		}
		return boolean(strings.HasSuffix(v[0].S, suffix))
	}, a)
}

// Digits is the first whole number in a text.
func Digits(a Expr) Expr {
	return combine("try_cast(regexp_extract("+a.sql+", '[0-9]+') AS INTEGER)", func(v []Value) Value {
		s := v[0].S
		i := strings.IndexAny(s, "0123456789")
		if v[0].IsNull() || i < 0 {
			return Value{}
		}
		end := i
		for end < len(s) && s[end] >= '0' && s[end] <= '9' {
			end++
		}
		n, err := strconv.Atoi(s[i:end])
		if err != nil {
			return Value{}
		}
		return Num(float64(n))
	}, a)
}

// OneIf is 1 where a condition holds and 0 elsewhere.
func OneIf(c Expr) Expr {
	return combine("CASE WHEN "+c.sql+" THEN 1 ELSE 0 END", func(v []Value) Value {
		if v[0].True() {
			return Num(1)
		}
		return Num(0)
	}, c)
}
