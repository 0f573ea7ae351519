package onboard

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/onboard/internal/history"
	"github.com/shoal-data/shoal/jobs/onboard/internal/prose"
	"github.com/shoal-data/shoal/jobs/onboard/internal/recognise"
)

// isoCurrency is what a currency's code looks like.
var isoCurrency = regexp.MustCompile(`^[A-Z]{3}$`)

// currency is the one that all amounts are said to be in; empty where a source does not say, or
// sources differ.
func (d *draft) currency() string {
	code := ""
	for _, g := range d.groups {
		if g.Found.Fields[datasets.Amount] == nil {
			continue
		}
		c := g.Found.Fields[datasets.Currency]
		if c == nil || c.Column.Distinct != 1 || !isoCurrency.MatchString(c.Column.Top[0].Value) || code != "" && c.Column.Top[0].Value != code {
			return ""
		}
		code = c.Column.Top[0].Value
	}
	return code
}

// render writes the configuration with the reasons for it as comments.
func (d *draft) render() []byte {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	c, zone := d.census, d.input.Zone
	files, rows := 0, int64(0)
	for _, g := range d.groups {
		files += g.Profile.Files
		rows += g.Profile.Rows
	}
	line("# Written by shoal init, from %s rows in %s.", prose.Thousands(rows), prose.Plural(files, "file"))
	line("# %s customers, %s events from %s to %s (%d days).", prose.Thousands(c.Customers), prose.Thousands(c.Events),
		history.LastDay(c.First, zone), history.LastDay(c.Last, zone), d.span)
	line("# Lines that say CONFIRM hold a guess that somebody who knows the data should look at.")
	line("# It runs as it is: shoal check, then shoal run --date %s", d.date)
	if last := history.LastDay(c.Last, zone); d.date.Today < last.Today {
		line("# (After that day there are far fewer events than before, so %s seems not to have arrived in full.)", last)
	}
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
	if code := d.currency(); code != "" {
		line("")
		line("# The one currency that amounts are in; another stops a run.")
		line("currency: %s", Quote(code))
	}

	if d.rejected > 0 {
		line("")
		line("# CONFIRM: %.0f%% of the rows cannot be used (%s), more than the usual limit.", 100*d.input.RejectedShare(), d.input.Reasons())
		line("limits:")
		line("  rejected_share: %s", strconv.FormatFloat(d.rejected, 'g', -1, 64))
	}

	line("")
	d.renderTargets(line)
	if !d.buyers {
		d.renderStages(line)
	}
	return []byte(b.String())
}

// renderStages writes a lifecycle that goes by activity: the built-in one goes by purchases,
// without which every customer would be a prospect for ever.
func (d *draft) renderStages(line func(string, ...any)) {
	line("")
	line("# There are no purchases, so a customer's stage goes by activity of any kind, in steps of the churn window.")
	line("rules:")
	line("  - name: lifecycle_stage")
	line("    cells:")
	line("      - {name: new, when: [days_since_first_event <= 30]}")
	for _, stage := range []struct {
		name  string
		times int
	}{{"active", 1}, {"at_risk", 2}, {"lapsed", 6}} {
		line("      - {name: %s, when: [days_since_last_event <= %d]}", stage.name, stage.times*d.churn.Days)
	}
	line("    otherwise: churned")
}

