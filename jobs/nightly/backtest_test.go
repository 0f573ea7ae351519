package nightly

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-data/shoal/internal/pyoracle"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/gates"
)

// Scores are held against what happened, once, by the first run that can: the figures
// are those that DuckDB and scikit-learn compute from the published scores and the
// events themselves.
func TestBacktest(t *testing.T) {
	all := trade(4, 900)
	dir := t.TempDir()
	file := filepath.Join(dir, "a.parquet")
	c := tradeJob(t, dir, "time_zone: Europe/Berlin\n")
	c.Segmentations = nil
	c.Models.ValueHorizon = 30
	c.Targets = []config.Target{config.DefaultTarget("churn", "churn"), config.DefaultTarget("purchase", "propensity")}
	for i := range c.Targets {
		c.Targets[i].Horizon, c.Targets[i].Gap = config.AutoDays{Days: 30}, config.Days(3*i)
	}
	run := func(date string, edit func(sale) (sale, bool)) *Summary {
		t.Helper()
		sell(t, file, before(all, date, edit))
		s, err := night(t, c, date, nil)
		if err != nil {
			t.Fatalf("%s: %v", date, err)
		}
		return s
	}
	// The scores of the 10th are about the days to the 9th of the next month; those of
	// purchase, to the 12th.
	for _, n := range []struct {
		date string
		rows int64
	}{{"2024-10-10", 0}, {"2024-11-08", 0}, {"2024-11-09", 2}, {"2024-11-11", 0}, {"2024-11-13", 1}, {"2024-11-14", 0}} {
		s := run(n.date, nil)
		if got := s.Tables["score_backtest"]; got != n.rows {
			t.Errorf("%s: %d rows, want %d", n.date, got, n.rows)
		}
		for _, v := range s.Gates {
			if v.Status != gates.OK && strings.HasPrefix(v.Gate, "backtest") {
				t.Errorf("%s: %+v", n.date, v)
			}
		}
		if again, err := night(t, c, n.date, nil); err != nil || again.Status != StatusNoop {
			t.Errorf("%s again: %s, %v", n.date, again.Status, err)
		}
	}
	var faults []string
	pyoracle.Run(t, `
import json, sys
import duckdb, numpy as np
from sklearn.metrics import roc_auc_score, log_loss, brier_score_loss
job = json.load(sys.stdin)
con = duckdb.connect()
con.execute("SET TimeZone = 'Europe/Berlin'")
con.execute(f"CREATE VIEW e AS SELECT customer_id, event_type, amount, CAST((event_time AT TIME ZONE 'UTC') AT TIME ZONE 'Europe/Berlin' AS DATE) AS d FROM (SELECT * REPLACE (event_time::TIMESTAMPTZ AT TIME ZONE 'UTC' AS event_time) FROM read_parquet('{job['file']}'))")
con.execute(f"CREATE VIEW s AS SELECT * FROM read_parquet('{job['out']}/customer_scores/ds=2024-10-10/*/*.parquet', hive_partitioning = false)")
con.execute(f"CREATE VIEW f AS SELECT * FROM read_parquet('{job['out']}/features/ds=2024-10-10/*/*.parquet', hive_partitioning = false)")
b = {r["target"]: r for r in con.execute(f"SELECT * FROM read_parquet('{job['out']}/score_backtest/*/*/*.parquet', hive_partitioning = false)").df().to_dict("records")}
faults = []
def near(what, got, want):
    if not abs(float(got) - float(want)) <= 1e-9 * max(1, abs(float(want))):
        faults.append(f"{what}: {got}, computed {want}")
if sorted(b) != ["churn", "purchase", "value_30d"]:
    faults.append(f"targets {sorted(b)}")
for target, gap, churn in [("churn", 0, True), ("purchase", 3, False)]:
    df = con.execute(f"""SELECT s.{target}_probability AS p, f.days_since_last_purchase AS r,
        EXISTS (SELECT 1 FROM e WHERE e.customer_id = s.customer_id AND event_type = 'order' AND d > DATE '2024-10-10' + {gap} AND d <= DATE '2024-10-10' + {gap} + 30) AS bought
        FROM s JOIN f USING (customer_id) WHERE s.{target}_probability IS NOT NULL""").df()
    y = (df.bought != churn).astype(int).to_numpy()
    row = b[target]
    if row["scored_date"] != "2024-10-10" or row["gone"] != 0 or row["not_eligible"] != 0:
        faults.append(f"{target}: {row}")
    near(target + " customers", row["customers"], len(df))
    near(target + " positives", row["positives"], y.sum())
    near(target + " auc", row["auc"], roc_auc_score(y, df.p))
    near(target + " log-loss", row["log_loss"], log_loss(y, df.p))
    near(target + " brier", row["brier"], brier_score_loss(y, df.p))
    near(target + " mean", row["mean_score"], df.p.mean())
    r = df.r.fillna(1e9).to_numpy()
    near(target + " recency", row["recency_auc"], roc_auc_score(y, r if churn else -r))
df = con.execute("""SELECT s.expected_purchases AS n, s.expected_value AS v,
    (SELECT count(DISTINCT d) FROM e WHERE e.customer_id = s.customer_id AND event_type = 'order' AND d > DATE '2024-10-10' AND d <= DATE '2024-10-10' + 30) AS bought,
    (SELECT coalesce(sum(amount), 0) FROM e WHERE e.customer_id = s.customer_id AND event_type = 'order' AND d > DATE '2024-10-10' AND d <= DATE '2024-10-10' + 30) AS spent
    FROM s WHERE s.expected_purchases IS NOT NULL""").df()
row = b["value_30d"]
v = df.v.astype(float).to_numpy()
near("purchases mae", row["purchases_mae"], (df.n - df.bought).abs().mean())
near("purchases", row["purchases_actual"], df.bought.sum())
for what, want in [("value_mae", np.abs(v - df.spent).mean()), ("value_expected", v.sum()), ("value_actual", df.spent.sum())]:
    if abs(float(row[what]) - want) > 1e-4:
        faults.append(f"{what}: {row[what]}, computed {want}")
print(json.dumps(faults))
`, map[string]any{"out": c.Out, "file": file}, &faults)
	if len(faults) > 0 {
		t.Error(strings.Join(faults, "\n"))
	}

	// Customers who have left the history are told apart from those who did nothing.
	gone := func(s sale) (sale, bool) { return s, s.Customer[5]%4 != 0 }
	sell(t, file, before(all, "2024-12-08", gone))
	c.Gates.Action = config.GatesWarn
	if s, err := night(t, c, "2024-12-08", nil); err != nil || s.Tables["score_backtest"] != 2 {
		t.Fatalf("%v, %v", s.Tables, err)
	}
	var left [][3]int
	pyoracle.Run(t, `
import json, sys
import duckdb
job = json.load(sys.stdin)
print(json.dumps(duckdb.sql(f"SELECT customers::INT, gone::INT, not_eligible::INT FROM read_parquet('{job['out']}/score_backtest/ds=2024-12-08/*/*.parquet') ORDER BY target").fetchall()))
`, map[string]any{"out": c.Out}, &left)
	for _, n := range left {
		if share := float64(n[1]) / float64(n[0]+n[1]); share < .3 || share > .5 || n[2] != 0 { // of ten digits, 0, 4 and 8
			t.Errorf("customers, gone and not eligible: %v", left)
		}
	}
}

