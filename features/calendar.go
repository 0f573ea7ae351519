package features

import (
	"math"
	"sort"
	"time"

	"github.com/shoal-data/shoal/features/timeline"
)

// recentDays is the window of the columns that have a single one, beside the
// lifetime: a quarter, short enough to show a change of habit and long enough
// to see most customers more than once.
const recentDays = 90

// A monthClock turns local days into calendar months, remembering the month it
// last looked up: a history's days ascend, so most are in it.
type monthClock struct {
	from, to int32 // days [from, to) are in month; empty before the first look-up
	month    int32
}

// at is the month of a day, counted from January of year 0: months are
// consecutive, and the remainder by 12 is 0 in January.
func (c *monthClock) at(day int32) int32 {
	if day < c.from || day >= c.to {
		y, m, d := time.Unix(int64(day)*86_400, 0).UTC().Date()
		c.from = day - int32(d) + 1
		c.to = c.from + 28 // every month's least; the days after are looked up each time
		c.month = int32(y)*12 + int32(m) - 1
	}
	return c.month
}

// weekday is the ISO weekday of a day less one: 0 is Monday, 6 Sunday.
func weekday(day int32) int32 {
	return ((day+3)%7 + 7) % 7 // 1970-01-01 was a Thursday
}

// since is the position of the first event of the last n local days, the as-of
// date included; the history's length when there is none.
func since(h *timeline.History, n int32) int {
	from := h.AsOf.Today - n
	return sort.Search(h.Len(), func(i int) bool { return h.Day[i] > from })
}

// nulls makes every value null.
func nulls(out []float64) {
	for i := range out {
		out[i] = math.NaN()
	}
}

// share is part ÷ whole; null when the whole is not positive.
func share[T int | int32 | int64 | float64](part, whole T) float64 {
	if whole <= 0 {
		return math.NaN()
	}
	return float64(part) / float64(whole)
}
