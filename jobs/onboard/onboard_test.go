package onboard

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/jobs/config"
)

var update = flag.Bool("update", false, "rewrite golden files")

// golden compares with a file in testdata, the test's own directory and
// Parquet's wording of types, which are not ours, taken out.
func golden(t *testing.T, file, got string) {
	t.Helper()
	file = filepath.Join("testdata", file)
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (run with -update to write it)", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); run with -update if intended:\n%s", file, diff)
	}
}

func write[T any](t *testing.T, path string, rows []T) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := parquet.WriteFile(path, rows); err != nil {
		t.Fatal(err)
	}
}

func initIn(t *testing.T, dir string, workers int, globs ...string) (string, []Note, error) {
	t.Helper()
	o := DefaultOptions()
	o.Workers = workers
	for _, g := range globs {
		o.Globs = append(o.Globs, filepath.Join(dir, g))
	}
	text, notes, err := Init(context.Background(), o)
	return string(text), notes, err
}

// shown is what a person sees of Init, free of the temporary directory.
func shown(dir, text string, notes []Note, err error) string {
	var b strings.Builder
	b.WriteString(text)
	for _, n := range notes {
		fmt.Fprintf(&b, "NOTE %s\n", n)
	}
	if err != nil {
		fmt.Fprintf(&b, "ERROR %v\n", err)
	}
	return strings.ReplaceAll(b.String(), dir, "DIR")
}

var start = time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC)

type click struct {
	UserID   string  `parquet:"userId,dict"`
	Account  int64   `parquet:"row_id"`
	TS       int64   `parquet:"ts"` // ms
	Name     string  `parquet:"name,dict"`
	Price    float64 `parquet:"price,optional"`
	Currency string  `parquet:"currency_code,dict,optional"`
	SKU      string  `parquet:"sku,optional"`
	Session  string  `parquet:"sessionId,optional"`
	Loaded   int64   `parquet:"loaded_at,timestamp(microsecond)"`
}

// clicks is a web shop's history: every customer comes back after gaps that
// are exponential with a mean of 20 days.
func clicks(customers, days int) []click {
	rng := rand.New(rand.NewPCG(1, 2))
	var rows []click
	add := func(c, session int, at time.Time, name string, price float64) {
		row := click{
			UserID: fmt.Sprintf("u%04d", c), Account: int64(len(rows)), TS: at.UnixMilli(), Name: name,
			Session: fmt.Sprintf("s%d-%d", c, session), SKU: fmt.Sprintf("p%d", rng.IntN(30)), Loaded: at.Add(time.Hour).UnixMicro(),
		}
		if price > 0 {
			row.Price, row.Currency = price, "EUR"
		}
		rows = append(rows, row)
	}
	for c := range customers {
		day := rng.Float64() * 60
		for s := 0; day < float64(days); s++ {
			at := start.Add(time.Duration(day * 24 * float64(time.Hour)))
			add(c, s, at, "page_view", 0)
			add(c, s, at.Add(time.Minute), "site_search", 0)
			add(c, s, at.Add(2*time.Minute), "add_to_cart", 0)
			if rng.IntN(4) > 0 {
				add(c, s, at.Add(3*time.Minute), "order_completed", float64(1+rng.IntN(9000))/100)
			}
			switch rng.IntN(20) {
			case 0:
				add(c, s, at.Add(time.Hour), "order_cancelled", 0)
			case 1:
				add(c, s, at.Add(2*time.Hour), "email_opened", 0)
			case 2:
				add(c, s, at.Add(3*time.Hour), "mystery", 0)
			}
			day += 20 * rng.ExpFloat64()
		}
	}
	return rows
}

// hive writes clicks into date partitions.
func hive(t *testing.T, dir string, rows []click) {
	byDay := map[string][]click{}
	for _, r := range rows {
		ds := time.UnixMilli(r.TS).UTC().Format(time.DateOnly)
		byDay[ds[:7]] = append(byDay[ds[:7]], r)
	}
	for month, rows := range byDay {
		write(t, filepath.Join(dir, "web", "month="+month, "part-0.parquet"), rows)
	}
}

