//go:build amd64 && !purego

package kernel

import "golang.org/x/sys/cpu"

var hasAVX2 = cpu.X86.HasAVX2

func histogram(hist []Packed, bins []byte, stride int, rows []uint32, grad []int32) {
	histogramASM(&hist[0], len(hist), &bins[0], stride, &rows[0], len(rows), &grad[0])
}

// histogramASM is histogramGo with prefetches, for at least one row and column.
//
//go:noescape
func histogramASM(hist *Packed, columns int, bins *byte, stride int, rows *uint32, n int, grad *int32)

func histogramDrawn(hist []Packed, drawn, bins []byte, stride int, rows []uint32, grad []int32) {
	histogramDrawnASM(&hist[0], &drawn[0], len(drawn), &bins[0], stride, &rows[0], len(rows), &grad[0])
}

// histogramDrawnASM is histogramDrawnGo with prefetches, for at least one row and drawn column.
//
//go:noescape
func histogramDrawnASM(hist *Packed, drawn *byte, n int, bins *byte, stride int, rows *uint32, nrows int, grad *int32)

// logistic fills a first part of the gradients, whole fours, and says how many.
func logistic(fine []int64, coarse []int32, score, y, w []float64, s Scale) int {
	n := len(fine) &^ 3
	if !hasAVX2 || n == 0 {
		return 0
	}
	var weights *float64
	if w != nil {
		weights = &w[0]
	}
	logisticAVX2(&fine[0], &coarse[0], &score[0], &y[0], weights, n, s.G, s.H)
	return n
}

// logisticAVX2 is logisticGo four rows at a time, step for step; n is a positive
// multiple of 4.
//
//go:noescape
func logisticAVX2(fine *int64, coarse *int32, score, y, w *float64, n int, scaleG, scaleH float64)

// scan looks at the first n thresholds of a column.
func (s *Search) scan(p *Packed, n int) {
	if !hasAVX2 {
		s.scanGo(p, n)
		return
	}
	scanAVX2(p, n, s, s.missingH[0] > 0)
}

// scanAVX2 is scanGo four bins at a time, n being rounded up to whole fours and the lanes
// judged apart. What lies beyond the last threshold leaves nothing on the right, which is not allowed.
//
//go:noescape
func scanAVX2(p *Packed, n int, s *Search, missing bool)
