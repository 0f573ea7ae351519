package bgnbd

import (
	"errors"
	"math"

	"github.com/shoal-data/shoal/models/internal/numeric"
	"github.com/shoal-data/shoal/models/repeat"
)

// Predict forecasts each history over horizon ≥ 0, in the unit of time of the
// fit. dst is allocated when nil; otherwise it must have h.Len() elements.
// Weights are ignored.
func (m *Model) Predict(dst []repeat.Forecast, h repeat.Histories, horizon float64) ([]repeat.Forecast, error) {
	if err := repeat.CheckForecast("bgnbd", h, horizon); err != nil {
		return nil, err
	}
	dst = repeat.Into("bgnbd", dst, h.Len())
	ahead := outlooks{}
	for i, x := range h.X {
		dst[i] = m.forecast(ahead, x, h.TX[i], h.T[i], horizon)
	}
	return dst, nil
}

// An outlook is what an active customer does within the horizon.
type outlook struct{ expected, buys float64 }

// outlooks are those seen before: they depend on x and T, and the stage, which
// many customers share.
type outlooks map[[3]float64]outlook

func (m *Model) outlook(seen outlooks, x, t float64, stage int, horizon float64) outlook {
	key := [3]float64{x, t, float64(stage)}
	if o, ok := seen[key]; ok {
		return o
	}
	s, z := m.R+float64(m.Stages)*x+float64(stage), horizon/(m.Alpha+t)
	o := outlook{
		expected: expected(s, m.A, m.B+m.chances(x), z, stage, m.Stages),
		buys:     1 - fewer(s, z, m.Stages-stage),
	}
	if m.Stages-stage == 1 {
		o.buys = -math.Expm1(-s * math.Log1p(z))
	}
	if seen != nil {
		seen[key] = o
	}
	return o
}

// fewer is P(N < n), N ~ NegBin(s, z/(1+z)).
func fewer(s, z float64, n int) float64 {
	term := math.Exp(-s * math.Log1p(z))
	sum := 0.0
	for i := range n {
		sum += term
		term *= (s + float64(i)) / float64(i+1) * (z / (1 + z))
	}
	return min(sum, 1)
}

func (m *Model) forecast(seen outlooks, x, tx, t, horizon float64) repeat.Forecast {
	f := repeat.Forecast{Alive: m.alive(x, tx, t)}
	if m.Stages == 1 {
		o := m.outlook(seen, x, t, 0, horizon)
		f.Expected, f.Buys = f.Alive*o.expected, f.Alive*o.buys
		return f
	}
	for stage, share := range m.inStages(x, tx, t) {
		o := m.outlook(seen, x, t, stage, horizon)
		f.Expected += f.Alive * share * o.expected
		f.Buys += f.Alive * share * o.buys
	}
	return f
}

// inStages is the probability that the gap under way of an active customer is
// in each stage.
func (m *Model) inStages(x, tx, t float64) []float64 {
	shares := make([]float64, m.Stages)
	n, y := m.R+float64(m.Stages)*x, (t-tx)/(m.Alpha+t)
	term, sum := 1.0, 0.0
	for j := range shares {
		shares[j] = term
		sum += term
		term *= (n + float64(j)) / float64(j+1) * y
	}
	for j := range shares {
		shares[j] /= sum
	}
	return shares
}

// alive is P(active at T | x, t_x, T): 1/(1+e^(v−u)) in likelihood.go's terms.
func (m *Model) alive(x, tx, t float64) float64 {
	c := m.chances(x)
	if c == 0 {
		return 1 // dropout happens only after a repeat purchase
	}
	n := m.R + float64(m.Stages)*x
	d := math.Log(m.A) - math.Log(m.B+c-1) + n*math.Log1p((t-tx)/(m.Alpha+tx))
	if m.Stages > 1 {
		d -= stagesAt(m.Stages, n, (t-tx)/(m.Alpha+t), 0).ln
	}
	if d > 0 {
		e := math.Exp(-d)
		return e / (1 + e)
	}
	return 1 / (1 + math.Exp(d))
}

// Next is how long after T each customer who is active, and therefore buys again,
// has done so with probability share, in (0,1). dst as in Predict.
func (m *Model) Next(dst []float64, h repeat.Histories, share float64) ([]float64, error) {
	if err := repeat.CheckNext("bgnbd", h, share); err != nil {
		return nil, err
	}
	dst = repeat.Into("bgnbd", dst, h.Len())
	for i, x := range h.X {
		t := h.T[i]
		n := m.R + float64(m.Stages)*x
		if m.Stages == 1 {
			// 1 − (1+z)^−n = share, z = wait/(α+T).
			dst[i] = (m.Alpha + t) * math.Expm1(-math.Log1p(-share)/n)
			continue
		}
		stages := m.inStages(x, h.TX[i], t)
		dst[i] = (m.Alpha + t) * numeric.Rising(func(z float64) float64 {
			waiting := 0.0
			for j, p := range stages {
				waiting += p * fewer(n+float64(j), z, m.Stages-j)
			}
			return 1 - waiting
		}, share)
	}
	return dst, nil
}

