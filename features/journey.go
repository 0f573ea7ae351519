package features

import (
	"fmt"
	"math"
	"math/bits"
	"strings"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
)

// funnel are the roles of the way to a purchase, in order: a customer's stage
// is one more than the place of the furthest, 0 when there was none.
var funnel = [...]datasets.Role{datasets.View, datasets.CartAdd, datasets.Checkout, datasets.Purchase}

// journey: how far along the way to a purchase the customer is, which channels
// they came by, and how varied what they do is. Where events share an instant
// they stand in the order of the roles' list, and of channels the first by name.
func journey(Params) Family {
	var stages strings.Builder
	for i, r := range funnel {
		fmt.Fprintf(&stages, " WHEN '%s' THEN %d", r, i+1)
	}
	roles := []string{"'" + datasets.Other.String() + "'"}
	for _, r := range datasets.Roles() {
		roles = append(roles, "'"+r.String()+"'")
	}
	var places strings.Builder
	for r := range datasets.NumRoles {
		if r > 0 {
			places.WriteString(", ")
		}
		fmt.Fprintf(&places, "%d %s", r, datasets.Role(r))
	}
	f := Family{
		Name: "journey", Meaning: "How far along the way to a purchase the customer is, by which channels they came, and how varied what they do is.",
		Reads: []datasets.Field{datasets.Channel},
		From: fmt.Sprintf(`(SELECT *,
  max(stage) FILTER (WHERE day > $today - 30) OVER (PARTITION BY customer_id) AS stage_30d,
  min(day) OVER (PARTITION BY customer_id) AS first_day,
  min(event_time) FILTER (WHERE channel IS NOT NULL) OVER (PARTITION BY customer_id) AS first_touch,
  max(event_time) FILTER (WHERE channel IS NOT NULL) OVER (PARTITION BY customer_id) AS last_touch,
  lag(role) OVER (PARTITION BY customer_id ORDER BY event_time, place) AS previous_role,
  lag(stage) OVER (PARTITION BY customer_id, stage > 0 ORDER BY event_time, place) AS previous_stage,
  row_number() OVER (PARTITION BY customer_id ORDER BY event_time DESC, place DESC) AS steps_back
 FROM (SELECT *, CASE role%s ELSE 0 END AS stage, list_position([%s], role) AS place FROM history))`, stages.String(), strings.Join(roles, ", ")),
		Columns: []Column{
			{"funnel_stage_30d", "stage", "[0, 4]", "never", "Furthest stage of the last 30 days: 0 none, 1 view, 2 cart, 3 checkout, 4 purchase.", "coalesce(max(stage) FILTER (WHERE day > $today - 30), 0)"},
			{"funnel_stage_90d", "stage", "[0, 4]", "never", "Furthest stage of the last 90 days.", "coalesce(max(stage) FILTER (WHERE day > $today - 90), 0)"},
			{"funnel_stage_days", "days", "[0, 29]", "no stage reached in the last 30 days", "Days since the furthest stage of the last 30 days was first reached in them.", "$today - min(day) FILTER (WHERE day > $today - 30 AND stage > 0 AND stage = stage_30d)"},
			{"view_channels_lifetime", "channels", "[0, ∞)", "never", "Distinct channels of views.", "count(DISTINCT channel) FILTER (WHERE role = 'view')"},
			{"purchase_channels_lifetime", "channels", "[0, ∞)", "never", "Distinct channels of purchases.", "count(DISTINCT channel) FILTER (WHERE role = 'purchase')"},
			{"message_open_channels_lifetime", "channels", "[0, ∞)", "never", "Distinct channels of opened messages.", "count(DISTINCT channel) FILTER (WHERE role = 'message_open')"},
			{"channels_first_7d", "channels", "[0, ∞)", "never", "Distinct channels of the customer's first 7 days.", "count(DISTINCT channel) FILTER (WHERE day < first_day + 7)"},
			{"first_channel_is_last", "flag", "[0, 1]", "no event with a channel", "1 when the first channel is also the last, 0 when not.",
				"CAST(min(channel) FILTER (WHERE event_time = first_touch) = min(channel) FILTER (WHERE event_time = last_touch) AS INTEGER)"},
			{"roles_30d", "roles", "[0, 21]", "never", "Distinct kinds of behaviour in the last 30 days.", "count(DISTINCT role) FILTER (WHERE day > $today - 30)"},
			{"roles_lifetime", "roles", "[1, 21]", "never", "Distinct kinds of behaviour ever.", "count(DISTINCT role)"},
			{"role_entropy", "bits", "[0, 4.4]", "never", "Shannon entropy of the kinds of behaviour: 0 is always the same.", "entropy(role)"},
			{"role_change_share", "share", "[0, 1]", "fewer than two events", "Share of events that are of another kind than the one before.", "count(*) FILTER (WHERE role <> previous_role) / nullif(count(*) - 1, 0)"},
			{"first_channel", "channel", "[1, 7]", "no event with a channel", "Channel of the first event that has one: " + channelKindWords + ".", channelKindSQL("(min(channel) FILTER (WHERE event_time = first_touch))")},
			{"last_channel", "channel", "[1, 7]", "no event with a channel", "Channel of the last event that has one: " + channelKindWords + ".", channelKindSQL("(min(channel) FILTER (WHERE event_time = last_touch))")},
			{"last_step", "role", "[0, 20]", "never", "Kind of the last event, by its place in the list of roles: " + places.String() + ".", "max(place - 1) FILTER (WHERE steps_back = 1)"},
			{"last_step_but_one", "role", "[0, 20]", "fewer than two events", "Kind of the event before the last, numbered like last_step.", "max(place - 1) FILTER (WHERE steps_back = 2)"},
			{"last_step_but_two", "role", "[0, 20]", "fewer than three events", "Kind of the event before these two, numbered like last_step.", "max(place - 1) FILTER (WHERE steps_back = 3)"},
			{"funnel_advances_90d", "steps", "[0, ∞)", "never", "Steps of the last 90 days to a further stage than the step before, of the steps view, cart, checkout and purchase.", "count(*) FILTER (WHERE stage > previous_stage AND day > $today - 90)"},
			{"funnel_retreats_90d", "steps", "[0, ∞)", "never", "Steps of the last 90 days to an earlier stage than the step before.", "count(*) FILTER (WHERE stage < previous_stage AND day > $today - 90)"},
			{"funnel_advance_share", "share", "[0, 1]", "no change of stage", "Share of all changes of stage that went further.", "count(*) FILTER (WHERE stage > previous_stage) / nullif(count(*) FILTER (WHERE stage <> previous_stage), 0)"},
		},
	}
	var stageOf [datasets.NumRoles]int32
	for i, r := range funnel {
		stageOf[r] = int32(i + 1)
	}
	f.New = func(values Values) Fill {
		var channels tally
		place := channelPlaces(values)
		kind := func(channel uint32) float64 {
			if place[channel] < 0 {
				return float64(len(messageChannels) + 1)
			}
			return float64(place[channel] + 1)
		}
		return func(h *timeline.History, out []float64) {
			nulls(out)
			n := h.Len()
			start30 := since(h, 30)
			var stage90, stage30, reached int32
			for i := since(h, 90); i < n; i++ {
				s := stageOf[h.Role[i]]
				stage90 = max(stage90, s)
				if i >= start30 && s > stage30 {
					stage30, reached = s, h.AsOf.Today-h.Day[i]
				}
			}
			out[0], out[1] = float64(stage30), float64(stage90)
			if stage30 > 0 {
				out[2] = float64(reached)
			}
			for k, r := range [...]datasets.Role{datasets.View, datasets.Purchase, datasets.MessageOpen} {
				channels.reset()
				for _, i := range h.Positions(r) {
					if c := code(h.Channel, i); c != 0 {
						channels.add(c)
					}
				}
				out[3+k] = float64(len(channels.values))
			}
			channels.reset()
			for i := 0; i < len(h.Channel) && h.Day[i] < h.Day[0]+7; i++ {
				if c := h.Channel[i]; c != 0 {
					channels.add(c)
				}
			}
			out[6] = float64(len(channels.values))
			if first, last := touches(h); first != 0 {
				out[7] = 0
				if first == last {
					out[7] = 1
				}
				out[12], out[13] = kind(first), kind(last)
			}
			var seen30 uint32
			for _, r := range h.Role[start30:] {
				seen30 |= 1 << r
			}
			out[8] = float64(bits.OnesCount32(seen30))
			changes := 0
			for i := 1; i < n; i++ {
				if h.Role[i] != h.Role[i-1] {
					changes++
				}
			}
			kinds, entropy := 0, 0.0
			for r := range datasets.NumRoles {
				if k := len(h.Positions(datasets.Role(r))); k > 0 {
					kinds++
					p := float64(k) / float64(n)
					entropy -= p * math.Log2(p)
				}
			}
			out[9], out[10] = float64(kinds), max(entropy, 0)
			out[11] = share(changes, n-1)
			var before int32 // stage of the funnel's step before
			var advances, retreats, advances90, retreats90 int
			start90 := since(h, 90)
			for i, r := range h.Role {
				stage := stageOf[r]
				if stage == 0 {
					continue
				}
				recent := i >= start90
				switch {
				case before == 0:
				case stage > before:
					advances++
					if recent {
						advances90++
					}
				case stage < before:
					retreats++
					if recent {
						retreats90++
					}
				}
				before = stage
			}
			out[17], out[18] = float64(advances90), float64(retreats90)
			out[19] = share(advances, advances+retreats)
			for k := range min(n, 3) {
				out[14+k] = float64(h.Role[n-1-k])
			}
		}
	}
	return f
}

// touches are the first and last channel of a history, of those at one instant
// the first by name; 0 when no event has one.
func touches(h *timeline.History) (first, last uint32) {
	var firstTime, lastTime int64
	for i, c := range h.Channel {
		if c == 0 {
			continue
		}
		if first != 0 && h.Time[i] != firstTime {
			break
		}
		if first == 0 {
			first = c
		}
		first = min(first, c)
		firstTime = h.Time[i]
	}
	for i := len(h.Channel) - 1; i >= 0; i-- {
		c := h.Channel[i]
		if c == 0 {
			continue
		}
		if last != 0 && h.Time[i] != lastTime {
			break
		}
		if last == 0 {
			last = c
		}
		last = min(last, c)
		lastTime = h.Time[i]
	}
	return first, last
}