func (d *draft) renderSource(b *strings.Builder, g *recognise.Group) {
	r := g.Found
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

	add("  - name: "+g.Name, "")
	if len(g.Paths) == 1 {
		add("    path: "+Quote(g.Paths[0]), "")
	} else {
		add("    path:", "")
		for _, p := range g.Paths {
			add("      - "+Quote(p), "")
		}
	}
	add("    columns:", "")
	flush()
	for f := range datasets.NumFields {
		if c := r.Fields[f]; c != nil {
			add(fmt.Sprintf("      %s: %s", datasets.Field(f), Quote(c.Column.Path)), d.columnComment(g, datasets.Field(f), c))
		}
	}
	flush()

	if r.Fields[datasets.EventType] == nil {
		why := "CONFIRM: there are no event types, and rows have an amount, so each is taken for a purchase"
		if g.Role() != datasets.Purchase {
			why = "CONFIRM: there are neither event types nor amounts, so each row is taken for a view"
		}
		add("    role: "+g.Role().String(), why)
		flush()
	} else {
		byRole := g.ByRole()
		other := byRole[datasets.Other]
		delete(byRole, datasets.Other)
		if len(byRole) > 0 {
			add("    roles:", "")
			flush()
		}
		for _, role := range slices.Sorted(maps.Keys(byRole)) {
			var names, counts []string
			for _, t := range byRole[role] {
				names = append(names, Quote(t.Type))
				counts = append(counts, prose.Thousands(t.Count))
				if t.Note != "" {
					add("      # CONFIRM "+prose.Comment(t.Type)+": "+t.Note, "")
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
				names = append(names, fmt.Sprintf("%s (%s)", prose.Comment(t.Type), prose.Thousands(t.Count)))
			}
			fmt.Fprintf(b, "    # No role, so these only count as activity: %s\n", strings.Join(names, ", "))
		}
		if r.MoreTypes > 0 {
			fmt.Fprintf(b, "    # CONFIRM: there are about %d more event types, rarer than these; they count as activity.\n", r.MoreTypes)
		}
	}
	if r.TimeUnit != "" {
		t := r.Fields[datasets.EventTime].Column
		add("    time_unit: "+r.TimeUnit, fmt.Sprintf("values run from %s to %s", prose.Comment(t.Min), prose.Comment(t.Max)))
		flush()
	}
	if !r.Zoned {
		add("    time_zone: UTC", "CONFIRM: the times carry no zone; name the one their clock was in")
		flush()
	}
	renderUnused(b, r.Unused)
	if len(r.Empty) > 0 {
		fmt.Fprintf(b, "    # Not mapped, being null in every row: %s\n", prose.Comment(strings.Join(r.Empty, ", ")))
	}
	for _, n := range r.Notes {
		fmt.Fprintf(b, "    # CONFIRM: %s.\n", prose.Comment(n))
	}
}

// renderUnused lists columns that were taken for nothing, with what is in them: whoever
// knows one of them to be a field maps it. Values are shown only where there are few, and
// none that may be a person's: configurations get into repositories.
func renderUnused(b *strings.Builder, columns []*scan.ColumnProfile) {
	const shown, few, values = 25, 50, 4
	if len(columns) == 0 {
		return
	}
	b.WriteString("    # Not used; whatever is one of the fields of docs/configuration.md can be named above:\n")
	width := 0
	for _, c := range columns[:min(shown, len(columns))] {
		width = max(width, len([]rune(prose.Comment(c.Path))))
	}
	for _, c := range columns[:min(shown, len(columns))] {
		held := fmt.Sprintf("%s different values", prose.Thousands(int64(c.Distinct)))
		switch {
		case c.Rows == c.Nulls:
			held = "null in every row"
		case c.Distinct <= few && !recognise.Personal(c):
			var some []string
			for _, v := range c.Top[:min(values, len(c.Top))] {
				some = append(some, prose.Comment(v.Value))
			}
			held = strings.Join(some, ", ")
			if more := c.Distinct - len(some); more > 0 {
				held += fmt.Sprintf(" and %d more", more)
			}
		}
		path := prose.Comment(c.Path)
		fmt.Fprintf(b, "    #   %s%s  %s: %s\n", path, strings.Repeat(" ", width-len([]rune(path))), prose.Comment(c.Type), held)
	}
	if more := len(columns) - shown; more > 0 {
		fmt.Fprintf(b, "    #   and %d more\n", more)
	}
}

func (d *draft) columnComment(g *recognise.Group, f datasets.Field, c *recognise.Choice) string {
	parts := []string{prose.Comment(c.Column.Type)}
	if c.Column.Partition {
		parts = []string{"partition key"}
	}
	if c.Why != recognise.ByName {
		parts = append(parts, c.Why)
	}
	if c.NullShare() > 0 {
		share := fmt.Sprintf("null in %s", prose.Percent(c.NullShare()))
		switch f {
		case datasets.CustomerID, datasets.EventTime:
			share += ": those rows are refused"
		}
		parts = append(parts, share)
	}
	switch f {
	case datasets.Currency:
		if c.Column.Distinct == 1 {
			parts = append(parts, "always "+prose.Comment(c.Column.Top[0].Value))
		} else {
			parts = append(parts, "CONFIRM: several currencies stop a run")
		}
	case datasets.EventTime:
		if c.Column.Partition || c.Column.Distinct > 1 && strings.HasPrefix(strings.ToUpper(c.Column.Type), "DATE") {
			parts = append(parts, "whole days: features of hours and sessions say little")
		}
	case datasets.EventID:
		parts = append(parts, "rows that repeat one are dropped (dedupe: auto)")
	case datasets.Consent:
		parts = append(parts, "CONFIRM: rows where it is not true are left out")
	case datasets.SessionID:
		if !c.Named("session", "sessionid", "visit", "visitid") {
			parts = append(parts, "CONFIRM: an order's number stands for the visit")
		}
	}
	if len(c.Others) > 0 {
		parts = append(parts, "CONFIRM: "+prose.Comment(strings.Join(c.Others, ", "))+" would fit nearly as well")
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
		line("# CONFIRM: only %s between a customer's %s closed, too few to derive a churn window: %s is a", prose.Plural(int(h.Closed), "gap"), what, prose.Plural(h.Days, "day"))
		line("# convention, at most a third of the %d days of history.", d.span)
	default:
		line("# The churn window follows from %s gaps between a customer's %s (%s of them still open at the", prose.Thousands(h.Closed+h.Open), what, prose.Thousands(h.Open))
		line("# end of the data, counted as censored: Kaplan-Meier).")
		if math.IsNaN(h.Quantile) {
			line("# Fewer than 80%% of gaps ever close: most customers do not come back. Of those that do, 80%% are back")
			line("# within %s.", prose.Plural(int(h.ClosedQuantile), "day"))
		} else {
			line("# 80%% of gaps close within %s (%s when open gaps are ignored).", prose.Plural(int(h.Quantile), "day"), prose.Plural(int(h.ClosedQuantile), "day"))
		}
		line("# Rounded, and at most a third of the %d days of history (%d): %s.", d.span, h.Longest, prose.Plural(h.Days, "day"))
		if !math.IsNaN(h.ComeBack) {
			line("# Of those silent for so long, %s come back within %s more: CONFIRM that the rest may be called churn.", prose.Percent(h.ComeBack), prose.Plural(h.Days, "day"))
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
