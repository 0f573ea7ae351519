package config

import (
	"net/url"
	"strconv"
)

// Monitoring says who hears of a night.
type Monitoring struct {
	MetricsFile string `yaml:"metrics_file" doc:"File that the Prometheus metrics of every night are written to, for the textfile collector; it must end in .prom. Empty writes none."`
	Pushgateway string `yaml:"pushgateway" doc:"URL of a Prometheus Pushgateway that they are added to. Empty pushes none. User and password, if it asks for them, are in SHOAL_PUSHGATEWAY_USER and SHOAL_PUSHGATEWAY_PASSWORD."`
	Job         string `yaml:"job" doc:"Name of the job in metrics, lineage and traces."`
}

func (c *Config) monitoring(k *checker) {
	m := c.Monitoring
	if m.Job == "" {
		k.add("monitoring.job", "", "missing; give the job a name")
	}
	if n := len(m.MetricsFile); n > 0 && (n < 5 || m.MetricsFile[n-5:] != ".prom") {
		k.add("monitoring.metrics_file", strconv.Quote(m.MetricsFile), "must end in .prom, or the textfile collector passes it over")
	}
	if m.Pushgateway == "" {
		return
	}
	// The value is not repeated: it may hold a password.
	u, err := url.Parse(m.Pushgateway)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		k.add("monitoring.pushgateway", "", "must be a URL that begins with http:// or https://")
	case u.User != nil || u.RawQuery != "":
		k.add("monitoring.pushgateway", "", "holds a user or a query, which the manifest would publish; set SHOAL_PUSHGATEWAY_USER and SHOAL_PUSHGATEWAY_PASSWORD instead")
	}
}
