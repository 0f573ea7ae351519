package features_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/timeline"
)

// tabulated are batches as text, in the order in which they come.
func tabulated(b features.Batch) string {
	var s strings.Builder
	fmt.Fprintln(&s, "bucket", b.Bucket, b.Record.Schema())
	for j, c := range b.Record.Columns() {
		for i := range c.Len() {
			if f, ok := c.(*array.Float64); ok && !c.IsNull(i) {
				fmt.Fprintf(&s, "%x ", math.Float64bits(f.Value(i)))
			} else {
				fmt.Fprint(&s, c.ValueStr(i), " ")
			}
		}
		fmt.Fprintln(&s, "end of", j)
	}
	return s.String()
}

// chaos are batches of events around a moment: of several times, orders and signs, with
// nulls, and of sources that lack columns.
func chaos(r *rand.Rand, dicts *datasets.Dicts, batches, customers int, moment int64) []*datasets.Batch {
	var all []*datasets.Batch
	for range batches {
		b := &datasets.Batch{}
		amounts, quantities := r.IntN(4) > 0, r.IntN(3) > 0
		for range 1 + r.IntN(400) {
			money := func() datasets.Money {
				if r.IntN(3) == 0 {
					return datasets.NullMoney
				}
				return datasets.Money(r.Int64N(2_000_000) - 400_000)
			}
			b.Customer = append(b.Customer, dicts.Customer.CodeString(fmt.Sprint("c", r.IntN(customers))))
			b.Time = append(b.Time, moment+[]int64{-1, 0, -r.Int64N(400 * 86_400_000_000), r.Int64N(9 * 86_400_000_000)}[r.IntN(4)])
			b.Role = append(b.Role, datasets.Role(r.IntN(datasets.NumRoles)))
			b.Type = append(b.Type, 0)
			if amounts {
				b.Amount = append(b.Amount, money())
			}
			if quantities {
				b.Quantity = append(b.Quantity, money())
			}
		}
		all = append(all, b)
	}
	return all
}

