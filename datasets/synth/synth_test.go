package synth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"go.yaml.in/yaml/v3"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/synth/internal/behaviour"
	"github.com/shoal-data/shoal/datasets/synth/internal/partition"
)

// event is a row as a reader sees it.
type event[ID any] struct {
	CustomerID *ID      `parquet:"customer_id,optional"`
	Time       int64    `parquet:"event_time,optional,timestamp(microsecond)"`
	Type       string   `parquet:"event_type,optional"`
	Amount     *float64 `parquet:"amount,optional"`
	Currency   string   `parquet:"currency,optional"`
	Quantity   *int32   `parquet:"quantity,optional"`
	Product    string   `parquet:"product_id,optional"`
	Category   string   `parquet:"category,optional"`
	Channel    string   `parquet:"channel,optional"`
	Campaign   string   `parquet:"campaign_id,optional"`
	Session    string   `parquet:"session_id,optional"`
	EventID    string   `parquet:"event_id,optional"`
	Rating     *int32   `parquet:"rating,optional"`
}

// told is an event with the partition it was found in.
type told struct {
	event[string]
	ds  time.Time
	day time.Time // of Time
	who string    // CustomerID, "" when null
}

func readFile[T any](t testing.TB, path string) []T {
	t.Helper()
	rows, err := parquet.ReadFile[T](path)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return rows
}

func readEvents(t testing.TB, pattern string) []told {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", pattern, len(files), err)
	}
	var all []told
	for _, f := range files {
		ds, err := time.Parse(time.DateOnly, strings.TrimPrefix(filepath.Base(filepath.Dir(f)), "ds="))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range readFile[event[string]](t, f) {
			x := told{event: e, ds: ds, day: time.UnixMicro(e.Time).UTC().Truncate(24 * time.Hour)}
			if e.CustomerID != nil {
				x.who = *e.CustomerID
			}
			all = append(all, x)
		}
	}
	return all
}

func (e told) key() string {
	num := func(v any) string {
		switch v := v.(type) {
		case *float64:
			if v != nil {
				return fmt.Sprint(*v)
			}
		case *int32:
			if v != nil {
				return fmt.Sprint(*v)
			}
		}
		return "-"
	}
	return strings.Join([]string{e.who, strconv.FormatInt(e.Time, 10), e.Type, num(e.Amount), e.Currency, num(e.Quantity),
		e.Product, e.Category, e.Channel, e.Campaign, e.Session, e.EventID, num(e.Rating)}, "|")
}

// small is a history that takes a fraction of a second.
func small() Params {
	p := DefaultParams()
	p.Customers = 1200
	p.Start = time.Date(2024, 2, 10, 0, 0, 0, 0, time.UTC)
	p.End = time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC)
	p.Workers = 2
	return p
}

func generate(t testing.TB, p Params) (Summary, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "history")
	sum, err := Generate(t.Context(), p, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return sum, dir
}

