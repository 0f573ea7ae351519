package segments

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/segments/passes"
	"github.com/shoal-data/shoal/models"
)

// after is what the next run finds of a run: its state as it was stored, and in
// which segment everybody was.
func after(t *testing.T, s *Segmentation, of []int32) *Prior {
	t.Helper()
	text, err := s.state.encode()
	if err != nil {
		t.Fatal(err)
	}
	state, err := decodeState(text)
	if err != nil {
		t.Fatal(err)
	}
	again, err := state.encode()
	if err != nil || !bytes.Equal(again, text) {
		t.Fatalf("the stored model does not read back exactly (%v):\n%s\n%s", err, text, again)
	}
	if of == nil {
		of = make([]int32, len(s.Labels))
		for i, l := range s.Labels {
			if l >= 0 {
				of[i] = int32(s.Segments[l].ID)
			}
		}
	}
	return &Prior{Date: s.Trained, State: state, Of: of, Gone: map[int]int{}}
}

// herd is a history of customers of planted kinds, whose behaviour wanders a
// little from night to night and whose kinds come, go, part and meet.
type herd struct {
	r     *rand.Rand
	kinds []int // by customer
	at    [][]float64
	place map[int][4]float64 // mean behaviour by kind
	idle  []float64
}

func newHerd(seed uint64) *herd {
	h := &herd{r: rand.New(rand.NewPCG(seed, 30)), place: map[int][4]float64{
		0: {6, 60, .8, 2}, 1: {1.5, 20, .2, 9}, 2: {4, 150, .1, 30}, 3: {.8, 90, .7, 20},
	}}
	for kind, n := range []int{500, 300, 250, 200} {
		h.join(kind, n)
	}
	return h
}

func (h *herd) join(kind, n int) {
	for range n {
		h.kinds = append(h.kinds, kind)
		h.idle = append(h.idle, 0)
		h.at = append(h.at, make([]float64, 4))
	}
}

// night is the feature table of a night: everybody moves a quarter of the way
// to where they would be if they were drawn anew.
func (h *herd) night(first bool) models.Matrix {
	x := models.NewMatrix([]string{"purchase_days_per_30d", "average_order_value", "message_open_rate", "sessions_per_30d"}, len(h.kinds))
	for i, kind := range h.kinds {
		for j, mean := range h.place[kind] {
			drawn := math.Log(mean) + h.r.NormFloat64()/5
			if first || h.at[i][j] == 0 {
				h.at[i][j] = drawn
			} else {
				h.at[i][j] = math.Log(mean) + .9*(h.at[i][j]-math.Log(mean)) + math.Sqrt(1-.81)*h.r.NormFloat64()/5
			}
			x.Row(i)[j] = math.Exp(h.at[i][j])
		}
	}
	return x
}

// event is what is planted on a night.
func (h *herd) event(night int) string {
	change := func(from, to, n int) {
		for i := range h.kinds {
			if h.kinds[i] == from && n > 0 {
				h.kinds[i], n = to, n-1
				h.at[i] = make([]float64, 4) // starts over
			}
		}
	}
	switch night {
	case 8:
		h.place[4] = [4]float64{12, 400, .5, 3}
		h.join(4, 220)
		return New
	case 14:
		h.place[5] = [4]float64{6, 60, .05, 2}
		change(0, 5, 180)
		return Split
	case 20:
		change(3, 1, math.MaxInt)
		return Merged
	case 26:
		for i, kind := range h.kinds {
			if kind == 2 {
				h.idle[i] = 366
			}
		}
		return Retired
	}
	return ""
}

func date(night int) string { return fmt.Sprintf("2025-03-%02d", night) }

