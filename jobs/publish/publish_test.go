package publish_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/storage/storagetest"
	"github.com/shoal-data/shoal/datasets/tables"
	"github.com/shoal-data/shoal/jobs/publish"
)

var update = flag.Bool("update", false, "rewrite golden files")

const (
	out  = "lake/shoal"
	date = "2026-03-01"
)

var start = time.Date(2026, 3, 2, 4, 0, 0, 0, time.UTC)

// at is a clock that stands still.
func at(t time.Time) func() time.Time { return func() time.Time { return t } }

func options(run string) publish.Options {
	o := publish.DefaultOptions(out, date, run)
	o.Workers = 1
	o.Now = at(start)
	return o
}

var scoreSchema = arrow.NewSchema([]arrow.Field{
	{Name: "customer_id", Type: arrow.BinaryTypes.String, Metadata: arrow.NewMetadata([]string{"meaning"}, []string{"The customer."})},
	{Name: "churn", Type: arrow.PrimitiveTypes.Float64, Metadata: arrow.NewMetadata([]string{"unit", "meaning"}, []string{"probability", "Chance of leaving."})},
	{Name: "value", Type: tables.Money, Metadata: arrow.NewMetadata([]string{"unit"}, []string{"currency"})},
}, nil)

var segmentSchema = arrow.NewSchema([]arrow.Field{{Name: "segment", Type: arrow.PrimitiveTypes.Int32}, {Name: "members", Type: arrow.PrimitiveTypes.Int64}}, nil)

// scores are rows whose values tell which seed made them.
func scores(seed, rows int) arrow.Record {
	b := array.NewRecordBuilder(memory.DefaultAllocator, scoreSchema)
	for i := range rows {
		b.Field(0).(*array.StringBuilder).Append(fmt.Sprintf("customer-%d", i))
		b.Field(1).(*array.Float64Builder).Append(float64(seed) + float64(i)/float64(rows))
		b.Field(2).(*array.Decimal128Builder).Append(decimal128.FromI64(int64(seed)*10_000 + int64(i)))
	}
	return b.NewRecord()
}

func segments(seed int) arrow.Record {
	b := array.NewRecordBuilder(memory.DefaultAllocator, segmentSchema)
	for i := range 4 {
		b.Field(0).(*array.Int32Builder).Append(int32(i))
		b.Field(1).(*array.Int64Builder).Append(int64(seed))
	}
	return b.NewRecord()
}

// tablesOf are the tables of one small run.
func tablesOf(seed int) map[string]arrow.Record {
	return map[string]arrow.Record{"customer_scores": scores(seed, 100), "segments": segments(seed)}
}

func manifest(seed int) *publish.Manifest {
	return &publish.Manifest{
		ToolVersion: "0.1.0", AsOf: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC),
		Inputs:           []publish.Input{{Path: "lake/events/ds=2026-03-01/a.parquet", Bytes: 123, Modified: start.Add(-time.Hour), FooterHash: "f00"}},
		InputFingerprint: fmt.Sprintf("inputs-%d", seed), ConfigHash: "config-1", Config: json.RawMessage(`{"out":"lake/shoal"}`),
		Counters: map[string]int64{"events": 1000}, Warnings: []publish.Warning{{Code: "few_members", Message: "segment 3 has 4 members"}},
	}
}

// run publishes one small run.
func run(ctx context.Context, fsys storage.FS, o publish.Options, seed int) error {
	s, err := publish.Begin(ctx, fsys, o)
	if err != nil {
		return err
	}
	fail := func(err error) error { return errors.Join(err, s.Abort()) }
	t, err := s.Table("customer_scores", scoreSchema)
	if err != nil {
		return fail(err)
	}
	for range 2 {
		if err := t.Write(scores(seed, 50)); err != nil {
			return fail(err)
		}
	}
	if t, err = s.Table("segments", segmentSchema); err != nil {
		return fail(err)
	}
	if err := t.Write(segments(seed)); err != nil {
		return fail(err)
	}
	if err := s.Model(ctx, "churn.json", fmt.Appendf(nil, "{\"seed\": %d}", seed)); err != nil {
		return fail(err)
	}
	if err := s.Commit(ctx, manifest(seed)); err != nil {
		return fail(err)
	}
	return nil
}

// current reads what a reader sees of the date: which seed wrote it, 0 for
// none. Anything but one whole run is an error.
func current(fsys storage.FS) (int, error) {
	ctx := context.Background()
	m, ok, err := publish.ReadCurrent(ctx, fsys, out, date)
	if err != nil || !ok {
		return 0, err
	}
	problems, err := publish.Verify(ctx, fsys, out, m, true)
	if err != nil || len(problems) > 0 {
		return 0, fmt.Errorf("problems %v: %w", problems, err)
	}
	if len(m.Tables) != 2 || m.Table("customer_scores").Rows != 100 || m.Table("segments").Rows != 4 {
		return 0, fmt.Errorf("tables are %+v", m.Tables)
	}
	var seed int
	if _, err := fmt.Sscanf(m.InputFingerprint, "inputs-%d", &seed); err != nil {
		return 0, err
	}
	if len(m.Models) > 0 { // run writes one
		model, err := publish.ReadModel(ctx, fsys, out, m, "churn.json")
		if err != nil {
			return 0, err
		}
		if want := fmt.Sprintf("{\"seed\": %d}", seed); string(model) != want {
			return 0, fmt.Errorf("the model is %s, of run %d", model, seed)
		}
	}
	for _, t := range m.Tables {
		for _, file := range t.Files {
			f, err := fsys.Open(ctx, out+"/"+file.Path)
			if err != nil {
				return 0, err
			}
			recs, err := tables.Read(ctx, f, f.Size())
			if err != nil {
				return 0, err
			}
			got := 0
			switch c := recs[0].Column(1).(type) {
			case *array.Float64:
				got = int(c.Value(0))
			case *array.Int64:
				got = int(c.Value(0))
			}
			if got != seed {
				return 0, fmt.Errorf("table %s is of run %d, the manifest of run %d", t.Name, got, seed)
			}
		}
	}
	return seed, nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func contains(t testing.TB, err error, want ...string) {
	t.Helper()
	for _, w := range want {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("error does not contain %q: %v", w, err)
		}
	}
}

