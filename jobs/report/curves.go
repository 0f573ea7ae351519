package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/shoal-data/shoal/jobs/report/chart"
	"github.com/shoal-data/shoal/jobs/report/query"
)

// fewTargets is how many targets have all their models' curves drawn.
const fewTargets = 4

// compared are the models that curves are drawn of: what is used, the recency rule,
// and its challengers in a fixed order.
func (b *builder) compared(name string) []string {
	r := b.read(query.From("model_curves").Where(query.Is("target", name), query.Is("split", "test")).Get("model", query.Col("model")).Get("used", query.Most(query.Col("champion"))))
	var all []string
	for i := range r.Len() {
		all = append(all, r.T(i, "model"))
	}
	place := func(m string) int {
		for i := range r.Len() {
			if r.T(i, "model") == m && r.At(i, "used").True() {
				return -1
			}
		}
		return slices.Index([]string{"recency", "trees", "logistic"}, m) & 0xff
	}
	slices.SortStableFunc(all, func(x, y string) int { return place(x) - place(y) })
	if len(b.settings.Targets) > fewTargets {
		return all[:min(len(all), 2)] // the page stays small
	}
	return all[:min(len(all), 4)]
}

// curves are the champion's and its rivals' on the test date.
func (b *builder) curves(name string) []*Figure {
	models := b.compared(name)
	if len(models) == 0 {
		return nil
	}
	type kind struct {
		curve, title, about, x, y, xLabel, yLabel string
		guides                                    []chart.Guide
		read                                      func(f *Figure, r *query.Result) string
	}
	at := func(r *query.Result, m string, x float64) int {
		found := 0
		for i := range r.Len() {
			if r.T(i, "model") == m && math.Abs(r.F(i, "x")-x) < 1e-9 {
				found = i
			}
		}
		return found
	}
	kinds := []kind{
		{"roc", "ROC curve", "Of customers without the outcome (across) and with it (up), how many are flagged as the threshold falls. The straight line is chance.", "false positive rate", "true positive rate", "Without the outcome, flagged", "With it, flagged", []chart.Guide{{X2: 1, Y2: 1}},
			func(f *Figure, r *query.Result) string {
				i := at(r, models[0], .2)
				return fmt.Sprintf("Flagging %s of those without the outcome, the champion finds %s of those with it.", f.C(i, "x"), f.C(i, "y"))
			}},
		{"precision_recall", "Precision and recall", "Of the customers flagged, how many have the outcome (up), as more of those with it are found (across).", "recall: share of those with the outcome found", "precision: share of the flagged with it", "Recall", "Precision", nil,
			func(f *Figure, r *query.Result) string {
				i := at(r, models[0], .5)
				return fmt.Sprintf("To find %s of those with the outcome, the champion flags customers of whom %s have it.", f.C(i, "x"), f.C(i, "y"))
			}},
		{"gains", "Gains", "Share of all with the outcome (up) among the customers ranked highest (across). Up divided by across is the lift.", "share of customers, highest ranked first", "share of the outcomes among them", "Ranked highest", "Outcomes found", []chart.Guide{{X2: 1, Y2: 1}},
			func(f *Figure, r *query.Result) string {
				i := at(r, models[0], .1)
				return fmt.Sprintf("The %s of customers that the champion ranks highest hold %s of the outcomes.", f.C(i, "x"), f.C(i, "y"))
			}},
	}
	var figures []*Figure
	for _, k := range kinds {
		f := &Figure{ID: anID(k.curve, name), Title: k.title, About: k.about, Filter: true}
		r, ok := b.query(f, query.From("model_curves").Where(query.Is("target", name), query.Is("split", "test"), query.Is("curve", k.curve), query.In(query.Col("model"), models...)).
			Columns("model", "point", "x", "y", "snapshot").Order("model", "point"),
			model("model", "Model"), text("point", "Point"), share("x", k.xLabel), share("y", k.yLabel), text("snapshot", "Tested on"))
		figures = append(figures, f)
		if !ok {
			continue
		}
		f.Reading = k.read(f, r)
		lines := make([]chart.Line, len(models))
		for j, m := range models {
			lines[j] = chart.Line{Name: modelName(m), Class: j, Dashed: j > 0}
		}
		for i := range r.Len() {
			j := slices.Index(models, r.T(i, "model"))
			lines[j].Points = append(lines[j].Points, chart.Point{X: r.F(i, "x"), Y: r.F(i, "y"), Low: math.NaN(), High: math.NaN(), Tip: f.tip(i, modelName(models[j]), "x", "y")})
		}
		unit := chart.Axis{Format: axisShare, Fixed: true, Low: 0, High: 1}
		f.Chart = chart.Lines(f.frame(k.x, k.y), unit, unit, lines, k.guides...)
	}
	return append(figures, b.spread(name, models[0]))
}

