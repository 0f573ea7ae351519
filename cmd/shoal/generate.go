package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/shoal-data/shoal/datasets/synth"
	"github.com/shoal-data/shoal/jobs/nightly"
)

func generateCommand() *cobra.Command {
	p := synth.DefaultParams()
	var out, start, end, logs string
	c := &cobra.Command{
		Use:   "generate --out DIR",
		Short: "Make a synthetic event history with a known truth",
		Long: `Make a synthetic event history: date-partitioned Parquet under DIR/events, the
planted truth (each customer's segment, purchase rate, hazard and churn date) in
DIR/truth/truth.parquet, and a configuration to run it with in DIR/shoal.yaml.
The same flags make the same bytes.`,
		Example: "  shoal generate --out sample --customers 20000",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := newDisplay(cmd.ErrOrStderr(), logs)
			if err != nil {
				return nightly.Usage(err)
			}
			if p.Start, err = time.Parse(time.DateOnly, start); err != nil {
				return nightly.Usage(fmt.Errorf("--start %q is not YYYY-MM-DD", start))
			}
			if p.End, err = time.Parse(time.DateOnly, end); err != nil {
				return nightly.Usage(fmt.Errorf("--end %q is not YYYY-MM-DD", end))
			}
			if p.TargetEvents > 0 && !cmd.Flags().Changed("customers") {
				p.Customers = 0
			}
			if err := p.Validate(); err != nil {
				return nightly.Usage(err)
			}
			began := time.Now()
			s, err := synth.Generate(cmd.Context(), p, out, func(done, total int64) { d.progress("generate", done, total) })
			d.finish()
			if errors.Is(err, synth.ErrNotEmpty) {
				return nightly.Usage(err)
			} else if err != nil {
				return nightly.Transient(err)
			}
			file := filepath.Join(out, "shoal.yaml")
			if err := os.WriteFile(file, []byte(synth.Config(out, filepath.Join(out, "out"))), 0o644); err != nil {
				return nightly.Transient(err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s rows of %s customers in %s files (%.1f MB) in %.1f s\n  events         %s\n  truth          %s\n  configuration  %s\n",
				count(s.Rows), count(int64(s.Customers)), count(int64(s.Files)), float64(s.Bytes)/1e6, time.Since(began).Seconds(), s.Events, s.Truth, file)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&out, "out", "sample", "`directory` to write; must not exist or be empty")
	f.Uint64Var(&p.Seed, "seed", p.Seed, "another seed is another population")
	f.IntVar(&p.Customers, "customers", p.Customers, "number of customers")
	f.Int64Var(&p.TargetEvents, "events", 0, "number of rows to aim for, instead of --customers")
	f.StringVar(&start, "start", p.Start.Format(time.DateOnly), "first `day`")
	f.StringVar(&end, "end", p.End.Format(time.DateOnly), "`day` after the last")
	f.Float64Var(&p.ActivityScale, "activity", p.ActivityScale, "factor on visits and messages")
	f.Float64Var(&p.DuplicateShare, "duplicates", p.DuplicateShare, "share of rows that repeat another")
	f.Float64Var(&p.LateShare, "late", p.LateShare, "share of rows that arrive in a later partition")
	f.Float64Var(&p.AnonymousShare, "anonymous", p.AnonymousShare, "share of rows without a customer")
	f.BoolVar(&p.IntegerIDs, "integer-ids", p.IntegerIDs, "customer ids as integers")
	f.BoolVar(&p.DecimalAmounts, "decimal-amounts", p.DecimalAmounts, "amounts as decimals")
	f.IntVar(&p.Workers, "workers", p.Workers, "parallel workers; the result does not depend on it")
	f.StringVar(&logs, "log", logAuto, "auto, human or json")
	return c
}
