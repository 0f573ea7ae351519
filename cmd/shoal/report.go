package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/storage/cloud"
	"github.com/shoal-data/shoal/jobs/nightly"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/jobs/report"
	"github.com/shoal-data/shoal/jobs/runs"
)

func reportCommand() *cobra.Command {
	var at place
	var output string
	c := &cobra.Command{
		Use:   "report [RUN] --out DIR",
		Short: "Write the HTML report of a published run",
		Long: `Write the report of a published run as one HTML file that needs nothing else: no
network, no other file. Every run has its own already, report.html beside its
tables; this makes it again, by this version of the program, also of runs that
are older than reports.

RUN is a run id or the beginning of one, a date for its current run, or latest,
which is what is meant without it.`,
		Example: "  shoal report latest --config sample/shoal.yaml --output report.html",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := at.list(cmd)
			if err != nil {
				return err
			}
			name := "latest"
			if len(args) == 1 {
				name = args[0]
			}
			found, err := l.Find(name)
			if err != nil {
				return nightly.Usage(err)
			}
			ctx, fsys := cmd.Context(), cloud.Anywhere()
			run, err := openRun(ctx, fsys, l, found)
			if err != nil {
				return err
			}
			page, err := report.Render(ctx, run)
			if err != nil {
				return nightly.StorageFault(err)
			}
			if output == "-" {
				_, err := cmd.OutOrStdout().Write(page)
				return err
			}
			if err := os.WriteFile(output, page, 0o644); err != nil {
				return nightly.Usage(fmt.Errorf("--output: %w", err))
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: run %s of %s, %s\n", output, found.ID, found.Date, size(int64(len(page))))
			return nil
		},
	}
	at.flags(c)
	c.Flags().StringVar(&output, "output", report.Name, "`file` to write; - is standard output")
	return c
}

// openRun opens a run for its report, with the run before it where that is still there.
func openRun(ctx context.Context, fsys storage.FS, l *runs.Listing, r runs.Run) (*report.Run, error) {
	m, err := publish.ReadManifest(ctx, fsys, l.Out, r.Date, r.ID)
	if err != nil {
		return nil, nightly.StorageFault(err)
	}
	run := report.Published(fsys, l.Out, m)
	var last *runs.Run
	for i, o := range l.Runs {
		if o.State == runs.Current && o.Date < r.Date && (last == nil || o.Date > last.Date) {
			last = &l.Runs[i]
		}
	}
	if last == nil {
		return run, nil
	}
	before, err := publish.ReadManifest(ctx, fsys, l.Out, last.Date, last.ID)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, publish.ErrDamaged) {
		return run, nil // the report says that there is none
	}
	if err != nil {
		return nil, nightly.StorageFault(err)
	}
	run.Before = report.Published(fsys, l.Out, before)
	return run, nil
}
