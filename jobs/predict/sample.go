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

// A sample is the customers of the training snapshots, oldest first, and of the test
// snapshot behind them, cut into the bins of the former, once for all targets of these
// dates.
type sample struct {
	dates  []timeline.AsOf // the last is the test's
	tables []*features.Table
	from   []int // first row of each date, and behind the last one's last
	data   *gbdt.Dataset
	// quarter is a number from 0 to 3 for each row, by its customer: the same one at
	// every date.
	quarter []uint8
}

func newSample(ctx context.Context, p Params, in Input, q targets.Schedule) (*sample, error) {
	dates := append(slices.Clone(q.Train), q.Test)
	s := &sample{dates: dates, from: []int{0}}
	for i, a := range dates {
		t := in.Past(a)
		s.tables = append(s.tables, t)
		s.from = append(s.from, s.from[i]+t.Rows())
	}
	if s.from[s.tested()] == 0 {
		return s, nil
	}
	if err := s.divide(); err != nil {
		return nil, err
	}
	tp := treeParams(p)
	var err error
	s.data, err = gbdt.NewDatasetCut(ctx, tp, in.Features, s.rows(), s.from[s.tested()], func(values []float64, j int) error {
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

// tested is the place of the test snapshot among the dates.
func (s *sample) tested() int { return len(s.dates) - 1 }

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

// split is of the rows of the first dates. It holds out a quarter of the customers,
// at every date: what became of a customer at one date tells of the others, where
// outcome windows overlap or customers stay as they are. Of the newest date alone, as
// many would say how that date was, not how such dates are: seasons pass.
func (s *sample) split(y []float64, dates int) split {
	var p split
	for i, label := range y[:s.from[dates]] {
		switch held := s.quarter[i] == 3; {
		case math.IsNaN(label):
			continue
		case held:
			p.hold = append(p.hold, uint32(i))
		default:
			p.fit = append(p.fit, uint32(i))
		}
		p.all = append(p.all, uint32(i))
	}
	return p
}

// newest are the rows of the newest date among them.
func (s *sample) newest(rows []uint32) []uint32 {
	for d := len(s.dates) - 1; d >= 0 && len(rows) > 0; d-- {
		if k, _ := slices.BinarySearch(rows, uint32(s.from[d])); k < len(rows) {
			return rows[k:]
		}
	}
	return rows
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
