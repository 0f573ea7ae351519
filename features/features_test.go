package features_test

import (
	"encoding/csv"
	"fmt"
	"github.com/apache/arrow/go/v17/arrow"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/featuretest"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/internal/pyoracle"
)

// An event of the random histories below; -1 stands for null.
type event struct {
	customer                 int
	time                     int64
	role                     datasets.Role
	amount, quantity, rating datasets.Money
	product, category        int
	channel, campaign        int
	session                  int
	variant                  int // of the event type: each role has several types, and −1 is null
	id                       int // of the event itself; 0 stands for null
}

// kind is the event's type.
func (e event) kind() string { return name("t"+e.role.String(), e.variant) }

// channels are what events come by: those with columns of their own in more
// than one spelling, and others.
var channels = []string{"email", "push", "sms", "mail", "ad", "social", "Email", "PUSH", "web", "store"}

// temperaments are what different customers mostly do. Whatever is not among
// them happens too, but seldom.
var temperaments = [][]datasets.Role{
	{datasets.Purchase},
	{datasets.View, datasets.View, datasets.View, datasets.Search, datasets.CartAdd, datasets.CartAdd, datasets.CartRemove, datasets.Checkout},
	{datasets.MessageSent, datasets.MessageSent, datasets.MessageOpen, datasets.MessageClick},
	{datasets.Subscribe, datasets.Renew, datasets.Cancel, datasets.Ticket, datasets.FeatureUse},
	{datasets.Purchase, datasets.Coupon, datasets.Review, datasets.View, datasets.CartAdd},
	{datasets.View},
}

