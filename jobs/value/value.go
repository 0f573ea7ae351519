// Package value forecasts what every customer will bring: purchases by a model of
// repeat buying, spend by Gamma-Gamma on top of it, and both corrected by boosted
// trees where those prove better. Models are chosen on a holdout, a window of time
// that none of them has seen, and shown there beside naive forecasts:
//
//   - Pareto/NBD is the model of repeat buying unless BG/NBD, MBG/NBD or one of
//     regular gaps (MBG/CNBD-2, -3) is clearly better on the holdout in both mean
//     squared error and mean Poisson deviance; then the one of lowest squared error
//     is. Its P(alive) can rank customers, which BG/NBD's cannot.
//   - Trees, fitted in the window before, multiply its forecasts of purchases, or of
//     spend, when their squared error is clearly lower and their deviance (of spend,
//     Tweedie's of power 1.5) is not clearly higher.
//
// Clearly is by more than 1.96 standard errors of the customers' paired differences.
// Both losses judge a forecast as a mean, which totals and budgets are made of; the
// first looks at large buyers, the second at small ones too. Absolute error stands
// beside them: it favours forecasts of the median, which for most customers is no
// purchase at all. A naive forecast with a lower absolute or squared error is warned of.
package value

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/gammagamma"
	"github.com/shoal-data/shoal/models/gbdt"
	"github.com/shoal-data/shoal/models/repeat"
)

// The literature of repeat buying counts time in weeks; parameters and
// log-likelihoods then compare with the published ones.
const daysPerWeek = 7

// MinHoldout is the shortest holdout, in days, that says anything.
const MinHoldout = 14

// HoldoutDays is the length of the holdout for forecasts so many days ahead over
// so long a history: at most a third of it, so that the window before it is as
// long and history is longer than either; 0 when that is too short.
func HoldoutDays(horizon, history int) int {
	if days := min(horizon, history/3); days >= MinHoldout {
		return days
	}
	return 0
}

// Columns that Labels adds to a past date's table, about the window after it and
// the one as long before it.
const (
	HoldoutColumn  = "holdout.purchase_days"
	SpendColumn    = "holdout.spend"
	waitColumn     = "holdout.next_purchase"
	previousColumn = "holdout.previous_purchase_days"
	paidColumn     = "holdout.previous_spend"
)

// Labels are the columns of a past date whose window ends at until and is so many
// days long.
func Labels(until timeline.AsOf, days int) []features.Label {
	spent := func(e *timeline.Events, from int32) float64 {
		var sum datasets.Money
		for i, role := range e.Role {
			if e.Amount == nil || e.Amount[i] == datasets.NullMoney || e.Day[i] < from {
				continue
			}
			switch a := e.Amount[i]; role {
			case datasets.Purchase:
				sum += a
			case datasets.Return:
				sum -= max(a, -a)
			}
		}
		return sum.Float()
	}
	return []features.Label{
		{Name: HoldoutColumn, Unit: "days", Value: func(tl *timeline.Timeline, h *timeline.History) float64 {
			out := tl.Between(h.AsOf, until)
			return float64(out.DaysWith(datasets.Purchase))
		}},
		{Name: SpendColumn, Unit: "currency", Value: func(tl *timeline.Timeline, h *timeline.History) float64 {
			out := tl.Between(h.AsOf, until)
			return spent(&out.Events, math.MinInt32)
		}},
		{Name: waitColumn, Unit: "days", Value: func(tl *timeline.Timeline, h *timeline.History) float64 {
			out := tl.Between(h.AsOf, until)
			for i, role := range out.Role {
				if role == datasets.Purchase {
					return float64(out.Day[i] - h.AsOf.Today)
				}
			}
			return math.NaN()
		}},
		{Name: previousColumn, Unit: "days", Value: func(_ *timeline.Timeline, h *timeline.History) float64 {
			n, last := 0, h.AsOf.Today-int32(days)
			for _, p := range h.Positions(datasets.Purchase) {
				if h.Day[p] > last {
					n, last = n+1, h.Day[p]
				}
			}
			return float64(n)
		}},
		{Name: paidColumn, Unit: "currency", Value: func(_ *timeline.Timeline, h *timeline.History) float64 {
			return spent(&h.Events, h.AsOf.Today-int32(days)+1)
		}},
	}
}

// Input is what a forecast is made from.
type Input struct {
	Score   *features.Table // the customers to forecast
	Date    string          // of Score, YYYY-MM-DD
	Horizon int             // days ahead
	// Features are the columns that trees learn from.
	Features []string
	// Past is an earlier date with Labels until Score's, the holdout, and Before one
	// as much earlier with Labels until Past's; nil when history is too short.
	Past, Before *features.Table
	Days         int // from Past to Score, and from Before to Past
	Seed         uint64
	Workers      int
}

