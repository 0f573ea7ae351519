package config

import "fmt"

// Overrides are keys that a command line may give instead of the file. An
// empty one leaves the file's value.
type Overrides struct {
	Out     string // out
	Workers string // limits.workers
	Memory  string // limits.memory
	Metrics string // monitoring.metrics_file
	Gates   string // gates.action
}

// apply replaces values and reports those that cannot be read, beside the
// file's own faults.
func (o Overrides) apply(c *Config) (faults []Fault) {
	if o.Out != "" {
		c.Out = o.Out
	}
	if o.Metrics != "" {
		c.Monitoring.MetricsFile = o.Metrics
	}
	if o.Gates != "" {
		c.Gates.Action = o.Gates
	}
	if o.Workers != "" {
		if err := c.Limits.Workers.UnmarshalText([]byte(o.Workers)); err != nil {
			faults = append(faults, Fault{Path: "limits.workers", Message: fmt.Sprintf("--workers %v; expected %s", err, c.Limits.Workers.Want())})
		}
	}
	if o.Memory != "" {
		if err := c.Limits.Memory.UnmarshalText([]byte(o.Memory)); err != nil {
			faults = append(faults, Fault{Path: "limits.memory", Message: fmt.Sprintf("--memory %v; expected %s", err, c.Limits.Memory.Want())})
		}
	}
	return faults
}