// hardHistory is random history with the cases that break naive code: ties in
// time, several roles at one instant, one-event customers, negative and absent
// amounts, absent and interleaved sessions, events on both sides of midnight,
// of clock changes and of the edges of windows, gaps of exactly the length that
// ends a visit or a cart, customers of very different habits and numbers of
// events.
func hardHistory(seed uint64, customers, events int) []event {
	const minute, hour, day = 60_000_000, 3_600_000_000, 86_400_000_000
	r := rand.New(rand.NewPCG(seed, 1))
	at := func(y int, m time.Month, d, h int) int64 { return time.Date(y, m, d, h, 0, 0, 0, time.UTC).UnixMicro() }
	start := at(2023, 1, 1, 0)
	// Europe/London and America/New_York clock changes of 2023; the tests' as-of dates are among them.
	changes := []int64{at(2023, 3, 26, 1), at(2023, 10, 29, 1), at(2023, 3, 12, 7), at(2023, 11, 5, 6)}
	ends := []int64{at(2023, 3, 26, 0), at(2023, 10, 29, 0), at(2024, 2, 20, 0)}
	edges := []int64{0, 1, 6, 7, 8, 29, 30, 31, 59, 60, 89, 90, 91, 119, 120, 149, 150, 178, 179, 180, 181, 334, 335, 364, 365, 366, 394, 395}
	parts := []int64{0, 6 * hour, 12 * hour, 18 * hour, day - 1, 6*hour - 1, 12*hour - 1, 18*hour - 1}
	follow := []int64{0, 0, 0, 30 * minute, 30*minute + 1, day, day + 1, 90 * minute, 3 * day}
	maybe := func(n int) int {
		if r.IntN(4) == 0 {
			return -1
		}
		return r.IntN(n)
	}
	var es []event
	for i := range events {
		e := event{customer: r.IntN(customers), role: datasets.Role(r.IntN(datasets.NumRoles)), amount: datasets.NullMoney, quantity: datasets.NullMoney, rating: datasets.NullMoney,
			product: maybe(9), category: maybe(4), channel: maybe(len(channels)), campaign: maybe(3), session: maybe(40), variant: i%4 - 1}
		if e.customer%7 == 6 && r.IntN(8) > 0 {
			e.customer-- // every seventh customer has few events
		}
		if habits := temperaments[e.customer%len(temperaments)]; r.IntN(5) > 0 {
			e.role = habits[r.IntN(len(habits))]
		}
		switch r.IntN(6) {
		case 0:
			e.time = changes[r.IntN(len(changes))] + r.Int64N(2*hour) - hour
		case 1:
			e.time = start + r.Int64N(400)*day // midnight
		case 2:
			e.time = start + r.Int64N(400*24*4)*15*minute // quarter hours: many ties
		case 3:
			e.time = ends[r.IntN(len(ends))] - edges[r.IntN(len(edges))]*day + parts[r.IntN(len(parts))]
		default:
			e.time = start + r.Int64N(400*day)
		}
		if i > 0 && r.IntN(3) == 0 {
			last := es[i-1]
			e.customer, e.time = last.customer, last.time+follow[r.IntN(len(follow))]
			if habits := temperaments[e.customer%len(temperaments)]; r.IntN(5) > 0 {
				e.role = habits[r.IntN(len(habits))]
			}
			if r.IntN(2) == 0 {
				e.channel, e.campaign, e.session = last.channel, last.campaign, last.session
			}
		}
		if r.IntN(5) > 0 {
			e.amount = datasets.Money(r.IntN(2_000_000) - 200_000)
		}
		if r.IntN(3) > 0 {
			e.quantity = datasets.Money(r.IntN(6)) * datasets.MoneyScale
		}
		if r.IntN(60) == 0 {
			e.quantity = 1 // the least there is
		}
		if r.IntN(6) == 0 || e.role == datasets.Review {
			e.rating = datasets.Money(r.IntN(11)) * datasets.MoneyScale / 2
		}
		es = append(es, e)
	}
	// Customers of two to five events close together, where every first and last matters.
	for c := range 150 {
		at := ends[r.IntN(len(ends))] - r.Int64N(100)*day - r.Int64N(day)
		habits := temperaments[c%len(temperaments)]
		for range 2 + r.IntN(4) {
			e := event{customer: customers + 100 + c, time: at, role: habits[r.IntN(len(habits))], amount: datasets.Money(r.IntN(90_000)), quantity: datasets.MoneyScale, rating: datasets.NullMoney,
				product: maybe(2), category: maybe(2), channel: maybe(3), campaign: maybe(2), session: -1}
			if c%2 == 0 {
				e.session = maybe(2)
			}
			if r.IntN(3) == 0 {
				e.rating, e.amount = datasets.Money(r.IntN(3))*datasets.MoneyScale, datasets.NullMoney
			}
			es = append(es, e)
			at += follow[r.IntN(len(follow))]
		}
	}
	for i := range 12 { // customers who were only ever written to
		es = append(es, event{customer: customers + 5 + i%3, time: start + int64(i)*29*day, role: datasets.MessageSent, amount: datasets.NullMoney, quantity: datasets.NullMoney, rating: datasets.NullMoney,
			product: -1, category: -1, channel: i % 2, campaign: -1, session: -1})
	}
	for i, role := range []datasets.Role{datasets.CartAdd, datasets.Checkout, datasets.View} {
		for j, end := range ends { // exactly a day before the as-of instant in UTC: neither bought nor abandoned yet
			es = append(es, event{customer: customers + 8 + 3*i + j, time: end, role: role, amount: 5, quantity: datasets.NullMoney, rating: datasets.NullMoney,
				product: 1, category: -1, channel: -1, campaign: -1, session: -1})
		}
	}
	for c := range 5 { // customers of a single event
		es = append(es, event{customer: customers + c, time: start + int64(c)*day, role: datasets.Role(c), amount: datasets.NullMoney, quantity: datasets.NullMoney, rating: datasets.NullMoney,
			product: -1, category: -1, channel: -1, campaign: -1, session: -1})
	}
	return es
}

func channelName(i int) string {
	if i < 0 {
		return ""
	}
	return channels[i]
}

func eventID(id int) string {
	if id == 0 {
		return ""
	}
	return name("e", id)
}

func name(prefix string, i int) string {
	if i < 0 {
		return ""
	}
	return prefix + strconv.Itoa(i)
}

// load appends events to a log over several workers in small batches.
func load(t testing.TB, es []event, workers int, opts timeline.Options) *timeline.Store {
	t.Helper()
	return loadBatches(t, es, 700, workers, opts)
}

