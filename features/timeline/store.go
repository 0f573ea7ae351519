package timeline

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/spool"
	"github.com/shoal-data/shoal/features/internal/localtime"
)

// A Store is a frozen log: timelines by bucket, in canonical order. The first
// use puts them into that order.
type Store struct {
	log    *Log
	opts   Options
	spool  *spool.Spool
	ranks  [numCodes][]uint32 // code → rank
	values [numCodes][]string // rank → value
	size   [NumBuckets]int    // events, duplicates included
	brings presence           // of any block

	mu      sync.Mutex
	ordered bool
	chunks  [NumBuckets][]sealedChunk
	census  Census
}

// IDType is the type of the customers' ids.
func (s *Store) IDType() datasets.IDType { return s.opts.IDType }

// Values lists a dictionary column's values by rank: Events hold ranks.
// Rank 0 is null.
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

// Close gives back what the store holds outside the collector's reach.
func (s *Store) Close() error {
	for _, chunks := range s.chunks {
		for _, c := range chunks {
			s.spool.Drop(c.Block)
		}
	}
	return s.spool.Close()
}

// Census counts customers, events and duplicates and digests the content.
func (s *Store) Census(ctx context.Context, workers int) (Census, error) {
	err := s.order(ctx, workers)
	return s.census, err
}

// order puts every bucket into canonical order, once.
func (s *Store) order(ctx context.Context, workers int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ordered {
		return nil
	}
	orderers := make([]*orderer, workers)
	err := s.buckets(ctx, workers, func(w, bucket int) error {
		if orderers[w] == nil {
			orderers[w] = newOrderer(s)
		}
		return orderers[w].run(bucket)
	})
	if err != nil {
		return err
	}
	var parts []counter
	for _, o := range orderers {
		if o != nil {
			parts = append(parts, o.counter)
		}
	}
	s.census = sum(parts)
	if s.opts.Final {
		if err := s.log.spool.Close(); err != nil {
			return fmt.Errorf("timeline: %w", err)
		}
	}
	s.ordered = true
	return nil
}

// buckets calls work for every bucket, from several workers at once.
func (s *Store) buckets(ctx context.Context, workers int, work func(worker, bucket int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				k := int(next.Add(1)) - 1
				if k >= NumBuckets {
					return
				}
				if err := work(w, k); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// Replay visits every timeline, each bucket in one goroutine with its
// customers in the order of their ids. visit must not keep the timeline.
// done, which may be nil, hears of each finished bucket.
func (s *Store) Replay(ctx context.Context, workers int, visit func(worker, bucket int, t *Timeline) error, done func(bucket int)) error {
	if err := s.order(ctx, workers); err != nil {
		return err
	}
	loaders := make([]*loader, workers)
	return s.buckets(ctx, workers, func(w, bucket int) error {
		if loaders[w] == nil {
			loaders[w] = newLoader(s)
		}
		err := loaders[w].each(bucket, func(t *Timeline) error { return visit(w, bucket, t) })
		if err == nil && done != nil {
			done(bucket)
		}
		return err
	})
}

// A loader unpacks one chunk at a time, reusing its memory.
type loader struct {
	s         *Store
	clock     *localtime.Clock
	chunk     chunk
	day       []int32
	wall      []int32
	positions roleIndex
	read      []byte
	timeline  Timeline
}

func newLoader(s *Store) *loader { return &loader{s: s, clock: localtime.NewClock(s.opts.Zone)} }

func (l *loader) each(bucket int, visit func(*Timeline) error) error {
	dict := l.s.log.dicts.Customer
	for _, sealed := range l.s.chunks[bucket] {
		data, err := l.s.spool.Get(sealed.Block, &l.read)
		if err == nil {
			err = l.chunk.unpack(data, int(sealed.customers), int(sealed.events), l.s.brings)
		}
		if err != nil {
			return fmt.Errorf("timeline: %w", err)
		}
		all := l.events()
		at := 0
		for i, local := range l.chunk.customer {
			n := int(l.chunk.events[i])
			code := datasets.ShardCode(bucket, int(local))
			l.timeline = Timeline{ID: dict.Value(code), Hash: dict.Hash(code), events: all.slice(at, at+n), roles: &l.positions}
			l.positions.build(l.timeline.events.Role)
			at += n
			if err := visit(&l.timeline); err != nil {
				return err
			}
		}
	}
	return nil
}

// events are those of the chunk, with the local day and time of day of their instants.
func (l *loader) events() Events {
	c := &l.chunk
	n := len(c.time)
	l.day, l.wall = slices.Grow(l.day[:0], n)[:n], slices.Grow(l.wall[:0], n)[:n]
	for i, t := range c.time {
		l.day[i], l.wall[i] = l.clock.Read(t)
	}
	e := Events{Time: c.time, Day: l.day, Clock: l.wall, Role: c.role}
	for i, dst := range []*[]datasets.Money{amount: &e.Amount, quantity: &e.Quantity, rating: &e.Rating} {
		if l.s.brings.money(i) {
			*dst = c.money[i]
		}
	}
	for i, dst := range []*[]uint32{eventType: &e.Type, product: &e.Product, category: &e.Category, channel: &e.Channel, campaign: &e.Campaign} {
		if dst != nil && l.s.brings.code(i) {
			*dst = c.ranks[i]
		}
	}
	if l.s.brings.hashed(session) {
		e.Session = c.session
	}
	return e
}
