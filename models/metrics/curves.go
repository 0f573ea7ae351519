package metrics

import "fmt"

// A Point of a curve.
type Point struct{ X, Y float64 }

// ROC is the ROC curve at the false positive rates i/steps, i from 0 to steps: the
// true positive rate there, the higher one where the curve is vertical. Between
// distinct scores it is a straight line, as ties in random order make it. It is nil
// without both classes.
func (b *Binary) ROC(steps int) []Point {
	checkSteps("ROC", steps)
	if !b.bothClasses() {
		return nil
	}
	neg := b.rows - b.yes
	out := make([]Point, 0, steps+1)
	g, tp, fp := 0, int64(0), int64(0) // the groups passed, and what was in them
	for i := range steps + 1 {
		// Pass every group that ends at or before this rate.
		for g < len(b.n) && (fp+b.n[g]-b.pos[g])*int64(steps) <= int64(i)*neg {
			tp, fp = tp+b.pos[g], fp+b.n[g]-b.pos[g]
			g++
		}
		at := float64(tp)
		if g < len(b.n) {
			into := float64(i)*float64(neg)/float64(steps) - float64(fp)
			at += float64(b.pos[g]) * into / float64(b.n[g]-b.pos[g])
		}
		out = append(out, Point{float64(i) / float64(steps), at / float64(b.yes)})
	}
	return out
}

// PrecisionRecall is the precision at the recalls i/steps, i from 0 to steps: that of the
// shortest head of the ranked rows that holds this share of the positives, rows
// that tie in random order (Davis and Goadrich, ICML 2006, on why it is no straight
// line). At recall 0 it is the limit. It is nil without both classes.
func (b *Binary) PrecisionRecall(steps int) []Point {
	checkSteps("PrecisionRecall", steps)
	if !b.bothClasses() {
		return nil
	}
	out := make([]Point, 0, steps+1)
	g, tp, n := 0, int64(0), int64(0)
	for i := range steps + 1 {
		// Stop in the first group that reaches this recall.
		for (tp+b.pos[g])*int64(steps) < int64(i)*b.yes || b.pos[g] == 0 {
			tp, n = tp+b.pos[g], n+b.n[g]
			g++
		}
		precision := 0.
		if want := float64(i) * float64(b.yes) / float64(steps); want > 0 {
			precision = want / (float64(n) + (want-float64(tp))*float64(b.n[g])/float64(b.pos[g]))
		} else if n == 0 {
			precision = float64(b.pos[g]) / float64(b.n[g])
		}
		out = append(out, Point{float64(i) / float64(steps), precision})
	}
	return out
}

// Head is how many positives are among the top k rows of the ranked ones, and how
// many their scores say there are; rows that tie across the cut count in part. The
// second is of meaning for probabilities only. k beyond the rows is all of them.
func (b *Binary) Head(k float64) (positives, expected float64) {
	var n int64
	for g, p := range b.score {
		take := min(float64(b.n[g]), k-float64(n))
		if take <= 0 {
			break
		}
		expected += take * p
		n += b.n[g]
	}
	return b.positivesAmong(k), expected
}

// A ScoreBin is the rows whose probability lies in [Low, High), the last High included.
type ScoreBin struct {
	Low, High       float64
	Rows, Positives int
}

// Distribution counts the rows by probability, in that many equal intervals of
// [0,1], empty ones too. It is nil unless all scores are probabilities.
func (b *Binary) Distribution(bins int) []ScoreBin {
	checkSteps("Distribution", bins)
	if !b.probability {
		return nil
	}
	out := make([]ScoreBin, bins)
	for i := range out {
		out[i].Low, out[i].High = float64(i)/float64(bins), float64(i+1)/float64(bins)
	}
	for g, p := range b.score {
		at := &out[min(int(p*float64(bins)), bins-1)]
		at.Rows += int(b.n[g])
		at.Positives += int(b.pos[g])
	}
	return out
}

func checkSteps(what string, n int) {
	if n < 1 {
		panic(fmt.Sprintf("metrics: %s: %d parts; there must be at least 1", what, n))
	}
}
