package timeline

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/internal/localtime"
)

func location(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func micros(t *testing.T, s string) int64 {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatal(err)
	}
	return at.UnixMicro()
}

func TestAsOfEndsTheLocalDay(t *testing.T) {
	for _, c := range []struct{ zone, date, instant string }{
		{"UTC", "2024-02-28", "2024-02-29T00:00:00Z"},
		{"UTC", "1900-02-28", "1900-03-01T00:00:00Z"},
		{"UTC", "9999-12-30", "9999-12-31T00:00:00Z"},
		{"Europe/Berlin", "2024-03-30", "2024-03-30T23:00:00Z"},
		{"Europe/Berlin", "2024-03-31", "2024-03-31T22:00:00Z"}, // 23 hours long
		{"America/New_York", "2024-11-03", "2024-11-04T05:00:00Z"},
		// São Paulo sprang forward at midnight: the 4th begins at one o'clock.
		{"America/Sao_Paulo", "2018-11-03", "2018-11-04T03:00:00Z"},
		// and fell back at midnight: the 17th had its last hour twice.
		{"America/Sao_Paulo", "2018-02-17", "2018-02-18T03:00:00Z"},
		// St John's fell back from 00:01 to 23:01: the 7th begins at its first midnight.
		{"America/St_Johns", "2010-11-06", "2010-11-07T02:30:00Z"},
		// Samoa skipped the 30th of December 2011 altogether.
		{"Pacific/Apia", "2011-12-29", "2011-12-30T10:00:00Z"},
	} {
		a, err := ParseAsOf(c.date, location(t, c.zone))
		if err != nil {
			t.Fatal(err)
		}
		if got := time.UnixMicro(a.Instant).UTC().Format(time.RFC3339); got != c.instant {
			t.Errorf("%s %s ends at %s, want %s", c.zone, c.date, got, c.instant)
		}
	}
	for _, bad := range []string{"", "2024-02-30", "20240230", "2024-1-1", "yesterday", "9999-12-31", "0000-12-31"} {
		if _, err := ParseAsOf(bad, time.UTC); err == nil {
			t.Errorf("%q was read as a date", bad)
		}
	}
}

// Days are what as-of instants delimit: an event is on day d exactly when it
// lies between the ends of d-1 and d. Days never go back.
func TestDaysAgreeWithAsOfInstants(t *testing.T) {
	zones := []string{"UTC", "Europe/London", "America/New_York", "America/Sao_Paulo", "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Auckland"}
	rapid.Check(t, func(rt *rapid.T) {
		zone := location(t, rapid.SampledFrom(zones).Draw(rt, "zone"))
		clock := localtime.NewClock(zone)
		at := rapid.Int64Range(micros(t, "1987-01-01T00:00:00Z"), micros(t, "2026-01-01T00:00:00Z")).Draw(rt, "at")
		if rapid.Bool().Draw(rt, "near a change") {
			if _, end := time.UnixMicro(at).In(zone).ZoneBounds(); !end.IsZero() {
				at = end.UnixMicro() + rapid.Int64Range(-4*3_600_000_000, 4*3_600_000_000).Draw(rt, "offset")
			}
		}
		day := clock.Day(at)
		if again := localtime.NewClock(zone).Day(at); again != day {
			rt.Fatalf("day %d, and %d by a clock that remembered nothing", day, again)
		}
		asOf := NewAsOf(time.Unix(int64(day)*86400, 0).UTC(), zone)
		if before := asOf.Add(-1, zone); at < before.Instant || at >= asOf.Instant {
			rt.Fatalf("%v in %v is said to be on %v, which runs from %v to %v", time.UnixMicro(at).UTC(), zone, asOf, time.UnixMicro(before.Instant).UTC(), time.UnixMicro(asOf.Instant).UTC())
		}
		_, seconds := clock.Read(at)
		if h, m, sec := time.UnixMicro(at).In(zone).Clock(); int(seconds) != h*3600+m*60+sec {
			rt.Fatalf("%v in %v: the clock shows %d s, want %02d:%02d:%02d", time.UnixMicro(at).UTC(), zone, seconds, h, m, sec)
		}
		if later := clock.Day(at + 1); later < day {
			rt.Fatalf("the day after %v goes back", time.UnixMicro(at).UTC())
		}
	})
}

