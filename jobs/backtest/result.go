package backtest

import (
	"fmt"
	"math"

	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/gates"
	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/jobs/targets"
	"github.com/shoal-data/shoal/models/metrics"
)

// A Result is what came of a claim: a row of score_backtest.
type Result struct {
	*Claim
	Name      string // the target, or value_30d and the like
	Model     string
	Customers int // who can be compared
	Gone      int // who had a score, but are not in the history any more
	Changed   int // who had a score, but were not eligible by what is known now of that day
	Positives int // -1 for value

	MeanScore, Rate      float64
	AUC, AUCError        float64 // and its standard error
	RecencyAUC           float64
	LogLoss, RateLogLoss float64 // the second of saying the rate at the test snapshot of everybody
	Brier, ECE           float64

	MAE, Predicted, Actual            float64 // of spend
	PurchasesMAE, Purchases, Happened float64 // of purchase days
	Status                            gates.Status
	Gate                              string
	Bound                             float64
}

func (p *past) result(h *held) (*Result, error) {
	nan := math.NaN()
	r := &Result{
		Claim: h.Claim, Positives: -1, MeanScore: nan, Rate: nan, AUC: nan, AUCError: nan, RecencyAUC: nan, LogLoss: nan, RateLogLoss: nan, Brier: nan, ECE: nan,
		MAE: nan, Predicted: nan, Actual: nan, PurchasesMAE: nan, Purchases: nan, Happened: nan, Status: gates.OK, Bound: nan,
	}
	var rows []int
	for i, s := range h.said[0] {
		switch {
		case math.IsNaN(s):
		case !p.met[i]:
			r.Gone++
		case math.IsNaN(h.happened[0][i]):
			r.Changed++
		default:
			rows = append(rows, i)
		}
	}
	r.Customers = len(rows)
	of := func(v []float64) []float64 {
		x := make([]float64, len(rows))
		for k, i := range rows {
			x[k] = v[i]
		}
		return x
	}
	if h.Target == nil {
		r.Name = fmt.Sprintf("value_%dd", h.Days)
		if len(rows) == 0 {
			return r, nil
		}
		var err error
		if r.PurchasesMAE, r.Purchases, r.Happened, err = amounts(of(h.said[0]), of(h.happened[0])); err != nil {
			return nil, err
		}
		said := of(h.said[1])
		for _, v := range said {
			if math.IsNaN(v) { // there was no model of spend
				return r, nil
			}
		}
		r.MAE, r.Predicted, r.Actual, err = amounts(said, of(h.happened[1]))
		return r, err
	}
	r.Name, r.Model = h.Target.Name, h.Target.Champion
	if len(rows) == 0 {
		r.Positives = 0
		return r, nil
	}
	return r, r.probabilities(h, of)
}

// amounts compare what was expected with what came.
func amounts(said, happened []float64) (mae, predicted, actual float64, err error) {
	m, err := metrics.NewRegression(happened, said)
	if err != nil {
		return 0, 0, 0, err
	}
	mae, _ = m.MAE()
	for i := range said {
		predicted += said[i]
		actual += happened[i]
	}
	return mae, predicted, actual, nil
}

