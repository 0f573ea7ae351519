// Package predict answers a target: it trains models on past snapshots, measures
// them on one that they have not seen beside the recency rule, and names the best of
// them champion. The champion is then learnt again with the newest snapshot among the
// others, and scores the customers of the run's date. A model that an earlier run has
// learnt may score them instead.
package predict

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/jobs/predict/evidence"
	"github.com/shoal-data/shoal/jobs/scoring"
	"github.com/shoal-data/shoal/jobs/targets"
	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/metrics"
	"github.com/shoal-data/shoal/models/transform"
)

// Names of the models of a target.
const (
	Recency  = "recency"
	Logistic = "logistic"
	Trees    = "trees"

	// These are measured beside the others, and never used.
	NaiveBayes = "naive_bayes"
	Neighbours = "nearest_neighbours"
	Forest     = "random_forest"
)

// Params say how models are trained.
type Params struct {
	L2           float64 // penalty of the logistic model
	MinPositives int     // training customers of either outcome, at least
	Seed         uint64  // of boosted trees, bootstrap intervals and shuffled labels
	// Baselines measures naive Bayes, nearest neighbours and a random forest, too.
	Baselines bool
	Workers   int
}

// A Question is a target with everything automatic resolved, and when it can
// be trained and tested.
type Question struct {
	targets.Target
	Schedule targets.Schedule
	Skip     string  // why it cannot be modelled; empty when it can
	Stored   *Stored // the model that scores, when none is to be learnt
}

// Stored is a model that an earlier run learnt.
type Stored struct {
	Learnt  string // as-of date of that run, YYYY-MM-DD
	Model   *scoring.Model
	Summary Summary               // of the target in that run
	Scores  *scoring.Distribution // of that run; nil when they are not known
}

// drifted is the stability index of the probabilities against those of the run that
// learnt the model, beyond chance, above which on_drift has the next run learn one anew:
// what is commonly called some movement.
const drifted = .1

// Input is what questions are answered from.
type Input struct {
	Features []string        // columns to learn from
	Linear   []string        // of these, those that a linear model learns from
	Score    *features.Table // the customers to score, with StandingColumn
	// Past is the table of a snapshot of the schedule, with the target's label and
	// StandingColumn.
	Past func(timeline.AsOf) *features.Table
	// Sayings put the columns into words.
	Sayings map[string]*features.Saying
}

// StandingColumn is the column of a customer's targets.Standing to a target.
func StandingColumn(target string) string { return "standing." + target }

// An Answer is a target's prediction for every customer.
type Answer struct {
	targets.Target
	*scoring.Scores                       // of eligible customers; of nobody when there is no model
	Fitted          *scoring.Model        // the model that scores; nil when there is none
	Tested          []float64             // its probabilities of the test snapshot's eligible customers
	Learnt          *scoring.Distribution // the scores of the run that learnt it; nil when nobody was scored
	Metrics         []outputs.Metric
	Calibration     []evidence.Reliability
	Curves          []evidence.CurvePoint
	Audit           []evidence.Labels
	Summary         Summary
	Warnings        []models.Warning
}

// Summary is a target's model beside its baseline, out of time.
type Summary struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	Role    string `json:"role"`
	Where   string `json:"where,omitempty"` // further conditions on the events, in words
	Ends    string `json:"ends,omitempty"`  // what churn is, when not silence
	Gap     int    `json:"gap_days"`
	Horizon int    `json:"horizon_days"`
	// Eligible customers were active within so many days; 0 is at any time.
	ActiveWithin int    `json:"active_within_days"`
	Skipped      string `json:"skipped,omitempty"` // why there is no model
	TestDate     string `json:"test_date,omitempty"`
	TestRows     int    `json:"test_rows,omitempty"`
	Positives    int    `json:"test_positives,omitempty"`
	Champion     string `json:"champion,omitempty"`
	// Figures are those of the best model that is not the recency rule, beside the rule's.
	Best    string         `json:"best_model,omitempty"`
	AUC     outputs.Figure `json:"auc"`
	LogLoss outputs.Figure `json:"log_loss"`
	ECE     outputs.Figure `json:"ece"`
	Scored  int            `json:"scored_customers"`
	// Learnt is the date of the run that learnt the model, when that is another.
	Learnt string `json:"learnt,omitempty"`
	// ScoreDrift is then the stability index of the probabilities against those of
	// that run, and Drifted says that under on_drift the next run learns anew.
	ScoreDrift *float64 `json:"score_drift,omitempty"`
	Drifted    bool     `json:"drifted,omitempty"`
}

