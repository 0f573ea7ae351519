package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/shoal-data/shoal/datasets/storage/cloud"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/nightly"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/jobs/schedule"
	"github.com/shoal-data/shoal/jobs/telemetry"
)

// nightsFlags are the flags of verbs that run several nights.
type nightsFlags struct {
	overrideFlags
	logs, summaryFile string
}

func (f *nightsFlags) add(c *cobra.Command) {
	f.overrideFlags.add(c)
	c.Flags().StringVar(&f.logs, "log", logAuto, "auto, human or json")
	c.Flags().StringVar(&f.summaryFile, "summary-file", "", "also write the last JSON summary to this `file`, on failure too")
}

// night runs one date of a configuration.
func night(cfg *config.Config, d *display) schedule.Night {
	crew := telemetry.New(context.Background(), os.Getenv, version(), d.log) // sends what it has after every night
	return func(ctx context.Context, date string) (*nightly.Summary, error) {
		stop := d.heartbeat(date)
		defer stop()
		s, err := crew.Run(ctx, nightly.Options{
			Config: cfg, Date: date, FS: cloud.Anywhere(), Version: version(), Log: d.log, Progress: d.progress, Now: time.Now,
		})
		d.finish()
		return s, err
	}
}

func retries(cfg *config.Config, log zerolog.Logger) schedule.Retries {
	r := schedule.DefaultRetries()
	r.Times, r.Log = cfg.Schedule.Retries, log
	return r
}

// each writes a night's summary as a line of its own.
func each(stdout io.Writer, d *display) func(*nightly.Summary) {
	return func(s *nightly.Summary) {
		if err := writeSummary(stdout, "", s); err != nil {
			d.log.Error().Msg(err.Error())
		}
	}
}

func backfillCommand() *cobra.Command {
	var f nightsFlags
	var from, to string
	var last int
	var keepGoing bool
	c := &cobra.Command{
		Use:   "backfill --config shoal.yaml --from YYYY-MM-DD --to YYYY-MM-DD",
		Short: "Run many nights, the earliest first",
		Long: `Run every date from one day to another, both included. Each is published as soon
as it is done. Dates that are published already, from the same inputs, are passed
over: a backfill that was interrupted goes on where it was. A date without input
is passed over too. Faults that may pass are tried again (schedule.retries).
--last 3 runs the last three nights that schedule.behind says are over.

Each night's summary is a line on stdout; the last line is the backfill's own.`,
		Example: "  shoal backfill --config sample/shoal.yaml --from 2025-03-30 --to 2025-03-31",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := newDisplay(cmd.ErrOrStderr(), f.logs)
			if err != nil {
				return nightly.Usage(err)
			}
			b := &schedule.Backfilled{Status: nightly.StatusFailed, From: from, To: to, Dates: []schedule.Dated{}}
			cfg, err := f.load()
			switch {
			case cmd.Flags().Changed("last") && (last < 1 || last > 366 || from != "" || to != ""):
				err = nightly.Usage(errors.Join(fmt.Errorf("--last %d: must be 1 to 366, and stands for --from and --to", last), err))
			case last > 0 && err == nil:
				from, to, err = lastNights(cfg, last, time.Now())
				b.From, b.To = from, to
			case from == "" || to == "":
				err = nightly.Usage(errors.Join(errors.New("--from and --to are required: the first and the last day, YYYY-MM-DD"), err))
			}
			if err != nil {
				b.ExitCode, b.Error = nightly.ExitCode(err), err.Error()
			} else {
				b, err = schedule.Backfill(cmd.Context(), schedule.BackfillOptions{
					From: from, To: to, Night: night(cfg, d), Retries: retries(cfg, d.log), KeepGoing: keepGoing, Each: each(cmd.OutOrStdout(), d),
				})
			}
			if d.human {
				fmt.Fprintf(cmd.ErrOrStderr(), "\n%s to %s: %d published, %d published before, %d without input, %d failed\n", b.From, b.To, b.Published, b.Noop, b.NoInput, b.Failed)
			}
			if e := writeSummary(cmd.OutOrStdout(), f.summaryFile, b); e != nil {
				err = errors.Join(err, nightly.Transient(e))
			}
			return err
		},
	}
	f.add(c)
	c.Flags().StringVar(&from, "from", "", "the first `day`, YYYY-MM-DD")
	c.Flags().StringVar(&to, "to", "", "the last `day`, YYYY-MM-DD")
	c.Flags().IntVar(&last, "last", 0, "instead of --from and --to: the last `n` nights")
	c.Flags().BoolVar(&keepGoing, "keep-going", false, "run the dates after one that failed for good, and fail at the end")
	return c
}

// lastNights are the first and last of the n nights that are over.
func lastNights(cfg *config.Config, n int, now time.Time) (from, to string, err error) {
	zone, err := cfg.ScheduleLocation()
	if err != nil {
		return "", "", nightly.Usage(err)
	}
	y, m, d := now.In(zone).Date()
	end := time.Date(y, m, d-int(cfg.Schedule.Behind), 0, 0, 0, 0, time.UTC)
	return end.AddDate(0, 0, 1-n).Format(time.DateOnly), end.Format(time.DateOnly), nil
}

func scheduleCommand() *cobra.Command {
	var f nightsFlags
	var times int
	c := &cobra.Command{
		Use:   "schedule --config shoal.yaml",
		Short: "Run every night as its time comes, until stopped",
		Long: `Run a night whenever schedule.cron says so, one at a time, and first those that
were missed within schedule.catch_up. What is published is not run again, so it
can be stopped and started at will. SIGTERM ends it with exit code 143, and a run
it interrupts leaves nothing behind.

With --next it runs nothing and prints when the next nights come.`,
		Example: "  shoal schedule --config sample/shoal.yaml --next 3",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := newDisplay(cmd.ErrOrStderr(), f.logs)
			if err != nil {
				return nightly.Usage(err)
			}
			cfg, err := f.load()
			if err != nil {
				return err
			}
			zone, err := cfg.ScheduleLocation()
			if err != nil {
				return nightly.Usage(err)
			}
			cron, err := schedule.ParseCron(cfg.Schedule.Cron, zone)
			if err != nil {
				return nightly.Usage(fmt.Errorf("schedule.cron: %w", err))
			}
			o := schedule.Options{
				Cron: cron, Behind: int(cfg.Schedule.Behind), CatchUp: time.Duration(cfg.Schedule.CatchUp) * 24 * time.Hour,
				Night: night(cfg, d), Retries: retries(cfg, d.log), Now: time.Now, Wait: schedule.Wait, Log: d.log, Each: each(cmd.OutOrStdout(), d),
				Published: func(ctx context.Context) ([]string, error) {
					p, err := publish.ReadPointer(ctx, cloud.Anywhere(), cfg.Out)
					return slices.Collect(maps.Keys(p.Dates)), err
				},
			}
			if cmd.Flags().Changed("next") {
				if times < 1 || times > 10_000 {
					return nightly.Usage(fmt.Errorf("--next %d: must be 1 to 10000", times))
				}
				nights, err := o.Next(times)
				if err != nil {
					return nightly.Usage(err)
				}
				enc := json.NewEncoder(cmd.OutOrStdout())
				for _, n := range nights {
					if err := enc.Encode(n); err != nil {
						return err
					}
				}
				return nil
			}
			return schedule.Run(cmd.Context(), o)
		},
	}
	f.add(c)
	c.Flags().IntVar(&times, "next", 0, "only print the times and dates of the next `n` nights")
	return c
}
