package synth

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-data/shoal/datasets/synth/internal/behaviour"
)

// alive calls do for every day of the history that c is alive.
func alive(p Params, c Customer, do func(day time.Time)) {
	end := p.End
	if !c.Churned.IsZero() {
		end = c.Churned
	}
	for d := c.Acquired; d.Before(end); d = d.AddDate(0, 0, 1) {
		do(d)
	}
}

// signs of life: what only the living do, on the day they do it.
func isLife(e told) bool {
	switch e.Type {
	case "message_sent", "order_returned", "review_posted", "ticket_opened", "subscription_cancelled":
		return false
	}
	return true
}

func TestNothingOutsideTheLifetime(t *testing.T) {
	p, truth, events := history(t)
	byID := map[string]Customer{}
	for _, c := range truth {
		byID[c.ID] = c
	}
	created, cancelled, after := 0, 0, map[string]int{}
	for _, e := range events {
		if e.day.Before(p.Start) || !e.day.Before(p.End) {
			t.Fatalf("event on %s outside the history", e.day)
		}
		if e.who == "" {
			continue
		}
		c := byID[e.who]
		if e.day.Before(c.Acquired) {
			t.Fatalf("%s: %s on %s before acquisition on %s", e.who, e.Type, e.day, c.Acquired)
		}
		dead := !c.Churned.IsZero() && !e.day.Before(c.Churned)
		if dead && isLife(e) {
			t.Fatalf("%s: %s on %s after churn on %s", e.who, e.Type, e.day, c.Churned)
		}
		if dead {
			after[e.Type]++
		}
		switch e.Type {
		case "account_created":
			created++
			if !e.day.Equal(c.Acquired) {
				t.Fatalf("%s: account of %s, acquired %s", e.who, e.day, c.Acquired)
			}
		case "subscription_cancelled":
			cancelled++
			if !dead {
				t.Fatalf("%s: subscription cancelled while alive", e.who)
			}
		}
	}
	if created != len(truth) || cancelled < 10 {
		t.Errorf("%d accounts of %d customers, %d cancelled subscriptions", created, len(truth), cancelled)
	}
	for _, typ := range []string{"message_sent", "order_returned", "review_posted", "ticket_opened"} {
		if after[typ] == 0 {
			t.Errorf("no %s after churn", typ)
		}
	}
}

// TestFunnel checks what belongs together in an order, a return and a message.
func TestFunnel(t *testing.T) {
	_, _, events := history(t)
	type order struct {
		when  int64
		lines map[string]int
		steps map[string]int
	}
	orders := map[string]*order{}
	sent := map[string]bool{}
	get := func(s string) *order {
		o := orders[s]
		if o == nil {
			o = &order{lines: map[string]int{}, steps: map[string]int{}}
			orders[s] = o
		}
		return o
	}
	line := func(e told, sign float64) string {
		return fmt.Sprintf("%s %s %.2f %d", e.who, e.Product, *e.Amount*sign, *e.Quantity)
	}
	for _, e := range events {
		money := slices.Contains([]string{"order_completed", "order_returned", "subscription_started", "subscription_renewed"}, e.Type)
		if (e.Amount != nil) != money || (e.Currency != "") != money {
			t.Fatalf("%s has amount %v and currency %q", e.Type, e.Amount, e.Currency)
		}
		if (e.Rating != nil) != (e.Type == "review_posted") || e.Rating != nil && (*e.Rating < 1 || *e.Rating > 5) {
			t.Fatalf("%s has rating %v", e.Type, e.Rating)
		}
		if (e.Product == "") != (e.Category == "") || e.Product != "" && !strings.HasPrefix(e.Category, e.Product[:3]) {
			t.Fatalf("product %q of category %q", e.Product, e.Category)
		}
		if strings.HasPrefix(e.Type, "message_") {
			if e.Campaign == "" || !slices.Contains(behaviour.Media[:], e.Channel) {
				t.Fatalf("%s of campaign %q on %q", e.Type, e.Campaign, e.Channel)
			}
			key := e.who + e.Campaign
			if e.Type == "message_sent" {
				sent[key] = true
			}
			continue
		}
		if e.Session == "" {
			continue
		}
		o := get(e.Session)
		o.steps[e.Type]++
		if e.Type == "order_completed" {
			if o.when != 0 && o.when != e.Time || *e.Amount <= 0 || math.Round(*e.Amount*100)/100 != *e.Amount {
				t.Fatalf("order %s: line at %d and %d, amount %v", e.Session, o.when, e.Time, *e.Amount)
			}
			o.when = e.Time
			o.lines[line(e, 1)]++
		}
	}
	carts, abandoned, online := 0, 0, 0
	for id, o := range orders {
		switch bought := o.when != 0; {
		case bought && o.steps["session_start"] > 0:
			online++
			if o.steps["checkout_started"] != 1 || o.steps["add_to_cart"]-o.steps["remove_from_cart"] != o.steps["order_completed"] {
				t.Fatalf("order %s went through %v", id, o.steps)
			}
		case !bought && o.steps["add_to_cart"] > 0:
			carts++
			if o.steps["remove_from_cart"] == 0 {
				abandoned++
			}
		}
	}
	if online < 1000 || carts < 1000 || abandoned < 500 || abandoned == carts {
		t.Errorf("%d online orders, %d carts without order, %d abandoned", online, carts, abandoned)
	}
	returns := 0
	for _, e := range events {
		switch e.Type {
		case "order_returned":
			returns++
			o := orders[e.Session]
			key := line(e, -1)
			if o.lines[key]--; o.lines[key] < 0 {
				t.Fatalf("return %s of no line in %s", key, e.Session)
			}
			if d := e.day.Sub(time.UnixMicro(o.when).UTC().Truncate(24*time.Hour)) / (24 * time.Hour); d < 3 || d > behaviour.ReturnDays {
				t.Fatalf("return after %d days", d)
			}
		case "message_opened", "message_clicked":
			if !sent[e.who+e.Campaign] {
				t.Fatalf("%s without a message", e.Type)
			}
		}
	}
	if returns < 1000 {
		t.Errorf("%d returns", returns)
	}
}

