package nightly

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/rs/zerolog"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/jobs/config"
)

// till and web are rows of two sources whose customers are known by numbers and by
// addresses; both name the event.
type till struct {
	Customer int64   `parquet:"customer_no"`
	SoldAt   int64   `parquet:"sold_at,timestamp(microsecond:local)"` // what the shop's clock showed
	Total    float64 `parquet:"total"`
	Currency string  `parquet:"currency"`
	Receipt  string  `parquet:"receipt"`
}

type web struct {
	Address  string  `parquet:"address"`
	Time     int64   `parquet:"ts,timestamp(microsecond)"`
	Type     string  `parquet:"type"`
	Price    float64 `parquet:"price"`
	Currency string  `parquet:"currency"`
	Receipt  *string `parquet:"receipt,optional"`
}

type oldNumber struct {
	Old int64 `parquet:"old"`
	New int64 `parquet:"new"`
}

type address struct {
	Address  string `parquet:"address"`
	Customer string `parquet:"customer_no"`
}

type dayRate struct {
	Day      int32   `parquet:"day,date"`
	Currency string  `parquet:"currency"`
	Rate     float64 `parquet:"rate"`
}

// chain is a shop with a till in New York and a web shop, whose orders are rung up at the
// till as well: the same receipt, under a number and an address of one customer.
type chain struct {
	till      []till
	web       []web
	merged    []oldNumber
	addresses []address
	rates     []dayRate
}

func newChain(seed uint64, customers int) *chain {
	r := rand.New(rand.NewPCG(seed, 11))
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		panic(err)
	}
	c := &chain{}
	start := time.Date(2024, 1, 1, 5, 0, 0, 0, time.UTC)
	for n := range customers {
		number := int64(n)
		numbers := []int64{number}
		for range r.IntN(3) { // earlier numbers, each merged into the next
			old := int64(10_000 + n*10 + len(numbers))
			c.merged = append(c.merged, oldNumber{old, numbers[len(numbers)-1]})
			numbers = append(numbers, old)
		}
		mail := fmt.Sprintf("p%d@example.org", n)
		c.addresses = append(c.addresses, address{mail, fmt.Sprint(numbers[r.IntN(len(numbers))])})
		at := start.Add(time.Duration(r.IntN(100*24)) * time.Hour)
		for at.Before(start.AddDate(0, 11, 0)) {
			receipt := fmt.Sprintf("%d-%d", n, at.Unix())
			currency := []string{"USD", "CAD", "EUR"}[r.IntN(3)]
			price := float64(100+r.IntN(9000)) / 100
			local := at.In(newYork)
			clock := time.Date(local.Year(), local.Month(), local.Day(), local.Hour(), local.Minute(), 0, 0, time.UTC).UnixMicro()
			switch r.IntN(3) {
			case 0:
				c.till = append(c.till, till{numbers[r.IntN(len(numbers))], clock, price, currency, receipt})
			case 1: // on the web, and rung up at the till
				c.web = append(c.web, web{mail, at.UnixMicro(), "order", price, currency, &receipt})
				c.till = append(c.till, till{numbers[r.IntN(len(numbers))], clock, price, currency, receipt})
			default:
				c.web = append(c.web, web{mail, at.UnixMicro(), "page_view", 0, currency, nil})
			}
			at = at.Add(time.Duration(1+r.IntN(40*24*60)) * time.Minute)
		}
	}
	for day := start.AddDate(0, -1, 0); day.Before(start.AddDate(1, 0, 0)); day = day.AddDate(0, 0, 7) {
		d := int32(day.Unix() / 86400)
		c.rates = append(c.rates, dayRate{d, "USD", 0.9 + r.Float64()/10}, dayRate{d, "CAD", 0.65 + r.Float64()/20})
	}
	return c
}

func (c *chain) write(t *testing.T, dir string) {
	t.Helper()
	parquetTable(t, dir+"/till.parquet", c.till)
	parquetTable(t, dir+"/web.parquet", c.web)
	parquetTable(t, dir+"/merged.parquet", c.merged)
	parquetTable(t, dir+"/addresses.parquet", c.addresses)
	parquetTable(t, dir+"/rates.parquet", c.rates)
}

func parquetTable[T any](t *testing.T, path string, rows []T) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := parquet.WriteFile(path, rows, parquet.MaxRowsPerRowGroup(500)); err != nil {
		t.Fatal(err)
	}
}

