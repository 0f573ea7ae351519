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
	f := Family{
		Name: "journey", Meaning: "How far along the way to a purchase the customer is, by which channels they came, and how varied what they do is.",
		Reads: []datasets.Field{datasets.Channel},
		From: fmt.Sprintf(`(SELECT *,
  max(stage) FILTER (WHERE day > $today - 30) OVER (PARTITION BY customer_id) AS stage_30d,
  min(day) OVER (PARTITION BY customer_id) AS first_day,
  min(event_time) FILTER (WHERE channel IS NOT NULL) OVER (PARTITION BY customer_id) AS first_touch,
  max(event_time) FILTER (WHERE channel IS NOT NULL) OVER (PARTITION BY customer_id) AS last_touch,
  lag(role) OVER (PARTITION BY customer_id ORDER BY event_time, place) AS previous_role
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
		},
	}
	var stageOf [datasets.NumRoles]int32
	for i, r := range funnel {
		stageOf[r] = int32(i + 1)
	}
	f.New = func(Values) Fill {
		var channels tally
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
		if first == 0 || c < first {
			first = c
		}
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
		if last == 0 || c < last {
			last = c
		}
		lastTime = h.Time[i]
	}
	return first, last
}
