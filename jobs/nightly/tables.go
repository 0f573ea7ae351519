package nightly

import (
	"fmt"
	"math"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/datasets/tables"
	"github.com/shoal-data/shoal/features"
)

// A column of a published table is a field and a function that appends row i.
type column struct {
	field  arrow.Field
	append func(b array.Builder, i int)
}

func field(name string, t arrow.DataType, unit, meaning string) arrow.Field {
	keys, values := []string{tables.MetaMeaning}, []string{meaning}
	if unit != "" {
		keys, values = append(keys, tables.MetaUnit), append(values, unit)
	}
	return arrow.Field{Name: name, Type: t, Nullable: true, Metadata: arrow.NewMetadata(keys, values)}
}

// A value that is not defined is null in every kind of column.

func float(name, unit, meaning string, v func(i int) float64) column {
	return column{field(name, arrow.PrimitiveTypes.Float64, unit, meaning), func(b array.Builder, i int) {
		if x := v(i); math.IsNaN(x) {
			b.AppendNull()
		} else {
			b.(*array.Float64Builder).Append(x)
		}
	}}
}

func integer(name, unit, meaning string, v func(i int) (int, bool)) column {
	return column{field(name, arrow.PrimitiveTypes.Int64, unit, meaning), func(b array.Builder, i int) {
		if x, ok := v(i); ok {
			b.(*array.Int64Builder).Append(int64(x))
		} else {
			b.AppendNull()
		}
	}}
}

func small(name, meaning string, v func(i int) (int, bool)) column {
	return column{field(name, arrow.PrimitiveTypes.Int32, "", meaning), func(b array.Builder, i int) {
		if x, ok := v(i); ok {
			b.(*array.Int32Builder).Append(int32(x))
		} else {
			b.AppendNull()
		}
	}}
}

func text(name, meaning string, v func(i int) (string, bool)) column {
	return column{field(name, arrow.BinaryTypes.String, "", meaning), func(b array.Builder, i int) {
		if x, ok := v(i); ok {
			b.(*array.StringBuilder).Append(x)
		} else {
			b.AppendNull()
		}
	}}
}

func boolean(name, meaning string, v func(i int) bool) column {
	return column{field(name, arrow.FixedWidthTypes.Boolean, "", meaning), func(b array.Builder, i int) {
		b.(*array.BooleanBuilder).Append(v(i))
	}}
}

// money rounds to 1e-4 of the currency; what does not fit is null.
func money(name, meaning string, v func(i int) float64) column {
	return column{field(name, tables.Money, "currency", meaning), func(b array.Builder, i int) {
		if m, ok := datasets.MoneyFromFloat(v(i)); ok {
			b.(*array.Decimal128Builder).Append(decimal128.FromI64(int64(m)))
		} else {
			b.AppendNull()
		}
	}}
}

func schemaOf(columns []column) *arrow.Schema {
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		fields[i] = c.field
	}
	return arrow.NewSchema(fields, nil)
}

// rows builds a record of rows [from, to).
func rows(schema *arrow.Schema, columns []column, from, to int) arrow.Record {
	arrays := make([]arrow.Array, len(columns))
	for j, c := range columns {
		b := array.NewBuilder(memory.DefaultAllocator, c.field.Type)
		b.Reserve(to - from)
		for i := from; i < to; i++ {
			c.append(b, i)
		}
		arrays[j] = b.NewArray()
	}
	return array.NewRecord(schema, arrays, int64(to-from))
}

// stamp are the columns that say which run a row belongs to.
func (r *run) stamp() []column {
	at := arrow.Timestamp(r.asOf.Instant)
	return []column{
		{field("as_of", tables.Timestamp, "", "The instant customers are described at: the end of the run's date. Only earlier events count."),
			func(b array.Builder, _ int) { b.(*array.TimestampBuilder).Append(at) }},
		text("run_id", "The run that published the row.", func(int) (string, bool) { return r.summary.RunID, true }),
	}
}

// A tableData is a published table: its columns, or for wide tables its records.
type tableData struct {
	name    string
	schema  *arrow.Schema
	records func(yield func(arrow.Record) error) error
}

func fromColumns(name string, columns []column, n int) tableData {
	schema := schemaOf(columns)
	return tableData{name, schema, func(yield func(arrow.Record) error) error {
		const chunk = 64 << 10
		for from := 0; from < n; from += chunk {
			if err := yield(rows(schema, columns, from, min(from+chunk, n))); err != nil {
				return err
			}
		}
		return nil
	}}
}

// tabulate lays out everything that the run publishes.
func (r *run) tabulate(h *history, t *table, g *groups, all []scores, v *value) []tableData {
	return []tableData{
		r.customerScores(t, g, all, v),
		r.featureTable(t),
		r.segmentTable(g),
		r.metricTable(all, v),
		r.rejectedTable(h.report),
	}
}

