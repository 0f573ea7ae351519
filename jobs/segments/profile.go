package segments

import (
	"context"
	"math"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/jobs/segments/passes"
)

// ProfilesTable describes segments feature by feature.
const ProfilesTable = "segment_profiles"

// A Profile is what the customers of a segment have of a feature: a row of
// segment_profiles.
type Profile struct {
	Segment           int // index into Segments
	Feature           string
	Known             int // customers with a value
	Mean, SD          float64
	P10, P25, P50     float64
	P75, P90          float64
	MeanAll, Standing float64 // of everybody; difference of the means in standard deviations of everybody
}

// profile describes the segments by every feature they may be divided by, in
// original units.
func (d *division) profile(context.Context) error {
	profiles := make([][]Profile, len(d.names))
	var g errgroup.Group
	g.SetLimit(d.columnsAtOnce())
	for j := range d.names {
		g.Go(func() error {
			var err error
			profiles[j], err = d.profileOf(j)
			return err
		})
	}
	err := g.Wait()
	d.Profiles = slices.Concat(profiles...)
	return err
}

// profileOf describes the segments by one feature.
func (d *division) profileOf(j int) ([]Profile, error) {
	values, err := passes.Column(d.x, j)
	if err != nil {
		return nil, err
	}
	var all []float64
	own := make([][]float64, len(d.Segments))
	for i, v := range values {
		if math.IsNaN(v) {
			continue
		}
		all = append(all, v)
		if k := d.Labels[i]; k >= 0 { // nobody has a segment where the data support none
			own[k] = append(own[k], v)
		}
	}
	mean, sd := moments(all)
	var profiles []Profile
	for k, own := range own {
		p := Profile{Segment: k, Feature: d.names[j], Known: len(own), MeanAll: mean}
		p.Mean, p.SD = moments(own)
		p.Standing = (p.Mean - mean) / sd
		if math.IsInf(p.Standing, 0) {
			p.Standing = math.NaN()
		}
		slices.Sort(own)
		for _, q := range []struct {
			at   float64
			into *float64
		}{{.1, &p.P10}, {.25, &p.P25}, {.5, &p.P50}, {.75, &p.P75}, {.9, &p.P90}} {
			*q.into = quantile(own, q.at)
		}
		profiles = append(profiles, p)
	}
	return profiles, nil
}

// moments are the mean and standard deviation, NaN of nothing.
func moments(values []float64) (mean, sd float64) {
	if len(values) == 0 {
		return math.NaN(), math.NaN()
	}
	n := float64(len(values))
	for _, v := range values {
		mean += v
	}
	mean /= n
	for _, v := range values {
		sd += float64((v - mean) * (v - mean))
	}
	return mean, math.Sqrt(sd / n)
}

// quantile is that of sorted values by linear interpolation, as DuckDB's
// quantile_cont.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	h := q * float64(len(sorted)-1)
	i := int(h)
	if i+1 == len(sorted) {
		return sorted[i]
	}
	return sorted[i] + float64((h-float64(i))*(sorted[i+1]-sorted[i]))
}

// Likeness is how far a segment is from the one most like it.
type Likeness struct {
	Nearest  int     // index into Segments, -1 without another
	Distance float64 // between the centres, in standard deviations of the prepared features
	Alike    bool    // too alike to be acted on differently
}

// tooAlike is the difference of two centres, in standard deviations, that some
// feature must reach for the segments to be worth acting on differently.
const tooAlike = 0.5

func (d *division) compareCentres() {
	d.Likeness = make([]Likeness, len(d.Segments))
	for i := range d.Segments {
		l := &d.Likeness[i]
		l.Nearest, l.Distance = -1, math.NaN()
		a := d.Segments[i]
		for j, b := range d.Segments {
			if i == j || a.Inactive || b.Inactive {
				continue
			}
			if far := distance(a.Centre, b.Centre); l.Nearest < 0 || far < l.Distance {
				l.Nearest, l.Distance = j, far
				most := 0.0
				for f := range a.Centre {
					most = max(most, math.Abs(a.Centre[f]-b.Centre[f]))
				}
				l.Alike = most < tooAlike
			}
		}
	}
	for i, l := range d.Likeness {
		if l.Alike && (l.Nearest > i || d.Likeness[l.Nearest].Nearest != i) {
			d.warn("segments.alike", "segments %d (%s) and %d (%s) are too alike to act on differently: they differ by less than %.1f standard deviations in every feature",
				d.Segments[i].ID, d.Segments[i].Name, d.Segments[l.Nearest].ID, d.Segments[l.Nearest].Name, tooAlike)
		}
	}
}

// SmallestActive is the size of the smallest segment that has a centre and somebody in it,
// 0 when nobody is in any, and how many have a centre; the inactive, who are set apart by
// rule, have none.
func (s *Segmentation) SmallestActive() (size, segments int) {
	for _, g := range s.Segments {
		if g.Inactive {
			continue
		}
		segments++
		if g.Size > 0 && (size == 0 || g.Size < size) {
			size = g.Size
		}
	}
	return size, segments
}

// covering is how many of the largest parts make up a share of the whole.
func covering(parts []float64, share float64) int {
	sorted, total := slices.Clone(parts), 0.0
	slices.Sort(sorted)
	for _, p := range sorted {
		total += p
	}
	sum := 0.0
	for n, p := range slices.Backward(sorted) {
		if sum += p; total > 0 && sum >= share*total {
			return len(sorted) - n
		}
	}
	return len(sorted)
}

func profileTable(all []*Segmentation, stamp []outputs.Column) outputs.Table {
	type line struct {
		of *Segmentation
		*Segment
		Profile
	}
	var l outputs.Layout[line]
	for _, s := range all {
		for _, p := range s.Profiles {
			l.Rows = append(l.Rows, line{s, &s.Segments[p.Segment], p})
		}
	}
	number := func(name, meaning string, v func(p Profile) float64) outputs.Column {
		return l.Float(name, "", meaning, func(r line) float64 { return v(r.Profile) })
	}
	return l.Table(ProfilesTable, l.Text("segmentation", "The division the segment belongs to.", func(r line) string { return r.of.Name }), stamp, []outputs.Column{
		l.Small("segment_id", "The segment.", func(r line) int { return r.ID }),
		l.Text("segment_name", "Its name.", func(r line) string { return r.Name }),
		l.Text("feature", "The feature, in whose unit the numbers are.", func(r line) string { return r.Feature }),
		l.Count("customers", "Customers of the segment for whom it is known.", func(r line) int { return r.Known }),
		number("mean", "Mean of these customers.", func(p Profile) float64 { return p.Mean }),
		number("sd", "Standard deviation, dividing by their number.", func(p Profile) float64 { return p.SD }),
		number("p10", "A tenth of them have at most this.", func(p Profile) float64 { return p.P10 }),
		number("p25", "First quartile.", func(p Profile) float64 { return p.P25 }),
		number("median", "Median.", func(p Profile) float64 { return p.P50 }),
		number("p75", "Third quartile.", func(p Profile) float64 { return p.P75 }),
		number("p90", "Nine tenths of them have at most this.", func(p Profile) float64 { return p.P90 }),
		number("mean_all", "Mean of all customers for whom it is known.", func(p Profile) float64 { return p.MeanAll }),
		l.Float("standing", "sd", "Difference of the means in standard deviations of all customers.", func(r line) float64 { return r.Standing }),
	})
}
