// Package modelfiles turns what a run fitted into files, and back: the champion of
// each target and the value models, each as JSON that restores it exactly, as ONNX and,
// where it is trees, as LightGBM's text, with a card that says what it is.
package modelfiles

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/shoal-data/shoal/jobs/predict"
	"github.com/shoal-data/shoal/jobs/scoring"
	"github.com/shoal-data/shoal/jobs/value"
	"github.com/shoal-data/shoal/models/exchange"
	"github.com/shoal-data/shoal/models/gammagamma"
	"github.com/shoal-data/shoal/models/gbdt"
	"github.com/shoal-data/shoal/models/metrics"
)

// Version is of the files' layout.
const Version = 1

// A File is to be published.
type File struct {
	Name string
	Data []byte
}

// Target is the file <target>.json: how a target is scored.
type Target struct {
	Version int                   `json:"version"`
	Name    string                `json:"target"`
	Learnt  string                `json:"learnt"` // as-of date of the run that learnt it, YYYY-MM-DD
	Summary predict.Summary       `json:"summary"`
	Model   *scoring.Model        `json:"fitted"`
	Scores  *scoring.Distribution `json:"scores,omitempty"` // the probabilities of the run that learnt it
}

// Value is the file value.json: how purchases and value are forecast. Trees' answers
// multiply what the model of repeat buying expects, and that times the value of a purchase.
type Value struct {
	Version       int               `json:"version"`
	Buying        *value.Buying     `json:"buying"`
	Spending      *gammagamma.Model `json:"spending,omitempty"`
	PurchaseTrees *gbdt.Model       `json:"purchase_trees,omitempty"`
	SpendTrees    *gbdt.Model       `json:"spend_trees,omitempty"`
}

// Of is the files of what was fitted, cards included.
func Of(run Run, answers []*predict.Answer, forecast *value.Forecast) ([]File, error) {
	var files []File
	add := func(name string, data []byte) { files = append(files, File{name, data}) }
	trees := func(name string, m *gbdt.Model, onnx bool) error {
		var text, graph bytes.Buffer
		if err := m.WriteLightGBM(&text); err != nil {
			return err
		}
		add(name+".lightgbm.txt", text.Bytes())
		if !onnx {
			return nil
		}
		err := m.WriteONNX(&graph)
		add(name+".onnx", graph.Bytes())
		return err
	}
	for _, a := range answers {
		if a.Fitted == nil {
			continue
		}
		learnt := a.Summary.Learnt
		if learnt == "" {
			learnt = run.Date
		}
		data, err := marshal(Target{Version, a.Name, learnt, a.Summary, a.Fitted, a.Learnt})
		if err != nil {
			return nil, fmt.Errorf("model of target %s: %w", a.Name, err)
		}
		add(a.Name+".json", data)
		var graph bytes.Buffer
		f := a.Fitted
		c := exchange.Classifier{Columns: f.Columns, Recency: f.Recency, Logistic: f.Logistic, Prepared: f.Prepared, Trees: f.Trees, Calibration: f.Calibration}
		if err := c.WriteONNX(&graph); err != nil {
			return nil, fmt.Errorf("model of target %s: %w", a.Name, err)
		}
		add(a.Name+".onnx", graph.Bytes())
		if f.Trees != nil {
			if err := trees(a.Name, f.Trees, false); err != nil {
				return nil, err
			}
		}
		if err := targetCard(run, a).add(a.Name, add); err != nil {
			return nil, err
		}
	}
	if m := forecast.Models; m.Buying != nil {
		data, err := marshal(Value{Version, m.Buying, m.Spending, m.PurchaseTrees, m.SpendTrees})
		if err != nil {
			return nil, fmt.Errorf("value models: %w", err)
		}
		add("value.json", data)
		if m.PurchaseTrees != nil {
			if err := trees("value-purchases", m.PurchaseTrees, true); err != nil {
				return nil, err
			}
		}
		if m.SpendTrees != nil {
			if err := trees("value-spend", m.SpendTrees, true); err != nil {
				return nil, err
			}
		}
		if err := valueCard(run, forecast).add("value", add); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func marshal(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	return append(data, '\n'), err
}

// LoadTarget reads a target's model from its file.
func LoadTarget(data []byte) (*Target, error) {
	var t Target
	if err := json.Unmarshal(data, &t); err != nil {
		return nil, fmt.Errorf("modelfiles: %w", err)
	}
	if t.Version != Version {
		return nil, fmt.Errorf("modelfiles: version %d; this program reads version %d", t.Version, Version)
	}
	if t.Name == "" || t.Model == nil {
		return nil, fmt.Errorf("modelfiles: target %q, or no model: not a target's file", t.Name)
	}
	if s := t.Scores; s != nil && len(s.Counts) != (metrics.Bins{Edges: s.Edges}).Len() {
		return nil, fmt.Errorf("modelfiles: target %s: %d counts between %d edges: not a target's file", t.Name, len(s.Counts), len(s.Edges))
	}
	return &t, nil
}

// LoadValue reads the value models from their file.
func LoadValue(data []byte) (*Value, error) {
	var v Value
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, fmt.Errorf("modelfiles: %w", err)
	}
	if v.Version != Version {
		return nil, fmt.Errorf("modelfiles: version %d; this program reads version %d", v.Version, Version)
	}
	if v.Buying == nil {
		return nil, fmt.Errorf("modelfiles: no model of repeat buying: not the value models' file")
	}
	return &v, nil
}