func (r *Result) probabilities(h *held, of func([]float64) []float64) error {
	y, score := of(h.happened[0]), of(h.said[0])
	b, err := metrics.NewBinary(y, score)
	if err != nil {
		return err
	}
	r.Positives = b.Positives()
	for _, f := range []struct {
		to *float64
		of func() (float64, bool)
	}{
		{&r.Rate, b.Prevalence}, {&r.AUC, b.AUC}, {&r.LogLoss, b.LogLoss}, {&r.Brier, b.Brier},
		{&r.ECE, func() (float64, bool) { return b.ExpectedCalibrationError(10, metrics.EqualCount) }},
	} {
		if v, ok := f.of(); ok {
			*f.to = v
		}
	}
	r.MeanScore = 0
	for _, s := range score {
		r.MeanScore += s / float64(len(score))
	}
	r.AUCError = aucError(r.AUC, float64(r.Positives), float64(r.Customers-r.Positives))
	if t := h.Target; t.TestRows > 0 && t.Positives > 0 && t.Positives < t.TestRows {
		rate := float64(t.Positives) / float64(t.TestRows)
		r.RateLogLoss = -r.Rate*math.Log(rate) - (1-r.Rate)*math.Log(1-rate)
	}
	if h.recency == nil {
		return nil
	}
	rank := of(h.recency)
	for i, days := range rank {
		switch churn := h.target.Kind == targets.Churn; {
		case math.IsNaN(days) && churn:
			rank[i] = math.MaxFloat64 // never: as long ago as can be
		case math.IsNaN(days):
			rank[i] = -math.MaxFloat64
		case !churn:
			rank[i] = -days
		}
	}
	rule, err := metrics.NewBinary(y, rank)
	if err != nil {
		return err
	}
	if v, ok := rule.AUC(); ok {
		r.RecencyAUC = v
	}
	return nil
}

// aucError is the standard error of an AUC (Hanley and McNeil, Radiology 143, 1982).
func aucError(auc, yes, no float64) float64 {
	q1, q2 := auc/(2-auc), 2*auc*auc/(1+auc)
	return math.Sqrt((auc*(1-auc) + (yes-1)*(q1-auc*auc) + (no-1)*(q2-auc*auc)) / (yes * no))
}

// Promised is the AUC of the scoring model at the run's own test snapshot; NaN when
// there is none.
func (r *Result) Promised() float64 {
	if r.Target == nil {
		return math.NaN()
	}
	auc := r.Target.AUC.Model
	if r.Target.Champion != r.Target.Best {
		auc = r.Target.AUC.Baseline
	}
	if auc == nil {
		return math.NaN()
	}
	return *auc
}

// Limits of what is judged.
const (
	// judgedRows is how many customers a claim must be about.
	judgedRows = 100
	// aucErrors is how many standard errors an AUC must be below what was promised,
	// which has an error of its own of about the same size.
	aucErrors = 4
	// rateErrors is how many standard errors a rate must be off.
	rateErrors = 4
)

// Judge judges the results by the gates.
func Judge(results []*Result, g config.Gates, report *gates.Report) {
	for _, r := range results {
		if r.Target == nil || r.Customers < judgedRows || r.Positives == 0 && r.MeanScore == 0 {
			continue
		}
		date := r.Run.Manifest.Date
		fall := r.Promised() - r.AUC
		r.judged(report.Judge("backtest_auc", g.BacktestAUC, r.Name+" of "+date, fall, func(float64) bool { return fall > aucErrors*r.AUCError },
			fmt.Sprintf("target %s: the scores of %s had an AUC of %.3f by what has happened since, %.3f at that run's test snapshot", r.Name, date, r.AUC, r.Promised()),
			"models do not hold what they promised: look at score_backtest and drift, and for a change of the outcome's meaning"))
		// Half a customer is added to either side, so that odds are finite.
		n := float64(r.Customers)
		odds := func(rate float64) float64 { return (rate*n + .5) / ((1-rate)*n + .5) }
		ratio := odds(r.Rate) / odds(r.MeanScore)
		off := math.Abs(r.Rate-r.MeanScore) * math.Sqrt(n) / math.Sqrt(max(r.MeanScore*(1-r.MeanScore), 1/n))
		r.judged(report.Judge("backtest_rate", g.BacktestRate, r.Name+" of "+date, max(ratio, 1/ratio), func(float64) bool { return off > rateErrors },
			fmt.Sprintf("target %s: %.1f%% of %d customers had the outcome that the scores of %s gave them with %.1f%% on average", r.Name, 100*r.Rate, r.Customers, date, 100*r.MeanScore),
			"probabilities are off: behaviour has changed since, or events of the outcome window are missing or doubled"))
	}
}