type receipt struct {
	ID       int64   `parquet:"id"`
	Card     int64   `parquet:"card_number"`
	SoldOn   int32   `parquet:"sold_on"` // yyyymmdd
	Total    int64   `parquet:"total,decimal(2:18)"`
	Discount float64 `parquet:"discount_amount"`
	Receipt  string  `parquet:"receipt_no"`
	Items    int32   `parquet:"number_of_items"`
	Store    string  `parquet:"store,dict"`
}

func receipts(n int) []receipt {
	rng := rand.New(rand.NewPCG(3, 4))
	rows := make([]receipt, n)
	for i := range rows {
		day := start.AddDate(0, 0, i*400/n)
		y, m, d := day.Date()
		rows[i] = receipt{
			ID: int64(i), Card: int64(1000 + rng.IntN(n/20)), SoldOn: int32(y*10000 + int(m)*100 + d),
			Total: int64(100 + rng.IntN(5000)), Receipt: fmt.Sprint("R", i), Items: int32(1 + rng.IntN(4)), Store: "S1",
		}
	}
	return rows
}

type nested struct {
	User struct {
		ID string `parquet:"id,dict"`
	} `parquet:"user"`
	Context struct {
		Time string `parquet:"event_time"`
	} `parquet:"context"`
	Event string `parquet:"event,dict"`
}

func plays(n int) []nested {
	rng := rand.New(rand.NewPCG(5, 6))
	rows := make([]nested, n)
	kinds := []string{"NextSong", "Thumbs Up", "Login", "Cancellation Confirmation", "Cancel", "Add to Playlist", "Error"}
	for i := range rows {
		rows[i].User.ID = fmt.Sprint("u", rng.IntN(50))
		rows[i].Context.Time = start.Add(time.Duration(i) * 20 * time.Minute).Format("2006-01-02T15:04:05Z")
		rows[i].Event = kinds[min(rng.IntN(12), len(kinds)-1)]
	}
	return rows
}

type odd struct {
	Customer string  `parquet:"customer_id"`
	When     int64   `parquet:"event_time,timestamp(microsecond)"`
	Type     string  `parquet:"${x}: # 'event\ttype"`
	Amount   float64 `parquet:"amount"`
}

func odds() []odd {
	var rows []odd
	for i := range 400 {
		rows = append(rows, odd{
			Customer: fmt.Sprint("c", i%20), When: start.AddDate(0, 0, i).UnixMicro(), Amount: 1,
			Type: []string{"purchase", "page view: a # b", "view ${HOME} $$", "yes", "return \"x\"\nnew: line", "null"}[i%6],
		})
	}
	return rows
}

type customerRow struct {
	ID  string `parquet:"customer_id"`
	Age int32  `parquet:"age"`
	Reg int32  `parquet:"reg_date,date"`
}

func customers() []customerRow {
	var rows []customerRow
	for i := range 50 {
		rows = append(rows, customerRow{fmt.Sprint("u", i), int32(i), 19000})
	}
	return rows
}

type floatID struct {
	ID   float64 `parquet:"customer_id"`
	When int64   `parquet:"event_time,timestamp(microsecond)"`
}

type noID struct {
	Buyer string `parquet:"wer"`
	Lot   int64  `parquet:"los"`
	When  int64  `parquet:"event_time,timestamp(microsecond)"`
}

type holey struct {
	Customer *string `parquet:"customer_id,optional"`
	When     int64   `parquet:"ts"` // s
}

func holes(n int) []holey {
	rows := make([]holey, n)
	for i := range rows {
		rows[i].When = start.Unix() + int64(i)*3600
		if i%10 < 3 {
			id := fmt.Sprint("c", i%7)
			rows[i].Customer = &id
		}
	}
	return rows
}

