package cohorts

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/internal/pyoracle"
)

// The rows are those of SQL over the events, in a zone whose days are not UTC's, for any number
// of workers.
func TestRowsAsSQLHasThem(t *testing.T) {
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(7, 7))
	type event struct {
		customer string
		time     int64
		role     datasets.Role
	}
	var events []event
	start := time.Date(2023, 11, 20, 0, 0, 0, 0, time.UTC).UnixMicro()
	for range 4000 {
		e := event{string(rune('a'+r.IntN(26))) + string(rune('a'+r.IntN(10))), start + r.Int64N(500*86_400_000_000), datasets.Purchase}
		if r.IntN(3) == 0 {
			e.role = datasets.View
		}
		if e.customer[0] < 'e' && e.role == datasets.Purchase && r.IntN(4) > 0 {
			e.customer += "rare"
		}
		events = append(events, e)
	}
	for _, date := range []string{"2025-03-17", "2025-02-28"} { // within a month, and at the end of one
		asOf, err := timeline.ParseAsOf(date, zone)
		if err != nil {
			t.Fatal(err)
		}
		count := func(workers int) (got [][]any) {
			dicts := datasets.NewDicts()
			log := timeline.NewLog(dicts, workers)
			b := &datasets.Batch{}
			for _, e := range events {
				b.Customer, b.Time, b.Role = append(b.Customer, dicts.Customer.CodeString(e.customer)), append(b.Time, e.time), append(b.Role, e.role)
			}
			if err := log.Append(0, b); err != nil {
				t.Fatal(err)
			}
			c := NewCounter(asOf.Today, workers)
			err := log.Freeze(timeline.Options{Zone: zone}).Replay(t.Context(), workers, func(w, _ int, tl *timeline.Timeline) error {
				if h, ok := tl.Before(asOf); ok {
					c.Count(w, &h.Events)
				}
				return nil
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			day := func(d int32) string { return time.Unix(int64(d)*86400, 0).UTC().Format(time.DateOnly) }
			for _, row := range c.Rows() {
				got = append(got, []any{day(row.Cohort), day(row.Month), row.Since, row.Size, row.Bought, row.Over})
			}
			return got
		}
		in := map[string]any{"date": date, "one": count(1), "three": count(3)}
		var purchases [][]any
		for _, e := range events {
			if e.role == datasets.Purchase {
				purchases = append(purchases, []any{e.customer, e.time})
			}
		}
		in["purchases"] = purchases
		var out struct {
			Rows   int
			Faults []string
		}
		pyoracle.Run(t, `
import json, sys, duckdb, pandas as pd
job = json.load(sys.stdin)
p = pd.DataFrame(job["purchases"], columns=["customer", "us"])
con = duckdb.connect()
rows = con.execute("""
WITH bought AS (SELECT customer, (make_timestamptz(us) AT TIME ZONE 'America/New_York')::DATE AS day FROM p),
known AS (SELECT customer, date_trunc('month', day)::DATE AS month FROM bought WHERE day <= $date::DATE),
cohorts AS (SELECT customer, min(month) AS cohort FROM known GROUP BY customer),
sizes AS (SELECT cohort, count(*) AS size FROM cohorts GROUP BY cohort),
months AS (SELECT unnest(generate_series((SELECT min(month) FROM known)::TIMESTAMP, $date::TIMESTAMP, INTERVAL 1 MONTH))::DATE AS month)
SELECT s.cohort::VARCHAR, m.month::VARCHAR, date_diff('month', s.cohort, m.month), any_value(s.size), count(DISTINCT k.customer), last_day(m.month) <= $date::DATE
FROM sizes s JOIN months m ON m.month >= s.cohort
LEFT JOIN (known JOIN cohorts USING (customer)) k ON k.cohort = s.cohort AND k.month = m.month
GROUP BY s.cohort, m.month ORDER BY s.cohort, m.month""", {"date": job["date"]}).fetchall()
want = [list(r) for r in rows]
faults = [f"{k}: {len(job[k])} rows, SQL has {len(want)}; first that differs: {next(((a, b) for a, b in zip(job[k], want) if a != b), None)}" for k in ("one", "three") if job[k] != want]
print(json.dumps({"Rows": len(want), "Faults": faults}))
`, in, &out)
		if out.Rows < 100 {
			t.Errorf("%s: %d rows to compare", date, out.Rows)
		}
		for _, f := range out.Faults {
			t.Errorf("%s: %s", date, f)
		}
	}
}

// Nobody has bought: there are no rows, and no month before the first.
func TestNobodyHasBought(t *testing.T) {
	c := NewCounter(20000, 2)
	c.Count(1, &timeline.Events{Day: []int32{19000}, Role: []datasets.Role{datasets.View}})
	if rows := c.Rows(); len(rows) != 0 {
		t.Errorf("%d rows", len(rows))
	}
	// Before 1970, and twice on a day.
	c.Count(0, &timeline.Events{Day: []int32{-1, -1, 0}, Role: []datasets.Role{datasets.Purchase, datasets.Purchase, datasets.Purchase}})
	rows := c.Rows()
	if len(rows) == 0 || rows[0] != (Row{Cohort: -31, Month: -31, Since: 0, Size: 1, Bought: 1, Over: true}) || rows[1] != (Row{Cohort: -31, Month: 0, Since: 1, Size: 1, Bought: 1, Over: true}) || rows[2].Bought != 0 {
		t.Errorf("%+v", rows[:min(3, len(rows))])
	}
}
