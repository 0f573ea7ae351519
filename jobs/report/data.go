package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/tables"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/jobs/report/chart"
	"github.com/shoal-data/shoal/jobs/report/query"
)

// counters are the manifest's, for people, in the order they are shown.
var counters = [][2]string{
	{"rows_read", "Rows in the files"}, {"rows_after", "Rows of later dates"}, {"rows_rejected", "Rows that could not be used"}, {"rows_erased", "Rows of the forgotten"},
	{"rows_without_consent", "Rows without consent"}, {"duplicates_removed", "Duplicates removed"}, {"events", "Events used"}, {"customers", "Customers"},
	{"aliases", "Aliases known"}, {"customers_merged", "Customers merged"}, {"rows_rekeyed", "Rows of an alias"}, {"amounts_converted", "Amounts converted"},
}

func counterName(v query.Value) string {
	for _, c := range counters {
		if c[0] == v.String() {
			return c[1]
		}
	}
	return sentence(words(asText(v)))
}

// tonight is the page for who has a minute.
func (b *builder) tonight(segments, predictions, value *Section) *Section {
	s := &Section{ID: "tonight", Title: "Tonight"}
	in := b.input()
	s.Lead = append(s.Lead, in.Reading)
	for _, from := range []*Section{segments, predictions, value} {
		s.Lead = append(s.Lead, from.Lead...)
	}
	since, changed, gates, warnings := b.since(), b.changed(), b.gates(), b.warnings()
	if since.Reading != "" {
		s.Lead = slices.Insert(s.Lead, 1, "Since the run of "+b.run.Before.Manifest.Date+": "+strings.ToLower(since.Reading[:1])+since.Reading[1:])
	}
	s.Lead = append(s.Lead, verdict(warnings))
	s.add(Block{Figure: in}, Block{Figure: since}, Block{Figure: b.growth()})
	for _, f := range append(changed, gates...) {
		s.add(Block{Figure: f})
	}
	s.add(Block{Figure: warnings})
	return s
}

// verdict is what the gates and the warnings come to, in a sentence.
func verdict(warnings *Figure) string {
	if len(warnings.Rows) == 0 {
		return "There is nothing to warn about."
	}
	var gates []string
	for i := range warnings.Rows {
		if gate, ok := strings.CutPrefix(warnings.C(i, "code"), "gate."); ok && !slices.Contains(gates, words(gate)) {
			gates = append(gates, words(gate))
		}
	}
	said := "No gate warns or fails"
	switch {
	case len(gates) == 1:
		said = "A gate warns or fails: " + gates[0]
	case len(gates) > 1:
		said = fmt.Sprintf("%d gates warn or fail: %s", len(gates), strings.Join(gates, ", "))
	}
	return fmt.Sprintf("%s; %d %s below.", said, len(warnings.Rows), plural(len(warnings.Rows), "warning"))
}

// input is what came in, beside the run before.
func (b *builder) input() *Figure {
	f := &Figure{ID: "input", Title: "What came in", About: "Counted by the run, as the manifest has them."}
	r, ok := b.query(f, query.From("counters").Columns("counter", "value").Order("counter"), Column{"counter", "Counted", counterName}, whole("value", "Tonight"))
	if !ok {
		return f
	}
	place := func(name string) int {
		for i, c := range counters {
			if c[0] == name {
				return i
			}
		}
		return len(counters)
	}
	get := map[string]int{}
	var bars []chart.Bar
	order := make([]int, r.Len())
	for i := range order {
		order[i] = i
		get[r.T(i, "counter")] = i
	}
	slices.SortStableFunc(order, func(x, y int) int { return place(r.T(x, "counter")) - place(r.T(y, "counter")) })
	for _, i := range order {
		v := chart.Plain(r.F(i, "value"), f.tip(i, counterName(r.At(i, "counter")), "value"))
		v.Text = f.C(i, "value")
		bars = append(bars, chart.Bar{Name: counterName(r.At(i, "counter")), Values: []chart.Value{v}})
	}
	events, ok1 := get["events"]
	customers, ok2 := get["customers"]
	if ok1 && ok2 {
		f.Reading = fmt.Sprintf("%s events of %s %s.", f.C(events, "value"), f.C(customers, "value"), plural(int(r.F(customers, "value")), "customer"))
	}
	f.Chart = chart.Bars(f.frame("rows, events or customers", ""), chart.Axis{Format: axisCount}, nil, bars)
	return f
}

