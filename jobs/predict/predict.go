// Package predict answers a target: it trains on past snapshots, measures the
// model on one that it has not seen beside the recency rule, and scores the
// customers of the run's date with whichever was better.
package predict

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/jobs/targets"
	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/baseline"
	"github.com/shoal-data/shoal/models/logit"
	"github.com/shoal-data/shoal/models/metrics"
	"github.com/shoal-data/shoal/models/transform"
)

// Names of the models of a target.
const (
	Logistic = "logistic"
	Recency  = "recency"
)

// Params say how models are trained.
type Params struct {
	L2           float64 // penalty of the logistic model
	MinPositives int     // training customers of either outcome, at least
	Seed         uint64  // of bootstrap intervals
	Workers      int
}

// A Question is a target with everything automatic resolved, and when it can
// be trained and tested.
type Question struct {
	targets.Target
	Schedule targets.Schedule
	Skip     string // why it cannot be modelled; empty when it can
}

// Input is what a question is answered from.
type Input struct {
	Features []string        // columns to learn from
	Score    *features.Table // the customers to score, with EligibleColumn
	// Past is the table of a snapshot of the schedule, with the target's label.
	Past func(timeline.AsOf) *features.Table
}

// EligibleColumn is the column that is 1 for customers a target is scored for.
func EligibleColumn(target string) string { return "eligible." + target }

// An Answer is a target's prediction for every customer.
type Answer struct {
	targets.Target
	Probability []float64 // NaN for who is not eligible, and for all when there is no model
	Percentile  []float64 // (0, 100): share of the scored customers who are less likely
	Metrics     []outputs.Metric
	Summary     Summary
	Warnings    []models.Warning
}

// Summary is a target's model beside its baseline, out of time.
type Summary struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	Role    string `json:"role"`
	Gap     int    `json:"gap_days"`
	Horizon int    `json:"horizon_days"`
	// Eligible customers were active within so many days; 0 is at any time.
	ActiveWithin int            `json:"active_within_days"`
	Skipped      string         `json:"skipped,omitempty"` // why there is no model
	TestDate     string         `json:"test_date,omitempty"`
	TestRows     int            `json:"test_rows,omitempty"`
	Positives    int            `json:"test_positives,omitempty"`
	Champion     string         `json:"champion,omitempty"`
	AUC          outputs.Figure `json:"auc"`
	LogLoss      outputs.Figure `json:"log_loss"`
	ECE          outputs.Figure `json:"ece"`
	Scored       int            `json:"scored_customers"`
}

func (a *Answer) warn(code, format string, args ...any) {
	a.Warnings = append(a.Warnings, models.Warning{Code: code, Message: fmt.Sprintf(format, args...)})
}

// skip leaves the target without a model.
func (a *Answer) skip(format string, args ...any) {
	a.Summary.Skipped = fmt.Sprintf(format, args...)
	a.warn("target.none", "no model for target %s: %s; its columns are null", a.Name, a.Summary.Skipped)
}

// Run answers one question.
func Run(ctx context.Context, p Params, q Question, in Input) (*Answer, error) {
	n := in.Score.Rows()
	a := &Answer{Target: q.Target, Probability: make([]float64, n), Percentile: make([]float64, n)}
	for i := range n {
		a.Probability[i], a.Percentile[i] = math.NaN(), math.NaN()
	}
	a.Summary = Summary{Name: q.Name, Kind: q.Kind.String(), Role: q.RoleName(), Gap: q.Gap, Horizon: q.Horizon, ActiveWithin: q.ActiveWithin}
	if q.Skip != "" {
		a.skip("%s", q.Skip)
		return a, nil
	}
	train, err := labelled(in, q, q.Schedule.Train)
	if err != nil {
		return nil, err
	}
	if pos := positives(train.y); pos < p.MinPositives || len(train.y)-pos < p.MinPositives {
		a.skip("%d training customers over %d snapshots with %d positives; models.min_positives asks for %d of either outcome", len(train.y), len(q.Schedule.Train), pos, p.MinPositives)
		return a, nil
	}
	fitted, warnings, err := fit(ctx, q, &train, p)
	if err != nil {
		return nil, err
	}
	test, err := labelled(in, q, []timeline.AsOf{q.Schedule.Test})
	if err != nil {
		return nil, err
	}
	a.Summary.TestDate, a.Summary.TestRows, a.Summary.Positives = q.Schedule.Test.String(), len(test.y), positives(test.y)
	a.audit(q, train.y, test.y)
	a.Warnings = append(a.Warnings, warnings...)
	if err := a.judge(ctx, p, q, fitted, test); err != nil {
		return nil, err
	}
	return a, a.score(in, q, fitted)
}

