package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/shoal-data/shoal/jobs/report/chart"
	"github.com/shoal-data/shoal/jobs/report/query"
)

var modelNames = map[string]string{
	"recency": "recency rule", "logistic": "logistic regression", "trees": "boosted trees", "naive_bayes": "naive Bayes",
	"nearest_neighbours": "nearest neighbours", "random_forest": "random forest",
	"paretonbd": "Pareto/NBD", "bgnbd": "BG/NBD", "mbgnbd": "MBG/NBD", "mbgcnbd2": "MBG/CNBD-2", "mbgcnbd3": "MBG/CNBD-3", "gammagamma": "Gamma-Gamma",
	"own_rate": "own rate so far", "repeat_last": "last period again", "mean": "the mean of all", "none": "nothing",
}

func modelName(s string) string {
	parts := strings.Split(s, " × ") // of a forecast: what is multiplied
	for i, p := range parts {
		if n, ok := modelNames[p]; ok {
			parts[i] = n
		} else {
			parts[i] = words(p)
		}
	}
	return strings.Join(parts, " × ")
}

func model(name, label string) Column {
	return Column{name, label, func(v query.Value) string { return modelName(asText(v)) }}
}

func (b *builder) predictions() *Section {
	s := &Section{ID: "predictions", Title: "Predictions"}
	all := b.read(query.From("label_audit").Get("target", query.Col("target")).Get("n", query.Count()))
	if all.Len() == 0 {
		s.add(Block{Figure: &Figure{ID: "predictions-none", Title: "Predictions", Missing: "There are no predictions in this run: no target is configured."}})
	}
	for i := range all.Len() {
		b.target(s, all.T(i, "target"))
	}
	return s
}

func (b *builder) target(s *Section, name string) {
	note := ""
	if c, ok := b.run.column("customer_scores", name+"_probability"); ok {
		note = c.Meaning
	}
	s.add(Block{Heading: sentence(words(name)), ID: anID("target", name), Note: note})
	quality := b.quality(name)
	if quality.Missing == "" {
		s.Lead = append(s.Lead, sentence(words(name))+": "+strings.ToLower(quality.Reading[:1])+quality.Reading[1:])
	} else {
		s.Lead = append(s.Lead, sentence(words(name))+": no model could be fitted and tested; the warnings say why.")
	}
	for _, f := range []*Figure{quality, b.scores(name), b.reliability(name), b.budget(name)} {
		s.add(Block{Figure: f})
	}
	for _, f := range b.curves(name) {
		s.add(Block{Figure: f})
	}
	for _, f := range append(b.effects(name), b.honesty(name), b.audit(name), b.bySnapshot(name), b.qualityOverTime(name), b.backtest(name)) {
		if f != nil {
			s.add(Block{Figure: f})
		}
	}
}

