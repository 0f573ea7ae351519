package predict

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/jobs/predict/evidence"
	"github.com/shoal-data/shoal/jobs/targets"
)

// remade is a table with columns changed or added.
func remade(t *testing.T, tab *features.Table, edit func(c map[string][]float64)) *features.Table {
	t.Helper()
	c := map[string][]float64{}
	var names []string
	for _, f := range tab.Schema.Fields()[1:] {
		v, err := tab.Values(f.Name)
		if err != nil {
			t.Fatal(err)
		}
		c[f.Name] = v
		names = append(names, f.Name)
	}
	edit(c)
	var added []string
	for name := range c {
		if !slices.Contains(names, name) {
			added = append(added, name)
		}
	}
	slices.Sort(added)
	return table(t, tab.AsOf, append(names, added...), c)
}

func leaksOf(a *Answer) (codes []string) {
	for _, w := range a.Warnings {
		if strings.HasPrefix(w.Code, "leak.") {
			codes = append(codes, strings.TrimPrefix(w.Code, "leak."))
		}
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

func metric(a *Answer, model, split, name string) outputs.Metric {
	for _, m := range a.Metrics {
		if m.Model == model && m.Split == split && m.Name == name {
			return m
		}
	}
	return outputs.Metric{Value: math.NaN()}
}

// Each alarm sounds on the leak that is planted for it, and none without.
func TestLeakAlarms(t *testing.T) {
	for _, c := range []struct {
		leak  string
		plant func(q *Question, in *Input, edit func(func(map[string][]float64)))
		want  []string
	}{
		{"none", func(*Question, *Input, func(func(map[string][]float64))) {}, nil},
		{"a column that knows the outcome", func(q *Question, in *Input, edit func(func(map[string][]float64))) {
			r := rand.New(rand.NewPCG(7, 7))
			edit(func(c map[string][]float64) {
				for _, y := range c[targets.LabelColumn("churn")] {
					c["refund_after"] = append(c["refund_after"], y+.2*r.NormFloat64())
				}
			})
			in.Features = append(slices.Clone(in.Features), "refund_after")
		}, []string{"single_feature"}},
		{"a column that is missing unless it happened", func(q *Question, in *Input, edit func(func(map[string][]float64))) {
			edit(func(c map[string][]float64) {
				for i, y := range c[targets.LabelColumn("churn")] {
					v := float64(i % 7)
					if y == 1 && i%50 != 0 {
						v = math.NaN()
					}
					c["next_order_value"] = append(c["next_order_value"], v)
				}
			})
			in.Features = append(slices.Clone(in.Features), "next_order_value")
		}, []string{"single_feature"}},
		{"outcome windows that overlap the test", func(q *Question, in *Input, edit func(func(map[string][]float64))) {
			q.Horizon = 45
		}, []string{"window_overlap"}},
		{"the test snapshot in training", func(q *Question, in *Input, edit func(func(map[string][]float64))) {
			q.Schedule.Train = append(slices.Clone(q.Schedule.Train), q.Schedule.Test)
		}, []string{"shuffled_labels", "window_overlap"}},
	} {
		q, in, past := world(t, 0.5, 1.5, 1500)
		q.Horizon = 30
		c.plant(&q, &in, func(edit func(map[string][]float64)) {
			for day, tab := range past {
				past[day] = remade(t, tab, edit)
			}
			in.Score = remade(t, in.Score, func(c map[string][]float64) {
				c[targets.LabelColumn("churn")] = make([]float64, in.Score.Rows())
				edit(c)
			})
		})
		a, err := run(t, params, q, in)
		if err != nil {
			t.Fatal(err)
		}
		if got := leaksOf(a); !slices.Equal(got, c.want) {
			t.Errorf("%s: alarms %v, want %v: %v", c.leak, got, c.want, a.Warnings)
		}
		if m := metric(a, Trees, "random", "auc"); !(m.Value > .7) || m.Rows == 0 {
			t.Errorf("%s: AUC of a random split %+v", c.leak, m)
		}
	}
}

// The whole pipeline on labels that mean nothing ranks no better than chance, and the
// rule is shipped.
func TestShuffledLabels(t *testing.T) {
	q, in, past := world(t, 0.5, 1.5, 2000)
	r := rand.New(rand.NewPCG(3, 9))
	for day, tab := range past {
		past[day] = remade(t, tab, func(c map[string][]float64) {
			y := c[targets.LabelColumn("churn")]
			var known []int
			for i := range y {
				if !math.IsNaN(y[i]) {
					known = append(known, i)
				}
			}
			r.Shuffle(len(known), func(i, j int) { y[known[i]], y[known[j]] = y[known[j]], y[known[i]] })
		})
	}
	a, err := run(t, params, q, in)
	if err != nil {
		t.Fatal(err)
	}
	for _, model := range []string{Recency, Logistic, Trees, NaiveBayes, Neighbours, Forest} {
		m := metric(a, model, "test", "auc")
		yes, no := float64(m.Positives), float64(m.Rows-m.Positives)
		if sigma := math.Sqrt((yes + no + 1) / (12 * yes * no)); math.Abs(m.Value-.5) > 3*sigma {
			t.Errorf("%s: AUC %.4f of %d shuffled labels, %.1f standard deviations from 0.5", model, m.Value, m.Rows, math.Abs(m.Value-.5)/sigma)
		}
	}
	if a.Summary.Champion != Recency || leaksOf(a) != nil {
		t.Errorf("champion %s, alarms %v", a.Summary.Champion, leaksOf(a))
	}
}

func TestLabelAudit(t *testing.T) {
	q, in, past := world(t, 0.5, 1.5, 900)
	a, err := run(t, params, q, in)
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Audit) != 4 {
		t.Fatalf("%d rows, want two of training, the test and the run's date", len(a.Audit))
	}
	for k, l := range a.Audit {
		tab, split := in.Score, "score"
		if k < 3 {
			tab, split = past[asOf(t, l.Snapshot).Today], []string{"train", "train", "test"}[k]
		}
		want := evidence.Labels{Target: "churn", Split: split, Snapshot: tab.AsOf.String(), Customers: 900}
		standing, _ := tab.Values(StandingColumn("churn"))
		for i, s := range standing {
			switch {
			case s == 1:
				want.Lapsed++
			case s == 2:
				want.Never++
			default:
				want.Eligible++
				if k == 3 {
					want.Censored++
					break
				}
				y, _ := tab.Values(targets.LabelColumn("churn"))
				if y[i] == 1 {
					want.Positives++
				} else {
					want.Negatives++
				}
			}
		}
		if l != want || l.Lapsed == 0 || l.Never == 0 {
			t.Errorf("%+v, want %+v", l, want)
		}
	}
}
