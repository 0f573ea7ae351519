package timeline

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/spool"
	"github.com/shoal-data/shoal/features/internal/packed"
)

// Dedupe says which events count as the same event.
type Dedupe uint8

// The ways to recognise a duplicate.
const (
	DedupeNone    Dedupe = iota // every row is an event
	DedupeExact                 // rows of one customer that agree in every field are one event
	DedupeEventID               // rows of one customer with one event id are one event: the first in canonical order
)

// Options of a Store.
type Options struct {
	Zone   *time.Location // decides the local day of an event
	Dedupe Dedupe
	IDType datasets.IDType
	// Final says that the log will not be frozen again, so that its events can
	// be given up as they are put in order.
	Final bool
}

// NumBuckets is the number of buckets customers are hashed into: a customer's
// bucket is the shard of its id in the customer dictionary. There are enough
// that one bucket of a hundred million events fits a worker's scratch, and few
// enough that appending to all of them stays in cache.
const NumBuckets = datasets.DictShards

// A Log collects events by bucket, packed, in memory or in a temporary file.
type Log struct {
	dicts   *datasets.Dicts
	workers []*appender
	budget  *spool.Budget
	dir     string // of temporary files
	spool   *spool.Spool
	frozen  []*Store
}

type appender struct {
	buckets [NumBuckets]bucketLog
	order   []uint32 // rows of the batch at hand, grouped by bucket
	parts   []part
	packed  []byte
}

// A part is the rows of a batch that go into one block.
type part struct {
	to   *columns
	rows []uint32
}

// NewLog returns an empty log in memory whose Append may be called by workers 0 … workers-1 at once.
func NewLog(dicts *datasets.Dicts, workers int) *Log {
	l := &Log{dicts: dicts, workers: make([]*appender, workers)}
	for i := range l.workers {
		l.workers[i] = new(appender)
	}
	return l.Within(spool.Unlimited(), "")
}

// Within makes a log that is still empty keep to a budget: what exceeds it goes
// to a temporary file in dir.
func (l *Log) Within(budget *spool.Budget, dir string) *Log {
	l.budget, l.dir = budget, dir
	l.spool = spool.New(budget, dir)
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
	// Every round gives each bucket what its open block has room for.
	next = start
	for {
		a.parts = a.parts[:0]
		for k := range NumBuckets {
			rows := a.order[next[k]:start[k+1]]
			if len(rows) == 0 {
				continue
			}
			bucket := &a.buckets[k]
			if bucket.open.brings != brings || bucket.open.len() == BlockRows {
				if err := l.seal(a, bucket); err != nil {
					return err
				}
				bucket.open.reset(brings)
			}
			n := min(len(rows), BlockRows-bucket.open.len())
			a.parts = append(a.parts, part{&bucket.open, rows[:n]})
			bucket.rows += n
			next[k] += uint32(n)
		}
		if len(a.parts) == 0 {
			return nil
		}
		appendParts(a.parts, b)
	}
}

// seal packs a bucket's open block away.
func (l *Log) seal(a *appender, bucket *bucketLog) error {
	if bucket.open.len() == 0 {
		return nil
	}
	a.packed = bucket.open.pack(a.packed[:0])
	block, err := l.spool.Put(a.packed)
	if err != nil {
		return fmt.Errorf("timeline: %w", err)
	}
	bucket.sealed = append(bucket.sealed, sealedBlock{block, uint32(bucket.open.len()), bucket.open.brings})
	return nil
}

// BlockRows is how many events a bucket collects before it packs them: enough
// that a block's header is nothing beside it, few enough that the open blocks
// of all buckets and workers are.
const BlockRows = 1024

// A bucketLog is what one worker holds of a bucket.
type bucketLog struct {
	sealed []sealedBlock
	open   columns // the block being filled; its memory is used again and again
	rows   int
}

type sealedBlock struct {
	spool.Block
	rows   uint32
	brings presence
}

