package baseline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/shoal-data/shoal/models"
)

// NeighboursParams are the settings of FitNeighbours. Start from
// DefaultNeighboursParams.
type NeighboursParams struct {
	K int // neighbours that are asked, ≥ 1; all rows when there are fewer
	// Rows is how many training rows are kept at most, ≥ K, evenly: every prediction
	// looks at all of them.
	Rows int
}

// DefaultNeighboursParams ask 50 of 1000 rows.
func DefaultNeighboursParams() NeighboursParams { return NeighboursParams{K: 50, Rows: 1000} }

// Validate reports every field out of bounds.
func (p NeighboursParams) Validate() error {
	var faults []error
	if p.K < 1 {
		faults = append(faults, fmt.Errorf("baseline: K (%v) must be >= 1", p.K))
	}
	if p.Rows < p.K {
		faults = append(faults, fmt.Errorf("baseline: Rows (%v) must be >= K (%v)", p.Rows, p.K))
	}
	return errors.Join(faults...)
}

// A Neighbours predicts the share of positives among the nearest training rows, by
// Euclidean distance (Cover and Hart, IEEE Trans. Inf. Theory 13, 1967), with one
// row at the overall rate added. Give it standardised columns. It is read-only, and
// its JSON form restores it exactly.
type Neighbours struct {
	Names []string  `json:"names"`
	K     int       `json:"k"`
	Data  []float64 `json:"data"` // the rows that are kept
	Label []float64 `json:"label"`
	Base  float64   `json:"base"` // rate of all training rows
	Rows  int       `json:"rows"` // of these
}

// UnmarshalJSON refuses a model whose parts do not fit together.
func (m *Neighbours) UnmarshalJSON(data []byte) error {
	type plain Neighbours
	var p plain
	if err := json.Unmarshal(data, &p); err != nil {
		return fmt.Errorf("baseline: %w", err)
	}
	if len(p.Names) == 0 || len(p.Label) == 0 || p.K < 1 || len(p.Data) != len(p.Names)*len(p.Label) {
		return fmt.Errorf("baseline: %d names, %d values, %d labels, k %d: not a saved model", len(p.Names), len(p.Data), len(p.Label), p.K)
	}
	*m = Neighbours(p)
	return nil
}

// FitNeighbours keeps rows of x, all finite, and their labels, 0 or 1.
func FitNeighbours(ctx context.Context, p NeighboursParams, x models.Matrix, y []float64) (*Neighbours, []models.Warning, error) {
	if err := p.Validate(); err != nil {
		return nil, nil, err
	}
	if err := checkValues(x, false); err != nil {
		return nil, nil, err
	}
	base, err := checkLabels(x, y)
	if err != nil {
		return nil, nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("baseline: fit stopped: %w", err)
	}
	n := x.Rows()
	kept := min(n, p.Rows)
	m := &Neighbours{Names: slices.Clone(x.Names), K: min(p.K, kept), Base: base, Rows: n}
	for k := range kept {
		i := k * n / kept
		m.Data, m.Label = append(m.Data, x.Row(i)...), append(m.Label, y[i])
	}
	return m, nil, nil
}

// Predict is P(y = 1) for each row of x, whose columns must be the model's. dst is
// allocated when nil; otherwise it must have x.Rows() elements.
func (m *Neighbours) Predict(dst []float64, x models.Matrix) ([]float64, error) {
	if err := accepts(m.Names, x, false); err != nil {
		return nil, err
	}
	dst = room(dst, x)
	type near struct{ distance, label float64 }
	// The nearest so far, nearest first; of equally near rows the earlier.
	best := make([]near, 0, m.K+1)
	d := len(m.Names)
	for i := range dst {
		best = best[:0]
		row := x.Row(i)
		for k, label := range m.Label {
			limit := math.Inf(1)
			if len(best) == m.K {
				limit = best[m.K-1].distance
			}
			s := within(row, m.Data[k*d:][:d], limit)
			if s >= limit {
				continue
			}
			at, _ := slices.BinarySearchFunc(best, s, func(n near, s float64) int {
				if n.distance <= s {
					return -1
				}
				return 1
			})
			best = slices.Insert(best, at, near{s, label})
			if len(best) > m.K {
				best = best[:m.K]
			}
		}
		positives := m.Base
		for _, n := range best {
			positives += n.label
		}
		dst[i] = positives / float64(len(best)+1)
	}
	return dst, nil
}

// within is the squared distance, or a part of it once that exceeds limit.
func within(a, b []float64, limit float64) float64 {
	var s float64
	for len(a) >= 16 {
		var s0, s1, s2, s3 float64
		x, y := a[:16], b[:16]
		for j := 0; j < 16; j += 4 {
			d0, d1, d2, d3 := x[j]-y[j], x[j+1]-y[j+1], x[j+2]-y[j+2], x[j+3]-y[j+3]
			s0, s1, s2, s3 = s0+d0*d0, s1+d1*d1, s2+d2*d2, s3+d3*d3
		}
		if s += (s0 + s1) + (s2 + s3); s > limit {
			return s
		}
		a, b = a[16:], b[16:]
	}
	for j, v := range a {
		s += (v - b[j]) * (v - b[j])
	}
	return s
}