// examples are labelled customers of one or more snapshots.
type examples struct {
	x models.Matrix
	y []float64
}

func labelled(in Input, q Question, at []timeline.AsOf) (examples, error) {
	e := examples{x: models.Matrix{Names: in.Features}}
	labels := make([][]float64, len(at))
	rows := 0
	for i, a := range at {
		var err error
		if labels[i], err = in.Past(a).Values(targets.LabelColumn(q.Name)); err != nil {
			return e, err
		}
		for _, y := range labels[i] {
			if !math.IsNaN(y) {
				rows++
			}
		}
	}
	e.x.Data, e.y = make([]float64, 0, rows*len(in.Features)), make([]float64, 0, rows)
	for i, a := range at {
		row := 0
		for part := range in.Past(a).Parts() {
			label := labels[i][row:][:part.Rows()]
			var err error
			if e.x.Data, err = part.Matrix(e.x.Data, in.Features, func(k int) bool { return !math.IsNaN(label[k]) }); err != nil {
				return e, err
			}
			row += part.Rows()
		}
		for _, y := range labels[i] {
			if !math.IsNaN(y) {
				e.y = append(e.y, y)
			}
		}
	}
	return e, nil
}

func positives(y []float64) int {
	n := 0
	for _, v := range y {
		if v == 1 {
			n++
		}
	}
	return n
}

// audit warns of labels that a reader of the metrics should know about.
func (a *Answer) audit(q Question, train, test []float64) {
	if len(test) == 0 {
		a.warn("target.no_test", "target %s: nobody is eligible at the test snapshot %s; the model is untested", q.Name, q.Schedule.Test)
		return
	}
	before, now := float64(positives(train))/float64(len(train)), float64(positives(test))/float64(len(test))
	if math.Abs(before-now) > 0.1 {
		a.warn("target.shift", "target %s: %.0f%% of training customers are positive and %.0f%% at the test snapshot %s: the behaviour is moving, so probabilities may be off by as much",
			q.Name, 100*before, 100*now, q.Schedule.Test)
	}
}

// fittedTarget is a target's model and the rule beside it.
type fittedTarget struct {
	prepared *transform.Model
	logit    *logit.Model
	recency  *baseline.Model
}

// fit learns from the examples, whose matrix it uses up: it is the largest thing
// in memory.
func fit(ctx context.Context, q Question, train *examples, p Params) (*fittedTarget, []models.Warning, error) {
	var f fittedTarget
	tp := transform.DefaultParams()
	tp.Workers = p.Workers
	var err error
	if f.prepared, _, err = transform.Fit(ctx, tp, train.x); err != nil {
		return nil, nil, err
	}
	if f.recency, _, err = baseline.Fit(ctx, baseline.DefaultParams(q.Recency()), train.x, train.y); err != nil {
		return nil, nil, err
	}
	z, err := f.prepared.Replace(train.x)
	if err != nil {
		return nil, nil, err
	}
	train.x = models.Matrix{}
	lp := logit.DefaultParams()
	lp.L2, lp.Workers = p.L2, p.Workers
	var warnings []models.Warning
	if f.logit, warnings, err = logit.Fit(ctx, lp, z, train.y); err != nil {
		return nil, nil, err
	}
	return &f, warnings, nil
}

// predict is the probability by each model, for rows of raw features.
func (f *fittedTarget) predict(model string, x models.Matrix) ([]float64, error) {
	if model == Recency {
		return f.recency.Predict(nil, x)
	}
	z, err := f.prepared.Apply(models.Matrix{}, x)
	if err != nil {
		return nil, err
	}
	return f.logit.Predict(nil, z)
}