func TestPublish(t *testing.T) {
	m := storagetest.NewMem()
	must(t, run(t.Context(), m, options("a"), 1))
	want := []string{
		"lake/", "lake/shoal/", "lake/shoal/current.json",
		"lake/shoal/customer_scores/", "lake/shoal/customer_scores/ds=2026-03-01/", "lake/shoal/customer_scores/ds=2026-03-01/run=a/",
		"lake/shoal/customer_scores/ds=2026-03-01/run=a/part-00000.parquet",
		"lake/shoal/manifests/", "lake/shoal/manifests/ds=2026-03-01/", "lake/shoal/manifests/ds=2026-03-01/run=a/",
		"lake/shoal/manifests/ds=2026-03-01/run=a/_SUCCESS", "lake/shoal/manifests/ds=2026-03-01/run=a/manifest.json",
		"lake/shoal/models/", "lake/shoal/models/ds=2026-03-01/", "lake/shoal/models/ds=2026-03-01/run=a/", "lake/shoal/models/ds=2026-03-01/run=a/churn.json",
		"lake/shoal/segments/", "lake/shoal/segments/ds=2026-03-01/", "lake/shoal/segments/ds=2026-03-01/run=a/",
		"lake/shoal/segments/ds=2026-03-01/run=a/part-00000.parquet",
	}
	if diff := cmp.Diff(want, m.Tree()); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	if seed, err := current(m); seed != 1 || err != nil {
		t.Errorf("readers see run %d, %v", seed, err)
	}
	// A second run of the date, and one of an earlier date.
	must(t, run(t.Context(), m, options("b"), 2))
	earlier := options("a")
	earlier.Date = "2026-02-28"
	must(t, run(t.Context(), m, earlier, 3))
	if seed, err := current(m); seed != 2 || err != nil {
		t.Errorf("readers see run %d, %v", seed, err)
	}
	p, err := publish.ReadPointer(t.Context(), m, out)
	if err != nil || p.Latest != date || len(p.Dates) != 2 || p.Dates[date].Run != "b" || p.Dates["2026-02-28"].Run != "a" {
		t.Errorf("pointer is %+v, %v", p, err)
	}
	// The run that was replaced stays readable by its name.
	old, err := publish.ReadManifest(t.Context(), m, out, date, "a")
	if err != nil || old.RunID != "a" {
		t.Errorf("ReadManifest(a) = %v, %v", old, err)
	}
	if _, err := publish.ReadManifest(t.Context(), m, out, date, "c"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadManifest of a run that is not there: %v", err)
	}
}

func TestManifestGolden(t *testing.T) {
	m := storagetest.NewMem()
	must(t, run(t.Context(), m, options("20260302T040000"), 1))
	var got bytes.Buffer
	for _, name := range []string{"current.json", "manifests/ds=2026-03-01/run=20260302T040000/_SUCCESS", "manifests/ds=2026-03-01/run=20260302T040000/manifest.json"} {
		data, err := storage.ReadFile(t.Context(), m, out+"/"+name, 1<<20)
		must(t, err)
		fmt.Fprintf(&got, "== %s\n%s", name, data)
	}
	// Where the test runs shows in the environment, and so in the checksums of the manifest.
	c, err := publish.ReadPointer(t.Context(), m, out)
	must(t, err)
	r, err := publish.ReadManifest(t.Context(), m, out, date, "20260302T040000")
	must(t, err)
	normal := strings.NewReplacer(c.Dates[date].SHA256, "<sha256 of the manifest>", `"`+r.Environment.Go+`"`, `"<go>"`,
		`"`+r.Environment.OS+`"`, `"<os>"`, `"`+r.Environment.Arch+`"`, `"<arch>"`).Replace(got.String())

	const golden = "testdata/run.golden"
	if *update {
		must(t, os.WriteFile(golden, []byte(normal), 0o666))
	}
	want, err := os.ReadFile(golden)
	must(t, err)
	if diff := cmp.Diff(string(want), normal); diff != "" {
		t.Errorf("run with -update if this is meant (-want +got):\n%s", diff)
	}
}

func TestOptionsFaults(t *testing.T) {
	_, err := publish.Begin(t.Context(), storagetest.NewMem(), publish.Options{Date: "1 March", RunID: "../x"})
	contains(t, err, "Out is empty", `Date ("1 March")`, `RunID ("../x")`, "FileSize (0) must be >= 1", "Workers (0) must be >= 1", "Lease (0s) must be >= 1s", "Now is nil")
	if publish.Transient(err) {
		t.Error("a fault of the caller is not transient")
	}
}