// since is how the counts moved since the run before.
func (b *builder) since() *Figure {
	f := &Figure{ID: "since", Title: "Since the run before"}
	if b.run.Before == nil {
		f.Missing = "There is no earlier run to compare with."
		return f
	}
	f.About = "The run before is of " + b.run.Before.Manifest.Date + "."
	then := b.read(query.From(before+"counters").Columns("counter", "value"))
	r, ok := b.query(f, query.From("counters").Where(query.In(query.Col("counter"), "customers", "events", "rows_rejected")).Columns("counter", "value").
		Derive("then", `(SELECT b."value" FROM before.counters AS b WHERE b.counter = q.counter)`, func(r *query.Result, i int) query.Value {
			for k := range then.Len() {
				if then.T(k, "counter") == r.T(i, "counter") {
					return then.At(k, "value")
				}
			}
			return query.Value{}
		}).
		Derive("change", `"value" / "then" - 1`, func(r *query.Result, i int) query.Value {
			if v := r.F(i, "then"); v == 0 || math.IsNaN(v) {
				return query.Value{}
			}
			return query.Num(r.F(i, "value")/r.F(i, "then") - 1)
		}).Order("counter"), Column{"counter", "Counted", counterName}, whole("value", "Tonight"), whole("then", "Before"), share("change", "Change"))
	if !ok {
		return f
	}
	for i := range r.Len() {
		if r.T(i, "counter") == "events" {
			f.Reading = fmt.Sprintf("Events changed by %s, from %s to %s.", f.C(i, "change"), f.C(i, "then"), f.C(i, "value"))
		}
	}
	f.Open = true
	return f
}

// changed is whom the table of changes tells of, and by what.
func (b *builder) changed() []*Figure {
	f := &Figure{ID: "changed", Title: "Who is different", About: "Customers who are new, gone, or differ from the run before by more than publish.changes says. The table changes has a row for each of them, with the old values and the new."}
	by := &Figure{ID: "moved", Title: "What moved", About: "In how many of the customers who changed a column has moved; most customers moved in several."}
	if b.run.Before == nil {
		return nil // everybody is new
	}
	columns := b.movedColumns()
	r, ok := b.query(f, query.From("changes").Get("change", query.Col("change")).Get("customers", query.Count()).Share("share", "customers").Order("customers DESC", "change"),
		text("change", "What became of them"), whole("customers", "Customers"), share("share", "Share of them"))
	if !ok {
		if _, there := b.run.Columns("changes"); there {
			f.Missing = "Nobody differs from the run before."
		}
		return []*Figure{f}
	}
	var bars []chart.Bar
	var parts []string
	for i := range r.Len() {
		v := chart.Plain(r.F(i, "customers"), f.tip(i, r.T(i, "change"), "customers", "share"))
		v.Text = f.C(i, "customers")
		bars = append(bars, chart.Bar{Name: r.T(i, "change"), Values: []chart.Value{v}})
		parts = append(parts, f.C(i, "customers")+" "+r.T(i, "change"))
	}
	f.Reading = "Customers since the run before: " + strings.Join(parts, ", ") + "."
	f.Chart = chart.Bars(f.frame("customers", ""), chart.Axis{Format: axisCount}, nil, bars)

	if len(columns) == 0 {
		return []*Figure{f}
	}
	var totals []query.Item
	for _, c := range columns {
		totals = append(totals, query.Item{Row: c, Name: "customers", Expr: query.CountIf(query.Lists(query.Col("moved"), c))}, query.Item{Row: c, Name: "of", Expr: query.Count()})
	}
	r, ok = b.query(by, query.From("changes").Where(query.NotNull(query.Col("moved"))).Stack("moved", totals...).Ratio("share", "customers", "of").Order("customers DESC", "moved"),
		Column{"moved", "What moved", func(v query.Value) string { return words(asText(v)) }}, whole("customers", "Customers"), whole("of", "Customers who changed"), share("share", "Share of them"))
	if !ok {
		return []*Figure{f}
	}
	bars = nil
	for i := range r.Len() {
		v := chart.Plain(r.F(i, "customers"), by.tip(i, by.C(i, "moved"), "customers", "share"))
		v.Text = by.C(i, "customers")
		bars = append(bars, chart.Bar{Name: by.C(i, "moved"), Values: []chart.Value{v}})
	}
	by.Reading = fmt.Sprintf("Most often it was %s that moved: of %s customers, %s of those who changed.", by.C(0, "moved"), by.C(0, "customers"), by.C(0, "share"))
	by.Chart = chart.Bars(by.frame("customers", ""), chart.Axis{Format: axisCount}, nil, bars)
	return []*Figure{f, by}
}

