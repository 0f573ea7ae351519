package outputs

import "math"

// A Metric is one number about a model: a row of model_metrics.
type Metric struct {
	Target   string // a target, value, or a segmentation
	Model    string // the method
	Split    string // fit; held_out; test: a snapshot the model has not seen; others
	Snapshot string // as-of date predicted from, YYYY-MM-DD
	Name     string
	Value    float64 // NaN when not defined
	// The 95% bootstrap interval, where HasInterval.
	Low, High   float64
	HasInterval bool
	Rows        int // customers the number is about
	Positives   int // of these with the outcome; -1 when there is no outcome
	Champion    bool
}

// Interval is the ends of the interval, NaN without one.
func (m Metric) Interval() (low, high float64) {
	if !m.HasInterval {
		return math.NaN(), math.NaN()
	}
	return m.Low, m.High
}

// A Figure is a model's number beside its baseline's; nil where a number is not
// defined.
type Figure struct {
	Model    *float64 `json:"model"`
	Baseline *float64 `json:"baseline"`
}
