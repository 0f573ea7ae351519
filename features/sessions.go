package features

import (
	"fmt"
	"math"
	"strings"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
)

// visiting are the roles that a customer plays during a visit. Messages,
// tickets, renewals and the like happen outside.
var visiting = []datasets.Role{
	datasets.Other, datasets.Purchase, datasets.CartAdd, datasets.CartRemove, datasets.Checkout,
	datasets.View, datasets.Search, datasets.Session, datasets.FeatureUse,
}

// sessions: visits, by the source's session id or, for events without one, by
// a gap without events.
func sessions(p Params) Family {
	ws := p.windows()
	names := make([]string, len(visiting))
	var isVisit [datasets.NumRoles]bool
	for i, r := range visiting {
		names[i] = "'" + r.String() + "'"
		isVisit[r] = true
	}
	gap := p.SessionGap.Microseconds()
	f := Family{
		Name: "sessions", Meaning: "Visits, by the source's session id or, for events without one, ended by a gap without events; when they were, how long and how deep.",
		Reads: []datasets.Field{datasets.SessionID},
		From: fmt.Sprintf(`(SELECT c.*, v.* EXCLUDE (customer_id)
 FROM (SELECT customer_id, $today - min(day) + 1 AS tenure FROM history GROUP BY customer_id) c
 LEFT JOIN (SELECT customer_id, max(day) AS day, epoch_us(max(event_time)) - epoch_us(min(event_time)) AS micros,
   count(*) AS events, count(*) FILTER (WHERE role = 'purchase') > 0 AS converted, max(event_time) AS ended
  FROM (SELECT *, sum(opens) OVER (PARTITION BY customer_id, session_id ORDER BY event_time, opens DESC ROWS UNBOUNDED PRECEDING) AS visit
   FROM (SELECT *, CASE WHEN session_id IS NULL AND coalesce(epoch_us(event_time) - epoch_us(lag(event_time) OVER (PARTITION BY customer_id, session_id ORDER BY event_time)) > %d, true) THEN 1 ELSE 0 END AS opens
    FROM history WHERE role IN (%s)))
  GROUP BY customer_id, session_id, visit) v ON c.customer_id = v.customer_id)`, gap, strings.Join(names, ", ")),
	}
	for _, w := range ws {
		f.Columns = append(f.Columns, Column{"sessions_" + w.suffix, "sessions", "[0, ∞)", "never", "Visits that ended " + w.words + ".", "count(day)" + w.filter("")})
	}
	f.Columns = append(f.Columns,
		Column{"session_minutes_mean", "minutes", "[0, ∞)", "no visit", "Mean time from a visit's first event to its last.", "sum(micros) / 6e7 / nullif(count(day), 0)"},
		Column{"session_events_mean", "events", "[1, ∞)", "no visit", "Mean number of events in a visit.", "sum(events) / nullif(count(day), 0)"},
		Column{"session_bounce_share", "share", "[0, 1]", "no visit", "Share of visits with a single event.", "count(*) FILTER (WHERE events = 1) / nullif(count(day), 0)"},
		Column{"session_conversion_share", "share", "[0, 1]", "no visit", "Share of visits with a purchase.", "count(*) FILTER (WHERE converted) / nullif(count(day), 0)"},
		Column{"sessions_per_30d", "sessions", "[0, ∞)", "never", "Visits per 30 days of tenure, the as-of date included.", "30 * count(day) / max(tenure)"},
	)
	type visit struct {
		first, last int64
		events      int32
		day         int32
		converted   bool
	}
	f.New = func(Values) Fill {
		var visits []visit
		var given placesOf // visits, by session
		return func(h *timeline.History, out []float64) {
			visits = visits[:0]
			given.reset()
			open, openCode := -1, uint32(0)
			var current int // the latest visit by id, that of openCode; open is the one by gap
			for i, r := range h.Role {
				if !isVisit[r] {
					continue
				}
				t := h.Time[i]
				var v int // the event's visit
				if c := code(h.Session, int32(i)); c == 0 {
					if open < 0 || t-visits[open].last > gap {
						open = len(visits)
						visits = append(visits, visit{first: t})
					}
					v = open
				} else {
					if c != openCode {
						at := given.of(c, len(visits))
						if at == len(visits) {
							visits = append(visits, visit{first: t})
						}
						current, openCode = at, c
					}
					v = current
				}
				visits[v].last = t
				visits[v].day = h.Day[i]
				visits[v].events++
				visits[v].converted = visits[v].converted || r == datasets.Purchase
			}
			clear(out)
			rest := out[len(ws):]
			if len(visits) == 0 {
				for i := range rest {
					rest[i] = math.NaN()
				}
				rest[4] = 0
				return
			}
			var events, bounced, converted int64
			var micros float64 // int64 overflows after 36 visits of 8,000 years
			for _, v := range visits {
				age := h.AsOf.Today - v.day
				for k := len(ws) - 1; k >= 0 && ws[k].holds(age); k-- {
					out[k]++
				}
				micros += float64(v.last - v.first)
				events += int64(v.events)
				if v.events == 1 {
					bounced++
				}
				if v.converted {
					converted++
				}
			}
			n := float64(len(visits))
			rest[0] = micros / 6e7 / n
			rest[1] = float64(events) / n
			rest[2] = float64(bounced) / n
			rest[3] = float64(converted) / n
			rest[4] = 30 * n / float64(h.AsOf.Today-h.Day[0]+1)
		}
	}
	return f
}

// placesOf are places in a list, by session of a customer: sessions are numbered from 1
// in order of appearance, so they index a slice.
type placesOf struct{ places []int32 } // 1 more than the place; 0 is none

// reset forgets all places.
func (p *placesOf) reset() { p.places = p.places[:0] }

// of is the place of a session, which is next if it has none.
func (p *placesOf) of(session uint32, next int) int {
	for len(p.places) <= int(session) {
		p.places = append(p.places, 0)
	}
	if p.places[session] == 0 {
		p.places[session] = int32(next) + 1
	}
	return int(p.places[session]) - 1
}
