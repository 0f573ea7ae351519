package kernel

import "math"

// A Scale turns real gradients into the integers that are summed. Its factors
// are powers of two, so that a row of weight 2 becomes the same as two rows.
// Coarse gradients, which histograms add, have 15 and 16 bits; fine ones, which
// give the leaves' values, 31 and 32.
type Scale struct{ G, H float64 } // of the fine gradients; the coarse ones' are 2^16 smaller

// NewScale is the largest that holds gradients in [-g, g] and Hessians in [0, h].
func NewScale(g, h float64) Scale {
	return Scale{G: power(g, maxG<<16), H: power(h, maxH<<16)}
}

// power is the largest power of two that takes v to at most limit.
func power(v, limit float64) float64 {
	if !(v > 0) {
		return 1
	}
	_, e := math.Frexp(limit / v) // limit/v is in [2^(e-1), 2^e)
	p := math.Ldexp(1, max(-1000, min(e-1, 1000)))
	if v*p > limit {
		p /= 2
	}
	return p
}

// Coarse turns sums of coarse gradients into real ones.
func (s Scale) Coarse(q Sums) (g, h float64) {
	return float64(q.G) * (65536 / s.G), float64(q.H) * (65536 / s.H)
}

// Fine turns sums of fine gradients into real ones.
func (s Scale) Fine(q Sums) (g, h float64) { return float64(q.G) / s.G, float64(q.H) / s.H }

// magic is 1.5·2^52. Added to v it leaves v, rounded to the nearest even integer,
// in the low bits.
const magic = 0x1.8p52

// quantise is a row's fine and coarse gradients. The coarse Hessian is at least 1,
// so that an entry of a histogram is 0 only when no row is in it.
func quantise(g, h float64, s Scale) (fine int64, coarse int32) {
	fg := math.Float64bits(float64(g*s.G) + magic)
	fh := math.Float64bits(float64(h*s.H) + magic)
	cg := math.Float64bits(float64(g*(s.G/65536)) + magic)
	ch := math.Float64bits(max(float64(h*(s.H/65536)), 1) + magic)
	return int64(fg<<32 | fh&0xffffffff), int32(uint32(cg)<<16 | uint32(ch)&0xffff)
}

// Squared fills the gradients of ½w(score−y)²; w nil is all 1.
func Squared(fine []int64, coarse []int32, score, y, w []float64, s Scale) {
	for i := range fine {
		wi := 1.0
		if w != nil {
			wi = w[i]
		}
		fine[i], coarse[i] = quantise(float64(wi*(score[i]-y[i])), wi, s)
	}
}

// Logistic fills the gradients of the log-loss of y in [0,1] at log-odds score.
func Logistic(fine []int64, coarse []int32, score, y, w []float64, s Scale) {
	n := logistic(fine, coarse, score, y, w, s)
	logisticGo(fine[n:], coarse[n:], score[n:], y[n:], tail(w, n), s)
}

func tail(w []float64, n int) []float64 {
	if w == nil {
		return nil
	}
	return w[n:]
}

func logisticGo(fine []int64, coarse []int32, score, y, w []float64, s Scale) {
	for i := range fine {
		p := Sigmoid(score[i])
		g, h := p-y[i], float64(p*(1-p))
		if w != nil {
			g, h = float64(g*w[i]), float64(h*w[i])
		}
		fine[i], coarse[i] = quantise(g, h, s)
	}
}

// Tweedie is the gradient and Hessian of the Tweedie deviance, halved, of y ≥ 0
// at log-mean score with variance power in (1, 2).
func Tweedie(score, y, power float64) (g, h float64) {
	a := float64(y * Exp(float64((1-power)*score)))
	b := Exp(float64((2 - power) * score))
	return b - a, float64((2-power)*b) - float64((1-power)*a)
}

// Quantise fills one row's gradients, for losses without a loop of their own.
func Quantise(fine *int64, coarse *int32, g, h float64, s Scale) {
	*fine, *coarse = quantise(g, h, s)
}

// Sigmoid is 1/(1+e^-x), to about an ulp; tiny below -700.
func Sigmoid(x float64) float64 { return 1 / (1 + Exp(-x)) }

const (
	expLimit = 700 // e^±700 is still a normal number
	log2e    = 0x1.71547652b82fep0
	ln2Hi    = 0x1.62e42fefa0000p-1 // 34 bits, so that n·ln2Hi is exact
	ln2Lo    = 0x1.cf79abc9e3b3ap-40
)

// Exp is e^x for x clamped to [-700, 700], within 2 ulp and the same on every
// processor, which math.Exp is not: e^x = 2^n e^r, |r| ≤ ½ln 2, by Taylor's
// series to r^13, whose first term left out is 4e-18.
func Exp(x float64) float64 {
	x = max(-expLimit, min(x, expLimit))
	k := float64(x*log2e) + magic
	n := k - magic
	r := x - float64(n*ln2Hi) - float64(n*ln2Lo)
	p := taylor[0]
	for _, c := range taylor[1:] {
		p = float64(p*r) + c
	}
	return p * math.Float64frombits((math.Float64bits(k)+1023)<<52)
}

// taylor is 1/13!, 1/12!, … 1/1!, 1/0!.
var taylor = [14]float64{
	1. / 6227020800, 1. / 479001600, 1. / 39916800, 1. / 3628800, 1. / 362880, 1. / 40320, 1. / 5040,
	1. / 720, 1. / 120, 1. / 24, 1. / 6, 1. / 2, 1, 1,
}
