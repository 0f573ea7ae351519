// Package cohorts counts who of each cohort still buys: customers by the calendar month of
// their first purchase, and of them those who bought in each month since.
package cohorts

import (
	"slices"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/outputs"
)

// Table is the table's name.
const Table = "cohorts"

// A month is a calendar month, in months since the year 0.
type month int32

func monthOf(day int32) month {
	y, m, _ := time.Unix(int64(day)*86400, 0).UTC().Date()
	return month(y*12 + int(m) - 1)
}

// first is the month's first day, in days since 1970-01-01.
func (m month) first() int32 {
	return int32(time.Date(int(m/12), time.Month(m%12+1), 1, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

// A place is where customers are counted: the month of their first purchase, and one in which
// they bought.
type place struct{ cohort, in month }

// A Counter counts customers, one call each. Workers count beside each other: the sums are the
// same for any number of them.
type Counter struct {
	today int32
	parts []map[place]int
}

// NewCounter counts up to a day, today.
func NewCounter(today int32, workers int) *Counter {
	c := &Counter{today: today, parts: make([]map[place]int, workers)}
	for w := range c.parts {
		c.parts[w] = map[place]int{}
	}
	return c
}

// Count counts one customer's purchases, which are in the order of time.
func (c *Counter) Count(worker int, e *timeline.Events) {
	cohort, last, day := month(-1), month(-1), int32(0)
	for i, role := range e.Role {
		if role != datasets.Purchase || last >= 0 && e.Day[i] == day {
			continue
		}
		day = e.Day[i]
		m := monthOf(day)
		if m <= last {
			continue
		}
		if last < 0 {
			cohort = m
		}
		last = m
		c.parts[worker][place{cohort, m}]++
	}
}

// A Row is a cohort in one month.
type Row struct {
	Cohort, Month int32 // their first days, in days since 1970-01-01
	Since         int   // months from the one to the other
	Size          int   // customers of the cohort
	Bought        int   // of these, in the month
	Over          bool  // the month has passed
}

// Rows are every cohort with customers in every month from its own to today's.
func (c *Counter) Rows() []Row {
	sum := map[place]int{}
	var all []month
	for _, part := range c.parts {
		for p, n := range part {
			sum[p] += n
			all = append(all, p.cohort)
		}
	}
	slices.Sort(all)
	var rows []Row
	now := monthOf(c.today)
	for _, cohort := range slices.Compact(all) {
		for m := cohort; m <= now; m++ {
			rows = append(rows, Row{
				Cohort: cohort.first(), Month: m.first(), Since: int(m - cohort), Size: sum[place{cohort, cohort}], Bought: sum[place{cohort, m}],
				Over: c.today >= (m+1).first()-1,
			})
		}
	}
	return rows
}

// Tabulate lays the rows out.
func Tabulate(rows []Row, stamp []outputs.Column) outputs.Table {
	l := outputs.Layout[Row]{Rows: rows}
	date := func(name, meaning string, v func(Row) int32) outputs.Column {
		return outputs.Date(name, meaning, func(i int) (int32, bool) { return v(rows[i]), true })
	}
	return l.Table(Table, date("cohort", "First day of the calendar month in which the customers bought for the first time that the history knows of, by local time.", func(r Row) int32 { return r.Cohort }), stamp, []outputs.Column{
		date("month", "First day of the calendar month that the row counts purchases of.", func(r Row) int32 { return r.Month }),
		outputs.Small("months_since", "Months from cohort to month: 0 is the month of the first purchase.", func(i int) (int, bool) { return rows[i].Since, true }),
		l.Count("cohort_customers", "Customers of the cohort.", func(r Row) int { return r.Size }),
		l.Count("customers", "Of these, those who bought in the month. Divided by cohort_customers: the share that is still buying.", func(r Row) int { return r.Bought }),
		outputs.Boolean("complete", "Whether the month is over at the as-of date; where it is not, more may buy yet.", func(i int) bool { return rows[i].Over }),
	})
}
