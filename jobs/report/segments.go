package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/shoal-data/shoal/jobs/report/chart"
	"github.com/shoal-data/shoal/jobs/report/query"
)

// C is a cell of the figure's table as it is written there.
func (f *Figure) C(row int, column string) string {
	i := slices.IndexFunc(f.Columns, func(c Column) bool { return c.Name == column })
	return f.Columns[i].Format(f.Rows[row][i])
}

// frame is the chart's frame.
func (f *Figure) frame(x, y string) chart.Frame {
	return chart.Frame{ID: f.ID + "-c", Title: f.Title, About: strings.TrimSpace(f.Reading + " " + f.About), X: x, Y: y}
}

// tip is a mark's numbers: a name, and columns of its row with their labels.
func (f *Figure) tip(row int, name string, columns ...string) string {
	parts := []string{name}
	for _, c := range columns {
		i := slices.IndexFunc(f.Columns, func(x Column) bool { return x.Name == c })
		parts = append(parts, f.Columns[i].Label+": "+f.C(row, c))
	}
	return strings.Join(parts, "\n")
}

// anID makes an id of names from the configuration or the data: letters, digits, - and _
// stay, and anything else becomes its number, so that an id is never markup and no two
// names share one.
func anID(parts ...string) string {
	var b strings.Builder
	for i, p := range parts {
		if i > 0 {
			b.WriteByte('-')
		}
		for _, r := range p {
			switch {
			case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
				b.WriteRune(r)
			default:
				fmt.Fprintf(&b, ".%x.", r)
			}
		}
	}
	return b.String()
}

func (b *builder) segments() *Section {
	s := &Section{ID: "segments", Title: "Segments"}
	all := b.read(query.From("segments").Get("segmentation", query.Col("segmentation")).Get("n", query.Count()))
	if all.Len() == 0 {
		f := &Figure{ID: "segments-none", Title: "Segments", Missing: "There are no segments in this run: none are configured, or the data support none; the warnings say why."}
		s.add(Block{Figure: f})
	}
	for i := range all.Len() {
		b.segmentation(s, all.T(i, "segmentation"), i == 0)
	}
	b.byRules(s)
	return s
}

// prefix is of a segmentation's columns in customer_scores: the first that is
// configured has none.
func (b *builder) prefix(segmentation string) string {
	if c := b.settings.Segmentations; len(c) > 0 && c[0].Name != segmentation {
		return segmentation + "_"
	}
	return ""
}

// A paint is a colour's class and a name for each segment, by id.
type paint struct {
	class map[string]int // -1: grey, for there are more segments than colours
	name  map[string]string
}

// painted gives each segment a colour, or the largest where there are too many.
func painted(segments *query.Result) paint {
	p := paint{map[string]int{}, map[string]string{}}
	by := make([]int, segments.Len())
	for i := range by {
		by[i] = i
	}
	if len(by) > chart.Series {
		slices.SortStableFunc(by, func(x, y int) int {
			return cmp.Compare(segments.F(y, "customers"), segments.F(x, "customers"))
		})
	}
	for place, i := range by {
		id := segments.T(i, "segment_id")
		p.class[id], p.name[id] = place, id+" "+segments.T(i, "segment_name")
		if place >= chart.Series {
			p.class[id] = -1
		}
	}
	return p
}

// What is drawn of a division into many segments, so that a page stays small and can be
// read; the tables have all.
const (
	shownSegments = 20   // in a square of segments by segments, or a flow
	shownPairs    = 60   // beyond that
	shownCells    = 4000 // of segments by features
	shownSizes    = 1500 // of segments by nights
)

