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

// A hardCase is one kind of hard history, on which every column is held against
// its SQL. hardHistory mixes most of them; here none can hide behind another.
type hardCase struct {
	name   string
	events []event
	opts   timeline.Options
	dates  []string
	// prepare are statements that DuckDB executes once the events are loaded.
	prepare []string
}

// hardCases are all of them but the customer of a million events.
func hardCases(t *testing.T) []hardCase {
	return slices.Concat(clockChanges(t), changesAtMidnight(t), exactDuplicates(), duplicateIDs(), ties(t), oneEventCustomers(t), missingColumns(), amounts(), prices(t), years1900And9999(t))
}

// hold compares every column of the histories with DuckDB's answers.
func hold(t *testing.T, cases []hardCase) {
	t.Helper()
	python := pyoracle.Python(t)
	families := features.All(features.DefaultParams())
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tables := featuretest.Tables(t, load(t, c.events, 2, c.opts), families, asOfs(t, c.opts.Zone, c.dates...), 2)
			for _, table := range tables {
				if table.Rows() == 0 {
					t.Fatalf("nobody as of %s: the case tests nothing", table.AsOf)
				}
			}
			featuretest.Report(t, featuretest.Compare(t, python, append(eventsSQL(t, c.events), c.prepare...), tables, families, c.opts.Zone))
		})
	}
}

func TestHardClockChanges(t *testing.T)      { hold(t, clockChanges(t)) }
func TestHardChangesAtMidnight(t *testing.T) { hold(t, changesAtMidnight(t)) }
func TestHardExactDuplicates(t *testing.T)   { hold(t, exactDuplicates()) }
func TestHardDuplicateIDs(t *testing.T)      { hold(t, duplicateIDs()) }
func TestHardTies(t *testing.T)              { hold(t, ties(t)) }
func TestHardOneEventCustomers(t *testing.T) { hold(t, oneEventCustomers(t)) }
func TestHardMillionEvents(t *testing.T)     { hold(t, millionEvents(t)) }
func TestHardNulls(t *testing.T)             { hold(t, missingColumns()) }
func TestHardAmounts(t *testing.T)           { hold(t, amounts()) }
func TestHardPrices(t *testing.T)            { hold(t, prices(t)) }
func TestHardYears1900And9999(t *testing.T)  { hold(t, years1900And9999(t)) }

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
func clockChanges(t *testing.T) []hardCase {
	var cases []hardCase
	for _, c := range []struct {
		zone, spring, autumn string
		dates                []string
	}{
		{"America/New_York", "2023-03-12T07:00:00Z", "2023-11-05T06:00:00Z", []string{"2023-03-11", "2023-03-12", "2023-03-13", "2023-11-05"}},
		{"Europe/Berlin", "2023-03-26T01:00:00Z", "2023-10-29T01:00:00Z", []string{"2023-03-26", "2023-10-28", "2023-10-29", "2023-10-30"}},
	} {
		es := around(31, 40, 1500, 26*time.Hour, instant(t, c.spring), instant(t, c.autumn))
		cases = append(cases, hardCase{strings.ReplaceAll(c.zone, "/", "_"), es, timeline.Options{Zone: zone(t, c.zone)}, c.dates, nil})
	}
	return cases
}

// Changes that touch midnight: a day that begins at one o'clock, a last hour
// that comes twice, a day entered, left and entered again, a day skipped.
func changesAtMidnight(t *testing.T) []hardCase {
	var cases []hardCase
	for _, c := range []struct {
		zone    string
		changes []string
		dates   []string
	}{
		{"America/Sao_Paulo", []string{"2018-11-04T03:00:00Z", "2018-02-18T02:00:00Z"}, []string{"2018-02-17", "2018-11-03", "2018-11-04"}},
		{"America/St_Johns", []string{"2010-11-07T02:31:00Z", "2010-03-14T03:31:00Z"}, []string{"2010-11-06", "2010-11-07"}},
		{"Pacific/Apia", []string{"2011-12-30T10:00:00Z"}, []string{"2011-12-29", "2011-12-31"}},
	} {
		var instants []int64
		for _, s := range c.changes {
			instants = append(instants, instant(t, s))
		}
		es := around(37, 40, 1500, 3*time.Hour, instants...)
		cases = append(cases, hardCase{strings.ReplaceAll(c.zone, "/", "_"), es, timeline.Options{Zone: zone(t, c.zone)}, c.dates, nil})
	}
	return cases
}

// Every event up to three times: three events when each row is one, one event
// when rows that agree are one, however they were shuffled.
func exactDuplicates() []hardCase {
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
	return []hardCase{
		{"duplicates_kept", es, timeline.Options{Zone: time.UTC}, dates, nil},
		{"duplicates_once", es, timeline.Options{Zone: time.UTC, Dedupe: timeline.DedupeExact}, dates,
			[]string{"CREATE OR REPLACE TABLE events AS SELECT DISTINCT * FROM events"}},
	}
}