func TestErrPublished(t *testing.T) {
	m := storagetest.NewMem()
	must(t, run(t.Context(), m, options("a"), 1))
	must(t, run(t.Context(), m, options("b"), 2))
	before := m.Tree()
	for _, id := range []string{"a", "b"} { // the current run and the one it replaced
		err := run(t.Context(), m, options(id), 3)
		if !errors.Is(err, publish.ErrPublished) || publish.Transient(err) {
			t.Errorf("publishing %s again: %v, transient %t", id, err, publish.Transient(err))
		}
	}
	if diff := cmp.Diff(before, m.Tree()); diff != "" {
		t.Errorf("a refused run left traces (-want +got):\n%s", diff)
	}
}

// contents maps every file to what it holds.
func contents(t testing.TB, m *storagetest.Mem) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, p := range m.Tree() {
		if strings.HasSuffix(p, "/") {
			files[p] = ""
			continue
		}
		data, err := storage.ReadFile(context.Background(), m, p, 1<<30)
		must(t, err)
		files[p] = string(data)
	}
	return files
}

// base is an output with one run of the date and one of another, or nothing.
func base(t testing.TB, empty bool) *storagetest.Mem {
	m := storagetest.NewMem()
	m.Now = at(start)
	if !empty {
		other := options("x")
		other.Date = "2026-02-28"
		must(t, run(context.Background(), m, other, 9))
		must(t, run(context.Background(), m, options("old"), 1))
	}
	return m
}

// operations is the number of operations of a publish that succeeds.
func operations(t testing.TB, empty bool) int {
	f := storagetest.NewFaulty(base(t, empty), storagetest.Plan{})
	must(t, run(context.Background(), f, options("new"), 2))
	return len(f.Trace())
}

// rerun is what a scheduler does next: the same run, some time later.
func rerun(fsys storage.FS) error {
	o := options("new")
	o.Now = at(start.Add(time.Hour))
	return run(context.Background(), fsys, o, 2)
}

// data is what was published, manifests (which hold times) aside.
func data(files map[string]string) map[string]string {
	out := map[string]string{}
	for name, content := range files {
		if strings.HasSuffix(name, ".parquet") {
			out[name] = content
		}
	}
	return out
}

// TestFaultSweep fails each operation in turn. A run that reports an error has
// left everything as it was; one that reports none is published.
func TestFaultSweep(t *testing.T) {
	for _, empty := range []bool{true, false} {
		clean := base(t, empty)
		must(t, rerun(clean))
		want := data(contents(t, clean))
		total := operations(t, empty)
		if total < 50 {
			t.Fatalf("%d operations: the sweep sweeps nothing", total)
		}
		failed := 0
		for i := 1; i <= total; i++ {
			m := base(t, empty)
			before := contents(t, m)
			f := storagetest.NewFaulty(m, storagetest.Plan{At: i, Err: syscall.EIO})
			err := run(context.Background(), f, options("new"), 2)
			what := fmt.Sprintf("empty=%t: operation %d (%s)", empty, i, f.Trace()[i-1])

			seed, readErr := current(m)
			switch {
			case readErr != nil:
				t.Errorf("%s: readers fail: %v", what, readErr)
			case seed == 2:
				if err != nil {
					t.Errorf("%s: published, yet the error is %v", what, err)
				}
			case err == nil:
				t.Errorf("%s: no error, and nothing published", what)
			default:
				failed++
				if !publish.Transient(err) {
					t.Errorf("%s: not transient: %v", what, err)
				}
				if diff := cmp.Diff(before, contents(t, m)); diff != "" {
					t.Errorf("%s: left behind (-before +after):\n%s", what, diff)
				}
				if err := rerun(m); err != nil {
					t.Errorf("%s: the next run fails: %v", what, err)
				} else if diff := cmp.Diff(want, data(contents(t, m))); diff != "" {
					t.Errorf("%s: the next run differs", what)
				}
			}
		}
		t.Logf("empty=%t: %d operations, %d of them fail the run", empty, total, failed)
	}
}

// TestLostAnswerSweep lets each operation take effect and then report failure.
// What is published must be whole, what is not must leave nothing visible.
func TestLostAnswerSweep(t *testing.T) {
	total := operations(t, false)
	for i := 1; i <= total; i++ {
		m := base(t, false)
		f := storagetest.NewFaulty(m, storagetest.Plan{At: i, Err: syscall.EIO, After: true})
		err := run(context.Background(), f, options("new"), 2)
		what := fmt.Sprintf("operation %d (%s)", i, f.Trace()[i-1])
		seed, readErr := current(m)
		if readErr != nil || seed == 0 {
			t.Errorf("%s: readers see run %d, %v", what, seed, readErr)
		}
		if (seed == 2) != (err == nil) {
			t.Errorf("%s: readers see run %d, the error is %v", what, seed, err)
		}
		if seed == 2 {
			continue
		}
		for _, p := range m.Tree() {
			if strings.Contains(p, "run=new") && !strings.Contains(p, "/.") {
				t.Errorf("%s: %s was left", what, p)
			}
		}
		if err := rerun(m); err != nil {
			t.Errorf("%s: the next run fails: %v", what, err)
		}
	}
}

