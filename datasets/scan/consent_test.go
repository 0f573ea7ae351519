package scan_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/datasets/storage"
)

// A buyer's row has a number, a visitor's an address; some say whether they agree.
type ask struct {
	Customer string `parquet:"customer"`
	Agreed   *bool  `parquet:"agreed,optional"`
	At       *int64 `parquet:"at,optional,timestamp(microsecond)"`
	Kind     string `parquet:"kind"`
}

// world is two sources whose customers have numbers and addresses: 1 to 6, of which 11
// was merged into 1 and 12 into 2, and whose addresses are p1 to p6.
func world(t *testing.T) (dir string, in scan.Input) {
	dir = t.TempDir()
	var sales []sale
	for _, n := range []int64{1, 2, 3, 4, 5, 6, 11, 12} {
		sales = append(sales, sale{Customer: n, Time: 1000 * n, Amount: 1, ID: fmt.Sprint("s", n)})
	}
	var visits []visit
	var links []link
	email := "email"
	for n := range 6 {
		address := fmt.Sprintf("p%d@example.org", n+1)
		visits = append(visits, visit{Email: address, Time: int64(n), Amount: "1", ID: address})
		links = append(links, link{Kind: &email, Alias: &address, Customer: fmt.Sprint(n + 1)})
	}
	visits = append(visits, visit{Email: "stranger@example.org", Time: 7, Amount: "1", ID: "x"})
	old1, old2 := int32(11), int32(12)
	parquetFile(t, dir+"/sales.parquet", sales)
	parquetFile(t, dir+"/visits.parquet", visits)
	parquetFile(t, dir+"/links.parquet", links)
	parquetFile(t, dir+"/merges.parquet", []merge{{&old1, 1}, {&old2, 2}})
	return dir, scan.Input{
		Sources: []scan.Source{
			{Name: "till", Paths: []string{dir + "/sales.parquet"}, Columns: map[datasets.Field]string{datasets.CustomerID: "customer", datasets.EventTime: "at"}},
			{Name: "web", Paths: []string{dir + "/visits.parquet"}, Columns: map[datasets.Field]string{datasets.CustomerID: "email", datasets.EventTime: "at"}, IDKind: "email"},
		},
		Identity: []scan.IdentityTable{
			{Paths: []string{dir + "/merges.parquet"}, Alias: "old", Customer: "new", Kind: scan.CustomerKind},
			{Paths: []string{dir + "/links.parquet"}, Alias: "alias", Customer: "customer", KindColumn: "kind"},
		},
	}
}

