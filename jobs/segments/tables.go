package segments

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/jobs/segments/internal/kin"
	"github.com/shoal-data/shoal/models/clustercount"
)

// The tables about segments, besides the columns of customer_scores.
const (
	SegmentsTable   = "segments"
	MigrationsTable = "segment_migrations"
	HistoryTable    = "segment_history"
	ModelsTable     = "segment_models"
	DistancesTable  = "segment_distances"
	CountsTable     = "segment_counts"
)

// Columns are a segmentation's columns of customer_scores.
func (s *Segmentation) Columns(column, prefix string) []outputs.Column {
	of := "the segmentation " + s.Name
	segment := func(i int) *Segment {
		if l := s.Labels[i]; l >= 0 {
			return &s.Segments[l]
		}
		return nil
	}
	return []outputs.Column{
		outputs.Small(column, "Segment of "+of+"; an id means the same segment in every run.", func(i int) (int, bool) {
			if g := segment(i); g != nil {
				return g.ID, true
			}
			return 0, false
		}),
		outputs.Text(prefix+"segment_name", "Its name.", func(i int) (string, bool) {
			if g := segment(i); g != nil {
				return g.Name, true
			}
			return "", false
		}),
		outputs.Float(prefix+"segment_distance", "sd", "Distance to the segment's centre, in standard deviations of the prepared features: large is atypical. Null for the inactive, who have no centre.", func(i int) float64 { return s.Distances[i] }),
		outputs.Small(prefix+"segment_before", "The customer's segment in the run before; null for who was in none.", func(i int) (int, bool) {
			if s.of == nil || s.of[i] == 0 {
				return 0, false
			}
			return int(s.of[i]), true
		}),
	}
}

// Unconfigured are the columns of customer_scores when there is no segmentation:
// the contract names them whatever is configured.
func Unconfigured() []outputs.Column {
	const why = "No segmentation is configured."
	return []outputs.Column{
		outputs.Small("segment_id", why, func(int) (int, bool) { return 0, false }),
		outputs.Text("segment_name", why, func(int) (string, bool) { return "", false }),
		outputs.Float("segment_distance", "sd", why, func(int) float64 { return math.NaN() }),
		outputs.Small("segment_before", why, func(int) (int, bool) { return 0, false }),
	}
}

// Tables are the tables about segments. spend is by customer; dormant are the
// states that are only stored again.
func Tables(all []*Segmentation, dormant []*State, stamp []outputs.Column, spend []float64) ([]outputs.Table, error) {
	models, err := modelTable(all, dormant, stamp)
	if err != nil {
		return nil, err
	}
	return []outputs.Table{segmentTable(all, stamp, spend), profileTable(all, stamp), distanceTable(all, stamp), countTable(all, stamp), migrationTable(all, stamp), historyTable(all, stamp), mapTable(all, stamp), models}, nil
}

// Revenue is what the customers of each segment spent, and everybody.
func (s *Segmentation) Revenue(spend []float64) (by []float64, total float64) {
	by = make([]float64, len(s.Segments))
	for i, l := range s.Labels {
		if l >= 0 {
			by[l] += spend[i]
		}
		total += spend[i]
	}
	return by, total
}

