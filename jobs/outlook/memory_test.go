package outlook

import (
	"runtime"
	"testing"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
)

// held is the memory that is in use once garbage is collected.
func held() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Events take no more than the plan says, measured on the heap as they are
// collected, and not so much less that the plan says nothing.
func TestEventMemoryMeasured(t *testing.T) {
	for name, mapped := range map[string][]datasets.Field{
		"the least": {},
		"a shop":    {datasets.Amount, datasets.Currency, datasets.ProductID, datasets.SessionID},
		"everything": {
			datasets.Amount, datasets.Quantity, datasets.Rating, datasets.Currency, datasets.ProductID, datasets.Category,
			datasets.Channel, datasets.CampaignID, datasets.SessionID, datasets.EventID,
		},
	} {
		has := map[datasets.Field]bool{}
		for _, f := range mapped {
			has[f] = true
		}
		const n = 50_000
		b := batch(n, has)
		dicts := datasets.NewDicts()
		for i := range 5000 {
			b.Customer[i] = dicts.Customer.CodeString(string(rune(i + 0x4000)))
		}
		for i := range b.Customer {
			b.Customer[i] = b.Customer[i*7919%5000]
		}
		log := timeline.NewLog(dicts, 1)
		before := held()
		for k := range 40 {
			for i := range b.Time {
				b.Time[i] += 3_600_000_000
			}
			if err := log.Append(0, b); err != nil {
				t.Fatal(err)
			}
			if k != 3 && k != 39 {
				continue
			}
			events := int64(k+1) * n
			got := held() - before
			most := atMost(events, bytesPerEvent(func(f datasets.Field) bool { return has[f] }), 1)
			t.Logf("%s: %d events take %.1f bytes each, at most %.1f by the plan", name, events, float64(got)/float64(events), float64(most)/float64(events))
			if got > most || got*8 < most {
				t.Errorf("%s: %d events take %d bytes, the plan says at most %d", name, events, got, most)
			}
		}
		runtime.KeepAlive(log)
	}
}

// batch has n events with the mapped columns.
func batch(n int, has map[datasets.Field]bool) *datasets.Batch {
	b := &datasets.Batch{Customer: make([]uint32, n), Time: make([]int64, n), Role: make([]datasets.Role, n), Type: make([]uint32, n)}
	for i := range b.Time {
		b.Time[i], b.Role[i], b.Type[i] = int64(i)*977_777, datasets.Role(i%5), uint32(i%5+1)
	}
	money := func(f datasets.Field, col *[]datasets.Money) {
		if has[f] {
			for i := range n {
				*col = append(*col, datasets.Money(i*7919%1_000_000))
			}
		}
	}
	codes := func(f datasets.Field, col *[]uint32) {
		if has[f] {
			for i := range n {
				*col = append(*col, uint32(i*7919%40_000+1))
			}
		}
	}
	money(datasets.Amount, &b.Amount)
	money(datasets.Quantity, &b.Quantity)
	money(datasets.Rating, &b.Rating)
	codes(datasets.Currency, &b.Currency)
	codes(datasets.ProductID, &b.Product)
	codes(datasets.Category, &b.Category)
	codes(datasets.Channel, &b.Channel)
	codes(datasets.CampaignID, &b.Campaign)
	if has[datasets.SessionID] {
		for i := range n {
			b.Session = append(b.Session, datasets.HashID([]byte{byte(i >> 3), byte(i >> 11), byte(i >> 19)}))
		}
	}
	if has[datasets.EventID] {
		for i := range n {
			b.EventID = append(b.EventID, datasets.HashID([]byte{byte(i), byte(i >> 8), byte(i >> 16)}))
		}
	}
	return b
}
