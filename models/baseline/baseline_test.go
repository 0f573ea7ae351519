package baseline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/modeltest"
)

const recency = "recency_days"

// simulate is n customers by days since the last event, a tenth of them never
// seen, and whether they churned: likelier the longer ago.
func simulate(n int, seed uint64) (models.Matrix, []float64) {
	rng := rand.New(rand.NewPCG(seed, 5))
	x := models.NewMatrix([]string{recency}, n)
	y := make([]float64, n)
	for i := range n {
		days := math.Floor(60 * rng.ExpFloat64())
		p := 1 / (1 + math.Exp(1.5-days/40))
		if rng.IntN(10) == 0 {
			days, p = math.NaN(), .95
		}
		x.Data[i] = days
		if rng.Float64() < p {
			y[i] = 1
		}
	}
	return x, y
}

func fit(t testing.TB, p Params, x models.Matrix, y []float64) *Model {
	t.Helper()
	m, warnings, err := Fit(context.Background(), p, x, y)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		t.Errorf("unexpected warning: %v", w)
	}
	return m
}

func one(values ...float64) models.Matrix {
	return models.Matrix{Names: []string{recency}, Data: values}
}

func TestConformance(t *testing.T) {
	x, y := simulate(2000, 1)
	modeltest.CheckPredictor(t, modeltest.Predictor{
		Package: "baseline", X: x, Y: y, Missing: []string{recency},
		Fit: func(ctx context.Context, x models.Matrix, y, _ []float64, _ int) (modeltest.Predicting, []models.Warning, error) {
			return Fit(ctx, DefaultParams(recency), x, y)
		},
		Load: func(data []byte) (modeltest.Predicting, error) {
			m := new(Model)
			return m, json.Unmarshal(data, m)
		},
	})
}

func TestByHand(t *testing.T) {
	// Four bins of four: 0, 1, 1 (pooled: no rise), 3 of 4 positive; base rate 5/16,
	// and one row of it added to each. A bin's corner is its mean.
	x := one(1, 2, 3, 4, 11, 12, 13, 14, 21, 22, 23, 24, 31, 32, 33, 34)
	y := []float64{0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, 1, 0, 1}
	p := DefaultParams(recency)
	p.Bins = 4
	m := fit(t, p, x, y)
	logit := func(q float64) float64 { return math.Log(q / (1 - q)) }
	const base = 5.0 / 16
	a, b, c := logit(base/5), logit((2+2*base)/10), logit((3+base)/5)
	values := []float64{1, 2.5, 17.5, 32.5, 34}
	odds := []float64{a - (b-a)/2, a, b, c, c + (c-b)/2}
	if m.Direction != Rising || !slices.Equal(m.Values, values) {
		t.Fatalf("fitted %+v, want corners at %v", m, values)
	}
	for i, want := range odds {
		if math.Abs(m.LogOdds[i]-want) > 1e-14 {
			t.Errorf("log-odds at %v are %v, want %v", values[i], m.LogOdds[i], want)
		}
	}
	got, err := m.Predict(nil, one(2.5, 10, 17.5, -9, 99, math.NaN()))
	if err != nil {
		t.Fatal(err)
	}
	end := 1 / (1 + math.Exp(-odds[4]))
	for i, want := range []float64{base / 5, 1 / (1 + math.Exp(-(a+b)/2)), (2 + 2*base) / 10, 1 / (1 + math.Exp(-odds[0])), end, end} {
		if math.Abs(got[i]-want) > 1e-14 {
			t.Errorf("prediction %d is %v, want %v", i, got[i], want)
		}
	}
}

func TestRanksAsTheColumn(t *testing.T) {
	// Any two days between the ends that rates tell apart get different
	// probabilities, in the order of the days.
	x, y := simulate(20000, 2)
	m := fit(t, DefaultParams(recency), x, y)
	days := models.NewMatrix([]string{recency}, 200)
	for i := range days.Data {
		days.Data[i] = float64(i)
	}
	p, err := m.Predict(nil, days)
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < len(p); i++ {
		if p[i] <= p[i-1] {
			t.Errorf("%d days predict %v, %d days %v", i-1, p[i-1], i, p[i])
		}
		want := 1 / (1 + math.Exp(1.5-float64(i)/40))
		if math.Abs(p[i]-want) > .06 {
			t.Errorf("%d days predict %v, the truth is %v", i, p[i], want)
		}
	}
	never, err := m.Predict(nil, one(math.NaN()))
	if err != nil || math.Abs(never[0]-.95) > .02 {
		t.Errorf("never seen predicts %v, %v; the truth is .95", never, err)
	}
}

