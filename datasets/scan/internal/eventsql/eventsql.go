// Package eventsql spells out the rules by which rows become events as a statement
// in DuckDB's dialect. It shares nothing with the readers but the bindings of
// columns, and so they can be held against each other.
package eventsql

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan/internal/column"
	"github.com/shoal-data/shoal/datasets/scan/internal/lexical"
)

// Files are files of one source that keep every field in the same place.
type Files struct {
	Paths    []string
	Columns  [datasets.NumFields]*column.Binding // nil where a field is not mapped
	By       column.Conventions
	Role     datasets.Role // of every row, when EventType is not mapped
	Currency string        // of amounts without one; "" is unknown
	IDKind   string        // of ids that are aliases; "" when they are customers' own
}

// CreateTable is the statement that builds the table events from the given files,
// with customer ids of type id, by the tables beside the sources.
func CreateTable(id datasets.IDType, files []Files, l Lookups) string {
	selects := make([]string, len(files))
	for i := range files {
		q := query{Files: &files[i], id: id}
		if q.IDKind != "" {
			q.id = datasets.IDType{Kind: datasets.IDString}
		}
		selects[i] = l.identified(&q, q.selectEvents())
	}
	return "CREATE OR REPLACE TABLE events AS\n" + l.with(id) + l.converted(strings.Join(selects, "\nUNION ALL\n"))
}

// A query writes the query over some files, from expressions over columns raw_<field>.
type query struct {
	*Files
	id datasets.IDType
}

func (q *query) mapped(f datasets.Field) bool      { return q.Columns[f] != nil }
func (q *query) kind(f datasets.Field) column.Kind { return q.Columns[f].Type.Kind }

// rawColumns are the columns of the files, as they are, and for bytes that should be
// text whether they are not.
func (q *query) rawColumns() []string {
	raw := []string{"1 AS one"}
	for f, col := range q.Columns {
		if col == nil {
			continue
		}
		field := datasets.Field(f)
		var x string
		switch {
		case col.Path != nil:
			x = name(col.Path[0])
			for _, part := range col.Path[1:] {
				x = fmt.Sprintf("struct_extract(%s, %s)", x, literal(part))
			}
			if col.Type.Kind == column.KindBytes {
				raw = append(raw, fmt.Sprintf("%s IS NOT NULL AND TRY(decode(%s)) IS NULL AS bad_%v", x, x, field))
				x = fmt.Sprintf("CASE WHEN %s IS NOT NULL THEN coalesce(TRY(decode(%s)), '?') END", x, x)
			}
		case col.Null:
			x = "CAST(NULL AS VARCHAR)"
		default:
			x = literal(col.Constant)
		}
		raw = append(raw, fmt.Sprintf("%s AS raw_%v", x, field))
	}
	return raw
}

// selectEvents is the query.
func (q *query) selectEvents() string {
	paths := make([]string, len(q.Paths))
	for i, p := range q.Paths {
		paths[i] = literal(globLiteral(p))
	}
	var values, where []string
	values = append(values, q.customer()+" AS customer_id", q.time()+" AS us")
	where = append(where, "customer_id IS NOT NULL", fmt.Sprintf("us BETWEEN %d AND %d", lexical.MinTime, lexical.MaxTime))
	if q.mapped(datasets.CustomerID) && q.kind(datasets.CustomerID) == column.KindBytes {
		where = append(where, "NOT bad_customer_id")
	}
	if c := q.consent(); c != "" {
		where = append(where, c)
	}
	for _, m := range column.MoneyFields {
		v, bad := q.money(m)
		values = append(values, fmt.Sprintf("%s AS %v", v, m))
		if bad != "" {
			where = append(where, fmt.Sprintf("NOT coalesce(%s, false)", bad))
		}
	}
	for _, t := range []datasets.Field{
		datasets.EventType, datasets.Currency, datasets.ProductID, datasets.Category, datasets.Channel,
		datasets.CampaignID, datasets.SessionID, datasets.EventID,
	} {
		values = append(values, fmt.Sprintf("%s AS %v", q.text(t), t))
		if q.mapped(t) && q.kind(t) == column.KindBytes {
			where = append(where, fmt.Sprintf("NOT bad_%v", t))
		}
	}
	return fmt.Sprintf(`SELECT customer_id, make_timestamp(CAST(us AS BIGINT)) AS event_time, %s AS role, event_type, amount, quantity, rating,
       currency, product_id, category, channel, campaign_id, session_id, event_id
FROM (SELECT *, %s
      FROM (%s(SELECT %s
            FROM read_parquet([%s], hive_partitioning = false))))
WHERE %s`,
		q.role(), strings.Join(values, ",\n             "), q.iso(), strings.Join(q.rawColumns(), ",\n                   "), strings.Join(paths, ", "), strings.Join(where, "\n  AND "))
}

