package explain

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/timeline"
)

// spell puts the as-of date and instant into a column's SQL.
func (x *explainer) spell(sql string) string {
	return strings.NewReplacer("$today", fmt.Sprintf("DATE '%s'", x.asOf), "$instant", fmt.Sprint(x.asOf.Instant)).Replace(sql)
}

// eventsSQL makes the table of everybody's events from the job's own files.
func (x *explainer) eventsSQL() string {
	return fmt.Sprintf("-- events: every row of the job's files that can be used\n%s;\n", x.plan.EventSQL())
}

// customerSQL computes the customer's columns, or the only one, from that table.
func (x *explainer) customerSQL() string {
	var b strings.Builder
	distinct, first := dedupeSQL(x.dedupe)
	fmt.Fprintf(&b, "-- customer_events: this customer's, each once\nCREATE OR REPLACE TEMP TABLE customer_events AS\nSELECT %s* FROM events WHERE customer_id = %s%s;\n", distinct, x.literal(), first)
	history := strings.Replace(features.HistorySQL(x.asOf, x.zone), "FROM events", "FROM customer_events", 1)
	fmt.Fprintf(&b, "\n-- history: those before the end of %s\nCREATE OR REPLACE TEMP VIEW history AS\n%s;\n", x.asOf, history)
	for i, f := range x.families {
		if x.Column != "" {
			if i != x.column[0] {
				continue
			}
			f.Columns = f.Columns[x.column[1] : x.column[1]+1]
		}
		fmt.Fprintf(&b, "\n-- %s: %s\n%s;\n", f.Name, f.Meaning, f.SQL(x.asOf))
	}
	return b.String()
}

// literal is the customer's id in SQL.
func (x *explainer) literal() string {
	shown := x.plan.IDType.Format(x.id)
	switch t := x.plan.IDType; {
	case t.Kind == datasets.IDInt32 || t.Kind == datasets.IDInt64:
		return shown
	case t.Kind == datasets.IDFixed && t.UUID:
		return "UUID '" + shown + "'"
	case t.Kind == datasets.IDFixed:
		return "unhex('" + hex.EncodeToString([]byte(x.id)) + "')"
	}
	return "'" + strings.ReplaceAll(shown, "'", "''") + "'"
}

// dedupeSQL drops one customer's repeated events as timelines do: of equal ids
// the first event in canonical order stays, nulls first.
func dedupeSQL(d timeline.Dedupe) (distinct, first string) {
	switch d {
	case timeline.DedupeExact:
		return "DISTINCT ", ""
	case timeline.DedupeEventID:
		roles := make([]string, datasets.NumRoles)
		for r := range roles {
			roles[r] = "'" + datasets.Role(r).String() + "'"
		}
		order := []string{"event_time", "list_position([" + strings.Join(roles, ", ") + "], role)"}
		for _, f := range []datasets.Field{
			datasets.EventType, datasets.Amount, datasets.Quantity, datasets.Rating, datasets.Currency, datasets.ProductID,
			datasets.Category, datasets.Channel, datasets.CampaignID, datasets.SessionID,
		} {
			order = append(order, f.String()+" NULLS FIRST")
		}
		return "", "\nQUALIFY event_id IS NULL OR row_number() OVER (PARTITION BY event_id ORDER BY " + strings.Join(order, ", ") + ") = 1"
	}
	return "", ""
}