func chainJob(t *testing.T, dir, extra string) *config.Config {
	t.Helper()
	text := strings.ReplaceAll(`
sources:
  - name: till
    path: DIR/till.parquet
    columns: {customer_id: customer_no, event_time: sold_at, amount: total, currency: currency, event_id: receipt}
    role: purchase
    time_zone: America/New_York
  - name: web
    path: DIR/web.parquet
    columns: {customer_id: address, event_time: ts, event_type: type, amount: price, currency: currency, event_id: receipt}
    roles: {purchase: [order], view: [page_view]}
    id_kind: email
identity:
  - {path: DIR/merged.parquet, columns: {alias: old, customer: new}}
  - {path: DIR/addresses.parquet, columns: {alias: address, customer: customer_no}, kind: email}
currency: EUR
currency_rates: {path: DIR/rates.parquet, columns: {date: day}}
time_zone: America/New_York
targets:
  - {name: churn, kind: churn, horizon: 45d}
gates: {action: off}
`, "DIR", dir) + "out: " + filepath.Join(t.TempDir(), "out") + "\n" + extra
	c, err := config.Parse("chain", []byte(text), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const chainDate = "2024-11-03" // clocks go back in New York

// One customer under several numbers and an address, one receipt from two sources, three
// currencies: every feature equals its SQL over the same files, joined by DuckDB.
func TestIdentityFeaturesEqualTheirSQL(t *testing.T) {
	dir := t.TempDir()
	newChain(1, 300).write(t, dir)
	compare(t, chainJob(t, dir, ""), []string{"2024-03-10", "2024-07-01", chainDate})
}

// The order of rows, of the tables' too, is no matter; what the tables say is.
func TestIdentitySameBytes(t *testing.T) {
	c := newChain(2, 250)
	var want map[string]string
	var first *Summary
	for turn, workers := range []int{1, 2, 2} {
		dir := t.TempDir()
		if turn > 0 {
			r := rand.New(rand.NewPCG(uint64(turn), 2))
			mix := func(n int, swap func(i, j int)) { r.Shuffle(n, swap) }
			mix(len(c.till), reflect.Swapper(c.till))
			mix(len(c.web), reflect.Swapper(c.web))
			mix(len(c.merged), reflect.Swapper(c.merged))
			mix(len(c.addresses), reflect.Swapper(c.addresses))
			mix(len(c.rates), reflect.Swapper(c.rates))
		}
		c.write(t, dir)
		cfg := chainJob(t, dir, fmt.Sprintf("limits: {workers: %d}\n", workers))
		s, err := night(t, cfg, chainDate, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := published(t, cfg.Out)
		if turn == 0 {
			want, first = got, s
			in := s.Input
			if in.Customers != 250 || in.Duplicates < 200 || in.Identity == nil || in.Identity.RowsRekeyed < 500 || in.Identity.CustomersMerged < 200 || in.Currency != "EUR" || len(in.Converted) != 2 || in.Converted["CAD"] < 200 {
				t.Errorf("the shop is not exercised: %+v, %+v", in, in.Identity)
			}
			m, _, err := Published(t.Context(), storage.Local(), cfg.Out, chainDate)
			if err != nil || m.Counters["rows_rekeyed"] != in.Identity.RowsRekeyed || m.Counters["amounts_converted"] != in.Converted["CAD"]+in.Converted["USD"] || len(m.Inputs) != 5 {
				t.Errorf("manifest: %+v, %v", m, err)
			}
			again, err := night(t, cfg, chainDate, nil)
			if err != nil || again.Status != StatusNoop {
				t.Errorf("a repeat is %+v, %v", again, err)
			}
			continue
		}
		if s.RunID != first.RunID || !reflect.DeepEqual(got, want) {
			t.Errorf("turn %d: run %s, want %s: other bytes", turn, s.RunID, first.RunID)
		}
	}
	for name, edit := range map[string]func(*chain){
		"a merge": func(c *chain) { c.merged = c.merged[1:] },
		"a rate":  func(c *chain) { c.rates[40].Rate *= 1.01 },
		"an address": func(c *chain) {
			c.addresses[0].Customer, c.addresses[1].Customer = c.addresses[1].Customer, c.addresses[0].Customer
		},
	} {
		dir := t.TempDir()
		other := &chain{c.till, c.web, slices.Clone(c.merged), slices.Clone(c.addresses), slices.Clone(c.rates)}
		edit(other)
		other.write(t, dir)
		s, err := night(t, chainJob(t, dir, ""), chainDate, nil)
		if err != nil {
			t.Fatal(err)
		}
		if s.RunID == first.RunID {
			t.Errorf("%s changed, and the run is the same", name)
		}
	}
}

// A table that is written anew is found before a row is read.
func TestLookupsAreInTheFingerprint(t *testing.T) {
	dir := t.TempDir()
	c := newChain(3, 60)
	c.write(t, dir)
	cfg := chainJob(t, dir, "")
	prints := map[string]bool{}
	look := func() {
		r, err := prepare(Options{Config: cfg, Date: chainDate, FS: storage.Local(), Log: zerolog.Nop(), Now: time.Now, Force: true})
		if err != nil {
			t.Fatal(err)
		}
		in, err := r.find(t.Context()) // open would take the date, and keep it
		if err != nil {
			t.Fatal(err)
		}
		prints[in.fingerprint] = true
	}
	look()
	look()
	if len(prints) != 1 {
		t.Fatal("the fingerprint of the same files differs")
	}
	c.rates[0].Rate++
	parquetTable(t, dir+"/rates.parquet", c.rates)
	look()
	parquetTable(t, dir+"/merged.parquet", c.merged[1:])
	look()
	if len(prints) != 3 {
		t.Errorf("%d fingerprints of 3 inputs", len(prints))
	}
}
