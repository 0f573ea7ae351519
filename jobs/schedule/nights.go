// Package schedule decides which nights are run, when, and in what order: a range
// of past ones at once, or every one as it comes.
package schedule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"github.com/shoal-data/shoal/jobs/nightly"
)

// A Night runs one date; it is nightly.Run with everything but the date settled.
type Night func(ctx context.Context, date string) (*nightly.Summary, error)

// Retries say how often a night is tried again that failed for a reason which may
// pass, and how long is waited before.
type Retries struct {
	Times int
	First time.Duration // before the first retry; it doubles from one to the next
	Most  time.Duration // and grows no longer than this
	// Wait pauses, or returns the context's error.
	Wait func(context.Context, time.Duration) error
	Log  zerolog.Logger
}

// DefaultRetries are five, after 10 s, 20 s, 40 s, 80 s and 160 s.
func DefaultRetries() Retries {
	return Retries{Times: 5, First: 10 * time.Second, Most: 15 * time.Minute, Wait: Wait, Log: zerolog.Nop()}
}

// Wait lets the time pass, or returns the context's error.
func Wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// run runs a night, again when that may help.
func (r Retries) run(ctx context.Context, night Night, date string) (*nightly.Summary, error) {
	pause := r.First
	for tried := 0; ; tried++ {
		s, err := night(ctx, date)
		if err == nil || tried >= r.Times || ctx.Err() != nil || nightly.ExitCode(err) != nightly.ExitTransient {
			return s, err
		}
		r.Log.Warn().Str("date", date).Int("retry", tried+1).Int("of", r.Times).Float64("in_seconds", pause.Seconds()).Msg(err.Error())
		if err := r.Wait(ctx, pause); err != nil {
			return s, err
		}
		pause = min(2*pause, r.Most)
	}
}

// BackfillOptions are a range of dates.
type BackfillOptions struct {
	From, To string // YYYY-MM-DD, both run
	Night    Night
	Retries  Retries
	// KeepGoing runs the dates after one that failed for good.
	KeepGoing bool
	// Each, which may be nil, hears the summary of each date as it ends.
	Each func(*nightly.Summary)
}

// A Backfilled is what a backfill says of itself.
type Backfilled struct {
	Status    string  `json:"status"` // done or failed
	ExitCode  int     `json:"exit_code"`
	Error     string  `json:"error,omitempty"`
	From      string  `json:"from"`
	To        string  `json:"to"`
	Published int     `json:"published"`
	Noop      int     `json:"noop"` // published before
	NoInput   int     `json:"no_input"`
	Failed    int     `json:"failed"`
	Dates     []Dated `json:"dates"` // those that were come to, in order
}

// Dated is how one date ended.
type Dated struct {
	Date     string `json:"date"`
	Status   string `json:"status"`
	ExitCode int    `json:"exit_code"`
	RunID    string `json:"run_id,omitempty"`
	Error    string `json:"error,omitempty"`
}

// maxDates guards against a year that was mistyped.
const maxDates = 20_000

// Dates lists the days from one to another, both included.
func Dates(from, to string) ([]string, error) {
	a, err := time.Parse(time.DateOnly, from)
	if err != nil {
		return nil, fmt.Errorf("from %q must be a day, YYYY-MM-DD", from)
	}
	b, err := time.Parse(time.DateOnly, to)
	if err != nil {
		return nil, fmt.Errorf("to %q must be a day, YYYY-MM-DD", to)
	}
	if b.Before(a) {
		return nil, fmt.Errorf("from %s is after to %s", from, to)
	}
	if b.Sub(a) > maxDates*24*time.Hour {
		return nil, fmt.Errorf("from %s to %s is more than %d days", from, to, maxDates)
	}
	var all []string
	for d := a; !d.After(b); d = d.AddDate(0, 0, 1) {
		all = append(all, d.Format(time.DateOnly))
	}
	return all, nil
}

// Backfill runs the dates of a range, the earliest first: a night may build on
// the one before. Each is published when it is done, and one that is published
// already is passed over, so a backfill that was interrupted goes on where it
// was. A date without input is no failure, unless none has any.
func Backfill(ctx context.Context, o BackfillOptions) (*Backfilled, error) {
	b := &Backfilled{From: o.From, To: o.To, Dates: []Dated{}}
	dates, err := Dates(o.From, o.To)
	if err != nil {
		return b.finish(nightly.Usage(err))
	}
	var first, noInput error // of the failures
	for _, date := range dates {
		if ctx.Err() != nil {
			return b.finish(ctx.Err())
		}
		s, err := o.Retries.run(ctx, o.Night, date)
		if s != nil && o.Each != nil {
			o.Each(s)
		}
		d := Dated{Date: date, ExitCode: nightly.ExitCode(err)}
		if s != nil {
			d.Status, d.RunID = s.Status, s.RunID
		}
		if err != nil {
			d.Status, d.Error = nightly.StatusFailed, err.Error()
		}
		b.Dates = append(b.Dates, d)
		switch {
		case d.ExitCode == nightly.ExitNoInput:
			b.NoInput++
			noInput = err
		case d.ExitCode == nightly.ExitTerminated:
			return b.finish(err)
		case err != nil:
			b.Failed++
			if first == nil {
				first = &nightly.Error{Code: d.ExitCode, Err: fmt.Errorf("%s: %w", date, err)}
			}
			if !o.KeepGoing {
				return b.finish(first)
			}
		case d.Status == nightly.StatusNoop:
			b.Noop++
		default:
			b.Published++
		}
	}
	if first == nil && b.Published+b.Noop == 0 {
		first = noInput
	}
	return b.finish(first)
}

func (b *Backfilled) finish(err error) (*Backfilled, error) {
	b.Status, b.ExitCode = "done", nightly.ExitCode(err)
	if err != nil {
		b.Status, b.Error = nightly.StatusFailed, err.Error()
		if errors.Is(err, context.Canceled) {
			b.Error = fmt.Sprintf("stopped after %d dates; the same command goes on from there", b.Published+b.Noop+b.NoInput)
		}
	}
	return b, err
}
