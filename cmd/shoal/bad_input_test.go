package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"github.com/rs/zerolog"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/storage/storagetest"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/nightly"
)

var update = flag.Bool("update", false, "write golden files")

// event is a row of the inputs below.
type event struct {
	Customer *string `parquet:"customer_id,optional"`
	Time     int64   `parquet:"event_time,timestamp(microsecond)"`
	Type     string  `parquet:"event_type"`
	Amount   float64 `parquet:"amount"`
	Currency string  `parquet:"currency"`
}

func events(n int) []event {
	r := rand.New(rand.NewPCG(1, 1))
	rows := make([]event, n)
	for i := range rows {
		id := fmt.Sprintf("customer-%d", r.IntN(60))
		rows[i] = event{&id, time.Date(2024, 1, 1+r.IntN(200), r.IntN(24), 0, 0, 0, time.UTC).UnixMicro(), "order", float64(r.IntN(9000)) / 100, "EUR"}
	}
	return rows
}

func writeParquet[T any](t *testing.T, path string, rows []T) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := parquet.WriteFile(path, rows, parquet.MaxRowsPerRowGroup(500)); err != nil {
		t.Fatal(err)
	}
}

const goodConfig = `sources:
  - path: DIR/in/*.parquet
    columns: {customer_id: customer_id, event_time: event_time, event_type: event_type, amount: amount, currency: currency}
    roles: {purchase: [order]}
out: DIR/out/deep
targets:
  - {name: churn, kind: churn, horizon: 30d}
`