// rowsOf counts the delivered rows of each customer, by the id as people write it.
func rowsOf(t *testing.T, in scan.Input, workers int) (map[string]int, *scan.Report, error) {
	t.Helper()
	p, err := in.Plan(t.Context(), storage.Local())
	if err != nil {
		return nil, nil, err
	}
	dicts := datasets.NewDicts()
	opts := scan.DefaultOptions()
	opts.Workers = workers
	parts := make([][]uint32, workers)
	rep, err := p.Read(t.Context(), dicts, opts, func(w int, b *datasets.Batch) error {
		parts[w] = append(parts[w], b.Customer...)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	rows := map[string]int{}
	for _, code := range slices.Concat(parts...) {
		rows[rep.IDType.Format(dicts.Customer.Value(code))]++
	}
	return rows, rep, nil
}

func yes(b bool) *bool { return &b }

func at(us int64) *int64 { return &us }

// Whom a list names is not read under any id; whom consents do not name, or name as one who
// refuses, is withheld; and nothing of them is in the sample of refused rows.
func TestConsentAndErasure(t *testing.T) {
	everybody := map[string]int{"1": 3, "2": 3, "3": 2, "4": 2, "5": 2, "6": 2}
	without := func(ids ...string) map[string]int {
		rows := map[string]int{}
		for id, n := range everybody {
			if !slices.Contains(ids, id) {
				rows[id] = n
			}
		}
		return rows
	}
	asks := func(t *testing.T, dir string, rows ...ask) scan.ConsentTable {
		parquetFile(t, dir+"/asks.parquet", rows)
		return scan.ConsentTable{Paths: []string{dir + "/asks.parquet"}, Customer: "customer", KindColumn: "kind", Given: "agreed", Time: "at"}
	}
	ids := func(t *testing.T, dir, kind string, lines ...string) scan.ConsentTable {
		name := dir + "/" + kind + ".txt"
		if err := os.WriteFile(name, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
		return scan.ConsentTable{Paths: []string{name}, Kind: kind}
	}
	for name, c := range map[string]struct {
		spec             func(t *testing.T, dir string) scan.ConsentSpec
		want             map[string]int
		erased, withheld int64
		rejected         int64
	}{
		"nobody": {func(t *testing.T, dir string) scan.ConsentSpec { return scan.ConsentSpec{} }, everybody, 0, 0, 1},
		"by number": {func(t *testing.T, dir string) scan.ConsentSpec {
			return scan.ConsentSpec{Erased: []scan.ConsentTable{ids(t, dir, "customer", "# asked on Monday", "", "3", " 4\r")}}
		}, without("3", "4"), 4, 0, 1},
		"by an old number": {func(t *testing.T, dir string) scan.ConsentSpec {
			return scan.ConsentSpec{Erased: []scan.ConsentTable{ids(t, dir, "customer", "11")}}
		}, without("1"), 3, 0, 1},
		"by address": {func(t *testing.T, dir string) scan.ConsentSpec {
			return scan.ConsentSpec{Erased: []scan.ConsentTable{ids(t, dir, "email", "p2@example.org", "stranger@example.org")}}
		}, without("2"), 4, 0, 0},
		"by a table of kinds": {func(t *testing.T, dir string) scan.ConsentSpec {
			parquetFile(t, dir+"/gone.parquet", []ask{{Customer: "p5@example.org", Kind: "email"}, {Customer: "12", Kind: "customer"}, {Customer: "1", Kind: "loyalty"}, {Kind: "customer"}})
			return scan.ConsentSpec{Erased: []scan.ConsentTable{{Paths: []string{dir + "/gone.parquet"}, Customer: "customer", KindColumn: "kind"}}}
		}, without("2", "5"), 5, 0, 1},
		"who agreed": {func(t *testing.T, dir string) scan.ConsentSpec {
			return scan.ConsentSpec{Consents: []scan.ConsentTable{asks(t, dir, ask{"11", yes(true), nil, "customer"}, ask{"p3@example.org", yes(true), at(5), "email"}, ask{"4", yes(false), at(5), "customer"}, ask{"5", nil, at(5), "customer"})}}
		}, without("2", "4", "5", "6"), 0, 10, 0},
		"who refused": {func(t *testing.T, dir string) scan.ConsentSpec {
			return scan.ConsentSpec{Unlisted: true, Consents: []scan.ConsentTable{asks(t, dir, ask{"11", yes(true), nil, "customer"}, ask{"4", yes(false), at(5), "customer"}, ask{"5", nil, at(5), "customer"})}}
		}, without("4", "5"), 0, 4, 1},
		"the latest word": {func(t *testing.T, dir string) scan.ConsentSpec {
			return scan.ConsentSpec{Unlisted: true, Consents: []scan.ConsentTable{asks(t, dir,
				ask{"1", yes(true), at(9), "customer"}, ask{"p1@example.org", yes(false), at(8), "email"}, // agreed again
				ask{"12", yes(false), at(1e15), "customer"}, ask{"2", yes(true), at(3), "customer"}, // withdrew, after all events
				ask{"3", yes(false), nil, "customer"}, ask{"3", yes(true), at(9), "customer"}, // who knows when
				ask{"4", yes(false), at(9), "customer"}, ask{"4", yes(true), at(9), "customer"})}} // both at once
		}, without("2", "3", "4"), 0, 7, 1},
		"erased, though agreed": {func(t *testing.T, dir string) scan.ConsentSpec {
			return scan.ConsentSpec{
				Erased:   []scan.ConsentTable{ids(t, dir, "customer", "6")},
				Consents: []scan.ConsentTable{asks(t, dir, ask{"6", yes(true), at(9), "customer"}, ask{"1", yes(true), at(9), "customer"})},
			}
		}, without("2", "3", "4", "5", "6"), 2, 10, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir, in := world(t)
			spec := c.spec(t, dir)
			in.Consent = &spec
			for _, key := range []scan.PseudonymKey{nil, scan.PseudonymKey("a key of sixteen")} {
				for _, workers := range []int{1, 3} {
					in.Pseudonyms = key
					want := c.want
					if key != nil {
						want = map[string]int{}
						for id, n := range c.want {
							want[keyed(key, id)] = n
						}
					}
					rows, rep, err := rowsOf(t, in, workers)
					if err != nil {
						t.Fatal(err)
					}
					if d := cmp.Diff(want, rows); d != "" {
						t.Errorf("%d workers, key %q: rows of customers (-want +got):\n%s", workers, key, d)
					}
					if rep.RowsErased != c.erased || rep.RowsWithheld != c.withheld || rep.RowsRejected != c.rejected {
						t.Errorf("%d erased, %d withheld, %d rejected; want %d, %d, %d", rep.RowsErased, rep.RowsWithheld, rep.RowsRejected, c.erased, c.withheld, c.rejected)
					}
					if rep.Rows != rep.RowsAccepted+rep.RowsRejected+rep.RowsWithheld+rep.RowsErased {
						t.Errorf("%d rows do not add up: %+v", rep.Rows, rep)
					}
					for id := range everybody {
						_, read := c.want[id]
						form := string(datasets.AppendIntID(nil, int64(id[0]-'0')))
						if key != nil {
							form = keyed(key, id)
						}
						if rep.Consent.Bars(form) == read {
							t.Errorf("customer %s: barred is %v", id, !read)
						}
					}
				}
			}
		})
	}
}

func keyed(key scan.PseudonymKey, id string) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(id))
	return hex.EncodeToString(h.Sum(nil))
}

