// Package modeltest holds what every model must satisfy, as test suites that
// each model's own tests call, and the bridge to the Python oracles.
package modeltest

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/models"
)

// A Clusterer adapts a clustering method to CheckClusterer.
type Clusterer struct {
	Package string // the prefix of its error messages
	K       int    // clusters that Fit makes, 2 to 6
	// Fit clusters x with row weights (nil: all 1) and that many workers.
	Fit  func(ctx context.Context, x models.Matrix, weights []float64, workers int) (Clustering, []int, error)
	Load func(data []byte) (Clustering, error)
}

// A Clustering is a fitted model as CheckClusterer needs it.
type Clustering interface {
	Predict(labels []int, dist []float64, x models.Matrix) error
	Centres() models.Matrix // K×d
	Bytes() ([]byte, error) // what would be saved
}

// Blobs are n rows of three columns around k centres on a grid, overlapping a
// little, in an order in which the clusters alternate.
func Blobs(n, k int, seed uint64) models.Matrix {
	r := rand.New(rand.NewPCG(seed, 0))
	x := models.NewMatrix([]string{"a", "b", "c"}, n)
	for i := range n {
		// Cluster c is drawn less often the higher c is, so sizes differ.
		c := min(r.IntN(k), r.IntN(k))
		row := x.Row(i)
		row[0] = 6*float64(c%2) + r.NormFloat64()
		row[1] = 6*float64(c/2%2) + r.NormFloat64()
		row[2] = 6*float64(c/4) + r.NormFloat64()
	}
	return x
}

