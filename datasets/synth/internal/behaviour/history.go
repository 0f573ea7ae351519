package behaviour

import "math"

// A Teller tells the history of one customer in one window.
type Teller struct {
	plan     *Plan
	window   *Window
	out      *Block
	traits   Traits
	customer uint32 // 0 while telling anonymous visits
	key      uint64 // of event and session ids, unique to customer and window
	events   uint64
	sessions uint64
	r, noise stream
}

const daySeconds = 24 * 60 * 60

// NewTeller tells customers of p in window w into out.
func NewTeller(p *Plan, w *Window, out *Block) *Teller { return &Teller{plan: p, window: w, out: out} }

// Ids are a bijection of customer, window, kind and number, so they never collide:
// customers < 2³⁰, windows < 2¹², numbers < 2²¹.
const (
	keyCustomer = 34
	keyWindow   = 22
	keySession  = 1 << 21
)

// Tell adds everything that customer n sets off in window w to out. What
// follows in later days, such as returns, is told with what set it off.
func (t *Teller) Tell(n uint32) {
	t.traits = t.plan.Traits(n)
	w := t.window
	from, to := max(t.traits.Acquired, w.First), min(t.traits.Churned, w.End)
	if t.traits.Acquired >= w.End {
		return
	}
	t.customer = n
	t.key = uint64(n)<<keyCustomer | uint64(w.index)<<keyWindow
	t.events, t.sessions = 0, 0
	t.r = newStream(t.plan.Seed, n, w.index, forBehaviour)
	t.noise = newStream(t.plan.Seed, n, w.index, forNoise)

	if t.traits.Acquired >= w.First {
		t.put(Row{Time: t.at(from, t.clock()), Kind: typeAccountCreated, Channel: channelWeb, Amount: NullAmount})
	}
	if from < to {
		t.arrivals(t.traits.Orders, w.orders[t.traits.Segment][:], from, to, (*Teller).order)
		t.arrivals(t.traits.Visits, w.visits[t.traits.Segment][:], from, to, (*Teller).visit)
		t.subscription(from, to)
	}
	t.arrivals(t.traits.Profile.Messages*t.plan.ActivityScale, w.sends[:], from, w.End, (*Teller).message)
	if t.traits.Joins >= 0 && t.traits.Churned < w.End {
		t.cancellation()
	}
	t.strangers(n)
}

// arrivals calls tell for every arrival of a Poisson process of intensity
// rate·season over the days [from, to), by the time change that makes it a
// process of rate one (Çınlar 1975, Introduction to Stochastic Processes, §4.7).
func (t *Teller) arrivals(rate float64, sums []float64, from, to int, tell func(*Teller, int)) {
	if rate <= 0 {
		return
	}
	k, end := from-t.window.First, to-t.window.First
	at := sums[k]
	for {
		at += t.r.exp() / rate
		if at >= sums[end] {
			return
		}
		for sums[k+1] <= at {
			k++
		}
		tell(t, t.window.First+k)
	}
}

// clock draws a time of day, in seconds, from the segment's hours.
func (t *Teller) clock() float64 {
	u := t.r.next()
	i := u >> 56
	lo, hi := t.traits.Profile.hours[i], t.traits.Profile.hours[i+1]
	return lo + (hi-lo)*float64(u<<8>>11)*0x1p-53
}

func (t *Teller) at(day int, seconds float64) int64 {
	return t.plan.startMicros + int64(day)*daySeconds*1e6 + int64(seconds*1e6)
}

// put emits a row on the day of its time, or a little later when it is late,
// and sometimes twice. A row that lies beyond the end of the history has not
// happened yet; one that would arrive after the end arrives on the last day.
func (t *Teller) put(e Row) {
	day := int((e.Time - t.plan.startMicros) / (daySeconds * 1e6))
	if day >= t.plan.Days {
		return
	}
	e.Customer = t.customer
	e.Event = mix64(t.plan.Seed ^ (t.key | t.events))
	t.events++
	chance := t.noise.next()
	o := t.out
	n := int64(1)
	if chance>>32 < t.plan.duplicate {
		n = 2
		o.Duplicates++
	}
	arrives := day
	if chance&(1<<32-1) < t.plan.late {
		arrives = min(day+t.noise.between(1, LateDays), t.plan.Days-1)
		if arrives > day {
			o.Late += n
		}
	}
	i := arrives - t.window.First
	for range n {
		o.Days[i] = append(o.Days[i], e)
	}
	o.Rows += n
	switch {
	case e.Kind == typeOrderCompleted:
		o.Purchases += n
	case e.Kind == typeOrderReturned:
		o.Returns += n
	}
	if e.Customer == 0 {
		o.Anonymous += n
	}
}

