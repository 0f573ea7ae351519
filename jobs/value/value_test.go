package value

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/timeline"
)

// A customer as a table has it: purchase days and when the first and last were,
// days ago; mean spend of repeat days; what the next window brings, and the last
// one brought; and something else that is known.
type customer struct {
	days, first, last, mean float64
	later, spent, wait      float64
	previous, paid          float64
	spend, refund, engaged  float64
}

var never = customer{first: math.NaN(), last: math.NaN(), mean: math.NaN(), wait: math.NaN()}

var columns = []struct {
	name string
	of   func(c customer) float64
}{
	{features.PurchaseDaysLifetime, func(c customer) float64 { return c.days }},
	{features.DaysSinceFirstPurchase, func(c customer) float64 { return c.first }},
	{features.DaysSinceLastPurchase, func(c customer) float64 { return c.last }},
	{features.RepeatDaySpendMean, func(c customer) float64 { return c.mean }},
	{features.SpendLifetime, func(c customer) float64 { return c.spend }},
	{features.RefundLifetime, func(c customer) float64 { return c.refund }},
	{"engaged", func(c customer) float64 { return c.engaged }},
	{HoldoutColumn, func(c customer) float64 { return c.later }},
	{SpendColumn, func(c customer) float64 { return c.spent }},
	{waitColumn, func(c customer) float64 { return c.wait }},
	{previousColumn, func(c customer) float64 { return c.previous }},
	{paidColumn, func(c customer) float64 { return c.paid }},
}

