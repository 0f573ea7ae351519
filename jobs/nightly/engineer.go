package nightly

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/predict"
	"github.com/shoal-data/shoal/jobs/targets"
	"github.com/shoal-data/shoal/jobs/value"
)

// questions are the run's targets and the holdout of the value model.
type questions struct {
	targets []predict.Question
	days    int           // length of the holdout; 0 when history is too short for one
	holdout timeline.AsOf // where it begins
	before  timeline.AsOf // as much earlier: what is learnt in the window between is tried on the holdout
}

// ask resolves the configured targets against the history at hand.
func (r *run) ask(ctx context.Context, in *input, h *history) (*questions, error) {
	q := &questions{}
	first := h.firstDay
	resolver := targets.Resolver{Store: h.store, Census: &h.census, First: first, AsOf: r.asOf, Workers: r.workers}
	said := map[string]bool{}
	for _, c := range r.Config.Targets {
		target, evidence, err := resolver.Resolve(ctx, c)
		if err != nil {
			return nil, err
		}
		t := predict.Question{Target: target}
		if evidence != nil && !said[t.RoleName()] {
			said[t.RoleName()] = true
			r.warn(warning("target.horizon_auto", fmt.Sprintf(
				"horizon of %d days chosen for events of role %s: %s; write it into targets to keep it the same every night", t.Horizon, t.RoleName(), evidence.Reason())))
		}
		for _, unseen := range c.Where.Features().UnseenBy(h.store.Values) {
			r.warn(warning("target.value_unseen", fmt.Sprintf("target %s asks for %s, which no event has; write it as the data spell it", c.Name, unseen)))
		}
		if t.Ends != targets.Silence && h.census.Roles[datasets.Cancel] == 0 {
			t.Skip = "the history has no event of role cancel"
		} else if !t.Any && t.Ends != targets.Cancel && h.census.Roles[t.Role] == 0 {
			t.Skip = fmt.Sprintf("the history has no event of role %s", t.Role)
		} else if t.Stored, err = r.stored(ctx, in, target); err != nil {
			return nil, err
		} else if t.Stored != nil {
			r.Log.Info().Str("target", t.Name).Str("learnt", t.Stored.Learnt).Msg("scored by the model of an earlier run")
		} else if s, err := t.Target.Schedule(r.asOf, first, r.Config.Models.Snapshots, r.zone); err != nil {
			t.Skip = err.Error()
		} else {
			t.Schedule = s
		}
		q.targets = append(q.targets, t)
	}
	if days := value.HoldoutDays(int(r.Config.Models.ValueHorizon), int(r.asOf.Today-first+1)); days > 0 && h.census.Roles[datasets.Purchase] > 0 {
		q.days = days
		q.holdout, q.before = r.asOf.Add(-days, r.zone), r.asOf.Add(-2*days, r.zone)
	}
	return q, nil
}

// table is everything later steps learn from.
type table struct {
	features []string                  // every column
	linear   []string                  // those that a linear model learns from
	score    *features.Table           // every customer at the run's own date
	past     map[int32]*features.Table // a sample of customers at past dates, by day
	asOf     map[int32]timeline.AsOf
	families []features.Family
}