// iso takes texts of times apart, for time.
func (q *query) iso() string {
	if k := q.kind(datasets.EventTime); k != column.KindString && k != column.KindBytes {
		return ""
	}
	return fmt.Sprintf("SELECT *, regexp_extract(raw_event_time, %s, %s) AS iso FROM ", literal("^"+iso8601+"$"), isoParts)
}

// customer is the id of a row, null where it is refused.
func (q *query) customer() string {
	t := &q.Columns[datasets.CustomerID].Type
	switch q.id.Kind {
	case datasets.IDInt32:
		return "CAST(raw_customer_id AS INTEGER)"
	case datasets.IDInt64:
		return "TRY_CAST(raw_customer_id AS BIGINT)"
	case datasets.IDFixed:
		return "raw_customer_id"
	}
	if t.Kind == column.KindString || t.Kind == column.KindBytes {
		return "nullif(raw_customer_id, '')"
	}
	if t.Kind == column.KindFixed && !t.UUID {
		return "lower(hex(raw_customer_id))"
	}
	return "CAST(raw_customer_id AS VARCHAR)"
}

// iso8601 matches what lexical.Time accepts, but for numbers out of their range. isoParts
// name its groups.
const iso8601 = `([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?( ?(?:Z|z|UTC|([+-])([0-9]{2})(?::?([0-9]{2}))?))?)?`

const isoParts = `['date', 'h', 'm', 's', 'fraction', 'zone', 'sign', 'oh', 'om']`

// time is the instant of a row in µs.
func (q *query) time() string {
	const x = "raw_event_time"
	t := &q.Columns[datasets.EventTime].Type
	switch t.Kind {
	case column.KindTimestamp:
		us := "epoch_us(" + x + ")"
		if t.Unit == column.UnitNano {
			us = floorDiv("epoch_ns("+x+")", 1000)
		}
		if t.UTC {
			return us
		}
		return q.local(us)
	case column.KindDate:
		return q.local("CAST(" + x + " - DATE '1970-01-01' AS BIGINT) * 86400000000")
	case column.KindInt32, column.KindInt64:
		return q.number(x)
	}
	part := func(name string) string { return fmt.Sprintf("coalesce(TRY_CAST(iso.%s AS BIGINT), 0)", name) }
	clock := fmt.Sprintf(`CASE WHEN %[1]s <= 23 AND %[2]s <= 59 AND %[3]s <= 59 THEN
		CAST(TRY_CAST(iso.date AS DATE) - DATE '1970-01-01' AS BIGINT) * 86400000000 + (%[1]s * 3600 + %[2]s * 60 + %[3]s) * 1000000
		+ CAST(rpad(substr(iso.fraction, 1, 6), 6, '0') AS BIGINT) END`, part("h"), part("m"), part("s"))
	offset := fmt.Sprintf("CASE WHEN %[1]s <= 15 AND %[2]s <= 59 THEN (%[1]s * 3600 + %[2]s * 60) * CASE iso.sign WHEN '-' THEN -1000000 ELSE 1000000 END END",
		part("oh"), part("om"))
	var cases []string
	if q.By.TimeUnit != column.UnitAuto && q.By.TimeUnit != column.UnitYYYYMMDD {
		cases = append(cases, fmt.Sprintf("WHEN regexp_full_match(%s, '[+-]?[0-9]{1,18}') THEN %s", x, q.number("TRY_CAST("+x+" AS BIGINT)")))
	}
	cases = append(cases,
		fmt.Sprintf("WHEN regexp_full_match(%s, '[0-9]{8}') THEN %s", x, q.yyyymmdd("TRY_CAST("+x+" AS BIGINT)")),
		fmt.Sprintf("WHEN NOT regexp_full_match(%s, %s) THEN NULL", x, literal(iso8601)),
		fmt.Sprintf("WHEN iso.zone = '' THEN %s", q.local(clock)),
		fmt.Sprintf("ELSE (%s) - (%s)", clock, offset))
	return "CASE " + strings.Join(cases, "\n             ") + " END"
}

