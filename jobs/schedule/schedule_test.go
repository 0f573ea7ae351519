package schedule_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/rs/zerolog"

	"github.com/shoal-data/shoal/jobs/nightly"
	"github.com/shoal-data/shoal/jobs/schedule"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	must(t, err)
	return z
}

// A world is a clock that moves only when somebody waits, and a store.
type world struct {
	now       time.Time
	end       time.Time // the process is stopped then
	published []string
	ran       []string // every attempt, in order
	at        map[string]time.Time
	fails     map[string][]error // by date, what its next attempts end with
	takes     time.Duration
	cancel    func()
}

func (w *world) options(t testing.TB, cron, zoneName string) schedule.Options {
	t.Helper()
	c, err := schedule.ParseCron(cron, zone(t, zoneName))
	must(t, err)
	w.at = map[string]time.Time{}
	wait := func(ctx context.Context, d time.Duration) error {
		if d <= 0 {
			t.Errorf("waits for %s", d)
			d = time.Minute
		}
		w.now = w.now.Add(d)
		if w.now.After(w.end) {
			w.cancel()
		}
		return ctx.Err()
	}
	return schedule.Options{
		Cron: c, Behind: 1, CatchUp: 7 * 24 * time.Hour,
		Retries: schedule.Retries{Times: 3, First: time.Minute, Most: 3 * time.Minute, Wait: wait, Log: zerolog.Nop()},
		Now:     func() time.Time { return w.now },
		Wait:    wait,
		Log:     zerolog.Nop(),
		Published: func(context.Context) ([]string, error) {
			return slices.Clone(w.published), nil
		},
		Night: func(ctx context.Context, date string) (*nightly.Summary, error) {
			w.ran = append(w.ran, date)
			w.at[date] = w.now
			if w.now = w.now.Add(w.takes); w.now.After(w.end) && w.cancel != nil {
				w.cancel()
			}
			if f := w.fails[date]; len(f) > 0 {
				w.fails[date] = f[1:]
				if f[0] != nil {
					return &nightly.Summary{Date: date, Status: nightly.StatusFailed}, f[0]
				}
			}
			w.published = append(w.published, date)
			return &nightly.Summary{Date: date, Status: nightly.StatusPublished}, nil
		},
	}
}

// live lets a schedule run from one time to another.
func (w *world) live(t testing.TB, o schedule.Options, from, to time.Time) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.now, w.end, w.cancel = from, to, cancel
	if err := schedule.Run(ctx, o); !errors.Is(err, context.Canceled) || nightly.ExitCode(err) != nightly.ExitTerminated {
		t.Errorf("stopped: %v", err)
	}
}

// days lists dates from one to another.
func days(t testing.TB, from, to string) []string {
	t.Helper()
	all, err := schedule.Dates(from, to)
	must(t, err)
	return all
}

// Over a year, in zones that change their clocks in every way there is, each date
// is run once, in order, also when the firing is at a time that clocks skip or
// show twice.
func TestEachDateOnceOverAYear(t *testing.T) {
	for _, z := range []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "America/Santiago", "Asia/Beirut", "Pacific/Apia"} {
		for cron, last := range map[string]string{
			"30 2 * * *": "2025-12-31", "0 0 * * *": "2025-12-31", "15 1,2,3 * * *": "2025-12-31", "59 23 * * *": "2025-12-30",
		} {
			w := &world{takes: 7 * time.Minute}
			o := w.options(t, cron, z)
			o.CatchUp = 2 * 24 * time.Hour
			from := time.Date(2025, 1, 1, 12, 0, 0, 0, zone(t, z))
			w.published = days(t, "2024-12-20", "2024-12-31")
			w.live(t, o, from, from.AddDate(1, 0, 0))
			if want := days(t, "2025-01-01", last); !slices.Equal(w.ran, want) {
				t.Errorf("%s in %s: %d nights, want %d: %q", cron, z, len(w.ran), len(want), w.ran)
			}
		}
	}
}