func TestInitGolden(t *testing.T) {
	cases := map[string]struct {
		make  func(dir string)
		globs []string
	}{
		"web":    {func(dir string) { hive(t, dir, clicks(120, 400)) }, []string{"web/month=*/*.parquet"}},
		"till":   {func(dir string) { write(t, filepath.Join(dir, "till.parquet"), receipts(2000)) }, []string{"till.parquet"}},
		"nested": {func(dir string) { write(t, filepath.Join(dir, "app.parquet"), plays(3000)) }, []string{"app.parquet"}},
		"odd":    {func(dir string) { write(t, filepath.Join(dir, "odd.parquet"), odds()) }, []string{"odd.parquet"}},
		"holes":  {func(dir string) { write(t, filepath.Join(dir, "holes.parquet"), holes(1000)) }, []string{"holes.parquet"}},
		"several": {func(dir string) {
			hive(t, dir, clicks(60, 300))
			write(t, filepath.Join(dir, "app.parquet"), plays(1500))
			write(t, filepath.Join(dir, "customers.parquet"), customers())
		}, []string{"web", "app.parquet", "customers.parquet"}},
		"err_customers": {func(dir string) { write(t, filepath.Join(dir, "c.parquet"), customers()) }, []string{"c.parquet"}},
		"err_float_id": {func(dir string) {
			write(t, filepath.Join(dir, "f.parquet"), []floatID{{1, start.UnixMicro()}, {1, start.UnixMicro()}, {2, start.UnixMicro()}})
		}, []string{"f.parquet"}},
		"err_no_id": {func(dir string) {
			var rows []noID
			for i := range 100 {
				rows = append(rows, noID{fmt.Sprint("p", i%30), int64(i), start.UnixMicro()})
			}
			write(t, filepath.Join(dir, "n.parquet"), rows)
		}, []string{"n.parquet"}},
		"err_mixed": {func(dir string) {
			write(t, filepath.Join(dir, "lake", "a.parquet"), odds())
			write(t, filepath.Join(dir, "lake", "b.parquet"), customers())
		}, []string{"lake/*.parquet"}},
		"err_nothing": {func(string) {}, []string{"none/*.parquet"}},
		"err_no_rows": {func(dir string) { write(t, filepath.Join(dir, "e.parquet"), []odd{}) }, []string{"e.parquet"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			tc.make(dir)
			text, notes, err := initIn(t, dir, 1, tc.globs...)
			golden(t, name+".txt", shown(dir, text, notes, err))
			again, notesAgain, errAgain := initIn(t, dir, 3, tc.globs...)
			if a, b := shown(dir, text, notes, err), shown(dir, again, notesAgain, errAgain); a != b {
				t.Errorf("3 workers write something else:\n%s", cmp.Diff(a, b))
			}
			if failing := strings.HasPrefix(name, "err_"); failing != (err != nil) || failing != (text == "") {
				t.Errorf("error %v, text %q", err, text)
			}
			if err != nil {
				return
			}
			// It runs unedited, as far as reading goes, and means what it says.
			cfg, err := config.Parse("shoal.yaml", []byte(text), func(string) (string, bool) { return "", false })
			if err != nil {
				t.Fatal(err)
			}
			report, err := Check(context.Background(), cfg, DefaultCheckOptions())
			if err != nil {
				t.Fatal(err)
			}
			if err := report.ExitError(); err != nil {
				t.Error(err)
			}
			for _, f := range report.Findings {
				if f.Code == "types.absent" {
					t.Errorf("the written mapping names types that do not occur: %s", f.Message)
				}
			}
		})
	}
}

// dataDir is where the public event histories are: $DATA, or shared/data
// beside the repository. They are not part of it.
func dataDir(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("DATA"); dir != "" {
		return dir
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(wd, "..", "..", "..", "shared", "data")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no public data here: set DATA to their directory")
	}
	return dir
}

