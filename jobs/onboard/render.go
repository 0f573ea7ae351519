package onboard

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/jobs/config"
)

// render writes the configuration with the reasons for it as comments.
func (d *draft) render() []byte {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	c, zone := d.census, d.input.zone
	files, rows := 0, int64(0)
	for _, g := range d.groups {
		files += g.profile.Files
		rows += g.profile.Rows
	}
	line("# Written by shoal init, from %s rows in %s.", thousands(rows), plural(files, "file"))
	line("# %s customers, %s events from %s to %s (%d days).", thousands(c.Customers), thousands(c.Events),
		lastDay(c.First, zone), lastDay(c.Last, zone), d.span)
	line("# Lines that say CONFIRM hold a guess that somebody who knows the data should look at.")
	line("# It runs as it is: shoal check, then shoal run --date %s", lastDay(c.Last, zone))
	line("")
	line("sources:")
	for _, g := range d.groups {
		d.renderSource(&b, g)
	}
	line("")
	line("# Runs are published here, one directory a table and date; files in it are never overwritten.")
	line("out: %s", Quote(d.out))
	line("")
	line("# Day boundaries, hours and weekdays are in this zone. CONFIRM: files do not say where customers live.")
	line("time_zone: UTC")

	if d.rejected > 0 {
		line("")
		line("# CONFIRM: %.0f%% of the rows cannot be used (%s), more than the usual limit.", 100*d.input.rejectedShare(), d.input.reasons())
		line("limits:")
		line("  rejected_share: %s", strconv.FormatFloat(d.rejected, 'g', -1, 64))
	}

	line("")
	d.renderTargets(line)
	return []byte(b.String())
}

func (d *draft) renderSource(b *strings.Builder, g *group) {
	r := g.found
	var keys, comments []string
	add := func(key, comment string) { keys, comments = append(keys, key), append(comments, comment) }
	flush := func() {
		width := 0
		for i, k := range keys {
			if comments[i] != "" {
				width = max(width, len([]rune(k)))
			}
		}
		for i, k := range keys {
			if comments[i] == "" {
				b.WriteString(k + "\n")
				continue
			}
			pad := width - len([]rune(k))
			b.WriteString(k + strings.Repeat(" ", pad) + "  # " + comments[i] + "\n")
		}
		keys, comments = nil, nil
	}

	add("  - name: "+g.name, "")
	if len(g.paths) == 1 {
		add("    path: "+Quote(g.paths[0]), "")
	} else {
		add("    path:", "")
		for _, p := range g.paths {
			add("      - "+Quote(p), "")
		}
	}
	add("    columns:", "")
	flush()
	for f := range datasets.NumFields {
		if c := r.fields[f]; c != nil {
			add(fmt.Sprintf("      %s: %s", datasets.Field(f), Quote(c.column.Path)), d.columnComment(g, datasets.Field(f), c))
		}
	}
	flush()

	if r.fields[datasets.EventType] == nil {
		why := "CONFIRM: there are no event types, and rows have an amount, so each is taken for a purchase"
		if g.role() != datasets.Purchase {
			why = "CONFIRM: there are neither event types nor amounts, so each row is taken for a view"
		}
		add("    role: "+g.role().String(), why)
		flush()
	} else {
		byRole := g.rolesOf()
		other := byRole[datasets.Other]
		delete(byRole, datasets.Other)
		if len(byRole) > 0 {
			add("    roles:", "")
			flush()
		}
		for _, role := range sortedRoles(byRole) {
			var names, counts []string
			for _, t := range byRole[role] {
				names = append(names, Quote(t.Type))
				counts = append(counts, thousands(t.Count))
				if t.Note != "" {
					add("      # CONFIRM "+comment(t.Type)+": "+t.Note, "")
				}
			}
			rows := strings.Join(counts, " + ") + " rows"
			if rows == "1 rows" {
				rows = "1 row"
			}
			key := fmt.Sprintf("      %s: [%s]", role, strings.Join(names, ", "))
			if len([]rune(key)) > 60 {
				add("      # "+rows, "")
				rows = ""
			}
			add(key, rows)
		}
		flush()
		if len(other) > 0 {
			var names []string
			for _, t := range other {
				names = append(names, fmt.Sprintf("%s (%s)", comment(t.Type), thousands(t.Count)))
			}
			fmt.Fprintf(b, "    # No role, so these only count as activity: %s\n", strings.Join(names, ", "))
		}
		if r.moreType > 0 {
			fmt.Fprintf(b, "    # CONFIRM: there are about %d more event types, rarer than these; they count as activity.\n", r.moreType)
		}
	}
	if r.timeUnit != "" {
		t := r.fields[datasets.EventTime].column
		add("    time_unit: "+r.timeUnit, fmt.Sprintf("values run from %s to %s", comment(t.Min), comment(t.Max)))
		flush()
	}
	if t := r.fields[datasets.EventTime].column; !zoned(t.Type, r.timeUnit) {
		add("    time_zone: UTC", "CONFIRM: the times carry no zone; name the one their clock was in")
		flush()
	}
	if len(r.empty) > 0 {
		fmt.Fprintf(b, "    # Not mapped, being null in every row: %s\n", comment(strings.Join(r.empty, ", ")))
	}
	for _, n := range r.notes {
		fmt.Fprintf(b, "    # CONFIRM: %s.\n", comment(n))
	}
}

