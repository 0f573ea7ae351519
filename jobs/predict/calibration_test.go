package predict

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/models/calibrate"
)

// A curve is of the shape that carries over to dates it has not seen, among those that
// there are rows enough for.
func TestCalibrationTransfers(t *testing.T) {
	const each = 8000
	step := func(s float64) float64 { // far from any sigmoid of s
		if s > 0 {
			return .9
		}
		return .1
	}
	line := func(s float64) float64 { return 1 / (1 + math.Exp(-s)) }
	bent := func(s float64) float64 { return 1 / (1 + math.Exp(-4*s)) / 2 } // half of the likeliest
	for _, c := range []struct {
		name  string
		rates []func(float64) float64 // of each date
		rows  int
		want  calibrate.Method
	}{
		{"a step at every date", []func(float64) float64{step, step, step}, each, calibrate.Isotonic},
		{"a bend at every date", []func(float64) float64{bent, bent}, 3000, calibrate.Beta},
		// Auto would take the isotonic curve for so many rows.
		{"a line at every date", []func(float64) float64{line, line, line}, each, calibrate.Platt},
		{"a bend at one date", []func(float64) float64{line, bent, line}, each, calibrate.Platt},
		{"few rows", []func(float64) float64{step, step}, 200, calibrate.Platt},
		{"one date", []func(float64) float64{line}, 3 * each, calibrate.Isotonic},
	} {
		r := rand.New(rand.NewPCG(7, 11))
		s := &sample{from: []int{0}}
		var rows []uint32
		var scores, y []float64
		for d, rate := range c.rates {
			s.dates = append(s.dates, timeline.AsOf{})
			s.from = append(s.from, s.from[d]+2*c.rows)
			for i := range 2 * c.rows {
				v := 4*r.Float64() - 2
				label := 0.
				if r.Float64() < rate(v) {
					label = 1
				}
				y = append(y, label)
				if i%2 == 0 { // every other row is held out
					rows, scores = append(rows, uint32(s.from[d]+i)), append(scores, v)
				}
			}
		}
		m, err := s.calibrated(context.Background(), rows, scores, y)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if m.Method != c.want || m.Rows != len(rows) {
			t.Errorf("%s: %s of %d rows, want %s of %d", c.name, m.Method, m.Rows, c.want, len(rows))
		}
	}
	s := &sample{dates: make([]timeline.AsOf, 2), from: []int{0, 2, 4}}
	if m, err := s.calibrated(context.Background(), []uint32{0, 1, 2, 3}, []float64{1, 2, 1, 2}, []float64{1, 1, 1, 1}); m != nil || err != nil {
		t.Errorf("outcomes of one kind: %v, %v, want no curve", m, err)
	}
	// What the other date says cannot be fitted: the date with both outcomes is no evidence.
	if m, err := s.calibrated(context.Background(), []uint32{0, 1, 2, 3}, []float64{1, 2, 1, 2}, []float64{0, 1, 1, 1}); err != nil || m.Method != calibrate.Platt {
		t.Errorf("one date of one kind: %+v, %v", m, err)
	}
}
