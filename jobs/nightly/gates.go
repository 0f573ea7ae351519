package nightly

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/backtest"
	"github.com/shoal-data/shoal/jobs/cohorts"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/drift"
	"github.com/shoal-data/shoal/jobs/earlier"
	"github.com/shoal-data/shoal/jobs/gates"
	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/jobs/predict"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/jobs/quality"
	"github.com/shoal-data/shoal/jobs/segments"
	"github.com/shoal-data/shoal/jobs/value"
)

// checks are what was measured of a run, and what the gates say of it.
type checks struct {
	report   *gates.Report
	previous *earlier.Run // nil when there is none that can be read
	lastYear *earlier.Run
	quality  []*quality.Row
	wave     bool // of messages that the firm has sent
	drift    []*drift.Row
	backtest []*backtest.Result
	// cohorts are counted in the pass over history that measures it, and are not judged.
	cohorts []cohorts.Row
}

// aYear is how far back the same week of last year begins, and how many days either
// way a run may lie from it.
const (
	aYear  = 364
	nearby = 3
)

// sameWeekLastYear is the date with a published run that is nearest to a year before
// this one; "" when none is near.
func (r *run) sameWeekLastYear(p publish.Pointer) string {
	for n := range 2*nearby + 1 {
		d := (n + 1) / 2 // 0, 1, -1, 2, -2 …
		if n%2 == 0 {
			d = -d
		}
		date := r.asOf.Date.AddDate(0, 0, d-aYear).Format(time.DateOnly)
		if _, ok := p.Dates[date]; ok {
			return date
		}
	}
	return ""
}

// examine measures what came in and judges it. It does not yet stop the run: what is
// wrong with the input may show in the labels and features too, and all of it is said
// at once.
func (r *run) examine(ctx context.Context, in *input, h *history) error {
	c := &checks{report: &gates.Report{Action: r.Config.Gates.Action}, previous: in.previous, lastYear: in.lastYear}
	r.checks = c
	return r.step("quality", func() error {
		buyers := cohorts.NewCounter(r.asOf.Today, r.workers)
		profile, err := quality.Measure(ctx, h.store, r.asOf, h.census.Start, r.workers, buyers.Count)
		if err != nil {
			return err
		}
		j := quality.Judge{Gates: r.Config.Gates, Report: c.report, Profile: profile, Census: &h.census}
		i := r.summary.Input
		j.Delivered = quality.Delivery{Rows: i.RowsRead - i.RowsAfter, Rejected: i.RowsRejected, Duplicates: i.Duplicates}
		if p := c.previous; p != nil && p.Config.SameEvents(r.Config) {
			n := p.Manifest.Counters
			j.Earlier = &quality.Delivery{Rows: n["rows_read"] - n["rows_after"], Rejected: n["rows_rejected"], Duplicates: n["duplicates_removed"]}
			if j.Before, err = r.qualityBefore(ctx, p); err != nil {
				return err
			}
		}
		c.quality, c.wave, c.cohorts = j.Run(), profile.Wave(), buyers.Rows()
		return r.backtest(ctx, in, h, c)
	})
}

// lookBack finds the earlier runs that this one is compared with.
func (r *run) lookBack(ctx context.Context, in *input) error {
	for _, date := range segments.Before(in.pointer, r.Date) {
		var err error
		if in.previous, err = r.openRun(ctx, date); err != nil {
			return err
		}
		if in.previous != nil {
			break
		}
	}
	if date := r.sameWeekLastYear(in.pointer); date != "" {
		in.before += " " + date + " " + in.pointer.Dates[date].Run
		var err error
		if in.lastYear, err = r.openRun(ctx, date); err != nil {
			return err
		}
	}
	return r.mature(in)
}

// openRun opens the run of a date; it is nil when that cannot be read.
func (r *run) openRun(ctx context.Context, date string) (*earlier.Run, error) {
	run, err := earlier.Open(ctx, r.FS, r.Config.Out, date)
	return run, r.passOver(err)
}

// passOver warns of a run that cannot be read, and forgives it.
func (r *run) passOver(err error) error {
	if errors.Is(err, earlier.ErrUnusable) {
		r.warn(warning("gates.past_unusable", err.Error()+"; what it would be compared with is not judged"))
		return nil
	}
	return StorageFault(err)
}

// qualityBefore reads the data_quality of an earlier run; it is nil when that cannot
// be read.
func (r *run) qualityBefore(ctx context.Context, p *earlier.Run) (quality.Past, error) {
	if !p.Has(quality.Table) {
		return nil, nil
	}
	past := quality.Past{}
	for rec, err := range p.Records(ctx, quality.Table, quality.Columns...) {
		if err != nil {
			return nil, r.passOver(err)
		}
		metric, subject, value := rec.Column(0).(*array.String), rec.Column(1).(*array.String), rec.Column(2).(*array.Float64)
		for i := range int(rec.NumRows()) {
			if value.IsValid(i) {
				past[[2]string{metric.Value(i), subject.Value(i)}] = value.Value(i)
			}
		}
	}
	return past, nil
}

// driftBefore reads the histograms of an earlier run; it is nil when there are none.
func (r *run) driftBefore(ctx context.Context, p *earlier.Run) (drift.Past, error) {
	if p == nil || !p.Config.SameEvents(r.Config) || !p.Config.SameFeatures(r.Config) || !p.Has(drift.BinsTable) {
		return nil, nil
	}
	past := drift.Past{}
	for rec, err := range p.Records(ctx, drift.BinsTable, drift.Columns...) {
		if err == nil {
			err = past.Read(rec)
		}
		if err != nil {
			return nil, r.passOver(err)
		}
	}
	return past, past.Check()
}

