// Package calibrate turns a classifier's scores into probabilities, without
// changing their order: Platt's sigmoid, beta calibration or isotonic regression,
// as there are rows enough to carry its shape. Fit it on rows that the
// classifier did not see.
package calibrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"

	"gonum.org/v1/gonum/mat"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/internal/numeric"
)

// ErrOneClass is wrapped by the error of Fit when all labels are the same.
var ErrOneClass = errors.New("one class only")

// A Method is a way to calibrate.
type Method string

const (
	// Auto is Isotonic from Params.IsotonicMinRows rows, Beta from BetaMinRows, and
	// Platt below.
	Auto Method = "auto"
	// Isotonic is the nondecreasing function of the score nearest to the labels in
	// squared error, by pool-adjacent-violators (Ayer et al. 1955), joined up
	// linearly. It can take any rising shape, and makes ties.
	Isotonic Method = "isotonic"
	// Platt is 1/(1+exp(A·score+B)), A ≤ 0, fitted by maximum likelihood to
	// smoothed labels (Platt 1999, with the search of Lin, Lin & Weng 2007). It
	// suits scores on a log-odds scale.
	Platt Method = "platt"
	// Beta takes scores as log-odds s, P being 1/(1+exp(−s)), and turns them into the
	// log-odds A·ln P − B·ln(1−P) + C, A and B ≥ 0, fitted like Platt's: it bends
	// either end by itself, and leaves calibrated scores as they are (Kull, Silva
	// Filho & Flach, AISTATS 2017).
	Beta Method = "beta"
)

// Params are the settings of a fit. Start from DefaultParams.
type Params struct {
	Method Method
	// BetaMinRows and IsotonicMinRows, ≥ 2, are where Auto changes method.
	// Isotonic regression overfits below about 1000 rows (Niculescu-Mizil & Caruana
	// 2005, §4.4), and ties scores in broad steps for some way beyond.
	BetaMinRows, IsotonicMinRows int
	// MaxIter is the largest number of Newton steps of Platt's and the beta fit, ≥ 1.
	MaxIter int
}

// DefaultParams chooses by the number of rows.
func DefaultParams() Params {
	return Params{Method: Auto, BetaMinRows: 1000, IsotonicMinRows: 20_000, MaxIter: 100}
}

// Validate reports every field out of bounds.
func (p Params) Validate() error {
	var faults []error
	if p.Method != Auto && p.Method != Isotonic && p.Method != Platt && p.Method != Beta {
		faults = append(faults, fmt.Errorf("calibrate: Method (%q) must be %s, %s, %s or %s", p.Method, Auto, Isotonic, Platt, Beta))
	}
	if p.BetaMinRows < 2 {
		faults = append(faults, fmt.Errorf("calibrate: BetaMinRows (%v) must be >= 2", p.BetaMinRows))
	}
	if p.IsotonicMinRows < 2 {
		faults = append(faults, fmt.Errorf("calibrate: IsotonicMinRows (%v) must be >= 2", p.IsotonicMinRows))
	}
	if p.MaxIter < 1 {
		faults = append(faults, fmt.Errorf("calibrate: MaxIter (%v) must be >= 1", p.MaxIter))
	}
	return errors.Join(faults...)
}