// movedColumns are the columns that moved in enough customers to be told of.
func (b *builder) movedColumns() []string {
	count := map[string]int{}
	lists := b.read(query.From("changes").Where(query.NotNull(query.Col("moved"))).Get("moved", query.Col("moved")).Get("customers", query.Count()))
	for i := range lists.Len() {
		for _, c := range strings.Split(lists.T(i, "moved"), ",") {
			count[c] += int(lists.F(i, "customers"))
		}
	}
	maps.DeleteFunc(count, func(_ string, n int) bool { return n < b.settings.Privacy.SmallestSegment })
	return slices.Sorted(maps.Keys(count))
}

func (b *builder) warnings() *Figure {
	f := &Figure{ID: "warnings", Title: "What to know about this run", Open: true, Wide: true, About: "Warnings do not stop a run; each says what it means for the results."}
	r, ok := b.query(f, query.From("warnings").Columns("message", "code"), text("message", "Warning"), text("code", "Code"))
	if !ok {
		f.Missing = "There is nothing to warn about."
		return f
	}
	f.Reading = fmt.Sprintf("%d %s.", r.Len(), plural(r.Len(), "warning"))
	return f
}

func (b *builder) data() *Section {
	s := &Section{ID: "data", Title: "Data"}
	s.add(Block{Figure: b.rejected()}, Block{Figure: b.rejectedRows()}, Block{Figure: b.published()})
	s.add(Block{Heading: "What came in, measured", ID: "measured"}, Block{Figure: b.eventsByDay()}, Block{Figure: b.measures()})
	s.add(Block{Heading: "Drift", ID: "drift"})
	for _, f := range b.drifted() {
		s.add(Block{Figure: f})
	}
	s.add(Block{Heading: "Where it comes from", ID: "lineage"}, Block{Figure: b.lineage()}, Block{Name: "Views that the page's SQL stands on (run in the directory where runs are published)", Text: b.run.views()})
	if text, err := readable(b.run.Manifest.Config); err == nil {
		s.add(Block{Name: "Effective configuration", Text: text})
	}
	cards := b.modelCards()
	if len(cards) > 0 {
		s.add(Block{Heading: "Model cards", ID: "model-cards"})
		s.add(cards...)
	}
	return s
}

// readable turns the configuration into the form it is written in.
func readable(config json.RawMessage) (string, error) {
	if len(config) == 0 {
		return "", nil
	}
	var n yaml.Node
	if err := yaml.Unmarshal(config, &n); err != nil {
		return "", err
	}
	var block func(n *yaml.Node)
	block = func(n *yaml.Node) {
		if len(n.Content) > 0 {
			n.Style = 0
		}
		if n.Kind == yaml.ScalarNode {
			n.Style = 0
		}
		for _, c := range n.Content {
			block(c)
		}
	}
	block(&n)
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(&n); err != nil {
		return "", err
	}
	return out.String(), e.Close()
}

