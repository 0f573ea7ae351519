package features_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/featuretest"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/internal/pyoracle"
)

func roles(rs ...datasets.Role) features.Filter { return features.Filter{Roles: rs} }

func having(f features.Filter, field datasets.Field, values ...string) features.Filter {
	g := features.Filter{Roles: f.Roles, Values: map[datasets.Field][]string{field: values}}
	for k, v := range f.Values {
		g.Values[k] = v
	}
	return g
}

// everyCustom has each aggregate over each column it takes, filters of every
// kind, values that the data lack, windows of several kinds, and ratios of
// ratios and of the catalogue.
func everyCustom() []features.Custom {
	bought, looked := roles(datasets.Purchase), roles(datasets.View, datasets.Search, datasets.CartAdd)
	filters := []features.Filter{
		{}, bought, looked, having(bought, datasets.Category, "k1", "k3"), having(features.Filter{}, datasets.Channel, "email", "PUSH", "no such channel"),
		having(having(looked, datasets.ProductID, "p1", "p2", "p5"), datasets.Channel, "web", "store"),
		having(features.Filter{}, datasets.EventType, "tpurchase0", "tpurchase1", "treturn2"), having(features.Filter{}, datasets.CampaignID, "m0"),
		having(bought, datasets.Category, "it's a $today; k9"),
	}
	var cs []features.Custom
	next := 0
	add := func(c features.Custom) {
		c.Name = fmt.Sprintf("f%d_%s", len(cs), c.Aggregate)
		if c.Column != "" {
			c.Name += "_" + c.Column
		}
		cs = append(cs, c)
	}
	filter := func() features.Filter { next++; return filters[next%(len(filters)-1)] }
	for _, column := range []string{"amount", "quantity", "rating"} {
		for _, a := range []features.Aggregate{features.Sum, features.Mean, features.Min, features.Max} {
			add(features.Custom{Aggregate: a, Column: column, Where: filter(), Windows: []int{5, 100}})
		}
	}
	for _, column := range []string{"event_type", "product_id", "category", "channel", "campaign_id", "session_id", "event_time", "day"} {
		add(features.Custom{Aggregate: features.Distinct, Column: column, Where: filter()})
		if column != "session_id" && column != "event_time" && column != "day" {
			add(features.Custom{Aggregate: features.Entropy, Column: column, Where: filter(), Windows: []int{60, 365, features.Lifetime}})
		}
	}
	for i, f := range filters {
		add(features.Custom{Aggregate: features.Count, Where: f, Windows: []int{1, 30, features.Lifetime}})
		add(features.Custom{Aggregate: features.DaysSince, Where: f})
		add(features.Custom{Aggregate: features.GapMean, Where: f})
		add(features.Custom{Aggregate: features.Trend, Where: f, Windows: []int{7, 45}})
		add(features.Custom{Aggregate: features.Trend, Column: "amount", Where: f})
		if i > 0 {
			add(features.Custom{Aggregate: features.Share, Where: f, Among: filters[(i+2)%len(filters)], Windows: []int{90, features.Lifetime}})
			add(features.Custom{Aggregate: features.Share, Where: f})
			add(features.Custom{Aggregate: features.Share, Column: "amount", Where: f, Among: bought})
			add(features.Custom{Aggregate: features.Share, Column: "quantity", Where: f})
		}
	}
	return append(cs,
		features.Custom{Name: "shoe_spend", Aggregate: features.Sum, Column: "amount", Where: filters[3], Meaning: "What shoes cost them."},
		features.Custom{Name: "shoe_to_spend", Ratio: features.Ratio{Of: "shoe_spend", To: "spend"}},
		features.Custom{Name: "shoe_month_to_year", Ratio: features.Ratio{Of: "shoe_spend_30d", To: "shoe_spend_365d"}},
		features.Custom{Name: "spend_by_event", Ratio: features.Ratio{Of: "spend", To: "event_count"}, Windows: []int{90, features.Lifetime}},
		features.Custom{Name: "tenth", Ratio: features.Ratio{Of: "shoe_to_spend_lifetime", To: "spend_by_event"}},
		features.Custom{Name: "ratio_of_ratios", Ratio: features.Ratio{Of: "tenth_lifetime", To: "days_since_last_event"}},
		features.Custom{Name: "late", Ratio: features.Ratio{Of: "days_since_last_purchase", To: "purchase_gap_mean"}, Meaning: "How late the next purchase is"},
		features.Custom{Name: "christmas_to_spend", Ratio: features.Ratio{Of: "christmas_spend_last_season", To: "spend_lifetime"}},
	)
}

