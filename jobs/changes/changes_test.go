package changes_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/shoal-data/shoal/jobs/changes"
	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/jobs/segments/roll"
)

// A row is a customer as a run publishes it; NaN and "" are null, 0 is no segment.
type row struct {
	id      string
	segment int
	band    string
	p       float64
	value   float64
}

func columns(rows []row) []changes.Watched {
	return []changes.Watched{
		{outputs.Small("segment_id", "", func(i int) (int, bool) { return rows[i].segment, rows[i].segment != 0 }), changes.Exact},
		{outputs.Text("segment_name", "", func(i int) (string, bool) { return fmt.Sprint("s", rows[i].segment, len(rows)), true }), changes.Shown},
		{outputs.Float("churn_probability", "probability", "", func(i int) float64 { return rows[i].p }), changes.Probability},
		{outputs.Text("churn_band", "", func(i int) (string, bool) { return rows[i].band, rows[i].band != "" }), changes.Exact},
		{outputs.Money("expected_value", "", func(i int) float64 { return rows[i].value }), changes.Value},
	}
}

func ids(rows []row) arrow.Array {
	b := array.NewStringBuilder(memory.DefaultAllocator)
	for _, r := range rows {
		b.Append(r.id)
	}
	return b.NewArray()
}

// tell gives a line a row of the table: who, what, which columns, and the values
// of segment, probability and value, now and before.
func tell(t *testing.T, now, before []row, change func(*changes.Input)) []string {
	t.Helper()
	customers := roll.New(arrow.BinaryTypes.String, len(now))
	if err := customers.Add(ids(now)); err != nil {
		t.Fatal(err)
	}
	customers.Sort()
	in := changes.Input{
		Limits: changes.Limits{Probability: 0.1, Value: 0.5}, Watched: columns(now),
		Stamp:     []outputs.Column{outputs.Text("run_id", "", func(int) (string, bool) { return "tonight", true })},
		Customers: len(now), Type: arrow.BinaryTypes.String, Now: customers,
		IDs: func() iter.Seq2[arrow.Array, error] {
			return func(yield func(arrow.Array, error) bool) {
				for part := range slices.Chunk(now, 2) {
					if !yield(ids(part), nil) {
						return
					}
				}
			}
		},
		Before: &changes.Before{
			Date: "2025-03-30", RunID: "yesterday", Has: func(string, arrow.DataType) bool { return true },
			Read: func(_ context.Context, names ...string) (iter.Seq2[arrow.Record, error], error) {
				return func(yield func(arrow.Record, error) bool) {
					for part := range slices.Chunk(before, 3) {
						fields, arrays := []arrow.Field{{Name: "customer_id", Type: arrow.BinaryTypes.String}}, []arrow.Array{ids(part)}
						for _, c := range columns(part) {
							if slices.Contains(names, c.Field.Name) {
								fields = append(fields, c.Field)
								arrays = append(arrays, outputs.Rows(outputs.SchemaOf([]outputs.Column{c.Column}), []outputs.Column{c.Column}, 0, len(part)).Column(0))
							}
						}
						if !yield(array.NewRecord(arrow.NewSchema(fields, nil), arrays, int64(len(part))), nil) {
							return
						}
					}
				}, nil
			},
		},
	}
	if change != nil {
		change(&in)
	}
	var lines []string
	err := changes.Table(t.Context(), in).Records(func(rec arrow.Record) error {
		for i := range int(rec.NumRows()) {
			var cells []string
			for j, f := range rec.Schema().Fields() {
				switch f.Name {
				case "customer_id", "change", "moved", "segment_id", "segment_id_before", "churn_probability", "churn_probability_before", "expected_value", "expected_value_before":
					cells = append(cells, strings.TrimSuffix(rec.Column(j).ValueStr(i), "000"))
				case "run_id":
					if rec.Column(j).ValueStr(i) != "tonight" {
						t.Errorf("run_id is %s", rec.Column(j).ValueStr(i))
					}
				case "before_run_id", "before_date":
					if in.Before != nil && rec.Column(j).ValueStr(i) != map[string]string{"before_run_id": "yesterday", "before_date": "2025-03-30"}[f.Name] || in.Before == nil && rec.Column(j).IsValid(i) {
						t.Errorf("%s is %s", f.Name, rec.Column(j).ValueStr(i))
					}
				}
			}
			lines = append(lines, strings.Join(cells, " "))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

var (
	nan    = math.NaN()
	before = []row{
		{"same", 1, "low", 0.25, 100}, {"little", 1, "low", 0.25, 100}, {"gone", 2, "high", 0.75, 50}, {"segment", 1, "low", 0.25, 100},
		{"band", 1, "low", 0.25, 100}, {"up", 1, "low", 0.25, 100}, {"down", 1, "low", 0.25, 100}, {"richer", 1, "low", 0.25, 100}, {"poorer", 1, "low", 0.25, 100},
		{"lost", 1, "low", 0.25, 100}, {"found", 0, "", nan, nan}, {"none", 0, "", nan, nan}, {"zero", 1, "low", 0.25, 0}, {"debt", 1, "low", 0.25, -100},
	}
	tonight = []row{
		{"new", 3, "low", 0.5, 10}, {"debt", 1, "low", 0.25, -150.0001}, {"zero", 1, "low", 0.25, 0.0001}, {"none", 0, "", nan, nan}, {"found", 1, "low", 0.25, 100}, {"lost", 0, "", nan, nan},
		{"poorer", 1, "low", 0.25, 49.9999}, {"richer", 1, "low", 0.25, 150.0001}, {"down", 1, "low", 0.125, 100}, {"up", 1, "low", 0.375, 100}, {"band", 1, "medium", 0.25, 100},
		{"segment", 2, "low", 0.25, 100}, {"little", 1, "low", 0.34375, 150}, {"same", 1, "low", 0.25, 100}, {"newer", 0, "", nan, nan},
	}
)

func TestChanges(t *testing.T) {
	want := []string{
		"gone removed (null) (null) 2 (null) 0.75 (null) 50",
		"segment changed segment_id 2 1 0.25 0.25 100 100",
		"band changed churn_band 1 1 0.25 0.25 100 100",
		"up changed churn_probability 1 1 0.375 0.25 100 100",
		"down changed churn_probability 1 1 0.125 0.25 100 100",
		"richer changed expected_value 1 1 0.25 0.25 150.0001 100",
		"poorer changed expected_value 1 1 0.25 0.25 49.9999 100",
		"lost changed segment_id,churn_probability,churn_band,expected_value (null) 1 (null) 0.25 (null) 100",
		"found changed segment_id,churn_probability,churn_band,expected_value 1 (null) 0.25 (null) 100 (null)",
		"zero changed expected_value 1 1 0.25 0.25 0.0001 0",
		"debt changed expected_value 1 1 0.25 0.25 -150.0001 -100",
		"new added (null) 3 (null) 0.5 (null) 10 (null)",
		"newer added (null) (null) (null) (null) (null) (null) (null)",
	}
	if diff := cmp.Diff(want, tell(t, tonight, before, nil)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := tell(t, before, before, nil); len(got) != 0 {
		t.Errorf("between a run and itself: %v", got)
	}
}

func TestNothingBefore(t *testing.T) {
	got := tell(t, tonight, nil, func(in *changes.Input) { in.Before, in.Now = nil, nil })
	if len(got) != len(tonight) || got[0] != "new added (null) 3 (null) 0.5 (null) 10 (null)" {
		t.Errorf("%d rows of %d: %v", len(got), len(tonight), got)
	}
}

// What the run before did not have is no change; everything else still is.
func TestColumnIsNew(t *testing.T) {
	got := tell(t, tonight, before, func(in *changes.Input) {
		in.Before.Has = func(name string, _ arrow.DataType) bool { return name != "churn_probability" }
	})
	if slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "up ") || strings.HasPrefix(s, "down ") }) {
		t.Errorf("a column that is new moved: %v", got)
	}
	if !slices.Contains(got, "segment changed segment_id 2 1 0.25 (null) 100 100") || !slices.Contains(got, "lost changed segment_id,churn_band,expected_value (null) 1 (null) (null) (null) 100") {
		t.Errorf("%v", got)
	}
}

// Of whom nothing may be said, not even that they are gone is said.
func TestBarred(t *testing.T) {
	got := tell(t, tonight, before, func(in *changes.Input) { in.Bars = func(id string) bool { return id == "gone" } })
	if text := strings.Join(got, "\n"); strings.Contains(text, "gone") || !strings.HasPrefix(text, "segment ") {
		t.Error(text)
	}
}

func TestUnreadable(t *testing.T) {
	broken := errors.New("row group 3")
	in := changes.Input{
		Customers: 0, Type: arrow.BinaryTypes.String, Now: roll.New(arrow.BinaryTypes.String, 0),
		Before: &changes.Before{Date: "2025-03-30", RunID: "yesterday", Read: func(context.Context, ...string) (iter.Seq2[arrow.Record, error], error) { return nil, broken }},
	}
	err := changes.Table(t.Context(), in).Records(func(arrow.Record) error { return nil })
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "yesterday of 2025-03-30") {
		t.Error(err)
	}
}
