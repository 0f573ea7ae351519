package report

import (
	"fmt"
	"math"

	"github.com/shoal-data/shoal/jobs/report/chart"
	"github.com/shoal-data/shoal/jobs/report/query"
)

func (b *builder) behaviour() *Section {
	s := &Section{ID: "behaviour", Title: "Behaviour"}
	funnel := b.funnel()
	if funnel.Reading != "" {
		s.Lead = append(s.Lead, funnel.Reading)
	}
	for _, f := range []*Figure{funnel, b.abandonment(), b.cohorts(), b.stillBuying(), b.silence(), b.timing(), b.channels(), b.distributions()} {
		s.add(Block{Figure: f})
	}
	return s
}

// funnel is how many customers have ever come how far.
func (b *builder) funnel() *Figure {
	f := &Figure{ID: "funnel", Title: "How far customers have come", About: "Customers who have ever done each of these, as a share of all. A step that no event is mapped to is at 0."}
	steps := []struct{ name, column, label string }{
		{"seen", "event_count_lifetime", "any event"}, {"viewed", "view_count_lifetime", "viewed"}, {"carted", "cart_add_count_lifetime", "put into a cart"},
		{"checked_out", "checkout_count_lifetime", "began to check out"}, {"bought", "purchase_count_lifetime", "bought"},
	}
	q := query.From("features").Get("customers", query.Count())
	columns := []Column{whole("customers", "Customers")}
	kept := steps[:0:0]
	for _, st := range steps {
		if _, ok := b.run.column("features", st.column); ok {
			q.Get(st.name, query.CountIf(query.Gt(query.Col(st.column), query.N(0))))
			columns = append(columns, whole(st.name, sentence(st.label)))
			kept = append(kept, st)
		}
	}
	if _, ok := b.run.column("features", "purchase_days_lifetime"); ok {
		q.Get("again", query.CountIf(query.Gt(query.Col("purchase_days_lifetime"), query.N(1))))
		columns = append(columns, whole("again", "Bought on several days"))
		kept = append(kept, struct{ name, column, label string }{"again", "", "bought on several days"})
	}
	for _, st := range kept {
		q.Ratio(st.name+"_share", st.name, "customers")
		columns = append(columns, share(st.name+"_share", sentence(st.label)+", share"))
	}
	r, ok := b.query(f, q, columns...)
	if !ok || r.F(0, "customers") == 0 {
		f.Missing = "There are no customers."
		return f
	}
	var bars []chart.Bar
	for _, st := range kept {
		v := chart.Plain(r.F(0, st.name+"_share"), f.tip(0, st.label, st.name, st.name+"_share"))
		v.Text = f.C(0, st.name) + " (" + f.C(0, st.name+"_share") + ")"
		bars = append(bars, chart.Bar{Name: st.label, Values: []chart.Value{v}})
	}
	if i := len(kept) - 1; i >= 1 && kept[i].name == "again" {
		f.Reading = fmt.Sprintf("%s of all customers have bought; %s have bought on several days.", f.C(0, kept[i-1].name+"_share"), f.C(0, "again_share"))
	}
	f.Chart = chart.Bars(f.frame("share of all customers", ""), chart.Axis{Format: axisShare, Fixed: true, Low: 0, High: 1}, nil, bars)
	return f
}

// abandonment is what became of carts.
func (b *builder) abandonment() *Figure {
	f := &Figure{ID: "abandonment", Title: "Carts left behind", About: "Carts of all time that ended in an order, and those that did not."}
	r, ok := b.query(f, query.From("features").Get("carts", query.Sum(query.Col("carts_lifetime"))).Get("abandoned", query.Sum(query.Col("carts_abandoned_lifetime"))).
		Get("value", query.Sum(query.Col("cart_abandoned_value_lifetime"))).Ratio("share", "abandoned", "carts"),
		whole("carts", "Carts"), whole("abandoned", "Left behind"), number("value", "Worth, "+b.currency), share("share", "Share left behind"))
	if !ok || !(r.F(0, "carts") > 0) {
		f.Missing = "There are no carts in this history."
		f.Columns, f.Rows = nil, nil
		return f
	}
	f.Reading = fmt.Sprintf("%s of %s carts were left behind (%s)", f.C(0, "abandoned"), f.C(0, "carts"), f.C(0, "share"))
	if r.F(0, "value") > 0 {
		f.Reading += fmt.Sprintf(", worth %s %s", f.C(0, "value"), b.currency)
	}
	f.Reading += "."
	one := func(name, c string) chart.Bar {
		v := chart.Plain(r.F(0, c), f.tip(0, name, c))
		v.Text = f.C(0, c)
		return chart.Bar{Name: name, Values: []chart.Value{v}}
	}
	f.Chart = chart.Bars(f.frame("carts", ""), chart.Axis{Format: axisCount}, nil, []chart.Bar{one("all carts", "carts"), one("left behind", "abandoned")})
	return f
}

