package runs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/storage/storagetest"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/jobs/runs"
)

const out = "lake/shoal"

var start = time.Date(2026, 3, 2, 4, 0, 0, 0, time.UTC)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func options(date, id string, at time.Time) publish.Options {
	o := publish.DefaultOptions(out, date, id)
	o.Workers, o.Now = 1, func() time.Time { return at }
	return o
}

// begin stages one small run.
func begin(t testing.TB, fsys storage.FS, o publish.Options) *publish.Staging {
	t.Helper()
	s, err := publish.Begin(context.Background(), fsys, o)
	must(t, err)
	for _, name := range []string{"customer_scores", "segments"} {
		schema := arrow.NewSchema([]arrow.Field{{Name: "customer_id", Type: arrow.BinaryTypes.String}, {Name: "score", Type: arrow.PrimitiveTypes.Float64}}, nil)
		w, err := s.Table(name, schema)
		must(t, err)
		b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		for i := range 40 {
			b.Field(0).(*array.StringBuilder).Append(fmt.Sprintf("customer-%d", i*i))
			b.Field(1).(*array.Float64Builder).Append(float64(i) * 1.25)
		}
		must(t, w.Write(b.NewRecord()))
	}
	return s
}

func finish(t testing.TB, s *publish.Staging) {
	t.Helper()
	must(t, s.Commit(context.Background(), &publish.Manifest{ToolVersion: "0.1.0", Config: json.RawMessage(`{}`)}))
}

func publishRun(t testing.TB, fsys storage.FS, date, id string, at time.Time) {
	t.Helper()
	finish(t, begin(t, fsys, options(date, id, at)))
}

// lake is an output with two dates, of which one was run three times.
func lake(t testing.TB) *storagetest.Mem {
	m := storagetest.NewMem()
	m.Now = func() time.Time { return start }
	publishRun(t, m, "2026-02-28", "aaaa1111", start)
	publishRun(t, m, "2026-03-01", "bbbb2222", start.Add(time.Hour))
	publishRun(t, m, "2026-03-01", "cccc3333", start.Add(2*time.Hour))
	publishRun(t, m, "2026-03-01", "cccc4444", start.Add(3*time.Hour))
	return m
}

func list(t testing.TB, fsys storage.FS, now time.Time) *runs.Listing {
	t.Helper()
	l, err := runs.List(context.Background(), fsys, out+"/", now)
	must(t, err)
	return l
}

func states(l *runs.Listing) []string {
	all := []string{}
	for _, r := range l.Runs {
		all = append(all, r.Date+" "+r.ID+" "+r.State)
	}
	return all
}

