package timeline

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/zeebo/xxh3"

	"github.com/shoal-data/shoal/datasets"
)

// A Store is a frozen log: timelines by bucket, in canonical order.
type Store struct {
	dicts   *datasets.Dicts
	opts    Options
	workers []*appender
	ranks   [numCodes][]uint32 // code → rank; nil for session
	values  [numCodes][]string // rank → value
	size    [NumBuckets]int    // events, duplicates included
	brings  presence           // of any block
}

// IDType is the type of the customers' ids.
func (s *Store) IDType() datasets.IDType { return s.opts.IDType }

// Values lists a dictionary column's values by rank: Events hold ranks.
// Rank 0 is null. Sessions have no ranks.
func (s *Store) Values(f datasets.Field) []string {
	switch f {
	case datasets.EventType:
		return s.values[eventType]
	case datasets.Currency:
		return s.values[currency]
	case datasets.ProductID:
		return s.values[product]
	case datasets.Category:
		return s.values[category]
	case datasets.Channel:
		return s.values[channel]
	case datasets.CampaignID:
		return s.values[campaign]
	}
	return nil
}

// Replay visits every timeline, each bucket in one goroutine with its
// customers in the order of their ids. visit must not keep the timeline.
// done, which may be nil, hears of each finished bucket.
func (s *Store) Replay(ctx context.Context, workers int, visit func(worker, bucket int, t *Timeline) error, done func(bucket int)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			l := newLoader(s)
			for ctx.Err() == nil {
				k := int(next.Add(1)) - 1
				if k >= NumBuckets {
					return
				}
				err := l.each(k, func(t *Timeline) error { return visit(w, k, t) })
				if err != nil {
					cancel(err)
					return
				}
				if done != nil {
					done(k)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// Census is what a whole pass over the timelines says of them.
type Census struct {
	Customers  int64
	Events     int64 // after removing duplicates
	Duplicates int64
	Roles      [datasets.NumRoles]int64 // events by role
	First      int64                    // µs: the earliest event
	Last       int64                    // µs: the latest event
	Busiest    int64                    // events of the customer with the most

	// Start is the local day on which history begins for planning: that of the
	// earliest event, unless a thousandth of the customers (one at least, of
	// twenty or more) began over a year before everybody else. Dates like
	// 1970-01-01 are faults of the data, and would stretch history by decades.
	Start int32
	Early int64 // customers who began before Start

	// Digest identifies the events themselves: it does not depend on their
	// order, on the files they came from, or on removed duplicates.
	Digest uint64
}

// Census counts customers, events and duplicates and digests the content.
func (s *Store) Census(ctx context.Context, workers int) (Census, error) {
	parts := make([]Census, workers)
	firsts := make([]map[int32]int64, workers) // customers by the day of their first event
	for w := range firsts {
		firsts[w] = map[int32]int64{}
	}
	buffers := make([][]byte, workers)
	err := s.Replay(ctx, workers, func(w, _ int, t *Timeline) error {
		c := &parts[w]
		times := t.events.Time
		first, last := times[0], times[len(times)-1]
		if c.Customers == 0 {
			c.First, c.Last = first, last
		}
		c.Customers++
		c.Busiest = max(c.Busiest, int64(len(times)))
		firsts[w][t.events.Day[0]]++
		c.Events += int64(len(times))
		c.Duplicates += int64(t.duplicates)
		c.First = min(c.First, first)
		c.Last = max(c.Last, last)
		for _, r := range t.events.Role {
			c.Roles[r]++
		}
		var h uint64
		h, buffers[w] = t.digest(s, buffers[w])
		c.Digest += h
		return nil
	}, nil)
	var total Census
	for _, c := range parts {
		if c.Customers == 0 {
			continue
		}
		if total.Customers == 0 {
			total.First, total.Last = c.First, c.Last
		}
		total.Customers += c.Customers
		total.Events += c.Events
		total.Duplicates += c.Duplicates
		total.Busiest = max(total.Busiest, c.Busiest)
		total.First = min(total.First, c.First)
		total.Last = max(total.Last, c.Last)
		for r, n := range c.Roles {
			total.Roles[r] += n
		}
		total.Digest += c.Digest
	}
	total.Start, total.Early = start(firsts, total.Customers)
	return total, err
}

// start finds Census.Start and Census.Early.
func start(firsts []map[int32]int64, customers int64) (day int32, early int64) {
	counts := map[int32]int64{}
	for _, m := range firsts {
		for d, n := range m {
			counts[d] += n
		}
	}
	days := slices.Sorted(maps.Keys(counts))
	if len(days) == 0 {
		return 0, 0
	}
	skip := customers / 1000
	if customers >= 20 {
		skip = max(skip, 1)
	}
	seen := int64(0)
	for i, d := range days {
		if seen > skip {
			break
		}
		if i > 0 && d-days[i-1] > 366 {
			day, early = d, seen
		}
		seen += counts[d]
	}
	if early == 0 {
		return days[0], 0
	}
	return day, early
}

// A loader orders one bucket at a time, reusing its memory.
type loader struct {
	s         *Store
	clock     *zoneClock
	raw       columns  // the bucket as appended, workers joined
	customers []uint32 // local customer indices in the order of their ids
	rank      []uint32 // local customer index → place in customers
	start     []uint32 // place → first row in order
	order     []uint32 // rows by customer
	seen      map[uint64]struct{}
	sorted    Events
	positions roleIndex
	timeline  Timeline
}

func newLoader(s *Store) *loader {
	return &loader{s: s, clock: newZoneClock(s.opts.Zone), seen: map[uint64]struct{}{}}
}

func (l *loader) each(bucket int, visit func(*Timeline) error) error {
	if l.s.size[bucket] == 0 {
		return nil
	}
	l.join(bucket)
	l.groupByCustomer(bucket)
	dict := l.s.dicts.Customer
	for place, local := range l.customers {
		rows := l.order[l.start[place]:l.start[place+1]]
		if len(rows) == 0 {
			continue // known only from refused rows
		}
		l.sortRows(rows)
		kept := l.dedupe(rows)
		l.fill(kept)
		l.positions.build(l.sorted.Role)
		code := datasets.ShardCode(bucket, int(local))
		l.timeline = Timeline{
			ID: dict.Value(code), Hash: dict.Hash(code),
			events: l.sorted, roles: &l.positions, duplicates: len(rows) - len(kept),
			rows: kept, raw: &l.raw,
		}
		if err := visit(&l.timeline); err != nil {
			return err
		}
	}
	return nil
}

// join concatenates the blocks that the appenders hold of a bucket. A column
// that any source brings is there for all, null where its block has none.
func (l *loader) join(bucket int) {
	n := l.s.size[bucket]
	c := &l.raw
	c.customer = slices.Grow(c.customer[:0], n)
	c.time = slices.Grow(c.time[:0], n)
	c.role = slices.Grow(c.role[:0], n)
	for _, w := range l.s.workers {
		for i := range w.buckets[bucket].blocks {
			b := &w.buckets[bucket].blocks[i]
			c.customer = append(c.customer, b.customer...)
			c.time = append(c.time, b.time...)
			c.role = append(c.role, b.role...)
		}
	}
	for i := range c.money {
		if l.s.brings&(1<<i) != 0 {
			c.money[i] = slices.Grow(c.money[i][:0], n)
			for _, w := range l.s.workers {
				for _, b := range w.buckets[bucket].blocks {
					c.money[i] = appendColumn(c.money[i], b.money[i], len(b.time), datasets.NullMoney)
				}
			}
		}
	}
	for i := range c.codes {
		if l.s.brings&(1<<(numMoney+i)) != 0 {
			c.codes[i] = slices.Grow(c.codes[i][:0], n)
			for _, w := range l.s.workers {
				for _, b := range w.buckets[bucket].blocks {
					c.codes[i] = appendColumn(c.codes[i], b.codes[i], len(b.time), 0)
				}
			}
		}
	}
	if l.s.brings&bringsIDs != 0 {
		c.ids = slices.Grow(c.ids[:0], n)
		for _, w := range l.s.workers {
			for _, b := range w.buckets[bucket].blocks {
				c.ids = appendColumn(c.ids, b.ids, len(b.time), 0)
			}
		}
	}
}

func appendColumn[T any](dst, src []T, n int, null T) []T {
	if src != nil {
		return append(dst, src...)
	}
	for range n {
		dst = append(dst, null)
	}
	return dst
}

// groupByCustomer counts rows into order by the customers' ids.
func (l *loader) groupByCustomer(bucket int) {
	dict := l.s.dicts.Customer
	n := dict.ShardLen(bucket)
	l.customers = slices.Grow(l.customers[:0], n)[:n]
	for i := range l.customers {
		l.customers[i] = uint32(i)
	}
	slices.SortFunc(l.customers, func(a, b uint32) int {
		return strings.Compare(dict.Value(datasets.ShardCode(bucket, int(a))), dict.Value(datasets.ShardCode(bucket, int(b))))
	})
	l.rank = slices.Grow(l.rank[:0], n)[:n]
	for place, local := range l.customers {
		l.rank[local] = uint32(place)
	}
	l.start = slices.Grow(l.start[:0], n+2)[:n+2]
	clear(l.start)
	for _, c := range l.raw.customer {
		l.start[l.rank[datasets.Local(c)]+2]++
	}
	for i := range n {
		l.start[i+2] += l.start[i+1]
	}
	// start[place+1] is now where the next row of that place goes, and ends up
	// being where the place ends: one array serves both.
	l.order = slices.Grow(l.order[:0], len(l.raw.customer))[:len(l.raw.customer)]
	for row, c := range l.raw.customer {
		at := &l.start[l.rank[datasets.Local(c)]+1]
		l.order[*at] = uint32(row)
		*at++
	}
}

// sortRows puts one customer's rows into canonical order. History usually
// arrives in time order, so sorted runs are looked for first.
func (l *loader) sortRows(rows []uint32) {
	t := l.raw.time
	inOrder := true
	for i := 1; i < len(rows); i++ {
		if t[rows[i-1]] >= t[rows[i]] {
			if t[rows[i-1]] > t[rows[i]] || l.compareFields(rows[i-1], rows[i]) > 0 {
				inOrder = false
				break
			}
		}
	}
	if !inOrder {
		slices.SortFunc(rows, func(a, b uint32) int {
			if c := cmp.Compare(t[a], t[b]); c != 0 {
				return c
			}
			return l.compareFields(a, b)
		})
	}
}

// compareFields orders two rows of one customer and one time by every other
// field: role, type, amount, quantity, rating, currency, product, category,
// channel, campaign, session, event id (by its hash); null first.
func (l *loader) compareFields(a, b uint32) int {
	r := &l.raw
	if c := cmp.Compare(r.role[a], r.role[b]); c != 0 {
		return c
	}
	if c := l.compareCodes(eventType, a, b); c != 0 {
		return c
	}
	for _, m := range r.money {
		if m != nil {
			if c := cmp.Compare(m[a], m[b]); c != 0 {
				return c
			}
		}
	}
	for i := currency; i < numCodes; i++ {
		if c := l.compareCodes(i, a, b); c != 0 {
			return c
		}
	}
	if r.ids != nil {
		return cmp.Compare(r.ids[a], r.ids[b])
	}
	return 0
}

func (l *loader) compareCodes(i int, a, b uint32) int {
	codes := l.raw.codes[i]
	if codes == nil || codes[a] == codes[b] {
		return 0
	}
	if ranks := l.s.ranks[i]; ranks != nil {
		return cmp.Compare(ranks[codes[a]], ranks[codes[b]])
	}
	if codes[a] == 0 || codes[b] == 0 {
		return cmp.Compare(codes[a], codes[b])
	}
	d := dictsOf(l.s.dicts)[i]
	return strings.Compare(d.Value(codes[a]), d.Value(codes[b]))
}

// dedupe drops repeated events from canonically ordered rows, in place.
func (l *loader) dedupe(rows []uint32) []uint32 {
	switch l.s.opts.Dedupe {
	case DedupeExact:
		kept := rows[:1]
		for _, r := range rows[1:] {
			last := kept[len(kept)-1]
			if l.raw.time[r] != l.raw.time[last] || l.compareFields(last, r) != 0 {
				kept = append(kept, r)
			}
		}
		return kept
	case DedupeEventID:
		ids := l.raw.ids
		if ids == nil {
			return rows
		}
		clear(l.seen)
		kept := rows[:0]
		for _, r := range rows {
			if id := ids[r]; id != 0 {
				if _, dup := l.seen[id]; dup {
					continue
				}
				l.seen[id] = struct{}{}
			}
			kept = append(kept, r)
		}
		return kept
	}
	return rows
}

// fill gathers the rows into contiguous columns: codes become ranks, instants
// get their local day and time of day.
func (l *loader) fill(rows []uint32) {
	e, r := &l.sorted, &l.raw
	e.Time = gather(e.Time[:0], r.time, rows)
	e.Role = gather(e.Role[:0], r.role, rows)
	e.Day = slices.Grow(e.Day[:0], len(rows))[:len(rows)]
	e.Clock = slices.Grow(e.Clock[:0], len(rows))[:len(rows)]
	for i, t := range e.Time {
		e.Day[i], e.Clock[i] = l.clock.read(t)
	}
	for i, dst := range []*[]datasets.Money{amount: &e.Amount, quantity: &e.Quantity, rating: &e.Rating} {
		if r.money[i] != nil {
			*dst = gather((*dst)[:0], r.money[i], rows)
		}
	}
	for i, dst := range []*[]uint32{eventType: &e.Type, product: &e.Product, category: &e.Category, channel: &e.Channel, campaign: &e.Campaign, session: &e.Session} {
		if dst == nil || r.codes[i] == nil {
			continue
		}
		*dst = gather((*dst)[:0], r.codes[i], rows)
		if ranks := l.s.ranks[i]; ranks != nil {
			for j, code := range *dst {
				(*dst)[j] = ranks[code]
			}
		}
	}
}

// digest hashes a timeline's content, independently of dictionary codes.
func (t *Timeline) digest(s *Store, buf []byte) (uint64, []byte) {
	buf = buf[:0]
	put := func(v uint64) {
		buf = append(buf, byte(v), byte(v>>8), byte(v>>16), byte(v>>24), byte(v>>32), byte(v>>40), byte(v>>48), byte(v>>56))
	}
	put(t.Hash)
	dicts := dictsOf(s.dicts)
	for _, r := range t.rows {
		put(uint64(t.raw.time[r]))
		put(uint64(t.raw.role[r]))
		for i, m := range t.raw.money {
			if m != nil && m[r] != datasets.NullMoney {
				put(uint64(i))
				put(uint64(m[r]))
			}
		}
		for i, codes := range t.raw.codes {
			if codes != nil && codes[r] != 0 {
				put(uint64(i))
				put(dicts[i].Hash(codes[r]))
			}
		}
		if t.raw.ids != nil && t.raw.ids[r] != 0 {
			put(numCodes)
			put(t.raw.ids[r])
		}
	}
	return xxh3.Hash(buf), buf
}
