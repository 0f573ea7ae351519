package features

import (
	"fmt"
	"strings"
	"time"

	"github.com/shoal-data/shoal/features/timeline"
)

// HistorySQL is the DuckDB query for the relation `history` that every
// family's From reads: the canonical events strictly before the as-of instant,
// with their local calendar day and clock, the seconds that a local clock on
// the wall is past midnight. A day that has begun goes on when the clock is set
// back across midnight, as St John's did until 2011: the query names those
// stretches of the zone. The table `events` is datasets/scan's EventSQL.
func HistorySQL(asOf timeline.AsOf, zone *time.Location) string {
	local := "event_time"
	if zone != time.UTC {
		local = fmt.Sprintf("timezone('%s', timezone('UTC', event_time))", strings.ReplaceAll(zone.String(), "'", "''"))
	}
	day := fmt.Sprintf("CAST(%s AS DATE)", local)
	if again := timeline.Reentered(zone, asOf); len(again) > 0 {
		var cases strings.Builder
		for _, d := range again {
			fmt.Fprintf(&cases, " WHEN epoch_us(event_time) BETWEEN %d AND %d THEN DATE '%s'", d.From, d.To-1, d.Date.Format(time.DateOnly))
		}
		day = fmt.Sprintf("greatest(%s, CASE%s END)", day, cases.String())
	}
	return fmt.Sprintf("SELECT *, %[1]s AS day, hour(%[2]s) * 3600 + minute(%[2]s) * 60 + second(%[2]s) AS clock FROM events WHERE epoch_us(event_time) < %[3]d", day, local, asOf.Instant)
}

// SQL is the family's DuckDB query as of a moment over `history`: one row a
// customer, one column a feature.
func (f Family) SQL(asOf timeline.AsOf) string {
	var b strings.Builder
	b.WriteString("SELECT customer_id")
	for _, c := range f.Columns {
		fmt.Fprintf(&b, ",\n  %s AS %s", c.SQL, c.Name)
	}
	fmt.Fprintf(&b, "\nFROM %s\nGROUP BY customer_id", f.From)
	return strings.NewReplacer("$today", fmt.Sprintf("DATE '%s'", asOf), "$instant", fmt.Sprint(asOf.Instant)).Replace(b.String())
}
