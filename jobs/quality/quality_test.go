package quality

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/gates"
)

// flat is a profile of so many days with the same events each; edit changes the count
// of the day so many days ago.
func flat(days int, each int64, edit func(ago int) int64) *Profile {
	p := &Profile{today: 20_000, first: 20_000 - int32(days) + 1, roleNames: []string{"purchase", "view"}}
	p.counts = *p.newCounts()
	r := rand.New(rand.NewPCG(1, 1))
	for i := range p.daily {
		ago := days - 1 - i
		n := each + int64(r.NormFloat64()*float64(each)/20)
		if edit != nil {
			n = edit(ago) * n / 100
		}
		p.daily[i] = n
		kinds := &p.roles.now
		w := ago / 7
		if ago >= lastYear {
			kinds, w = &p.roles.then, (ago-lastYear)/7
		}
		if w < slots {
			(*kinds)[0][w] += n / 4
			(*kinds)[1][w] += n - n/4
		}
	}
	return p
}

func verdicts(p *Profile, edit func(*Judge)) (fail, warn string, rows []*Row, r *gates.Report) {
	r = &gates.Report{Action: config.GatesFail}
	j := &Judge{Gates: config.DefaultGates(), Report: r, Profile: p, Census: &timeline.Census{Events: 1000, Customers: 100}}
	if edit != nil {
		edit(j)
	}
	rows = j.Run()
	for _, v := range r.Verdicts() {
		switch v.Status {
		case gates.Fail:
			fail = strings.TrimSpace(fail + " " + v.Gate)
		case gates.Warn:
			warn = strings.TrimSpace(warn + " " + v.Gate)
		}
	}
	return fail, warn, rows, r
}

// Percentages of the usual, by how many days ago.
func TestVolume(t *testing.T) {
	weekly := func(ago int) int64 { // nothing on one day of the week
		if ago%7 == 3 {
			return 0
		}
		return 100
	}
	for _, c := range []struct {
		name       string
		days       int
		each       int64
		edit       func(ago int) int64
		fail, warn string
	}{
		{"as ever", 400, 200, nil, "", ""},
		{"nothing to compare", 20, 200, func(ago int) int64 { return map[bool]int64{true: 100, false: 10}[ago > 0] }, "", ""},
		{"a day of little", 400, 200, func(ago int) int64 { return map[bool]int64{true: 100, false: 30}[ago > 0] }, "volume_fall", ""},
		{"a day of somewhat less", 400, 200, func(ago int) int64 { return map[bool]int64{true: 100, false: 55}[ago > 0] }, "", "volume_fall"},
		{"a week of less", 400, 200, func(ago int) int64 { return map[bool]int64{true: 100, false: 40}[ago > 6] }, "volume_fall", ""},
		{"closed on that weekday", 400, 200, func(ago int) int64 { return weekly(ago + 3) }, "", ""},
		{"every fourth week is like that", 400, 200, func(ago int) int64 { return map[bool]int64{true: 100, false: 30}[ago%28 > 6] }, "", ""},
		{"as last year, two days off", 600, 200, func(ago int) int64 {
			if ago == 0 || ago == lastYear-2 {
				return 30
			}
			return 100
		}, "", ""},
		{"too few to say", 400, 2, func(ago int) int64 { return map[bool]int64{true: 100, false: 0}[ago > 0] }, "", ""},
		{"twice delivered", 400, 200, func(ago int) int64 { return map[bool]int64{true: 100, false: 350}[ago > 0] }, "", "volume_rise"},
		{"stale", 400, 200, func(ago int) int64 { return map[bool]int64{true: 100, false: 0}[ago > 3] }, "freshness volume_fall", ""},
		{"stale by two days", 400, 3, func(ago int) int64 { return map[bool]int64{true: 100, false: 0}[ago > 1] }, "", "freshness"},
		{"always with pauses", 400, 3, func(ago int) int64 { return map[bool]int64{true: 100, false: 0}[ago%10 == 5] }, "", ""},
	} {
		fail, warn, _, r := verdicts(flat(c.days, c.each, c.edit), nil)
		if fail != c.fail || warn != c.warn {
			t.Errorf("%s: %q fail and %q warn, want %q and %q: %+v", c.name, fail, warn, c.fail, c.warn, r.Of(gates.Fail))
		}
	}
}

func TestBefore(t *testing.T) {
	past := Past{{"events", ""}: 2000, {"customers", ""}: 103}
	fail, warn, rows, _ := verdicts(flat(400, 200, nil), func(j *Judge) {
		j.Before = past
		j.Delivered, j.Earlier = Delivery{Rows: 1200, Rejected: 160, Duplicates: 100}, &Delivery{Rows: 1000, Rejected: 40, Duplicates: 40}
	})
	if fail != "rows_fall rejected" || warn != "duplicates" {
		t.Errorf("%q fail, %q warn", fail, warn)
	}
	if rows[0].Previous != 2000 || rows[0].Status != gates.Fail || rows[0].Gate != "rows_fall" || rows[0].Bound != .3 {
		t.Errorf("%+v", rows[0])
	}
	if !math.IsNaN(rows[2].Previous) {
		t.Errorf("%+v", rows[2])
	}
}

