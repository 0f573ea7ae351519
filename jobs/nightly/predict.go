package nightly

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/targets"
	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/baseline"
	"github.com/shoal-data/shoal/models/logit"
	"github.com/shoal-data/shoal/models/metrics"
	"github.com/shoal-data/shoal/models/transform"
)

// Names of the models of a target.
const (
	modelLogit   = "logistic"
	modelRecency = "recency"
)

// A metric is one number about a model: a row of model_metrics.
type metric struct {
	Target, Model, Split, Snapshot, Name string
	Value                                float64
	Low, High                            float64 // 95% interval; NaN when there is none
	HasInterval                          bool
	Rows, Positives                      int
	Champion                             bool
}

// scores are a target's answers for every customer of the run's date.
type scores struct {
	targets.Target
	probability []float64 // NaN for who is not eligible, and for all when there is no model
	percentile  []float64 // (0, 100): share of the scored customers who are less likely
	metrics     []metric
}

// predict trains, tests and applies each target's model beside the recency rule.
func (r *run) predict(ctx context.Context, t *table, q *questions) ([]scores, error) {
	all := make([]scores, 0, len(q.targets))
	err := r.step("predictions", func() error {
		for i, question := range q.targets {
			s, err := r.answer(ctx, t, question)
			if err != nil {
				return fmt.Errorf("target %s: %w", question.Name, err)
			}
			all = append(all, *s)
			r.progress("predictions", int64(i+1), int64(len(q.targets)))
		}
		return nil
	})
	return all, err
}

func (r *run) answer(ctx context.Context, t *table, q question) (*scores, error) {
	s := &scores{Target: q.Target, probability: nans(t.score.Rows()), percentile: nans(t.score.Rows())}
	sum := TargetSummary{Name: q.Name, Kind: q.Kind.String(), Role: q.RoleName(), Gap: q.Gap, Horizon: q.Horizon, ActiveWithin: q.ActiveWithin, Skipped: q.skip}
	defer func() { r.summary.Targets = append(r.summary.Targets, sum) }()
	skip := func(format string, args ...any) (*scores, error) {
		sum.Skipped = fmt.Sprintf(format, args...)
		r.warn(models.Warning{Code: "target.none", Message: fmt.Sprintf("no model for target %s: %s; its columns are null", q.Name, sum.Skipped)})
		return s, nil
	}
	if q.skip != "" {
		return skip("%s", q.skip)
	}

	train, err := labelled(t, q, q.schedule.Train)
	if err != nil {
		return nil, err
	}
	test, err := labelled(t, q, []timeline.AsOf{q.schedule.Test})
	if err != nil {
		return nil, err
	}
	least := r.Config.Models.MinPositives
	if pos := positives(train.y); pos < least || len(train.y)-pos < least {
		return skip("%d training customers over %d snapshots with %d positives; models.min_positives asks for %d of either outcome", len(train.y), len(q.schedule.Train), pos, least)
	}
	sum.TestDate, sum.TestRows, sum.Positives = q.schedule.Test.String(), len(test.y), positives(test.y)
	r.audit(q, train, test)

	fitted, warnings, err := fitTarget(ctx, q, train, r.Config.Models.L2, r.workers)
	r.warn(warnings...)
	if err != nil {
		return nil, err
	}
	champion, err := r.judge(ctx, q, fitted, test, s, &sum)
	if err != nil {
		return nil, err
	}
	sum.Champion = champion
	if err := r.score(t, q, fitted, champion, s); err != nil {
		return nil, err
	}
	for _, p := range s.probability {
		if !math.IsNaN(p) {
			sum.Scored++
		}
	}
	return s, nil
}

// examples are labelled customers of one or more snapshots.
type examples struct {
	x models.Matrix
	y []float64
}

