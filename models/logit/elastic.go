package logit

import (
	"context"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/shoal-data/shoal/models/internal/numeric"
)

// elasticNet minimises f(u) + Σⱼ lambda[j]·|u[j]| from u, which it overwrites, by
// Newton's method for composite functions (Lee, Sun & Saunders, SIAM J. Optimization
// 24(3), 2014): each step minimises the quadratic model of f together with the
// absolute values, by coordinate descent, and is halved until the whole falls. Many
// coordinates end at exactly 0.
func elasticNet(ctx context.Context, f numeric.Objective, u, lambda []float64, maxIter int, tol float64) (numeric.NewtonResult, error) {
	const (
		armijo  = 1e-4
		halving = 40
		noise   = 1e-13 // relative error of a long sum
	)
	k := len(u)
	absolute := func(u []float64) (sum float64) {
		for j, l := range lambda {
			sum += l * math.Abs(u[j])
		}
		return sum
	}
	grad, hess := make([]float64, k), mat.NewSymDense(k, nil)
	next, trial := make([]float64, k), make([]float64, k)
	value := f(u, grad, hess) + absolute(u)
	res := numeric.NewtonResult{Value: value}
	for {
		if err := ctx.Err(); err != nil {
			return res, err
		}
		if math.IsNaN(value) || math.IsInf(value, 0) {
			return res, nil
		}
		descend(next, u, grad, hess, lambda)
		// What the step promises: the slope of f and the change of the penalty.
		promised := absolute(next) - absolute(u)
		for j := range u {
			promised += grad[j] * (next[j] - u[j])
		}
		res.Decrement = -promised / 2
		if promised >= -tol*(1+math.Abs(value)) {
			res.Converged = true
			return res, nil
		}
		if res.Iterations == maxIter {
			return res, nil
		}
		accepted := false
		for step, n := 1.0, 0; n < halving; step, n = step/2, n+1 {
			for j := range u {
				trial[j] = u[j] + step*(next[j]-u[j])
				if step == 1 {
					trial[j] = next[j] // zeros stay exact
				}
			}
			v := f(trial, grad, hess) + absolute(trial)
			if v <= value+armijo*step*promised || v <= value+noise*(1+math.Abs(value)) && step == 1 {
				value, accepted = v, true
				break
			}
		}
		if !accepted {
			res.Converged = res.Decrement <= noise*(1+math.Abs(value))
			return res, ctx.Err()
		}
		copy(u, trial)
		res.Value = value
		res.Iterations++
	}
}

// descend minimises gᵀd + ½dᵀHd + Σ lambda|u+d| over d by coordinates, and writes
// u+d to next.
func descend(next, u, grad []float64, hess *mat.SymDense, lambda []float64) {
	const (
		sweeps    = 1000
		precision = 1e-13
	)
	k := len(u)
	copy(next, u)
	slope := make([]float64, k) // g + H(next − u)
	copy(slope, grad)
	for range sweeps {
		moved := 0.0
		for j := range k {
			h := hess.At(j, j)
			if !(h > 0) {
				continue // flat: the column says nothing here
			}
			target := next[j] - slope[j]/h
			if limit := lambda[j] / h; target > limit {
				target -= limit
			} else if target < -limit {
				target += limit
			} else {
				target = 0
			}
			by := target - next[j]
			if by == 0 {
				continue
			}
			next[j] = target
			for i := range k {
				slope[i] += by * hess.At(i, j)
			}
			moved = max(moved, math.Abs(by)/(1+math.Abs(target)))
		}
		if moved < precision {
			return
		}
	}
}
