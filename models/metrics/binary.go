package metrics

import (
	"fmt"
	"math"
	"slices"

	"github.com/shoal-data/shoal/models/internal/numeric"
)

// Binary is how scores met a yes-or-no outcome: rows grouped by equal score,
// highest first. Every figure is computed from the groups, so equal scores are
// always treated alike: a ranking figure is the average over all orders of the
// rows that tie. It is immutable.
type Binary struct {
	score  []float64 // distinct, descending
	n, pos []int64   // rows and positive rows of each score
	rows   int64
	yes    int64

	group       []int32 // row → index into score
	outcome     []bool  // row → positive
	probability bool    // every score is in [0,1]
}

// NewBinary groups rows by score. y[i] is 1 when the event happened to row i
// and 0 when it did not; score[i] is higher the likelier it was thought.
// Figures of calibration need scores that are probabilities. Cost: O(n log n),
// once; most figures are then linear in the number of different scores.
func NewBinary(y, score []float64) (*Binary, error) {
	sameLength("outcomes and scores", len(y), len(score))
	if len(y) == 0 {
		return nil, fmt.Errorf("metrics: empty input: no rows to measure")
	}
	b := &Binary{group: make([]int32, len(y)), outcome: make([]bool, len(y)), probability: true}
	// Sorting the scores with their rows beats sorting rows that look scores up.
	type scored struct {
		score float64
		row   int32
	}
	order := make([]scored, len(y))
	for i, s := range score {
		if math.IsNaN(s) || math.IsInf(s, 0) {
			return nil, fmt.Errorf("metrics: score of row %d is %v; scores must be finite", i, s)
		}
		if y[i] != 0 && y[i] != 1 {
			return nil, fmt.Errorf("metrics: outcome of row %d is %v; outcomes must be 0 or 1", i, y[i])
		}
		b.outcome[i] = y[i] == 1
		b.probability = b.probability && s >= 0 && s <= 1
		order[i] = scored{s, int32(i)}
	}
	slices.SortFunc(order, func(a, b scored) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		}
		return 0
	})
	for _, o := range order {
		if g := len(b.score); g == 0 || b.score[g-1] != o.score {
			b.score = append(b.score, o.score+0) // −0 becomes 0
		}
		b.group[o.row] = int32(len(b.score) - 1)
	}
	b.count(nil)
	return b, nil
}

// count fills the groups with row i counted times[i] times; nil is once each.
func (b *Binary) count(times []int32) {
	b.n, b.pos = make([]int64, len(b.score)), make([]int64, len(b.score))
	b.rows, b.yes = 0, 0
	for i, g := range b.group {
		t := int64(1)
		if times != nil {
			t = int64(times[i])
		}
		b.n[g] += t
		b.rows += t
		if b.outcome[i] {
			b.pos[g] += t
			b.yes += t
		}
	}
}

// Resample is b with row i counted times[i] ≥ 0 times, as a bootstrap draws
// it. It costs O(n) and shares memory with b.
func (b *Binary) Resample(times []int32) *Binary {
	sameLength("rows and times", len(b.group), len(times))
	r := *b
	r.count(times)
	return &r
}

// Rows is the number of rows, and Positives of those with outcome 1.
func (b *Binary) Rows() int { return int(b.rows) }

// Positives is the number of rows with outcome 1.
func (b *Binary) Positives() int { return int(b.yes) }

// Prevalence is the share of positives, in [0,1].
func (b *Binary) Prevalence() (value float64, ok bool) {
	if b.rows == 0 {
		return undefined()
	}
	return float64(b.yes) / float64(b.rows), true
}

func (b *Binary) bothClasses() bool { return b.yes > 0 && b.yes < b.rows }

// AUC is the area under the ROC curve: the probability that a random positive
// scores above a random negative, ties counting half (Hanley and McNeil,
// Radiology 143, 1982). It needs both classes.
func (b *Binary) AUC() (value float64, ok bool) {
	if !b.bothClasses() {
		return undefined()
	}
	var wins2, above int64 // twice the pairs won; negatives scored higher so far
	neg := b.rows - b.yes
	for g, n := range b.n {
		ties := n - b.pos[g]
		wins2 += b.pos[g] * (2*(neg-above-ties) + ties)
		above += ties
	}
	return float64(wins2) / 2 / (float64(b.yes) * float64(neg)), true
}

