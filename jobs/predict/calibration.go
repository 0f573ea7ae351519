package predict

import (
	"context"
	"errors"
	"math"
	"slices"

	"github.com/shoal-data/shoal/models/calibrate"
)

// calibrated fits the curve from the scores of held-out rows, which rise, to
// probabilities; nil when they are of one class. Of the shapes that there are rows
// enough for, it takes the one that tells the outcomes of each date best when it was
// fitted without that date: a curve that can bend further follows the dates that were
// seen, not the next one (decision 22). Rows of one date leave it to their number.
func (s *sample) calibrated(ctx context.Context, rows []uint32, scores, y []float64) (*calibrate.Model, error) {
	labels := make([]float64, len(rows))
	for k, i := range rows {
		labels[k] = y[i]
	}
	p := calibrate.DefaultParams()
	shapes := []calibrate.Method{calibrate.Platt}
	if len(rows) >= p.BetaMinRows {
		shapes = append(shapes, calibrate.Beta)
	}
	if len(rows) >= p.IsotonicMinRows {
		shapes = append(shapes, calibrate.Isotonic)
	}
	least := math.Inf(1)
	for _, shape := range shapes {
		q := p
		q.Method = shape
		loss, dates, err := s.transferred(ctx, q, rows, scores, labels)
		if err != nil {
			return nil, err
		}
		if dates > 1 && loss < least {
			least, p.Method = loss, shape
		}
	}
	m, _, err := calibrate.Fit(ctx, p, scores, labels)
	if errors.Is(err, calibrate.ErrOneClass) {
		return nil, nil
	}
	return m, err
}

// transferred is the log-loss of the rows of each date by the curve of all others, and
// how many dates could be left out.
func (s *sample) transferred(ctx context.Context, p calibrate.Params, rows []uint32, scores, labels []float64) (loss float64, dates int, err error) {
	for d := range s.dates {
		from, _ := slices.BinarySearch(rows, uint32(s.from[d]))
		to, _ := slices.BinarySearch(rows, uint32(s.from[d+1]))
		if from == to || to-from == len(rows) {
			continue
		}
		m, _, err := calibrate.Fit(ctx, p, slices.Concat(scores[:from], scores[to:]), slices.Concat(labels[:from], labels[to:]))
		if errors.Is(err, calibrate.ErrOneClass) {
			continue
		}
		if err != nil {
			return 0, 0, err
		}
		of, err := m.Predict(nil, scores[from:to])
		if err != nil {
			return 0, 0, err
		}
		for k, v := range of {
			if labels[from+k] == 0 {
				v = 1 - v
			}
			loss -= math.Log(max(v, 0x1p-52))
		}
		dates++
	}
	return loss, dates, nil
}
