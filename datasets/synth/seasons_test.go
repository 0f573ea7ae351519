package synth_test

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/shoal-data/shoal/datasets/synth/internal/behaviour"
)

// TestSeasons is no test but the way into this package for notebooks/benchmarks/knowable.py:
// it writes to $SHOAL_SEASONS the factors on the rates of orders and visits, by planted
// segment, and of messages, on so many days from 2024-01-01.
func TestSeasons(t *testing.T) {
	file := os.Getenv("SHOAL_SEASONS")
	if file == "" {
		t.Skip("for notebooks/benchmarks/knowable.py")
	}
	var s struct {
		Orders, Visits [][]float64
		Messages       []float64
	}
	for g := range behaviour.Profiles {
		p := &behaviour.Profiles[g]
		var orders, visits []float64
		day := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
		for range 2 * 366 {
			orders, visits = append(orders, p.OrderSeason(day.Month(), day.Weekday())), append(visits, p.VisitSeason(day.Month(), day.Weekday()))
			if g == 0 {
				s.Messages = append(s.Messages, behaviour.MessageWeek[day.Weekday()])
			}
			day = day.AddDate(0, 0, 1)
		}
		s.Orders, s.Visits = append(s.Orders, orders), append(s.Visits, visits)
	}
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
