package publish_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/storage/storagetest/s3server"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/jobs/runs"
)

const s3Out = "s3://lake/out"

// TestS3TwoWriters lets two writers publish the same date on an S3 server, again and
// again, while a share of the answers is lost: one winner each, and no mixture. A
// thousand rounds with SHOAL_SWEEP=all.
func TestS3TwoWriters(t *testing.T) {
	rounds := 40
	if os.Getenv("SHOAL_SWEEP") == "all" {
		rounds = 1000
	}
	server, refused := s3server.Start(t), map[error]int{}
	server.Bucket(t, "lake")
	server.Set(s3server.Faults{Unavailable: 0.02, Lost: 0.02, Seed: 5})
	out := s3Out
	for round := range rounds {
		if round%20 == 0 {
			out = fmt.Sprintf("%s-%d", s3Out, round)
		}
		var wg sync.WaitGroup
		var errs [2]error
		for w := range 2 {
			wg.Go(func() {
				o := options(fmt.Sprintf("r%d-%d", round, w%(1+round%2))) // in every second round both have one id
				o.Out = out
				errs[w] = run(t.Context(), server.FS(), o, 2*round+w+1)
			})
		}
		wg.Wait()
		winner := slices.Index(errs[:], nil)
		if winner < 0 {
			t.Fatalf("round %d: nobody won: %v", round, errs)
		}
		if other := errs[1-winner]; other == nil {
			// Both may publish, one after the other, under ids of their own.
			if round%2 == 0 {
				t.Fatalf("round %d: both published one id", round)
			}
			refused[nil]++
		} else {
			why := slices.IndexFunc([]error{publish.ErrBusy, publish.ErrPublished}, func(e error) bool { return errors.Is(other, e) })
			if why < 0 {
				t.Fatalf("round %d: the other: %v", round, other)
			}
			refused[[]error{publish.ErrBusy, publish.ErrPublished}[why]]++
		}
		date := options("x").Date
		m, ok, err := publish.ReadCurrent(t.Context(), server.FS(), out, date)
		if err != nil || !ok || !strings.HasPrefix(m.RunID, fmt.Sprintf("r%d-", round)) {
			t.Fatalf("round %d: readers see %+v, %v", round, m, err)
		}
		if round%20 == 19 {
			if problems, err := runs.Verify(t.Context(), server.FS(), out, date, m.RunID, true); err != nil || len(problems) > 0 {
				t.Fatalf("round %d: %v, %v", round, problems, err)
			}
			left, err := server.FS().Glob(t.Context(), storage.QuoteMeta(out)+"/.*")
			if err != nil || len(left) > 0 {
				t.Fatalf("round %d: left %v, %v", round, left, err)
			}
		}
	}
	t.Logf("%d rounds: the other was %v; the weather: %v", rounds, refused, server.Hurt())
}

// Many dates at once on an S3 server: no date is lost from the pointer.
func TestS3ConcurrentDates(t *testing.T) {
	server := s3server.Start(t)
	server.Bucket(t, "lake")
	server.Set(s3server.Faults{Unavailable: 0.02, Lost: 0.05, Seed: 6})
	var wg sync.WaitGroup
	for d := range 12 {
		wg.Go(func() {
			o := options("a")
			o.Out, o.Date = s3Out, fmt.Sprintf("2026-01-%02d", d+1)
			if err := run(t.Context(), server.FS(), o, d); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	p, err := publish.ReadPointer(t.Context(), server.FS(), s3Out)
	if err != nil || len(p.Dates) != 12 || p.Latest != "2026-01-12" {
		t.Errorf("the pointer has %d dates, latest %s, %v", len(p.Dates), p.Latest, err)
	}
}

// A living run renews its lease, so that nobody takes it for dead.
func TestS3LeaseIsRenewed(t *testing.T) {
	server := s3server.Start(t)
	server.Bucket(t, "lake")
	o := options("a")
	o.Out, o.Lease, o.Now = s3Out, time.Second, time.Now
	h, err := publish.Take(t.Context(), server.FS(), o)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2500 * time.Millisecond) // more than twice as long as a lease lasts
	if _, err := publish.Take(t.Context(), server.FS(), o); !errors.Is(err, publish.ErrBusy) {
		t.Errorf("another takes the date: %v", err)
	}
	leases, err := server.FS().Glob(t.Context(), s3Out+"/.lease-*")
	if err != nil || len(leases) == 0 || strings.HasSuffix(leases[0].Path, ".1.json") {
		t.Errorf("leases %v, %v", leases, err)
	}
	if err := h.Release(); err != nil {
		t.Fatal(err)
	}
	if left, err := server.FS().Glob(t.Context(), s3Out+"/.*"); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// standing is a store whose writer stands still just before it replaces the pointer.
type standing struct {
	storage.FS
	meanwhile func()
}

func (s *standing) Objects(path string) (storage.Objects, bool) {
	o, ok := storage.InObjects(s.FS, path)
	return standingObjects{o, s}, ok
}

type standingObjects struct {
	storage.Objects
	s *standing
}

func (o standingObjects) WriteVersion(ctx context.Context, path string, data []byte, version string) error {
	if f := o.s.meanwhile; f != nil {
		o.s.meanwhile = nil
		f()
	}
	return o.Objects.WriteVersion(ctx, path, data, version)
}

// A run that stood still before it replaced the pointer, for so long that another took
// its date and removed its files, cannot publish any more: the pointer is another.
func TestS3FencedByThePointer(t *testing.T) {
	for _, publishes := range []bool{false, true} {
		server := s3server.Start(t)
		server.Bucket(t, "lake")
		o := options("first")
		o.Out = s3Out
		if err := run(t.Context(), server.FS(), o, 1); err != nil {
			t.Fatal(err)
		}
		want := "first"
		fsys := &standing{FS: server.FS()}
		fsys.meanwhile = func() {
			later := options("third")
			later.Out = s3Out
			later.Now = func() time.Time { return o.Now().Add(time.Hour) }
			if publishes {
				want = "third"
				if err := run(t.Context(), server.FS(), later, 3); err != nil {
					t.Fatal(err)
				}
				return
			}
			h, err := publish.Take(t.Context(), server.FS(), later)
			if err != nil {
				t.Fatal(err)
			}
			if err := h.Release(); err != nil {
				t.Fatal(err)
			}
		}
		second := o
		second.RunID = "second"
		if err := run(t.Context(), fsys, second, 2); !errors.Is(err, publish.ErrLeaseLost) {
			t.Errorf("publishes=%t: the run that stood still: %v", publishes, err)
		}
		m, ok, err := publish.ReadCurrent(t.Context(), server.FS(), s3Out, o.Date)
		if err != nil || !ok || m.RunID != want {
			t.Fatalf("publishes=%t: readers see %+v, %v, want run %s", publishes, m, err, want)
		}
		if problems, err := publish.Verify(t.Context(), server.FS(), s3Out, m, true); err != nil || len(problems) > 0 {
			t.Errorf("publishes=%t: %v, %v", publishes, problems, err)
		}
	}
}
