package kernel

// A Search looks for the threshold that divides a leaf's rows best, column after
// column. Its fields have four lanes each, which assembly loads as they are.
type Search struct {
	g, h, l2    [4]float64 // of the leaf
	least, most [4]float64 // of the Hessians that may go left
	missingG    [4]float64 // of the column's missing values
	missingH    [4]float64
	right, left found // missing values go right, or left
}

// found is, in each lane, the best score so far and its bin.
type found struct {
	score [4]float64
	bin   [4]int64
}

// NewSearch looks among thresholds that leave Hessians of at least least on either
// side, which must be above 0. Everything is counted in coarse units, in which sums are whole
// numbers and their differences exact.
func NewSearch(leaf Sums, l2, least float64) *Search {
	s := &Search{}
	g, h := float64(leaf.G), float64(leaf.H)
	for i := range 4 {
		s.g[i], s.h[i], s.l2[i], s.least[i], s.most[i] = g, h, l2, least, h-least
	}
	return s
}

// Best is the highest G²/(H+l2) of both sides together, with bins up to bin on the
// left, of a column whose values have the first so many bins and whose missing ones
// have the next; of equal scores the lowest bin, and missing values on the right. Without
// any threshold that is allowed, bin is -1.
func (s *Search) Best(p *Packed, values int) (score float64, bin int, missingLeft bool) {
	missing := Unpack(p[values])
	s.clear(missing)
	// The last bin leaves nothing, or the missing values, on the right.
	n := values
	if missing.H == 0 {
		n--
	}
	if n > 0 {
		s.scan(p, n)
	}
	return s.result()
}

// BestWide is Best of a wide histogram.
func (s *Search) BestWide(w *Wide, values int) (score float64, bin int, missingLeft bool) {
	missing := w[values]
	s.clear(missing)
	var leftG, leftH float64
	for b, v := range w[:values] {
		if v.H != 0 { // without a row, the same threshold as before
			leftG += float64(v.G)
			leftH += float64(v.H)
			s.try(b, leftG, leftH)
		}
	}
	return s.result()
}

func (s *Search) clear(missing Sums) {
	g, h := float64(missing.G), float64(missing.H)
	for i := range 4 {
		s.missingG[i], s.missingH[i] = g, h
	}
	s.right, s.left = found{}, found{}
}

func (s *Search) scanGo(p *Packed, n int) {
	var sum int64
	for b, v := range p[:n] {
		if v != 0 {
			sum += v
			s.try(b, float64(sum>>32), float64(sum&0xffffffff))
		}
	}
}

// try judges one threshold, in the first lane.
func (s *Search) try(b int, leftG, leftH float64) {
	g, h, l2, least, most := s.g[0], s.h[0], s.l2[0], s.least[0], s.most[0]
	if leftH >= least && leftH <= most {
		rightG := g - leftG
		if v := float64(leftG*leftG)/(leftH+l2) + float64(rightG*rightG)/(h-leftH+l2); v > s.right.score[0] {
			s.right.score[0], s.right.bin[0] = v, int64(b)
		}
	}
	if s.missingH[0] == 0 {
		return
	}
	if leftH += s.missingH[0]; leftH >= least && leftH <= most {
		leftG += s.missingG[0]
		rightG := g - leftG
		if v := float64(leftG*leftG)/(leftH+l2) + float64(rightG*rightG)/(h-leftH+l2); v > s.left.score[0] {
			s.left.score[0], s.left.bin[0] = v, int64(b)
		}
	}
}

// result brings the lanes together.
func (s *Search) result() (score float64, bin int, missingLeft bool) {
	bin = -1
	for k, f := range [2]*found{&s.right, &s.left} {
		for i, v := range f.score {
			b := int(f.bin[i])
			if v > score || v == score && v > 0 && b < bin {
				score, bin, missingLeft = v, b, k == 1
			}
		}
	}
	return score, bin, missingLeft
}
