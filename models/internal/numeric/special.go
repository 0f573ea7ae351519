package numeric

import "math"

// Logistic is 1/(1+e^-x), accurate in both tails.
func Logistic(x float64) float64 {
	if x >= 0 {
		return 1 / (1 + math.Exp(-x))
	}
	e := math.Exp(x)
	return e / (1 + e)
}

// Softplus is ln(1+e^x) without overflow; its derivative is Logistic.
func Softplus(x float64) float64 {
	if x > 0 {
		return x + math.Log1p(math.Exp(-x))
	}
	return math.Log1p(math.Exp(x))
}

// Logit is ln(p/(1-p)), the inverse of Logistic, for p in [0,1].
func Logit(p float64) float64 { return math.Log(p) - math.Log1p(-p) }

// stirlingMin is the argument from which the eight-term series below is exact
// to a unit or two in the last place; smaller arguments are shifted up to it.
const stirlingMin = 10

// LogGammaRatio is ln Γ(x+d) − ln Γ(x) for x > 0, d ≥ 0. Subtracting two
// values of math.Lgamma loses every digit that they share, so for large x the
// common part of Stirling's series (Abramowitz & Stegun 6.1.41) is cancelled
// by hand.
func LogGammaRatio(x, d float64) float64 {
	if d == 0 {
		return 0
	}
	var shift float64
	if x < stirlingMin {
		if x+d < 2*stirlingMin {
			hi, _ := math.Lgamma(x + d)
			lo, _ := math.Lgamma(x)
			return hi - lo
		}
		// Γ(x) = Γ(x+k) / (x)_k lifts the lower argument only; the upper one
		// already lies where the series holds.
		k := math.Ceil(stirlingMin - x)
		for i := range int(k) {
			shift += math.Log(x + float64(i))
		}
		x, d = x+k, d-k
	}
	y := x + d
	return shift + (x-.5)*math.Log1p(d/x) + d*(math.Log(y)-1) + stirlingRest(y) - stirlingRest(x)
}

// stirlingRest is ln Γ(x) − [(x−½) ln x − x + ½ ln 2π] for x ≥ stirlingMin.
func stirlingRest(x float64) float64 {
	z := 1 / (x * x)
	return (1.0/12 - z*(1.0/360-z*(1.0/1260-z*(1.0/1680-z*(1.0/1188-z*691.0/360360))))) / x
}

// Trigamma is ψ₁(x) = d²/dx² ln Γ(x) for x > 0: the recurrence
// ψ₁(x) = ψ₁(x+1) + 1/x² up to where the asymptotic series holds
// (Abramowitz & Stegun 6.4.6 and 6.4.12).
func Trigamma(x float64) float64 {
	var s float64
	for x < stirlingMin {
		s += 1 / (x * x)
		x++
	}
	z := 1 / (x * x)
	return s + 1/x + z/2 + z/x*(1.0/6-z*(1.0/30-z*(1.0/42-z*(1.0/30-z*(5.0/66-z*(691.0/2730-z*7.0/6))))))
}
