package runs_test

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/storage/storagetest"
	"github.com/shoal-data/shoal/jobs/nightly"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/jobs/runs"
	"github.com/shoal-data/shoal/jobs/schedule"
)

// backfill runs June in a directory, and dies at an operation unless that is 0. It tells
// how many operations there were.
func backfill(t testing.TB, dir string, at int) (b *schedule.Backfilled, operations int) {
	t.Helper()
	f := storagetest.NewFaulty(storage.Local(), storagetest.Plan{At: at, Die: true})
	c := job(t, dir+"/in", dir+"/lake/out")
	b, err := schedule.Backfill(context.Background(), schedule.BackfillOptions{
		From: "2024-06-01", To: "2024-06-30", Retries: schedule.DefaultRetries(),
		Night: func(ctx context.Context, date string) (*nightly.Summary, error) {
			return nightly.Run(ctx, nightly.Options{Config: c, Date: date, FS: f, Version: "new", Log: zerolog.Nop(), Now: time.Now})
		},
	})
	must(t, err)
	return b, len(f.Trace())
}

// TestDiesInABackfill is no test of its own: it is the process that
// TestBackfillInterrupted kills.
func TestDiesInABackfill(t *testing.T) {
	dir := os.Getenv("SHOAL_BACKFILL_IN")
	if dir == "" {
		t.Skip("a part of TestBackfillInterrupted")
	}
	at, err := strconv.Atoi(os.Getenv("SHOAL_DIE_AT"))
	must(t, err)
	backfill(t, dir, at)
}

// TestBackfillInterrupted kills a backfill of thirty days, with kill -9, twenty
// times at random, and each time begins it again. It ends as one that was left in
// peace.
func TestBackfillInterrupted(t *testing.T) {
	if testing.Short() {
		t.Skip("ninety nights")
	}
	tmp := filepath.ToSlash(t.TempDir())
	for _, dir := range []string{"peace", "trouble"} {
		must(t, os.MkdirAll(tmp+"/"+dir+"/in", 0o777))
		must(t, os.WriteFile(tmp+"/"+dir+"/in/a.parquet", sales(), 0o666))
	}
	b, operations := backfill(t, tmp+"/peace", 0)
	if b.Published != 30 {
		t.Fatalf("%+v", b)
	}
	rng := rand.New(rand.NewPCG(5, 20))
	kills := 0
	for kills < 20 {
		child := exec.Command(os.Args[0], "-test.run=^TestDiesInABackfill$")
		child.Env = append(os.Environ(), "SHOAL_BACKFILL_IN="+tmp+"/trouble", "SHOAL_DIE_AT="+strconv.Itoa(1+rng.IntN(operations/10))) // within three nights
		text, err := child.CombinedOutput()
		if err == nil {
			t.Fatalf("done after %d interruptions: kill it sooner", kills)
		}
		if child.ProcessState.ExitCode() != -1 {
			t.Fatalf("not killed: %v\n%s", err, text)
		}
		kills++
	}
	b, _ = backfill(t, tmp+"/trouble", 0)
	if b.Published+b.Noop != 30 || b.Noop < 10 || b.Published == 0 {
		t.Errorf("the last of %d attempts: %d published, %d published before", kills+1, b.Published, b.Noop)
	}
	for _, dir := range []string{"peace", "trouble"} {
		_, err := runs.Collect(t.Context(), runs.CollectOptions{FS: storage.Local(), Out: tmp + "/" + dir + "/lake/out", Keep: time.Hour, Now: func() time.Time { return time.Now().Add(6 * time.Second) }})
		must(t, err)
	}
	if d := differs(files(t, storage.Local(), tmp+"/peace/lake/out"), files(t, storage.Local(), tmp+"/trouble/lake/out")); d != "" {
		t.Errorf("not as in peace (-want +got):\n%s", d)
	}
	named := map[string]map[string]string{}
	for _, dir := range []string{"peace", "trouble"} {
		p, err := publish.ReadPointer(t.Context(), storage.Local(), tmp+"/"+dir+"/lake/out")
		must(t, err)
		named[dir] = map[string]string{}
		for date, c := range p.Dates {
			named[dir][date] = c.Run
		}
	}
	if d := cmp.Diff(named["peace"], named["trouble"]); d != "" || len(named["peace"]) != 30 {
		t.Errorf("the pointers differ (-want +got):\n%s", d)
	}
	t.Logf("%d interruptions, %d dates done before the last attempt", kills, b.Noop)
}
