package runs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/storage/storagetest"
	"github.com/shoal-data/shoal/datasets/storage/storagetest/s3server"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/nightly"
)

// buckets are copies of one bucket on an S3 server, in which nights are played.
type buckets struct {
	t      testing.TB
	server *s3server.Server
	n      int
}

// fork copies a bucket; the copy lasts until drop.
func (b *buckets) fork(from string) string {
	b.n++
	name := fmt.Sprintf("lake-%d", b.n)
	b.server.Copy(b.t, from, name)
	return name
}

func (b *buckets) job(bucket string) *config.Config {
	return job(b.t, "s3://"+bucket+"/in", "s3://"+bucket+"/lake/out")
}

func (b *buckets) drop() {
	for ; b.n > 0; b.n-- {
		b.server.Drop(b.t, fmt.Sprintf("lake-%d", b.n))
	}
}

// newS3Scene is newScene in a bucket, which it names.
func newS3Scene(t testing.TB, server *s3server.Server, events []byte, empty bool) (*scene, string, *buckets) {
	t.Helper()
	b := &buckets{t: t, server: server}
	base := fmt.Sprintf("base-%t", empty)
	server.Bucket(t, base)
	ctx, fsys, c := context.Background(), server.FS(), b.job(base)
	must(t, storage.WriteFile(ctx, fsys, "s3://"+base+"/in/a.parquet", events))
	if !empty {
		_, err := runNight(ctx, c, fsys, "old", nightStart.Add(-time.Hour))
		must(t, err)
	}
	s := &scene{empty: empty, config: c, before: files(t, fsys, c.Out)}
	to := b.fork(base)
	c = b.job(to)
	f := storagetest.NewFaulty(fsys, storagetest.Plan{})
	sum, err := runNight(ctx, c, f, "new", nightStart)
	must(t, err)
	if len(sum.Tables) < 5 || sum.Targets[0].Skipped != "" || len(sum.Segments) != 2 {
		t.Fatalf("the night does not exercise every step: %+v", sum)
	}
	s.after, s.trace = files(t, fsys, c.Out), f.Trace()
	if len(s.trace) < 60 {
		t.Fatalf("%d operations: the sweep sweeps nothing", len(s.trace))
	}
	b.drop()
	return s, base, b
}

func all() bool { return os.Getenv("SHOAL_SWEEP") == "all" }

// few takes a part of a sample, of which the end is where publication is: a server
// takes its time.
func few(sample []int) []int {
	if all() || len(sample) < 16 {
		return sample
	}
	return append(slices.Clone(sample[:4]), sample[len(sample)-8:]...)
}

// TestS3ErrorSweep lets operations of a whole run on an S3 server fail, and take
// effect and still report failure; then the same for every operation after one, as if
// the process had died or the store had gone away.
func TestS3ErrorSweep(t *testing.T) {
	for _, empty := range []bool{false, true} {
		t.Run(fmt.Sprintf("empty=%t", empty), func(t *testing.T) {
			server, count := s3server.Start(t), map[string]int{}
			s, base, b := newS3Scene(t, server, sales(), empty)
			operations := few(sweep(s.trace))
			for _, i := range operations {
				for form, dies := range []bool{false, false, true, true} {
					after := form%2 == 1
					if !all() && form != i%4 {
						continue
					}
					if all() && (form > 0 && !changes(s.trace[i-1]) || form == 2 && i > 1) { // death before is as death after the change before
						continue
					}
					bucket := b.fork(base)
					f := storagetest.NewFaulty(server.FS(), storagetest.Plan{At: i, Err: syscall.EIO, After: after, Kill: dies})
					_, err := runNight(context.Background(), b.job(bucket), f, "new", nightStart)
					what := fmt.Sprintf("operation %d (%s), after=%t, dies=%t", i, f.Trace()[i-1], after, dies)
					if err != nil && nightly.ExitCode(err) != nightly.ExitTransient {
						t.Errorf("%s: exit code %d: %v", what, nightly.ExitCode(err), err)
					}
					s.check(t, what, err, func() (storage.FS, *config.Config) {
						return server.FS(), b.job(b.fork(bucket))
					}, nightStart.Add(time.Hour))
					b.drop()
					count[fmt.Sprintf("dies=%t", dies)]++
				}
			}
			t.Logf("%d operations, at %d of them %v faults, which left %d different states", len(s.trace), len(operations), count, len(s.seen))
		})
	}
}