// On the nights the clocks change a night comes when clocks show its time, or at
// once when they skip it.
func TestClocksChange(t *testing.T) {
	w := &world{}
	o := w.options(t, "30 2 * * *", "Europe/Berlin")
	w.published = days(t, "2025-03-20", "2025-03-27")
	w.live(t, o, time.Date(2025, 3, 29, 0, 0, 0, 0, time.UTC), time.Date(2025, 3, 31, 12, 0, 0, 0, time.UTC))
	for date, want := range map[string]string{"2025-03-28": "2025-03-29T01:30:00Z", "2025-03-29": "2025-03-30T01:30:00Z", "2025-03-30": "2025-03-31T00:30:00Z"} {
		if got := w.at[date].UTC().Format(time.RFC3339); got != want {
			t.Errorf("spring: %s ran at %s, want %s", date, got, want)
		}
	}
	w = &world{}
	o = w.options(t, "30 2 * * *", "Europe/Berlin")
	w.published = days(t, "2025-10-15", "2025-10-23")
	w.live(t, o, time.Date(2025, 10, 25, 0, 0, 0, 0, time.UTC), time.Date(2025, 10, 27, 12, 0, 0, 0, time.UTC))
	if want := days(t, "2025-10-24", "2025-10-26"); !slices.Equal(w.ran, want) {
		t.Errorf("autumn: %q, want %q", w.ran, want)
	}
}

func TestCatchUp(t *testing.T) {
	noon := time.Date(2025, 6, 10, 12, 0, 0, 0, time.UTC)
	for catchUp, want := range map[int][]string{
		0: {"2025-06-10"}, 3: {"2025-06-07", "2025-06-09", "2025-06-10"}, 30: append(days(t, "2025-05-11", "2025-06-07"), "2025-06-09", "2025-06-10"),
	} {
		w := &world{takes: 10 * time.Minute}
		o := w.options(t, "0 4 * * *", "UTC")
		o.CatchUp = time.Duration(catchUp) * 24 * time.Hour
		w.published = []string{"2025-06-08"}
		w.live(t, o, noon, noon.AddDate(0, 0, 1))
		if !slices.Equal(w.ran, want) {
			t.Errorf("catch up %d days: %q, want %q", catchUp, w.ran, want)
		}
	}
	// A night may take longer than a day: none is lost, none runs beside another.
	w := &world{takes: 40 * time.Hour}
	o := w.options(t, "0 4 * * *", "UTC")
	o.CatchUp = 0
	w.live(t, o, noon, noon.AddDate(0, 0, 9))
	if want := days(t, "2025-06-10", "2025-06-14"); len(w.ran) < 5 || !slices.Equal(w.ran[:5], want) {
		t.Errorf("long nights: %q, want %q", w.ran, want)
	}
	// What is stopped and started goes on.
	w = &world{}
	o = w.options(t, "0 4 * * *", "UTC")
	w.published = days(t, "2025-06-01", "2025-06-09")
	for range 6 {
		w.live(t, o, noon, noon.AddDate(0, 0, 1).Add(-9*time.Hour))
		noon = noon.AddDate(0, 0, 1)
	}
	if want := days(t, "2025-06-10", "2025-06-14"); !slices.Equal(w.ran, want) {
		t.Errorf("stopped daily: %q, want %q", w.ran, want)
	}
}

func TestFailures(t *testing.T) {
	transient, bad, none := nightly.Transient(errors.New("store is away")), nightly.BadData(errors.New("bad")), nightly.NoInput(errors.New("not there yet"))
	w := &world{fails: map[string][]error{
		"2025-06-10": {transient, transient},                       // the third attempt succeeds
		"2025-06-11": {bad},                                        // would succeed, but is not tried again
		"2025-06-12": {none},                                       // delivered a day late
		"2025-06-13": {transient, transient, transient, transient}, // given up, and caught up the day after
	}}
	o := w.options(t, "0 4 * * *", "UTC")
	start := time.Date(2025, 6, 11, 0, 0, 0, 0, time.UTC)
	w.published = days(t, "2025-06-01", "2025-06-09")
	w.live(t, o, start, start.AddDate(0, 0, 5))
	want := strings.Fields("2025-06-10 2025-06-10 2025-06-10 2025-06-11 2025-06-12 2025-06-12 2025-06-13 2025-06-13 2025-06-13 2025-06-13 2025-06-13 2025-06-14")
	if !slices.Equal(w.ran, want) {
		t.Errorf("%q, want %q", w.ran, want)
	}
	if got, want := w.at["2025-06-10"], start.Add(4*time.Hour+3*time.Minute); !got.Equal(want) {
		t.Errorf("tried the third time at %s, want %s", got, want)
	}
}