func loadBatches(t testing.TB, es []event, size, workers int, opts timeline.Options) *timeline.Store {
	t.Helper()
	dicts := datasets.NewDicts()
	log := timeline.NewLog(dicts, workers)
	opts.IDType = datasets.IDType{Kind: datasets.IDString}
	code := func(d *datasets.Dict, v string) uint32 {
		if v == "" {
			return 0
		}
		return d.CodeString(v)
	}
	hash := func(v string) uint64 {
		if v == "" {
			return 0
		}
		return datasets.HashID([]byte(v))
	}
	for at := 0; at < len(es); at += size {
		var b datasets.Batch
		for _, e := range es[at:min(at+size, len(es))] {
			b.Customer = append(b.Customer, dicts.Customer.CodeString(name("c", e.customer)))
			b.Time = append(b.Time, e.time)
			b.Role = append(b.Role, e.role)
			b.Type = append(b.Type, code(dicts.Type, e.kind()))
			b.Amount = append(b.Amount, e.amount)
			b.Quantity = append(b.Quantity, e.quantity)
			b.Product = append(b.Product, code(dicts.Product, name("p", e.product)))
			b.Category = append(b.Category, code(dicts.Category, name("k", e.category)))
			b.Rating = append(b.Rating, e.rating)
			b.Channel = append(b.Channel, code(dicts.Channel, channelName(e.channel)))
			b.Campaign = append(b.Campaign, code(dicts.Campaign, name("m", e.campaign)))
			b.Session = append(b.Session, hash(name("s", e.session)))
			if e.id == 0 {
				b.EventID = append(b.EventID, 0)
			} else {
				b.EventID = append(b.EventID, datasets.HashID([]byte(eventID(e.id))))
			}
		}
		if err := log.Append(at/size%workers, &b); err != nil {
			t.Fatal(err)
		}
	}
	return log.Freeze(opts)
}

// eventsSQL writes events as text and returns the statement that reads them.
func eventsSQL(t *testing.T, es []event) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "events.csv")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := csv.NewWriter(f)
	money := func(m datasets.Money) string {
		if m == datasets.NullMoney {
			return ""
		}
		sign, units := "", int64(m)
		if units < 0 {
			sign, units = "-", -units
		}
		return fmt.Sprintf("%s%d.%04d", sign, units/datasets.MoneyScale, units%datasets.MoneyScale) // exact beyond float64's 15 digits
	}
	for _, e := range es {
		w.Write([]string{name("c", e.customer), strconv.FormatInt(e.time, 10), e.role.String(), e.kind(), money(e.amount), money(e.quantity), money(e.rating),
			name("p", e.product), name("k", e.category), channelName(e.channel), name("m", e.campaign), name("s", e.session), eventID(e.id)})
	}
	w.Flush()
	if err := w.Error(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	return []string{fmt.Sprintf(`CREATE TABLE events AS SELECT customer_id, make_timestamp(us) AS event_time, role, event_type, amount, quantity, rating, product_id, category, channel, campaign_id, session_id, event_id
FROM read_csv('%s', header=false, columns={'customer_id': 'VARCHAR', 'us': 'BIGINT', 'role': 'VARCHAR', 'event_type': 'VARCHAR', 'amount': 'DECIMAL(18,4)', 'quantity': 'DECIMAL(18,4)',
 'rating': 'DECIMAL(18,4)', 'product_id': 'VARCHAR', 'category': 'VARCHAR', 'channel': 'VARCHAR', 'campaign_id': 'VARCHAR', 'session_id': 'VARCHAR', 'event_id': 'VARCHAR'})`, path)}
}

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func asOfs(t *testing.T, z *time.Location, dates ...string) []timeline.AsOf {
	t.Helper()
	var as []timeline.AsOf
	for _, d := range dates {
		a, err := timeline.ParseAsOf(d, z)
		if err != nil {
			t.Fatal(err)
		}
		as = append(as, a)
	}
	return as
}

func TestDeclarations(t *testing.T) {
	featuretest.Declarations(t, features.All(features.DefaultParams()))
	featuretest.Declarations(t, features.All(features.Params{Windows: nil, SessionGap: time.Minute, CartHours: 1}))
}

