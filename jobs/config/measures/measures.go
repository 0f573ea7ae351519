// Package measures is the part of shoal.yaml that says what is measured about a
// customer: feature families, windows, custom features and occasions.
package measures

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/jobs/config/units"
)

// Features says what is measured.
type Features struct {
	Families   []string       `yaml:"families" doc:"Feature families to compute (shoal features lists them), or all. A family after a minus sign is left out: [-messages] is all but that one. recency, frequency and money are always computed, custom unless it is left out."`
	Windows    []units.Days   `yaml:"windows" min:"1" max:"3650" doc:"Look-back windows, ascending; each windowed feature exists once for each."`
	SessionGap units.Duration `yaml:"session_gap" min:"1m" max:"1d" doc:"Inactivity that ends a session where the source has no session id."`
	CartHours  int            `yaml:"cart_hours" min:"1" max:"8760" doc:"Hours after a cart's last addition, or a checkout, without a purchase after which it counts as abandoned."`
	Custom     []Custom       `yaml:"custom" doc:"Features of your own: an aggregate over chosen events, or the ratio of two features. They are listed, defined by SQL and published like those of the catalogue, and models learn from them."`
}

// Custom is a feature of the user's own.
type Custom struct {
	Name      string         `yaml:"name" required:"true" doc:"Name of the feature: a lower-case letter, then letters, digits and underscores, at most 40. Its columns are the name and the window, such as shoe_spend_30d and shoe_spend_lifetime; those of days_since and of a ratio of two columns are the name alone."`
	Meaning   string         `yaml:"meaning" doc:"One line for the catalogue; empty writes one."`
	Aggregate string         `yaml:"aggregate" enum:"count|sum|mean|min|max|distinct|days_since|share|entropy|gap_mean|trend" optional:"true" doc:"What is made of the events: count of events; sum (0 without values), mean, min or max of the column; distinct values of it; days_since the last event; share of the events that among picks, or of the column's sum over them, that where picks too; entropy in bits of the column's values; gap_mean, days between consecutive days with an event; trend, events or the column's sum in the window less that in the one before it, divided by both together (-1 to 1 for events). Null values take no part. Required unless ratio is given."`
	Column    string         `yaml:"column" enum:"amount|quantity|rating|event_type|product_id|category|channel|campaign_id|session_id|event_time|day" optional:"true" doc:"The event field that is aggregated. sum, mean, min and max take amount, quantity or rating; distinct takes the others, event_time being orders rather than their lines and day local calendar days; entropy takes event_type to campaign_id; share and trend may take amount or quantity; the rest take none."`
	Where     Filter         `yaml:"where" doc:"Which events count: those that meet every condition given. Without one, all do."`
	Among     Filter         `yaml:"among" doc:"Of share: the events that the share is of. Without a condition, all."`
	Windows   []units.Window `yaml:"windows" min:"1" max:"3650" doc:"Look-back windows, ascending, with the word lifetime as the last for every event; empty takes those of features.windows, and lifetime. For trend, that of a window of 30d compares it with the 30 days before, and lifetime is not possible. Excluded for days_since."`
	Ratio     Ratio          `yaml:"ratio" doc:"Instead of aggregate: one feature divided by another, null where either is null or the divisor is 0."`
}

// Filter picks events.
type Filter struct {
	Role       units.OneOrMany `yaml:"role" doc:"Roles, of which the event plays one."`
	EventType  units.OneOrMany `yaml:"event_type" doc:"Event types, as the data spell them."`
	Channel    units.OneOrMany `yaml:"channel" doc:"Channels, as the data spell them."`
	Category   units.OneOrMany `yaml:"category" doc:"Categories, as the data spell them."`
	ProductID  units.OneOrMany `yaml:"product_id" doc:"Products, as the data spell them."`
	CampaignID units.OneOrMany `yaml:"campaign_id" doc:"Campaigns, as the data spell them."`
}

// Ratio is one feature divided by another.
type Ratio struct {
	Of string `yaml:"of" doc:"What is divided: a column of the catalogue such as spend_90d, a custom feature's column, or a feature's name without a window, which makes one ratio for each window that both have."`
	To string `yaml:"to" doc:"What it is divided by, named likewise."`
}

