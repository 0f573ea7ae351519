package behaviour

import (
	"math"
	"time"
)

// Shapes of the gamma variates that spread individual rates around the
// segment's mean, coefficient of variation 1/√shape, and the like.
const (
	PurchaseShape = 12
	VisitShape    = 12
	hazardShape   = 4
	openShape     = 12
	PriceSpread   = 0.15 // standard deviation of the customer's log price factor
	CouponSaving  = 0.15 // share of the price
)

// A Segment is one planted kind of behaviour.
type Segment struct {
	Name  string
	Share float64 // of customers

	// Rates a day alive; hazard is a day too.
	Orders, Visits, Hazard float64

	LogPrice, PriceSigma float64 // unit price in the currency: log-normal
	ExtraLines           float64 // mean order lines beyond the first
	Double               float64 // probability that a line is of two pieces

	Messages float64           // sent a day, from acquisition on
	Open     float64           // probability that an email is opened; other media scale it
	Click    float64           // probability of a click, given an open
	Media    [numMedia]float64 // mix of message media
	Channels [3]float64        // mix of web, app, store
	Months   [12]float64       // relative order intensity, January first
	Weekdays [7]float64        // relative order intensity, Sunday first
	Peaks    [2]float64        // hours of the day
	Likes    [len(categories)]float64

	Depth   float64 // probability of viewing one more product in a visit
	Abandon float64 // probability that a visit without order leaves a cart behind
	Coupon  float64 // probability that an order redeems a coupon
	Returns float64 // probability that an order line is sent back
	Review  float64 // probability that an order is reviewed
	Stars   float64 // mean of the rating, 1 to 5
	Ticket  float64 // probability that an order leads to a ticket
	Social  float64 // probability that a visit or order is shared
	Refer   float64 // probability that an order leads to a referral
	Joins   float64 // probability of ever subscribing
	Recent  int     // acquired within this many last days; 0 for any day
}

var categories = [...]string{"fashion", "home", "electronics", "beauty", "toys", "sports", "grocery", "books"}

// Media are the message media, in the order of Segment.Media.
var Media = [...]string{"email", "push", "sms", "mail", "ad", "social"}

const numMedia = len(Media)

// MediaOpen scales Segment.Open by medium; paper mail shows no opening.
var MediaOpen = [numMedia]float64{1, 0.8, 0.6, 0, 0.06, 0.25}

var (
	evenMonths  = [12]float64{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}
	retailYear  = [12]float64{.8, .85, .95, 1, 1, .95, .9, .85, 1, 1.05, 1.35, 1.3}
	saleMonths  = [12]float64{1.7, .8, .7, .8, .8, 1.1, 1.7, .9, .7, .7, 1.4, .7}
	giftMonths  = [12]float64{.25, .9, .35, .45, 1.1, .6, .3, .3, .35, .8, 2.7, 3.6}
	evenWeek    = [7]float64{1, 1, 1, 1, 1, 1, 1}
	weekendWeek = [7]float64{1.5, .75, .75, .8, .9, 1.1, 1.6}
	officeWeek  = [7]float64{.6, 1.2, 1.2, 1.15, 1.1, 1.05, .7}
	// sendWeek is the weekly rhythm of messages, the same for every segment.
	sendWeek = [7]float64{.4, .8, 1.7, .9, 1.7, 1.1, .4}
)