// The answer to the swap is lost, and then the pointer cannot be read: nobody
// knows whether the run is published, so nothing of it may be removed.
func TestUnknownOutcome(t *testing.T) {
	probe := storagetest.NewFaulty(base(t, false), storagetest.Plan{})
	must(t, run(t.Context(), probe, options("new"), 2))
	swap := 1 + slices.IndexFunc(probe.Trace(), func(op string) bool {
		return strings.HasPrefix(op, "rename ") && strings.HasSuffix(op, "→ "+out+"/current.json")
	})
	for took, want := range map[bool]int{true: 2, false: 1} {
		m := base(t, false)
		f := storagetest.NewFaulty(m, storagetest.Plan{At: swap, Also: 1, Err: syscall.EIO, After: took})
		err := run(t.Context(), f, options("new"), 2)
		if !publish.Transient(err) {
			t.Errorf("took=%t: %v", took, err)
		}
		contains(t, err, "unknown whether run new is published")
		if seed, err := current(m); seed != want || err != nil {
			t.Errorf("took=%t: readers see run %d, %v", took, seed, err)
		}
		if err := rerun(m); took && !errors.Is(err, publish.ErrPublished) || !took && err != nil {
			t.Errorf("took=%t: the next run: %v", took, err)
		}
		if seed, err := current(m); seed != 2 || err != nil {
			t.Errorf("took=%t: after the next run readers see run %d, %v", took, seed, err)
		}
	}
}

// TestCrashSweep kills the process at each operation, keeps what a power
// failure would keep, and runs again.
func TestCrashSweep(t *testing.T) {
	for _, empty := range []bool{true, false} {
		clean := base(t, empty)
		must(t, rerun(clean))
		want := data(contents(t, clean))
		total := operations(t, empty)
		for i := 1; i <= total; i++ {
			for _, after := range []bool{false, true} {
				killed := base(t, empty)
				f := storagetest.NewFaulty(killed, storagetest.Plan{At: i, Err: syscall.EIO, Kill: true, After: after})
				runErr := run(context.Background(), f, options("new"), 2)
				for k, keep := range []float64{0, 0.5, 0.5, 1} { // 1 last: it runs in the tree itself
					m := killed
					if keep < 1 { // all kept: the process died, the machine did not
						m = killed.Crash(keep, rand.New(rand.NewPCG(uint64(i), uint64(k))))
					}
					what := fmt.Sprintf("empty=%t: killed at operation %d (%s), after=%t, keep=%v", empty, i, f.Trace()[i-1], after, keep)
					seed, err := current(m)
					if err != nil {
						t.Errorf("%s: readers fail: %v", what, err)
						continue
					}
					if !empty && seed == 0 {
						t.Errorf("%s: the old run is gone", what)
					}
					if runErr == nil && seed != 2 {
						t.Errorf("%s: a run that reported success is lost", what)
					}
					before := data(contents(t, m))
					err = rerun(m)
					if seed == 2 {
						if !errors.Is(err, publish.ErrPublished) {
							t.Errorf("%s: the run is published, but again: %v", what, err)
						}
						if diff := cmp.Diff(before, data(contents(t, m))); diff != "" {
							t.Errorf("%s: the next run touched it", what)
						}
					} else if err != nil {
						t.Errorf("%s: the next run fails: %v", what, err)
					}
					if seed, err := current(m); seed != 2 || err != nil {
						t.Errorf("%s: after the next run readers see run %d, %v", what, seed, err)
					}
					if diff := cmp.Diff(want, data(contents(t, m))); diff != "" {
						t.Errorf("%s: files differ after the next run", what)
					}
					for _, p := range m.Tree() {
						if strings.HasPrefix(path.Base(p), ".") {
							t.Errorf("%s: %s is left after the next run", what, p)
						}
					}
				}
			}
		}
	}
}

// TestNoSpace fills the disk after every so many bytes.
func TestNoSpace(t *testing.T) {
	full, written := false, int64(0)
	for space := int64(0); !full; space += 97 {
		m := base(t, false)
		before := contents(t, m)
		err := run(t.Context(), storagetest.NewFaulty(m, storagetest.Plan{Full: true, Space: space}), options("new"), 2)
		if full = err == nil; full {
			written = space
			continue
		}
		if !errors.Is(err, syscall.ENOSPC) || !publish.Transient(err) {
			t.Errorf("%d bytes free: %v", space, err)
		}
		contains(t, err, "no space left writing lake/shoal/.", "free space or point out elsewhere")
		if diff := cmp.Diff(before, contents(t, m)); diff != "" {
			t.Errorf("%d bytes free: left behind (-before +after):\n%s", space, diff)
		}
	}
	if written < 3000 {
		t.Errorf("published with %d bytes free", written)
	}
}

func TestNotPermitted(t *testing.T) {
	f := storagetest.NewFaulty(storagetest.NewMem(), storagetest.Plan{At: 1, Err: syscall.EACCES})
	err := run(t.Context(), f, options("a"), 1)
	contains(t, err, "not permitted making lake/shoal", "write to out")
	if publish.Transient(err) || !publish.Unfit(err) || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a repeat is not permitted either: %v", err)
	}
}

