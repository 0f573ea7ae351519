package nightly

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"golang.org/x/sync/errgroup"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/datause"
	"github.com/shoal-data/shoal/jobs/earlier"
	"github.com/shoal-data/shoal/jobs/modelfiles"
	"github.com/shoal-data/shoal/jobs/predict"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/jobs/report"
	"github.com/shoal-data/shoal/jobs/segments"
	"github.com/shoal-data/shoal/jobs/value"
)

// input is what the run is made from, before a row is read.
type input struct {
	plan        *scan.Plan
	fingerprint string
	config      json.RawMessage // effective
	configHash  string
	// pointer names the runs there were when this one began; the segments of the
	// one before it are part of its input.
	pointer  publish.Pointer
	before   string // date and id of that run, and of the others it is compared with; empty when there is none
	contacts uint64 // digest of what audiences have hashes of; 0 when there is none
	use      *publish.DataUse
	// These are what it is compared with; nil when there is none that can be read.
	previous, lastYear *earlier.Run
	matured            []string // dates of runs whose scores can be held against what happened
}

// open finds the files and takes the date, and stops when this very run is
// published already or could not be published anyway.
func (r *run) open(ctx context.Context) (*input, error) {
	in, err := r.find(ctx)
	if err != nil || r.summary.Status == StatusNoop {
		return in, err
	}
	opts := publish.DefaultOptions(r.Config.Out, r.Date, "")
	opts.FileSize, opts.Workers, opts.Now = int64(r.Config.Publish.FileSize), r.workers, r.Now
	if r.hold, err = publish.Take(ctx, r.FS, opts); err != nil {
		return nil, StorageFault(err)
	}
	// Whoever held it until now may have published this very run.
	if err := r.repeats(ctx, in); err != nil || r.summary.Status == StatusNoop {
		return in, err
	}
	for _, w := range in.plan.Warnings {
		r.warn(warning("input.plan", w))
	}
	return in, nil
}

// find finds the files, and notes when this very run is published already. It
// writes nothing.
func (r *run) find(ctx context.Context) (*input, error) {
	in := &input{configHash: r.Config.Hash()}
	var err error
	if in.config, err = r.Config.Effective(); err != nil {
		return nil, err
	}
	families, err := r.families()
	if err != nil {
		return nil, err
	}
	if err := r.plan(ctx, in, families); err != nil {
		return nil, err
	}
	if err := requireDate(r.Config, in.plan.Files, r.Date); err != nil {
		return nil, err
	}
	if err := r.checkAudiences(in.plan); err != nil {
		return nil, err
	}
	if in.pointer, err = publish.ReadPointer(ctx, r.FS, r.Config.Out); err != nil {
		return nil, StorageFault(err)
	}
	if dates := segments.Before(in.pointer, r.Date); len(dates) > 0 {
		in.before = dates[0] + " " + in.pointer.Dates[dates[0]].Run
	}
	if err := r.lookBack(ctx, in); err != nil {
		return nil, err
	}
	in.fingerprint = fingerprint(in.plan, in.before)
	r.summary.PseudonymKey = in.plan.KeyFingerprint()
	r.summary.AsOf = instant(r.asOf.Instant)
	r.Log.Info().Str("date", r.Date).Int("files", len(in.plan.Files)).Int64("rows", in.plan.Rows).Int64("bytes", in.plan.Bytes).Int("workers", r.workers).Msg("input found")
	return in, r.repeats(ctx, in)
}

// repeats notes when this very run is published already.
func (r *run) repeats(ctx context.Context, in *input) error {
	if r.Force {
		return nil
	}
	m, same, err := publish.FindNoop(ctx, r.FS, r.Config.Out, r.Date, in.fingerprint, in.configHash, r.Version)
	if err == nil && same {
		r.noop(m)
	}
	return StorageFault(err)
}

// families are those that the configuration asks for and the run needs.
func (r *run) families() ([]features.Family, error) {
	fs, err := features.Select(r.Config.FeatureParams(), r.Config.Features.Families)
	if err != nil {
		return nil, Usage(err)
	}
	return fs, nil
}

