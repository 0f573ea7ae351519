package metrics

import (
	"errors"
	"math"

	"gonum.org/v1/gonum/mathext"
)

// ProfitParams is the economy of a retention campaign (Verbraken, Verbeke and
// Baesens, IEEE Trans. Knowl. Data Eng. 25, 2013, §4): customers above a score
// are offered an incentive; a churner accepts it, and stays, with probability
// γ ~ Beta(Alpha, Beta), a loyal customer accepts it always.
type ProfitParams struct {
	Alpha, Beta float64 // > 1; mean acceptance is Alpha/(Alpha+Beta)
	Value       float64 // lifetime value of a customer kept, > 0, in money
	Incentive   float64 // cost of an accepted offer, ≥ 0, < Value
	Contact     float64 // cost of making an offer, ≥ 0
}

// DefaultProfitParams are the paper's: Beta(6,14), so 30 % accept; value 200,
// incentive 10, contact 1.
func DefaultProfitParams() ProfitParams {
	return ProfitParams{Alpha: 6, Beta: 14, Value: 200, Incentive: 10, Contact: 1}
}

// Validate reports every fault at once.
func (p ProfitParams) Validate() error {
	var errs faults
	if !(p.Alpha > 1) || math.IsInf(p.Alpha, 0) {
		errs.add("Alpha (%v) must be > 1 and finite", p.Alpha)
	}
	if !(p.Beta > 1) || math.IsInf(p.Beta, 0) {
		errs.add("Beta (%v) must be > 1 and finite", p.Beta)
	}
	if !(p.Value > 0) || math.IsInf(p.Value, 0) {
		errs.add("Value (%v) must be > 0 and finite", p.Value)
	}
	if !(p.Incentive >= 0 && p.Incentive < p.Value) {
		errs.add("Incentive (%v) must be in [0, Value)", p.Incentive)
	}
	if !(p.Contact >= 0) || math.IsInf(p.Contact, 0) {
		errs.add("Contact (%v) must be >= 0 and finite", p.Contact)
	}
	return errs.join()
}

// Profit is the best that a campaign can make of a ranking. Amounts are per
// customer scored, in the money of the parameters; fractions are of those
// customers, contacted from the top.
type Profit struct {
	Max              float64 // at the mean acceptance, with the best cut
	MaxFraction      float64
	Expected         float64 // mean over acceptance, the cut best for each (EMP)
	ExpectedFraction float64
}

// MaximumProfit is the maximum and expected maximum profit of contacting
// customers from the highest score down (the paper's eq. 9 and 13). It needs
// both classes.
func (b *Binary) MaximumProfit(p ProfitParams) (profit Profit, ok bool, err error) {
	if err := p.Validate(); err != nil {
		return Profit{}, false, err
	}
	if b.rows == 0 {
		return Profit{}, false, errors.New("metrics: empty input: no rows to measure")
	}
	if !b.bothClasses() {
		nan := math.NaN()
		return Profit{nan, nan, nan, nan}, false, nil
	}
	hull := b.rocHull()
	total := float64(b.rows)
	// What contacting the top of the list earns at acceptance g.
	earned := func(tp, fp, g float64) float64 {
		return (p.Value*g-p.Incentive*g-p.Contact)*tp/total - (p.Incentive+p.Contact)*fp/total
	}
	for i, v := range hull {
		if e := earned(v.tp, v.fp, p.Alpha/(p.Alpha+p.Beta)); i == 0 || e > profit.Max {
			profit.Max, profit.MaxFraction = e, (v.tp+v.fp)/total
		}
	}
	// Vertex i of the hull is the best cut while g is between the acceptances at
	// which it earns as much as its neighbours.
	from := 0.
	for i, v := range hull {
		to := 1.
		if i+1 < len(hull) {
			next := hull[i+1]
			if next.tp > v.tp {
				slope := (next.fp - v.fp) / (next.tp - v.tp)
				to = min(max(((p.Incentive+p.Contact)*slope+p.Contact)/(p.Value-p.Incentive), from), 1)
			}
		}
		chance := mathext.RegIncBeta(p.Alpha, p.Beta, to) - mathext.RegIncBeta(p.Alpha, p.Beta, from)
		// ∫ g h(g) dg = Alpha/(Alpha+Beta) · chance under Beta(Alpha+1, Beta)
		mean := p.Alpha / (p.Alpha + p.Beta) *
			(mathext.RegIncBeta(p.Alpha+1, p.Beta, to) - mathext.RegIncBeta(p.Alpha+1, p.Beta, from))
		profit.Expected += (p.Value-p.Incentive)*mean*v.tp/total - chance*(p.Contact*v.tp+(p.Incentive+p.Contact)*v.fp)/total
		profit.ExpectedFraction += chance * (v.tp + v.fp) / total
		from = to
	}
	return profit, true, nil
}

type rocVertex struct{ tp, fp float64 }

// rocHull is the upper convex hull of the ROC curve, from (0,0) to (yes, no), in
// counts: integers, so the turns are exact up to 9·10⁷ rows.
func (b *Binary) rocHull() []rocVertex {
	hull := []rocVertex{{0, 0}}
	var at rocVertex
	for g, n := range b.n {
		if n == 0 {
			continue
		}
		at.tp += float64(b.pos[g])
		at.fp += float64(n - b.pos[g])
		for len(hull) >= 2 {
			u, v := hull[len(hull)-2], hull[len(hull)-1]
			if (v.fp-u.fp)*(at.tp-u.tp)-(v.tp-u.tp)*(at.fp-u.fp) < 0 {
				break // v lies above the chord from u
			}
			hull = hull[:len(hull)-1]
		}
		hull = append(hull, at)
	}
	return hull
}
