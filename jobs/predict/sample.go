package predict

import (
	"context"
	"hash/fnv"
	"math"
	"slices"

	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/targets"
	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/gbdt"
)

// A sample is the customers of the training snapshots, oldest first, cut into bins
// once for all targets of these dates.
type sample struct {
	dates  []timeline.AsOf
	tables []*features.Table
	from   []int // first row of each date, and behind the last one's last
	data   *gbdt.Dataset
	// quarter is a number from 0 to 3 for each row, by its customer: the same one at
	// every date.
	quarter []uint8
}

func newSample(ctx context.Context, p Params, in Input, dates []timeline.AsOf) (*sample, error) {
	s := &sample{dates: dates, from: []int{0}}
	for i, a := range dates {
		t := in.Past(a)
		s.tables = append(s.tables, t)
		s.from = append(s.from, s.from[i]+t.Rows())
	}
	if s.rows() == 0 {
		return s, nil
	}
	if err := s.divide(); err != nil {
		return nil, err
	}
	tp := treeParams(p)
	var err error
	s.data, err = gbdt.NewDataset(ctx, tp, in.Features, s.rows(), func(values []float64, j int) error {
		return s.column(values, in.Features[j])
	})
	return s, err
}

// divide draws each customer's quarter.
func (s *sample) divide() error {
	for _, t := range s.tables {
		for part := range t.Parts() {
			ids, err := part.IDs()
			if err != nil {
				return err
			}
			for i := range part.Rows() {
				h := fnv.New64a()
				h.Write([]byte(ids.ValueStr(i)))
				s.quarter = append(s.quarter, uint8(h.Sum64()>>17&3))
			}
		}
	}
	return nil
}

func (s *sample) rows() int { return s.from[len(s.from)-1] }

// column writes a column of all dates to values.
func (s *sample) column(values []float64, name string) error {
	for i, t := range s.tables {
		v, err := t.Values(name)
		if err != nil {
			return err
		}
		copy(values[s.from[i]:], v)
	}
	return nil
}

// labels are a target's, NaN for who is not eligible.
func (s *sample) labels(target string) ([]float64, error) {
	y := make([]float64, s.rows())
	return y, s.column(y, targets.LabelColumn(target))
}

// matrix is the named columns of the given rows, which rise.
func (s *sample) matrix(names []string, rows []uint32) (models.Matrix, error) {
	x := models.Matrix{Names: names, Data: make([]float64, 0, len(rows)*len(names))}
	row := 0
	for _, t := range s.tables {
		for part := range t.Parts() {
			end := row + part.Rows()
			begin, _ := slices.BinarySearch(rows, uint32(row))
			stop, _ := slices.BinarySearch(rows, uint32(end))
			if mine := rows[begin:stop]; len(mine) > 0 {
				var err error
				x.Data, err = part.Matrix(x.Data, names, func(i int) bool {
					_, ok := slices.BinarySearch(mine, uint32(row+i))
					return ok
				})
				if err != nil {
					return x, err
				}
			}
			row = end
		}
	}
	return x, nil
}

// A split says which labelled rows a model is first fitted on, and on which of them
// it is stopped and calibrated.
type split struct {
	all, fit, hold []uint32
}

// split holds out the newest training snapshot, as far from the others as the date
// to be scored is from it. Where the outcome windows of the others reach into its
// own, they tell of the same customers' same days; then it holds out a quarter of
// the customers, at the newest snapshot; and where that leaves fewer than least of
// either outcome, at all of them.
func (s *sample) split(y []float64, span, least int) split {
	var p split
	for i, label := range y {
		if !math.IsNaN(label) {
			p.all = append(p.all, uint32(i))
		}
	}
	last := len(s.dates) - 1
	newest := uint32(s.from[last])
	apart := last > 0 && int(s.dates[last].Today-s.dates[last-1].Today) >= span
	for _, held := range []func(i uint32) (hold, fit bool){
		func(i uint32) (hold, fit bool) { return i >= newest && apart, i < newest },
		func(i uint32) (hold, fit bool) { return i >= newest && s.quarter[i] == 3, s.quarter[i] < 3 },
		func(i uint32) (hold, fit bool) { return s.quarter[i] == 3, s.quarter[i] < 3 },
	} {
		p.fit, p.hold = nil, nil
		for _, i := range p.all {
			hold, fit := held(i)
			if hold {
				p.hold = append(p.hold, i)
			}
			if fit {
				p.fit = append(p.fit, i)
			}
		}
		if enough(y, p.fit, least) && enough(y, p.hold, least) {
			break
		}
	}
	return p
}

func enough(y []float64, rows []uint32, least int) bool {
	n := positivesOf(y, rows)
	return n >= least && len(rows)-n >= least
}

func positivesOf(y []float64, rows []uint32) int {
	n := 0
	for _, i := range rows {
		if y[i] == 1 {
			n++
		}
	}
	return n
}

// thin keeps at most about most of the rows, evenly.
func thin(rows []uint32, most int) []uint32 {
	step := (len(rows) + most - 1) / most
	if step <= 1 {
		return rows
	}
	var kept []uint32
	for k := 0; k < len(rows); k += step {
		kept = append(kept, rows[k])
	}
	return kept
}
