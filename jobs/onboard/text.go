package onboard

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/shoal-data/shoal/jobs/onboard/internal/prose"
)

// String is the report for a person to read.
func (r *Report) String() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	table := func(rows func(cell func(...string))) {
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		rows(func(cells ...string) { fmt.Fprintln(w, "  "+strings.Join(cells, "\t")) })
		w.Flush()
	}
	share := func(n, of int64) string {
		if of == 0 {
			return "-"
		}
		return prose.Percent(float64(n) / float64(of))
	}

	verdict := "A run can use this input."
	if !r.Able() {
		verdict = "A run would stop on this input."
	}
	line("%s", verdict)
	for _, f := range r.Findings {
		at := ""
		if f.Source != "" {
			at = f.Source + ": "
		}
		line("%s: %s%s", f.Severity, at, f.Message)
	}

	line("\nInput")
	table(func(cell func(...string)) {
		cell("rows", prose.Thousands(r.Rows))
		cell("accepted", prose.Thousands(r.Accepted), share(r.Accepted, r.Rows))
		cell("refused", prose.Thousands(r.Rejected), share(r.Rejected, r.Rows))
		if r.Withheld > 0 {
			cell("consent withheld", prose.Thousands(r.Withheld), share(r.Withheld, r.Rows))
		}
		if r.After > 0 {
			cell("after "+r.Date, prose.Thousands(r.After), share(r.After, r.Rows))
		}
		cell("duplicates dropped", prose.Thousands(r.Duplicates))
		cell("customers", prose.Thousands(r.Customers))
		if r.First != "" {
			cell("range", fmt.Sprintf("%s to %s", r.First, r.Last), prose.Plural(r.Days, "day"))
		}
		for _, c := range r.Currencies {
			cell("amounts in "+c.Currency, prose.Thousands(c.Count))
		}
		if r.Converted > 0 {
			cell("amounts converted", prose.Thousands(r.Converted))
		}
		if d := r.Identity; d != nil {
			cell("aliases listed", prose.Thousands(d.Aliases))
			cell("aliases met", prose.Thousands(d.AliasesMet), share(d.AliasesMet, d.Aliases))
			cell("rows of an alias", prose.Thousands(d.RowsRekeyed), share(d.RowsRekeyed, r.Accepted))
			cell("customers of several ids", prose.Thousands(d.Merged), share(d.Merged, r.Customers))
		}
	})
	for _, s := range r.Sources {
		line("\nSource %s: %s, %s rows", s.Name, prose.Plural(s.Files, "file"), prose.Thousands(s.Rows))
		table(func(cell func(...string)) {
			cell("field", "column", "null", "refused")
			for _, c := range s.Columns {
				cell(c.Field, c.Column, prose.Thousands(c.Nulls), prose.Thousands(c.Rejected))
			}
		})
	}
	if len(r.Rejects) > 0 {
		line("\nRefused rows")
		table(func(cell func(...string)) {
			cell("reason", "column", "rows", "first")
			for _, j := range r.Rejects {
				cell(j.Reason, j.Column, prose.Thousands(j.Count), j.First)
			}
		})
	}
	line("\nRoles")
	table(func(cell func(...string)) {
		for _, role := range r.Roles {
			if role.Events > 0 {
				cell(role.Role, prose.Thousands(role.Events))
			}
		}
	})
	var silent []string
	empty := 0
	for _, role := range r.Roles {
		if role.Events > 0 {
			continue
		}
		silent = append(silent, role.Role)
		empty += len(role.Features)
	}
	if len(silent) > 0 {
		line("  no events: %s", strings.Join(silent, ", "))
		line("  so %s of those roles alone stay empty", prose.Plural(empty, "feature"))
	}
	for _, role := range r.Roles {
		if len(role.Targets) > 0 {
			line("  and cannot be modelled without events of role %s: %s", role.Role, strings.Join(role.Targets, ", "))
		}
	}
	if len(r.Unmapped) > 0 {
		line("\nEvent types without a role (they count as activity)")
		table(func(cell func(...string)) {
			for i, t := range r.Unmapped {
				if i == 20 {
					cell(fmt.Sprintf("and %d more", len(r.Unmapped)-20))
					break
				}
				cell(t.Type, prose.Thousands(t.Count), t.Source)
			}
		})
	}
	if len(r.Targets) > 0 {
		line("\nTargets")
		table(func(cell func(...string)) {
			cell("target", "kind", "role", "horizon", "history", "snapshots", "training rows", "positive", "test rows", "positive", "can be modelled")
			for _, t := range r.Targets {
				able := "no"
				if t.Able {
					able = "yes"
				}
				cell(t.Name, t.Kind, t.Role, fmt.Sprintf("%dd", t.Horizon), fmt.Sprintf("%dd", t.Days),
					fmt.Sprint(t.Snapshots), prose.Thousands(t.TrainingRows), share(t.TrainingPositives, t.TrainingRows), prose.Thousands(t.Eligible), share(t.Positives, t.Eligible), able)
			}
		})
	}
	return b.String()
}
