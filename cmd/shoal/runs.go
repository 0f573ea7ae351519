package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/shoal-data/shoal/datasets/storage/cloud"
	"github.com/shoal-data/shoal/jobs/nightly"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/jobs/runs"
)

// place is where runs are published: said by a flag, or by the configuration.
type place struct{ config, out string }

func (p *place) flags(c *cobra.Command) {
	c.Flags().StringVar(&p.config, "config", "shoal.yaml", "configuration `file` whose out is meant")
	c.Flags().StringVar(&p.out, "out", "", "where runs are published, instead of the configuration's out")
}

func (p *place) find() (string, error) {
	if p.out != "" {
		return p.out, nil
	}
	cfg, err := loadConfig(p.config, "", "", "")
	if err != nil {
		return "", nightly.Usage(fmt.Errorf("%w (or name the place with --out)", err))
	}
	return cfg.Out, nil
}

// list lists the runs, for verbs that are about one of them.
func (p *place) list(cmd *cobra.Command) (*runs.Listing, error) {
	out, err := p.find()
	if err != nil {
		return nil, err
	}
	l, err := runs.List(cmd.Context(), cloud.Anywhere(), out, time.Now())
	return l, nightly.StorageFault(err)
}

// one finds the run that a user means in a listing.
func one(l *runs.Listing, name string) (runs.Run, error) {
	if len(l.Runs) == 0 {
		return runs.Run{}, nightly.NoInput(fmt.Errorf("no run is published under %s", l.Out))
	}
	r, err := l.Find(name)
	if err != nil {
		return r, nightly.Usage(err)
	}
	return r, nil
}

func runsCommand() *cobra.Command {
	var at place
	var asJSON bool
	c := &cobra.Command{
		Use:   "runs --out DIR",
		Short: "List the runs that have been published",
		Long: `List every run that lies under out: the current one of each date, those that it
replaced until shoal gc removes them, and what writers at work or dead have left
unfinished. Nothing is written.`,
		Example: "  shoal runs --config sample/shoal.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := at.list(cmd)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(l)
			}
			return printRuns(cmd.OutOrStdout(), l)
		},
	}
	at.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print the list as JSON")
	return c
}

