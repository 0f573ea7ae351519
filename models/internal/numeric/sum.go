// Package numeric holds the arithmetic that several models share: sums whose
// rounding is controlled, and special functions.
package numeric

import (
	"math"
	"math/big"
	"math/bits"
)

// Compensated is a running sum with Neumaier's correction (Neumaier, ZAMM 54,
// 1974, improved Kahan–Babuška, eq. IV): the error is a few units in the last
// place whatever the number of terms, as long as they do not cancel. It is
// fast but depends, in the last place, on the order of its terms; Exact does
// not. The zero value is an empty sum.
type Compensated struct {
	sum, lost float64
}

// Add adds v.
func (s *Compensated) Add(v float64) {
	t := s.sum + v
	if math.Abs(s.sum) >= math.Abs(v) {
		s.lost += (s.sum - t) + v
	} else {
		s.lost += (v - t) + s.sum
	}
	s.sum = t
}

// Merge adds the terms of o.
func (s *Compensated) Merge(o Compensated) {
	s.Add(o.sum)
	s.lost += o.lost
}

// Value is the sum so far. Once a term or the sum is not finite it is what
// plain addition would give.
func (s *Compensated) Value() float64 {
	if math.IsInf(s.sum, 0) || math.IsNaN(s.sum) {
		return s.sum
	}
	return s.sum + s.lost
}

// An Exact sum is held without any rounding, so its value is the same for
// every order and every grouping of its terms. It is the small superaccumulator
// of Neal, "Fast exact summation using small and large superaccumulators"
// (arXiv 1505.05571, §3): 32-bit digits in 64-bit words, carries deferred.
// The zero value is an empty sum. An Exact is about 600 bytes; pass a pointer.
type Exact struct {
	// digit[i] weighs 2^(32i-1074): bit 0 of digit 0 is the smallest subnormal.
	digit   [exactDigits]int64
	pending int64   // additions since the carries were last propagated
	special float64 // running plain sum of the infinities and NaNs
}

const (
	// 2046 exponent steps and 52 mantissa bits above 2^-1074, and 64 spare bits
	// so that the sum of 2^63 of the largest terms still fits.
	exactDigits = (2046+52)/32 + 3
	// Each addition moves a digit by less than 2^32; 2^30 of them leave it
	// within 2^62, clear of int64's range.
	exactPending = 1 << 30
)

// Add adds v.
func (s *Exact) Add(v float64) {
	b := math.Float64bits(v)
	exp := int(b >> 52 & 0x7ff)
	man := b & (1<<52 - 1)
	switch exp {
	case 0x7ff:
		s.special += v
		return
	case 0:
		exp = 1 // subnormals share the exponent of the smallest normal
	default:
		man |= 1 << 52
	}
	if s.pending == exactPending {
		s.carry()
	}
	s.pending++
	shift := exp - 1
	i, r := shift>>5, uint(shift&31)
	// The 53-bit mantissa, shifted within its digit, spans at most three digits.
	lo := man << r
	hi := man >> (64 - r) // r = 0 shifts out everything
	d0, d1, d2 := int64(lo&math.MaxUint32), int64(lo>>32), int64(hi)
	if b>>63 != 0 {
		d0, d1, d2 = -d0, -d1, -d2
	}
	s.digit[i] += d0
	s.digit[i+1] += d1
	s.digit[i+2] += d2
}

// Merge adds the terms of o, leaving o's value unchanged.
func (s *Exact) Merge(o *Exact) {
	s.carry()
	o.carry()
	for i, d := range o.digit {
		s.digit[i] += d
	}
	s.pending = 1 // digits are now below 2^33: one more than propagated ones
	s.special += o.special
}

// carry leaves every digit but the last in [0, 2^32).
func (s *Exact) carry() {
	for i := range exactDigits - 1 {
		c := s.digit[i] >> 32 // floors, so the digit left behind is never negative
		s.digit[i] -= c << 32
		s.digit[i+1] += c
	}
	s.pending = 0
}

// Value is the exact sum rounded once, to nearest even; ±Inf when it exceeds
// the range of float64, or what plain addition gives once a term is not finite.
func (s *Exact) Value() float64 {
	if s.special != 0 { // NaN included
		return s.special
	}
	t := *s
	t.carry()
	neg := t.digit[exactDigits-1] < 0
	if neg {
		for i := range t.digit {
			t.digit[i] = -t.digit[i]
		}
		t.carry()
	}
	top := exactDigits - 1
	for top >= 0 && t.digit[top] == 0 {
		top--
	}
	if top < 0 {
		return 0
	}
	words := make([]big.Word, 0, exactDigits)
	if bits.UintSize == 64 {
		for i := 0; i <= top; i += 2 {
			w := uint64(t.digit[i])
			if i+1 <= top {
				w |= uint64(t.digit[i+1]) << 32
			}
			words = append(words, big.Word(w))
		}
	} else {
		for i := 0; i <= top; i++ {
			words = append(words, big.Word(t.digit[i]))
		}
	}
	f := new(big.Float).SetInt(new(big.Int).SetBits(words))
	v, _ := f.SetMantExp(f, -1074).Float64()
	if neg {
		return -v
	}
	return v
}

// Sum is the exact sum of x rounded once: the same for any order of x.
func Sum(x []float64) float64 {
	var s Exact
	for _, v := range x {
		s.Add(v)
	}
	return s.Value()
}

// Mean is Sum(x)/len(x); NaN when x is empty.
func Mean(x []float64) float64 { return Sum(x) / float64(len(x)) }