// quality is every model's on the test snapshot.
func (b *builder) quality(name string) *Figure {
	f := &Figure{ID: anID("quality", name), Title: "How good the models are",
		About: "On customers at a date that no model has seen. AUC: how often a customer with the outcome is ranked above one without; 0.5 is chance. Bars: 95% bootstrap intervals. Log-loss and Brier score: lower is better. Calibration error (ECE): how far probabilities are from what happens."}
	m := query.Col("metric")
	pick := func(metric, column string) query.Expr {
		return query.Most(query.If(query.Eq(m, query.S(metric)), query.Col(column)))
	}
	q := query.From("model_metrics").Where(query.Is("target", name), query.Is("split", "test")).
		Get("model", query.Col("model")).Get("snapshot", query.Col("snapshot")).
		Get("auc", pick("auc", "value")).Get("auc_low", pick("auc", "low")).Get("auc_high", pick("auc", "high")).
		Get("average_precision", pick("average_precision", "value")).Get("log_loss", pick("log_loss", "value")).Get("brier", pick("brier", "value")).
		Get("ece", pick("ece", "value")).Get("lift", pick("top_decile_lift", "value")).Get("customers", query.Most(query.Col("rows"))).Get("positives", query.Most(query.Col("positives"))).
		Get("used", query.Most(query.Col("champion"))).Order("auc DESC", "model")
	r, ok := b.query(f, q, model("model", "Model"), text("snapshot", "Tested on"), decimal("auc", "AUC"), decimal("auc_low", "low"), decimal("auc_high", "high"),
		decimal("average_precision", "Average precision"), decimal("log_loss", "Log-loss"), decimal("brier", "Brier"), decimal("ece", "ECE"), Column{"lift", "Lift of the top tenth", asNumber},
		whole("customers", "Customers"), whole("positives", "With the outcome"), text("used", "Used"))
	if !ok {
		if f.Missing != "" {
			f.Missing = "No model of this target was tested: the data could not answer it, and the warnings say why."
		}
		return f
	}
	var dots []chart.Dot
	used, rule := -1, -1
	for i := range r.Len() {
		v := chart.Value{V: r.F(i, "auc"), Low: r.F(i, "auc_low"), High: r.F(i, "auc_high"), Text: f.C(i, "auc"), Tip: f.tip(i, modelName(r.T(i, "model")), "auc", "auc_low", "auc_high", "log_loss", "brier", "ece", "lift"), Class: 5}
		if r.At(i, "used").True() {
			used, v.Class, v.Strong = i, 0, true
		}
		if r.T(i, "model") == "recency" {
			rule = i
			if used != i {
				v.Class = 1
			}
		}
		dots = append(dots, chart.Dot{Name: modelName(r.T(i, "model")), Value: v})
	}
	switch {
	case used < 0:
		f.Reading = "No model's scores are used."
	case used == rule:
		f.Reading = fmt.Sprintf("Nothing beats the recency rule beyond chance, so its probabilities are used: AUC %s.", f.C(used, "auc"))
	case rule < 0:
		f.Reading = fmt.Sprintf("The model in use, %s, has an AUC of %s.", modelName(r.T(used, "model")), f.C(used, "auc"))
	default:
		f.Reading = fmt.Sprintf("The model in use, %s, has an AUC of %s against %s of the recency rule; the tenth of customers ranked first holds %s times as many with the outcome as chance would.", modelName(r.T(used, "model")), f.C(used, "auc"), f.C(rule, "auc"), f.C(used, "lift"))
	}
	f.Chart = chart.Dots(f.frame("AUC on the test date (0.5 is chance)", ""), chart.Axis{Format: axisNumber}, dots)
	return f
}

// scores is how the probabilities of tonight are spread.
func (b *builder) scores(name string) *Figure {
	f := &Figure{ID: anID("scores", name), Title: "Tonight's probabilities", About: "Customers scored tonight by their probability, in steps of 5%."}
	p := query.Col(name + "_probability")
	r, ok := b.query(f, query.From("customer_scores").Where(query.NotNull(p)).Get("step", query.Bin(p, 0, 1, 20)).Get("customers", query.Count()).Get("expected", query.Sum(p)).Share("share", "customers").Order("step"),
		Column{"step", "Probability", step20}, whole("customers", "Customers"), number("expected", "Expected with the outcome"), share("share", "Share"))
	if !ok {
		if f.Missing != "" {
			f.Missing = "Nobody was scored tonight."
		}
		return f
	}
	at := map[int]int{}
	most := 0
	for i := range r.Len() {
		at[int(r.F(i, "step"))] = i
		if r.F(i, "customers") > r.F(most, "customers") {
			most = i
		}
	}
	var groups []chart.Group
	for k := range 20 {
		g := chart.Group{Name: fmt.Sprintf("%d%%", 5*k), Values: []chart.Value{chart.Plain(0, "")}}
		if i, ok := at[k]; ok {
			g.Values[0] = chart.Plain(r.F(i, "customers"), f.tip(i, f.C(i, "step"), "customers", "share", "expected"))
		}
		groups = append(groups, g)
	}
	f.Reading = fmt.Sprintf("The commonest probability is %s: %s customers, %s of those scored.", f.C(most, "step"), f.C(most, "customers"), f.C(most, "share"))
	f.Chart = chart.Columns(f.frame("probability of the outcome, from", "customers"), chart.Axis{Format: axisCount}, nil, groups, false)
	return f
}

