package nightly

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/datasets/tables"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/jobs/predict"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/jobs/report"
	"github.com/shoal-data/shoal/jobs/segments"
	"github.com/shoal-data/shoal/jobs/trends"
	"github.com/shoal-data/shoal/jobs/value"
)

// stamp are the columns that say which run a row belongs to.
func (r *run) stamp() []outputs.Column {
	at := arrow.Timestamp(r.asOf.Instant)
	return []outputs.Column{
		{
			Field:  outputs.NewField("as_of", tables.Timestamp, "", "The instant customers are described at: the end of the run's date. Only earlier events count."),
			Append: func(b array.Builder, _ int) { b.(*array.TimestampBuilder).Append(at) },
		},
		outputs.Text("run_id", "The run that published the row.", func(int) (string, bool) { return r.summary.RunID, true }),
	}
}

// tabulate lays out everything that the run publishes.
func (r *run) tabulate(ctx context.Context, in *input, h *history, t *table, g *groups, all []*predict.Answer, v *value.Forecast) ([]outputs.Table, error) {
	about, err := segments.Tables(g.segmentations, g.dormant, r.stamp(), g.spend)
	if err != nil {
		return nil, err
	}
	changed, err := r.changes(ctx, h, t, g, all, v)
	if err != nil {
		return nil, err
	}
	past, err := r.trends(ctx, in)
	if err != nil {
		return nil, err
	}
	tables := append([]outputs.Table{r.customerScores(t, g, all, v), r.featureTable(t), changed}, about...)
	tables = append(tables, r.metricTable(g, all, v), predict.CalibrationTable(all, r.stamp()), predict.CurveTable(all, r.stamp()), predict.EffectTable(all, r.stamp()),
		predict.AuditTable(all, r.stamp()), r.rejectedTable(h.report), past)
	return append(tables, r.checkTables()...), nil
}

// customerScores is the table that campaigns are run from: a row a customer.
func (r *run) customerScores(t *table, g *groups, all []*predict.Answer, v *value.Forecast) outputs.Table {
	return customerRows("customer_scores", t.score, append(r.stamp(), r.scoreColumns(g, all, v)...))
}

// scoreColumns are the columns of customer_scores behind the run's stamp.
func (r *run) scoreColumns(g *groups, all []*predict.Answer, v *value.Forecast) []outputs.Column {
	var columns []outputs.Column
	for place, s := range g.segmentations {
		columns = append(columns, s.Columns(segmentColumn(place, s.Name))...)
	}
	if len(g.segmentations) == 0 {
		columns = append(columns, segments.Unconfigured()...)
	}
	columns = append(columns, g.ruleColumns()...)
	for _, s := range all {
		columns = append(columns, s.Columns()...)
	}
	return append(columns, v.Columns(r.asOf.Today)...)
}

// customerRows lays out a table of a row a customer, whose other columns know
// their values by the customer's place.
func customerRows(name string, t *features.Table, columns []outputs.Column) outputs.Table {
	rest := outputs.SchemaOf(columns)
	schema := arrow.NewSchema(append([]arrow.Field{t.Schema.Field(0)}, rest.Fields()...), nil)
	return outputs.Table{Name: name, Schema: schema, Records: func(yield func(arrow.Record) error) error {
		row := 0
		for part := range t.Parts() {
			ids, err := part.IDs()
			if err != nil {
				return err
			}
			rec := outputs.Rows(rest, columns, row, row+part.Rows())
			if err := yield(array.NewRecord(schema, append([]arrow.Array{ids}, rec.Columns()...), rec.NumRows())); err != nil {
				return err
			}
			row += part.Rows()
		}
		return nil
	}}
}

// featureTable publishes every feature as it was computed, batch by batch.
func (r *run) featureTable(t *table) outputs.Table {
	stamp := r.stamp()
	width := 1 + len(t.features)
	fields := append([]arrow.Field{t.score.Schema.Field(0)}, stamp[0].Field, stamp[1].Field)
	fields = append(fields, t.score.Schema.Fields()[1:width]...)
	schema := arrow.NewSchema(fields, nil)
	return outputs.Table{Name: "features", Schema: schema, Records: func(yield func(arrow.Record) error) error {
		for part := range t.score.Parts() {
			n := part.Rows()
			rec, err := part.Record(width)
			if err != nil {
				return err
			}
			marks := outputs.Rows(arrow.NewSchema([]arrow.Field{stamp[0].Field, stamp[1].Field}, nil), stamp, 0, n)
			arrays := append([]arrow.Array{rec.Column(0)}, marks.Columns()...)
			arrays = append(arrays, rec.Columns()[1:width]...)
			if err := yield(array.NewRecord(schema, arrays, int64(n))); err != nil {
				return err
			}
		}
		return nil
	}}
}