// Every column equals its own SQL in DuckDB, in three time zones, at as-of
// dates before, on and after clock changes.
func TestEveryColumnEqualsItsSQL(t *testing.T) {
	python := pyoracle.Python(t)
	es := proven()
	sql := eventsSQL(t, es)
	for _, c := range cases(t) {
		t.Run(strings.ReplaceAll(c.zone.String(), "/", "_"), func(t *testing.T) {
			families := features.All(features.DefaultParams())
			store := load(t, es, 2, timeline.Options{Zone: c.zone})
			tables := featuretest.Tables(t, store, families, c.asOfs, 2)
			for _, table := range tables {
				if table.Rows() < 100 {
					t.Fatalf("%d customers as of %s: the history does not exercise the features", table.Rows(), table.AsOf)
				}
			}
			featuretest.Report(t, featuretest.Compare(t, python, sql, tables, families, c.zone))
		})
	}
}

func TestValuesKeepWhatIsDeclared(t *testing.T) {
	families := features.All(features.DefaultParams())
	var tables []*features.Table
	for _, c := range cases(t) {
		tables = append(tables, featuretest.Tables(t, load(t, proven(), 1, timeline.Options{Zone: c.zone}), families, c.asOfs, 1)...)
	}
	featuretest.Values(t, tables, families)
}

type zoneCase struct {
	zone  *time.Location
	asOfs []timeline.AsOf
}

// cases are the time zones and as-of dates of the comparison: before, on and
// after clock changes, and after the last event.
func cases(t *testing.T) []zoneCase {
	t.Helper()
	var cs []zoneCase
	for _, c := range []struct {
		zone  string
		dates []string
	}{
		{"UTC", []string{"2023-03-26", "2023-10-29", "2024-02-20"}},
		{"Europe/London", []string{"2023-03-26", "2023-10-29"}},
		{"America/New_York", []string{"2023-11-05", "2024-01-20"}},
	} {
		location := time.UTC
		if c.zone != "UTC" {
			location = zone(t, c.zone)
		}
		cs = append(cs, zoneCase{location, asOfs(t, location, c.dates...)})
	}
	return cs
}

// proven is the history of the comparison with the columns' SQL.
func proven() []event { return hardHistory(7, 140, 10000) }

// A history without any optional column has the same columns by the same SQL.
func TestBareHistoryEqualsItsSQL(t *testing.T) {
	python := pyoracle.Python(t)
	es := bareHistory()
	families := features.All(features.DefaultParams())
	tables := featuretest.Tables(t, loadBare(t, es), families, asOfs(t, time.UTC, "2023-10-29"), 1)
	featuretest.Report(t, featuretest.Compare(t, python, eventsSQL(t, es), tables, families, time.UTC))
}

func bareHistory() []event {
	es := hardHistory(17, 60, 3000)
	for i, e := range es {
		es[i] = bare(e.customer, e.time, e.role)
		es[i].variant = e.variant
	}
	return es
}

// loadBare appends events without any optional column.
func loadBare(t *testing.T, es []event) *timeline.Store {
	dicts := datasets.NewDicts()
	log := timeline.NewLog(dicts, 1)
	var b datasets.Batch
	for _, e := range es {
		b.Customer = append(b.Customer, dicts.Customer.CodeString(name("c", e.customer)))
		b.Time = append(b.Time, e.time)
		b.Role = append(b.Role, e.role)
		kind := uint32(0)
		if e.kind() != "" {
			kind = dicts.Type.CodeString(e.kind())
		}
		b.Type = append(b.Type, kind)
	}
	if err := log.Append(0, &b); err != nil {
		t.Fatal(err)
	}
	return log.Freeze(timeline.Options{Zone: time.UTC, IDType: datasets.IDType{Kind: datasets.IDString}})
}

