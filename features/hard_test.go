package features_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/featuretest"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/internal/pyoracle"
)

// These tests hold every column against its SQL on one kind of hard history
// each. hardHistory mixes most of them; here none can hide behind another.

// holds compares every column of the history with DuckDB's answers. The
// statements prepare DuckDB's events once they are loaded.
func holds(t *testing.T, es []event, opts timeline.Options, dates []string, statements ...string) {
	t.Helper()
	python := pyoracle.Python(t)
	families := features.All(features.DefaultParams())
	tables := featuretest.Tables(t, load(t, es, 2, opts), families, asOfs(t, opts.Zone, dates...), 2)
	for _, table := range tables {
		if table.Rows() == 0 {
			t.Fatalf("nobody as of %s: the case tests nothing", table.AsOf)
		}
	}
	featuretest.Report(t, featuretest.Compare(t, python, append(eventsSQL(t, es), statements...), tables, families, opts.Zone))
}

// bare is an event with nothing but a customer, a time and a role.
func bare(customer int, at int64, role datasets.Role) event {
	return event{customer: customer, time: at, role: role, amount: datasets.NullMoney, quantity: datasets.NullMoney, rating: datasets.NullMoney,
		product: -1, category: -1, channel: -1, campaign: -1, session: -1}
}

// around is random history within the given time of each of the instants, and
// some throughout the year before the last of them.
func around(seed uint64, customers, events int, within time.Duration, instants ...int64) []event {
	es := hardHistory(seed, customers, events)
	r := rand.New(rand.NewPCG(seed, 2))
	last := slices.Max(instants)
	for i := range es {
		if r.IntN(3) == 0 {
			es[i].time = last - r.Int64N(365*86_400_000_000)
			continue
		}
		es[i].time = instants[r.IntN(len(instants))] + r.Int64N(2*within.Microseconds()) - within.Microseconds()
		if r.IntN(2) == 0 {
			es[i].time -= es[i].time % 60_000_000 // whole minutes: ties, and the edges themselves
		}
	}
	return es
}

func instant(t testing.TB, s string) int64 {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatal(err)
	}
	return at.UnixMicro()
}

// Days of 23 and 25 hours: the eve of a clock change, its day and the morrow,
// in spring and in autumn, on either side of the Atlantic.
func TestHardClockChanges(t *testing.T) {
	for _, c := range []struct {
		zone, spring, autumn string
		dates                []string
	}{
		{"America/New_York", "2023-03-12T07:00:00Z", "2023-11-05T06:00:00Z", []string{"2023-03-11", "2023-03-12", "2023-03-13", "2023-11-05"}},
		{"Europe/Berlin", "2023-03-26T01:00:00Z", "2023-10-29T01:00:00Z", []string{"2023-03-26", "2023-10-28", "2023-10-29", "2023-10-30"}},
	} {
		t.Run(strings.ReplaceAll(c.zone, "/", "_"), func(t *testing.T) {
			es := around(31, 40, 1500, 26*time.Hour, instant(t, c.spring), instant(t, c.autumn))
			holds(t, es, timeline.Options{Zone: zone(t, c.zone)}, c.dates)
		})
	}
}

// Changes that touch midnight: a day that begins at one o'clock, a last hour
// that comes twice, a day entered, left and entered again, a day skipped.
func TestHardChangesAtMidnight(t *testing.T) {
	for _, c := range []struct {
		zone    string
		changes []string
		dates   []string
	}{
		{"America/Sao_Paulo", []string{"2018-11-04T03:00:00Z", "2018-02-18T02:00:00Z"}, []string{"2018-02-17", "2018-11-03", "2018-11-04"}},
		{"America/St_Johns", []string{"2010-11-07T02:31:00Z", "2010-03-14T03:31:00Z"}, []string{"2010-11-06", "2010-11-07"}},
		{"Pacific/Apia", []string{"2011-12-30T10:00:00Z"}, []string{"2011-12-29", "2011-12-31"}},
	} {
		t.Run(strings.ReplaceAll(c.zone, "/", "_"), func(t *testing.T) {
			var instants []int64
			for _, s := range c.changes {
				instants = append(instants, instant(t, s))
			}
			es := around(37, 40, 1500, 3*time.Hour, instants...)
			holds(t, es, timeline.Options{Zone: zone(t, c.zone)}, c.dates)
		})
	}
}

// Every event up to three times: three events when each row is one, one event
// when rows that agree are one, however they were shuffled.
func TestHardExactDuplicates(t *testing.T) {
	es := hardHistory(41, 40, 1500)
	r := rand.New(rand.NewPCG(41, 3))
	for i := range es {
		es[i].id = r.IntN(3) // repeats of one row agree in the id too; others may share one
	}
	for _, e := range es[:len(es):len(es)] {
		for range r.IntN(3) {
			es = append(es, e)
		}
	}
	r.Shuffle(len(es), func(i, j int) { es[i], es[j] = es[j], es[i] })
	dates := []string{"2023-10-29"}
	t.Run("kept", func(t *testing.T) { holds(t, es, timeline.Options{Zone: time.UTC}, dates) })
	t.Run("one", func(t *testing.T) {
		holds(t, es, timeline.Options{Zone: time.UTC, Dedupe: timeline.DedupeExact}, dates,
			"CREATE OR REPLACE TABLE events AS SELECT DISTINCT * FROM events")
	})
}

