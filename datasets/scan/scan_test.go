package scan_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/datasets/storage"
)

var ctx = context.Background()

// writeRows writes rows of any struct type with parquet-go, perGroup to a row group.
func writeRows[T any](t testing.TB, path string, perGroup int, rows []T) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := parquet.NewGenericWriter[T](f, parquet.MaxRowsPerRowGroup(int64(perGroup)), parquet.PageBufferSize(4096), parquet.Compression(&parquet.Snappy))
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// mustPlan makes the plan of sources on this machine's files.
func mustPlan(t testing.TB, sources ...scan.Source) *scan.Plan {
	t.Helper()
	p, err := scan.NewPlan(ctx, storage.Local(), sources)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A textRow is an event in which everything is text, so that anything can be wrong.
type textRow struct {
	Customer *string `parquet:"customer,optional,dict"`
	Time     *string `parquet:"time,optional"`
	Type     *string `parquet:"type,optional,dict"`
	Amount   *string `parquet:"amount,optional,dict"`
	Quantity *string `parquet:"quantity,optional"`
	Consent  *string `parquet:"consent,optional"`
	Currency *string `parquet:"currency,optional"`
}

func textSource(glob string) scan.Source {
	return scan.Source{
		Name: "web", Paths: []string{glob},
		Columns: map[datasets.Field]string{
			datasets.CustomerID: "customer", datasets.EventTime: "time", datasets.EventType: "type", datasets.Amount: "amount",
			datasets.Quantity: "quantity", datasets.Consent: "consent", datasets.Currency: "currency",
		},
		Roles: map[string]datasets.Role{"order": datasets.Purchase},
	}
}

func row(customer, time, typ, amount, quantity, consent, currency string) textRow {
	p := func(s string) *string {
		if s == "∅" {
			return nil
		}
		return &s
	}
	return textRow{p(customer), p(time), p(typ), p(amount), p(quantity), p(consent), p(currency)}
}

// Each row of the table is judged by the first rule that applies to it.
func TestRules(t *testing.T) {
	before, _ := time.Parse(time.RFC3339, "2025-01-01T00:00:00Z")
	good := row("ann", "2024-01-01", "order", "1.5", "2", "yes", "EUR")
	tests := []struct {
		row  textRow
		want string // reason, or accepted, after, withheld
	}{
		{good, "accepted"},
		{row("ann", "2024-01-01", "∅", "", "∅", "TRUE", "EUR"), "accepted"},
		{row("ann", "2024-12-31T23:59:59.999999Z", "x", "1", "1", "1", "EUR"), "accepted"},
		{row("ann", "2025-01-01", "order", "1", "1", "1", "EUR"), "after"},
		{row("∅", "2025-01-01", "order", "bad", "bad", "no", "EUR"), "after"},
		{row("∅", "bad", "order", "bad", "bad", "no", "EUR"), "withheld"},
		{row("ann", "2024-01-01", "order", "1", "1", "∅", "EUR"), "withheld"},
		{row("ann", "2024-01-01", "order", "1", "1", "", "EUR"), "withheld"},
		{row("∅", "∅", "order", "bad", "1", "y", "EUR"), "event_time_null"},
		{row("ann", "", "order", "1", "1", "y", "EUR"), "event_time_null"},
		{row("∅", "yesterday", "order", "bad", "1", "y", "EUR"), "event_time_unparsable"},
		{row("ann", "0001-01-01T00:00:00+01:00", "order", "1", "1", "y", "EUR"), "event_time_out_of_range"},
		{row("∅", "2024-01-01", "order", "bad", "1", "y", "EUR"), "customer_id_null"},
		{row("", "2024-01-01", "order", "bad", "1", "y", "EUR"), "customer_id_empty"},
		{row("a\xff", "2024-01-01", "order", "bad", "1", "y", "EUR"), "customer_id_invalid_utf8"},
		{row("ann", "2024-01-01", "order", "bad", "worse", "y", "EUR"), "amount_unparsable"},
		{row("ann", "2024-01-01", "order", "1000000000001", "1", "y", "EUR"), "amount_out_of_range"},
		{row("ann", "2024-01-01", "\xff", "1", "many", "y", "EUR"), "quantity_unparsable"},
		{row("ann", "2024-01-01", "\xff", "1", "1", "y", "EUR"), "event_type_invalid_utf8"},
		{row("ann", "2024-01-01", "order", "1", "1", "y", "\xc3"), "currency_invalid_utf8"},
	}
	var rows []textRow
	want := map[string]int64{}
	for _, tc := range tests {
		rows = append(rows, tc.row)
		want[tc.want]++
	}
	path := filepath.Join(t.TempDir(), "a.parquet")
	writeRows(t, path, 1000, rows)
	opts := scan.DefaultOptions()
	opts.Before = before.UnixMicro()
	_, rep, err := eventRows(t, mustPlan(t, textSource(path)), opts)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{"accepted": rep.RowsAccepted, "after": rep.RowsAfter, "withheld": rep.RowsWithheld}
	for _, r := range rep.Rejects {
		got[r.Reason] += r.Count
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows by outcome (-want +got):\n%s", diff)
	}
	for i, tc := range tests {
		for _, r := range rep.Rejects {
			if r.Reason == tc.want && r.First.Row > int64(i) {
				t.Errorf("%s: first at row %d, want at most %d", r.Reason, r.First.Row, i)
			}
		}
	}
	wantSample := scan.RejectedRow{
		Source: "web", Reason: "amount_unparsable", Column: "amount", Value: "bad", CustomerID: "ann",
		EventTime: "2024-01-01T00:00:00Z", EventType: "order",
	}
	if !slices.Contains(rep.Sample, wantSample) {
		t.Errorf("the sample lacks %+v:\n%+v", wantSample, rep.Sample)
	}
	if rep.MinTime != 1_704_067_200_000_000 || rep.MaxTime != before.UnixMicro()-1 {
		t.Errorf("times from %d to %d", rep.MinTime, rep.MaxTime)
	}
	wantTypes := []scan.TypeCount{{"web", "", true, datasets.Other, 1}, {"web", "order", false, datasets.Purchase, 1}, {"web", "x", false, datasets.Other, 1}}
	if diff := cmp.Diff(wantTypes, rep.Types); diff != "" {
		t.Errorf("types (-want +got):\n%s", diff)
	}
	nulls := map[datasets.Field]int64{}
	for _, n := range rep.Nulls {
		nulls[n.Field] = n.Nulls
		if n.Rows != 3 {
			t.Errorf("%v: nulls of %d rows, want of 3", n.Field, n.Rows)
		}
	}
	if want := map[datasets.Field]int64{datasets.EventType: 1, datasets.Amount: 1, datasets.Quantity: 1, datasets.Currency: 0}; !reflect.DeepEqual(nulls, want) {
		t.Errorf("nulls %v, want %v", nulls, want)
	}
}

// manyRows is a table with every kind of row, n long.
func manyRows(n int) []textRow {
	rng := rand.New(rand.NewPCG(7, 7))
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	rows := make([]textRow, n)
	for i := range rows {
		rows[i] = row(pick("ann", "bob", fmt.Sprint("c", rng.IntN(300)), "∅", ""),
			pick("2024-01-01", "2024-02-30", fmt.Sprintf("2024-03-%02d 10:%02d", 1+rng.IntN(28), rng.IntN(60)), "2026-01-01", "∅"),
			pick("order", "view", "∅", "x"), pick("1", "2.5", "x", "∅", fmt.Sprint("bad", rng.IntN(500))), pick("1", "∅", "z"), pick("yes", "yes", "yes", "no"), pick("EUR", "∅"))
	}
	return rows
}

// layoutFree is a report without what depends on how rows are laid out in files.
func layoutFree(r *scan.Report) scan.Report {
	c := *r
	c.Files, c.RowGroupsRead, c.RowGroupsSkipped, c.RowsSkipped, c.Pages = 0, 0, 0, 0, 0
	c.Rejects = slices.Clone(c.Rejects)
	for i := range c.Rejects {
		c.Rejects[i].First = scan.Place{}
	}
	c.Currencies = slices.Clone(c.Currencies)
	for i := range c.Currencies {
		c.Currencies[i].First = scan.Place{}
	}
	return c
}

// The events, the counts and the sample depend on the set of rows, not on their
// order, their division into files and row groups, or the number of workers.
func TestLayoutDoesNotMatter(t *testing.T) {
	const n = 6000
	rows := manyRows(n)
	opts := scan.DefaultOptions()
	opts.MaxRejectedSample = 7
	opts.Before = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	var first [][]string
	var report scan.Report
	rng := rand.New(rand.NewPCG(3, 3))
	for trial, layout := range []struct{ files, perGroup, workers int }{{1, n, 1}, {1, 500, 4}, {7, 100, 3}, {40, 33, 8}, {3, 17, 2}} {
		dir := t.TempDir()
		for f := range layout.files {
			writeRows(t, filepath.Join(dir, fmt.Sprintf("%02d.parquet", f)), layout.perGroup, rows[f*n/layout.files:(f+1)*n/layout.files])
		}
		opts.Workers = layout.workers
		p := mustPlan(t, textSource(filepath.Join(dir, "*.parquet")))
		got, rep, err := eventRows(t, p, opts)
		if err != nil {
			t.Fatal(err)
		}
		opts.Workers = 9 - layout.workers
		again, repAgain, err := eventRows(t, p, opts)
		if err != nil || !cmp.Equal(got, again) || !cmp.Equal(rep, repAgain) {
			t.Fatalf("%d workers and %d differ: %v\n%s", layout.workers, opts.Workers, err, cmp.Diff(rep, repAgain))
		}
		if trial == 0 {
			first, report = got, layoutFree(rep)
			if len(rep.Sample) < 4*7 || rep.RowsWithheld == 0 || rep.RowsAfter == 0 || len(got) < 100 {
				t.Fatalf("the table does not try everything: %+v", rep)
			}
		}
		if diff := firstDifferences(got, first); diff != "" {
			t.Errorf("%+v: events differ:\n%s", layout, diff)
		}
		if diff := cmp.Diff(report, layoutFree(rep)); diff != "" {
			t.Errorf("%+v: reports differ (-want +got):\n%s", layout, diff)
		}
		rng.Shuffle(n, func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	}
}

// The sample is the distinct rows of the lowest hashes, so a smaller one is the
// beginning of a larger one, and repeating rows changes nothing.
func TestSampleIsNested(t *testing.T) {
	dir := t.TempDir()
	rows := manyRows(2000)
	writeRows(t, filepath.Join(dir, "once", "a.parquet"), 300, rows)
	writeRows(t, filepath.Join(dir, "twice", "a.parquet"), 300, append(slices.Clone(rows), rows...))
	read := func(name string, limit int) []scan.RejectedRow {
		opts := scan.DefaultOptions()
		opts.MaxRejectedSample = limit
		_, rep, err := eventRows(t, mustPlan(t, textSource(filepath.Join(dir, name, "*.parquet"))), opts)
		if err != nil {
			t.Fatal(err)
		}
		return rep.Sample
	}
	large := read("once", 20)
	small := read("once", 5)
	if diff := cmp.Diff(large, read("twice", 20)); diff != "" {
		t.Errorf("repeated rows change the sample (-once +twice):\n%s", diff)
	}
	for _, r := range small {
		if !slices.Contains(large, r) {
			t.Errorf("%+v is in the sample of 5 and not in that of 20", r)
		}
	}
	if len(small) == 0 || len(small) >= len(large) {
		t.Errorf("samples of %d and %d rows", len(small), len(large))
	}
	if none := read("once", 0); len(none) != 0 {
		t.Errorf("a sample of at most 0 has %d rows", len(none))
	}
}

// A dayRow has its time three ways.
type dayRow struct {
	ID    int32 `parquet:"id"`
	Day   int32 `parquet:"day,date"`
	Local int64 `parquet:"local,timestamp(microsecond:local)"`
	Epoch int64 `parquet:"epoch"`
}

// Row groups that end the history are skipped by their statistics, and skipping
// changes no count.
func TestBeforeSkipsRowGroups(t *testing.T) {
	const day = 86_400_000_000
	var rows []dayRow
	for d := range int32(1000) {
		rows = append(rows, dayRow{d, 19000 + d, int64(19000+d) * day, int64(19000+d) * 86400})
	}
	dir := t.TempDir()
	writeRows(t, filepath.Join(dir, "sorted.parquet"), 100, rows)
	zone, err := time.LoadLocation("Pacific/Kiritimati") // UTC+14
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		column  string
		unit    scan.Unit
		offset  int64 // of the zone, µs
		skipped int   // row groups
	}{{"day", scan.UnitAuto, 14 * 3_600_000_000, 4}, {"local", scan.UnitAuto, 14 * 3_600_000_000, 4}, {"epoch", scan.UnitSecond, 0, 5}, {"epoch", scan.UnitAuto, 0, 0}} {
		src := scan.Source{
			Name: "s", Paths: []string{filepath.Join(dir, "sorted.parquet")}, TimeZone: zone, TimeUnit: tc.unit,
			Columns: map[datasets.Field]string{datasets.CustomerID: "id", datasets.EventTime: tc.column},
		}
		opts := scan.DefaultOptions()
		opts.Before = (19500)*day - tc.offset
		got, rep, err := eventRows(t, mustPlan(t, src), opts)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 500 || rep.RowsAfter != 500 || rep.RowGroupsSkipped != tc.skipped || rep.RowsSkipped != int64(100*tc.skipped) {
			t.Errorf("%s in %v: %d events, %d after, %d row groups skipped, want 500, 500 and %d", tc.column, tc.unit, len(got), rep.RowsAfter, rep.RowGroupsSkipped, tc.skipped)
		}
	}
}

// A partition key that is the time ends the history without a look at the file.
func TestBeforeSkipsPartitions(t *testing.T) {
	dir := t.TempDir()
	type idRow struct {
		ID int32 `parquet:"id"`
	}
	for _, day := range []string{"2024-01-01", "2024-01-02", "2024-01-03", "nonsense"} {
		writeRows(t, filepath.Join(dir, "ds="+day, "a.parquet"), 10, []idRow{{1}, {2}})
	}
	src := scan.Source{Name: "s", Paths: []string{filepath.Join(dir, "**", "*.parquet")}, Columns: map[datasets.Field]string{datasets.CustomerID: "id", datasets.EventTime: "ds"}}
	opts := scan.DefaultOptions()
	opts.Before = time.Date(2024, 1, 2, 0, 0, 0, 0, time.UTC).UnixMicro()
	_, rep, err := eventRows(t, mustPlan(t, src), opts)
	if err != nil {
		t.Fatal(err)
	}
	if rep.RowsAccepted != 2 || rep.RowsAfter != 4 || rep.RowGroupsSkipped != 2 || rep.RowsRejected != 2 {
		t.Errorf("%+v", rep)
	}
}

type intID struct {
	ID   int64  `parquet:"customer"`
	Time string `parquet:"time"`
}

type listID struct {
	ID   []string `parquet:"customer,list"`
	Time float64  `parquet:"time"`
}

// Faults that end the run say what, where, and what to do.
func TestErrors(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	ok := []textRow{row("ann", "2024-01-01", "order", "1", "1", "y", "EUR")}
	writeRows(t, at("good.parquet"), 10, ok)
	writeRows(t, at("usd.parquet"), 10, []textRow{row("bob", "2024-01-01", "order", "1", "1", "y", "USD"), row("bob", "2024-01-01", "order", "1", "1", "y", "USD")})
	writeRows(t, at("ints.parquet"), 10, []intID{{1, "2024-01-01"}})
	writeRows(t, at("lists.parquet"), 10, []listID{{[]string{"a"}, 1}})
	good, err := os.ReadFile(at("good.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"empty.bin": nil, "short.bin": []byte("PAR1"), "csv.bin": []byte("customer,time\nann,2024-01-01\n"),
		"cut.bin": good[:len(good)-9], "crypt.bin": append(slices.Clone(good[:len(good)-4]), "PARE"...),
		"footer.bin": append(append(slices.Clone(good[:len(good)-8]), 0xFF, 0xFF, 0xFF, 0x7F), "PAR1"...),
	} {
		if err := os.WriteFile(at(name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	with := func(change func(*scan.Source)) []scan.Source {
		s := textSource(at("good.parquet"))
		change(&s)
		return []scan.Source{s}
	}
	only := func(name string) []scan.Source { return with(func(s *scan.Source) { s.Paths = []string{at(name)} }) }
	two := func(name string) []scan.Source {
		return with(func(s *scan.Source) { s.Paths = []string{at("good.parquet"), at(name)} })
	}
	tests := []struct {
		name    string
		sources []scan.Source
		opts    func(*scan.Options)
		kind    scan.ErrorKind
		want    []string
	}{
		{"no file", only("none*.parquet"), nil, scan.NoInput, []string{"source web", "no file matches", "none*.parquet"}},
		{"no source", nil, nil, scan.Config, []string{"no source"}},
		{"empty", only("empty.bin"), nil, scan.BadData, []string{"empty.bin: it is not a Parquet file: it has only 0 bytes"}},
		{"short", only("short.bin"), nil, scan.BadData, []string{"not a Parquet file"}},
		{"not parquet", only("csv.bin"), nil, scan.BadData, []string{"csv.bin: it is not a Parquet file", "narrow the path"}},
		{"cut", only("cut.bin"), nil, scan.BadData, []string{"cut.bin: it begins as a Parquet file and does not end as one"}},
		{"encrypted", only("crypt.bin"), nil, scan.Config, []string{"crypt.bin: it is encrypted", "without encryption"}},
		{"footer length", only("footer.bin"), nil, scan.BadData, []string{"its footer states 2147483647 bytes"}},
		{"misspelt", with(func(s *scan.Source) { s.Columns[datasets.Amount] = "amuont" }), nil, scan.Config,
			[]string{"good.parquet: column amuont", `did you mean "amount"?`, "it has amount, consent, currency, customer, quantity, time, type"}},
		{"wrong case", with(func(s *scan.Source) { s.Columns[datasets.CustomerID] = "Customer" }), nil, scan.Config, []string{`did you mean "customer"?`}},
		{"nothing near", with(func(s *scan.Source) { s.Columns[datasets.Amount] = "zzzzzz" }), nil, scan.Config, []string{"mapped to amount (it has"}},
		{"required missing in one file", two("lists.parquet"), nil, scan.Config, []string{"lists.parquet"}},
		{"list", []scan.Source{{Name: "x", Paths: []string{at("lists.parquet")}, Columns: map[datasets.Field]string{datasets.CustomerID: "customer.list.element", datasets.EventTime: "time"}}}, nil, scan.Config,
			[]string{"column customer.list.element", "a list or map", "unnest it"}},
		{"group", []scan.Source{{Name: "x", Paths: []string{at("lists.parquet")}, Columns: map[datasets.Field]string{datasets.CustomerID: "customer", datasets.EventTime: "time"}}}, nil, scan.Config,
			[]string{"column customer: it is a group; name a column in it"}},
		{"wrong type", with(func(s *scan.Source) {
			s.Roles = nil
			s.Paths, s.Columns = []string{at("lists.parquet")}, map[datasets.Field]string{datasets.CustomerID: "time", datasets.EventTime: "time"}
		}), nil, scan.Config, []string{"column time: it is DOUBLE", "customer id must be an integer"}},
		{"ids differ", func() []scan.Source {
			s := textSource(at("ints.parquet"))
			s.Name = "till"
			s.Roles = nil
			s.Columns = map[datasets.Field]string{datasets.CustomerID: "customer", datasets.EventTime: "time"}
			return append(only("good.parquet"), s)
		}(), nil, scan.Config, []string{"ints.parquet: column customer: customer ids are int64 here and string in", "good.parquet", "identity table"}},
		{"currencies", two("usd.parquet"), nil, scan.BadData,
			[]string{"several currencies", "USD in 2 rows", "usd.parquet, row group 0", "EUR in 1 rows", "good.parquet, row group 0"}},
		{"currency", only("good.parquet"), func(o *scan.Options) { o.Currency = "GBP" }, scan.BadData, []string{"other currencies than GBP", "EUR in 1 rows"}},
		{"all faults", []scan.Source{{TimeUnit: 99, Role: 200, Roles: map[string]datasets.Role{"x": 77}, Columns: map[datasets.Field]string{99: "x", datasets.Rating: ""}}}, nil, scan.Config,
			[]string{"Name must", "Paths must", "must map customer_id", "must map event_time", "unknown field 99", "rating to an empty name", "does not map event_type", "unknown role 77", "Role (200)", "TimeUnit (99) must be <"}},
		{"same name", append(only("good.parquet"), only("good.parquet")...), nil, scan.Config, []string{"two sources have this name"}},
		{"options", only("good.parquet"), func(o *scan.Options) { o.Workers, o.MaxRejectedSample = 0, -1 }, scan.Config, []string{"Workers (0) must be >= 1", "MaxRejectedSample (-1) must be >= 0"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			p, err := scan.NewPlan(ctx, storage.Local(), tc.sources)
			if err == nil {
				opts := scan.DefaultOptions()
				if tc.opts != nil {
					tc.opts(&opts)
				}
				_, err = p.Read(ctx, datasets.NewDicts(), opts, func(int, *datasets.Batch) error { return nil })
			}
			var e *scan.Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v, want a *scan.Error", err)
			}
			if e.Kind != tc.kind {
				t.Errorf("kind %v, want %v: %v", e.Kind, tc.kind, err)
			}
			if !strings.HasPrefix(err.Error(), "scan: ") {
				t.Errorf("%q does not name its package", err)
			}
			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
		})
	}
}

// Inspect profiles files, and its faults are located as those of Read are.
func TestInspect(t *testing.T) {
	dir := t.TempDir()
	writeRows(t, filepath.Join(dir, "a.parquet"), 10, []intID{{5, "2024-01-01"}, {7, "2024-01-02"}})
	glob := []string{filepath.Join(dir, "*")}
	p, err := scan.Inspect(ctx, storage.Local(), glob, scan.DefaultInspectOptions())
	if err != nil || p.Rows != 2 || len(p.Columns) != 2 || p.Columns[0].Kind != scan.KindInt64 || p.Columns[0].Max != "7" {
		t.Errorf("%+v, %v", p, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "c.parquet"), []byte("not a Parquet file at all"), 0o644); err != nil {
		t.Fatal(err)
	}
	var e *scan.Error
	if _, err := scan.Inspect(ctx, storage.Local(), glob, scan.DefaultInspectOptions()); !errors.As(err, &e) || e.Kind != scan.BadData || e.File != filepath.Join(dir, "c.parquet") {
		t.Errorf("a file that is not Parquet: %v", err)
	}
	if _, err := scan.Inspect(ctx, storage.Local(), []string{filepath.Join(dir, "z*")}, scan.DefaultInspectOptions()); !errors.As(err, &e) || e.Kind != scan.NoInput {
		t.Errorf("no file: %v", err)
	}
	if _, err := scan.Inspect(ctx, storage.Local(), glob, scan.InspectOptions{}); !errors.As(err, &e) || e.Kind != scan.Config {
		t.Errorf("no rows: %v", err)
	}
}

// A column that only some files have is null in the others, and is told of.
func TestMissingOptionalColumn(t *testing.T) {
	dir := t.TempDir()
	writeRows(t, filepath.Join(dir, "a.parquet"), 10, []intID{{1, "2024-01-01"}})
	type more struct {
		ID     int32   `parquet:"customer"`
		Time   string  `parquet:"time"`
		Amount float64 `parquet:"amount"`
	}
	writeRows(t, filepath.Join(dir, "b.parquet"), 10, []more{{2, "2024-01-01", 5}})
	p := mustPlan(t, scan.Source{Name: "s", Paths: []string{filepath.Join(dir, "*"), filepath.Join(dir, "a.*"), filepath.Join(dir, "zzz*")}, Columns: map[datasets.Field]string{
		datasets.CustomerID: "customer", datasets.EventTime: "time", datasets.Amount: "amount",
	}})
	if p.IDType.Kind != datasets.IDInt64 {
		t.Errorf("int32 and int64 ids make %v", p.IDType)
	}
	if len(p.Files) != 2 || p.Rows != 2 || p.RowGroups != 2 || p.Bytes != p.Files[0].Size+p.Files[1].Size {
		t.Errorf("plan %+v", p)
	}
	if len(p.Files[0].Footer) != 16 || p.Files[0].Footer == p.Files[1].Footer || p.Files[0].ModTime.IsZero() {
		t.Errorf("fingerprints %+v", p.Files)
	}
	if len(p.Warnings) != 2 || !strings.Contains(p.Warnings[0], "no file matches") || !strings.Contains(p.Warnings[1], `column "amount" (amount) is missing in 1 of 2 files`) {
		t.Errorf("warnings %q", p.Warnings)
	}
	rows, _, err := eventRows(t, p, scan.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 2 || rows[0][0] != "=1" || rows[0][4] != "" || rows[1][4] != "=5.0000" {
		t.Errorf("rows %q", rows)
	}
}

// A trickFS fails, or changes what is read, as a test says.
type trickFS struct {
	storage.FS
	open func(path string, f storage.File) (storage.File, error)
}

func (s trickFS) Open(ctx context.Context, path string) (storage.File, error) {
	f, err := s.FS.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	return s.open(path, f)
}

type trickFile struct {
	storage.File
	readAt func(p []byte, off int64) (int, error)
}

func (f trickFile) ReadAt(p []byte, off int64) (int, error) { return f.readAt(p, off) }

// A storage that fails is a reason to try again; a file that is refused is not.
func TestStorageFailures(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.parquet")
	writeRows(t, path, 100, manyRows(1000))
	src := []scan.Source{textSource(path)}
	boom := errors.New("connection reset")
	reads := 0
	count := trickFS{storage.Local(), func(_ string, f storage.File) (storage.File, error) {
		return trickFile{f, func(p []byte, off int64) (int, error) { reads++; return f.ReadAt(p, off) }}, nil
	}}
	run := func(fsys storage.FS) error {
		p, err := scan.NewPlan(ctx, fsys, src)
		if err != nil {
			return err
		}
		opts := scan.DefaultOptions()
		opts.Workers = 1
		_, err = p.Read(ctx, datasets.NewDicts(), opts, func(int, *datasets.Batch) error { return nil })
		return err
	}
	if err := run(count); err != nil {
		t.Fatal(err)
	}
	total := reads
	for fail := range total {
		n := 0
		err := run(trickFS{storage.Local(), func(_ string, f storage.File) (storage.File, error) {
			return trickFile{f, func(p []byte, off int64) (int, error) {
				if n++; n == fail+1 {
					return 0, boom
				}
				return f.ReadAt(p, off)
			}}, nil
		}})
		var e *scan.Error
		if !errors.As(err, &e) || e.Kind != scan.Transient || !errors.Is(err, boom) || e.File != path {
			t.Fatalf("read %d of %d failed, and the error is %v", fail+1, total, err)
		}
	}
	for _, tc := range []struct {
		err  error
		kind scan.ErrorKind
	}{{fs.ErrPermission, scan.Config}, {fs.ErrNotExist, scan.Transient}, {boom, scan.Transient}} {
		opens := 0
		err := run(trickFS{storage.Local(), func(_ string, f storage.File) (storage.File, error) {
			if opens++; opens == 2 {
				return nil, tc.err
			}
			return f, nil
		}})
		var e *scan.Error
		if !errors.As(err, &e) || e.Kind != tc.kind || !errors.Is(err, tc.err) {
			t.Errorf("opening fails with %v: %v", tc.err, err)
		}
	}
	// A file that ends early is damaged; one that grows is being written.
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p := mustPlan(t, src...)
	if err := os.WriteFile(path, append(data, 1), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = p.Read(ctx, datasets.NewDicts(), scan.DefaultOptions(), func(int, *datasets.Batch) error { return nil })
	if e := (*scan.Error)(nil); !errors.As(err, &e) || e.Kind != scan.Transient || !strings.Contains(err.Error(), "it is being written") {
		t.Errorf("a file that grew: %v", err)
	}
}

// A panic while decoding, here of the storage, is an error that names the place.
func TestPanicIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.parquet")
	writeRows(t, path, 100, manyRows(300))
	opens := 0
	p, err := scan.NewPlan(ctx, trickFS{storage.Local(), func(_ string, f storage.File) (storage.File, error) {
		if opens++; opens == 1 {
			return f, nil
		}
		return trickFile{f, func([]byte, int64) (int, error) { panic("index out of range") }}, nil
	}}, []scan.Source{textSource(path)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Read(ctx, datasets.NewDicts(), scan.DefaultOptions(), func(int, *datasets.Batch) error { return nil })
	var e *scan.Error
	if !errors.As(err, &e) || e.Kind != scan.BadData || e.File != path || e.RowGroup != 0 || e.Column != "customer" {
		t.Errorf("%v (%+v)", err, e)
	}
}

// Cancellation and the consumer's own error end the run and stay what they are.
func TestCancelAndEmitError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.parquet")
	writeRows(t, path, 5000, goEvents(200_000))
	src := scan.Source{Name: "s", Paths: []string{path}, Columns: map[datasets.Field]string{datasets.CustomerID: "cid", datasets.EventTime: "ts"}}
	p := mustPlan(t, src)
	full := errors.New("disk full")
	opts := scan.DefaultOptions()
	opts.Workers = 2
	if _, err := p.Read(ctx, datasets.NewDicts(), opts, func(int, *datasets.Batch) error { return full }); err != full {
		t.Errorf("emit failed: %v", err)
	}
	cctx, cancel := context.WithCancel(ctx)
	if _, err := p.Read(cctx, datasets.NewDicts(), opts, func(int, *datasets.Batch) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	var last int64
	opts.Progress = func(done, total int64) {
		if done < last || total != 200_000 || done > total {
			t.Errorf("progress went from %d to %d of %d", last, done, total)
		}
		last = done
	}
	if _, err := p.Read(ctx, datasets.NewDicts(), opts, func(int, *datasets.Batch) error { return nil }); err != nil || last != 200_000 {
		t.Errorf("progress ended at %d: %v", last, err)
	}
}

// The error of several damaged files is that of the first, for any number of workers.
func TestFirstErrorWins(t *testing.T) {
	dir := t.TempDir()
	for f := range 12 {
		path := filepath.Join(dir, fmt.Sprintf("%02d.parquet", f))
		writeRows(t, path, 50, manyRows(300))
		if f%5 == 3 { // 3 and 8
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			data[len(data)/3] ^= 0x10
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	p := mustPlan(t, textSource(filepath.Join(dir, "*")))
	want := ""
	for _, workers := range []int{1, 2, 3, 8, 8, 8} {
		opts := scan.DefaultOptions()
		opts.Workers = workers
		_, err := p.Read(ctx, datasets.NewDicts(), opts, func(int, *datasets.Batch) error { return nil })
		if err == nil || !strings.Contains(err.Error(), "03.parquet: row group ") || !strings.Contains(err.Error(), "page checksum does not match: the file is damaged; fetch it again or remove it") {
			t.Fatalf("%d workers: %v", workers, err)
		}
		if want == "" {
			want = err.Error()
		}
		if err.Error() != want {
			t.Errorf("%d workers: %v, and 1 worker: %s", workers, err, want)
		}
	}
}

// memFS is one file in memory.
type memFS struct {
	storage.FS
	data []byte
}

type memFile struct{ data []byte }

func (m memFS) Glob(context.Context, string) ([]storage.Info, error) {
	return []storage.Info{{Path: "mem.parquet", Size: int64(len(m.data))}}, nil
}
func (m memFS) Open(context.Context, string) (storage.File, error) { return memFile{m.data}, nil }
func (m memFile) Size() int64                                      { return int64(len(m.data)) }
func (m memFile) Close() error                                     { return nil }
func (m memFile) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= int64(len(m.data)) {
		return 0, io.EOF
	}
	n := copy(p, m.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Damage to a file with checksums is noticed or harmless: no panic escapes and no
// row is silently wrong.
func TestDamageIsNoticed(t *testing.T) {
	dir := t.TempDir()
	var rows, noticed, harmless int
	for i, codec := range []parquet.WriterOption{parquet.Compression(&parquet.Snappy), parquet.Compression(&parquet.Zstd), parquet.Compression(&parquet.Uncompressed)} {
		for version := 1; version <= 2; version++ {
			path := filepath.Join(dir, fmt.Sprintf("%d-%d.parquet", i, version))
			writeGo(t, path, goEvents(600), codec, parquet.DataPageVersion(version), parquet.PageBufferSize(1500), parquet.MaxRowsPerRowGroup(250))
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			src := (&oracleCase{Name: "s", Glob: "*", Columns: goColumns, Roles: map[string]string{"order": "purchase"}}).source(t)
			read := func(data []byte) ([][]string, *scan.Report, error) {
				p, err := scan.NewPlan(ctx, memFS{data: data}, []scan.Source{src})
				if err != nil {
					return nil, nil, err
				}
				opts := scan.DefaultOptions()
				opts.Workers = 1
				return eventRows(t, p, opts)
			}
			want, rep, err := read(data)
			if err != nil || rep.PagesWithoutChecksum > 0 || len(want) != 600 {
				t.Fatalf("the sound file: %d rows, %d pages without checksum, %v", len(want), rep.PagesWithoutChecksum, err)
			}
			rng := rand.New(rand.NewPCG(uint64(i), uint64(version)))
			for trial := range mutations {
				bad := slices.Clone(data)
				var what string
				switch trial % 5 {
				case 0, 1, 2:
					at, bit := rng.IntN(len(bad)), rng.IntN(8)
					bad[at] ^= 1 << bit
					what = fmt.Sprintf("bit %d of byte %d of %d flipped", bit, at, len(bad))
				case 3:
					at := rng.IntN(len(bad))
					clear(bad[at:min(at+16, len(bad))])
					what = fmt.Sprintf("16 bytes from %d of %d zeroed", at, len(bad))
				case 4:
					bad = bad[:rng.IntN(len(bad))]
					what = fmt.Sprintf("cut to %d bytes", len(bad))
				}
				got, _, err := read(bad)
				var e *scan.Error
				switch {
				case errors.As(err, &e):
					noticed++
					if e.File != "mem.parquet" {
						t.Errorf("%s: %v does not name the file", what, err)
					}
				case err != nil:
					t.Errorf("%s: %v is no *scan.Error", what, err)
				case cmp.Equal(got, want):
					harmless++
				default:
					t.Errorf("codec %d, page version %d: %s, and rows are silently wrong:\n%s", i, version, what, firstDifferences(got, want))
				}
				rows++
			}
		}
	}
	t.Logf("%d kinds of damage: %d noticed, %d harmless", rows, noticed, harmless)
	if noticed < rows*3/4 {
		t.Errorf("only %d of %d were noticed", noticed, rows)
	}
}

// mutations is how many kinds of damage each file of TestDamageIsNoticed suffers.
var mutations = 150
