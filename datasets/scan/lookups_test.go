package scan_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
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

// A sale is a row of the till, whose customers have numbers.
type sale struct {
	Customer int64   `parquet:"customer"`
	Time     int64   `parquet:"at,timestamp(microsecond)"`
	Amount   float64 `parquet:"amount"`
	Currency *string `parquet:"currency,optional"`
	ID       string  `parquet:"id"`
}

// A visit is a row of the web, whose visitors have e-mail addresses.
type visit struct {
	Email    string `parquet:"email"`
	Time     int64  `parquet:"at,timestamp(microsecond)"`
	Amount   string `parquet:"amount"`
	Currency string `parquet:"currency"`
	ID       string `parquet:"id"`
}

// A call is a row of the support, whose callers have UUIDs.
type call struct {
	Device [16]byte `parquet:"device,uuid"`
	Time   int64    `parquet:"at,timestamp(microsecond)"`
	ID     string   `parquet:"id"`
}

// A merge says that a number was merged into another.
type merge struct {
	Old *int32 `parquet:"old,optional"`
	New int64  `parquet:"new"`
}

// A link says whose an alias is, whatever its kind, all as text.
type link struct {
	Kind     *string `parquet:"kind,optional"`
	Alias    *string `parquet:"alias,optional"`
	Customer string  `parquet:"customer"`
}

// A quote is a currency rate.
type quote struct {
	Day      int32   `parquet:"day,date"`
	Currency string  `parquet:"currency"`
	Rate     float64 `parquet:"rate"`
	Exact    string  `parquet:"exact"`
	Decimal  int64   `parquet:"decimal,decimal(8:18)"`
}

func parquetFile[T any](t *testing.T, path string, rows []T) {
	t.Helper()
	if err := parquet.WriteFile(path, rows, parquet.MaxRowsPerRowGroup(300)); err != nil {
		t.Fatal(err)
	}
}

// business is three sources and the tables that join them.
type business struct {
	sales  []sale
	visits []visit
	calls  []call
	merges []merge
	links  []link
	quotes []quote
}

func device(n int) [16]byte { return [16]byte{0xab, 14: byte(n >> 8), 15: byte(n)} }

func deviceText(n int) string {
	d := device(n)
	return fmt.Sprintf("%x-%x-%x-%x-%x", d[:4], d[4:6], d[6:8], d[8:10], d[10:])
}

