package segments

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/jobs/segments/internal/words"
	"github.com/shoal-data/shoal/jobs/segments/passes"
	"github.com/shoal-data/shoal/models/clustercount"
	"github.com/shoal-data/shoal/models/surrogate"
)

// A Standing is how far a segment can be trusted tonight.
type Standing struct {
	// Stability is the mean Jaccard similarity of the segment with the one most like
	// it when resamples of the customers are divided anew; NaN for the inactive.
	Stability float64
	// Of the customers whom the segment's rule holds for, the share in it; and of those
	// in it, the share whom the rule holds for. NaN where it cannot be told.
	Precision, Recall float64
}

// trust measures the stability of the segments, gives those without one a rule,
// and compares all rules with tonight's assignment.
func (d *division) trust(ctx context.Context) error {
	d.Standings = make([]Standing, len(d.Segments))
	for i := range d.Standings {
		d.Standings[i] = Standing{math.NaN(), math.NaN(), math.NaN()}
	}
	d.Fidelity = math.NaN()
	if d.model != nil && len(d.active) > 0 {
		cp := clustercount.DefaultParams()
		cp.Fit.Seed, cp.Fit.Workers = d.Seed, d.Workers
		sample, err := passes.Gather(ctx, d.z, clustercount.Draw(d.z.Rows(), cp.Sample, cp.Fit.Seed))
		if err != nil {
			return err
		}
		stability, err := clustercount.Stability(ctx, cp, sample, d.model)
		if err != nil {
			return err
		}
		for i := range stability {
			d.Standings[i].Stability = stability[i]
		}
		if err := d.explain(ctx); err != nil {
			return err
		}
	}
	return d.compareRules(ctx)
}

// explain gives the segments that have no rule yet that of a small tree.
func (d *division) explain(ctx context.Context) error {
	if !slices.ContainsFunc(d.Segments, func(s Segment) bool { return !s.Inactive && s.Rule == nil }) {
		return nil
	}
	labels := slices.Clone(d.Labels)
	k := len(d.Segments)
	if d.state.Inactive { // they have their own, and are the last
		k--
		for i, l := range labels {
			if l == k {
				labels[i] = -1
			}
		}
	}
	p := surrogate.DefaultParams()
	p.Seed = d.Seed
	rows := surrogate.Draw(p, labels)
	x, err := passes.Gather(ctx, d.x, rows)
	if err != nil {
		return err
	}
	for i, row := range rows {
		labels[i] = labels[row]
	}
	tree, err := surrogate.Fit(ctx, p, x, labels[:len(rows)], k)
	if err != nil {
		return fmt.Errorf("segments: segmentation %s: %w", d.Name, err)
	}
	for i := range k {
		s := &d.Segments[i]
		if s.Rule != nil || tree.Rules()[i] == nil {
			continue // a segment that the tree has no leaf for is left without
		}
		s.Rule = tree.Rules()[i]
		s.RuleText = words.Rule(s.Rule, d.incomplete)
	}
	return nil
}

// incomplete says whether some customers have no value of a feature.
func (d *division) incomplete(feature string) bool {
	known := 0
	for _, p := range d.Profiles {
		if p.Feature == feature {
			known += p.Known
		}
	}
	return known < len(d.Labels)
}

// compareRules measures how far the rules say who is in which segment.
func (d *division) compareRules(ctx context.Context) error {
	at := map[string]int{}
	for j, name := range d.names {
		at[name] = j
	}
	usable := make([]bool, len(d.Segments))
	for i, s := range d.Segments {
		usable[i] = s.Inactive || s.Rule != nil && !slices.ContainsFunc(s.Rule.Columns(), func(c string) bool { _, ok := at[c]; return !ok })
	}
	var agree, all int
	inside, held, both := make([]int, len(d.Segments)), make([]int, len(d.Segments)), make([]int, len(d.Segments))
	err := passes.Each(ctx, d.x, func(row int, values []float64) {
		label := d.Labels[row]
		if label < 0 {
			return
		}
		all++
		inside[label]++
		own, others := false, false
		for i, s := range d.Segments {
			if !usable[i] {
				continue
			}
			holds := false
			if inactive := d.Segments[label].Inactive; s.Inactive || inactive {
				holds = s.Inactive && inactive
			} else {
				holds = s.Rule.Holds(func(column string) float64 { return values[at[column]] })
			}
			if !holds {
				continue
			}
			held[i]++
			if i == label {
				both[i]++
				own = true
			} else {
				others = true
			}
		}
		if own && !others {
			agree++
		}
	})
	if err != nil {
		return err
	}
	for i := range d.Segments {
		if usable[i] {
			d.Standings[i].Precision = float64(both[i]) / float64(held[i]) // NaN of nobody
			d.Standings[i].Recall = float64(both[i]) / float64(inside[i])
		}
	}
	if all > 0 {
		d.Fidelity = float64(agree) / float64(all)
	}
	return nil
}

// ruleSQL is the segment's rule as a condition on the table of features.
func (s *Segmentation) ruleSQL(g *Segment) string {
	limit := fmt.Sprintf("%s > %d", features.DaysSinceLastEvent, s.inactiveAfter)
	switch {
	case g.Inactive:
		return limit
	case g.Rule == nil:
		return ""
	}
	return fmt.Sprintf("NOT (%s) AND (%s)", limit, words.SQL(g.Rule))
}