// hashes maps every file below dir to its digest.
func hashes(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		all[rel] = fmt.Sprintf("%x", sha256.Sum256(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestSameBytesForAnyWorkerCount(t *testing.T) {
	for _, variant := range []struct {
		name  string
		files int // days and the truth
		set   func(*Params)
	}{
		{"zstd", 113, func(*Params) {}},
		{"two rounds of blocks", 4, func(p *Params) {
			p.Customers, p.End = customersPerBlock*blocksPerRound+600, p.Start.AddDate(0, 0, 3)
		}},
		{"snappy, integers, decimals, target", 113, func(p *Params) {
			p.Compression, p.IntegerIDs, p.DecimalAmounts = "snappy", true, true
			p.Customers, p.TargetEvents = 0, 60_000
		}},
	} {
		t.Run(variant.name, func(t *testing.T) {
			p := small()
			variant.set(&p)
			p.Workers = 1
			_, dir := generate(t, p)
			want := hashes(t, dir)
			if len(want) != variant.files {
				t.Errorf("%d files, want %d", len(want), variant.files)
			}
			for _, workers := range []int{1, 2, 7} {
				p.Workers = workers
				_, dir := generate(t, p)
				if diff := cmp.Diff(want, hashes(t, dir)); diff != "" {
					t.Fatalf("%d workers differ from one (-one +%d):\n%s", workers, workers, diff)
				}
			}
			p.Seed++
			_, dir = generate(t, p)
			got := hashes(t, dir)
			for path, h := range want {
				if got[path] == h {
					t.Errorf("%s is the same for another seed", path)
				}
			}
		})
	}
}

// More customers must leave the first ones' histories alone, and so must noise.
func TestHistoriesDoNotDependOnOthersOrOnNoise(t *testing.T) {
	p := small()
	p.Customers, p.DuplicateShare, p.LateShare, p.AnonymousShare = 700, 0, 0, 0
	sum, _ := generate(t, p)
	want := map[string]bool{}
	for _, e := range readEvents(t, sum.Events) {
		want[e.key()] = true
	}
	if int64(len(want)) != sum.Rows {
		t.Fatalf("%d distinct rows of %d without noise", len(want), sum.Rows)
	}
	p.Customers, p.DuplicateShare, p.LateShare, p.AnonymousShare = 1100, .1, .1, .2
	sum, _ = generate(t, p)
	got := map[string]bool{}
	for _, e := range readEvents(t, sum.Events) {
		if e.who != "" && e.who <= "C000000700" {
			got[e.key()] = true
		}
	}
	if !maps.Equal(want, got) {
		t.Errorf("histories of the first 700 customers changed: %d distinct rows, %d before", len(got), len(want))
	}
}

func TestShares(t *testing.T) {
	p := small()
	p.DuplicateShare, p.LateShare, p.AnonymousShare = .05, .08, .15
	sum, _ := generate(t, p)
	events := readEvents(t, sum.Events)
	seen := map[string]string{}
	var repeats, late, anonymous, purchases, returns int64
	for _, e := range events {
		if first, ok := seen[e.EventID]; ok {
			repeats++
			if first != e.key() {
				t.Fatalf("event_id %s belongs to two different rows:\n%s\n%s", e.EventID, first, e.key())
			}
		}
		seen[e.EventID] = e.key()
		switch days := int(e.ds.Sub(e.day) / (24 * time.Hour)); {
		case days < 0 || days > behaviour.LateDays:
			t.Fatalf("row of %s lies in partition %s", e.day, e.ds)
		case days > 0:
			late++
		}
		if e.who == "" {
			anonymous++
			if e.CustomerID != nil {
				t.Fatal("anonymous row has an empty customer rather than null")
			}
		}
		switch e.Type {
		case "order_completed":
			purchases++
		case "order_returned":
			returns++
		}
	}
	n := float64(len(events))
	for _, c := range []struct {
		name string
		got  int64
		want float64
		tol  float64 // absolute, about three standard deviations of the share
	}{
		{"repeats", repeats, .05, 3 * math.Sqrt(.05*.95/n)},
		{"late", late, .08, 3.2 * math.Sqrt(.08*.92/n)},         // repeats are late together
		{"anonymous", anonymous, .15, 5 * math.Sqrt(.15*.85/n)}, // whole visits come together
	} {
		if got := float64(c.got) / n; math.Abs(got-c.want) > c.tol {
			t.Errorf("share of %s is %.5f, want %.3f ± %.5f", c.name, got, c.want, c.tol)
		}
	}
	got := Summary{
		Customers: p.Customers, Rows: int64(len(events)), Purchases: purchases, Returns: returns, Repeats: repeats, Late: late,
		Anonymous: anonymous, Files: sum.Files, Bytes: sum.Bytes, Truth: sum.Truth, Events: sum.Events,
	}
	if diff := cmp.Diff(got, sum); diff != "" {
		t.Errorf("summary differs from the files (-files +summary):\n%s", diff)
	}
	files, _ := filepath.Glob(sum.Events)
	size := int64(0)
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if len(files) != sum.Files || size != sum.Bytes {
		t.Errorf("%d files of %d bytes, summary says %d of %d", len(files), size, sum.Files, sum.Bytes)
	}
}

func TestTargetEvents(t *testing.T) {
	p := small()
	p.Customers, p.TargetEvents = 0, 250_000
	sum, _ := generate(t, p)
	if got := float64(sum.Rows) / 250_000; math.Abs(got-1) > .05 {
		t.Errorf("%d rows for a target of 250,000", sum.Rows)
	}
}

func TestTypesOfColumns(t *testing.T) {
	type integers struct {
		CustomerID *int64 `parquet:"customer_id,optional"`
		Amount     *int64 `parquet:"amount,optional,decimal(4:18)"`
		EventID    string `parquet:"event_id,optional"`
	}
	p := small()
	sum, _ := generate(t, p)
	want := map[string]told{}
	for _, e := range readEvents(t, sum.Events) {
		want[e.EventID] = e
	}
	p.IntegerIDs, p.DecimalAmounts, p.Compression = true, true, "snappy"
	sum, dir := generate(t, p)
	files, _ := filepath.Glob(sum.Events)
	n := 0
	for _, f := range files {
		for _, e := range readFile[integers](t, f) {
			n++
			w := want[e.EventID]
			if (e.CustomerID == nil) != (w.who == "") || (e.Amount == nil) != (w.Amount == nil) {
				t.Fatalf("%s: nulls differ between types", e.EventID)
			}
			if e.CustomerID != nil && fmt.Sprintf("C%09d", *e.CustomerID) != w.who {
				t.Fatalf("%s: customer %d, as string %s", e.EventID, *e.CustomerID, w.who)
			}
			if e.Amount != nil && float64(*e.Amount)/1e4 != *w.Amount {
				t.Fatalf("%s: amount %d·1e-4, as double %v", e.EventID, *e.Amount, *w.Amount)
			}
		}
	}
	if int64(n) != sum.Rows || n < 1000 {
		t.Errorf("%d rows read of %d", n, sum.Rows)
	}
	f, err := os.Open(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, _ := f.Stat()
	pf, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range pf.Schema().Columns() {
		leaf, _ := pf.Schema().Lookup(c...)
		got[c[0]] = leaf.Node.Type().String()
	}
	if got["customer_id"] != "INT64" || got["amount"] != "DECIMAL(18,4)" || got["event_time"] != "TIMESTAMP(isAdjustedToUTC=true,unit=MICROS)" {
		t.Errorf("types are %v", got)
	}
	truth, err := ReadTruth(filepath.Join(dir, "truth", "truth.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	if len(truth) != p.Customers || truth[41].ID != "42" {
		t.Errorf("%d truth rows, the 42nd is %q", len(truth), truth[41].ID)
	}
}

func TestTruthRoundTrip(t *testing.T) {
	p := small()
	sum, _ := generate(t, p)
	got, err := ReadTruth(sum.Truth)
	if err != nil {
		t.Fatal(err)
	}
	plan := behaviour.NewPlan(p.settings())
	var want []Customer
	churned := 0
	for n := range p.Customers {
		want = append(want, customer(p, plan, uint32(n+1)))
		if !want[n].Churned.IsZero() {
			churned++
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("truth read back differs (-drawn +read):\n%s", diff)
	}
	if churned == 0 || churned == len(want) {
		t.Errorf("%d of %d churned: nulls are not exercised", churned, len(want))
	}
	if _, err := ReadTruth(strings.Replace(sum.Events, "ds=*/*", "ds=2024-03-01/part-0", 1)); err == nil ||
		!strings.Contains(err.Error(), "not a truth table") {
		t.Errorf("an events file read as truth: %v", err)
	}
	if _, err := ReadTruth(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing truth table: %v", err)
	}
}

func TestValidateReportsEveryFault(t *testing.T) {
	if err := DefaultParams().Validate(); err != nil {
		t.Errorf("default: %v", err)
	}
	p := Params{
		Customers: -1, TargetEvents: -5, Start: time.Date(2024, 1, 2, 3, 0, 0, 0, time.UTC), End: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC),
		ActivityScale: math.NaN(), DuplicateShare: .6, LateShare: -.1, AnonymousShare: 1, Currency: "eur", Compression: "gzip",
	}
	err := p.Validate()
	if err == nil {
		t.Fatal("no fault found")
	}
	for _, want := range []string{
		"Customers (-1) must be 0 to 999999999", "TargetEvents (-5) must be >= 0", "exactly one of Customers", "Start (2024-01-02T03:00:00Z) must be midnight UTC",
		"End (2024-01-01) must be 1 to", "ActivityScale (NaN) must be 0 to 20", "DuplicateShare (0.6) must be 0 to 0.5", "LateShare (-0.1)",
		"AnonymousShare (1) must be 0 to 0.9", `Currency ("eur")`, `Compression ("gzip")`, "Workers (0) must be 1 to",
	} {
		if !strings.Contains(err.Error(), "synth: "+want) {
			t.Errorf("fault %q is missing from:\n%v", want, err)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 12 {
		t.Errorf("%d faults, want 12:\n%v", n, err)
	}
	if _, err := Generate(t.Context(), p, t.TempDir(), nil); err == nil {
		t.Error("Generate accepts invalid Params")
	}
}

// left lists what lies in dir, hidden files included.
func left(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestFailuresLeaveNothing(t *testing.T) {
	p := small()
	p.Customers = 300
	ctx := t.Context()

	t.Run("not empty", func(t *testing.T) {
		root := t.TempDir()
		dir := filepath.Join(root, "history")
		if _, err := Generate(ctx, p, dir, nil); err != nil {
			t.Fatal(err)
		}
		before := hashes(t, root)
		_, err := Generate(ctx, p, dir, nil)
		if err == nil || !strings.Contains(err.Error(), "exists and is not empty; give another directory") {
			t.Errorf("a second run into the same directory: %v", err)
		}
		if diff := cmp.Diff(before, hashes(t, root)); diff != "" {
			t.Errorf("it was touched:\n%s", diff)
		}
	})
	t.Run("empty", func(t *testing.T) {
		root := t.TempDir()
		if _, err := Generate(ctx, p, root, nil); err != nil {
			t.Fatalf("into an empty directory: %v", err)
		}
		if got := left(t, root); !slices.Equal(got, []string{"events", "truth"}) {
			t.Errorf("wrote %v", got)
		}
	})
	t.Run("a file", func(t *testing.T) {
		root := t.TempDir()
		file := filepath.Join(root, "file")
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{file, filepath.Join(file, "below", "it")} {
			if _, err := Generate(ctx, p, dir, nil); err == nil {
				t.Errorf("Generate into %s succeeded", dir)
			}
		}
		if got := left(t, root); !slices.Equal(got, []string{"file"}) {
			t.Errorf("left behind %v", got)
		}
	})
	t.Run("unwritable", func(t *testing.T) {
		if os.Geteuid() == 0 {
			t.Skip("root writes everywhere; the case above and the next stand in")
		}
		root := t.TempDir()
		if err := os.Chmod(root, 0o555); err != nil {
			t.Fatal(err)
		}
		if _, err := Generate(ctx, p, filepath.Join(root, "a", "b"), nil); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("into an unwritable directory: %v", err)
		}
		if got := left(t, root); len(got) != 0 {
			t.Errorf("left behind %v", got)
		}
	})
	t.Run("write error half-way", func(t *testing.T) {
		root := t.TempDir()
		calls := 0
		// After the first window its files' directory becomes a file, so the next open fails.
		_, err := Generate(ctx, p, filepath.Join(root, "a", "history"), func(int64, int64) {
			if calls++; calls != 2 {
				return
			}
			temp, _ := filepath.Glob(filepath.Join(root, "a", ".history.tmp-*"))
			if len(temp) != 1 {
				t.Errorf("temporary directories: %v", temp)
				return
			}
			if err := os.RemoveAll(filepath.Join(temp[0], "events")); err != nil {
				t.Error(err)
			}
			if err := os.WriteFile(filepath.Join(temp[0], "events"), nil, 0o644); err != nil {
				t.Error(err)
			}
		})
		if err == nil || !strings.HasPrefix(err.Error(), "synth: ") {
			t.Errorf("error is %v", err)
		}
		if got := left(t, root); len(got) != 0 {
			t.Errorf("left behind %v", got)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		root := t.TempDir()
		ctx, cancel := context.WithCancelCause(ctx)
		stop := errors.New("stop here")
		_, err := Generate(ctx, p, filepath.Join(root, "history"), func(done, total int64) {
			if done > total/2 {
				cancel(stop)
			}
		})
		if !errors.Is(err, stop) {
			t.Errorf("error is %v", err)
		}
		if got := left(t, root); len(got) != 0 {
			t.Errorf("left behind %v", got)
		}
	})
}

func TestProgressReachesItsTotal(t *testing.T) {
	p := small()
	p.Customers = 100
	var last, of int64
	dir := filepath.Join(t.TempDir(), "history")
	if _, err := Generate(t.Context(), p, dir, func(done, total int64) {
		if done <= last {
			t.Errorf("progress goes from %d to %d", last, done)
		}
		last, of = done, total
	}); err != nil {
		t.Fatal(err)
	}
	if last != of || of != 4*100 {
		t.Errorf("progress ends at %d of %d, want 400", last, of)
	}
}

func TestConfig(t *testing.T) {
	p := small()
	p.Customers = 50
	sum, dir := generate(t, p)
	var c struct {
		Sources []struct {
			Path    string
			Columns map[string]string
			Roles   map[string][]string
		}
		Out string
	}
	text := Config(dir, `odd "name"/out: #1`)
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if c.Out != `odd "name"/out: #1` || len(c.Sources) != 1 {
		t.Errorf("out is %q, %d sources", c.Out, len(c.Sources))
	}
	files, _ := filepath.Glob(c.Sources[0].Path)
	if len(files) != sum.Files {
		t.Errorf("path %s matches %d files of %d", c.Sources[0].Path, len(files), sum.Files)
	}
	for field := range c.Sources[0].Columns {
		if _, err := datasets.ParseField(field); err != nil {
			t.Error(err)
		}
	}
	if len(c.Sources[0].Columns) != len(partition.ColumnNames()) {
		t.Errorf("%d columns mapped of %d", len(c.Sources[0].Columns), len(partition.ColumnNames()))
	}
	mapped := map[string]datasets.Role{}
	for name, types := range c.Sources[0].Roles {
		role, err := datasets.ParseRole(name)
		if err != nil {
			t.Error(err)
		}
		for _, typ := range types {
			if _, twice := mapped[typ]; twice {
				t.Errorf("%s is mapped twice", typ)
			}
			mapped[typ] = role
		}
	}
	for _, e := range EventTypes() {
		if mapped[e.Name] != e.Role {
			t.Errorf("%s is mapped to %s, want %s", e.Name, mapped[e.Name], e.Role)
		}
	}
	for _, role := range datasets.Roles() {
		if !slices.ContainsFunc(EventTypes(), func(e EventType) bool { return e.Role == role }) {
			t.Errorf("no event type plays %s", role)
		}
	}
}

var sample struct {
	once   sync.Once
	params Params
	truth  []Customer
	events []told
	err    error
}

// history is a population large enough for statistics, repeats removed.
func history(t *testing.T) (Params, []Customer, []told) {
	t.Helper()
	sample.once.Do(func() {
		p := DefaultParams()
		p.Seed, p.Customers, p.Workers = 11, 3000, 2
		dir, err := os.MkdirTemp("", "synth-test-")
		if err != nil {
			sample.err = err
			return
		}
		defer os.RemoveAll(dir)
		sum, err := Generate(t.Context(), p, filepath.Join(dir, "history"), nil)
		if err != nil {
			sample.err = err
			return
		}
		sample.params = p
		if sample.truth, err = ReadTruth(sum.Truth); err != nil {
			sample.err = err
			return
		}
		seen := make(map[string]bool, sum.Rows)
		for _, e := range readEvents(t, sum.Events) {
			if !seen[e.EventID] {
				seen[e.EventID] = true
				sample.events = append(sample.events, e)
			}
		}
	})
	if sample.err != nil || sample.events == nil {
		t.Fatalf("no sample: %v", sample.err)
	}
	return sample.params, sample.truth, sample.events
}
