package timeline

import (
	"context"
	"errors"
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
	closed  bool
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

// Packed is what the events took as they arrived and what they take in order, in
// bytes. Blocks that were not full when the last event arrived are not counted.
func (s *Store) Packed() (arrived, ordered int64) { return s.log.spool.Total(), s.spool.Total() }

// Close gives back the timelines: what they take of the spool's budget, the memory and
// the temporary file. They cannot be read afterwards.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for k, chunks := range s.chunks {
		for _, c := range chunks {
			s.spool.Drop(c.Block)
		}
		s.chunks[k] = nil
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
	if s.closed {
		return errors.New("timeline: the store is closed")
	}
	if s.ordered {
		return nil
	}
	orderers := make([]*orderer, workers)
	err := buckets(ctx, workers, func(w, bucket int) error {
		if orderers[w] == nil {
			orderers[w] = newOrderer(s)
		}
		return orderers[w].run(bucket, orderers[w].keep)
	}, nil)
	if err != nil {
		return err
	}
	return s.finish(orderers)
}

// finish takes the census and gives up what arrived, once all is in order.
func (s *Store) finish(orderers []*orderer) error {
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

// buckets calls work for every bucket, from several workers at once, and then,
// when turn is not nil, turn: in the order of the buckets, one at a time.
func buckets(ctx context.Context, workers int, work, turn func(worker, bucket int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var turns [NumBuckets]chan struct{} // closed when the bucket's turn has come
	for k := range turns {
		turns[k] = make(chan struct{})
	}
	close(turns[0])
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				k := int(next.Add(1)) - 1
				if k >= NumBuckets {
					return
				}
				err := work(w, k)
				if err == nil && turn != nil {
					select {
					case <-turns[k]:
						err = turn(w, k)
					case <-ctx.Done():
						return
					}
				}
				if err != nil {
					cancel(err)
					return
				}
				if k+1 < NumBuckets {
					close(turns[k+1])
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
	return buckets(ctx, workers, func(w, bucket int) error {
		if loaders[w] == nil {
			loaders[w] = newLoader(s)
		}
		err := loaders[w].each(bucket, func(t *Timeline) error { return visit(w, bucket, t) })
		if err == nil && done != nil {
			done(bucket)
		}
		return err
	}, nil)
}

// Drain is Replay for the last time: each bucket is put into order, visited and
// given up, so that the whole history is never held in order. turn, which may be
// nil, is called after each bucket by the worker that visited it, in the order
// of the buckets and never twice at once. The census is without its digest. The
// store is empty afterwards.
func (s *Store) Drain(ctx context.Context, workers int, visit func(worker, bucket int, t *Timeline) error, turn func(worker, bucket int) error) (Census, error) {
	if s.ordered || s.closed || !s.opts.Final {
		return Census{}, errors.New("timeline: only a final store that has not been replayed can be drained")
	}
	loaders, orderers := make([]*loader, workers), make([]*orderer, workers)
	err := buckets(ctx, workers, func(w, bucket int) error {
		if loaders[w] == nil {
			loaders[w], orderers[w] = newLoader(s), newOrderer(s)
			orderers[w].undigested = true
		}
		return orderers[w].run(bucket, func(int) error {
			return loaders[w].visit(bucket, &orderers[w].out, func(t *Timeline) error { return visit(w, bucket, t) })
		})
	}, turn)
	if err != nil {
		return Census{}, err
	}
	err = s.finish(orderers)
	return s.census, err
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
	for _, sealed := range l.s.chunks[bucket] {
		data, err := l.s.spool.Get(sealed.Block, &l.read)
		if err == nil {
			err = l.chunk.unpack(data, int(sealed.customers), int(sealed.events), l.s.brings)
		}
		if err != nil {
			return fmt.Errorf("timeline: %w", err)
		}
		if err := l.visit(bucket, &l.chunk, visit); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) visit(bucket int, c *chunk, visit func(*Timeline) error) error {
	dict := l.s.log.dicts.Customer
	all := l.events(c)
	at := 0
	for i, local := range c.customer {
		n := int(c.events[i])
		code := datasets.ShardCode(bucket, int(local))
		l.timeline = Timeline{ID: dict.Value(code), Hash: dict.Hash(code), events: all.slice(at, at+n), roles: &l.positions}
		l.positions.build(l.timeline.events.Role)
		at += n
		if err := visit(&l.timeline); err != nil {
			return err
		}
	}
	return nil
}

// events are those of the chunk, with the local day and time of day of their instants.
func (l *loader) events(c *chunk) Events {
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
