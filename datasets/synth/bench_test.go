package synth

import (
	"path/filepath"
	"strconv"
	"testing"
)

// BenchmarkGenerate makes the default sample with one worker: the figure is of
// one core.
func BenchmarkGenerate(b *testing.B) {
	for _, compression := range []string{"zstd", "snappy"} {
		b.Run("compression="+compression+"/customers=20000/workers=1", func(b *testing.B) {
			p := DefaultParams()
			p.Workers = 1
			p.Compression = compression
			dir := b.TempDir()
			rows, bytes, n := int64(0), int64(0), 0
			for b.Loop() {
				n++
				sum, err := Generate(b.Context(), p, filepath.Join(dir, strconv.Itoa(n)), nil)
				if err != nil {
					b.Fatal(err)
				}
				rows += sum.Rows
				bytes += sum.Bytes
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(bytes)/float64(rows), "B/event")
		})
	}
}
