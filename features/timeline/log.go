package timeline

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/shoal-data/shoal/datasets"
)

// Dedupe says which events count as the same event.
type Dedupe uint8

// The ways to recognise a duplicate.
const (
	DedupeNone    Dedupe = iota // every row is an event
	DedupeExact                 // rows of one customer that agree in every field are one event
	DedupeEventID               // rows of one customer with one event id are one event: the first in canonical order
)

// Options of a Log.
type Options struct {
	Zone   *time.Location // decides the local day of an event
	Dedupe Dedupe
	IDType datasets.IDType
}

// NumBuckets is the number of buckets customers are hashed into: a customer's
// bucket is the shard of its id in the customer dictionary. There are enough
// that one bucket of a hundred million events fits a worker's scratch, and few
// enough that appending to all of them stays in cache.
const NumBuckets = datasets.DictShards

// A Log collects events in memory. This is the seam where spilling goes: a
// bucket's chunks may as well lie in a temporary file.
type Log struct {
	dicts   *datasets.Dicts
	workers []*appender
}

type appender struct {
	buckets [NumBuckets]columns
	order   []uint32 // rows of the batch at hand, grouped by bucket
}

// NewLog returns an empty log whose Append may be called by workers 0 … workers-1 at once.
func NewLog(dicts *datasets.Dicts, workers int) *Log {
	l := &Log{dicts: dicts, workers: make([]*appender, workers)}
	for i := range l.workers {
		l.workers[i] = new(appender)
	}
	return l
}

// Append copies a batch into the buckets of its customers.
func (l *Log) Append(worker int, b *datasets.Batch) error {
	if worker < 0 || worker >= len(l.workers) {
		return fmt.Errorf("timeline: worker %d of %d", worker, len(l.workers))
	}
	a := l.workers[worker]
	var start [NumBuckets + 1]uint32
	for _, c := range b.Customer {
		start[datasets.Shard(c)+1]++
	}
	for k := range NumBuckets {
		start[k+1] += start[k]
	}
	next := start
	a.order = slices.Grow(a.order[:0], b.Len())[:b.Len()]
	for i, c := range b.Customer {
		k := datasets.Shard(c)
		a.order[next[k]] = uint32(i)
		next[k]++
	}
	for k := range NumBuckets {
		if rows := a.order[start[k]:start[k+1]]; len(rows) > 0 {
			a.buckets[k].append(b, rows)
		}
	}
	return nil
}

// columns is a growing block of events; an optional column is nil until a
// batch brings it, and then filled with nulls from the start.
type columns struct {
	customer []uint32
	time     []int64
	role     []datasets.Role
	money    [numMoney][]datasets.Money
	codes    [numCodes][]uint32
}

// The optional money and dictionary columns, in canonical sort order.
const (
	amount = iota
	quantity
	rating
	numMoney
)

const (
	eventType = iota
	currency
	product
	category
	channel
	campaign
	session
	eventID
	numCodes
)

func moneyOf(b *datasets.Batch) [numMoney][]datasets.Money {
	return [numMoney][]datasets.Money{b.Amount, b.Quantity, b.Rating}
}

func codesOf(b *datasets.Batch) [numCodes][]uint32 {
	return [numCodes][]uint32{b.Type, b.Currency, b.Product, b.Category, b.Channel, b.Campaign, b.Session, b.EventID}
}

func dictsOf(d *datasets.Dicts) [numCodes]*datasets.Dict {
	return [numCodes]*datasets.Dict{d.Type, d.Currency, d.Product, d.Category, d.Channel, d.Campaign, d.Session, d.EventID}
}

func (c *columns) append(b *datasets.Batch, rows []uint32) {
	had := len(c.time)
	c.customer = gather(c.customer, b.Customer, rows)
	c.time = gather(c.time, b.Time, rows)
	c.role = gather(c.role, b.Role, rows)
	for i, src := range moneyOf(b) {
		c.money[i] = appendOptional(c.money[i], src, rows, had, datasets.NullMoney)
	}
	for i, src := range codesOf(b) {
		c.codes[i] = appendOptional(c.codes[i], src, rows, had, 0)
	}
}

func gather[T any](dst, src []T, rows []uint32) []T {
	dst = slices.Grow(dst, len(rows))
	at := len(dst)
	dst = dst[:at+len(rows)]
	for i, r := range rows {
		dst[at+i] = src[r]
	}
	return dst
}

// appendOptional keeps dst nil as long as no batch brought the column.
func appendOptional[T any](dst, src []T, rows []uint32, had int, null T) []T {
	if src == nil && dst == nil {
		return nil
	}
	for len(dst) < had {
		dst = append(dst, null)
	}
	if src != nil {
		return gather(dst, src, rows)
	}
	for range rows {
		dst = append(dst, null)
	}
	return dst
}

// Freeze ends the writing. The dictionaries must not grow afterwards.
func (l *Log) Freeze(opts Options) *Store {
	s := &Store{dicts: l.dicts, opts: opts, workers: l.workers}
	dicts := dictsOf(l.dicts)
	var wg sync.WaitGroup
	for i, d := range dicts {
		if i == session || i == eventID {
			continue // compared by value in the rare tie: sorting millions of them would buy nothing
		}
		wg.Go(func() { s.ranks[i], s.values[i] = d.Ranks() })
	}
	wg.Wait()
	for k := range NumBuckets {
		for _, w := range l.workers {
			s.size[k] += len(w.buckets[k].time)
			s.events += int64(len(w.buckets[k].time))
			for i := range s.hasMoney {
				s.hasMoney[i] = s.hasMoney[i] || w.buckets[k].money[i] != nil
			}
			for i := range s.hasCodes {
				s.hasCodes[i] = s.hasCodes[i] || w.buckets[k].codes[i] != nil
			}
		}
	}
	return s
}