func (b *builder) segmentation(s *Section, name string, first bool) {
	of := query.Is("segmentation", name)
	f := &Figure{ID: anID("segments", name), Title: "Segments: who they are", Wide: true, Open: true,
		About: "Revenue is what its customers ever spent, less refunds. Distance is to the segment's centre, in standard deviations of the prepared features: larger means a more mixed segment."}
	columns := []Column{
		text("segment_id", "Segment"), text("segment_name", "Name"), text("description", "What a typical customer does"),
		whole("customers", "Customers"), share("customer_share", "Share of customers"), number("revenue", "Revenue, "+b.currency),
		share("revenue_share", "Share of revenue"), number("mean_distance", "Mean distance, sd"), text("since", "Since"),
	}
	names := []string{"segment_id", "segment_name", "description", "customers", "customer_share", "revenue", "revenue_share", "mean_distance", "since"}
	for _, c := range []Column{text("rule", "A rule that nearly tells it"), share("rule_precision", "Right of those the rule holds for"), share("rule_recall", "Found of the segment"), decimal("stability", "Stability")} {
		if _, ok := b.run.column("segments", c.Name); ok { // younger than the table
			names, columns = append(names, c.Name), append(columns, c)
		}
	}
	r, ok := b.query(f, query.From("segments").Where(of).Columns(names...).Order("segment_id"), columns...)
	s.add(Block{Heading: "Segmentation " + words(name), ID: anID("segmentation", name)})
	if !ok {
		s.add(Block{Figure: f})
		return
	}
	p := painted(r)
	largest, richest := 0, 0
	for i := range r.Len() {
		if r.F(i, "customers") > r.F(largest, "customers") {
			largest = i
		}
		if r.F(i, "revenue") > r.F(richest, "revenue") {
			richest = i
		}
	}
	f.Reading = fmt.Sprintf("%d %s; the largest is “%s” with %s of the customers", r.Len(), plural(r.Len(), "segment"), r.T(largest, "segment_name"), f.C(largest, "customer_share"))
	if !r.At(richest, "revenue_share").IsNull() && richest != largest {
		f.Reading += fmt.Sprintf("; the most revenue, %s, comes from “%s” with %s of the customers", f.C(richest, "revenue_share"), r.T(richest, "segment_name"), f.C(richest, "customer_share"))
	} else if !r.At(richest, "revenue_share").IsNull() {
		f.Reading += fmt.Sprintf(", and brings the most revenue, %s", f.C(richest, "revenue_share"))
	}
	if r.Len() == 1 {
		f.Reading = fmt.Sprintf("One segment, “%s”, with %s of the customers", r.T(0, "segment_name"), f.C(0, "customer_share"))
		if !r.At(0, "revenue_share").IsNull() {
			f.Reading += fmt.Sprintf(" and %s of the revenue", f.C(0, "revenue_share"))
		}
	}
	f.Reading += "."
	divided := 0.0
	for i := range r.Len() {
		divided += r.F(i, "customer_share")
	}
	if divided < .999 {
		f.Reading += " All others are in no segment: the data support no division of them."
	}
	if first {
		s.Lead = append(s.Lead, f.Reading)
	}
	var bars []chart.Bar
	for i := range r.Len() {
		id := r.T(i, "segment_id")
		one := func(c string) chart.Value {
			v := chart.Plain(r.F(i, c), f.tip(i, p.name[id], "customers", "customer_share", "revenue", "revenue_share"))
			v.Text = f.C(i, c)
			return v
		}
		bars = append(bars, chart.Bar{Name: p.name[id], Values: []chart.Value{one("customer_share"), one("revenue_share")}})
	}
	f.Chart = chart.Bars(f.frame("share of all customers, and of all revenue", ""), chart.Axis{Format: axisShare}, []string{"Customers", "Revenue"}, bars)
	prospects := b.outlook(name, p)
	s.add(Block{Cards: b.cards(f, r, prospects, p)}, Block{Figure: f}, Block{Figure: prospects})
	s.add(Block{Figure: b.profile(name, r, p)})
	s.add(Block{Figure: b.sizes(name, p)}, Block{Figure: b.overTime(name, p)}, Block{Figure: b.migration(name, p)})
	s.add(Block{Figure: b.clusterMap(name, p)}, Block{Figure: b.directions(name)}, Block{Figure: b.clusterCount(name)})
	for _, other := range []struct{ column, title string }{{"rfm_segment", "RFM segments"}, {"lifecycle_stage", "lifecycle stages"}} {
		s.add(Block{Figure: b.overlap(name, other.column, other.title, p)})
	}
	s.add(Block{Figure: b.distances(name, p)})
}

// churnTarget is the first target that is churn; empty without one.
func (b *builder) churnTarget() string {
	for _, t := range b.settings.Targets {
		if t.Kind == "churn" {
			if _, ok := b.run.column("customer_scores", t.Name+"_probability"); ok {
				return t.Name
			}
		}
	}
	return ""
}

// outlook is what the predictions say of each segment.
func (b *builder) outlook(name string, p paint) *Figure {
	f := &Figure{ID: anID("outlook", name), Title: "Segments: what to expect", About: "Means over the customers that have the prediction; expected value is over the configured horizon, summed over the segment."}
	pre := b.prefix(name)
	id := query.Col(pre + "segment_id")
	q := query.From("customer_scores").Get("segment", id).Get("customers", query.Count())
	columns := []Column{text("segment", "Segment"), whole("customers", "Customers")}
	churn := b.churnTarget()
	if churn != "" {
		q.Get("at_risk", query.CountOf(query.Col(churn+"_probability"))).Get("churn", query.Mean(query.Col(churn+"_probability")))
		columns = append(columns, whole("at_risk", "Active enough to be scored"), share("churn", "Mean probability of "+words(churn)))
	}
	q.Get("expected", query.Sum(query.Col("expected_value"))).Share("expected_share", "expected").Order("segment")
	columns = append(columns, number("expected", "Expected value, "+b.currency), share("expected_share", "Share of it"))
	r, ok := b.query(f, q, columns...)
	if !ok {
		return f
	}
	named := func(i int) (string, int) {
		if r.At(i, "segment").IsNull() {
			return "in no segment", -1
		}
		return p.name[r.T(i, "segment")], p.class[r.T(i, "segment")]
	}
	called := func(i int) string {
		if r.At(i, "segment").IsNull() {
			return "customers in no segment"
		}
		name, _ := named(i)
		return "“" + name + "”"
	}
	best, risky := 0, -1
	var bars []chart.Bar
	for i := range r.Len() {
		if r.F(i, "expected") > r.F(best, "expected") {
			best = i
		}
		if churn != "" && !r.At(i, "churn").IsNull() && (risky < 0 || r.F(i, "churn") > r.F(risky, "churn")) {
			risky = i
		}
		name, class := named(i)
		v := chart.Plain(r.F(i, "expected"), f.tip(i, name, "customers", "expected", "expected_share"))
		v.Text, v.Class = f.C(i, "expected"), class
		bars = append(bars, chart.Bar{Name: name, Values: []chart.Value{v}})
	}
	if !r.At(best, "expected_share").IsNull() {
		f.Reading = fmt.Sprintf("%s: %s of the value to come.", sentence(called(best)), f.C(best, "expected_share"))
	}
	if risky >= 0 {
		f.Reading += fmt.Sprintf(" Likeliest to be lost: %s, %s on average.", called(risky), f.C(risky, "churn"))
	}
	f.Chart = chart.Bars(f.frame("expected value, "+b.currency, ""), chart.Axis{Format: axisCount}, nil, bars)
	return f
}