// plan finds the files and checks that they are as configured.
func (r *run) plan(ctx context.Context, in *input, families []features.Family) error {
	source, err := r.Config.ScanInput()
	if err != nil {
		return err
	}
	if source.Pseudonyms, err = r.Config.Privacy.PseudonymKey(); err != nil {
		return Usage(err)
	}
	for i := range source.Sources {
		r.prune(source.Sources[i].Columns, families)
	}
	if !features.Reads(families, datasets.Amount) {
		source.Rates = nil
	}
	in.use = datause.Of(r.Config, source, families, r.Date)
	return r.step("plan", func() error {
		in.plan, err = source.Plan(ctx, r.FS)
		return Classify(err)
	})
}

// prune drops the columns that nothing asks for: they are not read.
func (r *run) prune(columns map[datasets.Field]string, families []features.Family) {
	for f := range columns {
		if slices.ContainsFunc(r.Config.Targets, func(t config.Target) bool { return t.Reads(f) }) {
			continue
		}
		switch f {
		case datasets.CustomerID, datasets.EventTime, datasets.EventType, datasets.Consent:
			continue
		case datasets.EventID: // only duplicates are told by it
			if r.Config.Dedupe == config.DedupeNone {
				delete(columns, f)
			}
			continue
		case datasets.Currency: // says what an amount is
			if !features.Reads(families, datasets.Amount) {
				delete(columns, f)
			}
			continue
		}
		// Exact duplicates agree in every mapped field.
		if r.Config.Dedupe != config.DedupeExact && !features.Reads(families, f) {
			delete(columns, f)
		}
	}
}

// noop fills the summary from the run that is already there.
func (r *run) noop(m *publish.Manifest) {
	s := *r.summary
	if json.Unmarshal(m.Summary, r.summary) != nil {
		*r.summary = s
	}
	r.summary.Status, r.summary.RunID, r.summary.Out = StatusNoop, m.RunID, r.Config.Out
	r.summary.Manifest = publish.Join(publish.Clean(r.Config.Out), m.Path())
	r.summary.Stages, r.summary.Warnings, r.summary.Held = nil, nil, nil
	r.Log.Info().Str("run_id", m.RunID).Msg("nothing to do: the same run is published")
}

