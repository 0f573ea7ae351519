package logit_test

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/logit"
)

// TestTimedFit is no test but the way into this package for the benchmark against
// scikit-learn. It runs the fit that $SHOAL_TIMED_FIT describes: D columns by rows,
// then the labels, float64, little-endian.
func TestTimedFit(t *testing.T) {
	file := os.Getenv("SHOAL_TIMED_FIT")
	if file == "" {
		t.Skip("for notebooks/benchmarks/logistic.py")
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var q struct {
		Data       string
		D, Workers int
	}
	if err := json.Unmarshal(read(file), &q); err != nil {
		t.Fatal(err)
	}
	b := read(q.Data)
	v := make([]float64, len(b)/8)
	for i := range v {
		v[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
	}
	n := len(v) / (q.D + 1)
	cpu := func() float64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	p := logit.DefaultParams()
	p.Workers = q.Workers
	start, used := time.Now(), cpu()
	m, _, err := logit.Fit(t.Context(), p, models.Matrix{Names: make([]string, q.D), Data: v[:n*q.D]}, v[n*q.D:])
	if err != nil {
		t.Fatal(err)
	}
	answer := map[string]any{"seconds": time.Since(start).Seconds(), "cpu": cpu() - used, "objective": m.Objective, "iterations": m.Iterations}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		t.Fatal(err)
	}
}
