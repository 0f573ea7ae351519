package timeline

import (
	"fmt"
	"time"
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
	return AsOf{Date: day, Instant: startOfDay(day.AddDate(0, 0, 1), zone), Today: int32(day.Unix() / 86400)}
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

// startOfDay is the first instant of a calendar date in zone, in µs. Where a
// clock change removes midnight the day starts when the clock resumes.
func startOfDay(date time.Time, zone *time.Location) int64 {
	y, m, d := date.Date()
	t := time.Date(y, m, d, 0, 0, 0, 0, zone)
	if ty, tm, td := t.Date(); ty != y || tm != m || td != d {
		// Midnight does not exist and Go resolved it to the day before.
		_, end := t.ZoneBounds()
		t = end
	} else if start, _ := t.ZoneBounds(); !start.IsZero() {
		// Midnight happens twice when the clock is set back across it: the day
		// starts at the first, unless that one still carries the earlier date.
		_, after := t.Zone()
		_, before := start.Add(-1).Zone()
		if first := t.Add(time.Duration(after-before) * time.Second); first.Before(start) {
			if fy, fm, fd := first.Date(); fy == y && fm == m && fd == d {
				t = first
			}
		}
	}
	return t.UnixMicro()
}

const microsPerDay = 86_400_000_000

// A zoneClock turns instants into local day numbers, remembering the stretches
// of time between clock changes that it has looked up. One goroutine uses it at
// a time.
type zoneClock struct {
	zone *time.Location
	stretch
	known []stretch
}

// A stretch of time over which the offset of a zone does not change.
type stretch struct {
	from, to int64 // µs: [from, to)
	offset   int64 // µs
	earliest int32 // no day of the stretch is before it
}

func newZoneClock(zone *time.Location) *zoneClock {
	c := &zoneClock{zone: zone, stretch: stretch{earliest: -1 << 31}}
	if zone == time.UTC {
		c.from, c.to = -1<<63, 1<<63-1
	}
	return c
}

// day is the local calendar day of an instant, in days since 1970-01-01. Days
// never go back: where a clock is set back across midnight, the new day has
// begun at its first midnight, as startOfDay has it.
func (c *zoneClock) day(micros int64) int32 {
	day, _ := c.read(micros)
	return day
}

// read is the local calendar day of an instant and what the clock on the wall
// shows, in seconds since midnight. Unlike days, the clock does go back.
func (c *zoneClock) read(micros int64) (day, clock int32) {
	if micros < c.from || micros >= c.to {
		c.lookUp(micros)
	}
	local := micros + c.offset
	day = floorDay(local)
	clock = int32((local - int64(day)*microsPerDay) / 1_000_000)
	return max(day, c.earliest), clock
}

// maxStretches bounds how many stretches are remembered: two a year for longer
// than most histories.
const maxStretches = 64

func (c *zoneClock) lookUp(micros int64) {
	for i := range c.known {
		if s := &c.known[i]; micros >= s.from && micros < s.to {
			c.stretch = *s
			return
		}
	}
	t := time.UnixMicro(micros).In(c.zone)
	_, offset := t.Zone()
	start, end := t.ZoneBounds()
	c.offset = int64(offset) * 1_000_000
	c.from, c.to, c.earliest = -1<<63, 1<<63-1, -1<<31
	if !start.IsZero() {
		c.from = start.UnixMicro()
		last := start.Add(-time.Microsecond)
		_, before := last.Zone()
		c.earliest = floorDay(last.UnixMicro() + int64(before)*1_000_000)
	}
	if !end.IsZero() {
		c.to = end.UnixMicro()
	}
	if len(c.known) < maxStretches {
		c.known = append(c.known, c.stretch)
	}
}

func floorDay(local int64) int32 {
	d := local / microsPerDay
	if local%microsPerDay < 0 {
		d--
	}
	return int32(d)
}

// LocalDay is the calendar day of an instant (µs UTC) in zone, in days since
// 1970-01-01, as Events.Day has it.
func LocalDay(micros int64, zone *time.Location) int32 { return newZoneClock(zone).day(micros) }

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
		reached := floorDay(change.UnixMicro() - 1 + int64(before)*1_000_000)
		if floorDay(change.UnixMicro()+int64(after)*1_000_000) < reached {
			all = append(all, Reentry{
				From: change.UnixMicro(), To: int64(reached)*microsPerDay - int64(after)*1_000_000,
				Date: time.Unix(int64(reached)*86_400, 0).UTC(),
			})
		}
		at = change
	}
}
