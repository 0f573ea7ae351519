package explain

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/timeline"
)

// A history is the customer's events in canonical order, spelled out, so that
// they can be shown and replayed in part.
type history struct {
	zone   *time.Location
	events []event
	brings [datasets.NumFields]bool // whether any source maps a field
}

// An event as the store has it; texts are "" when absent.
type event struct {
	time                                      int64
	day                                       int32
	role                                      datasets.Role
	amount, quantity, rating                  datasets.Money
	typ, product, category, channel, campaign string
	session                                   int // from 1 by first appearance; 0 is none
}

// keep copies a history out of the store.
func keep(h *timeline.History, values features.Values, zone *time.Location) *history {
	k := &history{zone: zone}
	money := func(f datasets.Field, col []datasets.Money, i int) datasets.Money {
		if col == nil {
			return datasets.NullMoney
		}
		k.brings[f] = true
		return col[i]
	}
	text := func(f datasets.Field, col []uint32, i int) string {
		if col == nil {
			return ""
		}
		k.brings[f] = true
		return values(f)[col[i]] // that of rank 0, which is null, is ""
	}
	sessions := map[uint32]int{}
	for i := range h.Len() {
		e := event{
			time: h.Time[i], day: h.Day[i], role: h.Role[i],
			amount: money(datasets.Amount, h.Amount, i), quantity: money(datasets.Quantity, h.Quantity, i), rating: money(datasets.Rating, h.Rating, i),
			typ: text(datasets.EventType, h.Type, i), product: text(datasets.ProductID, h.Product, i), category: text(datasets.Category, h.Category, i),
			channel: text(datasets.Channel, h.Channel, i), campaign: text(datasets.CampaignID, h.Campaign, i),
		}
		if h.Session != nil {
			k.brings[datasets.SessionID] = true
			if code := h.Session[i]; code != 0 {
				if sessions[code] == 0 {
					sessions[code] = len(sessions) + 1
				}
				e.session = sessions[code]
			}
		}
		k.events = append(k.events, e)
	}
	return k
}

// shown is the history for people and tools.
func (h *history) shown() []Event {
	out := make([]Event, len(h.events))
	money := func(m datasets.Money) string {
		if m == datasets.NullMoney {
			return ""
		}
		return m.String()
	}
	for i, e := range h.events {
		out[i] = Event{
			N: i + 1, Time: instant(e.time), Local: time.UnixMicro(e.time).In(h.zone).Format("2006-01-02 15:04:05"), Day: dayString(e.day),
			Role: e.role.String(), Type: e.typ, Amount: money(e.amount), Quantity: money(e.quantity), Rating: money(e.rating),
			Product: e.product, Category: e.category, Channel: e.channel, Campaign: e.campaign, Session: e.session,
		}
	}
	return out
}

func dayString(day int32) string {
	return time.Unix(int64(day)*86400, 0).UTC().Format(time.DateOnly)
}

// batchEvents is how many events replay appends at a time.
const batchEvents = 32 << 10

// replay is a store of customers, each of whom did some of the events: parts
// lists, by customer, which. Customer i is called name(i).
func (h *history) replay(parts [][]int) (*timeline.Store, error) {
	dicts := datasets.NewDicts()
	log := timeline.NewLog(dicts, 1)
	var b datasets.Batch
	flush := func() error {
		if b.Len() == 0 {
			return nil
		}
		err := log.Append(0, &b)
		b = datasets.Batch{}
		return err
	}
	code := func(d *datasets.Dict, s string) uint32 {
		if s == "" {
			return 0
		}
		return d.CodeString(s)
	}
	add := func(f datasets.Field, col *[]uint32, d *datasets.Dict, s string) {
		if h.brings[f] {
			*col = append(*col, code(d, s))
		}
	}
	for i, part := range parts {
		customer := dicts.Customer.CodeString(name(i))
		for _, at := range part {
			e := &h.events[at]
			b.Customer = append(b.Customer, customer)
			b.Time = append(b.Time, e.time)
			b.Role = append(b.Role, e.role)
			b.Type = append(b.Type, code(dicts.Type, e.typ))
			if h.brings[datasets.Amount] {
				b.Amount = append(b.Amount, e.amount)
			}
			if h.brings[datasets.Quantity] {
				b.Quantity = append(b.Quantity, e.quantity)
			}
			if h.brings[datasets.Rating] {
				b.Rating = append(b.Rating, e.rating)
			}
			add(datasets.ProductID, &b.Product, dicts.Product, e.product)
			add(datasets.Category, &b.Category, dicts.Category, e.category)
			add(datasets.Channel, &b.Channel, dicts.Channel, e.channel)
			add(datasets.CampaignID, &b.Campaign, dicts.Campaign, e.campaign)
			if h.brings[datasets.SessionID] {
				b.Session = append(b.Session, uint64(e.session))
			}
			if b.Len() == batchEvents {
				if err := flush(); err != nil {
					return nil, err
				}
			}
		}
	}
	if err := flush(); err != nil {
		return nil, err
	}
	return log.Freeze(timeline.Options{Zone: h.zone, Dedupe: timeline.DedupeNone, IDType: datasets.IDType{Kind: datasets.IDString}}), nil
}

// name is a customer of replay.
func name(i int) string { return strconv.Itoa(i) }

// all are the positions of every event.
func (h *history) all() []int {
	at := make([]int, len(h.events))
	for i := range at {
		at[i] = i
	}
	return at
}

// without is a part of a history less one of its events.
func without(part []int, at int) []int {
	return slices.DeleteFunc(slices.Clone(part), func(i int) bool { return i == at })
}

// idAt is the dictionary form of the id in a row of a feature table.
func idAt(ids arrow.Array, i int) (string, error) {
	switch c := ids.(type) {
	case *array.String:
		return c.Value(i), nil
	case *array.Int64:
		return string(datasets.AppendIntID(nil, c.Value(i))), nil
	case *array.Int32:
		return string(datasets.AppendIntID(nil, int64(c.Value(i)))), nil
	case *array.FixedSizeBinary:
		return string(c.Value(i)), nil
	}
	return "", fmt.Errorf("explain: customer ids of type %v", ids.DataType())
}