// Segments is the planted truth: any two differ by a factor of about two or more
// in several of order rate, price, visit rate, message response and season.
var Segments = [...]Segment{
	{
		Name: "champions", Share: .10, Orders: .085, Visits: .090, Hazard: 1. / 2000,
		LogPrice: math.Log(55), PriceSigma: .5, ExtraLines: 1.2, Double: .2,
		Messages: .11, Open: .60, Click: .35,
		Media: [numMedia]float64{.5, .35, .05, .02, .03, .05}, Channels: [3]float64{.25, .65, .10},
		Months: retailYear, Weekdays: evenWeek, Peaks: [2]float64{12.5, 20}, Likes: [...]float64{4, 2, 3, 2, 1, 2, 1, 1},
		Depth: .30, Abandon: .10, Coupon: .10, Returns: .06, Review: .18, Stars: 4.6, Ticket: .03, Social: .03, Refer: .03, Joins: .40,
	},
	{
		Name: "loyal_regulars", Share: .20, Orders: .040, Visits: .020, Hazard: 1. / 1400,
		LogPrice: math.Log(24), PriceSigma: .45, ExtraLines: .8, Double: .3,
		Messages: .065, Open: .38, Click: .20,
		Media: [numMedia]float64{.75, .05, .05, .10, .02, .03}, Channels: [3]float64{.25, .10, .65},
		Months: evenMonths, Weekdays: officeWeek, Peaks: [2]float64{11, 17}, Likes: [...]float64{1, 2, 1, 2, 1, 1, 6, 2},
		Depth: .20, Abandon: .05, Coupon: .12, Returns: .03, Review: .06, Stars: 4.3, Ticket: .02, Social: .004, Refer: .008, Joins: .15,
	},
	{
		Name: "bargain_hunters", Share: .18, Orders: .024, Visits: .080, Hazard: 1. / 1000,
		LogPrice: math.Log(9), PriceSigma: .5, ExtraLines: 1.0, Double: .35,
		Messages: .12, Open: .55, Click: .50,
		Media: [numMedia]float64{.70, .10, .10, .02, .04, .04}, Channels: [3]float64{.80, .15, .05},
		Months: saleMonths, Weekdays: weekendWeek, Peaks: [2]float64{9, 21}, Likes: [...]float64{3, 3, 2, 2, 2, 1, 2, 1},
		Depth: .35, Abandon: .25, Coupon: .75, Returns: .10, Review: .08, Stars: 3.8, Ticket: .04, Social: .01, Refer: .02, Joins: .03,
	},
	{
		Name: "gift_shoppers", Share: .15, Orders: .011, Visits: .008, Hazard: 1. / 1500,
		LogPrice: math.Log(75), PriceSigma: .45, ExtraLines: .5, Double: .15,
		Messages: .05, Open: .25, Click: .20,
		Media: [numMedia]float64{.80, .02, .03, .10, .03, .02}, Channels: [3]float64{.70, .10, .20},
		Months: giftMonths, Weekdays: weekendWeek, Peaks: [2]float64{14, 19}, Likes: [...]float64{1, 2, 3, 2, 6, 1, 0, 3},
		Depth: .30, Abandon: .08, Coupon: .15, Returns: .10, Review: .08, Stars: 4.4, Ticket: .03, Social: .01, Refer: .01, Joins: .02,
	},
	{
		Name: "window_browsers", Share: .15, Orders: .0025, Visits: .13, Hazard: 1. / 900,
		LogPrice: math.Log(30), PriceSigma: .5, ExtraLines: .2, Double: .1,
		Messages: .065, Open: .16, Click: .15,
		Media: [numMedia]float64{.45, .25, .02, .01, .12, .15}, Channels: [3]float64{.45, .53, .02},
		Months: evenMonths, Weekdays: evenWeek, Peaks: [2]float64{13, 22}, Likes: [...]float64{5, 1, 4, 3, 1, 2, 0, 1},
		Depth: .40, Abandon: .35, Coupon: .20, Returns: .12, Review: .05, Stars: 3.9, Ticket: .03, Social: .04, Refer: .01, Joins: .01,
	},
	{
		Name: "newcomers", Share: .12, Orders: .030, Visits: .055, Hazard: 1. / 250,
		LogPrice: math.Log(28), PriceSigma: .5, ExtraLines: .4, Double: .15,
		Messages: .10, Open: .35, Click: .25,
		Media: [numMedia]float64{.65, .15, .05, .01, .07, .07}, Channels: [3]float64{.50, .40, .10},
		Months: retailYear, Weekdays: evenWeek, Peaks: [2]float64{12, 20}, Likes: [...]float64{2, 2, 2, 2, 2, 2, 1, 2},
		Depth: .30, Abandon: .15, Coupon: .25, Returns: .08, Review: .08, Stars: 4.1, Ticket: .06, Social: .02, Refer: .01, Joins: .05,
		Recent: 120,
	},
	{
		Name: "lapsing", Share: .10, Orders: .060, Visits: .025, Hazard: 1. / 80,
		LogPrice: math.Log(40), PriceSigma: .5, ExtraLines: .6, Double: .15,
		Messages: .05, Open: .12, Click: .05,
		Media: [numMedia]float64{.80, .05, .05, .05, .03, .02}, Channels: [3]float64{.75, .15, .10},
		Months: retailYear, Weekdays: officeWeek, Peaks: [2]float64{10, 16}, Likes: [...]float64{2, 2, 3, 1, 1, 2, 1, 1},
		Depth: .20, Abandon: .10, Coupon: .15, Returns: .30, Review: .15, Stars: 2.3, Ticket: .35, Social: .004, Refer: .002, Joins: .04,
	},
}

// A Profile is a segment with its lookup tables.
type Profile struct {
	*Segment
	year      [12]float64  // mean one over a common year
	week      [7]float64   // mean one
	zeroLines float64      // e^−extraLines
	hours     [257]float64 // inverse distribution of the second of the day at i/256
	category  [256]uint8
	channel   [256]uint8
	medium    [256]uint8
	bucket    int // price bucket of the median price
}