// A Model is a fitted calibration. It is read-only: its methods may be called
// from any number of goroutines. Its JSON form restores it exactly.
type Model struct {
	Method Method `json:"method"` // Isotonic, Platt or Beta
	Rows   int    `json:"rows"`

	// Isotonic: the curve's corners, scores rising, rates in [0,1] never falling.
	Scores []float64 `json:"scores,omitempty"`
	Rates  []float64 `json:"rates,omitempty"`

	// Platt: P = 1/(1+exp(A·score+B)), A ≤ 0. Beta: the log-odds of P are
	// A·ln S − B·ln(1−S) + C, S being 1/(1+exp(−score)), A and B ≥ 0.
	A float64 `json:"a"`
	B float64 `json:"b"`
	C float64 `json:"c,omitempty"`

	// Low and High, 0 < Low < High < 1, bound what is predicted.
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// UnmarshalJSON refuses a model whose parts do not fit together.
func (m *Model) UnmarshalJSON(data []byte) error {
	type plain Model
	var p plain
	if err := json.Unmarshal(data, &p); err != nil {
		return fmt.Errorf("calibrate: %w", err)
	}
	switch {
	case !(0 < p.Low && p.Low < p.High && p.High < 1):
		return fmt.Errorf("calibrate: bounds %v, %v do not lie in order within (0, 1): not a saved model", p.Low, p.High)
	case p.Method == Platt && !(p.A <= 0):
		return fmt.Errorf("calibrate: a (%v) must be <= 0: not a saved model", p.A)
	case p.Method == Isotonic && (len(p.Scores) == 0 || len(p.Scores) != len(p.Rates) || !slices.IsSorted(p.Scores) || !slices.IsSorted(p.Rates)):
		return fmt.Errorf("calibrate: %d scores, %d rates, not as many or not rising: not a saved model", len(p.Scores), len(p.Rates))
	case p.Method == Beta && !(p.A >= 0 && p.B >= 0 && !math.IsInf(p.A, 0) && !math.IsInf(p.B, 0) && p.C-p.C == 0):
		return fmt.Errorf("calibrate: a (%v) and b (%v) must be >= 0, and c (%v) finite: not a saved model", p.A, p.B, p.C)
	case p.Method != Platt && p.Method != Isotonic && p.Method != Beta:
		return fmt.Errorf("calibrate: method %q: not a saved model", p.Method)
	}
	*m = Model(p)
	return nil
}

// Fit learns the probability of label 1 at each of n finite scores, where labels
// are 0 or 1. The order of the rows does not matter.
// Warnings: calibrate.uninformative, calibrate.not_converged.
func Fit(ctx context.Context, p Params, scores, labels []float64) (*Model, []models.Warning, error) {
	if err := p.Validate(); err != nil {
		return nil, nil, err
	}
	if err := check(scores); err != nil {
		return nil, nil, err
	}
	if len(labels) != len(scores) {
		return nil, nil, fmt.Errorf("calibrate: %d labels for %d scores", len(labels), len(scores))
	}
	var positives float64
	for i, y := range labels {
		if y != 0 && y != 1 {
			return nil, nil, fmt.Errorf("calibrate: row %d: label %v must be 0 or 1", i, y)
		}
		positives += y
	}
	n := float64(len(labels))
	if positives == 0 || positives == n {
		return nil, nil, fmt.Errorf("calibrate: %w: every label is %v in %v rows", ErrOneClass, labels[0], n)
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("calibrate: fit stopped: %w", err)
	}

	m := &Model{Method: p.Method, Rows: len(scores)}
	if m.Method == Auto {
		switch n := len(scores); {
		case n >= p.IsotonicMinRows:
			m.Method = Isotonic
		case n >= p.BetaMinRows:
			m.Method = Beta
		default:
			m.Method = Platt
		}
	}
	// Platt's smoothed labels (1999, eq. 11), the rates that a uniform prior leaves
	// after seeing one class only: no row of either class is more certain.
	yes, no := (positives+1)/(positives+2), 1/(n-positives+2)
	points := pool(scores, labels)
	var warnings []models.Warning
	flat := false
	if m.Method == Isotonic {
		m.Low, m.High = no, yes
		m.isotonic(points)
		flat = m.Rates[0] == m.Rates[len(m.Rates)-1]
	} else {
		m.Low, m.High = 0x1p-53, 1-0x1p-53
		fit, name := m.platt, "Platt"
		if m.Method == Beta {
			fit, name = m.beta, "beta"
		}
		res, err := fit(ctx, points, yes, no, p.MaxIter)
		if err != nil {
			return nil, nil, fmt.Errorf("calibrate: fit stopped: %w", err)
		}
		if !res.Converged {
			warnings = append(warnings, models.Warning{Code: "calibrate.not_converged", Message: fmt.Sprintf(
				"%s calibration stopped after %d steps, %.3g above its predicted minimum", name, res.Iterations, res.Decrement)})
		}
		flat = m.A == 0 && (m.Method == Platt || m.B == 0)
	}
	if flat {
		warnings = append(warnings, models.Warning{Code: "calibrate.uninformative", Message: fmt.Sprintf(
			"higher scores are not likelier to be positive in %v rows, so every score is calibrated to the same probability", n)})
	}
	return m, warnings, nil
}

// Predict is the calibrated probability of each score, in [Low, High] and never
// lower for a higher score. dst is allocated when nil, may be scores itself, and
// otherwise must have as many elements.
func (m *Model) Predict(dst, scores []float64) ([]float64, error) {
	if err := check(scores); err != nil {
		return nil, err
	}
	if dst == nil {
		dst = make([]float64, len(scores))
	}
	if len(dst) != len(scores) {
		panic(fmt.Sprintf("calibrate: dst has %d elements for %d scores", len(dst), len(scores)))
	}
	for i, s := range scores {
		dst[i] = min(max(m.Raw(s), m.Low), m.High)
	}
	return dst, nil
}

// Raw is the fitted curve at one score, in [0,1]: isotonic rates can be 0 or 1,
// which Predict does not return.
func (m *Model) Raw(score float64) float64 {
	switch m.Method {
	case Platt:
		return numeric.Logistic(-(m.A*score + m.B))
	case Beta:
		return numeric.Logistic(float64(m.B*numeric.Softplus(score)) - float64(m.A*numeric.Softplus(-score)) + m.C)
	}
	last := len(m.Scores) - 1
	switch i := sort.SearchFloat64s(m.Scores, score); {
	case i > last:
		return m.Rates[last]
	case i == 0 || m.Scores[i] == score:
		return m.Rates[i]
	default:
		lo, hi := m.Rates[i-1], m.Rates[i]
		share := (score - m.Scores[i-1]) / (m.Scores[i] - m.Scores[i-1])
		return min(lo+(hi-lo)*share, hi)
	}
}

func check(scores []float64) error {
	if len(scores) == 0 {
		return errors.New("calibrate: empty input: no scores")
	}
	for i, s := range scores {
		if math.IsNaN(s) || math.IsInf(s, 0) {
			return fmt.Errorf("calibrate: row %d: score is %v; scores must be finite", i, s)
		}
	}
	return nil
}

// point is one distinct score.
type point struct{ score, positives, rows float64 }

// pool merges tied scores, so that ties are calibrated alike whatever their order.
func pool(scores, labels []float64) []point {
	points := make([]point, len(scores))
	for i, s := range scores {
		points[i] = point{s, labels[i], 1}
	}
	slices.SortFunc(points, func(a, b point) int {
		switch {
		case a.score < b.score:
			return -1
		case a.score > b.score:
			return 1
		}
		return 0
	})
	out := points[:0]
	for _, p := range points {
		if n := len(out); n > 0 && out[n-1].score == p.score {
			out[n-1].positives += p.positives
			out[n-1].rows += p.rows
			continue
		}
		out = append(out, p)
	}
	return out
}

// isotonic sets the corners: both ends of each block of equal rate.
func (m *Model) isotonic(points []point) {
	type pooled struct{ low, high, positives, rows float64 }
	var blocks []pooled
	for _, p := range points {
		b := pooled{p.score, p.score, p.positives, p.rows}
		// Counts are whole, so comparing cross products is exact.
		for len(blocks) > 0 {
			last := blocks[len(blocks)-1]
			if last.positives*b.rows < b.positives*last.rows {
				break
			}
			b = pooled{last.low, b.high, last.positives + b.positives, last.rows + b.rows}
			blocks = blocks[:len(blocks)-1]
		}
		blocks = append(blocks, b)
	}
	for _, b := range blocks {
		rate := b.positives / b.rows
		m.Scores, m.Rates = append(m.Scores, b.low), append(m.Rates, rate)
		if b.high > b.low {
			m.Scores, m.Rates = append(m.Scores, b.high), append(m.Rates, rate)
		}
	}
}

// platt sets A and B to the minimum of −Σ [t ln P + (1−t) ln(1−P)], t being yes
// or no by label, over A ≤ 0.
func (m *Model) platt(ctx context.Context, points []point, yes, no float64, maxIter int) (numeric.NewtonResult, error) {
	slope, level, res, err := regress(ctx, points, yes, no, maxIter, func(s float64) float64 { return s })
	m.A, m.B = -slope[0], -level
	return res, err
}

// beta sets A, B and C to the minimum of the same loss over A ≥ 0 and B ≥ 0.
func (m *Model) beta(ctx context.Context, points []point, yes, no float64, maxIter int) (numeric.NewtonResult, error) {
	left := func(s float64) float64 { return -numeric.Softplus(-s) }
	right := numeric.Softplus
	slope, level, res, err := regress(ctx, points, yes, no, maxIter, left, right)
	m.A, m.B, m.C = slope[0], slope[1], level
	return res, err
}

// regress fits log-odds of level + Σ slopeⱼ·columnⱼ(score), no slope below 0, to
// the labels, which count as yes and no. The loss is convex: where its minimum has
// a slope below 0, the least loss of all fits with one slope less is the minimum
// over the border.
func regress(ctx context.Context, points []point, yes, no float64, maxIter int, columns ...func(float64) float64) (slope []float64, level float64, res numeric.NewtonResult, err error) {
	var rows, target float64
	for _, p := range points {
		rows += p.rows
		target += p.positives*yes + (p.rows-p.positives)*no
	}
	d := len(columns)
	slope, level = make([]float64, d), numeric.Logit(target/rows)
	z := make([]float64, len(points)*d)
	mean, sd := make([]float64, d), make([]float64, d)
	for j, column := range columns {
		for i, p := range points {
			z[i*d+j] = column(p.score)
			mean[j] += p.rows * z[i*d+j]
		}
		mean[j] /= rows
		for i, p := range points {
			sd[j] += p.rows * (z[i*d+j] - mean[j]) * (z[i*d+j] - mean[j]) / rows
		}
		sd[j] = math.Sqrt(sd[j])
		if len(points) == 1 || sd[j] == 0 {
			return slope, level, numeric.NewtonResult{Converged: true}, nil
		}
		for i := range points {
			z[i*d+j] = (z[i*d+j] - mean[j]) / sd[j]
		}
	}
	// Log-odds are u₀ + Σ uⱼzⱼ at the standardised columns.
	u := make([]float64, 1+d)
	u[0] = level
	res, err = numeric.Newton(ctx, func(u, grad []float64, hess *mat.SymDense) (f float64) {
		clear(grad)
		hess.Zero()
		for i, p := range points {
			row := z[i*d:][:d]
			eta := u[0]
			for j, v := range row {
				eta += u[j+1] * v
			}
			t := p.positives*yes + (p.rows-p.positives)*no
			f += p.rows*numeric.Softplus(eta) - t*eta
			q := numeric.Logistic(eta)
			r, c := p.rows*q-t, p.rows*q*(1-q)
			grad[0] += r
			hess.SetSym(0, 0, hess.At(0, 0)+c)
			for j, v := range row {
				grad[j+1] += r * v
				hess.SetSym(0, j+1, hess.At(0, j+1)+c*v)
				for k := j; k < d; k++ {
					hess.SetSym(j+1, k+1, hess.At(j+1, k+1)+c*v*row[k])
				}
			}
		}
		return f
	}, u, numeric.NewtonParams{MaxIter: maxIter, Tol: 1e-13, MaxStep: math.Inf(1)})
	if err != nil {
		return slope, level, res, err
	}
	if slices.ContainsFunc(u[1:], func(v float64) bool { return v < 0 }) {
		best := numeric.NewtonResult{Value: math.Inf(1)}
		for left := range d {
			some := slices.Delete(slices.Clone(columns), left, left+1)
			with, at, r, err := regress(ctx, points, yes, no, maxIter, some...)
			if err != nil {
				return slope, level, r, err
			}
			if d == 1 {
				return slope, at, r, nil
			}
			if r.Value < best.Value {
				best, level = r, at
				copy(slope, slices.Insert(with, left, 0))
			}
		}
		return slope, level, best, nil
	}
	level = u[0]
	for j := range slope {
		slope[j] = u[j+1] / sd[j]
		level -= slope[j] * mean[j]
	}
	return slope, level, res, nil
}
