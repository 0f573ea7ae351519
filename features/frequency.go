package features

import (
	"fmt"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
)

// frequency: how often each kind of behaviour happened, by window.
func frequency(p Params) Family {
	ws := p.windows()
	f := Family{
		Name: "frequency", Meaning: "How often each kind of behaviour happened, by trailing window.",
		Reads: []datasets.Field{},
		From:  "history",
	}
	for _, w := range ws {
		f.Columns = append(f.Columns,
			Column{"event_count_" + w.suffix, "events", "[0, ∞)", "never", "Events of any kind " + w.words + ".", "count(*)" + w.filter("")},
			Column{"active_days_" + w.suffix, "days", "[0, ∞)", "never", "Days with an event of any kind " + w.words + ".", "count(DISTINCT day)" + w.filter("")},
		)
	}
	for r := range datasets.NumRoles {
		role := datasets.Role(r)
		for _, w := range ws {
			f.Columns = append(f.Columns, Column{
				fmt.Sprintf("%s_count_%s", role, w.suffix), "events", "[0, ∞)", "never",
				fmt.Sprintf("Events of role %s %s.", role, w.words),
				"count(*)" + w.filter(fmt.Sprintf("role = '%s'", role)),
			})
		}
	}
	f.New = func(Values) Fill {
		return func(h *timeline.History, out []float64) {
			clear(out)
			byRole := out[2*len(ws):]
			lastDay := int32(-1 << 31)
			for i, day := range h.Day {
				age := h.AsOf.Today - day
				row := byRole[int(h.Role[i])*len(ws):][:len(ws)]
				// Windows ascend, so an event in one is in all that follow.
				for k := len(ws) - 1; k >= 0 && ws[k].holds(age); k-- {
					out[2*k]++
					row[k]++
					if day != lastDay {
						out[2*k+1]++
					}
				}
				lastDay = day
			}
		}
	}
	return f
}
