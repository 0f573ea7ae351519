package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/datasets/storage/cloud"
	"github.com/shoal-data/shoal/jobs/explain"
	"github.com/shoal-data/shoal/jobs/nightly"
)

func explainCommand() *cobra.Command {
	var path, customer, date, column, events, workers, logs string
	var asJSON, sql bool
	c := &cobra.Command{
		Use:   "explain --config shoal.yaml --customer ID --date YYYY-MM-DD",
		Short: "Why this customer has these numbers",
		Long: `Show one customer's events and features as a run of the date computes them. With
--column, show where that number comes from: its SQL, which events count, and
what it would be without each of them. Only the customer's rows are kept, and
files that cannot hold them are not read.

The column "events" says how many events a feature's conditions select; it is
empty where the number depends on more than that. --sql prints a script that
computes the same numbers in DuckDB from the job's own files.`,
		Example: "  shoal explain --config sample/shoal.yaml --customer C000000002 --date 2025-03-31 --column spend_365d",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if customer == "" || date == "" {
				return nightly.Usage(errors.New("--customer and --date are required: whom to explain, and the day whose end counts, YYYY-MM-DD"))
			}
			shown, err := parseEvents(events)
			if err != nil {
				return nightly.Usage(err)
			}
			d, err := newDisplay(cmd.ErrOrStderr(), logs)
			if err != nil {
				return nightly.Usage(err)
			}
			cfg, err := loadConfig(path, "", workers, "")
			if err != nil {
				return err
			}
			r, err := explain.Explain(cmd.Context(), explain.Options{
				Config: cfg, Customer: customer, Date: date, Column: column, FS: cloud.Anywhere(), Workers: cfg.Limits.Workers.Count(),
				Progress: func(done, total int64) { d.progress("read", done, total) },
			})
			d.finish()
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			switch {
			case asJSON:
				return json.NewEncoder(out).Encode(r)
			case sql:
				_, err := io.WriteString(out, r.EventsSQL+"\n"+r.SQL)
				return err
			}
			return writeExplanation(out, r, shown)
		},
	}
	c.Flags().StringVar(&path, "config", "shoal.yaml", "configuration `file`, or the manifest of a run")
	c.Flags().StringVar(&customer, "customer", "", "the `id`, as the source spells it, or an alias in the identity tables")
	c.Flags().StringVar(&date, "date", "", "the `day` to describe the customer at the end of, YYYY-MM-DD")
	c.Flags().StringVar(&column, "column", "", "explain this feature `column` event by event")
	c.Flags().StringVar(&events, "events", "30", "events to list, `n` or all; of more, the first and the last are")
	c.Flags().StringVar(&workers, "workers", "", "parallel workers, `n` or auto, instead of limits.workers")
	c.Flags().BoolVar(&asJSON, "json", false, "print everything as JSON")
	c.Flags().BoolVar(&sql, "sql", false, "print only the SQL")
	c.Flags().StringVar(&logs, "log", logAuto, "auto, human or json")
	c.MarkFlagsMutuallyExclusive("json", "sql")
	return c
}

// allEvents lists a history of any length.
const allEvents = 1 << 62

func parseEvents(s string) (int, error) {
	if s == "all" {
		return allEvents, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("--events %q: must be a number of events, 0 or more, or all", s)
	}
	return n, nil
}

