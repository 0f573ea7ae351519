package predict

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/shoal-data/shoal/jobs/predict/evidence"
	"github.com/shoal-data/shoal/models"
)

// curve is the points of a model's curve by place.
func curve(a *Answer, model, split, name string) (points []evidence.CurvePoint) {
	for _, c := range a.Curves {
		if c.Model == model && c.Split == split && c.Curve == name {
			points = append(points, c)
		}
	}
	return points
}

// The curves say what the metrics say: the area under the ROC curve, the lift of the
// first tenth, the prevalence; and the last point of every list holds everybody.
func TestCurvesAgreeWithMetrics(t *testing.T) {
	q, in, _ := world(t, 0.5, 1.5, 1500)
	a, err := run(t, params, q, in)
	if err != nil {
		t.Fatal(err)
	}
	near := func(what string, got, want, tolerance float64) {
		t.Helper()
		if !(math.Abs(got-want) <= tolerance) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	for _, model := range []string{Recency, Logistic, Trees, NaiveBayes, Neighbours, Forest} {
		auc := metric(a, model, "test", "auc")
		rows, yes := float64(auc.Rows), float64(auc.Positives)
		roc := curve(a, model, "test", "roc")
		area := 0.0
		for i := range len(roc) - 1 {
			area += (roc[i].Y + roc[i+1].Y) / 2 * (roc[i+1].X - roc[i].X)
		}
		near(model+": area under the ROC curve", area, auc.Value, .003)
		gains := curve(a, model, "test", "gains")
		near(model+": lift of a tenth", gains[10].Y/gains[10].X, metric(a, model, "test", "top_decile_lift").Value, 1e-9)
		pr := curve(a, model, "test", "precision_recall")
		near(model+": precision at full recall is no less than the prevalence", math.Max(pr[100].Y, yes/rows), pr[100].Y, 0)
		budget := curve(a, model, "test", "budget")
		near(model+": everybody", budget[100].Customers, rows, 0)
		near(model+": all positives", budget[100].Positives, yes, 0)
		near(model+": expected of everybody", budget[100].Expected-yes, metric(a, model, "test", "calibration_in_the_large").Value*rows, 1e-6*rows)
		customers, positives := 0.0, 0.0
		for _, c := range curve(a, model, "test", "scores") {
			customers, positives = customers+c.Customers, positives+c.Positives
			if c.Champion != (model == a.Summary.Champion) {
				t.Fatalf("%+v: the champion is %s", c, a.Summary.Champion)
			}
		}
		near(model+": spread customers", customers, rows, 0)
		near(model+": spread positives", positives, yes, 0)
		for _, n := range []int{len(roc), len(pr), len(gains), len(budget)} {
			near(model+": points", float64(n), 101, 0)
		}
	}
	// At the run's date: the champion's only, and what its probabilities promise.
	sum := 0.0
	for _, p := range a.Probability {
		if !math.IsNaN(p) {
			sum += p
		}
	}
	budget := curve(a, a.Summary.Champion, "score", "budget")
	near("customers to score", budget[100].X, float64(a.Scored), 0)
	near("all that is expected", budget[100].Y, sum, 1e-9*sum)
	slope := math.Inf(1)
	for i := range 100 {
		next := budget[i+1].Y - budget[i].Y
		if next < 0 || next > slope+1e-9 {
			t.Errorf("the budget's curve at %d rises by %v after %v: the best are not first", i, next, slope)
		}
		slope = next
	}
	if len(curve(a, Recency, "score", "budget")) > 0 || a.Summary.Champion == Recency {
		t.Error("a curve of a model that does not score")
	}
	customers := 0.0
	for _, c := range curve(a, a.Summary.Champion, "score", "scores") {
		customers += c.Customers
	}
	near("spread scores", customers, float64(a.Scored), 0)
}

// A linear model's effects rise or fall with the feature, and the one that decides
// ranks first.
func TestEffectsOfFeatures(t *testing.T) {
	q, in, past := world(t, 0.2, 2, 1500)
	missing := func(c map[string][]float64) {
		for i := range c["noise"] {
			if i%4 == 0 {
				c["noise"][i] = math.NaN()
			}
		}
	}
	for day, tab := range past {
		past[day] = remade(t, tab, missing)
	}
	in.Score = remade(t, in.Score, missing)
	a, err := run(t, params, q, in)
	if err != nil {
		t.Fatal(err)
	}
	if a.Summary.Champion != Logistic || a.Effects.Customers != a.Scored {
		t.Fatalf("champion %s, effects of %d customers, %d scored", a.Summary.Champion, a.Effects.Customers, a.Scored)
	}
	if f := a.Effects.Features[0]; f.Feature != "rate" || f.Rank != 1 {
		t.Errorf("the strongest is %+v", f)
	}
	x, err := in.Score.Matrix([]string{"rate"}, func(i int) bool { return !math.IsNaN(a.Probability[i]) })
	if err != nil {
		t.Fatal(err)
	}
	least, most := math.Inf(1), math.Inf(-1)
	for _, v := range x {
		least, most = math.Min(least, v), math.Max(most, v)
	}
	for _, f := range a.Effects.Features {
		customers := 0
		for i, b := range f.Slices {
			customers += b.Customers
			if b.Tenth == 0 && (i > 0 || f.Feature != "noise" || !math.IsNaN(b.Low)) {
				t.Errorf("%s: %+v is not of those without a value", f.Feature, b)
			}
			if b.Mean > b.MeanAbsolute || -b.Mean > b.MeanAbsolute {
				t.Errorf("%s: %+v", f.Feature, b)
			}
			if i > 0 && f.Slices[i-1].Tenth > 0 && b.Low <= f.Slices[i-1].High {
				t.Errorf("%s: tenths overlap: %+v", f.Feature, f.Slices)
			}
			if f.Feature == "rate" {
				if b.Tenth != i+1 || b.Customers < a.Scored/10-1 || b.Customers > a.Scored/10+1 {
					t.Errorf("slice %d of rate: %+v of %d", i, b, a.Scored)
				}
				if i > 0 && b.Mean >= f.Slices[i-1].Mean { // a higher rate, less churn
					t.Errorf("effects of rate do not fall: %+v", f.Slices)
				}
			}
		}
		if customers != a.Scored {
			t.Errorf("%s: %d customers of %d", f.Feature, customers, a.Scored)
		}
		if f.Feature == "rate" && (f.Low() != least || f.High() != most) {
			t.Errorf("rate from %v to %v, want %v to %v", f.Low(), f.High(), least, most)
		}
	}
	// What matters, recomputed from the model's own contributions.
	data, err := in.Score.Matrix(a.Fitted.Columns, func(i int) bool { return !math.IsNaN(a.Probability[i]) })
	if err != nil {
		t.Fatal(err)
	}
	m := a.Fitted.Logistic
	z, err := a.Fitted.Prepared.Apply(models.Matrix{}, models.Matrix{Names: a.Fitted.Columns, Data: data})
	if err != nil {
		t.Fatal(err)
	}
	shares, err := m.Contributions(z)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for i := range shares.Rows() {
		for j, name := range m.Names {
			if name == "rate" {
				sum += math.Abs(shares.Row(i)[j]) / float64(shares.Rows())
			}
		}
	}
	if math.Abs(sum-a.Effects.Features[0].MeanAbsolute) > 1e-9 {
		t.Errorf("mean |effect| of rate %v, want %v", a.Effects.Features[0].MeanAbsolute, sum)
	}
}

// A training date whose outcomes are unlike the other's shows: too few are expected
// there, too many at the other.
func TestHeldOutByDate(t *testing.T) {
	q, in, past := world(t, 0.2, 1, 1500)
	newest := q.Schedule.Train[1]
	past[newest.Today] = remade(t, past[newest.Today], func(c map[string][]float64) {
		r := rand.New(rand.NewPCG(8, 8))
		v := c["label.churn"]
		for i := range v {
			if v[i] == 0 && r.IntN(2) == 0 {
				v[i] = 1
			}
		}
	})
	a, err := run(t, params, q, in)
	if err != nil {
		t.Fatal(err)
	}
	for _, model := range []string{Recency, Logistic, Trees} {
		rows := 0
		for _, at := range q.Schedule.Train {
			got := map[string]float64{}
			for _, m := range a.Metrics {
				if m.Model == model && m.Split == "held_out" && m.Snapshot == at.String() {
					got[m.Name] = m.Value
					if m.Name == "auc" {
						rows += m.Rows
					}
				}
			}
			off := got["calibration_in_the_large"]
			if at == newest && !(off < -.08) || at != newest && !(off > .08) || !(got["prevalence"] > 0) || !(got["auc"] > .5) || !(got["log_loss"] > 0) {
				t.Errorf("%s at %s: %v", model, at, got)
			}
		}
		if rows < 400 || rows > 800 { // a quarter of 2,500 eligible ones
			t.Errorf("%s: %d rows held out", model, rows)
		}
	}
}
