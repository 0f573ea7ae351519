package scan

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/shoal-data/shoal/datasets/storage"
)

func TestCorpusTmp(t *testing.T) {
	out := map[string]Profile{}
	filepath.Walk("/tmp/ptest", func(p string, i os.FileInfo, err error) error {
		if filepath.Ext(p) != ".parquet" {
			return nil
		}
		var a, b runtime.MemStats
		runtime.ReadMemStats(&a)
		prof, err := Inspect(context.Background(), storage.Local(), []string{p}, DefaultInspectOptions())
		runtime.ReadMemStats(&b)
		if err != nil {
			fmt.Println(err)
		} else {
			out[p] = prof
		}
		if m := (b.TotalAlloc - a.TotalAlloc) >> 20; m > 200 {
			fmt.Println("MEM", p, m)
		}
		return nil
	})
	f, _ := os.Create("/tmp/prof.json")
	json.NewEncoder(f).Encode(out)
	f.Close()
}