func step20(v query.Value) string {
	if v.IsNull() {
		return none
	}
	return fmt.Sprintf("%.0f–%.0f%%", 5*v.F, 5*v.F+5)
}

// reliability is whether probabilities are what happens.
func (b *builder) reliability(name string) *Figure {
	f := &Figure{ID: anID("reliability", name), Title: "Do the probabilities hold?", About: "Tenths of the test customers by predicted probability, against the share that had the outcome, with 95% Wilson intervals. On the diagonal, probabilities are exactly right."}
	r, ok := b.query(f, query.From("calibration").Where(query.Is("target", name), query.True("champion")).
		Columns("model", "snapshot", "probability_mean", "rate", "rate_low", "rate_high", "customers", "positives").
		Derive("outside", "probability_mean NOT BETWEEN rate_low AND rate_high", func(r *query.Result, i int) query.Value {
			p := r.F(i, "probability_mean")
			if p < r.F(i, "rate_low") || p > r.F(i, "rate_high") {
				return query.Value{Kind: query.Bool, F: 1}
			}
			return query.Value{Kind: query.Bool}
		}).Order("probability_mean"),
		model("model", "Model"), text("snapshot", "Tested on"), share("probability_mean", "Predicted"), share("rate", "Happened"), share("rate_low", "low"), share("rate_high", "high"), whole("customers", "Customers"), whole("positives", "With the outcome"), text("outside", "Outside the interval"))
	if !ok {
		if f.Missing != "" {
			f.Missing = "No probabilities were tested."
		}
		return f
	}
	line := chart.Line{Name: "happened", Dots: true}
	outside := 0
	for i := range r.Len() {
		if r.At(i, "outside").True() {
			outside++
		}
		line.Points = append(line.Points, chart.Point{X: r.F(i, "probability_mean"), Y: r.F(i, "rate"), Low: r.F(i, "rate_low"), High: r.F(i, "rate_high"), Tip: f.tip(i, "predicted "+f.C(i, "probability_mean"), "rate", "rate_low", "rate_high", "customers")})
	}
	last := r.Len() - 1
	f.Reading = fmt.Sprintf("Of the customers given %s, the highest tenth, %s had the outcome; of those given %s, the lowest, %s did. %d of %d groups lie outside their interval.", f.C(last, "probability_mean"), f.C(last, "rate"), f.C(0, "probability_mean"), f.C(0, "rate"), outside, r.Len())
	unit := chart.Axis{Format: axisShare, Fixed: true, Low: 0, High: 1}
	f.Chart = chart.Lines(f.frame("predicted probability", "share with the outcome"), unit, unit, []chart.Line{line}, chart.Guide{X1: 0, Y1: 0, X2: 1, Y2: 1})
	return f
}

func shareOf(part, whole string) func(r *query.Result, i int) query.Value {
	return func(r *query.Result, i int) query.Value {
		sum := 0.0
		for k := range r.Rows {
			sum += r.F(k, whole)
		}
		if sum == 0 {
			return query.Value{}
		}
		return query.Num(r.F(i, part) / sum)
	}
}

