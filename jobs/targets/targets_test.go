package targets

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/features/timeline"
)

func asOf(t *testing.T, s string) timeline.AsOf {
	t.Helper()
	a, err := timeline.ParseAsOf(s, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// labels replays one customer per script ("purchase@2024-01-05 view@…") and
// returns the label column at a.
func labels(t *testing.T, target Target, a timeline.AsOf, scripts ...string) []float64 {
	t.Helper()
	dicts := datasets.NewDicts()
	log := timeline.NewLog(dicts, 1)
	var b datasets.Batch
	order := map[string]int{}
	for i, script := range scripts {
		id := string(rune('a' + i))
		order[id] = i
		for _, word := range strings.Fields(script) {
			role, at, _ := strings.Cut(word, "@")
			role, category, _ := strings.Cut(role, ":")
			r, err := datasets.ParseRole(role)
			if err != nil {
				t.Fatal(err)
			}
			when, err := time.Parse("2006-01-02T15:04", at+"T00:00"[min(6, len(at)-10):])
			if err != nil {
				t.Fatal(err)
			}
			b.Customer = append(b.Customer, dicts.Customer.CodeString(id))
			b.Time = append(b.Time, when.UnixMicro())
			b.Role = append(b.Role, r)
			b.Type = append(b.Type, 0)
			code := uint32(0)
			if category != "" {
				code = dicts.Category.CodeString(category)
			}
			b.Category = append(b.Category, code)
		}
	}
	if err := log.Append(0, &b); err != nil {
		t.Fatal(err)
	}
	store := log.Freeze(timeline.Options{Zone: time.UTC, IDType: datasets.IDType{Kind: datasets.IDString}})
	if target.Condition != "" {
		target.Where = features.NewMatcher(features.Filter{Values: map[datasets.Field][]string{datasets.Category: {target.Condition}}}, store.Values)
	}
	got := make([]float64, len(scripts))
	err := store.Replay(t.Context(), 1, func(_, _ int, tl *timeline.Timeline) error {
		h, ok := tl.Before(a)
		if !ok {
			got[order[tl.ID]] = math.Inf(1)
			return nil
		}
		got[order[tl.ID]] = target.Label(time.UTC).Value(tl, &h)
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestLabels(t *testing.T) {
	a := asOf(t, "2024-01-31")
	nan, absent := math.NaN(), math.Inf(1)
	churn := Target{Name: "churn", Kind: Churn, Role: datasets.Purchase, Horizon: 10, ActiveWithin: 20}
	for _, c := range []struct {
		name   string
		target Target
		script string
		want   float64
	}{
		{"buys on the first day of the window", churn, "purchase@2024-01-31 purchase@2024-02-01", 0},
		{"buys on the last day of the window", churn, "purchase@2024-01-31 purchase@2024-02-10T23:59", 0},
		{"buys the day after the window", churn, "purchase@2024-01-31 purchase@2024-02-11", 1},
		{"only browses in the window", churn, "purchase@2024-01-31 view@2024-02-03", 1},
		{"bought on the oldest eligible day", churn, "purchase@2024-01-12 purchase@2024-02-03", 0},
		{"bought a day too early to be eligible", churn, "purchase@2024-01-11 purchase@2024-02-03", nan},
		{"never bought", churn, "view@2024-01-31", nan},
		{"not known yet", churn, "purchase@2024-02-01", absent},
		{"gap hides the first days", Target{Kind: Churn, Role: datasets.Purchase, Gap: 3, Horizon: 10, ActiveWithin: 20}, "purchase@2024-01-31 purchase@2024-02-03T23:59", 1},
		{"gap shifts the window", Target{Kind: Churn, Role: datasets.Purchase, Gap: 3, Horizon: 10, ActiveWithin: 20}, "purchase@2024-01-31 purchase@2024-02-13", 0},
		{"propensity of a browser who buys", Target{Kind: Propensity, Role: datasets.Purchase, Horizon: 10}, "view@2023-01-31 purchase@2024-02-03", 1},
		{"propensity of one who does not", Target{Kind: Propensity, Role: datasets.Purchase, Horizon: 10}, "purchase@2024-01-31 view@2024-02-03", 0},
		{"propensity to a category, met", Target{Kind: Propensity, Role: datasets.Purchase, Condition: "shoes", Horizon: 10}, "view@2024-01-31 purchase:boots@2024-02-03 purchase:shoes@2024-02-04", 1},
		{"propensity to a category, another bought", Target{Kind: Propensity, Role: datasets.Purchase, Condition: "shoes", Horizon: 10}, "purchase:shoes@2024-01-31 purchase:boots@2024-02-03 view:shoes@2024-02-04", 0},
		{"churn from a category, another bought", Target{Kind: Churn, Role: datasets.Purchase, Condition: "shoes", Horizon: 10, ActiveWithin: 20}, "purchase:shoes@2024-01-31 purchase:boots@2024-02-03", 1},
		{"churn from a category never bought", Target{Kind: Churn, Role: datasets.Purchase, Condition: "shoes", Horizon: 10, ActiveWithin: 20}, "purchase:boots@2024-01-31 purchase:shoes@2024-02-03", nan},
		{"churn from a category bought too long ago", Target{Kind: Churn, Role: datasets.Purchase, Condition: "shoes", Horizon: 10, ActiveWithin: 20}, "purchase:shoes@2024-01-05 purchase:boots@2024-01-31", nan},
		{"churn from any event of a category", Target{Kind: Churn, Any: true, Condition: "shoes", Horizon: 10, ActiveWithin: 20}, "view:shoes@2024-01-30 view@2024-02-03", 1},
		{"a subscriber who cancels", Target{Kind: Churn, Role: datasets.Purchase, Ends: Cancel, Horizon: 10}, "subscribe@2024-01-01 cancel@2024-02-03", 1},
		{"a subscriber who does not, though silent", Target{Kind: Churn, Role: datasets.Purchase, Ends: Cancel, Horizon: 10}, "subscribe@2024-01-01", 0},
		{"a subscriber who cancelled before", Target{Kind: Churn, Role: datasets.Purchase, Ends: Cancel, Horizon: 10}, "subscribe@2024-01-01 cancel@2024-01-05 cancel@2024-02-03", nan},
		{"a subscriber who came back", Target{Kind: Churn, Role: datasets.Purchase, Ends: Cancel, Horizon: 10}, "subscribe@2024-01-01 cancel@2024-01-05 renew@2024-01-09 cancel@2024-02-03", 1},
		{"who never subscribed", Target{Kind: Churn, Role: datasets.Purchase, Ends: Cancel, Horizon: 10}, "purchase@2024-01-31 cancel@2024-02-03", nan},
		{"a buyer who cancels and buys", Target{Kind: Churn, Role: datasets.Purchase, Ends: Either, Horizon: 10, ActiveWithin: 20}, "purchase@2024-01-31 purchase@2024-02-03 cancel@2024-02-04", 1},
		{"a buyer who is silent", Target{Kind: Churn, Role: datasets.Purchase, Ends: Either, Horizon: 10, ActiveWithin: 20}, "purchase@2024-01-31 view@2024-02-03", 1},
		{"a buyer who buys", Target{Kind: Churn, Role: datasets.Purchase, Ends: Either, Horizon: 10, ActiveWithin: 20}, "purchase@2024-01-31 purchase@2024-02-03", 0},
		{"a buyer who has cancelled", Target{Kind: Churn, Role: datasets.Purchase, Ends: Either, Horizon: 10, ActiveWithin: 20}, "purchase@2024-01-30 cancel@2024-01-31 purchase@2024-02-03", nan},
		{"any event counts", Target{Kind: Churn, Any: true, Horizon: 10, ActiveWithin: 20}, "view@2024-01-20 ticket@2024-02-03", 0},
	} {
		got := labels(t, c.target, a, c.script)[0]
		if got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%s: label %v, want %v", c.name, got, c.want)
		}
	}
}

func TestOutcomeInWords(t *testing.T) {
	for want, target := range map[string]Target{
		"no purchase event within 30 days":                    {Kind: Churn, Role: datasets.Purchase, Horizon: 30},
		"a message_click event in days 8 to 21":               {Kind: Propensity, Role: datasets.MessageClick, Gap: 7, Horizon: 14},
		"a cancel event within 30 days":                       {Kind: Churn, Role: datasets.Purchase, Ends: Cancel, Horizon: 30},
		"a cancel event, or no event, within 30 days":         {Kind: Churn, Any: true, Ends: Either, Horizon: 30},
		"a purchase event with category shoes within 30 days": {Kind: Propensity, Role: datasets.Purchase, Condition: "purchase event with category shoes", Horizon: 30},
	} {
		if got := target.Outcome(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestScheduleNeverOverlapsTheTest(t *testing.T) {
	a := asOf(t, "2024-12-31")
	for _, c := range []struct{ gap, horizon, history, n, wantTrain int }{
		{0, 90, 1000, 3, 3},
		{0, 90, 365, 3, 3},
		{14, 60, 400, 4, 4},
		{0, 7, 29, 3, 2},
		{0, 1, 3, 3, 1},
	} {
		target := Target{Name: "x", Gap: c.gap, Horizon: c.horizon}
		first := a.Today - int32(c.history)
		s, err := target.Schedule(a, first, c.n, time.UTC)
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		if len(s.Train) != c.wantTrain {
			t.Errorf("%+v: %d training snapshots %v, want %d", c, len(s.Train), s.Train, c.wantTrain)
		}
		if end := s.Test.Today + int32(c.gap+c.horizon); end != a.Today {
			t.Errorf("%+v: the test's outcome window ends %d days before the run", c, a.Today-end)
		}
		for i, tr := range s.Train {
			if tr.Today+int32(c.gap+c.horizon) > s.Test.Today {
				t.Errorf("%+v: training snapshot %s looks past the test snapshot %s", c, tr, s.Test)
			}
			if i > 0 && tr.Today <= s.Train[i-1].Today {
				t.Errorf("%+v: snapshots %v do not ascend", c, s.Train)
			}
			if tr.Today < first+int32(min(c.horizon, 90)) {
				t.Errorf("%+v: snapshot %s has too little history", c, tr)
			}
		}
	}
	target := Target{Name: "churn", Horizon: 90}
	if _, err := target.Schedule(a, a.Today-200, 3, time.UTC); err == nil || !strings.Contains(err.Error(), "history begins") {
		t.Errorf("a horizon longer than history allows: %v", err)
	}
}

func TestRecencyColumnsExist(t *testing.T) {
	known := map[string]bool{}
	for _, f := range features.All(features.DefaultParams()) {
		for _, c := range f.Columns {
			known[c.Name] = true
		}
	}
	for _, target := range []Target{{Any: true}, {Role: datasets.Purchase}, {Role: datasets.MessageOpen}} {
		if !known[target.Recency()] {
			t.Errorf("no feature %q", target.Recency())
		}
	}
}
