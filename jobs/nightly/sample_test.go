package nightly

import (
	"math"
	"testing"

	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/predict"
	"github.com/shoal-data/shoal/jobs/targets"
)

// The training rows keep to a quarter of limits.memory, and say so where they are
// fewer than asked for.
func TestTrainingRowsKeepToMemory(t *testing.T) {
	families := []features.Family{{Columns: make([]features.Column, 300)}, {Columns: make([]features.Column, 100)}}
	long := predict.Question{Schedule: targets.Schedule{Train: make([]timeline.AsOf, 4)}}
	skipped := predict.Question{Schedule: targets.Schedule{Train: make([]timeline.AsOf, 40)}, Skip: "no events"}
	q := &questions{targets: []predict.Question{{}, long, skipped}}
	for _, c := range []struct {
		memory      int64
		customers   int64
		asked, want int
		said        bool
	}{
		{math.MaxInt64, 1e6, 50_000, 50_000, false},
		{4 * 50_000 * 400 * 2 * 5, 1e6, 50_000, 50_000, false}, // five dates with the test's
		{2 * 50_000 * 400 * 2 * 5, 1e6, 50_000, 25_000, true},
		{2 * 50_000 * 400 * 2 * 5, 25_000, 50_000, 25_000, false}, // there are no more
		{1 << 20, 1e6, 50_000, 1000, true},
		{1 << 20, 1e6, 1000, 1000, false},
	} {
		r := &run{Options: Options{Config: config.Default()}, memory: c.memory, summary: &Summary{}}
		r.Config.Limits.SampleRows = c.asked
		if got := r.sampleRows(families, q, c.customers); got != c.want || (len(r.summary.Warnings) > 0) != c.said {
			t.Errorf("memory %d: %d rows of %d, want %d; warnings %v", c.memory, got, c.asked, c.want, r.summary.Warnings)
		}
	}
}
