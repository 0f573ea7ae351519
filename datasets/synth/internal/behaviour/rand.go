package behaviour

import "math"

const golden = 0x9e3779b97f4a7c15

// A stream is a SplitMix64 generator (Steele, Lea and Flood 2014, "Fast
// splittable pseudorandom number generators", OOPSLA): eight bytes of state, so
// that every customer and window can have its own.
type stream struct{ state uint64 }

// purpose separates the streams of one customer and window, so that changing
// one kind of noise leaves the rest of the history as it was.
type purpose uint64

const (
	forTraits purpose = iota + 1
	forBehaviour
	forNoise
	forAnonymous
)

func newStream(seed uint64, customer uint32, window int, p purpose) stream {
	h := mix64(seed + uint64(p)*golden)
	h = mix64(h ^ uint64(customer)<<16 ^ uint64(window))
	return stream{h}
}

// mix64 is SplitMix64's finaliser, a bijection of 64-bit words.
func mix64(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (r *stream) next() uint64 {
	r.state += golden
	return mix64(r.state)
}

// float is uniform on (0, 1).
func (r *stream) float() float64 { return (float64(r.next()>>12) + 0.5) * 0x1p-52 }

func (r *stream) chance(p float64) bool { return r.float() < p }

// intn is uniform on 0…n−1, for n far below 2³² (bias n/2³²).
func (r *stream) intn(n int) int { return int(r.next() >> 32 * uint64(n) >> 32) }

// between is uniform on lo…hi, both included.
func (r *stream) between(lo, hi int) int { return lo + r.intn(hi-lo+1) }

// exp is exponential with mean one.
func (r *stream) exp() float64 { return -math.Log(r.float()) }

// norm is standard normal (Marsaglia and Bray 1964, polar method).
func (r *stream) norm() float64 {
	for {
		u, v := 2*r.float()-1, 2*r.float()-1
		if s := u*u + v*v; s < 1 {
			return u * math.Sqrt(-2*math.Log(s)/s)
		}
	}
}

// gamma has mean one and variance 1/shape, shape ≥ 1 (Marsaglia and Tsang
// 2000, ACM TOMS 26:363–372).
func (r *stream) gamma(shape float64) float64 {
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := r.norm()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(r.float()) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v / shape
		}
	}
}

// poisson counts by multiplying uniforms until they fall below zero = e^−mean
// (Knuth, TAOCP 2, §3.4.1); for small means.
func (r *stream) poisson(zero float64) int {
	n := 0
	for p := r.float(); p > zero; p *= r.float() {
		n++
	}
	return n
}

// run counts successes of probability p until the first failure, at most limit.
func (r *stream) run(p float64, limit int) int {
	n := 0
	for n < limit && r.chance(p) {
		n++
	}
	return n
}

// runMean is the expectation of run: Σ p^k, k = 1…limit.
func runMean(p float64, limit int) float64 {
	sum, q := 0.0, 1.0
	for range limit {
		q *= p
		sum += q
	}
	return sum
}