// Occasion is a named part of the calendar.
type Occasion struct {
	Name        string     `yaml:"name" required:"true" doc:"Name of the occasion in columns: a lower-case letter, then letters, digits and underscores, at most 40. Where calendar, dates and days_of_month are all left out, it is the name of a calendar."`
	Calendar    string     `yaml:"calendar" enum:"new_year|valentines|mothering_sunday|easter|mothers_day|fathers_day|halloween|singles_day|thanksgiving|black_friday|cyber_monday|christmas" optional:"true" doc:"A built-in day of every year. easter is the Western one, mothering_sunday the British fourth Sunday of Lent, mothers_day the second Sunday in May, fathers_day the third in June, thanksgiving the fourth Thursday in November, black_friday and cyber_monday the Friday and Monday after it."`
	Dates       []Dates    `yaml:"dates" doc:"Days: 05-20 every year, 2025-05-20 once, and ranges of either, 12-27..01-06. The way to write what no rule finds, such as moveable feasts and a shop's own sales."`
	DaysOfMonth []MonthDay `yaml:"days_of_month" min:"1" max:"31" doc:"Days of every month, such as paydays, or last. A month without the day has it on its last."`
	Before      units.Days `yaml:"before" min:"0" max:"366" doc:"Days before each day that belong to its season."`
	After       units.Days `yaml:"after" min:"0" max:"366" doc:"Days after each day that belong to its season. Seasons that meet are one."`
}

// SetDefaults is a feature of which nothing is said.
func (c *Custom) SetDefaults(int) {
	*c = Custom{Where: NoFilter(), Among: NoFilter(), Windows: []units.Window{}}
}

// SetDefaults is an occasion of which nothing is said.
func (o *Occasion) SetDefaults(int) {
	*o = Occasion{Dates: []Dates{}, DaysOfMonth: []MonthDay{}, Before: 7}
}

// DefaultFeatures is what is measured when nothing is said.
func DefaultFeatures() Features {
	return Features{
		Families: []string{All}, Windows: []units.Days{7, 30, 90, 365},
		SessionGap: units.Duration(30 * time.Minute), CartHours: 24, Custom: []Custom{},
	}
}

// DefaultOccasions are the catalogue's.
func DefaultOccasions() []Occasion {
	var os []Occasion
	for _, d := range features.DefaultOccasions() {
		var o Occasion
		o.SetDefaults(0)
		o.Name, o.Calendar, o.Before, o.After = d.Name, d.Calendar, units.Days(d.Before), units.Days(d.After)
		os = append(os, o)
	}
	return os
}

// All names every family.
const All = "all"

// Dates are days in the form that features.ParseDates reads.
type Dates string

// UnmarshalText reads 12-25, 2025-11-28 or a range.
func (d *Dates) UnmarshalText(b []byte) error {
	parsed, err := features.ParseDates(string(b))
	*d = Dates(parsed.String())
	return err
}

// MarshalText writes what UnmarshalText reads.
func (d Dates) MarshalText() ([]byte, error) { return []byte(d), nil }

func (d Dates) Want() string            { return "days such as 12-25, 2025-11-28 or 12-27..01-06" }
func (d Dates) Number() (float64, bool) { return 0, false }
func (d Dates) Bare() bool              { return false }
func (d Dates) Noun() string            { return "dates" }
func (d Dates) Pattern() (string, float64) {
	return `^([0-9]{4}-)?[0-9]{2}-[0-9]{2}(\.\.([0-9]{4}-)?[0-9]{2}-[0-9]{2})?$`, units.NoNumber
}

// MonthDay is a day of the month, written 1 to 31 or last.
type MonthDay int