// advice is what to do with a segment, by rules that the glossary gives.
func advice(worth, churn, overall float64, inactive bool) string {
	risky := churn > overall
	switch {
	case inactive:
		return "Let rest: one low-cost attempt to win back, then leave alone."
	case worth >= 1.2 && risky:
		return "Keep: worth more than their number and likelier to be lost than most. Contact these first."
	case worth >= 1.2:
		return "Reward: worth more than their number and loyal. Protect the relationship; no discount is needed."
	case worth < .5 && risky:
		return "Economise: little revenue and likely to be lost. Automated messages only."
	case worth < .5:
		return "Develop: active and worth little so far. Work on the next purchase."
	case risky:
		return "Win over: ordinary value, likelier to be lost than most. Test an incentive on a part of them."
	}
	return "Maintain: ordinary value and risk. Keep the present treatment as the control for tests."
}

func (b *builder) cards(f *Figure, r *query.Result, outlook *Figure, p paint) []Card {
	var cards []Card
	churn := map[string]float64{}
	written := map[string]string{}
	sum, n := 0.0, 0.0
	has := slices.IndexFunc(outlook.Columns, func(c Column) bool { return c.Name == "churn" }) >= 0
	for i := range outlook.Rows {
		id := outlook.C(i, "segment")
		if has {
			o := &query.Result{Rows: outlook.Rows}
			for _, c := range outlook.Columns {
				o.Columns = append(o.Columns, c.Name)
			}
			churn[id], written[id] = o.F(i, "churn"), outlook.C(i, "churn")
			if !math.IsNaN(churn[id]) {
				sum, n = sum+churn[id]*o.F(i, "at_risk"), n+o.F(i, "at_risk")
			}
		}
	}
	for i := range r.Len() {
		id := r.T(i, "segment_id")
		worth := math.NaN()
		if !r.At(i, "revenue_share").IsNull() && r.F(i, "customer_share") > 0 {
			worth = r.F(i, "revenue_share") / r.F(i, "customer_share")
		}
		risk, ok := churn[id]
		if !ok {
			risk = math.NaN()
		}
		c := Card{
			Class: chart.ClassOf(p.class[id]), Number: id, Name: r.T(i, "segment_name"), Description: sentence(r.T(i, "description")),
			Advice: advice(worth, risk, sum/n, r.At(i, "mean_distance").IsNull()),
			Facts:  [][2]string{{"Customers", f.C(i, "customers")}, {"of all", f.C(i, "customer_share")}, {"of revenue", f.C(i, "revenue_share")}},
		}
		if ok {
			c.Facts = append(c.Facts, [2]string{"mean risk of " + words(b.churnTarget()), written[id]})
		}
		cards = append(cards, c)
	}
	return cards
}

// profile is what sets the segments apart.
func (b *builder) profile(name string, segments *query.Result, p paint) *Figure {
	f := &Figure{ID: anID("profile", name), Title: "What sets them apart", Filter: true,
		About: "Each cell: how many standard deviations of all customers the segment's mean is above (blue) or below (orange) everybody's mean."}
	q := query.From("segment_profiles").Where(query.Is("segmentation", name))
	if told := b.telling(name, segments.Len()); told != nil {
		q.Where(query.In(query.Col("feature"), told...))
		f.About += fmt.Sprintf(" Of all features, the %d that tell most.", len(told))
	}
	asked := []string{"feature", "segment_id", "customers", "mean", "median", "p10", "p90", "mean_all", "standing"}
	many := segments.Len() > shownSegments
	if many { // the page stays small
		asked = []string{"feature", "segment_id", "mean", "mean_all", "standing"}
	}
	r, ok := b.query(f, q.
		Columns(asked...).Order("feature", "segment_id"),
		text("feature", "Feature"), text("segment_id", "Segment"), whole("customers", "Customers known"), number("mean", "Mean"), number("median", "Median"),
		number("p10", "10% have at most"), number("p90", "90% have at most"), number("mean_all", "Mean of all"), decimal("standing", "Difference, sd"))
	if !ok {
		return f
	}
	var features, ids []string
	unknown := map[string]bool{} // to everybody
	for i := range r.Len() {
		if x := r.T(i, "feature"); !r.At(i, "standing").IsNull() && !slices.Contains(features, x) {
			features = append(features, x)
		}
	}
	for i := range r.Len() {
		if x := r.T(i, "feature"); !slices.Contains(features, x) {
			unknown[words(x)] = true
		}
	}
	if len(unknown) > 0 {
		f.About += " Left out, for nobody has a value: " + strings.Join(slices.Sorted(maps.Keys(unknown)), ", ") + "."
	}
	if len(features) == 0 {
		f.Missing = "No feature tells the segments apart: nobody has a value of those that they were divided by."
		return f
	}
	for i := range segments.Len() {
		ids = append(ids, segments.T(i, "segment_id"))
	}
	cells := make([][]chart.Cell, len(features))
	most, of := 0.0, 0
	for i := range cells {
		cells[i] = make([]chart.Cell, len(ids))
		for j := range cells[i] {
			cells[i][j].V = math.NaN()
		}
	}
	for i := range r.Len() {
		v := r.F(i, "standing")
		k, j := slices.Index(features, r.T(i, "feature")), slices.Index(ids, r.T(i, "segment_id"))
		if j < 0 || k < 0 {
			continue
		}
		unit := ""
		if u := b.unitOf(r.T(i, "feature")); u != "" {
			unit = " " + u
		}
		tip := fmt.Sprintf("%s\n%s\nmean %s%s, of all %s", words(r.T(i, "feature")), p.name[ids[j]], f.C(i, "mean"), unit, f.C(i, "mean_all"))
		if !many {
			tip += fmt.Sprintf("\nmedian %s, 10%%–90%% %s to %s", f.C(i, "median"), f.C(i, "p10"), f.C(i, "p90"))
		}
		tip += fmt.Sprintf("\ndifference %s sd", f.C(i, "standing"))
		cells[k][j] = chart.Cell{V: v, Tip: tip}
		if !math.IsNaN(v) {
			cells[k][j].Text = minus(fmt.Sprintf("%.1f", v))
		}
		if math.Abs(v) > most {
			most, of = math.Abs(v), i
		}
	}
	where := "above"
	if r.F(of, "standing") < 0 {
		where = "below"
	}
	f.Reading = fmt.Sprintf("Furthest from everybody: “%s”, whose %s is %s on average, %s the mean of all, %s.", p.name[r.T(of, "segment_id")], words(r.T(of, "feature")), f.C(of, "mean"), where, f.C(of, "mean_all"))
	var rows []string
	for _, x := range features {
		rows = append(rows, words(x))
	}
	f.Chart = chart.Heat(f.frame("segment", "feature; cells: difference from the mean of all, sd"), rows, ids, cells, 2)
	return f
}