// newBusiness has chains of merges, numbers that were merged anew, aliases nobody lists,
// and rates on some days only.
func newBusiness(seed uint64) *business {
	r := rand.New(rand.NewPCG(seed, 3))
	b := &business{}
	const customers = 400
	number := func(i int) int64 { return int64(i*7919%customers) - 50 } // of the i-th in the order of merging
	for i := 1; i < customers; i++ {
		old := int32(number(i))
		switch r.IntN(4) {
		case 0:
			b.merges = append(b.merges, merge{&old, number(r.IntN(i))})
		case 1: // into another, and when that was merged itself, into its customer too
			over := 1 + r.IntN(i)
			into := number(r.IntN(over))
			if over < i {
				b.merges = append(b.merges, merge{&old, number(over)}, merge{&old, into})
				m := int32(number(over))
				b.merges = append(b.merges, merge{&m, into})
			}
		}
		if r.IntN(9) == 0 {
			b.merges = append(b.merges, merge{&old, int64(old)}, merge{nil, number(i)})
		}
	}
	b.merges = agreeing(b.merges)
	email, dev := "email", "device"
	for i := range customers {
		address, id := fmt.Sprintf("p%d@example.org", i), deviceText(i)
		if i%10 > 0 {
			b.links = append(b.links, link{&email, &address, fmt.Sprint(number(r.IntN(customers)))})
		}
		if i%7 > 0 {
			b.links = append(b.links, link{&dev, &id, fmt.Sprint(number(r.IntN(customers)))})
		}
		if i%50 == 0 {
			cookie := fmt.Sprint("c", i)
			b.links = append(b.links, link{nil, &address, "1"}, link{&email, nil, "2"}, link{&cookie, &cookie, "3"})
		}
	}
	currencies := []string{"EUR", "USD", "JPY", "KWD"}
	at := func() int64 { // in 2024, around the change of clocks in New York more often
		if r.IntN(3) == 0 {
			return time.Date(2024, 11, 3, 0, r.IntN(3*24*60), 0, 0, time.UTC).UnixMicro()
		}
		return time.Date(2024, 2, 1, 0, 0, r.IntN(300*86400), 0, time.UTC).UnixMicro()
	}
	for i := range 3000 {
		s := sale{Customer: number(r.IntN(customers + 30)), Time: at(), Amount: float64(r.IntN(2_000_000)-200_000) / 1000, ID: fmt.Sprint("s", i)}
		if c := r.IntN(5); c < 4 {
			s.Currency = &currencies[c]
		}
		b.sales = append(b.sales, s)
		v := visit{fmt.Sprintf("p%d@example.org", r.IntN(customers)), at(), fmt.Sprintf("%d.%04d", r.IntN(9000), r.IntN(10000)), currencies[r.IntN(4)], fmt.Sprint("v", i)}
		b.visits = append(b.visits, v)
		b.calls = append(b.calls, call{device(r.IntN(customers)), at(), fmt.Sprint("c", i)})
	}
	for day := time.Date(2024, 1, 20, 0, 0, 0, 0, time.UTC); day.Year() == 2024; day = day.AddDate(0, 0, 1+r.IntN(9)) {
		d := int32(day.Unix() / 86400)
		for i, base := range []float64{1, 0.92, 0.0061, 3.01} {
			if i > 0 && r.IntN(5) == 0 && day.Month() > 1 {
				continue
			}
			rate := base * (1 + r.Float64()/10)
			q := quote{d, currencies[i], rate, fmt.Sprintf("%.6f", rate), int64(rate * 1e8)}
			b.quotes = append(b.quotes, q)
			if r.IntN(10) == 0 {
				b.quotes = append(b.quotes, q)
			}
		}
	}
	return b
}

// agreeing leaves out merges that would give a number two customers.
func agreeing(all []merge) []merge {
	ends := func(merges []merge) map[int64]map[int64]bool {
		next := map[int64][]int64{}
		for _, m := range merges {
			if m.Old != nil && int64(*m.Old) != m.New {
				next[int64(*m.Old)] = append(next[int64(*m.Old)], m.New)
			}
		}
		found := map[int64]map[int64]bool{}
		var walk func(n int64) map[int64]bool
		walk = func(n int64) map[int64]bool {
			if f, ok := found[n]; ok {
				return f
			}
			f := map[int64]bool{}
			found[n] = f
			for _, to := range next[n] {
				for e := range walk(to) {
					f[e] = true
				}
			}
			if len(next[n]) == 0 {
				f[n] = true
			}
			return f
		}
		for n := range next {
			walk(n)
		}
		return found
	}
	var kept []merge
	for _, m := range all {
		ok := true
		for _, e := range ends(append(slices.Clone(kept), m)) {
			ok = ok && len(e) == 1
		}
		if ok {
			kept = append(kept, m)
		}
	}
	return kept
}

func (b *business) shuffle(seed uint64) *business {
	r := rand.New(rand.NewPCG(seed, 5))
	c := &business{slices.Clone(b.sales), slices.Clone(b.visits), slices.Clone(b.calls), slices.Clone(b.merges), slices.Clone(b.links), slices.Clone(b.quotes)}
	swap(r, c.sales)
	swap(r, c.visits)
	swap(r, c.calls)
	swap(r, c.merges)
	swap(r, c.links)
	swap(r, c.quotes)
	return c
}

func swap[T any](r *rand.Rand, s []T) {
	r.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
}

