//go:build unix

package scan_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/datasets/storage"
)

// A benchRow has integer and dictionary columns, and a customer both as an
// integer and as text that no other row has.
type benchRow struct {
	ID     int64    `parquet:"id"`
	UUID   string   `parquet:"uuid,optional"`
	Time   int64    `parquet:"ts,timestamp(microsecond)"`
	Type   string   `parquet:"type,optional,dict"`
	Amount *float64 `parquet:"amount,optional"`
	Cents  int64    `parquet:"cents,decimal(2:12)"`
	Prod   string   `parquet:"product,optional,dict"`
	Chan   string   `parquet:"channel,optional,dict"`
}

func benchFile(b *testing.B, rows int) string {
	rng := rand.New(rand.NewPCG(1, 2))
	table := make([]benchRow, rows)
	for i := range table {
		r := &table[i]
		r.ID = rng.Int64N(int64(rows / 20))
		r.UUID = fmt.Sprintf("%016x-%08x", rng.Uint64(), i)
		r.Time = 1_700_000_000_000_000 + int64(i)*997_000
		r.Type = []string{"view", "order", "search", "add_to_cart"}[rng.IntN(4)]
		if r.Type == "order" {
			a := float64(rng.IntN(100_000)) / 100
			r.Amount = &a
		}
		r.Cents = rng.Int64N(100_000)
		r.Prod = fmt.Sprintf("product-%05d", rng.IntN(5000))
		r.Chan = []string{"web", "app", "till"}[rng.IntN(3)]
	}
	path := filepath.Join(b.TempDir(), "bench.parquet")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	w := parquet.NewGenericWriter[benchRow](f, parquet.Compression(&parquet.Snappy), parquet.MaxRowsPerRowGroup(250_000), parquet.PageBufferSize(1<<20))
	if _, err := w.Write(table); err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return path
}

// cpuTime is the processor time that the process has used.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRead reads a million rows. rows/s is by the clock and all workers,
// rows/core-s by processor time, which other work on the machine does not sway.
func BenchmarkRead(b *testing.B) {
	const rows = 1_000_000
	path := benchFile(b, rows)
	for _, bc := range []struct {
		name     string
		customer string
		workers  int
	}{{"customer=int/workers=1", "id", 1}, {"customer=int/workers=2", "id", 2}, {"customer=unique-text/workers=1", "uuid", 1}, {"customer=unique-text/workers=2", "uuid", 2}} {
		b.Run(bc.name, func(b *testing.B) {
			src := scan.Source{
				Name: "bench", Paths: []string{path}, Currency: "EUR", Roles: map[string]datasets.Role{"order": datasets.Purchase, "view": datasets.View},
				Columns: map[datasets.Field]string{
					datasets.CustomerID: bc.customer, datasets.EventTime: "ts", datasets.EventType: "type", datasets.Amount: "amount",
					datasets.Quantity: "cents", datasets.ProductID: "product", datasets.Channel: "channel",
				},
			}
			opts := scan.DefaultOptions()
			opts.Workers = bc.workers
			b.ReportAllocs()
			start := cpuTime(b)
			for b.Loop() {
				p, err := scan.NewPlan(context.Background(), storage.Local(), []scan.Source{src})
				if err != nil {
					b.Fatal(err)
				}
				rep, err := p.Read(context.Background(), datasets.NewDicts(), opts, func(int, *datasets.Batch) error { return nil })
				if err != nil || rep.RowsAccepted != rows {
					b.Fatal(rep, err)
				}
			}
			b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(b.N)*rows/(cpuTime(b)-start).Seconds(), "rows/core-s")
		})
	}
}
