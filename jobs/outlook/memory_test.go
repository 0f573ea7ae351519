package outlook

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/nightly"
)

// What the plan reckons of events by their columns, before any run, is within a
// factor of two of what they take.
func TestEventMemoryMeasured(t *testing.T) {
	for name, mapped := range map[string][]datasets.Field{
		"the least": {},
		"everything": {
			datasets.Amount, datasets.Quantity, datasets.Rating, datasets.Currency, datasets.ProductID, datasets.Category,
			datasets.Channel, datasets.CampaignID, datasets.SessionID, datasets.EventID,
		},
	} {
		has := map[datasets.Field]bool{}
		for _, f := range mapped {
			has[f] = true
		}
		wantArrived, wantOrdered := bytesPerEvent(func(f datasets.Field) bool { return has[f] })
		for _, step := range []int64{1, 60_000_000} { // µs, minutes
			const n, batches, workers = 60_000, 10, 2
			dicts := datasets.NewDicts()
			log := timeline.NewLog(dicts, workers)
			r := rand.New(rand.NewPCG(1, uint64(step)))
			for k := range batches {
				if err := log.Append(k%workers, batch(r, dicts, n, int64(k)*40*86_400_000_000, step, has)); err != nil {
					t.Fatal(err)
				}
			}
			s := log.Freeze(timeline.Options{Zone: time.UTC, IDType: datasets.IDType{Kind: datasets.IDString}})
			if _, err := s.Census(t.Context(), workers); err != nil {
				t.Fatal(err)
			}
			arrived, ordered := s.Packed()
			most := float64(n*batches) - workers*timeline.NumBuckets*timeline.BlockRows/2
			for what, c := range map[string][2]float64{
				"as they arrive": {float64(arrived) / most, wantArrived},
				"in order":       {float64(ordered) / (n * batches), wantOrdered},
			} {
				t.Logf("%s, steps of %d µs: %s %.1f bytes each, %.1f by the plan", name, step, what, c[0], c[1])
				if c[1] < c[0]/2 || c[1] > c[0]*2 {
					t.Errorf("%s, steps of %d µs: events take %.1f bytes each %s, the plan says %.1f", name, step, c[0], what, c[1])
				}
			}
		}
	}
}

// batch has n events of the forty days from a moment on, with the mapped columns.
func batch(r *rand.Rand, dicts *datasets.Dicts, n int, from, step int64, has map[datasets.Field]bool) *datasets.Batch {
	b := &datasets.Batch{}
	text := func(f datasets.Field, col *[]uint32, d *datasets.Dict, kinds int) {
		if has[f] || f == datasets.EventType {
			*col = append(*col, d.CodeString(fmt.Sprint("value ", r.IntN(kinds))))
		}
	}
	money := func(f datasets.Field, col *[]datasets.Money, values, unit int) {
		if has[f] {
			*col = append(*col, datasets.Money(r.IntN(values)*unit))
		}
	}
	for range n {
		customer := fmt.Sprint("customer ", r.IntN(20_000))
		b.Customer = append(b.Customer, dicts.Customer.CodeString(customer))
		at := from + r.Int64N(40*86_400_000_000)
		b.Time, b.Role = append(b.Time, at-at%step), append(b.Role, datasets.Role(r.IntN(datasets.NumRoles)))
		text(datasets.EventType, &b.Type, dicts.Type, 20)
		money(datasets.Amount, &b.Amount, 30_000, 100)
		money(datasets.Quantity, &b.Quantity, 5, datasets.MoneyScale)
		money(datasets.Rating, &b.Rating, 6, datasets.MoneyScale)
		text(datasets.Currency, &b.Currency, dicts.Currency, 1)
		text(datasets.ProductID, &b.Product, dicts.Product, 3_000)
		text(datasets.Category, &b.Category, dicts.Category, 20)
		text(datasets.Channel, &b.Channel, dicts.Channel, 6)
		text(datasets.CampaignID, &b.Campaign, dicts.Campaign, 50)
		if has[datasets.SessionID] {
			b.Session = append(b.Session, datasets.HashID(fmt.Append(nil, customer, at/3_600_000_000)))
		}
		if has[datasets.EventID] {
			b.EventID = append(b.EventID, r.Uint64())
		}
	}
	return b
}

// How much is spilled, by what lies in memory first.
func TestSpilled(t *testing.T) {
	for _, c := range []struct{ spool, arrived, ordered, tables, want int64 }{
		{100, 60, 30, 70, 0},     // tables fill what the events leave
		{100, 60, 30, 80, 10},    // and a little more
		{100, 150, 60, 30, 50},   // more arrives than there is room for
		{100, 300, 120, 50, 270}, // 200 as they arrive, 20 in order, and all tables
		{0, 10, 5, 3, 18},
	} {
		if got := spilled(c.spool, c.arrived, c.ordered, c.tables); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

// A run that outgrew its budget is likely to do so again, and one that had room
// is likely to keep to less.
func TestLikelyPeak(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct{ budget, lastBudget, lastPeak, others, want int64 }{
		{256, 256, 271, 140, 271},
		{512, 256, 271, 140, 271},
		{256, 1024, 700, 140, 256},
		{256, 1024, 700, 300, 320}, // more than the budget without any event
		{1024, 0, 700, 140, 700},
	} {
		r := &Report{Last: &LastRun{Events: 10, Customers: 10, PeakMemoryBytes: c.lastPeak * mib, held: &nightly.Held{OrderedBytes: 20 * mib, OtherBytes: c.others * mib, BudgetBytes: c.lastBudget * mib}}}
		r.Input.LikelyEvents, r.Input.LikelyCustomers = 10, 10
		r.Memory.BudgetBytes, r.Memory.SpoolBytes = c.budget*mib, nightly.SpoolBytes(c.budget*mib)
		if r.scale(r.Last); r.Memory.LikelyPeakBytes != c.want*mib {
			t.Errorf("%+v: %d MiB", c, r.Memory.LikelyPeakBytes/mib)
		}
	}
}
