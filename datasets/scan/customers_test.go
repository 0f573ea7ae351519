package scan_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
)

// customersAlone reads some customers one by one and holds what comes against
// their part of the rows of everybody. It returns how many row groups the
// statistics of the customers spared.
func customersAlone(t *testing.T, name string, p *scan.Plan, opts scan.Options, everybody [][]string) (skipped int) {
	t.Helper()
	var ids []string
	for _, r := range everybody {
		ids = append(ids, r[0])
	}
	ids = slices.Compact(ids) // rows are sorted
	if len(ids) == 0 {
		return 0
	}
	for _, shown := range slices.Compact([]string{ids[0], ids[len(ids)/2], ids[len(ids)-1]}) {
		id, err := p.IDType.Parse(strings.TrimPrefix(shown, "="))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		opts.Customers = scan.OneCustomer(id)
		got, rep, err := eventRows(t, p, opts)
		if err != nil {
			t.Errorf("%s: customer %s alone: %v", name, shown, err)
			continue
		}
		want := slices.DeleteFunc(slices.Clone(everybody), func(r []string) bool { return r[0] != shown })
		if diff := firstDifferences(got, want); diff != "" {
			t.Errorf("%s: customer %s alone has %d events, among everybody %d:\n%s", name, shown, len(got), len(want), diff)
		}
		if rep.Rows != rep.RowsAccepted+rep.RowsAfter+rep.RowsRejected+rep.RowsWithheld+rep.RowsOthers {
			t.Errorf("%s: the report of customer %s does not add up: %+v", name, shown, rep)
		}
		skipped += rep.RowGroupsSkipped
	}
	return skipped
}

// One customer's rows are judged as they are among everybody's, whatever the
// layout; nothing is judged of the others, and what cannot hold the customer is
// not read.
func TestOneCustomer(t *testing.T) {
	rows := manyRows(6000)
	slices.SortStableFunc(rows, func(a, b textRow) int {
		text := func(s *string) string {
			if s == nil {
				return ""
			}
			return *s
		}
		return strings.Compare(text(a.Customer), text(b.Customer))
	})
	dir := t.TempDir()
	writeRows(t, filepath.Join(dir, "sorted.parquet"), 100, rows)
	mixed := slices.Clone(rows)
	rand.New(rand.NewPCG(5, 5)).Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	writeRows(t, filepath.Join(dir, "mixed.parquet"), 100, mixed)
	counts, busiest := map[string]int{}, "c1"
	for _, r := range rows {
		if r.Customer != nil && strings.HasPrefix(*r.Customer, "c") {
			counts[*r.Customer]++
			if counts[*r.Customer] > counts[busiest] {
				busiest = *r.Customer
			}
		}
	}
	var alone []textRow
	for _, r := range rows {
		if r.Customer != nil && *r.Customer == busiest {
			alone = append(alone, r)
		}
	}
	if len(alone) < 8 {
		t.Fatal("no customer has enough rows to try anything")
	}
	writeRows(t, filepath.Join(dir, "alone.parquet"), 100, alone)
	opts := scan.DefaultOptions()
	opts.Workers = 2
	want, wantReport, err := eventRows(t, mustPlan(t, textSource(filepath.Join(dir, "alone.parquet"))), opts)
	if err != nil {
		t.Fatal(err)
	}
	if len(want) == 0 || wantReport.RowsRejected == 0 || wantReport.RowsWithheld == 0 {
		t.Fatalf("the customer does not try everything: %+v", wantReport)
	}
	opts.Customers = scan.OneCustomer(busiest)
	for _, tc := range []struct {
		file            string
		skipped, peeked func(n int) bool
	}{
		{"sorted.parquet", func(n int) bool { return n >= 30 }, func(n int) bool { return n <= 26 }},
		{"mixed.parquet", func(n int) bool { return n == 0 }, func(n int) bool { return n > 20 }},
	} {
		got, rep, err := eventRows(t, mustPlan(t, textSource(filepath.Join(dir, tc.file))), opts)
		if err != nil {
			t.Fatal(err)
		}
		if diff := firstDifferences(got, want); diff != "" {
			t.Errorf("%s: %s", tc.file, diff)
		}
		if !tc.skipped(rep.RowGroupsSkipped) || !tc.peeked(rep.RowGroupsPeeked) {
			t.Errorf("%s: of 60 row groups %d were skipped and %d peeked into", tc.file, rep.RowGroupsSkipped, rep.RowGroupsPeeked)
		}
		a, b := layoutFree(wantReport), layoutFree(rep)
		b.Rows, b.RowsOthers, b.RowGroupsPeeked, b.PagesWithoutChecksum = a.Rows, 0, 0, a.PagesWithoutChecksum
		if diff := cmp.Diff(a, b); diff != "" {
			t.Errorf("%s: the report of one customer (-alone +among others):\n%s", tc.file, diff)
		}
	}
	// Everybody alone, also who is first or last in a row group, is everybody.
	p := mustPlan(t, textSource(filepath.Join(dir, "sorted.parquet")))
	opts.Customers = nil
	_, all, err := eventRows(t, p, opts)
	if err != nil {
		t.Fatal(err)
	}
	counts["ann"], counts["bob"] = 1, 1
	accepted := int64(0)
	for id := range counts {
		opts.Customers = scan.OneCustomer(id)
		_, rep, err := eventRows(t, p, opts)
		if err != nil || rep.Rows != rep.RowsAccepted+rep.RowsAfter+rep.RowsRejected+rep.RowsWithheld+rep.RowsOthers {
			t.Fatalf("the report of %s does not add up (%v): %+v", id, err, rep)
		}
		accepted += rep.RowsAccepted
	}
	if accepted != all.RowsAccepted {
		t.Errorf("customers one by one have %d events, everybody has %d", accepted, all.RowsAccepted)
	}
	opts.Customers = scan.OneCustomer("nobody")
	got, rep, err := eventRows(t, mustPlan(t, textSource(filepath.Join(dir, "mixed.parquet"))), opts)
	if err != nil || len(got) != 0 || rep.RowsOthers != rep.Rows {
		t.Errorf("nobody has %d events, %d of %d rows are others' (%v)", len(got), rep.RowsOthers, rep.Rows, err)
	}
	opts.Customers = &scan.CustomerFilter{}
	if _, _, err := eventRows(t, mustPlan(t, textSource(filepath.Join(dir, "mixed.parquet"))), opts); err == nil {
		t.Error("a filter without Match is taken")
	}
}