// Horizons are the further ones, in days, that forecasts are published for.
var Horizons = [...]int{30, 90, 365}

// An Ahead is a forecast over a horizon, by customer.
type Ahead struct {
	Days      int
	Purchases []float64 // expected days with a purchase; NaN for who never bought
	Spend     []float64 // expected, currency, less refunds; NaN where unknown
}

// A Forecast is what every customer is expected to bring.
type Forecast struct {
	Ahead             // over the configured horizon
	Further []Ahead   // over Horizons
	Alive   []float64 // probability of still being a customer; NaN for who never bought
	// Days from the date until the next purchase of a customer who makes one: the
	// median, and an interval that holds it with probability 0.8.
	Next, Earliest, Latest []float64

	Metrics  []outputs.Metric
	Summary  Summary
	Warnings []models.Warning
	Models   Models
}

// Models are what was fitted to the customers of the run's own date.
type Models struct {
	Buying   *Buying           // nil without a model
	Spending *gammagamma.Model // nil without amounts
	// What multiplies expected purchases and spend; nil where trees were not better.
	PurchaseTrees, SpendTrees *gbdt.Model
}

// Summary is the purchase and value model.
type Summary struct {
	Skipped       string         `json:"skipped,omitempty"`
	HorizonDays   int            `json:"horizon_days,omitempty"`
	Customers     int            `json:"customers,omitempty"`
	Model         string         `json:"model,omitempty"` // of purchases
	ValueModel    string         `json:"value_model,omitempty"`
	LogLikelihood *float64       `json:"log_likelihood,omitempty"` // of the model of repeat buying
	SpendLogLik   *float64       `json:"gammagamma_log_likelihood,omitempty"`
	HoldoutDays   int            `json:"holdout_days,omitempty"`
	HoldoutMAE    outputs.Figure `json:"holdout_mae_purchases"`
	HoldoutRMSE   outputs.Figure `json:"holdout_rmse_purchases"`
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

// of is the buyers' values of a column.
func (b *buyers) of(t *features.Table, column string) ([]float64, error) {
	all, err := t.Values(column)
	if err != nil {
		return nil, err
	}
	v := make([]float64, len(b.rows))
	for k, i := range b.rows {
		v[k] = all[i]
	}
	return v, nil
}

// Run chooses the models on the holdout, fits them to everyone who has bought and
// forecasts.
func Run(ctx context.Context, in Input) (*Forecast, error) {
	n := in.Score.Rows()
	f := &Forecast{
		Ahead: newAhead(in.Horizon, n), Alive: nans(n), Next: nans(n), Earliest: nans(n), Latest: nans(n),
		Summary: Summary{HorizonDays: in.Horizon},
	}
	for _, days := range Horizons {
		f.Further = append(f.Further, newAhead(days, n))
	}
	b, err := buyersOf(in.Score)
	if err != nil {
		return nil, err
	}
	choice, err := f.holdout(ctx, in)
	if err != nil {
		return nil, err
	}
	if err := f.fit(ctx, in, b, choice); err != nil {
		return nil, err
	}
	if f.Summary.Skipped != "" {
		f.Metrics = nil
		f.Warnings = []models.Warning{{Code: "value.none", Message: f.Summary.Skipped + "; expected purchases, values, next purchases and p_alive are null"}}
	}
	return f, nil
}

func newAhead(days, n int) Ahead { return Ahead{Days: days, Purchases: nans(n), Spend: nans(n)} }

func nans(n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = math.NaN()
	}
	return v
}

func (f *Forecast) warn(code, format string, args ...any) {
	f.Warnings = append(f.Warnings, models.Warning{Code: "value." + code, Message: fmt.Sprintf(format, args...)})
}

