package features_test

import (
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow/array"
	"pgregory.net/rapid"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/featuretest"
	"github.com/shoal-data/shoal/features/timeline"
)

// The properties that hold of every feature on every history, drawn small so
// that a failure shrinks to a few events.

const dayMicros = 86_400_000_000

// ending is the as-of date of the properties: a leap day's eve in UTC.
var ending = timeline.NewAsOf(time.Date(2024, 2, 28, 0, 0, 0, 0, time.UTC), time.UTC)

// histories draws the events of a few customers before the end of ending.
func histories() *rapid.Generator[[]event] {
	maybe := func(n int) *rapid.Generator[int] { return rapid.IntRange(-1, n-1) }
	one := rapid.Custom(func(t *rapid.T) event {
		e := event{
			customer: rapid.IntRange(0, 3).Draw(t, "customer"), role: datasets.Role(rapid.IntRange(0, datasets.NumRoles-1).Draw(t, "role")),
			amount: datasets.NullMoney, quantity: datasets.NullMoney, rating: datasets.NullMoney,
			product: maybe(4).Draw(t, "product"), category: maybe(3).Draw(t, "category"), channel: maybe(len(channels)).Draw(t, "channel"),
			campaign: maybe(2).Draw(t, "campaign"), session: maybe(3).Draw(t, "session"), variant: rapid.IntRange(0, 2).Draw(t, "variant"),
		}
		if rapid.Bool().Draw(t, "common") { // half of the events are of four roles, so that they meet
			e.role = rapid.SampledFrom([]datasets.Role{datasets.Purchase, datasets.View, datasets.CartAdd, datasets.MessageOpen}).Draw(t, "common role")
		}
		age := rapid.OneOf(rapid.Int64Range(0, 40), rapid.SampledFrom([]int64{6, 7, 29, 30, 89, 90, 179, 180, 364, 365, 366, 700})).Draw(t, "age")
		clock := rapid.OneOf(rapid.SampledFrom([]int64{1, 1_800_000_000, 3_600_000_000, dayMicros / 2, dayMicros}), rapid.Int64Range(1, dayMicros)).Draw(t, "clock")
		e.time = ending.Instant - age*dayMicros - clock
		if rapid.Bool().Draw(t, "has amount") {
			e.amount = datasets.Money(rapid.Int64Range(-50_000, 900_000).Draw(t, "amount"))
		}
		if rapid.Bool().Draw(t, "has quantity") {
			e.quantity = datasets.Money(rapid.Int64Range(-1, 4).Draw(t, "quantity")) * datasets.MoneyScale
		}
		if rapid.Bool().Draw(t, "has rating") {
			e.rating = datasets.Money(rapid.Int64Range(1, 5).Draw(t, "rating")) * datasets.MoneyScale
		}
		return e
	})
	// Some events again with a single field changed: only that tells them apart.
	return rapid.Custom(func(t *rapid.T) []event {
		es := rapid.SliceOfN(one, 1, 45).Draw(t, "events")
		for range rapid.IntRange(0, 15).Draw(t, "echoes") {
			e := rapid.SampledFrom(es).Draw(t, "echo")
			switch rapid.IntRange(0, 7).Draw(t, "field") {
			case 0:
				e.amount = datasets.Money(rapid.Int64Range(-5, 5).Draw(t, "other amount"))
			case 1:
				e.quantity = 2 * datasets.MoneyScale
			case 2:
				e.rating = 3 * datasets.MoneyScale
			case 3:
				e.product = maybe(4).Draw(t, "other product")
			case 4:
				e.category, e.variant = maybe(3).Draw(t, "other category"), 0
			case 5:
				e.channel = maybe(len(channels)).Draw(t, "other channel")
			case 6:
				e.campaign, e.session = maybe(2).Draw(t, "other campaign"), maybe(3).Draw(t, "other session")
			case 7:
				e.role = datasets.Role(rapid.IntRange(0, datasets.NumRoles-1).Draw(t, "other role"))
			}
			es = append(es, e)
		}
		return es
	})
}

