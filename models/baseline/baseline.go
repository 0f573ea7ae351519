// Package baseline is what models are held against. First the rule that every model
// must beat: a probability read off one column, the time since a customer was last
// seen. Then what an afternoon would bring: naive Bayes, nearest neighbours and a
// random forest.
//
// Of the rule: simple heuristics of
// this kind match stochastic models at ranking customers (Wübben & Wangenheim,
// Journal of Marketing 72(3), 2008).
//
// The column is cut into bins of equal size; their rates are made monotone by
// pool-adjacent-violators, and joined linearly in log-odds. A curve rather than
// steps, because steps would tie customers whom the column tells apart: the rule
// ranks as the column itself does wherever the training rates move, so that a
// model which beats it beats recency.
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

// ErrOneClass is wrapped by the error of Fit when all labels are the same.
var ErrOneClass = errors.New("one class only")

// A Direction says how the probability moves with the column.
type Direction string

const (
	Learn   Direction = "learn"   // whichever of the two fits the training rows better
	Rising  Direction = "rising"  // as churn does with days since the last event
	Falling Direction = "falling" // as propensity does
)

// Params are the settings of a fit. DefaultParams lacks only the Column.
type Params struct {
	// Column names the one column that is used. NaN in it means never.
	Column string
	// Direction of the probability as Column grows.
	Direction Direction
	// Bins is the number of equally filled bins that the column is cut into, ≥ 2;
	// tied values share a bin, so there can be fewer.
	Bins int
	// Smoothing is the number of rows at the overall rate that are added to each
	// bin, > 0, which keeps probabilities off 0 and 1.
	Smoothing float64
}

// DefaultParams learns the direction over twenty bins of column.
func DefaultParams(column string) Params {
	return Params{Column: column, Direction: Learn, Bins: 20, Smoothing: 1}
}

// Validate reports every field out of bounds.
func (p Params) Validate() error {
	var faults []error
	if p.Column == "" {
		faults = append(faults, errors.New(`baseline: Column ("") must name a column`))
	}
	if p.Direction != Learn && p.Direction != Rising && p.Direction != Falling {
		faults = append(faults, fmt.Errorf("baseline: Direction (%q) must be %s, %s or %s", p.Direction, Learn, Rising, Falling))
	}
	if p.Bins < 2 {
		faults = append(faults, fmt.Errorf("baseline: Bins (%v) must be >= 2", p.Bins))
	}
	if !(p.Smoothing > 0) || math.IsInf(p.Smoothing, 0) {
		faults = append(faults, fmt.Errorf("baseline: Smoothing (%v) must be > 0 and finite", p.Smoothing))
	}
	return errors.Join(faults...)
}

// A Model is a fitted rule. It is read-only: its methods may be called from any
// number of goroutines. Its JSON form restores it exactly.
type Model struct {
	Column    string    `json:"column"`
	Direction Direction `json:"direction"` // Rising or Falling
	// Values and LogOdds are the curve's corners: values of Column strictly
	// rising, log-odds monotone in Direction. The ends are the training range,
	// beyond which the curve is flat.
	Values  []float64 `json:"values"`
	LogOdds []float64 `json:"log_odds"`
	// Never is the log-odds where Column is NaN: those rows' own rate, or the
	// curve's end at the largest value when training had no such row.
	Never float64 `json:"never"`
	Rows  int     `json:"rows"`
}

// UnmarshalJSON refuses a model whose parts do not fit together.
func (m *Model) UnmarshalJSON(data []byte) error {
	type plain Model
	var p plain
	if err := json.Unmarshal(data, &p); err != nil {
		return fmt.Errorf("baseline: %w", err)
	}
	n := len(p.Values)
	if p.Column == "" || n == 0 || len(p.LogOdds) != n || !slices.IsSorted(p.Values) || p.Direction != Rising && p.Direction != Falling {
		return fmt.Errorf("baseline: column %q, direction %q, %d values, %d log-odds: not a saved model", p.Column, p.Direction, n, len(p.LogOdds))
	}
	*m = Model(p)
	return nil
}