// UnmarshalText reads 25 or last.
func (d *MonthDay) UnmarshalText(b []byte) error {
	if string(b) == "last" {
		*d = features.LastOfMonth
		return nil
	}
	n, err := strconv.Atoi(string(b))
	if err != nil || n < 1 || n > 31 {
		return fmt.Errorf("%q is not a day of the month", b)
	}
	*d = MonthDay(n)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (d MonthDay) MarshalText() ([]byte, error) {
	if d == features.LastOfMonth {
		return []byte("last"), nil
	}
	return []byte(strconv.Itoa(int(d))), nil
}

func (d MonthDay) Want() string               { return "a day of the month, 1 to 31, or last" }
func (d MonthDay) Number() (float64, bool)    { return float64(d), d != features.LastOfMonth }
func (d MonthDay) Bare() bool                 { return d != features.LastOfMonth }
func (d MonthDay) Noun() string               { return "integer or `last`" }
func (d MonthDay) Pattern() (string, float64) { return `^(last|[1-9]|[12][0-9]|3[01])$`, 1 }

// Params is the shape of the feature catalogue.
func (f *Features) Params(occasions []Occasion) features.Params {
	p := features.DefaultParams()
	p.SessionGap, p.CartHours, p.Windows, p.Occasions = f.SessionGap.Std(), f.CartHours, nil, nil
	for _, w := range f.Windows {
		p.Windows = append(p.Windows, int(w))
	}
	for _, o := range occasions {
		made := features.Occasion{Name: o.Name, Calendar: o.Calendar, Before: int(o.Before), After: int(o.After)}
		if o.Calendar == "" && len(o.Dates) == 0 && len(o.DaysOfMonth) == 0 && slices.Contains(features.Calendars(), o.Name) {
			made.Calendar = o.Name
		}
		for _, d := range o.Dates {
			parsed, _ := features.ParseDates(string(d)) // a Dates that was read parses
			made.Dates = append(made.Dates, parsed)
		}
		for _, d := range o.DaysOfMonth {
			made.MonthDays = append(made.MonthDays, int(d))
		}
		p.Occasions = append(p.Occasions, made)
	}
	for _, c := range f.Custom {
		made := features.Custom{
			Name: c.Name, Meaning: c.Meaning, Aggregate: features.Aggregate(c.Aggregate), Column: c.Column,
			Where: c.Where.filter(), Among: c.Among.filter(), Ratio: features.Ratio(c.Ratio),
		}
		for _, w := range c.Windows {
			made.Windows = append(made.Windows, int(w))
		}
		p.Custom = append(p.Custom, made)
	}
	return p
}

// fields lists the filter's conditions on event fields.
func (f Filter) fields() map[datasets.Field]units.OneOrMany {
	return map[datasets.Field]units.OneOrMany{
		datasets.EventType: f.EventType, datasets.Channel: f.Channel, datasets.Category: f.Category,
		datasets.ProductID: f.ProductID, datasets.CampaignID: f.CampaignID,
	}
}

func (f Filter) filter() features.Filter {
	var made features.Filter
	for _, name := range f.Role {
		if r, err := datasets.ParseRole(name); err == nil {
			made.Roles = append(made.Roles, r)
		}
	}
	for field, values := range f.fields() {
		if len(values) > 0 {
			if made.Values == nil {
				made.Values = map[datasets.Field][]string{}
			}
			made.Values[field] = values
		}
	}
	return made
}

// NoFilter picks every event.
func NoFilter() Filter {
	return Filter{Role: units.OneOrMany{}, EventType: units.OneOrMany{}, Channel: units.OneOrMany{}, Category: units.OneOrMany{}, ProductID: units.OneOrMany{}, CampaignID: units.OneOrMany{}}
}

// Features is the filter as features have it.
func (f Filter) Features() features.Filter { return f.filter() }

// Faults lists what is wrong with the filter, which stands at a path.
func (f Filter) Faults(at string, sources Sources) (faults []features.Fault) {
	for j, name := range f.Role {
		role, err := datasets.ParseRole(name)
		path := fmt.Sprintf("%s.role[%d]", at, j)
		if err != nil || role == datasets.Other {
			faults = append(faults, features.Fault{Path: path, Value: strconv.Quote(name), Message: "is no role", Known: roleNames()})
		} else if sources.Known && !sources.Plays(role) {
			faults = append(faults, features.Fault{Path: path, Value: name, Message: "is played by no event type of any source; map one under sources[].roles"})
		}
	}
	for _, field := range features.FilterFields() {
		if len(f.fields()[field]) > 0 && sources.Known && !sources.Maps(field) {
			faults = append(faults, features.Fault{Path: fmt.Sprintf("%s.%s", at, field), Message: fmt.Sprintf("has nothing to look at: no source maps %s; name its column under sources[].columns", field)})
		}
	}
	return faults
}

// Sources says what the job's sources can bring.
type Sources struct {
	Known bool // whether there are any
	Maps  func(datasets.Field) bool
	Plays func(datasets.Role) bool
}

// Faults lists what is wrong, at paths of the whole configuration.
func Faults(f *Features, occasions []Occasion, sources Sources) []features.Fault {
	var faults []features.Fault
	add := func(path, value, format string, args ...any) {
		faults = append(faults, features.Fault{Path: path, Value: value, Message: fmt.Sprintf(format, args...)})
	}
	f.families(add, func(path, value, message string, known []string) {
		faults = append(faults, features.Fault{Path: path, Value: value, Message: message, Known: known})
	})
	if len(f.Windows) == 0 || len(f.Windows) > 12 {
		add("features.windows", fmt.Sprint(len(f.Windows))+" windows", "must be 1 to 12 windows")
	}
	for i := 1; i < len(f.Windows); i++ {
		if f.Windows[i] <= f.Windows[i-1] {
			add(fmt.Sprintf("features.windows[%d]", i), f.Windows[i].String(), "must be > the window before it (%s)", f.Windows[i-1])
		}
	}
	if f.SessionGap.Std()%time.Second != 0 {
		add("features.session_gap", f.SessionGap.Std().String(), "must be in whole seconds")
	}
	for i, c := range f.Custom {
		at := fmt.Sprintf("features.custom[%d]", i)
		faults = append(append(faults, c.Where.Faults(at+".where", sources)...), c.Among.Faults(at+".among", sources)...)
		if field, err := datasets.ParseField(c.Column); err == nil && sources.Known && !sources.Maps(field) {
			add(at+".column", c.Column, "has nothing to aggregate: no source maps %s; name its column under sources[].columns", field)
		}
	}
	p := f.Params(occasions)
	plain := features.DefaultParams()
	plain.Windows, plain.Occasions = p.Windows, nil
	if plain.Validate() != nil { // these have faults of their own
		p.Windows = features.DefaultParams().Windows
	}
	p.SessionGap, p.CartHours = plain.SessionGap, plain.CartHours // of no consequence here
	for _, fault := range p.Faults() {
		if strings.HasPrefix(fault.Path, "custom") {
			fault.Path = "features." + fault.Path
		}
		if !slices.ContainsFunc(faults, func(f features.Fault) bool { return f.Path == fault.Path }) {
			faults = append(faults, fault)
		}
	}
	return faults
}

func (f *Features) families(add func(path, value, format string, args ...any), unknown func(path, value, message string, known []string)) {
	known := features.Names()
	if len(f.Families) == 0 {
		add("features.families", "", "is empty; list families, or write [all]")
	}
	exclusions := 0
	for _, name := range f.Families {
		if strings.HasPrefix(name, features.Without) {
			exclusions++
		}
	}
	seen := map[string]bool{}
	for i, name := range f.Families {
		at := fmt.Sprintf("features.families[%d]", i)
		family, without := strings.CutPrefix(name, features.Without)
		switch {
		case name == "":
			add(at, "", "is empty; name a family")
		case seen[family]:
			add(at, strconv.Quote(name), "is listed twice; keep one")
		case name == All:
			if len(f.Families)-exclusions > 1 {
				add(at, name, "already includes every family; remove it or the others")
			}
		case !slices.Contains(known, family):
			unknown(at, strconv.Quote(name), "is no feature family", known)
		case without && features.IsCore(family):
			add(at, strconv.Quote(name), "cannot be left out: segments and models are built on it")
		case without && family != "custom" && exclusions < len(f.Families) && !slices.Contains(f.Families, All):
			add(at, strconv.Quote(name), "leaves out what is not listed; delete it, or write all in place of the others")
		}
		seen[family] = true
	}
}

func roleNames() []string {
	var names []string
	for _, r := range datasets.Roles() {
		names = append(names, r.String())
	}
	return names
}