// unitOf is what a feature's values are in, for people; empty of what has no unit.
func (b *builder) unitOf(feature string) string {
	c, _ := b.run.column("features", feature)
	return b.unitName(c.Unit)
}

// unitName is a column's unit for people.
func (b *builder) unitName(unit string) string {
	switch unit {
	case "currency":
		return b.currency
	case "share", "ratio", "index":
		return ""
	}
	return unit
}

// telling are the features in which some segment is furthest from everybody, where there are
// more than can be shown; otherwise nil.
func (b *builder) telling(name string, segments int) []string {
	standing := query.Col("standing")
	r := b.read(query.From("segment_profiles").Where(query.Is("segmentation", name)).Get("feature", query.Col("feature")).Get("high", query.Most(standing)).Get("low", query.Least(standing)).Order("feature"))
	most := max(10, shownCells/max(segments, 1))
	if r.Len() <= most {
		return nil
	}
	far := func(i int) float64 {
		v := math.Max(math.Abs(r.F(i, "high")), math.Abs(r.F(i, "low")))
		if math.IsNaN(v) {
			return -1
		}
		return v
	}
	by := make([]int, r.Len())
	for i := range by {
		by[i] = i
	}
	slices.SortStableFunc(by, func(x, y int) int { return cmp.Compare(far(y), far(x)) })
	var names []string
	for _, i := range by[:most] {
		names = append(names, r.T(i, "feature"))
	}
	return names
}

// sizes is how large the segments are and were.
func (b *builder) sizes(name string, p paint) *Figure {
	f := &Figure{ID: anID("sizes", name), Title: "What became of the segments", About: "A segment keeps its id as long as it is the same; matched share is how much of it is (Jaccard)."}
	r, ok := b.query(f, query.From("segment_history").Where(query.Is("segmentation", name)).
		Columns("segment_id", "segment_name", "status", "customers_before", "customers", "matched_share", "before_date", "since").
		Derive("change", "customers - customers_before", func(r *query.Result, i int) query.Value {
			if r.At(i, "customers").IsNull() || r.At(i, "customers_before").IsNull() {
				return query.Value{}
			}
			return query.Num(r.F(i, "customers") - r.F(i, "customers_before"))
		}).Order("segment_id"),
		text("segment_id", "Segment"), text("segment_name", "Name"), text("status", "Status"), whole("customers_before", "Customers before"), whole("customers", "Customers now"),
		share("matched_share", "The same"), whole("change", "Change"))
	if !ok {
		return f
	}
	if r.At(0, "before_date").IsNull() {
		f.Reading = "This is the first run of the segmentation: there is nothing to compare it with yet."
	} else {
		kept, most := 0, 0
		for i := range r.Len() {
			if r.T(i, "status") == "kept" {
				kept++
			}
			if math.Abs(r.F(i, "change")) > math.Abs(r.F(most, "change")) || math.IsNaN(r.F(most, "change")) {
				most = i
			}
		}
		f.Reading = fmt.Sprintf("Since %s, %d of %d segments were kept", r.T(0, "before_date"), kept, r.Len())
		if r.Len() == 1 {
			f.Reading = fmt.Sprintf("Since %s: the only segment, “%s”, is %s", r.T(0, "before_date"), r.T(0, "segment_name"), r.T(0, "status"))
		}
		if c := r.F(most, "change"); !math.IsNaN(c) && c != 0 {
			f.Reading += fmt.Sprintf("; “%s” changed most: from %s to %s customers", r.T(most, "segment_name"), f.C(most, "customers_before"), f.C(most, "customers"))
		}
		f.Reading += "."
	}
	var bars []chart.Bar
	for i := range r.Len() {
		id := r.T(i, "segment_id")
		one := func(c string) chart.Value {
			v := chart.Plain(r.F(i, c), f.tip(i, id+" "+r.T(i, "segment_name"), "status", "customers_before", "customers"))
			v.Text = f.C(i, c)
			return v
		}
		bar := chart.Bar{Name: id + " " + r.T(i, "segment_name"), Values: []chart.Value{one("customers_before"), one("customers")}}
		if r.At(i, "before_date").IsNull() {
			bar.Values = bar.Values[1:]
		}
		bars = append(bars, bar)
	}
	series := []string{"Run before", "This run"}
	if r.At(0, "before_date").IsNull() {
		series = nil
	}
	f.Chart = chart.Bars(f.frame("customers", ""), chart.Axis{Format: axisCount}, series, bars)
	return f
}