func labelled(t *table, q question, at []timeline.AsOf) (examples, error) {
	var e examples
	for _, a := range at {
		snapshot := t.past[a.Today]
		label, err := snapshot.Values(targets.LabelColumn(q.Name))
		if err != nil {
			return e, err
		}
		x, err := matrix(snapshot, t.features, func(row int) bool { return !math.IsNaN(label[row]) })
		if err != nil {
			return e, err
		}
		e.x.Names = x.Names
		e.x.Data = append(e.x.Data, x.Data...)
		for _, y := range label {
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
func (r *run) audit(q question, train, test examples) {
	if len(test.y) == 0 {
		r.warn(models.Warning{Code: "target.no_test", Message: fmt.Sprintf("target %s: nobody is eligible at the test snapshot %s; the model is untested", q.Name, q.schedule.Test)})
		return
	}
	a, b := float64(positives(train.y))/float64(len(train.y)), float64(positives(test.y))/float64(len(test.y))
	if math.Abs(a-b) > 0.1 {
		r.warn(models.Warning{Code: "target.shift", Message: fmt.Sprintf(
			"target %s: %.0f%% of training customers are positive and %.0f%% at the test snapshot %s: the behaviour is moving, so probabilities may be off by as much", q.Name, 100*a, 100*b, q.schedule.Test)})
	}
}

// fittedTarget is a target's model and the rule beside it.
type fittedTarget struct {
	prepared *transform.Model
	logit    *logit.Model
	recency  *baseline.Model
}

func fitTarget(ctx context.Context, q question, train examples, l2 float64, workers int) (*fittedTarget, []models.Warning, error) {
	var f fittedTarget
	tp := transform.DefaultParams()
	tp.Workers = workers
	var err error
	if f.prepared, _, err = transform.Fit(ctx, tp, train.x); err != nil {
		return nil, nil, err
	}
	z, err := f.prepared.Apply(models.Matrix{}, train.x)
	if err != nil {
		return nil, nil, err
	}
	lp := logit.DefaultParams()
	lp.L2, lp.Workers = l2, workers
	var warnings []models.Warning
	if f.logit, warnings, err = logit.Fit(ctx, lp, z, train.y); err != nil {
		return nil, nil, err
	}
	if f.recency, _, err = baseline.Fit(ctx, baseline.DefaultParams(q.Recency()), train.x, train.y); err != nil {
		return nil, nil, err
	}
	return &f, warnings, nil
}

// predict is the probability by each model, for rows of raw features.
func (f *fittedTarget) predict(model string, x models.Matrix) ([]float64, error) {
	if model == modelRecency {
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
func (r *run) judge(ctx context.Context, q question, f *fittedTarget, test examples, s *scores, sum *TargetSummary) (string, error) {
	champion, best := modelLogit, math.Inf(1)
	if len(test.y) == 0 {
		return champion, nil
	}
	for _, model := range []string{modelLogit, modelRecency} {
		p, err := f.predict(model, test.x)
		if err != nil {
			return "", err
		}
		b, err := metrics.NewBinary(test.y, p)
		if err != nil {
			return "", err
		}
		add := func(name string, v float64, ok bool) *float64 {
			if !ok {
				v = math.NaN()
			}
			s.metrics = append(s.metrics, metric{Target: q.Name, Model: model, Split: "test", Snapshot: q.schedule.Test.String(), Name: name, Value: v,
				Rows: b.Rows(), Positives: b.Positives()})
			return figure(v, ok)
		}
		auc, ok := b.AUC()
		shownAUC := add("auc", auc, ok)
		if ok {
			bp := metrics.DefaultBootstrapParams()
			bp.Seed, bp.Workers, bp.Replicates = r.Config.Models.Seed, r.workers, 200
			iv, ok, err := metrics.Bootstrap(ctx, bp, b.Rows(), nil, func(times []int32) (float64, bool) { return b.Resample(times).AUC() })
			if err != nil {
				return "", err
			}
			if ok {
				m := &s.metrics[len(s.metrics)-1]
				m.Low, m.High, m.HasInterval = iv.Low, iv.High, true
			}
		}
		for _, figure := range []struct {
			name string
			of   func() (float64, bool)
		}{
			{"average_precision", b.AveragePrecision}, {"brier", b.Brier}, {"ks", b.KS},
			{"top_decile_lift", b.TopDecileLift}, {"calibration_in_the_large", b.CalibrationInTheLarge}, {"prevalence", b.Prevalence},
		} {
			v, ok := figure.of()
			add(figure.name, v, ok)
		}
		loss, ok := b.LogLoss()
		shownLoss := add("log_loss", loss, ok)
		if ok && loss < best {
			champion, best = model, loss
		}
		ece, ok := b.ExpectedCalibrationError(10, metrics.EqualCount)
		shownECE := add("ece", ece, ok)
		if model == modelLogit {
			sum.AUC.Model, sum.LogLoss.Model, sum.ECE.Model = shownAUC, shownLoss, shownECE
		} else {
			sum.AUC.Baseline, sum.LogLoss.Baseline, sum.ECE.Baseline = shownAUC, shownLoss, shownECE
		}
	}
	for i := range s.metrics {
		s.metrics[i].Champion = s.metrics[i].Model == champion
	}
	if champion == modelRecency {
		r.warn(models.Warning{Code: "target.baseline_wins", Message: fmt.Sprintf(
			"target %s: the logistic model does not beat the recency rule out of time (log-loss %.4f against %.4f), so the rule's probabilities are published", q.Name, *sum.LogLoss.Model, *sum.LogLoss.Baseline)})
	}
	return champion, nil
}

// score applies the champion to the eligible customers of the run's date,
// batch by batch.
func (r *run) score(t *table, q question, f *fittedTarget, champion string, s *scores) error {
	eligible, err := t.score.Values(eligibleColumn(q.Name))
	if err != nil {
		return err
	}
	row := 0
	for _, rec := range t.score.Records() {
		n := int(rec.NumRows())
		one := t.score.Only(rec)
		x, err := matrix(one, t.features, func(i int) bool { return eligible[row+i] == 1 })
		if err != nil {
			return err
		}
		if x.Rows() > 0 {
			p, err := f.predict(champion, x)
			if err != nil {
				return err
			}
			k := 0
			for i := range n {
				if eligible[row+i] == 1 {
					s.probability[row+i] = p[k]
					k++
				}
			}
		}
		row += n
	}
	percentiles(s.probability, s.percentile)
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