// badInputs are things that go wrong, each with what the user is told. DIR is
// the case's own directory.
var badInputs = []struct {
	name    string
	config  string // "" is goodConfig
	date    string // "" is 2024-06-30
	prepare func(t *testing.T, dir string)
}{
	{name: "no_files_match", prepare: func(*testing.T, string) {}},
	{name: "no_partition_for_the_date",
		config: strings.Replace(goodConfig, "in/*.parquet", "in/ds=*/*.parquet", 1),
		prepare: func(t *testing.T, dir string) {
			writeParquet(t, dir+"/in/ds=2024-06-28/a.parquet", events(900))
			writeParquet(t, dir+"/in/ds=2024-06-29/a.parquet", events(900))
		}},
	{name: "nothing_before_the_date", date: "2020-01-01", prepare: good},
	{name: "missing_column", config: strings.Replace(goodConfig, "amount: amount", "amount: amuont", 1), prepare: good},
	{name: "wrong_type", config: goodConfig, prepare: func(t *testing.T, dir string) {
		type wrong struct {
			Customer string  `parquet:"customer_id"`
			Time     float64 `parquet:"event_time"`
			Type     string  `parquet:"event_type"`
			Amount   bool    `parquet:"amount"`
			Currency string  `parquet:"currency"`
		}
		writeParquet(t, dir+"/in/a.parquet", []wrong{{"a", 1, "order", true, "EUR"}})
	}},
	{name: "unknown_role", config: strings.Replace(goodConfig, "purchase: [order]", "purchse: [order]", 1), prepare: good},
	{name: "unknown_key_and_bad_values", config: goodConfig + "windows: [7d]\nlimits: {rejected_share: 1.5}\ntime_zone: Mars/Olympus\n", prepare: good},
	{name: "no_configuration", config: "-", prepare: good},
	{name: "bad_date", date: "30/06/2024", prepare: good},
	{name: "row_group_cut_short", prepare: func(t *testing.T, dir string) {
		good(t, dir)
		alter(t, dir+"/in/a.parquet", func(b []byte) []byte { // 40 bytes in the middle are gone, the footer is whole
			return append(append([]byte(nil), b[:len(b)/2]...), b[len(b)/2+40:]...)
		})
	}},
	{name: "file_cut_short", prepare: func(t *testing.T, dir string) {
		good(t, dir)
		alter(t, dir+"/in/a.parquet", func(b []byte) []byte { return b[:len(b)/2] })
	}},
	{name: "flipped_byte", prepare: func(t *testing.T, dir string) {
		good(t, dir)
		alter(t, dir+"/in/a.parquet", func(b []byte) []byte { b[len(b)/3] ^= 0x10; return b })
	}},
	{name: "random_bytes", prepare: func(t *testing.T, dir string) {
		good(t, dir)
		noise := make([]byte, 5000)
		r := rand.New(rand.NewPCG(2, 2))
		for i := range noise {
			noise[i] = byte(r.Uint32())
		}
		if err := os.WriteFile(dir+"/in/b.parquet", noise, 0o644); err != nil {
			t.Fatal(err)
		}
	}},
	{name: "mixed_currencies", prepare: foreign},
	{name: "all_customers_null", prepare: func(t *testing.T, dir string) {
		rows := events(1200)
		for i := range rows {
			rows[i].Customer = nil
		}
		writeParquet(t, dir+"/in/a.parquet", rows)
	}},
	{name: "too_many_rejected", prepare: func(t *testing.T, dir string) {
		rows := events(1200)
		for i := range rows {
			if i%5 > 1 {
				rows[i].Customer = nil
			}
		}
		writeParquet(t, dir+"/in/a.parquet", rows)
	}},
	{name: "identity_circle", config: goodConfig + identityConfig, prepare: func(t *testing.T, dir string) {
		good(t, dir)
		writeParquet(t, dir+"/identity.parquet", []alias{{"customer-1", "customer-2"}, {"customer-4", "customer-3"}, {"customer-2", "customer-4"}, {"customer-3", "customer-2"}})
	}},
	{name: "identity_conflict", config: goodConfig + identityConfig, prepare: func(t *testing.T, dir string) {
		good(t, dir)
		writeParquet(t, dir+"/identity.parquet", []alias{{"customer-1", "customer-2"}, {"customer-7", "customer-8"}, {"customer-1", "customer-3"}, {"customer-5", "customer-1"}})
	}},
	{name: "identity_wrong_type", config: goodConfig + identityConfig, prepare: func(t *testing.T, dir string) {
		type wrong struct {
			Alias    string  `parquet:"alias"`
			Customer float64 `parquet:"customer"`
		}
		good(t, dir)
		writeParquet(t, dir+"/identity.parquet", []wrong{{"customer-1", 2}})
	}},
	{name: "identity_not_a_number", config: goodConfig + identityConfig, prepare: func(t *testing.T, dir string) {
		type numbered struct {
			Customer int64  `parquet:"customer_id"`
			Time     int64  `parquet:"event_time,timestamp(microsecond)"`
			Type     string `parquet:"event_type"`
			Amount   int64  `parquet:"amount"`
			Currency string `parquet:"currency"`
		}
		writeParquet(t, dir+"/in/a.parquet", []numbered{{1, 1, "order", 1, "EUR"}})
		writeParquet(t, dir+"/identity.parquet", []alias{{"1", "2"}, {"3", "customer-4"}})
	}},
	{name: "identity_missing_column", config: goodConfig + strings.Replace(identityConfig, "parquet}", "parquet, columns: {customer: costumer}}", 1), prepare: func(t *testing.T, dir string) {
		good(t, dir)
		writeParquet(t, dir+"/identity.parquet", []alias{{"customer-1", "customer-2"}})
	}},
	{name: "identity_unknown_aliases", config: strings.Replace(goodConfig, "    roles:", "    id_kind: email\n    roles:", 1) + strings.Replace(identityConfig, "}", ", kind: email}", 1), prepare: func(t *testing.T, dir string) {
		good(t, dir)
		writeParquet(t, dir+"/identity.parquet", []alias{{"customer-1", "1"}, {"customer-2", "2"}})
	}},
	{name: "ids_of_two_types", prepare: twoTypes, config: strings.Replace(goodConfig, "out:",
		"  - {name: till, path: DIR/till.parquet, columns: {customer_id: card, event_time: event_time}, role: view}\nout:", 1)},
	{name: "rate_missing", config: goodConfig + ratesConfig, prepare: func(t *testing.T, dir string) {
		foreign(t, dir)
		writeParquet(t, dir+"/rates.parquet", []rate{{19700, "USD", "0.9"}, {19790, "USD", "0.91"}})
	}},
	{name: "rate_of_no_such_currency", config: goodConfig + ratesConfig, prepare: func(t *testing.T, dir string) {
		foreign(t, dir)
		writeParquet(t, dir+"/rates.parquet", []rate{{19700, "GBP", "1.15"}, {19700, "CHF", "1.05"}})
	}},
	{name: "rate_not_a_number", config: goodConfig + ratesConfig, prepare: func(t *testing.T, dir string) {
		foreign(t, dir)
		writeParquet(t, dir+"/rates.parquet", []rate{{19700, "USD", "0.9"}, {19701, "USD", "0,91"}})
	}},
	{name: "rate_twice", config: goodConfig + ratesConfig, prepare: func(t *testing.T, dir string) {
		foreign(t, dir)
		writeParquet(t, dir+"/rates.parquet", []rate{{19700, "USD", "0.9"}, {19701, "USD", "0.91"}, {19700, "USD", "0.92"}})
	}},
	{name: "unwritable_output", prepare: func(t *testing.T, dir string) {
		good(t, dir)
		// A file stands where the directory should be: nobody, root included, can write there.
		if err := os.WriteFile(dir+"/out", nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}},
}

const (
	identityConfig = "identity:\n  - {path: DIR/identity.parquet}\n"
	ratesConfig    = "currency: EUR\ncurrency_rates: {path: DIR/rates.parquet}\n"
)

type alias struct {
	Alias    string `parquet:"alias"`
	Customer string `parquet:"customer"`
}

type rate struct {
	Date     int32  `parquet:"date,date"`
	Currency string `parquet:"currency"`
	Rate     string `parquet:"rate"`
}

// foreign is events with some amounts in USD.
func foreign(t *testing.T, dir string) {
	rows := events(1200)
	for i := range rows {
		if i%3 == 0 {
			rows[i].Currency = "USD"
		}
	}
	writeParquet(t, dir+"/in/a.parquet", rows)
}

// twoTypes is a source whose customers have names and one whose customers have numbers.
func twoTypes(t *testing.T, dir string) {
	type sale struct {
		Card int64 `parquet:"card"`
		Time int64 `parquet:"event_time,timestamp(microsecond)"`
	}
	good(t, dir)
	writeParquet(t, dir+"/till.parquet", []sale{{1, 1}})
}

func good(t *testing.T, dir string) { writeParquet(t, dir+"/in/a.parquet", events(1500)) }

func alter(t *testing.T, path string, edit func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, edit(b), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tree lists every file and directory below dir.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		list = append(list, strings.TrimPrefix(path, dir))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestBadInputs(t *testing.T) {
	for _, c := range badInputs {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			c.prepare(t, dir)
			text := c.config
			if text == "" {
				text = goodConfig
			}
			if text != "-" {
				if err := os.WriteFile(dir+"/shoal.yaml", []byte(strings.ReplaceAll(text, "DIR", dir)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			date := c.date
			if date == "" {
				date = "2024-06-30"
			}
			before := tree(t, dir)
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), []string{"run", "--config", dir + "/shoal.yaml", "--date", date, "--summary-file", filepath.Join(t.TempDir(), "summary.json")}, &stdout, &stderr)
			if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
				t.Errorf("something is left behind:\n%s", diff)
			}
			var s nightly.Summary
			if err := json.Unmarshal(stdout.Bytes(), &s); err != nil || strings.Count(stdout.String(), "\n") != 1 {
				t.Fatalf("stdout is not one line of JSON: %v\n%s", err, stdout.String())
			}
			if s.Status != nightly.StatusFailed || s.ExitCode != code {
				t.Errorf("summary says %s and %d, the program ended with %d", s.Status, s.ExitCode, code)
			}
			golden(t, c.name, fmt.Sprintf("exit %d\n%s\n", code, strings.ReplaceAll(s.Error, dir, "DIR")))
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "bad_input", name+".golden")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// A disk that fills up at any point of writing ends with the code for a retry,
// and leaves nothing visible; with room again the same run is published.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	good(t, dir)
	cfg, err := config.Parse("full disk", []byte(strings.ReplaceAll(goodConfig, "DIR", dir)), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	night := func(files storage.FS) (*nightly.Summary, error) {
		return nightly.Run(t.Context(), nightly.Options{Config: cfg, Date: "2024-06-30", FS: files, Version: "test", Log: zerolog.Nop(), Now: time.Now})
	}
	before := tree(t, dir)
	full := 0
	for room := int64(0); ; room += 16 << 10 {
		disk := storagetest.NewFaulty(storage.Local(), storagetest.Plan{Full: true, Space: room})
		s, err := night(disk)
		if err == nil {
			break
		}
		full++
		if s.ExitCode != nightly.ExitTransient || !strings.Contains(err.Error(), "no space left") {
			t.Fatalf("%d bytes of room: exit %d: %v", room, s.ExitCode, err)
		}
		if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
			t.Fatalf("%d bytes of room: something is left behind:\n%s", room, diff)
		}
	}
	if full < 5 {
		t.Errorf("the disk was full %d times only: the sweep does not exercise the tables", full)
	}
}