// columns are events as they arrive; optional columns that the batches did not
// bring are empty.
type columns struct {
	customer []uint32 // places in the bucket's shard of the dictionary, see datasets.Local
	time     []int64
	role     []datasets.Role
	money    [numMoney][]datasets.Money
	codes    [numCodes][]uint32
	hashes   [numHashes][]uint64 // see datasets.HashID
	brings   presence
}

// The optional columns, in canonical sort order.
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
	numCodes
)

const (
	session = iota
	eventID
	numHashes
)

func moneyOf(b *datasets.Batch) [numMoney][]datasets.Money {
	return [numMoney][]datasets.Money{b.Amount, b.Quantity, b.Rating}
}

func codesOf(b *datasets.Batch) [numCodes][]uint32 {
	return [numCodes][]uint32{b.Type, b.Currency, b.Product, b.Category, b.Channel, b.Campaign}
}

func hashesOf(b *datasets.Batch) [numHashes][]uint64 {
	return [numHashes][]uint64{b.Session, b.EventID}
}

func dictsOf(d *datasets.Dicts) [numCodes]*datasets.Dict {
	return [numCodes]*datasets.Dict{d.Type, d.Currency, d.Product, d.Category, d.Channel, d.Campaign}
}

// presence is a bit for each optional column.
type presence uint16

func (p presence) money(i int) bool  { return p&(1<<i) != 0 }
func (p presence) code(i int) bool   { return p&(1<<(numMoney+i)) != 0 }
func (p presence) hashed(i int) bool { return p&(1<<(numMoney+numCodes+i)) != 0 }

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
	for i, src := range hashesOf(b) {
		if src != nil {
			p |= 1 << (numMoney + numCodes + i)
		}
	}
	return p
}

func (c *columns) len() int { return len(c.time) }

func (c *columns) reset(brings presence) {
	c.brings = brings
	c.customer, c.time, c.role = c.customer[:0], c.time[:0], c.role[:0]
	for i := range c.money {
		c.money[i] = c.money[i][:0]
	}
	for i := range c.codes {
		c.codes[i] = c.codes[i][:0]
	}
	for i := range c.hashes {
		c.hashes[i] = c.hashes[i][:0]
	}
}

// appendParts copies rows of a batch to the ends of blocks. It does so one column
// after another: a batch does not fit a processor's nearest caches, one of its
// columns does.
func appendParts(parts []part, b *datasets.Batch) {
	for _, p := range parts {
		c := p.to
		at := len(c.customer)
		c.customer = gather(c.customer, b.Customer, p.rows)
		for i, code := range c.customer[at:] {
			c.customer[at+i] = uint32(datasets.Local(code))
		}
	}
	for _, p := range parts {
		p.to.time = gather(p.to.time, b.Time, p.rows)
	}
	for _, p := range parts {
		p.to.role = gather(p.to.role, b.Role, p.rows)
	}
	for i, src := range moneyOf(b) {
		if src != nil {
			for _, p := range parts {
				p.to.money[i] = gather(p.to.money[i], src, p.rows)
			}
		}
	}
	for i, src := range codesOf(b) {
		if src != nil {
			for _, p := range parts {
				p.to.codes[i] = gather(p.to.codes[i], src, p.rows)
			}
		}
	}
	for i, src := range hashesOf(b) {
		if src != nil {
			for _, p := range parts {
				p.to.hashes[i] = gather(p.to.hashes[i], src, p.rows)
			}
		}
	}
}

// The steps that instants and amounts often share, coarsest first.
var (
	timeSteps  = []uint64{1_000_000, 1_000}
	moneySteps = []uint64{datasets.MoneyScale, datasets.MoneyScale / 100}
)

