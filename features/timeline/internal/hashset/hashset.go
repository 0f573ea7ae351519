// Package hashset holds hashes that are well mixed already, of one customer at a
// time: the tables are cleared and used again.
package hashset

import (
	"math/bits"
	"slices"
)

// A Set is a set of non-zero hashes. Reset readies it.
type Set struct{ slots []uint64 }

// Reset empties the set and makes room for n hashes.
func (s *Set) Reset(n int) {
	size := 1 << bits.Len(uint(2*n))
	s.slots = slices.Grow(s.slots[:0], size)[:size]
	clear(s.slots)
}

// Add reports whether the hash was not there yet.
func (s *Set) Add(id uint64) bool {
	mask := uint64(len(s.slots) - 1)
	for i := id & mask; ; i = (i + 1) & mask {
		switch s.slots[i] {
		case 0:
			s.slots[i] = id
			return true
		case id:
			return false
		}
	}
}

// A Numbering gives non-zero hashes small numbers, from 1 in the order of their
// first appearance. Reset readies it.
type Numbering struct {
	keys    []uint64
	numbers []uint32
	next    uint32
}

// Reset forgets all numbers and makes room for n hashes.
func (s *Numbering) Reset(n int) {
	size := 1 << bits.Len(uint(2*n))
	s.keys, s.numbers = slices.Grow(s.keys[:0], size)[:size], slices.Grow(s.numbers[:0], size)[:size]
	clear(s.keys)
	s.next = 1
}

// Of is the number of a hash.
func (s *Numbering) Of(h uint64) uint32 {
	mask := uint64(len(s.keys) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		switch s.keys[i] {
		case 0:
			s.keys[i], s.numbers[i] = h, s.next
			s.next++
			return s.numbers[i]
		case h:
			return s.numbers[i]
		}
	}
}