type row struct {
	customer string
	time     int64
	role     datasets.Role
	amount   datasets.Money
	event    string
}

func freeze(t *testing.T, rows []row, workers int, dedupe Dedupe) *Store {
	t.Helper()
	dicts := datasets.NewDicts()
	log := NewLog(dicts, workers)
	for i, r := range rows {
		b := datasets.Batch{
			Customer: []uint32{dicts.Customer.CodeString(r.customer)}, Time: []int64{r.time}, Role: []datasets.Role{r.role},
			Type: []uint32{0}, Amount: []datasets.Money{r.amount}, EventID: []uint64{0},
		}
		if r.event != "" {
			b.EventID[0] = datasets.HashID([]byte(r.event))
		}
		if err := log.Append(i%workers, &b); err != nil {
			t.Fatal(err)
		}
	}
	return log.Freeze(Options{Zone: time.UTC, Dedupe: dedupe, IDType: datasets.IDType{Kind: datasets.IDString}})
}

// dump writes timelines as text: "a: 1 purchase 5; 2 view null".
func dump(t *testing.T, s *Store) []string {
	t.Helper()
	var lines []string
	err := s.Replay(t.Context(), 1, func(_, _ int, tl *Timeline) error {
		lines = append(lines, line(tl))
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return lines
}

func line(tl *Timeline) string {
	h, _ := tl.Before(AsOf{Instant: 1 << 62})
	line := tl.ID + ":"
	for i := range h.Time {
		line += fmt.Sprintf(" %d %v %v;", h.Time[i], h.Role[i], h.Amount[i])
	}
	return line
}

func TestDedupe(t *testing.T) {
	rows := []row{
		{"a", 2, datasets.Purchase, 50000, "e1"},
		{"a", 1, datasets.View, datasets.NullMoney, ""},
		{"a", 2, datasets.Purchase, 50000, "e1"}, // the same row
		{"a", 3, datasets.Purchase, 70000, "e1"}, // the same id, sent again later
		{"a", 1, datasets.View, datasets.NullMoney, ""},
		{"b", 2, datasets.Purchase, 50000, "e1"}, // another customer's
	}
	for _, c := range []struct {
		name   string
		dedupe Dedupe
		want   []string
	}{
		{"none", DedupeNone, []string{"a: 1 view null; 1 view null; 2 purchase 5; 2 purchase 5; 3 purchase 7;", "b: 2 purchase 5;"}},
		{"exact", DedupeExact, []string{"a: 1 view null; 2 purchase 5; 3 purchase 7;", "b: 2 purchase 5;"}},
		{"event id", DedupeEventID, []string{"a: 1 view null; 1 view null; 2 purchase 5;", "b: 2 purchase 5;"}},
	} {
		for workers := 1; workers <= 3; workers++ {
			if got := dump(t, freeze(t, rows, workers, c.dedupe)); !slices.Equal(got, c.want) {
				t.Errorf("%s, %d workers: %q, want %q", c.name, workers, got, c.want)
			}
		}
	}
}

// Events carry the day and the time of day that the local clock showed, before
// 1970 too.
func TestEventsCarryTheLocalClock(t *testing.T) {
	for _, c := range []struct {
		zone, instant string
		day, clock    int32
	}{
		{"UTC", "1970-01-01T00:00:00Z", 0, 0},
		{"UTC", "1969-12-31T23:59:59.999999Z", -1, 86_399},
		{"Asia/Kathmandu", "2024-01-01T18:15:00Z", 19_724, 0}, // five hours and three quarters ahead
		{"America/New_York", "2024-03-10T06:59:59Z", 19_792, 7_199},
		{"America/New_York", "2024-03-10T07:00:00Z", 19_792, 10_800}, // two o'clock did not happen
	} {
		s := freeze(t, []row{{"a", micros(t, c.instant), datasets.View, 1, ""}}, 1, DedupeNone)
		s.opts.Zone = location(t, c.zone)
		err := s.Replay(t.Context(), 1, func(_, _ int, tl *Timeline) error {
			h, _ := tl.Before(AsOf{Instant: 1 << 62})
			if len(h.Clock) != 1 || h.Day[0] != c.day || h.Clock[0] != c.clock {
				t.Errorf("%s in %s: day %v, clock %v, want %d and %d", c.instant, c.zone, h.Day, h.Clock, c.day, c.clock)
			}
			return nil
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A bucket that never saw an optional column gets nulls, not another bucket's
// values: sources differ in what they bring.
func TestOptionalColumnsOfDifferentSources(t *testing.T) {
	for workers := 1; workers <= 2; workers++ {
		dicts := datasets.NewDicts()
		log := NewLog(dicts, workers)
		for i := range 500 {
			b := datasets.Batch{Customer: []uint32{dicts.Customer.CodeString(fmt.Sprint(i))}, Time: []int64{int64(i)}, Role: []datasets.Role{datasets.Purchase}, Type: []uint32{0}}
			if i%2 == 0 {
				b.Product = []uint32{dicts.Product.CodeString("p")}
				b.Amount = []datasets.Money{datasets.Money(i)}
			}
			if err := log.Append(i%workers, &b); err != nil {
				t.Fatal(err)
			}
		}
		s := log.Freeze(Options{Zone: time.UTC})
		seen := 0
		err := s.Replay(t.Context(), 2, func(_, _ int, tl *Timeline) error {
			h, ok := tl.Before(AsOf{Instant: 1 << 62})
			if !ok || h.Len() != 1 || len(h.Product) != 1 || len(h.Amount) != 1 {
				return fmt.Errorf("customer %s: %+v", tl.ID, h)
			}
			even := h.Time[0]%2 == 0
			if (h.Product[0] != 0) != even || (h.Amount[0] != datasets.NullMoney) != even {
				return fmt.Errorf("customer %s: product %d, amount %v", tl.ID, h.Product[0], h.Amount[0])
			}
			return nil
		}, func(int) {})
		if err != nil {
			t.Error(err)
		}
		c, err := s.Census(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if seen = int(c.Customers); seen != 500 {
			t.Errorf("%d customers, want 500", seen)
		}
	}
}

// A history cannot be stretched over what it must not see.
func TestHistoryHasNoCapacityBeyondItself(t *testing.T) {
	s := freeze(t, []row{{"a", 1, datasets.View, 1, ""}, {"a", 5, datasets.Purchase, 2, ""}, {"a", 9, datasets.Purchase, 3, ""}}, 1, DedupeNone)
	err := s.Replay(t.Context(), 1, func(_, _ int, tl *Timeline) error {
		h, ok := tl.Before(AsOf{Instant: 5}) // strictly before
		if !ok || h.Len() != 1 || cap(h.Time) != 1 || cap(h.Role) != 1 || cap(h.Amount) != 1 || cap(h.Day) != 1 || cap(h.Clock) != 1 {
			t.Errorf("history %+v", h)
		}
		if p := h.Positions(datasets.Purchase); len(p) != 0 {
			t.Errorf("positions %v of purchases that have not happened", p)
		}
		h, _ = tl.Before(AsOf{Instant: 9})
		if p := h.Positions(datasets.Purchase); len(p) != 1 || p[0] != 1 || cap(p) != 1 {
			t.Errorf("positions %v, want [1]", p)
		}
		if _, ok := tl.Before(AsOf{Instant: 1}); ok {
			t.Error("a history before the first event")
		}
		if o := tl.Between(AsOf{Instant: 5}, AsOf{Instant: 9}); o.Len() != 1 || !o.Has(datasets.Purchase) || o.Has(datasets.View) {
			t.Errorf("outcome %+v", o)
		}
		if o := tl.Between(AsOf{Instant: 9}, AsOf{Instant: 5}); o.Len() != 0 {
			t.Errorf("a window that ends before it begins holds %d events", o.Len())
		}
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
}

// A few impossible dates do not stretch history; a slow beginning is history.
func TestCensusStart(t *testing.T) {
	day := func(d int) int64 { return int64(d) * localtime.DayMicros }
	var rows []row
	for i := range 60 {
		rows = append(rows, row{fmt.Sprint("c", i), day(19000 + i*5), datasets.Purchase, 1, ""})
	}
	for _, c := range []struct {
		name  string
		extra []row
		start int32
		early int64
	}{
		{"plain", nil, 19000, 0},
		{"epoch", []row{{"x", 0, datasets.View, 1, ""}}, 19000, 1},
		{"a known customer's epoch", []row{{"c9", 0, datasets.View, 1, ""}}, 19000, 1},
		{"within a year", []row{{"x", day(19000 - 300), datasets.View, 1, ""}}, 18700, 0},
		{"many", []row{{"x", 0, datasets.View, 1, ""}, {"y", 0, datasets.View, 1, ""}, {"z", day(1), datasets.View, 1, ""}}, 0, 0},
	} {
		s := freeze(t, append(slices.Clone(rows), c.extra...), 2, DedupeNone)
		got, err := s.Census(t.Context(), 2)
		if err != nil || got.Start != c.start || got.Early != c.early {
			t.Errorf("%s: start %d with %d before, want %d with %d (%v)", c.name, got.Start, got.Early, c.start, c.early, err)
		}
	}
}

// Any order of arrival over any number of workers makes the same timelines and
// the same digest, and another event makes another digest.
func TestStoreIgnoresOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 60).Draw(rt, "n")
		rows := make([]row, n)
		for i := range rows {
			rows[i] = row{
				customer: rapid.SampledFrom([]string{"a", "b", "", "ccccccccc"}).Draw(rt, "customer"),
				time:     int64(rapid.IntRange(0, 3).Draw(rt, "time")),
				role:     datasets.Role(rapid.IntRange(0, 2).Draw(rt, "role")),
				amount:   rapid.SampledFrom([]datasets.Money{datasets.NullMoney, -1, 0, 7}).Draw(rt, "amount"),
				event:    rapid.SampledFrom([]string{"", "x", "y"}).Draw(rt, "event"),
			}
		}
		dedupe := Dedupe(rapid.IntRange(0, 2).Draw(rt, "dedupe"))
		want := freeze(t, rows, 1, dedupe)
		shuffled := slices.Clone(rows)
		rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0)).Shuffle(n, func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		got := freeze(t, shuffled, rapid.IntRange(1, 4).Draw(rt, "workers"), dedupe)
		if a, b := dump(t, want), dump(t, got); !slices.Equal(a, b) {
			rt.Fatalf("%q, and in another order %q", a, b)
		}
		a, _ := want.Census(t.Context(), 1)
		b, _ := got.Census(t.Context(), 2)
		if a.Digest != b.Digest || a.Events != b.Events {
			rt.Fatalf("census %+v, and in another order %+v", a, b)
		}
		shuffled[0].time += 10
		if c, _ := freeze(t, shuffled, 1, DedupeNone).Census(t.Context(), 1); c.Digest == a.Digest && dedupe == DedupeNone {
			rt.Fatalf("the digest does not see a changed time")
		}
	})
}

// A re-entry is where the local date is before the day, and only there.
func TestReentered(t *testing.T) {
	end := NewAsOf(time.Date(9999, 12, 1, 0, 0, 0, 0, time.UTC), time.UTC)
	for name, want := range map[string]int{"UTC": 0, "Europe/London": 0, "America/Sao_Paulo": 0, "America/St_Johns": 24, "Pacific/Apia": 0} {
		zone := location(t, name)
		got := Reentered(zone, end)
		late := slices.DeleteFunc(slices.Clone(got), func(r Reentry) bool { return r.Date.Year() < 1980 })
		if len(late) != want {
			t.Errorf("%s re-enters a day %d times since 1980, want %d: %v", name, len(late), want, late)
		}
		behind := func(at int64) bool {
			y, m, d := time.UnixMicro(at).In(zone).Date()
			return LocalDay(at, zone) > int32(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix()/86_400)
		}
		for _, r := range got {
			if day := int32(r.Date.Unix() / 86_400); LocalDay(r.From, zone) != day || LocalDay(r.To-1, zone) != day {
				t.Errorf("%s: %v is not on %v", name, r, day)
			}
			if !r.Date.Equal(r.Date.Truncate(24 * time.Hour)) {
				t.Errorf("%s: a re-entry on %v, which is no date", name, r.Date)
			}
			if n := len(Reentered(zone, AsOf{Instant: r.From})); n >= len(Reentered(zone, AsOf{Instant: r.From + 1})) || !slices.Equal(got[:n], Reentered(zone, AsOf{Instant: r.From})) {
				t.Errorf("%s: the re-entry from %v is before that moment, or not before the next", name, time.UnixMicro(r.From).UTC())
			}
			if behind(r.From-1) || !behind(r.From) || !behind(r.To-1) || behind(r.To) {
				t.Errorf("%s: the calendar is not behind from %v to %v exactly", name, time.UnixMicro(r.From).UTC(), time.UnixMicro(r.To).UTC())
			}
		}
	}
	if got := Reentered(location(t, "America/St_Johns"), NewAsOf(time.Date(2010, 11, 6, 0, 0, 0, 0, time.UTC), location(t, "America/St_Johns"))); got[len(got)-1].Date.Year() != 2009 {
		t.Errorf("the re-entry of 2010-11-07 is not before the end of 2010-11-06: %v", got[len(got)-1])
	}
}

// Draining a store visits what replaying it does, however many workers there
// are, takes turns in the order of the buckets and leaves nothing to replay.
func TestDrainVisitsWhatReplayDoes(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	var rows []row
	for range 6000 {
		n := r.IntN(700)
		rows = append(rows, row{fmt.Sprint("c", n*n/700), r.Int64N(50), datasets.Role(r.IntN(3)), datasets.Money(r.IntN(4)), fmt.Sprint(r.IntN(5000))})
	}
	for _, dedupe := range []Dedupe{DedupeNone, DedupeExact, DedupeEventID} {
		want := freeze(t, rows, 1, dedupe)
		lines := dump(t, want)
		counted, err := want.Census(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		counted.Digest = 0
		for workers := 1; workers <= 3; workers++ {
			s := freeze(t, rows, workers, dedupe)
			s.opts.Final = true
			var mu sync.Mutex
			var got []string
			next := 0
			census, err := s.Drain(t.Context(), workers, func(_, _ int, tl *Timeline) error {
				line := line(tl)
				mu.Lock()
				got = append(got, line)
				mu.Unlock()
				return nil
			}, func(_, bucket int) error {
				if bucket != next {
					return fmt.Errorf("bucket %d has the turn of %d", bucket, next)
				}
				next++
				return nil
			})
			if err != nil || next != NumBuckets {
				t.Fatalf("%d turns: %v", next, err)
			}
			slices.Sort(got)
			if !slices.Equal(got, lines) {
				t.Errorf("dedupe %d, %d workers: drained timelines differ from replayed ones", dedupe, workers)
			}
			if !reflect.DeepEqual(census, counted) {
				t.Errorf("dedupe %d, %d workers: census %+v, want %+v", dedupe, workers, census, counted)
			}
			if _, err := s.Drain(t.Context(), 1, func(int, int, *Timeline) error { return nil }, nil); err == nil {
				t.Error("a drained store was drained again")
			}
		}
	}
}

// An error in a visit or a turn ends the drain, also where others wait for theirs.
func TestDrainEndsWithTheFirstError(t *testing.T) {
	var rows []row
	for n := range 3000 {
		rows = append(rows, row{fmt.Sprint(n), 1, datasets.View, 1, ""})
	}
	stop := errors.New("stop")
	for _, at := range []int{0, 100, NumBuckets - 1} {
		s := freeze(t, rows, 3, DedupeNone)
		s.opts.Final = true
		_, err := s.Drain(t.Context(), 3, func(_, bucket int, _ *Timeline) error {
			if bucket == at {
				return stop
			}
			return nil
		}, func(int, int) error { return nil })
		if !errors.Is(err, stop) {
			t.Errorf("a visit of bucket %d: %v", at, err)
		}
		s = freeze(t, rows, 3, DedupeNone)
		s.opts.Final = true
		_, err = s.Drain(t.Context(), 3, func(int, int, *Timeline) error { return nil }, func(_, bucket int) error {
			if bucket == at {
				return stop
			}
			return nil
		})
		if !errors.Is(err, stop) {
			t.Errorf("the turn of bucket %d: %v", at, err)
		}
	}
}