// rows is the feature table as of a moment: each customer's values.
func rows(t *testing.T, store *timeline.Store, families []features.Family, asOf timeline.AsOf) map[string][]float64 {
	table := featuretest.Tables(t, store, families, []timeline.AsOf{asOf}, 1)[0]
	all := map[string][]float64{}
	for _, r := range records(t, table) {
		ids := r.Column(0).(*array.String)
		for i := range int(r.NumRows()) {
			values := make([]float64, r.NumCols()-1)
			for j := range values {
				if c := r.Column(1 + j).(*array.Float64); c.IsNull(i) {
					values[j] = math.NaN()
				} else {
					values[j] = c.Value(i)
				}
			}
			all[ids.Value(i)] = values
		}
	}
	return all
}

func columnsOf(families []features.Family) []features.Column {
	var cs []features.Column
	for _, f := range families {
		cs = append(cs, f.Columns...)
	}
	return cs
}

// same demands that the tables have the same customers and, bit for bit, what
// want makes of each value of a.
func same(t *rapid.T, families []features.Family, a, b map[string][]float64, want func(c features.Column, v float64) float64) {
	if len(a) != len(b) {
		t.Fatalf("%d customers, then %d", len(a), len(b))
	}
	for id, x := range a {
		y, ok := b[id]
		if !ok {
			t.Fatalf("customer %s is gone", id)
		}
		for j, c := range columnsOf(families) {
			w := x[j]
			if want != nil {
				w = want(c, w)
			}
			if w != y[j] && !(math.IsNaN(w) && math.IsNaN(y[j])) {
				t.Fatalf("%s of customer %s: %v became %v, want %v", c.Name, id, x[j], y[j], w)
			}
		}
	}
}

func inUTC(dedupe timeline.Dedupe) timeline.Options {
	return timeline.Options{Zone: time.UTC, Dedupe: dedupe}
}

// The order of events, their division into batches and workers, and repeats of
// the same row where rows that agree are one event, change no bit.
func TestPropertyOrderAndRepeats(t *testing.T) {
	families := features.All(features.DefaultParams())
	rapid.Check(t, func(rt *rapid.T) {
		es := histories().Draw(rt, "events")
		for _, dedupe := range []timeline.Dedupe{timeline.DedupeNone, timeline.DedupeExact} {
			want := rows(t, load(t, es, 1, inUTC(dedupe)), families, ending)
			other := es
			if dedupe == timeline.DedupeExact {
				other = append(es[:len(es):len(es)], rapid.SliceOf(rapid.SampledFrom(es)).Draw(rt, "repeats")...)
			}
			other = rapid.Permutation(other).Draw(rt, "order")
			size, workers := rapid.IntRange(1, 20).Draw(rt, "batch"), rapid.IntRange(1, 3).Draw(rt, "workers")
			same(rt, families, want, rows(t, loadBatches(t, other, size, workers, inUTC(dedupe)), families, ending), nil)
		}
	})
}

// calendar are the columns that know weekdays, and those that know months or
// dates: all others only know how long ago something was, and at what time of day.
var (
	ofWeekdays = regexp.MustCompile(`weekday_mode|weekend`)
	ofMonths   = regexp.MustCompile(`month_(mode|share|concentration)|months_lifetime|november_december|quarter_`)
)

