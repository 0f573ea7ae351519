package nightly

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/jobs/config"
)

// hostile are texts that mean something to somebody down the line: a shell, a path, SQL, a
// spreadsheet, a page.
var hostile = []string{
	"'; DROP TABLE events; --", `"; DROP TABLE events; --`, "' OR '1'='1", "$$; SELECT 1; $$", "../../../etc/passwd", "..", "/etc/passwd", "a/b", `a\b`,
	"=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1)", "\t=1", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "${HOME}", "$(touch pwned)", "`touch pwned`", "%s%n", "{{.}}",
	"a,b", "a\nb", "a\r\nb", "a|b", "ü\u202e", "\u2028", "NULL", "null", "NaN", "run=x", "ds=2024-01-01", ".hidden", "_SUCCESS", "*", "[a]", "?", strings.Repeat("x", 300),
}

type strange struct {
	Customer string  `parquet:"customer';--"`
	Time     int64   `parquet:"at,timestamp(microsecond)"`
	Type     string  `parquet:"<b>type</b>"`
	Amount   float64 `parquet:"amount \"$$\""`
	Currency string  `parquet:"currency"`
	Product  string  `parquet:"product"`
	Category string  `parquet:"category=x"`
	Channel  string  `parquet:"channel"`
}

// strangeShop has every hostile text as a customer, an event type, a product, a category and a
// channel, in a file and a directory with such names.
func strangeShop(t *testing.T) (path string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "it's; DROP TABLE events; -- $(touch pwned) <b>", "..%2f", `a "b" [c]{d}?`)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var rows []strange
	start := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for n := range 60 * len(hostile) {
		pick := func(salt int) string { return hostile[(n*7+n/len(hostile)*salt)%len(hostile)] }
		e := strange{
			Customer: hostile[n%len(hostile)], Time: start.Add(time.Duration(n*211%(300*24)) * time.Hour).UnixMicro(), Type: pick(3), Amount: float64(n%90) + .5,
			Currency: "EUR", Product: pick(5), Category: pick(11), Channel: pick(13),
		}
		if n%3 == 0 {
			e.Customer += fmt.Sprint(n % 120)
		}
		rows = append(rows, e)
	}
	path = filepath.Join(dir, "x' UNION SELECT 1;--\n*.parquet")
	if err := parquet.WriteFile(path, rows, parquet.MaxRowsPerRowGroup(700)); err != nil {
		t.Fatal(err)
	}
	return path
}

// strangeJob asks for hostile event types, categories and channels by name.
func strangeJob(t *testing.T, path string) *config.Config {
	t.Helper()
	quoted := func(texts ...string) string {
		var list []string
		for _, s := range texts {
			list = append(list, fmt.Sprintf("%q", s))
		}
		return "[" + strings.Join(list, ", ") + "]"
	}
	c, err := config.Parse("strange", []byte(fmt.Sprintf(`
sources:
  - path: %[1]q
    columns: {customer_id: "customer';--", event_time: at, event_type: "<b>type</b>", amount: 'amount "$$$$"', currency: currency, product_id: product, category: "category=x", channel: channel}
    roles: {purchase: %[2]s, view: %[3]s, message_open: %[4]s}
out: %[5]s
targets: [{name: churn, kind: churn, horizon: 45d}, {name: odd, kind: propensity, role: purchase, where: {category: %[3]s}, horizon: 45d}]
segmentations: [{name: behaviour, k: 2}]
models: {baselines: false}
gates: {action: off}
features:
  custom:
    - {name: odd_spend, aggregate: sum, column: amount, where: {role: purchase, category: %[3]s}}
    - {name: odd_types, aggregate: count, where: {event_type: %[2]s, product_id: %[4]s}}
    - {name: odd_share, aggregate: share, where: {channel: %[2]s}, among: {role: purchase}, windows: [60d, lifetime]}
`, strings.ReplaceAll(storage.QuoteMeta(path), "$", "$$"), strings.ReplaceAll(quoted(hostile[:6]...), "$", "$$"), strings.ReplaceAll(quoted(hostile[6:18]...), "$", "$$"), strings.ReplaceAll(quoted(hostile[18:30]...), "$", "$$"),
		filepath.Join(t.TempDir(), "out"))), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// No name of the data reaches a path, and the generated SQL says the same as the program: it is
// run in DuckDB over the file of the strange name.
func TestHostileNames(t *testing.T) {
	path := strangeShop(t)
	c := strangeJob(t, path)
	work := t.TempDir()
	t.Chdir(work)
	if _, err := night(t, c, shopDate, nil); err != nil {
		t.Fatal(err)
	}
	plain := regexp.MustCompile(`^[a-z][a-z0-9_]*/ds=2024-11-30/run=[0-9a-f]{16}/([a-z0-9_-]+(\.[a-z]+)+|part-[0-9]{5}\.parquet|_SUCCESS)$`)
	files := 0
	err := filepath.WalkDir(filepath.Dir(c.Out), func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		rel, err := filepath.Rel(c.Out, p)
		if rel != "current.json" && !plain.MatchString(rel) {
			t.Errorf("a file is called %q", rel)
		}
		return err
	})
	if err != nil || files < 15 {
		t.Fatal(files, err)
	}
	if left, err := os.ReadDir(work); err != nil || len(left) > 0 {
		t.Errorf("the directory that it ran in has %v, %v", left, err)
	}
	beside, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(beside) != 1 {
		t.Errorf("beside the source there are %v, %v", beside, err)
	}
	if !slices.ContainsFunc(c.Sources[0].Path, func(p string) bool { return strings.Contains(p, "UNION") }) {
		t.Error("the path is no hostile one")
	}
	compare(t, c, []string{"2024-05-31", shopDate})
}
