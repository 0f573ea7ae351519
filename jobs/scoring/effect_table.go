package scoring

import "github.com/shoal-data/shoal/jobs/outputs"

// Explained is what a model that scores a target makes of the features.
type Explained struct {
	Target, Model string
	*Effects
}

// An effectRow is a row of feature_effects.
type effectRow struct {
	of        *Explained
	feature   int
	band      int // of the feature's; -1 is all customers
	customers int
}

// EffectTable is the table feature_effects. Columns of stamp follow the first.
func EffectTable(all []Explained, stamp []outputs.Column) outputs.Table {
	var l outputs.Layout[effectRow]
	for i := range all {
		e := &all[i]
		for f, of := range e.Features {
			l.Rows = append(l.Rows, effectRow{e, f, -1, e.Customers})
			for b, band := range of.Slices {
				l.Rows = append(l.Rows, effectRow{e, f, b, band.Customers})
			}
		}
	}
	feature := func(r effectRow) *FeatureEffect { return &r.of.Features[r.feature] }
	tenth := func(i int) (int, bool) {
		r := l.Rows[i]
		if r.band < 0 {
			return 0, false
		}
		return feature(r).Slices[r.band].Tenth, true
	}
	number := func(name, unit, meaning string, all func(f *FeatureEffect) float64, band func(b *ValueBand) float64) outputs.Column {
		return l.Float(name, unit, meaning, func(r effectRow) float64 {
			if r.band < 0 {
				return all(feature(r))
			}
			return band(&feature(r).Slices[r.band])
		})
	}
	over := func(of func(b *ValueBand) float64) func(f *FeatureEffect) float64 { // all customers
		return func(f *FeatureEffect) float64 {
			sum, n := 0.0, 0
			for i := range f.Slices {
				sum, n = sum+of(&f.Slices[i])*float64(f.Slices[i].Customers), n+f.Slices[i].Customers
			}
			return sum / float64(n)
		}
	}
	mean := func(b *ValueBand) float64 { return b.Mean }
	return l.Table("feature_effects", l.Text("target", "What is predicted.", func(r effectRow) string { return r.of.Target }), stamp, []outputs.Column{
		l.Text("model", "The method that the scores of the run come from.", func(r effectRow) string { return r.of.Model }),
		l.Text("feature", "The feature; those that the model does not use have no rows.", func(r effectRow) string { return feature(r).Feature }),
		l.Text("unit", "The feature's unit.", func(r effectRow) string { return feature(r).Unit }),
		outputs.Integer("rank", "", "The feature's place by mean_absolute_effect over all customers, from 1.", func(i int) (int, bool) { return feature(l.Rows[i]).Rank, true }),
		outputs.Integer("tenth", "", "Null: all customers. 0: those without a value. 1 to 10: tenths of the others by rising value; equal values stay together, so tenths may be missing.", tenth),
		number("value_low", "", "The least value of these customers, in the feature's unit; null for those without.", func(f *FeatureEffect) float64 { return f.Low() }, func(b *ValueBand) float64 { return b.Low }),
		number("value_high", "", "The greatest.", func(f *FeatureEffect) float64 { return f.High() }, func(b *ValueBand) float64 { return b.High }),
		outputs.Integer("customers", "customers", "These customers, of those scored at the run's date: a sample of 10,000 at most.", func(i int) (int, bool) { return l.Rows[i].customers, true }),
		number("mean_effect", "log-odds", "The mean of what the customer's value adds to the model's log-odds before calibration, a Shapley value: above 0 it makes the outcome likelier.", over(mean), mean),
		number("mean_absolute_effect", "log-odds", "The mean of its size, whichever its sign: how much the feature matters.", func(f *FeatureEffect) float64 { return f.MeanAbsolute }, func(b *ValueBand) float64 { return b.MeanAbsolute }),
	})
}
