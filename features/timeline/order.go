package timeline

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/internal/localtime"
	"github.com/shoal-data/shoal/features/timeline/internal/hashset"
)

// An orderer puts one bucket after another into canonical order, reusing its
// memory, and packs the timelines away.
type orderer struct {
	s         *Store
	clock     *localtime.Clock
	raw       columns  // the bucket as it arrived, all workers' blocks joined
	customers []uint32 // places in the dictionary's shard, in the order of the ids
	rank      []uint32 // place in the shard → place in customers
	start     []uint32 // place in customers → first row in order
	order     []uint32 // rows by customer
	merged    []uint32
	runs      []int
	seen      hashset.Set
	sessions  hashset.Numbering

	out        chunk
	undigested bool // the census needs no digest
	packed     []byte
	read       []byte // of a block in the temporary file
	counter
}

func newOrderer(s *Store) *orderer {
	return &orderer{s: s, clock: localtime.NewClock(s.opts.Zone), counter: counter{firsts: map[int32]int64{}}}
}

// run orders a bucket and hands it on in chunks.
func (o *orderer) run(bucket int, emit func(bucket int) error) error {
	if o.s.size[bucket] == 0 {
		return nil
	}
	if err := o.load(bucket); err != nil {
		return err
	}
	o.groupByCustomer(bucket)
	o.out.reset()
	dict := o.s.log.dicts.Customer
	for place, local := range o.customers {
		rows := o.order[o.start[place]:o.start[place+1]]
		if len(rows) == 0 {
			continue // known only from refused rows
		}
		rows = o.sortRows(rows)
		kept := o.dedupe(rows)
		first := len(o.out.time)
		o.take(kept)
		o.out.customer = append(o.out.customer, local)
		o.out.events = append(o.out.events, uint32(len(kept)))
		var digest uint64
		if !o.undigested {
			digest = o.digest(dict.Hash(datasets.ShardCode(bucket, int(local))), kept)
		}
		o.count(o.out.time[first:], o.out.role[first:], o.clock.Day(o.out.time[first]), len(rows)-len(kept), digest)
		if len(o.out.time) >= chunkRows {
			if err := emit(bucket); err != nil {
				return err
			}
			o.out.reset()
		}
	}
	if len(o.out.customer) == 0 {
		return nil
	}
	return emit(bucket)
}

// load joins the blocks that the appenders hold of a bucket.
func (o *orderer) load(bucket int) error {
	l := o.s.log
	o.raw.reset(o.s.brings)
	o.raw.grow(o.s.size[bucket])
	for _, w := range l.workers {
		b := &w.buckets[bucket]
		for i := range b.sealed {
			data, err := l.spool.Get(b.sealed[i].Block, &o.read)
			if err == nil {
				err = o.raw.unpack(data, int(b.sealed[i].rows), b.sealed[i].brings)
			}
			if err != nil {
				return fmt.Errorf("timeline: %w", err)
			}
			if o.s.opts.Final {
				l.spool.Drop(b.sealed[i].Block)
			}
		}
		o.raw.join(&b.open)
		if o.s.opts.Final {
			*b = bucketLog{}
		}
	}
	return nil
}

// grow makes room for n events.
func (c *columns) grow(n int) {
	c.customer, c.time, c.role = slices.Grow(c.customer, n), slices.Grow(c.time, n), slices.Grow(c.role, n)
	for i := range c.money {
		if c.brings.money(i) {
			c.money[i] = slices.Grow(c.money[i], n)
		}
	}
	for i := range c.codes {
		if c.brings.code(i) {
			c.codes[i] = slices.Grow(c.codes[i], n)
		}
	}
	for i := range c.hashes {
		if c.brings.hashed(i) {
			c.hashes[i] = slices.Grow(c.hashes[i], n)
		}
	}
}

