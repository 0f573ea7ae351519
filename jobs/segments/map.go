package segments

import (
	"context"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/jobs/segments/passes"
)

// MapTable is the table of a sample of customers in two dimensions.
const MapTable = "customer_map"

// mapPoints is how many customers of a segmentation are on the map.
const mapPoints = 2000

// A Map is a sample of the active customers in the two directions in which they differ
// most: the principal components of the prepared features.
type Map struct {
	Points []Spot
	Axes   [2]Axis
}

// A Spot is a customer on the map.
type Spot struct {
	Segment int // index into Segments
	X, Y    float64
}

// An Axis is a direction of the map.
type Axis struct {
	Share    float64 // of the sample's variance
	Features string  // that make most of it, with the sign that leads to the right or upwards
}

// place makes the map of rows at even distances: rows are in an order that only who the
// customers are decides.
func (d *division) place(ctx context.Context) (*Map, error) {
	n, width := len(d.active), len(d.Features)
	if d.model == nil || n < 3 || width == 0 {
		return nil, nil
	}
	sampled := min(n, mapPoints)
	from := make([]int, sampled)
	for i := range sampled {
		from[i] = i * n / sampled
	}
	sample, err := passes.Gather(ctx, d.z, from)
	if err != nil {
		return nil, err
	}
	rows := mat.NewDense(sampled, width, slices.Clone(sample.Data))
	var pc stat.PC
	if !pc.PrincipalComponents(rows, nil) {
		return nil, nil
	}
	var vectors mat.Dense
	pc.VectorsTo(&vectors)
	variances, total := pc.VarsTo(nil), 0.0
	for _, v := range variances {
		total += v
	}
	if total <= 0 {
		return nil, nil
	}
	m := &Map{Points: make([]Spot, sampled)}
	for i := range sampled {
		m.Points[i].Segment = d.Labels[d.active[from[i]]]
	}
	for k := range min(2, len(variances)) {
		direction := mat.Col(nil, k, &vectors)
		// An eigenvector's sign is arbitrary: the largest part leads to the right or up.
		most := 0
		for j, v := range direction {
			if math.Abs(v) > math.Abs(direction[most])*(1+1e-9) {
				most = j
			}
		}
		if direction[most] < 0 {
			for j := range direction {
				direction[j] = -direction[j]
			}
		}
		m.Axes[k] = Axis{Share: variances[k] / total, Features: loadings(d.Features, direction)}
		for i := range sampled {
			at := 0.0
			for j, v := range direction {
				at += float64(v * rows.At(i, j))
			}
			if k == 0 {
				m.Points[i].X = at
			} else {
				m.Points[i].Y = at
			}
		}
	}
	return m, nil
}

// loadings are the three features that make most of a direction.
func loadings(names []string, direction []float64) string {
	order := make([]int, len(names))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return int(math.Copysign(1, math.Abs(direction[b])-math.Abs(direction[a])))
	})
	var parts []string
	for _, i := range order[:min(3, len(order))] {
		if math.Abs(direction[i]) < .2 {
			break
		}
		sign := "+"
		if direction[i] < 0 {
			sign = "-"
		}
		parts = append(parts, sign+names[i])
	}
	return strings.Join(parts, ", ")
}

func mapTable(all []*Segmentation, stamp []outputs.Column) outputs.Table {
	type line struct {
		of *Segmentation
		Spot
		point int
	}
	var l outputs.Layout[line]
	for _, s := range all {
		if s.Map == nil {
			continue
		}
		for i, p := range s.Map.Points {
			l.Rows = append(l.Rows, line{s, p, i + 1})
		}
	}
	return l.Table(MapTable, l.Text("segmentation", "The division.", func(r line) string { return r.of.Name }), stamp, []outputs.Column{
		l.Small("point", "A customer of the sample, without a name: 2,000 active customers at most, evenly drawn.", func(r line) int { return r.point }),
		l.Small("segment_id", "The customer's segment.", func(r line) int {
			if r.Segment < 0 {
				return 0
			}
			return r.of.Segments[r.Segment].ID
		}),
		l.Float("x", "sd", "Where the customer is in the direction in which customers differ most: the first principal component of the prepared features.", func(r line) float64 { return r.X }),
		l.Float("y", "sd", "Likewise, in the second.", func(r line) float64 { return r.Y }),
		l.Float("x_share", "share", "Share of the sample's variance along x.", func(r line) float64 { return r.of.Map.Axes[0].Share }),
		l.Float("y_share", "share", "Share along y.", func(r line) float64 { return r.of.Map.Axes[1].Share }),
		l.Text("x_features", "What makes most of x: up to three features, each with the sign that leads to the right.", func(r line) string { return r.of.Map.Axes[0].Features }),
		l.Text("y_features", "What makes most of y, with the sign that leads upwards.", func(r line) string { return r.of.Map.Axes[1].Features }),
	})
}
