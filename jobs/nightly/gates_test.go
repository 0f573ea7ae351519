package nightly

import (
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

	"github.com/parquet-go/parquet-go"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/synth"
	"github.com/shoal-data/shoal/internal/pyoracle"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/gates"
)

// sale is an event of a trade; what is nil is null.
type sale struct {
	Customer string   `parquet:"customer_id"`
	Time     int64    `parquet:"event_time,timestamp(microsecond)"`
	Type     string   `parquet:"event_type"`
	Amount   *float64 `parquet:"amount,optional"`
	Product  *string  `parquet:"product_id,optional"`
	Session  string   `parquet:"session_id"`
}

func (s sale) at() time.Time { return time.UnixMicro(s.Time).UTC() }

const tradeDate = "2024-11-20"

var tradeEnd = time.Date(2024, 11, 21, 0, 0, 0, 0, time.UTC)

// trade is the history of a shop that goes on as it is: customers come as others go,
// and buy and look about as they always did.
func trade(seed uint64, customers int) []sale {
	r := rand.New(rand.NewPCG(seed, 11))
	var all []sale
	start := tradeEnd.AddDate(0, 0, -500)
	for c := range customers {
		id := fmt.Sprintf("c%05d", c)
		comes := start.Add(time.Duration((r.Float64()*760 - 260) * 24 * float64(time.Hour)))
		goes := comes.Add(time.Duration(r.ExpFloat64() * 200 * 24 * float64(time.Hour)))
		days := 6 * math.Exp(r.NormFloat64()/2) // between visits
		for at := comes; at.Before(goes) && at.Before(tradeEnd); at = at.Add(time.Duration((.1 + r.ExpFloat64()) * days * 24 * float64(time.Hour))) {
			if at.Before(start) {
				continue
			}
			session := fmt.Sprintf("%s-%d", id, at.Unix())
			product := fmt.Sprint("p", r.IntN(30))
			look := sale{Customer: id, Time: at.UnixMicro(), Type: "page_view", Product: &product, Session: session}
			all = append(all, look)
			if r.IntN(3) == 0 {
				amount := math.Round(2000*math.Exp(r.NormFloat64()/2)) / 100
				look.Time, look.Type, look.Amount = look.Time+600_000_000, "order", &amount
				all = append(all, look)
			}
		}
	}
	return all
}

// tradeJob is a job over a trade.
func tradeJob(t *testing.T, dir, extra string) *config.Config {
	t.Helper()
	c := job(t, dir, fourSegments+"models: {baselines: false, snapshots: 2}\n"+extra)
	delete(c.Sources[0].Columns, datasets.Currency)
	c.Gates.Action = config.GatesFail
	for _, action := range []string{config.GatesWarn, config.GatesOff} {
		if strings.Contains(extra, "action: "+action) {
			c.Gates.Action = action
		}
	}
	return c
}

// before are the events that a run of a date can see, edited.
func before(all []sale, date string, edit func(sale) (sale, bool)) []sale {
	end, err := time.Parse(time.DateOnly, date)
	if err != nil {
		panic(err)
	}
	var kept []sale
	for _, s := range all {
		if !s.at().Before(end.AddDate(0, 0, 1)) {
			continue
		}
		if edit != nil {
			var ok bool
			if s, ok = edit(s); !ok {
				continue
			}
		}
		kept = append(kept, s)
	}
	return kept
}

func sell(t *testing.T, path string, rows []sale) {
	t.Helper()
	if err := parquet.WriteFile(path, rows); err != nil {
		t.Fatal(err)
	}
}

// failing are the gates of a summary that failed, and warning those that warned.
func judged(s *Summary, status gates.Status) []string {
	var names []string
	for _, v := range s.Gates {
		if v.Status == status {
			names = append(names, v.Gate)
		}
	}
	slices.Sort(names)
	return names
}