// migration is who went where.
func (b *builder) migration(name string, p paint) *Figure {
	f := &Figure{ID: anID("migration", name), Title: "Who moved", About: "Left: the run before. Right: this run. “not there” are customers who had not appeared yet, or are in no segment."}
	q := query.From("segment_migrations").Where(query.Is("segmentation", name)).
		Columns("from_segment_id", "from_segment_name", "to_segment_id", "to_segment_name", "customers", "from_share", "from_date")
	if len(p.class) > shownSegments {
		q.Order("customers DESC", "from_segment_id", "to_segment_id").Limit(shownPairs)
		f.About += fmt.Sprintf(" Of so many segments, the %d largest moves.", shownPairs)
	} else {
		q.Order("from_segment_id", "to_segment_id")
	}
	r, ok := b.query(f, q,
		text("from_segment_id", "From"), text("from_segment_name", "Name"), text("to_segment_id", "To"), text("to_segment_name", "Name"),
		whole("customers", "Customers"), share("from_share", "Share of those it comes from"), text("from_date", "Since"))
	if !ok {
		if f.Missing != "" {
			f.Missing = "There is no previous run of this segmentation to compare with."
		}
		return f
	}
	var left, right []chart.Node
	place := func(nodes *[]chart.Node, id, name string) int {
		if id == "" {
			id, name = "not there", ""
		}
		full := strings.TrimSpace(id + " " + name)
		for i, n := range *nodes {
			if n.Name == full {
				return i
			}
		}
		k, ok := p.class[id]
		if !ok {
			k = -1
		}
		*nodes = append(*nodes, chart.Node{Name: full, Class: k, Tip: full})
		return len(*nodes) - 1
	}
	// Both sides in the order of the ids, who is not there last.
	ends := func(nodes *[]chart.Node, id, name string) {
		var of []int
		for i := range r.Len() {
			of = append(of, i)
		}
		slices.SortStableFunc(of, func(x, y int) int {
			a, b := r.At(x, id), r.At(y, id)
			if a.IsNull() != b.IsNull() {
				return cmp.Compare(len(b.String()), len(a.String())) // none has no letters
			}
			return cmp.Compare(a.Float(), b.Float())
		})
		for _, i := range of {
			place(nodes, r.T(i, id), r.T(i, name))
		}
	}
	ends(&left, "from_segment_id", "from_segment_name")
	ends(&right, "to_segment_id", "to_segment_name")
	var links []chart.Link
	most := -1
	for i := range r.Len() {
		from := place(&left, r.T(i, "from_segment_id"), r.T(i, "from_segment_name"))
		to := place(&right, r.T(i, "to_segment_id"), r.T(i, "to_segment_name"))
		links = append(links, chart.Link{From: from, To: to, V: r.F(i, "customers"), Tip: fmt.Sprintf("%s → %s\n%s customers, %s of the former", left[from].Name, right[to].Name, f.C(i, "customers"), f.C(i, "from_share"))})
		if r.T(i, "from_segment_id") != r.T(i, "to_segment_id") && !r.At(i, "from_segment_id").IsNull() && !r.At(i, "to_segment_id").IsNull() && (most < 0 || r.F(i, "customers") > r.F(most, "customers")) {
			most = i
		}
	}
	f.Reading = fmt.Sprintf("Since %s nobody changed from one segment to another.", r.T(0, "from_date"))
	if most >= 0 {
		f.Reading = fmt.Sprintf("Since %s the largest move was from “%s” to “%s”: %s customers, %s of the former.", r.T(0, "from_date"), r.T(most, "from_segment_name"), r.T(most, "to_segment_name"), f.C(most, "customers"), f.C(most, "from_share"))
	}
	f.Chart = chart.Flow(f.frame("", ""), "before", "now", left, right, links)
	return f
}

// clusterMap shows customers in two dimensions.
func (b *builder) clusterMap(name string, p paint) *Figure {
	f := &Figure{ID: anID("map", name), Title: "Map of customers", Wide: false,
		About: "A sample of customers in the two directions in which they differ most (principal components of the prepared features); near means alike. Colours and shapes are the segments."}
	r, ok := b.query(f, query.From("customer_map").Where(query.Is("segmentation", name)).Columns("segment_id", "x", "y").Order("segment_id", "x", "y"),
		text("segment_id", "Segment"), decimal("x", "First direction, sd"), decimal("y", "Second direction, sd"))
	if !ok {
		if f.Missing != "" {
			f.Missing = "There is no map: customers are not divided, or the run is older than maps."
		}
		return f
	}
	f.Reading = "Where colours mix, customers of different segments are alike; where they part, they are not."
	var spots []chart.Spot
	names := make([]string, min(len(p.class), chart.Series))
	for i := range r.Len() {
		id := r.T(i, "segment_id")
		if k, ok := p.class[id]; ok && k >= 0 {
			names[k] = p.name[id]
		}
	}
	if len(p.class) > chart.Series {
		f.About += " Grey: the smaller segments, which there are no more colours for."
	}
	for i := range r.Len() {
		k, ok := p.class[r.T(i, "segment_id")]
		if !ok {
			continue
		}
		spots = append(spots, chart.Spot{X: r.F(i, "x"), Y: r.F(i, "y"), Class: k, Tip: p.name[r.T(i, "segment_id")]})
	}
	f.Chart = chart.Scatter(f.frame("first direction, sd", "second direction, sd"), chart.Axis{Format: axisNumber}, chart.Axis{Format: axisNumber}, spots, names)
	f.Filter = true
	return f
}

