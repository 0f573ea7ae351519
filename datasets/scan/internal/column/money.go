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
	// Where nulls fall cannot be foreseen. What is cheap is done for them too, of the
	// zero that stands for them, and then replaced.
	switch {
	case run.Dict != nil && run.Dict.Len == 0: // nothing but nulls
	case run.Dict != nil:
		for i := range dst {
			dst[i] = c.dictAmounts[run.Index[i]]
		}
	case c.Type.Kind == KindFloat:
		for i, f := range run.Floats[:len(dst)] {
			m, ok := datasets.MoneyFromFloat(f)
			if !ok {
				m = c.amount(&run.Values, i)
			}
			dst[i] = m
		}
	case c.Type.Kind == KindInt32 && !c.Type.Unsigned:
		for i, n := range run.Ints[:len(dst)] {
			m, ok := datasets.MoneyFromInt(n)
			if !ok {
				m = rangeMoney
			}
			dst[i] = m
		}
	default:
		for i := range dst {
			if run.Valid == nil || run.Valid[i] {
				dst[i] = c.amount(&run.Values, i)
			}
		}
	}
	if run.Valid != nil {
		for i, valid := range run.Valid[:len(dst)] {
			m := dst[i]
			if !valid {
				m = datasets.NullMoney
			}
			dst[i] = m
		}
	}
	least := uint64(math.MaxUint64)
	for _, m := range dst {
		least = min(least, badness(m))
	}
	return least <= badness(BadMoney)
}

// badness numbers bad amounts from 0, then the others, and NullMoney, the smallest
// number of all, last.
func badness(m datasets.Money) uint64 { return uint64(m-datasets.NullMoney) - 1 }

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
