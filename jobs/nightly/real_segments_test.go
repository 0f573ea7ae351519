package nightly

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/tables"
	"github.com/shoal-data/shoal/internal/pyoracle"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/jobs/segments"
)

var update = flag.Bool("update", false, "write the golden file of real segments")

// The segments of real histories, as chosen and with a fixed number where the data
// support none, are those of testdata/segments.txt, for people to read.
func TestRealSegments(t *testing.T) {
	data := pyoracle.Data(t)
	var b strings.Builder
	for _, e := range []struct {
		name, date string
		k          int // 0 lets the data choose
	}{{"online_retail", "2011-12-09", 0}, {"online_retail", "2011-12-09", 5}, {"cdnow_master", "1998-06-30", 0}, {"cdnow_master", "1998-06-30", 5}, {"complete_journey", "2017-12-31", 0}} {
		c := exampleConfig(t, e.name, data)
		c.Out, c.Targets = t.TempDir(), nil
		if e.k > 0 {
			c.Segmentations[0].K = config.AutoInt{N: e.k}
		}
		s, err := night(t, c, e.date, nil)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s, %s, k %s\n", e.name, e.date, map[bool]string{true: "auto", false: fmt.Sprint(e.k)}[e.k == 0])
		for _, w := range s.Warnings {
			if strings.HasPrefix(w.Code, "segments.") {
				fmt.Fprintf(&b, "  ! %s\n", w.Message)
			}
		}
		m, _, err := publish.ReadCurrent(t.Context(), storage.Local(), c.Out, e.date)
		must(t, err)
		f, err := storage.Local().Open(t.Context(), m.Paths(c.Out, segments.SegmentsTable)[0])
		must(t, err)
		in, err := tables.Open(f, f.Size())
		must(t, err)
		for rec, err := range in.Records(t.Context(), "segment_id", "segment_name", "description", "customer_share", "revenue_share") {
			must(t, err)
			for i := range int(rec.NumRows()) {
				fmt.Fprintf(&b, "  %d %s: %.1f%% of customers, %.1f%% of revenue\n    %s\n", rec.Column(0).(*array.Int32).Value(i), rec.Column(1).(*array.String).Value(i),
					100*rec.Column(3).(*array.Float64).Value(i), 100*rec.Column(4).(*array.Float64).Value(i), rec.Column(2).(*array.String).Value(i))
			}
		}
		f.Close()
	}
	const path = "testdata/segments.txt"
	if *update {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(path, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if b.String() != string(want) {
		t.Errorf("the segments of real histories are others; run with -update if intended:\n%s", b.String())
	}
}
