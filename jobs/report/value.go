package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/shoal-data/shoal/jobs/report/chart"
	"github.com/shoal-data/shoal/jobs/report/query"
)

func (b *builder) value() *Section {
	s := &Section{ID: "value", Title: "Value"}
	for _, what := range []string{"purchases", "value"} {
		f := b.deciles(what)
		if what == "purchases" && f.Reading != "" {
			s.Lead = append(s.Lead, f.Reading)
		}
		s.add(Block{Figure: f}, Block{Figure: b.cumulative(what)})
	}
	pareto := b.concentration()
	if pareto.Reading != "" {
		s.Lead = append(s.Lead, pareto.Reading)
	}
	s.add(Block{Figure: pareto}, Block{Figure: b.alive()}, Block{Figure: b.expected()}, Block{Figure: b.forecasters("purchases")}, Block{Figure: b.forecasters("value")}, Block{Figure: b.valueBacktest()})
	return s
}

func (b *builder) unit(what string) string {
	if what == "value" {
		return b.currency
	}
	return "purchase days"
}

// decileQuery is expected beside actual by tenths of the expected.
func decileQuery(what string) *query.Query {
	metric, v := query.Col("metric"), query.Col("value")
	return query.From("model_metrics").Where(query.Is("target", "value"), query.True("champion"),
		query.HasPrefix(metric, "decile_"), query.HasSuffix(metric, "_"+what)).
		Get("tenth", query.Digits(metric)).Get("snapshot", query.Col("snapshot")).Get("model", query.Col("model")).
		Get("expected", query.Most(query.If(query.HasSuffix(metric, "_expected_"+what), v))).
		Get("actual", query.Most(query.If(query.HasSuffix(metric, "_actual_"+what), v)))
}

func (b *builder) deciles(what string) *Figure {
	f := &Figure{ID: "deciles-" + what, Title: "Expected and actual " + what + " by tenth", About: "Customers of the holdout in tenths by what was expected of them, from least (1) to most (10); mean per customer."}
	r, ok := b.query(f, decileQuery(what).Order("tenth"), text("tenth", "Tenth"), text("snapshot", "Forecast from"), model("model", "Model"), number("expected", "Expected, mean"), number("actual", "Actual, mean"))
	if !ok {
		f.Missing = "No forecast was tested: there is too little history, or nobody bought."
		return f
	}
	var groups []chart.Group
	top := 0
	for i := range r.Len() {
		if r.F(i, "expected") > r.F(top, "expected") {
			top = i
		}
		tip := f.tip(i, "tenth "+f.C(i, "tenth"), "expected", "actual")
		groups = append(groups, chart.Group{Name: f.C(i, "tenth"), Values: []chart.Value{chart.Plain(r.F(i, "expected"), tip), chart.Plain(r.F(i, "actual"), tip)}})
	}
	f.Reading = fmt.Sprintf("Of the tenth with the highest forecast, %s %s a customer were expected, and %s came.", f.C(top, "expected"), b.unit(what), f.C(top, "actual"))
	f.Chart = chart.Columns(f.frame("tenth of customers by expectation", b.unit(what)+" a customer, mean"), chart.Axis{Format: axisNumber}, []string{"Expected", "Actual"}, groups, false)
	return f
}