func TestUnwritableDirectory(t *testing.T) {
	file := t.TempDir() + "/file"
	must(t, os.WriteFile(file, nil, 0o666))
	o := options("a")
	o.Out = file + "/out" // nobody can make a directory in a file, not even root
	_, err := publish.Begin(t.Context(), storage.Local(), o)
	if publish.Transient(err) || !publish.Unfit(err) {
		t.Errorf("Begin below a file: %v", err)
	}
	contains(t, err, "making", o.Out, "a file stands where a directory must be")
	o.Out = file
	_, err = publish.Begin(t.Context(), storage.Local(), o)
	if publish.Transient(err) || !publish.Unfit(err) {
		t.Errorf("Begin in a file: %v", err)
	}
}

// On a real disk: the same files, and nothing left after an abort, out included.
func TestLocalDisk(t *testing.T) {
	o := options("a")
	o.Out = t.TempDir() + "/not/there/yet"
	s, err := publish.Begin(t.Context(), storage.Local(), o)
	must(t, err)
	tw, err := s.Table("segments", segmentSchema)
	must(t, err)
	must(t, tw.Write(segments(1)))
	must(t, s.Abort())
	must(t, s.Abort()) // the second time there is nothing to do
	if _, err := os.Stat(path.Dir(path.Dir(o.Out))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directories made for the run are left: %v", err)
	}
	must(t, run(t.Context(), storage.Local(), o, 1))
	m, ok, err := publish.ReadCurrent(t.Context(), storage.Local(), o.Out, date)
	if err != nil || !ok {
		t.Fatalf("ReadCurrent: %t, %v", ok, err)
	}
	if problems, err := publish.Verify(t.Context(), storage.Local(), o.Out, m, true); err != nil || len(problems) > 0 {
		t.Errorf("Verify: %v, %v", problems, err)
	}
	entries, err := os.ReadDir(o.Out)
	must(t, err)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("%s is left", e.Name())
		}
	}
}

func TestCancelled(t *testing.T) {
	m := base(t, false)
	before := contents(t, m)
	ctx, cancel := context.WithCancel(t.Context())
	s, err := publish.Begin(ctx, m, options("new"))
	must(t, err)
	tw, err := s.Table("segments", segmentSchema)
	must(t, err)
	must(t, tw.Write(segments(2)))
	cancel()
	err = tw.Write(segments(2))
	if !errors.Is(err, context.Canceled) || publish.Transient(err) {
		t.Errorf("Write after cancel: %v", err)
	}
	if err := s.Commit(ctx, manifest(2)); !errors.Is(err, context.Canceled) {
		t.Errorf("Commit after cancel: %v", err)
	}
	must(t, s.Abort())
	if diff := cmp.Diff(before, contents(t, m)); diff != "" {
		t.Errorf("left behind (-before +after):\n%s", diff)
	}
}

// Cancelled at any moment a run is published whole or not at all.
func TestCancelSweep(t *testing.T) {
	total := operations(t, false)
	for i := 1; i <= total; i++ {
		m := base(t, false)
		ctx, cancel := context.WithCancel(t.Context())
		err := run(ctx, &cancelAt{FS: storagetest.NewFaulty(m, storagetest.Plan{}), left: i, cancel: cancel}, options("new"), 2)
		seed, readErr := current(m)
		if readErr != nil || (seed == 2) != (err == nil) {
			t.Errorf("cancelled at operation %d: readers see run %d, %v; the error is %v", i, seed, readErr, err)
		}
		for _, p := range m.Tree() {
			if strings.HasPrefix(path.Base(p), ".") || err != nil && strings.Contains(p, "run=new") {
				t.Errorf("cancelled at operation %d: %s is left", i, p)
			}
		}
		cancel()
	}
}

// cancelAt cancels before the operation that follows left-1 others.
type cancelAt struct {
	storage.FS
	left   int
	cancel func()
}

func (c *cancelAt) count() {
	if c.left--; c.left == 0 {
		c.cancel()
	}
}

func (c *cancelAt) Glob(ctx context.Context, p string) ([]storage.Info, error) {
	c.count()
	return c.FS.Glob(ctx, p)
}
func (c *cancelAt) Open(ctx context.Context, p string) (storage.File, error) {
	c.count()
	return c.FS.Open(ctx, p)
}
func (c *cancelAt) Create(ctx context.Context, p string) (storage.Writer, error) {
	c.count()
	return c.FS.Create(ctx, p)
}
func (c *cancelAt) Rename(ctx context.Context, from, to string) error {
	c.count()
	return c.FS.Rename(ctx, from, to)
}
func (c *cancelAt) SyncDir(ctx context.Context, p string) error {
	c.count()
	return c.FS.SyncDir(ctx, p)
}
func (c *cancelAt) MakeDir(ctx context.Context, p string) (string, error) {
	c.count()
	return c.FS.MakeDir(ctx, p)
}

