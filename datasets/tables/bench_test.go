package tables_test

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/shoal-data/shoal/datasets/tables"
)

// featureLike makes rows × cols of float64 as feature tables hold them: a
// third counts, a third days with a fraction, a third amounts that many lack.
func featureLike(rows, cols int) arrow.Record {
	rng := rand.New(rand.NewPCG(1, 2))
	fields := make([]arrow.Field, cols)
	arrays := make([]arrow.Array, cols)
	for c := range cols {
		fields[c] = arrow.Field{Name: fmt.Sprintf("f%03d", c), Type: arrow.PrimitiveTypes.Float64, Nullable: true}
		b := array.NewFloat64Builder(memory.DefaultAllocator)
		for range rows {
			switch c % 3 {
			case 0:
				b.Append(math.Floor(rng.ExpFloat64() * 10))
			case 1:
				b.Append(math.Round(rng.ExpFloat64()*30*86400) / 86400)
			default:
				if rng.Float64() < 0.4 {
					b.AppendNull()
				} else {
					b.Append(math.Round(rng.ExpFloat64()*1e6) / 1e4)
				}
			}
		}
		arrays[c] = b.NewArray()
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), arrays, int64(rows))
}

func BenchmarkWrite(b *testing.B) {
	const rows, cols = 100_000, 80
	rec := featureLike(rows, cols)
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprintf("rows=1e5/cols=80/workers=%d", workers), func(b *testing.B) {
			opts := tables.DefaultOptions("features")
			opts.Workers = workers
			b.SetBytes(rows * cols * 8)
			var size int64
			for b.Loop() {
				w, err := tables.NewWriter(io.Discard, rec.Schema(), opts)
				if err != nil {
					b.Fatal(err)
				}
				for from := int64(0); from < rows; from += 4096 {
					if err := w.Write(rec.NewSlice(from, min(from+4096, rows))); err != nil {
						b.Fatal(err)
					}
				}
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
				size = w.Size()
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(size)/(rows*cols), "bytes/value")
		})
	}
}

// wideFeatures is a table as features compute it: of every nine columns three
// are constantly 0, three small counts, and one each amounts with cents,
// shares of thousands of values, and amounts that few customers have.
func wideFeatures(rows, cols int) arrow.Record {
	rng := rand.New(rand.NewPCG(3, 4))
	fields := make([]arrow.Field, cols)
	arrays := make([]arrow.Array, cols)
	for c := range cols {
		fields[c] = arrow.Field{Name: fmt.Sprintf("f%03d", c), Type: arrow.PrimitiveTypes.Float64, Nullable: true}
		b := array.NewFloat64Builder(memory.DefaultAllocator)
		b.Reserve(rows)
		for range rows {
			switch {
			case c%3 == 0:
				b.Append(0)
			case c%3 == 1:
				b.Append(math.Floor(rng.ExpFloat64() * 3))
			case c%9 == 2:
				b.Append(math.Round(rng.ExpFloat64()*1e5) / 100)
			case c%9 == 5:
				n := 1 + rng.IntN(60)
				b.Append(float64(rng.IntN(n+1)) / float64(n))
			case rng.IntN(12) > 0:
				b.AppendNull()
			default:
				b.Append(math.Round(rng.ExpFloat64()*1e5) / 100)
			}
		}
		arrays[c] = b.NewArray()
		b.Release()
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), arrays, int64(rows))
}

// userTime is the processor time this process has taken outside the kernel.
func userTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano())
}

func BenchmarkWriteFeatures(b *testing.B) {
	const rows, cols = 100_000, 378
	rec := wideFeatures(rows, cols)
	opts := tables.DefaultOptions("features")
	opts.Workers = 1
	var size int64
	b.ReportAllocs()
	before := userTime(b)
	for b.Loop() {
		w, err := tables.NewWriter(io.Discard, rec.Schema(), opts)
		if err != nil {
			b.Fatal(err)
		}
		for from := int64(0); from < rows; from += 4096 {
			if err := w.Write(rec.NewSlice(from, min(from+4096, rows))); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
		size = w.Size()
	}
	b.ReportMetric(float64(userTime(b)-before)/float64(b.N)/(rows*cols), "cpu-ns/value")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(rows*cols), "ns/value")
	b.ReportMetric(float64(size)/(rows*cols), "bytes/value")
}