// groupByCustomer counts rows into order by the customers' ids.
func (o *orderer) groupByCustomer(bucket int) {
	dict := o.s.log.dicts.Customer
	n := dict.ShardLen(bucket)
	o.customers = slices.Grow(o.customers[:0], n)[:n]
	for i := range o.customers {
		o.customers[i] = uint32(i)
	}
	slices.SortFunc(o.customers, func(a, b uint32) int {
		return strings.Compare(dict.Value(datasets.ShardCode(bucket, int(a))), dict.Value(datasets.ShardCode(bucket, int(b))))
	})
	o.rank = slices.Grow(o.rank[:0], n)[:n]
	for place, local := range o.customers {
		o.rank[local] = uint32(place)
	}
	o.start = slices.Grow(o.start[:0], n+2)[:n+2]
	clear(o.start)
	for _, c := range o.raw.customer {
		o.start[o.rank[c]+2]++
	}
	for i := range n {
		o.start[i+2] += o.start[i+1]
	}
	// start[place+1] is now where the next row of that place goes, and ends up
	// being where the place ends: one array serves both.
	o.order = slices.Grow(o.order[:0], len(o.raw.customer))[:len(o.raw.customer)]
	for row, c := range o.raw.customer {
		at := &o.start[o.rank[c]+1]
		o.order[*at] = uint32(row)
		*at++
	}
}

// sortRows puts one customer's rows into canonical order. History usually
// arrives in time order, a run a worker, so runs are looked for and merged.
func (o *orderer) sortRows(rows []uint32) []uint32 {
	o.runs = append(o.runs[:0], 0)
	for i := 1; i < len(rows); i++ {
		if o.compare(rows[i-1], rows[i]) > 0 {
			o.runs = append(o.runs, i)
		}
	}
	if len(o.runs) == 1 {
		return rows
	}
	if len(o.runs) > 16 && len(o.runs) > len(rows)/4 {
		slices.SortFunc(rows, o.compare)
		return rows
	}
	from, to := rows, slices.Grow(o.merged[:0], len(rows))[:len(rows)]
	o.merged = to
	for len(o.runs) > 1 {
		n := 0
		for k := 0; k < len(o.runs); k += 2 {
			lo := o.runs[k]
			mid, hi := len(rows), len(rows)
			if k+1 < len(o.runs) {
				mid = o.runs[k+1]
			}
			if k+2 < len(o.runs) {
				hi = o.runs[k+2]
			}
			o.merge(to[lo:hi], from[lo:mid], from[mid:hi])
			o.runs[n] = lo
			n++
		}
		o.runs = o.runs[:n]
		from, to = to, from
	}
	return from
}

func (o *orderer) merge(dst, a, b []uint32) {
	for i := range dst {
		if len(b) == 0 || len(a) > 0 && o.compare(a[0], b[0]) <= 0 {
			dst[i], a = a[0], a[1:]
		} else {
			dst[i], b = b[0], b[1:]
		}
	}
}

// compare is the canonical order of two rows of one customer: time, then every other field.
func (o *orderer) compare(a, b uint32) int {
	t := o.raw.time
	if t[a] != t[b] {
		if t[a] < t[b] {
			return -1
		}
		return 1
	}
	return o.compareFields(a, b)
}

// compareFields orders two rows of one customer and one time by every other
// field: role, type, amount, quantity, rating, currency, product, category,
// channel, campaign, session and event id (these two by their hashes); null first.
func (o *orderer) compareFields(a, b uint32) int {
	r := &o.raw
	if c := cmp.Compare(r.role[a], r.role[b]); c != 0 {
		return c
	}
	if c := o.compareCodes(eventType, a, b); c != 0 {
		return c
	}
	for _, m := range r.money {
		if len(m) > 0 {
			if c := cmp.Compare(m[a], m[b]); c != 0 {
				return c
			}
		}
	}
	for i := currency; i < numCodes; i++ {
		if c := o.compareCodes(i, a, b); c != 0 {
			return c
		}
	}
	for _, h := range r.hashes {
		if len(h) > 0 {
			if c := cmp.Compare(h[a], h[b]); c != 0 {
				return c
			}
		}
	}
	return 0
}

