package timeline

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/spool"
	"github.com/shoal-data/shoal/features/internal/localtime"
)

// A fact is an event with all its fields; what is absent is NullMoney, "" or 0.
type fact struct {
	customer string
	time     int64
	role     datasets.Role
	money    [numMoney]datasets.Money
	texts    [numCodes]string
	hashes   [numHashes]uint64
}

// compareFacts is the canonical order of one customer's events, written plainly.
func compareFacts(a, b fact) int {
	c := cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.role, b.role), cmp.Compare(a.texts[eventType], b.texts[eventType]))
	for i := range numMoney {
		c = cmp.Or(c, cmp.Compare(a.money[i], b.money[i]))
	}
	for _, i := range []int{currency, product, category, channel, campaign} {
		c = cmp.Or(c, cmp.Compare(a.texts[i], b.texts[i]))
	}
	return cmp.Or(c, cmp.Compare(a.hashes[session], b.hashes[session]), cmp.Compare(a.hashes[eventID], b.hashes[eventID]))
}

// withoutRepeats is what dedupe leaves of one customer's events in order.
func withoutRepeats(facts []fact, dedupe Dedupe) (kept []fact) {
	ids := map[uint64]bool{}
	for _, f := range facts {
		id := f.hashes[eventID]
		switch {
		case dedupe == DedupeExact && slices.Contains(kept, f):
		case dedupe == DedupeEventID && id != 0 && ids[id]:
		default:
			kept = append(kept, f)
		}
		ids[id] = true
	}
	return kept
}

// spelt are one customer's events as a History shows them.
func spelt(facts []fact, brings presence) (lines []string) {
	sessions := map[uint64]int{0: 0}
	for _, f := range facts {
		if _, known := sessions[f.hashes[session]]; !known {
			sessions[f.hashes[session]] = len(sessions)
		}
		line := fmt.Sprint(f.time, " ", f.role)
		for i, m := range f.money {
			if brings.money(i) {
				line += fmt.Sprint(" ", m)
			}
		}
		for _, i := range []int{eventType, product, category, channel, campaign} {
			if brings.code(i) {
				line += fmt.Sprintf(" %q", f.texts[i])
			}
		}
		if brings.hashed(session) {
			line += fmt.Sprint(" session ", sessions[f.hashes[session]])
		}
		lines = append(lines, line)
	}
	return lines
}

// shown are a History's events as spelt writes them.
func shown(h *History, s *Store) (lines []string) {
	for i := range h.Time {
		line := fmt.Sprint(h.Time[i], " ", h.Role[i])
		for _, m := range [][]datasets.Money{h.Amount, h.Quantity, h.Rating} {
			if m != nil {
				line += fmt.Sprint(" ", m[i])
			}
		}
		for k, f := range []datasets.Field{datasets.EventType, datasets.ProductID, datasets.Category, datasets.Channel, datasets.CampaignID} {
			if ranks := [][]uint32{h.Type, h.Product, h.Category, h.Channel, h.Campaign}[k]; ranks != nil {
				line += fmt.Sprintf(" %q", s.Values(f)[ranks[i]])
			}
		}
		if h.Session != nil {
			line += fmt.Sprint(" session ", h.Session[i])
		}
		lines = append(lines, line)
	}
	return lines
}

const allColumns presence = 1<<(numMoney+numCodes+numHashes) - 1

// batchOf puts facts into a batch that brings some of the columns.
func batchOf(facts []fact, dicts *datasets.Dicts, brings presence) *datasets.Batch {
	b := &datasets.Batch{}
	moneys := []*[]datasets.Money{&b.Amount, &b.Quantity, &b.Rating}
	codes := []*[]uint32{&b.Type, &b.Currency, &b.Product, &b.Category, &b.Channel, &b.Campaign}
	hashes := []*[]uint64{&b.Session, &b.EventID}
	for _, f := range facts {
		b.Customer = append(b.Customer, dicts.Customer.CodeString(f.customer))
		b.Time, b.Role = append(b.Time, f.time), append(b.Role, f.role)
		for i, to := range moneys {
			if brings.money(i) {
				*to = append(*to, f.money[i])
			}
		}
		for i, to := range codes {
			if !brings.code(i) {
				continue
			}
			code := uint32(0)
			if f.texts[i] != "" {
				code = dictsOf(dicts)[i].CodeString(f.texts[i])
			}
			*to = append(*to, code)
		}
		for i, to := range hashes {
			if brings.hashed(i) {
				*to = append(*to, f.hashes[i])
			}
		}
	}
	return b
}

