package datasets

import (
	"slices"
	"strings"
	"sync"
	"unsafe"

	"github.com/zeebo/xxh3"
)

// A Dict turns byte strings into small codes, safely from many goroutines.
// Codes start at 1 and depend on arrival order, so nothing published may depend
// on them: sort by Ranks, bucket by Shard or Hash.
type Dict struct {
	shards [DictShards]dictShard
}

// DictShards is the number of shards that the values of a Dict are hashed into.
const DictShards = 1 << dictShardBits

const (
	dictShardBits = 8
	arenaChunk    = 64 << 10
)

type dictShard struct {
	mu sync.Mutex
	// Open addressing: the upper half of the hash, then the local index + 1; 0 is
	// empty. The hash beside the index saves looking at values that are others.
	slots  []uint64
	hashes []uint64 // by local index
	values []string // by local index, into arena chunks
	arena  []byte   // current chunk; earlier ones live through values
}

// NewDict returns an empty dictionary.
func NewDict() *Dict { return new(Dict) }

// Code returns the code of v, adding it when new. v is copied.
func (d *Dict) Code(v []byte) uint32 {
	h := xxh3.Hash(v)
	s := h & (DictShards - 1)
	sh := &d.shards[s]
	sh.mu.Lock()
	local := sh.intern(h, v)
	sh.mu.Unlock()
	return local<<dictShardBits + uint32(s) + 1
}

// CodeString is Code for a string.
func (d *Dict) CodeString(v string) uint32 {
	return d.Code(unsafe.Slice(unsafe.StringData(v), len(v)))
}

// A Coder codes many values at a time: each shard is locked once, and the memory
// that the values lie in is asked for before it is needed, so that the waits
// overlap. It is for one goroutine.
type Coder struct {
	hashes []uint64
	order  []uint32 // of the values, by shard
	slots  []uint64
	held   []string // what the slots point to

	touched byte // of what was read only so that it is at hand
}

// Codes appends what Code gives of value(0) … value(n-1). A value is asked for
// twice and must be the same bytes.
func (c *Coder) Codes(d *Dict, out []uint32, n int, value func(i int) []byte) []uint32 {
	return c.each(d, out, n, value, (*dictShard).intern)
}

// Find is Codes for values that must not be added: of those that d does not have
// it gives the null code.
func (c *Coder) Find(d *Dict, out []uint32, n int, value func(i int) []byte) []uint32 {
	return c.each(d, out, n, value, (*dictShard).find)
}

// each gives miss the values that are not where their hash says.
func (c *Coder) each(d *Dict, out []uint32, n int, value func(i int) []byte, miss func(s *dictShard, h uint64, v []byte) uint32) []uint32 {
	c.hashes, c.order = slices.Grow(c.hashes[:0], n)[:n], slices.Grow(c.order[:0], n)[:n]
	var start [DictShards + 1]uint32
	for i := range c.hashes {
		h := xxh3.Hash(value(i))
		c.hashes[i] = h
		start[h&(DictShards-1)+1]++
	}
	for s := range DictShards {
		start[s+1] += start[s]
	}
	next := start
	for i, h := range c.hashes {
		at := &next[h&(DictShards-1)]
		c.order[*at] = uint32(i)
		*at++
	}
	from := len(out)
	out = slices.Grow(out, n)[:from+n]
	for s := range DictShards {
		if rows := c.order[start[s]:start[s+1]]; len(rows) > 0 {
			c.shard(&d.shards[s], rows, out[from:], uint32(s), value, miss)
		}
	}
	return out
}

func (c *Coder) shard(s *dictShard, rows, out []uint32, number uint32, value func(i int) []byte, miss func(s *dictShard, h uint64, v []byte) uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.slots, c.held = slices.Grow(c.slots[:0], len(rows))[:len(rows)], slices.Grow(c.held[:0], len(rows))[:len(rows)]
	if len(s.slots) > 0 {
		mask := uint64(len(s.slots) - 1)
		for k, i := range rows {
			c.slots[k] = s.slots[(c.hashes[i]>>dictShardBits)&mask]
		}
		for k, i := range rows {
			h, slot := c.hashes[i], c.slots[k]
			for at := h >> dictShardBits; slot != 0 && (slot^h)&upperHalf != 0; slot = s.slots[at&mask] {
				at++
			}
			c.slots[k] = slot
		}
	} else {
		clear(c.slots)
	}
	for k := range rows {
		c.held[k] = ""
		if slot := c.slots[k]; slot != 0 {
			c.held[k] = s.values[uint32(slot)-1]
		}
	}
	for _, v := range c.held {
		if len(v) > 0 {
			c.touched += v[0]
		}
	}
	for k, i := range rows {
		v := value(int(i))
		local := uint32(c.slots[k]) - 1
		if len(v) == 0 || c.held[k] != string(v) {
			if local = miss(s, c.hashes[i], v); local == noLocal {
				out[i] = 0
				continue
			}
		}
		out[i] = local<<dictShardBits + number + 1
	}
}

// noLocal is the place of a value that a shard does not have.
const noLocal = 1<<32 - 1