// Faults planted into the data of a night that follows a good one: every gate fires, is
// named, ends the run with exit code 65, and nothing is published.
func TestPlantedFaults(t *testing.T) {
	all := trade(1, 900)
	// A good night comes before; every case goes on from a copy of what it published.
	const eve = "2024-11-19"
	dir := t.TempDir()
	first := tradeJob(t, dir, "")
	sell(t, filepath.Join(dir, "a.parquet"), before(all, eve, nil))
	if s, err := night(t, first, eve, nil); err != nil || len(judged(s, gates.Fail)) > 0 {
		t.Fatalf("the eve: %v, %+v", err, s.Gates)
	}
	within := func(s sale, days int) bool { return !s.at().Before(tradeEnd.AddDate(0, 0, -days)) }
	r := rand.New(rand.NewPCG(3, 3))
	for _, c := range []struct {
		name string
		edit func(sale) (sale, bool)
		want []string // gates that fail, at least
		say  string   // what the error says
	}{
		{"none", nil, nil, ""},
		{"drift of a week", func(s sale) (sale, bool) {
			if s.Amount != nil && within(s, 60) {
				a := *s.Amount * 20
				s.Amount = &a
			}
			return s, true
		}, []string{"feature_drift"}, "has drifted"},
		{"change of unit", func(s sale) (sale, bool) {
			if s.Amount != nil {
				a := *s.Amount * 100
				s.Amount = &a
			}
			return s, true
		}, []string{"feature_drift"}, "against the run before"},
		{"null surge", func(s sale) (sale, bool) {
			if within(s, 4) && r.IntN(2) == 0 {
				s.Amount = nil
			}
			return s, true
		}, []string{"null_rise"}, "purchase events in the seven days to 2024-11-20 have no amount"},
		{"null surge in all of history", func(s sale) (sale, bool) {
			if r.IntN(2) == 0 {
				s.Product = nil
			}
			return s, true
		}, []string{"null_rise"}, "of all view events have no product_id, 0.0% in the run before"},
		{"stale", func(s sale) (sale, bool) { return s, !within(s, 5) }, []string{"freshness"}, "the newest event is of 2024-11-15, 5 days before 2024-11-20"},
		{"fewer in a week", func(s sale) (sale, bool) { return s, !within(s, 7) || r.IntN(4) == 0 }, []string{"volume_fall"}, "in the seven days to 2024-11-20"},
		{"fewer on the day", func(s sale) (sale, bool) { return s, !within(s, 1) || r.IntN(10) == 0 }, []string{"volume_fall"}, "events on 2024-11-20"},
		{"history lost", func(s sale) (sale, bool) { return s, within(s, 300) }, []string{"rows_fall"}, "fewer (bound 0.3); history has been lost"},
		{"label broken", func(s sale) (sale, bool) {
			if s.Type == "order" && within(s, 45) {
				s.Type = "order_v2"
			}
			return s, true
		}, []string{"base_rate", "one_class"}, "target churn: all"},
		{"event renamed", func(s sale) (sale, bool) {
			if s.Type == "order" && within(s, 7) {
				s.Type = "order_v2"
			}
			return s, true
		}, []string{"event_gone", "event_mix"}, "0 events of event_type order in the seven days"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			cfg := tradeJob(t, dir, "")
			if err := os.CopyFS(cfg.Out, os.DirFS(first.Out)); err != nil {
				t.Fatal(err)
			}
			sell(t, filepath.Join(dir, "a.parquet"), before(all, tradeDate, c.edit))
			had := published(t, cfg.Out)
			s, err := night(t, cfg, tradeDate, nil)
			failed := judged(s, gates.Fail)
			t.Logf("failed %v, warned %v", failed, judged(s, gates.Warn))
			for _, v := range s.Gates {
				for _, f := range v.Findings {
					t.Logf("  %s %s %.3f", f.Status, f.Message, f.Value)
				}
			}
			if c.want == nil {
				if err != nil || len(failed) > 0 || len(judged(s, gates.Warn)) > 0 {
					t.Fatalf("%v: %v", failed, err)
				}
				recomputeDrift(t, cfg.Out)
				return
			}
			if ExitCode(err) != ExitBadData || s.ExitCode != ExitBadData || s.Status != StatusFailed {
				t.Fatalf("exit code %d, %v", ExitCode(err), err)
			}
			for _, g := range c.want {
				if !slices.Contains(failed, g) || !strings.Contains(err.Error(), "gate "+g+": ") {
					t.Errorf("gate %s did not fail: %v", g, err)
				}
			}
			said := false
			for _, v := range s.Gates {
				for _, f := range v.Findings {
					said = said || strings.Contains(f.Message, c.say)
				}
			}
			if !said {
				t.Errorf("no gate says %q: %v", c.say, err)
			}
			if got := published(t, cfg.Out); !reflect.DeepEqual(got, had) {
				t.Errorf("a failed run has published: %d files, %d before", len(got), len(had))
			}
		})
	}
}

