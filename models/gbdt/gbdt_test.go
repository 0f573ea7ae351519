package gbdt_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/gbdt"
	"github.com/shoal-data/shoal/models/metrics"
	"github.com/shoal-data/shoal/models/modeltest"
)

// simulate draws rows such as customers have: counts, money, flags, a category,
// missing values; and labels that depend on some of them, not linearly.
func simulate(n int, seed uint64) (models.Matrix, []float64) {
	r := rand.New(rand.NewPCG(seed, 11))
	x := models.NewMatrix([]string{"visits", "spend", "recency", "flag", "channel", "noise"}, n)
	y := make([]float64, n)
	for i := range n {
		row := x.Row(i)
		row[0] = math.Floor(math.Exp(2 * r.Float64()))
		row[1] = math.Round(100*math.Exp(1.5*r.NormFloat64())) / 100
		row[2] = 60 * r.Float64()
		row[3] = float64(r.IntN(2))
		row[4] = float64(r.IntN(7) * 3)
		row[5] = r.NormFloat64()
		eta := .8*row[0]*row[3] - row[2]/20 + math.Sin(row[1]) - .5
		if int(row[4])%2 == 0 {
			eta++
		}
		if r.IntN(10) == 0 {
			row[1] = math.NaN()
			eta -= 2
		}
		if r.IntN(20) == 0 {
			row[5] = math.NaN()
		}
		if r.Float64() < 1/(1+math.Exp(-eta)) {
			y[i] = 1
		}
	}
	return x, y
}

func small() gbdt.Params {
	p := gbdt.DefaultParams()
	p.Trees, p.Leaves, p.MinLeafRows = 15, 12, 5
	p.Categorical = []string{"channel"}
	return p
}

func fit(t testing.TB, p gbdt.Params, x models.Matrix, y []float64) *gbdt.Model {
	t.Helper()
	m, warnings, err := gbdt.Fit(context.Background(), p, x, y)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		t.Errorf("unexpected warning: %v", w)
	}
	return m
}

