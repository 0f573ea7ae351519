package schedule

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/adhocore/gronx"
	"github.com/rs/zerolog"

	"github.com/shoal-data/shoal/jobs/nightly"
)

// A Cron is a cron expression on the clocks of a time zone.
type Cron struct {
	expression string
	zone       *time.Location
}

// ParseCron reads the usual five fields (minute, hour, day of month, month, day
// of week) or a name such as @daily.
func ParseCron(expression string, zone *time.Location) (Cron, error) {
	fields := strings.Fields(expression)
	if named := len(fields) == 1 && strings.HasPrefix(fields[0], "@"); !named && len(fields) != 5 || !gronx.IsValid(expression) {
		return Cron{}, fmt.Errorf("%q is not a cron expression of five fields (minute, hour, day of month, month, day of week), such as 30 4 * * *", expression)
	}
	c := Cron{expression, zone}
	if _, err := c.next(time.Now()); err != nil {
		return Cron{}, fmt.Errorf("%q never comes: %w", expression, err)
	}
	return c, nil
}

// A firing is a time that a cron expression names.
type firing struct {
	at   time.Time
	wall time.Time // what the clocks show, as if it were UTC
}

// next is the first firing after a time. It counts what clocks show: a time that
// they skip in spring comes when they have skipped it, and one that they show
// twice in autumn comes once.
func (c Cron) next(after time.Time) (firing, error) {
	local := after.In(c.zone)
	// Clocks that were put back show times again whose firings are past: begin
	// early, and take the first that is later.
	wall := time.Date(local.Year(), local.Month(), local.Day(), local.Hour()-3, local.Minute(), local.Second(), 0, time.UTC)
	for {
		next, err := gronx.NextTickAfter(c.expression, wall, false)
		if err != nil {
			return firing{}, err
		}
		if !next.After(wall) {
			return firing{}, fmt.Errorf("no time after %s", wall.Format(time.DateTime))
		}
		wall = next
		at := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), 0, 0, c.zone)
		if at.After(after) {
			return firing{at, wall}, nil
		}
	}
}

// Options of a schedule.
type Options struct {
	Cron Cron
	// Behind is how many days before its firing the date of a night lies: 1 when
	// the day is complete after midnight.
	Behind int
	// CatchUp is how far back firings count that were missed.
	CatchUp time.Duration
	Night   Night
	Retries Retries
	// Published lists the dates that are published.
	Published func(context.Context) ([]string, error)
	Now       func() time.Time
	Wait      func(context.Context, time.Duration) error
	Log       zerolog.Logger
	Each      func(*nightly.Summary) // hears of each night as it ends; may be nil
}

// date is the night that a firing asks for.
func (o *Options) date(f firing) string { return f.wall.AddDate(0, 0, -o.Behind).Format(time.DateOnly) }

// A Coming is a night that is still to come.
type Coming struct {
	At   time.Time `json:"at"`
	Date string    `json:"date"`
}

// Next lists the next firings.
func (o *Options) Next(n int) ([]Coming, error) {
	var all []Coming
	for at := o.Now(); len(all) < n; {
		f, err := o.Cron.next(at)
		if err != nil {
			return all, err
		}
		all = append(all, Coming{f.at, o.date(f)})
		at = f.at
	}
	return all, nil
}

// Run runs nights one at a time as their time comes, those that were missed
// first, until ctx ends; it returns ctx's error. A night that is published is not
// run again, and one that cannot succeed (bad data, a gate, usage) is not tried
// again by this process.
func Run(ctx context.Context, o Options) error {
	hopeless := map[string]bool{}
	since := o.Now().Add(-o.CatchUp)
	for {
		due, next, err := o.due(since)
		if err != nil {
			return nightly.Usage(err)
		}
		if err := o.runAll(ctx, due, hopeless); err != nil {
			return err
		}
		// While nights were run the next may have come.
		if now := o.Now(); !next.at.After(now) {
			continue
		}
		o.Log.Info().Str("date", o.date(next)).Time("at", next.at).Msg("next night")
		for { // in short steps: the clock may be set, the machine may sleep
			left := next.at.Sub(o.Now())
			if left <= 0 {
				break
			}
			if err := o.Wait(ctx, min(left, time.Minute)); err != nil {
				return err
			}
		}
		if since = o.Now().Add(-o.CatchUp); o.CatchUp == 0 {
			since = next.at.Add(-time.Second)
		}
	}
}

// due lists the dates of the firings since a time, in order, and the firing that
// comes next.
func (o *Options) due(since time.Time) (dates []string, next firing, err error) {
	now := o.Now()
	for next, err = o.Cron.next(since); err == nil && !next.at.After(now); next, err = o.Cron.next(next.at) {
		if d := o.date(next); !slices.Contains(dates, d) {
			dates = append(dates, d)
		}
	}
	slices.Sort(dates)
	return dates, next, err
}

// runAll runs those of the dates that are not published.
func (o *Options) runAll(ctx context.Context, dates []string, hopeless map[string]bool) error {
	if len(dates) == 0 {
		return ctx.Err()
	}
	published, err := o.Published(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		// What the store does not tell now it tells later; a run asks it again.
		o.Log.Warn().Msg(err.Error())
	}
	for _, date := range dates {
		if slices.Contains(published, date) || hopeless[date] {
			continue
		}
		s, err := o.Retries.run(ctx, o.Night, date)
		if s != nil && o.Each != nil {
			o.Each(s)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch nightly.ExitCode(err) {
		case nightly.ExitDone:
		case nightly.ExitTransient, nightly.ExitNoInput:
			o.Log.Warn().Str("date", date).Msg("given up until the next night comes: " + err.Error())
		default:
			hopeless[date] = true
			o.Log.Error().Str("date", date).Int("exit_code", nightly.ExitCode(err)).Msg("given up: " + err.Error())
		}
	}
	return nil
}