// TestDiesInANightOnS3 is no test of its own: it is the process that
// TestS3KillSweep kills.
func TestDiesInANightOnS3(t *testing.T) {
	bucket := os.Getenv("SHOAL_DIE_IN_BUCKET")
	if bucket == "" {
		t.Skip("a part of TestS3KillSweep")
	}
	at, err := strconv.Atoi(os.Getenv("SHOAL_DIE_AT"))
	must(t, err)
	b := &buckets{t: t}
	f := storagetest.NewFaulty((&s3server.Server{}).FS(), storagetest.Plan{At: at, Die: true, After: os.Getenv("SHOAL_DIE_AFTER") != ""})
	if _, err := runNight(t.Context(), b.job(bucket), f, "new", time.Now()); err != nil {
		t.Fatal(err)
	}
	t.Fatal("nobody died")
}

// TestS3KillSweep kills processes, with kill -9, at operations of a whole run on an
// S3 server. The next run begins at once.
func TestS3KillSweep(t *testing.T) {
	server, count := s3server.Start(t), 0
	s, base, b := newS3Scene(t, server, sales(), false)
	for _, i := range few(ofEachKind(s.trace, sweep(s.trace))) {
		bucket, after := b.fork(base), i%2 == 0
		child := exec.Command(os.Args[0], "-test.run=^TestDiesInANightOnS3$")
		child.Env = append(os.Environ(), "SHOAL_DIE_IN_BUCKET="+bucket, "SHOAL_DIE_AT="+strconv.Itoa(i))
		if after {
			child.Env = append(child.Env, "SHOAL_DIE_AFTER=1")
		}
		text, err := child.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != -1 {
			t.Fatalf("operation %d: the process was not killed: %v\n%s", i, err, text)
		}
		s.check(t, fmt.Sprintf("killed at operation %d of %d, after=%t", i, len(s.trace), after), err, func() (storage.FS, *config.Config) {
			return server.FS(), b.job(b.fork(bucket))
		}, time.Now().Add(time.Second))
		b.drop()
		count++
	}
	t.Logf("%d processes killed, at %d operations", count, len(s.trace))
}

// TestS3InBadWeather runs whole nights while a share of the requests goes wrong.
// Patience makes up for all of it, and the bytes are the same.
func TestS3InBadWeather(t *testing.T) {
	server := s3server.Start(t)
	s, base, b := newS3Scene(t, server, sales(), false)
	for name, f := range map[string]s3server.Faults{
		"5% 503":                       {Unavailable: 0.05},
		"10% reset after success":      {Lost: 0.10},
		"10% reset before":             {Reset: 0.10},
		"10% cut short":                {Cut: 0.10},
		"50% slow":                     {Slow: 0.50},
		"5% of each, some that stall":  {Unavailable: 0.05, Lost: 0.05, Reset: 0.05, Cut: 0.05, Slow: 0.05, Stall: 0.005},
		"half of all that is answered": {Unavailable: 0.25, Lost: 0.25},
	} {
		bucket := b.fork(base)
		f.Seed = 11
		server.Set(f)
		_, err := runNight(context.Background(), b.job(bucket), server.FS(), "new", nightStart)
		hurt := server.Hurt()
		server.Set(s3server.Faults{})
		if err != nil || len(hurt) == 0 {
			t.Errorf("%s: %v; the weather: %v", name, err, hurt)
		}
		s.check(t, name, err, func() (storage.FS, *config.Config) { return server.FS(), b.job(b.fork(bucket)) }, nightStart.Add(time.Hour))
		t.Logf("%s: %v", name, hurt)
	}
}

// TestS3Permanent gives a night a place that it cannot use.
func TestS3Permanent(t *testing.T) {
	server := s3server.Start(t)
	server.Bucket(t, "lake")
	must(t, storage.WriteFile(t.Context(), server.FS(), "s3://lake/in/a.parquet", sales()))
	forbid := func(method, key string) func(*http.Request) int {
		return func(r *http.Request) int {
			if strings.Contains(r.URL.Path+r.URL.RawQuery, key) && (method == "" || r.Method == method) {
				return http.StatusForbidden
			}
			return 0
		}
	}
	for _, c := range []struct {
		name, in, out string
		deny          func(*http.Request) int
		code          int
		says          string
	}{
		{"no bucket to read", "s3://nowhere/in", "s3://lake/out", nil, nightly.ExitBadData, "s3://nowhere/in/*.parquet"},
		{"no bucket to write", "s3://lake/in", "s3://nowhere/out", nil, nightly.ExitUsage, "s3://nowhere/out"},
		{"nothing there", "s3://lake/empty", "s3://lake/out", nil, nightly.ExitNoInput, "s3://lake/empty/*.parquet"},
		{"may not list", "s3://lake/in", "s3://lake/out", forbid("", "prefix=in"), nightly.ExitBadData, "s3://lake/in/*.parquet"},
		{"may not read", "s3://lake/in", "s3://lake/out", forbid(http.MethodGet, "/in/a.parquet"), nightly.ExitBadData, "s3://lake/in/a.parquet"},
		{"may not write", "s3://lake/in", "s3://lake/out", forbid(http.MethodPut, ""), nightly.ExitUsage, "s3://lake/out"},
		{"store is down", "s3://lake/in", "s3://lake/out", func(*http.Request) int { return http.StatusServiceUnavailable }, nightly.ExitTransient, "SlowDown"},
	} {
		server.Deny(c.deny)
		_, err := runNight(t.Context(), job(t, c.in, c.out), server.FS(), "new", nightStart)
		server.Deny(nil)
		if nightly.ExitCode(err) != c.code || err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), s3server.SecretKey) {
			t.Errorf("%s: exit code %d, want %d: %v", c.name, nightly.ExitCode(err), c.code, err)
		}
	}
}

