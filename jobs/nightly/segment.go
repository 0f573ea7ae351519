package nightly

import (
	"context"
	"fmt"
	"slices"

	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/jobs/segments"
	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/rfm"
)

// groups are the run's divisions of its customers.
type groups struct {
	segmentations []segmentation
	scores        []rfm.Scores // by customer
	spend         []float64    // lifetime, less refunds, by customer
}

type segmentation struct {
	config config.Segmentation
	fit    *segments.Segmentation // nil when the customers could not be divided
}

// segment divides the customers of the run's date by behaviour and by RFM.
func (r *run) segment(ctx context.Context, t *table) (*groups, error) {
	g := &groups{}
	err := r.step("segments", func() error {
		var err error
		if g.spend, err = t.score.Values(features.NetSpendLifetime); err != nil {
			return err
		}
		for i, c := range r.Config.Segmentations {
			s, err := r.segmentation(ctx, t, c)
			if err != nil {
				return err
			}
			g.segmentations = append(g.segmentations, segmentation{c, s})
			r.summarise(c.Name, s, g.spend)
			r.curve(c.Name, s)
			r.progress("segments", int64(i+1), int64(len(r.Config.Segmentations)))
		}
		return r.quintiles(t, g)
	})
	return g, err
}

func (r *run) segmentation(ctx context.Context, t *table, c config.Segmentation) (*segments.Segmentation, error) {
	names := c.Features
	if len(names) == 0 {
		for _, n := range segments.Defaults() {
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
	data, err := t.score.Matrix(names, nil)
	if err != nil {
		return nil, err
	}
	x := models.Matrix{Names: names, Data: data}
	p := segments.Params{Chosen: len(c.Features) > 0, KMin: c.KMin, KMax: c.KMax, MinShare: c.MinShare, Restarts: c.Restarts, Seed: c.Seed, Workers: r.workers}
	if !c.K.Auto {
		p.K = c.K.N
	}
	s, warnings, err := segments.Fit(ctx, p, x)
	r.warn(warnings...)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		// Too few or too equal customers are no reason to lose the night.
		r.warn(models.Warning{Code: "segments.none", Message: fmt.Sprintf("segmentation %s: %v; its columns are null", c.Name, err)})
		return nil, nil
	}
	return s, nil
}

// curve publishes what was measured for every number of segments considered.
func (r *run) curve(name string, s *segments.Segmentation) {
	if s == nil {
		return
	}
	add := func(metricName string, v float64, rows int, chosen bool) {
		r.segmentMetrics = append(r.segmentMetrics, outputs.Metric{Target: name, Model: "kmeans", Split: "fit", Snapshot: r.asOf.String(), Name: metricName, Value: v, Rows: rows, Positives: -1, Champion: chosen})
	}
	add("inertia", s.Inertia, len(s.Labels), true)
	add("segments", float64(len(s.Segments)), len(s.Labels), true)
	for _, c := range s.Curve {
		chosen := c.K == len(s.Segments)
		add(fmt.Sprintf("silhouette_k%d", c.K), c.Silhouette, c.Rows, chosen)
		add(fmt.Sprintf("bootstrap_jaccard_k%d", c.K), c.Jaccard, c.Rows, chosen)
		add(fmt.Sprintf("smallest_share_k%d", c.K), c.MinShare, c.Rows, chosen)
	}
}

func (r *run) summarise(name string, s *segments.Segmentation, spend []float64) {
	if s == nil {
		return
	}
	total, by := 0.0, make([]float64, len(s.Segments))
	for i, l := range s.Labels {
		by[l] += spend[i]
		total += spend[i]
	}
	for i, g := range s.Segments {
		share := 0.0
		if total > 0 {
			share = by[i] / total
		}
		r.summary.Segments = append(r.summary.Segments, SegmentSummary{
			Segmentation: name, ID: g.ID, Name: g.Name, Customers: g.Size, Share: g.Share, RevenueShare: share,
		})
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
