package config

import (
	"github.com/shoal-data/shoal/jobs/config/units"
)

// The values that are written with a unit or a word: see package units.
type (
	Days     = units.Days
	Duration = units.Duration
	Size     = units.Size
	Memory   = units.Memory
	AutoInt  = units.AutoInt
	AutoDays = units.AutoDays
	Within   = units.Within
	Date     = units.Date
	Decimal  = units.Decimal
)

// The ways a Within bounds how long ago a customer was active.
const (
	WithinDays = units.WithinDays
	WithinEver = units.WithinEver
	WithinAuto = units.WithinAuto
)
