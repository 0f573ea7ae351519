// Package identity tells which customer an id stands for. Tables say that an alias is
// a customer, who may be the alias of another: the end of the chain is the customer.
//
// Aliases are of kinds. Those of kind CustomerKind are customers' ids themselves, merged
// into others; every other kind, such as e-mail or cookie, has ids of its own, compared
// as text.
package identity

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan/internal/column"
	"github.com/shoal-data/shoal/datasets/scan/internal/fault"
	"github.com/shoal-data/shoal/datasets/scan/internal/files"
	"github.com/shoal-data/shoal/datasets/scan/internal/lookup"
	"github.com/shoal-data/shoal/datasets/storage"
)

// CustomerKind is the kind of ids that are customers' own.
const CustomerKind = "customer"

// A Table is where aliases are listed, a row an alias and whose it is.
type Table struct {
	Paths      []string // globs
	Alias      string   // columns
	Customer   string
	KindColumn string // that says of what kind an alias is; "" when all are of Kind
	Kind       string
}

// Tables are tables whose files were found to hold their columns.
type Tables struct {
	Specs []Table
	Files []*lookup.Table // parallel to Specs
}

// The columns of a table, in the order they are read.
const (
	aliasColumn = iota
	customerColumn
	kindColumn // absent when the table's aliases are of one kind
)

// Open finds the files of the tables.
func Open(ctx context.Context, fsys storage.FS, specs []Table) (*Tables, error) {
	t := &Tables{Specs: specs}
	id := func(c *column.Type) string { return c.WhyUnfit(datasets.CustomerID) }
	for i, s := range specs {
		columns := []lookup.Column{{Name: s.Alias, Means: "alias", Unfit: id}, {Name: s.Customer, Means: "customer", Unfit: id}}
		if s.KindColumn != "" {
			columns = append(columns, lookup.Column{Name: s.KindColumn, Means: "kind", Unfit: func(c *column.Type) string { return c.WhyUnfit(datasets.Category) }})
		}
		f, err := lookup.Open(ctx, fsys, fmt.Sprintf("identity[%d]", i), s.Paths, columns)
		if err != nil {
			return nil, err
		}
		t.Files = append(t.Files, f)
	}
	return t, nil
}

// List is the tables' files.
func (t *Tables) List() []files.File {
	var all []files.File
	for _, f := range t.Files {
		all = append(all, f.Files...)
	}
	return all
}

// IDType is the type of customer ids, given that of the sources whose ids are
// customers' own, unknown when there is none: then the first table decides. It is an
// error when the tables hold ids that cannot be told from, or turned into, that type.
func (t *Tables) IDType(sources datasets.IDType) (datasets.IDType, error) {
	id := sources
	each := func(visit func(typ datasets.IDType, f *lookup.Table, file int, col lookup.Column) error) error {
		for i, f := range t.Files {
			for k := range f.Files {
				for c, b := range f.Bindings(k) {
					isID := c == customerColumn || c == aliasColumn && t.Specs[i].ofCustomers()
					if !isID || b.Path == nil && b.Null {
						continue
					}
					if err := visit(b.Type.IDType(), f, k, f.Columns[c]); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}
	if id.Kind == datasets.IDUnknown {
		each(func(typ datasets.IDType, _ *lookup.Table, _ int, col lookup.Column) error {
			if id.Kind == datasets.IDUnknown && col.Means == "customer" {
				id = typ
			}
			return nil
		})
	}
	err := each(func(typ datasets.IDType, f *lookup.Table, file int, col lookup.Column) error {
		if unified, ok := column.UnifyIDs(id, typ); ok {
			id = unified
			return nil
		}
		text := typ.Kind == datasets.IDString || id.Kind == datasets.IDString
		bytes := func(t datasets.IDType) bool { return t.Kind == datasets.IDFixed && !t.UUID }
		if !text || bytes(typ) || bytes(id) {
			return &fault.Error{Kind: fault.Config, Source: f.Name, File: f.Files[file].Path, RowGroup: -1, Column: col.Name, Row: -1,
				Err: fmt.Errorf("customer ids are %v here and %v in the sources, and neither can be written as the other; make the types agree, or, if the column holds ids of another kind, name it in identity[].kind", typ, id)}
		}
		if id.Kind == datasets.IDInt32 {
			id.Kind = datasets.IDInt64 // text may spell larger ones
		}
		return nil
	})
	if err == nil && id.Kind == datasets.IDUnknown {
		id.Kind = datasets.IDString // every id is null; the type is moot
	}
	return id, err
}

// ofCustomers says whether all aliases are customers' ids.
func (s *Table) ofCustomers() bool { return s.KindColumn == "" && s.Kind == CustomerKind }

// AppendID appends the dictionary form, by type, of the id that a text spells.
func AppendID(dst []byte, t datasets.IDType, text []byte) ([]byte, bool) {
	switch t.Kind {
	case datasets.IDInt32, datasets.IDInt64:
		v, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil {
			return dst, false
		}
		return datasets.AppendIntID(dst, v), true
	case datasets.IDFixed:
		if t.UUID {
			if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
				return dst, false
			}
			text = slices.DeleteFunc(slices.Clone(text), func(c byte) bool { return c == '-' })
		}
		if len(text) != 2*t.Width {
			return dst, false
		}
		out, err := hex.AppendDecode(dst, text)
		return out, err == nil
	}
	return append(dst, text...), utf8.Valid(text)
}

// spell is an id for people.
func spell(t datasets.IDType, id string) string {
	if t.Kind == datasets.IDString {
		return strconv.Quote(id)
	}
	return t.Format(id)
}

// count is "1 circle" and "2 circles".
func count(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n) + " " + more
}
