// Package outline counts what reading files takes, by their footers alone.
package outline

import "github.com/shoal-data/shoal/datasets"

// A Source says what reading a source takes.
type Source struct {
	Source string `json:"source"`
	Files  int    `json:"files"`
	Bytes  int64  `json:"bytes"` // of the files

	RowGroups        int      `json:"row_groups"`
	Rows             int64    `json:"rows"`
	RowGroupsSkipped int      `json:"row_groups_skipped"` // wholly at or after the end of history
	RowsSkipped      int64    `json:"rows_skipped"`
	Columns          []Column `json:"columns,omitempty"`

	// The earliest and the latest time of the rows to read, in µs, by statistics
	// and to the day: times that carry no offset are taken as UTC. TimesKnown is
	// false when a row group to read has none.
	TimesKnown bool  `json:"-"`
	MinTime    int64 `json:"-"`
	MaxTime    int64 `json:"-"`
}

// A Column says where a field is read from, and how much there is of it.
type Column struct {
	Field       datasets.Field `json:"-"`
	Name        string         `json:"column"`
	Bytes       int64          `json:"bytes"`         // compressed, in the row groups to read
	FilesHaving int            `json:"files_having"`  // a column of values
	FilesByPath int            `json:"files_by_path"` // that say it by a key=value directory, or have a column of nulls alone
}

// Skip counts a row group that is not read.
func (s *Source) Skip(rows int64) {
	s.RowGroups++
	s.RowGroupsSkipped++
	s.Rows += rows
	s.RowsSkipped += rows
}

// Read counts a row group that is read, with its earliest and latest time when
// they are known.
func (s *Source) Read(rows, first, last int64, known bool) {
	if s.Rows == s.RowsSkipped {
		s.MinTime, s.MaxTime, s.TimesKnown = first, last, true
	}
	s.RowGroups++
	s.Rows += rows
	s.MinTime, s.MaxTime, s.TimesKnown = min(s.MinTime, first), max(s.MaxTime, last), s.TimesKnown && known
}
