package datasets

import (
	"math"
	"strconv"
)

// Money is an amount in units of 1e-4 of the currency. Sums of Money are exact
// and therefore the same in any order. Quantities and ratings use the same
// fixed point.
type Money int64

// MoneyScale is the number of Money units in one unit of the currency.
const MoneyScale = 10_000

// NullMoney marks an absent amount. It is outside the range any conversion returns.
const NullMoney Money = math.MinInt64

// MaxMoney bounds a single amount (±1e12 of the currency, exactly
// representable in float64), leaving room to sum 900 of the largest; an amount
// beyond it is a data fault and its row is refused.
const MaxMoney Money = 1_000_000_000_000 * MoneyScale

// MoneyFromFloat rounds to the nearest unit, halves away from zero.
// ok is false when v is not finite or beyond ±MaxMoney.
func MoneyFromFloat(v float64) (m Money, ok bool) {
	// math.Round takes a dozen instructions and this one; they differ where x lies half-way.
	x := float64(v * MoneyScale) // rounded here: x − r must not become one operation, as arm64 has
	r := math.RoundToEven(x)
	switch x - r {
	case 0.5:
		if x > 0 {
			r++
		}
	case -0.5:
		if x < 0 {
			r--
		}
	}
	if !(math.Abs(r) <= float64(MaxMoney)) {
		return NullMoney, false
	}
	return Money(r), true
}

// MoneyFromInt scales whole units of the currency.
func MoneyFromInt(v int64) (m Money, ok bool) {
	if v > int64(MaxMoney/MoneyScale) || v < -int64(MaxMoney/MoneyScale) {
		return NullMoney, false
	}
	return Money(v) * MoneyScale, true
}

// MoneyFromDecimal converts unscaled·10^-scale, halves away from zero.
func MoneyFromDecimal(unscaled int64, scale int) (m Money, ok bool) {
	for ; scale < 4; scale++ {
		if unscaled > math.MaxInt64/10 || unscaled < math.MinInt64/10 {
			return NullMoney, false
		}
		unscaled *= 10
	}
	if scale > 4 {
		if scale-4 > 18 {
			// The divisor is beyond int64. At 10^19 half of it is not; from 10^20 on
			// every int64 is less than half.
			const half = 5_000_000_000_000_000_000
			switch {
			case scale-4 > 19:
			case unscaled >= half:
				return 1, true
			case unscaled <= -half:
				return -1, true
			}
			return 0, true
		}
		div := int64(1)
		for ; scale > 4; scale-- {
			div *= 10
		}
		q, r := unscaled/div, unscaled%div
		if r >= div-r && r > 0 {
			q++
		} else if -r >= div+r && r < 0 {
			q--
		}
		unscaled = q
	}
	if unscaled > int64(MaxMoney) || unscaled < -int64(MaxMoney) {
		return NullMoney, false
	}
	return Money(unscaled), true
}

// Float is the amount in units of the currency; NaN when absent.
func (m Money) Float() float64 {
	if m == NullMoney {
		return math.NaN()
	}
	return float64(m) / MoneyScale
}

func (m Money) String() string {
	if m == NullMoney {
		return "null"
	}
	return strconv.FormatFloat(m.Float(), 'f', -1, 64)
}