// CheckClusterer runs the suite: refitting and any number of workers give the
// same bytes; saving and loading is exact; a batch equals its rows one by one;
// labels agree with the centres; rows of weight 0 are as if removed; what
// cannot be clustered is refused with a message that locates it; a cancelled
// context stops the fit; inputs are never written to.
func CheckClusterer(t *testing.T, c Clusterer) {
	x := Blobs(3000, c.K, 17)
	pristine := slices.Clone(x.Data)
	n, d := x.Rows(), x.Cols()
	must := func(t *testing.T, x models.Matrix, w []float64, workers int) (Clustering, []int, []byte) {
		t.Helper()
		m, labels, err := c.Fit(t.Context(), x, w, workers)
		if err != nil {
			t.Fatal(err)
		}
		b, err := m.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		return m, labels, b
	}
	model, labels, saved := must(t, x, nil, 1)

	t.Run("same bytes for any workers", func(t *testing.T) {
		for _, workers := range []int{1, 2, 3, 8} {
			_, l, b := must(t, x, nil, workers)
			if !bytes.Equal(b, saved) {
				t.Errorf("%d workers saved other bytes:\n%s\n%s", workers, b, saved)
			}
			if !slices.Equal(l, labels) {
				t.Errorf("%d workers gave other labels", workers)
			}
		}
	})

	t.Run("labels agree with the nearest centres", func(t *testing.T) {
		if len(labels) != n {
			t.Fatalf("%d labels for %d rows", len(labels), n)
		}
		centres := model.Centres()
		if centres.Rows() != c.K {
			t.Fatalf("%d centres, want %d", centres.Rows(), c.K)
		}
		count := make([]int, c.K)
		for i, l := range labels {
			if l < 0 || l >= c.K {
				t.Fatalf("row %d has label %d, want 0 to %d", i, l, c.K-1)
			}
			count[l]++
			at := func(k int) (s float64) {
				for j, v := range x.Row(i) {
					s += (v - centres.Row(k)[j]) * (v - centres.Row(k)[j])
				}
				return s
			}
			for k := range c.K {
				if at(k) < at(l)*(1-1e-12) {
					t.Fatalf("row %d is labelled %d at squared distance %v; %d is at %v", i, l, at(l), k, at(k))
				}
			}
		}
		if slices.Contains(count, 0) {
			t.Errorf("an empty cluster: sizes %v", count)
		}
		if !slices.IsSortedFunc(count, func(a, b int) int { return b - a }) {
			t.Errorf("clusters are not numbered by descending size: %v", count)
		}
	})

	t.Run("predicts what it fitted, batch and row by row", func(t *testing.T) {
		got, dist := make([]int, n), make([]float64, n)
		if err := model.Predict(got, dist, x); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, labels) {
			t.Error("Predict on the fitted rows differs from the fit's labels")
		}
		one, oneDist := make([]int, 1), make([]float64, 1)
		for i := range n {
			if err := model.Predict(one, oneDist, models.Matrix{Names: x.Names, Data: x.Row(i)}); err != nil {
				t.Fatal(err)
			}
			if one[0] != got[i] || oneDist[0] != dist[i] {
				t.Fatalf("row %d alone: label %d at %v; in the batch: %d at %v", i, one[0], oneDist[0], got[i], dist[i])
			}
		}
	})

	t.Run("save and load are exact", func(t *testing.T) {
		loaded, err := c.Load(saved)
		if err != nil {
			t.Fatal(err)
		}
		again, err := loaded.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again, saved) {
			t.Errorf("loading and saving changed the bytes:\n%s\n%s", again, saved)
		}
		a, b := make([]float64, n), make([]float64, n)
		if err := errors.Join(model.Predict(nil, a, x), loaded.Predict(nil, b, x)); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(a, b) {
			t.Error("a loaded model measures other distances")
		}
		for _, broken := range [][]byte{nil, []byte("{}"), saved[:len(saved)/2]} {
			if _, err := c.Load(broken); err == nil || !strings.HasPrefix(err.Error(), c.Package+": ") {
				t.Errorf("Load(%.20q…): %v, want an error that starts with %q", broken, err, c.Package)
			}
		}
	})

	t.Run("a row of weight 0 is as if removed", func(t *testing.T) {
		w := make([]float64, n)
		kept := models.Matrix{Names: x.Names}
		var keptW []float64
		for i := range w {
			w[i] = float64(i % 4)
			if i%4 > 0 {
				kept.Data = append(kept.Data, x.Row(i)...)
				keptW = append(keptW, w[i])
			}
		}
		_, l, b := must(t, x, w, 2)
		_, kl, kb := must(t, kept, keptW, 2)
		if !bytes.Equal(b, kb) {
			t.Errorf("weights of 0 saved other bytes than removal:\n%s\n%s", b, kb)
		}
		for i, k := 0, 0; i < n; i++ {
			if i%4 > 0 {
				if l[i] != kl[k] {
					t.Fatalf("row %d: label %d with weights of 0, %d with those rows removed", i, l[i], kl[k])
				}
				k++
			}
		}
		if bytes.Equal(b, saved) {
			t.Error("weights changed nothing")
		}
	})

	t.Run("refuses what it cannot cluster", func(t *testing.T) {
		refused := func(what string, x models.Matrix, w []float64, want ...string) {
			t.Helper()
			_, _, err := c.Fit(t.Context(), x, w, 1)
			for _, s := range append(want, c.Package+": ") {
				if err == nil || !strings.Contains(err.Error(), s) {
					t.Errorf("%s: %v, want %q in the error", what, err, s)
				}
			}
		}
		for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			bad := models.Matrix{Names: x.Names, Data: slices.Clone(x.Data)}
			bad.Data[41*d+1] = v
			refused("a value that is not finite", bad, nil, "row 41", "column 1 (b)")
			if err := model.Predict(make([]int, n), nil, bad); err == nil || !strings.Contains(err.Error(), "row 41, column 1 (b)") {
				t.Errorf("Predict of %v: %v, want its row and column", v, err)
			}
		}
		refused("no rows", models.NewMatrix(x.Names, 0), nil, "empty")
		refused("no columns", models.Matrix{}, nil, "empty")
		refused("ragged rows", models.Matrix{Names: x.Names, Data: x.Data[:d+1]}, nil, "do not fill rows")
		refused("too few distinct rows", models.NewMatrix(x.Names, 50), nil, "distinct rows")
		refused("too few rows", models.Matrix{Names: x.Names, Data: x.Data[:d]}, nil, "rows")
		w := make([]float64, n)
		refused("no weight", x, w, "0 rows of positive weight")
		w[7] = -1
		refused("a negative weight", x, w, "weight of row 7")
		refused("too few weights", x, w[:5], "5 weights for 3000 rows")
		swapped := models.Matrix{Names: []string{"b", "a", "c"}, Data: x.Data}
		if err := model.Predict(make([]int, n), nil, swapped); err == nil {
			t.Error("Predict took columns in another order")
		}
	})

	t.Run("stops when cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := c.Fit(ctx, x, nil, 2); !errors.Is(err, context.Canceled) {
			t.Errorf("Fit on a cancelled context: %v", err)
		}
	})

	if !slices.Equal(x.Data, pristine) {
		t.Error("the input was written to")
	}
}
