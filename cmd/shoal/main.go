/*
Shoal turns event history into scored behavioural segments, every night.

It reads Parquet event history, engineers behavioural features, divides
customers into segments, predicts churn, purchases and value, and writes the
result back to Parquet.

	shoal generate --out sample                    make a synthetic history to try it on
	shoal init 'events/*.parquet' > shoal.yaml     write a configuration from unseen files
	shoal check --config shoal.yaml                what the input can and cannot support
	shoal run --config shoal.yaml --date 2025-06-30 --plan    what the night would do
	shoal run --config shoal.yaml --date 2025-06-30
	shoal backfill --config shoal.yaml --from 2025-06-01 --to 2025-06-30
	shoal schedule --config shoal.yaml             every night as its time comes
	shoal features                                 the catalogue of features
	shoal explain --config shoal.yaml --customer C000000002 --date 2025-06-30
	shoal runs --config shoal.yaml                 what has been published
	shoal outputs --config shoal.yaml              every table and column of it
	shoal verify latest --read-data --config shoal.yaml
	shoal report latest --config shoal.yaml        the HTML report of a run
	shoal gc --config shoal.yaml                   remove what no reader needs any more
	shoal erase --config shoal.yaml                remove people from what has been published, and prove it
	shoal load-sql --target snowflake --location @db.schema.stage --config shoal.yaml
	shoal load --target postgres --config shoal.yaml

Exit codes: 0 done, or nothing to do; 2 usage; 65 bad data or a quality gate
(do not retry); 75 transient (retry); 99 no input for the date; 143 terminated.

Logs go to stderr: for people on a terminal, JSON lines elsewhere. The last line
on stdout of a run is its summary as one line of JSON.
*/
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/nightly"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program, for main and for tests.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := command(stdout, stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return nightly.ExitDone
	}
	code := nightly.ExitCode(err)
	var fault *nightly.Error
	var reported *reportedError
	if !errors.As(err, &fault) && !errors.As(err, &reported) && !errors.Is(err, context.Canceled) {
		code = nightly.ExitUsage // cobra's own errors are about flags and verbs
	}
	if !errors.As(err, &reported) {
		complain(stderr, err, code)
	}
	return code
}

// reportedError has been told to the user already.
type reportedError struct{ error }

func (e *reportedError) Unwrap() error { return e.error }

// complain writes an error the way the reader of stderr wants it.
func complain(stderr io.Writer, err error, code int) {
	if isTerminal(stderr) {
		fmt.Fprintf(stderr, "shoal: %v\n", err)
		return
	}
	line, _ := json.Marshal(map[string]any{"level": "error", "exit_code": code, "message": err.Error()})
	fmt.Fprintf(stderr, "%s\n", line)
}

func command(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:           "shoal",
		Short:         "Behavioural segments and predictions from Parquet event history, every night",
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version(),
	}
	// Neither a message nor a manifest may repeat a credential, whatever the flag.
	root.PersistentPreRunE = func(cmd *cobra.Command, args []string) (err error) {
		cmd.Flags().Visit(func(f *pflag.Flag) { err = errors.Join(err, config.CheckPlace("--"+f.Name, f.Value.String())) })
		for _, a := range args {
			err = errors.Join(err, config.CheckPlace("an argument", a))
		}
		if err != nil {
			return nightly.Usage(err)
		}
		return nil
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.AddCommand(
		initCommand(), checkCommand(), runCommand(), generateCommand(), gradeCommand(), featuresCommand(), explainCommand(), exportCommand(), configCommand(), runsCommand(), verifyCommand(), reportCommand(), gcCommand(), eraseCommand(), loadSQLCommand(), loadCommand(), backfillCommand(), scheduleCommand(), versionCommand(),
		outputsCommand(),
	)
	return root
}
