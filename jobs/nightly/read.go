package nightly

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/models"
)

// Classify gives the reader's errors the exit code a scheduler should see.
func Classify(err error) error {
	var e *scan.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Kind {
	case scan.NoInput:
		return NoInput(err)
	case scan.BadData, scan.Config: // the files are not as the mapping says: a retry finds the same
		return BadData(err)
	}
	return Transient(err)
}

// dateKeys are the Hive partition keys that mean the day of the data.
var dateKeys = []string{"ds", "dt", "date", "day", "event_date", "partition_date"}

var dated = regexp.MustCompile(`^\d{4}-?\d{2}-?\d{2}$`)

// requireDate refuses a date whose partition is not there: the upstream job has
// not delivered, and yesterday's data would be published as today's.
func requireDate(c *config.Config, files []scan.File, date string) error {
	for i := range c.Sources {
		s := &c.Sources[i]
		if !s.RequireDate {
			continue
		}
		partitioned, found, newest := false, false, ""
		for _, f := range files {
			if f.Source != s.Name {
				continue
			}
			for _, dir := range strings.Split(path.Dir(f.Path), "/") {
				key, value, ok := strings.Cut(dir, "=")
				if !ok || !slices.Contains(dateKeys, strings.ToLower(key)) || !dated.MatchString(value) {
					continue
				}
				partitioned = true
				newest = max(newest, value)
				found = found || strings.ReplaceAll(value, "-", "") == strings.ReplaceAll(date, "-", "")
			}
		}
		if partitioned && !found {
			return NoInput(fmt.Errorf("no files for %s in source %s: the newest partition is %s; wait for the data, or set sources[%d].require_date: false to run without them", date, s.Name, newest, i))
		}
	}
	return nil
}

// history is every event before the as-of instant, by customer.
type history struct {
	store    *timeline.Store
	census   timeline.Census
	firstDay int32 // local day of the earliest event
	report   *scan.Report
}

// read decodes the input, up to an instant, into timelines and puts them in order.
func (r *run) read(ctx context.Context, in *input, before int64) (*history, error) {
	h, err := r.scan(ctx, in, before)
	if err != nil {
		return nil, err
	}
	err = r.step("order", func() error {
		h.census, err = h.store.Census(ctx, r.workers)
		return err
	})
	if err == nil {
		held := r.held()
		held.ArrivedBytes, held.OrderedBytes = h.store.Packed()
		err = r.survey(h)
	}
	return h, err
}

// scan decodes the input, up to an instant, into timelines not yet in order.
func (r *run) scan(ctx context.Context, in *input, before int64) (*history, error) {
	dicts := datasets.NewDicts()
	log := timeline.NewLog(dicts, r.workers).Within(r.space, "")
	r.log = log
	h, err := r.decode(ctx, in, before, dicts, log.Append)
	if err != nil {
		return nil, err
	}
	dedupe, err := DedupeMode(r.Config)
	if err != nil {
		return nil, err
	}
	h.store = log.Freeze(timeline.Options{Zone: r.zone, Dedupe: dedupe, IDType: h.report.IDType, Final: true})
	return h, nil
}

// decode gives the input, up to an instant, to emit, as scan.Plan.Read does. There are
// no timelines yet.
func (r *run) decode(ctx context.Context, in *input, before int64, dicts *datasets.Dicts, emit func(worker int, b *datasets.Batch) error) (*history, error) {
	h := &history{}
	err := r.step("read", func() error {
		opts := scan.DefaultOptions()
		opts.Workers, opts.Before, opts.Currency = r.workers, before, r.Config.Currency
		opts.MaxRejectedSample = r.Config.Limits.RejectedSample
		opts.Progress = func(done, total int64) { r.progress("read", done, total) }
		var err error
		h.report, err = in.plan.Read(ctx, dicts, opts, emit)
		return Classify(err)
	})
	if err != nil {
		return nil, err
	}
	r.count(h.report)
	return h, r.checkRejected(h.report)
}

// survey notes in the summary what the census says, and warns of what is doubtful.
func (r *run) survey(h *history) error {
	if h.census.Customers == 0 {
		what := fmt.Sprintf("%d rows were read, %d of them later and %d refused", h.report.Rows, h.report.RowsAfter, h.report.RowsRejected)
		if n := h.report.RowsWithheld + h.report.RowsErased; n > 0 {
			what += fmt.Sprintf(", and %d left out for want of consent or to be forgotten", n)
		}
		return NoInput(fmt.Errorf("no event lies before the end of %s: %s", r.asOf, what))
	}
	h.firstDay = h.census.Start
	r.doubts(h)
	i := &r.summary.Input
	i.Events, i.Customers, i.Duplicates = h.census.Events, h.census.Customers, h.census.Duplicates
	i.First, i.Last = instant(h.census.First), instant(h.census.Last)
	i.Roles = map[string]int64{}
	for role, n := range h.census.Roles {
		if n > 0 {
			i.Roles[datasets.Role(role).String()] = n
		}
	}
	if stale := r.asOf.Today - timeline.LocalDay(h.census.Last, r.zone); stale > 0 {
		days := "days"
		if stale == 1 {
			days = "day"
		}
		r.warn(models.Warning{Code: "input.stale", Message: fmt.Sprintf("the newest event is %d %s before %s: recency counts from the date of the run, so make sure it is meant", stale, days, r.asOf)})
	}
	return nil
}

