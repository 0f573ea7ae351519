package modeltest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/models"
)

// A Predictor adapts a method that predicts a probability to CheckPredictor.
type Predictor struct {
	Package string        // the prefix of its error messages
	X       models.Matrix // rows to learn from, at least 200, where Y has both labels
	Y       []float64     // 0 or 1, one a row
	// Missing names the columns in which NaN is a value, not a fault.
	Missing []string
	// Fit learns from x, y and row weights w (nil: all 1) with that many workers.
	Fit func(ctx context.Context, x models.Matrix, y, w []float64, workers int) (Predicting, []models.Warning, error)
	// Weighted says that Fit heeds w; it is nil in every call otherwise.
	Weighted bool
	// RepeatTolerance is how far apart probabilities may be with weights of 2 and
	// with rows twice; 0 is 1e-7.
	RepeatTolerance float64
	Load            func(data []byte) (Predicting, error) // the inverse of json.Marshal
}

// Predicting is a fitted model as CheckPredictor needs it; json.Marshal saves it.
type Predicting interface {
	// Predict writes one probability a row of x to dst, allocated when nil.
	Predict(dst []float64, x models.Matrix) ([]float64, error)
}

// CheckPredictor runs the suite: refitting and any number of workers give the
// same bytes; saving and loading is exact; a batch equals its rows one by one;
// predictions are probabilities that beat a constant; rows of weight 0 are as if
// removed and weight 2 is a row twice; what cannot be learnt from or predicted is
// refused with a message that locates it; a cancelled context stops the fit;
// inputs are never written to.
func CheckPredictor(t *testing.T, p Predictor) {
	if n := p.X.Rows(); n < 200 || n != len(p.Y) {
		t.Fatalf("%d rows with %d labels; the suite needs at least 200 of each", n, len(p.Y))
	}
	n, d := p.X.Rows(), p.X.Cols()
	pristineX, pristineY := bitsOf(p.X.Data), slices.Clone(p.Y)
	fit := func(t *testing.T, x models.Matrix, y, w []float64, workers int) (Predicting, []byte) {
		t.Helper()
		m, warnings, err := p.Fit(t.Context(), x, y, w, workers)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range warnings {
			if !strings.HasPrefix(w.Code, p.Package+".") || w.Message == "" {
				t.Errorf("warning %+v: want a code that begins %q and a message", w, p.Package+".")
			}
		}
		saved, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return m, saved
	}
	model, saved := fit(t, p.X, p.Y, nil, 1)
	probs, err := model.Predict(nil, p.X)
	if err != nil {
		t.Fatal(err)
	}

	t.Run("same bytes for any workers", func(t *testing.T) {
		for _, workers := range []int{1, 2, 3, 8} {
			if _, b := fit(t, p.X, p.Y, nil, workers); !bytes.Equal(b, saved) {
				t.Errorf("%d workers saved other bytes:\n%s\n%s", workers, b, saved)
			}
		}
	})

	t.Run("predicts probabilities that beat a constant", func(t *testing.T) {
		var rate, loss, constant float64
		for _, y := range p.Y {
			rate += y / float64(n)
		}
		for i, q := range probs {
			if !(q >= 0 && q <= 1) {
				t.Fatalf("row %d is predicted %v", i, q)
			}
			loss += (q - p.Y[i]) * (q - p.Y[i])
			constant += (rate - p.Y[i]) * (rate - p.Y[i])
		}
		if loss >= constant {
			t.Errorf("squared error %v, of a constant %v", loss, constant)
		}
	})

	t.Run("save and load are exact", func(t *testing.T) {
		loaded, err := p.Load(saved)
		if err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(loaded)
		if err != nil || !bytes.Equal(again, saved) {
			t.Errorf("loaded and saved again: %v\n%s\n%s", err, again, saved)
		}
		if got, err := loaded.Predict(nil, p.X); err != nil || !slices.Equal(got, probs) {
			t.Errorf("the loaded model predicts otherwise, %v", err)
		}
		for _, junk := range []string{"", "{}", "null", "[]", string(saved[:len(saved)/2])} {
			if _, err := p.Load([]byte(junk)); err == nil {
				t.Errorf("loaded %q", junk)
			}
		}
	})

	t.Run("batch equals row by row", func(t *testing.T) {
		dst := make([]float64, n)
		if got, err := model.Predict(dst, p.X); err != nil || &got[0] != &dst[0] || !slices.Equal(dst, probs) {
			t.Errorf("predicting into dst: %v", err)
		}
		for i := range n {
			got, err := model.Predict(nil, models.Matrix{Names: p.X.Names, Data: p.X.Row(i)})
			if err != nil || len(got) != 1 || got[0] != probs[i] {
				t.Fatalf("row %d alone is predicted %v, %v; in the batch %v", i, got, err, probs[i])
			}
		}
	})

	if p.Weighted {
		t.Run("weights are repeats", func(t *testing.T) {
			w := make([]float64, n)
			x, y := models.Matrix{Names: p.X.Names}, []float64(nil)
			for i := range n {
				if i%3 != 0 {
					w[i] = 1
					x.Data, y = append(x.Data, p.X.Row(i)...), append(y, p.Y[i])
				}
			}
			_, got := fit(t, p.X, p.Y, w, 2)
			if _, want := fit(t, x, y, nil, 2); !bytes.Equal(got, want) {
				t.Errorf("rows of weight 0:\n%s\nremoved:\n%s", got, want)
			}
			for i := range n {
				if i%3 == 1 {
					w[i] = 2
					x.Data, y = append(x.Data, p.X.Row(i)...), append(y, p.Y[i])
				}
			}
			weighted, _ := fit(t, p.X, p.Y, w, 2)
			repeated, _ := fit(t, x, y, nil, 2)
			a, errA := weighted.Predict(nil, p.X)
			b, errB := repeated.Predict(nil, p.X)
			if errA != nil || errB != nil {
				t.Fatal(errA, errB)
			}
			for i := range n {
				if math.Abs(a[i]-b[i]) > cmp.Or(p.RepeatTolerance, 1e-7) {
					t.Fatalf("row %d is predicted %v with weights of 2, %v with rows twice", i, a[i], b[i])
				}
			}
		})
	}

	t.Run("refuses what it cannot use", func(t *testing.T) {
		refuse := func(what string, want []string, x models.Matrix, y []float64, predict bool) {
			t.Helper()
			check := func(verb string, err error) {
				t.Helper()
				if err == nil {
					t.Errorf("%s accepted %s", verb, what)
					return
				}
				for _, s := range append(want, p.Package+": ") {
					if !strings.Contains(err.Error(), s) {
						t.Errorf("%s, given %s, says %q, which lacks %q", verb, what, err, s)
					}
				}
			}
			_, _, err := p.Fit(t.Context(), x, y, nil, 1)
			check("Fit", err)
			if predict {
				_, err := model.Predict(nil, x)
				check("Predict", err)
			}
		}
		refuse("no rows", []string{"empty"}, models.Matrix{Names: p.X.Names}, nil, true)
		refuse("no columns", []string{"empty"}, models.Matrix{}, nil, true)
		for j := range d {
			for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
				if math.IsNaN(v) && slices.Contains(p.Missing, p.X.Names[j]) {
					continue
				}
				row := 7 + j
				x := models.Matrix{Names: p.X.Names, Data: slices.Clone(p.X.Data)}
				x.Row(row)[j] = v
				refuse(fmt.Sprintf("%v", v), []string{fmt.Sprintf("row %d", row), p.X.Names[j]}, x, p.Y, true)
			}
		}
		refuse("too few labels", []string{fmt.Sprint(n - 1), fmt.Sprint(n)}, p.X, p.Y[:n-1], false)
		for _, v := range []float64{math.NaN(), .5, -1, 2} {
			y := slices.Clone(p.Y)
			y[11] = v
			refuse(fmt.Sprintf("the label %v", v), []string{"row 11", fmt.Sprint(v)}, p.X, y, false)
		}
		for _, v := range []float64{0, 1} {
			y := make([]float64, n)
			for i := range y {
				y[i] = v
			}
			refuse("one class", []string{"label", fmt.Sprint(v)}, p.X, y, false)
		}
		renamed := models.Matrix{Names: slices.Clone(p.X.Names), Data: p.X.Data}
		renamed.Names[d-1] = "another_column"
		if _, err := model.Predict(nil, renamed); err == nil || !strings.Contains(err.Error(), p.X.Names[d-1]) {
			t.Errorf("Predict, its column %s renamed, says %v", p.X.Names[d-1], err)
		}
		if p.Weighted {
			for _, v := range []float64{math.NaN(), -1, math.Inf(1)} {
				w := make([]float64, n)
				w[5] = v
				if _, _, err := p.Fit(t.Context(), p.X, p.Y, w, 1); err == nil || !strings.Contains(err.Error(), "row 5") {
					t.Errorf("Fit, given the weight %v in row 5, says %v", v, err)
				}
			}
		}
	})

	t.Run("a cancelled context stops the fit", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := p.Fit(ctx, p.X, p.Y, nil, 2); !errors.Is(err, context.Canceled) {
			t.Errorf("Fit returned %v", err)
		}
	})

	if !slices.Equal(bitsOf(p.X.Data), pristineX) || !slices.Equal(p.Y, pristineY) {
		t.Error("the suite's calls wrote to their input")
	}
}

// bitsOf is a copy in which NaN equals itself.
func bitsOf(x []float64) []uint64 {
	b := make([]uint64, len(x))
	for i, v := range x {
		b[i] = math.Float64bits(v)
	}
	return b
}