var (
	// Profiles are the profiles of Segments, in their order.
	Profiles = makeProfiles()
	// MessageWeek is the factor on message rates by weekday, mean one.
	MessageWeek   = normalise(sendWeek)
	segmentLadder = makeLadder() // cumulative shares
)

// OrderSeason is the factor on the order rate, mean one over a year's months
// and over a week.
func (p *Profile) OrderSeason(m time.Month, w time.Weekday) float64 {
	return p.year[m-1] * p.week[w]
}

// VisitSeason follows the order season at half its swing over the year.
func (p *Profile) VisitSeason(m time.Month, w time.Weekday) float64 {
	return (1 + p.year[m-1]) / 2 * p.week[w]
}

// linePrice is the expected amount of one order line before discount for a
// customer of price factor one.
func (p *Profile) linePrice() float64 {
	return math.Exp(p.LogPrice+p.PriceSigma*p.PriceSigma/2) * (1 + p.Double)
}

// OrderValue is the expected amount of an order, after discount and before
// returns, for a customer of price factor one.
func (p *Profile) OrderValue() float64 {
	return (1 + p.ExtraLines) * p.linePrice() * (1 - p.Coupon*CouponSaving)
}

func makeProfiles() []Profile {
	ps := make([]Profile, len(Segments))
	for i := range Segments {
		s := &Segments[i]
		p := &ps[i]
		p.Segment = s
		days := [12]float64{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
		mean := 0.0
		for m, d := range days {
			mean += s.Months[m] * d / 365
		}
		for m := range p.year {
			p.year[m] = s.Months[m] / mean
		}
		p.week = normalise(s.Weekdays)
		p.zeroLines = math.Exp(-s.ExtraLines)
		p.hours = hourTable(s.Peaks)
		p.category = mixTable(s.Likes[:])
		p.channel = mixTable(s.Channels[:])
		p.medium = mixTable(s.Media[:])
		p.bucket = priceBucket(s.LogPrice)
	}
	return ps
}

func normalise(week [7]float64) [7]float64 {
	sum := 0.0
	for _, v := range week {
		sum += v
	}
	for i := range week {
		week[i] *= 7 / sum
	}
	return week
}

func makeLadder() [len(Segments)]float64 {
	var ladder [len(Segments)]float64
	sum := 0.0
	for i := range Segments {
		sum += Segments[i].Share
		ladder[i] = sum
	}
	return ladder
}

// mixTable spreads weights over 256 equally likely slots, so that a category is
// one table look-up; shares are therefore rounded to 1/256.
func mixTable(weights []float64) (table [256]uint8) {
	total := 0.0
	for _, w := range weights {
		total += w
	}
	slot, sum := 0, 0.0
	for i, w := range weights {
		sum += w
		for ; slot < int(math.Round(sum/total*256)); slot++ {
			table[slot] = uint8(i)
		}
	}
	return table
}

// mixShare is the probability that a draw from table gives i.
func mixShare(table *[256]uint8, i int) float64 {
	n := 0
	for _, v := range table {
		if int(v) == i {
			n++
		}
	}
	return float64(n) / 256
}

// Activity starts in [firstHour, lastHour): a visit and what follows it on the
// same day end before midnight.
const firstHour, lastHour = 5, 23

// hourTable is the inverse distribution function, in seconds of the day, of a
// mixture of two bumps over a low plateau.
func hourTable(peaks [2]float64) (table [257]float64) {
	const step = 60 // seconds
	const first, last = firstHour * 3600 / step, lastHour * 3600 / step
	var cum [last - first + 1]float64
	for i := first; i < last; i++ {
		h := (float64(i) + .5) * step / 3600
		w := .08
		for _, at := range peaks {
			w += math.Exp(-(h - at) * (h - at) / (2 * 2.2))
		}
		cum[i-first+1] = cum[i-first] + w
	}
	total := cum[len(cum)-1]
	i := 0
	for q := range table {
		want := total * float64(q) / 256
		for i < len(cum)-2 && cum[i+1] < want {
			i++
		}
		table[q] = (float64(first+i) + (want-cum[i])/(cum[i+1]-cum[i])) * step
	}
	return table
}

// Products: productsPerCategory price buckets in each category, equally wide in
// log price from lowPrice to highPrice. A product is a bucket, so its unit
// price varies by a few per cent, and its category is fixed.
const (
	productsPerCategory = 40
	lowPrice, highPrice = 2.0, 600.0
)

var (
	logLowPrice   = math.Log(lowPrice)
	bucketsPerLog = productsPerCategory / math.Log(highPrice/lowPrice)
)

// priceBucket is the bucket, from 0, of a price given by its logarithm.
func priceBucket(logPrice float64) int {
	b := int((logPrice - logLowPrice) * bucketsPerLog)
	return max(0, min(productsPerCategory-1, b))
}
