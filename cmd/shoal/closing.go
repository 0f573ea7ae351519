package main

import (
	"fmt"
	"io"
	"math"
	"sort"
	"strings"
	"text/tabwriter"

	"github.com/shoal-data/shoal/jobs/nightly"
)

// closing is the page a person reads when the run is over.
func closing(w io.Writer, s *nightly.Summary) {
	p := func(format string, args ...any) { fmt.Fprintf(w, format, args...) }
	switch s.Status {
	case nightly.StatusFailed:
		p("\nFailed (exit %d): %s\nNothing was published.\n", s.ExitCode, s.Error)
		return
	case nightly.StatusNoop:
		p("\nNothing to do: run %s of %s was made from the same inputs, configuration and version.\nIt lies in %s (--force makes another).\n", s.RunID, s.Date, s.Out)
		return
	}
	in := s.Input
	p("\nWhat came in\n")
	p("  %s rows in %s files, %s events of %s customers, %s to %s\n", count(in.RowsRead), count(int64(in.Files)), count(in.Events), count(in.Customers), day(in.First), day(in.Last))
	if in.RowsRejected > 0 {
		p("  %s rows refused: %s\n", count(in.RowsRejected), reasons(in.RejectedByReason))
	}
	if n := in.RowsAfter; n > 0 {
		p("  %s rows after %s left for later\n", count(n), s.Date)
	}
	if in.Withheld > 0 {
		p("  %s rows without consent left out\n", count(in.Withheld))
	}
	if in.Erased > 0 {
		p("  %s rows of people to be forgotten left out\n", count(in.Erased))
	}
	if d := in.Identity; d != nil {
		p("  %s rows were of an alias (%s of %s met); %s customers had several ids\n", count(d.RowsRekeyed), count(d.AliasesMet), count(d.Aliases), count(d.CustomersMerged))
	}
	if len(in.Converted) > 0 {
		p("  amounts converted into %s: %s\n", in.Currency, reasons(in.Converted))
	}
	if in.Duplicates > 0 {
		p("  %s duplicates removed\n", count(in.Duplicates))
	}
	p("  by role: %s\n", reasons(in.Roles))

	if len(s.Segments) > 0 {
		p("\nSegments\n")
		t := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
		fmt.Fprintf(t, "  id\tcustomers\tshare\trevenue\tname\n")
		for _, g := range s.Segments {
			if g.Suppressed {
				fmt.Fprintf(t, "  %d\tfew\t\t\t%s\n", g.ID, g.Name)
				continue
			}
			fmt.Fprintf(t, "  %d\t%s\t%.1f%%\t%.1f%%\t%s\n", g.ID, count(int64(g.Customers)), 100*g.Share, 100*g.RevenueShare, g.Name)
		}
		t.Flush()
	}
	if len(s.Targets) > 0 {
		p("\nPredictions, on a date that no model has seen, beside the recency rule\n")
		t := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
		fmt.Fprintf(t, "  target\thorizon\ttested on\tcustomers\tAUC\tby recency\tlog-loss\tby recency\tused\tscored\n")
		for _, g := range s.Targets {
			if g.Skipped != "" {
				fmt.Fprintf(t, "  %s\t%dd\tno model\t\t\t\t\t\t\t0\n", g.Name, g.Horizon)
				continue
			}
			fmt.Fprintf(t, "  %s\t%dd\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", g.Name, g.Horizon, g.TestDate, count(int64(g.TestRows)),
				number(g.AUC.Model, 3), number(g.AUC.Baseline, 3), number(g.LogLoss.Model, 4), number(g.LogLoss.Baseline, 4), g.Champion, count(int64(g.Scored)))
		}
		t.Flush()
	}
	if v := s.Value; v != nil {
		p("\nValue\n")
		if v.Skipped != "" {
			p("  %s\n", v.Skipped)
		} else {
			worth := count(int64(math.Round(v.ExpectedValue)))
			if s.Input.Currency != "" {
				worth += " " + s.Input.Currency
			}
			p("  %s buyers are expected to buy on %s days in the next %d, worth %s\n", count(int64(v.Customers)), count(int64(math.Round(v.Expected))), v.HorizonDays, worth)
			if v.HoldoutDays > 0 {
				p("  by %s; on a holdout of %d days its root mean square error is %s purchase days a customer, %s of the best naive forecast (mean error %s, %s)\n",
					v.Model, v.HoldoutDays, number(v.HoldoutRMSE.Model, 3), number(v.HoldoutRMSE.Baseline, 3), number(v.HoldoutMAE.Model, 3), number(v.HoldoutMAE.Baseline, 3))
			}
		}
	}
	if len(s.Warnings) > 0 {
		p("\nWarnings\n")
		for _, m := range s.Warnings {
			p("  %s\n", m.Message)
		}
	}
	p("\nPublished run %s of %s in %.1f s, %.0f MiB at most\n", s.RunID, s.Date, s.Seconds, float64(s.PeakMemoryBytes)/(1<<20))
	p("  %s\n  %s\n", s.Out, s.Manifest)
	var names []string
	for n := range s.Tables {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		rows := "rows"
		if s.Tables[n] == 1 {
			rows = "row"
		}
		p("  %s: %s %s\n", n, count(s.Tables[n]), rows)
	}
	p("\n")
}

// count writes a whole number with separators: 1,234,567.
func count(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func number(v *float64, digits int) string {
	if v == nil {
		return "–"
	}
	return fmt.Sprintf("%.*f", digits, *v)
}

func day(instant string) string {
	d, _, _ := strings.Cut(instant, "T")
	return d
}

// reasons lists counts, the largest first.
func reasons(counts map[string]int64) string {
	var names []string
	for n := range counts {
		names = append(names, n)
	}
	sort.Slice(names, func(i, j int) bool {
		if counts[names[i]] != counts[names[j]] {
			return counts[names[i]] > counts[names[j]]
		}
		return names[i] < names[j]
	})
	var parts []string
	for _, n := range names {
		parts = append(parts, fmt.Sprintf("%s %s", n, count(counts[n])))
	}
	return strings.Join(parts, ", ")
}