// PartialAUC is the area under the ROC curve up to a false positive rate of
// maxFPR, in (0,1], scaled so that a useless score has .5 and a perfect one 1
// (McClish, Med. Decis. Making 9, 1989). It needs both classes.
func (b *Binary) PartialAUC(maxFPR float64) (value float64, ok bool) {
	if !(maxFPR > 0 && maxFPR <= 1) {
		panic(fmt.Sprintf("metrics: PartialAUC: maxFPR (%v) must be in (0,1]", maxFPR))
	}
	if !b.bothClasses() {
		return undefined()
	}
	yes, neg := float64(b.yes), float64(b.rows-b.yes)
	var area numeric.Compensated
	var tpr, fpr float64
	var tp, fp int64
	for g := range b.n {
		tp += b.pos[g]
		fp += b.n[g] - b.pos[g]
		t, f := float64(tp)/yes, float64(fp)/neg
		if f >= maxFPR {
			if f > fpr {
				t = tpr + (t-tpr)*(maxFPR-fpr)/(f-fpr)
			}
			area.Add((maxFPR - fpr) * (tpr + t) / 2)
			break
		}
		area.Add((f - fpr) * (tpr + t) / 2)
		tpr, fpr = t, f
	}
	least := maxFPR * maxFPR / 2
	return (1 + (area.Value()-least)/(maxFPR-least)) / 2, true
}

// AveragePrecision is Σ (Rₖ-Rₖ₋₁)·Pₖ over distinct scores, highest first, with
// recall R and precision P among the rows scored at least that (Manning,
// Raghavan and Schütze, Introduction to Information Retrieval, §8.4). No
// interpolation; prevalence when all scores tie. It needs both classes.
func (b *Binary) AveragePrecision() (value float64, ok bool) {
	if !b.bothClasses() {
		return undefined()
	}
	var sum numeric.Compensated
	var tp, n int64
	for g := range b.n {
		tp += b.pos[g]
		n += b.n[g]
		if b.pos[g] > 0 {
			sum.Add(float64(b.pos[g]) * (float64(tp) / float64(n)))
		}
	}
	return sum.Value() / float64(b.yes), true
}

// KS is the Kolmogorov–Smirnov distance between the scores of positives and of
// negatives: the largest |TPR-FPR|, in [0,1]. It needs both classes.
func (b *Binary) KS() (value float64, ok bool) {
	if !b.bothClasses() {
		return undefined()
	}
	return float64(b.ks()) / (float64(b.yes) * float64(b.rows-b.yes)), true
}

// ks is KS times positives times negatives, an integer.
func (b *Binary) ks() int64 {
	var most, tp, fp int64
	for g := range b.n {
		tp += b.pos[g]
		fp += b.n[g] - b.pos[g]
		d := tp*(b.rows-b.yes) - fp*b.yes
		most = max(most, d, -d)
	}
	return most
}

// exactKS bounds the lattice walked for an exact p-value.
const exactKS = 1_000_000

// KSPValue is the two-sided probability of a distance of at least KS if
// positives and negatives scored alike. It is exact while positives ×
// negatives ≤ 10⁶ (counting lattice paths: Hodges, Ark. Mat. 3, 1958), else
// Kolmogorov's limit. Ties make it larger than it need be. It needs both classes.
func (b *Binary) KSPValue() (value float64, ok bool) {
	if !b.bothClasses() {
		return undefined()
	}
	n, m, d := b.yes, b.rows-b.yes, b.ks()
	if float64(n)*float64(m) > exactKS {
		x := float64(d) / (float64(n) * float64(m)) * math.Sqrt(float64(n)*float64(m)/float64(n+m))
		return kolmogorov(x), true
	}
	// inside[j] is the probability that a random path from (0,0) to (n,m) is at
	// (i,j) and has kept |i·m - j·n| < d so far, given that it reaches (i,j).
	inside := make([]float64, m+1)
	for i := range n + 1 {
		for j := range m + 1 {
			gap := i*m - j*n
			switch {
			case gap >= d || -gap >= d:
				inside[j] = 0
			case i == 0:
				inside[j] = 1
			case j > 0:
				// The last step to (i,j) came from the left with probability i/(i+j).
				inside[j] = (inside[j]*float64(i) + inside[j-1]*float64(j)) / float64(i+j)
			}
		}
	}
	return 1 - inside[m], true
}

