package quality

import (
	"github.com/shoal-data/shoal/jobs/outputs"
)

// Table is the name of the table.
const Table = "data_quality"

// Rows lays the measures out. Columns of stamp follow the first.
func Rows(all []*Row, stamp []outputs.Column) outputs.Table {
	l := outputs.Layout[*Row]{Rows: all}
	return l.Table(Table, l.Text("metric", "What is measured (docs/monitoring.md lists them).", func(m *Row) string { return m.Metric }), stamp, []outputs.Column{
		l.Text("subject", "Of what: a column and a role, an event type, a day; null for all events.", func(m *Row) string { return m.Subject }),
		l.Float("value", "", "The number.", func(m *Row) float64 { return m.Value }),
		l.Float("previous", "", "The same in the run before; null when it has none, or its sources were others.", func(m *Row) float64 { return m.Previous }),
		l.Float("last_year", "", "The same 364 days earlier; null where history does not reach back.", func(m *Row) float64 { return m.LastYear }),
		l.Float("expected", "", "What the eight weeks before lead to expect; null where they do not.", func(m *Row) float64 { return m.Expected }),
		l.Text("status", "What the gates say of it: ok, warn or fail. A run with a fail is published only with gates.action: warn.", func(m *Row) string { return string(m.Status) }),
		l.Text("gate", "The gate that judged it, by its key in the configuration; null when none did.", func(m *Row) string { return m.Gate }),
		l.Float("bound", "", "The bound that was reached, or that is reached first; null when it is off.", func(m *Row) float64 { return m.Bound }),
	})
}

// Columns that another run reads.
var Columns = []string{"metric", "subject", "value"}
