// Package transform brings feature columns of very different shapes onto one
// scale, so that distances between rows mean something and a penalty treats
// every weight alike. Each column is imputed, winsorised, reshaped by log1p or
// asinh when its skew asks for it, and z-scored. What is fitted is applied
// unchanged when scoring.
package transform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/internal/numeric"
)

// ErrConstant is wrapped by the error of Fit when no column varies.
var ErrConstant = errors.New("constant columns")

// Impute says what stands in for a missing value (NaN).
type Impute string

// Ways to impute.
const (
	ImputeMedian   Impute = "median"   // the median of the column's observed values
	ImputeConstant Impute = "constant" // Params.Constant
)

// Shape is the function applied before z-scoring.
type Shape string

// Shapes. All are increasing and invertible, so ranks within a column survive.
const (
	Identity Shape = "identity"
	Log1p    Shape = "log1p" // ln(1+v), for v ≥ 0
	Asinh    Shape = "asinh" // ln(v+√(v²+1)), for any sign
)

// Params says how columns are transformed. Start from DefaultParams.
type Params struct {
	Impute   Impute  `json:"impute"`
	Constant float64 `json:"constant"` // stands in for missing values under ImputeConstant; finite

	// Values are clipped to these quantiles of the observed values, each in
	// [0,1], Low < High. 0 and 1 clip to the range seen when fitting.
	LowQuantile  float64 `json:"low_quantile"`
	HighQuantile float64 `json:"high_quantile"`

	// A column whose |skewness| exceeds SkewLimit (> 0) is reshaped. +Inf is
	// not allowed; a large number switches reshaping off.
	SkewLimit float64 `json:"skew_limit"`

	// A column in which more than this share of the rows, in (0,1], hold one
	// and the same value (after imputing and clipping) is dropped. At 1 only
	// constant columns are.
	MaxSameShare float64 `json:"max_same_share"`

	// A column in which more than this share of the rows, in [.5,1], hold one and
	// the same value is scaled as if half of them did. Otherwise the few who have
	// something of it lie so many deviations out that the column rules distances.
	// At 1 no column is.
	SparseShare float64 `json:"sparse_share"`

	// FitScale shapes a skewed column in units of its own: ln(1+v/s) with the s that
	// leaves the least skew: the median of the values above 0, or a quarter, a
	// sixteenth, 4 or 16 times as much. At false s is 1, in which a column of values well below 1 hardly changes.
	FitScale bool `json:"fit_scale,omitempty"`

	// Goroutines to use, ≥ 1. The result does not depend on it.
	Workers int `json:"-"`
}

// DefaultParams clips at the .005 and .995 quantiles, imputes the median,
// reshapes beyond a skewness of 4 (the limit of Gold, "Fighting Churn with
// Data", chapter 5) and drops columns in which more than 99 % of rows agree.
func DefaultParams() Params {
	return Params{
		Impute: ImputeMedian, Constant: 0,
		LowQuantile: .005, HighQuantile: .995,
		SkewLimit: 4, MaxSameShare: .99, SparseShare: 1,
		Workers: runtime.GOMAXPROCS(0),
	}
}

// Validate reports every fault at once.
func (p Params) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("transform: "+format, args...)) }
	if p.Impute != ImputeMedian && p.Impute != ImputeConstant {
		bad("Impute (%q) must be %q or %q", p.Impute, ImputeMedian, ImputeConstant)
	}
	if math.IsNaN(p.Constant) || math.IsInf(p.Constant, 0) {
		bad("Constant (%v) must be finite", p.Constant)
	}
	if !(p.LowQuantile >= 0 && p.LowQuantile < 1) {
		bad("LowQuantile (%v) must be in [0,1)", p.LowQuantile)
	}
	if !(p.HighQuantile > p.LowQuantile && p.HighQuantile <= 1) {
		bad("HighQuantile (%v) must be in (LowQuantile,1]", p.HighQuantile)
	}
	if !(p.SkewLimit > 0) || math.IsInf(p.SkewLimit, 0) {
		bad("SkewLimit (%v) must be positive and finite", p.SkewLimit)
	}
	if !(p.MaxSameShare > 0 && p.MaxSameShare <= 1) {
		bad("MaxSameShare (%v) must be in (0,1]", p.MaxSameShare)
	}
	if !(p.SparseShare >= .5 && p.SparseShare <= 1) {
		bad("SparseShare (%v) must be in [.5,1]", p.SparseShare)
	}
	if p.Workers < 1 {
		bad("Workers (%d) must be >= 1", p.Workers)
	}
	return errors.Join(errs...)
}

