package baseline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/internal/numeric"
)

// BayesParams are the settings of FitBayes. Start from DefaultBayesParams.
type BayesParams struct {
	// Bins is how many intervals of about equally many rows a column is cut into at
	// most, ≥ 2. Missing values have one of their own.
	Bins int
	// Smoothing is how many rows at the overall rate are added to each bin, > 0.
	Smoothing float64
	Workers   int // ≥ 1; results do not depend on it
}

// DefaultBayesParams are ten bins.
func DefaultBayesParams() BayesParams { return BayesParams{Bins: 10, Smoothing: 1, Workers: 1} }

// Validate reports every field out of bounds.
func (p BayesParams) Validate() error {
	var faults []error
	if p.Bins < 2 {
		faults = append(faults, fmt.Errorf("baseline: Bins (%v) must be >= 2", p.Bins))
	}
	if !(p.Smoothing > 0) || math.IsInf(p.Smoothing, 0) {
		faults = append(faults, fmt.Errorf("baseline: Smoothing (%v) must be > 0 and finite", p.Smoothing))
	}
	if p.Workers < 1 {
		faults = append(faults, fmt.Errorf("baseline: Workers (%v) must be >= 1", p.Workers))
	}
	return errors.Join(faults...)
}

// A Bayes is naive Bayes over binned columns: the log-odds are those of the base
// rate and what each column's bin adds, as if columns knew nothing of one another
// (Domingos and Pazzani, Machine Learning 29, 1997). It ranks better than it
// calibrates. It is read-only, and its JSON form restores it exactly.
type Bayes struct {
	Names []string `json:"names"`
	Prior float64  `json:"prior"` // log-odds of the base rate
	// Uppers are, by column, the inclusive upper ends of its bins but the last's.
	Uppers [][]float64 `json:"uppers"`
	// Adds are, by column, what each bin adds, the last being of missing values.
	Adds [][]float64 `json:"adds"`
	Rows int         `json:"rows"`
}

// UnmarshalJSON refuses a model whose parts do not fit together.
func (m *Bayes) UnmarshalJSON(data []byte) error {
	type plain Bayes
	var p plain
	if err := json.Unmarshal(data, &p); err != nil {
		return fmt.Errorf("baseline: %w", err)
	}
	if d := len(p.Names); d == 0 || len(p.Uppers) != d || len(p.Adds) != d {
		return fmt.Errorf("baseline: %d names, %d columns of bins, %d of log-odds: not a saved model", d, len(p.Uppers), len(p.Adds))
	}
	for j, u := range p.Uppers {
		if len(p.Adds[j]) != len(u)+2 || !slices.IsSorted(u) {
			return fmt.Errorf("baseline: column %s has %d bins for %d upper ends: not a saved model", p.Names[j], len(p.Adds[j]), len(u))
		}
	}
	*m = Bayes(p)
	return nil
}

// FitBayes learns from n rows of x, NaN where a value is missing, and labels that
// are 0 or 1. The order of the rows does not matter.
func FitBayes(ctx context.Context, p BayesParams, x models.Matrix, y []float64) (*Bayes, []models.Warning, error) {
	if err := p.Validate(); err != nil {
		return nil, nil, err
	}
	if err := checkValues(x, true); err != nil {
		return nil, nil, err
	}
	base, err := checkLabels(x, y)
	if err != nil {
		return nil, nil, err
	}
	d, n := x.Cols(), x.Rows()
	m := &Bayes{Names: slices.Clone(x.Names), Prior: numeric.Logit(base), Uppers: make([][]float64, d), Adds: make([][]float64, d), Rows: n}
	err = numeric.Chunks(ctx, p.Workers, d, 1, func(j, _, _ int) {
		values := x.Column(nil, j)
		sorted := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
		slices.Sort(sorted)
		uppers := []float64{}
		for k := 1; k < p.Bins && len(sorted) > 0; k++ {
			at := sorted[k*len(sorted)/p.Bins]
			if at < sorted[len(sorted)-1] && (len(uppers) == 0 || at > uppers[len(uppers)-1]) {
				uppers = append(uppers, at)
			}
		}
		m.Uppers[j] = uppers
		positives, rows := make([]float64, len(uppers)+2), make([]float64, len(uppers)+2)
		for i, v := range values {
			b := m.bin(j, v)
			positives[b] += y[i]
			rows[b]++
		}
		m.Adds[j] = make([]float64, len(rows))
		for b := range rows {
			rate := (positives[b] + p.Smoothing*base) / (rows[b] + p.Smoothing)
			m.Adds[j][b] = numeric.Logit(rate) - m.Prior
		}
	})
	if err != nil {
		return nil, nil, fmt.Errorf("baseline: fit stopped: %w", err)
	}
	return m, nil, nil
}