func predict(t testing.TB, m *gbdt.Model, x models.Matrix) []float64 {
	t.Helper()
	p, err := m.Predict(nil, x)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func logLoss(t testing.TB, y, p []float64) float64 {
	t.Helper()
	b, err := metrics.NewBinary(y, p)
	if err != nil {
		t.Fatal(err)
	}
	loss, _ := b.LogLoss()
	return loss
}

func save(t testing.TB, m *gbdt.Model) string {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestConformance(t *testing.T) {
	x, y := simulate(3000, 1)
	for name, change := range map[string]func(*gbdt.Params){
		"plain":    func(*gbdt.Params) {},
		"sampled":  func(p *gbdt.Params) { p.RowFraction, p.ColumnFraction = .7, .6 },
		"few bins": func(p *gbdt.Params) { p.MaxBins, p.Categorical = 16, nil },
		"monotone": func(p *gbdt.Params) { p.Monotone = map[string]int{"recency": -1, "visits": 1}; p.L1 = .3 },
	} {
		t.Run(name, func(t *testing.T) {
			modeltest.CheckPredictor(t, modeltest.Predictor{
				Package: "gbdt", X: x, Y: y, Missing: x.Names,
				// Monotone columns' bounds are of coarse gradients, whose unit depends on
				// the largest weight.
				RepeatTolerance: 1e-5,
				// Which rows are drawn goes by position, so removing one changes it.
				Weighted: name != "sampled",
				Fit: func(ctx context.Context, x models.Matrix, y, w []float64, workers int) (modeltest.Predicting, []models.Warning, error) {
					p := small()
					change(&p)
					p.Workers = workers
					return gbdt.FitSample(ctx, p, gbdt.Sample{X: x, Y: y, W: w}, gbdt.Sample{})
				},
				Load: func(data []byte) (modeltest.Predicting, error) {
					m := new(gbdt.Model)
					return m, json.Unmarshal(data, m)
				},
			})
		})
	}
}

// Rows in any order are the same sample.
func TestOrderOfRows(t *testing.T) {
	x, y := simulate(2000, 2)
	r := rand.New(rand.NewPCG(1, 1))
	shuffled := models.NewMatrix(x.Names, len(y))
	labels := make([]float64, len(y))
	for to, from := range r.Perm(len(y)) {
		copy(shuffled.Row(to), x.Row(from))
		labels[to] = y[from]
	}
	if save(t, fit(t, small(), x, y)) != save(t, fit(t, small(), shuffled, labels)) {
		t.Error("shuffled rows made another model")
	}
}

// A leaf of more rows than a packed histogram holds: the sums are still exact,
// as a model of the same rows by weight shows.
func TestManyRows(t *testing.T) {
	x, y := simulate(3000, 3)
	const times = 50
	many := models.Matrix{Names: x.Names}
	var labels []float64
	w := make([]float64, len(y))
	for range times {
		many.Data = append(many.Data, x.Data...)
		labels = append(labels, y...)
	}
	for i := range w {
		w[i] = times
	}
	p := small()
	// The same thresholds, from all rows.
	p.BinRows, p.MinLeafRows = len(labels), 500
	byWeight, _, err := gbdt.FitSample(t.Context(), p, gbdt.Sample{X: x, Y: y, W: w}, gbdt.Sample{})
	if err != nil {
		t.Fatal(err)
	}
	var saved string
	for _, workers := range []int{1, 2, 3} {
		p.Workers = workers
		m := fit(t, p, many, labels)
		if s := save(t, m); saved == "" {
			saved = s
		} else if s != saved {
			t.Errorf("%d workers made another model", workers)
		}
		a, b := predict(t, m, x), predict(t, byWeight, x)
		for i := range a {
			if math.Abs(a[i]-b[i]) > 1e-6 {
				t.Fatalf("row %d: %v from %d copies, %v by weight", i, a[i], times, b[i])
			}
		}
	}
}

// No leaf holds fewer rows than it must, by count, and every cover is a count.
func TestCovers(t *testing.T) {
	x, y := simulate(4000, 4)
	p := small()
	p.MinLeafRows, p.MinLeafHessian = 37, 0
	p.Trees = 60 // in later trees Hessians say little of counts
	m := fit(t, p, x, y)
	for k, tree := range m.Trees {
		cover, leaves := make([]float64, len(tree.Column)), make([]float64, len(tree.Value))
		for i := range y {
			for at := int32(0); ; {
				cover[at]++
				next := tree.Right[at]
				if tree.GoesLeft(int(at), x.Row(i)[tree.Column[at]]) {
					next = tree.Left[at]
				}
				if next < 0 {
					leaves[^next]++
					break
				}
				at = next
			}
		}
		if !slices.Equal(cover, tree.Cover) || !slices.Equal(leaves, tree.LeafCover) {
			t.Fatalf("tree %d covers %v and %v, counted %v and %v", k, tree.Cover, tree.LeafCover, cover, leaves)
		}
		if least := slices.Min(leaves); least < 37 {
			t.Errorf("tree %d has a leaf of %v rows", k, least)
		}
		if len(leaves) > p.Leaves {
			t.Errorf("tree %d has %d leaves", k, len(leaves))
		}
	}
}

// A tree on its own, by hand: every split of a small table tried, in real numbers.
func TestBestSplit(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for trial := range 200 {
		n := 20 + r.IntN(40)
		x := models.NewMatrix([]string{"a", "b"}, n)
		y := make([]float64, n)
		for i := range n {
			x.Row(i)[0], x.Row(i)[1] = r.NormFloat64(), float64(r.IntN(6))
			if r.IntN(4) == 0 {
				x.Row(i)[1] = math.NaN()
			}
			y[i] = r.NormFloat64() + x.Row(i)[0]*float64(trial%3) + math.Sin(float64(i))
		}
		p := gbdt.DefaultParams()
		p.Loss, p.Trees, p.Leaves, p.MinLeafRows, p.L2, p.LearningRate = gbdt.Squared, 1, 2, 1+trial%5, float64(trial%2), 1
		m := fit(t, p, x, y)
		var mean float64
		for _, v := range y {
			mean += v / float64(n)
		}
		// The most that any division by a threshold and a side for NaN gains.
		var most float64
		score := func(left func(v float64) bool, j int) float64 {
			var g, h [2]float64
			for i := range n {
				side := 1
				if left(x.Row(i)[j]) {
					side = 0
				}
				g[side] += mean - y[i]
				h[side]++
			}
			if min(h[0], h[1]) < float64(p.MinLeafRows) {
				return 0
			}
			return g[0]*g[0]/(h[0]+p.L2) + g[1]*g[1]/(h[1]+p.L2) - (g[0]+g[1])*(g[0]+g[1])/(float64(n)+p.L2)
		}
		for j := range 2 {
			for k := range n {
				at := x.Row(k)[j]
				if at != at {
					at = math.Inf(1)
				}
				most = max(most, score(func(v float64) bool { return v <= at }, j), score(func(v float64) bool { return !(v > at) }, j))
			}
		}
		tree := m.Trees[0]
		got := score(func(v float64) bool { return tree.GoesLeft(0, v) }, int(tree.Column[0]))
		if got < most*(1-1e-3) || math.Abs(tree.Gain[0]-got) > 2e-3*got {
			t.Fatalf("trial %d: the split gains %v, by its own word %v; the best gains %v", trial, got, tree.Gain[0], most)
		}
		// Leaves are means shrunk by L2.
		for leaf, v := range tree.Value {
			var sum, count float64
			for i := range n {
				if tree.GoesLeft(0, x.Row(i)[tree.Column[0]]) == (tree.Left[0] == int32(^leaf)) {
					sum += y[i] - mean
					count++
				}
			}
			if want := sum / (count + p.L2); math.Abs(v-want) > 1e-7*(1+math.Abs(want)) {
				t.Fatalf("trial %d: leaf %d is worth %v, want %v", trial, leaf, v, want)
			}
		}
	}
}

// Missing values go where the labels say, and not seen in training, with the many.
func TestMissing(t *testing.T) {
	x := models.NewMatrix([]string{"a"}, 400)
	y := make([]float64, 400)
	for i := range y {
		x.Data[i] = float64(i % 10)
		y[i] = float64(b2i(i%10 >= 7))
		if i%4 == 0 {
			x.Data[i], y[i] = math.NaN(), 1
		}
		if i%97 == 0 {
			y[i] = 1 - y[i]
		}
	}
	p := small()
	p.Categorical = nil
	at := models.Matrix{Names: x.Names, Data: []float64{0, 9, math.NaN()}}
	if got := predict(t, fit(t, p, x, y), at); !(got[0] < .3 && got[1] > .6 && got[2] > .6) {
		t.Errorf("0, 9 and a missing value are predicted %v", got)
	}
	for i := range y {
		if x.Data[i] != x.Data[i] {
			x.Data[i], y[i] = 0, 0
		}
	}
	if got := predict(t, fit(t, p, x, y), at); got[2] != got[0] {
		t.Errorf("without missing values in training, most rows being 0: %v", got)
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Whatever else a row holds, the score keeps to its columns' directions, though
// the labels rise and fall with the column, and differently beside other values.
func TestMonotone(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	const n = 4000
	x := models.NewMatrix([]string{"wave", "other", "side"}, n)
	y := make([]float64, n)
	for i := range n {
		row := x.Row(i)
		row[0], row[1], row[2] = 10*r.Float64(), r.NormFloat64(), float64(r.IntN(3))
		y[i] = row[0]/3 + 2*math.Sin(2*row[0]+row[2]) + row[1]*row[0]/5 + .3*r.NormFloat64()
	}
	p := gbdt.DefaultParams()
	p.Loss = gbdt.Squared
	violations := func(m *gbdt.Model, sign float64) (n int) {
		probe := models.NewMatrix(x.Names, 100)
		for i := range 200 {
			for k := range 100 {
				copy(probe.Row(k), x.Row(i))
				probe.Row(k)[0] = float64(k) / 10
			}
			s := predict(t, m, probe)
			for k := 1; k < len(s); k++ {
				if sign*(s[k]-s[k-1]) < 0 {
					n++
				}
			}
		}
		return n
	}
	off := func(m *gbdt.Model) (sum float64) {
		for i, v := range predict(t, m, x) {
			sum += (v - y[i]) * (v - y[i]) / n
		}
		return sum
	}
	if violations(fit(t, p, x, y), 1) < 1000 {
		t.Error("the test has no teeth: without the constraint the score hardly falls")
	}
	for _, sign := range []int{1, -1} {
		p.Monotone = map[string]int{"wave": sign}
		m := fit(t, p, x, y)
		if n := violations(m, float64(sign)); n > 0 {
			t.Errorf("direction %d: %d steps the other way", sign, n)
		}
		// What the column may still say is learnt: rising, nearly all of its trend.
		if miss := off(m); sign == 1 && miss > 1.4 {
			t.Errorf("squared error %v", miss)
		}
	}
}

// Categories without order are learnt as such; unseen ones go right, as missing ones do.
func TestCategories(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	n := 5000
	x := models.NewMatrix([]string{"shop", "noise"}, n)
	y := make([]float64, n)
	rate := make([]float64, 300)
	for k := range rate {
		rate[k] = []float64{.1, .8}[hashBit(k)]
	}
	for i := range n {
		k := int(300 * math.Pow(r.Float64(), 2))
		x.Row(i)[0], x.Row(i)[1] = float64(k), r.NormFloat64()
		y[i] = float64(b2i(r.Float64() < rate[k]))
	}
	p := small()
	p.Categorical = nil
	as := logLoss(t, y, predict(t, fit(t, p, x, y), x))
	p.Categorical = []string{"shop"}
	m := fit(t, p, x, y)
	is := logLoss(t, y, predict(t, m, x))
	if is > .93*as {
		t.Errorf("log-loss %v as categories, %v as numbers", is, as)
	}
	got := predict(t, m, models.Matrix{Names: x.Names, Data: []float64{301, 0, 65535, 0, math.NaN(), 0}})
	if got[0] != got[1] || got[1] != got[2] {
		t.Errorf("unseen and missing categories are predicted %v", got)
	}
	for _, v := range []float64{-1, .5, 65536} {
		bad := models.Matrix{Names: x.Names, Data: slices.Clone(x.Data)}
		bad.Row(9)[0] = v
		if _, _, err := gbdt.Fit(t.Context(), p, bad, y); err == nil || !strings.Contains(err.Error(), "row 9, column 0 (shop)") {
			t.Errorf("category %v: %v", v, err)
		}
		if _, err := m.Predict(nil, bad); err == nil || !strings.Contains(err.Error(), "row 9, column 0 (shop)") {
			t.Errorf("category %v: %v", v, err)
		}
	}
}

// Rows that were not drawn for a tree get its values too: what is left to learn is
// then known, and a difference between two groups is learnt without overshooting.
func TestRowsNotDrawn(t *testing.T) {
	x := models.NewMatrix([]string{"flag", "category"}, 2000)
	y := make([]float64, 2000)
	for i := range y {
		x.Row(i)[0], x.Row(i)[1] = float64(i%2), float64(i%3)
		y[i] = 10*float64(i%2) + float64(i%3)
	}
	p := gbdt.DefaultParams()
	p.Loss, p.Trees, p.LearningRate, p.RowFraction, p.L2 = gbdt.Squared, 60, .3, .3, 0
	for _, categorical := range [][]string{nil, {"category"}} {
		p.Categorical = categorical
		for i, v := range predict(t, fit(t, p, x, y), x) {
			if math.Abs(v-y[i]) > 1e-3 {
				t.Fatalf("row %d is predicted %v, want %v", i, v, y[i])
			}
		}
	}
}

// Depth, Hessians and columns keep to their limits, which bind here.
func TestLimits(t *testing.T) {
	x, y := simulate(4000, 14)
	p := small()
	p.MaxDepth = 2
	for k, tree := range fit(t, p, x, y).Trees {
		for i := range tree.Column {
			for _, c := range []int32{tree.Left[i], tree.Right[i]} {
				if c > 0 && (tree.Left[c] >= 0 || tree.Right[c] >= 0) {
					t.Fatalf("tree %d is deeper than two splits", k)
				}
			}
		}
	}
	p = small()
	p.Trees, p.MinLeafHessian, p.Leaves = 1, 60, 31
	m := fit(t, p, x, y)
	rate := 1 / (1 + math.Exp(-m.Base)) // of every row, before the first tree
	least := slices.Min(m.Trees[0].LeafCover) * rate * (1 - rate)
	if least < 60 || least > 120 || len(m.Trees[0].Value) < 5 {
		t.Errorf("%d leaves, the least of Hessian %v", len(m.Trees[0].Value), least)
	}
	p = small()
	p.ColumnFraction = 1. / 6
	used := map[int32]bool{}
	for k, tree := range fit(t, p, x, y).Trees {
		for _, c := range tree.Column {
			used[c] = true
			if c != tree.Column[0] {
				t.Fatalf("tree %d splits on columns %v, of which one was to be drawn", k, tree.Column)
			}
		}
	}
	if len(used) < 3 {
		t.Errorf("fifteen trees drew %d columns of six", len(used))
	}
}

// Few categories of many may go left whichever way they differ: one split parts ten
// poor ones, and another ten rich ones, from a hundred.
func TestFewCategories(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 8))
	for _, rate := range []float64{.05, .95} {
		x := models.NewMatrix([]string{"shop"}, 6000)
		y := make([]float64, 6000)
		for i := range y {
			k := r.IntN(100)
			x.Data[i] = float64(k)
			y[i] = float64(b2i(r.Float64() < .5))
			if k%10 == 7 {
				y[i] = float64(b2i(r.Float64() < rate))
			}
		}
		p := small()
		p.Categorical, p.Trees, p.Leaves, p.MaxCategories = []string{"shop"}, 1, 2, 12
		tree := fit(t, p, x, y).Trees[0]
		if got := tree.Categories[0]; !slices.Equal(got, []int32{7, 17, 27, 37, 47, 57, 67, 77, 87, 97}) {
			t.Errorf("rate %v: categories %v go left", rate, got)
		}
	}
}

func hashBit(k int) int { return int(uint32(k) * 2654435761 >> 31) }

func TestEarlyStopping(t *testing.T) {
	x, y := simulate(1500, 9)
	vx, vy := simulate(1500, 10)
	p := small()
	p.Trees, p.LearningRate, p.Patience, p.Leaves = 400, .3, 10, 31
	m, warnings, err := gbdt.FitSample(t.Context(), p, gbdt.Sample{X: x, Y: y}, gbdt.Sample{X: vx, Y: vy})
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	n := len(m.Trees)
	if len(m.Validation) != n+10 || n < 3 || n > 200 {
		t.Fatalf("%d trees kept of %d", n, len(m.Validation))
	}
	if best := slices.Min(m.Validation); m.Validation[n-1] != best {
		t.Errorf("kept %d trees at %v, the least is %v", n, m.Validation[n-1], best)
	}
	if got := logLoss(t, vy, predict(t, m, vx)); math.Abs(got-m.Validation[n-1]) > 1e-12 {
		t.Errorf("the model's loss is %v, it says %v", got, m.Validation[n-1])
	}
	p.Trees = 3
	if _, warnings, err = gbdt.FitSample(t.Context(), p, gbdt.Sample{X: x, Y: y}, gbdt.Sample{X: vx, Y: vy}); err != nil || len(warnings) != 1 || warnings[0].Code != "gbdt.not_stopped" {
		t.Errorf("three trees: %v, %v; want gbdt.not_stopped", warnings, err)
	}
}

// The other losses beat a constant; predictions of squared loss add up to the
// labels, Tweedie's are positive.
func TestAmounts(t *testing.T) {
	x, bought := simulate(6000, 12)
	r := rand.New(rand.NewPCG(2, 2))
	y := make([]float64, len(bought))
	var sum float64
	for i := range y {
		y[i] = bought[i] * x.Row(i)[0] * math.Exp(r.NormFloat64())
		sum += y[i]
	}
	for _, loss := range []gbdt.Loss{gbdt.Squared, gbdt.Tweedie} {
		p := small()
		p.Loss, p.Trees, p.MinLeafRows, p.L2 = loss, 60, 20, 0
		p.Workers = 2
		m := fit(t, p, x, y)
		var got, miss, constant float64
		for i, v := range predict(t, m, x) {
			got += v
			miss += (v - y[i]) * (v - y[i])
			constant += (sum/float64(len(y)) - y[i]) * (sum/float64(len(y)) - y[i])
			if loss == gbdt.Tweedie && v <= 0 {
				t.Fatalf("row %d is expected to spend %v", i, v)
			}
		}
		if miss > .8*constant {
			t.Errorf("%s: squared error %v, of a constant %v", loss, miss, constant)
		}
		if loss == gbdt.Squared && math.Abs(got/sum-1) > 1e-6 {
			t.Errorf("%s: predictions sum to %v, labels to %v", loss, got, sum)
		}
		again := new(gbdt.Model)
		if err := json.Unmarshal([]byte(save(t, m)), again); err != nil || !slices.Equal(predict(t, again, x), predict(t, m, x)) {
			t.Errorf("%s: loaded, it predicts otherwise: %v", loss, err)
		}
		p.Workers = 1
		if save(t, fit(t, p, x, y)) != save(t, m) {
			t.Errorf("%s: another number of workers made another model", loss)
		}
	}
}

func TestNothingToLearn(t *testing.T) {
	x := models.NewMatrix([]string{"flat", "empty"}, 300)
	y := make([]float64, 300)
	for i := range y {
		x.Row(i)[1] = math.NaN()
		y[i] = float64(b2i(i%3 == 0))
	}
	m, warnings, err := gbdt.Fit(t.Context(), small2(), x, y)
	if err != nil {
		t.Fatal(err)
	}
	codes := fmt.Sprint(warnings)
	if !strings.Contains(codes, "gbdt.constant_columns") || !strings.Contains(codes, "flat, empty") || !strings.Contains(codes, "gbdt.no_splits") {
		t.Errorf("warnings %v", warnings)
	}
	for _, v := range predict(t, m, x) {
		if math.Abs(v-1./3) > 1e-12 {
			t.Fatalf("predicted %v", v)
		}
	}
	// Too few rows for two leaves.
	x, y = simulate(30, 1)
	p := small2()
	p.MinLeafRows = 20
	if _, warnings, err = gbdt.Fit(t.Context(), p, x, y); err != nil || !strings.Contains(fmt.Sprint(warnings), "gbdt.no_splits") {
		t.Errorf("30 rows: %v, %v", warnings, err)
	}
}

func small2() gbdt.Params {
	p := small()
	p.Categorical = nil
	return p
}

func TestErrors(t *testing.T) {
	x, y := simulate(200, 1)
	ones := make([]float64, len(y))
	if _, _, err := gbdt.Fit(t.Context(), small(), x, ones); !errors.Is(err, gbdt.ErrOneClass) {
		t.Errorf("labels all 0: %v", err)
	}
	p := small()
	p.Loss = gbdt.Tweedie
	if _, _, err := gbdt.Fit(t.Context(), p, x, ones); !errors.Is(err, gbdt.ErrOneClass) {
		t.Errorf("amounts all 0: %v", err)
	}
	ones[3] = -1
	if _, _, err := gbdt.Fit(t.Context(), p, x, ones); err == nil || !strings.Contains(err.Error(), "row 3: label -1 must be >= 0") {
		t.Errorf("a negative amount: %v", err)
	}
	p = small()
	p.Categorical = []string{"nowhere"}
	if _, _, err := gbdt.Fit(t.Context(), p, x, y); err == nil || !strings.Contains(err.Error(), `"nowhere"`) {
		t.Errorf("an unknown categorical column: %v", err)
	}
	p = small()
	p.Monotone = map[string]int{"nowhere": 1}
	if _, _, err := gbdt.Fit(t.Context(), p, x, y); err == nil || !strings.Contains(err.Error(), `"nowhere"`) {
		t.Errorf("an unknown monotone column: %v", err)
	}
	other := models.Matrix{Names: slices.Clone(x.Names), Data: x.Data}
	other.Names[0] = "others"
	if _, _, err := gbdt.FitSample(t.Context(), small(), gbdt.Sample{X: x, Y: y}, gbdt.Sample{X: other, Y: y}); err == nil {
		t.Error("a validation sample of other columns was accepted")
	}
	if _, _, err := gbdt.FitSample(t.Context(), small(), gbdt.Sample{X: x, Y: y}, gbdt.Sample{X: x, Y: y[1:]}); err == nil || !strings.Contains(err.Error(), "validation: 199 labels") {
		t.Errorf("a validation sample short of a label: %v", err)
	}
	err := gbdt.Params{Loss: "hinge", L2: math.NaN(), RowFraction: 2, MaxBins: 300, Monotone: map[string]int{"a": 2}}.Validate()
	for _, want := range []string{"Loss (hinge)", "TweediePower (0)", "Trees (0) must be >= 1", "LearningRate (0)", "Leaves (0)", "MaxDepth", "MinLeafRows",
		"L2 (NaN)", "MaxBins (300) must be 2 to 255", "BinRows", "RowFraction (2)", "ColumnFraction (0)", "MaxCategories", `Monotone["a"] (2)`, "Patience", "Workers"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate does not mention %q: %v", want, err)
		}
	}
}

// A saved model that is no tree is refused: a loop would never end.
func TestLoadRefusesLoops(t *testing.T) {
	x, y := simulate(500, 1)
	m := fit(t, small(), x, y)
	for name, spoil := range map[string]func(tree *gbdt.Tree){
		"a loop":          func(tree *gbdt.Tree) { tree.Left[1] = 0 },
		"a shared leaf":   func(tree *gbdt.Tree) { tree.Left[0] = tree.Right[0] },
		"no such column":  func(tree *gbdt.Tree) { tree.Column[0] = 6 },
		"no cover":        func(tree *gbdt.Tree) { tree.Cover[2] = 0 },
		"no such leaf":    func(tree *gbdt.Tree) { tree.Left[len(tree.Left)-1] = -100 },
		"a missing value": func(tree *gbdt.Tree) { tree.Value = tree.Value[1:] },
	} {
		bad := new(gbdt.Model)
		if err := json.Unmarshal([]byte(save(t, m)), bad); err != nil {
			t.Fatal(err)
		}
		spoil(&bad.Trees[3])
		if err := json.Unmarshal([]byte(save(t, bad)), new(gbdt.Model)); err == nil || !strings.Contains(err.Error(), "tree 3") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func ExampleFit() {
	x := models.Matrix{Names: []string{"days_since_visit"}}
	var churned []float64
	for day := range 100 {
		x.Data = append(x.Data, float64(day))
		churned = append(churned, float64(b2i(day > 30 && day%5 != 0)))
	}
	m, _, err := gbdt.Fit(context.Background(), gbdt.DefaultParams(), x, churned)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := m.Predict(nil, models.Matrix{Names: x.Names, Data: []float64{5, 60, math.NaN()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.2f\n", p)
	// Output: [0.01 0.78 0.88]
}

// Any processor, with assembly or without, makes this model: run the tests with
// -tags purego too. Its data come from integers alone, because functions such as
// math.Exp differ between processors.
func TestSameBytesEverywhere(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	x := models.NewMatrix([]string{"a", "b", "c", "d", "e", "f", "g", "h", "i"}, 3000)
	y := make([]float64, 3000)
	for i := range y {
		row := x.Row(i)
		for j := range row {
			row[j] = float64(r.IntN(1<<(j+2))) / 8
			if r.IntN(9) == 0 {
				row[j] = math.NaN()
			}
		}
		y[i] = float64(b2i(row[3]+row[4] > 3 != (r.IntN(5) == 0)))
	}
	const want = "3a3a2797611c47469bcaad96ba2f42f058fd80dd4c788fb89a90b8ba6dafc876"
	m := fit(t, small2(), x, y)
	sum := sha256.New()
	sum.Write([]byte(save(t, m)))
	for _, p := range predict(t, m, x) {
		fmt.Fprintln(sum, p)
	}
	if got := fmt.Sprintf("%x", sum.Sum(nil)); got != want {
		t.Errorf("model and predictions hash to %s, want %s", got, want)
	}
}

func BenchmarkFit(b *testing.B) {
	for _, n := range []int{1e4, 1e5} {
		x, y := simulate(n, 1)
		wide := models.Matrix{} // 48 columns: eight shifted copies
		for c := range 8 {
			for _, name := range x.Names {
				wide.Names = append(wide.Names, fmt.Sprint(name, c))
			}
		}
		for i := range n {
			for c := range 8 {
				wide.Data = append(wide.Data, x.Row((i+c*c)%n)...)
			}
		}
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("n=%d/d=48/workers=%d", n, workers), func(b *testing.B) {
				p := gbdt.DefaultParams()
				p.Trees, p.Workers = 20, workers
				for b.Loop() {
					fit(b, p, wide, y)
				}
				b.ReportMetric(float64(n*p.Trees)*float64(b.N)/b.Elapsed().Seconds(), "row-trees/s")
			})
		}
	}
}

func BenchmarkPredict(b *testing.B) {
	x, y := simulate(50000, 1)
	for _, categorical := range []bool{false, true} {
		p := gbdt.DefaultParams()
		if categorical {
			p.Categorical = []string{"channel"}
		}
		m := fit(b, p, x, y)
		b.Run(fmt.Sprintf("trees=100/categorical=%v", categorical), func(b *testing.B) {
			dst := make([]float64, len(y))
			for b.Loop() {
				if _, err := m.Predict(dst, x); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(y))*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
