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
	buckets [NumBuckets]bucketLog
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
	a, brings := l.workers[worker], presenceOf(b)
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
			a.buckets[k].append(b, rows, brings)
		}
	}
	return nil
}

// A bucketLog is what one worker holds of a bucket: blocks that are filled and
// never moved, since copying a growing column again and again costs more than
// everything else in reading.
type bucketLog struct {
	blocks []columns
	rows   int
}

// columns is a block of events; optional columns that its batches did not bring
// are nil.
type columns struct {
	customer []uint32
	time     []int64
	role     []datasets.Role
	money    [numMoney][]datasets.Money
	codes    [numCodes][]uint32
	ids      []uint64 // event ids, see datasets.HashID
	brings   presence
}

// Blocks double from the first size to the largest: a bucket of ten events and
// one of a million both waste little.
const (
	firstBlock   = 64
	largestBlock = 8192
)

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
	numCodes
)

func moneyOf(b *datasets.Batch) [numMoney][]datasets.Money {
	return [numMoney][]datasets.Money{b.Amount, b.Quantity, b.Rating}
}

func codesOf(b *datasets.Batch) [numCodes][]uint32 {
	return [numCodes][]uint32{b.Type, b.Currency, b.Product, b.Category, b.Channel, b.Campaign, b.Session}
}

func dictsOf(d *datasets.Dicts) [numCodes]*datasets.Dict {
	return [numCodes]*datasets.Dict{d.Type, d.Currency, d.Product, d.Category, d.Channel, d.Campaign, d.Session}
}

// presence is a bit for each optional column.
type presence uint16

const bringsIDs presence = 1 << (numMoney + numCodes)

func presenceOf(b *datasets.Batch) presence {
	var p presence
	for i, src := range moneyOf(b) {
		if src != nil {
			p |= 1 << i
		}
	}
	for i, src := range codesOf(b) {
		if src != nil {
			p |= 1 << (numMoney + i)
		}
	}
	if b.EventID != nil {
		p |= bringsIDs
	}
	return p
}

func (l *bucketLog) append(b *datasets.Batch, rows []uint32, brings presence) {
	l.rows += len(rows)
	for len(rows) > 0 {
		if n := len(l.blocks); n == 0 || l.blocks[n-1].full() || l.blocks[n-1].brings != brings {
			size := firstBlock
			if n > 0 {
				size = min(2*cap(l.blocks[n-1].time), largestBlock)
			}
			l.blocks = append(l.blocks, newBlock(max(size, min(len(rows), largestBlock)), brings))
		}
		block := &l.blocks[len(l.blocks)-1]
		n := min(len(rows), cap(block.time)-len(block.time))
		block.append(b, rows[:n])
		rows = rows[n:]
	}
}

func newBlock(size int, brings presence) columns {
	c := columns{customer: make([]uint32, 0, size), time: make([]int64, 0, size), role: make([]datasets.Role, 0, size), brings: brings}
	for i := range c.money {
		if brings&(1<<i) != 0 {
			c.money[i] = make([]datasets.Money, 0, size)
		}
	}
	for i := range c.codes {
		if brings&(1<<(numMoney+i)) != 0 {
			c.codes[i] = make([]uint32, 0, size)
		}
	}
	if brings&bringsIDs != 0 {
		c.ids = make([]uint64, 0, size)
	}
	return c
}

func (c *columns) full() bool { return len(c.time) == cap(c.time) }

func (c *columns) append(b *datasets.Batch, rows []uint32) {
	c.customer = gather(c.customer, b.Customer, rows)
	c.time = gather(c.time, b.Time, rows)
	c.role = gather(c.role, b.Role, rows)
	for i, src := range moneyOf(b) {
		if src != nil {
			c.money[i] = gather(c.money[i], src, rows)
		}
	}
	for i, src := range codesOf(b) {
		if src != nil {
			c.codes[i] = gather(c.codes[i], src, rows)
		}
	}
	if b.EventID != nil {
		c.ids = gather(c.ids, b.EventID, rows)
	}
}

// gather appends the named rows of src.
func gather[T any](dst, src []T, rows []uint32) []T {
	dst = slices.Grow(dst, len(rows))
	at := len(dst)
	dst = dst[:at+len(rows)]
	for i, r := range rows {
		dst[at+i] = src[r]
	}
	return dst
}

// Freeze ends the writing. The dictionaries must not grow afterwards.
func (l *Log) Freeze(opts Options) *Store {
	s := &Store{dicts: l.dicts, opts: opts, workers: l.workers}
	dicts := dictsOf(l.dicts)
	var wg sync.WaitGroup
	for i, d := range dicts {
		if i == session {
			continue // compared by value in the rare tie: sorting millions of them would buy nothing
		}
		wg.Go(func() { s.ranks[i], s.values[i] = d.Ranks() })
	}
	wg.Wait()
	for k := range NumBuckets {
		for _, w := range l.workers {
			s.size[k] += w.buckets[k].rows
			for _, block := range w.buckets[k].blocks {
				s.brings |= block.brings
			}
		}
	}
	return s
}
