package explain_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/parquet-go/parquet-go"
	"github.com/rs/zerolog"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/synth"
	"github.com/shoal-data/shoal/datasets/tables"
	"github.com/shoal-data/shoal/internal/pyoracle"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/explain"
	"github.com/shoal-data/shoal/jobs/nightly"
)

func options(c *config.Config, customer, date string) explain.Options {
	return explain.Options{Config: c, Customer: customer, Date: date, FS: storage.Local(), Workers: 2}
}

func mustExplain(t *testing.T, o explain.Options) *explain.Report {
	t.Helper()
	r, err := explain.Explain(t.Context(), o)
	if err != nil {
		t.Fatalf("customer %s: %v", o.Customer, err)
	}
	return r
}

// publishedFeatures runs a night and reads its feature table: the values of
// every customer by column, NaN for null.
func publishedFeatures(t *testing.T, c *config.Config, date string) map[string]map[string]float64 {
	t.Helper()
	c.Out = t.TempDir()
	if _, err := nightly.Run(t.Context(), nightly.Options{Config: c, Date: date, FS: storage.Local(), Version: "test", Log: zerolog.Nop(), Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(c.Out, "features", "ds="+date, "run=*", "*.parquet"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no feature table: %v", err)
	}
	rows := map[string]map[string]float64{}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		records, err := tables.Read(context.Background(), f, info.Size())
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range records {
			for i := range int(rec.NumRows()) {
				row := map[string]float64{}
				for j, field := range rec.Schema().Fields() {
					if col, ok := rec.Column(j).(*array.Float64); ok {
						row[field.Name] = col.Value(i)
						if col.IsNull(i) {
							row[field.Name] = math.NaN()
						}
					}
				}
				rows[rec.Column(0).ValueStr(i)] = row
			}
		}
	}
	return rows
}

func generated(t *testing.T, edit func(*synth.Params)) *config.Config {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "sample")
	p := synth.DefaultParams()
	p.Customers, p.DuplicateShare, p.Start = 200, 0.05, time.Date(2024, 8, 1, 0, 0, 0, 0, time.UTC)
	if edit != nil {
		edit(&p)
	}
	if _, err := synth.Generate(t.Context(), p, dir, nil); err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("generated", []byte(synth.Config(dir, filepath.Join(dir, "out"))), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// some picks the busiest, the quietest and a few customers between.
func some(rows map[string]map[string]float64, n int) []string {
	var ids []string
	for id := range rows {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int {
		if d := rows[a]["event_count_lifetime"] - rows[b]["event_count_lifetime"]; d != 0 {
			return int(d)
		}
		return strings.Compare(a, b)
	})
	var picked []string
	for i := range n {
		picked = append(picked, ids[i*(len(ids)-1)/(n-1)])
	}
	return slices.Compact(picked)
}

// What explain says of a customer is what the run published, column by column,
// and what its own SQL says in DuckDB.
func TestExplanationEqualsTheRun(t *testing.T) {
	type query struct {
		Customer string `json:"customer"`
		Events   string `json:"events"`
		SQL      string `json:"sql"`
	}
	cases := []struct {
		name, date string
		customers  int
		config     func(t *testing.T) *config.Config
	}{
		{"text ids, duplicates by event id", "2025-03-31", 6, func(t *testing.T) *config.Config { return generated(t, nil) }},
		{"integer ids, exact duplicates, New York", "2024-11-03", 4, func(t *testing.T) *config.Config {
			c := generated(t, func(p *synth.Params) { p.IntegerIDs, p.DecimalAmounts = true, true })
			c.Dedupe, c.TimeZone = config.DedupeExact, "America/New_York"
			return c
		}},
		{"two families, every row an event", "2025-01-15", 3, func(t *testing.T) *config.Config {
			c := generated(t, nil)
			c.Dedupe, c.Features.Families, c.Features.Windows = config.DedupeNone, []string{"carts", "sessions"}, []config.Days{14, 60}
			return c
		}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			c := tc.config(t)
			rows := publishedFeatures(t, c, tc.date)
			var queries []query
			values := map[string]map[string]float64{}
			duplicates := int64(0)
			for _, id := range some(rows, tc.customers) {
				r := mustExplain(t, options(c, id, tc.date))
				got := map[string]float64{}
				for _, f := range r.Families {
					for _, v := range f.Columns {
						got[v.Name] = math.NaN()
						if v.Value != nil {
							got[v.Name] = *v.Value
						} else if v.Null == "" || v.Null == "never" {
							t.Errorf("customer %s: %s is null and says %q", id, v.Name, v.Null)
						}
					}
				}
				if len(got) != len(rows[id]) {
					t.Errorf("customer %s: %d columns, published are %d", id, len(got), len(rows[id]))
				}
				for name, want := range rows[id] {
					if v, ok := got[name]; !ok || v != want && !(math.IsNaN(v) && math.IsNaN(want)) {
						t.Errorf("customer %s: %s is %v, published is %v", id, name, v, want)
					}
				}
				if n := int(rows[id]["event_count_lifetime"]); len(r.Events) != n {
					t.Errorf("customer %s: %d events, published are %d", id, len(r.Events), n)
				}
				duplicates += r.Duplicates
				values[id] = got
				queries = append(queries, query{id, r.EventsSQL, r.SQL})
			}
			if (duplicates > 0) != (c.Dedupe != config.DedupeNone) {
				t.Errorf("%d duplicates removed with dedupe: %s", duplicates, c.Dedupe)
			}
			var faults []string
			pyoracle.Run(t, duckdbScript, map[string]any{"queries": queries, "values": jsonable(values)}, &faults)
			if len(faults) > 0 {
				t.Error(strings.Join(faults, "\n"))
			}
		})
	}
}

// jsonable spells null as null.
func jsonable(values map[string]map[string]float64) map[string]map[string]*float64 {
	out := map[string]map[string]*float64{}
	for id, row := range values {
		out[id] = map[string]*float64{}
		for name, v := range row {
			if !math.IsNaN(v) {
				out[id][name] = &v
			} else {
				out[id][name] = nil
			}
		}
	}
	return out
}

// The script runs the SQL as it is and compares what every query selects: exactly, or
// to the last digits where sums of floating point are taken in another order.
const duckdbScript = `
import sys, json, math, duckdb
job = json.load(sys.stdin)
faults, made = [], None
con = duckdb.connect()
con.execute("SET TimeZone = 'UTC'; SET threads = 2; SET enable_progress_bar = false")
for q in job["queries"]:
    if made != q["events"]:
        con.execute(q["events"])
        made = q["events"]
    seen = set()
    for statement in duckdb.extract_statements(q["sql"]):
        cursor = con.execute(statement)
        names = [d[0] for d in cursor.description]
        if names[0] != "customer_id":
            continue
        rows = cursor.fetchall()
        if len(rows) != 1 or str(rows[0][0]) != q["customer"]:
            faults.append(f"{q['customer']}: {len(rows)} rows, first {rows[:1]}")
            continue
        for name, got in zip(names[1:], rows[0][1:]):
            seen.add(name)
            want = job["values"][q["customer"]][name]
            got = None if got is None else float(got)
            if (got is None) != (want is None) or got is not None and not math.isclose(got, want, rel_tol=1e-9, abs_tol=1e-9):
                faults.append(f"{q['customer']}: {name} is {want}, DuckDB says {got}")
    if seen != set(job["values"][q["customer"]]):
        faults.append(f"{q['customer']}: the SQL has {len(seen)} columns, the explanation {len(job['values'][q['customer']])}")
print(json.dumps(faults[:20]))
`

// A row is one of the history below.
type row struct {
	Customer *string `parquet:"customer,optional"`
	Time     int64   `parquet:"time,timestamp(microsecond)"`
	Type     string  `parquet:"type"`
	Amount   string  `parquet:"amount"`
	Channel  string  `parquet:"channel"`
}

func at(day string, hour int) int64 {
	d, err := time.Parse(time.DateOnly, day)
	if err != nil {
		panic(err)
	}
	return d.Add(time.Duration(hour) * time.Hour).UnixMicro()
}

// shop is a small history: ann's is told in full, the others are a crowd.
func shop() []row {
	id := func(s string) *string { return &s }
	rows := []row{
		{id("ann"), at("2024-01-05", 10), "view", "", "web"},
		{id("ann"), at("2024-02-10", 11), "order", "20", "web"},
		{id("ann"), at("2024-03-01", 9), "mail", "", "email"},
		{id("ann"), at("2024-03-02", 9), "order", "30.5", "store"},
		{id("ann"), at("2024-03-02", 9), "order", "0.25", "store"},
		{id("ann"), at("2024-03-20", 12), "order", "7", "web"},
		{id("ann"), at("2024-03-25", 12), "back", "5", "web"},
		{id("ann"), at("2024-03-26", 12), "order", "cheap", "web"}, // refused
		{id("ann"), at("2024-04-02", 12), "order", "99", "web"},    // after the date
		{id("o'neil"), at("2024-03-02", 9), "order", "1", "web"},
		{id("late"), at("2024-05-02", 9), "order", "1", "web"},
		{id("bad"), at("2024-03-02", 9), "order", "free", "web"},
		{nil, at("2024-03-02", 9), "order", "1", "web"},
	}
	for i := range 300 {
		rows = append(rows, row{id(fmt.Sprintf("crowd-%03d", i%60)), at("2024-01-01", i*7), "order", "3", "web"})
	}
	return rows
}

func shopJob(t *testing.T, rows []row, files int) *config.Config {
	t.Helper()
	dir := t.TempDir()
	for i := range files {
		if err := parquet.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.parquet", i)), rows[i*len(rows)/files:(i+1)*len(rows)/files], parquet.MaxRowsPerRowGroup(40)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Parse("test", []byte(fmt.Sprintf(`
sources:
  - path: %s/*.parquet
    columns: {customer_id: customer, event_time: time, event_type: type, amount: amount, channel: channel}
    roles: {purchase: [order], view: [view], return: [back], message_sent: [mail]}
    currency: EUR
out: out
time_zone: Europe/Berlin
`, dir)), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const shopDate = "2024-03-31"

// column explains one column of ann's.
func column(t *testing.T, c *config.Config, name string) (explain.Value, *explain.Evidence) {
	t.Helper()
	o := options(c, "ann", shopDate)
	o.Column = name
	r := mustExplain(t, o)
	if len(r.Families) != 1 || len(r.Families[0].Columns) != 1 || r.Evidence == nil {
		t.Fatalf("%s: %+v", name, r.Families)
	}
	if !strings.Contains(r.SQL, " AS "+name+"\n") || !strings.Contains(r.SQL, "customer_id = 'ann'") {
		t.Errorf("%s: SQL %s", name, r.SQL)
	}
	return r.Families[0].Columns[0], r.Evidence
}

// Numbers that a person can check, and the events they come from.
func TestEvidence(t *testing.T) {
	c := shopJob(t, shop(), 3)
	// events 1 view, 2 order 20, 3 mail, 4 order 0.25, 5 order 30.5, 6 order 7, 7 back 5
	for _, tc := range []struct {
		column, value, basis, events string
	}{
		{"spend_30d", "37.75", "conditions", "4:37.5 5:7.25 6:30.75"},
		{"spend_7d", "0", "conditions", ""},
		{"event_count_30d", "4", "conditions", "4:3 5:3 6:3 7:3"}, // event 3 is 30 days old
		{"net_spend_30d", "32.75", "conditions", "4:32.5 5:2.25 6:25.75 7:37.75"},
		{"event_count_lifetime", "7", "conditions", "1:6 2:6 3:6 4:6 5:6 6:6 7:6"},
		{"purchase_days_lifetime", "3", "conditions", "2:2 4:same 5:same 6:2"},
		{"days_since_last_purchase", "11", "conditions", "2:same 4:same 5:same 6:29"},
		{"days_since_first_purchase", "50", "conditions", "2:29 4:same 5:same 6:same"},
		{"days_since_last_ticket", "null: no such event", "conditions", ""},
		{"email_sent_90d", "1", "conditions", "3:0"},
		{"purchase_gap_max", "21", "influence", "2:18"}, // from event 2 to event 4 or 5; then 18 to event 6
		{"largest_order", "30.75", "influence", "4:30.5 5:20"},
		{"days_since_last_return", "6", "conditions", "7:null"},
	} {
		v, e := column(t, c, tc.column)
		value := "null: " + v.Null
		if v.Value != nil {
			value = fmt.Sprint(*v.Value)
		}
		var events []string
		for _, n := range e.Events {
			without := "null"
			if n.Same {
				without = "same"
			} else if n.Without != nil {
				without = fmt.Sprint(*n.Without)
			}
			events = append(events, fmt.Sprintf("%d:%s", n.N, without))
		}
		got := strings.Join(events, " ")
		if value != tc.value || e.Basis != tc.basis || got != tc.events {
			t.Errorf("%s: %s by %s of %q, want %s by %s of %q\n%s", tc.column, value, e.Basis, got, tc.value, tc.basis, tc.events, e.Note)
		}
		if counted := tc.basis == "conditions"; counted != (v.Counted != nil) || counted && *v.Counted != len(e.Events) {
			t.Errorf("%s: counted %v, %d events", tc.column, v.Counted, len(e.Events))
		}
	}
}

// The rest of what a person reads.
func TestReport(t *testing.T) {
	r := mustExplain(t, options(shopJob(t, shop(), 3), "ann", shopDate))
	if len(r.Events) != 7 || r.Currency != "EUR" || r.Read.Later != 1 || len(r.Refused) != 1 || r.Refused[0].Reason != "amount_unparsable" || r.Refused[0].Count != 1 {
		t.Errorf("%d events in %s, %+v, refused %+v", len(r.Events), r.Currency, r.Read, r.Refused)
	}
	want := explain.Event{N: 5, Time: "2024-03-02T09:00:00Z", Local: "2024-03-02 10:00:00", Day: "2024-03-02", Role: "purchase", Type: "order", Amount: "30.5", Channel: "store"}
	if !reflect.DeepEqual(r.Events[4], want) {
		t.Errorf("event %+v, want %+v", r.Events[4], want)
	}
	counted := 0
	for _, f := range r.Families {
		for _, v := range f.Columns {
			if v.Counted != nil {
				counted++
				if f.Name == "sessions" {
					t.Errorf("%s counts events, and it is of sessions", v.Name)
				}
			}
		}
	}
	if counted < 250 {
		t.Errorf("the events of %d columns are counted", counted)
	}
	if r := mustExplain(t, options(shopJob(t, shop(), 3), "o'neil", shopDate)); len(r.Events) != 1 || !strings.Contains(r.SQL, "'o''neil'") {
		t.Errorf("%d events, %s", len(r.Events), r.SQL)
	}
}

// Rows in another order, in other files, and other numbers of workers explain the same.
func TestExplanationIgnoresOrder(t *testing.T) {
	rows := shop()
	c := shopJob(t, rows, 3)
	explained := func(c *config.Config, workers int) string {
		o := options(c, "ann", shopDate)
		o.Workers = workers
		r := mustExplain(t, o)
		r.Read, r.EventsSQL, r.Refused[0].First = explain.Reading{}, "", ""
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	want := explained(c, 1)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	if got := explained(shopJob(t, rows, 5), 3); got != want {
		t.Errorf("%s\nin another order\n%s", want, got)
	}
}

// Whoever cannot be explained is told why and what to do.
func TestUnknown(t *testing.T) {
	c := shopJob(t, shop(), 3)
	integers := generated(t, func(p *synth.Params) { p.Customers, p.IntegerIDs = 20, true })
	for _, tc := range []struct {
		config         *config.Config
		customer, date string
		column         string
		code           int
		want           []string
	}{
		{c, "Ann", shopDate, "", 65, []string{"did you mean ann?", "upper and lower case"}},
		{c, "crowd-0O7", shopDate, "", 65, []string{"did you mean crowd-007"}},
		{c, "somebody-else", shopDate, "", 65, []string{`no row before the end of 2024-03-31 is of customer "somebody-else"`, "type string"}},
		{c, "late", shopDate, "", 65, []string{"1 are later"}},
		{c, "bad", shopDate, "", 65, []string{"1 are refused for amount_unparsable in column amount of source events", "row "}},
		{c, "", shopDate, "", 2, []string{"cannot be empty"}},
		{c, "ann", "31.3.2024", "", 2, []string{"not YYYY-MM-DD"}},
		{c, "ann", shopDate, "spend_03d", 2, []string{`no feature column is named "spend_03d"`, "spend_30d"}},
		{c, "ann", shopDate, "entropy", 2, []string{"did you mean role_entropy"}},
		{integers, "C000000001", "2025-03-31", "", 2, []string{"whole numbers of 64 bits", `"C000000001" is not one`}},
		{integers, "99999999999", "2025-03-31", "", 65, []string{"ids are of type int64"}},
	} {
		o := options(tc.config, tc.customer, tc.date)
		o.Column = tc.column
		_, err := explain.Explain(t.Context(), o)
		if nightly.ExitCode(err) != tc.code {
			t.Errorf("%q %s %s: exit %d (%v), want %d", tc.customer, tc.date, tc.column, nightly.ExitCode(err), err, tc.code)
		}
		for _, want := range tc.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q %s %s: %v does not say %q", tc.customer, tc.date, tc.column, err, want)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := explain.Explain(ctx, options(c, "ann", shopDate)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A file that cannot hold the customer is not read: its damage goes unnoticed.
func TestReadsOnlyWhatIsNeeded(t *testing.T) {
	dir := t.TempDir()
	name := func(s string) *string { return &s }
	for _, id := range []string{"a", "b"} {
		var rows []row
		for i := range 500 {
			rows = append(rows, row{name(id), at("2024-01-01", i), "order", "3", "web"})
		}
		if err := parquet.WriteFile(filepath.Join(dir, id+".parquet"), rows); err != nil {
			t.Fatal(err)
		}
	}
	if err := parquet.WriteFile(filepath.Join(dir, "later.parquet"), []row{{name("a"), at("2024-05-01", 1), "order", "3", "web"}}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "b.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	for i := 4; i < 200; i++ {
		b[i] ^= 0xff // pages, and not the footer
	}
	if err := os.WriteFile(filepath.Join(dir, "b.parquet"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	c := shopJob(t, shop(), 1)
	c.Sources[0].Path = config.OneOrMany{dir + "/*.parquet"}
	r := mustExplain(t, options(c, "a", shopDate))
	if len(r.Events) != 500 || r.Read.RowGroupsSkipped != 2 || r.Read.Later != 0 {
		t.Errorf("%d events, %+v", len(r.Events), r.Read)
	}
	if _, err := explain.Explain(t.Context(), options(c, "b", shopDate)); nightly.ExitCode(err) != 65 || !strings.Contains(err.Error(), "b.parquet") {
		t.Errorf("a damaged file explains b: %v", err)
	}
}

// Rows of an alias are the customer's that the identity table says, and amounts
// are converted, as in the run.
func TestExplanationFollowsIdentity(t *testing.T) {
	dir := t.TempDir()
	name := func(s string) *string { return &s }
	write := func(file string, rows any) {
		t.Helper()
		var err error
		switch rows := rows.(type) {
		case []row:
			err = parquet.WriteFile(filepath.Join(dir, file), rows)
		case []link:
			err = parquet.WriteFile(filepath.Join(dir, file), rows)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write("till.parquet", shop())
	write("web.parquet", []row{
		{name("ann@example.org"), at("2024-03-10", 8), "order", "11", "app"},
		{name("o@example.org"), at("2024-03-11", 8), "order", "12", "app"},
		{name("ghost@example.org"), at("2024-03-11", 8), "order", "13", "app"},
	})
	write("identity.parquet", []link{{"ann@example.org", "ann"}, {"o@example.org", "o'neil"}})
	c, err := config.Parse("test", []byte(fmt.Sprintf(`
sources:
  - path: %[1]s/till.parquet
    columns: {customer_id: customer, event_time: time, event_type: type, amount: amount, channel: channel}
    roles: {purchase: [order], view: [view], return: [back], message_sent: [mail]}
    currency: EUR
  - path: %[1]s/web.parquet
    id_kind: email
    columns: {customer_id: customer, event_time: time, event_type: type, amount: amount, channel: channel}
    roles: {purchase: [order]}
    currency: USD
identity:
  - {path: %[1]s/identity.parquet, kind: email}
currency: EUR
currency_rates: {list: [{currency: USD, date: 2024-03-01, rate: 0.5}]}
out: out
`, dir)), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	rows := publishedFeatures(t, c, shopDate)
	for _, id := range []string{"ann", "o'neil", "crowd-003"} {
		r := mustExplain(t, options(c, id, shopDate))
		for _, f := range r.Families {
			for _, v := range f.Columns {
				want := rows[id][v.Name]
				if v.Value == nil != math.IsNaN(want) || v.Value != nil && *v.Value != want {
					t.Errorf("%s: %s is %v, published is %v", id, v.Name, v.Value, want)
				}
			}
		}
	}
	o := options(c, "ann", shopDate)
	o.Column = "spend_lifetime"
	if r := mustExplain(t, o); *r.Families[0].Columns[0].Value != 63.25 || len(r.Events) != 8 { // 57.75 and half of 11
		t.Errorf("spend %v of %d events", *r.Families[0].Columns[0].Value, len(r.Events))
	}
}

// A customer may be asked for by any alias in the identity tables, of whatever
// kind and however long the chain, and the answer says so.
func TestAliasesAreCustomers(t *testing.T) {
	dir := t.TempDir()
	write := func(file string, rows any) {
		t.Helper()
		var err error
		switch rows := rows.(type) {
		case []row:
			err = parquet.WriteFile(filepath.Join(dir, file), rows)
		case []numbered:
			err = parquet.WriteFile(filepath.Join(dir, file), rows)
		case []link:
			err = parquet.WriteFile(filepath.Join(dir, file), rows)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	name := func(s string) *string { return &s }
	day := at("2024-03-10", 8)
	write("till.parquet", []numbered{{7, day, "1"}, {70, day, "2"}, {8, day, "4"}, {500, day, "8"}, {12, at("2024-06-01", 8), "16"}})
	write("web.parquet", []row{{name("ann@example.org"), day, "order", "32", "app"}, {name("bob@example.org"), day, "order", "64", "app"}})
	write("app.parquet", []row{{name("bob@example.org"), day, "order", "128", "app"}, {name("500"), day, "order", "256", "app"}, {name("600"), day, "order", "512", "app"}, {name("12"), day, "order", "1024", "app"}})
	write("merged.parquet", []link{{"700", "70"}, {"70", "7"}})
	write("mails.parquet", []link{{"ann@example.org", "700"}, {"bob@example.org", "8"}})
	write("cards.parquet", []link{{"bob@example.org", "9"}, {"500", "7"}, {"600", "8"}, {"12", "9"}})
	c, err := config.Parse("test", []byte(fmt.Sprintf(`
sources:
  - path: %[1]s/till.parquet
    columns: {customer_id: customer, event_time: time, amount: amount}
    role: purchase
  - path: %[1]s/web.parquet
    id_kind: email
    columns: {customer_id: customer, event_time: time, amount: amount}
    role: purchase
  - path: %[1]s/app.parquet
    id_kind: card
    columns: {customer_id: customer, event_time: time, amount: amount}
    role: purchase
identity:
  - {path: %[1]s/merged.parquet}
  - {path: %[1]s/mails.parquet, kind: email}
  - {path: %[1]s/cards.parquet, kind: card}
out: out
`, dir)), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	explained := func(id string) (string, *explain.Report) {
		o := options(c, id, shopDate)
		o.Column = "spend_lifetime"
		r := mustExplain(t, o)
		return fmt.Sprintf("%s (%s %s) %v", r.Customer, r.AliasKind, r.Alias, *r.Families[0].Columns[0].Value), r
	}
	for id, want := range map[string]string{
		"7":               "7 ( ) 291", // 1 + 2 + 32 + 256
		"70":              "7 (customer 70) 291",
		"700":             "7 (customer 700) 291", // which no row has
		"ann@example.org": "7 (email ann@example.org) 291",
		"500":             "500 ( ) 8", // a customer's own number first, though it is a card's too
		"600":             "8 (card 600) 580",
		"8":               "8 ( ) 580",
	} {
		if got, _ := explained(id); got != want {
			t.Errorf("%s is %s, want %s", id, got, want)
		}
	}
	_, own := explained("7")
	_, alias := explained("ann@example.org")
	alias.Alias, alias.AliasKind = "", ""
	if !reflect.DeepEqual(own, alias) {
		t.Errorf("asked for by an alias the customer is\n%+v\nby the id\n%+v", alias, own)
	}
	for id, want := range map[string]struct {
		code int
		says string
	}{
		"bob@example.org": {2, `customer "bob@example.org" is the card of 9 and the email of 8 in the identity tables: ask for one of them`},
		"eve@example.org": {2, `"eve@example.org" is not one`},
		"12":              {65, "1 are later"}, // the customer's own rows, if too late, and not the card's
		"9999":            {65, `no row before the end of 2024-03-31 is of customer "9999"`},
	} {
		_, err := explain.Explain(t.Context(), options(c, id, shopDate))
		if nightly.ExitCode(err) != want.code || !strings.Contains(err.Error(), want.says) {
			t.Errorf("%s: exit %d, %v; want %d and %s", id, nightly.ExitCode(err), err, want.code, want.says)
		}
	}
	if _, err := explain.Explain(t.Context(), options(c, "600", "2024-03-01")); nightly.ExitCode(err) != 65 || !strings.Contains(err.Error(), `customer "8", whose alias "600" was asked for`) {
		t.Errorf("before the customer's first event: %v", err)
	}
	write("mails.parquet", []link{{"ann@example.org", "700"}, {"ann@example.org", "8"}})
	if _, err := explain.Explain(t.Context(), options(c, "ann@example.org", shopDate)); nightly.ExitCode(err) != 65 || !strings.Contains(err.Error(), "of several customers") {
		t.Errorf("an alias of two customers: %v", err)
	}
}

// numbered is a row of customers with numbers.
type numbered struct {
	Customer int64  `parquet:"customer"`
	Time     int64  `parquet:"time,timestamp(microsecond)"`
	Amount   string `parquet:"amount"`
}

// A link is a row of an identity table.
type link struct {
	Alias    string `parquet:"alias"`
	Customer string `parquet:"customer"`
}