// On public data the written configuration and the report on it are what they
// were when last looked at. Figures that were checked by other means: see
// TestPublicFigures.
func TestPublicGolden(t *testing.T) {
	dir := dataDir(t)
	for _, name := range []string{
		"cdnow_master", "cdnow_sample", "complete_journey_customers", "complete_journey_events", "megaline_customers", "megaline_events",
		"online_retail", "retentioneering_ecom_synthetic", "sparkify_log_2018_11_simulated", "yoochoose_sample",
	} {
		t.Run(name, func(t *testing.T) {
			text, notes, err := initIn(t, dir, 2, name+".parquet")
			got := shown(dir, text, notes, err)
			if strings.HasSuffix(name, "_customers") {
				if err == nil || !strings.Contains(err.Error(), "this looks like a table of customers, not of events") {
					t.Errorf("error %v", err)
				}
			} else {
				if err != nil {
					t.Fatal(err)
				}
				report, err := Check(context.Background(), parse(t, dir, text), DefaultCheckOptions())
				if err != nil {
					t.Fatal(err)
				}
				if !report.Able() {
					t.Errorf("a run would stop:\n%s", &report)
				}
				// Which features there are is no matter of this package.
				got += "\n" + stayEmpty.ReplaceAllString(strings.ReplaceAll(report.String(), dir, "DIR"), "so N features")
			}
			golden(t, filepath.Join("public", name+".txt"), got)
		})
	}
}

var stayEmpty = regexp.MustCompile(`so [0-9]+ features`)

// The same figures by DuckDB and a Kaplan–Meier estimate of ten lines of
// Python over the same files (customers not null; days in UTC; the mapping of
// the written configuration).
func TestPublicFigures(t *testing.T) {
	dir := dataDir(t)
	for name, want := range map[string]struct {
		exact, eligible, churned, seen, bought int64
		horizon                                string
	}{
		"online_retail":                  {5227, 2283, 667, 3261, 2010, "80% of gaps close within 130 days (70 days when"},
		"cdnow_sample":                   {21, 470, 242, 2357, 399, "# within 117 days."},
		"retentioneering_ecom_synthetic": {30, 91, 70, 597, 137, "# within 55 days."},
		"sparkify_log_2018_11_simulated": {0, 75, 19, -1, -1, "80% of gaps close within 5 days (4 days when"},
	} {
		text, _, err := initIn(t, dir, 2, name+".parquet")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, want.horizon) {
			t.Errorf("%s: not %q:\n%s", name, want.horizon, text)
		}
		r, err := Check(context.Background(), parse(t, dir, text), DefaultCheckOptions())
		if err != nil {
			t.Fatal(err)
		}
		if r.ExactDuplicates != want.exact {
			t.Errorf("%s: %d exact duplicates, want %d", name, r.ExactDuplicates, want.exact)
		}
		if c := r.Targets[0]; c.Eligible != want.eligible || c.Positives != want.churned {
			t.Errorf("%s: churn: %d of %d, want %d of %d", name, c.Positives, c.Eligible, want.churned, want.eligible)
		}
		if want.seen < 0 {
			continue
		}
		if p := r.Targets[1]; p.Eligible != want.seen || p.Positives != want.bought {
			t.Errorf("%s: purchase: %d of %d, want %d of %d", name, p.Positives, p.Eligible, want.bought, want.seen)
		}
	}
}