func (r *Result) judged(x gates.Result) {
	if r.Gate == "" || gates.Worst(r.Status, x.Status) != r.Status {
		r.Gate, r.Bound, r.Status = x.Gate, x.Bound(), gates.Worst(r.Status, x.Status)
	}
}

// Table is the name of the table.
const Table = "score_backtest"

// Rows lays the results out. Columns of stamp follow the first.
func Rows(all []*Result, stamp []outputs.Column) outputs.Table {
	l := outputs.Layout[*Result]{Rows: all}
	return l.Table(Table, l.Text("target", "What was predicted: a target, or value and its horizon.", func(r *Result) string { return r.Name }), stamp, []outputs.Column{
		l.Text("scored_date", "The date of the run that made the scores.", func(r *Result) string { return r.Run.Manifest.Date }),
		l.Text("scored_run", "That run.", func(r *Result) string { return r.Run.Manifest.RunID }),
		l.Text("model", "The model that made them; null for value.", func(r *Result) string { return r.Model }),
		l.Count("span_days", "Days from that date to the end of the outcome window.", func(r *Result) int { return r.Span }),
		l.Count("customers", "Customers with a score whose outcome is known.", func(r *Result) int { return r.Customers }),
		l.Count("gone", "Customers with a score who are not in the history any more.", func(r *Result) int { return r.Gone }),
		l.Count("not_eligible", "Customers with a score who, by what is known now, were not eligible that day.", func(r *Result) int { return r.Changed }),
		l.Count("positives", "Customers with the outcome; null for value.", func(r *Result) int { return r.Positives }),
		l.Float("mean_score", "probability", "The mean of the scores.", func(r *Result) float64 { return r.MeanScore }),
		l.Float("rate", "share", "The share with the outcome.", func(r *Result) float64 { return r.Rate }),
		l.Float("auc", "", "AUC of the scores; null with one class only.", func(r *Result) float64 { return r.AUC }),
		l.Float("auc_error", "", "Its standard error.", func(r *Result) float64 { return r.AUCError }),
		l.Float("recency_auc", "", "AUC of the recency rule on the same customers.", func(r *Result) float64 { return r.RecencyAUC }),
		l.Float("promised_auc", "", "AUC of the same model on that run's test snapshot.", func(r *Result) float64 { return r.Promised() }),
		l.Float("log_loss", "", "Mean log-loss of the scores.", func(r *Result) float64 { return r.LogLoss }),
		l.Float("rate_log_loss", "", "Of giving everybody the rate of that run's test snapshot.", func(r *Result) float64 { return r.RateLogLoss }),
		l.Float("brier", "", "Mean squared error of the scores.", func(r *Result) float64 { return r.Brier }),
		l.Float("ece", "", "Expected calibration error over tenths of the customers.", func(r *Result) float64 { return r.ECE }),
		l.Float("purchases_mae", "purchase days", "Mean absolute error of the expected purchase days; null for probabilities.", func(r *Result) float64 { return r.PurchasesMAE }),
		l.Float("purchases_expected", "purchase days", "Their sum.", func(r *Result) float64 { return r.Purchases }),
		l.Float("purchases_actual", "purchase days", "What it has come to.", func(r *Result) float64 { return r.Happened }),
		l.Money("value_mae", "Mean absolute error of the expected value.", func(r *Result) float64 { return r.MAE }),
		l.Money("value_expected", "Its sum.", func(r *Result) float64 { return r.Predicted }),
		l.Money("value_actual", "What it has come to.", func(r *Result) float64 { return r.Actual }),
		l.Text("status", "What the gates say of it: ok, warn or fail.", func(r *Result) string { return string(r.Status) }),
		l.Text("gate", "The gate that judged it; null when none did.", func(r *Result) string { return r.Gate }),
		l.Float("bound", "", "The bound that was reached, or that is reached first; null when it is off.", func(r *Result) float64 { return r.Bound }),
	})
}