// fingerprint identifies the input files as they lie there, without reading
// them, and the run that this one continues.
func fingerprint(p *scan.Plan, before string) string {
	h := sha256.New()
	if before != "" {
		fmt.Fprintf(h, "continues %s\n", before)
	}
	if key := p.KeyFingerprint(); key != "" {
		fmt.Fprintf(h, "pseudonyms %s\n", key)
	}
	for _, f := range append(slices.Clone(p.Files), p.Lookups...) {
		fmt.Fprintf(h, "%q %q %d %d %s\n", f.Source, f.Path, f.Size, f.ModTime.UnixNano(), f.Footer)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// StorageFault marks an error of reading or writing what is published.
func StorageFault(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	switch {
	case publish.Transient(err):
		return Transient(err)
	case publish.Unfit(err): // a retry would find the same place
		return Usage(err)
	case errors.Is(err, publish.ErrDamaged):
		return BadData(err)
	}
	return err
}

// runID names the run after its content: the same events, configuration, date,
// version and run before make the same id, wherever the events lay.
func (r *run) runID(h *history, in *input) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s\n%016x %d %d\n%s\n", r.Date, in.configHash, r.Version, h.census.Digest, h.census.Events, h.census.Customers, in.before))
	if in.contacts != 0 {
		sum = sha256.Sum256(fmt.Appendf(sum[:], "contacts %016x\n", in.contacts))
	}
	return hex.EncodeToString(sum[:8])
}

// contacts looks at the contacts that audiences have hashes of: they are content of the run.
func (r *run) contacts(ctx context.Context, in *input) error {
	if !slices.ContainsFunc(r.Config.Audiences, func(a config.Audience) bool { return len(a.Hashed) > 0 }) {
		return nil
	}
	var err error
	in.contacts, err = in.plan.ContactsDigest(ctx, r.workers)
	return Classify(err)
}

// publish writes every table and swaps the pointer.
func (r *run) publish(ctx context.Context, in *input, h *history, t *table, g *groups, all []*predict.Answer, v *value.Forecast) error {
	return r.step("publish", func() error {
		if err := r.contacts(ctx, in); err != nil {
			return err
		}
		staging, noop, err := r.begin(ctx, h, in)
		if err != nil || noop {
			return err
		}
		defer staging.Abort()
		tables, err := r.tabulate(ctx, in, h, t, g, all, v)
		if err != nil {
			return err
		}
		r.summary.Tables = map[string]int64{}
		for i, table := range tables {
			table = table.Suppress(r.Config.Privacy.SmallestSegment)
			w, err := staging.Table(table.Name, table.Schema)
			if err != nil {
				return StorageFault(err)
			}
			r.summary.Tables[table.Name] = 0
			err = ahead(ctx, table.Records, func(rec arrow.Record) error {
				r.summary.Tables[table.Name] += rec.NumRows()
				return w.Write(rec)
			})
			if err == nil {
				err = w.Close()
			}
			if err != nil {
				return StorageFault(err)
			}
			r.progress("publish", int64(i+1), int64(len(tables)))
		}
		files, err := modelfiles.Of(r.modelRun(), all, v)
		if err != nil {
			return err
		}
		for _, f := range files {
			if err := staging.Model(ctx, f.Name, f.Data); err != nil {
				return StorageFault(err)
			}
		}
		if err := r.audiences(ctx, in, tables[0], staging); err != nil {
			return err
		}
		if err := r.report(ctx, in, staging); err != nil {
			return err
		}
		m, err := r.manifest(in)
		if err != nil {
			return err
		}
		if err := staging.Commit(ctx, m); err != nil {
			return StorageFault(err)
		}
		r.summary.Manifest = publish.Join(publish.Clean(r.Config.Out), m.Path())
		return nil
	})
}

// ahead makes a table's records while those before are being written.
func ahead(ctx context.Context, records func(yield func(arrow.Record) error) error, write func(arrow.Record) error) error {
	g, alive := errgroup.WithContext(ctx)
	made := make(chan arrow.Record, 2)
	g.Go(func() error {
		defer close(made)
		return records(func(rec arrow.Record) error {
			select {
			case made <- rec:
				return nil
			case <-alive.Done():
				return context.Cause(alive)
			}
		})
	})
	g.Go(func() error {
		for rec := range made {
			if err := write(rec); err != nil {
				return err
			}
		}
		return nil
	})
	return g.Wait()
}

// begin opens the staging area under the first free id. It says noop when the
// date already points at a run of the same content made from other files.
func (r *run) begin(ctx context.Context, h *history, in *input) (_ *publish.Staging, noop bool, err error) {
	base := r.runID(h, in)
	for n := 1; ; n++ {
		id := base
		if n > 1 {
			id = fmt.Sprintf("%s-%d", base, n)
		}
		staging, err := r.hold.Begin(ctx, id)
		if !errors.Is(err, publish.ErrPublished) {
			r.summary.RunID = id
			r.summary.Status = StatusPublished
			return staging, false, StorageFault(err)
		}
		if r.Force {
			continue
		}
		m, ok, err := publish.ReadCurrent(ctx, r.FS, r.Config.Out, r.Date)
		damage := ""
		switch {
		case ok && (errors.Is(err, publish.ErrDamaged) || errors.Is(err, fs.ErrNotExist)):
			damage = err.Error()
		case err != nil:
			return nil, false, StorageFault(err)
		case !ok || m.RunID != id:
			continue
		default:
			problems, err := publish.Verify(ctx, r.FS, r.Config.Out, m, false)
			if err != nil {
				return nil, false, StorageFault(err)
			}
			if len(problems) == 0 {
				r.noop(m)
				return nil, true, nil
			}
			damage = problems[0].String()
		}
		r.warn(warning("publish.damaged", fmt.Sprintf("the published run %s is damaged (%s), so another is published in its place", id, damage)))
	}
}

// report writes the page that shows the run, from the tables as they were just
// written. A night is not lost for want of its page: what goes wrong twice, so not only
// for a moment, is a warning.
func (r *run) report(ctx context.Context, in *input, staging *publish.Staging) error {
	page, err := r.page(ctx, in, staging)
	if err != nil && ctx.Err() == nil {
		page, err = r.page(ctx, in, staging)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		r.warn(warning("report.failed", fmt.Sprintf("the report could not be made (%v): everything else is published; shoal report %s makes it from the tables", err, r.summary.RunID)))
		return nil
	}
	return StorageFault(staging.Report(ctx, report.Name, page))
}

func (r *run) page(ctx context.Context, in *input, staging *publish.Staging) (page []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a fault of the program: %v", p)
		}
	}()
	m, err := r.manifest(in)
	if err != nil {
		return nil, err
	}
	show := &report.Run{Manifest: m, FS: r.FS, Path: staging.Written(m)}
	if show.Before, err = r.runBefore(ctx, in); err != nil {
		return nil, err
	}
	return report.Render(ctx, show)
}