func TestFindNoop(t *testing.T) {
	m := storagetest.NewMem()
	find := func(date, inputs, config, version string) bool {
		t.Helper()
		found, ok, err := publish.FindNoop(t.Context(), m, out, date, inputs, config, version)
		must(t, err)
		if ok && (found == nil || found.RunID != "a") {
			t.Errorf("found %+v", found)
		}
		return ok
	}
	if find(date, "inputs-1", "config-1", "0.1.0") {
		t.Error("found a run before the first")
	}
	must(t, run(t.Context(), m, options("a"), 1))
	if !find(date, "inputs-1", "config-1", "0.1.0") {
		t.Error("the same run was not found")
	}
	for _, other := range [][4]string{
		{"2026-03-02", "inputs-1", "config-1", "0.1.0"}, {date, "inputs-2", "config-1", "0.1.0"},
		{date, "inputs-1", "config-2", "0.1.0"}, {date, "inputs-1", "config-1", "0.1.1"},
	} {
		if find(other[0], other[1], other[2], other[3]) {
			t.Errorf("another run was found for %v", other)
		}
	}
	must(t, m.RemoveAll(t.Context(), out+"/segments/ds="+date+"/run=a/part-00000.parquet"))
	if find(date, "inputs-1", "config-1", "0.1.0") {
		t.Error("a run with a file missing counts as done")
	}
	must(t, m.RemoveAll(t.Context(), out+"/manifests"))
	if find(date, "inputs-1", "config-1", "0.1.0") {
		t.Error("a run without manifest counts as done")
	}
}

func TestHashConfig(t *testing.T) {
	a, err := publish.HashConfig(json.RawMessage(`{"a": 1,  "b": [2]}`))
	must(t, err)
	b, err := publish.HashConfig(json.RawMessage("{\"a\":1,\n\"b\":[2]}"))
	must(t, err)
	c, err := publish.HashConfig(json.RawMessage(`{"a": 1, "b": [3]}`))
	must(t, err)
	if a != b || a == c {
		t.Errorf("hashes %s, %s, %s: want the first two alike", a, b, c)
	}
	if _, err := publish.HashConfig(json.RawMessage("{")); err == nil {
		t.Error("half a configuration was hashed")
	}
}

func TestVerify(t *testing.T) {
	replace := func(m *storagetest.Mem, file string, change func([]byte) []byte) {
		t.Helper()
		data, err := storage.ReadFile(t.Context(), m, file, 1<<20)
		must(t, err)
		must(t, m.RemoveAll(t.Context(), file))
		must(t, storage.WriteFile(t.Context(), m, file, change(slices.Clone(data))))
	}
	const part = "customer_scores/ds=2026-03-01/run=a/part-00000.parquet"
	for name, c := range map[string]struct {
		change func([]byte) []byte
		light  string
		heavy  string
	}{
		"unchanged": {func(b []byte) []byte { return b }, "", ""},
		"cut":       {func(b []byte) []byte { return b[:len(b)-1] }, part + ": has ", part + ": has "},
		"flipped":   {func(b []byte) []byte { b[len(b)/2] ^= 1; return b }, "", part + ": has SHA-256"},
	} {
		m := storagetest.NewMem()
		must(t, run(t.Context(), m, options("a"), 1))
		replace(m, out+"/"+part, c.change)
		r, err := publish.ReadManifest(t.Context(), m, out, date, "a")
		must(t, err)
		for readData, want := range map[bool]string{false: c.light, true: c.heavy} {
			problems, err := publish.Verify(t.Context(), m, out, r, readData)
			must(t, err)
			if got := fmt.Sprint(problems); (len(problems) > 0) != (want != "") || !strings.Contains(got, want) {
				t.Errorf("%s, readData=%t: %s, want %q", name, readData, got, want)
			}
		}
		r.Tables[0].Files[0].Path = "../../etc/passwd"
		problems, err := publish.Verify(t.Context(), m, out, r, false)
		must(t, err)
		if got := fmt.Sprint(problems); !strings.Contains(got, "outside out") || strings.Contains(got, "missing") {
			t.Errorf("%s: a path outside out gives %s", name, got)
		}
	}
	const model = "models/ds=2026-03-01/run=a/churn.json"
	m := storagetest.NewMem()
	must(t, run(t.Context(), m, options("a"), 1))
	replace(m, out+"/"+model, func(b []byte) []byte { b[2] ^= 1; return b })
	r, err := publish.ReadManifest(t.Context(), m, out, date, "a")
	must(t, err)
	problems, err := publish.Verify(t.Context(), m, out, r, true)
	must(t, err)
	if got := fmt.Sprint(problems); !strings.Contains(got, model+": has SHA-256") {
		t.Errorf("a changed model gives %s", got)
	}
	_, err = publish.ReadModel(t.Context(), m, out, r, "churn.json")
	contains(t, err, model, "it was changed since")
	_, err = publish.ReadModel(t.Context(), m, out, r, "buy.json")
	contains(t, err, "no model file buy.json")
	must(t, m.RemoveAll(t.Context(), out+"/"+model))
	problems, err = publish.Verify(t.Context(), m, out, r, false)
	must(t, err)
	if got := fmt.Sprint(problems); !strings.Contains(got, model+": missing") {
		t.Errorf("a missing model gives %s", got)
	}
	s, err := publish.Begin(t.Context(), storagetest.NewMem(), options("b"))
	must(t, err)
	must(t, s.Model(t.Context(), "buy.json", nil))
	contains(t, s.Model(t.Context(), "buy.json", nil), "is taken")
	contains(t, s.Model(t.Context(), "../buy.json", nil), "must be lowercase")
	_, err = s.Table("models", scoreSchema)
	contains(t, err, "is taken")
	must(t, s.Abort())

	m = storagetest.NewMem()
	must(t, run(t.Context(), m, options("a"), 1))
	replace(m, out+"/manifests/ds=2026-03-01/run=a/manifest.json", func(b []byte) []byte { return bytes.Replace(b, []byte("config-1"), []byte("config-2"), 1) })
	_, _, err = publish.ReadCurrent(t.Context(), m, out, date)
	contains(t, err, "it was changed since")
}

