// Package models holds what every learning method shares: the matrix it sees
// and the warnings it returns. Methods live one to a package below it; none of
// them knows of customers, events or money.
package models

import (
	"fmt"
	"math"
)

// Matrix is n rows by d named columns of float64, row-major: row i is
// Data[i*d : (i+1)*d] with d = len(Names).
type Matrix struct {
	Names []string
	Data  []float64
}

// NewMatrix returns a zeroed n×len(names) matrix.
func NewMatrix(names []string, n int) Matrix {
	return Matrix{Names: names, Data: make([]float64, n*len(names))}
}

// Cols is d, the number of columns.
func (m Matrix) Cols() int { return len(m.Names) }

// Rows is n, the number of rows.
func (m Matrix) Rows() int {
	if len(m.Names) == 0 {
		return 0
	}
	return len(m.Data) / len(m.Names)
}

// Row is row i, sharing memory with m.
func (m Matrix) Row(i int) []float64 {
	d := len(m.Names)
	return m.Data[i*d : (i+1)*d : (i+1)*d]
}

// Column copies column j into dst, which is allocated when nil.
func (m Matrix) Column(dst []float64, j int) []float64 {
	n, d := m.Rows(), m.Cols()
	if dst == nil {
		dst = make([]float64, n)
	}
	for i := range n {
		dst[i] = m.Data[i*d+j]
	}
	return dst
}

// CheckFinite refuses an empty matrix, a ragged one and the first value that
// is NaN or infinite, naming its row and column. pkg prefixes the message.
func (m Matrix) CheckFinite(pkg string) error {
	d := len(m.Names)
	if d == 0 || len(m.Data) == 0 {
		return fmt.Errorf("%s: empty input: %d rows × %d columns", pkg, m.Rows(), d)
	}
	if len(m.Data)%d != 0 {
		return fmt.Errorf("%s: %d values do not fill rows of %d columns", pkg, len(m.Data), d)
	}
	for i, v := range m.Data {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%s: row %d, column %d (%s) is %v; values must be finite", pkg, i/d, i%d, m.Names[i%d], v)
		}
	}
	return nil
}

// Matrix32 is a Matrix of float32.
type Matrix32 struct {
	Names []string
	Data  []float32
}

// A Warning is something a caller should know about a fit that still
// succeeded. Warnings travel with the result into the manifest and the report.
type Warning struct {
	Code    string `json:"code"`    // stable, e.g. "kmeans.not_converged"
	Message string `json:"message"` // one sentence with the figures
}