func customParams() features.Params {
	p := features.DefaultParams()
	p.Custom = everyCustom()
	return p
}

func onlyCustom(t *testing.T, p features.Params) []features.Family {
	t.Helper()
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	all := features.All(p)
	if f := all[len(all)-1]; f.Name != "custom" {
		t.Fatalf("the last family is %s", f.Name)
	}
	return all[len(all)-1:]
}

// Custom features equal their SQL, in three time zones.
func TestCustomFeaturesEqualTheirSQL(t *testing.T) {
	python := pyoracle.Python(t)
	es := proven()
	sql := eventsSQL(t, es)
	families := onlyCustom(t, customParams())
	featuretest.Declarations(t, families)
	for _, c := range cases(t) {
		t.Run(strings.ReplaceAll(c.zone.String(), "/", "_"), func(t *testing.T) {
			tables := featuretest.Tables(t, load(t, es, 2, timeline.Options{Zone: c.zone}), families, c.asOfs, 2)
			featuretest.Report(t, featuretest.Compare(t, python, sql, tables, families, c.zone))
			for _, table := range tables {
				for _, name := range []string{"shoe_to_spend_lifetime", "ratio_of_ratios", "late", "f0_sum_amount_100d"} {
					values, err := table.Values(name)
					if err != nil {
						t.Fatal(err)
					}
					known := slices.DeleteFunc(values, math.IsNaN)
					slices.Sort(known)
					if len(slices.Compact(known)) < 10 {
						t.Errorf("%s takes %d values as of %s: the history does not exercise it", name, len(known), table.AsOf)
					}
				}
			}
		})
	}
}

// Sums stay exact where amounts are as large as they may be and cancel out.
func TestCustomAmountsEqualTheirSQL(t *testing.T) {
	python := pyoracle.Python(t)
	es := hardAmounts()
	families := onlyCustom(t, customParams())
	tables := featuretest.Tables(t, load(t, es, 2, timeline.Options{Zone: time.UTC}), families, asOfs(t, time.UTC, "2024-02-20"), 2)
	featuretest.Report(t, featuretest.Compare(t, python, eventsSQL(t, es), tables, families, time.UTC))
}

// Every value of a custom feature is in its column's range and null as declared,
// and an altered expression is noticed: the comparison is under test too.
func TestCustomComparisonNoticesAlteredExpressions(t *testing.T) {
	python := pyoracle.Python(t)
	es := hardHistory(7, 40, 2500)
	families := onlyCustom(t, customParams())
	tables := featuretest.Tables(t, load(t, es, 1, timeline.Options{Zone: time.UTC}), families, asOfs(t, time.UTC, "2023-11-01"), 1)
	altered := onlyCustom(t, customParams())
	for j, c := range altered[0].Columns {
		altered[0].Columns[j].SQL = "(" + c.SQL + ") + 1"
	}
	noticed := map[string]bool{}
	for _, m := range featuretest.Compare(t, python, eventsSQL(t, es), tables, altered, time.UTC) {
		noticed[m.Column] = true
	}
	for _, c := range altered[0].Columns {
		// Of what the data lack there is nothing but nulls.
		values, err := tables[0].Values(c.Name)
		if err != nil {
			t.Fatal(err)
		}
		if all := slices.DeleteFunc(values, math.IsNaN); len(all) > 0 && !noticed[c.Name] {
			t.Errorf("%s: adding 1 to its SQL was not noticed", c.Name)
		}
	}
}

