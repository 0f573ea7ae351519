// Package erase removes people from everything that has been published, and proves it:
// runs that hold them are published again without them, what others replaced is removed,
// and then every byte is searched for them.
package erase

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/tables"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/nightly"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/jobs/report"
	"github.com/shoal-data/shoal/jobs/runs"
	"github.com/shoal-data/shoal/jobs/segments"
)

// Options of People.
type Options struct {
	Config *config.Config // whose privacy.erased names the people
	// Refused removes those, too, who have not agreed by privacy.consents.
	Refused bool
	DryRun  bool // only search
	// Customers are ids to search for besides, in a dry run: whom a list does not name is
	// not erased, because the next run would bring them back.
	Customers []string
	FS        storage.FS
	Version   string
	Now       func() time.Time
}

// ProofVersion is the version of Proof that this program writes.
const ProofVersion = 1

// Directory is where proofs lie, under out.
const Directory = "erasures"

// A Proof says what was removed, and that nothing was found afterwards. It names nobody.
type Proof struct {
	ProofVersion int       `json:"proof_version"`
	ToolVersion  string    `json:"tool_version"`
	Began        time.Time `json:"began"`
	Finished     time.Time `json:"finished"`
	Out          string    `json:"out"`
	Lists        []List    `json:"lists"` // that name the people
	Refused      bool      `json:"refused"`
	// IDs counts the ids that were sought: all that the lists and the identity tables have
	// of the people, and their pseudonyms.
	IDs       int       `json:"ids"`
	Rewritten []Rewrite `json:"rewritten"`
	Removed   []string  `json:"removed"` // directories and files of runs that nobody reads, relative to out
	Search    *Search   `json:"search"`  // of everything under out, afterwards
	Clean     bool      `json:"clean"`   // nothing was found
	File      string    `json:"-"`
}

// A List is a file that names people.
type List struct {
	Path     string    `json:"path"`
	Bytes    int64     `json:"bytes"`
	Modified time.Time `json:"modified"`
}

// A Rewrite is a run that was published again without the people.
type Rewrite struct {
	Date    string           `json:"date"`
	Run     string           `json:"run_id"`
	Became  string           `json:"became"`
	Rows    map[string]int64 `json:"rows_removed"` // by table
	LeftOut []string         `json:"left_out"`     // files that are no tables and could not be without them
}

// People removes the people whom the lists name. Its error is ErrFound when something of
// them is left; the proof says where.
func People(ctx context.Context, o Options) (*Proof, error) {
	e := &eraser{Options: o, out: publish.Clean(o.Config.Out)}
	e.proof = &Proof{
		ProofVersion: ProofVersion, ToolVersion: o.Version, Began: o.Now().UTC(), Out: e.out, Refused: o.Refused,
		Lists: []List{}, Rewritten: []Rewrite{}, Removed: []string{},
	}
	if err := e.seek(ctx); err != nil {
		return nil, err
	}
	if !o.DryRun {
		if err := e.rewriteAll(ctx); err != nil {
			return nil, err
		}
		if err := e.collect(ctx); err != nil {
			return nil, err
		}
	}
	if err := e.prove(ctx); err != nil {
		return nil, err
	}
	if !e.proof.Clean && !o.DryRun {
		return e.proof, nightly.BadData(fmt.Errorf("%w: %s", ErrFound, e.found()))
	}
	return e.proof, nil
}

// ErrFound says that the people are not gone.
var ErrFound = errors.New("erase: something of the people is left")

type eraser struct {
	Options
	out    string
	sought *Sought
	key    scan.PseudonymKey
	proof  *Proof
}

