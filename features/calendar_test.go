package features

import (
	"testing"
	"time"
)

// Months and weekdays are those of package time, centuries before and after
// the epoch, in any order of days.
func TestCalendarAgreesWithTime(t *testing.T) {
	var forwards, backwards monthClock
	check := func(c *monthClock, day int32) {
		date := time.Date(1970, 1, 1+int(day), 0, 0, 0, 0, time.UTC)
		if got, want := c.at(day), int32(date.Year())*12+int32(date.Month())-1; got != want {
			t.Fatalf("month %d of %v, want %d", got, date.Format(time.DateOnly), want)
		}
		if got, want := weekday(day), (int32(date.Weekday())+6)%7; got != want {
			t.Fatalf("weekday %d of %v, want %d", got, date.Format(time.DateOnly), want)
		}
	}
	for day := int32(-150_000); day < 150_000; day++ {
		check(&forwards, day)
		check(&backwards, -day)
	}
	for day := int32(0); day < 1_000; day++ {
		check(&forwards, day*day%977*37)
	}
}

// Easter is that of python-dateutil in all years of its rule, 1583 to 4099, by
// two sums over the days of the year, one of them weighted by the year.
func TestEasterOfEveryCentury(t *testing.T) {
	plain, weighted := 0, 0
	for year := 1583; year <= 4099; year++ {
		day := int(easter(year)-dayNumber(year, 1, 1)) + 1
		plain += day
		weighted += day * (year - 1582)
	}
	if plain != 248_776 || weighted != 313_487_297 {
		t.Errorf("sums %d and %d, want 248776 and 313487297", plain, weighted)
	}
}