func (b *builder) rejected() *Figure {
	f := &Figure{ID: "rejected", Title: "Rows that could not be used", About: "A sample is published; the counts here are of the sample."}
	r, ok := b.query(f, query.From("rejected_rows").Get("source", query.Col("source")).Get("reason", query.Col("reason")).Get("column", query.Col("column")).Get("rows", query.Count()).Order("rows DESC", "source", "reason", "column"),
		text("source", "Source"), Column{"reason", "Reason", func(v query.Value) string { return words(asText(v)) }}, text("column", "Column"), whole("rows", "Rows of the sample"))
	if !ok {
		f.Missing = "Every row could be used."
		return f
	}
	f.Reading = fmt.Sprintf("The commonest reason in the sample: %s (%s rows).", f.C(0, "reason"), f.C(0, "rows"))
	var bars []chart.Bar
	for i := range min(r.Len(), 12) {
		v := chart.Plain(r.F(i, "rows"), f.tip(i, f.C(i, "reason"), "source", "column", "rows"))
		v.Text = f.C(i, "rows")
		bars = append(bars, chart.Bar{Name: f.C(i, "reason"), Values: []chart.Value{v}})
	}
	f.Chart = chart.Bars(f.frame("rows of the sample", ""), chart.Axis{Format: axisCount}, nil, bars)
	return f
}

func (b *builder) rejectedRows() *Figure {
	f := &Figure{ID: "rejected-rows", Title: "Some of these rows", About: "As they came, the first of the sample."}
	r, ok := b.query(f, query.From("rejected_rows").Columns("source", "reason", "column", "value", "event_time", "event_type").Limit(20),
		text("source", "Source"), Column{"reason", "Reason", func(v query.Value) string { return words(asText(v)) }}, text("column", "Column"), text("value", "Value"), text("event_time", "Time"), text("event_type", "Type"))
	if !ok {
		f.Missing = "Every row could be used."
		return f
	}
	f.Reading = fmt.Sprintf("%d %s of the sample.", r.Len(), plural(r.Len(), "row"))
	return f
}

func (b *builder) published() *Figure {
	f := &Figure{ID: "published", Title: "What was published", About: "Tables of this run, report aside. Every column is explained in the glossary."}
	r, ok := b.query(f, query.From("published").Columns("table", "rows", "columns", "files", "bytes").Order("table"),
		text("table", "Table"), whole("rows", "Rows"), whole("columns", "Columns"), whole("files", "Files"), whole("bytes", "Bytes"))
	if !ok {
		return f
	}
	for i := range r.Len() {
		if r.T(i, "table") == "customer_scores" {
			f.Reading = fmt.Sprintf("customer_scores has %s rows, one a customer.", f.C(i, "rows"))
		}
	}
	f.Open = true
	return f
}

// lineage is what made the run; without paths of files and times, which the manifest has.
func (b *builder) lineage() *Figure {
	m := b.run.Manifest
	f := &Figure{ID: "made-of", Title: "What made this run", Open: true, Wide: true, About: "The manifest lists every input file with its size and time, and every file written with its SHA-256."}
	row := func(name, value string) { f.Rows = append(f.Rows, []query.Value{query.Str(name), query.Str(value)}) }
	f.Columns = []Column{text("what", "What"), text("value", "Value")}
	row("Run", m.RunID)
	row("Date", m.Date)
	row("Customers are described at", m.AsOf.UTC().Format("2006-01-02 15:04 UTC"))
	row("Program version", m.ToolVersion)
	row("Configuration, SHA-256", m.ConfigHash)
	row("Manifest", m.Path())
	if b.run.Before != nil {
		row("Run before", b.run.Before.Manifest.RunID+" of "+b.run.Before.Manifest.Date)
	}
	f.Reading = "Run " + m.RunID + " of " + m.Date + "."
	return f
}

// modelCards are the cards of the models, as they are published.
func (b *builder) modelCards() []Block {
	var blocks []Block
	for _, file := range b.run.Manifest.Models {
		name := path.Base(file.Path)
		if !strings.HasSuffix(name, ".card.md") {
			continue
		}
		data, err := storage.ReadFile(b.ctx, b.run.FS, b.run.Path(file), 1<<20)
		if err != nil {
			b.err = publish.OutputError("reading", file.Path, err)
			return nil
		}
		blocks = append(blocks, Block{Name: "Model card: " + words(strings.TrimSuffix(name, ".card.md")), Text: string(data)})
	}
	return blocks
}