func printRuns(w io.Writer, l *runs.Listing) error {
	if len(l.Runs) == 0 {
		fmt.Fprintf(w, "No runs under %s\n", l.Out)
	} else {
		t := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
		fmt.Fprintf(t, "date\trun\tstate\tfinished\trows\tfiles\tsize\tversion\n")
		for _, r := range l.Runs {
			finished := "–"
			if !r.Finished.IsZero() {
				finished = r.Finished.UTC().Format("2006-01-02 15:04:05Z")
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Date, r.ID, r.State, finished, count(r.Rows), count(int64(r.Files)), size(r.Bytes), r.Version)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	for _, r := range l.Runs {
		if r.Fault != "" {
			fmt.Fprintf(w, "%s of %s: %s\n", r.ID, r.Date, r.Fault)
		}
	}
	for _, h := range l.Holders {
		fmt.Fprintf(w, "at work on %s: process %d on %s, known to live until %s\n", h.Date, h.PID, h.Host, h.Expires.UTC().Format(time.RFC3339))
	}
	return nil
}

// verification is what shoal verify says of one run.
type verification struct {
	Date     string            `json:"date"`
	Run      string            `json:"run_id"`
	State    string            `json:"state"`
	ReadData bool              `json:"read_data"`
	Problems []publish.Problem `json:"problems"`
}

func verifyCommand() *cobra.Command {
	var at place
	var readData, asJSON bool
	c := &cobra.Command{
		Use:   "verify [RUN] --out DIR",
		Short: "Prove that a published run is as it was written",
		Long: `Compare a run with its manifest: that the manifest, its _SUCCESS and the pointer
belong together, and that every file is there with its size and no other beside
it. With --read-data every byte is read and hashed, and every Parquet footer
compared with the manifest.

RUN is a run id or the beginning of one, a date for its current run, or latest;
without it the current run of every date is verified. Exit code 65 means damage, a
lost _SUCCESS, manifest or pointer too; 99 that nothing is published.`,
		Example: "  shoal verify latest --read-data --config sample/shoal.yaml",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := at.list(cmd)
			if err != nil {
				return err
			}
			var which []runs.Run
			if len(args) == 1 {
				switch r, err := one(l, args[0]); {
				case err == nil:
					which = append(which, r)
				case !l.Lost():
					return err
				}
			}
			for _, r := range l.Runs {
				if len(args) == 0 && r.State == runs.Current {
					which = append(which, r)
				}
			}
			if len(which) == 0 && l.Lost() {
				return nightly.BadData(fmt.Errorf("runs lie under %s, and current.json, which says which one is read of each date, is gone or names none: restore it from a copy, or run the dates again", l.Out))
			}
			if len(which) == 0 {
				return nightly.NoInput(fmt.Errorf("no run is published under %s", l.Out))
			}
			w, bad := cmd.OutOrStdout(), 0
			for _, r := range which {
				problems, err := runs.Verify(cmd.Context(), cloud.Anywhere(), l.Out, r.Date, r.ID, readData)
				if err != nil {
					return nightly.StorageFault(err)
				}
				bad += min(len(problems), 1)
				if asJSON {
					if problems == nil {
						problems = []publish.Problem{}
					}
					if err := json.NewEncoder(w).Encode(verification{r.Date, r.ID, r.State, readData, problems}); err != nil {
						return err
					}
					continue
				}
				for _, p := range problems {
					fmt.Fprintf(w, "%s of %s: %s\n", r.ID, r.Date, p)
				}
				if len(problems) == 0 {
					how := "present, of the right size"
					if readData {
						how = "every byte as it was written"
					}
					fmt.Fprintf(w, "%s of %s: %s files, %s, %s\n", r.ID, r.Date, count(int64(r.Files)), size(r.Bytes), how)
				}
			}
			if bad > 0 {
				return nightly.BadData(fmt.Errorf("%d of %d runs are not as they were written: run the date again, or restore the files from a copy", bad, len(which)))
			}
			return nil
		},
	}
	at.flags(c)
	c.Flags().BoolVar(&readData, "read-data", false, "read and hash every byte")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a run")
	return c
}

func gcCommand() *cobra.Command {
	var at place
	var asJSON bool
	var keep string
	o := runs.CollectOptions{FS: cloud.Anywhere(), Now: time.Now}
	c := &cobra.Command{
		Use:   "gc --out DIR",
		Short: "Remove what no reader needs any more",
		Long: `Remove what dead writers left behind, runs that others have replaced, and runs that
privacy.retention lets nobody keep any longer. What else the pointer names is never
removed, nor anything of a date that a living writer holds: gc holds each date while
it cleans it. A run stays for --keep after it was replaced, because readers that
began with it may still be reading.`,
		Example: "  shoal gc --config sample/shoal.yaml --keep 7d --dry-run",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.Keep, err = parseKeep(keep); err != nil {
				return nightly.Usage(err)
			}
			if o.Out, err = at.find(); err != nil {
				return err
			}
			r, err := runs.Collect(cmd.Context(), o)
			if err != nil {
				return nightly.StorageFault(err)
			}
			w := cmd.OutOrStdout()
			if asJSON {
				return json.NewEncoder(w).Encode(r)
			}
			files, bytes := 0, int64(0)
			for _, g := range r.Removed {
				fmt.Fprintf(w, "%s: %s\n", g.Path, g.Why)
				files += g.Files
				bytes += g.Bytes
			}
			for _, d := range r.Busy {
				fmt.Fprintf(w, "ds=%s: left alone, a run is at work\n", d)
			}
			verb := "removed"
			if r.DryRun {
				verb = "would be removed"
			}
			fmt.Fprintf(w, "%s files, %s, %s under %s\n", count(int64(files)), size(bytes), verb, r.Out)
			return nil
		},
	}
	at.flags(c)
	c.Flags().StringVar(&keep, "keep", "7d", "how long a replaced run stays, such as `7d` or 12h; 0 removes it at once")
	c.Flags().BoolVar(&o.DryRun, "dry-run", false, "only say what would be removed")
	c.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return c
}

// parseKeep reads a number of days, as the configuration writes them, or a Go
// duration.
func parseKeep(s string) (time.Duration, error) {
	var days int
	var rest string
	if n, _ := fmt.Sscanf(s, "%d%s", &days, &rest); n == 2 && rest == "d" && days >= 0 && days <= 36500 {
		return time.Duration(days) * 24 * time.Hour, nil
	}
	if s == "0" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("--keep %q: must be a time such as 7d, 12h or 0", s)
	}
	return d, nil
}
