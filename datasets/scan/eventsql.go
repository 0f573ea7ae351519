package scan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan/internal/lexical"
)

// EventSQL is the statement in DuckDB's dialect that builds, from the plan's
// files and by the package's rules, the table
//
//	events(customer_id, event_time TIMESTAMP, role VARCHAR, event_type VARCHAR,
//	       amount, quantity, rating DECIMAL(18,4),
//	       currency, product_id, category, channel, campaign_id, session_id, event_id VARCHAR)
//
// with times in UTC and customer ids of the plan's type. It shares nothing with
// the reader but the plan, and so can be held against it. Three things differ:
// DuckDB refuses whole files where the reader refuses rows with text that is not
// UTF-8 or timestamps beyond its range, it reads no DECIMAL of more than 38
// digits, and it does not know Options.Before.
func (p *Plan) EventSQL() string {
	// Files that differ in nothing but their rows are read together.
	type batch struct {
		file  int
		paths []string
	}
	var batches []*batch
	byShape := map[string]*batch{}
	for i := range p.files {
		f := &p.files[i]
		shape := fmt.Sprintf("%d %+v", f.source, f.cols)
		b := byShape[shape]
		if b == nil {
			b = &batch{file: i}
			byShape[shape] = b
			batches = append(batches, b)
		}
		b.paths = append(b.paths, sqlText(globLiteral(p.Files[i].Path)))
	}
	var selects []string
	for _, b := range batches {
		selects = append(selects, p.selectSQL(b.file, strings.Join(b.paths, ", ")))
	}
	return "CREATE OR REPLACE TABLE events AS\n" + strings.Join(selects, "\nUNION ALL\n")
}

// selectSQL is the query over files that have the shape of file i.
func (p *Plan) selectSQL(i int, paths string) string {
	f := &p.files[i]
	src := &p.sources[f.source]
	q := sqlSource{src: src, id: p.IDType}
	raw := []string{"1 AS one"}
	for k, field := range p.fields[f.source] {
		col := &f.cols[k]
		q.typ[field], q.mapped[field] = &col.typ, true
		var x string
		switch {
		case col.path != nil:
			x = sqlName(col.path[0])
			for _, part := range col.path[1:] {
				x = fmt.Sprintf("struct_extract(%s, %s)", x, sqlText(part))
			}
			if col.typ.kind == KindBytes {
				raw = append(raw, fmt.Sprintf("%s IS NOT NULL AND TRY(decode(%s)) IS NULL AS bad_%v", x, x, field))
				x = fmt.Sprintf("CASE WHEN %s IS NOT NULL THEN coalesce(TRY(decode(%s)), '?') END", x, x)
			}
		case col.null:
			x = "CAST(NULL AS VARCHAR)"
		default:
			x = sqlText(col.constant)
		}
		raw = append(raw, fmt.Sprintf("%s AS raw_%v", x, field))
	}
	var values, where []string
	values = append(values, q.customer()+" AS customer_id", q.time()+" AS us")
	where = append(where, "customer_id IS NOT NULL", fmt.Sprintf("us BETWEEN %d AND %d", lexical.MinTime, lexical.MaxTime))
	if q.mapped[datasets.CustomerID] && q.typ[datasets.CustomerID].kind == KindBytes {
		where = append(where, "NOT bad_customer_id")
	}
	if c := q.consent(); c != "" {
		where = append(where, c)
	}
	for _, m := range moneyFields {
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
		if q.mapped[t] && q.typ[t].kind == KindBytes {
			where = append(where, fmt.Sprintf("NOT bad_%v", t))
		}
	}
	iso := ""
	if k := q.typ[datasets.EventTime].kind; k == KindString || k == KindBytes {
		iso = fmt.Sprintf("SELECT *, regexp_extract(raw_event_time, %s, %s) AS iso FROM ", sqlText("^"+sqlISO+"$"), sqlISOParts)
	}
	return fmt.Sprintf(`SELECT customer_id, make_timestamp(CAST(us AS BIGINT)) AS event_time, %s AS role, event_type, amount, quantity, rating,
       currency, product_id, category, channel, campaign_id, session_id, event_id
FROM (SELECT *, %s
      FROM (%s(SELECT %s
            FROM read_parquet([%s], hive_partitioning = false))))
WHERE %s`,
		q.role(), strings.Join(values, ",\n             "), iso, strings.Join(raw, ",\n                   "), paths, strings.Join(where, "\n  AND "))
}

// A sqlSource writes the expressions of one shape of file, over columns raw_<field>.
type sqlSource struct {
	src    *Source
	id     datasets.IDType
	typ    [datasets.NumFields]*colType
	mapped [datasets.NumFields]bool
}

func (q *sqlSource) customer() string {
	t := q.typ[datasets.CustomerID]
	switch q.id.Kind {
	case datasets.IDInt32:
		return "CAST(raw_customer_id AS INTEGER)"
	case datasets.IDInt64:
		return "TRY_CAST(raw_customer_id AS BIGINT)"
	case datasets.IDFixed:
		return "raw_customer_id"
	}
	if t.kind == KindString || t.kind == KindBytes {
		return "nullif(raw_customer_id, '')"
	}
	return "CAST(raw_customer_id AS VARCHAR)"
}

