package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/shoal-data/shoal/datasets/storage/cloud"
	"github.com/shoal-data/shoal/jobs/nightly"
	"github.com/shoal-data/shoal/jobs/onboard"
)

func checkCommand() *cobra.Command {
	var path, date, logs string
	var asJSON bool
	c := &cobra.Command{
		Use:   "check --config shoal.yaml",
		Short: "Say what the input can and cannot support, without running",
		Long: `Read the input once and report rows, customers, the time range, nulls,
duplicates, roles without events, refused rows, and whether history is long
enough for each target. Exit code 65 when a run would fail.`,
		Example: "  shoal check --config sample/shoal.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := newDisplay(cmd.ErrOrStderr(), logs)
			if err != nil {
				return nightly.Usage(err)
			}
			cfg, err := loadConfig(path, "", "", "")
			if err != nil {
				return err
			}
			o := onboard.DefaultCheckOptions()
			o.FS = cloud.Anywhere()
			o.Workers = cfg.Limits.Workers.Count()
			o.Progress = func(done, total int64) { d.progress("read", done, total) }
			if date != "" {
				day, err := time.Parse(time.DateOnly, date)
				if err != nil {
					return nightly.Usage(fmt.Errorf("--date %q is not YYYY-MM-DD", date))
				}
				o.Date = &day
			}
			report, err := onboard.Check(cmd.Context(), cfg, o)
			d.finish()
			if err != nil {
				return nightly.Classify(err)
			}
			out := cmd.OutOrStdout()
			if asJSON {
				if err := json.NewEncoder(out).Encode(report); err != nil {
					return err
				}
			} else {
				fmt.Fprint(out, report.String())
			}
			if err := report.ExitError(); err != nil {
				return nightly.BadData(err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&path, "config", "shoal.yaml", "configuration `file`")
	c.Flags().StringVar(&date, "date", "", "judge as of the end of this `day` instead of the last event's")
	c.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	c.Flags().StringVar(&logs, "log", logAuto, "auto, human or json")
	return c
}
