// Package roll finds the customers of one table among those of another.
package roll

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/shoal-data/shoal/datasets"
)

// A Roll finds customers by id: the row of each.
type Roll struct {
	kind    arrow.DataType
	hashes  []uint64 // sorted
	rows    []int32
	entries int
}

// New makes a roll for customers whose ids have this type.
func New(kind arrow.DataType, customers int) *Roll {
	return &Roll{kind: kind, hashes: make([]uint64, 0, customers), rows: make([]int32, 0, customers)}
}

// Add appends the next customers. Ids are known by a hash of 64 bits: of ten
// million customers, two share one with a probability of 3 in a million.
func (r *Roll) Add(ids arrow.Array) error {
	if !arrow.TypeEqual(ids.DataType(), r.kind) {
		return fmt.Errorf("roll: customer ids are %v, expected %v", ids.DataType(), r.kind)
	}
	for i := range ids.Len() {
		h, err := Hash(ids, i)
		if err != nil {
			return err
		}
		r.hashes = append(r.hashes, h)
		r.rows = append(r.rows, int32(r.entries))
		r.entries++
	}
	return nil
}

// Sort readies the roll.
func (r *Roll) Sort() {
	slices.SortFunc(r.rows, func(a, b int32) int {
		switch x, y := r.hashes[a], r.hashes[b]; {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return int(a - b)
	})
	sorted := make([]uint64, len(r.hashes))
	for i, row := range r.rows {
		sorted[i] = r.hashes[row]
	}
	r.hashes = sorted
}

// Find is the row of a customer, by the hash of the id.
func (r *Roll) Find(hash uint64) (row int, ok bool) {
	i, ok := slices.BinarySearch(r.hashes, hash)
	if !ok {
		return 0, false
	}
	return int(r.rows[i]), true
}

// Hash stands for the id of customer i.
func Hash(ids arrow.Array, i int) (uint64, error) {
	var b [8]byte
	switch a := ids.(type) {
	case *array.String:
		return datasets.HashID([]byte(a.Value(i))), nil
	case *array.Int64:
		binary.LittleEndian.PutUint64(b[:], uint64(a.Value(i)))
	case *array.Int32:
		binary.LittleEndian.PutUint64(b[:], uint64(a.Value(i)))
	case *array.FixedSizeBinary:
		return datasets.HashID(a.Value(i)), nil
	default:
		return 0, fmt.Errorf("roll: customer ids of type %v", ids.DataType())
	}
	return datasets.HashID(b[:]), nil
}

// Len is the number of customers.
func (r *Roll) Len() int { return r.entries }

// Type is that of the ids.
func (r *Roll) Type() arrow.DataType { return r.kind }