// What is refused every night is the usual: Online Retail has a quarter of its rows without
// a customer, and nights with nearly half.
func TestRefusedAsUsual(t *testing.T) {
	for _, c := range []struct {
		before, now int64 // refused of 100,000 rows before, and of 3,000 new ones
		fail, warn  string
	}{
		{25_000, 1_400, "", ""}, {25_000, 1_600, "rejected", ""}, {10_000, 700, "", "rejected"}, {10_000, 590, "", ""}, {0, 700, "", "rejected"}, {0, 500, "", ""},
	} {
		fail, warn, _, _ := verdicts(flat(400, 200, nil), func(j *Judge) {
			j.Delivered, j.Earlier = Delivery{Rows: 103_000, Rejected: c.before + c.now}, &Delivery{Rows: 100_000, Rejected: c.before}
		})
		if fail != c.fail || warn != c.warn {
			t.Errorf("%d of 100,000 and then %d of 3,000 refused: %q fail, %q warn, want %q and %q", c.before, c.now, fail, warn, c.fail, c.warn)
		}
	}
}

// A campaign to everybody is no fault of the data, nor is the week in which it has passed: what
// others do is judged as if it had not been. As many events of another role are a fault.
func TestCampaign(t *testing.T) {
	with := func(role datasets.Role, week int) *Profile {
		p := flat(400, 200, nil)
		before := p.roles
		p.roleNames = nil
		for r := range datasets.NumRoles {
			p.roleNames = append(p.roleNames, datasets.Role(r).String())
		}
		p.roles = newKinds(len(p.roleNames))
		for i, r := range []datasets.Role{datasets.Purchase, datasets.View} {
			p.roles.now[r], p.roles.then[r] = before.now[i], before.then[i]
		}
		for range 5000 {
			p.roles.note(p.roles.now, int(role), week, role)
		}
		return p
	}
	for _, week := range []int{0, 1} {
		p := with(datasets.MessageSent, week)
		if fail, warn, rows, _ := verdicts(p, nil); fail != "" || warn != "" || p.Wave() != (week == 0) {
			t.Errorf("a campaign %d weeks ago: failed %s, warned %s, a wave: %t", week, fail, warn, p.Wave())
		} else if i := slices.IndexFunc(rows, func(m *Row) bool { return m.Metric == "share_in_week" && m.Subject == "role message_sent" }); i < 0 || (rows[i].Value > .5) != (week == 0) {
			t.Errorf("its share is not there: %+v", rows)
		}
	}
	if fail, _, _, _ := verdicts(with(datasets.Search, 0), nil); fail != "event_mix" {
		t.Errorf("as many searches: failed %s", fail)
	}
}

// The counts of a history are what a plain count of its events is, for any number of
// workers.
func TestMeasure(t *testing.T) {
	asOf := timeline.NewAsOf(time.Date(2024, 6, 30, 0, 0, 0, 0, time.UTC), time.UTC)
	r := rand.New(rand.NewPCG(2, 2))
	type event struct {
		ago      int // days
		role     datasets.Role
		typ      string
		null     bool // of the amount
		customer string
	}
	var events []event
	for range 5000 {
		e := event{ago: r.IntN(900), role: datasets.Role(1 + r.IntN(2)*5), null: r.IntN(3) == 0, customer: fmt.Sprint("c", r.IntN(400))}
		e.typ = map[datasets.Role]string{1: "order", 6: "look"}[e.role]
		if e.ago < 7 && r.IntN(2) == 0 {
			e.typ = "glance"
		}
		events = append(events, e)
	}
	var want string
	for _, workers := range []int{1, 3} {
		dicts := datasets.NewDicts()
		log := timeline.NewLog(dicts, workers)
		b := &datasets.Batch{}
		for _, e := range events {
			b.Customer = append(b.Customer, dicts.Customer.CodeString(e.customer))
			b.Time = append(b.Time, asOf.Instant-int64(e.ago)*86_400_000_000-1)
			b.Type = append(b.Type, dicts.Type.CodeString(e.typ))
			b.Role = append(b.Role, e.role)
			amount := datasets.Money(10_000)
			if e.null {
				amount = datasets.NullMoney
			}
			b.Amount = append(b.Amount, amount)
		}
		if err := log.Append(0, b); err != nil {
			t.Fatal(err)
		}
		store := log.Freeze(timeline.Options{Zone: time.UTC})
		p, err := Measure(t.Context(), store, asOf, asOf.Today-899, workers, nil)
		if err != nil {
			t.Fatal(err)
		}
		var orders, lastYearLooks int64
		var all, week nulls
		for _, e := range events {
			n := nulls{rows: 1}
			if e.null {
				n.nulls = 1
			}
			if e.role == datasets.Purchase {
				all.add(n)
				if e.ago < 7 {
					week.add(n)
				}
				if e.typ == "order" && e.ago >= 7 && e.ago < 14 {
					orders++
				}
			}
			if e.typ == "look" && e.ago >= lastYear && e.ago < lastYear+7 {
				lastYearLooks++
			}
		}
		rank := map[string]int{}
		for i, name := range p.typeNames {
			rank[name] = i
		}
		if p.all[datasets.Purchase][0] != all || p.weeks[datasets.Purchase][0][0] != week {
			t.Errorf("nulls %+v %+v, want %+v %+v", p.all[datasets.Purchase][0], p.weeks[datasets.Purchase][0][0], all, week)
		}
		if p.types.now[rank["order"]][1] != orders || p.types.then[rank["look"]][0] != lastYearLooks {
			t.Errorf("%d orders a week ago and %d looks last year, want %d and %d", p.types.now[rank["order"]][1], p.types.then[rank["look"]][0], orders, lastYearLooks)
		}
		if !p.mapped[0] || p.mapped[4] {
			t.Errorf("mapped %v", p.mapped)
		}
		_, _, rows, _ := verdicts(p, nil)
		var text strings.Builder
		for _, row := range rows {
			fmt.Fprintf(&text, "%v\n", *row)
		}
		if want == "" {
			want = text.String()
		}
		if text.String() != want || !strings.Contains(want, "event_type glance") {
			t.Errorf("%d workers: other rows", workers)
		}
	}
}
