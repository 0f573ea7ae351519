// Package localtime knows which local day an instant falls on, across changes of
// the clock.
package localtime

import "time"

// StartOfDay is the first instant of a calendar date in zone, in µs. Where a
// clock change removes midnight the day starts when the clock resumes.
func StartOfDay(date time.Time, zone *time.Location) int64 {
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

// DayMicros is the length of a day without a clock change, in µs.
const DayMicros = 86_400_000_000

// A Clock turns instants into local day numbers, remembering the stretches
// of time between clock changes that it has looked up. One goroutine uses it at
// a time.
type Clock struct {
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

// NewClock is a clock on a wall in zone.
func NewClock(zone *time.Location) *Clock {
	c := &Clock{zone: zone, stretch: stretch{earliest: -1 << 31}}
	if zone == time.UTC {
		c.from, c.to = -1<<63, 1<<63-1
	}
	return c
}

// Day is the local calendar day of an instant, in days since 1970-01-01. Days
// never go back: where a clock is set back across midnight, the new day has
// begun at its first midnight, as StartOfDay has it.
func (c *Clock) Day(micros int64) int32 {
	day, _ := c.Read(micros)
	return day
}

// Read is the local calendar day of an instant and what the clock on the wall
// shows, in seconds since midnight. Unlike days, the clock does go back.
func (c *Clock) Read(micros int64) (day, clock int32) {
	if micros < c.from || micros >= c.to {
		c.lookUp(micros)
	}
	local := micros + c.offset
	day = FloorDay(local)
	clock = int32((local - int64(day)*DayMicros) / 1_000_000)
	return max(day, c.earliest), clock
}

// maxStretches bounds how many stretches are remembered: two a year for longer
// than most histories.
const maxStretches = 64

func (c *Clock) lookUp(micros int64) {
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
		c.earliest = FloorDay(last.UnixMicro() + int64(before)*1_000_000)
	}
	if !end.IsZero() {
		c.to = end.UnixMicro()
	}
	if len(c.known) < maxStretches {
		c.known = append(c.known, c.stretch)
	}
}

// FloorDay is the day, counted from 1970-01-01, of a local time in µs.
func FloorDay(local int64) int32 {
	d := local / DayMicros
	if local%DayMicros < 0 {
		d--
	}
	return int32(d)
}