// local is the instant of clock µs.
func (q *query) local(us string) string {
	if q.By.TimeZone == nil || q.By.TimeZone == time.UTC {
		return us
	}
	return fmt.Sprintf("CASE WHEN (%s) BETWEEN %d AND %d THEN epoch_us(timezone(%s, make_timestamp(%s))) END",
		us, lexical.MinTime, lexical.MaxTime, literal(q.By.TimeZone.String()), us)
}

// number is the instant of an integer.
func (q *query) number(x string) string {
	scale := func(mul string) string { return fmt.Sprintf("CAST(%s AS HUGEINT) * %s", x, mul) }
	switch q.By.TimeUnit {
	case column.UnitSecond:
		return scale("1000000")
	case column.UnitMilli:
		return scale("1000")
	case column.UnitMicro:
		return scale("1")
	case column.UnitNano:
		return floorDiv(scale("1"), 1000)
	case column.UnitYYYYMMDD:
		return q.yyyymmdd(x)
	}
	return fmt.Sprintf(`CASE WHEN %s BETWEEN 19000000 AND 21009999 THEN %s WHEN abs(%s) < 100000000000 THEN %s
		WHEN abs(%s) < 100000000000000 THEN %s WHEN abs(%s) < 100000000000000000 THEN %s ELSE %s END`,
		x, q.yyyymmdd(x), scale("1"), scale("1000000"), scale("1"), scale("1000"), scale("1"), scale("1"), floorDiv(scale("1"), 1000))
}

// yyyymmdd is the instant of a date written as a number.
func (q *query) yyyymmdd(x string) string {
	date := fmt.Sprintf("TRY_CAST(CASE WHEN %s BETWEEN 10101 AND 99991231 THEN format('{:04d}-{:02d}-{:02d}', CAST(%s AS BIGINT) // 10000, CAST(%s AS BIGINT) // 100 %% 100, CAST(%s AS BIGINT) %% 100) END AS DATE)", x, x, x, x)
	return q.local(fmt.Sprintf("CAST(%s - DATE '1970-01-01' AS BIGINT) * 86400000000", date))
}

// floorDiv divides rounding down; // rounds towards zero.
func floorDiv(x string, by int) string {
	return fmt.Sprintf("((%[1]s) - (((%[1]s) %% %[2]d) + %[2]d) %% %[2]d) // %[2]d", x, by)
}

// consent is the condition of consent, "" where none is asked for.
func (q *query) consent() string {
	if !q.mapped(datasets.Consent) {
		return ""
	}
	switch q.kind(datasets.Consent) {
	case column.KindBool:
		return "coalesce(raw_consent, false)"
	case column.KindInt32, column.KindInt64:
		return "coalesce(raw_consent <> 0, false)"
	}
	return "coalesce(lower(raw_consent) IN ('true', 't', 'yes', 'y', '1'), false)"
}

