package scan

import "github.com/shoal-data/shoal/datasets"

// A CustomerFilter selects customers by their ids in dictionary form (see
// datasets.IDType). Rows of anybody else are counted as others and not judged.
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

// dropOthers marks the rows in hand that are not a selected customer's.
func (w *worker) dropOthers(st []status) {
	c := w.field[datasets.CustomerID]
	for i := range st {
		if !c.Matches(i, w.opts.Customers.Match) {
			st[i] = rowOther
		}
	}
}
