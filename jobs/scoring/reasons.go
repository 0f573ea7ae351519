package scoring

import (
	"math"
	"slices"
	"strings"

	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/shap"
)

// ReasonsEach is how many reasons a customer's prediction is given at most.
const ReasonsEach = 3

// Reasons say, of every scored customer, which columns moved the prediction most.
type Reasons struct {
	columns    []string // of the model
	sayings    []*features.Saying
	companions []string // columns that sayings mention
	companion  []int    // by column: its place in companions, -1 for none
	topic      []int    // by column: columns of one topic say the same of different windows
	of         []reason // ReasonsEach a row
}

// A reason is a column with the customer's own value.
type reason struct {
	effect           float32 // on the log-odds; 0 is no reason
	column           int32
	value, companion float32
}

func newReasons(f *Model, sayings map[string]*features.Saying, rows int) *Reasons {
	r := &Reasons{columns: f.Columns, of: make([]reason, ReasonsEach*rows)}
	topics := map[string]int{}
	for _, name := range f.Columns {
		s := sayings[name]
		r.sayings = append(r.sayings, s)
		at := -1
		if s != nil && s.Companion != "" {
			if at = slices.Index(r.companions, s.Companion); at < 0 {
				at = len(r.companions)
				r.companions = append(r.companions, s.Companion)
			}
		}
		r.companion = append(r.companion, at)
		topic := topicOf(name)
		if _, known := topics[topic]; !known {
			topics[topic] = len(topics)
		}
		r.topic = append(r.topic, topics[topic])
	}
	return r
}

// topicOf is a column's name without its window: spend_30d and spend_lifetime
// are about the same thing.
func topicOf(name string) string {
	head, window, ok := cutLast(name, "_")
	if !ok || window != "lifetime" && !(len(window) > 1 && window[len(window)-1] == 'd' && strings.Trim(window[:len(window)-1], "0123456789") == "") {
		return name
	}
	return head
}

func cutLast(s, sep string) (before, after string, ok bool) {
	at := strings.LastIndex(s, sep)
	if at < 0 {
		return s, "", false
	}
	return s[:at], s[at+len(sep):], true
}

// Text is the k-th reason of a customer in words; ok is false when there is none.
func (r *Reasons) Text(row, k int) (text string, ok bool) {
	if r == nil {
		return "", false
	}
	of := r.of[ReasonsEach*row+k]
	if of.effect == 0 {
		return "", false
	}
	if s := r.sayings[of.column]; s != nil {
		return s.Say(float64(of.value), float64(of.companion)), true
	}
	return r.columns[of.column], true
}

// Effect is what the k-th reason of a customer adds to the log-odds, NaN when
// there is none.
func (r *Reasons) Effect(row, k int) float64 {
	if r == nil || r.of[ReasonsEach*row+k].effect == 0 {
		return math.NaN()
	}
	return float64(r.of[ReasonsEach*row+k].effect)
}

// An explainer finds reasons, for one goroutine.
type explainer struct {
	*Reasons
	fitted  *Model
	trees   *shap.Session
	sums    []float64 // by topic
	largest []int     // by topic: the column of the largest share
	// prepared is, by column of the logistic model, its place among Columns.
	prepared []int
}

func (r *Reasons) explainer(f *Model) *explainer {
	topics := 0
	if len(r.topic) > 0 {
		topics = slices.Max(r.topic) + 1
	}
	e := &explainer{Reasons: r, fitted: f, sums: make([]float64, topics), largest: make([]int, topics)}
	if f.Trees != nil {
		e.trees = shap.ForTrees(f.Trees).NewSession()
	}
	if f.Logistic != nil {
		for _, name := range f.Logistic.Names {
			e.prepared = append(e.prepared, slices.Index(f.Columns, name))
		}
	}
	return e
}

// explain writes the reasons of a block's rows: the columns' Shapley values, those
// of one topic together, for which the column that moves the prediction most the
// same way speaks.
func (e *explainer) explain(b *Block, s *sample) error {
	x, shares, column := b.X[0], models.Matrix{}, func(j int) int { return j }
	var err error
	switch f := e.fitted; {
	case e.trees != nil:
		shares, err = e.trees.Contributions(x)
	case f.Logistic != nil:
		z, failed := f.Prepared.Apply(models.Matrix{}, x)
		if failed != nil {
			return failed
		}
		shares, err = f.Logistic.Contributions(z)
		column = func(j int) int { return e.prepared[j] }
	default:
		// The rule has one column; its share is what it adds to the middle of the curve.
		shares = models.NewMatrix(x.Names, x.Rows())
		_, err = f.Scores(shares.Data, x)
		middle := 0.0
		for _, v := range f.Recency.LogOdds {
			middle += v / float64(len(f.Recency.LogOdds))
		}
		for i := range shares.Data {
			shares.Data[i] -= middle
		}
	}
	if err != nil {
		return err
	}
	for k, row := range b.Rows {
		clear(e.sums)
		of := shares.Row(k)
		s.take(row, x.Row(k), of, column)
		for j, v := range of {
			e.sums[e.topic[column(j)]] += v
		}
		for t := range e.largest {
			e.largest[t] = -1
		}
		for j, v := range of {
			t := e.topic[column(j)]
			if best := e.largest[t]; v*e.sums[t] > 0 && (best < 0 || math.Abs(v) > math.Abs(of[best])) {
				e.largest[t] = j
			}
		}
		for n, t := range shap.Top(e.sums, ReasonsEach) {
			c := column(e.largest[t])
			r := reason{effect: float32(e.sums[t]), column: int32(c), value: float32(x.Row(k)[c]), companion: float32(math.NaN())}
			if at := e.companion[c]; at >= 0 {
				r.companion = float32(b.X[1].Row(k)[at])
			}
			e.of[ReasonsEach*row+n] = r
		}
	}
	return nil
}