func (b *builder) cumulative(what string) *Figure {
	f := &Figure{ID: "cumulative-" + what, Title: "Does the ranking find the " + what + "?", About: "Share of all actual " + what + " made by the customers expected to bring most. The straight line is a choice by lot."}
	r, ok := b.query(f, decileQuery(what).Rank("place", "expected", "tenth").Running("sum", "actual", "place").
		Derive("found", `"sum" / sum(actual) OVER ()`, shareOf("sum", "actual")).
		Derive("chosen", "place / count(*) OVER ()", func(r *query.Result, i int) query.Value {
			return query.Num(r.F(i, "place") / float64(r.Len()))
		}).Order("place"),
		text("tenth", "Tenth"), text("snapshot", "Forecast from"), model("model", "Model"), number("expected", "Expected, mean"), number("actual", "Actual, mean"), text("place", "Place"), number("sum", "Actual so far"), share("found", "Found"), share("chosen", "Chosen"))
	if !ok {
		f.Missing = "No forecast was tested: there is too little history, or nobody bought."
		return f
	}
	nan := math.NaN()
	line := chart.Line{Name: "found", Dots: true, Points: []chart.Point{{X: 0, Y: 0, Low: nan, High: nan}}}
	for i := range r.Len() {
		line.Points = append(line.Points, chart.Point{X: r.F(i, "chosen"), Y: r.F(i, "found"), Low: nan, High: nan, Tip: f.tip(i, f.C(i, "chosen")+" of customers", "found")})
	}
	k := min(1, r.Len()-1)
	f.Reading = fmt.Sprintf("The %s expected to bring most made %s of all %s.", f.C(k, "chosen"), f.C(k, "found"), what)
	unit := chart.Axis{Format: axisShare, Fixed: true, Low: 0, High: 1}
	f.Chart = chart.Lines(f.frame("share of customers, most expected first", "share of actual "+what), unit, unit, []chart.Line{line}, chart.Guide{X1: 0, Y1: 0, X2: 1, Y2: 1})
	return f
}

// concentration is how much of the revenue few customers bring.
func (b *builder) concentration() *Figure {
	f := &Figure{ID: "concentration", Title: "How concentrated revenue is", About: "Customers who have bought, by lifetime spend less refunds, the best first. The more the curve bends, the fewer customers the revenue hangs on."}
	r, ok := b.query(f, query.From("features").Where(query.Gt(query.Col("purchase_days_lifetime"), query.N(0))).
		Pareto("net_spend_lifetime", 100),
		share("customer_share", "Best customers"), whole("customers", "Customers"), number("spend", "Their spend, "+b.currency), share("spend_share", "Share of spend"))
	if !ok {
		f.Missing = "Nobody has bought."
		return f
	}
	nan := math.NaN()
	least, most := 0.0, 1.0 // refunds can lead beyond
	line := chart.Line{Name: "revenue", Points: []chart.Point{{X: 0, Y: 0, Low: nan, High: nan}}}
	fifth := 0
	for i := range r.Len() {
		if r.F(i, "customer_share") <= .2+1e-9 {
			fifth = i
		}
		if v := r.F(i, "spend_share"); !math.IsNaN(v) {
			least, most = min(least, v), max(most, v)
		}
		line.Points = append(line.Points, chart.Point{X: r.F(i, "customer_share"), Y: r.F(i, "spend_share"), Low: nan, High: nan, Tip: f.tip(i, "best "+f.C(i, "customer_share")+" of buyers", "customers", "spend", "spend_share")})
	}
	f.Reading = fmt.Sprintf("The best %s of the buyers, %s %s, brought %s of the revenue.", f.C(fifth, "customer_share"), f.C(fifth, "customers"), plural(int(r.F(fifth, "customers")), "customer"), f.C(fifth, "spend_share"))
	f.Chart = chart.Lines(f.frame("share of buyers, the best first", "share of lifetime spend"), chart.Axis{Format: axisShare, Fixed: true, Low: 0, High: 1}, chart.Axis{Format: axisShare, Fixed: true, Low: least, High: most}, []chart.Line{line}, chart.Guide{X1: 0, Y1: 0, X2: 1, Y2: 1})
	return f
}

var (
	idleBounds = []float64{7, 14, 30, 60, 90, 180, 365}
	buyBounds  = []float64{2, 3, 4, 6, 10, 20}
)

// stepName names a step between bounds.
func stepName(bounds []float64, first, unit string) func(v query.Value) string {
	return func(v query.Value) string {
		if v.IsNull() {
			return none
		}
		k := int(v.F)
		switch {
		case k == 0:
			return first + unit
		case k >= len(bounds):
			return figures(bounds[k-1]) + "+" + unit
		case bounds[k] == bounds[k-1]+1:
			return figures(bounds[k-1]) + unit
		}
		return figures(bounds[k-1]) + "–" + figures(bounds[k]-1) + unit
	}
}

