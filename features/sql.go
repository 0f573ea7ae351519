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
// the wall is past midnight. The table `events` is datasets/scan's EventSQL.
func HistorySQL(asOf timeline.AsOf, zone *time.Location) string {
	local := "event_time"
	if zone != time.UTC {
		local = fmt.Sprintf("timezone('%s', timezone('UTC', event_time))", strings.ReplaceAll(zone.String(), "'", "''"))
	}
	return fmt.Sprintf("SELECT *, CAST(%[1]s AS DATE) AS day, hour(%[1]s) * 3600 + minute(%[1]s) * 60 + second(%[1]s) AS clock FROM events WHERE epoch_us(event_time) < %[2]d", local, asOf.Instant)
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
