package predict

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/scoring"
	"github.com/shoal-data/shoal/jobs/targets"
	"github.com/shoal-data/shoal/models"
)

// table builds a snapshot in two batches from columns by name.
func table(t *testing.T, a timeline.AsOf, names []string, columns map[string][]float64) *features.Table {
	t.Helper()
	fields := []arrow.Field{features.CustomerField(datasets.IDType{Kind: datasets.IDInt64})}
	for _, n := range names {
		fields = append(fields, arrow.Field{Name: n, Type: arrow.PrimitiveTypes.Float64, Nullable: true})
	}
	tab := &features.Table{AsOf: a, Schema: arrow.NewSchema(fields, nil)}
	rows := len(columns[names[0]])
	for bucket, span := range [][2]int{{0, rows / 3}, {rows / 3, rows}} {
		ids := array.NewInt64Builder(memory.DefaultAllocator)
		arrays := []arrow.Array{nil}
		for i := span[0]; i < span[1]; i++ {
			ids.Append(int64(i))
		}
		arrays[0] = ids.NewArray()
		for _, n := range names {
			b := array.NewFloat64Builder(memory.DefaultAllocator)
			for _, v := range columns[n][span[0]:span[1]] {
				if math.IsNaN(v) {
					b.AppendNull()
				} else {
					b.Append(v)
				}
			}
			arrays = append(arrays, b.NewArray())
		}
		tab.Put(features.Batch{Bucket: bucket * 7, Record: array.NewRecord(tab.Schema, arrays, int64(span[1]-span[0]))})
	}
	return tab
}