// Rows of one customer with one event id are one event, whatever else differs:
// the earliest, and of those at one instant the first in canonical order. The
// same id of another customer, and no id at all, are other events.
func TestHardDuplicateIDs(t *testing.T) {
	es := hardHistory(43, 40, 1500)
	r := rand.New(rand.NewPCG(43, 3))
	for i := range es {
		if es[i].id = r.IntN(400); i%3 == 0 {
			es[i].id = 0
		}
	}
	for _, e := range es[:len(es):len(es)] { // repeats at the same instant that differ in one field
		switch r.IntN(7) {
		case 0:
			e.role = datasets.Role(r.IntN(datasets.NumRoles))
		case 1:
			e.amount = datasets.Money(r.IntN(9) - 4)
		case 2:
			e.product = r.IntN(11) - 1
		case 3:
			e.channel = r.IntN(len(channels))
		case 4:
			e.rating, e.quantity = datasets.NullMoney, datasets.Money(r.IntN(3))
		case 5:
			// The campaign decides: sessions are ordered by a hash that SQL has not.
			e.session, e.campaign = r.IntN(14)-1, e.campaign+1+r.IntN(3)
		default:
			continue
		}
		es = append(es, e)
	}
	r.Shuffle(len(es), func(i, j int) { es[i], es[j] = es[j], es[i] })
	roles := []string{"'other'"}
	for _, role := range datasets.Roles() {
		roles = append(roles, "'"+role.String()+"'")
	}
	holds(t, es, timeline.Options{Zone: time.UTC, Dedupe: timeline.DedupeEventID}, []string{"2023-10-29", "2024-02-20"},
		fmt.Sprintf(`CREATE OR REPLACE TABLE events AS SELECT * FROM events QUALIFY event_id IS NULL OR 1 = row_number() OVER (PARTITION BY customer_id, event_id
 ORDER BY event_time, list_position([%s], role), event_type, amount NULLS FIRST, quantity NULLS FIRST, rating NULLS FIRST,
  product_id NULLS FIRST, category NULLS FIRST, channel NULLS FIRST, campaign_id NULLS FIRST, session_id NULLS FIRST)`, strings.Join(roles, ", ")))
}

// Everything a customer ever did happened at a handful of instants, every role
// at each of them; for some at a single one.
func TestHardTies(t *testing.T) {
	es := hardHistory(47, 40, 3000)
	r := rand.New(rand.NewPCG(47, 3))
	const day = 86_400_000_000
	begin := instant(t, "2023-06-01T00:00:00Z")
	for i := range es {
		e := &es[i]
		instants := int64(1 + e.customer%5)
		e.time = begin + int64(e.customer%3)*30*day + r.Int64N(instants)*1_800_000_000
		e.role = datasets.Role(r.IntN(datasets.NumRoles))
	}
	holds(t, es, timeline.Options{Zone: time.UTC}, []string{"2023-06-01", "2023-06-30", "2023-07-31"})
}

// A customer of one event, of each role, with every field and with none, now,
// lately and long ago.
func TestHardOneEventCustomers(t *testing.T) {
	var es []event
	const day = 86_400_000_000
	end := instant(t, "2023-10-30T00:00:00Z")
	for r := range datasets.NumRoles {
		for k, age := range []int64{1, 1_800_000_001, day, day + 1, 31 * day, 400 * day} {
			e := bare(len(es), end-age, datasets.Role(r))
			es = append(es, e)
			e.customer++
			e.amount, e.quantity, e.rating = datasets.Money(k-2)*12_345, datasets.Money(k)*datasets.MoneyScale, datasets.Money(k)*datasets.MoneyScale
			e.product, e.category, e.channel, e.campaign, e.session = k, k, (r+k)%len(channels), k, k
			es = append(es, e)
		}
	}
	holds(t, es, timeline.Options{Zone: time.UTC}, []string{"2022-10-29", "2023-10-28", "2023-10-29"})
}

// A customer of a million events beside some of few: counters, sums and sorted
// runs of any size, and a timeline far beyond a block of the log.
func TestHardMillionEvents(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	es := hardHistory(53, 1, 1_000_000)
	for i := range es {
		if es[i].customer < 50 {
			es[i].customer = 0
		}
		if i%3 > 0 && es[i].product >= 0 { // dictionaries larger than a customer of few events ever meets
			es[i].product, es[i].session = i%40_000, i/9%20_000
		}
	}
	holds(t, es, timeline.Options{Zone: time.UTC}, []string{"2023-10-29"})
}

