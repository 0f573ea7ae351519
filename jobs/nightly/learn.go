package nightly

import (
	"context"

	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/predict"
	"github.com/shoal-data/shoal/jobs/value"
)

// predict answers every target.
func (r *run) predict(ctx context.Context, t *table, q *questions) ([]*predict.Answer, error) {
	m := r.Config.Models
	params := predict.Params{L2: m.L2, MinPositives: m.MinPositives, Seed: m.Seed, Baselines: m.Baselines, Workers: r.workers}
	in := predict.Input{
		Features: t.features, Linear: t.linear, Score: t.score, Sayings: features.Sayings(t.families),
		Past: func(a timeline.AsOf) *features.Table { return t.past[a.Today] },
	}
	var answers []*predict.Answer
	err := r.step("predictions", func() error {
		return predict.Run(ctx, params, q.targets, in, func(a *predict.Answer) {
			r.warn(a.Warnings...)
			r.summary.Targets = append(r.summary.Targets, a.Summary)
			answers = append(answers, a)
			r.progress("predictions", int64(len(answers)), int64(len(q.targets)))
		})
	})
	return answers, err
}

// forecast says what every customer is expected to bring.
func (r *run) forecast(ctx context.Context, t *table, q *questions) (*value.Forecast, error) {
	m := r.Config.Models
	in := value.Input{Score: t.score, Date: r.asOf.String(), Horizon: int(m.ValueHorizon), Features: t.linear, Seed: m.Seed, Workers: r.workers}
	if q.days > 0 {
		in.Past, in.Before, in.Days = t.past[q.holdout.Today], t.past[q.before.Today], q.days
	}
	var f *value.Forecast
	err := r.step("value", func() error {
		var err error
		if f, err = value.Run(ctx, in); err != nil {
			return err
		}
		r.warn(f.Warnings...)
		r.summary.Value = &f.Summary
		return nil
	})
	return f, err
}