func TestCustomValuesKeepWhatIsDeclared(t *testing.T) {
	p := features.DefaultParams()
	windows := []int{90, features.Lifetime}
	bought, shoes := roles(datasets.Purchase), having(features.Filter{}, datasets.Category, "k1", "k3")
	for _, a := range []features.Aggregate{features.Sum, features.Mean, features.Min, features.Max} {
		p.Custom = append(p.Custom, features.Custom{Name: string(a), Aggregate: a, Column: "amount", Where: bought, Windows: windows})
	}
	p.Custom = append(p.Custom,
		features.Custom{Name: "count", Aggregate: features.Count, Where: shoes, Windows: windows},
		features.Custom{Name: "distinct", Aggregate: features.Distinct, Column: "session_id", Where: shoes, Windows: windows},
		features.Custom{Name: "days_since", Aggregate: features.DaysSince, Where: shoes},
		features.Custom{Name: "share", Aggregate: features.Share, Where: shoes, Among: bought, Windows: windows},
		features.Custom{Name: "worth", Aggregate: features.Share, Column: "amount", Where: shoes, Among: bought, Windows: windows},
		features.Custom{Name: "entropy", Aggregate: features.Entropy, Column: "product_id", Where: shoes, Windows: windows},
		features.Custom{Name: "gap_mean", Aggregate: features.GapMean, Where: bought, Windows: windows},
		features.Custom{Name: "trend", Aggregate: features.Trend, Where: bought, Windows: []int{90}},
		features.Custom{Name: "swing", Aggregate: features.Trend, Column: "amount", Where: bought, Windows: []int{90}},
		features.Custom{Name: "per_event", Ratio: features.Ratio{Of: "count", To: "purchase_count"}},
	)
	for _, a := range features.Aggregates() {
		if !slices.ContainsFunc(p.Custom, func(c features.Custom) bool { return string(c.Aggregate) == a }) {
			t.Errorf("no feature by %s", a)
		}
	}
	families := onlyCustom(t, p)
	var tables []*features.Table
	for _, c := range cases(t) {
		tables = append(tables, featuretest.Tables(t, load(t, proven(), 1, timeline.Options{Zone: c.zone}), families, c.asOfs, 1)...)
	}
	featuretest.Values(t, tables, families)
}

