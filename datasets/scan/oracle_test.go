package scan_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/internal/pyoracle"
)

// runScript runs a command of a script in testdata and decodes the JSON it prints.
func runScript(t *testing.T, name string, in, out any, args ...string) {
	t.Helper()
	script, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	argv, err := json.Marshal(append([]string{name}, args...))
	if err != nil {
		t.Fatal(err)
	}
	pyoracle.Run(t, fmt.Sprintf("import sys\nsys.argv = %s\n%s", argv, script), in, out)
}

type oracleCase struct {
	Name, Glob, Zone, Unit, Currency, Role string
	Like                                   string // the case with the same rows, where DuckDB cannot read this one
	Columns, Roles                         map[string]string
}

func (c *oracleCase) source(t *testing.T) scan.Source {
	t.Helper()
	s := scan.Source{Name: c.Name, Paths: []string{c.Glob}, Columns: map[datasets.Field]string{}, Roles: map[string]datasets.Role{}, Currency: c.Currency}
	for f, col := range c.Columns {
		field, err := datasets.ParseField(f)
		if err != nil {
			t.Fatal(err)
		}
		s.Columns[field] = col
	}
	for typ, r := range c.Roles {
		role, err := datasets.ParseRole(r)
		if err != nil {
			t.Fatal(err)
		}
		s.Roles[typ] = role
	}
	var err error
	if c.Role != "" {
		if s.Role, err = datasets.ParseRole(c.Role); err != nil {
			t.Fatal(err)
		}
	}
	if c.Zone != "" {
		if s.TimeZone, err = time.LoadLocation(c.Zone); err != nil {
			t.Fatal(err)
		}
	}
	if c.Unit != "" {
		if s.TimeUnit, err = scan.ParseUnit(c.Unit); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// eventRows are the delivered events as text, sorted, "" for null and "=" before
// all else, as oracle.py prints them.
func eventRows(t *testing.T, p *scan.Plan, opts scan.Options) ([][]string, *scan.Report, error) {
	t.Helper()
	dicts := datasets.NewDicts()
	var mu sync.Mutex
	type event struct {
		customer, typ, currency, product, category, channel, campaign uint32
		time                                                          int64
		role                                                          datasets.Role
		amount, quantity, rating                                      datasets.Money
		session, id                                                   uint64
	}
	var events []event
	rep, err := p.Read(context.Background(), dicts, opts, func(_ int, b *datasets.Batch) error {
		mu.Lock()
		defer mu.Unlock()
		if b.Len() == 0 || b.Len() > 64<<10 {
			t.Errorf("a batch of %d rows", b.Len())
		}
		code := func(s []uint32, i int) uint32 {
			if s == nil {
				return 0
			}
			return s[i]
		}
		hash := func(s []uint64, i int) uint64 {
			if s == nil {
				return 0
			}
			return s[i]
		}
		money := func(s []datasets.Money, i int) datasets.Money {
			if s == nil {
				return datasets.NullMoney
			}
			return s[i]
		}
		for i := range b.Len() {
			events = append(events, event{
				b.Customer[i], b.Type[i], code(b.Currency, i), code(b.Product, i), code(b.Category, i), code(b.Channel, i),
				code(b.Campaign, i), b.Time[i], b.Role[i],
				money(b.Amount, i), money(b.Quantity, i), money(b.Rating, i), hash(b.Session, i), hash(b.EventID, i),
			})
		}
		return nil
	})
	text := func(d *datasets.Dict, code uint32) string {
		if code == 0 {
			return ""
		}
		return "=" + d.Value(code)
	}
	money := func(m datasets.Money) string {
		if m == datasets.NullMoney {
			return ""
		}
		sign := ""
		if m < 0 {
			sign, m = "-", -m
		}
		return fmt.Sprintf("=%s%d.%04d", sign, m/1e4, m%1e4)
	}
	hashed := func(h uint64) string {
		if h == 0 {
			return ""
		}
		return fmt.Sprintf("=%016x", h)
	}
	rows := make([][]string, len(events))
	for i, e := range events {
		rows[i] = []string{
			"=" + p.IDType.Format(dicts.Customer.Value(e.customer)), fmt.Sprintf("=%d", e.time), "=" + e.role.String(), text(dicts.Type, e.typ),
			money(e.amount), money(e.quantity), money(e.rating), text(dicts.Currency, e.currency), text(dicts.Product, e.product),
			text(dicts.Category, e.category), text(dicts.Channel, e.channel), text(dicts.Campaign, e.campaign),
			hashed(e.session), hashed(e.id),
		}
	}
	slices.SortFunc(rows, slices.Compare[[]string])
	return rows, rep, err
}

// sessionColumn and eventIDColumn are the places of two ids in a row. The reader
// delivers their hashes, so hashIDs puts the hashes in the place of DuckDB's text.
const (
	sessionColumn = 12
	eventIDColumn = 13
)

func hashIDs(rows [][]string) {
	for _, r := range rows {
		for _, c := range []int{sessionColumn, eventIDColumn} {
			if len(r) > c && r[c] != "" {
				r[c] = fmt.Sprintf("=%016x", datasets.HashID([]byte(r[c][1:])))
			}
		}
	}
	slices.SortFunc(rows, slices.Compare[[]string])
}

// oracleColumns selects a row as eventRows spells it.
func oracleColumns(id datasets.IDType) string {
	customer := "CAST(customer_id AS VARCHAR)"
	if id.Kind == datasets.IDFixed && !id.UUID {
		customer = "lower(hex(customer_id))"
	}
	return customer + ", CAST(epoch_us(event_time) AS VARCHAR), role, event_type, CAST(amount AS VARCHAR), CAST(quantity AS VARCHAR), " +
		"CAST(rating AS VARCHAR), currency, product_id, category, channel, campaign_id, session_id, event_id"
}

// What the reader delivers is what DuckDB finds in the same files by EventSQL,
// which shares no code with it, for files of four writers in some 130 forms.
func TestReadEqualsDuckDB(t *testing.T) {
	dir := t.TempDir()
	var cases []oracleCase
	runScript(t, "oracle.py", nil, &cases, "write", dir)
	cases = append(cases, goFiles(t, dir)...)
	type query struct {
		Name    string `json:"name"`
		SQL     string `json:"sql"`
		Columns string `json:"columns"`
	}
	var queries []query
	got := map[string][][]string{}
	reports := map[string]*scan.Report{}
	skipped := 0
	for _, c := range cases {
		p, err := scan.NewPlan(context.Background(), storage.Local(), []scan.Source{c.source(t)})
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		opts := scan.DefaultOptions()
		opts.Workers = 3
		rows, rep, err := eventRows(t, p, opts)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		got[c.Name], reports[c.Name] = rows, rep
		if rep.Rows != rep.RowsAccepted+rep.RowsAfter+rep.RowsRejected+rep.RowsWithheld || rep.RowsAccepted != int64(len(rows)) {
			t.Errorf("%s: the report does not add up: %+v", c.Name, rep)
		}
		skipped += customersAlone(t, c.Name, p, opts, rows)
		if c.Like != "" {
			if diff := firstDifferences(rows, got[c.Like]); diff != "" {
				t.Errorf("%s differs from %s:\n%s", c.Name, c.Like, diff)
			}
			continue
		}
		queries = append(queries, query{c.Name, p.EventSQL(), oracleColumns(p.IDType)})
	}
	var want map[string][][]string
	runScript(t, "oracle.py", queries, &want, "query")
	accepted := 0
	for _, q := range queries {
		g, w := got[q.Name], want[q.Name]
		hashIDs(w)
		accepted += len(g)
		if len(w) == 1 && len(w[0]) == 2 {
			t.Errorf("%s: DuckDB: %s\n%s", q.Name, w[0][1], q.SQL)
			continue
		}
		if len(g) == 0 {
			t.Errorf("%s: no event was accepted, so nothing was compared", q.Name)
		}
		if diff := firstDifferences(g, w); diff != "" {
			t.Errorf("%s: the reader delivers %d events, DuckDB %d; rejects %+v\n%s", q.Name, len(g), len(w), reports[q.Name].Rejects, diff)
		}
	}
	if skipped == 0 {
		t.Error("no row group was skipped by the statistics of its customers")
	}
	t.Logf("%d cases, %d events compared, %d row groups skipped", len(queries), accepted, skipped)
}

// firstDifferences lists rows that only one of two sorted lists has.
func firstDifferences(got, want [][]string) string {
	if cmp.Equal(got, want) {
		return ""
	}
	var b strings.Builder
	for i, j, n := 0, 0, 0; (i < len(got) || j < len(want)) && n < 6; {
		switch {
		case j == len(want) || i < len(got) && slices.Compare(got[i], want[j]) < 0:
			fmt.Fprintf(&b, "  only the reader: %q\n", got[i])
			i++
			n++
		case i == len(got) || slices.Compare(got[i], want[j]) > 0:
			fmt.Fprintf(&b, "  only DuckDB:     %q\n", want[j])
			j++
			n++
		default:
			i++
			j++
		}
	}
	return b.String()
}
