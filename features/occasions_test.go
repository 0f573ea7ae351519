package features_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/featuretest"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/internal/pyoracle"
)

func dates(t *testing.T, texts ...string) []features.Dates {
	t.Helper()
	var ds []features.Dates
	for _, s := range texts {
		d, err := features.ParseDates(s)
		if err != nil {
			t.Fatal(err)
		}
		if d.String() != s {
			t.Errorf("%s reads as %s", s, d)
		}
		ds = append(ds, d)
	}
	return ds
}

func onlyOccasions(t *testing.T, os []features.Occasion) []features.Family {
	t.Helper()
	p := features.DefaultParams()
	p.Occasions = os
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, f := range features.All(p) {
		if f.Name == "occasions" {
			return []features.Family{f}
		}
	}
	t.Fatal("no family occasions")
	return nil
}

func buys(customer int, day time.Time, amount datasets.Money) event {
	return event{customer: customer, time: day.Add(12 * time.Hour).UnixMicro(), role: datasets.Purchase, amount: amount, quantity: datasets.NullMoney, rating: datasets.NullMoney,
		product: -1, category: -1, channel: -1, campaign: -1, session: -1}
}

// Where calendars fall. Easter is dateutil 2's (Python), with the exceptions of
// Gauss's rule (1981, 2049, 2076) and early and late dates (2008, 2038).
func TestCalendars(t *testing.T) {
	for _, tc := range []struct{ calendar, dates string }{
		{"easter", "1970-03-29 1981-04-19 2000-04-23 2008-03-23 2011-04-24 2024-03-31 2025-04-20 2038-04-25 2049-04-18 2076-04-19"},
		{"mothering_sunday", "2024-03-10 2025-03-30"},
		{"thanksgiving", "2018-11-22 2023-11-23 2024-11-28 2025-11-27"},
		{"black_friday", "2018-11-23 2023-11-24 2024-11-29 2025-11-28"},
		{"cyber_monday", "2018-11-26 2023-11-27 2024-12-02 2025-12-01"},
		{"mothers_day", "2022-05-08 2024-05-12 2025-05-11"},
		{"fathers_day", "2022-06-19 2024-06-16 2025-06-15"},
		{"christmas", "2024-12-25"}, {"new_year", "2024-01-01"}, {"valentines", "2024-02-14"}, {"halloween", "2024-10-31"}, {"singles_day", "2024-11-11"},
	} {
		families := onlyOccasions(t, []features.Occasion{{Name: "it", Calendar: tc.calendar}})
		for text := range strings.FieldsSeq(tc.dates) {
			day, err := time.Parse(time.DateOnly, text)
			if err != nil {
				t.Fatal(err)
			}
			// One customer buys on the day, one the day before, one the day after.
			es := []event{buys(0, day, 1), buys(1, day.AddDate(0, 0, -1), 1), buys(2, day.AddDate(0, 0, 1), 1)}
			table := featuretest.Tables(t, load(t, es, 1, timeline.Options{Zone: time.UTC}), families, asOfs(t, time.UTC, day.AddDate(0, 0, 3).Format(time.DateOnly)), 1)[0]
			got, err := table.Values("it_purchase_day_share")
			if err != nil {
				t.Fatal(err)
			}
			want := []float64{1, 0, 0}
			for i, r := range ids(t, table) {
				if got[i] != want[r] {
					t.Errorf("%s is not %s: the share of customer %d is %v", tc.calendar, text, r, got[i])
				}
			}
		}
	}
}

// ids are the numbers of a table's customers in row order.
func ids(t *testing.T, table *features.Table) (ns []int) {
	t.Helper()
	for _, r := range records(t, table) {
		for i := range int(r.NumRows()) {
			var n int
			fmt.Sscanf(r.Column(0).ValueStr(i), "c%d", &n)
			ns = append(ns, n)
		}
	}
	return ns
}

