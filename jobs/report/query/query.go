// Package query computes small results from published tables, and says the same in
// SQL: the report shows a number together with the query that gives it. It knows what
// the report asks, not SQL: filters, groups, totals and columns derived from the
// result. Tables are read as they stream; only groups are held.
package query

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// Tables are what queries read.
type Tables interface {
	// Columns are the names of a table's columns; ok is false when there is no such table.
	Columns(table string) (names []string, ok bool)
	// Scan gives the named columns of a table, piece by piece, in row order.
	Scan(ctx context.Context, table string, columns []string, piece func(rows int, columns []arrow.Array) error) error
}

// A Result has a row a group, or a row a row.
type Result struct {
	SQL     string
	Columns []string
	Rows    [][]Value
}

// At is the value of a column in row i; a name that is not there is a mistake of the
// program.
func (r *Result) At(i int, column string) Value {
	k := slices.Index(r.Columns, column)
	if k < 0 {
		panic("query: no column " + column + " in " + r.SQL)
	}
	return r.Rows[i][k]
}

// F is At as a number, T as text.
func (r *Result) F(i int, column string) float64 { return r.At(i, column).Float() }
func (r *Result) T(i int, column string) string  { return r.At(i, column).String() }

// Len is the number of rows.
func (r *Result) Len() int { return len(r.Rows) }

type item struct {
	name string
	Expr
}

type derived struct {
	name, sql string
	of        func(r *Result, i int) Value
}

// A Query is built up and then run.
type Query struct {
	from    []string
	where   []Expr
	items   []item
	derived []derived
	order   []string
	limit   int
	least   int // rows of a group
	whole   *whole
}

// From begins a query over a table, or over tables of a row a customer joined by
// customer_id.
func From(tables ...string) *Query { return &Query{from: tables} }

// Where keeps the rows where a condition holds.
func (q *Query) Where(conditions ...Expr) *Query {
	q.where = append(q.where, conditions...)
	return q
}

// Only is another query over the same rows, of which nothing is asked yet.
func (q *Query) Only() *Query {
	return &Query{from: slices.Clone(q.from), where: slices.Clone(q.where)}
}

// Get adds a column: a total over each group, or what makes the groups.
func (q *Query) Get(name string, e Expr) *Query {
	q.items = append(q.items, item{name, e})
	return q
}

// Columns adds columns as they are.
func (q *Query) Columns(names ...string) *Query {
	for _, n := range names {
		q.Get(n, Col(n))
	}
	return q
}

// Derive adds a column computed from the rows of the result; SQL is over its columns.
func (q *Query) Derive(name, sql string, of func(r *Result, i int) Value) *Query {
	q.derived = append(q.derived, derived{name, sql, of})
	return q
}

// Share is a column's share of the sum of it over all rows.
func (q *Query) Share(name, column string) *Query {
	return q.Derive(name, fmt.Sprintf("%s / sum(%s) OVER ()", Quote(column), Quote(column)), func(r *Result, i int) Value {
		sum := &mean{sum: true}
		for k := range r.Rows {
			sum.add(r.At(k, column))
		}
		return ratio(r.At(i, column), sum.value())
	})
}

// Ratio is one column over another.
func (q *Query) Ratio(name, above, below string) *Query {
	return q.Derive(name, fmt.Sprintf("%s / %s", Quote(above), Quote(below)), func(r *Result, i int) Value {
		return ratio(r.At(i, above), r.At(i, below))
	})
}

func ratio(a, b Value) Value {
	if a.IsNull() || b.IsNull() || b.F == 0 {
		return Value{}
	}
	return Num(a.F / b.F)
}

// Order sorts by columns; a name with " DESC" after it, backwards. Nulls come last.
func (q *Query) Order(by ...string) *Query {
	q.order = append(q.order, by...)
	return q
}

// Limit keeps the first rows.
func (q *Query) Limit(n int) *Query {
	q.limit = n
	return q
}

// AtLeast leaves out groups of fewer rows.
func (q *Query) AtLeast(n int) *Query {
	q.least = n
	return q
}