// Rows of one customer with one event id are one event, whatever else differs:
// the earliest, and of those at one instant the first in canonical order. The
// same id of another customer, and no id at all, are other events.
func duplicateIDs() []hardCase {
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
	return []hardCase{{"duplicate_ids", es, timeline.Options{Zone: time.UTC, Dedupe: timeline.DedupeEventID}, []string{"2023-10-29", "2024-02-20"},
		[]string{fmt.Sprintf(`CREATE OR REPLACE TABLE events AS SELECT * FROM events QUALIFY event_id IS NULL OR 1 = row_number() OVER (PARTITION BY customer_id, event_id
 ORDER BY event_time, list_position([%s], role), event_type, amount NULLS FIRST, quantity NULLS FIRST, rating NULLS FIRST,
  product_id NULLS FIRST, category NULLS FIRST, channel NULLS FIRST, campaign_id NULLS FIRST, session_id NULLS FIRST)`, strings.Join(roles, ", "))}}}
}

// Everything a customer ever did happened at a handful of instants, every role
// at each of them; for some at a single one.
func ties(t *testing.T) []hardCase {
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
	return []hardCase{{"ties", es, timeline.Options{Zone: time.UTC}, []string{"2023-06-01", "2023-06-30", "2023-07-31"}, nil}}
}

// A customer of one event, of each role, with every field and with none, now,
// lately and long ago.
func oneEventCustomers(t *testing.T) []hardCase {
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
	return []hardCase{{"one_event", es, timeline.Options{Zone: time.UTC}, []string{"2022-10-29", "2023-10-28", "2023-10-29"}, nil}}
}

// A customer of a million events beside some of few: counters, sums and sorted
// runs of any size, and a timeline far beyond a block of the log.
func millionEvents(t *testing.T) []hardCase {
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
	return []hardCase{{"million_events", es, timeline.Options{Zone: time.UTC}, []string{"2023-10-29"}, nil}}
}

// Columns that a source maps and leaves empty: every one in turn, and all.
func missingColumns() []hardCase {
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
	empty := slices.Clone(es[:3000])
	for i := range empty {
		for _, b := range blanks {
			b.blank(&empty[i])
		}
	}
	return []hardCase{
		{"nulls_by_customer", es, timeline.Options{Zone: time.UTC}, []string{"2023-10-29"}, nil},
		{"nulls_everywhere", empty, timeline.Options{Zone: time.UTC}, []string{"2023-10-29"}, nil},
	}
}

// Amounts, quantities and ratings below zero, at zero, and as large as any may be.
func amounts() []hardCase {
	return []hardCase{{"amounts", hardAmounts(), timeline.Options{Zone: time.UTC}, []string{"2023-10-29", "2024-02-20"}, nil}}
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

// The same product again at prices from a tenth off to exactly one in a hundred
// off, a hair more and less, nothing off, and dearer; at one instant and later.
func prices(t *testing.T) []hardCase {
	var es []event
	begin := instant(t, "2023-09-01T10:00:00Z")
	for c, paid := range []datasets.Money{900_000, 989_999, 990_000, 990_001, 1_000_000, 1_010_000} {
		for k, later := range []int64{0, 1, 86_400_000_000} {
			for _, x := range []struct {
				amount datasets.Money
				at     int64
			}{{1_000_000, begin}, {paid, begin + later}, {paid, begin + 2*later}} {
				e := bare(10*c+k, x.at, datasets.Purchase)
				e.amount, e.quantity, e.product = x.amount, datasets.MoneyScale, 1
				es = append(es, e)
			}
		}
	}
	return []hardCase{{"prices", es, timeline.Options{Zone: time.UTC}, []string{"2023-09-01", "2023-10-29"}, nil}}
}

// Events of 1900 and 9999 beside those of today: sessions, carts and campaigns
// that last eight thousand years, ages of millions of days.
func years1900And9999(t *testing.T) []hardCase {
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
	// Gaps of thousands of years that differ by a day: their variance is a small
	// difference of large squares.
	for _, d := range []int64{0, 1_479_000, 2_958_001} {
		es = append(es, bare(9998, far[0]+d*86_400_000_000, datasets.Purchase))
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
	dates := []string{"1900-02-28", "2023-10-29", "9999-12-30"}
	return []hardCase{
		{"years_utc", es, timeline.Options{Zone: time.UTC}, dates, nil},
		{"years_new_york", es, timeline.Options{Zone: zone(t, "America/New_York")}, dates, nil},
	}
}