// seek finds out under which ids the people may stand anywhere.
func (e *eraser) seek(ctx context.Context) error {
	p := &e.Config.Privacy
	if len(e.Customers) > 0 && !e.DryRun {
		return nightly.Usage(errors.New("--customer only searches, with --dry-run: to erase somebody, add the id to a list of privacy.erased, so that later runs keep to it, too"))
	}
	if len(p.Erased) == 0 && !(e.Refused && len(p.Consents) > 0) && len(e.Customers) == 0 {
		return nightly.Usage(errors.New("privacy.erased lists nobody: name the list of those who are to be forgotten there, so that later runs keep to it, too"))
	}
	var err error
	if e.key, err = p.PseudonymKey(); err != nil {
		return nightly.Usage(err)
	}
	source, err := e.Config.ScanInput()
	if err != nil {
		return nightly.Usage(err)
	}
	plan, err := source.Plan(ctx, e.FS)
	if err != nil {
		return nightly.Classify(err)
	}
	people, err := plan.Erased(ctx, e.Refused, e.Config.Limits.Workers.Count())
	if err != nil {
		return nightly.Classify(err)
	}
	var ids []string
	add := func(id string) {
		if ids = append(ids, id); e.key != nil {
			ids = append(ids, e.key.Of(id))
		}
	}
	for _, person := range people {
		add(person.ID)
	}
	for _, id := range e.Customers {
		add(id)
		holders, err := plan.Holders(ctx, id, e.Config.Limits.Workers.Count())
		if err != nil {
			return nightly.Classify(err)
		}
		for _, h := range holders {
			add(plan.IDType.Format(h.Customer))
		}
	}
	e.sought = NewSought(ids)
	e.proof.IDs = len(e.sought.texts)
	for _, f := range plan.Lookups {
		if strings.HasPrefix(f.Source, "privacy.erased") || e.Refused && strings.HasPrefix(f.Source, "privacy.consents") {
			e.proof.Lists = append(e.proof.Lists, List{f.Path, f.Size, f.ModTime.UTC()})
		}
	}
	return nil
}

// rewriteAll publishes the current run of each date again that has any of the people.
func (e *eraser) rewriteAll(ctx context.Context) error {
	l, err := runs.List(ctx, e.FS, e.out, e.Now())
	if err != nil {
		return nightly.StorageFault(err)
	}
	for _, r := range l.Runs {
		if r.State != runs.Current {
			continue
		}
		m, _, err := publish.ReadCurrent(ctx, e.FS, e.out, r.Date)
		if err != nil {
			return nightly.StorageFault(fmt.Errorf("run %s of %s cannot be read, so it is not known who is in it: restore it, or publish the date again with shoal run --force: %w", r.ID, r.Date, err))
		}
		if err := e.sameKey(m); err != nil {
			return err
		}
		if err := e.rewrite(ctx, m); err != nil {
			return nightly.StorageFault(err)
		}
	}
	return nil
}

// sameKey refuses a run whose pseudonyms are of a key that is not at hand: who is who in it
// cannot be known.
func (e *eraser) sameKey(m *publish.Manifest) error {
	var s nightly.Summary
	if err := json.Unmarshal(m.Summary, &s); err != nil {
		return nightly.BadData(fmt.Errorf("the manifest of run %s of %s has no summary: %w", m.RunID, m.Date, err))
	}
	if s.PseudonymKey == "" || e.key != nil && e.key.Fingerprint() == s.PseudonymKey {
		return nil
	}
	return nightly.Usage(fmt.Errorf("run %s of %s has pseudonyms of a key with fingerprint %s, and without it nobody can be found there: name that key in privacy.pseudonym_key_env and erase again, or publish the date again with the present one", m.RunID, m.Date, s.PseudonymKey))
}

// rewrite publishes a run again without the people; one that has none of them stays.
func (e *eraser) rewrite(ctx context.Context, m *publish.Manifest) (err error) {
	if found, err := e.holds(ctx, m); err != nil || !found {
		return err
	}
	opts := publish.DefaultOptions(e.out, m.Date, "")
	opts.FileSize, opts.Workers, opts.Now = int64(e.Config.Publish.FileSize), e.Config.Limits.Workers.Count(), e.Now
	hold, err := publish.Take(ctx, e.FS, opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, hold.Release()) }()
	// Another run may have been published while nobody held the date.
	now, ok, err := publish.ReadCurrent(ctx, e.FS, e.out, m.Date)
	if err != nil {
		return err
	}
	if !ok || now.RunID != m.RunID {
		return fmt.Errorf("%w: another run of %s was published meanwhile; erase again", publish.ErrBusy, m.Date)
	}
	ctx = hold.Context()
	var staging *publish.Staging
	id := nextID(m.RunID)
	for ; staging == nil; id = nextID(id) {
		staging, err = hold.Begin(ctx, id)
		if err != nil && !errors.Is(err, publish.ErrPublished) {
			return err
		}
		if staging != nil {
			break
		}
	}
	defer staging.Abort()
	r := Rewrite{Date: m.Date, Run: m.RunID, Became: id, Rows: map[string]int64{}, LeftOut: []string{}}
	for i := range m.Tables {
		if err := e.table(ctx, staging, m, &m.Tables[i], id, &r); err != nil {
			return err
		}
	}
	for _, f := range m.Models {
		if err := e.file(ctx, staging, m, f, &r); err != nil {
			return err
		}
	}
	for _, f := range m.Audiences {
		if err := e.audience(ctx, staging, f, &r); err != nil {
			return err
		}
	}
	next := *m
	if next.Summary, err = renamed(m.Summary, id, path.Join(e.out, strings.Replace(m.Path(), "run="+m.RunID, "run="+id, 1)), r.Rows); err != nil {
		return err
	}
	next.Warnings = append(slices.Clone(m.Warnings), publish.Warning{
		Code:    "privacy.erased",
		Message: fmt.Sprintf("this is run %s without the people who were to be forgotten; numbers about groups and models are as they were", m.RunID),
	})
	if m.Report != nil {
		page, err := e.page(ctx, staging, next)
		if err != nil {
			return err
		}
		if err := staging.Report(ctx, path.Base(m.Report.Path), page); err != nil {
			return err
		}
	}
	if err := staging.Commit(ctx, &next); err != nil {
		return err
	}
	e.proof.Rewritten = append(e.proof.Rewritten, r)
	return nil
}

