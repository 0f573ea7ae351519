// Package nightly is the run: one date's customers described, segmented,
// scored and published.
package nightly

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/shoal-data/shoal/datasets/spool"
	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/models"
)

// Options of one run.
type Options struct {
	Config  *config.Config
	Date    string // YYYY-MM-DD: the day whose end customers are described at
	FS      storage.FS
	Version string // of the program; part of what makes two runs the same
	Force   bool   // publish a new run even when the same one exists
	Log     zerolog.Logger
	// Progress, which may be nil, hears how far a step is.
	Progress func(step string, done, total int64)
	// Watch, which may be nil, hears of every step that is over. Steps do not overlap.
	Watch func(step string, began, ended time.Time, err error)
	// Now is the clock for the manifest; it never reaches a published table.
	Now func() time.Time
}

// A run is the state that every step shares.
type run struct {
	Options
	zone    *time.Location
	asOf    timeline.AsOf
	workers int
	memory  int64         // limits.memory in bytes; unlimited when it is unknown
	others  atomic.Int64  // see Held.OtherBytes
	space   *spool.Budget // of what may lie in memory or on disk
	spool   *spool.Spool  // of feature tables
	log     *timeline.Log // of events; nil before any is read
	hold    *publish.Hold // the right to publish the date, once it is taken
	checks  *checks       // of what was measured; nil before there is any
	summary *Summary
	started time.Time
}

// Run makes one night's run and returns what there is to say about it, also
// when it fails.
func Run(ctx context.Context, o Options) (*Summary, error) {
	r, err := prepare(o)
	if err != nil {
		return r.finish(err)
	}
	defer r.limitMemory()()
	defer r.free()
	in, err := r.open(ctx)
	defer r.release()
	if err != nil || r.summary.Status == StatusNoop {
		return r.finish(err)
	}
	ctx = r.hold.Context() // ends when the date is this run's no longer
	history, err := r.read(ctx, in, r.asOf.Instant)
	if err != nil {
		return r.finish(err)
	}
	if err := r.examine(ctx, in, history); err != nil {
		return r.finish(err)
	}
	questions, err := r.ask(ctx, in, history)
	if err != nil {
		return r.finish(err)
	}
	table, err := r.engineer(ctx, history, questions)
	if err != nil {
		return r.finish(err)
	}
	groups, err := r.segment(ctx, in, table)
	if err != nil {
		return r.finish(err)
	}
	answers, err := r.predict(ctx, table, questions)
	if err != nil {
		return r.finish(err)
	}
	forecast, err := r.forecast(ctx, table, questions)
	if err != nil {
		return r.finish(err)
	}
	if err := r.gate(ctx, table, questions, answers, forecast); err != nil {
		return r.finish(err)
	}
	return r.finish(r.publish(ctx, in, history, table, groups, answers, forecast))
}

func prepare(o Options) (*run, error) {
	r := &run{Options: o, started: o.Now(), memory: math.MaxInt64, space: spool.Unlimited(), summary: &Summary{Date: o.Date, Out: o.Config.Out, Version: o.Version}}
	zone, err := o.Config.Location()
	if err != nil {
		return r, Usage(fmt.Errorf("time_zone %q: %w", o.Config.TimeZone, err))
	}
	r.zone = zone
	if r.asOf, err = timeline.ParseAsOf(o.Date, zone); err != nil {
		return r, Usage(err)
	}
	r.workers = o.Config.Limits.Workers.Count()
	r.spool = spool.New(r.space, "")
	return r, nil
}

// release gives the date up, unless publishing has done so. What cannot be
// removed is the next run's to clear away.
func (r *run) release() {
	if r.hold == nil {
		return
	}
	if err := r.hold.Release(); err != nil {
		r.Log.Warn().Msg(err.Error())
	}
}

// finish completes the summary, of a success when err is nil.
func (r *run) finish(err error) (*Summary, error) {
	s := r.summary
	if r.hold != nil && r.hold.Lost() != nil && err != nil {
		err = StorageFault(r.hold.Lost()) // whatever it was that noticed first
	}
	r.measure()
	if err != nil {
		err = r.afterGates(err)
		s.Status, s.Error, s.ExitCode = StatusFailed, err.Error(), ExitCode(err)
	}
	return s, err
}

// measure notes what the run has cost so far.
func (r *run) measure() {
	s := r.summary
	s.Seconds = r.Now().Sub(r.started).Seconds()
	s.PeakMemoryBytes = peakMemory()
	if r.space != nil {
		s.SpilledBytes = r.space.Spilled()
	}
	if s.Held != nil {
		s.Held.OtherBytes = r.others.Load()
		if r.memory < math.MaxInt64 {
			s.Held.BudgetBytes = r.memory
		}
	}
}

// step times a stage and tells the progress bar that it began.
func (r *run) step(name string, work func() error) error {
	if r.Progress != nil {
		r.Progress(name, 0, 0)
	}
	start, cpu := r.Now(), cpuSeconds()
	err := work()
	stage := Stage{Name: name, Seconds: r.Now().Sub(start).Seconds(), CPUSeconds: cpuSeconds() - cpu}
	r.summary.Stages = append(r.summary.Stages, stage)
	if r.Watch != nil {
		r.Watch(name, start, r.Now(), err)
	}
	if err == nil {
		r.Log.Info().Str("step", name).Float64("seconds", stage.Seconds).Float64("cpu_seconds", stage.CPUSeconds).Msg("done")
	}
	return err
}

func (r *run) progress(step string, done, total int64) {
	if r.Progress != nil {
		r.Progress(step, done, total)
	}
}

func warning(code, message string) models.Warning {
	return models.Warning{Code: code, Message: message}
}

// warn keeps a warning for the manifest and the summary.
func (r *run) warn(ws ...models.Warning) {
	for _, w := range ws {
		r.summary.Warnings = append(r.summary.Warnings, w)
		r.Log.Warn().Str("code", w.Code).Msg(w.Message)
	}
}
