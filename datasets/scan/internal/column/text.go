package column

import (
	"bytes"
	"context"
	"encoding/hex"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan/internal/encoding"
	"github.com/shoal-data/shoal/datasets/scan/internal/lexical"
)

// Consents says whether row i of a consent column gives consent.
func (c *Reader) Consents(i int) bool {
	if c.Null(i) {
		return false
	}
	v, j := c.Value(i)
	if c.Run.Dict != nil {
		if c.dictionaryChanged() || len(c.dictConsents) != c.Run.Dict.Len {
			c.dictConsents = resized(c.dictConsents, c.Run.Dict.Len)
			for k := range c.dictConsents {
				c.dictConsents[k] = c.consents(v, k)
			}
		}
		return c.dictConsents[j]
	}
	return c.consents(v, j)
}

func (c *Reader) consents(v *encoding.Values, i int) bool {
	if !c.isText() {
		return v.Ints[i] != 0
	}
	b := v.Bytes(i)
	if len(b) > 4 {
		return false
	}
	switch string(bytes.ToLower(b)) {
	case "true", "t", "yes", "y", "1":
		return true
	}
	return false
}

// Problem says what is wrong with the value of row i as an id or a text.
func (c *Reader) Problem(i int) lexical.Problem {
	if c.Null(i) {
		return lexical.Null
	}
	v, j := c.Value(i)
	if c.Run.Dict == nil {
		return c.problem(v, j)
	}
	if c.dictionaryChanged() || len(c.dictProblems) != c.Run.Dict.Len {
		c.judgeDictionary()
	}
	return c.dictProblems[j]
}

func (c *Reader) problem(v *encoding.Values, i int) lexical.Problem {
	switch {
	case c.isText():
		b := v.Bytes(i)
		if len(b) == 0 {
			return lexical.Empty
		}
		if !utf8.Valid(b) {
			return lexical.BadUTF8
		}
	case c.Field == datasets.CustomerID && (c.Type.Kind == KindInt64 || c.Type.Kind == KindDecimal):
		if _, ok := c.id(v, i); !ok {
			return lexical.OutOfRange
		}
	}
	return lexical.OK
}

// Fine says whether no value of the rows in hand, but null, is wrong as an id or
// a text. It is told without looking at rows where they share a dictionary.
func (c *Reader) Fine() bool {
	if c.Flawless() {
		return true
	}
	if c.Run.Dict == nil {
		return false
	}
	if c.dictionaryChanged() || len(c.dictProblems) != c.Run.Dict.Len {
		c.judgeDictionary()
	}
	return c.dictFine
}

// judgeDictionary finds what is wrong with the values of the dictionary.
func (c *Reader) judgeDictionary() {
	c.dictProblems = resized(c.dictProblems, c.Run.Dict.Len)
	c.dictFine = true
	for k := range c.dictProblems {
		c.dictProblems[k] = c.problem(&c.Run.Dict.Values, k)
		c.dictFine = c.dictFine && c.dictProblems[k] == lexical.OK
	}
}

// Flawless says whether no value of the column, but null, can be wrong as an id
// or a text.
func (c *Reader) Flawless() bool {
	if c.isText() {
		return false
	}
	return c.Field != datasets.CustomerID || c.Type.Kind != KindDecimal && !c.Type.Unsigned
}

// Matches says whether row i of a customer column has an id that match, which
// is given its dictionary form, accepts. Ids that cannot be are nobody's.
func (c *Reader) Matches(i int, match func(id []byte) bool) bool {
	if c.Null(i) {
		return false
	}
	v, j := c.Value(i)
	if c.Run.Dict == nil {
		return c.matches(v, j, match)
	}
	if c.dictionaryChanged() || len(c.dictMatches) != c.Run.Dict.Len {
		c.dictMatches = resized(c.dictMatches, c.Run.Dict.Len)
		for k := range c.dictMatches {
			c.dictMatches[k] = c.matches(v, k, match)
		}
	}
	return c.dictMatches[j]
}

// AnyMatch reads rows of a customer column up to the first that matches.
func (c *Reader) AnyMatch(ctx context.Context, rows int64, match func(id []byte) bool) (bool, error) {
	for row := int64(0); row < rows; {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		n, err := c.Available(int(min(rows-row, SegmentRows)))
		if err == nil {
			err = c.Next(n)
		}
		if err != nil {
			return false, err
		}
		for i := range n {
			if c.Matches(i, match) {
				return true, nil
			}
		}
		row += int64(n)
	}
	return false, nil
}

func (c *Reader) matches(v *encoding.Values, i int, match func([]byte) bool) bool {
	if c.problem(v, i) != lexical.OK {
		return false
	}
	if c.isID() {
		return match(v.Bytes(i))
	}
	return match(c.key(v, i))
}