// kolmogorov is P(K ≥ x) = 2 Σ (-1)^(k-1) e^(-2k²x²) of Kolmogorov's distribution.
func kolmogorov(x float64) float64 {
	if x < .2 {
		return 1 // to double precision
	}
	var s float64
	for k := 1.; k <= 100; k++ {
		term := math.Exp(-2 * k * k * x * x)
		if math.Mod(k, 2) == 1 {
			s += term
		} else {
			s -= term
		}
		if term < 1e-18 {
			break
		}
	}
	return min(1, 2*s)
}

// Captured is the share of all positives found among the top share of rows,
// in [0,1], of a list ranked by score: the cumulative gains curve at share. Rows
// that tie across the cut count by the part of them above it, which is what a
// random order gives on average; so does part of a row. It needs a positive.
func (b *Binary) Captured(share float64) (value float64, ok bool) {
	if !(share >= 0 && share <= 1) {
		panic(fmt.Sprintf("metrics: Captured: share (%v) must be in [0,1]", share))
	}
	if b.yes == 0 {
		return undefined()
	}
	return b.positivesAmong(share*float64(b.rows)) / float64(b.yes), true
}

// positivesAmong is the expected number of positives among the top k rows.
func (b *Binary) positivesAmong(k float64) float64 {
	var n, pos int64
	for g := range b.n {
		if float64(n+b.n[g]) > k {
			return float64(pos) + (k-float64(n))*float64(b.pos[g])/float64(b.n[g])
		}
		n += b.n[g]
		pos += b.pos[g]
	}
	return float64(pos)
}

// Lift is how many times the prevalence the top share of rows, in (0,1], holds:
// Captured(share)/share. TopDecileLift is Lift(.1). It needs both classes.
func (b *Binary) Lift(share float64) (value float64, ok bool) {
	if !(share > 0 && share <= 1) {
		panic(fmt.Sprintf("metrics: Lift: share (%v) must be in (0,1]", share))
	}
	if !b.bothClasses() {
		return undefined()
	}
	c, ok := b.Captured(share)
	return c / share, ok
}

// TopDecileLift is Lift(.1).
func (b *Binary) TopDecileLift() (value float64, ok bool) { return b.Lift(.1) }

// A GainsBin is one slice of the rows ranked by score, highest first. Rows that
// tie across a boundary count in part on either side, so counts need not be whole.
type GainsBin struct {
	Rows      float64 `json:"rows"`
	Positives float64 `json:"positives"`
	Share     float64 `json:"share"`    // of all rows, in this bin and those above
	Captured  float64 `json:"captured"` // of all positives, likewise
	Lift      float64 `json:"lift"`     // Captured / Share
}

// Gains cuts the ranked rows into that many slices of equal size; nil where
// Lift is not defined.
func (b *Binary) Gains(bins int) []GainsBin {
	if bins < 1 {
		panic(fmt.Sprintf("metrics: Gains: bins (%d) must be >= 1", bins))
	}
	if !b.bothClasses() {
		return nil
	}
	out := make([]GainsBin, bins)
	before := 0.
	for i := range out {
		share := float64(i+1) / float64(bins)
		pos := b.positivesAmong(share * float64(b.rows))
		captured := pos / float64(b.yes)
		out[i] = GainsBin{float64(b.rows) / float64(bins), pos - before, share, captured, captured / share}
		before = pos
	}
	return out
}

// LogLoss is the mean of -ln of the probability given to what happened, ≥ 0.
// Probabilities are first kept within [2⁻⁵², 1-2⁻⁵²], as a certainty that proves
// wrong would cost infinitely much. Defined for probabilities only.
func (b *Binary) LogLoss() (value float64, ok bool) {
	if !b.probability || b.rows == 0 {
		return undefined()
	}
	var s numeric.Compensated
	for g, p := range b.score {
		p = min(max(p, 0x1p-52), 1-0x1p-52)
		if b.pos[g] > 0 {
			s.Add(float64(b.pos[g]) * math.Log(p))
		}
		if neg := b.n[g] - b.pos[g]; neg > 0 {
			s.Add(float64(neg) * math.Log1p(-p))
		}
	}
	return -s.Value() / float64(b.rows), true
}

// Brier is the mean squared difference between probability and outcome, in
// [0,1] (Brier, Mon. Weather Rev. 78, 1950). Defined for probabilities only.
func (b *Binary) Brier() (value float64, ok bool) {
	if !b.probability || b.rows == 0 {
		return undefined()
	}
	var s numeric.Compensated
	for g, p := range b.score {
		s.Add(float64(b.pos[g]) * (1 - p) * (1 - p))
		s.Add(float64(b.n[g]-b.pos[g]) * p * p)
	}
	return s.Value() / float64(b.rows), true
}

