package segments

import (
	"cmp"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/jobs/segments/passes"
	"github.com/shoal-data/shoal/models"
)

// Profiles are what a plain reading of each segment's customers says.
func TestProfiles(t *testing.T) {
	x := customers(900)
	s, _ := divide(t, params(), x, nil)
	if len(s.Profiles) != len(s.Segments)*x.Cols() {
		t.Fatalf("%d profiles", len(s.Profiles))
	}
	for _, p := range s.Profiles {
		j := slices.Index(x.Names, p.Feature)
		var own []float64
		sum := 0.0
		for i, l := range s.Labels {
			if v := x.Row(i)[j]; l == p.Segment && !math.IsNaN(v) {
				own, sum = append(own, v), sum+v
			}
		}
		slices.Sort(own)
		if p.Known != len(own) {
			t.Errorf("%s of segment %d: %d customers, want %d", p.Feature, p.Segment, p.Known, len(own))
		}
		if len(own) == 0 {
			if !math.IsNaN(p.Mean) || !math.IsNaN(p.P50) {
				t.Errorf("%s is known of nobody in segment %d: %+v", p.Feature, p.Segment, p)
			}
			continue
		}
		if math.Abs(p.Mean-sum/float64(len(own))) > 1e-9 || p.P50 < own[(len(own)-1)/2] || p.P50 > own[len(own)/2] || !(p.P10 <= p.P25 && p.P25 <= p.P50 && p.P50 <= p.P75 && p.P75 <= p.P90) {
			t.Errorf("%s of segment %d: %+v", p.Feature, p.Segment, p)
		}
		if below := len(own) / 10; p.P10 < own[max(below-1, 0)] || p.P10 > own[below+1] {
			t.Errorf("%s of segment %d: a tenth is below %v", p.Feature, p.Segment, p.P10)
		}
	}
}

// Cutting one kind of customers into pieces makes segments too alike; kinds that
// differ are not.
func TestTooAlike(t *testing.T) {
	x := customers(900)
	for k, want := range map[int]bool{3: false, 12: true} {
		p := params()
		p.K = config.AutoInt{N: k}
		s, warnings := divide(t, p, x, nil)
		alike := slices.ContainsFunc(s.Likeness, func(l Likeness) bool { return l.Alike })
		said := false
		for _, w := range warnings {
			said = said || w.Code == "segments.alike" && strings.Contains(w.Message, "too alike")
		}
		if alike != want || said != want {
			t.Errorf("%d segments: alike %v, said %v: %+v", k, alike, said, s.Likeness)
		}
	}
}

// Segments with gaps come out again of resamples, pieces of one kind do not.
func TestStability(t *testing.T) {
	x := customers(900)
	for k, stable := range map[int]bool{3: true, 12: false} {
		p := params()
		p.K = config.AutoInt{N: k}
		s, _ := divide(t, p, x, nil)
		for i, g := range s.Standings {
			if !(g.Stability > 0) || g.Stability > 1+1e-12 || stable && g.Stability < .95 {
				t.Errorf("%d segments: stability of %d is %v", k, i, g.Stability)
			}
		}
		least := slices.MinFunc(s.Standings, func(a, b Standing) int { return cmp.Compare(a.Stability, b.Stability) })
		if !stable && least.Stability > .75 {
			t.Errorf("12 segments of 3 kinds are all stable: %+v", s.Standings)
		}
	}
}

