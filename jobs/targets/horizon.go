package targets

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/models/survival"
)

// Gaps counts the days between a customer's active days, over all customers.
type Gaps struct {
	Closed    map[int]int64 // gap in days, ≥ 1 → how many ended with another active day
	Open      map[int]int64 // days from the last active day to the end of the data → customers
	Customers int64         // with at least one active day
}

func newGaps() Gaps { return Gaps{Closed: map[int]int64{}, Open: map[int]int64{}} }

func (g *Gaps) add(other Gaps) {
	for d, n := range other.Closed {
		g.Closed[d] += n
	}
	for d, n := range other.Open {
		g.Open[d] += n
	}
	g.Customers += other.Customers
}

// ClosedTotal is the number of closed gaps.
func (g *Gaps) ClosedTotal() int64 {
	n := int64(0)
	for _, c := range g.Closed {
		n += c
	}
	return n
}

// A Behaviour is the events of a role, or those of any role.
type Behaviour struct {
	Any  bool
	Role datasets.Role // not looked at when Any
}

func (b Behaviour) String() string {
	if b.Any {
		return "any"
	}
	return b.Role.String()
}

// gaps counts the behaviour's gaps in one history.
func (b Behaviour) gaps(g *Gaps, h *timeline.History) {
	if b.Any {
		count(g, len(h.Day), func(i int) int32 { return h.Day[i] }, h.AsOf.Today)
		return
	}
	at := h.Positions(b.Role)
	count(g, len(at), func(i int) int32 { return h.Day[at[i]] }, h.AsOf.Today)
}

// Thin reports whether there are too few closed gaps to go by: hardly anybody
// comes back.
func (g *Gaps) Thin() bool { return g.ClosedTotal() < max(minGaps, g.Customers/100) }

// CollectGaps counts, for each behaviour, the gaps between a customer's days
// with it, up to the end of the data.
func CollectGaps(ctx context.Context, store *timeline.Store, end timeline.AsOf, workers int, behaviours []Behaviour) ([]Gaps, error) {
	parts := make([][]Gaps, workers)
	total := make([]Gaps, len(behaviours))
	for i := range total {
		total[i] = newGaps()
		for w := range parts {
			parts[w] = append(parts[w], newGaps())
		}
	}
	err := store.Replay(ctx, workers, func(w, _ int, t *timeline.Timeline) error {
		if h, ok := t.Before(end); ok {
			for i, b := range behaviours {
				b.gaps(&parts[w][i], &h)
			}
		}
		return nil
	}, nil)
	for _, p := range parts {
		for i := range p {
			total[i].add(p[i])
		}
	}
	return total, err
}

func count(g *Gaps, n int, day func(int) int32, today int32) {
	if n == 0 {
		return
	}
	last := day(0)
	for i := 1; i < n; i++ {
		if d := day(i); d != last {
			g.Closed[int(d-last)]++
			last = d
		}
	}
	g.Open[int(today-last)]++
	g.Customers++
}

// A Horizon is a churn window with the evidence for it.
type Horizon struct {
	Days int // suggested, ≥ 1
	// Quantile is the time in days by which a share of 0.8 of gaps has closed,
	// open gaps counted as censored; NaN when fewer ever close.
	Quantile float64
	// ClosedQuantile is the same share of the closed gaps alone, in days; NaN
	// without any. It is biased short.
	ClosedQuantile float64
	Closed, Open   int64   // gaps behind the figures
	ComeBack       float64 // of gaps longer than Days, the share that closes within Days more; NaN when none is as long or the data are too short to tell
	Longest        int     // days: what the length of the data allows
	Thin           bool    // too few closed gaps to go by: Days is a convention
}

// Reason says in one sentence what the horizon rests on.
func (h Horizon) Reason() string {
	gaps := fmt.Sprintf("%d gaps between a customer's days with such an event, %d of them still open", h.Closed+h.Open, h.Open)
	var why string
	switch {
	case h.Thin:
		why = fmt.Sprintf("hardly anybody comes back (%s), so it is a convention", gaps)
	case math.IsNaN(h.Quantile):
		why = fmt.Sprintf("fewer than 80%% ever come back; of those who do, 80%% have within %.0f days (%s)", h.ClosedQuantile, gaps)
	default:
		why = fmt.Sprintf("80%% come back within %.0f days (Kaplan-Meier over %s)", h.Quantile, gaps)
	}
	if float64(h.Days) < h.Quantile || float64(h.Days) < h.ClosedQuantile {
		why += fmt.Sprintf("; at most %d days fit three times into the history", h.Longest)
	}
	return why
}

// horizonShare is the share of gaps that should have closed within the churn
// window: vendors' practice (statlas documentation), here on the Kaplan–Meier
// curve, since closed gaps alone are biased short.
const horizonShare = 0.8

// minGaps is the number of closed gaps below which their distribution says
// little, the standard error of a share of 0.8 being above 0.07 then. Fewer
// than one gap to a hundred customers says little either.
const minGaps = 30

// horizonGrid is what suggestions are rounded to, in days.
var horizonGrid = []int{7, 14, 30, 60, 90, 120, 180, 365}

// SuggestHorizon derives a churn window from gaps seen over span days. At most
// a third of the span is suggested, since training needs a window of history,
// one of outcomes to learn from and one to test on.
func SuggestHorizon(g Gaps, span int) (Horizon, error) {
	h := Horizon{Quantile: math.NaN(), ClosedQuantile: math.NaN(), ComeBack: math.NaN(), Longest: max(1, (span-1)/3)}
	var durations, weights []float64
	var observed []bool
	add := func(m map[int]int64, seen bool) (total int64) {
		days := make([]int, 0, len(m))
		for d := range m {
			days = append(days, d)
		}
		slices.Sort(days)
		for _, d := range days {
			durations, weights, observed = append(durations, float64(d)), append(weights, float64(m[d])), append(observed, seen)
			total += m[d]
		}
		return total
	}
	h.Closed = add(g.Closed, true)
	closedOnly := len(durations)
	h.Open = add(g.Open, false)

	if g.Thin() {
		h.Thin = true
		h.Days = roundHorizon(30, h.Longest)
		return h, nil
	}
	curve, err := survival.KaplanMeier(durations, observed, weights)
	if err != nil {
		return h, fmt.Errorf("targets: horizon: %w", err)
	}
	alone, err := survival.KaplanMeier(durations[:closedOnly], observed[:closedOnly], weights[:closedOnly])
	if err != nil {
		return h, fmt.Errorf("targets: horizon: %w", err)
	}
	if q, ok := alone.Quantile(horizonShare); ok {
		h.ClosedQuantile = q
	}
	aim := h.ClosedQuantile
	if q, ok := curve.Quantile(horizonShare); ok {
		h.Quantile, aim = q, q
	}
	h.Days = roundHorizon(aim, h.Longest)
	if silent := curve.Survival(float64(h.Days)); silent > 0 && curve.MaxTime >= float64(2*h.Days) {
		h.ComeBack = 1 - curve.Survival(float64(2*h.Days))/silent
	}
	return h, nil
}

// roundHorizon is the grid value nearest in proportion that does not exceed
// longest; where even the least does, longest itself.
func roundHorizon(days float64, longest int) int {
	best := 0
	for _, g := range horizonGrid {
		if g > longest {
			break
		}
		if best == 0 || math.Abs(math.Log(float64(g)/days)) <= math.Abs(math.Log(float64(best)/days)) {
			best = g
		}
	}
	if best == 0 {
		return longest
	}
	return best
}