// customerScores is the table that campaigns are run from: a row a customer.
func (r *run) customerScores(t *table, g *groups, all []scores, v *value) tableData {
	id := ids(t.score)
	columns := append([]column{id}, r.stamp()...)
	for k, s := range g.segmentations {
		prefix := ""
		if k > 0 {
			prefix = s.config.Name + "_"
		}
		of := "the segmentation " + s.config.Name
		fitted := s.fit
		columns = append(columns,
			small(prefix+"segment_id", "Segment of "+of+", 1 the largest.", func(i int) (int, bool) {
				if fitted == nil {
					return 0, false
				}
				return fitted.Segments[fitted.Labels[i]].ID, true
			}),
			text(prefix+"segment_name", "Its name.", func(i int) (string, bool) {
				if fitted == nil {
					return "", false
				}
				return fitted.Segments[fitted.Labels[i]].Name, true
			}),
			float(prefix+"segment_distance", "sd", "Distance to the segment's centre, in standard deviations of the prepared features: large is atypical.", func(i int) float64 {
				if fitted == nil {
					return math.NaN()
				}
				return fitted.Distances[i]
			}),
		)
	}
	if len(g.segmentations) == 0 { // the contract names these columns whatever is configured
		columns = append(columns,
			small("segment_id", "No segmentation is configured.", func(int) (int, bool) { return 0, false }),
			text("segment_name", "No segmentation is configured.", func(int) (string, bool) { return "", false }),
			float("segment_distance", "sd", "No segmentation is configured.", func(int) float64 { return math.NaN() }))
	}
	columns = append(columns, g.rfmColumns()...)
	for _, s := range all {
		what := fmt.Sprintf("no %s event within %d days", s.RoleName(), s.Horizon)
		if s.Kind.String() == "propensity" {
			what = fmt.Sprintf("a %s event within %d days", s.RoleName(), s.Horizon)
		}
		columns = append(columns,
			float(s.Name+"_probability", "probability", "Probability of "+what+"; null for who is not eligible.", func(i int) float64 { return s.probability[i] }),
			float(s.Name+"_percentile", "percent", "Percent of the scored customers with a lower probability, ties counting half.", func(i int) float64 { return s.percentile[i] }),
		)
	}
	columns = append(columns,
		float("expected_purchases", "purchase days", fmt.Sprintf("Expected days with a purchase in the next %d days; null for who never bought.", int(r.Config.Models.ValueHorizon)), func(i int) float64 { return v.purchases[i] }),
		money("expected_value", fmt.Sprintf("Expected spend in the next %d days; null for who never bought.", int(r.Config.Models.ValueHorizon)), func(i int) float64 { return v.spend[i] }),
		float("p_alive", "probability", "Probability that the customer has not dropped out for good. Not a ranking: it is 1 for who never came back.", func(i int) float64 { return v.alive[i] }),
	)
	return fromColumns("customer_scores", columns, t.score.Rows())
}

// ids copies the customer ids, whatever their type.
func ids(t *features.Table) column {
	f := t.Schema.Field(0)
	type place struct {
		col arrow.Array
		at  int
	}
	places := make([]place, 0, t.Rows())
	for _, rec := range t.Records() {
		for i := range int(rec.NumRows()) {
			places = append(places, place{rec.Column(0), i})
		}
	}
	return column{f, func(b array.Builder, i int) {
		p := places[i]
		switch c := p.col.(type) {
		case *array.String:
			b.(*array.StringBuilder).Append(c.Value(p.at))
		case *array.Int64:
			b.(*array.Int64Builder).Append(c.Value(p.at))
		case *array.Int32:
			b.(*array.Int32Builder).Append(c.Value(p.at))
		case *array.FixedSizeBinary:
			b.(*array.FixedSizeBinaryBuilder).Append(c.Value(p.at))
		}
	}}
}

// featureTable publishes every feature as it was computed, batch by batch.
func (r *run) featureTable(t *table) tableData {
	stamp := r.stamp()
	width := 1 + len(t.features)
	fields := append([]arrow.Field{t.score.Schema.Field(0)}, stamp[0].field, stamp[1].field)
	fields = append(fields, t.score.Schema.Fields()[1:width]...)
	schema := arrow.NewSchema(fields, nil)
	return tableData{"features", schema, func(yield func(arrow.Record) error) error {
		for _, rec := range t.score.Records() {
			n := int(rec.NumRows())
			marks := rows(arrow.NewSchema([]arrow.Field{stamp[0].field, stamp[1].field}, nil), stamp, 0, n)
			arrays := append([]arrow.Array{rec.Column(0)}, marks.Columns()...)
			arrays = append(arrays, rec.Columns()[1:width]...)
			if err := yield(array.NewRecord(schema, arrays, int64(n))); err != nil {
				return err
			}
		}
		return nil
	}}
}