// SQL is the query in DuckDB's dialect.
func (q *Query) SQL() string {
	var b strings.Builder
	var columns, groups []string
	grouped := slices.ContainsFunc(q.items, func(i item) bool { return i.total != nil })
	for k, i := range q.items {
		sql := i.sql
		if sql != Quote(i.name) {
			sql += " AS " + Quote(i.name)
		}
		columns = append(columns, sql)
		if grouped && i.total == nil {
			groups = append(groups, fmt.Sprint(k+1))
		}
	}
	fmt.Fprintf(&b, "SELECT %s\nFROM %s", strings.Join(columns, ", "), q.from[0])
	for _, t := range q.from[1:] {
		fmt.Fprintf(&b, " JOIN %s USING (customer_id)", t)
	}
	for i, w := range q.where {
		word := "AND"
		if i == 0 {
			word = "WHERE"
		}
		fmt.Fprintf(&b, "\n%s %s", word, w.sql)
	}
	if len(groups) > 0 {
		fmt.Fprintf(&b, "\nGROUP BY %s", strings.Join(groups, ", "))
		if q.least > 1 {
			fmt.Fprintf(&b, "\nHAVING count(*) >= %d", q.least)
		}
	}
	text := b.String()
	if q.whole != nil {
		text = q.whole.sql(text)
	}
	if len(q.derived) > 0 {
		// One level a column: each may use those before it.
		for _, d := range q.derived {
			text = fmt.Sprintf("SELECT *, %s AS %s FROM (\n%s\n) AS q", d.sql, Quote(d.name), text)
		}
	}
	var by []string
	for _, o := range q.order {
		name, desc := strings.CutSuffix(o, " DESC")
		if desc {
			by = append(by, Quote(name)+" DESC NULLS LAST")
		} else {
			by = append(by, Quote(name)+" NULLS LAST")
		}
	}
	if len(by) > 0 {
		text += "\nORDER BY " + strings.Join(by, ", ")
	}
	if q.limit > 0 {
		text += fmt.Sprintf("\nLIMIT %d", q.limit)
	}
	return text
}

// AboutCustomers says that rows of the query's table are customers.
func (q *Query) AboutCustomers() bool {
	return slices.ContainsFunc(q.from, func(t string) bool { return t == "customer_scores" || t == "features" || t == "changes" })
}

// Missing says which table or column of the query there is not; empty when all are there.
func (q *Query) Missing(t Tables) string {
	var known []string
	for _, table := range q.from {
		columns, ok := t.Columns(table)
		if !ok {
			return "the run has no table " + table
		}
		known = append(known, columns...)
	}
	for _, c := range q.reads() {
		if !slices.Contains(known, c) {
			return fmt.Sprintf("the table %s has no column %s", strings.Join(q.from, " with "), c)
		}
	}
	return ""
}