// spread is how the champion's probabilities part those with the outcome from those without.
func (b *builder) spread(name, champion string) *Figure {
	f := &Figure{ID: anID("spread", name), Title: "Probabilities of those with the outcome and without", About: "Customers of the test date by the probability they were given: the further apart the two colours, the better the model tells them apart."}
	r, ok := b.query(f, query.From("model_curves").Where(query.Is("target", name), query.Is("split", "test"), query.Is("curve", "scores"), query.Is("model", champion)).
		Columns("model", "point", "x", "customers", "positives").
		Derive("negatives", "customers - positives", func(r *query.Result, i int) query.Value {
			return query.Num(r.F(i, "customers") - r.F(i, "positives"))
		}).Order("point"),
		model("model", "Model"), text("point", "Point"), share("x", "Probability from"), whole("customers", "Customers"), whole("positives", "With the outcome"), whole("negatives", "Without"))
	if !ok {
		return f
	}
	var groups []chart.Group
	most := 0
	for i := range r.Len() {
		tip := f.tip(i, "probability from "+f.C(i, "x"), "positives", "negatives")
		groups = append(groups, chart.Group{Name: axisShare(r.F(i, "x")), Values: []chart.Value{chart.Plain(r.F(i, "positives"), tip), chart.Plain(r.F(i, "negatives"), tip)}})
		if r.F(i, "customers") > r.F(most, "customers") {
			most = i
		}
	}
	f.Reading = fmt.Sprintf("The commonest probability is from %s: %s customers, %s of them with the outcome.", f.C(most, "x"), f.C(most, "customers"), f.C(most, "positives"))
	f.Chart = chart.Columns(f.frame("probability, from", "customers"), chart.Axis{Format: axisCount}, []string{"With the outcome", "Without"}, groups, true)
	return f
}

// budget is what contacting the top of the list is expected to reach.
func (b *builder) budget(name string) *Figure {
	f := &Figure{ID: anID("budget", name), Title: "What a contact budget buys tonight", Budget: true, About: "Choose how many customers to contact, best ranked first: how many of them are expected to have the outcome. The straight line is a choice by lot. Put in what a contact costs and what reaching one is worth to see how far down the list it pays."}
	r, ok := b.query(f, query.From("model_curves").Where(query.Is("target", name), query.Is("split", "score"), query.Is("curve", "budget"), query.True("champion")).
		Columns("point", "x", "y").
		Derive("contacted", "x / max(x) OVER ()", ofMost("x")).Derive("reached", "y / max(y) OVER ()", ofMost("y")).Order("point"),
		text("point", "Point"), whole("x", "Customers contacted"), number("y", "Expected with the outcome"), share("contacted", "Contacted"), share("reached", "Reached"))
	if !ok {
		if f.Missing != "" {
			f.Missing = "Nobody was scored tonight."
		}
		return f
	}
	line := chart.Line{Name: "by score"}
	tenth := 0
	for i := range r.Len() {
		if r.F(i, "contacted") <= .1+1e-9 {
			tenth = i
		}
		line.Points = append(line.Points, chart.Point{X: r.F(i, "x"), Y: r.F(i, "y"), Low: math.NaN(), High: math.NaN(), Tip: f.tip(i, "contact "+f.C(i, "x"), "contacted", "y", "reached")})
	}
	last := r.Len() - 1
	f.Reading = fmt.Sprintf("Contacting the %s best ranked (%s) is expected to reach %s with the outcome, %s of all.", f.C(tenth, "x"), f.C(tenth, "contacted"), f.C(tenth, "y"), f.C(tenth, "reached"))
	f.Chart = chart.Lines(f.frame("customers contacted, best ranked first", "expected with the outcome"), chart.Axis{Format: axisCount}, chart.Axis{Format: axisCount}, []chart.Line{line}, chart.Guide{X2: r.F(last, "x"), Y2: r.F(last, "y")})
	return f
}

// ofMost is a column's share of its largest value.
func ofMost(column string) func(r *query.Result, i int) query.Value {
	return func(r *query.Result, i int) query.Value {
		most := 0.0
		for k := range r.Rows {
			most = max(most, r.F(k, column))
		}
		if most == 0 {
			return query.Value{}
		}
		return query.Num(r.F(i, column) / most)
	}
}

const (
	shownFeatures   = 15 // in the summary of effects
	shownDependence = 4  // features whose dependence is drawn
)

