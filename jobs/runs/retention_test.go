package runs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/storage/storagetest"
	"github.com/shoal-data/shoal/datasets/storage/storagetest/s3server"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/jobs/runs"
)

// limited publishes three dates: one to be kept for five days, one, that was run twice,
// for ten, and one for as long as anybody likes.
func limited(t testing.TB, fsys storage.FS, out string) {
	t.Helper()
	for i, r := range []struct{ date, id, until string }{
		{"2026-02-28", "aaaa1111", "2026-03-05"}, {"2026-03-01", "bbbb2222", "2026-03-11"}, {"2026-03-01", "cccc3333", "2026-03-11"}, {"2026-03-02", "dddd4444", ""},
	} {
		o := options(r.date, r.id, start.Add(time.Duration(i)*time.Hour))
		o.Out = out
		must(t, begin(t, fsys, o).Commit(context.Background(), &publish.Manifest{ToolVersion: "0.1.0", Config: json.RawMessage(`{}`), DataUse: &publish.DataUse{KeepUntil: r.until}}))
	}
}

// kept lists the runs there are, and whether anything of others is left.
func kept(t testing.TB, fsys storage.FS, out string) string {
	t.Helper()
	l, err := runs.List(context.Background(), fsys, out, start)
	must(t, err)
	all := []string{"latest " + l.Latest}
	for _, r := range l.Runs {
		all = append(all, r.ID+" "+r.State)
	}
	for name := range files(t, fsys, out) {
		if !slices.ContainsFunc(l.Runs, func(r runs.Run) bool { return strings.Contains(name, "ds="+r.Date+"/run="+r.ID+"/") }) && name != "current.json" {
			all = append(all, "left "+name)
		}
	}
	return strings.Join(all, ", ")
}

// gc removes runs once nobody may keep them any longer, current ones too, and no other;
// whatever fails on the way, readers see a whole run or none of the date, and gc again
// ends the same.
func TestRetentionIsKept(t *testing.T) {
	server := s3server.Start(t)
	server.Bucket(t, "mended")
	stores := map[string]func(fault storagetest.Plan) (storage.FS, *storagetest.Faulty, string){
		"a disk": func(fault storagetest.Plan) (storage.FS, *storagetest.Faulty, string) {
			m := storagetest.NewMem()
			m.Now = func() time.Time { return start }
			limited(t, m, out)
			return m, storagetest.NewFaulty(m, fault), out
		},
		"S3": func() func(storagetest.Plan) (storage.FS, *storagetest.Faulty, string) {
			n := 0
			return func(fault storagetest.Plan) (storage.FS, *storagetest.Faulty, string) {
				n++
				at := fmt.Sprintf("s3://mended/%d", n)
				limited(t, server.FS(), at)
				return server.FS(), storagetest.NewFaulty(server.FS(), fault), at
			}
		}(),
	}
	for name, store := range stores {
		t.Run(name, func(t *testing.T) {
			collect := func(fsys storage.FS, out string, day int, dry bool) (*runs.Collection, error) {
				now := time.Date(2026, 3, day, 23, 59, 0, 0, time.UTC)
				return runs.Collect(t.Context(), runs.CollectOptions{FS: fsys, Out: out, Keep: 1000 * time.Hour, DryRun: dry, Now: func() time.Time { return now }})
			}
			fsys, _, at := store(storagetest.Plan{})
			for _, c := range []struct {
				day  int
				want string
			}{
				{5, "latest 2026-03-02, aaaa1111 current, bbbb2222 replaced, cccc3333 current, dddd4444 current"},
				{6, "latest 2026-03-02, bbbb2222 replaced, cccc3333 current, dddd4444 current"},
				{11, "latest 2026-03-02, bbbb2222 replaced, cccc3333 current, dddd4444 current"},
				{12, "latest 2026-03-02, dddd4444 current"},
			} {
				before := kept(t, fsys, at)
				dry, err := collect(fsys, at, c.day, true)
				must(t, err)
				if got := kept(t, fsys, at); got != before {
					t.Errorf("a dry run on day %d changed %s to %s", c.day, before, got)
				}
				done, err := collect(fsys, at, c.day, false)
				must(t, err)
				if got := kept(t, fsys, at); got != c.want {
					t.Errorf("on day %d there is %s, want %s", c.day, got, c.want)
				}
				if d := cmp.Diff(dry.Removed, done.Removed); d != "" {
					t.Errorf("on day %d (-said +done):\n%s", c.day, d)
				}
				if changed := before != c.want; changed != (len(done.Removed) > 0) || changed && !strings.Contains(done.Removed[0].Why, "was to be kept until 2026-03-") {
					t.Errorf("on day %d removed %+v", c.day, done.Removed)
				}
			}

			// One date: another's would wait for the turn at the pointer that a fault left taken.
			_, f, at := store(storagetest.Plan{})
			_, err := collect(f, at, 6, false)
			must(t, err)
			operations := len(f.Trace())
			swept := 0
			for i := 1; i <= operations; i++ {
				for form := range 3 {
					if name == "S3" && !all() && (i+form)%13 > 0 && i < operations-8 { // a server takes its time
						continue
					}
					swept++
					fsys, f, at := store(storagetest.Plan{At: i, Err: syscall.EIO, After: form == 1, Kill: form == 2})
					_, failed := collect(f, at, 6, false)
					p, err := publish.ReadPointer(t.Context(), fsys, at)
					must(t, err)
					for date, c := range p.Dates {
						if problems, err := runs.Verify(t.Context(), fsys, at, date, c.Run, true); err != nil || len(problems) > 0 {
							t.Fatalf("operation %d (%s), form %d: readers of %s see %v, %v", i, f.Trace()[i-1], form, date, problems, err)
						}
					}
					if failed != nil && !publish.Transient(failed) {
						t.Errorf("operation %d (%s), form %d: %v", i, f.Trace()[i-1], form, failed)
					}
					if _, err := collect(fsys, at, 7, false); err != nil {
						t.Errorf("operation %d (%s), form %d: gc again: %v", i, f.Trace()[i-1], form, err)
					}
					if got := kept(t, fsys, at); got != "latest 2026-03-02, bbbb2222 replaced, cccc3333 current, dddd4444 current" {
						t.Errorf("operation %d (%s), form %d: after gc again there is %s", i, f.Trace()[i-1], form, got)
					}
				}
			}
			if operations < 50 {
				t.Errorf("%d operations: nothing was swept", operations)
			}
			t.Logf("%d faults, at %d operations", swept, operations)
		})
	}
}
