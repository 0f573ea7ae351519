package numeric

import (
	"context"
	"math"

	"gonum.org/v1/gonum/mat"
)

// An Objective returns f(x) and overwrites grad with ∇f(x) and hess with
// ∇²f(x). It must not modify x. A value that is not finite rejects x.
type Objective func(x, grad []float64, hess *mat.SymDense) float64

// NewtonParams says when Newton stops.
type NewtonParams struct {
	// MaxIter is the largest number of steps, ≥ 1.
	MaxIter int
	// Tol ends the search once a step is predicted to lower f by less than
	// Tol·(1+|f|), ≥ 0.
	Tol float64
	// MaxStep caps the change of any coordinate in one step, > 0; +Inf for none.
	MaxStep float64
}

// NewtonResult is where Newton stopped.
type NewtonResult struct {
	Value      float64 // f there
	Decrement  float64 // ½ gᵀH⁻¹g of the last step: its predicted gain
	Iterations int     // steps taken
	Converged  bool
}

// Newton minimises f from x, which it overwrites with the best point found, by
// Newton's method with step halving; where the Hessian is not positive definite
// a growing multiple of the identity is added to it (Nocedal & Wright 2006,
// algorithms 3.2 and 3.3), so coordinates should be of comparable scale. The error is
// ctx's alone; a search that stalls is a result with Converged false.
//
// Each step costs one evaluation of f with both derivatives: cheaper over many
// rows than a quasi-Newton method, whose evaluations are each as many passes.
func Newton(ctx context.Context, f Objective, x []float64, p NewtonParams) (NewtonResult, error) {
	const (
		armijo  = 1e-4
		halving = 40
		// noise is the relative error of a long sum: differences in f below it
		// say nothing, and the decrement is then the better judge.
		noise = 1e-12
	)
	n := len(x)
	grad, trialGrad := make([]float64, n), make([]float64, n)
	hess, trialHess := mat.NewSymDense(n, nil), mat.NewSymDense(n, nil)
	step := mat.NewVecDense(n, nil)
	trial := make([]float64, n)
	damped := mat.NewSymDense(n, nil)
	var chol mat.Cholesky

	value := f(x, grad, hess)
	res := NewtonResult{Value: value}
	for {
		if err := ctx.Err(); err != nil {
			return res, err
		}
		if !isFinite(value) {
			return res, nil
		}
		if !newtonStep(step, &chol, damped, hess, grad) {
			return res, nil
		}
		var slope, longest float64 // slope = gᵀH⁻¹g ≥ 0
		for i, g := range grad {
			slope += g * step.AtVec(i)
			longest = max(longest, math.Abs(step.AtVec(i)))
		}
		res.Decrement = slope / 2
		last := res.Decrement <= p.Tol*(1+math.Abs(value))
		if !last && res.Iterations == p.MaxIter {
			return res, nil
		}
		scale := min(1, p.MaxStep/longest)
		if longest == 0 {
			res.Converged = true
			return res, nil
		}
		accepted := false
		for range halving {
			for i := range trial {
				trial[i] = x[i] - scale*step.AtVec(i)
			}
			v := f(trial, trialGrad, trialHess)
			if err := ctx.Err(); err != nil {
				return res, err
			}
			if v <= value-armijo*scale*slope || last && v <= value+noise*(1+math.Abs(value)) {
				value, accepted = v, true
				break
			}
			scale /= 2
		}
		if !accepted {
			// No point along a descent direction is lower: f is as low here as
			// its rounding lets us see.
			res.Converged = last || res.Decrement <= noise*(1+math.Abs(value))
			return res, nil
		}
		copy(x, trial)
		grad, trialGrad = trialGrad, grad
		hess, trialHess = trialHess, hess
		res.Value = value
		res.Iterations++
		if last {
			res.Converged = true
			return res, nil
		}
	}
}

// newtonStep solves (hess + τI) step = grad for the smallest τ of a growing
// sequence that makes the matrix positive definite; false when none does.
func newtonStep(step *mat.VecDense, chol *mat.Cholesky, damped, hess *mat.SymDense, grad []float64) bool {
	const (
		tries = 60
		// wellConditioned is the largest condition number at which the solution
		// still has half of its digits.
		wellConditioned = 1e14
	)
	n := len(grad)
	var scale float64
	for i := range n {
		for j := i; j < n; j++ {
			if !isFinite(hess.At(i, j)) {
				return false
			}
		}
		scale = max(scale, math.Abs(hess.At(i, i)))
	}
	if scale == 0 {
		scale = 1
	}
	g := mat.NewVecDense(n, grad)
	tau := 0.0
	for range tries {
		damped.CopySym(hess)
		for i := range n {
			damped.SetSym(i, i, hess.At(i, i)+tau)
		}
		if chol.Factorize(damped) && chol.Cond() < wellConditioned {
			// The condition is checked above, so the error, which only repeats
			// it, cannot occur.
			if err := chol.SolveVecTo(step, g); err == nil {
				return true
			}
		}
		tau = max(4*tau, 1e-12*scale)
	}
	return false
}

func isFinite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
