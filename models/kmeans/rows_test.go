package kmeans

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/internal/numeric/nearest"
	"github.com/shoal-data/shoal/models/modeltest"
)

// batches is a source over a matrix, in batches of uneven sizes, whose memory it
// overwrites as soon as the next is asked for.
type batches struct {
	models.Matrix
	size      int
	announced int   // rows it claims, if not 0
	fail      error // after the first batch
}

func (s batches) Names() []string { return s.Matrix.Names }
func (s batches) Rows() int {
	if s.announced != 0 {
		return s.announced
	}
	return s.Matrix.Rows()
}
func (s batches) Batches(context.Context) iter.Seq2[models.Matrix, error] {
	return func(yield func(models.Matrix, error) bool) {
		for lo, turn := 0, 0; lo < s.Matrix.Rows(); turn++ {
			hi := min(s.Matrix.Rows(), lo+s.size+turn%3)
			m := models.Matrix{Names: s.Matrix.Names, Data: slices.Clone(s.Data[lo*s.Cols() : hi*s.Cols()])}
			if !yield(m, nil) {
				return
			}
			for i := range m.Data {
				m.Data[i] = math.NaN()
			}
			if s.fail != nil {
				yield(models.Matrix{}, s.fail)
				return
			}
			lo = hi
		}
	}
}

// fitted is all that a fit returns, to be compared.
func fitted(t *testing.T, m *Model, r Result, w []models.Warning, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := m.Save(&b); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s %v %v %v %v %x %v", b.String(), r.Inertia, r.RestartInertia, r.Iterations, r.Converged, r.Labels, w)
}

// The same values give the same bytes as float64, as float32 and from a source,
// in any batches, for any workers, on every path, with and without weights, and
// when all have been scaled by a power of two.
func TestOneResult(t *testing.T) {
	tied := modeltest.Blobs(9000, 5, 3)
	for i, v := range tied.Data {
		tied.Data[i] = math.Round(2*v) / 2
	}
	smooth := modeltest.Blobs(9000, 5, 4)
	for i, v := range smooth.Data {
		smooth.Data[i] = float64(float32(v))
	}
	for name, x := range map[string]models.Matrix{"tied": tied, "smooth": smooth} {
		for _, weighted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/weighted=%v", name, weighted), func(t *testing.T) {
				var o Options
				if weighted {
					r := rand.New(rand.NewPCG(1, 9))
					o.Weights = make([]float64, x.Rows())
					for i := range o.Weights {
						if o.Weights[i] = r.ExpFloat64(); i%7 == 0 {
							o.Weights[i] = 0
						}
					}
				}
				p := DefaultParams()
				p.K, p.Tol, p.SeedSample, p.Restarts, p.Workers = 9, 0, 1000, 3, 1
				fit := func(p Params) string {
					m, r, w, err := FitWith(t.Context(), p, x, o)
					return fitted(t, m, r, w, err)
				}
				want := fit(p)
				same := func(what, got string) {
					t.Helper()
					if got != want {
						t.Errorf("%s: other bytes:\n%.400s\n%.400s", what, got, want)
					}
				}
				for _, path := range nearest.Paths() {
					restore := nearest.Use(path)
					same("path "+path, fit(p))
					restore()
				}
				x32 := models.Matrix32{Names: x.Names}
				for _, v := range x.Data {
					x32.Data = append(x32.Data, float32(v))
				}
				for _, workers := range []int{1, 2, 5} {
					p.Workers = workers
					same(fmt.Sprint(workers, " workers"), fit(p))
					m, r, w, err := Fit32(t.Context(), p, x32, o)
					same("float32", fitted(t, m, r, w, err))
					for _, size := range []int{1, 100, 4096, 1 << 20} {
						m, r, w, err := FitSource(t.Context(), p, batches{Matrix: x, size: size}, o)
						same(fmt.Sprintf("batches of %d, %d workers", size, workers), fitted(t, m, r, w, err))
					}
				}
			})
		}
	}
}

// Rows far from 0 keep their digits: sums and distances are of differences.
func TestFarFromZero(t *testing.T) {
	x := modeltest.Blobs(6000, 4, 11)
	for i, v := range x.Data {
		x.Data[i] = math.Round(v*1024) / 1024 // so that moving loses nothing
	}
	p := DefaultParams()
	p.K, p.Tol = 4, 0
	near, r1, _, err1 := Fit(t.Context(), p, x)
	moved := models.Matrix{Names: x.Names, Data: slices.Clone(x.Data)}
	for i := range moved.Data {
		moved.Data[i] += 1 << 40
	}
	far, r2, _, err2 := Fit(t.Context(), p, moved)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r1.Labels, r2.Labels) || math.Abs(r1.Inertia-r2.Inertia) > 1e-6*r1.Inertia {
		t.Errorf("moved by 2^40: inertia %v, not %v, or other labels", r2.Inertia, r1.Inertia)
	}
	for i, c := range far.centres {
		if math.Abs(c-1<<40-near.centres[i]) > 1.0/1024 { // float64 has 12 bits left there
			t.Errorf("centre value %d: %v, want %v", i, c-1<<40, near.centres[i])
		}
	}
}

