package predict

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/jobs/predict/evidence"
	"github.com/shoal-data/shoal/jobs/targets"
	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/gbdt"
	"github.com/shoal-data/shoal/models/metrics"
)

// audit counts the customers of every snapshot by their standing and label.
func (a *Answer) audit(q Question, in Input) error {
	count := func(split string, at timeline.AsOf, t *features.Table) error {
		l := evidence.Labels{Target: q.Name, Split: split, Snapshot: at.String()}
		standing, err := t.Values(StandingColumn(q.Name))
		if err != nil {
			return err
		}
		labels := make([]float64, len(standing)) // NaN at the run's date
		for i := range labels {
			labels[i] = math.NaN()
		}
		if split != "score" {
			if labels, err = t.Values(targets.LabelColumn(q.Name)); err != nil {
				return err
			}
		}
		l.Customers = len(standing)
		for i, s := range standing {
			switch targets.Standing(s) {
			case targets.Lapsed:
				l.Lapsed++
			case targets.Never:
				l.Never++
			default:
				l.Eligible++
				switch {
				case labels[i] == 1:
					l.Positives++
				case labels[i] == 0:
					l.Negatives++
				default:
					l.Censored++
				}
			}
		}
		a.Audit = append(a.Audit, l)
		return nil
	}
	if q.Skip == "" && q.Stored == nil {
		for _, at := range q.Schedule.Train {
			if err := count("train", at, in.Past(at)); err != nil {
				return err
			}
		}
		if err := count("test", q.Schedule.Test, in.Past(q.Schedule.Test)); err != nil {
			return err
		}
	}
	return count("score", in.Score.AsOf, in.Score)
}

// Limits beyond which an alarm sounds.
const (
	// leakAUC is what no honest column of history reaches by itself.
	leakAUC = .95
	// leakSigmas is how far from ½ the AUC of shuffled labels may be by chance.
	leakSigmas = 4
	// leakRows is how many rows the fits that look for leaks learn from at most.
	leakRows = 12_000
)

// leaks are what can tell that a model has seen what it must not.
type leaks struct {
	p  Params
	q  Question
	s  *sample
	sp split
	y  []float64

	features []string
	single   []float64   // AUC of each column by itself
	shuffled *gbdt.Model // learnt from labels that mean nothing
	random   *metrics.Binary
}

func newLeaks(p Params, q Question, in Input, s *sample, sp split, y []float64) *leaks {
	return &leaks{p: p, q: q, s: s, sp: sp, y: y, features: in.Features}
}

// shuffle permutes the labels among a snapshot's eligible customers. The same
// snapshot is always shuffled alike, so that a test on training data shows.
func (l *leaks) shuffle(at timeline.AsOf, labels []float64) []float64 {
	out := make([]float64, len(labels))
	var known []int
	for i, y := range labels {
		if out[i] = y; !math.IsNaN(y) {
			known = append(known, i)
		}
	}
	r := rand.New(rand.NewPCG(l.p.Seed, uint64(uint32(at.Today))))
	r.Shuffle(len(known), func(i, j int) { out[known[i]], out[known[j]] = out[known[j]], out[known[i]] })
	return out
}

// fit looks at every column by itself, and learns from labels that mean nothing.
func (l *leaks) fit(ctx context.Context) error {
	var err error
	if l.single, err = l.s.data.AUC(ctx, l.y, l.sp.all, l.p.Workers); err != nil {
		return err
	}
	mixed := make([]float64, len(l.y))
	for i, at := range l.s.dates[:l.s.tested()] {
		copy(mixed[l.s.from[i]:], l.shuffle(at, l.y[l.s.from[i]:l.s.from[i+1]]))
	}
	tp := treeParams(l.p)
	tp.Trees, tp.LearningRate = 10, .3
	if l.shuffled, _, err = gbdt.FitRows(ctx, tp, l.s.data, mixed, thin(l.sp.all, leakRows), nil); err != nil {
		return err
	}
	l.shuffled = l.shuffled.Used()
	return nil
}

// randomly notes how the trees do on customers that were held out at the dates they
// learnt from, which is easier than time that they have not seen.
func (l *leaks) randomly(of *learnt) error {
	if of == nil || of.scores == nil {
		return nil
	}
	labels := make([]float64, len(of.rows))
	for k, i := range of.rows {
		labels[k] = l.y[i]
	}
	var err error
	l.random, err = metrics.NewBinary(labels, of.scores)
	return err
}

func (l *leaks) columns() []string { return l.shuffled.Names }

func (l *leaks) score(dst []float64, x models.Matrix) error {
	_, err := l.shuffled.Scores(dst, x)
	return err
}

// alarms publishes what the leak detectors measured, and warns where they say that
// something is wrong. labels and scores are the test snapshot's, the scores those
// of the model of shuffled labels.
func (a *Answer) alarms(ctx context.Context, p Params, q Question, l *leaks, labels, scores []float64) error {
	test := q.Schedule.Test.String()
	add := func(model, split, snapshot, name string, v float64, rows, pos int) {
		a.Metrics = append(a.Metrics, outputs.Metric{Target: q.Name, Model: model, Split: split, Snapshot: snapshot, Name: name, Value: v, Rows: rows, Positives: pos})
	}
	newest := l.s.dates[l.s.tested()-1].String()
	pos := positivesOf(l.y, l.sp.all)
	if l.random != nil {
		if auc, ok := l.random.AUC(); ok {
			add(Trees, "random", newest, "auc", auc, l.random.Rows(), l.random.Positives())
		}
	}
	worst := -1
	for j, auc := range l.single {
		if !math.IsNaN(auc) && (worst < 0 || auc > l.single[worst]) {
			worst = j
		}
		if auc > leakAUC {
			a.warn("leak.single_feature", "target %s: the column %s alone ranks the training customers with an AUC of %.3f: it probably knows the outcome; find out how, or leave its family out", q.Name, l.features[j], auc)
		}
	}
	if worst >= 0 {
		add(l.features[worst], "fit", newest, "largest_single_feature_auc", l.single[worst], len(l.sp.all), pos)
	}
	b, err := metrics.NewBinary(l.shuffle(q.Schedule.Test, labels), scores)
	if err != nil {
		return err
	}
	if auc, ok := b.AUC(); ok {
		add(Trees, "shuffled", test, "auc", auc, b.Rows(), b.Positives())
		// The standard deviation of the AUC when scores say nothing (Mann and Whitney 1947).
		yes, no := float64(b.Positives()), float64(b.Rows()-b.Positives())
		sigma := math.Sqrt((yes + no + 1) / (12 * yes * no))
		if math.Abs(auc-.5) > leakSigmas*sigma {
			a.warn("leak.shuffled_labels", "target %s: a model of shuffled labels ranks the test snapshot's shuffled labels with an AUC of %.3f, %.1f standard deviations from 0.5: the test has been trained on", q.Name, auc, math.Abs(auc-.5)/sigma)
		}
	}
	for _, at := range q.Schedule.Train {
		if end := at.Today + int32(q.Gap+q.Horizon); end > q.Schedule.Test.Today {
			a.warn("leak.window_overlap", "target %s: the outcome window of the training snapshot %s ends %d days after the test snapshot %s begins: training has seen what is tested on", q.Name, at, end-q.Schedule.Test.Today, test)
		}
	}
	return nil
}
