package runs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/storage/storagetest"
	"github.com/shoal-data/shoal/jobs/nightly"
	"github.com/shoal-data/shoal/jobs/runs"
)

// TestVerifyFindsEveryCorruption changes published files, the manifest, its mark
// and the pointer included, ten thousand times.
func TestVerifyFindsEveryCorruption(t *testing.T) {
	const date, id = "2026-03-01", "cccc4444"
	m := lake(t)
	ctx, rng := t.Context(), rand.New(rand.NewPCG(11, 13))
	paths := []string{
		"current.json", "manifests/ds=2026-03-01/run=cccc4444/manifest.json", "manifests/ds=2026-03-01/run=cccc4444/_SUCCESS",
		"customer_scores/ds=2026-03-01/run=cccc4444/part-00000.parquet", "segments/ds=2026-03-01/run=cccc4444/part-00000.parquet",
	}
	whole := map[string][]byte{}
	for _, p := range paths {
		data, err := storage.ReadFile(ctx, m, out+"/"+p, 1<<20)
		must(t, err)
		whole[p] = data
	}
	put := func(p string, data []byte) {
		must(t, m.RemoveAll(ctx, out+"/"+p))
		if data != nil {
			must(t, storage.WriteFile(ctx, m, out+"/"+p, data))
		}
	}
	kinds := map[string]int{}
	for n := 0; n < 10_000; {
		p := paths[rng.IntN(len(paths))]
		was := whole[p]
		now, kind := slices.Clone(was), ""
		at := rng.IntN(len(was))
		switch rng.IntN(9) {
		case 0, 1, 2:
			kind = "bit flipped"
			now[at] ^= 1 << rng.IntN(8)
		case 3:
			kind = "byte replaced"
			now[at] = byte(rng.Uint32())
		case 4:
			kind = "16 bytes zeroed"
			clear(now[at:min(at+16, len(now))])
		case 5:
			kind = "cut short"
			now = now[:at]
		case 6:
			kind = "bytes inserted"
			now = slices.Insert(now, at, []byte("\n \x00}")[:1+rng.IntN(4)]...)
		case 7:
			kind = "bytes appended"
			now = append(now, []byte("\n \x00}")[:1+rng.IntN(4)]...)
		case 8:
			kind = "file gone, or another's"
			if now = nil; rng.IntN(2) == 0 {
				now = slices.Clone(whole[paths[rng.IntN(len(paths))]])
			}
		}
		if bytes.Equal(was, now) && now != nil {
			continue
		}
		put(p, now)
		problems, err := runs.Verify(ctx, m, out, date, id, true)
		if err != nil || len(problems) == 0 {
			t.Errorf("%s: %s at %d of %d: found %v, %v", p, kind, at, len(was), problems, err)
		} else if dir := p[:strings.LastIndexByte(p, '/')+1]; dir != "" && !strings.HasPrefix(problems[0].Path+"/", dir) {
			t.Errorf("%s: %s at %d: said of %s: %s", p, kind, at, problems[0].Path, problems[0])
		}
		put(p, was)
		kinds[kind]++
		n++
	}
	if got := verify(t, m, date, id, true); got != "" {
		t.Errorf("put back as it was: %s", got)
	}
	t.Log(kinds)
}

// TestDiskFull lets the disk of a whole run fill up, at one size after another.
func TestDiskFull(t *testing.T) {
	s := newScene(t, sales(), false)
	step, count := int64(64<<10), 0
	if os.Getenv("SHOAL_SWEEP") == "all" {
		step = 4 << 10
	}
	for space := int64(0); ; space += step {
		m, c := clone(s.lake), s.config
		_, err := runNight(t.Context(), c, storagetest.NewFaulty(m, storagetest.Plan{Full: true, Space: space}), "new", nightStart)
		if err == nil {
			break
		}
		what := fmt.Sprintf("%d bytes free", space)
		if nightly.ExitCode(err) != nightly.ExitTransient || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("%s: exit code %d: %v", what, nightly.ExitCode(err), err)
		}
		if d := differs(s.before, files(t, m, c.Out)); d != "" {
			t.Errorf("%s: left behind (-want +got):\n%s", what, d)
		}
		s.check(t, what, err, copies(m, c), nightStart.Add(time.Hour))
		count++
	}
	if count < 5 {
		t.Errorf("%d sizes: the night fits on any disk", count)
	}
	t.Logf("%d sizes, every %d bytes", count, step)
}

// TestOutputNotPermitted lets every write of a run be refused, from one operation
// on: nothing can be cleaned up either.
func TestOutputNotPermitted(t *testing.T) {
	s, count := newScene(t, sales(), false), 0
	for _, cause := range []error{syscall.EACCES, syscall.EROFS, syscall.EIO, syscall.EMFILE} {
		for _, i := range sweep(s.trace) {
			m, c := clone(s.lake), s.config
			f := storagetest.NewFaulty(m, storagetest.Plan{At: i, Err: cause, Kill: true})
			_, err := runNight(t.Context(), c, f, "new", nightStart)
			what := fmt.Sprintf("%v from operation %d (%s) on", cause, i, f.Trace()[i-1])
			retry := errors.Is(cause, syscall.EIO) || errors.Is(cause, syscall.EMFILE)
			ofOutput := strings.Contains(f.Trace()[i-1], c.Out)
			switch code := nightly.ExitCode(err); {
			case err == nil: // it was published already
			case retry && code != nightly.ExitTransient, !retry && ofOutput && code != nightly.ExitUsage:
				t.Errorf("%s: exit code %d: %v", what, code, err)
			}
			s.check(t, what, err, copies(m, c), nightStart.Add(time.Hour))
			count++
		}
	}
	t.Logf("%d nights that lost their output, at %d operations", count, len(s.trace))
}