// alive is the probability of still being a customer against recency and frequency.
func (b *builder) alive() *Figure {
	f := &Figure{ID: "alive", Title: "Who is still a customer", About: "Mean probability that a customer has not dropped out for good, by how long ago the last purchase was and on how many days the customer bought. A long silence says more of frequent buyers."}
	idle, days := query.Steps(query.Col("days_since_last_purchase"), idleBounds...), query.Steps(query.Col("purchase_days_lifetime"), buyBounds...)
	r, ok := b.query(f, query.From("customer_scores", "features").Where(query.NotNull(query.Col("p_alive")), query.NotNull(query.Col("days_since_last_purchase"))).
		Get("idle", idle).Get("days", days).Get("customers", query.Count()).Get("alive", query.Mean(query.Col("p_alive"))).Order("days", "idle"),
		Column{"idle", "Days since the last purchase", stepName(idleBounds, "0–6", "")}, Column{"days", "Days with a purchase", stepName(buyBounds, "1", "")}, whole("customers", "Customers"), share("alive", "Mean P(alive)"))
	if !ok {
		f.Missing = "Nobody has bought, or value could not be modelled."
		return f
	}
	idleName, daysName := stepName(idleBounds, "0–6", ""), stepName(buyBounds, "1", "")
	var rows, columns []string
	for k := range len(buyBounds) + 1 {
		rows = append(rows, daysName(query.Num(float64(k))))
	}
	for k := range len(idleBounds) + 1 {
		columns = append(columns, idleName(query.Num(float64(k))))
	}
	cells := make([][]chart.Cell, len(rows))
	for i := range cells {
		cells[i] = make([]chart.Cell, len(columns))
		for j := range cells[i] {
			cells[i][j] = chart.Cell{V: math.NaN(), Tip: rows[i] + " days with a purchase, last " + columns[j] + " days ago\nnobody"}
		}
	}
	least, most := 0, 0
	for i := range r.Len() {
		cells[int(r.F(i, "days"))][int(r.F(i, "idle"))] = chart.Cell{V: r.F(i, "alive"), Text: fmt.Sprintf("%.0f", 100*r.F(i, "alive")), Tip: f.tip(i, f.C(i, "days")+" days with a purchase, last "+f.C(i, "idle")+" days ago", "alive", "customers")}
		if r.F(i, "alive") < r.F(least, "alive") {
			least = i
		}
		if r.F(i, "alive") > r.F(most, "alive") {
			most = i
		}
	}
	say := func(i int) string {
		return fmt.Sprintf("%s for %s purchase %s and %s days of silence", f.C(i, "alive"), f.C(i, "days"), plural(int(r.F(i, "days"))+1, "day"), f.C(i, "idle"))
	}
	f.Reading = fmt.Sprintf("From %s to %s.", say(most), say(least))
	if f.C(most, "alive") == f.C(least, "alive") {
		f.Reading = fmt.Sprintf("%s whatever the silence: as this model sees it, customers do not drop out for good.", f.C(most, "alive"))
		if r.F(most, "alive") < .995 {
			f.Reading = fmt.Sprintf("%s in every group.", f.C(most, "alive"))
		}
	}
	f.Chart = chart.Heat(f.frame("days since the last purchase", "days with a purchase; cells: %"), rows, columns, cells, 1)
	return f
}