// recomputeDrift computes drift anew by SQL from drift_bins, as docs/monitoring.md has
// it, and the counts of drift_bins from features.
func recomputeDrift(t *testing.T, out string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	_, query, _ := strings.Cut(string(page), "```sql\n")
	query, _, ok := strings.Cut(query, "```")
	if !ok {
		t.Fatal("docs/monitoring.md has no query")
	}
	var got struct {
		Compared, Counted int
		Faults            []string
	}
	pyoracle.Run(t, `
import json, sys
import duckdb
job = json.load(sys.stdin)
con = duckdb.connect()
for name in ["drift", "drift_bins", "features"]:
    con.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{job['out']}/{name}/ds=2024-11-20/*/*.parquet', hive_partitioning = false)")
faults = []
mine = {r[:2]: r[2:] for r in con.execute(job["query"]).fetchall()}
theirs = {r[:2]: r[2:] for r in con.execute("SELECT name, reference, psi, ks FROM drift").fetchall()}
if mine.keys() != theirs.keys():
    faults.append(f"{len(mine)} rows by SQL, {len(theirs)} published")
for k in mine.keys() & theirs.keys():
    if any(abs(a - b) > 1e-9 * max(1, abs(b)) for a, b in zip(mine[k], theirs[k])):
        faults.append(f"{k}: {mine[k]} by SQL, {theirs[k]} published")
counted = 0
for name, reference in con.execute("SELECT DISTINCT name, reference FROM drift_bins WHERE kind = 'feature' AND hash(name) % 10 = 0").fetchall():
    rows = con.execute(f"""SELECT bin, actual_count, (SELECT count(*) FROM features f WHERE CASE WHEN of_null THEN f.{name} IS NULL
        ELSE f.{name} IS NOT NULL AND (low IS NULL OR f.{name} > low) AND (high IS NULL OR f.{name} <= high) END) FROM drift_bins b WHERE name = ? AND reference = ?""", [name, reference]).fetchall()
    counted += len(rows)
    faults += [f"{name} {reference} bin {b}: {n} published, {m} by SQL" for b, n, m in rows if n != m]
print(json.dumps({"Compared": len(mine), "Counted": counted, "Faults": faults[:10]}))
`, map[string]any{"out": out, "query": query}, &got)
	if len(got.Faults) > 0 || got.Compared < 800 || got.Counted < 300 {
		t.Errorf("%d rows and %d bins compared: %v", got.Compared, got.Counted, got.Faults)
	}
}

// A month of nights on a history that goes on as it was, seasons, campaigns and all: no
// gate fires.
func TestQuietMonth(t *testing.T) {
	if testing.Short() {
		t.Skip("31 nights")
	}
	p := synth.DefaultParams()
	p.Customers = 400
	_, c := generated(t, p)
	c.Segmentations = nil
	c.Models.Baselines = false
	for d := time.Date(2025, 3, 1, 0, 0, 0, 0, time.UTC); d.Month() == 3; d = d.AddDate(0, 0, 1) {
		s, err := night(t, c, d.Format(time.DateOnly), nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Gates) < 10 {
			t.Errorf("only %d gates judged", len(s.Gates))
		}
		for _, v := range s.Gates {
			for _, f := range v.Findings {
				t.Errorf("%s: %s: %s", d.Format(time.DateOnly), f.Status, f.Message)
			}
		}
	}
}

// A shop that writes to every second household at once, as Complete Journey's did on 29
// October in New York, publishes that night's run and the next.
func TestNightOfACampaign(t *testing.T) {
	c := exampleConfig(t, "complete_journey", pyoracle.Data(t))
	c.Out, c.Targets, c.Segmentations = t.TempDir(), nil, nil
	for _, date := range []string{"2017-10-28", "2017-10-29", "2017-10-30"} {
		s, err := night(t, c, date, nil)
		if failed := judged(s, gates.Fail); err != nil || len(failed) > 0 {
			t.Fatalf("%s: %v, %v", date, failed, err)
		}
		if sent := len(judged(s, gates.Warn)) > 0; sent != (date > "2017-10-28") {
			t.Errorf("%s: warned %v", date, judged(s, gates.Warn))
		}
	}
}

// What a gate does is configured: it warns, or nothing is judged.
func TestGatesAction(t *testing.T) {
	all := trade(2, 300)
	stale := func(s sale) (sale, bool) { return s, s.at().Before(tradeEnd.AddDate(0, 0, -6)) }
	for _, c := range []struct {
		extra string
		code  int
		warns bool
	}{
		{"", ExitBadData, false},
		{"gates: {action: warn}", ExitDone, true},
		{"gates: {action: off}", ExitDone, false},
		{"gates: {freshness: {fail: 7}, volume_fall: {fail: off}}", ExitDone, true},
		{"gates: {action: warn, customers: {fail: 100000}, null_share: [{column: amount, role: view, fail: 0.5}]}", ExitDone, true},
	} {
		dir := t.TempDir()
		cfg := tradeJob(t, dir, c.extra)
		cfg.Targets, cfg.Segmentations = nil, nil
		sell(t, filepath.Join(dir, "a.parquet"), before(all, tradeDate, stale))
		s, err := night(t, cfg, tradeDate, nil)
		if ExitCode(err) != c.code {
			t.Errorf("%q: exit code %d, want %d: %v", c.extra, ExitCode(err), c.code, err)
		}
		if got := warned(s, "gate.freshness", "6 days before 2024-11-20"); got != c.warns {
			t.Errorf("%q: warnings %v", c.extra, s.Warnings)
		}
		if strings.Contains(c.extra, "customers") && !(warned(s, "gate.customers", "") && warned(s, "gate.null_share", "100.0% of")) {
			t.Errorf("%q: warnings %v", c.extra, s.Warnings)
		}
	}
}
