package consent

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan/internal/fault"
	"github.com/shoal-data/shoal/datasets/scan/internal/identity"
	"github.com/shoal-data/shoal/datasets/scan/internal/lexical"
	"github.com/shoal-data/shoal/datasets/scan/internal/lookup"
	"github.com/shoal-data/shoal/datasets/storage"
)

// A Fate is what becomes of a person's rows.
type Fate uint8

// The fates.
const (
	Used     Fate = iota
	Withheld      // for want of consent
	Erased
)

// A Register knows the fate of every id. It is read by all workers at once.
type Register struct {
	Rows    int64 // of the tables
	Ignored int64 // of these, without an id, or of a kind that no source has
	Erased  int64 // people whom erasure lists name
	Refused int64 // people who have not agreed, by the consent tables

	kinds    map[string]*kind
	unlisted Fate
}

// A kind is the ids of one kind.
type kind struct {
	name     string
	dict     *datasets.Dict
	fates    []Fate    // by code
	verdicts []verdict // by code, of ids that are nobody else's; while tables are read
}

// A said is what one row says of an id.
type said struct {
	kind   *kind
	code   uint32
	erased bool
	given  bool
	at     int64 // when; of rows that do not say, what makes a refusal count
}

// Load reads the tables. Ids of customers' own kind are interned in customers, with ids of
// type id; resolver, which may be nil, has those of other kinds, and knows who is who.
func (t *Tables) Load(ctx context.Context, fsys storage.FS, id datasets.IDType, resolver *identity.Resolver, customers *datasets.Dict, kinds []string, workers int) (*Register, error) {
	r := &Register{kinds: map[string]*kind{own: {name: own, dict: customers}}}
	for _, k := range kinds {
		if resolver != nil && resolver.Dict(k) != nil {
			r.kinds[k] = &kind{name: k, dict: resolver.Dict(k)}
		}
	}
	if len(t.Spec.Consents) > 0 && !t.Spec.Unlisted {
		r.unlisted = Withheld
	}
	parts := make([]part, workers)
	for i := range t.files {
		s := &t.files[i]
		for _, x := range s.texts {
			for n, line := range x.lines {
				if err := r.line(s, id, &parts[0], line); err != nil {
					return nil, &fault.Error{Kind: fault.BadData, Source: s.name, File: x.Path, RowGroup: -1, Row: int64(n), Err: err}
				}
			}
		}
		if s.parquet == nil {
			continue
		}
		err := s.parquet.Read(ctx, fsys, workers, func(w int, row *lookup.Row) error { return r.row(s, id, &parts[w], row) })
		if err != nil {
			return nil, err
		}
	}
	r.decide(parts, resolver)
	return r, nil
}

// part is what one worker reads.
type part struct {
	rows, ignored int64
	said          []said
	scratch       []byte
}

// line reads a line of a list of ids.
func (r *Register) line(s *source, id datasets.IDType, p *part, line string) error {
	if line == "" || line[0] == '#' {
		return nil
	}
	p.rows++
	k := r.kinds[s.Kind]
	if k == nil {
		p.ignored++
		return nil
	}
	code, ok := k.code(id, p, []byte(line))
	if !ok {
		return notAnID(id)
	}
	p.said = append(p.said, said{kind: k, code: code, erased: true})
	return nil
}

func (r *Register) row(s *source, id datasets.IDType, p *part, row *lookup.Row) error {
	p.rows++
	text := func(at int) []byte {
		if at < 0 {
			return nil
		}
		return row.Texts[at]
	}
	k := r.kinds[s.Kind]
	if s.KindColumn != "" {
		k = r.kinds[string(text(s.at.kind))]
	}
	if k == nil || len(row.Texts[0]) == 0 {
		p.ignored++
		return nil
	}
	code, ok := k.code(id, p, row.Texts[0])
	if !ok {
		// Not with the value: whoever is to be forgotten should not stand in a log.
		return fault.InFile(s.name, s.parquet.Files[row.File].Path, row.Group, s.Customer, fmt.Errorf("row %d: %w", row.Row, notAnID(id)))
	}
	x := said{kind: k, code: code, erased: s.erased}
	if !s.erased {
		x.given = given(text(s.at.given))
		if s.Time == "" {
			// All rows count alike, and one refusal is enough.
		} else if b := text(s.at.time); len(b) > 0 {
			if x.at, ok = instant(b); !ok {
				return s.parquet.Fault(row, s.at.time, "it says when consent was given or refused, and cannot be read as a time; correct it")
			}
		} else if x.at = math.MinInt64; !x.given {
			x.at = math.MaxInt64 // who knows when: a refusal counts, a consent does not outweigh one
		}
	}
	p.said = append(p.said, x)
	return nil
}