func TestCustomFillsAllocateNothing(t *testing.T) {
	store := load(t, hardHistory(23, 10, 3000), 1, timeline.Options{Zone: time.UTC})
	asOf := asOfs(t, time.UTC, "2024-02-20")[0]
	f := onlyCustom(t, customParams())[0]
	fill, out := f.New(store.Values), make([]float64, len(f.Columns))
	err := store.Replay(t.Context(), 1, func(_, _ int, tl *timeline.Timeline) error {
		h, _ := tl.Before(asOf)
		want := make([]float64, len(out))
		f.New(store.Values)(&h, want)
		for i := range out {
			out[i] = -12345
		}
		fill(&h, out)
		for i, c := range f.Columns {
			if out[i] != want[i] && !(math.IsNaN(out[i]) && math.IsNaN(want[i])) {
				t.Errorf("%s of customer %s: %v by a fill that was used before, %v by a new one", c.Name, tl.ID, out[i], want[i])
			}
		}
		if n := testing.AllocsPerRun(5, func() { fill(&h, out) }); n != 0 {
			t.Errorf("allocates %v times for customer %s of %d events", n, tl.ID, h.Len())
		}
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
}

// What an analyst would compute by hand.
func TestCustomByHand(t *testing.T) {
	day := func(m time.Month, d int) int64 { return time.Date(2023, m, d, 12, 0, 0, 0, time.UTC).UnixMicro() }
	null := datasets.NullMoney
	buy := func(m time.Month, d, category int, amount datasets.Money) event {
		return event{time: day(m, d), role: datasets.Purchase, amount: amount, quantity: null, rating: null, product: -1, category: category, channel: 8, campaign: -1, session: -1}
	}
	es := []event{
		buy(1, 10, 0, 10_0000), buy(3, 1, 1, 30_0000), buy(3, 1, 0, 5_0000), buy(3, 11, 0, 15_0000), buy(3, 21, -1, null),
		{time: day(3, 25), role: datasets.Return, amount: 1, quantity: null, rating: null, product: -1, category: -1, channel: -1, campaign: -1, session: -1},
		{time: day(3, 25), role: datasets.CartAdd, amount: 100_000_0000, quantity: null, rating: null, product: -1, category: -1, channel: -1, campaign: -1, session: -1},
		{time: day(3, 25), role: datasets.View, amount: 7_0000, quantity: null, rating: null, product: -1, category: 0, channel: -1, campaign: -1, session: -1},
	}
	k0 := having(roles(datasets.Purchase), datasets.Category, "k0")
	p := features.Params{Windows: []int{30}, SessionGap: time.Minute, CartHours: 1, Custom: []features.Custom{
		{Name: "n", Aggregate: features.Count, Where: k0},
		{Name: "s", Aggregate: features.Sum, Column: "amount", Where: k0},
		{Name: "m", Aggregate: features.Mean, Column: "amount", Where: roles(datasets.Purchase)},
		{Name: "lo", Aggregate: features.Min, Column: "amount", Where: k0},
		{Name: "hi", Aggregate: features.Max, Column: "amount", Where: k0},
		{Name: "d", Aggregate: features.Distinct, Column: "event_time"},
		{Name: "since", Aggregate: features.DaysSince, Where: k0},
		{Name: "part", Aggregate: features.Share, Where: k0, Among: roles(datasets.Purchase)},
		{Name: "worth", Aggregate: features.Share, Column: "amount", Where: k0, Among: roles(datasets.Purchase)},
		{Name: "e", Aggregate: features.Entropy, Column: "category", Where: roles(datasets.Purchase)},
		{Name: "g", Aggregate: features.GapMean, Where: roles(datasets.Purchase)},
		{Name: "t", Aggregate: features.Trend, Column: "amount", Where: roles(datasets.Purchase)},
		{Name: "r", Ratio: features.Ratio{Of: "s", To: "n"}},
		{Name: "tiny", Aggregate: features.Sum, Column: "amount", Where: roles(datasets.Return)},
		{Name: "huge", Aggregate: features.Sum, Column: "amount", Where: roles(datasets.CartAdd)},
		{Name: "least", Ratio: features.Ratio{Of: "tiny_lifetime", To: "huge_lifetime"}},
		{Name: "over", Ratio: features.Ratio{Of: "s_lifetime", To: "least"}},
		{Name: "never", Ratio: features.Ratio{Of: "s_30d", To: "ticket_count_30d"}},
	}}
	table := featuretest.Tables(t, load(t, es, 1, timeline.Options{Zone: time.UTC}), onlyCustom(t, p), asOfs(t, time.UTC, "2023-03-31"), 1)[0]
	nan := math.NaN()
	for name, want := range map[string]float64{
		"n_30d": 1, "n_lifetime": 3, // 1 March is 30 days ago: outside
		"s_30d": 15, "s_lifetime": 30,
		"m_30d": 15, "m_lifetime": 15, // the purchase without an amount has no part in it
		"lo_lifetime": 5, "hi_lifetime": 15,
		"d_30d": 3, "d_lifetime": 5,
		"since":    20,
		"part_30d": 0.5, "part_lifetime": 0.6,
		"worth_30d": 1, "worth_lifetime": 0.5,
		"e_30d": 0, "e_lifetime": -(0.75*math.Log2(0.75) + 0.25*math.Log2(0.25)),
		"g_30d": 10, "g_lifetime": 70.0 / 3, // 10 January, 1, 11 and 21 March
		"t_30d": (15.0 - 35) / 50,
		"r_30d": 15, "r_lifetime": 10,
		"least": 1e-9, "over": 30 / 1e-9, // the least that a ratio divides by
		"never": nan,
	} {
		got, err := table.Values(name)
		if err != nil {
			t.Error(err)
		} else if math.Abs(got[0]-want) > 1e-12 || math.IsNaN(got[0]) != math.IsNaN(want) {
			t.Errorf("%s is %v, want %v", name, got[0], want)
		}
	}
}

// Relations that hold whatever the history: windows nest, a ratio is the
// quotient of its sides, and shares of a partition add up.
func TestCustomRelations(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		es := hardHistory(rapid.Uint64().Draw(rt, "seed"), rapid.IntRange(1, 12).Draw(rt, "customers"), 300)[:rapid.IntRange(1, 300).Draw(rt, "events")]
		days := rapid.SliceOfNDistinct(rapid.IntRange(1, 400), 1, 4, rapid.ID[int]).Draw(rt, "windows")
		slices.Sort(days)
		windows := append(slices.Clone(days), features.Lifetime)
		bought := roles(datasets.Purchase)
		p := features.DefaultParams()
		p.Custom = []features.Custom{
			{Name: "c", Aggregate: features.Count, Where: bought, Windows: windows},
			{Name: "a", Aggregate: features.Sum, Column: "amount", Where: bought, Windows: windows},
			{Name: "b", Aggregate: features.Max, Column: "amount", Where: bought, Windows: windows},
			{Name: "u", Aggregate: features.Distinct, Column: "product_id", Where: bought, Windows: windows},
			{Name: "r", Ratio: features.Ratio{Of: "a", To: "c"}, Windows: windows},
			{Name: "in", Aggregate: features.Share, Where: having(features.Filter{}, datasets.Category, "k0", "k1"), Among: having(bought, datasets.Category, "k0", "k1", "k2", "k3"), Windows: windows},
			{Name: "rest", Aggregate: features.Share, Where: having(features.Filter{}, datasets.Category, "k2", "k3"), Among: having(bought, datasets.Category, "k0", "k1", "k2", "k3"), Windows: windows},
		}
		families := onlyCustom(t, p)
		table := featuretest.Tables(t, load(t, es, 1, timeline.Options{Zone: time.UTC}), families, asOfs(t, time.UTC, "2024-01-31"), 1)[0]
		column := func(name string) []float64 {
			values, err := table.Values(name)
			if err != nil {
				rt.Fatal(err)
			}
			return values
		}
		var before []float64
		for _, d := range windows {
			suffix := fmt.Sprintf("_%dd", d)
			if d == features.Lifetime {
				suffix = "_lifetime"
			}
			c, a, r, u, b := column("c"+suffix), column("a"+suffix), column("r"+suffix), column("u"+suffix), column("b"+suffix)
			in, rest := column("in"+suffix), column("rest"+suffix)
			for i := range c {
				if before != nil && c[i] < before[i] {
					rt.Errorf("row %d: %v purchases in %s, %v in a shorter window", i, c[i], suffix, before[i])
				}
				if u[i] > c[i] {
					rt.Errorf("row %d: %v products in %v purchases", i, u[i], c[i])
				}
				switch {
				case c[i] == 0 && !math.IsNaN(r[i]), c[i] > 0 && r[i] != a[i]/c[i]:
					rt.Errorf("row %d: %v divided by %v is %v", i, a[i], c[i], r[i])
				}
				if b[i] > 0 && r[i] > b[i] { // a purchase without an amount brings nothing
					rt.Errorf("row %d: the mean %v of a purchase exceeds the largest %v", i, r[i], b[i])
				}
				if math.Abs(in[i]+rest[i]-1) > 1e-12 {
					rt.Errorf("row %d: shares %v and %v", i, in[i], rest[i])
				}
			}
			before = c
		}
	})
}

