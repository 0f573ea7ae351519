// Package evidence is how good models are, as tables: what labels are made of, how probabilities
// meet outcomes, and what a ranking is worth.
package evidence

import (
	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/models/metrics"
)

// A Reliability is customers of similar probability, and how many of them had the
// outcome: a row of the table calibration.
type Reliability struct {
	Target, Model, Snapshot string
	Champion                bool
	metrics.ReliabilityBin
}

// CalibrationTable compares the probabilities of every model with what happened.
// Columns of stamp follow the first.
func CalibrationTable(rows []Reliability, stamp []outputs.Column) outputs.Table {
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

// Labels are the labels of a target at a snapshot, or what is known of the
// customers whose outcome is still to come: a row of label_audit.
type Labels struct {
	Target, Split, Snapshot string
	Customers               int // of the snapshot's table: all at the run's date, a sample at others
	Eligible                int
	Positives, Negatives    int
	Lapsed                  int // had such events, but none within active_within
	Never                   int // never had an event that makes eligible
	Censored                int // eligible, with an outcome window that is not over
}

// AuditTable says what the labels of every snapshot are made of. Columns of stamp
// follow the first.
func AuditTable(rows []Labels, stamp []outputs.Column) outputs.Table {
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