// trends carries on the numbers of earlier runs with tonight's.
func (r *run) trends(ctx context.Context, in *input) (outputs.Table, error) {
	var past []trends.Row
	if before, err := r.runBefore(ctx, in); err != nil {
		return outputs.Table{}, err
	} else if before != nil {
		if past, err = trends.Past(ctx, before); err != nil {
			if ctx.Err() != nil {
				return outputs.Table{}, ctx.Err()
			}
			r.warn(warning("trends.past_unusable", fmt.Sprintf("the trends of the run before cannot be carried on (%v): they begin anew", err)))
			past = nil
		}
	}
	var rows []trends.Row
	add := func(subject, measure string, v float64) {
		rows = append(rows, trends.Row{Date: r.Date, Subject: subject, Measure: measure, Value: v})
	}
	known := func(p *float64) float64 {
		if p == nil {
			return math.NaN()
		}
		return *p
	}
	s := r.summary
	add("run", "customers", float64(s.Input.Customers))
	add("run", "events", float64(s.Input.Events))
	if s.Value != nil && s.Value.Skipped == "" {
		add("run", "expected_value", s.Value.ExpectedValue)
	}
	for _, g := range s.Segments {
		for _, m := range []struct {
			name string
			v    float64
		}{{"customers", float64(g.Customers)}, {"customer_share", g.Share}, {"revenue_share", g.RevenueShare}} {
			rows = append(rows, trends.Row{Date: r.Date, Subject: g.Segmentation, Segment: g.ID, Name: g.Name, Measure: m.name, Value: m.v})
		}
	}
	for _, t := range s.Targets {
		if t.Skipped != "" {
			continue
		}
		add(t.Name, "auc", known(t.AUC.Model))
		add(t.Name, "recency_auc", known(t.AUC.Baseline))
		add(t.Name, "base_rate", float64(t.Positives)/float64(t.TestRows))
		add(t.Name, "scored", float64(t.Scored))
	}
	return trends.Tabulate(trends.Continue(past, rows, r.Date), r.stamp()), nil
}

// runBefore is the run that this one continues; nil without one that can be read.
func (r *run) runBefore(ctx context.Context, in *input) (*report.Run, error) {
	of := strings.Fields(in.before) // its date and id, and after them the runs that have matured
	if len(of) < 2 {
		return nil, nil
	}
	m, err := publish.ReadManifest(ctx, r.FS, r.Config.Out, of[0], of[1])
	switch {
	case err == nil:
		return report.Published(r.FS, r.Config.Out, m), nil
	case errors.Is(err, publish.ErrDamaged) || errors.Is(err, fs.ErrNotExist):
		return nil, nil
	}
	return nil, StorageFault(err)
}

// metricTable holds every number about a model: a row a number.
func (r *run) metricTable(g *groups, all []*predict.Answer, v *value.Forecast) outputs.Table {
	var ms []outputs.Metric
	for _, s := range all {
		ms = append(ms, s.Metrics...)
	}
	for _, s := range g.segmentations {
		ms = append(ms, s.Metrics(r.asOf.String(), g.spend)...)
	}
	ms = append(ms, v.Metrics...)
	str := func(v func(m outputs.Metric) string) func(int) (string, bool) {
		return func(i int) (string, bool) { return v(ms[i]), true }
	}
	columns := append([]outputs.Column{outputs.Text("target", "What is predicted: a target, value, or a segmentation.", str(func(m outputs.Metric) string { return m.Target }))}, r.stamp()...)
	columns = append(columns,
		outputs.Text("model", "The method; recency is the naive rule every model is compared with.", str(func(m outputs.Metric) string { return m.Model })),
		outputs.Text("split", "fit: on the customers it learnt from; test: out of time, on a snapshot it has not seen; held_out: on customers of a training date that a twin of the model had not learnt from; random: on customers drawn from the dates it learnt from, which flatters; shuffled: on the test snapshot after learning labels that mean nothing, which must be chance.", str(func(m outputs.Metric) string { return m.Split })),
		outputs.Text("snapshot", "The as-of date that was predicted from, YYYY-MM-DD.", str(func(m outputs.Metric) string { return m.Snapshot })),
		outputs.Text("metric", "The name of the number.", str(func(m outputs.Metric) string { return m.Name })),
		outputs.Float("value", "", "The number; null where it is not defined, such as AUC with one class only.", func(i int) float64 { return ms[i].Value }),
		outputs.Float("low", "", "Lower end of the 95% bootstrap interval, where there is one.", func(i int) float64 { low, _ := ms[i].Interval(); return low }),
		outputs.Float("high", "", "Upper end of it.", func(i int) float64 { _, high := ms[i].Interval(); return high }),
		outputs.Integer("rows", "customers", "Customers the number is about.", func(i int) (int, bool) { return ms[i].Rows, true }),
		outputs.Integer("positives", "customers", "Of these, with the outcome.", func(i int) (int, bool) {
			return ms[i].Positives, ms[i].Positives >= 0
		}),
		outputs.Boolean("champion", "Whether the scores of the run come from this model.", func(i int) bool { return ms[i].Champion }),
	)
	return outputs.FromColumns("model_metrics", columns, len(ms))
}

// rejectedTable samples the rows that could not be used. It names no file, so
// that the same rows in other files make the same table; the manifest does.
func (r *run) rejectedTable(report *scan.Report) outputs.Table {
	sample := report.Sample
	str := func(v func(s scan.RejectedRow) string) func(int) (string, bool) {
		return func(i int) (string, bool) { x := v(sample[i]); return x, x != "" }
	}
	columns := append([]outputs.Column{outputs.Text("source", "The source of the row.", str(func(s scan.RejectedRow) string { return s.Source }))}, r.stamp()...)
	columns = append(columns,
		outputs.Text("reason", "Why the row could not be used.", str(func(s scan.RejectedRow) string { return s.Reason })),
		outputs.Text("column", "The column at fault.", str(func(s scan.RejectedRow) string { return s.Column })),
		outputs.Text("value", "What it held, as text; null when it was null or empty, and where ids are replaced by pseudonyms.", str(func(s scan.RejectedRow) string { return s.Value })),
		outputs.Text("customer_id", "The row's customer, as text.", str(func(s scan.RejectedRow) string { return s.CustomerID })),
		outputs.Text("event_time", "The row's time, as text.", str(func(s scan.RejectedRow) string { return s.EventTime })),
		outputs.Text("event_type", "The row's event type.", str(func(s scan.RejectedRow) string { return s.EventType })),
	)
	return outputs.FromColumns("rejected_rows", columns, len(sample))
}