// fit fits the chosen models to the customers they forecast.
func (f *Forecast) fit(ctx context.Context, in Input, b *buyers, c choice) error {
	s := &f.Summary
	if len(b.rows) == 0 {
		s.Skipped = "no customer value model: nobody has bought"
		return nil
	}
	s.Customers = len(b.rows)
	buying, warnings, err := fitBuying(ctx, c.kind, repeat.Group(b.histories), in.Workers)
	f.Warnings = append(f.Warnings, warnings...)
	if errors.Is(err, repeat.ErrTooFewRepeaters) {
		s.Skipped = fmt.Sprintf("no customer value model: %v", err)
		return nil
	} else if err != nil {
		return err
	}
	f.Models.Buying = buying
	s.Model, s.LogLikelihood = buying.Kind, new(float64)
	fitted := func(model, name string, v float64, rows int) {
		f.Metrics = append(f.Metrics, outputs.Metric{Target: "value", Model: model, Split: "fit", Snapshot: in.Date, Name: name, Value: v, Rows: rows, Positives: -1, Champion: true})
	}
	for _, p := range buying.parameters() {
		fitted(buying.Kind, p.name, p.value, len(b.rows))
		if p.name == "log_likelihood" {
			*s.LogLikelihood = p.value
		}
	}
	gp := gammagamma.DefaultParams()
	gp.Workers = in.Workers
	spending, warnings, err := gammagamma.Fit(ctx, gp, b.spends)
	f.Warnings = append(f.Warnings, warnings...)
	var means []float64
	switch {
	case errors.Is(err, gammagamma.ErrTooFewCustomers):
		f.warn("no_spend", "%v; expected values are null", err)
	case err != nil:
		return err
	default:
		if means, err = spending.Predict(nil, b.spends); err != nil {
			return err
		}
		f.Models.Spending = spending
		s.SpendLogLik, s.ValueModel = &spending.LogLikelihood, buying.Kind+" × gammagamma"
		rows := int(spending.Customers)
		fitted("gammagamma", "log_likelihood", spending.LogLikelihood, rows)
		fitted("gammagamma", "p", spending.P, rows)
		fitted("gammagamma", "q", spending.Q, rows)
		fitted("gammagamma", "v", spending.V, rows)
	}
	byPurchases, bySpend, err := f.correct(ctx, in, b, c)
	if err != nil {
		return err
	}
	return f.forecast(in, b, means, byPurchases, bySpend)
}

// correct is what trees multiply each buyer's purchases and spend by; nil where
// they were not chosen.
func (f *Forecast) correct(ctx context.Context, in Input, b *buyers, c choice) (purchases, spend []float64, err error) {
	for _, t := range []struct {
		of    *ratio
		model **gbdt.Model
		by    *[]float64
		name  *string
	}{{c.purchases, &f.Models.PurchaseTrees, &purchases, &f.Summary.Model}, {c.spend, &f.Models.SpendTrees, &spend, &f.Summary.ValueModel}} {
		if t.of == nil || t.of == c.spend && f.Models.Spending == nil {
			continue
		}
		// The holdout's outcome is the newest that is known.
		if *t.model, err = t.of.fit(ctx, in, in.Past); err != nil {
			return nil, nil, err
		}
		if *t.model == nil {
			continue
		}
		if *t.by, err = multiples(ctx, *t.model, in.Score, b.rows, in.Workers); err != nil {
			return nil, nil, err
		}
		*t.name += " × trees"
	}
	return purchases, spend, nil
}

// forecast fills every horizon. means are the values of a purchase, nil without.
func (f *Forecast) forecast(in Input, b *buyers, means, byPurchases, bySpend []float64) error {
	model := f.Models.Buying.Model
	for _, to := range append([]*Ahead{&f.Ahead}, pointers(f.Further)...) {
		forecasts, err := model.Predict(nil, b.histories, float64(to.Days)/daysPerWeek)
		if err != nil {
			return err
		}
		for k, i := range b.rows {
			expected := forecasts[k].Expected
			f.Alive[i] = forecasts[k].Alive
			to.Purchases[i] = expected
			if byPurchases != nil {
				to.Purchases[i] *= byPurchases[k]
			}
			switch {
			case means == nil:
			case bySpend != nil:
				to.Spend[i] = expected * means[k] * bySpend[k]
			default:
				to.Spend[i] = to.Purchases[i] * means[k]
			}
		}
	}
	for _, i := range b.rows {
		f.Summary.Expected += f.Purchases[i]
		if means != nil {
			f.Summary.ExpectedValue += f.Spend[i]
		}
	}
	for _, q := range []struct {
		share float64
		to    []float64
	}{{early, f.Earliest}, {.5, f.Next}, {late, f.Latest}} {
		wait, err := model.Next(nil, b.histories, q.share)
		if err != nil {
			return err
		}
		for k, i := range b.rows {
			q.to[i] = math.Ceil(wait[k] * daysPerWeek)
		}
	}
	return nil
}

// The ends of the interval of the next purchase.
const early, late = .1, .9

func pointers(all []Ahead) (to []*Ahead) {
	for i := range all {
		to = append(to, &all[i])
	}
	return to
}

func sorted(m map[string][]float64) []string { return slices.Sorted(maps.Keys(m)) }