// A Column is what was fitted to one input column.
type Column struct {
	Name    string  `json:"name"`
	Dropped string  `json:"dropped,omitempty"` // why the column is not in the output; empty when it is
	Missing float64 `json:"missing"`           // share of the fitted rows that were missing, in [0,1]
	Fill    float64 `json:"fill"`              // replaces a missing value
	Low     float64 `json:"low"`               // values below are raised to it
	High    float64 `json:"high"`              // values above are lowered to it
	Skew    float64 `json:"skew"`              // moment skewness g₁ of the observed values before clipping; 0 when constant
	Shape   Shape   `json:"shape"`
	Scale   float64 `json:"scale,omitempty"` // the unit that values are shaped in; 0 is 1
	Mean    float64 `json:"mean"`            // of the shaped values, over all fitted rows
	SD      float64 `json:"sd"`              // likewise, dividing by n, and larger in a sparse column; 0 in a dropped constant column
}

// z takes a raw value, possibly NaN, to its z-score.
func (c *Column) z(v float64) float64 { return (c.shaped(v) - c.Mean) / c.SD }

func (c *Column) shaped(v float64) float64 {
	if math.IsNaN(v) {
		v = c.Fill // never clipped: a constant may mark missing rows from outside the range
	} else {
		v = min(max(v, c.Low), c.High)
	}
	switch c.Shape {
	case Log1p:
		return math.Log1p(v / c.unit())
	case Asinh:
		return math.Asinh(v / c.unit())
	}
	return v
}

// unit is Scale, of which 0 is 1.
func (c *Column) unit() float64 {
	if c.Scale == 0 {
		return 1
	}
	return c.Scale
}

// raw takes a z-score back to original units.
func (c *Column) raw(z float64) float64 {
	return c.unshape(float64(z*c.SD) + c.Mean)
}

// String describes the column in one line, for reports:
//
//	revenue_90d: missing (12.5%) → 0; clip to [0, 812.4]; log1p; z = (v − 3.31) / 1.72
func (c Column) String() string {
	if c.Dropped != "" {
		return fmt.Sprintf("%s: dropped, %s", c.Name, c.Dropped)
	}
	shape := ""
	if c.Shape != Identity {
		shape = string(c.Shape) + "; "
		if c.unit() != 1 {
			shape = fmt.Sprintf("%s of v/%.4g; ", c.Shape, c.Scale)
		}
	}
	sign, mean := "−", c.Mean
	if mean < 0 {
		sign, mean = "+", -mean
	}
	return fmt.Sprintf("%s: missing (%.3g%%) → %.4g; clip to [%.4g, %.4g]; %sz = (v %s %.4g) / %.4g",
		c.Name, 100*c.Missing, c.Fill, c.Low, c.High, shape, sign, mean, c.SD)
}

// A Model is a fitted transform. It is immutable and safe for concurrent use.
type Model struct {
	params  Params
	columns []Column
	kept    []int    // indices into columns
	names   []string // of the kept columns
}

