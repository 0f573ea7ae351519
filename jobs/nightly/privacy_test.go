package nightly

import (
	"path/filepath"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/tables"
)

// No published number is about fewer customers than configured: segments are fewer, and what
// is small all the same is null, in every table and in the summary.
func TestSmallestSegment(t *testing.T) {
	const fewest = 30
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.parquet"), shop(5, 200))
	c := untargeted(t, dir, "segmentations: [{name: behaviour, k: 8, inactive_after: 300d}]\n")
	plain, err := night(t, c, shopDate, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Privacy.SmallestSegment = fewest
	c.Privacy.Purpose, c.Privacy.Retention = "campaigns", 30
	s, err := night(t, c, shopDate, nil)
	if err != nil {
		t.Fatal(err)
	}
	small := 0
	for _, g := range plain.Segments {
		if g.Customers < fewest {
			small++
		}
	}
	if small == 0 || len(plain.Segments) < 8 {
		t.Fatalf("without the bound every segment is large, which shows nothing: %+v", plain.Segments)
	}
	if len(s.Segments) >= len(plain.Segments) || !warned(s, "privacy.segments_merged", "instead of 8") {
		t.Errorf("%d segments, warnings %v", len(s.Segments), s.Warnings)
	}
	for _, g := range s.Segments {
		if g.Customers < fewest && !g.Suppressed {
			t.Errorf("the summary tells of %d customers: %+v", g.Customers, g)
		}
	}
	m, _, err := Published(t.Context(), storage.Local(), c.Out, shopDate)
	if err != nil {
		t.Fatal(err)
	}
	hidden := 0
	for _, table := range m.Tables {
		for _, path := range m.Paths(c.Out, table.Name) {
			hidden += counts(t, path, func(column string, v float64) {
				if v > 0 && v < fewest {
					t.Errorf("%s.%s is %v", table.Name, column, v)
				}
			})
		}
	}
	if hidden == 0 {
		t.Error("no count was hidden")
	}
	if u := m.DataUse; u == nil || u.Purpose != "campaigns" || u.KeepUntil != "2024-12-30" || u.SmallestSegment != fewest || len(u.Columns) == 0 || u.Pseudonyms != "none" {
		t.Errorf("data use %+v", m.DataUse)
	}
}

// counts visits every count of customers in a file, and counts those that are null.
func counts(t *testing.T, path string, visit func(column string, v float64)) (nulls int) {
	t.Helper()
	f, err := storage.Local().Open(t.Context(), path)
	must(t, err)
	defer f.Close()
	in, err := tables.Open(f, f.Size())
	must(t, err)
	for rec, err := range in.Records(t.Context()) {
		must(t, err)
		if rec.Schema().Field(0).Name == "customer_id" {
			return 0
		}
		for j, field := range rec.Schema().Fields() {
			if unit, _ := field.Metadata.GetValue(tables.MetaUnit); unit != "customers" {
				continue
			}
			for i := range int(rec.NumRows()) {
				switch {
				case rec.Column(j).IsNull(i):
					nulls++
				case field.Type.ID() == arrow.INT64:
					visit(field.Name, float64(rec.Column(j).(*array.Int64).Value(i)))
				case field.Type.ID() == arrow.FLOAT64:
					visit(field.Name, rec.Column(j).(*array.Float64).Value(i))
				}
			}
		}
	}
	return nulls
}
