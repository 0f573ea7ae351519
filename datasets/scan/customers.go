package scan

import (
	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan/internal/identity"
)

// CustomerFilter selects customers by their ids in dictionary form (see
// datasets.IDType), which are those that Input.Identity resolves ids to. Rows of anybody else are counted as others and not judged.
type CustomerFilter struct {
	// No selected id sorts before Min or after Max; an empty Max is no bound. Row
	// groups that lie outside by their statistics are not read.
	Min, Max string
	// Match says whether an id is selected. It is called by several workers at
	// once, with an id that it must not keep.
	Match func(id []byte) bool
}

// OneCustomer selects a single id.
func OneCustomer(id string) *CustomerFilter {
	return &CustomerFilter{Min: id, Max: id, Match: func(b []byte) bool { return string(b) == id }}
}

// matches says, for each source, which of its ids are a selected customer's.
func (f *CustomerFilter) matches(sources []Source, r *identity.Resolver) []func(id []byte) bool {
	if f == nil {
		return nil
	}
	all := make([]func([]byte) bool, len(sources))
	for i := range sources {
		if all[i] = f.Match; r != nil {
			all[i] = r.Select(sources[i].kind(), f.Match)
		}
	}
	return all
}

// dropOthers marks the rows in hand that are not a selected customer's.
func (w *worker) dropOthers(st []status) {
	c := w.field[datasets.CustomerID]
	for i := range st {
		if !c.Matches(i, w.matches[w.source]) {
			st[i] = rowOther
		}
	}
}