// judge measures both models on the snapshot that neither has seen and names
// the one of lower log-loss.
func (a *Answer) judge(ctx context.Context, p Params, q Question, f *fittedTarget, test examples) error {
	a.Summary.Champion = Logistic
	best := math.Inf(1)
	if len(test.y) == 0 {
		return nil
	}
	for _, model := range []string{Logistic, Recency} {
		predicted, err := f.predict(model, test.x)
		if err != nil {
			return err
		}
		b, err := metrics.NewBinary(test.y, predicted)
		if err != nil {
			return err
		}
		figures, err := a.measure(ctx, p, q, model, b)
		if err != nil {
			return err
		}
		if loss := figures["log_loss"]; loss != nil && *loss < best {
			a.Summary.Champion, best = model, *loss
		}
		for name, to := range map[string]*outputs.Figure{"auc": &a.Summary.AUC, "log_loss": &a.Summary.LogLoss, "ece": &a.Summary.ECE} {
			if model == Logistic {
				to.Model = figures[name]
			} else {
				to.Baseline = figures[name]
			}
		}
	}
	for i := range a.Metrics {
		a.Metrics[i].Champion = a.Metrics[i].Model == a.Summary.Champion
	}
	if a.Summary.Champion == Recency {
		a.warn("target.baseline_wins", "target %s: the logistic model does not beat the recency rule out of time (log-loss %.4f against %.4f), so the rule's probabilities are published",
			q.Name, *a.Summary.LogLoss.Model, *a.Summary.LogLoss.Baseline)
	}
	return nil
}

// measure appends a model's figures and returns them by name, nil where one is
// not defined.
func (a *Answer) measure(ctx context.Context, p Params, q Question, model string, b *metrics.Binary) (map[string]*float64, error) {
	bp := metrics.DefaultBootstrapParams()
	bp.Seed, bp.Workers, bp.Replicates = p.Seed, p.Workers, 200
	figures := map[string]*float64{}
	for _, f := range []struct {
		name     string
		of       func(*metrics.Binary) (float64, bool)
		interval bool
	}{
		{"auc", (*metrics.Binary).AUC, true},
		{"average_precision", (*metrics.Binary).AveragePrecision, false},
		{"log_loss", (*metrics.Binary).LogLoss, true},
		{"brier", (*metrics.Binary).Brier, false},
		{"ks", (*metrics.Binary).KS, false},
		{"top_decile_lift", (*metrics.Binary).TopDecileLift, false},
		{"calibration_in_the_large", (*metrics.Binary).CalibrationInTheLarge, false},
		{"ece", func(b *metrics.Binary) (float64, bool) { return b.ExpectedCalibrationError(10, metrics.EqualCount) }, false},
		{"prevalence", (*metrics.Binary).Prevalence, false},
	} {
		v, ok := f.of(b)
		m := outputs.Metric{Target: q.Name, Model: model, Split: "test", Snapshot: q.Schedule.Test.String(), Name: f.name, Value: math.NaN(), Rows: b.Rows(), Positives: b.Positives()}
		if ok {
			m.Value = v
			figures[f.name] = &v
		}
		if ok && f.interval {
			iv, ok, err := metrics.Bootstrap(ctx, bp, b.Rows(), nil, func(times []int32) (float64, bool) { return f.of(b.Resample(times)) })
			if err != nil {
				return nil, err
			}
			m.Low, m.High, m.HasInterval = iv.Low, iv.High, ok
		}
		a.Metrics = append(a.Metrics, m)
	}
	return figures, nil
}

// score applies the champion to the eligible customers, batch by batch.
func (a *Answer) score(in Input, q Question, f *fittedTarget) error {
	eligible, err := in.Score.Values(EligibleColumn(q.Name))
	if err != nil {
		return err
	}
	row := 0
	var data []float64
	for part := range in.Score.Parts() {
		n := part.Rows()
		if data, err = part.Matrix(data[:0], in.Features, func(i int) bool { return eligible[row+i] == 1 }); err != nil {
			return err
		}
		if len(data) > 0 {
			p, err := f.predict(a.Summary.Champion, models.Matrix{Names: in.Features, Data: data})
			if err != nil {
				return err
			}
			for i := range n {
				if eligible[row+i] == 1 {
					a.Probability[row+i] = p[0]
					p = p[1:]
					a.Summary.Scored++
				}
			}
		}
		row += n
	}
	percentiles(a.Probability, a.Percentile)
	return nil
}

// percentiles writes, for every probability that is not NaN, the share of the
// others below it in percent; equal probabilities share the middle of theirs.
func percentiles(p, out []float64) {
	var order []int
	for i, v := range p {
		if !math.IsNaN(v) {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case p[a] < p[b]:
			return -1
		case p[a] > p[b]:
			return 1
		}
		return a - b
	})
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && p[order[j]] == p[order[i]] {
			j++
		}
		share := 100 * (float64(i) + float64(j-i)/2) / float64(len(order))
		for ; i < j; i++ {
			out[order[i]] = share
		}
	}
}
