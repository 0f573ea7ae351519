package kmeans

import (
	"fmt"
	"math"
	"slices"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/internal/numeric/nearest"
	"github.com/shoal-data/shoal/models/kmeans/internal/blocks"
)

// fewRows is the number of rows from which packing the centres pays.
const fewRows = 64

// Predict labels the rows of x, n×d with the columns of Names() in that order:
// labels[i] is the nearest centre, the lowest of equals, and dist[i] the
// Euclidean distance to it. Either may be nil; otherwise its length must be n.
// Every row is labelled on its own.
func (m *Model) Predict(labels []int, dist []float64, x models.Matrix) error {
	if !slices.Equal(x.Names, m.names) {
		return fmt.Errorf("kmeans: predict on columns %v, want %v", x.Names, m.names)
	}
	if err := checkRows(x); err != nil {
		return err
	}
	n, d := x.Rows(), x.Cols()
	if labels != nil && len(labels) != n || dist != nil && len(dist) != n {
		panic(fmt.Sprintf("kmeans: %d labels and %d distances for %d rows", len(labels), len(dist), n))
	}
	if n < fewRows {
		for i := range n {
			c, d1, _ := nearestOf(x.Row(i), m.centres)
			if labels != nil {
				labels[i] = c
			}
			if dist != nil {
				dist[i] = math.Sqrt(d1)
			}
		}
		return nil
	}
	// A frame around the centres. Rows far outside it are found in float64.
	k := len(m.weights)
	frame := blocks.Frame{Shift: make([]float64, d), Scale: 1}
	for c := range slices.Chunk(m.centres, d) {
		for j, v := range c {
			frame.Shift[j] += v / float64(k)
		}
	}
	var far float64
	framed := slices.Clone(m.centres)
	for i := range framed {
		framed[i] -= frame.Shift[i%d]
		far = max(far, math.Abs(framed[i]))
	}
	_, exponent := math.Frexp(far)
	frame.Scale = math.Ldexp(1, -exponent)
	for i := range framed {
		framed[i] *= frame.Scale
	}
	var packed nearest.Centres
	packed.Set(framed, k, d, true)
	var batch nearest.Batch
	y, upto := make([]float32, nearest.Rows*d), make([]int32, nearest.Rows)
	for i := range upto {
		upto[i] = int32(i)
	}
	for lo := 0; lo < n; lo += nearest.Rows {
		some := min(nearest.Rows, n-lo)
		for i := range some {
			frame.Put(y[i*d:(i+1)*d], x.Row(lo+i))
		}
		batch.Find(&packed, y, upto[:some], nil)
		for i := range some {
			c := int(batch.Which[i])
			if batch.Doubt(i) {
				c, _, _ = nearestOf(x.Row(lo+i), m.centres)
			}
			if labels != nil {
				labels[lo+i] = c
			}
			if dist != nil {
				dist[lo+i] = math.Sqrt(distance2(x.Row(lo+i), m.centres[c*d:(c+1)*d]))
			}
		}
	}
	return nil
}
