// Package calibrate turns a classifier's scores into probabilities, without
// changing their order: isotonic regression where there are rows enough to carry
// it, Platt's sigmoid otherwise. Fit it on rows that the classifier did not see.
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
	// Auto is Isotonic from Params.IsotonicMinRows rows, and Platt below.
	Auto Method = "auto"
	// Isotonic is the nondecreasing function of the score nearest to the labels in
	// squared error, by pool-adjacent-violators (Ayer et al. 1955), joined up
	// linearly. It can take any rising shape, and makes ties.
	Isotonic Method = "isotonic"
	// Platt is 1/(1+exp(A·score+B)), A ≤ 0, fitted by maximum likelihood to
	// smoothed labels (Platt 1999, with the search of Lin, Lin & Weng 2007). It
	// suits scores on a log-odds scale.
	Platt Method = "platt"
)

// Params are the settings of a fit. Start from DefaultParams.
type Params struct {
	Method Method
	// IsotonicMinRows is where Auto changes method, ≥ 2: isotonic regression
	// overfits below about 1000 rows (Niculescu-Mizil & Caruana 2005, §4.4).
	IsotonicMinRows int
	// MaxIter is the largest number of Newton steps of Platt's fit, ≥ 1.
	MaxIter int
}

// DefaultParams chooses by the number of rows.
func DefaultParams() Params { return Params{Method: Auto, IsotonicMinRows: 1000, MaxIter: 100} }

// Validate reports every field out of bounds.
func (p Params) Validate() error {
	var faults []error
	if p.Method != Auto && p.Method != Isotonic && p.Method != Platt {
		faults = append(faults, fmt.Errorf("calibrate: Method (%q) must be %s, %s or %s", p.Method, Auto, Isotonic, Platt))
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
	Method Method `json:"method"` // Isotonic or Platt
	Rows   int    `json:"rows"`

	// Isotonic: the curve's corners, scores rising, rates in [0,1] never falling.
	Scores []float64 `json:"scores,omitempty"`
	Rates  []float64 `json:"rates,omitempty"`

	// Platt: P = 1/(1+exp(A·score+B)), A ≤ 0.
	A float64 `json:"a"`
	B float64 `json:"b"`

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
	case p.Method != Platt && p.Method != Isotonic:
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
		m.Method = Platt
		if len(scores) >= p.IsotonicMinRows {
			m.Method = Isotonic
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
		res, err := m.platt(ctx, points, yes, no, p.MaxIter)
		if err != nil {
			return nil, nil, fmt.Errorf("calibrate: fit stopped: %w", err)
		}
		if !res.Converged {
			warnings = append(warnings, models.Warning{Code: "calibrate.not_converged", Message: fmt.Sprintf(
				"Platt calibration stopped after %d steps, %.3g above its predicted minimum", res.Iterations, res.Decrement)})
		}
		flat = m.A == 0
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
	if m.Method == Platt {
		return numeric.Logistic(-(m.A*score + m.B))
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
	var rows, target, mean, variance float64
	for _, p := range points {
		rows += p.rows
		mean += p.rows * p.score
		target += p.positives*yes + (p.rows-p.positives)*no
	}
	mean /= rows
	for _, p := range points {
		variance += p.rows * (p.score - mean) * (p.score - mean) / rows
	}
	sd := math.Sqrt(variance)
	level := numeric.Logit(target / rows)
	if len(points) == 1 || sd == 0 {
		m.A, m.B = 0, -level
		return numeric.NewtonResult{Converged: true}, nil
	}
	// Log-odds are u₀ + u₁z at the standardised score z.
	u := []float64{level, 0}
	res, err := numeric.Newton(ctx, func(u, grad []float64, hess *mat.SymDense) (f float64) {
		var g0, g1, h00, h01, h11 float64
		for _, p := range points {
			z := (p.score - mean) / sd
			eta := u[0] + u[1]*z
			t := p.positives*yes + (p.rows-p.positives)*no
			f += p.rows*numeric.Softplus(eta) - t*eta
			q := numeric.Logistic(eta)
			r, c := p.rows*q-t, p.rows*q*(1-q)
			g0, g1 = g0+r, g1+r*z
			h00, h01, h11 = h00+c, h01+c*z, h11+c*z*z
		}
		grad[0], grad[1] = g0, g1
		hess.SetSym(0, 0, h00)
		hess.SetSym(0, 1, h01)
		hess.SetSym(1, 1, h11)
		return f
	}, u, numeric.NewtonParams{MaxIter: maxIter, Tol: 1e-13, MaxStep: math.Inf(1)})
	if err != nil {
		return res, err
	}
	if u[1] <= 0 {
		// The loss is convex, so its minimum over A ≤ 0 lies on the border.
		m.A, m.B = 0, -level
		return numeric.NewtonResult{Converged: true}, nil
	}
	m.A, m.B = -u[1]/sd, -(u[0] - u[1]*mean/sd)
	return res, nil
}
