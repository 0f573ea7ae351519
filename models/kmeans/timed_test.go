package kmeans

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/internal/numeric/nearest"
)

// A timedRequest is one fit that notebooks/benchmarks/kmeans.py asks for:
// float32 rows and starting centres in files, little-endian, and where the
// labels (uint32) and centres (float64) go.
type timedRequest struct {
	Data, Start, Labels, Centres string
	D, K, MaxIter, Workers       int
	Path                         string // of package nearest; empty takes the fastest
}

type timedAnswer struct {
	Seconds    float64 `json:"seconds"` // wall time
	CPU        float64 `json:"cpu"`     // processor time
	Iterations int     `json:"iterations"`
	Inertia    float64 `json:"inertia"`
	Path       string  `json:"path"`
}

// TestTimedFit is no test but the way into this package for the benchmark
// against other libraries. It runs the fit that $SHOAL_TIMED_FIT describes.
func TestTimedFit(t *testing.T) {
	file := os.Getenv("SHOAL_TIMED_FIT")
	if file == "" {
		t.Skip("for notebooks/benchmarks/kmeans.py")
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
	floats := func(name string) []float32 {
		b := read(name)
		v := make([]float32, len(b)/4)
		for i := range v {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		return v
	}
	names := make([]string, q.D)
	x := models.Matrix32{Names: names, Data: floats(q.Data)}
	start := models.Matrix{Names: names}
	for _, v := range floats(q.Start) {
		start.Data = append(start.Data, float64(v))
	}
	p := DefaultParams()
	p.K, p.MaxIter, p.Tol, p.Workers, p.SeedSample = q.K, q.MaxIter, 0, q.Workers, max(p.SeedSample, q.K)
	a := timedAnswer{Path: nearest.Paths()[0]}
	if q.Path != "" {
		a.Path = q.Path
		defer nearest.Use(q.Path)()
	}
	processor := func() float64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	cpu, began := processor(), time.Now()
	m, r, _, err := Fit32(t.Context(), p, x, Options{Start: start})
	if err != nil {
		t.Fatal(err)
	}
	a.Seconds, a.CPU = time.Since(began).Seconds(), processor()-cpu
	a.Iterations, a.Inertia = r.Iterations, r.Inertia
	var labels, centres []byte
	for _, l := range r.Labels {
		labels = binary.LittleEndian.AppendUint32(labels, uint32(l))
	}
	for _, v := range m.centres {
		centres = binary.LittleEndian.AppendUint64(centres, math.Float64bits(v))
	}
	for name, out := range map[string][]byte{q.Labels: labels, q.Centres: centres} {
		if err := os.WriteFile(name, out, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout.Write(append(append([]byte("timed "), b...), '\n'))
}