// Every calendar and form of date, in every year, equals its SQL, whose rules
// for Easter and for the weekdays of a month are others.
func TestOccasionsEqualTheirSQL(t *testing.T) {
	python := pyoracle.Python(t)
	families, es := onlyOccasions(t, everyOccasion(t)), everyDay()
	featuretest.Declarations(t, families)
	tables := featuretest.Tables(t, load(t, es, 2, timeline.Options{Zone: time.UTC}), families, asOfs(t, time.UTC, occasionDates...), 2)
	featuretest.Report(t, featuretest.Compare(t, python, eventsSQL(t, es), tables, families, time.UTC))
}

var occasionDates = []string{"1970-01-01", "1970-01-31", "2000-02-29", "2024-05-22", "2099-12-31", "2101-03-01"}

// everyOccasion has every calendar and form of date.
func everyOccasion(t *testing.T) []features.Occasion {
	var os []features.Occasion
	for i, name := range features.Calendars() {
		os = append(os, features.Occasion{Name: name, Calendar: name, Before: i % 4 * 9, After: i % 3})
	}
	return append(os,
		features.Occasion{Name: "leap", Dates: dates(t, "02-29")},
		features.Occasion{Name: "turn", Dates: dates(t, "12-27..01-06", "02-29..03-02"), Before: 1},
		features.Occasion{Name: "once", Dates: dates(t, "1999-12-31..2000-02-29", "2024-05-20", "2024-05-21..2024-05-23"), After: 2},
		features.Occasion{Name: "payday", MonthDays: []int{15, features.LastOfMonth}, After: 3},
		features.Occasion{Name: "thirtyone", MonthDays: []int{31, 30}},
		features.Occasion{Name: "mixed", Calendar: "easter", Dates: dates(t, "04-10..04-20"), MonthDays: []int{1}, Before: 5},
		features.Occasion{Name: "later", Dates: dates(t, "2098-01-05")},
	)
}

// everyDay has purchases on every day of 131 years.
func everyDay() []event {
	r := rand.New(rand.NewPCG(1, 1))
	var es []event
	for year := 1970; year <= 2100; year++ { // a customer of each year buys every day of it, as no other day's sum
		for day := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() == year; day = day.AddDate(0, 0, 1) {
			es = append(es, buys(year, day, datasets.Money(r.IntN(1_000_000)-50_000)))
			if r.IntN(20) == 0 {
				es = append(es, buys(year, day.Add(time.Hour), datasets.NullMoney))
			}
		}
	}
	return append(es, hardHistory(5, 40, 2000)...)
}

// What an analyst would compute by hand.
func TestOccasionsByHand(t *testing.T) {
	day := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }
	es := []event{
		buys(0, day(2023, 12, 20), 40_0000), buys(0, day(2023, 12, 20), 2_0000), buys(0, day(2024, 3, 1), 8_0000),
		buys(0, day(2024, 12, 17), 20_0000), // eight days before: out of season
		buys(0, day(2024, 12, 18), 30_0000), buys(0, day(2024, 12, 26), datasets.NullMoney),
	}
	families := onlyOccasions(t, []features.Occasion{{Name: "xmas", Calendar: "christmas", Before: 7, After: 1}, {Name: "future", Dates: dates(t, "2030-01-01")}})
	tables := featuretest.Tables(t, load(t, es, 1, timeline.Options{Zone: time.UTC}), families, asOfs(t, time.UTC, "2024-12-17", "2024-12-18", "2024-12-31"), 1)
	nan := math.NaN()
	for i, want := range []map[string]float64{
		{"xmas_purchase_day_share": 1.0 / 3, "xmas_spend_share": 42.0 / 70, "xmas_spend_last_season": 42, "days_since_xmas_purchase": 363, "future_spend_last_season": 0, "days_since_future_purchase": nan},
		{"xmas_purchase_day_share": 2.0 / 4, "xmas_spend_share": 72.0 / 100, "xmas_spend_last_season": 30, "days_since_xmas_purchase": 0}, // a season counts from its first day on
		{"xmas_purchase_day_share": 3.0 / 5, "xmas_spend_share": 72.0 / 100, "xmas_spend_last_season": 30, "days_since_xmas_purchase": 5, "future_purchase_day_share": 0},
	} {
		for name, v := range want {
			got, err := tables[i].Values(name)
			if err != nil {
				t.Error(err)
			} else if math.Abs(got[0]-v) > 1e-12 || math.IsNaN(got[0]) != math.IsNaN(v) {
				t.Errorf("%s as of %s is %v, want %v", name, tables[i].AsOf, got[0], v)
			}
		}
	}
}