// id is an integer id.
func (c *Reader) id(v *encoding.Values, i int) (int64, bool) {
	if v.Ints == nil {
		return lexical.IntFromBytes(v.Bytes(i))
	}
	return c.Integer(v.Ints[i])
}

// AppendCodes appends the codes of the rows of sel in d; every row of sel is flawless
// or null, whose code is null.
func (c *Reader) AppendCodes(out []uint32, d *datasets.Dict, sel []int32, null uint32) []uint32 {
	run := c.Run
	if c.Field == datasets.CustomerID {
		return c.appendCustomers(out, d, sel, null)
	}
	if run.Dict == nil {
		for _, i := range sel {
			if run.Valid != nil && !run.Valid[i] {
				out = append(out, null)
			} else {
				out = append(out, c.code(d, &run.Values, int(i), null))
			}
		}
		return out
	}
	c.dictionaryChanged()
	from := len(out)
	out = slices.Grow(out, len(sel))[:from+len(sel)]
	dst, codes, index, valid := out[from:], c.dictCodes, run.Index, run.Valid
	switch {
	case len(codes) == 0: // nothing but nulls
		for k := range dst {
			dst[k] = null
		}
	case valid == nil:
		for k, i := range sel {
			code := codes[index[i]]
			if code == 0 {
				code = c.dictCode(d, index[i], null)
			}
			dst[k] = code
		}
	default:
		// Which rows are null cannot be foreseen, so all are looked up (a null's index is
		// 0), and the choice is a move and not a jump.
		for k, i := range sel {
			code := codes[index[i]]
			if code == 0 && valid[i] {
				code = c.dictCode(d, index[i], null)
			}
			if !valid[i] {
				code = null
			}
			dst[k] = code
		}
	}
	return out
}

// dictCode finds the code of a value of the dictionary that no row has needed yet.
func (c *Reader) dictCode(d *datasets.Dict, index, null uint32) uint32 {
	at := &c.dictCodes[index]
	*at = c.code(d, &c.Run.Dict.Values, int(index), null)
	return *at
}

// appendCustomers is AppendCodes for a column of very many values, whose codes
// are looked up together.
func (c *Reader) appendCustomers(out []uint32, d *datasets.Dict, sel []int32, null uint32) []uint32 {
	run := c.Run
	values, dict := &run.Values, run.Dict != nil
	if dict {
		values = &run.Dict.Values
		if c.dictionaryChanged(); !c.found {
			c.findCustomers(d)
		}
	}
	// The values to look up: of a dictionary, those not met before.
	const pending = math.MaxUint32
	c.wanted = c.wanted[:0]
	look := sel
	if dict && c.unknown == 0 {
		look = nil
	}
	for _, i := range look {
		if run.Valid != nil && !run.Valid[i] {
			continue
		}
		if !dict {
			c.wanted = append(c.wanted, uint32(i))
		} else if at := &c.dictCodes[run.Index[i]]; *at == 0 {
			*at = pending
			c.wanted = append(c.wanted, uint32(run.Index[i]))
		}
	}
	if len(c.wanted) > 0 {
		value := func(k int) []byte { return c.key(values, int(c.wanted[k])) }
		if c.isID() {
			value = func(k int) []byte { return values.Bytes(int(c.wanted[k])) }
		}
		c.codes = c.coder.Codes(d, c.codes[:0], len(c.wanted), value)
		if dict {
			for k, index := range c.wanted {
				c.dictCodes[index] = c.codes[k]
			}
			c.unknown -= len(c.wanted)
		}
	}
	if dict && run.Valid == nil {
		for _, i := range sel {
			out = append(out, c.dictCodes[run.Index[i]])
		}
		return out
	}
	at := 0
	for _, i := range sel {
		switch {
		case run.Valid != nil && !run.Valid[i]:
			out = append(out, null)
		case dict:
			out = append(out, c.dictCodes[run.Index[i]])
		default:
			out = append(out, c.codes[at])
			at++
		}
	}
	return out
}

// findCustomers finds the codes of those values of a new dictionary that d has
// already, most of them as a rule: together, their cache misses overlap.
func (c *Reader) findCustomers(d *datasets.Dict) {
	values := &c.Run.Dict.Values
	value := func(k int) []byte { return c.key(values, k) }
	if c.isID() {
		value = values.Bytes
	}
	c.dictCodes = c.coder.Find(d, c.dictCodes[:0], c.Run.Dict.Len, value)
	c.found, c.unknown = true, 0
	for _, code := range c.dictCodes {
		if code == 0 {
			c.unknown++
		}
	}
}

// isID says whether the bytes of a customer column are the dictionary form of its ids.
func (c *Reader) isID() bool { return c.isText() || c.Type.Kind == KindFixed && !c.textIDs }

// Code is the code in d of row i, which is flawless and not null.
func (c *Reader) Code(d *datasets.Dict, i int) uint32 {
	run := c.Run
	if run.Dict == nil {
		return c.code(d, &run.Values, i, 0)
	}
	c.dictionaryChanged()
	at := &c.dictCodes[run.Index[i]]
	if *at == 0 {
		*at = c.code(d, &run.Dict.Values, int(run.Index[i]), 0)
	}
	return *at
}

