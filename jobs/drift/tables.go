package drift

import (
	"fmt"
	"math"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/models/metrics"
)

// The tables.
const (
	Table     = "drift"
	BinsTable = "drift_bins"
)

// Tables lays the rows out, and the bins that they come from. Columns of stamp follow
// the first.
func Tables(rows []*Row, stamp []outputs.Column) []outputs.Table {
	var compared []*Row
	type bin struct {
		*Row
		at int
	}
	var bins []bin
	for _, r := range rows {
		if r.Reference != Alone {
			compared = append(compared, r)
		}
		for i := range r.edges.Len() {
			bins = append(bins, bin{r, i})
		}
	}
	l := outputs.Layout[*Row]{Rows: compared}
	const column, meaning = "name", "The feature, or the column of customer_scores."
	about := l.Table(Table, l.Text(column, meaning, func(r *Row) string { return r.Name }), stamp, []outputs.Column{
		l.Text("kind", "feature or score.", func(r *Row) string { return r.Kind }),
		l.Text("reference", "training: a feature at the training snapshots, a score at the test snapshot; previous: the run before; last_year: the run of the same week last year, the nearest within three days.", func(r *Row) string { return r.Reference }),
		l.Float("psi", "", "Population stability index over the bins of drift_bins.", func(r *Row) float64 { return r.Shift.PSI }),
		l.Float("ks", "", "Greatest difference between the distribution functions at an edge of a bin; null counts as less than any number.", func(r *Row) float64 { return r.Shift.KS }),
		l.Float("psi_by_chance", "", "What psi exceeds once in ten thousand times when nothing has moved, with so many customers and bins.", func(r *Row) float64 { return r.Shift.Chance }),
		l.Float("psi_usual", "", "psi of the test snapshot against training: what moves by nature; null for scores and other references.", func(r *Row) float64 {
			if r.Reference != Training {
				return math.NaN()
			}
			return r.Usual
		}),
		l.Float("moved_share", "share", "Share of customers whose score must have moved by more than a quarter and a tenth of a high score; null for features.", func(r *Row) float64 { return r.Moved }),
		l.Count("expected_count", "Customers of the reference.", func(r *Row) int { return int(r.Expected) }),
		l.Count("actual_count", "Customers of this run.", func(r *Row) int { return int(r.Actual) }),
		l.Text("status", "What the gate says of it: ok, warn or fail.", func(r *Row) string { return string(r.Status) }),
		l.Text("gate", "The gate that judged it; null when none did.", func(r *Row) string { return r.Gate }),
		l.Float("bound", "", "The bound that was reached, or that is reached first; null when it is off.", func(r *Row) float64 {
			if r.Gate == "" {
				return math.NaN()
			}
			return r.Bound
		}),
	})
	b := outputs.Layout[bin]{Rows: bins}
	counts := b.Table(BinsTable, b.Text(column, meaning, func(x bin) string { return x.Name }), stamp, []outputs.Column{
		b.Text("kind", "feature or score.", func(x bin) string { return x.Kind }),
		b.Text("method", "The model that made a score; null for features.", func(x bin) string { return x.Method }),
		b.Text("reference", "As in drift; alone: there is nothing to compare with, and the counts are for the next run.", func(x bin) string { return x.Reference }),
		b.Count("bin", "The bins of a column by value, from 0; the last is null.", func(x bin) int { return x.at }),
		b.Float("low", "", "Values of the bin are greater; null for the first bin and that of null.", func(x bin) float64 {
			if x.at == 0 || x.at > len(x.edges.Edges) {
				return math.NaN()
			}
			return x.edges.Edges[x.at-1]
		}),
		b.Float("high", "", "Values of the bin are at most this; null for the last two bins.", func(x bin) float64 {
			if x.at >= len(x.edges.Edges) {
				return math.NaN()
			}
			return x.edges.Edges[x.at]
		}),
		outputs.Boolean("of_null", "Whether the bin holds those without a value.", func(i int) bool { return bins[i].at == bins[i].edges.Len()-1 }),
		b.Count("expected_count", "Customers of the reference in the bin; null when there is none.", func(x bin) int {
			if x.expected == nil {
				return -1
			}
			return int(x.expected[x.at])
		}),
		b.Count("actual_count", "Customers of this run in the bin.", func(x bin) int { return int(x.actual[x.at]) }),
	})
	return []outputs.Table{about, counts}
}

// Columns of drift_bins that another run reads.
var Columns = []string{"name", "kind", "method", "reference", "bin", "high", "actual_count"}

// Read adds rows of drift_bins, in the order they were written, to what is known of
// the run that published them: its own counts, over the bins of its own training.
func (p Past) Read(rec arrow.Record) error {
	name, kind := rec.Column(0).(*array.String), rec.Column(1).(*array.String)
	method, reference := rec.Column(2).(*array.String), rec.Column(3).(*array.String)
	bin, high, count := rec.Column(4).(*array.Int64), rec.Column(5).(*array.Float64), rec.Column(6).(*array.Int64)
	for i := range int(rec.NumRows()) {
		if r := reference.Value(i); r != Training && r != Alone {
			continue
		}
		s := p[name.Value(i)]
		if at := int(bin.Value(i)); at != len(s.Counts) {
			return fmt.Errorf("drift: column %s has bin %d after %d others", name.Value(i), at, len(s.Counts))
		}
		s.Kind, s.Method = kind.Value(i), method.Value(i)
		s.Counts = append(s.Counts, count.Value(i))
		if !high.IsNull(i) {
			if n := len(s.Bins.Edges); n > 0 && !(high.Value(i) > s.Bins.Edges[n-1]) {
				return fmt.Errorf("drift: the bins of column %s do not rise", name.Value(i))
			}
			s.Bins = metrics.Bins{Edges: append(s.Bins.Edges, high.Value(i))}
		}
		p[name.Value(i)] = s
	}
	return nil
}

// Check refuses histograms that are not whole.
func (p Past) Check() error {
	for name, s := range p {
		if len(s.Counts) != s.Bins.Len() {
			return fmt.Errorf("drift: column %s has %d bins and %d edges", name, len(s.Counts), len(s.Bins.Edges))
		}
	}
	return nil
}
