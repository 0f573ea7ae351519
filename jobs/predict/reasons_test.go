package predict

import (
	"math"
	"testing"

	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/jobs/scoring"
	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/shap"
)

// The reasons of a customer are the columns' Shapley values: with no more topics than
// reasons they sum to the model's score, and their words hold the customer's value.
func TestReasonsSumToTheScore(t *testing.T) {
	for _, c := range []struct {
		champion       string
		recency, other float64
	}{{Logistic, .5, 1.5}, {Trees, .5, 0}} {
		q, in, past := world(t, c.recency, c.other, 2500)
		if c.champion == Trees { // what a linear model cannot see
			for day, tab := range past {
				past[day] = remade(t, tab, func(c map[string][]float64) {
					for i, v := range c["rate"] {
						if y := c["label.churn"]; !math.IsNaN(y[i]) {
							y[i] = 0
							if math.Abs(v) < .7 {
								y[i] = 1
							}
							if i%9 == 0 {
								y[i] = 1 - y[i]
							}
						}
					}
				})
			}
		}
		families, err := features.Only(features.DefaultParams(), []string{"recency"})
		if err != nil {
			t.Fatal(err)
		}
		in.Sayings = features.Sayings(families)
		a, err := run(t, params, q, in)
		if err != nil {
			t.Fatal(err)
		}
		if a.Summary.Champion != c.champion {
			t.Fatalf("champion %s, want %s", a.Summary.Champion, c.champion)
		}
		data, err := in.Score.Matrix(a.Fitted.Columns, nil)
		if err != nil {
			t.Fatal(err)
		}
		x := models.Matrix{Names: a.Fitted.Columns, Data: data}
		scores, err := a.Fitted.Scores(nil, x)
		if err != nil {
			t.Fatal(err)
		}
		var base float64
		if c.champion == Trees {
			base = shap.ForTrees(a.Fitted.Trees).Base()
		} else {
			base = a.Fitted.Logistic.Base()
		}
		recency, _ := in.Score.Values("days_since_last_purchase")
		spoken := 0
		for i, p := range a.Probability {
			sum, before := base, math.Inf(1)
			for k := range scoring.ReasonsEach {
				effect := a.Reasons.Effect(i, k)
				text, ok := a.Reasons.Text(i, k)
				if ok != !math.IsNaN(effect) || ok && math.IsNaN(p) || ok != (text != "") {
					t.Fatalf("row %d, reason %d: %q, effect %v, probability %v", i, k, text, effect, p)
				}
				if !ok {
					continue
				}
				if math.Abs(effect) > before {
					t.Fatalf("row %d: reason %d is stronger than the one before", i, k)
				}
				sum, before = sum+effect, math.Abs(effect)
				if text == in.Sayings["days_since_last_purchase"].Say(recency[i], math.NaN()) {
					spoken++
				}
			}
			if !math.IsNaN(p) && math.Abs(sum-scores[i]) > 1e-5*(1+math.Abs(scores[i])) {
				t.Fatalf("%s, row %d: the reasons sum to %v, the score is %v", c.champion, i, sum, scores[i])
			}
		}
		if spoken < a.Summary.Scored/2 {
			t.Errorf("%s: days since the last purchase are a reason for %d of %d customers", c.champion, spoken, a.Summary.Scored)
		}
	}
}