func segmentTable(all []*Segmentation, stamp []outputs.Column, spend []float64) outputs.Table {
	type line struct {
		of *Segmentation
		*Segment
		Likeness
		Standing
		revenue, revenueShare float64
	}
	var l outputs.Layout[line]
	for _, s := range all {
		revenue, total := s.Revenue(spend)
		for k := range s.Segments {
			share := math.NaN()
			if total > 0 {
				share = revenue[k] / total
			}
			l.Rows = append(l.Rows, line{s, &s.Segments[k], s.Likeness[k], s.Standings[k], revenue[k], share})
		}
	}
	return l.Table(SegmentsTable, l.Text("segmentation", "The division the segment belongs to.", func(r line) string { return r.of.Name }), stamp, []outputs.Column{
		l.Small("segment_id", "An id means the same segment in every run, and is never given again.", func(r line) int { return r.ID }),
		l.Text("segment_name", "What set the segment apart when it was first found, in words; it stays with the id.", func(r line) string { return r.Name }),
		l.Text("description", "What a typical customer of it did then, in original units: what differs most from the average customer first.", func(r line) string { return r.Description }),
		l.Count("customers", "Customers in the segment.", func(r line) int { return r.Size }),
		l.Float("customer_share", "share", "Share of all customers.", func(r line) float64 { return r.Share }),
		l.Money("revenue", "Lifetime spend of its customers, less refunds.", func(r line) float64 { return r.revenue }),
		l.Float("revenue_share", "share", "Share of all lifetime spend, less refunds.", func(r line) float64 { return r.revenueShare }),
		l.Float("mean_distance", "sd", "Mean distance of its customers to the centre; null for the inactive.", func(r line) float64 { return r.MeanDist }),
		l.Text("since", "As-of date of the first run that had the segment, YYYY-MM-DD.", func(r line) string { return r.Since }),
		l.Text("trained", "As-of date of the run that the centres were fitted in, YYYY-MM-DD.", func(r line) string { return r.of.Trained }),
		l.Text("name_now", "The name it would be given by this run alone: another than segment_name means that the segment has moved.", func(r line) string { return r.Now }),
		l.Small("nearest_segment_id", "The segment whose centre is nearest.", func(r line) int {
			if r.Nearest < 0 {
				return 0
			}
			return r.of.Segments[r.Nearest].ID
		}),
		l.Float("nearest_distance", "sd", "Distance of the two centres.", func(r line) float64 { return r.Distance }),
		outputs.Boolean("too_alike", "Whether it is too alike to that segment to act on differently: they differ by less than half a standard deviation in every feature.", func(i int) bool { return l.Rows[i].Alike }),
		l.Float("stability", "share", "How much of the segment comes out again when resamples of the customers are divided anew (mean bootstrap Jaccard): from .75 on it is stable, below .6 it is not to be trusted; null for the inactive.", func(r line) float64 { return r.Stability }),
		l.Text("rule", "What tells it from the other active customers, nearly, in three comparisons at most; it stays with the id. Null for a segment that so few comparisons cannot tell.", func(r line) string {
			if r.Inactive {
				return r.Description
			}
			return r.RuleText
		}),
		l.Text("rule_sql", "The rule as a condition on the table features.", func(r line) string { return r.of.ruleSQL(r.Segment) }),
		l.Float("rule_precision", "share", "Of the customers whom the rule holds for, the share in the segment.", func(r line) float64 { return r.Precision }),
		l.Float("rule_recall", "share", "Of the customers in the segment, the share whom the rule holds for.", func(r line) float64 { return r.Recall }),
		l.Float("rule_fidelity", "share", "Of all customers in segments of this division, the share for whom the rule of their own segment holds and no other's.", func(r line) float64 { return r.of.Fidelity }),
	})
}

func distanceTable(all []*Segmentation, stamp []outputs.Column) outputs.Table {
	type line struct {
		of   *Segmentation
		a, b *Segment
		most int // the feature in which they differ most
	}
	var l outputs.Layout[line]
	for _, s := range all {
		for i := range s.Segments {
			for j := range s.Segments {
				a, b := &s.Segments[i], &s.Segments[j]
				if i == j || a.Inactive || b.Inactive {
					continue
				}
				r := line{s, a, b, 0}
				for f := range a.Centre {
					if math.Abs(b.Centre[f]-a.Centre[f]) > math.Abs(b.Centre[r.most]-a.Centre[r.most]) {
						r.most = f
					}
				}
				l.Rows = append(l.Rows, r)
			}
		}
	}
	return l.Table(DistancesTable, l.Text("segmentation", "The division the segments belong to.", func(r line) string { return r.of.Name }), stamp, []outputs.Column{
		l.Small("segment_id", "A segment.", func(r line) int { return r.a.ID }),
		l.Text("segment_name", "Its name.", func(r line) string { return r.a.Name }),
		l.Small("other_segment_id", "Another one; every pair is there both ways round.", func(r line) int { return r.b.ID }),
		l.Text("other_segment_name", "Its name.", func(r line) string { return r.b.Name }),
		l.Float("distance", "sd", "Distance of the two centres, in standard deviations of the prepared features.", func(r line) float64 { return distance(r.a.Centre, r.b.Centre) }),
		l.Text("differ_most_in", "The feature in which the centres differ most.", func(r line) string { return r.of.Features[r.most] }),
		l.Float("difference", "sd", "By how much the other has more of it.", func(r line) float64 { return r.b.Centre[r.most] - r.a.Centre[r.most] }),
		outputs.Boolean("too_alike", "Whether they are too alike to act on differently: they differ by less than half a standard deviation in every feature.", func(i int) bool {
			r := l.Rows[i]
			return math.Abs(r.b.Centre[r.most]-r.a.Centre[r.most]) < tooAlike
		}),
	})
}

