package value

import (
	"fmt"
	"math"

	"github.com/shoal-data/shoal/jobs/outputs"
)

// farthest is how many days ahead a next purchase is dated: ten years.
const farthest = 3650

// Columns are the forecast's in customer_scores; today is the run's date, in days
// since 1970-01-01. Columns of the configured horizon carry no suffix.
func (f *Forecast) Columns(today int32) []outputs.Column {
	columns := []outputs.Column{
		outputs.Float("expected_purchases", "purchase days", fmt.Sprintf("Expected days with a purchase in the next %d days; null for who never bought.", f.Days), func(i int) float64 { return f.Purchases[i] }),
		outputs.Money("expected_value", fmt.Sprintf("Expected spend less refunds in the next %d days; null for who never bought.", f.Days), func(i int) float64 { return f.Spend[i] }),
		outputs.Float("p_alive", "probability", "Probability that the customer has not dropped out for good.", func(i int) float64 { return f.Alive[i] }),
	}
	for _, a := range f.Further {
		columns = append(columns,
			outputs.Float(fmt.Sprintf("expected_purchases_%dd", a.Days), "purchase days", fmt.Sprintf("Expected days with a purchase in the next %d days; null for who never bought.", a.Days), func(i int) float64 { return a.Purchases[i] }),
			outputs.Money(fmt.Sprintf("expected_value_%dd", a.Days), fmt.Sprintf("Expected spend less refunds in the next %d days; null for who never bought.", a.Days), func(i int) float64 { return a.Spend[i] }),
		)
	}
	for _, c := range []struct {
		name, meaning string
		wait          []float64
	}{
		{"next_purchase_date", "The day by which the next purchase is as likely made as not, if the customer makes one at all", f.Next},
		{"next_purchase_earliest", "A next purchase comes before with probability 0.1", f.Earliest},
		{"next_purchase_latest", "A next purchase comes later with probability 0.1", f.Latest},
	} {
		columns = append(columns, outputs.Date(c.name, c.meaning+"; null for who never bought, and beyond ten years.", func(i int) (int32, bool) {
			if w := c.wait[i]; w <= farthest && !math.IsNaN(w) {
				return today + int32(w), true
			}
			return 0, false
		}))
	}
	return columns
}