// effects are what the features do to the predictions.
func (b *builder) effects(name string) []*Figure {
	f := &Figure{ID: anID("effects", name), Title: "What the prediction rests on", About: "How much each feature moves a prediction, whichever way: the mean size of its Shapley value in log-odds, over a sample of tonight's customers."}
	r, ok := b.query(f, query.From("feature_effects").Where(query.Is("target", name), query.IsNull(query.Col("tenth"))).
		Columns("rank", "feature", "mean_absolute_effect", "mean_effect", "value_low", "value_high", "unit", "customers").Order("rank").Limit(shownFeatures),
		text("rank", "Place"), Column{"feature", "Feature", func(v query.Value) string { return words(asText(v)) }}, decimal("mean_absolute_effect", "Mean size, log-odds"), decimal("mean_effect", "Mean, log-odds"), number("value_low", "Least value"), number("value_high", "Greatest value"), Column{"unit", "Unit", func(v query.Value) string {
			if v.String() == "currency" {
				return b.currency
			}
			return asText(v)
		}}, whole("customers", "Customers"))
	if !ok {
		if f.Missing != "" {
			f.Missing = "There is no model whose features could be weighed."
		}
		return []*Figure{f}
	}
	var bars []chart.Bar
	for i := range r.Len() {
		v := chart.Plain(r.F(i, "mean_absolute_effect"), f.tip(i, f.C(i, "feature"), "mean_absolute_effect", "value_low", "value_high", "unit"))
		v.Text = f.C(i, "mean_absolute_effect")
		bars = append(bars, chart.Bar{Name: f.C(i, "feature"), Values: []chart.Value{v}})
	}
	f.Reading = fmt.Sprintf("What matters most is “%s”: it moves a prediction by %s log-odds on average.", f.C(0, "feature"), f.C(0, "mean_absolute_effect"))
	f.Chart = chart.Bars(f.frame("mean size of the effect, log-odds", ""), chart.Axis{Format: axisNumber}, nil, bars)
	figures := []*Figure{f}
	for i := range min(r.Len(), shownDependence) {
		figures = append(figures, b.dependence(name, r.T(i, "feature"), r.T(i, "unit")))
	}
	return figures
}

// dependence is what the values of a feature do.
func (b *builder) dependence(name, feature, unit string) *Figure {
	unit = b.unitName(unit)
	values := "mean effect, log-odds"
	if unit != "" {
		values += "; values in " + unit
	}
	f := &Figure{ID: anID("dependence", name, feature), Title: "Effect of " + words(feature), About: "Customers in tenths by the feature's value: what the value adds to the log-odds on average. Above 0 it makes the outcome likelier."}
	if c, ok := b.run.column("features", feature); ok {
		f.About = strings.TrimSuffix(c.Meaning, ".") + ". " + f.About
	}
	r, ok := b.query(f, query.From("feature_effects").Where(query.Is("target", name), query.Is("feature", feature), query.NotNull(query.Col("tenth"))).
		Columns("tenth", "value_low", "value_high", "customers", "mean_effect").Order("tenth"),
		Column{"tenth", "Tenth", func(v query.Value) string {
			if v.F == 0 {
				return "no value"
			}
			return asNumber(v)
		}}, number("value_low", strings.TrimSuffix("From, "+unit, ", ")), number("value_high", strings.TrimSuffix("To, "+unit, ", ")), whole("customers", "Customers"), decimal("mean_effect", "Mean effect, log-odds"))
	if !ok {
		return f
	}
	var bars []chart.Bar
	low, high := 0, 0
	label := func(i int) string {
		switch {
		case r.At(i, "value_low").IsNull():
			return "no value"
		case r.F(i, "value_low") == r.F(i, "value_high"):
			return f.C(i, "value_low")
		}
		return f.C(i, "value_low") + " – " + f.C(i, "value_high")
	}
	for i := range r.Len() {
		v := chart.Plain(r.F(i, "mean_effect"), f.tip(i, label(i)+" "+unit, "mean_effect", "customers"))
		v.Text = f.C(i, "mean_effect")
		if v.V < 0 {
			v.Class = 1
		}
		bars = append(bars, chart.Bar{Name: label(i), Values: []chart.Value{v}})
		if r.F(i, "mean_effect") < r.F(low, "mean_effect") {
			low = i
		}
		if r.F(i, "mean_effect") > r.F(high, "mean_effect") {
			high = i
		}
	}
	where := func(i int) string {
		if r.At(i, "value_low").IsNull() {
			return "where there is no value"
		}
		if label(i) == "1" {
			return strings.TrimSpace("at 1 " + single(unit))
		}
		return strings.TrimSpace("at " + label(i) + " " + unit)
	}
	f.Reading = fmt.Sprintf("Lowest %s, %s log-odds; highest %s, %s.", where(low), f.C(low, "mean_effect"), where(high), f.C(high, "mean_effect"))
	f.Chart = chart.Bars(f.frame(values, ""), chart.Axis{Format: axisNumber}, nil, bars)
	return f
}