func countTable(all []*Segmentation, stamp []outputs.Column) outputs.Table {
	type line struct {
		of *Segmentation
		clustercount.Candidate
	}
	var l outputs.Layout[line]
	for _, s := range all {
		for _, c := range s.Curve {
			l.Rows = append(l.Rows, line{s, c})
		}
	}
	return l.Table(CountsTable, l.Text("segmentation", "The division.", func(r line) string { return r.of.Name }), stamp, []outputs.Column{
		l.Small("segments", "A number of segments that the active customers could be divided into. There are no rows when the number was fixed, or the stored model was used.", func(r line) int { return r.K }),
		outputs.Boolean("chosen", "Whether they are.", func(i int) bool { r := l.Rows[i]; return r.of.state.model != nil && r.K == r.of.state.model.K() }),
		l.Text("support", "How the data support this number: separated by gaps, stable without them, or none.", func(r line) string { return string(r.Support) }),
		l.Text("why", "What this number was chosen for, or not.", func(r line) string { return r.Why }),
		l.Count("sampled", "Customers in the sample that the numbers are of.", func(r line) int { return r.Rows }),
		l.Float("stability", "share", "Mean bootstrap Jaccard of the least stable segment.", func(r line) float64 { return r.Jaccard }),
		l.Float("prediction_strength", "share", "Share of the pairs of customers that one half of the sample puts together that the other puts together as well, in the worst segment.", func(r line) float64 { return r.Strength }),
		l.Float("silhouette", "", "Mean silhouette.", func(r line) float64 { return r.Silhouette }),
		l.Float("simplified_silhouette", "", "Mean silhouette by distances to centres.", func(r line) float64 { return r.Simplified }),
		l.Float("calinski_harabasz", "", "Calinski-Harabasz index.", func(r line) float64 { return r.Calinski }),
		l.Float("davies_bouldin", "", "Davies-Bouldin index; lower is better.", func(r line) float64 { return r.Davies }),
		l.Float("smallest_share", "share", "Share of the sample in the smallest segment.", func(r line) float64 { return r.MinShare }),
		l.Float("gap", "", "Least dip, times the root of the customers, between any two segments along the line of their centres.", func(r line) float64 { return r.Gap }),
		l.Float("tighter_than_cloud", "share", "How much tighter the segments are than those of one simulated cloud with the same columns; null where the number had failed before.", func(r line) float64 { return -math.Expm1(-r.Marginal.Tighter) }),
		l.Float("inertia", "", "Σ squared distance to the nearest centre in the sample.", func(r line) float64 { return r.Inertia }),
	})
}

func migrationTable(all []*Segmentation, stamp []outputs.Column) outputs.Table {
	type line struct {
		of *Segmentation
		kin.Move
	}
	var l outputs.Layout[line]
	for _, s := range all {
		for _, m := range s.Moves {
			l.Rows = append(l.Rows, line{s, m})
		}
	}
	name := func(s *Segmentation, id int) string {
		if n := s.state.named(id); n != nil {
			return n.Name
		}
		return ""
	}
	return l.Table(MigrationsTable, l.Text("segmentation", "The division the segments belong to.", func(r line) string { return r.of.Name }), stamp, []outputs.Column{
		l.Text("from_date", "As-of date of the run before, YYYY-MM-DD.", func(r line) string { return r.of.Before }),
		l.Small("from_segment_id", "Segment in the run before; null for customers who were in none, or not there yet.", func(r line) int { return r.From }),
		l.Text("from_segment_name", "Its name.", func(r line) string { return name(r.of, r.From) }),
		l.Small("to_segment_id", "Segment in this run; null for customers who are in none, or no longer there.", func(r line) int { return r.To }),
		l.Text("to_segment_name", "Its name.", func(r line) string { return name(r.of, r.To) }),
		l.Count("customers", "Customers who went from the one to the other, or stayed.", func(r line) int { return r.Customers }),
		l.Float("from_share", "share", "Share of the customers of the segment in the run before.", func(r line) float64 { return r.FromShare }),
		l.Float("to_share", "share", "Share of the customers of the segment in this run.", func(r line) float64 { return r.ToShare }),
	})
}

