package main

import (
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/shoal-data/shoal/datasets/storage/cloud"
	"github.com/shoal-data/shoal/jobs/grade"
)

func gradeCommand() *cobra.Command {
	o := grade.Options{Workers: runtime.GOMAXPROCS(0)}
	var asJSON bool
	c := &cobra.Command{
		Use:   "grade --out DIR --date YYYY-MM-DD --truth FILE",
		Short: "Compare a run on generated history with the planted truth",
		Long: `Say how well a run on a history from shoal generate recovered what was planted:
the adjusted Rand index of its segments, and the AUC of its churn scores on the
days after its date beside the AUC of each customer's true hazard, which no
model can beat on average.`,
		Example: "  shoal grade --out sample/out --date 2025-03-31 --truth sample/truth/truth.parquet",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.FS = cloud.Anywhere()
			r, err := grade.Grade(cmd.Context(), o)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return json.NewEncoder(out).Encode(r)
			}
			fmt.Fprintf(out, "Graded against the planted truth, %s customers\n", count(int64(r.Customers)))
			fmt.Fprintf(out, "  segments: adjusted Rand index %s (%d found, %d planted)\n", number(r.ARI, 3), r.Chosen, r.Planted)
			if r.NotDone != "" {
				fmt.Fprintf(out, "  churn: not graded: %s\n", r.NotDone)
				return nil
			}
			fmt.Fprintf(out, "  %s in the %d days after the run, %s of %s scored customers: AUC %s, of the true hazard %s; calibration error %s, of the true hazard %s\n",
				r.Target, r.Horizon, count(int64(r.Churned)), count(int64(r.Scored)), number(r.AUC, 3), number(r.TrueAUC, 3), number(r.ECE, 3), number(r.TrueECE, 3))
			return nil
		},
	}
	c.Flags().StringVar(&o.Out, "out", "", "where the run was published")
	c.Flags().StringVar(&o.Date, "date", "", "the `day` of the run")
	c.Flags().StringVar(&o.Truth, "truth", "", "the truth table's `file`")
	c.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	for _, f := range []string{"out", "date", "truth"} {
		c.MarkFlagRequired(f)
	}
	return c
}
