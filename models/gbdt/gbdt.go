// Package gbdt is gradient-boosted decision trees over binned columns, grown
// leaf by leaf (Friedman, Annals of Statistics 29(5), 2001; Ke et al., LightGBM,
// NIPS 2017).
//
// Each tree is one Newton step: with gradients gᵢ and Hessians hᵢ of the loss at
// the scores so far, times the rows' weights, a leaf of sums G and H is worth
// −LearningRate·G/(H+L2), and a split gains
//
//	G_left²/(H_left+L2) + G_right²/(H_right+L2) − G²/(H+L2).
//
// Gradients are rounded to integers before they are added, 15 and 16 bits to
// find splits, 31 and 32 for the leaves' values (Shi et al., Quantized Training of
// GBDT, NeurIPS 2022). Sums of integers are exact, so a model is the same for any
// number of workers, any order of rows and any processor, as long as neither
// rows nor the values that bins are cut from are sampled, which goes by position.
package gbdt

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/gbdt/internal/bin"
)

// ErrOneClass is wrapped by the error of Fit when all labels are the same.
var ErrOneClass = errors.New("one class only")

// A Loss says what a score means.
type Loss string

const (
	Logistic Loss = "logistic" // labels 0 or 1; the score is the log-odds of 1
	Squared  Loss = "squared"  // any labels; the score is their mean
	// Tweedie is for amounts that are often 0: labels ≥ 0; the score is the
	// logarithm of their mean, and their variance grows as its TweediePower-th power.
	Tweedie Loss = "tweedie"
)

// Params are the settings of a fit. Start from DefaultParams.
type Params struct {
	Loss         Loss
	TweediePower float64 // in (1, 2): near 1 like a Poisson, near 2 like a gamma variable

	Trees        int     // how many at most, ≥ 1
	LearningRate float64 // in (0, 1]
	Leaves       int     // of a tree at most, 2 to 65,536
	MaxDepth     int     // splits above a leaf at most, ≥ 1
	// MinLeafRows is the least number of rows in a leaf, ≥ 1; a row of weight w
	// counts as w.
	MinLeafRows    int
	MinLeafHessian float64 // the least sum of Hessians in a leaf, ≥ 0
	MinGain        float64 // what a split must gain more than, ≥ 0
	L1, L2         float64 // penalties on the leaves' values, ≥ 0

	MaxBins int // intervals that a column is cut into at most, 2 to 255
	// BinRows is how many rows the cutting looks at, ≥ 1000; beyond, a sample.
	BinRows int

	// RowFraction of the rows, in (0, 1], is drawn for each tree, and
	// ColumnFraction of the columns, at least one.
	RowFraction, ColumnFraction float64
	Seed                        uint64 // of what is drawn

	// Categorical names the columns whose values are categories: whole numbers
	// from 0 to 65,535 in any order. The 255 most frequent ones are told apart;
	// the rest, and any not seen in training, are treated as missing values are, and
	// go right.
	Categorical []string
	// A category needs CategoryRows rows in a leaf to go left there, ≥ 0; with so
	// many imagined rows of no gradient it is ranked.
	CategoryRows  float64
	CategoryL2    float64 // added to L2 when a split on categories is judged, ≥ 0
	MaxCategories int     // that a split sends left, ≥ 1

	// Monotone columns: 1 where the score must not fall as the column rises, −1
	// where it must not rise.
	Monotone map[string]int

	// Patience ends the fit once the loss on the validation sample has not
	// improved for that many trees, ≥ 1. Without such a sample it has no effect.
	Patience int

	// Workers is the largest number of goroutines, ≥ 1. Results do not depend on it.
	Workers int
}

// DefaultParams are a hundred trees of 31 leaves, as LightGBM's are, a little
// more cautious: L2 is 1.
func DefaultParams() Params {
	return Params{
		Loss: Logistic, TweediePower: 1.5,
		Trees: 100, LearningRate: .1, Leaves: 31, MaxDepth: 30,
		MinLeafRows: 20, MinLeafHessian: 1e-3, L2: 1,
		MaxBins: bin.MaxBins, BinRows: 200_000,
		RowFraction: 1, ColumnFraction: 1, Seed: 1,
		CategoryRows: 10, CategoryL2: 10, MaxCategories: 32,
		Patience: 20, Workers: 1,
	}
}

