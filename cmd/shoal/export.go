package main

import (
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shoal-data/shoal/datasets/storage/cloud"
	"github.com/shoal-data/shoal/jobs/export"
	"github.com/shoal-data/shoal/jobs/nightly"
)

func exportCommand() *cobra.Command {
	var path, out, format, families, columns, logs, workers, memory string
	var dates []string
	c := &cobra.Command{
		Use:   "export --config shoal.yaml --date YYYY-MM-DD --out DIR",
		Short: "Write the features of every customer for other tools",
		Long: `Compute the features of every customer as of the end of each date, in one pass
over the history, and write them to DIR/ds=DATE/features.FORMAT. Nothing is
learnt and nothing is published. A date appears whole or not at all.

Fields carry their unit, range and meaning as metadata in arrow and parquet.

Of the families asked for, --columns takes only those columns, and only what they are
made of is read: a row that is refused for another column's sake counts then. Lifetime counts, spend, refunds and items at one date need no history
in order: with dedupe: none, asking for nothing else takes a fraction of the time.`,
		Example: "  shoal export --config sample/shoal.yaml --date 2025-02-28 --date 2025-03-31 --out sample/features",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			stdout, stderr := cmd.OutOrStdout(), cmd.ErrOrStderr()
			d, err := newDisplay(stderr, logs)
			if err != nil {
				return nightly.Usage(err)
			}
			cfg, err := loadConfig(path, "", workers, memory)
			if err != nil {
				return err
			}
			var only nightly.Chosen
			if families != "" {
				only.Families = strings.Split(families, ",")
			}
			if columns != "" {
				for _, name := range strings.Split(columns, ",") {
					only.Columns = append(only.Columns, strings.TrimSpace(name))
				}
			}
			s, err := export.Features(cmd.Context(), export.Options{
				Options: nightly.Options{Config: cfg, FS: cloud.Anywhere(), Version: version(), Log: d.log, Progress: d.progress, Now: time.Now},
				Chosen:  only, Dates: dates, To: out, Format: format,
			})
			d.finish()
			if e := writeSummary(stdout, "", s); e != nil {
				err = errors.Join(err, nightly.Transient(e))
			}
			return err
		},
	}
	c.Flags().StringVar(&path, "config", "shoal.yaml", "configuration `file`, or the manifest of an earlier run")
	c.Flags().StringArrayVar(&dates, "date", nil, "a `day` to describe customers at the end of, YYYY-MM-DD; may be repeated")
	c.Flags().StringVar(&out, "out", "", "write under this `directory`")
	c.Flags().StringVar(&format, "format", "parquet", strings.Join(export.Formats, ", "))
	c.Flags().StringVar(&families, "families", "", "only these families, by comma, instead of features.families")
	c.Flags().StringVar(&columns, "columns", "", "only these columns, by comma")
	c.Flags().StringVar(&workers, "workers", "", "parallel workers, `n` or auto, instead of limits.workers")
	c.Flags().StringVar(&memory, "memory", "", "memory budget, a `size` or share, instead of limits.memory")
	c.Flags().StringVar(&logs, "log", logAuto, "auto, human or json")
	return c
}
