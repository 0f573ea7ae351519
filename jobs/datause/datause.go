// Package datause writes the record of what a run uses: which columns it reads and what for,
// by what it is decided whose events are used, and how long the run may be kept.
package datause

import (
	"fmt"
	"slices"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/publish"
)

// Of is the record of a run of a date that reads an input, whose sources name only the columns
// that are read, for the feature families.
func Of(c *config.Config, in scan.Input, families []features.Family, date string) *publish.DataUse {
	p := &c.Privacy
	use := &publish.DataUse{
		Purpose: p.Purpose, RetentionDays: int(p.Retention), Columns: []publish.UsedColumn{}, NotRead: []publish.UsedColumn{},
		ConsentTables: len(p.Consents), ErasureLists: len(p.Erased), Pseudonyms: "none", SmallestSegment: p.SmallestSegment,
	}
	if day, err := time.Parse(time.DateOnly, date); err == nil && p.Retention > 0 {
		use.KeepUntil = day.AddDate(0, 0, int(p.Retention)).Format(time.DateOnly)
	}
	if len(p.Consents) > 0 {
		use.Unlisted = p.Unlisted
	}
	if in.Pseudonyms != nil {
		use.Pseudonyms = "HMAC-SHA-256, key " + in.Pseudonyms.Fingerprint()
	}
	for i := range c.Sources {
		s := &c.Sources[i]
		if s.Columns[datasets.Consent] != "" {
			use.ConsentColumns++
		}
		for _, f := range datasets.Fields() {
			name := s.Columns[f]
			if name == "" {
				continue
			}
			column := publish.UsedColumn{Source: s.Name, Column: name, Field: f.String(), For: []string{}}
			if in.Sources[i].Columns[f] == "" {
				use.NotRead = append(use.NotRead, column)
				continue
			}
			column.For = purposes(c, f, families)
			use.Columns = append(use.Columns, column)
		}
	}
	table := func(name, column, field, purpose string) {
		if column != "" {
			use.Columns = append(use.Columns, publish.UsedColumn{Source: name, Column: column, Field: field, For: []string{purpose}})
		}
	}
	for i, t := range in.Identity {
		name := fmt.Sprintf("identity[%d]", i)
		for _, k := range [][2]string{{t.Alias, "alias"}, {t.Customer, "customer"}, {t.KindColumn, "kind"}} {
			table(name, k[0], k[1], "to know a customer's ids as one")
		}
	}
	if r := in.Rates; r != nil && len(r.Paths) > 0 {
		for _, k := range [][2]string{{r.Date, "date"}, {r.Currency, "currency"}, {r.Rate, "rate"}} {
			table("currency_rates", k[0], k[1], "to convert amounts")
		}
	}
	for i, t := range in.Contacts {
		name := fmt.Sprintf("contacts[%d]", i)
		for _, k := range [][2]string{{t.Customer, "customer"}, {t.Email, "email"}, {t.Phone, "phone"}} {
			table(name, k[0], k[1], "to address audiences, as a hash")
		}
	}
	if spec := in.Consent; spec != nil {
		for i, t := range spec.Erased {
			name := fmt.Sprintf("privacy.erased[%d]", i)
			table(name, t.Customer, "customer", "to leave out whom it names")
			table(name, t.KindColumn, "kind", "to leave out whom it names")
		}
		for i, t := range spec.Consents {
			name := fmt.Sprintf("privacy.consents[%d]", i)
			for _, k := range [][2]string{{t.Customer, "customer"}, {t.Given, "given"}, {t.Time, "time"}, {t.KindColumn, "kind"}} {
				table(name, k[0], k[1], "to leave out who has not agreed")
			}
		}
	}
	return use
}

// purposes are what a field of events is read for.
func purposes(c *config.Config, f datasets.Field, families []features.Family) []string {
	switch f {
	case datasets.CustomerID:
		return []string{"to tell customers apart"}
	case datasets.EventTime:
		return []string{"to know when each event happened"}
	case datasets.EventType:
		return []string{"to know what each event is"}
	case datasets.Consent:
		return []string{"to leave out events that may not be used"}
	}
	all := []string{}
	for _, family := range families {
		if features.Reads([]features.Family{family}, f) {
			all = append(all, "features: "+family.Name)
		}
	}
	for i := range c.Targets {
		if c.Targets[i].Reads(f) {
			all = append(all, "target: "+c.Targets[i].Name)
		}
	}
	switch {
	case f == datasets.Currency:
		all = append(all, "to know what amounts are in")
	case f == datasets.EventID || c.Dedupe == config.DedupeExact:
		all = append(all, "to tell duplicates")
	}
	slices.Sort(all)
	return slices.Compact(all)
}
