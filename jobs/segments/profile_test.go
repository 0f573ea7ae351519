package segments

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/jobs/config"
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