// Fit learns P(y = 1) from Params.Column of x, whose other columns are not
// looked at, and labels that are 0 or 1. The order of the rows does not matter.
// Warnings: baseline.uninformative.
func Fit(ctx context.Context, p Params, x models.Matrix, y []float64) (*Model, []models.Warning, error) {
	if err := p.Validate(); err != nil {
		return nil, nil, err
	}
	values, err := column(x, p.Column)
	if err != nil {
		return nil, nil, err
	}
	n := len(values)
	if len(y) != n {
		return nil, nil, fmt.Errorf("baseline: %d labels for %d rows", len(y), n)
	}
	var positives float64
	for i, label := range y {
		if label != 0 && label != 1 {
			return nil, nil, fmt.Errorf("baseline: row %d: label %v must be 0 or 1", i, label)
		}
		positives += label
	}
	base := positives / float64(n)
	if base == 0 || base == 1 {
		return nil, nil, fmt.Errorf("baseline: %w: every label is %v in %v rows", ErrOneClass, y[0], n)
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("baseline: fit stopped: %w", err)
	}

	logOdds := func(b bin) float64 { return numeric.Logit(b.rate()) }
	bins, never := cut(values, y, p.Bins)
	// Before pooling: afterwards it would pull small blocks past large ones.
	for i := range bins {
		bins[i].smooth(p.Smoothing, base)
	}
	never.smooth(p.Smoothing, base)
	if len(bins) == 0 {
		return nil, nil, fmt.Errorf("baseline: column %s is NaN in all %d rows; there is nothing to learn from", p.Column, n)
	}
	m := &Model{Column: p.Column, Direction: p.Direction, Rows: n}
	up, down := monotone(bins, 1), monotone(bins, -1)
	if m.Direction == Learn {
		m.Direction = Rising
		if explained(down) > explained(up) {
			m.Direction = Falling
		}
	}
	blocks := up
	if m.Direction == Falling {
		blocks = down
	}

	// One corner at each block's mean. The outer halves of the first and last
	// block would tie all their rows: there the curve goes on to the end of the
	// range by half of its neighbouring step, as it would if they were even.
	last := len(blocks) - 1
	var warnings []models.Warning
	if last == 0 {
		m.Values, m.LogOdds = []float64{blocks[0].sum / blocks[0].rows}, []float64{logOdds(blocks[0])}
		warnings = append(warnings, models.Warning{Code: "baseline.uninformative", Message: fmt.Sprintf(
			"the outcome does not move with %s in the %s direction over %d rows: the recency rule is a constant", m.Column, m.Direction, n)})
	} else {
		corner := func(v, l float64) {
			m.Values, m.LogOdds = append(m.Values, v), append(m.LogOdds, l)
		}
		first, second := logOdds(blocks[0]), logOdds(blocks[1])
		if mean := blocks[0].sum / blocks[0].rows; blocks[0].low < mean {
			corner(blocks[0].low, first-(second-first)/2)
		}
		for _, b := range blocks {
			corner(b.sum/b.rows, logOdds(b))
		}
		end, before := logOdds(blocks[last]), logOdds(blocks[last-1])
		if mean := blocks[last].sum / blocks[last].rows; blocks[last].high > mean {
			corner(blocks[last].high, end+(end-before)/2)
		}
	}
	m.Never = m.LogOdds[len(m.LogOdds)-1]
	if never.rows > 0 {
		m.Never = logOdds(never)
	}
	return m, warnings, nil
}

// Predict is P(y = 1) for each row of x, in which the model's Column is found by
// name. dst is allocated when nil; otherwise it must have x.Rows() elements.
func (m *Model) Predict(dst []float64, x models.Matrix) ([]float64, error) {
	values, err := column(x, m.Column)
	if err != nil {
		return nil, err
	}
	if dst == nil {
		dst = make([]float64, len(values))
	}
	if len(dst) != len(values) {
		panic(fmt.Sprintf("baseline: dst has %d elements for %d rows", len(dst), len(values)))
	}
	for i, v := range values {
		dst[i] = numeric.Logistic(m.at(v))
	}
	return dst, nil
}

