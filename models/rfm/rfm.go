// Package rfm scores customers from 1 to 5 by recency, frequency and monetary
// value and names their segment from a published grid. It needs no training
// beyond ranks, so it is the segmentation that every other is compared with.
package rfm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/shoal-data/shoal/models"
)

// Levels is the number of scores in each dimension.
const Levels = 5

// Scores are a customer's scores, each from 1 (worst) to 5 (best), or all 0
// for a customer with no purchase.
type Scores struct {
	Recency, Frequency, Monetary uint8
}

// String is the scores as three digits, such as 541.
func (s Scores) String() string {
	return fmt.Sprintf("%d%d%d", s.Recency, s.Frequency, s.Monetary)
}

// Cuts are the values at which a score begins: Cuts[i] is the first value, in
// the direction from worse to better, that scores i+2. A score that no fitted
// customer reached has no cut (NaN, written as null), and then neither do
// those above it.
type Cuts [Levels - 1]float64

// A Model is the cut points of a fit. It is immutable and safe for concurrent use.
type Model struct {
	recency   Cuts // descending: fewer days are better
	frequency Cuts // ascending
	monetary  Cuts // ascending
	customers int
}

// Fit ranks customers in each dimension: recency in days since the last
// purchase, ≥ 0, where less is better; frequency, the number of purchases, ≥ 0;
// monetary, the money spent, which returns can make negative. A customer of
// frequency 0 has not purchased: its other two values may be NaN, are not looked
// at, and it takes no part in the ranking.
//
// A customer scores s when at least (s-1)/5 of the purchasing customers are
// strictly worse. Equal values therefore share a score, that of the worst place
// among them; where all values differ the scores are exact quintiles; and with
// few distinct values some scores stay unused and the lowest value scores 1. A
// warning tells when a dimension uses fewer than five. The result does not
// depend on the order of the customers.
func Fit(recency, frequency, monetary []float64) (*Model, []models.Warning, error) {
	checkLengths(recency, frequency, monetary)
	var r, f, m []float64
	for i := range frequency {
		bought, err := purchased(i, recency[i], frequency[i], monetary[i])
		if err != nil {
			return nil, nil, err
		}
		if bought {
			// 0-0 and -0+0 are +0: a zero of either sign makes the same cut point.
			r, f, m = append(r, 0-recency[i]), append(f, frequency[i]), append(m, monetary[i]+0)
		}
	}
	if len(r) == 0 {
		return nil, nil, fmt.Errorf("rfm: empty input: none of %d customers has a purchase", len(frequency))
	}
	model := &Model{recency: cuts(r), frequency: cuts(f), monetary: cuts(m), customers: len(r)}
	for i := range model.recency {
		model.recency[i] = 0 - model.recency[i]
	}
	var warnings []models.Warning
	for _, d := range []struct {
		name string
		c    Cuts
	}{{"recency", model.recency}, {"frequency", model.frequency}, {"monetary", model.monetary}} {
		if used := d.c.used(); used < Levels {
			warnings = append(warnings, models.Warning{
				Code: "rfm.few_scores",
				Message: fmt.Sprintf("%s takes only %d of the %d scores: too many of the %d customers share a value",
					d.name, used, Levels, len(r)),
			})
		}
	}
	return model, warnings, nil
}

func checkLengths(recency, frequency, monetary []float64) {
	if len(recency) != len(frequency) || len(monetary) != len(frequency) {
		panic(fmt.Sprintf("rfm: %d recencies, %d frequencies and %d monetary values", len(recency), len(frequency), len(monetary)))
	}
}

// purchased says whether customer i has purchased, and refuses what cannot be.
func purchased(i int, recency, frequency, monetary float64) (bool, error) {
	switch {
	case !(frequency >= 0) || math.IsInf(frequency, 0):
		return false, fmt.Errorf("rfm: row %d: frequency is %v; it must be a number of purchases, 0 for none", i, frequency)
	case frequency == 0:
		return false, nil
	case !(recency >= 0) || math.IsInf(recency, 0):
		return false, fmt.Errorf("rfm: row %d: recency is %v with %v purchases; it must be days >= 0", i, recency, frequency)
	case math.IsNaN(monetary) || math.IsInf(monetary, 0):
		return false, fmt.Errorf("rfm: row %d: monetary value is %v with %v purchases; it must be finite", i, monetary, frequency)
	}
	return true, nil
}

// cuts finds the cut points of values of which more is better.
func cuts(x []float64) Cuts {
	slices.Sort(x)
	var c Cuts
	for i := range c {
		c[i] = math.NaN()
	}
	reached := 1
	for worse := range x {
		if worse > 0 && x[worse] == x[worse-1] {
			continue
		}
		// worse is how many customers are strictly worse than x[worse].
		for score := 1 + Levels*worse/len(x); reached < score; reached++ {
			c[reached-1] = x[worse]
		}
	}
	return c
}