// directions says what the map's directions are.
func (b *builder) directions(name string) *Figure {
	f := &Figure{ID: anID("directions", name), Title: "What the map's directions mean", Open: true, About: "+ is more of it to the right, or upwards; − is less."}
	signs := func(v query.Value) string {
		return strings.NewReplacer("-", "−", "_", " ").Replace(asText(v))
	}
	r, ok := b.query(f, query.From("customer_map").Where(query.Is("segmentation", name)).Get("x_features", query.Col("x_features")).Get("x_share", query.Col("x_share")).Get("y_features", query.Col("y_features")).Get("y_share", query.Col("y_share")).Get("points", query.Count()),
		Column{"x_features", "Across", signs}, share("x_share", "Share of all differences"), Column{"y_features", "Up", signs}, share("y_share", "Share of all differences"), whole("points", "Customers on the map"))
	if !ok {
		if f.Missing != "" {
			f.Missing = "There is no map."
		}
		return f
	}
	f.Reading = fmt.Sprintf("Across holds %s of all differences: %s. Up holds %s: %s.", f.C(0, "x_share"), signs(r.At(0, "x_features")), f.C(0, "y_share"), signs(r.At(0, "y_features")))
	return f
}

// clusterCount is why there are as many segments as there are.
func (b *builder) clusterCount(name string) *Figure {
	f := &Figure{ID: anID("count", name), Title: "Why this many segments",
		About: "Stability: how much of a segment comes out again when customers are drawn anew (Jaccard). Prediction strength: whether one half of the customers finds the other's segments. Silhouette: how much nearer customers are to their own segment than to the next. 1 is best in all three. Customers who are inactive are not divided, and are one segment more."}
	q := query.From("segment_counts").Where(query.Is("segmentation", name)).Get("k", query.Col("segments")).Columns("stability").Get("strength", query.Col("prediction_strength")).
		Columns("silhouette").Get("smallest", query.Col("smallest_share")).Columns("chosen", "support", "why").Order("k")
	r, ok := b.query(f, q, text("k", "Segments"), decimal("stability", "Stability"), decimal("strength", "Prediction strength"), decimal("silhouette", "Silhouette"), share("smallest", "Smallest segment"), text("chosen", "Chosen"), text("support", "Supported by the data"), text("why", "Why, or why not"))
	if !ok {
		if f.Missing != "" {
			f.Missing = "The number of segments was not searched in this run: it is given, or taken over from the run before."
		}
		return f
	}
	lines := []chart.Line{{Name: "Stability", Class: 0, Dots: true}, {Name: "Prediction strength", Class: 1, Dashed: true, Dots: true}, {Name: "Silhouette", Class: 2, Dashed: true, Dots: true}}
	var ticks []chart.Tick
	var guides []chart.Guide
	for i := range r.Len() {
		k := r.F(i, "k")
		ticks = append(ticks, chart.Tick{At: k, Text: f.C(i, "k")})
		for j, c := range []string{"stability", "strength", "silhouette"} {
			lines[j].Points = append(lines[j].Points, chart.Point{X: k, Y: r.F(i, c), Low: math.NaN(), High: math.NaN(), Tip: f.tip(i, f.C(i, "k")+" segments", c)})
		}
		if r.At(i, "chosen").True() {
			f.Reading = fmt.Sprintf("%s segments were chosen (%s): stability %s, prediction strength %s, silhouette %s; the smallest holds %s of the customers.", f.C(i, "k"), strings.TrimPrefix(r.T(i, "why"), "chosen: "), f.C(i, "stability"), f.C(i, "strength"), f.C(i, "silhouette"), f.C(i, "smallest"))
			guides = append(guides, chart.Guide{X1: k, X2: k, Y1: 0, Y2: 1})
		}
	}
	f.Chart = chart.Lines(f.frame("number of segments (the line marks the choice)", "1 is best"), chart.Axis{Ticks: ticks}, chart.Axis{Format: axisNumber, Fixed: r.Len() > 0, Low: 0, High: 1}, lines, guides...)
	return f
}

