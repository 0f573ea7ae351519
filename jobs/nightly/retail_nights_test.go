package nightly

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/tables"
	"github.com/shoal-data/shoal/internal/pyoracle"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/models/metrics"
)

// retailSample writes a tenth of Online Retail's customers.
const retailSample = `
import duckdb, json, sys
a = json.load(sys.stdin)
duckdb.execute(f"COPY (SELECT * FROM '{a['from']}' WHERE hash(customer_id) % 10 = 0 AND customer_id IS NOT NULL ORDER BY event_time, customer_id) TO '{a['to']}' (FORMAT parquet)")
print("{}")
`

// assignment reads who is in which segment, and the segments' names.
func assignment(t *testing.T, out, date string) (of map[string]int, named map[int]string) {
	t.Helper()
	m, ok, err := publish.ReadCurrent(t.Context(), storage.Local(), out, date)
	must(t, err)
	if !ok {
		t.Fatalf("%s is not published", date)
	}
	of, named = map[string]int{}, map[int]string{}
	for _, path := range m.Paths(out, "customer_scores") {
		f, err := storage.Local().Open(t.Context(), path)
		must(t, err)
		in, err := tables.Open(f, f.Size())
		must(t, err)
		for rec, err := range in.Records(t.Context(), "customer_id", "segment_id", "segment_name") {
			must(t, err)
			for i := range int(rec.NumRows()) {
				if id := rec.Column(1).(*array.Int32); id.IsValid(i) {
					of[rec.Column(0).ValueStr(i)] = int(id.Value(i))
					named[int(id.Value(i))] = rec.Column(2).(*array.String).Value(i)
				}
			}
		}
		f.Close()
	}
	return of, named
}

// retailNights makes some nights' runs, one directory for all or one each, and
// tells where an id changed its meaning: its customers were others, or its name was.
func retailNights(t *testing.T, c *config.Config, nights int, one bool) (faults []string, lowest float64) {
	var before map[string]int
	names := map[int]string{}
	lowest = 1
	day := time.Date(2011, 11, 10, 0, 0, 0, 0, time.UTC)
	out := t.TempDir()
	for n := range nights {
		date := day.AddDate(0, 0, n).Format(time.DateOnly)
		c.Out = out
		if !one {
			c.Out = fmt.Sprintf("%s/%d", out, n)
		}
		if _, err := night(t, c, date, nil); err != nil {
			t.Fatal(err)
		}
		of, named := assignment(t, c.Out, date)
		if before != nil {
			shared, a, b := map[int]map[int]int{}, []int{}, []int{}
			for who, id := range of {
				if was, ok := before[who]; ok {
					if shared[id] == nil {
						shared[id] = map[int]int{}
					}
					shared[id][was]++
					a, b = append(a, was), append(b, id)
				}
			}
			if v, ok := metrics.ARI(a, b); ok {
				lowest = min(lowest, v)
			}
			for id, from := range shared {
				total := 0
				for _, n := range from {
					total += n
				}
				if slices.Contains(a, id) && 2*from[id] < total && !strings.HasPrefix(named[id], "inactive") { // these are one by rule
					faults = append(faults, fmt.Sprintf("%s: of %d customers in segment %d, %d were in it the night before", date, total, id, from[id]))
				}
			}
		}
		for id, name := range named {
			if was, ok := names[id]; ok && was != name {
				faults = append(faults, fmt.Sprintf("%s: segment %d is named %q, was %q", date, id, name, was))
			}
			names[id] = name
		}
		before = of
	}
	return faults, lowest
}

// Thirty nights of Online Retail, day by day: no id changes its meaning. Without the
// run before to continue, ids do.
func TestThirtyNightsOfOnlineRetail(t *testing.T) {
	if testing.Short() {
		t.Skip("thirty-eight nights")
	}
	data := pyoracle.Data(t)
	sample := t.TempDir()
	var nothing struct{}
	pyoracle.Run(t, retailSample, map[string]any{"from": data + "/online_retail.parquet", "to": sample + "/online_retail.parquet"}, &nothing)
	c := exampleConfig(t, "online_retail", sample)
	c.Targets = nil
	c.Segmentations[0].K = config.AutoInt{N: 5}
	faults, lowest := retailNights(t, c, 30, true)
	for _, f := range faults {
		t.Error(f)
	}
	t.Logf("lowest agreement between nights %.3f", lowest)
	if faults, _ := retailNights(t, c, 8, false); len(faults) == 0 {
		t.Error("without the run before, nothing was found wrong: the test cannot fail")
	}
}