func instant(micros int64) string { return time.UnixMicro(micros).UTC().Format(time.RFC3339Nano) }

// doubts warns of what the input may not be meant to be.
func (r *run) doubts(h *history) {
	c := &h.census
	if c.Early > 0 {
		r.warn(warning("time.old", fmt.Sprintf("%d customers have events from %s on, over a year before anybody else's; such dates are often missing values, so history is taken to begin %s",
			c.Early, instant(c.First), dayString(c.Start))))
	}
	if c.Customers > 1 && c.Busiest*10 > c.Events && c.Busiest > 1000 {
		r.warn(warning("customer.dominant", fmt.Sprintf("one customer has %d of %d events: such an id is often a placeholder or a machine", c.Busiest, c.Events)))
	}
	for _, n := range h.report.Nulls {
		if n.Nulls == n.Rows && n.Rows > 0 {
			r.warn(warning("column.null", fmt.Sprintf("column %s of source %s, mapped to %v, is null in every row", n.Column, n.Source, n.Field)))
		}
	}
}

func dayString(day int32) string {
	return time.Unix(int64(day)*86400, 0).UTC().Format(time.DateOnly)
}

// count notes in the summary what the reader saw.
func (r *run) count(report *scan.Report) {
	i := &r.summary.Input
	i.Files, i.RowsRead, i.RowsSkipped = report.Files, report.Rows, report.RowsSkipped
	i.RowsAfter, i.RowsRejected, i.Withheld, i.Erased = report.RowsAfter, report.RowsRejected, report.RowsWithheld, report.RowsErased
	if len(report.Rejects) > 0 {
		i.RejectedByReason = map[string]int64{}
	}
	for _, reject := range report.Rejects {
		i.RejectedByReason[reject.Reason] += reject.Count
	}
	if len(report.Currencies) > 0 {
		i.Currency = report.Currencies[0].Currency
	}
	if r.Config.ConvertsCurrencies() {
		i.Currency = r.Config.Currency
		for _, c := range report.Currencies {
			if c.Currency == i.Currency {
				continue
			}
			if i.Converted == nil {
				i.Converted = map[string]int64{}
			}
			i.Converted[c.Currency] = c.Count
		}
	}
	if d := report.Identity; d != nil {
		i.Identity = &Identity{d.Rows, d.Ignored, d.Aliases, d.AliasesMet, d.Merged, d.RowsRekeyed}
		for _, doubt := range d.Doubts() {
			r.warn(warning("identity."+doubt.Code, doubt.Message))
		}
	}
	if d := report.Consent; d != nil && d.Ignored > 0 {
		r.warn(warning("privacy.ignored", fmt.Sprintf("%d of %d rows of the erasure lists and consent tables have no id, or one of a kind that no source has, and say nothing", d.Ignored, d.Rows)))
	}
}

// checkRejected fails the run when more rows than allowed could not be used.
func (r *run) checkRejected(report *scan.Report) error {
	considered := report.RowsAccepted + report.RowsRejected
	limit := r.Config.Limits.RejectedShare
	if report.RowsRejected == 0 || float64(report.RowsRejected) <= limit*float64(considered) {
		return nil
	}
	worst := report.Rejects[0]
	for _, reject := range report.Rejects {
		if reject.Count > worst.Count {
			worst = reject
		}
	}
	return BadData(fmt.Errorf("%d of %d rows (%.1f%%) cannot be used, more than limits.rejected_share (%.1f%%): the most, %d, for %s in column %s of source %s, first at %s, row %d; correct the mapping or the data, or raise the limit",
		report.RowsRejected, considered, 100*float64(report.RowsRejected)/float64(considered), 100*limit,
		worst.Count, worst.Reason, worst.Column, worst.Source, worst.First.File, worst.First.Row))
}

// DedupeMode is the way the timelines recognise duplicates. Event ids are null
// in sources that do not map them, so auto is safe for all sources together.
func DedupeMode(c *config.Config) (timeline.Dedupe, error) {
	mapped := false
	for i := range c.Sources {
		mapped = mapped || c.Sources[i].Columns[datasets.EventID] != ""
	}
	switch c.Dedupe {
	case config.DedupeNone:
		return timeline.DedupeNone, nil
	case config.DedupeExact:
		return timeline.DedupeExact, nil
	case config.DedupeEventID:
		if !mapped {
			return 0, Usage(fmt.Errorf("dedupe: event_id: no source maps event_id; map it, or use exact"))
		}
		return timeline.DedupeEventID, nil
	}
	if mapped {
		return timeline.DedupeEventID, nil
	}
	return timeline.DedupeNone, nil
}