// pack appends the block to dst.
func (c *columns) pack(dst []byte) []byte {
	dst = packed.Append(dst, c.customer, nil)
	dst = packed.Append(dst, c.time, timeSteps)
	dst = packed.Append(dst, c.role, nil)
	for i, m := range c.money {
		if c.brings.money(i) {
			dst = packed.AppendNullable(dst, m, moneySteps)
		}
	}
	for i, codes := range c.codes {
		if c.brings.code(i) {
			dst = packed.Append(dst, codes, nil)
		}
	}
	for i, h := range c.hashes {
		if c.brings.hashed(i) {
			dst = packed.Append(dst, h, nil)
		}
	}
	return dst
}

// unpack appends a packed block of n events. A column that any block of the
// log brings is there for all, null where this one has none.
func (c *columns) unpack(src []byte, n int, brings presence) (err error) {
	if c.customer, src, err = packed.Read(c.customer, src, n); err != nil {
		return err
	}
	if c.time, src, err = packed.Read(c.time, src, n); err != nil {
		return err
	}
	if c.role, src, err = packed.Read(c.role, src, n); err != nil {
		return err
	}
	for i := range c.money {
		switch {
		case brings.money(i):
			if c.money[i], src, err = packed.Read(c.money[i], src, n); err != nil {
				return err
			}
		case c.brings.money(i):
			c.money[i] = fill(c.money[i], n, datasets.NullMoney)
		}
	}
	for i := range c.codes {
		switch {
		case brings.code(i):
			if c.codes[i], src, err = packed.Read(c.codes[i], src, n); err != nil {
				return err
			}
		case c.brings.code(i):
			c.codes[i] = fill(c.codes[i], n, 0)
		}
	}
	for i := range c.hashes {
		switch {
		case brings.hashed(i):
			if c.hashes[i], src, err = packed.Read(c.hashes[i], src, n); err != nil {
				return err
			}
		case c.brings.hashed(i):
			c.hashes[i] = fill(c.hashes[i], n, 0)
		}
	}
	return nil
}

// join appends another block as unpack does.
func (c *columns) join(b *columns) {
	n := b.len()
	c.customer = append(c.customer, b.customer...)
	c.time = append(c.time, b.time...)
	c.role = append(c.role, b.role...)
	for i := range c.money {
		switch {
		case b.brings.money(i):
			c.money[i] = append(c.money[i], b.money[i]...)
		case c.brings.money(i):
			c.money[i] = fill(c.money[i], n, datasets.NullMoney)
		}
	}
	for i := range c.codes {
		switch {
		case b.brings.code(i):
			c.codes[i] = append(c.codes[i], b.codes[i]...)
		case c.brings.code(i):
			c.codes[i] = fill(c.codes[i], n, 0)
		}
	}
	for i := range c.hashes {
		switch {
		case b.brings.hashed(i):
			c.hashes[i] = append(c.hashes[i], b.hashes[i]...)
		case c.brings.hashed(i):
			c.hashes[i] = fill(c.hashes[i], n, 0)
		}
	}
}

func fill[T any](dst []T, n int, null T) []T {
	for range n {
		dst = append(dst, null)
	}
	return dst
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

// Close frees the temporary files of the log and of what it was frozen into, however far
// they came. Nothing may be read afterwards.
func (l *Log) Close() error {
	err := l.spool.Close()
	for _, s := range l.frozen {
		err = errors.Join(err, s.spool.Close())
	}
	return err
}

// Freeze ends the writing. The dictionaries must not grow afterwards.
func (l *Log) Freeze(opts Options) *Store {
	s := &Store{log: l, opts: opts, spool: spool.New(l.budget, l.dir)}
	l.frozen = append(l.frozen, s)
	var wg sync.WaitGroup
	for i, d := range dictsOf(l.dicts) {
		wg.Go(func() { s.ranks[i], s.values[i] = d.Ranks() })
	}
	wg.Wait()
	for k := range NumBuckets {
		for _, w := range l.workers {
			b := &w.buckets[k]
			s.size[k] += b.rows
			if b.rows > 0 {
				s.brings |= b.open.brings
			}
			for i := range b.sealed {
				s.brings |= b.sealed[i].brings
			}
		}
	}
	return s
}