// write makes the files, a part of each table in its own, and returns the input.
func (b *business) write(t *testing.T, parts int) scan.Input {
	t.Helper()
	dir := t.TempDir()
	for i := range parts {
		file := func(name string) string { return filepath.Join(dir, fmt.Sprintf("%s-%d.parquet", name, i)) }
		parquetFile(t, file("sales"), share(b.sales, i, parts))
		parquetFile(t, file("visits"), share(b.visits, i, parts))
		parquetFile(t, file("calls"), share(b.calls, i, parts))
		parquetFile(t, file("merges"), share(b.merges, i, parts))
		parquetFile(t, file("links"), share(b.links, i, parts))
		parquetFile(t, file("quotes"), share(b.quotes, i, parts))
	}
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	source := func(name, kind string, columns map[datasets.Field]string) scan.Source {
		columns[datasets.EventTime], columns[datasets.EventID] = "at", "id"
		return scan.Source{Name: name, Paths: []string{filepath.Join(dir, name+"-*.parquet")}, Role: datasets.Purchase, IDKind: kind, Columns: columns}
	}
	return scan.Input{
		Sources: []scan.Source{
			source("sales", "", map[datasets.Field]string{datasets.CustomerID: "customer", datasets.Amount: "amount", datasets.Currency: "currency"}),
			source("visits", "email", map[datasets.Field]string{datasets.CustomerID: "email", datasets.Amount: "amount", datasets.Currency: "currency"}),
			source("calls", "device", map[datasets.Field]string{datasets.CustomerID: "device"}),
		},
		Identity: []scan.IdentityTable{
			{Paths: []string{filepath.Join(dir, "merges-*.parquet")}, Alias: "old", Customer: "new", Kind: scan.CustomerKind},
			{Paths: []string{filepath.Join(dir, "links-*.parquet")}, Alias: "alias", Customer: "customer", KindColumn: "kind"},
		},
		Rates: &scan.RateSpec{
			To: "EUR", Zone: newYork, MaxAge: 60,
			Paths: []string{filepath.Join(dir, "quotes-*.parquet")}, Date: "day", Currency: "currency", Rate: "rate",
		},
	}
}

func share[T any](rows []T, i, parts int) []T {
	return rows[i*len(rows)/parts : (i+1)*len(rows)/parts]
}