// Moving everything by whole days moves nothing but the calendar's columns; by
// whole weeks not those of weekdays; by the calendar's 400 years none at all.
func TestPropertyShift(t *testing.T) {
	// Occasions are dates, and Easter does not come back after 400 years.
	families := slices.DeleteFunc(features.All(features.DefaultParams()), func(f features.Family) bool { return f.Name == "occasions" })
	rapid.Check(t, func(rt *rapid.T) {
		es := histories().Draw(rt, "events")
		days := rapid.OneOf(rapid.Int64Range(-2000, 2000), rapid.SampledFrom([]int64{7, -7, 70, 146_097, 10 * 146_097, -146_097})).Draw(rt, "days")
		later := append([]event(nil), es...)
		for i := range later {
			later[i].time += days * dayMicros
		}
		a := rows(t, load(t, es, 1, inUTC(0)), families, ending)
		b := rows(t, load(t, later, 1, inUTC(0)), families, ending.Add(int(days), time.UTC))
		for id, x := range a {
			for j, c := range columnsOf(families) {
				if y := b[id][j]; x[j] == y || math.IsNaN(x[j]) && math.IsNaN(y) {
					continue
				}
				if days%146_097 == 0 || ofWeekdays.MatchString(c.Name) && days%7 == 0 || !ofWeekdays.MatchString(c.Name) && !ofMonths.MatchString(c.Name) {
					rt.Fatalf("%s of customer %s: %v, and %v %d days on", c.Name, id, x[j], b[id][j], days)
				}
			}
		}
	})

	// Those that are said to know the calendar do: a week and a half moves each.
	es := hardHistory(71, 40, 3000)
	a := rows(t, load(t, es, 1, inUTC(0)), families, ending)
	for i := range es {
		es[i].time += 10 * dayMicros
	}
	b := rows(t, load(t, es, 1, inUTC(0)), families, ending.Add(10, time.UTC))
	for j, c := range columnsOf(families) {
		moved := false
		for id := range a {
			moved = moved || a[id][j] != b[id][j] && !math.IsNaN(a[id][j])
		}
		if calendar := ofWeekdays.MatchString(c.Name) || ofMonths.MatchString(c.Name); calendar != moved {
			t.Errorf("%s is said to know the calendar: %v; ten days moved it: %v", c.Name, calendar, moved)
		}
	}
}

// What happens at or after the as-of instant changes no bit and brings nobody in.
func TestPropertyFuture(t *testing.T) {
	families := features.All(features.DefaultParams())
	rapid.Check(t, func(rt *rapid.T) {
		es := histories().Draw(rt, "events")
		want := rows(t, load(t, es, 1, inUTC(0)), families, ending)
		future := histories().Draw(rt, "future")
		for i := range future {
			future[i].customer += rapid.IntRange(0, 2).Draw(rt, "whose")
			future[i].time = ending.Instant + rapid.OneOf(rapid.Just[int64](0), rapid.Int64Range(0, 400*dayMicros)).Draw(rt, "when")
		}
		same(rt, families, want, rows(t, load(t, append(es, future...), 1, inUTC(0)), families, ending), nil)
	})
}

var windowed = regexp.MustCompile(`^(.*)_([0-9]+d|lifetime)$`)

// What is counted in a window is counted in every longer one. Windows are the
// parameters', whatever they are.
func TestPropertyWindowsAreNested(t *testing.T) {
	counted := map[string]bool{"events": true, "days": true, "orders": true, "sessions": true, "products": true, "categories": true, "carts": true, "messages": true, "roles": true, "stage": true}
	rapid.Check(t, func(rt *rapid.T) {
		es := histories().Draw(rt, "events")
		for i := range es { // then spend and items are counts of a kind too
			es[i].amount, es[i].quantity = max(es[i].amount, 0), max(es[i].quantity, 0)
		}
		p := features.DefaultParams()
		p.Windows = []int{rapid.IntRange(1, 6).Draw(rt, "short"), 30, rapid.IntRange(31, 400).Draw(rt, "long")}
		families := features.All(p)
		chains := 0
		all := rows(t, load(t, es, 1, inUTC(0)), families, ending)
		cs := columnsOf(families)
		byName := map[string]map[int]int{} // name without the window → days → column
		for j, c := range cs {
			m := windowed.FindStringSubmatch(c.Name)
			sum := strings.HasPrefix(c.Name, "spend_") || strings.HasPrefix(c.Name, "items_") || strings.HasPrefix(c.Name, "refund_")
			if m == nil || !sum && (!counted[c.Unit] || !strings.HasPrefix(c.Range, "[0")) || strings.Contains(m[1], "days_since") {
				continue
			}
			days, err := strconv.Atoi(strings.TrimSuffix(m[2], "d"))
			if err != nil {
				days = math.MaxInt // lifetime
			}
			if byName[m[1]] == nil {
				byName[m[1]] = map[int]int{}
			}
			byName[m[1]][days] = j
		}
		for _, at := range byName {
			days := slices.Sorted(maps.Keys(at))
			for k := 1; k < len(days); k++ {
				chains++
				short, long := at[days[k-1]], at[days[k]]
				for id, x := range all {
					if x[short] > x[long] {
						rt.Fatalf("customer %s: %s is %v, %s %v", id, cs[short].Name, x[short], cs[long].Name, x[long])
					}
				}
			}
		}
		if chains < 80 {
			rt.Fatalf("%d pairs of windows: the names have changed", chains)
		}
	})
}

