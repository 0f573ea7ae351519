package bgnbd

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-data/shoal/models/paretonbd"
	"github.com/shoal-data/shoal/models/repeat"
)

// A timedRequest is one fit that notebooks/benchmarks/repeat_buying.py asks for:
// x, then t_x, then T of all customers as float64, little-endian.
type timedRequest struct {
	Data    string
	Model   string // bgnbd, mbgnbd or paretonbd
	Workers int
}

// TestTimedFit is no test but the way into this package for the benchmark against
// lifetimes. It runs the fit that $SHOAL_TIMED_FIT describes.
func TestTimedFit(t *testing.T) {
	file := os.Getenv("SHOAL_TIMED_FIT")
	if file == "" {
		t.Skip("for notebooks/benchmarks/repeat_buying.py")
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var q timedRequest
	if err := json.Unmarshal(read(file), &q); err != nil {
		t.Fatal(err)
	}
	b := read(q.Data)
	v := make([]float64, len(b)/8)
	for i := range v {
		v[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
	}
	n := len(v) / 3
	h := repeat.Histories{X: v[:n], TX: v[n : 2*n], T: v[2*n:]}
	cpu := func() float64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	p := DefaultParams()
	p.Workers, p.Modified = q.Workers, q.Model == "mbgnbd"
	start, used := time.Now(), cpu()
	var model any
	var loglik float64
	if q.Model == "paretonbd" {
		m, _, err := paretonbd.Fit(context.Background(), p.Params, h)
		if err != nil {
			t.Fatal(err)
		}
		model, loglik = m, m.LogLikelihood
	} else {
		m, _, err := Fit(context.Background(), p, h)
		if err != nil {
			t.Fatal(err)
		}
		model, loglik = m, m.LogLikelihood
	}
	answer := map[string]any{"seconds": time.Since(start).Seconds(), "cpu": cpu() - used, "loglik": loglik, "model": model}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		t.Fatal(err)
	}
}