func planOf(t *testing.T, in scan.Input) *scan.Plan {
	t.Helper()
	p, err := in.Plan(t.Context(), storage.Local())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Three sources with ids of three kinds become one customer's events in one currency, as
// DuckDB has it by a recursive query and an ASOF join; in any order of rows.
func TestIdentityAndRatesEqualDuckDB(t *testing.T) {
	type query struct {
		Name    string `json:"name"`
		SQL     string `json:"sql"`
		Columns string `json:"columns"`
	}
	var queries []query
	got := map[string][][]string{}
	add := func(name string, in scan.Input, workers int) *scan.Report {
		p := planOf(t, in)
		opts := scan.DefaultOptions()
		opts.Workers = workers
		rows, rep, err := eventRows(t, p, opts)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got[name] = rows
		queries = append(queries, query{name, p.EventSQL(), oracleColumns(p.IDType)})
		return rep
	}
	b := newBusiness(1)
	first := add("doubles", b.write(t, 1), 1)
	if id := first.Identity; id.Merged < 100 || id.AliasesMet < 500 || id.RowsRekeyed < 5000 || id.Ignored < 20 || id.Aliases < id.AliasesMet {
		t.Errorf("the tables are not exercised: %+v", id)
	}
	unknown := map[string]int64{}
	for _, r := range first.Rejects {
		unknown[r.Source+" "+r.Reason] = r.Count
	}
	if len(unknown) != 2 || unknown["visits customer_id_unknown_alias"] < 200 || unknown["calls customer_id_unknown_alias"] < 200 {
		t.Errorf("refused: %v", unknown)
	}
	if first.AmountsConverted < 3000 {
		t.Errorf("%d amounts converted", first.AmountsConverted)
	}
	again := add("permuted", b.shuffle(2).write(t, 4), 3)
	if diff := cmp.Diff(got["doubles"], got["permuted"]); diff != "" {
		t.Errorf("the order of rows matters:\n%s", diff)
	}
	if diff := cmp.Diff(first.Identity, again.Identity); diff != "" {
		t.Errorf("the order of rows matters:\n%s", diff)
	}
	for _, column := range []string{"exact", "decimal"} {
		in := newBusiness(4).write(t, 2)
		in.Rates.Rate, in.Rates.Inverse, in.Rates.Zone = column, column == "exact", time.UTC
		add(column, in, 2)
	}
	in := newBusiness(5).write(t, 2)
	in.Rates.Paths, in.Rates.MaxAge = nil, 1000
	in.Rates.Listed = []scan.Rate{{Date: "2024-01-01", Currency: "USD", Rate: "0.9"}, {Date: "2024-11-03", Currency: "USD", Rate: "1e-5"}, {Date: "2024-01-01", Currency: "JPY", Rate: "12345.678901234567"}, {Date: "2024-01-01", Currency: "KWD", Rate: "0.0000000000000000015"}}
	in.Sources, in.Identity = in.Sources[:1], in.Identity[:1]
	add("listed", in, 2)

	// Customers' numbers may also be text, and UUIDs: the sources' type is published.
	type parcel struct {
		Customer string `parquet:"customer"`
		Time     int64  `parquet:"at,timestamp(microsecond)"`
	}
	dir := t.TempDir()
	var parcels []parcel
	for _, s := range b.sales {
		parcels = append(parcels, parcel{fmt.Sprint(s.Customer), s.Time})
	}
	parquetFile(t, filepath.Join(dir, "parcels.parquet"), parcels)
	in = b.write(t, 1)
	in.Rates, in.Identity = nil, in.Identity[:1]
	in.Sources = []scan.Source{{Name: "parcels", Paths: []string{filepath.Join(dir, "*.parquet")}, Role: datasets.Purchase,
		Columns: map[datasets.Field]string{datasets.CustomerID: "customer", datasets.EventTime: "at"}}}
	add("text", in, 2)

	var want map[string][][]string
	runScript(t, "oracle.py", queries, &want, "query")
	for _, q := range queries {
		w := want[q.Name]
		hashIDs(w)
		if len(w) == 1 && len(w[0]) == 2 {
			t.Errorf("%s: DuckDB: %s\n%s", q.Name, w[0][1], q.SQL)
			continue
		}
		if diff := firstDifferences(got[q.Name], w); diff != "" || len(w) < 2000 {
			t.Errorf("%s: the reader delivers %d events, DuckDB %d:\n%s", q.Name, len(got[q.Name]), len(w), diff)
		}
	}
}

// Reading one customer reads the rows of every id that stands for her, and no others.
func TestOneCustomerUnderSeveralIDs(t *testing.T) {
	p := planOf(t, newBusiness(7).write(t, 3))
	all, _, err := eventRows(t, p, scan.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	byCustomer := map[string][][]string{}
	for _, row := range all {
		byCustomer[row[0]] = append(byCustomer[row[0]], row)
	}
	for customer := int64(-50); customer < 380; customer += 3 {
		opts := scan.DefaultOptions()
		opts.Customers = scan.OneCustomer(string(datasets.AppendIntID(nil, customer)))
		got, rep, err := eventRows(t, p, opts)
		if err != nil {
			t.Fatal(err)
		}
		if diff := firstDifferences(got, byCustomer[fmt.Sprint("=", customer)]); diff != "" {
			t.Errorf("customer %d: %d events, of %d in all:\n%s", customer, len(got), len(byCustomer[fmt.Sprint("=", customer)]), diff)
		}
		if rep.Rows != rep.RowsAccepted+rep.RowsRejected+rep.RowsOthers {
			t.Errorf("customer %d: the report does not add up: %+v", customer, rep)
		}
	}
}

// merged are the customers of the numbers 1 … n, by a table of merges.
func merged(t *testing.T, n int, merges ...[2]int) ([]int64, error) {
	t.Helper()
	var rows []merge
	for _, m := range merges {
		old := int32(m[0])
		rows = append(rows, merge{&old, int64(m[1])})
	}
	var sales []sale
	for i := range n {
		sales = append(sales, sale{Customer: int64(i + 1), Time: int64(i)})
	}
	in := (&business{sales: sales, merges: rows}).write(t, 1)
	in.Sources, in.Identity, in.Rates = in.Sources[:1], in.Identity[:1], nil
	p := planOf(t, in)
	dicts := datasets.NewDicts()
	opts := scan.DefaultOptions()
	opts.Workers = 1
	var codes []uint32
	_, err := p.Read(context.Background(), dicts, opts, func(_ int, b *datasets.Batch) error {
		codes = append(codes, b.Customer...)
		return nil
	})
	var ids []int64
	for _, c := range codes {
		ids = append(ids, datasets.IntID(dicts.Customer.Value(c)))
	}
	return ids, err
}

func TestMerging(t *testing.T) {
	for _, c := range []struct {
		name   string
		merges [][2]int
		want   []int64 // customers of 1, 2, 3, 4
		err    string
	}{
		{"none", nil, []int64{1, 2, 3, 4}, ""},
		{"one", [][2]int{{1, 2}}, []int64{2, 2, 3, 4}, ""},
		{"a chain", [][2]int{{1, 2}, {3, 4}, {2, 3}}, []int64{4, 4, 4, 4}, ""},
		{"into one who has no events", [][2]int{{1, 9}, {2, 9}}, []int64{9, 9, 3, 4}, ""},
		{"itself", [][2]int{{1, 1}, {2, 2}, {2, 1}}, []int64{1, 1, 3, 4}, ""},
		{"twice", [][2]int{{1, 2}, {1, 2}}, []int64{2, 2, 3, 4}, ""},
		{"merged anew", [][2]int{{1, 2}, {1, 3}, {2, 3}}, []int64{3, 3, 3, 4}, ""},
		{"out of a circle", [][2]int{{1, 2}, {2, 1}, {2, 4}}, []int64{4, 4, 3, 4}, ""},
		{"a circle", [][2]int{{2, 1}, {1, 2}}, nil, "row 1: 1 circle: each of these ids is an alias of the next, so none of them is the customer: 1 → 2 → 1; delete"},
		{"a circle with a tail", [][2]int{{4, 3}, {3, 2}, {2, 1}, {1, 3}}, nil, "row 3: 1 circle: each of these ids is an alias of the next, so none of them is the customer: 1 → 3 → 2 → 1; delete"},
		{"two circles", [][2]int{{4, 3}, {3, 4}, {2, 1}, {1, 2}}, nil, "2 circles: each of these ids is an alias of the next, so none of them is the customer: 1 → 2 → 1; 3 → 4 → 3; delete"},
		{"two customers", [][2]int{{1, 2}, {1, 3}}, nil, "row 1: 1 alias of several customers: 1 of 2 and 3; keep one customer for each"},
		{"two customers at length", [][2]int{{3, 8}, {2, 7}, {1, 3}, {1, 2}, {4, 1}}, nil, "row 2: 1 alias of several customers: 1 of 2 and 3; keep"},
		{"a circle with two ends", [][2]int{{1, 2}, {2, 1}, {1, 8}, {2, 9}}, nil, "2 aliases of several customers: 1 of 2 and 8; 2 of 1 and 9; keep"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for turn := range 6 { // in other orders
				merges := slices.Clone(c.merges)
				if turn > 0 {
					swap(rand.New(rand.NewPCG(uint64(turn), 1)), merges)
				}
				got, err := merged(t, 4, merges...)
				if c.err == "" {
					if err != nil || !slices.Equal(got, c.want) {
						t.Fatalf("%v: %v, %v; want %v", merges, got, err, c.want)
					}
					continue
				}
				want := c.err
				if at := strings.Index(want, ": "); turn > 0 && strings.HasPrefix(want, "row ") { // the row is another
					want = want[at+2:]
				}
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Fatalf("%v: error %v, want %s", merges, err, c.err)
				}
				var e *scan.Error
				if !errors.As(err, &e) || e.Kind != scan.BadData || e.File == "" || e.Row < 0 {
					t.Fatalf("%+v", e)
				}
			}
		})
	}
}