func (o *orderer) compareCodes(i int, a, b uint32) int {
	codes := o.raw.codes[i]
	if len(codes) == 0 || codes[a] == codes[b] {
		return 0
	}
	ranks := o.s.ranks[i]
	return cmp.Compare(ranks[codes[a]], ranks[codes[b]])
}

// dedupe drops repeated events from canonically ordered rows, in place.
func (o *orderer) dedupe(rows []uint32) []uint32 {
	switch o.s.opts.Dedupe {
	case DedupeExact:
		kept := rows[:1]
		for _, r := range rows[1:] {
			if o.compare(kept[len(kept)-1], r) != 0 {
				kept = append(kept, r)
			}
		}
		return kept
	case DedupeEventID:
		ids := o.raw.hashes[eventID]
		if len(ids) == 0 {
			return rows
		}
		o.seen.Reset(len(rows))
		kept := rows[:0]
		for _, r := range rows {
			if id := ids[r]; id == 0 || o.seen.Add(id) {
				kept = append(kept, r)
			}
		}
		return kept
	}
	return rows
}

// take appends the rows to the chunk: codes become ranks, session ids numbers.
func (o *orderer) take(rows []uint32) {
	e, r := &o.out, &o.raw
	e.time = gather(e.time, r.time, rows)
	e.role = gather(e.role, r.role, rows)
	for i, m := range r.money {
		if len(m) > 0 {
			e.money[i] = gather(e.money[i], m, rows)
		}
	}
	for i, codes := range r.codes {
		if len(codes) == 0 || i == currency {
			continue
		}
		at := len(e.ranks[i])
		e.ranks[i] = gather(e.ranks[i], codes, rows)
		ranks := o.s.ranks[i]
		for j, code := range e.ranks[i][at:] {
			e.ranks[i][at+j] = ranks[code]
		}
	}
	if h := r.hashes[session]; len(h) > 0 {
		o.sessions.Reset(len(rows))
		last, number := uint64(0), uint32(0)
		for _, row := range rows {
			if h[row] != last {
				if last = h[row]; last == 0 {
					number = 0
				} else {
					number = o.sessions.Of(last)
				}
			}
			e.session = append(e.session, number)
		}
	}
}

// digest hashes a customer's rows, independently of dictionary codes. Pairs of
// values are folded by a wide multiplication, as wyhash does (Wang Yi, 2019).
func (o *orderer) digest(customer uint64, rows []uint32) uint64 {
	r := &o.raw
	dicts := dictsOf(o.s.log.dicts)
	h := customer
	for _, row := range rows {
		h = fold(h^uint64(r.time[row]), uint64(r.role[row])+1)
		for i, m := range r.money {
			if len(m) > 0 && m[row] != datasets.NullMoney {
				h = fold(h^uint64(m[row]), uint64(i)+101)
			}
		}
		for i, codes := range r.codes {
			if len(codes) > 0 && codes[row] != 0 {
				h = fold(h^dicts[i].Hash(codes[row]), uint64(i)+201)
			}
		}
		for i, hashes := range r.hashes {
			if len(hashes) > 0 && hashes[row] != 0 {
				h = fold(h^hashes[row], uint64(i)+301)
			}
		}
	}
	return fold(h, uint64(len(rows)))
}

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0x9e3779b97f4a7c15, b*0xd6e8feb86659fd93^0xa0761d6478bd642f)
	return hi ^ lo
}

// keep packs the chunk away.
func (o *orderer) keep(bucket int) error {
	o.packed = o.out.pack(o.packed[:0], o.s.brings)
	block, err := o.s.spool.Put(o.packed)
	if err != nil {
		return fmt.Errorf("timeline: %w", err)
	}
	o.s.chunks[bucket] = append(o.s.chunks[bucket], sealedChunk{block, uint32(len(o.out.customer)), uint32(len(o.out.time))})
	return nil
}