// Amounts in a currency eight times as fine are eight times the money, bit for
// bit, and nothing else; ten times as fine, ten times to the last unit.
func TestPropertyMoneyScales(t *testing.T) {
	families := features.All(features.DefaultParams())
	rapid.Check(t, func(rt *rapid.T) {
		es := histories().Draw(rt, "events")
		a := rows(t, load(t, es, 1, inUTC(0)), families, ending)
		times := func(k datasets.Money) map[string][]float64 {
			scaled := append([]event(nil), es...)
			for i := range scaled {
				if scaled[i].amount != datasets.NullMoney {
					scaled[i].amount *= k
				}
			}
			return rows(t, load(t, scaled, 1, inUTC(0)), families, ending)
		}
		same(rt, families, a, times(8), func(c features.Column, v float64) float64 {
			if strings.HasPrefix(c.Unit, "currency") {
				return 8 * v
			}
			return v
		})
		b := times(10)
		sums := 0
		for j, c := range columnsOf(families) {
			if m := windowed.FindStringSubmatch(c.Name); m == nil || c.Unit != "currency" || strings.Contains(c.Name, "mean") {
				continue
			}
			sums++
			for id, x := range a {
				if units := math.Round(x[j] * datasets.MoneyScale); b[id][j] != 10*units/datasets.MoneyScale {
					rt.Fatalf("%s of customer %s: %v became %v", c.Name, id, x[j], b[id][j])
				}
			}
		}
		if sums < 15 {
			rt.Fatalf("%d sums of money: the names have changed", sums)
		}
	})
}

// A customer's features are the customer's own: others, with products, channels
// and names of their own, change no bit of them.
func TestPropertyCustomersAreAlone(t *testing.T) {
	families := features.All(features.DefaultParams())
	rapid.Check(t, func(rt *rapid.T) {
		es, others := histories().Draw(rt, "events"), histories().Draw(rt, "others")
		shift := rapid.IntRange(0, 3).Draw(rt, "shift")
		for i := range others {
			others[i].customer += 100
			if others[i].product >= 0 {
				others[i].product += shift
			}
			if others[i].category >= 0 {
				others[i].category += shift
			}
		}
		together := rapid.Permutation(append(es[:len(es):len(es)], others...)).Draw(rt, "order")
		want := rows(t, load(t, es, 1, inUTC(0)), families, ending)
		for id, x := range rows(t, load(t, others, 1, inUTC(0)), families, ending) {
			want[id] = x
		}
		same(rt, families, want, rows(t, load(t, together, 1, inUTC(0)), families, ending), nil)
	})
}