// Validate reports every field out of bounds.
func (p Params) Validate() error {
	var faults []error
	check := func(ok bool, field string, value any, bound string) {
		if !ok {
			faults = append(faults, fmt.Errorf("gbdt: %s (%v) must be %s", field, value, bound))
		}
	}
	within := func(field string, v, lo, hi float64, bound string) { check(v >= lo && v <= hi, field, v, bound) }
	check(p.Loss == Logistic || p.Loss == Squared || p.Loss == Tweedie, "Loss", p.Loss, "logistic, squared or tweedie")
	check(p.TweediePower > 1 && p.TweediePower < 2, "TweediePower", p.TweediePower, "in (1, 2)")
	check(p.Trees >= 1, "Trees", p.Trees, ">= 1")
	check(p.LearningRate > 0 && p.LearningRate <= 1, "LearningRate", p.LearningRate, "in (0, 1]")
	check(p.Leaves >= 2 && p.Leaves <= 1<<16, "Leaves", p.Leaves, "2 to 65536")
	check(p.MaxDepth >= 1, "MaxDepth", p.MaxDepth, ">= 1")
	check(p.MinLeafRows >= 1, "MinLeafRows", p.MinLeafRows, ">= 1")
	const finite = ">= 0 and finite"
	within("MinLeafHessian", p.MinLeafHessian, 0, math.MaxFloat64, finite)
	within("MinGain", p.MinGain, 0, math.MaxFloat64, finite)
	within("L1", p.L1, 0, math.MaxFloat64, finite)
	within("L2", p.L2, 0, math.MaxFloat64, finite)
	check(p.MaxBins >= 2 && p.MaxBins <= bin.MaxBins, "MaxBins", p.MaxBins, "2 to 255")
	check(p.BinRows >= 1000, "BinRows", p.BinRows, ">= 1000")
	check(p.RowFraction > 0 && p.RowFraction <= 1, "RowFraction", p.RowFraction, "in (0, 1]")
	check(p.ColumnFraction > 0 && p.ColumnFraction <= 1, "ColumnFraction", p.ColumnFraction, "in (0, 1]")
	within("CategoryRows", p.CategoryRows, 0, math.MaxFloat64, finite)
	within("CategoryL2", p.CategoryL2, 0, math.MaxFloat64, finite)
	check(p.MaxCategories >= 1, "MaxCategories", p.MaxCategories, ">= 1")
	for _, name := range slices.Sorted(maps.Keys(p.Monotone)) {
		sign := p.Monotone[name]
		check(sign == 1 || sign == -1, fmt.Sprintf("Monotone[%q]", name), sign, "1 or -1")
		check(!slices.Contains(p.Categorical, name), fmt.Sprintf("Monotone[%q]", name), sign, "absent: the column is categorical")
	}
	check(p.Patience >= 1, "Patience", p.Patience, ">= 1")
	check(p.Workers >= 1, "Workers", p.Workers, ">= 1")
	return errors.Join(faults...)
}

// A Sample is rows with what is known of them.
type Sample struct {
	X models.Matrix // NaN is a missing value; infinities are refused
	Y []float64     // one label a row
	// W is a weight ≥ 0 a row: weight 2 is the row twice, weight 0 is the row
	// removed, and nil is all 1.
	W []float64
}

// maxCategory is the largest category: bitsets of them stay small.
const maxCategory = 1<<16 - 1

// check refuses a sample that cannot be learnt from. what names it in messages.
func (s Sample) check(p Params, what string) error {
	if err := checkValues(s.X, p.Categorical); err != nil {
		return err
	}
	n := s.X.Rows()
	if len(s.Y) != n {
		return fmt.Errorf("gbdt: %s%d labels for %d rows", what, len(s.Y), n)
	}
	if s.W != nil && len(s.W) != n {
		return fmt.Errorf("gbdt: %s%d weights for %d rows", what, len(s.W), n)
	}
	total := 0.0
	for i, y := range s.Y {
		switch {
		case p.Loss == Logistic && y != 0 && y != 1:
			return fmt.Errorf("gbdt: %srow %d: label %v must be 0 or 1", what, i, y)
		case math.IsNaN(y) || math.IsInf(y, 0):
			return fmt.Errorf("gbdt: %srow %d: label %v must be finite", what, i, y)
		case p.Loss == Tweedie && y < 0:
			return fmt.Errorf("gbdt: %srow %d: label %v must be >= 0", what, i, y)
		}
		if s.W != nil {
			w := s.W[i]
			if !(w >= 0) || math.IsInf(w, 0) {
				return fmt.Errorf("gbdt: %srow %d: weight %v must be >= 0 and finite", what, i, w)
			}
			total += w
		}
	}
	if s.W != nil && total == 0 {
		return fmt.Errorf("gbdt: %sempty input: all %d weights are 0", what, n)
	}
	return nil
}

// checkValues refuses empty and ragged input, infinities, and categories that
// are none. NaN passes.
func checkValues(x models.Matrix, categorical []string) error {
	d := x.Cols()
	if d == 0 || len(x.Data) == 0 {
		return fmt.Errorf("gbdt: empty input: %d rows × %d columns", x.Rows(), d)
	}
	if len(x.Data)%d != 0 {
		return fmt.Errorf("gbdt: %d values do not fill rows of %d columns", len(x.Data), d)
	}
	for k, v := range x.Data {
		// v-v is NaN for what is not finite; NaN itself passes.
		if v-v != 0 && v == v {
			return fmt.Errorf("gbdt: row %d, column %d (%s) is %v; values must be finite, or NaN where missing", k/d, k%d, x.Names[k%d], v)
		}
	}
	for _, name := range categorical {
		j := slices.Index(x.Names, name)
		if j < 0 {
			return fmt.Errorf("gbdt: categorical column %q is not among the %d columns", name, d)
		}
		for i := range x.Rows() {
			if v := x.Data[i*d+j]; v == v && !(v >= 0 && v <= maxCategory && v == math.Trunc(v)) {
				return fmt.Errorf("gbdt: row %d, column %d (%s) is %v; categories are whole numbers from 0 to %d", i, j, name, v, maxCategory)
			}
		}
	}
	return nil
}
