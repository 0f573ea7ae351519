package value

import (
	"fmt"
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

// table builds a feature table from a row of five numbers a customer: purchase
// days, days since first and last purchase, repeat day spend, holdout days.
// A share of everybody's spend was refunded.
func table(t *testing.T, date string, rows [][5]float64, refunded ...float64) *features.Table {
	t.Helper()
	a, err := timeline.ParseAsOf(date, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{features.PurchaseDaysLifetime, features.DaysSinceFirstPurchase, features.DaysSinceLastPurchase, features.RepeatDaySpendMean, HoldoutColumn, features.SpendLifetime, features.RefundLifetime}
	fields := []arrow.Field{features.CustomerField(datasets.IDType{Kind: datasets.IDInt64})}
	ids := array.NewInt64Builder(memory.DefaultAllocator)
	for i := range rows {
		ids.Append(int64(i))
	}
	arrays := []arrow.Array{ids.NewArray()}
	for j, n := range names {
		fields = append(fields, arrow.Field{Name: n, Type: arrow.PrimitiveTypes.Float64, Nullable: true})
		b := array.NewFloat64Builder(memory.DefaultAllocator)
		for _, r := range rows {
			switch {
			case n == features.SpendLifetime:
				b.Append(100)
			case n == features.RefundLifetime && refunded != nil:
				b.Append(100 * refunded[0])
			case n == features.RefundLifetime:
				b.Append(0)
			case math.IsNaN(r[j]):
				b.AppendNull()
			default:
				b.Append(r[j])
			}
		}
		arrays = append(arrays, b.NewArray())
	}
	tab := &features.Table{AsOf: a, Schema: arrow.NewSchema(fields, nil)}
	tab.Put(features.Batch{Record: array.NewRecord(tab.Schema, arrays, int64(len(rows)))})
	return tab
}

// buying simulates customers who buy at their own rate until they drop out,
// seen until day seen, with what they do in the days after.
func buying(n, seen, after int, seed uint64) [][5]float64 {
	r := rand.New(rand.NewPCG(seed, 4))
	nan := math.NaN()
	rows := make([][5]float64, n)
	for i := range rows {
		if i%10 == 0 { // never bought
			rows[i] = [5]float64{0, nan, nan, nan, 0}
			continue
		}
		first, rate := r.IntN(seen/2), r.ExpFloat64()/20
		lives := r.ExpFloat64() * 400
		days, last, later, spend := 1.0, first, 0.0, 0.0
		price := 20 * math.Exp(r.NormFloat64()/2)
		for at := float64(first) + 1 + r.ExpFloat64()/rate; at < float64(seen+after) && at < float64(first)+lives; at += 1 + r.ExpFloat64()/rate {
			if int(at) <= seen {
				days++
				last = int(at)
				spend += price * math.Exp(r.NormFloat64()/4)
			} else {
				later++
			}
		}
		mean := nan
		if days > 1 {
			mean = spend / (days - 1)
		}
		rows[i] = [5]float64{days, float64(seen - first), float64(seen - last), mean, later}
	}
	return rows
}

func TestForecast(t *testing.T) {
	score := table(t, "2024-12-31", buying(2000, 400, 0, 1))
	in := Input{Score: score, Date: "2024-12-31", Horizon: 91, Past: table(t, "2024-09-30", buying(2000, 300, 91, 2)), Days: 91, Workers: 2}
	f, err := Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	s := f.Summary
	if s.Skipped != "" || s.Customers != 1800 || s.LogLikelihood == nil || s.SpendLogLik == nil || s.HoldoutDays != 91 {
		t.Fatalf("%+v", s)
	}
	total, value := 0.0, 0.0
	for i := range f.Purchases {
		never := i%10 == 0
		if math.IsNaN(f.Purchases[i]) != never || math.IsNaN(f.Spend[i]) != never || math.IsNaN(f.Alive[i]) != never {
			t.Fatalf("customer %d: %v, %v, %v", i, f.Purchases[i], f.Spend[i], f.Alive[i])
		}
		if never {
			continue
		}
		if f.Purchases[i] < 0 || f.Alive[i] < 0 || f.Alive[i] > 1 || f.Spend[i] < 0 {
			t.Fatalf("customer %d: %v, %v, %v", i, f.Purchases[i], f.Spend[i], f.Alive[i])
		}
		total += f.Purchases[i]
		value += f.Spend[i]
	}
	if math.Abs(total-s.Expected) > 1e-6 || math.Abs(value-s.ExpectedValue) > 1e-6 {
		t.Errorf("totals %v and %v, the summary says %v and %v", total, value, s.Expected, s.ExpectedValue)
	}
	// On a process of its own kind the model beats both naive forecasts, and
	// expects about as many purchases as happen.
	if *s.HoldoutMAE.Model >= *s.HoldoutMAE.Baseline {
		t.Errorf("mean error %v, naive %v", *s.HoldoutMAE.Model, *s.HoldoutMAE.Baseline)
	}
	figures := map[string]float64{}
	for _, m := range f.Metrics {
		figures[m.Model+" "+m.Name] = m.Value
	}
	if ratio := figures["bgnbd total_purchases_expected"] / figures["actual total_purchases"]; ratio < 0.85 || ratio > 1.15 {
		t.Errorf("expected over actual purchases is %v", ratio)
	}
	in.Workers = 1
	again, err := Run(t.Context(), in)
	if err != nil || fmt.Sprint(again.Spend) != fmt.Sprint(f.Spend) {
		t.Errorf("another number of workers gave another forecast: %v", err)
	}
}

func TestNoForecast(t *testing.T) {
	nan := math.NaN()
	for name, rows := range map[string][][5]float64{
		"nobody has bought": {{0, nan, nan, nan, 0}, {0, nan, nan, nan, 0}},
		"too few repeat":    {{1, 30, 30, nan, 0}, {1, 20, 20, nan, 1}, {2, 40, 10, 5, 0}},
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
	rows := buying(800, 400, 0, 3)
	for i := range rows {
		if !math.IsNaN(rows[i][3]) {
			rows[i][3] = 0
		}
	}
	f, err := Run(t.Context(), Input{Score: table(t, "2024-12-31", rows), Date: "2024-12-31", Horizon: 91, Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	if math.IsNaN(f.Purchases[1]) || !math.IsNaN(f.Spend[1]) || f.Summary.SpendLogLik != nil {
		t.Errorf("purchases %v, spend %v", f.Purchases[1], f.Spend[1])
	}
}

// Money that was sent back is not value.
func TestRefundsLowerValue(t *testing.T) {
	rows := buying(800, 400, 0, 3)
	run := func(refunded float64) *Forecast {
		f, err := Run(t.Context(), Input{Score: table(t, "2024-12-31", rows, refunded), Date: "2024-12-31", Horizon: 91, Workers: 1})
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
