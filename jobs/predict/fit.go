package predict

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strings"

	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/jobs/scoring"
	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/baseline"
	"github.com/shoal-data/shoal/models/gbdt"
	"github.com/shoal-data/shoal/models/logit"
	"github.com/shoal-data/shoal/models/transform"
)

// logisticRows is how many rows the logistic model learns from at most: its few
// hundred weights gain nothing from more, and each pass costs their square.
const logisticRows = 20_000

// treeParams are small trees, each on some of the columns: hundreds of columns say
// much the same of a customer.
func treeParams(p Params) gbdt.Params {
	g := gbdt.DefaultParams()
	g.Trees, g.Leaves, g.LearningRate, g.Patience, g.MinLeafRows = 400, 8, .1, 20, 40
	g.ColumnFraction, g.L2, g.Seed, g.Workers = .5, 10, p.Seed, p.Workers
	return g
}

// Trees learn from the columns that a first look found useful: of several hundred,
// most say nothing of a target or repeat others, and take as long as the best.
const (
	usefulColumns = 96
	pilotRows     = 12_000
	pilotTrees    = 40
)

// useful is the sample's dataset of the columns by which pilot trees gain most.
// They see none of the rows that are held out.
func (s *sample) useful(ctx context.Context, p Params, y []float64, sp split) (*gbdt.Dataset, error) {
	tp := treeParams(p)
	tp.Trees, tp.ColumnFraction, tp.LearningRate = pilotTrees, .3, .2
	rows := thin(sp.fit, pilotRows)
	if n := positivesOf(y, rows); n == 0 || n == len(rows) {
		return s.data, nil
	}
	pilot, _, err := gbdt.FitRows(ctx, tp, s.data, y, rows, nil)
	if err != nil {
		return nil, err
	}
	gain := pilot.Importance()
	order := make([]int, len(gain))
	for j := range order {
		order[j] = j
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(gain[b], gain[a]) })
	order = order[:min(usefulColumns, len(order))]
	order = slices.DeleteFunc(order, func(j int) bool { return gain[j] == 0 })
	if len(order) == 0 {
		return s.data, nil
	}
	slices.Sort(order)
	names := make([]string, len(order))
	for k, j := range order {
		names[k] = pilot.Names[j]
	}
	return s.data.Select(ctx, tp, names)
}

// latestOutcomes of either kind are enough to calibrate on one date: fewer would add
// more chance than there is between dates.
const latestOutcomes = 400

// A candidate is a way to learn a target.
type candidate struct {
	name string
	hold int // rows that it is calibrated on at most; 0 is all
	// latest asks for the newest date's rows alone to calibrate on, where they are
	// enough: a rule of one column cannot tell dates apart, and whoever went by it
	// would take the rates that were seen last.
	latest bool
	// fit learns from some rows of the sample; hold, nil on the final fit, says when
	// to stop. It also returns the log-odds of the rows of hold.
	fit func(ctx context.Context, rows, hold []uint32) (*scoring.Model, []float64, error)
}

// candidates are the ways in rising order of what they can express.
func (a *Answer) candidates(p Params, q Question, in Input, s *sample, useful *gbdt.Dataset, y []float64) []candidate {
	labels := func(rows []uint32) []float64 {
		v := make([]float64, len(rows))
		for k, i := range rows {
			v[k] = y[i]
		}
		return v
	}
	// held scores rows of the sample by their values.
	held := func(f *scoring.Model, hold []uint32) ([]float64, error) {
		if hold == nil {
			return nil, nil
		}
		x, err := s.matrix(f.Columns, hold)
		if err != nil {
			return nil, err
		}
		return f.Scores(nil, x)
	}
	recency := func(ctx context.Context, rows, hold []uint32) (*scoring.Model, []float64, error) {
		f := &scoring.Model{Name: Recency, Columns: []string{q.Recency()}}
		x, err := s.matrix(f.Columns, rows)
		if err != nil {
			return nil, nil, err
		}
		if !slices.ContainsFunc(x.Data, func(v float64) bool { return !math.IsNaN(v) }) {
			// Nobody had such an event yet: what is left is when they were last seen.
			f.Columns = []string{features.DaysSinceLastEvent}
			if x, err = s.matrix(f.Columns, rows); err != nil {
				return nil, nil, err
			}
		}
		if f.Recency, _, err = baseline.Fit(ctx, baseline.DefaultParams(f.Columns[0]), x, labels(rows)); err != nil {
			return nil, nil, err
		}
		scores, err := held(f, hold)
		return f, scores, err
	}
	logistic := func(ctx context.Context, rows, hold []uint32) (*scoring.Model, []float64, error) {
		f := &scoring.Model{Name: Logistic, Columns: in.Linear}
		rows = thin(rows, logisticRows)
		x, err := s.matrix(in.Linear, rows)
		if err != nil {
			return nil, nil, err
		}
		tp := transform.DefaultParams()
		tp.Workers = p.Workers
		if f.Prepared, _, err = transform.Fit(ctx, tp, x); err != nil {
			return nil, nil, err
		}
		z, err := f.Prepared.Replace(x)
		if err != nil {
			return nil, nil, err
		}
		lp := logit.DefaultParams()
		lp.L2, lp.Workers = p.L2, p.Workers
		var warnings []models.Warning
		if f.Logistic, warnings, err = logit.Fit(ctx, lp, z, labels(rows)); err != nil {
			return nil, nil, err
		}
		if hold == nil {
			a.Warnings = append(a.Warnings, warnings...)
		}
		scores, err := held(f, hold)
		return f, scores, err
	}
	rounds := 50 // when nothing could be held out
	trees := func(ctx context.Context, rows, hold []uint32) (*scoring.Model, []float64, error) {
		tp := treeParams(p)
		if hold == nil {
			tp.Trees = rounds
		}
		// As good as it gets is how good it is on the newest outcomes.
		stop := s.newest(hold)
		if !enough(y, stop, p.MinPositives) {
			stop = hold
		}
		m, warnings, err := gbdt.FitRows(ctx, tp, useful, y, rows, stop)
		if err != nil {
			return nil, nil, err
		}
		rounds = max(1, len(m.Trees))
		if hold == nil {
			a.Warnings = append(a.Warnings, slices.DeleteFunc(warnings, func(w models.Warning) bool {
				// Histories lack most kinds of behaviour.
				return strings.HasSuffix(w.Code, ".constant_columns")
			})...)
			m = m.Used()
			return &scoring.Model{Name: Trees, Columns: m.Names, Trees: m}, nil, nil
		}
		scores, err := useful.Scores(ctx, m, hold, p.Workers)
		return nil, scores, err
	}
	all := []candidate{{Recency, 0, true, recency}, {Logistic, logisticRows, false, logistic}, {Trees, 0, false, trees}}
	if p.Baselines {
		all = append(all, a.baselines(p, in, s, labels, held, y)...)
	}
	return all
}

