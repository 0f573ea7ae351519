package gbdt

import (
	"io"
	"math"

	"github.com/shoal-data/shoal/models/internal/onnx"
)

// WriteONNX writes the model as an ONNX graph of doubles, operator sets 18 and
// ai.onnx.ml 5: input "x" is n×d in the order of Names, NaN where a value is
// missing; outputs "score" and "prediction", n×1, are those of Scores and Predict. The
// metadata's "columns" is Names as JSON.
func (m *Model) WriteONNX(w io.Writer) error {
	g := onnx.New("boosted_trees", m.Names)
	score := g.Named("score", "Identity", m.AddTo(g))
	g.Named("prediction", map[Loss]string{Logistic: "Sigmoid", Squared: "Identity", Tweedie: "Exp"}[m.Loss], score)
	return g.Write(w)
}

// AddTo adds the model to a graph over its columns; the output is the score.
func (m *Model) AddTo(g *onnx.Graph) string {
	base := m.Base
	var e ensemble
	for k := range m.Trees {
		if t := &m.Trees[k]; len(t.Column) > 0 {
			e.add(t)
		} else {
			base += t.Value[0]
		}
	}
	if len(e.roots) == 0 { // the operator wants a tree
		e.add(&Tree{Column: []int32{0}, Threshold: []float64{0}, MissingLeft: []bool{false}, Left: []int32{^0}, Right: []int32{^1}, Value: []float64{0, 0}})
	}
	return g.Node("Add", g.Trees(onnx.Input, e.attributes()), g.Row(base))
}

// An ensemble is the attributes of operator TreeEnsemble: nodes and leaves of all
// trees one after the other.
type ensemble struct {
	roots, columns, yes, yesLeaf, no, noLeaf, missingYes, targets []int64
	modes                                                         []byte
	splits, members, weights                                      []float64
}

// Comparisons of a node, as the operator numbers them.
const (
	atMost   = 0
	memberOf = 6
)

func (e *ensemble) add(t *Tree) {
	node, leaf := int64(len(e.columns)), int64(len(e.weights))
	e.roots = append(e.roots, node)
	child := func(c int32) (at, isLeaf int64) {
		if c < 0 {
			return leaf + int64(^c), 1
		}
		return node + int64(c), 0
	}
	for i, c := range t.Column {
		e.columns = append(e.columns, int64(c))
		yes, yesLeaf := child(t.Left[i])
		no, noLeaf := child(t.Right[i])
		e.yes, e.yesLeaf = append(e.yes, yes), append(e.yesLeaf, yesLeaf)
		e.no, e.noLeaf = append(e.no, no), append(e.noLeaf, noLeaf)
		missing := int64(0)
		if t.MissingLeft[i] {
			missing = 1
		}
		e.missingYes = append(e.missingYes, missing)
		if t.Categories != nil && t.Categories[i] != nil {
			e.modes, e.splits = append(e.modes, memberOf), append(e.splits, 0)
			for _, category := range t.Categories[i] {
				e.members = append(e.members, float64(category))
			}
			e.members = append(e.members, math.NaN()) // ends the set
			continue
		}
		e.modes, e.splits = append(e.modes, atMost), append(e.splits, t.Threshold[i])
	}
	for _, v := range t.Value {
		e.weights, e.targets = append(e.weights, v), append(e.targets, 0)
	}
}

func (e *ensemble) attributes() []onnx.Message {
	const (
		isInt    = 2
		isTensor = 4
		isInts   = 7
	)
	ints := func(name string, v []int64) onnx.Message {
		a := onnx.Message{}.Text(1, name).Number(20, isInts)
		for _, i := range v {
			a = a.Number(8, i)
		}
		return a
	}
	tensor := func(name string, t onnx.Message) onnx.Message {
		return onnx.Message{}.Text(1, name).Number(20, isTensor).Embed(5, t)
	}
	all := []onnx.Message{
		onnx.Message{}.Text(1, "n_targets").Number(20, isInt).Number(3, 1),
		ints("tree_roots", e.roots), ints("nodes_featureids", e.columns),
		ints("nodes_truenodeids", e.yes), ints("nodes_trueleafs", e.yesLeaf),
		ints("nodes_falsenodeids", e.no), ints("nodes_falseleafs", e.noLeaf),
		ints("nodes_missing_value_tracks_true", e.missingYes), ints("leaf_targetids", e.targets),
		tensor("nodes_modes", onnx.Message{}.Number(1, int64(len(e.modes))).Number(2, 2).Text(9, string(e.modes))),
		tensor("nodes_splits", onnx.Doubles(e.splits)), tensor("leaf_weights", onnx.Doubles(e.weights)),
	}
	if e.members != nil {
		all = append(all, tensor("membership_values", onnx.Doubles(e.members)))
	}
	return all
}
