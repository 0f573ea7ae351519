package pages

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Types of the Thrift compact protocol.
// Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
const (
	thriftStop   = 0
	thriftTrue   = 1
	thriftFalse  = 2
	thriftI8     = 3
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
	thriftUUID   = 13
)

// maxThriftDepth bounds nesting; Parquet's own structures stay below ten.
const maxThriftDepth = 24

var errShort = errors.New("it ends too early")

// A cursor walks Thrift compact bytes without allocating, so that what a
// header claims is known before anything is allocated for it.
type cursor struct {
	b       []byte
	at      int
	structs int // structs inside lists, counted by skip
	err     error
}

func (c *cursor) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

func (c *cursor) byte() byte {
	if c.err != nil || c.at >= len(c.b) {
		c.fail(errShort)
		return 0
	}
	c.at++
	return c.b[c.at-1]
}

func (c *cursor) uvarint() uint64 {
	if c.err != nil {
		return 0
	}
	v, n := binary.Uvarint(c.b[c.at:])
	switch {
	case n == 0:
		c.fail(errShort)
		return 0
	case n < 0:
		c.fail(errors.New("a number has more than 64 bits"))
		return 0
	}
	c.at += n
	return v
}

func (c *cursor) zigzag() int64 {
	u := c.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (c *cursor) i32() int32 {
	v := c.zigzag()
	if v != int64(int32(v)) {
		c.fail(fmt.Errorf("the number %d does not fit 32 bits", v))
	}
	return int32(v)
}

func (c *cursor) discard(n uint64) {
	if c.err == nil && n > uint64(len(c.b)-c.at) {
		c.fail(errShort)
	}
	if c.err == nil {
		c.at += int(n)
	}
}

// fields calls do for each field of a struct until its end. do reports whether
// it consumed the value; what it leaves is skipped.
func (c *cursor) fields(depth int, do func(id int, typ byte) bool) {
	if depth > maxThriftDepth {
		c.fail(errors.New("it is nested too deep"))
	}
	id := 0
	for c.err == nil {
		head := c.byte()
		if head == thriftStop || c.err != nil {
			return
		}
		if delta := int(head >> 4); delta != 0 {
			id += delta
		} else {
			id = int(int16(c.zigzag()))
		}
		typ := head & 0xF
		if c.err == nil && !do(id, typ) {
			c.skip(typ, depth, false)
		}
	}
}

// skip steps over a value. Booleans take a byte in a list and none in a field.
func (c *cursor) skip(typ byte, depth int, inList bool) {
	switch typ {
	case thriftTrue, thriftFalse:
		if inList {
			c.byte()
		}
	case thriftI8:
		c.byte()
	case thriftI16, thriftI32, thriftI64:
		c.uvarint()
	case thriftDouble:
		c.discard(8)
	case thriftUUID:
		c.discard(16)
	case thriftBinary:
		c.discard(c.uvarint())
	case thriftList, thriftSet:
		head := c.byte()
		n := uint64(head >> 4)
		if n == 15 {
			n = c.uvarint()
		}
		c.items(n, depth, head&0xF)
	case thriftMap:
		if n := c.uvarint(); n > 0 {
			types := c.byte()
			c.items(n, depth, types>>4, types&0xF)
		}
	case thriftStruct:
		c.fields(depth+1, func(int, byte) bool { return false })
	default:
		c.fail(fmt.Errorf("it has a value of unknown type %d", typ))
	}
}

func (c *cursor) items(n uint64, depth int, types ...byte) {
	if c.err == nil && n > uint64(len(c.b)-c.at) {
		c.fail(fmt.Errorf("a list of %d items is longer than all that follows", n))
	}
	for ; n > 0 && c.err == nil; n-- {
		for _, typ := range types {
			if typ == thriftStruct {
				c.structs++
			}
			c.skip(typ, depth+1, true)
		}
	}
}

// checkFooter refuses a footer whose decoding would take memory out of
// proportion to its size: a list may claim any length, and a struct of one byte
// can decode to hundreds.
func checkFooter(b []byte) error {
	c := cursor{b: b}
	c.skip(thriftStruct, 0, false)
	if c.err != nil {
		return c.err
	}
	if most := 1<<16 + len(b)/8; c.structs > most {
		return fmt.Errorf("it lists %d structures in %d bytes", c.structs, len(b))
	}
	return nil
}

// A header is a page header.
type header struct {
	typ                      int32
	compressed, uncompressed int32
	crc                      uint32
	hasCRC                   bool
	body                     bool // the header of typ is present
	values, nulls, rows      int32
	encoding, levelEncoding  int32
	defBytes, repBytes       int32
	isCompressed             bool
}

// Page types and encodings, as parquet.thrift numbers them.
const (
	dataPage       = 0
	indexPage      = 1
	dictionaryPage = 2
	dataPageV2     = 3

	plain                = 0
	plainDictionary      = 2
	rle                  = 3
	bitPacked            = 4
	deltaBinaryPacked    = 5
	deltaLengthByteArray = 6
	deltaByteArray       = 7
	rleDictionary        = 8
	byteStreamSplit      = 9
)

// parseHeader reads the page header at the start of b and returns its length.
// errShort means that b holds only a part of it.
func parseHeader(b []byte) (h header, n int, err error) {
	c := cursor{b: b}
	h.isCompressed = true
	var which int
	c.fields(0, func(id int, typ byte) bool {
		switch {
		case typ == thriftI32 && id >= 1 && id <= 4:
			v := c.i32()
			switch id {
			case 1:
				h.typ = v
			case 2:
				h.uncompressed = v
			case 3:
				h.compressed = v
			case 4:
				h.crc, h.hasCRC = uint32(v), true
			}
			return true
		case typ == thriftStruct && (id == 5 || id == 7 || id == 8):
			which = id
			c.fields(1, func(sub int, typ byte) bool {
				if id == 8 && sub == 7 && (typ == thriftTrue || typ == thriftFalse) {
					h.isCompressed = typ == thriftTrue
					return true
				}
				if typ != thriftI32 {
					return false
				}
				v := c.i32()
				switch id*10 + sub {
				case 51, 71, 81:
					h.values = v
				case 52, 72, 84:
					h.encoding = v
				case 53:
					h.levelEncoding = v
				case 82:
					h.nulls = v
				case 83:
					h.rows = v
				case 85:
					h.defBytes = v
				case 86:
					h.repBytes = v
				}
				return true
			})
			return true
		}
		return false
	})
	if c.err != nil {
		return h, 0, c.err
	}
	h.body = h.typ == dataPage && which == 5 || h.typ == dictionaryPage && which == 7 || h.typ == dataPageV2 && which == 8
	for _, v := range []int32{h.compressed, h.uncompressed, h.values, h.nulls, h.rows, h.defBytes, h.repBytes} {
		if v < 0 {
			return h, 0, fmt.Errorf("it holds the negative size %d", v)
		}
	}
	return h, c.at, nil
}
