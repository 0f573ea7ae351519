package features

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
)

// messageChannels are the channels with columns of their own, in column order.
var messageChannels = [...]string{"email", "push", "sms", "mail", "ad", "social"}

// channelKindWords says what the numbers of a column that names a channel mean.
const channelKindWords = "1 email, 2 push, 3 sms, 4 mail, 5 ad, 6 social, 7 any other"

// channelKindSQL is the number of a channel; null for none.
func channelKindSQL(channel string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CASE WHEN %[1]s IS NOT NULL THEN CASE lower(%[1]s)", channel)
	for i, name := range messageChannels {
		fmt.Fprintf(&b, " WHEN '%s' THEN %d", name, i+1)
	}
	fmt.Fprintf(&b, " ELSE %d END END", len(messageChannels)+1)
	return b.String()
}

// channelPlaces are by rank of a channel its place in messageChannels, −1 for others.
func channelPlaces(values Values) []int8 {
	names := values(datasets.Channel)
	places := make([]int8, len(names))
	for rank, name := range names {
		places[rank] = int8(slices.Index(messageChannels[:], strings.ToLower(name)))
	}
	return places
}

// messages: what was sent to the customer by each channel, and what came back.
// A channel is recognised by its name in any case.
func messages(Params) Family {
	f := Family{
		Name: "messages", Meaning: "What was sent to the customer by email, push, sms, mail, ad and social, and what was opened and clicked.",
		Reads: []datasets.Field{datasets.Channel, datasets.CampaignID},
		From: `(SELECT *,
  max(event_time) FILTER (WHERE role = 'message_open') OVER (PARTITION BY customer_id) AS last_open,
  count(*) OVER (PARTITION BY customer_id, role, channel) AS channel_events,
  count(*) OVER (PARTITION BY customer_id, role, ` + channelKindSQL("channel") + `) AS kind_events,
  min(epoch_us(event_time)) FILTER (WHERE role = 'message_open')
   OVER (PARTITION BY customer_id, campaign_id, channel ORDER BY event_time RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) - epoch_us(event_time) AS response
 FROM history)`,
	}
	const perChannel = 7
	for _, name := range messageChannels {
		count := func(role, window string) string {
			return fmt.Sprintf("count(*) FILTER (WHERE role = '%s' AND lower(channel) = '%s'%s)", role, name, window)
		}
		recent := func(role string) string { return count(role, fmt.Sprintf(" AND day > $today - %d", recentDays)) }
		sent := "nullif(" + count("message_sent", "") + ", 0)"
		f.Columns = append(f.Columns,
			Column{name + "_sent_90d", "messages", "[0, ∞)", "never", "Messages sent by " + name + " in the last 90 days.", recent("message_sent")},
			Column{name + "_opened_90d", "messages", "[0, ∞)", "never", "Opens by " + name + " in the last 90 days.", recent("message_open")},
			Column{name + "_clicked_90d", "messages", "[0, ∞)", "never", "Clicks by " + name + " in the last 90 days.", recent("message_click")},
			Column{name + "_sent_lifetime", "messages", "[0, ∞)", "never", "Messages sent by " + name + " ever; times the rates, the opens and clicks ever.", count("message_sent", "")},
			Column{name + "_open_rate", "share", "[0, ∞)", "no message sent by " + name, "Opens per message sent by " + name + ", ever; above 1 when messages are opened more than once.", count("message_open", "") + " / " + sent},
			Column{name + "_click_rate", "share", "[0, ∞)", "no message sent by " + name, "Clicks per message sent by " + name + ", ever.", count("message_click", "") + " / " + sent},
			Column{"days_since_last_" + name + "_response", "days", "[0, ∞)", "no open or click by " + name, "Days from the last open or click by " + name + " to the as-of date.",
				fmt.Sprintf("$today - max(day) FILTER (WHERE role IN ('message_open', 'message_click') AND lower(channel) = '%s')", name)},
		)
	}
	f.Columns = append(f.Columns,
		Column{"message_response_hours_mean", "hours", "[0, ∞)", "no message opened after it was sent", "Mean time from a message sent to the next open of the same campaign and channel, over messages that have one.",
			"avg(response) FILTER (WHERE role = 'message_sent' AND response IS NOT NULL) / 3.6e9"},
		Column{"preferred_message_channel_share", "share", "(0, 1]", "no open with a channel", "Share of opens in the channel most opened.",
			"max(channel_events) FILTER (WHERE role = 'message_open' AND channel IS NOT NULL) / nullif(count(channel) FILTER (WHERE role = 'message_open'), 0)"},
		Column{"messages_since_last_open", "messages", "[0, ∞)", "never", "Messages sent after the last open; all of them when none was opened.",
			"count(*) FILTER (WHERE role = 'message_sent' AND (last_open IS NULL OR event_time > last_open))"},
	)
	for _, name := range messageChannels {
		last := func(roles string) string {
			return fmt.Sprintf("max(event_time) FILTER (WHERE role IN (%s) AND lower(channel) = '%s')", roles, name)
		}
		f.Columns = append(f.Columns,
			Column{name + "_unsubscribed", "flag", "[0, 1]", "no subscribe, renew or cancel by " + name, "1 when the last word by " + name + " was cancel, 0 when it was subscribe or renew; at one instant, the cancel prevails.",
				fmt.Sprintf("CASE WHEN %s IS NOT NULL THEN CAST(coalesce(%s >= coalesce(%s, %[2]s), false) AS INTEGER) END", last("'subscribe', 'renew', 'cancel'"), last("'cancel'"), last("'subscribe', 'renew'"))},
			Column{name + "_response_hours_mean", "hours", "[0, ∞)", "no message by " + name + " opened after it was sent", "Mean time from a message sent by " + name + " to the next open of the same campaign and channel.",
				fmt.Sprintf("avg(response) FILTER (WHERE role = 'message_sent' AND response IS NOT NULL AND lower(channel) = '%s') / 3.6e9", name)},
		)
	}
	f.Columns = append(f.Columns, Column{"preferred_message_channel", "channel", "[1, 7]", "no open with a channel", "Channel most opened: " + channelKindWords + "; the first of equals.",
		"arg_max(" + channelKindSQL("channel") + ", 100 * kind_events - " + channelKindSQL("channel") + ") FILTER (WHERE role = 'message_open' AND channel IS NOT NULL)"})
	roles := [...]datasets.Role{datasets.MessageSent, datasets.MessageOpen, datasets.MessageClick}
	const sent, opened, clicked = 0, 1, 2
	type counts struct {
		recent, ever [len(roles)]int32
		lastResponse int32
		responded    bool
	}
	f.New = func(values Values) Fill {
		place := channelPlaces(values)
		byChannel := make([]counts, len(messageChannels))
		begun, ended := make([]int64, len(messageChannels)), make([]int64, len(messageChannels))
		var openedBy tally
		nextOpen := map[sending]int64{} // time of the open that was passed last
		return func(h *timeline.History, out []float64) {
			nulls(out)
			clear(byChannel)
			openedBy.reset()
			for r, role := range roles {
				for _, i := range h.Positions(role) {
					c := code(h.Channel, i)
					if c == 0 {
						continue
					}
					if r == opened {
						openedBy.add(c)
					}
					if place[c] < 0 {
						continue
					}
					n := &byChannel[place[c]]
					age := h.AsOf.Today - h.Day[i]
					n.ever[r]++
					if age < recentDays {
						n.recent[r]++
					}
					if r != sent && !n.responded {
						n.responded, n.lastResponse = true, age
					}
					if r != sent {
						n.lastResponse = min(n.lastResponse, age)
					}
				}
			}
			for k := range byChannel {
				n, row := &byChannel[k], out[perChannel*k:][:perChannel]
				for r := range roles {
					row[r] = float64(n.recent[r])
				}
				row[3] = float64(n.ever[sent])
				row[4] = share(n.ever[opened], n.ever[sent])
				row[5] = share(n.ever[clicked], n.ever[sent])
				if n.responded {
					row[6] = float64(n.lastResponse)
				}
			}
			rest := out[perChannel*len(messageChannels):]
			more := rest[3:]
			for k := range begun {
				begun[k], ended[k] = math.MinInt64, math.MinInt64
			}
			for _, s := range [...]struct {
				role datasets.Role
				last []int64
			}{{datasets.Subscribe, begun}, {datasets.Renew, begun}, {datasets.Cancel, ended}} {
				for _, i := range h.Positions(s.role) {
					if c := code(h.Channel, i); c != 0 && place[c] >= 0 {
						s.last[place[c]] = max(s.last[place[c]], h.Time[i])
					}
				}
			}
			for k := range begun {
				switch {
				case begun[k] > ended[k]:
					more[2*k] = 0
				case ended[k] > math.MinInt64:
					more[2*k] = 1
				}
			}
			if openedBy.total > 0 {
				var kinds [len(messageChannels) + 1]int32
				kinds[len(messageChannels)] = int32(openedBy.total)
				for k := range byChannel {
					kinds[k] = byChannel[k].ever[opened]
					kinds[len(messageChannels)] -= kinds[k]
				}
				favourite, _ := mode(kinds[:])
				more[2*len(messageChannels)] = float64(favourite + 1)
				rest[1] = share(int(openedBy.most()), openedBy.total)
			}
			sents, opens := h.Positions(datasets.MessageSent), h.Positions(datasets.MessageOpen)
			unopened := len(sents)
			if len(opens) > 0 {
				last := h.Time[opens[len(opens)-1]]
				for unopened = 0; unopened < len(sents) && h.Time[sents[len(sents)-1-unopened]] > last; {
					unopened++
				}
			}
			rest[2] = float64(unopened)
			if len(sents) == 0 || len(opens) == 0 {
				return
			}
			// Walking back in time, a message meets the open of its campaign and
			// channel that was passed last; at one instant a message comes before
			// its open.
			clear(nextOpen)
			later := len(opens)
			// By channel, and last of all channels together, those of no column too;
			// in float64, since int64 overflows after 36 responses of 8,000 years.
			var answered [len(messageChannels) + 1]int
			var micros [len(messageChannels) + 1]float64
			for _, i := range slices.Backward(sents) {
				for later > 0 && h.Time[opens[later-1]] >= h.Time[i] {
					later--
					o := opens[later]
					nextOpen[sending{code(h.Campaign, o), code(h.Channel, o)}] = h.Time[o]
				}
				c := code(h.Channel, i)
				if at, ok := nextOpen[sending{code(h.Campaign, i), c}]; ok {
					took := float64(at - h.Time[i])
					answered[len(messageChannels)]++
					micros[len(messageChannels)] += took
					if c != 0 && place[c] >= 0 {
						answered[place[c]]++
						micros[place[c]] += took
					}
				}
			}
			rest[0] = share(micros[len(messageChannels)]/3.6e9, float64(answered[len(messageChannels)]))
			for k := range messageChannels {
				more[2*k+1] = share(micros[k]/3.6e9, float64(answered[k]))
			}
		}
	}
	return f
}

// A sending is what a message and its opens share.
type sending struct{ campaign, channel uint32 }