// A longer season holds a shorter one.
func TestLongerSeasonsHoldShorterOnes(t *testing.T) {
	store := load(t, hardHistory(37, 60, 3000), 1, timeline.Options{Zone: time.UTC})
	asOf := asOfs(t, time.UTC, "2024-02-20")
	rapid.Check(t, func(rt *rapid.T) {
		o := features.Occasion{Name: "short", Calendar: rapid.SampledFrom(features.Calendars()).Draw(rt, "calendar"), Before: rapid.IntRange(0, 60).Draw(rt, "before"), After: rapid.IntRange(0, 60).Draw(rt, "after")}
		long := o
		long.Name = "long"
		long.Before += rapid.IntRange(0, 60).Draw(rt, "more before")
		long.After += rapid.IntRange(0, 60).Draw(rt, "more after")
		table := featuretest.Tables(t, store, onlyOccasions(t, []features.Occasion{o, long}), asOf, 1)[0]
		short, err := table.Values("short_purchase_day_share")
		if err != nil {
			rt.Fatal(err)
		}
		wide, err := table.Values("long_purchase_day_share")
		if err != nil {
			rt.Fatal(err)
		}
		for i := range short {
			if short[i] > wide[i] {
				rt.Errorf("row %d: a share of %v in %+v, %v in %+v", i, short[i], o, wide[i], long)
			}
		}
	})
}

func TestParseDatesRefuses(t *testing.T) {
	for _, bad := range []string{"", "May", "12/25", "1-1", "13-01", "00-10", "02-30", "04-31", "2025-02-29", "1969-01-01", "2100-01-01", "12-25..2025-12-26", "2025-12-26..2025-12-25", "12-25..", "12-25...12-26", "12-25 "} {
		if d, err := features.ParseDates(bad); err == nil {
			t.Errorf("%q reads as %v", bad, d)
		}
	}
}

func TestOccasionFaults(t *testing.T) {
	for _, tc := range []struct {
		o    features.Occasion
		want string
	}{
		{features.Occasion{Name: "x", Calendar: "easter"}, ""},
		{features.Occasion{Name: "X", Calendar: "easter"}, "occasions[0].name"},
		{features.Occasion{Name: "x", Calendar: "Easter"}, "occasions[0].calendar"},
		{features.Occasion{Name: "x"}, "occasions[0]"},
		{features.Occasion{Name: "x", Dates: []features.Dates{{}}}, "occasions[0].dates[0]"},
		{features.Occasion{Name: "x", MonthDays: []int{0}}, "occasions[0].days_of_month[0]"},
		{features.Occasion{Name: "x", MonthDays: []int{33}}, "occasions[0].days_of_month[0]"},
		{features.Occasion{Name: "x", Calendar: "easter", Before: -1}, "occasions[0].before"},
		{features.Occasion{Name: "x", Calendar: "easter", After: 367}, "occasions[0].after"},
		{features.Occasion{Name: "x", Calendar: "christmas", Before: 200, After: 170}, "occasions[0]"}, // meets the next year's
		{features.Occasion{Name: "x", Calendar: "christmas", Before: 180, After: 180}, ""},
		{features.Occasion{Name: "x", Dates: dates(t, "01-01..12-31")}, "occasions[0]"},
		{features.Occasion{Name: "november_december", Dates: dates(t, "11-01..12-31")}, "occasions[0].name"}, // a column of timing
	} {
		p := features.DefaultParams()
		p.Occasions = []features.Occasion{tc.o}
		got := ""
		for _, f := range p.Faults() {
			got = f.Path
		}
		if got != tc.want || (p.Validate() == nil) != (tc.want == "") {
			t.Errorf("%+v: fault at %q (%v), want %q", tc.o, got, p.Faults(), tc.want)
		}
	}
}
