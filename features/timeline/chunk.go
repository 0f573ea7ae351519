package timeline

import (
	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/spool"
	"github.com/shoal-data/shoal/features/internal/packed"
)

// chunkRows is how many events of whole customers make a chunk, at least: few
// enough to stay in a processor's cache while every family reads them.
const chunkRows = 4096

// A chunk is the timelines of some customers of a bucket, one after another.
type chunk struct {
	customer []uint32 // places in the bucket's shard of the dictionary
	events   []uint32 // of each customer

	time    []int64
	role    []datasets.Role
	money   [numMoney][]datasets.Money
	ranks   [numCodes][]uint32
	session []uint32
}

type sealedChunk struct {
	spool.Block
	customers, events uint32
}

func (c *chunk) reset() {
	c.customer, c.events = c.customer[:0], c.events[:0]
	c.time, c.role, c.session = c.time[:0], c.role[:0], c.session[:0]
	for i := range c.money {
		c.money[i] = c.money[i][:0]
	}
	for i := range c.ranks {
		c.ranks[i] = c.ranks[i][:0]
	}
}

// pack appends the chunk to dst.
func (c *chunk) pack(dst []byte, brings presence) []byte {
	dst = packed.Append(dst, c.customer, nil)
	dst = packed.Append(dst, c.events, nil)
	dst = packed.Append(dst, c.time, timeSteps)
	dst = packed.Append(dst, c.role, nil)
	for i, m := range c.money {
		if brings.money(i) {
			dst = packed.AppendNullable(dst, m, moneySteps)
		}
	}
	for i, r := range c.ranks {
		if brings.code(i) && i != currency {
			dst = packed.Append(dst, r, nil)
		}
	}
	if brings.hashed(session) {
		dst = packed.Append(dst, c.session, nil)
	}
	return dst
}

// unpack replaces the chunk by a packed one.
func (c *chunk) unpack(src []byte, customers, events int, brings presence) (err error) {
	c.reset()
	if c.customer, src, err = packed.Read(c.customer, src, customers); err != nil {
		return err
	}
	if c.events, src, err = packed.Read(c.events, src, customers); err != nil {
		return err
	}
	total := uint64(0)
	for _, n := range c.events {
		total += uint64(n)
	}
	if total != uint64(events) {
		return packed.ErrDamaged
	}
	if c.time, src, err = packed.Read(c.time, src, events); err != nil {
		return err
	}
	if c.role, src, err = packed.Read(c.role, src, events); err != nil {
		return err
	}
	for i := range c.money {
		if brings.money(i) {
			if c.money[i], src, err = packed.Read(c.money[i], src, events); err != nil {
				return err
			}
		}
	}
	for i := range c.ranks {
		if brings.code(i) && i != currency {
			if c.ranks[i], src, err = packed.Read(c.ranks[i], src, events); err != nil {
				return err
			}
		}
	}
	if brings.hashed(session) {
		if c.session, _, err = packed.Read(c.session, src, events); err != nil {
			return err
		}
	}
	return nil
}