// Columns that a source maps and leaves empty: every one in turn, and all.
func TestHardNulls(t *testing.T) {
	blanks := []struct {
		name  string
		blank func(*event)
	}{
		{"amount", func(e *event) { e.amount = datasets.NullMoney }},
		{"quantity", func(e *event) { e.quantity = datasets.NullMoney }},
		{"rating", func(e *event) { e.rating = datasets.NullMoney }},
		{"product", func(e *event) { e.product = -1 }},
		{"category", func(e *event) { e.category = -1 }},
		{"channel", func(e *event) { e.channel = -1 }},
		{"campaign", func(e *event) { e.campaign = -1 }},
		{"session", func(e *event) { e.session = -1 }},
	}
	// A customer lacks the columns of the bits of its number: all of 256 ways at once.
	es := hardHistory(59, 256, 8000)
	for i := range es {
		es[i].customer %= 256
		for bit, b := range blanks {
			if es[i].customer>>bit&1 == 1 {
				b.blank(&es[i])
			}
		}
	}
	t.Run("each customer others", func(t *testing.T) {
		holds(t, es, timeline.Options{Zone: time.UTC}, []string{"2023-10-29"})
	})
	for i := range es {
		for _, b := range blanks {
			b.blank(&es[i])
		}
	}
	t.Run("all", func(t *testing.T) { holds(t, es[:3000], timeline.Options{Zone: time.UTC}, []string{"2023-10-29"}) })
}

// Amounts, quantities and ratings below zero, at zero, and as large as any may be.
func TestHardAmounts(t *testing.T) {
	holds(t, hardAmounts(), timeline.Options{Zone: time.UTC}, []string{"2023-10-29", "2024-02-20"})
}

func hardAmounts() []event {
	es := hardHistory(61, 60, 3000)
	r := rand.New(rand.NewPCG(61, 3))
	for i := range es {
		e := &es[i]
		switch e.customer % 5 {
		case 0: // nothing but negative
			e.amount, e.quantity, e.rating = -1-datasets.Money(r.IntN(90_000)), -1-datasets.Money(r.IntN(30_000)), -1-datasets.Money(r.IntN(50_000))
		case 1: // cancelling out to nothing
			e.amount = datasets.Money(r.IntN(3)-1) * 50_000
			e.quantity = datasets.Money(r.IntN(3)-1) * datasets.MoneyScale
		case 2: // the largest there are
			e.amount = datasets.MaxMoney - datasets.Money(r.IntN(3))
			if r.IntN(3) == 0 {
				e.amount = -e.amount
			}
			e.quantity = datasets.MaxMoney / 1000
		case 3: // the least there are
			e.amount, e.quantity = datasets.Money(r.IntN(3)-1), 1
		case 4:
			e.amount, e.quantity, e.rating = 0, 0, 0
		}
	}
	return es
}

// Events of 1900 and 9999 beside those of today: sessions, carts and campaigns
// that last eight thousand years, ages of millions of days.
func TestHardYears1900And9999(t *testing.T) {
	es := hardHistory(67, 40, 3000)
	r := rand.New(rand.NewPCG(67, 3))
	far := []int64{
		instant(t, "1900-01-01T00:00:00Z"), instant(t, "1900-02-28T23:59:59.999999Z"), instant(t, "1900-03-01T00:00:00Z"),
		instant(t, "1969-12-31T23:59:59.999999Z"), instant(t, "1970-01-01T00:00:00Z"),
		instant(t, "9999-06-30T12:00:00Z"), instant(t, "9999-12-30T23:59:59.999999Z"), instant(t, "9999-12-31T00:00:00Z"), instant(t, "9999-12-31T23:59:59.999999Z"),
	}
	for i := range es {
		switch es[i].customer % 4 {
		case 0: // a date in a while that cannot be
			if r.IntN(10) == 0 {
				es[i].time = far[r.IntN(len(far))]
			}
		case 1: // nothing but such dates
			es[i].time = far[r.IntN(len(far))]
		case 2: // and more of them
			es[i].time = far[r.IntN(len(far))] + r.Int64N(86_400_000_000)
			if es[i].time > far[len(far)-1] {
				es[i].time = far[len(far)-1]
			}
		}
	}
	// Forty times eight thousand years in µs are beyond int64.
	for i := range 40 {
		for _, x := range []struct {
			role datasets.Role
			at   int64
		}{
			{datasets.MessageSent, far[0]}, {datasets.CartAdd, far[0] + int64(i)},
			{datasets.CartAdd, far[6] - 50}, {datasets.Purchase, far[6] - 40 + int64(i)}, {datasets.MessageOpen, far[6]},
		} {
			e := bare(9999, x.at, x.role)
			e.session, e.campaign = i, i
			es = append(es, e)
		}
	}
	for _, z := range []string{"UTC", "America/New_York"} {
		t.Run(strings.ReplaceAll(z, "/", "_"), func(t *testing.T) {
			location := time.UTC
			if z != "UTC" {
				location = zone(t, z)
			}
			holds(t, es, timeline.Options{Zone: location}, []string{"1900-02-28", "2023-10-29", "9999-12-30"})
		})
	}
}
