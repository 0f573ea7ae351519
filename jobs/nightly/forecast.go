package nightly

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/bgnbd"
	"github.com/shoal-data/shoal/models/gammagamma"
)

// The BG/NBD and Gamma-Gamma literature counts time in weeks; parameters and
// log-likelihoods then compare with the published ones.
const daysPerWeek = 7

// value is what every customer is expected to bring.
type value struct {
	purchases []float64 // expected within the horizon; NaN for who never bought
	spend     []float64 // expected within the horizon, currency; NaN where unknown
	alive     []float64 // probability of still being a customer; NaN for who never bought
	metrics   []metric
}

// buyers are the customers with a purchase, as the models count them.
type buyers struct {
	rows      []int // in the table
	histories bgnbd.Histories
	spends    gammagamma.Spends
}

func (r *run) buyers(t *features.Table) (*buyers, error) {
	x, err := matrix(t, []string{features.PurchaseDaysLifetime, features.DaysSinceFirstPurchase, features.DaysSinceLastPurchase, features.RepeatDaySpendMean}, nil)
	if err != nil {
		return nil, err
	}
	b := &buyers{}
	for i := range x.Rows() {
		row := x.Row(i)
		if row[0] == 0 {
			continue
		}
		b.rows = append(b.rows, i)
		b.histories.X = append(b.histories.X, row[0]-1)
		b.histories.TX = append(b.histories.TX, (row[1]-row[2])/daysPerWeek)
		b.histories.T = append(b.histories.T, row[1]/daysPerWeek)
		b.spends.X = append(b.spends.X, row[0]-1)
		mean := row[3]
		if math.IsNaN(mean) {
			mean = 0
		}
		b.spends.M = append(b.spends.M, mean)
	}
	return b, nil
}

// forecast fits the purchase and the spend model on everyone who has bought,
// after measuring the purchase model on a holdout.
func (r *run) forecast(ctx context.Context, t *table, q *questions) (*value, error) {
	n := t.score.Rows()
	v := &value{purchases: nans(n), spend: nans(n), alive: nans(n)}
	s := &ValueSummary{HorizonDays: int(r.Config.Models.ValueHorizon)}
	r.summary.Value = s
	err := r.step("value", func() error {
		b, err := r.buyers(t.score)
		if err != nil {
			return err
		}
		if err := r.fitValue(ctx, b, v, s); err != nil || s.Skipped != "" {
			return err
		}
		return r.holdout(ctx, t, q, v, s)
	})
	if err == nil && s.Skipped != "" {
		r.warn(models.Warning{Code: "value.none", Message: s.Skipped + "; expected_purchases, expected_value and p_alive are null"})
	}
	return v, err
}

