package synth

import (
	"math"
	"testing"
	"time"

	"github.com/shoal-data/shoal/datasets/synth/internal/behaviour"
)

// counted is what an observer counts of one customer.
type counted struct {
	last                                                time.Time // day of the last sign of life
	orders, visits, sends, opens                        float64
	lines, store, coupons, returns, tickets, q4, logSum float64
}

// logNegativeBinomial is the log probability of k events when the rate is gamma
// of the given shape and the mean count is m; terms without m left out.
func logNegativeBinomial(k, m, shape float64) float64 {
	return k*math.Log(m/(m+shape)) - shape*math.Log1p(m/shape)
}

// logBinomial is the log probability of k of n at p, the coefficient left out.
func logBinomial(k, n, p float64) float64 {
	p = max(1e-6, min(1-1e-6, p))
	return k*math.Log(p) + (n-k)*math.Log1p(-p)
}

// TestSegmentsAreSeparable classifies customers by naive Bayes under the true
// parameters of the segments, a lower bound of what can be told from behaviour.
// It must find nine in ten customers, newcomers aside, and nearly all of those
// who stayed for three months: whoever leaves after a few days shows little.
func TestSegmentsAreSeparable(t *testing.T) {
	p, truth, events := history(t)
	seen := map[string]*counted{}
	for _, c := range truth {
		seen[c.ID] = &counted{last: c.Acquired}
	}
	bought, visits := map[string]bool{}, map[string]string{}
	for _, e := range events {
		b := seen[e.who]
		if b == nil {
			continue
		}
		if isLife(e) && e.day.After(b.last) {
			b.last = e.day
		}
		switch e.Type {
		case "order_completed":
			if !bought[e.Session] {
				bought[e.Session] = true
				b.orders++
				if e.Channel == "store" {
					b.store++
				}
				if e.day.Month() >= 11 {
					b.q4++
				}
			}
			b.lines++
			b.logSum += math.Log(*e.Amount)
		case "session_start":
			visits[e.Session] = e.who
		case "message_sent":
			b.sends++
		case "message_opened":
			b.opens++
		case "coupon_redeemed":
			b.coupons++
		case "order_returned":
			b.returns++
		case "ticket_opened":
			b.tickets++
		}
	}
	for s, id := range visits {
		if !bought[s] {
			seen[id].visits++
		}
	}
	var right, all, rightStayed, stayed float64
	var confusion [len(behaviour.Segments)][len(behaviour.Segments)]int
	for _, c := range truth {
		b := seen[c.ID]
		days := b.last.Sub(c.Acquired).Hours()/24 + 1
		tenure := p.End.Sub(c.Acquired).Hours() / 24
		var season, holiday [len(behaviour.Segments)]float64 // of the days seen alive
		for d := c.Acquired; !d.After(b.last); d = d.AddDate(0, 0, 1) {
			for g := range behaviour.Segments {
				s := Season(g, d)
				season[g] += s
				if d.Month() >= 11 {
					holiday[g] += s
				}
			}
		}
		best, at := math.Inf(-1), 0
		for g, s := range behaviour.Segments {
			if s.Recent > 0 && tenure > float64(s.Recent) {
				continue
			}
			openable := 0.0
			for m, share := range s.Media {
				openable += share * behaviour.MediaOpen[m]
			}
			pace := s.Orders + s.Visits
			ll := math.Log(s.Share) +
				logNegativeBinomial(b.orders, s.Orders*season[g], behaviour.PurchaseShape) +
				logNegativeBinomial(b.visits, s.Visits*season[g], behaviour.VisitShape) +
				b.sends*math.Log(s.Messages) - s.Messages*tenure +
				logBinomial(b.opens, max(b.opens, b.sends*days/tenure), s.Open*openable) +
				logBinomial(b.store, b.orders, s.Channels[2]) +
				logBinomial(b.coupons, b.orders, s.Coupon) +
				logBinomial(b.returns, b.lines, s.Returns) +
				logBinomial(b.tickets, b.orders, s.Ticket) +
				logBinomial(b.q4, b.orders, holiday[g]/season[g]) +
				// Alive to the last sign; then dead, or silent by chance.
				-s.Hazard*days + math.Log(s.Hazard/(s.Hazard+pace)+math.Exp(-pace*(tenure-days)))
			if b.lines > 0 {
				price := s.LogPrice + s.Double*math.Ln2 + s.Coupon*math.Log(1-behaviour.CouponSaving)
				v := behaviour.PriceSpread*behaviour.PriceSpread + (s.PriceSigma*s.PriceSigma+s.Double*(1-s.Double)*math.Ln2*math.Ln2)/b.lines
				ll -= math.Pow(b.logSum/b.lines-price, 2)/(2*v) + math.Log(v)/2
			}
			if ll > best {
				best, at = ll, g
			}
		}
		confusion[c.SegmentIndex][at]++
		if behaviour.Segments[c.SegmentIndex].Recent > 0 {
			continue
		}
		hit := 0.0
		if at == c.SegmentIndex {
			hit = 1
		}
		all++
		right += hit
		if days >= 90 {
			stayed++
			rightStayed += hit
		}
	}
	t.Logf("naive Bayes under the truth: %.3f of %.0f customers that are not new, %.3f of the %.0f seen for 90 days",
		right/all, all, rightStayed/stayed, stayed)
	if right/all < .9 || rightStayed/stayed < .97 {
		t.Errorf("segments overlap too much; rows are true, columns guessed:\n%v", confusion)
	}
}
