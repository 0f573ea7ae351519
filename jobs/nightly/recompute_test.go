package nightly

import (
	_ "embed"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/datasets/synth"
	"github.com/shoal-data/shoal/internal/pyoracle"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/config/units"
)

//go:embed recompute_test.py
var recomputeScript string

// What is published agrees with itself and with the events, recomputed by
// DuckDB and scipy from the Parquet files alone: percentiles, eligibility, RFM
// scores, sizes and revenue of segments, labels of the test snapshots, the
// holdout, and the formulas of both value models.
func TestPublishedNumbersRecomputed(t *testing.T) {
	p := synth.DefaultParams()
	p.Customers, p.AnonymousShare = 2500, 0
	dir, c := generated(t, p)
	c.Segmentations[0].K = config.AutoInt{N: 4} // so that there are some
	shoes, leavers := config.DefaultTarget("fashion", config.KindPropensity), config.DefaultTarget("leavers", config.KindChurn)
	shoes.Where.Category = units.OneOrMany{"fashion"}
	shoes.Horizon = config.AutoDays{Days: 45}
	leavers.Ends, leavers.Horizon = config.EndsCancel, config.AutoDays{Days: 60}
	leavers.ActiveWithin = config.Within{Mode: config.WithinEver}
	c.Targets, c.Models.MinPositives = append(c.Targets, shoes, leavers), 10
	s, err := night(t, c, "2025-03-31", nil)
	if err != nil {
		t.Fatal(err)
	}
	var faults []string
	pyoracle.Run(t, recomputeScript, map[string]any{
		"out": c.Out, "events": dir + "/events/*/*.parquet", "date": s.Date, "targets": s.Targets, "value_horizon": s.Value.HorizonDays,
		"trees": strings.HasSuffix(s.Value.Model, "trees"), "value_trees": strings.HasSuffix(s.Value.ValueModel, "gammagamma × trees"),
	}, &faults)
	if len(faults) > 0 {
		t.Error(strings.Join(faults, "\n"))
	}
}