// thirty runs thirty nights and tells what was wrong with the identities.
func thirty(t *testing.T, seed uint64, matched bool) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	h := newHerd(seed)
	var prior *Prior
	meaning := map[int]int{} // id → kind
	named := map[int]string{}
	retired := map[int]bool{}
	lowest := 1.0
	for night := 1; night <= 30; night++ {
		planted := h.event(night)
		x := h.night(night == 1)
		p := params()
		p.Date = date(night)
		if prior != nil {
			prior.Of = append(prior.Of, make([]int32, x.Rows()-len(prior.Of))...) // who has joined was nowhere
		}
		before := prior
		if !matched {
			before = nil
		}
		s, _, err := Divide(t.Context(), p, Input{X: passes.Held{Matrix: x}, Idle: h.idle, Prior: before})
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]int{}
		for _, e := range s.History {
			seen[e.Status]++
			if retired[e.ID] {
				fault("night %d: id %d was retired and is back", night, e.ID)
			}
			retired[e.ID] = e.Status == Retired
		}
		if night > 1 {
			for _, status := range []string{New, Split, Merged, Retired} {
				want := planted == status || planted == Merged && status == Retired || planted == Retired && status == New
				if (seen[status] > 0) != want {
					fault("night %d: %d segments are %s, planted was %q: %+v", night, seen[status], status, planted, s.History)
				}
			}
		}
		if planted == "" && night > 1 {
			lowest = min(lowest, s.Agreement)
		}
		for k, g := range s.Segments {
			if g.Inactive {
				continue
			}
			count := map[int]int{}
			most := -1
			for i, l := range s.Labels {
				if l == k {
					count[h.kinds[i]]++
					if most < 0 || count[h.kinds[i]] > count[most] {
						most = h.kinds[i]
					}
				}
			}
			if was, ok := meaning[g.ID]; ok && was != most {
				fault("night %d: id %d meant kind %d, now %d", night, g.ID, was, most)
			}
			if was, ok := named[g.ID]; ok && was != g.Name {
				fault("night %d: id %d was named %q, now %q", night, g.ID, was, g.Name)
			}
			meaning[g.ID], named[g.ID] = most, g.Name
		}
		prior = after(t, s, nil)
		prior.Date = p.Date
	}
	if matched && lowest < 0.95 {
		fault("agreement between quiet nights fell to %.3f", lowest)
	}
	return faults
}

func TestThirtyNights(t *testing.T) {
	if testing.Short() {
		t.Skip("ninety nights")
	}
	for seed := range uint64(2) {
		for _, f := range thirty(t, seed, true) {
			t.Errorf("seed %d: %s", seed, f)
		}
	}
	// The test can fail: without the run before, ids are no more than ranks.
	if len(thirty(t, 0, false)) == 0 {
		t.Error("without matching nothing was found wrong")
	}
}

// Customers near a border stay where they were; those who really move, move.
func TestBorders(t *testing.T) {
	h := newHerd(9)
	first, _ := divide(t, params(), h.night(true), nil)
	x := h.night(false)
	flips := map[float64]int{}
	for _, share := range []float64{0, .1, .5} {
		p := params()
		p.Hysteresis = share
		s, _ := divide(t, p, x, after(t, first, nil))
		centres := s.state.model.Centres()
		z, err := s.state.prepared.Apply(models.Matrix{}, x)
		if err != nil {
			t.Fatal(err)
		}
		stayed := 0
		for i, l := range s.Labels {
			near := math.Inf(1)
			for k := range centres.Rows() {
				near = min(near, distance(z.Row(i), centres.Row(k)))
			}
			if s.Distances[i] > (1+share)*near+1e-12 {
				t.Fatalf("share %v: customer %d is at %v of its centre, the nearest is at %v", share, i, s.Distances[i], near)
			}
			if s.Distances[i] > near {
				stayed++
				if int(s.of[i]) != s.Segments[l].ID {
					t.Errorf("share %v: customer %d stays where it never was", share, i)
				}
			}
			if int(s.of[i]) != s.Segments[l].ID {
				flips[share]++
			}
		}
		if stayed != s.Stayed || share == 0 && stayed > 0 {
			t.Errorf("share %v: %d stayed, the run says %d", share, stayed, s.Stayed)
		}
	}
	if flips[.5] > flips[.1] || flips[.1] > flips[0] {
		t.Errorf("customers who change segment, by hysteresis: %v", flips)
	}
}