func (r *run) fitValue(ctx context.Context, b *buyers, v *value, s *ValueSummary) error {
	if len(b.rows) == 0 {
		s.Skipped = "no customer value model: nobody has bought"
		return nil
	}
	s.Customers = len(b.rows)
	p := bgnbd.DefaultParams()
	p.Workers = r.workers
	buying, warnings, err := bgnbd.Fit(ctx, p, b.histories)
	r.warn(warnings...)
	if errors.Is(err, bgnbd.ErrTooFewRepeaters) {
		s.Skipped = fmt.Sprintf("no customer value model: %v", err)
		return nil
	} else if err != nil {
		return err
	}
	s.LogLikelihood = &buying.LogLikelihood
	horizon := float64(r.Config.Models.ValueHorizon) / daysPerWeek
	forecasts, err := buying.Predict(nil, b.histories, horizon)
	if err != nil {
		return err
	}
	for k, i := range b.rows {
		v.purchases[i] = forecasts[k].Expected
		v.alive[i] = forecasts[k].Alive
		s.Expected += forecasts[k].Expected
	}
	at := r.asOf.String()
	v.metrics = append(v.metrics,
		metric{Target: "value", Model: "bgnbd", Split: "fit", Snapshot: at, Name: "log_likelihood", Value: buying.LogLikelihood, Rows: len(b.rows)},
		metric{Target: "value", Model: "bgnbd", Split: "fit", Snapshot: at, Name: "r", Value: buying.R, Rows: len(b.rows)},
		metric{Target: "value", Model: "bgnbd", Split: "fit", Snapshot: at, Name: "alpha_weeks", Value: buying.Alpha, Rows: len(b.rows)},
		metric{Target: "value", Model: "bgnbd", Split: "fit", Snapshot: at, Name: "a", Value: buying.A, Rows: len(b.rows)},
		metric{Target: "value", Model: "bgnbd", Split: "fit", Snapshot: at, Name: "b", Value: buying.B, Rows: len(b.rows)},
	)

	gp := gammagamma.DefaultParams()
	gp.Workers = r.workers
	spending, warnings, err := gammagamma.Fit(ctx, gp, b.spends)
	r.warn(warnings...)
	if errors.Is(err, gammagamma.ErrTooFewCustomers) {
		r.warn(models.Warning{Code: "value.no_spend", Message: fmt.Sprintf("%v; expected_value is null", err)})
		return nil
	} else if err != nil {
		return err
	}
	s.SpendLogLik = &spending.LogLikelihood
	means, err := spending.Predict(nil, b.spends)
	if err != nil {
		return err
	}
	for k, i := range b.rows {
		v.spend[i] = v.purchases[i] * means[k]
		s.ExpectedValue += v.spend[i]
	}
	v.metrics = append(v.metrics,
		metric{Target: "value", Model: "gammagamma", Split: "fit", Snapshot: at, Name: "log_likelihood", Value: spending.LogLikelihood, Rows: int(spending.Customers)},
		metric{Target: "value", Model: "gammagamma", Split: "fit", Snapshot: at, Name: "p", Value: spending.P, Rows: int(spending.Customers)},
		metric{Target: "value", Model: "gammagamma", Split: "fit", Snapshot: at, Name: "q", Value: spending.Q, Rows: int(spending.Customers)},
		metric{Target: "value", Model: "gammagamma", Split: "fit", Snapshot: at, Name: "v", Value: spending.V, Rows: int(spending.Customers)},
	)
	return nil
}

// holdout fits the purchase model as of an earlier date and compares what it
// expected with the purchase days that followed, beside two naive forecasts:
// each customer's own rate so far, and nothing at all.
func (r *run) holdout(ctx context.Context, t *table, q *questions, v *value, s *ValueSummary) error {
	if q.days == 0 {
		return nil
	}
	past := t.past[q.holdout.Today]
	b, err := r.buyers(past)
	if err != nil || len(b.rows) == 0 {
		return err
	}
	p := bgnbd.DefaultParams()
	p.Workers = r.workers
	model, _, err := bgnbd.Fit(ctx, p, b.histories)
	if errors.Is(err, bgnbd.ErrTooFewRepeaters) {
		return nil // too early a date to learn from: there is simply no holdout
	} else if err != nil {
		return err
	}
	weeks := float64(q.days) / daysPerWeek
	forecasts, err := model.Predict(nil, b.histories, weeks)
	if err != nil {
		return err
	}
	actual, err := past.Values(holdoutPurchaseDays)
	if err != nil {
		return err
	}
	var expected, happened, modelError, rateError, zeroError float64
	for k, i := range b.rows {
		rate := 0.0
		if b.histories.T[k] > 0 {
			rate = b.histories.X[k] / b.histories.T[k] * weeks
		}
		expected += forecasts[k].Expected
		happened += actual[i]
		modelError += math.Abs(forecasts[k].Expected - actual[i])
		rateError += math.Abs(rate - actual[i])
		zeroError += actual[i]
	}
	n := float64(len(b.rows))
	at := q.holdout.String()
	add := func(model, name string, x float64) {
		v.metrics = append(v.metrics, metric{Target: "value", Model: model, Split: "test", Snapshot: at, Name: name, Value: x, Rows: len(b.rows)})
	}
	add("bgnbd", "mae_purchases", modelError/n)
	add("own_rate", "mae_purchases", rateError/n)
	add("none", "mae_purchases", zeroError/n)
	add("bgnbd", "total_purchases_expected", expected)
	add("actual", "total_purchases", happened)
	s.HoldoutDays = q.days
	s.HoldoutMAE = Figure{Model: figure(modelError/n, true), Baseline: figure(min(rateError, zeroError)/n, true)}
	return nil
}

func nans(n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = math.NaN()
	}
	return v
}
