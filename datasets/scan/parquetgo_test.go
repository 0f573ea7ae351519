package scan_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
)

// goEvent is an event as parquet-go writes it.
type goEvent struct {
	ID     int64    `parquet:"cid"`
	Time   int64    `parquet:"ts,timestamp(microsecond)"`
	Type   *string  `parquet:"typ,optional,dict"`
	Amount *float64 `parquet:"amt,optional"`
	Prod   string   `parquet:"prod,delta"`
	Lang   string   `parquet:"lang,dict"`
}

// goEvents is a table of n events, the same on every call.
func goEvents(n int) []goEvent {
	types := []string{"order", "view", "zzz"}
	rows := make([]goEvent, n)
	for i := range rows {
		rows[i] = goEvent{ID: int64(i*7919) % 997, Time: 1_700_000_000_000_000 + int64(i)*1_000_003, Prod: fmt.Sprintf("product %d", i%251), Lang: "en"}
		if i%7 != 0 {
			rows[i].Type = &types[i%len(types)]
		}
		if i%5 != 0 {
			a := float64(i%1000) / 8
			rows[i].Amount = &a
		}
	}
	return rows
}

func writeGo(t testing.TB, path string, rows []goEvent, options ...parquet.WriterOption) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := parquet.NewGenericWriter[goEvent](f, options...)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

var goColumns = map[string]string{"customer_id": "cid", "event_time": "ts", "event_type": "typ", "amount": "amt", "product_id": "prod", "channel": "lang"}

// goFiles adds files that parquet-go wrote.
func goFiles(t *testing.T, dir string) []oracleCase {
	var cases []oracleCase
	for name, codec := range map[string]compress.Codec{"none": &parquet.Uncompressed, "snappy": &parquet.Snappy, "zstd": &parquet.Zstd, "gzip": &parquet.Gzip, "brotli": &parquet.Brotli, "lz4": &parquet.Lz4Raw} {
		for v := 1; v <= 2; v++ {
			c := oracleCase{Name: fmt.Sprintf("go_%s_v%d", name, v), Columns: goColumns, Roles: map[string]string{"order": "purchase"}}
			path := filepath.Join(dir, c.Name, "a.parquet")
			c.Glob = path
			writeGo(t, path, goEvents(2000), parquet.Compression(codec), parquet.DataPageVersion(v), parquet.PageBufferSize(2000), parquet.MaxRowsPerRowGroup(700))
			cases = append(cases, c)
		}
	}
	return cases
}
