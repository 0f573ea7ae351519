// Package logit is binary logistic regression with an L2 penalty or an elastic net
// (Zou & Hastie, J. R. Statist. Soc. B 67, 2005), fitted by Newton's method (iteratively reweighted least squares; Hastie, Tibshirani &
// Friedman, The Elements of Statistical Learning, 2nd ed., §4.4.1).
//
// Over rows i with weights wᵢ, labels yᵢ ∈ {0,1} and η = β₀ + Σⱼ βⱼxᵢⱼ it minimises
//
//	Σᵢ wᵢ [ln(1+e^ηᵢ) − yᵢηᵢ] + ½ L2 Σⱼ βⱼ² + L1 Σⱼ |βⱼ|.
//
// The intercept β₀ is not penalised and the loss is a sum, not a mean: L2 is
// 1/C of liblinear and scikit-learn, whose elastic net of l1_ratio ρ is L1 = ρ/C and
// L2 = (1−ρ)/C. With L1 many weights are exactly 0. The penalty acts on the columns as they
// come, so give it standardised ones.
package logit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"gonum.org/v1/gonum/mat"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/internal/numeric"
	"github.com/shoal-data/shoal/models/logit/internal/gram"
)

// ErrOneClass is wrapped by the error of Fit when all labels are the same.
var ErrOneClass = errors.New("one class only")

// Params are the settings of a fit. Start from DefaultParams.
type Params struct {
	// L2 ≥ 0 is the penalty on the weights. With 0 a separable sample has no
	// optimum; Fit then stops at large weights and warns.
	L2 float64
	// L1 ≥ 0 is the penalty on the weights' absolute values.
	L1 float64
	// MaxIter is the largest number of Newton steps, ≥ 1.
	MaxIter int
	// Tol ends the fit once a Newton step is predicted to lower the objective f
	// by less than Tol·(1+f), in (0, 1e-3].
	Tol float64
	// Workers is the largest number of goroutines, ≥ 1. Results do not depend on it.
	Workers int
}

// DefaultParams penalises a little, which standardised columns hardly feel and
// separable ones need.
func DefaultParams() Params { return Params{L2: 1, MaxIter: 100, Tol: 1e-10, Workers: 1} }

// Validate reports every field out of bounds.
func (p Params) Validate() error {
	var faults []error
	bad := func(field string, value any, bound string) {
		faults = append(faults, fmt.Errorf("logit: %s (%v) must be %s", field, value, bound))
	}
	if !(p.L2 >= 0) || math.IsInf(p.L2, 0) {
		bad("L2", p.L2, ">= 0 and finite")
	}
	if !(p.L1 >= 0) || math.IsInf(p.L1, 0) {
		bad("L1", p.L1, ">= 0 and finite")
	}
	if p.MaxIter < 1 {
		bad("MaxIter", p.MaxIter, ">= 1")
	}
	if !(p.Tol > 0 && p.Tol <= 1e-3) {
		bad("Tol", p.Tol, "in (0, 1e-3]")
	}
	if p.Workers < 1 {
		bad("Workers", p.Workers, ">= 1")
	}
	return errors.Join(faults...)
}

// A Model is a fitted regression. It is read-only: its methods may be called
// from any number of goroutines. Its JSON form restores it exactly.
type Model struct {
	Names     []string  `json:"names"`   // the columns, in order
	Weights   []float64 `json:"weights"` // log-odds per unit of each column; 0 where it was constant
	Intercept float64   `json:"intercept"`
	Means     []float64 `json:"means"` // weighted means of the columns in training

	Objective  float64 `json:"objective"` // the minimum found, penalty included
	Rows       float64 `json:"rows"`      // total weight
	Iterations int     `json:"iterations"`
}

// UnmarshalJSON refuses a model whose parts do not fit together.
func (m *Model) UnmarshalJSON(data []byte) error {
	type plain Model
	var p plain
	if err := json.Unmarshal(data, &p); err != nil {
		return fmt.Errorf("logit: %w", err)
	}
	if d := len(p.Names); d == 0 || len(p.Weights) != d || len(p.Means) != d {
		return fmt.Errorf("logit: %d names, %d weights, %d means: not a saved model", d, len(p.Weights), len(p.Means))
	}
	*m = Model(p)
	return nil
}