// SummaryOf is what a target asks, without an answer.
func SummaryOf(t targets.Target) Summary {
	s := Summary{Name: t.Name, Kind: t.Kind.String(), Role: t.RoleName(), Gap: t.Gap, Horizon: t.Horizon, ActiveWithin: t.ActiveWithin, Where: t.Condition}
	if t.Kind == targets.Churn && t.Ends != targets.Silence {
		s.Ends = t.Ends.String()
	}
	return s
}

func (a *Answer) warn(code, format string, args ...any) {
	a.Warnings = append(a.Warnings, models.Warning{Code: code, Message: fmt.Sprintf(format, args...)})
}

// skip leaves the target without a model.
func (a *Answer) skip(format string, args ...any) {
	a.Summary.Skipped = fmt.Sprintf(format, args...)
	a.warn("target.none", "no model for target %s: %s; its columns are null", a.Name, a.Summary.Skipped)
}

// together is how many questions are worked on at once at most: while one waits for what
// only one processor can do, the other has use for the rest. More would need more memory.
const together = 2

// Run answers questions. answered hears of each, in their order.
func Run(ctx context.Context, p Params, questions []Question, in Input, answered func(*Answer)) error {
	answers := make([]*Answer, len(questions))
	var mu sync.Mutex
	next := 0 // to be told
	g, alive := errgroup.WithContext(ctx)
	g.SetLimit(min(together, p.Workers))
	var s *sample // kept for the next question of the same dates
	for i, q := range questions {
		if alive.Err() != nil {
			break
		}
		if q.Skip == "" && q.Stored == nil && (s == nil || !slices.Equal(s.dates, append(slices.Clone(q.Schedule.Train), q.Schedule.Test))) {
			var err error
			if s, err = newSample(alive, p, in, q.Schedule); err != nil {
				g.Go(func() error { return fmt.Errorf("target %s: %w", q.Name, err) })
				break
			}
		}
		mine := s // the next question's may be another
		g.Go(func() error {
			a, err := answer(alive, p, q, in, mine)
			if err != nil {
				return fmt.Errorf("target %s: %w", q.Name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			for answers[i] = a; next < len(answers) && answers[next] != nil; next++ {
				answered(answers[next])
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

func answer(ctx context.Context, p Params, q Question, in Input, s *sample) (*Answer, error) {
	a := &Answer{Target: q.Target, Scores: scoring.None(in.Score.Rows())}
	a.Summary = SummaryOf(q.Target)
	if err := a.audit(q, in); err != nil {
		return nil, err
	}
	if q.Skip != "" {
		a.skip("%s", q.Skip)
		return a, nil
	}
	if q.Stored != nil {
		a.Summary, a.Fitted = q.Stored.Summary, q.Stored.Model
		a.Summary.Learnt, a.Learnt = q.Stored.Learnt, q.Stored.Scores
		if err := a.score(ctx, p, in); err != nil {
			return nil, err
		}
		a.compare()
		return a, nil
	}
	y, err := s.labels(q.Name)
	if err != nil {
		return nil, err
	}
	sp := s.split(y, s.tested())
	pos := positivesOf(y, sp.all)
	if pos < p.MinPositives || len(sp.all)-pos < p.MinPositives {
		a.skip("%d training customers over %d snapshots with %d positives; models.min_positives asks for %d of either outcome", len(sp.all), len(q.Schedule.Train), pos, p.MinPositives)
		return a, nil
	}
	useful, err := s.useful(ctx, p, y, sp)
	if err != nil {
		return nil, err
	}
	var fitted []*scoring.Model
	var grown *learnt
	candidates := a.candidates(p, q, in, s, useful, y)
	for _, c := range candidates {
		f, err := c.learn(ctx, s, sp, y)
		if errors.Is(err, transform.ErrConstant) {
			continue // there is nothing for it to learn from
		}
		if err != nil {
			return nil, err
		}
		fitted = append(fitted, f.Model)
		if f.Name == Trees {
			grown = f
		}
		if err := a.byDate(f, s, y); err != nil {
			return nil, err
		}
	}
	leaks := newLeaks(p, q, in, s, sp, y)
	if err := leaks.fit(ctx); err != nil {
		return nil, err
	}
	if err := leaks.randomly(grown); err != nil {
		return nil, err
	}
	if err := a.judge(ctx, p, q, in, fitted, leaks); err != nil {
		return nil, err
	}
	if err := a.renew(ctx, p, candidates, s, y); err != nil {
		return nil, err
	}
	if err := a.score(ctx, p, in); err != nil {
		return nil, err
	}
	a.Learnt = scoring.Distribute(a.Probability)
	return a, nil
}

// compare holds tonight's probabilities against those of the run that learnt the model.
func (a *Answer) compare() {
	a.Summary.ScoreDrift, a.Summary.Drifted = nil, false
	if a.Learnt == nil {
		return
	}
	shift, ok := a.Learnt.Shift(a.Probability)
	if !ok {
		return
	}
	a.Summary.ScoreDrift, a.Summary.Drifted = &shift.PSI, shift.PSI > drifted+shift.Chance
}

// score applies the model to the eligible customers of the run's date.
func (a *Answer) score(ctx context.Context, p Params, in Input) error {
	standing, err := in.Score.Values(StandingColumn(a.Name))
	if err != nil {
		return err
	}
	eligible := func(i int) bool { return standing[i] == float64(targets.Eligible) }
	if a.Scores, err = a.Fitted.Run(ctx, in.Score, eligible, in.Sayings, p.Workers); err != nil {
		return err
	}
	a.Summary.Scored = a.Scored
	a.Curves = append(a.Curves, evidence.Forecast(a.Name, a.Fitted.Name, in.Score.AsOf.String(), a.Probability)...)
	return nil
}

// renew learns the champion again, now with the test snapshot: its outcomes are the
// newest there are. At that snapshot's date, the tested model was just as new.
func (a *Answer) renew(ctx context.Context, p Params, candidates []candidate, s *sample, y []float64) error {
	sp := s.split(y, len(s.dates))
	if sp.all[len(sp.all)-1] < uint32(s.from[s.tested()]) {
		return nil // nobody was eligible there
	}
	for _, c := range candidates {
		if c.name != a.Fitted.Name {
			continue
		}
		said := slices.Clone(a.Warnings)
		f, err := c.learn(ctx, s, sp, y)
		if err != nil {
			return err
		}
		a.Fitted = f.Model
		a.Warnings = append(said, slices.DeleteFunc(a.Warnings[len(said):], func(w models.Warning) bool {
			return slices.ContainsFunc(said, func(s models.Warning) bool { return s.Code == w.Code })
		})...)
	}
	return nil
}

// byDate appends how well a model's probabilities meet the outcomes of each training
// date, by the customers that its twin had not learnt from: whether the behaviour moves.
func (a *Answer) byDate(f *learnt, s *sample, y []float64) error {
	if f.Name != Recency && f.Name != Logistic && f.Name != Trees {
		return nil
	}
	p, err := f.Calibrated(nil, f.scores)
	if err != nil {
		return err
	}
	for d := range s.tested() {
		from, _ := slices.BinarySearch(f.rows, uint32(s.from[d]))
		to, _ := slices.BinarySearch(f.rows, uint32(s.from[d+1]))
		if from == to {
			continue
		}
		labels := make([]float64, 0, to-from)
		for _, i := range f.rows[from:to] {
			labels = append(labels, y[i])
		}
		b, err := metrics.NewBinary(labels, p[from:to])
		if err != nil {
			return err
		}
		for _, m := range []struct {
			name string
			of   func(*metrics.Binary) (float64, bool)
		}{
			{"auc", (*metrics.Binary).AUC}, {"log_loss", (*metrics.Binary).LogLoss},
			{"calibration_in_the_large", (*metrics.Binary).CalibrationInTheLarge}, {"prevalence", (*metrics.Binary).Prevalence},
		} {
			v, ok := m.of(b)
			if !ok {
				v = math.NaN()
			}
			a.Metrics = append(a.Metrics, outputs.Metric{Target: a.Name, Model: f.Name, Split: "held_out", Snapshot: s.dates[d].String(), Name: m.name, Value: v, Rows: b.Rows(), Positives: b.Positives()})
		}
	}
	return nil
}

// Columns are what customer_scores says of the target.
func (a *Answer) Columns() []outputs.Column { return a.Scores.Columns(a.Name, a.Outcome()) }

// tested is a model on the snapshot that it has not seen.
type tested struct {
	*scoring.Model
	rows               []int // of the test snapshot's eligible customers; nil is all
	score, probability []float64
	loss               []float64 // of each customer
	binary             *metrics.Binary
	figures            map[string]*float64
}

// judge measures every model on the test snapshot and names the champion: the
// model of the least log-loss, unless that may be by chance no less than the
// recency rule's.
func (a *Answer) judge(ctx context.Context, p Params, q Question, in Input, fitted []*scoring.Model, leaks *leaks) error {
	table := in.Past(q.Schedule.Test)
	labels, err := table.Values(targets.LabelColumn(q.Name))
	if err != nil {
		return err
	}
	place := make([]int, len(labels)) // among the eligible
	var y []float64
	for i, label := range labels {
		if place[i] = -1; !math.IsNaN(label) {
			place[i] = len(y)
			y = append(y, label)
		}
	}
	a.Fitted = fitted[0]
	a.Summary.TestDate, a.Summary.TestRows, a.Summary.Champion = q.Schedule.Test.String(), len(y), a.Fitted.Name
	if len(y) == 0 {
		a.warn("target.untested", "target %s: nobody was eligible at the test snapshot %s, so no model could be compared with the recency rule", q.Name, q.Schedule.Test)
		return nil
	}
	all := make([]*tested, len(fitted))
	sets := make([][]string, 0, len(fitted)+1)
	for k, f := range fitted {
		all[k] = &tested{Model: f, score: make([]float64, len(y))}
		if step := (len(y) + neighbourTests - 1) / neighbourTests; f.Neighbours != nil && step > 1 {
			for i := 0; i < len(y); i += step {
				all[k].rows = append(all[k].rows, i)
			}
		}
		sets = append(sets, f.Columns)
	}
	sets = append(sets, leaks.columns())
	shuffled := make([]float64, len(y))
	err = scoring.Scan(ctx, table, p.Workers, func(i int) bool { return place[i] >= 0 }, sets, func(_ int, b *scoring.Block) error {
		first := place[b.Rows[0]]
		for k, t := range all {
			if err := t.test(first, b.X[k]); err != nil {
				return err
			}
		}
		return leaks.score(shuffled[first:][:len(b.Rows)], b.X[len(all)])
	})
	if err != nil {
		return err
	}
	for _, t := range all {
		of := y
		if t.rows != nil {
			score := t.score
			t.score, of = make([]float64, len(t.rows)), make([]float64, len(t.rows))
			for k, i := range t.rows {
				t.score[k], of[k] = score[i], y[i]
			}
		}
		if err := a.measure(ctx, p, q, t, of); err != nil {
			return err
		}
	}
	a.Summary.Positives = all[0].binary.Positives()
	if err := a.choose(ctx, p, q, all); err != nil {
		return err
	}
	return a.alarms(ctx, p, q, leaks, y, shuffled)
}

// neighbourTests is how many customers nearest neighbours are measured on at most:
// they take longer than all other models together.
const neighbourTests = 2000

// test scores the eligible customers from first on.
func (t *tested) test(first int, x models.Matrix) error {
	if t.rows == nil {
		_, err := t.Scores(t.score[first:][:x.Rows()], x)
		return err
	}
	from, _ := slices.BinarySearch(t.rows, first)
	to, _ := slices.BinarySearch(t.rows, first+x.Rows())
	for _, i := range t.rows[from:to] {
		if _, err := t.Scores(t.score[i:i+1], models.Matrix{Names: x.Names, Data: x.Row(i - first)}); err != nil {
			return err
		}
	}
	return nil
}

// choose names the champion.
func (a *Answer) choose(ctx context.Context, p Params, q Question, all []*tested) error {
	rule, best := all[0], (*tested)(nil)
	for _, t := range all[1:] {
		if t.Name != Logistic && t.Name != Trees {
			continue
		}
		if best == nil || *t.figures["log_loss"] < *best.figures["log_loss"] {
			best = t
		}
	}
	champion := rule
	if best != nil {
		gain, low, high, err := a.gain(ctx, p, rule, best)
		if err != nil {
			return err
		}
		a.Metrics = append(a.Metrics, outputs.Metric{Target: q.Name, Model: best.Name, Split: "test", Snapshot: q.Schedule.Test.String(), Name: "log_loss_gain_on_recency",
			Value: gain, Low: low, High: high, HasInterval: true, Rows: best.binary.Rows(), Positives: best.binary.Positives()})
		if low > 0 {
			champion = best
		} else {
			a.warn("target.baseline_wins", "target %s: no model beats the recency rule out of time beyond chance (the best, %s: log-loss %.4f against %.4f, gain %.4f, 95%% interval %.4f to %.4f), so the rule's probabilities are published",
				q.Name, best.Name, *best.figures["log_loss"], *rule.figures["log_loss"], gain, low, high)
		}
		a.Summary.Best = best.Name
	}
	for name, to := range map[string]*outputs.Figure{"auc": &a.Summary.AUC, "log_loss": &a.Summary.LogLoss, "ece": &a.Summary.ECE} {
		to.Baseline = rule.figures[name]
		if best != nil {
			to.Model = best.figures[name]
		}
	}
	a.Fitted, a.Tested, a.Summary.Champion = champion.Model, champion.probability, champion.Name
	for i := range a.Metrics {
		a.Metrics[i].Champion = a.Metrics[i].Model == champion.Name
	}
	for i := range a.Calibration {
		a.Calibration[i].Champion = a.Calibration[i].Model == champion.Name
	}
	for i := range a.Curves {
		a.Curves[i].Champion = a.Curves[i].Model == champion.Name
	}
	if shift := champion.figures["calibration_in_the_large"]; shift != nil && math.Abs(*shift) > 0.1 {
		a.warn("target.shift", "target %s: %s says %.0f%% on average at the test snapshot %s, where %.0f%% were positive: the behaviour is moving, so probabilities may be off by as much",
			q.Name, champion.Name, 100*(*shift+*champion.figures["prevalence"]), q.Schedule.Test, 100**champion.figures["prevalence"])
	}
	return nil
}

// gain is how much less the log-loss of model is than the rule's, and its 95%
// interval over resampled customers, the same ones for both.
func (a *Answer) gain(ctx context.Context, p Params, rule, model *tested) (gain, low, high float64, err error) {
	difference := make([]float64, len(rule.loss))
	for i := range difference {
		difference[i] = rule.loss[i] - model.loss[i]
	}
	iv, _, err := metrics.Bootstrap(ctx, p.bootstrap(), len(difference), nil, func(times []int32) (float64, bool) { return weighted(difference, times), true })
	return weighted(difference, nil), iv.Low, iv.High, err
}

// weighted is the mean of v, element i counted times[i] times; nil is once each.
func weighted(v []float64, times []int32) float64 {
	sum, n := 0.0, 0.0
	for i, x := range v {
		t := 1.0
		if times != nil {
			t = float64(times[i])
		}
		sum += t * x
		n += t
	}
	return sum / n
}

func (p Params) bootstrap() metrics.BootstrapParams {
	b := metrics.DefaultBootstrapParams()
	b.Seed, b.Workers, b.Replicates = p.Seed, p.Workers, 200
	return b
}

// measure appends a model's figures and its reliability table.
func (a *Answer) measure(ctx context.Context, p Params, q Question, t *tested, y []float64) error {
	var err error
	if t.probability, err = t.Calibrated(nil, t.score); err != nil {
		return err
	}
	if t.binary, err = metrics.NewBinary(y, t.probability); err != nil {
		return err
	}
	t.loss = make([]float64, len(y))
	for i, v := range t.probability {
		if y[i] == 0 {
			v = 1 - v
		}
		t.loss[i] = -math.Log(max(v, 0x1p-52))
	}
	t.figures = map[string]*float64{}
	b := t.binary
	for _, f := range []struct {
		name     string
		of       func(*metrics.Binary) (float64, bool)
		interval func(times []int32) (float64, bool)
	}{
		{"auc", (*metrics.Binary).AUC, func(times []int32) (float64, bool) { return b.Resample(times).AUC() }},
		{"average_precision", (*metrics.Binary).AveragePrecision, nil},
		{"log_loss", (*metrics.Binary).LogLoss, func(times []int32) (float64, bool) { return weighted(t.loss, times), true }},
		{"brier", (*metrics.Binary).Brier, nil},
		{"ks", (*metrics.Binary).KS, nil},
		{"top_decile_lift", (*metrics.Binary).TopDecileLift, nil},
		{"calibration_in_the_large", (*metrics.Binary).CalibrationInTheLarge, nil},
		{"ece", func(b *metrics.Binary) (float64, bool) { return b.ExpectedCalibrationError(10, metrics.EqualCount) }, nil},
		{"prevalence", (*metrics.Binary).Prevalence, nil},
	} {
		v, ok := f.of(b)
		m := outputs.Metric{Target: q.Name, Model: t.Name, Split: "test", Snapshot: q.Schedule.Test.String(), Name: f.name, Value: math.NaN(), Rows: b.Rows(), Positives: b.Positives()}
		if ok {
			m.Value = v
			t.figures[f.name] = &v
		}
		if ok && f.interval != nil {
			iv, ok, err := metrics.Bootstrap(ctx, p.bootstrap(), b.Rows(), nil, f.interval)
			if err != nil {
				return err
			}
			m.Low, m.High, m.HasInterval = iv.Low, iv.High, ok
		}
		a.Metrics = append(a.Metrics, m)
	}
	for _, r := range b.Reliability(10, metrics.EqualCount) {
		a.Calibration = append(a.Calibration, evidence.Reliability{Target: q.Name, Model: t.Name, Snapshot: q.Schedule.Test.String(), ReliabilityBin: r})
	}
	a.Curves = append(a.Curves, evidence.Tested(q.Name, t.Name, q.Schedule.Test.String(), b)...)
	return nil
}