// used is the number of different scores that fitted customers have.
func (c Cuts) used() int {
	n := 1
	for i, v := range c {
		// Of several scores that begin at one value only the highest is given.
		if !math.IsNaN(v) && (i+1 == len(c) || c[i+1] != v) {
			n++
		}
	}
	return n
}

func (c Cuts) ascending(v float64) uint8 {
	s := uint8(1)
	for _, cut := range c {
		if v >= cut { // false for NaN: no such score
			s++
		}
	}
	return s
}

func (c Cuts) descending(v float64) uint8 {
	s := uint8(1)
	for _, cut := range c {
		if v <= cut {
			s++
		}
	}
	return s
}

// Score scores customers, each on its own, by the fitted cut points; the values
// are as in Fit. The result uses dst's memory where it suffices.
func (m *Model) Score(dst []Scores, recency, frequency, monetary []float64) ([]Scores, error) {
	checkLengths(recency, frequency, monetary)
	dst = slices.Grow(dst[:0], len(frequency))[:len(frequency)]
	for i := range dst {
		bought, err := purchased(i, recency[i], frequency[i], monetary[i])
		if err != nil {
			return nil, err
		}
		dst[i] = Scores{}
		if bought {
			dst[i] = Scores{m.recency.descending(recency[i]), m.frequency.ascending(frequency[i]), m.monetary.ascending(monetary[i])}
		}
	}
	return dst, nil
}

// Recency are the cut points in days: a recency of at most Recency()[i] scores
// at least i+2. They descend.
func (m *Model) Recency() Cuts { return m.recency }

// Frequency are the cut points in purchases: at least Frequency()[i] scores at
// least i+2. They ascend.
func (m *Model) Frequency() Cuts { return m.frequency }

// Monetary are the cut points in money: at least Monetary()[i] scores at least
// i+2. They ascend.
func (m *Model) Monetary() Cuts { return m.monetary }

// Customers is the number of purchasing customers that were ranked.
func (m *Model) Customers() int { return m.customers }

// MarshalJSON writes a score that nobody reached as null.
func (c Cuts) MarshalJSON() ([]byte, error) {
	var p [len(c)]*float64
	for i := range c {
		if !math.IsNaN(c[i]) {
			p[i] = &c[i]
		}
	}
	return json.Marshal(p)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (c *Cuts) UnmarshalJSON(b []byte) error {
	var p []*float64
	if err := json.Unmarshal(b, &p); err != nil {
		return err
	}
	if len(p) != len(c) {
		return fmt.Errorf("rfm: %d cut points, want %d", len(p), len(c))
	}
	for i, v := range p {
		c[i] = math.NaN()
		if v != nil {
			c[i] = *v
		}
	}
	return nil
}

const version = 1

type saved struct {
	Version   int  `json:"version"`
	Customers int  `json:"customers"`
	Recency   Cuts `json:"recency"`
	Frequency Cuts `json:"frequency"`
	Monetary  Cuts `json:"monetary"`
}

// Save writes the model as JSON. Floats are written in their shortest form
// that reads back exactly, so Load restores the model bit for bit.
func (m *Model) Save(w io.Writer) error {
	if err := json.NewEncoder(w).Encode(saved{version, m.customers, m.recency, m.frequency, m.monetary}); err != nil {
		return fmt.Errorf("rfm: save: %w", err)
	}
	return nil
}

// Load reads what Save wrote and refuses anything else.
func Load(r io.Reader) (*Model, error) {
	var s saved
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return nil, fmt.Errorf("rfm: load: %w", err)
	}
	if s.Version != version {
		return nil, fmt.Errorf("rfm: load: version %d; this program reads version %d", s.Version, version)
	}
	if s.Customers < 1 {
		return nil, fmt.Errorf("rfm: load: customers (%d) must be >= 1", s.Customers)
	}
	descending := s.Recency
	for i := range descending {
		descending[i] = -descending[i]
	}
	if !descending.ordered() || !s.Frequency.ordered() || !s.Monetary.ordered() {
		return nil, errors.New("rfm: load: cut points are out of order")
	}
	return &Model{s.Recency, s.Frequency, s.Monetary, s.Customers}, nil
}

// ordered says whether cut points ascend, missing ones last.
func (c Cuts) ordered() bool {
	for i := 1; i < len(c); i++ {
		if !math.IsNaN(c[i]) && !(c[i-1] <= c[i]) {
			return false
		}
	}
	return true
}
