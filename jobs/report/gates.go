package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/shoal-data/shoal/jobs/report/chart"
	"github.com/shoal-data/shoal/jobs/report/query"
)

// gates are what the run was judged by: a figure a table that holds judgements.
func (b *builder) gates() []*Figure {
	return []*Figure{
		b.judged("gates-input", "Gates: what came in", "data_quality", "measures"),
		b.judged("gates-drift", "Gates: features and scores", "drift", "features and scores"),
		b.judged("gates-backtest", "Gates: earlier scores", "score_backtest", "predictions of earlier runs"),
	}
}

// judged is what the gates say of the rows of a table.
func (b *builder) judged(id, title, table, what string) *Figure {
	f := &Figure{ID: id, Title: title, About: "How many " + what + " each gate judged. A warning does not stop a run; a failure does, unless gates.action says otherwise. Bounds are under gates in the effective configuration; gates of labels and of models just fitted speak in the warnings."}
	status := query.Col("status")
	r, ok := b.query(f, query.From(table).Where(query.NotNull(query.Col("gate"))).Get("gate", query.Col("gate")).Get("judged", query.Count()).
		Get("ok", query.CountIf(query.Eq(status, query.S("ok")))).Get("warn", query.CountIf(query.Eq(status, query.S("warn")))).Get("fail", query.CountIf(query.Eq(status, query.S("fail")))).
		Order("fail DESC", "warn DESC", "judged DESC", "gate"),
		Column{"gate", "Gate", func(v query.Value) string { return words(asText(v)) }}, whole("judged", "Judged"), whole("ok", "Ok"), whole("warn", "Warn"), whole("fail", "Fail"))
	if !ok {
		if _, there := b.run.Columns(table); there {
			f.Missing = "No gate judged any " + what + ": there is nothing yet to compare with, or gates are off."
		}
		return f
	}
	warned, failed := 0, 0
	var bars []chart.Bar
	for i := range r.Len() {
		v := chart.Plain(r.F(i, "judged"), f.tip(i, f.C(i, "gate"), "judged", "ok", "warn", "fail"))
		v.Text = f.C(i, "ok") + " ok"
		if r.F(i, "warn") > 0 {
			warned++
			v.Class, v.Text = 1, v.Text+", "+f.C(i, "warn")+" warn"
		}
		if r.F(i, "fail") > 0 {
			failed++
			v.Class, v.Text = 1, v.Text+", "+f.C(i, "fail")+" fail"
		}
		bars = append(bars, chart.Bar{Name: f.C(i, "gate"), Values: []chart.Value{v}})
	}
	if warned+failed == 0 {
		f.Reading = fmt.Sprintf("None of the %d gates that had something to judge has warned or failed.", r.Len())
		if r.Len() == 1 {
			f.Reading = fmt.Sprintf("The one gate that had something to judge, %s, is ok.", f.C(0, "gate"))
		}
	} else {
		f.Reading = fmt.Sprintf("Of %d %s, %d warned and %d failed; most in need of a look is %s: of %s judged, %s warned and %s failed.", r.Len(), plural(r.Len(), "gate"), warned, failed, f.C(0, "gate"), f.C(0, "judged"), f.C(0, "warn"), f.C(0, "fail"))
	}
	f.Chart = chart.Bars(f.frame(what+" judged", ""), chart.Axis{Format: axisCount}, nil, bars)
	return f
}

// eventsByDay is what each of the last days brought, beside what was to be expected.
func (b *builder) eventsByDay() *Figure {
	f := &Figure{ID: "events-by-day", Title: "Events day by day", About: "Events of each of the days before the date of the run."}
	r, ok := b.query(f, query.From("data_quality").Where(query.Is("metric", "events_on_day")).Get("date", query.Col("subject")).Columns("value", "last_year").Order("date"),
		text("date", "Day"), whole("value", "Events"), whole("last_year", "364 days earlier"))
	if !ok {
		return f
	}
	lines, dates := b.nights(f, r, func(int) (string, int) { return "events", 0 })
	if len(dates) < 2 {
		f.Missing = "There is one day only."
		return f
	}
	least, most := 0, 0
	for i := range r.Len() {
		if r.F(i, "value") < r.F(least, "value") {
			least = i
		}
		if r.F(i, "value") > r.F(most, "value") {
			most = i
		}
	}
	f.Reading = fmt.Sprintf("Fewest events on %s (%s), most on %s (%s).", f.C(least, "date"), f.C(least, "value"), f.C(most, "date"), f.C(most, "value"))
	f.Chart = chart.Lines(f.frame("day", "events"), chart.Axis{Ticks: dates}, chart.Axis{Format: axisCount}, lines)
	return f
}

