package drift

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/gates"
)

func draw(seed uint64, n int, of func(*rand.Rand) float64) []float64 {
	r := rand.New(rand.NewPCG(seed, 1))
	x := make([]float64, n)
	for i := range x {
		x[i] = of(r)
	}
	return x
}

// steps are calibrated probabilities of few values, which a fit puts somewhere.
func steps(at ...float64) func(*rand.Rand) float64 {
	return func(r *rand.Rand) float64 { return at[r.IntN(len(at))] }
}

// published writes what drift_bins holds of columns and reads it back as the next run does.
func published(t *testing.T, columns []*Column) Past {
	t.Helper()
	p := Past{}
	read := false
	for _, table := range Tables(Judge(columns, config.DefaultGates(), &gates.Report{}, 1, false), nil) {
		if table.Name != BinsTable {
			continue
		}
		err := table.Records(func(rec arrow.Record) error {
			read = true
			var cols []arrow.Array
			var fields []arrow.Field
			for _, name := range Columns {
				i := rec.Schema().FieldIndices(name)[0]
				cols, fields = append(cols, rec.Column(i)), append(fields, rec.Schema().Field(i))
			}
			return p.Read(array.NewRecord(arrow.NewSchema(fields, nil), cols, rec.NumRows()))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if !read || p.Check() != nil {
		t.Fatalf("nothing was read: %v", p.Check())
	}
	return p
}

// A score whose few values are put elsewhere by a little has not drifted, though its
// PSI is large; one that has moved by more has.
func TestScores(t *testing.T) {
	tonight := func(of func(*rand.Rand) float64) []float64 {
		return append(draw(1, 3000, of), math.NaN(), math.NaN())
	}
	eve := NewScore("p", "trees", tonight(steps(.1, .2, .4, .8)), draw(2, 2000, steps(.1, .2, .4, .8)), nil)
	if eve.Counts[len(eve.Counts)-1] != 0 {
		t.Error("customers without a score are counted")
	}
	past := published(t, []*Column{eve})
	if got := past["p"]; got.Method != "trees" || !slices.Equal(got.Counts, eve.Counts) || !slices.Equal(got.Bins.Edges, eve.Bins.Edges) {
		t.Fatalf("read back %+v, wrote %+v", got, eve)
	}
	strict := config.DefaultGates()
	strict.ScoreDrift = config.Gate{Warn: strict.FeatureDrift.Warn, Fail: strict.FeatureDrift.Fail}
	for _, c := range []struct {
		name, method string
		of           func(*rand.Rand) float64
		want         gates.Status
		least        float64 // PSI against the run before
	}{
		{"the same", "trees", steps(.1, .2, .4, .8), gates.OK, 0},
		{"put elsewhere by a little", "trees", steps(.11, .21, .42, .81), gates.OK, 1},
		{"moved somewhat", "trees", steps(.3, .4, .8, .9), gates.Warn, 1},
		{"moved", "trees", steps(.7, .9, .95, .97), gates.Fail, 1},
		{"moved down", "trees", steps(.01, .02, .03, .04), gates.Fail, 1},
		{"of another model", "logistic", steps(.7, .9, .95, .97), gates.OK, 1},
	} {
		x := tonight(c.of)
		report := &gates.Report{Action: config.GatesFail}
		rows := Judge([]*Column{NewScore("p", c.method, x, x[:3000], map[string]Past{Previous: past})}, strict, report, 1, false)
		i := slices.IndexFunc(rows, func(r *Row) bool { return r.Reference == Previous })
		if i < 0 || rows[i].Status != c.want || rows[i].Shift.PSI < c.least || rows[i].Expected != 3000 || rows[i].Actual != 3000 {
			t.Errorf("%s: %+v, want %s", c.name, rows[i], c.want)
		}
	}
}

// A feature is judged by how far it has moved beyond what it moves by nature, and not
// when last year's week is as it is.
func TestFeatures(t *testing.T) {
	normal := func(mean float64) func(*rand.Rand) float64 {
		return func(r *rand.Rand) float64 { return mean + r.NormFloat64() }
	}
	column := func(mean, usual float64, past map[string]Past) *Column {
		c := NewScore("f", "", draw(1, 4000, normal(mean)), draw(2, 4000, normal(0)), nil)
		c.Kind, c.Usual = Feature, usual
		c.meet(past)
		for _, e := range c.Earlier {
			e.Bins.Count(e.Now, draw(1, 4000, normal(mean)))
		}
		return c
	}
	status := func(c *Column, reference string) gates.Status {
		report := &gates.Report{Action: config.GatesFail}
		for _, r := range Judge([]*Column{c}, config.DefaultGates(), report, 1, false) {
			if r.Reference == reference {
				return r.Status
			}
		}
		return ""
	}
	// A shift by d standard deviations has a PSI of about d².
	for _, c := range []struct {
		mean, usual float64
		want        gates.Status
	}{{0, 0, gates.OK}, {.3, 0, gates.OK}, {.7, 0, gates.Warn}, {1.3, 0, gates.Warn}, {1.3, .5, gates.OK}, {1.3, math.NaN(), gates.Warn}} {
		if got := status(column(c.mean, c.usual, nil), Training); got != c.want {
			t.Errorf("moved by %v, usually PSI %v: %s, want %s", c.mean, c.usual, got, c.want)
		}
	}
	there := published(t, []*Column{column(1.3, 0, nil)})
	if got := status(column(1.3, 0, map[string]Past{LastYear: there}), Training); got != gates.OK {
		t.Errorf("as last year: %s", got)
	}
	here := published(t, []*Column{column(0, 0, nil)})
	if got := status(column(1.3, 0, map[string]Past{LastYear: here}), Training); got != gates.Warn {
		t.Errorf("not as last year: %s", got)
	}
	if got := status(column(1.3, 0, map[string]Past{Previous: here}), Previous); got != gates.Fail {
		t.Errorf("not as yesterday: %s", got)
	}
	rows := Judge([]*Column{column(1.3, 0, map[string]Past{Previous: here})}, config.DefaultGates(), &gates.Report{Action: config.GatesFail}, overnight+1, false)
	if i := slices.IndexFunc(rows, func(r *Row) bool { return r.Reference == Previous }); i < 0 || rows[i].Status != gates.Warn {
		t.Errorf("not as weeks ago: %+v", rows)
	}
	for _, c := range []struct {
		sent, activity, wave bool
		want                 gates.Status
	}{{false, true, false, gates.Fail}, {false, true, true, gates.Warn}, {false, false, true, gates.Fail}, {true, false, false, gates.Warn}} {
		col := column(1.3, 0, map[string]Past{Previous: here})
		col.Sent, col.Activity = c.sent, c.activity
		report := &gates.Report{Action: config.GatesFail}
		rows := Judge([]*Column{col}, config.DefaultGates(), report, 1, c.wave)
		if i := slices.IndexFunc(rows, func(r *Row) bool { return r.Reference == Previous }); i < 0 || rows[i].Status != c.want {
			t.Errorf("%+v: %+v", c, rows)
		}
	}
	calendar := column(1.3, 0, nil)
	calendar.Calendar = true
	if got := status(calendar, Training); got != gates.OK {
		t.Errorf("of the calendar: %s", got)
	}
}

// What is not a whole histogram is refused.
func TestReadRefuses(t *testing.T) {
	c := NewScore("p", "trees", draw(1, 100, steps(.1, .2)), nil, nil)
	if c.Trained != nil || !c.Alone {
		t.Fatalf("%+v", c)
	}
	p := published(t, []*Column{c}) // alone, yet kept
	s := p["p"]
	s.Counts = s.Counts[1:]
	p["p"] = s
	if err := p.Check(); err == nil || !strings.Contains(err.Error(), "column p") {
		t.Errorf("%v", err)
	}
}