// Rules say who is in which segment; they stay with the id, whatever customers do,
// and what they are worth is counted anew every night.
func TestRules(t *testing.T) {
	x := customers(900)
	idle := make([]float64, 900)
	for i := 0; i < 900; i += 9 {
		idle[i] = 400
	}
	s, _, err := Divide(t.Context(), params(), Input{X: passes.Held{Matrix: x}, Idle: idle})
	if err != nil {
		t.Fatal(err)
	}
	if s.Fidelity < .97 {
		t.Errorf("three kinds that lie apart are told with a fidelity of %v: %+v", s.Fidelity, s.Segments)
	}
	counted := func(s *Segmentation, x models.Matrix) {
		t.Helper()
		agree := 0
		held, both, inside := make([]float64, 4), make([]float64, 4), make([]float64, 4)
		for i, l := range s.Labels {
			inside[l]++
			var holding []int
			for k, g := range s.Segments {
				holds := g.Inactive
				if idle[i] <= 365 {
					holds = g.Rule.Holds(func(c string) float64 { return x.Row(i)[slices.Index(x.Names, c)] })
				}
				if holds {
					holding = append(holding, k)
					held[k]++
					if k == l {
						both[k]++
					}
				}
			}
			if slices.Equal(holding, []int{l}) {
				agree++
			}
		}
		if want := float64(agree) / 900; math.Abs(s.Fidelity-want) > 1e-12 {
			t.Errorf("fidelity %v, counted %v", s.Fidelity, want)
		}
		for k := range s.Segments {
			if g := s.Standings[k]; math.Abs(g.Precision-both[k]/held[k]) > 1e-12 || math.Abs(g.Recall-both[k]/inside[k]) > 1e-12 {
				t.Errorf("segment %d: %+v, counted %v and %v", k, g, both[k]/held[k], both[k]/inside[k])
			}
		}
	}
	counted(s, x)
	last := &s.Segments[3]
	if !last.Inactive || s.ruleSQL(last) != "days_since_last_event > 365" || s.Standings[3].Recall != 1 || !math.IsNaN(s.Standings[3].Stability) {
		t.Errorf("%+v, %s", last, s.ruleSQL(last))
	}
	if sql := s.ruleSQL(&s.Segments[0]); !strings.HasPrefix(sql, "NOT (days_since_last_event > 365) AND (") {
		t.Error(sql)
	}
	// The next night customers buy half as often: the rules stay, and hold for fewer.
	later := customers(900)
	for i := range later.Rows() {
		later.Row(i)[0] /= 2
		later.Row(i)[2] *= 1.5
	}
	s2, _, err := Divide(t.Context(), params(), Input{X: passes.Held{Matrix: later}, Idle: idle, Prior: after(t, s, nil)})
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range s2.Segments {
		if !reflect.DeepEqual(g.Rule, s.Segments[i].Rule) || g.RuleText != s.Segments[i].RuleText || g.ID != s.Segments[i].ID {
			t.Errorf("the rule of segment %d was %v, is %v", g.ID, s.Segments[i].Rule, g.Rule)
		}
	}
	idle = make([]float64, 900)
	for i := 0; i < 900; i += 9 {
		idle[i] = 400
	}
	counted(s2, later)
	// Nothing of this depends on the state having rules: one written before there were
	// any gets tonight's.
	prior := after(t, s, nil)
	for i := range prior.State.Named {
		prior.State.Named[i].Rule, prior.State.Named[i].RuleText = nil, ""
	}
	s3, _, err := Divide(t.Context(), params(), Input{X: passes.Held{Matrix: x}, Idle: idle, Prior: prior})
	if err != nil || s3.Segments[0].Rule == nil || s3.Segments[0].RuleText == "" {
		t.Errorf("%v, %+v", err, s3.Segments)
	}
}

// Every pair of segments is in segment_distances, and every number that was tried
// in segment_counts, one of them chosen.
func TestDistancesAndCounts(t *testing.T) {
	s, _ := divide(t, params(), customers(900), nil)
	tables, err := Tables([]*Segmentation{s}, nil, nil, make([]float64, 900))
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string, see func(rec arrow.Record)) {
		i := slices.IndexFunc(tables, func(t outputs.Table) bool { return t.Name == name })
		if err := tables[i].Records(func(r arrow.Record) error { see(r); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	read(DistancesTable, func(r arrow.Record) {
		if r.NumRows() != 6 {
			t.Fatalf("%d pairs of 3 segments, both ways", r.NumRows())
		}
		for i := range 6 {
			a, b := s.Segments[r.Column(1).(*array.Int32).Value(i)-1], s.Segments[r.Column(3).(*array.Int32).Value(i)-1]
			sum, most := 0.0, 0.0
			for j := range a.Centre {
				sum += (a.Centre[j] - b.Centre[j]) * (a.Centre[j] - b.Centre[j])
				if math.Abs(b.Centre[j]-a.Centre[j]) > math.Abs(most) {
					most = b.Centre[j] - a.Centre[j]
				}
			}
			if got := r.Column(5).(*array.Float64).Value(i); math.Abs(got-math.Sqrt(sum)) > 1e-12 || a.ID == b.ID {
				t.Errorf("distance of %d and %d: %v, want %v", a.ID, b.ID, got, math.Sqrt(sum))
			}
			if got := r.Column(7).(*array.Float64).Value(i); got != most || r.Column(8).(*array.Boolean).Value(i) {
				t.Errorf("%d and %d differ by %v, want %v; or are too alike", a.ID, b.ID, got, most)
			}
		}
	})
	read(CountsTable, func(r arrow.Record) {
		if r.NumRows() != 7 {
			t.Fatalf("%d numbers from 2 to 8", r.NumRows())
		}
		for i := range 7 {
			k, chosen, why := r.Column(1).(*array.Int32).Value(i), r.Column(2).(*array.Boolean).Value(i), r.Column(4).(*array.String).Value(i)
			if k != int32(i+2) || chosen != (k == 3) || chosen != strings.HasPrefix(why, "chosen: ") || why == "" {
				t.Errorf("%d segments: chosen %v, %q", k, chosen, why)
			}
		}
	})
}

func TestCovering(t *testing.T) {
	for _, c := range []struct {
		parts []float64
		want  int
	}{{[]float64{1, 70, 9, 20}, 2}, {[]float64{80, 20}, 1}, {[]float64{50, 29, 21}, 3}, {nil, 0}, {[]float64{0, 0}, 2}, {[]float64{-10, 60, 50}, 2}} {
		if got := covering(c.parts, .8); got != c.want {
			t.Errorf("%v: %d, want %d", c.parts, got, c.want)
		}
	}
}