func TestList(t *testing.T) {
	m := lake(t)
	l := list(t, m, start)
	want := []string{"2026-02-28 aaaa1111 current", "2026-03-01 bbbb2222 replaced", "2026-03-01 cccc3333 replaced", "2026-03-01 cccc4444 current"}
	if diff := cmp.Diff(want, states(l)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r := l.Runs[3]
	if r.Rows != 80 || r.Tables != 2 || r.Files != 2 || r.Bytes < 1000 || r.Version != "0.1.0" || !r.Finished.Equal(start.Add(3*time.Hour)) || l.Latest != "2026-03-01" {
		t.Errorf("run is %+v, latest %s", r, l.Latest)
	}
	if got := list(t, storagetest.NewMem(), start); len(got.Runs) != 0 {
		t.Errorf("before the first run: %+v", got)
	}

	// What is at work, damaged or half there is listed as that.
	s := begin(t, m, options("2026-03-02", "dddd5555", start.Add(4*time.Hour)))
	defer s.Abort()
	must(t, m.RemoveAll(t.Context(), out+"/manifests/ds=2026-03-01/run=bbbb2222/_SUCCESS"))
	must(t, m.RemoveAll(t.Context(), out+"/manifests/ds=2026-03-01/run=cccc3333/manifest.json"))
	l = list(t, m, start.Add(4*time.Hour))
	want = []string{"2026-02-28 aaaa1111 current", "2026-03-01 bbbb2222 unfinished", "2026-03-01 cccc3333 replaced", "2026-03-01 cccc4444 current"}
	if diff := cmp.Diff(want, states(l)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if l.Runs[2].Fault == "" {
		t.Error("a run without manifest has no fault")
	}
	if len(l.Holders) != 1 || l.Holders[0].Date != "2026-03-02" || l.Holders[0].Run != "dddd5555" {
		t.Errorf("at work: %+v", l.Holders)
	}
	must(t, m.RemoveAll(t.Context(), out+"/manifests/ds=2026-02-28"))
	for _, table := range []string{"customer_scores", "segments"} {
		must(t, m.RemoveAll(t.Context(), out+"/"+table+"/ds=2026-02-28"))
	}
	if l = list(t, m, start); l.Runs[0].State != runs.Current || l.Runs[0].Fault == "" {
		t.Errorf("a run that is gone: %+v", l.Runs[0])
	}
}

func TestFind(t *testing.T) {
	l := list(t, lake(t), start)
	for name, want := range map[string]string{
		"bbbb2222": "bbbb2222", "aaaa": "aaaa1111", "2026-03-01": "cccc4444", "latest": "cccc4444", "cccc3": "cccc3333",
	} {
		if r, err := l.Find(name); err != nil || r.ID != want {
			t.Errorf("%s: %s, %v", name, r.ID, err)
		}
	}
	for name, want := range map[string]string{"cccc": "may be cccc3333 of 2026-03-01, or cccc4444", "aaa": "no run", "2026-03-02": "no run", "zzzz": "shoal runs lists"} {
		if _, err := l.Find(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

func verify(t testing.TB, fsys storage.FS, date, id string, readData bool) string {
	t.Helper()
	problems, err := runs.Verify(context.Background(), fsys, out, date, id, readData)
	must(t, err)
	var lines []string
	for _, p := range problems {
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "\n")
}

func replace(t testing.TB, m *storagetest.Mem, file string, change func([]byte) []byte) {
	t.Helper()
	data, err := storage.ReadFile(context.Background(), m, file, 1<<20)
	must(t, err)
	must(t, m.RemoveAll(context.Background(), file))
	must(t, storage.WriteFile(context.Background(), m, file, change(slices.Clone(data))))
}

func TestVerify(t *testing.T) {
	const date, id = "2026-03-01", "cccc4444"
	for _, r := range list(t, lake(t), start).Runs {
		if got := verify(t, lake(t), r.Date, r.ID, true); got != "" {
			t.Errorf("%s of %s: %s", r.ID, r.Date, got)
		}
	}
	const part, dir = "segments/ds=2026-03-01/run=cccc4444/part-00000.parquet", "manifests/ds=2026-03-01/run=cccc4444"
	sub := func(from, to string) func([]byte) []byte {
		return func(b []byte) []byte { return []byte(strings.Replace(string(b), from, to, 1)) }
	}
	for _, c := range []struct {
		name, file string
		change     func([]byte) []byte
		light      string // what is said without reading data
		heavy      string
	}{
		{"a file cut short", part, func(b []byte) []byte { return b[:len(b)-3] }, part + ": has ", part + ": has "},
		{"a byte changed", part, func(b []byte) []byte { b[len(b)/2] ^= 4; return b }, "", part + ": has SHA-256"},
		{"a manifest changed", dir + "/manifest.json", sub("0.1.0", "0.1.1"), "do not belong together", "do not belong together"},
		{"a manifest cut short", dir + "/manifest.json", func(b []byte) []byte { return b[:len(b)/2] }, "manifest.json: ", "manifest.json: "},
		{"a mark changed", dir + "/_SUCCESS", sub("cccc4444", "cccc4445"), "do not belong together", "do not belong together"},
		{"a pointer's key", "current.json", sub(`"latest"`, `"Latest"`), "is not as it was written", "is not as it was written"},
		{"a pointer's space", "current.json", sub("{\n  ", "{\n "), "is not as it was written", "is not as it was written"},
		{"a pointer's run", "current.json", sub(`"run": "cccc4444"`, `"run": "cccc4445"`), "date 2026-03-01 points at", "date 2026-03-01 points at"},
		{"a pointer's date", "current.json", sub(`"2026-02-28": `, `"2026-02-27": `), "date 2026-02-27 points at", "date 2026-02-27 points at"},
		{"a pointer's latest", "current.json", sub(`"latest": "2026-03-01"`, `"latest": "2026-02-28"`), "is not the last", "is not the last"},
		{"a pointer cut short", "current.json", func(b []byte) []byte { return b[:20] }, "current.json: ", "current.json: "},
	} {
		m := lake(t)
		replace(t, m, out+"/"+c.file, c.change)
		for readData, want := range map[bool]string{false: c.light, true: c.heavy} {
			if got := verify(t, m, date, id, readData); (got != "") != (want != "") || !strings.Contains(got, want) {
				t.Errorf("%s, readData=%t: %q, want %q", c.name, readData, got, want)
			}
		}
	}
	for _, file := range []string{part, dir + "/manifest.json", dir + "/_SUCCESS", "current.json"} {
		m := lake(t)
		must(t, m.RemoveAll(t.Context(), out+"/"+file))
		if got := verify(t, m, date, id, false); !strings.Contains(got, file+": missing") {
			t.Errorf("without %s: %q", file, got)
		}
	}
	// Another date's manifest is looked at when everything is.
	m := lake(t)
	replace(t, m, out+"/manifests/ds=2026-02-28/run=aaaa1111/manifest.json", sub("0.1.0", "0.1.1"))
	if got := verify(t, m, date, id, true); !strings.Contains(got, "date 2026-02-28: the manifest of run aaaa1111") {
		t.Errorf("another date's manifest: %q", got)
	}
	// A file that is not the run's would double the rows of whoever reads the directory.
	for _, name := range []string{"part-00001.parquet", ".hidden", "_extra", "deep/er.parquet"} {
		m := lake(t)
		stray := "segments/ds=2026-03-01/run=cccc4444/" + name
		must(t, storage.WriteFile(t.Context(), m, out+"/"+stray, []byte("x")))
		if got := verify(t, m, date, id, false); !strings.Contains(got, stray+": does not belong to the run") {
			t.Errorf("with %s: %q", stray, got)
		}
	}
}

func collect(t testing.TB, fsys storage.FS, keep time.Duration, now time.Time, dry bool) *runs.Collection {
	t.Helper()
	c, err := runs.Collect(context.Background(), runs.CollectOptions{FS: fsys, Out: out, Keep: keep, DryRun: dry, Now: func() time.Time { return now }})
	must(t, err)
	return c
}

func TestCollectReplacedRuns(t *testing.T) {
	m := lake(t)
	before := m.Tree()
	at := start.Add(3 * time.Hour)
	// bbbb2222 was replaced two hours after the start, cccc3333 three.
	for keep, want := range map[time.Duration][]string{
		25 * time.Hour: nil, 24 * time.Hour: {"bbbb2222"}, 0: {"bbbb2222", "cccc3333"},
	} {
		c := collect(t, m, keep, at.Add(23*time.Hour), true)
		var got []string
		for _, g := range c.Removed {
			if p, ok := strings.CutPrefix(g.Path, "segments/ds=2026-03-01/run="); ok {
				got = append(got, p)
				if g.Files != 1 || g.Bytes < 100 || !strings.HasPrefix(g.Why, "replaced 2026-03-02") {
					t.Errorf("%+v", g)
				}
			}
		}
		if !slices.Equal(got, want) || len(c.Removed) != 3*len(want) {
			t.Errorf("keep %s: %q, %+v", keep, got, c.Removed)
		}
	}
	if diff := cmp.Diff(before, m.Tree()); diff != "" {
		t.Errorf("a dry run changed something:\n%s", diff)
	}
	collect(t, m, 0, at, false)
	want := []string{"2026-02-28 aaaa1111 current", "2026-03-01 cccc4444 current"}
	if diff := cmp.Diff(want, states(list(t, m, at))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, p := range m.Tree() {
		if strings.Contains(p, "bbbb2222") || strings.Contains(p, "cccc3333") || strings.Contains(p, "/.") {
			t.Errorf("%s is left", p)
		}
	}
	for _, r := range list(t, m, at).Runs {
		if got := verify(t, m, r.Date, r.ID, true); got != "" {
			t.Errorf("%s of %s: %s", r.ID, r.Date, got)
		}
	}
	if c := collect(t, m, 0, at, false); len(c.Removed) != 0 {
		t.Errorf("a second time: %+v", c.Removed)
	}
}

func TestCollectLeavesLivingWriters(t *testing.T) {
	m := lake(t)
	at := start.Add(24 * time.Hour)
	s := begin(t, m, options("2026-03-01", "eeee6666", at))
	c := collect(t, m, 0, at, false)
	if !slices.Equal(c.Busy, []string{"2026-03-01"}) || len(c.Removed) != 0 {
		t.Errorf("%+v", c)
	}
	finish(t, s)
	if got := verify(t, m, "2026-03-01", "eeee6666", true); got != "" {
		t.Error(got)
	}
}

func TestCollectWhatDeadWritersLeft(t *testing.T) {
	at := start.Add(24 * time.Hour)
	clean := lake(t).Tree()
	m := lake(t)
	begin(t, m, options("2026-03-03", "ffff7777", at.Add(-time.Hour))) // and never heard of again
	// What an earlier crash may have left: a table in place whose run has no mark,
	// and staged files nobody has a lease for.
	must(t, storage.WriteFile(t.Context(), m, out+"/segments/ds=2026-03-01/run=99998888/part-00000.parquet", []byte("x")))
	must(t, storage.WriteFile(t.Context(), m, out+"/.staging-2026-03-01-0123456789abcdef/segments/part-00000.parquet", []byte("x")))
	must(t, storage.WriteFile(t.Context(), m, out+"/.lease-current.7.json", []byte(`{"run":"x","expires":"2026-03-01T00:00:00Z"}`)))
	dry, wet := collect(t, m, 24*time.Hour, at, true), collect(t, m, 24*time.Hour, at, false)
	if diff := cmp.Diff(dry.Removed, wet.Removed); diff != "" || len(wet.Removed) < 4 {
		t.Errorf("what was announced and what was done differ:\n%s", diff)
	}
	if diff := cmp.Diff(clean, m.Tree()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Without a pointer nobody can tell which run is the current one.
func TestCollectWithoutPointer(t *testing.T) {
	m := lake(t)
	must(t, m.RemoveAll(t.Context(), out+"/current.json"))
	before := m.Tree()
	if c := collect(t, m, 0, start.Add(1000*time.Hour), false); len(c.Removed) != 0 {
		t.Errorf("%+v", c)
	}
	if diff := cmp.Diff(before, m.Tree()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What is not Shoal's is nobody's garbage.
func TestCollectLeavesStrangers(t *testing.T) {
	m := lake(t)
	for _, p := range []string{"/notes.txt", "/events/ds=2026-03-01/a.parquet", "/events/ds=monday/run=7/a.parquet", "/.hidden", "/.staging-soon/x"} {
		must(t, storage.WriteFile(t.Context(), m, out+p, []byte("x")))
	}
	before := m.Tree()
	collect(t, m, 1000*time.Hour, start.Add(time.Hour), false)
	if diff := cmp.Diff(before, m.Tree()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