// Fit learns P(y = 1 | x) from n rows of x, all finite, and their labels, 0 or 1.
// Warnings: logit.not_converged, logit.constant_columns, logit.separated.
func Fit(ctx context.Context, p Params, x models.Matrix, y []float64) (*Model, []models.Warning, error) {
	return FitWeighted(ctx, p, x, y, nil)
}

// FitWeighted is Fit with a weight ≥ 0 a row: weight 2 is the row twice, weight
// 0 is the row removed, and nil is all 1.
func FitWeighted(ctx context.Context, p Params, x models.Matrix, y, w []float64) (*Model, []models.Warning, error) {
	if err := p.Validate(); err != nil {
		return nil, nil, err
	}
	if err := x.CheckFinite("logit"); err != nil {
		return nil, nil, err
	}
	s, err := newSample(x, y, w)
	if err != nil {
		return nil, nil, err
	}
	var warnings []models.Warning
	warn := func(code, format string, args ...any) {
		warnings = append(warnings, models.Warning{Code: "logit." + code, Message: fmt.Sprintf(format, args...)})
	}
	if len(s.active) < x.Cols() {
		var names []string
		for j, sd := range s.sd {
			if sd == 0 {
				names = append(names, x.Names[j])
			}
		}
		warn("constant_columns", "%d of %d columns never vary and got no weight: %s", len(names), x.Cols(), strings.Join(names, ", "))
	}

	// The search runs on standardised columns, u_j = β_j·sd_j, from the log-odds
	// of the base rate: the optimum is the same and the Hessian well scaled.
	u := make([]float64, 1+len(s.active))
	u[0] = numeric.Logit(s.positives / s.total)
	var res numeric.NewtonResult
	if p.L1 > 0 {
		lambda := make([]float64, len(u)) // none on the intercept
		for k, j := range s.active {
			lambda[k+1] = p.L1 / s.sd[j]
		}
		res, err = elasticNet(ctx, s.objective(ctx, p), u, lambda, p.MaxIter, p.Tol)
	} else {
		res, err = numeric.Newton(ctx, s.objective(ctx, p), u, numeric.NewtonParams{MaxIter: p.MaxIter, Tol: p.Tol, MaxStep: math.Inf(1)})
	}
	if err != nil {
		return nil, nil, fmt.Errorf("logit: fit stopped: %w", err)
	}
	m := &Model{
		Names: append([]string(nil), x.Names...), Weights: make([]float64, x.Cols()), Means: s.mean,
		Intercept: u[0], Objective: res.Value, Rows: s.total, Iterations: res.Iterations,
	}
	for k, j := range s.active {
		m.Weights[j] = u[k+1] / s.sd[j]
		m.Intercept -= m.Weights[j] * s.mean[j]
	}
	if !res.Converged {
		warn("not_converged", "logistic regression stopped after %d steps, %.3g above its predicted minimum of %.6g; raise MaxIter or L2", res.Iterations, res.Decrement, res.Value)
	}
	// Only a penalty keeps the loss of a separable sample away from 0.
	if p.L2 == 0 && p.L1 == 0 && res.Value < 1e-6*s.total {
		warn("separated", "the columns separate the labels of all %v rows, so the weights have no optimum and the probabilities are 0 or 1; set L2 above 0 and look for a leak", s.total)
	}
	return m, warnings, nil
}

// Predict is P(y = 1) for each row of x, whose columns must be the model's.
// dst is allocated when nil; otherwise it must have x.Rows() elements.
func (m *Model) Predict(dst []float64, x models.Matrix) ([]float64, error) {
	dst, err := m.Scores(dst, x)
	if err != nil {
		return nil, err
	}
	for i, eta := range dst {
		dst[i] = numeric.Logistic(eta)
	}
	return dst, nil
}

// Scores is the log-odds of y = 1 for each row of x, as Predict takes it.
func (m *Model) Scores(dst []float64, x models.Matrix) ([]float64, error) {
	if err := m.check(x); err != nil {
		return nil, err
	}
	if dst == nil {
		dst = make([]float64, x.Rows())
	}
	if len(dst) != x.Rows() {
		panic(fmt.Sprintf("logit: dst has %d elements for %d rows", len(dst), x.Rows()))
	}
	for i := range dst {
		eta := m.Intercept
		for j, v := range x.Row(i) {
			eta += m.Weights[j] * v
		}
		dst[i] = eta
	}
	return dst, nil
}

