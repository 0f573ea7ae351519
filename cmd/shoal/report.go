package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/shoal-data/shoal/datasets/storage/cloud"
	"github.com/shoal-data/shoal/jobs/browse"
	"github.com/shoal-data/shoal/jobs/nightly"
	"github.com/shoal-data/shoal/jobs/report"
)

func reportCommand() *cobra.Command {
	var at place
	var output, listen string
	var serve bool
	c := &cobra.Command{
		Use:   "report [RUN] --out DIR",
		Short: "Write the HTML report of a published run",
		Long: `Write the report of a published run as one HTML file that needs nothing else: no
network, no other file. Every run has its own already, report.html beside its
tables; this makes it again, by this version of the program, also of runs that
are older than reports.

RUN is a run id or the beginning of one, a date for its current run, or latest,
which is what is meant without it.

With --serve, browse all runs instead: their reports, two of them side by side,
and single customers with their scores, reasons, features and, where the
configuration is at hand, events. Only this machine is answered, unless --listen
says otherwise.`,
		Example: "  shoal report latest --config sample/shoal.yaml --output report.html",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if serve {
				return serveReports(cmd, &at, listen)
			}
			l, err := at.list(cmd)
			if err != nil {
				return err
			}
			name := "latest"
			if len(args) == 1 {
				name = args[0]
			}
			found, err := one(l, name)
			if err != nil {
				return err
			}
			ctx, fsys := cmd.Context(), cloud.Anywhere()
			run, err := browse.Open(ctx, fsys, l, found)
			if err != nil {
				return nightly.StorageFault(err)
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
	c.Flags().BoolVar(&serve, "serve", false, "browse the runs in a browser until interrupted")
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:8765", "`address` that --serve listens on; port 0 takes a free one")
	return c
}

// serveReports answers a browser until it is told to stop.
func serveReports(cmd *cobra.Command, at *place, address string) error {
	out, err := at.find()
	if err != nil {
		return err
	}
	o := browse.Options{Out: out, FS: cloud.Anywhere(), Now: time.Now}
	if o.Config, err = loadConfig(at.config, "", "", ""); err != nil {
		o.Config = nil // reports need none; customers are then shown without their events
	}
	ctx := cmd.Context()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nightly.Usage(fmt.Errorf("--listen: %w", err))
	}
	open := !browse.Loopback(listener.Addr().String())
	if open {
		fmt.Fprintf(cmd.ErrOrStderr(), "shoal: %s is reached from other machines: whoever can connect can read every customer\n", listener.Addr())
	}
	server := &http.Server{Handler: browse.Handler(o, open), ReadHeaderTimeout: 10 * time.Second}
	stopped := context.AfterFunc(ctx, func() {
		wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		if server.Shutdown(wait) != nil {
			server.Close()
		}
	})
	defer stopped()
	fmt.Fprintf(cmd.OutOrStdout(), "http://%s/  (Ctrl-C ends it)\n", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