// find is the place of a value, or noLocal.
func (s *dictShard) find(h uint64, v []byte) uint32 {
	if len(s.slots) == 0 {
		return noLocal
	}
	mask := uint64(len(s.slots) - 1)
	for i := (h >> dictShardBits) & mask; ; i = (i + 1) & mask {
		slot := s.slots[i]
		if slot == 0 {
			return noLocal
		}
		if (slot^h)&upperHalf == 0 && s.values[uint32(slot)-1] == string(v) {
			return uint32(slot) - 1
		}
	}
}

const upperHalf = 1<<64 - 1<<32

func (s *dictShard) intern(h uint64, v []byte) uint32 {
	if len(s.values)*2 >= len(s.slots) {
		s.grow()
	}
	mask := uint64(len(s.slots) - 1)
	for i := (h >> dictShardBits) & mask; ; i = (i + 1) & mask {
		slot := s.slots[i]
		if slot == 0 {
			s.values = append(s.values, s.keep(v))
			s.hashes = append(s.hashes, h)
			s.slots[i] = h&upperHalf | uint64(len(s.values))
			return uint32(len(s.values)) - 1
		}
		if (slot^h)&upperHalf == 0 && s.values[uint32(slot)-1] == string(v) {
			return uint32(slot) - 1
		}
	}
}

func (s *dictShard) grow() {
	slots := make([]uint64, max(8, 2*len(s.slots)))
	mask := uint64(len(slots) - 1)
	for local, h := range s.hashes {
		i := (h >> dictShardBits) & mask
		for slots[i] != 0 {
			i = (i + 1) & mask
		}
		slots[i] = h&upperHalf | uint64(local+1)
	}
	s.slots = slots
}

// keep copies v into the arena: one allocation a chunk instead of one a value.
func (s *dictShard) keep(v []byte) string {
	if len(v) == 0 {
		return ""
	}
	if len(v) > cap(s.arena)-len(s.arena) {
		s.arena = make([]byte, 0, max(min(arenaChunk, 256+2*cap(s.arena)), len(v)))
	}
	at := len(s.arena)
	s.arena = append(s.arena, v...)
	return unsafe.String(&s.arena[at], len(v))
}

// Len is the number of distinct values.
func (d *Dict) Len() int {
	n := 0
	for i := range d.shards {
		d.shards[i].mu.Lock()
		n += len(d.shards[i].values)
		d.shards[i].mu.Unlock()
	}
	return n
}

// Value is the string behind a code; "" for the null code. It must not run
// beside Code.
func (d *Dict) Value(code uint32) string {
	if code == 0 {
		return ""
	}
	code--
	return d.shards[code&(DictShards-1)].values[code>>dictShardBits]
}

// Lookup is Value for whoever runs beside Code; ok is false for a code that was not given.
func (d *Dict) Lookup(code uint32) (value string, ok bool) {
	if code == 0 {
		return "", false
	}
	s := &d.shards[Shard(code)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if local := Local(code); local < len(s.values) {
		return s.values[local], true
	}
	return "", false
}

// Hash is the 64-bit hash of the value behind a non-null code: a property of
// the value alone. It must not run beside Code.
func (d *Dict) Hash(code uint32) uint64 {
	code--
	return d.shards[code&(DictShards-1)].hashes[code>>dictShardBits]
}

// Shard is the shard, 0 … DictShards-1, of the value behind a non-null code: a
// property of the value alone, read off the code.
func Shard(code uint32) int { return int((code - 1) & (DictShards - 1)) }

// Local is the position of a non-null code in its shard, dense from 0.
func Local(code uint32) int { return int((code - 1) >> dictShardBits) }

// ShardCode is the code at a position of a shard: the inverse of Shard and Local.
func ShardCode(shard, local int) uint32 { return uint32(local)<<dictShardBits + uint32(shard) + 1 }

// ShardLen is the number of values in a shard. It must not run beside Code.
func (d *Dict) ShardLen(shard int) int { return len(d.shards[shard].values) }

// MaxCode is an upper bound on the codes handed out.
func (d *Dict) MaxCode() uint32 {
	most := 0
	for i := range d.shards {
		most = max(most, len(d.shards[i].values))
	}
	return uint32(most) << dictShardBits
}

// Codes lists every code, in the order of its value.
func (d *Dict) Codes() []uint32 {
	codes := make([]uint32, 0, d.Len())
	for s := range d.shards {
		for local := range d.shards[s].values {
			codes = append(codes, uint32(local)<<dictShardBits+uint32(s)+1)
		}
	}
	slices.SortFunc(codes, func(a, b uint32) int { return strings.Compare(d.Value(a), d.Value(b)) })
	return codes
}

// Ranks maps a code to 1 + the position of its value among the sorted values,
// and the null code to 0: unlike codes, ranks do not depend on arrival order.
// values is the inverse: values[rank] for rank ≥ 1, values[0] is "".
func (d *Dict) Ranks() (ranks []uint32, values []string) {
	codes := d.Codes()
	ranks = make([]uint32, d.MaxCode()+1)
	values = make([]string, len(codes)+1)
	for i, c := range codes {
		ranks[c] = uint32(i) + 1
		values[i+1] = d.Value(c)
	}
	return ranks, values
}
