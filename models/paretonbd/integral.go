package paretonbd

import (
	"math"

	"gonum.org/v1/gonum/integrate/quad"
)

// The integrals of this package are of (α+τ)^−n (β+τ)^−σ. With y = ln(m+τ),
// m = min(α, β), the integrand in y is analytic within π of the real axis, however
// small α or β or large n, so Gauss–Legendre's rule converges geometrically at a
// rate that depends on the length in y alone, once the tail that does not count is
// cut off.

// negligible is how far, in logarithms, the integrand falls before what is left
// is cut off: 10⁻¹⁹ of the whole.
const negligible = 44

// longest is the length in y of one panel.
const longest = 4

// rules are Gauss–Legendre's on [0, 1] with how much the integrand's logarithm may
// change and how long the panel may be for an error near 10⁻¹⁴.
var rules = [...]struct {
	change, length float64
	at, weight     []float64
}{
	rule(2, .6, 8), rule(12, 2, 16), rule(math.Inf(1), math.Inf(1), 32),
}

func rule(change, length float64, n int) (r struct {
	change, length float64
	at, weight     []float64
}) {
	r.change, r.length, r.at, r.weight = change, length, make([]float64, n), make([]float64, n)
	quad.Legendre{}.FixedLocations(r.at, r.weight, 0, 1)
	return r
}

// An integrand is (α+τ)^−n (β+τ)^−σ dτ over [lo, hi] as a function of y.
type integrand struct {
	n, sigma      float64
	small         float64 // m
	diff          float64 // the larger of α, β less m
	alphaIsSmall  bool
	from, length  float64 // in y
	panels        int
	nodes, weight []float64
	shift         float64 // the logarithm of the integrand at from
}

func newIntegrand(alpha, beta, n, sigma, lo, hi float64) integrand {
	f := integrand{n: n, sigma: sigma, alphaIsSmall: alpha <= beta, small: min(alpha, beta), diff: math.Abs(alpha - beta)}
	f.from = math.Log(f.small + lo)
	f.length = math.Log1p((hi - lo) / (f.small + lo))
	// The slope of the integrand's logarithm by y is 1 − n·(m+τ)/(α+τ) −
	// σ·(m+τ)/(β+τ); both quotients rise to 1, so it only falls.
	large := max(alpha, beta)
	near := (f.small + lo) / (large + lo) // the quotient of the larger one, at lo
	slope := 1 - n - sigma*near
	if !f.alphaIsSmall {
		slope = 1 - sigma - n*near
	}
	if slope < 0 {
		f.length = min(f.length, negligible/-slope)
	} else if end := n + sigma - 1; end > 0 {
		// From τ = M/ε on the slope is below −end/2.
		eps := end / (2 * (1 + end))
		f.length = min(f.length, max(0, math.Log(f.small+large/eps)-f.from)+2*negligible/end)
	}
	f.panels = max(1, int(math.Ceil(f.length/longest)))
	per := f.length / float64(f.panels)
	// The slope lies between 1 and 1−n−σ, and past the cut nothing counts.
	change := min(max(1, n+sigma-1)*per, 2*negligible)
	for i := range rules {
		if per <= rules[i].length && change <= rules[i].change {
			f.nodes, f.weight = rules[i].at, rules[i].weight
			break
		}
	}
	f.shift, _, _ = f.at(f.from)
	return f
}

// at is the logarithm of the integrand at y, ln(α+τ) and ln(β+τ).
func (f *integrand) at(y float64) (ln, lnA, lnB float64) {
	lnA, lnB = y, y
	if f.diff > 0 {
		other := math.Log(math.Exp(y) + f.diff)
		if f.alphaIsSmall {
			lnB = other
		} else {
			lnA = other
		}
	}
	return y - f.n*lnA - f.sigma*lnB, lnA, lnB
}

// integral is ln ∫ (α+τ)^−n (β+τ)^−σ dτ over [lo, hi], lo < hi; hi may be +Inf when
// n+σ > 1.
func integral(alpha, beta, n, sigma, lo, hi float64) float64 {
	f := newIntegrand(alpha, beta, n, sigma, lo, hi)
	per := f.length / float64(f.panels)
	sum := 0.0
	for p := range f.panels {
		start := f.from + float64(p)*per
		for k, x := range f.nodes {
			ln, _, _ := f.at(start + per*x)
			sum += f.weight[k] * math.Exp(ln-f.shift)
		}
	}
	return f.shift + math.Log(sum*per)
}

// derivatives is ln J, J = ∫ (α+τ)^−n (β+τ)^−σ dτ over [lo, hi], with the gradient
// and Hessian (upper triangle) by (n, α, σ, β). Under the density that the integrand
// is in proportion to, the gradient is the mean of g = (−ln(α+τ), −n/(α+τ),
// −ln(β+τ), −σ/(β+τ)), and the Hessian the mean of g's own derivatives plus the
// covariance of g.
func derivatives(alpha, beta, n, sigma, lo, hi float64) (lnJ float64, grad [4]float64, hess [10]float64) {
	f := newIntegrand(alpha, beta, n, sigma, lo, hi)
	per := f.length / float64(f.panels)
	// g is taken less its value at lo, so that covariances do not cancel.
	_, a0, b0 := f.at(f.from)
	ia0, ib0 := 1/(alpha+lo), 1/(beta+lo)
	var w, ma, mia, mb, mib, aa, aia, ab, aib, iaia, iab, iaib, bb, bib, ibib float64
	for p := range f.panels {
		start := f.from + float64(p)*per
		for k, x := range f.nodes {
			ln, a, b := f.at(start + per*x)
			weight := f.weight[k] * math.Exp(ln-f.shift)
			tau := math.Exp(start+per*x) - f.small
			ia, ib := 1/(alpha+tau)-ia0, 1/(beta+tau)-ib0
			a, b = a-a0, b-b0
			wa, wia, wb, wib := weight*a, weight*ia, weight*b, weight*ib
			w, ma, mia, mb, mib = w+weight, ma+wa, mia+wia, mb+wb, mib+wib
			aa, aia, ab, aib = aa+wa*a, aia+wa*ia, ab+wa*b, aib+wa*ib
			iaia, iab, iaib = iaia+wia*ia, iab+wia*b, iaib+wia*ib
			bb, bib, ibib = bb+wb*b, bib+wb*ib, ibib+wib*ib
		}
	}
	lnJ = f.shift + math.Log(w*per)
	ma, mia, mb, mib = ma/w, mia/w, mb/w, mib/w
	cov := func(xy, x, y float64) float64 { return xy/w - x*y }
	// Means as they are, not less the value at lo.
	ea, eia, eb, eib := ma+a0, mia+ia0, mb+b0, mib+ib0
	vIA, vIB := cov(iaia, mia, mia), cov(ibib, mib, mib)
	grad = [4]float64{-ea, -n * eia, -eb, -sigma * eib}
	hess = [10]float64{
		cov(aa, ma, ma), -eia + n*cov(aia, ma, mia), cov(ab, ma, mb), sigma * cov(aib, ma, mib),
		n*(vIA+eia*eia) + n*n*vIA, n * cov(iab, mia, mb), n * sigma * cov(iaib, mia, mib),
		cov(bb, mb, mb), -eib + sigma*cov(bib, mb, mib),
		sigma*(vIB+eib*eib) + sigma*sigma*vIB,
	}
	return lnJ, grad, hess
}