// reads are the columns the query needs, each once.
func (q *Query) reads() []string {
	var all []string
	for _, e := range q.where {
		all = append(all, e.columns...)
	}
	for _, i := range q.items {
		all = append(all, i.columns...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Run computes the result.
func (q *Query) Run(ctx context.Context, t Tables) (*Result, error) {
	if why := q.Missing(t); why != "" {
		return nil, fmt.Errorf("query: %s: %s", why, q.SQL())
	}
	columns := q.reads()
	at := func(name string) int { return slices.Index(columns, name) }
	r := &Result{SQL: q.SQL()}
	var of, keep []func([]Value) Value
	grouped := false
	for _, i := range q.items {
		r.Columns = append(r.Columns, i.name)
		of = append(of, i.bind(at))
		grouped = grouped || i.total != nil
	}
	for _, w := range q.where {
		keep = append(keep, w.bind(at))
	}
	groups := map[string]*group{}
	var first []*group // in the order they were met
	var key []byte
	var vs []Value
	each := func(row []Value) {
		for _, k := range keep {
			if !k(row).True() {
				return
			}
		}
		if !grouped {
			out := make([]Value, len(of))
			for i, f := range of {
				out[i] = f(row)
			}
			r.Rows = append(r.Rows, out)
			return
		}
		key = key[:0]
		vs = vs[:0]
		for i, f := range of {
			if q.items[i].total == nil {
				v := f(row)
				vs = append(vs, v)
				key = append(key, byte(v.Kind))
				if v.Kind == Text {
					key = append(binary.LittleEndian.AppendUint64(key, uint64(len(v.S))), v.S...)
				} else {
					key = binary.LittleEndian.AppendUint64(key, math.Float64bits(v.F+0)) // −0 + 0 is +0
				}
			}
		}
		g := groups[string(key)]
		if g == nil {
			g = newGroup(q.items, slices.Clone(vs))
			groups[string(key)] = g
			first = append(first, g)
		}
		g.rows++
		for _, i := range g.takes {
			g.totals[i].add(of[i](row))
		}
	}
	if err := q.scan(ctx, t, columns, each); err != nil {
		return nil, err
	}
	if grouped && len(first) == 0 && !slices.ContainsFunc(q.items, func(i item) bool { return i.total == nil }) {
		first = append(first, newGroup(q.items, nil)) // totals over nothing are a row
	}
	for _, g := range first {
		if len(g.by) > 0 && g.rows < q.least {
			continue
		}
		r.Rows = append(r.Rows, g.row())
	}
	if q.whole != nil {
		q.whole.of(r)
	}
	for _, d := range q.derived {
		vs := make([]Value, len(r.Rows))
		for i := range r.Rows {
			vs[i] = d.of(r, i)
		}
		r.Columns = append(r.Columns, d.name)
		for i := range r.Rows {
			r.Rows[i] = append(r.Rows[i], vs[i])
		}
	}
	r.sort(q.order)
	if q.limit > 0 && len(r.Rows) > q.limit {
		r.Rows = r.Rows[:q.limit]
	}
	return r, nil
}

type group struct {
	by     []Value
	rows   int
	totals []total // nil where the column makes the groups
	takes  []int   // which of the totals are given values
}

func newGroup(items []item, by []Value) *group {
	g := &group{by: by, totals: make([]total, len(items))}
	samples := map[string]*sample{}
	for i, it := range items {
		if it.total == nil {
			continue
		}
		g.totals[i] = it.total()
		if q, ok := g.totals[i].(*quantile); ok {
			if s := samples[q.of]; s != nil {
				q.sample = s
				continue
			}
			samples[q.of] = q.sample
		}
		g.takes = append(g.takes, i)
	}
	return g
}

func (g *group) row() []Value {
	var out []Value
	k := 0
	for _, t := range g.totals {
		if t == nil {
			out = append(out, g.by[k])
			k++
		} else {
			out = append(out, t.value())
		}
	}
	return out
}

func (r *Result) sort(order []string) {
	if len(order) == 0 {
		return
	}
	type key struct {
		at   int
		desc bool
	}
	var keys []key
	for _, o := range order {
		name, desc := strings.CutSuffix(o, " DESC")
		keys = append(keys, key{slices.Index(r.Columns, name), desc})
	}
	slices.SortStableFunc(r.Rows, func(a, b []Value) int {
		for _, k := range keys {
			c := compare(a[k.at], b[k.at])
			if k.desc && !a[k.at].IsNull() && !b[k.at].IsNull() {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
}

// scan gives every row of the tables.
func (q *Query) scan(ctx context.Context, t Tables, columns []string, each func(row []Value)) error {
	row := make([]Value, len(columns))
	if len(q.from) == 1 {
		return t.Scan(ctx, q.from[0], columns, func(rows int, arrays []arrow.Array) error {
			var of []func(int) Value
			for _, a := range arrays {
				of = append(of, Reader(a))
			}
			for i := range rows {
				for k, f := range of {
					row[k] = f(i)
				}
				each(row)
			}
			return nil
		})
	}
	return q.join(ctx, t, columns, each)
}

// join reads tables of a row a customer beside each other. A run writes them in the same
// order; a row of another customer is a damaged table.
func (q *Query) join(ctx context.Context, t Tables, columns []string, each func(row []Value)) error {
	held := make([][]Value, len(columns))
	var ids []Value
	for n, table := range q.from {
		names, _ := t.Columns(table)
		var mine []string
		for k, c := range columns {
			if slices.Contains(names, c) && held[k] == nil {
				mine = append(mine, c)
			}
		}
		seen := 0
		err := t.Scan(ctx, table, append([]string{"customer_id"}, mine...), func(rows int, arrays []arrow.Array) error {
			id := Reader(arrays[0])
			for i := range rows {
				switch v := id(i); {
				case n == 0:
					ids = append(ids, v)
				case seen >= len(ids) || ids[seen] != v:
					return fmt.Errorf("query: row %d of %s is of another customer than that of %s", seen+1, table, q.from[0])
				}
				seen++
			}
			for j, c := range mine {
				k, f := slices.Index(columns, c), Reader(arrays[j+1])
				for i := range rows {
					held[k] = append(held[k], f(i))
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if seen != len(ids) {
			return fmt.Errorf("query: %s has %d rows, %s has %d", table, seen, q.from[0], len(ids))
		}
	}
	row := make([]Value, len(columns))
	for i := range ids {
		for k := range columns {
			row[k] = held[k][i]
		}
		each(row)
	}
	return nil
}

// Reader gives the values of an array.
func Reader(a arrow.Array) func(i int) Value {
	value := func(f func(i int) Value) func(int) Value {
		if a.NullN() == 0 {
			return f
		}
		return func(i int) Value {
			if a.IsNull(i) {
				return Value{}
			}
			return f(i)
		}
	}
	switch a := a.(type) {
	case *array.Float64:
		return value(func(i int) Value { return Num(a.Value(i)) })
	case *array.Int64:
		return value(func(i int) Value { return Num(float64(a.Value(i))) })
	case *array.Int32:
		return value(func(i int) Value { return Num(float64(a.Value(i))) })
	case *array.Boolean:
		return value(func(i int) Value { return boolean(a.Value(i)) })
	case *array.String:
		return value(func(i int) Value { return Str(a.Value(i)) })
	case *array.Date32:
		return value(func(i int) Value { return Value{Kind: Date, F: float64(a.Value(i))} })
	case *array.Decimal128: // of four places, below 2^53 units or rounded once
		return value(func(i int) Value { return Num(float64(int64(a.Value(i).LowBits())) / 1e4) })
	case *array.Timestamp:
		return value(func(i int) Value { return Num(float64(a.Value(i))) })
	case *array.FixedSizeBinary:
		return value(func(i int) Value { return Str(string(a.Value(i))) })
	}
	return func(int) Value { return Value{} }
}

// Running is the sum of a column over the rows up to this one, in the order of another.
func (q *Query) Running(name, column, by string) *Query {
	return q.Derive(name, fmt.Sprintf("sum(%s) OVER (ORDER BY %s)", Quote(column), Quote(by)), func(r *Result, i int) Value {
		sum := &mean{sum: true}
		for k := range r.Rows {
			if compare(r.At(k, by), r.At(i, by)) <= 0 {
				sum.add(r.At(k, column))
			}
		}
		return sum.value()
	})
}

// Rank is the place of a row by a column, largest first; by breaks ties.
func (q *Query) Rank(name, column, by string) *Query {
	return q.Derive(name, fmt.Sprintf("rank() OVER (ORDER BY %s DESC NULLS LAST, %s)", Quote(column), Quote(by)), func(r *Result, i int) Value {
		place := 1
		for k := range r.Rows {
			a, b := r.At(k, column), r.At(i, column)
			c := compare(a, b)
			if !a.IsNull() && !b.IsNull() {
				c = -c
			}
			if c < 0 || c == 0 && compare(r.At(k, by), r.At(i, by)) < 0 {
				place++
			}
		}
		return Num(float64(place))
	})
}

// Pareto is the running sum of a column over the rows in descending order, at n equal
// steps: customer_share, customers, spend, spend_share.
func (q *Query) Pareto(column string, n int) *Query {
	q.Get("spend", Col(column))
	q.whole = &whole{
		sql: func(inner string) string {
			return fmt.Sprintf(`SELECT customers / any_value(n) OVER () AS customer_share, customers, spend, spend / last_value(spend) OVER (ORDER BY customers ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS spend_share FROM (
SELECT max(place) AS customers, any_value(n) AS n, sum(sum(spend)) OVER (ORDER BY max(place)) AS spend FROM (
SELECT *, ceil(place * %d / n) AS step FROM (
SELECT spend, row_number() OVER (ORDER BY spend DESC) AS place, count(*) OVER () AS n FROM (
%s
) WHERE spend IS NOT NULL)) GROUP BY step)
QUALIFY customers >= %d
ORDER BY customers`, n, inner, q.least)
		},
		of: func(r *Result) {
			var vs []float64
			for i := range r.Rows {
				if v := r.Rows[i][0]; !v.IsNull() {
					vs = append(vs, v.F)
				}
			}
			slices.SortFunc(vs, func(a, b float64) int { return compare(Num(b), Num(a)) })
			r.Columns, r.Rows = []string{"customer_share", "customers", "spend", "spend_share"}, nil
			sum, all := &mean{sum: true}, float64(len(vs))
			for i, v := range vs {
				sum.add(Num(v))
				step := func(place int) float64 { return math.Ceil(float64(place) * float64(n) / all) }
				if i+1 == len(vs) || step(i+2) != step(i+1) {
					r.Rows = append(r.Rows, []Value{Num(float64(i+1) / all), Num(float64(i + 1)), sum.value(), {}})
				}
			}
			r.Rows = slices.DeleteFunc(r.Rows, func(row []Value) bool { return row[1].F < float64(q.least) })
			for i := range r.Rows {
				r.Rows[i][3] = ratio(r.Rows[i][2], sum.value())
			}
		},
	}
	return q
}

// whole replaces the result by what is computed from all of it.
type whole struct {
	sql func(inner string) string
	of  func(r *Result)
}

// An Item is a total in a row and a column of a stacked result.
type Item struct {
	Row, Name string
	Expr
}

// Stack lays totals over the same rows out as a table, a row a name under key.
func (q *Query) Stack(key string, items ...Item) *Query {
	var rows, columns []string
	for _, i := range items {
		if !slices.Contains(rows, i.Row) {
			rows = append(rows, i.Row)
		}
		if !slices.Contains(columns, i.Name) {
			columns = append(columns, i.Name)
		}
		q.Get(i.Row+" "+i.Name, i.Expr)
	}
	from, where := q.from[0], ""
	for i, w := range q.where {
		where += []string{" WHERE ", " AND "}[min(i, 1)] + w.sql
	}
	q.whole = &whole{
		sql: func(string) string {
			var parts []string
			for k, row := range rows {
				list := []string{fmt.Sprintf("%d AS place", k+1), Literal(row) + " AS " + Quote(key)}
				for _, i := range items {
					if i.Row == row {
						list = append(list, i.sql+" AS "+Quote(i.Name))
					}
				}
				parts = append(parts, "SELECT "+strings.Join(list, ", ")+" FROM "+from+where)
			}
			text := "SELECT * EXCLUDE (place) FROM (\n" + strings.Join(parts, "\nUNION ALL ") + "\n)"
			if len(q.order) == 0 {
				text += " ORDER BY place"
			}
			return text
		},
		of: func(r *Result) {
			was := r.Rows
			r.Rows, r.Columns = nil, append([]string{key}, columns...)
			k := 0
			for _, row := range rows {
				line := []Value{Str(row)}
				for range columns {
					line = append(line, was[0][k])
					k++
				}
				r.Rows = append(r.Rows, line)
			}
		},
	}
	return q
}