func TestRollOver(t *testing.T) {
	m := storagetest.NewMem()
	o := options("a")
	o.FileSize = 100_000
	write := func(run string, rows int64) *publish.Table {
		t.Helper()
		o.RunID = run
		s, err := publish.Begin(t.Context(), m, o)
		must(t, err)
		tw, err := s.Table("customer_scores", scoreSchema)
		must(t, err)
		rec := scores(1, 60_000)
		for from := int64(0); from < rec.NumRows(); from += rows {
			must(t, tw.Write(rec.NewSlice(from, min(from+rows, rec.NumRows()))))
		}
		r := manifest(1)
		must(t, s.Commit(t.Context(), r))
		return r.Table("customer_scores")
	}
	a, b := write("a", 60_000), write("b", 777)
	if len(a.Files) < 3 || a.Rows != 60_000 {
		t.Fatalf("%d files, %d rows", len(a.Files), a.Rows)
	}
	row := int64(0)
	for i, f := range a.Files {
		if i < len(a.Files)-1 && (f.Bytes < o.FileSize || f.Bytes > 2*o.FileSize) {
			t.Errorf("file %d has %d bytes, FileSize is %d", i, f.Bytes, o.FileSize)
		}
		if g := b.Files[i]; g.SHA256 != f.SHA256 || g.Rows != f.Rows {
			t.Errorf("file %d depends on how rows are divided into records", i)
		}
		if want := fmt.Sprintf("customer_scores/ds=2026-03-01/run=a/part-%05d.parquet", i); f.Path != want {
			t.Errorf("file %d is %s, want %s", i, f.Path, want)
		}
		r, err := m.Open(t.Context(), out+"/"+f.Path)
		must(t, err)
		recs, err := tables.Read(t.Context(), r, r.Size())
		must(t, err)
		for _, rec := range recs {
			for j := range int(rec.NumRows()) {
				if got, want := rec.Column(0).(*array.String).Value(j), fmt.Sprintf("customer-%d", row); got != want {
					t.Fatalf("row %d is %s", row, got)
				}
				row++
			}
		}
	}
	if row != 60_000 {
		t.Errorf("read %d rows", row)
	}
}

func TestEmptyTable(t *testing.T) {
	m := storagetest.NewMem()
	s, err := publish.Begin(t.Context(), m, options("a"))
	must(t, err)
	_, err = s.Table("segments", segmentSchema)
	must(t, err)
	r := manifest(1)
	must(t, s.Commit(t.Context(), r))
	if f := r.Table("segments").Files; len(f) != 1 || f[0].Rows != 0 || f[0].Bytes == 0 {
		t.Errorf("files of an empty table are %+v", f)
	}
}

func TestTableFaults(t *testing.T) {
	m := storagetest.NewMem()
	s, err := publish.Begin(t.Context(), m, options("a"))
	must(t, err)
	defer s.Abort()
	_, err = s.Table("Bad", arrow.NewSchema([]arrow.Field{{Name: "x y", Type: arrow.PrimitiveTypes.Float64}}, nil))
	contains(t, err, `"Bad"`, `"x y"`)
	_, err = s.Table("manifests", segmentSchema)
	contains(t, err, `"manifests" is taken`)
	tw, err := s.Table("segments", segmentSchema)
	must(t, err)
	_, err = s.Table("segments", segmentSchema)
	contains(t, err, `"segments" is taken`)
	err = tw.Write(scores(1, 1))
	contains(t, err, "record has 3 columns, the schema 2")
	if publish.Transient(err) {
		t.Error("a fault of the data is not transient")
	}
	if err := s.Commit(t.Context(), manifest(1)); err == nil || publish.Transient(err) {
		t.Errorf("Commit after a fault: %v", err)
	}
	if got := m.Tree(); len(got) > 0 {
		t.Errorf("left behind: %q", got)
	}
}

func TestOneWriterADate(t *testing.T) {
	m := storagetest.NewMem()
	first, err := publish.Begin(t.Context(), m, options("a"))
	must(t, err)
	_, err = publish.Begin(t.Context(), m, options("b"))
	if !errors.Is(err, publish.ErrBusy) || !publish.Transient(err) {
		t.Errorf("the second writer: %v", err)
	}
	contains(t, err, "run a, until 2026-03-02T04:01:00Z")
	other := options("b")
	other.Date = "2026-03-02"
	must(t, run(t.Context(), m, other, 1)) // another date is free
	must(t, first.Abort())
	must(t, run(t.Context(), m, options("b"), 2))
}

