// Package survival estimates how long until something happens when part of the
// durations are cut short (right-censored): the Kaplan–Meier estimator.
//
// Closed durations alone are biased short: the customers who have not come
// back yet are exactly those with the longest gaps. Entering their open gaps
// as censored removes that bias.
package survival

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"

	"gonum.org/v1/gonum/stat/distuv"
)

// A Curve is the Kaplan–Meier estimate of S(t) = P(T > t), a right-continuous
// step function that is 1 before the first event (Kaplan & Meier 1958,
// J. Am. Stat. Assoc. 53:457–481, eq. 2b).
type Curve struct {
	Steps   []Step  `json:"steps"`    // by ascending time; one for each time with an event
	Total   float64 `json:"total"`    // weight of all durations
	Events  float64 `json:"events"`   // weight of the observed ones
	MaxTime float64 `json:"max_time"` // longest duration, observed or not
}

// A Step is a fall of the curve.
type Step struct {
	Time     float64 `json:"time"`     // unit of the durations, ≥ 0
	AtRisk   float64 `json:"at_risk"`  // weight with a duration ≥ Time, > 0
	Events   float64 `json:"events"`   // weight that ends here, > 0 and ≤ AtRisk
	Survival float64 `json:"survival"` // S(Time), in [0, 1]
	// LogVariance is Greenwood's sum Σ d/(n(n−d)) up to here, the variance of
	// log S (Greenwood 1926); +Inf cannot be marshalled, so where the curve
	// reaches zero and the sum diverges it keeps the value before.
	LogVariance float64 `json:"log_variance"`
}

// ErrEmpty is returned when no duration has weight.
var ErrEmpty = errors.New("survival: no durations")

