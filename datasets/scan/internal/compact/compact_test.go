package compact

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"
)

// What is not asked for is stepped over, whatever its type.
func TestFieldsStepsOverTheRest(t *testing.T) {
	b := []byte{
		0x11,       // field 1, true
		0x13, 0x7F, // 2, i8
		0x16, 0x80, 0x01, // 3, i64
		0x17, 1, 2, 3, 4, 5, 6, 7, 8, // 4, double
		0x18, 2, 'a', 'b', // 5, binary
		0x19, 0x25, 2, 4, // 6, list of two i32
		0x1A, 0x11, 1, // 7, set of one boolean
		0x1B, 1, 0x58, 6, 1, 'x', // 8, map of i32 to binary
		0x1C, 0x15, 2, 0, // 9, struct
		0x1D, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, // 10, uuid
		0x05, 0x28, 0x53, // 20 by its number, i32: -42
		0x00, 0xEE,
	}
	c := NewCursor(b)
	var ids []int
	var got int32
	c.Fields(0, func(id int, typ byte) bool {
		ids = append(ids, id)
		if id != 20 {
			return false
		}
		got = c.I32()
		return true
	})
	if c.Err() != nil || len(ids) != 11 || got != -42 || c.At() != len(b)-1 {
		t.Errorf("fields %v, the last is %d, %d bytes of %d read, %v", ids, got, c.At(), len(b), c.Err())
	}
	for n := range len(b) - 1 {
		c := NewCursor(b[:n])
		c.Fields(0, func(int, byte) bool { return false })
		if !errors.Is(c.Err(), ErrShort) && (c.Err() == nil || !strings.Contains(c.Err().Error(), "longer than all that follows")) {
			t.Errorf("cut to %d bytes: %v", n, c.Err())
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, v := range []int64{0, 1, -1, math.MaxInt32, math.MinInt32, math.MaxInt64, math.MinInt64} {
		b := binary.AppendVarint(nil, v)
		c := NewCursor(b)
		if got := c.Zigzag(); got != v || c.Err() != nil {
			t.Errorf("%d is read as %d, %v", v, got, c.Err())
		}
		c = NewCursor(b)
		if c.I32(); (c.Err() != nil) != (v != int64(int32(v))) {
			t.Errorf("%d in 32 bits: %v", v, c.Err())
		}
	}
	c := NewCursor(bytes.Repeat([]byte{0xFF}, 11))
	if c.Uvarint(); c.Err() == nil || errors.Is(c.Err(), ErrShort) {
		t.Errorf("a number without end: %v", c.Err())
	}
	if c.Discard(1); c.At() != 0 {
		t.Error("the cursor moved after a fault")
	}
}

// Structs that ask for memory out of proportion are refused.
func TestCheckStruct(t *testing.T) {
	list := func(n int) []byte {
		b := binary.AppendUvarint([]byte{0x19, 0xF0 | Struct}, uint64(n))
		return append(b, make([]byte, n+1)...) // n empty structs, and the end
	}
	if err := CheckStruct(list(1000)); err != nil {
		t.Errorf("1000 structs: %v", err)
	}
	if err := CheckStruct(list(1_000_000)); err == nil || !strings.Contains(err.Error(), "lists 1000000 structures in ") {
		t.Errorf("a million structs: %v", err)
	}
	if err := CheckStruct(bytes.Repeat([]byte{0x1C}, 100_000)); err == nil || !strings.Contains(err.Error(), "nested too deep") {
		t.Errorf("a deep struct: %v", err)
	}
}