// Base is the log-odds of a customer at the training mean of every column.
func (m *Model) Base() float64 {
	eta := m.Intercept
	for j, v := range m.Means {
		eta += m.Weights[j] * v
	}
	return eta
}

// Contributions is an n×d matrix of log-odds: what each column's distance from
// its training mean adds to Base. Base and a row of it sum to the log-odds of
// Predict. They are the Shapley values of the linear predictor for independent columns.
func (m *Model) Contributions(x models.Matrix) (models.Matrix, error) {
	if err := m.check(x); err != nil {
		return models.Matrix{}, err
	}
	c := models.NewMatrix(m.Names, x.Rows())
	for i := range x.Rows() {
		row := c.Row(i)
		for j, v := range x.Row(i) {
			row[j] = m.Weights[j] * (v - m.Means[j])
		}
	}
	return c, nil
}

func (m *Model) check(x models.Matrix) error {
	if err := x.CheckFinite("logit"); err != nil {
		return err
	}
	if x.Cols() != len(m.Names) {
		return fmt.Errorf("logit: %d columns, the model was fitted on %d", x.Cols(), len(m.Names))
	}
	for j, name := range x.Names {
		if name != m.Names[j] {
			return fmt.Errorf("logit: column %d is %s, the model was fitted on %s; give the columns in the order of Names", j, name, m.Names[j])
		}
	}
	return nil
}

// sample is the rows of positive weight with their columns' moments.
type sample struct {
	x                models.Matrix
	y, w             []float64
	rows             []int32 // rows of positive weight; nil when all are
	n                int     // how many
	total, positives float64
	mean, sd         []float64 // d columns, weighted; sd is exactly 0 where constant
	active           []int     // columns that vary
}

func newSample(x models.Matrix, y, w []float64) (*sample, error) {
	n, d := x.Rows(), x.Cols()
	if len(y) != n {
		return nil, fmt.Errorf("logit: %d labels for %d rows", len(y), n)
	}
	if w != nil && len(w) != n {
		return nil, fmt.Errorf("logit: %d weights for %d rows", len(w), n)
	}
	s := &sample{x: x, y: y, w: w, mean: make([]float64, d), sd: make([]float64, d)}
	removed := false
	for i, label := range y {
		if label != 0 && label != 1 {
			return nil, fmt.Errorf("logit: row %d: label %v must be 0 or 1", i, label)
		}
		if w != nil && (!(w[i] >= 0) || math.IsInf(w[i], 0)) {
			return nil, fmt.Errorf("logit: row %d: weight %v must be >= 0 and finite", i, w[i])
		}
		removed = removed || w != nil && w[i] == 0
	}
	s.n = n
	if removed {
		s.rows = make([]int32, 0, n)
		for i := range n {
			if w[i] > 0 {
				s.rows = append(s.rows, int32(i))
			}
		}
		s.n = len(s.rows)
	}
	for k := range s.n {
		i := s.row(k)
		s.total += s.weight(i)
		s.positives += s.weight(i) * y[i]
	}
	switch s.positives {
	case 0:
		return nil, fmt.Errorf("logit: %w: every label with weight is 0 in %v rows", ErrOneClass, s.total)
	case s.total:
		return nil, fmt.Errorf("logit: %w: every label with weight is 1 in %v rows", ErrOneClass, s.total)
	}
	first := x.Row(s.row(0))
	varies := make([]bool, d)
	for k := range s.n {
		i := s.row(k)
		wi := s.weight(i) / s.total
		for j, v := range x.Row(i) {
			s.mean[j] += wi * v
			varies[j] = varies[j] || v != first[j]
		}
	}
	for k := range s.n {
		i := s.row(k)
		wi := s.weight(i) / s.total
		for j, v := range x.Row(i) {
			s.sd[j] += wi * (v - s.mean[j]) * (v - s.mean[j])
		}
	}
	for j := range d {
		s.sd[j] = math.Sqrt(s.sd[j])
		if !varies[j] {
			s.sd[j], s.mean[j] = 0, first[j]
		}
		if s.sd[j] > 0 {
			s.active = append(s.active, j)
		}
	}
	return s, nil
}

