//go:build !amd64 || purego

package kernel

func histogram(hist []Packed, bins []byte, stride int, rows []uint32, grad []int32) {
	histogramGo(hist, bins, stride, rows, grad)
}

func histogramDrawn(hist []Packed, drawn, bins []byte, stride int, rows []uint32, grad []int32) {
	histogramDrawnGo(hist, drawn, bins, stride, rows, grad)
}

// logistic fills a first part of the gradients and says how many.
func logistic(_ []int64, _ []int32, _, _, _ []float64, _ Scale) int { return 0 }

func (s *Search) scan(p *Packed, n int) { s.scanGo(p, n) }