// zoned reports whether times are instants by themselves.
func zoned(typ, unit string) bool {
	return strings.Contains(typ, "true") || strings.Contains(typ, "INT96") || unit != "" && unit != "yyyymmdd"
}

func (d *draft) columnComment(g *group, f datasets.Field, c *choice) string {
	k := contentOf(c.column)
	parts := []string{comment(c.column.Type)}
	if c.column.Partition {
		parts = []string{"partition key"}
	}
	if c.why != "by its name" {
		parts = append(parts, c.why)
	}
	if k.nullShare > 0 {
		share := fmt.Sprintf("null in %s", percent(k.nullShare))
		switch f {
		case datasets.CustomerID, datasets.EventTime:
			share += ": those rows are refused"
		}
		parts = append(parts, share)
	}
	switch f {
	case datasets.Currency:
		if k.distinct == 1 {
			parts = append(parts, "always "+comment(c.column.Top[0].Value))
		} else {
			parts = append(parts, "CONFIRM: several currencies stop a run")
		}
	case datasets.EventTime:
		if c.column.Partition || k.distinct > 1 && strings.HasPrefix(strings.ToUpper(c.column.Type), "DATE") {
			parts = append(parts, "whole days: features of hours and sessions say little")
		}
	case datasets.EventID:
		parts = append(parts, "rows that repeat one are dropped (dedupe: auto)")
	case datasets.Consent:
		parts = append(parts, "CONFIRM: rows where it is not true are left out")
	case datasets.SessionID:
		if !has(words(c.column.Path), "session") && !has(words(c.column.Path), "sessionid") && !has(words(c.column.Path), "visit") {
			parts = append(parts, "CONFIRM: an order's number stands for the visit")
		}
	}
	if len(c.others) > 0 {
		parts = append(parts, "CONFIRM: "+comment(strings.Join(c.others, ", "))+" would fit nearly as well")
	}
	return strings.Join(parts, "; ")
}

func (d *draft) renderTargets(line func(string, ...any)) {
	h := d.churn
	what := "purchase days"
	if d.role == config.RoleAny {
		what = "active days"
	}
	if d.role == config.RoleAny && d.buyers {
		line("# Too few customers buy again to derive a churn window from purchases, so churn means no activity at all.")
	} else if !d.buyers {
		line("# There are no purchases, so churn means no activity at all.")
	}
	switch {
	case h.Thin:
		line("# CONFIRM: only %s between a customer's %s closed, too few to derive a churn window: %s is a", plural(int(h.Closed), "gap"), what, plural(h.Days, "day"))
		line("# convention, at most a third of the %d days of history.", d.span)
	default:
		line("# The churn window follows from %s gaps between a customer's %s (%s of them still open at the", thousands(h.Closed+h.Open), what, thousands(h.Open))
		line("# end of the data, counted as censored: Kaplan-Meier).")
		if math.IsNaN(h.Quantile) {
			line("# Fewer than 80%% of gaps ever close: most customers do not come back. Of those that do, 80%% are back")
			line("# within %s.", plural(int(h.ClosedQuantile), "day"))
		} else {
			line("# 80%% of gaps close within %s (%s when open gaps are ignored).", plural(int(h.Quantile), "day"), plural(int(h.ClosedQuantile), "day"))
		}
		line("# Rounded, and at most a third of the %d days of history (%d): %s.", d.span, h.Longest, plural(h.Days, "day"))
		if !math.IsNaN(h.ComeBack) {
			line("# Of those silent for so long, %s come back within %s more: CONFIRM that the rest may be called churn.", percent(h.ComeBack), plural(h.Days, "day"))
		}
	}
	if d.snapshots > 0 {
		line("# %d days of history hold a snapshot to test on and %d earlier to train on.", d.span, d.snapshots)
	} else {
		line("# CONFIRM: %d days of history are too short to train and test on; models wait for more.", d.span)
	}
	line("targets:")
	line("  - {name: churn, kind: churn, role: %s, horizon: %dd}", d.role, h.Days)
	if d.buyers {
		line("  - {name: purchase, kind: propensity, role: purchase, horizon: %dd}", h.Days)
	}
}

var plainText = regexp.MustCompile(`^[A-Za-z_/][A-Za-z0-9_./-]*$`)

// Quote writes a text the way a configuration file can hold it: bare where
// that is safe, in double quotes otherwise, $ doubled where it would be taken
// for a variable.
func Quote(s string) string {
	switch strings.ToLower(s) {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n":
		return strconv.Quote(s)
	}
	if plainText.MatchString(s) {
		return s
	}
	return strconv.Quote(strings.NewReplacer("$$", "$$$$", "${", "$${").Replace(s))
}

// comment makes a text from the data safe to stand in a comment.
func comment(s string) string {
	q := strconv.Quote(s)
	return strings.ReplaceAll(strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`), `\\`, `\`)
}

func percent(share float64) string {
	switch p := 100 * share; {
	case p == 0:
		return "0%"
	case p > 0 && p < 0.1:
		return "less than 0.1%"
	case p < 10:
		return fmt.Sprintf("%.1f%%", p)
	default:
		return fmt.Sprintf("%.0f%%", p)
	}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return thousands(int64(n)) + " " + what + "s"
}

func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}