func (s *sample) row(k int) int {
	if s.rows == nil {
		return k
	}
	return int(s.rows[k])
}

func (s *sample) weight(i int) float64 {
	if s.w == nil {
		return 1
	}
	return s.w[i]
}

// block is how many rows are standardised at a time: they stay in the processor's
// nearest cache until the Hessian has them.
const block = 32

// objective is the penalised loss by u = (intercept at the means, β_j·sd_j).
func (s *sample) objective(ctx context.Context, p Params) numeric.Objective {
	k := 1 + len(s.active)
	stride := gram.Stride(k)
	// At most 64 chunks, so the partial Hessians stay small beside the data.
	size := max(1024, (s.n+63)/64)
	type partial struct {
		value float64
		grad  []float64
		hess  []float64 // as package gram lays it out
	}
	parts := make([]partial, (s.n+size-1)/size)
	for c := range parts {
		parts[c] = partial{grad: make([]float64, k), hess: make([]float64, gram.Len(k))}
	}
	perSD := make([]float64, len(s.active))
	for a, j := range s.active {
		perSD[a] = 1 / s.sd[j]
	}
	return func(u, grad []float64, hess *mat.SymDense) float64 {
		err := numeric.Chunks(ctx, p.Workers, s.n, size, func(c, lo, hi int) {
			part := &parts[c]
			part.value = 0
			clear(part.grad)
			clear(part.hess)
			// z is block standardised rows, each led by a 1 for the intercept.
			z := make([]float64, block*stride)
			for at := lo; at < hi; at += block {
				rows := min(block, hi-at)
				for b := range rows {
					i := s.row(at + b)
					s.standardise(z[b*stride:][:k], s.x.Row(i), perSD)
				}
				for b := range rows {
					row := z[b*stride:][:k]
					i := s.row(at + b)
					eta, wi := dot(row, u), s.weight(i)
					q := numeric.Logistic(eta)
					part.value += float64(wi * (numeric.Softplus(eta) - float64(s.y[i]*eta)))
					r := wi * (q - s.y[i])
					root := math.Sqrt(wi * q * (1 - q))
					grad := part.grad[:len(row)]
					for a, v := range row {
						grad[a] += float64(r * v)
						row[a] = root * v
					}
				}
				gram.Add(part.hess, z, k, rows)
			}
		})
		if err != nil {
			return math.NaN() // Newton sees ctx too
		}
		var f float64
		clear(grad)
		total := make([]float64, gram.Len(k))
		for _, part := range parts {
			f += part.value
			for a, v := range part.grad {
				grad[a] += v
			}
			for a, v := range part.hess {
				total[a] += v
			}
		}
		for a := range k {
			for b := a; b < k; b++ {
				hess.SetSym(a, b, total[a*stride+b])
			}
		}
		for a, j := range s.active {
			l := p.L2 / (s.sd[j] * s.sd[j])
			f += l / 2 * u[a+1] * u[a+1]
			grad[a+1] += l * u[a+1]
			hess.SetSym(a+1, a+1, hess.At(a+1, a+1)+l)
		}
		return f
	}
}

// standardise writes the columns of x that vary to z, behind a 1 for the intercept.
func (s *sample) standardise(z, x, perSD []float64) {
	z[0] = 1
	z = z[1:][:len(s.active)]
	perSD = perSD[:len(z)]
	for a, j := range s.active {
		z[a] = (x[j] - s.mean[j]) * perSD[a]
	}
}

// dot adds up in four sums, which do not wait for each other.
func dot(x, y []float64) float64 {
	var s0, s1, s2, s3 float64
	y = y[:len(x)]
	for len(x) >= 4 {
		a, b := x[:4:len(x)], y[:4:len(x)]
		s0 += float64(a[0] * b[0])
		s1 += float64(a[1] * b[1])
		s2 += float64(a[2] * b[2])
		s3 += float64(a[3] * b[3])
		x, y = x[4:], y[4:]
	}
	for i, v := range x {
		s0 += float64(v * y[i])
	}
	return s0 + s1 + (s2 + s3)
}
