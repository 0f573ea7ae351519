package eventsql

import (
	"fmt"
	"strings"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan/internal/column"
	"github.com/shoal-data/shoal/datasets/scan/internal/identity"
	"github.com/shoal-data/shoal/datasets/scan/internal/lookup"
	"github.com/shoal-data/shoal/datasets/scan/internal/rates"
)

// Lookups are the tables beside the sources; nil where there is none.
type Lookups struct {
	Identity *identity.Tables
	Rates    *rates.Table
}

// with is the WITH clause that reads the tables, "" when there is none.
func (l Lookups) with(id datasets.IDType) string {
	var parts []string
	if l.Identity != nil {
		parts = append(parts, fmt.Sprintf(`
identity AS MATERIALIZED (
%s),
identity_steps AS MATERIALIZED (SELECT DISTINCT alias_id AS alias, customer FROM identity WHERE kind = '%s' AND alias_id <> customer),
identity_chains AS (
  SELECT * FROM identity_steps
  UNION
  SELECT c.alias, s.customer FROM identity_chains c JOIN identity_steps s ON s.alias = c.customer),
identity_customers AS MATERIALIZED (SELECT DISTINCT alias, customer FROM identity_chains c WHERE NOT EXISTS (FROM identity_steps s WHERE s.alias = c.customer)),
identity_aliases AS MATERIALIZED (
  SELECT DISTINCT i.kind, i.alias, coalesce(c.customer, i.customer) AS customer
  FROM identity i LEFT JOIN identity_customers c ON c.alias = i.customer)`, l.identityRows(id), identity.CustomerKind))
	}
	if l.Rates != nil {
		parts = append(parts, fmt.Sprintf(`
rate_texts AS (SELECT DISTINCT day, currency, rtrim(CAST(CAST(rate AS DECIMAL(38,18)) AS VARCHAR), '0') AS rate
  FROM (
%s) WHERE day IS NOT NULL AND currency <> '' AND rate NOT IN ('', 'nan')),
rates AS MATERIALIZED (SELECT day, currency, CAST(replace(rate, '.', '') AS HUGEINT) AS digits,
    CAST('1' || repeat('0', length(rate) - strpos(rate, '.')) AS HUGEINT) AS scale FROM rate_texts)`, l.rateRows()))
	}
	if len(parts) == 0 {
		return ""
	}
	return "WITH RECURSIVE" + strings.Join(parts, ",") + "\n"
}

// identityRows selects kind, alias as text, alias as a customer's id, and customer.
func (l Lookups) identityRows(id datasets.IDType) string {
	var selects []string
	for i, t := range l.Identity.Files {
		for k := range t.Files {
			b := t.Bindings(k)
			kind := literal(l.Identity.Specs[i].Kind)
			if len(b) > 2 {
				kind = value(&b[2])
			}
			selects = append(selects, fmt.Sprintf("  SELECT * FROM (SELECT %s AS kind, %s AS alias, %s AS alias_id, %s AS customer FROM %s) WHERE alias <> '' AND kind <> '' AND customer IS NOT NULL",
				kind, value(&b[0]), ownID(&b[0], id), ownID(&b[1], id), file(t, k)))
		}
	}
	return strings.Join(selects, "\n  UNION ALL\n")
}

// rateRows selects day, currency and rate, as text.
func (l Lookups) rateRows() string {
	r := l.Rates
	var selects []string
	for i := range r.Listed {
		selects = append(selects, fmt.Sprintf("    SELECT DATE %s AS day, %s AS currency, %s AS rate", literal(r.Listed[i].Date), literal(r.Listed[i].Currency), literal(r.Listed[i].Rate)))
	}
	if r.Files != nil {
		for k := range r.Files.Files {
			b := r.Files.Bindings(k)
			// A date is read as the time of an event is, without a zone.
			q := query{Files: &Files{By: column.Conventions{TimeUnit: column.UnitYYYYMMDD}}}
			q.Columns[datasets.EventTime] = &b[0]
			from := fmt.Sprintf("(SELECT %s AS raw_event_time, %s AS currency, %s AS rate FROM %s)", raw(&b[0]), value(&b[1]), value(&b[2]), file(r.Files, k))
			selects = append(selects, fmt.Sprintf("    SELECT DATE '1970-01-01' + CAST(%s AS INTEGER) AS day, currency, rate FROM (%s%s)", floorDiv(q.time(), 86_400_000_000), q.iso(), from))
		}
	}
	return strings.Join(selects, "\n    UNION ALL\n")
}

