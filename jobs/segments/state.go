package segments

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/shoal-data/shoal/models/kmeans"
	"github.com/shoal-data/shoal/models/surrogate"
	"github.com/shoal-data/shoal/models/transform"
)

// stateVersion rises when a State of an earlier program can no longer be used.
const stateVersion = 1

// A State is what a run keeps of a segmentation for the runs after it: the
// preparation and the centres, by which customers can be assigned without
// fitting anew, and the ids and names that must outlast the night. It is
// written to the table segment_models and reads back exactly.
type State struct {
	Version      int     `json:"version"`
	Segmentation string  `json:"segmentation"`
	Column       string  `json:"column"`   // of customer_scores, with the customers' ids of segment
	Settings     string  `json:"settings"` // those that shaped the fit
	Trained      string  `json:"trained"`  // as-of date of the fit, YYYY-MM-DD
	Spread       float64 `json:"spread"`   // mean squared distance of the fitted customers to their centres
	NextID       int     `json:"next_id"`  // ids below it have been given, and are not given again
	Named        []Named `json:"named"`    // every segment there has been, by id

	// Of the segments there are, in the order of the centres; the inactive come last.
	Living   []int     `json:"living"`
	Shares   []float64 `json:"shares"`   // of the customers, at the fit
	Inactive bool      `json:"inactive"` // whether the last of Living is the inactive

	// Both are null when the customers could not be divided.
	Preparation json.RawMessage `json:"preparation"`
	Centres     json.RawMessage `json:"centres"`

	prepared *transform.Model
	model    *kmeans.Model
}

// Named is what never changes about a segment.
type Named struct {
	ID          int    `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Since       string `json:"since"`             // as-of date of the first run that had it
	Retired     string `json:"retired,omitempty"` // as-of date of the first run that no longer had it
	Inactive    bool   `json:"inactive,omitempty"`
	// Rule tells the segment from the other active customers, nearly; nil where a tree
	// so small has no place for it. RuleText says it in words.
	Rule     surrogate.Rule `json:"rule,omitempty"`
	RuleText string         `json:"rule_text,omitempty"`
}

// encode is the state as JSON. Floats are written in their shortest form that
// reads back exactly.
func (s *State) encode() ([]byte, error) {
	s.Version = stateVersion
	for _, part := range []struct {
		into *json.RawMessage
		save func(*bytes.Buffer) error
		have bool
	}{
		{&s.Preparation, func(b *bytes.Buffer) error { return s.prepared.Save(b) }, s.prepared != nil},
		{&s.Centres, func(b *bytes.Buffer) error { return s.model.Save(b) }, s.model != nil},
	} {
		*part.into = json.RawMessage("null")
		if !part.have {
			continue
		}
		var b bytes.Buffer
		if err := part.save(&b); err != nil {
			return nil, fmt.Errorf("segments: segmentation %s: %w", s.Segmentation, err)
		}
		*part.into = bytes.TrimSpace(b.Bytes())
	}
	return json.Marshal(s)
}

// decodeState reads what encode wrote, and refuses what it cannot have written.
func decodeState(text []byte) (*State, error) {
	s := &State{}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("segments: stored model: %w", err)
	}
	if s.Version != stateVersion {
		return nil, fmt.Errorf("segments: stored model of segmentation %q has version %d, this program reads %d", s.Segmentation, s.Version, stateVersion)
	}
	var err error
	if !isNull(s.Preparation) && !isNull(s.Centres) {
		if s.prepared, err = transform.Load(bytes.NewReader(s.Preparation)); err == nil {
			s.model, err = kmeans.Load(bytes.NewReader(s.Centres))
		}
	}
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return nil, fmt.Errorf("segments: stored model of segmentation %q: %w", s.Segmentation, err)
	}
	return s, nil
}

func isNull(m json.RawMessage) bool { return len(m) == 0 || string(m) == "null" }

func (s *State) check() error {
	k := 0
	if s.model != nil {
		k = s.model.K()
		if !slices.Equal(s.model.Names(), s.prepared.Names()) {
			return fmt.Errorf("its centres are of the columns %v, its preparation gives %v", s.model.Names(), s.prepared.Names())
		}
	}
	if s.Inactive {
		k++
	}
	if len(s.Living) != k || len(s.Shares) != k {
		return fmt.Errorf("it has %d ids and %d shares for %d segments", len(s.Living), len(s.Shares), k)
	}
	last := 0
	for _, n := range s.Named {
		if n.ID <= last || n.ID >= s.NextID || n.Name == "" {
			return fmt.Errorf("segment %d (%q) is out of order, unnamed or not below next_id (%d)", n.ID, n.Name, s.NextID)
		}
		last = n.ID
	}
	seen := map[int]bool{}
	for _, id := range s.Living {
		n := s.named(id)
		if n == nil || n.Retired != "" || seen[id] {
			return fmt.Errorf("segment %d is given twice, retired or unknown", id)
		}
		seen[id] = true
	}
	if s.NextID < 1 || math.IsNaN(s.Spread) || s.Spread < 0 {
		return errors.New("next_id must be >= 1 and spread >= 0")
	}
	return nil
}

// named is what is fixed about a segment, nil for an id that was never given.
func (s *State) named(id int) *Named {
	i, ok := slices.BinarySearchFunc(s.Named, id, func(n Named, id int) int { return n.ID - id })
	if !ok {
		return nil
	}
	return &s.Named[i]
}

// inactiveID is the id of the segment of the inactive, 0 before there was one.
// It is one segment through all runs, whether anybody is in it or not.
func (s *State) inactiveID() int {
	for _, n := range s.Named {
		if n.Inactive {
			return n.ID
		}
	}
	return 0
}
