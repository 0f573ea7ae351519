package behaviour

import "math"

// Traits are what a customer is born with, in generator units.
type Traits struct {
	Profile  *Profile
	Segment  int
	Acquired int // day index, 0 is Params.Start
	Churned  int // first day index no longer alive, may lie beyond the end
	Orders   float64
	Visits   float64
	Hazard   float64
	Open     [numMedia]float64 // probability to open a message
	LogPrice float64           // log of the customer's price factor
	Joins    int               // day index the subscription starts; −1 for never
}

// Traits draws customer number n (from 1) from the seed alone.
func (p *Plan) Traits(n uint32) Traits {
	r := newStream(p.Seed, n, 0, forTraits)
	u := r.float()
	g := 0
	for g < len(Segments)-1 && u >= segmentLadder[g] {
		g++
	}
	prof := &Profiles[g]
	t := Traits{Profile: prof, Segment: g, Joins: -1}
	switch {
	case prof.Recent > 0:
		span := min(prof.Recent, p.Days)
		t.Acquired = p.Days - 1 - r.intn(span)
	case r.chance(baseShare):
		t.Acquired = r.intn(min(baseDays, p.Days))
	default:
		t.Acquired = r.intn(max(1, p.Days*4/5))
	}
	t.Orders = prof.Orders * r.gamma(PurchaseShape)
	t.Visits = prof.Visits * p.ActivityScale * r.gamma(VisitShape)
	t.Hazard = prof.Hazard * r.gamma(hazardShape)
	// Survives k midnights with probability e^−μk. The bound keeps the day an int.
	t.Churned = t.Acquired + 1 + int(min(r.exp()/t.Hazard, 1e6))
	openness := r.gamma(openShape)
	for m := range t.Open {
		t.Open[m] = min(.95, prof.Open*MediaOpen[m]*openness)
	}
	t.LogPrice = PriceSpread * r.norm()
	if r.chance(prof.Joins) {
		t.Joins = t.Acquired + r.between(5, 90)
		if t.Joins >= t.Churned {
			t.Joins = -1
		}
	}
	return t
}

// A share of the customers is acquired in the first days: the base that a
// company already has.
const (
	baseShare = 0.45
	baseDays  = 30
)

// MeanSpend is the expected amount of an order, after discount and before returns.
func (t *Traits) MeanSpend() float64 { return t.Profile.OrderValue() * math.Exp(t.LogPrice) }

// OpenRate is the expected number of messages opened a day alive, the weekly
// rhythm aside.
func (p *Plan) OpenRate(t *Traits) float64 {
	rate := 0.0
	for m, open := range t.Open {
		rate += p.ActivityScale * t.Profile.Messages * mixShare(&t.Profile.medium, m) * open
	}
	return rate
}