// The statement that makes the events says what of it runs do otherwise.
func TestEventSQLSaysWhatItLeavesOut(t *testing.T) {
	for _, c := range []struct {
		key            scan.PseudonymKey
		erased         bool
		people, hashed bool
	}{{nil, false, false, false}, {scan.PseudonymKey("a key of sixteen"), false, false, true}, {nil, true, true, false}} {
		dir, in := world(t)
		in.Pseudonyms = c.key
		if c.erased {
			if err := os.WriteFile(dir+"/gone.txt", []byte("1\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			in.Consent = &scan.ConsentSpec{Erased: []scan.ConsentTable{{Paths: []string{dir + "/gone.txt"}, Kind: scan.CustomerKind}}}
		}
		p, err := in.Plan(t.Context(), storage.Local())
		if err != nil {
			t.Fatal(err)
		}
		sql := p.EventSQL()
		if people, hashed := strings.Contains(sql, "-- Runs leave out"), strings.Contains(sql, "-- Runs have pseudonyms"); people != c.people || hashed != c.hashed || strings.Contains(sql, "a key of") {
			t.Errorf("erased %t, key %t: %.300s", c.erased, c.key != nil, sql)
		}
	}
}

// What names nobody who could be found is an error that does not repeat it.
func TestErasureOfNobody(t *testing.T) {
	for name, table := range map[string]func(t *testing.T, dir string) scan.ConsentTable{
		"text": func(t *testing.T, dir string) scan.ConsentTable {
			if err := os.WriteFile(dir+"/gone.txt", []byte("3\nmallory@example.org\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			return scan.ConsentTable{Paths: []string{dir + "/gone.txt"}, Kind: scan.CustomerKind}
		},
		"parquet": func(t *testing.T, dir string) scan.ConsentTable {
			parquetFile(t, dir+"/gone.parquet", []ask{{Customer: "mallory@example.org"}})
			return scan.ConsentTable{Paths: []string{dir + "/gone.parquet"}, Customer: "customer", Kind: scan.CustomerKind}
		},
		"kind": func(t *testing.T, dir string) scan.ConsentTable {
			parquetFile(t, dir+"/gone.parquet", []ask{{Customer: "mallory@example.org"}})
			return scan.ConsentTable{Paths: []string{dir + "/gone.parquet"}, Customer: "customer", Kind: "mail"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, in := world(t)
			in.Consent = &scan.ConsentSpec{Erased: []scan.ConsentTable{table(t, dir)}}
			_, _, err := rowsOf(t, in, 2)
			if err == nil || !strings.Contains(err.Error(), "nobody would be found") || strings.Contains(err.Error(), "mallory") {
				t.Errorf("%v", err)
			}
		})
	}
}

// A row that withholds consent itself bars its customer from being spoken of.
func TestConsentColumnBars(t *testing.T) {
	dir := t.TempDir()
	parquetFile(t, dir+"/asks.parquet", []ask{{"anna", yes(true), at(1), ""}, {"anna", yes(false), at(2), ""}, {"bob", nil, at(1), ""}, {"cleo", yes(true), at(1), ""}})
	in := scan.Input{Sources: []scan.Source{{Name: "web", Paths: []string{dir + "/asks.parquet"}, Columns: map[datasets.Field]string{
		datasets.CustomerID: "customer", datasets.EventTime: "at", datasets.Consent: "agreed",
	}}}}
	rows, rep, err := rowsOf(t, in, 2)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]int{"anna": 1, "cleo": 1}, rows); d != "" {
		t.Error(d)
	}
	if !rep.Consent.Bars("bob") || rep.Consent.Bars("cleo") || rep.Consent.Bars("nobody") {
		t.Errorf("bob %v, cleo %v", rep.Consent.Bars("bob"), rep.Consent.Bars("cleo"))
	}
}

// Under a key the sample of refused rows has no id either, whatever it was refused for.
func TestPseudonymsInRejectedRows(t *testing.T) {
	dir, in := world(t)
	in.Pseudonyms = scan.PseudonymKey("a key of sixteen")
	_, rep, err := rowsOf(t, in, 2)
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Sample) != 1 || rep.Sample[0].Value != "" || rep.Sample[0].CustomerID != keyed(in.Pseudonyms, "stranger@example.org") {
		t.Errorf("sample %+v", rep.Sample)
	}
	if a, b := in.Pseudonyms.Fingerprint(), scan.PseudonymKey("a key of sixteeN").Fingerprint(); a == b || len(a) != 16 {
		t.Errorf("fingerprints %s and %s", a, b)
	}
	people, err := planErased(t, dir, in)
	if err != nil {
		t.Fatal(err)
	}
	want := []scan.Person{
		{Kind: "customer", ID: "11", Form: string(datasets.AppendIntID(nil, 11))}, {Kind: "customer", ID: "1", Form: string(datasets.AppendIntID(nil, 1))},
		{Kind: "email", ID: "p1@example.org"},
	}
	slices.SortFunc(want, func(a, b scan.Person) int { return strings.Compare(a.Kind+a.ID, b.Kind+b.ID) })
	if d := cmp.Diff(want, people); d != "" {
		t.Error(d)
	}
}

// planErased lists the ids of the person with the old number 11.
func planErased(t *testing.T, dir string, in scan.Input) ([]scan.Person, error) {
	if err := os.WriteFile(dir+"/gone.txt", []byte("11\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	in.Consent = &scan.ConsentSpec{Erased: []scan.ConsentTable{{Paths: []string{dir + "/gone.txt"}, Kind: scan.CustomerKind}}}
	p, err := in.Plan(context.Background(), storage.Local())
	if err != nil {
		return nil, err
	}
	return p.Erased(context.Background(), false, 1)
}

// A watched store notes which bytes of files are read.
type watched struct {
	storage.FS
	mu   *sync.Mutex
	read map[string][][2]int64 // by file: from, to
}

func (w watched) Open(ctx context.Context, path string) (storage.File, error) {
	f, err := w.FS.Open(ctx, path)
	return watchedFile{f, w, path}, err
}

type watchedFile struct {
	storage.File
	w    watched
	path string
}

func (f watchedFile) ReadAt(b []byte, at int64) (int, error) {
	f.w.mu.Lock()
	f.w.read[f.path] = append(f.w.read[f.path], [2]int64{at, at + int64(len(b))})
	f.w.mu.Unlock()
	return f.File.ReadAt(b, at)
}

// Of a column that is not configured not a byte is read, but what lies in the last of the
// file and comes along with its footer.
func TestColumnsNotConfiguredAreNotRead(t *testing.T) {
	type row struct {
		Before   string `parquet:"a_before,plain"`
		Customer string `parquet:"customer,plain"`
		Diary    string `parquet:"diary,plain"`
		Time     int64  `parquet:"time"`
	}
	path := t.TempDir() + "/a.parquet"
	var rows []row
	for i := range 20_000 {
		rows = append(rows, row{strings.Repeat("x", i%50), fmt.Sprint("c", i%100), strings.Repeat("secret", i%30), int64(i)})
	}
	parquetFile(t, path, rows)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	p, err := parquet.OpenFile(f, st.Size())
	if err != nil {
		t.Fatal(err)
	}
	w := watched{storage.Local(), &sync.Mutex{}, map[string][][2]int64{}}
	in := scan.Input{Sources: []scan.Source{{Name: "web", Paths: []string{path}, Columns: map[datasets.Field]string{datasets.CustomerID: "customer", datasets.EventTime: "time"}}}}
	plan, err := in.Plan(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := plan.Read(t.Context(), datasets.NewDicts(), scan.DefaultOptions(), func(int, *datasets.Batch) error { return nil })
	if err != nil || rep.RowsAccepted != 20_000 {
		t.Fatal(rep, err)
	}
	touched := map[string]int{}
	for _, g := range p.Metadata().RowGroups {
		for _, c := range g.Columns {
			from := c.MetaData.DataPageOffset
			if d := c.MetaData.DictionaryPageOffset; d > 0 {
				from = min(from, d)
			}
			for _, r := range w.read[path] {
				if r[1] < st.Size() && r[0] < from+c.MetaData.TotalCompressedSize && r[1] > from {
					touched[c.MetaData.PathInSchema[0]]++
				}
			}
		}
	}
	if touched["customer"] == 0 || touched["time"] == 0 || touched["diary"] > 0 || touched["a_before"] > 0 {
		t.Errorf("reads by column: %v", touched)
	}
}
