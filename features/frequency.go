package features

import (
	"fmt"
	"strings"

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
	f.Totals = map[string]timeline.Total{"event_count_" + lifetimeSuffix: {Every: true}}
	for r := range datasets.NumRoles {
		f.Totals[datasets.Role(r).String()+"_count_"+lifetimeSuffix] = timeline.Total{Role: datasets.Role(r)}
	}
	f.Words = map[string]string{}
	for _, w := range ws {
		f.Words["event_count_"+w.suffix] = "events " + w.words + ": {}"
		f.Words["active_days_"+w.suffix] = "active on {} " + w.words
		for r := range datasets.NumRoles {
			role := datasets.Role(r).String()
			f.Words[role+"_count_"+w.suffix] = strings.ReplaceAll(role, "_", " ") + " events " + w.words + ": {}"
		}
	}
	f.New = func(Values) Fill {
		return func(h *timeline.History, out []float64) {
			clear(out)
			byRole := out[2*len(ws):]
			// Each event is counted once, in the shortest window that holds it:
			// they are the newest events, then those before them, and so on.
			end := h.Len()
			for k, w := range ws {
				begin := 0
				if w.days > 0 {
					begin = since(h, w.days)
				}
				days, lastDay := 0, int32(-1<<31)
				for i, day := range h.Day[begin:end] {
					byRole[int(h.Role[begin+i])*len(ws)+k]++
					if day != lastDay {
						days++
						lastDay = day
					}
				}
				out[2*k], out[2*k+1] = float64(end-begin), float64(days)
				end = begin
			}
			// What is in a window is in all longer ones.
			for k := 1; k < len(ws); k++ {
				out[2*k] += out[2*k-2]
				out[2*k+1] += out[2*k-1]
			}
			for r := range datasets.NumRoles {
				row := byRole[r*len(ws):][:len(ws)]
				for k := 1; k < len(ws); k++ {
					row[k] += row[k-1]
				}
			}
		}
	}
	return f
}
