package gbdt_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/gbdt"
)

// TestContest is this package's part in notebooks/benchmarks/gbdt.py, which says
// by $SHOAL_GBDT_CONTEST what to train on and reads the figures it prints.
func TestContest(t *testing.T) {
	setup := os.Getenv("SHOAL_GBDT_CONTEST")
	if setup == "" {
		t.Skip("run by notebooks/benchmarks/gbdt.py")
	}
	var c struct {
		Path                    string
		Columns, Threads, Trees int
	}
	if err := json.Unmarshal([]byte(setup), &c); err != nil {
		t.Fatal(err)
	}
	read := func(name string) []float64 {
		b, err := os.ReadFile(filepath.Join(c.Path, name+".f64"))
		if err != nil {
			t.Fatal(err)
		}
		return unsafe.Slice((*float64)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/8)
	}
	runtime.GOMAXPROCS(c.Threads)
	names := make([]string, c.Columns)
	for j := range names {
		names[j] = fmt.Sprint("c", j)
	}
	x, y := models.Matrix{Names: names, Data: read("x_train")}, read("y_train")
	held, labels := models.Matrix{Names: names, Data: read("x_test")}, read("y_test")
	p := gbdt.DefaultParams()
	p.Trees, p.Workers = c.Trees, c.Threads
	wall, cpu := time.Now(), processor(t)
	m := fit(t, p, x, y)
	trainWall, trainCPU := time.Since(wall), processor(t)-cpu
	wall, cpu = time.Now(), processor(t)
	probs := make([]float64, len(labels))
	var wg sync.WaitGroup
	for k := range c.Threads {
		lo, hi := k*len(labels)/c.Threads, (k+1)*len(labels)/c.Threads
		wg.Go(func() {
			if _, err := m.Predict(probs[lo:hi], models.Matrix{Names: names, Data: held.Data[lo*c.Columns : hi*c.Columns]}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	scoreWall, scoreCPU := time.Since(wall), processor(t)-cpu
	judge := judged(t, labels, probs)
	auc, _ := judge.AUC()
	loss, _ := judge.LogLoss()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(map[string]any{
		"version": runtime.Version(), "train_wall": trainWall.Seconds(), "train_cpu": trainCPU, "score_wall": scoreWall.Seconds(), "score_cpu": scoreCPU,
		"peak_mib": float64(usage.Maxrss) / 1024, "auc": auc, "logloss": loss,
	})
	if err != nil || math.IsNaN(auc) {
		t.Fatal(auc, err)
	}
	fmt.Println(string(out))
}

// processor is the seconds of processor time this process has taken.
func processor(t *testing.T) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	seconds := func(v syscall.Timeval) float64 { return float64(v.Sec) + float64(v.Usec)/1e6 }
	return seconds(u.Utime) + seconds(u.Stime)
}