// file reads one file of a table.
func file(t *lookup.Table, k int) string {
	return fmt.Sprintf("read_parquet(%s, hive_partitioning = false)", literal(globLiteral(t.Files[k].Path)))
}

// raw is a column as it is.
func raw(b *column.Binding) string {
	switch {
	case b.Path != nil:
		x := name(b.Path[0])
		for _, part := range b.Path[1:] {
			x = fmt.Sprintf("struct_extract(%s, %s)", x, literal(part))
		}
		if b.Type.Kind == column.KindBytes {
			return "decode(" + x + ")"
		}
		return x
	case b.Null:
		return "CAST(NULL AS VARCHAR)"
	}
	return literal(b.Constant)
}

// value is a column as text.
func value(b *column.Binding) string {
	if b.Type.Kind == column.KindFixed && !b.Type.UUID {
		return "lower(hex(" + raw(b) + "))"
	}
	return "CAST(" + raw(b) + " AS VARCHAR)"
}

// ownID is a column as a customer's id.
func ownID(b *column.Binding, id datasets.IDType) string {
	switch {
	case id.Kind == datasets.IDInt32:
		return "TRY_CAST(" + value(b) + " AS INTEGER)"
	case id.Kind == datasets.IDInt64:
		return "TRY_CAST(" + value(b) + " AS BIGINT)"
	case id.Kind == datasets.IDFixed && id.UUID:
		return "TRY_CAST(" + value(b) + " AS UUID)"
	case id.Kind == datasets.IDFixed:
		return "TRY(unhex(" + value(b) + "))"
	}
	return "nullif(" + value(b) + ", '')"
}

// identified puts customers in the place of the ids of a query over a source.
func (l Lookups) identified(q *query, events string) string {
	switch {
	case l.Identity == nil:
		return events
	case q.IDKind == "":
		return fmt.Sprintf("SELECT e.* REPLACE (coalesce(c.customer, e.customer_id) AS customer_id) FROM (%s) e LEFT JOIN identity_customers c ON c.alias = e.customer_id", events)
	}
	return fmt.Sprintf("SELECT e.* REPLACE (a.customer AS customer_id) FROM (%s) e JOIN identity_aliases a ON a.kind = %s AND a.alias = e.customer_id", events, literal(q.IDKind))
}

// converted puts the amounts of a query over all sources into one currency.
func (l Lookups) converted(events string) string {
	if l.Rates == nil {
		return events
	}
	local := "e.event_time"
	if z := l.Rates.Zone; z != time.UTC {
		local = fmt.Sprintf("timezone(%s, timezone('UTC', e.event_time))", literal(z.String()))
	}
	to := literal(l.Rates.To)
	num, den := "r.digits", "r.scale"
	if l.Rates.Inverse {
		num, den = den, num
	}
	units := "CAST(e.amount * 10000 AS HUGEINT)"
	return fmt.Sprintf(`SELECT e.* REPLACE (
    CASE WHEN e.currency IS NULL OR e.currency = %[1]s THEN e.amount
      ELSE CAST(CAST(sign(e.amount) * ((2 * abs(%[2]s) * %[3]s + %[4]s) // (2 * %[4]s)) AS DECIMAL(19,0)) * 0.0001 AS DECIMAL(18,4)) END AS amount,
    CASE WHEN e.currency IS NOT NULL THEN %[1]s END AS currency)
FROM (%[5]s) e
ASOF LEFT JOIN rates r ON r.currency = e.currency AND r.day <= CAST(%[6]s AS DATE)`, to, units, num, den, events, local)
}