// The order of the events and of a filter's values, and the number of workers,
// change nothing.
func TestCustomIgnoresOrder(t *testing.T) {
	es := hardHistory(29, 30, 2000)
	dates := asOfs(t, time.UTC, "2024-02-20")
	p := customParams()
	want := featuretest.Tables(t, load(t, es, 1, timeline.Options{Zone: time.UTC}), onlyCustom(t, p), dates, 1)
	for _, c := range p.Custom {
		slices.Reverse(c.Where.Roles)
		for _, v := range c.Where.Values {
			slices.Reverse(v)
		}
	}
	rand.New(rand.NewPCG(3, 3)).Shuffle(len(es), func(i, j int) { es[i], es[j] = es[j], es[i] })
	got := featuretest.Tables(t, load(t, es, 3, timeline.Options{Zone: time.UTC}), onlyCustom(t, p), dates, 2)
	w, g := records(t, want[0]), records(t, got[0])
	if len(w) != len(g) {
		t.Fatalf("%d batches, want %d", len(g), len(w))
	}
	for i := range w {
		for j := range w[i].NumCols() {
			if fmt.Sprint(w[i].Column(int(j))) != fmt.Sprint(g[i].Column(int(j))) {
				t.Errorf("batch %d: %s differs", i, w[i].ColumnName(int(j)))
			}
		}
	}
}