// sqlISO matches what lexical.Time accepts, but for numbers out of their range. sqlISOParts
// name its groups.
const sqlISO = `([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?( ?(?:Z|z|UTC|([+-])([0-9]{2})(?::?([0-9]{2}))?))?)?`

const sqlISOParts = `['date', 'h', 'm', 's', 'fraction', 'zone', 'sign', 'oh', 'om']`

func (q *sqlSource) time() string {
	const x = "raw_event_time"
	t := q.typ[datasets.EventTime]
	switch t.kind {
	case KindTimestamp:
		us := "epoch_us(" + x + ")"
		if t.unit == UnitNano {
			us = sqlFloor("epoch_ns("+x+")", 1000)
		}
		if t.utc {
			return us
		}
		return q.local(us)
	case KindDate:
		return q.local("CAST(" + x + " - DATE '1970-01-01' AS BIGINT) * 86400000000")
	case KindInt32, KindInt64:
		return q.number(x)
	}
	part := func(name string) string { return fmt.Sprintf("coalesce(TRY_CAST(iso.%s AS BIGINT), 0)", name) }
	clock := fmt.Sprintf(`CASE WHEN %[1]s <= 23 AND %[2]s <= 59 AND %[3]s <= 59 THEN
		CAST(TRY_CAST(iso.date AS DATE) - DATE '1970-01-01' AS BIGINT) * 86400000000 + (%[1]s * 3600 + %[2]s * 60 + %[3]s) * 1000000
		+ CAST(rpad(substr(iso.fraction, 1, 6), 6, '0') AS BIGINT) END`, part("h"), part("m"), part("s"))
	offset := fmt.Sprintf("CASE WHEN %[1]s <= 15 AND %[2]s <= 59 THEN (%[1]s * 3600 + %[2]s * 60) * CASE iso.sign WHEN '-' THEN -1000000 ELSE 1000000 END END",
		part("oh"), part("om"))
	var cases []string
	if q.src.TimeUnit != UnitAuto && q.src.TimeUnit != UnitYYYYMMDD {
		cases = append(cases, fmt.Sprintf("WHEN regexp_full_match(%s, '[+-]?[0-9]{1,18}') THEN %s", x, q.number("TRY_CAST("+x+" AS BIGINT)")))
	}
	cases = append(cases,
		fmt.Sprintf("WHEN regexp_full_match(%s, '[0-9]{8}') THEN %s", x, q.yyyymmdd("TRY_CAST("+x+" AS BIGINT)")),
		fmt.Sprintf("WHEN NOT regexp_full_match(%s, %s) THEN NULL", x, sqlText(sqlISO)),
		fmt.Sprintf("WHEN iso.zone = '' THEN %s", q.local(clock)),
		fmt.Sprintf("ELSE (%s) - (%s)", clock, offset))
	return "CASE " + strings.Join(cases, "\n             ") + " END"
}

// local is the instant of clock µs.
func (q *sqlSource) local(us string) string {
	if q.src.TimeZone == nil || q.src.TimeZone == utc {
		return us
	}
	return fmt.Sprintf("CASE WHEN (%s) BETWEEN %d AND %d THEN epoch_us(timezone(%s, make_timestamp(%s))) END",
		us, lexical.MinTime, lexical.MaxTime, sqlText(q.src.TimeZone.String()), us)
}

// number is the instant of an integer.
func (q *sqlSource) number(x string) string {
	scale := func(mul string) string { return fmt.Sprintf("CAST(%s AS HUGEINT) * %s", x, mul) }
	switch q.src.TimeUnit {
	case UnitSecond:
		return scale("1000000")
	case UnitMilli:
		return scale("1000")
	case UnitMicro:
		return scale("1")
	case UnitNano:
		return sqlFloor(scale("1"), 1000)
	case UnitYYYYMMDD:
		return q.yyyymmdd(x)
	}
	return fmt.Sprintf(`CASE WHEN %s BETWEEN 19000000 AND 21009999 THEN %s WHEN abs(%s) < 100000000000 THEN %s
		WHEN abs(%s) < 100000000000000 THEN %s WHEN abs(%s) < 100000000000000000 THEN %s ELSE %s END`,
		x, q.yyyymmdd(x), scale("1"), scale("1000000"), scale("1"), scale("1000"), scale("1"), scale("1"), sqlFloor(scale("1"), 1000))
}

func (q *sqlSource) yyyymmdd(x string) string {
	date := fmt.Sprintf("TRY_CAST(CASE WHEN %s BETWEEN 10101 AND 99991231 THEN format('{:04d}-{:02d}-{:02d}', CAST(%s AS BIGINT) // 10000, CAST(%s AS BIGINT) // 100 %% 100, CAST(%s AS BIGINT) %% 100) END AS DATE)", x, x, x, x)
	return q.local(fmt.Sprintf("CAST(%s - DATE '1970-01-01' AS BIGINT) * 86400000000", date))
}