// page is the page of a run from the tables that have just been written.
func (e *eraser) page(ctx context.Context, staging *publish.Staging, m publish.Manifest) ([]byte, error) {
	show := &report.Run{Manifest: &m, FS: e.FS, Path: staging.Written(&m)}
	p, err := publish.ReadPointer(ctx, e.FS, e.out)
	if err != nil {
		return nil, err
	}
	if dates := segments.Before(p, m.Date); len(dates) > 0 {
		switch before, _, err := publish.ReadCurrent(ctx, e.FS, e.out, dates[0]); {
		case err == nil:
			show.Before = report.Published(e.FS, e.out, before)
		case !errors.Is(err, publish.ErrDamaged) && !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return report.Render(ctx, show)
}

var erasedID = regexp.MustCompile(`^(.*)-erased(?:-([0-9]+))?$`)

// nextID is the id of a run that was id.
func nextID(id string) string {
	m := erasedID.FindStringSubmatch(id)
	if m == nil {
		return id + "-erased"
	}
	n, _ := strconv.Atoi(m[2])
	return fmt.Sprintf("%s-erased-%d", m[1], max(n, 1)+1)
}

// renamed is a run's summary under another id.
func renamed(summary json.RawMessage, id, manifest string, removed map[string]int64) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(summary, &fields); err != nil {
		return nil, fmt.Errorf("erase: the run's summary: %w", err)
	}
	var s nightly.Summary
	if err := json.Unmarshal(summary, &s); err != nil {
		return nil, fmt.Errorf("erase: the run's summary: %w", err)
	}
	s.RunID = id
	if s.Manifest != "" {
		s.Manifest = manifest
	}
	for name, n := range removed {
		s.Tables[name] -= n
	}
	return json.Marshal(&s)
}

// holds says whether any file of a run has any of the people.
func (e *eraser) holds(ctx context.Context, m *publish.Manifest) (bool, error) {
	for _, f := range files(m) {
		finds, _, _, err := e.sought.file(ctx, e.FS, publish.Join(e.out, f))
		if err != nil || len(finds) > 0 {
			return len(finds) > 0, err
		}
	}
	return false, nil
}

// files are the paths of all files of a run, relative to out.
func files(m *publish.Manifest) []string {
	var all []string
	for _, t := range m.Tables {
		for _, f := range t.Files {
			all = append(all, f.Path)
		}
	}
	for _, f := range slices.Concat(m.Models, m.Audiences) {
		all = append(all, f.Path)
	}
	if m.Report != nil {
		all = append(all, m.Report.Path)
	}
	return all
}

// table writes a table without the people's rows, under the new run's id.
func (e *eraser) table(ctx context.Context, staging *publish.Staging, m *publish.Manifest, t *publish.Table, id string, r *Rewrite) error {
	var w *publish.TableWriter
	for _, f := range t.Files {
		err := e.copyFile(ctx, publish.Join(e.out, f.Path), func(in *tables.File) (err error) {
			if w == nil {
				if w, err = staging.Table(t.Name, in.Schema()); err != nil {
					return err
				}
			}
			for rec, err := range in.Records(ctx) {
				if err != nil {
					return fmt.Errorf("%w: %s: %w", publish.ErrDamaged, f.Path, err)
				}
				kept, err := e.without(rec, id)
				if err != nil {
					return err
				}
				if n := rec.NumRows() - kept.NumRows(); n > 0 {
					r.Rows[t.Name] += n
				}
				if err := w.Write(kept); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return w.Close()
}

func (e *eraser) copyFile(ctx context.Context, file string, use func(*tables.File) error) error {
	f, err := e.FS.Open(ctx, file)
	if err != nil {
		return publish.OutputError("reading", file, err)
	}
	defer f.Close()
	in, err := tables.Open(f, f.Size())
	if err != nil {
		return fmt.Errorf("%w: %s: %w", publish.ErrDamaged, file, err)
	}
	return use(in)
}

// without is a record without the people's rows, whose run_id is the new one.
func (e *eraser) without(rec arrow.Record, id string) (arrow.Record, error) {
	schema := rec.Schema()
	var ids []int // columns that say whose a row is
	for j, f := range schema.Fields() {
		if isID(f.Name) {
			ids = append(ids, j)
		}
	}
	if len(ids) > 0 { // a sample of refused rows has an id that is none as the value at fault
		for j, f := range schema.Fields() {
			if f.Name == "value" && f.Type.ID() == arrow.STRING {
				ids = append(ids, j)
			}
		}
	}
	n := int(rec.NumRows())
	keep := make([]int, 0, n)
	for i := range n {
		if !slices.ContainsFunc(ids, func(j int) bool { return e.sought.is(rec.Column(j), i) }) {
			keep = append(keep, i)
		}
	}
	columns := make([]arrow.Array, rec.NumCols())
	for j := range columns {
		columns[j] = rec.Column(j)
		if schema.Field(j).Name == "run_id" && schema.Field(j).Type.ID() == arrow.STRING {
			b := array.NewStringBuilder(memory.DefaultAllocator)
			for range keep {
				b.Append(id)
			}
			columns[j] = b.NewArray()
			continue
		}
		if len(keep) < n {
			var err error
			if columns[j], err = pick(rec.Column(j), keep); err != nil {
				return nil, err
			}
		}
	}
	return array.NewRecord(schema, columns, int64(len(keep))), nil
}

// pick is the values of some rows.
func pick(col arrow.Array, rows []int) (arrow.Array, error) {
	var parts []arrow.Array
	for i := 0; i < len(rows); {
		end := i + 1
		for end < len(rows) && rows[end] == rows[end-1]+1 {
			end++
		}
		parts = append(parts, array.NewSlice(col, int64(rows[i]), int64(rows[end-1]+1)))
		i = end
	}
	if len(parts) == 0 {
		return array.NewSlice(col, 0, 0), nil
	}
	return array.Concatenate(parts, memory.DefaultAllocator)
}

// file copies a file that is no table, without the people: rows of CSV go, and a file of
// another kind that has any of them is left out.
func (e *eraser) file(ctx context.Context, staging *publish.Staging, m *publish.Manifest, f publish.File, r *Rewrite) error {
	name := path.Base(f.Path)
	data, err := publish.ReadModel(ctx, e.FS, e.out, m, name)
	if err != nil {
		return err
	}
	if strings.HasSuffix(name, ".csv") {
		if data, err = e.lines(data, name, r); err != nil {
			return err
		}
	}
	if e.sought.in(data, 0, len(data)) > 0 {
		r.LeftOut = append(r.LeftOut, name)
		return nil
	}
	return staging.Model(ctx, name, data)
}

// audience copies an audience file without the people. One whose rows do not say whose
// they are, but only how to reach somebody, is left out: nobody can be found in it.
func (e *eraser) audience(ctx context.Context, staging *publish.Staging, f publish.File, r *Rewrite) error {
	name := path.Base(f.Path)
	data, err := publish.ReadAudience(ctx, e.FS, e.out, f)
	if err != nil {
		return err
	}
	head, _, _ := bytes.Cut(data, []byte("\n"))
	if !slices.ContainsFunc(strings.Split(string(head), ","), isID) {
		r.LeftOut = append(r.LeftOut, name)
		return nil
	}
	before := r.Rows[name]
	if data, err = e.lines(data, name, r); err != nil {
		return err
	}
	return staging.Audience(ctx, name, data, f.Rows-(r.Rows[name]-before))
}

// lines is CSV without the lines that have an id in any field.
func (e *eraser) lines(data []byte, name string, r *Rewrite) ([]byte, error) {
	in := csv.NewReader(bytes.NewReader(data))
	in.FieldsPerRecord = -1
	var out bytes.Buffer
	for from := int64(0); ; from = in.InputOffset() {
		fields, err := in.Read()
		if err != nil {
			if in.InputOffset() < int64(len(data)) || len(fields) > 0 {
				return nil, fmt.Errorf("%w: %s: %w", publish.ErrDamaged, name, err)
			}
			return out.Bytes(), nil
		}
		if slices.ContainsFunc(fields, func(f string) bool { return e.sought.texts[f] || e.sought.in([]byte(f), 0, len(f)) > 0 }) {
			r.Rows[name]++
			continue
		}
		out.Write(data[from:in.InputOffset()])
	}
}

// collect removes all runs that nobody reads: those that were replaced, tonight or before,
// may hold the people.
func (e *eraser) collect(ctx context.Context) error {
	c, err := runs.Collect(ctx, runs.CollectOptions{FS: e.FS, Out: e.out, Keep: 0, Now: e.Now})
	if err != nil {
		return nightly.StorageFault(err)
	}
	for _, g := range c.Removed {
		e.proof.Removed = append(e.proof.Removed, g.Path)
	}
	if len(c.Busy) > 0 {
		return nightly.Transient(fmt.Errorf("a run of %s is at work, which may have begun before the list named everybody: erase again when it has ended", strings.Join(c.Busy, ", ")))
	}
	l, err := runs.List(ctx, e.FS, e.out, e.Now())
	if err != nil {
		return nightly.StorageFault(err)
	}
	for _, r := range l.Runs {
		if r.State == runs.Unnamed {
			if err := e.drop(ctx, r); err != nil {
				return nightly.StorageFault(err)
			}
		}
	}
	return nil
}

// drop removes a run that the pointer does not name, its manifest first.
func (e *eraser) drop(ctx context.Context, r runs.Run) (err error) {
	hold, err := publish.Take(ctx, e.FS, func() publish.Options {
		o := publish.DefaultOptions(e.out, r.Date, "")
		o.Now = e.Now
		return o
	}())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, hold.Release()) }()
	p, err := publish.ReadPointer(ctx, e.FS, e.out)
	if err != nil {
		return err
	}
	if p.Dates[r.Date].Run == r.ID {
		return nil
	}
	all, err := Files(ctx, e.FS, e.out)
	if err != nil {
		return err
	}
	at := "/ds=" + r.Date + "/run=" + r.ID
	dirs := []string{"manifests" + at}
	for _, f := range all {
		table, rest, _ := strings.Cut(strings.TrimPrefix(f.Path, e.out+"/"), "/")
		if strings.HasPrefix("/"+rest, at+"/") && !slices.Contains(dirs, table+at) {
			dirs = append(dirs, table+at)
		}
	}
	for _, dir := range dirs {
		if err := e.FS.RemoveAll(ctx, publish.Join(e.out, dir)); err != nil {
			return publish.OutputError("removing", dir, err)
		}
		e.proof.Removed = append(e.proof.Removed, dir)
	}
	return nil
}

// prove searches everything, and writes down what was done and found.
func (e *eraser) prove(ctx context.Context) error {
	var err error
	if e.proof.Search, err = e.sought.Find(ctx, e.FS, e.out); err != nil {
		return nightly.StorageFault(err)
	}
	e.proof.Clean = len(e.proof.Search.Found) == 0
	e.proof.Finished = e.Now().UTC()
	if e.DryRun {
		return nil
	}
	data, err := publish.Encode(e.proof)
	if err != nil {
		return err
	}
	dir := publish.Join(e.out, Directory)
	e.proof.File = dir + "/" + e.proof.Began.Format("20060102T150405.000000Z") + ".json"
	if _, err := e.FS.MakeDir(ctx, dir); err != nil {
		return nightly.StorageFault(publish.OutputError("making", dir, err))
	}
	if err := storage.WriteFile(ctx, e.FS, e.proof.File, data); err != nil {
		return nightly.StorageFault(publish.OutputError("writing", e.proof.File, err))
	}
	return nightly.StorageFault(publish.OutputError("syncing", dir, e.FS.SyncDir(ctx, dir)))
}

// found names some places where something is left.
func (e *eraser) found() string {
	var list []string
	for _, f := range e.proof.Search.Found[:min(5, len(e.proof.Search.Found))] {
		list = append(list, fmt.Sprintf("%s (%s, %d times)", f.Path, f.What, f.Hits))
	}
	if more := len(e.proof.Search.Found) - len(list); more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(list, "; ") + "; an id that is a common word is found where nobody is meant"
}
