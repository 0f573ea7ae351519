package numeric

import "math"

// Rising is the x > 0 at which f, continuous and rising from f(0) < target,
// reaches target, to a relative error of 1e-9: false position on ln x with the
// Illinois rule (Dowell & Jarratt, BIT 11, 1971). It is +Inf when f does not reach
// target by 1e18, and 0 when f is beyond it at 1e-18 already.
func Rising(f func(x float64) float64, target float64) float64 {
	const (
		far       = 41.4465 // ln 1e18
		precision = 1e-9
		most      = 200
	)
	at := func(u float64) float64 { return f(math.Exp(u)) - target }
	lo, hi := 0.0, 0.0
	flo := at(0)
	fhi := flo
	for step := 1.0; fhi < 0; step *= 2 {
		if hi >= far {
			return math.Inf(1)
		}
		lo, flo = hi, fhi
		hi = min(hi+step, far)
		fhi = at(hi)
	}
	for step := 1.0; flo > 0; step *= 2 {
		if lo <= -far {
			return 0
		}
		hi, fhi = lo, flo
		lo = max(lo-step, -far)
		flo = at(lo)
	}
	kept := 0
	for n := 0; n < most && hi-lo > precision && flo < 0 && fhi > 0; n++ {
		u := hi - fhi*(hi-lo)/(fhi-flo)
		if !(u > lo && u < hi) {
			u = lo + (hi-lo)/2
		}
		switch v := at(u); {
		case v < 0:
			lo, flo = u, v
			if kept == -1 {
				fhi /= 2
			}
			kept = -1
		default:
			hi, fhi = u, v
			if kept == 1 {
				flo /= 2
			}
			kept = 1
		}
	}
	return math.Exp(hi)
}