// sqlFloor divides rounding down; // rounds towards zero.
func sqlFloor(x string, by int) string {
	return fmt.Sprintf("((%[1]s) - (((%[1]s) %% %[2]d) + %[2]d) %% %[2]d) // %[2]d", x, by)
}

func (q *sqlSource) consent() string {
	if !q.mapped[datasets.Consent] {
		return ""
	}
	switch q.typ[datasets.Consent].kind {
	case KindBool:
		return "coalesce(raw_consent, false)"
	case KindInt32, KindInt64:
		return "coalesce(raw_consent <> 0, false)"
	}
	return "coalesce(lower(raw_consent) IN ('true', 't', 'yes', 'y', '1'), false)"
}

// money is the value of an amount, quantity or rating, and the condition under
// which it refuses its row.
func (q *sqlSource) money(f datasets.Field) (value, bad string) {
	if !q.mapped[f] {
		return "CAST(NULL AS DECIMAL(18,4))", ""
	}
	x := fmt.Sprintf("raw_%v", f)
	fromDouble := func(d string) (value, ok string) {
		ok = fmt.Sprintf("isfinite(%s) AND abs(round(%s * 10000)) <= 1e16", d, d)
		value = fmt.Sprintf("CAST(CAST(TRY_CAST(round(%s * 10000) AS BIGINT) AS DECIMAL(19,0)) * 0.0001 AS DECIMAL(18,4))", d)
		return fmt.Sprintf("CASE WHEN %s THEN %s END", ok, value), ok
	}
	within := func(d string) string { return fmt.Sprintf("abs(%s) <= 1000000000000", d) }
	switch q.typ[f].kind {
	case KindFloat:
		v, ok := fromDouble("CAST(" + x + " AS DOUBLE)")
		return v, "NOT (" + ok + ")"
	case KindInt32, KindInt64:
		ok := within("CAST(" + x + " AS HUGEINT)")
		return fmt.Sprintf("CASE WHEN %s THEN CAST(%s AS DECIMAL(18,4)) END", ok, x), "NOT (" + ok + ")"
	case KindDecimal:
		v := "TRY_CAST(" + x + " AS DECIMAL(18,4))"
		return fmt.Sprintf("CASE WHEN %s THEN %s END", within(v), v), fmt.Sprintf("%s IS NOT NULL AND NOT coalesce(%s, false)", x, within(v))
	}
	const number = `[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)`
	exact := fmt.Sprintf("CASE WHEN regexp_full_match(%s, %s) THEN CAST(TRY_CAST(regexp_extract(regexp_replace(%s, '^([+-]?)0+([0-9])', '\\1\\2'), '^[+-]?[0-9]*(?:\\.[0-9]{0,5})?') AS DECIMAL(38,5)) AS DECIMAL(38,4)) END",
		x, sqlText(number), x)
	float, _ := fromDouble(fmt.Sprintf("CASE WHEN regexp_full_match(%s, %s) THEN TRY_CAST(%s AS DOUBLE) END", x, sqlText(number+"[eE][+-]?[0-9]{1,3}"), x))
	value = fmt.Sprintf("coalesce(CASE WHEN %s THEN CAST(%s AS DECIMAL(18,4)) END, %s)", within(exact), exact, float)
	return value, fmt.Sprintf("%s <> '' AND (%s) IS NULL", x, value)
}

func (q *sqlSource) text(f datasets.Field) string {
	x := fmt.Sprintf("CAST(raw_%v AS VARCHAR)", f)
	if !q.mapped[f] {
		x = "CAST(NULL AS VARCHAR)"
	}
	if f == datasets.Currency {
		x = fmt.Sprintf("nullif(%s, '')", x)
		if q.src.Currency != "" {
			x = fmt.Sprintf("coalesce(%s, %s)", x, sqlText(q.src.Currency))
		}
	}
	return x
}

func (q *sqlSource) role() string {
	if !q.mapped[datasets.EventType] {
		return sqlText(q.src.Role.String())
	}
	types := make([]string, 0, len(q.src.Roles))
	for t := range q.src.Roles {
		types = append(types, t)
	}
	slices.Sort(types)
	var b strings.Builder
	b.WriteString("CASE")
	for _, t := range types {
		fmt.Fprintf(&b, " WHEN event_type = %s THEN %s", sqlText(t), sqlText(q.src.Roles[t].String()))
	}
	if len(types) == 0 {
		b.WriteString(" WHEN false THEN NULL")
	}
	b.WriteString(" ELSE 'other' END")
	return b.String()
}

func sqlText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
func sqlName(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// globLiteral keeps DuckDB from expanding a path.
func globLiteral(path string) string {
	return strings.NewReplacer("*", "[*]", "?", "[?]", "[", "[[]").Replace(path)
}