// expected is what the forecast says of tonight's customers.
func (b *builder) expected() *Figure {
	f := &Figure{ID: "expected", Title: "What is expected", About: "Expected spend less refunds, summed over all customers, in the days after the run's date."}
	q := query.From("customer_scores").Get("buyers", query.CountOf(query.Col("p_alive"))).Get("alive", query.Sum(query.Col("p_alive")))
	columns := []Column{whole("buyers", "Customers who ever bought"), number("alive", "Expected still to be customers")}
	type horizon struct{ column, name string }
	var horizons []horizon
	for _, d := range []string{"30d", "90d", "365d"} {
		if _, ok := b.run.column("customer_scores", "expected_value_"+d); ok {
			q.Get("value_"+d, query.Sum(query.Col("expected_value_"+d)))
			columns = append(columns, number("value_"+d, "Expected value, "+strings.TrimSuffix(d, "d")+" days, "+b.currency))
			horizons = append(horizons, horizon{"value_" + d, strings.TrimSuffix(d, "d") + " days"})
		}
	}
	r, ok := b.query(f, q, columns...)
	if !ok || len(horizons) == 0 || r.At(0, horizons[0].column).IsNull() {
		f.Missing = "Value could not be forecast; the warnings say why."
		f.Columns, f.Rows = nil, nil
		return f
	}
	var bars []chart.Bar
	for _, h := range horizons {
		v := chart.Plain(r.F(0, h.column), f.tip(0, "next "+h.name, h.column))
		v.Text = f.C(0, h.column)
		bars = append(bars, chart.Bar{Name: "next " + h.name, Values: []chart.Value{v}})
	}
	last := horizons[len(horizons)-1]
	f.Reading = fmt.Sprintf("Of the %s customers who ever bought, %s are expected still to be customers; together they are expected to bring %s %s in the next %s.", f.C(0, "buyers"), f.C(0, "alive"), f.C(0, last.column), b.currency, last.name)
	f.Chart = chart.Bars(f.frame("expected value, "+b.currency, ""), chart.Axis{Format: axisCount}, nil, bars)
	return f
}

// forecasters compares the ways to forecast.
func (b *builder) forecasters(what string) *Figure {
	f := &Figure{ID: "forecasters-" + what, Title: "Forecasts of " + what + " compared", About: "On the holdout. Mean error and root mean square error: lower is better; Spearman: agreement in ranking, 1 is best; total ratio: expected over actual in all, 1 is right; top tenth: share of the actual made by the tenth ranked first."}
	m := query.Col("metric")
	pick := func(metric string) query.Expr {
		return query.Most(query.If(query.Eq(m, query.S(metric+"_"+what)), query.Col("value")))
	}
	r, ok := b.query(f, query.From("model_metrics").Where(query.Is("target", "value"), query.Is("split", "test"), query.In(m, "mae_"+what, "rmse_"+what, "spearman_"+what, "total_ratio_"+what, "top_decile_share_"+what)).
		Get("model", query.Col("model")).Get("snapshot", query.Col("snapshot")).Get("mae", pick("mae")).Get("rmse", pick("rmse")).Get("spearman", pick("spearman")).Get("total_ratio", pick("total_ratio")).Get("top", pick("top_decile_share")).
		Get("used", query.Most(query.Col("champion"))).Order("rmse", "model"),
		model("model", "Method"), text("snapshot", "Forecast from"), number("mae", "Mean error"), number("rmse", "Root mean square"), decimal("spearman", "Spearman"), decimal("total_ratio", "Total ratio"), share("top", "Top tenth"), text("used", "Used"))
	if !ok {
		f.Missing = "No forecast was tested: there is too little history, or nobody bought."
		return f
	}
	var dots []chart.Dot
	used := -1
	for i := range r.Len() {
		v := chart.Plain(r.F(i, "rmse"), f.tip(i, modelName(r.T(i, "model")), "mae", "rmse", "spearman", "total_ratio", "top"))
		v.Text, v.Class = f.C(i, "rmse"), 5
		if r.At(i, "used").True() {
			used, v.Class, v.Strong = i, 0, true
		}
		dots = append(dots, chart.Dot{Name: modelName(r.T(i, "model")), Value: v})
	}
	if used >= 0 {
		f.Reading = fmt.Sprintf("In use: %s; its root mean square error is %s %s, and it expected %s times what came in all.", modelName(r.T(used, "model")), f.C(used, "rmse"), b.unit(what), f.C(used, "total_ratio"))
	}
	f.Chart = chart.Dots(f.frame("root mean square error, "+b.unit(what), ""), chart.Axis{Format: axisNumber}, dots)
	return f
}