// baselineRows is how many rows the baselines learn from at most.
const baselineRows = 8_000

// baselines are the ways of an afternoon.
func (a *Answer) baselines(p Params, in Input, s *sample, labels func([]uint32) []float64, held func(*scoring.Model, []uint32) ([]float64, error), y []float64) []candidate {
	learn := func(name string, hold int, fit func(ctx context.Context, f *scoring.Model, rows []uint32) error) candidate {
		return candidate{name, hold, false, func(ctx context.Context, rows, out []uint32) (*scoring.Model, []float64, error) {
			f := &scoring.Model{Name: name, Columns: in.Linear}
			if err := fit(ctx, f, thin(rows, baselineRows)); err != nil {
				return nil, nil, err
			}
			scores, err := held(f, out)
			return f, scores, err
		}}
	}
	bayes := func(ctx context.Context, f *scoring.Model, rows []uint32) error {
		x, err := s.matrix(f.Columns, rows)
		if err != nil {
			return err
		}
		bp := baseline.DefaultBayesParams()
		bp.Workers = p.Workers
		f.Bayes, _, err = baseline.FitBayes(ctx, bp, x, labels(rows))
		return err
	}
	neighbours := func(ctx context.Context, f *scoring.Model, rows []uint32) error {
		np := baseline.DefaultNeighboursParams()
		rows = thin(rows, np.Rows)
		x, err := s.matrix(f.Columns, rows)
		if err != nil {
			return err
		}
		tp := transform.DefaultParams()
		tp.Workers = p.Workers
		if f.Prepared, _, err = transform.Fit(ctx, tp, x); err != nil {
			return err
		}
		if x, err = f.Prepared.Replace(x); err != nil {
			return err
		}
		f.Neighbours, _, err = baseline.FitNeighbours(ctx, np, x, labels(rows))
		return err
	}
	forest := func(ctx context.Context, f *scoring.Model, rows []uint32) error {
		fp := baseline.DefaultForestParams()
		fp.Seed, fp.Workers = p.Seed, p.Workers
		m, _, err := baseline.FitForestRows(ctx, fp, s.data, y, rows)
		if err != nil {
			return err
		}
		f.Forest = m.Used()
		f.Columns = f.Forest.Names()
		return nil
	}
	return []candidate{learn(NaiveBayes, baselineRows, bayes), learn(Neighbours, 1000, neighbours), learn(Forest, baselineRows, forest)}
}

// A learnt model, and what it says of rows that its twin, which had learnt without
// them, was calibrated on: their numbers and log-odds.
type learnt struct {
	*scoring.Model
	rows   []uint32
	scores []float64
}

// learn fits a candidate twice: on the rows of the split that are not held out, whose
// model shows on the others when to stop and how far its scores are to be
// trusted; and on all of them, for use.
func (c candidate) learn(ctx context.Context, s *sample, sp split, y []float64) (*learnt, error) {
	hold := sp.hold
	if c.hold > 0 {
		hold = thin(hold, c.hold)
	}
	_, scores, err := c.fit(ctx, sp.fit, hold)
	if errors.Is(err, gbdt.ErrOneClass) || errors.Is(err, logit.ErrOneClass) || errors.Is(err, baseline.ErrOneClass) {
		scores, err = nil, nil // too few rows to hold any out
	}
	if err != nil {
		return nil, err
	}
	f, _, err := c.fit(ctx, sp.all, nil)
	if err != nil || scores == nil {
		return &learnt{Model: f}, err
	}
	trusted := hold
	if newest := s.newest(hold); c.latest && enough(y, newest, latestOutcomes) {
		trusted = newest
	}
	f.Calibration, err = s.calibrated(ctx, trusted, scores[len(hold)-len(trusted):], y)
	return &learnt{f, hold, scores}, err
}
