package scan_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/datasets/scan/internal/footer"
)

// TestTenThousandCorruptions damages files ten thousand times, half of them with page
// checksums and half without; a fifth as often unless SHOAL_SWEEP=all. Damage never panics, and its error names the file, and
// the row group where it is in one. In the data of a file with checksums it never
// passes; without them, and in a footer, which has none, what passes is counted.
func TestTenThousandCorruptions(t *testing.T) {
	read := func(data []byte, src scan.Source) (rows [][]string, rep *scan.Report, err error) {
		p, err := scan.NewPlan(ctx, memFS{data: data}, []scan.Source{src})
		if err != nil {
			return nil, nil, err
		}
		if p.Rows > 1<<17 {
			return nil, nil, nil // a file that states so many rows is another file
		}
		opts := scan.DefaultOptions()
		opts.Workers = 1
		return eventRows(t, p, opts)
	}
	rng, times := rand.New(rand.NewPCG(17, 19)), 1000
	if os.Getenv("SHOAL_SWEEP") == "all" {
		times = 5000
	}
	for _, checksums := range []bool{true, false} {
		count := map[string]int{}
		makes := 4
		if !checksums {
			makes = 10
		}
		var file []byte
		var src *scan.Source
		var want [][]string
		for n := range times {
			if n%(times/makes) == 0 {
				file, src = corruptible(t, n/(times/makes), checksums)
				var rep *scan.Report
				var err error
				if want, rep, err = read(file, *src); err != nil || len(want) < 10 || checksums != (rep.PagesWithoutChecksum == 0) {
					t.Fatalf("the sound file: %d rows, %+v, %v", len(want), rep, err)
				}
			}
			body, _ := split(file)
			damaged, at, kind := damage(rng, file)
			where := "data"
			if at+32 >= 4+len(body) || kind == "cut short" || kind == "inserted" {
				where = "footer"
			}
			got, rep, err := read(damaged, *src)
			switch {
			case err != nil:
				checkLocated(t, err)
				var e *scan.Error
				if errors.As(err, &e) && where == "data" && at >= 4 && e.RowGroup < 0 {
					t.Errorf("%s at byte %d of %d: %v names no row group", kind, at, len(file), err)
				}
				count[where+": found"]++
			case gocmp.Equal(got, want):
				count[where+": the same rows"]++ // e.g. in a column that nothing reads, or a statistic
			case rep != nil && rep.RowsRejected > 0 && len(got)+int(rep.RowsRejected) == len(want):
				count[where+": rows refused"]++
			default:
				count[where+": other rows"]++
				if where == "data" && checksums {
					t.Errorf("%s at byte %d of %d passed:\n%s", kind, at, len(file), firstDifferences(got, want))
				}
			}
		}
		t.Logf("checksums=%t: %v", checksums, count)
	}
}

// corruptible is a sound file and its mapping: of parquet-go, with checksums, in four
// makes, or of one of the writers whose files FuzzRead begins with, which have none.
func corruptible(t *testing.T, make int, checksums bool) ([]byte, *scan.Source) {
	t.Helper()
	if !checksums {
		seeds, err := filepath.Glob(filepath.Join("testdata", "fuzz", "FuzzRead", "writer_*"))
		if err != nil || len(seeds) < 10 {
			t.Fatalf("%d seeds, %v", len(seeds), err)
		}
		data, mapping := readSeed(t, seeds[make])
		meta, err := footer.Read(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		var columns []string
		for i := range meta.Leaves {
			columns = append(columns, meta.Leaves[i].Name())
		}
		return data, fuzzSource(columns, mapping)
	}
	var b bytes.Buffer
	options := []parquet.WriterOption{parquet.DataPageVersion(1 + make%2), parquet.PageBufferSize(200), parquet.MaxRowsPerRowGroup(20)}
	if make >= 2 {
		options = append(options, parquet.Compression(&parquet.Snappy))
	}
	w := parquet.NewGenericWriter[goEvent](&b, options...)
	if _, err := w.Write(goEvents(60)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), &scan.Source{Name: "s", Paths: []string{"*"}, Role: datasets.Purchase, Columns: map[datasets.Field]string{
		datasets.CustomerID: "cid", datasets.EventTime: "ts", datasets.EventType: "typ", datasets.Amount: "amt", datasets.ProductID: "prod", datasets.Channel: "lang",
	}}
}

// damage changes a file somewhere, and says from which byte on and how.
func damage(rng *rand.Rand, file []byte) (damaged []byte, at int, kind string) {
	for {
		damaged, at = slices.Clone(file), rng.IntN(len(file))
		switch rng.IntN(10) {
		case 0, 1, 2, 3, 4:
			kind = "bit flipped"
			damaged[at] ^= 1 << rng.IntN(8)
		case 5:
			kind = "byte replaced"
			damaged[at] = byte(rng.Uint32())
		case 6:
			kind = "16 bytes zeroed"
			at = min(at, len(file)-16)
			clear(damaged[at : at+16])
		case 7:
			kind = "cut short"
			damaged = damaged[:at]
		case 8:
			kind = "inserted"
			damaged = slices.Insert(damaged, at, byte(rng.Uint32()))
		case 9:
			kind = "exchanged"
			other := rng.IntN(len(file) - 32)
			at = min(at, len(file)-32)
			copy(damaged[at:at+32], file[other:other+32])
		}
		if !bytes.Equal(damaged, file) {
			return damaged, at, kind
		}
	}
}