// AppendHashes appends datasets.HashID of the rows of sel, 0 for null; every row
// of sel is flawless or null.
func (c *Reader) AppendHashes(out []uint64, sel []int32) []uint64 {
	run := c.Run
	for _, i := range sel {
		if run.Valid != nil && !run.Valid[i] {
			out = append(out, 0)
			continue
		}
		values, at := &run.Values, int(i)
		if run.Dict != nil {
			values, at = &run.Dict.Values, int(run.Index[i])
		}
		if c.isText() {
			out = append(out, datasets.HashID(values.Bytes(at)))
		} else {
			out = append(out, datasets.HashID(c.key(values, at)))
		}
	}
	return out
}

// code interns a value. Sorted and clustered columns repeat it, so the last one
// is remembered.
func (c *Reader) code(d *datasets.Dict, v *encoding.Values, i int, null uint32) uint32 {
	last := c.lastCode
	switch {
	case c.isText() || c.Type.Kind == KindFixed && c.Field == datasets.CustomerID && !c.textIDs:
		b := v.Bytes(i)
		if len(b) == 0 && c.Field == datasets.Currency {
			return null
		}
		if c.lastCode == 0 || !bytes.Equal(b, c.lastText) {
			c.lastCode = d.Code(b)
			c.lastText = append(c.lastText[:0], b...)
		}
	case v.Ints != nil:
		n := v.Ints[i]
		if c.lastCode == 0 || n != c.lastInt {
			c.lastCode = d.Code(c.key(v, i))
			c.lastInt = n
		}
	default:
		c.lastCode = d.Code(c.key(v, i))
	}
	if c.Field == datasets.EventType && c.lastCode != last {
		for len(c.roleOf) <= int(c.lastCode) {
			c.roleOf = append(c.roleOf, datasets.Other)
		}
		if role, ok := c.roles[string(c.AppendText(nil, v, i))]; ok {
			c.roleOf[c.lastCode] = role
		}
	}
	return c.lastCode
}

// Role is the role of the event type of a code that AppendCodes gave.
func (c *Reader) Role(code uint32) datasets.Role { return c.roleOf[code] }

// key is the dictionary form of an id or the text of any other value.
func (c *Reader) key(v *encoding.Values, i int) []byte {
	if c.Field == datasets.CustomerID && !c.textIDs {
		n, _ := c.id(v, i)
		c.scratch = datasets.AppendIntID(c.scratch[:0], n)
	} else {
		c.scratch = c.AppendText(c.scratch[:0], v, i)
	}
	return c.scratch
}

// AppendText appends a value as DuckDB's CAST(x AS VARCHAR) spells it; times that are
// numbers stay numbers.
func (c *Reader) AppendText(dst []byte, v *encoding.Values, i int) []byte {
	switch c.Type.Kind {
	case KindBool:
		return strconv.AppendBool(dst, v.Ints[i] != 0)
	case KindInt32, KindInt64:
		n, ok := c.Integer(v.Ints[i])
		if !ok {
			return strconv.AppendUint(dst, uint64(n), 10)
		}
		return strconv.AppendInt(dst, n, 10)
	case KindFloat:
		return lexical.AppendFloat(dst, v.Floats[i], c.Type.Bits)
	case KindDecimal:
		if v.Ints != nil {
			return lexical.AppendDecimal(dst, v.Ints[i], c.Type.Scale)
		}
		return lexical.AppendDecimalBytes(dst, v.Bytes(i), c.Type.Scale)
	case KindFixed:
		if c.Type.UUID {
			return lexical.AppendUUID(dst, v.Bytes(i))
		}
		return hex.AppendEncode(dst, v.Bytes(i))
	case KindDate:
		if us, ok := floorMulDiv(v.Ints[i], 86_400_000_000, 1); ok && lexical.InRange(us) {
			return lexical.AppendTime(dst, us)[:len(dst)+len("2006-01-02")]
		}
		return strconv.AppendInt(dst, v.Ints[i], 10)
	case KindTimestamp:
		if c.Type.INT96 {
			if us := INT96Time(v.Bytes(i)); us > BadTime {
				return lexical.AppendTime(dst, us)
			}
			return dst
		}
		us := fromEpoch(v.Ints[i], c.Type.Unit)
		if us <= BadTime {
			return strconv.AppendInt(dst, v.Ints[i], 10)
		}
		dst = lexical.AppendTime(dst, us)
		if !c.Type.UTC {
			dst = dst[:len(dst)-1] // no Z
		}
		return dst
	case KindTime, KindOther:
		if v.Ints != nil {
			return strconv.AppendInt(dst, v.Ints[i], 10)
		}
	}
	return append(dst, v.Bytes(i)...)
}
