package scoring

import (
	"cmp"
	"math"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/shoal-data/shoal/datasets/tables"
)

// Effects are what each feature does to the scores of a model, on a sample of the
// customers that it scores.
type Effects struct {
	Customers int // of the sample
	Features  []FeatureEffect
}

// A FeatureEffect is what one feature does. An effect is a Shapley value: what the
// customer's own value adds to the log-odds before calibration.
type FeatureEffect struct {
	Feature, Unit string
	Rank          int         // by MeanAbsolute, from 1; equal ones in the model's order
	MeanAbsolute  float64     // mean |effect|
	Slices        []ValueBand // by rising value, those without one first
}

// A ValueBand is customers of similar value of a feature.
type ValueBand struct {
	// Tenth is which tenth of the customers who have a value, from 1; 0 is those who
	// have none. Equal values stay together, so that tenths may be missing.
	Tenth        int
	Low, High    float64 // the least and the greatest value, NaN for tenth 0
	Customers    int
	Mean         float64 // mean effect
	MeanAbsolute float64
}

// effectRows is how many customers effects are taken from at most: they put the
// standard error of a mean at a hundredth of the deviation.
const effectRows = 10_000

// A sample is the values and effects of some customers, taken by several
// goroutines, each of its own rows.
type sample struct {
	rows            []int // rising
	width           int
	values, effects []float64
}

func newSample(m *Model, n int, eligible func(row int) bool) *sample {
	s := &sample{width: len(m.Columns)}
	for i := range n {
		if eligible(i) {
			s.rows = append(s.rows, i)
		}
	}
	if step := (len(s.rows) + effectRows - 1) / effectRows; step > 1 {
		kept := s.rows[:0]
		for k := 0; k < len(s.rows); k += step {
			kept = append(kept, s.rows[k])
		}
		s.rows = kept
	}
	s.values, s.effects = make([]float64, len(s.rows)*s.width), make([]float64, len(s.rows)*s.width)
	return s
}

// take notes a row, when it is of the sample: share j is of a column of the model.
func (s *sample) take(row int, values, shares []float64, column func(j int) int) {
	k, ok := slices.BinarySearch(s.rows, row)
	if !ok {
		return
	}
	copy(s.values[k*s.width:], values)
	for j, v := range shares {
		s.effects[k*s.width+column(j)] += v
	}
}

// summed sums the sample up, nil when it is empty. schema says the columns' units.
func (s *sample) summed(m *Model, schema *arrow.Schema) *Effects {
	if len(s.rows) == 0 {
		return nil
	}
	e := &Effects{Customers: len(s.rows)}
	order := make([]int, len(s.rows))
	for j, name := range m.Columns {
		f := FeatureEffect{Feature: name}
		if at := schema.FieldIndices(name); len(at) == 1 {
			f.Unit, _ = schema.Field(at[0]).Metadata.GetValue(tables.MetaUnit)
		}
		value := func(k int) float64 { return s.values[k*s.width+j] }
		for k := range order {
			order[k] = k
			f.MeanAbsolute += math.Abs(s.effects[k*s.width+j]) / float64(len(order))
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(value(a), value(b)) }) // NaN first
		known := len(order)
		for known > 0 && math.IsNaN(value(order[len(order)-known])) {
			known--
		}
		missing := len(order) - known
		for from := 0; from < len(order); {
			to, tenth := from+1, 0
			if from < missing {
				to = missing
			} else {
				for to < len(order) && value(order[to]) == value(order[from]) {
					to++
				}
				// Equal values are of the tenth that the middle of them falls into.
				tenth = 1 + (from-missing+to-missing)*10/(2*known)
			}
			f.add(tenth, value(order[from]), order[from:to], func(k int) float64 { return s.effects[k*s.width+j] })
			from = to
		}
		for i := range f.Slices {
			b := &f.Slices[i]
			b.Mean /= float64(b.Customers)
			b.MeanAbsolute /= float64(b.Customers)
		}
		e.Features = append(e.Features, f)
	}
	slices.SortStableFunc(e.Features, func(a, b FeatureEffect) int { return cmp.Compare(b.MeanAbsolute, a.MeanAbsolute) })
	for i := range e.Features {
		e.Features[i].Rank = i + 1
	}
	return e
}

// add puts customers of one value into their tenth.
func (f *FeatureEffect) add(tenth int, value float64, rows []int, effect func(k int) float64) {
	if n := len(f.Slices); n == 0 || f.Slices[n-1].Tenth != tenth {
		f.Slices = append(f.Slices, ValueBand{Tenth: tenth, Low: value})
	}
	b := &f.Slices[len(f.Slices)-1]
	b.High = value
	b.Customers += len(rows)
	for _, k := range rows {
		v := effect(k)
		b.Mean += v
		b.MeanAbsolute += math.Abs(v)
	}
}

// Low is the least value of all customers, NaN when none has one.
func (f *FeatureEffect) Low() float64 {
	for _, b := range f.Slices {
		if b.Tenth > 0 {
			return b.Low
		}
	}
	return math.NaN()
}

// High is the greatest.
func (f *FeatureEffect) High() float64 { return f.Slices[len(f.Slices)-1].High }