// bare takes from facts what a batch that brings some of the columns has not.
func bare(facts []fact, brings presence) {
	for k := range facts {
		f := &facts[k]
		for i := range f.money {
			if !brings.money(i) {
				f.money[i] = datasets.NullMoney
			}
		}
		for i := range f.texts {
			if !brings.code(i) {
				f.texts[i] = ""
			}
		}
		for i := range f.hashes {
			if !brings.hashed(i) {
				f.hashes[i] = 0
			}
		}
	}
}

// someFacts are n events of few customers, times and values, so that many tie,
// and many differ from another in a single field.
func someFacts(r *rand.Rand, n, customers, times int) []fact {
	facts := make([]fact, 0, n)
	one := func() fact {
		f := fact{customer: fmt.Sprint("c", r.IntN(customers)), time: int64(r.IntN(times) - times/3), role: datasets.Role(r.IntN(4))}
		for i := range f.money {
			f.money[i] = []datasets.Money{datasets.NullMoney, -7, 0, 12_300}[r.IntN(4)]
		}
		for i := range f.texts {
			f.texts[i] = []string{"", "z", "a", "mm"}[r.IntN(4)]
		}
		for i := range f.hashes {
			f.hashes[i] = []uint64{0, 1, 2, 1 << 63, 0xabcdef << 20}[r.IntN(5)]
		}
		return f
	}
	for len(facts) < n {
		f := one()
		if len(facts) > 0 && r.IntN(2) == 0 {
			other := f
			f = facts[r.IntN(len(facts))]
			switch k := r.IntN(3 + numMoney + numCodes + numHashes); {
			case k == 0:
				f.role = other.role
			case k < 1+numMoney:
				f.money[k-1] = other.money[k-1]
			case k < 1+numMoney+numCodes:
				f.texts[k-1-numMoney] = other.texts[k-1-numMoney]
			case k < 1+numMoney+numCodes+numHashes:
				f.hashes[k-1-numMoney-numCodes] = other.hashes[k-1-numMoney-numCodes]
			} // or a repeat
		}
		facts = append(facts, f)
	}
	return facts
}

// modelled checks a store of facts against what is plainly so. size gives the
// rows of the next batch.
func modelled(t rapid.TB, facts []fact, r *rand.Rand, size func() int, workers int, opts Options, budget int64) {
	dicts := datasets.NewDicts()
	log := NewLog(dicts, workers).Within(spool.NewBudget(budget), "")
	var brings presence
	for from := 0; from < len(facts); {
		to := min(len(facts), from+size())
		has := allColumns
		if r.IntN(3) == 0 {
			has = presence(r.Uint32()) & allColumns
		}
		bare(facts[from:to], has)
		brings |= has
		if err := log.Append(r.IntN(workers), batchOf(facts[from:to], dicts, has)); err != nil {
			t.Fatal(err)
		}
		from = to
	}
	for _, w := range log.workers {
		for k := range w.buckets {
			b := &w.buckets[k]
			n := b.open.len()
			for _, sealed := range b.sealed {
				n += int(sealed.rows)
			}
			if n != b.rows || b.open.len() > BlockRows || slices.ContainsFunc(b.sealed, func(s sealedBlock) bool { return s.rows > BlockRows }) {
				t.Fatalf("bucket %d has %d rows, said to be %d, in blocks of more than %d", k, n, b.rows, BlockRows)
			}
		}
	}
	opts.Zone, opts.IDType = time.UTC, datasets.IDType{Kind: datasets.IDString}
	s := log.Freeze(opts)
	defer s.Close()

	want, events := map[string][]string{}, map[string][]fact{}
	for _, f := range facts {
		events[f.customer] = append(events[f.customer], f)
	}
	census := Census{Customers: int64(len(events)), First: 1 << 62, Last: -1 << 62}
	for id, facts := range events {
		slices.SortFunc(facts, compareFacts)
		kept := withoutRepeats(facts, opts.Dedupe)
		want[id] = spelt(kept, brings)
		census.Events += int64(len(kept))
		census.Duplicates += int64(len(facts) - len(kept))
		census.Busiest = max(census.Busiest, int64(len(kept)))
		census.First, census.Last = min(census.First, kept[0].time), max(census.Last, kept[len(kept)-1].time)
		for _, f := range kept {
			census.Roles[f.role]++
		}
	}
	drained := opts.Final && r.IntN(2) == 0
	var got Census
	var err error
	replays := 2 // a store can be replayed again, unless it is drained
	if drained {
		replays = 1
	} else if got, err = s.Census(context.Background(), workers); err != nil {
		t.Fatal(err)
	}
	for range replays {
		var mistakes, finished atomic.Int64
		seen := make([]map[string]bool, workers)
		visit := func(w, bucket int, tl *Timeline) error {
			h, _ := tl.Before(AsOf{Instant: 1 << 62})
			if got := shown(&h, s); !slices.Equal(got, want[tl.ID]) && mistakes.Add(1) == 1 {
				return fmt.Errorf("%s:\n%s\nwant\n%s", tl.ID, strings.Join(got, "\n"), strings.Join(want[tl.ID], "\n"))
			}
			for role := range datasets.Role(datasets.NumRoles) {
				var at []int32
				for i := range h.Role {
					if h.Role[i] == role {
						at = append(at, int32(i))
					}
				}
				if !slices.Equal(h.Positions(role), at) {
					return fmt.Errorf("%s: the positions of %v are %v, want %v", tl.ID, role, h.Positions(role), at)
				}
			}
			if seen[w] == nil {
				seen[w] = map[string]bool{}
			}
			if seen[w][tl.ID] {
				return fmt.Errorf("%s is visited twice", tl.ID)
			}
			seen[w][tl.ID] = true
			return nil
		}
		if drained {
			got, err = s.Drain(context.Background(), workers, visit, func(_, bucket int) error {
				if n := finished.Add(1) - 1; int(n) != bucket {
					return fmt.Errorf("bucket %d has its turn after %d others", bucket, n)
				}
				return nil
			})
		} else {
			err = s.Replay(context.Background(), workers, visit, func(int) { finished.Add(1) })
		}
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, ids := range seen {
			n += len(ids)
		}
		if n != len(want) || finished.Load() != NumBuckets {
			t.Fatalf("%d customers of %d were visited, and %d buckets finished", n, len(want), finished.Load())
		}
	}
	census.Start, census.Early, census.Digest = got.Start, got.Early, got.Digest // see TestStartEdges and TestDigest
	if got != census {
		t.Fatalf("census\n%+v, want\n%+v", got, census)
	}
}