func table(t *testing.T, date string, rows []customer) *features.Table {
	t.Helper()
	a, err := timeline.ParseAsOf(date, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	fields := []arrow.Field{features.CustomerField(datasets.IDType{Kind: datasets.IDInt64})}
	ids := array.NewInt64Builder(memory.DefaultAllocator)
	for i := range rows {
		ids.Append(int64(i))
	}
	arrays := []arrow.Array{ids.NewArray()}
	for _, c := range columns {
		fields = append(fields, arrow.Field{Name: c.name, Type: arrow.PrimitiveTypes.Float64, Nullable: true})
		b := array.NewFloat64Builder(memory.DefaultAllocator)
		for _, r := range rows {
			if v := c.of(r); math.IsNaN(v) {
				b.AppendNull()
			} else {
				b.Append(v)
			}
		}
		arrays = append(arrays, b.NewArray())
	}
	tab := &features.Table{AsOf: a, Schema: arrow.NewSchema(fields, nil)}
	tab.Put(features.Batch{Record: array.NewRecord(tab.Schema, arrays, int64(len(rows)))})
	return tab
}

// A world simulates customers who buy at their own rate, gaps of so many stages,
// until they drop out. Every second one's rate falls to a tenth when seen, which
// only the column engaged tells.
type world struct {
	stages int
	fading bool
}

// at describes n customers after so many days, and a window of so many before and after.
func (w world) at(n, seen, window int, seed uint64) []customer {
	r := rand.New(rand.NewPCG(seed, 4))
	rows := make([]customer, n)
	for i := range rows {
		c := never
		if i%10 == 0 { // never bought
			rows[i] = c
			continue
		}
		start, rate := r.IntN(seen/2), r.ExpFloat64()/20
		lives := float64(start) + r.ExpFloat64()*400
		price := 20 * math.Exp(r.NormFloat64()/2)
		c.engaged = float64(r.IntN(2))
		c.days, c.wait, c.spend = 1, math.NaN(), price
		last, repeats := start, 0.0
		for at := float64(start) + 1; ; {
			for range w.stages {
				speed := rate * float64(w.stages)
				if w.fading && at > float64(seen) && c.engaged == 0 {
					speed /= 10
				}
				at += r.ExpFloat64() / speed
			}
			if at >= float64(seen+window) || at >= lives {
				break
			}
			amount := price * math.Exp(r.NormFloat64()/4)
			switch day := int(at); {
			case day > seen:
				if math.IsNaN(c.wait) {
					c.wait = float64(day - seen)
				}
				c.later++
				c.spent += amount
			case day > last:
				c.days++
				last = day
				repeats += amount
				c.spend += amount
				if day > seen-window {
					c.previous++
					c.paid += amount
				}
			}
		}
		c.first, c.last, c.mean = float64(seen-start), float64(seen-last), math.NaN()
		if c.days > 1 {
			c.mean = repeats / (c.days - 1)
		}
		rows[i] = c
	}
	return rows
}

func figures(f *Forecast) map[string]float64 {
	m := map[string]float64{}
	for _, x := range f.Metrics {
		m[x.Model+" "+x.Name] = x.Value
	}
	return m
}

// seen is a world as a run sees it.
func seen(t *testing.T, w world, n int) Input {
	return Input{
		Score: table(t, "2024-12-31", w.at(n, 400, 0, 1)), Date: "2024-12-31", Horizon: 91, Features: []string{features.DaysSinceLastPurchase, "engaged"},
		Past: table(t, "2024-10-01", w.at(n, 309, 91, 2)), Before: table(t, "2024-07-02", w.at(n, 218, 91, 3)), Days: 91, Workers: 2, Seed: 1,
	}
}

func TestForecast(t *testing.T) {
	in := seen(t, world{stages: 1}, 3000)
	f, err := Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	s := f.Summary
	if s.Skipped != "" || s.Customers != 2700 || s.LogLikelihood == nil || s.SpendLogLik == nil || s.HoldoutDays != 91 {
		t.Fatalf("%+v", s)
	}
	// The process has no more to tell than Pareto/NBD knows.
	if s.Model != ParetoNBD || s.ValueModel != "paretonbd × gammagamma" || f.Models.PurchaseTrees != nil || f.Models.SpendTrees != nil {
		t.Errorf("models %q and %q", s.Model, s.ValueModel)
	}
	total, value := 0.0, 0.0
	for i := range f.Purchases {
		never := i%10 == 0
		for _, v := range [][]float64{f.Purchases, f.Spend, f.Alive, f.Next, f.Earliest, f.Latest, f.Further[0].Purchases, f.Further[2].Spend} {
			if math.IsNaN(v[i]) != never {
				t.Fatalf("customer %d: %v", i, v[i])
			}
		}
		if never {
			continue
		}
		if f.Purchases[i] < 0 || f.Alive[i] < 0 || f.Alive[i] > 1 || f.Spend[i] < 0 || f.Earliest[i] < 1 || f.Next[i] < f.Earliest[i] || f.Latest[i] < f.Next[i] {
			t.Fatalf("customer %d: %v, %v, %v, next %v to %v, %v", i, f.Purchases[i], f.Spend[i], f.Alive[i], f.Earliest[i], f.Latest[i], f.Next[i])
		}
		if !(f.Further[0].Purchases[i] < f.Further[1].Purchases[i] && f.Further[1].Purchases[i] < f.Further[2].Purchases[i]) || f.Further[1].Spend[i] > f.Further[2].Spend[i] {
			t.Fatalf("customer %d: forecasts do not rise with the horizon", i)
		}
		total += f.Purchases[i]
		value += f.Spend[i]
	}
	if math.Abs(total-s.Expected) > 1e-6 || math.Abs(value-s.ExpectedValue) > 1e-6 {
		t.Errorf("totals %v and %v, the summary says %v and %v", total, value, s.Expected, s.ExpectedValue)
	}
	// On a process of its own kind the model beats the naive forecasts, and expects
	// about as much as happens.
	if *s.HoldoutMAE.Model >= *s.HoldoutMAE.Baseline || *s.HoldoutRMSE.Model >= *s.HoldoutRMSE.Baseline {
		t.Errorf("mean error %v, naive %v; root mean square %v, naive %v", *s.HoldoutMAE.Model, *s.HoldoutMAE.Baseline, *s.HoldoutRMSE.Model, *s.HoldoutRMSE.Baseline)
	}
	m := figures(f)
	for _, ratio := range []float64{m["paretonbd total_ratio_purchases"], m["paretonbd × gammagamma total_ratio_value"], m["paretonbd total_purchases_expected"] / m["actual total_purchases"]} {
		if !(ratio > .85 && ratio < 1.15) {
			t.Errorf("expected over actual is %v", ratio)
		}
	}
	if a, r := m["paretonbd auc_buys_again"], m["recency auc_buys_again"]; !(a > r) {
		t.Errorf("AUC %v, by recency %v", a, r)
	}
	if got := m["paretonbd next_purchase_within_interval"]; !(got > .7 && got < .95) || m["paretonbd next_purchase_closed_intervals"] < 100 {
		t.Errorf("%v of %v intervals held the next purchase", got, m["paretonbd next_purchase_closed_intervals"])
	}
	if lo, hi := m["paretonbd decile_01_expected_purchases"], m["paretonbd decile_10_expected_purchases"]; !(lo < hi) || m["paretonbd decile_10_actual_purchases"] == 0 {
		t.Errorf("deciles from %v to %v", lo, hi)
	}
	in.Workers = 1
	again, err := Run(t.Context(), in)
	if err != nil || fmt.Sprint(again.Spend) != fmt.Sprint(f.Spend) {
		t.Errorf("another number of workers gave another forecast: %v", err)
	}
}

// Trees are chosen when a column tells what the purchases so far cannot.
func TestTreesWhereTheyHelp(t *testing.T) {
	in := seen(t, world{stages: 1, fading: true}, 3000)
	f, err := Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	s := f.Summary
	if !strings.HasSuffix(s.Model, " × trees") || f.Models.PurchaseTrees == nil || !strings.HasSuffix(s.ValueModel, " × gammagamma × trees") || f.Models.SpendTrees == nil {
		t.Fatalf("models %q and %q", s.Model, s.ValueModel)
	}
	m := figures(f)
	plain := strings.TrimSuffix(s.Model, " × trees")
	if a, b := m[s.Model+" rmse_purchases"], m[plain+" rmse_purchases"]; !(a < .97*b) {
		t.Errorf("root mean square error %v with trees, %v without", a, b)
	}
	engaged, err := in.Score.Values("engaged")
	if err != nil {
		t.Fatal(err)
	}
	var by [2]float64
	for i, e := range engaged {
		if i%10 != 0 {
			by[int(e)] += f.Purchases[i]
		}
	}
	if by[1] < 3*by[0] {
		t.Errorf("%v purchases expected of the engaged, %v of the others", by[1], by[0])
	}
	for _, x := range f.Metrics {
		if x.Name == "mae_purchases" && x.Champion != (x.Model == s.Model) {
			t.Errorf("champion %v: %s", x.Champion, x.Model)
		}
	}
}

// A holdout in which nobody bought, such as one whose purchases have not arrived, has
// nothing for trees to learn: the forecast is the model's own.
func TestNothingBoughtInHoldout(t *testing.T) {
	w := world{stages: 1, fading: true}
	in := seen(t, w, 3000)
	rows := w.at(3000, 309, 91, 2)
	for i := range rows {
		rows[i].later, rows[i].spent, rows[i].wait = 0, 0, math.NaN()
	}
	in.Past = table(t, "2024-10-01", rows)
	f, err := Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if f.Models.PurchaseTrees != nil || f.Models.SpendTrees != nil || strings.Contains(f.Summary.Model+f.Summary.ValueModel, "trees") {
		t.Errorf("models %q and %q", f.Summary.Model, f.Summary.ValueModel)
	}
	if !(f.Summary.Expected > 0) {
		t.Errorf("%v purchases expected", f.Summary.Expected)
	}
	for _, x := range f.Metrics {
		if x.Name == "mae_purchases" && x.Champion != (x.Model == f.Summary.Model) {
			t.Errorf("champion %v: %s", x.Champion, x.Model)
		}
	}
}

// Regular gaps are recognised.
func TestRegularGaps(t *testing.T) {
	f, err := Run(t.Context(), seen(t, world{stages: 4}, 4000))
	if err != nil {
		t.Fatal(err)
	}
	if f.Models.Buying.Kind != MBGCNBD2 && f.Models.Buying.Kind != MBGCNBD3 {
		t.Errorf("model %s", f.Summary.Model)
	}
}

// Without a holdout there is a forecast, of the model that is kept by default.
func TestNoHoldout(t *testing.T) {
	in := seen(t, world{stages: 1}, 1000)
	in.Past, in.Before, in.Days = nil, nil, 0
	f, err := Run(t.Context(), in)
	if err != nil || f.Summary.Model != ParetoNBD || f.Summary.HoldoutDays != 0 || math.IsNaN(f.Purchases[1]) {
		t.Errorf("%+v, %v", f.Summary, err)
	}
	// A holdout without the window before it: no trees, all else.
	in = seen(t, world{stages: 1, fading: true}, 1000)
	in.Before = nil
	f, err = Run(t.Context(), in)
	if err != nil || strings.Contains(f.Summary.Model, "trees") || f.Summary.HoldoutDays != 91 {
		t.Errorf("%+v, %v", f.Summary, err)
	}
}

func TestNoForecast(t *testing.T) {
	once := func(days, first, last, later float64) customer {
		return customer{days: days, first: first, last: last, mean: math.NaN(), later: later}
	}
	for name, rows := range map[string][]customer{
		"nobody has bought": {never, never},
		"too few repeat":    {once(1, 30, 30, 0), once(1, 20, 20, 1), once(2, 40, 10, 0)},
	} {
		f, err := Run(t.Context(), Input{Score: table(t, "2024-12-31", rows), Date: "2024-12-31", Horizon: 91, Workers: 1})
		if err != nil || !strings.Contains(f.Summary.Skipped, name) || len(f.Warnings) == 0 {
			t.Errorf("%s: %+v, %v", name, f, err)
			continue
		}
		for i := range rows {
			if !math.IsNaN(f.Purchases[i]) || !math.IsNaN(f.Spend[i]) || !math.IsNaN(f.Alive[i]) {
				t.Errorf("%s: a forecast without a model", name)
			}
		}
	}
}

// Without amounts purchases are forecast and value is null.
func TestForecastWithoutMoney(t *testing.T) {
	in := seen(t, world{stages: 1}, 800)
	free := func(rows []customer) []customer {
		for i := range rows {
			c := &rows[i]
			c.spent, c.paid, c.spend = 0, 0, 0
			if !math.IsNaN(c.mean) {
				c.mean = 0
			}
		}
		return rows
	}
	w := world{stages: 1}
	in.Score, in.Past, in.Before = table(t, "2024-12-31", free(w.at(800, 400, 0, 3))), table(t, "2024-10-01", free(w.at(800, 309, 91, 2))), table(t, "2024-07-02", free(w.at(800, 218, 91, 5)))
	f, err := Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if math.IsNaN(f.Purchases[1]) || !math.IsNaN(f.Spend[1]) || f.Summary.SpendLogLik != nil || f.Summary.ValueModel != "" {
		t.Errorf("purchases %v, spend %v", f.Purchases[1], f.Spend[1])
	}
}

// Money that was sent back is not value.
func TestRefundsLowerValue(t *testing.T) {
	run := func(refunded float64) *Forecast {
		rows := world{stages: 1}.at(800, 400, 0, 3)
		for i := range rows {
			rows[i].refund = refunded * rows[i].spend
		}
		f, err := Run(t.Context(), Input{Score: table(t, "2024-12-31", rows), Date: "2024-12-31", Horizon: 91, Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	kept, half := run(0), run(0.5)
	if ratio := half.Summary.ExpectedValue / kept.Summary.ExpectedValue; math.Abs(ratio-0.5) > 0.01 {
		t.Errorf("half of the spend refunded leaves %v of the value", ratio)
	}
	if half.Summary.Expected != kept.Summary.Expected {
		t.Error("refunds changed expected purchases")
	}
	if f := run(1.2); !math.IsNaN(f.Spend[1]) {
		t.Errorf("everything refunded leaves a value of %v", f.Spend[1])
	}
}

// Labels see the windows that they name, and nothing else.
func TestLabels(t *testing.T) {
	dicts := datasets.NewDicts()
	log := timeline.NewLog(dicts, 1)
	var b datasets.Batch
	for _, e := range []struct {
		at     string
		role   datasets.Role
		amount int64 // whole units
	}{
		{"2024-02-20T23:59", datasets.Purchase, 1}, {"2024-02-21T00:00", datasets.Purchase, 2}, // the window before begins between
		{"2024-02-25T08:00", datasets.View, 4}, {"2024-02-26T08:00", datasets.Purchase, 8}, {"2024-02-26T09:00", datasets.Purchase, 16},
		{"2024-03-01T23:59", datasets.Return, 3},                                                                                           // as of the end of this day
		{"2024-03-02T00:00", datasets.View, 32}, {"2024-03-04T10:00", datasets.Purchase, 64}, {"2024-03-04T11:00", datasets.Purchase, 128}, // one day
		{"2024-03-05T10:00", datasets.Return, -10}, {"2024-03-11T23:59", datasets.Purchase, 256},
		{"2024-03-12T00:00", datasets.Purchase, 512}, // after it
	} {
		at, err := time.Parse("2006-01-02T15:04", e.at)
		if err != nil {
			t.Fatal(err)
		}
		b.Customer = append(b.Customer, dicts.Customer.CodeString("a"))
		b.Time, b.Role, b.Type = append(b.Time, at.UnixMicro()), append(b.Role, e.role), append(b.Type, 0)
		b.Amount = append(b.Amount, datasets.Money(e.amount*10_000))
	}
	if err := log.Append(0, &b); err != nil {
		t.Fatal(err)
	}
	parse := func(date string) timeline.AsOf {
		a, err := timeline.ParseAsOf(date, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	got := map[string]float64{}
	store := log.Freeze(timeline.Options{Zone: time.UTC, IDType: datasets.IDType{Kind: datasets.IDString}})
	err := store.Replay(t.Context(), 1, func(_, _ int, tl *timeline.Timeline) error {
		h, _ := tl.Before(parse("2024-03-01"))
		for _, l := range Labels(parse("2024-03-11"), 10) {
			got[l.Name] = l.Value(tl, &h)
		}
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{HoldoutColumn: 2, SpendColumn: 64 + 128 - 10 + 256, waitColumn: 3, previousColumn: 2, paidColumn: 2 + 8 + 16 - 3}
	if !maps.Equal(got, want) {
		t.Errorf("labels %v, want %v", got, want)
	}
}