// TestS3ReadsOnlyWhatIsNeeded has a column that nothing asks for make up nearly all
// of a file.
func TestS3ReadsOnlyWhatIsNeeded(t *testing.T) {
	type row struct {
		sale
		Payload []byte `parquet:"payload"`
	}
	narrow, err := parquet.Read[sale](bytes.NewReader(sales()), int64(len(sales())))
	must(t, err)
	rng, wide := rand.New(rand.NewPCG(1, 2)), []row{}
	for _, s := range narrow {
		p := make([]byte, 4<<10)
		for i := range p {
			p[i] = byte(rng.Uint32())
		}
		wide = append(wide, row{s, p})
	}
	var b bytes.Buffer
	must(t, parquet.Write(&b, wide))
	server := s3server.Start(t)
	server.Bucket(t, "lake")
	must(t, storage.WriteFile(t.Context(), server.FS(), "s3://lake/in/a.parquet", b.Bytes()))
	_, before := server.Traffic()
	_, err = runNight(t.Context(), job(t, "s3://lake/in", "s3://lake/out"), server.FS(), "new", nightStart)
	must(t, err)
	_, after := server.Traffic()
	if got := after - before; got > 3<<20 || b.Len() < 10<<20 {
		t.Errorf("%d bytes were read of a file of %d", got, b.Len())
	}
	t.Logf("%d of %d bytes were read", after-before, b.Len())
}

// TestPermutations publishes the same events in files divided and ordered anew,
// with events of later days and with every row several times: one hash. A hundred
// times with SHOAL_SWEEP=all.
func TestPermutations(t *testing.T) {
	times := 8
	if all() {
		times = 100
	}
	base, err := parquet.Read[sale](bytes.NewReader(sales()), int64(len(sales())))
	must(t, err)
	var want map[string]string
	for n := range times {
		rng := rand.New(rand.NewPCG(uint64(n), 23))
		rows := slices.Clone(base)
		for range n % 3 { // doubles, of a part of the rows
			rows = append(rows, base[:rng.IntN(len(base))]...)
		}
		if n%2 == 1 { // what happens after the night is nothing to it
			for range rng.IntN(500) {
				late := base[rng.IntN(len(base))]
				late.Time = nightStart.Add(time.Duration(1+rng.IntN(1000)) * time.Hour).UnixMicro()
				rows = append(rows, late)
			}
		}
		rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		m := storagetest.NewMem()
		shards := 1 + rng.IntN(64)
		for k := range shards {
			var b bytes.Buffer
			must(t, parquet.Write(&b, rows[k*len(rows)/shards:(k+1)*len(rows)/shards]))
			must(t, storage.WriteFile(t.Context(), m, fmt.Sprintf("/in/%03d.parquet", rng.IntN(1000)*64+k), b.Bytes()))
		}
		c := job(t, "/in", "/out")
		c.Dedupe = config.DedupeExact
		_, err := runNight(t.Context(), c, m, "new", nightStart)
		must(t, err)
		got := files(t, m, "/out")
		for name := range got { // the page says how many files there were and how many rows
			if strings.HasPrefix(name, "report/") || strings.HasPrefix(name, "data_quality/") {
				delete(got, name)
			}
		}
		if want == nil {
			want = got
		}
		if d := differs(want, got); d != "" {
			t.Errorf("permutation %d, %d files, %d rows: %s", n, shards, len(rows), d)
		}
	}
	t.Logf("%d permutations, one hash", times)
}
