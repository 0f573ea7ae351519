package column

import (
	"math"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan/internal/encoding"
	"github.com/shoal-data/shoal/datasets/scan/internal/lexical"
)

// MoneyFields are the fields that hold amounts.
var MoneyFields = [3]datasets.Field{datasets.Amount, datasets.Quantity, datasets.Rating}

// Amounts that are none, beside datasets.NullMoney, which is below them. BadMoney is
// the greatest of them.
const (
	unparsableMoney datasets.Money = math.MinInt64 + 1
	rangeMoney      datasets.Money = math.MinInt64 + 2
	infiniteMoney   datasets.Money = math.MinInt64 + 3
	BadMoney                       = infiniteMoney
)

// MoneyProblem says why an amount, which is at most BadMoney and not null, is none.
func MoneyProblem(m datasets.Money) lexical.Problem {
	switch m {
	case rangeMoney:
		return lexical.OutOfRange
	case infiniteMoney:
		return lexical.NotFinite
	}
	return lexical.Unparsable
}

// Amounts converts the run into dst and reports whether any is bad.
func (c *Reader) Amounts(dst []datasets.Money) (bad bool) {
	run := c.Run
	if run.Dict != nil && (c.dictionaryChanged() || len(c.dictAmounts) != run.Dict.Len) {
		c.dictAmounts = resized(c.dictAmounts, run.Dict.Len)
		for i := range c.dictAmounts {
			c.dictAmounts[i] = c.amount(&run.Dict.Values, i)
		}
	}
	for i := range dst {
		var m datasets.Money
		switch {
		case run.Valid != nil && !run.Valid[i]:
			m = datasets.NullMoney
		case run.Dict != nil:
			m = c.dictAmounts[run.Index[i]]
		default:
			m = c.amount(&run.Values, i)
		}
		bad = bad || m != datasets.NullMoney && m <= BadMoney
		dst[i] = m
	}
	return bad
}

func (c *Reader) amount(v *encoding.Values, i int) datasets.Money {
	var m datasets.Money
	ok := true
	switch c.Type.Kind {
	case KindFloat:
		f := v.Floats[i]
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return infiniteMoney
		}
		m, ok = datasets.MoneyFromFloat(f)
	case KindInt32, KindInt64:
		var n int64
		if n, ok = c.Integer(v.Ints[i]); ok {
			m, ok = datasets.MoneyFromInt(n)
		}
	case KindDecimal:
		if v.Ints != nil {
			m, ok = datasets.MoneyFromDecimal(v.Ints[i], c.Type.Scale)
		} else {
			m, ok = lexical.MoneyFromBytes(v.Bytes(i), c.Type.Scale)
		}
	default:
		var p lexical.Problem
		switch m, p = lexical.Money(v.Bytes(i)); p {
		case lexical.OK:
		case lexical.Empty:
			return datasets.NullMoney
		case lexical.OutOfRange:
			return rangeMoney
		default:
			return unparsableMoney
		}
	}
	if !ok {
		return rangeMoney
	}
	return m
}
