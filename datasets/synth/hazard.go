package synth

import (
	"fmt"
	"math"
	"time"

	"github.com/shoal-data/shoal/datasets/synth/internal/behaviour"
)

// ChurnProbability is the exact probability, under the customer's true
// parameters, of no order on the days [asOf+gap, asOf+gap+horizon), given that
// the last order before asOf was on the day of lastPurchase. Days count from the
// midnight of asOf; the hours of both times are ignored, so events of the day of
// asOf are not known yet.
//
// The customer was alive all through the day x of the last order. With
// q(d) = e^−μ the chance to survive the end of day d, and Λ the integral of λ·s
// over days, the history "nothing in (x, asOf)" has the likelihood
//
//	Σ_k e^−μ(k−x)·(1−e^−μ)·e^−Λ(x+1…k)  +  e^−μ(asOf−1−x)·e^−Λ(x+1…asOf−1)
//
// where k = x…asOf−2 is the last day alive (compare equation 7 and the appendix
// of Schmittlein, Morrison and Colombo 1987, in continuous time without season). The
// same sum continued over the horizon, with only its days counted in Λ, gives
// the joint probability, and their ratio is returned. It takes
// O(asOf − x + gap + horizon).
//
// Nothing computed from orders alone can rank or calibrate better on average;
// its AUC is the ceiling for models of purchase recency and frequency. Models that also see
// visits and opened messages know more: see ChurnProbabilityActive.
func ChurnProbability(c Customer, lastPurchase, asOf time.Time, gap, horizon int) (float64, error) {
	return noOrder(c, lastPurchase, asOf, gap, horizon, false)
}

// ChurnProbabilityActive is ChurnProbability for an observer who sees every
// sign of life: orders, visits and opened messages. lastActive is the last of
// them before asOf (or the acquisition, or the start or renewal of a
// subscription, if later). A customer whose subscription has been cancelled
// has churned: cancelled makes it 1. Left out is only the little that the number
// of unopened messages and a subscription not yet begun would add.
func ChurnProbabilityActive(c Customer, lastActive, asOf time.Time, cancelled bool, gap, horizon int) (float64, error) {
	p, err := noOrder(c, lastActive, asOf, gap, horizon, true)
	if err == nil && cancelled {
		p = 1
	}
	return p, err
}

func noOrder(c Customer, last, asOf time.Time, gap, horizon int, active bool) (float64, error) {
	switch {
	case c.SegmentIndex < 0 || c.SegmentIndex >= len(behaviour.Segments):
		return 0, fmt.Errorf("synth: customer %s: SegmentIndex (%d) must be 0 to %d", c.ID, c.SegmentIndex, len(behaviour.Segments)-1)
	case !(c.PurchaseRate >= 0) || !(c.ChurnHazard >= 0) || !(c.VisitRate >= 0) || !(c.OpenRate >= 0):
		return 0, fmt.Errorf("synth: customer %s: rates (purchase %g, churn %g, visit %g, open %g) must be >= 0",
			c.ID, c.PurchaseRate, c.ChurnHazard, c.VisitRate, c.OpenRate)
	case gap < 0 || horizon < 1:
		return 0, fmt.Errorf("synth: gap (%d) must be >= 0 and horizon (%d) >= 1 days", gap, horizon)
	}
	x, now := int(epochDay(last)), int(epochDay(asOf))
	if x >= now {
		return 0, fmt.Errorf("synth: customer %s: last event (%s) must be on a day before asOf (%s)",
			c.ID, last.Format(time.DateOnly), asOf.Format(time.DateOnly))
	}
	survive := math.Exp(-c.ChurnHazard)
	die := -math.Expm1(-c.ChurnHazard)
	p := &behaviour.Profiles[c.SegmentIndex]
	// alive is the joint probability of being alive on the day and of the silence so
	// far; dead that of having died earlier, given the same silence.
	alive, dead := 1.0, 0.0
	date := fromEpochDay(int32(x))
	history := 0.0
	for day := x; day < now+gap+horizon; day++ {
		if day > x {
			dead += alive * die
			alive *= survive
		}
		if day == now {
			history = alive + dead
		}
		m, w := date.Month(), date.Weekday()
		date = date.AddDate(0, 0, 1)
		intensity := 0.0
		switch {
		case day == x:
		case day < now:
			intensity = c.PurchaseRate * p.OrderSeason(m, w)
			if active {
				intensity += c.VisitRate*p.VisitSeason(m, w) + c.OpenRate*behaviour.MessageWeek[w]
			}
		case day >= now+gap:
			intensity = c.PurchaseRate * p.OrderSeason(m, w)
		}
		alive *= math.Exp(-intensity)
	}
	return (alive + dead) / history, nil
}