// ExpectedNew is E[X(t)], eq. (9) for the BG/NBD: the repeat purchases that a new
// customer makes within t ≥ 0 of the first purchase.
func (m *Model) ExpectedNew(t float64) (float64, error) {
	if !(t >= 0) || math.IsInf(t, 0) {
		return 0, errors.New("bgnbd: time must be >= 0 and finite")
	}
	return m.forecast(nil, 0, 0, 0, t).Expected, nil
}

// expected is the mean number of purchases in the horizon of a customer known to
// be active, with λ ~ Gamma(s, rate 1/z per horizon) and p ~ Beta(a, b), where a
// gap takes so many stages and the present one is in the given stage.
//
// Eq. (10) has it, for gaps of one stage, as (a+b−1)/(a−1) ·
// [1 − (1−w)^s ₂F₁(s, b; a+b−1; w)], w = z/(1+z), which is 0/0 at a = 1, cancels
// near it, and overflows for large s. Expanded in powers of w it is the sum of
// positive terms
//
//	Σ_{n≥1} P(N=n) D_⌊(n+stage)/stages⌋,  D_n = Σ_{k<n} (b)_k/(a+b)_k,
//
// N ~ NegBin(s, w), and it reads plainly: N is how many stages the customer would
// pass if nothing ended it, and D_n how many of the first n purchases are made,
// the k-th only after surviving k−1 dropouts.
func expected(s, a, b, z float64, stage, stages int) float64 {
	if z == 0 {
		return 0
	}
	w := z / (1 + z)
	// N has mean sz and variance sz(1+z); past both its tail falls as w^n.
	if s*z+10*math.Sqrt(s*z*(1+z))+40*(1+z) > maxTerms {
		// So far ahead the stage of the present gap no longer matters.
		return expectedIntegral(s, a, b, z/float64(stages))
	}
	// P(N=n) is kept as pmf·scale, since P(N=0) underflows for large s.
	const rescale = 1e250
	logScale := -s * math.Log1p(z)
	scale := math.Exp(logScale)
	pmf, made, reach, sum := 1.0, 0.0, 1.0, 0.0
	bought := 0.0
	for n := 1.0; ; n++ {
		ratio := (s + n - 1) / n * w
		pmf *= ratio
		if stage++; stage == stages {
			stage = 0
			made += reach // D
			reach *= (b + bought) / (a + b + bought)
			bought++
		}
		term := pmf * scale * made
		sum += term
		// ratio is monotone in n with limit w, so no later one exceeds rho, and the
		// terms to come are below pmf·rho^j·(made + j·reach), j ≥ 1.
		rho := max(ratio, w)
		if rho < 1 && pmf*scale*rho/(1-rho)*(made+reach/(1-rho)) <= 1e-15*sum {
			return sum
		}
		if pmf > rescale {
			pmf /= rescale
			logScale += math.Log(rescale)
			scale = math.Exp(logScale)
		}
	}
}

// maxTerms bounds a sum's length, at some 10 ns a term.
const maxTerms = 1 << 14

// expectedIntegral is expected for extreme arguments, by quadrature of
//
//	∫₀¹ [1 − (1+pz)^−s]/p · p^(a−1)(1−p)^(b−1)/B(a,b) dp,
//
// eq. (10) before p is integrated out. With p = 1/(1+e^−y), y = sinh u, the
// integrand dies doubly exponentially at both ends, where the trapezoidal rule
// converges geometrically (Takahasi & Mori 1974).
func expectedIntegral(s, a, b, z float64) float64 {
	la, _ := math.Lgamma(a)
	lnBeta := la - numeric.LogGammaRatio(b, a)
	at := func(u float64) float64 {
		y := math.Sinh(u)
		lnP, lnQ := -math.Log1p(math.Exp(-y)), -math.Log1p(math.Exp(y))
		if y < -700 {
			lnP = y
		}
		if y > 700 {
			lnQ = -y
		}
		p := math.Exp(lnP)
		h := s * z // the limit as p → 0
		if pz := p * z; pz*(1+s) > 1e-18 && p > 0 {
			h = -math.Expm1(-s*math.Log1p(pz)) / p
		}
		return h * math.Exp(a*lnP+b*lnQ-lnBeta) * math.Cosh(u)
	}
	// e^(−min(a,b)·|y|) is below 1e−17 from |y| = 40/min(a,b).
	reach := math.Asinh(40 / min(a, b, 1))
	last := math.NaN()
	for n := 64; n <= 1<<16; n *= 2 {
		step := reach / float64(n)
		var sum float64
		for i := -n; i <= n; i++ {
			sum += at(float64(i) * step)
		}
		sum *= step
		if math.Abs(sum-last) <= 1e-12*sum {
			return sum
		}
		last = sum
	}
	return last
}