// TestFewFilesInANight is no test of its own: it is the process that
// TestTooManyOpenFiles starves.
func TestFewFilesInANight(t *testing.T) {
	dir := os.Getenv("SHOAL_FEW_FILES_IN")
	if dir == "" {
		t.Skip("a part of TestTooManyOpenFiles")
	}
	limit, err := strconv.ParseUint(os.Getenv("SHOAL_FEW_FILES"), 10, 64)
	must(t, err)
	c := job(t, dir+"/in", dir+"/lake/out") // which loads time zones and whatever else a process opens once
	var was syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was))
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: limit, Max: was.Max}))
	_, err = runNight(t.Context(), c, storage.Local(), "new", time.Now())
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was))
	must(t, os.WriteFile(dir+"/said", fmt.Appendf(nil, "%d %v", nightly.ExitCode(err), err), 0o666))
}

// TestTooManyOpenFiles runs a night in processes that may open few files.
func TestTooManyOpenFiles(t *testing.T) {
	tmp := filepath.ToSlash(t.TempDir())
	base := tmp + "/base"
	must(t, os.MkdirAll(base+"/in", 0o777))
	must(t, os.WriteFile(base+"/in/a.parquet", sales(), 0o666))
	_, err := runNight(t.Context(), job(t, base+"/in", base+"/lake/out"), storage.Local(), "old", time.Now().Add(-time.Hour))
	must(t, err)
	before := files(t, storage.Local(), base+"/lake/out")
	failed, done := 0, false
	for limit := 4; limit < 64 && !done; limit++ {
		dir := tmp + "/few"
		must(t, os.RemoveAll(dir))
		must(t, os.CopyFS(dir, os.DirFS(base)))
		child := exec.Command(os.Args[0], "-test.run=^TestFewFilesInANight$")
		child.Env = append(os.Environ(), "SHOAL_FEW_FILES_IN="+dir, "SHOAL_FEW_FILES="+strconv.Itoa(limit))
		text, err := child.CombinedOutput()
		if err != nil {
			t.Fatalf("limit %d: %v\n%s", limit, err, text)
		}
		said, err := os.ReadFile(dir + "/said")
		must(t, err)
		seen, err := reader(storage.Local(), dir+"/lake/out")
		switch {
		case err != nil:
			t.Errorf("limit %d: readers fail: %v; %s", limit, err, said)
		case strings.HasPrefix(string(said), "0 "):
			done = true
			if seen != "new" {
				t.Errorf("limit %d: readers see %q; %s", limit, seen, said)
			}
		case !strings.HasPrefix(string(said), "75 ") || !strings.Contains(string(said), "too many open files"):
			t.Errorf("limit %d: %s", limit, said)
		default:
			failed++
			if d := differs(before, files(t, storage.Local(), dir+"/lake/out")); d != "" || seen != "old" {
				t.Errorf("limit %d: readers see %q, left behind (-want +got):\n%s", limit, seen, d)
			}
		}
	}
	if failed < 1 || !done {
		t.Errorf("%d limits failed, a larger one was enough: %t", failed, done)
	}
	t.Logf("%d limits were too low", failed)
}

// TestCancelledNight stops a run, as SIGTERM does, at its operations.
func TestCancelledNight(t *testing.T) {
	s, count := newScene(t, sales(), false), 0
	for _, i := range sweep(s.trace) {
		m, c := clone(s.lake), s.config
		ctx, cancel := context.WithCancel(t.Context())
		f := &cancelAt{Faulty: storagetest.NewFaulty(m, storagetest.Plan{}), at: i, cancel: cancel}
		_, err := runNight(ctx, c, f, "new", nightStart)
		what := fmt.Sprintf("cancelled at operation %d", i)
		if err != nil && nightly.ExitCode(err) != nightly.ExitTerminated {
			t.Errorf("%s: exit code %d: %v", what, nightly.ExitCode(err), err)
		}
		left := s.before
		if seen, err := reader(m, c.Out); err == nil && seen == "new" {
			left = s.after
		}
		if d := differs(left, files(t, m, c.Out)); d != "" {
			t.Errorf("%s: left behind (-want +got):\n%s", what, d)
		}
		s.check(t, what, err, copies(m, c), nightStart.Add(time.Hour))
		cancel()
		count++
	}
	t.Logf("%d nights stopped, at %d operations", count, len(s.trace))
}

// cancelAt cancels once so many operations have begun.
type cancelAt struct {
	*storagetest.Faulty
	at     int
	cancel func()
}

func (c *cancelAt) count() {
	if len(c.Trace())+1 >= c.at {
		c.cancel()
	}
}

func (c *cancelAt) Glob(ctx context.Context, p string) ([]storage.Info, error) {
	c.count()
	return c.Faulty.Glob(ctx, p)
}

func (c *cancelAt) Open(ctx context.Context, p string) (storage.File, error) {
	c.count()
	return c.Faulty.Open(ctx, p)
}

func (c *cancelAt) Create(ctx context.Context, p string) (storage.Writer, error) {
	c.count()
	return c.Faulty.Create(ctx, p)
}

func (c *cancelAt) Rename(ctx context.Context, from, to string) error {
	c.count()
	return c.Faulty.Rename(ctx, from, to)
}

func (c *cancelAt) SyncDir(ctx context.Context, p string) error {
	c.count()
	return c.Faulty.SyncDir(ctx, p)
}
