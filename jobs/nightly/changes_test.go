package nightly

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/shoal-data/shoal/internal/pyoracle"
	"github.com/shoal-data/shoal/jobs/config"
)

// Every row of changes, and no other, is what DuckDB finds different between the
// two nights' customer_scores. Somebody erased in between is in neither.
func TestChangesBetweenNights(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.parquet"), shop(5, 300))
	c := job(t, dir, fourSegments+"publish: {changes: {probability: 0.1, value: 0.25}}\n")
	first, err := night(t, c, "2024-11-26", nil)
	if err != nil {
		t.Fatal(err)
	}
	var erased string
	pyoracle.Run(t, `
import json, sys, duckdb
print(json.dumps(str(duckdb.connect().execute(f"SELECT customer_id FROM '{json.load(sys.stdin)}/customer_scores/*/*/*.parquet' ORDER BY 1 LIMIT 1 OFFSET 7").fetchone()[0])))`, c.Out, &erased)
	list := filepath.Join(dir, "erased.txt")
	if err := os.WriteFile(list, []byte(erased+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c.Privacy.Erased = []config.ErasureTable{{Path: config.OneOrMany{list}, Columns: config.ErasureColumns{Customer: "customer"}, Kind: "customer"}}
	second, err := night(t, c, "2024-11-28", nil)
	if err != nil {
		t.Fatal(err)
	}
	if first.Tables["changes"] != first.Tables["customer_scores"] {
		t.Errorf("the first night added %d of %d customers", first.Tables["changes"], first.Tables["customer_scores"])
	}
	var got struct {
		Faults []string
		Kinds  map[string]int
		Total  int
	}
	pyoracle.Run(t, `
import json, sys, duckdb
q = json.load(sys.stdin)
c = duckdb.connect()
table = lambda name, date: f"read_parquet('{q['out']}/{name}/ds={date}/*/*.parquet', hive_partitioning = false)"
c.execute(f"CREATE TABLE b AS FROM {table('customer_scores', q['first'])} WHERE customer_id::VARCHAR <> '{q['erased']}'")
c.execute(f"CREATE TABLE n AS FROM {table('customer_scores', q['second'])}")
c.execute(f"CREATE TABLE changes AS FROM {table('changes', q['second'])}")
names = [r[0] for r in c.execute("DESCRIBE n").fetchall()]
old = {r[0] for r in c.execute("DESCRIBE b").fetchall()}
exact = ["segment_id", "rfm_segment", "usage_rate", "loyalty_tier", "lifecycle_stage", "benefit_sought", "occasion_shopper", "journey_stage", "churn_band", "purchase_band"]
moved = {x: f"n.{x} IS DISTINCT FROM b.{x}" for x in exact}
for x in ["churn_probability", "purchase_probability"]:
    moved[x] = f"((n.{x} IS NULL) <> (b.{x} IS NULL) OR coalesce(abs(n.{x} - b.{x}) > 0.1, false))"
moved["expected_value"] = "((n.expected_value IS NULL) <> (b.expected_value IS NULL) OR coalesce(abs(n.expected_value - b.expected_value) > 0.25 * abs(b.expected_value), false))"
order = [x for x in names if x in moved]
watched = [x for x in names if x in moved or x == "segment_name"]
both = ", ".join(f"n.{x} AS {x}, b.{x} AS {x}_before" for x in watched)
list_ = "concat_ws(',', " + ", ".join(f"CASE WHEN {moved[x]} THEN '{x}' END" for x in order) + ")"
c.execute(f"""CREATE TABLE want AS
SELECT coalesce(n.customer_id, b.customer_id) AS customer_id,
  CASE WHEN b.customer_id IS NULL THEN 'added' WHEN n.customer_id IS NULL THEN 'removed' ELSE 'changed' END AS change,
  CASE WHEN b.customer_id IS NOT NULL AND n.customer_id IS NOT NULL THEN {list_} END AS moved, {both}
FROM n FULL JOIN b USING (customer_id)
WHERE b.customer_id IS NULL OR n.customer_id IS NULL OR {" OR ".join(moved.values())}""")
columns = "customer_id, change, moved, " + ", ".join(f"{x}, {x}_before" for x in watched)
faults = [str(r) for r in c.execute(f"(SELECT 'missing', {columns} FROM want EXCEPT ALL SELECT 'missing', {columns} FROM changes) UNION ALL (SELECT 'too many', {columns} FROM changes EXCEPT ALL SELECT 'too many', {columns} FROM want)").fetchall()]
have = [r[0] for r in c.execute("DESCRIBE changes").fetchall()]
want = ["customer_id", "as_of", "run_id", "before_date", "before_run_id", "change", "moved"] + [y for x in watched for y in (x, x + "_before")]
if have != want: faults.append(f"columns {have}, want {want}")
if c.execute(f"SELECT count(*) FROM changes WHERE customer_id::VARCHAR = '{q['erased']}'").fetchone()[0]: faults.append("the erased are told of")
if c.execute(f"SELECT count(*) FROM changes WHERE before_date <> '{q['first']}' OR before_run_id <> '{q['run']}'").fetchone()[0]: faults.append("the run before is another")
print(json.dumps({"Faults": faults, "Kinds": dict(c.execute("SELECT change, count(*) FROM changes GROUP BY 1").fetchall()), "Total": c.execute("SELECT count(*) FROM n").fetchone()[0]}))
`, map[string]any{"out": c.Out, "first": first.Date, "second": second.Date, "erased": erased, "run": first.RunID}, &got)
	for _, f := range got.Faults[:min(len(got.Faults), 5)] {
		t.Error(f)
	}
	if got.Kinds["changed"] < 5 || got.Kinds["changed"] > got.Total-5 {
		t.Errorf("of %d customers these changed, which shows little: %v", got.Total, got.Kinds)
	}
}