// measures is every measure of the input that a gate judged.
func (b *builder) measures() *Figure {
	f := &Figure{ID: "measures", Title: "Measures of the input", Wide: true, Filter: true, About: "What gates judged of the events, beside the run before, 364 days earlier, and what the eight weeks before lead to expect. The bound is the one that was reached, or is reached first."}
	r, ok := b.query(f, query.From("data_quality").Where(query.NotNull(query.Col("gate"))).Columns("status", "metric", "subject", "value", "previous", "last_year", "expected", "gate", "bound").Order("status DESC", "metric", "subject", "gate"),
		text("status", "Status"), Column{"metric", "Measure", func(v query.Value) string { return words(asText(v)) }}, text("subject", "Of"), number("value", "Value"), number("previous", "Run before"), number("last_year", "364 days earlier"), number("expected", "Expected"), Column{"gate", "Gate", func(v query.Value) string { return words(asText(v)) }}, number("bound", "Bound"))
	if !ok {
		if _, there := b.run.Columns("data_quality"); there {
			f.Missing = "No measure was judged: there is nothing yet to compare with, or gates are off."
		}
		return f
	}
	f.Reading = "Every measure that was judged is within its bounds."
	for i := range r.Len() {
		if s := r.T(i, "status"); s != "ok" {
			f.Reading = fmt.Sprintf("The first that is not within its bounds: %s", f.C(i, "metric"))
			if !r.At(i, "subject").IsNull() {
				f.Reading += " of " + r.T(i, "subject")
			}
			f.Reading += fmt.Sprintf(" is %s, and %s says %s.", f.C(i, "value"), f.C(i, "gate"), s)
			break
		}
	}
	return f
}

// references are what drift compares with.
var references = []struct{ name, title, about string }{
	{"training", "What moved since training", "Features against the training snapshots, scores against the test snapshot."},
	{"previous", "What moved since the run before", "Features and scores against the run before."},
	{"last_year", "What moved since last year", "Features and scores against the run of the same week last year."},
}

const shownDrift = 15 // features and scores of a reference

// drifted are the features and scores that moved most, by what they are compared with, and
// how the first of each is spread.
func (b *builder) drifted() []*Figure {
	if _, there := b.run.Columns("drift"); !there {
		return []*Figure{{ID: "drift-none", Title: "Drift", Missing: "Nothing to show: the run has no table drift."}}
	}
	var figures []*Figure
	for _, ref := range references {
		f := &Figure{ID: "drift-" + ref.name, Title: ref.title, Filter: true, About: ref.about + " PSI, the population stability index: 0 is no change, and 0.1 and 0.25 are the customary bounds. Upright lines: the gate's bounds, which it applies beyond chance and beyond what moves by nature."}
		r, ok := b.query(f, query.From("drift").Where(query.Is("reference", ref.name)).Columns("name", "kind", "psi", "bound", "psi_by_chance", "psi_usual", "ks", "moved_share", "status", "gate").Order("psi DESC", "name").Limit(shownDrift),
			Column{"name", "Feature or score", func(v query.Value) string { return words(asText(v)) }}, text("kind", "Kind"), decimal("psi", "PSI"), number("bound", "Bound"), decimal("psi_by_chance", "PSI by chance"), decimal("psi_usual", "Usual PSI"), decimal("ks", "KS"), share("moved_share", "Scores moved"), text("status", "Status"), Column{"gate", "Gate", func(v query.Value) string { return words(asText(v)) }})
		if !ok {
			continue
		}
		var bars []chart.Bar
		var bounds []float64
		for i := range r.Len() {
			v := chart.Plain(r.F(i, "psi"), f.tip(i, f.C(i, "name"), "psi", "bound", "psi_by_chance", "status"))
			v.Text = f.C(i, "psi")
			if r.T(i, "status") != "ok" {
				v.Class, v.Text = 1, v.Text+" "+r.T(i, "status")
			}
			bars = append(bars, chart.Bar{Name: f.C(i, "name"), Values: []chart.Value{v}})
			if x := r.F(i, "bound"); !math.IsNaN(x) && !slices.Contains(bounds, x) {
				bounds = append(bounds, x)
			}
		}
		f.Reading = fmt.Sprintf("Moved most: “%s”, PSI %s, where %s is chance; status: %s.", f.C(0, "name"), f.C(0, "psi"), f.C(0, "psi_by_chance"), r.T(0, "status"))
		f.Chart = chart.Bars(f.frame("PSI (0: no change)", ""), chart.Axis{Format: axisNumber}, nil, bars, bounds...)
		figures = append(figures, f)
		if ref.name == "last_year" {
			continue
		}
		figures = append(figures, b.driftBins(ref.name, r.T(0, "name")))
	}
	if len(figures) == 0 {
		figures = append(figures, &Figure{ID: "drift-none", Title: "Drift", Missing: "There is nothing to compare with: no model was trained, and there is no earlier run."})
	}
	return figures
}