func TestParseCron(t *testing.T) {
	for expr, ok := range map[string]bool{
		"30 4 * * *": true, "@daily": true, "0 4 * * 1-5": true, "0 4 29 2 *": true, "0 4 * * MON": true,
		"": false, "4": false, "30 4 * *": false, "0 30 4 * * *": false, "61 4 * * *": false, "0 4 31 2 *": false, "each night": false, "@noon": false,
	} {
		if _, err := schedule.ParseCron(expr, time.UTC); (err == nil) != ok {
			t.Errorf("%q: %v", expr, err)
		}
	}
}

func TestBackfill(t *testing.T) {
	transient, bad, none := nightly.Transient(errors.New("store is away")), nightly.BadData(errors.New("bad")), nightly.NoInput(errors.New("no input"))
	for _, c := range []struct {
		name      string
		fails     map[string][]error
		keepGoing bool
		code      int
		ran       string // days of June
		counts    string // published, no input, failed
	}{
		{"all well", nil, false, 0, "1 2 3 4", "4 0 0"},
		{"a transient fault", map[string][]error{"2025-06-02": {transient, transient}}, false, 0, "1 2 2 2 3 4", "4 0 0"},
		{"a lasting one", map[string][]error{"2025-06-02": {transient, transient, transient, transient}}, false, 75, "1 2 2 2 2", "1 0 1"},
		{"bad data", map[string][]error{"2025-06-02": {bad}}, false, 65, "1 2", "1 0 1"},
		{"bad data, going on", map[string][]error{"2025-06-02": {bad}}, true, 65, "1 2 3 4", "3 0 1"},
		{"a date without input", map[string][]error{"2025-06-02": {none}}, false, 0, "1 2 3 4", "3 1 0"},
		{"no input at all", map[string][]error{"2025-06-01": {none}, "2025-06-02": {none}, "2025-06-03": {none}, "2025-06-04": {none}}, false, 99, "1 2 3 4", "0 4 0"},
	} {
		w := &world{fails: c.fails, end: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}
		o := w.options(t, "@daily", "UTC")
		said := 0
		b, err := schedule.Backfill(t.Context(), schedule.BackfillOptions{
			From: "2025-06-01", To: "2025-06-04", Night: o.Night, Retries: o.Retries, KeepGoing: c.keepGoing, Each: func(*nightly.Summary) { said++ },
		})
		var ran []string
		for _, d := range w.ran {
			ran = append(ran, strings.TrimPrefix(d, "2025-06-0"))
		}
		counts := fmt.Sprint(b.Published, b.NoInput, b.Failed)
		if nightly.ExitCode(err) != c.code || b.ExitCode != c.code || strings.Join(ran, " ") != c.ran || counts != c.counts || said != len(b.Dates) {
			t.Errorf("%s: %v, ran %q, %s, %d said; want %d, %q, %s", c.name, err, ran, counts, said, c.code, c.ran, c.counts)
		}
	}
	for _, c := range [][3]string{{"2025-06-02", "2025-06-01", "is after"}, {"June", "2025-06-01", "from"}, {"2025-06-01", "2025-02-30", "to"}, {"0001-01-01", "2025-06-01", "more than"}} {
		b, err := schedule.Backfill(t.Context(), schedule.BackfillOptions{From: c[0], To: c[1]})
		if nightly.ExitCode(err) != nightly.ExitUsage || !strings.Contains(b.Error, c[2]) {
			t.Errorf("%v: %v", c, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	w := &world{}
	o := w.options(t, "@daily", "UTC")
	b, err := schedule.Backfill(ctx, schedule.BackfillOptions{
		From: "2025-06-01", To: "2025-06-30", Retries: o.Retries,
		Night: func(ctx context.Context, date string) (*nightly.Summary, error) {
			if date == "2025-06-04" {
				cancel()
				return &nightly.Summary{Date: date}, ctx.Err()
			}
			return o.Night(ctx, date)
		},
	})
	if nightly.ExitCode(err) != nightly.ExitTerminated || b.Published != 3 || !strings.Contains(b.Error, "stopped after 3 dates") {
		t.Errorf("stopped: %v, %+v", err, b)
	}
}