// Fit learns one transform a column from x, an n×d matrix in which NaN means
// missing. An infinite value is an error that names its row and column.
// Warnings tell of dropped columns. The result is the same to the byte for any
// number of workers and any order of the rows. Cost: O(d n log n).
func Fit(ctx context.Context, p Params, x models.Matrix) (*Model, []models.Warning, error) {
	n, d := x.Rows(), x.Cols()
	if len(x.Data) != n*d {
		return nil, nil, fmt.Errorf("transform: %d values do not fill rows of %d columns", len(x.Data), d)
	}
	return FitColumns(ctx, p, x.Names, n, func(j int) ([]float64, error) { return x.Column(nil, j), nil })
}

// FitColumns is Fit for a matrix of n rows that is larger than memory: column gives the
// values of one column, which are overwritten, and is called for each once, for as many
// at a time as there are workers.
func FitColumns(ctx context.Context, p Params, names []string, n int, column func(j int) ([]float64, error)) (*Model, []models.Warning, error) {
	if err := p.Validate(); err != nil {
		return nil, nil, err
	}
	d := len(names)
	if n == 0 {
		return nil, nil, fmt.Errorf("transform: empty input: %d rows × %d columns", n, d)
	}
	if name, twice := repeated(names); twice {
		return nil, nil, fmt.Errorf("transform: column %q occurs twice; columns are matched by name", name)
	}
	columns := make([]Column, d)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(p.Workers)
	faults := make([]error, d) // one a column, so that the first column's is reported whoever finishes first
	for j := range d {
		g.Go(func() error {
			if err := gctx.Err(); err != nil {
				return err
			}
			raw, err := column(j)
			if err != nil {
				return err
			}
			if len(raw) != n {
				panic(fmt.Sprintf("transform: %d values of column %s for %d rows", len(raw), names[j], n))
			}
			columns[j], faults[j] = fitColumn(p, names[j], j, raw)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, fmt.Errorf("transform: %w", err)
	}
	for _, err := range faults {
		if err != nil {
			return nil, nil, err
		}
	}
	m := newModel(p, columns)
	var warnings []models.Warning
	for _, c := range columns {
		if c.Dropped != "" {
			warnings = append(warnings, models.Warning{
				Code:    "transform.column_dropped",
				Message: fmt.Sprintf("column %s was left out: %s", c.Name, c.Dropped),
			})
		}
	}
	if len(m.kept) == 0 {
		return nil, warnings, fmt.Errorf("transform: %w: none of the %d columns varies over the %d rows (%s)", ErrConstant, d, n, columns[0])
	}
	return m, warnings, nil
}

func repeated(names []string) (string, bool) {
	seen := make(map[string]bool, len(names))
	for _, s := range names {
		if seen[s] {
			return s, true
		}
		seen[s] = true
	}
	return "", false
}

func newModel(p Params, columns []Column) *Model {
	p.Workers = 1 // not part of what was fitted
	m := &Model{params: p, columns: columns}
	for j, c := range columns {
		if c.Dropped == "" {
			m.kept = append(m.kept, j)
			m.names = append(m.names, c.Name)
		}
	}
	return m
}

func fitColumn(p Params, name string, j int, raw []float64) (Column, error) {
	n := len(raw)
	c := Column{Name: name, Shape: Identity}
	obs := make([]float64, 0, n)
	for i, v := range raw {
		if math.IsInf(v, 0) {
			return c, fmt.Errorf("transform: row %d, column %d (%s) is %v; values must be finite, or NaN for missing", i, j, c.Name, v)
		}
		if !math.IsNaN(v) {
			obs = append(obs, v+0) // −0 + 0 is +0: zeros of either sign are one value
		}
	}
	c.Missing = float64(n-len(obs)) / float64(n)
	if len(obs) == 0 {
		c.Dropped = fmt.Sprintf("all %d values are missing", n)
		return c, nil
	}
	slices.Sort(obs)
	c.Fill = p.Constant
	if p.Impute == ImputeMedian {
		c.Fill = quantile(obs, .5)
	}
	c.Low, c.High = quantile(obs, p.LowQuantile), quantile(obs, p.HighQuantile)
	c.Skew = skewness(obs)
	if math.IsInf(c.High-c.Low, 0) || math.IsNaN(c.Skew) {
		return c, fmt.Errorf("transform: column %d (%s) spans [%v, %v], too wide for float64 moments; rescale it", j, c.Name, obs[0], obs[len(obs)-1])
	}
	lowest := min(obs[0], c.Fill)
	switch {
	case c.Skew > p.SkewLimit && lowest >= 0:
		c.Shape = Log1p
	case math.Abs(c.Skew) > p.SkewLimit && lowest < 0:
		c.Shape = Asinh
	}

	if p.FitScale && c.Shape != Identity {
		c.Scale = scale(c, obs)
	}

	// Moments are those of the column as the model will emit it, missing rows
	// included, so that the fitted columns have mean 0 and deviation 1.
	out := raw
	for i, v := range raw {
		out[i] = c.shaped(v)
	}
	c.Mean = numeric.Mean(out)
	var ss numeric.Exact
	for _, v := range out {
		ss.Add((v - c.Mean) * (v - c.Mean))
	}
	c.SD = math.Sqrt(ss.Value() / float64(n))

	slices.Sort(out)
	value, run := longestRun(out)
	// A spread of a few rounding errors is no spread: the mean of n equal
	// values may differ from them in the last place.
	if share := float64(run) / float64(n); run == n || share > p.MaxSameShare || c.SD <= 1e-12*math.Abs(c.Mean) {
		c.Dropped = fmt.Sprintf("%.4g%% of %d rows hold the value %.6g after imputing and clipping to [%.6g, %.6g]",
			100*share, n, c.unshape(value), c.Low, c.High)
	} else if share > p.SparseShare {
		// A flag that a share p of the rows have sets them 1/√(p(1-p)) deviations
		// apart: two when it is half of them, ever more as it is fewer.
		c.SD /= 2 * math.Sqrt(share*(1-share))
	}
	return c, nil
}

func (c *Column) unshape(v float64) float64 {
	switch c.Shape {
	case Log1p:
		return math.Expm1(v) * c.unit()
	case Asinh:
		return math.Sinh(v) * c.unit()
	}
	return v
}

// quantile is the q-quantile, q in [0,1], of sorted x by linear interpolation
// between order statistics (Hyndman and Fan's type 7, numpy's default).
func quantile(x []float64, q float64) float64 {
	h := q * float64(len(x)-1)
	i := int(h)
	if i+1 >= len(x) {
		return x[len(x)-1]
	}
	// Between equal neighbours the answer is exactly their value.
	if x[i] == x[i+1] {
		return x[i]
	}
	return x[i] + float64((h-float64(i))*(x[i+1]-x[i]))
}

// skewness is the moment coefficient g₁ = m₃/m₂^1.5 (population moments); 0
// when x does not vary. x is scaled first, so that cubes stay in range.
func skewness(x []float64) float64 {
	lo, hi := slices.Min(x), slices.Max(x)
	scale := hi - lo
	if scale == 0 {
		return 0
	}
	mean := numeric.Mean(x)
	var s2, s3 numeric.Exact
	for _, v := range x {
		t := (v - mean) / scale
		s2.Add(t * t)
		s3.Add(t * t * t)
	}
	n := float64(len(x))
	m2, m3 := s2.Value()/n, s3.Value()/n
	return m3 / (m2 * math.Sqrt(m2))
}

// scale is the unit in which the shaped values of a column are least skewed.
func scale(c Column, sorted []float64) float64 {
	above, _ := slices.BinarySearchFunc(sorted, 0, func(v, zero float64) int {
		if v > zero {
			return 1
		}
		return -1
	})
	positive := sorted[above:]
	if len(positive) == 0 {
		return 1
	}
	median := quantile(positive, .5)
	best, least := 1., math.Inf(1)
	shaped := make([]float64, len(sorted))
	for power := 2.; power >= -2; power-- {
		c.Scale = median * math.Pow(4, power)
		if !(c.Scale > 0) || math.IsInf(c.High/c.Scale, 0) {
			continue
		}
		for i, v := range sorted {
			shaped[i] = c.shaped(v)
		}
		if skew := math.Abs(skewness(shaped)); skew < least {
			best, least = c.Scale, skew
		}
	}
	return best
}

// longestRun finds the most frequent value of sorted x.
func longestRun(x []float64) (value float64, length int) {
	for i := 0; i < len(x); {
		j := i + 1
		for j < len(x) && x[j] == x[i] {
			j++
		}
		if j-i > length {
			value, length = x[i], j-i
		}
		i = j
	}
	return value, length
}

// Columns describes every input column, dropped ones included, in input order.
func (m *Model) Columns() []Column { return slices.Clone(m.columns) }

// Names are the output columns: the kept input columns, in input order.
func (m *Model) Names() []string { return slices.Clone(m.names) }

// Params are the parameters of the fit; Workers, which never changes a result, is 1.
func (m *Model) Params() Params { return m.params }

// Weighted is the model whose columns are multiplied by weights, in the order of
// Names, after z-scoring: they have as many standard deviations then. Weights are
// positive and finite.
func (m *Model) Weighted(weights []float64) (*Model, error) {
	if len(weights) != len(m.kept) {
		return nil, fmt.Errorf("transform: %d weights for %d columns", len(weights), len(m.kept))
	}
	columns := slices.Clone(m.columns)
	for i, j := range m.kept {
		sd := columns[j].SD / weights[i]
		if !(weights[i] > 0) || !(sd > 0) || math.IsInf(sd, 0) {
			return nil, fmt.Errorf("transform: the weight %v of column %d (%s) must be positive and finite", weights[i], j, m.names[i])
		}
		columns[j].SD = sd
	}
	return newModel(m.params, columns), nil
}

// Apply transforms x into z-scores, an n×len(Names()) matrix. Columns are
// matched by name, in any order; further columns are ignored and a missing one
// is an error. Every row is transformed on its own. The result uses dst's
// memory where it suffices; dst must not share memory with x. A dst of
// models.Matrix{} allocates.
func (m *Model) Apply(dst, x models.Matrix) (models.Matrix, error) {
	return m.apply(dst, x, nil)
}

// Replace is Apply into x's own memory: x must not be used afterwards.
func (m *Model) Replace(x models.Matrix) (models.Matrix, error) {
	// A row of the result is no longer than one of x, so it overwrites nothing
	// that is still to be read but its own row, which is copied first.
	return m.apply(models.Matrix{Data: x.Data}, x, make([]float64, x.Cols()))
}

func (m *Model) apply(dst, x models.Matrix, own []float64) (models.Matrix, error) {
	from := make([]int, len(m.kept))
	index := make(map[string]int, len(x.Names))
	for j, name := range x.Names {
		index[name] = j
	}
	var absent []string
	for o, name := range m.names {
		j, ok := index[name]
		if !ok {
			absent = append(absent, name)
		}
		from[o] = j
	}
	if len(absent) > 0 {
		return models.Matrix{}, fmt.Errorf("transform: column %s is missing from the %d columns given; score with the features the model was fitted on",
			strings.Join(absent, ", "), x.Cols())
	}
	if len(x.Data)%x.Cols() != 0 {
		return models.Matrix{}, fmt.Errorf("transform: %d values do not fill rows of %d columns", len(x.Data), x.Cols())
	}
	n := x.Rows()
	dst = m.resize(dst, n)
	for i := range n {
		in, out := x.Row(i), dst.Row(i)
		if own != nil {
			copy(own, in)
			in = own
		}
		for o, j := range from {
			v := in[j]
			if math.IsInf(v, 0) {
				return models.Matrix{}, fmt.Errorf("transform: row %d, column %d (%s) is %v; values must be finite, or NaN for missing", i, j, m.names[o], v)
			}
			out[o] = m.columns[m.kept[o]].z(v)
		}
	}
	return dst, nil
}

// Inverse takes z-scores in the order of Names(), such as segment centres,
// back to original units. The centre of a log1p or asinh column comes back as
// the transformed mean (near a geometric mean), not the arithmetic one. dst is
// as in Apply, but may be z itself.
func (m *Model) Inverse(dst, z models.Matrix) (models.Matrix, error) {
	if !slices.Equal(z.Names, m.names) {
		return models.Matrix{}, fmt.Errorf("transform: inverse of columns %v, want %v", z.Names, m.names)
	}
	if len(z.Data)%len(m.names) != 0 {
		return models.Matrix{}, fmt.Errorf("transform: %d values do not fill rows of %d columns", len(z.Data), len(m.names))
	}
	n := z.Rows()
	dst = m.resize(dst, n)
	for i := range n {
		in, out := z.Row(i), dst.Row(i)
		for o, v := range in {
			out[o] = m.columns[m.kept[o]].raw(v)
		}
	}
	return dst, nil
}

func (m *Model) resize(dst models.Matrix, n int) models.Matrix {
	size := n * len(m.names)
	if cap(dst.Data) < size {
		dst.Data = make([]float64, size)
	}
	return models.Matrix{Names: m.names, Data: dst.Data[:size]}
}

const version = 1

type saved struct {
	Version int      `json:"version"`
	Params  Params   `json:"params"`
	Columns []Column `json:"columns"`
}

// Save writes the model as JSON. Floats are written in their shortest form
// that reads back exactly, so Load restores the model bit for bit.
func (m *Model) Save(w io.Writer) error {
	if err := json.NewEncoder(w).Encode(saved{version, m.params, m.columns}); err != nil {
		return fmt.Errorf("transform: save: %w", err)
	}
	return nil
}

// MarshalJSON is what Save writes.
func (m *Model) MarshalJSON() ([]byte, error) {
	return json.Marshal(saved{version, m.params, m.columns})
}

// UnmarshalJSON is Load into m.
func (m *Model) UnmarshalJSON(data []byte) error {
	loaded, err := Load(bytes.NewReader(data))
	if err != nil {
		return err
	}
	*m = *loaded
	return nil
}

// Load reads what Save wrote and refuses anything else.
func Load(r io.Reader) (*Model, error) {
	var s saved
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return nil, fmt.Errorf("transform: load: %w", err)
	}
	if s.Version != version {
		return nil, fmt.Errorf("transform: load: version %d; this program reads version %d", s.Version, version)
	}
	s.Params.Workers = 1
	if err := s.Params.Validate(); err != nil {
		return nil, fmt.Errorf("transform: load: %w", err)
	}
	names := make([]string, 0, len(s.Columns))
	for j, c := range s.Columns {
		names = append(names, c.Name)
		if c.Dropped != "" {
			continue
		}
		if c.Shape != Identity && c.Shape != Log1p && c.Shape != Asinh {
			return nil, fmt.Errorf("transform: load: column %d (%s): unknown shape %q", j, c.Name, c.Shape)
		}
		if c.Scale < 0 || math.IsInf(c.Scale, 0) || !(c.SD > 0) || !(c.Low <= c.High) || (c.Shape == Log1p && !(min(c.Low, c.Fill) >= 0)) {
			return nil, fmt.Errorf("transform: load: column %d (%s): sd %v, clip [%v, %v] are not those of a fit", j, c.Name, c.SD, c.Low, c.High)
		}
	}
	if name, twice := repeated(names); twice {
		return nil, fmt.Errorf("transform: load: column %q occurs twice", name)
	}
	m := newModel(s.Params, s.Columns)
	if len(m.kept) == 0 {
		return nil, errors.New("transform: load: no column is kept")
	}
	return m, nil
}