// session opens a session id.
func (t *Teller) session() uint64 {
	s := mix64(t.plan.Seed ^ (t.key | keySession | t.sessions))
	t.sessions++
	return s
}

// browse draws a product near the segment's price range.
func (t *Teller) browse() uint16 {
	p := t.traits.Profile
	u := t.r.next()
	b := p.bucket + int(u>>8&7) + int(u>>16&7) - 7
	return productCode(int(p.category[uint8(u)]), max(0, min(productsPerCategory-1, b)))
}

// lead tells the start of a visit over web or app: opening, search, product
// views. It returns the seconds at which the visit goes on.
func (t *Teller) lead(day int, seconds float64, channel uint8, session uint64) float64 {
	e := Row{Channel: channel, Session: session, Amount: NullAmount}
	step := func(kind uint8, product uint16) {
		e.Time, e.Kind, e.Product = t.at(day, seconds), kind, product
		t.put(e)
		seconds += 8 + 50*t.r.float()
	}
	if channel == channelApp {
		step(typeAppOpened, 0)
	}
	step(typeSessionStart, 0)
	u := t.r.next()
	if u&255 < 90 {
		step(typeSiteSearch, 0)
	} else if u&255 < 140 {
		step(typePageView, 0)
	}
	if channel == channelApp && u>>8&255 < 50 {
		step(typeFeatureUsed, 0)
	}
	step(typeProductView, t.browse())
	for range t.r.run(t.traits.Profile.Depth, 8) {
		step(typeProductView, t.browse())
	}
	return seconds
}

// visit tells a visit without an order.
func (t *Teller) visit(day int) {
	p := t.traits.Profile
	channel := 1 + p.channel[t.r.next()&255]
	if channel == channelStore {
		channel = channelWeb
	}
	session := t.session()
	seconds := t.lead(day, t.clock(), channel, session)
	e := Row{Channel: channel, Session: session, Amount: NullAmount}
	if t.r.chance(p.Abandon) {
		e.Time, e.Kind, e.Product = t.at(day, seconds), typeAddToCart, t.browse()
		t.put(e)
		seconds += 20 + 60*t.r.float()
		switch u := t.r.float(); {
		case u < .3:
			e.Time, e.Kind = t.at(day, seconds), typeRemoveFromCart
			t.put(e)
		case u < .5:
			e.Time, e.Kind, e.Product = t.at(day, seconds), typeCheckoutStarted, 0
			t.put(e)
		}
		seconds += 20
	}
	if t.r.chance(p.Social) {
		e.Time, e.Kind, e.Product, e.Channel = t.at(day, seconds), typeSocialShare, 0, channelMedia+5
		t.put(e)
	}
}

// maxLines bounds the lines of an order; more have probability below 1e−7 in
// every segment.
const maxLines = 12

// order tells an order: how it came about, its lines, and what follows from it.
func (t *Teller) order(day int) {
	p := t.traits.Profile
	channel := 1 + p.channel[t.r.next()&255]
	session := t.session()
	seconds := t.clock()
	online := channel != channelStore
	if online {
		seconds = t.lead(day, seconds, channel, session)
	}
	lines := min(1+t.r.poisson(p.zeroLines), maxLines)
	saving := 1.0
	coupon := t.r.chance(p.Coupon)
	if coupon {
		saving = 1 - CouponSaving
	}
	var basket [maxLines]Row
	for i := range basket[:lines] {
		logPrice := p.LogPrice + t.traits.LogPrice + p.PriceSigma*t.r.norm()
		u := t.r.next()
		quantity := uint8(1)
		if float64(u>>11)*0x1p-53 < p.Double {
			quantity = 2
		}
		basket[i] = Row{
			Kind: typeOrderCompleted, Channel: channel, Session: session, Quantity: quantity,
			Product: productCode(int(p.category[uint8(u)]), priceBucket(logPrice)),
			Amount:  int32(math.Round(min(math.Exp(logPrice), 1e6) * float64(quantity) * saving * 100)),
		}
	}
	e := Row{Channel: channel, Session: session, Amount: NullAmount}
	if online {
		for _, line := range basket[:lines] {
			e.Time, e.Kind, e.Product = t.at(day, seconds), typeAddToCart, line.Product
			t.put(e)
			seconds += 5 + 30*t.r.float()
		}
		if t.r.next()&255 < 20 { // one that was put back
			e.Time, e.Kind, e.Product = t.at(day, seconds), typeAddToCart, t.browse()
			t.put(e)
			seconds += 30
			e.Time, e.Kind = t.at(day, seconds), typeRemoveFromCart
			t.put(e)
			seconds += 10
		}
		e.Time, e.Kind, e.Product = t.at(day, seconds), typeCheckoutStarted, 0
		t.put(e)
		seconds += 40 + 60*t.r.float()
	}
	when := t.at(day, seconds)
	if coupon {
		e.Time, e.Kind, e.Product = when, typeCouponRedeemed, 0
		e.Campaign = campaignCode(day, 0)
		t.put(e)
		e.Campaign = 0
	}
	for _, line := range basket[:lines] {
		line.Time = when
		t.put(line)
		if t.r.chance(p.Returns) {
			line.Kind, line.Amount = typeOrderReturned, -line.Amount
			line.Time = t.at(day+t.r.between(3, ReturnDays), t.clock())
			t.put(line)
		}
	}
	e.Product = basket[0].Product
	if t.r.chance(p.Review) {
		e.Time, e.Kind = t.at(day+t.r.between(2, 14), t.clock()), typeReviewPosted
		// Two half-wide draws around the segment's mean, held to 1…5.
		e.Rating = uint8(max(1, min(5, math.Round(p.Stars+1.5*(t.r.float()+t.r.float()-1)))))
		t.put(e)
		e.Rating = 0
	}
	e.Product = 0
	if t.r.chance(p.Ticket) {
		e.Time, e.Kind = t.at(day+t.r.between(1, 7), t.clock()), typeTicketOpened
		t.put(e)
	}
	if t.r.chance(p.Refer) {
		e.Time, e.Kind = t.at(day, seconds+30), typeFriendReferred
		t.put(e)
	}
	if t.r.chance(p.Social) {
		e.Time, e.Kind, e.Channel = t.at(day, seconds+45), typeSocialShare, channelMedia+5
		t.put(e)
	}
}

