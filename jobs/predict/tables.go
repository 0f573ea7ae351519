package predict

import (
	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/jobs/predict/evidence"
	"github.com/shoal-data/shoal/jobs/scoring"
)

// CalibrationTable compares the probabilities of every model with what happened.
// Columns of stamp follow the first, here and below.
func CalibrationTable(all []*Answer, stamp []outputs.Column) outputs.Table {
	return evidence.CalibrationTable(gathered(all, func(a *Answer) []evidence.Reliability { return a.Calibration }), stamp)
}

// AuditTable says what the labels of every snapshot are made of.
func AuditTable(all []*Answer, stamp []outputs.Column) outputs.Table {
	return evidence.AuditTable(gathered(all, func(a *Answer) []evidence.Labels { return a.Audit }), stamp)
}

// CurveTable holds every curve, point by point.
func CurveTable(all []*Answer, stamp []outputs.Column) outputs.Table {
	return evidence.CurveTable(gathered(all, func(a *Answer) []evidence.CurvePoint { return a.Curves }), stamp)
}

func gathered[T any](all []*Answer, of func(*Answer) []T) (rows []T) {
	for _, a := range all {
		rows = append(rows, of(a)...)
	}
	return rows
}

// EffectTable says what every feature does to the champions' predictions.
func EffectTable(all []*Answer, stamp []outputs.Column) outputs.Table {
	var explained []scoring.Explained
	for _, a := range all {
		if a.Effects != nil {
			explained = append(explained, scoring.Explained{Target: a.Name, Model: a.Fitted.Name, Effects: a.Effects})
		}
	}
	return scoring.EffectTable(explained, stamp)
}
