package quality

import (
	"math"
	"slices"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/models/metrics"
)

// A course is a count beside those of the weeks before it, and both of last year.
type course struct {
	now  float64
	past []float64 // at most eight, from the latest; fewer when history is short
	// Then are now and past of the same week last year: several, because feasts move
	// against the days of the week.
	then []moment
}

type moment struct {
	now  float64
	past []float64
}

// least is how many weeks are enough to say what to expect.
const least = 4

// expected is the median of the weeks before; ok is false when there are too few.
func expected(past []float64) (v float64, ok bool) {
	if len(past) < least {
		return 0, false
	}
	s := slices.Sorted(slices.Values(past))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2, true
}

// noise is how far, relative to what is expected, the weeks before lie from it: their
// standard deviation.
func noise(past []float64, expected float64) float64 {
	sum := 0.0
	for _, v := range past {
		sum += (v/expected - 1) * (v/expected - 1)
	}
	return math.Sqrt(sum / float64(len(past)))
}

// Beyond chance: what is expected is at least so many, and now is so many standard
// deviations from it, both of the weeks before and of a count (Poisson).
const (
	fewest       = 20
	deviations   = 3.5
	countingSD   = 4
	sameAsBefore = .7 // of a fall last year, that explains one of now
)

// fall is the share by which now is less than expected; NaN when nothing is expected.
func (c course) fall() float64 {
	e, ok := expected(c.past)
	if !ok || e < fewest {
		return math.NaN()
	}
	return 1 - c.now/e
}

// fallen says whether a fall of the bound is more than the usual ups and downs.
func (c course) fallen(bound float64) bool {
	e, _ := expected(c.past)
	f := c.fall()
	if c.now >= slices.Min(c.past)*(1-bound/2) || f < deviations*noise(c.past, e) || e-c.now < countingSD*math.Sqrt(e) {
		return false
	}
	for _, y := range c.then {
		if e, ok := expected(y.past); ok && e > 0 && 1-y.now/e >= sameAsBefore*f {
			return false
		}
	}
	return true
}

// rise is how many times the expected now is.
func (c course) rise() float64 {
	e, ok := expected(c.past)
	if !ok || e < fewest {
		return math.NaN()
	}
	return c.now / e
}

func (c course) risen(bound float64) bool {
	e, _ := expected(c.past)
	if c.now <= slices.Max(c.past)*math.Sqrt(bound) || c.rise()-1 < deviations*noise(c.past, e) {
		return false
	}
	for _, y := range c.then {
		if e, ok := expected(y.past); ok && e > 0 && y.now/e-1 >= sameAsBefore*(c.rise()-1) {
			return false
		}
	}
	return true
}

// day and week are the courses of all events.
func (p *Profile) day() course {
	c := course{}
	c.now, c.past = p.stretch(p.today, p.on)
	for d := int32(-3); d <= 3; d++ {
		var y moment
		y.now, y.past = p.stretch(p.today-lastYear+d, p.on)
		c.then = append(c.then, y)
	}
	return c
}

func (p *Profile) week() course {
	c := course{}
	c.now, c.past = p.stretch(p.today, p.in)
	for d := int32(-3); d <= 3; d++ {
		var y moment
		y.now, y.past = p.stretch(p.today-lastYear+d, p.in)
		c.then = append(c.then, y)
	}
	return c
}

func (p *Profile) stretch(day int32, of func(int32) (float64, bool)) (now float64, past []float64) {
	now, _ = of(day)
	for w := int32(1); w <= weeks; w++ {
		if v, ok := of(day - 7*w); ok {
			past = append(past, v)
		}
	}
	return now, past
}

// whole is how many of the weeks before history reaches back over.
func (p *Profile) whole(last int32) int {
	return int(max(0, min(weeks, (last-6-p.first)/7)))
}

// part is the course of a kind's part in all events but messages sent, unless it is of
// these, as counts of tonight's week.
func (p *Profile) part(k *kinds, i int) course {
	own := k.own(i)
	total := func(of [][slots]int64, w int) float64 {
		n := int64(0)
		for j := range of {
			if own || !k.own(j) {
				n += of[j][w]
			}
		}
		return float64(n)
	}
	now := total(k.now, 0)
	c := course{now: float64(k.now[i][0])}
	for w := 1; w <= p.whole(p.today); w++ {
		if t := total(k.now, w); t > 0 {
			c.past = append(c.past, float64(k.now[i][w])/t*now)
		}
	}
	if t := total(k.then, 0); t > 0 {
		y := moment{now: float64(k.then[i][0])}
		for w := 1; w <= p.whole(p.today-lastYear); w++ {
			if u := total(k.then, w); u > 0 {
				y.past = append(y.past, float64(k.then[i][w])/u*t)
			}
		}
		c.then = []moment{y}
	}
	return c
}

// Wave says whether the firm has sent so many more messages in the week than in any before
// it that whatever counts what happens to customers has moved by it.
func (p *Profile) Wave() bool {
	whole := p.whole(p.today)
	if whole < least {
		return false
	}
	sent := p.roles.now[datasets.MessageSent]
	return sent[0] >= mixRows && float64(sent[0]) > wave*float64(slices.Max(sent[1:whole+1]))
}

// wave is how many times the messages of the largest week before are a wave.
const wave = 1.5

// mix is how far the week's kinds have moved from those of the weeks before, and how
// far any of these was from the others; last is the first of the same week last year,
// NaN where history does not reach back so far. Messages that the firm sends are left out:
// a campaign is no fault of the data.
func (p *Profile) mix(k *kinds) (now, usual, last float64) {
	others := func(of [][slots]int64) (some [][slots]int64) {
		for i := range of {
			if !k.own(i) {
				some = append(some, of[i])
			}
		}
		return some
	}
	now, usual = shifts(others(k.now), p.whole(p.today))
	last, _ = shifts(others(k.then), p.whole(p.today-lastYear))
	return now, usual, last
}

// mixRows is how many events a week must have for its mix to be compared.
const mixRows = 100

func shifts(of [][slots]int64, whole int) (now, usual float64) {
	now = math.NaN()
	if whole < least {
		return now, 0
	}
	for w := range whole + 1 {
		one, others, n := make([]int64, len(of)), make([]int64, len(of)), int64(0)
		for i := range of {
			one[i] = of[i][w]
			n += one[i]
			for v := 1; v <= whole; v++ {
				if v != w {
					others[i] += of[i][v]
				}
			}
		}
		s, ok := metrics.NewShift(others, one)
		switch {
		case !ok || n < mixRows:
		case w == 0:
			if now = s.PSI; s.PSI <= s.Chance {
				now = 0 // no more than chance
			}
		default:
			usual = max(usual, s.PSI)
		}
	}
	return now, usual
}
