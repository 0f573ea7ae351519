// Package sample keeps some of the rows that were refused, the same ones however the
// rows are ordered and divided.
package sample

import (
	"cmp"
	"slices"
	"strings"

	"github.com/zeebo/xxh3"
)

// A Row is what a refused row held, as text, null being "". Values are cut
// to 256 bytes. Rows with equal content are sampled once.
type Row struct {
	Source, Reason, Column string
	Value                  string // at fault
	CustomerID             string
	EventTime              string // RFC 3339 UTC; the source's text when that is at fault
	EventType              string
}

// A Sample keeps the rows of the lowest hashes: which they are depends on the set
// of rows alone.
type Sample struct{ rows []hashedRow } // ascending

type hashedRow struct {
	hash uint64
	row  Row
}

// Compare orders rows by reason, source and all else.
func (a *Row) Compare(b *Row) int {
	return cmp.Or(strings.Compare(a.Reason, b.Reason), strings.Compare(a.Source, b.Source), strings.Compare(a.Column, b.Column),
		strings.Compare(a.Value, b.Value), strings.Compare(a.CustomerID, b.CustomerID),
		strings.Compare(a.EventTime, b.EventTime), strings.Compare(a.EventType, b.EventType))
}

func (a *Row) hash() uint64 {
	var h uint64
	for _, s := range [...]string{a.Source, a.Reason, a.Column, a.Value, a.CustomerID, a.EventTime, a.EventType} {
		h = xxh3.HashStringSeed(s, h)
	}
	return h
}

// Add offers a row to a sample of at most limit rows, which copies its texts if it
// keeps it.
func (s *Sample) Add(row Row, limit int) { s.insert(hashedRow{row.hash(), row}, limit) }

func (s *Sample) insert(r hashedRow, limit int) {
	if len(s.rows) == limit && r.hash > s.rows[limit-1].hash {
		return
	}
	at, found := slices.BinarySearchFunc(s.rows, r, func(a, b hashedRow) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), a.row.Compare(&b.row))
	})
	if found {
		return
	}
	r.row.Value, r.row.CustomerID = strings.Clone(r.row.Value), strings.Clone(r.row.CustomerID)
	r.row.EventTime, r.row.EventType = strings.Clone(r.row.EventTime), strings.Clone(r.row.EventType)
	s.rows = slices.Insert(s.rows, at, r)
	s.rows = s.rows[:min(len(s.rows), limit)]
}

// Merge adds the rows of another sample.
func (s *Sample) Merge(o *Sample, limit int) {
	for _, r := range o.rows {
		s.insert(r, limit)
	}
}

// Rows are the rows that are kept.
func (s *Sample) Rows() []Row {
	rows := make([]Row, len(s.rows))
	for i, r := range s.rows {
		rows[i] = r.row
	}
	return rows
}
