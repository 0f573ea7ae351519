package scan

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/zeebo/xxh3"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan/internal/column"
	"github.com/shoal-data/shoal/datasets/scan/internal/fault"
	"github.com/shoal-data/shoal/datasets/scan/internal/identity"
	"github.com/shoal-data/shoal/datasets/scan/internal/lookup"
)

// A ContactTable says how customers are reached: a row a customer.
type ContactTable struct {
	Paths    []string // globs
	Customer string   // column of the id
	Kind     string   // of the id; CustomerKind is that of customers' own
	Email    string   // column of the e-mail address; "" when there is none
	Phone    string   // column of the telephone number; "" when there is none
}

// A Contact is how a customer is reached, as a table has it.
type Contact struct {
	Customer     string // as published, in text: a pseudonym where ids are replaced
	Email, Phone string // "" when the table says nothing
}

// contacts is a table whose files were found to hold its columns.
type contacts struct {
	ContactTable
	*lookup.Table
	email, phone int // positions of the columns, -1 without
}

func (p *Plan) openContacts(ctx context.Context, specs []ContactTable) error {
	for i, spec := range specs {
		c := contacts{ContactTable: spec, email: -1, phone: -1}
		fits := func(f datasets.Field) func(*column.Type) string {
			return func(t *column.Type) string { return t.WhyUnfit(f) }
		}
		columns := []lookup.Column{{Name: spec.Customer, Means: "customer", Unfit: fits(datasets.CustomerID)}}
		if spec.Email != "" {
			c.email = len(columns)
			columns = append(columns, lookup.Column{Name: spec.Email, Means: "email", Unfit: fits(datasets.Category)})
		}
		if spec.Phone != "" {
			c.phone = len(columns)
			columns = append(columns, lookup.Column{Name: spec.Phone, Means: "phone", Unfit: fits(datasets.CustomerID)}) // a number may be one
		}
		var err error
		if c.Table, err = lookup.Open(ctx, p.fsys, fmt.Sprintf("contacts[%d]", i), spec.Paths, columns); err != nil {
			return err
		}
		p.contacts = append(p.contacts, c)
		p.Lookups = append(p.Lookups, c.Files...)
		p.Warnings = append(p.Warnings, c.Warnings...)
	}
	return nil
}

// Contacts reads how those customers are reached whom want names, by their published ids
// in text. Each contact comes once, in an order that depends on nothing but the rows.
func (p *Plan) Contacts(ctx context.Context, workers int, want func(id string) bool) ([]Contact, error) {
	found := make([][]Contact, workers)
	err := p.visitContacts(ctx, workers, func(w int, c Contact) {
		if want(c.Customer) {
			found[w] = append(found[w], c)
		}
	})
	if err != nil {
		return nil, err
	}
	all := slices.Concat(found...)
	slices.SortFunc(all, func(a, b Contact) int {
		return cmp.Or(cmp.Compare(a.Customer, b.Customer), cmp.Compare(a.Email, b.Email), cmp.Compare(a.Phone, b.Phone))
	})
	return slices.Compact(all), nil
}

// ContactsDigest tells contacts apart, in whatever order and files they are; 0 is none.
func (p *Plan) ContactsDigest(ctx context.Context, workers int) (uint64, error) {
	sums := make([]uint64, workers)
	err := p.visitContacts(ctx, workers, func(w int, c Contact) {
		sums[w] += xxh3.HashString(fmt.Sprintf("%q %q %q", c.Customer, c.Email, c.Phone))
	})
	var sum uint64
	for _, s := range sums {
		sum += s
	}
	return sum, err
}

func (p *Plan) visitContacts(ctx context.Context, workers int, visit func(worker int, c Contact)) error {
	if len(p.contacts) == 0 {
		return nil
	}
	customers := datasets.NewDict()
	resolver, _, err := p.loadLookups(ctx, customers, workers)
	if err != nil {
		return err
	}
	for i := range p.contacts {
		t := &p.contacts[i]
		scratch := make([][]byte, workers)
		err := t.Read(ctx, p.fsys, workers, func(w int, row *lookup.Row) error {
			id := row.Texts[0]
			text := func(at int) string {
				if at < 0 {
					return ""
				}
				return string(row.Texts[at])
			}
			c := Contact{Email: text(t.email), Phone: text(t.phone)}
			if len(id) == 0 || c.Email == "" && c.Phone == "" {
				return nil
			}
			dict := customers
			if t.Kind == CustomerKind {
				var ok bool
				if scratch[w], ok = identity.AppendID(scratch[w][:0], p.IDType, id); !ok {
					return t.Fault(row, 0, "customer ids are of type %v, and this is none; correct it, or name its kind", p.IDType)
				}
				id = scratch[w]
			} else if resolver != nil {
				dict = resolver.Dict(t.Kind)
			}
			if dict == nil {
				return nil
			}
			code := dict.Code(id)
			if resolver != nil {
				if end, ok := resolver.End(t.Kind, code); ok {
					dict, code = customers, end
				} else if t.Kind != CustomerKind {
					return nil // nobody's
				}
			}
			form, _ := dict.Lookup(code)
			if c.Customer = p.IDType.Format(form); p.key != nil {
				c.Customer = p.key.Of(c.Customer)
			}
			visit(w, c)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// checkContacts refuses a kind of id that nobody could be found by.
func (p *Plan) checkContacts() error {
	for i := range p.contacts {
		if k := p.contacts[i].Kind; k != CustomerKind && !slices.Contains(p.aliasKinds(), k) {
			return fault.InSource(Config, p.contacts[i].Name, "its ids of kind %q are those of no source; name the kind as a source's id_kind does", k)
		}
	}
	return nil
}
