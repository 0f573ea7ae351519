package identity

import (
	"fmt"
	"maps"
	"slices"

	"github.com/shoal-data/shoal/datasets"
)

// A Reader turns the ids of one source at a time into customers and counts, for one
// goroutine.
type Reader struct {
	Rekeyed int64 // rows whose id stood for another

	r     *Resolver
	space *space
	met   map[*space]bitset // ids of the tables that rows had
	seen  bitset            // of the present space
}

// NewReader returns a reader that is in no source yet.
func (r *Resolver) NewReader() *Reader { return &Reader{r: r, met: map[*space]bitset{}} }

// Start readies the reader for a source with ids of a kind.
func (d *Reader) Start(kind string) {
	d.space = d.r.spaces[kind]
	if d.seen = d.met[d.space]; d.seen == nil {
		d.seen = newBits(uint32(len(d.space.end)))
		d.met[d.space] = d.seen
	}
}

// Aliases is where ids are interned that are not customers' own; nil in a source whose
// ids are.
func (d *Reader) Aliases() *datasets.Dict {
	if d.space.kind == CustomerKind {
		return nil
	}
	return d.space.dict
}

// Dict is where the ids of the present source are interned.
func (d *Reader) Dict() *datasets.Dict { return d.space.dict }

// Customer is the code of the customer behind an id of the present source, 0 when there
// is none: an alias that is not listed.
func (d *Reader) Customer(code uint32) uint32 {
	switch {
	case d.Known(code):
		return d.space.end[code]
	case d.space.kind == CustomerKind:
		return code
	}
	return 0
}

// Known says whether the tables have the id.
func (d *Reader) Known(code uint32) bool {
	return int(code) < len(d.space.end) && d.space.end[code] != 0
}

// Resolve puts customers in the place of the ids of accepted rows. An id that the tables
// do not have, which only customers' own may be, stays what it is.
func (d *Reader) Resolve(codes []uint32) {
	end, own := d.space.end, d.space.kind == CustomerKind
	for i, c := range codes {
		if int(c) >= len(end) || end[c] == 0 {
			continue
		}
		d.seen.set(c)
		if codes[i] = end[c]; !own || end[c] != c {
			d.Rekeyed++
		}
	}
}

// Customer is the id, in dictionary form, of the customer whom the tables list an
// id of a kind under; ok is false when they do not list it. It must not run beside readers.
func (r *Resolver) Customer(kind, id string) (customer string, ok bool) {
	s := r.spaces[kind]
	code := s.dict.CodeString(id)
	if int(code) >= len(s.end) || s.end[code] == 0 {
		return "", false
	}
	return r.spaces[CustomerKind].dict.Value(s.end[code]), true
}

// Select says which ids of a kind, by their form in the dictionary, are those of customers
// whom match selects.
func (r *Resolver) Select(kind string, match func(id []byte) bool) func(id []byte) bool {
	s, customers := r.spaces[kind], r.spaces[CustomerKind].dict
	listed := map[string]bool{} // ids that the tables list and match selects, or would without them
	for code, end := range s.end {
		if end == 0 {
			continue
		}
		id := s.dict.Value(uint32(code))
		selected := match([]byte(customers.Value(end)))
		if selected || kind == CustomerKind && match([]byte(id)) {
			listed[id] = selected
		}
	}
	return func(id []byte) bool {
		selected, known := listed[string(id)]
		return selected || !known && kind == CustomerKind && match(id)
	}
}

// A Report is what the tables did to the rows.
type Report struct {
	Rows        int64 // of the tables
	Ignored     int64 // of these, without alias, customer or kind
	Aliases     int64 // distinct, of kinds that sources use
	AliasesMet  int64 // of these, the ids of rows
	Merged      int64 // customers whose rows had several ids
	RowsRekeyed int64 // rows whose id stood for another
}

// Report sums up what the readers, of which some may be nil, met.
func (r *Resolver) Report(readers []*Reader) *Report {
	rep := &Report{Rows: r.Rows, Ignored: r.Ignored, Aliases: r.Aliases}
	ids := map[uint32]int{} // customer → ids that its rows had
	for _, s := range slices.SortedFunc(maps.Values(r.spaces), func(a, b *space) int { return int(a.base) - int(b.base) }) {
		all := newBits(uint32(len(s.end)))
		for _, d := range readers {
			if d == nil {
				continue
			}
			for k, word := range d.met[s] {
				all[k] |= word
			}
		}
		all.each(func(code uint32) {
			ids[s.end[code]]++
			if s.kind != CustomerKind || s.end[code] != code {
				rep.AliasesMet++
			}
		})
	}
	for _, n := range ids {
		if n > 1 {
			rep.Merged++
		}
	}
	for _, d := range readers {
		if d != nil {
			rep.RowsRekeyed += d.Rekeyed
		}
	}
	return rep
}

// A Doubt is something about the tables that may not be meant.
type Doubt struct{ Code, Message string }

// Doubts are what the report gives reason to ask.
func (r *Report) Doubts() []Doubt {
	var all []Doubt
	if r.Ignored > 0 {
		all = append(all, Doubt{"ignored", fmt.Sprintf("%d of %d rows of the identity tables lack an alias, a customer or a kind and say nothing", r.Ignored, r.Rows)})
	}
	if r.AliasesMet == 0 {
		all = append(all, Doubt{"unused", fmt.Sprintf("none of the %d aliases that the identity tables list is the id of an event: make sure that they are ids of the sources, spelt as there", r.Aliases)})
	}
	return all
}

// Dict is where ids of a kind are interned, nil for a kind that no source has.
func (r *Resolver) Dict(kind string) *datasets.Dict {
	if s := r.spaces[kind]; s != nil {
		return s.dict
	}
	return nil
}

// End is the code of the customer that a code of a kind stands for; ok is false when the
// tables do not list it.
func (r *Resolver) End(kind string, code uint32) (customer uint32, ok bool) {
	s := r.spaces[kind]
	if int(code) >= len(s.end) || s.end[code] == 0 {
		return 0, false
	}
	return s.end[code], true
}