// overlap is how a segmentation and a division by rules go together.
func (b *builder) overlap(name, column, title string, p paint) *Figure {
	f := &Figure{ID: anID("overlap", name, column), Title: "Segments and " + title, About: "Each row: how the customers of a segment divide, in hundredths; a row adds up to 100%."}
	id := query.Col(b.prefix(name) + "segment_id")
	q := query.From("customer_scores").Where(query.NotNull(id), query.NotNull(query.Col(column))).Get("segment", id).Get("class", query.Col(column)).Get("customers", query.Count()).
		Derive("share", "customers / sum(customers) OVER (PARTITION BY segment)", func(r *query.Result, i int) query.Value {
			sum := 0.0
			for k := range r.Rows {
				if r.At(k, "segment") == r.At(i, "segment") {
					sum += r.F(k, "customers")
				}
			}
			return query.Num(r.F(i, "customers") / sum)
		}).Order("segment", "class")
	r, ok := b.query(f, q, text("segment", "Segment"), Column{"class", sentence(title), func(v query.Value) string { return words(v.String()) }}, whole("customers", "Customers"), share("share", "Share of the segment"))
	if !ok {
		return f
	}
	var ids, classes []string
	most := 0
	for i := range r.Len() {
		if x := r.T(i, "segment"); !slices.Contains(ids, x) {
			ids = append(ids, x)
		}
		if x := r.T(i, "class"); !slices.Contains(classes, x) {
			classes = append(classes, x)
		}
		if r.F(i, "share") > r.F(most, "share") {
			most = i
		}
	}
	slices.Sort(classes)
	cells := make([][]chart.Cell, len(ids))
	for i := range cells {
		cells[i] = make([]chart.Cell, len(classes))
		for j := range cells[i] {
			cells[i][j] = chart.Cell{V: 0, Tip: p.name[ids[i]] + "\n" + words(classes[j]) + "\nnobody"}
		}
	}
	for i := range r.Len() {
		k, j := slices.Index(ids, r.T(i, "segment")), slices.Index(classes, r.T(i, "class"))
		cells[k][j] = chart.Cell{V: r.F(i, "share"), Text: fmt.Sprintf("%.0f", 100*r.F(i, "share")), Tip: f.tip(i, p.name[ids[k]]+"\n"+words(classes[j]), "customers", "share")}
	}
	var rows, columns []string
	for _, x := range ids {
		rows = append(rows, p.name[x])
	}
	for _, x := range classes {
		columns = append(columns, words(x))
	}
	f.Reading = fmt.Sprintf("The closest match: %s of “%s” are %s.", f.C(most, "share"), p.name[r.T(most, "segment")], words(r.T(most, "class")))
	f.Chart = chart.Heat(f.frame(title, "segment; cells: % of its customers"), rows, columns, cells, 1)
	return f
}

// nearest are the pairs of many segments that lie nearest each other.
func (b *builder) nearest(name string, p paint) *Figure {
	f := &Figure{ID: anID("distances", name), Title: "Which segments are most alike", About: fmt.Sprintf("The %d pairs whose centres lie nearest, in standard deviations of the prepared features. Too alike: they differ by less than half a standard deviation in every feature, and are not worth treating differently.", shownPairs)}
	r, ok := b.query(f, query.From("segment_distances").Where(query.Is("segmentation", name), query.Lt(query.Col("segment_id"), query.Col("other_segment_id"))).
		Columns("segment_id", "other_segment_id", "distance", "differ_most_in", "difference", "too_alike").Order("distance", "segment_id", "other_segment_id").Limit(shownPairs),
		text("segment_id", "Segment"), text("other_segment_id", "Other"), number("distance", "Distance, sd"), Column{"differ_most_in", "Differ most in", func(v query.Value) string { return words(asText(v)) }}, decimal("difference", "The other has more by, sd"), text("too_alike", "Too alike"))
	if !ok {
		return f
	}
	var bars []chart.Bar
	for i := range min(r.Len(), shownSegments) {
		one, other := p.name[r.T(i, "segment_id")], p.name[r.T(i, "other_segment_id")]
		v := chart.Plain(r.F(i, "distance"), f.tip(i, one+"\n"+other, "distance", "differ_most_in", "difference", "too_alike"))
		v.Text = f.C(i, "distance")
		bars = append(bars, chart.Bar{Name: f.C(i, "segment_id") + " and " + f.C(i, "other_segment_id"), Values: []chart.Value{v}})
	}
	f.Reading = fmt.Sprintf("The nearest pair is “%s” and “%s”, %s standard deviations apart; they differ most in %s.", p.name[r.T(0, "segment_id")], p.name[r.T(0, "other_segment_id")], f.C(0, "distance"), words(r.T(0, "differ_most_in")))
	f.Chart = chart.Bars(f.frame("distance, sd", ""), chart.Axis{Format: axisNumber}, nil, bars)
	return f
}

// distances is how far the segments lie apart.
func (b *builder) distances(name string, p paint) *Figure {
	if len(p.class) > shownSegments {
		return b.nearest(name, p)
	}
	f := &Figure{ID: anID("distances", name), Title: "How different the segments are", About: "Distance of two centres in standard deviations of the prepared features; darker is nearer. Too alike: they differ by less than half a standard deviation in every feature, and are not worth treating differently."}
	r, ok := b.query(f, query.From("segment_distances").Where(query.Is("segmentation", name)).
		Columns("segment_id", "other_segment_id", "distance", "differ_most_in", "difference", "too_alike").Order("segment_id", "other_segment_id"),
		text("segment_id", "Segment"), text("other_segment_id", "Other"), number("distance", "Distance, sd"), Column{"differ_most_in", "Differ most in", func(v query.Value) string { return words(asText(v)) }}, decimal("difference", "The other has more by, sd"), text("too_alike", "Too alike"))
	if !ok {
		if f.Missing != "" {
			f.Missing = "There are no two segments with centres to compare."
		}
		return f
	}
	var ids []string
	alike, near, most := 0, 0, 0.0
	for i := range r.Len() {
		if x := r.T(i, "segment_id"); !slices.Contains(ids, x) {
			ids = append(ids, x)
		}
		if r.At(i, "too_alike").True() {
			alike++
		}
		if r.F(i, "distance") < r.F(near, "distance") {
			near = i
		}
		most = max(most, r.F(i, "distance"))
	}
	cells := make([][]chart.Cell, len(ids))
	for i := range cells {
		cells[i] = make([]chart.Cell, len(ids))
		for j := range cells[i] {
			cells[i][j] = chart.Cell{V: math.NaN(), Tip: p.name[ids[i]]}
		}
	}
	for i := range r.Len() {
		k, j := slices.Index(ids, r.T(i, "segment_id")), slices.Index(ids, r.T(i, "other_segment_id"))
		if j >= 0 {
			cells[k][j] = chart.Cell{V: 1 - .85*r.F(i, "distance")/most, Text: minus(fmt.Sprintf("%.1f", r.F(i, "distance"))), Tip: f.tip(i, p.name[ids[k]]+"\n"+p.name[ids[j]], "distance", "differ_most_in", "difference")}
		}
	}
	var rows []string
	for _, x := range ids {
		rows = append(rows, p.name[x])
	}
	f.Reading = fmt.Sprintf("The nearest pair is “%s” and “%s”, %s standard deviations apart; they differ most in %s", p.name[r.T(near, "segment_id")], p.name[r.T(near, "other_segment_id")], f.C(near, "distance"), words(r.T(near, "differ_most_in")))
	if alike == 0 {
		f.Reading += ". No two are too alike to act on differently."
	} else {
		f.Reading += ". Some are too alike to act on differently."
	}
	f.Chart = chart.Heat(f.frame("other segment", "segment; cells: distance, sd"), rows, ids, cells, 1)
	return f
}