// segmentTable describes the segments: a row a segment.
func (r *run) segmentTable(g *groups) tableData {
	type line struct {
		segmentation, name, description string
		id, customers                   int
		share, revenue, revenueShare    float64
		distance                        float64
	}
	var lines []line
	for _, s := range g.segmentations {
		fitted := s.fit
		if fitted == nil {
			continue
		}
		revenue, distance := make([]float64, len(fitted.Segments)), make([]float64, len(fitted.Segments))
		total := 0.0
		for i, l := range fitted.Labels {
			revenue[l] += g.spend[i]
			distance[l] += fitted.Distances[i]
			total += g.spend[i]
		}
		for k, seg := range fitted.Segments {
			share := math.NaN()
			if total > 0 {
				share = revenue[k] / total
			}
			lines = append(lines, line{s.config.Name, seg.Name, seg.Description, seg.ID, seg.Size, seg.Share, revenue[k], share, distance[k] / float64(seg.Size)})
		}
	}
	str := func(v func(l line) string) func(int) (string, bool) {
		return func(i int) (string, bool) { return v(lines[i]), true }
	}
	columns := append([]column{text("segmentation", "The division the segment belongs to.", str(func(l line) string { return l.segmentation }))}, r.stamp()...)
	columns = append(columns,
		small("segment_id", "1 is the largest segment.", func(i int) (int, bool) { return lines[i].id, true }),
		text("segment_name", "What sets the segment apart, in words.", str(func(l line) string { return l.name })),
		text("description", "The strongest differences from the average customer, in original units.", str(func(l line) string { return l.description })),
		integer("customers", "customers", "Customers in the segment.", func(i int) (int, bool) { return lines[i].customers, true }),
		float("customer_share", "share", "Share of all customers.", func(i int) float64 { return lines[i].share }),
		money("revenue", "Lifetime spend of its customers.", func(i int) float64 { return lines[i].revenue }),
		float("revenue_share", "share", "Share of all lifetime spend.", func(i int) float64 { return lines[i].revenueShare }),
		float("mean_distance", "sd", "Mean distance of its customers to the centre.", func(i int) float64 { return lines[i].distance }),
	)
	return fromColumns("segments", columns, len(lines))
}

// metricTable holds every number about a model: a row a number.
func (r *run) metricTable(all []scores, v *value) tableData {
	var ms []metric
	for _, s := range all {
		ms = append(ms, s.metrics...)
	}
	ms = append(ms, r.segmentMetrics...)
	ms = append(ms, v.metrics...)
	str := func(v func(m metric) string) func(int) (string, bool) {
		return func(i int) (string, bool) { return v(ms[i]), true }
	}
	columns := append([]column{text("target", "What is predicted: a target, value, or a segmentation.", str(func(m metric) string { return m.Target }))}, r.stamp()...)
	columns = append(columns,
		text("model", "The method; recency is the naive rule every model is compared with.", str(func(m metric) string { return m.Model })),
		text("split", "fit: on the customers it learnt from; test: out of time, on a snapshot it has not seen.", str(func(m metric) string { return m.Split })),
		text("snapshot", "The as-of date that was predicted from, YYYY-MM-DD.", str(func(m metric) string { return m.Snapshot })),
		text("metric", "The name of the number.", str(func(m metric) string { return m.Name })),
		float("value", "", "The number; null where it is not defined, such as AUC with one class only.", func(i int) float64 { return ms[i].Value }),
		float("low", "", "Lower end of the 95% bootstrap interval, where there is one.", func(i int) float64 { return ms[i].end(ms[i].Low) }),
		float("high", "", "Upper end of it.", func(i int) float64 { return ms[i].end(ms[i].High) }),
		integer("rows", "customers", "Customers the number is about.", func(i int) (int, bool) { return ms[i].Rows, true }),
		integer("positives", "customers", "Of these, with the outcome.", func(i int) (int, bool) {
			return ms[i].Positives, ms[i].Model == modelLogit || ms[i].Model == modelRecency
		}),
		boolean("champion", "Whether the scores of the run come from this model.", func(i int) bool { return ms[i].Champion }),
	)
	return fromColumns("model_metrics", columns, len(ms))
}

func (m metric) end(v float64) float64 {
	if !m.HasInterval {
		return math.NaN()
	}
	return v
}

// rejectedTable samples the rows that could not be used. It names no file, so
// that the same rows in other files make the same table; the manifest does.
func (r *run) rejectedTable(report *scan.Report) tableData {
	sample := report.Sample
	str := func(v func(s scan.RejectedRow) string) func(int) (string, bool) {
		return func(i int) (string, bool) { x := v(sample[i]); return x, x != "" }
	}
	columns := append([]column{text("source", "The source of the row.", str(func(s scan.RejectedRow) string { return s.Source }))}, r.stamp()...)
	columns = append(columns,
		text("reason", "Why the row could not be used.", str(func(s scan.RejectedRow) string { return s.Reason })),
		text("column", "The column at fault.", str(func(s scan.RejectedRow) string { return s.Column })),
		text("value", "What it held, as text; null when it was null or empty.", str(func(s scan.RejectedRow) string { return s.Value })),
		text("customer_id", "The row's customer, as text.", str(func(s scan.RejectedRow) string { return s.CustomerID })),
		text("event_time", "The row's time, as text.", str(func(s scan.RejectedRow) string { return s.EventTime })),
		text("event_type", "The row's event type.", str(func(s scan.RejectedRow) string { return s.EventType })),
	)
	return fromColumns("rejected_rows", columns, len(sample))
}
