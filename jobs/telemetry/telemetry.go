// Package telemetry tells others how nights go: Prometheus, OpenLineage and
// OpenTelemetry. Nothing that goes wrong here makes a night fail; it is logged.
package telemetry

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/rs/zerolog"

	"github.com/shoal-data/shoal/jobs/nightly"
)

// patience is how long a listener may take.
const patience = 10 * time.Second

// A Crew is who listens to the nights of a job. Close it when there are no more.
type Crew struct {
	log     zerolog.Logger
	lineage lineage // nil sends nothing
	traces  *traces // nil makes none
	lookup  func(string) string
	client  *http.Client
}

// New reads who listens from the environment; lookup is os.Getenv.
func New(ctx context.Context, lookup func(string) string, version string, log zerolog.Logger) *Crew {
	c := &Crew{log: log, lookup: lookup, client: &http.Client{Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // a key is for who it was given to
	}}}
	var err error
	if c.lineage, err = newLineage(lookup, c.client); err != nil {
		c.warn("lineage", err)
	}
	if c.traces, err = newTraces(ctx, lookup, version, log); err != nil {
		c.warn("traces", err)
	}
	return c
}

// Close sends what has not been sent.
func (c *Crew) Close() {
	if c.traces == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.traces.close(ctx); err != nil {
		c.warn("traces", err)
	}
}

func (c *Crew) warn(what string, err error) {
	c.log.Warn().Str("code", "telemetry."+what).Msg(plain(err))
}

// plain is an error without what an address may hide, a user or a token.
func plain(err error) string {
	var u *url.Error
	if !errors.As(err, &u) {
		return err.Error()
	}
	at, e := "the address", u.Err.Error()
	if parsed, err := url.Parse(u.URL); err == nil && parsed.Host != "" {
		at = parsed.Scheme + "://" + parsed.Host
	}
	var op *net.OpError
	if errors.As(u.Err, &op) {
		e = op.Error()
	}
	return u.Op + " " + at + ": " + e
}

// Run makes a night's run, and tells of it.
func (c *Crew) Run(ctx context.Context, o nightly.Options) (*nightly.Summary, error) {
	began := o.Now()
	// Whoever listens hears the end of a night that was terminated, too.
	told := context.WithoutCancel(ctx)
	n := newNight(o, began)
	c.tell(told, "lineage", func(ctx context.Context) error { return c.emit(ctx, n.started()) })
	var night *nightTrace
	if c.traces != nil {
		night = c.traces.begin(ctx, o, began)
		others := o.Watch
		o.Watch = func(step string, began, ended time.Time, err error) {
			night.step(step, began, ended, err)
			if others != nil {
				others(step, began, ended, err)
			}
		}
	}
	s, err := nightly.Run(ctx, o)
	ended := o.Now()
	if night != nil {
		night.end(s, ended, err)
		c.tell(told, "traces", c.traces.flush)
	}
	c.tell(told, "lineage", func(ctx context.Context) error { return c.emit(ctx, n.finished(s, ended, err)) })
	m := o.Config.Monitoring
	if m.MetricsFile != "" {
		c.tell(told, "metrics_file", func(context.Context) error { return writeMetrics(m.MetricsFile, s, o.Config, ended) })
	}
	if m.Pushgateway != "" {
		c.tell(told, "pushgateway", func(ctx context.Context) error { return c.push(ctx, s, o.Config, ended) })
	}
	return s, err
}

// tell gives a listener its time, and warns when it does not listen.
func (c *Crew) tell(ctx context.Context, what string, do func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := do(ctx); err != nil {
		c.warn(what, err)
	}
}

func (c *Crew) emit(ctx context.Context, e *event) error {
	if c.lineage == nil {
		return nil
	}
	return c.lineage(ctx, e)
}