// Timelines and the census are what the rows say, for any rows, batches, workers
// and budget.
func TestTimelinesAreWhatTheRowsSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		facts := someFacts(r, rapid.IntRange(1, 300).Draw(t, "events"), rapid.IntRange(1, 12).Draw(t, "customers"), rapid.SampledFrom([]int{3, 40, 1000}).Draw(t, "times"))
		if rapid.Bool().Draw(t, "sorted") {
			slices.SortFunc(facts, compareFacts)
		}
		most := rapid.IntRange(1, 200).Draw(t, "batch")
		opts := Options{Dedupe: Dedupe(rapid.IntRange(0, 2).Draw(t, "dedupe")), Final: rapid.Bool().Draw(t, "final")}
		modelled(t, facts, r, func() int { return 1 + r.IntN(most) }, rapid.IntRange(1, 4).Draw(t, "workers"), opts, rapid.SampledFrom([]int64{0, 500, 1 << 30}).Draw(t, "budget"))
	})
}

// More events than a block, a chunk and a few workers' runs hold.
func TestLongTimelines(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 2))
	facts := someFacts(r, 15_000, 1_500, 100_000)
	for i := range facts {
		switch i % 3 {
		case 0:
			facts[i].customer = "!" // the first of its bucket
		case 1:
			facts[i].time += 100_000_000
		}
		facts[i].hashes[session] = r.Uint64N(40) << 58 // many that want the same place in a table
		facts[i].hashes[eventID] = r.Uint64N(2_000) << 40
	}
	slices.SortFunc(facts[:10_000], compareFacts) // in runs for the most part
	for _, workers := range []int{1, 3} {
		for dedupe := range Dedupe(3) {
			modelled(t, slices.Clone(facts), r, func() int { return 2_500 }, workers, Options{Dedupe: dedupe, Final: true}, 100_000)
		}
	}
}

