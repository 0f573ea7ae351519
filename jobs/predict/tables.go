package predict

import (
	"fmt"

	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/models/metrics"
)

// bands are the names of percentiles from the given one on.
var bands = []struct {
	from float64
	name string
}{{90, "very high"}, {75, "high"}, {25, "medium"}, {0, "low"}}

// Columns are what customer_scores says of a target: row i is customer i.
func (a *Answer) Columns() []outputs.Column {
	columns := []outputs.Column{
		outputs.Float(a.Name+"_probability", "probability", "Probability of "+a.Target.Outcome()+"; null for who is not eligible.", func(i int) float64 { return a.Probability[i] }),
		outputs.Float(a.Name+"_percentile", "percent", "Percent of the scored customers whom the model thinks less likely, ties counting half. It also ranks customers of equal probability, where the model tells them apart.", func(i int) float64 { return a.Percentile[i] }),
		outputs.Text(a.Name+"_band", "Where the percentile lies: very high from 90, high from 75, medium from 25, low below.", func(i int) (string, bool) {
			for _, b := range bands {
				if a.Percentile[i] >= b.from { // NaN is not
					return b.name, true
				}
			}
			return "", false
		}),
	}
	for k := range perCustomer {
		rank := []string{"strongest", "second", "third"}[k]
		columns = append(columns,
			outputs.Text(fmt.Sprintf("%s_reason_%d", a.Name, k+1), "The "+rank+" reason for the probability, with the customer's own value.", func(i int) (string, bool) {
				return a.Reasons.Text(i, k)
			}),
			outputs.Float(fmt.Sprintf("%s_reason_%d_effect", a.Name, k+1), "log-odds", "What it adds to the model's log-odds: above 0 it makes the outcome likelier. The Shapley value of the column, together with those of the same measure over other windows.", func(i int) float64 {
				return a.Reasons.Effect(i, k)
			}))
	}
	return columns
}

// A Reliability is customers of similar probability, and how many of them had the
// outcome: a row of the table calibration.
type Reliability struct {
	Target, Model, Snapshot string
	Champion                bool
	metrics.ReliabilityBin
}

// CalibrationTable compares the probabilities of every model with what happened.
// Columns of stamp follow the first.
func CalibrationTable(all []*Answer, stamp []outputs.Column) outputs.Table {
	var rows []Reliability
	for _, a := range all {
		rows = append(rows, a.Calibration...)
	}
	str := func(v func(r *Reliability) string) func(int) (string, bool) {
		return func(i int) (string, bool) { return v(&rows[i]), true }
	}
	columns := append([]outputs.Column{outputs.Text("target", "What is predicted.", str(func(r *Reliability) string { return r.Target }))}, stamp...)
	columns = append(columns,
		outputs.Text("model", "The method.", str(func(r *Reliability) string { return r.Model })),
		outputs.Text("snapshot", "The as-of date that was predicted from, YYYY-MM-DD, which the model has not seen.", str(func(r *Reliability) string { return r.Snapshot })),
		outputs.Float("probability_low", "probability", "The lowest probability of these customers: tenths of all, by probability.", func(i int) float64 { return rows[i].Low }),
		outputs.Float("probability_high", "probability", "The highest.", func(i int) float64 { return rows[i].High }),
		outputs.Float("probability_mean", "probability", "The mean.", func(i int) float64 { return rows[i].Mean }),
		outputs.Integer("customers", "customers", "Customers of these probabilities.", func(i int) (int, bool) { return rows[i].Rows, true }),
		outputs.Integer("positives", "customers", "Of these, with the outcome.", func(i int) (int, bool) { return rows[i].Positives, true }),
		outputs.Float("rate", "share", "The share with the outcome.", func(i int) float64 { return rows[i].Rate }),
		outputs.Float("rate_low", "share", "Lower end of its 95% Wilson interval.", func(i int) float64 { return rows[i].RateLow }),
		outputs.Float("rate_high", "share", "Upper end of it.", func(i int) float64 { return rows[i].RateHigh }),
		outputs.Boolean("champion", "Whether the scores of the run come from this model.", func(i int) bool { return rows[i].Champion }),
	)
	return outputs.FromColumns("calibration", columns, len(rows))
}

// AuditTable says what the labels of every snapshot are made of. Columns of stamp
// follow the first.
func AuditTable(all []*Answer, stamp []outputs.Column) outputs.Table {
	var rows []Labels
	for _, a := range all {
		rows = append(rows, a.Audit...)
	}
	str := func(v func(l *Labels) string) func(int) (string, bool) {
		return func(i int) (string, bool) { return v(&rows[i]), true }
	}
	number := func(name, meaning string, v func(l *Labels) int) outputs.Column {
		return outputs.Integer(name, "customers", meaning, func(i int) (int, bool) { return v(&rows[i]), true })
	}
	columns := append([]outputs.Column{outputs.Text("target", "What is predicted.", str(func(l *Labels) string { return l.Target }))}, stamp...)
	columns = append(columns,
		outputs.Text("split", "train: learnt from; test: out of time; score: the run's own date, whose outcome is to come.", str(func(l *Labels) string { return l.Split })),
		outputs.Text("snapshot", "The as-of date, YYYY-MM-DD.", str(func(l *Labels) string { return l.Snapshot })),
		number("customers", "Customers known by then: all of them at the run's date, those of the training sample (limits.sample_rows) at the others.", func(l *Labels) int { return l.Customers }),
		number("eligible", "Of these, customers whom the target is about.", func(l *Labels) int { return l.Eligible }),
		number("positives", "Eligible customers with the outcome.", func(l *Labels) int { return l.Positives }),
		number("negatives", "Eligible customers without it.", func(l *Labels) int { return l.Negatives }),
		outputs.Float("positive_share", "share", "Positives among the eligible customers whose outcome is known; null when there are none.", func(i int) float64 {
			return float64(rows[i].Positives) / float64(rows[i].Positives+rows[i].Negatives)
		}),
		number("censored", "Eligible customers whose outcome window is not over.", func(l *Labels) int { return l.Censored }),
		number("already_lapsed", "Not eligible: active once, but not within active_within.", func(l *Labels) int { return l.Lapsed }),
		number("no_activity", "Not eligible: never active in the way that the target asks for.", func(l *Labels) int { return l.Never }),
	)
	return outputs.FromColumns("label_audit", columns, len(rows))
}