// overTime is how large the segments were in every run that the trends remember.
func (b *builder) overTime(name string, p paint) *Figure {
	f := &Figure{ID: anID("over-time", name), Title: "Sizes over time", About: "Share of all customers, night by night; segments that are no longer there are grey."}
	r, ok := b.query(f, b.lately(f, query.From("trends").Where(query.Is("subject", name), query.Is("measure", "customer_share"))).
		Columns("date", "segment_id", "segment_name", "value").Order("date", "segment_id"),
		text("date", "Date"), text("segment_id", "Segment"), text("segment_name", "Name"), share("value", "Share of customers"))
	if !ok {
		return f
	}
	lines, dates := b.nights(f, r, func(i int) (string, int) {
		id := r.T(i, "segment_id")
		k, living := p.class[id]
		if !living {
			k = -1
		}
		return id + " " + r.T(i, "segment_name"), k
	})
	for k := range lines {
		if lines[k].Class < 0 {
			if lines[k].Name = "no longer there"; len(p.class) > chart.Series {
				lines[k].Name = "no longer there, or small"
			}
		}
	}
	if len(dates) < 2 {
		f.Missing = "Only this run has it yet: the next ones add to the curve."
		return f
	}
	first, last := map[string]int{}, map[string]int{}
	for i := range r.Len() {
		id := r.T(i, "segment_id")
		if _, ok := first[id]; !ok {
			first[id] = i
		}
		last[id] = i
	}
	most, moved := "", 0.0
	for i := range r.Len() {
		id := r.T(i, "segment_id")
		if d := math.Abs(r.F(last[id], "value") - r.F(first[id], "value")); d > moved {
			most, moved = id, d
		}
	}
	f.Reading = "No segment has changed its share."
	if most != "" {
		f.Reading = fmt.Sprintf("The share of “%s” changed most: from %s on %s to %s on %s.", p.name[most], f.C(first[most], "value"), f.C(first[most], "date"), f.C(last[most], "value"), f.C(last[most], "date"))
	}
	f.Chart = chart.Lines(f.frame("date of the run", "share of all customers"), chart.Axis{Ticks: dates}, chart.Axis{Format: axisShare, Fixed: true, Low: 0, High: topShare(r)}, lines)
	f.Filter = true
	return f
}

// topShare is a round share above all values.
func topShare(r *query.Result) float64 {
	most := 0.0
	for i := range r.Len() {
		most = max(most, r.F(i, "value"))
	}
	step := chart.Step(most / 4)
	return min(1, math.Ceil(most/step)*step)
}

// byRules is the divisions of customers by rules.
func (b *builder) byRules(s *Section) {
	known := []struct{ column, title string }{
		{"rfm_segment", "RFM segments"}, {"lifecycle_stage", "Lifecycle stages"}, {"usage_rate", "Usage rate"}, {"loyalty_tier", "Loyalty tiers"},
		{"benefit_sought", "Benefit sought"}, {"occasion_shopper", "Occasion shoppers"}, {"journey_stage", "Journey stages"},
	}
	started := false
	for _, k := range known {
		if _, ok := b.run.column("customer_scores", k.column); !ok {
			continue
		}
		if !started {
			started = true
			s.add(Block{Heading: "Segments by rules", ID: "by-rules", Note: "Every customer is in exactly one cell of each."})
		}
		f := &Figure{ID: "rule-" + k.column, Title: k.title}
		if c, ok := b.run.column("customer_scores", k.column); ok {
			f.About = c.Meaning
		}
		r, ok := b.query(f, query.From("customer_scores").Get("class", query.Col(k.column)).Get("customers", query.Count()).Share("share", "customers").Order("customers DESC", "class"),
			Column{"class", k.title, func(v query.Value) string { return words(asText(v)) }}, whole("customers", "Customers"), share("share", "Share"))
		s.add(Block{Figure: f})
		if !ok {
			continue
		}
		f.Reading = fmt.Sprintf("The largest group is “%s”, with %s of the customers.", f.C(0, "class"), f.C(0, "share"))
		var bars []chart.Bar
		for i := range r.Len() {
			v := chart.Plain(r.F(i, "share"), f.tip(i, f.C(i, "class"), "customers", "share"))
			v.Text = f.C(i, "share")
			bars = append(bars, chart.Bar{Name: f.C(i, "class"), Values: []chart.Value{v}})
		}
		f.Chart = chart.Bars(f.frame("share of customers", ""), chart.Axis{Format: axisShare}, nil, bars)
	}
}
