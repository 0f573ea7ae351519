// Package segments divides customers by what they do: it prepares the feature
// table, chooses how many segments the data support, fits them, and names them
// in an analyst's words.
package segments

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/kmeans"
	"github.com/shoal-data/shoal/models/transform"
)

// Params of one segmentation.
type Params struct {
	K int // 0 chooses between KMin and KMax
	// Chosen says that a person named the features: then they hear of those
	// that had to be left out.
	Chosen     bool
	KMin, KMax int
	MinShare   float64 // smallest share of customers that the choice accepts
	Restarts   int
	Seed       uint64
	Workers    int
}

// A Segmentation is a fitted division of the customers.
type Segmentation struct {
	Segments  []Segment
	Labels    []int     // of each row, index into Segments
	Distances []float64 // of each row to its segment's centre, in standard deviations of the prepared features
	Features  []string  // the columns that remained after preparation
	Curve     []kmeans.Candidate
	Prepared  *transform.Model
	Model     *kmeans.Model
	Inertia   float64
}

// A Segment is a group of customers who behave alike.
type Segment struct {
	ID          int // 1 … K by descending size
	Name        string
	Description string
	Size        int
	Share       float64
	Centre      []float64 // in standard deviations, by Segmentation.Features
	Mean        []float64 // in original units, by Segmentation.Features; NaN when nobody has a value
}

// Defaults is the selection of features a segmentation is made on when none is
// named: how often and how much customers buy, how they visit, how they answer.
// They are rates rather than counts, so that a segment is a kind of behaviour
// and not a length of tenure, and each behaviour counts once. Where the data
// lack a behaviour, its column is constant and drops out.
func Defaults() []string {
	return []string{
		"days_since_last_event", "purchase_days_per_30d", "average_order_value", "items_per_order", "favourite_category_share",
		"return_share", "coupons_per_order", "sessions_per_30d", "session_events_mean", "session_conversion_share",
		"message_open_rate", "message_click_rate",
	}
}

// Fit divides the rows of x: raw features, NaN where undefined.
func Fit(ctx context.Context, p Params, x models.Matrix) (*Segmentation, []models.Warning, error) {
	tp := transform.DefaultParams()
	tp.Workers = p.Workers
	tp.SkewLimit = 1 // counts and money are skewed; distances should not be ruled by their tails
	prepared, warnings, err := transform.Fit(ctx, tp, x)
	if err != nil {
		return nil, nil, fmt.Errorf("segments: %w", err)
	}
	if !p.Chosen {
		warnings = nil
	}
	z, err := prepared.Apply(models.Matrix{}, x)
	if err != nil {
		return nil, nil, fmt.Errorf("segments: %w", err)
	}
	s := &Segmentation{Features: prepared.Names(), Prepared: prepared}
	fit := kmeans.DefaultParams()
	fit.K, fit.Restarts, fit.Seed, fit.Workers = p.K, p.Restarts, p.Seed, p.Workers
	if p.K == 0 {
		cp := kmeans.DefaultChooseParams()
		cp.KMin, cp.KMax, cp.MinShare = p.KMin, p.KMax, p.MinShare
		cp.Fit.Seed, cp.Fit.Workers = p.Seed, p.Workers
		k, curve, more, err := kmeans.Choose(ctx, cp, z)
		if err != nil {
			return nil, nil, fmt.Errorf("segments: %w", err)
		}
		fit.K, s.Curve = k, curve
		warnings = append(warnings, more...)
	}
	model, result, more, err := kmeans.Fit(ctx, fit, z)
	if err != nil {
		return nil, nil, fmt.Errorf("segments: %w", err)
	}
	warnings = append(warnings, more...)
	s.Model, s.Labels, s.Inertia = model, result.Labels, result.Inertia
	s.Distances = make([]float64, z.Rows())
	if err := model.Predict(nil, s.Distances, z); err != nil {
		return nil, nil, fmt.Errorf("segments: %w", err)
	}
	s.describe(x)
	return s, warnings, nil
}

// describe fills sizes, means and names.
func (s *Segmentation) describe(x models.Matrix) {
	centres := s.Model.Centres()
	k, d := centres.Rows(), centres.Cols()
	columns := make([]int, d)
	for j, name := range s.Features {
		columns[j] = slices.Index(x.Names, name)
	}
	sums, counts := make([]float64, k*d), make([]float64, k*d)
	s.Segments = make([]Segment, k)
	for i, label := range s.Labels {
		s.Segments[label].Size++
		row := x.Row(i)
		for j, c := range columns {
			if v := row[c]; !math.IsNaN(v) {
				sums[label*d+j] += v
				counts[label*d+j]++
			}
		}
	}
	for i := range s.Segments {
		g := &s.Segments[i]
		g.ID = i + 1
		g.Share = float64(g.Size) / float64(len(s.Labels))
		g.Centre = centres.Row(i)
		g.Mean = make([]float64, d)
		for j := range d {
			g.Mean[j] = sums[i*d+j] / counts[i*d+j]
		}
	}
	name(s.Segments, s.Features)
}
