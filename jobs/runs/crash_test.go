package runs_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"github.com/rs/zerolog"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/storage/storagetest"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/nightly"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/jobs/runs"
)

// The sweeps put a fault at the storage operations of a whole night's run, from
// finding the files to the pointer. SHOAL_SWEEP=all takes every operation; else
// a sample, another every day.
const sampleOperations = 12

// sweep lists the operations of a trace at which a fault is put. Of the reads of one
// file, which are many where the report is made, the first and the last stand for all.
func sweep(trace []string) []int {
	first, last := map[string]int{}, map[string]int{}
	for i, op := range trace {
		if _, ok := first[op]; !ok {
			first[op] = i
		}
		last[op] = i
	}
	total := len(trace)
	var all []int
	for i, op := range trace {
		if !strings.HasPrefix(op, "read ") || i == first[op] || i == last[op] {
			all = append(all, i+1)
		}
	}
	if os.Getenv("SHOAL_SWEEP") == "all" {
		return all
	}
	rand.New(rand.NewPCG(uint64(time.Now().YearDay()), 1)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	all = all[:min(len(all), sampleOperations)]
	for i := total - sampleOperations; i <= total; i++ { // the moment of publication is near the end
		if i > 0 && !slices.Contains(all, i) {
			all = append(all, i)
		}
	}
	slices.Sort(all)
	return all
}

// changes tells of an operation whether it may change what lies there. Of one that
// reads, failure with and without effect are the same, and death there leaves what
// death before the next change leaves.
func changes(operation string) bool {
	kind, _, _ := strings.Cut(operation, " ")
	return !slices.Contains([]string{"glob", "stat", "open", "read", "readversion"}, kind)
}

// ofEachKind keeps the first, the middle and the last of operations that do the same to
// like files, as what is done to one table after another: for whole processes that are
// killed, which take their time. The sweeps beside them go through all.
func ofEachKind(trace []string, operations []int) []int {
	kinds, tables := map[string][]int{}, tablesOf(trace)
	for _, i := range operations {
		kind := numbered.ReplaceAllString(trace[i-1], "")
		for table := range tables {
			kind = regexp.MustCompile("/"+table+`\b`).ReplaceAllString(kind, "/TABLE")
		}
		kinds[kind] = append(kinds[kind], i)
	}
	var some []int
	for _, k := range kinds {
		some = append(some, k[0], k[len(k)/2], k[len(k)-1])
	}
	slices.Sort(some)
	return slices.Compact(some)
}

var numbered = regexp.MustCompile(`\.\d+\.json|-[0-9a-f]{16}|run=[0-9a-f]+|[a-z0-9]+\.(json|onnx|txt|md)$`)

// tablesOf are the tables that a night writes.
func tablesOf(trace []string) map[string]bool {
	tables := map[string]bool{}
	for _, op := range trace {
		if m := tableFile.FindStringSubmatch(op); m != nil {
			tables[m[1]] = true
		}
	}
	return tables
}

var tableFile = regexp.MustCompile(`^create .*/([a-z_]+)(?:/ds=[^/]*/run=[^/]*)?/part-\d+\.parquet$`)

const night = "2024-06-30"

// sale is an event as the sweeps write it.
type sale struct {
	Customer string  `parquet:"customer_id"`
	Time     int64   `parquet:"event_time,timestamp(microsecond)"`
	Type     string  `parquet:"event_type"`
	Amount   float64 `parquet:"amount"`
}

// sales are a small history with buyers who come back.
func sales() []byte {
	r := rand.New(rand.NewPCG(3, 3))
	var rows []sale
	for c := range 160 {
		gap := 4 * math.Exp(r.NormFloat64())
		last := 30 + r.Float64()*170
		for day := r.Float64() * 30; day < last; day += gap * r.ExpFloat64() {
			at := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(day*24) * time.Hour).UnixMicro()
			kind := []string{"order", "page_view"}[r.IntN(2)]
			rows = append(rows, sale{fmt.Sprintf("c%03d", c), at, kind, float64(r.IntN(9000)) / 100})
		}
	}
	var b bytes.Buffer
	if err := parquet.Write(&b, rows); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// job is a whole night, with every table, on as little as will do: nobody buys, so
// that the models of value, which touch no storage, take no time.
func job(t testing.TB, in, out string) *config.Config {
	t.Helper()
	c, err := config.Parse("sweep", []byte(fmt.Sprintf(`
sources:
  - path: %s/*.parquet
    columns: {customer_id: customer_id, event_time: event_time, event_type: event_type}
    roles: {view: [order, page_view]}
out: %s
limits: {workers: 1}
features: {families: [recency, frequency], windows: [30d]}
segmentations: [{name: behaviour, k: 2, restarts: 1}]
targets: [{name: churn, kind: churn, horizon: 30d}]
models: {snapshots: 1}
gates: {action: off}
`, in, out)), os.LookupEnv)
	must(t, err)
	return c
}

// runNight makes the night's run of a version of the program, at a time.
func runNight(ctx context.Context, c *config.Config, fsys storage.FS, version string, at time.Time) (*nightly.Summary, error) {
	return nightly.Run(ctx, nightly.Options{
		Config: c, Date: night, FS: fsys, Version: version, Log: zerolog.Nop(), Now: func() time.Time { return at },
	})
}

var nightStart = time.Date(2024, 7, 1, 4, 0, 0, 0, time.UTC)

// lakeOfNight is an output that has an older run of the night, or is not there
// yet, beside its input.
func lakeOfNight(t testing.TB, events []byte, empty bool) (*storagetest.Mem, *config.Config) {
	t.Helper()
	m := storagetest.NewMem()
	m.Now = func() time.Time { return nightStart.Add(-time.Hour) }
	must(t, storage.WriteFile(context.Background(), m, "/in/a.parquet", events))
	for _, dir := range []string{"/", "/in"} {
		must(t, m.SyncDir(context.Background(), dir))
	}
	c := job(t, "/in", "/lake/out")
	if !empty {
		_, err := runNight(context.Background(), c, m, "old", nightStart.Add(-time.Hour))
		must(t, err)
	}
	return m, c
}

// copies gives the same tree again and again.
func copies(m *storagetest.Mem, c *config.Config) func() (storage.FS, *config.Config) {
	return func() (storage.FS, *config.Config) { return clone(m), c }
}

func clone(m *storagetest.Mem) *storagetest.Mem { return m.Crash(1, rand.New(rand.NewPCG(1, 1))) }

// reader is what a reader of the night sees: the version that wrote it, "" for
// none. Anything but one whole run is an error.
func reader(fsys storage.FS, out string) (string, error) {
	ctx := context.Background()
	m, ok, err := publish.ReadCurrent(ctx, fsys, out, night)
	if err != nil || !ok {
		return "", err
	}
	problems, err := runs.Verify(ctx, fsys, out, night, m.RunID, true)
	if err != nil || len(problems) > 0 {
		return "", fmt.Errorf("%v, %w", problems, err)
	}
	return m.ToolVersion, nil
}

// files are the names below out, and what tables and models hold: manifests and pages
// tell when the run was.
func files(t testing.TB, fsys storage.FS, out string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, pattern := range []string{"/**", "/.*", "/.*/**", "/*/*/*/_*"} {
		infos, err := fsys.Glob(context.Background(), storage.QuoteMeta(out)+pattern)
		must(t, err)
		for _, f := range infos {
			name := strings.TrimPrefix(f.Path, out+"/")
			found[name] = ""
			if name == "current.json" { // of an object store: a pointer that never named a run
				if p, err := publish.ReadPointer(context.Background(), fsys, out); err == nil && len(p.Dates) == 0 {
					delete(found, name)
				}
			}
			if strings.HasSuffix(name, ".parquet") || strings.HasPrefix(name, "models/") {
				data, err := storage.ReadFile(context.Background(), fsys, f.Path, 1<<30)
				must(t, err)
				found[name] = string(data)
			}
		}
	}
	return found
}

func names(files map[string]string) []string {
	var all []string
	for n := range files {
		all = append(all, n)
	}
	slices.Sort(all)
	return all
}

// differs says which files differ, not how.
func differs(want, got map[string]string) string {
	if d := cmp.Diff(names(want), names(got)); d != "" {
		return d
	}
	for n := range want {
		if want[n] != got[n] {
			return n + " holds other bytes"
		}
	}
	return ""
}

// A scene is where a sweep plays: what lay there before, and what lies there
// after the night's run.
type scene struct {
	empty         bool
	lake          *storagetest.Mem // before the run
	config        *config.Config
	before, after map[string]string
	trace         []string
	seen          map[[sha256.Size]byte]bool // what faults have left and check has checked
}

// state tells what lies below out and what lies there again: every name and byte, hidden
// ones too, but for the numbers that keep one staging directory apart from another.
func state(t testing.TB, fsys storage.FS, out string) [sha256.Size]byte {
	t.Helper()
	var all []string
	for _, pattern := range []string{"/**", "/.*", "/.*/**", "/*/*/*/_*"} {
		infos, err := fsys.Glob(context.Background(), storage.QuoteMeta(out)+pattern)
		must(t, err)
		for _, f := range infos {
			data, err := storage.ReadFile(context.Background(), fsys, f.Path, 1<<30)
			must(t, err)
			if strings.Contains(f.Path, "/.lease-") { // which names its staging directory
				data = stagingNumber.ReplaceAll(data, []byte("$1"))
			}
			all = append(all, fmt.Sprintf("%q %x", strings.TrimPrefix(f.Path, out), sha256.Sum256(data)))
		}
	}
	if m, ok := fsys.(*storagetest.Mem); ok {
		all = append(all, m.Tree()...) // directories
	}
	for i := range all {
		all[i] = stagingNumber.ReplaceAllString(all[i], "$1")
	}
	slices.Sort(all)
	return sha256.Sum256([]byte(strings.Join(slices.Compact(all), "\n")))
}

var stagingNumber = regexp.MustCompile(`(\.staging-\d{4}-\d\d-\d\d-)[0-9a-f]{16}`)

func newScene(t testing.TB, events []byte, empty bool) *scene {
	t.Helper()
	m, c := lakeOfNight(t, events, empty)
	s := &scene{empty: empty, lake: clone(m), config: c}
	s.before = files(t, m, c.Out)
	f := storagetest.NewFaulty(m, storagetest.Plan{})
	sum, err := runNight(context.Background(), c, f, "new", nightStart)
	must(t, err)
	if len(sum.Tables) < 5 || sum.Targets[0].Skipped != "" || len(sum.Segments) != 2 {
		t.Fatalf("the night does not exercise every step: %+v", sum)
	}
	s.after, s.trace = files(t, m, c.Out), f.Trace()
	if len(s.trace) < 100 {
		t.Fatalf("%d operations: the sweep sweeps nothing", len(s.trace))
	}
	return s
}

// check holds what a fault left to the promises: readers see the run before or
// this one, gc leaves nothing of a run that is not published, and the night run
// again ends as if nothing had happened. fork gives a copy of the tree.
func (s *scene) check(t testing.TB, what string, runErr error, fork func() (storage.FS, *config.Config), at time.Time) {
	t.Helper()
	fsys, c := fork()
	if all() { // what comes of the same files at the same time has been seen
		left := sha256.Sum256(fmt.Appendf(nil, "%x %t %v", state(t, fsys, c.Out), runErr == nil, at))
		if s.seen[left] {
			return
		}
		if s.seen == nil {
			s.seen = map[[sha256.Size]byte]bool{}
		}
		s.seen[left] = true
	}
	seen, err := reader(fsys, c.Out)
	want := "old"
	if s.empty {
		want = ""
	}
	switch {
	case err != nil:
		t.Errorf("%s: readers fail: %v", what, err)
		return
	case seen != want && seen != "new":
		t.Errorf("%s: readers see %q", what, seen)
	case runErr == nil && seen != "new":
		t.Errorf("%s: a run that reported success is not there", what)
	}
	left := s.before
	if seen == "new" {
		left = s.after
	}
	_, err = runs.Collect(context.Background(), runs.CollectOptions{FS: fsys, Out: c.Out, Keep: 1000 * time.Hour, Now: func() time.Time { return at }})
	if err != nil {
		t.Errorf("%s: gc: %v", what, err)
	}
	if d := differs(left, files(t, fsys, c.Out)); d != "" {
		t.Errorf("%s: after gc (-want +got):\n%s", what, d)
	}
	if now, err := reader(fsys, c.Out); now != seen || err != nil {
		t.Errorf("%s: after gc readers see %q, %v", what, now, err)
	}

	fsys, c = fork()
	sum, err := runNight(context.Background(), c, fsys, "new", at)
	if err != nil || (sum.Status == nightly.StatusNoop) != (seen == "new") {
		t.Errorf("%s: readers see %q, and the next run: %s, %v", what, seen, sum.Status, err)
		return
	}
	got := files(t, fsys, c.Out)
	if seen == "new" { // there was nothing to do, so what hidden files there are was left to gc
		maps.DeleteFunc(got, func(name, _ string) bool { return strings.HasPrefix(name, ".") })
	}
	if d := differs(s.after, got); d != "" {
		t.Errorf("%s: after the next run (-want +got):\n%s", what, d)
	}
	if now, err := reader(fsys, c.Out); now != "new" || err != nil {
		t.Errorf("%s: after the next run readers see %q, %v", what, now, err)
	}
}

// TestWholeRunErrorSweep lets operations of a whole run fail, and take effect
// and still report failure.
func TestWholeRunErrorSweep(t *testing.T) {
	events, count, left, operations := sales(), 0, 0, 0
	for _, empty := range []bool{false, true} {
		s := newScene(t, events, empty)
		for _, i := range sweep(s.trace) {
			for _, after := range []bool{false, true} {
				if after && !changes(s.trace[i-1]) {
					continue
				}
				m, c := clone(s.lake), s.config
				f := storagetest.NewFaulty(m, storagetest.Plan{At: i, Err: syscall.EIO, After: after})
				_, err := runNight(context.Background(), c, f, "new", nightStart)
				what := fmt.Sprintf("empty=%t: error at operation %d (%s), after=%t", empty, i, f.Trace()[i-1], after)
				if err != nil && nightly.ExitCode(err) != nightly.ExitTransient {
					t.Errorf("%s: exit code %d: %v", what, nightly.ExitCode(err), err)
				}
				s.check(t, what, err, copies(m, c), nightStart.Add(time.Hour))
				count++
			}
		}
		left, operations = left+len(s.seen), operations+len(s.trace)
	}
	t.Logf("%d errors in nights of %d operations, which left %d different states", count, operations, left)
}

// TestWholeRunPowerSweep cuts the power at operations of a whole run: what was
// not synced is lost, wholly or in part.
func TestWholeRunPowerSweep(t *testing.T) {
	events, count, left, operations := sales(), 0, 0, 0
	for _, empty := range []bool{false, true} {
		s := newScene(t, events, empty)
		for _, i := range sweep(s.trace) {
			if !changes(s.trace[i-1]) {
				continue
			}
			for k, keep := range []float64{0, 0.5, 1} { // 1: a process that dies, and the machine goes on
				killed, c := clone(s.lake), s.config
				f := storagetest.NewFaulty(killed, storagetest.Plan{At: i, Err: syscall.EIO, Kill: true, After: k == 1 || k == 2 && i%2 == 0})
				_, err := runNight(context.Background(), c, f, "new", nightStart)
				what := fmt.Sprintf("empty=%t: power lost at operation %d (%s), keep=%v", empty, i, f.Trace()[i-1], keep)
				s.check(t, what, err, copies(killed.Crash(keep, rand.New(rand.NewPCG(uint64(i), 7))), c), nightStart.Add(time.Hour))
				count++
			}
		}
		left, operations = left+len(s.seen), operations+len(s.trace)
	}
	t.Logf("%d power failures in nights of %d operations, which left %d different states", count, operations, left)
}

// TestDiesInANight is no test of its own: it is the process that
// TestWholeRunKillSweep kills.
func TestDiesInANight(t *testing.T) {
	dir := os.Getenv("SHOAL_DIE_IN")
	if dir == "" {
		t.Skip("a part of TestWholeRunKillSweep")
	}
	at, err := strconv.Atoi(os.Getenv("SHOAL_DIE_AT"))
	must(t, err)
	f := storagetest.NewFaulty(storage.Local(), storagetest.Plan{At: at, Die: true, After: os.Getenv("SHOAL_DIE_AFTER") != ""})
	if _, err := runNight(t.Context(), job(t, dir+"/in", dir+"/lake/out"), f, "new", time.Now()); err != nil {
		t.Fatal(err)
	}
	must(t, os.WriteFile(dir+"/operations", []byte(strings.Join(f.Trace(), "\n")), 0o666))
}

// TestWholeRunKillSweep kills processes, with kill -9, at operations of a whole
// run on a real disk. The next run begins at once.
func TestWholeRunKillSweep(t *testing.T) {
	tmp := filepath.ToSlash(t.TempDir())
	fresh := func(name string) string {
		dir := tmp + "/" + name
		must(t, os.RemoveAll(dir))
		must(t, os.MkdirAll(dir+"/in", 0o777))
		must(t, os.WriteFile(dir+"/in/a.parquet", sales(), 0o666))
		old := time.Now().Add(-time.Hour)
		_, err := runNight(t.Context(), job(t, dir+"/in", dir+"/lake/out"), storage.Local(), "old", old)
		must(t, err)
		return dir
	}
	die := func(dir string, at int, after bool) error {
		child := exec.Command(os.Args[0], "-test.run=^TestDiesInANight$")
		child.Env = append(os.Environ(), "SHOAL_DIE_IN="+dir, "SHOAL_DIE_AT="+strconv.Itoa(at))
		if after {
			child.Env = append(child.Env, "SHOAL_DIE_AFTER=1")
		}
		text, err := child.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != -1) {
			t.Fatalf("the process was not killed: %v\n%s", err, text)
		}
		return err
	}
	s := &scene{}
	dir := fresh("clean")
	s.before = files(t, storage.Local(), dir+"/lake/out")
	must(t, die(dir, 0, false))
	s.after = files(t, storage.Local(), dir+"/lake/out")
	text, err := os.ReadFile(dir + "/operations")
	must(t, err)
	s.trace = strings.Split(string(text), "\n")
	count := 0
	base := fresh("base")
	for _, i := range ofEachKind(s.trace, sweep(s.trace)) {
		dir := tmp + "/killed"
		must(t, os.RemoveAll(dir))
		must(t, os.CopyFS(dir, os.DirFS(base)))
		after := i%2 == 0
		err := die(dir, i, after)
		if err == nil {
			t.Fatalf("nobody died at operation %d", i)
		}
		fork := func() (storage.FS, *config.Config) {
			to := tmp + "/copy"
			must(t, os.RemoveAll(to))
			must(t, os.CopyFS(to, os.DirFS(dir)))
			return storage.Local(), job(t, to+"/in", to+"/lake/out")
		}
		// A lease that its holder did not live to write into counts for some seconds.
		s.check(t, fmt.Sprintf("killed at operation %d of %d, after=%t", i, len(s.trace), after), err, fork, time.Now().Add(6*time.Second))
		count++
		if t.Failed() && count > 20 {
			break
		}
	}
	t.Logf("%d processes killed, at %d operations", count, len(s.trace))
}