func TestDirection(t *testing.T) {
	x, y := simulate(3000, 3)
	stays := make([]float64, len(y))
	for i := range y {
		stays[i] = 1 - y[i]
	}
	m := fit(t, DefaultParams(recency), x, stays)
	if m.Direction != Falling || !slices.IsSortedFunc(m.LogOdds, func(a, b float64) int {
		if a > b {
			return -1
		}
		return 1
	}) {
		t.Errorf("staying is learnt as %s with log-odds %v", m.Direction, m.LogOdds)
	}
	p := DefaultParams(recency)
	p.Direction = Falling
	m, warnings, err := Fit(context.Background(), p, x, y)
	if err != nil || len(warnings) != 1 || warnings[0].Code != "baseline.uninformative" || len(m.Values) != 1 {
		t.Errorf("churn fitted as falling: %+v, %v, %v; want a constant and baseline.uninformative", m, warnings, err)
	}
}

func TestTiesShareABin(t *testing.T) {
	values := []float64{5, 5, 5, 5, 5, 5, 5, 1, 9, 9}
	y := []float64{0, 1, 0, 1, 0, 1, 0, 0, 1, 1}
	bins, _ := cut(values, y, 5)
	var rows []float64
	for _, b := range bins {
		rows = append(rows, b.rows)
	}
	// Five bins of two: the first takes 1 and, to fill up, all the fives.
	if !slices.Equal(rows, []float64{8, 2}) {
		t.Errorf("bins of %v rows: %+v", rows, bins)
	}
	for _, b := range bins {
		for i, v := range values {
			if v == b.low && v > b.high || v == b.high && v < b.low {
				t.Errorf("value %v of row %d is parted", v, i)
			}
		}
	}
	even := make([]float64, 1000)
	for i := range even {
		even[i] = float64(i)
	}
	bins, _ = cut(even, make([]float64, 1000), 7)
	for _, b := range bins {
		if len(bins) != 7 || b.rows < 142 || b.rows > 143 {
			t.Errorf("1000 distinct values in %d bins, one of %v rows", len(bins), b.rows)
		}
	}
}

func TestRowOrderDoesNotMatter(t *testing.T) {
	x, y := simulate(2000, 6)
	want, err := json.Marshal(fit(t, DefaultParams(recency), x, y))
	if err != nil {
		t.Fatal(err)
	}
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(y), func(i, j int) {
		x.Data[i], x.Data[j] = x.Data[j], x.Data[i]
		y[i], y[j] = y[j], y[i]
	})
	if got, _ := json.Marshal(fit(t, DefaultParams(recency), x, y)); !bytes.Equal(got, want) {
		t.Errorf("shuffled: %s\nwant %s", got, want)
	}
}

func TestOtherColumnsAreIgnored(t *testing.T) {
	x, y := simulate(500, 7)
	wide := models.Matrix{Names: []string{"noise", recency}}
	for _, v := range x.Data {
		wide.Data = append(wide.Data, math.Inf(1), v)
	}
	a, b := fit(t, DefaultParams(recency), x, y), fit(t, DefaultParams(recency), wide, y)
	p, err := a.Predict(nil, wide)
	if err != nil {
		t.Fatal(err)
	}
	if q, err := b.Predict(nil, x); err != nil || !slices.Equal(p, q) {
		t.Errorf("another column changes the rule: %v", err)
	}
}

func TestErrors(t *testing.T) {
	if _, _, err := Fit(context.Background(), DefaultParams(recency), one(1, 2), []float64{1, 1}); !errors.Is(err, ErrOneClass) {
		t.Errorf("labels all 1: %v, want ErrOneClass", err)
	}
	nan := math.NaN()
	if _, _, err := Fit(context.Background(), DefaultParams(recency), one(nan, nan), []float64{0, 1}); err == nil || !strings.Contains(err.Error(), "NaN in all 2 rows") {
		t.Errorf("a column of NaN: %v", err)
	}
	if _, _, err := Fit(context.Background(), DefaultParams("tenure"), one(1, 2), []float64{0, 1}); err == nil || !strings.Contains(err.Error(), "no column tenure") {
		t.Errorf("a missing column: %v", err)
	}
	err := Params{Direction: "up"}.Validate()
	for _, want := range []string{"Column", `Direction ("up") must be learn, rising or falling`, "Bins (0) must be >= 2", "Smoothing (0) must be > 0"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate does not mention %q: %v", want, err)
		}
	}
}

func BenchmarkFit(b *testing.B) {
	x, y := simulate(1e6, 1)
	b.Run(fmt.Sprintf("n=%d", len(y)), func(b *testing.B) {
		for b.Loop() {
			fit(b, DefaultParams(recency), x, y)
		}
		b.ReportMetric(float64(len(y))*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
}

func ExampleFit() {
	x := models.Matrix{Names: []string{"days_since_purchase"}}
	var churned []float64
	for day := range 100 {
		x.Data = append(x.Data, float64(day))
		churned = append(churned, float64(day/10%2*day/50)) // now and then, and only from day 50
	}
	m, _, err := Fit(context.Background(), DefaultParams("days_since_purchase"), x, churned)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := m.Predict(nil, models.Matrix{Names: x.Names, Data: []float64{5, 60, 95}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s: %.2f\n", m.Direction, p)
	// Output: rising: [0.02 0.33 0.90]
}
