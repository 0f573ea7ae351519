package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/shoal-data/shoal/datasets/storage/cloud"
	"github.com/shoal-data/shoal/jobs/erase"
)

func eraseCommand() *cobra.Command {
	var path, out string
	var asJSON bool
	var o erase.Options
	c := &cobra.Command{
		Use:   "erase --config shoal.yaml",
		Short: "Remove people from everything that has been published, and prove it",
		Long: `Remove the people whom privacy.erased lists from everything under out. Runs that
have any of them are published again without their rows, what others replaced is
removed whatever its age, and then every byte and every decompressed value is
searched for them. The proof, which names nobody, is written to out/erasures.

The list stays in the configuration: later runs read nothing of whom it names.
Numbers about groups and models were made with them and stay as they are; publish
the date again (shoal run --force) to make them anew.

Exit code 65 means that something was found where erasing does not reach, 75 that
a run was at work: erase again when it has ended.`,
		Example: "  shoal erase --config sample/shoal.yaml --dry-run --customer C000000002",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(path, out, "", "")
			if err != nil {
				return err
			}
			o.Config, o.FS, o.Version, o.Now = cfg, cloud.Anywhere(), version(), time.Now
			p, err := erase.People(cmd.Context(), o)
			if p == nil {
				return err
			}
			if asJSON {
				if e := json.NewEncoder(cmd.OutOrStdout()).Encode(p); e != nil {
					return e
				}
				return err
			}
			printProof(cmd.OutOrStdout(), p)
			return err
		},
	}
	c.Flags().StringVar(&path, "config", "shoal.yaml", "configuration `file` whose privacy.erased names the people")
	c.Flags().StringVar(&out, "out", "", "where runs are published, instead of the configuration's out")
	c.Flags().BoolVar(&o.Refused, "refused", false, "remove those, too, who have not agreed by privacy.consents")
	c.Flags().BoolVar(&o.DryRun, "dry-run", false, "only say where they are")
	c.Flags().StringArrayVar(&o.Customers, "customer", nil, "with --dry-run, search for this `id`, too; may be repeated")
	c.Flags().BoolVar(&asJSON, "json", false, "print the proof as JSON")
	return c
}

func printProof(w io.Writer, p *erase.Proof) {
	for _, r := range p.Rewritten {
		names := []string{}
		for name := range r.Rows {
			names = append(names, name)
		}
		slices.Sort(names)
		fmt.Fprintf(w, "%s of %s is now %s, without", r.Run, r.Date, r.Became)
		for i, name := range names {
			if i > 0 {
				fmt.Fprint(w, ",")
			}
			fmt.Fprintf(w, " %s rows of %s", count(r.Rows[name]), name)
		}
		for _, f := range r.LeftOut {
			fmt.Fprintf(w, ", and without %s", f)
		}
		fmt.Fprintln(w)
	}
	for _, f := range p.Search.Found {
		fmt.Fprintf(w, "found: %s, %s, %s times\n", f.Path, f.What, count(f.Hits))
	}
	fmt.Fprintf(w, "%s ids were looked for in %s files, %s and %s values: ", count(int64(p.IDs)), count(int64(p.Search.Files)), size(p.Search.Bytes), count(p.Search.Values))
	if p.Clean {
		fmt.Fprintln(w, "none is there")
	} else {
		fmt.Fprintf(w, "%s places have some\n", count(int64(len(p.Search.Found))))
	}
	if p.File != "" {
		fmt.Fprintf(w, "The proof lies in %s\n", p.File)
	}
}
