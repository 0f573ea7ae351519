package metrics

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/shoal-data/shoal/models/internal/numeric"
)

// Regression is how predictions met amounts. It is immutable.
type Regression struct {
	// Rows by descending prediction, then ascending actual: sums taken in this
	// order do not depend on the order in which the rows came.
	order             []int32
	actual, predicted []float64
	byActual          []int32 // row → rank of its value among the distinct, ascending
	byPredicted       []int32 // likewise
	times             []int32 // how often each row counts; nil is once
	rows              int64
}

// NewRegression takes what happened and what was predicted, both finite and in
// one unit. Cost: O(n log n), once; every figure is then linear.
func NewRegression(actual, predicted []float64) (*Regression, error) {
	sameLength("actual and predicted", len(actual), len(predicted))
	if len(actual) == 0 {
		return nil, fmt.Errorf("metrics: empty input: no rows to measure")
	}
	for i := range actual {
		for _, v := range [2]float64{actual[i], predicted[i]} {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("metrics: row %d: actual %v, predicted %v; both must be finite", i, actual[i], predicted[i])
			}
		}
	}
	r := &Regression{actual: slices.Clone(actual), predicted: slices.Clone(predicted), rows: int64(len(actual))}
	r.order = make([]int32, len(actual))
	for i := range r.order {
		r.order[i] = int32(i)
	}
	slices.SortFunc(r.order, func(i, j int32) int {
		return cmp.Or(cmp.Compare(predicted[j], predicted[i]), cmp.Compare(actual[i], actual[j]))
	})
	r.byActual, r.byPredicted = denseRank(actual), denseRank(predicted)
	return r, nil
}

func denseRank(x []float64) []int32 {
	order := make([]int32, len(x))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(i, j int32) int { return cmp.Compare(x[i], x[j]) })
	rank := make([]int32, len(x))
	for k, i := range order[1:] {
		rank[i] = rank[order[k]]
		if x[i] != x[order[k]] {
			rank[i]++
		}
	}
	return rank
}

// Resample is r with row i counted times[i] ≥ 0 times, as a bootstrap draws it.
// It shares memory with r.
func (r *Regression) Resample(times []int32) *Regression {
	sameLength("rows and times", len(r.actual), len(times))
	c := *r
	c.times, c.rows = times, 0
	for _, t := range times {
		c.rows += int64(t)
	}
	return &c
}

// Rows is the number of rows.
func (r *Regression) Rows() int { return int(r.rows) }

func (r *Regression) count(i int32) float64 {
	if r.times == nil {
		return 1
	}
	return float64(r.times[i])
}

func (r *Regression) sum(f func(actual, predicted float64) float64) float64 {
	var s numeric.Compensated
	for _, i := range r.order {
		if t := r.count(i); t > 0 {
			s.Add(t * f(r.actual[i], r.predicted[i]))
		}
	}
	return s.Value()
}

// MAE is the mean absolute error, in the amounts' unit.
func (r *Regression) MAE() (value float64, ok bool) {
	if r.rows == 0 {
		return undefined()
	}
	return r.sum(func(a, p float64) float64 { return math.Abs(a - p) }) / float64(r.rows), true
}

// RMSE is the root mean squared error, in the amounts' unit.
func (r *Regression) RMSE() (value float64, ok bool) {
	if r.rows == 0 {
		return undefined()
	}
	return math.Sqrt(r.sum(func(a, p float64) float64 { return (a - p) * (a - p) }) / float64(r.rows)), true
}

// TotalRatio is Σ predicted / Σ actual: 1 is right in the large. It needs
// actual amounts that do not sum to 0.
func (r *Regression) TotalRatio() (value float64, ok bool) {
	actual := r.sum(func(a, _ float64) float64 { return a })
	if actual == 0 {
		return undefined()
	}
	return r.sum(func(_, p float64) float64 { return p }) / actual, true
}