// The digest is part of a run's id: it stays what it is, sees every field of an
// event, and tells a field from another.
func TestDigest(t *testing.T) {
	digest := func(facts ...fact) uint64 {
		dicts := datasets.NewDicts()
		log := NewLog(dicts, 1)
		if err := log.Append(0, batchOf(facts, dicts, allColumns)); err != nil {
			t.Fatal(err)
		}
		c, err := log.Freeze(Options{Zone: time.UTC}).Census(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		return c.Digest
	}
	none := fact{customer: "a", money: [numMoney]datasets.Money{datasets.NullMoney, datasets.NullMoney, datasets.NullMoney}}
	full := fact{"a", 1_700_000_000_000_000, datasets.Return, [numMoney]datasets.Money{1, 2, 3}, [numCodes]string{"t", "u", "v", "w", "x", "y"}, [numHashes]uint64{4, 5}}
	second := full
	second.time, second.customer = -5, "b"
	for name, c := range map[string]struct{ got, want uint64 }{
		"an event of nothing":    {digest(none), 0x39e1413d2540c614},
		"an event of everything": {digest(full), 0x6e8f7f9aa59e6a5e},
		"three events of two":    {digest(full, second, none), 0xef1b95d58d602128},
	} {
		if c.got != c.want {
			t.Errorf("the digest of %s is %#x, and was %#x", name, c.got, c.want)
		}
	}
	known := map[uint64]string{digest(none): "nothing"}
	add := func(what string, edit func(*fact)) {
		f := none
		edit(&f)
		d := digest(f)
		if other, ok := known[d]; ok {
			t.Errorf("the digest takes %s for %s", what, other)
		}
		known[d] = what
	}
	add("a customer", func(f *fact) { f.customer = "b" })
	add("a time", func(f *fact) { f.time = 1 })
	add("a role", func(f *fact) { f.role = 1 })
	for i := range numMoney {
		add(fmt.Sprint("money ", i), func(f *fact) { f.money[i] = 1 })
	}
	for i := range numCodes {
		add(fmt.Sprint("text ", i), func(f *fact) { f.texts[i] = "1" })
	}
	for i := range numHashes {
		add(fmt.Sprint("hash ", i), func(f *fact) { f.hashes[i] = 1 })
	}
}

// A moment's day is that of its date, to the microsecond, in any year there is.
func TestAsOfDays(t *testing.T) {
	for date, today := range map[string]int32{"1970-01-01": 0, "1969-12-31": -1, "2024-02-29": 19_782, "0001-01-01": -719_162, "9999-12-30": 2_932_895} {
		a, err := ParseAsOf(date, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		if a.Today != today || a.Date.Unix() != int64(today)*86_400 || a.Date.Nanosecond() != 0 || a.Instant != (int64(today)+1)*localtime.DayMicros {
			t.Errorf("%s is day %d, %v, up to %d", date, a.Today, a.Date, a.Instant)
		}
	}
}

// History ends before its moment and an outcome begins with it: an event at the very
// microsecond is of the outcome, one a microsecond earlier of the history.
func TestTheMomentItself(t *testing.T) {
	const moment, end = 1_000_000, 2_000_000
	s := freeze(t, []row{
		{"a", moment - 1, datasets.Purchase, 1, ""}, {"a", moment, datasets.View, 2, ""}, {"a", end - 1, datasets.Purchase, 3, ""}, {"a", end, datasets.Purchase, 4, ""},
		{"b", moment, datasets.Purchase, 1, ""},
	}, 1, DedupeNone)
	amounts := func(e Events) string { return fmt.Sprint(e.Time, e.Amount) }
	err := s.Replay(t.Context(), 1, func(_, _ int, tl *Timeline) error {
		h, ok := tl.Before(AsOf{Instant: moment})
		o := tl.Between(AsOf{Instant: moment}, AsOf{Instant: end})
		if tl.ID == "b" {
			if ok || o.Len() != 1 {
				return fmt.Errorf("b has a history of %v and an outcome of %v", h.Time, o.Time)
			}
			return nil
		}
		if got := amounts(h.Events); got != "[999999] [0.0001]" {
			t.Errorf("history %s", got)
		}
		if got := amounts(o.Events); got != "[1000000 1999999] [0.0002 0.0003]" {
			t.Errorf("outcome %s", got)
		}
		for role, want := range map[datasets.Role]string{datasets.Purchase: "[0]", datasets.View: "[]", datasets.Return: "[]"} {
			if got := fmt.Sprint(h.Positions(role)); got != want {
				t.Errorf("positions of %v: %s, want %s", role, got, want)
			}
		}
		if h, _ := tl.Before(AsOf{Instant: end + 1}); fmt.Sprint(h.Positions(datasets.Purchase)) != "[0 2 3]" {
			t.Errorf("positions of all purchases: %v", h.Positions(datasets.Purchase))
		}
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
}

func TestDaysWith(t *testing.T) {
	day := func(d, hour int64) int64 { return d*localtime.DayMicros + hour*3_600_000_000 }
	s := freeze(t, []row{
		{"a", day(-1, 3), datasets.View, 1, ""}, {"a", day(0, 1), datasets.Purchase, 1, ""}, {"a", day(0, 5), datasets.View, 1, ""}, {"a", day(0, 9), datasets.Purchase, 1, ""},
		{"a", day(1, 0), datasets.View, 1, ""}, {"a", day(2, 0), datasets.Purchase, 1, ""}, {"a", day(2, 23), datasets.Purchase, 1, ""}, {"a", day(3, 0), datasets.Purchase, 1, ""},
	}, 1, DedupeNone)
	err := s.Replay(t.Context(), 1, func(_, _ int, tl *Timeline) error {
		o := tl.Between(AsOf{Instant: -1 << 62}, AsOf{Instant: 1 << 62})
		for role, want := range map[datasets.Role]int{datasets.Purchase: 3, datasets.View: 3, datasets.Return: 0} {
			if got := o.DaysWith(role); got != want {
				t.Errorf("%v on %d days, want %d", role, got, want)
			}
		}
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
}

// Where history begins, at the edges of what counts as a few and as long before.
func TestStartEdges(t *testing.T) {
	for name, c := range map[string]struct {
		firsts     map[int32]int64
		start      int32
		early, all int64
	}{
		"nobody":                    {nil, 0, 0, 0},
		"a single day":              {map[int32]int64{-5: 3}, -5, 0, 3},
		"one of nineteen":           {map[int32]int64{0: 1, 5000: 18}, 0, 0, 19},
		"one of twenty":             {map[int32]int64{0: 1, 5000: 19}, 5000, 1, 20},
		"two of 1,999":              {map[int32]int64{0: 2, 5000: 1997}, 0, 0, 1999},
		"two of 2,000":              {map[int32]int64{0: 2, 5000: 1998}, 5000, 2, 2000},
		"a leap year before":        {map[int32]int64{0: 1, 366: 19}, 0, 0, 20},
		"a day more than that":      {map[int32]int64{0: 1, 367: 19}, 367, 1, 20},
		"one, another, everybody":   {map[int32]int64{0: 1, 5000: 1, 9000: 1998}, 9000, 2, 2000},
		"one, and then a slow year": {map[int32]int64{0: 1, 5000: 1, 5300: 1998}, 5000, 1, 2000},
	} {
		if start, early := start(c.firsts, c.all); start != c.start || early != c.early {
			t.Errorf("%s: day %d with %d before, want %d with %d", name, start, early, c.start, c.early)
		}
	}
}

func TestWorkersThatAreNot(t *testing.T) {
	log := NewLog(datasets.NewDicts(), 2)
	for _, w := range []int{-1, 2} {
		if err := log.Append(w, &datasets.Batch{}); err == nil {
			t.Errorf("worker %d of 2 appends", w)
		}
	}
}

// A chunk that is cut short anywhere is an error.
func TestChunksCutShort(t *testing.T) {
	for _, brings := range []presence{allColumns, 0, allColumns &^ (1 << (numMoney + numCodes + session))} {
		c := someChunk(7, brings)
		whole := c.pack(nil, brings)
		for n := range len(whole) {
			if err := new(chunk).unpack(whole[:n], len(c.customer), len(c.time), brings); err == nil {
				t.Fatalf("%d bytes of %d are read as a chunk", n, len(whole))
			}
		}
	}
}

// A store that is closed has given up what it held, and says so: it is not one without
// customers.
func TestClosedStore(t *testing.T) {
	budget, dicts := spool.NewBudget(1<<30), datasets.NewDicts()
	log := NewLog(dicts, 1).Within(budget, "")
	if err := log.Append(0, batchOf(someFacts(rand.New(rand.NewPCG(8, 8)), 300, 20, 50), dicts, allColumns)); err != nil {
		t.Fatal(err)
	}
	s := log.Freeze(Options{Zone: time.UTC, IDType: datasets.IDType{Kind: datasets.IDString}, Final: true})
	if _, err := s.Census(t.Context(), 2); err != nil || budget.Used() == 0 {
		t.Fatalf("%d bytes held: %v", budget.Used(), err)
	}
	if err := s.Close(); err != nil || budget.Used() != 0 {
		t.Errorf("%d bytes held: %v", budget.Used(), err)
	}
	if _, err := s.Census(t.Context(), 2); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("the store was read: %v", err)
	}
}
