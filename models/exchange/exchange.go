// Package exchange writes a whole way from raw columns to a calibrated probability
// in a format that others read: ONNX, all in double precision.
package exchange

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/shoal-data/shoal/models/baseline"
	"github.com/shoal-data/shoal/models/calibrate"
	"github.com/shoal-data/shoal/models/gbdt"
	"github.com/shoal-data/shoal/models/internal/onnx"
	"github.com/shoal-data/shoal/models/logit"
	"github.com/shoal-data/shoal/models/transform"
)

// A Classifier is one of three models with its calibration.
type Classifier struct {
	Columns []string // of the rows, in order

	Recency  *baseline.Model
	Logistic *logit.Model // of what Prepared makes of the columns
	Prepared *transform.Model
	Trees    *gbdt.Model // its columns are Columns

	// Calibration is of log-odds; nil leaves them.
	Calibration *calibrate.Model
}

// WriteONNX writes the classifier for operator sets 18 and ai.onnx.ml 5: input "x"
// is n×d doubles, NaN where a value is missing; outputs "score", the log-odds before
// calibration, and "probability" are n×1. The metadata's "columns" is Columns as JSON.
func (c Classifier) WriteONNX(w io.Writer) error {
	g := onnx.New("classifier", c.Columns)
	var score string
	switch {
	case c.Trees != nil:
		if !slices.Equal(c.Trees.Names, c.Columns) {
			return errors.New("exchange: the trees' columns are not the classifier's")
		}
		score = c.Trees.AddTo(g)
	case c.Logistic != nil && c.Prepared != nil:
		z, err := prepare(g, c.Prepared, c.Columns)
		if err != nil {
			return err
		}
		if !slices.Equal(c.Prepared.Names(), c.Logistic.Names) {
			return errors.New("exchange: what is prepared is not what the logistic model was fitted on")
		}
		score = g.Node("Add", g.Node("MatMul", z, g.Column(c.Logistic.Weights...)), g.Row(c.Logistic.Intercept))
	case c.Recency != nil:
		v, err := gather(g, c.Columns, c.Recency.Column)
		if err != nil {
			return err
		}
		curve := polyline(g, v, c.Recency.Values, c.Recency.LogOdds)
		score = g.Node("Where", g.Node("IsNaN", v), g.Row(c.Recency.Never), curve)
	default:
		return errors.New("exchange: a classifier without a model")
	}
	score = g.Named("score", "Identity", score)
	if c.Calibration == nil {
		g.Named("probability", "Sigmoid", score)
		return g.Write(w)
	}
	p, err := calibrated(g, c.Calibration, score)
	if err != nil {
		return err
	}
	p = g.Node("Max", p, g.Row(c.Calibration.Low))
	g.Named("probability", "Min", p, g.Row(c.Calibration.High))
	return g.Write(w)
}

// gather picks one column by name.
func gather(g *onnx.Graph, columns []string, name string) (string, error) {
	j := slices.Index(columns, name)
	if j < 0 {
		return "", fmt.Errorf("exchange: column %s is not among the %d columns", name, len(columns))
	}
	return g.Gather(onnx.Input, []int64{int64(j)}), nil
}

// prepare turns the input into z-scores, as transform.Model.Apply does.
func prepare(g *onnx.Graph, m *transform.Model, columns []string) (string, error) {
	var places []int64
	var fill, low, high, mean, sd []float64
	var log, asinh []bool
	for _, c := range m.Columns() {
		if c.Dropped != "" {
			continue
		}
		j := slices.Index(columns, c.Name)
		if j < 0 {
			return "", fmt.Errorf("exchange: column %s is not among the %d columns", c.Name, len(columns))
		}
		if c.Scale != 0 && c.Scale != 1 {
			return "", fmt.Errorf("exchange: column %s is shaped in units of %v, which the graph does not do; fit it without FitScale", c.Name, c.Scale)
		}
		places = append(places, int64(j))
		fill, low, high = append(fill, c.Fill), append(low, c.Low), append(high, c.High)
		mean, sd = append(mean, c.Mean), append(sd, c.SD)
		log, asinh = append(log, c.Shape == transform.Log1p), append(asinh, c.Shape == transform.Asinh)
	}
	v := g.Gather(onnx.Input, places)
	missing := g.Node("IsNaN", v)
	v = g.Node("Where", missing, g.Row(fill...), v) // before clipping, which must not see NaN
	clipped := g.Node("Min", g.Node("Max", v, g.Row(low...)), g.Row(high...))
	v = g.Node("Where", missing, v, clipped)
	one, zero := g.Row(1), g.Row(0)
	if slices.Contains(log, true) {
		v = g.Node("Where", g.Mask(log), g.Node("Log", g.Node("Add", g.Node("Max", v, zero), one)), v)
	}
	if slices.Contains(asinh, true) {
		size := g.Node("Abs", v)
		root := g.Node("Sqrt", g.Node("Add", g.Node("Mul", size, size), one))
		v = g.Node("Where", g.Mask(asinh), g.Node("Mul", g.Node("Sign", v), g.Node("Log", g.Node("Add", size, root))), v)
	}
	return g.Node("Div", g.Node("Sub", v, g.Row(mean...)), g.Row(sd...)), nil
}

// polyline is the curve through corners, x rising, flat beyond its ends: what each
// step of it adds, as far as v has gone.
func polyline(g *onnx.Graph, v string, x, y []float64) string {
	var from, width, slope []float64
	for i := 1; i < len(x); i++ {
		if x[i] > x[i-1] && y[i] != y[i-1] {
			from, width = append(from, x[i-1]), append(width, x[i]-x[i-1])
			slope = append(slope, (y[i]-y[i-1])/(x[i]-x[i-1]))
		}
	}
	if len(from) == 0 { // flat; as many rows as v
		return g.Node("Add", g.Node("Mul", v, g.Row(0)), g.Row(y[0]))
	}
	gone := g.Node("Min", g.Node("Max", g.Node("Sub", v, g.Row(from...)), g.Row(0)), g.Row(width...))
	return g.Node("Add", g.Node("MatMul", gone, g.Column(slope...)), g.Row(y[0]))
}

// calibrated is the calibration's curve, before its bounds.
func calibrated(g *onnx.Graph, m *calibrate.Model, score string) (string, error) {
	switch m.Method {
	case calibrate.Platt:
		return g.Node("Sigmoid", g.Node("Sub", g.Row(-m.B), g.Node("Mul", score, g.Row(m.A)))), nil
	case calibrate.Beta:
		// −ln S = ln(1+e^−s) and −ln(1−S) = ln(1+e^s), without overflow.
		rest := g.Node("Log", g.Node("Add", g.Row(1), g.Node("Exp", g.Node("Neg", g.Node("Abs", score)))))
		softplus := func(s string) string { return g.Node("Add", g.Node("Max", s, g.Row(0)), rest) }
		below, above := softplus(g.Node("Neg", score)), softplus(score)
		odds := g.Node("Sub", g.Node("Mul", above, g.Row(m.B)), g.Node("Mul", below, g.Row(m.A)))
		return g.Node("Sigmoid", g.Node("Add", odds, g.Row(m.C))), nil
	case calibrate.Isotonic:
		return polyline(g, score, m.Scores, m.Rates), nil
	}
	return "", fmt.Errorf("exchange: calibration %q is not known", m.Method)
}