// money is the value of an amount, quantity or rating, and the condition under
// which it refuses its row.
func (q *query) money(f datasets.Field) (value, bad string) {
	if !q.mapped(f) {
		return "CAST(NULL AS DECIMAL(18,4))", ""
	}
	x := fmt.Sprintf("raw_%v", f)
	fromDouble := func(d string) (value, ok string) {
		ok = fmt.Sprintf("isfinite(%s) AND abs(round(%s * 10000)) <= 1e16", d, d)
		value = fmt.Sprintf("CAST(CAST(TRY_CAST(round(%s * 10000) AS BIGINT) AS DECIMAL(19,0)) * 0.0001 AS DECIMAL(18,4))", d)
		return fmt.Sprintf("CASE WHEN %s THEN %s END", ok, value), ok
	}
	within := func(d string) string { return fmt.Sprintf("abs(%s) <= 1000000000000", d) }
	switch q.kind(f) {
	case column.KindFloat:
		v, ok := fromDouble("CAST(" + x + " AS DOUBLE)")
		return v, "NOT (" + ok + ")"
	case column.KindInt32, column.KindInt64:
		ok := within("CAST(" + x + " AS HUGEINT)")
		return fmt.Sprintf("CASE WHEN %s THEN CAST(%s AS DECIMAL(18,4)) END", ok, x), "NOT (" + ok + ")"
	case column.KindDecimal:
		v := "TRY_CAST(" + x + " AS DECIMAL(18,4))"
		return fmt.Sprintf("CASE WHEN %s THEN %s END", within(v), v), fmt.Sprintf("%s IS NOT NULL AND NOT coalesce(%s, false)", x, within(v))
	}
	const number = `[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)`
	exact := fmt.Sprintf("CASE WHEN regexp_full_match(%s, %s) THEN CAST(TRY_CAST(regexp_extract(regexp_replace(%s, '^([+-]?)0+([0-9])', '\\1\\2'), '^[+-]?[0-9]*(?:\\.[0-9]{0,5})?') AS DECIMAL(38,5)) AS DECIMAL(38,4)) END",
		x, literal(number), x)
	float, _ := fromDouble(fmt.Sprintf("CASE WHEN regexp_full_match(%s, %s) THEN TRY_CAST(%s AS DOUBLE) END", x, literal(number+"[eE][+-]?[0-9]{1,3}"), x))
	value = fmt.Sprintf("coalesce(CASE WHEN %s THEN CAST(%s AS DECIMAL(18,4)) END, %s)", within(exact), exact, float)
	return value, fmt.Sprintf("%s <> '' AND (%s) IS NULL", x, value)
}

// text is the value of a text field.
func (q *query) text(f datasets.Field) string {
	x := fmt.Sprintf("CAST(raw_%v AS VARCHAR)", f)
	if !q.mapped(f) {
		x = "CAST(NULL AS VARCHAR)"
	}
	if f == datasets.Currency {
		x = fmt.Sprintf("nullif(%s, '')", x)
		if q.Currency != "" {
			x = fmt.Sprintf("coalesce(%s, %s)", x, literal(q.Currency))
		}
	}
	return x
}

// role is the role of a row, by its type where that is mapped.
func (q *query) role() string {
	if !q.mapped(datasets.EventType) {
		return literal(q.Role.String())
	}
	types := make([]string, 0, len(q.By.Roles))
	for t := range q.By.Roles {
		types = append(types, t)
	}
	slices.Sort(types)
	var b strings.Builder
	b.WriteString("CASE")
	for _, t := range types {
		fmt.Fprintf(&b, " WHEN event_type = %s THEN %s", literal(t), literal(q.By.Roles[t].String()))
	}
	if len(types) == 0 {
		b.WriteString(" WHEN false THEN NULL")
	}
	b.WriteString(" ELSE 'other' END")
	return b.String()
}

// literal quotes a text.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// name quotes a name.
func name(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// globLiteral keeps DuckDB from expanding a path.
func globLiteral(path string) string {
	return strings.NewReplacer("*", "[*]", "?", "[?]", "[", "[[]").Replace(path)
}
