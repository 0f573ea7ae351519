package rules

import (
	"bytes"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/features"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/config/conditions"
)

var update = flag.Bool("update", false, "write docs/rules.md")

func TestGuide(t *testing.T) {
	var b bytes.Buffer
	if err := WriteGuide(&b); err != nil {
		t.Fatal(err)
	}
	const path = "../../docs/rules.md"
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(path); err != nil || !bytes.Equal(want, b.Bytes()) {
		t.Errorf("docs/rules.md is not what the rules say (%v); run go test ./jobs/rules -update", err)
	}
}

// The built-in rules ask for features of the catalogue, whatever the windows.
func TestBuiltinFeaturesExist(t *testing.T) {
	c := config.Default()
	p := c.FeatureParams()
	p.Windows = []int{14}
	known := map[string]bool{}
	for _, f := range features.All(p) {
		for _, column := range f.Columns {
			known[column.Name] = true
		}
	}
	for _, r := range Builtin(c) {
		for _, cell := range r.Cells {
			for _, w := range cell.When {
				if feature, _, _ := strings.Cut(string(w), " "); !known[feature] {
					t.Errorf("%s: no feature %q", r.Name, feature)
				}
			}
		}
	}
	for _, e := range c.Engagement {
		if !known[e.Name] {
			t.Errorf("engagement: no feature %q", e.Name)
		}
	}
}

// meets is what a condition asks, worked out customer by customer.
func meets(w conditions.Condition, all []float64, x float64) bool {
	switch w.Kind {
	case conditions.AtLeast:
		return x >= w.Value
	case conditions.Above:
		return x > w.Value
	case conditions.AtMost:
		return x <= w.Value
	case conditions.Below:
		return x < w.Value
	case conditions.Equal:
		return x == w.Value
	case conditions.Unequal:
		return !math.IsNaN(x) && x != w.Value
	case conditions.Known:
		return !math.IsNaN(x)
	case conditions.Unknown:
		return math.IsNaN(x)
	}
	have, atLeast := 0, 0
	for _, v := range all {
		if v > 0 {
			have++
			if v >= x {
				atLeast++
			}
		}
	}
	return x > 0 && atLeast <= int(w.Value*float64(have))
}

// On random customers, every rule puts everybody into exactly one cell, the first
// that fits: the built-in ones and random ones.
func TestExhaustiveAndExclusive(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for trial := range 300 {
		n := 1 + r.IntN(60)
		columns := map[string][]float64{}
		source := func(feature string) ([]float64, bool, error) {
			v, ok := columns[feature]
			if !ok {
				v = make([]float64, n)
				for i := range v {
					switch r.IntN(6) {
					case 0:
						v[i] = math.NaN()
					case 1:
						v[i] = 0
					case 2:
						v[i] = float64(r.IntN(400)) - 20
					case 3:
						v[i] = float64(r.IntN(5))
					default:
						v[i] = r.Float64()
					}
				}
				columns[feature] = v
			}
			return v, true, nil
		}
		all := Builtin(config.Default())
		drawn := Rule{Rule: config.Rule{Name: "drawn", Otherwise: "rest"}}
		kinds := []string{conditions.AtLeast, conditions.Above, conditions.AtMost, conditions.Below, conditions.Equal, conditions.Unequal, conditions.Known, conditions.Unknown, conditions.Top}
		for range 1 + r.IntN(5) {
			c := config.Cell{Name: string(rune('a' + r.IntN(4)))}
			for range 1 + r.IntN(3) {
				w := conditions.Condition{Feature: string(rune('p' + r.IntN(3))), Kind: kinds[r.IntN(len(kinds))], Value: float64(r.IntN(5))}
				if w.Kind == conditions.Top {
					w.Value = .01 + .9*r.Float64()
				}
				c.When = append(c.When, conditions.Text(w.String()))
			}
			drawn.Cells = append(drawn.Cells, c)
		}
		for _, rule := range append(all, drawn) {
			d, warnings, err := Divide(rule, n, source)
			if err != nil || len(warnings) > 0 {
				t.Fatal(err, warnings)
			}
			sizes := make([]int, len(d.Cells))
			for i, got := range d.Of {
				want := rule.Otherwise
				for _, c := range slices.Backward(rule.Cells) {
					fits := true
					for _, text := range c.When {
						w, err := conditions.Parse(string(text))
						if err != nil {
							t.Fatal(err)
						}
						fits = fits && meets(w, columns[w.Feature], columns[w.Feature][i])
					}
					if fits {
						want = c.Name
					}
				}
				if d.Cells[got] != want {
					t.Fatalf("trial %d, rule %s, customer %d is in %s, want %s: %s", trial, rule.Name, i, d.Cells[got], want, d.Meaning)
				}
				sizes[got]++
			}
			if !slices.Equal(sizes, d.Sizes) {
				t.Fatalf("rule %s: sizes %v, counted %v", rule.Name, d.Sizes, sizes)
			}
		}
		s, err := Engagement(config.Default().Engagement, n, source)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range s.Of {
			if !(v >= 0 && v <= 100) || v != math.Trunc(v) {
				t.Fatalf("customer %d has an engagement score of %v", i, v)
			}
		}
	}
}

func TestEngagement(t *testing.T) {
	columns := map[string][]float64{"a": {0, 5, 10, 40, math.NaN()}, "b": {1, 0, .5, 1, 1}, "nobody": {0, 0, math.NaN(), 0, 0}}
	source := func(f string) ([]float64, bool, error) { v, ok := columns[f]; return v, ok, nil }
	s, err := Engagement([]config.Engagement{{Name: "a", Full: 10, Weight: 3}, {Name: "b", Full: 1, Weight: 1}, {Name: "nobody", Full: 1, Weight: 5}, {Name: "absent", Full: 1, Weight: 5}}, 5, source)
	if err != nil || !slices.Equal(s.Of, []float64{25, 38, 88, 100, 25}) || len(s.Parts) != 2 {
		t.Errorf("%v of %v, %v", s.Of, s.Parts, err)
	}
}

func TestSetReplaces(t *testing.T) {
	c := config.Default()
	c.Rules = []config.Rule{{Name: "usage_rate", Cells: []config.Cell{cell("often", "nothing > 1")}, Otherwise: "rest"}, {Name: "mine", Cells: []config.Cell{cell("x", "days > 1")}, Otherwise: "y"}}
	set := Set(c)
	if len(set) != len(Builtin(c))+1 || set[0].Otherwise != "rest" || set[0].Builtin || set[len(set)-1].Name != "mine" {
		t.Errorf("%+v", set)
	}
	none := func(string) ([]float64, bool, error) { return nil, false, nil }
	if _, _, err := Divide(set[0], 3, none); err == nil || !strings.Contains(err.Error(), `cell often: no feature "nothing"`) {
		t.Errorf("a rule over nothing: %v", err)
	}
	d, warnings, err := Divide(set[1], 3, none)
	if err != nil || d.Of != nil || len(warnings) != 1 {
		t.Errorf("a built-in rule without its features: %+v, %v, %v", d, warnings, err)
	}
}