// Spearman is the correlation of the ranks of actual and predicted, in [-1,1],
// equal values sharing their mean rank (Spearman, Am. J. Psychol. 15, 1904). It
// needs actual and predicted to vary.
func (r *Regression) Spearman() (value float64, ok bool) {
	ra, rp := r.centredRanks(r.byActual), r.centredRanks(r.byPredicted)
	var aa, pp, ap numeric.Compensated
	for _, i := range r.order {
		t := r.count(i)
		a, p := ra[r.byActual[i]], rp[r.byPredicted[i]]
		aa.Add(t * a * a)
		pp.Add(t * p * p)
		ap.Add(t * a * p)
	}
	if aa.Value() == 0 || pp.Value() == 0 {
		return undefined()
	}
	return min(max(ap.Value()/(math.Sqrt(aa.Value())*math.Sqrt(pp.Value())), -1), 1), true
}

// centredRanks are, for each distinct value, the mean rank of its rows less
// that of all rows; multiples of ½, so exact.
func (r *Regression) centredRanks(rank []int32) []float64 {
	n := make([]int64, slices.Max(rank)+1)
	for i, k := range rank {
		n[k] += int64(r.count(int32(i)))
	}
	out := make([]float64, len(n))
	var before int64
	for k, c := range n {
		out[k] = float64(2*before+c-r.rows) / 2
		before += c
	}
	return out
}

// Captured is the share of Σ actual that falls to the top share of rows, in
// [0,1], ranked by prediction; rows that tie across the cut count in part, as
// in Binary.Captured. It needs actual amounts that are ≥ 0 and not all 0.
func (r *Regression) Captured(share float64) (value float64, ok bool) {
	if !(share >= 0 && share <= 1) {
		panic(fmt.Sprintf("metrics: Captured: share (%v) must be in [0,1]", share))
	}
	for i, a := range r.actual {
		if a < 0 && r.count(int32(i)) > 0 {
			return undefined()
		}
	}
	total := r.sum(func(a, _ float64) float64 { return a })
	if total == 0 {
		return undefined()
	}
	k := share * float64(r.rows)
	var top, tied numeric.Compensated
	var n float64
	for lo := 0; lo < len(r.order); {
		p := r.predicted[r.order[lo]]
		tied = numeric.Compensated{}
		size, hi := 0., lo
		for ; hi < len(r.order) && r.predicted[r.order[hi]] == p; hi++ {
			t := r.count(r.order[hi])
			size += t
			tied.Add(t * r.actual[r.order[hi]])
		}
		if n+size > k {
			top.Add(tied.Value() * ((k - n) / size))
			break
		}
		top.Merge(tied)
		n += size
		lo = hi
	}
	return top.Value() / total, true
}

// A CalibrationBin compares predicted and actual for rows of similar prediction.
type CalibrationBin struct {
	Low       float64 `json:"low"`  // least prediction of the bin's rows
	High      float64 `json:"high"` // greatest
	Rows      int     `json:"rows"`
	Predicted float64 `json:"predicted"` // mean
	Actual    float64 `json:"actual"`    // mean
}

// Calibration cuts the rows, ranked by prediction, into that many bins of about
// equal size (10 for deciles), by ascending prediction. Equal predictions stay
// together, where the middle of their rows falls, so bins may be fewer.
func (r *Regression) Calibration(bins int) []CalibrationBin {
	if bins < 1 {
		panic(fmt.Sprintf("metrics: Calibration: bins (%d) must be >= 1", bins))
	}
	var out []CalibrationBin
	var predicted, actual numeric.Compensated
	last := int64(-1)
	var below int64
	for hi := len(r.order); hi > 0; {
		p := r.predicted[r.order[hi-1]]
		lo, size := hi, int64(0)
		for ; lo > 0 && r.predicted[r.order[lo-1]] == p; lo-- {
			size += int64(r.count(r.order[lo-1]))
		}
		group := r.order[lo:hi]
		hi = lo
		if size == 0 {
			continue
		}
		if bin := (2*below + size) * int64(bins) / (2 * r.rows); bin != last {
			out = append(out, CalibrationBin{Low: p})
			last, predicted, actual = bin, numeric.Compensated{}, numeric.Compensated{}
		}
		below += size
		b := &out[len(out)-1]
		b.High = p
		b.Rows += int(size)
		for _, i := range group {
			if t := r.count(i); t > 0 {
				predicted.Add(t * p)
				actual.Add(t * r.actual[i])
			}
		}
		b.Predicted, b.Actual = predicted.Value()/float64(b.Rows), actual.Value()/float64(b.Rows)
	}
	return out
}
