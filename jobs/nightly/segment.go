package nightly

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/shoal-data/shoal/datasets/spool"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/jobs/rules"
	"github.com/shoal-data/shoal/jobs/segments"
	"github.com/shoal-data/shoal/jobs/segments/passes"
	"github.com/shoal-data/shoal/jobs/segments/roll"
	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/rfm"
)

// groups are the run's divisions of its customers.
type groups struct {
	segmentations []*segments.Segmentation
	dormant       []*segments.State // stored before, not configured tonight
	scores        []rfm.Scores      // by customer
	rules         []*rules.Division
	engagement    *rules.Score
	spend         []float64      // lifetime, less refunds, by customer
	past          *segments.Past // the run that this one continues; nil when there is none
	customers     *roll.Roll     // tonight's, when there is
}

// segment divides the customers of the run's date by behaviour and by RFM.
func (r *run) segment(ctx context.Context, in *input, t *table) (*groups, error) {
	g := &groups{}
	err := r.step("segments", func() error {
		var err error
		if g.spend, err = t.score.Values(features.NetSpendLifetime); err != nil {
			return err
		}
		idle, err := t.score.Values(features.DaysSinceLastEvent)
		if err != nil {
			return err
		}
		past, customers, err := r.past(ctx, in, t)
		if err != nil {
			return err
		}
		g.past, g.customers = past, customers
		var names []string
		for i, c := range r.Config.Segmentations {
			names = append(names, c.Name)
			prior, err := r.prior(ctx, past, c.Name, customers)
			if err != nil {
				return err
			}
			s, err := r.segmentation(ctx, t, i, idle, prior)
			if err != nil {
				return err
			}
			g.segmentations = append(g.segmentations, s)
			r.summarise(s, g.spend)
			r.progress("segments", int64(i+1), int64(len(r.Config.Segmentations)))
		}
		if past != nil {
			g.dormant = past.Dormant(names)
		}
		if err := r.rules(t, g); err != nil {
			return err
		}
		return r.quintiles(t, g)
	})
	return g, err
}

// rules divides the customers by rules that are written down.
func (r *run) rules(t *table, g *groups) error {
	source := func(feature string) ([]float64, bool, error) {
		if _, err := t.score.Column(feature); err != nil {
			return nil, false, nil
		}
		v, err := t.score.Values(feature)
		return v, true, err
	}
	for _, rule := range rules.Set(r.Config) {
		d, warnings, err := rules.Divide(rule, t.score.Rows(), source)
		if err != nil {
			return Usage(err)
		}
		r.warn(warnings...)
		g.rules = append(g.rules, d)
	}
	var err error
	g.engagement, err = rules.Engagement(r.Config.Engagement, t.score.Rows(), source)
	return err
}

// past opens the run whose segments this one continues: that of the latest
// earlier date that can be read. It is nil when there is none.
func (r *run) past(ctx context.Context, in *input, t *table) (*segments.Past, *roll.Roll, error) {
	for _, date := range segments.Before(in.pointer, r.Date) {
		past, err := segments.OpenPast(ctx, r.FS, r.Config.Out, in.pointer, date)
		if errors.Is(err, segments.ErrUnusable) {
			r.warn(warning("segments.past_unusable", fmt.Sprintf("%v; its segments are passed over for those of the run before it", err)))
			continue
		}
		if err != nil {
			return nil, nil, StorageFault(err)
		}
		customers := roll.New(t.score.Schema.Field(0).Type, t.score.Rows())
		for part := range t.score.Parts() {
			ids, err := part.IDs()
			if err == nil {
				err = customers.Add(ids)
			}
			if err != nil {
				return nil, nil, err
			}
		}
		customers.Sort()
		return past, customers, nil
	}
	return nil, nil, nil
}

// prior is where everybody was in the run before.
func (r *run) prior(ctx context.Context, past *segments.Past, name string, customers *roll.Roll) (*segments.Prior, error) {
	if past == nil {
		return nil, nil
	}
	prior, err := past.Prior(ctx, name, customers)
	if errors.Is(err, segments.ErrUnusable) {
		r.warn(warning("segments.past_unusable", fmt.Sprintf("segmentation %s: %v; its segments are recognised by their centres alone", name, err)))
		return prior, nil
	}
	return prior, StorageFault(err)
}

// segmentColumn is the name and prefix of the columns of a segmentation: the
// first is the one that campaigns use, and has none.
func segmentColumn(place int, name string) (column, prefix string) {
	if place > 0 {
		prefix = name + "_"
	}
	return prefix + "segment_id", prefix
}

