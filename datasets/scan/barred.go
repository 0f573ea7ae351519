package scan

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan/internal/consent"
	"github.com/shoal-data/shoal/datasets/scan/internal/fault"
	"github.com/shoal-data/shoal/datasets/scan/internal/identity"
	"github.com/shoal-data/shoal/datasets/scan/internal/lexical"
)

// DeliveredIDs is the type of the customers' ids that Read delivers.
func (p *Plan) DeliveredIDs() datasets.IDType {
	if p.key != nil {
		return datasets.IDType{Kind: datasets.IDString}
	}
	return p.IDType
}

// KeyFingerprint tells the keys of pseudonyms apart; empty when ids are delivered.
func (p *Plan) KeyFingerprint() string {
	if p.key == nil {
		return ""
	}
	return p.key.Fingerprint()
}

// register reads the tables that say whose events may be used; nil without them.
func (p *Plan) register(ctx context.Context, resolver *identity.Resolver, customers *datasets.Dict, workers int) (*consent.Register, error) {
	if p.consent == nil {
		return nil, nil
	}
	kinds := p.aliasKinds()
	for _, k := range p.consent.Kinds() {
		if k != identity.CustomerKind && !slices.Contains(kinds, k) {
			return nil, fault.InSource(Config, "privacy", "its ids of kind %q are those of no source, so that nobody would be found by them; name the kind as a source's id_kind does", k)
		}
	}
	return p.consent.Load(ctx, p.fsys, p.IDType, resolver, customers, kinds, workers)
}

// dropBarred marks the rows in hand whose customers are erased or have not agreed.
func (w *worker) dropBarred(st []status) {
	c := w.field[datasets.CustomerID]
	for i := range st {
		if st[i] == rowAfter || st[i] == rowOther || c.Problem(i) != lexical.OK {
			continue
		}
		switch w.fates.Fate(c.Code(w.fates.Dict, i)) {
		case consent.Erased:
			st[i] = rowErased
		case consent.Withheld:
			st[i] = rowWithheld
		}
	}
}

// A ConsentReport is what erasure lists and consent tables say, and consent columns.
type ConsentReport struct {
	Rows    int64 // of the tables
	Ignored int64 // of these, without an id, or of a kind that no source has
	Erased  int64 // people whom erasure lists name
	Refused int64 // people who have not agreed, by the consent tables

	register  *consent.Register // nil without tables
	customers *datasets.Dict
	withheld  []bool // by code: customers of whom a row was withheld
	plan      *Plan
	hashed    func() map[string]bool // pseudonyms and whether they are barred
}

// newConsentReport is nil when everybody's events may be used.
func newConsentReport(p *Plan, r *consent.Register, customers *datasets.Dict, workers []*worker) *ConsentReport {
	rep := &ConsentReport{register: r, customers: customers, plan: p}
	if r != nil {
		rep.Rows, rep.Ignored, rep.Erased, rep.Refused = r.Rows, r.Ignored, r.Erased, r.Refused
	}
	for _, w := range workers {
		if w == nil {
			continue
		}
		rep.withheld = append(rep.withheld, make([]bool, max(0, len(w.withheldOf)-len(rep.withheld)))...)
		for code, yes := range w.withheldOf {
			rep.withheld[code] = rep.withheld[code] || yes
		}
	}
	if r == nil && rep.withheld == nil {
		return nil
	}
	rep.hashed = sync.OnceValue(rep.hash)
	return rep
}

// Equal says whether two reports say the same in numbers.
func (r *ConsentReport) Equal(o *ConsentReport) bool {
	if r == nil || o == nil {
		return r == o
	}
	return r.Rows == o.Rows && r.Ignored == o.Ignored && r.Erased == o.Erased && r.Refused == o.Refused
}

// noteWithheld remembers of whom rows are withheld that a consent column withholds.
func (w *worker) noteWithheld(st []status) {
	c := w.field[datasets.CustomerID]
	for i := range st {
		if st[i] != rowWithheld || c.Problem(i) != lexical.OK {
			continue
		}
		code := uint32(0)
		if w.ids == nil {
			code = c.Code(w.customers, i)
		} else {
			code = w.ids.Customer(c.Code(w.ids.Dict(), i))
		}
		if int(code) >= len(w.withheldOf) {
			w.withheldOf = append(w.withheldOf, make([]bool, int(code)+1)...)
		}
		w.withheldOf[code] = code != 0
	}
}

// Bars says whether nothing may be said of a customer who is no longer described, not
// even that there was one: by the id in the dictionary form that Read delivers. It must
// not run beside Read.
func (r *ConsentReport) Bars(id string) bool {
	if r == nil {
		return false
	}
	if r.plan.key == nil {
		return r.bars(r.customers.CodeString(id))
	}
	barred, known := r.hashed()[id]
	return barred || !known && r.register != nil && r.register.Unlisted() != consent.Used
}

func (r *ConsentReport) bars(code uint32) bool {
	if int(code) < len(r.withheld) && r.withheld[code] {
		return true
	}
	return r.register != nil && r.register.Start(CustomerKind).Fate(code) != consent.Used
}

// hash knows the pseudonyms of all customers that anything is known of.
func (r *ConsentReport) hash() map[string]bool {
	all := map[string]bool{}
	for _, code := range r.customers.Codes() {
		all[r.plan.key.Of(r.plan.IDType.Format(r.customers.Value(code)))] = r.bars(code)
	}
	return all
}

// A Person is an id of somebody who is to be forgotten.
type Person struct {
	Kind string // of the id; CustomerKind is that of customers' own
	ID   string // as people write it
	Form string // in dictionary form, of customers' own
}

// Erased lists every id of the people whom erasure lists name, and, when refused is true,
// of those who have not agreed by a consent table: the ids that tables list and those by
// which identity tables know the same people, in order.
func (p *Plan) Erased(ctx context.Context, refused bool, workers int) ([]Person, error) {
	if p.consent == nil {
		return nil, nil
	}
	customers := datasets.NewDict()
	resolver, _, err := p.loadLookups(ctx, customers, workers)
	if err != nil {
		return nil, err
	}
	register, err := p.register(ctx, resolver, customers, workers)
	if err != nil {
		return nil, err
	}
	fates := []consent.Fate{consent.Erased}
	if refused {
		fates = append(fates, consent.Withheld)
	}
	var all []Person
	for _, fate := range fates {
		for kind, ids := range register.Listed(fate) {
			for _, id := range ids {
				person := Person{Kind: kind, ID: id}
				if kind == CustomerKind {
					person.ID, person.Form = p.IDType.Format(id), id
				}
				all = append(all, person)
			}
		}
	}
	slices.SortFunc(all, func(a, b Person) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
	})
	return slices.Compact(all), nil
}
