package publish_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/storage/storagetest"
	"github.com/shoal-data/shoal/jobs/publish"
)

// TestHoldsUntilKilled is no test of its own: it is the process that
// TestDeadProcessHoldsNothing kills.
func TestHoldsUntilKilled(t *testing.T) {
	dir := os.Getenv("SHOAL_HOLD")
	if dir == "" {
		t.Skip("a part of TestDeadProcessHoldsNothing")
	}
	o := options("dead")
	o.Out, o.Now = dir, time.Now
	s, err := publish.Begin(t.Context(), storage.Local(), o)
	must(t, err)
	tw, err := s.Table("segments", segmentSchema)
	must(t, err)
	must(t, tw.Write(segments(1)))
	must(t, os.WriteFile(dir+"/ready", nil, 0o666))
	time.Sleep(time.Minute)
}

// After kill -9 the next run of the date on the same machine waits for nothing.
func TestDeadProcessHoldsNothing(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		t.Skip("on this system a lease has to expire")
	}
	dir := filepath.ToSlash(t.TempDir())
	child := exec.Command(os.Args[0], "-test.run=^TestHoldsUntilKilled$")
	child.Env = append(os.Environ(), "SHOAL_HOLD="+dir)
	must(t, child.Start())
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(dir + "/ready"); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the other process did not begin")
		}
	}
	o := options("next")
	o.Out, o.Now = dir, time.Now
	_, err := publish.Begin(t.Context(), storage.Local(), o)
	if !errors.Is(err, publish.ErrBusy) {
		t.Errorf("while the other process lives: %v", err)
	}
	contains(t, err, "run dead")
	must(t, child.Process.Kill())
	// It has not been waited for: a zombie holds nothing either.
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		if err = run(t.Context(), storage.Local(), o, 1); err == nil {
			break
		}
		if !errors.Is(err, publish.ErrBusy) || time.Now().After(deadline) {
			t.Fatalf("after the other process died: %v", err)
		}
	}
	child.Wait()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("%s is left", e.Name())
		}
	}
}

// The date is taken before the run is computed, and given up when there is none.
func TestTake(t *testing.T) {
	m := storagetest.NewMem()
	o := options("")
	h, err := publish.Take(t.Context(), m, o)
	must(t, err)
	if _, err := publish.Take(t.Context(), m, o); !errors.Is(err, publish.ErrBusy) || !publish.Transient(err) {
		t.Errorf("the second to take the date: %v", err)
	}
	must(t, h.Release())
	must(t, h.Release())
	if got := m.Tree(); len(got) > 0 {
		t.Errorf("left behind: %q", got)
	}
	if _, err := h.Begin(t.Context(), "a"); err == nil {
		t.Error("a run was begun on a date that was given up")
	}

	// An id that is taken leaves the date held, for another id.
	must(t, run(t.Context(), m, options("a"), 1))
	h, err = publish.Take(t.Context(), m, o)
	must(t, err)
	if _, err := h.Begin(t.Context(), "a"); !errors.Is(err, publish.ErrPublished) {
		t.Errorf("a published id: %v", err)
	}
	s, err := h.Begin(t.Context(), "b")
	must(t, err)
	for name, rec := range tablesOf(2) {
		tw, err := s.Table(name, rec.Schema())
		must(t, err)
		must(t, tw.Write(rec))
	}
	must(t, s.Commit(t.Context(), manifest(2)))
	must(t, h.Release())
	if seed, err := current(m); seed != 2 || err != nil {
		t.Errorf("readers see run %d, %v", seed, err)
	}
}

// A run whose date another took is told while it computes, not at its end.
func TestLostWhileComputing(t *testing.T) {
	m := storagetest.NewMem()
	o := options("")
	o.Lease, o.Now = time.Second, time.Now
	h, err := publish.Take(t.Context(), m, o)
	must(t, err)
	defer h.Release()
	if h.Lost() != nil || h.Context().Err() != nil {
		t.Fatal("lost at once")
	}
	later := options("b")
	later.Now = func() time.Time { return time.Now().Add(time.Hour) } // to whom the lease has expired
	must(t, run(t.Context(), m, later, 2))
	select {
	case <-h.Context().Done():
	case <-time.After(10 * time.Second):
		t.Fatal("nobody said that the date is lost")
	}
	if err := h.Lost(); !errors.Is(err, publish.ErrLeaseLost) || !publish.Transient(err) || !errors.Is(context.Cause(h.Context()), publish.ErrLeaseLost) {
		t.Errorf("lost: %v", err)
	}
	must(t, h.Release())
	if seed, err := current(m); seed != 2 || err != nil {
		t.Errorf("readers see run %d, %v", seed, err)
	}
}
