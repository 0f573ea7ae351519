package partition

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/shoal-data/shoal/datasets/synth/internal/behaviour"
)

// event is a row as a reader sees it.
type event struct {
	CustomerID *string  `parquet:"customer_id,optional"`
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

func readFile[T any](t testing.TB, path string) []T {
	t.Helper()
	rows, err := parquet.ReadFile[T](path)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return rows
}

// TestGroups encodes more rows than a behaviour.Row group holds, in every column nulls
// and values, and reads them with parquet-go, which checks the checksums.
func TestGroups(t *testing.T) {
	layout := Layout{Start: time.Date(2024, 2, 10, 0, 0, 0, 0, time.UTC), Currency: "EUR"}
	r := rand.New(rand.NewPCG(5, 1))
	types := len(behaviour.EventTypes())
	chance := func(p float64) bool { return r.Float64() < p }
	var pool Pool
	rows := make([]behaviour.Row, 2*GroupRows+777)
	for i := range rows {
		x := &rows[i]
		*x = behaviour.Row{
			Time: layout.Start.UnixMicro() + r.Int64N(4*24*60*60*1e6), Event: r.Uint64(),
			Kind: uint8(1 + r.IntN(types)), Amount: behaviour.NullAmount,
		}
		if chance(.9) {
			x.Customer = uint32(1 + r.IntN(1e9-1))
		}
		if chance(.3) {
			x.Amount = int32(r.IntN(2_000_000)) - 1_000_000
		}
		if chance(.4) {
			x.Product, x.Session = uint16(1+r.IntN(320)), r.Uint64()
		}
		if chance(.5) {
			x.Channel, x.Campaign, x.Quantity, x.Rating = uint8(r.IntN(10)), uint16(r.IntN(90)), uint8(r.IntN(256)), uint8(r.IntN(6))
		}
	}
	for _, n := range []int{1, 7, 8, 9, pageRows - 1, pageRows, pageRows + 1, GroupRows, len(rows)} {
		path := filepath.Join(t.TempDir(), "events", "x.parquet")
		e := NewEncoder(layout, &zstd.Codec{Level: zstd.SpeedFastest})
		f := NewFile(path, &pool)
		// In three parts, of which one spans behaviour.Row groups.
		for _, part := range [][]behaviour.Row{rows[:n/5], rows[n/5 : n/5], rows[n/5 : n]} {
			if err := f.Add(e, part); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Finish(e); err != nil {
			t.Fatal(err)
		}
		got := readFile[event](t, path)
		if len(got) != n {
			t.Fatalf("%d rows read of %d", len(got), n)
		}
		for from := 0; from < n; from += GroupRows {
			group := slices.Clone(rows[from:min(from+GroupRows, n)])
			slices.SortStableFunc(group, func(a, b behaviour.Row) int { return int(a.Time - b.Time) })
			for i, want := range group {
				if msg := same(layout, want, got[from+i]); msg != "" {
					t.Fatalf("%d rows, behaviour.Row %d: %s: wrote %+v, read %+v", n, from+i, msg, want, got[from+i])
				}
			}
		}
		if n == len(rows) {
			checkStatistics(t, path, rows)
			checkCorruption(t, path)
		}
	}
}

func same(l Layout, w behaviour.Row, g event) string {
	text := func(is bool, s string) string {
		if is {
			return s
		}
		return ""
	}
	if (g.CustomerID == nil) != (w.Customer == 0) || g.CustomerID != nil && *g.CustomerID != fmt.Sprintf("C%09d", w.Customer) {
		return "customer_id"
	}
	if (g.Amount == nil) != (w.Amount == behaviour.NullAmount) || g.Amount != nil && math.Round(*g.Amount*100) != float64(w.Amount) {
		return "amount"
	}
	if (g.Quantity == nil) != (w.Quantity == 0) || g.Quantity != nil && *g.Quantity != int32(w.Quantity) {
		return "quantity"
	}
	if (g.Rating == nil) != (w.Rating == 0) || g.Rating != nil && *g.Rating != int32(w.Rating) {
		return "rating"
	}
	product, category, campaign := "", "", ""
	if w.Product != 0 {
		category = []string{"fashion", "home", "electronics", "beauty", "toys", "sports", "grocery", "books"}[(w.Product-1)/40]
		product = fmt.Sprintf("%.3s-%04d", category, (w.Product-1)%40)
	}
	if w.Campaign != 0 {
		c := int(w.Campaign) - 1
		campaign = behaviour.Media[c%6] + "-" + l.Start.AddDate(0, 0, 7*(c/6)).Format("20060102")
	}
	for _, c := range []struct{ name, want, got string }{
		{"event_time", fmt.Sprint(w.Time), fmt.Sprint(g.Time)}, {"event_type", behaviour.TypeName(w.Kind), g.Type},
		{"currency", text(w.Amount != behaviour.NullAmount, "EUR"), g.Currency}, {"product_id", product, g.Product}, {"category", category, g.Category},
		{"channel", behaviour.ChannelName(w.Channel), g.Channel}, {"campaign_id", campaign, g.Campaign},
		{"session_id", text(w.Session != 0, fmt.Sprintf("%016x", w.Session)), g.Session}, {"event_id", fmt.Sprintf("%016x", w.Event), g.EventID},
	} {
		if c.want != c.got {
			return c.name
		}
	}
	return ""
}

// checkStatistics compares the bounds and null counts in the footer with rows.
func checkStatistics(t *testing.T, path string, rows []behaviour.Row) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, _ := f.Stat()
	pf, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	meta := pf.Metadata()
	if len(meta.RowGroups) != 3 || meta.NumRows != int64(len(rows)) {
		t.Fatalf("%d behaviour.Row groups of %d rows", len(meta.RowGroups), meta.NumRows)
	}
	group := rows[GroupRows : 2*GroupRows]
	nulls, least, most := int64(0), "", ""
	first, last := group[0].Time, group[0].Time
	for _, r := range group {
		first, last = min(first, r.Time), max(last, r.Time)
		if r.Customer == 0 {
			nulls++
			continue
		}
		id := fmt.Sprintf("C%09d", r.Customer)
		if least == "" || id < least {
			least = id
		}
		most = max(most, id)
	}
	c := meta.RowGroups[1].Columns[colCustomer].MetaData.Statistics
	if c.NullCount != nulls || string(c.MinValue) != least || string(c.MaxValue) != most {
		t.Errorf("customer_id is %s to %s with %d nulls, footer says %s to %s with %d", least, most, nulls, c.MinValue, c.MaxValue, c.NullCount)
	}
	s := meta.RowGroups[1].Columns[colTime].MetaData.Statistics
	if int64(le(s.MinValue)) != first || int64(le(s.MaxValue)) != last {
		t.Errorf("event_time is %d to %d, footer says %d to %d", first, last, le(s.MinValue), le(s.MaxValue))
	}
}

func le(b []byte) (v uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		v = v<<8 | uint64(b[i])
	}
	return v
}

// checkCorruption flips a bit in a page: the checksum must tell.
func checkCorruption(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 4
	bad := path + ".bad"
	if err := os.WriteFile(bad, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := parquet.ReadFile[event](bad); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a flipped bit reads as %v", err)
	}
}