// within fails unless got is within three standard deviations of want.
func within(t *testing.T, what string, got, want, sigma float64) {
	t.Helper()
	if math.Abs(got-want) > 3*sigma {
		t.Errorf("%s: %.4g, the truth is %.4g ± %.2g (%.1f σ)", what, got, want, sigma, (got-want)/sigma)
	}
}

// TestRatesMatchTheTruth compares counts with the integral of the true
// intensities over the days alive: Poisson, so σ is the root of the mean.
func TestRatesMatchTheTruth(t *testing.T) {
	p, truth, events := history(t)
	segmentOf := map[string]int{}
	type counts struct {
		orders, visits, opens float64
		byMonth               [12]float64
		byWeekday             [7]float64
		spend, spend2         float64 // of orders over the customer's mean
	}
	want, got := make([]counts, len(behaviour.Segments)), make([]counts, len(behaviour.Segments))
	mean := map[string]float64{}
	for _, c := range truth {
		g := c.SegmentIndex
		segmentOf[c.ID], mean[c.ID] = g, c.MeanSpend
		prof := &behaviour.Profiles[g]
		alive(p, c, func(day time.Time) {
			s := c.PurchaseRate * Season(g, day)
			want[g].orders += s
			want[g].byMonth[day.Month()-1] += s
			want[g].byWeekday[day.Weekday()] += s
			want[g].visits += c.VisitRate * prof.VisitSeason(day.Month(), day.Weekday())
			want[g].opens += c.OpenRate * behaviour.MessageWeek[day.Weekday()]
		})
	}
	value, when, who := map[string]float64{}, map[string]time.Time{}, map[string]string{}
	sessions := map[string]string{}
	for _, e := range events {
		if e.who == "" {
			continue
		}
		switch e.Type {
		case "order_completed":
			value[e.Session] += *e.Amount
			when[e.Session], who[e.Session] = e.day, e.who
		case "session_start":
			sessions[e.Session] = e.who
		case "message_opened":
			got[segmentOf[e.who]].opens++
		}
	}
	for s, v := range value {
		c := &got[segmentOf[who[s]]]
		c.orders++
		c.byMonth[when[s].Month()-1]++
		c.byWeekday[when[s].Weekday()]++
		v /= mean[who[s]]
		c.spend += v
		c.spend2 += v * v
	}
	for s, id := range sessions {
		if _, bought := value[s]; !bought {
			got[segmentOf[id]].visits++
		}
	}
	for g, w := range want {
		name := behaviour.Segments[g].Name
		within(t, name+" orders", got[g].orders, w.orders, math.Sqrt(w.orders))
		within(t, name+" visits", got[g].visits, w.visits, math.Sqrt(w.visits))
		within(t, name+" opens", got[g].opens, w.opens, math.Sqrt(w.opens))
		n := got[g].orders
		m := got[g].spend / n
		within(t, name+" spend over its mean", m, 1, math.Sqrt((got[g].spend2/n-m*m)/n))
		for _, c := range []struct {
			what      string
			got, want []float64
		}{{"month", got[g].byMonth[:], w.byMonth[:]}, {"weekday", got[g].byWeekday[:], w.byWeekday[:]}} {
			chi, degrees := 0.0, 0.0
			for i := range c.want {
				chi += (c.got[i] - c.want[i]) * (c.got[i] - c.want[i]) / c.want[i]
				degrees++
			}
			within(t, name+" χ² of orders by "+c.what, chi, degrees, math.Sqrt(2*degrees))
		}
	}
	if gifts := got[3].byMonth; gifts[11]/got[3].orders < .2 {
		t.Errorf("gift shoppers make %.0f%% of their orders in December: no season", 100*gifts[11]/got[3].orders)
	}
}