// Scores that turn out wrong stop the night: nobody whom they expected bought.
func TestBacktestGates(t *testing.T) {
	all := trade(5, 900)
	dir := t.TempDir()
	c := tradeJob(t, dir, "")
	c.Segmentations = nil
	c.Targets = c.Targets[1:]
	for i, date := range []string{"2024-10-05", "2024-11-19"} {
		end, _ := time.Parse(time.DateOnly, "2024-10-06")
		sell(t, filepath.Join(dir, "a.parquet"), before(all, date, func(s sale) (sale, bool) {
			// After the first night, customers of an odd number alone buy.
			if s.Type == "order" && !s.at().Before(end) && (s.Customer[5]-'0')%5 != 0 {
				s.Type, s.Amount = "page_view", nil
			}
			return s, true
		}))
		s, err := night(t, c, date, nil)
		if i == 0 {
			if err != nil {
				t.Fatal(err)
			}
			continue
		}
		failed := judged(s, gates.Fail)
		if ExitCode(err) != ExitBadData || !slices.Contains(failed, "backtest_auc") && !slices.Contains(failed, "backtest_rate") || !strings.Contains(fmt.Sprint(err), "gate backtest_") {
			t.Errorf("%v failed: %v", failed, err)
		}
		for _, v := range s.Gates {
			if strings.HasPrefix(v.Gate, "backtest") {
				t.Logf("%+v", v)
			}
		}
	}
}
