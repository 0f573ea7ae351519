package drift

import (
	"fmt"
	"math"

	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/gates"
	"github.com/shoal-data/shoal/models/metrics"
)

// usual is how many times the movement from training to the test snapshot a feature
// must have moved since to be remarkable. Tonight is twice as far from training as the
// test snapshot is; PSI grows with the square of a shift.
const usual = 6

// overnight is how many days before tonight the run before is at most, for what has
// moved since to be a fault.
const overnight = 14

// Judge compares every column with what there is, and judges it by the gates. The run
// before, if there is one, was so many days before tonight; wave says that the firm has
// sent far more messages since than it used to.
func Judge(columns []*Column, g config.Gates, report *gates.Report, daysBefore int, wave bool) []*Row {
	var rows []*Row
	for _, c := range columns {
		gate, bounds := "feature_drift", g.FeatureDrift
		if c.Kind == Score {
			gate, bounds = "score_drift", g.ScoreDrift
		}
		season, known := c.shift(LastYear)
		for _, reference := range []string{Training, Previous, LastYear} {
			row := &Row{Column: c, Reference: reference, Status: gates.OK}
			var ok bool
			if row.Shift, ok = c.shift(reference); !ok {
				continue
			}
			row.expected, row.actual, row.edges = c.sides(reference)
			if row.Moved = math.NaN(); c.Kind == Score {
				near := c.near
				if e := c.Earlier[reference]; e != nil {
					near = e.near
				}
				row.Moved = moved(row.expected, near)
			}
			for i := range row.expected {
				row.Expected += row.expected[i]
				row.Actual += row.actual[i]
			}
			rows = append(rows, row)
			switch {
			case reference == LastYear, reference == Training && c.Calendar,
				reference == Previous && c.Earlier[Previous].Method != c.Method: // another method gives other scores
				continue
			}
			bounds := bounds
			if reference == Training || daysBefore > overnight {
				// A history that grows, a season, customers that no model was trained on: all
				// move a column without a fault. What has broken overnight shows against the run before.
				bounds.Fail.Off = true
			}
			if c.Sent || wave && c.Activity { // what the firm decides to send is no fault of the data
				bounds.Fail.Off = true
			}
			psi := row.Shift.PSI
			result := report.Judge(gate, bounds, c.Name+" against "+reference, psi, func(bound float64) bool {
				switch {
				case psi <= bound+row.Shift.Chance, row.Moved < min(bound, 1)/2: // false for features
					return false
				case reference == Training && psi <= usual*c.Usual, reference == Previous && psi <= c.Usual: // false when it is not known
					return false
				}
				return !(reference == Training && known && season.PSI <= bound+season.Chance)
			}, fmt.Sprintf("%s %s has drifted: PSI %.3f, KS %.3f against %s", c.Kind, c.Name, psi, row.Shift.KS, words(c.Kind, reference)),
				"drift_bins of the last published run shows how it was distributed; check the columns it is computed from for a change of unit or meaning")
			row.Status, row.Gate, row.Bound = result.Status, gate, result.Bound()
		}
		if c.Alone {
			rows = append(rows, &Row{Column: c, Reference: Alone, Status: gates.OK, actual: c.Counts, edges: c.Bins})
		}
	}
	return rows
}

func words(kind, reference string) string {
	switch {
	case reference == Previous:
		return "the run before"
	case kind == Score:
		return "the scores of the test snapshot"
	}
	return "the training snapshots"
}

// sides are the counts that a column is compared by.
func (c *Column) sides(reference string) (expected, actual []int64, edges metrics.Bins) {
	if reference == Training {
		return c.Trained, c.Counts, c.Bins
	}
	if e := c.Earlier[reference]; e != nil {
		return e.Counts, e.Now, e.Bins
	}
	return nil, nil, metrics.Bins{}
}

func (c *Column) shift(reference string) (metrics.Shift, bool) {
	expected, actual, _ := c.sides(reference)
	if expected == nil {
		return metrics.Shift{}, false
	}
	return metrics.NewShift(expected, actual)
}
