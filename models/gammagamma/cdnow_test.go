package gammagamma_test

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/shoal-data/shoal/models/gammagamma"
)

// cdnow is the CDNOW 1/10 sample to 1997-09-30, in customer order: repeat days
// and the mean of their totals in dollars, the first day left out.
func cdnow(t *testing.T) gammagamma.Spends {
	t.Helper()
	dir := os.Getenv("DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	path := filepath.Join(dir, "cdnow_sample.parquet")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("no %s; DATA names the directory of the public data sets", path)
	}
	type row struct {
		CustomerID string    `parquet:"customer_id,optional"`
		EventTime  time.Time `parquet:"event_time,timestamp(microsecond)"`
		Amount     float64   `parquet:"amount,optional"`
	}
	rows, err := parquet.ReadFile[row](path)
	if err != nil {
		t.Fatal(err)
	}
	totals := make(map[string]map[int]float64)
	first := make(map[string]int)
	end := int(time.Date(1997, 9, 30, 0, 0, 0, 0, time.UTC).Unix() / 86400)
	for _, r := range rows {
		day := int(r.EventTime.Unix() / 86400)
		if totals[r.CustomerID] == nil {
			totals[r.CustomerID] = make(map[int]float64)
			first[r.CustomerID] = day
		}
		first[r.CustomerID] = min(first[r.CustomerID], day)
		if day <= end {
			totals[r.CustomerID][day] += r.Amount
		}
	}
	ids := make([]string, 0, len(totals))
	for id := range totals {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	var s gammagamma.Spends
	for _, id := range ids {
		days := make([]int, 0, len(totals[id]))
		for day := range totals[id] {
			days = append(days, day)
		}
		slices.Sort(days)
		var x, sum float64
		for _, day := range days {
			if day > first[id] {
				x++
				sum += totals[id][day]
			}
		}
		s.X = append(s.X, x)
		if x > 0 {
			sum /= x
		}
		s.M = append(s.M, sum)
	}
	return s
}

// TestCDNOW's figures: Fader & Hardie (2013) print p, q, v = 6.25, 3.74, 15.44
// and CLVTools' test_correctness_gg.R −4055.9177 with the values of the first
// ten customers; the further digits are an independent maximisation of the same
// likelihood on raw dates.
func TestCDNOW(t *testing.T) {
	s := cdnow(t)
	m, warnings, err := gammagamma.Fit(context.Background(), gammagamma.DefaultParams(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v %v", *m, warnings)
	if m.Customers != 946 || len(warnings) != 0 {
		t.Fatalf("fitted %v customers with %v, want 946 without a warning", m.Customers, warnings)
	}
	if m.LogLikelihood < -4055.917695-1e-6 || m.LogLikelihood > -4055.9176 {
		t.Errorf("log-likelihood %.8f, want −4055.917695", m.LogLikelihood)
	}
	for _, c := range []struct {
		name      string
		got, want float64
	}{{"p", m.P, 6.249571}, {"q", m.Q, 3.744225}, {"v", m.V, 15.443525}} {
		if math.Abs(c.got-c.want) > 2e-4*c.want {
			t.Errorf("%s = %.6f, want %.6f", c.name, c.got, c.want)
		}
	}
	got, err := m.Predict(nil, s)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{24.65, 18.91, 35.17, 35.17, 35.17, 71.46, 18.91, 35.17, 27.28, 35.17} {
		if math.Abs(got[i]-want) > .0051 {
			t.Errorf("customer %d is worth %.4f a purchase, want %v", i, got[i], want)
		}
	}
}
