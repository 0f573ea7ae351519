package bgnbd

import (
	"errors"
	"fmt"
	"math"

	"github.com/shoal-data/shoal/models/internal/numeric"
)

// A Forecast says what a customer will do in (T, T+horizon].
type Forecast struct {
	Expected float64 // expected number of purchases, ≥ 0
	Buys     float64 // probability of at least one purchase, in [0,1]
	Alive    float64 // probability of still being active at T, in [0,1]
}

// Predict forecasts each history over horizon ≥ 0, in the unit of time of the
// fit. dst is allocated when nil; otherwise it must have h.Len() elements.
// Weights are ignored.
func (m *Model) Predict(dst []Forecast, h Histories, horizon float64) ([]Forecast, error) {
	if !(horizon >= 0) || math.IsInf(horizon, 0) {
		return nil, fmt.Errorf("bgnbd: horizon (%v) must be >= 0 and finite", horizon)
	}
	if err := h.check(); err != nil {
		return nil, err
	}
	if dst == nil {
		dst = make([]Forecast, h.Len())
	}
	if len(dst) != h.Len() {
		panic(fmt.Sprintf("bgnbd: dst has %d elements for %d histories", len(dst), h.Len()))
	}
	for i, x := range h.X {
		dst[i] = m.forecast(x, h.TX[i], h.T[i], horizon)
	}
	return dst, nil
}

func (m *Model) forecast(x, tx, t, horizon float64) Forecast {
	alive := m.alive(x, tx, t)
	s, z := m.R+x, horizon/(m.Alpha+t)
	return Forecast{
		Expected: alive * expected(s, m.A, m.B+x, z),
		Buys:     alive * -math.Expm1(-s*math.Log1p(z)),
		Alive:    alive,
	}
}

// alive is P(active at T | x, t_x, T): 1/(1+e^(v−u)) in likelihood.go's terms.
func (m *Model) alive(x, tx, t float64) float64 {
	if x == 0 {
		return 1 // dropout happens only after a repeat purchase
	}
	d := math.Log(m.A) - math.Log(m.B+x-1) + (m.R+x)*math.Log1p((t-tx)/(m.Alpha+tx))
	if d > 0 {
		e := math.Exp(-d)
		return e / (1 + e)
	}
	return 1 / (1 + math.Exp(d))
}

// ExpectedNew is E[X(t)], eq. (9): the repeat purchases that a new customer
// makes within t ≥ 0 of the first purchase.
func (m *Model) ExpectedNew(t float64) (float64, error) {
	if !(t >= 0) || math.IsInf(t, 0) {
		return 0, errors.New("bgnbd: time must be >= 0 and finite")
	}
	return expected(m.R, m.A, m.B, t/m.Alpha), nil
}

// expected is the mean number of purchases in the horizon of a customer known to
// be active, with λ ~ Gamma(s, rate 1/z per horizon) and p ~ Beta(a, b).
//
// Eq. (10) has it as (a+b−1)/(a−1) · [1 − (1−w)^s ₂F₁(s, b; a+b−1; w)],
// w = z/(1+z), which is 0/0 at a = 1, cancels near it, and overflows for large
// s. Expanded in powers of w it is the sum of positive terms
//
//	Σ_{n≥1} P(N=n) D_n,  D_n = Σ_{k<n} (b)_k/(a+b)_k,
//
// N ~ NegBin(s, w), and it reads plainly: N is how often the customer would buy
// if nothing ended it, and D_n how many of the first n purchases are made, the
// k-th only after surviving k−1 dropouts.
func expected(s, a, b, z float64) float64 {
	if z == 0 {
		return 0
	}
	w := z / (1 + z)
	// N has mean sz and variance sz(1+z); past both its tail falls as w^n.
	if s*z+10*math.Sqrt(s*z*(1+z))+40*(1+z) > maxTerms {
		return expectedIntegral(s, a, b, z)
	}
	// P(N=n) is kept as pmf·scale, since P(N=0) underflows for large s.
	const rescale = 1e250
	logScale := -s * math.Log1p(z)
	scale := math.Exp(logScale)
	pmf, made, reach, sum := 1.0, 0.0, 1.0, 0.0
	for n := 1.0; ; n++ {
		ratio := (s + n - 1) / n * w
		pmf *= ratio
		made += reach // D_n
		reach *= (b + n - 1) / (a + b + n - 1)
		term := pmf * scale * made
		sum += term
		// ratio is monotone in n with limit w, so no later one exceeds rho, and the
		// terms to come are below pmf·rho^j·(made + j·reach), j ≥ 1.
		rho := max(ratio, w)
		if rho < 1 && pmf*scale*rho/(1-rho)*(made+reach/(1-rho)) < 1e-15*sum {
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
