package behaviour

import (
	"math"
	"testing"
	"time"
)

// within fails unless got is within three standard deviations of want.
func within(t *testing.T, what string, got, want, sigma float64) {
	t.Helper()
	if math.Abs(got-want) > 3*sigma {
		t.Errorf("%s: %.4g, the truth is %.4g ± %.2g (%.1f σ)", what, got, want, sigma, (got-want)/sigma)
	}
}

// The population must be what the segments say.
func TestTraits(t *testing.T) {
	plan := NewPlan(Settings{
		Seed: 1, Start: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2025, 7, 1, 0, 0, 0, 0, time.UTC), ActivityScale: 1,
	})
	const n = 100_000
	var count, orders, orders2, hazard, deaths [len(Segments)]float64
	for i := range uint32(n) {
		tr := plan.Traits(i + 1)
		g := tr.Segment
		count[g]++
		orders[g] += tr.Orders
		orders2[g] += tr.Orders * tr.Orders
		hazard[g] += tr.Hazard
		if tr.Acquired < 0 || tr.Acquired >= plan.Days || tr.Churned <= tr.Acquired {
			t.Fatalf("customer %d lives on the days [%d, %d)", i+1, tr.Acquired, tr.Churned)
		}
		// A day alive ends in death with probability 1 − e^−μ, so these add to one
		// on average over a life.
		deaths[g] -= float64(tr.Churned-tr.Acquired) * math.Expm1(-tr.Hazard)
	}
	for g, s := range Segments {
		c := count[g]
		within(t, s.Name+" share", c/n, s.Share, math.Sqrt(s.Share*(1-s.Share)/n))
		within(t, s.Name+" order rate", orders[g]/c, s.Orders, s.Orders/math.Sqrt(PurchaseShape*c))
		within(t, s.Name+" hazard", hazard[g]/c, s.Hazard, s.Hazard/math.Sqrt(hazardShape*c))
		variance := orders2[g]/c - orders[g]/c*orders[g]/c
		// The variance of a gamma's sample variance: σ⁴(2 + 6/shape)/n.
		truth := s.Orders * s.Orders / PurchaseShape
		within(t, s.Name+" spread of order rates", variance, truth, truth*math.Sqrt((2+6./PurchaseShape)/c))
		within(t, s.Name+" deaths", deaths[g]/c, 1, 1/math.Sqrt(c))
	}
}

func TestSeasonsHaveMeanOne(t *testing.T) {
	for g := range Segments {
		year, week := 0.0, 0.0
		for m := range 12 {
			days := time.Date(2023, time.Month(m+2), 0, 0, 0, 0, 0, time.UTC).Day()
			year += Profiles[g].year[m] * float64(days) / 365
		}
		for _, w := range Profiles[g].week {
			week += w / 7
		}
		if math.Abs(year-1) > 1e-12 || math.Abs(week-1) > 1e-12 {
			t.Errorf("%s: mean over the year %v, over the week %v", Segments[g].Name, year, week)
		}
		// 2023 has 53 Sundays, hence the tolerance.
		sum := 0.0
		for d := time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC); d.Year() == 2023; d = d.AddDate(0, 0, 1) {
			sum += Profiles[g].OrderSeason(d.Month(), d.Weekday())
		}
		if math.Abs(sum/365-1) > .01 {
			t.Errorf("%s: mean over the days of 2023 is %v", Segments[g].Name, sum/365)
		}
	}
	gifts := &Profiles[3]
	if r := gifts.OrderSeason(time.December, time.Monday) / gifts.OrderSeason(time.January, time.Monday); math.Abs(r-3.6/.25) > 1e-12 {
		t.Errorf("gift shoppers buy %v times as much in December as in January, want %v", r, 3.6/.25)
	}
}

func TestSharesAddUp(t *testing.T) {
	sum := 0.0
	for _, s := range Segments {
		sum += s.Share
		mix := 0.0
		for _, m := range s.Media {
			mix += m
		}
		if math.Abs(mix-1) > 1e-9 {
			t.Errorf("%s: media add to %v", s.Name, mix)
		}
		if c := s.Channels[0] + s.Channels[1] + s.Channels[2]; math.Abs(c-1) > 1e-9 {
			t.Errorf("%s: channels add to %v", s.Name, c)
		}
	}
	if math.Abs(sum-1) > 1e-9 {
		t.Errorf("shares add to %v", sum)
	}
}

// Moments of the variates, each with the standard deviation of its mean.
func TestVariates(t *testing.T) {
	const n = 200_000
	r := newStream(3, 0, 0, forNoise)
	for _, v := range []struct {
		name     string
		mean, sd float64
		draw     func() float64
	}{
		{"float", .5, math.Sqrt(1. / 12), r.float},
		{"exp", 1, 1, r.exp},
		{"exp²", 2, math.Sqrt(24 - 4), func() float64 { x := r.exp(); return x * x }},
		{"norm", 0, 1, r.norm},
		{"norm²", 1, math.Sqrt2, func() float64 { x := r.norm(); return x * x }},
		{"gamma", 1, .5, func() float64 { return r.gamma(4) }},
		{"gamma²", 1.25, math.Sqrt(4*5*6*7/256. - 1.25*1.25), func() float64 { x := r.gamma(4); return x * x }},
		{"poisson", .7, math.Sqrt(.7), func() float64 { return float64(r.poisson(math.Exp(-.7))) }},
		{"intn", 3, 2, func() float64 { return float64(r.intn(7)) }},
		{"between", 4, math.Sqrt(2), func() float64 { return float64(r.between(2, 6)) }},
		{"run", runMean(.5, 3), 1.06, func() float64 { return float64(r.run(.5, 3)) }},
		{"zero run", 0, 1e-9, func() float64 { return float64(r.run(0, 9)) }},
	} {
		sum := 0.0
		for range n {
			sum += v.draw()
		}
		within(t, v.name, sum/n, v.mean, v.sd/math.Sqrt(n))
	}
	if got, want := runMean(.5, 3), .5+.25+.125; got != want {
		t.Errorf("runMean(.5, 3) = %v, want %v", got, want)
	}
}

// Reference outputs of SplitMix64 for the state 1234567: Vigna's splitmix64.c,
// as quoted by Rosetta Code, "Pseudo-random numbers/Splitmix64".
func TestSplitMix(t *testing.T) {
	r := stream{1234567}
	for i, want := range []uint64{6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821} {
		if got := r.next(); got != want {
			t.Errorf("output %d is %d, want %d", i, got, want)
		}
	}
}
