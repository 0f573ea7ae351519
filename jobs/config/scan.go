package config

import (
	"fmt"
	"slices"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/features"
)

// FeatureParams is the shape of the feature catalogue.
func (c *Config) FeatureParams() features.Params {
	p := features.DefaultParams()
	p.SessionGap, p.Windows = c.Features.SessionGap.Std(), nil
	for _, w := range c.Features.Windows {
		p.Windows = append(p.Windows, int(w))
	}
	return p
}

// ScanSources is the sources the way datasets/scan reads them.
func (c *Config) ScanSources() ([]scan.Source, error) {
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
			TimeZone: zone, TimeUnit: unit, Currency: s.Currency,
		}
	}
	return sources, nil
}
