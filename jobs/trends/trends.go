// Package trends keeps a few numbers of every run in one small table: each run carries
// on the rows of the one before it and adds its own. So a curve over many nights needs
// only the last run, and stays when older ones are cleared away.
package trends

import (
	"context"
	"math"
	"slices"

	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/jobs/report/query"
)

// Table is the table's name.
const Table = "trends"

// Dates is how many dates are kept: a year and what is needed to compare it with.
const Dates = 800

// A Row is a number of one run.
type Row struct {
	Date    string // YYYY-MM-DD, of the run
	Subject string // run, a segmentation or a target
	Segment int    // of a segmentation; 0 for all of the subject
	Name    string // of the segment
	Measure string
	Value   float64 // NaN where not known
}

var columns = []string{"date", "subject", "segment_id", "segment_name", "measure", "value"}

// Past reads the rows that an earlier run published; without the table there are none.
func Past(ctx context.Context, t query.Tables) ([]Row, error) {
	q := query.From(Table).Columns(columns...)
	if q.Missing(t) != "" {
		return nil, nil
	}
	r, err := q.Run(ctx, t)
	if err != nil {
		return nil, err
	}
	var rows []Row
	for i := range r.Len() {
		row := Row{Date: r.T(i, "date"), Subject: r.T(i, "subject"), Name: r.T(i, "segment_name"), Measure: r.T(i, "measure"), Value: r.F(i, "value")}
		if id := r.F(i, "segment_id"); !math.IsNaN(id) {
			row.Segment = int(id)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// Continue puts tonight's rows after those of earlier dates, of which the newest stay.
func Continue(past, tonight []Row, date string) []Row {
	var rows []Row
	dates := map[string]bool{}
	for _, r := range past {
		if r.Date < date {
			rows = append(rows, r)
			dates[r.Date] = true
		}
	}
	if over := len(dates) - (Dates - 1); over > 0 {
		all := make([]string, 0, len(dates))
		for d := range dates {
			all = append(all, d)
		}
		slices.Sort(all)
		rows = slices.DeleteFunc(rows, func(r Row) bool { return r.Date < all[over] })
	}
	return append(rows, tonight...)
}

// Tabulate lays the rows out.
func Tabulate(rows []Row, stamp []outputs.Column) outputs.Table {
	l := outputs.Layout[Row]{Rows: rows}
	return l.Table(Table, l.Text("date", "The date of the run that the number is of, YYYY-MM-DD: this one's, or that of one before it.", func(r Row) string { return r.Date }), stamp, []outputs.Column{
		l.Text("subject", "What the number is about: run, a segmentation or a target.", func(r Row) string { return r.Subject }),
		l.Small("segment_id", "The segment; null for all of the subject.", func(r Row) int { return r.Segment }),
		l.Text("segment_name", "Its name.", func(r Row) string { return r.Name }),
		l.Text("measure", "run: customers, events, expected_value; a segmentation: customers, customer_share, revenue_share of a segment; a target: auc of the best model and recency_auc of the rule on the test date, base_rate there, customers scored.", func(r Row) string { return r.Measure }),
		l.Float("value", "", "The number, in customers, events, rows, the currency, or a share.", func(r Row) float64 { return r.Value }),
	})
}