// terms are words of the page that are no columns.
var terms = [][2]string{
	{"as of", "The instant customers are described at: the end of the run's date. Only earlier events count."},
	{"AUC", "How often a customer with the outcome is ranked above one without it. 0.5 is chance, 1 is perfect."},
	{"average precision", "The mean share of the flagged that have the outcome, over all thresholds; compare it with the outcome's own share."},
	{"Brier score", "Mean squared difference between probability and outcome. Lower is better."},
	{"calibration error (ECE)", "How far probabilities are from the shares that happen, averaged over tenths of customers."},
	{"champion", "The model whose scores are published: the best out of time, unless nothing beats the recency rule."},
	{"cohort", "Customers who first bought at about the same time."},
	{"drift", "How much the distribution of a feature or score has moved since training or since the run before."},
	{"gate", "A check that a run must pass before it is published."},
	{"holdout", "The last stretch of history, kept from the models to test them on."},
	{"interval", "Where the true value lies with 95% confidence, as far as chance is concerned."},
	{"lift", "How many times as many outcomes the highest ranked customers have as a choice by lot would."},
	{"log-loss", "The mean surprise at what happened, given the probabilities. Lower is better."},
	{"log-odds", "A probability on the scale models add on: 0 is 50%, each unit about multiplies the odds by 2.7."},
	{"out of time", "Tested on a date later than every date learnt from, as in use."},
	{"P(alive)", "Probability that a customer has not dropped out for good."},
	{"purchase day", "A day on which a customer bought, however often."},
	{"recency rule", "The naive rule every model is compared with: the longer the silence, the likelier the loss."},
	{"RFM", "Scores of recency, frequency and monetary value in fifths; 5 is best."},
	{"sd", "Standard deviation, the usual distance from the mean."},
	{"segment", "Customers who behave alike. Its id stays the same from run to run."},
	{"Shapley value", "What a feature's value adds to one prediction, shared out fairly among the features."},
	{"silhouette", "How much nearer customers are to their own segment than to the next; 1 is best, 0 is a border."},
	{"snapshot", "Customers as they were at a past date, with what came after as the outcome."},
	{"stability", "How much of a segment comes out again when customers are drawn anew (Jaccard); above 0.75 is stable."},
	{"what to do: keep, reward", "The segment's share of revenue is at least 1.2 times its share of customers; keep where its mean risk is above the mean of all, reward otherwise."},
	{"what to do: economise, develop", "Its share of revenue is below half its share of customers; economise where its mean risk is above the mean of all, develop otherwise."},
	{"what to do: win over, maintain", "In between; win over where its mean risk is above the mean of all, maintain otherwise."},
	{"Wilson interval", "The 95% interval of a share, good for small groups too."},
}

func (b *builder) glossary() *Section {
	s := &Section{ID: "glossary", Title: "Glossary"}
	f := &Figure{ID: "terms", Title: "Terms", Wide: true, Open: true, Filter: true, Columns: []Column{text("term", "Term"), text("meaning", "Meaning")}}
	for _, t := range terms {
		f.Rows = append(f.Rows, []query.Value{query.Str(t[0]), query.Str(t[1])})
	}
	f.Reading = "Words that this page uses."
	s.add(Block{Figure: f})
	// Columns that every table has are explained once.
	f = &Figure{ID: "columns", Title: "Columns", Wide: true, Filter: true, Columns: []Column{text("column", "Column"), text("table", "Table"), text("type", "Type"), text("unit", "Unit"), text("meaning", "Meaning")}}
	seen := map[string]bool{}
	var of []tables.Column
	for _, t := range b.run.Manifest.Tables {
		for _, c := range t.Columns {
			key := c.Name + "\x00" + c.Meaning
			where := t.Name
			if c.Name == "as_of" || c.Name == "run_id" || c.Name == "customer_id" {
				where = "several"
			}
			if seen[key] && where == "several" {
				continue
			}
			seen[key] = true
			of = append(of, c)
			f.Rows = append(f.Rows, []query.Value{query.Str(c.Name), query.Str(where), query.Str(c.Type), query.Str(c.Unit), query.Str(c.Meaning)})
		}
	}
	f.Reading = fmt.Sprintf("%d columns of %d tables; type to find one.", len(of), len(b.run.Manifest.Tables))
	s.add(Block{Figure: f})
	return s
}
