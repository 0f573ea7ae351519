package timeline

import (
	"fmt"
	"time"

	"github.com/shoal-data/shoal/features/internal/localtime"
)

// An AsOf is the moment a customer is described: the end of the local day
// Date. Everything before Instant is history, everything else is future.
type AsOf struct {
	Date    time.Time // midnight UTC carrying the calendar date
	Instant int64     // µs since 1970-01-01 UTC: the first instant of the day after Date, in the job's time zone
	Today   int32     // Date as days since 1970-01-01; recency on Date itself is 0
}

// NewAsOf is the end of the given calendar date in zone.
func NewAsOf(date time.Time, zone *time.Location) AsOf {
	y, m, d := date.Date()
	day := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	return AsOf{Date: day, Instant: localtime.StartOfDay(day.AddDate(0, 0, 1), zone), Today: int32(day.Unix() / 86400)}
}

// Add is the as-of n days later (earlier when negative), in zone.
func (a AsOf) Add(n int, zone *time.Location) AsOf {
	return NewAsOf(a.Date.AddDate(0, 0, n), zone)
}

func (a AsOf) String() string { return a.Date.Format(time.DateOnly) }

// ParseAsOf reads YYYY-MM-DD.
func ParseAsOf(s string, zone *time.Location) (AsOf, error) {
	d, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return AsOf{}, fmt.Errorf("date %q is not YYYY-MM-DD", s)
	}
	if d.Year() < 1 || d.AddDate(0, 0, 1).Year() > 9999 {
		return AsOf{}, fmt.Errorf("date %q must be 0001-01-01 to 9999-12-30", s)
	}
	return NewAsOf(d, zone), nil
}

// LocalDay is the calendar day of an instant (µs UTC) in zone, in days since
// 1970-01-01, as Events.Day has it.
func LocalDay(micros int64, zone *time.Location) int32 { return localtime.NewClock(zone).Day(micros) }

// A Reentry is a stretch of time [From, To) in µs whose local calendar says the
// day before Date although Date has begun: the clock was set back across midnight.
type Reentry struct {
	From, To int64
	Date     time.Time // midnight UTC carrying the calendar date
}

// Reentered lists, in order, a zone's re-entries before an as-of moment. Events
// in them are on Date (see Events.Day); SQL that derives days has to say so.
func Reentered(zone *time.Location, a AsOf) []Reentry {
	var all []Reentry
	for at := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).In(zone); ; {
		_, change := at.ZoneBounds()
		if change.IsZero() || change.UnixMicro() >= a.Instant {
			return all
		}
		if !change.After(at) {
			// Beyond the zone's table package time ends every year after 365 days:
			// on the last day of a leap year the end is behind.
			at = at.Add(time.Hour)
			continue
		}
		_, before := change.Add(-1).Zone()
		_, after := change.Zone()
		reached := localtime.FloorDay(change.UnixMicro() - 1 + int64(before)*1_000_000)
		if localtime.FloorDay(change.UnixMicro()+int64(after)*1_000_000) < reached {
			all = append(all, Reentry{
				From: change.UnixMicro(), To: int64(reached)*localtime.DayMicros - int64(after)*1_000_000,
				Date: time.Unix(int64(reached)*86_400, 0).UTC(),
			})
		}
		at = change
	}
}
