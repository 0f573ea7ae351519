// Package value forecasts what every customer will bring: purchases by BG/NBD,
// spend by Gamma-Gamma, measured on a holdout beside naive forecasts.
package value

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/bgnbd"
	"github.com/shoal-data/shoal/models/gammagamma"
	"github.com/shoal-data/shoal/models/repeat"
)

// The BG/NBD and Gamma-Gamma literature counts time in weeks; parameters and
// log-likelihoods then compare with the published ones.
const daysPerWeek = 7

// HoldoutColumn is the label of the holdout's table: days with a purchase
// between its date and the run's.
const HoldoutColumn = "holdout.purchase_days"

// MinHoldout is the shortest holdout, in days, that says anything.
const MinHoldout = 14

// Input is what a forecast is made from.
type Input struct {
	Score   *features.Table // the customers to forecast
	Date    string          // of Score, YYYY-MM-DD
	Horizon int             // days ahead
	Past    *features.Table // an earlier date, with HoldoutColumn; nil when history is too short
	Days    int             // from Past to Score
	Workers int
}

// A Forecast is what every customer is expected to bring.
type Forecast struct {
	Purchases []float64 // expected days with a purchase within the horizon; NaN for who never bought
	Spend     []float64 // expected within the horizon, currency; NaN where unknown
	Alive     []float64 // probability of still being a customer; NaN for who never bought
	Metrics   []outputs.Metric
	Summary   Summary
	Warnings  []models.Warning
}

// Summary is the purchase and value model.
type Summary struct {
	Skipped       string         `json:"skipped,omitempty"`
	HorizonDays   int            `json:"horizon_days,omitempty"`
	Customers     int            `json:"customers,omitempty"`
	LogLikelihood *float64       `json:"bgnbd_log_likelihood,omitempty"`
	SpendLogLik   *float64       `json:"gammagamma_log_likelihood,omitempty"`
	HoldoutDays   int            `json:"holdout_days,omitempty"`
	HoldoutMAE    outputs.Figure `json:"holdout_mae_purchases"`
	Expected      float64        `json:"expected_purchases"`
	ExpectedValue float64        `json:"expected_value"`
}

// buyers are the customers with a purchase, as the models count them.
type buyers struct {
	rows      []int // in the table
	histories repeat.Histories
	spends    gammagamma.Spends
}

func buyersOf(t *features.Table) (*buyers, error) {
	names := []string{features.PurchaseDaysLifetime, features.DaysSinceFirstPurchase, features.DaysSinceLastPurchase, features.RepeatDaySpendMean, features.SpendLifetime, features.RefundLifetime}
	data, err := t.Matrix(names, nil)
	if err != nil {
		return nil, err
	}
	x := models.Matrix{Names: names, Data: data}
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
		// What is sent back is not value: the mean is lowered by the share of the
		// customer's spend that was refunded.
		mean := row[3] * (1 - min(row[5]/row[4], 1))
		if math.IsNaN(mean) || mean < 0 {
			mean = 0
		}
		b.spends.M = append(b.spends.M, mean)
	}
	return b, nil
}

// Run fits the purchase and the spend model on everyone who has bought, and
// measures the purchase model on a holdout.
func Run(ctx context.Context, in Input) (*Forecast, error) {
	n := in.Score.Rows()
	f := &Forecast{Purchases: nans(n), Spend: nans(n), Alive: nans(n), Summary: Summary{HorizonDays: in.Horizon}}
	b, err := buyersOf(in.Score)
	if err != nil {
		return nil, err
	}
	if err := f.fit(ctx, in, b); err != nil {
		return nil, err
	}
	if f.Summary.Skipped != "" {
		f.Warnings = append(f.Warnings, models.Warning{Code: "value.none", Message: f.Summary.Skipped + "; expected_purchases, expected_value and p_alive are null"})
		return f, nil
	}
	return f, f.holdout(ctx, in)
}

// fitted notes a number about a model fitted on the customers it forecasts.
func (f *Forecast) fitted(in Input, model, name string, v float64, rows int) {
	f.Metrics = append(f.Metrics, outputs.Metric{Target: "value", Model: model, Split: "fit", Snapshot: in.Date, Name: name, Value: v, Rows: rows, Positives: -1})
}

