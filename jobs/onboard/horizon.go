package onboard

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features/timeline"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/models/survival"
)

// gapCounts counts the days between a customer's active days, over all customers.
type gapCounts struct {
	Closed    map[int]int64 // gap in days, ≥ 1 → how many ended with another active day
	Open      map[int]int64 // days from the last active day to the end of the data → customers
	Customers int64         // with at least one active day
}

func newGaps() gapCounts { return gapCounts{Closed: map[int]int64{}, Open: map[int]int64{}} }

func (g *gapCounts) add(other gapCounts) {
	for d, n := range other.Closed {
		g.Closed[d] += n
	}
	for d, n := range other.Open {
		g.Open[d] += n
	}
	g.Customers += other.Customers
}

// closed is the number of closed gaps.
func (g *gapCounts) closed() int64 {
	n := int64(0)
	for _, c := range g.Closed {
		n += c
	}
	return n
}

// A behaviour is the events of a role, or those of any role.
type behaviour struct {
	Any  bool
	Role datasets.Role // not looked at when Any
}

func (b behaviour) String() string {
	if b.Any {
		return config.RoleAny
	}
	return b.Role.String()
}

// gaps counts the behaviour's gaps in one history.
func (b behaviour) gaps(g *gapCounts, h *timeline.History) {
	if b.Any {
		count(g, len(h.Day), func(i int) int32 { return h.Day[i] }, h.AsOf.Today)
		return
	}
	at := h.Positions(b.Role)
	count(g, len(at), func(i int) int32 { return h.Day[at[i]] }, h.AsOf.Today)
}

// thin reports whether there are too few closed gaps to go by: hardly anybody
// comes back.
func (g *gapCounts) thin() bool { return g.closed() < max(minGaps, g.Customers/100) }

// collectGaps counts, for each behaviour, the gaps between a customer's days
// with it, up to the end of the data.
func collectGaps(ctx context.Context, store *timeline.Store, end timeline.AsOf, workers int, behaviours []behaviour) ([]gapCounts, error) {
	parts := make([][]gapCounts, workers)
	total := make([]gapCounts, len(behaviours))
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

func count(g *gapCounts, n int, day func(int) int32, today int32) {
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

// A horizon is a churn window with the evidence for it.
type horizon struct {
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

// suggestHorizon derives a churn window from gaps seen over span days. At most
// a third of the span is suggested, since training needs a window of history,
// one of outcomes to learn from and one to test on.
func suggestHorizon(g gapCounts, span int) (horizon, error) {
	h := horizon{Quantile: math.NaN(), ClosedQuantile: math.NaN(), ComeBack: math.NaN(), Longest: max(1, (span-1)/3)}
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

	if g.thin() {
		h.Thin = true
		h.Days = roundHorizon(30, h.Longest)
		return h, nil
	}
	curve, err := survival.KaplanMeier(durations, observed, weights)
	if err != nil {
		return h, fmt.Errorf("onboard: horizon: %w", err)
	}
	alone, err := survival.KaplanMeier(durations[:closedOnly], observed[:closedOnly], weights[:closedOnly])
	if err != nil {
		return h, fmt.Errorf("onboard: horizon: %w", err)
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

var errNoEvents = errors.New("no row could be used")

// lastDay is the as-of of the local day on which an instant falls.
func lastDay(micros int64, zone *time.Location) timeline.AsOf {
	return timeline.NewAsOf(time.UnixMicro(micros).In(zone), zone)
}
