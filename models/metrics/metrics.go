// Package metrics measures models: how well clusters separate (cluster.go),
// how well scores rank and calibrate a yes-or-no outcome (binary.go) or an
// amount (regression.go), and how sure that measurement is (bootstrap.go).
//
// A figure that is not defined for the data, such as a ROC AUC when one class
// is absent, comes back as NaN with ok false, never as 0 or 1. Data that cannot
// be measured at all, such as a score that is NaN, is an error that names the
// row. Slices of different lengths are a caller's mistake and panic. No figure
// depends on the order of the rows, except where a doc comment says so.
package metrics

import (
	"errors"
	"fmt"
	"math"
)

// undefined is what a figure that does not exist for the data is returned as.
func undefined() (float64, bool) { return math.NaN(), false }

func sameLength(what string, a, b int) {
	if a != b {
		panic(fmt.Sprintf("metrics: %s: lengths %d and %d differ", what, a, b))
	}
}

// faults collects what Validate finds.
type faults []error

func (f *faults) add(format string, args ...any) {
	*f = append(*f, fmt.Errorf("metrics: "+format, args...))
}

func (f *faults) atLeast(field string, v, bound int) {
	if v < bound {
		f.add("%s (%d) must be >= %d", field, v, bound)
	}
}

func (f faults) join() error { return errors.Join(f...) }