// The outline counts what Read then reads.
func TestOutline(t *testing.T) {
	const day = 86_400_000_000
	var rows []dayRow
	for d := range int32(1000) {
		rows = append(rows, dayRow{d, 19000 + d, int64(19000+d) * day, int64(19000+d) * 86400})
	}
	dir := t.TempDir()
	writeRows(t, filepath.Join(dir, "a.parquet"), 100, rows)
	type idRow struct {
		ID int32 `parquet:"id"`
	}
	for _, d := range []string{"2024-01-01", "2024-01-03"} {
		writeRows(t, filepath.Join(dir, "ds="+d, "b.parquet"), 10, []idRow{{1}, {2}})
	}
	p := mustPlan(t,
		scan.Source{Name: "one", Paths: []string{filepath.Join(dir, "a.parquet")}, TimeUnit: scan.UnitSecond, Columns: map[datasets.Field]string{datasets.CustomerID: "id", datasets.EventTime: "epoch"}},
		scan.Source{Name: "two", Paths: []string{filepath.Join(dir, "ds=*", "b.parquet")}, Columns: map[datasets.Field]string{datasets.CustomerID: "id", datasets.EventTime: "ds"}},
		scan.Source{Name: "three", Paths: []string{filepath.Join(dir, "a.parquet")}, Columns: map[datasets.Field]string{datasets.CustomerID: "id", datasets.EventTime: "epoch"}})
	opts := scan.DefaultOptions()
	opts.Before = 19725 * day // 2024-01-03
	out := p.Outline(opts.Before)
	_, rep, err := eventRows(t, p, opts)
	if err != nil {
		t.Fatal(err)
	}
	var groups, skipped int
	var rowsSkipped int64
	for _, o := range out {
		groups += o.RowGroups
		skipped += o.RowGroupsSkipped
		rowsSkipped += o.RowsSkipped
	}
	if groups != p.RowGroups || skipped != rep.RowGroupsSkipped || rowsSkipped != rep.RowsSkipped || skipped != 3 {
		t.Errorf("%d row groups, %d skipped with %d rows; the plan has %d, and reading skipped %d with %d", groups, skipped, rowsSkipped, p.RowGroups, rep.RowGroupsSkipped, rep.RowsSkipped)
	}
	got := fmt.Sprintf("%v %d %d, %v %d %d, %v", out[0].TimesKnown, out[0].MinTime/day, out[0].MaxTime/day, out[1].TimesKnown, out[1].MinTime/day, out[1].MaxTime/day, out[2].TimesKnown)
	if want := "true 19000 19799, true 19723 19723, false"; got != want {
		t.Errorf("times %s, want %s", got, want)
	}
	if c := out[1].Columns; len(c) != 2 || c[0].FilesHaving != 2 || c[0].Bytes == 0 || c[1].FilesByPath != 2 || c[1].Bytes != 0 {
		t.Errorf("columns of the partitioned source: %+v", c)
	}
}