// A fill writes each of its columns, whatever was there before, and nothing it
// remembers of one customer reaches another.
func TestFillsWriteEveryColumnAnew(t *testing.T) {
	store := load(t, hardHistory(19, 80, 3000), 1, timeline.Options{Zone: time.UTC})
	asOf := asOfs(t, time.UTC, "2023-10-29")[0]
	for _, f := range features.All(features.DefaultParams()) {
		used := f.New(store.Values)
		err := store.Replay(t.Context(), 1, func(_, _ int, tl *timeline.Timeline) error {
			h, ok := tl.Before(asOf)
			if !ok {
				return nil
			}
			want, got := make([]float64, len(f.Columns)), make([]float64, len(f.Columns))
			for i := range got {
				got[i] = -12345
			}
			f.New(store.Values)(&h, want)
			used(&h, got)
			for i, c := range f.Columns {
				if got[i] != want[i] && !(math.IsNaN(got[i]) && math.IsNaN(want[i])) {
					t.Errorf("%s of customer %s: %v by a fill that was used before, %v by a new one", c.Name, tl.ID, got[i], want[i])
				}
			}
			return nil
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A used fill allocates nothing: it runs once a customer and as-of date.
func TestFillsDoNotAllocate(t *testing.T) {
	store := load(t, hardHistory(23, 10, 3000), 1, timeline.Options{Zone: time.UTC})
	asOf := asOfs(t, time.UTC, "2024-02-20")[0]
	for _, f := range features.All(features.DefaultParams()) {
		fill, out := f.New(store.Values), make([]float64, len(f.Columns))
		err := store.Replay(t.Context(), 1, func(_, _ int, tl *timeline.Timeline) error {
			h, _ := tl.Before(asOf)
			if n := testing.AllocsPerRun(5, func() { fill(&h, out) }); n != 0 {
				t.Errorf("%s allocates %v times for customer %s of %d events", f.Name, n, tl.ID, h.Len())
			}
			return nil
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
}

var otherParams = features.Params{Windows: []int{1, 60}, SessionGap: 90 * time.Minute, CartHours: 1}

func parameterHistory() []event { return hardHistory(13, 60, 4000) }

// Other parameters reach both the values and their SQL.
func TestParametersReachTheSQL(t *testing.T) {
	python := pyoracle.Python(t)
	es := parameterHistory()
	families := features.All(otherParams)
	tables := featuretest.Tables(t, load(t, es, 1, timeline.Options{Zone: time.UTC}), families, asOfs(t, time.UTC, "2023-10-29"), 1)
	featuretest.Report(t, featuretest.Compare(t, python, eventsSQL(t, es), tables, families, time.UTC))
}

func TestParamsReportEveryFault(t *testing.T) {
	err := features.Params{Windows: []int{0, 30, 7}, SessionGap: time.Millisecond}.Validate()
	want := "features: Windows[0] (0) must be 1 to 36500 days; Windows[2] (7) must be above Windows[1] (30); SessionGap (1ms) must be at least 1s; CartHours (0) must be 1 to 8760 hours"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if err := features.DefaultParams().Validate(); err != nil {
		t.Error(err)
	}
}

// An altered expression must be noticed in every column: the comparison itself
// is under test.
func TestComparisonNoticesAlteredExpressions(t *testing.T) {
	python := pyoracle.Python(t)
	es := hardHistory(7, 40, 2500)
	tables := featuretest.Tables(t, load(t, es, 1, timeline.Options{Zone: time.UTC}), features.All(features.DefaultParams()), asOfs(t, time.UTC, "2023-11-01"), 1)
	altered := features.All(features.DefaultParams())
	for i, f := range altered {
		for j := range f.Columns {
			altered[i].Columns[j].SQL = "(" + f.Columns[j].SQL + ") + 1"
		}
	}
	noticed := map[string]bool{}
	for _, m := range featuretest.Compare(t, python, eventsSQL(t, es), tables, altered, time.UTC) {
		noticed[m.Column] = true
	}
	for _, f := range altered {
		for _, c := range f.Columns {
			if !noticed[c.Name] {
				t.Errorf("%s.%s: adding 1 to its SQL was not noticed", f.Name, c.Name)
			}
		}
	}
}

// The tables do not depend on the order of events, on how they were split, or
// on the number of workers.
func TestTablesIgnoreOrderAndWorkers(t *testing.T) {
	es := hardHistory(3, 60, 3000)
	families := features.All(features.DefaultParams())
	dates := asOfs(t, time.UTC, "2023-06-30", "2024-02-20")
	for _, dedupe := range []timeline.Dedupe{timeline.DedupeNone, timeline.DedupeExact} {
		opts := timeline.Options{Zone: time.UTC, Dedupe: dedupe}
		want := featuretest.Tables(t, load(t, es, 1, opts), families, dates, 1)
		census, err := load(t, es, 1, opts).Census(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		for seed := range uint64(3) {
			shuffled := append([]event(nil), es...)
			if dedupe == timeline.DedupeExact {
				shuffled = append(shuffled, es...)
			}
			rand.New(rand.NewPCG(seed, 9)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			store := load(t, shuffled, 3, opts)
			got := featuretest.Tables(t, store, families, dates, 2)
			for i := range want {
				equal(t, want[i], got[i])
			}
			c, err := store.Census(t.Context(), 2)
			if err != nil {
				t.Fatal(err)
			}
			if c.Digest != census.Digest || c.Events != census.Events || c.Customers != census.Customers {
				t.Errorf("census %+v, want %+v", c, census)
			}
		}
	}
}

// Events planted at or after the as-of instant change no feature.
func TestTheFutureChangesNothing(t *testing.T) {
	es := hardHistory(5, 50, 2500)
	a := asOfs(t, time.UTC, "2023-09-15")
	families := features.All(features.DefaultParams())
	want := featuretest.Tables(t, load(t, es, 2, timeline.Options{Zone: time.UTC}), families, a, 2)
	planted := append([]event(nil), es...)
	r := rand.New(rand.NewPCG(11, 11))
	for range 4000 {
		e := es[r.IntN(len(es))]
		e.time = a[0].Instant + r.Int64N(100*86_400_000_000)*int64(r.IntN(2))
		e.amount, e.product = 999_999_999, r.IntN(30)
		planted = append(planted, e)
	}
	got := featuretest.Tables(t, load(t, planted, 2, timeline.Options{Zone: time.UTC}), families, a, 2)
	equal(t, want[0], got[0])

	// The same events one microsecond earlier must be seen: the test can fail.
	for i := range planted[len(es):] {
		planted[len(es)+i].time = a[0].Instant - 1
	}
	seen := featuretest.Tables(t, load(t, planted, 2, timeline.Options{Zone: time.UTC}), families, a, 2)
	w, _ := want[0].Values(features.SpendLifetime)
	g, _ := seen[0].Values(features.SpendLifetime)
	if fmt.Sprint(w) == fmt.Sprint(g) {
		t.Error("events in the last microsecond before the as-of instant were not seen")
	}
}

func equal(t *testing.T, want, got *features.Table) {
	t.Helper()
	w, g := records(t, want), records(t, got)
	if len(w) != len(g) || want.Rows() != got.Rows() {
		t.Fatalf("%d batches of %d rows, want %d of %d", len(g), got.Rows(), len(w), want.Rows())
	}
	for i := range w {
		for j, f := range want.Schema.Fields() {
			if a, b := fmt.Sprint(w[i].Column(j)), fmt.Sprint(g[i].Column(j)); a != b {
				t.Fatalf("batch %d, %s: %s, want %s", i, f.Name, b, a)
			}
		}
	}
}

func records(t *testing.T, table *features.Table) []arrow.Record {
	t.Helper()
	var rs []arrow.Record
	for r, err := range table.Records() {
		if err != nil {
			t.Fatal(err)
		}
		rs = append(rs, r)
	}
	return rs
}

func BenchmarkBuild(b *testing.B) {
	es := hardHistory(1, 20_000, 1_000_000)
	t := new(testing.T)
	store := load(t, es, 1, timeline.Options{Zone: time.UTC})
	families := features.All(features.DefaultParams())
	a, _ := timeline.ParseAsOf("2024-02-20", time.UTC)
	for _, asOfs := range []int{1, 6} {
		b.Run(fmt.Sprintf("events=1e6/asofs=%d/workers=1", asOfs), func(b *testing.B) {
			var snapshots []features.Snapshot
			for i := range asOfs {
				snapshots = append(snapshots, features.Snapshot{AsOf: a.Add(-30*i, time.UTC)})
			}
			for b.Loop() {
				err := features.Build(b.Context(), store, families, snapshots, 1, func(int, features.Batch) error { return nil }, nil)
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(es))*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