// honesty compares the test out of time with flattering and meaningless ones.
func (b *builder) honesty(name string) *Figure {
	f := &Figure{ID: anID("honesty", name), Title: "Is the test honest?", About: "The same method judged three ways. Out of time: on a date it has not seen, as in use. At random: on customers drawn from the dates it learnt from, which flatters. Shuffled: after learning labels that mean nothing, which must come out at chance. Beside them, the best that one feature alone does."}
	m := query.Col("metric")
	r, ok := b.query(f, query.From("model_metrics").Where(query.Is("target", name), query.All(query.Eq(m, query.S("auc")), query.Is("split", "test"), query.True("champion")).
		Or(query.All(query.Eq(m, query.S("auc")), query.In(query.Col("split"), "random", "shuffled"))).
		Or(query.Eq(m, query.S("largest_single_feature_auc")))).
		Columns("split", "model", "metric", "snapshot", "value", "low", "high", "rows").Order("value DESC"),
		text("split", "Judged"), model("model", "Model or feature"), text("metric", "Number"), text("snapshot", "Date"), decimal("value", "AUC"), decimal("low", "low"), decimal("high", "high"), whole("rows", "Customers"))
	if !ok {
		return nil
	}
	names := map[string]string{"test": "out of time", "random": "at random", "shuffled": "shuffled labels", "fit": "one feature"}
	var dots []chart.Dot
	at := map[string]int{}
	for i := range r.Len() {
		at[r.T(i, "split")] = i
		v := chart.Value{V: r.F(i, "value"), Low: r.F(i, "low"), High: r.F(i, "high"), Text: f.C(i, "value"), Tip: f.tip(i, names[r.T(i, "split")], "model", "snapshot", "value", "rows"), Class: slices.Index([]string{"test", "random", "shuffled", "fit"}, r.T(i, "split"))}
		v.Strong = r.T(i, "split") == "test"
		dots = append(dots, chart.Dot{Name: names[r.T(i, "split")], Value: v})
	}
	test, t := at["test"]
	if random, ok := at["random"]; ok && t {
		word := "flatters: AUC"
		if r.F(random, "value") <= r.F(test, "value") {
			word = "does not flatter here: AUC"
		}
		f.Reading = fmt.Sprintf("A random split %s %s, against %s on a date not seen.", word, f.C(random, "value"), f.C(test, "value"))
	}
	if shuffled, ok := at["shuffled"]; ok {
		f.Reading += fmt.Sprintf(" With meaningless labels it is %s, where 0.5 is chance.", f.C(shuffled, "value"))
	}
	f.Chart = chart.Dots(f.frame("AUC (0.5 is chance)", ""), chart.Axis{Format: axisNumber}, dots)
	return f
}

// audit is what the labels are made of.
func (b *builder) audit(name string) *Figure {
	f := &Figure{ID: anID("audit", name), Title: "What the labels are made of", About: "Each date that was learnt from, tested on or scored. Not known yet: the outcome window is not over. Already lapsed and never active are not asked about."}
	r, ok := b.query(f, query.From("label_audit").Where(query.Is("target", name)).
		Columns("snapshot", "split", "customers", "eligible", "positives", "negatives", "positive_share", "censored", "already_lapsed", "no_activity").Order("snapshot"),
		text("snapshot", "Date"), text("split", "Used to"), whole("customers", "Customers"), whole("eligible", "Asked about"), whole("positives", "With the outcome"), whole("negatives", "Without"), share("positive_share", "Share with it"), whole("censored", "Not known yet"), whole("already_lapsed", "Already lapsed"), whole("no_activity", "Never active"))
	if !ok {
		return f
	}
	series := []string{"With the outcome", "Without", "Not known yet", "Already lapsed", "Never active"}
	var groups []chart.Group
	test := -1
	for i := range r.Len() {
		g := chart.Group{Name: r.T(i, "snapshot")}
		for k, c := range []string{"positives", "negatives", "censored", "already_lapsed", "no_activity"} {
			g.Values = append(g.Values, chart.Plain(r.F(i, c), f.tip(i, r.T(i, "snapshot")+" ("+r.T(i, "split")+")\n"+series[k], c, "eligible", "positive_share")))
		}
		groups = append(groups, g)
		if r.T(i, "split") == "test" {
			test = i
		}
	}
	if test >= 0 && !r.At(test, "positive_share").IsNull() {
		f.Reading = fmt.Sprintf("Of the %s %s asked about at the test date, %s had the outcome.", f.C(test, "eligible"), plural(int(r.F(test, "eligible")), "customer"), f.C(test, "positive_share"))
	} else if test >= 0 {
		f.Reading = "There was nobody to ask about at the test date."
	} else {
		f.Reading = "There is no date whose outcome is complete to test on."
	}
	f.Chart = chart.Columns(f.frame("date", "customers"), chart.Axis{Format: axisCount}, series, groups, true)
	return f
}