// gate judges features, scores and labels, and stops the run when any gate has failed.
func (r *run) gate(ctx context.Context, t *table, q *questions, answers []*predict.Answer, v *value.Forecast) error {
	c := r.checks
	return r.step("gates", func() error {
		if err := r.drift(ctx, c, t, q, answers, v); err != nil {
			return err
		}
		if err := r.labels(c, answers); err != nil {
			return err
		}
		backtest.Judge(c.backtest, r.Config.Gates, c.report)
		r.summary.Gates = c.report.Verdicts()
		for _, x := range c.report.Of(gates.Warn) {
			r.warn(warning("gate."+x.Gate, x.Message))
		}
		err := c.report.Err()
		if err == nil {
			for _, x := range c.report.Of(gates.Fail) {
				r.warn(warning("gate."+x.Gate, x.Message))
			}
			return nil
		}
		return BadData(err)
	})
}

// drift compares features and scores with what was trained on and with earlier runs.
func (r *run) drift(ctx context.Context, c *checks, t *table, q *questions, answers []*predict.Answer, v *value.Forecast) error {
	past := map[string]drift.Past{}
	for reference, run := range map[string]*earlier.Run{drift.Previous: c.previous, drift.LastYear: c.lastYear} {
		p, err := r.driftBefore(ctx, run)
		if err != nil {
			return err
		}
		if p != nil {
			past[reference] = p
		}
	}
	var s drift.Snapshot
	if i := slices.IndexFunc(q.targets, func(t predict.Question) bool { return t.Skip == "" && t.Stored == nil }); i >= 0 {
		schedule := q.targets[i].Schedule
		for _, a := range schedule.Train {
			if past := t.past[a.Today]; past != nil {
				s.Train = append(s.Train, past)
			}
		}
		if past := t.past[schedule.Test.Today]; past != nil {
			s.Test = []*features.Table{past}
		}
	}
	columns, err := drift.Features(ctx, t.families, t.score, s, past, r.workers)
	if err != nil {
		return err
	}
	for _, a := range answers {
		if a.Fitted != nil {
			columns = append(columns, drift.NewScore(a.Name+"_probability", a.Fitted.Name, a.Probability, a.Tested, past))
		}
	}
	if v.Summary.Skipped == "" {
		for _, of := range []struct {
			name   string
			values []float64
		}{{"expected_purchases", v.Purchases}, {"expected_value", v.Spend}, {"p_alive", v.Alive}} {
			columns = append(columns, drift.NewScore(of.name, v.Summary.Model, of.values, nil, past))
		}
	}
	days := 0
	if c.previous != nil {
		before, err := timeline.ParseAsOf(c.previous.Manifest.Date, r.zone)
		if err != nil {
			return err
		}
		days = int(r.asOf.Today - before.Today)
	}
	c.drift = drift.Judge(columns, r.Config.Gates, c.report, days, c.wave)
	return nil
}

// labels judges the labels of every target.
func (r *run) labels(c *checks, answers []*predict.Answer) error {
	before := map[string]predict.Summary{}
	if p := c.previous; p != nil && p.Config.SameEvents(r.Config) {
		s, err := summaryOf(p.Manifest)
		if err != nil {
			return err
		}
		for _, t := range s.Targets {
			before[t.Name] = t
		}
	}
	for _, a := range answers {
		t := gates.Target{Name: a.Name, TestDate: a.Summary.TestDate, AUC: math.NaN(), High: math.NaN(), Random: math.NaN(), BeforeAUC: math.NaN()}
		for _, l := range a.Audit {
			switch l.Split {
			case "train":
				t.Training.Positives += l.Positives
				t.Training.Negatives += l.Negatives
			case "test":
				t.TestDate = l.Snapshot
				t.Test = gates.Labels{Positives: l.Positives, Negatives: l.Negatives}
			}
		}
		for _, m := range a.Metrics {
			switch {
			case m.Name == "auc" && m.Split == "test" && m.Model == a.Summary.Best:
				t.AUC, t.High = m.Value, m.High
			case m.Name == "auc" && m.Split == "random":
				t.Random = m.Value
			}
		}
		if b, ok := before[a.Name]; ok && sameQuestion(b, a.Summary) {
			if b.TestRows > 0 {
				t.Before = &gates.Labels{Positives: b.Positives, Negatives: b.TestRows - b.Positives}
			}
			if b.AUC.Model != nil {
				t.BeforeAUC = *b.AUC.Model
			}
		}
		c.report.Labels(r.Config.Gates, t)
	}
	return nil
}

// sameQuestion says whether two runs meant the same by a target.
func sameQuestion(a, b predict.Summary) bool {
	return a.Kind == b.Kind && a.Role == b.Role && a.Where == b.Where && a.Ends == b.Ends && a.Gap == b.Gap && a.Horizon == b.Horizon && a.ActiveWithin == b.ActiveWithin
}

// afterGates adds, to an error of a later step, the gates that had failed by then:
// they say why.
func (r *run) afterGates(err error) error {
	if r.checks == nil || r.summary.Gates != nil || ExitCode(err) == ExitTerminated {
		return err
	}
	r.summary.Gates = r.checks.report.Verdicts()
	if failed := r.checks.report.Err(); failed != nil && r.checks.report.Action == config.GatesFail {
		return BadData(fmt.Errorf("%w; and then: %w", failed, err))
	}
	return err
}

// checkTables are the tables of what was measured.
func (r *run) checkTables() []outputs.Table {
	tables := []outputs.Table{backtest.Rows(r.checks.backtest, r.stamp()), quality.Rows(r.checks.quality, r.stamp())}
	tables = append(tables, drift.Tables(r.checks.drift, r.stamp())...)
	return append(tables, cohorts.Tabulate(r.checks.cohorts, r.stamp()))
}