// writeExplanation is the page a person reads.
func writeExplanation(w io.Writer, r *explain.Report, most int) error {
	b := &strings.Builder{}
	first, last := r.Events[0], r.Events[len(r.Events)-1]
	fmt.Fprintf(b, "Customer %s at the end of %s, %s\n", r.Customer, r.Date, r.TimeZone)
	if r.Alias != "" {
		kind := ""
		if r.AliasKind != scan.CustomerKind {
			kind = " (" + r.AliasKind + ")"
		}
		fmt.Fprintf(b, "  %s%s is an alias of %s in the identity tables\n", r.Alias, kind, r.Customer)
	}
	fmt.Fprintf(b, "  %s events, %s to %s", count(int64(len(r.Events))), first.Day, last.Day)
	if r.Currency != "" {
		fmt.Fprintf(b, "; amounts in %s", r.Currency)
	}
	b.WriteString("\n")
	if r.Duplicates > 0 {
		fmt.Fprintf(b, "  duplicates removed: %s\n", count(r.Duplicates))
	}
	if n := r.Read.Later; n > 0 {
		fmt.Fprintf(b, "  rows after %s, left for later: %s\n", r.Date, count(n))
	}
	if n := r.Read.Withheld; n > 0 {
		fmt.Fprintf(b, "  rows without consent, left out: %s\n", count(n))
	}
	for _, f := range r.Refused {
		fmt.Fprintf(b, "  rows refused for %s in column %s of source %s: %s, first in %s\n", f.Reason, f.Column, f.Source, count(f.Count), f.First)
	}
	g := r.Read
	fmt.Fprintf(b, "  found in %s of %s row groups: %s ruled out by statistics, %s by their ids alone\n\n",
		count(int64(g.RowGroups-g.RowGroupsSkipped-g.RowGroupsPeeked)), count(int64(g.RowGroups)), count(int64(g.RowGroupsSkipped)), count(int64(g.RowGroupsPeeked)))
	if r.Evidence != nil {
		writeEvidence(b, r, most)
	} else {
		fmt.Fprintln(b, "Events")
		writeEvents(b, r.Events, most, nil)
		writeValues(b, r)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// A cell is a column of a table of events.
type cell struct {
	title string
	of    func(e *explain.Event) string
}

var eventCells = []cell{
	{"#", func(e *explain.Event) string { return count(int64(e.N)) }},
	{"local time", func(e *explain.Event) string { return e.Local }},
	{"role", func(e *explain.Event) string { return e.Role }},
	{"type", func(e *explain.Event) string { return e.Type }},
	{"amount", func(e *explain.Event) string { return e.Amount }},
	{"quantity", func(e *explain.Event) string { return e.Quantity }},
	{"rating", func(e *explain.Event) string { return e.Rating }},
	{"product", func(e *explain.Event) string { return e.Product }},
	{"category", func(e *explain.Event) string { return e.Category }},
	{"channel", func(e *explain.Event) string { return e.Channel }},
	{"campaign", func(e *explain.Event) string { return e.Campaign }},
	{"session", func(e *explain.Event) string {
		if e.Session == 0 {
			return ""
		}
		return count(int64(e.Session))
	}},
}

// writeEvents tabulates events, the first and the last of many; columns that
// none of them fills are left out. also, which may be nil, is one column more.
func writeEvents(w io.Writer, events []explain.Event, most int, also *cell) {
	cells := slices.DeleteFunc(slices.Clone(eventCells), func(c cell) bool {
		return !slices.ContainsFunc(events, func(e explain.Event) bool { return c.of(&e) != "" })
	})
	if also != nil {
		cells = append(cells, *also)
	}
	if most == 0 {
		fmt.Fprintf(w, "  by role: %s\n\n", rolesOf(events))
		return
	}
	from, to := len(events), len(events) // what is left out
	if len(events) > most {
		from = (most + 1) / 2
		to = len(events) - most/2
	}
	table := &strings.Builder{}
	t := tabwriter.NewWriter(table, 2, 0, 2, ' ', 0)
	for _, c := range cells {
		fmt.Fprintf(t, "  %s\t", c.title)
	}
	fmt.Fprintln(t)
	for k := range events {
		if k >= from && k < to {
			continue
		}
		for _, c := range cells {
			fmt.Fprintf(t, "  %s\t", oneLine(c.of(&events[k])))
		}
		fmt.Fprintln(t)
	}
	t.Flush()
	line := 0
	for text := range strings.Lines(table.String()) {
		if line == from+1 && from < to {
			fmt.Fprintf(w, "  … %s events between: %s (--events all lists them)\n", count(int64(to-from)), rolesOf(events[from:to]))
		}
		fmt.Fprintln(w, strings.TrimRight(text, " \n"))
		line++
	}
	if line == from+1 && from < to { // a single one is listed
		fmt.Fprintf(w, "  … %s events after: %s (--events all lists them)\n", count(int64(to-from)), rolesOf(events[from:to]))
	}
	fmt.Fprintln(w)
}

// oneLine keeps a value of the source from breaking a table.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '·'
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 40 {
		return string(r[:39]) + "…"
	}
	return s
}

func rolesOf(events []explain.Event) string {
	counts := map[string]int64{}
	for _, e := range events {
		counts[e.Role]++
	}
	return reasons(counts)
}

// writeValues tabulates the features by family.
func writeValues(w io.Writer, r *explain.Report) {
	for _, f := range r.Families {
		fmt.Fprintf(w, "%s — %s\n", f.Name, f.Meaning)
		t := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
		fmt.Fprintf(t, "  column\tvalue\tunit\tevents\tmeaning\n")
		for _, c := range f.Columns {
			counted := ""
			if c.Counted != nil {
				counted = count(int64(*c.Counted))
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\n", c.Name, shortValue(c), c.Unit, counted, c.Meaning)
		}
		t.Flush()
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, "--column NAME shows where a number comes from, event by event.")
}

// shortValue rounds for a table; a null says why.
func shortValue(c explain.Value) string {
	if c.Value == nil {
		return "null: " + c.Null
	}
	return strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(*c.Value, 'f', 4, 64), "0"), ".")
}

// writeEvidence shows where one number comes from.
func writeEvidence(w io.Writer, r *explain.Report, most int) {
	family := r.Families[0]
	c := family.Columns[0]
	if c.Value == nil {
		fmt.Fprintf(w, "%s is null: %s\n", c.Name, c.Null)
	} else {
		fmt.Fprintf(w, "%s = %s %s\n", c.Name, strconv.FormatFloat(*c.Value, 'f', -1, 64), c.Unit)
	}
	fmt.Fprintf(w, "  %s\n  %s — %s\n\n%s\n", c.Meaning, family.Name, family.Meaning, r.Evidence.Note)
	if len(r.Evidence.Events) > 0 {
		var events []explain.Event
		without := map[int]string{}
		for _, e := range r.Evidence.Events {
			events = append(events, r.Events[e.N-1])
			switch {
			case e.Unknown:
			case e.Same:
				without[e.N] = "the same"
			case e.Without == nil:
				without[e.N] = "null"
			default:
				without[e.N] = strconv.FormatFloat(*e.Without, 'f', -1, 64)
			}
		}
		var also *cell
		if len(without) > 0 {
			also = &cell{"without it", func(e *explain.Event) string { return without[e.N] }}
		}
		fmt.Fprintln(w)
		writeEvents(w, events, most, also)
	} else {
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "SQL, over the table events (--sql prints that one too, for DuckDB to run as it is):\n\n%s", r.SQL)
}