var weekdays = []string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}

// timing is when customers are active.
func (b *builder) timing() *Figure {
	f := &Figure{ID: "timing", Title: "When customers are active", About: "Customers by the weekday and the hour they are most often active in, in the configured time zone."}
	hour, day := query.Col("activity_hour_mode"), query.Col("activity_weekday_mode")
	r, ok := b.query(f, query.From("features").Where(query.NotNull(hour), query.NotNull(day)).Get("weekday", day).Get("hour", hour).Get("customers", query.Count()).Share("share", "customers").Order("weekday", "hour"),
		Column{"weekday", "Weekday", func(v query.Value) string { return weekdays[(int(v.F)+6)%7] }}, text("hour", "Hour"), whole("customers", "Customers"), share("share", "Share"))
	if !ok {
		f.Missing = "Nothing is known of when customers are active."
		return f
	}
	cells := make([][]chart.Cell, 24)
	for h := range cells {
		cells[h] = make([]chart.Cell, 7)
		for d := range cells[h] {
			cells[h][d] = chart.Cell{V: 0, Tip: fmt.Sprintf("%s %d:00\nnobody", weekdays[d], h)}
		}
	}
	most, hours := 0, map[float64]bool{}
	for i := range r.Len() {
		if r.F(i, "customers") > r.F(most, "customers") {
			most = i
		}
		hours[r.F(i, "hour")] = true
	}
	for i := range r.Len() {
		h, d := int(r.F(i, "hour")), (int(r.F(i, "weekday"))+6)%7
		if h >= 0 && h < 24 {
			cells[h][d] = chart.Cell{V: r.F(i, "customers"), Tip: f.tip(i, fmt.Sprintf("%s %d:00–%d:59", weekdays[d], h, h), "customers", "share")}
		}
	}
	if len(hours) == 1 {
		f.Missing = "Everybody is most active in the same hour: where events have dates and no times, that is midnight."
		return f
	}
	var rows, short []string
	for _, d := range weekdays {
		short = append(short, d[:3])
	}
	for h := range 24 {
		rows = append(rows, fmt.Sprintf("%02d:00", h))
	}
	f.Reading = fmt.Sprintf("The commonest time: %s, in the hour that begins at %s o'clock, of %s customers (%s).", f.C(most, "weekday"), f.C(most, "hour"), f.C(most, "customers"), f.C(most, "share"))
	f.Chart = chart.Heat(f.frame("weekday", "hour of the day; stronger colour: more customers"), rows, short, cells, r.F(most, "customers"))
	return f
}

// channels is what messages do, by channel.
func (b *builder) channels() *Figure {
	f := &Figure{ID: "channels", Title: "Messages by channel", About: "Messages that customers were ever sent, and the mean over customers of the share they opened and clicked."}
	var totals []query.Item
	for _, c := range []string{"email", "push", "sms", "mail", "ad", "social"} {
		if _, ok := b.run.column("features", c+"_sent_lifetime"); ok {
			totals = append(totals,
				query.Item{Row: c, Name: "sent", Expr: query.Sum(query.Col(c + "_sent_lifetime"))},
				query.Item{Row: c, Name: "reached", Expr: query.CountIf(query.Gt(query.Col(c+"_sent_lifetime"), query.N(0)))},
				query.Item{Row: c, Name: "opened", Expr: query.Mean(query.Col(c + "_open_rate"))},
				query.Item{Row: c, Name: "clicked", Expr: query.Mean(query.Col(c + "_click_rate"))})
		}
	}
	r, ok := b.query(f, query.From("features").Stack("channel", totals...).Order("sent DESC", "channel"), text("channel", "Channel"), whole("sent", "Messages sent"), whole("reached", "Customers sent any"), share("opened", "Opened"), share("clicked", "Clicked"))
	if !ok || !(r.F(0, "sent") > 0) {
		f.Missing = "There are no messages in this history."
		f.Columns, f.Rows = nil, nil
		return f
	}
	var bars []chart.Bar
	best := 0
	for i := range r.Len() {
		if !(r.F(i, "sent") > 0) {
			continue
		}
		one := func(c string) chart.Value {
			v := chart.Plain(r.F(i, c), f.tip(i, r.T(i, "channel"), "sent", "reached", "opened", "clicked"))
			v.Text = f.C(i, c)
			return v
		}
		bars = append(bars, chart.Bar{Name: r.T(i, "channel"), Values: []chart.Value{one("opened"), one("clicked")}})
		if r.F(i, "clicked") > r.F(best, "clicked") || math.IsNaN(r.F(best, "clicked")) {
			best = i
		}
	}
	f.Reading = fmt.Sprintf("Most messages went by %s: %s.", r.T(0, "channel"), f.C(0, "sent"))
	if !math.IsNaN(r.F(best, "clicked")) {
		f.Reading += fmt.Sprintf(" The most clicked is %s, %s.", r.T(best, "channel"), f.C(best, "clicked"))
	}
	f.Chart = chart.Bars(f.frame("mean share of a customer's messages", ""), chart.Axis{Format: axisShare}, []string{"Opened", "Clicked"}, bars)
	return f
}