// CalibrationInTheLarge is the mean probability less the prevalence, in
// [-1,1]: positive when the event is forecast too often. Defined for
// probabilities only.
func (b *Binary) CalibrationInTheLarge() (value float64, ok bool) {
	if !b.probability || b.rows == 0 {
		return undefined()
	}
	var s numeric.Compensated
	for g, p := range b.score {
		s.Add(float64(b.n[g]) * p)
	}
	return (s.Value() - float64(b.yes)) / float64(b.rows), true
}

// Binning says how Reliability cuts probabilities.
type Binning int

const (
	// EqualCount cuts the ranked rows into slices of about equal size. Equal
	// scores stay together: a score belongs where the middle of its rows falls.
	EqualCount Binning = iota
	// EqualWidth cuts [0,1] into intervals [i/bins, (i+1)/bins), the last closed.
	EqualWidth
)

// A ReliabilityBin compares forecast and outcome for rows of similar probability.
type ReliabilityBin struct {
	Low       float64 `json:"low"`  // least probability of the bin's rows
	High      float64 `json:"high"` // greatest
	Rows      int     `json:"rows"`
	Positives int     `json:"positives"`
	Mean      float64 `json:"mean"`      // mean probability
	Rate      float64 `json:"rate"`      // share of positives
	RateLow   float64 `json:"rate_low"`  // 95 % Wilson interval of the rate
	RateHigh  float64 `json:"rate_high"` // likewise
}

// Reliability is the reliability table over that many bins, by ascending
// probability; bins without rows are left out. It is nil unless all scores are
// probabilities.
func (b *Binary) Reliability(bins int, by Binning) []ReliabilityBin {
	if bins < 1 || by != EqualCount && by != EqualWidth {
		panic(fmt.Sprintf("metrics: Reliability: bins (%d) must be >= 1 and binning (%d) known", bins, by))
	}
	if !b.probability {
		return nil
	}
	var out []ReliabilityBin
	var sum numeric.Compensated
	last := -1
	var below int64
	for g := len(b.score) - 1; g >= 0; g-- {
		n, p := b.n[g], b.score[g]
		if n == 0 {
			continue
		}
		bin := min(int(p*float64(bins)), bins-1)
		if by == EqualCount {
			// Twice the midpoint of the group's ranks over twice the rows: exact.
			bin = int((2*below + n) * int64(bins) / (2 * b.rows))
		}
		if bin != last {
			out = append(out, ReliabilityBin{Low: p})
			last, sum = bin, numeric.Compensated{}
		}
		below += n
		sum.Add(float64(n) * p)
		r := &out[len(out)-1]
		r.High = p
		r.Rows += int(n)
		r.Positives += int(b.pos[g])
		r.Mean = sum.Value() / float64(r.Rows)
	}
	for i := range out {
		r := &out[i]
		r.Rate = float64(r.Positives) / float64(r.Rows)
		r.RateLow, r.RateHigh = Wilson(r.Positives, r.Rows)
	}
	return out
}

// ExpectedCalibrationError is the mean over rows of |mean probability - rate|
// of the row's Reliability bin, in [0,1] (Naeini, Cooper and Hauskrecht, AAAI
// 2015). It depends on the bins; even a perfect model's is above 0. Defined for
// probabilities only.
func (b *Binary) ExpectedCalibrationError(bins int, by Binning) (value float64, ok bool) {
	table := b.Reliability(bins, by)
	if len(table) == 0 {
		return undefined()
	}
	var s numeric.Compensated
	for _, r := range table {
		s.Add(float64(r.Rows) * math.Abs(r.Mean-r.Rate))
	}
	return s.Value() / float64(b.rows), true
}

// z95 is the .975 quantile of the standard normal distribution.
const z95 = 1.959963984540054

// Wilson is the 95 % score interval of a proportion of successes among n ≥ 1
// trials (Wilson, JASA 22, 1927).
func Wilson(successes, n int) (low, high float64) {
	if n < 1 || successes < 0 || successes > n {
		panic(fmt.Sprintf("metrics: Wilson: %d successes of %d trials", successes, n))
	}
	k, m := float64(successes), float64(n)
	centre := k + z95*z95/2
	half := z95 * math.Sqrt(k*(m-k)/m+z95*z95/4)
	low, high = (centre-half)/(m+z95*z95), (centre+half)/(m+z95*z95)
	if successes == 0 {
		low = 0 // not a rounding error off it
	}
	if successes == n {
		high = 1
	}
	return low, high
}