func historyTable(all []*Segmentation, stamp []outputs.Column) outputs.Table {
	type line struct {
		of *Segmentation
		Episode
	}
	var l outputs.Layout[line]
	for _, s := range all {
		for _, e := range s.History {
			l.Rows = append(l.Rows, line{s, e})
		}
	}
	return l.Table(HistoryTable, l.Text("segmentation", "The division the segment belongs to.", func(r line) string { return r.of.Name }), stamp, []outputs.Column{
		l.Text("before_date", "As-of date of the run before, YYYY-MM-DD; null for the first run.", func(r line) string { return r.of.Before }),
		l.Small("segment_id", "The segment.", func(r line) int { return r.ID }),
		l.Text("segment_name", "Its name.", func(r line) string { return r.Name }),
		l.Text("status", fmt.Sprintf("%s: there was none like it; %s; %s: a part of a segment of the run before; %s: made of several; %s: no longer there, and its id is not given again.", New, Kept, Split, Merged, Retired), func(r line) string { return r.Status }),
		l.Count("customers", "Customers in this run.", func(r line) int { return r.Size }),
		l.Float("customer_share", "share", "Share of all customers.", func(r line) float64 { return r.Share }),
		l.Count("customers_before", "Customers in the run before; null when it was not there.", func(r line) int { return r.Before }),
		l.Float("matched_share", "share", "Of the customers of both runs that were in the segment then or would be by the nearest centre now, the share that are in it both times (Jaccard); null when it was not there, or for the inactive.", func(r line) float64 { return r.Similarity }),
		l.Text("parents", "Ids of the segments of the run before that it came from, by comma.", func(r line) string { return list(r.Parents) }),
		l.Text("successors", "Ids of the segments of this run that a retired one went to, by comma.", func(r line) string { return list(r.Successors) }),
		l.Text("since", "As-of date of the first run that had the segment, YYYY-MM-DD.", func(r line) string { return r.Since }),
	})
}

func list(ids []int) string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = strconv.Itoa(id)
	}
	return strings.Join(texts, ",")
}

func modelTable(all []*Segmentation, dormant []*State, stamp []outputs.Column) (outputs.Table, error) {
	type line struct{ name, trained, model string }
	var l outputs.Layout[line]
	states := make([]*State, 0, len(all)+len(dormant))
	for _, s := range all {
		states = append(states, s.state)
	}
	for _, s := range append(states, dormant...) {
		text, err := s.encode()
		if err != nil {
			return outputs.Table{}, err
		}
		l.Rows = append(l.Rows, line{s.Segmentation, s.Trained, string(text)})
	}
	return l.Table(ModelsTable, l.Text("segmentation", "The division.", func(r line) string { return r.name }), stamp, []outputs.Column{
		l.Text("trained", "As-of date of the run that it was fitted in, YYYY-MM-DD.", func(r line) string { return r.trained }),
		l.Text("model", "Preparation, centres, ids and names as JSON, exact to the bit: what the next run continues.", func(r line) string { return r.model }),
	}), nil
}

// Metrics are the numbers about the segmentation.
func (s *Segmentation) Metrics(date string, spend []float64) []outputs.Metric {
	var ms []outputs.Metric
	add := func(name string, v float64, rows int, chosen bool) {
		ms = append(ms, outputs.Metric{Target: s.Name, Model: "kmeans", Split: "fit", Snapshot: date, Name: name, Value: v, Rows: rows, Positives: -1, Champion: chosen})
	}
	add("segments", float64(len(s.Segments)), len(s.Labels), true)
	if s.state.model != nil {
		add("inertia", s.Inertia, s.Active, true)
	}
	if len(s.Segments) > 0 {
		sizes := make([]float64, len(s.Segments))
		for i, g := range s.Segments {
			sizes[i] = float64(g.Size)
		}
		revenue, _ := s.Revenue(spend)
		add("segments_covering_80_percent_of_customers", float64(covering(sizes, .8)), len(s.Labels), true)
		add("segments_covering_80_percent_of_revenue", float64(covering(revenue, .8)), len(s.Labels), true)
	}
	if !math.IsNaN(s.Fidelity) {
		add("rule_fidelity", s.Fidelity, len(s.Labels), true)
	}
	if s.Before != "" {
		add("agreement_before", s.Agreement, s.Shared, true)
		add("stayed_at_border", float64(s.Stayed), s.Shared, true)
		add("drift_spread", s.Drift.Spread, s.Active, true)
		add("drift_shares", s.Drift.Shares, len(s.Labels), true)
	}
	k := 0
	if s.state.model != nil {
		k = s.state.model.K()
	}
	for _, c := range s.Curve {
		add(fmt.Sprintf("silhouette_k%d", c.K), c.Silhouette, c.Rows, c.K == k)
		add(fmt.Sprintf("simplified_silhouette_k%d", c.K), c.Simplified, c.Rows, c.K == k)
		add(fmt.Sprintf("calinski_harabasz_k%d", c.K), c.Calinski, c.Rows, c.K == k)
		add(fmt.Sprintf("davies_bouldin_k%d", c.K), c.Davies, c.Rows, c.K == k)
		add(fmt.Sprintf("gap_k%d", c.K), c.Gap, c.Rows, c.K == k)
		add(fmt.Sprintf("bootstrap_jaccard_k%d", c.K), c.Jaccard, c.Rows, c.K == k)
		add(fmt.Sprintf("prediction_strength_k%d", c.K), c.Strength, c.Rows, c.K == k)
		add(fmt.Sprintf("smallest_share_k%d", c.K), c.MinShare, c.Rows, c.K == k)
	}
	return ms
}
