package nightly

import (
	"context"
	"slices"

	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/backtest"
	"github.com/shoal-data/shoal/jobs/earlier"
	"github.com/shoal-data/shoal/jobs/segments"
)

// claimsOf is what a run has said of its customers.
func (r *run) claimsOf(e *earlier.Run) ([]*backtest.Claim, error) {
	s, err := summaryOf(e.Manifest)
	if err != nil {
		return nil, err
	}
	zone, err := e.Config.Location()
	if err != nil {
		return nil, err
	}
	horizon := 0
	if s.Value != nil && s.Value.Skipped == "" {
		horizon = s.Value.HorizonDays
	}
	return backtest.Claims(e, s.Targets, horizon, zone)
}

// mature finds the runs whose scores can be held against what happened tonight, and
// could not by the run before. How far ahead scores look is taken from that run: asking
// every run there has been would take longer each night. What is found is part of what
// this run is made from.
func (r *run) mature(in *input) error {
	if in.previous == nil {
		return nil
	}
	last, err := timeline.ParseAsOf(in.previous.Manifest.Date, r.zone)
	if err != nil {
		return err
	}
	claims, err := r.claimsOf(in.previous)
	if err != nil {
		return err
	}
	for _, date := range slices.Backward(segments.Before(in.pointer, r.Date)) {
		of, err := timeline.ParseAsOf(date, r.zone)
		if err != nil {
			return err
		}
		age, before := int(r.asOf.Today-of.Today), int(last.Today-of.Today)
		if slices.ContainsFunc(claims, func(c *backtest.Claim) bool { return c.Span <= age && c.Span > before }) {
			in.matured = append(in.matured, date)
			in.before += " " + date + " " + in.pointer.Dates[date].Run
		}
	}
	return nil
}

// backtest holds the scores of earlier runs against what has happened since.
func (r *run) backtest(ctx context.Context, in *input, h *history, c *checks) error {
	var claims []*backtest.Claim
	for _, date := range in.matured {
		e, err := r.openRun(ctx, date)
		if err != nil {
			return err
		}
		if e == nil || !e.Config.SameEvents(r.Config) {
			continue
		}
		of, err := r.claimsOf(e)
		if err != nil {
			return err
		}
		last, err := timeline.ParseAsOf(in.previous.Manifest.Date, r.zone)
		if err != nil {
			return err
		}
		for _, claim := range of {
			if claim.Matured(r.asOf) && !claim.Matured(last) {
				claims = append(claims, claim)
			}
		}
	}
	var err error
	c.backtest, err = backtest.Run(ctx, backtest.Input{Store: h.store, Census: &h.census, AsOf: r.asOf, Zone: r.zone, Workers: r.workers}, claims, r.passOver)
	return err
}