// A run that stood still is taken over, and must not touch what came after it,
// even under its own run id.
func TestTakeOver(t *testing.T) {
	for _, id := range []string{"a", "b"} {
		m := storagetest.NewMem()
		stalled, err := publish.Begin(t.Context(), m, options("a"))
		must(t, err)
		tw, err := stalled.Table("segments", segmentSchema)
		must(t, err)
		must(t, tw.Write(segments(1)))

		later := options(id)
		later.Now = at(start.Add(3 * time.Minute))
		must(t, run(t.Context(), m, later, 2))
		after := contents(t, m)

		if err := stalled.Commit(t.Context(), manifest(1)); err == nil || !publish.Transient(err) {
			t.Errorf("the run that lost its lease: %v", err)
		}
		if diff := cmp.Diff(after, contents(t, m)); diff != "" {
			t.Errorf("it touched the run that took over (-before +after):\n%s", diff)
		}
	}
}

// Taken over by a third writer that begins when nobody holds the lease, so that
// epochs begin again: the stalled run sees a lease of its own epoch.
func TestTakeOverTwice(t *testing.T) {
	for _, id := range []string{"a", "c"} {
		m := storagetest.NewMem()
		stalled, err := publish.Begin(t.Context(), m, options("a"))
		must(t, err)
		tw, err := stalled.Table("segments", segmentSchema)
		must(t, err)
		must(t, tw.Write(segments(1)))
		later := options("b")
		later.Now = at(start.Add(3 * time.Minute))
		must(t, run(t.Context(), m, later, 2))
		later.RunID = id
		third, err := publish.Begin(t.Context(), m, later)
		must(t, err)
		_, err = third.Table("segments", segmentSchema)
		must(t, err)
		if err := stalled.Commit(t.Context(), manifest(1)); err == nil {
			t.Error("the stalled run was published")
		}
		r := manifest(3)
		must(t, third.Commit(t.Context(), r))
		problems, err := publish.Verify(t.Context(), m, out, r, true)
		if p, _ := publish.ReadPointer(t.Context(), m, out); err != nil || len(problems) > 0 || p.Dates[date].Run != id {
			t.Errorf("pointer is %+v, %v %v", p, problems, err)
		}
	}
}

// A torn lease file, as a crash while it is written leaves it, holds the date
// for a while and then no longer.
func TestTornLease(t *testing.T) {
	m := storagetest.NewMem()
	must(t, storage.WriteFile(t.Context(), m, out+"/.lease-ds="+date+".1.json", []byte(`{"run": "a`)))
	o := options("b")
	o.Now = time.Now
	if err := run(t.Context(), m, o, 1); !errors.Is(err, publish.ErrBusy) {
		t.Errorf("at once: %v", err)
	}
	o.Now = func() time.Time { return time.Now().Add(3 * time.Minute) }
	must(t, run(t.Context(), m, o, 1))
}

func TestLeaseIsRenewed(t *testing.T) {
	m := storagetest.NewMem()
	o := options("a")
	o.Lease, o.Now = time.Second, time.Now
	s, err := publish.Begin(t.Context(), m, o)
	must(t, err)
	defer s.Abort()
	for deadline := time.Now().Add(1600 * time.Millisecond); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		o.RunID = "b"
		if err := run(t.Context(), m, o, 2); !errors.Is(err, publish.ErrBusy) {
			t.Fatalf("a living run lost its date: %v", err)
		}
	}
	must(t, s.Commit(t.Context(), manifest(1)))
}

// Two writers for one date and one run id, a thousand rounds, as fast as they
// can: one publishes, the other is refused, and readers see one of them whole.
func TestConcurrentWriters(t *testing.T) {
	var m *storagetest.Mem
	refused := map[error]int{}
	for round := range 1000 {
		if round%20 == 0 { // a long listing costs time and proves nothing more
			m = storagetest.NewMem()
		}
		var wg sync.WaitGroup
		var errs [2]error
		for w := range 2 {
			wg.Go(func() { errs[w] = run(t.Context(), m, options(fmt.Sprintf("r%d", round)), 2*round+w+1) })
		}
		wg.Wait()
		winner := slices.Index(errs[:], nil)
		if winner < 0 || errs[1-winner] == nil {
			t.Fatalf("round %d: %v", round, errs)
		}
		why := slices.IndexFunc([]error{publish.ErrBusy, publish.ErrPublished}, func(e error) bool { return errors.Is(errs[1-winner], e) })
		if why < 0 {
			t.Fatalf("round %d: the other: %v", round, errs[1-winner])
		}
		refused[[]error{publish.ErrBusy, publish.ErrPublished}[why]]++
		if seed, err := current(m); seed != 2*round+winner+1 || err != nil {
			t.Fatalf("round %d: readers see run %d, %v; run %d was published", round, seed, err, 2*round+winner+1)
		}
		if round%20 == 19 {
			for _, p := range m.Tree() {
				if strings.HasPrefix(path.Base(p), ".") {
					t.Fatalf("round %d: %s is left", round, p)
				}
			}
		}
	}
	t.Log(refused)
}

// Many dates at once, as a backfill publishes them: no date is lost from the pointer.
func TestConcurrentDates(t *testing.T) {
	m := storagetest.NewMem()
	var wg sync.WaitGroup
	for d := range 16 {
		wg.Go(func() {
			o := options("a")
			o.Date = fmt.Sprintf("2026-01-%02d", d+1)
			if err := run(t.Context(), m, o, d); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	p, err := publish.ReadPointer(t.Context(), m, out)
	if err != nil || len(p.Dates) != 16 || p.Latest != "2026-01-16" {
		t.Errorf("%d dates, latest %s, %v", len(p.Dates), p.Latest, err)
	}
}
