package nightly

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/shoal-data/shoal/jobs/changes"
	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/jobs/predict"
	"github.com/shoal-data/shoal/jobs/segments"
	"github.com/shoal-data/shoal/jobs/value"
)

// changes lays out who differs from the run that this one continues.
func (r *run) changes(ctx context.Context, h *history, t *table, g *groups, all []*predict.Answer, v *value.Forecast) (outputs.Table, error) {
	c := r.Config.Publish.Changes
	in := changes.Input{
		Limits:  changes.Limits{Probability: c.Probability, Value: c.Value},
		Watched: r.watched(g, all, v), Stamp: r.stamp(),
		Customers: t.score.Rows(), Type: t.score.Schema.Field(0).Type, Now: g.customers, Bars: h.report.Consent.Bars,
		IDs: func() iter.Seq2[arrow.Array, error] {
			return func(yield func(arrow.Array, error) bool) {
				for part := range t.score.Parts() {
					if ids, err := part.IDs(); !yield(ids, err) || err != nil {
						return
					}
				}
			}
		},
	}
	if past := g.past; past != nil {
		// Once a row is written there is no way back, so the files are looked at first.
		err := past.Whole(ctx, "customer_scores")
		switch {
		case errors.Is(err, segments.ErrUnusable):
			r.warn(warning("changes.past_unusable", fmt.Sprintf("%v; in the table changes everybody is added", err)))
		case err != nil:
			return outputs.Table{}, StorageFault(err)
		case !past.Has("customer_scores", "customer_id", in.Type):
			r.warn(warning("changes.past_unusable", fmt.Sprintf("run %s of %s has customer ids of another type; in the table changes everybody is added", past.RunID, past.Date)))
		default:
			in.Before = &changes.Before{
				Date: past.Date, RunID: past.RunID,
				Has: func(name string, kind arrow.DataType) bool { return past.Has("customer_scores", name, kind) },
				Read: func(ctx context.Context, columns ...string) (iter.Seq2[arrow.Record, error], error) {
					return past.Read(ctx, "customer_scores", columns...)
				},
			}
		}
	}
	return changes.Table(ctx, in), nil
}

// watched are the columns whose changes matter to whoever addresses customers.
func (r *run) watched(g *groups, all []*predict.Answer, v *value.Forecast) []changes.Watched {
	kinds := map[string]changes.Kind{"rfm_segment": changes.Exact, "expected_value": changes.Value}
	for place, s := range g.segmentations {
		id, prefix := segmentColumn(place, s.Name)
		kinds[id], kinds[prefix+"segment_name"] = changes.Exact, changes.Shown
	}
	for _, d := range g.rules {
		kinds[d.Column().Field.Name] = changes.Exact
	}
	for _, a := range all {
		kinds[a.Name+"_probability"], kinds[a.Name+"_band"] = changes.Probability, changes.Exact
	}
	var watched []changes.Watched
	for _, c := range r.scoreColumns(g, all, v) {
		if k, ok := kinds[c.Field.Name]; ok {
			watched = append(watched, changes.Watched{Column: c, Kind: k})
		}
	}
	return watched
}
