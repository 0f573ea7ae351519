package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shoal-data/shoal/datasets/storage/cloud"
	"github.com/shoal-data/shoal/jobs/nightly"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/jobs/warehouse"
)

// loading is what load-sql and load are both told.
type loading struct {
	place
	run string
	warehouse.Options
}

func (l *loading) flags(c *cobra.Command, targets []string) {
	l.place.flags(c)
	c.Flags().StringVar(&l.Target, "target", "", "`warehouse`: "+strings.Join(targets, ", "))
	c.Flags().StringVar(&l.run, "run", "latest", "the `run`: its id or the beginning of it, its date, or latest")
	c.Flags().StringVar(&l.Schema, "schema", "", "what the tables are in: a `name`, or several with dots between, such as project.dataset")
	c.Flags().StringVar(&l.Prefix, "prefix", "", "`text` before every table's name, such as shoal_")
	c.Flags().StringSliceVar(&l.Tables, "table", nil, "only this `table`; may be repeated")
	c.Flags().StringVar(&l.Location, "location", "", "where the warehouse finds what lies under out: a `URL` or directory; out itself when it is left out")
}

// find reads the manifest of the run that is meant.
func (l *loading) find(c *cobra.Command, targets []string) (*publish.Manifest, string, error) {
	if l.Target == "" {
		return nil, "", nightly.Usage(fmt.Errorf("--target is required: %s", strings.Join(targets, ", ")))
	}
	list, err := l.list(c)
	if err != nil {
		return nil, "", err
	}
	r, err := one(list, l.run)
	if err != nil {
		return nil, "", err
	}
	m, err := publish.ReadManifest(c.Context(), cloud.Anywhere(), list.Out, r.Date, r.ID)
	if err != nil {
		return nil, "", nightly.StorageFault(err)
	}
	if l.Location == "" {
		if l.Location = list.Out; !strings.Contains(list.Out, "://") {
			if l.Location, err = filepath.Abs(list.Out); err != nil {
				return nil, "", nightly.Usage(err)
			}
			l.Location = filepath.ToSlash(l.Location)
		}
	}
	return m, list.Out, nil
}

// loadFault gives an error the exit code that it deserves.
func loadFault(err error) error {
	switch {
	case err == nil, nightly.ExitCode(err) == nightly.ExitTerminated:
		return err
	case warehouse.Usage(err):
		return nightly.Usage(err)
	case warehouse.Transient(err):
		return nightly.Transient(err)
	}
	return nightly.BadData(err)
}

func loadSQLCommand() *cobra.Command {
	var l loading
	c := &cobra.Command{
		Use:   "load-sql --target WAREHOUSE --run RUN",
		Short: "Print the SQL that loads a run into a warehouse",
		Long: `Print the statements that load a published run: tables and new columns, the files
of the manifest and no others into staging, a count of the rows, and the swap of
the run's date. They may be run again and change nothing then. Nothing is
connected to, and no credentials are printed: the warehouse has its own.

PostgreSQL reads no Parquet, so the rows themselves are printed for it.
docs/warehouses.md says for each warehouse how the statements are run.`,
		Example: "  shoal load-sql --target duckdb --run latest --config sample/shoal.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, out, err := l.find(cmd, warehouse.Targets)
			if err != nil {
				return err
			}
			return loadFault(warehouse.Write(cmd.Context(), cmd.OutOrStdout(), cloud.Anywhere(), out, m, l.Options))
		},
	}
	l.flags(c, warehouse.Targets)
	c.Flags().StringVar(&l.IAMRole, "iam-role", "default", "for Redshift: the `ARN` of the role that reads the files")
	return c
}

func loadCommand() *cobra.Command {
	var l loading
	var conn warehouse.Connection
	var urlFrom string
	c := &cobra.Command{
		Use:   "load --target duckdb|postgres --run RUN",
		Short: "Load a run into DuckDB or PostgreSQL",
		Long: `Load a published run: its rows replace those of its date, all tables at once, and
loading it again changes nothing. Every byte is compared with the manifest first.

DuckDB is loaded by its own program, the DuckDB CLI, which must be installed.
PostgreSQL is found by PGHOST, PGDATABASE, PGUSER, PGPASSWORD and the other
variables of libpq, or by a connection string in the variable that --url-env
names; a password is never given on the command line, where others can see it.

The last line on stdout is a JSON summary. docs/warehouses.md says more.`,
		Example: "  shoal load --target duckdb --database sample/warehouse.duckdb --config sample/shoal.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if urlFrom != "" {
				if conn.URL = os.Getenv(urlFrom); conn.URL == "" {
					return nightly.Usage(fmt.Errorf("--url-env %s: the variable is not set", urlFrom))
				}
			}
			m, out, err := l.find(cmd, warehouse.Loadable)
			if err != nil {
				return err
			}
			done, err := warehouse.Load(cmd.Context(), cloud.Anywhere(), out, m, l.Options, conn)
			if err != nil {
				return loadFault(err)
			}
			return writeSummary(cmd.OutOrStdout(), "", done)
		},
	}
	l.flags(c, warehouse.Loadable)
	c.Flags().StringVar(&conn.Database, "database", "", "DuckDB's database: a `file`, made when it is missing")
	c.Flags().StringVar(&conn.Command, "duckdb-command", "duckdb", "DuckDB's `program`")
	c.Flags().StringVar(&urlFrom, "url-env", "", "the `variable` that holds PostgreSQL's connection string")
	return c
}
