package evidence

import (
	"math"
	"slices"

	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/models/metrics"
)

// Kinds of curve.
const (
	curveROC       = "roc"
	curvePrecision = "precision_recall"
	curveGains     = "gains"
	curveBudget    = "budget"
	curveScores    = "scores"
)

const (
	curveSteps = 100 // a curve has a point more
	scoreBins  = 50
)

// A CurvePoint is a point of a curve of a model: a row of model_curves. What is not
// defined is NaN.
type CurvePoint struct {
	Target, Model, Split, Snapshot string
	Champion                       bool
	Curve                          string
	Point                          int
	X, Y                           float64
	Customers, Positives, Expected float64
}

// Tested is what a model's ranking and probabilities are worth on the test snapshot.
func Tested(target, model, snapshot string, b *metrics.Binary) (points []CurvePoint) {
	nan := math.NaN()
	at := CurvePoint{Target: target, Model: model, Split: "test", Snapshot: snapshot, Customers: nan, Positives: nan, Expected: nan}
	add := func(c CurvePoint) { points = append(points, c) }
	for _, c := range []struct {
		name string
		of   []metrics.Point
	}{{curveROC, b.ROC(curveSteps)}, {curvePrecision, b.PrecisionRecall(curveSteps)}} {
		for i, p := range c.of {
			at.Curve, at.Point, at.X, at.Y = c.name, i, p.X, p.Y
			add(at)
		}
	}
	var budget []CurvePoint
	for i := range curveSteps + 1 {
		at.Point, at.Customers = i, float64(i)*float64(b.Rows())/curveSteps
		at.Positives, at.Expected = b.Head(at.Customers)
		if b.Positives() > 0 {
			at.Curve, at.X, at.Y = curveGains, float64(i)/curveSteps, at.Positives/float64(b.Positives())
			add(at)
		}
		at.Curve, at.X, at.Y = curveBudget, at.Customers, at.Positives
		budget = append(budget, at)
	}
	points = append(points, budget...)
	at.Expected = nan
	for i, s := range b.Distribution(scoreBins) {
		at.Curve, at.Point, at.X, at.Y = curveScores, i, s.Low, float64(s.Rows)/float64(b.Rows())
		at.Customers, at.Positives = float64(s.Rows), float64(s.Positives)
		add(at)
	}
	return points
}

// Forecast is what contacting the customers of the run's date should bring, by the probabilities of the
// champion, and how they are spread. Customers of probability NaN are not among them.
func Forecast(target, model, date string, probability []float64) (points []CurvePoint) {
	p := make([]float64, 0, len(probability))
	for _, v := range probability {
		if !math.IsNaN(v) {
			p = append(p, v)
		}
	}
	if len(p) == 0 {
		return nil
	}
	slices.SortFunc(p, func(a, b float64) int {
		switch {
		case a > b:
			return -1
		case a < b:
			return 1
		}
		return 0
	})
	nan := math.NaN()
	at := CurvePoint{Target: target, Model: model, Split: "score", Snapshot: date, Champion: true, Curve: curveBudget, Positives: nan}
	sum, taken := 0.0, 0
	for i := range curveSteps + 1 {
		k := float64(i) * float64(len(p)) / curveSteps
		for ; taken < int(k); taken++ {
			sum += p[taken]
		}
		at.Point, at.X, at.Customers, at.Expected = i, k, k, sum
		if part := k - float64(taken); part > 0 && taken < len(p) {
			at.Expected += part * p[taken]
		}
		at.Y = at.Expected
		points = append(points, at)
	}
	var bins [scoreBins]int
	for _, v := range p {
		bins[min(int(v*scoreBins), scoreBins-1)]++
	}
	at.Curve, at.Expected = curveScores, nan
	for i, n := range bins {
		at.Point, at.X, at.Y, at.Customers = i, float64(i)/scoreBins, float64(n)/float64(len(p)), float64(n)
		points = append(points, at)
	}
	return points
}

// CurveTable holds every curve, point by point. Columns of stamp follow the first.
func CurveTable(points []CurvePoint, stamp []outputs.Column) outputs.Table {
	l := outputs.Layout[CurvePoint]{Rows: points}
	number := func(name, unit, meaning string, v func(c CurvePoint) float64) outputs.Column {
		return l.Float(name, unit, meaning, v)
	}
	return l.Table("model_curves", l.Text("target", "What is predicted.", func(c CurvePoint) string { return c.Target }), stamp, []outputs.Column{
		l.Text("model", "The method.", func(c CurvePoint) string { return c.Model }),
		l.Text("split", "test: out of time, on a snapshot that the model has not seen; score: the run's own date, whose outcome is to come.", func(c CurvePoint) string { return c.Split }),
		l.Text("snapshot", "The as-of date that is predicted from, YYYY-MM-DD.", func(c CurvePoint) string { return c.Snapshot }),
		l.Text("curve", "roc: y is the true positive rate at the false positive rate x. "+
			"precision_recall: y is the precision at the recall x. "+
			"gains: y is the share of all positives among the share x of the customers whom the model ranks highest; y/x is the lift. "+
			"budget: y is how many positives are among the x customers ranked highest: those that there were at the test snapshot, those to be expected at the run's date. "+
			"scores: y is the share of the customers whose probability lies in [x, x + 0.02), at 0.98 with 1.", func(c CurvePoint) string { return c.Curve }),
		outputs.Integer("point", "", "The place on the curve, from 0: 101 points evenly apart in x, 50 for scores. Customers who tie count in part.", func(i int) (int, bool) { return l.Rows[i].Point, true }),
		number("x", "", "See curve.", func(c CurvePoint) float64 { return c.X }),
		number("y", "", "See curve.", func(c CurvePoint) float64 { return c.Y }),
		number("customers", "customers", "gains, budget: the customers ranked highest; scores: the customers of these probabilities.", func(c CurvePoint) float64 { return c.Customers }),
		number("positives", "customers", "Of these, with the outcome; null at the run's date.", func(c CurvePoint) float64 { return c.Positives }),
		number("expected_positives", "customers", "gains, budget: the sum of their probabilities.", func(c CurvePoint) float64 { return c.Expected }),
		outputs.Boolean("champion", "Whether the scores of the run come from this model.", func(i int) bool { return l.Rows[i].Champion }),
	})
}
