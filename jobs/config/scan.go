package config

import (
	"fmt"
	"slices"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/features"
)

// FeatureParams is the shape of the feature catalogue.
func (c *Config) FeatureParams() features.Params { return c.Features.Params(c.Occasions) }

// ScanInput is the sources and the tables beside them the way datasets/scan reads them,
// with customers' own ids: Privacy.PseudonymKey says what a run puts in their place.
func (c *Config) ScanInput() (scan.Input, error) {
	sources, err := c.scanSources()
	if err != nil {
		return scan.Input{}, err
	}
	in := scan.Input{Sources: sources, Consent: c.Privacy.consent()}
	for _, t := range c.Identity {
		in.Identity = append(in.Identity, scan.IdentityTable{
			Paths: slices.Clone(t.Path), Alias: t.Columns.Alias, Customer: t.Columns.Customer, KindColumn: t.Columns.Kind, Kind: t.Kind,
		})
	}
	// Of the contacts, what no audience asks for is not read.
	emails, phones := c.hashes(HashedEmail), c.hashes(HashedPhone)
	for _, t := range c.Contacts {
		table := scan.ContactTable{Paths: slices.Clone(t.Path), Customer: t.Columns.Customer, Kind: t.Kind}
		if emails {
			table.Email = t.Columns.Email
		}
		if phones {
			table.Phone = t.Columns.Phone
		}
		if table.Email != "" || table.Phone != "" {
			in.Contacts = append(in.Contacts, table)
		}
	}
	if r := &c.CurrencyRates; c.ConvertsCurrencies() {
		zone, err := c.Location()
		if err != nil {
			return scan.Input{}, fmt.Errorf("config: time_zone (%q) %w", c.TimeZone, err)
		}
		in.Rates = &scan.RateSpec{
			To: c.Currency, Zone: zone, Paths: slices.Clone(r.Path), Date: r.Columns.Date, Currency: r.Columns.Currency, Rate: r.Columns.Rate,
			Inverse: r.Inverse, MaxAge: int(r.MaxAge),
		}
		for _, l := range r.List {
			in.Rates.Listed = append(in.Rates.Listed, scan.Rate{Date: string(l.Date), Currency: l.Currency, Rate: string(l.Rate)})
		}
	}
	return in, nil
}

// ConvertsCurrencies says whether there are currency rates.
func (c *Config) ConvertsCurrencies() bool {
	return len(c.CurrencyRates.Path) > 0 || len(c.CurrencyRates.List) > 0
}

func (c *Config) scanSources() ([]scan.Source, error) {
	sources := make([]scan.Source, len(c.Sources))
	for i := range c.Sources {
		s := &c.Sources[i]
		zone, err := c.SourceLocation(i)
		if err != nil {
			return nil, fmt.Errorf("config: sources[%d].time_zone (%q) %w", i, s.TimeZone, err)
		}
		unit, err := scan.ParseUnit(s.TimeUnit)
		if err != nil {
			return nil, fmt.Errorf("config: sources[%d].time_unit: %w", i, err)
		}
		columns := make(map[datasets.Field]string, len(s.Columns))
		for f, name := range s.Columns {
			columns[f] = name
		}
		role, _ := s.ConstantRole()
		sources[i] = scan.Source{
			Name: s.Name, Paths: slices.Clone(s.Path), Columns: columns, Roles: s.EventRoles(), Role: role,
			TimeZone: zone, TimeUnit: unit, Currency: s.Currency, IDKind: s.IDKind,
		}
	}
	return sources, nil
}