// Totals are what replaying every timeline says of the same rows, to the bit, in the
// same batches, whatever comes after the moment, for any number of workers; so is the
// census.
func TestTotalsAreWhatTimelinesSay(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	asOf, err := timeline.ParseAsOf("2025-03-30", berlin)
	if err != nil {
		t.Fatal(err)
	}
	snapshot := features.Snapshot{AsOf: asOf}
	id := datasets.IDType{Kind: datasets.IDString}
	r := rand.New(rand.NewPCG(21, 1))
	every := []string{"event_count_lifetime", "spend_lifetime", "refund_lifetime", "items_lifetime"}
	for role := range datasets.NumRoles {
		every = append(every, datasets.Role(role).String()+"_count_lifetime")
	}
	for round, columns := range [][]string{every, {"event_count_lifetime", "purchase_count_lifetime", "spend_lifetime"}, {"refund_lifetime"}, {"items_lifetime", "view_count_lifetime"}} {
		families, err := features.Pick(features.All(features.DefaultParams()), columns)
		if err != nil {
			t.Fatal(err)
		}
		asked, ok := features.TotalsOf(families)
		if !ok || len(asked) != len(columns) {
			t.Fatalf("%v are the totals %v", columns, asked)
		}
		workers := 1 + round
		dicts := datasets.NewDicts()
		batches := chaos(r, dicts, 30, []int{40, 4000, 300, 3}[round], asOf.Instant)
		log, totals := timeline.NewLog(dicts, workers), timeline.NewTotals(dicts, asOf, berlin, asked, workers)
		for i, b := range batches {
			if err := totals.Append(r.IntN(workers), b); err != nil {
				t.Fatal(err)
			}
			before := &datasets.Batch{Customer: []uint32{}}
			for k, at := range b.Time {
				if at < asOf.Instant { // as the reader leaves them out for a log
					before.Customer, before.Time = append(before.Customer, b.Customer[k]), append(before.Time, at)
					before.Role, before.Type = append(before.Role, b.Role[k]), append(before.Type, 0)
					if b.Amount != nil {
						before.Amount = append(before.Amount, b.Amount[k])
					}
					if b.Quantity != nil {
						before.Quantity = append(before.Quantity, b.Quantity[k])
					}
				}
			}
			if err := log.Append(i%workers, before); err != nil {
				t.Fatal(err)
			}
		}
		var want, got []string
		store := log.Freeze(timeline.Options{Zone: berlin, Dedupe: timeline.DedupeNone, IDType: id, Final: true})
		wantCensus, err := features.Stream(t.Context(), store, families, []features.Snapshot{snapshot}, workers, func(b features.Batch) error {
			want = append(want, tabulated(b))
			return nil
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		turns := 0
		census, err := features.StreamTotals(t.Context(), totals, families, snapshot, id, 3, func(b features.Batch) error {
			got = append(got, tabulated(b))
			return nil
		}, func(int) { turns++ })
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			for i := range min(len(got), len(want)) {
				if got[i] != want[i] {
					t.Fatalf("%v: batch %d is\n%s, and of timelines\n%s", columns, i, got[i], want[i])
				}
			}
			t.Fatalf("%v: %d batches, and of timelines %d", columns, len(got), len(want))
		}
		if census != wantCensus || census.Customers == 0 || turns != timeline.NumBuckets {
			t.Fatalf("census %+v after %d buckets, of timelines %+v", census, turns, wantCensus)
		}
	}
}

// Columns that are picked have the values they have among the others.
func TestPickedColumns(t *testing.T) {
	dicts := datasets.NewDicts()
	asOf := timeline.NewAsOf(time.Date(2025, 3, 30, 0, 0, 0, 0, time.UTC), time.UTC)
	r := rand.New(rand.NewPCG(21, 2))
	batches := chaos(r, dicts, 20, 50, asOf.Instant)
	// What a family does not write is null.
	sparse := features.Family{Name: "sparse", Columns: []features.Column{{Name: "sparse_a"}, {Name: "sparse_b"}}, New: func(features.Values) features.Fill {
		return func(h *timeline.History, out []float64) {
			if n := h.Len(); n%2 == 0 {
				out[1] = float64(n)
			}
		}
	}}
	all := append(features.All(features.DefaultParams()), sparse)
	table := func(families []features.Family) map[string]string {
		log := timeline.NewLog(dicts, 1)
		for _, b := range batches {
			if err := log.Append(0, b); err != nil {
				t.Fatal(err)
			}
		}
		store := log.Freeze(timeline.Options{Zone: time.UTC, IDType: datasets.IDType{Kind: datasets.IDString}, Final: true})
		columns := map[string]string{}
		err := features.Build(t.Context(), store, families, []features.Snapshot{{AsOf: asOf}}, 1, func(_ int, b features.Batch) error {
			for j, c := range b.Record.Columns() {
				columns[b.Record.ColumnName(j)] += c.String()
			}
			return nil
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return columns
	}
	whole := table(all)
	var picked []string
	for _, f := range all {
		for j := 1; j < len(f.Columns); j += 2 {
			picked = append(picked, f.Columns[j].Name)
		}
	}
	families, err := features.Pick(all, picked)
	if err != nil {
		t.Fatal(err)
	}
	got := table(families)
	if len(got) != len(picked)+1 {
		t.Fatalf("%d columns of %v", len(got), picked)
	}
	for name, values := range got {
		if values != whole[name] {
			t.Errorf("%s is %s, among all columns %s", name, values, whole[name])
		}
	}
	if _, ok := features.TotalsOf(families); ok {
		t.Error("windows and shares pass for totals")
	}
	if _, err := features.Pick(all, []string{"spend_lifetime", "spend_ever"}); err == nil || !strings.Contains(err.Error(), `"spend_ever"`) {
		t.Errorf("a column that is not there: %v", err)
	}
}