// Products, categories, campaigns and sessions are told apart, and what they
// are called means nothing.
func TestPropertyNamesMeanNothing(t *testing.T) {
	families := features.All(features.DefaultParams())
	rapid.Check(t, func(rt *rapid.T) {
		es := histories().Draw(rt, "events")
		renamed := append([]event(nil), es...)
		for i := range renamed { // the other way round by name
			e := &renamed[i]
			for _, code := range []*int{&e.product, &e.category, &e.campaign, &e.session} {
				if *code >= 0 {
					*code = 9 - *code
				}
			}
		}
		a, b := rows(t, load(t, es, 1, inUTC(0)), families, ending), rows(t, load(t, renamed, 1, inUTC(0)), families, ending)
		for id, x := range a {
			for j, c := range columnsOf(families) { // sums of an entropy come in the names' order: the last bits may differ
				if y := b[id][j]; math.Abs(x[j]-y) > 1e-12*max(1, math.Abs(y)) || math.IsNaN(x[j]) != math.IsNaN(y) {
					rt.Fatalf("%s of customer %s: %v, and %v by other names", c.Name, id, x[j], y)
				}
			}
		}
	})
}

// Days without events make every "days since" grow by as many and leave what
// was counted ever as it was.
func TestPropertyNothingHappens(t *testing.T) {
	families := features.All(features.DefaultParams())
	rapid.Check(t, func(rt *rapid.T) {
		es := histories().Draw(rt, "events")
		days := rapid.IntRange(1, 1000).Draw(rt, "days")
		a := rows(t, load(t, es, 1, inUTC(0)), families, ending)
		b := rows(t, load(t, es, 1, inUTC(0)), families, ending.Add(days, time.UTC))
		for id, x := range a {
			for j, c := range columnsOf(families) {
				want := x[j]
				switch {
				case strings.HasPrefix(c.Name, "days_since_"):
					want += float64(days)
				case !strings.HasSuffix(c.Name, "_lifetime") || strings.Contains(c.Name, "abandoned"):
					continue
				}
				if y := b[id][j]; want != y && !(math.IsNaN(want) && math.IsNaN(y)) {
					rt.Fatalf("%s of customer %s: %v, and %v after %d days", c.Name, id, x[j], y, days)
				}
			}
		}
	})
}

// A family is made of the fields it says it reads, and needs each of them: those
// it does not name may be missing, one that it names may not.
func TestFamiliesReadWhatTheySay(t *testing.T) {
	blanks := map[datasets.Field]func(e *event){
		datasets.EventType: func(e *event) { e.variant = -1 }, datasets.Amount: func(e *event) { e.amount = datasets.NullMoney },
		datasets.Quantity: func(e *event) { e.quantity = datasets.NullMoney }, datasets.Rating: func(e *event) { e.rating = datasets.NullMoney },
		datasets.ProductID: func(e *event) { e.product = -1 }, datasets.Category: func(e *event) { e.category = -1 },
		datasets.Channel: func(e *event) { e.channel = -1 }, datasets.CampaignID: func(e *event) { e.campaign = -1 }, datasets.SessionID: func(e *event) { e.session = -1 },
	}
	es := hardHistory(73, 40, 3000)
	for _, f := range features.All(features.DefaultParams()) {
		if f.Reads == nil {
			continue
		}
		same := func(lacking func(datasets.Field) bool) bool {
			fewer := slices.Clone(es)
			for field, blank := range blanks {
				for i := range fewer {
					if lacking(field) {
						blank(&fewer[i])
					}
				}
			}
			a := rows(t, load(t, es, 1, inUTC(0)), []features.Family{f}, ending)
			b := rows(t, load(t, fewer, 1, inUTC(0)), []features.Family{f}, ending)
			for id := range a {
				if differ(a[id], b[id]) {
					return false
				}
			}
			return true
		}
		if !same(func(field datasets.Field) bool { return !slices.Contains(f.Reads, field) }) {
			t.Errorf("%s reads more than %v", f.Name, f.Reads)
		}
		for _, needed := range f.Reads {
			if same(func(field datasets.Field) bool { return field == needed }) {
				t.Errorf("%s does not need %v", f.Name, needed)
			}
		}
	}
}
