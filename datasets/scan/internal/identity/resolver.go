package identity

import (
	"cmp"
	"context"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan/internal/fault"
	"github.com/shoal-data/shoal/datasets/scan/internal/lookup"
	"github.com/shoal-data/shoal/datasets/storage"
)

// A Resolver knows the customer behind every id of the tables. It is read by all
// workers at once.
type Resolver struct {
	Rows    int64 // of the tables
	Ignored int64 // that name no alias, no customer or no kind
	Aliases int64 // distinct, of kinds in use

	spaces map[string]*space
}

// A space is the ids of one kind.
type space struct {
	kind string
	dict *datasets.Dict
	base uint32   // node of code 0
	end  []uint32 // code → code of the customer; 0 is not in the tables
}

// A step says that an id is an alias of a customer.
type step struct {
	space    uint32 // by position
	from, to uint32 // codes; to in the customers' space
}

// Load reads the tables. Customers' ids are interned in customers, with ids of type id;
// rows of kinds that are not among kinds are passed over.
func (t *Tables) Load(ctx context.Context, fsys storage.FS, id datasets.IDType, kinds []string, customers *datasets.Dict, workers int) (*Resolver, error) {
	g := graph{tables: t, id: id, resolver: &Resolver{spaces: map[string]*space{}}}
	g.add(CustomerKind, customers)
	for _, k := range slices.Sorted(slices.Values(kinds)) {
		if g.resolver.spaces[k] == nil {
			g.add(k, datasets.NewDict())
		}
	}
	parts := make([]part, workers)
	for i, f := range t.Files {
		err := f.Read(ctx, fsys, workers, func(w int, r *lookup.Row) error {
			s, ok, err := g.read(i, r, &parts[w])
			if err == nil && ok {
				parts[w].steps = append(parts[w].steps, s)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	for i := range parts {
		g.steps = append(g.steps, parts[i].steps...)
		g.resolver.Rows += parts[i].rows
		g.resolver.Ignored += parts[i].ignored
	}
	return g.resolver, g.resolve(ctx, fsys)
}

// part is what one worker reads.
type part struct {
	rows, ignored int64
	steps         []step
	scratch       []byte
}

// A graph is the aliases of all tables: an edge from each alias to its customer.
type graph struct {
	tables   *Tables
	id       datasets.IDType
	resolver *Resolver
	spaces   []*space // customers first
	steps    []step
}

func (g *graph) add(kind string, d *datasets.Dict) {
	s := &space{kind: kind, dict: d}
	g.spaces = append(g.spaces, s)
	g.resolver.spaces[kind] = s
}

// read is the step that a row of table i says; ok is false when it says none.
func (g *graph) read(i int, r *lookup.Row, p *part) (s step, ok bool, err error) {
	p.rows++
	table, spec := g.tables.Files[i], &g.tables.Specs[i]
	alias, customer := r.Texts[aliasColumn], r.Texts[customerColumn]
	if len(alias) == 0 || len(customer) == 0 || spec.KindColumn != "" && len(r.Texts[kindColumn]) == 0 {
		p.ignored++
		return s, false, nil
	}
	at := slices.IndexFunc(g.spaces, func(s *space) bool {
		if spec.KindColumn != "" {
			return s.kind == string(r.Texts[kindColumn])
		}
		return s.kind == spec.Kind
	})
	if at < 0 {
		return s, false, nil
	}
	customerID := func(col int) (uint32, error) {
		p.scratch, ok = AppendID(p.scratch[:0], g.id, r.Texts[col])
		if !ok {
			return 0, table.Fault(r, col, "customer ids are of type %v, and this is none; correct it", g.id)
		}
		return g.spaces[0].dict.Code(p.scratch), nil
	}
	s.space = uint32(at)
	if s.to, err = customerID(customerColumn); err != nil {
		return s, false, err
	}
	if at == 0 {
		s.from, err = customerID(aliasColumn)
	} else {
		s.from = g.spaces[at].dict.Code(alias)
	}
	return s, err == nil, err
}

// resolve finds the customer of every alias: the one id that its chains end in. It
// goes from the ends backwards, so that the order of rows and of codes is no matter.
func (g *graph) resolve(ctx context.Context, fsys storage.FS) error {
	nodes := uint32(0)
	for _, s := range g.spaces {
		s.base = nodes
		nodes += s.dict.MaxCode() + 1
	}
	// into[start[n]:start[n+1]] are the nodes with an edge to customer n; leaves
	// says which nodes have an edge from them.
	customers := g.spaces[0].dict.MaxCode() + 1
	start, leaves := make([]uint32, customers+1), newBits(nodes)
	end := make([]uint32, nodes) // node → customer at the end; 0 is not known
	for _, s := range g.steps {
		if s.space == 0 && s.from == s.to { // a customer who is listed as such
			end[s.to] = s.to
			continue
		}
		start[s.to+1]++
		if from := g.spaces[s.space].base + s.from; !leaves.has(from) {
			leaves.set(from)
			g.resolver.Aliases++
		}
	}
	for n := range customers {
		start[n+1] += start[n]
	}
	into, next := make([]uint32, start[customers]), slices.Clone(start)
	for _, s := range g.steps {
		if s.space == 0 && s.from == s.to {
			continue
		}
		into[next[s.to]] = g.spaces[s.space].base + s.from
		next[s.to]++
	}
	var queue []uint32
	for n := range customers {
		switch {
		case leaves.has(n):
			end[n] = 0
		case start[n] < start[n+1]:
			end[n] = n
			queue = append(queue, n)
		}
	}
	var torn []uint32 // aliases with two ends
	for len(queue) > 0 {
		n := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, from := range into[start[n]:start[n+1]] {
			switch {
			case end[from] == 0:
				end[from] = end[n]
				if from < customers {
					queue = append(queue, from)
				}
			case end[from] != end[n]:
				torn = append(torn, from)
			}
		}
	}
	var endless []uint32
	for _, s := range g.steps {
		if from := g.spaces[s.space].base + s.from; end[from] == 0 {
			endless = append(endless, from)
		}
	}
	if len(torn) > 0 || len(endless) > 0 {
		for i := 0; i < len(torn); i++ { // whoever leads to a torn alias is torn
			if n := torn[i]; n < customers && end[n] != 0 {
				torn = append(torn, into[start[n]:start[n+1]]...)
				end[n] = 0
			}
		}
		return g.explain(ctx, fsys, torn, endless)
	}
	for _, s := range g.spaces {
		s.end = end[s.base : s.base+s.dict.MaxCode()+1]
	}
	return nil
}

// shownFaults is how many circles or conflicts an error spells out.
const shownFaults = 3

// explain is the error of aliases without a customer, or with several. It is the same
// for any order of rows, but for the places it names.
func (g *graph) explain(ctx context.Context, fsys storage.FS, torn, endless []uint32) error {
	about := map[uint32][]uint32{} // node → customers, as listed
	for _, n := range append(endless, torn...) {
		about[n] = nil
	}
	for _, s := range g.steps {
		from := g.spaces[s.space].base + s.from
		if list, ok := about[from]; ok && !slices.Contains(list, s.to) && !(s.space == 0 && s.from == s.to) {
			about[from] = append(list, s.to)
		}
	}
	for _, list := range about {
		slices.SortFunc(list, g.compare)
	}
	sorted := func(nodes []uint32) []uint32 {
		slices.SortFunc(nodes, g.compare)
		return slices.Compact(nodes)
	}
	if circles := g.circles(sorted(endless), about); len(circles) > 0 {
		var list []string
		for _, c := range circles[:min(len(circles), shownFaults)] {
			var names []string
			for _, n := range append(c, c[0]) {
				names = append(names, g.name(n))
			}
			if len(names) > 9 {
				names = slices.Concat(names[:4], []string{"…"}, names[len(names)-4:])
			}
			list = append(list, strings.Join(names, " → "))
		}
		return g.locate(ctx, fsys, circles[0][0], about[circles[0][0]][0], fmt.Errorf(
			"%s: each of these ids is an alias of the next, so none of them is the customer: %s; delete a row of each circle", count(len(circles), "circle", "circles"), strings.Join(list, "; ")))
	}
	var conflicts []uint32
	for _, n := range sorted(torn) {
		if len(about[n]) > 1 {
			conflicts = append(conflicts, n)
		}
	}
	var list []string
	for _, n := range conflicts[:min(len(conflicts), shownFaults)] {
		var names []string
		for _, to := range about[n][:min(len(about[n]), 4)] {
			names = append(names, g.name(to))
		}
		list = append(list, g.name(n)+" of "+strings.Join(names, " and "))
	}
	return g.locate(ctx, fsys, conflicts[0], about[conflicts[0]][1], fmt.Errorf(
		"%s of several customers: %s; keep one customer for each", count(len(conflicts), "alias", "aliases"), strings.Join(list, "; ")))
}

// circles are the circles among nodes, in the order of their ids, each beginning with
// its least, found by always taking the least customer that a node is an alias of.
func (g *graph) circles(nodes []uint32, about map[uint32][]uint32) [][]uint32 {
	var found [][]uint32
	seen := map[uint32]uint32{} // node → the node whose walk came by
	for _, first := range nodes {
		var walk []uint32
		n := first
		for ; ; n = about[n][0] {
			if _, before := seen[n]; before {
				break
			}
			seen[n] = first
			walk = append(walk, n)
		}
		if seen[n] != first {
			continue
		}
		circle := walk[slices.Index(walk, n):]
		least := 0
		for i := range circle {
			if g.compare(circle[i], circle[least]) < 0 {
				least = i
			}
		}
		found = append(found, slices.Concat(circle[least:], circle[:least]))
	}
	slices.SortFunc(found, func(a, b []uint32) int { return g.compare(a[0], b[0]) })
	return found
}

// at is the space and code of a node.
func (g *graph) at(n uint32) (*space, uint32) {
	i := len(g.spaces) - 1
	for g.spaces[i].base > n {
		i--
	}
	return g.spaces[i], n - g.spaces[i].base
}

func (g *graph) compare(a, b uint32) int {
	sa, ca := g.at(a)
	sb, cb := g.at(b)
	return cmp.Or(cmp.Compare(sa.base, sb.base), strings.Compare(sa.dict.Value(ca), sb.dict.Value(cb)))
}

// name is a node for people.
func (g *graph) name(n uint32) string {
	s, code := g.at(n)
	if s.base == 0 {
		return spell(g.id, s.dict.Value(code))
	}
	return fmt.Sprintf("%s %q", s.kind, s.dict.Value(code))
}

// locate gives an error the place of the first row that says that a node is an alias
// of a customer.
func (g *graph) locate(ctx context.Context, fsys storage.FS, from, to uint32, why error) error {
	e := &fault.Error{Kind: fault.BadData, Source: "identity", RowGroup: -1, Row: -1, Err: why}
	for i, f := range g.tables.Files {
		var p part
		err := f.Read(ctx, fsys, 1, func(_ int, r *lookup.Row) error {
			s, ok, err := g.read(i, r, &p)
			if err == nil && ok && e.File == "" && s.to == to && g.spaces[s.space].base+s.from == from {
				e.File, e.RowGroup, e.Row, e.Column = f.Files[r.File].Path, r.Group, r.Row, f.Columns[aliasColumn].Name
			}
			return err
		})
		if err != nil {
			return err
		}
		if e.File != "" {
			break
		}
	}
	return e
}

// bitset is a set of numbers.
type bitset []uint64

func newBits(n uint32) bitset      { return make(bitset, n/64+1) }
func (b bitset) set(i uint32)      { b[i/64] |= 1 << (i % 64) }
func (b bitset) has(i uint32) bool { return b[i/64]&(1<<(i%64)) != 0 }
func (b bitset) each(f func(uint32)) { // in ascending order
	for k, word := range b {
		for ; word != 0; word &= word - 1 {
			f(uint32(k*64 + bits.TrailingZeros64(word)))
		}
	}
}