// A night that only scores uses the stored centres to the bit.
func TestRetrain(t *testing.T) {
	h := newHerd(5)
	first, _ := divide(t, params(), h.night(true), nil)
	for _, c := range []struct {
		retrain, date string
		moved, refit  bool
	}{
		{config.RetrainEveryRun, "2025-04-01", false, true},
		{config.RetrainWeekly, "2025-04-06", true, false},
		{config.RetrainWeekly, "2025-04-07", false, true},
		{config.RetrainOnDrift, "2025-06-01", false, false},
		{config.RetrainOnDrift, "2025-04-01", true, true},
	} {
		p := params()
		p.Retrain, p.Date = c.retrain, c.date
		x := h.night(false)
		if c.moved {
			for i := range x.Rows() {
				x.Row(i)[1] *= math.Exp(h.r.NormFloat64())
			}
		}
		s, _ := divide(t, p, x, after(t, first, nil))
		if (s.Refit != "") != c.refit {
			t.Errorf("%+v: refitted because %q; drift %+v", c, s.Refit, s.Drift)
		}
		if !c.refit && (s.Trained != "2025-03-31" || !reflect.DeepEqual(s.state.model.Centres(), first.state.model.Centres()) || !slices.Equal(s.state.Shares, first.state.Shares)) {
			t.Errorf("%+v: the stored model was not used as it was", c)
		}
	}
	// Other settings are another segmentation; its segments are still recognised.
	p := params()
	p.Retrain, p.MinShare = config.RetrainWeekly, 0.03
	s, _ := divide(t, p, h.night(false), after(t, first, nil))
	if !strings.Contains(s.Refit, "settings") || s.Segments[0].ID > 4 {
		t.Errorf("refitted because %q: %+v", s.Refit, s.Segments)
	}
}

func TestInactive(t *testing.T) {
	h := newHerd(6)
	idle := make([]float64, len(h.kinds))
	for i := range idle {
		if i%10 == 0 {
			idle[i] = 366
		}
	}
	x := h.night(true)
	p := params()
	s, _, err := Divide(t.Context(), p, Input{X: passes.Held{Matrix: x}, Idle: idle})
	if err != nil {
		t.Fatal(err)
	}
	last := s.Segments[len(s.Segments)-1]
	if !last.Inactive || last.Size != 125 || last.Name != "inactive for 365 days" || len(s.Segments) != 5 {
		t.Fatalf("%+v", last)
	}
	for i, l := range s.Labels {
		if (l == 4) != (i%10 == 0) || math.IsNaN(s.Distances[i]) != (l == 4) {
			t.Fatalf("customer %d, idle for %v days, is in segment %d at %v", i, idle[i], l, s.Distances[i])
		}
	}
	// Nobody inactive for a night, and then again: it is the same segment.
	none, _, err := Divide(t.Context(), p, Input{X: passes.Held{Matrix: x}, Idle: make([]float64, len(idle)), Prior: after(t, s, nil)})
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := Divide(t.Context(), p, Input{X: passes.Held{Matrix: x}, Idle: idle, Prior: after(t, none, nil)})
	if err != nil {
		t.Fatal(err)
	}
	if got := again.Segments[len(again.Segments)-1]; got.ID != last.ID || got.Name != last.Name || len(none.Segments) != 4 {
		t.Errorf("%+v, then %d segments, then %+v", last, len(none.Segments), got)
	}
}

