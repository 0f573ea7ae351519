package report

import (
	"fmt"
	"math"
	"time"

	"github.com/shoal-data/shoal/jobs/report/chart"
	"github.com/shoal-data/shoal/jobs/report/query"
)

// nights makes lines over dates of a result with the columns date and value: which line a
// row belongs to, and its class, of says. The ticks are dates, few enough to be read.
func (b *builder) nights(f *Figure, r *query.Result, of func(i int) (name string, class int)) ([]chart.Line, []chart.Tick) {
	var lines []chart.Line
	at := map[string]int{}
	seen := map[string]bool{}
	var dates []chart.Tick
	for i := range r.Len() {
		day, err := time.Parse(time.DateOnly, r.T(i, "date"))
		if err != nil {
			continue
		}
		x := float64(day.Unix() / 86400)
		if !seen[r.T(i, "date")] {
			seen[r.T(i, "date")] = true
			dates = append(dates, chart.Tick{At: x, Text: r.T(i, "date")})
		}
		name, class := of(i)
		k, ok := at[name]
		if !ok {
			k = len(lines)
			at[name] = k
			lines = append(lines, chart.Line{Name: name, Class: class, Dots: true, Dashed: class > 3})
		}
		lines[k].Points = append(lines[k].Points, chart.Point{X: x, Y: r.F(i, "value"), Low: math.NaN(), High: math.NaN(), Tip: fmt.Sprintf("%s\n%s: %s", name, r.T(i, "date"), f.C(i, "value"))})
	}
	if n := len(dates); n > 4 {
		dates = []chart.Tick{dates[0], dates[n/3], dates[2*n/3], dates[n-1]}
	}
	for k := range lines {
		lines[k].Dots = len(lines[k].Points) <= 40
	}
	return lines, dates
}

// lately restricts a query over trends to the newest dates, so few that a figure shows at most
// shownSizes of its rows.
func (b *builder) lately(f *Figure, q *query.Query) *query.Query {
	dates := b.read(q.Only().Get("date", query.Col("date")).Get("n", query.Count()).Order("date DESC"))
	rows := 0.0
	for i := range dates.Len() {
		if rows += dates.F(i, "n"); rows > shownSizes {
			f.About += " The table trends remembers more nights."
			return q.Where(query.Gt(query.Col("date"), query.S(dates.T(i, "date"))))
		}
	}
	return q
}

// growth is how many customers and events the runs had.
func (b *builder) growth() *Figure {
	f := &Figure{ID: "growth", Title: "Customers night by night", About: "Customers known at the date of each run that the trends remember."}
	r, ok := b.query(f, query.From("trends").Where(query.Is("subject", "run"), query.Is("measure", "customers")).Columns("date", "value").Order("date"),
		text("date", "Date"), whole("value", "Customers"))
	if !ok {
		return f
	}
	lines, dates := b.nights(f, r, func(int) (string, int) { return "customers", 0 })
	if len(dates) < 2 {
		f.Missing = "Only this run has it yet: the next ones add to the curve."
		return f
	}
	last := r.Len() - 1
	f.Reading = fmt.Sprintf("From %s on %s to %s on %s.", f.C(0, "value"), f.C(0, "date"), f.C(last, "value"), f.C(last, "date"))
	f.Chart = chart.Lines(f.frame("date of the run", "customers"), chart.Axis{Ticks: dates}, chart.Axis{Format: axisCount}, lines)
	return f
}