// bin is the bin of a value of column j.
func (m *Bayes) bin(j int, v float64) int {
	if math.IsNaN(v) {
		return len(m.Uppers[j]) + 1
	}
	return sort.SearchFloat64s(m.Uppers[j], v)
}

// Predict is P(y = 1) for each row of x, whose columns must be the model's. dst is
// allocated when nil; otherwise it must have x.Rows() elements.
func (m *Bayes) Predict(dst []float64, x models.Matrix) ([]float64, error) {
	if err := accepts(m.Names, x, true); err != nil {
		return nil, err
	}
	dst = room(dst, x)
	for i := range dst {
		eta := m.Prior
		for j, v := range x.Row(i) {
			eta += m.Adds[j][m.bin(j, v)]
		}
		dst[i] = numeric.Logistic(eta)
	}
	return dst, nil
}

// checkValues refuses empty and ragged input and values that are not finite; NaN
// passes when missing values may.
func checkValues(x models.Matrix, missing bool) error {
	d := x.Cols()
	if d == 0 || len(x.Data) == 0 {
		return fmt.Errorf("baseline: empty input: %d rows × %d columns", x.Rows(), d)
	}
	if len(x.Data)%d != 0 {
		return fmt.Errorf("baseline: %d values do not fill rows of %d columns", len(x.Data), d)
	}
	for k, v := range x.Data {
		if math.IsInf(v, 0) || math.IsNaN(v) && !missing {
			return fmt.Errorf("baseline: row %d, column %d (%s) is %v; values must be finite", k/d, k%d, x.Names[k%d], v)
		}
	}
	return nil
}

// checkLabels refuses labels that are not 0 or 1 and returns their mean.
func checkLabels(x models.Matrix, y []float64) (base float64, err error) {
	n := x.Rows()
	if len(y) != n {
		return 0, fmt.Errorf("baseline: %d labels for %d rows", len(y), n)
	}
	for i, label := range y {
		if label != 0 && label != 1 {
			return 0, fmt.Errorf("baseline: row %d: label %v must be 0 or 1", i, label)
		}
		base += label
	}
	base /= float64(n)
	if base == 0 || base == 1 {
		return 0, fmt.Errorf("baseline: %w: every label is %v in %v rows", ErrOneClass, y[0], n)
	}
	return base, nil
}

// accepts says why a model of these columns cannot be applied to x.
func accepts(names []string, x models.Matrix, missing bool) error {
	if err := checkValues(x, missing); err != nil {
		return err
	}
	if x.Cols() != len(names) {
		return fmt.Errorf("baseline: %d columns, the model was fitted on %d", x.Cols(), len(names))
	}
	for j, name := range x.Names {
		if name != names[j] {
			return fmt.Errorf("baseline: column %d is %s, the model was fitted on %s; give the columns in the order of Names", j, name, names[j])
		}
	}
	return nil
}

func room(dst []float64, x models.Matrix) []float64 {
	if dst == nil {
		return make([]float64, x.Rows())
	}
	if len(dst) != x.Rows() {
		panic(fmt.Sprintf("baseline: dst has %d elements for %d rows", len(dst), x.Rows()))
	}
	return dst
}
