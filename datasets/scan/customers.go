package scan

import (
	"context"
	"slices"

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

// A Holder is a customer whom the identity tables list an id under.
type Holder struct {
	Kind     string // of the id; CustomerKind is that of customers' own
	Customer string // in dictionary form
}

// Holders looks up who an id, spelt as its source spells it, belongs to by the identity
// tables: in each kind of ids that sources have, customers' own first, then by name.
// There are none without tables.
func (p *Plan) Holders(ctx context.Context, id string, workers int) ([]Holder, error) {
	if p.identity == nil {
		return nil, nil
	}
	r, err := p.resolver(ctx, datasets.NewDict(), workers)
	if err != nil {
		return nil, err
	}
	var all []Holder
	for _, kind := range append([]string{CustomerKind}, p.aliasKinds()...) {
		form := id
		if kind == CustomerKind {
			if form, err = p.IDType.Parse(id); err != nil {
				continue
			}
		}
		if customer, ok := r.Customer(kind, form); ok {
			all = append(all, Holder{kind, customer})
		}
	}
	return all, nil
}

// aliasKinds are the kinds of the sources' ids that are not customers' own, by name.
func (p *Plan) aliasKinds() []string {
	var kinds []string
	for i := range p.sources {
		if s := &p.sources[i]; s.aliased() {
			kinds = append(kinds, s.IDKind)
		}
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// resolver reads the identity tables, which there are.
func (p *Plan) resolver(ctx context.Context, customers *datasets.Dict, workers int) (*identity.Resolver, error) {
	return p.identity.Load(ctx, p.fsys, p.IDType, p.aliasKinds(), customers, workers)
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