func asOf(t *testing.T, date string) timeline.AsOf {
	t.Helper()
	a, err := timeline.ParseAsOf(date, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// world makes snapshots in which churn depends on recency (weight byRecency)
// and on a second feature (weight byRate).
func world(t *testing.T, byRecency, byRate float64, n int) (Question, Input, map[int32]*features.Table) {
	q := Question{Target: targets.Target{Name: "churn", Kind: targets.Churn, Role: datasets.Purchase, Horizon: 30, ActiveWithin: 60}}
	q.Schedule = targets.Schedule{Test: asOf(t, "2024-06-01"), Train: []timeline.AsOf{asOf(t, "2024-04-01"), asOf(t, "2024-05-01")}}
	names := []string{"days_since_last_purchase", "rate", "noise"}
	r := rand.New(rand.NewPCG(5, 5))
	past := map[int32]*features.Table{}
	draw := func() map[string][]float64 {
		c := map[string][]float64{}
		for range n {
			recency, rate := float64(r.IntN(60)), r.NormFloat64()
			p := 1 / (1 + math.Exp(-(byRecency*(recency-30)/15 - byRate*rate)))
			y := 0.0
			if r.Float64() < p {
				y = 1
			}
			standing := float64(targets.Eligible)
			if r.IntN(6) == 0 {
				y, standing = math.NaN(), float64(targets.Lapsed+targets.Standing(r.IntN(2)))
			}
			c[names[0]] = append(c[names[0]], recency)
			c[names[1]] = append(c[names[1]], rate)
			c[names[2]] = append(c[names[2]], r.NormFloat64())
			c[targets.LabelColumn("churn")] = append(c[targets.LabelColumn("churn")], y)
			c[StandingColumn("churn")] = append(c[StandingColumn("churn")], standing)
		}
		return c
	}
	for _, a := range append(slices.Clone(q.Schedule.Train), q.Schedule.Test) {
		past[a.Today] = table(t, a, append(slices.Clone(names), targets.LabelColumn("churn"), StandingColumn("churn")), draw())
	}
	in := Input{Features: names, Linear: names, Score: table(t, asOf(t, "2024-07-01"), append(slices.Clone(names), StandingColumn("churn")), draw()),
		Past: func(a timeline.AsOf) *features.Table { return past[a.Today] }}
	return q, in, past
}

// run answers one question.
func run(t *testing.T, p Params, q Question, in Input) (a *Answer, err error) {
	t.Helper()
	err = Run(t.Context(), p, []Question{q}, in, func(answer *Answer) { a = answer })
	return a, err
}

var params = Params{Baselines: true, L2: 1, MinPositives: 30, Seed: 1, Workers: 2}

func TestLogisticWinsWhereThereIsMoreThanRecency(t *testing.T) {
	q, in, _ := world(t, 0.5, 1.5, 1500)
	a, err := run(t, params, q, in)
	if err != nil {
		t.Fatal(err)
	}
	s := a.Summary
	if s.Champion != Logistic || *s.AUC.Model < *s.AUC.Baseline+0.1 || *s.AUC.Model < 0.75 {
		t.Errorf("champion %s, AUC %v against %v", s.Champion, *s.AUC.Model, *s.AUC.Baseline)
	}
	standing, _ := in.Score.Values(StandingColumn("churn"))
	scored := 0
	for i, p := range a.Probability {
		if (standing[i] == 0) != !math.IsNaN(p) || math.IsNaN(p) != math.IsNaN(a.Percentile[i]) {
			t.Fatalf("row %d: standing %v, probability %v, percentile %v", i, standing[i], p, a.Percentile[i])
		}
		if !math.IsNaN(p) {
			scored++
			if p <= 0 || p >= 1 {
				t.Fatalf("row %d: probability %v", i, p)
			}
		}
	}
	if s.Scored != scored || scored == 0 {
		t.Errorf("%d scored, the summary says %d", scored, s.Scored)
	}
	intervals := 0
	for _, m := range a.Metrics {
		if m.Split != "test" {
			continue // about leaks
		}
		if m.Champion != (m.Model == Logistic) || m.Snapshot != "2024-06-01" {
			t.Errorf("metric %+v", m)
		}
		if m.HasInterval {
			intervals++
			if m.Low > m.Value || m.High < m.Value {
				t.Errorf("%s of %s is %v, outside its interval %v to %v", m.Name, m.Model, m.Value, m.Low, m.High)
			}
		}
	}
	if intervals != 13 {
		t.Errorf("%d intervals, want 13: AUC and log-loss of six models, and what is gained on the rule", intervals)
	}
}

// When nothing beats the rule, the rule is shipped and the run says so.
func TestRecencyRuleIsShippedWhenItIsBetter(t *testing.T) {
	q, in, _ := world(t, 0, 0, 400) // nothing to learn: 3 features overfit, the rule much less
	in.Features = append(in.Features, "x0")
	noisy := func(tab *features.Table, r *rand.Rand) *features.Table {
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
		for k := range 40 {
			name := fmt.Sprint("x", k)
			names = append(names, name)
			for range tab.Rows() {
				c[name] = append(c[name], r.NormFloat64())
			}
		}
		return table(t, tab.AsOf, names, c)
	}
	r := rand.New(rand.NewPCG(1, 2))
	past := map[int32]*features.Table{}
	for _, a := range append(slices.Clone(q.Schedule.Train), q.Schedule.Test) {
		past[a.Today] = noisy(in.Past(a), r)
	}
	in.Past = func(a timeline.AsOf) *features.Table { return past[a.Today] }
	in.Score = noisy(in.Score, r)
	for k := 1; k < 40; k++ {
		in.Features = append(in.Features, fmt.Sprint("x", k))
	}
	in.Linear = in.Features
	a, err := run(t, Params{L2: 0.01, MinPositives: 30, Seed: 1, Workers: 1}, q, in)
	if err != nil {
		t.Fatal(err)
	}
	if a.Summary.Champion != Recency {
		t.Fatalf("champion %s: log-loss %v against %v", a.Summary.Champion, *a.Summary.LogLoss.Model, *a.Summary.LogLoss.Baseline)
	}
	if !slices.ContainsFunc(a.Warnings, func(w models.Warning) bool { return w.Code == "target.baseline_wins" }) {
		t.Errorf("nobody is told: %v", a.Warnings)
	}
	// The probabilities are the rule's: equal recency, equal probability.
	recency, _ := in.Score.Values("days_since_last_purchase")
	byRecency := map[float64]float64{}
	for i, p := range a.Probability {
		if math.IsNaN(p) {
			continue
		}
		if q, seen := byRecency[recency[i]]; seen && q != p {
			t.Fatalf("recency %v has probabilities %v and %v", recency[i], p, q)
		}
		byRecency[recency[i]] = p
	}
}

// What is measured has not seen the test snapshot: other outcomes there change
// the figures, but not what the measured models say of its customers. What scores has
// learnt from them.
func TestTheTestSnapshotIsNotSeenByWhatIsMeasured(t *testing.T) {
	q, in, past := world(t, 0.5, 1.5, 800)
	want, err := run(t, params, q, in)
	if err != nil {
		t.Fatal(err)
	}
	day := q.Schedule.Test.Today
	past[day] = remade(t, past[day], func(c map[string][]float64) {
		r := rand.New(rand.NewPCG(3, 3))
		v := c[targets.LabelColumn("churn")]
		for i := range v {
			if r.IntN(12) == 0 {
				v[i] = 1 - v[i] // NaN stays
			}
		}
	})
	got, err := run(t, params, q, in)
	if err != nil {
		t.Fatal(err)
	}
	if *got.Summary.AUC.Model == *want.Summary.AUC.Model || got.Summary.Champion != want.Summary.Champion {
		t.Fatalf("AUC %v and %v, champions %s and %s: the test snapshot was not changed, or too much", *got.Summary.AUC.Model, *want.Summary.AUC.Model, got.Summary.Champion, want.Summary.Champion)
	}
	for _, model := range []string{Recency, Logistic, Trees, NaiveBayes, Neighbours, Forest} {
		a, b := curve(want, model, "test", "scores"), curve(got, model, "test", "scores")
		for i := range a {
			if a[i].Customers != b[i].Customers {
				t.Errorf("%s: %v customers of probability %v, %v when outcomes are others", model, a[i].Customers, a[i].X, b[i].Customers)
			}
		}
	}
	if fmt.Sprint(got.Probability) == fmt.Sprint(want.Probability) {
		t.Error("what scores has not learnt from the newest outcomes")
	}
	p := params
	p.Workers = 1
	one, err := run(t, p, q, in)
	if err != nil || fmt.Sprint(one.Probability) != fmt.Sprint(got.Probability) || !reflect.DeepEqual(one.Summary, got.Summary) || !reflect.DeepEqual(one.Effects, got.Effects) {
		t.Errorf("another number of workers gave other answers: %v", err)
	}
}

// Questions of other dates by turns are each answered from their own dates' rows, whether one is
// worked on at a time or two, and as when they are asked alone.
func TestQuestionsOfOtherDates(t *testing.T) {
	// On one processor a question's goroutine does not begin before the next sample is made.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	q, in, _ := world(t, 0.5, 1.5, 300)
	earlier := q
	earlier.Schedule = targets.Schedule{Train: q.Schedule.Train[:1], Test: q.Schedule.Train[1]}
	questions := []Question{q, earlier, q, earlier}
	p := params
	p.Baselines = false
	for workers := 1; workers <= 2; workers++ {
		p.Workers = workers
		var got []*Answer
		if err := Run(t.Context(), p, questions, in, func(a *Answer) { got = append(got, a) }); err != nil {
			t.Fatal(err)
		}
		for i, a := range got {
			want, err := run(t, p, questions[i], in)
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(a.Probability) != fmt.Sprint(want.Probability) || fmt.Sprint(a.Metrics) != fmt.Sprint(want.Metrics) || !reflect.DeepEqual(a.Summary, want.Summary) {
				t.Errorf("%d workers, question %d: not as when it is asked alone: AUC %v, log-loss %v; alone %v and %v", workers, i, *a.Summary.AUC.Model, *a.Summary.LogLoss.Model, *want.Summary.AUC.Model, *want.Summary.LogLoss.Model)
			}
		}
		if len(got) != len(questions) {
			t.Errorf("%d answers of %d questions", len(got), len(questions))
		}
	}
}

// A behaviour that moves is followed: the model that scores has learnt the newest
// outcomes, so it is nearer to them than the one that was measured.
func TestTheNewestOutcomesAreLearnt(t *testing.T) {
	q, in, past := world(t, 0.5, 1.5, 1500)
	rate := func(day int32, share int) {
		past[day] = remade(t, past[day], func(c map[string][]float64) {
			r := rand.New(rand.NewPCG(4, 4))
			v := c[targets.LabelColumn("churn")]
			for i := range v {
				if v[i] == 0 && r.IntN(100) < share {
					v[i] = 1
				}
			}
		})
	}
	rate(q.Schedule.Test.Today, 50)
	a, err := run(t, params, q, in)
	if err != nil {
		t.Fatal(err)
	}
	sum, n := 0.0, 0.0
	for _, p := range a.Probability {
		if !math.IsNaN(p) {
			sum, n = sum+p, n+1
		}
	}
	m := metric(a, a.Summary.Champion, "test", "prevalence")
	off := metric(a, a.Summary.Champion, "test", "calibration_in_the_large")
	if measured := m.Value + off.Value; !(sum/n > measured+.05) {
		t.Errorf("scores average %v, the measured model's %v, of outcomes %v", sum/n, measured, m.Value)
	}
}

func TestNoModel(t *testing.T) {
	q, in, _ := world(t, 1, 1, 20)
	a, err := run(t, params, q, in)
	if err != nil || !strings.Contains(a.Summary.Skipped, "models.min_positives asks for 30") {
		t.Errorf("few customers: %q, %v", a.Summary.Skipped, err)
	}
	q.Skip = "history begins too late"
	if a, err = run(t, params, q, in); err != nil || a.Summary.Skipped != q.Skip || len(a.Warnings) != 1 {
		t.Errorf("skipped: %+v, %v", a.Summary, err)
	}
	for i := range a.Probability {
		if !math.IsNaN(a.Probability[i]) || !math.IsNaN(a.Percentile[i]) {
			t.Fatal("a score without a model")
		}
	}
}

// Input that a model cannot be learnt from, or not well, has a clear outcome, and
// whatever can honestly be published is.
func TestPoorInput(t *testing.T) {
	label, standing := targets.LabelColumn("churn"), StandingColumn("churn")
	everywhere := func(past map[int32]*features.Table, in *Input, edit func(c map[string][]float64)) {
		for day, tab := range past {
			past[day] = remade(t, tab, edit)
		}
		in.Score = remade(t, in.Score, func(c map[string][]float64) {
			c[label] = make([]float64, in.Score.Rows())
			edit(c)
			delete(c, label)
		})
	}
	set := func(name string, v float64) func(c map[string][]float64) {
		return func(c map[string][]float64) {
			for i := range c[name] {
				c[name][i] = v
			}
		}
	}
	for _, c := range []struct {
		name    string
		edit    func(q *Question, in *Input, past map[int32]*features.Table)
		skipped string // what the reason says; "" when there is a model
		warning string // a code that must be there
	}{
		{"one class only", func(q *Question, in *Input, past map[int32]*features.Table) {
			everywhere(past, in, func(c map[string][]float64) {
				for i, v := range c[label] {
					c[label][i] = 0 * v
				}
			})
		}, "with 0 positives; models.min_positives asks for 30", "target.none"},
		{"one class at the test snapshot", func(q *Question, in *Input, past map[int32]*features.Table) {
			day := q.Schedule.Test.Today
			past[day] = remade(t, past[day], func(c map[string][]float64) {
				for i, v := range c[label] {
					c[label][i] = 0 * v
				}
			})
		}, "", ""},
		{"nobody eligible at the test snapshot", func(q *Question, in *Input, past map[int32]*features.Table) {
			day := q.Schedule.Test.Today
			past[day] = remade(t, past[day], set(label, math.NaN()))
		}, "", "target.untested"},
		{"nobody eligible now", func(q *Question, in *Input, past map[int32]*features.Table) {
			in.Score = remade(t, in.Score, set(standing, float64(targets.Lapsed)))
		}, "", ""},
		{"nobody eligible ever", func(q *Question, in *Input, past map[int32]*features.Table) {
			everywhere(past, in, set(label, math.NaN()))
		}, "0 training customers", "target.none"},
		{"a constant column", func(q *Question, in *Input, past map[int32]*features.Table) {
			everywhere(past, in, set("noise", 4))
		}, "", ""},
		{"a column all missing", func(q *Question, in *Input, past map[int32]*features.Table) {
			everywhere(past, in, set("rate", math.NaN()))
		}, "", ""},
		{"every column constant", func(q *Question, in *Input, past map[int32]*features.Table) {
			for _, name := range in.Features {
				everywhere(past, in, set(name, 7))
			}
		}, "", "target.baseline_wins"},
		{"recency all missing", func(q *Question, in *Input, past map[int32]*features.Table) {
			everywhere(past, in, set("days_since_last_purchase", math.NaN()))
			in.Features = append(slices.Clone(in.Features), features.DaysSinceLastEvent)
			everywhere(past, in, func(c map[string][]float64) {
				for i := range c["rate"] {
					c[features.DaysSinceLastEvent] = append(c[features.DaysSinceLastEvent], float64(i%40))
				}
			})
		}, "", ""},
		{"one training snapshot", func(q *Question, in *Input, past map[int32]*features.Table) {
			q.Schedule.Train = q.Schedule.Train[:1]
		}, "", ""},
		{"a snapshot without anybody", func(q *Question, in *Input, past map[int32]*features.Table) {
			day := q.Schedule.Train[0].Today
			empty := map[string][]float64{}
			for _, f := range past[day].Schema.Fields()[1:] {
				empty[f.Name] = nil
			}
			past[day] = table(t, q.Schedule.Train[0], append(slices.Clone(in.Features), label, standing), empty)
		}, "", ""},
		{"no complete snapshot", func(q *Question, in *Input, past map[int32]*features.Table) {
			q.Skip, q.Schedule = "history begins 2024-06-01, too late for a horizon of 30 days", targets.Schedule{}
		}, "too late for a horizon", "target.none"},
	} {
		q, in, past := world(t, 0.5, 1.5, 500)
		c.edit(&q, &in, past)
		in.Linear = in.Features
		a, err := run(t, params, q, in)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		s := a.Summary
		if (s.Skipped == "") != (c.skipped == "") || !strings.Contains(s.Skipped, c.skipped) {
			t.Errorf("%s: skipped %q, want %q", c.name, s.Skipped, c.skipped)
		}
		if c.warning != "" && !slices.ContainsFunc(a.Warnings, func(w models.Warning) bool { return w.Code == c.warning }) {
			t.Errorf("%s: no warning %s: %v", c.name, c.warning, a.Warnings)
		}
		eligible := 0
		of, _ := in.Score.Values(standing)
		for i, v := range of {
			scored := !math.IsNaN(a.Probability[i])
			if v == 0 {
				eligible++
			}
			if scored != (v == 0 && c.skipped == "") || scored && !(a.Probability[i] > 0 && a.Probability[i] < 1) {
				t.Errorf("%s: row %d of standing %v has the probability %v", c.name, i, v, a.Probability[i])
				break
			}
		}
		if c.skipped == "" && s.Scored != eligible || s.Champion == "" != (c.skipped != "") {
			t.Errorf("%s: %d of %d scored by %q", c.name, s.Scored, eligible, s.Champion)
		}
		if len(a.Audit) == 0 {
			t.Errorf("%s: no label audit", c.name)
		}
	}
}

// Scores are held against those of the run that learnt the model: the same have not
// drifted, nor have those of a few customers that differ by chance; others have.
func TestBorrowedModelsDrift(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 1))
	draw := func(n int, most float64) []float64 {
		p := []float64{math.NaN()} // not eligible
		for range n {
			p = append(p, most*r.Float64())
		}
		return p
	}
	for _, c := range []struct {
		now     []float64
		drifted bool
	}{{draw(5000, .5), false}, {draw(60, .5), false}, {draw(5000, .3), true}} {
		a := &Answer{Scores: &scoring.Scores{Probability: c.now}, Learnt: scoring.Distribute(draw(5000, .5))}
		a.compare()
		if a.Summary.ScoreDrift == nil || a.Summary.Drifted != c.drifted {
			t.Errorf("%d scores: %v, %v", len(c.now)-1, *a.Summary.ScoreDrift, a.Summary.Drifted)
		}
	}
	// Of nobody, and against nobody, there is nothing to say, whatever the run before said.
	for _, a := range []*Answer{{Scores: &scoring.Scores{Probability: []float64{math.NaN()}}, Learnt: scoring.Distribute(draw(9, 1))}, {Scores: &scoring.Scores{Probability: draw(9, 1)}}} {
		a.Summary.ScoreDrift, a.Summary.Drifted = new(float64), true
		if a.compare(); a.Summary.ScoreDrift != nil || a.Summary.Drifted {
			t.Errorf("%+v", a.Summary)
		}
	}
}
