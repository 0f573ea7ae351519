package gates

import (
	"fmt"
	"math"

	"github.com/shoal-data/shoal/jobs/config"
)

// Labels are how many customers had an outcome.
type Labels struct{ Positives, Negatives int }

func (l Labels) rows() int { return l.Positives + l.Negatives }

func (l Labels) share() float64 { return float64(l.Positives) / float64(l.rows()) }

// odds are those of the outcome; half a customer is added to either side, so that they
// are finite (Haldane 1956; Anscombe 1956).
func (l Labels) odds() float64 { return (float64(l.Positives) + .5) / (float64(l.Negatives) + .5) }

// apart is how many standard deviations the shares of two samples are apart, were both
// drawn from one population.
func apart(a, b Labels) float64 {
	n, m := float64(a.rows()), float64(b.rows())
	p := float64(a.Positives+b.Positives) / (n + m)
	if p == 0 || p == 1 {
		return 0
	}
	return math.Abs(a.share()-b.share()) / math.Sqrt(p*(1-p)*(1/n+1/m))
}

// A Target is what a run knows of a target's labels and of how well they were
// predicted.
type Target struct {
	Name     string
	Training Labels // of all training snapshots together
	Test     Labels
	TestDate string

	// AUC is the best model's on the test snapshot, High the upper end of its interval,
	// Random that on customers drawn from the training snapshots; NaN when not measured.
	AUC, High, Random float64

	// Of the run before, when it meant the same by the target.
	Before    *Labels // of its test snapshot
	BeforeAUC float64 // NaN when not measured
}

// Limits of what is judged.
const (
	// labelRows is how many labels a snapshot must have.
	labelRows = 50
	// rare is how many of the rarer labels must be expected for none to be remarkable.
	rare = 10
	// rateSD is how many standard deviations rates must be apart.
	rateSD = 4
	// blind is an AUC that is next to none.
	blind = .6
)

// Labels judges a target's labels and how well they were predicted.
func (r *Report) Labels(g config.Gates, t Target) {
	type other struct {
		Labels
		what string
	}
	others := []other{{t.Training, "at the training snapshots"}}
	if t.Before != nil {
		others = append(others, other{*t.Before, "at the test snapshot of the run before"})
	}
	const advice = "the outcome window may be cut short, the events that decide it may be missing, renamed or doubled: look at event_type shares in data_quality and at label_audit"
	for _, o := range others {
		if t.Test.rows() < labelRows || o.rows() < labelRows {
			continue
		}
		ratio := t.Test.odds() / o.odds()
		ratio = max(ratio, 1/ratio)
		r.Judge("base_rate", g.BaseRate, t.Name, ratio, func(float64) bool { return apart(t.Test, o.Labels) > rateSD },
			fmt.Sprintf("target %s: %.1f%% of %d customers had the outcome at the test snapshot %s, %.1f%% of %d %s: the odds differ %.1f times", t.Name, 100*t.Test.share(), t.Test.rows(), t.TestDate, 100*o.share(), o.rows(), o.what, ratio),
			advice)
		rarer := min(o.share(), 1-o.share()) * float64(t.Test.rows())
		if min(t.Test.Positives, t.Test.Negatives) == 0 && rarer >= rare {
			outcome := "had"
			if t.Test.Positives == 0 {
				outcome = "lacked"
			}
			r.Found("one_class", g.OneClass, t.Name, fmt.Sprintf("target %s: all %d customers %s the outcome at the test snapshot %s, %.1f%% of %d had it %s", t.Name, t.Test.rows(), outcome, t.TestDate, 100*o.share(), o.rows(), o.what), advice)
		}
	}
	r.auc(g, t)
}

func (r *Report) auc(g config.Gates, t Target) {
	if math.IsNaN(t.AUC) {
		return
	}
	spread := t.High - t.AUC // half of the interval
	const advice = "labels or features may be broken: look at label_audit and drift; gates.auc_fall sets how much is too much"
	if !math.IsNaN(t.BeforeAUC) {
		fall := t.BeforeAUC - t.AUC
		r.Judge("auc_fall", g.AUCFall, t.Name, fall, func(float64) bool { return fall > 2*spread },
			fmt.Sprintf("target %s: the best model's AUC is %.3f at the test snapshot %s, %.3f in the run before", t.Name, t.AUC, t.TestDate, t.BeforeAUC), advice)
	}
	if !math.IsNaN(t.Random) {
		fall := t.Random - t.AUC
		r.Judge("auc_fall", g.AUCFall, t.Name+" against random", fall, func(float64) bool { return t.High < blind && fall > 2*spread },
			fmt.Sprintf("target %s: the best model's AUC is %.3f at the test snapshot %s, next to none, where it is %.3f on customers drawn from the dates it learnt from", t.Name, t.AUC, t.TestDate, t.Random), advice)
	}
}