// at is the log-odds at one value.
func (m *Model) at(v float64) float64 {
	if math.IsNaN(v) {
		return m.Never
	}
	last := len(m.Values) - 1
	switch i := sort.SearchFloat64s(m.Values, v); {
	case i > last:
		return m.LogOdds[last]
	case i == 0 || m.Values[i] == v:
		return m.LogOdds[i]
	default:
		a, b := m.LogOdds[i-1], m.LogOdds[i]
		share := (v - m.Values[i-1]) / (m.Values[i] - m.Values[i-1])
		// Rounding must not pass the corner, lest the order change there.
		return min(max(a+(b-a)*share, min(a, b)), max(a, b))
	}
}

// column is a copy of the named column, in which every value is finite or NaN.
func column(x models.Matrix, name string) ([]float64, error) {
	if x.Cols() == 0 || x.Rows() == 0 {
		return nil, fmt.Errorf("baseline: empty input: %d rows × %d columns", x.Rows(), x.Cols())
	}
	j := slices.Index(x.Names, name)
	if j < 0 {
		return nil, fmt.Errorf("baseline: no column %s among %d columns", name, x.Cols())
	}
	values := x.Column(nil, j)
	for i, v := range values {
		if math.IsInf(v, 0) {
			return nil, fmt.Errorf("baseline: row %d, column %d (%s) is %v; values must be finite, or NaN for never", i, j, name, v)
		}
	}
	return values, nil
}

// bin is a run of rows by value.
type bin struct {
	low, high, sum  float64 // least, greatest and total value
	rows            float64
	positives, size float64 // of the rows and of those that smoothing adds
}

func (b *bin) smooth(rows, rate float64) {
	b.positives += rows * rate
	b.size += rows
}

func (b *bin) rate() float64 { return b.positives / b.size }

// cut makes at most count bins of about equally many rows, and one of the rows
// that are NaN. Rows of equal value are never parted.
func cut(values, y []float64, count int) (bins []bin, never bin) {
	type row struct{ v, y float64 }
	var rows []row
	for i, v := range values {
		if math.IsNaN(v) {
			never.rows++
			never.size++
			never.positives += y[i]
			continue
		}
		rows = append(rows, row{v, y[i]})
	}
	slices.SortFunc(rows, func(a, b row) int {
		switch {
		case a.v < b.v:
			return -1
		case a.v > b.v:
			return 1
		}
		return 0
	})
	for i, r := range rows {
		// A bin is full once the rows so far reach its share of them all.
		full := len(bins) > 0 && i*count >= len(bins)*len(rows)
		if len(bins) == 0 || full && r.v != rows[i-1].v {
			bins = append(bins, bin{low: r.v})
		}
		b := &bins[len(bins)-1]
		b.high = r.v
		b.sum += r.v
		b.positives += r.y
		b.rows++
		b.size++
	}
	return bins, never
}

// monotone pools neighbouring bins until their rates strictly rise (sign 1) or
// strictly fall (sign −1): pool-adjacent-violators (Ayer et al. 1955).
func monotone(bins []bin, sign float64) []bin {
	var out []bin
	for _, b := range bins {
		for len(out) > 0 {
			l := out[len(out)-1]
			if sign*(b.rate()-l.rate()) > 0 {
				break
			}
			b = bin{
				low: l.low, high: b.high, sum: l.sum + b.sum, rows: l.rows + b.rows,
				positives: l.positives + b.positives, size: l.size + b.size,
			}
			out = out[:len(out)-1]
		}
		out = append(out, b)
	}
	return out
}

// explained is Σ size·rate²: the larger, the smaller the squared error.
func explained(bins []bin) (s float64) {
	for _, b := range bins {
		s += b.positives * b.rate()
	}
	return s
}