func (f *Forecast) fit(ctx context.Context, in Input, b *buyers) error {
	s := &f.Summary
	if len(b.rows) == 0 {
		s.Skipped = "no customer value model: nobody has bought"
		return nil
	}
	s.Customers = len(b.rows)
	p := bgnbd.DefaultParams()
	p.Workers = in.Workers
	buying, warnings, err := bgnbd.Fit(ctx, p, b.histories)
	f.Warnings = append(f.Warnings, warnings...)
	if errors.Is(err, repeat.ErrTooFewRepeaters) {
		s.Skipped = fmt.Sprintf("no customer value model: %v", err)
		return nil
	} else if err != nil {
		return err
	}
	s.LogLikelihood = &buying.LogLikelihood
	horizon := float64(in.Horizon) / daysPerWeek
	forecasts, err := buying.Predict(nil, b.histories, horizon)
	if err != nil {
		return err
	}
	for k, i := range b.rows {
		f.Purchases[i] = forecasts[k].Expected
		f.Alive[i] = forecasts[k].Alive
		s.Expected += forecasts[k].Expected
	}
	f.fitted(in, "bgnbd", "log_likelihood", buying.LogLikelihood, len(b.rows))
	f.fitted(in, "bgnbd", "r", buying.R, len(b.rows))
	f.fitted(in, "bgnbd", "alpha_weeks", buying.Alpha, len(b.rows))
	f.fitted(in, "bgnbd", "a", buying.A, len(b.rows))
	f.fitted(in, "bgnbd", "b", buying.B, len(b.rows))

	gp := gammagamma.DefaultParams()
	gp.Workers = in.Workers
	spending, warnings, err := gammagamma.Fit(ctx, gp, b.spends)
	f.Warnings = append(f.Warnings, warnings...)
	if errors.Is(err, gammagamma.ErrTooFewCustomers) {
		f.Warnings = append(f.Warnings, models.Warning{Code: "value.no_spend", Message: fmt.Sprintf("%v; expected_value is null", err)})
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
		f.Spend[i] = f.Purchases[i] * means[k]
		s.ExpectedValue += f.Spend[i]
	}
	f.fitted(in, "gammagamma", "log_likelihood", spending.LogLikelihood, int(spending.Customers))
	f.fitted(in, "gammagamma", "p", spending.P, int(spending.Customers))
	f.fitted(in, "gammagamma", "q", spending.Q, int(spending.Customers))
	f.fitted(in, "gammagamma", "v", spending.V, int(spending.Customers))
	return nil
}

// holdout fits the purchase model as of an earlier date and compares what it
// expected with the purchase days that followed, beside two naive forecasts:
// each customer's own rate so far, and nothing at all.
func (f *Forecast) holdout(ctx context.Context, in Input) error {
	if in.Past == nil {
		return nil
	}
	b, err := buyersOf(in.Past)
	if err != nil || len(b.rows) == 0 {
		return err
	}
	p := bgnbd.DefaultParams()
	p.Workers = in.Workers
	model, _, err := bgnbd.Fit(ctx, p, b.histories)
	if errors.Is(err, repeat.ErrTooFewRepeaters) {
		return nil // too early a date to learn from: there is simply no holdout
	} else if err != nil {
		return err
	}
	weeks := float64(in.Days) / daysPerWeek
	forecasts, err := model.Predict(nil, b.histories, weeks)
	if err != nil {
		return err
	}
	actual, err := in.Past.Values(HoldoutColumn)
	if err != nil {
		return err
	}
	var expected, happened, modelError, rateError, zeroError, modelSquares, rateSquares, zeroSquares float64
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
		square := func(v float64) float64 { return v * v }
		modelSquares += square(forecasts[k].Expected - actual[i])
		rateSquares += square(rate - actual[i])
		zeroSquares += square(actual[i])
	}
	n := float64(len(b.rows))
	at := in.Past.AsOf.String()
	add := func(model, name string, x float64) {
		f.Metrics = append(f.Metrics, outputs.Metric{Target: "value", Model: model, Split: "test", Snapshot: at, Name: name, Value: x, Rows: len(b.rows), Positives: -1})
	}
	add("bgnbd", "mae_purchases", modelError/n)
	add("own_rate", "mae_purchases", rateError/n)
	add("none", "mae_purchases", zeroError/n)
	add("bgnbd", "rmse_purchases", math.Sqrt(modelSquares/n))
	add("own_rate", "rmse_purchases", math.Sqrt(rateSquares/n))
	add("none", "rmse_purchases", math.Sqrt(zeroSquares/n))
	add("bgnbd", "total_purchases_expected", expected)
	add("actual", "total_purchases", happened)
	mae, naive := modelError/n, min(rateError, zeroError)/n
	rmse, naiveRMSE := math.Sqrt(modelSquares/n), math.Sqrt(min(rateSquares, zeroSquares)/n)
	if mae >= naive || rmse >= naiveRMSE {
		f.Warnings = append(f.Warnings, models.Warning{Code: "value.baseline_wins", Message: fmt.Sprintf(
			"on the holdout of %d days the better naive forecast of purchases is not beaten in every way: mean error %.3f against %.3f, root mean square %.3f against %.3f; the total was %.0f expected, %.0f actual",
			in.Days, mae, naive, rmse, naiveRMSE, expected, happened)})
	}
	for i := range f.Metrics {
		f.Metrics[i].Champion = f.Metrics[i].Model == "bgnbd" || f.Metrics[i].Model == "gammagamma" // it is what is published
	}
	f.Summary.HoldoutDays = in.Days
	f.Summary.HoldoutMAE = outputs.Figure{Model: &mae, Baseline: &naive}
	return nil
}

func nans(n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = math.NaN()
	}
	return v
}