// instant orders times: an instant in µs, or a number as it stands.
func instant(b []byte) (int64, bool) {
	if us, _, p := lexical.Time(b); p == lexical.OK {
		return us, true
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	return n, err == nil
}

func notAnID(id datasets.IDType) error {
	return fmt.Errorf("customer ids are of type %v, and this is none, so that nobody would be found by it; correct it, or name its kind", id)
}

// code interns an id; ok is false for what is none.
func (k *kind) code(id datasets.IDType, p *part, text []byte) (code uint32, ok bool) {
	if k.name == own {
		if p.scratch, ok = identity.AppendID(p.scratch[:0], id, text); !ok {
			return 0, false
		}
		text = p.scratch
	}
	return k.dict.Code(text), true
}

// A verdict is what the tables say of a person.
type verdict struct {
	erased, heard, given bool
	at                   int64
}

// decide finds the fate of every id: that of the person whose it is. What any of a
// person's ids is listed with counts for all of them.
func (r *Register) decide(parts []part, resolver *identity.Resolver) {
	for _, k := range r.kinds {
		n := k.dict.MaxCode() + 1
		k.fates, k.verdicts = make([]Fate, n), make([]verdict, n)
	}
	of := func(k *kind, code uint32) *verdict {
		if resolver != nil {
			if end, ok := resolver.End(k.name, code); ok {
				return &r.kinds[own].verdicts[end]
			}
		}
		return &k.verdicts[code]
	}
	for i := range parts {
		r.Rows += parts[i].rows
		r.Ignored += parts[i].ignored
		for _, s := range parts[i].said {
			v := of(s.kind, s.code)
			switch {
			case s.erased:
				v.erased = true
			case !v.heard || s.at > v.at:
				v.heard, v.given, v.at = true, s.given, s.at
			case s.at == v.at:
				v.given = v.given && s.given
			}
		}
	}
	for _, k := range r.kinds {
		for _, v := range k.verdicts {
			switch {
			case v.erased:
				r.Erased++
			case v.heard && !v.given:
				r.Refused++
			}
		}
		for code := range k.fates {
			switch v := of(k, uint32(code)); {
			case v.erased:
				k.fates[code] = Erased
			case v.heard && v.given:
			case v.heard:
				k.fates[code] = Withheld
			default:
				k.fates[code] = r.unlisted
			}
		}
	}
	for _, k := range r.kinds {
		k.verdicts = nil
	}
}

// A Reader is what a worker asks in a source with ids of a kind.
type Reader struct {
	Dict     *datasets.Dict // where the ids are interned
	fates    []Fate
	unlisted Fate
}

// Start is the reader of a source with ids of a kind.
func (r *Register) Start(kind string) *Reader {
	k := r.kinds[kind]
	if k == nil {
		return nil
	}
	return &Reader{k.dict, k.fates, r.unlisted}
}

// Fate is that of an id.
func (d *Reader) Fate(code uint32) Fate {
	if int(code) < len(d.fates) {
		return d.fates[code]
	}
	return d.unlisted
}

// Unlisted is the fate of an id that no table names.
func (r *Register) Unlisted() Fate { return r.unlisted }

// Listed lists every id of a fate that tables name, and of the same people those that
// identity tables do, by kind. It must not run beside Code.
func (r *Register) Listed(fate Fate) map[string][]string {
	all := map[string][]string{}
	for name, k := range r.kinds {
		for code, f := range k.fates {
			if code == 0 || f != fate {
				continue
			}
			if id, ok := k.dict.Lookup(uint32(code)); ok {
				all[name] = append(all[name], id)
			}
		}
	}
	return all
}
