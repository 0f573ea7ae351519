package scan_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
	"unicode/utf8"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/datasets/scan/internal/footer"
	"github.com/shoal-data/shoal/datasets/scan/internal/lexical"
	"github.com/shoal-data/shoal/datasets/scan/internal/ordered"
)

// memoryBound is what reading a small file may allocate, whatever it claims of itself: the
// batches of 65,536 rows of two workers, buffers, and some pages.
const memoryBound = 64 << 20

// split parts a Parquet file into what comes before its footer and the footer's bytes.
func split(file []byte) (body, foot []byte) {
	tail := len(file) - 8
	at := tail - int(binary.LittleEndian.Uint32(file[tail:]))
	return file[4:at], file[at:tail]
}

// join is the inverse of split.
func join(body, foot []byte) []byte {
	file := append(append([]byte("PAR1"), body...), foot...)
	file = binary.LittleEndian.AppendUint32(file, uint32(len(foot)))
	return append(file, "PAR1"...)
}

// fuzzSource maps fields to columns as the digits of mapping say: four bits a field, of
// which 15 is not mapped, and the unit, zone and currency above them. It is nil when
// there is no column to map.
func fuzzSource(columns []string, mapping uint64) *scan.Source {
	if len(columns) == 0 {
		return nil
	}
	s := scan.Source{
		Name: "fuzz", Paths: []string{"*"}, Columns: map[datasets.Field]string{},
		TimeUnit: scan.Unit(mapping >> 56 % 6),
	}
	for _, f := range datasets.Fields() {
		digit := int(mapping >> (4 * f) & 15)
		if digit < 15 || f <= datasets.EventTime {
			s.Columns[f] = columns[digit%len(columns)]
		}
	}
	if s.Columns[datasets.EventType] != "" {
		s.Roles = map[string]datasets.Role{"order": datasets.Purchase, "view": datasets.View, "": datasets.Session}
	} else {
		s.Role = datasets.Search
	}
	if mapping>>59&1 == 1 {
		s.TimeZone, _ = time.LoadLocation("America/New_York")
	}
	if mapping>>60&1 == 1 {
		s.Currency = "EUR"
	}
	return &s
}

// fuzzMapping maps fields to columns in their order, with what fuzzSource puts above.
func fuzzMapping(columns int, above uint64) uint64 {
	m := above << 56
	for f := range uint64(datasets.NumFields) {
		m |= min(f, 15) % uint64(columns) << (4 * f)
	}
	return m
}

// Whatever bytes a Parquet file consists of, and whatever columns are taken for which
// field, its events are delivered within the bounds that the package promises, or the
// error locates the fault. The memory taken is in proportion to the file.
func FuzzRead(f *testing.F) {
	for _, version := range []int{1, 2} {
		for _, codec := range []parquet.WriterOption{parquet.Compression(&parquet.Uncompressed), parquet.Compression(&parquet.Snappy)} {
			var b bytes.Buffer
			w := parquet.NewGenericWriter[goEvent](&b, codec, parquet.DataPageVersion(version), parquet.PageBufferSize(200), parquet.MaxRowsPerRowGroup(20))
			if _, err := w.Write(goEvents(33)); err != nil {
				f.Fatal(err)
			}
			if err := w.Close(); err != nil {
				f.Fatal(err)
			}
			body, foot := split(b.Bytes())
			f.Add(body, foot, fuzzMapping(6, 0))
		}
	}
	f.Fuzz(func(t *testing.T, body, foot []byte, mapping uint64) {
		data := join(body, foot)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		fuzzRead(t, data, mapping)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > memoryBound+200*uint64(len(data)) {
			t.Errorf("%d bytes allocated for a file of %d", n, len(data))
		}
	})
}

// updateSeeds rewrites the seeds that TestSeeds reads.
var updateSeeds = flag.Bool("update-seeds", false, "rewrite the seeds in testdata/fuzz/FuzzRead; needs the Python oracles")