// driftBins is how a feature or score is spread, here and in what it is compared with.
func (b *builder) driftBins(reference, name string) *Figure {
	f := &Figure{ID: anID("drift-bins", reference), Title: "How “" + words(name) + "” moved", About: "Shares of the customers by value, in the bins that PSI compares: in this run, and in what it is compared with."}
	bins := ""
	if c, ok := b.run.column("features", name); ok {
		if u := b.unitName(c.Unit); u != "" {
			bins = "; bins in " + u
		}
		f.About = strings.TrimSuffix(c.Meaning, ".") + ". " + f.About
	}
	expected, actual := query.Col("expected_count"), query.Col("actual_count")
	q := query.From("drift_bins").Where(query.Is("name", name), query.Is("reference", reference), query.Gt(query.Add(expected, actual), query.N(0)))
	if n := float64(b.settings.Privacy.SmallestSegment); n > 1 {
		q.Where(query.Ge(expected, query.N(n)), query.Ge(actual, query.N(n)))
		f.About += " Bins of few customers are left out."
	}
	r, ok := b.query(f, q.Columns("bin", "low", "high", "of_null", "expected_count", "actual_count").
		Share("expected_share", "expected_count").Share("actual_share", "actual_count").
		Derive("change", "actual_share - expected_share", func(r *query.Result, i int) query.Value {
			return query.Num(r.F(i, "actual_share") - r.F(i, "expected_share"))
		}).Order("bin"),
		text("bin", "Bin"), number("low", "Greater than"), number("high", "At most"), text("of_null", "No value"), whole("expected_count", "Customers then"), whole("actual_count", "Customers now"), share("expected_share", "Then"), share("actual_share", "Now"), share("change", "Now less then"))
	if !ok {
		return f
	}
	label := func(i int) string {
		switch {
		case r.At(i, "of_null").True():
			return "no value"
		case !r.At(i, "high").IsNull():
			return "≤ " + f.C(i, "high")
		case !r.At(i, "low").IsNull():
			return "> " + f.C(i, "low")
		}
		return "any"
	}
	var bars []chart.Bar
	most := 0
	for i := range r.Len() {
		tip := f.tip(i, label(i), "expected_share", "actual_share", "change")
		then, now := chart.Plain(r.F(i, "expected_share"), tip), chart.Plain(r.F(i, "actual_share"), tip)
		then.Text, now.Text = f.C(i, "expected_share"), f.C(i, "actual_share")
		bars = append(bars, chart.Bar{Name: label(i), Values: []chart.Value{then, now}})
		if math.Abs(r.F(i, "change")) > math.Abs(r.F(most, "change")) {
			most = i
		}
	}
	f.Reading = fmt.Sprintf("Most changed, %s: from %s of the customers to %s.", label(most), f.C(most, "expected_share"), f.C(most, "actual_share"))
	f.Chart = chart.Bars(f.frame("share of customers"+bins, ""), chart.Axis{Format: axisShare}, []string{"Then", "Now"}, bars)
	return f
}