// silence is how long ago customers were last seen.
func (b *builder) silence() *Figure {
	f := &Figure{ID: "silence", Title: "How long ago customers were last seen", About: "All customers by days since their last event of any kind."}
	last := query.Col("days_since_last_event")
	r, ok := b.query(f, query.From("features").Where(query.NotNull(last)).Get("step", query.Steps(last, idleBounds...)).Get("customers", query.Count()).Share("share", "customers").Order("step"),
		Column{"step", "Days", stepName(idleBounds, "0–6", "")}, whole("customers", "Customers"), share("share", "Share"))
	if !ok {
		f.Missing = "There are no customers."
		return f
	}
	var groups []chart.Group
	most := 0
	for i := range r.Len() {
		groups = append(groups, chart.Group{Name: f.C(i, "step"), Values: []chart.Value{chart.Plain(r.F(i, "customers"), f.tip(i, f.C(i, "step")+" days", "customers", "share"))}})
		if r.F(i, "customers") > r.F(most, "customers") {
			most = i
		}
	}
	f.Reading = fmt.Sprintf("The largest group, %s of all, was last seen %s days ago.", f.C(most, "share"), f.C(most, "step"))
	f.Chart = chart.Columns(f.frame("days since the last event", "customers"), chart.Axis{Format: axisCount}, nil, groups, false)
	return f
}

// described are the features whose spread is shown: what most data have.
var described = []string{
	"days_since_first_event", "days_since_last_event", "days_since_last_purchase", "event_count_lifetime", "active_days_lifetime", "purchase_count_365d", "purchase_days_lifetime",
	"spend_365d", "net_spend_lifetime", "average_order_value", "largest_order", "items_per_order", "purchase_gap_mean", "products_lifetime", "categories_lifetime",
	"sessions_30d", "session_minutes_mean", "session_conversion_share", "view_to_purchase_share", "cart_abandonment_share", "return_share", "coupon_day_share", "message_open_rate", "message_click_rate", "rating_mean", "tickets_per_30d",
}

// distributions is how features are spread.
func (b *builder) distributions() *Figure {
	f := &Figure{ID: "distributions", Title: "How features are spread", Wide: true, Open: true, Filter: true, About: "Over all customers for whom the feature is known. Its meaning is in the glossary; the catalogue has its SQL."}
	var totals []query.Item
	for _, c := range described {
		if _, ok := b.run.column("features", c); ok {
			col := query.Col(c)
			totals = append(totals, query.Item{Row: c, Name: "known", Expr: query.CountOf(col)}, query.Item{Row: c, Name: "mean", Expr: query.Mean(col)})
			for _, p := range []struct {
				name string
				q    float64
			}{{"p10", .1}, {"p25", .25}, {"median", .5}, {"p75", .75}, {"p90", .9}} {
				totals = append(totals, query.Item{Row: c, Name: p.name, Expr: query.Quantile(col, p.q)})
			}
			if b.settings.Privacy.SmallestSegment < 2 { // it is one customer's
				totals = append(totals, query.Item{Row: c, Name: "most", Expr: query.Most(col)})
			}
		}
	}
	unit := func(v query.Value) string {
		label := words(v.String())
		if u := b.unitOf(v.String()); u != "" {
			label += ", " + u
		}
		return label
	}
	r, ok := b.query(f, query.From("features").Stack("feature", totals...), Column{"feature", "Feature, unit", unit}, whole("known", "Known of"), number("mean", "Mean"), number("p10", "10% have at most"), number("p25", "25% have"), number("median", "Half have (median)"), number("p75", "75% have"), number("p90", "90% have at most"), number("most", "Highest"))
	if !ok {
		return f
	}
	f.Reading = ""
	for i := range r.Len() {
		if r.T(i, "feature") == "days_since_last_event" {
			f.Reading = fmt.Sprintf("Half of the customers were last seen at most %s days ago, and a tenth at most %s.", f.C(i, "median"), f.C(i, "p10"))
		}
	}
	return f
}
