// Package compact walks bytes of Thrift's compact protocol, in which Parquet
// writes its footers and page headers, without allocating: what damaged bytes
// claim is known before anything is allocated for it. The variable-length
// integers of Parquet's delta encodings are the same, and are read here too.
// Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
package compact

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The types of values in the protocol.
const (
	stop   = 0
	True   = 1 // a boolean field holds its value in its type
	False  = 2
	I8     = 3
	I16    = 4
	I32    = 5
	I64    = 6
	Double = 7
	Binary = 8
	List   = 9
	Set    = 10
	Map    = 11
	Struct = 12
	UUID   = 13
)

// maxDepth bounds nesting; Parquet's own structures stay below ten.
const maxDepth = 24

// ErrShort means that the bytes end within a value.
var ErrShort = errors.New("it ends too early")

// A Cursor walks bytes from their start. After a fault, which Err tells, it
// stands still and every read gives 0.
type Cursor struct {
	b       []byte
	at      int
	structs int // structs inside lists, counted by skip
	err     error
}

// NewCursor returns a cursor at the start of b.
func NewCursor(b []byte) Cursor { return Cursor{b: b} }

// At is the number of bytes read.
func (c *Cursor) At() int { return c.at }

// Err is the first fault met, nil while there is none.
func (c *Cursor) Err() error { return c.err }

func (c *Cursor) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

func (c *Cursor) byte() byte {
	if c.err != nil || c.at >= len(c.b) {
		c.fail(ErrShort)
		return 0
	}
	c.at++
	return c.b[c.at-1]
}

// Uvarint reads a ULEB128 number of at most 64 bits.
func (c *Cursor) Uvarint() uint64 {
	if c.err != nil {
		return 0
	}
	v, n := binary.Uvarint(c.b[c.at:])
	switch {
	case n == 0:
		c.fail(ErrShort)
		return 0
	case n < 0:
		c.fail(errors.New("a number has more than 64 bits"))
		return 0
	}
	c.at += n
	return v
}

// Zigzag reads a signed number of at most 64 bits.
func (c *Cursor) Zigzag() int64 {
	u := c.Uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// I32 reads a signed number and refuses one of more than 32 bits.
func (c *Cursor) I32() int32 {
	v := c.Zigzag()
	if v != int64(int32(v)) {
		c.fail(fmt.Errorf("the number %d does not fit 32 bits", v))
	}
	return int32(v)
}

// Discard steps over n bytes.
func (c *Cursor) Discard(n uint64) {
	if c.err == nil && n > uint64(len(c.b)-c.at) {
		c.fail(ErrShort)
	}
	if c.err == nil {
		c.at += int(n)
	}
}

// Fields calls do for each field of a struct, at the given depth of nesting,
// until its end. do reports whether it consumed the value; what it leaves is
// stepped over.
func (c *Cursor) Fields(depth int, do func(id int, typ byte) bool) {
	if depth > maxDepth {
		c.fail(errors.New("it is nested too deep"))
	}
	id := 0
	for c.err == nil {
		head := c.byte()
		if head == stop || c.err != nil {
			return
		}
		if delta := int(head >> 4); delta != 0 {
			id += delta
		} else {
			id = int(int16(c.Zigzag()))
		}
		typ := head & 0xF
		if c.err == nil && !do(id, typ) {
			c.skip(typ, depth, false)
		}
	}
}

// skip steps over a value. Booleans take a byte in a list and none in a field.
func (c *Cursor) skip(typ byte, depth int, inList bool) {
	switch typ {
	case True, False:
		if inList {
			c.byte()
		}
	case I8:
		c.byte()
	case I16, I32, I64:
		c.Uvarint()
	case Double:
		c.Discard(8)
	case UUID:
		c.Discard(16)
	case Binary:
		c.Discard(c.Uvarint())
	case List, Set:
		head := c.byte()
		n := uint64(head >> 4)
		if n == 15 {
			n = c.Uvarint()
		}
		c.items(n, depth, head&0xF)
	case Map:
		if n := c.Uvarint(); n > 0 {
			types := c.byte()
			c.items(n, depth, types>>4, types&0xF)
		}
	case Struct:
		c.Fields(depth+1, func(int, byte) bool { return false })
	default:
		c.fail(fmt.Errorf("it has a value of unknown type %d", typ))
	}
}

// items steps over n items of a collection, each of one value of every type given.
func (c *Cursor) items(n uint64, depth int, types ...byte) {
	if c.err == nil && n > uint64(len(c.b)-c.at) {
		c.fail(fmt.Errorf("a list of %d items is longer than all that follows", n))
	}
	for ; n > 0 && c.err == nil; n-- {
		for _, typ := range types {
			if typ == Struct {
				c.structs++
			}
			c.skip(typ, depth+1, true)
		}
	}
}

// CheckStruct walks the struct that b holds and refuses one whose decoding would
// take memory out of proportion to its size: a list may claim any length, and a
// struct of one byte can decode to hundreds.
func CheckStruct(b []byte) error {
	c := NewCursor(b)
	c.skip(Struct, 0, false)
	if c.err != nil {
		return c.err
	}
	if most := 1<<16 + len(b)/8; c.structs > most {
		return fmt.Errorf("it lists %d structures in %d bytes", c.structs, len(b))
	}
	return nil
}
