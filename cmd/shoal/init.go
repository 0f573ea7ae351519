package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/storage/cloud"
	"github.com/shoal-data/shoal/jobs/nightly"
	"github.com/shoal-data/shoal/jobs/onboard"
)

func initCommand() *cobra.Command {
	o := onboard.DefaultOptions()
	var columns map[string]string
	var file string
	c := &cobra.Command{
		Use:   "init GLOB ...",
		Short: "Write a configuration for Parquet files never seen before",
		Long: `Look into Parquet files and write a commented shoal.yaml that runs as it is:
columns recognised by name, type and content, event types mapped onto roles, the
time range, a churn horizon from the gaps between purchases. What was guessed and
should be confirmed is said on stderr; when only a person can know, nothing is
written and the message says what is missing.`,
		Example: "  shoal init 'sample/events/*/*.parquet'",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.FS, o.Globs = cloud.Anywhere(), args
			for name, column := range columns {
				f, err := datasets.ParseField(name)
				if err != nil {
					return nightly.Usage(fmt.Errorf("--column: %w", err))
				}
				o.Columns[f] = column
			}
			text, notes, err := onboard.Init(cmd.Context(), o)
			for _, n := range notes {
				if n.Kind != onboard.Found {
					fmt.Fprintln(cmd.ErrOrStderr(), strings.TrimSpace(n.String()))
				}
			}
			var person *onboard.NeedsPersonError
			if errors.As(err, &person) {
				return nightly.BadData(err)
			} else if err != nil {
				return nightly.Classify(err)
			}
			if file == "" {
				_, err = cmd.OutOrStdout().Write(text)
				return err
			}
			f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
			if errors.Is(err, os.ErrExist) {
				return nightly.Usage(fmt.Errorf("%s exists; remove it or write elsewhere", file))
			} else if err != nil {
				return nightly.Transient(err)
			}
			_, err = f.Write(text)
			return errors.Join(err, f.Close())
		},
	}
	c.Flags().StringVar(&file, "write", "", "write to this `file`, which must not exist, instead of stdout")
	c.Flags().StringVar(&o.Out, "out", o.Out, "where the written configuration publishes to")
	c.Flags().StringToStringVar(&columns, "column", nil, "a known column, as `field=column`, e.g. customer_id=uid")
	return c
}