// What only a person can know is an error of its own; absent files wrap a
// sentinel.
func TestInitErrors(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "c.parquet"), customers())
	_, _, err := initIn(t, dir, 1, "c.parquet")
	var person *NeedsPersonError
	if !errors.As(err, &person) || len(person.Problems) != 1 {
		t.Errorf("error %v", err)
	}
	if _, _, err = initIn(t, dir, 1, "none"); !errors.Is(err, ErrNoFiles) {
		t.Errorf("error %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "x.parquet"), []byte("not Parquet at all, but longer than a footer"), 0o644); err != nil {
		t.Fatal(err)
	}
	var fault *scan.Error
	if _, _, err = initIn(t, dir, 1, "x.parquet"); !errors.As(err, &fault) {
		t.Errorf("error %v", err)
	}
	if err := (Options{}).Validate(); err == nil || strings.Count(err.Error(), "\n") != 4 {
		t.Errorf("faults: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	o := DefaultOptions()
	o.Globs = []string{filepath.Join(dir, "c.parquet")}
	if _, _, err := Init(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A column that is said goes before recognition.
func TestInitColumns(t *testing.T) {
	dir := t.TempDir()
	var rows []noID
	for i := range 400 {
		rows = append(rows, noID{fmt.Sprint("p", i%30), int64(i), start.AddDate(0, 0, i).UnixMicro()})
	}
	write(t, filepath.Join(dir, "n.parquet"), rows)
	o := DefaultOptions()
	o.Globs = []string{filepath.Join(dir, "n.parquet")}
	o.Columns[datasets.CustomerID] = "wer"
	text, _, err := Init(context.Background(), o)
	if err != nil || !strings.Contains(string(text), "customer_id: wer ") {
		t.Errorf("%s, %v", text, err)
	}
	o.Columns[datasets.CustomerID] = "whom"
	if _, _, err = Init(context.Background(), o); err == nil || !strings.Contains(err.Error(), `no column "whom" for customer_id; the columns are wer, los, event_time`) {
		t.Errorf("error %v", err)
	}
}

// An id that pairs events rather than naming them passes a look at its values,
// not the reading: mapped, it would drop every other event.
func TestInitEventID(t *testing.T) {
	dir := t.TempDir()
	type named struct {
		Customer string `parquet:"customer_id"`
		When     int64  `parquet:"event_time,timestamp(microsecond)"`
		Type     string `parquet:"event_type"`
		ID       string `parquet:"event_id"`
	}
	for repeats, mapped := range map[int]bool{1: true, 2: false} {
		out := make([]named, 20_000)
		for i := range out {
			out[i] = named{fmt.Sprint("c", i/2%100), start.Add(time.Duration(i) * time.Minute).UnixMicro(), "view", fmt.Sprint(i / repeats)}
		}
		path := fmt.Sprintf("%d.parquet", repeats)
		write(t, filepath.Join(dir, path), out)
		text, notes, err := initIn(t, dir, 1, path)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(text, "event_id: event_id"); got != mapped {
			t.Errorf("%d events an id: mapped %v", repeats, got)
		}
		told := slices.ContainsFunc(notes, func(n Note) bool {
			return n.Kind == Confirm && strings.Contains(n.Message, "event_id was not taken for event_id: 50% of the events repeat one")
		})
		if told == mapped {
			t.Errorf("%d events an id: notes %v", repeats, notes)
		}
	}
}

func TestQuote(t *testing.T) {
	for _, s := range []string{
		"plain", "a b", "x: y", "# c", "", "1", "true", "null", "~", "- a", "é", "${A}", "$${A}", "$$$", "$", "a\"b\\c", "tab\t\n", "2020-01-01", "0x1", ".5", "\u2028\u0085\x7f", "[a]", "*x", "{", "=", "<<", "%",
	} {
		doc := "sources: [{path: a, columns: {customer_id: a, event_time: b}, role: view}]\nout: " + Quote("x"+s) + "\nfeatures: {families: all}\n"
		doc = strings.Replace(doc, "customer_id: a", "customer_id: "+Quote(s+"z"), 1)
		doc = strings.Replace(doc, "features: {families: all}\n", "", 1)
		cfg, err := config.Parse("q", []byte(doc), func(string) (string, bool) { return "", false })
		if err != nil || cfg.Out != "x"+s || cfg.Sources[0].Columns[datasets.CustomerID] != s+"z" {
			t.Errorf("%q: %v\n%s", s, err, doc)
		}
		if s != "" {
			doc = "sources: [{path: a, columns: {customer_id: " + Quote(s) + ", event_time: b}, role: view}]\nout: x\n"
			if cfg, err = config.Parse("q", []byte(doc), func(string) (string, bool) { return "", false }); err != nil || cfg.Sources[0].Columns[datasets.CustomerID] != s {
				t.Errorf("%q: %v\n%s", s, err, doc)
			}
		}
	}
}

func parse(t *testing.T, dir, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("shoal.yaml", []byte(strings.ReplaceAll(text, "DIR", dir)), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

const shopConfig = `
sources:
  - name: web
    path: DIR/web/month=*/*.parquet
    columns: {customer_id: userId, event_time: ts, event_type: name, amount: price, currency: currency_code, session_id: sessionId, product_id: sku}
    roles: {purchase: [order_completed], view: [page_view], search: [search], cart_add: [add_to_cart], renew: [renewed]}
out: DIR/out
targets:
  - {name: churn, kind: churn, role: purchase, horizon: auto}
  - {name: renewal, kind: propensity, role: renew, horizon: 30d}
  - {name: long, kind: churn, role: any, horizon: 300d, gap: 10d}
limits: {rejected_share: 0.001}
`

func TestCheckGolden(t *testing.T) {
	dir := t.TempDir()
	rows := clicks(120, 400)
	rows = append(rows, rows[:25]...) // exact duplicates
	for i := range 30 {
		rows[100+i].UserID = "" // refused
	}
	hive(t, dir, rows)
	cfg := parse(t, dir, shopConfig)
	check := func(workers int, date *time.Time) *Report {
		o := DefaultCheckOptions()
		o.Workers, o.Date = workers, date
		report, err := Check(context.Background(), cfg, o)
		if err != nil {
			t.Fatal(err)
		}
		return &report
	}
	report := check(1, nil)
	golden(t, "check.txt", strings.ReplaceAll(report.String(), dir, "DIR"))
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "check.json", strings.ReplaceAll(string(text), dir, "DIR")+"\n")
	if strings.Contains(string(text), "null,") {
		t.Error("JSON has nulls where lists belong")
	}
	if diff := cmp.Diff(report, check(3, nil)); diff != "" {
		t.Errorf("3 workers: %s", diff)
	}
	if err := report.ExitError(); err == nil || !strings.Contains(err.Error(), "more than limits.rejected_share") || report.Able() {
		t.Errorf("error %v", err)
	}
	// As of a date, later events are left out and everything still adds up.
	date := start.AddDate(0, 0, 200)
	early := check(2, &date)
	if early.After == 0 || early.Accepted+early.Rejected+early.After != early.Rows || early.Date != "2023-07-20" || early.Last > early.Date {
		t.Errorf("as of %s: last %s, accepted %d + rejected %d + after %d of %d", early.Date, early.Last, early.Accepted, early.Rejected, early.After, early.Rows)
	}
}

// codes lists a report's findings as severity and code.
func codes(r *Report) []string {
	var list []string
	for _, f := range r.Findings {
		list = append(list, fmt.Sprintf("%s %s", f.Severity, f.Code))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

type plain struct {
	Customer string   `parquet:"c"`
	When     int64    `parquet:"t,timestamp(microsecond)"`
	Type     string   `parquet:"k"`
	Amount   *float64 `parquet:"a,optional"`
	Currency string   `parquet:"cur"`
	ID       string   `parquet:"id"`
}

const plainConfig = `
sources:
  - path: DIR/e.parquet
    columns: {customer_id: c, event_time: t, event_type: k, amount: a, currency: cur, event_id: id}
    roles: {purchase: [buy], cancel: [cancel], subscribe: [sub]}
out: DIR/out
targets: [{name: churn, kind: churn, role: purchase, horizon: 14d}]
models: {min_positives: 10}
`

// Each finding has data that cause it, beside data that do not.
func TestFindings(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	base := func() []plain {
		var rows []plain
		for i := range 6000 {
			a := float64(1 + rng.IntN(100))
			rows = append(rows, plain{
				Customer: fmt.Sprint("c", rng.IntN(150)), When: start.Add(time.Duration(rng.IntN(280*86400)) * time.Second).UnixMicro(),
				Type: "buy", Amount: &a, Currency: "EUR", ID: fmt.Sprint("e", i),
			})
		}
		return rows
	}
	always := []string{"warning types.absent"} // cancel and sub are mapped and do not occur
	for name, tc := range map[string]struct {
		change func(rows []plain) []plain
		config string // old|new
		want   []string
	}{
		"none":       {func(r []plain) []plain { return r }, "", nil},
		"currencies": {func(r []plain) []plain { r[5].Currency = "USD"; return r }, "", []string{"error input.currencies"}},
		"rejected": {func(r []plain) []plain {
			for i := range r[:4000] {
				r[i].Customer = ""
			}
			return r
		}, "", []string{"error input.rejected_share", "warning column.rejected"}},
		"no amount": {func(r []plain) []plain {
			for i := range r {
				r[i].Amount = nil
			}
			return r
		}, "", []string{"warning amount.none", "warning column.all_null"}},
		"some amounts": {func(r []plain) []plain {
			for i := range r[:1000] {
				r[i].Amount = nil
			}
			return r
		}, "", []string{"warning amount.missing"}},
		"negative": {func(r []plain) []plain { *r[0].Amount = -3; return r }, "", []string{"warning amount.negative"}},
		"dates": {func(r []plain) []plain {
			for i := range r {
				r[i].When -= r[i].When % 86_400_000_000
			}
			return r
		}, "", []string{"warning time.whole_days"}},
		"epoch": {func(r []plain) []plain { r[0].When = 0; return r }, "", []string{"warning time.old"}},
		"silent": {func(r []plain) []plain {
			return slices.DeleteFunc(r, func(p plain) bool {
				d := time.UnixMicro(p.When).UTC().YearDay()
				return d >= 40 && d < 50
			})
		}, "", []string{"warning time.silent_days"}},
		"visits": {func(r []plain) []plain {
			for i := range r {
				r[i].Customer = fmt.Sprint("v", i)
			}
			return r
		}, "", []string{"warning customers.one_day", "warning target.outcomes"}},
		"shared id": {func(r []plain) []plain {
			for i := range r[:2000] {
				r[i].Customer = "guest"
			}
			return r
		}, "", []string{"warning customers.busiest"}},
		"alike": {func(r []plain) []plain {
			r[0].Customer, r[1].Customer, r[2].Customer = " c7", "C7 ", "C8"
			return r
		}, "", []string{"warning customers.alike"}},
		"repeated ids": {func(r []plain) []plain {
			for i := range r {
				r[i].ID = fmt.Sprint("e", i%30)
			}
			return r
		}, "", []string{"warning duplicates.many"}},
		"duplicates": {func(r []plain) []plain { return append(r, r[:40]...) }, "\nout:|\ndedupe: none\nout:", []string{"warning duplicates.kept"}},
		"unmapped": {func(r []plain) []plain {
			for i := range r[:2000] {
				r[i].Type = "poke"
			}
			return r
		}, "", []string{"warning types.unmapped"}},
		"after cancel": {func(r []plain) []plain {
			for i := range r[:20] {
				r[i].Type, r[i].When = "cancel", start.UnixMicro()
			}
			return r
		}, "", []string{"warning cancel.activity"}},
		"short": {func(r []plain) []plain {
			return slices.DeleteFunc(r, func(p plain) bool { return time.UnixMicro(p.When).UTC().YearDay() > 40 })
		}, "role: purchase|role: any", []string{"warning target.history"}},
		"no role": {func(r []plain) []plain { return r }, "kind: churn, role: purchase|kind: propensity, role: cancel", []string{"warning target.no_events"}},
		"empty":   {func([]plain) []plain { return nil }, "", []string{"error input.empty"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "e.parquet"), tc.change(base()))
			text := plainConfig
			if old, repl, ok := strings.Cut(tc.config, "|"); ok {
				text = strings.Replace(text, old, repl, 1)
			}
			report, err := Check(context.Background(), parse(t, dir, text), DefaultCheckOptions())
			if err != nil {
				t.Fatal(err)
			}
			want := append(slices.Clone(always), tc.want...)
			slices.Sort(want)
			if diff := cmp.Diff(want, codes(&report)); diff != "" {
				t.Errorf("findings (-want +got):\n%s\n%s", diff, &report)
			}
		})
	}
}

func TestCheckErrors(t *testing.T) {
	dir := t.TempDir()
	cfg := parse(t, dir, plainConfig)
	_, err := Check(context.Background(), cfg, DefaultCheckOptions())
	var fault *scan.Error
	if !errors.As(err, &fault) || fault.Kind != scan.NoInput {
		t.Errorf("error %v", err)
	}
	if _, err := Check(context.Background(), cfg, CheckOptions{}); err == nil {
		t.Error("zero options accepted")
	}
}

// What is in a column that nothing is made of is told, but nothing of a person.
func TestInitUnusedColumns(t *testing.T) {
	type row struct {
		Customer string  `parquet:"customer_id"`
		When     int64   `parquet:"ts"`
		Plan     string  `parquet:"plan"`
		Contact  string  `parquet:"contact"`
		Surname  string  `parquet:"last_name"`
		Note     *string `parquet:"note,optional"`
	}
	var rows []row
	for i := range 400 {
		rows = append(rows, row{fmt.Sprint("c", i%20), start.Unix() + int64(i)*3600, []string{"free", "paid"}[i%2], fmt.Sprintf("p%d@example.org", i%3), []string{"Smith", "Jones"}[i%2], nil})
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "e.parquet"), rows)
	text, notes, err := initIn(t, dir, 1, "e.parquet")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"plan       BYTE_ARRAY STRING: free, paid\n", "contact    BYTE_ARRAY STRING: 3 different values\n", "last_name  BYTE_ARRAY STRING: 2 different values\n", "note       BYTE_ARRAY STRING: null in every row\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
	said := fmt.Sprint(notes)
	if strings.Contains(text+said, "@") || strings.Contains(text+said, "Smith") || !strings.Contains(said, "if plan says what happened") {
		t.Errorf("%s\n%s", text, said)
	}
}

// Data that were taken in the middle of a day are run for the day before: their last day
// would stop at a gate. A day that is merely quiet is whole; so is
// the last one where everything has been quiet for weeks.
func TestInitSuggestsAWholeDay(t *testing.T) {
	for name, c := range map[string]struct {
		last []int // events of the last days
		want string
		said bool
	}{
		"whole":       {[]int{100}, "2023-03-20", false},
		"quiet":       {[]int{75}, "2023-03-20", false},
		"cut off":     {[]int{20}, "2023-03-19", true},
		"two days":    {[]int{10, 20}, "2023-03-18", true},
		"four days":   {[]int{30, 25, 20, 15}, "2023-03-16", true},
		"three weeks": {[]int{30, 25, 20, 15, 30, 25, 20, 15, 30, 25, 20, 15, 30, 25, 20, 15, 30, 25, 20, 15, 20}, "2023-03-20", false},
	} {
		t.Run(name, func(t *testing.T) {
			first := time.Date(2023, 3, 20-79, 0, 0, 0, 0, time.UTC)
			var rows []holey
			for day := range 80 {
				n := 95 + day%11
				if i := day - 80 + len(c.last); i >= 0 {
					n = c.last[i]
				}
				for i := range n {
					id := fmt.Sprint("c", (i*7+day)%40)
					rows = append(rows, holey{&id, first.AddDate(0, 0, day).Unix() + int64(i*864)})
				}
			}
			dir := t.TempDir()
			write(t, filepath.Join(dir, "events.parquet"), rows)
			text, notes, err := initIn(t, dir, 2, "events.parquet")
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(text, "then shoal run --date "+c.want+"\n") || strings.Contains(text, "arrived in full") != c.said {
				t.Errorf("want %s\n%s", c.want, text[:400])
			}
			if last := notes[len(notes)-1].String(); strings.Contains(last, "seems not to have arrived") != c.said {
				t.Errorf("last note %q", last)
			}
		})
	}
}
