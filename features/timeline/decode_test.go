package timeline

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/shoal-data/shoal/datasets"
)

// someChunk is a chunk of a few customers with every kind of value.
func someChunk(seed uint64, brings presence) *chunk {
	r := rand.New(rand.NewPCG(seed, 3))
	c := &chunk{}
	for local := range uint32(5) {
		n := 1 + r.Uint32N(9)
		c.customer, c.events = append(c.customer, local*3), append(c.events, n)
		for range n {
			c.time = append(c.time, r.Int64N(1e15))
			c.role = append(c.role, datasets.Role(r.IntN(datasets.NumRoles)))
			for i := range c.money {
				if brings.money(i) {
					m := datasets.Money(r.Int64N(1e8) - 5e7)
					if r.IntN(3) == 0 {
						m = datasets.NullMoney
					}
					c.money[i] = append(c.money[i], m)
				}
			}
			for i := range c.ranks {
				if brings.code(i) && i != currency {
					c.ranks[i] = append(c.ranks[i], r.Uint32N(1<<r.Uint32N(31)))
				}
			}
			if brings.hashed(session) {
				c.session = append(c.session, r.Uint32N(4))
			}
		}
	}
	return c
}

func TestChunksReadBack(t *testing.T) {
	for brings := range presence(1 << (numMoney + numCodes + numHashes)) {
		want := someChunk(uint64(brings), brings)
		var got chunk
		if err := got.unpack(want.pack(nil, brings), len(want.customer), len(want.time), brings); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(&got, want) {
			t.Fatalf("columns %b: %+v came back as %+v", brings, want, got)
		}
	}
}

// Blocks that bring different columns join, null where one brings none.
func TestBlocksJoin(t *testing.T) {
	var all columns
	all.reset(0b1_1111_1111_11)
	packedBlock := func(brings presence, n int) ([]byte, *columns) {
		var c columns
		c.reset(brings)
		for i := range n {
			c.customer, c.time, c.role = append(c.customer, uint32(i)), append(c.time, int64(i)*1e6), append(c.role, datasets.View)
			for k := range c.money {
				if brings.money(k) {
					c.money[k] = append(c.money[k], datasets.Money(i))
				}
			}
			for k := range c.codes {
				if brings.code(k) {
					c.codes[k] = append(c.codes[k], uint32(i+1))
				}
			}
			for k := range c.hashes {
				if brings.hashed(k) {
					c.hashes[k] = append(c.hashes[k], uint64(i)<<60+1)
				}
			}
		}
		return c.pack(nil), &c
	}
	few, fewOpen := packedBlock(0b1, 3)
	many, _ := packedBlock(0b1_1111_1111_11, 2)
	if err := all.unpack(few, 3, 0b1); err != nil {
		t.Fatal(err)
	}
	if err := all.unpack(many, 2, 0b1_1111_1111_11); err != nil {
		t.Fatal(err)
	}
	all.join(fewOpen)
	if all.len() != 8 {
		t.Fatalf("%d events, want 8", all.len())
	}
	for k := range all.money {
		if len(all.money[k]) != 8 || k > 0 && all.money[k][0] != datasets.NullMoney || all.money[k][4] != 1 {
			t.Errorf("money %d: %v", k, all.money[k])
		}
	}
	for k := range all.codes {
		if len(all.codes[k]) != 8 || all.codes[k][0] != 0 || all.codes[k][4] != 2 || all.codes[k][7] != 0 {
			t.Errorf("codes %d: %v", k, all.codes[k])
		}
	}
	for k := range all.hashes {
		if len(all.hashes[k]) != 8 || all.hashes[k][0] != 0 || all.hashes[k][4] != 1<<60+1 {
			t.Errorf("hashes %d: %v", k, all.hashes[k])
		}
	}
}

// Whatever a temporary file holds, reading a chunk of it ends in timelines or
// an error; a chunk that reads is one that would be written again as it is, or
// at least reads the same again.
func FuzzTimelineDecode(f *testing.F) {
	for _, brings := range []presence{0, 0b1, 0b1_1111_1111_11, 0b1_0000_1010_10} {
		c := someChunk(uint64(brings), brings)
		f.Add(c.pack(nil, brings), uint16(len(c.customer)), uint16(len(c.time)), uint16(brings))
	}
	f.Fuzz(func(t *testing.T, data []byte, customers, events, brings uint16) {
		b := presence(brings)
		var c, again chunk
		if c.unpack(data, int(customers), int(events), b) != nil {
			return
		}
		repacked := c.pack(nil, b)
		if err := again.unpack(repacked, int(customers), int(events), b); err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if !bytes.Equal(repacked, again.pack(nil, b)) {
			t.Fatal("a second reading differs from the first")
		}
		var raw columns
		raw.reset(b)
		_ = raw.unpack(data, int(events), b)
	})
}