// A night without an active customer, or with a few, retires no segment: when the
// customers are back, they are in the segments they were in.
func TestQuietNights(t *testing.T) {
	h := newHerd(6)
	x := h.night(true)
	first, _ := divide(t, params(), x, nil)
	for _, c := range []struct {
		name          string
		active        int // customers
		retrain, want string
	}{
		{"nobody", 0, config.RetrainEveryRun, "none of the 1250 customers was active within inactive_after (365 days); the segments of 2025-03-31 are kept, with nobody in them"},
		{"nobody, scored only", 0, config.RetrainOnDrift, "with nobody in them"},
		{"a few", 12, config.RetrainEveryRun, "the 12 active customers, fewer than half of the 1250 that the stored segments were fitted to, support no segments"},
		{"two", 2, config.RetrainEveryRun, "the segments of 2025-03-31 are kept"},
	} {
		p := params()
		p.Retrain, p.Date = c.retrain, "2025-04-01"
		idle := make([]float64, len(h.kinds))
		for i := c.active; i < len(idle); i++ {
			idle[i] = 366
		}
		quiet, warnings, err := Divide(t.Context(), p, Input{X: passes.Held{Matrix: x}, Idle: idle, Prior: after(t, first, nil)})
		if err != nil {
			t.Fatal(err)
		}
		if len(warnings) == 0 || !strings.Contains(warnings[0].Message, c.want) || quiet.None != "" || quiet.Trained != "2025-03-31" || len(quiet.Curve) > 0 {
			t.Errorf("%s: %v; %q, trained %s, %d numbers tried", c.name, warnings, quiet.None, quiet.Trained, len(quiet.Curve))
		}
		inside := 0
		for i, g := range quiet.Segments[:4] {
			inside += g.Size
			if !reflect.DeepEqual(g.Named, first.Segments[i].Named) {
				t.Errorf("%s: segment %+v became %+v", c.name, first.Segments[i].Named, g.Named)
			}
		}
		for _, e := range quiet.History {
			if e.Status != Kept && e.ID <= 4 {
				t.Errorf("%s: %+v", c.name, e)
			}
		}
		if last := quiet.Segments[4]; len(quiet.Segments) != 5 || !last.Inactive || last.Size != len(idle)-c.active || inside != c.active {
			t.Errorf("%s: %d are in segments, %+v", c.name, inside, last)
		}
		if tables, err := Tables([]*Segmentation{quiet}, nil, nil, make([]float64, len(idle))); err != nil || len(tables) == 0 {
			t.Errorf("%s: %v", c.name, err)
		}
		p.Date = "2025-04-02"
		back, _, err := Divide(t.Context(), p, Input{X: passes.Held{Matrix: x}, Idle: make([]float64, len(idle)), Prior: after(t, quiet, nil)})
		if err != nil {
			t.Fatal(err)
		}
		for i, l := range back.Labels {
			if got, want := back.Segments[l].ID, first.Segments[first.Labels[i]].ID; got != want {
				t.Fatalf("%s: customer %d was in segment %d and is back in %d", c.name, i, want, got)
			}
		}
	}
	// Nobody was there to begin with, or the stored segments are of features that are gone.
	idle := []float64{400, 500}
	other := models.NewMatrix([]string{"orders"}, 2)
	for _, prior := range []*Prior{nil, after(t, first, make([]int32, 2))} {
		s, _, err := Divide(t.Context(), params(), Input{X: passes.Held{Matrix: other}, Idle: idle, Prior: prior})
		if err != nil || len(s.Segments) != 1 || s.None == "" {
			t.Errorf("%+v, %v", s, err)
		}
	}
}

// Without customers in common the centres tell which segment is which.
func TestStrangers(t *testing.T) {
	first, _ := divide(t, params(), newHerd(1).night(true), nil)
	x := newHerd(2).night(true)
	s, _ := divide(t, params(), x, after(t, first, make([]int32, x.Rows())))
	if s.Shared != 0 || !math.IsNaN(s.Agreement) {
		t.Errorf("%d shared customers, agreement %v", s.Shared, s.Agreement)
	}
	for _, e := range s.History {
		if e.Status != Kept || e.ID > 4 {
			t.Errorf("%+v", e)
		}
	}
}

func TestStateRefuses(t *testing.T) {
	s, _ := divide(t, params(), newHerd(1).night(true), nil)
	text, err := s.state.encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ from, to, want string }{
		{`{"version":1`, `{"version":2`, "version 2"},
		{`{"version":1`, `{"version":`, "invalid character"},
		{`"next_id":5`, `"next_id":4`, "next_id"},
		{`"living":[1,2,3,4]`, `"living":[1,2,3,3]`, "twice"},
		{`"living":[1,2,3,4]`, `"living":[1,2,3]`, "3 ids"},
		{`"living":[1,2,3,4]`, `"living":[1,2,3,9]`, "unknown"},
		{`"inactive":false`, `"inactive":true`, "4 ids and 4 shares for 5 segments"},
		{`"mean":`, `"men":`, "unknown field"},
	} {
		broken := strings.Replace(string(text), c.from, c.to, 1)
		if broken == string(text) {
			t.Fatalf("%s is not in the stored model:\n%s", c.from, text)
		}
		if _, err := decodeState([]byte(broken)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s → %s: %v", c.from, c.to, err)
		}
	}
}