// The labels are those of brute force in float64 on every row, ties to the
// lowest, also where float32 cannot tell centres apart.
func TestLabelsAreBruteForce(t *testing.T) {
	// On a lattice of tenths, rows are as near to one centre as to another but
	// for float64's rounding.
	lattice := models.NewMatrix(mixture(1, 16, 1).Names, 20000)
	draw := rand.New(rand.NewPCG(8, 8))
	for i := range lattice.Data {
		lattice.Data[i] = float64(draw.IntN(3)) / 10
	}
	for name, x := range map[string]models.Matrix{"mix": mixture(20000, 16, 8), "counts": counts(20000, 16), "lattice": lattice} {
		for _, k := range []int{8, 100} {
			p := DefaultParams()
			p.K, p.Tol, p.MaxIter, p.Restarts = k, 0, 30, 1
			m, r, _, err := Fit(t.Context(), p, x)
			if err != nil {
				t.Fatal(err)
			}
			if name == "lattice" {
				for i := range m.centres {
					m.centres[i] = math.Round(10*m.centres[i]) / 10
				}
				r.Labels = nil // of the centres before
			}
			predicted := make([]int, x.Rows())
			if err := m.Predict(predicted, nil, x); err != nil {
				t.Fatal(err)
			}
			for i, got := range predicted {
				best, least := 0, math.Inf(1)
				for c := range k {
					if s := distance2(x.Row(i), m.centres[c*16:(c+1)*16]); s < least {
						best, least = c, s
					}
				}
				if got != best || r.Labels != nil && r.Labels[i] != best {
					t.Fatalf("%s, k=%d: row %d is labelled otherwise than %d, or predicted %d", name, k, i, best, got)
				}
			}
		}
	}
}

func TestSourceFaults(t *testing.T) {
	x := modeltest.Blobs(5000, 3, 1)
	p := DefaultParams()
	p.K, p.Restarts = 3, 1
	broken := errors.New("the disk is gone")
	nan := models.Matrix{Names: x.Names, Data: slices.Clone(x.Data)}
	nan.Data[3*4321+2] = math.NaN()
	weights := make([]float64, 5000)
	for i := range weights {
		weights[i] = float64(i % 2)
	}
	other := x
	other.Names = []string{"a", "b"}
	for what, c := range map[string]struct {
		src     Source
		weights []float64
		want    string
	}{
		"too few rows":     {src: batches{Matrix: x, size: 700, announced: 5001}, want: "yields 5000 of its 5001 rows"},
		"too many rows":    {src: batches{Matrix: x, size: 700, announced: 4999}, want: "more than its 4999 rows"},
		"a failing source": {src: batches{Matrix: x, size: 700, fail: broken}, want: "after row 700: the disk is gone"},
		"no rows":          {src: batches{Matrix: models.NewMatrix(x.Names, 0), size: 1}, want: "empty input"},
		"a NaN":            {src: batches{Matrix: nan, size: 700}, want: "row 4321, column 2 (c) is NaN"},
		"a NaN, weighted":  {src: batches{Matrix: nan, size: 700}, weights: weights, want: "row 4321, column 2 (c) is NaN"},
		"other columns":    {src: renamed{batches{Matrix: x, size: 700}}, want: `batch at row 0: column 1 is "b", want "other"`},
	} {
		_, _, _, err := FitSource(t.Context(), p, c.src, Options{Weights: c.weights})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "kmeans: ") {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
		if what == "a failing source" && !errors.Is(err, broken) {
			t.Errorf("%v does not wrap its cause", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, _, err := FitSource(ctx, p, batches{Matrix: x, size: 700}, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

type renamed struct{ batches }

func (renamed) Names() []string { return []string{"a", "other", "c"} }

// Of several values that cannot be used, the first by rows is named, not by columns.
func TestFirstFaultIsNamed(t *testing.T) {
	x := models.NewMatrix([]string{"a", "b"}, 9)
	for i := range x.Data {
		x.Data[i] = float64(i)
	}
	p := DefaultParams()
	p.K = 2
	for _, first := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		x.Row(5)[1], x.Row(6)[0], x.Row(7)[1] = first, math.Inf(1), math.NaN()
		x32 := models.Matrix32{Names: x.Names}
		for _, v := range x.Data {
			x32.Data = append(x32.Data, float32(v))
		}
		_, _, _, err := Fit(t.Context(), p, x)
		_, _, _, err32 := Fit32(t.Context(), p, x32, Options{})
		for _, err := range []error{err, err32} {
			if err == nil || !strings.Contains(err.Error(), "row 5") || !strings.Contains(err.Error(), "b") {
				t.Errorf("%v: %v, want row 5, column b", first, err)
			}
		}
	}
	// One alone, too, which no NaN follows.
	for _, v := range []float32{float32(math.Inf(1)), float32(math.Inf(-1))} {
		if _, _, _, err := Fit32(t.Context(), p, models.Matrix32{Names: []string{"a"}, Data: []float32{1, 2, v, 3, 4, 5, 6, 7}}, Options{}); err == nil || !strings.Contains(err.Error(), "row 2") {
			t.Errorf("%v: %v, want row 2", v, err)
		}
	}
}