// The committed seeds are sound files of other writers, so that the fuzzing starts from
// every encoding, and none has checksums, behind which no damage would pass.
func TestSeeds(t *testing.T) {
	dir := filepath.Join("testdata", "fuzz", "FuzzRead")
	if *updateSeeds {
		from := t.TempDir()
		var names []string
		runScript(t, "writers.py", nil, &names, "seeds", from)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for i, name := range names {
			data, err := os.ReadFile(filepath.Join(from, name))
			if err != nil {
				t.Fatal(err)
			}
			body, foot := split(data)
			above := uint64(3) << 5 // two workers, and Inspect
			if i%3 == 0 {
				above |= 1 << 7 // and tables of aliases and rates
			}
			if name == "pyarrow_integers" {
				above |= uint64(scan.UnitMilli)
			}
			text := fmt.Sprintf("go test fuzz v1\n[]byte(%q)\n[]byte(%q)\nuint64(%d)\n", body, foot, fuzzMapping(datasets.NumFields, above|uint64(i%2)<<3))
			if err := os.WriteFile(filepath.Join(dir, "writer_"+name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	seeds, err := filepath.Glob(filepath.Join(dir, "writer_*"))
	if err != nil || len(seeds) < 14 {
		t.Fatalf("%d seeds, %v", len(seeds), err)
	}
	for _, seed := range seeds {
		data, mapping := readSeed(t, seed)
		meta, err := footer.Read(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Errorf("%s: %v", seed, err)
			continue
		}
		var columns []string
		for i := range meta.Leaves {
			columns = append(columns, meta.Leaves[i].Name())
		}
		p, err := scan.NewPlan(ctx, memFS{data: data}, []scan.Source{*fuzzSource(columns, mapping)})
		if err != nil {
			t.Errorf("%s: %v", seed, err)
			continue
		}
		got, rep, err := eventRows(t, p, scan.DefaultOptions())
		if err != nil || len(got) != 13 || rep.Rows != 14 || rep.Pages != rep.PagesWithoutChecksum {
			t.Errorf("%s: %d events of %d rows, %d pages of %d without checksum, %v", seed, len(got), rep.Rows, rep.PagesWithoutChecksum, rep.Pages, err)
		}
	}
}

// readSeed is the file and the mapping that a seed holds.
func readSeed(t *testing.T, path string) (data []byte, mapping uint64) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var body, foot string
	if _, err := fmt.Sscanf(string(b), "go test fuzz v1\n[]byte(%q)\n[]byte(%q)\nuint64(%d)", &body, &foot, &mapping); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return join([]byte(body), []byte(foot)), mapping
}

func fuzzRead(t *testing.T, data []byte, mapping uint64) {
	var columns []string
	var meta *footer.Footer
	err := ordered.Guard(func() (err error) {
		meta, err = footer.Read(bytes.NewReader(data), int64(len(data)))
		return err
	})
	if err == nil {
		for i := range meta.Leaves {
			if name := meta.Leaves[i].Name(); name != "" { // of which a mapping cannot speak
				columns = append(columns, name)
			}
		}
	} else {
		columns = []string{"any"}
	}
	src := fuzzSource(columns, mapping)
	if src == nil {
		return
	}
	in := scan.Input{Sources: []scan.Source{*src}}
	if mapping>>63 == 1 {
		// The same columns are the aliases of customers and the rates of currencies, too.
		c := src.Columns
		in.Sources[0].IDKind = "alias"
		in.Identity = []scan.IdentityTable{{Paths: []string{"*"}, Alias: c[datasets.CustomerID], Customer: cmp.Or(c[datasets.SessionID], "any"), Kind: "alias"}}
		in.Rates = &scan.RateSpec{
			To: "EUR", Zone: time.UTC, Paths: []string{"*"}, MaxAge: 30,
			Date: c[datasets.EventTime], Currency: cmp.Or(c[datasets.Currency], "any"), Rate: cmp.Or(c[datasets.Rating], "any"),
		}
	}
	p, err := in.Plan(ctx, memFS{data: data})
	if err != nil {
		checkLocated(t, err)
		return
	}
	_ = p.EventSQL()
	if p.Rows > 1<<17 {
		return // a column of one repeated value may state any number of rows
	}
	opts := scan.DefaultOptions()
	opts.Workers = 1
	opts.MaxRejectedSample = 3
	got, rep, err := eventRows(t, p, opts)
	if err != nil {
		checkLocated(t, err)
	} else {
		if rep.Rows != rep.RowsAccepted+rep.RowsRejected+rep.RowsWithheld+rep.RowsAfter || rep.RowsAccepted != int64(len(got)) || rep.Rows != p.Rows {
			t.Errorf("the report does not add up to %d rows: %+v", p.Rows, rep)
		}
	}
	checkEvents(t, p)
	if mapping>>61&1 == 1 {
		opts.Workers = 2
		again, repAgain, errAgain := eventRows(t, p, opts)
		if (err == nil) != (errAgain == nil) || err != nil && err.Error() != errAgain.Error() {
			t.Fatalf("1 worker: %v; 2 workers: %v", err, errAgain)
		}
		if err == nil && (!gocmp.Equal(got, again) || !gocmp.Equal(rep, repAgain)) {
			t.Errorf("1 worker and 2 differ:\n%s\n%s", firstDifferences(got, again), gocmp.Diff(rep, repAgain))
		}
	}
	if mapping>>62&1 == 1 {
		if _, err := scan.Inspect(ctx, memFS{data: data}, []string{"*"}, scan.InspectOptions{MaxRows: 100}); err != nil {
			checkLocated(t, err)
		}
	}
}

// checkLocated holds an error to its promises: it names the file, and it is no panic.
func checkLocated(t *testing.T, err error) {
	t.Helper()
	var e *scan.Error
	var bug *ordered.PanicError
	switch {
	case !errors.As(err, &e):
		t.Errorf("%v is no *scan.Error", err)
	case errors.As(err, &bug):
		t.Errorf("a panic: %v", err)
	case e.File != "mem.parquet" || e.Kind != scan.BadData && e.Kind != scan.Config:
		t.Errorf("%v (%+v) does not locate a fault of the file", err, e)
	}
}

// checkEvents holds every delivered event to what a Batch promises.
func checkEvents(t *testing.T, p *scan.Plan) {
	t.Helper()
	opts := scan.DefaultOptions()
	opts.Workers = 1
	dicts := datasets.NewDicts()
	p.Read(ctx, dicts, opts, func(_ int, b *datasets.Batch) error {
		text := func(what string, d *datasets.Dict, codes []uint32, required bool) {
			for _, c := range codes {
				if c == 0 && required || c != 0 && what != "customer" && !utf8.ValidString(d.Value(c)) {
					t.Fatalf("%s has the code %d", what, c)
				}
			}
		}
		text("customer", dicts.Customer, b.Customer, true)
		text("type", dicts.Type, b.Type, false)
		text("currency", dicts.Currency, b.Currency, false)
		text("product", dicts.Product, b.Product, false)
		text("category", dicts.Category, b.Category, false)
		text("channel", dicts.Channel, b.Channel, false)
		text("campaign", dicts.Campaign, b.Campaign, false)
		for _, c := range b.Customer {
			if id := dicts.Customer.Value(c); id == "" || p.IDType.Kind == datasets.IDString && !utf8.ValidString(id) {
				t.Fatalf("the customer %q", id)
			}
		}
		for _, at := range b.Time {
			if !lexical.InRange(at) {
				t.Fatalf("the time %d", at)
			}
		}
		for _, amounts := range [][]datasets.Money{b.Amount, b.Quantity, b.Rating} {
			for _, m := range amounts {
				if m != datasets.NullMoney && (m > datasets.MaxMoney || m < -datasets.MaxMoney) {
					t.Fatalf("the amount %d", m)
				}
			}
		}
		for _, r := range b.Role {
			if int(r) >= datasets.NumRoles {
				t.Fatalf("the role %d", r)
			}
		}
		return nil
	})
}