// KaplanMeier estimates the curve from durations (finite, ≥ 0), whether each
// was observed to its end (false is right-censored: it lasted longer than
// that), and weights (finite, ≥ 0), of which nil means one each. A weight acts
// as that many repeats; a row of weight zero is as good as absent. At equal
// times events come before censorings. The order of the rows does not matter.
//
// Slices of different lengths panic. The cost is O(n log n).
func KaplanMeier(durations []float64, observed []bool, weights []float64) (*Curve, error) {
	if len(observed) != len(durations) || weights != nil && len(weights) != len(durations) {
		panic(fmt.Sprintf("survival: %d durations, %d observed, %d weights", len(durations), len(observed), len(weights)))
	}
	type row struct {
		t, w float64
		seen bool
	}
	rows := make([]row, 0, len(durations))
	for i, t := range durations {
		if !(t >= 0) || math.IsInf(t, 1) {
			return nil, fmt.Errorf("survival: durations[%d] (%v) must be finite and >= 0", i, t)
		}
		w := 1.0
		if weights != nil {
			if w = weights[i]; !(w >= 0) || math.IsInf(w, 1) {
				return nil, fmt.Errorf("survival: weights[%d] (%v) must be finite and >= 0", i, w)
			}
		}
		if w > 0 {
			rows = append(rows, row{t, w, observed[i]})
		}
	}
	if len(rows) == 0 {
		return nil, ErrEmpty
	}
	// Ordered by every field, so that floating-point sums do not depend on the
	// order of the input.
	slices.SortFunc(rows, func(a, b row) int {
		if c := cmp.Compare(a.t, b.t); c != 0 {
			return c
		}
		if a.seen != b.seen {
			if a.seen {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.w, b.w)
	})

	c := &Curve{MaxTime: rows[len(rows)-1].t}
	// From the longest duration down, since what is at risk at a time is what
	// lasts at least as long.
	for hi := len(rows); hi > 0; {
		lo := hi - 1
		for lo > 0 && rows[lo-1].t == rows[hi-1].t {
			lo--
		}
		d := 0.0
		for _, r := range rows[lo:hi] {
			if r.seen {
				d += r.w
			}
		}
		censored := 0.0
		for _, r := range rows[lo:hi] {
			if !r.seen {
				censored += r.w
			}
		}
		c.Total += censored
		c.Total += d
		if d > 0 {
			c.Events += d
			c.Steps = append(c.Steps, Step{Time: rows[lo].t, AtRisk: c.Total, Events: d})
		}
		hi = lo
	}
	slices.Reverse(c.Steps)

	s, v := 1.0, 0.0
	for i := range c.Steps {
		p := &c.Steps[i]
		rest := p.AtRisk - p.Events
		if rest > 0 {
			s *= rest / p.AtRisk
			v += p.Events / (p.AtRisk * rest)
		} else {
			s = 0
		}
		p.Survival, p.LogVariance = s, v
	}
	return c, nil
}

// at is the index of the last step at or before t, −1 when there is none.
func (c *Curve) at(t float64) int {
	return sort.Search(len(c.Steps), func(i int) bool { return c.Steps[i].Time > t }) - 1
}

// Survival is S(t), the share that lasts longer than t. After the last event
// it stays level, even where nothing is observed any more: see MaxTime.
func (c *Curve) Survival(t float64) float64 {
	if i := c.at(t); i >= 0 {
		return c.Steps[i].Survival
	}
	return 1
}

// StdErr is Greenwood's standard error of S(t), S·√Σ d/(n(n−d)). It is right
// for weights that count repeats.
func (c *Curve) StdErr(t float64) float64 {
	if i := c.at(t); i >= 0 {
		return c.Steps[i].Survival * math.Sqrt(c.Steps[i].LogVariance)
	}
	return 0
}

// Interval is the pointwise confidence interval of S(t) at a level in (0, 1),
// symmetric on the scale of log S and cut at 1, the default of R's survfit.
func (c *Curve) Interval(t, level float64) (lo, hi float64) {
	i := c.at(t)
	if i < 0 {
		return 1, 1
	}
	return c.Steps[i].interval(quantileNormal(level))
}

func (p Step) interval(z float64) (lo, hi float64) {
	w := z * math.Sqrt(p.LogVariance)
	return p.Survival * math.Exp(-w), min(1, p.Survival*math.Exp(w))
}

func quantileNormal(level float64) float64 {
	if !(level > 0 && level < 1) {
		panic(fmt.Sprintf("survival: level %v must be above 0 and below 1", level))
	}
	return distuv.UnitNormal.Quantile((1 + level) / 2)
}

// Quantile is the earliest time by which at least a share p in (0, 1) has had
// its event: the smallest t with S(t) ≤ 1 − p. ok is false when the curve never
// falls that far, as when every duration is censored. Products that should
// equal 1 − p are recognised within 1e-12.
func (c *Curve) Quantile(p float64) (t float64, ok bool) {
	return c.first(p, func(s Step) float64 { return s.Survival })
}

// Median is Quantile(0.5).
func (c *Curve) Median() (t float64, ok bool) { return c.Quantile(0.5) }

// QuantileInterval is the confidence interval of Quantile(p) at a level: where
// the limits of Interval cross 1 − p (Brookmeyer & Crowley 1982, Biometrics
// 38:29–41). A limit whose curve never falls that far is +Inf.
func (c *Curve) QuantileInterval(p, level float64) (lo, hi float64) {
	z := quantileNormal(level)
	lo, ok := c.first(p, func(s Step) float64 { l, _ := s.interval(z); return l })
	if !ok {
		lo = math.Inf(1)
	}
	hi, ok = c.first(p, func(s Step) float64 { _, h := s.interval(z); return h })
	if !ok {
		hi = math.Inf(1)
	}
	return lo, hi
}

func (c *Curve) first(p float64, curve func(Step) float64) (float64, bool) {
	if !(p > 0 && p < 1) {
		panic(fmt.Sprintf("survival: quantile %v must be above 0 and below 1", p))
	}
	for _, s := range c.Steps {
		if curve(s) <= 1-p+1e-12 {
			return s.Time, true
		}
	}
	return 0, false
}