// backtest is how right earlier scores of a target were, now that their outcomes are known.
func (b *builder) backtest(name string) *Figure {
	f := &Figure{ID: anID("backtest", name), Title: "Earlier scores, as they turned out", About: "Scores of earlier runs whose outcome window is over since the run before. AUC with twice its standard error either way, beside the recency rule on the same customers and what that run measured out of time. Brier score: lower is better."}
	r, ok := b.query(f, query.From("score_backtest").Where(query.Is("target", name)).
		Columns("scored_date", "scored_run", "model", "customers", "positives", "mean_score", "rate", "auc", "auc_error", "recency_auc", "promised_auc", "brier", "ece", "status", "gate", "bound").
		Derive("low", "auc - 2 * auc_error", beside("auc", "auc_error", -2)).Derive("high", "auc + 2 * auc_error", beside("auc", "auc_error", 2)).Order("scored_date", "scored_run", "model"),
		text("scored_date", "Scored on"), text("scored_run", "By run"), model("model", "Model"), whole("customers", "Customers"), whole("positives", "With the outcome"), share("mean_score", "Mean score"), share("rate", "Happened"), decimal("auc", "AUC"), decimal("auc_error", "Its error"), decimal("recency_auc", "Recency rule's AUC"), decimal("promised_auc", "Promised AUC"), decimal("brier", "Brier"), decimal("ece", "ECE"), text("status", "Status"), Column{"gate", "Gate", func(v query.Value) string { return words(asText(v)) }}, number("bound", "Bound"), decimal("low", "AUC, low"), decimal("high", "high"))
	if !ok {
		if _, there := b.run.Columns("score_backtest"); there {
			f.Missing = "No earlier run's scores of this target came due since the run before."
		}
		return f
	}
	var dots []chart.Dot
	for i := range r.Len() {
		on := r.T(i, "scored_date")
		tip := f.tip(i, "scored on "+on, "auc", "recency_auc", "promised_auc", "mean_score", "rate", "brier", "customers", "status")
		dots = append(dots,
			chart.Dot{Name: on, Value: chart.Value{V: r.F(i, "auc"), Low: r.F(i, "low"), High: r.F(i, "high"), Text: f.C(i, "auc"), Tip: tip, Strong: true}},
			chart.Dot{Name: "promised", Value: chart.Value{V: r.F(i, "promised_auc"), Low: math.NaN(), High: math.NaN(), Text: f.C(i, "promised_auc"), Tip: tip, Class: 5}},
			chart.Dot{Name: "recency rule", Value: chart.Value{V: r.F(i, "recency_auc"), Low: math.NaN(), High: math.NaN(), Text: f.C(i, "recency_auc"), Tip: tip, Class: 1}})
	}
	last := r.Len() - 1
	f.Reading = fmt.Sprintf("Scores of %s gave %s customers %s on average, and %s had the outcome: AUC %s, where %s was promised, Brier score %s.", f.C(last, "scored_date"), f.C(last, "customers"), f.C(last, "mean_score"), f.C(last, "rate"), f.C(last, "auc"), f.C(last, "promised_auc"), f.C(last, "brier"))
	f.Chart = chart.Dots(f.frame("AUC (0.5 is chance)", ""), chart.Axis{Format: axisNumber}, dots)
	return f
}

// beside is a number and so many times its error.
func beside(column, err string, times float64) func(r *query.Result, i int) query.Value {
	return func(r *query.Result, i int) query.Value { return query.Num(r.F(i, column) + times*r.F(i, err)) }
}

// valueBacktest is what earlier forecasts of value came to.
func (b *builder) valueBacktest() *Figure {
	f := &Figure{ID: "backtest-value", Title: "Earlier forecasts, as they turned out", About: "Forecasts of earlier runs whose horizon is over since the run before: what all their customers together were expected to bring, and what they have brought."}
	r, ok := b.query(f, query.From("score_backtest").Where(query.HasPrefix(query.Col("target"), "value_"), query.IsNull(query.Col("positives"))).
		Columns("target", "scored_date", "scored_run", "span_days", "customers", "purchases_expected", "purchases_actual", "value_expected", "value_actual", "purchases_mae", "value_mae").
		Ratio("ratio", "value_actual", "value_expected").Order("scored_date", "span_days", "scored_run"),
		Column{"target", "Forecast", func(v query.Value) string { return words(asText(v)) }}, text("scored_date", "Made on"), text("scored_run", "By run"), whole("span_days", "Days ahead"), whole("customers", "Customers"), number("purchases_expected", "Days with a purchase, expected"), number("purchases_actual", "actual"), number("value_expected", "Value expected, "+b.currency), number("value_actual", "Actual"), number("purchases_mae", "Mean error, days"), number("value_mae", "Mean error, "+b.currency), share("ratio", "Actual over expected"))
	if !ok {
		if _, there := b.run.Columns("score_backtest"); there && f.Missing != "" {
			f.Missing = "No earlier run's forecast came due since the run before."
		}
		return f
	}
	var bars []chart.Bar
	for i := range r.Len() {
		tip := f.tip(i, r.T(i, "scored_date")+", "+f.C(i, "span_days")+" days", "value_expected", "value_actual", "ratio", "value_mae", "customers")
		then, now := chart.Plain(r.F(i, "value_expected"), tip), chart.Plain(r.F(i, "value_actual"), tip)
		then.Text, now.Text = f.C(i, "value_expected"), f.C(i, "value_actual")
		bars = append(bars, chart.Bar{Name: r.T(i, "scored_date") + ", " + f.C(i, "span_days") + " days", Values: []chart.Value{then, now}})
	}
	last := r.Len() - 1
	f.Reading = fmt.Sprintf("On %s, %s customers were expected to bring %s %s in %s days, and brought %s: %s of it.", f.C(last, "scored_date"), f.C(last, "customers"), f.C(last, "value_expected"), b.currency, f.C(last, "span_days"), f.C(last, "value_actual"), f.C(last, "ratio"))
	f.Chart = chart.Bars(f.frame("value, "+b.currency, ""), chart.Axis{Format: axisCount}, []string{"Expected", "Actual"}, bars)
	return f
}
