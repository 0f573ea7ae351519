package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/shoal-data/shoal/jobs/nightly"
	"github.com/shoal-data/shoal/jobs/outlook"
)

// The ways to print a plan.
const (
	planText = "text"
	planJSON = "json"
)

// printPlan says what a run would do.
func printPlan(ctx context.Context, w io.Writer, form string, o nightly.Options) error {
	if form != planText && form != planJSON {
		return nightly.Usage(fmt.Errorf("--plan=%s: must be text or json", form))
	}
	r, err := outlook.Of(ctx, o)
	if err != nil {
		return err
	}
	if form == planJSON {
		return json.NewEncoder(w).Encode(r)
	}
	_, err = io.WriteString(w, planPage(r))
	return err
}

// planPage is the plan for a person.
func planPage(r *outlook.Report) string {
	b := &strings.Builder{}
	p := func(format string, args ...any) { fmt.Fprintf(b, format, args...) }
	table := func() *tabwriter.Writer { return tabwriter.NewWriter(b, 2, 0, 2, ' ', 0) }
	if r.Status == outlook.StatusNoop {
		p("Nothing to do: run %s of %s was made from the same inputs, configuration and version.\n--force would make another, as follows.\n\n", r.RunID, r.Date)
	}
	p("A run of %s describes customers at %s, the end of the day in %s\n", r.Date, r.AsOf, r.TimeZone)

	in := r.Input
	p("\nWhat would be read\n")
	t := table()
	fmt.Fprintf(t, "  source\tfiles\tsize\trow groups\tskipped\trows\tskipped\tto read\n")
	for _, s := range r.Sources {
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.Source, count(int64(s.Files)), size(s.Bytes), count(int64(s.RowGroups)), count(int64(s.RowGroupsSkipped)), count(s.Rows), count(s.RowsSkipped), size(s.BytesToRead))
	}
	t.Flush()
	if in.SkippedBecause != "" {
		p("  skipped row groups are not read: %s\n", in.SkippedBecause)
	}
	p("\n")
	t = table()
	fmt.Fprintf(t, "  source\tfield\tfrom\tto read\n")
	for _, s := range r.Sources {
		for _, m := range s.Mapped {
			amount := size(m.Bytes)
			if m.FilesHaving == 0 {
				amount = "from the path, or nulls"
			} else if n := s.Files - m.FilesHaving - m.FilesByPath; n > 0 {
				amount += fmt.Sprintf("; not in %s files", count(int64(n)))
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", s.Source, m.Field, m.Name, amount)
		}
	}
	t.Flush()
	for _, l := range r.Lookups {
		p("  and of %s the file %s: %s\n", l.Table, l.Path, size(l.Bytes))
	}
	p("\n")
	if in.First != "" {
		p("  events from %s to %s, by the files' statistics\n", in.First, in.Last)
	} else {
		p("  when events begin and end is not known: the files have no statistics of their times that can be read without the rows\n")
	}
	p("  at most %s events in %d buckets of customers, by %d workers", count(in.MostEvents), r.Buckets, r.Workers)
	if r.Last == nil {
		p("; how many are used, and of how many customers, is not known before a first run\n")
	} else {
		p(";\n  likely %s of %s customers, going by the run of %s\n", count(in.LikelyEvents), count(in.LikelyCustomers), r.Last.Date)
	}

	m := r.Memory
	p("\nMemory\n")
	if m.BudgetBytes > 0 {
		p("  budget %s (limits.memory: %s), of which %s for events and feature tables\n", size(m.BudgetBytes), m.Budget, size(m.SpoolBytes))
	}
	p("  events about %s packed", size(max(m.ArrivedBytes, m.OrderedBytes)))
	if m.TableBytes > 0 {
		p(", feature tables %s\n", size(m.TableBytes))
	} else {
		p(", feature tables not known without the number of customers\n")
	}
	switch {
	case m.SpillBytes > 0 && m.TableBytes > 0:
		p("  about %s of that would be spilled to a temporary file in %s\n", size(m.SpillBytes), os.TempDir())
	case m.SpillBytes > 0:
		p("  about %s of the events would be spilled to a temporary file in %s, and feature tables too\n", size(m.SpillBytes), os.TempDir())
	case m.BudgetBytes > 0 && m.TableBytes > 0:
		p("  nothing would be spilled\n")
	case m.BudgetBytes > 0:
		p("  no events would be spilled\n")
	}
	if m.LikelyPeakBytes > 0 {
		p("  all together likely %s: the run of %s took %s and %.0f s for %s events\n", size(m.LikelyPeakBytes), r.Last.Date, size(r.Last.PeakMemoryBytes), r.Last.Seconds, count(r.Last.Events))
	}
	p("  %s\n", m.Note)

	p("\nWhat would be computed\n  %d features in %d families:", r.Columns, len(r.Families))
	for i, f := range r.Families {
		if i > 0 {
			p(",")
		}
		p(" %s %d", f.Name, f.Columns)
	}
	p("\n  scored at %s\n", r.Dates.Score)
	for _, g := range r.Dates.Targets {
		p("  %s (%s of role %s): ", g.Name, g.Kind, g.Role)
		if g.Horizon > 0 {
			p("%d days ahead", g.Horizon)
			if g.Gap > 0 {
				p(" after a gap of %d", g.Gap)
			}
		}
		switch {
		case g.Learnt != "" && g.Horizon > 0:
			p(", scored by the model learnt at %s", g.Learnt)
		case g.Learnt != "":
			p("scored by the model learnt at %s", g.Learnt)
		}
		if g.Test != "" {
			p(", learnt at %s, tested at %s", strings.Join(g.Train, ", "), g.Test)
		}
		if g.Note != "" {
			switch {
			case g.Learnt != "":
				p(", ")
			case g.Horizon > 0:
				p("; ")
			}
			p("%s", g.Note)
		}
		p("\n")
	}
	if r.Dates.Holdout != "" {
		p("  value: forecasts tested from %s, corrections learnt from %s\n", r.Dates.Holdout, r.Dates.HoldoutFrom)
	} else {
		p("  value: the test %s\n", r.Dates.HoldoutNote)
	}

	p("\nWhat would be published\n")
	for _, t := range r.Tables {
		p("  %s\n", t.Path)
	}
	if r.RunID == "" {
		p("  <id> is not known before the events are read: it is a digest of them\n")
	}
	if len(r.Warnings) > 0 {
		p("\nWarnings\n")
		for _, w := range r.Warnings {
			p("  %s\n", w)
		}
	}
	return b.String()
}

// size writes bytes for people.
func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, u := float64(n), 0
	for v >= 1024 && u < len(units)-1 {
		v /= 1024
		u++
	}
	if u == 0 || v >= 100 {
		return fmt.Sprintf("%.0f %s", v, units[u])
	}
	return fmt.Sprintf("%.1f %s", v, units[u])
}