func TestCustomFaults(t *testing.T) {
	bought := roles(datasets.Purchase)
	spend := features.Custom{Name: "shoe_spend", Aggregate: features.Sum, Column: "amount", Where: bought}
	ratio := func(name, of, to string) features.Custom {
		return features.Custom{Name: name, Ratio: features.Ratio{Of: of, To: to}}
	}
	for _, tc := range []struct {
		name   string
		custom []features.Custom
		want   []string // path message
	}{
		{"none", []features.Custom{spend}, nil},
		{"name", []features.Custom{{Name: "Shoes", Aggregate: features.Count}}, []string{`custom[0].name "Shoes" must match`}},
		{"no aggregate", []features.Custom{{Name: "x"}}, []string{"custom[0].aggregate  missing; name an aggregate"}},
		{"unknown aggregate", []features.Custom{{Name: "x", Aggregate: "average"}}, []string{`custom[0].aggregate "average" is no aggregate`}},
		{"both", []features.Custom{{Name: "x", Aggregate: features.Count, Ratio: features.Ratio{Of: "a"}}}, []string{"custom[0].ratio  excludes aggregate"}},
		{"column missing", []features.Custom{{Name: "x", Aggregate: features.Mean}}, []string{"custom[0].column  missing; mean is made over one of amount, quantity, rating"}},
		{"column too many", []features.Custom{{Name: "x", Aggregate: features.Count, Column: "amount"}}, []string{"custom[0].column amount has no meaning for count"}},
		{"wrong column", []features.Custom{{Name: "x", Aggregate: features.Sum, Column: "category"}}, []string{`custom[0].column "category" is no column for sum`}},
		{"windows", []features.Custom{{Name: "x", Aggregate: features.Count, Windows: []int{30, 0, 7, -1}}}, []string{
			"custom[0].windows[1] lifetime must be the last window", "custom[0].windows[3] -1 must be 1 to 36500 days"}},
		{"windows descend", []features.Custom{{Name: "x", Aggregate: features.Count, Windows: []int{30, 7}}}, []string{"custom[0].windows[1] 7 must be above the window before it (30)"}},
		{"no windows", []features.Custom{{Name: "x", Aggregate: features.Count, Windows: []int{}}}, []string{"custom[0].windows  is empty"}},
		{"days since", []features.Custom{{Name: "x", Aggregate: features.DaysSince, Windows: []int{7}}}, []string{"custom[0].windows  has no meaning for days_since"}},
		{"trend ever", []features.Custom{{Name: "x", Aggregate: features.Trend, Windows: []int{7, 0}}}, []string{"custom[0].windows lifetime has no meaning for trend"}},
		{"filters", []features.Custom{{Name: "x", Aggregate: features.Count, Among: bought, Where: features.Filter{Roles: []datasets.Role{datasets.Other, datasets.View, datasets.View},
			Values: map[datasets.Field][]string{datasets.Category: {"a", "", "a"}}}}}, []string{
			"custom[0].where.role[0] other is no role", "custom[0].where.role[2] view is listed twice", "custom[0].where.category[1]  is empty", `custom[0].where.category[2] "a" is listed twice`, "custom[0].among  belongs to share"}},
		{"filter field", []features.Custom{{Name: "x", Aggregate: features.Count, Where: having(bought, datasets.Amount, "3")}}, []string{"custom[0].where amount is no field that a filter asks for"}},
		{"share of all", []features.Custom{{Name: "x", Aggregate: features.Share, Among: bought}}, []string{"custom[0].where  missing"}},
		{"twice", []features.Custom{spend, spend}, []string{"custom[1].name shoe_spend is already the name of custom[0]"}},
		{"catalogue", []features.Custom{{Name: "spend", Aggregate: features.Count}, {Name: "subscribed", Aggregate: features.Count}, {Name: "as_of", Aggregate: features.DaysSince}}, []string{
			"custom[0].name spend makes the column spend_7d, which is in the catalogue", "custom[1].name subscribed is a column of the catalogue", "custom[2].name as_of is a column of the catalogue"}},
		{"each other", []features.Custom{{Name: "x_7d", Aggregate: features.DaysSince}, {Name: "x", Aggregate: features.Count}}, []string{"custom[1].name x makes the column x_7d, as custom[0] does"}},
		{"unknown side", []features.Custom{spend, ratio("r", "shoe_spent", "spend_30d")}, []string{`custom[1].ratio.of "shoe_spent" is neither a column of the catalogue nor a custom feature`}},
		{"no side", []features.Custom{ratio("r", "spend_30d", "")}, []string{"custom[0].ratio.to  missing"}},
		{"circle", []features.Custom{ratio("a", "b", "spend_30d"), ratio("b", "spend_7d", "c"), ratio("c", "a", "a")}, []string{"custom[2].ratio.of a closes a circle", "custom[2].ratio.to a closes a circle"}},
		{"itself", []features.Custom{ratio("a", "a", "spend_30d")}, []string{"custom[0].ratio.of a closes a circle"}},
		{"of what is faulty", []features.Custom{{Name: "x", Aggregate: "average"}, ratio("r", "x", "x")}, []string{`custom[0].aggregate "average" is no aggregate`}},
		{"window of one", []features.Custom{{Name: "x", Aggregate: features.Count, Windows: []int{60}}, ratio("r", "x", "spend")}, []string{"custom[1].ratio  finds no window that x and spend both have"}},
		{"window of neither", []features.Custom{{Name: "r", Ratio: features.Ratio{Of: "spend", To: "orders"}, Windows: []int{30, 60}}}, []string{"custom[0].windows[1] 60d is a window that spend does not have"}},
		{"windows of columns", []features.Custom{{Name: "r", Ratio: features.Ratio{Of: "spend_30d", To: "orders_30d"}, Windows: []int{30}}}, []string{"custom[0].windows  has no meaning for a ratio of two columns"}},
		{"ratio's keys", []features.Custom{{Name: "r", Ratio: features.Ratio{Of: "spend_30d", To: "orders_30d"}, Column: "amount", Where: bought, Among: bought}}, []string{
			"custom[0].column  has no meaning for a ratio", "custom[0].where  has no meaning for a ratio", "custom[0].among  has no meaning for a ratio"}},
		{"deep", []features.Custom{spend, ratio("a", "shoe_spend", "spend"), ratio("b", "a", "spend"), ratio("c", "b", "spend"), ratio("d", "c", "spend"), ratio("e", "d", "spend")},
			[]string{"custom[5].ratio  is a ratio of ratios more than 4 deep"}},
		{"meaning", []features.Custom{{Name: "x", Aggregate: features.Count, Meaning: "two\nlines"}}, []string{`custom[0].meaning "two\nlines" must be one line`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := features.DefaultParams()
			p.Custom = tc.custom
			var got []string
			for _, f := range p.Faults() {
				got = append(got, fmt.Sprintf("%s %s %s", f.Path, f.Value, f.Message))
			}
			if len(got) != len(tc.want) {
				t.Fatalf("faults %q, want %q", got, tc.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], tc.want[i]) {
					t.Errorf("fault %q, want %q …", got[i], tc.want[i])
				}
			}
			if err := p.Validate(); (err == nil) != (tc.want == nil) {
				t.Errorf("Validate: %v", err)
			}
		})
	}
}