// modelRun is what model cards say of the run.
func (r *run) modelRun() modelfiles.Run {
	i := r.summary.Input
	return modelfiles.Run{ID: r.summary.RunID, Date: r.Date, Version: r.Version, Customers: i.Customers, Events: i.Events, First: i.First, Last: i.Last}
}

func (r *run) manifest(in *input) (*publish.Manifest, error) {
	m := &publish.Manifest{
		ToolVersion: r.Version, AsOf: time.UnixMicro(r.asOf.Instant).UTC(),
		InputFingerprint: in.fingerprint, ConfigHash: in.configHash, Config: in.config, DataUse: in.use,
	}
	for _, f := range append(slices.Clone(in.plan.Files), in.plan.Lookups...) {
		m.Inputs = append(m.Inputs, publish.Input{Path: f.Path, Bytes: f.Size, Modified: f.ModTime, FooterHash: f.Footer})
	}
	i := r.summary.Input
	m.Counters = map[string]int64{
		"rows_read": i.RowsRead, "rows_rejected": i.RowsRejected, "rows_after": i.RowsAfter, "rows_without_consent": i.Withheld, "rows_erased": i.Erased,
		"duplicates_removed": i.Duplicates, "events": i.Events, "customers": i.Customers,
	}
	if d := i.Identity; d != nil {
		m.Counters["aliases"], m.Counters["customers_merged"], m.Counters["rows_rekeyed"] = d.Aliases, d.CustomersMerged, d.RowsRekeyed
	}
	for _, n := range i.Converted {
		m.Counters["amounts_converted"] += n
	}
	for _, w := range r.summary.Warnings {
		m.Warnings = append(m.Warnings, publish.Warning{Code: w.Code, Message: w.Message})
	}
	r.measure() // the next night's plan goes by it
	var err error
	m.Summary, err = json.Marshal(r.summary)
	return m, err
}

// summaryOf is what a published run said of itself.
func summaryOf(m *publish.Manifest) (*Summary, error) {
	var s Summary
	if err := json.Unmarshal(m.Summary, &s); err != nil {
		return nil, BadData(fmt.Errorf("the manifest of run %s has no summary: %w", m.RunID, err))
	}
	return &s, nil
}

// Published reads the run that the pointer names for a date, and its summary.
func Published(ctx context.Context, fsys storage.FS, out, date string) (*publish.Manifest, *Summary, error) {
	m, ok, err := publish.ReadCurrent(ctx, fsys, out, date)
	if err != nil {
		return nil, nil, StorageFault(err)
	}
	if !ok {
		return nil, nil, NoInput(fmt.Errorf("%s: no run is published for %s: %w", out, date, fs.ErrNotExist))
	}
	s, err := summaryOf(m)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", out, err)
	}
	return m, s, nil
}
