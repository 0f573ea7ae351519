package numeric

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/optimize/functions"
)

func TestNewtonFindsKnownMinima(t *testing.T) {
	ctx := context.Background()
	p := NewtonParams{MaxIter: 200, Tol: 1e-14, MaxStep: math.Inf(1)}
	type problem interface {
		Func(x []float64) float64
		Grad(grad, x []float64)
		Hess(dst *mat.SymDense, x []float64)
	}
	// gonum's test functions state their own minima; Brown's and Wood's are
	// badly scaled and indefinite away from them.
	for _, c := range []struct {
		name string
		f    problem
		x    []float64
		want []float64
	}{
		{"brown and dennis", functions.BrownAndDennis{}, []float64{25, 5, -5, -1}, []float64{-11.594439904762162, 13.203630051207202, -0.4034394881768612, 0.2367787744557347}},
		{"brown badly scaled", functions.BrownBadlyScaled{}, []float64{1, 1}, []float64{1e6, 2e-6}},
		{"wood", functions.Wood{}, []float64{-3, -1, -3, -1}, []float64{1, 1, 1, 1}},
	} {
		obj := func(x, grad []float64, hess *mat.SymDense) float64 {
			c.f.Grad(grad, x)
			c.f.Hess(hess, x)
			return c.f.Func(x)
		}
		x := slices.Clone(c.x)
		res, err := Newton(ctx, obj, x, p)
		if err != nil || !res.Converged {
			t.Errorf("%s: %+v, %v", c.name, res, err)
		}
		for i := range x {
			if math.Abs(x[i]-c.want[i]) > 1e-6*math.Abs(c.want[i]) {
				t.Errorf("%s: minimum %v, want %v", c.name, x, c.want)
				break
			}
		}
	}
}

func TestNewtonLimits(t *testing.T) {
	var at []float64
	quartic := func(x, grad []float64, hess *mat.SymDense) float64 {
		at = append(at, x[0])
		grad[0] = 4 * x[0] * x[0] * x[0]
		hess.SetSym(0, 0, 12*x[0]*x[0])
		return x[0] * x[0] * x[0] * x[0]
	}
	p := NewtonParams{MaxIter: 3, Tol: 0, MaxStep: .25}
	x := []float64{10}
	res, err := Newton(context.Background(), quartic, x, p)
	if err != nil || res.Converged || res.Iterations != 3 || x[0] != 9.25 {
		t.Errorf("3 steps capped at .25 from 10 end at %v: %+v, %v (visited %v)", x, res, err, at)
	}

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Newton(ctx, quartic, []float64{10}, p); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled search returned %v", err)
	}

	// A function with no minimum is not reported as solved.
	slide := func(x, grad []float64, hess *mat.SymDense) float64 {
		grad[0] = -math.Exp(-x[0])
		hess.SetSym(0, 0, math.Exp(-x[0]))
		return math.Exp(-x[0])
	}
	if res, _ := Newton(context.Background(), slide, []float64{0}, NewtonParams{MaxIter: 5, Tol: 1e-12, MaxStep: 1}); res.Converged {
		t.Errorf("e^-x was reported as converged after 5 steps: %+v", res)
	}
}

func TestChunksCoverOnce(t *testing.T) {
	for _, n := range []int{0, 1, 99, 100, 101, 1000} {
		for _, workers := range []int{1, 2, 7} {
			seen := make([]int, n)
			chunkOf := make([]int, n)
			err := Chunks(context.Background(), workers, n, 100, func(c, lo, hi int) {
				for i := lo; i < hi; i++ {
					seen[i]++
					chunkOf[i] = c
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			for i := range n {
				if seen[i] != 1 || chunkOf[i] != i/100 {
					t.Fatalf("n=%d workers=%d: index %d visited %d times, in chunk %d", n, workers, i, seen[i], chunkOf[i])
				}
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, workers := range []int{1, 3} {
		err := Chunks(ctx, workers, 1000, 10, func(c, _, _ int) {
			if c == 5 {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("workers=%d: cancelled Chunks returned %v", workers, err)
		}
	}
}
