// Package rules divides customers by rules that are written down: lifecycle
// stage, usage rate, loyalty tier and the like. The first cell whose conditions
// a customer meets is the customer's, and who meets none is in the last one, so
// every customer is in exactly one.
package rules

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/config/conditions"
	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/models"
)

// A Rule is a rule of a job.
type Rule struct {
	config.Rule
	Builtin bool // nobody wrote it
}

// Set is the rules of a job: the built-in ones, with those of the configuration
// in the place of the ones they are named after, and its others behind them.
func Set(c *config.Config) []Rule {
	rules := Builtin(c)
	for _, r := range c.Rules {
		i := slices.IndexFunc(rules, func(b Rule) bool { return b.Name == r.Name })
		if i < 0 {
			rules = append(rules, Rule{Rule: r})
		} else {
			rules[i] = Rule{Rule: r}
		}
	}
	return rules
}

// A Division is a rule applied to the customers of a run.
type Division struct {
	Name    string
	Meaning string // the cells and their conditions, in one line
	Cells   []string
	Of      []int // by customer: index into Cells; nil when a feature is missing
	Sizes   []int
}

// Source gives the values of a feature by customer, NaN where unknown; ok is
// false when there is no such feature.
type Source func(feature string) (values []float64, ok bool, err error)

// Divide applies a rule. A feature that is not computed leaves a built-in rule's
// column null, with a warning; in a rule that somebody wrote it is an error.
func Divide(r Rule, customers int, source Source) (*Division, []models.Warning, error) {
	d := &Division{Name: r.Name, Meaning: describe(r)}
	place := make([]int, len(r.Cells)) // cells of one name are one
	add := func(name string) int {
		at := slices.Index(d.Cells, name)
		if at < 0 {
			at = len(d.Cells)
			d.Cells = append(d.Cells, name)
		}
		return at
	}
	for k, c := range r.Cells {
		place[k] = add(c.Name)
	}
	otherwise := add(r.Otherwise)
	d.Sizes = make([]int, len(d.Cells))
	values := map[string][]float64{}
	asked := make([][]conditions.Condition, len(r.Cells))
	for k, c := range r.Cells {
		for _, text := range c.When {
			w, err := conditions.Parse(string(text))
			if err != nil {
				return nil, nil, fmt.Errorf("rules[%s]: cell %s: %q %w", r.Name, c.Name, text, err)
			}
			asked[k] = append(asked[k], w)
			if _, have := values[w.Feature]; have {
				continue
			}
			v, ok, err := source(w.Feature)
			if err != nil {
				return nil, nil, err
			}
			if !ok && r.Builtin {
				return d, []models.Warning{{Code: "rules.feature_missing", Message: fmt.Sprintf(
					"rule %s needs the feature %s, which features.families or features.windows leave out: its column is null", r.Name, w.Feature)}}, nil
			}
			if !ok {
				return nil, nil, fmt.Errorf("rules[%s]: cell %s: no feature %q (shoal features lists them)", r.Name, c.Name, w.Feature)
			}
			values[w.Feature] = v
		}
	}
	d.Of = make([]int, customers)
	for i := range d.Of {
		d.Of[i] = -1
	}
	for k, when := range asked {
		tests, columns := make([]conditions.Test, len(when)), make([][]float64, len(when))
		for j, w := range when {
			columns[j] = values[w.Feature]
			tests[j] = w.Over(columns[j], positive)
		}
		for i := range d.Of {
			if d.Of[i] >= 0 {
				continue
			}
			meets := true
			for j, test := range tests {
				if meets = test(columns[j][i]); !meets {
					break
				}
			}
			if meets {
				d.Of[i] = place[k]
			}
		}
	}
	for i, k := range d.Of {
		if k < 0 {
			k = otherwise
			d.Of[i] = k
		}
		d.Sizes[k]++
	}
	return d, nil, nil
}

// positive are the values above 0, ascending.
func positive(values []float64) []float64 {
	var out []float64
	for _, v := range values {
		if v > 0 {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return out
}

// describe writes a rule in one line.
func describe(r Rule) string {
	var cells []string
	for _, c := range r.Cells {
		var when []string
		for _, w := range c.When {
			when = append(when, string(w))
		}
		cells = append(cells, c.Name+" if "+strings.Join(when, " and "))
	}
	return strings.Join(cells, "; ") + "; otherwise " + r.Otherwise + "."
}

// Column is the rule's column of customer_scores.
func (d *Division) Column() outputs.Column {
	return outputs.Text(d.Name, "The first that fits: "+d.Meaning, func(i int) (string, bool) {
		if d.Of == nil {
			return "", false
		}
		return d.Cells[d.Of[i]], true
	})
}

// Score is a score from 0 to 100 made of several features.
type Score struct {
	Parts []config.Engagement // those that took part
	Of    []float64           // by customer
}

// Engagement scores how much customers take part: each part counts in proportion
// to the feature up to its full value, by its weight. A part that nobody has
// anything of, and an unknown feature, takes no part, so that a shop without
// messages is not scored down for it.
func Engagement(parts []config.Engagement, customers int, source Source) (*Score, error) {
	s := &Score{Of: make([]float64, customers)}
	total := 0.0
	for _, p := range parts {
		v, ok, err := source(p.Name)
		if err != nil {
			return nil, err
		}
		if !ok || !slices.ContainsFunc(v, func(x float64) bool { return x > 0 }) {
			continue
		}
		s.Parts = append(s.Parts, p)
		total += p.Weight
		for i, x := range v {
			if x > 0 { // false for NaN
				s.Of[i] += p.Weight * min(x/p.Full, 1)
			}
		}
	}
	for i := range s.Of {
		if total > 0 {
			s.Of[i] = math.Round(100 * s.Of[i] / total)
		}
	}
	return s, nil
}

// Column is the score's column of customer_scores.
func (s *Score) Column() outputs.Column {
	var parts []string
	for _, p := range s.Parts {
		parts = append(parts, fmt.Sprintf("%s up to %v, weight %v", p.Name, p.Full, p.Weight))
	}
	meaning := "Engagement from 0 to 100: " + strings.Join(parts, "; ") + "."
	if len(parts) == 0 {
		meaning = "Engagement from 0 to 100: the data have none of its parts."
	}
	return outputs.Small("engagement_score", meaning, func(i int) (int, bool) { return int(s.Of[i]), len(s.Parts) > 0 })
}