// engineer replays every timeline once for all as-of dates: the run's own,
// each target's snapshots and the value model's two windows.
func (r *run) engineer(ctx context.Context, h *history, q *questions) (*table, error) {
	families, err := r.families()
	if err != nil {
		return nil, err
	}
	for _, unseen := range features.Unseen(r.Config.FeatureParams().Custom, h.store.Values) {
		r.warn(warning("features.value_unseen", unseen))
	}
	keep := sampler(r.Config.Models.Seed, r.sampleRows(families, q, h.census.Customers), h.census.Customers)
	score := features.Snapshot{AsOf: r.asOf}
	byDay := map[int32]*features.Snapshot{}
	var mu sync.Mutex
	knowing := map[string]bool{} // columns that know the future
	future := func(column string) {
		mu.Lock()
		defer mu.Unlock()
		knowing[column] = true
	}
	past := func(a timeline.AsOf) *features.Snapshot {
		s, ok := byDay[a.Today]
		if !ok {
			s = &features.Snapshot{AsOf: a, Keep: keep, Future: future}
			byDay[a.Today] = s
		}
		return s
	}
	for _, t := range q.targets {
		standing := features.Label{Name: predict.StandingColumn(t.Name), Unit: "standing",
			Value: func(_ *timeline.Timeline, hist *timeline.History) float64 { return float64(t.Standing(hist)) }}
		score.Labels = append(score.Labels, standing)
		if t.Skip != "" || t.Stored != nil {
			continue
		}
		for _, a := range append(slices.Clone(t.Schedule.Train), t.Schedule.Test) {
			s := past(a)
			s.Labels = append(s.Labels, t.Label(r.zone), standing)
		}
	}
	if q.days > 0 {
		for _, w := range [][2]timeline.AsOf{{q.before, q.holdout}, {q.holdout, r.asOf}} {
			s := past(w[0])
			s.Labels = append(s.Labels, value.Labels(w[1], q.days)...)
		}
	}

	days := make([]int32, 0, len(byDay))
	for d := range byDay {
		days = append(days, d)
	}
	slices.Sort(days)
	snapshots := []features.Snapshot{score}
	for _, d := range days {
		snapshots = append(snapshots, *byDay[d])
	}
	tables, err := r.build(ctx, h, families, snapshots)
	if err != nil {
		return nil, err
	}
	if len(knowing) > 0 {
		r.warn(warning("leak.future", fmt.Sprintf("columns that change when a purchase is planted behind the as-of date, so that they know what they are to predict: %s; this is a fault of the program", strings.Join(slices.Sorted(maps.Keys(knowing)), ", "))))
	}
	t := &table{score: tables[0], past: map[int32]*features.Table{}, asOf: map[int32]timeline.AsOf{}, families: families}
	for i, d := range days {
		t.past[d] = tables[i+1]
		t.asOf[d] = snapshots[i+1].AsOf
	}
	t.linear = features.Linear(families)
	for _, f := range families {
		for _, c := range f.Columns {
			t.features = append(t.features, c.Name)
		}
	}
	return t, nil
}

// sampleShare of limits.memory is the most that the training rows of a target take.
const sampleShare = .25

// sampleRows is limits.sample_rows, or as many as limits.memory has room for: a
// value takes two bytes, at every date that a target learns from.
func (r *run) sampleRows(families []features.Family, q *questions, customers int64) int {
	columns, dates := 0, 1
	for _, f := range families {
		columns += len(f.Columns)
	}
	for _, t := range q.targets {
		if t.Skip == "" && t.Stored == nil {
			dates = max(dates, len(t.Schedule.Train)+1)
		}
	}
	asked := r.Config.Limits.SampleRows
	room := sampleShare * float64(r.memory) / float64(2*max(columns, 1)*dates)
	if float64(asked) <= room {
		return asked
	}
	rows := max(int(room), 1000) // as few as the configuration may ask for
	if rows < asked && int64(rows) < customers {
		r.warn(warning("memory.sample", fmt.Sprintf("limits.memory (%d MiB) has room for %d training rows per snapshot, of %d columns at %d dates, not the %d of limits.sample_rows: set it to %d to learn from the same rows on every machine",
			r.memory>>20, rows, columns, dates, asked, rows)))
	}
	return min(rows, asked)
}

// sampler keeps about rows of the customers, the same ones at every date and
// on any machine: those whose mixed hash is lowest.
func sampler(seed uint64, rows int, customers int64) func(uint64) bool {
	if customers <= int64(rows) {
		return nil
	}
	limit := uint64(float64(rows) / float64(customers) * math.MaxUint64)
	return func(hash uint64) bool { return mix(hash^mix(seed)) < limit }
}

// mix is the finaliser of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
