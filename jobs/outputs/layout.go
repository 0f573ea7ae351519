package outputs

// A Layout makes columns of a table whose rows are of type T.
type Layout[T any] struct{ Rows []T }

// Text leaves out the empty.
func (l Layout[T]) Text(name, meaning string, v func(T) string) Column {
	return Text(name, meaning, func(i int) (string, bool) { s := v(l.Rows[i]); return s, s != "" })
}

// Small leaves out 0 and what is below: ids begin at 1.
func (l Layout[T]) Small(name, meaning string, v func(T) int) Column {
	return Small(name, meaning, func(i int) (int, bool) { n := v(l.Rows[i]); return n, n > 0 })
}

// Count leaves out what is below 0.
func (l Layout[T]) Count(name, meaning string, v func(T) int) Column {
	return Integer(name, "customers", meaning, func(i int) (int, bool) { n := v(l.Rows[i]); return n, n >= 0 })
}

// Float leaves out NaN.
func (l Layout[T]) Float(name, unit, meaning string, v func(T) float64) Column {
	return Float(name, unit, meaning, func(i int) float64 { return v(l.Rows[i]) })
}

// Money is of amounts.
func (l Layout[T]) Money(name, meaning string, v func(T) float64) Column {
	return Money(name, meaning, func(i int) float64 { return v(l.Rows[i]) })
}

// Table puts the columns in the order of every table: what the row is of, the
// run, the rest.
func (l Layout[T]) Table(name string, first Column, stamp, rest []Column) Table {
	columns := append(append([]Column{first}, stamp...), rest...)
	return FromColumns(name, columns, len(l.Rows))
}