func (r *run) segmentation(ctx context.Context, t *table, place int, idle []float64, prior *segments.Prior) (*segments.Segmentation, error) {
	c := r.Config.Segmentations[place]
	names := c.Features
	if len(names) == 0 {
		browsing, err := browses(t)
		if err != nil {
			return nil, err
		}
		for _, n := range segments.Defaults(browsing) {
			if _, err := t.score.Column(n); err == nil { // a family may be switched off
				names = append(names, n)
			}
		}
	}
	for _, n := range names {
		if _, err := t.score.Column(n); err != nil {
			return nil, Usage(fmt.Errorf("segmentations[%s].features: no feature %q (shoal features lists them)", c.Name, n))
		}
	}
	x, err := r.behaviour(t.score, names)
	if err != nil {
		return nil, err
	}
	kept := spool.New(r.space, "") // of this segmentation alone: its disk is free when it is done
	defer kept.Close()
	column, _ := segmentColumn(place, c.Name)
	p := segments.Params{Segmentation: c, Column: column, Date: r.asOf.String(), Workers: r.workers}
	fewest := r.Config.Privacy.SmallestSegment
	if share := float64(fewest) / float64(max(t.score.Rows(), 1)); fewest > 1 && share > p.MinShare {
		p.MinShare = min(math.Ceil(share*200)/200, 0.5) // in steps: another share asks for another fit
	}
	for {
		s, warnings, err := segments.Divide(ctx, p, segments.Input{X: x, Idle: idle, Prior: prior, Spool: kept})
		if err != nil {
			return nil, err
		}
		smallest, k := s.SmallestActive()
		if smallest == 0 || smallest >= fewest || k <= 2 || s.Refit == "" {
			r.warn(warnings...)
			if smallest > 0 && smallest < fewest {
				r.warn(warning("privacy.small_segment", fmt.Sprintf("segmentation %s has a segment of fewer customers than privacy.smallest_segment (%d): numbers about it are not published", c.Name, fewest)))
			}
			return s, nil
		}
		// One segment less: the customers of a small one go to those that are most like them.
		p.K = config.AutoInt{N: k - 1}
		r.warn(warning("privacy.segments_merged", fmt.Sprintf("segmentation %s has %d segments instead of %d, because one would have had fewer customers than privacy.smallest_segment (%d)", c.Name, k-1, k, fewest)))
	}
}

// A segmentation holds about matrices of the features at once, prepared ones and copies,
// which may take matrixShare of limits.memory.
const (
	matrices    = 5
	matrixShare = .25
)

// behaviour is the features that customers are divided by: in memory, or where that has
// no room for them, in passes over the feature table. It makes no other segments.
func (r *run) behaviour(t *features.Table, names []string) (passes.Table, error) {
	if float64(t.Rows())*float64(len(names))*8*matrices > matrixShare*float64(r.memory) {
		return columns{t, names}, nil
	}
	data, err := t.Matrix(names, nil)
	return passes.Held{Matrix: models.Matrix{Names: names, Data: data}}, err
}

// columns are some of a feature table, as they lie in it.
type columns struct {
	table *features.Table
	names []string
}

func (c columns) Names() []string { return c.names }
func (c columns) Rows() int       { return c.table.Rows() }
func (c columns) Batches(context.Context) iter.Seq2[models.Matrix, error] {
	return func(yield func(models.Matrix, error) bool) {
		m := models.Matrix{Names: c.names}
		for part := range c.table.Parts() {
			var err error
			if m.Data, err = part.Matrix(m.Data[:0], c.names, nil); !yield(m, err) || err != nil {
				return
			}
		}
	}
}
func (c columns) Column(dst []float64, j int) ([]float64, error) {
	for part := range c.table.Parts() {
		var err error
		if dst, err = part.Values(dst, c.names[j]); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// browses says whether the history tells of visits that are no orders.
func browses(t *table) (bool, error) {
	for _, n := range segments.Browsing() {
		if _, err := t.score.Column(n); err != nil { // a family may be switched off
			continue
		}
		counts, err := t.score.Values(n)
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(counts, func(v float64) bool { return v > 0 }) {
			return true, nil
		}
	}
	return false, nil
}

func (r *run) summarise(s *segments.Segmentation, spend []float64) {
	by, total := s.Revenue(spend)
	for i, g := range s.Segments {
		share := 0.0
		if total > 0 {
			share = by[i] / total
		}
		told := SegmentSummary{Segmentation: s.Name, ID: g.ID, Name: g.Name, Customers: g.Size, Share: g.Share, RevenueShare: share}
		if g.Size > 0 && g.Size < r.Config.Privacy.SmallestSegment {
			told.Customers, told.Share, told.RevenueShare, told.Suppressed = 0, 0, 0, true
		}
		r.summary.Segments = append(r.summary.Segments, told)
	}
}

// quintiles scores recency, frequency and monetary value of everyone who has
// bought.
func (r *run) quintiles(t *table, g *groups) error {
	var columns [3][]float64
	for i, name := range []string{features.DaysSinceLastPurchase, features.PurchaseDaysLifetime, features.NetSpendLifetime} {
		var err error
		if columns[i], err = t.score.Values(name); err != nil {
			return err
		}
	}
	recency, frequency, monetary := columns[0], columns[1], columns[2]
	if slices.Max(frequency) == 0 {
		r.warn(models.Warning{Code: "rfm.no_purchases", Message: "nobody has bought: RFM scores are 0 and the RFM segment is no_purchase"})
		g.scores = make([]rfm.Scores, len(frequency))
		return nil
	}
	m, warnings, err := rfm.Fit(recency, frequency, monetary)
	r.warn(warnings...)
	if err != nil {
		return err
	}
	g.scores, err = m.Score(nil, recency, frequency, monetary)
	return err
}

func (g *groups) ruleColumns() []outputs.Column {
	columns := g.rfmColumns()
	for _, d := range g.rules {
		columns = append(columns, d.Column())
	}
	return append(columns, g.engagement.Column())
}

func (g *groups) rfmColumns() []outputs.Column {
	score := func(name, meaning string, of func(rfm.Scores) uint8) outputs.Column {
		return outputs.Small(name, meaning+" 5 is best, 0 is no purchase; quintiles, ties share a score.", func(i int) (int, bool) { return int(of(g.scores[i])), true })
	}
	return []outputs.Column{
		score("rfm_recency", "How recently the customer bought.", func(s rfm.Scores) uint8 { return s.Recency }),
		score("rfm_frequency", "On how many days the customer bought.", func(s rfm.Scores) uint8 { return s.Frequency }),
		score("rfm_monetary", "How much the customer spent, less refunds.", func(s rfm.Scores) uint8 { return s.Monetary }),
		outputs.Text("rfm_segment", "The segment of the published RFM grid.", func(i int) (string, bool) { return string(g.scores[i].Segment()), true }),
	}
}
