package nightly

import (
	"context"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/jobs/audiences"
	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/jobs/predict"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/jobs/rules"
	"github.com/shoal-data/shoal/jobs/scoring"
	"github.com/shoal-data/shoal/jobs/segments"
	"github.com/shoal-data/shoal/jobs/targets"
	"github.com/shoal-data/shoal/jobs/value"
)

// checkAudiences refuses conditions on columns that customer_scores will not have,
// hours before it is there.
func (r *run) checkAudiences(p *scan.Plan) error {
	if len(r.Config.Audiences) == 0 {
		return nil
	}
	if err := audiences.Check(r.Config.Audiences, r.scoreSchema(p)); err != nil {
		return Usage(err)
	}
	return nil
}

// scoreSchema is the schema of customer_scores, by the configuration alone.
func (r *run) scoreSchema(p *scan.Plan) *arrow.Schema {
	g := &groups{engagement: &rules.Score{}}
	for _, c := range r.Config.Segmentations {
		g.segmentations = append(g.segmentations, &segments.Segmentation{Name: c.Name})
	}
	for _, rule := range rules.Set(r.Config) {
		g.rules = append(g.rules, &rules.Division{Name: rule.Name})
	}
	var all []*predict.Answer
	for _, c := range r.Config.Targets {
		all = append(all, &predict.Answer{Target: targets.Target{Name: c.Name}, Scores: scoring.None(0)})
	}
	v := &value.Forecast{}
	for _, days := range value.Horizons {
		v.Further = append(v.Further, value.Ahead{Days: days})
	}
	columns := append(r.stamp(), r.scoreColumns(g, all, v)...)
	return arrow.NewSchema(append([]arrow.Field{features.CustomerField(p.DeliveredIDs())}, outputs.SchemaOf(columns).Fields()...), nil)
}

// audiences writes the files of whom to address.
func (r *run) audiences(ctx context.Context, in *input, scores outputs.Table, staging *publish.Staging) error {
	results, warnings, err := audiences.Build(ctx, audiences.Input{
		Audiences: r.Config.Audiences, Scores: scores,
		Contacts: func(ctx context.Context, want func(string) bool) ([]scan.Contact, error) {
			found, err := in.plan.Contacts(ctx, r.workers, want)
			return found, Classify(err)
		},
		Write: func(name string, data []byte, rows int64) error {
			return StorageFault(staging.Audience(ctx, name, data, rows))
		},
	})
	r.summary.Audiences = results
	r.warn(warnings...)
	return err
}
