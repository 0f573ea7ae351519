package features

import (
	"fmt"
	"strings"
	"time"

	"github.com/shoal-data/shoal/features/timeline"
)

// HistorySQL is the DuckDB query for the relation `history` that every
// family's From reads: the canonical events strictly before the as-of instant,
// with their local calendar day. The table `events` is datasets/scan's EventSQL.
func HistorySQL(asOf timeline.AsOf, zone *time.Location) string {
	day := "CAST(event_time AS DATE)"
	if zone != time.UTC {
		day = fmt.Sprintf("CAST(timezone('%s', timezone('UTC', event_time)) AS DATE)", strings.ReplaceAll(zone.String(), "'", "''"))
	}
	return fmt.Sprintf("SELECT *, %s AS day FROM events WHERE epoch_us(event_time) < %d", day, asOf.Instant)
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
	return strings.ReplaceAll(b.String(), "$today", fmt.Sprintf("DATE '%s'", asOf))
}
