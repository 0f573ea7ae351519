package report

import (
	"fmt"
	"math"
	"time"

	"github.com/shoal-data/shoal/jobs/report/chart"
	"github.com/shoal-data/shoal/jobs/report/query"
)

// shownCohorts is how many of the newest cohorts are drawn; the table has all.
const shownCohorts = 24

// monthName is a month by its first day.
func monthName(v query.Value) string {
	if v.IsNull() {
		return none
	}
	return v.String()[:len("2006-01")]
}

// few says that small groups are left out, where they are.
func (b *builder) few(f *Figure) {
	if b.settings.Privacy.SmallestSegment > 1 {
		f.About += " Where few customers bought, the number is left out."
	}
}

// cohorts is who of each cohort still buys, month by month.
func (b *builder) cohorts() *Figure {
	f := &Figure{ID: "cohorts", Title: "Who of each cohort still buys", Filter: true, About: fmt.Sprintf("A row is the customers who bought for the first time in a month, as far as the history goes back: the share of them who bought in each month after it. Months that are not over, the month of the first purchase, in which all bought, and cohorts before the newest %d are not drawn.", shownCohorts)}
	b.few(f)
	q := query.From("cohorts")
	newest := b.read(query.From("cohorts").Get("newest", query.Most(query.Col("cohort"))))
	if newest.Len() > 0 {
		if last, err := time.Parse(time.DateOnly, newest.T(0, "newest")); err == nil {
			q.Where(query.Ge(query.Col("cohort"), query.Day(last.AddDate(0, 1-shownCohorts, 0))))
		}
	}
	r, ok := b.query(f, q.Columns("cohort", "months_since", "month", "cohort_customers", "customers", "complete").Ratio("share", "customers", "cohort_customers").Order("cohort", "months_since"),
		Column{"cohort", "First bought in", monthName}, whole("months_since", "Months later"), Column{"month", "Month", monthName}, whole("cohort_customers", "Customers of the cohort"), whole("customers", "Customers"), text("complete", "The month is over"), share("share", "Still buying"))
	if !ok {
		if _, there := b.run.Columns("cohorts"); there && f.Missing != "" {
			f.Missing = "Nobody has bought."
		}
		return f
	}
	months, most := 0, 0.0
	for i := range r.Len() {
		if r.At(i, "complete").True() {
			months = max(months, int(r.F(i, "months_since")))
			if v := r.F(i, "share"); r.F(i, "months_since") > 0 && !math.IsNaN(v) {
				most = max(most, v)
			}
		}
	}
	if months == 0 {
		f.Missing = "No month has passed since the first purchases."
		return f
	}
	var rows, columns []string
	for m := range months {
		columns = append(columns, fmt.Sprint(m+1))
	}
	at := map[string]int{}
	var cells [][]chart.Cell
	longest := -1 // row of the oldest cohort's last complete month
	for i := range r.Len() {
		cohort := f.C(i, "cohort")
		k, seen := at[cohort]
		if !seen {
			k = len(rows)
			at[cohort] = k
			rows = append(rows, cohort+" ("+f.C(i, "cohort_customers")+")")
			line := make([]chart.Cell, months)
			for m := range line {
				line[m] = chart.Cell{V: math.NaN()}
			}
			cells = append(cells, line)
		}
		m, v := int(r.F(i, "months_since")), r.F(i, "share")
		if m == 0 || !r.At(i, "complete").True() {
			continue
		}
		tip := f.tip(i, "first bought in "+cohort+", "+f.C(i, "months_since")+" "+plural(m, "month")+" later", "month", "share", "customers", "cohort_customers")
		cells[k][m-1] = chart.Cell{V: v, Tip: tip}
		if !math.IsNaN(v) {
			cells[k][m-1].Text = fmt.Sprintf("%.0f", 100*v)
			if k == 0 {
				longest = i
			}
		}
	}
	for last := len(rows) - 1; last > 0 && math.IsNaN(cells[last][0].V); last-- { // the next month is not over
		rows, cells = rows[:last], cells[:last]
	}
	if longest >= 0 {
		f.Reading = fmt.Sprintf("Of the %s %s who first bought in %s, %s bought in %s, %s %s later.", f.C(longest, "cohort_customers"), plural(int(r.F(longest, "cohort_customers")), "customer"), f.C(longest, "cohort"), f.C(longest, "share"), f.C(longest, "month"), f.C(longest, "months_since"), plural(int(r.F(longest, "months_since")), "month"))
	}
	f.Chart = chart.Heat(f.frame("months since the first purchase", "first bought in (customers); cells: % who bought"), rows, columns, cells, most)
	return f
}

// stillBuying is the retention of all cohorts together.
func (b *builder) stillBuying() *Figure {
	f := &Figure{ID: "still-buying", Title: "Still buying, month by month", About: "Of the customers whose first purchase is so many calendar months ago or more: the share who bought in that month after it. Later months rest on older cohorts alone."}
	b.few(f)
	r, ok := b.query(f, query.From("cohorts").Where(query.True("complete"), query.NotNull(query.Col("customers")), query.NotNull(query.Col("cohort_customers"))).
		Get("months_since", query.Col("months_since")).Get("customers", query.Sum(query.Col("customers"))).Get("of", query.Sum(query.Col("cohort_customers"))).Get("cohorts", query.Count()).Ratio("share", "customers", "of").Order("months_since"),
		whole("months_since", "Months since the first purchase"), whole("customers", "Customers"), whole("of", "Of customers"), whole("cohorts", "Cohorts"), share("share", "Still buying"))
	if !ok {
		if _, there := b.run.Columns("cohorts"); there && f.Missing != "" {
			f.Missing = "Nobody has bought, or no month has passed since."
		}
		return f
	}
	line := chart.Line{Name: "still buying", Dots: r.Len() <= 40}
	for i := range r.Len() {
		if r.F(i, "months_since") == 0 {
			continue
		}
		line.Points = append(line.Points, chart.Point{X: r.F(i, "months_since"), Y: r.F(i, "share"), Low: math.NaN(), High: math.NaN(), Tip: f.tip(i, f.C(i, "months_since")+" "+plural(int(r.F(i, "months_since")), "month")+" later", "share", "customers", "of")})
		switch m := r.F(i, "months_since"); {
		case m == 1:
			f.Reading = fmt.Sprintf("In the month after the first purchase %s buy again", f.C(i, "share"))
		case m == 6 || m == 12 || m == 24:
			f.Reading += fmt.Sprintf(", %s in month %s", f.C(i, "share"), f.C(i, "months_since"))
		}
	}
	if len(line.Points) == 0 {
		f.Missing = "No month has passed since the first purchases."
		return f
	}
	if f.Reading != "" {
		f.Reading += "."
	}
	high := 0.0
	for _, p := range line.Points {
		high = max(high, p.Y)
	}
	step := chart.Step(high / 4)
	top := 1.0
	if high > 0 {
		top = min(1, math.Ceil(high/step-1e-9)*step)
	}
	f.Chart = chart.Lines(f.frame("months since the first purchase", "share of customers who bought in the month"), chart.Axis{Format: axisCount}, chart.Axis{Format: axisShare, Fixed: true, Low: 0, High: top}, []chart.Line{line})
	return f
}
