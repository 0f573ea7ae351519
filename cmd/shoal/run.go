package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/shoal-data/shoal/datasets/storage/cloud"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/nightly"
	"github.com/shoal-data/shoal/jobs/telemetry"
)

func runCommand() *cobra.Command {
	var date, logs, summaryFile, plan string
	var f overrideFlags
	var force bool
	c := &cobra.Command{
		Use:   "run --config shoal.yaml --date YYYY-MM-DD",
		Short: "Make one night's run",
		Long: `Describe every customer as of the end of a date, segment them, score them, and
publish the result.

The date is the day the data are complete for: events of that day count, later
ones do not exist for the run. The same inputs, configuration and version make
the same run: a repeat does nothing and succeeds.

With --plan nothing is run. It prints what a run would read and skip and why, at
which dates customers would be described, what would be computed and published,
and the memory that takes, from the configuration and the files' footers alone;
it fails, with the same code, where a run would fail before reading.`,
		Example: "  shoal run --config sample/shoal.yaml --date 2025-03-31",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			stdout, stderr := cmd.OutOrStdout(), cmd.ErrOrStderr()
			if cmd.Flags().Changed("plan") {
				if summaryFile != "" {
					return nightly.Usage(errors.New("--summary-file is about a run, and --plan makes none: use --plan=json"))
				}
				cfg, err := f.load()
				if date == "" {
					err = errDate(err)
				}
				if err != nil {
					return err
				}
				return printPlan(cmd.Context(), stdout, plan, nightly.Options{
					Config: cfg, Date: date, FS: cloud.Anywhere(), Version: version(), Force: force, Log: zerolog.Nop(), Now: time.Now,
				})
			}
			d, err := newDisplay(stderr, logs)
			if err != nil {
				return nightly.Usage(err)
			}
			var s *nightly.Summary
			cfg, err := f.load()
			if date == "" {
				err = errDate(err)
			}
			if err != nil {
				s = &nightly.Summary{Status: nightly.StatusFailed, ExitCode: nightly.ExitCode(err), Error: err.Error(), Date: date, Out: f.Out, Version: version()}
			} else {
				stop := d.heartbeat(date)
				crew := telemetry.New(cmd.Context(), os.Getenv, version(), d.log)
				s, err = crew.Run(cmd.Context(), nightly.Options{
					Config: cfg, Date: date, FS: cloud.Anywhere(), Version: version(), Force: force, Log: d.log, Progress: d.progress, Now: time.Now,
				})
				crew.Close()
				stop()
			}
			d.finish()
			if d.human {
				closing(stderr, s)
			} else if err != nil {
				d.log.Error().Int("exit_code", s.ExitCode).Str("date", date).Msg(err.Error())
			}
			if e := writeSummary(stdout, summaryFile, s); e != nil {
				d.log.Error().Msg(e.Error())
				if err == nil {
					err = nightly.Transient(e)
				}
			}
			if err != nil {
				return &reportedError{err}
			}
			return nil
		},
	}
	f.add(c)
	c.Flags().StringVar(&date, "date", "", "the `day` to describe customers at the end of, YYYY-MM-DD")
	c.Flags().BoolVar(&force, "force", false, "publish a new run even when the same one is published")
	c.Flags().StringVar(&plan, "plan", "", "only say what the run would do, as `text` or json")
	c.Flags().Lookup("plan").NoOptDefVal = planText
	c.Flags().StringVar(&logs, "log", logAuto, "auto, human or json")
	c.Flags().StringVar(&summaryFile, "summary-file", "", "also write the JSON summary to this `file`, on failure too")
	return c
}

// errDate is the fault of a missing date, beside others.
func errDate(others error) error {
	return nightly.Usage(errors.Join(errors.New("--date is required: the day the data are complete for, YYYY-MM-DD"), others))
}

// overrideFlags are the configuration and the keys of it that verbs which run nights may
// give on the command line.
type overrideFlags struct {
	path string
	config.Overrides
}

func (f *overrideFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.path, "config", "shoal.yaml", "configuration `file`, or the manifest of an earlier run")
	c.Flags().StringVar(&f.Out, "out", "", "publish under this `directory` instead of the configuration's out")
	c.Flags().StringVar(&f.Workers, "workers", "", "parallel workers, `n` or auto, instead of limits.workers")
	c.Flags().StringVar(&f.Memory, "memory", "", "memory budget, a `size` or share, instead of limits.memory")
	c.Flags().StringVar(&f.Metrics, "metrics-file", "", "write Prometheus metrics to this `file`, instead of monitoring.metrics_file")
	c.Flags().StringVar(&f.Gates, "gates", "", "what a failed gate does, `fail`, warn or off, instead of gates.action")
}

func (f *overrideFlags) load() (*config.Config, error) {
	cfg, err := config.LoadWith(f.path, f.Overrides)
	if err != nil {
		return nil, nightly.Usage(err)
	}
	return cfg, nil
}

func loadConfig(path, out, workers, memory string) (*config.Config, error) {
	cfg, err := config.LoadWith(path, config.Overrides{Out: out, Workers: workers, Memory: memory})
	if err != nil {
		return nil, nightly.Usage(err)
	}
	return cfg, nil
}

// writeSummary prints the one-line summary and keeps it in a file when asked.
func writeSummary(stdout io.Writer, file string, s any) error {
	line, err := json.Marshal(s)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if _, err := stdout.Write(line); err != nil {
		return err
	}
	if file == "" {
		return nil
	}
	// Written beside and renamed, so that a watcher never reads half of it.
	tmp, err := os.CreateTemp(filepath.Dir(file), ".shoal-summary-*")
	if err != nil {
		return fmt.Errorf("--summary-file: %w", err)
	}
	defer os.Remove(tmp.Name())
	if _, err := tmp.Write(line); err != nil {
		return fmt.Errorf("--summary-file: %w", err)
	}
	if err := tmp.Close(); err != nil {
		return fmt.Errorf("--summary-file: %w", err)
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return fmt.Errorf("--summary-file: %w", err)
	}
	return nil
}
