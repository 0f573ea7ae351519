package publish_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

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