// message tells a message sent on a day, and the answer the living give.
func (t *Teller) message(day int) {
	p := t.traits.Profile
	medium := int(p.medium[t.r.next()&255])
	seconds := 8*3600 + 8*3600*t.r.float()
	e := Row{
		Time: t.at(day, seconds), Kind: typeMessageSent, Channel: uint8(channelMedia + medium),
		Campaign: campaignCode(day, medium), Amount: NullAmount,
	}
	t.put(e)
	if day >= t.traits.Churned || !t.r.chance(t.traits.Open[medium]) {
		return
	}
	// Opened the same day: minutes to hours later, and before 23:00.
	seconds += (lastHour*3600 - seconds) * math.Pow(t.r.float(), 3)
	e.Time, e.Kind = t.at(day, seconds), typeMessageOpened
	t.put(e)
	if t.r.chance(p.Click) {
		e.Time, e.Kind = t.at(day, seconds+5+60*t.r.float()), typeMessageClicked
		t.put(e)
	}
}

// subscription tells the start and the renewals on the days [from, to).
func (t *Teller) subscription(from, to int) {
	if t.traits.Joins < 0 {
		return
	}
	for day := max(t.traits.Joins, from+mod(t.traits.Joins-from, subscriptionDays)); day < to; day += subscriptionDays {
		kind := uint8(typeSubscriptionRenewed)
		if day == t.traits.Joins {
			kind = typeSubscriptionStarted
		}
		t.put(Row{Time: t.at(day, t.clock()), Kind: kind, Channel: channelApp, Amount: subscriptionFee})
	}
}

// cancellation tells the end of a subscription: the first renewal date after churn.
func (t *Teller) cancellation() {
	day := t.traits.Churned + mod(t.traits.Joins-t.traits.Churned, subscriptionDays)
	if day >= t.window.First && day < t.window.End {
		t.put(Row{Time: t.at(day, t.clock()), Kind: typeSubscriptionCancelled, Channel: channelApp, Amount: NullAmount})
	}
}

func mod(a, b int) int { return ((a % b) + b) % b }

// strangers tells anonymous visits in proportion to what the customer did in the
// window, so that their share holds in every block.
func (t *Teller) strangers(n uint32) {
	if t.plan.anonymous == 0 {
		return
	}
	t.r = newStream(t.plan.Seed, n, t.window.index, forAnonymous)
	visits := int(float64(t.events)*t.plan.anonymous + t.r.float())
	t.customer = 0
	for range visits {
		day := t.r.between(t.window.First, t.window.End-1)
		seconds := t.clock()
		e := Row{Channel: 1 + uint8(t.r.intn(2)), Session: t.session(), Amount: NullAmount}
		step := func(kind uint8, product uint16) {
			e.Time, e.Kind, e.Product = t.at(day, seconds), kind, product
			t.put(e)
			seconds += 5 + 60*t.r.float()
		}
		step(typeSessionStart, 0)
		step(typePageView, 0)
		for range t.r.run(anonymousDepth, anonymousViews) {
			step(typeProductView, t.browse())
		}
	}
}