// A filter's value that no event has is told, once.
func TestUnseenValues(t *testing.T) {
	store := load(t, hardHistory(31, 10, 300), 1, timeline.Options{Zone: time.UTC})
	got := features.Unseen([]features.Custom{
		{Name: "x", Aggregate: features.Count, Where: having(features.Filter{}, datasets.Category, "k1", "K1")},
		{Name: "y", Aggregate: features.Share, Where: having(features.Filter{}, datasets.Channel, "fax"), Among: having(features.Filter{}, datasets.Channel, "web", "fax")},
		{Name: "z", Ratio: features.Ratio{Of: "x", To: "spend"}},
	}, store.Values)
	want := []string{
		`the feature x asks for the category "K1", which no event has; write it as the data spell it`,
		`the feature y asks for the channel "fax", which no event has; write it as the data spell it`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("unseen %q, want %q", got, want)
	}
}

// Each family may be left out alone, but for the core ones; custom features are
// computed whatever else is chosen.
func TestFamiliesCanBeLeftOut(t *testing.T) {
	p := features.DefaultParams()
	p.Custom = []features.Custom{{Name: "x", Aggregate: features.Count}, {Name: "r", Ratio: features.Ratio{Of: "x", To: "events_per_30d"}}}
	store := load(t, hardHistory(31, 10, 300), 1, timeline.Options{Zone: time.UTC})
	names := func(fs []features.Family) (ns []string) {
		for _, f := range fs {
			ns = append(ns, f.Name)
		}
		return ns
	}
	full, err := features.Select(p, nil)
	if err != nil || !slices.Equal(names(full), features.Names()) {
		t.Fatalf("families %v, %v", names(full), err)
	}
	dates := asOfs(t, time.UTC, "2024-02-20")
	whole := featuretest.Tables(t, store, full, dates, 1)[0]
	for _, name := range features.Names() {
		rest, err := features.Select(p, []string{features.Without + name})
		if features.IsCore(name) {
			if err == nil || !strings.Contains(err.Error(), "cannot be left out") {
				t.Errorf("without %s: %v", name, err)
			}
			continue
		}
		want := slices.DeleteFunc(features.Names(), func(n string) bool { return n == name })
		if err != nil || !slices.Equal(names(rest), want) {
			t.Errorf("without %s: %v, %v", name, names(rest), err)
		}
		// What remains is the same as beside the family that is gone.
		table := featuretest.Tables(t, store, rest, dates, 1)[0]
		for _, f := range rest {
			for _, c := range f.Columns {
				a, _ := whole.Values(c.Name)
				b, err := table.Values(c.Name)
				if err != nil || fmt.Sprint(a) != fmt.Sprint(b) {
					t.Errorf("without %s, %s differs: %v", name, c.Name, err)
				}
			}
		}
	}
	for _, tc := range []struct{ names, want []string }{
		{[]string{"all", "-messages"}, slices.DeleteFunc(features.Names(), func(n string) bool { return n == "messages" })},
		{[]string{"carts"}, []string{"recency", "frequency", "money", "carts", "custom"}},
		{[]string{"carts", "-custom"}, []string{"recency", "frequency", "money", "carts"}},
	} {
		got, err := features.Select(p, tc.names)
		if err != nil || !slices.Equal(names(got), tc.want) {
			t.Errorf("%v selects %v, %v; want %v", tc.names, names(got), err, tc.want)
		}
	}
	if _, err := features.Select(p, []string{"-cart"}); err == nil || !strings.Contains(err.Error(), `unknown family "-cart"`) {
		t.Errorf("error %v", err)
	}
}