// qualityOverTime is how good a target's best model and the recency rule were, run by run.
func (b *builder) qualityOverTime(name string) *Figure {
	f := &Figure{ID: anID("quality-over-time", name), Title: "Quality night by night", About: "AUC on each run's own test date, of the best model and of the recency rule."}
	r, ok := b.query(f, b.lately(f, query.From("trends").Where(query.Is("subject", name), query.In(query.Col("measure"), "auc", "recency_auc"))).Columns("date", "measure", "value").Order("date", "measure"),
		text("date", "Date"), Column{"measure", "Of", func(v query.Value) string {
			if v.String() == "auc" {
				return "best model"
			}
			return "recency rule"
		}}, decimal("value", "AUC"))
	if !ok {
		if _, there := b.run.Columns("trends"); there && f.Missing != "" {
			f.Missing = "No model has been tested yet."
		}
		return f
	}
	lines, dates := b.nights(f, r, func(i int) (string, int) {
		if r.T(i, "measure") == "auc" {
			return "best model", 0
		}
		return "recency rule", 1
	})
	if len(dates) < 2 {
		f.Missing = "Only this run has it yet: the next ones add to the curve."
		return f
	}
	first, last := -1, -1
	for i := range r.Len() {
		if r.T(i, "measure") == "auc" {
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	if first >= 0 {
		f.Reading = fmt.Sprintf("The best model's AUC went from %s on %s to %s on %s.", f.C(first, "value"), f.C(first, "date"), f.C(last, "value"), f.C(last, "date"))
	}
	f.Chart = chart.Lines(f.frame("date of the run", "AUC (0.5 is chance)"), chart.Axis{Ticks: dates}, chart.Axis{Format: axisNumber}, lines)
	return f
}

// bySnapshot is how good the model is on each date that it was judged at.
func (b *builder) bySnapshot(name string) *Figure {
	f := &Figure{ID: anID("by-snapshot", name), Title: "Quality by date", About: "AUC of the model in use on customers whom it had not learnt from: held out of the dates that it learnt from, and all of the test date. A fall from the ones to the other is what time costs. The table has the other models too."}
	m := query.Col("metric")
	pick := func(metric string) query.Expr {
		return query.Most(query.If(query.Eq(m, query.S(metric)), query.Col("value")))
	}
	r, ok := b.query(f, query.From("model_metrics").Where(query.Is("target", name), query.Is("split", "held_out").Or(query.All(query.Is("split", "test"), query.True("champion"))), query.In(m, "auc", "log_loss", "prevalence", "calibration_in_the_large")).
		Get("snapshot", query.Col("snapshot")).Get("split", query.Col("split")).Get("model", query.Col("model")).Get("auc", pick("auc")).Get("log_loss", pick("log_loss")).Get("prevalence", pick("prevalence")).Get("calibration", pick("calibration_in_the_large")).Get("rows", query.Most(query.Col("rows"))).Order("snapshot", "split", "model"),
		text("snapshot", "Date"), text("split", "Judged on"), model("model", "Model"), decimal("auc", "AUC"), decimal("log_loss", "Log-loss"), share("prevalence", "Share with the outcome"), decimal("calibration", "Predicted less actual share"), whole("rows", "Customers"))
	if !ok || r.Len() < 2 {
		return nil // the test date alone is told of elsewhere
	}
	var dots []chart.Dot
	held, test := -1, -1
	used := ""
	for i := range r.Len() {
		if r.T(i, "split") == "test" {
			used = r.T(i, "model")
		}
	}
	for i := range r.Len() {
		if r.T(i, "model") != used {
			continue
		}
		v := chart.Plain(r.F(i, "auc"), f.tip(i, r.T(i, "snapshot")+" ("+words(r.T(i, "split"))+")", "model", "auc", "log_loss", "prevalence", "calibration", "rows"))
		v.Text, v.Class = f.C(i, "auc"), 5
		if r.T(i, "split") == "test" {
			test, v.Class, v.Strong = i, 0, true
		} else {
			held = i
		}
		dots = append(dots, chart.Dot{Name: r.T(i, "snapshot") + ", " + words(r.T(i, "split")), Value: v})
	}
	if len(dots) < 2 {
		return nil
	}
	if held >= 0 && test >= 0 {
		f.Reading = fmt.Sprintf("AUC %s on customers held out of %s, and %s on the test date, %s.", f.C(held, "auc"), f.C(held, "snapshot"), f.C(test, "auc"), f.C(test, "snapshot"))
	}
	f.Chart = chart.Dots(f.frame("AUC (0.5 is chance)", ""), chart.Axis{Format: axisNumber}, dots)
	return f
}
