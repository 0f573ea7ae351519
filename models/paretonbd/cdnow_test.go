package paretonbd_test

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

	"github.com/shoal-data/shoal/models/metrics"
	"github.com/shoal-data/shoal/models/paretonbd"
	"github.com/shoal-data/shoal/models/repeat"
)

// cdnow is the CDNOW 1/10 sample (Fader & Hardie 2001) in weeks, calibrated to
// 1997-09-30, and the purchase days of the 39 weeks after.
func cdnow(t testing.TB) (h repeat.Histories, holdout []float64) {
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
	}
	rows, err := parquet.ReadFile[row](path)
	if err != nil {
		t.Fatal(err)
	}
	days := make(map[string][]int)
	for _, r := range rows {
		day := int(r.EventTime.Unix() / 86400)
		if !slices.Contains(days[r.CustomerID], day) {
			days[r.CustomerID] = append(days[r.CustomerID], day)
		}
	}
	ids := make([]string, 0, len(days))
	for id := range days {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	end := int(time.Date(1997, 9, 30, 0, 0, 0, 0, time.UTC).Unix() / 86400)
	for _, id := range ids {
		d := days[id]
		slices.Sort(d)
		var x, last, after int
		for _, day := range d[1:] {
			if day <= end {
				x, last = x+1, day-d[0]
			} else {
				after++
			}
		}
		h.X = append(h.X, float64(x))
		h.TX = append(h.TX, float64(last)/7)
		h.T = append(h.T, float64(end-d[0])/7)
		holdout = append(holdout, float64(after))
	}
	return h, holdout
}

func sum(x []float64) (s float64) {
	for _, v := range x {
		s += v
	}
	return s
}

// TestCDNOW's figures: CLVTools' test_correctness_pnbd_nocovstaticcov.R prints
// −9594.976 and r, α, s, β = .55315, 10.57633, .60625, 11.67150 with standard errors
// .0476264, .8427222, .1872594, 6.2105448; the further digits are an independent
// maximisation of the same likelihood on raw dates. The surface is flat, so the
// likelihood is the test and the parameters are compared loosely.
func TestCDNOW(t *testing.T) {
	h, holdout := cdnow(t)
	m, warnings, err := paretonbd.Fit(context.Background(), repeat.DefaultParams(), h)
	if err != nil || len(warnings) != 0 {
		t.Fatal(warnings, err)
	}
	t.Logf("%+v", *m)
	if m.LogLikelihood < -9594.9761789-1e-6 || m.LogLikelihood > -9594.976178 {
		t.Errorf("log-likelihood %.8f, want −9594.9761789", m.LogLikelihood)
	}
	for i, want := range [4]float64{.5532770, 10.5776832, .6062399, 11.6687319} {
		if got := [4]float64{m.R, m.Alpha, m.S, m.Beta}[i]; math.Abs(got-want) > 2e-4*want {
			t.Errorf("r, α, s, β [%d] = %.7f, want %.7f", i, got, want)
		}
	}
	// Holdout figures of the same fit, computed with numpy.
	f, err := m.Predict(nil, h, 39)
	if err != nil {
		t.Fatal(err)
	}
	byExpected, byAlive := make([]float64, len(f)), make([]float64, len(f))
	for i, v := range f {
		byExpected[i], byAlive[i] = v.Expected, v.Alive
	}
	mae, decile := regression(t, holdout, byExpected)
	for _, c := range []struct {
		name           string
		got, want, tol float64
	}{
		{"AUC by expected purchases", auc(byExpected, holdout), .77874, 1e-5},
		{"AUC by P(alive)", auc(byAlive, holdout), .72622, 1e-5},
		{"mean absolute error", mae, .754523, 1e-6},
		{"total", sum(byExpected), 1666, .5},
		{"top decile's share", decile, .4740, 1e-4},
	} {
		if math.Abs(c.got-c.want) > c.tol {
			t.Errorf("holdout %s is %v, want %v", c.name, c.got, c.want)
		}
	}
}

func regression(t *testing.T, actual, predicted []float64) (mae, decile float64) {
	t.Helper()
	r, err := metrics.NewRegression(actual, predicted)
	if err != nil {
		t.Fatal(err)
	}
	mae, _ = r.MAE()
	decile, _ = r.Captured(236. / 2357) // whole customers, as the figures have it
	return mae, decile
}

// auc is the chance that a buyer scores above a non-buyer, ties counting half.
func auc(score, bought []float64) float64 {
	var wins, pairs float64
	for i, b := range bought {
		if b == 0 {
			continue
		}
		for j, c := range bought {
			if c != 0 {
				continue
			}
			pairs++
			switch {
			case score[i] > score[j]:
				wins++
			case score[i] == score[j]:
				wins += .5
			}
		}
	}
	return wins / pairs
}
